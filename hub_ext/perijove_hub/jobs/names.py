"""Names of a run's workloads."""

from __future__ import annotations


def workload_name(run_id: str, attempt: int) -> str:
    """Name the workload of one attempt, so that starting it twice collides."""
    return f"run-{run_id}-{attempt}"
