"""A remote kernel through a real kernel manager, control plane and worker."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import httpx

from tests.fixtures.processes import wait_until
from tests.kernels.conftest import Manager, Platform, execute, running


def only(client: httpx.Client) -> dict[str, object]:
    """Return the one kernel there is."""
    [kernel] = client.get("/kernels").json()["items"]
    assert isinstance(kernel, dict)
    return kernel


async def test_a_cell_runs_in_another_process_with_what_it_needs(
    platform: Platform, ada: httpx.Client, tmp_path: Path
) -> None:
    async with running(cwd=str(tmp_path)) as (_, client):
        told = json.loads(
            await execute(
                client,
                "import os, json; print(json.dumps([os.getpid(), os.getcwd(), "
                "dict(os.environ), open('/proc/self/cmdline').read()]))",
            )
        )
        pid, cwd, environment, command = told
        assert pid != os.getpid()
        assert cwd == str(tmp_path)
        assert environment["GREETING"] == "hello"
        assert environment["USER"] == "ada"
        assert environment["PERIJOVE_TOKEN"] == os.environ["PERIJOVE_TOKEN"]
        assert "PERIJOVE_KERNEL_SECRET" not in environment
        assert os.environ["PERIJOVE_TOKEN"] not in command
        kernel = only(ada)
        assert (kernel["state"], kernel["size"], kernel["user"]) == ("running", "small", "ada")
    wait_until(lambda: not ada.get("/kernels").json()["items"], what="the kernel's end")
