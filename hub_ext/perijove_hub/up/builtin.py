"""The images of ``images/build`` that are on the engine, offered to everyone at the start."""

from __future__ import annotations

import io
import tarfile
from typing import Any

from docker.errors import NotFound
from sqlalchemy import select

from perijove.types.images import Package
from perijove_hub.context import Context
from perijove_hub.engine.client import connect, reaching
from perijove_hub.images import probe, service
from perijove_hub.store.models import ImageVersionRow

#: Where ``images/tools/install`` leaves the list of an image's packages.
PACKAGES = "/opt/perijove/packages.json"
#: Most bytes of that list that are read.
MAX_LIST = 4 * 2**20


def register(context: Context) -> list[str]:
    """Register the workspace images on the engine; return the references that are new.

    Ours are those whose tag and labels agree; images without an interface are not for
    workspaces. Raises ``EngineDown``, and ``Invalid`` when a user's image has the name of one.
    """
    client = connect()
    try:
        with reaching():
            found = client.images.list(filters={"label": "perijove.image"})
            return [made for image in found if (made := _register(context, client, image))]
    finally:
        client.close()


def _register(context: Context, client: Any, image: Any) -> str | None:
    labels = image.labels
    name = labels["perijove.image"]
    interfaces = [one for one in labels.get("perijove.interfaces", "").split(",") if one]
    # Images that users build on ours carry the same labels.
    if f"perijove/{name}:latest" not in image.tags or not interfaces:
        return None
    with context.database.reading() as session:
        known = session.scalar(select(ImageVersionRow).where(ImageVersionRow.digest == image.id))
    packages = [] if known else _packages(client, image.id)
    with context.database.session() as session:
        version = service.register_builtin(
            session,
            name,
            digest=image.id,
            description=labels.get("org.opencontainers.image.description", ""),
            interfaces=interfaces,
            gpu=labels.get("perijove.gpu") == "true",
            size_bytes=image.attrs["Size"],
            packages=packages,
        )
        return None if known else service.reference(session, version)


def _packages(client: Any, digest: str) -> list[Package]:
    """Read the list out of the image; nothing in it runs for that."""
    container = client.api.create_container(digest, command=["true"], network_disabled=True)["Id"]
    try:
        chunks, _ = client.api.get_archive(container, PACKAGES)
        archive = b""
        for chunk in chunks:
            archive += chunk
            if len(archive) > MAX_LIST:
                return []
    except NotFound:
        return []
    finally:
        client.api.remove_container(container, force=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile(tar.getmembers()[0])
        return probe.packages(file.read()) if file else []
