"""What cells of several screens have in common: the look, times, states, counts, headings. Pure; views in, runs out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from connectors.words import Evidence, State, is_open
from console.model.pauses import Pause
from console.model.views import JobRow, RunRow
from console.tui import keys
from console.tui.glyphs import Glyphs
from console.tui.keys import NO_REMAP, Remap
from console.tui.when import Clock, short, span
from console.tui.widgets.paint import Run, length_of
from console.tui.widgets.table import Row


class Look(NamedTuple):
    """What every cell needs beside its view: the time, whose clock, which glyphs."""

    now: datetime
    clock: Clock
    glyphs: Glyphs
    remap: Remap = NO_REMAP

    def key(self, screen: str, act: str) -> str:
        """The first key of an act there as people read it, as this person has it; "Esc" for what has none."""
        found = next((one for one in keys.acts(screen, self.remap) if one.name == act and one.keys), None)
        return keys.shown(found.keys[0], self.glyphs.plain) if found is not None else "Esc"


SECONDS_COUNT = timedelta(minutes=10)
"""What is left of an act-by from which on its seconds are told."""


def act_by(at: datetime | None, look: Look, zone: str = "") -> Run:
    """ "03:58 40m", at last "03:58 9m58s": when, and how long there still is; passed is said."""
    if at is None:
        return look.glyphs.sign("dash"), "dim"
    left = at - look.now
    when = look.clock.hm(at, look.now, zone)
    if left < timedelta(0):
        return f"{when} past", "bad"
    ahead = span(left) if left < SECONDS_COUNT else short(left)
    return f"{when} {ahead}", "bad" if left < timedelta(minutes=15) else "warn"


def paused_words(one: Pause, look: Look) -> str:
    """ "paused by mara until 06:26: db07 gets a new disk", on the wall that the screen shows."""
    return f"paused by {one.by} until {look.clock.hm(one.until, look.now)}{one.why and f': {one.why}'}"


def state_cells(row: JobRow | RunRow, look: Look) -> tuple[Run, Run, Run]:
    """State mark, evidence mark, word. Out of reach: open states show `?` with the age; ended ones stay facts, and what
    was good is not green as long as nobody looks."""
    mark, word, style = look.glyphs.mark("state", row.state)
    sign, _, sign_style = look.glyphs.mark("evidence", row.evidence)
    if row.stale_read:
        sign, sign_style = ("#" if look.glyphs.plain else "≠"), "warn"
    if row.stale_since is not None and (row.evidence == Evidence.STALE or is_open(row.state)):
        stale = look.glyphs.sign("stale")
        return ("?", "dim"), (stale, "warn"), (f"{stale} {short(look.now - row.stale_since)}", "dim")
    if row.stale_since is not None and style == "ok":
        return (mark, "dim"), (look.glyphs.sign("stale"), "warn"), (word, "dim")
    return (mark, style), (sign, sign_style), (word, style)


def marked_row(sign: Run, name: str, look: Look, marked: bool, style: str = "plain") -> tuple[Run, Run]:
    """The cell before a name, and the name: of a row that a person marked the mark stands in that cell, so that names
    stay below each other."""
    return ((look.glyphs.sign("marked"), "key"), (name, "key")) if marked else (sign, (name, style))


def took(view: JobRow | RunRow, look: Look) -> str:
    """How long it ran, or has run; a dash when its end is not known, empty when it never started."""
    if view.started is None:
        return ""
    if view.ended is None and (view.state == State.UNKNOWN or not is_open(view.state)):
        return look.glyphs.sign("dash")
    return span((view.ended or look.now) - view.started)


def counted(number: int, word: str) -> str:
    """ "1 run", "2 runs"."""
    return f"{number} {word}{'s' * (number != 1)}"


def heading(key: Hashable, text: str, note: str = "") -> Row:
    """A line between sections, stepped over by the cursor."""
    return Row(("heading", key), ((f" {text}", "key"), (f"  {note}", "dim")), pick=False, free=True)


def line(key: Hashable, runs: Sequence[Run], pick: bool = False) -> Row:
    return Row(key, tuple(runs), pick=pick, free=True)


def flowing(parts: Sequence[Run], width: int) -> list[list[Run]]:
    """Parts beside each other, on the next line where one is too long for the rest of this."""
    return flowing_groups([[part] for part in parts], width)


def flowing_groups(groups: Sequence[Sequence[Run]], width: int) -> list[list[Run]]:
    """The same of parts in several styles, none of which is broken between two lines."""
    lines: list[list[Run]] = []
    for (text, style), *others in groups:
        beside: list[Run] = [(f"   {text}", style), *others]
        if lines and length_of([*lines[-1], *beside]) <= width:
            lines[-1] += beside
        else:
            lines.append([(f" {text}", style), *others])
    return lines
