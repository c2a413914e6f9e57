"""A share of a GPU has one holder, however many ask at the same moment."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from perijove_hub.gpus import leases
from perijove_hub.store import Database
from perijove_hub.store.models import GpuLeaseRow, GpuRow
from tests.gpus.conftest import install
from tests.jobs.test_postgres import at_once


def take(database: Database, holder: str, gpus: float, kind: str = "workspace") -> Any:
    with database.session() as session:
        return leases.acquire(session, kind=kind, holder=holder, user="ada", gpus=gpus)


def give(database: Database, holder: str, kind: str = "workspace") -> None:
    with database.session() as session:
        leases.release(session, kind, holder)


def free(database: Database) -> tuple[float, int]:
    with database.reading() as session:
        return leases.free(session)


def test_whole_devices_are_exclusive_until_they_are_given_back(database: Database) -> None:
    one, two = install(database, 2)
    assert take(database, "ada/", 1) == [one]
    assert take(database, "grace/", 1) == [two]
    assert take(database, "eve/", 1) is None
    assert free(database) == (0, 2)
    give(database, "ada/")
    give(database, "ada/")
    assert take(database, "eve/", 1) == [one]


def test_who_asks_again_gets_what_they_hold(database: Database) -> None:
    one, _ = install(database, 2)
    assert take(database, "ada/", 1) == take(database, "ada/", 1) == [one]
    assert free(database) == (1, 2)
    # The same words for another kind of thing are another holder.
    assert take(database, "ada/", 1, kind="kernel") != [one]


def test_who_asks_for_another_amount_gives_back_first(database: Database) -> None:
    install(database, 2)
    take(database, "ada/", 1)
    assert len(take(database, "ada/", 2)) == 2
    assert take(database, "ada/", 3) is None
    assert free(database) == (2, 2)
    take(database, "ada/", 2)
    assert take(database, "ada/", 0) == []
    assert free(database) == (2, 2)


def test_several_devices_come_all_at_once_or_not_at_all(database: Database) -> None:
    install(database, 3)
    take(database, "grace/", 1)
    assert take(database, "ada/", 3) is None
    assert free(database) == (2, 3)
    assert len(take(database, "ada/", 2)) == 2


def test_fractions_share_one_device_and_leave_whole_ones_whole(database: Database) -> None:
    one, two = install(database, 2, shares=4)
    assert take(database, "a", 0.5) == [one]
    # 0.3 of 4 shares is 1.2: two of them.
    assert take(database, "b", 0.3) == [one]
    assert take(database, "c", 0.25) == [two]
    assert free(database) == (0.75, 2)
    assert take(database, "d", 1) is None
    assert take(database, "e", 0.8) is None
    assert take(database, "f", 0.75) == [two]


def test_a_fraction_of_an_unshared_device_is_all_of_it(database: Database) -> None:
    install(database, 1, shares=1)
    assert take(database, "a", 0.1) is not None
    assert take(database, "b", 0.1) is None


def test_seven_tenths_of_ten_shares_are_seven(database: Database) -> None:
    install(database, 1, shares=10)
    take(database, "a", 0.7)
    assert free(database) == (0.3, 1)


@pytest.mark.parametrize("amount", [-1, 1.5, math.nan, math.inf, -0.5])
def test_an_amount_that_nobody_can_hold_is_refused(database: Database, amount: float) -> None:
    install(database, 4)
    with pytest.raises(ValueError, match="gpus is"):
        take(database, "ada/", amount)


def test_a_vanished_device_is_not_handed_out_and_its_holder_gets_another(
    database: Database,
) -> None:
    one, two = install(database, 2)
    assert take(database, "ada/", 1) == [one]
    with database.session() as session:
        session.get_one(GpuRow, one).present = False
    assert free(database) == (1, 1)
    assert take(database, "ada/", 1) == [two]
    with database.reading() as session:
        assert leases.possible(session, 1)
        assert not leases.possible(session, 2)


def test_without_gpus_none_are_had(database: Database) -> None:
    assert free(database) == (0, 0)
    assert take(database, "ada/", 0) == []
    assert take(database, "ada/", 1) is None


def test_at_the_same_moment_every_share_still_has_one_holder(database: Database) -> None:
    install(database, 3, shares=2)
    # Wholes, pairs and halves in every order: what could deadlock or overlap.
    wants = [1, 2, 0.5, 1, 0.5, 2, 0.5, 1, 0.25, 1, 0.5, 2]
    for _ in range(3):
        got = at_once(
            *[lambda at=at, w=w: take(database, f"h{at}", w) for at, w in enumerate(wants)]
        )
        assert not [one for one in got if isinstance(one, Exception)], got
        with database.reading() as session:
            rows = session.scalars(select(GpuLeaseRow)).all()
        held = Counter(row.holder for row in rows)
        for at, want in enumerate(wants):
            shares = 0 if got[at] is None else max(1, int(want * 2))
            assert held[f"h{at}"] == shares, (at, want, got[at])
            of = {row.gpu for row in rows if row.holder == f"h{at}"}
            assert of == set(got[at] or [])
        # Who asked in vain asked when what was left was too little.
        assert sum(held.values()) >= 5
        for at in range(len(wants)):
            give(database, f"h{at}")
        assert free(database) == (3, 3)


def test_one_holder_that_asks_many_times_at_once_holds_one_lot(database: Database) -> None:
    install(database, 4)
    got = at_once(*[lambda: take(database, "ada/", 2) for _ in range(8)])
    assert all(one == got[0] for one in got), got
    assert free(database) == (2, 4)


def test_the_table_itself_refuses_a_second_holder(database: Database) -> None:
    (one,) = install(database, 1)
    take(database, "ada/", 1)
    with pytest.raises(IntegrityError), database.session() as session:
        session.add(GpuLeaseRow(gpu=one, share=0, kind="run", holder="r", user="eve"))
