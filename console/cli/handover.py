"""`headway handover --since 22:00`: what the next shift must know."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, time, timedelta

from console.cli.common import Stop, clock_words, now_of, print_json, say_lines, stamp, until, watched
from console.cli.exits import Exit
from console.cli.wall import instant, zone_for
from console.control.pages import Section, as_markdown, as_text
from console.control.report import action_line, service_words
from console.durations import duration_words, parse_duration, time_of_day
from console.model.ids import incident_name
from console.model.views import IncidentRow
from console.model.views.handover import Handover, NoteView, ServiceNight, Standing, Turned

SHIFT = "12h"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--since",
        default=SHIFT,
        metavar="TIME",
        help='"22:00" (the last one, on the clock of the times that are told), "8h" or a date',
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--markdown", action="store_true", help="as Markdown, for a ticket or a chat")
    how.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    with watched(arguments) as reads:
        now = now_of(reads)
        view = reads.handover(since_of(arguments.since, now))
    if arguments.json:
        print_json(arguments, view)
        return Exit.OK
    title = f"Handover, {stamp(view.since)} to {stamp(view.at)}"
    say_lines((as_markdown if arguments.markdown else as_text)(title, sections(view)))
    return Exit.OK


def since_of(words: str, now: datetime) -> datetime:
    """The instant that was typed: a time of day is the last one before `now`, on the clock of the times that are told.
    Raises Stop."""
    try:
        if words[-1:] in "dhms" and words[:1].isdigit():
            return now - parse_duration(words)
        if len(words) <= len("22:00:00"):
            return _last(time_of_day(words), now)
        typed = datetime.fromisoformat(words)
        return typed.astimezone(UTC) if typed.tzinfo else instant(typed)
    except (ValueError, OverflowError):
        raise Stop(Exit.USAGE, f'"{words[:40]}" is no time: write 22:00, 8h or "2026-11-20 22:00"') from None


def _last(typed: time, now: datetime) -> datetime:
    today = now.astimezone(zone_for()).date()
    found = instant(datetime.combine(today, typed))
    return found if found <= now else instant(datetime.combine(today - timedelta(days=1), typed))


def sections(view: Handover) -> list[Section]:
    """In the order in which a person reads them: what is open first."""
    due = [one for one in view.services if one.deadline > view.at]
    over = [one for one in view.services if one.deadline <= view.at or one.delivered is not None]
    at_risk = [one for one in due if one.timeliness in ("at_risk", "will_miss") or one.is_in_doubt]
    return [
        Section("Open incidents", [incident_line(one, view) for one in view.open]),
        Section("Services at risk in the next 12 hours", [_service(one, view.at) for one in at_risk]),
        Section("Services missed", [_service(one, view.at) for one in view.services if one.is_missed]),
        Section("Services saved", [_service(one, view.at) for one in over if one.is_saved]),
        Section("Opened and over since", [incident_line(one, view) for one in view.opened if one.closed is not None]),
        Section(
            "Opened before and over since", [incident_line(one, view) for one in view.closed if one not in view.opened]
        ),
        Section("Notes and acknowledgements", [_note(one) for one in view.notes]),
        Section("Done", [action_line(one, stamp) for one in view.actions]),
        Section(
            "Held now", [f"{one.job}: {one.told}, by {one.held_by}, until {stamp(one.until)}" for one in view.holds]
        ),
        Section("Switched, silenced, extended", [*map(_standing, view.standing), *map(_turned, view.turned)]),
        Section("Drift that nobody has accepted", [f"{one.job}: {one.words}" for one in view.drift]),
        Section("Not seen", [f"{name}: {why}, last seen {stamp(at)}" for name, at, why in view.stale]),
    ]


def incident_line(one: IncidentRow, view: Handover) -> str:
    """ "INC-0001 … · failed since … · act by …": both clocks, and who is on it."""
    name, since = incident_name(one.id), stamp(one.failed_since)
    who = f"{one.taken_by} is on it until {stamp(one.taken_until)}" if one.taken_by else "nobody is on it"
    if one.closed is not None:
        took = duration_words((one.closed - one.failed_since).total_seconds())
        return f"{name} {one.title} · failed since {since} · closed {stamp(one.closed)} after {took}"
    act_by = f"recoverable until {stamp(one.act_by)} ({until(one.act_by, view.at)})" if one.act_by else "no act-by"
    return f"{name} {one.title} · failed since {since} · {act_by} · {who}"


def _service(one: ServiceNight, now: datetime) -> str:
    due = clock_words(one.deadline, one.zone, near=now)

    def delivered(at: datetime | None) -> str:
        return clock_words(at, one.zone, near=one.deadline)

    is_open = one.act_by is not None and one.delivered is None
    act = f" · act by {clock_words(one.act_by, one.zone, near=now)}" if is_open else ""
    cause = f" · {one.cause}" if one.cause else ""
    told = f" · {incident_name(one.incident_id)}" if one.incident_id is not None else ""
    return f"{one.title} (tier {one.tier}, {one.bd}), due {due}: {service_words(one, delivered)}{act}{cause}{told}"


def _note(one: NoteView) -> str:
    return f"{stamp(one.at)} {incident_name(one.incident_id)} {one.actor}: {one.words}"


def _turned(one: Turned) -> str:
    about = f" {one.about}" if one.about else ""
    return f"{stamp(one.at)} {one.by}: {one.verb}{about}{f': {one.why}' if one.why else ''}"


def _standing(one: Standing) -> str:
    by = f", by {one.by}" if one.by else ""
    why = f": {one.why}" if one.why and one.why not in one.about else ""
    end = f", until {stamp(one.until)}" if one.until is not None else ""
    return f"{one.kind}: {one.about}{by}{end}{why}"
