"""Images: vetted environments, their versions, and the builds that make them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from perijove.types.base import Name, Owned, Visibility, Wire

#: ``NAME`` or ``NAME@VERSION``.
REFERENCE_PATTERN = r"^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?(?:@[1-9][0-9]{0,8})?$"

Reference = Annotated[
    str,
    StringConstraints(pattern=REFERENCE_PATTERN),
    Field(description="NAME for the current version of an image, or NAME@VERSION"),
]

APT_PATTERN = r"^[a-z0-9][a-z0-9+.-]{0,99}(?::[a-z0-9-]{1,20})?(?:=[A-Za-z0-9.+:~-]{1,100})?$"
CONDA_PATTERN = r"^[a-z0-9_][a-z0-9_.-]{0,99}(?:(?:==?|>=|<=|~=|>|<)[A-Za-z0-9.*+!_,<>=-]{1,100})?$"

#: A package as Debian names it, with a version or a release if need be.
AptPackage = Annotated[
    str,
    StringConstraints(pattern=APT_PATTERN),
    Field(description="NAME or NAME=VERSION"),
]
#: A package as conda names it, with a version if need be.
CondaPackage = Annotated[
    str,
    StringConstraints(pattern=CONDA_PATTERN),
    Field(description="NAME or NAME=VERSION"),
]
#: A requirement as PEP 508 has it; neither options, paths nor addresses.
PipRequirement = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class ImageSpec(Wire):
    """What an image is made of."""

    name: Name
    description: str = Field(default="", max_length=2000)
    base: Reference = "cpu"
    """An approved image to start from."""
    apt: list[AptPackage] = Field(default=[], max_length=500)
    """Debian packages."""
    pip: list[PipRequirement] = Field(default=[], max_length=1000)
    """Requirements, such as ``polars>=1.9``; no options, paths or addresses."""
    requirements: str = Field(default="", max_length=100_000)
    """The text of a requirements file, added to ``pip``."""
    conda: list[CondaPackage] = Field(default=[], max_length=500)
    """Packages for a base that has conda."""
    visibility: Visibility | None = None
    """Null for private, or, with a new version, for what the image has."""
    group: str | None = None


class ImageBuild(Wire):
    """Build an image: a new one, or the next version of the caller's image of that name."""

    spec: ImageSpec
    approve: bool = False
    """Approve it at once when its tests pass; for administrators."""


class ImageState(StrEnum):
    """A version's life: draft → tested → approved → retired."""

    draft = "draft"
    tested = "tested"
    approved = "approved"
    retired = "retired"


class BuildState(StrEnum):
    """A build's life: queued → running → one of the rest."""

    queued = "queued"
    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    cancelled = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether the build has ended."""
        return self not in (BuildState.queued, BuildState.running)


class Build(Wire):
    """The making of one version."""

    id: str
    image: Name
    version: int
    state: BuildState
    reason: str | None = None
    """Why it ended as it did, for people; set whenever ``state`` is failed or cancelled."""
    requested_by: str
    step: int = 0
    """Number of the step it is at, from 1; 0 before the first."""
    steps: int = 0
    step_name: str = ""
    """``apt``, ``pip``, ``conda``, ``packages`` or ``test``."""
    queued_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None


class ImageVersion(Wire):
    """One build of an image; only an approved one starts."""

    version: int
    state: ImageState
    digest: str | None = None
    """The engine's id, ``sha256:…``; null until it is built."""
    base_digest: str | None = None
    spec: ImageSpec | None = None
    """Null for images shipped with Perijove."""
    interfaces: list[str] = []
    gpu: bool = False
    size_bytes: int | None = None
    smoke_test: str | None = None
    """What the smoke test said when it failed."""
    created_by: str
    created_at: datetime
    approved_by: str | None = None
    approved_at: datetime | None = None
    removed_at: datetime | None = None
    """When it was removed from the engine, to free its disk; ``spec`` stays to build it again."""
    build: Build | None = None
    """How it was made; null for images shipped with Perijove."""


class Image(Owned):
    """A named environment."""

    id: str
    name: Name
    description: str = ""
    current: int | None = None
    """The version that starts when none is named."""
    size_bytes: int | None = None
    """Of the current version."""
    builtin: bool = False
    latest: ImageVersion
    """The newest version, whatever its state."""


class Package(Wire):
    """A package in a version of an image."""

    manager: str
    """``pip``, ``apt`` or ``conda``."""
    name: str
    version: str


class Rollback(Wire):
    """Make another approved version the current one."""

    version: int = Field(ge=1, le=2**31 - 1)


class Choice(Wire):
    """An image that somebody can start now: the current version, by digest."""

    name: Name
    version: int
    digest: str
    description: str = ""
    interfaces: list[str] = []
    gpu: bool = False
    size_bytes: int | None = None
    builtin: bool = False
    owner: str
