"""Looking on at a run that is tried again, while the control plane is away now and then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from perijove import jobs
from perijove.client import Client
from perijove.exceptions import Intercepted, Unreachable
from perijove.types.base import Problem
from perijove.types.jobs import LogChunk
from perijove_hub.jobs import workload
from perijove_hub.launch import Workload
from perijove_hub.store.models import RunRow
from tests.fixtures.api import Api
from tests.jobs.programs import DONE


def test_a_log_is_followed_through_every_try_and_a_restart_of_the_api(
    ada: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_describe, real_get, asked = workload.describe, Client.get, 0
    raised: list[Unreachable | Intercepted] = []

    def describe(run: RunRow, **more: Any) -> Workload:
        first = "echo first try, which says more than the other; sleep 0.3; kill -9 $$; sleep 60"
        script = first if run.attempt == 1 else f"echo second try\n{DONE}"
        return replace(real_describe(run, **more), command=("/bin/sh", "-c", script))

    def away_at_times(self: Client, model: Any, path: str, **params: Any) -> Any:
        nonlocal asked
        asked += model is LogChunk
        if model is LogChunk and asked % 4 == 2:
            raised.append(Unreachable("It is being started again."))
            raise raised[-1]
        if model is LogChunk and asked % 4 == 3:
            # As a proxy answers that does not know its routes yet.
            raised.append(Intercepted(Problem(title="HTTP 404 Not Found", status=404)))
            raise raised[-1]
        return real_get(self, model, path, **params)

    monkeypatch.setattr(workload, "describe", describe)
    jobs.create("Tutorial.ipynb", retries=1, retry_delay="1s")
    run = jobs.run("tutorial", wait=False)
    monkeypatch.setattr(Client, "get", away_at_times)
    said = "".join(jobs.logs("tutorial", run=run.id, follow=True))
    assert said == "first try, which says more than the other\nsecond try\n"
    assert {type(error) for error in raised} == {Unreachable, Intercepted}
