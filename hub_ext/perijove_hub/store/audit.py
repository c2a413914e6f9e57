"""The audit log: who did what to which object, written with the change itself."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from perijove.types.base import Principal
from perijove_hub.store.models import AuditRow


def record(session: Session, actor: Principal | str, verb: str, target: str, **detail: Any) -> None:
    """Add an entry to the transaction of the change it tells of; never a secret."""
    name = actor if isinstance(actor, str) else actor.name
    session.add(AuditRow(actor=name, verb=verb, object=target, detail=detail))
