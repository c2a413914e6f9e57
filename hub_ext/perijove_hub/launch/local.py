"""Workloads as processes of this machine, each under a shim that outlives the control plane.

A folder per workload holds its record. The shim holds a lock on the folder's ``lock`` file for
as long as it lives, so "does it run?" has an answer that no reused process id, no reboot and
no ``kill -9`` can falsify: lock held, running; ``exit.json`` there, ended; neither, gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from perijove_hub.launch import plain, shim
from perijove_hub.launch.workload import Kind, LaunchError, NameTaken, Phase, Status, Workload

#: What a workload inherits of the control plane's environment; nothing secret is among it.
INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
#: Marks every process of a workload, to find those that outlive a killed shim.
MARK = "PERIJOVE_WORKLOAD"
#: Seconds a shim may take to come up.
START_TIMEOUT = 30

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_NEW, _OLD = ".new-", ".old-"
_TEMPORARY = "pj-"


class LocalLauncher:
    """Starts workloads under ``root`` and finds them again after a restart.

    Any process of the same user may hold one on the same folder and poll, stop or read.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def start(self, workload: Workload) -> None:
        """Start it, or raise ``NameTaken``; ``LaunchError`` or ``OSError`` when it cannot be."""
        folder = self._folder(workload.name)
        self._sweep()
        staged = self._root / f"{_NEW}{secrets.token_hex(8)}"
        staged.mkdir(mode=0o700)
        lock = os.open(staged / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Held before anyone can see the folder, so that it never looks dead before it lives.
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._describe(workload, staged, folder)
            try:
                staged.rename(folder)
            except OSError as error:
                _bury(staged)
                if folder.exists():
                    raise NameTaken(workload.name) from None
                raise LaunchError(f"{folder}: {error.strerror}") from None
            self._spawn(workload, folder, lock)
        finally:
            os.close(lock)

    def poll(self, name: str) -> Status:
        """Say how it stands; ``Phase.gone`` for a name nobody knows."""
        folder = self._folder(name)
        # Asked in this order: a shim writes exit.json before it lets go of the lock.
        running = _is_locked(folder)
        spec, ending = _read(folder / "spec.json"), _read(folder / "exit.json")
        labels = spec.get("labels", {})
        if ending:
            return Status(
                name=name,
                phase=Phase.ended,
                labels=labels,
                exit_code=ending["exit_code"],
                cause=ending["cause"],
                peak_memory_mb=ending["peak_memory_mb"],
                started_at=_instant(ending["started_at"]),
                ended_at=_instant(ending["ended_at"]),
            )
        started = _read(folder / "shim.json").get("started_at")
        return Status(
            name=name,
            phase=Phase.running if running else Phase.gone,
            labels=labels,
            started_at=_instant(started) if started else None,
        )

    def stop(self, name: str) -> None:
        """Ask it to end, and end it after its grace; returns at once."""
        folder = self._folder(name)
        if not folder.is_dir():
            return
        # The file counts even when the shim is only just coming up; the signal saves the wait.
        (folder / "stop").touch(mode=0o600)
        if _is_locked(folder):
            _signal_shim(folder)
        else:
            self._kill_strays(folder)

    def logs(self, name: str, offset: int, limit: int) -> tuple[bytes, int]:
        """Return at most ``limit`` bytes of output from byte ``offset``, and the next offset."""
        try:
            with (self._folder(name) / "log").open("rb") as file:
                file.seek(offset)
                content = file.read(limit)
        except FileNotFoundError:
            return b"", offset
        return content, offset + len(content)

    def directory(self, name: str) -> Path:
        """Return the folder with the workload's files; ``KeyError`` for an unknown name."""
        spec = _read(self._folder(name) / "spec.json")
        return Path(spec["directory"])

    def list(self) -> list[Status]:
        """Every workload this launcher has a trace of."""
        return [self.poll(folder.name) for folder in sorted(self._folders())]

    def remove(self, name: str) -> None:
        """Forget an ended workload and delete its files.

        A directory that came with the workload stays its owner's. Raises ``ValueError`` for one
        that still runs.
        """
        folder = self._folder(name)
        if not folder.is_dir():
            return
        if self.poll(name).phase is Phase.running:
            raise ValueError(f"workload {name} is still running: stop it first")
        self._kill_strays(folder)
        buried = self._root / f"{_OLD}{secrets.token_hex(8)}"
        try:
            folder.rename(buried)
        except FileNotFoundError:
            # Somebody else has just removed it.
            return
        _bury(buried)

    def _folder(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"workload name {name!r} is not one path component of plain letters")
        return self._root / name

    def _folders(self) -> Iterator[Path]:
        return (path for path in self._root.iterdir() if _NAME.fullmatch(path.name))

    def _describe(self, workload: Workload, staged: Path, folder: Path) -> None:
        directory = workload.directory
        if directory is None:
            (staged / "files").mkdir(mode=0o700)
            directory = folder / "files"
        spec = {
            "name": workload.name,
            "kind": workload.kind.value,
            "command": _resolved(workload.command),
            "environment": workload.environment,
            "directory": str(directory.absolute()),
            "memory_mb": workload.memory_mb,
            "timeout_s": workload.timeout_s,
            "grace_s": workload.grace_s,
            "labels": workload.labels,
            "mark": secrets.token_hex(16),
        }
        if workload.kind is Kind.task:
            # Its own, so that what a killed one has left there goes as well. Short, because a
            # socket's path has 107 characters at most.
            spec["temporary"] = tempfile.mkdtemp(prefix=_TEMPORARY)
        (staged / "spec.json").write_text(json.dumps(spec), encoding="utf-8")

    def _spawn(self, workload: Workload, folder: Path, lock: int) -> None:
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        spec = _read(folder / "spec.json")
        environment |= {"HOME": spec["directory"]} | workload.environment | workload.secrets
        if "temporary" in spec:
            environment["TMPDIR"] = spec["temporary"]
        environment[MARK] = spec["mark"]
        command = [sys.executable, "-I", "-S", shim.__file__, str(folder), str(lock)]
        with (folder / "shim.log").open("wb") as errors:
            process = subprocess.Popen(
                command,
                env=environment,
                pass_fds=(lock,),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
            )
        if process.wait(START_TIMEOUT) != 0:
            said = (folder / "shim.log").read_text(encoding="utf-8", errors="replace").strip()
            reason = said.splitlines()[-1] if said else f"its shim exited {process.returncode}"
            raise LaunchError(f"workload {workload.name} did not start: {reason}")

    def _kill_strays(self, folder: Path) -> None:
        """Kill processes that outlived the shim which would have ended them."""
        mark = _read(folder / "spec.json").get("mark")
        if mark and not _is_locked(folder):
            for pid in _marked(f"{MARK}={mark}".encode()):
                shim.kill(pid, signal.SIGKILL)

    def _sweep(self) -> None:
        """Delete what a killed ``start`` or ``remove`` left half done."""
        for path in self._root.glob(".*"):
            if path.name.startswith((_NEW, _OLD)) and not _is_locked(path):
                _bury(path)


def _bury(folder: Path) -> None:
    """Delete a workload's folder, and before it what it put into its own ``TMPDIR``."""
    # Half written, if whoever wrote it was killed.
    with contextlib.suppress(ValueError):
        temporary = Path(_read(folder / "spec.json").get("temporary", ""))
        if temporary.name.startswith(_TEMPORARY):
            plain.delete(temporary)
    plain.delete(folder)


def _resolved(command: tuple[str, ...]) -> list[str]:
    """Let ``python`` be the one with Perijove in it, whatever ``PATH`` says."""
    return [sys.executable if command[0] == "python" else command[0], *command[1:]]


def _is_locked(folder: Path) -> bool:
    """Tell whether a shim holds ``folder``; askers share the lock, so they see only shims."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _signal_shim(folder: Path) -> None:
    """Send SIGTERM to the shim of ``folder``, and never to a stranger with its old number."""
    who = _read(folder / "shim.json")
    if not who:
        return
    try:
        handle = os.pidfd_open(who["pid"])
    except ProcessLookupError:
        return
    try:
        if int(shim.stat_fields(who["pid"])[19]) == who["start_ticks"]:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
    except (ProcessLookupError, FileNotFoundError):
        pass
    finally:
        os.close(handle)


def _marked(mark: bytes) -> Iterator[int]:
    """Find processes with ``mark`` in their environment."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if mark in environment.split(b"\0"):
                yield int(entry.name)


def _read(path: Path) -> dict[str, Any]:
    """Read a JSON file; empty when it is not there."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return content


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
