"""What a flag takes, told once: magics, the command line and Python read the same values.

OVERLAP = Option("overlap", "What becomes of a slot while a run is not over.", one_of(Overlap))
OVERLAP.flag            # "--overlap"
OVERLAP.read("queue")   # Overlap.queue
OVERLAP.read("both")    # OptionError: --overlap must be skip, queue, allow or cancel, not 'both'.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from perijove.exceptions import PerijoveError

E = TypeVar("E", bound=StrEnum)

#: What takes a limit away again.
NONE = "none"

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class OptionError(PerijoveError):
    """A flag's value is not what the flag takes."""


def text(given: str) -> str:
    """Take any text."""
    return given


def whole(given: str) -> int:
    """Read a whole number."""
    try:
        return int(given)
    except ValueError:
        raise ValueError("a whole number") from None


def number(given: str) -> float:
    """Read a number."""
    try:
        return float(given)
    except ValueError:
        raise ValueError("a number") from None


def seconds(given: str) -> int:
    """Read a duration: ``90s``, ``15m``, ``6h``, ``2d``; a bare number means seconds."""
    found = re.fullmatch(r"(\d{1,12})([smhd]?)", given.strip().lower())
    if found is None:
        raise ValueError("a duration such as 90s, 15m, 6h or 2d")
    return int(found[1]) * _UNITS[found[2] or "s"]


def names(given: str) -> list[str]:
    """Read names with commas between them."""
    found = [one.strip() for one in given.split(",") if one.strip()]
    if not found:
        raise ValueError("names with commas between them")
    return found


def one_of(options: type[E]) -> Callable[[str], E]:
    """Make the reader of an enumeration's values."""

    def read(given: str) -> E:
        try:
            return options(given)
        except ValueError:
            *some, last = (one.value for one in options)
            raise ValueError(f"{', '.join(some)} or {last}") from None

    return read


def or_none(reader: Callable[[str], Any]) -> Callable[[str], Any]:
    """Make a reader that takes ``none`` as well, for what may be unlimited."""

    def read(given: str) -> Any:
        if given == NONE:
            return NONE
        try:
            return reader(given)
        except ValueError as error:
            raise ValueError(f"{error}, or none") from None

    return read


def duration(total: int) -> str:
    """Write seconds as ``seconds`` reads them, in the largest unit that is exact."""
    for unit in ("d", "h", "m"):
        if total and total % _UNITS[unit] == 0:
            return f"{total // _UNITS[unit]}{unit}"
    return f"{total}s"


@dataclass(frozen=True)
class Option:
    """A flag: its name in Python, what it is for, and how its text is read."""

    name: str
    about: str
    reader: Callable[[str], Any] = text
    metavar: str = "TEXT"
    many: bool = False
    """It may be given several times."""

    @property
    def flag(self) -> str:
        """How it is written on a line."""
        return "--" + self.name.replace("_", "-")

    def read(self, given: str) -> Any:
        """Read its text; raises ``OptionError``."""
        try:
            return self.reader(given)
        except ValueError as error:
            raise OptionError(f"{self.flag} must be {error}, not '{given}'.") from None
