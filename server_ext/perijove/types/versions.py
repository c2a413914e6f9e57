"""What has changed from one version of a job to another."""

from __future__ import annotations

from enum import StrEnum

from perijove.types.base import Wire
from perijove.types.jobs import Input, Parameter


class Change(StrEnum):
    """What became of a part."""

    added = "added"
    removed = "removed"
    changed = "changed"
    moved = "moved"
    """The same cell stands elsewhere among the others."""


class CellChange(Wire):
    """A cell that is not the same in both."""

    change: Change
    cell_type: str
    before: int | None = None
    """Its index in the earlier notebook; null when it was added."""
    after: int | None = None
    """Its index in the later one; null when it was removed."""
    lines: list[str] = []
    """Its source: each line begins with a space (the same in both), ``-`` (only in the earlier) or
    ``+`` (only in the later); ``@@ … @@`` stands for lines that are left out."""
    metadata: bool = False
    """Whether its metadata, such as its tags, differ too."""


class ParameterChange(Wire):
    """A parameter that is not the same in both."""

    name: str
    before: Parameter | None = None
    after: Parameter | None = None


class InputChange(Wire):
    """A file that is not the same in both."""

    path: str
    before: Input | None = None
    after: Input | None = None


class ImageChange(Wire):
    """The images that runs start from; null is the platform's default."""

    before: str | None
    after: str | None


class VersionDiff(Wire):
    """How one version of a job differs from another."""

    before: int
    after: int
    same: bool
    """Whether they run the same: their digests are equal."""
    cells: list[CellChange] = []
    """In the order of the later notebook; removed ones stand where they were."""
    metadata: bool = False
    """Whether the notebook's own metadata differ, such as its kernel."""
    parameters: list[ParameterChange] = []
    inputs: list[InputChange] = []
    image: ImageChange | None = None
    """Null when it is the same."""
    cut: bool = False
    """Whether lines were left out because there are too many."""
