"""`headway drift`: native schedules that changed, vanished, appeared or were paused outside of us; and accepting it."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence

from console.cli.asking import answered, require_engine
from console.cli.common import (
    JOB,
    Stop,
    agreed,
    now_of,
    positive_number,
    print_json,
    reading,
    say,
    say_lines,
    since_words,
)
from console.cli.exits import Exit
from console.cli.table import Col, print_table
from console.model.views import DriftView


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s [list] [options]\n       %(prog)s accept JOB [options]"
    parser.add_argument("what", nargs="?", choices=["list", "accept"], default="list")
    parser.add_argument("name", nargs="?", metavar="JOB", help=f"the job whose drift is accepted: {JOB}")
    shown = "the newest change that you were shown; refused where another came since"
    parser.add_argument("--change", type=positive_number, metavar="N", help=shown)
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
            (Col("job", 20, middle=True), Col("change"), Col("what"), Col("seen", drop=1), Col("words", 20)),
            [(one.job, str(one.id), one.what, since_words(one.seen, now), one.words) for one in found],
        )
    return Exit.PROBLEM if found else Exit.OK


def accept(arguments: argparse.Namespace) -> int:
    """The change that is named, or shown and agreed to at a terminal, is what is expected from here on."""
    if not arguments.name:
        raise Stop(Exit.USAGE, "headway drift accept SYSTEM/ID: which job?")
    with reading(arguments) as reads:
        job = reads.job(arguments.name)
    name, newest = job.row.name, max((one.id for one in job.drift), default=0)
    requests = require_engine(arguments)
    if not newest and arguments.change is None:
        raise Stop(Exit.REFUSED, f"{name} is as it was accepted: there is no drift")
    if arguments.change is None and not _agreed(name, job.drift, newest):
        say("nothing was accepted")
        return Exit.REFUSED
    answered(arguments, requests, requests.accept_drift(job.row.id, arguments.change or newest))
    if arguments.json:
        print_json(arguments, {"job": name, "accepted": True})
    else:
        say_lines([f"{name}: accepted"])
    return Exit.OK


def _agreed(name: str, drift: Sequence[DriftView], newest: int) -> bool:
    """Whether a person who is shown what changed accepts it. Raises Stop without a terminal."""
    for one in drift:
        say(f"change {one.id}  {one.what}: {one.words}")
    if not sys.stdin.isatty():
        line = shlex.join(("headway", "drift", "accept", name, "--change", str(newest)))
        raise Stop(Exit.USAGE, f"nothing was accepted: say which change is meant: {line}")
    return agreed(f"{name}: accept {'this' if len(drift) == 1 else 'these'}?")
