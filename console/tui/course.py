"""An incident over time: what was seen, told, taken, noted and done, then what is still to come. Pure; views in, lines
out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from console.clean import clean_line
from console.model.views import DeliveryView, EventView, HeldView, IncidentRow, IncidentView
from console.model.words import AlertKind
from console.tui.cells import Look
from console.tui.when import short
from console.tui.widgets.paint import Run

Lines = list[list[Run]]
HANG = 8
"""Cells of the time before each line: what is wrapped hangs below the words."""
_KINDS = {"note": "strong", "acknowledged": "ok", "lapsed": "warn", "unsent": "warn", "deadline": "bad"}
"""Events that are no plain ones."""


class Moment(NamedTuple):
    """One thing that happened, or will."""

    at: datetime
    words: str
    style: str
    by: str = ""


def course(view: IncidentView, look: Look) -> Lines:
    """What was, oldest first; a line for now; what is to come. Newer stands below older, as in a log."""
    was = sorted(_past(view, look), key=lambda one: one.at)
    lines = [_line(one, look) for one in was]
    if view.row.closed is not None:
        return lines
    rule = "-" if look.glyphs.plain else "─"
    lines.append([(f" {look.clock.hm(look.now, look.now)} {rule * 2} now {rule * 24}", "key")])
    to_come = sorted(_future(view, look), key=lambda one: one.at)
    return lines + [_line(one, look, ahead=True) for one in to_come]


def receipt(one: DeliveryView, look: Look) -> tuple[str, str]:
    """What came of one notice to one address, in words, and its style. By which address stands last: it may be long."""
    again = f", repeated {one.repeats}x" if one.repeats else ""
    words, style = _outcome(one, again, look)
    return f"{words} ({one.url_words})", style


def _outcome(one: DeliveryView, again: str, look: Look) -> tuple[str, str]:
    if one.state == "digested":
        return (
            (f"told {one.route} in a digest{again}", "ok")
            if one.sent
            else (f"waits for a digest to {one.route}", "dim")
        )
    if one.sent is not None:
        return f"told {one.route}: accepted {look.clock.hm(one.sent, look.now)}{again}", "ok"
    why = f": {one.error}" if one.error else ""
    if one.state == "parked":
        return f"NOT told {one.route}: given up after {one.tries} tries{why}", "bad"
    if one.state == "shadow":
        return f"{one.route} would have been told (shadow)", "dim"
    if one.state == "dropped":
        return f"{one.route} was not told: it was over before it could leave", "dim"
    return f"{one.route} is not told yet, {one.tries} tries{why}", "warn"


def held_words(one: HeldView) -> str:
    """Which notice is held back, by what and why."""
    return f"{one.kind} to {one.route} is held back by {one.stage}: {_why_held(one)}"


def _why_held(one: HeldView) -> str:
    return (one.ended_why or one.why).removeprefix(f"{one.stage}: ")


def _red_again(row: IncidentRow, look: Look) -> str:
    """What there is to say of an incident that is red where the last word to anybody was that it is not."""
    if row.closed is not None or not any(one.kind == AlertKind.RECOVERED for one in row.told):
        return ""
    if row.held is None:
        return "red again, and nobody is told yet"
    until = f" until {look.clock.hm(row.held.until, look.now)}" if row.held.until is not None else ""
    return f"red again is held back{until} ({row.held.stage}: {_why_held(row.held)})"


def last_told(view: IncidentView, look: Look) -> Run:
    """The last word to anybody, and what came of it: the worst of its addresses; or why nobody was told."""
    last = view.deliveries[-1] if view.deliveries else None
    same = tuple(one for one in view.deliveries if last and (one.kind, one.made) == (last.kind, last.made))
    held = next((one for one in reversed(view.held) if one.ended is None), None)
    return row_told(replace(view.row, told=same, held=held), look)


def row_told(row: IncidentRow, look: Look, is_short: bool = False) -> Run:
    """The same of an incident's line; `is_short`: for a cell of ten."""
    if again := _red_again(row, look):
        return ("held back" if is_short and row.held else "not told" if is_short else again), "warn"
    worst = next((one for one in row.told if one.sent is None), row.told[-1] if row.told else None)
    if worst is None:
        if row.held is not None:
            return ("held back" if is_short else held_words(row.held)), "warn"
        return ("nobody" if is_short else "nobody was told"), "warn" if row.closed is None else "dim"
    words, style = receipt(worst, look)
    if is_short:
        at = look.clock.hm(worst.sent, look.now)
        return {"ok": f"told {at}", "bad": "NOT told", "warn": "not yet"}.get(style, worst.state), style
    return f"{worst.kind}: {words}", style


def _past(view: IncidentView, look: Look) -> Iterator[Moment]:
    row = view.row
    yield Moment(row.failed_since, f"{row.root_job or row.title}: {row.reason or 'failed'}", "bad")
    yield from (_event(one) for one in view.events)
    for one in view.deliveries:
        words, style = receipt(one, look)
        yield Moment(one.sent or one.made or row.opened, f"{one.kind}: {words}", style)
    for held in view.held:
        yield Moment(held.since, held_words(held), "warn" if held.ended is None else "dim")


def _event(one: EventView) -> Moment:
    words = f"note: {one.words}" if one.kind == "note" else one.words
    return Moment(one.at, words, _KINDS.get(one.kind, "plain"), one.actor)


def _future(view: IncidentView, look: Look) -> Iterator[Moment]:
    for one in view.services:
        name = one.title or one.name
        for at, words, style in (
            (one.act_by, f"act by, for {name}", "warn"),
            (one.green_by, f"green by, for {name}", "dim"),
            (one.expected, f"{name} is expected", "dim"),
            (one.deadline, f"deadline of {name}", "strong"),
        ):
            if at is not None and at > look.now:
                yield Moment(at, words, style)
    if view.row.taken_until is not None and view.row.taken_until > look.now:
        yield Moment(view.row.taken_until, f"{view.row.taken_by} is on it until then", "ok")


def _line(one: Moment, look: Look, ahead: bool = False) -> list[Run]:
    left: Run = (f"  in {short(one.at - look.now)}", "dim") if ahead else ("", "")
    by: Run = (f"  {one.by}", "dim") if one.by else ("", "")
    return [(f" {look.clock.hm(one.at, look.now)}  ", "dim"), (clean_line(one.words), one.style), left, by]
