"""`headway blast JOB`: everything that a job takes with it, over all systems; and what is its own cause."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime

from console.cli.common import JOB, cell_clock, count, print_json, say_lines, until, watched
from console.cli.exits import Exit
from console.cli.reach import (
    as_json,
    by_system,
    cause_lines,
    reach,
    service_json,
    state_counts,
    state_of,
    summary,
)
from console.cli.table import Col, print_table
from console.control.reach import Reach
from console.model.views import ServiceView

SERVICES = (Col("service", 12), Col("tier", drop=3), Col("deadline"), Col("stands"), Col("act by"),
            Col("cause", 14, middle=True))  # fmt: skip
SYSTEMS = (Col("system", 12, middle=True), Col("jobs"), Col("red"), Col("latest runs", 14))
NAMED = 20
"""Jobs that are told by name; more are counted by system."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="JOB", help=JOB)
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    with watched(arguments) as reads:
        found = reach(reads, arguments.name)
    if arguments.json:
        print_json(arguments, document(found))
        return Exit.OK
    jobs = found.jobs(found.downstream)
    say_lines(_head(found))
    if found.services:
        say_lines([""])
        print_table(SERVICES, service_rows(found))
    if jobs:
        say_lines([""])
        print_table(SYSTEMS, system_rows(found))
        say_lines(["", *_named(found)])
    return Exit.OK


def document(found: Reach) -> dict[str, object]:
    """What `--json` prints: services first, then jobs, nearest first."""
    return {
        **as_json(found, found.job, 0),
        "root_causes": [as_json(found, one, found.upstream.get(one.id, 0)) for one in found.causes],
        "services": [service_json(one) for one in found.services],
        "systems": {system: len(jobs) for system, jobs in by_system(found.jobs(found.downstream))},
        "jobs": [as_json(found, found.view.jobs[each], steps) for each, steps in found.downstream.items()],
    }


def service_rows(found: Reach) -> list[list[str]]:
    return [service_row(one, found.now) for one in found.services]


def service_row(one: ServiceView, now: datetime) -> list[str]:
    deadline = f"{cell_clock(one.deadline, one.zone, now)} ({until(one.deadline, now)})" if one.is_promised else "–"
    return [
        one.name,
        str(one.tier),
        deadline,
        one.timeliness.replace("_", " "),
        cell_clock(one.act_by, one.zone, now).rpartition(" ")[0] or "–",  # the deadline beside it names the zone
        one.cause,
    ]


def system_rows(found: Reach) -> list[list[str]]:
    return [
        [system, str(len(jobs)), str(sum(one.is_red for one in jobs)), state_counts(jobs)]
        for system, jobs in by_system(found.jobs(found.downstream))
    ]


def _head(found: Reach) -> Iterator[str]:
    yield f"{found.job.name}  {state_of(found.job, found.now)}"
    yield from cause_lines(found)
    below = found.jobs(found.downstream)
    waiting = count(found.services, "service")
    yield f"downstream  {summary(below) if below else 'nothing'}; {waiting} below it or delivered by it"


def _named(found: Reach) -> Iterator[str]:
    for each, steps in list(found.downstream.items())[:NAMED]:
        one = found.view.jobs[each]
        yield f"  {steps:>2}  {one.name}  {state_of(one, found.now)}"
    if len(found.downstream) > NAMED:
        yield f"  and {len(found.downstream) - NAMED} more: --json names them all"
