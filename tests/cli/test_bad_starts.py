"""What keeps Perijove from starting is said before anything starts, with the fix."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.fixtures.hub import Hub
from tests.fixtures.processes import free_port, pythonpath


def perijove(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line; whether there is a Docker engine here makes no difference."""
    if arguments[0] == "up":
        arguments = (*arguments, "--spawner", "local")
    return subprocess.run(
        [sys.executable, "-m", "perijove_hub.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": pythonpath(), **environment},
    )


def test_a_taken_port_names_who_has_it_and_a_free_one(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = perijove("up", "--port", str(port), "--data-dir", str(tmp_path / "data"))
    assert answer.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken" in answer.stderr
    assert f"pid {os.getpid()}" in answer.stderr
    assert "--port" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    answer = perijove("up", "--data-dir", str(blocked / "data"))
    assert answer.returncode == 1
    assert str(blocked / "data") in answer.stderr
    assert "--data-dir" in answer.stderr


def test_without_node_it_says_what_to_install(tmp_path: Path) -> None:
    answer = perijove("up", "--data-dir", str(tmp_path / "data"), PATH=str(tmp_path))
    assert answer.returncode == 1
    assert "Node.js is missing" in answer.stderr


def test_without_the_proxy_it_gives_the_command_that_installs_it(tmp_path: Path) -> None:
    config = tmp_path / "perijove.toml"
    config.write_text('[hub]\nproxy_command = ["/no/such/proxy"]\n')
    answer = perijove("up", "--data-dir", str(tmp_path / "data"), "--config", str(config))
    assert answer.returncode == 1
    assert "npm install -g configurable-http-proxy@5" in answer.stderr


def test_a_proxy_that_is_too_old_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "proxy"
    old.write_text("#!/bin/sh\necho 4.6.2\n")
    old.chmod(0o755)
    config = tmp_path / "perijove.toml"
    config.write_text(f'[hub]\nproxy_command = ["{old}"]\n')
    answer = perijove("up", "--data-dir", str(tmp_path / "data"), "--config", str(config))
    assert answer.returncode == 1
    assert "version 4.6.2; 5 or later is needed" in answer.stderr


def test_a_misspelt_setting_names_its_line_and_the_right_one(tmp_path: Path) -> None:
    config = tmp_path / "perijove.toml"
    config.write_text("[hub]\nprot = 9000\n")
    answer = perijove("up", "--data-dir", str(tmp_path / "data"), "--config", str(config))
    assert answer.returncode == 1
    assert f"{config}:2: hub.prot" in answer.stderr
    assert "'port'" in answer.stderr
    assert not (tmp_path / "data").exists(), "nothing may have started"


def test_a_database_newer_than_the_code_is_refused_and_left_alone(tmp_path: Path) -> None:
    from sqlalchemy import text

    from perijove_hub.context import Context
    from perijove_hub.store.migrate import upgrade

    context = Context.open(tmp_path / "data", None)
    upgrade(context.database)
    with context.database.engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    context.database.close()
    port = socket.socket()
    port.bind(("127.0.0.1", 0))
    free = port.getsockname()[1]
    port.close()
    answer = perijove("up", "--data-dir", str(tmp_path / "data"), "--port", str(free))
    assert answer.returncode == 1
    assert "newer Perijove" in answer.stderr


def test_an_mlflow_database_newer_than_the_code_stops_the_start_with_one_reason(
    tmp_path: Path,
) -> None:
    database = tmp_path / "data" / "mlflow" / "mlflow.sqlite"
    database.parent.mkdir(parents=True)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("create table alembic_version (version_num text)")
        connection.execute("insert into alembic_version values ('zzz9')")
    before = database.read_bytes()
    for _ in range(2):
        answer = perijove("up", "--data-dir", str(tmp_path / "data"), "--port", str(free_port()))
        assert answer.returncode == 1
        # Neither what an earlier start logged, nor what cannot matter to one that failed.
        assert answer.stderr.count("a newer MLflow wrote it") == 1
        assert "Traceback" not in answer.stderr
        assert "order to stop" not in answer.stdout
    assert database.read_bytes() == before


@pytest.mark.parametrize("user", ["nobody-here", "../ada", "a b"])
def test_a_token_for_nobody_says_that_there_is_no_such_user(hub: Hub, user: str) -> None:
    answer = perijove("token", user, "--data-dir", str(hub.data.root))
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith(f"perijove: There is no user '{user}'.")


def test_doctor_says_what_is_missing_and_the_fix(tmp_path: Path) -> None:
    assert shutil.which("node")
    fine = perijove("doctor", "--json", "--data-dir", str(tmp_path / "data"), "--port", "1")
    answer = perijove("doctor", "--data-dir", str(tmp_path / "data"), PATH=str(tmp_path))
    assert '"check": "proxy"' in fine.stdout
    assert answer.returncode == 1
    assert "Node.js is missing" in answer.stdout


@pytest.mark.parametrize("command", ["status", "token ada", "users list"])
def test_commands_that_need_a_running_perijove_say_so(tmp_path: Path, command: str) -> None:
    answer = perijove(*command.split(), "--data-dir", str(tmp_path / "nothing"))
    assert answer.returncode == 1
    assert "perijove up" in answer.stderr
