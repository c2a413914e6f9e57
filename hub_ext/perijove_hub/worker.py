"""The worker: schedules, job runs, deployments and the catalog, each a duty of its own."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence

from perijove_hub.context import Context
from perijove_hub.exceptions import Unavailable
from perijove_hub.launch import Phase
from perijove_hub.launch.choose import launcher as choose_launcher
from perijove_hub.leading import Duty, Following, Leading

log = logging.getLogger(__name__)

#: Longest pause after a duty has failed again and again, seconds.
MAX_PAUSE = 60.0
#: Seconds a duty may take to finish its step when the worker is told to end.
GRACE = 0.8
#: Seconds a workload may take to end when all are stopped: its own grace, and the killing.
STOP_TIMEOUT = 40.0


def run(context: Context, *, runs_only: bool = False) -> None:
    """Work until SIGTERM or SIGINT; what was started goes on without this process.

    With ``runs_only`` it never leads: for machines that Hub, API and gateway do not reach.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if not _alone(context, stopping):
        return
    log.info("worker ready")
    work(_duties(context, runs_only=runs_only), stopping)


def work(duties: Sequence[Duty], stopping: threading.Event) -> None:
    """Do every duty in a thread of its own until ``stopping`` is set."""
    threads = [
        threading.Thread(target=_repeat, args=(duty, stopping), name=duty.name, daemon=True)
        for duty in duties
    ]
    for thread in threads:
        thread.start()
    # A bare wait() would not let a signal's handler run.
    while not stopping.wait(0.5):
        pass
    deadline = time.monotonic() + GRACE
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        # In the middle of a step, which bears even SIGKILL; waiting for it would not end.
        logging.shutdown()
        os._exit(0)


def stop_all(context: Context) -> None:
    """Stop every run, replica and kernel and wait until all have ended.

    What they were is settled by the next worker: replicas start again, and interrupted runs are
    recorded as such.
    """
    launcher = choose_launcher(context)
    for status in launcher.list():
        if status.phase is Phase.running:
            launcher.stop(status.name)
    if context.topology.spawner == "docker":
        from perijove_hub.images.duty import BuildDuty
        from perijove_hub.pool.duty import PoolDuty

        PoolDuty(context).drain()
        BuildDuty(context).drain()
    deadline = time.monotonic() + STOP_TIMEOUT
    while any(status.phase is Phase.running for status in launcher.list()):
        if time.monotonic() > deadline:
            log.warning("some workloads did not end within %d s", STOP_TIMEOUT)
            return
        time.sleep(0.05)


def _duties(context: Context, *, runs_only: bool) -> list[Duty]:
    """List what this worker does by itself, and what only while it leads.

    The first take rows by locks and epochs, or look after this machine alone.
    """
    from perijove_hub.catalog.duty import CrawlDuty
    from perijove_hub.culling.duty import CullDuty
    from perijove_hub.files.duty import HomeDuty
    from perijove_hub.gpus.duty import GpuDuty
    from perijove_hub.jobs.backfills.duty import BackfillDuty
    from perijove_hub.jobs.duty import JobDuty
    from perijove_hub.jobs.notifications.duty import NotificationDuty
    from perijove_hub.jobs.retention import RetentionDuty
    from perijove_hub.jobs.sweeps.duty import SweepDuty
    from perijove_hub.jobs.workers import LeaseDuty
    from perijove_hub.kernels.duty import KernelDuty
    from perijove_hub.models.duty import DeploymentDuty
    from perijove_hub.shares.duty import ShareDuty
    from perijove_hub.usage.duty import UsageDuty
    from perijove_hub.usage.quota_duty import QuotaDuty

    launcher = choose_launcher(context)
    jobs = JobDuty(context, launcher, may_lead=not runs_only)
    mine: list[Duty] = [
        LeaseDuty(jobs.lease),
        jobs,
        BackfillDuty(context),
        SweepDuty(context),
        NotificationDuty(context),
        Following(context, launcher, jobs.lease),
    ]
    once: list[Callable[[Context], Duty]] = [
        lambda fenced: KernelDuty(fenced, launcher),
        lambda fenced: DeploymentDuty(fenced, launcher),
        CrawlDuty,
        CullDuty,
        HomeDuty,
        ShareDuty,
        GpuDuty,
        UsageDuty,
        QuotaDuty,
        RetentionDuty,
    ]
    if context.topology.spawner == "docker":
        from perijove_hub.engine.duty import FirewallDuty
        from perijove_hub.images.duty import BuildDuty
        from perijove_hub.pool.duty import PoolDuty

        mine.insert(0, FirewallDuty(context))
        once += [BuildDuty, PoolDuty]
    return [*mine, *(Leading(context, jobs.lease, make) for make in once)]


def _alone(context: Context, stopping: threading.Event) -> bool:
    """Wait until no other worker serves this data directory; false when told to end meanwhile.

    The lock is held until the process ends, however it ends.
    """
    path = context.data.run / "worker.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    told = False
    while not stopping.is_set():
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if not told:
                log.info("another worker serves %s: standing by", context.data.root)
                told = True
            stopping.wait(0.2)
    os.close(descriptor)
    return False


def _repeat(duty: Duty, stopping: threading.Event) -> None:
    """Do ``duty`` again and again; one that fails is tried again later and harms no other."""
    failures = 0
    pause = 0.0
    while not stopping.wait(pause):
        try:
            duty.tick()
            failures, pause = 0, duty.period
        except Exception as error:
            failures += 1
            pause = min(MAX_PAUSE, duty.period * 2**failures)
            log.error(
                "%s failed; trying again in %.0f s: %s",
                duty.name,
                pause,
                error,
                # A part that is away is no fault of the code here.
                exc_info=not isinstance(error, Unavailable),
            )
