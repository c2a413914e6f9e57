"""Wrong values are refused before anything starts, by name and with the fix."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from perijove.exceptions import ParameterError
from perijove.runner.parameters import read_cell
from perijove.runner.values import check, from_text

PARAMETERS, _ = read_cell(
    """
count = 3
C: float = 1.0
fast = False
name = "x"
day: date = date(2026, 1, 1)
at: datetime = datetime(2026, 1, 1)
items = [1]
table = {}
solver: Literal["lbfgs", "saga"] = "lbfgs"
seed: int | None = None
anything = None
token: perijove.Secret = "API_KEY"
"""
)


def test_values_that_fit_pass_and_are_as_json_carries_them() -> None:
    given = {
        "count": 4,
        "C": 2,
        "fast": True,
        "name": "y",
        "day": date(2026, 2, 3),
        "at": "2026-02-03T04:05",
        "items": [],
        "table": {"a": 1},
        "solver": "saga",
        "seed": None,
        "anything": {"x": [1]},
        "token": "OTHER_KEY",
    }
    checked = check(PARAMETERS, given)
    assert checked["C"] == 2.0
    assert isinstance(checked["C"], float)
    assert checked["day"] == "2026-02-03"
    assert checked["at"] == "2026-02-03T04:05:00"


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("count", True, "a whole number"),
        ("count", 1.5, "a whole number"),
        ("count", "3", "a whole number"),
        ("count", None, "a whole number"),
        ("C", True, "a number"),
        ("C", float("nan"), "a number"),
        ("C", 10**400, "a number"),
        ("fast", 1, "true or false"),
        ("name", 5, "text"),
        ("name", "\ud800", "text"),
        ("day", "soon", "a date"),
        ("day", 5, "a date"),
        ("items", "x", "a list"),
        ("table", [1], "an object"),
        ("solver", "newton", 'one of "lbfgs", "saga"'),
        ("seed", "x", "a whole number or null"),
        ("anything", object(), "any value"),
        ("token", "lower", "the name of a secret"),
        ("token", 5, "the name of a secret"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(name: str, value: Any, wanted: str) -> None:
    with pytest.raises(ParameterError, match=f"'{name}' must be {wanted}") as caught:
        check(PARAMETERS, {name: value})
    assert caught.value.name == name


def test_the_value_of_a_secret_given_by_mistake_is_not_repeated() -> None:
    with pytest.raises(ParameterError) as caught:
        check(PARAMETERS, {"token": "sk-live-4711"})
    assert "4711" not in str(caught.value)


def test_a_choice_of_one_is_not_true() -> None:
    parameters, _ = read_cell("level: Literal[1, 2] = 1")
    with pytest.raises(ParameterError):
        check(parameters, {"level": True})


@pytest.mark.parametrize(("typo", "right"), [("cuont", "count"), ("c", "C"), ("Solver", "solver")])
def test_an_unknown_name_is_refused_with_the_nearest_right_one(typo: str, right: str) -> None:
    with pytest.raises(ParameterError, match=f"Did you mean '{right}'"):
        check(PARAMETERS, {typo: 1})


def test_a_name_like_no_other_lists_what_there_is() -> None:
    with pytest.raises(ParameterError, match="It has: count, C, fast"):
        check(PARAMETERS, {"zzzzzzz": 1})


def test_a_notebook_without_parameters_takes_none() -> None:
    with pytest.raises(ParameterError, match="declares none"):
        check([], {"C": 1})


def test_a_missing_required_one_is_refused() -> None:
    parameters, _ = read_cell("C: float")
    with pytest.raises(ParameterError, match="has no default"):
        check(parameters, {})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("count", "4", 4),
        ("C", "2.0", 2.0),
        ("C", "2", 2.0),
        ("fast", "True", True),
        ("fast", "no", False),
        ("name", "2.0", "2.0"),
        ("items", "[1, 2]", [1, 2]),
        ("items", "['a']", ["a"]),
        ("table", '{"a": 1}', {"a": 1}),
        ("seed", "None", None),
        ("solver", "saga", "saga"),
        ("anything", "7", 7),
        ("anything", "words", "words"),
    ],
)
def test_text_is_converted_by_declared_type(name: str, text: str, value: Any) -> None:
    converted = from_text(PARAMETERS, {name: text})
    assert converted == {name: value}
    assert type(converted[name]) is type(value)
    check(PARAMETERS, converted)


@pytest.mark.parametrize(
    ("name", "text"), [("count", "2.5"), ("C", "two"), ("fast", "maybe"), ("items", "a,b")]
)
def test_text_that_does_not_convert_is_refused(name: str, text: str) -> None:
    with pytest.raises(ParameterError, match=f"'{name}' must be"):
        from_text(PARAMETERS, {name: text})
