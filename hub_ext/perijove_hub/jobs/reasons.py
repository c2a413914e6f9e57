"""Why a run ended: a state and a cause for programs, and a sentence for people."""

from __future__ import annotations

from perijove.runner.outcome import EXIT_CODES, Outcome
from perijove.runner.outcome import Ending as How
from perijove.types.jobs import Cause, Resources, RunState
from perijove_hub.jobs.ledger import Ending
from perijove_hub.launch import Phase, Status
from perijove_hub.store.models import RunRow

CANCELLED = "Cancelled."
SHUT_DOWN = "Perijove was shut down while it ran."
ENGINE = (
    "Its container was stopped from outside: by somebody, or because the Docker engine was shut "
    "down. Run it again."
)
DISK = "Its files took more disk than a run may have. Write less, or to a folder that is kept."
VANISHED = (
    "Its process vanished without a word: somebody killed it, or the machine was restarted. "
    "Run it again."
)
WORKER = (
    "The worker that ran it is gone, and nobody can tell what has become of its process. "
    "Run it again."
)
FULL = "No space is left where Perijove keeps what runs leave, so its results could not be stored."
OLD_RUNNER = (
    "Its runner did not know what it was called with: the image has an older Perijove. "
    "Build the image again, then promote the notebook from a workspace in it."
)
NO_LIMITS = (
    "Its image has an older Perijove, whose runner knows no limit of a cell's time or of outputs: "
    "it ran without them. Build the image again, then promote the notebook from a workspace in it."
)
NO_OUTPUT = (
    "Its output notebook could not be kept: it was removed, is too large, or found no room on the "
    "disk."
)
NOBODY = "Nobody is there to answer: make it a parameter, or a secret."
NO_ROOM = "It could not be started: no space is left on the disk for its files."

#: What the operating system says of a full disk.
_NO_SPACE = "No space left on device"


def explain(
    run: RunRow,
    status: Status,
    outcome: Outcome | None,
    *,
    limits: Resources,
    running: int | None = None,
) -> Ending:
    """Decide from the process's end; the runner's own word only explains it.

    ``running`` is the cell that ran last, of a runner that was ended without a word.
    """
    if status.phase is Phase.gone:
        if run.cancel_requested:
            return cancelled(run)
        return Ending(RunState.lost, VANISHED, Cause.lost)
    peak = status.peak_memory_mb
    if status.exit_code == 0:
        return Ending(RunState.succeeded, peak_memory_mb=peak)
    state = RunState.failed
    match status.cause:
        case "memory":
            most = f" (peak {peak:.0f} MiB)" if peak is not None else ""
            reason = f"It used more than its {limits.memory_mb} MiB of memory{most}."
            cause = Cause.memory
        case "disk":
            reason, cause = DISK, Cause.disk
        case "engine":
            state, reason, cause = RunState.lost, ENGINE, Cause.lost
        case "timeout":
            reason, cause = f"It ran longer than its {limits.timeout_s} s.", Cause.timeout
        case "stopped" if run.cancel_requested:
            return cancelled(run, peak_memory_mb=peak)
        case "stopped":
            state, reason, cause = RunState.cancelled, SHUT_DOWN, Cause.lost
        case _:
            reason, cause = _failure(status, outcome, limits)
    failed = None
    if state is RunState.failed:
        failed = outcome.cell if outcome else running
    return Ending(state, reason, cause, failed_cell=failed, peak_memory_mb=peak)


def no_image(reference: str) -> Ending:
    """Return how a run ends whose image somebody has removed from the engine."""
    reason = (
        f"Its image {reference} is no longer on the Docker engine. Build it again, then promote "
        "the notebook from a workspace in it."
    )
    return Ending(RunState.failed, reason, Cause.refused)


def cancelled(run: RunRow, *, peak_memory_mb: float | None = None) -> Ending:
    """Return how a run ends that somebody cancelled, in their words."""
    return Ending(
        RunState.cancelled,
        run.reason or CANCELLED,
        Cause.cancelled,
        peak_memory_mb=peak_memory_mb,
    )


def _failure(status: Status, outcome: Outcome | None, limits: Resources) -> tuple[str, Cause]:
    code = status.exit_code
    if outcome is None or outcome.exit_code != code:
        if outcome is None and code == EXIT_CODES[How.bad_input]:
            # Its arguments, which it reads before it can tell anything.
            return OLD_RUNNER, Cause.bad_input
        killed = code is not None and code < 0
        how = f"signal {-code}" if code is not None and killed else f"status {code}"
        if outcome is not None and outcome.ending is How.succeeded:
            reason = f"Every cell ran, but its runner ended with {how} before it was through."
            return reason, Cause.lost if killed else Cause.internal
        reason = f"Its runner ended with {how} before the notebook did. The log may say why."
        return reason, Cause.lost if killed else Cause.internal
    where = f"Cell {outcome.cell + 1}" if outcome.cell is not None else "The notebook"
    full = _NO_SPACE in outcome.error
    match outcome.ending:
        case How.cell_error:
            line = f", line {outcome.line}" if outcome.line else ""
            reason = f"{where}{line} raised {outcome.error}"
            if outcome.error.startswith("StdinNotImplementedError"):
                reason += f" {NOBODY}"
            return reason, Cause.disk if full else Cause.cell_error
        case How.kernel_died:
            return f"The kernel died{_during(outcome)}", Cause.kernel_died
        case How.cell_timeout:
            return f"{where} ran longer than the {limits.cell_timeout_s} s of a cell.", (
                Cause.cell_timeout
            )
        case How.output_lost:
            return f"{where} ended, but its output did not arrive.", Cause.internal
        case How.terminated:
            return f"Somebody ended the runner's process{_during(outcome)}", Cause.lost
        case How.no_kernel:
            return outcome.error or "No kernel could be started.", Cause.no_kernel
        case How.bad_input:
            return outcome.error or "Its notebook cannot be used.", Cause.bad_input
    reason = outcome.error or "The runner failed. The log may say why."
    return reason, Cause.disk if full else Cause.internal


def _during(outcome: Outcome) -> str:
    if outcome.cell is None:
        return " while no cell was running."
    return f". Cell {outcome.cell + 1} was running."
