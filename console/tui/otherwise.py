"""What would become of services if a job went otherwise, as lines: below each service its ways. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from console.clean import clean_line
from console.durations import time_of_day
from console.model.forecasts import late_words
from console.model.views.otherwise import OddsView, OtherwiseView
from console.tui.cells import Look
from console.tui.widgets.paint import Run, fit

NAME, LATE = 20, 15
"""Cells of a way's name, and of how likely it is late."""
EVEN = 0.01
"""P(late) by which a way must differ to be called better or worse."""
AS_IT_IS = "as it is"


class Way(NamedTuple):
    """One way in which the job could go: what the engine is asked, and what it is called."""

    name: str
    asked: dict[str, Any]


def ways(times: Sequence[datetime], look: Look) -> list[Way]:
    """Those that are always asked for, and a restart at each of these times."""
    later = [Way(f"restarted at {look.clock.hm(at, look.now)}", {"how": "restart", "at": at.isoformat()})
             for at in sorted(times)]  # fmt: skip
    return [
        Way("restarted now", {"how": "restart"}),
        *later,
        Way("skipped", {"how": "skip"}),
        Way("in half its time", {"how": "faster", "factor": 0.5}),
    ]


def lines(job: str, found: Sequence[OtherwiseView], asked: Sequence[Way], look: Look) -> list[list[Run]]:
    """Each service that waits for it, the soonest due first; why there is nothing to tell where none does."""
    if not found:
        return [[(f"no open service waits for {clean_line(job)}, or none of them can be forecast", "plain")]]
    told: list[list[Run]] = []
    for one in found:
        due = f"{look.clock.hm(one.deadline, look.now, one.zone)} {look.clock.label(one.deadline, one.zone)}"
        told += [[(clean_line(one.title), "strong"), (f"  due {due}", "plain")]]
        named = zip((AS_IT_IS, *(way.name for way in asked)), one.ways, strict=True)
        told += [_way(name, odds, one, look) for name, odds in named]
        told.append([])
    return [*told, [("nothing is sent: these are forecasts, all else as it is", "dim")]]


def _way(name: str, odds: OddsView, one: OtherwiseView, look: Look) -> list[Run]:
    moved = odds.late - one.ways[0].late
    style = "plain" if abs(moved) < EVEN else "ok" if moved < 0 else "bad"
    p50, p95 = (look.clock.hm(at, look.now, one.zone) for at in (odds.p50, odds.p95))
    until = f", 19 of 20 by {p95}" if p95 != p50 else ""
    return [
        (f"  {fit(name, NAME)} ", "dim" if name == AS_IT_IS else "plain"),
        (fit(late_words(odds.late), LATE), style),
        (f"done {p50}{until}", "plain"),
    ]


def next_time(text: str, look: Look) -> datetime | None:
    """The next such time ("03:58") on the wall that the screen shows; None for what is no time of day."""
    try:
        wanted = time_of_day(text)
    except ValueError:
        return None
    local = look.clock.local(look.now)
    shown = datetime.combine(local.date(), wanted)
    tomorrow = shown + timedelta(days=1)  # fold: of a time that is shown twice, the second
    ahead = map(look.clock.showing, (shown, shown.replace(fold=1), tomorrow))
    return next(at for at in ahead if at.timestamp() >= look.now.timestamp())
