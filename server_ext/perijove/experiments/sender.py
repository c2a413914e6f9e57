"""A thread that brings spools to MLflow, for ever and without a word."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Iterable
from typing import Any

from perijove.experiments.mlflow_api import KEY_TAG, MlflowApi, Outage, Rejected
from perijove.experiments.spool import Record, Spool

#: Seconds between two looks at the spools, so that a loop's metrics travel together.
PAUSE = 1.0
#: Longest pause after failures.
LONGEST_PAUSE = 30.0
#: Seconds the start of a cell waits for MLflow.
HASTE = 5.0
#: Seconds a kernel's end may be delayed.
LAST_WORDS = 3.0
#: MLflow's limits of one batch.
MOST = {"metrics": 1000, "params": 100, "tags": 100}
MOST_TOGETHER = 1000


class Sender:
    """Sends what is in spools, in order, each at least once and to the effect of once."""

    def __init__(self, api: MlflowApi) -> None:
        self.api = api
        self._hasty = MlflowApi(api.uri, api.token, timeout=HASTE)
        self.refusals: dict[Spool, list[str]] = {}
        self._spools: list[Spool] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._failures = 0
        self.trouble = "MLflow is slow to answer."
        self._thread = threading.Thread(target=self._work, name="perijove-tracking", daemon=True)
        self._thread.start()
        atexit.register(self.drain, LAST_WORDS)

    def begin(self, spool: Spool) -> None:
        """Create the run of a spool that was not added yet. Raises ``Outage`` or ``Rejected``."""
        try:
            self._begin(spool, spool.waiting()[0][0], api=self._hasty)
        except Outage as error:
            self.trouble = str(error)
            self._failures = max(self._failures, 1)
            raise

    def add(self, spool: Spool, *, left: bool = False) -> None:
        """Send ``spool`` from now on; ``left`` when its kernel is gone."""
        if left:
            spool.finish()
        with self._lock:
            self._spools.append(spool)
        self._wake.set()

    def drain(self, seconds: float) -> bool:
        """Send what there is now; tell whether all of it arrived within ``seconds``."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self._waiting():
                return True
            if self._failures:
                return False
            self._wake.set()
            time.sleep(0.02)
        return not self._waiting()

    def _waiting(self) -> bool:
        with self._lock:
            spools = list(self._spools)
        return any(_has_more(spool) for spool in spools)

    def _work(self) -> None:
        while True:
            pause = min(PAUSE * 2**self._failures, LONGEST_PAUSE)
            self._wake.wait(pause)
            self._wake.clear()
            if self._failures:
                # Not at every metric: that would be a busy loop against a dead server.
                time.sleep(min(pause, PAUSE))
            with self._lock:
                spools = list(self._spools)
            for spool in spools:
                try:
                    over = self._send(spool)
                except Outage as error:
                    self.trouble = str(error)
                    self._failures = min(self._failures + 1, 10)
                    with self._lock:
                        # Should only this one fail, the others come first next time.
                        self._spools.remove(spool)
                        self._spools.append(spool)
                    break
                except Exception:
                    # Whatever is wrong with this one, the others are still to be sent.
                    over = True
                    spool.put_aside()
                self._failures = 0
                if over:
                    with self._lock:
                        self._spools.remove(spool)

    def _send(self, spool: Spool) -> bool:
        """Send what waits; tell whether the run is over. Raises ``Outage``."""
        records = spool.waiting()
        if records and records[0][0]["op"] == "begin":
            try:
                self._begin(spool, records.pop(0)[0], api=self.api)
            except Rejected as error:
                self._refuse(spool, str(error))
                spool.put_aside()
                return True
        batch: dict[str, list[dict[str, Any]]] = {}
        pending = spool.state.sent
        for record, offset in records:
            kind = {"metric": "metrics", "param": "params", "tag": "tags"}.get(record["op"])
            if batch and (kind is None or _is_full(batch, kind)):
                self._log(spool, batch)
                batch = {}
                spool.state.sent = pending
                spool.save()
            if kind is not None:
                batch.setdefault(kind, []).append(record["item"])
            else:
                self._do(spool, record)
                spool.state.sent = offset
                spool.save()
                if record["op"] == "end":
                    spool.remove()
                    return True
            pending = offset
        if batch:
            self._log(spool, batch)
            spool.state.sent = pending
            spool.save()
        return False

    def _begin(self, spool: Spool, record: Record, *, api: MlflowApi) -> None:
        state = spool.state
        if not state.run_id:
            state.experiment_id = api.experiment(record["experiment"])
            # A create whose answer was lost may have happened.
            run = api.find_run(state.experiment_id, record["key"]) if state.tried else None
            state.tried = True
            spool.save()
            run = run or api.create_run(
                state.experiment_id,
                name=record["name"],
                started=record["time"],
                tags={**record["tags"], KEY_TAG: record["key"]},
            )
            info = run["info"]
            state.run_id, state.run_name = info["run_id"], info.get("run_name", "")
            state.artifact_uri = info["artifact_uri"]
        first = next(iter(spool.waiting()), None)
        if first is not None and first[0]["op"] == "begin":
            state.sent = first[1]
        spool.save()

    def _do(self, spool: Spool, record: Record) -> None:
        try:
            if record["op"] == "artifact":
                kept = spool.kept(record["file"])
                self.api.upload(spool.state.artifact_uri, record["name"], kept)
                kept.unlink(missing_ok=True)
            elif record["op"] == "end":
                self.api.end_run(spool.state.run_id, status=record["status"], ended=record["time"])
        except (Rejected, OSError) as error:
            self._refuse(spool, f"{record.get('name', record['op'])}: {error}")

    def _log(self, spool: Spool, batch: dict[str, list[dict[str, Any]]]) -> None:
        if not batch:
            return
        try:
            self.api.log_batch(spool.state.run_id, **batch)
        except Rejected as error:
            alone = [(kind, item) for kind, items in batch.items() for item in items]
            if len(alone) == 1:
                self._refuse(spool, f"{alone[0][1]['key']}: {error}")
                return
            # One bad value must not take the others with it.
            for kind, item in alone:
                self._log(spool, {kind: [item]})

    def _refuse(self, spool: Spool, reason: str) -> None:
        self.refusals.setdefault(spool, []).append(reason)


def _has_more(spool: Spool) -> bool:
    try:
        return bool(spool.waiting())
    except OSError:
        return False


def _is_full(batch: dict[str, list[dict[str, Any]]], kind: str) -> bool:
    together: Iterable[list[dict[str, Any]]] = batch.values()
    return len(batch.get(kind, [])) >= MOST[kind] or sum(map(len, together)) >= MOST_TOGETHER
