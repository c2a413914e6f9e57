"""A job for another scheduler."""

from __future__ import annotations

from pathlib import Path

from perijove.client import Client
from perijove.jobs.finding import JobError, find
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


def keep(text: str, output: Path) -> None:
    """Write what ``export`` made to a file, and make its folder. Raises ``JobError``."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise JobError(f"{output} cannot be written: {error.strerror}.") from None
