"""`headway tonight`: services and the jobs on their critical paths over one night, line by line; or a past night."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime, timedelta

from console.cli.common import Stop, business_date, clock_words, count, print_json, say_lines, watched
from console.cli.exits import Exit
from console.cli.table import Col, print_table
from console.cli.wall import instant, zone_for, zone_name
from console.control.timeline import Bar, Kind, Lane, lanes
from console.durations import time_of_day
from console.model.views.night import NightView

COLUMNS = (
    Col("service or job", 20, middle=True), Col("stands"), Col("due", drop=2), Col("ran", drop=1), Col("done"),
    Col("expected"), Col("19 of 20 by", drop=3),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bd", type=business_date, default=None, metavar="DATE", help="a past business date")
    parser.add_argument(
        "--at", default="", metavar="HH:MM", help="as it looked then, by the clock that the times are told in"
    )
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    with watched(arguments) as reads:
        night = reads.night(arguments.bd)
    at = moment_of(arguments.at, night) if arguments.at else night.now
    found = lanes(night, at)
    if arguments.json:
        print_json(arguments, document(night, found, at))
        return Exit.OK
    jobs = [lane for lane in found if lane.job is not None]
    services = [lane for lane in found if lane.service is not None]
    when = f", as it looked at {clock_words(at, near=night.now)}" if arguments.at else ""
    counts = f"{count(services, 'service')}, {count(jobs, 'critical job')}"
    say_lines([f"business date {night.bd}: {counts}{when}; times: {zone_name(at)}", ""])
    print_table(COLUMNS, rows(found, at))
    return Exit.OK


def moment_of(text: str, night: NightView) -> datetime:
    """That time in the night that ends with the first deadline, on the wall clock of what is printed. Raises Stop."""
    try:
        wanted = time_of_day(text)
    except ValueError:
        raise Stop(Exit.USAGE, f"--at {text[:40]!a} is no time of day on this clock; write 03:20") from None
    last = max((one.deadline for one in night.services), default=night.now).astimezone(zone_for())
    shown = datetime.combine(last.date(), wanted)
    found = instant(shown)
    return min(night.now, found if found <= last else instant(shown - timedelta(days=1)))


def rows(found: list[Lane], near: datetime) -> list[list[str]]:
    """A line for each service, then one for each job of its path that no service before it has."""

    def clock(at: datetime | None) -> str:
        return clock_words(at, near=near).rpartition(" ")[0] if at is not None else "–"

    def ends(lane: Lane) -> list[str]:
        return [clock(lane.done), clock(lane.expected), clock(lane.late)]

    told = []
    for lane in found:
        if lane.service is not None:
            name, stands = lane.service.title or lane.name, lane.state.replace("_", " ")
            told.append([name, stands, clock(lane.service.deadline), "", *ends(lane)])
            continue
        told.append([f"  {lane.name}", *_of_job(lane, clock), *ends(lane)])
    return told


def _of_job(lane: Lane, clock: Callable[[datetime | None], str]) -> list[str]:
    """How it stands, when it was due, what ran. Of a job with several runs a night these tell of the one that its
    service reads; what ran beside one that has not begun is told apart from it."""
    run = next((one for one in lane.job.runs if one.id == lane.run_id), None) if lane.job is not None else None
    due = run.due if run is not None else None
    ran = [bar for bar in lane.bars if bar.kind in (Kind.RAN, Kind.RUNS)]
    if lane.state or not ran:
        return [lane.state or "not begun", clock(due), _ran(ran, clock)]
    if due is not None and due <= ran[-1].start:
        since = [bar for bar in ran if bar.start >= due]
        return [f"{clock(due)} did not begin", clock(due), f"since then {_ran(since, clock)}"]
    which = f"{clock(due)} not begun" if due is not None else "next not begun"
    return [which, clock(due), f"before {_ran(ran, clock)}"]


def _ran(bars: list[Bar], clock: Callable[[datetime | None], str]) -> str:
    return ", ".join(f"{clock(bar.start)}–{clock(bar.end) if bar.kind is Kind.RAN else '…'}" for bar in bars[-2:])


def document(night: NightView, found: list[Lane], at: datetime) -> dict[str, object]:
    """What `--json` prints: the lanes in their order; instants in UTC."""
    return {
        "bd": night.bd,
        "at": at,
        "lanes": [
            {
                "kind": "service" if lane.service is not None else "job",
                "name": lane.name,
                "state": lane.state or None,
                "deadline": lane.service.deadline if lane.service is not None else None,
                "done": lane.done,
                "expected": lane.expected,
                "late": lane.late,
                "source": lane.job.source if lane.job is not None else None,
                "bars": [{"kind": bar.kind, "start": bar.start, "end": bar.end, "state": bar.state or None}
                         for bar in lane.bars],
            }
            for lane in found
        ],
    }  # fmt: skip
