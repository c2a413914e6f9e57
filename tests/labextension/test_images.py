"""The Images tab and its pages in a real JupyterLab; the worker's part is told by its ledger.

Real builds on a real engine are tried in ``tests/docker/test_builds.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from perijove.types.images import BuildState, Package
from perijove_hub.context import Context
from perijove_hub.images import ledger, service
from perijove_hub.images.log import BuildLog, folder_of
from perijove_hub.store.models import BuildRow, ImageRow, ImageVersionRow, utcnow
from tests.fixtures.api import Api
from tests.fixtures.browser import PATIENCE, chromium, open_panel, run_command, screenshot
from tests.fixtures.hub import Hub
from tests.fixtures.lab import LAB_TOKEN, lab
from tests.fixtures.processes import wait_until

pytestmark = pytest.mark.e2e


def digest(character: str) -> str:
    return f"sha256:{character * 64}"


def offer(context: Context, name: str, *, version: str, package: str) -> None:
    """Let an image be there that everyone may start."""
    with context.database.session() as session:
        service.register_builtin(
            session,
            name,
            digest=digest(version),
            description=f"The usual with {package}",
            interfaces=["lab"],
            size_bytes=1_354_000_000,
            packages=[
                Package(manager="pip", name=package, version="1.9.0"),
                Package(manager="apt", name="libc6", version="2.36"),
            ],
        )


def stand(context: Context, name: str, state: str, built: str | None = None) -> None:
    """Let an image of ada's be there whose only version starts nothing."""
    with context.database.session() as session:
        image = ImageRow(name=name, owner="ada")
        session.add(image)
        session.flush()
        session.add(
            ImageVersionRow(image_id=image.id, version=1, state=state, created_by="ada", spec=None)
        )
        if built:
            session.add(
                BuildRow(
                    image_id=image.id,
                    version=1,
                    requested_by="ada",
                    state=built,
                    reason="Step 1 of 3, pip, failed with status 1.",
                    ended_at=utcnow(),
                )
            )


@dataclass
class Worker:
    """Does to the build that waits longest what the worker does, without an engine."""

    context: Context

    def begin(self) -> None:
        """Take it and print the first lines of its first step."""
        wait_until(self._waits, what="a build")
        with self.context.database.session() as session:
            [build] = ledger.queued(session, 1)
            epoch = ledger.claim(session, build)
            assert epoch is not None
            ledger.progressed(session, build.id, epoch, step=1, steps=3, name="pip")
            log = BuildLog(folder_of(self.context, build.id))
        log.begin(1, "step 1 of 3, pip: polars")
        log.add(1, b"Collecting polars\n")

    def end(
        self, state: BuildState, reason: str | None = None, made: ledger.Made | None = None
    ) -> None:
        """End the one that runs."""
        kept = self.context.blobs.put(b"== step 1 of 3, pip: polars\nCollecting polars\nThe end\n")
        ending = ledger.Ending(state, reason, made=made, log_sha256=kept)
        with self.context.database.session() as session:
            [build] = ledger.running(session)
            assert ledger.finish(session, build.id, build.epoch, ending, approval=True)

    def _waits(self) -> bool:
        with self.context.database.reading() as session:
            return bool(ledger.queued(session, 1))

    def succeed(self, character: str) -> None:
        """End it with an image."""
        packages = [Package(manager="pip", name="polars", version=f"{character}.0")]
        self.end(BuildState.succeeded, made=ledger.Made(digest(character), 1_400_000_000, packages))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def api(hub: Hub, folder: Path) -> Iterator[Api]:
    """An API that takes builds; no worker runs."""
    with Api.running(hub, folder / "api") as api:
        object.__setattr__(api.context.topology, "spawner", "docker")
        offer(api.context, "cpu", version="a", package="scikit-learn")
        stand(api.context, "broken", "draft", "failed")
        stand(api.context, "ancient", "retired")
        yield api


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    with chromium() as browser:
        yield browser


