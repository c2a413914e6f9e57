"""Shares: a copy of a notebook, for a user or a group, with the image it ran in."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from perijove.types.base import Wire

#: Most bytes of a shared notebook, outputs and all.
MAX_BYTES = 50_000_000
#: Most bytes of a file's name; file systems end at 255, and a number may be added to it.
NAME_BYTES = 200


#: Joiners without a width, which Persian, Indic scripts and emoji need; all else unseen is refused.
_JOINERS = str.maketrans("", "", "\u200c\u200d")


def _file_name(name: str) -> str:
    if not name.endswith(".ipynb"):
        raise _unfit("It ends in .ipynb")
    if "/" in name or "\\" in name or name.startswith("."):
        raise _unfit("It is the file's own name, without folders and a dot in front")
    seen = name.translate(_JOINERS)
    if not seen.isprintable() or seen != seen.strip():
        odd = next((one for one in seen if not one.isprintable()), " ")
        raise _unfit(f"It is written without U+{ord(odd):04X}, which cannot be seen")
    if (size := len(name.encode(errors="replace"))) > NAME_BYTES:
        raise _unfit(f"It has at most {NAME_BYTES} bytes, and this one has {size}")
    return name


def _unfit(rule: str) -> PydanticCustomError:
    return PydanticCustomError(
        "file_name", "{rule}", {"rule": rule, "fix": "Rename the file, then share it again."}
    )


#: The name of a notebook's file, which is nothing but that in any folder.
FileName = Annotated[
    str,
    AfterValidator(_file_name),
    Field(description="The file's own name, ending in .ipynb, at most 200 bytes", max_length=255),
]


class Box(StrEnum):
    """Which shares to list."""

    received = "received"
    sent = "sent"


class ShareCreate(Wire):
    """Share a notebook with exactly one user or one group."""

    notebook: dict[str, Any]
    """The notebook as nbformat 4 JSON, outputs and all; at most 50 MB."""
    name: FileName
    receiver: str | None = Field(default=None, min_length=1, max_length=255)
    """The user it is for."""
    group: str | None = Field(default=None, min_length=1, max_length=255)
    """The group it is for: one of the sender's."""
    message: str = Field(default="", max_length=2000)
    expires_days: int = Field(default=30, ge=1, le=365)
    server: str = Field(default="", max_length=255)
    """The sender's named server it ran in, whose image goes with it; empty for the default."""


class Share(Wire):
    """What is known of a share besides the notebook itself."""

    id: str
    sender: str
    receiver: str | None
    group: str | None
    name: FileName
    message: str
    image: str | None
    """``NAME@VERSION`` of the image it ran in; null when that is not known."""
    image_digest: str | None
    dismissed: bool
    """Whether the one user it was for has dismissed it, so that there is nothing to take."""
    created_at: datetime
    expires_at: datetime


class Taken(Wire):
    """Where the copy of a share lies now."""

    path: str
    """Relative to what the file browser shows as its root."""
    sender: str
    image: str | None
    image_digest: str | None
