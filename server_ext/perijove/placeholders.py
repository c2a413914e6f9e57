"""Placeholders of a statement: ``:name`` outside of strings, comments and quoted names.

Both sides read them the same way: the magic, to know which of a person's variables to send, and
the catalog, to bind them. SQLAlchemy's ``text()`` takes ``' :x'`` inside a string for one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

# Every alternative also ends at the end of the text, so that reading stays linear in its length.
_TOKEN = re.compile(
    r"""
      (?<!\w)[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)      # E'it\'s'
    | '(?:[^']|'')*(?:'|\Z)
    | "(?:[^"]|"")*(?:"|\Z)
    | `[^`]*(?:`|\Z)
    | --[^\n]*
    | /\*.*?(?:\*/|\Z)
    | (?<![\w$])(?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?:(?P=tag)|\Z)
    | ::
    | (?<!\w):(?P<name>[A-Za-z_]\w*)
    | (?P<end>;)
    """,
    re.VERBOSE | re.DOTALL,
)
_SILENT = re.compile(r"\s*(?:(?:--[^\n]*|/\*.*?(?:\*/|\Z)|;)\s*)*", re.DOTALL)


def names(sql: str) -> list[str]:
    """Return the placeholders' names, each once, in order."""
    return list(dict.fromkeys(match["name"] for match in _placeholders(sql)))


def rewrite(
    sql: str,
    write: Callable[[str], str],
    *,
    literal: Callable[[str], str] = lambda text: text,
) -> str:
    """Return ``sql`` with each placeholder as ``write(name)`` and the rest through ``literal``."""
    parts, at = [], 0
    for match in _placeholders(sql):
        parts += [literal(sql[at : match.start()]), write(match["name"])]
        at = match.end()
    return "".join([*parts, literal(sql[at:])])


def is_single(sql: str) -> bool:
    """Tell whether nothing but blanks, comments and semicolons follows the first semicolon."""
    for match in _TOKEN.finditer(sql):
        if match["end"]:
            return _SILENT.fullmatch(sql, match.end()) is not None
    return True


def bare(sql: str) -> str:
    """Return ``sql`` without its strings, quoted names and comments."""
    return _TOKEN.sub(lambda match: match[0] if match["end"] or match["name"] else " ", sql)


def _placeholders(sql: str) -> Iterator[re.Match[str]]:
    return (match for match in _TOKEN.finditer(sql) if match["name"])
