"""How a job stands and how long it takes, in two lines: three axes apart; its runs as bars, tonight's place among them.

Pure; a view in, runs out.
"""

from __future__ import annotations

from datetime import timedelta

from console.durations import share_below
from console.model.views import JobView, RunRow
from console.tui.cells import Look, counted, state_cells
from console.tui.when import span
from console.tui.widgets.paint import Run

BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "12345678"


def stands(view: JobView, look: Look) -> list[Run]:
    """State, timeliness and evidence, each for itself; then when it is expected next."""
    row = view.row
    if not row.state:
        runs: list[Run] = [(" state ", "dim"), ("no run yet", "plain")]
    else:
        mark, _, word = state_cells(row, look)
        timely, timeliness, style = look.glyphs.mark("timeliness", row.timeliness)
        sign, evidence, how = look.glyphs.mark("evidence", row.evidence)
        runs = [(" state ", "dim"), mark, (" ", "plain"), word]
        if row.native_state and row.native_state.lower() != row.state:
            runs.append((f' "{row.native_state}"', "dim"))
        runs += [("   timeliness ", "dim"), (f"{timely} {timeliness}", style)]
        runs += [("   evidence ", "dim"), (f"{sign} {evidence}".strip(), "plain" if how == "dim" else how)]
    when = [look.clock.day(at, look.now) for at in view.coming or ((row.next,) if row.next is not None else ())]
    return [*runs, ("   next ", "dim"), (", ".join(when) if when else "not known", "plain")]


def plot(view: JobView, look: Look) -> tuple[list[Run], list[Run]]:
    """A bar for each of the latest runs that took a time, oldest first, the newest lit; and its place in words."""
    timed = [(row, row.lasted_s(look.now)) for row in reversed(view.runs)]
    known = [(row, seconds) for row, seconds in timed if seconds is not None]
    if not known:
        return [(" no run of it has a duration yet", "dim")], []
    longest = max([1.0, *(seconds for _, seconds in known)])
    bars = PLAIN_BARS if look.glyphs.plain else BARS
    runs: list[Run] = [(" ", "plain")]
    for row, seconds in known:
        newest = row is known[-1][0]
        style = "key" if newest else "bad" if row.is_red else "dim"
        runs.append((bars[min(len(bars) - 1, int(seconds / longest * len(bars)))], style))
    return runs, _place(known[-1], [seconds for row, seconds in known[:-1] if not row.is_red], look)


def _place(newest: tuple[RunRow, float], before: list[float], look: Look) -> list[Run]:
    """ "last 14m02s, longer than 92 % of 59 runs (9m to 16m)"."""
    row, seconds = newest
    took = span(timedelta(seconds=round(seconds)))
    goes_on = "so far " if row.ended is None else ""
    said: list[Run] = [(f"  last {goes_on}{took}", "key")]
    if not before:
        return [*said, (", the first that has a duration", "dim")]
    shortest, longest = (span(timedelta(seconds=round(each))) for each in (min(before), max(before)))
    share = round(100 * share_below(seconds, before))
    return [*said, (f", longer than {share} % of {counted(len(before), 'good run')} ({shortest} to {longest})", "dim")]
