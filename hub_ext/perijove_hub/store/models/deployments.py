"""Deployments and their replicas."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ForeignKey,
    String,
    Text,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column

from perijove_hub.store.models.base import Base, OwnedRow, Timestamps, new_id


class DeploymentRow(OwnedRow, Base):
    """A stable URL; names are unique because the URL holds nothing else."""

    __tablename__ = "deployments"

    name: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(32), unique=True, default=new_id)
    model: Mapped[str]
    version: Mapped[int]
    workspace: Mapped[str]
    """The MLflow workspace the version was resolved in."""
    state: Mapped[str] = mapped_column(String(16), default="starting")
    reason: Mapped[str | None] = mapped_column(Text)
    inputs: Mapped[list[Any]] = mapped_column(default=list)
    outputs: Mapped[list[Any]] = mapped_column(default=list)
    input_example: Mapped[dict[str, Any] | None]
    image: Mapped[str | None]
    """``NAME@VERSION`` of the image its replicas run in; null for the default."""
    image_digest: Mapped[str | None] = mapped_column(String(80))
    generation: Mapped[int] = mapped_column(default=1)
    """Grows with every change of model or version; replicas carry the one they serve."""
    stopping: Mapped[bool] = mapped_column(default=False, server_default=false())


class ReplicaRow(Timestamps, Base):
    """One serving workload."""

    __tablename__ = "replicas"

    workload: Mapped[str] = mapped_column(primary_key=True)
    """The launcher's name for it, made of the deployment's id, generation and attempt."""
    deployment: Mapped[str] = mapped_column(
        ForeignKey("deployments.name", ondelete="CASCADE"), index=True
    )
    generation: Mapped[int]
    version: Mapped[int] = mapped_column(default=0, server_default="0")
    """The model version it serves, to tell people of after the deployment has moved on."""
    attempt: Mapped[int] = mapped_column(default=1)
    address: Mapped[str | None]
    """``host:port`` once it listens."""
    state: Mapped[str] = mapped_column(String(16), default="starting")
    """``starting``, ``ready``, ``failed``, ``lost`` (gone without a trace) or ``stopped``."""
    reason: Mapped[str | None] = mapped_column(Text)
