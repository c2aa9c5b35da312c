"""`headway what-if`: what would become of services if a job were restarted now or at 03:58, skipped or faster, or a
pool had more slots; tonight, or in a night that is still to come."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from console.cli.common import (
    JOB,
    Stop,
    business_date,
    now_of,
    positive_number,
    print_json,
    say,
    say_lines,
    store_of,
    watched,
    without_array_threads,
)
from console.cli.exits import Exit
from console.cli.table import Col, print_table
from console.cli.wall import cell_clock, instant, instants, zone_for
from console.durations import time_of_day
from console.model.forecasts import late_words

if TYPE_CHECKING:
    from console.engine.what_if import Changed

COLUMNS = (
    Col("service", 12), Col("deadline"), Col("late"), Col("then"), Col("expected", drop=2),
    Col("then expected", drop=1),
)  # fmt: skip
AS_IT_IS = (Col("service", 12), Col("deadline"), Col("late"), Col("expected"))
WAYS = ("restart", "skip", "faster", "slots")
GOES_WITH = {"at": "restart", "by": "faster", "times": "slots"}
TWICE, HALF = 2, 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--restart", metavar="JOB", help=f"it is restarted now, or --at; {JOB}")
    way.add_argument("--skip", metavar="JOB", help="it counts as done now")
    way.add_argument("--faster", metavar="JOB", help="it takes half of its time, or --by another share of it")
    parser.add_argument("--slots", metavar="POOL", help="it has twice the slots, or --times as many")
    parser.add_argument("--night", type=business_date, metavar="DATE", help="a business date that is still to come")
    parser.add_argument("--times", type=positive_number, metavar="N", help="of a pool: so many times its slots (2)")
    parser.add_argument("--at", default="", metavar="HH:MM", help="of a restart: the next such time")
    parser.add_argument("--by", type=_share, metavar="SHARE", help="of one that is faster: so much of its time (0.5)")
    parser.add_argument("--json", action="store_true")


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text[:40]!a} is no share of its time; write 0.5 for half of it")
    return share


def run(arguments: argparse.Namespace) -> int:
    way = next((each for each in WAYS if getattr(arguments, each)), "")
    name = getattr(arguments, way) if way else ""
    if not way and not arguments.night:
        raise Stop(
            Exit.USAGE, f"what goes otherwise? {', '.join(f'--{each}' for each in WAYS)}; or which --night DATE?"
        )
    if arguments.slots and way != "slots":
        raise Stop(Exit.USAGE, f"one thing at a time goes otherwise: --{way} or --slots")
    for option, of in GOES_WITH.items():
        if getattr(arguments, option) and way != of:
            this = f"--{way}" if way else "a night as it is"
            raise Stop(Exit.USAGE, f"--{option} goes with --{of}, and this is {this}")
    with watched(arguments) as reads:
        if way not in ("", "slots"):
            reads.job(name)  # its near misses, before the heavy libraries are loaded
        now = now_of(reads)
    night = date.fromisoformat(arguments.night) if arguments.night else None
    begins = now if night is None else _begins(night, now)
    at = next_time(arguments.at, begins) if arguments.at else begins
    found = _asked(arguments, way, name, at, night)
    if arguments.json:
        asked = {("pool" if way == "slots" else "job"): name or None, "how": way or None, "at": at, "night": night}
        print_json(arguments, {**asked, "services": [asdict(one) for one in found]})
    elif found:
        print_table(COLUMNS if way else AS_IT_IS, [_row(one, now, bool(way)) for one in found])
    else:
        who = name or "anything"
        say_lines([f"no open service waits for {who}, or none of them can be forecast: headway forecast"])
    return Exit.OK


def _asked(arguments: argparse.Namespace, way: str, name: str, at: datetime, night: date | None) -> list[Changed]:
    without_array_threads()
    from console.engine.what_if import Otherwise, as_it_is, more_slots, what_if  # loads the simulation
    from console.store.errors import NotFound

    url = store_of(arguments)
    try:
        if not way and night is not None:
            return as_it_is(url, night)
        if way == "slots":
            return more_slots(url, name, arguments.times or TWICE, night)
        return what_if(url, name, Otherwise(way), at, arguments.by or HALF if way == "faster" else 1.0, night)
    except NotFound as error:
        raise Stop(Exit.NOT_FOUND, str(error)) from None


def _begins(night: date, now: datetime) -> datetime:
    """Noon of that date, where business dates begin unless their systems say otherwise; now, if that is over. Raises
    Stop for a night that is over."""
    noon = instant(datetime.combine(night, time(12)))
    if now - noon > timedelta(days=1):
        raise Stop(Exit.USAGE, f"the night of {night} is over; headway tonight --bd {night} tells how it was")
    return max(now, noon)


def next_time(text: str, now: datetime) -> datetime:
    """The next such time on the wall clock of what is printed, which of two that are alike is said. Raises Stop."""
    try:
        wanted = time_of_day(text)
    except ValueError:
        raise Stop(Exit.USAGE, f"--at {text[:40]!a} is no time of day on this clock; write 03:58") from None
    shown = datetime.combine(now.astimezone(zone_for()).date(), wanted)
    today = instants(shown)
    found = next(at for at in (*today, *instants(shown + timedelta(days=1))) if at >= now)
    if len(today) > 1 and found in today:
        say(f"{text} comes twice tonight: the next one counts, {found.astimezone(zone_for()):%H:%M %Z}")
    return found


def _row(one: Changed, now: datetime, otherwise: bool) -> tuple[str, ...]:
    both = (one.now, one.then) if otherwise else (one.now,)
    spans = ["–".join(dict.fromkeys(_clock(at, one, now) for at in (odds.p50, odds.p95))) for odds in both]
    late = [late_words(odds.late).removesuffix(" late") for odds in both]
    return one.title, cell_clock(one.deadline, one.zone, now), *late, *spans


def _clock(at: datetime, one: Changed, now: datetime) -> str:
    return cell_clock(at, one.zone, now).rpartition(" ")[0]
