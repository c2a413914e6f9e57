"""What magics show: one quiet line, a small table, a state chip, a line that follows long work.

Everything that reaches HTML is escaped here. Every object has a ``text/plain`` form, so that
consoles, papermill logs and ``nbconvert`` read as well as JupyterLab.

``say(text)``
    One quiet line.
``Chip(state)``, ``Link(text, url)``, ``Listing(columns, rows, ...)``, ``Card(title, facts, ...)``
    Return them from a magic, or put the first two into cells of the others.
``Status()``
    A line that updates in place: ``with Status() as status: status.show("…", state="running")``.
``one_line(error)``
    Makes an exception show as one line and still fail the cell.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, TypeVar

E = TypeVar("E", bound=BaseException)

#: JupyterLab's own colours with a fallback, so that themes work and exports keep colour.
_COLOURS = {
    "good": "var(--jp-success-color1, #2e7d32)",
    "busy": "var(--jp-info-color1, #1565c0)",
    "bad": "var(--jp-error-color1, #c62828)",
    "calm": "var(--jp-ui-font-color2, #616161)",
}
_MOODS = {
    "succeeded": "good",
    "finished": "good",
    "ready": "good",
    "approved": "good",
    "running": "busy",
    "starting": "busy",
    "stopping": "busy",
    "failed": "bad",
    "lost": "bad",
    "killed": "bad",
}
_MUTED = f"color:{_COLOURS['calm']}"
_CELL = "text-align:left;padding:2px 12px 2px 0;border:0"


def say(text: str) -> None:
    """Print one quiet line."""
    print(text)  # noqa: T201 - a magic's output is for a person


def one_line(error: E) -> E:
    """Make IPython show ``error`` as one red line; raise what this returns.

    The cell still fails, with the error's own type, so that papermill and nbconvert stop.
    """
    text = " ".join(str(error).split("\n")) or type(error).__name__
    error._render_traceback_ = lambda: [f"\x1b[31m{text}\x1b[0m"]  # type: ignore[attr-defined]
    return error


@dataclass(frozen=True)
class Chip:
    """A state with its colour."""

    state: str

    def __str__(self) -> str:
        return self.state

    def _repr_html_(self) -> str:
        colour = _COLOURS[_MOODS.get(self.state, "calm")]
        return (
            f'<span style="color:{colour};border:1px solid;border-radius:9px;'
            f'padding:0 7px;font-size:90%;white-space:nowrap">{escape(self.state)}</span>'
        )


@dataclass(frozen=True)
class Link:
    """Text that leads somewhere; only http(s) addresses and paths become links."""

    text: str
    url: str

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        if not self.url.startswith(("http://", "https://", "/")):
            return escape(self.text)
        return (
            f'<a href="{escape(self.url)}" target="_blank" rel="noopener">{escape(self.text)}</a>'
        )


@dataclass(frozen=True)
class Listing:
    """A small table. ``empty`` is what to say, and what to do first, when it has no rows."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""
    empty: str = "Nothing here yet."

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        if not self.rows:
            return self.empty
        texts = [[_text(value) for value in row] for row in self.rows]
        lines = [list(self.columns), *texts]
        widths = [max(len(line[at]) for line in lines) for at in range(len(self.columns))]
        drawn = [
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([*drawn, self.caption] if self.caption else drawn)

    def _repr_html_(self) -> str:
        if not self.rows:
            return f'<div style="{_MUTED}">{escape(self.empty)}</div>'
        head = "".join(
            f'<th scope="col" style="{_CELL};{_MUTED}">{escape(name)}</th>' for name in self.columns
        )
        body = "".join(
            "<tr>" + "".join(f'<td style="{_CELL}">{_html(v)}</td>' for v in row) + "</tr>"
            for row in self.rows
        )
        caption = f'<div style="{_MUTED}">{escape(self.caption)}</div>' if self.caption else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{caption}"


@dataclass(frozen=True)
class Card:
    """One object: a title, its state, and facts by name; a fact of ``None`` is left out."""

    title: str
    facts: Mapping[str, Any]
    state: str | None = None

    def __repr__(self) -> str:
        head = f"{self.title} ({self.state})" if self.state else self.title
        return "\n".join([head, *(f"  {name}: {_text(v)}" for name, v in self._known())])

    def _repr_html_(self) -> str:
        chip = f" {Chip(self.state)._repr_html_()}" if self.state else ""
        rows = "".join(
            f'<tr><th scope="row" style="{_CELL};{_MUTED}">{escape(name)}</th>'
            f'<td style="{_CELL}">{_html(value)}</td></tr>'
            for name, value in self._known()
        )
        return f"<div><b>{escape(self.title)}</b>{chip}<table>{rows}</table></div>"

    def _known(self) -> list[tuple[str, Any]]:
        return [(name, value) for name, value in self.facts.items() if value is not None]


class Status:
    """One line that follows long work: in place in a notebook, one print a change elsewhere.

    Use it in a ``with`` block, so that an in-place line never stays behind as unfinished.
    """

    def __init__(self) -> None:
        self._shown: tuple[str, str | None] | None = None
        self._handle: Any = None

    def show(self, text: str, *, state: str | None = None, link: Link | None = None) -> None:
        """Show ``text`` with the chip of ``state``; nothing happens when neither changed."""
        if (text, state) == self._shown:
            return
        self._shown = (text, state)
        line = _Line(text, state, link)
        if not _in_notebook():
            print(repr(line), flush=True)  # noqa: T201
        elif self._handle is None:
            from IPython.display import display

            self._handle = display(line, display_id=True)
        else:
            self._handle.update(line)

    def __enter__(self) -> Status:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt) and self._shown:
            self.show(f"{self._shown[0]} (no longer followed here)", state=self._shown[1])


@dataclass(frozen=True)
class _Line:
    text: str
    state: str | None
    link: Link | None

    def __repr__(self) -> str:
        state = f"[{self.state}] " if self.state else ""
        return f"{state}{self.text}"

    def _repr_html_(self) -> str:
        chip = f"{Chip(self.state)._repr_html_()} " if self.state else ""
        link = f" {self.link._repr_html_()}" if self.link else ""
        return f"<div>{chip}{escape(self.text)}{link}</div>"


def _in_notebook() -> bool:
    """Tell whether displays can be updated in place: a kernel, not a terminal or a script."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def _text(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split())


def _html(value: Any) -> str:
    return str(value._repr_html_()) if isinstance(value, Chip | Link) else escape(_text(value))
