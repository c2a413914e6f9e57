"""Retired versions that nothing uses leave the engine; their specifications stay.

What may still start an image is asked here and nowhere else. Retiring is final, so nothing new
refers to a retired version: whoever starts, promotes or builds asks ``service.startable`` first.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, exists, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from perijove.types.images import BuildState, ImageState
from perijove.types.kernels import OVER
from perijove_hub.context import Context
from perijove_hub.images.workshop import Workshop
from perijove_hub.store import audit
from perijove_hub.store.models import (
    BuildRow,
    DeploymentRow,
    ImageRow,
    ImageVersionRow,
    JobRow,
    JobVersionRow,
    KernelRow,
    ShareRow,
    UsageRow,
    WarmRow,
    utcnow,
)

log = logging.getLogger(__name__)

RETIRED = ImageState.retired.value
BUILDING = (BuildState.queued.value, BuildState.running.value)
#: Who does it, to the audit log.
ACTOR = "perijove"


def remove_unused(context: Context, shop: Workshop) -> None:
    """Remove what has been unused for ``images.retired_days``. Raises ``EngineDown``."""
    before = utcnow() - timedelta(days=context.settings.images.retired_days)
    with context.database.reading() as session:
        due = unused(session, before)
    for image, version in due:
        freed = shop.discard(version.digest or "")
        if freed is None:
            continue
        # After the engine: who dies in between finds it gone the next time, and says so then.
        with context.database.session() as session:
            row = session.get_one(ImageVersionRow, (version.image_id, version.version))
            row.removed_at = utcnow()
            audit.record(
                session,
                ACTOR,
                "image.remove",
                f"image/{image}",
                version=version.version,
                digest=version.digest,
                bytes_freed=freed,
            )
        log.info(
            "removed %s@%d (%s), retired and unused: %.2f GB freed",
            image,
            version.version,
            version.digest,
            freed / 1e9,
        )


def unused(session: Session, before: datetime) -> Sequence[tuple[str, ImageVersionRow]]:
    """Return retired versions that nothing has used since ``before``, with their images' names.

    Perijove's own are never among them: other instances on the same engine may use them.
    """
    rows = session.execute(
        select(ImageRow.name, ImageVersionRow)
        .join(ImageRow, ImageRow.id == ImageVersionRow.image_id)
        .where(
            ImageRow.builtin.is_(False),
            ImageVersionRow.state == RETIRED,
            ImageVersionRow.retired_at < before,
            ImageVersionRow.removed_at.is_(None),
            ImageVersionRow.digest.is_not(None),
            ~or_(*_uses(ImageVersionRow.digest, before)),
        )
        # What is built on another goes first, so that the layers below it can go as well.
        .order_by(ImageVersionRow.created_at.desc())
    )
    return [(name, version) for name, version in rows]


def _uses(digest: InstrumentedAttribute[str | None], before: datetime) -> list[ColumnElement[bool]]:
    """Everything that may start ``digest``, stands on it, or has used it since ``before``."""
    other, child = aliased(ImageVersionRow), aliased(ImageVersionRow)
    return [
        # The same packages on the same base make the same image.
        exists().where(
            other.digest == digest,
            or_(other.state != RETIRED, other.retired_at >= before),
        ),
        exists().where(
            child.base_digest == digest, child.digest.is_not(None), child.removed_at.is_(None)
        ),
        exists().where(
            child.base_digest == digest,
            BuildRow.image_id == child.image_id,
            BuildRow.version == child.version,
            BuildRow.state.in_(BUILDING),
        ),
        exists().where(
            JobVersionRow.image_digest == digest,
            JobRow.id == JobVersionRow.job_id,
            JobRow.deleted_at.is_(None),
        ),
        exists().where(DeploymentRow.image_digest == digest),
        exists().where(ShareRow.image_digest == digest, ShareRow.expires_at > utcnow()),
        exists().where(
            KernelRow.digest == digest, KernelRow.state.not_in([state.value for state in OVER])
        ),
        exists().where(WarmRow.digest == digest),
        # Workspaces, kernels, runs and replicas, while they run and for the days after.
        exists().where(
            UsageRow.digest == digest,
            or_(UsageRow.ended_at.is_(None), UsageRow.ended_at >= before),
        ),
    ]
