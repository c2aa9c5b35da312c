"""`headway recovery [ID]`: plans that were started and how far each has come; pause, resume or abort one."""

from __future__ import annotations

import argparse

from console.cli.asking import no_engine
from console.cli.common import (
    Stop,
    now_of,
    print_json,
    say,
    say_lines,
    since_words,
    stamp,
    store_of,
    wait_seconds,
    whole_number,
)
from console.cli.common import watched as looking
from console.cli.exits import Exit
from console.cli.planning import ENDED, after_done, watch_plan
from console.cli.table import Col, print_table
from console.durations import duration_words
from console.engine.plan_requests import PlanRequests
from console.model.carried import PlanView, StepView
from console.model.ids import incident_name
from console.model.plans import PlanRefused

WAYS = ("pause", "resume", "abort")
COLUMNS = (
    Col("id"), Col("kind", drop=1), Col("state"), Col("steps"), Col("asked"), Col("by", drop=2),
    Col("what", 16, middle=True),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("number", nargs="?", type=whole_number, metavar="ID", help="one plan with its steps")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--pause", action="store_true", help="send nothing further; what was sent goes on")
    ways.add_argument("--resume", action="store_true", help="go on; what failed is asked anew unless it is good by now")
    ways.add_argument("--abort", action="store_true", help="give up what was not sent yet")
    parser.add_argument("--watch", action="store_true", help="until it ends")
    parser.add_argument(
        "--timeout", type=wait_seconds, default=3600.0, metavar="SECONDS", help="watch that long (3600)"
    )
    parser.add_argument("--why", default="", metavar="TEXT", help="reason, kept in the audit")
    parser.add_argument("--all", action="store_true", help="with those that are over")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    how = next((way for way in WAYS if getattr(arguments, way)), None)
    if arguments.number is None:
        if how or arguments.watch:
            raise Stop(Exit.USAGE, "name the plan: headway recovery ID; headway recovery lists them")
        return _list(arguments)
    if how is not None:
        _steer(arguments, how)
    ended = watch_plan(arguments, arguments.number) if arguments.watch else None
    if ended is None or arguments.json:
        shown = _show(arguments)
    return shown if ended is None else ended


def _steer(arguments: argparse.Namespace, how: str) -> None:
    try:
        state = PlanRequests(store_of(arguments)).steer_plan(arguments.number, how, arguments.why)
    except PlanRefused as error:
        raise Stop(Exit.REFUSED, str(error)) from None
    say(f"plan {arguments.number} is {state}")


def _list(arguments: argparse.Namespace) -> int:
    with looking(arguments) as reads:
        plans, now = reads.plans(ended=arguments.all), now_of(reads)
    if arguments.json:
        print_json(arguments, plans)
        return Exit.OK
    rows = [
        [str(one.id), one.kind, one.state, f"{one.done}/{len(one.steps)}", since_words(one.requested, now),
         one.requested_by, one.title]
        for one in plans
    ]  # fmt: skip
    print_table(COLUMNS, rows)
    if not rows and not arguments.all:
        say("no plan is under way; those that are over: headway recovery --all")
    return Exit.OK


def _show(arguments: argparse.Namespace) -> int:
    with looking(arguments) as reads:
        plan = reads.plan(arguments.number)
    if arguments.json:
        print_json(arguments, plan)
    else:
        say_lines([*plan_lines(plan), *after_done(arguments, plan)])
        if plan.state == "running" and (words := no_engine(arguments)) is not None:
            say(f"{words}; the plan goes on where it stood once one does: headway engine")
    return ENDED[plan.state] if plan.state == "stopped" else Exit.OK


def plan_lines(plan: PlanView) -> list[str]:
    """The plan with its steps."""
    incident = f"  {incident_name(plan.incident_id)}" if plan.incident_id is not None else ""
    lines = [f"plan {plan.id} is {plan.state}: {plan.title}{incident}"]
    lines += [f"  {plan.words}"] if plan.words else []
    lines += [f"  to go on: headway recovery {plan.id} --resume, or --abort"] if plan.state == "paused" else []
    lines += [f"  asked by {plan.requested_by}{f': {plan.why}' if plan.why else ''}"]
    return lines + [line for step in plan.steps for line in _step_lines(plan, step)]


def _step_lines(plan: PlanView, step: StepView) -> list[str]:
    after = f"  after {', '.join(map(str, step.after))}" if step.after else ""
    wait = f"  waits {duration_words(step.wait_s)}" if step.wait_s else ""
    run = f"  run {step.run_id}" if step.run_id is not None else ""
    what = f"{step.verb.replace('_', ' ')} {step.job}{run}"
    line = f"{step.place:>3} {step.stands:<9} {what}  {step.period_key}{after}{wait}"
    until = f"waits until {stamp(step.due)}" if step.due and step.state == "planned" else ""
    told = [*dict.fromkeys((step.words, plan.waits_for(step) or until))]
    return [line, *(f"      {words}" for words in told if words)]
