"""A build's state in the database. Every write is fenced by the epoch its writer took.

A worker that was thought dead and writes late finds another epoch and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from perijove.types.images import BuildState, ImageState, Package
from perijove_hub.images import service
from perijove_hub.store import audit
from perijove_hub.store.models import BuildRow, ImageRow, ImageVersionRow, utcnow

QUEUED, RUNNING = BuildState.queued.value, BuildState.running.value


@dataclass(frozen=True)
class Made:
    """What a build that succeeded made."""

    digest: str
    size: int
    packages: Sequence[Package]


@dataclass(frozen=True)
class Ending:
    """How a build ended."""

    state: BuildState
    reason: str | None = None
    untested: str | None = None
    """What the smoke test said when it failed."""
    made: Made | None = None
    log_sha256: str | None = None


def queued(session: Session, limit: int) -> Sequence[BuildRow]:
    """Return the builds that wait longest."""
    rows = select(BuildRow).where(BuildRow.state == QUEUED)
    return session.scalars(rows.order_by(BuildRow.queued_at, BuildRow.id).limit(limit)).all()


def running(session: Session) -> Sequence[BuildRow]:
    """Return the builds that some worker carries out."""
    return session.scalars(select(BuildRow).where(BuildRow.state == RUNNING)).all()


def claim(session: Session, build: BuildRow) -> int | None:
    """Take a queued build; return the epoch to write with, or ``None`` when it is gone."""
    epoch = build.epoch + 1
    taken = _change(
        session,
        build.id,
        build.epoch,
        QUEUED,
        state=RUNNING,
        epoch=epoch,
        reason=None,
        started_at=utcnow(),
    )
    return epoch if taken else None


def adopt(session: Session, build: BuildRow) -> int | None:
    """Take over a running build of a worker that is gone, which can then write no more."""
    epoch = build.epoch + 1
    return epoch if _change(session, build.id, build.epoch, RUNNING, epoch=epoch) else None


def waits(session: Session, build: BuildRow, reason: str) -> None:
    """Say why a queued build does not begin."""
    if build.reason != reason:
        _change(session, build.id, build.epoch, QUEUED, reason=reason)


def progressed(
    session: Session, build_id: str, epoch: int, *, step: int, steps: int, name: str
) -> bool:
    """Record which step a build is at; false when it is another worker's by now."""
    return _change(session, build_id, epoch, RUNNING, step=step, steps=steps, step_name=name)


def again(session: Session, build_id: str, epoch: int) -> bool:
    """Count another attempt, after something outside ended a step."""
    return _change(session, build_id, epoch, RUNNING, attempt=BuildRow.attempt + 1)


def finish(session: Session, build_id: str, epoch: int, ending: Ending, *, approval: bool) -> bool:
    """Record how a build ended; ``approval`` is whether what passed its tests still waits."""
    changed = _change(
        session,
        build_id,
        epoch,
        RUNNING,
        state=ending.state.value,
        reason=ending.reason,
        log_sha256=ending.log_sha256,
        ended_at=utcnow(),
    )
    if not changed:
        return False
    build = session.get_one(BuildRow, build_id)
    image = session.get_one(ImageRow, build.image_id)
    version = session.get_one(ImageVersionRow, (build.image_id, build.version))
    version.smoke_test = ending.untested
    audit.record(
        session,
        build.requested_by,
        f"image.build.{ending.state.value}",
        f"image/{image.name}",
        version=build.version,
        build=build.id,
        digest=ending.made.digest if ending.made else None,
    )
    if ending.made is not None:
        version.digest, version.size_bytes = ending.made.digest, ending.made.size
        version.state = ImageState.tested.value
        service.record_packages(session, version, ending.made.packages)
        if build.approve or not approval:
            approve(session, image, version, by=build.requested_by)
    return True


def approve(session: Session, image: ImageRow, version: ImageVersionRow, *, by: str) -> None:
    """Let a tested version start, as the image's current one unless a newer one is."""
    version.state = ImageState.approved.value
    version.approved_by, version.approved_at = by, utcnow()
    if image.current is None or version.version > image.current:
        image.current = version.version
    audit.record(
        session,
        by,
        "image.approve",
        f"image/{image.name}",
        version=version.version,
        digest=version.digest,
    )


def _change(session: Session, build_id: str, epoch: int, state: str, /, **values: Any) -> bool:
    """Write if the build is still in ``state`` and the writer's; tell whether it was."""
    result = session.execute(
        update(BuildRow)
        .where(BuildRow.id == build_id, BuildRow.epoch == epoch, BuildRow.state == state)
        .values(**values)
        .execution_options(synchronize_session="fetch")
    )
    assert isinstance(result, CursorResult)  # noqa: S101 - for the type checker
    return result.rowcount == 1
