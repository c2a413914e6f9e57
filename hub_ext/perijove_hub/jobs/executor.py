"""Carry out runs: start the queued, watch the running, settle the ended.

The database says what should be, the launcher what is. They are compared at every step, so a
worker that was killed anywhere is continued by the next one, and nothing runs twice:

* running there, workload here → watch it, whoever started it;
* running there, no workload here → never started: queue it again; started: it is lost;
* a workload here of no running run → stop and forget it.

Which runs are a worker's own, ``workers`` says.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy.orm import Session

from perijove.types.jobs import Cause, RunState
from perijove_hub.context import Context
from perijove_hub.engine.exceptions import EngineDown
from perijove_hub.exceptions import Invalid
from perijove_hub.identity import issue_run_token
from perijove_hub.images.service import Started
from perijove_hub.jobs import ledger, limits, queue, reasons, scratch, starting, workers
from perijove_hub.jobs.names import workload_name
from perijove_hub.jobs.results import Storing, no_space
from perijove_hub.jobs.starting import Claimed, Ready
from perijove_hub.jobs.workers import Lease, LeaseLost
from perijove_hub.launch import ImageMissing, Launcher, LaunchError, NameTaken, Phase, Status, plain
from perijove_hub.store import audit
from perijove_hub.store.clock import database_now
from perijove_hub.store.models import JobRow, JobVersionRow, RunRow
from perijove_hub.store.turns import take_turn

log = logging.getLogger(__name__)

#: How much longer than its run a token lives, for what is sent while it ends.
TOKEN_SLACK = timedelta(minutes=10)


class Executor:
    """One worker's runs."""

    def __init__(self, context: Context, launcher: Launcher, lease: Lease) -> None:
        self._context = context
        self._launcher = launcher
        self._lease = lease
        self._scratch = context.data.root / "scratch"
        self._epochs: dict[str, int] = {}
        self._told: dict[str, tuple[scratch.Events, scratch.Metrics]] = {}
        self._orphans: set[str] = set()
        self._old: set[tuple[str, int]] = set()
        """Versions whose image has a runner that refuses flags it does not know."""
        self._term = 0
        self._swept = False

    def step(self) -> None:
        """Look once at every run and take its next step; one that fails harms no other.

        Without the lease nothing is done: what runs goes on, and somebody else may have it.
        """
        if not self._lease.keep():
            return
        self._term = self._lease.term
        # The launcher before the database: a workload unknown there is then really unknown.
        here = {s.name: s for s in self._launcher.list() if s.labels.get("kind") == "run"}
        if not self._swept:
            scratch.sweep(self._scratch, [self._launcher.directory(name) for name in here])
            self._swept = True
        with self._context.database.reading() as session:
            running = ledger.running(session)
            alive = workers.alive(session)
        mine = [run for run in running if self._is_mine(run, here, alive)]
        self._epochs = {run.id: run.epoch for run in mine}
        self._told = {id_: told for id_, told in self._told.items() if id_ in self._epochs}
        self._orphans &= self._epochs.keys()
        for run in mine:
            self._guarded(run, here.get(workload_name(run.id, run.attempt)))
        self._forget_others(here)
        self._start_queued()

    def _is_mine(self, run: RunRow, here: Mapping[str, Status], alive: set[str]) -> bool:
        """Tell whether a running run is this worker's; take over one whose worker is gone.

        What this process does not know was left by an earlier one of the same data directory,
        or is its own claim whose answer was lost. What another worker took over is no longer
        ours, and takes no room here.
        """
        if self._epochs.get(run.id) == run.epoch:
            return True
        known = workload_name(run.id, run.attempt) in here
        ours = run.worker == self._lease.worker or (run.worker is None and known)
        if not ours and (run.worker in alive or not (known or self._lease.settled)):
            return False
        lost = not ours and not known
        with self._context.database.session() as session:
            # Another process may serve as this worker since a moment, and have it already.
            if not self._lease.confirmed(session):
                return False
            if not ours and run.worker in workers.alive(session):
                return False
            if lost and not self._lease.may_judge(session):
                return False
            epoch = ledger.adopt(session, run, self._lease.worker, started=lost)
        if epoch is None:
            return False
        if not ours:
            log.info("run %s taken over from worker %s, which is gone", run.id, run.worker)
        if lost:
            self._orphans.add(run.id)
            run.started_at = run.started_at or run.queued_at
        run.epoch, run.worker = epoch, self._lease.worker
        return True

    def _guarded(self, run: RunRow, status: Status | None) -> None:
        try:
            self._observe(run, status)
        except Exception:
            log.exception("run %s: this look at it failed", run.id)

    def _observe(self, run: RunRow, status: Status | None) -> None:
        never = status is None or (status.phase is Phase.gone and status.started_at is None)
        if never and run.started_at is None:
            self._requeue(run, status, "it was claimed and never started")
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

    def _requeue(self, run: RunRow, status: Status | None, why: str) -> None:
        if status is not None:
            self._forget(status)
        with self._context.database.session() as session:
            if not ledger.requeue(session, run.id, run.epoch):
                # Cancelled meanwhile, or another worker's now; the epoch tells them apart.
                row = session.get_one(RunRow, run.id)
                ledger.finish(session, run.id, run.epoch, ending=reasons.cancelled(row))
        log.info("run %s is queued again: %s", run.id, why)

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
        told = self._told_by(run, status)
        if told is None:
            return
        events, metrics = told
        # Both, whatever the first one says.
        if any([events.update(), metrics.update()]):
            with self._context.database.session() as session:
                ledger.progressed(session, run.id, run.epoch, events.progress, metrics.values)

    def _told_by(
        self, run: RunRow, status: Status
    ) -> tuple[scratch.Events, scratch.Metrics] | None:
        if run.id not in self._told:
            try:
                folder = self._launcher.directory(status.name)
            except KeyError:
                return None
            self._told[run.id] = scratch.Events(folder), scratch.Metrics(folder)
        return self._told[run.id]

    def _settle(self, run: RunRow, status: Status) -> None:
        """Store what an ended run left, then record its end, then forget its workload."""
        with self._context.database.reading() as session:
            run = session.get_one(RunRow, run.id)
            job = session.get_one(JobRow, run.job_id)
        if run.epoch != self._epochs.get(run.id):
            return
        told = self._told.get(run.id)
        limited = limits.of_run(self._context.settings.jobs, job)
        ending = reasons.explain(
            run,
            status,
            told[0].outcome if told else None,
            limits=limited,
            running=told[0].running if told else None,
        )
        if run.id in self._orphans and ending.state is RunState.lost:
            ending = ledger.Ending(RunState.lost, reasons.WORKER, Cause.lost)
        version = (run.job_id, run.version)
        if ending.reason == reasons.OLD_RUNNER and version not in self._old:
            # It has read its arguments and nothing else: once more, with what it understands.
            self._old.add(version)
            self._told.pop(run.id, None)
            self._requeue(
                run, status, "its image has an older runner, to be started without limits"
            )
            return
        self._finish(run, job, status, ending)

    def _finish(self, run: RunRow, job: JobRow, status: Status, ending: ledger.Ending) -> None:
        """Keep what there is, and record the end or that the run is tried again."""
        storing = Storing(self._context, self._launcher, status.name)
        told = self._told.get(run.id)
        if status.labels:
            folder = self._launcher.directory(status.name)
            if (run.job_id, run.version) in self._old and ending.reason != reasons.OLD_RUNNER:
                storing.note(reasons.NO_LIMITS)
            kept = storing.all(folder, told[1].values if told else {})
        else:
            kept = storing.log()
        ending = storing.judged(ending)
        with self._context.database.session() as session:
            again = self._recorded(session, run, job, ending, kept)
        self._told.pop(run.id, None)
        self._epochs.pop(run.id, None)
        if status.labels:
            self._forget(status)
        then = "; it is tried again" if again else ""
        log.info("run %s %s: %s%s", run.id, ending.state, ending.reason or "every cell ran", then)

    def _recorded(
        self, session: Session, run: RunRow, job: JobRow, ending: ledger.Ending, kept: ledger.Kept
    ) -> bool:
        """Record the end; say whether another attempt follows."""
        if ledger.retried(run, job, ending):
            if ledger.retry(session, run, job, run.epoch, ending=ending, kept=kept):
                return True
            row = session.get(RunRow, run.id)
            if row is not None and row.cancel_requested:
                # Its end was another, but whoever cancelled it wants no further attempt.
                ending = reasons.cancelled(row, peak_memory_mb=ending.peak_memory_mb)
        ledger.finish(session, run.id, run.epoch, ending=ending, kept=kept)
        return False

    def _forget(self, status: Status) -> None:
        if status.phase is Phase.running:
            self._launcher.stop(status.name)
            return
        folder = self._launcher.directory(status.name) if status.labels else None
        self._launcher.remove(status.name)
        if folder is not None and folder.is_relative_to(self._scratch):
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
        for _ in range(self._context.settings.jobs.concurrency - len(self._epochs)):
            claimed = self._claim()
            if claimed is None:
                return
            try:
                self._start(claimed)
            except Exception:
                log.exception("run %s: could not be started now", claimed.run.id)

    def _claim(self) -> Claimed | None:
        """Take the next run from the queue, if there is one."""
        limit = self._context.settings.jobs.group_concurrency
        with self._context.database.reading() as session:
            if queue.following(session, group_concurrency=limit) is None:
                return None
        with self._context.database.session() as session:
            # One at a time, or two workers would both take the last place of a job.
            take_turn(session, "claim")
            run = queue.following(session, group_concurrency=limit)
            if run is None or not self._lease.confirmed(session):
                return None
            epoch = ledger.claim(session, run, self._lease.worker)
            if epoch is None:
                return None
            job = session.get_one(JobRow, run.job_id)
            version = session.get_one(JobVersionRow, (run.job_id, run.version))
            limited = limits.of_run(self._context.settings.jobs, job)
            until = database_now(session) + timedelta(seconds=limited.timeout_s or 0) + TOKEN_SLACK
            token = issue_run_token(session, user=run.owner, run_id=run.id, expires_at=until)
        self._epochs[run.id] = run.epoch = epoch
        return Claimed(run, job, version, limited, token)

    def _start(self, claimed: Claimed) -> None:
        run, job = claimed.run, claimed.job
        name = workload_name(run.id, run.attempt)
        nothing = Status(name, Phase.gone, {})
        try:
            old = (run.job_id, run.version) in self._old
            ready = starting.ready(self._context, claimed, self._scratch, old=old)
        except Invalid as error:
            why = f"{error.detail} {error.fix}"
            ending = ledger.Ending(RunState.failed, why, Cause.refused)
            self._finish(run, job, nothing, ending)
            return
        except (OSError, KeyError, ValueError) as error:
            self._finish(run, job, nothing, self._could_not_start(run, error))
            return
        try:
            self._launch(run, ready)
        except (LaunchError, OSError) as error:
            ending = self._could_not_start(run, error)
            if isinstance(error, ImageMissing) and ready.image is not None:
                ending = reasons.no_image(ready.image.reference)
            self._finish(run, job, self._launcher.poll(name), ending)
            plain.delete(ready.folder)
            return
        self._record_start(run, ready.image)
        log.info("run %s of job %s started", run.id, job.name)

    def _launch(self, run: RunRow, ready: Ready) -> None:
        try:
            if not self._lease.held or self._lease.term != self._term:
                raise LeaseLost
            self._launcher.start(ready.workload)
        except NameTaken:
            # Started before, by a worker that died before it could say so: watch that one.
            plain.delete(ready.folder)
        except (EngineDown, LeaseLost):
            # Not the run's fault: the next step queues it again.
            plain.delete(ready.folder)
            raise

    def _could_not_start(self, run: RunRow, error: Exception) -> ledger.Ending:
        log.error("run %s could not be started", run.id, exc_info=error)
        if isinstance(error, OSError) and no_space(error):
            return ledger.Ending(RunState.failed, reasons.NO_ROOM, Cause.disk)
        why: object = error
        if isinstance(error, OSError):
            why = error.strerror
        elif isinstance(error, KeyError):
            why = f"the file {error} that it needs is no longer there"
        reason = f"It could not be started ({why}). The worker's log says more."
        return ledger.Ending(RunState.failed, reason, Cause.internal)
