"""Names of workspaces: valid for MLflow, and never shared by two groups or people."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from perijove.types.base import Principal
from perijove_hub.experiments.workspaces import (
    group_workspace,
    personal_workspace,
    workspace_of,
    workspaces_of,
)

NAMES = st.text(min_size=1, max_size=80)


@given(NAMES)
def test_any_name_gives_a_valid_workspace(name: str) -> None:
    for workspace in (group_workspace(name), personal_workspace(name)):
        assert re.fullmatch("[a-z0-9]([-a-z0-9]*[a-z0-9])?", workspace)
        assert 2 <= len(workspace) <= 63


@given(NAMES, NAMES)
def test_two_names_never_share_a_workspace(one: str, other: str) -> None:
    assert (group_workspace(one) == group_workspace(other)) == (one == other)
    assert group_workspace(one) != personal_workspace(other)


def test_names_that_look_alike_are_kept_apart() -> None:
    alike = ["a-b", "a_b", "A-B", "a--b", "a.b", "a b", " a-b"]
    alike += [group_workspace(name).removeprefix("group-") for name in alike]
    assert len({group_workspace(name) for name in set(alike)}) == len(set(alike))


def test_the_usual_workspace_is_the_first_groups_or_the_personal_one() -> None:
    both = Principal(name="ada", groups=["risk", "research"])
    assert workspace_of(both) == "group-research"
    assert workspaces_of(both) == ["group-research", "group-risk", "user-ada"]
    assert workspace_of(Principal(name="eve")) == "user-eve"
