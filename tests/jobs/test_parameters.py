"""Parameters are read from the tagged cell without running it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from perijove.exceptions import NotebookError
from perijove.runner.parameters import inspect, read_cell
from perijove.types.jobs import Parameter
from tests.jobs.notebooks import code, markdown, notebook


def read(source: str) -> dict[str, Parameter]:
    parameters, warnings = read_cell(source)
    assert warnings == []
    return {parameter.name: parameter for parameter in parameters}


@pytest.mark.parametrize(
    ("source", "kind", "default"),
    [
        ("a = 1  # help", "int", 1),
        ("a: int = 2", "int", 2),
        ("a = 0.5", "float", 0.5),
        ("a = -1", "int", -1),
        ("a: float = 1", "float", 1),
        ("a = True", "bool", True),
        ("a = 'x'", "str", "x"),
        ('a = "k=v"', "str", "k=v"),
        ('a = "http://x/#frag"', "str", "http://x/#frag"),
        ("a = [1, 2]", "list", [1, 2]),
        ("a: list[int] = [1]", "list", [1]),
        ("a = (1, 2)", "list", [1, 2]),
        ("a = {'x': 1}", "dict", {"x": 1}),
        ("a: dict[str, int] = {}", "dict", {}),
        ("a: 'int' = 3", "int", 3),
        ("a: date = date(2026, 1, 2)", "date", "2026-01-02"),
        ("a = datetime.date(2026, 1, 2)", "date", "2026-01-02"),
        ("a: datetime.date = '2026-01-02'", "date", "2026-01-02"),
        ("a = datetime(2026, 1, 2, 3)", "datetime", "2026-01-02T03:00:00"),
        ("a = datetime.datetime.fromisoformat('2026-01-02')", "datetime", "2026-01-02T00:00:00"),
        ("a: typing.Any = 1", "any", 1),
        ("a: int | float = 1", "float", 1),
        ("a = dict(x=1)", "dict", {"x": 1}),
        ("a = dt.date(2026, 1, 2)", "date", "2026-01-02"),
        ("a: dt.datetime = dt.datetime(2026, 1, 2)", "datetime", "2026-01-02T00:00:00"),
        ("a: 'datetime.date' = '2026-01-02'", "date", "2026-01-02"),
        ('a: "Literal[1, 2]" = 1', "choice", 1),
        ("a: Annotated[int, 'of rows'] = 1", "int", 1),
        ("a: typing.List[str] = []", "list", []),
        ("a: perijove.Secret = 'API_KEY'", "secret", "API_KEY"),
        ("a: Secret = 'API_KEY'", "secret", "API_KEY"),
        ("a: perijove.Secret = perijove.secret('API_KEY')", "secret", "API_KEY"),
        ("a = perijove.secret('API_KEY')", "secret", "API_KEY"),
    ],
)
def test_types_come_from_annotations_and_values(source: str, kind: str, default: Any) -> None:
    parameter = read(source)["a"]
    assert (parameter.type, parameter.default) == (kind, default)
    assert not parameter.required
    assert not parameter.nullable


@pytest.mark.parametrize(
    "source",
    ["a: Optional[int] = None", "a: int | None = None", "a: 'int | None' = 1", "a: int = None"],
)
def test_optional_means_nullable(source: str) -> None:
    parameter = read(source)["a"]
    assert (parameter.type, parameter.nullable) == ("int", True)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("a: datetime.date = None", "date"),
        ("a: 'str | None' = None", "str"),
        ("a: typing.Optional[datetime.datetime] = None", "datetime"),
        ("a: list[str] | None = None", "list"),
        ("a: Union[dict, None] = None", "dict"),
        ("a: bool | None = True", "bool"),
        ("a: Secret | None = None", "secret"),
    ],
)
def test_every_type_may_be_nullable(source: str, kind: str) -> None:
    parameter = read(source)["a"]
    assert (parameter.type, parameter.nullable) == (kind, True)


@pytest.mark.parametrize(
    ("source", "default"),
    [
        ("a: int = 'x'", "x"),
        ("a: int = True", True),
        ("a: datetime.date = 'soon'", "soon"),
        ("a: Literal['x', 'y'] = 'z'", "z"),
        ("a: list = {}", {}),
    ],
)
def test_a_default_of_another_type_is_told_and_not_offered(source: str, default: Any) -> None:
    (parameter,), (warning,) = read_cell(source)
    assert parameter.default is None
    assert f"its default {json.dumps(default)} is not one" in warning


def test_a_secret_that_is_computed_by_hand_has_to_be_named_by_every_run() -> None:
    (parameter,), (warning,) = read_cell("a: perijove.Secret = getpass()")
    assert (parameter.type, parameter.required) == ("secret", True)
    assert "must give another value" in warning


def test_the_value_of_a_secret_in_the_cell_is_refused_and_not_repeated() -> None:
    with pytest.raises(NotebookError, match="perijove secrets set NAME") as caught:
        read_cell("a: perijove.Secret = 'sk-live-4711'")
    assert "4711" not in str(caught.value)


def test_literal_means_choice() -> None:
    parameter = read('a: Literal["lbfgs", "saga"] = "lbfgs"  # solver')["a"]
    assert (parameter.type, parameter.choices) == ("choice", ["lbfgs", "saga"])
    assert parameter.help == "solver"
    assert read('a: Optional[Literal["x"]] = None')["a"].nullable
    assert read("a: Literal[1, None] = 1")["a"].nullable


def test_a_bare_annotation_is_required() -> None:
    parameter = read("C: float  # inverse regularisation")["C"]
    assert (parameter.type, parameter.required, parameter.default) == ("float", True, None)
    assert parameter.help == "inverse regularisation"


def test_several_assignments_on_a_line_and_a_name_given_twice() -> None:
    assert {n: p.default for n, p in read("f = 1; g = 2").items()} == {"f": 1, "g": 2}
    assert {n: p.default for n, p in read("f = g = 3").items()} == {"f": 3, "g": 3}
    assert read("f = 1\nf = 'two'")["f"].type == "str"


def test_a_help_text_may_end_a_value_of_several_lines() -> None:
    assert read("a = [\n  1,  # not this\n  2,\n]  # this")["a"].help == "this"


def test_a_comment_right_above_helps_unless_it_is_for_programs() -> None:
    found = read(
        "# Parameters\na = 1\n# how many\n# rows to read\nrows = 2\n"
        "# of something else\n\nb = 3  # noqa: E501\n# above\nc = 4  # behind\n"
        "d = 5  # type: ignore\nlabel = '# no comment'"
    )
    assert {name: one.help for name, one in found.items()} == {
        "a": "", "rows": "how many rows to read", "b": "", "c": "behind", "d": "", "label": "",
    }  # fmt: skip


def test_other_statements_are_no_parameters() -> None:
    assert list(read("import os\nprint('x')\nif True:\n    y = 1\na = 1")) == ["a"]
    assert list(read("%matplotlib inline\n!ls\na = 1")) == ["a"]


@pytest.mark.parametrize(
    "value", ["dict([(1, 2)])", "dict(**x)", "os.getcwd()", "date.today()", "{1, 2}", "b'x'"]
)
def test_a_computed_default_is_offered_with_a_warning(value: str) -> None:
    (parameter,), (warning,) = read_cell(f"a = {value}")
    assert (parameter.type, parameter.default, parameter.required) == ("any", None, False)
    assert "'a' has a default that is computed" in warning


def test_infinity_and_what_json_cannot_hold_are_computed_too() -> None:
    for value in ("1e999", "{1: 2}", "'\\ud800'", "1j"):
        (parameter,), warnings = read_cell(f"a = {value}")
        assert parameter.default is None
        assert len(warnings) == 1


def test_an_annotation_nobody_knows_accepts_any_value_with_a_warning() -> None:
    (parameter,), (warning,) = read_cell("a: pd.Timestamp = None")
    assert parameter.type == "any"
    assert "'pd.Timestamp'" in warning


def test_unpacking_is_no_parameter_and_says_so() -> None:
    parameters, (warning,) = read_cell("x = 0\na, b = 1, 2")
    assert [parameter.name for parameter in parameters] == ["x"]
    assert "Line 2" in warning
    assert "Assign each name on its own" in warning


def test_a_notebook_gives_its_kernel_and_parameters() -> None:
    found = inspect(notebook(markdown("# T"), code("C = 1.0", tags=["parameters"])))
    assert found.kernel == "python3"
    assert [parameter.name for parameter in found.parameters] == ["C"]
    assert found.warnings == []


def test_source_may_be_a_list_of_lines() -> None:
    cell = code("", tags=["parameters"]) | {"source": ["a = 1\n", "b = 2"]}
    assert [p.name for p in inspect(notebook(cell)).parameters] == ["a", "b"]


def test_no_parameters_cell_is_allowed_and_says_how_to_make_one() -> None:
    found = inspect(notebook(code("C = 1")))
    assert found.parameters == []
    assert "tag the cell 'parameters'" in found.warnings[0]


def test_another_language_has_no_parameters_and_says_so() -> None:
    other = notebook(code("x <- 1", tags=["parameters"]), language="R")
    assert "this one is in r" in inspect(other).warnings[0]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("text", "not a notebook"),
        ({}, "no 'nbformat'"),
        ({"nbformat": 3, "worksheets": []}, "format 3"),
        ({"nbformat": 4, "cells": "no"}, "no list of cells"),
    ],
)
def test_what_is_no_notebook_is_refused(broken: Any, message: str) -> None:
    with pytest.raises(NotebookError, match=message):
        inspect(broken)


def test_two_tagged_cells_are_refused_with_their_numbers() -> None:
    two = notebook(code("a = 1", tags=["parameters"]), code("b = 1", tags=["parameters"]))
    with pytest.raises(NotebookError, match="Cells 1 and 2 are tagged"):
        inspect(two)
    many = notebook(*[code(f"a = {at}", tags=["parameters"]) for at in range(5000)])
    with pytest.raises(NotebookError, match="Cells 1 and 2, and 4998 more, are") as caught:
        inspect(many)
    assert len(str(caught.value)) < 200


def test_a_syntax_error_names_cell_and_line() -> None:
    with pytest.raises(NotebookError, match="cell 2, line 3"):
        inspect(notebook(code("1"), code("a = 1\nb = 2\nc = = 3", tags=["parameters"])))


def test_a_tagged_text_cell_is_refused() -> None:
    with pytest.raises(NotebookError, match="holds no code"):
        inspect(notebook(markdown("a = 1", tags=["parameters"])))


def test_a_cell_that_would_fill_every_list_of_jobs_is_refused() -> None:
    with pytest.raises(NotebookError, match="at most 50,000"):
        inspect(notebook(code(f"a = '{'x' * 50_000}'", tags=["parameters"])))
