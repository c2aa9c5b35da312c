"""What commands about plans share: a proposal changed and shown, confirmed, handed over, and watched to its end."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from connectors.words import Verb
from console.cli.asking import (
    ANSWER_SECONDS,
    TELL_SECONDS,
    answered,
    no_engine,
    reason_first,
    require_engine,
    said_words,
    watching,
    with_reason,
)
from console.cli.common import Stop, agreed, positive_number, print_json, reading, say, say_lines, store_of, typed
from console.cli.exits import Exit
from console.cli.finishes import print_outlook
from console.durations import duration_words, parse_duration
from console.engine.plan_requests import PlanRequests
from console.engine.wishes import AlreadyAsked, Wish
from console.model.carried import PlanView, StepView
from console.model.finishes import NO_WAYS, Outlook
from console.model.ids import incident_name, new_action_key
from console.model.plans import WAIT, Draft, PlanRefused, Step
from console.model.shaping import MOVED_ON, VALID_SECONDS, Changes, alike, shape
from console.model.steps import left_open
from console.model.words import Safety

JUDGED_SECONDS = 6.0
"""Until what the last step repaired is judged: the engine evaluates every 5 s at the latest."""
ENDED = {"done": Exit.OK, "stopped": Exit.PROBLEM, "aborted": Exit.PROBLEM}


def add_at_once_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--at-once", type=positive_number, default=1, metavar="N", help="writes in flight per system at most (1)"
    )


def add_change_arguments(parser: argparse.ArgumentParser) -> None:
    """How a proposal is changed; a STEP is its number or its job."""
    parser.add_argument("--only", action="append", default=[], metavar="STEP", help="this step and no other; repeat it")
    parser.add_argument("--leave-out", action="append", default=[], metavar="STEP", help="without this step; repeat it")
    parser.add_argument("--first", action="append", default=[], metavar="STEP", help="this one first; repeat it")
    parser.add_argument("--wait", action="append", default=[], metavar="STEP=5m", help="wait so long before it")
    parser.add_argument(
        "--alternative",
        action="append",
        default=[],
        metavar="STEP=WAY",
        help="another way: failed-only, downstream, all, start, mark-ok, skip",
    )


def proposal(arguments: argparse.Namespace, ask: Callable[[PlanRequests], int]) -> Draft:
    """What the engine proposes. Raises Stop."""
    requests = require_engine(arguments)
    seconds = min(ANSWER_SECONDS, arguments.timeout or ANSWER_SECONDS)
    return Draft.read(answered(arguments, requests, ask(requests), seconds))


def changed(arguments: argparse.Namespace, draft: Draft) -> Draft:
    """The draft as the command line wants it. Raises Stop for a step or a way that there is not."""
    try:
        return shape(draft, changes_of(arguments, draft))
    except (PlanRefused, ValueError) as error:
        raise Stop(Exit.USAGE, f"{error}; nothing was sent") from None


def changes_of(arguments: argparse.Namespace, draft: Draft) -> Changes:
    """What the command line wants otherwise. Raises PlanRefused, ValueError."""
    return Changes(
        only=frozenset(_place(draft, one) for one in arguments.only),
        leave_out=frozenset(_place(draft, one) for one in arguments.leave_out),
        order=tuple(_place(draft, one) for one in arguments.first),
        waits={place: parse_duration(text).total_seconds() for place, text in _pairs(draft, arguments.wait)},
        alternatives=dict(_pairs(draft, arguments.alternative)),
    )


def _pairs(draft: Draft, texts: Sequence[str]) -> list[tuple[int, str]]:
    for text in texts:
        if "=" not in text:
            raise PlanRefused(f'"{text}" names no step; write STEP=VALUE')
    return [(_place(draft, text.rpartition("=")[0]), text.rpartition("=")[2]) for text in texts]


def _place(draft: Draft, name: str) -> int:
    if name.isascii() and name.isdigit() and len(name) < 6:
        return int(name)
    found = [step.place for step in draft.steps if name in (step.job, step.job.rpartition("/")[2])]
    if len(found) != 1:
        has = ", ".join(f"{step.place} {step.job}" for step in draft.steps) or "no step"
        raise PlanRefused(f'"{name}" names {len(found) or "no"} steps; the plan has: {has}')
    return found[0]


def carry_out(
    arguments: argparse.Namespace,
    draft: Draft,
    word: str,
    seen: Outlook = NO_WAYS,
    again: Callable[[], Draft] | None = None,
) -> int:
    """Shows the plan, asks, hands it over and watches it; the exit code. `word` is typed where a yes is not enough;
    `seen`: when its services would be there, by each way; `again` works it out anew, where the yes came late."""
    shown = time.monotonic()
    if arguments.json:
        print_json(arguments, {**document(draft, None), "outlook": seen.as_json()})
    else:
        say_lines(draft_lines(draft))
        print_outlook(seen)
    _refuse(draft)
    sent = [Wish(Verb(step.verb), job_id=step.job_id) for step in draft.steps if step.verb != WAIT]
    reason_first(arguments, lambda: PlanRequests(store_of(arguments)).check(sent))
    if arguments.dry_run:
        return Exit.OK
    if not draft.steps:
        wider = "; --all takes in what no service that is hit waits for" if _may_widen(arguments, draft) else ""
        raise Stop(Exit.PROBLEM, f"the plan has no step to send{wider}")
    if not _confirmed(arguments, draft, word):
        raise Stop(Exit.REFUSED, "nothing was sent")
    if again is not None and time.monotonic() > shown + VALID_SECONDS:
        draft = _as_it_is_now(draft, again())
    number = _start(arguments, draft)
    if arguments.json:
        print_json(arguments, {**document(draft, number), "outlook": seen.as_json()})
    say(f"plan {number} started; headway recovery {number} shows it, --pause and --abort stop it")
    say(watching(arguments))
    return watch_plan(arguments, number)


def _as_it_is_now(said_yes_to: Draft, draft: Draft) -> Draft:
    """Raises Stop where it is another plan: nobody said yes to it."""
    if not alike(said_yes_to, draft):
        raise Stop(Exit.REFUSED, f"{MOVED_ON}; nothing was sent. Ask for it once more")
    return draft


def _may_widen(arguments: argparse.Namespace, draft: Draft) -> bool:
    return draft.kind == "recovery" and bool(draft.left_out) and not arguments.all


def document(draft: Draft, number: int | None) -> dict[str, Any]:
    """The one JSON document: the draft, without what only connectors understand, and the plan's number once it is."""
    data = draft.as_json()
    for step in data["steps"]:
        step["preview"] = {key: value for key, value in step["preview"].items() if key != "plan"}
    return {**data, "number": number}


