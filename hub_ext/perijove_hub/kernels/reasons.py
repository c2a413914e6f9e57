"""What a kernel waits for and why it ended, in sentences for its owner."""

from __future__ import annotations

from collections.abc import Sequence

from perijove.types.kernels import KernelState
from perijove_hub.launch import Phase, Status
from perijove_hub.settings import SizeSettings
from perijove_hub.store.models import KernelRow

SERVER_GONE = "Stopped with the workspace it belongs to."
SHUT_DOWN = "Perijove was shut down while it ran."
ENGINE_DOWN = "The container engine was shut down while it ran."
VANISHED = (
    "It vanished without a word: somebody killed it, or the container engine or the machine was "
    "restarted."
)


def waiting(
    *, free: float, total: int, wanted: float, ahead: int, names: Sequence[str], others: int
) -> str:
    """Say what a queued kernel waits for: who holds the GPUs, and whose turn comes before.

    ``names`` are those that its owner may read, ``others`` is how many more there are.
    """
    used = total - free
    more = [f"{others} {'other' if names else 'others'}"] if others else []
    who = ", ".join([*names, *more])
    verb = "is" if used <= 1 else "are"
    line = f"{ahead} before you" if ahead else "you are next"
    return (
        f"Waiting for {_count(wanted)}: {used:g} of {total} {verb} in use"
        f"{f' ({who})' if who else ''}; {line}."
    )


def retrying(why: str) -> str:
    """Say that a start has failed for something that may pass."""
    return f"It could not be started yet and is tried again: {why}"


def idle(minutes: float, *, gpu: bool) -> str:
    """Say that a kernel was stopped because nobody used it."""
    given = "; its GPU is free for others" if gpu else ""
    return f"Stopped after {minutes:g} idle minutes{given}. Its variables are gone."


def ending(
    row: KernelRow, status: Status | None, *, size: SizeSettings | None, next_up: str | None
) -> tuple[KernelState, str | None]:
    """Explain an end that nobody asked for."""
    if status is None or status.phase is Phase.gone:
        return KernelState.failed, VANISHED
    if status.cause == "memory":
        return KernelState.failed, _out_of_memory(row, status, size, next_up)
    if status.cause == "stopped":
        return KernelState.failed, SHUT_DOWN
    if status.cause == "engine":
        return KernelState.failed, ENGINE_DOWN
    if status.cause == "disk":
        return KernelState.failed, "It wrote more than its container may hold outside the home."
    if status.exit_code == 0:
        return KernelState.ended, None
    code = status.exit_code
    how = f"signal {-code}" if code is not None and code < 0 else f"status {code}"
    return KernelState.failed, f"Its process ended with {how}."


def _out_of_memory(
    row: KernelRow, status: Status, size: SizeSettings | None, next_up: str | None
) -> str:
    limit = f"{size.memory_mb} MiB" if size else "memory"
    peak = f" (peak {status.peak_memory_mb:.0f} MiB)" if status.peak_memory_mb else ""
    advice = f"The next size up is '{next_up}'." if next_up else "No size of yours is larger."
    return f"The kernel's process used more than the {limit} of size '{row.size}'{peak}. {advice}"


def _count(gpus: float) -> str:
    if gpus < 1:
        return f"{gpus:g} of a GPU"
    return "a GPU" if gpus == 1 else f"{gpus:g} GPUs"
