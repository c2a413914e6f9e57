"""Runs in a real JupyterLab: watched while they go, explained when they fail, compared, charted."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect
from sqlalchemy import select

from perijove_hub.jobs import lineage
from perijove_hub.jobs.duty import JobDuty
from perijove_hub.jobs.retention import let_go
from perijove_hub.launch.local import LocalLauncher
from perijove_hub.settings import NotificationSettings, SourceSettings
from perijove_hub.store.models import (
    DatasetRow,
    DeliveryRow,
    NotificationRow,
    RunRow,
    SourceRow,
    UpstreamRow,
    utcnow,
)
from tests.fixtures.api import Api
from tests.fixtures.browser import PATIENCE, chromium, open_panel, run_command, screenshot
from tests.fixtures.hub import Hub
from tests.fixtures.lab import LAB_TOKEN, lab
from tests.jobs.notebooks import code, notebook
from tests.jobs.test_watching import events

pytestmark = pytest.mark.e2e

TELL = """\
import json, os
def tell(name, value):
    line = json.dumps({"name": name, "value": value, "step": 0, "at": 0})
    open(os.environ["PERIJOVE_METRICS"], "a").write(line + "\\n")
tell("loss", 1 / (1 + abs(C)))
os.makedirs("outputs/pages", exist_ok=True)
open("outputs/report.txt", "w").write(f"all went well with C = {C}")
open("outputs/pages/page.html", "w").write("<h1>A page</h1><script>document.body.remove()</script>")
print("told")"""
WAIT = """\
import time
while not os.path.exists({gate!r}):
    time.sleep(0.05)"""
CHECK = """\
# C has to be positive
assert C > 0, f"C is {C}"
print("done", C)"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """While there is no such file, runs wait in their third cell."""
    return tmp_path_factory.mktemp("gate") / "open"


@pytest.fixture(scope="module")
def api(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API, and a worker that does jobs."""
    stopping = threading.Event()
    with Api.running(hub, tmp_path_factory.mktemp("runs") / "api") as api:
        launcher = LocalLauncher(api.context.data.workloads)
        duty = JobDuty(api.context, launcher)

        def work() -> None:
            while not stopping.wait(0.1):
                duty.tick()

        thread = threading.Thread(target=work)
        thread.start()
        yield api
        stopping.set()
        thread.join()
        for status in launcher.list():
            launcher.stop(status.name)


@pytest.fixture(scope="module")
def ada(api: Api) -> Iterator[httpx.Client]:
    with api.client("ada") as client:
        yield client


@pytest.fixture(scope="module")
def job(api: Api, ada: httpx.Client, gate: Path) -> dict[str, Any]:
    """A job that ran before, when its cells took two, one and three seconds."""
    cells = [
        code("C: float = 0.5", tags=["parameters"]),
        code(TELL),
        code(WAIT.format(gate=str(gate))),
        code(CHECK),
    ]
    found: dict[str, Any] = ada.post(
        "/jobs", json={"name": "model", "notebook": notebook(*cells)}
    ).json()
    lines = [
        "C = 0.5",
        "C: float = 0.5",
        "import json, os",
        "import time",
        "# C has to be positive",
    ]
    for number in range(12):
        at = utcnow() - timedelta(hours=12 - number)
        seconds = [0.1, 0.1, 2.0, 1.0 + number, 3.0]
        kept = api.context.blobs.put(events(*zip(lines, seconds, strict=True), at=at.timestamp()))
        with api.context.database.session() as session:
            session.add(
                RunRow(
                    job_id=found["id"],
                    version=1,
                    owner="ada",
                    requested_by="ada",
                    trigger="schedule",
                    state="failed" if number % 5 == 3 else "succeeded",
                    parameters={"C": float(number)},
                    metrics={"loss": 1 / (1 + number), "auc": 0.8 + number / 100},
                    events_sha256=kept,
                    queued_at=at,
                    started_at=at,
                    ended_at=at + timedelta(seconds=sum(seconds)),
                )
            )
    return found


