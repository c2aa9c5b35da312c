"""Data checks: list them, show one with its results, run one now."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from console.cli.arguments import business_date
from console.cli.clock_format import timestamp
from console.cli.commands import JSON, Handler, flag, option
from console.cli.exits import CommandError, Exit
from console.cli.output import ValueColumn, print_result, table
from console.cli.reader import store_reader
from console.cli.requests import request_answer
from console.engine.api.requests import RunDataCheck
from console.timing.durations import format_duration
from console.timing.formats import relative_time_text

if TYPE_CHECKING:
    from console.domain.check import CheckView

PASSED_STATES = ("passed", "learning")
SPARE_SECONDS = 15.0
"""Added to a check's own timeout: time for the engine to pick up the request."""


def run_checks(arguments: argparse.Namespace) -> int:
    if arguments.name is None:
        if arguments.now or arguments.business_date:
            raise CommandError(Exit.USAGE, "--now and --date need a check: headway datacheck CHECK --now")
        return _list_checks(arguments)
    if arguments.now:
        return _run_check_now(arguments)
    with store_reader(arguments) as reads:
        [view] = reads.checks.list_checks(arguments.name, arguments.business_date)
        results = reads.checks.check_results(arguments.name, arguments.business_date)
    rows = table(
        results,
        ValueColumn("date", lambda result: result.business_date),
        ValueColumn("checked", lambda result: timestamp(result.at)),
        ValueColumn("since", lambda result: timestamp(result.since), drop=2),
        ValueColumn("times", lambda result: str(result.times), drop=1),
        ValueColumn("state", lambda result: result.state),
        ValueColumn("result", lambda result: result.text, 24),
    )
    every = format_duration(view.every_seconds)
    waits = ", ".join(view.waits) or f"none; runs every {every}"
    lines = [f"{view.name}: {view.about} ({view.kind}, every {every}, business dates in {view.zone})"]
    lines += [f"  needed by {waits}"]
    check_heading = (
        lines if view.last is not None else [*lines, f"  never run. Run it: headway datacheck {view.name} --now"]
    )
    return print_result(
        arguments,
        {**asdict(view), "results": [asdict(result) for result in results]},
        check_heading,
        *([rows] if results else []),
        code=Exit.PROBLEM if view.last is not None and view.last.state not in PASSED_STATES else Exit.OK,
    )


def _list_checks(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        views, now = reads.checks.list_checks(), reads.now()
    rows = table(
        views,
        ValueColumn("check", lambda view: view.name, 14),
        ValueColumn("last", lambda view: view.last.state if view.last else "never"),
        ValueColumn("date", lambda view: view.last.business_date if view.last else "–", drop=2),
        ValueColumn("age", lambda view: format_duration((now - view.last.at).total_seconds()) if view.last else "–"),
        ValueColumn("next", lambda view: _next_check_text(view, now), drop=1),
        ValueColumn("result", lambda view: view.last.text if view.last else view.about, 24),
        ValueColumn("needed by", lambda view: ", ".join(view.waits) or "–", 14, drop=3),
    )
    none = ["The config has no data check; see docs/checks.md"]
    return print_result(arguments, [asdict(view) for view in views], rows if views else none)


def _run_check_now(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        [view] = reads.checks.list_checks(arguments.name)
    seconds = view.timeout_seconds + SPARE_SECONDS
    data = request_answer(arguments, RunDataCheck(arguments.name, arguments.business_date or ""), seconds)
    line = f"{data['check']} {data['business_date']}: {data['state']}: {data['text']}"
    return print_result(arguments, data, [line], code=Exit.OK if data["state"] in PASSED_STATES else Exit.PROBLEM)


def _next_check_text(view: CheckView, now: datetime) -> str:
    if view.next_at is not None:
        return relative_time_text(view.next_at, now) if view.next_at > now else "now"
    return "on demand" if view.waits and not view.awaited else "now"


HANDLERS = {
    "datacheck": Handler(
        run_checks,
        option("name", "show one check with its results; default: list all", "CHECK", nargs="?"),
        option("--date", "business date (latest checked)", "DATE", dest="business_date", type=business_date),
        flag("--now", "run the check now, for the present date or --date"),
        JSON,
    )
}
