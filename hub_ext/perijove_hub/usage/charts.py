"""Where the marks of a chart lie, in the units of its drawing; the page draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

#: Colours that are told apart also by people who see few; what is beyond them is "others".
COLOURS = 6
#: The key of what is folded together, and of what has no group.
OTHERS, NOBODY = "others", "no group"

#: The drawing, and the plot within it.
WIDTH, HEIGHT = 640.0, 232.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 624.0, 12.0, 206.0


@dataclass(frozen=True)
class Bar:
    """One segment of a day."""

    x: float
    y: float
    width: float
    height: float
    colour: int
    label: str
    """What it is, for whoever points at it or has it read."""


@dataclass(frozen=True)
class Tick:
    """A line of the grid, or a day of the axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Stacked bars, one for each day."""

    bars: Sequence[Bar]
    lines: Sequence[Tick]
    days: Sequence[Tick]
    legend: Sequence[tuple[str, int]]
    """Name and colour, in the order of the stack from below."""


def series(totals: Mapping[str, float]) -> list[str]:
    """Return the names to draw, the largest first; others are folded into the last."""
    names = sorted((name for name, value in totals.items() if value > 0), key=lambda n: -totals[n])
    return names if len(names) <= COLOURS else [*names[: COLOURS - 1], OTHERS]


def stacked(
    values: Mapping[str, Mapping[str, float]], days: Sequence[date], names: Sequence[str], unit: str
) -> Chart:
    """Draw ``values`` (day → name → amount) with the colours that ``names`` give in order."""
    amounts_of = [folded(values.get(day.isoformat(), {}), names) for day in days]
    top, step = scale(max((sum(one.values()) for one in amounts_of), default=0))
    lines = [Tick(_y(step * at, top), figure(step * at)) for at in range(round(top / step) + 1)]
    slot = (RIGHT - LEFT) / max(1, len(days))
    width = min(28.0, slot * 0.72)
    bars = []
    for at, (day, amounts) in enumerate(zip(days, amounts_of, strict=True)):
        below = 0.0
        for colour, name in enumerate(names):
            if amount := amounts.get(name, 0.0):
                y = _y(below + amount, top)
                bars.append(
                    Bar(
                        x=round(LEFT + slot * at + (slot - width) / 2, 2),
                        y=round(y, 2),
                        width=round(width, 2),
                        height=round(_y(below, top) - y, 2),
                        colour=colour,
                        label=f"{_day(day)}: {name} {amount:,.2f} {unit}",
                    )
                )
                below += amount
    every = max(1, math.ceil(len(days) / 7))
    # The last day always stands there, and the others count back from it.
    axis = [
        Tick(round(LEFT + slot * (at + 0.5), 2), _day(day))
        for at, day in enumerate(days)
        if (len(days) - 1 - at) % every == 0
    ]
    return Chart(bars, lines, axis, [(name, colour) for colour, name in enumerate(names)])


def scale(most: float) -> tuple[float, float]:
    """Return where an axis ends that holds ``most``, and the step of its 3 to 6 lines."""
    if most <= 0 or not math.isfinite(most):
        return 1.0, 0.5
    power = 10.0 ** math.floor(math.log10(most / 5))
    step = next(one * power for one in (1, 2, 2.5, 5, 10) if one * power * 5 >= most * 0.999999)
    return step * math.ceil(most / step - 1e-6), step


def figure(value: float) -> str:
    """Write an axis' figure as short as it can be: 0, 0.25, 1,500, 20k."""
    if value >= 10_000:
        return f"{value / 1000:,.10g}k"
    return f"{value:,.10g}"


def folded(amounts: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """Put together as ``OTHERS`` what has no name of its own in the chart."""
    found: dict[str, float] = {}
    for name, amount in amounts.items():
        key = name if name in names else OTHERS
        found[key] = found.get(key, 0.0) + amount
    return found


def _y(amount: float, top: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * amount / top


def _day(day: date) -> str:
    return f"{day.day} {day:%b}"
