"""One supervised process: start it, know whether it answers, restart it, stop it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

#: A part that exits so has said what is wrong with its configuration (sysexits.h EX_CONFIG).
EX_CONFIG = 78

#: One client for all probes: each new one reads the machine's certificates, 20 ms of work, and
#: parts are probed ten times a second while they start and need the cores themselves.
_PROBES = httpx.Client(timeout=2, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))

#: Seconds before a restart: after the first exit at once, then longer while it keeps dying.
BACK_OFF = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
#: Seconds after which a part that stayed up is forgiven its earlier exits.
SETTLED = 60.0


@dataclass
class Part:
    """A child process and how to tell that it answers."""

    name: str
    command: Sequence[str]
    probe: str
    """URL that answers with ``expects`` once the part is ready."""
    log: Path
    pid_file: Path
    expects: int = 200
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    exits: int = 0
    started: float = 0.0
    restart_at: float = 0.0
    log_begins: int = 0
    """Byte of the log at which the present process began."""
    ready_after: float | None = None
    """Seconds from start to the first answer; null while it does not answer."""

    def start(self) -> None:
        """Start the process in a session of its own, so that Ctrl-C reaches only us."""
        with self.log.open("ab") as log:
            self.log_begins = log.tell()
            self.process = subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        self.started = time.monotonic()
        self.ready_after = None
        created = psutil.Process(self.process.pid).create_time()
        record = json.dumps({"pid": self.process.pid, "created": created})
        # In one step: whoever reads it meanwhile, or after a kill -9, finds a whole record.
        partial = self.pid_file.with_suffix(".part")
        partial.write_text(record, encoding="utf-8")
        partial.replace(self.pid_file)

    def answers(self) -> bool:
        """Probe the part, and remember how long it took to its first answer."""
        try:
            ready = _PROBES.get(self.probe).status_code == self.expects
        except httpx.HTTPError:
            return False
        if ready and self.ready_after is None:
            self.ready_after = time.monotonic() - self.started
        return ready

    def exited(self) -> int | None:
        """Return the exit status when it has ended since it was started."""
        return self.process.poll() if self.process else None

    def schedule_restart(self) -> float:
        """Plan the next start and return the seconds until then."""
        now = time.monotonic()
        if now - self.started > SETTLED:
            self.exits = 0
        delay = BACK_OFF[min(self.exits, len(BACK_OFF) - 1)]
        self.exits += 1
        self.restart_at = now + delay
        self.process = None
        return delay

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to the process and its children."""
        if self.process and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def wait(self, seconds: float) -> bool:
        """Wait for the process to end; tell whether it did."""
        if self.process is None:
            return True
        try:
            self.process.wait(max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            return False
        self.pid_file.unlink(missing_ok=True)
        return True

    def last_words(self, lines: int = 12) -> str:
        """Return the end of what it has logged since it was started."""
        with contextlib.suppress(OSError):
            text = self.log.read_bytes()[self.log_begins :][-8000:].decode(errors="replace")
            return "\n".join(text.splitlines()[-lines:])
        return ""


def leftover(pid_file: Path) -> psutil.Process | None:
    """Return the process a pid file names if that very process still lives."""
    try:
        record = json.loads(pid_file.read_text(encoding="utf-8"))
        process = psutil.Process(record["pid"])
        same = abs(process.create_time() - record["created"]) < 1
    except (OSError, ValueError, KeyError, psutil.Error):
        return None
    return process if same and process.status() != psutil.STATUS_ZOMBIE else None


def end_leftover(pid_file: Path) -> None:
    """End the process group a supervisor that was killed left behind."""
    process = leftover(pid_file)
    if process is not None:
        for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(psutil.TimeoutExpired):
                process.wait(seconds)
                break
    pid_file.unlink(missing_ok=True)
