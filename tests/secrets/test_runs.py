"""A run reads its secrets and its files, and leaves no secret behind."""

from __future__ import annotations

import json

from perijove.types.jobs import RunState
from perijove_hub.secrets.service import SecretService
from perijove_hub.store.models import RunRow
from tests.jobs.conftest import ADA, ADMIN, Platform, platform
from tests.jobs.notebooks import code, notebook
from tests.jobs.test_promote import kept
from tests.secrets.test_secrets import VALUE, put

__all__ = ["platform"]

NOTEBOOK = notebook(
    code(
        "import perijove\n"
        "token: perijove.Secret = perijove.secret('API_KEY')  # of the shop\n"
        "other: perijove.Secret | None = None",
        tags=["parameters"],
    ),
    code("import hashlib, helpers\nprint('HASH', hashlib.sha256(token.encode()).hexdigest())"),
    code("print('ROWS', open('data/points.csv').read().count('\\n'), helpers.x, other)"),
    code("print('LEAK', token)\ntoken"),
)


def test_the_whole_way(platform: Platform) -> None:
    put(platform.context)
    put(platform.context, "OTHER_KEY", "another-value")
    job = platform.promote(
        NOTEBOOK, inputs=[kept("data/points.csv"), kept("helpers.py", b"x = 'helped'\n")]
    )
    first, other = platform.run(job), platform.run(job, other="OTHER_KEY", token="OTHER_KEY")
    for run in (first, other):
        assert platform.finished(run).state is RunState.succeeded, platform.log(run)
    hashes = {}
    for run in (first, other):
        told = platform.log(run)
        assert "ROWS 2 helped" in told
        hashes[run.id] = told.split("HASH ")[1][:64]
        output = platform.runs.notebook(ADMIN, run.id)[0].decode()
        with platform.context.database.reading() as session:
            row = session.get_one(RunRow, run.id)
            assert row.events_sha256 is not None
            events = platform.context.blobs.get(row.events_sha256).decode()
        for value in (VALUE, "another-value"):
            assert value not in told + output + events + json.dumps(row.parameters)
        assert "LEAK [secret removed]" in told
    assert len(set(hashes.values())) == 2


def test_a_secret_that_is_gone_when_the_run_starts_is_its_reason(platform: Platform) -> None:
    put(platform.context)
    run = platform.run(platform.promote(NOTEBOOK, inputs=[kept("data/points.csv")]))
    SecretService(platform.context).delete(ADA, "API_KEY")
    ended = platform.finished(run)
    assert (ended.state, ended.cause) == (RunState.failed, "refused")
    assert "ada has no secret 'API_KEY'" in (ended.reason or "")
