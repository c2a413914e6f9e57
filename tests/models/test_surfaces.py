"""The same model by magic, Python and command line, with the same words when it goes wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from IPython.core.interactiveshell import InteractiveShell
from sklearn.datasets import load_breast_cancer

import perijove.models
from perijove.exceptions import ApiError, PerijoveError
from perijove.magics.models import Endpoint, ModelMagics
from perijove_hub.cli.models import models as command
from tests.models.conftest import Serving

FRAME = load_breast_cancer(as_frame=True).data


@pytest.fixture
def workspace(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """The environment ada's kernel has, and a worker that ticks meanwhile."""
    topology = serving.context.topology
    monkeypatch.setenv("PERIJOVE_URL", topology.api_url)
    monkeypatch.setenv("PERIJOVE_SERVE_URL", topology.gateway_url)
    monkeypatch.setenv("PERIJOVE_TOKEN", serving.api.hub.token("ada"))
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.1):
            serving.duty.tick()

    worker = threading.Thread(target=work)
    worker.start()
    yield serving
    done.set()
    worker.join(30)


@pytest.fixture
def magics() -> ModelMagics:
    return ModelMagics(InteractiveShell.instance())


def test_the_tutorials_last_cells(
    workspace: Serving, magics: ModelMagics, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = magics.deploy("breast-cancer --version 1")
    assert isinstance(endpoint, Endpoint)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"breast-cancer: {endpoint.url}"
    assert "[ready]" in lines[-2]
    found = endpoint.predict(FRAME.head(5))
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [0, 0, 0, 0, 0]
    assert "breast-cancer" in endpoint._repr_html_()
    assert "&lt;" not in endpoint._repr_html_()
    listing = magics.models("")
    text = repr(listing)
    assert "breast-cancer" in text
    assert "ready" in text
    magics.undeploy("breast-cancer")
    with pytest.raises(ApiError, match="Nothing is deployed as 'breast-cancer'"):
        workspace.until(lambda: endpoint.predict(FRAME.head(1)) is None, what="undeployed")


def test_the_next_version_answers_when_deploy_returns(
    workspace: Serving, magics: ModelMagics
) -> None:
    magics.deploy("breast-cancer --version 1 --name bc --visibility group")
    endpoint = magics.deploy("breast-cancer --version 2 --name bc")
    assert endpoint.deployment.visibility.value == "group"
    with workspace.as_user("ada") as client:
        answer = client.get("/bc/ping")
    assert answer.headers["perijove-model-version"] == "2"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "Something is missing"),
        ("breast-cancer", "Which version?"),
        ("breast-cancer --version one", "--version must be a whole number"),
        ("breast-cancer --versoin 1", "Did you mean --version?"),
        ("breast-cancer --version 1 --visibility friends", "must be private, group, everyone"),
        ("breast-cancr --version 1", "Did you mean 'breast-cancer'?"),
        ("breast-cancer --version 9", "Versions there are: 2, 1."),
        ("'Unsigned Model' --version 1", "signature=infer_signature(X, y)"),
        ("breast-cancer --version 1 --visibility group --group risk", "one of your groups"),
        ("moody --version 2", "No module named 'sparkling'"),
    ],
)
def test_a_wrong_deploy_says_what_to_do(
    workspace: Serving, magics: ModelMagics, line: str, says: str
) -> None:
    with pytest.raises(PerijoveError) as caught:
        magics.deploy(line)
    assert says in str(caught.value)


def test_every_shape_of_data_is_understood(workspace: Serving) -> None:
    perijove.models.deploy("breast-cancer", 1)
    perijove.models.wait("breast-cancer")
    expected = [0, 0, 0]
    frame = FRAME.head(3)
    assert perijove.models.predict("breast-cancer", frame).tolist() == expected
    records = frame.to_dict(orient="records")
    assert perijove.models.predict("breast-cancer", records).tolist() == expected
    columns = {name: frame[name] for name in frame.columns}
    assert perijove.models.predict("breast-cancer", columns).tolist() == expected
    with pytest.raises(ApiError, match="The column 'mean radius' is missing"):
        perijove.models.predict("breast-cancer", frame.drop(columns="mean radius"))
    with pytest.raises(ApiError, match="knows no column 'mean_radius'"):
        perijove.models.predict("breast-cancer", frame.assign(mean_radius=1.0))
    with pytest.raises(ApiError, match="Column 'mean area', row 1: expected a number, found text"):
        broken = frame.astype({"mean area": object})
        broken.iloc[1, broken.columns.get_loc("mean area")] = "large"
        perijove.models.predict("breast-cancer", broken)
    with pytest.raises(ApiError, match="row 0: expected a number, found null"):
        perijove.models.predict("breast-cancer", frame.assign(**{"mean area": float("nan")}))
    with pytest.raises(ApiError, match="Did you mean 'breast-cancer'"):
        perijove.models.predict("breast-cancr", frame)
    assert [item.name for item in perijove.models.list()] == ["breast-cancer"]
    assert perijove.models.list(state="failed") == []
    assert perijove.models.show("breast-cancer").version == 1


def test_a_model_that_raises_tells_its_caller_nothing_and_its_log_all(workspace: Serving) -> None:
    perijove.models.deploy("raises", 1)
    perijove.models.wait("raises")
    with pytest.raises(ApiError) as caught:
        perijove.models.predict("raises", pd.DataFrame({"x": [42.5]}))
    assert caught.value.problem.status == 500
    assert "42.5" not in str(caught.value)
    log = perijove.models.logs("raises").text
    assert "ValueError: secret 42.5" in log


def test_the_command_line_does_the_same(workspace: Serving, tmp_path: Path) -> None:
    def run(*arguments: str) -> Any:
        answer = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
        assert answer.exit_code == 0, answer.output
        return answer.output

    assert "Nothing here yet." in run("list")
    assert (
        json.loads(run("deploy", "breast-cancer", "--version", "1", "--json"))["state"] == "ready"
    )
    assert "breast-cancer" in run("list", "breast")
    assert json.loads(run("list", "--json"))[0]["version"] == 1
    registered = json.loads(run("list", "--registered", "--json"))
    assert "breast-cancer" in [model["name"] for model in registered]
    assert "ready" in run("show", "breast-cancer")
    rows = tmp_path / "rows.csv"
    FRAME.head(2).to_csv(rows, index=False)
    assert json.loads(run("score", "breast-cancer", str(rows))) == {"predictions": [0, 0]}
    assert "ready at" in run("logs", "breast-cancer")
    assert "undeployed" in run("undeploy", "breast-cancer")
