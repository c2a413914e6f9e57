"""The environment this code runs in, as a specification that makes an image of it."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from perijove import environment
from perijove.exceptions import PerijoveError
from perijove.specification import to_toml
from perijove.types.base import Page
from perijove.types.images import ImageSpec, Package

#: The first line of what ``save`` writes, by which it knows its own files.
_MARK = "# What an environment held when it was frozen; see `perijove images build`.\n"


class NotFrozen(PerijoveError):
    """This environment cannot be captured; ``str()`` says why."""


@dataclass(frozen=True)
class Frozen:
    """A captured environment."""

    spec: ImageSpec
    digest: str | None
    """Of the base."""
    left_out: list[str] = field(default_factory=list)
    """What a build could not install, each with the reason."""

    @property
    def is_base(self) -> bool:
        """Whether nothing was added to the base."""
        return not (self.spec.pip or self.spec.apt)

    def toml(self) -> str:
        """Write the specification as TOML."""
        left_out = [f"Not in it: {text}" for text in self.left_out]
        return _MARK + to_toml(self.spec, comments=left_out, base_note=self.digest or "")

    def save(self, folder: Path) -> Path:
        """Write ``NAME.toml``; raises ``NotFrozen`` rather than replace a file of another's."""
        path = folder / f"{self.spec.name}.toml"
        try:
            if path.exists() and not path.read_text(encoding="utf-8").startswith(_MARK):
                raise NotFrozen(
                    f"{path.name} is there already and was not written by %freeze: rename it, or "
                    "freeze under another name."
                )
            path.write_text(self.toml(), encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise NotFrozen(f"{path.name} cannot be written: {why}.") from None
        return path


def freeze(name: str) -> Frozen:
    """Capture what is installed here beyond the image that this runs in.

    Raises ``NotFrozen`` outside of an image, and what the control plane says of the image.
    """
    base = environment.image()
    if base is None:
        raise NotFrozen(
            "This does not run in an image (PERIJOVE_IMAGE is not set), so there is no base to "
            "freeze upon. Start the workspace from an image, or write the specification by hand."
        )
    held = _held(base)
    pip, left_out = _pip({one.name: one.version for one in held if one.manager == "pip"})
    apt = _apt({one.name for one in held if one.manager == "apt"})
    return Frozen(ImageSpec(name=name, base=base, pip=pip, apt=apt), environment.digest(), left_out)


def _held(base: str) -> list[Package]:
    """Ask what is in the base."""
    from perijove.client import Client
    from perijove.types.images import Image

    name, _, number = base.partition("@")
    found: list[Package] = []
    with Client() as client:
        version = number or client.get(Image, f"/images/{name}").current
        cursor = None
        while True:
            page = client.get(
                Page[Package],
                f"/images/{name}/versions/{version}/packages",
                limit=500,
                cursor=cursor,
            )
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return found


def _pip(base: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the requirements beyond ``base``, and what no index has."""
    wanted: dict[str, str] = {}
    left_out: list[str] = []
    seen: set[str] = set()
    for one in importlib.metadata.distributions():
        shown = one.metadata["Name"] if one.metadata else None
        if not shown:
            continue
        name = re.sub(r"[-_.]+", "-", shown).lower()
        # The first one found is the one that Python imports.
        if name in seen:
            continue
        seen.add(name)
        if base.get(name) == one.version:
            continue
        if one.read_text("direct_url.json"):
            left_out.append(f"{name} {one.version}, which was not installed from an index")
        else:
            wanted[name] = f"{name}=={one.version}"
    return [wanted[name] for name in sorted(wanted)], sorted(left_out)


def _apt(base: set[str]) -> list[str]:
    """Return the Debian packages beyond ``base``, where there are any at all."""
    if not base or not shutil.which("dpkg-query"):
        return []
    listed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}\t${Package}\n"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    rows = [line.partition("\t") for line in listed.splitlines()]
    return sorted({name for status, _, name in rows if status.startswith("ii")} - base)
