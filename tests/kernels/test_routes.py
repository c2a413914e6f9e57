"""What may be asked for, and how it is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from perijove_hub.images import service as images
from perijove_hub.kernels import service
from perijove_hub.settings import QuotaSettings, Settings, SizeSettings
from perijove_hub.store.models import AuditRow, GpuRow, ImageVersionRow, KernelRow
from tests.fixtures.api import Api
from tests.fixtures.hub import Hub


@pytest.fixture
def api(hub: Hub, tmp_path: Path) -> Iterator[Api]:
    """The API of a Perijove with two GPUs whose kernels are containers; no worker serves it."""
    settings = Settings()
    settings.workspaces.sizes = {
        "small": SizeSettings(),
        "gpu": SizeSettings(gpus=1, price=2, memory_mb=4096, description="One device"),
        "risky": SizeSettings(gpus=1, groups=["risk"]),
        "cluster": SizeSettings(gpus=8),
    }
    with Api.running(hub, tmp_path / "data", settings) as api:
        topology = dataclasses.replace(api.context.topology, spawner="docker")
        object.__setattr__(api.context, "topology", topology)
        with api.context.database.session() as session:
            session.add_all([GpuRow(id="GPU-0"), GpuRow(id="GPU-1")])
            for name, gpu in (("cpu", False), ("torch", True)):
                images.register_builtin(
                    session,
                    name,
                    digest=f"sha256:{name}",
                    description="",
                    interfaces=["lab"],
                    gpu=gpu,
                )
        yield api


@pytest.fixture
def ada(api: Api) -> Iterator[httpx.Client]:
    with api.client("ada") as client:
        yield client


def test_offers_are_the_sizes_with_gpus_that_one_may_use(api: Api, ada: httpx.Client) -> None:
    [offer] = ada.get("/kernels/offers").json()
    assert offer == {
        "name": "perijove-gpu",
        "display_name": "Python (GPU)",
        "size": "gpu",
        "image": "torch",
        "cpu": 1.0,
        "memory_mb": 4096,
        "gpus": 1.0,
        "price": 2.0,
        "description": "One device",
    }
    with api.client("grace") as grace:
        both = grace.get("/kernels/offers").json()
    assert [one["display_name"] for one in both] == ["Python (GPU, gpu)", "Python (GPU, risky)"]


def test_without_a_gpu_image_the_default_image_is_offered(api: Api, ada: httpx.Client) -> None:
    with api.context.database.session() as session:
        for version in session.query(ImageVersionRow).where(ImageVersionRow.gpu):
            version.state = "retired"
    assert [one["image"] for one in ada.get("/kernels/offers").json()] == ["cpu"]


@pytest.mark.parametrize(
    ("body", "field", "detail"),
    [
        ({"size": "nosuch"}, "size", "'nosuch' is not a size you may use."),
        ({"size": "risky"}, "size", "'risky' is not a size you may use."),
        ({"size": "cluster"}, "size", "'cluster' has 8 GPUs, which this machine has not."),
        ({"size": "../x"}, "size", None),
        ({}, "size", None),
        ({"size": "gpu", "image": "nosuch"}, "image", None),
        ({"size": "gpu", "image": "torch@7"}, "image", None),
        ({"size": "gpu", "image": "registry.example/x:1"}, "image", None),
        ({"size": "gpu", "image": "sha256:cpu"}, "image", None),
        ({"size": "gpu", "server": "x" * 300}, "server", None),
        ({"size": "gpu", "command": "sh"}, "command", None),
    ],
)
def test_bad_input_is_named_with_its_field(
    ada: httpx.Client, body: dict[str, str], field: str, detail: str | None
) -> None:
    answer = ada.post("/kernels", json=body)
    problem = answer.json()
    assert (answer.status_code, problem["field"]) == (422, field), problem
    if detail:
        assert problem["detail"] == detail
        assert problem["fix"]
    assert not ada.get("/kernels").json()["items"]


def test_only_what_is_approved_starts_and_its_digest_is_on_record(
    api: Api, ada: httpx.Client
) -> None:
    made = ada.post("/kernels", json={"size": "gpu", "image": "torch"})
    assert made.status_code == 201
    assert made.json()["image"] == "torch@1"
    assert made.json()["group"] == "research"
    with api.context.database.session() as session:
        assert session.get_one(KernelRow, made.json()["id"]).digest == "sha256:torch"
        [entry] = session.query(AuditRow).where(AuditRow.verb == "kernel.create")
        assert (entry.actor, entry.detail["digest"]) == ("ada", "sha256:torch")
        for version in session.query(ImageVersionRow).where(ImageVersionRow.gpu):
            version.state = "retired"
    path = f"/kernels/{made.json()['id']}"
    assert ada.post(f"{path}/restart").json()["field"] == "image"
    assert ada.get(path).json()["attempt"] == 1


def test_a_repeat_with_one_key_makes_one_kernel(ada: httpx.Client) -> None:
    headers = {"Idempotency-Key": "k"}
    ids = {
        ada.post("/kernels", json={"size": "gpu"}, headers=headers).json()["id"] for _ in range(2)
    }
    assert len(ids) == 1
    other = ada.post("/kernels", json={"size": "small"}, headers=headers)
    assert other.status_code == 409


def test_a_restart_of_one_attempt_happens_once(ada: httpx.Client) -> None:
    path = f"/kernels/{ada.post('/kernels', json={'size': 'gpu'}).json()['id']}"
    for _ in range(2):
        assert ada.post(f"{path}/restart", json={"attempt": 1}).json()["attempt"] == 2
    assert ada.post(f"{path}/restart").json()["attempt"] == 3


def test_a_used_up_quota_is_said_before_anything_waits(api: Api, ada: httpx.Client) -> None:
    settings = api.context.settings
    settings.usage.quotas["research"] = QuotaSettings(gpu_hours=0)
    answer = ada.post("/kernels", json={"size": "gpu"})
    assert answer.status_code == 403
    assert "research" in answer.json()["detail"]
    assert ada.post("/kernels", json={"size": "small"}).status_code == 201


def test_there_is_an_end_to_the_kernels_of_one_user(
    ada: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PER_USER", 2)
    for _ in range(2):
        assert ada.post("/kernels", json={"size": "gpu"}).status_code == 201
    answer = ada.post("/kernels", json={"size": "gpu"})
    assert answer.status_code == 409
    assert "perijove kernels list" in answer.json()["fix"]


def test_only_an_administrator_sees_and_stops_what_is_not_theirs(
    api: Api, ada: httpx.Client
) -> None:
    path = f"/kernels/{ada.post('/kernels', json={'size': 'gpu'}).json()['id']}"
    with api.client("grace") as grace, api.client("admin") as admin:
        assert grace.get("/kernels").json()["items"] == []
        assert grace.delete(path).status_code == 404
        assert [one["user"] for one in admin.get("/kernels").json()["items"]] == ["ada"]
        for verb in ("interrupt", "restart"):
            assert admin.post(f"{path}/{verb}").status_code == 403
        assert admin.delete(path).status_code == 204
    kernel = ada.get(path).json()
    assert kernel["stopped"]
    assert kernel["reason"] == "Stopped by the administrator admin."
    assert ada.post(f"{path}/interrupt").status_code == 409
