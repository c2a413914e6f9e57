"""``%freeze``."""

from __future__ import annotations

import base64
import json
import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from perijove import environment, images
from perijove.jobs import name_for
from perijove.magics.arguments import Command
from perijove.magics.display import Card, Link, Status, say
from perijove.types.images import Build, BuildState

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

FREEZE = Command(
    "%freeze [NAME] [--build] [--no-wait]",
    words=(0, 1),
    flags={"--build": bool, "--no-wait": bool},
)
#: Packages that a card names.
SHOWN = 12


class _File(Link):
    """A file beside the notebook, which JupyterLab opens."""

    def _repr_html_(self) -> str:
        return f'<a href="{escape(quote(self.url))}">{escape(self.text)}</a>'


class FrozenEnvironment:
    """A captured environment: what ``%freeze`` returns."""

    def __init__(self, frozen: images.Frozen, path: Path, build: Build | None) -> None:
        self.spec = frozen.spec
        self.path = path
        self.build = build
        self._frozen = frozen

    def __repr__(self) -> str:
        return repr(self._card())

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()

    def _card(self) -> Card:
        build = self.build
        image = f"{build.image}@{build.version}" if build else None
        return Card(
            self.spec.name,
            {
                "base": self.spec.base,
                "pip": _some(self.spec.pip) or "as in the base",
                "apt": _some(self.spec.apt) or "as in the base",
                "not in it": "; ".join(self._frozen.left_out) or None,
                "file": _File(self.path.name, self.path.name),
                "image": image,
                "why": build.reason if build else None,
                "next": None
                if build or self._frozen.is_base
                else f"perijove images build {self.path.name}",
                "or": None
                if build or self._frozen.is_base
                else "New image… in the panel, from this file",
            },
            state=build.state.value if build else None,
        )


class ImageMagics:
    """Make an image of what this notebook runs in."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def freeze(self, line: str) -> FrozenEnvironment:
        """Capture this environment as NAME.toml, and build it: ``%freeze geo --build``."""
        given = FREEZE.parse(line)
        frozen = images.freeze(given.words[0] if given.words else _name())
        path = frozen.save(Path.cwd())
        say(f"{path.name} holds this environment.")
        build = None
        if given["--build"] and frozen.is_base:
            say(f"It is what '{frozen.spec.base}' holds: there is nothing to build.")
        elif given["--build"]:
            build = images.build(frozen.spec, wait=False)
            if not given["--no-wait"]:
                build = _followed(build)
        return FrozenEnvironment(frozen, path, build)


def packed() -> str:
    """Return what ``%freeze`` captures as base64 of JSON, for JupyterLab's form.

    It asks a kernel by an expression, whose value comes back as Python writes it.
    """
    frozen = images.freeze(_name())
    captured = {"spec": frozen.spec.model_dump(mode="json"), "left_out": frozen.left_out}
    return base64.b64encode(json.dumps(captured).encode()).decode()


def _name() -> str:
    """Name the image after the notebook, or else after its base."""
    if notebook := os.environ.get("JPY_SESSION_NAME", ""):
        return name_for(notebook)
    base, _, _ = (environment.image() or "environment").partition("@")
    return f"my-{base}"[:63]


def _followed(build: Build) -> Build:
    """Show a build's way to its end; Ctrl-C ends the looking and not the build."""
    latest = build
    with Status() as status:

        def look(seen: Build) -> None:
            nonlocal latest
            latest = seen
            status.show(progress(seen), state=seen.state.value)

        try:
            images.wait(build.id, follow=look)
        except KeyboardInterrupt:
            status.show(f"{build.image}@{build.version}: the build goes on", state=None)
    return latest


def progress(build: Build) -> str:
    """Say how far a build has got, in one line."""
    text = f"{build.image}@{build.version}"
    if build.state is BuildState.running and build.steps:
        text += f": step {build.step} of {build.steps}, {build.step_name}"
    elif build.reason:
        text += f": {build.reason}"
    return text


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
