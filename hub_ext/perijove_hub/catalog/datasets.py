"""What the catalog knows: sources and the tables the last crawl found in them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session, lazyload

from perijove.types.base import Page, Principal
from perijove.types.catalog import Column, CrawlState, Dataset, DatasetSummary, Source
from perijove_hub.api.paging import contains, paginate
from perijove_hub.catalog.connector import connect, kind_of
from perijove_hub.catalog.query import find_source, readable
from perijove_hub.exceptions import NotFound
from perijove_hub.settings import CatalogSettings, SourceSettings
from perijove_hub.store.models import ColumnRow, DatasetRow, SourceRow, utcnow

#: Rows the snippet asks for.
SNIPPET_ROWS = 1000
#: Words of a search that count.
MOST_WORDS = 8


class Datasets:
    """The catalog as one person sees it; a source of another group does not exist."""

    def __init__(self, session: Session, settings: CatalogSettings, principal: Principal) -> None:
        self._session = session
        self._settings = settings
        self._principal = principal

    def sources(self) -> list[Source]:
        """Return the sources the caller may read, crawled or not."""
        counted = select(DatasetRow.source, func.count()).group_by(DatasetRow.source)
        counts = dict(self._session.execute(counted).all())
        rows = {row.name: row for row in self._session.scalars(select(SourceRow))}
        return [
            _source(name, settings, rows.get(name), counts.get(name, 0))
            for name, settings in readable(self._settings, self._principal).items()
        ]

    def request_crawl(self, name: str) -> Source:
        """Ask the worker to look at a source again."""
        settings = find_source(self._settings, self._principal, name)
        row = self._session.get(SourceRow, name)
        if row is None:
            row = SourceRow(name=name, kind=kind_of(settings), groups=settings.groups)
            self._session.add(row)
        row.crawl_requested_at = utcnow()
        self._session.flush()
        return next(source for source in self.sources() if source.name == name)

    def search(
        self, words: str | None, source: str | None, *, cursor: str | None, limit: int
    ) -> Page[DatasetSummary]:
        """List datasets by name; every word must be in a name, a comment or a column's name."""
        names = list(readable(self._settings, self._principal))
        if source is not None:
            find_source(self._settings, self._principal, source)
            names = [source]
        rows = (
            select(DatasetRow)
            .options(lazyload(DatasetRow.columns))
            .where(DatasetRow.source.in_(names))
        )
        for word in islice((words or "").split(), MOST_WORDS):
            rows = rows.where(_mentions(word))
        found, following = paginate(
            self._session,
            rows,
            by=DatasetRow.name,
            tie=DatasetRow.name,
            cursor=cursor,
            limit=limit,
        )
        counts = self._column_counts(row.name for row in found)
        return Page(
            items=[_summary(row, counts.get(row.name, 0)) for row in found],
            next_cursor=following,
        )

    def describe(self, name: str) -> Dataset:
        """Return a dataset with its columns and snippet; raises ``NotFound``."""
        row, settings = self.find(name)
        summary = _summary(row, len(row.columns))
        return Dataset(
            **summary.model_dump(),
            columns=[
                Column(name=c.name, type=c.type, nullable=c.nullable, comment=c.comment)
                for c in row.columns
            ],
            snippet=f"%%sql {row.source} --out df\n{select_all(row, settings, SNIPPET_ROWS)}",
        )

    def find(self, name: str) -> tuple[DatasetRow, SourceSettings]:
        """Return a dataset's row and its source's settings; raises ``NotFound``."""
        row = self._session.get(DatasetRow, name)
        sources = readable(self._settings, self._principal)
        if row is None or row.source not in sources:
            raise NotFound(
                f"There is no dataset '{name}' that you may read.",
                field="name",
                fix="Search for it: %catalog WORDS, or GET /datasets?q=WORDS.",
            )
        return row, sources[row.source]

    def _column_counts(self, names: Iterable[str]) -> dict[str, int]:
        counted = (
            select(ColumnRow.dataset, func.count())
            .where(ColumnRow.dataset.in_(list(names)))
            .group_by(ColumnRow.dataset)
        )
        return dict(self._session.execute(counted).all())


def select_all(row: DatasetRow, settings: SourceSettings, limit: int) -> str:
    """Write the statement that reads a table's first rows, quoted as its source wants it."""
    table = connect(settings).identifier(row.schema_name, row.table)
    return f"select * from {table} limit {limit}"  # noqa: S608 - quoted by the dialect


def _mentions(word: str) -> ColumnElement[bool]:
    like = contains(word)
    column = exists().where(
        ColumnRow.dataset == DatasetRow.name, ColumnRow.name.ilike(like, escape="\\")
    )
    return or_(
        DatasetRow.name.ilike(like, escape="\\"),
        DatasetRow.comment.ilike(like, escape="\\"),
        column,
    )


def _source(name: str, settings: SourceSettings, row: SourceRow | None, datasets: int) -> Source:
    return Source(
        name=name,
        kind=kind_of(settings),
        description=settings.description,
        groups=settings.groups,
        state=CrawlState(row.state) if row else CrawlState.pending,
        error=row.error if row else None,
        crawled_at=row.crawled_at if row else None,
        datasets=datasets,
    )


def _summary(row: DatasetRow, columns: int) -> DatasetSummary:
    return DatasetSummary(
        name=row.name,
        source=row.source,
        schema_name=row.schema_name,
        table=row.table,
        kind=row.kind,
        row_count=row.row_count,
        column_count=columns,
        comment=row.comment,
    )
