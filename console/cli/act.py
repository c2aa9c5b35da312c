"""`headway cancel | skip | mark-ok RUN…`: one run, or several in one plan, upstreams first."""

from __future__ import annotations

import argparse

from connectors.words import Verb
from console.clean import clean_line
from console.cli.asking import add_sending_arguments
from console.cli.common import JOB, Stop, reading, whole_number
from console.cli.exits import Exit
from console.cli.planning import add_at_once_argument, carry_out, proposal
from console.cli.rerun import step
from console.engine.wishes import Wish
from console.model.filters import JobFilter
from console.model.plans import Draft
from console.model.views import RunRow
from console.store.errors import NotFound
from console.store.reads import Reads

FEW = 5
GOING_ON = ("running", "retrying", "queued")
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

    def propose() -> Draft:
        return proposal(arguments, lambda requests: requests.propose_bulk([one.id for one in runs], verb))

    return carry_out(arguments, propose(), f"{arguments.command} {len(runs)}", again=propose)


def _run(reads: Reads, name: str, verb: Verb) -> RunRow:
    """The run that was named. Raises Stop, NotFound."""
    if name.isascii() and name.isdigit():
        try:
            return reads.run(whole_number(name)).row
        except (NotFound, argparse.ArgumentTypeError):
            raise Stop(Exit.NOT_FOUND, _no_such_run(reads, name, verb)) from None
    view = reads.job(name)
    runs = [one for one in view.runs if one.attempts and one.ended is None] if verb is Verb.CANCEL else view.runs
    if not runs:
        what = "no run that goes on" if verb is Verb.CANCEL else "no run yet"
        raise Stop(Exit.NOT_FOUND, f"{view.row.name} has {what}")
    return next((one for one in runs if one.id == view.row.run_id), runs[0])


def _no_such_run(reads: Reads, name: str, verb: Verb) -> str:
    """With the runs that may be meant: of a cancel those that go on, else the latest of the jobs that started last."""
    wanted = JobFilter(states=GOING_ON) if verb is Verb.CANCEL else JobFilter()
    found = [one for one in reads.jobs_first_page(wanted, "age", FEW) if one.run_id is not None]
    told = ", ".join(f"{one.run_id} ({one.name})" for one in found)
    what, none = ("what goes on", "nothing goes on now") if verb is Verb.CANCEL else ("the latest", "there is none yet")
    return (
        f"no run has the number {clean_line(name[:40])}; {f'{what}: {told}' if told else none}; headway runs lists them"
    )
