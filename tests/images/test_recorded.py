"""A job and a deployment start from the image that their notebook ran in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perijove.types.jobs import RunState
from perijove_hub.context import Context
from perijove_hub.exceptions import Invalid
from perijove_hub.images import service
from perijove_hub.images.images import Images
from perijove_hub.jobs import workload
from perijove_hub.jobs.image import startable
from perijove_hub.store.models import JobRow, JobVersionRow, RunRow
from tests.images.conftest import CPU
from tests.jobs.conftest import ADMIN, Platform, a_topology, platform

__all__ = ["platform"]


@pytest.fixture
def contained(platform: Platform) -> Platform:
    """Jobs of a Perijove with Docker, and an image to start from."""
    object.__setattr__(platform.context.topology, "spawner", "docker")
    register(platform.context, CPU)
    return platform


def register(context: Context, digest: str) -> None:
    with context.database.session() as session:
        service.register_builtin(session, "cpu", digest=digest, description="", interfaces=["lab"])


def test_a_version_keeps_name_and_digest(contained: Platform) -> None:
    job = contained.promote(image="cpu")
    assert job.latest.image == "cpu@1"
    with contained.context.database.reading() as session:
        row = session.get_one(JobVersionRow, (job.id, 1))
        assert (row.image, row.image_digest) == ("cpu@1", CPU)


def test_another_image_makes_another_version(contained: Platform) -> None:
    register(contained.context, "sha256:" + "d" * 64)
    versions = [contained.promote(image=f"cpu@{n}").latest.version for n in (1, 1, 2)]
    assert versions == [1, 1, 2]


def test_an_image_that_does_not_start_is_refused_at_promotion(contained: Platform) -> None:
    with pytest.raises(Invalid) as caught:
        contained.promote(image="cpu@9")
    assert caught.value.field == "image"


def test_a_run_whose_image_was_retired_does_not_start(contained: Platform) -> None:
    job = contained.promote(image="cpu@1")
    waiting = contained.run(job)
    Images(contained.context).retire(ADMIN, "cpu", 1)
    said = "Version 1 of 'tutorial' has an image that does not start: 'cpu@1' is retired"
    with pytest.raises(Invalid, match=said) as caught:
        contained.run(job)
    assert "Then promote the notebook again" in str(caught.value.fix)
    # One that was queued before, as a schedule does, says the same.
    run = contained.finished(waiting)
    assert run.state is RunState.failed
    assert str(run.reason).startswith(said)
    assert contained.launcher.list() == []


def test_a_run_starts_by_digest_and_knows_its_image(contained: Platform) -> None:
    job = contained.promote(image="cpu")
    # An update of Perijove brings the next one, and changes no job.
    register(contained.context, "sha256:" + "d" * 64)
    run = contained.run(job)
    with contained.context.database.reading() as session:
        row = session.get_one(RunRow, run.id)
        version = session.get_one(JobVersionRow, (job.id, row.version))
        owned = session.get_one(JobRow, job.id)
        image = startable(session, contained.context, owned, version)
    described = workload.describe(
        row,
        job="tutorial",
        folder=contained.context.data.root,
        image=image,
        limits=job.resources,
        disk_mb=1,
        topology=replace(a_topology(), spawner="docker"),
        token="t",
        secrets={},
    )
    assert described.image == CPU
    assert described.environment["PERIJOVE_IMAGE"] == "cpu@1"
    assert described.environment["PERIJOVE_IMAGE_DIGEST"] == CPU
