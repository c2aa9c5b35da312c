"""How a job stands and how long it takes, in two lines: three axes apart; its runs as bars, tonight's place among them.

Pure; a view in, runs out.
"""

from __future__ import annotations

from datetime import timedelta

from console.durations import share_below
from console.model.views import JobView, RunRow, RunView
from console.tui.cells import Look, counted, state_cells
from console.tui.when import span
from console.tui.widgets.paint import Run

BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "12345678"


PROVES = {"start": "that it started", "exit": "its end and exit code", "full": "its end, exit code and output"}
"""What a job's source can prove about a run, by `connectors.words.Proof`."""


def stands(view: JobView | RunView, look: Look) -> list[list[Run]]:
    """State, timeliness and evidence, each for itself; then what its source can prove at all."""
    row = view.row
    proves: list[Run] = [(f"proves {PROVES.get(view.proof, view.proof)}", "dim")]
    if not row.state:
        return [[("state ", "dim"), ("no run yet", "plain")], proves]
    mark, _, word = state_cells(row, look)
    timely, timeliness, style = look.glyphs.mark("timeliness", row.timeliness)
    sign, evidence, how = look.glyphs.mark("evidence", row.evidence)
    known = f"{sign} {evidence}".strip()
    return [
        [("state ", "dim"), mark, (" ", "plain"), word],
        [("timeliness ", "dim"), (f"{timely} {timeliness}", style)],
        [("evidence ", "dim"), (known, "plain" if how == "dim" else how)],
        proves,
    ]


def native(word: str, reference: str, address: str, whose: str = "") -> list[list[Run]]:
    """Its source's own word for how it stands, its own name for it, and the page that its source has of it; `whose`
    they are where that is not plain. A name that is a record for programs is left to the record (`i`)."""
    said = "" if reference.startswith(("{", "[")) else reference
    found = [(f"{whose}native ", f'"{word}"' if word else ""), ("ref ", said), ("web ", address)]
    return [[(name, "dim"), (text, "plain")] for name, text in found if text]


def expected(view: JobView, look: Look) -> list[list[Run]]:
    """Its schedule in words, when it is expected next, and how long it takes."""
    row, usual = view.row, "no estimate yet"
    if view.p50_s is not None:
        history = counted(view.history_runs, "run")
        usual = f"usually {_seconds(view.p50_s)}, nine of ten under {_seconds(view.p90_s)} ({history})"
    elif view.expected_s is not None:
        usual = f"declared {_seconds(view.expected_s)}"
    when = [look.clock.day(at, look.now) for at in view.coming or ((row.next,) if row.next is not None else ())]
    return [
        [(row.schedule or "no schedule", "plain")],
        [("next ", "dim"), (", ".join(when) if when else "not known", "plain")],
        [(usual, "dim")],
    ]


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else span(timedelta(seconds=seconds))


def plot(view: JobView | RunView, look: Look) -> tuple[list[Run], list[Run]]:
    """A bar for each run that took a time, oldest first; the run itself, or the job's newest, lit, and its place in
    words."""
    timed = [(row, row.lasted_s(look.now)) for row in reversed(view.runs)]
    known = [(row, seconds) for row, seconds in timed if seconds is not None]
    if not known:
        return [(" no run of it has a duration yet", "dim")], []
    lit = view.row.id if isinstance(view, RunView) else known[-1][0].id
    longest = max([1.0, *(seconds for _, seconds in known)])
    bars = PLAIN_BARS if look.glyphs.plain else BARS
    runs: list[Run] = [(" ", "plain")]
    for row, seconds in known:
        style = "key" if row.id == lit else "bad" if row.is_red else "dim"
        runs.append((bars[min(len(bars) - 1, int(seconds / longest * len(bars)))], style))
    others = [seconds for row, seconds in known if row.id != lit and not row.is_red]
    own = next((one for one in known if one[0].id == lit), None)
    return runs, _no_place(others) if own is None else _place(own, others, look, isinstance(view, JobView))


def _no_place(others: list[float]) -> list[Run]:
    """Of a run that has no duration: what the others took."""
    return [("  this run has no duration", "key"), (f", {counted(len(others), 'good run')}{_between(others)}", "dim")]


def _between(seconds: list[float]) -> str:
    """ " (9m to 16m)"; empty for none."""
    if not seconds:
        return ""
    shortest, longest = (span(timedelta(seconds=round(each))) for each in (min(seconds), max(seconds)))
    return f" ({shortest} to {longest})"


def _place(own: tuple[RunRow, float], others: list[float], look: Look, newest: bool) -> list[Run]:
    """ "last 14m02s, longer than 92 % of 59 runs (9m to 16m)"; of a run itself "took 14m02s, …"."""
    row, seconds = own
    took = span(timedelta(seconds=round(seconds)))
    goes_on = "so far " if row.ended is None else ""
    said: list[Run] = [(f"  {'last' if newest else 'took'} {goes_on}{took}", "key")]
    if not others:
        return [*said, (", the first that has a duration", "dim")]
    return [*said, (f", {_among(seconds, others)}{_between(others)}", "dim")]


def _among(seconds: float, others: list[float]) -> str:
    """ "longer than 92 % of 59 good runs", "shorter than all 57 good runs"."""
    many = counted(len(others), "good run")
    every = f"all {many}" if len(others) > 1 else "the one good run"
    if seconds < min(others) or seconds > max(others):
        return f"{'shorter' if seconds < min(others) else 'longer'} than {every}"
    below = share_below(seconds, others)
    return f"longer than {round(100 * below)} % of {many}" if below else f"no longer than any of {many}"
