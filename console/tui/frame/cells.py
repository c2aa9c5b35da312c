"""Cells that several screens share: times, states, counts, labelled lines. Pure; views in, segments out."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from connectors.sdk.states import RunEvidence, RunState, is_open
from console.config import key_table
from console.config.key_table import NO_REMAP, Remap
from console.domain.service import ServiceView, is_unverified
from console.domain.switches import SystemPause
from console.domain.text import key_text, render
from console.timing import formats
from console.timing.durations import format_duration
from console.tui.frame.clock_format import ZonedClock, ZoneMode, format_short
from console.tui.frame.glyphs import GlyphSet
from console.tui.widgets.paint import Segment, fit, length_of
from console.tui.widgets.table import TableRow

if TYPE_CHECKING:
    from console.domain.job import JobRow
    from console.domain.run import RunRow
    from console.domain.system import TargetView

SegmentLines = list[list[Segment]]


class RenderContext(NamedTuple):
    """Time, clock, glyphs and keys that every cell is formatted with."""

    now: datetime
    clock: ZonedClock
    glyphs: GlyphSet
    remap: Remap = NO_REMAP

    @property
    def plain(self) -> bool:
        """True on a terminal without shapes."""
        return self.glyphs.plain

    def mark(self, column: str, value: str) -> tuple[str, str, str]:
        return self.glyphs.mark(column, value)

    def status(self, service: ServiceView, is_old: bool = False) -> tuple[str, str, str]:
        """Mark, label and style of its status; an unverified one is not green. `is_old`: nothing is monitored."""
        mark, label, style = self.mark("timeliness", service.timeliness)
        return ("?", f"was {label}", "dim") if is_unverified(service, is_old) else (mark, label, style)

    def sign(self, name: str) -> str:
        return self.glyphs.sign(name)

    def hm(self, at: datetime | None) -> str:
        return self.clock.hm(at, self.now)

    def due(self, at: datetime) -> str:
        return self.clock.due(at, self.now)

    def day(self, at: datetime | None) -> str:
        return self.clock.day(at, self.now)

    def stamp(self, at: datetime) -> str:
        """ "2026-11-20 03:10", with its seconds unless they are 0, and its zone where that is not the header's."""
        seconds = ":%S" if at.second else ""
        return f"{self.clock.local(at):%Y-%m-%d %H:%M{seconds}}{self.other_zone(at)}"

    def period(self, key: str) -> str:
        """A period key with its instant, if it has one, as `stamp` writes it."""
        return render(key_text(key), self.stamp)

    def zoned(self, at: datetime) -> str:
        """The instant in the selected zone, which the header names."""
        return self.due(at) + self.other_zone(at)

    def localized(self, text: str) -> str:
        """The text of the engine or a scheduler with its UTC times ("2026-11-20T09:00:00Z") in the selected zone, which
        the header names."""
        return formats.localized(text, self.zoned)

    def with_local_times(self, text: str) -> str:
        """The literal text, with its UTC times in the selected zone at the end."""
        times = list[str]()

        def note(at: datetime) -> str:
            times.append(f"{self.due(at)} {self.clock.label(at)}")
            return ""

        formats.localized(text, note)
        if not times or self.clock.mode is ZoneMode.UTC:
            return text
        return f"{text} ({', '.join(dict.fromkeys(times))})"

    def other_zone(self, at: datetime) -> str:
        """ " CEST": the label of the zone at that time where it is not that of the header; else empty."""
        label = self.clock.label(at)
        return "" if label == self.clock.label(self.now) else f" {label}"

    def key(self, screen: str, act: str) -> str:
        """The first key of an action, as the user has remapped it; "Esc" without one."""
        for action in key_table.key_actions(screen, self.remap):
            if action.name == act and action.keys:
                return key_table.key_label(action.keys[0], self.glyphs.plain)
        return "Esc"


SECONDS_COUNT = timedelta(minutes=10)


def act_by(at: datetime | None, ctx: RenderContext) -> Segment:
    """ "03:58 40m", near the end "03:58 9m58s", "03:58 passed"."""
    if at is None:
        return ctx.sign("dash"), "dim"
    remaining = at - ctx.now
    when = ctx.hm(at)
    if remaining <= timedelta(0):
        return f"{when} passed", "bad"
    ahead = format_duration(remaining) if remaining < SECONDS_COUNT else format_short(remaining)
    return f"{when} {ahead}", "bad" if remaining < timedelta(minutes=15) else "warn"


def passed(at: datetime, ctx: RenderContext) -> str:
    """ " passed" after an act-by before now."""
    return " passed" if at <= ctx.now else ""


