"""The one reading of a magic's line: words, flags, and ``name=value`` pairs.

    COMMAND = Command(
        "%job run NAME [--param NAME=VALUE ...] [--version N] [--wait]",
        words=(1, 1),
        flags={"--param": dict, "--version": int, "--wait": bool},
    )
    given = COMMAND.parse(line)
    given.words          # ["tutorial"]
    given["--param"]     # {"C": 2.0}

``pairs=True`` lets the line itself hold pairs (``%metric auc=0.99 loss=0.1``): ``given.pairs``.
A flag's kind is ``str``, ``int``, ``float``, ``bool`` (a switch without a value) or ``dict``
(``NAME=VALUE``, may be repeated). Left out it is ``None``, ``False`` or ``{}``.

``options`` are flags that the command line has too: ``given.options`` holds those that were
given, by their names in Python.
"""

from __future__ import annotations

import ast
import difflib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from perijove.exceptions import PerijoveError
from perijove.options import Option, OptionError

Kind = type[str | int | float | bool | dict[str, Any]]

_OPEN = {"[": "]", "(": ")", "{": "}"}
_SHOULD_BE: dict[Kind, str] = {int: "a whole number", float: "a number"}


class UsageError(PerijoveError):
    """A magic was called wrongly; ``str()`` says how to call it."""


@dataclass(frozen=True)
class Given:
    """What a line said."""

    words: list[str] = field(default_factory=list)
    flags: dict[str, Any] = field(default_factory=dict)
    pairs: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, flag: str) -> Any:
        return self.flags[flag]


class Command:
    """A magic's grammar: how many words, which flags.

    ``words`` is the least and the most (``None``: any number).
    """

    def __init__(
        self,
        usage: str,
        *,
        words: tuple[int, int | None] = (0, 0),
        flags: Mapping[str, Kind] | None = None,
        pairs: bool = False,
        options: Sequence[Option] = (),
    ) -> None:
        self.usage = usage
        self._words = words
        self._pairs = pairs
        self._flags = dict(flags or {})
        self._options = {one.flag: one for one in options}

    @property
    def flags(self) -> set[str]:
        """Every flag it takes."""
        return {*self._flags, *self._options}

    def parse(self, line: str) -> Given:
        """Read ``line``; raises ``UsageError``."""
        given = Given(flags={flag: _absent(kind) for flag, kind in self._flags.items()})
        tokens = iter(self._split(line))
        for token in tokens:
            if token.startswith("--") and len(token) > 2:
                self._take_flag(token, tokens, given)
            elif self._pairs and "=" in token:
                self._take_pair(token, given.pairs)
            else:
                given.words.append(unquote(token))
        self._check_words(given.words)
        return given

    def wrong(self, message: str) -> UsageError:
        """Make the error for a line that is wrong in another way: message, then usage."""
        return UsageError(f"{message} Usage: {self.usage}")

    def _split(self, line: str) -> list[str]:
        try:
            return split(line)
        except ValueError as error:
            raise self.wrong(f"{error}.") from None

    def _take_flag(self, token: str, rest: Iterator[str], given: Given) -> None:
        flag, assigned, value = token.partition("=")
        kind = self._flags.get(flag)
        if kind is None and flag not in self._options:
            near = difflib.get_close_matches(flag, [*self._flags, *self._options], n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise self.wrong(f"There is no flag {flag}.{hint}")
        if kind is bool:
            if assigned:
                raise self.wrong(f"{flag} takes no value.")
            given.flags[flag] = True
            return
        if not assigned:
            value = next(rest, "")
            if not value or value.startswith("--"):
                raise self.wrong(f"{flag} needs a value.")
        if kind is None:
            self._take_option(self._options[flag], unquote(value), given.options)
        elif kind is dict:
            self._take_pair(value, given.flags[flag])
        else:
            given.flags[flag] = self._convert(flag, value, kind=kind)

    def _take_option(self, option: Option, text: str, given: dict[str, Any]) -> None:
        try:
            value = option.read(text)
        except OptionError as error:
            raise self.wrong(str(error)) from None
        if option.many:
            given.setdefault(option.name, []).append(value)
        else:
            given[option.name] = value

    def _convert(self, flag: str, value: str, *, kind: Kind) -> Any:
        text = unquote(value)
        if kind is str:
            return text
        try:
            return int(text) if kind is int else float(text)
        except ValueError:
            raise self.wrong(f"{flag} must be {_SHOULD_BE[kind]}, not '{text}'.") from None

    def _take_pair(self, token: str, pairs: dict[str, Any]) -> None:
        # "names=['a', 'b']" in quotes as a whole is the shell's habit.
        name, assigned, value = (unquote(token) if token[0] in "'\"" else token).partition("=")
        if not assigned or not name.isidentifier():
            raise self.wrong(f"'{token}' is not NAME=VALUE.")
        if name in pairs:
            raise self.wrong(f"'{name}' is given twice.")
        pairs[name] = typed(value)
        # IPython replaces {x} before we are called, and leaves it where x is not defined.
        if isinstance(pairs[name], str) and re.fullmatch(r"\{.*\}", value, re.DOTALL):
            raise self.wrong(f"{value} could not be evaluated; is everything in it defined?")

    def _check_words(self, words: list[str]) -> None:
        least, most = self._words
        if len(words) < least:
            raise self.wrong("Something is missing.")
        if most is not None and len(words) > most:
            raise self.wrong(f"'{words[most]}' is one word too many.")


def _absent(kind: Kind) -> Any:
    if kind is dict:
        return {}
    return False if kind is bool else None


def typed(text: str) -> Any:
    """Read a value as Python would a literal, and as plain text where it is none.

    ``0.5`` is a float, ``True`` a bool, ``['a', 'b']`` a list, ``"0.5"`` and ``abc`` are str.
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return unquote(text)


def unquote(token: str) -> str:
    """Take shell quotes off a token that ``split`` returned."""
    try:
        return "".join(shlex.split(token)) if set(token) & set("'\"") else token
    except ValueError:
        return token


def split(line: str) -> list[str]:
    """Split at blanks outside quotes and brackets, leaving quotes on.

    ``shlex.split`` alone would turn ``names=['a', 'b']`` into ``names=[a,`` and ``b]``.
    Raises ``ValueError`` for a quote that is never closed.
    """
    tokens, token, quote = [], "", ""
    closing: list[str] = []
    for letter in line:
        if letter.isspace() and not quote and not closing:
            if token:
                tokens.append(token)
            token = ""
            continue
        token += letter
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in _OPEN:
            closing.append(_OPEN[letter])
        elif closing and letter == closing[-1]:
            closing.pop()
    if quote:
        raise ValueError(f"a {quote} is never closed")
    if closing:
        raise ValueError(f"a '{closing[-1]}' is missing")
    return [*tokens, token] if token else tokens
