"""`headway calendar [NAME]`: the days on which something is expected, as config has them, else the store."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from console.cli.common import Stop, business_date, now_of, positive_number, print_json, reading, say, say_lines
from console.cli.exits import Exit
from console.cli.table import Col, print_table
from console.paths import config_path

if TYPE_CHECKING:
    from console.control.calendars import Hours
    from console.model.calendars import Calendar, Window
    from console.model.declared import Declared

COLUMNS = (Col("day"), Col("date"), Col("hours", drop=2), Col("why"), Col("left out before it", 12, drop=1))
LIST = (Col("calendar"), Col("days"), Col("next"))
MOST = 1000
LEFT_OUT = 3
"""Days that are named of those which a holiday, a closing or another calendar takes away."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="CALENDAR", help="one calendar; without it, a list of all")
    parser.add_argument("--next", dest="n", type=positive_number, default=10, metavar="N", help="so many days (10)")
    parser.add_argument("--from", dest="start", type=business_date, metavar="DATE", help="from this date on (today)")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    declared, now = _declared(arguments)
    if not arguments.name:
        return _list(arguments, declared, now)
    calendar = declared.calendar(arguments.name)
    if calendar is None:
        raise Stop(Exit.NOT_FOUND, f'no calendar "{arguments.name}". {_known(declared)}')
    start = _start(arguments, calendar, now)
    most = min(arguments.n, MOST)
    days = _days(calendar, start, most)
    if arguments.json:
        windows = [_window_words(each) for each in calendar.windows]
        told = {"calendar": calendar.name, "timezone": calendar.zone, "windows": windows, "days": days}
        print_json(arguments, told)
    else:
        print_table(COLUMNS, [_cells(calendar, one) for one in days])
        say_lines(_clock_changes(days))
    if not days:
        say(f'headway: calendar "{calendar.name}": {no_days(start)}')
        return Exit.PROBLEM
    if len(days) < most:
        say(f'headway: calendar "{calendar.name}" has no more days within five years')
    elif most < arguments.n:
        say(f"headway: {MOST} days are shown at once; go on with --from {days[-1]['date']}")
    return Exit.OK


def _clock_changes(days: list[dict[str, Any]]) -> Iterator[str]:
    """What the clocks make of a window, on the dates on which they change."""
    for one in days:
        for each in one["hours"] or ():
            if each["note"]:
                yield f"window {each['window']}: {each['note']}; {each['words']}"


def no_days(start: date) -> str:
    """What is wrong with a calendar none of whose days counts, and the mend."""
    mend = "look at its weekdays, on, only_in, exclude and closed, or name dates in open"
    return f"no day counts within five years from {start}, so that nothing is ever expected by it; {mend}"


def _start(arguments: argparse.Namespace, calendar: Calendar, now: datetime) -> date:
    """The date that was named, else that of now where the calendar is."""
    from zoneinfo import ZoneInfo

    return date.fromisoformat(arguments.start) if arguments.start else now.astimezone(ZoneInfo(calendar.zone)).date()


def _declared(arguments: argparse.Namespace) -> tuple[Declared, datetime]:
    """What config declares, and the time; by the store where it was named or there is no config. Raises Stop."""
    path = config_path(arguments.config)
    if arguments.store or not path.exists():
        with reading(arguments) as reads:
            return reads.declared(), now_of(reads)
    from console.config import ConfigFaults, load_config

    try:
        return load_config(path).declared, datetime.now(UTC)
    except ConfigFaults as faults:
        raise Stop(Exit.USAGE, f"{len(faults.faults)} fault(s) in the config\n{faults}") from None


def _known(declared: Declared) -> str:
    names = ", ".join(sorted(each.name for each in declared.calendars))
    return f"Known: {names}." if names else "Config declares none: add [calendars.NAME]."