def paused_text(pause: SystemPause, ctx: RenderContext) -> str:
    """ "paused by mara until 06:26: db07 gets a new disk"."""
    return f"paused by {pause.by} until {ctx.hm(pause.until)}{pause.why and f': {pause.why}'}"


def state_cells(row: JobRow | RunRow, ctx: RenderContext) -> tuple[Segment, Segment, Segment]:
    """State mark, evidence mark, word. Of a system that is not seen open states are unknown, with its age, and a past
    success is not green."""
    mark, label, style = ctx.mark("state", row.state)
    sign, _, sign_style = ctx.mark("evidence", row.evidence)
    if row.stale_read:
        sign, sign_style = ctx.sign("stale"), "warn"
    if row.stale_since is not None and (row.evidence == RunEvidence.STALE or is_open(row.state)):
        return ("?", "dim"), (ctx.sign("unseen"), "warn"), (unknown_text(row.stale_since, ctx), "dim")
    if row.stale_since is not None and style == "ok":
        return (mark, "dim"), (ctx.sign("unseen"), "warn"), (label, "dim")
    return (mark, style), (sign, sign_style), (label, style)


def unknown_text(since: datetime, ctx: RenderContext) -> str:
    """ "unknown 4m", "unknown 3h": how long its system is not seen, in its largest unit, for a narrow cell."""
    age = format_short(ctx.now - since)
    return f"unknown {re.sub(r'(?<=[dh]).+', '', age)}"


def marked_row(
    sign: Segment, name: str, ctx: RenderContext, marked: bool, style: str = "plain"
) -> tuple[Segment, Segment]:
    """The cell before a name, and the name; the mark replaces that cell, so that names stay aligned."""
    return ((ctx.sign("marked"), "key"), (name, "key")) if marked else (sign, (name, style))


def duration_text(view: JobRow | RunRow, ctx: RenderContext) -> str:
    """The run time so far or in all; a dash if its end is unknown, empty if it never started."""
    if view.started is None:
        return ""
    if view.ended is None and (view.state == RunState.UNKNOWN or not is_open(view.state)):
        return ctx.sign("dash")
    return format_duration((view.ended or ctx.now) - view.started)


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def heading(key: Hashable, text: str, note: str = "") -> TableRow:
    """A line between sections, which the cursor skips."""
    return TableRow(("heading", key), ((f" {text}", "key"), (f"  {note}", "dim")), pick=False, free=True)


def is_heading(row: TableRow) -> bool:
    return isinstance(row.key, tuple) and row.key[0] == "heading"


def joined_segments(key: Hashable, runs: Sequence[Segment], pick: bool = False) -> TableRow:
    return TableRow(key, tuple(runs), pick=pick, free=True)


def flowing(parts: Sequence[Segment], width: int) -> list[list[Segment]]:
    """Parts beside each other, wrapped to the width."""
    return flowing_groups([[part] for part in parts], width)


def flowing_groups(groups: Sequence[Sequence[Segment]], width: int) -> list[list[Segment]]:
    """Like `flowing`, with groups of segments that are not broken."""
    lines: list[list[Segment]] = []
    for (text, style), *rest in groups:
        beside: list[Segment] = [(f"   {text}", style), *rest]
        if lines and length_of([*lines[-1], *beside]) <= width:
            lines[-1] += beside
        else:
            lines.append([(f" {text}", style), *rest])
    return lines


GAP = 2
LEAST_CUT = 10


def aligned(rows: Sequence[Sequence[Segment]], width: int) -> SegmentLines:
    """Cells in columns; the last column that has room is cut, further ones are left out."""
    sizes: list[int] = []
    room = width - 1
    for column in zip(*rows, strict=True):
        size = min(max(length_of([cell]) for cell in column), room)
        if sizes and size < LEAST_CUT and size < max(length_of([cell]) for cell in column):
            break
        sizes.append(size)
        room -= size + GAP
        if room <= 0:
            break
    gaps = [" " * GAP] * (len(sizes) - 1) + [""]
    lines: SegmentLines = []
    for row in rows:
        cells = zip(row, sizes, gaps, strict=False)
        lines.append([(" ", "plain"), *((fit(text, size) + gap, style) for (text, style), size, gap in cells)])
    return lines


WIDEST_NAME = 40


def target_name(view: TargetView) -> str:
    return view.system if view.name in ("", view.system) else f"{view.system}/{view.name}"


LABEL_WIDTH = 11


def labelled_lines(rows: Sequence[tuple[str, str, str]], label_width: int = 8) -> SegmentLines:
    """A line for each (label, text, style) that has a text, and for each further line of it."""
    lines: SegmentLines = []
    before = ""
    for label, text, style in rows:
        for part in text.split("\n") if text else ():
            lines.append([(f"  {label if label != before else '':<{label_width}} ", "dim"), (part, style)])
            before = label
    return lines
