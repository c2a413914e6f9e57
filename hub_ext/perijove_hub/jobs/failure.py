"""Where and why a run failed, out of its output notebook."""

from __future__ import annotations

import json
import re
from typing import Any

from perijove.types.base import Principal
from perijove.types.jobs import Cause, RunState
from perijove.types.watching import RunFailure
from perijove_hub.context import Context
from perijove_hub.exceptions import NotFound
from perijove_hub.jobs import attempts
from perijove_hub.jobs.finding import find_run
from perijove_hub.jobs.render import MAX_BYTES
from perijove_hub.launch import plain
from perijove_hub.store.models import RunRow

#: Lines shown before and after the one that raised.
AROUND = 8
#: Most characters of a line of source, and of the traceback.
MAX_LINE, MAX_TRACEBACK = 500, 20_000

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def of_run(
    context: Context, principal: Principal, run_id: str, *, attempt: int | None = None
) -> RunFailure:
    """Return where and why a run failed, or an earlier attempt of it.

    Raises ``NotFound`` for one that did not.
    """
    with context.database.reading() as session:
        row, _ = find_run(session, principal, run_id)
        tried = attempts.find(session, row, attempt)
    if not RunState(tried.state).terminal or tried.state == RunState.succeeded.value:
        raise NotFound("The run has not failed.", fix="Look at its state.")
    said = RunFailure(
        cause=Cause(tried.cause) if tried.cause else None,
        reason=tried.reason,
        cell=tried.failed_cell,
        peak_memory_mb=tried.peak_memory_mb,
    )
    if tried.failed_cell is None:
        return said
    if tried.output_sha256 is None:
        said.left_out.append(_no_notebook(row))
        return said
    try:
        content = context.blobs.get(tried.output_sha256)
    except KeyError:
        # Retention was faster.
        content = b""
    if len(content) > MAX_BYTES:
        said.left_out.append(
            f"The output notebook has {len(content) / 1e6:.0f} MB, too much to look into: "
            "download it to see the cell."
        )
        return said
    try:
        _show(said, json.loads(content)["cells"][tried.failed_cell])
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        said.left_out.append("The output notebook has no such cell: the run's own code wrote it.")
    return said


def _show(said: RunFailure, cell: dict[str, Any]) -> None:
    raised = next((one for one in cell.get("outputs", []) if one["output_type"] == "error"), None)
    if raised is not None:
        text = _ANSI.sub("", "\n".join(map(str, raised["traceback"])))
        if len(text) > MAX_TRACEBACK:
            # What raised stands at the end, who called it at the beginning.
            half = MAX_TRACEBACK // 2
            text = f"{text[:half]}\n…\n{text[-half:]}"
            said.left_out.append("The middle of the traceback: the output notebook has all of it.")
        said.traceback = plain.text(text, 2 * MAX_TRACEBACK)
        name, value = raised.get("ename", ""), raised.get("evalue", "")
        said.error = plain.text(f"{name}: {value}" if value else name, MAX_LINE)
        named = re.findall(rf"Cell In\[{cell.get('execution_count')}\], line (\d{{1,6}})", text)
        said.line = int(named[-1]) if named else None
    source = cell.get("source", "")
    lines = (source if isinstance(source, str) else "".join(source)).splitlines()
    first = max(0, said.line - 1 - AROUND) if said.line else 0
    shown = lines[first : first + 2 * AROUND + 1]
    said.first_line = first + 1
    said.source = [plain.text(line, MAX_LINE) for line in shown]
    if len(shown) < len(lines):
        said.left_out.append(f"{len(lines) - len(shown)} other lines of the cell.")


def _no_notebook(row: RunRow) -> str:
    if row.dropped_at is not None:
        return f"The output notebook was deleted on {row.dropped_at:%Y-%m-%d}."
    return "The run left no output notebook; its log may say more."
