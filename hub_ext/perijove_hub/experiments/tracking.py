"""Experiments and runs read from MLflow's REST API with the caller's own token."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import httpx

from perijove.types.experiments import Experiment, TrackedRun
from perijove.types.lineage import MadeModel
from perijove_hub.api.paging import mlflow_cursor
from perijove_hub.exceptions import Invalid, NotFound, Refused, Unavailable

#: Most runs that are counted over the experiments of one page.
COUNTED = 1000
#: Tag of MLflow's runs that a job's run logged: its id.
JOB_RUN = "perijove.run"
#: Most runs whose models are looked up.
MODELS_OF = 20


class Tracking:
    """One caller's view of MLflow; an async context manager.

    Every method raises ``Unavailable`` when MLflow does not answer, ``Refused`` when it does
    not let the caller in and ``NotFound`` for what the caller may not know of.
    """

    def __init__(self, mlflow_url: str, token: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=f"{mlflow_url}/api/2.0/mlflow",
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(30, connect=5),
            trust_env=False,
        )

    async def __aenter__(self) -> Tracking:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def experiments(
        self, *, q: str, cursor: str | None, limit: int
    ) -> tuple[list[Experiment], str | None]:
        """Return a page of experiments, last changed first, and the next page's cursor."""
        body: dict[str, Any] = {"max_results": limit, "order_by": ["last_update_time DESC"]}
        if words := q.strip():
            # MLflow's filters know no escapes; '_' matches any character, so what comes back
            # is looked at again.
            body["filter"] = f"name ILIKE '%{words.replace(chr(39), '_')}%'"
        if cursor:
            body["page_token"] = mlflow_cursor(cursor)
        answer = await self._post("experiments/search", body)
        found = [
            item
            for item in answer.get("experiments", [])
            if words.casefold() in item["name"].casefold()
        ]
        runs = await self._runs_of([item["experiment_id"] for item in found])
        return [
            _experiment(item, runs.get(item["experiment_id"], [])) for item in found
        ], answer.get("next_page_token")

    async def runs(
        self, experiment: str, *, cursor: str | None, limit: int
    ) -> tuple[list[TrackedRun], str | None]:
        """Return a page of an experiment's runs, newest first, and the next page's cursor."""
        if not (experiment.isascii() and experiment.isdigit()):
            raise _nothing()
        described = await self._send("GET", "experiments/get", params={"experiment_id": experiment})
        name = described["experiment"]["name"]
        body: dict[str, Any] = {
            "experiment_ids": [experiment],
            "max_results": limit,
            "order_by": ["attributes.start_time DESC"],
        }
        if cursor:
            body["page_token"] = mlflow_cursor(cursor)
        answer = await self._post("runs/search", body)
        return [_run(item, name) for item in answer.get("runs", [])], answer.get("next_page_token")

    async def run(self, run_id: str) -> TrackedRun:
        """Return one run."""
        found = (await self._send("GET", "runs/get", params={"run_id": run_id}))["run"]
        experiment = {"experiment_id": found["info"]["experiment_id"]}
        described = await self._send("GET", "experiments/get", params=experiment)
        return _run(found, described["experiment"]["name"])

    async def tagged(self, tag: str, value: str) -> list[TrackedRun]:
        """Return the runs with a tag of this value, newest first, at most ``COUNTED``.

        Deleted ones are among them. ``value`` holds no quotes.
        """
        names = {}
        token: str | None = None
        while True:
            answer = await self._post(
                "experiments/search",
                {"max_results": COUNTED} | ({"page_token": token} if token else {}),
            )
            for item in answer.get("experiments", []):
                names[item["experiment_id"]] = item["name"]
            token = answer.get("next_page_token")
            if not token:
                break
        if not names:
            return []
        body = {
            "experiment_ids": list(names),
            "filter": f"tags.`{tag}` = '{value}'",
            "run_view_type": "ALL",
            "max_results": COUNTED,
            "order_by": ["attributes.start_time DESC"],
        }
        found = (await self._post("runs/search", body)).get("runs", [])
        return [_run(item, names[item["info"]["experiment_id"]]) for item in found]

    async def made_models(self, runs: Sequence[str]) -> list[MadeModel]:
        """Return the versions of registered models that these runs logged."""
        found = []
        for run in runs[:MODELS_OF]:
            query = {"filter": f"run_id='{run}'", "max_results": 100}
            answer = await self._send("GET", "model-versions/search", params=query)
            found += [
                MadeModel(model=item["name"], version=int(item["version"]), tracked_run=run)
                for item in answer.get("model_versions", [])
            ]
        return sorted(found, key=lambda one: (one.model, one.version))

    async def source_run(self, model: str, version: int) -> str | None:
        """Return the id of the run that made a version of a model, if it has one."""
        query = {"name": model, "version": str(version)}
        answer = await self._send("GET", "model-versions/get", params=query)
        return answer["model_version"].get("run_id") or None

    async def _runs_of(self, experiments: list[str]) -> dict[str, list[int]]:
        """Start times of the newest runs by experiment, in milliseconds, newest first."""
        if not experiments:
            return {}
        body = {
            "experiment_ids": experiments,
            "max_results": COUNTED,
            "order_by": ["attributes.start_time DESC"],
        }
        starts: dict[str, list[int]] = {}
        for item in (await self._post("runs/search", body)).get("runs", []):
            info = item["info"]
            starts.setdefault(info["experiment_id"], []).append(int(info["start_time"]))
        return starts

    async def _post(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self._send("POST", call, json=body)

    async def _send(self, method: str, call: str, **content: Any) -> dict[str, Any]:
        try:
            response = await self._http.request(method, f"/{call}", **content)
        except httpx.TransportError as error:
            raise Unavailable(
                "MLflow does not answer.",
                fix="Try again in a few seconds; `perijove status` says more.",
            ) from error
        _check(response)
        answer: dict[str, Any] = response.json()
        return answer


def _check(response: httpx.Response) -> None:
    """Turn MLflow's refusals into ours, without repeating its words."""
    status = response.status_code
    if status in (401, 403):
        raise Refused(
            "MLflow does not let this token in.",
            fix="Ask for a token with the scope access:services!service=mlflow.",
        )
    if status == 404:
        raise _nothing()
    if 400 <= status < 500:
        raise Invalid(
            "MLflow refused the request.", fix="Start again without a cursor, or with other words."
        )
    if status >= 500:
        raise Unavailable(f"MLflow failed to answer (HTTP {status}).", fix="Its log says why.")


def _nothing() -> NotFound:
    return NotFound(
        "There is no such experiment or run.", fix="List them with `perijove runs list`."
    )


def _experiment(item: dict[str, Any], starts: list[int]) -> Experiment:
    return Experiment(
        id=item["experiment_id"],
        name=item["name"],
        runs=len(starts),
        last_run_at=_instant(starts[0]) if starts else None,
    )


def _run(item: dict[str, Any], experiment: str) -> TrackedRun:
    info, data = item["info"], item.get("data", {})
    ended = int(info.get("end_time") or 0)
    return TrackedRun(
        id=info["run_id"],
        name=info.get("run_name") or info["run_id"][:8],
        experiment=experiment,
        experiment_id=info["experiment_id"],
        user=info.get("user_id") or "",
        state="deleted" if info.get("lifecycle_stage") == "deleted" else info["status"].lower(),
        started_at=_instant(int(info["start_time"])),
        ended_at=_instant(ended) if ended else None,
        parameters={pair["key"]: pair.get("value", "") for pair in data.get("params", [])},
        metrics={
            pair["key"]: float(pair["value"])
            for pair in data.get("metrics", [])
            if pair.get("value") is not None
        },
        job_run=next(
            (pair.get("value") for pair in data.get("tags", []) if pair["key"] == JOB_RUN), None
        ),
    )


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
