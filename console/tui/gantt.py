"""A timeline as lines of cells: a ruler, and for each lane what ran, runs, is expected and may slip. Pure.

Of several things in one cell the one that matters most is drawn: an end that is red, the deadline, the present.
All times are on one wall, that of the ruler, whatever zone a service has: two clocks on one axis cannot be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.words import State
from console.control.timeline import Bar, Kind, Lane
from console.model.forecasts import late_words
from console.tui.cells import Look
from console.tui.glyphs import SIGNS
from console.tui.widgets.paint import Run, fit, fit_middle

ZOOMS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 60)
"""Minutes of a cell."""
TICKS = (5, 10, 15, 30, 60, 120, 180, 360, 720)
"""Minutes from one hour that the ruler names to the next."""
NAMED = 8
"""Cells at least from one to the next."""
MARKS = {Kind.RAN: ("━", "="), Kind.RUNS: ("━", "="), Kind.EXPECTED: SIGNS["ahead"], Kind.FAN: SIGNS["fan"]}
TOLD = 0.01
"""P(late) from which on it is told."""
BESIDE = 8
"""Cells from a deadline to where its time may still stand."""
NOW, DEADLINE = ("┊", ":"), SIGNS["deadline"]


@dataclass(frozen=True, slots=True)
class Scale:
    """Which time stands in which cell."""

    start: datetime
    minutes: int
    """Of a cell."""
    width: int
    """Cells."""

    @property
    def end(self) -> datetime:
        return self.start + self.width * self.step

    @property
    def step(self) -> timedelta:
        return timedelta(minutes=self.minutes)

    def cell(self, at: datetime) -> int:
        """The cell of a moment; outside of the screen below 0, or `width` and more."""
        return (at - self.start) // self.step

    def moved(self, cells: int) -> Scale:
        return Scale(self.start + cells * self.step, self.minutes, self.width)

    def within(self, first: datetime, last: datetime) -> Scale:
        """The same where a third of the screen at least shows the time from `first` to `last`."""
        shown = max(1, self.width // 3) * self.step
        start = max(min(self.start, max(last - shown, first)), first + shown - self.width * self.step)
        return Scale(start, self.minutes, self.width)

    def zoomed(self, by: int, around: datetime) -> Scale:
        """Finer (-1) or coarser (1), `around` staying in its place where it is in view."""
        minutes = ZOOMS[min(len(ZOOMS) - 1, max(0, ZOOMS.index(self.minutes) + by))]
        if not self.start <= around < self.end:
            around = self.start + self.width // 2 * self.step
        return Scale(around - self.cell(around) * timedelta(minutes=minutes), minutes, self.width)


def fitted(first: datetime, last: datetime, width: int) -> Scale:
    """The finest scale that shows all of it, beginning at a full step before it; else the coarsest."""
    for minutes in ZOOMS:
        scale = Scale(_floor(first, minutes), minutes, width)
        if last < scale.end - scale.step:
            return scale
    return Scale(_floor(first, ZOOMS[-1]), ZOOMS[-1], width)


def _floor(at: datetime, minutes: int) -> datetime:
    return at - timedelta(minutes=at.minute % min(minutes, 60), seconds=at.second, microseconds=at.microsecond)


def ruler(scale: Scale, look: Look) -> list[Run]:
    """The hours, on the wall of the mode, each where it begins."""
    step = next((each for each in TICKS if each >= NAMED * scale.minutes), TICKS[-1])
    text = ""
    for cell in range(scale.width):
        begins = look.clock.local(scale.start + cell * scale.step)
        until = -(begins.hour * 60 + begins.minute) % step
        if until < scale.minutes and len(text) <= cell:
            text += " " * (cell - len(text)) + (begins + timedelta(minutes=until)).strftime("%H:%M")
    return [(fit(text, scale.width), "head")]


def cells(lane: Lane, scale: Scale, at: datetime, look: Look) -> list[Run]:
    """The cells of a lane; neighbours of one style are one run."""
    plain = int(look.glyphs.plain)
    drawn: list[Run] = [(" ", "plain")] * scale.width
    _put(drawn, scale.cell(at), (NOW[plain], "key"))
    for bar in sorted(lane.bars, key=lambda each: each.kind in (Kind.RAN, Kind.RUNS)):
        first, last = scale.cell(bar.start), max(scale.cell(bar.start), scale.cell(bar.end - timedelta(microseconds=1)))
        for cell in range(max(0, first), min(scale.width - 1, last) + 1):
            drawn[cell] = (MARKS[bar.kind][plain], _style(bar))
        if bar.kind is Kind.RAN and State(bar.state).is_red:
            _put(drawn, last, (look.glyphs.mark("state", bar.state)[0], "bad"))
        elif bar.kind is Kind.RUNS:
            _put(drawn, last, (look.glyphs.mark("state", State.RUNNING)[0], "run"))
    if lane.service is not None:
        _promise(drawn, lane, scale, look)
    return _joined(drawn)


def _promise(drawn: list[Run], lane: Lane, scale: Scale, look: Look) -> None:
    """The deadline, as a line with its time where that fits, of what is promised; and when it was delivered."""
    service, plain = lane.service, int(look.glyphs.plain)
    if service is None:
        return
    if lane.done is not None:
        _put(drawn, scale.cell(lane.done), (look.glyphs.mark("state", State.SUCCEEDED)[0], "ok"))
    if not service.is_promised:
        return
    cell = scale.cell(service.deadline)
    late = lane.expected is not None and lane.expected > service.deadline
    _put(drawn, cell, (DEADLINE[plain], "bad" if late else "strong"))
    if cell >= 0:
        letters = look.clock.local(service.deadline).strftime("%H:%M")
        for at, letter in enumerate(letters, _room_for(drawn, cell + 1, len(letters))):
            _put(drawn, at, (letter, "dim"))


def _room_for(drawn: Sequence[Run], first: int, cells: int) -> int:
    """The cell where a time stands: beside its line, else past what may slip a little over it, else over it."""

    def is_free(at: int) -> bool:
        return all(text in (" ", *NOW) for text, _ in drawn[at : at + cells])

    if is_free(first):
        return first
    return next((at + 1 for at in range(first, first + BESIDE) if is_free(at) and is_free(at + 1)), first)


def _put(drawn: list[Run], cell: int, run: Run) -> None:
    if 0 <= cell < len(drawn):
        drawn[cell] = run


def _style(bar: Bar) -> str:
    if bar.kind is Kind.RAN:
        return "bad" if State(bar.state).is_red else "ok"
    return {Kind.RUNS: "run", Kind.EXPECTED: "plain", Kind.FAN: "warn"}[bar.kind]


def _joined(drawn: Sequence[Run]) -> list[Run]:
    found: list[Run] = []
    for text, style in drawn:
        if found and found[-1][1] == style:
            found[-1] = (found[-1][0] + text, style)
        else:
            found.append((text, style))
    return found


def label(lane: Lane, width: int, look: Look) -> list[Run]:
    """What a lane is of, in so many cells: a service by how it stands, a job by its state, set in."""
    if lane.service is not None:
        service = lane.service
        mark, _, style = look.glyphs.mark("timeliness", lane.state)
        return [(f"{mark} ", style), (fit(service.title or service.name, width - 2), "strong")]
    name = lane.name.partition("/")[2] or lane.name
    state = lane.state or (State.WAITING if lane.waits_for else "")
    mark, _, style = look.glyphs.mark("state", state) if state else (" ", "", "dim")
    return [("  ", "plain"), (f"{mark} ", style), (fit(fit_middle(name, width - 5), width - 4), "plain")]


def words(lane: Lane, look: Look, wide: bool = True) -> list[Run]:
    """A lane in words: when it is due, when it was or may be done, and where it is `wide` how likely it is late."""
    clock, now = look.clock, look.now
    runs: list[Run] = [(f" {lane.service.title or lane.name if lane.service is not None else lane.name}  ", "strong")]
    if lane.service is not None and lane.service.is_promised:
        runs.append((f"due {clock.hm(lane.service.deadline, now)}  ", "plain"))
    if lane.waits_for:
        runs.append((f"waits for {lane.waits_for}  ", "warn"))
    if lane.done is not None:
        return [*runs, (f"done {clock.hm(lane.done, now)}", "ok")]
    if lane.expected is None:
        return [*runs, ("no estimate", "dim")]
    late = clock.hm(lane.late, now)
    odds = lane.service.p_late if wide and lane.service is not None else None
    told = f", {late_words(odds)}" if odds is not None and odds >= TOLD else ""
    return [*runs, (f"expected {clock.hm(lane.expected, now)}, 19 of 20 by {late}{told}", "plain")]


def scrubber(first: datetime, last: datetime, at: datetime, width: int, look: Look) -> list[Run]:
    """The night as a line from its first to its last moment, with a knob where one looks."""
    ends = [look.clock.local(moment).strftime("%H:%M") for moment in (first, last)]
    room = max(3, width - 14)
    place = min(room - 1, max(0, int((at - first) / max(last - first, timedelta(seconds=1)) * room)))
    line, knob = ("-", "O") if look.glyphs.plain else ("─", "●")
    return [(f" {ends[0]} ", "dim"), (line * place, "dim"), (knob, "key"), (line * (room - 1 - place), "dim"),
            (f" {ends[1]} ", "dim")]  # fmt: skip
