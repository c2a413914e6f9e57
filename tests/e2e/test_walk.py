"""The acceptance test: a new user walks from login to a served model in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from perijove_hub.context import Context
from perijove_hub.images import service
from tests.fixtures.browser import (
    PATIENCE,
    chromium,
    log_in,
    open_panel,
    screenshot,
    start_workspace,
)
from tests.fixtures.processes import wait_until
from tests.fixtures.product import Product

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

API = "/services/perijove/api/v1"


@pytest.fixture(scope="module")
def page(product: Product) -> Iterator[Page]:
    """Ada's browser."""
    with chromium() as browser:
        yield browser.new_page()


@pytest.fixture(scope="module")
def ada(product: Product) -> Iterator[httpx.Client]:
    """Ada's scripts."""
    with product.client("ada") as client:
        yield client


def cell(page: Page, number: int) -> Locator:
    """Return the open notebook's code cell ``number``, from 0."""
    return page.locator(".jp-Notebook .jp-CodeCell").nth(number)


def test_ada_logs_in_presses_start_and_lands_in_the_tutorial(product: Product, page: Page) -> None:
    log_in(page, product.url, "ada", product.passwords["ada"])
    screenshot(page, "walk-1-home")
    start_workspace(page)
    expect(page.locator(".jp-Notebook h1").first).to_have_text(
        re.compile("From data to a served model"), timeout=PATIENCE
    )
    open_panel(page, "Data")
    expect(page.get_by_role("tree", name="Data")).to_contain_text("demo")
    screenshot(page, "walk-2-lab")


def test_the_tutorial_runs_from_top_to_bottom(page: Page, product: Product) -> None:
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    last = page.locator(".jp-Notebook .jp-OutputArea-output", has_text="row ").last
    expect(last).to_contain_text(
        re.compile(r"predicted (benign|malignant), found"), timeout=300_000
    )
    errors = page.locator(".jp-Notebook .jp-OutputArea-output[data-mime-type*='stderr']")
    assert "Error" not in " ".join(errors.all_inner_texts())
    last.scroll_into_view_if_needed()
    screenshot(page, "walk-3-tutorial")


def test_the_run_of_the_job_used_the_other_parameter(ada: httpx.Client) -> None:
    [job] = ada.get(f"{API}/jobs", params={"name": "tutorial"}).json()["items"]
    run = job["last_run"]
    assert run["state"] == "succeeded"
    assert run["parameters"]["C"] == 2.0
    output = ada.get(f"{API}/runs/{run['id']}/notebook").json()
    sources = ["".join(c["source"]) for c in output["cells"] if c["cell_type"] == "code"]
    assert any("C = 2.0" in source for source in sources)


def test_mlflow_knows_the_runs_as_adas(ada: httpx.Client) -> None:
    found = ada.get(f"{API}/experiments").json()["items"]
    [experiment] = [item for item in found if item["name"] == "breast-cancer"]
    runs = ada.get(f"{API}/experiments/{experiment['id']}/runs").json()["items"]
    assert {run["user"] for run in runs} == {"ada"}
    assert {run["parameters"]["C"] for run in runs} == {"0.5", "2.0"}
    assert all(run["metrics"]["auc"] > 0.9 for run in runs)


def test_the_panel_shows_the_same(page: Page) -> None:
    open_panel(page, "Data")
    tree = page.get_by_role("tree", name="Data")
    expect(tree).to_contain_text("demo")
    screenshot(page, "walk-4-data")
    open_panel(page, "Experiments")
    expect(page.get_by_role("tabpanel", name="Experiments")).to_contain_text("breast-cancer")
    screenshot(page, "walk-5-experiments")
    open_panel(page, "Jobs")
    jobs = page.get_by_role("list", name="Jobs")
    expect(jobs).to_contain_text("tutorial")
    expect(jobs).to_contain_text("succeeded")
    screenshot(page, "walk-6-jobs")
    open_panel(page, "Models")
    expect(page.get_by_role("list", name="Deployments")).to_contain_text("ready")
    expect(page.get_by_role("list", name="Registered models")).to_contain_text("breast-cancer")
    screenshot(page, "walk-7-models")


def test_a_run_started_from_the_panel_shows_its_output_notebook_without_scripts(page: Page) -> None:
    open_panel(page, "Jobs")
    page.get_by_role("list", name="Jobs").get_by_text("tutorial").click()
    page.get_by_role("article", name="tutorial").get_by_role("button", name="Run…").click()
    form = page.get_by_role("dialog")
    form.get_by_label("C", exact=True).fill("3")
    form.get_by_role("button", name="Run", exact=True).click()
    run = page.get_by_role("article", name="tutorial").filter(
        has=page.get_by_role("region", name="Log")
    )
    expect(run).to_contain_text("succeeded", timeout=3 * PATIENCE)
    frame = run.locator("iframe")
    expect(frame).to_have_attribute("sandbox", "")
    # It loads when it is looked at.
    frame.scroll_into_view_if_needed()
    output = frame.content_frame
    expect(output.get_by_text("C = 3")).to_be_visible()
    screenshot(page, "walk-9-run")
    assert output.locator("body").evaluate("() => window.origin") == "null"


