"""Routes of the catalog: sources, datasets, previews and read-only queries."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response, status
from fastapi import Query as Parameter

from perijove.types.base import Page
from perijove.types.catalog import Dataset, DatasetSummary, Query, Source, Table
from perijove_hub.api.auth import Querier, Reader
from perijove_hub.api.dependencies import Ctx
from perijove_hub.api.paging import Cursor, Limit

router = APIRouter(tags=["catalog"])

#: What a program puts into ``Accept`` to get rows as Arrow instead of JSON.
ARROW_STREAM = "application/vnd.apache.arrow.stream"

Words = Annotated[str | None, Parameter(max_length=200, description="Words, all of which match")]


@router.get("/sources")
def list_sources(principal: Reader, context: Ctx) -> Page[Source]:
    """List the sources the caller may read."""
    raise NotImplementedError


@router.post("/sources/{name}/crawl", status_code=status.HTTP_202_ACCEPTED)
def crawl_source(name: str, principal: Querier, context: Ctx) -> Source:
    """Ask for a fresh look at a source; the worker takes it at its next tick."""
    raise NotImplementedError


@router.post(
    "/sources/{name}/query",
    response_model=Table,
    responses={200: {"content": {ARROW_STREAM: {}}}},
)
def query_source(
    name: str,
    query: Query,
    principal: Querier,
    context: Ctx,
    request: Request,
    accept: Annotated[str, Header()] = "*/*",
) -> Response:
    """Run one read-only statement; rows come as JSON, or as Arrow when ``Accept`` asks."""
    raise NotImplementedError


@router.get("/datasets")
def list_datasets(
    principal: Reader,
    context: Ctx,
    q: Words = None,
    source: Annotated[str | None, Parameter(max_length=63)] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[DatasetSummary]:
    """List or search tables and files the caller may read, by name."""
    raise NotImplementedError


@router.get("/datasets/{name}")
def get_dataset(name: str, principal: Reader, context: Ctx) -> Dataset:
    """Describe one table or file: its columns, size and the cell that reads it."""
    raise NotImplementedError


@router.get("/datasets/{name}/preview")
def preview_dataset(
    name: str,
    principal: Reader,
    context: Ctx,
    limit: Annotated[int, Parameter(ge=1, le=1000)] = 20,
) -> Table:
    """Show the first rows of a table or file."""
    raise NotImplementedError