@contextmanager
def opened(browser: BrowserContext, folder: Path, api: Api, token: str) -> Iterator[Page]:
    """Open the Images tab in somebody's JupyterLab."""
    with lab(folder, api, token) as url:
        page = browser.new_page()
        page.goto(f"{url}lab/tree/train.ipynb?token={LAB_TOKEN}")
        expect(page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(2, timeout=PATIENCE)
        open_panel(page, "Images")
        yield page
        page.close()


@pytest.fixture(scope="module")
def page(browser: BrowserContext, folder: Path, api: Api, hub: Hub) -> Iterator[Page]:
    """ada's JupyterLab."""
    with opened(browser, folder / "ada", api, hub.token("ada")) as page:
        yield page


@pytest.fixture
def worker(api: Api) -> Worker:
    return Worker(api.context)


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("list", name="Images").get_by_role("listitem").filter(has_text=name)


def article(page: Page, name: str) -> Locator:
    return page.get_by_role("article", name=name, exact=True)


def search(page: Page, words: str) -> None:
    page.get_by_role("searchbox", name="Search images and packages").fill(words)


def form(page: Page) -> Locator:
    return page.get_by_role("dialog")


def test_the_list_says_what_starts_and_offers_nothing_else(page: Page) -> None:
    expect(row(page, "cpu")).to_contain_text("approved")
    expect(row(page, "cpu")).to_contain_text("version 1 · 1.4 GB")
    expect(row(page, "broken")).to_contain_text("failed")
    expect(row(page, "ancient")).to_contain_text("retired")
    for name, starts in (("cpu", 1), ("broken", 0), ("ancient", 0)):
        start = row(page, name).get_by_role("button", name="Start a workspace")
        expect(start).to_have_count(starts)


def test_images_are_found_by_a_package_they_hold(page: Page) -> None:
    search(page, "scikit-learn")
    expect(row(page, "cpu")).to_be_visible()
    expect(row(page, "broken")).to_have_count(0)
    search(page, "libc6")
    expect(row(page, "cpu")).to_contain_text("has libc6")
    search(page, "no-such-thing")
    expect(page.get_by_role("tabpanel", name="Images")).to_contain_text("No image is called")
    search(page, "")
    expect(row(page, "broken")).to_be_visible()


def test_an_image_that_does_not_start_says_why_and_what_to_do(page: Page) -> None:
    row(page, "ancient").get_by_role("button", name="ancient").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    broken = article(page, "broken")
    expect(broken.locator(".pj-Reason")).to_contain_text("could not be built")
    expect(broken.get_by_role("button", name="Start a workspace")).to_have_count(0)
    expect(broken.get_by_role("button", name="New version…")).to_be_visible()
    broken.get_by_role("region", name="Builds").locator("tbody tr").focus()
    page.keyboard.press("Enter")
    build = article(page, "broken@1")
    expect(build.locator(".pj-Reason")).to_contain_text("failed with status 1")
    expect(build.get_by_role("button", name="Try again…")).to_be_visible()


def test_the_card_and_the_palette_open_the_form(page: Page) -> None:
    page.get_by_role("button", name="New Launcher").click()
    page.locator(".jp-LauncherCard").get_by_text("New image").click()
    expect(form(page).get_by_label("Name")).to_be_focused()
    page.keyboard.press("Escape")
    run_command(page, "New image", "perijove:new-image")
    expect(form(page).get_by_label("Base")).to_have_value("cpu")


def test_what_is_wrong_stands_at_its_field_and_what_is_right_opens_its_build(page: Page) -> None:
    wrong: dict[str, tuple[str, str, str]] = {
        "spec.name": ("Name", "Not a name", "tools"),
        "spec.apt": ("Debian packages", "tree !!", "tree"),
        "spec.requirements": ("Python packages", "polars\n-r others.txt", "polars"),
    }
    for label, value, _ in wrong.values():
        form(page).get_by_label(label).fill(value)
    for field, (label, _, value) in wrong.items():
        form(page).get_by_role("button", name="Build").click()
        expect(form(page).locator(f"[data-field='{field}']").get_by_role("alert")).to_be_visible()
        form(page).get_by_label(label).fill(value)
    form(page).get_by_label("Python packages").press("End")
    page.keyboard.press("Enter")
    page.keyboard.type("httpx")
    form(page).get_by_role("button", name="Build").click()
    expect(article(page, "tools@1")).to_contain_text("waits for its turn")


def notices(page: Page, words: str) -> Locator:
    return page.locator(".Toastify__toast").filter(has_text=words)


def test_a_build_is_watched_and_cancelled(page: Page, worker: Worker) -> None:
    worker.begin()
    build = article(page, "tools@1")
    expect(build).to_contain_text("step 1 of 3: pip")
    expect(build.locator(".pj-Log")).to_contain_text("Collecting polars")
    expect(row(page, "tools")).to_contain_text("building")
    build.get_by_role("button", name="Cancel").click()
    expect(build.get_by_role("button", name="Cancelling…")).to_be_disabled()
    worker.end(BuildState.cancelled, "Cancelled by ada.")
    expect(build.locator(".pj-Log")).to_contain_text("The end")
    expect(build.locator(".pj-Reason")).to_contain_text("Cancelled by ada.")


def test_another_try_starts_from_what_was_asked(page: Page, worker: Worker) -> None:
    article(page, "tools@1").get_by_role("button", name="Try again…").click()
    expect(form(page).get_by_label("Python packages")).to_have_value("polars\nhttpx")
    expect(form(page).get_by_label("Debian packages")).to_have_value("tree")
    form(page).get_by_role("button", name="Build").click()
    build = article(page, "tools@2")
    worker.begin()
    worker.succeed("2")
    expect(build.locator(".pj-Reason")).to_contain_text("perijove images approve tools@2")
    expect(build.get_by_role("button", name=re.compile("Approve|Start"))).to_have_count(0)


def test_the_end_of_a_build_is_told_once_and_opens_it(page: Page) -> None:
    waits = notices(page, "tools@2 has passed its tests and waits for an administrator")
    expect(waits).to_have_count(1)
    # What one has cancelled oneself is no news.
    expect(notices(page, "tools@1")).to_have_count(0)
    page.get_by_role("tab", name="train.ipynb").click()
    expect(article(page, "tools@2")).to_be_hidden()
    waits.get_by_role("button", name="Open").click()
    expect(article(page, "tools@2")).to_be_visible()


def test_what_ended_meanwhile_is_told_after_a_reload_and_nothing_again(
    page: Page, worker: Worker
) -> None:
    article(page, "tools@2").get_by_role("button", name="Show image").click()
    article(page, "tools").get_by_role("button", name="New version…").click()
    form(page).get_by_role("button", name="Build").click()
    expect(article(page, "tools@3")).to_contain_text("waits for its turn")
    away = page.url
    page.goto("about:blank")
    worker.begin()
    worker.end(BuildState.failed, "Step 1 of 3, pip, failed with status 1:\nno such package")
    page.goto(away)
    expect(notices(page, "tools@3 could not be built: Step 1 of 3")).to_have_count(1)
    expect(notices(page, "tools@2")).to_have_count(0)
    screenshot(page, "build-told")
    with page.expect_response("**/perijove/api/builds?**"):
        page.reload()
    open_panel(page, "Images")
    expect(row(page, "tools")).to_contain_text("failed")
    row(page, "tools").get_by_role("button", name="tools").click()
    expect(article(page, "tools")).to_be_visible()
    expect(page.locator(".Toastify__toast")).to_have_count(0)


def test_an_administrator_approves_rolls_back_and_retires(
    page: Page, browser: BrowserContext, folder: Path, api: Api, hub: Hub, worker: Worker
) -> None:
    article(page, "tools").get_by_role("button", name="New version…").click()
    form(page).get_by_role("button", name="Build").click()
    worker.begin()
    worker.succeed("4")
    with opened(browser, folder / "admin", api, hub.token("admin")) as theirs:
        row(theirs, "tools").get_by_role("button", name="tools").click()
        image = article(theirs, "tools")
        versions = image.get_by_role("table", name="Versions of tools")
        for number in (2, 4):
            versions.get_by_role("button", name=f"Approve version {number}").click()
            form(theirs).get_by_role("button", name="Approve").click()
            expect(image).to_contain_text(f"version {number} · 1.4 GB")
        expect(image.get_by_role("button", name="Start a workspace with it…")).to_be_visible()
        expect(image.get_by_role("table", name="Packages of tools@4")).to_contain_text("4.0")

        versions.get_by_role("button", name="Roll back to version 2").click()
        form(theirs).get_by_role("button", name="Cancel").click()
        expect(image).to_contain_text("version 4 · 1.4 GB")
        versions.get_by_role("button", name="Roll back to version 2").click()
        form(theirs).get_by_role("button", name="Roll back").click()
        expect(image).to_contain_text("version 2 · 1.4 GB")
        expect(image.get_by_role("table", name="Packages of tools@2")).to_contain_text("2.0")

        for number in (2, 4):
            versions.get_by_role("button", name=f"Retire version {number}").click()
            form(theirs).get_by_role("button", name="Retire").click()
            expect(versions.get_by_role("button", name=f"Retire version {number}")).to_have_count(0)
        expect(image.get_by_role("button", name="Start a workspace")).to_have_count(0)
        expect(image.locator(".pj-Reason")).to_contain_text("is retired")
    expect(row(page, "tools").get_by_role("button", name="Start a workspace")).to_have_count(0)


def test_a_failure_is_shown_with_another_try(page: Page) -> None:
    page.route("**/perijove/api/images?**", lambda route: route.abort())
    search(page, "cp")
    panel = page.get_by_role("tabpanel", name="Images")
    expect(panel.get_by_role("alert")).to_contain_text("Your server does not answer")
    page.unroute("**/perijove/api/images?**")
    panel.get_by_role("button", name="Try again").click()
    expect(row(page, "cpu")).to_be_visible()
    expect(panel.get_by_role("alert")).to_have_count(0)


def fill_in(page: Page, source: str) -> Locator:
    choice = form(page).get_by_label("Fill in from")
    choice.select_option(label=source)
    return form(page).locator("[data-field='fill']")


def test_the_form_is_filled_in_from_a_file(page: Page, folder: Path) -> None:
    home = folder / "ada" / "home"
    (home / "geo.toml").write_text(
        'name = "geo"\nbase = "cpu@1"\napt = ["tree", "jq"]\npip = ["polars>=1.9"]\n'
    )
    (home / "wrong.toml").write_text('name = "geo"\napt = ["--evil"]\n')
    page.get_by_role("button", name="New image…").click()
    name = form(page).get_by_label("Name")
    expect(name).to_be_focused()
    page.keyboard.press("Tab")
    expect(form(page).get_by_label("Fill in from")).to_be_focused()
    field = fill_in(page, "wrong.toml")
    expect(field.get_by_role("alert")).to_contain_text("'apt.0' cannot be '--evil'")
    screenshot(page, "image-form-wrong")
    fill_in(page, "geo.toml")
    expect(name).to_have_value("geo")
    expect(field.get_by_role("alert")).to_have_count(0)
    for label, value in {
        "Base": "cpu@1",
        "Python packages": "polars>=1.9",
        "Debian packages": "tree jq",
    }.items():
        expect(form(page).get_by_label(label)).to_have_value(value)
    screenshot(page, "image-form-filled")
    form(page).get_by_role("button", name="Build").click()
    expect(article(page, "geo@1")).to_contain_text("waits for its turn")


def test_the_form_is_filled_in_from_what_a_notebook_runs_in(page: Page) -> None:
    page.get_by_role("tab", name="train.ipynb").click()
    expect(page.locator(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator")).to_have_attribute(
        "data-status", "idle"
    )
    page.get_by_role("button", name="New image…").click()
    field = fill_in(page, "What train.ipynb runs in")
    expect(field.get_by_role("alert")).to_contain_text("does not run in an image")
    page.keyboard.press("Escape")
    cell = page.locator(".jp-Notebook .jp-CodeCell").last
    # As in an image; this machine's own Debian packages are no part of the question.
    code = (
        "import os, perijove.frozen; os.environ['PERIJOVE_IMAGE'] = 'cpu@1';"
        "perijove.frozen._apt = lambda base: ['tree']; print('so')"
    )
    cell.locator(".cm-content").fill(code)
    cell.locator(".cm-content").press("Control+Enter")
    expect(cell.locator(".jp-OutputArea-output")).to_contain_text("so")
    run_command(page, "JupyterLab Dark", "apputils:change-theme")
    expect(page.locator("body[data-jp-theme-name='JupyterLab Dark']")).to_be_attached()
    page.get_by_role("button", name="New image…").click()
    field = fill_in(page, "What train.ipynb runs in")
    expect(form(page).get_by_label("Debian packages")).to_have_value("tree")
    expect(form(page).get_by_label("Python packages")).to_have_value(re.compile(r"\nhttpx==\d"))
    expect(form(page).get_by_label("Base")).to_have_value("cpu@1")
    expect(field).to_contain_text("not in it: perijove")
    screenshot(page, "image-form-dark")
    page.keyboard.press("Escape")
