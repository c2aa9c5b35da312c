"""`headway recover INC-0001`: the next step that repairs an incident: its root, then what it left red or stale."""

from __future__ import annotations

import argparse

from console.cli.asking import add_sending_arguments
from console.cli.common import Stop, print_json, reading, say_lines
from console.cli.exits import Exit
from console.cli.incident import number_of
from console.cli.rerun import step
from console.model.views import IncidentView, MemberView


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
            print_json({"steps": [], "closed": closed})
        else:
            say_lines([closed])
        return Exit.OK
    steps = open_steps(view)
    if not steps:
        raise Stop(Exit.PROBLEM, f"no step is left to send: {waiting_for(view)}")
    chosen = _chosen(steps, arguments.step)
    if not arguments.json:
        say_lines(_list(steps, chosen))
    return step(arguments, chosen.job, int(chosen.run_id or 0), number)


def open_steps(view: IncidentView) -> list[MemberView]:
    """What must be rerun, in order: the root while it is red, then what it left red or stale, upstream first."""
    live = [one for one in view.members if one.run_id is not None]
    return [one for one in live if one.role == "root" and one.state != "succeeded"] + [
        one for one in live if one.role in ("red", "stale")
    ]


def waiting_for(view: IncidentView) -> str:
    """What an incident without a step waits for."""
    open_ones = [one.job for one in view.members if one.state in ("planned", "queued", "running", "retrying")]
    return f"it waits for {', '.join(open_ones)}" if open_ones else "its cause is no run; see headway incident"


def _chosen(steps: list[MemberView], wanted: str | None) -> MemberView:
    if wanted is None:
        return steps[0]
    for one in steps:
        if one.job == wanted or one.job.rpartition("/")[2] == wanted:
            return one
    names = ", ".join(one.job for one in steps)
    raise Stop(Exit.NOT_FOUND, f"{wanted} is no open step of this incident; they are: {names}")


def _list(steps: list[MemberView], chosen: MemberView) -> list[str]:
    lines = ["steps, in order:"]
    lines += [f" {'→' if one is chosen else ' '} {one.role:<6} {one.job} ({one.state})" for one in steps]
    return [*lines, ""]
