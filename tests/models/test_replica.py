"""The replica against MLflow itself: the same frames in, the same answers out."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from perijove.replica import arrays
from perijove.replica.answer import encode
from perijove.replica.exceptions import BadRequest, UnsupportedMedia
from perijove.replica.model import Model
from tests.models import saved

Load = Callable[..., Model]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Save a mirror model with a signature and load it as the replica does."""
    made: dict[str, Model] = {}

    def loaded(schema: Any, params: Any = None) -> Model:
        key = f"{schema}{params}"
        if key not in made:
            folder = tmp_path_factory.mktemp("model") / "model"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                saved.save(saved.Mirror(), folder, schema, params)
                made[key] = Model(folder)
        return made[key]

    return loaded


def answer(model: Model, **body: Any) -> Any:
    """What the replica answers to a JSON body."""
    return orjson.loads(model.answer(json.dumps(body).encode(), "application/json"))["predictions"]


def refusal(model: Model, body: bytes | None = None, **parts: Any) -> BadRequest:
    """Why the replica refuses a body."""
    with pytest.raises(BadRequest) as caught:
        model.answer(body if body is not None else json.dumps(parts).encode(), "application/json")
    return caught.value


finite = st.floats(allow_nan=False, allow_infinity=False)
instants = st.datetimes(min_value=datetime(1700, 1, 1), max_value=datetime(2200, 1, 1))  # noqa: DTZ001
texts = st.text(max_size=8)

ROW = st.fixed_dictionaries(
    {
        "a double": finite | st.integers(-(2**53), 2**53),
        "float": st.floats(allow_nan=False, allow_infinity=False, width=32),
        "long": st.integers(-(2**63), 2**63 - 1),
        "integer": st.integers(-(2**31), 2**31 - 1),
        "boolean": st.booleans(),
        "string": texts,
        "datetime": instants.map(lambda value: value.isoformat()),
        "binary": st.binary(max_size=8).map(lambda value: base64.b64encode(value).decode()),
        "maybe double": finite | st.none(),
        "maybe string": texts,
    }
)


