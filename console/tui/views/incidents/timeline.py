"""An incident over time: failures, notifications, acknowledgements, notes and actions, then what is still to come.
Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from console.domain.alert import AlertKind, DeliveryView, SuppressionView
from console.domain.ids import incident_name
from console.domain.incident import EventView, IncidentRow, IncidentView
from console.domain.text import render
from console.text.cleaning import clean_line
from console.tui.frame.cells import RenderContext, SegmentLines
from console.tui.frame.clock_format import format_short
from console.tui.widgets.paint import Segment

HANG = 8
_KINDS = {"note": "strong", "acknowledged": "ok", "unacknowledged": "warn", "unsent": "warn", "deadline": "bad"}


class TimelineEntry(NamedTuple):
    at: datetime
    text: str
    style: str
    by: str = ""


def timeline_lines(view: IncidentView, ctx: RenderContext) -> SegmentLines:
    was = sorted(_past(view, ctx), key=lambda entry: entry.at)
    lines = [_line(entry, ctx) for entry in was]
    if view.row.closed is not None:
        return lines
    rule = "-" if ctx.plain else "─"
    lines.append([(f" {ctx.hm(ctx.now)} {rule * 2} now {rule * 24}", "key")])
    to_come = sorted(_future(view, ctx), key=lambda entry: entry.at)
    return lines + [_line(entry, ctx, ahead=True) for entry in to_come]


LEAST_TIMELINE = 6
"""Height from which a timeline below a path is displayed."""


def timeline_below(view: IncidentView, ctx: RenderContext, room: int) -> SegmentLines:
    """The latest part of the timeline under its heading, in `room` lines, from the last past entry at the latest; empty
    if they are few."""
    if room < LEAST_TIMELINE:
        return []
    lines, past, height = timeline_lines(view, ctx), sum(1 for _ in _past(view, ctx)), room - 2
    start = max(0, min(len(lines) - height, past - 1))
    return [[], [(f" TIMELINE of {incident_name(view.row.id)}", "key")], *lines[start : start + height]]


def delivery_text(delivery: DeliveryView, ctx: RenderContext) -> tuple[str, str]:
    again = f", repeated {delivery.repeats}x" if delivery.repeats else ""
    outcome, style = _outcome(delivery, again, ctx)
    return f"{outcome} ({delivery.receiver})", style


def _outcome(delivery: DeliveryView, again: str, ctx: RenderContext) -> tuple[str, str]:
    if delivery.is_replaced:
        return f"{delivery.status} to {delivery.route}", "dim"
    if delivery.state == "digested":
        return f"notified {delivery.route} in another alert{again}", "ok"
    if delivery.sent is not None:
        return f"notified {delivery.route}: accepted {ctx.hm(delivery.sent)}{again}", "ok"
    why = f": {delivery.error}" if delivery.error else ""
    if delivery.state == "parked":
        return f"NOT notified {delivery.route}: abandoned after {delivery.tries} attempts{why}", "bad"
    if delivery.state == "shadow":
        return f"{delivery.route} not notified (shadow)", "dim"
    if delivery.state == "dropped":
        return f"{delivery.route} not notified: resolved before it was sent", "dim"
    return f"{delivery.route} not notified yet, {delivery.tries} attempts{why}", "warn"


def delivery_cells(delivery: DeliveryView, ctx: RenderContext) -> list[Segment]:
    outcome, style = _short_outcome(delivery, ctx)
    failed = f"{delivery.tries} attempts{delivery.error and f': {delivery.error}'} ({delivery.receiver})"
    detail = delivery.receiver if style in ("ok", "dim") else failed
    again = f"repeated {delivery.repeats}x, " if delivery.repeats else ""
    route, detail = clean_line(delivery.route), clean_line(again + detail)
    return [(delivery.kind_label, "dim"), (route, "plain"), (outcome, style), (detail, "dim")]


def suppressed_cells(suppression: SuppressionView) -> list[Segment]:
    route, reason = clean_line(suppression.route), clean_line(suppression.reason)
    return [(suppression.kind, "dim"), (route, "plain"), (f"suppressed: {suppression.stage}", "warn"), (reason, "dim")]


def _short_outcome(delivery: DeliveryView, ctx: RenderContext) -> Segment:
    _, style = delivery_text(delivery, ctx)
    return {"ok": ctx.hm(delivery.sent), "bad": "failed", "warn": "not yet"}.get(style, delivery.status), style


def suppressed_text(suppression: SuppressionView) -> str:
    return f"{suppression.kind} to {suppression.route} suppressed by {suppression.stage}: {suppression.reason}"


def _failed_again(row: IncidentRow, ctx: RenderContext) -> str:
    """The state of an incident that is red again after its recovery was notified; else empty."""
    if row.closed is not None or not any(delivery.kind == AlertKind.RECOVERED for delivery in row.notifications):
        return ""
    if row.suppression is None:
        return "red again, not notified yet"
    until = f" until {ctx.hm(row.suppression.until)}" if row.suppression.until is not None else ""
    return f"red again, suppressed{until} ({row.suppression.stage}: {row.suppression.reason})"


def last_notified(view: IncidentView, ctx: RenderContext) -> Segment:
    last = view.deliveries[-1] if view.deliveries else None
    same = tuple(sent for sent in view.deliveries if last and (sent.kind, sent.made) == (last.kind, last.made))
    current = next((suppression for suppression in reversed(view.suppressed) if suppression.ended is None), None)
    return notified_cell(replace(view.row, notifications=same, suppression=current), ctx)


def notified_cell(row: IncidentRow, ctx: RenderContext, is_short: bool = False) -> Segment:
    """The last notification of an incident's row; `is_short`: for a cell of ten."""
    if again := _failed_again(row, ctx):
        return ("suppressed" if is_short and row.suppression else "not yet" if is_short else again), "warn"
    worst = next(
        (delivery for delivery in row.notifications if delivery.sent is None),
        row.notifications[-1] if row.notifications else None,
    )
    if worst is None:
        if row.suppression is not None:
            return ("suppressed" if is_short else suppressed_text(row.suppression)), "warn"
        return ("none" if is_short else "not notified"), "warn" if row.closed is None else "dim"
    if is_short:
        return _short_outcome(worst, ctx)
    text, style = delivery_text(worst, ctx)
    return f"{worst.kind_label}: {text}", style


