"""Write predictions as MLflow's scoring protocol has them: ``{"predictions": ...}``."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

import numpy as np
import orjson
import pandas as pd
from pydantic import BaseModel

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def encode(predictions: Any) -> bytes:
    """Encode what a model returned; NaN becomes null, as JSON has no NaN.

    Raises ``TypeError`` for a value that JSON has no form for.
    """
    return orjson.dumps({"predictions": _plain(predictions)}, default=_default, option=_OPTIONS)


def _plain(predictions: Any) -> Any:
    if isinstance(predictions, pd.Series):
        predictions = predictions.to_frame()
    if isinstance(predictions, pd.DataFrame):
        return predictions.to_dict(orient="records")
    if isinstance(predictions, np.ndarray):
        return np.ascontiguousarray(predictions) if predictions.ndim else predictions.item()
    return predictions


def _default(value: Any) -> Any:
    """Convert what orjson does not know; it asks again for what is inside."""
    if isinstance(value, np.ndarray):
        # Arrays of text, of objects, or not in one piece.
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, pd.DataFrame | pd.Series):
        return _plain(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, set | frozenset):
        return list(value)
    if value is pd.NaT or value is pd.NA:
        return None
    raise TypeError(f"{type(value).__name__} has no form in JSON")
