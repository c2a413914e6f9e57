"""Why a run ended, as a state and a sentence for people."""

from __future__ import annotations

from perijove.runner.outcome import Ending as How
from perijove.runner.outcome import Outcome
from perijove.types.jobs import Resources, RunState
from perijove_hub.jobs.ledger import Ending
from perijove_hub.launch import Phase, Status
from perijove_hub.store.models import RunRow

SHUT_DOWN = "Perijove was shut down while it ran."
ENGINE = "The Docker engine was shut down while it ran. Run it again."
DISK = "Its files took more disk than a run may have. Write less, or to a folder that is kept."
VANISHED = (
    "Its process vanished without a word: somebody killed it, or the machine was restarted. "
    "Run it again."
)


def explain(run: RunRow, status: Status, outcome: Outcome | None, *, limits: Resources) -> Ending:
    """Decide from the process's end; the runner's own word only explains it."""
    if status.phase is Phase.gone:
        return Ending(RunState.lost, VANISHED)
    peak = status.peak_memory_mb
    cell = outcome.cell if outcome else None
    if status.exit_code == 0:
        return Ending(RunState.succeeded, peak_memory_mb=peak)
    state, reason = RunState.failed, _failure(status, outcome)
    if status.cause == "memory":
        reason = f"It used more than its {limits.memory_mb} MiB of memory (peak {peak:.0f} MiB)."
    elif status.cause == "disk":
        reason = DISK
    elif status.cause == "engine":
        state, reason = RunState.lost, ENGINE
    elif status.cause == "timeout":
        reason = f"It ran longer than its {limits.timeout_s} s."
    elif status.cause == "stopped":
        state = RunState.cancelled
        reason = (run.reason or "Cancelled.") if run.cancel_requested else SHUT_DOWN
    failed = cell if state is RunState.failed else None
    return Ending(state, reason, failed_cell=failed, peak_memory_mb=peak)


def _failure(status: Status, outcome: Outcome | None) -> str:
    code = status.exit_code
    if outcome is None or outcome.exit_code != code:
        how = f"signal {-code}" if code is not None and code < 0 else f"status {code}"
        return f"Its runner ended with {how} before the notebook did. The log may say why."
    where = f"Cell {outcome.cell + 1}" if outcome.cell is not None else "The notebook"
    match outcome.ending:
        case How.cell_error:
            line = f", line {outcome.line}" if outcome.line else ""
            return f"{where}{line} raised {outcome.error}"
        case How.kernel_died:
            return f"The kernel died. {where} was running."
        case How.output_lost:
            return f"{where} ended, but its output did not arrive."
        case How.terminated:
            return f"Somebody ended the runner's process. {where} was running."
    return outcome.error or "The runner failed. The log may say why."
