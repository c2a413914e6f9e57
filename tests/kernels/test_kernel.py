"""A remote kernel through a real kernel manager, control plane and worker."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from perijove.exceptions import PerijoveError
from perijove.kernels import background
from perijove.kernels.provisioner import PerijoveProvisioner
from perijove_hub.store.models import GpuLeaseRow, KernelRow, UsageRow, WorkspaceRow, utcnow
from tests.fixtures.processes import wait_until
from tests.kernels.conftest import Manager, Platform, Someone, execute, running


def holders(platform: Platform) -> list[str]:
    """Who holds GPUs."""
    with platform.context.database.reading() as session:
        return list(session.scalars(select(GpuLeaseRow.holder)))


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for a condition, while kernels start."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def until_dead(manager: Manager) -> int:
    """Wait for what the restarter waits for."""
    async with asyncio.timeout(60):
        while (code := await manager.provisioner.poll()) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert isinstance(code, int)
    return code


async def test_a_cell_runs_in_another_process_with_what_it_needs(
    platform: Platform, ada: Someone, tmp_path: Path
) -> None:
    async with running(cwd=str(tmp_path)) as (manager, client):
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
        kernel = ada.only()
        assert (kernel["state"], kernel["size"], kernel["user"]) == ("running", "small", "ada")

        # Nothing that opens a door is in a command line, a log, a file or the database.
        key = manager.session.key.decode()
        kept = [command, json.dumps(kernel), repr(vars(platform.row(kernel["id"])))]
        files = [file for file in platform.root.rglob("*") if file.is_file()]
        assert any(file.name == "perijove.sqlite" for file in files)
        kept += [file.read_bytes().decode("latin-1") for file in files]
        for text in kept:
            assert key not in text
            assert os.environ["PERIJOVE_TOKEN"] not in text
    wait_until(lambda: not ada.kernels(), what="the kernel's end")
    with platform.context.database.reading() as session:
        [used] = session.scalars(select(UsageRow).where(UsageRow.object == kernel["id"]))
        assert (used.kind, used.user, used.group, used.size) == (
            "kernel",
            "ada",
            "research",
            "small",
        )
        assert used.ended_at is not None


async def test_large_messages_pass_in_both_directions(ada: Someone) -> None:
    async with running() as (_, client):
        sent = "x" * 3_000_000
        assert await execute(client, f"data = '{sent}'; print(len(data))") == "3000000\n"
        assert len(await execute(client, "print(data * 5)")) == 15_000_001


async def test_a_running_cell_is_interrupted_by_message_and_by_the_api(ada: Someone) -> None:
    async with running() as (manager, client):
        for by_message in (True, False):
            client.execute(
                "import time\nprint('begun', flush=True)\nwhile True: time.sleep(0.1)",
                # Or the kernel drops what comes in the moment after the error.
                stop_on_error=False,
            )
            # Not before: what interrupts a kernel between two cells is nobody's answer.
            while (await client.get_iopub_msg(timeout=30))["msg_type"] != "stream":
                pass
            if by_message:
                await manager.interrupt_kernel()
            else:
                ada.interrupt(ada.only()["id"])
            while (reply := await client.get_shell_msg(timeout=30))["msg_type"] != "execute_reply":
                pass
            assert reply["content"]["ename"] == "KeyboardInterrupt"
        assert await execute(client, "print('still here')") == "still here\n"


async def test_a_restart_forgets_the_variables_and_keeps_the_gpu(
    platform: Platform, ada: Someone
) -> None:
    async with running("gpu") as (manager, client):
        kernel = ada.only()
        assert holders(platform) == [kernel["id"]]
        assert await execute(client, "import os; x = 1; print(os.environ['CUDA_VISIBLE_DEVICES'])")
        # Somebody else waits for it, and must not get it in between.
        rival = ada.queue("gpu")
        for now in (False, True):
            await manager.restart_kernel(now=now)
            await client.wait_for_ready(timeout=30)
            assert await execute(client, "print('x' in globals()); x = 1") == "False\n"
            assert holders(platform) == [kernel["id"]]
        assert ada.kernel(kernel["id"])["attempt"] == 3
        waiting = ada.kernel(rival)
        assert waiting["state"] == "queued"
        assert waiting["reason"] == "Waiting for a GPU: 1 of 1 is in use (you); you are next."
        ada.stop(rival)
    wait_until(lambda: not holders(platform), what="the GPU's release")


async def test_a_kernel_that_dies_says_why_and_its_successor_tells_the_user(
    platform: Platform, ada: Someone, caplog: pytest.LogCaptureFixture
) -> None:
    async with running() as (manager, client):
        client.execute("import os; os._exit(3)")
        assert await until_dead(manager) == 3
        kernel = ada.kernels(over=True)[0]
        assert (kernel["state"], kernel["reason"]) == ("failed", "Its process ended with status 3.")
        assert not kernel["stopped"]
        await manager.restart_kernel(now=True)
        await client.wait_for_ready(timeout=30)
        said = await execute(client, "print('again')")
        assert "The kernel was restarted. Its process ended with status 3." in said
        assert await execute(client, "print('again')") == "again\n"


async def test_what_is_sent_while_it_restarts_reaches_the_new_kernel(
    platform: Platform, ada: Someone
) -> None:
    async with running() as (manager, client):
        for _ in range(3):
            client.execute("import os; os._exit(3)")
            assert await until_dead(manager) == 3
            # As a notebook may that has just been told.
            sent = client.execute("print('heard')")
            await asyncio.sleep(0.3)
            await manager.restart_kernel(now=True)
            async with asyncio.timeout(60):
                printed = ""
                while not printed.startswith("heard"):
                    message = await client.get_iopub_msg(timeout=60)
                    if message["parent_header"].get("msg_id") == sent:
                        printed = message["content"].get("text", "")
                while True:
                    reply = await client.get_shell_msg(timeout=60)
                    if reply["parent_header"].get("msg_id") == sent:
                        break
            assert reply["content"]["status"] == "ok"


async def test_a_kernel_that_is_stopped_runs_what_it_registered_for_its_end(
    platform: Platform, ada: Someone, tmp_path: Path
) -> None:
    async with running() as (_, client):
        cell = "import atexit, pathlib\natexit.register(pathlib.Path('ended').touch)"
        await execute(client, f"import os; os.chdir({str(tmp_path)!r})\n{cell}")
        ada.stop(ada.only()["id"])
        await eventually(lambda: not ada.kernels())
        assert (tmp_path / "ended").exists()


async def test_a_kernel_out_of_memory_names_limit_and_next_size_up(
    platform: Platform, ada: Someone
) -> None:
    async with running("tiny") as (manager, client):
        client.execute("x = bytearray(2 * 2**30)\nfor i in range(0, len(x), 4096): x[i] = 1")
        assert await until_dead(manager)
        reason = ada.kernels(over=True)[0]["reason"]
        assert reason.startswith(
            "The kernel's process used more than the 512 MiB of size 'tiny' (peak "
        )
        assert reason.endswith("The next size up is 'small'.")


async def test_a_killed_api_takes_nothing_with_it(platform: Platform, ada: Someone) -> None:
    async with running() as (manager, client), running("gpu") as (other, _):
        await execute(client, "x = 41")
        cell = "import time\nfor i in range(80):\n    print(i)\n    time.sleep(0.1)"
        printing = asyncio.create_task(execute(client, cell, 120))
        await asyncio.sleep(1)
        kept, given_up = (ada.kernels()[i]["id"] for i in (1, 0))
        platform.kill_api()
        try:
            assert await manager.is_alive()
            assert await other.is_alive()
            await other.shutdown_kernel(now=True)
            assert await manager.is_alive()
        finally:
            await asyncio.to_thread(platform.start_api)
        # Each line once, in order; the variable is there; it is the same process.
        assert await printing == "".join(f"{i}\n" for i in range(80))
        assert await execute(client, "print(x + 1)") == "42\n"
        assert ada.kernel(kept)["attempt"] == 1
        # Its server could not say so at the time, and did later.
        await eventually(lambda: ada.kernel(given_up)["state"] == "ended")
        await eventually(lambda: not holders(platform))


async def test_a_new_worker_goes_on_with_what_a_killed_one_left(
    platform: Platform, ada: Someone
) -> None:
    async with running("gpu") as (_, client):
        await execute(client, "x = 41")
        kernel = ada.only()
        platform.stop_worker()
        # It had just decided to start one more, and to lease, and not yet done it; and it left
        # a process that nobody knows.
        queued = ada.queue("small")
        platform.change(queued, lambda row: setattr(row, "ports", [1, 1, 1, 1, 1, 1]))
        lost = platform.row(kernel["id"])
        stray = platform.launcher.list()[0].name
        platform.start_worker()
        wait_until(
            lambda: ada.kernel(queued)["state"] == "running",
            what="the queued one",
        )
        assert await execute(client, "print(x + 1)") == "42\n"
        assert holders(platform) == [lost.id]
        platform.stop_worker()
        # Its row is gone: nobody wants what runs.
        with platform.context.database.session() as session:
            session.delete(session.get_one(KernelRow, queued))
        platform.start_worker()
        wait_until(
            lambda: [s.name for s in platform.launcher.list()] == [stray], what="the stray's end"
        )


async def test_without_a_free_gpu_it_waits_and_can_be_cancelled(
    platform: Platform, ada: Someone
) -> None:
    async with running("gpu"):
        second = asyncio.create_task(Manager("gpu").start_kernel())
        try:
            await eventually(lambda: len(ada.kernels()) == 2)
            wait = ada.kernels()[0]["id"]
            await asyncio.sleep(0.5)
            assert not second.done()
            assert ada.kernel(wait)["state"] == "queued"
            ada.stop(wait)
            with pytest.raises(PerijoveError, match=r"did not start: Stopped by you\."):
                await second
        finally:
            second.cancel()
        third = Manager("gpu")
        waiting = asyncio.create_task(third.start_kernel())
        await asyncio.sleep(1)
        assert not waiting.done()
        # The user closes the notebook meanwhile.
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await eventually(lambda: len(ada.kernels()) == 1)
        manager = Manager("gpu", start_timeout=0.5)
        with pytest.raises(PerijoveError, match=r"within .* minutes \(Waiting for a GPU"):
            await manager.start_kernel()


async def test_it_starts_when_the_gpu_is_free(platform: Platform, ada: Someone) -> None:
    second = Manager("gpu")
    async with running("gpu"):
        starting = asyncio.create_task(second.start_kernel())
        await asyncio.sleep(0.5)
    async with asyncio.timeout(60):
        await starting
    assert ada.only()["state"] == "running"
    await second.shutdown_kernel(now=True)


async def test_an_idle_kernel_gives_its_gpu_back_and_a_busy_one_keeps_it(
    platform: Platform, ada: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = platform.context.settings.workspaces.idle
    async with running("gpu") as (manager, client):
        # It lets no other thread run, sends nothing, and works.
        client.execute("import re\nre.match(r'(a+)+$', 'a' * 27 + 'b')\nprint('done')")
        await asyncio.sleep(1)
        monkeypatch.setattr(idle, "gpu_minutes", 2 / 60)
        await asyncio.sleep(3.5)
        kernel = ada.only()
        assert not kernel["stopped"]
        await client.get_shell_msg(timeout=60)
        code = await until_dead(manager)
        kernel = ada.kernel(kernel["id"])
        assert (code, kernel["state"], kernel["stopped"]) == (0, "ended", True)
        assert "idle minutes; its GPU is free for others" in kernel["reason"]
        wait_until(lambda: not holders(platform), what="the GPU's release")


async def test_it_ends_with_its_workspace(platform: Platform, ada: Someone) -> None:
    async with running() as (manager, _):
        kernel = ada.only()
        with platform.context.database.session() as session:
            row = WorkspaceRow(
                user="ada", server="", started_at=utcnow() - timedelta(hours=1), ended_at=utcnow()
            )
            session.add(row)
        try:
            await until_dead(manager)
            found = ada.kernel(kernel["id"])
            assert found["reason"] == "Stopped with the workspace it belongs to."
        finally:
            with platform.context.database.session() as session:
                session.delete(session.get_one(WorkspaceRow, ("ada", "")))


async def test_two_servers_with_one_kernel_id_have_two_kernels(ada: Someone) -> None:
    managers = [Manager(), Manager()]
    for manager in managers:
        await manager.start_kernel(kernel_id="the-same")
    assert len({kernel["id"] for kernel in ada.kernels()}) == 2
    await managers[0].shutdown_kernel(now=True)
    assert await managers[1].is_alive()
    await managers[1].shutdown_kernel(now=True)


async def test_another_process_of_the_user_takes_a_kernel_over(ada: Someone) -> None:
    async with running() as (manager, client):
        await execute(client, "x = 41")
        info = await manager.provisioner.get_provisioner_info()
        # As its process ends.
        await background.run(manager.provisioner._tunnel.close())
        heir = PerijoveProvisioner(parent=Manager(), size="small")
        await heir.load_provisioner_info(info)
        assert await heir.poll() is None
        await client.wait_for_ready(timeout=30)
        reply = await client.execute("y = x + 1", reply=True, timeout=30)
        assert reply["content"]["status"] == "ok"
        await heir.cleanup()
        assert ada.only()["stopped"]


async def test_what_the_user_may_not_start_is_refused_with_the_fix(
    platform: Platform, ada: Someone
) -> None:
    for size, image, message in [
        ("nosuch", None, "'nosuch' is not a size you may use.*Choose one of: small, tiny, gpu"),
        ("half", None, "'half' is not a size you may use"),
        ("cluster", None, "64 GPUs, which this machine has not"),
        ("small", "cpu", "processes here, without images"),
    ]:
        manager = Manager(size, image=image)
        with pytest.raises(PerijoveError, match=message):
            await manager.start_kernel()
    assert not ada.kernels()


async def test_an_expired_token_is_said_and_kills_nothing(
    platform: Platform, ada: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERIJOVE_TOKEN", "0" * 32)
    with pytest.raises(PerijoveError, match="unknown or has expired"):
        await Manager().start_kernel()
