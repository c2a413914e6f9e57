from __future__ import annotations

import json

from click.testing import CliRunner

from perijove_hub.cli.main import cli
from tests.kernels.conftest import Platform, Someone


def run(*arguments: str) -> str:
    """Run a command and return what it prints."""
    done = CliRunner().invoke(cli, ["kernels", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_kernels_are_listed_and_stopped(platform: Platform, ada: Someone) -> None:
    assert run("list") == "No remote kernels.\n"
    platform.stop_worker()
    try:
        kernel = ada.queue("gpu")
        listed = run("list")
        assert kernel in listed
        assert "queued" in listed
        [document] = json.loads(run("list", "--json"))
        assert (document["id"], document["size"]) == (kernel, "gpu")
        assert run("stop", kernel) == f"{kernel} is being stopped.\n"
        assert ada.kernel(kernel)["stopped"]
    finally:
        platform.start_worker()


def test_what_to_stop_has_to_be_named() -> None:
    done = CliRunner().invoke(
        cli, ["kernels", "stop"], env={"PERIJOVE_URL": "http://127.0.0.1:1/services/perijove"}
    )
    assert done.exit_code == 2
    assert "KERNEL" in done.output
