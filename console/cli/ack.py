"""`headway ack INC-0001`: you are on it; nothing is repeated or escalated until that lapses, or `--lapse` ends it."""

from __future__ import annotations

import argparse

from console.cli.asking import answered, require_engine
from console.cli.common import print_json, reading, say_lines, stamp
from console.cli.exits import Exit
from console.cli.incident import number_of
from console.cli.silence import duration
from console.model.ids import incident_name

FOR = "1h"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="INCIDENT", help="INC-0001")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--for", dest="length", type=duration, default=duration(FOR), metavar="TIME", help="1h")
    which.add_argument("--lapse", action="store_true", help="nobody is on it any more: it goes on to others again")
    parser.add_argument("--why", default="", metavar="TEXT", help="for those who look at it, and for the audit")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    number = number_of(arguments.name)
    with reading(arguments) as reads:
        reads.incident(number)
    requests = require_engine(arguments)
    if arguments.lapse:
        answered(arguments, requests, requests.lapse(number, arguments.why))
    else:
        seconds = arguments.length.total_seconds()
        answered(arguments, requests, requests.acknowledge(number, seconds, arguments.why))
    with reading(arguments) as reads:
        row = reads.incident(number).row
    if arguments.json:
        print_json(arguments, row)
        return Exit.OK
    name = incident_name(number)
    on_it = f"{row.taken_by} is on it until {stamp(row.taken_until)}" if row.taken_by else "nobody is on it"
    say_lines([f"{name}: {on_it}"])
    return Exit.OK
