"""A job for another scheduler."""

from __future__ import annotations

from perijove.client import Client
from perijove.jobs.finding import find
from perijove.types.jobs import ExportTo


def export(
    name: str,
    *,
    to: ExportTo | str = ExportTo.airflow,
    version: int | None = None,
    image: str | None = None,
    owner: str | None = None,
) -> str:
    """Write a version of a job for another scheduler: for Airflow, the text of a DAG's file.

    The latest version if left out; ``image`` stands in for the version's own, as where another
    Docker engine pulls it from.
    """
    with Client() as client:
        job = find(client, name, owner)
        query = {"to": ExportTo(to).value, "version": version, "image": image}
        return client.send("GET", f"/jobs/{job.id}/export", params=query).text
