"""Specifications: what is taken, and what never reaches a package manager."""

from __future__ import annotations

import subprocess

import pytest
from pydantic import ValidationError

from perijove.types.images import ImageSpec
from perijove_hub.exceptions import Invalid
from perijove_hub.images import steps


def spec(**more: object) -> ImageSpec:
    return ImageSpec.model_validate({"name": "geo", **more})


def test_requirements_are_those_of_both_fields_each_once() -> None:
    text = "# tools\npolars >= 1.9  # fast\n\nduckdb\nnumpy; python_version < '3.12'\n"
    found = steps.requirements(spec(pip=["polars>=1.9", "httpx[http2]"], requirements=text))
    assert found == ["polars>=1.9", "httpx[http2]", "duckdb", 'numpy; python_version < "3.12"']


@pytest.mark.parametrize(
    "requirement",
    [
        "--index-url=https://evil.example/simple",
        "-r /etc/passwd",
        "-e .",
        "polars --pre",
        "polars @ https://evil.example/polars.whl",
        "polars@file:///etc/passwd",
        "git+https://evil.example/x.git",
        "https://evil.example/x.whl",
        "./here",
        "/etc",
        "../../x",
        "polars\n--index-url=https://evil.example",
        "polars; rm -rf /",
        "$(id)",
        "polars \\",
        "${HOME}",
    ],
)
def test_what_is_no_plain_requirement_is_refused_at_its_field(requirement: str) -> None:
    with pytest.raises(Invalid) as caught:
        steps.requirements(spec(pip=[requirement]))
    assert caught.value.field == "spec.pip"
    if "\n" not in requirement:
        with pytest.raises(Invalid, match="line 2: ") as caught:
            steps.requirements(spec(requirements=f"duckdb\n{requirement}"))
        assert caught.value.field == "spec.requirements"


@pytest.mark.parametrize("field", ["apt", "conda"])
@pytest.mark.parametrize(
    "package",
    ["-o", "--allow-unauthenticated", "a b", "a;id", "$(id)", "../x", "a\nb", "", "/etc/x.deb"],
)
def test_names_of_packages_are_names(field: str, package: str) -> None:
    with pytest.raises(ValidationError):
        spec(**{field: [package]})


@pytest.mark.parametrize(
    "package", ["tree", "libgdal-dev", "g++", "python3.11", "libc6:amd64", "curl=7.88.1-10+deb12u5"]
)
def test_debian_packages_are_taken(package: str) -> None:
    assert spec(apt=[package]).apt == [package]


@pytest.mark.parametrize("name", ["", "GEO", "../x", "a/b", "-a", "a" * 64, "a b"])
def test_names_of_images_are_names(name: str) -> None:
    with pytest.raises(ValidationError):
        spec(name=name)


def test_a_step_is_kept_under_its_parent_and_all_that_makes_it() -> None:
    one, other = (steps.plan(spec(pip=[name]), {})[0] for name in ("polars", "duckdb"))
    assert one.key("a") == steps.plan(spec(pip=["polars"]), {})[0].key("a")
    assert len({one.key("a"), one.key("b"), other.key("a")}) == 3


def test_the_order_of_debian_packages_makes_no_other_step() -> None:
    keys = {steps.plan(spec(apt=names), {})[0].key("a") for names in (["b", "a"], ["a", "b", "a"])}
    assert len(keys) == 1


def test_steps_come_in_the_order_in_which_they_need_each_other() -> None:
    wanted = spec(conda=["gdal"], pip=["polars"], apt=["tree"])
    plan = steps.plan(wanted, {steps.CONDA_LABEL: "/opt/conda/bin/conda"})
    assert [step.name for step in plan] == ["apt", "pip", "conda"]
    assert plan[2].arguments == ("/opt/conda/bin/conda", "gdal")


@pytest.mark.parametrize("label", [None, "", "conda", "/bin/sh -c id", "/x;id"])
def test_conda_is_where_the_label_says_a_path(label: str | None) -> None:
    labels = {} if label is None else {steps.CONDA_LABEL: label}
    with pytest.raises(Invalid, match="has no conda"):
        steps.plan(spec(conda=["gdal"]), labels)


def test_every_argument_stands_behind_the_options() -> None:
    for step in steps.plan(
        spec(apt=["tree"], pip=["polars"], conda=["gdal"]), {steps.CONDA_LABEL: "/c"}
    ):
        assert '-- "$@"' in step.script
        assert not set(step.arguments) & set(step.script.split())
        checked = subprocess.run(["sh", "-n"], input=step.script, text=True, capture_output=True)
        assert checked.returncode == 0, checked.stderr