def as_mlflow_would(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The frame a Python caller would have in hand."""
    frame = pd.DataFrame(rows)
    columns: dict[str, Any] = {
        "a double": frame["a double"].astype("float64"),
        "float": frame["float"].astype("float32"),
        "long": frame["long"].astype("int64"),
        "integer": frame["integer"].astype("int32"),
        "datetime": pd.to_datetime(frame["datetime"], format="ISO8601").astype("datetime64[ns]"),
        "binary": [base64.b64decode(value) for value in frame["binary"]],
        "maybe double": frame["maybe double"].astype("float64"),
    }
    return frame.assign(**columns)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=4), order=st.randoms(use_true_random=False))
def test_every_form_gives_the_model_what_pyfunc_gives_it(
    load: Load, rows: list[dict[str, Any]], order: Any
) -> None:
    model = load(saved.MIXED)
    expected = json.loads(encode(model._pyfunc.predict(as_mlflow_would(rows))))["predictions"]
    assert len(expected["values"]) == len(rows)
    names = list(rows[0])
    order.shuffle(names)
    shuffled = [{name: row[name] for name in names} for row in rows]
    split = {"columns": names, "data": [list(row.values()) for row in shuffled]}
    assert answer(model, dataframe_split=split) == expected
    assert answer(model, dataframe_records=shuffled) == expected
    assert answer(model, instances=shuffled) == expected
    columns = {name: [row[name] for row in rows] for name in names}
    assert answer(model, inputs=columns) == expected


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(finite, finite, finite), min_size=1, max_size=5),
    whole=st.integers(-(2**53), 2**53),
)
def test_rows_of_numbers_take_the_short_way_to_the_same_answer(
    load: Load, rows: list[tuple[float, float, float]], whole: int
) -> None:
    model = load(saved.DOUBLES)
    data = [list(row) for row in rows] + [[whole, 0, 1.5]]
    frame = pd.DataFrame(data, columns=["x", "y", "z"], dtype="float64")
    expected = json.loads(encode(model._pyfunc.predict(frame)))["predictions"]
    assert answer(model, dataframe_split={"columns": ["x", "y", "z"], "data": data}) == expected
    back = [row[::-1] for row in data]
    assert answer(model, dataframe_split={"columns": ["z", "y", "x"], "data": back}) == expected
    records = [dict(zip("xyz", row, strict=True)) for row in data]
    assert answer(model, dataframe_records=records) == expected


IRIS = load_iris(as_frame=True)


def fitted(tmp_path: Path, estimator: Any) -> Model:
    """Fit an estimator on the iris data, save it with MLflow and load it as the replica does."""
    estimator.fit(IRIS.data, IRIS.target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            estimator,
            str(tmp_path / "model"),
            signature=mlflow.models.infer_signature(IRIS.data, IRIS.target),
            serialization_format="cloudpickle",
            pip_requirements=["scikit-learn"],
        )
        return Model(tmp_path / "model")


def only_the_last(frame: pd.DataFrame) -> pd.DataFrame:
    """Depend on a name, as a person's own step may."""
    return frame[["petal width (cm)"]]


BY_ARRAY = [
    make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
    RandomForestClassifier(5, random_state=0),
    KNeighborsClassifier(),
    LinearRegression(),
]
BY_FRAME = [
    make_pipeline(FunctionTransformer(only_the_last), LogisticRegression()),
    make_pipeline(
        ColumnTransformer([("one", StandardScaler(), ["petal width (cm)"])]), LogisticRegression()
    ),
    VotingClassifier([("a", make_pipeline(FunctionTransformer(only_the_last), SVC()))]),
    make_pipeline(StandardScaler().set_output(transform="pandas"), LogisticRegression()),
    HistGradientBoostingClassifier(max_iter=3),
]


@pytest.mark.filterwarnings(f"ignore:{arrays.WARNING}:UserWarning")
@pytest.mark.parametrize("estimator", [*BY_ARRAY, *BY_FRAME], ids=lambda it: type(it).__name__)
def test_a_real_model_gives_the_same_predictions_by_the_shortest_safe_way(
    tmp_path: Path, estimator: Any
) -> None:
    model = fitted(tmp_path, estimator)
    assert (arrays.predictor(model._pyfunc, list(IRIS.data)) is not None) == (estimator in BY_ARRAY)
    split = IRIS.data.to_dict(orient="split")
    found = answer(model, dataframe_split={key: split[key] for key in ("columns", "data")})
    # Not to the last bit: sums depend on how a frame lies in memory.
    assert found == pytest.approx(model._pyfunc.predict(IRIS.data).tolist(), rel=1e-12)


def test_the_index_reaches_the_model(load: Load) -> None:
    split = {"columns": ["x", "y", "z"], "index": ["p", "q"], "data": [[1, 2, 3], [4, 5, 6]]}
    assert answer(load(saved.DOUBLES), dataframe_split=split)["index"] == ["p", "q"]


def test_columns_without_names_go_by_position(load: Load) -> None:
    model = load(saved.UNNAMED)
    frame = pd.DataFrame([[1.5, 2]]).astype({0: "float64", 1: "int64"})
    expected = json.loads(encode(model._pyfunc.predict(frame)))["predictions"]
    assert answer(model, dataframe_split={"data": [[1.5, 2]]}) == expected
    assert answer(model, instances=[[1.5, 2]]) == expected


def test_tensors_are_read_as_mlflow_reads_them(load: Load) -> None:
    model = load(saved.TENSOR)
    expected = {"type": "float64", "values": [[1.0, 2.0]]}
    assert answer(model, inputs=[[1.0, 2.0]]) == expected
    assert answer(model, instances=[[1.0, 2.0]]) == expected
    error = refusal(model, inputs=[[1.0, 2.0, 3.0]])
    assert "does not match the model's signature" in str(error)
    error = refusal(model, inputs=[["secret", 2.0]])
    assert "secret" not in f"{error} {error.fix}"


def test_csv_is_read_by_its_header(load: Load) -> None:
    model = load(saved.MIXED)
    text = (
        "string,a double,float,long,integer,boolean,datetime,binary,maybe double\n"
        '"a, b",1.5,2,3,4,true,2026-01-02T03:04:05,aGk=,\n'
    )
    found = orjson.loads(model.answer(text.encode(), "text/csv; charset=utf-8"))["predictions"]
    assert found["columns"][0] == "a double"
    assert found["values"][0][5] == "'a, b'"
    assert found["values"][0][-1] == "nan"
    with pytest.raises(BadRequest, match="Column 'long', row 0: expected a whole number"):
        model.answer(text.replace(",3,", ",3.5,").encode(), "text/csv")
    with pytest.raises(BadRequest, match="column 'string' is missing"):
        model.answer(text.replace("string", "sting", 1).encode(), "text/csv")


def test_parameters_are_checked(load: Load) -> None:
    model = load(saved.DOUBLES, saved.PARAMS)
    rows = [{"x": 1, "y": 2, "z": 3}]
    assert answer(model, instances=rows)["params"] == {"threshold": 0.5}
    assert answer(model, instances=rows, params={"threshold": 0.1})["params"] == {"threshold": 0.1}
    error = refusal(model, instances=rows, params={"treshold": 0.1})
    assert error.field == "params.treshold"
    assert error.fix == "The model's parameters: threshold."
    assert "type double" in str(refusal(model, instances=rows, params={"threshold": "secret"}))
    assert "has no parameter" in str(refusal(load(saved.DOUBLES), instances=rows, params={"a": 1}))


GOOD = {"x": 1.0, "y": 2.0, "z": 3.0}


@pytest.mark.parametrize(
    ("body", "says", "field"),
    [
        ({}, "The body holds no input", None),
        ({"instances": [GOOD], "inputs": [GOOD]}, "several inputs", None),
        ({"instances": [GOOD], "param": {}}, "Unknown key 'param'", "param"),
        ({"instances": []}, "no rows", "instances"),
        ({"instances": "secret"}, "must be a list", "instances"),
        ({"instances": [[1, 2, 3]]}, "must be objects", "instances"),
        ({"dataframe_records": [{**GOOD, "z": None}]}, "'z', row 0: expected a number, found null",
         "[0].z"),
        ({"dataframe_records": [GOOD, {**GOOD, "y": "secret"}]},
         "Column 'y', row 1: expected a number, found text", "[1].y"),
        ({"dataframe_records": [GOOD, {**GOOD, "y": True}]}, "found true or false", "[1].y"),
        ({"dataframe_records": [GOOD, {"x": 1, "y": 2}]}, "Row 1 lacks the column 'z'",
         "dataframe_records[1].z"),
        ({"dataframe_records": [GOOD, {**GOOD, "w": 1}]}, "Row 1 has the column 'w'",
         "dataframe_records[1].w"),
        ({"dataframe_records": [{"x": 1, "y": 2}]}, "The column 'z' is missing",
         "dataframe_records.z"),
        ({"dataframe_records": [{**GOOD, "w": 1}]}, "knows no column 'w'", "dataframe_records.w"),
        ({"dataframe_split": {"data": [[1, 2, 3]]}}, "must be the list of the columns' names",
         "dataframe_split.columns"),
        ({"dataframe_split": {"columns": ["x", "y", "z"], "data": [[1, 2, 3], [1, 2]]}},
         "Row 1 has 2 values, but there are 3 columns", "dataframe_split[1]"),
        ({"dataframe_split": {"columns": ["x", "y", "z", "z"], "data": [[1, 2, 3, 4]]}},
         "named twice", "dataframe_split"),
        ({"dataframe_split": {"colums": ["x"], "data": []}}, "unknown key 'colums'",
         "dataframe_split.colums"),
        ({"dataframe_split": {"columns": ["x", "y", "z"], "data": [[1, 2, 3]], "index": []}},
         "one entry for each row", "dataframe_split.index"),
        ({"inputs": {"x": [1], "y": [1, 2], "z": [1]}}, "differ in length", "inputs"),
        ({"inputs": {"x": [1], "y": 2, "z": [1]}}, "'inputs.y' must be a list", "inputs.y"),
    ],
)  # fmt: skip
def test_a_wrong_body_is_named_to_the_column_and_row_and_never_repeated(
    load: Load, body: dict[str, Any], says: str, field: str | None
) -> None:
    error = refusal(load(saved.DOUBLES), **body)
    assert says in str(error)
    assert error.field == field
    assert "secret" not in f"{error} {error.fix}"


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("long", 1.5, "expected a whole number, found a fraction"),
        ("long", 2**63, "a number out of range"),
        ("long", None, "found null"),
        ("integer", 2**31, "a number out of range"),
        ("float", 1e300, "a number out of range"),
        ("boolean", 1, "expected true or false, found a whole number"),
        ("string", 1, "expected text, found a whole number"),
        ("string", None, "found null"),
        ("datetime", "secret", "text that is no date"),
        ("datetime", "2026-01-01T00:00:00+01:00", "an instant with a time zone"),
        ("binary", "secret!", "text that is not base64"),
        ("maybe double", "1", "expected a number, found text"),
        ("a double", [1], "expected a number, found a list"),
    ],
)
def test_a_wrong_value_is_named_by_its_type(load: Load, column: str, value: Any, says: str) -> None:
    row = {
        "a double": 1,
        "float": 1,
        "long": 1,
        "integer": 1,
        "boolean": True,
        "string": "s",
        "datetime": "2026-01-01",
        "binary": "aGk=",
    }
    model = load(saved.MIXED)
    assert answer(model, instances=[row])
    error = refusal(
        model,
        instances=[row, {**row, column: value}] if column in row else [{**row, column: value}],
    )
    assert says in str(error)
    assert f"'{column}'" in str(error)
    assert "secret" not in str(error)