def _list(arguments: argparse.Namespace, declared: Declared, now: datetime) -> int:
    from console.control.calendars import next_day

    starts = {each.name: _start(arguments, each, now) for each in declared.calendars}
    first = {each.name: next_day(each, starts[each.name] - timedelta(days=1)) for each in declared.calendars}
    if arguments.json:
        print_json(arguments, [_listed(each, first[each.name]) for each in declared.calendars])
    else:
        rows = [(each.name, _words(each), str(first[each.name] or "never")) for each in declared.calendars]
        print_table(LIST, rows)
    for name, day in first.items():
        if day is None:
            say(f'headway: calendar "{name}": {no_days(starts[name])}')
    return Exit.OK


def _listed(calendar: Calendar, first: date | None) -> dict[str, Any]:
    windows = [_window_words(each) for each in calendar.windows]
    return {"calendar": calendar.name, "next": first and str(first), "windows": windows, "timezone": calendar.zone}


def _window_words(window: Window) -> str:
    """As config has it: "22:00-04:00"."""
    return f"{window.opens:%H:%M}-{window.closes:%H:%M}"


def _words(calendar: Calendar) -> str:
    """What it is made of, in the words of config."""
    from console.model.calendars import WEEKDAYS

    rules = [each.words for each in calendar.on]
    days = [WEEKDAYS[number][:3].capitalize() for number in calendar.weekdays] if not rules else []
    country = "-".join(filter(None, (calendar.country, calendar.subdivision)))
    others = [
        f"{word} {', '.join(each.name for each in named)}"
        for word, named in (
            ("and", calendar.include), ("only in", calendar.only_in), ("without", calendar.exclude),
        ) if named
    ]  # fmt: skip
    holidays = [f"no holidays of {country}"] if country else []
    return "; ".join(filter(None, [", ".join(rules) or " ".join(days), *holidays, *others]))


def _days(calendar: Calendar, start: date, n: int) -> list[dict[str, Any]]:
    """The days that count, each with why and its hours (None: all day), and the days just before it that would count
    but for a holiday or closing."""
    from console.control.calendars import next_days, open_hours, why

    found: list[dict[str, Any]] = []
    before = start - timedelta(days=1)
    for day in next_days(calendar, before, n):
        between = [before + timedelta(days=number) for number in range(1, (day - before).days)]
        left_out = [{"date": str(each), "why": why(calendar, each)} for each in between if _is_told(calendar, each)]
        hours = [_hours(calendar, each) for each in open_hours(calendar, day)] if calendar.windows else None
        found.append({"date": str(day), "weekday": f"{day:%A}", "why": why(calendar, day), "hours": hours,
                      "left_out": left_out})  # fmt: skip
        before = day
    return found


def _hours(calendar: Calendar, hours: Hours) -> dict[str, Any]:
    """One window of a date: as it is written, the instants at which it is open, and in words; where the clocks change,
    what that makes of it."""
    from zoneinfo import ZoneInfo

    zone, window = ZoneInfo(calendar.zone), _window_words(hours.window)
    spans = [{"from": begins, "to": ends} for begins, ends in hours.spans]
    odd = [f"{at:%H:%M} {'comes twice' if twice else 'does not exist'} on {at:%Y-%m-%d}" for at, twice in hours.odd]
    words = f"{window} {calendar.zone}"
    if odd:
        local = [(begins.astimezone(zone), ends.astimezone(zone)) for begins, ends in hours.spans]
        words = ", ".join(f"{begins:%H:%M %Z}-{ends:%H:%M %Z}" for begins, ends in local) or f"not open ({window})"
    return {"window": window, "open": spans, "words": words, "note": ", ".join(odd)}


def _is_told(calendar: Calendar, day: date) -> bool:
    """True for a weekday of the calendar that something takes away."""
    return not calendar.on and day.weekday() in calendar.weekdays


def _cells(calendar: Calendar, one: dict[str, Any]) -> tuple[str, ...]:
    hours = ", ".join(each["words"] for each in one["hours"] or ())
    told = [f"{each['date']} {each['why']}" for each in one["left_out"]]
    more = f", {len(told) - LEFT_OUT} more" if len(told) > LEFT_OUT else ""
    return one["weekday"][:3], one["date"], hours or "all day", one["why"], ", ".join(told[:LEFT_OUT]) + more or "–"
