"""The process in a remote kernel's container: ``python -m perijove.kernels.inside``.

It listens at one port, to the control plane alone, and starts the kernel beside it. The kernel
is told once which key to sign messages with; the key comes from the user's own server through
the tunnel, and so is in no image, database, command line or environment of the engine. From
then on connections to the kernel's sockets go through here, so that they outlive what carries
them. Code in the kernel, whatever it does, does not keep this process from answering.

A connection begins with a line from the control plane, ``{"secret": …, "channel": …}``, and a
line from whoever it speaks for: ``{"do": "setup" | "status" | "interrupt" | "stream", …}``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import hmac
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from perijove.kernels.activity import Activity
from perijove.kernels.stream import PIECE, REFUSED, BrokenStream, Stream, frame

#: The kernel's sockets, in the order of their numbers.
CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
#: Exit status when the port is taken; the control plane tries another.
PORT_TAKEN = 98
#: Most bytes of a line.
LINE = 1 << 20
#: Seconds a connection may take to say what it wants, and a kernel to open its sockets.
PATIENCE = 60
#: Seconds for which a connection waits for what carried it.
KEEP = 3600
#: Most connections that wait or are carried.
MOST = 256
#: Seconds for which the last words of a kernel are passed on.
PARTING = 1.0


class Inside:
    """The kernel, its port and the connections to it."""

    def __init__(self, secret: str, folder: str) -> None:
        self._secret = secret
        self._folder = folder
        self._key: str | None = None
        self._streams: dict[str, Stream] = {}
        self._expiring: dict[str, asyncio.TimerHandle] = {}
        self.activity, memory = Activity.new()
        self._kernel = subprocess.Popen(
            [sys.executable, "-m", "perijove.kernels.kernel", folder, str(memory)],
            stdin=subprocess.PIPE,
            pass_fds=(memory,),
            # Of its own, so that an interrupt reaches what a cell has started, and not us.
            process_group=0,
        )
        os.close(memory)

    async def serve(self, ip: str, port: int) -> int:
        """Answer until the kernel has ended; return its status. Raises ``OSError``."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._pass_on, number)
        server = await asyncio.start_server(self._accept, ip, port, limit=LINE)
        status = await asyncio.to_thread(self._kernel.wait)
        server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PARTING):
                while not self._flushed():  # noqa: ASYNC110 - a second at most, at the very end
                    await asyncio.sleep(0.02)
        return status

    def _flushed(self) -> bool:
        return all(stream.flushed for stream in self._streams.values())

    def _pass_on(self, number: signal.Signals) -> None:
        if number is signal.SIGTERM:
            self._signal(number)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._kernel.pid, number)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                who, what = await _line(reader), await _line(reader)
            if self._is_ours(who):
                if what.get("do") == "stream":
                    await self._stream(str(who.get("channel")), what, reader, writer)
                else:
                    writer.write(json.dumps(self._answer(what)).encode() + b"\n")
                    await writer.drain()
        except (OSError, ValueError):
            # Whoever it was has gone, or speaks another language.
            pass
        finally:
            writer.close()

    def _is_ours(self, who: dict[str, Any]) -> bool:
        return hmac.compare_digest(str(who.get("secret")).encode(), self._secret.encode())

    def _answer(self, what: dict[str, Any]) -> dict[str, Any]:
        match what.get("do"):
            case "status":
                return {"ok": True, "configured": bool(self._key), **self.activity.report()}
            case "interrupt":
                self._signal(signal.SIGINT)
                return {"ok": True}
            case "setup":
                return {"ok": self._set_up(what)}
        return {"ok": False}

    def _set_up(self, what: dict[str, Any]) -> bool:
        """Tell the kernel what it is; true as well for who says the same again."""
        key, environment = what.get("key"), what.get("environment")
        if not isinstance(key, str) or not key or not isinstance(environment, dict):
            return False
        if self._key is None:
            self._key = key
            setup = {
                "key": key,
                "environment": environment,
                "cwd": what.get("cwd"),
                "note": what.get("note"),
            }
            assert self._kernel.stdin is not None  # noqa: S101 - it is a pipe
            with contextlib.suppress(BrokenPipeError):
                self._kernel.stdin.write(json.dumps(setup).encode() + b"\n")
                self._kernel.stdin.close()
            self.activity.touch()
        return hmac.compare_digest(self._key.encode(), key.encode())

    async def _stream(
        self,
        channel: str,
        what: dict[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Carry a connection: a new one, or one that has lost its carrier."""
        name = f"{channel}/{what.get('id')}"
        stream = self._streams.get(name)
        if stream is None and what.get("new") is True and len(self._streams) < MOST:
            stream = await self._connect(channel)
            if stream is not None:
                self._streams[name] = stream
        if stream is None:
            writer.write(frame(REFUSED))
            await writer.drain()
            return
        if name in self._expiring:
            self._expiring.pop(name).cancel()
        try:
            await stream.carry(_Link(reader, writer))
        except BrokenStream:
            stream.over.set()
        finally:
            if stream.over.is_set():
                self._streams.pop(name, None)
                await stream.close()
            elif not stream.carried and name not in self._expiring:
                loop = asyncio.get_running_loop()
                self._expiring[name] = loop.call_later(KEEP, self._expire, name)

    def _expire(self, name: str) -> None:
        self._expiring.pop(name, None)
        stream = self._streams.get(name)
        if stream is not None and not stream.carried:
            del self._streams[name]
            self._closing = asyncio.ensure_future(stream.close())

    async def _connect(self, channel: str) -> Stream | None:
        """Connect to one of the kernel's sockets as soon as it is there."""
        if channel not in CHANNELS:
            return None
        path = f"{self._folder}/kernel-{CHANNELS.index(channel) + 1}"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while True:
                    with contextlib.suppress(OSError):
                        return Stream(*await asyncio.open_unix_connection(path))
                    await asyncio.sleep(0.05)
        return None


class _Link:
    """A TCP connection as a carrier."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """Return what has come."""
        return await self._reader.read(PIECE)

    async def write(self, content: bytes) -> None:
        """Send, and wait for room."""
        self._writer.write(content)
        await self._writer.drain()


async def _line(reader: asyncio.StreamReader) -> dict[str, Any]:
    content = json.loads(await reader.readline())
    if not isinstance(content, dict):
        raise TypeError("a line is an object")
    return content


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve, and end as the kernel ended."""
    parser = argparse.ArgumentParser(prog="perijove.kernels.inside")
    parser.add_argument("--ip", required=True)
    parser.add_argument("--port", required=True, type=int)
    options = parser.parse_args(arguments)
    # Out of the environment before the kernel, or any code of the user's, could see it.
    secret = os.environ.pop("PERIJOVE_KERNEL_SECRET", "")
    if not secret:
        parser.error("PERIJOVE_KERNEL_SECRET is needed")
    # Paths of sockets are short, and a temporary folder's may not be.
    folder = tempfile.mkdtemp(prefix="pj-", dir="/tmp")
    try:
        status = asyncio.run(Inside(secret, folder).serve(options.ip, options.port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sys.exit(PORT_TAKEN)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if status < 0:
        # As the kernel did, so that whoever asks hears of the signal.
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main()
