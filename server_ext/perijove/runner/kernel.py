"""A kernel's process and what is said to it and heard from it, without an event loop.

nbclient makes three tasks a cell and asks every second whether the kernel lives; here one thread
waits on two sockets.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import KernelManager
from jupyter_core.paths import jupyter_path

from perijove.runner import prelude

#: Seconds a kernel may take to answer after its start.
START_TIMEOUT = 120.0
#: Seconds the output of a cell that has ended may stay away.
QUIET = 300.0
#: Seconds between two looks at what sockets do not tell: signals, time, the kernel's process.
TICK = 0.25
#: Seconds a kernel may take to end by itself after its last cell: what it has left to send, such
#: as metrics of an experiment, it sends now.
FAREWELL = 30.0

#: Bytes of the end of what its process writes to its own standard error.
LAST_WORDS = 16_384

_DELIMITER = b"<IDS|MSG>"


class Message:
    """A message of a kernel; what it says is read when somebody asks.

    Signatures are not checked: the sockets lie in a folder of our own, and the notebook's code
    knows the key anyway.
    """

    def __init__(self, frames: list[bytes]) -> None:
        at = frames.index(_DELIMITER)
        self._frames = frames[at + 2 :]
        self.header: dict[str, Any] = json.loads(self._frames[0])
        self.type: str = self.header["msg_type"]
        self.parent: str | None = json.loads(self._frames[1]).get("msg_id")
        self._content: dict[str, Any] | None = None

    @property
    def content(self) -> dict[str, Any]:
        """What it says."""
        if self._content is None:
            self._content = json.loads(self._frames[3])
        return self._content

    @property
    def says_idle(self) -> bool:
        """Whether it is a status that says that the kernel has nothing to do."""
        try:
            return bool(self.content["execution_state"] == "idle")
        except (LookupError, TypeError, ValueError):
            return False

    @property
    def size(self) -> int:
        """Its bytes."""
        return sum(map(len, self._frames))

    def as_dict(self) -> dict[str, Any]:
        """Return it as jupyter_client and nbclient have messages."""
        return {
            "header": self.header,
            "msg_id": self.header["msg_id"],
            "msg_type": self.type,
            "parent_header": json.loads(self._frames[1]),
            "metadata": json.loads(self._frames[2]),
            "content": self.content,
            "buffers": [memoryview(frame) for frame in self._frames[4:]],
        }


class KernelMissing(Exception):
    """The kernel is not installed here or did not start; ``str()`` says so to people."""


class KernelDied(Exception):
    """The kernel's process has ended."""


class OutputLost(Exception):
    """A cell ended and its output did not arrive."""


@dataclass(frozen=True)
class Setting:
    """Where a kernel runs."""

    directory: Path | None = None
    """Its working directory; ``None`` for ours."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What it has on top of our environment."""

    @classmethod
    def of(cls, *, work: Path | None, metrics: Path | None) -> Setting:
        """Make one from a command line's paths."""
        told = {"PERIJOVE_METRICS": str(metrics.absolute())} if metrics else {}
        return cls(work.absolute() if work else None, told)


