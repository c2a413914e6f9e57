"""Python, the command line and ``%freeze`` say the same of the same images."""

from __future__ import annotations

import ast
import base64
import importlib.metadata
import json
import re
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from IPython.core.interactiveshell import InteractiveShell

from perijove import images
from perijove.exceptions import ApiError, PerijoveError
from perijove.frozen import NotFrozen
from perijove.specification import NotASpecification, to_toml
from perijove.types.images import Build, BuildState, ImageSpec, Package
from perijove_hub.cli.images import images as command
from perijove_hub.images import ledger, service
from perijove_hub.store.models import BuildRow, utcnow
from tests.fixtures.api import Api
from tests.images.conftest import CPU, Shelf
from tests.jobs.conftest import ADMIN

SPEC = 'name = "geo"\ndescription = "Maps"\npip = ["polars>=1.9"]\napt = ["tree"]\n'


def installed() -> list[Package]:
    """What is in this interpreter, but for click, and an older httpx."""
    here: dict[str, str] = {}
    for one in importlib.metadata.distributions():
        here.setdefault(re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(), one.version)
    del here["click"]
    here["httpx"] = "0.1"
    return [Package(manager="pip", name=name, version=number) for name, number in here.items()]


@pytest.fixture
def shelf(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Shelf]:
    """Be ada in a workspace that runs in cpu@1."""
    object.__setattr__(api.context.topology, "spawner", "docker")
    with api.context.database.session() as session:
        service.register_builtin(
            session,
            "cpu",
            digest=CPU,
            description="Everyday",
            interfaces=["lab"],
            packages=[
                *installed(),
                Package(manager="pip", name="only-in-base", version="1"),
            ],
        )
    monkeypatch.setenv("PERIJOVE_URL", api.url.removesuffix("/api/v1"))
    monkeypatch.setenv("PERIJOVE_TOKEN", api.hub.token("ada"))
    monkeypatch.setenv("PERIJOVE_IMAGE", "cpu@1")
    monkeypatch.setenv("PERIJOVE_IMAGE_DIGEST", CPU)
    monkeypatch.chdir(tmp_path)
    Path("spec.toml").write_text(SPEC)
    yield Shelf(api.context)


def perijove(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_a_specification_is_built_from_a_file(shelf: Shelf) -> None:
    build = images.build("spec.toml", wait=False)
    assert (build.image, build.version, build.state) == ("geo", 1, BuildState.queued)
    spec = images.version("geo@1").spec
    assert spec is not None
    assert (spec.description, spec.apt, spec.base) == ("Maps", ["tree"], "cpu@1")


def test_following_a_build_ends_with_it(shelf: Shelf) -> None:
    seen: list[Build] = []

    def look(build: Build) -> None:
        seen.append(build)
        if len(seen) == 2:
            threading.Thread(target=shelf.made, args=(build,)).start()

    assert images.build("spec.toml", follow=look).state is BuildState.succeeded
    assert seen[0].state is BuildState.queued
    assert seen[-1].state is BuildState.succeeded


def test_the_command_line_builds_lists_and_shows(shelf: Shelf) -> None:
    asked = perijove("build", "spec.toml", "--no-wait", "--json")
    assert asked.exit_code == 0, asked.output
    build = shelf.builds.get(ADMIN, json.loads(asked.stdout)["id"])
    shelf.made(build)
    listed = json.loads(perijove("list", "geo", "--json").output)
    assert [(one["name"], one["latest"]["state"]) for one in listed] == [("geo", "tested")]
    shown = json.loads(perijove("show", "geo", "--json").output)
    assert shown["versions"][0]["digest"] == "sha256:" + "1" * 64
    for words in (("list",), ("show", "geo"), ("packages", "geo")):
        answer = perijove(*words)
        assert answer.exit_code == 0, answer.output
    assert "polars" in perijove("packages", "geo@1", "pol").output
    assert json.loads(perijove("packages", "geo@1", "x", "--json").output) == []


def test_a_build_that_fails_fails_the_command(shelf: Shelf) -> None:
    def fail() -> None:
        with shelf.context.database.session() as session:
            build = session.query(BuildRow).one_or_none()
        if build is None:
            threading.Timer(0.2, fail).start()
            return
        reason = "Step 1 of 3, pip, failed"
        shelf.end(shelf.builds.get(ADMIN, build.id), ledger.Ending(BuildState.failed, reason))

    threading.Timer(0.2, fail).start()
    answer = perijove("build", "spec.toml")
    assert answer.exit_code == 1
    assert "[failed] geo@1: Step 1 of 3, pip, failed" in answer.stderr


def test_versions_are_approved_rolled_back_and_retired(
    shelf: Shelf, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for digit in "12":
        shelf.made(images.build("spec.toml", wait=False), digit)
    with pytest.raises(ApiError, match="Only administrators approve"):
        images.approve("geo@1")
    monkeypatch.setenv("PERIJOVE_TOKEN", api.hub.token("admin"))
    for number in "12":
        assert "is approved" in perijove("approve", f"geo@{number}").output
    assert images.show("geo").current == 2
    assert "geo is version 1 now" in perijove("rollback", "geo", "1").output
    assert images.version("geo").version == 1
    assert "geo@1 is retired" in perijove("retire", "geo@1").output
    assert images.show("geo").current == 2


def test_a_build_is_cancelled_and_its_log_read(shelf: Shelf) -> None:
    build = images.build("spec.toml", wait=False)
    assert "Cancelled by ada" in perijove("cancel", "geo").output
    kept = shelf.context.blobs.put("== step 1\nhéllo\n".encode())
    with shelf.context.database.session() as session:
        row = session.get_one(BuildRow, build.id)
        row.log_sha256 = kept
        row.ended_at = utcnow()
    assert perijove("logs", "geo").output == "== step 1\nhéllo\n"
    assert "".join(images.log("geo@1", follow=True)) == "== step 1\nhéllo\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name = ", "is not valid TOML"),
        ("name = 'GEO'", "name"),
        ("name = 'geo'\napt = ['--evil']", "apt"),
        ("name = 'geo'\npackages = []", "packages"),
    ],
)
def test_a_wrong_file_says_where(shelf: Shelf, content: str, said: str) -> None:
    Path("wrong.toml").write_text(content)
    with pytest.raises(PerijoveError, match=said):
        images.build("wrong.toml")
    assert images.list("geo") == []


