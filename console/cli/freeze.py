"""`headway freeze`: one switch that stops all sending at once, and survives a restart; watching and alerts go on."""

from __future__ import annotations

import argparse

from console.cli.common import print_json, reading, say, say_lines, store_of
from console.cli.exits import Exit
from console.engine.requests import Requests
from console.model.modes import FREEZE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--off", action="store_true", help="send again")
    which.add_argument("--status", action="store_true", help="only say whether it is frozen")
    parser.add_argument("--why", default="", metavar="TEXT", help="for the audit, and for whoever reads the banner")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    if not arguments.status:
        _turn(arguments)
    with reading(arguments) as reads:
        frozen, on_its_way = reads.header().frozen, reads.on_the_wire()
    if arguments.json:
        print_json(arguments, {"frozen": frozen, "on_the_wire": on_its_way})
    else:
        say_lines([f"{frozen}: nothing is sent; watching and alerts go on" if frozen else "not frozen"])
        say_lines(f"  left before: {job}, {verb}, asked by {by}" for job, verb, by in on_its_way if frozen)
    return Exit.OK


def _turn(arguments: argparse.Namespace) -> None:
    value = "off" if arguments.off else "on"
    if not Requests(store_of(arguments)).turn(FREEZE, value, arguments.why):
        say(f"headway: it was {value} already")
