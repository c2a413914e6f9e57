"""A create sent twice with one key happens once."""

from __future__ import annotations

import hashlib

from pydantic import BaseModel
from sqlalchemy.orm import Session

from perijove_hub.exceptions import Conflict
from perijove_hub.store.models import IdempotencyRow


def earlier(
    session: Session, *, user: str, key: str | None, body: BaseModel, within: str = ""
) -> str | None:
    """Return the id that a create with this key made before, or ``None``.

    ``within`` is the object the URL names. Raises ``Conflict`` when the key was used for another
    body, or within another object.
    """
    if key is None:
        return None
    row = session.get(IdempotencyRow, (user, key))
    if row is None:
        return None
    if row.request_sha256 != _hash(body, within):
        raise Conflict(
            "This Idempotency-Key was used for another request.",
            field="Idempotency-Key",
            fix="Use a new key for a new request.",
        )
    return row.object_id


def remember(
    session: Session,
    *,
    user: str,
    key: str | None,
    body: BaseModel,
    object_id: str,
    within: str = "",
) -> None:
    """Record what a create made, in the same transaction as the object itself."""
    if key is not None:
        wanted = _hash(body, within)
        session.add(IdempotencyRow(user=user, key=key, request_sha256=wanted, object_id=object_id))


def _hash(body: BaseModel, within: str) -> str:
    # One key may not be taken for two things that happen to look alike: '{}' runs any job.
    request = f"{type(body).__name__} {within} {body.model_dump_json()}"
    return hashlib.sha256(request.encode()).hexdigest()
