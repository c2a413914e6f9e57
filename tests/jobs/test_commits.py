"""A worker's connection is cut at each COMMIT of a run's life: it is done, and nobody hears of it.

One that was not done is what a killed worker leaves, of which other tests tell.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from sqlalchemy import func, make_url, select
from sqlalchemy.exc import OperationalError

from perijove.types.jobs import RunState
from perijove_hub.jobs.duty import JobDuty
from perijove_hub.store.models import ArtifactRow, AuditRow, RunTokenRow
from tests.jobs.conftest import Platform, a_topology
from tests.jobs.programs import described, marking
from tests.jobs.scheduling import context_on
from tests.jobs.test_scheduler_crash import Proxy, _emptied
from tests.jobs.test_scheduler_crash import server as server

#: More than a run's life has: its worker's lease, its claim, start and progress, each blob, its
#: end.
MOST = 30


def test_a_run_is_carried_out_once_whichever_commit_is_cut(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = 0
    while _is_cut(server, tmp_path / str(cut), monkeypatch, number=cut):
        cut += 1
        assert cut < MOST
    assert cut >= 8


def _is_cut(server: str, folder: Path, patch: pytest.MonkeyPatch, *, number: int) -> bool:
    """Carry out a run with its ``number``-th COMMIT cut; say whether there was such a one."""
    direct = context_on(server, folder)
    a_topology().save(direct.data.run / "topology.json")
    proxy = Proxy(make_url(server).port or 0, forward=True, skip=number)
    through = make_url(server).set(port=proxy.port).render_as_string(hide_password=False)
    cut_off = context_on(through, folder)
    platform, marks = Platform(direct), folder / "marks"
    patch.setattr("perijove_hub.jobs.workload.describe", described(marking(marks)))
    with _emptied(direct):
        run = platform.run(platform.promote())
        platform.duty = _Stubborn(cut_off, platform.launcher)
        proxy.armed.set()
        done = platform.finished(run)
        assert (done.state, done.attempt, done.reason) == (RunState.succeeded, 1, None)
        platform.tick_until(lambda: not platform.launcher.list())
        assert marks.read_text().split() == [run.id]
        with direct.database.reading() as session:
            assert session.scalars(select(ArtifactRow.path)).all() == ["file"]
            assert session.scalar(select(func.count()).select_from(RunTokenRow)) == 0
            for verb in ("run.start", "run.end"):
                rows = select(func.count()).where(AuditRow.verb == verb)
                assert session.scalar(rows) == (verb == "run.end")
        cut_off.database.close()
    proxy.close()
    return proxy.cut.is_set()


class _Stubborn(JobDuty):
    """Tries again after a failure, as the worker does."""

    def tick(self) -> None:
        with contextlib.suppress(OperationalError):
            super().tick()
