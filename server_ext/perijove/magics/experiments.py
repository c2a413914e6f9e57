"""``%%experiment``, ``%metric``, ``%param`` and ``%artifact``."""

from __future__ import annotations

import ast
import contextlib
import keyword
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perijove.experiments import told
from perijove.experiments.active import Run, current, measured, track
from perijove.magics.arguments import Command, UsageError
from perijove.magics.display import Link, say

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

EXPERIMENT = Command(
    "%%experiment NAME [--param NAME=VALUE ...] [--run-name NAME] [--autolog]",
    words=(1, 1),
    flags={"--param": dict, "--run-name": str, "--autolog": bool},
)
METRIC = Command(
    "%metric NAME=VALUE [NAME=VALUE ...] [--step N]", flags={"--step": int}, pairs=True
)
PARAM = Command("%param NAME=VALUE [NAME=VALUE ...]", pairs=True)
ARTIFACT = Command("%artifact PATH [PATH ...]", words=(1, None))

_ONLY_PARSE = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


@dataclass(frozen=True)
class Summary:
    """What a run came to, in one line."""

    name: str
    state: str
    url: str
    metrics: dict[str, float]

    def __repr__(self) -> str:
        return " · ".join([*self._words(), *([self.url] if self.url else [])])

    def _repr_html_(self) -> str:
        from html import escape

        name, *rest = self._words()
        link = Link(name, self.url)._repr_html_() if self.url else escape(name)
        return f"<div>{' · '.join([link, *(escape(word) for word in rest)])}</div>"

    def _words(self) -> list[str]:
        metrics = [f"{key}={value:.6g}" for key, value in self.metrics.items()]
        state = [] if self.state == "finished" else [self.state]
        return [f"run {self.name}".rstrip(), *state, *metrics]


class ExperimentMagics:
    """Track a cell as an MLflow run."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def experiment(self, line: str, cell: str) -> None:
        """Run the cell as a run of experiment NAME; parameters become variables of theirs."""
        given = EXPERIMENT.parse(line)
        params = given["--param"]
        for name in filter(keyword.iskeyword, params):
            raise EXPERIMENT.wrong(f"'{name}' is a word of Python, so no variable's name.")
        # A cell that cannot run at all is no run.
        compile(self._shell.transform_cell(cell), "cell", "exec", _ONLY_PARSE)
        run = None
        try:
            with track(
                given.words[0],
                params=params,
                run_name=given["--run-name"],
                autolog=given["--autolog"],
            ) as run:
                _warn(run)
                self._shell.push(params)
                self._run(line, cell)
        finally:
            if run is not None:
                self._show(run)

    def metric(self, line: str) -> None:
        """Log numbers: ``%metric auc={auc} --step 3``."""
        given = METRIC.parse(line)
        if given.words or not given.pairs:
            raise METRIC.wrong(f"'{' '.join(given.words)}' is not NAME=VALUE.")
        run = current()
        if run is None and not told.expected():
            run = _running("%metric")
        for name, value in given.pairs.items():
            number = _number(name, value)
            if run is not None:
                run.metric(name, number, step=given["--step"])
            else:
                # A job's run has its own metrics, with an experiment or without.
                told.tell(name, measured(name, number), given["--step"])

    def param(self, line: str) -> None:
        """Log parameters: ``%param C=0.5``."""
        given = PARAM.parse(line)
        if given.words or not given.pairs:
            raise PARAM.wrong(f"'{' '.join(given.words)}' is not NAME=VALUE.")
        run = _running("%param")
        for name, value in given.pairs.items():
            run.param(name, value)

    def artifact(self, line: str) -> None:
        """Keep files or folders with the run: ``%artifact roc.png``."""
        run = _running("%artifact")
        for path in ARTIFACT.parse(line).words:
            run.artifact(path)

    def _run(self, line: str, cell: str) -> None:
        """Run the cell and raise what it raised, for the outer cell to show once."""
        if not cell.lstrip().startswith("%%"):
            # Line numbers in tracebacks then are those the person sees.
            cell = f"# %%experiment {line.strip()}\n{cell}"
        with _unshown(self._shell):
            result = self._shell.run_cell(cell, store_history=False)
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            _shown_without_us(self._shell, error)
            raise error

    def _show(self, run: Run) -> None:
        from IPython.display import display

        _warn(run)
        display(Summary(run.name, run.state, run.url, dict(run.metrics)))


def _running(magic: str) -> Run:
    run = current()
    if run is None:
        raise UsageError(
            f"{magic} has no run to log to. Put %%experiment NAME on the cell's first line."
        )
    return run


def _number(name: str, value: Any) -> Any:
    if isinstance(value, str) and value.startswith("{"):
        raise UsageError(f"%metric {name}: {value} could not be evaluated here.")
    return value


def _warn(run: Run) -> None:
    """Say once what went wrong with the platform, not with the cell."""
    while run.warnings:
        say(f"Perijove: {run.warnings.pop(0)}")


@contextlib.contextmanager
def _unshown(shell: Any) -> Iterator[None]:
    """Let a nested cell fail without printing its traceback: the outer cell will."""
    names = ("showtraceback", "showsyntaxerror", "showindentationerror")
    for name in names:
        setattr(shell, name, lambda *_, **__: None)
    try:
        yield
    finally:
        for name in names:
            delattr(shell, name)


def _shown_without_us(shell: Any, error: Any) -> None:
    """Have IPython show ``error`` as if the cell had run by itself."""
    if hasattr(error, "_render_traceback_"):
        return
    lines = shell.InteractiveTB.structured_traceback(
        type(error), error, error.__traceback__, tb_offset=1
    )
    # Some errors take no attributes; they are shown with our frames.
    with contextlib.suppress(AttributeError, TypeError):
        error._render_traceback_ = lambda: lines
