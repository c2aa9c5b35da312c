"""`headway drift`: native schedules that changed, vanished, appeared or were paused outside of us; and accepting it."""

from __future__ import annotations

import argparse

from console.cli.asking import answered, require_engine
from console.cli.common import JOB, Stop, now_of, print_json, reading, say_lines, since_words
from console.cli.exits import Exit
from console.cli.table import Col, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s [list] [options]\n       %(prog)s accept JOB [options]"
    parser.add_argument("what", nargs="?", choices=["list", "accept"], default="list")
    parser.add_argument("name", nargs="?", metavar="JOB", help=f"the job whose drift is accepted: {JOB}")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    return accept(arguments) if arguments.what == "accept" else show(arguments)


def show(arguments: argparse.Namespace) -> int:
    with reading(arguments) as reads:
        found, now = reads.drift(), now_of(reads)
    if arguments.json:
        print_json(arguments, found)
    else:
        print_table(
            (Col("job", 20, middle=True), Col("what"), Col("seen", drop=1), Col("words", 20)),
            [(one.job, one.what, since_words(one.seen, now), one.words) for one in found],
        )
    return Exit.PROBLEM if found else Exit.OK


def accept(arguments: argparse.Namespace) -> int:
    """What the source says now is what is expected from here on."""
    if not arguments.name:
        raise Stop(Exit.USAGE, "headway drift accept SYSTEM/ID: which job?")
    with reading(arguments) as reads:
        job = reads.job(arguments.name)
    requests = require_engine(arguments)
    answered(arguments, requests, requests.accept_drift(job.row.id))
    if arguments.json:
        print_json(arguments, {"job": job.row.name, "accepted": True})
    else:
        say_lines([f"{job.row.name}: accepted"])
    return Exit.OK
