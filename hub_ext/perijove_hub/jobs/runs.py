"""Runs: start, list, watch, cancel."""

from __future__ import annotations

from perijove.types.base import Page, Principal
from perijove.types.jobs import LogChunk, Run, RunCreate, RunState
from perijove_hub.context import Context


class RunService:
    """What may be done with runs, checked against the caller's rights to the job."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def create(self, principal: Principal, job_id: str, body: RunCreate, *, key: str | None) -> Run:
        """Queue a run."""
        raise NotImplementedError

    def list(
        self,
        principal: Principal,
        job_id: str,
        *,
        state: RunState | None,
        cursor: str | None,
        limit: int,
    ) -> Page[Run]:
        """List a job's runs, newest first."""
        raise NotImplementedError

    def get(self, principal: Principal, run_id: str) -> Run:
        """Return one run."""
        raise NotImplementedError

    def cancel(self, principal: Principal, run_id: str) -> Run:
        """Cancel a run."""
        raise NotImplementedError

    def logs(self, principal: Principal, run_id: str, offset: int) -> LogChunk:
        """Read a run's log."""
        raise NotImplementedError

    def notebook(self, principal: Principal, run_id: str) -> bytes:
        """Return the output notebook."""
        raise NotImplementedError
