"""Flags become schedules, limits and policies, and say what does not go together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import pytest

from perijove.jobs.finding import JobError
from perijove.jobs.settings import changes, in_words, policy_of, resources_of, schedule_of
from perijove.magics.jobs import PROMOTE, VERBS, history, ranges, verbs
from perijove.options import OptionError, duration, seconds
from perijove.types.jobs import Policy, Schedule, ScheduleState
from perijove_hub.cli.jobs import jobs as command


def schedule(current: Schedule | None = None, **settings: Any) -> Schedule | None:
    def ids(names: Sequence[str]) -> list[str]:
        return [f"id-{name}" for name in names]

    return schedule_of(settings, ids=ids, current=current)  # type: ignore[arg-type]


def test_each_kind_of_schedule():
    found = schedule(schedule="0 6 * * *", timezone="Europe/Berlin", catch_up="all")
    assert found == Schedule(cron="0 6 * * *", timezone="Europe/Berlin", catch_up="all")
    assert schedule(every="6h") == schedule(every=21_600) == Schedule(every_s=21_600)
    found = schedule(after="load, clean", rule="all_done")
    assert found == Schedule(after=["id-load", "id-clean"], rule="all_done")
    assert schedule(on_data="demo.main.t", follow=3) == Schedule(dataset="demo.main.t", version=3)
    assert schedule(every="1d", catch_up_window="2d").catch_up_window_s == 172_800
    assert schedule() is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "0 6 * * *", "every": "6h"}, "--schedule and --every exclude each other"),
        ({"timezone": "UTC"}, "--timezone is for scheduled runs: add --schedule, --every"),
        ({"parameters": {"C": 1}}, "--param is for scheduled runs"),
        ({"every": "6h", "timezone": "Europe/Berlin"}, "--timezone goes with --schedule"),
        ({"every": "6h", "rule": "all_done"}, "--rule goes with --after"),
        (
            {"every": "6h", "catch_up_window": "5s"},
            "--catch-up-window is wrong: input should be greater than or equal to 60, not 5.",
        ),
        ({"every": "6h", "overlap": "both"}, "--overlap must be skip, queue, allow or cancel"),
        ({"every": "6h", "follow": "0"}, "--follow must be latest, approved or a version's number"),
        ({"every": "soon"}, "--every must be a duration such as 90s, 15m, 6h or 2d, not 'soon'"),
    ],
)
def test_what_does_not_go_together(settings: dict[str, Any], message: str):
    with pytest.raises((JobError, OptionError)) as caught:
        schedule(**settings)
    assert message in str(caught.value)


def test_an_edit_keeps_what_it_does_not_name():
    before = Schedule(
        cron="0 6 * * *", timezone="Europe/Berlin", overlap="allow", parameters={"C": 1, "n": 2}
    )
    assert schedule(before, overlap="skip") == before.model_copy(update={"overlap": "skip"})
    after = schedule(before, every="6h")
    assert after == Schedule(every_s=21_600, overlap="allow", parameters={"C": 1, "n": 2})
    assert schedule(before, parameters={"C": 3}).parameters == {"C": 3, "n": 2}
    only = changes(schedule(before, overlap="skip"), before)
    assert only is not None
    assert only.model_dump(exclude_unset=True) == {"overlap": "skip"}
    assert changes(before, before) is None
    limits = resources_of({"timeout_s": "2h", "memory_mb": "none"})
    assert limits is not None
    assert limits.model_dump(exclude_unset=True) == {"timeout_s": 7200, "memory_mb": None}
    policy = Policy(retries=3, concurrency=2)
    assert policy_of({"concurrency": "none", "retry_delay": "5m"}, current=policy) == Policy(
        retries=3, retry_delay_s=300
    )
    assert resources_of({"retries": 3}) is None
    assert policy_of({"memory_mb": 512}) is None


def test_durations_read_back_as_they_are_written():
    assert [seconds(text) for text in ("90s", "15m", "6h", "2d", "45")] == [
        90, 900, 21_600, 172_800, 45,
    ]  # fmt: skip
    assert [duration(one) for one in (90, 900, 21_600, 172_800, 45, 0)] == [
        "90s", "15m", "6h", "2d", "45s", "0s",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="a duration"):
        seconds("-5m")


def test_a_schedule_in_words():
    assert in_words(ScheduleState(cron="0 6 * * *", paused=True)) == "0 6 * * * UTC, paused"
    assert in_words(ScheduleState(every_s=900)) == "every 15m"
    after = ScheduleState(after=["a", "b"], after_names={"a": "load"})
    assert in_words(after) == "after load, another job"
    assert in_words(ScheduleState(dataset="demo.main.t")) == "on data demo.main.t"
    assert in_words(None) == ""


#: What a magic has no use for, or Python's own way of saying it.
_ELSEWHERE = {"--json", "--yes", "--wait", "--no-wait", "--name", "--path", "--param", "--help"}


@pytest.mark.parametrize(
    ("verb", "magic"),
    [
        ("create", PROMOTE),
        ("edit", verbs.EDIT),
        ("preview", verbs.PREVIEW),
        ("run", verbs.RUN),
        ("list", verbs.LIST),
        ("show", verbs.SHOW),
        ("logs", verbs.LOGS),
        ("cancel", verbs.CANCEL),
        ("pause", verbs.PAUSE),
        ("resume", verbs.RESUME),
        ("delete", verbs.DELETE),
        ("runs", history.RUNS),
        ("rerun", history.RERUN),
        ("artifacts", history.ARTIFACTS),
        ("compare", history.COMPARE),
        ("versions", history.VERSIONS),
        ("diff", history.DIFF),
        ("approve", history.APPROVE),
        ("backfill", ranges.BACKFILL_LINE),
        ("backfills", ranges.BACKFILLS),
        ("sweep", ranges.SWEEP_LINE),
        ("sweeps", ranges.SWEEPS),
    ],
)
def test_magic_and_command_line_have_the_same_flags(verb: str, magic: Any):
    ours = command.commands[verb]
    assert isinstance(ours, click.Command)
    there = {flag for one in ours.params for flag in one.opts if flag.startswith("--")}
    assert there - _ELSEWHERE == magic.flags - _ELSEWHERE


def test_the_parity_covers_every_command():
    assert set(command.commands) == {*VERBS, "create"}
