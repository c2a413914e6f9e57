"""MLflow answers under the names people and containers call it by, and no other."""

from __future__ import annotations

import os

import pytest

from perijove_hub.context import Context, Topology
from perijove_hub.experiments.server import _configure


def test_containers_call_it_at_the_port_that_stays_the_same(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    Topology(
        public_url="http://127.0.0.1:8000",
        hub_api_url="http://172.20.0.1:40001/hub/api",
        host="172.20.0.1",
        api_port=40002,
        mlflow_port=40003,
        gateway_port=40004,
        spawner="docker",
    ).save(context.data.run / "topology.json")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    _configure(context, "sqlite:///x")
    allowed = os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert {"127.0.0.1:8000", "172.20.0.1:40003", "172.20.0.1:8011"} <= set(allowed)
    assert not [host for host in allowed if "*" in host or ":" not in host]
