"""The pages that start a workspace, in a real browser, with workspaces in Docker."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator

import docker
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from perijove.types.images import Package
from perijove_hub.context import Context
from perijove_hub.images.service import register_builtin
from perijove_hub.store.models import ImageRow, ImageVersionRow
from perijove_hub.workspaces import ledger
from tests.fixtures.browser import PATIENCE, chromium, log_in, screenshot
from tests.fixtures.product import Product

pytestmark = [pytest.mark.docker, pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture
def browser() -> Iterator[BrowserContext]:
    """A browser with an empty profile."""
    with chromium() as context:
        yield context


@pytest.fixture
def page(browser: BrowserContext, product: Product) -> Iterator[Page]:
    """Admin's browser, on the home page; what they started is stopped."""
    page = browser.new_page()
    log_in(page, product.url, "admin", product.passwords["admin"])
    yield page
    with product.client("admin") as client:
        client.delete("/hub/api/users/admin/server")


@pytest.fixture
def held(product: Product) -> Iterator[Callable[[], None]]:
    """Keep admin's next workspace from answering until this is called.

    By itself it answers within a second, and nobody sees the steps of its start.
    """
    engine, go_on = docker.from_env(), threading.Event()
    starts = engine.events(decode=True, filters={"event": "start", "label": "perijove.user=admin"})

    def hold() -> None:
        for event in starts:
            container = engine.containers.get(event["id"])
            container.pause()
            go_on.wait()
            # It may be gone.
            with contextlib.suppress(docker.errors.APIError):
                container.unpause()
            return

    thread = threading.Thread(target=hold)
    thread.start()
    yield go_on.set
    go_on.set()
    starts.close()
    thread.join()
    engine.close()


@pytest.fixture
def context(product: Product) -> Iterator[Context]:
    """The product's database."""
    context = Context.open(product.data, None)
    yield context
    context.database.close()


@pytest.fixture(scope="module", autouse=True)
def deep(product: Product) -> Iterator[None]:
    """A second image, which is the first one under another name."""
    context = Context.open(product.data, None)
    with contextlib.closing(docker.from_env()) as engine:
        image = engine.images.get("perijove/cpu:latest")
    with context.database.session() as session:
        register_builtin(
            session,
            "deep",
            digest=image.id,
            description="PyTorch for training",
            interfaces=["lab"],
            gpu=True,
            size_bytes=image.attrs["Size"],
            packages=[
                Package(manager="pip", name="torch", version="2.13"),
                Package(manager="pip", name="zarr", version="3.1"),
            ],
        )
    yield
    context.database.close()


def card(page: Page, field: str, name: str) -> Locator:
    """Return the card of an image or a size."""
    return page.locator(f"label.pj-card:has(input[name={field}][value={name}])")


def test_home_starts_the_default_in_one_click_and_shows_the_steps(
    page: Page, held: Callable[[], None]
) -> None:
    expect(page.locator(".pj-profile")).to_contain_text("cpu · small · JupyterLab")
    assert page.evaluate("document.activeElement.id") == "start"
    page.keyboard.press("Enter")
    page.wait_for_url("**/hub/spawn-pending/**")
    # Nothing that is worth stealing is in the address.
    assert "_xsrf" not in page.url
    steps = page.locator("#pj-progress li")
    expect(steps).to_have_text(["In line", "Home", "Container", "Server"])
    expect(page.locator("#pj-progress .pj-now")).to_have_text("Server", timeout=PATIENCE)
    screenshot(page, "start-pending")
    held()
    page.wait_for_url(re.compile("/user/admin/lab"), timeout=2 * PATIENCE)
    page.goto(page.url.split("/user/")[0] + "/hub/home")
    expect(page.locator("h1")).to_have_text("Your workspace is running")
    expect(page.locator("#start")).to_have_text("Open")
    screenshot(page, "start-home-running")


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_shows_images_sizes_and_what_they_have(product: Product, dark: bool) -> None:
    with chromium(dark=dark) as browser:
        page = browser.new_page()
        log_in(page, product.url, "grace", product.passwords["grace"])
        page.locator("#change-profile").click()
        expect(card(page, "image", "cpu").locator("input")).to_be_checked()
        expect(card(page, "image", "deep")).to_contain_text("torch 2.13")
        expect(card(page, "size", "medium")).to_contain_text("0.50 EUR an hour")
        expect(card(page, "size", "gpu")).to_contain_text("1 GPU; 1 of 1 free now")
        expect(page.locator("#start")).to_be_focused()
        assert page.evaluate("document.documentElement.dataset.bsTheme") == (
            "dark" if dark else "light"
        )
        screenshot(page, f"start-form-{'dark' if dark else 'light'}")


