"""Runs by day and hour, as lines: shape tells how many, a mark which hours had failures. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from console.model.views.jobs import HourCount
from console.tui.cells import Look
from console.tui.widgets.paint import Run

DAYS = 7
SHAPES = " ▁▂▃▄▅▆▇█"
PLAIN = " 123456789"
"""How much of the busiest hour, where shapes would not be drawn."""


def lines(hours: Sequence[HourCount], look: Look) -> list[list[Run]]:
    """A line for each of the last days, oldest first, on the wall clock of the mode; then what the shapes say."""
    most = max((one.runs for one in hours), default=0)
    days: dict[str, dict[int, HourCount]] = {}
    for back in range(DAYS - 1, -1, -1):
        days[_day(look, back)] = {}
    for one in hours:
        local = look.clock.local(one.at)
        day = days.get(f"{local:%a %-d %b}")
        if day is not None:
            day[local.hour] = one
    ruler = "".join(f"{hour:02d}    " for hour in range(0, 24, 3))
    found: list[list[Run]] = [[(f"{'':11}{ruler}", "dim"), ("  runs   red", "dim")]]
    found += [_line(day, of, most, look) for day, of in days.items()]
    mark = "!" if look.glyphs.plain else "▪"
    return [*found, [], [(f"the busiest hour had {most:,} runs; ", "dim"), (mark, "bad"), (" something failed", "dim")]]


def _day(look: Look, back: int) -> str:
    return f"{look.clock.local(look.now - timedelta(days=back)):%a %-d %b}"


def _line(day: str, of: dict[int, HourCount], most: int, look: Look) -> list[Run]:
    found: list[Run] = [(f"{day:<11}", "plain")]
    shapes = PLAIN if look.glyphs.plain else SHAPES
    for hour in range(24):
        one = of.get(hour)
        runs, red = (one.runs, one.red) if one else (0, 0)
        step = -(-runs * (len(shapes) - 1) // most) if most else 0
        mark = ("!" if look.glyphs.plain else "▪") if red else " "
        found += [(shapes[step], "run"), (mark, "bad")]
    total, failed = sum(one.runs for one in of.values()), sum(one.red for one in of.values())
    return [*found, (f"{total:>6,}", "plain"), (f"{failed:>6,}", "bad" if failed else "dim")]
