"""`headway shadow`: what is watched only; `off` turns it live, `on` back, `report` shows what it would have brought."""

from __future__ import annotations

import argparse
from collections import Counter
from datetime import timedelta

from console.cli.common import Stop, now_of, print_json, reading, say_lines, stamp, store_of
from console.cli.exits import Exit
from console.cli.table import Col, print_table
from console.durations import parse_duration
from console.engine.requests import Requests
from console.model.ids import split_job_name
from console.model.modes import MODE, scope_name
from console.store.reads import Reads

SHOWN = 20


USAGE = """%(prog)s [show] [options]
       %(prog)s (off | on) [--why TEXT] [options]
                      [--system NAME | --service NAME | --dependency UP DOWN]
       %(prog)s report [--since TIME] [options]"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = USAGE
    parser.add_argument("what", nargs="?", choices=["show", "off", "on", "report"], default="show")
    scope = parser.add_mutually_exclusive_group()
    scope.add_argument("--system", metavar="NAME", help="of this system only")
    scope.add_argument("--service", metavar="NAME", help="of this service only: its routes are told")
    scope.add_argument("--dependency", nargs=2, metavar=("UP", "DOWN"), help="of this one only: it is held")
    parser.add_argument("--why", default="", metavar="TEXT", help="off, on: for the audit")
    parser.add_argument("--since", default="14d", metavar="TIME", help="how far the report looks back (14d)")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    if arguments.what in ("show", "report") and (arguments.system or arguments.service or arguments.dependency):
        raise Stop(Exit.USAGE, "--system, --service and --dependency go with on or off; nothing was turned")
    if arguments.what == "report":
        return _report(arguments)
    if arguments.what != "show":
        _turn(arguments)
    with reading(arguments) as reads:
        modes = reads.modes()
    if arguments.json:
        print_json(arguments, {"in_shadow": modes.in_shadow, "estate": "live" if modes.estate_live else "shadow",
                    "scoped": {name: "live" if live else "shadow" for name, live in modes.scoped.items()}})  # fmt: skip
        return Exit.OK
    words = "what is in shadow is watched only: nothing of it is sent but to the shadow route"
    say_lines([*(f"in shadow: {one}" for one in modes.in_shadow), words] if modes.in_shadow else ["all is live"])
    return Exit.OK


def _turn(arguments: argparse.Namespace) -> None:
    value = "live" if arguments.what == "off" else "shadow"
    with reading(arguments) as reads:
        name, system = _scope(arguments, reads)
    Requests(store_of(arguments)).turn(name, value, arguments.why, system)


def _scope(arguments: argparse.Namespace, reads: Reads) -> tuple[str, str]:
    """The switch that is meant, and the system that it is about. Raises NotFound, Stop."""
    if arguments.system:
        names = {one.system for one in reads.systems()}
        if arguments.system not in names:
            raise Stop(Exit.NOT_FOUND, f'no system "{arguments.system}"; there are {", ".join(sorted(names))}')
        return scope_name("system", arguments.system), arguments.system
    if arguments.service:
        return scope_name("service", reads.service(arguments.service).name), ""
    if arguments.dependency:
        upstream, downstream = (reads.job(name).row.name for name in arguments.dependency)
        return scope_name("dependency", upstream, downstream), split_job_name(downstream)[0]
    return MODE, ""


def _report(arguments: argparse.Namespace) -> int:
    try:
        ago: timedelta = parse_duration(arguments.since)
    except ValueError as error:
        raise Stop(Exit.USAGE, f"--since: {error}") from None
    with reading(arguments) as reads:
        found, refused = reads.would_have(now_of(reads) - ago)
    kinds = Counter(" ".join(one.words.split()[:3]) for one in found)
    if arguments.json:
        print_json(arguments, {"since": arguments.since, "counts": kinds, "asked_in_vain": refused, "events": found})
        return Exit.OK
    say_lines([f"what Headway would have done in the last {arguments.since}, had all been live"])
    print_table((Col("what", 24), Col("times")),
                [*((words, str(count)) for words, count in kinds.most_common()),
                 ("would have sent what people asked for", str(refused))])  # fmt: skip
    say_lines(["", *(f"  {stamp(one.at)}  {one.words}" for one in found[:SHOWN])])
    if len(found) > SHOWN:
        say_lines([f"  … and {len(found) - SHOWN} more (--json has all)"])
    return Exit.OK