def test_search_finds_packages_and_enter_takes_what_was_found(page: Page) -> None:
    page.locator("#change-profile").click()
    search = page.locator("#pj-search")
    search.fill("ZARR")
    expect(page.locator("#pj-images .pj-card:visible")).to_have_count(1)
    expect(page.locator("#pj-images .pj-card:visible")).to_contain_text("zarr 3.1")
    screenshot(page, "start-search")
    search.press("Enter")
    expect(page.locator("#pj-summary")).to_have_text("deep · small · JupyterLab")
    expect(page.locator("#start")).to_be_focused()
    # It opens JupyterLab alone.
    expect(page.locator("input[name=interface][value=notebook]")).to_be_disabled()
    search.fill("nothing has this")
    expect(page.locator("#pj-none")).to_be_visible()


def test_what_is_chosen_starts_opens_and_is_remembered(page: Page, context: Context) -> None:
    page.locator("#change-profile").click()
    card(page, "size", "medium").click()
    page.locator(".pj-segments").get_by_text("Terminal").click()
    page.locator("#pj-idle").select_option("30")
    page.locator("#start").click()
    page.wait_for_url(re.compile("/user/admin/terminals/1"), timeout=2 * PATIENCE)
    expect(page.locator(".jp-Terminal")).to_be_visible()
    screenshot(page, "start-terminal")
    with context.database.reading() as session:
        choice = ledger.of(session, "admin", "").choice
    assert (choice["size"], choice["interface"], choice["idle_minutes"]) == (
        "medium",
        "terminal",
        30,
    )
    page.goto(page.url.split("/user/")[0] + "/hub/home")
    expect(page.locator(".pj-profile")).to_contain_text("cpu · medium · Terminal")


def test_cancel_leaves_and_the_last_choice_waits_for_one_click(
    page: Page, held: Callable[[], None]
) -> None:
    page.locator("#start").click()
    page.wait_for_url("**/hub/spawn-pending/**")
    expect(page.locator("#pj-progress .pj-now")).to_have_text("Server", timeout=PATIENCE)
    page.locator("#stop-server-btn").click()
    held()
    page.wait_for_url("**/hub/home", timeout=PATIENCE)
    expect(page.locator("#start")).to_have_text("Start")


def test_a_choice_that_has_become_impossible_is_said_on_the_page(
    page: Page, context: Context
) -> None:
    page.locator("#change-profile").click()
    card(page, "image", "deep").click()
    card(page, "size", "medium").click()
    with context.database.session() as session:
        image = session.query(ImageRow).filter_by(name="deep").one()
        version = session.get_one(ImageVersionRow, (image.id, image.current))
        version.state = "retired"
    try:
        page.locator("#start").click()
        expect(page.locator(".alert").first).to_contain_text("is retired")
        # The rest of what was wanted is still selected.
        expect(card(page, "size", "medium").locator("input")).to_be_checked()
        screenshot(page, "start-refused")
    finally:
        with context.database.session() as session:
            session.merge(version).state = "approved"


def test_why_the_last_one_ended_stands_on_home_and_form(page: Page, context: Context) -> None:
    why = "Your workspace ran out of memory: python (process 7) was killed, and it ended."
    with context.database.session() as session:
        ledger.note(session, user="admin", server="", ending=why)
    page.reload()
    expect(page.locator(".alert")).to_contain_text(why)
    screenshot(page, "start-home-ending")
    page.locator("#change-profile").click()
    expect(page.locator(".alert")).to_contain_text(why)
    with context.database.session() as session:
        ledger.of(session, "admin", "").ending = None


def test_a_link_selects_and_starts_nothing(page: Page, product: Product) -> None:
    page.goto(f"{product.url}/hub/spawn/admin?opt-image=deep&opt-size=medium")
    expect(page.locator("#pj-summary")).to_have_text("deep · medium · JupyterLab")
    expect(page.locator(".alert")).to_contain_text("A link has selected")
    with product.client("admin") as client:
        assert not product.server(client, "admin")
    page.goto(f"{product.url}/hub/spawn/admin?opt-volumes=/")
    expect(page.locator(".alert")).to_contain_text("There is no field 'volumes'")


def test_without_javascript_one_can_choose_and_start(product: Product) -> None:
    with chromium() as browser:
        plain = browser.browser
        assert plain is not None
        page = plain.new_context(java_script_enabled=False).new_page()
        page.set_default_timeout(PATIENCE)
        log_in(page, product.url, "grace", product.passwords["grace"])
        page.locator("#change-profile").click()
        expect(page.locator("#pj-search")).to_be_hidden()
        card(page, "size", "small").click()
        screenshot(page, "start-form-plain")
        page.locator("#start").click()
        page.wait_for_url("**/hub/spawn-pending/**")
        # The page comes again by itself, and is the workspace in the end.
        page.wait_for_url(re.compile("/user/grace/lab"), timeout=2 * PATIENCE)
    with product.client("grace") as client:
        client.delete("/hub/api/users/grace/server")
