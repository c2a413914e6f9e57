"""A create sent twice with one key happens once."""

from __future__ import annotations

import hashlib

from pydantic import BaseModel
from sqlalchemy.orm import Session

from perijove_hub.exceptions import Conflict
from perijove_hub.store.models import IdempotencyRow


def earlier(session: Session, *, user: str, key: str | None, body: BaseModel) -> str | None:
    """Return the id that a create with this key made before, or ``None``.

    Raises ``Conflict`` when the key was used for another body.
    """
    if key is None:
        return None
    row = session.get(IdempotencyRow, (user, key))
    if row is None:
        return None
    if row.request_sha256 != _hash(body):
        raise Conflict(
            "This Idempotency-Key was used for another request.",
            field="Idempotency-Key",
            fix="Use a new key for a new request.",
        )
    return row.object_id


def remember(
    session: Session, *, user: str, key: str | None, body: BaseModel, object_id: str
) -> None:
    """Record what a create made, in the same transaction as the object itself."""
    if key is not None:
        session.add(
            IdempotencyRow(user=user, key=key, request_sha256=_hash(body), object_id=object_id)
        )


def _hash(body: BaseModel) -> str:
    return hashlib.sha256(body.model_dump_json().encode()).hexdigest()
