"""One MLflow for all of these tests, behind the real Hub's identity."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.hub import Hub
from tests.fixtures.mlflow import Mlflow


@pytest.fixture(scope="session")
def mlflow(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    """MLflow's front and server, served for real."""
    with Mlflow.running(hub, tmp_path_factory.mktemp("mlflow")) as mlflow:
        yield mlflow