def _refuse(draft: Draft) -> None:
    for step in draft.steps:
        refused = step.refusal or (step.preview.get("refused") if not step.after else "")
        if refused:
            raise Stop(Exit.REFUSED, f"step {step.place}, {step.job}: {refused}; nothing was sent")


def _confirmed(arguments: argparse.Namespace, draft: Draft, word: str) -> bool:
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise Stop(Exit.USAGE, "nothing was sent: add --yes to start it without a terminal")
    why = _why_typed(draft)
    return typed(f"{why}: type {word} to start it: ") == word if why else agreed("start it?")


def _why_typed(draft: Draft) -> str:
    """Why a plain yes does not start it; empty where one does."""
    first = f"tier 1 hangs on it ({', '.join(draft.first_tier)})" if draft.first_tier else ""
    is_safe = all(step.safety == Safety.SAFE and not step.preview.get("overlap") for step in draft.steps)
    return "; ".join(words for words in (first, "" if is_safe else "not all of it is declared safe") if words)


def _start(arguments: argparse.Namespace, draft: Draft) -> int:
    try:
        requests, key = require_engine(arguments), new_action_key()
        return with_reason(arguments, lambda why: requests.start_plan(draft, key, why, arguments.at_once))
    except AlreadyAsked as error:
        raise Stop(Exit.REFUSED, str(error)) from None
    except PlanRefused as error:
        raise Stop(Exit.REFUSED, f"{error}; nothing was sent") from None


def draft_lines(draft: Draft) -> list[str]:
    """The whole plan: each step in its scheduler's own words, then what is left out and why."""
    lines = [f"{draft.title}: {len(draft.steps)} step{'s' * (len(draft.steps) != 1)}"]
    for step in draft.steps:
        lines += _step_lines(step)
    lines += [f"  left out   {one.job}: {one.why}" for one in draft.left_out]
    lines += [f"  not saved  {one.service}: {one.words}" for one in draft.unsaved]
    lines += [f"  tier 1     {name} hangs on it" for name in draft.first_tier]
    return [*lines, *(f"  note       {note}" for note in draft.notes)]


