"""A proposed plan on the command line: change it, show it, confirm it, start it, watch it to its end."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from connectors.sdk.states import Verb
from console.cli.clock_format import clock_text, clocked, in_display_zone, stamp
from console.cli.commands import Argument, option
from console.cli.exits import CommandError, Exit
from console.cli.output import Part, ValueColumn, counted, print_message, print_page, print_parts, set_document, table
from console.cli.prompts import confirm, prompt
from console.cli.reader import store_reader, store_url_of
from console.cli.requests import (
    ANSWER_SECONDS,
    PROGRESS_SECONDS,
    ask_reason_first,
    engine_problem,
    require_engine,
    safety_source_text,
    wait_for_answer,
    watch_hint,
    with_reason,
)
from console.domain.ids import incident_name, new_action_key
from console.domain.incident import open_reason
from console.domain.job import Safety
from console.domain.plan import (
    WAIT,
    DraftStep,
    PlanDraft,
    PlanRefused,
    PlanView,
    SavedService,
    StepKey,
    after_text,
    repeated_jobs,
    step_name,
)
from console.domain.plan_change import PLAN_CHANGED, VALID_SECONDS, is_same_plan
from console.domain.probability import format_probability
from console.domain.text import Clock, render
from console.engine.api.action_request import ActionRequest, AlreadyRequested
from console.engine.api.client import EngineClient
from console.engine.api.documents import fields_of
from console.timing.durations import format_duration


def finish_table(draft: PlanDraft) -> list[Part]:
    """A row for each service of the plan, with its finish and the risk that it is late. Empty without a service."""
    if not draft.days:
        return []
    rows = table(
        draft.days,
        ValueColumn("service", lambda day: day.shown_title, 8, middle=True),
        ValueColumn("due", lambda day: clock_text(day.deadline)),
        ValueColumn("finish, risk", _finish_cell),
    )
    return [["", "predicted finish and risk of being late, if the plan starts now:"], rows]


def _finish_cell(day: SavedService) -> str:
    """ "06:05, 12 %", "not by this plan"; with the date if it is not the deadline's."""
    if day.expected is None or day.late is None:
        return day.finish
    return f"{clock_text(day.expected, day.deadline).rpartition(' ')[0]}, {format_probability(day.late)}"


VERDICT_SECONDS = 6.0
"""How long to wait for the evaluation of the last step; the engine evaluates at least every 5 s."""
PLAN_CHECK_SECONDS = 0.2
"""How often a command that watches a plan reads its state."""
PLAN_EXITS = {"done": Exit.OK, "stopped": Exit.PROBLEM, "aborted": Exit.PROBLEM}


def _repeated(name: str, metavar: str, help: str) -> Argument:
    return option(name, help, metavar, action="append", default=[])


LEAVING_OUT = (
    _repeated("--only", "STEP", "include only this step; repeatable"),
    _repeated("--leave-out", "STEP", "exclude this step; repeatable"),
)
"""Options that leave steps out; a STEP is its number or its job."""


def propose_plan(arguments: argparse.Namespace, request: Callable[[EngineClient], int]) -> PlanDraft:
    """The engine's proposal. Raises CommandError."""
    requests = require_engine(arguments)
    seconds = min(ANSWER_SECONDS, arguments.timeout or ANSWER_SECONDS)
    return PlanDraft.read(wait_for_answer(arguments, requests, request(requests), seconds))


def left_out_steps(arguments: argparse.Namespace, draft: PlanDraft) -> frozenset[StepKey]:
    """The steps of the draft that the command line leaves out. Raises CommandError for an unknown step."""
    keys = {step.place: step.key for step in draft.steps}
    only, out = ({_step_number(draft, name) for name in names} for names in (arguments.only, arguments.leave_out))
    return frozenset(keys[place] for place in out | (keys.keys() - only if only else set()))


def _step_number(draft: PlanDraft, name: str) -> int:
    if name.isascii() and name.isdigit() and name not in {str(step.place) for step in draft.steps}:
        raise CommandError(Exit.USAGE, f"there is no step {name}; the plan has {len(draft.steps)}; nothing was sent")
    places = [step.place for step in draft.steps if name in (str(step.place), step.job, step.job.rpartition("/")[2])]
    if len(places) != 1:
        repeated = repeated_jobs(draft.steps)
        names = (f"{step.place} {render(step_name(step, repeated), stamp)}" for step in draft.steps)
        steps = ", ".join(names) or "no step"
        problem = f'"{name}" matches {len(places) or "no"} steps; the plan has: {steps}; nothing was sent'
        raise CommandError(Exit.USAGE, problem)
    return places[0]


