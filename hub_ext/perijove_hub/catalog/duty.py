"""Keep the catalog fresh: look at every source at start, every so often, and when asked."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from perijove.types.catalog import CrawlState
from perijove_hub.catalog.connector import Crawl, Found, connect, kind_of, scrub
from perijove_hub.catalog.names import dataset_name
from perijove_hub.context import Context
from perijove_hub.exceptions import ProblemError
from perijove_hub.jobs import datasets
from perijove_hub.settings import SourceSettings
from perijove_hub.store.models import ColumnRow, DatasetRow, SourceRow, utcnow

log = logging.getLogger(__name__)

#: Longest name and longest dataset name the store keeps.
LONGEST_PART = 255
LONGEST_NAME = 800


@dataclass(frozen=True)
class Outcome:
    """What one look at a source gave: its content, or why there is none."""

    crawl: Crawl | None
    error: str | None


class CrawlDuty:
    """The worker's part of the catalog."""

    name = "catalog"
    #: Seconds between ticks: how soon a requested crawl begins.
    period = 2.0

    def __init__(self, context: Context) -> None:
        self._context = context
        self._catalog = context.settings.catalog
        self._due: dict[str, float] = {}

    def tick(self) -> None:
        """Crawl what is due; a source that fails keeps what was known of it."""
        requests = self._agree_with_settings()
        for name, settings in self._catalog.sources.items():
            requested = requests.get(name)
            if requested is None and time.monotonic() < self._due.get(name, 0.0):
                continue
            outcome = look(settings)
            with self._context.database.session() as session:
                record(session, name, settings, outcome, answered=requested)
            self._due[name] = time.monotonic() + self._catalog.crawl_minutes * 60
            if outcome.error:
                log.warning("source %s: %s", name, outcome.error)

    def _agree_with_settings(self) -> dict[str, datetime]:
        """Add new sources, drop vanished ones, and return the requests for a crawl."""
        with self._context.database.reading() as session:
            rows = {row.name: row for row in session.scalars(select(SourceRow))}
        known = set(self._catalog.sources)
        if rows.keys() != known:
            with self._context.database.session() as session:
                session.execute(delete(SourceRow).where(SourceRow.name.not_in(known)))
                for name in known - rows.keys():
                    session.merge(SourceRow(name=name, kind="unknown", state=CrawlState.pending))
        return {
            name: row.crawl_requested_at
            for name, row in rows.items()
            if row.crawl_requested_at is not None
        }


def look(settings: SourceSettings) -> Outcome:
    """Crawl a source; the error of one that fails never holds its URL or password."""
    try:
        return Outcome(connect(settings).crawl(), None)
    except ProblemError as error:
        message = f"{error.detail} {error.fix or ''}".strip()
    except DBAPIError as error:
        message = str(error.orig).strip()
    # A driver may raise anything; whatever it is, the source shows it.
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
    return Outcome(None, scrub(message, settings)[:2000])


def record(
    session: Session,
    name: str,
    settings: SourceSettings,
    outcome: Outcome,
    *,
    answered: datetime | None = None,
) -> None:
    """Write what a crawl gave; ``answered`` is the request it answers."""
    # The row is the lock by which two workers take turns.
    row = session.get(SourceRow, name, with_for_update=True)
    if row is None:
        row = SourceRow(name=name)
        session.add(row)
    row.kind = kind_of(settings)
    row.description = settings.description
    row.groups = list(settings.groups)
    if row.crawl_requested_at == answered:
        row.crawl_requested_at = None
    row.error = outcome.error
    row.state = CrawlState.failed.value
    session.flush()
    if outcome.crawl is None:
        return
    row.state = CrawlState.ready.value
    row.crawled_at = utcnow()
    left_out = list(outcome.crawl.left_out)
    session.execute(delete(DatasetRow).where(DatasetRow.source == name))
    for found in outcome.crawl.found:
        dataset = _dataset(name, found)
        if len(dataset.name) <= LONGEST_NAME and len(found.table) <= LONGEST_PART:
            session.add(dataset)
        else:
            left_out.append(f"{found.table[:40]}…: its name is too long")
    if left_out:
        row.error = scrub(f"Left out: {'; '.join(left_out)}.", settings)[:2000]
    datasets.crawled(session, name)


def _dataset(source: str, found: Found) -> DatasetRow:
    return DatasetRow(
        name=dataset_name(source, found.schema, found.table),
        source=source,
        schema_name=found.schema,
        table=found.table,
        kind=found.kind,
        row_count=found.row_count,
        modified_at=found.modified,
        writes=found.writes,
        comment=found.comment,
        columns=[
            ColumnRow(
                position=position,
                name=column.name[:LONGEST_PART],
                type=column.type[:LONGEST_PART],
                nullable=column.nullable,
                comment=column.comment,
            )
            for position, column in enumerate(found.columns)
        ],
    )
