"""MLflow's registry over REST, with somebody's own token, so that MLflow's front decides rights.

Plain HTTP rather than MLflow's client: that one takes seconds to import, keeps its tracking
URI and credentials in globals, and follows any scheme a model version's source names.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.parse import quote, urlsplit

import httpx
import yaml

from perijove.types.models import Model, ModelVersion
from perijove_hub.api.paging import mlflow_cursor
from perijove_hub.exceptions import Invalid, NotFound, Refused, Unavailable

#: MLflow's header that selects a workspace; its front decides whether the caller may.
WORKSPACE_HEADER = "X-MLFLOW-WORKSPACE"

_TIMEOUT = httpx.Timeout(60, connect=5)


class Registry:
    """One caller's view of the registry; a context manager, not shared between threads.

    Every method raises ``Unavailable`` when MLflow does not answer, ``Refused`` when it does
    not let the caller in and ``NotFound`` for what the caller may not know of.
    """

    def __init__(self, mlflow_url: str, token: str, *, workspace: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        if workspace is not None:
            headers[WORKSPACE_HEADER] = workspace
        self._http = httpx.Client(
            base_url=mlflow_url, headers=headers, timeout=_TIMEOUT, trust_env=False
        )

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def models(
        self, *, q: str = "", cursor: str | None = None, limit: int = 100
    ) -> tuple[list[Model], str | None]:
        """Return a page of registered models with their versions, newest first, by name."""
        query: dict[str, Any] = {"max_results": limit}
        if words := q.strip():
            query["filter"] = f"name ILIKE {_quoted(f'%{words}%')}"
        if cursor:
            query["page_token"] = mlflow_cursor(cursor)
        answer = self._get("registered-models/search", query)
        found = answer.get("registered_models", [])
        versions = self._versions([item["name"] for item in found])
        models = [_model(item, versions.get(item["name"], [])) for item in found]
        return models, answer.get("next_page_token") or None

    def version(self, name: str, version: int) -> dict[str, Any]:
        """Return a model version as MLflow describes it.

        Raises ``NotFound`` that names the nearest model, or the versions there are.
        """
        try:
            answer = self._get("model-versions/get", {"name": name, "version": str(version)})
        except NotFound:
            raise self._no_such(name, version) from None
        return cast("dict[str, Any]", answer["model_version"])

    def mlmodel(self, name: str, version: int) -> dict[str, Any]:
        """Read the version's ``MLmodel`` file.

        Raises ``Invalid`` when there is none, or it is none.
        """
        try:
            content = self._artifact(name, version, "MLmodel")
            parsed = yaml.safe_load(content)
        except (NotFound, yaml.YAMLError):
            parsed = None
        if not isinstance(parsed, dict):
            raise Invalid(
                f"Version {version} of '{name}' has no readable MLmodel file, so it is not a "
                "model that can be served.",
                field="version",
                fix="Log it with mlflow.<flavor>.log_model(...) and register that.",
            )
        return parsed

    def example(self, name: str, version: int, path: str) -> bytes:
        """Read a file of the version, such as its serving input example."""
        return self._artifact(name, version, path)

    def download(self, name: str, version: int, *, into: Path) -> None:
        """Copy every file of the version into the new folder ``into``.

        The source must lie in MLflow's own artifact store: the caller of this may reach more
        than the model's author could, so a foreign URI is refused, never followed.
        Raises ``Invalid`` for such a source.
        """
        answer = self._get(
            "model-versions/get-download-uri", {"name": name, "version": str(version)}
        )
        root = _store_path(answer["artifact_uri"])
        into.mkdir(parents=True)
        for path in self._walk(root):
            target = into / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._fetch(path, target)

    def _versions(self, names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Every version of the models ``names``, newest first."""
        grouped: dict[str, list[dict[str, Any]]] = {}
        if not names:
            return grouped
        query: dict[str, Any] = {
            "filter": f"name IN ({', '.join(_quoted(name) for name in names)})",
            "max_results": 10_000,
        }
        while True:
            answer = self._get("model-versions/search", query)
            for item in answer.get("model_versions", []):
                grouped.setdefault(item["name"], []).append(item)
            if not answer.get("next_page_token"):
                break
            query["page_token"] = answer["next_page_token"]
        for items in grouped.values():
            items.sort(key=lambda item: -int(item["version"]))
        return grouped

    def _no_such(self, name: str, version: int) -> NotFound:
        if there := self._versions([name]).get(name):
            numbers = ", ".join(str(item["version"]) for item in there[:20])
            return NotFound(
                f"'{name}' has no version {version}.",
                field="version",
                fix=f"Versions there are: {numbers}.",
            )
        known = [model.name for model in self.models(limit=1000)[0]]
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        if nearest:
            fix = f"Did you mean '{nearest[0]}'?"
        elif known:
            fix = f"Registered models: {', '.join(known[:20])}."
        else:
            fix = "Register one: log_model(..., registered_model_name='NAME')."
        return NotFound(f"There is no registered model '{name}'.", field="model", fix=fix)

    def _artifact(self, name: str, version: int, path: str) -> bytes:
        response = self._send(
            "/model-versions/get-artifact",
            {"name": name, "version": str(version), "path": path},
        )
        return response.content

    def _walk(self, folder: PurePosixPath) -> Iterator[PurePosixPath]:
        answer = self._send("/api/2.0/mlflow-artifacts/artifacts", {"path": str(folder)}).json()
        for item in answer.get("files", []):
            child = folder / PurePosixPath(item["path"]).name
            if item.get("is_dir"):
                yield from self._walk(child)
            else:
                yield child

    def _fetch(self, path: PurePosixPath, target: Path) -> None:
        url = f"/api/2.0/mlflow-artifacts/artifacts/{quote(str(path))}"
        try:
            with self._http.stream("GET", url) as response, target.open("wb") as file:
                _check(response)
                for chunk in response.iter_bytes():
                    file.write(chunk)
        except httpx.TransportError as error:
            raise _silent() from error

    def _get(self, path: str, query: dict[str, Any]) -> dict[str, Any]:
        return cast("dict[str, Any]", self._send(f"/api/2.0/mlflow/{path}", query).json())

    def _send(self, path: str, query: dict[str, Any]) -> httpx.Response:
        try:
            response = self._http.get(path, params=query)
        except httpx.TransportError as error:
            raise _silent() from error
        return _check(response)


