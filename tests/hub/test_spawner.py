"""Homes: one folder per user, whatever characters a name has."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perijove_hub.hub.spawner import home_of

HOMES = Path("/data/homes")


@given(st.text(min_size=1), st.text(min_size=1))
def test_different_names_never_share_a_home(one: str, other: str) -> None:
    assert (home_of(HOMES, one) == home_of(HOMES, other)) == (one == other)


@pytest.mark.parametrize("name", ["..", ".", "../root", "/etc", "a/../../b", "a\x00b"])
def test_no_name_climbs_out_of_the_homes(name: str) -> None:
    home = home_of(HOMES, name)
    assert home.parent == HOMES
    assert home.name not in ("", ".", "..")


def test_an_ordinary_name_is_its_folder() -> None:
    assert home_of(HOMES, "ada") == HOMES / "ada"
