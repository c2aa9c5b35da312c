"""`headway recover INC-0001`: the whole plan that repairs an incident, shown, then carried out step by step."""

from __future__ import annotations

import argparse

from connectors.words import OPEN_STATES, Verb
from console.cli.asking import add_sending_arguments
from console.cli.common import Stop, print_json, reading, say_lines
from console.cli.exits import Exit
from console.cli.incident import number_of
from console.cli.planning import add_at_once_argument, add_change_arguments, carry_out, changed, changes_of, proposal
from console.cli.rerun import step
from console.engine.wishes import Wish
from console.model.finishes import outlook
from console.model.ids import incident_name, is_short_for
from console.model.plans import WAIT, Draft
from console.model.steps import next_step, open_steps, waiting_for
from console.model.views import IncidentView, MemberView
from console.store.errors import Ambiguous

NEXT = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="INCIDENT", help="INC-0001")
    parser.add_argument(
        "--step",
        nargs="?",
        const=NEXT,
        metavar="JOB",
        help="no plan: only the next step, or this one (system/native-id)",
    )
    parser.add_argument("--all", action="store_true", help="also what no service that is hit waits for")
    add_change_arguments(parser)
    add_at_once_argument(parser)
    add_sending_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    number = number_of(arguments.name)
    with reading(arguments) as reads:
        view = reads.incident(number)
    if view.row.closed is not None:
        closed = next((one.words for one in reversed(view.events) if one.kind in ("closed", "merged")), "closed")
        if arguments.json:
            print_json(arguments, {"steps": [], "preview": None, "closed": closed})
        else:
            say_lines([closed])
        return Exit.OK
    return _plan(arguments, number, view) if arguments.step is None else _one_step(arguments, number, view)


def _plan(arguments: argparse.Namespace, number: int, view: IncidentView) -> int:
    def propose() -> Draft:
        return proposal(arguments, lambda requests: requests.propose(number, arguments.all))

    try:
        proposed = propose()
        draft = changed(arguments, proposed)
    except Stop:
        if arguments.json:
            print_json(arguments, {"steps": open_steps(view), "number": None})
        raise
    if all(one.verb == WAIT for one in proposed.steps) and not arguments.dry_run:
        if arguments.json:
            print_json(arguments, {**draft.as_json(), "number": None})
        raise Stop(Exit.PROBLEM, waiting_for(view))
    seen = outlook(proposed, changes_of(arguments, proposed))
    return carry_out(arguments, draft, incident_name(number), seen, lambda: changed(arguments, propose()))


def _one_step(arguments: argparse.Namespace, number: int, view: IncidentView) -> int:
    steps = [one for one in open_steps(view) if one.state not in OPEN_STATES]
    running = [one for one in open_steps(view) if one.state in OPEN_STATES]
    chosen = _named(steps, running, arguments.step) if arguments.step != NEXT else next_step(view)
    if chosen is None:
        if arguments.json:
            print_json(arguments, {"steps": steps, "preview": None})
        raise Stop(Exit.PROBLEM, waiting_for(view))
    if not arguments.json:
        say_lines(_list(steps, running, chosen))
    return step(arguments, chosen.job, Wish(Verb.RERUN, int(chosen.run_id or 0), incident_id=number), steps)


def _named(steps: list[MemberView], running: list[MemberView], wanted: str) -> MemberView:
    found = [one for one in [*steps, *running] if one.job == wanted]
    found = found or [one for one in [*steps, *running] if is_short_for(wanted, one.job)]
    jobs = tuple(dict.fromkeys(one.job for one in found))
    if len(jobs) > 1:
        raise Ambiguous(wanted, jobs)
    if found and found[0] in running:
        raise Stop(Exit.REFUSED, f"{found[0].job} is {found[0].state} (run {found[0].run_id}); nothing was sent")
    if found:
        return found[0]
    names = ", ".join(dict.fromkeys(one.job for one in steps))
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
