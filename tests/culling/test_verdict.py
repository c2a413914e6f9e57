"""When an idle workspace is warned and shut off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from perijove.types.culling import Idleness
from perijove_hub.culling.verdict import Times

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR, WARNING = timedelta(hours=1), timedelta(minutes=5)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def test_it_goes_from_active_over_idle_and_warned_to_stopping() -> None:
    times = Times(active_at=NOON, idle=HOUR, warning=WARNING)
    assert times.state(at(1)) is Idleness.active
    assert times.state(at(30)) is Idleness.idle
    assert times.state(at(55)) is Idleness.warned
    assert times.shut_off_at == at(60)
    # Not a minute is it stopped without a warning that somebody could have seen.
    assert times.state(at(90)) is Idleness.warned
    warned = Times(active_at=NOON, idle=HOUR, warning=WARNING, warned_at=at(55))
    assert warned.state(at(59.9)) is Idleness.warned
    assert warned.state(at(60)) is Idleness.stopping


def test_a_late_warning_moves_the_end() -> None:
    times = Times(active_at=NOON, idle=HOUR, warning=WARNING, warned_at=at(90))
    assert times.shut_off_at == at(95)
    assert times.state(at(94)) is Idleness.warned
    assert times.state(at(95)) is Idleness.stopping


def test_activity_after_a_warning_takes_it_back() -> None:
    times = Times(active_at=at(56), idle=HOUR, warning=WARNING, warned_at=at(55))
    assert times.state(at(60)) is Idleness.active
    assert times.shut_off_at == at(116)


def test_who_keeps_it_alive_has_a_whole_idle_time_more() -> None:
    times = Times(active_at=NOON, idle=HOUR, warning=WARNING, warned_at=at(55), keep_until=at(117))
    assert times.state(at(60)) is Idleness.idle
    assert times.shut_off_at == at(117)


@given(
    active=st.floats(0, 500),
    warned=st.none() | st.floats(0, 600),
    keep=st.none() | st.floats(0, 600),
    now=st.floats(0, 1200),
)
def test_it_never_stops_what_was_not_warned_or_not_idle_for_long_enough(
    active: float, warned: float | None, keep: float | None, now: float
) -> None:
    times = Times(
        active_at=at(active),
        idle=HOUR,
        warning=WARNING,
        warned_at=None if warned is None else at(warned),
        keep_until=None if keep is None else at(keep),
    )
    if times.state(at(now)) is Idleness.stopping:
        assert now - active >= 60 - 1e-6
        assert warned is not None
        assert now - warned >= 5 - 1e-6
        assert keep is None or now >= keep - 1e-6
