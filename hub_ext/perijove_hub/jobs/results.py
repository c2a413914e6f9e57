"""Store what an ended run left."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from perijove.types.jobs import Cause, RunState
from perijove_hub.context import Context
from perijove_hub.jobs import outputs, reasons, scratch
from perijove_hub.jobs.ledger import Ending, Kept
from perijove_hub.launch import Launcher

#: Most bytes of a log that are kept; of a longer one, its beginning and its end.
MAX_LOG = 50 * 2**20
_PIECE = 2**20


def no_space(error: OSError) -> bool:
    """Tell whether the operating system refused for want of disk."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


class Storing:
    """Stores one run's results; a full disk fails the run, and leaves nothing half stored."""

    def __init__(self, context: Context, launcher: Launcher, name: str) -> None:
        self._blobs = context.blobs
        self._outputs_mb = context.settings.jobs.outputs_mb
        self._launcher = launcher
        self._name = name
        self._notes: list[str] = []
        self._full = self._has_output = False

    def note(self, text: str) -> None:
        """Add ``text`` to the run's log and to its reason."""
        self._notes.append(text)

    def log(self) -> Kept:
        """Store the log alone, of a run that was never started."""
        return Kept(log_sha256=self._put(lambda: self._blobs.put(self._log())))

    def all(self, folder: Path, metrics: Mapping[str, float]) -> Kept:
        """Store everything below a run's folder that is kept, and its log.

        Raises ``OSError`` when the blob store is away: then it is tried again later.
        """
        output, events = scratch.output(folder), scratch.events(folder)
        files = outputs.Collected()
        self._has_output = output is not None
        output_sha256 = self._put(lambda: self._blobs.put(output)) if output else None
        events_sha256 = self._put(lambda: self._blobs.put(events)) if events else None
        try:
            outputs.collect(folder, self._blobs.put_file, most_mb=self._outputs_mb, into=files)
        except OSError as error:
            if not no_space(error):
                raise
            self._full = True
        self._notes += files.notes()
        return Kept(
            output_sha256=output_sha256,
            log_sha256=self._put(lambda: self._blobs.put(self._log())),
            events_sha256=events_sha256,
            artifacts=tuple(files.artifacts),
            metrics=dict(metrics),
        )

    def judged(self, ending: Ending) -> Ending:
        """Return how the run ended now that it is known what could be stored."""
        notes = [*self._notes, *([reasons.FULL] if self._full else [])]
        if ending.state is RunState.succeeded and not self._has_output and not self._full:
            notes.append(reasons.NO_OUTPUT)
        if not notes:
            return ending
        reason = " ".join([*([ending.reason] if ending.reason else []), *notes])
        if not self._full or ending.state is not RunState.succeeded:
            return replace(ending, reason=reason)
        return Ending(RunState.failed, reason, Cause.disk, peak_memory_mb=ending.peak_memory_mb)

    def _put(self, put: Callable[[], str]) -> str | None:
        try:
            return put()
        except OSError as error:
            if not no_space(error):
                raise
            self._full = True
            return None

    def _log(self) -> bytes:
        """Read the log, and add what is to be said of the files."""
        said = "".join(f"\n[{note}]\n" for note in self._notes).encode()
        head, offset = b"", 0
        while len(head) < MAX_LOG // 2:
            piece, offset = self._launcher.logs(self._name, offset, _PIECE)
            if not piece:
                return head + said
            head += piece
        tail = b""
        while True:
            piece, offset = self._launcher.logs(self._name, offset, _PIECE)
            if not piece:
                break
            tail += piece
            if len(tail) > MAX_LOG:
                tail = tail[-MAX_LOG // 2 :]
        left_out = offset - len(head) - len(tail[-MAX_LOG // 2 :])
        note = f"\n[{left_out} bytes left out]\n".encode() if left_out else b""
        return head + note + tail[-MAX_LOG // 2 :] + said