def _silent() -> Unavailable:
    return Unavailable(
        "MLflow does not answer.", fix="Try again in a few seconds; `perijove status` says more."
    )


def _check(response: httpx.Response) -> httpx.Response:
    """Turn MLflow's refusals into ours, without repeating its words."""
    status = response.status_code
    if status < 400:
        return response
    if status in (401, 403):
        raise Refused(
            "MLflow does not let this token in.",
            fix="Ask for a token with the scope access:services!service=mlflow.",
        )
    if status == 404:
        raise NotFound("MLflow knows no such thing.")
    if status < 500:
        raise Invalid("MLflow refused the request.", fix="Check the model's name and version.")
    raise Unavailable(f"MLflow failed to answer (HTTP {status}).", fix="Its log says why.")


def _store_path(uri: str) -> PurePosixPath:
    """Return where in MLflow's artifact store ``uri`` points, or raise ``Invalid``."""
    parts = urlsplit(uri)
    path = PurePosixPath(parts.path.lstrip("/"))
    if parts.scheme != "mlflow-artifacts" or ".." in path.parts or not path.parts:
        raise Invalid(
            "The model's files do not lie in MLflow's own artifact store.",
            field="version",
            fix="Log the model through this MLflow server and register that.",
        )
    return path


def _quoted(text: str) -> str:
    """Quote ``text`` for MLflow's filter language, which knows no escapes.

    A text with both kinds of quotes cannot be written; '_' then matches any character.
    """
    if "'" not in text:
        return f"'{text}'"
    return '"' + text.replace('"', "_") + '"'


def _model(item: dict[str, Any], versions: list[dict[str, Any]]) -> Model:
    aliases: dict[int, list[str]] = {}
    for alias in item.get("aliases", []):
        aliases.setdefault(int(alias["version"]), []).append(alias["alias"])
    return Model(
        name=item["name"],
        description=item.get("description") or "",
        versions=[
            ModelVersion(
                version=int(version["version"]),
                run_id=version.get("run_id") or None,
                user=version.get("user_id") or "",
                created_at=datetime.fromtimestamp(version["creation_timestamp"] / 1000, UTC),
                aliases=sorted(aliases.get(int(version["version"]), [])),
            )
            for version in versions
        ],
    )
