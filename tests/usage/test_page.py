"""The administrators' page in a real browser, and a quota that stops a real workspace."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import delete, select

from perijove_hub.context import Context
from perijove_hub.culling.duty import CullDuty
from perijove_hub.settings import QuotaSettings
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import AuditRow, GpuLeaseRow, GpuRow, UsageRow, WorkspaceRow
from perijove_hub.usage.duty import UsageDuty
from perijove_hub.usage.quota_duty import QuotaDuty
from tests.fixtures.browser import ARTIFACTS, chromium, log_in, screenshot
from tests.fixtures.processes import pythonpath, wait_until
from tests.fixtures.product import Product
from tests.usage.seed import seed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ADMIN = "/services/perijove/admin"


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The product, with quotas in its settings."""
    folder = tmp_path_factory.mktemp("usage")
    config = folder / "perijove.toml"
    config.write_text(
        '[gpus]\ndevices = ["GPU-0a", "GPU-0b"]\nshares = 2\n'
        "[usage.quotas.research]\ngpu_hours = 200\ncost = 900\n"
        "[usage.quotas.risk]\nhours = 60\n"
        "[usage.quotas.marketing]\nhours = 400\n"
    )
    with Product.running(folder, "--config", str(config)) as product:
        yield product


@pytest.fixture(scope="module")
def store(product: Product) -> Iterator[Context]:
    """The product's database, which its worker leaves alone meanwhile."""
    context = Context.open(product.data, None)
    worker = product.pid("worker")
    os.kill(worker, signal.SIGSTOP)
    yield context
    os.kill(worker, signal.SIGCONT)
    context.database.close()


@pytest.fixture(scope="module")
def page(product: Product) -> Iterator[Page]:
    """An administrator's browser."""
    with chromium() as browser:
        page = browser.new_page()
        log_in(page, product.url, "admin", product.passwords["admin"])
        yield page


@pytest.fixture(scope="module")
def tokens(product: Product) -> dict[str, str]:
    """Of ada and of an administrator."""
    return {name: product.token(name) for name in ("ada", "admin")}


def forget(store: Context) -> None:
    with store.database.session() as session:
        for table in (UsageRow, AuditRow, GpuLeaseRow, GpuRow):
            session.execute(delete(table))


@pytest.mark.parametrize("user", ["ada", None])
def test_only_administrators_get_in(product: Product, user: str | None) -> None:
    with product.client(user) as client:
        answer = client.get(ADMIN)
    assert answer.status_code == (403 if user else 401)
    if user:
        assert "Only administrators" in answer.text
        assert "research" not in answer.text


def test_a_month_is_seen_at_a_glance(product: Product, store: Context, page: Page) -> None:
    errors: list[str] = []
    page.on("console", lambda one: errors.append(one.text) if one.type == "error" else None)
    forget(store)
    page.goto(product.url + ADMIN)
    expect(page.get_by_role("heading", name="Nothing ran in these 30 days")).to_be_visible()
    screenshot(page, "usage-empty")
    seed(store.database)
    page.goto(f"{product.url}/hub/home")
    page.get_by_role("link", name="Usage").click()
    expect(page).to_have_url(product.url + ADMIN)
    cost = page.get_by_role("img", name="Cost in EUR")
    expect(cost).to_be_visible()
    assert cost.locator("rect").count() > 30
    expect(page.get_by_text("used up")).to_have_count(1)
    expect(page.get_by_text("vanished")).to_have_count(1)
    expect(page.get_by_text("over quota")).to_have_count(1)
    page.get_by_text("Show as a table").first.click()
    table = page.get_by_role("table").first
    expect(table.get_by_role("columnheader", name="research")).to_be_visible()
    page.get_by_text("Show as a table").first.click()
    for shade in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if shade == "dark" else "light")
        screenshot(page, f"usage-{shade}")
        page.screenshot(path=screenshot(page, f"usage-whole-{shade}"), full_page=True)
    page.emulate_media(color_scheme="light")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=screenshot(page, "usage-phone"), full_page=True)
    page.set_viewport_size({"width": 1440, "height": 900})
    # The browser's own console tells of whatever the policy held back.
    assert errors == []


def test_the_log_is_filtered_and_shows_nothing_as_markup(
    product: Product, store: Context, page: Page
) -> None:
    forget(store)
    seed(store.database)
    page.goto(product.url + ADMIN)
    log = page.get_by_role("region", name="Audit log").get_by_role("table")
    expect(log.locator("tbody tr")).to_have_count(30)
    assert "job.delete" not in log.inner_text()
    page.get_by_role("link", name="Older entries").click()
    expect(log.locator("tbody tr")).to_have_count(15)
    page.get_by_label("What").select_option("Everything")
    page.get_by_label("Object contains").fill('"><img')
    page.get_by_role("button", name="Filter").click()
    expect(log.locator("tbody tr")).to_have_count(1)
    assert "<script>alert(1)</script>" in log.inner_text()
    assert page.locator("img, script").count() == 0
    page.get_by_label("Object contains").fill("100%_\\")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("No entry fits.")).to_be_visible()
    page.get_by_role("link", name="Show everything").click()
    page.get_by_role("textbox", name="Who").fill("grace")
    page.get_by_role("button", name="Filter").click()
    expect(log.locator("tbody tr")).to_have_count(9)
    expect(page.get_by_role("link", name="30 days")).to_have_attribute("aria-current", "true")
    page.get_by_role("link", name="7 days").click()
    expect(log.locator("tbody tr")).to_have_count(9)


