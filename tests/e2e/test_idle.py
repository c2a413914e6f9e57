"""An idle workspace is warned in JupyterLab, kept on request, and shut off in the end.

Not marked e2e: it waits two minutes for the clock, beside other tests and with patience.
"""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.fixtures.browser import PATIENCE, chromium, log_in, screenshot, start_workspace
from tests.fixtures.processes import wait_until
from tests.fixtures.product import Product

SETTINGS = """
[workspaces.idle]
minutes = 1
least_minutes = 1
warning_minutes = 0.5
"""


def test_a_warning_a_way_out_and_the_end(tmp_path: Path) -> None:
    settings = tmp_path / "perijove.toml"
    settings.write_text(SETTINGS)
    with (
        Product.running(tmp_path, "--config", str(settings)) as product,
        product.client("ada") as ada,
        chromium() as browser,
    ):
        page = browser.new_page()
        log_in(page, product.url, "ada", product.passwords["ada"])
        start_workspace(page)
        expect(page.get_by_role("button", name="Workspace:")).to_contain_text(
            "small", timeout=PATIENCE
        )
        # An open tab alone is no activity.
        keep = page.get_by_role("button", name="Keep alive")
        expect(keep).to_be_visible(timeout=PATIENCE)
        screenshot(page, "idle-1-warning")
        keep.click()
        expect(page.get_by_text("Kept for another")).to_be_visible()
        expect(keep).to_be_hidden(timeout=PATIENCE)
        page.goto(f"{product.url}/hub/home")
        wait_until(lambda: not product.server(ada, "ada"), seconds=240, what="the end")
        page.reload()
        expect(page.get_by_text("It was shut off after 1 minute without")).to_be_visible()
        screenshot(page, "idle-2-ended")
