"""What one run may use: the job's own limits within the platform's."""

from __future__ import annotations

from perijove.types.jobs import Resources
from perijove_hub.exceptions import Invalid
from perijove_hub.settings import JobSettings
from perijove_hub.store.models import JobRow


def check(settings: JobSettings, wanted: Resources) -> None:
    """Refuse limits above the platform's; raises ``Invalid``."""
    for name, unit in (("memory_mb", "MiB"), ("timeout_s", "s"), ("max_output_mb", "MiB")):
        most: int = getattr(settings, name)
        value: int | None = getattr(wanted, name)
        if value is not None and value > most:
            raise Invalid(
                f"{value} {unit} is more than a run may have here.",
                field=f"resources.{name}",
                fix=f"Ask for at most {most} {unit}, or an administrator to raise jobs.{name}.",
            )


def of_run(settings: JobSettings, job: JobRow) -> Resources:
    """Return the limits that count for a run; settings may have been lowered since."""
    return Resources(
        memory_mb=min(job.memory_mb or settings.memory_mb, settings.memory_mb),
        timeout_s=min(job.timeout_s or settings.timeout_s, settings.timeout_s),
        cell_timeout_s=job.cell_timeout_s,
        max_output_mb=min(job.max_output_mb or settings.max_output_mb, settings.max_output_mb),
    )
