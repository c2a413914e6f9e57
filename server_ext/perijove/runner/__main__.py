"""``python -m perijove.runner``: run one notebook to its end and exit with how it ended."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import papermill
from papermill.exceptions import PapermillExecutionError

from perijove.exceptions import NotebookError, ParameterError
from perijove.runner import engine, translator
from perijove.runner.execution import Setting
from perijove.runner.outcome import Ending, Outcome, RunEnded
from perijove.runner.parameters import inspect
from perijove.runner.recorder import Recorder
from perijove.runner.values import check

#: Whose values must not reach the output notebook.
SECRETS = ("PERIJOVE_TOKEN", "JUPYTERHUB_API_TOKEN", "MLFLOW_TRACKING_TOKEN")


def main(arguments: list[str] | None = None) -> int:
    """Run the notebook named on the command line; return the exit code."""
    given = _parse(arguments)
    secrets = [os.environ.get(name, "") for name in SECRETS]
    recorder = Recorder(output=given.output, events=given.events, secrets=secrets)
    try:
        notebook = json.loads(given.notebook.read_text(encoding="utf-8"))
        values = json.loads(given.parameters.read_text(encoding="utf-8"))
        inspection = inspect(notebook)
        values = check(inspection.parameters, values)
    except (NotebookError, ParameterError, ValueError, OSError) as error:
        outcome = Outcome(Ending.bad_input, error=str(error))
        recorder.echo(f"{error}\n")
        recorder.ended(outcome, None)
        return outcome.exit_code
    return _run(
        given.notebook,
        translator.as_declared(inspection.parameters, values),
        kernel=inspection.kernel or "python3",
        recorder=recorder,
        setting=Setting.of(work=given.work, metrics=given.metrics),
    )


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="perijove.runner", description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--parameters", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--events", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="the kernel's working directory")
    parser.add_argument("--metrics", type=Path, help="where the notebook's metrics go, JSON lines")
    parser.add_argument("--cell-timeout", type=float, metavar="S", help="seconds of one cell")
    parser.add_argument("--max-output-mb", type=float, metavar="N", help="of all cells together")
    return parser.parse_args(arguments)


def _run(
    notebook: Path,
    values: dict[str, Any],
    *,
    kernel: str,
    recorder: Recorder,
    setting: Setting,
) -> int:
    engine.register()
    translator.register()
    try:
        papermill.execute_notebook(
            str(notebook),
            None,
            values,
            engine_name=engine.NAME,
            kernel_name=kernel,
            language=_language(notebook),
            progress_bar=False,
            recorder=recorder,
            setting=setting,
        )
    except RunEnded as ended:
        return ended.outcome.exit_code
    except PapermillExecutionError:
        # The engine ended well; papermill counts the error of a cell tagged raises-exception.
        return 0
    except Exception:
        traceback.print_exc(file=sys.stdout)
        return Outcome(Ending.internal).exit_code
    return 0


def _language(notebook: Path) -> str:
    """Return the notebook's language: papermill refuses one that names none."""
    metadata = json.loads(notebook.read_text(encoding="utf-8")).get("metadata", {})
    named = metadata.get("language_info", {}).get("name")
    return str(named or metadata.get("kernelspec", {}).get("language") or "python")


if __name__ == "__main__":
    sys.exit(main())
