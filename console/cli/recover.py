"""`headway recover INC-0001`: the next step that repairs an incident: its root, then what it left red or stale."""

from __future__ import annotations

import argparse

from connectors.words import OPEN_STATES
from console.cli.asking import add_sending_arguments
from console.cli.common import Stop, print_json, reading, say_lines
from console.cli.exits import Exit
from console.cli.incident import number_of
from console.cli.rerun import step
from console.model.steps import next_step, open_steps, waiting_for
from console.model.views import MemberView


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="INC-0001")
    parser.add_argument("--step", metavar="JOB", help="another step than the next one: system/native-id")
    add_sending_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    number = number_of(arguments.name)
    with reading(arguments) as reads:
        view = reads.incident(number)
    if view.row.closed is not None:
        closed = next((one.words for one in reversed(view.events) if one.kind in ("closed", "merged")), "closed")
        if arguments.json:
            print_json({"steps": [], "preview": None, "closed": closed})
        else:
            say_lines([closed])
        return Exit.OK
    steps = [one for one in open_steps(view) if one.state not in OPEN_STATES]
    running = [one for one in open_steps(view) if one.state in OPEN_STATES]
    chosen = _named(steps, running, arguments.step) if arguments.step is not None else next_step(view)
    if chosen is None:
        if arguments.json:
            print_json({"steps": steps, "preview": None})
        raise Stop(Exit.PROBLEM, waiting_for(view))
    if not arguments.json:
        say_lines(_list(steps, running, chosen))
    return step(arguments, chosen.job, int(chosen.run_id or 0), number, steps)


def _named(steps: list[MemberView], running: list[MemberView], wanted: str) -> MemberView:
    for one in [*steps, *running]:
        if one.job == wanted or one.job.rpartition("/")[2] == wanted:
            if one in running:
                raise Stop(Exit.REFUSED, f"{one.job} is {one.state} (run {one.run_id}); nothing was sent")
            return one
    names = ", ".join(one.job for one in steps)
    raise Stop(Exit.NOT_FOUND, f"{wanted} is no open step of this incident; they are: {names}")


def _list(steps: list[MemberView], running: list[MemberView], chosen: MemberView) -> list[str]:
    """One line for each step: role, job, run, period, state; below them what is being rerun now."""
    lines = ["steps, in order:"]
    lines += [
        f" {'→' if one is chosen else ' '} {one.role:<6} {one.job}  run {one.run_id}  {one.period_key} ({one.state})"
        for one in steps
    ]
    lines += [f"   not yet: {one.job}  run {one.run_id}  {one.period_key} is {one.state}" for one in running]
    return [*lines, ""]
