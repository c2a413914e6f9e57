"""Promoting in a real JupyterLab: every type of parameter, slots to come, versions and limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, Page, expect

from tests.fixtures.api import Api
from tests.fixtures.browser import PATIENCE, chromium, screenshot
from tests.fixtures.hub import Hub
from tests.fixtures.lab import LAB_TOKEN, lab

pytestmark = pytest.mark.e2e

PARAMETERS = """\
from datetime import date, datetime
from typing import Literal
from perijove import Secret

cities: int = 3  # how many rows
share: float = 0.25
dry_run: bool = False  # changes nothing
label: str = "daily"
day: date = date(2026, 1, 31)
at: datetime = datetime(2026, 1, 31, 8, 30)
columns: list = ["name", "people"]
options: dict = {"deep": True}
method: Literal["fast", "exact"] = "fast"
limit: int | None = None  # no limit without one
token: Secret = "CITIES_TOKEN"  # of the service that counts people
"""

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}


def notebook(*code: str) -> dict[str, Any]:
    """Make a notebook of a parameters cell and others; the same cells have the same ids."""
    tagged = new_code_cell(PARAMETERS, id="parameters", metadata={"tags": ["parameters"]})
    cells = [new_code_cell(text, id=f"cell-{number}") for number, text in enumerate(code)]
    return new_notebook(cells=[tagged, *cells], metadata=KERNEL)


FIRST = ('people = open("data/cities.csv").read()', "print(people)\nprint(day)\nprint(method)")


@pytest.fixture(scope="module")
def api(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API; no worker runs."""
    with Api.running(hub, tmp_path_factory.mktemp("promote") / "api") as api:
        yield api


@pytest.fixture(scope="module")
def ada(api: Api) -> Iterator[httpx.Client]:
    with api.client("ada") as client:
        yield client


