"""A shorter way for scikit-learn: estimators that only compute take an array as well as a frame.

scikit-learn spends about four fifths of a one-row prediction on taking a DataFrame apart. It may
be spared where nothing looks at names or types: every part is of a module that only computes, the
columns are the ones it was fitted with, and both ways agree when tried.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

log = logging.getLogger(__name__)

#: Modules whose estimators never look at column names after the first check. Not among them:
#: ColumnTransformer, FunctionTransformer, histogram boosting (categories by name), meta-estimators.
COMPUTING = (
    "sklearn.cluster.",
    "sklearn.decomposition.",
    "sklearn.discriminant_analysis",
    "sklearn.ensemble._forest",
    "sklearn.ensemble._gb",
    "sklearn.impute._base",
    "sklearn.linear_model.",
    "sklearn.naive_bayes",
    "sklearn.neighbors.",
    "sklearn.neural_network.",
    "sklearn.preprocessing._data",
    "sklearn.svm.",
    "sklearn.tree.",
)

#: What scikit-learn says at every call of such an array, because it knew names in training.
WARNING = "X does not have valid feature names"


def predictor(loaded: Any, names: Sequence[str]) -> Callable[[pd.DataFrame], Any] | None:
    """Return a function that predicts from a frame of doubles by its array, if that is safe.

    ``loaded`` is MLflow's model and ``names`` its columns, all of them required doubles.
    """
    if loaded.metadata.flavors["python_function"].get("loader_module") != "mlflow.sklearn":
        return None
    model = getattr(loaded._model_impl, "sklearn_model", None)
    fitted = getattr(model, "feature_names_in_", None)
    if model is None or fitted is None or list(fitted) != list(names):
        return None
    if loaded._predict_fn.__name__ != "predict" or not _only_computes(model):
        return None

    def predict(frame: pd.DataFrame) -> Any:
        return model.predict(frame.to_numpy())

    return predict if _agree(loaded._predict_fn, predict, names) else None


def _only_computes(model: Any) -> bool:
    from sklearn import get_config

    return get_config()["transform_output"] == "default" and all(
        type(part).__module__.startswith(COMPUTING) and not hasattr(part, "_sklearn_output_config")
        for part in _parts(model)
    )


def _parts(model: Any) -> Iterator[Any]:
    """Every estimator in ``model``, itself included unless it is a plain pipeline."""
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

    if type(model) is not Pipeline:
        yield model
    elif hasattr(model, "_sklearn_output_config"):
        yield object()  # of no module that computes
    for value in model.get_params(deep=True).values():
        if isinstance(value, BaseEstimator):
            yield value


def _agree(
    by_frame: Callable[[Any], Any], by_array: Callable[[Any], Any], names: Sequence[str]
) -> bool:
    values = np.random.default_rng(0).normal(scale=10, size=(16, len(names)))
    frame = pd.DataFrame(values, columns=list(names))
    try:
        one, other = by_frame(frame), by_array(frame)
        if type(one) is not type(other) or one.dtype != other.dtype or one.shape != other.shape:
            return False
        if one.dtype.kind == "f":
            # Not to the last bit: sums depend on how a frame lies in memory.
            return bool(np.allclose(one, other, rtol=1e-9, atol=0, equal_nan=True))
        return bool((one == other).all())
    except Exception as error:
        log.info("predicting by frame: arrays were tried and failed (%s)", type(error).__name__)
        return False
