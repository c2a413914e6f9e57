"""What the runs of a job's version start from."""

from __future__ import annotations

from sqlalchemy.orm import Session

from perijove_hub.context import Context
from perijove_hub.exceptions import Invalid
from perijove_hub.images import service as images
from perijove_hub.store.models import JobRow, JobVersionRow


def startable(
    session: Session, context: Context, job: JobRow, version: JobVersionRow
) -> images.Started | None:
    """Return the image: still approved, and its promoter's to see; ``None`` without Docker.

    Raises ``Invalid``, which names the image and what to do.
    """
    if context.topology.spawner != "docker":
        return None
    try:
        return images.started(session, version.created_by, version.image, context.settings)
    except Invalid as error:
        raise Invalid(
            f"Version {version.version} of '{job.name}' has an image that does not start: "
            f"{error.detail}",
            field="version",
            fix=f"{error.fix} Then promote the notebook again from a workspace in it.",
        ) from None
