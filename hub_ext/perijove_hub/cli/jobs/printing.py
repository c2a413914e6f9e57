"""What ``perijove jobs`` prints."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from pydantic import BaseModel

from perijove.types.backfills import Backfill
from perijove.types.jobs import Run
from perijove.types.sweeps import Sweep

T = TypeVar("T", Run, Backfill, Sweep)

#: What moves a cursor or renames a window; colours (SGR) and carriage returns do no harm.
_CONTROLS = re.compile(r"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]")


def safe(text: str) -> str:
    """Take out of a text what a notebook may not send to the terminal of whoever reads it."""
    return _CONTROLS.sub("\ufffd", text)


def print_json(found: BaseModel | Sequence[BaseModel]) -> None:
    """Print a message, or a list of them, as JSON."""
    document: Any = (
        found.model_dump(mode="json")
        if isinstance(found, BaseModel)
        else [one.model_dump(mode="json") for one in found]
    )
    click.echo(json.dumps(document, indent=2))


def show(document: BaseModel | Sequence[BaseModel], table: object, *, as_json: bool) -> None:
    """Print ``document`` as JSON when that is wanted, else ``table`` for people."""
    if as_json:
        print_json(document)
    else:
        click.echo(safe(repr(table)))


def followed(wait: Callable[[Callable[[T], None]], T], words: Callable[[T], str], left: str) -> T:
    """Wait for something, and tell on standard error how far it is whenever ``words`` change.

    Ctrl-C ends the waiting, says ``left``, and exits with status 130.
    """
    shown: list[str] = []

    def look(seen: T) -> None:
        line = f"[{seen.state.value}] {safe(words(seen))}"
        if shown[-1:] != [line]:
            shown.append(line)
            click.echo(line, err=True)

    try:
        return wait(look)
    except KeyboardInterrupt:
        click.echo(left, err=True)
        sys.exit(130)
