"""`headway extend SERVICE --until 08:00 --why …`: more time for tonight, or for one submission with `--instance KEY`;
what was promised stays beside it."""

from __future__ import annotations

import argparse
import shlex
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from console.clean import clean_line
from console.cli.asking import answered, require_engine
from console.cli.common import Stop, business_date, clock_words, print_json, reading, say, say_lines
from console.cli.exits import Exit
from console.cli.services import instance_named
from console.control.zones import instant_at, readings
from console.durations import duration_words, time_of_day
from console.model.ids import micros
from console.model.promises import instance_name
from console.model.views import ServiceView
from console.store.reads import Reads


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="SERVICE")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--until", metavar="TIME", help='in the service\'s zone: "08:00", or "2026-11-21 08:00"')
    which.add_argument("--off", action="store_true", help="take back what was given")
    parser.add_argument(
        "--why", metavar="TEXT", required=True, help="reason, shown beside the deadline and kept in the audit"
    )
    parser.add_argument("--bd", type=business_date, metavar="DATE", help="business date; default: the present one")
    parser.add_argument("--instance", metavar="KEY", help="of a service promised end to end: that submission")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    if not arguments.why.strip():
        raise Stop(Exit.USAGE, "nothing was extended: say why (--why); it is shown beside the deadline")
    with reading(arguments) as reads:
        view, now = _day_of(arguments, reads), reads.now()
    until = None if arguments.off else until_of(arguments.until, view, now)
    requests = require_engine(arguments)
    answered(arguments, requests, requests.extend(view, None if until is None else micros(until), arguments.why))
    promised = view.promised or view.deadline
    if arguments.json:
        shown = {"service": view.name, "bd": view.bd, "instance": view.instance, "promised": promised}
        print_json(arguments, {**shown, "deadline": until or promised, "why": arguments.why})
        return Exit.OK
    due = clock_words(until or promised, view.zone, near=now)
    words = f", extended from {clock_words(promised, view.zone, near=now)}" if until else ", as promised"
    say_lines([f"{_words(view)} {view.bd}: deadline {due}{words}"])
    return Exit.OK


def _day_of(arguments: argparse.Namespace, reads: Reads) -> ServiceView:
    """What is to get more time. Raises NotFound, and Stop where a submission has to be named."""
    if arguments.instance is not None:
        return instance_named(reads, arguments.name, arguments.instance, arguments.bd)
    view = reads.service(arguments.name, arguments.bd)
    if view.instance:
        words = f"nothing was extended: each submission of {view.name} has a deadline of its own. Which one? --instance"
        shown = f"headway services {view.name} lists them"
        raise Stop(Exit.USAGE, f"{words} {shlex.quote(clean_line(view.instance))} is the most urgent; {shown}")
    if not view.is_promised:
        raise Stop(Exit.REFUSED, f"nothing was extended: {view.name} has {view.reason}")
    return view


def _words(view: ServiceView) -> str:
    return instance_name(view.name, view.instance) if view.instance else view.name


def until_of(text: str, view: ServiceView, now: datetime) -> datetime:
    """The instant that was typed, in the service's zone: a time alone is the first one after its deadline. Where the
    clocks go back it is the one of two that is still to come, and that is said. Raises Stop."""
    promised, zone = view.promised or view.deadline, ZoneInfo(view.zone)
    try:
        typed = time_of_day(text) if len(text) <= len("08:00") else datetime.fromisoformat(text)
    except ValueError:
        raise Stop(Exit.USAGE, f'"{text[:40]}" is no time: write 08:00, or "2026-11-21 08:00"') from None
    if isinstance(typed, datetime):
        found = _ahead(_in_utc(typed.replace(tzinfo=typed.tzinfo or zone)), zone, now, text)
    else:
        found = _ahead(first_after(promised, typed, zone), zone, now, text)
        _refuse_a_slip(text, found - promised, found.astimezone(zone))
    if found <= promised:
        due = f"{promised.astimezone(zone):%Y-%m-%d %H:%M %Z}"
        raise Stop(Exit.USAGE, f"{_words(view)} is due {due}: {text} gives it no more time")
    return found


BY_THE_CLOCK = timedelta(hours=12)
"""What is typed without a date gives no more than this: 00:10 for a deadline of 00:30 is a slip, not a day."""


def _refuse_a_slip(text: str, gives: timedelta, found: datetime) -> None:
    if gives > BY_THE_CLOCK:
        words = (
            f"{text} would give it {duration_words(gives.total_seconds())}; if that is meant, write the date with it"
        )
        raise Stop(Exit.USAGE, f'{words}: --until "{found:%Y-%m-%d} {text}"')


def _in_utc(typed: datetime) -> datetime:
    try:
        return typed.astimezone(UTC)
    except OverflowError:
        raise Stop(Exit.USAGE, f"{typed:%Y-%m-%d %H:%M} lies beyond the calendar: look at the year") from None


def _ahead(found: datetime, zone: ZoneInfo, now: datetime, text: str) -> datetime:
    """The later instant that its zone shows alike, where this one is over. Says which of two it takes."""
    shown = readings(found.astimezone(zone).replace(tzinfo=None), zone)
    if len(shown) < 2:
        return found
    found = next((at for at in shown if at >= max(found, now)), found)
    say(f"{text} comes twice that night: it ends with {found.astimezone(zone):%H:%M %Z}")
    return found


def first_after(at: datetime, typed: time, zone: ZoneInfo) -> datetime:
    """When that time of day is shown next after `at`; the jump of the clocks for a time that it never is."""
    day = at.astimezone(zone).date()
    shown = (datetime.combine(day + timedelta(days=more), typed) for more in (0, 1))
    return next(found for each in shown for found in (readings(each, zone) or (instant_at(each, zone),)) if found > at)
