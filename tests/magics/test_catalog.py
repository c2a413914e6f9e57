"""``%%sql`` and ``%catalog`` against a real control plane."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pandas as pd
import pytest

from perijove import catalog
from perijove.exceptions import ApiError, ParameterError
from perijove.magics.arguments import UsageError


def run(shell, source):
    result = shell.run_cell(source)
    result.raise_error()
    return result.result


def refusal(shell, source):
    """Run a cell that must fail and return what it said."""
    return str(shell.run_cell(source).error_in_exec)


def test_the_catalog_is_searched(shell, ada):
    found = run(shell, "%catalog cancer")
    assert len(found) == 1
    assert "demo.main.breast_cancer" in repr(found)
    assert "569" in found._repr_html_()
    assert "Nothing mentions 'unicorns'" in repr(run(shell, "%catalog unicorns"))


def test_a_cell_reads_a_table_into_a_dataframe(shell, ada, capsys):
    run(shell, "%%sql demo --out df\nselect * from breast_cancer")
    frame = shell.user_ns["df"]
    assert frame.shape == (569, 31)
    assert frame["mean_radius"].dtype == "float64"
    assert pd.api.types.is_string_dtype(frame["diagnosis"].dtype)
    assert capsys.readouterr().out == "569 rows × 31 columns → df\n"  # noqa: RUF001


def test_names_are_bound_from_the_notebooks_variables(shell, ada):
    shell.user_ns.update(least=np.float64(20), kind="malignant", unused=object())
    run(
        shell,
        "%%sql demo --out df\n"
        "select diagnosis, mean_radius from breast_cancer -- :unused\n"
        "where mean_radius > :least and diagnosis = :kind",
    )
    frame = shell.user_ns["df"]
    assert len(frame) > 10
    assert set(frame["diagnosis"]) == {"malignant"}
    assert frame["mean_radius"].min() > 20


def test_a_variable_that_is_missing_or_cannot_be_bound_is_named(shell, ada):
    assert "there is no variable 'least'" in refusal(shell, "%%sql demo\nselect :least")
    shell.user_ns["frame"] = pd.DataFrame({"a": [1]})
    assert "'frame' is a " in refusal(shell, "%%sql demo\nselect :frame")


def test_braces_in_a_statement_are_text(shell, ada):
    shell.user_ns["x"] = "pasted"
    run(shell, "df = %sql demo select '{x}' as a, '$x' as b")
    assert shell.user_ns["df"].to_dict("list") == {"a": ["{x}"], "b": ["$x"]}


def test_jupysqls_habit_and_the_line_form_work(shell, ada):
    run(shell, "%%sql demo one <<\nselect 1 as n")
    run(shell, "%%sql demo two << select 2 as n\nunion all select 3")
    run(shell, "%sql demo three << select 'it''s' as n")
    run(shell, "%sql demo --out four --limit 1 select 4 as n union all select 5")
    run(shell, "five = %sql demo select 5 as n")
    values = [shell.user_ns[name]["n"].tolist() for name in ("one", "two", "three", "four", "five")]
    assert values == [[1], [2, 3], ["it's"], [4], [5]]


def test_the_only_source_need_not_be_named(shell, ada):
    run(shell, "%%sql --out df\nselect 1 as n")
    assert shell.user_ns["df"]["n"].tolist() == [1]


def test_without_a_name_the_head_is_shown(shell, ada, capsys):
    run(shell, "%%sql demo\nselect mean_radius from breast_cancer")
    out = capsys.readouterr().out
    assert "569 rows × 1 columns, the first 10 shown; keep them with --out NAME" in out  # noqa: RUF001
    assert "17.99" in out


def test_a_limit_that_cuts_says_so(shell, ada, capsys):
    run(shell, "%%sql demo --out df --limit 5\nselect * from breast_cancer")
    assert "5 rows × 31 columns → df (cut there: the source has more)" in capsys.readouterr().out  # noqa: RUF001
    with pytest.warns(UserWarning, match="Only the first 5 rows were read"):
        assert len(catalog.read("select * from breast_cancer", "demo", limit=5)) == 5


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%sql demo --outt df\nselect 1", "There is no flag --outt. Did you mean --out?"),
        ("%%sql dmeo\nselect 1", "Did you mean 'demo'?"),
        ("%%sql demo\nselect nope from breast_cancer", "no such column: nope"),
        ("%%sql demo\ndrop table breast_cancer", "Only statements that read are allowed here."),
        ("%%sql demo --out 1df\nselect 1", "'1df' cannot be the name of a variable."),
        ("%%sql demo df\nselect 1", "'df' is one word too many."),
        ("%%sql demo\n  ", "There is no statement."),
        ("%%sql <<\nselect 1", "Before << stands the name"),
        ("%%sql demo --limit 0\nselect 1", "--limit must be at least 1."),
        ("%sql", "There is no statement."),
    ],
)
def test_mistakes_are_one_line_with_the_fix(shell, ada, capsys, cell, said):
    assert said in refusal(shell, cell)
    assert "Traceback" not in capsys.readouterr().out


def test_a_failed_query_leaves_the_old_variable(shell, ada):
    shell.user_ns["df"] = "kept"
    refusal(shell, "%%sql demo --out df\nselect nope")
    assert shell.user_ns["df"] == "kept"


def test_python_finds_and_reads_the_same(ada):
    assert [d.name for d in catalog.search("cancer")] == ["demo.main.breast_cancer"]
    assert [s.name for s in catalog.sources()] == ["demo"]
    dataset = catalog.show("demo.main.breast_cancer")
    assert dataset.snippet == '%%sql demo --out df\nselect * from "breast_cancer" limit 1000'
    frame = catalog.read(
        "select count(*) n from breast_cancer where diagnosis = :d",
        "demo",
        parameters={"d": "benign"},
    )
    assert frame["n"].tolist() == [357]
    assert len(catalog.preview("demo.main.breast_cancer", limit=3).rows) == 3
    with pytest.raises(ApiError, match=r"There is no dataset 'demo\.main\.nope'"):
        catalog.show("demo.main.nope")


def test_types_survive_gaps_dates_and_large_numbers(ada, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from perijove_hub.settings import SourceSettings

    table = pa.table(
        {
            "big": pa.array([2**60, None]),
            "flag": pa.array([True, None]),
            "day": pa.array([datetime.date(2024, 1, 2), None]),
            "price": pa.array([decimal.Decimal("1.10"), None]),
            "tags": pa.array([["a"], None]),
            "same": pa.array([1, 2], pa.int32()),
        }
    )
    pq.write_table(table, tmp_path / "types.parquet")
    ada.context.settings.catalog.sources["lake"] = SourceSettings(path=str(tmp_path), groups=["*"])
    frame = catalog.read("select * from types", "lake")
    assert frame["big"].tolist() == [2**60, pd.NA]
    assert frame.dtypes.astype(str).to_dict() | {"day": ""} == {
        "big": "Int64",
        "flag": "boolean",
        "day": "",
        "price": "object",
        "tags": "object",
        "same": "int32",
    }
    assert str(frame["day"].dtype).startswith("datetime64")
    assert frame["price"][0] == decimal.Decimal("1.10")


def test_columns_of_one_name_are_all_kept(ada):
    frame = catalog.read("select 1 as a, 2 as a, null as a", "demo")
    assert list(frame.columns) == ["a", "a", "a"]
    assert frame.iloc[0, :2].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("value", "bound"),
    [
        (np.int64(3), 3),
        (pd.Timestamp("2024-01-02"), "2024-01-02T00:00:00"),
        (datetime.date(2024, 1, 2), "2024-01-02"),
        (decimal.Decimal("1.5"), "1.5"),
        (True, 1),
        (None, None),
        (float("nan"), None),
    ],
)
def test_values_of_python_numpy_and_pandas_are_bound(ada, value, bound):
    frame = catalog.query("select :v as v", "demo", parameters={"v": value}).table
    assert frame.to_pydict() == {"v": [bound]}


def test_a_value_nobody_can_bind_is_refused_before_it_is_sent(ada):
    with pytest.raises(ParameterError, match="'v' is a bytes"):
        catalog.query("select :v", "demo", parameters={"v": b"x"})


def test_no_credential_reaches_the_kernel(shell, ada):
    answers = repr(catalog.sources()) + repr(catalog.show("demo.main.breast_cancer"))
    assert str(ada.context.data.root) not in answers
    assert "sqlite:///" not in answers


def test_without_a_source_the_choice_is_named(shell, ada):
    source = ada.context.settings.catalog.sources["demo"]
    ada.context.settings.catalog.sources["other"] = source
    assert "Which source? You may read: demo, other." in refusal(shell, "%%sql --out df\nselect 1")
    assert UsageError.__mro__[1].__name__ == "PerijoveError"
