"""`headway what-if`: what would become of services if a job were restarted now or at 03:58, skipped, or faster."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from console.cli.common import JOB, Stop, now_of, print_json, say_lines, store_of, watched
from console.cli.exits import Exit
from console.cli.table import Col, print_table
from console.cli.wall import cell_clock, zone_for

if TYPE_CHECKING:
    from console.engine.what_if import Changed

COLUMNS = (
    Col("service", 12), Col("deadline"), Col("late"), Col("then"), Col("expected", drop=2),
    Col("then expected", drop=1),
)  # fmt: skip
WAYS = ("restart", "skip", "faster")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--restart", metavar="JOB", help=f"it is restarted now, or --at; {JOB}")
    way.add_argument("--skip", metavar="JOB", help="it counts as done now")
    way.add_argument("--faster", metavar="JOB", help="it takes half of its time, or --by another share of it")
    parser.add_argument("--at", default="", metavar="HH:MM", help="of a restart: the next such time")
    parser.add_argument("--by", type=_share, default=0.5, metavar="SHARE", help="of one that is faster: 0.8")
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
    way = next(each for each in WAYS if getattr(arguments, each))
    job = getattr(arguments, way)
    if arguments.at and way != "restart":
        raise Stop(Exit.USAGE, f"--at goes with --restart, and this is --{way}")
    with watched(arguments) as reads:
        reads.job(job)  # its near misses, before the heavy libraries are loaded
        now = now_of(reads)
    at = _next(arguments.at, now) if arguments.at else now
    from console.engine.what_if import Otherwise, what_if  # loads the simulation

    found = what_if(store_of(arguments), job, Otherwise(way), at, arguments.by if way == "faster" else 1.0)
    if arguments.json:
        print_json(arguments, {"job": job, "how": way, "at": at, "services": [asdict(one) for one in found]})
    elif found:
        print_table(COLUMNS, [_row(one, now) for one in found])
    else:
        say_lines([f"no open service waits for {job}, or none of them can be forecast: headway forecast"])
    return Exit.OK


def _next(text: str, now: datetime) -> datetime:
    """The next such time on the wall clock of what is printed. Raises Stop."""
    try:
        wanted = time.fromisoformat(text)
    except ValueError:
        raise Stop(Exit.USAGE, f"--at {text[:40]!a} is no time of day; write 03:58") from None
    local = now.astimezone(zone_for())
    found = datetime.combine(local.date(), wanted.replace(tzinfo=None), local.tzinfo)
    return (found if found >= local else found + timedelta(days=1)).astimezone(UTC)


def _row(one: Changed, now: datetime) -> tuple[str, ...]:
    spans = [f"{_clock(odds.p50, one, now)}–{_clock(odds.p95, one, now)}" for odds in (one.now, one.then)]
    late, then = (f"{round(odds.late * 100)} %" for odds in (one.now, one.then))
    return one.title, cell_clock(one.deadline, one.zone, now), late, then, *spans


def _clock(at: datetime, one: Changed, now: datetime) -> str:
    return cell_clock(at, one.zone, now).rpartition(" ")[0]
