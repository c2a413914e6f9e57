"""A run that is being tracked, and MLflow's own idea of the active run."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from perijove.exceptions import ParameterError, PerijoveError
from perijove.experiments import context, told
from perijove.experiments.mlflow_api import MlflowApi, Outage, Rejected
from perijove.experiments.sender import Sender
from perijove.experiments.spool import Spool

#: Seconds the end of a run waits for its last values to arrive.
PATIENCE = 5.0

#: MLflow's own limits.
LONGEST_KEY = 250
LONGEST_VALUE = 6000

_sender: Sender | None = None
_starting = threading.Lock()


def sender() -> Sender:
    """Return the process's sender, with what dead kernels left behind already in its hands.

    Raises ``NotConfigured``.
    """
    global _sender
    with _starting:
        if _sender is None:
            _sender = Sender(MlflowApi.from_environment())
            for spool in Spool.left_behind():
                with contextlib.suppress(OSError):
                    _sender.add(spool, left=True)
        return _sender


class Run:
    """A tracked run. No method waits for MLflow, or raises because of it."""

    def __init__(
        self, experiment: str, *, params: Mapping[str, Any], name: str | None, parent: Run | None
    ) -> None:
        self.experiment = experiment
        self.params: dict[str, str] = {}
        self.metrics: dict[str, float] = {}
        self.state = "running"
        self.warnings: list[str] = []
        self._steps: dict[str, int] = {}
        self._outage_said = False
        self._given_name = name or ""
        self._sender = sender()
        begin = {
            "op": "begin",
            "experiment": experiment,
            "name": name,
            "key": secrets.token_hex(16),
            "time": _now(),
            "tags": _tags(parent),
        }
        self._spool = Spool.create(begin)
        try:
            self._sender.begin(self._spool)
        except Outage as error:
            self._say_outage(str(error))
        except Rejected as error:
            self._spool.remove()
            raise PerijoveError(f"MLflow refused experiment '{experiment}': {error}") from None
        self._sender.add(self._spool)
        for key, value in params.items():
            self.param(key, value)

    @property
    def run_id(self) -> str:
        """MLflow's id, empty until MLflow knows of the run."""
        return self._spool.state.run_id

    @property
    def name(self) -> str:
        """The run's name."""
        return self._spool.state.run_name or self._given_name

    @property
    def url(self) -> str:
        """Address of the run's page, empty until MLflow knows of the run."""
        if not self.run_id:
            return ""
        known = self._spool.state
        return self._sender.api.link(known.experiment_id, known.run_id, known.artifact_uri)

    def metric(self, key: str, value: Any, *, step: int | None = None) -> None:
        """Log a number; without ``step`` the values of one metric count up from 0.

        Raises ``ParameterError`` for what is no number.
        """
        number = measured(key, value)
        if step is None:
            step = self._steps.get(key, -1) + 1
        self._steps[key] = max(step, self._steps.get(key, -1))
        self.metrics[key] = number
        told.tell(key, number, step)
        item = {"key": _key(key), "value": _json(number), "timestamp": _now(), "step": step}
        self._append({"op": "metric", "item": item})

    def param(self, key: str, value: Any) -> None:
        """Log a parameter; MLflow keeps the first value of each."""
        text = str(value)[:LONGEST_VALUE]
        self.params[key] = text
        self._append({"op": "param", "item": {"key": _key(key), "value": text}})

    def artifact(self, path: str | os.PathLike[str]) -> list[str]:
        """Keep a file, or every file of a folder, as it is now; returns their names.

        Raises ``PerijoveError`` for a path that cannot be read.
        """
        source = Path(path)
        files = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
        names = []
        for file in files:
            name = str(file.relative_to(source.parent)) if source.is_dir() else file.name
            try:
                kept = self._spool.keep(file)
            except OSError as error:
                raise PerijoveError(
                    f"{file} cannot be kept as an artifact ({error.strerror})."
                ) from None
            self._append({"op": "artifact", "file": kept, "name": name})
            names.append(name)
        return names

    def end(self, status: str) -> None:
        """End the run as ``FINISHED``, ``FAILED`` or ``KILLED``."""
        self.state = status.lower()
        self._append({"op": "end", "status": status, "time": _now()})
        if not self._sender.drain(PATIENCE):
            self._say_outage(self._sender.trouble)
        self.warnings += [
            f"MLflow refused {reason}" for reason in self._sender.refusals.pop(self._spool, [])
        ]

    def _say_outage(self, why: str) -> None:
        if not self._outage_said:
            self._outage_said = True
            self.warnings.append(f"{why} What this run logs is kept here and sent when it can be.")

    def _append(self, record: dict[str, Any]) -> None:
        try:
            self._spool.append(record)
        except OSError as error:
            note = f"Some values could not be written down ({error.strerror})."
            if note not in self.warnings:
                self.warnings.append(note)


