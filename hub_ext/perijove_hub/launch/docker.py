"""Workloads as containers, which go on while the control plane is away.

The container is the record of how a workload ended, kept until ``remove``. Beside it is a
folder with what the engine does not keep: the description, the log, a wish to stop. The folder
is made first and its name can be taken once; a lock on it is held while a start is under way,
so a start that was killed half-way is told from one that goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from docker.errors import APIError, ImageNotFound, NotFound

from perijove_hub.context import Context
from perijove_hub.engine import Mount, Names, Sandbox, firewall, network
from perijove_hub.engine.client import connect, reaching
from perijove_hub.engine.exceptions import EngineDown
from perijove_hub.engine.ready import IMAGE
from perijove_hub.engine.sandbox import UID
from perijove_hub.files import measure
from perijove_hub.launch import inside, plain
from perijove_hub.launch.workload import (
    ImageMissing,
    LaunchError,
    NameTaken,
    Phase,
    Status,
    Workload,
)
from perijove_hub.up.exceptions import StartError

#: Where a workload finds its directory; also its ``HOME``.
DIRECTORY = "/workload"
#: Memory of a workload that names none, MiB: no container goes without a limit.
MEMORY_MB = 4096
#: Most bytes of a log.
LOG_BYTES = 50 * 2**20
#: Bytes that a container's last word takes at most.
RESERVE = 1024
#: Seconds between looks at a workload's disk.
DISK_EVERY = 5.0
#: Seconds beyond its grace after which a container is killed from outside.
SLACK = 5.0

_LOG, _END, _INSIDE = (f"/run/perijove/{name}" for name in ("log", "end", "inside.py"))
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_NEW, _OLD = ".new-", ".old-"
_KIND = "t"


class DockerLauncher:
    """Starts workloads as containers on the instance's network, and finds them again.

    Every method raises ``EngineDown`` while the engine does not answer, except ``logs`` and
    ``directory``, which need only files.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._root = context.data.workloads
        self._names = Names.of(context.data.root)
        self._connection: Any = None
        self._measured: dict[str, float] = {}
        self._stopping: dict[str, float] = {}

    def start(self, workload: Workload) -> None:
        """Start it, or raise ``NameTaken``; ``LaunchError`` or ``OSError`` when it cannot be.

        Files in ``workload.directory`` are given over to the container's user, so it has to be
        one that was made for this workload. Nothing starts without the firewall.
        """
        folder = self._folder(workload.name)
        self._sweep()
        self._close_network()
        staged = self._root / f"{_NEW}{secrets.token_hex(8)}"
        staged.mkdir(mode=0o700)
        lock = os.open(staged / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Held before anyone can see the folder, so that it never looks dead before it lives.
            fcntl.flock(lock, fcntl.LOCK_EX)
            directory = self._describe(workload, staged, folder)
            try:
                staged.rename(folder)
            except OSError as error:
                shutil.rmtree(staged, ignore_errors=True)
                if folder.exists():
                    raise NameTaken(workload.name) from None
                raise LaunchError(f"{folder}: {error.strerror}") from None
            _give(directory)
            self._run(workload, folder, directory)
        finally:
            os.close(lock)

    def poll(self, name: str) -> Status:
        """Say how it stands; ``Phase.gone`` for a name nobody knows."""
        folder = self._folder(name)
        starting = _is_locked(folder)
        return self._status(name, self._inspect(name), starting=starting)

    def stop(self, name: str) -> None:
        """Ask it to end, and end it after its grace; returns at once."""
        folder = self._folder(name)
        if not folder.is_dir():
            return
        (folder / "stop").touch(mode=0o600)
        self._kill(name, "SIGTERM")

    def logs(self, name: str, offset: int, limit: int) -> tuple[bytes, int]:
        """Return at most ``limit`` bytes of output from byte ``offset``, and the next offset."""
        content = plain.read(self._folder(name) / "log", offset, limit) or b""
        return content, offset + len(content)

    def directory(self, name: str) -> Path:
        """Return the folder with the workload's files; ``KeyError`` for an unknown name."""
        return Path(_json(self._folder(name) / "spec.json")["directory"])

    def list(self) -> list[Status]:
        """Every workload this launcher has a trace of."""
        starting = {path.name: _is_locked(path) for path in self._root.iterdir()}
        containers = {
            found["Labels"].get("perijove.id", ""): found
            for found in self._containers()
            if found["Labels"].get("perijove.kind") == _KIND
        }
        for name, found in containers.items():
            # The folder comes first and goes last, so this one was left by a lost folder.
            if not _NAME.fullmatch(name) or not self._folder(name).is_dir():
                self._discard(found["Id"])
        statuses = []
        for path in sorted(path for path in self._root.iterdir() if _NAME.fullmatch(path.name)):
            found = containers.get(path.name)
            # Running ones are told by the list; only those that ended are asked about.
            if found is None or found["State"] != "running":
                found = self._inspect(path.name)
            statuses.append(self._status(path.name, found, starting=starting.get(path.name, True)))
        return statuses

    def remove(self, name: str) -> None:
        """Forget an ended workload and delete its container and files.

        A directory that came with the workload stays its owner's. Raises ``ValueError`` for one
        that still runs.
        """
        folder = self._folder(name)
        if not folder.is_dir():
            return
        if self.poll(name).phase is Phase.running:
            raise ValueError(f"workload {name} is still running: stop it first")
        self._discard(self._container(name))
        buried = self._root / f"{_OLD}{secrets.token_hex(8)}"
        # Gone, if somebody else has just removed it.
        with contextlib.suppress(FileNotFoundError):
            folder.rename(buried)
            plain.delete(buried)
        self._measured.pop(name, None)
        self._stopping.pop(name, None)

    def close(self) -> None:
        """Let go of the engine; the next call connects again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _api(self) -> Any:
        if self._connection is None:
            self._connection = connect()
        return self._connection.api

    def _folder(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"workload name {name!r} is not one path component of plain letters")
        return self._root / name

    def _container(self, name: str) -> str:
        return self._names.container(_KIND, name)

    def _close_network(self) -> None:
        if not firewall.in_force(self._names):
            allow = self._context.settings.network.allow
            try:
                firewall.enforce(self._names, self._context.topology, allow)
            except StartError as error:
                raise EngineDown(f"containers' network is not closed: {error}") from None

    def _describe(self, workload: Workload, staged: Path, folder: Path) -> Path:
        directory = workload.directory
        if directory is None:
            (staged / "files").mkdir(mode=0o700)
            directory = folder / "files"
        spec = {
            "labels": workload.labels,
            "directory": str(directory.absolute()),
            "memory_mb": workload.memory_mb or MEMORY_MB,
            "disk_mb": workload.disk_mb,
            "timeout_s": workload.timeout_s,
            "grace_s": workload.grace_s,
            # By a clock that nobody sets; a container does not outlive the machine's own count.
            "began": time.monotonic(),
        }
        (staged / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
        # A copy, because the container's user may not be let to where Perijove is installed.
        shutil.copyfile(inside.__file__, staged / "inside.py")
        for name in ("log", "end", "inside.py"):
            (staged / name).touch(mode=0o600)
            if name == "end":
                (staged / name).write_bytes(b" " * RESERVE)
            (staged / name).chmod(0o600)
            _own(staged / name)
        return directory

    def _run(self, workload: Workload, folder: Path, directory: Path) -> None:
        try:
            with reaching():
                container = self._create(workload, folder, directory)
                self._start(container, workload.secrets)
        except ImageNotFound:
            raise ImageMissing(
                f"the image {workload.image or IMAGE} is not on this Docker engine"
            ) from None
        except APIError as error:
            if error.status_code == 409:
                raise NameTaken(workload.name) from None
            raise LaunchError(f"the Docker engine refuses it: {error.explanation}") from None
        if (folder / "stop").exists():
            self._kill(workload.name, "SIGTERM")

    def _create(self, workload: Workload, folder: Path, directory: Path) -> str:
        box = Sandbox(
            network=self._names.network,
            memory_mb=workload.memory_mb or MEMORY_MB,
            cpu=workload.cpu or float(os.cpu_count() or 1),
            gpus=workload.gpus,
            groups=workload.groups,
            mounts=(
                Mount(str(directory.absolute()), DIRECTORY),
                Mount(str(folder / "log"), _LOG),
                Mount(str(folder / "end"), _END),
                Mount(str(folder / "inside.py"), _INSIDE, read_only=True),
                *workload.mounts,
            ),
        )
        # An id, so that a tag that moves meanwhile changes nothing.
        image = self._api.inspect_image(workload.image or IMAGE)["Id"]
        limits = {
            "log": _LOG,
            "end": _END,
            "log_bytes": LOG_BYTES,
            "timeout_s": workload.timeout_s,
            "grace_s": workload.grace_s,
        }
        created = self._api.create_container(
            image=image,
            name=self._container(workload.name),
            entrypoint=["python", "-I", "-S", _INSIDE],
            command=[json.dumps(limits), *workload.command],
            environment={"HOME": DIRECTORY, **workload.environment},
            working_dir=DIRECTORY,
            user=_user(),
            stdin_open=True,
            labels={
                **self._names.labels,
                "perijove.kind": _KIND,
                "perijove.id": workload.name,
                **box.labels,
            },
            stop_timeout=round(workload.grace_s + SLACK),
            host_config=self._api.create_host_config(**box.host_config()),
            networking_config=network.place(self._api, box.network),
        )
        return str(created["Id"])

    def _start(self, container: str, given: dict[str, str]) -> None:
        """Start it and hand over the secrets; half a hand-over ends it unstarted."""
        attached = self._api.attach_socket(container, params={"stdin": 1, "stream": 1})
        # Over a Unix socket the client hides the connection one level down.
        connection = getattr(attached, "_sock", attached)
        with contextlib.closing(attached), contextlib.closing(connection):
            self._api.start(container)
            connection.sendall(json.dumps(given).encode() + b"\n")

    def _status(self, name: str, found: dict[str, Any] | None, *, starting: bool) -> Status:
        folder = self._folder(name)
        spec = _json(folder / "spec.json")
        labels = spec.get("labels", {})
        if found is None or _state(found) == "created":
            return Status(name, Phase.running if starting else Phase.gone, labels)
        if _state(found) not in ("exited", "dead"):
            self._watch(name, folder, spec)
            return Status(
                name,
                Phase.running,
                labels,
                address=_address(found),
                started_at=datetime.fromtimestamp(_created(found), UTC),
            )
        return _ending(name, folder, spec, found["State"])

    def _watch(self, name: str, folder: Path, spec: dict[str, Any]) -> None:
        """End what its container's own watch did not end, and what fills the disk."""
        now, grace = time.monotonic(), float(spec.get("grace_s", 0)) + SLACK
        timeout, began = spec.get("timeout_s"), spec.get("began")
        # From when it was first seen, because it is asked again and again.
        if (folder / "stop").exists() and now > self._stopping.setdefault(name, now) + grace:
            self._kill(name, "SIGKILL")
        if timeout is not None and began is not None and now > began + timeout + grace:
            _note(folder, "timeout")
            self._kill(name, "SIGKILL")
        limit = spec.get("disk_mb")
        if limit is None or now < self._measured.get(name, 0) + DISK_EVERY:
            return
        self._measured[name] = now
        # The root file system is read-only: the directory and the log are all it can write.
        directory = Path(spec["directory"])
        used = measure.home(folder, 0.5).bytes
        if not directory.is_relative_to(folder):
            used += measure.home(directory, 0.5).bytes
        if used > limit * 2**20:
            _note(folder, "disk")
            self._kill(name, "SIGKILL")

    def _inspect(self, name: str) -> dict[str, Any] | None:
        try:
            with reaching():
                found: dict[str, Any] = self._api.inspect_container(self._container(name))
        except NotFound:
            return None
        return found

    def _containers(self) -> Any:
        labels = [f"{key}={value}" for key, value in self._names.labels.items()]
        with reaching():
            return self._api.containers(all=True, filters={"label": labels})

    def _kill(self, name: str, number: str) -> None:
        # It may have ended, or never have started: then the engine says 404 or 409.
        with contextlib.suppress(APIError), reaching():
            self._api.kill(self._container(name), number)

    def _discard(self, container: str) -> None:
        with contextlib.suppress(NotFound), reaching():
            self._api.remove_container(container, force=True, v=True)

    def _sweep(self) -> None:
        """Delete what a killed ``start`` or ``remove`` left half done."""
        for path in self._root.glob(".*"):
            if path.name.startswith((_NEW, _OLD)) and not _is_locked(path):
                plain.delete(path)


def _ending(name: str, folder: Path, spec: dict[str, Any], state: dict[str, Any]) -> Status:
    """Put together what engine, launcher and the container itself say of an end.

    The engine's word counts on whether it failed and on memory, the launcher's on what it did
    itself; the container's own only explains.
    """
    said = _said(folder)
    code = int(state["ExitCode"])
    labels = spec.get("labels", {})
    started, ended = _instant(state["StartedAt"]), _instant(state["FinishedAt"])
    cause = _json(folder / "cause.json").get("cause")
    stopped = (folder / "stop").exists()
    memory_mb = float(spec.get("memory_mb", MEMORY_MB))
    if cause is None and state["OOMKilled"]:
        cause = "memory"
    if cause is None and stopped:
        cause = "stopped"
    if cause is None and not said:
        # Nobody here ended it and it could not say a word: the engine or the machine went down,
        # or its starter did before the secrets were handed over.
        never = code == inside.NEVER_STARTED
        return Status(name, Phase.gone, labels, started_at=None if never else started)
    peak = said.get("peak_mb")
    if cause == "memory":
        # Its own count may be missing, and the limit is what it reached.
        peak = max(peak or 0.0, memory_mb)
    exact = said.get("exit_code")
    if exact is None or (exact == 0) != (code == 0):
        exact = code if code <= 128 else 128 - code
    return Status(
        name,
        Phase.ended,
        labels,
        exit_code=exact,
        cause=cause or said["cause"],
        peak_memory_mb=peak,
        started_at=started,
        ended_at=ended,
    )


def _said(folder: Path) -> dict[str, Any]:
    """Read what the container wrote of its end; nothing in it is taken for granted."""
    try:
        document = json.loads(plain.read(folder / "end", 0, 4096) or b"")
        code, peak = document["exit_code"], document["peak"]
        # What no process ends with, and no machine has, would not fit into a database.
        if abs(code) > 255 or not (peak is None or 0 <= peak < 2**60):
            raise ValueError
        return {
            "exit_code": int(code),
            "cause": {"timeout": "timeout", "terminated": "engine"}.get(document["cause"]),
            "peak_mb": round(float(peak) / 2**20, 1) if peak is not None else None,
        }
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return {}


def _user() -> str:
    uid = UID if os.geteuid() == 0 else os.geteuid()
    return f"{uid}:{uid}" if os.geteuid() == 0 else f"{uid}:{os.getegid()}"


def _give(directory: Path) -> None:
    """Make the container's user the owner of a directory made for it, links left alone."""
    for where, folders, files in os.walk(directory):
        for name in (*folders, *files):
            _own(Path(where) / name)
    _own(directory)


def _own(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, UID, UID, follow_symlinks=False)


def _note(folder: Path, cause: str) -> None:
    partial = folder / "cause.part"
    partial.write_text(json.dumps({"cause": cause}), encoding="utf-8")
    partial.replace(folder / "cause.json")


def _state(found: dict[str, Any]) -> str:
    """Return the state, which inspecting and listing put in different places."""
    state = found["State"]
    return str(state["Status"] if isinstance(state, dict) else state)


def _created(found: dict[str, Any]) -> float:
    created = found["Created"]
    return _instant(created).timestamp() if isinstance(created, str) else float(created)


def _address(found: dict[str, Any]) -> str | None:
    for one in found["NetworkSettings"]["Networks"].values():
        if one["IPAddress"]:
            return str(one["IPAddress"])
    return None


def _instant(text: str) -> datetime:
    # Nanoseconds, of which Python reads six digits.
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}").replace(tzinfo=UTC)


def _is_locked(folder: Path) -> bool:
    """Tell whether a start of ``folder`` is under way."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _json(path: Path) -> dict[str, Any]:
    """Read a file of the launcher's own; empty when it is not there."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return content
