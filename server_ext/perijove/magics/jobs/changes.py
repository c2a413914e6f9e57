"""How two versions, or two runs, differ: text in a terminal, colours in a notebook."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from perijove.types.comparison import CellDifference, Comparison, ValueDifference
from perijove.types.jobs import Input, Parameter
from perijove.types.versions import CellChange, VersionDiff

_COLOURS = {
    "+": "var(--jp-success-color1, #2e7d32)",
    "-": "var(--jp-error-color1, #c62828)",
    "@": "var(--jp-ui-font-color2, #616161)",
}


@dataclass(frozen=True)
class Changes:
    """Parts that differ, each with its lines; ``same`` is said when there are none."""

    title: str
    parts: Sequence[tuple[str, Sequence[str]]]
    same: str = "They are the same."

    def __repr__(self) -> str:
        lines = [self.title]
        for name, texts in self.parts:
            lines += [name, *(f"  {text}" for text in texts)]
        return "\n".join(lines if self.parts else [self.title, self.same])

    def _repr_html_(self) -> str:
        body = "".join(
            f"<div>{escape(name)}</div><pre style='margin:2px 0 8px 12px'>"
            + "\n".join(_line(text) for text in texts)
            + "</pre>"
            for name, texts in self.parts
        )
        return f"<div><b>{escape(self.title)}</b></div>{body or f'<div>{escape(self.same)}</div>'}"


def of_versions(name: str, found: VersionDiff) -> Changes:
    """Show how two versions of a job differ."""
    parts: list[tuple[str, Sequence[str]]] = [(_cell(one), one.lines) for one in found.cells]
    if found.metadata:
        parts.append(("the notebook's metadata, such as its kernel", []))
    if found.parameters:
        lines = [
            line
            for one in found.parameters
            for line in _both(one.name, _declared(one.before), _declared(one.after))
        ]
        parts.append(("parameters", lines))
    if found.inputs:
        lines = [
            line
            for one in found.inputs
            for line in _both(one.path, _file(one.before), _file(one.after))
        ]
        parts.append(("files", lines))
    if found.image:
        before, after = (one or "the default" for one in (found.image.before, found.image.after))
        parts.append(("image", [f"- {before}", f"+ {after}"]))
    if found.cut:
        parts.append(("Lines were left out: there are too many.", []))
    return Changes(
        f"{name}: from version {found.before} to {found.after}", parts, "They run the same."
    )


def of_runs(found: Comparison) -> Changes:
    """Show how two runs differ."""
    parts: list[tuple[str, Sequence[str]]] = []
    for name, values in (
        ("parameters", found.parameters),
        ("environment", found.environment),
        ("files it ran with", found.inputs),
        ("artifacts", found.artifacts),
    ):
        if lines := _values(values):
            parts.append((name, lines))
    for name, numbers in (("metrics", found.metrics), ("measures", found.measures)):
        if numbers:
            lines = [
                f"  {one.name}: {_number(one.one)} → {_number(one.other)}"
                + (f" ({one.difference:+.4g})" if one.difference else "")
                for one in numbers
            ]
            parts.append((name, lines))
    parts += [(_shown(one), _outputs(one)) for one in found.cells]
    parts.append((f"{found.cells_same} cells are the same.", []))
    parts += [(f"Not compared: {one}", []) for one in found.left_out]
    one, other = found.one, found.other
    return Changes(
        f"{one.job} {one.id} ({one.state.value}) and {other.job} {other.id} ({other.state.value})",
        parts,
    )


def _cell(one: CellChange) -> str:
    place = one.after if one.after is not None else one.before
    tags = ", metadata too" if one.metadata else ""
    return f"{one.cell_type} cell {(place or 0) + 1} {one.change.value}{tags}"


def _shown(one: CellDifference) -> str:
    if one.one is None or one.other is None:
        place, what = (one.other, "added") if one.one is None else (one.one, "removed")
    else:
        place, what = one.other, "changed" if one.diff else "shows something else"
    return f"{one.type} cell {(place or 0) + 1} {what}: {one.line}"


def _outputs(one: CellDifference) -> list[str]:
    lines = list(one.diff)
    if one.outputs_differ:
        lines += [f"- {text}" for text in one.output_one.splitlines()]
        lines += [f"+ {text}" for text in one.output_other.splitlines()]
    return lines


def _values(values: Sequence[ValueDifference]) -> list[str]:
    return [
        line
        for one in values
        if not one.same
        for line in _both(one.name, _plain(one.one), _plain(one.other))
    ]


def _both(name: str, before: str | None, after: str | None) -> list[str]:
    lines = [("-", before), ("+", after)]
    return [f"{sign} {name}: {text}" for sign, text in lines if text is not None]


def _declared(one: Parameter | None) -> str | None:
    if one is None:
        return None
    return f"{one.type.value} " + ("(required)" if one.required else f"= {_plain(one.default)}")


def _file(one: Input | None) -> str | None:
    return None if one is None else f"{one.bytes} bytes, {one.sha256[:12]}"


def _plain(value: Any) -> str:
    return json.dumps(value, default=str)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _line(text: str) -> str:
    colour = _COLOURS.get(text[:1])
    return f'<span style="color:{colour}">{escape(text)}</span>' if colour else escape(text)
