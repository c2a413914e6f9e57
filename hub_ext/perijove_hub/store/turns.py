"""Work that must not be done twice at the same moment, however many processes try."""

from __future__ import annotations

import zlib

from sqlalchemy import func, select
from sqlalchemy.orm import Session


def take_turn(session: Session, name: str) -> None:
    """Wait until nobody else does ``name``, and keep others waiting until the transaction ends.

    SQLite needs nothing for it: a writing transaction there is alone from its start.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(zlib.crc32(name.encode()))))