_stack: list[Run] = []


def current() -> Run | None:
    """Return the innermost run that is being tracked."""
    return _stack[-1] if _stack else None


@contextlib.contextmanager
def track(
    experiment: str,
    *,
    params: Mapping[str, Any] | None = None,
    run_name: str | None = None,
    autolog: bool = False,
) -> Iterator[Run]:
    """Track the block as a run, which is also MLflow's active run meanwhile."""
    run = Run(experiment, params=params or {}, name=run_name, parent=current())
    _stack.append(run)
    status = "FINISHED"
    try:
        with _active_in_mlflow(run), _autologging(autolog):
            yield run
    except Exception:
        status = "FAILED"
        raise
    except BaseException:
        status = "KILLED"
        raise
    finally:
        _stack.remove(run)
        run.end(status)


@contextlib.contextmanager
def _active_in_mlflow(run: Run) -> Iterator[None]:
    """Make ``run`` the active run of MLflow's client, once that is imported."""
    if not run.run_id:
        # The client would block for minutes on a dead server.
        with _environment({"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}):
            yield
        return
    hook = _WhenImported("mlflow", lambda: _push(run))
    if "mlflow" in sys.modules:
        _push(run)
    else:
        sys.meta_path.insert(0, hook)
    try:
        # MLflow's two lines at the end of a run name an address that only we know.
        with _environment({"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}):
            yield
    finally:
        if hook in sys.meta_path:
            sys.meta_path.remove(hook)
        if "mlflow" in sys.modules:
            _pop(run)


def _push(run: Run) -> None:
    # mlflow.start_run() would ask the server and insist on its own active experiment.
    from mlflow.entities import Run as Entity
    from mlflow.entities import RunData, RunInfo
    from mlflow.tracking.fluent import ActiveRun, _active_run_stack

    known = run._spool.state
    info = RunInfo(
        run_id=known.run_id,
        experiment_id=known.experiment_id,
        user_id=os.environ.get("JUPYTERHUB_USER", ""),
        status="RUNNING",
        start_time=_now(),
        end_time=None,
        lifecycle_stage="active",
        artifact_uri=known.artifact_uri,
        run_name=known.run_name,
    )
    _active_run_stack.get().append(ActiveRun(Entity(info, RunData())))


def _pop(run: Run) -> None:
    # mlflow.end_run() would wait for the server; the spool ends the run.
    from mlflow.tracking.fluent import _active_run_stack

    runs = _active_run_stack.get()
    runs[:] = [active for active in runs if active.info.run_id != run.run_id]


class _WhenImported(MetaPathFinder):
    """Calls ``then`` once, right after the module ``name`` was imported for the first time."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self._name = name
        self._then = then

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module as the others do, and listen for its end."""
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            with contextlib.suppress(Exception):
                self._then()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


@contextlib.contextmanager
def _autologging(wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    import mlflow

    mlflow.autolog(log_traces=False, silent=True)
    try:
        yield
    finally:
        mlflow.autolog(disable=True, silent=True)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _tags(parent: Run | None) -> dict[str, str]:
    tags = {"mlflow.source.type": "NOTEBOOK", **context.tags()}
    if source := os.environ.get("JPY_SESSION_NAME"):
        tags["mlflow.source.name"] = source
    if parent:
        tags["mlflow.parentRunId"] = parent.run_id
    return tags


def measured(key: str, value: Any) -> float:
    """Return a metric's value as a number. Raises ``ParameterError`` for what is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ParameterError(key, f"Metric '{key}' is {value!r}, not a number.") from None


def _key(key: str) -> str:
    if not key or len(key) > LONGEST_KEY:
        raise ParameterError(key, f"A name has 1 to {LONGEST_KEY} characters, not {len(key)}.")
    return key


def _json(number: float) -> float | str:
    """Write what JSON has no number for as protocol buffers do."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number


def _now() -> int:
    return time.time_ns() // 1_000_000
