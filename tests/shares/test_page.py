"""The page of shared notebooks in a real JupyterLab, by mouse and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.fixtures.api import Api
from tests.fixtures.browser import PATIENCE, chromium, run_command
from tests.fixtures.hub import Hub
from tests.fixtures.lab import LAB_TOKEN, lab
from tests.shares.test_routes import listed, share

pytestmark = pytest.mark.e2e

#: Written from right to left.
HEBREW = "דוח.ipynb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shares")


@pytest.fixture(scope="module")
def api(hub: Hub, folder: Path) -> Iterator[Api]:
    with Api.running(hub, folder / "api") as api:
        yield api


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(browser: BrowserContext, folder: Path, api: Api, hub: Hub) -> Iterator[Page]:
    """grace's JupyterLab with the page of shared notebooks, where nothing is yet."""
    with lab(folder / "grace", api, hub.token("grace")) as url:
        page = browser.new_page()
        page.goto(f"{url}lab/tree/train.ipynb?token={LAB_TOKEN}")
        expect(page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(2, timeout=PATIENCE)
        expect(page.locator(".jp-SideBar [data-id='perijove-panel']")).to_be_visible()
        run_command(page, "Shared notebooks", "perijove:open-shares")
        expect(page.get_by_role("heading", name="Shared notebooks")).to_be_visible()
        yield page


def received(page: Page) -> Locator:
    return page.get_by_role("list", name="Shared with me").get_by_role("listitem")


def sent(page: Page) -> Locator:
    return page.get_by_role("list", name="Shared by me").get_by_role("listitem")


def look_again(page: Page) -> None:
    """Read the lists now, by other words that every name holds, instead of seconds later."""
    box = page.get_by_role("searchbox", name="Search shared notebooks")
    box.fill("ipynb" if box.input_value() == ".ipynb" else ".ipynb")


def test_an_empty_list_says_what_to_do_first(page: Page) -> None:
    expect(page.get_by_text("Nobody has shared a notebook with you yet")).to_be_visible()
    expect(page.get_by_text("%share --to NAME")).to_be_visible()


def test_a_share_is_dismissed_by_keyboard_and_the_copy_stays(
    page: Page, api: Api, folder: Path
) -> None:
    with api.client("ada") as ada:
        first = share(ada, receiver="grace", message="Look at the last cell")["id"]
        share(ada, receiver="grace", name=HEBREW)
        share(ada, receiver="grace", name="third.ipynb")
    look_again(page)
    expect(received(page)).to_have_count(3)
    expect(received(page).nth(1).locator("bdi")).to_have_text(HEBREW)
    report = received(page).filter(has_text="Look at the last cell")
    report.get_by_role("button", name="Open a copy of report.ipynb").click()
    expect(page.get_by_role("tab", name="report.ipynb")).to_be_visible()
    copy = folder / "grace" / "home" / "Shared with me" / "report.ipynb"
    assert copy.exists()

    page.get_by_role("tab", name="Shared notebooks").click()
    opens = [row.get_by_role("button", name=re.compile("Open")) for row in received(page).all()]
    opens[0].focus()
    page.keyboard.press("End")
    expect(opens[2]).to_be_focused()
    page.keyboard.press("Delete")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Dismiss report.ipynb?")
    page.keyboard.press("Escape")
    expect(received(page)).to_have_count(3)
    expect(opens[2]).to_be_focused()
    page.keyboard.press("Delete")
    expect(dialog).to_contain_text("A copy that you opened stays.")
    page.keyboard.press("Enter")
    expect(received(page)).to_have_count(2)
    expect(opens[1]).to_be_focused()
    assert copy.exists()
    with api.client("grace") as grace, api.client("ada") as ada:
        assert len(listed(grace)) == 2
        assert ada.get(f"/shares/{first}").json()["dismissed"] is True


def test_the_sender_sees_who_has_dismissed_it_and_takes_it_back(page: Page, api: Api) -> None:
    with api.client("grace") as grace, api.client("ada") as ada:
        ours = share(grace, receiver="ada", name="ours.ipynb")["id"]
        ada.post(f"/shares/{ours}/dismiss").raise_for_status()
    look_again(page)
    expect(sent(page)).to_contain_text("with ada · dismissed")
    sent(page).get_by_role("button", name="Stop sharing ours.ipynb").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop sharing").click()
    expect(sent(page)).to_have_count(0)
    expect(page.get_by_text("No shared notebook matches")).to_be_visible()
    with api.client("grace") as grace:
        assert listed(grace, box="sent") == []


def test_a_failing_list_says_so_and_tries_again(page: Page) -> None:
    page.route("**/perijove/api/shares?*", lambda route: route.abort())
    look_again(page)
    again = page.get_by_role("button", name="Try again")
    expect(again).to_have_count(2)
    page.unroute("**/perijove/api/shares?*")
    again.first.click()
    expect(again).to_have_count(1)
    again.click()
    expect(received(page)).to_have_count(2)


def test_what_went_meanwhile_is_said(page: Page, api: Api) -> None:
    with api.client("ada") as ada:
        gone = share(ada, receiver="grace", name="gone.ipynb")["id"]
        look_again(page)
        row = received(page).filter(has_text="gone.ipynb")
        expect(row).to_be_visible()
        ada.delete(f"/shares/{gone}").raise_for_status()
    row.get_by_role("button", name="Open a copy").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no such share.")
    expect(row).to_have_count(0)