def test_what_only_the_control_plane_can_judge_comes_back_with_the_fix(shelf: Shelf) -> None:
    Path("spec.toml").write_text("name = 'geo'\npip = ['-r x']")
    with pytest.raises(ApiError) as caught:
        images.build("spec.toml")
    assert caught.value.problem.field == "spec.pip"
    with pytest.raises(PerijoveError, match="came with Perijove"):
        list(images.log("cpu"))
    with pytest.raises(PerijoveError, match="NAME@VERSION"):
        images.version("cpu@x")
    Path("spec.toml").write_text("name = 'geo'\napt = [1]")
    with pytest.raises(NotASpecification):
        images.load("spec.toml")


def test_what_an_image_was_built_from_is_written_down_and_built_again(shelf: Shelf) -> None:
    wanted = ImageSpec(
        name="full",
        description='Maps, "all" of \\ them',
        base="cpu@1",
        apt=["tree"],
        pip=["polars>=1.9"],
        requirements="httpx\n# a comment\nclick\n",
    )
    Path("full.toml").write_text(to_toml(wanted))
    assert images.load("full.toml") == wanted
    images.build("full.toml", wait=False)
    printed = perijove("spec", "full@1").output
    assert tomllib.loads(printed) == tomllib.loads(to_toml(wanted))
    with pytest.raises(PerijoveError, match="came with Perijove"):
        images.spec("cpu")


def test_jupyterlab_asks_a_kernel_for_the_same(shelf: Shelf, shell: InteractiveShell) -> None:
    frozen = shell.run_line_magic("freeze", "geo")
    expression = "__import__('perijove.magics.images', fromlist=['packed']).packed()"
    answer = shell.user_expressions({"packed": expression})["packed"]
    told = json.loads(base64.b64decode(ast.literal_eval(answer["data"]["text/plain"])))
    assert told["spec"]["pip"] == frozen.spec.pip
    assert told["left_out"] == frozen._frozen.left_out


def test_freeze_says_what_to_do_next(shelf: Shelf, shell: InteractiveShell) -> None:
    frozen = shell.run_line_magic("freeze", "geo")
    assert "perijove images build geo.toml" in repr(frozen)
    assert '<a href="geo.toml">geo.toml</a>' in frozen._repr_html_()


def test_freeze_captures_what_differs_from_the_base(
    shelf: Shelf, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perijove.frozen._apt", lambda base: ["tree"])
    frozen = shell.run_line_magic("freeze", "geo")
    versions = {name: importlib.metadata.version(name) for name in ("click", "httpx")}
    wanted = [f"{name}=={number}" for name, number in versions.items()]
    assert frozen.spec.pip == wanted
    assert (frozen.spec.base, frozen.spec.apt) == ("cpu@1", ["tree"])
    written = tomllib.loads(Path("geo.toml").read_text())
    assert written == {"name": "geo", "base": "cpu@1", "pip": wanted, "apt": ["tree"]}
    assert CPU in Path("geo.toml").read_text()
    assert images.load("geo.toml") == frozen.spec
    assert "click==" in repr(frozen)
    assert "click==" in frozen._repr_html_()


def test_freeze_builds_what_it_captured(shelf: Shelf, shell: InteractiveShell) -> None:
    frozen = shell.run_line_magic("freeze", "geo --build --no-wait")
    assert frozen.build.state is BuildState.queued
    assert images.version("geo@1").spec == frozen.spec
    assert "geo@1" in repr(frozen)


def test_freeze_replaces_its_own_file_and_nobody_elses(
    shelf: Shelf, shell: InteractiveShell
) -> None:
    shell.run_line_magic("freeze", "geo")
    shell.run_line_magic("freeze", "geo")
    before = Path("spec.toml").read_text()
    with pytest.raises(NotFrozen, match="was not written by %freeze"):
        shell.run_line_magic("freeze", "spec")
    assert Path("spec.toml").read_text() == before


def test_freeze_is_named_after_the_notebook(
    shelf: Shelf, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ada/My Report (2).ipynb")
    assert shell.run_line_magic("freeze", "").spec.name == "my-report-2"


def test_outside_of_an_image_there_is_nothing_to_freeze_upon(
    shelf: Shelf, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("", "perijove/cpu:latest"):
        monkeypatch.setenv("PERIJOVE_IMAGE", value)
        with pytest.raises(NotFrozen, match="does not run in an image"):
            shell.run_line_magic("freeze", "geo")
    assert not Path("geo.toml").exists()
