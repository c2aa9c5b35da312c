"""What cells of several screens share: the render context, times, states, counts, labelled lines. Pure; views in,
segments out.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from connectors.sdk.states import RunEvidence, RunState, is_open
from console.config import key_table
from console.config.key_table import NO_REMAP, Remap
from console.tui.frame.clock_format import ZonedClock, format_short, format_span
from console.tui.frame.glyphs import GlyphSet
from console.tui.widgets.paint import Segment, fit, length_of
from console.tui.widgets.table import TableRow

if TYPE_CHECKING:
    from console.domain.job import JobRow
    from console.domain.run import RunRow
    from console.domain.switches import SystemPause
    from console.domain.system import TargetView

SegmentLines = list[list[Segment]]


class RenderContext(NamedTuple):
    """What every cell needs beside its view: the time, whose clock, which glyphs."""

    now: datetime
    clock: ZonedClock
    glyphs: GlyphSet
    remap: Remap = NO_REMAP

    def key(self, screen: str, act: str) -> str:
        """The first key of an act there as people read it, as this person has it; "Esc" for what has none."""
        found = next(
            (action for action in key_table.key_actions(screen, self.remap) if action.name == act and action.keys),
            None,
        )
        return key_table.key_label(found.keys[0], self.glyphs.plain) if found is not None else "Esc"


SECONDS_COUNT = timedelta(minutes=10)
"""What is left of an act-by from which on its seconds are told."""


def act_by(at: datetime | None, look: RenderContext, zone: str = "") -> Segment:
    """ "03:58 40m", at last "03:58 9m58s": when, and how long there still is; passed is said."""
    if at is None:
        return look.glyphs.sign("dash"), "dim"
    left = at - look.now
    when = look.clock.hm(at, look.now, zone)
    if left < timedelta(0):
        return f"{when} past", "bad"
    ahead = format_span(left) if left < SECONDS_COUNT else format_short(left)
    return f"{when} {ahead}", "bad" if left < timedelta(minutes=15) else "warn"


def paused_text(one: SystemPause, look: RenderContext) -> str:
    """ "paused by mara until 06:26: db07 gets a new disk", on the wall that the screen shows."""
    return f"paused by {one.by} until {look.clock.hm(one.until, look.now)}{one.why and f': {one.why}'}"


def state_cells(row: JobRow | RunRow, look: RenderContext) -> tuple[Segment, Segment, Segment]:
    """State mark, evidence mark, word. Out of reach: open states show `?` with the age; ended ones stay facts, and what
    was good is not green as long as nobody looks."""
    mark, word, style = look.glyphs.mark("state", row.state)
    sign, _, sign_style = look.glyphs.mark("evidence", row.evidence)
    if row.stale_read:
        sign, sign_style = ("#" if look.glyphs.plain else "≠"), "warn"
    if row.stale_since is not None and (row.evidence == RunEvidence.STALE or is_open(row.state)):
        stale = look.glyphs.sign("stale")
        return ("?", "dim"), (stale, "warn"), (f"{stale} {format_short(look.now - row.stale_since)}", "dim")
    if row.stale_since is not None and style == "ok":
        return (mark, "dim"), (look.glyphs.sign("stale"), "warn"), (word, "dim")
    return (mark, style), (sign, sign_style), (word, style)


def marked_row(
    sign: Segment, name: str, look: RenderContext, marked: bool, style: str = "plain"
) -> tuple[Segment, Segment]:
    """The cell before a name, and the name: of a row that a person marked the mark stands in that cell, so that names
    stay below each other."""
    return ((look.glyphs.sign("marked"), "key"), (name, "key")) if marked else (sign, (name, style))


def duration_text(view: JobRow | RunRow, look: RenderContext) -> str:
    """How long it ran, or has run; a dash when its end is not known, empty when it never started."""
    if view.started is None:
        return ""
    if view.ended is None and (view.state == RunState.UNKNOWN or not is_open(view.state)):
        return look.glyphs.sign("dash")
    return format_span((view.ended or look.now) - view.started)


def counted(number: int, word: str) -> str:
    """ "1 run", "2 runs"."""
    return f"{number} {word}{'s' * (number != 1)}"


def heading(key: Hashable, text: str, note: str = "") -> TableRow:
    """A line between sections, stepped over by the cursor."""
    return TableRow(("heading", key), ((f" {text}", "key"), (f"  {note}", "dim")), pick=False, free=True)


def joined_segments(key: Hashable, runs: Sequence[Segment], pick: bool = False) -> TableRow:
    return TableRow(key, tuple(runs), pick=pick, free=True)


def flowing(parts: Sequence[Segment], width: int) -> list[list[Segment]]:
    """Parts beside each other, on the next line where one is too long for the rest of this."""
    return flowing_groups([[part] for part in parts], width)


def flowing_groups(groups: Sequence[Sequence[Segment]], width: int) -> list[list[Segment]]:
    """The same of parts in several styles, none of which is broken between two lines."""
    lines: list[list[Segment]] = []
    for (text, style), *others in groups:
        beside: list[Segment] = [(f"   {text}", style), *others]
        if lines and length_of([*lines[-1], *beside]) <= width:
            lines[-1] += beside
        else:
            lines.append([(f" {text}", style), *others])
    return lines


GAP = 2
LEAST_CUT = 10
"""Cells from which a cut column is still worth showing."""


def aligned(rows: Sequence[Sequence[Segment]], width: int) -> SegmentLines:
    """Cells under each other; the last column that has room is cut, those behind it are left out."""
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
    return [
        [
            (" ", "plain"),
            *((fit(text, size) + " " * GAP, style) for (text, style), size in zip(row, sizes, strict=False)),
        ]
        for row in rows
    ]


WIDEST_NAME = 40
"""Cells that a system's name may take before others are left any."""


def target_name(view: TargetView) -> str:
    """ "etl-hosts/db07"; the system alone where its one target has the same name."""
    return view.system if view.name in ("", view.system) else f"{view.system}/{view.name}"


LABEL_WIDTH = 11
"""Cells of a label with its gaps: what is wrapped hangs below its text."""


def labelled_lines(rows: Sequence[tuple[str, str, str]]) -> SegmentLines:
    """A line for each (label, text, style) that has a text, and for each further line of it."""
    lines: SegmentLines = []
    before = ""
    for label, text, style in rows:
        for part in text.split("\n") if text else ():
            lines.append([(f"  {label if label != before else '':<8} ", "dim"), (part, style)])
            before = label
    return lines
