"""Freeze and shadow: stop all sending, or observe without notifying and acting."""

from __future__ import annotations

import argparse
from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING

from console.cli.clock_format import clocked, time_ago, timestamp
from console.cli.commands import JSON, Handler, flag, one_of, option
from console.cli.exits import CommandError, Exit
from console.cli.output import ValueColumn, print_message, print_result, table
from console.cli.reader import store_reader, store_url_of
from console.domain.ids import split_job_name
from console.domain.switches import FREEZE, MODE, SHADOW_EVENTS, format_freeze, freeze_verdict, switch_name
from console.engine.api.client import EngineClient

if TYPE_CHECKING:
    from console.store.queries import Queries


def run_freeze(arguments: argparse.Namespace) -> int:
    value = "off" if arguments.off else "on"
    if not arguments.status and not EngineClient(store_url_of(arguments)).turn(FREEZE, value, arguments.why):
        print_message(f"headway: it was {value} already")
    with store_reader(arguments) as reads:
        frozen, in_flight = reads.estate.header().frozen, reads.actions.in_flight()
        running = [plan.id for plan in reads.plans.list_plans(ended=False) if plan.state == "running" and frozen]
    lines = [freeze_verdict(frozen, timestamp) if frozen else "not frozen"]
    lines += [f"  left before: {job}, {verb}, requested by {by}" for job, verb, by in in_flight if frozen]
    lines += [f"  plan {number} is running: a step due before the thaw is refused and stops it" for number in running]
    return print_result(arguments, {"frozen": format_freeze(frozen) if frozen else "", "in_flight": in_flight}, lines)


MAX_SHOWN_ALERTS = 20


def turn_shadow(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        name, system = _shadow_scope(arguments, reads)
    value = "live" if arguments.command == "shadow off" else "shadow"
    if not EngineClient(store_url_of(arguments)).turn(name, value, arguments.why, system):
        print_message(f"headway: it was {'live' if value == 'live' else 'in shadow'} already")
    return print_shadow(arguments)


def print_shadow(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        modes = reads.estate.modes()
    document = {
        "in_shadow": modes.in_shadow,
        "estate": "live" if modes.estate_live else "shadow",
        "scoped": {name: "live" if live else "shadow" for name, live in modes.scoped.items()},
    }
    lines = [f"in shadow: {scope}" for scope in modes.in_shadow]
    lines += ["observed without notifying or acting; only the shadow route is notified"] if lines else []
    return print_result(arguments, document, lines or ["everything is live"])


def _shadow_scope(arguments: argparse.Namespace, reads: Queries) -> tuple[str, str]:
    """The switch, and its system. Raises NotFound, CommandError."""
    if arguments.system:
        names = {system.system for system in reads.estate.systems()}
        if arguments.system not in names:
            raise CommandError(Exit.NOT_FOUND, f'no system "{arguments.system}"; known: {", ".join(sorted(names))}')
        return switch_name("system", arguments.system), arguments.system
    if arguments.service:
        return switch_name("service", reads.services.service(arguments.service).name), ""
    if arguments.dependency:
        upstream, downstream = (reads.jobs.job(name).row.name for name in arguments.dependency)
        return switch_name("dependency", upstream, downstream), split_job_name(downstream)[0]
    return MODE, ""


def print_shadow_report(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        events, refused = reads.estate.shadow_events(time_ago(arguments.since, reads.now()))
    kinds = Counter(f"would have {SHADOW_EVENTS[event.kind]}" for event in events)
    counts = [*kinds.most_common(), ("would have sent requested actions", refused)]
    omitted = len(events) - MAX_SHOWN_ALERTS
    return print_result(
        arguments,
        {"since": arguments.since, "counts": kinds, "refused": refused, "events": events},
        [f"actions and notifications of the last {arguments.since} if everything had been live"],
        table(counts, ValueColumn("kind", itemgetter(0), 24), ValueColumn("times", lambda count: str(count[1]))),
        ["", *(f"  {timestamp(event.at)}  {clocked(event.text, event.at)}" for event in events[:MAX_SHOWN_ALERTS])],
        [f"  … and {omitted} more (--json has all)"] if omitted > 0 else [],
    )


SHADOW_USAGE = """%(prog)s [--why TEXT] [options]
       [--system NAME | --service NAME | --dependency UP DOWN]"""
SHADOW_CHANGE = (
    one_of(
        option("--system", "only this system", "NAME"),
        option("--service", "only this service", "NAME"),
        option("--dependency", "only this dependency", ("UP", "DOWN"), nargs=2),
    ),
    option("--why", "reason for the audit log", "TEXT", default=""),
    JSON,
)
HANDLERS = {
    "freeze": Handler(
        run_freeze,
        one_of(flag("--off", "resume sending"), flag("--status", "print whether sending is frozen")),
        option("--why", "reason, shown in the banner and kept in the audit log", "TEXT", default=""),
        JSON,
    ),
    "shadow": Handler(print_shadow, JSON),
    "shadow off": Handler(turn_shadow, *SHADOW_CHANGE, usage=SHADOW_USAGE),
    "shadow on": Handler(turn_shadow, *SHADOW_CHANGE, usage=SHADOW_USAGE),
    "shadow report": Handler(
        print_shadow_report, option("--since", "how far to look back (14d)", "TIME", default="14d"), JSON
    ),
}