def test_pythons_nan_is_named_by_its_column(load: Load) -> None:
    body = b'{"instances": [{"x": 1, "y": NaN, "z": 2}]}'
    error = refusal(load(saved.DOUBLES), body)
    assert "Column 'y', row 0: expected a number, found NaN" in str(error)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff", b"null", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(load: Load, body: bytes) -> None:
    refusal(load(saved.DOUBLES), body)


@pytest.mark.parametrize("media", ["", "text/html", "application/json; charset=latin-1"])
def test_only_json_and_csv_in_utf_8_are_read(load: Load, media: str) -> None:
    with pytest.raises(UnsupportedMedia):
        load(saved.DOUBLES).answer(b"{}", media)


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        (np.array([1.5, np.nan]), [1.5, None]),
        (np.array([[1, 2], [3, 4]]).T, [[1, 3], [2, 4]]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.float32(2), 2.0),
        (pd.Series([1, 2], name="p"), [{"p": 1}, {"p": 2}]),
        (pd.DataFrame({"a": [1], "t": [pd.Timestamp("2026-01-01")]}),
         [{"a": 1, "t": "2026-01-01T00:00:00"}]),
        ([np.int64(1), b"hi", {"k": np.array([True])}], [1, "aGk=", {"k": [True]}]),
        ("text", "text"),
    ],
)  # fmt: skip
def test_predictions_are_written_as_mlflows_protocol_has_them(
    predictions: Any, expected: Any
) -> None:
    assert orjson.loads(encode(predictions)) == {"predictions": expected}
