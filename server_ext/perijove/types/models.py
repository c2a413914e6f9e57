"""Models, their versions in MLflow's registry, and deployments of them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from perijove.types.base import Name, Owned, Visibility, Wire
from perijove.types.images import Reference


class DeploymentState(StrEnum):
    """Where a deployment stands."""

    starting = "starting"
    ready = "ready"
    failed = "failed"
    stopping = "stopping"


class ModelVersion(Wire):
    """One version in MLflow's registry."""

    version: int
    run_id: str | None = None
    user: str = ""
    created_at: datetime
    aliases: list[str] = []
    deployed_as: list[str] = []
    """Names of the deployments that serve it, as far as the caller may see them."""


class Model(Wire):
    """A registered model and its versions, newest first."""

    name: str
    description: str = ""
    versions: list[ModelVersion] = []


class SignatureColumn(Wire):
    """One input or output of a model."""

    name: str | None
    type: str
    required: bool = True


class DeploymentCreate(Wire):
    """Serve one version of a model under a stable URL."""

    model: str = Field(min_length=1, max_length=256)
    version: int = Field(ge=1, le=2**31 - 1)
    name: Name | None = None
    """Null to derive it from the model's name."""
    visibility: Visibility | None = None
    """Who may call it; null for ``private``, or for leaving an existing deployment's as it is."""
    group: str | None = None
    image: Reference | None = None
    """The image its replicas start from; null for the platform's default."""


class Deployment(Owned):
    """A stable URL and what answers behind it."""

    name: Name
    model: str
    version: int
    state: DeploymentState
    reason: str | None = None
    image: str | None = None
    """``NAME@VERSION`` of the image its replicas start from; null for the platform's default."""
    url: str
    """Where to POST, such as ``http://…/services/serve/NAME/invocations``."""
    inputs: list[SignatureColumn] = []
    outputs: list[SignatureColumn] = []
    input_example: dict[str, Any] | None = None
    """A body ``/invocations`` accepts, when the model was logged with one."""
