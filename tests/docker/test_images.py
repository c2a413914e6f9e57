"""The images of images/build: what is in them, what is not, and that nothing is built twice."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import docker
import pytest
from docker.errors import ContainerError

from perijove.types.images import Choice
from perijove_hub.context import Context
from perijove_hub.images import service
from perijove_hub.store.models import PackageRow
from perijove_hub.up import builtin
from tests.docker.graph import load
from tests.fixtures.processes import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def build() -> ModuleType:
    return load()


@pytest.fixture(scope="module")
def engine_client(image: str) -> Iterator[Any]:
    with contextlib.closing(docker.from_env()) as client:
        yield client


def inside(client: Any, image: str, *command: str) -> str:
    """Run a command in an image as workspaces run: nothing to write to but home and /tmp."""
    output: bytes = client.containers.run(
        image,
        list(command),
        remove=True,
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        tmpfs={"/tmp": "exec", "/home/perijove": "uid=1000,exec"},
    )
    return output.decode()


def test_what_has_not_changed_is_not_built_again(image: str, engine_client: Any) -> None:
    before = engine_client.images.get(image).id
    again = subprocess.run(
        [sys.executable, ROOT / "images" / "build", "cpu"], capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    assert "building" not in again.stderr
    assert f"{image} {before}" in again.stdout.splitlines()


def test_each_image_stands_on_its_parent_by_digest(image: str, engine_client: Any) -> None:
    cpu, base, python = (
        engine_client.images.get(f"perijove/{name}:latest") for name in ("cpu", "base", "python")
    )
    assert cpu.labels["perijove.parent"] == base.id
    assert base.labels["perijove.parent"] == python.id
    layers = [each.attrs["RootFS"]["Layers"] for each in (python, base, cpu)]
    assert layers[1][: len(layers[0])] == layers[0]
    assert layers[2][: len(layers[1])] == layers[1]
    # The names that Dockerfiles say FROM are gone again.
    assert not engine_client.images.list(name="perijove/parent")


def test_labels_say_what_an_image_is(image: str, engine_client: Any) -> None:
    labels = engine_client.images.get(image).labels
    assert labels["perijove.image"] == "cpu"
    assert labels["perijove.interfaces"] == "lab,notebook,terminal"
    assert labels["perijove.gpu"] == "false"
    assert labels["org.opencontainers.image.licenses"] == "BSD-3-Clause"
    assert labels["org.opencontainers.image.description"]
    assert not engine_client.images.get("perijove/base:latest").labels["perijove.interfaces"]


def test_everything_is_compiled_because_the_root_is_read_only(
    image: str, engine_client: Any
) -> None:
    cell = """
import importlib.util, pathlib
for place in ("/usr/lib/python3.11", "/opt/perijove/lib/python3.11/site-packages"):
    files = list(pathlib.Path(place).rglob("*.py"))
    left = [f for f in files if not pathlib.Path(importlib.util.cache_from_source(f)).exists()]
    for path in list(left):
        try:
            compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            # A template, or syntax of Python 2; it would not compile later either.
            left.remove(path)
    print(len(files) > 500, left[:5])
