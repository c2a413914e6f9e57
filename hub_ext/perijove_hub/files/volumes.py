"""Volumes of the Docker engine that stand for NFS exports, and those named in the settings.

The engine's client is an extra, loaded when a volume is first asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from perijove_hub.context import Context
from perijove_hub.engine import Mount, Names, Sandbox
from perijove_hub.files.exceptions import FilesError
from perijove_hub.files.places import Nfs
from perijove_hub.store.models import ImageRow, ImageVersionRow

if TYPE_CHECKING:
    import docker

#: Makes a home in the export's folder, which is mounted at /homes: in one step, as hosts' are.
_MAKE_HOME = """
import os, secrets, sys
home = "/homes/" + sys.argv[1]
if not os.path.lexists(home):
    partial = "/homes/.new-" + secrets.token_hex(8)
    os.mkdir(partial, 0o700)
    os.symlink("/shared", partial + "/shared")
    os.rename(partial, home)
"""


def nfs_volume(context: Context, kind: str, name: str, place: Nfs) -> str:
    """Make sure of the volume that mounts ``place``, and return its name.

    The name holds a digest of the place, because an engine never changes a volume: another
    place in the settings is another volume. Raises ``FilesError``.
    """
    names = Names.of(context.data.root)
    digest = hashlib.sha256(f"{place.server} {place.path}".encode()).hexdigest()[:8]
    volume = names.container(kind, name, digest)
    with _engine(f"the volume {volume}") as client:
        _ensure(client, volume, options=nfs_options(place), labels=names.labels)
    return volume


def nfs_options(place: Nfs) -> dict[str, str]:
    """Return the local driver's options that mount ``place``."""
    return {
        "type": "nfs",
        # Nothing of a user's becomes a device or gains rights, on whichever host.
        "o": f"addr={place.server},rw,nosuid,nodev,nfsvers=4",
        "device": f":{place.path}",
    }


def make_home(context: Context, place: Nfs, folder: str) -> None:
    """Make ``folder`` in the export ``place``, from a container: the host does not mount it.

    Raises ``FilesError``.
    """
    volume = nfs_volume(context, "homes", "all", place)
    make_home_in(context, volume, folder)


def make_home_in(context: Context, volume: str, folder: str) -> None:
    """Make ``folder`` in a volume as the images' user, unless it is there.

    Raises ``FilesError``.
    """
    names = Names.of(context.data.root)
    sandbox = Sandbox("none", memory_mb=256, mounts=[Mount(volume, "/homes")])
    with _engine("the homes' NFS export") as client:
        api = client.api
        made = api.create_container(
            _image(context),
            ["python3", "-c", _MAKE_HOME, folder],
            entrypoint=[],
            user=sandbox.user,
            labels={**names.labels, "perijove.kind": "home"},
            host_config=api.create_host_config(**sandbox.host_config()),
        )["Id"]
        try:
            api.start(made)
            status = api.wait(made, timeout=60)["StatusCode"]
            said = api.logs(made, tail=1).decode(errors="replace").strip()
        finally:
            api.remove_container(made, force=True)
    if status != 0:
        raise FilesError(
            f"no home can be made in the homes' NFS export ({said}). Let user "
            f"{sandbox.user.partition(':')[0]} write there."
        )


def named_volume(context: Context, name: str) -> Path | None:
    """Make sure of the volume ``name`` and return where the host sees it, if we made it.

    ``None`` for a volume that others made, whose permissions are theirs. Raises ``FilesError``.
    """
    labels = Names.of(context.data.root).labels
    with _engine(f"the volume {name}") as client:
        found = _ensure(client, name, options={}, labels=labels)
    ours = (found.get("Labels") or {}).get("perijove") == labels["perijove"]
    return Path(found["Mountpoint"]) if ours else None


def _ensure(
    client: docker.DockerClient, name: str, *, options: Mapping[str, str], labels: Mapping[str, str]
) -> dict[str, Any]:
    from docker.errors import NotFound

    try:
        found = client.volumes.get(name)
    except NotFound:
        found = client.volumes.create(
            name, driver="local", driver_opts=dict(options), labels=dict(labels)
        )
    attributes: dict[str, Any] = found.attrs
    return attributes


@contextmanager
def _engine(what: str) -> Iterator[docker.DockerClient]:
    """Give a client; what the engine refuses is a ``FilesError`` about ``what``."""
    from docker.errors import APIError

    from perijove_hub.engine.client import connect, reaching

    client = connect()
    try:
        with reaching():
            yield client
    except APIError as error:
        raise FilesError(f"{what} cannot be used: {error.explanation or error}.") from None
    finally:
        client.close()


def _image(context: Context) -> str:
    """Return the digest of the default image's current version: any image of ours does."""
    name = context.settings.workspaces.default_image
    with context.database.reading() as session:
        digest = session.scalar(
            select(ImageVersionRow.digest)
            .join(ImageRow, ImageRow.id == ImageVersionRow.image_id)
            .where(ImageRow.name == name, ImageRow.current == ImageVersionRow.version)
        )
    if digest is None:
        raise FilesError(f"the image {name} has no version, and a home is made with it.")
    return digest
