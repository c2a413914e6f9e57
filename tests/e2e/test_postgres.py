"""The whole product on PostgreSQL: one setting, the same behaviour."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.test_kill import NOTEBOOK, api
from tests.fixtures.postgres import postgres
from tests.fixtures.processes import wait_until
from tests.fixtures.product import Product

pytestmark = pytest.mark.timeout(300)


def test_a_job_runs_with_its_records_in_postgresql(tmp_path: Path) -> None:
    with postgres() as url:
        config = tmp_path / "perijove.toml"
        config.write_text(f'[store]\ndatabase = "{url}"\n')
        with (
            Product.running(tmp_path, "--config", str(config)) as product,
            product.client("ada") as ada,
        ):
            assert not (product.data / "perijove.sqlite").exists()
            job = api(ada, "POST", "/jobs", {"name": "nightly", "notebook": NOTEBOOK}).json()
            go = tmp_path / "go"
            go.touch()
            (tmp_path / "go.end").touch()
            started = {"parameters": {"go": str(go)}}
            run = api(ada, "POST", f"/jobs/{job['id']}/runs", started).json()
            wait_until(
                lambda: api(ada, "GET", f"/runs/{run['id']}").json()["state"] == "succeeded",
                seconds=60,
                what="the run succeeded",
            )
            found = api(ada, "GET", "/datasets?q=cancer").json()["items"]
            assert [item["name"] for item in found] == ["demo.main.breast_cancer"]
            logs = " ".join(log.read_text() for log in (product.data / "logs").glob("*.log"))
            assert "hunter2" not in logs