@pytest.fixture(scope="module")
def page(api: Api, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """ada's JupyterLab, with a notebook in the file browser that is not open."""
    folder = tmp_path_factory.mktemp("lab")
    with lab(folder, api, hub.token("ada")) as url, chromium() as browser:
        (folder / "home" / "data").mkdir()
        (folder / "home" / "data" / "cities.csv").write_text("Berlin,3755251\n")
        nbformat.write(notebook(*FIRST), folder / "home" / "cities.ipynb")
        page = browser.new_page()
        page.goto(f"{url}lab?token={LAB_TOKEN}")
        expect(item(page)).to_be_visible(timeout=PATIENCE)
        yield page


def item(page: Page) -> Locator:
    """Return the notebook in the file browser."""
    return page.locator(".jp-DirListing-item[title*='cities.ipynb']")


def wrong(form: Locator, field: str) -> Locator:
    """Return what a field says is wrong with it."""
    return form.locator(f"[data-field='{field}']").get_by_role("alert")


def job(ada: httpx.Client, name: str) -> dict[str, Any]:
    [found] = ada.get("/jobs", params={"name": name}).json()["items"]
    return dict(found)


def test_a_notebook_that_is_not_open_is_promoted_from_the_file_browser(page: Page) -> None:
    form = page.get_by_role("dialog")
    item(page).click(button="right")
    page.get_by_role("menuitem", name="Promote to a job…").click()
    expect(form.get_by_label("Name", exact=True)).to_have_value("cities")
    expect(form.get_by_label("data/cities.csv")).to_be_checked()
    expect(form.get_by_role("list", name="Parameters")).to_contain_text("how many rows")


def test_the_next_slots_are_shown_in_the_schedules_time_zone(page: Page) -> None:
    form = page.get_by_role("dialog")
    form.get_by_label("Schedule").select_option(label="When data changes")
    form.get_by_label("Dataset", exact=True).fill("no.such")
    expect(wrong(form, "schedule.dataset")).to_contain_text("no dataset 'no.such'")
    form.get_by_label("Schedule").select_option(label="Every day at 06:00")
    form.get_by_label("Time zone").fill("Asia/Tokyo")
    slots = form.get_by_role("group", name="Next runs").get_by_role("listitem")
    expect(slots).to_have_count(10)
    expect(slots.first).to_contain_text("06:00 (UTC+09:00)")
    form.get_by_label("Schedule").select_option(label="Other times…")
    form.get_by_label("Cron expression").fill("0 25 * * *")
    expect(wrong(form, "schedule.cron")).to_be_visible()
    form.get_by_label("Cron expression").fill("15 7 * * 1-5")
    expect(wrong(form, "schedule.cron")).to_have_count(0)
    expect(slots.first).to_contain_text("07:15 (UTC+09:00)")


def test_each_type_has_an_input_and_a_mistake_keeps_what_was_typed(page: Page) -> None:
    form = page.get_by_role("dialog")
    form.get_by_label("cities", exact=True).fill("12")
    form.get_by_label("dry_run", exact=True).check()
    form.get_by_label("day", exact=True).fill("2026-12-24")
    form.get_by_label("at", exact=True).fill("2026-12-24T18:00:00")
    form.get_by_label("method", exact=True).select_option("exact")
    form.get_by_label("No value for limit").uncheck()
    form.get_by_label("limit", exact=True).fill("100")
    form.get_by_label("columns", exact=True).fill('{"no": "list"}')
    form.get_by_label("token", exact=True).select_option(label="New secret…")
    form.get_by_label("Name of the secret").fill("CITIES_TOKEN")
    form.get_by_label("Value of the secret").fill("what nobody reads back")
    form.get_by_role("button", name="Save secret").click()
    expect(form.get_by_label("token", exact=True)).to_have_value("CITIES_TOKEN")
    form.get_by_role("button", name="Promote", exact=True).click()
    expect(wrong(form, "schedule.parameters.columns")).to_contain_text("is not a list")
    expect(form.get_by_label("columns", exact=True)).to_be_focused()
    expect(form.get_by_label("cities", exact=True)).to_have_value("12")
    screenshot(page, "promote-1-mistake")
    form.get_by_label("columns", exact=True).fill('["people"]')


def test_a_limit_that_is_too_high_opens_its_part_of_the_form(page: Page) -> None:
    form = page.get_by_role("dialog")
    form.get_by_text("More", exact=True).click()
    form.get_by_label("Memory in MiB").fill("999999")
    form.get_by_text("More", exact=True).click()
    form.get_by_role("button", name="Promote", exact=True).click()
    expect(wrong(form, "resources.memory_mb")).to_contain_text("more than a run may have")
    form.get_by_label("Memory in MiB").fill("512")


def test_the_job_has_what_the_form_said(page: Page, ada: httpx.Client) -> None:
    page.get_by_role("dialog").get_by_role("button", name="Promote", exact=True).click()
    article = page.get_by_role("article", name="cities", exact=True)
    expect(article).to_contain_text("512 MiB")
    expect(article).to_contain_text("Not run yet")
    expect(article.get_by_role("table", name="Versions of cities")).to_contain_text("latest")
    screenshot(page, "promote-2-job")
    found = job(ada, "cities")
    assert found["schedule"]["cron"] == "15 7 * * 1-5"
    assert found["schedule"]["timezone"] == "Asia/Tokyo"
    assert found["schedule"]["parameters"] == {
        "cities": 12,
        "dry_run": True,
        "day": "2026-12-24",
        "at": "2026-12-24T18:00:00",
        "columns": ["people"],
        "method": "exact",
        "limit": 100,
    }
    assert [one["path"] for one in found["latest"]["inputs"]] == ["data/cities.csv"]
    assert "what nobody reads back" not in page.content()


def test_a_schedule_is_changed_paused_and_removed_on_the_jobs_page(
    page: Page, ada: httpx.Client
) -> None:
    article = page.get_by_role("article", name="cities", exact=True)
    article.get_by_role("button", name="Edit schedule and limits…").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Schedule").select_option("every")
    form.get_by_label("Every", exact=True).fill("5")
    form.get_by_label("Unit of “Every”").select_option(label="seconds")
    expect(wrong(form, "schedule.every_s")).to_be_visible()
    form.get_by_label("Unit of “Every”").select_option(label="minutes")
    expect(form.get_by_role("group", name="Next runs").get_by_role("listitem")).to_have_count(10)
    form.get_by_role("button", name="Save", exact=True).click()
    expect(form).to_have_count(0)
    expect(article).to_contain_text("Every 5 minutes")
    article.get_by_role("button", name="Pause schedule").click()
    expect(article.get_by_role("button", name="Resume schedule")).to_be_visible()
    assert job(ada, "cities")["schedule"]["paused"]
    article.get_by_role("button", name="Edit schedule and limits…").click()
    form.get_by_label("Schedule").select_option("hand")
    form.get_by_role("button", name="Save", exact=True).click()
    expect(article).to_contain_text("only by hand")
    assert job(ada, "cities")["schedule"] is None


def test_two_versions_are_compared_and_one_is_approved(page: Page, ada: httpx.Client) -> None:
    later = notebook(FIRST[0], "print(day)\nprint(len(people))", "print('the end')")
    assert ada.post("/jobs", json={"name": "cities", "notebook": later}).status_code == 200
    article = page.get_by_role("article", name="cities", exact=True)
    article.get_by_label("Compare version 1").check()
    article.get_by_label("Compare version 2").check()
    article.get_by_role("button", name="Approve version 2").click()
    expect(
        article.get_by_role("button", name="Withdraw the approval of version 2…")
    ).to_be_visible()
    article.get_by_role("button", name="Compare 1 and 2").click()
    diff = page.get_by_role("article", name="cities: from version 1 to 2")
    expect(diff.locator("del")).to_have_count(2)
    expect(diff.locator("ins")).to_have_count(2)
    expect(diff).to_contain_text("the end")
    expect(diff.get_by_role("table", name="Files")).to_contain_text("data/cities.csv")
    screenshot(page, "promote-3-diff")


def test_an_approval_is_withdrawn(page: Page, ada: httpx.Client) -> None:
    page.locator(".lm-TabBar-tab[title^='cities']").first.click()
    article = page.get_by_role("article", name="cities", exact=True)
    article.get_by_role("button", name="Withdraw the approval of version 2…").click()
    page.get_by_role("dialog").get_by_role("button", name="Withdraw").click()
    expect(article.get_by_role("button", name="Approve version 2")).to_be_visible()
    versions = ada.get(f"/jobs/{job(ada, 'cities')['id']}/versions").json()["items"]
    assert [one["approved_by"] for one in versions] == [None, None]


def test_a_circle_is_refused_at_its_field_and_another_persons_change_is_kept(
    page: Page, ada: httpx.Client
) -> None:
    cities = job(ada, "cities")
    body = {"name": "report", "notebook": notebook(), "schedule": {"after": [cities["id"]]}}
    assert ada.post("/jobs", json=body).status_code == 201
    article = page.get_by_role("article", name="cities", exact=True)
    article.get_by_role("button", name="Edit schedule and limits…").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Schedule").select_option("after")
    form.get_by_label("report").check()
    form.get_by_role("button", name="Save", exact=True).click()
    expect(wrong(form, "schedule.after")).to_contain_text("cities → report → cities")
    form.get_by_label("Schedule").select_option("0 6 * * *")
    change = {"policy": {"priority": 7}, "resources": {"memory_mb": 700}}
    assert ada.patch(f"/jobs/{cities['id']}", json=change).status_code == 200
    form.get_by_role("button", name="Save", exact=True).click()
    expect(form).to_have_count(0)
    found = job(ada, "cities")
    assert found["schedule"]["cron"] == "0 6 * * *"
    assert (found["policy"]["priority"], found["resources"]["memory_mb"]) == (7, 700)


def test_an_open_notebook_is_promoted_as_it_is_and_run_and_a_stray_click_loses_nothing(
    page: Page, ada: httpx.Client
) -> None:
    item(page).dblclick()
    expect(page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(3)
    page.get_by_role("button", name="Insert a cell below").first.click()
    expect(page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(4)
    item(page).click(button="right")
    page.get_by_role("menuitem", name="Promote to a job…").click()
    form = page.get_by_role("dialog")
    expect(form).to_contain_text("the changes that are not saved")
    expect(form).to_contain_text("this becomes its version 3")
    form.get_by_label("Run it once, right away").check()
    form.get_by_label("cities", exact=True).fill("7")
    page.mouse.click(5, 400)
    expect(form.get_by_label("cities", exact=True)).to_have_value("7")
    form.get_by_role("button", name="Promote", exact=True).click()
    article = page.get_by_role("article", name="cities", exact=True)
    expect(article.get_by_role("table", name="Runs of cities")).to_contain_text("cities=7")
    found = job(ada, "cities")
    assert found["latest"]["version"] == found["last_run"]["version"] == 3
    assert found["last_run"]["parameters"] == {"cities": 7}


def test_a_deleted_job_is_gone_with_its_runs_and_what_follows_it_is_paused(
    page: Page, ada: httpx.Client
) -> None:
    run = job(ada, "cities")["last_run"]
    article = page.get_by_role("article", name="cities", exact=True)
    article.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("cities is deleted")).to_be_visible()
    assert ada.get("/jobs", params={"name": "cities"}).json()["items"] == []
    assert ada.get(f"/runs/{run['id']}").status_code == 404
    follower = job(ada, "report")["schedule"]
    assert follower["paused"]
    assert list(follower["after_names"].values()) == ["cities (deleted)"]
