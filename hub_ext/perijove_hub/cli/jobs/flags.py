"""Flags that magics have too, and those that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from perijove.options import Option, OptionError

F = TypeVar("F", bound=Callable[..., Any])

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
ATTEMPT = click.option("--attempt", type=int, metavar="N", help="Of its tries; else the last.")
OWNER = click.option("--owner", help="Whose job, where several have the name.")
PARAMS = click.option("--param", "params", multiple=True, metavar="NAME=VALUE")
RUN = click.option("--run", "run_id", metavar="ID", help="The last run if left out.")
VERSION = click.option("--version", type=click.IntRange(1), help="The latest if left out.")
WAIT = click.option("--wait/--no-wait", default=True, show_default=True, help="Until it has ended.")


class _Read(click.ParamType[Any]):
    """Reads a value as the magic does, with the same words for what is wrong."""

    def __init__(self, option: Option) -> None:
        self.name = option.metavar
        self._option = option

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read one value; raises ``click.UsageError``."""
        if not isinstance(value, str):
            return value
        try:
            return self._option.read(value)
        except OptionError as error:
            raise click.UsageError(str(error), ctx) from None


def flags(options: Sequence[Option]) -> Callable[[F], F]:
    """Add options to a command, which gets them by their names in Python."""

    def add(command: F) -> F:
        for one in reversed(options):
            command = click.option(
                one.flag,
                one.name,
                type=_Read(one),
                multiple=one.many,
                metavar=one.metavar,
                help=one.about,
            )(command)
        return command

    return add


def said(given: dict[str, Any]) -> dict[str, Any]:
    """Return the flags that were given."""
    return {name: value for name, value in given.items() if value not in (None, ())}


def texts(params: Sequence[str]) -> dict[str, str]:
    """Read what ``--param`` was given; raises ``click.BadParameter``."""
    found: dict[str, str] = {}
    for one in params:
        name, assigned, value = one.partition("=")
        if not assigned or not name.isidentifier():
            raise click.UsageError(f"'{one}' is not NAME=VALUE.")
        if name in found:
            raise click.UsageError(f"'{name}' is given twice.")
        found[name] = value
    return found
