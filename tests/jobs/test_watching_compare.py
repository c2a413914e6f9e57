"""Two runs side by side: what differs is told, what only looks so is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from perijove.types.base import Visibility
from perijove.types.comparison import Comparison
from perijove_hub.exceptions import NotFound
from perijove_hub.jobs import cell_diff
from perijove_hub.jobs.compare import compare
from tests.jobs.conftest import ADA, BOB, GRACE, TUTORIAL, Platform
from tests.jobs.notebooks import code, notebook
from tests.jobs.test_watching import ended

Cell = dict[str, Any]


def ran(source: str, *outputs: Cell, **more: Any) -> Cell:
    return code(source) | {"outputs": list(outputs), "execution_count": 1} | more


def stream(text: str) -> Cell:
    return {"output_type": "stream", "name": "stdout", "text": text}


def shown(**data: Any) -> Cell:
    named = {name.replace("__", "/"): value for name, value in data.items()}
    return {"output_type": "display_data", "data": named, "metadata": {}}


def injected(source: str, name: str) -> Cell:
    return code(source, tags=["injected-parameters"]) | {"id": name}


def told(one: Any, other: Any) -> list[tuple[int | None, int | None, list[str], bool]]:
    found, _, _ = cell_diff.compare(one, other, outputs=True)
    return [(cell.one, cell.other, cell.diff, cell.outputs_differ) for cell in found]


def test_cells_belong_together_by_their_ids() -> None:
    one = notebook(code("a = 1"), code("b = 2\nc = 3"), code("print(a)"))
    other = notebook(code("a = 1"), code("b = 2\nc = 4"), code("print(a)"))
    # One more in the middle: what follows is still the same.
    other["cells"].insert(1, code("new = True") | {"id": "new"})
    assert told(one, other) == [
        (None, 1, ["+new = True"], False),
        (1, 2, [" b = 2", "-c = 3", "+c = 4"], False),
    ]


def test_a_cell_that_was_rewritten_is_still_the_same_cell() -> None:
    one, other = notebook(code("a = 1"), code("x")), notebook(code("b = 2; c = 3"), code("x"))
    assert told(one, other) == [(0, 0, ["-a = 1", "+b = 2; c = 3"], False)]


def test_cells_without_ids_belong_together_by_what_they_hold() -> None:
    one = notebook(code("import numpy as np"), code("total = sum(values)\nprint(total)"))
    other = notebook(code("total = sum(values)\nprint(total, 1)"))
    for cell in one["cells"] + other["cells"]:
        del cell["id"]
    assert told(one, other) == [
        (0, None, ["-import numpy as np"], False),
        (1, 0, [" total = sum(values)", "-print(total)", "+print(total, 1)"], False),
    ]


def test_the_injected_parameters_are_no_code() -> None:
    one = notebook(code("print(C)"))
    other = notebook(code("print(C)"))
    one["cells"].insert(0, injected("C = 1", "random-1"))
    other["cells"].insert(0, injected("C = 2", "random-2"))
    assert told(one, other) == []


def test_what_is_new_at_every_run_is_no_difference() -> None:
    widget = "application__vnd.jupyter.widget-view+json"
    pairs = [
        # The same text in other pieces.
        ([stream("a\nb\n")], [stream("a\n"), stream("b\n")]),
        (
            [shown(text__plain="<A at 0x7f0000000001>")],
            [shown(text__plain="<A at 0x7f0000000002>")],
        ),
        (
            [shown(text__plain="Box()", **{widget: {"model_id": "1"}})],
            [shown(text__plain="Box()", **{widget: {"model_id": "2"}})],
        ),
    ]
    for first, second in pairs:
        one = notebook(ran("x", *first))
        other = notebook(ran("x", *second, execution_count=7))
        assert told(one, other) == [], first


def test_outputs_that_differ_are_told_as_short_text() -> None:
    error = {"output_type": "error", "ename": "E", "evalue": "\x1b[31mno", "traceback": ["t"]}
    one = notebook(ran("x", stream("a" * 10_000), shown(image__png="AAAA")), ran("y", error))
    other = notebook(ran("x", shown(text__plain=["1", "2"], image__png="BBBB")), ran("y"))
    found, same, left_out = cell_diff.compare(one, other, outputs=True)
    assert (len(found), same, left_out) == (2, 0, [])
    assert len(found[0].output_one) == cell_diff.MOST_SHOWN + 1
    assert found[0].output_other == "12\n[image/png]"
    assert (found[1].output_one, found[1].output_other) == ("E: no", "")
    assert cell_diff.compare(one, other, outputs=False)[0] == []


def test_what_is_too_much_is_left_out_and_said() -> None:
    many = notebook(*[code(f"x = {n}") for n in range(cell_diff.MOST_CELLS + 1)])
    _, same, left_out = cell_diff.compare(many, many, outputs=True)
    assert same == cell_diff.MOST_CELLS
    assert len(left_out) == 2 and "after the first 1000" in left_out[0]
    one, other = notebook(code("x" * 30_000)), notebook(code("x" * 30_001))
    _, same, left_out = cell_diff.compare(one, other, outputs=True)
    assert same == 1 and "after 20000 characters" in left_out[0]


@pytest.fixture
def pair(platform: Platform) -> tuple[Platform, str, str]:
    """Two runs of a job's two versions, with outputs."""
    job = platform.promote(visibility=Visibility.group, group="research")
    changed = notebook(
        code("C: float = 0.5  # strength", tags=["parameters"]), code("print('C is', C)")
    )
    platform.promote(changed)
    put = platform.context.blobs.put
    one, other = json.loads(json.dumps(TUTORIAL)), json.loads(json.dumps(changed))
    for content, text in ((one, "C = 1\n"), (other, "C is 2\n")):
        content["cells"][1]["outputs"] = [stream(text)]
        content["cells"].insert(1, injected("C = 1", text))
    first = ended(
        platform,
        job.id,
        parameters={"C": 1.0},
        metrics={"loss": 0.5, "only": 1.0},
        output_sha256=put(json.dumps(one).encode()),
    )
    second = ended(
        platform,
        job.id,
        version=2,
        state="failed",
        parameters={"C": 2.0},
        metrics={"loss": 0.25},
        output_sha256=put(json.dumps(other).encode()),
    )
    return platform, first.id, second.id


