"""People, images and sizes to choose from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from perijove.types.base import Principal
from perijove_hub.context import Context
from perijove_hub.images.service import register_builtin
from perijove_hub.settings import SizeSettings
from perijove_hub.store.models import GpuRow, ImageRow, ImageVersionRow

ADA = Principal(name="ada", groups=["lab", "research"])
GRACE = Principal(name="grace", groups=["risk"])
ADMIN = Principal(name="admin", admin=True)


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


@pytest.fixture
def offered(context: Context) -> Context:
    """Images cpu (two versions) and deep, a private one of ada's, and a size for risk alone."""
    sizes = context.settings.workspaces.sizes
    sizes["gpu"] = SizeSettings(cpu=4, memory_mb=8192, gpus=1, price=2.0, groups=["risk"])
    with context.database.session() as session:
        for number in (1, 2):
            register_builtin(
                session,
                "cpu",
                digest=digest(number),
                description="Python with pandas",
                interfaces=["lab", "notebook", "terminal"],
            )
        register_builtin(
            session, "deep", digest=digest(3), description="PyTorch", interfaces=["lab"], gpu=True
        )
        session.add(GpuRow(id="GPU-1", model="H200"))
        private(session, "adas", digest(4))
    return context


def private(session: Session, name: str, number: str, *, state: str = "approved") -> None:
    """Add a private image of ada's."""
    image = ImageRow(name=name, owner="ada", visibility="private", current=1)
    session.add(image)
    session.flush()
    session.add(
        ImageVersionRow(
            image_id=image.id,
            version=1,
            state=state,
            digest=number,
            interfaces=["lab"],
            created_by="ada",
        )
    )


@pytest.fixture
def in_session(offered: Context) -> Callable[..., object]:
    """Run a function with a session of the database."""

    def run(work: Callable[[Session], object]) -> object:
        with offered.database.session() as session:
            return work(session)

    return run
