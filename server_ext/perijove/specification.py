"""What an image is made of, as a file of TOML: read with every mistake said, and written."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence

from pydantic import ValidationError

from perijove.exceptions import PerijoveError
from perijove.types.base import Problem
from perijove.types.faults import first_fault
from perijove.types.images import ImageSpec


class NotASpecification(PerijoveError):
    """A text that no image can be built from; ``problem.field`` is the key at fault, if one is."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(" ".join(filter(None, (problem.detail, problem.fix))))


def parse(text: str, *, name: str) -> ImageSpec:
    """Read a specification; ``name`` is its file's, for people. Raises ``NotASpecification``."""
    try:
        return ImageSpec.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        detail = f"{name} is not valid TOML: {error}."
        raise NotASpecification(
            Problem(title="Not a specification", status=422, detail=detail)
        ) from None
    except ValidationError as error:
        raise NotASpecification(first_fault(error)) from None


def to_toml(spec: ImageSpec, *, comments: Sequence[str] = (), base_note: str = "") -> str:
    """Write a specification as ``perijove images build`` takes it.

    ``comments`` stand above it, each on a line; ``base_note`` stands beside the base.
    """
    note = f"  # {base_note}" if base_note else ""
    lines = [f"# {' '.join(text.split())}" for text in comments]
    lines.append(f"name = {_text(spec.name)}")
    if spec.description:
        lines.append(f"description = {_text(spec.description)}")
    lines.append(f"base = {_text(spec.base)}{note}")
    for key, values in (("apt", spec.apt), ("pip", spec.pip), ("conda", spec.conda)):
        if values:
            lines += [f"{key} = [", *(f"    {_text(value)}," for value in values), "]"]
    if spec.requirements:
        lines.append(f"requirements = {_text(spec.requirements)}")
    if spec.visibility:
        lines.append(f"visibility = {_text(spec.visibility.value)}")
    if spec.group:
        lines.append(f"group = {_text(spec.group)}")
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    # What JSON escapes, TOML escapes alike; it takes all other characters as they are.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