def execute_plan(
    arguments: argparse.Namespace,
    draft: PlanDraft,
    now: datetime,
    confirmation: str,
    again: Callable[[], PlanDraft] | None = None,
) -> int:
    """Prints the plan, asks, starts it and watches it; the exit code.

    `confirmation`: typed to confirm where a yes is not enough. `again` proposes the plan again if that came late.
    """
    shown_at = time.monotonic()
    print_page(arguments, plan_document(draft, None), draft_lines(draft, now), *finish_table(draft))
    for step in draft.steps:
        if refused := step.refusal_now:
            raise CommandError(Exit.REFUSED, f"step {step.place}, {step.job}: {refused}; nothing was sent")
    sent = [ActionRequest(Verb(step.verb), job_id=step.job_id) for step in draft.steps if step.verb != WAIT]
    ask_reason_first(arguments, lambda: EngineClient(store_url_of(arguments)).check(sent))
    if arguments.dry_run:
        return Exit.OK
    if not draft.steps:
        may_widen = draft.kind == "recovery" and draft.excluded and not arguments.all
        hint = "; --all also reruns downstream jobs that no affected service needs" if may_widen else ""
        raise CommandError(Exit.PROBLEM, f"the plan has no step to send{hint}")
    if not _confirm_plan(arguments, draft, confirmation):
        raise CommandError(Exit.REFUSED, "nothing was sent")
    if again is not None and time.monotonic() > shown_at + VALID_SECONDS:
        confirmed, draft = draft, again()
        if not is_same_plan(confirmed, draft):
            raise CommandError(Exit.REFUSED, f"{PLAN_CHANGED}; nothing was sent. Fix: run the command again")
    number = _start_plan(arguments, draft)
    set_document(arguments, plan_document(draft, number))
    print_message(f"plan {number} started; headway plan {number} shows it, headway plan abort {number} stops it")
    print_message(watch_hint(arguments))
    return watch_plan(arguments, number)


def plan_document(draft: PlanDraft, number: int | None) -> dict[str, Any]:
    """The one JSON document: the draft, without the data for connectors, and the plan's number once it has started."""
    return {**fields_of(draft.displayed), "number": number}


def _confirm_plan(arguments: argparse.Namespace, draft: PlanDraft, confirmation: str) -> bool:
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise CommandError(Exit.USAGE, "nothing was sent. Fix: --yes to start it without a terminal")
    first = f"affects tier 1 ({', '.join(draft.first_tier)})" if draft.first_tier else ""
    is_safe = all(step.safety == Safety.SAFE and not step.preview.get("overlap") for step in draft.steps)
    why = "; ".join(filter(None, (first, "" if is_safe else "not every step is declared safe to rerun")))
    return prompt(f"{why}: type {confirmation} to confirm: ") == confirmation if why else confirm("start this plan?")


def _start_plan(arguments: argparse.Namespace, draft: PlanDraft) -> int:
    try:
        requests, key = require_engine(arguments), new_action_key()
        return with_reason(arguments, lambda why: requests.start_plan(draft, key, why, arguments.at_once))
    except AlreadyRequested as error:
        raise CommandError(Exit.REFUSED, str(error)) from None
    except PlanRefused as error:
        raise CommandError(Exit.REFUSED, f"{error}; nothing was sent") from None


def draft_lines(draft: PlanDraft, now: datetime) -> list[str]:
    """The plan: each step as its scheduler previews it, then what is excluded and why."""
    clock = partial(clock_text, near=now)
    lines = [f"{draft.title}: {counted(draft.steps, 'step') if draft.steps else 'nothing to run'}"]
    for step in draft.steps:
        lines += _step_lines(step, clock)
    repeated = repeated_jobs(draft.steps)
    lines += [
        f"  excluded   {render(step_name(run, repeated), stamp)}: {render(run.why, clock)}" for run in draft.excluded
    ]
    lines += [f"  not saved  {day.shown_title}: {render(day.text, clock)}" for day in draft.unsaved]
    lines += [f"  tier 1     affects {name}" for name in draft.first_tier]
    return [*lines, *(f"  note       {render(note, clock)}" for note in draft.notes)]


