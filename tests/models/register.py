"""Registers the models that tests deploy; run as a user would, with MLflow's own client."""

from __future__ import annotations

import os
import time
from typing import Any

import mlflow
import pandas as pd
from mlflow.models import infer_signature
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SMALL = pd.DataFrame({"x": [1.0, 2.0]})
#: Said, because MLflow would find them out by loading each model in a process of its own, five
#: seconds each. Replicas use what is installed.
NEEDS = ["mlflow", "scikit-learn"]


class Slow(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Takes as many seconds as its input says."""

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        time.sleep(float(model_input["x"].iloc[0]))
        return [os.getpid()]


class Raises(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Raises with the data in its message."""

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        raise ValueError(f"secret {model_input['x'].iloc[0]}")


class DoesNotLoad(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Fails as one whose package is missing does."""

    def load_context(self, context: Any) -> None:
        raise ModuleNotFoundError("No module named 'sparkling'")

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        return []


def main() -> None:
    """Log and register everything in the caller's own workspace."""
    mlflow.set_experiment("models")
    data = load_breast_cancer(as_frame=True)
    with mlflow.start_run():
        for strength in (0.5, 2.0):
            model = make_pipeline(StandardScaler(), LogisticRegression(C=strength))
            model.fit(data.data, data.target)
            mlflow.sklearn.log_model(
                model,
                name="model",
                signature=infer_signature(data.data, model.predict(data.data)),
                input_example=data.data.head(2),
                pip_requirements=NEEDS,
                registered_model_name="breast-cancer",
            )
        mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name="Unsigned Model",
            pip_requirements=NEEDS,
        )
        for name, python_model in (("slow", Slow()), ("raises", Raises())):
            _log(name, python_model)
        _log("moody", Slow())
        _log("moody", DoesNotLoad())


def _log(name: str, python_model: Any) -> None:
    mlflow.pyfunc.log_model(
        name="model",
        python_model=python_model,
        signature=infer_signature(SMALL, [1]),
        registered_model_name=name,
        pip_requirements=NEEDS,
    )


if __name__ == "__main__":
    main()
