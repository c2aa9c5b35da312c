"""`headway cancel | skip | mark-ok RUN…`: one run, or several in one plan, upstreams first."""

from __future__ import annotations

import argparse

from connectors.words import Verb
from console.cli.asking import add_sending_arguments
from console.cli.common import JOB, Stop, reading, whole_number
from console.cli.exits import Exit
from console.cli.planning import add_at_once_argument, carry_out, proposal
from console.cli.rerun import step
from console.engine.wishes import Wish
from console.model.views import RunRow
from console.store.reads import Reads

VERBS = {"cancel": Verb.CANCEL, "skip": Verb.SKIP, "mark-ok": Verb.MARK_OK}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="RUN", help=f"a run's number, or a job for its latest run: {JOB}")
    add_at_once_argument(parser)
    add_sending_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    verb = VERBS[arguments.command]
    with reading(arguments) as reads:
        found = {one.id: one for one in (_run(reads, name, verb) for name in arguments.names)}
        runs = list(found.values())
    if len(runs) == 1:
        return step(arguments, runs[0].job, Wish(verb, runs[0].id))
    draft = proposal(arguments, lambda requests: requests.propose_bulk([one.id for one in runs], verb))
    return carry_out(arguments, draft, f"{arguments.command} {len(runs)}")


def _run(reads: Reads, name: str, verb: Verb) -> RunRow:
    """The run that was named. Raises Stop, NotFound."""
    if name.isascii() and name.isdigit():
        return reads.run(whole_number(name)).row
    view = reads.job(name)
    runs = [one for one in view.runs if one.attempts and one.ended is None] if verb is Verb.CANCEL else view.runs
    if not runs:
        what = "no run that goes on" if verb is Verb.CANCEL else "no run yet"
        raise Stop(Exit.NOT_FOUND, f"{view.row.name} has {what}")
    return next((one for one in runs if one.id == view.row.run_id), runs[0])
