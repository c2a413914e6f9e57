"""Embedded accounts: no default password, and none stored in clear."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from perijove_hub.context import Context
from perijove_hub.exceptions import Invalid, NotFound
from perijove_hub.hub import accounts
from perijove_hub.store.models import LoginRow


def test_a_new_account_gets_a_password_that_works_and_is_told_once(context: Context) -> None:
    password = accounts.ensure(context.database, "ada", groups=["research"])
    assert password is not None
    assert accounts.check(context.database, "ada", password) is not None
    assert accounts.check(context.database, "ada", password + "x") is None
    assert accounts.ensure(context.database, "ada") is None


def test_an_unknown_user_never_gets_in(context: Context) -> None:
    assert accounts.check(context.database, "nobody", "") is None


def test_the_password_itself_is_not_stored(context: Context) -> None:
    password = accounts.ensure(context.database, "ada")
    assert password is not None
    with context.database.reading() as session:
        row = session.scalars(select(LoginRow)).one()
    assert password not in row.password_hash
    assert row.password_hash.startswith("scrypt$")


def test_two_accounts_never_share_a_password(context: Context) -> None:
    made = {accounts.ensure(context.database, f"user{n}") for n in range(5)}
    assert len(made) == 5


def test_a_reset_ends_the_old_password(context: Context) -> None:
    old = accounts.ensure(context.database, "ada")
    new = accounts.reset(context.database, "ada")
    assert old is not None
    assert accounts.check(context.database, "ada", old) is None
    assert accounts.check(context.database, "ada", new) is not None
    with pytest.raises(NotFound, match="nobody"):
        accounts.reset(context.database, "nobody")


@pytest.mark.parametrize("name", ["", "Ada", "../etc", "a b", "a/b", "x" * 33, "1st", "ä"])
def test_a_name_that_could_confuse_a_path_or_url_is_refused(context: Context, name: str) -> None:
    with pytest.raises(Invalid) as refused:
        accounts.ensure(context.database, name)
    assert refused.value.field == "name"
    assert refused.value.fix
