"""The image a shared notebook ran in, as the record of its sender's workspace has it."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove_hub.store.models import ImageRow, ImageVersionRow, WorkspaceRow


def image_of(session: Session, user: str, server: str) -> tuple[str | None, str | None]:
    """Return ``NAME@VERSION`` and digest of the image of a workspace; nulls when not known."""
    row = session.get(WorkspaceRow, (user, server))
    if row is None:
        return None, None
    name, version = row.choice.get("image"), row.choice.get("version")
    if not isinstance(name, str) or not isinstance(version, int):
        return None, None
    digest = session.scalar(
        select(ImageVersionRow.digest)
        .join(ImageRow, ImageRow.id == ImageVersionRow.image_id)
        .where(ImageRow.name == name, ImageVersionRow.version == version)
    )
    return (f"{name}@{version}", digest) if digest is not None else (None, None)
