"""``python -m perijove.runner``: run one notebook to its end and exit with how it ended.

The runner is the one of a version's image, for ever; who calls it may be years younger. So
flags are only ever added and never change their meaning, and one that a runner does not know is
passed over, and said in the log.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import traceback
from pathlib import Path
from typing import Any

from perijove.exceptions import NotebookError, ParameterError
from perijove.runner.outcome import Ending, Outcome, RunEnded
from perijove.runner.recorder import Recorder
from perijove.runner.scrub import Scrubber
from perijove.runner.stop import Stop

#: What papermill and nbformat import where it is installed, and a run never uses: checks of
#: addresses in JSON schemas, other stores of notebooks. They take longer than all the rest.
UNUSED = ("rfc3987_syntax", "pyarrow", "boto3", "gcsfs", "azure")

PASSED_OVER = (
    "The image's Perijove is older than the platform and passes over what it does not know:"
)


def main(arguments: list[str] | None = None) -> int:
    """Run the notebook named on the command line; return the exit code."""
    stop = Stop()
    stop.listen()
    given, unknown = _parse(arguments)
    recorder = Recorder(
        output=given.output, events=given.events, scrubber=Scrubber.of_environment()
    )
    if unknown:
        recorder.echo(f"[{PASSED_OVER} {' '.join(unknown)}]\n")
    try:
        return _run(given, recorder, stop).exit_code
    except Exception:
        recorder.echo(recorder.scrubber.clean(traceback.format_exc()))
        return Outcome(Ending.internal).exit_code


def _parse(arguments: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Return what was given, and what of it this runner does not know."""
    # Half a flag may be the beginning of one that is yet to come.
    parser = argparse.ArgumentParser(
        prog="perijove.runner", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--parameters", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--events", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="the kernel's working directory")
    parser.add_argument("--metrics", type=Path, help="where the notebook's metrics go, JSON lines")
    parser.add_argument("--cell-timeout", type=float, metavar="S", help="seconds of one cell")
    parser.add_argument("--max-output-mb", type=float, metavar="N", help="of all cells together")
    return parser.parse_known_args(arguments)


def _run(given: argparse.Namespace, recorder: Recorder, stop: Stop) -> Outcome:
    for module in UNUSED:
        sys.modules.setdefault(module, None)  # type: ignore[arg-type]
    # What is imported here is imported while the kernel, a process of its own, starts.
    from perijove.runner.kernel import Kernel, KernelMissing, Setting

    kernel: Kernel | None = None
    try:
        try:
            notebook = json.loads(given.notebook.read_text(encoding="utf-8"))
            name = _kernel_name(notebook)
            if name is not None:
                kernel = Kernel(name, Setting.of(work=given.work, metrics=given.metrics))
            values = _values(notebook, given.parameters)
            language = _language(notebook)
            del notebook
        except (NotebookError, ParameterError, ValueError, OSError) as error:
            return _end(recorder, Outcome(Ending.bad_input, error=str(error)))
        except KernelMissing as error:
            return _end(recorder, Outcome(Ending.no_kernel, error=str(error)))
        return _execute(
            given, values, language=language, kernel=kernel, recorder=recorder, stop=stop
        )
    finally:
        if kernel is not None:
            kernel.close()


def _end(recorder: Recorder, outcome: Outcome) -> Outcome:
    """End a run whose notebook was not begun."""
    recorder.echo(recorder.scrubber.clean(f"{outcome.error}\n"))
    recorder.ended(outcome, None)
    return outcome


def _values(notebook: Any, parameters: Path) -> dict[str, Any]:
    from perijove.runner import translator
    from perijove.runner.parameters import inspect
    from perijove.runner.values import check

    given = json.loads(parameters.read_text(encoding="utf-8"))
    declared = inspect(notebook).parameters
    return translator.as_declared(declared, check(declared, given))


def _execute(
    given: argparse.Namespace,
    values: dict[str, Any],
    *,
    language: str,
    kernel: Any,
    recorder: Recorder,
    stop: Stop,
) -> Outcome:
    import papermill

    from perijove.runner import engine, translator

    engine.register()
    translator.register()
    # Its warnings are of parameters, which are checked: it takes 'C: int' for none.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    megabytes = given.max_output_mb
    try:
        papermill.execute_notebook(
            # Papermill takes braces in a path for names of parameters.
            str(given.notebook).replace("{", "{{").replace("}", "}}"),
            None,
            values,
            engine_name=engine.NAME,
            kernel_name=kernel.name,
            language=language,
            progress_bar=False,
            recorder=recorder,
            kernel=kernel,
            stop=stop,
            execution_timeout=given.cell_timeout,
            max_output=None if megabytes is None else int(megabytes * 2**20),
        )
    except RunEnded as ended:
        return ended.outcome
    raise RuntimeError("papermill went on after the engine's end")


def _kernel_name(notebook: Any) -> str | None:
    """Return the kernel to start; ``None`` for what is no notebook, of which others tell."""
    if not isinstance(notebook, dict) or "cells" not in notebook:
        return None
    named = _named(notebook, "kernelspec").get("name")
    return named if isinstance(named, str) and named else "python3"


def _language(notebook: dict[str, Any]) -> str:
    """Return the notebook's language: papermill refuses one that names none."""
    named = _named(notebook, "language_info").get("name")
    return str(named or _named(notebook, "kernelspec").get("language") or "python")


def _named(notebook: dict[str, Any], part: str) -> dict[str, Any]:
    metadata = notebook.get("metadata")
    found = metadata.get(part) if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


if __name__ == "__main__":
    sys.exit(main())