class Kernel:
    """A kernel behind Unix sockets, whose output is never dropped.

    Ports picked for runs at once collide, and other users of the machine could reach them.
    """

    def __init__(self, name: str, setting: Setting) -> None:
        """Start its process and return at once. Raises ``KernelMissing``."""
        self.name = name
        self.language_info: dict[str, Any] = {}
        # Not in the run's own folder: a socket's path holds at most 107 characters.
        self._sockets = Path(tempfile.mkdtemp(prefix="pj-"))
        self._context = zmq.Context()
        self._asked: set[str | None] = set()
        self._errors = -1
        self._last_words = b""
        # A kernel that is not there yet is tried again soon.
        self._context.setsockopt(zmq.RECONNECT_IVL, 10)
        # By itself it would import IPython, to look into a folder nobody uses any more.
        specs = KernelSpecManager(kernel_dirs=jupyter_path("kernels"))
        try:
            self._manager = KernelManager(
                kernel_name=name,
                kernel_spec_manager=specs,
                transport="ipc",
                ip=str(self._sockets / "k"),
                context=self._context,
            )
            spec = self._manager.kernel_spec
            self._ipython = spec is not None and any("ipykernel" in word for word in spec.argv)
            # A kernel that waits while we have this many messages to read needs us to bound it;
            # the others drop what comes on top of their own bound, so ours is none.
            self._context.setsockopt(zmq.RCVHWM, prelude.WAITING if self._ipython else 0)
            # What its children write there arrives as messages; ipykernel writes it to our log as
            # well, where it would be a second time and with its secrets.
            self._errors, writing = os.pipe()
            os.set_blocking(self._errors, False)
            try:
                self._manager.start_kernel(
                    cwd=setting.directory,
                    env={**os.environ, **setting.environment},
                    stdout=subprocess.DEVNULL,
                    stderr=writing,
                )
            finally:
                os.close(writing)
        except NoSuchKernel:
            here = ", ".join(sorted(specs.find_kernel_specs())) or "none"
            self.close()
            raise KernelMissing(
                f"The kernel '{name}' is not installed where jobs run. Here: {here}"
            ) from None
        except (RuntimeError, OSError) as error:
            self.close()
            raise KernelMissing(f"The kernel did not start: {error}") from error
        self.client = self._manager.client(context=self._context)
        self.client.start_channels(stdin=False, hb=False, control=False)
        self._shell = self.client.shell_channel.socket
        self._iopub = self.client.iopub_channel.socket
        self._poller = zmq.Poller()
        self._poller.register(self._shell, zmq.POLLIN)
        self._poller.register(self._iopub, zmq.POLLIN)
        self._poller.register(self._errors, zmq.POLLIN)

    def wait_until_ready(self, look: Callable[[], None]) -> None:
        """Wait until it answers; ``look`` is called meanwhile and may raise.

        Raises ``KernelMissing``, and ``KernelDied`` for one that somebody killed: the next may
        live.
        """
        deadline = time.monotonic() + START_TIMEOUT
        asked: list[str] = []
        answered = heard = False
        again = 0.0
        while not (answered and heard):
            now = time.monotonic()
            if now > deadline:
                raise KernelMissing(
                    f"The kernel did not start: no answer in {START_TIMEOUT:.0f} seconds"
                )
            if not self.alive:
                if self._was_killed:
                    raise KernelDied
                raise KernelMissing("The kernel did not start: its process ended")
            if now >= again:
                # What it says before our subscription arrives is lost, so it is asked again.
                asked.append(self.client.kernel_info())
                again = now + (0.05 if answered else 1.0)
            look()
            ready = self._wait(0.05)
            if self._shell in ready and (reply := self._receive(self._shell)) is not None:
                answered = answered or reply.type == "kernel_info_reply"
                self.language_info = reply.content.get("language_info", self.language_info)
                again = min(again, time.monotonic() + 0.05)
            if self._iopub in ready and (said := self._receive(self._iopub)) is not None:
                heard = heard or said.parent in asked
        if self._ipython:
            # Its answer is awaited and not judged: a kernel made otherwise keeps its ways.
            for _ in self.execute(prelude.SOURCE, look, silent=True):
                pass

    def execute(
        self, source: str, look: Callable[[], None], *, silent: bool = False, stop: bool = True
    ) -> Iterator[Message]:
        """Run code; yield its messages on iopub as they come, and its reply as the last.

        What threads of code that ran before print meanwhile comes with them.

        ``look`` is called at least every quarter of a second and may raise. With ``stop``
        what else the kernel was asked is dropped when the code raises. Raises ``KernelDied``
        and ``OutputLost``.
        """
        asked = self.client.execute(
            source, silent=silent, store_history=not silent, stop_on_error=stop, allow_stdin=False
        )
        self._asked.add(asked)
        reply: Message | None = None
        idle = False
        quiet_since = looked = time.monotonic()
        while reply is None or not idle:
            ready = self._wait(TICK)
            now = time.monotonic()
            if not ready or now - looked >= TICK:
                looked = now
                look()
                if not ready and not self.alive:
                    # What it still had said was read before: nothing was ready.
                    raise KernelDied
                if not ready and reply is not None and now - quiet_since > QUIET:
                    raise OutputLost
            if self._iopub in ready:
                quiet_since = now
                # In turns, or a kernel that never stops talking would not let us look.
                for _ in range(100):
                    said = self._receive(self._iopub)
                    if said is None:
                        break
                    if said.parent != asked:
                        if said.type == "stream" and said.parent in self._asked:
                            yield said
                        continue
                    if said.type != "status":
                        yield said
                    elif said.says_idle:
                        idle = True
                        break
            if self._shell in ready:
                answer = self._receive(self._shell)
                if answer is not None and answer.parent == asked:
                    reply = answer
                    quiet_since = now
        yield reply

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return bool(self._manager.is_alive())

    @property
    def _was_killed(self) -> bool:
        process = getattr(self._manager.provisioner, "process", None)
        return process is not None and (process.poll() or 0) < 0

    def interrupt(self) -> None:
        """Ask the cell that runs to end."""
        with suppress(Exception):
            self._manager.interrupt_kernel()

    def kill(self) -> None:
        """End its processes now."""
        with suppress(Exception):
            self._manager.signal_kernel(signal.SIGKILL)

    @property
    def last_words(self) -> str:
        """The end of what its process wrote to its own standard error, a crash say."""
        words = self._last_words.decode(errors="replace")
        # Half a line may begin with half a secret.
        return words if len(self._last_words) < LAST_WORDS else words.partition("\n")[2]

    def farewell(self) -> None:
        """Ask it to end; it may take the time to send what it has."""
        with suppress(Exception):
            self._manager.request_shutdown()

    def close(self, *, wait: float = 0.0) -> bool:
        """End it, after at most ``wait`` seconds for its own end, and leave nothing behind.

        Returns whether it had to be killed.
        """
        if self._context.closed:
            return False
        killed = False
        with suppress(Exception):
            deadline = time.monotonic() + wait
            while time.monotonic() < deadline and self.alive:
                # Read, or one that still has much to say would wait for us.
                if self._iopub in self._wait(0.01):
                    self._receive(self._iopub)
            if self.alive:
                killed = True
                self.kill()
                self._wait_for_its_end(5.0)
            self._manager.cleanup_resources()
        if self._errors >= 0:
            os.close(self._errors)
            self._errors = -1
        self._context.destroy(linger=0)
        shutil.rmtree(self._sockets, ignore_errors=True)
        return killed

    def _wait_for_its_end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.alive:
            time.sleep(0.01)

    def _wait(self, seconds: float) -> set[Any]:
        ready = {socket for socket, _ in self._poller.poll(int(seconds * 1000))}
        if self._errors in ready:
            ready.discard(self._errors)
            self._hear_errors()
        return ready

    def _hear_errors(self) -> None:
        try:
            said = os.read(self._errors, 2**16)
        except BlockingIOError:
            return
        if not said:
            # Nobody can write there any more.
            self._poller.unregister(self._errors)
        self._last_words = (self._last_words + said)[-LAST_WORDS:]

    def _receive(self, socket: zmq.Socket[bytes]) -> Message | None:
        try:
            return Message(socket.recv_multipart(zmq.NOBLOCK))
        except (zmq.Again, ValueError, KeyError, AttributeError):
            # Nothing, or nothing that is a message: the notebook's code can send what it likes.
            return None