def _past(view: IncidentView, ctx: RenderContext) -> Iterator[TimelineEntry]:
    row = view.row
    title = row.title.text(ctx.zoned)
    failed = f"{row.root_job or title}: {render(row.reason, ctx.zoned)}" if row.reason else title
    yield TimelineEntry(row.failed_since, failed, "bad")
    yield from (TimelineEntry(alert.started, alert.text, "warn") for alert in view.external_alerts)
    yield from (_event(event, ctx) for event in view.events)
    for delivery in view.deliveries:
        text, style = delivery_text(delivery, ctx)
        yield TimelineEntry(delivery.sent or delivery.made or row.opened, f"{delivery.kind_label}: {text}", style)
    for entry in view.suppressed:
        yield TimelineEntry(entry.since, suppressed_text(entry), "warn" if entry.ended is None else "dim")


def _event(event: EventView, ctx: RenderContext) -> TimelineEntry:
    text = f"{'note: ' if event.kind == 'note' else ''}{render(event.text, ctx.zoned)}"
    return TimelineEntry(event.at, text, _KINDS.get(event.kind, "plain"), event.actor)


def _future(view: IncidentView, ctx: RenderContext) -> Iterator[TimelineEntry]:
    for service in view.services:
        name = service.title
        for at, text, style in (
            (service.act_by, f"act by, for {name}", "warn"),
            (service.green_by, f"green by, for {name}", "dim"),
            (service.expected, f"{name} is expected{f', {service.repair_case}' if service.repair_case else ''}", "dim"),
            (service.deadline, f"deadline of {name}", "strong"),
        ):
            if at is not None and at > ctx.now:
                yield TimelineEntry(at, text, style)
    if view.row.policy_at is not None and view.row.policy_at > ctx.now:
        stop = ctx.key("incident", "stop_policy")
        yield TimelineEntry(view.row.policy_at, f"policy {view.row.policy} repairs it; {stop} stops it", "run")
    if view.row.acknowledged_until is not None and view.row.acknowledged_until > ctx.now:
        yield TimelineEntry(view.row.acknowledged_until, f"acknowledged by {view.row.acknowledged_by} until then", "ok")


def _line(entry: TimelineEntry, ctx: RenderContext, ahead: bool = False) -> list[Segment]:
    countdown: Segment = (f"  in {format_short(entry.at - ctx.now)}", "dim") if ahead else ("", "")
    by: Segment = (f"  {entry.by}", "dim") if entry.by else ("", "")
    return [(f" {ctx.hm(entry.at)}  ", "dim"), (clean_line(entry.text), entry.style), countdown, by]
