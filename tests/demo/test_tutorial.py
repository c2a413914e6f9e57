"""The tutorial is a clean notebook, and its cells run, in a person's kernel and as a job."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from perijove_hub.catalog.duty import CrawlDuty
from perijove_hub.context import demo_source
from perijove_hub.demo.data import build
from perijove_hub.settings import Settings
from tests.fixtures.api import Api
from tests.fixtures.hub import Hub
from tests.fixtures.mlflow import Mlflow
from tests.fixtures.processes import pythonpath

SKIPPED = "skip-execution"


@pytest.fixture
def tutorial() -> Any:
    text = (resources.files("perijove_hub.demo") / "tutorial.ipynb").read_text(encoding="utf-8")
    return nbformat.reads(text, as_version=4)


def tagged(notebook: Any, tag: str) -> list[str]:
    return [c.source for c in notebook.cells if tag in c.metadata.get("tags", [])]


def test_it_is_valid_and_carries_no_outputs(tutorial):
    nbformat.validate(tutorial)
    assert (tutorial.nbformat, tutorial.nbformat_minor) == (4, 5)
    for cell in tutorial.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_its_parameters_become_a_form(tutorial):
    (cell,) = tagged(tutorial, "parameters")
    assert cell.startswith("C: float = 0.5  # inverse regularisation strength")


def test_a_job_passes_over_promoting_and_deploying(tutorial):
    skipped = "\n".join(tagged(tutorial, SKIPPED))
    run = "\n".join(
        cell.source
        for cell in tutorial.cells
        if cell.cell_type == "code" and SKIPPED not in cell.metadata.get("tags", [])
    )
    for magic in ("%promote", "%job run tutorial --param C=2.0", "= %deploy breast-cancer"):
        assert magic in skipped
        assert magic not in run


@pytest.mark.parametrize("regularisation", [None, 2.0])
def test_it_finds_reads_trains_and_registers(
    hub: Hub, tutorial: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, regularisation: Any
) -> None:
    database = tmp_path / "demo.sqlite"
    build(database)
    settings = Settings()
    settings.catalog.sources["demo"] = demo_source(database)
    if regularisation is not None:
        at = next(i for i, c in enumerate(tutorial.cells) if c.id == "parameters")
        injected = nbformat.v4.new_code_cell(f"C = {regularisation}")
        tutorial.cells.insert(at + 1, injected)
    with (
        Api.running(hub, tmp_path / "api", settings) as api,
        Mlflow.running(hub, tmp_path) as mlflow,
    ):
        CrawlDuty(api.context).tick()
        token = hub.token("ada")
        for name, value in {
            "PERIJOVE_URL": api.url.removesuffix("/api/v1"),
            "PERIJOVE_TOKEN": token,
            "MLFLOW_TRACKING_URI": mlflow.url,
            "MLFLOW_TRACKING_TOKEN": token,
            "PYTHONPATH": pythonpath(),
            "IPYTHONDIR": str(tmp_path / "ipython"),
        }.items():
            monkeypatch.setenv(name, value)
        outputs = executed(tutorial, tmp_path)
        assert "569 rows × 31 columns → df" in outputs  # noqa: RUF001
        assert "demo.main.breast_cancer" in outputs
        with mlflow.client("ada") as client:
            versions = client.get(
                "/api/2.0/mlflow/registered-models/get", params={"name": "breast-cancer"}
            ).json()
            runs = client.post(
                "/api/2.0/mlflow/runs/search", json={"experiment_ids": experiments(client)}
            ).json()["runs"]
    assert versions["registered_model"]["latest_versions"][0]["version"] == "1"
    (run,) = runs
    assert {p["key"]: p["value"] for p in run["data"]["params"]}["C"] == str(regularisation or 0.5)
    metrics = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
    assert 0.98 < metrics["auc"] <= 1


def experiments(client: Any) -> list[str]:
    found = client.post("/api/2.0/mlflow/experiments/search", json={"max_results": 100}).json()
    return [e["experiment_id"] for e in found["experiments"]]


def executed(notebook: Any, folder: Path) -> str:
    """Run every cell a job runs in a real kernel; return all outputs as text."""
    # Where the package is installed the kernel has loaded it already.
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%load_ext perijove"))
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=240, resources=resources).execute()
    return json.dumps([c.get("outputs") for c in notebook.cells], ensure_ascii=False)
