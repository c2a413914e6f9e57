"""What every wire type shares: strictness, pages, problems, identities, rights."""

from __future__ import annotations

import sys
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

T = TypeVar("T")

NAME_PATTERN = r"^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$"
#: The same for people.
NAME_RULE = (
    "lower-case letters, digits, '.', '_' and '-', a letter or digit at both ends; "
    "1 to 63 characters"
)

#: A name a person gives to a job, deployment or source: it is part of URLs and file names.
Name = Annotated[
    str,
    StringConstraints(pattern=NAME_PATTERN),
    Field(description="Lower-case letters, digits, '.', '_' and '-'; 1 to 63 characters"),
]

#: An instant, always with its UTC offset.
Instant = AwareDatetime


class Wire(BaseModel):
    """A message between Perijove's parts; a field nobody knows is an error, not noise."""

    # Only the control plane shows the descriptions, in its OpenAPI document. Reading them parses
    # every model's source, which a kernel or a workspace would wait for at its start.
    model_config = ConfigDict(
        extra="forbid", use_attribute_docstrings="perijove_hub" in sys.modules
    )


class Page(Wire, Generic[T]):
    """One page of a list; ``next_cursor`` is opaque and null on the last page."""

    items: list[T]
    next_cursor: str | None = None


class Problem(BaseModel):
    """An error as RFC 9457 has it, with the field at fault and how to mend it."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    field: str | None = None
    """Dotted path of the field at fault."""
    fix: str | None = None
    """What to do, in one sentence."""


class Visibility(StrEnum):
    """Who may see an object besides its owner and the administrators."""

    private = "private"
    group = "group"
    everyone = "everyone"


class Principal(Wire):
    """The caller, as the Hub (or a run's own token) identifies them."""

    name: str
    kind: str = "user"
    """``user``, ``service`` or ``run``."""
    run: str | None = None
    """The job run whose own token it is."""
    groups: list[str] = []
    admin: bool = False
    scopes: list[str] = []


class Owned(Wire):
    """Fields of everything that belongs to someone."""

    owner: str
    """The user who owns it."""
    group: str | None = None
    """The group it is shared with when ``visibility`` is ``group``."""
    visibility: Visibility = Visibility.private
    created_at: datetime
    updated_at: datetime