@pytest.fixture(scope="module")
def page(
    api: Api, hub: Hub, job: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """ada's JupyterLab."""
    folder = tmp_path_factory.mktemp("lab")
    with lab(folder, api, hub.token("ada")) as url, chromium() as browser:
        page = browser.new_page()
        page.goto(f"{url}lab?token={LAB_TOKEN}")
        expect(page.locator(".jp-DirListing-item[title*='train.ipynb']")).to_be_visible(
            timeout=PATIENCE
        )
        yield page


def article(page: Page) -> Locator:
    """The page of whatever is in front."""
    return page.locator(".lm-DockPanel-widget:not(.lm-mod-hidden) article.pj-Page")


def test_a_jobs_last_runs_are_charted(page: Page) -> None:
    open_panel(page, "Jobs")
    page.get_by_role("list", name="Jobs").get_by_text("model").click()
    charts = article(page).get_by_role("region", name="Over runs")
    for name in ("Seconds and state", "loss", "auc"):
        drawn = charts.get_by_role("figure", name=name, exact=True).locator("canvas, svg")
        expect(drawn.first).to_be_visible()
    charts.scroll_into_view_if_needed()
    screenshot(page, "runs-1-charts")


def test_a_running_run_shows_its_cells_and_its_output_so_far(
    page: Page, ada: httpx.Client, job: dict[str, Any]
) -> None:
    article(page).get_by_role("button", name="Run…", exact=True).click()
    form = page.get_by_role("dialog")
    form.get_by_label("C", exact=True).fill("2")
    form.get_by_role("button", name="Run", exact=True).click()
    run = article(page)
    cells = run.get_by_role("list", name="Cells")
    current = cells.locator("[aria-current='step']")
    expect(current).to_contain_text("import time", timeout=PATIENCE)
    # What it did before: the median of 1 to 12 seconds of the runs that succeeded.
    expect(current).to_contain_text("of about")
    expect(cells).to_contain_text("# C has to be positive")
    expect(run.get_by_role("region", name="Log")).to_contain_text("told")
    run.get_by_role("button", name="Show", exact=True).click()
    frame = run.locator("iframe")
    expect(frame).to_have_attribute("sandbox", "")
    expect(frame.content_frame.get_by_text("told", exact=True)).to_be_visible()
    # A cell leads to what it has put out, as it is by then; the arrow keys lead from cell to cell.
    cells.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(frame).to_have_attribute("src", re.compile(r"notebook\.html#cell-id=cell-\d+$"))
    expect(frame.content_frame.locator(":target")).to_be_visible()
    last = ada.get(f"/jobs/{job['id']}").json()["last_run"]["id"]
    for page_of in ("notebook", "notebook.html"):
        answer = ada.get(f"/runs/{last}/{page_of}")
        assert answer.headers["perijove-partial"] == "true"
        assert "told" in answer.text
    page.get_by_role("button", name="Show as it is now").scroll_into_view_if_needed()
    screenshot(page, "runs-2-running")


def test_a_lost_connection_comes_back_by_itself_and_moves_nothing(page: Page) -> None:
    run = article(page)
    log = run.get_by_role("region", name="Log")
    before = log.bounding_box()
    page.route("**/perijove/api/**", lambda route: route.abort())
    lost = page.get_by_role("status").filter(has_text="Connection lost")
    try:
        expect(lost.first).to_be_visible()
        expect(run.get_by_role("alert")).to_have_count(0)
        assert log.bounding_box() == before
        screenshot(page, "runs-2-lost")
    finally:
        page.unroute("**/perijove/api/**")
    expect(lost).to_have_count(0)
    assert log.bounding_box() == before


def test_an_ended_run_shows_its_metrics_and_files(page: Page, gate: Path) -> None:
    gate.touch()
    run = article(page)
    expect(run.get_by_role("button", name="Run again", exact=True)).to_be_visible()
    expect(run).to_contain_text("succeeded")
    expect(run.get_by_role("region", name="Metrics")).to_contain_text("0.333333")
    files = run.get_by_role("region", name="Files", exact=True)
    files.get_by_role("button", name="View report.txt").click()
    shown = files.locator("iframe")
    expect(shown).to_have_attribute("sandbox", "")
    expect(shown.content_frame.locator("body")).to_contain_text("all went well with C = 2.0")
    files.get_by_role("button", name="View pages/page.html").click()
    # Its script would have removed it.
    expect(shown.content_frame.get_by_role("heading", name="A page")).to_be_visible()
    with page.expect_download() as download:
        files.get_by_role("link", name="Download report.txt").click()
    assert download.value.suggested_filename == "report.txt"
    assert download.value.path().read_text() == "all went well with C = 2.0"
    files.scroll_into_view_if_needed()
    screenshot(page, "runs-3-ended")


def test_a_run_is_run_again_with_another_parameter_and_says_why_it_failed(page: Page) -> None:
    article(page).get_by_role("button", name="Run again with other parameters…").click()
    form = page.get_by_role("dialog")
    expect(form.get_by_label("C", exact=True)).to_have_value("2")
    form.get_by_label("C", exact=True).fill("-1")
    form.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    why = article(page).get_by_role("region", name="Why it did not succeed")
    expect(why).to_contain_text("A cell raised an error", timeout=PATIENCE)
    expect(why.locator(".pj-mod-raised")).to_contain_text("assert C > 0")
    why.get_by_text("Traceback", exact=True).click()
    expect(why.get_by_label("Traceback")).to_contain_text("AssertionError: C is -1.0")
    expect(article(page)).to_contain_text("an earlier run")
    screenshot(page, "runs-4-failed")


def test_two_runs_are_compared(page: Page) -> None:
    article(page).get_by_role("button", name="Compare with…").click()
    form = page.get_by_role("dialog")
    form.get_by_role("button", name="Compare", exact=True).click()
    found = article(page)
    values = found.get_by_role("table", name="Values of both runs")
    expect(values.get_by_role("row", name="C 2 -1 differs", exact=True)).to_be_visible()
    expect(values.get_by_role("row", name="report.txt")).to_contain_text("differs")
    cell = found.get_by_role("region", name="shows something else")
    expect(cell.first).to_be_visible()
    expect(found).to_contain_text("AssertionError: C is -1.0")
    screenshot(page, "runs-5-compared")


def test_two_runs_are_chosen_in_the_list_by_mouse_or_keys(page: Page) -> None:
    page.locator(".lm-DockPanel-tabBar .lm-TabBar-tab").get_by_text("model", exact=True).click()
    runs = article(page).get_by_role("table", name="Runs of model")
    compare = article(page).get_by_role("button", name="Compare", exact=True)
    boxes = runs.get_by_role("checkbox")
    boxes.nth(3).click()
    expect(compare).to_be_disabled()
    row = runs.get_by_role("row").nth(2)
    row.focus()
    expect(row).to_be_focused()
    row.press("Space")
    expect(boxes.nth(1)).to_be_checked()
    boxes.nth(0).press("Space")
    # The one that was ticked first is no longer.
    for number, ticked in enumerate([True, True, False, False]):
        expect(boxes.nth(number)).to_be_checked(checked=ticked)
    compare.press("Enter")
    values = article(page).get_by_role("table", name="Values of both runs")
    expect(values.get_by_role("row", name="C 2 -1 differs", exact=True)).to_be_visible()


def test_a_page_opens_by_its_link(page: Page) -> None:
    open_panel(page, "Jobs")
    page.get_by_role("list", name="Jobs").get_by_text("model").click()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    article(page).get_by_role("button", name="Copy a link to this page").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert "/lab?perijove=job%3A" in link
    other = page.context.new_page()
    other.goto(f"{link}&token={LAB_TOKEN}")
    expect(article(other).get_by_role("table", name="Runs of model")).to_be_visible()
    # A link says which thing it is, not what that is called.
    tab = other.locator(".lm-DockPanel-tabBar .lm-TabBar-tab.lm-mod-current")
    expect(tab).to_have_text("model")
    assert "perijove=" not in other.url
    other.close()


def test_a_run_whose_outputs_were_deleted_says_so(
    page: Page, api: Api, ada: httpx.Client, job: dict[str, Any]
) -> None:
    oldest = ada.get(f"/jobs/{job['id']}/series").json()[0]["id"]
    with api.context.database.session() as session:
        let_go(session, [oldest])
    page.locator(".lm-DockPanel-tabBar .lm-TabBar-tab").get_by_text("model", exact=True).click()
    article(page).get_by_role("table", name="Runs of model").get_by_role("row").last.click()
    expect(article(page)).to_contain_text("Its output, log and files were deleted")
    expect(article(page).get_by_role("region", name="Log")).to_have_count(0)
    screenshot(page, "runs-7-deleted")


def test_charts_follow_the_theme(page: Page) -> None:
    run_command(page, "JupyterLab Dark", "apputils:change-theme")
    expect(page.locator("body[data-jp-theme-name='JupyterLab Dark']")).to_be_attached()
    page.locator(".lm-DockPanel-tabBar .lm-TabBar-tab").get_by_text("model", exact=True).click()
    chart = article(page).get_by_role("figure", name="loss", exact=True)
    expect(chart.locator("canvas, svg").first).to_be_visible()
    chart.scroll_into_view_if_needed()
    screenshot(page, "runs-6-charts-dark")


def test_somebody_is_told_of_a_job(page: Page, api: Api) -> None:
    api.context.settings.notifications = NotificationSettings(allow=["127.0.0.1"])
    open_panel(page, "Jobs")
    page.get_by_role("list", name="Jobs").get_by_text("model").click()
    section = article(page).get_by_role("region", name="Notifications", exact=True)
    section.get_by_role("button", name="Notify…").click()
    form = page.get_by_role("dialog")
    form.get_by_label("URL").fill("https://10.0.0.1/hook?key=hunter2")
    form.get_by_label("it is late").check()
    form.get_by_role("button", name="Add").click()
    expect(form.get_by_role("alert")).to_contain_text("private address")
    screenshot(page, "notify-1-refused")
    form.get_by_label("URL").fill("http://127.0.0.1:9/hook?key=hunter2")
    form.get_by_role("button", name="Add").click()
    key = page.get_by_role("dialog").filter(has_text="It is shown only now")
    expect(key).to_contain_text("whsec_")
    key.get_by_role("button", name="Done").click()
    expect(section).to_contain_text("it fails, it is late, it succeeds after a failure")
    section.get_by_role("button", name="Test").click()
    expect(section.get_by_role("alert")).to_contain_text("does not answer")
    expect(section).not_to_contain_text("hunter2")
    with api.context.database.session() as session:
        order = session.scalars(select(NotificationRow)).one()
        for key, state, error in (("1", "sent", None), ("2", "given up", "127.0.0.1 answered 500")):
            session.add(
                DeliveryRow(
                    notification_id=order.id, key=key, event="failed", run_id=key, state=state,
                    attempts=6, error=error, next_at=utcnow(),
                )
            )  # fmt: skip
    messages = section.get_by_role("table", name="Messages of model")
    expect(messages).to_contain_text("given up after 6 tries")
    expect(messages).to_contain_text("127.0.0.1 answered 500")
    section.scroll_into_view_if_needed()
    screenshot(page, "notify-2-list")
    section.get_by_role("button", name="Remove").click()
    expect(section).to_contain_text("Tells a webhook or an address")


def test_a_runs_lineage_is_drawn_and_found_from_its_dataset(
    page: Page, api: Api, ada: httpx.Client, job: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "shop.sqlite"
    with sqlite3.connect(file) as database:
        database.execute("create table orders (id int)")
    source = SourceSettings(url=f"sqlite:///{file}", groups=["research"])
    api.context.settings.catalog.sources["shop"] = source
    first = ada.get(f"/jobs/{job['id']}/runs").json()["items"][-1]["id"]
    cell = notebook(code("1"))
    report = ada.post("/jobs", json={"name": "report", "notebook": cell}).json()["id"]
    ended = {"version": 1, "owner": "ada", "requested_by": "ada", "state": "succeeded"}
    with api.context.database.session() as session:
        session.add(SourceRow(name="shop", kind="sqlite", groups=["research"]))
        session.add(UpstreamRow(job_id=report, upstream_id=job["id"]))
        after = RunRow(job_id=report, trigger="after", upstream={"model": first}, **ended)
        session.add(after)
        session.flush()
        session.add(
            DatasetRow(name="shop.main.orders", source="shop", schema_name="main", table="orders")
        )
        lineage.looked_at(session, first, "shop.main.orders")
    open_panel(page, "Data")
    page.get_by_role("treeitem", name="shop").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_role("treeitem", name="orders").focus()
    page.keyboard.press("Enter")
    readers = article(page).get_by_role("table", name="Read by")
    readers.get_by_role("button", name="model").click()
    picture = article(page).get_by_role("region", name="Lineage", exact=True)
    expect(picture.get_by_role("button", name="read: dataset shop.main.orders")).to_be_visible()
    expect(picture.get_by_role("button", name="followed by: run report")).to_be_enabled()
    expect(picture.locator(".pj-mod-here")).to_contain_text("this run")
    expect(picture.locator("path:not(.pj-mod-head)")).to_have_count(2)
    picture.scroll_into_view_if_needed()
    screenshot(page, "runs-8-lineage")
    picture.get_by_role("button", name="report").click()
    expect(article(page).get_by_role("heading", name="report")).to_be_visible()
    article(page).get_by_role("button", name="Show job").click()
    export = article(page).get_by_role("button", name="Export")
    with page.expect_download() as download:
        export.click()
    assert download.value.suggested_filename == "ada-report.py"
    assert "DAG" in download.value.path().read_text()
    ada.delete(f"/jobs/{job['id']}").raise_for_status()
    export.click()
    # Not only a download that failed.
    expect(article(page).get_by_role("alert")).to_contain_text("runs after jobs that were deleted")


def test_an_attempt_that_failed_is_looked_at_after_the_next_one_went_well(
    page: Page, ada: httpx.Client, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    source = (
        f"import pathlib\nprint('try', 1 + (seen := pathlib.Path({str(again)!r}).exists()))\n"
        f"pathlib.Path({str(again)!r}).touch()\nassert seen, 'not yet'"
    )
    asked = code("note: str | None = None", tags=["parameters"])
    body = {"name": "flaky", "notebook": notebook(asked, code(source))}
    body |= {"policy": {"retries": 1, "retry_delay_s": 0}}
    job = ada.post("/jobs", json=body).json()
    ada.post(f"/jobs/{job['id']}/runs", json={"parameters": {"note": "of two\nlines"}})
    open_panel(page, "Jobs")
    jobs = page.get_by_role("list", name="Jobs")
    jobs.get_by_text("flaky").click(timeout=PATIENCE)
    runs = article(page).get_by_role("table", name="Runs")
    runs.get_by_text("succeeded").first.click(timeout=PATIENCE)
    run = article(page)
    expect(run.get_by_role("region", name="Log", exact=True)).to_contain_text("try 2")
    run.get_by_role("table", name="Attempts").get_by_text("not yet").click()
    expect(run.get_by_role("region", name="Log of attempt 1")).to_contain_text("try 1")
    why = run.get_by_role("region", name="Why attempt 1 did not succeed")
    expect(why.locator(".pj-mod-raised")).to_contain_text("assert seen")
    expect(run.get_by_role("region", name="Cells of attempt 1")).to_contain_text("import pathlib")
    output = run.get_by_role("region", name="Output notebook of attempt 1")
    # It is loaded when somebody can see it.
    output.scroll_into_view_if_needed()
    expect(output.locator("iframe").content_frame.get_by_text("try 1", exact=True)).to_be_visible()
    run.get_by_role("table", name="Attempts").scroll_into_view_if_needed()
    screenshot(page, "runs-4-attempts")
    run.get_by_role("table", name="Attempts").get_by_text("succeeded").click()
    expect(run.get_by_role("region", name="Log", exact=True)).to_contain_text("try 2")
    expect(why).to_have_count(0)
    run.get_by_role("button", name="Run again with other parameters…").click()
    form = page.get_by_role("dialog")
    # An input of one line would join them.
    expect(form.get_by_label("note", exact=True)).to_have_value("of two\nlines")
    form.get_by_role("button", name="Cancel").last.click()
