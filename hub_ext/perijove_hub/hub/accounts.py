"""Accounts of the embedded authenticator, in the store."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import select

from perijove_hub.exceptions import Invalid, NotFound
from perijove_hub.hub import passwords
from perijove_hub.store import Database
from perijove_hub.store.models import LoginRow

#: Also a folder, a container and a URL part, so strict.
NAME = re.compile(r"[a-z][a-z0-9._-]{0,31}")


def ensure(
    database: Database, name: str, *, groups: Sequence[str] = (), admin: bool = False
) -> str | None:
    """Make the account unless it exists; return its new password, ``None`` if it existed."""
    if not NAME.fullmatch(name):
        raise Invalid(
            f"'{name}' is not a user name.",
            field="name",
            fix="Use 1 to 32 lower-case letters, digits, '.', '_' and '-', a letter first.",
        )
    with database.session() as session:
        if session.get(LoginRow, name) is not None:
            return None
        password = passwords.generate()
        session.add(
            LoginRow(
                name=name,
                password_hash=passwords.hash_password(password),
                admin=admin,
                groups=sorted(groups),
            )
        )
        return password


def reset(database: Database, name: str) -> str:
    """Give the account a new password and return it. Raises ``NotFound``."""
    with database.session() as session:
        row = session.get(LoginRow, name)
        if row is None:
            raise NotFound(
                f"There is no account '{name}'.", fix=f"Add it with `perijove users add {name}`."
            )
        password = passwords.generate()
        row.password_hash = passwords.hash_password(password)
        return password


def check(database: Database, name: str, password: str) -> LoginRow | None:
    """Return the account when the password is right."""
    with database.reading() as session:
        row = session.get(LoginRow, name)
    return row if passwords.verify(password, row.password_hash if row else None) else None


def every(database: Database) -> Sequence[LoginRow]:
    """List the accounts by name."""
    with database.reading() as session:
        return session.scalars(select(LoginRow).order_by(LoginRow.name)).all()
