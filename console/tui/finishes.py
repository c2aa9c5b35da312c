"""When each service would be there, by each way to go on: ways beside each other, above the step that is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from console.model.finishes import ASSERTED, AT_RISK, IF_GOOD, LATE, NEVER, ON_TIME, PARTIAL, SUM, Finish, Outlook
from console.model.plans import Save
from console.model.words import Timeliness
from console.tui.cells import Look
from console.tui.widgets.paint import Run, fit, fit_middle, length_of

GAP = 2
NAME = 14
"""Cells of a service's name where there is little room; it gets more where there is."""
MOST_ROWS, TALL_ROWS = 4, 10
"""Services that are seen at once, and on a terminal of `TALL` lines; the others are scrolled to."""
TALL = 36
_MARKS = {
    ON_TIME: Timeliness.ON_TIME,
    LATE: Timeliness.WILL_MISS,
    AT_RISK: Timeliness.AT_RISK,
    IF_GOOD: Timeliness.AT_RISK,
    PARTIAL: Timeliness.AT_RISK,
    ASSERTED: Timeliness.AT_RISK,
    NEVER: Timeliness.BREACHED,
}


def finish_lines(found: Outlook, look: Look, width: int) -> list[list[Run]]:
    """A head and a row for each service; of the ways as many as fit, the most important ones first."""
    if not found.ways:
        return []
    columns = [_column(found, number, look) for number in range(len(found.ways))]
    due = ["due", *(look.clock.hm(_due(day), look.now, day.zone) for day in found.days)]
    names = [f"FINISH ({SUM} sum)" if found.is_mixed else "FINISH", *(day.service for day in found.days)]
    left = width - 1 - NAME - GAP - max(map(len, due))
    shown: list[list[list[Run]]] = []
    for column in columns:
        wide = GAP + _wide(column)
        if wide > left:
            break
        shown.append(column)
        left -= wide
    name = min(max(map(len, names)), NAME + max(0, left))
    return [_line(at, name, names, due, shown) for at in range(len(names))]


def _line(
    at: int, name: int, names: Sequence[str], due: Sequence[str], shown: Sequence[Sequence[Sequence[Run]]]
) -> list[Run]:
    told: list[Run] = [
        (f" {fit(fit_middle(names[at], name), name)}", "plain" if at else "key"),
        (" " * GAP + fit(due[at], max(map(len, due))), "dim"),
    ]
    for column in shown:
        told += [(" " * GAP, "plain"), *column[at], (" " * (_wide(column) - length_of(column[at])), "plain")]
    return told


def _wide(column: Sequence[Sequence[Run]]) -> int:
    return max(length_of(cell) for cell in column)


def _column(found: Outlook, number: int, look: Look) -> list[list[Run]]:
    way = found.ways[number]
    head: list[Run] = [(f"{look.glyphs.sign('marked')} {way.words}", "key") if way.is_present else (way.words, "dim")]
    cells = zip(way.finishes, found.days, strict=True)
    return [head, *(_cell(found, one, day, look) for one, day in cells)]


def _cell(found: Outlook, one: Finish, day: Save, look: Look) -> list[Run]:
    mark, _, style = look.glyphs.mark("timeliness", _MARKS.get(one.stands, Timeliness.NO_ESTIMATE))
    at = f"{found.sign(one)}{look.clock.hm(one.at, look.now, day.zone)}" if one.at is not None else ""
    gap = " " if at and one.words.startswith(" ") else ""
    return [(f"{mark} ", style), (f"{at}{gap}", "plain"), (one.words.lstrip(), style)]


def _due(day: Save) -> datetime:
    return datetime.fromisoformat(day.deadline)
