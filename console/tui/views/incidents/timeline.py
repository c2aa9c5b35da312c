"""An incident over time: failures, notifications, acknowledgements, notes and actions, then what is still to come.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from console.domain.alert import AlertKind, DeliveryView, SuppressionView
from console.domain.incident import EventView, IncidentRow, IncidentView
from console.text.cleaning import clean_line
from console.tui.frame.cells import RenderContext, SegmentLines
from console.tui.frame.clock_format import format_short
from console.tui.widgets.paint import Segment

HANG = 8
"""Cells of the time before each line: what is wrapped hangs below the words."""
_KINDS = {"note": "strong", "acknowledged": "ok", "lapsed": "warn", "unsent": "warn", "deadline": "bad"}
"""Events that are no plain ones."""


class TimelineEntry(NamedTuple):
    """One thing that happened, or will."""

    at: datetime
    words: str
    style: str
    by: str = ""


def timeline_lines(view: IncidentView, look: RenderContext) -> SegmentLines:
    """What was, oldest first; a line for now; what is to come. Newer stands below older, as in a log."""
    was = sorted(_past(view, look), key=lambda one: one.at)
    lines = [_line(one, look) for one in was]
    if view.row.closed is not None:
        return lines
    rule = "-" if look.glyphs.plain else "─"
    lines.append([(f" {look.clock.hm(look.now, look.now)} {rule * 2} now {rule * 24}", "key")])
    to_come = sorted(_future(view, look), key=lambda one: one.at)
    return lines + [_line(one, look, ahead=True) for one in to_come]


def delivery_text(one: DeliveryView, look: RenderContext) -> tuple[str, str]:
    """What came of one notice to one address, in words, and its style. By which address stands last: it may be long."""
    again = f", repeated {one.repeats}x" if one.repeats else ""
    words, style = _outcome(one, again, look)
    return f"{words} ({one.url_words})", style


def _outcome(delivery: DeliveryView, again: str, look: RenderContext) -> tuple[str, str]:
    if delivery.state == "digested":
        return (
            (f"notified {delivery.route} in a digest{again}", "ok")
            if delivery.sent
            else (f"queued for the digest to {delivery.route}", "dim")
        )
    if delivery.sent is not None:
        return f"notified {delivery.route}: accepted {look.clock.hm(delivery.sent, look.now)}{again}", "ok"
    why = f": {delivery.error}" if delivery.error else ""
    if delivery.state == "parked":
        return f"NOT notified {delivery.route}: abandoned after {delivery.tries} attempts{why}", "bad"
    if delivery.state == "shadow":
        return f"{delivery.route} not notified (shadow)", "dim"
    if delivery.state == "dropped":
        return f"{delivery.route} not notified: resolved before it was sent", "dim"
    return f"{delivery.route} not notified yet, {delivery.tries} attempts{why}", "warn"


def delivery_cells(one: DeliveryView, look: RenderContext) -> list[Segment]:
    """Alert, route, outcome, and what it depends on: address, error, attempts."""
    outcome, style = _short_outcome(one, look)
    failed = f"{one.tries} attempts{one.error and f': {one.error}'} ({one.url_words})"
    detail = one.url_words if style in ("ok", "dim") else failed
    again = f"repeated {one.repeats}x, " if one.repeats else ""
    return [(one.kind, "dim"), (clean_line(one.route), "plain"), (outcome, style), (clean_line(again + detail), "dim")]


def suppressed_cells(one: SuppressionView) -> list[Segment]:
    return [
        (one.kind, "dim"),
        (clean_line(one.route), "plain"),
        (f"suppressed: {one.stage}", "warn"),
        (clean_line(_suppression_reason(one)), "dim"),
    ]


def _short_outcome(delivery: DeliveryView, look: RenderContext) -> Segment:
    """The outcome in a cell of ten."""
    _, style = delivery_text(delivery, look)
    at = look.clock.hm(delivery.sent, look.now)
    return {"ok": f"notified {at}", "bad": "NOT notified", "warn": "not yet"}.get(style, delivery.state), style


def suppressed_text(one: SuppressionView) -> str:
    """Which notice is held back, by what and why."""
    return f"{one.kind} to {one.route} suppressed by {one.stage}: {_suppression_reason(one)}"


def _suppression_reason(suppression: SuppressionView) -> str:
    return (suppression.ended_why or suppression.why).removeprefix(f"{suppression.stage}: ")


def _failed_again(row: IncidentRow, look: RenderContext) -> str:
    """What there is to say of an incident that is red where the last word to anybody was that it is not."""
    if row.closed is not None or not any(one.kind == AlertKind.RECOVERED for one in row.told):
        return ""
    if row.held is None:
        return "red again, not notified yet"
    until = f" until {look.clock.hm(row.held.until, look.now)}" if row.held.until is not None else ""
    return f"red again, suppressed{until} ({row.held.stage}: {_suppression_reason(row.held)})"


def last_notified(view: IncidentView, look: RenderContext) -> Segment:
    """The last word to anybody, and what came of it: the worst of its addresses; or why nobody was told."""
    last = view.deliveries[-1] if view.deliveries else None
    same = tuple(
        delivery for delivery in view.deliveries if last and (delivery.kind, delivery.made) == (last.kind, last.made)
    )
    held = next((one for one in reversed(view.held) if one.ended is None), None)
    return notified_cell(replace(view.row, told=same, held=held), look)


def notified_cell(row: IncidentRow, look: RenderContext, is_short: bool = False) -> Segment:
    """The same of an incident's line; `is_short`: for a cell of ten."""
    if again := _failed_again(row, look):
        return ("suppressed" if is_short and row.held else "not notified" if is_short else again), "warn"
    worst = next((one for one in row.told if one.sent is None), row.told[-1] if row.told else None)
    if worst is None:
        if row.held is not None:
            return ("suppressed" if is_short else suppressed_text(row.held)), "warn"
        return ("nobody" if is_short else "nobody notified"), "warn" if row.closed is None else "dim"
    if is_short:
        return _short_outcome(worst, look)
    text, style = delivery_text(worst, look)
    return f"{worst.kind}: {text}", style


