"""The image a shared notebook ran in, as the record of its sender's workspace has it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from perijove_hub.store.models import WorkspaceRow


def image_of(session: Session, user: str, server: str) -> tuple[str | None, str | None]:
    """Return ``NAME@VERSION`` and digest of what a workspace last ran in.

    Nulls for a workspace that never started, and for local ones, which have no image.
    """
    row = session.get(WorkspaceRow, (user, server))
    ran = row.choice if row is not None else {}
    return ran.get("runs"), ran.get("digest")