def compared(pair: tuple[Platform, str, str]) -> Comparison:
    platform, first, second = pair
    return compare(platform.context, ADA, first, second)


def test_two_runs_are_compared_in_all_that_they_are(pair: tuple[Platform, str, str]) -> None:
    found = compared(pair)
    assert [(one.name, one.one, one.other, one.same) for one in found.parameters] == [
        ("C", 1.0, 2.0, False)
    ]
    environment = {one.name: (one.one, one.other, one.same) for one in found.environment}
    assert environment["version"] == (1, 2, False)
    assert environment["image"] == (None, None, True)
    assert [(one.name, one.difference) for one in found.metrics] == [
        ("loss", -0.25),
        ("only", None),
    ]
    assert found.measures[0].name == "seconds"
    [cell] = found.cells
    assert (cell.one, cell.other) == (2, 2)
    assert cell.diff == ["-print('C =', C)", "+print('C is', C)"]
    assert (cell.output_one, cell.output_other) == ("C = 1", "C is 2")
    assert (found.cells_same, found.left_out) == (1, [])


def test_a_value_that_was_not_given_is_the_default(pair: tuple[Platform, str, str]) -> None:
    platform, first, _ = pair
    job_id = platform.runs.get(ADA, first).job_id
    same = (ended(platform, job_id), ended(platform, job_id, parameters={"C": 0.5}))
    [value] = compare(platform.context, ADA, same[0].id, same[1].id).parameters
    assert (value.name, value.one, value.other, value.same) == ("C", 0.5, 0.5, True)


def test_git_is_not_needed(
    pair: tuple[Platform, str, str], monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert len(compared(pair).cells) == 1


def test_both_runs_have_to_be_the_callers_to_see(pair: tuple[Platform, str, str]) -> None:
    platform, first, _ = pair
    private = platform.promote(name="private")
    hidden = ended(platform, private.id)
    assert compare(platform.context, BOB, first, first).cells == []
    for caller in (BOB, GRACE):
        for ids in ((first, hidden.id), (hidden.id, first)):
            with pytest.raises(NotFound, match="no such run"):
                compare(platform.context, caller, *ids)


def test_a_run_without_output_is_compared_by_the_code_it_runs(
    pair: tuple[Platform, str, str],
) -> None:
    platform, first, second = pair
    job = platform.runs.get(ADA, first).job_id
    queued = ended(platform, job, state="queued", started_at=None, ended_at=None)
    found = compare(platform.context, ADA, queued.id, second)
    [cell] = found.cells
    assert cell.diff and not cell.outputs_differ
    assert "outputs of the first run are not there" in found.left_out[0]


def test_what_is_no_notebook_leaves_the_rest_comparable(pair: tuple[Platform, str, str]) -> None:
    platform, first, _ = pair
    job = platform.runs.get(ADA, first).job_id
    for content in (b"{", b'{"cells": 7}', b"\xff"):
        bad = ended(platform, job, output_sha256=platform.context.blobs.put(content))
        found = compare(platform.context, ADA, first, bad.id)
        assert found.cells == []
        assert "not as a runner writes it" in found.left_out[0]


def test_a_comparison_without_end_is_ended(
    pair: tuple[Platform, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perijove_hub.jobs.compare.TIMEOUT", 0.01)
    found = compared(pair)
    assert found.cells == []
    assert "took longer than" in found.left_out[0]
    assert found.parameters
