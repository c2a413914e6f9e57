"""The panel in a real JupyterLab and Chromium, in front of the real API and Hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, expect

from perijove_hub.catalog.duty import CrawlDuty
from perijove_hub.images import service
from perijove_hub.settings import CatalogSettings, Settings, SourceSettings
from tests.fixtures.api import Api
from tests.fixtures.browser import PATIENCE, chromium, open_panel
from tests.fixtures.hub import Hub
from tests.fixtures.lab import LAB_TOKEN, lab

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def page(hub: Hub, folder: Path) -> Iterator[Page]:
    """JupyterLab with the notebook open; MLflow is down and no worker runs."""
    (folder / "files").mkdir()
    (folder / "files" / "cities.csv").write_text("name,people\nBerlin,3755251\nPotsdam,187119\n")
    source = SourceSettings(path=str(folder / "files"), groups=["research"])
    settings = Settings(catalog=CatalogSettings(sources={"places": source}))
    with (
        Api.running(hub, folder / "api", settings) as api,
        in_image(api),
        lab(folder / "lab", api, hub.token("ada")) as url,
        chromium() as browser,
    ):
        CrawlDuty(api.context).tick()
        page = browser.new_page()
        page.goto(f"{url}lab/tree/train.ipynb?token={LAB_TOKEN}")
        expect(page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(2, timeout=PATIENCE)
        yield page


@contextmanager
def in_image(api: Api) -> Iterator[None]:
    """Let what starts think that it runs in an image."""
    with api.context.database.session() as session:
        service.register_builtin(
            session, "cpu", digest=f"sha256:{'1' * 64}", description="", interfaces=["lab"]
        )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PERIJOVE_IMAGE", "cpu@1")
        yield


def calls(page: Page, seconds: float) -> list[str]:
    """Return the paths the page asks the control plane for within some seconds."""
    seen: list[str] = []

    def note(request: Request) -> None:
        if "/perijove/api/" in request.url:
            seen.append(request.url.split("/perijove/api")[1].partition("?")[0])

    page.on("request", note)
    page.wait_for_timeout(seconds * 1000)
    page.remove_listener("request", note)
    return seen


def test_the_tree_is_walked_by_keyboard_and_inserts_a_cell(page: Page) -> None:
    open_panel(page, "Data")
    tree = page.get_by_role("tree", name="Data")
    tree.get_by_role("treeitem", name="places").focus()
    page.keyboard.press("ArrowRight")
    table = tree.get_by_role("treeitem", name="cities")
    expect(table).to_contain_text("2 rows")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(table).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(tree.get_by_role("treeitem", name="people")).to_contain_text("bigint")
    page.get_by_role("button", name="Insert cell", exact=True).click()
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    expect(cells).to_have_count(3)
    expect(cells.nth(1)).to_contain_text("%%sql places --out df")


def test_an_old_tree_says_that_the_connection_is_lost(page: Page) -> None:
    open_panel(page, "Data")
    data = page.get_by_role("tabpanel", name="Data")
    lost = data.get_by_role("status").filter(has_text="Connection lost")
    page.route("**/perijove/api/**", lambda route: route.abort())
    try:
        data.get_by_role("button", name="Refresh").click()
        expect(lost).to_be_visible()
        expect(data.get_by_role("treeitem", name="cities")).to_be_visible()
    finally:
        page.unroute("**/perijove/api/**")
    lost.get_by_role("button", name="Try now").click()
    expect(lost).to_have_count(0)


def test_a_table_opens_with_its_first_rows(page: Page) -> None:
    open_panel(page, "Data")
    page.get_by_role("treeitem", name="cities").focus()
    page.keyboard.press("Enter")
    rows = page.get_by_role("table", name="First rows of places")
    expect(rows).to_contain_text("Potsdam")


def test_a_failure_is_shown_with_its_fix_and_another_try(page: Page) -> None:
    open_panel(page, "Experiments")
    failure = page.get_by_role("tabpanel", name="Experiments").get_by_role("alert")
    expect(failure).to_be_visible()
    expect(failure.get_by_role("button", name="Try again")).to_be_visible()


def test_an_empty_list_says_what_to_do_first(page: Page) -> None:
    open_panel(page, "Jobs")
    jobs = page.get_by_role("tabpanel", name="Jobs")
    expect(jobs).to_contain_text("No jobs yet")
    expect(jobs).to_contain_text("%promote")


def test_a_wrong_schedule_is_refused_at_its_field_and_a_right_one_makes_a_job(page: Page) -> None:
    page.locator(".lm-DockPanel-tabBar").get_by_text("train.ipynb").click()
    page.get_by_role("button", name="Promote", exact=True).click()
    form = page.get_by_role("dialog")
    expect(form.get_by_label("Name", exact=True)).to_have_value("train")
    form.get_by_label("Schedule").select_option(label="Other times…")
    form.get_by_label("Cron expression").fill("61 * * * *")
    form.get_by_role("button", name="Promote", exact=True).click()
    expect(form.locator("[data-field='schedule.cron']").get_by_role("alert")).to_be_visible()
    form.get_by_label("Cron expression").fill("0 6 * * *")
    form.get_by_role("button", name="Promote", exact=True).click()
    expect(page.get_by_role("article", name="train")).to_contain_text("version 1")
    expect(page.get_by_role("article", name="train")).to_contain_text("cpu@1")
    expect(page.get_by_role("list", name="Jobs")).to_contain_text("train")


def test_a_wrong_parameter_is_refused_at_its_field_and_a_right_one_makes_a_run(page: Page) -> None:
    page.get_by_role("article", name="train").get_by_role("button", name="Run…").click()
    form = page.get_by_role("dialog")
    form.get_by_label("C", exact=True).fill("much")
    form.get_by_role("button", name="Run", exact=True).click()
    expect(form.locator("[data-field='parameters.C']").get_by_role("alert")).to_contain_text(
        "not a number"
    )
    form.get_by_label("C", exact=True).fill("2.5")
    form.get_by_role("button", name="Run", exact=True).click()
    run = page.get_by_role("article", name="train").last
    expect(run).to_contain_text("queued")
    expect(run.get_by_role("region", name="Parameters")).to_contain_text("2.5")


def test_a_run_is_cancelled_and_then_left_alone(page: Page) -> None:
    run = page.get_by_role("article", name="train").last
    run.get_by_role("button", name="Cancel").click()
    expect(run).to_contain_text("cancelled")
    expect(run.get_by_role("button", name="Run again", exact=True)).to_be_visible()
    calls(page, 3)  # The log's last piece.
    assert not [path for path in calls(page, 4) if path.startswith("/runs/")]


def test_what_nobody_sees_is_not_asked_for(page: Page) -> None:
    page.locator(".lm-DockPanel-tabBar").get_by_text("train.ipynb").click()
    open_panel(page, "Jobs")
    # Builds are looked at once a minute all the same: their end is told wherever one is.
    assert set(calls(page, 6)) - {"/builds"} == {"/jobs"}
    page.locator(".jp-SideBar [data-id='perijove-panel']").click()
    page.wait_for_load_state("networkidle")
    assert set(calls(page, 6)) <= {"/builds"}


def test_pages_come_back_after_a_reload(page: Page) -> None:
    tabs = page.locator(".lm-DockPanel-tabBar .lm-TabBar-tabLabel")
    before = {text for text in tabs.all_inner_texts() if text}
    assert {"train", "train · run"} <= before
    page.wait_for_timeout(1500)  # JupyterLab saves its layout a second after a change.
    page.reload()
    for text in before:
        expect(tabs.get_by_text(text, exact=True)).to_be_visible(timeout=PATIENCE)
