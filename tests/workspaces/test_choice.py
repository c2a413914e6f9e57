"""What a start may ask for: one validation, whoever asks and by whichever way."""

from __future__ import annotations

from typing import Any

import pytest

from perijove.types.base import Principal
from perijove_hub.context import Context
from perijove_hub.exceptions import Invalid
from perijove_hub.workspaces.choice import Choice, from_form, parse, resolve
from tests.workspaces.conftest import ADA, ADMIN, GRACE, digest, private


def choose(
    context: Context, options: object, who: Principal = ADA, *, local: bool = False
) -> Choice:
    with context.database.reading() as session:
        return resolve(session, context.settings, parse(options), who, local=local)


def refused(context: Context, options: object, who: Principal = ADA) -> Invalid:
    with pytest.raises(Invalid) as caught:
        choose(context, options, who)
    assert caught.value.fix
    return caught.value


def test_who_asks_for_nothing_gets_the_defaults(offered: Context) -> None:
    choice = choose(offered, {})
    assert (choice.image, choice.digest) == ("cpu@2", digest(2))
    assert (choice.size, choice.interface.value) == ("small", "lab")
    assert (choice.group, choice.idle_minutes) == ("lab", 60)


def test_everything_can_be_chosen(offered: Context) -> None:
    options = {
        "image": "cpu@1",
        "size": "large",
        "interface": "notebook",
        "group": "research",
        "idle_minutes": 30,
    }
    choice = choose(offered, options)
    assert (choice.image, choice.digest) == ("cpu@1", digest(1))
    assert choice.limits.memory_mb == 8192
    assert (choice.interface.value, choice.group, choice.idle_minutes) == (
        "notebook",
        "research",
        30,
    )


@pytest.mark.parametrize("options", [None, [], "small", 7])
def test_what_is_no_object_is_refused(offered: Context, options: object) -> None:
    refused(offered, options)


@pytest.mark.parametrize(
    "field",
    ["siez", "mem_limit", "cpu_limit", "volumes", "environment", "cmd", "extra_host_config", ""],
)
def test_a_field_nobody_knows_is_named_with_its_value(offered: Context, field: str) -> None:
    problem = refused(offered, {field: "16G"})
    assert problem.field == field
    assert f"'{field}'" in problem.detail
    assert "16G" in problem.detail


def test_a_typing_error_is_told_what_was_meant(offered: Context) -> None:
    assert "'size'" in str(refused(offered, {"siez": "small"}).fix)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image", "../../etc"),
        ("image", "perijove/cpu:latest"),
        ("image", digest(1)),
        ("image", "cpu@0"),
        ("image", "cpu@99"),
        ("image", "CPU"),
        ("image", "gone"),
        ("image", ""),
        ("image", ["cpu"]),
        ("image", {"digest": digest(1)}),
        ("image", 5),
        ("image", "x" * 81),
        ("size", "huge"),
        ("size", ""),
        ("size", 2),
        ("size", {"cpu": 512}),
        ("interface", "shell"),
        ("interface", 1),
        ("interface", "rstudio"),
        ("group", "risk"),
        ("group", ""),
        ("group", "*"),
        ("idle_minutes", 9),
        ("idle_minutes", 0),
        ("idle_minutes", -60),
        ("idle_minutes", 481),
        ("idle_minutes", 10**30),
        ("idle_minutes", "60"),
        ("idle_minutes", 60.5),
        ("idle_minutes", True),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(offered: Context, field: str, value: Any) -> None:
    assert refused(offered, {field: value}).field == field


def test_an_image_of_somebody_elses_reads_as_if_it_did_not_exist(offered: Context) -> None:
    assert choose(offered, {"image": "adas"}).digest == digest(4)
    theirs = refused(offered, {"image": "adas"}, GRACE)
    nobodys = refused(offered, {"image": "gone"}, GRACE)
    assert theirs.detail.replace("adas", "gone") == nobodys.detail
    assert theirs.fix == nobodys.fix
    assert choose(offered, {"image": "adas"}, ADMIN).digest == digest(4)


@pytest.mark.parametrize("state", ["draft", "tested", "retired"])
def test_only_approved_versions_start_also_for_their_owner(offered: Context, state: str) -> None:
    with offered.database.session() as session:
        private(session, "mine", digest(9), state=state)
    assert refused(offered, {"image": "mine"}).field == "image"
    assert refused(offered, {"image": "mine@1"}).field == "image"


def test_a_size_of_other_groups_is_refused_and_says_whose_it_is(offered: Context) -> None:
    problem = refused(offered, {"size": "gpu"})
    assert "risk" in problem.detail
    assert choose(offered, {"size": "gpu"}, GRACE).limits.gpus == 1


def test_more_gpus_than_the_machine_has_are_not_waited_for(offered: Context) -> None:
    offered.settings.workspaces.sizes["gpus"] = offered.settings.workspaces.sizes["gpu"].model_copy(
        update={"gpus": 2.0, "groups": ["*"]}
    )
    assert "2 GPUs" in refused(offered, {"size": "gpus"}).detail


def test_a_gpu_idles_no_longer_than_the_administrator_lets_it(offered: Context) -> None:
    assert choose(offered, {"size": "gpu"}, GRACE).idle_minutes == 20
    assert choose(offered, {"size": "gpu", "idle_minutes": 15}, GRACE).idle_minutes == 15
    problem = refused(offered, {"size": "gpu", "idle_minutes": 60}, GRACE)
    assert "10 to 20" in str(problem.fix)


def test_a_default_size_of_other_groups_falls_back_to_one_of_theirs(offered: Context) -> None:
    offered.settings.workspaces.sizes["small"].groups = ["risk"]
    assert choose(offered, {}).size == "medium"


def test_without_docker_there_is_no_image_and_any_saved_one_is_no_error(offered: Context) -> None:
    choice = choose(offered, {"image": "cpu", "size": "medium"}, local=True)
    assert (choice.image, choice.digest, choice.size) == (None, None, "medium")


def test_the_form_leaves_out_what_is_empty_and_keeps_what_is_strange() -> None:
    form = {
        "_xsrf": ["secret"],
        "image": ["cpu"],
        "idle_minutes": ["30"],
        "group": [""],
        "volumes": ["/:/host"],
        "size": ["small", "large"],
    }
    options = from_form(form)
    assert options == {
        "image": "cpu",
        "idle_minutes": 30,
        "volumes": "/:/host",
        "size": ["small", "large"],
    }


@pytest.mark.parametrize("text", ["abc", "-5", "1e3", "9" * 5000, "٣٠٠٠٠٠٠٠٠٠٠"])
def test_idle_minutes_of_a_form_that_are_none_are_refused(offered: Context, text: str) -> None:
    assert refused(offered, from_form({"idle_minutes": [text]})).field == "idle_minutes"
