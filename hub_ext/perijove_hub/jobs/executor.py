"""Carry out runs: start the queued, watch the running, settle the ended.

The database says what should be, the launcher what is. They are compared at every step, so a
worker that was killed anywhere is continued by the next one, and nothing runs twice:

* running there, workload here → watch it, whoever started it;
* running there, no workload here → never started: queue it again; started: it is lost;
* a workload here of no running run → stop and forget it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from perijove.types.jobs import RunState
from perijove_hub.context import Context
from perijove_hub.engine.exceptions import EngineDown
from perijove_hub.exceptions import Invalid
from perijove_hub.identity import issue_run_token
from perijove_hub.images.service import Started
from perijove_hub.jobs import ledger, limits, owners, reasons, scratch, workload
from perijove_hub.jobs.image import startable
from perijove_hub.jobs.names import workload_name
from perijove_hub.launch import Launcher, LaunchError, NameTaken, Phase, Status, plain
from perijove_hub.store import audit
from perijove_hub.store.models import JobRow, JobVersionRow, RunRow, utcnow

log = logging.getLogger(__name__)

#: How much longer than its run a token lives, for what is sent while it ends.
TOKEN_SLACK = timedelta(minutes=10)
#: Most bytes of a log that are kept; of a longer one, its beginning and its end.
MAX_LOG = 50 * 2**20
_PIECE = 2**20


class Executor:
    """One worker's runs."""

    def __init__(self, context: Context, launcher: Launcher) -> None:
        self._context = context
        self._launcher = launcher
        self._scratch = context.data.root / "scratch"
        self._epochs: dict[str, int] | None = None
        self._events: dict[str, scratch.Events] = {}

    def step(self) -> None:
        """Look once at every run and take its next step; one that fails harms no other."""
        # The launcher before the database: a workload unknown there is then really unknown.
        here = {s.name: s for s in self._launcher.list() if s.labels.get("kind") == "run"}
        if self._epochs is None:
            self._epochs = self._adopt()
            self._sweep(here)
        with self._context.database.reading() as session:
            running = ledger.running(session)
        # What another worker took over is no longer ours, and takes no room here.
        mine = [run for run in running if self._epochs.get(run.id) == run.epoch]
        self._epochs = {run.id: run.epoch for run in mine}
        for run in mine:
            self._guarded(run, here.get(workload_name(run.id, run.attempt)))
        self._forget_others(here)
        self._start_queued()

    def _adopt(self) -> dict[str, int]:
        """Take over what earlier workers ran."""
        with self._context.database.session() as session:
            taken = {run.id: ledger.adopt(session, run) for run in ledger.running(session)}
        return {run_id: epoch for run_id, epoch in taken.items() if epoch is not None}

    def _sweep(self, here: Mapping[str, Status]) -> None:
        scratch.sweep(self._scratch, [self._launcher.directory(name) for name in here])

    def _guarded(self, run: RunRow, status: Status | None) -> None:
        try:
            self._observe(run, status)
        except Exception:
            log.exception("run %s: this look at it failed", run.id)

    def _observe(self, run: RunRow, status: Status | None) -> None:
        never = status is None or (status.phase is Phase.gone and status.started_at is None)
        if never and run.started_at is None:
            self._requeue(run, status)
            return
        if status is None:
            status = Status(workload_name(run.id, run.attempt), Phase.gone, {})
        if run.started_at is None:
            self._record_start(run)
        if run.cancel_requested and status.phase is Phase.running:
            self._launcher.stop(status.name)
        self._ingest(run, status)
        if status.phase is not Phase.running:
            self._settle(run, status)

    def _requeue(self, run: RunRow, status: Status | None) -> None:
        if status is not None:
            self._launcher.remove(status.name)
        with self._context.database.session() as session:
            ledger.requeue(session, run.id, run.epoch)
        log.info("run %s was claimed and never started: queued again", run.id)

    def _record_start(self, run: RunRow, image: Started | None = None) -> None:
        with self._context.database.session() as session:
            ledger.started(session, run.id, run.epoch)
            if image is not None:
                audit.record(
                    session,
                    run.requested_by,
                    "run.start",
                    f"run/{run.id}",
                    owner=run.owner,
                    attempt=run.attempt,
                    image=image.reference,
                    digest=image.digest,
                )

    def _ingest(self, run: RunRow, status: Status) -> None:
        events = self._events_of(run, status)
        if events is not None and events.update():
            with self._context.database.session() as session:
                ledger.progressed(session, run.id, run.epoch, events.progress)

    def _events_of(self, run: RunRow, status: Status) -> scratch.Events | None:
        if run.id not in self._events:
            try:
                self._events[run.id] = scratch.Events(self._launcher.directory(status.name))
            except KeyError:
                return None
        return self._events[run.id]

    def _settle(self, run: RunRow, status: Status) -> None:
        """Store what an ended run left, then record its end, then forget its workload."""
        with self._context.database.reading() as session:
            job = session.get_one(JobRow, run.job_id)
        events = self._events.get(run.id)
        limited = limits.of_run(
            self._context.settings.jobs, memory_mb=job.memory_mb, timeout_s=job.timeout_s
        )
        ending = reasons.explain(run, status, events.outcome if events else None, limits=limited)
        self._finish(run, status, ending)
        if status.labels:
            self._forget(status)
        log.info("run %s %s: %s", run.id, ending.state, ending.reason or "every cell ran")

    def _finish(self, run: RunRow, status: Status, ending: ledger.Ending) -> None:
        output = scratch.output(self._launcher.directory(status.name)) if status.labels else None
        kept = ledger.Ending(
            ending.state,
            ending.reason,
            failed_cell=ending.failed_cell,
            peak_memory_mb=ending.peak_memory_mb,
            output_sha256=self._context.blobs.put(output) if output else None,
            log_sha256=self._context.blobs.put(self._log(status.name)),
        )
        with self._context.database.session() as session:
            ledger.finish(session, run.id, run.epoch, kept)
        self._events.pop(run.id, None)
        if self._epochs is not None:
            self._epochs.pop(run.id, None)

    def _log(self, name: str) -> bytes:
        head, offset = b"", 0
        while len(head) < MAX_LOG // 2:
            piece, offset = self._launcher.logs(name, offset, _PIECE)
            if not piece:
                return head
            head += piece
        tail = b""
        while True:
            piece, offset = self._launcher.logs(name, offset, _PIECE)
            if not piece:
                break
            tail += piece
            if len(tail) > MAX_LOG:
                tail = tail[-MAX_LOG // 2 :]
        left_out = offset - len(head) - len(tail[-MAX_LOG // 2 :])
        note = f"\n[{left_out} bytes left out]\n".encode() if left_out else b""
        return head + note + tail[-MAX_LOG // 2 :]

    def _forget(self, status: Status) -> None:
        if status.phase is Phase.running:
            self._launcher.stop(status.name)
            return
        folder = self._launcher.directory(status.name)
        self._launcher.remove(status.name)
        if folder.is_relative_to(self._scratch):
            plain.delete(folder)

    def _forget_others(self, here: Mapping[str, Status]) -> None:
        """Stop and forget workloads whose runs are settled or unknown."""
        with self._context.database.reading() as session:
            running = {workload_name(run.id, run.attempt) for run in ledger.running(session)}
        for name, status in here.items():
            # What _observe has just settled may be gone by now.
            if name not in running and self._launcher.poll(name).labels:
                self._forget(status)

    def _start_queued(self) -> None:
        assert self._epochs is not None  # noqa: S101 - step() has adopted before
        room = self._context.settings.jobs.concurrency - len(self._epochs)
        if room <= 0:
            return
        with self._context.database.reading() as session:
            waiting = ledger.queued(session, room)
        for run in waiting:
            try:
                self._start(run)
            except Exception:
                log.exception("run %s: could not be started now", run.id)

    def _start(self, run: RunRow) -> None:
        assert self._epochs is not None  # noqa: S101 - step() has adopted before
        with self._context.database.session() as session:
            epoch = ledger.claim(session, run)
            if epoch is None:
                return
            self._epochs[run.id] = run.epoch = epoch
            job = session.get_one(JobRow, run.job_id)
            version = session.get_one(JobVersionRow, (run.job_id, run.version))
            limited = limits.of_run(
                self._context.settings.jobs, memory_mb=job.memory_mb, timeout_s=job.timeout_s
            )
            until = utcnow() + timedelta(seconds=limited.timeout_s or 0) + TOKEN_SLACK
            token = issue_run_token(session, user=run.owner, run_id=run.id, expires_at=until)
        name = workload_name(run.id, run.attempt)
        if not owners.is_user(self._context, run.owner):
            gone = f"{run.owner} is no longer a user of the Hub. Promote the notebook as another."
            ending = ledger.Ending(RunState.failed, gone)
            self._finish(run, Status(name, Phase.gone, {}), ending)
            return
        try:
            image = self._image(job, version)
        except Invalid as error:
            why = f"{error.detail} {error.fix}"
            self._finish(run, Status(name, Phase.gone, {}), ledger.Ending(RunState.failed, why))
            return
        folder: Path | None = None
        try:
            notebook = self._context.blobs.get(version.notebook_sha256)
            folder = scratch.prepare(
                self._scratch, name, notebook=notebook, parameters=run.parameters
            )
            described = workload.describe(
                run,
                job=job.name,
                folder=folder,
                image=image,
                limits=limited,
                disk_mb=self._context.settings.jobs.disk_mb,
                topology=self._context.topology,
                token=token,
            )
            self._launcher.start(described)
        except NameTaken:
            # Started before, by a worker that died before it could say so: watch that one.
            if folder is not None:
                plain.delete(folder)
        except EngineDown:
            # Not the run's fault: the next step queues it again.
            if folder is not None:
                plain.delete(folder)
            raise
        except (LaunchError, OSError, KeyError, ValueError) as error:
            self._could_not_start(run, name, folder, error)
            return
        self._record_start(run, image)
        log.info("run %s of job %s started", run.id, job.name)

    def _image(self, job: JobRow, version: JobVersionRow) -> Started | None:
        with self._context.database.reading() as session:
            return startable(session, self._context, job, version)

    def _could_not_start(
        self, run: RunRow, name: str, folder: Path | None, error: Exception
    ) -> None:
        log.error("run %s could not be started", run.id, exc_info=error)
        why = error.strerror if isinstance(error, OSError) else type(error).__name__
        if isinstance(error, LaunchError):
            why = str(error)
        status = self._launcher.poll(name)
        ending = ledger.Ending(
            RunState.failed, f"It could not be started ({why}). The worker's log says more."
        )
        self._finish(run, status, ending)
        if status.labels:
            self._forget(status)
        if folder is not None:
            plain.delete(folder)