def _past(view: IncidentView, look: RenderContext) -> Iterator[TimelineEntry]:
    row = view.row
    yield TimelineEntry(row.failed_since, f"{row.root_job or row.title}: {row.reason or 'failed'}", "bad")
    yield from (_event(event) for event in view.events)
    for delivery in view.deliveries:
        words, style = delivery_text(delivery, look)
        yield TimelineEntry(delivery.sent or delivery.made or row.opened, f"{delivery.kind}: {words}", style)
    for held in view.held:
        yield TimelineEntry(held.since, suppressed_text(held), "warn" if held.ended is None else "dim")


def _event(event: EventView) -> TimelineEntry:
    words = f"note: {event.words}" if event.kind == "note" else event.words
    return TimelineEntry(event.at, words, _KINDS.get(event.kind, "plain"), event.actor)


def _future(view: IncidentView, look: RenderContext) -> Iterator[TimelineEntry]:
    for service in view.services:
        name = service.title or service.name
        for at, words, style in (
            (service.act_by, f"act by, for {name}", "warn"),
            (service.green_by, f"green by, for {name}", "dim"),
            (service.expected, f"{name} is expected", "dim"),
            (service.deadline, f"deadline of {name}", "strong"),
        ):
            if at is not None and at > look.now:
                yield TimelineEntry(at, words, style)
    if view.row.taken_until is not None and view.row.taken_until > look.now:
        yield TimelineEntry(view.row.taken_until, f"acknowledged by {view.row.taken_by} until then", "ok")


def _line(entry: TimelineEntry, look: RenderContext, ahead: bool = False) -> list[Segment]:
    left: Segment = (f"  in {format_short(entry.at - look.now)}", "dim") if ahead else ("", "")
    by: Segment = (f"  {entry.by}", "dim") if entry.by else ("", "")
    return [(f" {look.clock.hm(entry.at, look.now)}  ", "dim"), (clean_line(entry.words), entry.style), left, by]