"""
    lines = inside(engine_client, image, "python", "-c", cell).splitlines()
    assert lines == ["True []", "True []"]


def test_a_kernel_and_a_plot_need_nothing_to_write_to_but_home_and_tmp(
    image: str, engine_client: Any
) -> None:
    code = (
        "import os, matplotlib; matplotlib.use('agg'); import matplotlib.pyplot as plt;"
        "plt.plot([1, 2]); plt.savefig('/tmp/x.png');"
        "print(os.getuid(), os.getgid(), os.path.getsize('/tmp/x.png') > 1000)"
    )
    said = inside(engine_client, image, "ipython", "-c", code)
    assert said.splitlines()[-1] == "1000 1000 True"
    with pytest.raises(ContainerError, match="Read-only file system"):
        inside(engine_client, image, "touch", "/opt/perijove/x")


def test_notebook_and_terminals_are_there(image: str, engine_client: Any) -> None:
    code = "import notebook, terminado; print(notebook.__version__.split('.')[0])"
    assert inside(engine_client, image, "python", "-c", code).strip() == "7"
    assert "bash" in inside(engine_client, image, "bash", "-c", "type less git bash")


def test_a_server_imports_no_grammar_that_takes_half_of_its_start(
    image: str, engine_client: Any
) -> None:
    code = "import sys, jupyterhub.singleuser; print({'jsonschema', 'lark'} & set(sys.modules))"
    assert inside(engine_client, image, "python", "-c", code).strip() == "{'jsonschema'}"


def test_no_secret_of_the_build_is_in_an_image(
    build: ModuleType, engine_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Words that no file has by itself, where the real build has its index and certificates.
    index, ca = tmp_path / "uv.toml", tmp_path / "ca.pem"
    index.write_text('# https://robot:sesame-4711@mirror.example\nindex-strategy = "first-index"\n')
    ca.write_text(Path(build.certificates()).read_text() + "# trust-me-0815\n")
    monkeypatch.setattr(build, "index_settings", index.read_text)
    monkeypatch.setattr(build, "certificates", lambda: str(ca))
    graph = build.read_graph()
    monkeypatch.setattr(build.Image, "tag", property(lambda self: "perijove/test-secret:latest"))
    parent = engine_client.images.get("perijove/python:latest").id
    # The smallest image that asks the index for something.
    small = dataclasses.replace(
        graph["base"], extras=[], packages=["wheel"], description="for a test"
    )
    digest = build.build(build.Engine(), small, parent)
    try:
        exported = b"".join(engine_client.images.get(digest).save())
        # A line of a file in the new layer: nothing here is compressed.
        assert b"Name: wheel\nVersion: " in exported
        assert b"sesame-4711" not in exported
        assert b"trust-me-0815" not in exported
    finally:
        engine_client.images.remove("perijove/test-secret:latest", force=True)


def test_it_is_offered_with_its_packages_and_a_new_digest_is_a_new_version(
    context: Context, image: str, engine_client: Any
) -> None:
    assert "cpu@1" in builtin.register(context)
    assert builtin.register(context) == []
    with context.database.reading() as session:
        [offer] = [one for one in service.choices(session, "ada") if one.name == "cpu"]
        packages = {
            (row.manager, row.name): row.package_version for row in session.query(PackageRow)
        }
    assert isinstance(offer, Choice)
    assert offer.digest == engine_client.images.get(image).id
    assert offer.interfaces == ["lab", "notebook", "terminal"]
    assert packages["pip", "scikit-learn"].startswith("1.")
    assert packages["apt", "git"]


def test_images_without_an_interface_and_images_of_others_are_not_offered(
    context: Context, image: str, engine_client: Any
) -> None:
    # As a user's build leaves it: our labels, another name.
    engine_client.images.get(image).tag("perijove/mine", "latest")
    try:
        made = builtin.register(context)
    finally:
        engine_client.images.remove("perijove/mine:latest")
    names = {reference.partition("@")[0] for reference in made}
    assert "cpu" in names
    assert names <= {"cpu", "gpu"}


def test_an_unknown_name_names_those_there_are() -> None:
    answer = subprocess.run(
        [sys.executable, ROOT / "images" / "build", "cqu"], capture_output=True, text=True
    )
    assert answer.returncode == 1
    assert answer.stderr == (
        "images/build: no such image: cqu. There are: python, base, cpu, gpu, runner, replica, "
        "hub, postgres.\n"
    )


def test_an_engine_that_is_down_is_named(tmp_path: Path) -> None:
    where = f"unix://{tmp_path}/none.sock"
    answer = subprocess.run(
        [sys.executable, ROOT / "images" / "build", "base"],
        capture_output=True,
        text=True,
        env={**os.environ, "DOCKER_HOST": where},
    )
    assert answer.returncode == 1
    assert f"no Docker engine answers at {where}" in answer.stderr


def test_a_build_that_fails_shows_its_last_lines_and_moves_no_tag(
    build: ModuleType, image: str, engine_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, before = build.read_graph(), engine_client.images.get("perijove/base:latest").id
    parent = engine_client.images.get("perijove/python:latest").id
    wrong = dataclasses.replace(graph["base"], packages=["no-such-package-of-perijove"])
    with pytest.raises(build.BuildError, match="no-such-package-of-perijove"):
        build.build(build.Engine(), wrong, parent)
    assert engine_client.images.get("perijove/base:latest").id == before
    assert not engine_client.images.list(name="perijove/parent")


def test_the_graph_and_every_dockerfile_agree(build: ModuleType) -> None:
    graph = build.read_graph()
    assert {path.parent.name for path in (ROOT / "images").glob("*/Dockerfile")} == set(graph)
    for name, one in graph.items():
        text = (ROOT / "images" / name / "Dockerfile").read_text()
        assert "ARG PARENT\nFROM ${PARENT}\n" in text, name
        assert ("requirements.txt" in text) == bool(build.requirements(one) and name != "gpu"), name
        assert ("/wheel/" in text) == one.wheel, name
        # Whoever starts it without saying as whom is nobody special, but for the control plane.
        users = [line for line in text.splitlines() if line.startswith("USER")]
        assert (users[-1:] == ["USER 1000:1000"]) == (name != "hub"), name
    assert [name for name, one in graph.items() if one.gpu] == ["gpu"]
    assert graph["gpu"].optional


def test_a_graph_with_a_mistake_names_it(build: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "graph.toml"
    path.write_text('[a]\nparent = "b"\ndescription = ""\n')
    with pytest.raises(build.BuildError, match=r"\[a\]: its parent 'b' does not stand above it"):
        build.read_graph(path)
    path.write_text('[a]\nparent = "debian"\ndescription = ""\ninterface = []\n')
    with pytest.raises(build.BuildError, match=r"\[a\]: .*'interface'"):
        build.read_graph(path)


def test_the_package_list_is_what_pip_says(image: str, engine_client: Any) -> None:
    code = "print(open('/opt/perijove/packages.json').read())"
    listed = json.loads(inside(engine_client, image, "python", "-c", code))
    pip = json.loads(inside(engine_client, image, "pip", "list", "--format", "json"))
    ours = {(name.lower(), version) for manager, name, version in listed if manager == "pip"}
    assert {(one["name"].lower(), one["version"]) for one in pip} <= ours
