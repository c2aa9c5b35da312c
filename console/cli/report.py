"""`headway report INC-0001`: what happened, for those who were asleep: a page of Markdown."""

from __future__ import annotations

import argparse

from console.cli.common import Stop, now_of, print_json, say_lines, stamp, watched
from console.cli.exits import Exit
from console.cli.incident import number_of
from console.cli.noise import add_noise_arguments, run_noise
from console.control.pages import as_markdown
from console.control.report import end_words, open_questions, sections
from console.model.ids import incident_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="INCIDENT", nargs="?", help="INC-0001")
    add_noise_arguments(parser)
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    if arguments.noise == bool(arguments.name):
        raise Stop(Exit.USAGE, "which report: INC-0001 for an incident, or --noise for the alerts?")
    if arguments.noise:
        return run_noise(arguments)
    number = number_of(arguments.name)
    with watched(arguments) as reads:
        view, nights, plans = reads.incident(number), reads.nights_of(number), reads.plans(incident_id=number)
        now = now_of(reads)
    if arguments.json:
        document = {"incident": view, "services": nights, "plans": plans, "open_questions": open_questions(view)}
        print_json(arguments, document)
        return Exit.OK
    page = sections(view, nights, plans, end_words(view, now, stamp), stamp)
    say_lines(as_markdown(f"{incident_name(number)}: {view.row.title}", page))
    return Exit.OK
