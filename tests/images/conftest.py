"""A control plane's images on a fresh data directory, without a Hub and without an engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from perijove.types.base import Principal
from perijove.types.images import Build, ImageBuild, ImageSpec, Package
from perijove_hub.context import Context
from perijove_hub.images import ledger, service
from perijove_hub.images.builds import Builds
from perijove_hub.images.images import Images
from perijove_hub.store.models import BuildRow
from tests.jobs.conftest import ADA, a_topology

CPU = "sha256:" + "c" * 64


@dataclass
class Shelf:
    """Images with 'cpu' to start from; builds end as a test says they do."""

    context: Context

    @property
    def builds(self) -> Builds:
        return Builds(self.context)

    @property
    def images(self) -> Images:
        return Images(self.context)

    def ask(
        self, name: str = "geo", by: Principal = ADA, *, approve: bool = False, **spec: Any
    ) -> Build:
        wanted = ImageSpec(name=name, **{"pip": ["polars"], **spec})
        return self.builds.create(by, ImageBuild(spec=wanted, approve=approve), key=None)

    def end(self, build: Build, ending: ledger.Ending) -> None:
        """Do what the worker does with a build."""
        with self.context.database.session() as session:
            row = session.get_one(BuildRow, build.id)
            epoch = ledger.claim(session, row)
            assert epoch is not None
            approval = self.context.settings.images.approval
            assert ledger.finish(session, build.id, epoch, ending, approval=approval)

    def made(self, build: Build, digit: str = "1") -> Build:
        """Let a build succeed."""
        packages = [Package(manager="pip", name="polars", version=digit)]
        made = ledger.Made("sha256:" + digit * 64, 1000, packages)
        self.end(build, ledger.Ending(ledger.BuildState.succeeded, made=made))
        return build

    def starts(self, reference: str, who: Principal = ADA) -> str | None:
        with self.context.database.reading() as session:
            return service.startable(session, who, reference, self.context.settings).digest


@pytest.fixture
def shelf(context: Context) -> Iterator[Shelf]:
    replace(a_topology(), spawner="docker").save(context.data.run / "topology.json")
    with context.database.session() as session:
        service.register_builtin(
            session,
            "cpu",
            digest=CPU,
            description="Everyday",
            interfaces=["lab", "terminal"],
            packages=[Package(manager="pip", name="pandas", version="3.1")],
        )
    yield Shelf(context)
