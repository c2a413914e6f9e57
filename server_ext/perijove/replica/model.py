"""A loaded model: requests in, answers out, all of it away from the event loop."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc
import orjson
from mlflow.exceptions import MlflowException

from perijove.replica import arrays
from perijove.replica.answer import encode
from perijove.replica.columns import Column, known
from perijove.replica.exceptions import BadRequest, ModelFailed, UnsupportedMedia
from perijove.replica.table import TableReader

log = logging.getLogger(__name__)

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")

_FORMS_FIX = (
    "Send one of 'dataframe_split', 'dataframe_records', 'instances' and 'inputs', and 'params' "
    "if the model has some."
)


class Model:
    """One MLflow model and the reader its signature was compiled to."""

    def __init__(self, path: Path) -> None:
        self._pyfunc = mlflow.pyfunc.load_model(str(path))
        metadata = self._pyfunc.metadata
        self._schema = metadata.get_input_schema()
        self._params = metadata.get_params_schema()
        self._reader = _compile(self._schema)
        # A frame from our reader is what MLflow's enforcement would make of it (the golden test
        # holds us to that), so enforcing again would only cost its milliseconds.
        self._direct = (
            self._predict_function()
            if self._reader is not None
            and self._params is None
            and not metadata._is_signature_from_type_hint()
            and not metadata._is_type_hint_from_example()
            else None
        )

    @property
    def version(self) -> str:
        """MLflow's version, which ``/version`` answers."""
        return str(mlflow.__version__)

    def answer(self, body: bytes, content_type: str) -> bytes:
        """Score a request and return the JSON answer.

        Raises ``BadRequest`` for what its sender can mend and ``ModelFailed`` for the rest.
        """
        kind = _media_type(content_type)
        data, params = self._read_csv(body) if kind == "text/csv" else self._read_json(body)
        try:
            predictions = self._predict(data, params)
        except MlflowException as error:
            if error.error_class == "SCHEMA_ENFORCEMENT_FAILED":
                raise self._mismatch() from None
            log.exception("the model failed")
            raise ModelFailed from error
        except Exception as error:
            log.exception("the model failed")
            raise ModelFailed from error
        try:
            return encode(predictions)
        except TypeError as error:
            log.exception("the model returned what JSON has no form for")
            raise ModelFailed from error

    def _predict(self, data: Any, params: dict[str, Any] | None) -> Any:
        if self._direct is not None:
            return self._direct(data)
        return self._pyfunc.predict(data, params=params)

    def _predict_function(self) -> Callable[[Any], Any]:
        specs = self._schema.inputs
        if all(spec.type.name == "double" and spec.required for spec in specs):
            short = arrays.predictor(self._pyfunc, [str(spec.name) for spec in specs])
            if short is not None:
                return short
        function: Callable[..., Any] = self._pyfunc._predict_fn
        argument = inspect.signature(function).parameters.get("params")
        if argument is not None and argument.kind is not inspect.Parameter.VAR_KEYWORD:
            return lambda data: function(data, params=None)
        return function

    def _read_json(self, body: bytes) -> tuple[Any, dict[str, Any] | None]:
        document = _parse(body)
        forms = [key for key in document if key in FORMS]
        if unknown := [key for key in document if key not in FORMS and key != "params"]:
            raise BadRequest(
                f"Unknown key '{unknown[0][:100]}'.", field=unknown[0][:100], fix=_FORMS_FIX
            )
        if len(forms) != 1:
            raise BadRequest(
                "The body holds no input." if not forms else "The body holds several inputs.",
                fix=_FORMS_FIX,
            )
        params = self._check_params(document.get("params"))
        form = forms[0]
        if self._reader is not None:
            return self._reader.read(form, document[form]), params
        return self._parse_by_mlflow(form, document[form]), params

    def _read_csv(self, body: bytes) -> tuple[Any, None]:
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            raise BadRequest("The CSV is not UTF-8 text.", fix="Encode it as UTF-8.") from None
        if self._reader is None:
            raise UnsupportedMedia(
                "CSV needs a model whose inputs are plain columns.", fix="Send JSON."
            )
        return self._reader.read_csv(text), None

    def _check_params(self, params: Any) -> dict[str, Any] | None:
        """Check ``params`` against the signature; unknown ones are errors, not noise."""
        if params is None or params == {}:
            return None
        if not isinstance(params, dict):
            raise BadRequest("'params' must be an object.", field="params")
        specs = {spec.name: spec for spec in self._params.params} if self._params else {}
        for name, value in params.items():
            if name not in specs:
                known = ", ".join(specs) or "it has none"
                raise BadRequest(
                    f"The model has no parameter '{name[:100]}'.",
                    field=f"params.{name[:100]}",
                    fix=f"The model's parameters: {known}.",
                )
            try:
                specs[name].validate_param_spec(value, specs[name])
            except MlflowException:
                raise BadRequest(
                    f"The parameter '{name}' must be of type {specs[name].dtype.name}.",
                    field=f"params.{name}",
                ) from None
        return params

    def _parse_by_mlflow(self, form: str, data: Any) -> Any:
        """Read what has no plain columns (tensors, nested types) as MLflow itself does."""
        from mlflow.pyfunc.scoring_server import infer_and_parse_data

        if self._pyfunc.metadata._is_signature_from_type_hint():
            if form != "inputs":
                raise BadRequest("This model takes 'inputs'.", field=form, fix="Send 'inputs'.")
            return data
        try:
            return infer_and_parse_data({form: data}, self._schema)
        except Exception:
            # Whatever went wrong, it was in reading the request; MLflow's words repeat the data.
            raise self._mismatch() from None

    def _mismatch(self) -> BadRequest:
        return BadRequest(
            "The input does not match the model's signature.",
            fix=f"The signature: {str(self._schema)[:1000]}.",
        )


def _compile(schema: Any) -> TableReader | None:
    """Make a reader of ``schema``, or ``None`` when it is no table of plain columns."""
    if schema is None or schema.is_tensor_spec():
        return None
    kinds = [getattr(spec.type, "name", "") for spec in schema.inputs]
    if not all(known(kind) for kind in kinds):
        return None
    named = schema.has_input_names()
    return TableReader(
        [
            Column(str(spec.name) if named else str(position), kind, bool(spec.required))
            for position, (spec, kind) in enumerate(zip(schema.inputs, kinds, strict=True))
        ],
        named=named,
    )


def _parse(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = _parse_leniently(body)
    if not isinstance(document, dict):
        raise BadRequest("The body must be a JSON object.", fix=_FORMS_FIX)
    return document


def _parse_leniently(body: bytes) -> Any:
    """Accept the NaN that Python writes though JSON has none, so that its column can be named."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise BadRequest(f"The body is not valid JSON{where}.") from None


def _media_type(content_type: str) -> str:
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if kind not in ("application/json", "text/csv"):
        raise UnsupportedMedia(
            "Content-Type must be application/json or text/csv.",
            field="Content-Type",
            fix="Send JSON with 'Content-Type: application/json'.",
        )
    charsets = [value for value in parameters if value.startswith("charset=")]
    if any(value.removeprefix("charset=").strip('"') != "utf-8" for value in charsets):
        raise UnsupportedMedia("Only UTF-8 is understood.", field="Content-Type", fix="Send UTF-8.")
    return kind
