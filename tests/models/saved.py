"""Models for the replica's tests, saved to folders without a server."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

#: A column of every plain type, and optional ones.
MIXED = Schema(
    [
        ColSpec("double", "a double"),
        ColSpec("float", "float"),
        ColSpec("long", "long"),
        ColSpec("integer", "integer"),
        ColSpec("boolean", "boolean"),
        ColSpec("string", "string"),
        ColSpec("datetime", "datetime"),
        ColSpec("binary", "binary"),
        ColSpec("double", "maybe double", required=False),
        ColSpec("string", "maybe string", required=False),
    ]
)
DOUBLES = Schema([ColSpec("double", name) for name in ("x", "y", "z")])
UNNAMED = Schema([ColSpec("double"), ColSpec("long")])
TENSOR = Schema([TensorSpec(np.dtype("float64"), (-1, 2))])


with warnings.catch_warnings():
    # MLflow warns of classes without its type hints, which would replace the signature.
    warnings.simplefilter("ignore")

    class Mirror(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        """Says exactly what it was given: columns, types, values and index."""

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
            if not isinstance(model_input, pd.DataFrame):
                return {"type": str(model_input.dtype), "values": model_input.tolist()}
            return {
                "columns": [str(name) for name in model_input.columns],
                "types": [str(kind) for kind in model_input.dtypes],
                "index": [str(label) for label in model_input.index],
                "values": [[repr(value) for value in row] for row in model_input.to_numpy(object)],
                "params": params or None,
            }


def save(model: Any, folder: Path, schema: Schema, params: ParamSchema | None = None) -> None:
    """Save a python model with a signature."""
    signature = ModelSignature(inputs=schema, params=params)
    # Else MLflow looks for them in a process of its own, seconds for each model.
    needs = ["mlflow"]
    mlflow.pyfunc.save_model(
        str(folder), python_model=model, signature=signature, pip_requirements=needs
    )


PARAMS = ParamSchema([ParamSpec("threshold", DataType.double, 0.5)])
