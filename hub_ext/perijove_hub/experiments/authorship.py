"""Runs and logged models carry the name of whoever made them, whatever the client says."""

from __future__ import annotations

import json
import re
from typing import Any

from perijove_hub.exceptions import Invalid, Refused

#: The tag in which MLflow keeps a run's user.
USER_TAG = "mlflow.user"
#: What clients call the default experiment; in our workspaces it has another id.
DEFAULT_EXPERIMENT = "0"


_SIGNED = re.compile(
    "runs/(?:create|set-tag|delete-tag|log-batch)|logged-models|logged-models/[^/]+/tags"
)


def concerns(call: str) -> bool:
    """Tell whether the body of ``call`` must pass through ``sign``."""
    return _SIGNED.fullmatch(call) is not None


def sign(call: str, body: bytes, *, user: str, default_experiment: str) -> bytes:
    """Return the body of ``call`` with ``user`` as author.

    What names no experiment goes to ``default_experiment``.
    Raises ``Invalid`` for a body that is no JSON object and ``Refused`` for one that would
    give an existing record to somebody else.
    """
    content = _object(body)
    if call not in ("runs/create", "logged-models"):
        _require_kept(content)
        return body
    if call == "runs/create":
        # Protocol buffers take either spelling.
        content.pop("userId", None)
        content["user_id"] = user
    for spelling in ("experiment_id", "experimentId"):
        if content.get(spelling) == DEFAULT_EXPERIMENT:
            content[spelling] = default_experiment
    content["tags"] = [
        *(tag for tag in _tags(content) if tag.get("key") != USER_TAG),
        {"key": USER_TAG, "value": user},
    ]
    return json.dumps(content).encode()


def refuse_path(call: str) -> None:
    """Refuse a call whose path names the author's tag. Raises ``Refused``."""
    if re.fullmatch(f"logged-models/[^/]+/tags/{re.escape(USER_TAG)}", call):
        raise _kept()


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
        # MLflow takes a string that holds JSON too, so that is no way around this.
        if isinstance(content, str):
            content = json.loads(content)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise Invalid("The body is not a JSON object.", fix="Send what MLflow's client sends.")
    return content


def _require_kept(content: dict[str, Any]) -> None:
    if USER_TAG in [content.get("key"), *(tag.get("key") for tag in _tags(content))]:
        raise _kept()


def _tags(content: dict[str, Any]) -> list[dict[str, Any]]:
    tags = content.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, dict) for tag in tags):
        raise Invalid("'tags' is not a list of objects.", field="tags")
    return tags


def _kept() -> Refused:
    return Refused(
        f"The tag '{USER_TAG}' says who made a run or model, and stays.",
        field="tags",
        fix="Use a tag of another name.",
    )
