"""Routes of the catalog: sources, datasets, previews and read-only queries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Header, Response, status
from fastapi import Query as Parameter

from perijove.types.base import Page, Principal
from perijove.types.catalog import Dataset, DatasetSummary, Query, Source, Table
from perijove_hub.api.auth import Querier, Reader
from perijove_hub.api.body import CheckedRoute
from perijove_hub.api.dependencies import Ctx
from perijove_hub.api.paging import Cursor, Limit
from perijove_hub.catalog.datasets import Datasets, select_all
from perijove_hub.catalog.query import find_source, run_query
from perijove_hub.context import Context
from perijove_hub.jobs import lineage
from perijove_hub.store import audit

router = APIRouter(tags=["catalog"], route_class=CheckedRoute)

#: What a program puts into ``Accept`` to get rows as Arrow instead of JSON.
ARROW_STREAM = "application/vnd.apache.arrow.stream"

Words = Annotated[str | None, Parameter(max_length=200, description="Words, all of which match")]


@router.get("/sources")
def list_sources(principal: Reader, context: Ctx) -> Page[Source]:
    """List the sources the caller may read."""
    with _datasets(context, principal) as datasets:
        return Page(items=datasets.sources())


@router.post("/sources/{name}/crawl", status_code=status.HTTP_202_ACCEPTED)
def crawl_source(name: str, principal: Querier, context: Ctx) -> Source:
    """Ask for a fresh look at a source; the worker takes it at its next tick."""
    with context.database.session() as session:
        audit.record(session, principal, "crawl", f"source/{name}")
        return Datasets(session, context.settings.catalog, principal).request_crawl(name)


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
    accept: Annotated[str, Header()] = "*/*",
) -> Response:
    """Run one read-only statement; rows come as JSON, or as Arrow when ``Accept`` asks."""
    source = find_source(context.settings.catalog, principal, name)
    rows = run_query(name, source, query)
    if principal.run is not None:
        with context.database.session() as session:
            lineage.read(session, principal.run, name, query.sql)
    if ARROW_STREAM in accept:
        return Response(rows.as_stream(), media_type=ARROW_STREAM)
    return Response(rows.as_wire().model_dump_json(), media_type="application/json")


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
    with _datasets(context, principal) as datasets:
        return datasets.search(q, source, cursor=cursor, limit=limit)


@router.get("/datasets/{name}")
def get_dataset(name: str, principal: Reader, context: Ctx) -> Dataset:
    """Describe one table or file: its columns, size and the cell that reads it."""
    with _datasets(context, principal) as datasets:
        return datasets.describe(name)


@router.get("/datasets/{name}/preview")
def preview_dataset(
    name: str,
    principal: Querier,
    context: Ctx,
    limit: Annotated[int, Parameter(ge=1, le=1000)] = 20,
) -> Table:
    """Show the first rows of a table or file."""
    with _datasets(context, principal) as datasets:
        row, source = datasets.find(name)
    # One row more tells whether there are more.
    statement = select_all(row, source, limit + 1)
    found = run_query(row.source, source, Query(sql=statement, limit=limit)).as_wire()
    if principal.run is not None:
        with context.database.session() as session:
            lineage.looked_at(session, principal.run, row.name)
    return found


@contextmanager
def _datasets(context: Context, principal: Principal) -> Iterator[Datasets]:
    """Open the catalog for reading, as ``principal`` sees it."""
    with context.database.reading() as session:
        yield Datasets(session, context.settings.catalog, principal)
