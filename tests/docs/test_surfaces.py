"""The table of what jobs can do on which surface, in docs/jobs.md, is what the code has."""

from __future__ import annotations

import re

from perijove.magics.jobs import VERBS
from perijove_hub.api.app import API, create_app
from perijove_hub.cli.jobs import jobs
from tests.fixtures.processes import ROOT

TABLE = (ROOT / "docs/jobs.md").read_text(encoding="utf-8").partition("## Every action")[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in TABLE.splitlines()
    if re.match(r"\| .*`(GET|POST|PATCH|DELETE) ", line)
]


def column(number: int) -> set[str]:
    """Return what stands in backquotes in a column."""
    return {found for row in ROWS for found in re.findall(r"`([^`]+)`", row[number])}


def test_every_route_of_jobs_is_in_the_table() -> None:
    tags = {"jobs", "backfills", "sweeps"}
    routes = {
        f"{method.upper()} {path.removeprefix(API)}"
        for path, methods in create_app(None).openapi()["paths"].items()
        for method, operation in methods.items()
        if tags & set(operation["tags"])
    }
    assert column(1) == routes


def test_every_command_and_verb_is_in_the_table() -> None:
    assert column(2) == set(jobs.commands)
    assert column(3) == {*VERBS, "%promote"}


def test_what_the_panel_is_said_to_show_is_in_it() -> None:
    sources = "".join(
        file.read_text(encoding="utf-8") for file in (ROOT / "labextension/src/jobs").glob("*.ts*")
    )
    for row in ROWS:
        for words in row[4].split(", "):
            assert not words[0].isalpha() or f"'{words}'" in sources, words
