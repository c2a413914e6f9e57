"""Remove blobs that nothing refers to.

The note of a loose blob is also the lock between storing and sweeping. The sweep takes the note
away in the transaction in which it removes the file, and storing renews the note before it looks
for the file. So either the sweep finds a renewed note and leaves the blob, or storing waits until
the sweep is done, finds no file and writes it again. Whoever is killed in between leaves the note,
and the next sweep looks again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Delete, delete, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from perijove_hub.store.blobs import BlobStore
from perijove_hub.store.clock import database_now
from perijove_hub.store.database import Database
from perijove_hub.store.models import (
    ArtifactRow,
    AttemptRow,
    BuildRow,
    JobInputRow,
    JobVersionRow,
    LooseBlobRow,
    RunRow,
    ShareRow,
)

log = logging.getLogger(__name__)

#: How long a loose blob is left alone: whoever stored it has that long to write the row that
#: names it, and a backup that began before has that long to copy it.
GRACE = timedelta(hours=1)
#: Blobs looked up at once.
_BATCH = 500

#: Every column that names a blob.
REFERENCES: tuple[InstrumentedAttribute[str] | InstrumentedAttribute[str | None], ...] = (
    JobVersionRow.notebook_sha256,
    RunRow.output_sha256,
    RunRow.log_sha256,
    RunRow.events_sha256,
    JobInputRow.sha256,
    ArtifactRow.sha256,
    AttemptRow.output_sha256,
    AttemptRow.log_sha256,
    AttemptRow.events_sha256,
    BuildRow.log_sha256,
    ShareRow.notebook_sha256,
)


def sweep(database: Database, blobs: BlobStore) -> None:
    """Look once at every blob that has been loose for ``GRACE``; remove what nothing names."""
    with database.reading() as session:
        before = database_now(session) - GRACE
        loose = session.scalars(
            select(LooseBlobRow.sha256).where(_old(before)).order_by(LooseBlobRow.since)
        ).all()
    for start in range(0, len(loose), _BATCH):
        batch = loose[start : start + _BATCH]
        with database.reading() as session:
            named = _named(session, batch)
        with database.session() as session:
            session.execute(_settled(before, *named))
        for address in batch:
            if address not in named:
                _remove(database, blobs, address, before)


def _remove(database: Database, blobs: BlobStore, address: str, before: datetime) -> None:
    try:
        with database.session() as session:
            ours = session.execute(_settled(before, address).returning(LooseBlobRow.sha256))
            # None: another worker was faster, or the blob was stored or let go of again.
            if ours.first() is None or _named(session, [address]):
                return
            blobs.remove(address)
    except OSError as error:
        # The note came back with the transaction, and the others need not wait for this one.
        log.warning("blob %s cannot be removed, trying again later: %s", address, error)


def _named(session: Session, addresses: Sequence[str]) -> set[str]:
    """Return those of ``addresses`` that a row names."""
    return {
        found
        for column in REFERENCES
        for found in session.scalars(select(column).where(column.in_(addresses)).distinct())
        if found is not None
    }


def _settled(before: datetime, *addresses: str) -> Delete:
    return delete(LooseBlobRow).where(LooseBlobRow.sha256.in_(addresses), _old(before))


def _old(before: datetime) -> ColumnElement[bool]:
    return LooseBlobRow.since <= before
