"""One-row predictions against ``mlflow models serve``, on the same model.

    python bench/prediction.py [--rounds N] [--seconds S]

Three contenders answer the same request: MLflow's own server; Perijove's replica alone, which is
what MLflow's server is; and the whole way a caller goes, through the gateway that checks who
they are. The proxy is left out of all three.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.side_by_side import Figures, table, take_turns
from bench.spawn import free_port, running, seconds_until

#: Callers at once, besides one alone.
CALLERS = 16

LOG_MODEL = """
import mlflow, sys
from mlflow.models import infer_signature
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

data = load_breast_cancer(as_frame=True)
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
model.fit(data.data, data.target)
given = {
    "signature": infer_signature(data.data, model.predict(data.data)),
    "input_example": data.data.head(1),
}
mlflow.sklearn.save_model(model, sys.argv[1], **given)
mlflow.sklearn.log_model(model, name="model", registered_model_name="bench", **given)
"""


class Server:
    """One address to send the same request to."""

    def __init__(self, host: str, path: str, *, body: bytes, token: str | None = None) -> None:
        self._host = host
        self._path = path
        self._body = body
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def measure(self, seconds: float) -> dict[str, float]:
        """Call alone, then many at once, for ``seconds`` each."""
        alone = self._calls(1, seconds)
        crowd = self._calls(CALLERS, seconds)
        return {
            "one caller, median ms": statistics.median(alone) * 1000,
            "one caller, 99th percentile ms": statistics.quantiles(alone, n=100)[98] * 1000,
            f"{CALLERS} callers, median ms": statistics.median(crowd) * 1000,
            f"{CALLERS} callers, requests/s": len(crowd) / seconds,
        }

    def answers(self) -> bool:
        """Tell whether the request is answered with predictions."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self._call(http.client.HTTPConnection(self._host, timeout=10)) == 200
        return False

    def _calls(self, callers: int, seconds: float) -> list[float]:
        took: list[float] = []
        self._warm()
        deadline = time.perf_counter() + seconds

        def call_on() -> None:
            connection = http.client.HTTPConnection(self._host, timeout=60)
            while (began := time.perf_counter()) < deadline:
                status = self._call(connection)
                if status != 200:
                    raise SystemExit(f"{self._host} answered {status}")
                took.append(time.perf_counter() - began)

        threads = [threading.Thread(target=call_on) for _ in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return took

    def _warm(self) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=60)
        for _ in range(20):
            self._call(connection)

    def _call(self, connection: http.client.HTTPConnection) -> int:
        connection.request("POST", self._path, self._body, self._headers)
        response = connection.getresponse()
        response.read()
        return response.status


@contextlib.contextmanager
def process(command: list[str], server: Server, folder: Path) -> Iterator[float]:
    """Run a server; yields the seconds from its start to its first answer."""
    folder.mkdir()
    began = time.monotonic()
    with running(command, folder):
        yield seconds_until(server.answers, since=began)


def mlflow_serve(model: Path, body: bytes, seconds: float) -> Figures:
    """Measure MLflow's own server."""
    port = free_port()
    server = Server(f"127.0.0.1:{port}", "/invocations", body=body)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["--model-uri", str(model), "--port", str(port)]
    with (
        tempfile.TemporaryDirectory() as name,
        process(command, server, Path(name) / "mlflow") as start,
    ):
        return {"start to first answer, s": start, **server.measure(seconds)}


def replica(model: Path, body: bytes, seconds: float) -> Figures:
    """Measure Perijove's replica alone."""
    port = free_port()
    server = Server(f"127.0.0.1:{port}", "/invocations", body=body)
    command = [sys.executable, "-m", "perijove.replica", "--model", str(model)]
    with (
        tempfile.TemporaryDirectory() as name,
        process([*command, "--port", str(port)], server, Path(name) / "replica") as start,
    ):
        return {"start to first answer, s": start, **server.measure(seconds)}


@contextlib.contextmanager
def platform(folder: Path) -> Iterator[tuple[Path, bytes, Callable[[float], Figures]]]:
    """Run Perijove with the model deployed; yields it, a request, and how to measure."""
    port, data, model = free_port(), folder / "data", folder / "model"
    command = [sys.executable, "-m", "perijove_hub.cli"]
    up = [
        *command,
        "up",
        "--demo",
        "--spawner",
        "local",
        "--port",
        str(port),
        "--data-dir",
        str(data),
    ]
    with running(up, folder):
        seconds_until(lambda: "is ready at" in (folder / "log").read_text(), since=time.monotonic())
        asked = [*command, "token", "ada", "--data-dir", str(data)]
        token = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        base = f"http://127.0.0.1:{port}/services"
        subprocess.run(
            [sys.executable, "-c", LOG_MODEL, str(model)],
            env={
                **os.environ,
                "MLFLOW_TRACKING_URI": f"{base}/mlflow",
                "MLFLOW_TRACKING_TOKEN": token,
            },
            cwd=folder,
            check=True,
            capture_output=True,
        )
        body = (model / "serving_input_example.json").read_bytes()
        with httpx.Client(
            base_url=f"{base}/perijove/api/v1/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
            trust_env=False,
        ) as api:
            api.post("deployments", json={"model": "bench", "version": 1}).raise_for_status()
            where = json.loads((data / "run" / "topology.json").read_text())
            server = Server(
                f"{where['host']}:{where['gateway_port']}",
                "/services/serve/bench/invocations",
                body=body,
                token=token,
            )
            seconds_until(server.answers, since=time.monotonic())
            yield model, body, server.measure


def main() -> None:
    """Print the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        platform(Path(name)) as (model, body, through_the_gateway),
    ):
        found = take_turns(
            {
                "MLflow": partial(mlflow_serve, model, body, given.seconds),
                "Perijove's replica": partial(replica, model, body, given.seconds),
                "Perijove's gateway": partial(through_the_gateway, given.seconds),
            },
            given.rounds,
        )
    print("## One-row predictions\n")
    print(
        f"{given.rounds} rounds of {given.seconds:g} s; a scaler and a logistic regression on "
        "the 30 columns of the breast-cancer set, with a signature, as `dataframe_split`. One "
        "process each; the callers run on the same machine.\n"
    )
    print("The model server alone, with the signature checked by both:\n")
    print(table(found, peer="MLflow", ours="Perijove's replica"))
    print("\nThe whole way through the gateway, which also knows who is calling:\n")
    print(table(found, peer="MLflow", ours="Perijove's gateway"))


if __name__ == "__main__":
    main()
