"""Calendars: list them, and the days that one of them counts."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from console.cli.arguments import business_date, positive_number
from console.cli.commands import JSON, Handler, option
from console.cli.exits import CommandError, Exit
from console.cli.output import ValueColumn, print_message, print_result, table
from console.cli.reader import load_valid_config, store_reader
from console.config.paths import config_path
from console.timing.calendars import no_days_fault

if TYPE_CHECKING:
    from console.domain.calendar import Calendar, CalendarWindow
    from console.domain.settings import Declared
    from console.timing.calendars import OpenHours

MAX_DAYS = 1000
MAX_EXCLUDED = 3
"""Excluded days that are printed; more are counted."""


def run_calendar(arguments: argparse.Namespace) -> int:
    declared, now = _declared_calendars(arguments)
    if not arguments.name:
        return _list_calendars(arguments, declared, now)
    calendar = declared.calendar(arguments.name)
    if calendar is None:
        raise CommandError(Exit.NOT_FOUND, f'no calendar "{arguments.name}". {_known_names(declared)}')
    start = _start_date(arguments, calendar, now)
    limit = min(arguments.n, MAX_DAYS)
    days = _counted_days(calendar, start, limit)
    windows = [_window_text(window) for window in calendar.windows]
    rows = table(
        days,
        ValueColumn("day", lambda day: day["weekday"][:3]),
        ValueColumn("date", lambda day: day["date"]),
        ValueColumn("hours", lambda day: ", ".join(span["text"] for span in day["hours"] or ()) or "all day", drop=2),
        ValueColumn("why", lambda day: day["why"]),
        ValueColumn("excluded before it", lambda day: _excluded_text(day["excluded"]), 12, drop=1),
    )
    print_result(
        arguments,
        {"calendar": calendar.name, "timezone": calendar.zone, "windows": windows, "days": days},
        rows,
        _clock_change_lines(days),
    )
    if not days:
        print_message(f'headway: calendar "{calendar.name}": {no_days_fault(start)}')
        return Exit.PROBLEM
    if len(days) < limit:
        print_message(f'headway: calendar "{calendar.name}" has no more days within five years')
    elif limit < arguments.n:
        print_message(f"headway: at most {MAX_DAYS} days are shown; continue with --from {days[-1]['date']}")
    return Exit.OK


def _excluded_text(excluded: list[dict[str, str]]) -> str:
    suffix = f", {len(excluded) - MAX_EXCLUDED} more" if len(excluded) > MAX_EXCLUDED else ""
    return ", ".join(f"{day['date']} {day['why']}" for day in excluded[:MAX_EXCLUDED]) + suffix or "–"


def _clock_change_lines(days: list[dict[str, Any]]) -> Iterator[str]:
    for day in days:
        for span in day["hours"] or ():
            if span["note"]:
                yield f"window {span['window']}: {span['note']}; {span['text']}"


def _start_date(arguments: argparse.Namespace, calendar: Calendar, now: datetime) -> date:
    from zoneinfo import ZoneInfo

    return date.fromisoformat(arguments.start) if arguments.start else now.astimezone(ZoneInfo(calendar.zone)).date()


def _declared_calendars(arguments: argparse.Namespace) -> tuple[Declared, datetime]:
    """The declarations of the config, or of the store with --store or without a config, and the time."""
    path = config_path(arguments.config)
    if arguments.store or not path.exists():
        with store_reader(arguments) as reads:
            return reads.declared(), reads.now()
    return load_valid_config(arguments).declared, datetime.now(UTC)


def _known_names(declared: Declared) -> str:
    names = ", ".join(sorted(calendar.name for calendar in declared.calendars))
    return f"Known: {names}." if names else "The config declares none: add [calendars.NAME]."


def _list_calendars(arguments: argparse.Namespace, declared: Declared, now: datetime) -> int:
    from console.timing.calendars import next_day

    starts = {calendar.name: _start_date(arguments, calendar, now) for calendar in declared.calendars}
    first = {
        calendar.name: next_day(calendar, starts[calendar.name] - timedelta(days=1)) for calendar in declared.calendars
    }
    document = [
        {
            "calendar": calendar.name,
            "next": first[calendar.name] and str(first[calendar.name]),
            "windows": [_window_text(window) for window in calendar.windows],
            "timezone": calendar.zone,
        }
        for calendar in declared.calendars
    ]
    rows = table(
        declared.calendars,
        ValueColumn("calendar", lambda calendar: calendar.name),
        ValueColumn("days", _calendar_text),
        ValueColumn("next", lambda calendar: str(first[calendar.name] or "never")),
    )
    print_result(arguments, document, rows)
    for name, day in first.items():
        if day is None:
            print_message(f'headway: calendar "{name}": {no_days_fault(starts[name])}')
    return Exit.OK


def _window_text(window: CalendarWindow) -> str:
    return f"{window.opens:%H:%M}-{window.closes:%H:%M}"


def _calendar_text(calendar: Calendar) -> str:
    from console.domain.calendar import WEEKDAYS

    rules = [rule.text for rule in calendar.on]
    days = [WEEKDAYS[number][:3].capitalize() for number in calendar.weekdays] if not rules else []
    country = "-".join(filter(None, (calendar.country, calendar.subdivision)))
    parts = [
        ", ".join(rules) or " ".join(days),
        country and f"no holidays of {country}",
    ]
    return "; ".join(filter(None, parts))


def _counted_days(calendar: Calendar, start: date, n: int) -> list[dict[str, Any]]:
    """The days that count, each with its reason and hours (None: all day), and the excluded days before it."""
    from console.timing.calendars import day_reason, next_days, open_hours

    days: list[dict[str, Any]] = []
    before = start - timedelta(days=1)
    for day in next_days(calendar, before, n):
        candidates = [before + timedelta(days=number) for number in range(1, (day - before).days)]
        excluded = [
            {"date": str(candidate), "why": day_reason(calendar, candidate)}
            for candidate in candidates
            if not calendar.on and candidate.weekday() in calendar.weekdays
        ]
        hours = [_window_document(calendar, span) for span in open_hours(calendar, day)] if calendar.windows else None
        reason = day_reason(calendar, day)
        days.append({"date": str(day), "weekday": f"{day:%A}", "why": reason, "hours": hours, "excluded": excluded})
        before = day
    return days


def _window_document(calendar: Calendar, hours: OpenHours) -> dict[str, Any]:
    from zoneinfo import ZoneInfo

    zone, window = ZoneInfo(calendar.zone), _window_text(hours.window)
    spans = [{"from": begins, "to": ends} for begins, ends in hours.spans]
    notes = [f"{at:%H:%M} {'comes twice' if twice else 'does not exist'} on {at:%Y-%m-%d}" for at, twice in hours.odd]
    text = f"{window} {calendar.zone}"
    if notes:
        local = [(begins.astimezone(zone), ends.astimezone(zone)) for begins, ends in hours.spans]
        text = ", ".join(f"{begins:%H:%M %Z}-{ends:%H:%M %Z}" for begins, ends in local) or f"not open ({window})"
    return {"window": window, "open": spans, "text": text, "note": ", ".join(notes)}


HANDLERS = {
    "calendar": Handler(
        run_calendar,
        option("name", "show one calendar; default: list all", "CALENDAR", nargs="?"),
        option("--next", "number of days (10)", "N", dest="n", type=positive_number, default=10),
        option("--from", "first date (today)", "DATE", dest="start", type=business_date),
        JSON,
    )
}