def test_the_page_allows_no_scripts_and_no_frames(product: Product) -> None:
    with product.client("admin") as admin:
        answer = admin.get(ADMIN)
        policy = answer.headers["content-security-policy"]
        again = admin.get(ADMIN).headers["content-security-policy"]
        odd = admin.get(ADMIN, params={"days": "9999999", "before": "1", "verb": "no.such"})
        wrong = admin.get(ADMIN, params={"before": "x"})
    assert re.search(r"default-src 'none'; style-src 'nonce-[\w-]{20,}'", policy)
    assert "script" not in policy
    assert policy != again
    assert "frame-ancestors 'none'" in policy
    assert " style=" not in answer.text
    assert (odd.status_code, wrong.status_code) == (200, 422)


def test_a_quota_warns_and_then_stops_a_real_workspace(product: Product, store: Context) -> None:
    forget(store)
    context = Context.open(product.data, None)
    with product.client("admin") as admin:
        product.start_server(admin, "ada")
        UsageDuty(context).tick()
        with store.database.reading() as session:
            (row,) = session.scalars(select(UsageRow).where(UsageRow.kind == "workspace"))
        assert (row.object, row.user, row.group, row.ended_at) == ("ada/", "ada", "research", None)
        context.settings.usage.quotas["research"] = QuotaSettings(hours=5)
        with store.database.session() as session:
            now = database_now(session)
            ran = {"user": "ada", "group": "research", "kind": "run", "object": "x"}
            session.add(
                UsageRow(**ran, started_at=now - timedelta(hours=6), seen_at=now, ended_at=now)
            )
        duty = QuotaDuty(context)
        duty.tick()
        assert product.server(admin, "ada").get("ready"), "first comes the warning"
        context.settings.usage.grace_minutes = 0
        culling = CullDuty(context)

        def ended() -> bool:
            # Again and again: the product's own worker knows of no quota, and forgives.
            duty.tick()
            culling.tick()
            return not product.server(admin, "ada")

        wait_until(ended, seconds=120, what="the workspace's end")
    UsageDuty(context).tick()
    with store.database.reading() as session:
        (row,) = session.scalars(select(UsageRow).where(UsageRow.kind == "workspace"))
        workspace = session.get(WorkspaceRow, ("ada", ""))
        audit = list(
            session.scalars(
                select(AuditRow.verb).where(AuditRow.verb.like("quota.%")).order_by(AuditRow.id)
            )
        )
    assert (audit[0], audit[-1]) == ("quota.warn", "quota.stop")
    assert row.ended_at is not None or row.started_at > now - timedelta(minutes=2)
    assert workspace is None or "6 of its 5 hours" in (workspace.ending or "")
    context.database.close()


def test_the_command_line_says_the_same(
    product: Product, store: Context, tokens: dict[str, str]
) -> None:
    forget(store)
    seed(store.database)

    def perijove(user: str, *arguments: str) -> str:
        answer = subprocess.run(
            [sys.executable, "-m", "perijove_hub.cli", *arguments],
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": pythonpath(),
                "PERIJOVE_URL": f"{product.url}/services/perijove",
                "PERIJOVE_TOKEN": tokens[user],
            },
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    mine = json.loads(perijove("ada", "usage", "--json"))
    assert mine["total"]["hours"] > 0
    assert [group["group"] for group in mine["groups"]] == ["research"]
    text = perijove("admin", "usage", "--by", "user")
    assert {"ada", "grace", "EUR"} <= set(text.split())
    assert "Group risk has used" in text
    gpus = perijove("ada", "gpus", "list")
    assert "0.5 of 2 free" in gpus
    assert "grace" not in gpus
    assert "kernel 9f2c of grace" in perijove("admin", "gpus", "list")
    assert json.loads(perijove("ada", "gpus", "list", "--json"))["total"] == 2


def test_a_browser_session_ends_at_the_login_and_comes_back(product: Product) -> None:
    with httpx.Client(base_url=product.url, trust_env=False) as browser:
        answer = browser.get(ADMIN, headers={"Accept": "text/html"})
    assert answer.status_code == 302
    assert "/hub/api/oauth2/authorize" in answer.headers["location"]


def test_screenshots_lie_where_people_look_for_them() -> None:
    assert {"usage-light.png", "usage-dark.png"} <= {one.name for one in ARTIFACTS.iterdir()}
