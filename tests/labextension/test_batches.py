"""Backfills and sweeps in a real JupyterLab: planned, started, watched and cancelled."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from sqlalchemy import select

from perijove_hub.jobs.backfills.duty import BackfillDuty
from perijove_hub.jobs.sweeps.duty import SweepDuty
from perijove_hub.store.models import BackfillRow, SweepRow
from tests.fixtures.api import Api
from tests.fixtures.browser import PATIENCE, chromium, open_panel, screenshot
from tests.fixtures.hub import Hub
from tests.fixtures.lab import LAB_TOKEN, lab
from tests.jobs.notebooks import code, notebook
from tests.jobs.test_sweeps import end

pytestmark = pytest.mark.e2e

PARAMETERS = "day: datetime.date = None\nC: float = 0.5\nkind: str = 'l1'"


@pytest.fixture(scope="module")
def api(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api.running(hub, tmp_path_factory.mktemp("batches") / "api") as api:
        yield api


@pytest.fixture(scope="module")
def page(api: Api, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page of a job of ada's, in her JupyterLab."""
    with api.client("ada") as ada:
        cells = [code(PARAMETERS, tags=["parameters"]), code("print(C)")]
        body = {"name": "fits", "notebook": notebook(*cells)}
        ada.post("/jobs", json=body).raise_for_status()
    folder: Path = tmp_path_factory.mktemp("lab")
    with lab(folder, api, hub.token("ada")) as url, chromium() as browser:
        page = browser.new_page()
        page.goto(f"{url}lab?token={LAB_TOKEN}")
        files = page.locator(".jp-DirListing-item[title*='train.ipynb']")
        expect(files).to_be_visible(timeout=PATIENCE)
        open_panel(page, "Jobs")
        page.get_by_role("list", name="Jobs").get_by_text("fits").click()
        yield page


def article(page: Page) -> Locator:
    """The page of whatever is in front."""
    return page.locator(".lm-DockPanel-widget:not(.lm-mod-hidden) article.pj-Page")


def test_a_backfill_is_planned_before_it_starts_and_shows_every_slot(page: Page, api: Api) -> None:
    article(page).get_by_role("button", name="Backfill…").click()
    form = page.get_by_role("dialog")
    form.get_by_label("From", exact=True).fill("2026-01-01")
    form.get_by_label("Until", exact=True).fill("2026-01-06")
    form.get_by_label("Time zone").fill("Europe/Berlin")
    plan = form.get_by_role("group", name="What it will do")
    expect(plan).to_contain_text("5 to run")
    expect(plan.get_by_role("img")).to_have_count(5)
    form.get_by_label("Slot in kind").fill("%Q")
    expect(form.get_by_role("alert")).to_contain_text("'%Q' is no part of a time format")
    form.get_by_label("Slot in kind").fill("%d.%m.")
    expect(plan).to_contain_text("5 to run")
    screenshot(page, "batches-1-plan")
    form.get_by_role("button", name="Start").click()

    shown = article(page)
    expect(shown).to_contain_text("2026-01-01 until 2026-01-06, Europe/Berlin")
    BackfillDuty(api.context).tick()
    end(api.context, "failed", only=1)
    grid = shown.get_by_role("list", name="Slots of the backfill of fits")
    failed = grid.get_by_role("button", name="failed")
    expect(failed).to_have_count(1)
    # Whoever cannot tell the colours apart has a sign and the words.
    expect(failed).to_have_text("✕")
    words = "1/1/2026, 12:00:00 AM · day=2026-01-01, kind=01.01.: failed"
    expect(failed).to_have_attribute("title", words)
    screenshot(page, "batches-2-backfill")
    shown.get_by_role("button", name="Cancel").click()
    expect(grid.get_by_role("img", name="never begun")).to_have_count(3)
    expect(shown).to_contain_text("Cancelled by ada.")
    failed.click()
    expect(article(page)).to_contain_text("backfill")
    page.locator(".lm-DockPanel-tabBar").get_by_text("fits · backfill").click()
    shown.get_by_role("button", name="Run the rest").click()
    expect(grid.get_by_role("button", name="to run (before: failed)")).to_have_count(1)
    with api.context.database.reading() as session:
        asked = session.scalars(select(BackfillRow.spec).order_by(BackfillRow.created_at)).all()
    assert asked[1] == {**asked[0], "reprocess": "failed"}


def test_a_sweep_shows_its_best_trial_and_how_the_parameters_bear_on_it(
    page: Page, api: Api
) -> None:
    page.locator(".lm-DockPanel-tabBar").get_by_text("fits", exact=True).click()
    article(page).get_by_role("button", name="Sweep…").click()
    form = page.get_by_role("dialog")
    form.get_by_role("button", name="Start").click()
    expect(form.get_by_role("alert").first).to_contain_text("Which %metric")
    form.get_by_label("Metric").fill("loss")
    form.get_by_label("Values of C").fill("0.1, 1, 10, x")
    form.get_by_role("button", name="Start").click()
    expect(form.get_by_role("alert").first).to_contain_text("“x” is not a number")
    form.get_by_label("Values of C").fill("10, 0.1, 1")
    form.get_by_label("Runs at once").fill("3")
    expect(form).to_contain_text("3 runs")
    form.get_by_label(re.compile(r"^C \(")).select_option("fixed")
    expect(form).to_contain_text("How many runs it takes shows here")
    form.get_by_label(re.compile(r"^C \(")).select_option("choice")
    form.get_by_text("More", exact=True).click()
    form.get_by_label("Priority").fill("200")
    form.get_by_role("button", name="Start").click()
    expect(form.get_by_role("alert").first).to_contain_text("less than or equal to 100")
    form.get_by_label("Priority").fill("7")
    form.get_by_label("MLflow experiment").fill("mine")
    form.get_by_role("button", name="Start").click()

    shown = article(page)
    expect(shown).to_contain_text("smallest loss")
    SweepDuty(api.context).tick()
    end(api.context, lambda given: (given["C"] - 0.9) ** 2)
    SweepDuty(api.context).tick()
    trials = shown.get_by_role("table", name="Trials of the sweep of fits")
    expect(trials.get_by_role("row")).to_have_count(4)
    best = trials.get_by_role("row", selected=True)
    expect(best).to_contain_text("★ best0.01")
    expect(trials.locator("tbody tr").first).to_contain_text("★ best")
    chart = shown.get_by_role("figure", name="Parameters and loss")
    expect(chart.locator("canvas, svg").first).to_be_visible()
    expect(shown).to_contain_text("ended")
    expect(shown).to_contain_text("no run of MLflow above them")
    expect(shown.get_by_role("button", name="Show best run")).to_be_enabled()
    with api.context.database.reading() as session:
        asked = session.scalars(select(SweepRow.spec)).one()
    assert (asked["priority"], asked["experiment"]) == (7, "mine")
    screenshot(page, "batches-3-sweep")
