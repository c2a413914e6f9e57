"""A user's own secrets: keep, list, delete."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from perijove.types.base import Page, Principal
from perijove.types.secrets import LEAST, MOST_BYTES, Secret, SecretCreate
from perijove_hub.api.paging import paginate
from perijove_hub.context import Context
from perijove_hub.exceptions import Conflict, Invalid, NotFound, Refused
from perijove_hub.secrets.sealing import Sealer
from perijove_hub.store import audit
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import SecretRow

#: Most secrets of one user.
MOST = 200


class SecretService:
    """What may be done with secrets: everybody with their own, nobody with another's."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def list(self, principal: Principal, *, cursor: str | None, limit: int) -> Page[Secret]:
        """List the caller's secrets by name, without values."""
        _check_user(principal)
        with self._context.database.reading() as session:
            found, following = paginate(
                session,
                select(SecretRow).where(SecretRow.owner == principal.name),
                by=SecretRow.name,
                tie=SecretRow.owner,
                cursor=cursor,
                limit=limit,
            )
            return Page[Secret](items=[_wire(row) for row in found], next_cursor=following)

    def put(self, principal: Principal, name: str, body: SecretCreate) -> Secret:
        """Keep a secret; one of that name gets another value.

        Raises ``Invalid`` for a value that no environment variable can hold, and ``Conflict``
        for one secret too many.
        """
        _check_user(principal)
        value = _checked(body)
        sealed = Sealer(self._context.data).seal(value, owner=principal.name, name=name)
        try:
            return self._put(principal, name, sealed)
        except IntegrityError:
            # Made at the same moment: now it is there to be changed.
            return self._put(principal, name, sealed)

    def delete(self, principal: Principal, name: str) -> None:
        """Delete a secret; raises ``NotFound``."""
        _check_user(principal)
        with self._context.database.session() as session:
            row = session.get(SecretRow, (principal.name, name))
            if row is None:
                raise NotFound("You have no such secret.", fix="List your secrets.")
            session.delete(row)
            audit.record(session, principal, "secret.delete", name)

    def _put(self, principal: Principal, name: str, sealed: str) -> Secret:
        with self._context.database.session() as session:
            now = database_now(session)
            row = session.get(SecretRow, (principal.name, name))
            if row is None:
                _check_room(session, principal)
                row = SecretRow(owner=principal.name, name=name, created_at=now)
                session.add(row)
            row.sealed, row.updated_at = sealed, now
            audit.record(session, principal, "secret.put", name)
            session.flush()
            return _wire(row)


def _check_user(principal: Principal) -> None:
    """Refuse services and runs, whatever their tokens may do. Raises ``Refused``."""
    if principal.kind != "user":
        raise Refused("Only people have secrets.", fix="Use the token of a user.")


def _checked(body: SecretCreate) -> str:
    value = body.value
    size = len(value.encode())
    if len(value) < LEAST:
        raise Invalid(
            f"The value has fewer than {LEAST} characters, so it could not be told from other "
            "output and taken out of it.",
            field="value",
            fix="Use a longer one, or an ordinary parameter.",
        )
    if size > MOST_BYTES:
        raise Invalid(
            f"The value has {size:,} bytes; at most {MOST_BYTES:,} are kept.",
            field="value",
            fix="Keep it elsewhere, and a key to it here.",
        )
    if "\0" in value:
        raise Invalid(
            "The value holds a NUL character, which no environment variable can.",
            field="value",
            fix="Encode what is no text, such as in Base64.",
        )
    return value


def _check_room(session: Session, principal: Principal) -> None:
    kept = session.scalar(
        select(func.count()).select_from(SecretRow).where(SecretRow.owner == principal.name)
    )
    if (kept or 0) >= MOST:
        raise Conflict(f"You have {MOST} secrets, the most there may be.", fix="Delete some.")


def _wire(row: SecretRow) -> Secret:
    return Secret(name=row.name, created_at=row.created_at, updated_at=row.updated_at)