def _step_lines(step: Step) -> list[str]:
    shown = step.preview
    verb = "wait for it" if step.verb == WAIT else str(shown.get("verb") or step.verb.replace("_", " "))
    after = f"  after {', '.join(map(str, step.after))}" if step.after else ""
    run = f"  run {step.run_id}" if step.run_id is not None else ""
    lines = [f"{step.place:>3} {verb}: {step.job}{run}  {step.period_key} ({step.state}){after}"]
    takes = (
        "no estimate"
        if step.expected_s is None
        else " · ".join(filter(None, (duration_words(step.expected_s), step.source)))
    )
    rows = [
        ("why", step.why),
        ("way", step.way),
        ("scope", shown.get("scope", "")),
        ("takes", takes if step.verb != WAIT else ""),
    ]
    rows += [("overlap", shown.get("overlap") or ""), ("refused", step.refusal or shown.get("refused") or "")]
    rows += [("trouble", step.trouble), ("waits", duration_words(step.wait_s) if step.wait_s else "")]
    rows += [("safety", step.safety + said_words(shown) if step.verb in ("rerun", "start") else "")]
    rows += [("sends", call) for call in shown.get("native_calls", ())]
    rows += [(one.label, f"{one.service}: {one.words}") for one in step.saves]
    rows += [("or", ", ".join(step.alternatives))]
    return lines + [f"      {label:<9}{text}" for label, text in rows if text]


def watch_plan(arguments: argparse.Namespace, number: int) -> int:
    """Follows a plan, a line on stderr for each change and each minute, until it ends or `--timeout`."""
    begun, minutes = time.monotonic(), 1
    told: dict[int, str] = {}
    while True:
        with reading(arguments) as reads:
            plan = reads.plan(number)
        for line in _news(plan, told):
            say(line)
        if plan.state in ENDED:
            _say_what_is_left(arguments, plan)
            if not arguments.json:
                say_lines([f"plan {number} {plan.state}: {plan.words}"])
            return ENDED[plan.state]
        waited = time.monotonic() - begun
        if waited > arguments.timeout:
            say(f"still {plan.state} after {duration_words(waited)}; it goes on: headway recovery {number}")
            return Exit.UNKNOWN
        if waited > minutes * TELL_SECONDS:
            minutes += 1
            say(f"{duration_words(waited)}: {no_engine(arguments) or where(plan)}")
        time.sleep(0.2)


def _say_what_is_left(arguments: argparse.Namespace, plan: PlanView) -> None:
    """What went wrong while the plan went on, or was no step of it, once what it repaired is judged."""
    until = time.monotonic() + JUDGED_SECONDS
    while left := after_done(arguments, plan):
        if time.monotonic() > until:
            for line in left:
                say(line)
            return
        time.sleep(0.2)


def after_done(arguments: argparse.Namespace, plan: PlanView) -> list[str]:
    """Why the incident of a plan that is done stays open, and what plans the rest; empty where nothing is left."""
    if plan.incident_id is None or plan.state != "done":
        return []
    with reading(arguments) as reads:
        left = left_open(reads.incident(plan.incident_id))
    name = incident_name(plan.incident_id)
    ways = [f"the rest: headway recover {name} --all"]
    return [f"{name} stays open", *left, *ways] if left else []


def _news(plan: PlanView, told: dict[int, str]) -> list[str]:
    lines = []
    for step in plan.steps:
        if told.get(step.place, "planned") != step.stands:
            told[step.place] = step.stands
            lines.append(f"{step.place} {step.job}: {step.stands}{': ' * bool(step.words)}{step.words}")
    return lines


def where(plan: PlanView) -> str:
    """Where the plan stands, in one line."""
    now = [_under_way(plan, step) for step in plan.steps if step.state == "asked"]
    now = now or [f"{step.place} {step.job} {why}" for step in plan.steps if (why := plan.waits_for(step))][:1]
    return f"{plan.state}, {plan.done} of {len(plan.steps)} steps over{'; ' * bool(now)}{', '.join(now)}"


def _under_way(plan: PlanView, step: StepView) -> str:
    why = plan.waits_for(step)
    return f"{step.place} {step.job} is {step.stands}{f': {why}' if why else ''}"