def _step_lines(step: DraftStep, clock: Clock) -> list[str]:
    preview, is_wait = step.preview, step.verb == WAIT
    verb = "wait for" if is_wait else str(preview.get("verb") or step.verb.replace("_", " "))
    after = f"  {after_text(step.after)}" if step.after else ""
    run = f"  run {step.run_id}" if step.run_id is not None else ""
    duration = "no estimate"
    if step.expected_s is not None:
        duration = " · ".join([format_duration(step.expected_s), *([step.basis.text] if step.basis else [])])
    rows = [
        ("why", render(step.why, clock)),
        ("scope", in_display_zone(preview.get("scope", ""))),
        ("duration", "" if is_wait else duration),
        ("overlap", preview.get("overlap") or ""),
        ("refused", step.refusal or preview.get("refused") or ""),
        ("problem", step.problem),
        ("waits", format_duration(step.wait_s) if step.wait_s else ""),
        ("safety", step.safety + safety_source_text(preview) if step.verb in ("rerun", "start") else ""),
        *((saved.label, f"{saved.shown_title}: {render(saved.text, clock)}") for saved in step.saves),
    ]
    first = f"{step.place:>3} {verb}: {step.job}{run}  {render(step.period.text, stamp)} ({step.state}){after}"
    texts = [(label, text) for label, text in rows if text]
    calls = [("sends", call) for call in preview.get("native_calls", ())]
    return [first, *(f"      {label:<9}{text}" for label, text in (*texts, *calls))]


def watch_plan(arguments: argparse.Namespace, number: int) -> int:
    """Follows a plan, a line on stderr for each change and each minute, until it ends or `--timeout`."""
    begin, minutes = time.monotonic(), 1
    states: dict[int, str] = {}
    while True:
        with store_reader(arguments) as reads:
            plan = reads.plans.plan(number)
        repeated = repeated_jobs(plan.steps)
        for step in plan.steps:
            if states.get(step.place, "planned") != step.status:
                states[step.place] = step.status
                name = render(step_name(step, repeated), stamp)
                print_message(f"{step.place} {name}: {step.status}{': ' * bool(step.text)}{step.text}")
        if plan.state in PLAN_EXITS:
            _print_unresolved(arguments, plan)
            if not arguments.json:
                print_parts([f"plan {number} {plan.state}: {plan.status_text}"])
            return PLAN_EXITS[plan.state]
        waited = time.monotonic() - begin
        if waited > arguments.timeout:
            after = f"after {format_duration(waited)}"
            print_message(f"still {plan.status} {after}; the plan goes on. Status: headway plan {number}")
            return Exit.UNKNOWN
        if waited > minutes * PROGRESS_SECONDS:
            minutes += 1
            print_message(f"{format_duration(waited)}: {engine_problem(arguments) or progress_text(plan)}")
        time.sleep(PLAN_CHECK_SECONDS)


def _print_unresolved(arguments: argparse.Namespace, plan: PlanView) -> None:
    """Prints why the incident stays open, once the repairs of the plan have been evaluated."""
    until = time.monotonic() + VERDICT_SECONDS
    while lines := follow_up_text(arguments, plan):
        if time.monotonic() > until:
            for line in lines:
                print_message(line)
            return
        time.sleep(PLAN_CHECK_SECONDS)


def follow_up_text(arguments: argparse.Namespace, plan: PlanView) -> list[str]:
    """Why the incident of a finished plan stays open, and the next command; empty if it is resolved."""
    if plan.incident_id is None or plan.state != "done":
        return []
    with store_reader(arguments) as reads:
        texts, now = open_reason(reads.incidents.incident(plan.incident_id)), reads.now()
    name, reasons = incident_name(plan.incident_id), [clocked(text, now) for text in texts]
    return [f"{name} stays open", *reasons, f"Next: headway recover {name} --all"] if reasons else []


def progress_text(plan: PlanView) -> str:
    """The progress of the plan in one line: running steps, else the first that waits."""
    repeated = repeated_jobs(plan.steps)
    names = {step.place: f"{step.place} {render(step_name(step, repeated), stamp)}" for step in plan.steps}
    running = [
        f"{names[step.place]} is {step.status}{f': {why}' if (why := plan.waits_for(step)) else ''}"
        for step in plan.steps
        if step.state == "requested"
    ]
    waiting = [f"{names[step.place]} {why}" for step in plan.steps if (why := plan.waits_for(step))][:1]
    return "; ".join(
        filter(None, [f"{plan.status}, {plan.done} of {len(plan.steps)} steps done", ", ".join(running or waiting)])
    )
