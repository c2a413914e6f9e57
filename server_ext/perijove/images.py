"""Images from Python: ``build``, ``freeze``, ``list``, ``show``, ``packages``, ``approve`` ….

Everything goes through the control plane, as whoever the environment says.
"""

from __future__ import annotations

import builtins
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from perijove.client import Client
from perijove.exceptions import PerijoveError, Unreachable
from perijove.following import PERIOD, until_ended
from perijove.frozen import Frozen, NotFrozen, freeze
from perijove.specification import parse, to_toml
from perijove.types.images import (
    Build,
    Image,
    ImageBuild,
    ImageSpec,
    ImageVersion,
    Package,
    Rollback,
)
from perijove.types.jobs import LogChunk

__all__ = [
    "Frozen",
    "NotFrozen",
    "approve",
    "build",
    "cancel",
    "freeze",
    "list",
    "load",
    "log",
    "packages",
    "retire",
    "rollback",
    "show",
    "spec",
    "version",
    "versions",
    "wait",
]


class ImageError(PerijoveError):
    """An image, version or build is not to be found, or a specification cannot be read."""


def load(path: str | Path) -> ImageSpec:
    """Read a specification from a TOML file; raises ``ImageError`` or ``NotASpecification``."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ImageError(f"{path} is not UTF-8 text, so not TOML. Save it as UTF-8.") from None
    return parse(text, name=str(path))


def build(
    spec: ImageSpec | str | Path,
    *,
    approve: bool = False,
    wait: bool = True,
    follow: Callable[[Build], None] = lambda build: None,
) -> Build:
    """Build an image from a specification or a TOML file.

    With ``wait`` it returns when the build has ended, however it ended; ``follow`` is called
    with each look. ``approve`` is for administrators.
    """
    body = ImageBuild(spec=spec if isinstance(spec, ImageSpec) else load(spec), approve=approve)
    with Client() as client:
        # The same key twice, so that it happens once though an answer may be lost.
        key = uuid.uuid4().hex
        try:
            started = client.post(Build, "/images", body, key=key)
        except Unreachable:
            started = client.post(Build, "/images", body, key=key)
    return until_ended(f"/builds/{started.id}", started, follow) if wait else started


def wait(build_id: str, *, follow: Callable[[Build], None] = lambda build: None) -> Build:
    """Wait until a build has ended; ``follow`` is called with each look at it."""
    path = f"/builds/{quote(build_id, safe='')}"
    with Client() as client:
        found = client.get(Build, path)
    return until_ended(path, found, follow)


def list(  # noqa: A001 - the grammar's word
    q: str = "",
    *,
    owner: str | None = None,
    state: str | None = None,
    package: str | None = None,
) -> builtins.list[Image]:
    """Return the images you may see, by name; ``package`` is one of the current version."""
    with Client() as client:
        query = {"q": q or None, "owner": owner, "state": state, "package": package}
        return builtins.list(client.pages(Image, "/images", **query))


def show(name: str) -> Image:
    """Return the image of this name."""
    with Client() as client:
        return client.get(Image, _path(name))


def versions(name: str) -> builtins.list[ImageVersion]:
    """Return an image's versions, newest first."""
    with Client() as client:
        return builtins.list(client.pages(ImageVersion, f"{_path(name)}/versions"))


def version(reference: str) -> ImageVersion:
    """Return one version: ``NAME@VERSION``, or ``NAME`` for the current one."""
    with Client() as client:
        return client.get(ImageVersion, _version(client, reference))


def spec(reference: str) -> str:
    """Return what a version was built from, as TOML that ``build`` takes."""
    found = version(reference)
    if found.spec is None:
        raise ImageError(f"'{reference}' came with Perijove: it was not built here.")
    return to_toml(found.spec)


def packages(reference: str, q: str = "") -> builtins.list[Package]:
    """Return what is in a version, by name; ``q`` is part of the name."""
    with Client() as client:
        path = f"{_version(client, reference)}/packages"
        return builtins.list(client.pages(Package, path, q=q or None, limit=500))


def approve(reference: str) -> ImageVersion:
    """Let a tested version start; for administrators."""
    with Client() as client:
        return client.post(ImageVersion, f"{_version(client, reference)}/approve")


def retire(reference: str) -> ImageVersion:
    """Let a version start no more; what runs from it goes on."""
    with Client() as client:
        return client.post(ImageVersion, f"{_version(client, reference)}/retire")


def rollback(name: str, version: int) -> Image:
    """Make another approved version the current one."""
    with Client() as client:
        return client.post(Image, f"{_path(name)}/rollback", Rollback(version=version))


def log(reference: str, *, follow: bool = False) -> Iterator[str]:
    """Yield the log of the build of a version, as far as there is one now.

    With ``follow`` it goes on until the build has ended.
    """
    with Client() as client:
        path = f"/builds/{_build_of(client, reference).id}/log"
        offset = 0
        while True:
            chunk = client.get(LogChunk, path, offset=offset)
            if chunk.text:
                yield chunk.text
            if chunk.ended or (chunk.next_offset == offset and not follow):
                return
            if chunk.next_offset == offset:
                time.sleep(PERIOD)
            offset = chunk.next_offset


def cancel(reference: str) -> Build:
    """Cancel the build of a version; one that has ended stays as it is."""
    with Client() as client:
        return client.post(Build, f"/builds/{_build_of(client, reference).id}/cancel")


def _path(name: str) -> str:
    return f"/images/{quote(name, safe='')}"


def _version(client: Client, reference: str) -> str:
    """Return the path of a version; ``NAME`` is the current one, or the newest."""
    name, at, number = reference.partition("@")
    if not at:
        image = client.get(Image, _path(name))
        number = str(image.current or image.latest.version)
    elif not number.isdecimal():
        raise ImageError(f"'{reference}' is not NAME@VERSION, such as {name or 'geo'}@3.")
    return f"{_path(name)}/versions/{number}"


def _build_of(client: Client, reference: str) -> Build:
    """Return the build of a version; ``NAME`` is the newest one."""
    if "@" in reference:
        found = client.get(ImageVersion, _version(client, reference))
    else:
        found = client.get(Image, _path(reference)).latest
    if found.build is None:
        raise ImageError(f"'{reference}' came with Perijove: it was not built here.")
    return found.build
