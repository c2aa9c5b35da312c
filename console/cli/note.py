"""`headway note INC-0001 "…"`: what a person knows, kept in the incident's timeline, the handover and the report."""

from __future__ import annotations

import argparse

from console.cli.common import Stop, print_json, say_lines, store_of
from console.cli.exits import Exit
from console.cli.incident import number_of
from console.engine.requests import Requests
from console.model.ids import incident_name

LONGEST = 2000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="INCIDENT", help="INC-0001")
    parser.add_argument("words", metavar="TEXT", help="what you know: one line")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    number, words = number_of(arguments.name), " ".join(arguments.words.split())
    if not words:
        raise Stop(Exit.USAGE, "nothing was noted: the text is empty")
    if len(words) > LONGEST:
        raise Stop(Exit.USAGE, f"nothing was noted: {len(words)} characters; write at most {LONGEST}")
    Requests(store_of(arguments)).note(number, words)
    if arguments.json:
        print_json(arguments, {"incident": incident_name(number), "note": words})
    else:
        say_lines([f"{incident_name(number)}: noted"])
    return Exit.OK
