"""Rows as messages."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from perijove.types.base import Visibility
from perijove.types.images import (
    Build,
    BuildState,
    Image,
    ImageSpec,
    ImageState,
    ImageVersion,
)
from perijove_hub.store.models import BuildRow, ImageRow, ImageVersionRow


def build(row: BuildRow, image: str) -> Build:
    """Tell of one build."""
    return Build(
        id=row.id,
        image=image,
        version=row.version,
        state=BuildState(row.state),
        reason=row.reason,
        requested_by=row.requested_by,
        step=row.step,
        steps=row.steps,
        step_name=row.step_name,
        queued_at=row.queued_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )


def versions(session: Session, image: str, rows: Sequence[ImageVersionRow]) -> list[ImageVersion]:
    """Tell of versions of one image, each with its build."""
    ids = {row.image_id for row in rows}
    builds = {
        (row.image_id, row.version): row
        for row in session.scalars(select(BuildRow).where(BuildRow.image_id.in_(ids)))
    }
    return [_version(row, builds.get((row.image_id, row.version)), image) for row in rows]


def images(session: Session, rows: Sequence[ImageRow]) -> list[Image]:
    """Tell of images, with as many queries for one as for many."""
    ids = [row.id for row in rows]
    newest = (
        select(ImageVersionRow.image_id, func.max(ImageVersionRow.version).label("version"))
        .where(ImageVersionRow.image_id.in_(ids))
        .group_by(ImageVersionRow.image_id)
        .subquery()
    )
    found = session.execute(
        select(ImageVersionRow, BuildRow)
        .join(
            newest,
            (ImageVersionRow.image_id == newest.c.image_id)
            & (ImageVersionRow.version == newest.c.version),
        )
        .outerjoin(
            BuildRow,
            (BuildRow.image_id == ImageVersionRow.image_id)
            & (BuildRow.version == ImageVersionRow.version),
        )
    )
    latest = {version.image_id: (version, made) for version, made in found}
    current = session.execute(
        select(ImageRow.id, ImageVersionRow.size_bytes)
        .join(
            ImageVersionRow,
            (ImageVersionRow.image_id == ImageRow.id)
            & (ImageVersionRow.version == ImageRow.current),
        )
        .where(ImageRow.id.in_(ids))
    )
    sizes = {key: size for key, size in current}  # noqa: C416 - rows are no pairs to mypy
    return [
        Image(
            id=row.id,
            name=row.name,
            description=row.description,
            owner=row.owner,
            group=row.group,
            visibility=Visibility(row.visibility),
            created_at=row.created_at,
            updated_at=row.updated_at,
            current=row.current,
            size_bytes=sizes.get(row.id),
            builtin=row.builtin,
            latest=_version(*latest[row.id], row.name),
        )
        for row in rows
    ]


def _version(row: ImageVersionRow, made: BuildRow | None, image: str) -> ImageVersion:
    return ImageVersion(
        version=row.version,
        state=ImageState(row.state),
        digest=row.digest,
        base_digest=row.base_digest,
        spec=ImageSpec.model_validate(row.spec) if row.spec else None,
        interfaces=list(row.interfaces),
        gpu=row.gpu,
        size_bytes=row.size_bytes,
        smoke_test=row.smoke_test,
        created_by=row.created_by,
        created_at=row.created_at,
        approved_by=row.approved_by,
        approved_at=row.approved_at,
        removed_at=row.removed_at,
        build=build(made, image) if made else None,
    )
