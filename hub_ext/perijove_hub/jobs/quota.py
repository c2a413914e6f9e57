"""Whether a job's group has anything left for another run."""

from __future__ import annotations

from sqlalchemy.orm import Session

from perijove_hub.settings import Settings
from perijove_hub.store.models import JobRow
from perijove_hub.usage import quotas
from perijove_hub.usage.things import charged_group, size_for


def refusal(session: Session, settings: Settings, job: JobRow) -> str | None:
    """Say why no run of ``job`` may begin now; ``None`` when one may."""
    if not settings.usage.quotas:
        return None
    size, _ = size_for(settings, memory_mb=job.memory_mb or settings.jobs.memory_mb)
    group = charged_group(session, job.owner, job.group)
    return quotas.check(session, settings, user=job.owner, group=group, size=size)
