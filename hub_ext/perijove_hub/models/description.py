"""What an ``MLmodel`` file says of a model: its inputs, outputs and example."""

from __future__ import annotations

import json
from typing import Any

from perijove.types.models import SignatureColumn
from perijove_hub.exceptions import Invalid

#: Most bytes of an input example that is kept to show and try.
EXAMPLE_BYTES = 64 * 1024


def signature(mlmodel: dict[str, Any]) -> tuple[list[SignatureColumn], list[SignatureColumn]]:
    """Return a model's inputs and outputs.

    Raises ``Invalid`` for one without a signature, against which no request could be checked,
    and for one that MLflow cannot serve as a Python function.
    """
    if "python_function" not in (mlmodel.get("flavors") or {}):
        raise Invalid(
            "The model has no python_function flavour, so there is nothing to call.",
            field="version",
            fix="Log it with a flavour that can predict, such as mlflow.sklearn or mlflow.pyfunc.",
        )
    said = mlmodel.get("signature") or {}
    inputs = _columns(said.get("inputs"))
    if not inputs:
        raise Invalid(
            "The model was logged without a signature, so requests to it could not be checked.",
            field="version",
            fix=(
                "Log it again with log_model(..., signature=infer_signature(X, y)) or with an "
                "input_example, register that, and deploy the new version."
            ),
        )
    return inputs, _columns(said.get("outputs"))


def example_path(mlmodel: dict[str, Any]) -> str | None:
    """Return where the model's example request lies among its files, if it has one."""
    saved = mlmodel.get("saved_input_example_info") or {}
    path = saved.get("serving_input_path")
    return path if isinstance(path, str) else None


def example(content: bytes) -> dict[str, Any] | None:
    """Read an example request; ``None`` when it is too large to show or not one."""
    if len(content) > EXAMPLE_BYTES:
        return None
    try:
        parsed = json.loads(content)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _columns(said: Any) -> list[SignatureColumn]:
    try:
        items = json.loads(said) if isinstance(said, str) else said or []
        return [
            SignatureColumn(
                name=item.get("name"), type=_type(item), required=bool(item.get("required", True))
            )
            for item in items
        ]
    except (ValueError, TypeError, AttributeError, KeyError):
        raise Invalid(
            "The model's signature cannot be read.",
            field="version",
            fix="Log it again with log_model(..., signature=infer_signature(X, y)).",
        ) from None


def _type(item: dict[str, Any]) -> str:
    """Name a type as people write it: ``double``, ``array(long)``, ``tensor(float64, -1x4)``."""
    kind = str(item["type"])
    if kind == "tensor":
        spec = item["tensor-spec"]
        return f"tensor({spec['dtype']}, {'x'.join(str(n) for n in spec['shape'])})"
    if kind == "array":
        return f"array({_type(item['items'])})"
    if kind == "map":
        return f"map({_type(item['values'])})"
    return kind
