"""A remote kernel that waits, and a quota that is used up, as a person in JupyterLab sees them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Literal

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, Page, expect
from sqlalchemy import delete

from perijove_hub.gpus import leases
from perijove_hub.store.models import (
    GpuRow,
    PrincipalRow,
    UsageRow,
    WorkspaceRow,
    utcnow,
)
from tests.fixtures.api import Api
from tests.fixtures.browser import chromium, screenshot
from tests.fixtures.hub import Hub
from tests.fixtures.lab import LAB_TOKEN, lab
from tests.kernels.conftest import Platform, Someone

pytestmark = pytest.mark.e2e

CELL = "import os; print('on', os.environ['CUDA_VISIBLE_DEVICES'])"


@pytest.fixture
def page(
    platform: Platform, hub: Hub, ada: Someone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Page]:
    """ada's JupyterLab, with a notebook for a GPU that is not open yet."""
    # Then it reports its activity, and asks what it has cost.
    monkeypatch.setenv("JUPYTERHUB_USER", "ada")
    settings = tmp_path / "config" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "themes.jupyterlab-settings").write_text('{"adaptive-theme": true}')
    api = Api(f"{platform.url}/api/v1", hub, platform.context)
    with lab(tmp_path, api, ada.token) as url, chromium() as browser:
        kernel = {"name": "perijove-gpu", "display_name": "Python (GPU)"}
        cells = [new_code_cell(CELL)]
        notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
        for name in ("deep.ipynb", "other.ipynb"):
            nbformat.write(notebook, tmp_path / "home" / name)
        page = browser.new_page()
        page.goto(f"{url}lab?token={LAB_TOKEN}")
        expect(page.locator("#jp-main-dock-panel")).to_be_visible()
        yield page
        page.close()
    with platform.context.database.session() as session:
        session.execute(delete(WorkspaceRow).where(WorkspaceRow.user == "ada"))
        session.execute(delete(UsageRow).where(UsageRow.group == "watched"))
        for user in ("emmy", "grace"):
            leases.release(session, "workspace", f"{user}/")
        session.execute(delete(GpuRow).where(GpuRow.id == "GPU-1"))
        session.execute(delete(PrincipalRow).where(PrincipalRow.name == "emmy"))


def hold(platform: Platform, user: str) -> None:
    """Let somebody's workspace hold a GPU."""
    with platform.context.database.session() as session:
        assert leases.acquire(session, kind="workspace", holder=f"{user}/", user=user, gpus=1)


def toast(page: Page, words: str) -> Locator:
    return page.locator(".Toastify__toast").filter(has_text=words)


def open_notebook(page: Page, name: str) -> None:
    page.locator(".jp-DirListing-item").filter(has_text=name).dblclick()


def pictures(page: Page, name: str) -> None:
    """Keep it in light and in dark."""
    themes: tuple[Literal["dark", "light"], ...] = ("dark", "light")
    for theme in themes:
        page.emulate_media(color_scheme=theme)
        light = str(theme == "light").lower()
        expect(page.locator(f"body[data-jp-theme-light='{light}']")).to_be_attached()
        screenshot(page, f"{name}-{theme}")


def test_a_kernel_that_waits_says_for_what_and_is_given_up_or_comes_to_run(
    page: Page, platform: Platform, ada: Someone
) -> None:
    with platform.context.database.session() as session:
        session.add(PrincipalRow(name="emmy", groups=["research"]))
    hold(platform, "emmy")
    open_notebook(page, "deep.ipynb")
    waits = toast(page, "deep.ipynb (gpu): Waiting for a GPU: 1 of 1 is in use (emmy); you are")
    expect(waits).to_have_count(1)
    # What it waits for has changed, and so does what is said, in the same place.
    with platform.context.database.session() as session:
        session.add(GpuRow(id="GPU-1"))
        session.flush()
        leases.acquire(session, kind="workspace", holder="grace/", user="grace", gpus=1)
    expect(toast(page, "2 of 2 are in use (emmy, 1 other); you are next.")).to_have_count(1)
    expect(page.locator(".Toastify__toast")).to_have_count(1)
    pictures(page, "kernel-waits")

    with platform.context.database.session() as session:
        leases.release(session, "workspace", "emmy/")
    expect(toast(page, "Waiting for a GPU")).to_have_count(0)
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").click()
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".jp-OutputArea-output").first).to_have_text("on GPU-0\n")
    [runs] = ada.kernels()
    assert runs["state"] == "running"

    open_notebook(page, "other.ipynb")
    expect(toast(page, "other.ipynb (gpu): Waiting for a GPU: 2 of 2 are in use")).to_have_count(1)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".jp-Dialog")).to_contain_text("Stopped by you.")
    expect(toast(page, "Waiting for a GPU")).to_have_count(0)
    screenshot(page, "kernel-cancelled")
    assert ada.kernels() == [ada.kernel(runs["id"])]


def test_a_used_up_quota_is_told_with_the_time_that_is_left_until_it_is_raised(
    page: Page, platform: Platform
) -> None:
    began = utcnow() - timedelta(hours=1)
    stretch = UsageRow(
        kind="workspace", object="ada/", user="ada", group="watched", started_at=began
    )
    stretch.seen_at = stretch.warned_at = utcnow()
    with platform.context.database.session() as session:
        session.add(stretch)
    # The next question would come in a minute.
    page.reload()
    told = toast(page, "Group 'watched' has used 1 of its 0.5 hours")
    expect(told).to_contain_text("A workspace of yours will be stopped in 10 min; save your work.")
    expect(told.get_by_role("button", name="Save all")).to_be_visible()
    pictures(page, "quota-used-up")
    with platform.context.database.session() as session:
        session.get_one(UsageRow, stretch.id).warned_at = None
    expect(told).to_have_count(0)
