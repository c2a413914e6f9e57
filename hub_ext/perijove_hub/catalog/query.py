"""Run people's statements against sources they may read."""

from __future__ import annotations

import logging
import threading
from difflib import get_close_matches

from perijove.types.base import Principal
from perijove.types.catalog import Query
from perijove_hub.access import may_read_source
from perijove_hub.catalog.connector import connect, scrub
from perijove_hub.catalog.rows import Rows
from perijove_hub.catalog.statement import Statement
from perijove_hub.exceptions import Invalid, NotFound, Unavailable
from perijove_hub.settings import CatalogSettings, SourceSettings

log = logging.getLogger(__name__)

#: Queries one process runs at once; each may hold ``rows.MOST_BYTES``.
AT_ONCE = 4
#: Seconds a query waits for its turn.
PATIENCE_S = 5.0

_turns = threading.BoundedSemaphore(AT_ONCE)


def readable(settings: CatalogSettings, principal: Principal) -> dict[str, SourceSettings]:
    """Return the sources ``principal`` may read, by name."""
    return {
        name: source
        for name, source in sorted(settings.sources.items())
        if may_read_source(principal, source.groups)
    }


def find_source(settings: CatalogSettings, principal: Principal, name: str) -> SourceSettings:
    """Return a source the caller may read; raises ``NotFound`` for any other."""
    sources = readable(settings, principal)
    if name not in sources:
        near = get_close_matches(name, sources, n=1)
        yours = f"Sources you may read: {', '.join(sources) or 'none yet'}."
        raise NotFound(
            f"There is no source '{name}' that you may read.",
            field="source",
            fix=f"Did you mean '{near[0]}'?" if near else yours,
        )
    return sources[name]


def run_query(name: str, source: SourceSettings, query: Query) -> Rows:
    """Run a read-only statement.

    Returns at most ``query.limit`` rows, and never more than the source's own limit. Raises
    ``Invalid`` with the database's message and ``Unavailable``; neither tells where it is.
    """
    statement = Statement.of(query)
    if not _turns.acquire(timeout=PATIENCE_S):
        raise Unavailable("Too many queries run at once.", fix="Try again in a few seconds.")
    try:
        return connect(source).run(
            statement, limit=min(query.limit, source.row_limit), timeout_s=source.timeout_s
        )
    except Unavailable as error:
        log.warning("source %s: %s", name, error.detail)
        raise Unavailable(f"Source '{name}': {error.detail}", fix=error.fix) from None
    except Invalid as error:
        raise Invalid(scrub(error.detail, source), field=error.field, fix=error.fix) from None
    finally:
        _turns.release()