def test_the_deploy_button_does_what_the_magic_does(page: Page, ada: httpx.Client) -> None:
    open_panel(page, "Models")
    page.get_by_role("button", name="Deploy…", exact=True).click()
    form = page.get_by_role("dialog")
    form.get_by_label("Deploy as").fill("by-hand")
    form.get_by_role("button", name="Deploy", exact=True).click()
    deployment = page.get_by_role("article", name="by-hand")
    expect(deployment.get_by_text("ready", exact=True)).to_be_visible(timeout=3 * PATIENCE)
    screenshot(page, "walk-10-deployment")
    example = ada.get(f"{API}/deployments/by-hand").json()["input_example"]

    def answer() -> httpx.Response:
        return ada.post("/services/serve/by-hand/invocations", json=example)

    wait_until(lambda: answer().status_code == 200, what="the gateway's route")
    same = ada.post("/services/serve/breast-cancer/invocations", json=example)
    assert len(answer().json()["predictions"]) == len(same.json()["predictions"]) == 2


def test_a_stranger_and_another_group_cannot_call_the_model(
    product: Product, ada: httpx.Client
) -> None:
    path = "/services/serve/breast-cancer/invocations"
    example = ada.get(f"{API}/deployments/breast-cancer").json()["input_example"]
    assert ada.post(path, json=example).status_code == 200
    with product.client(None) as stranger:
        assert stranger.post(path, json=example).status_code == 401
    with product.client("grace") as grace:
        assert grace.post(path, json=example).status_code == 404
        assert grace.get(f"{API}/jobs").json()["items"] == []
        assert "breast-cancer" not in grace.get(f"{API}/experiments").text


def test_mlflows_pages_open_in_the_browser_with_adas_runs(page: Page, product: Product) -> None:
    mlflow = page.context.new_page()
    mlflow.goto(f"{product.url}/services/mlflow/")
    mlflow.get_by_role("link", name="group-research").click()
    expect(mlflow.get_by_text("breast-cancer").first).to_be_visible(timeout=PATIENCE)
    screenshot(mlflow, "walk-8-mlflow")
    mlflow.close()


def test_a_workspace_stops_for_one_with_another_image_and_none_starts_by_itself(
    page: Page, product: Product, ada: httpx.Client
) -> None:
    context = Context.open(product.data, None)
    with context.database.session() as session:
        digest, about = f"sha256:{'a' * 64}", "Seen here, started in tests/docker"
        service.register_builtin(session, "cpu", digest=digest, description=about, interfaces=[])
    context.database.close()
    open_panel(page, "Images")
    images = page.get_by_role("list", name="Images")
    images.get_by_role("button", name=re.compile("^cpu")).click()
    image = page.get_by_role("article", name="cpu", exact=True)
    image.get_by_role("button", name="Start a workspace with it…").click()
    page.get_by_role("dialog").get_by_role("button", name="Save and stop").click()
    page.wait_for_url("**/hub/spawn/ada?opt-image=cpu")
    expect(page.locator("#start")).to_be_enabled()
    assert not product.server(ada, "ada")
    start_workspace(page)


def test_the_job_and_the_deployment_go_on_when_the_server_stops(
    ada: httpx.Client, product: Product
) -> None:
    [job] = ada.get(f"{API}/jobs", params={"name": "tutorial"}).json()["items"]
    run = ada.post(f"{API}/jobs/{job['id']}/runs", json={"parameters": {"C": 1.0}}).json()
    assert ada.delete("/hub/api/users/ada/server").status_code in (202, 204)
    wait_until(lambda: not product.server(ada, "ada"), seconds=60, what="the server stopped")

    def state() -> str:
        return str(ada.get(f"{API}/runs/{run['id']}").json()["state"])

    wait_until(lambda: state() not in ("queued", "running"), seconds=180, what="the run ended")
    assert state() == "succeeded"
    example = ada.get(f"{API}/deployments/breast-cancer").json()["input_example"]
    answer = ada.post("/services/serve/breast-cancer/invocations", json=example)
    assert answer.status_code == 200
    assert len(answer.json()["predictions"]) == 2


def test_no_credential_is_in_a_notebook_an_output_or_a_log(
    product: Product, ada: httpx.Client
) -> None:
    secrets = [path.read_text() for path in (product.data / "secrets").iterdir()]
    secrets += list(product.passwords.values())
    places: list[Path] = [*(product.data / "logs").iterdir(), product.log]
    places += (product.data / "homes" / "ada").rglob("*.ipynb")
    places += (path for path in (product.data / "blobs").rglob("*") if path.is_file())
    for place in places:
        if place == product.log:
            continue  # it is the terminal, where the passwords are shown once
        content = place.read_bytes()
        assert not [s for s in secrets if s.encode() in content], f"a secret in {place}"
        assert b"Bearer " not in content, place
        # Jupyter and the Hub write "token=[secret]" and "token=..." of their own accord.
        assert not re.search(rb"token=[\w-]", content), place
