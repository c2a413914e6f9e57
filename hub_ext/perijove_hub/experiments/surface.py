"""What of MLflow is offered: these routes and no others.

MLflow's server also runs code, calls out and keeps other people's secrets (gateway, webhooks,
scorers, prompt optimisation, assistant, jobs). A list of what to refuse would be wrong with its
next release, so this is the list of what is let through: tracking, registry, artifacts, pages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Below ``/api/2.0/mlflow/`` and, for the pages, ``/ajax-api/2.0/mlflow/``.
_READS = {
    "GET": (
        "experiments/search",
        "experiments/get",
        "experiments/get-by-name",
        "runs/get",
        "metrics/get-history",
        "metrics/get-history-bulk",
        "metrics/get-history-bulk-interval",
        "artifacts/list",
        "registered-models/search",
        "registered-models/get",
        "registered-models/get-latest-versions",
        "registered-models/alias",
        "model-versions/search",
        "model-versions/get",
        "model-versions/get-download-uri",
        "logged-models/[^/]+",
        "logged-models/[^/]+/artifacts/directories",
        "logged-models/[^/]+/artifacts/files",
    ),
    "POST": (
        "experiments/search",
        "experiments/search-datasets",
        "runs/search",
        "registered-models/get-latest-versions",
        "logged-models/search",
    ),
}
_WRITES = {
    "POST": (
        "experiments/(?:create|update|delete|restore)",
        "experiments/(?:set|delete)-experiment-tag",
        "runs/(?:create|update|delete|restore)",
        "runs/log-(?:metric|parameter|batch|model|inputs)",
        "runs/outputs",
        "runs/(?:set|delete)-tag",
        "upload-artifact",
        "registered-models/(?:create|rename|set-tag|alias)",
        "model-versions/(?:create|set-tag|transition-stage)",
        "logged-models",
        "logged-models/[^/]+/params",
    ),
    "PATCH": (
        "registered-models/update",
        "model-versions/update",
        "logged-models/[^/]+",
        "logged-models/[^/]+/tags",
    ),
    "DELETE": (
        "registered-models/(?:delete|delete-tag|alias)",
        "model-versions/(?:delete|delete-tag)",
        "logged-models/[^/]+",
        "logged-models/[^/]+/tags/[^/]+",
    ),
}
#: Whole paths besides those.
_PAGES = ("/", "/static-files/.+", "/version", "/get-artifact", "/model-versions/get-artifact")
_SERVER_INFO = "/(?:ajax-)?api/3[.]0/mlflow/server-info"
_ARTIFACTS = "/(?:ajax-)?api/2[.]0/mlflow-artifacts/artifacts"


@dataclass(frozen=True)
class Offer:
    """A route that is let through."""

    writes: bool
    call: str
    """The part after ``…/mlflow/``, such as ``runs/create``; empty for everything else."""
    artifact: bool
    """The answer is a file somebody logged."""


def _compile(calls: dict[str, tuple[str, ...]]) -> dict[str, re.Pattern[str]]:
    return {
        method: re.compile(f"/(?:ajax-)?api/2[.]0/mlflow/({'|'.join(paths)})")
        for method, paths in calls.items()
    }


_READ_CALLS = _compile(_READS)
_WRITE_CALLS = _compile(_WRITES)
_READ_PATHS = re.compile("|".join([*_PAGES, _SERVER_INFO, _ARTIFACTS, f"{_ARTIFACTS}/.+"]))
_FILES = re.compile(rf".*/get-artifact|.*/artifacts/files|{_ARTIFACTS}/.+")


def find(method: str, path: str) -> Offer | None:
    """Return what ``method`` on ``path`` is, or ``None`` when it is not offered.

    ``path`` is decoded and without the service's prefix.
    """
    reading = "GET" if method == "HEAD" else method
    artifact = reading == "GET" and _FILES.fullmatch(path) is not None
    for calls, writes in ((_READ_CALLS, False), (_WRITE_CALLS, True)):
        if reading in calls and (match := calls[reading].fullmatch(path)):
            return Offer(writes, match[1], artifact)
    if reading == "GET" and _READ_PATHS.fullmatch(path):
        return Offer(writes=False, call="", artifact=artifact)
    if method in ("PUT", "DELETE") and re.fullmatch(f"{_ARTIFACTS}/.+", path):
        return Offer(writes=True, call="", artifact=False)
    if method in ("GET", "POST") and path == "/graphql":
        return Offer(writes=False, call="", artifact=False)
    return None
