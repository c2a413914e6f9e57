"""What a schedule is in words and by its next ten slots, and errors as the API tells them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from perijove.types.base import Principal
from perijove.types.jobs import AfterRule, Schedule, SchedulePreview
from perijove_hub.exceptions import Invalid
from perijove_hub.jobs import schedules
from tests.fixtures.api import Api
from tests.jobs.conftest import ADA, GRACE, Platform


def preview(platform: Platform, wanted: Schedule, by: Principal = ADA) -> SchedulePreview:
    with platform.context.database.reading() as session:
        return schedules.preview(session, platform.context, by, wanted)


def test_a_cron_expression_is_shown_in_utc_and_in_its_zone(platform: Platform) -> None:
    found = preview(platform, Schedule(cron="30 6 * * 1-5", timezone="Europe/Berlin"))
    assert found.text == "At 06:30 on Monday through Friday (Europe/Berlin)"
    assert len(found.slots) == len(found.local) == 10
    assert found.slots == sorted(set(found.slots))
    for slot, local in zip(found.slots, found.local, strict=True):
        assert slot.utcoffset() == timedelta()
        assert local[10:] in (" 06:30+01:00", " 06:30+02:00")


def test_an_interval_is_shown_from_now_on(platform: Platform) -> None:
    found = preview(platform, Schedule(every_s=90))
    assert found.text == "Every 1 minute 30 seconds, counted from when it is set"
    steps = {b - a for a, b in zip(found.slots, found.slots[1:], strict=False)}
    assert steps == {timedelta(seconds=90)}
    assert preview(platform, Schedule(every_s=3600)).text.startswith("Every hour,")
    assert preview(platform, Schedule(every_s=600)).text.startswith("Every 10 minutes,")


def test_what_goes_after_others_is_told_by_their_names_alone(platform: Platform) -> None:
    ids = [platform.promote(name=name).id for name in ("clean", "join")]
    for rule, said in (
        (AfterRule.all_success, "When each of these jobs has ended with success: clean, join"),
        (AfterRule.any_failure, "When one of these jobs has failed: clean, join"),
        (AfterRule.all_done, "When each of these jobs has ended, however it ended: clean, join"),
    ):
        found = preview(platform, Schedule(after=ids, rule=rule))
        assert (found.text, found.slots, found.local) == (said, [], [])
    with pytest.raises(Invalid):
        preview(platform, Schedule(after=ids), by=GRACE)


def test_every_form_of_cron_has_words(platform: Platform) -> None:
    for cron in (
        "*/5 * * * *",
        "0 9-17 * * MON-FRI",
        "0 0 L * *",
        "0 0 LW JAN,JUL *",
        "0 0 * * 5#2",
    ):
        assert preview(platform, Schedule(cron=cron)).text.endswith(" (UTC)")


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"cron": "0 0 6 * * *"}, "schedule.cron", "'0 0 6 * * *' has 6"),
        ({"cron": "0 0 30 2 *"}, "schedule.cron", "never comes due"),
        (
            {"cron": "0 6 * * *", "timezone": "Europe/Berln"},
            "schedule.timezone",
            "'Europe/Berln' is not a time zone",
        ),
        ({"cron": "0 6 * * *", "every_s": 60}, "schedule.every_s", "cron '0 6 * * *'"),
        ({"every_s": 5}, "schedule.every_s", "10 seconds to a year, this one has 5"),
        ({"every_s": 2**40}, "schedule.every_s", "10 seconds to a year"),
        ({}, "schedule", "does not say when"),
    ],
)
def test_a_bad_schedule_is_told_by_field_value_and_fix(
    api: Api, body: dict[str, Any], field: str, said: str
) -> None:
    with api.client("ada") as ada:
        answer = ada.post("/jobs/schedule/preview", json=body)
    told = answer.json()
    assert (answer.status_code, told["field"]) == (422, field), told
    assert said in told["detail"], told
    assert told["fix"], told


def test_the_api_previews_for_whoever_may_read(api: Api) -> None:
    with api.client("ada") as ada:
        found = ada.post("/jobs/schedule/preview", json={"cron": "0 6 * * *"}).json()
    assert found["text"] == "At 06:00 every day (UTC)"
    assert len(found["slots"]) == 10
    assert found["local"][0].endswith(" 06:00+00:00")
