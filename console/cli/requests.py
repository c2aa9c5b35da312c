"""Requests of a command to the running engine: ask, wait for the answer, watch an action until it ends."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from connectors.sdk.states import STARTING, Verb
from console.cli.arguments import positive_number, timeout
from console.cli.clock_format import in_display_zone, stamp, timestamp
from console.cli.commands import JSON, Argument, flag, option
from console.cli.exits import CommandError, Exit, refusal_text
from console.cli.output import counted, print_message, print_parts
from console.cli.prompts import confirm, prompt
from console.cli.reader import no_engine_text, store_reader, store_url_of
from console.domain.action import ActionView, preview_notes, verb_summary
from console.domain.ids import instant, new_action_key
from console.domain.text import render
from console.engine.api.action_request import ActionRequest, AlreadyRequested
from console.engine.api.client import EngineClient
from console.engine.api.requests import ClientRequest
from console.store.errors import NotAllowed, ReasonNeeded
from console.timing.durations import format_duration

T = TypeVar("T")
ANSWER_SECONDS = 45.0
ENGINE_CHECK_SECONDS = 1.0
"""How often a command that waits for an answer checks that an engine is running."""
ACTION_CHECK_SECONDS = 0.1
"""How often a command that watches an action reads its state."""
PROGRESS_SECONDS = 60.0
"""How often a command that watches an action prints what the action waits for."""
ACTION_EXITS = {"verified": Exit.OK, "failed": Exit.PROBLEM, "refused": Exit.REFUSED}


def require_engine(arguments: argparse.Namespace) -> EngineClient:
    """The client of this store's engine. Raises CommandError if none is running."""
    if (problem := engine_problem(arguments, fix=". Fix: headway engine")) is not None:
        raise CommandError(Exit.NO_ENGINE, f"nothing was requested: {problem}")
    return EngineClient(store_url_of(arguments))


def engine_problem(arguments: argparse.Namespace, fix: str = "") -> str | None:
    """The message that no engine is running, with `fix` where one may be started; None while one is running."""
    with store_reader(arguments) as reads:
        engine = reads.estate.engine()
    return None if engine.alive else no_engine_text(engine, fix)


def wait_for_answer(
    arguments: argparse.Namespace, requests: EngineClient, request_id: int, seconds: float = ANSWER_SECONDS
) -> dict[str, Any]:
    """The answer's data. Raises CommandError with the engine's reason, or without an engine that answers in time."""
    until = time.monotonic() + seconds
    while True:
        remaining = until - time.monotonic()
        requests.wait(request_id, min(ENGINE_CHECK_SECONDS, remaining))
        answer = requests.answer(request_id)  # one may have come since the last check
        if answer is not None and answer.ok:
            return answer.data
        if answer is not None:
            raise CommandError(Exit.NOT_FOUND if answer.data.get("not_found") else Exit.REFUSED, answer.error)
        if (problem := engine_problem(arguments)) is not None:
            raise CommandError(Exit.NO_ENGINE, f"{problem}; the request waits for the next engine. Fix: headway engine")
        if remaining <= ENGINE_CHECK_SECONDS:
            limit = format_duration(seconds)
            raise CommandError(
                Exit.REFUSED, f"the engine did not answer in {limit}; it still has the request. Next: headway status"
            )


def request_answer(
    arguments: argparse.Namespace, request: ClientRequest, seconds: float = ANSWER_SECONDS
) -> dict[str, Any]:
    """The engine's answer to the request. Raises CommandError as `require_engine` and `wait_for_answer`."""
    requests = require_engine(arguments)
    return wait_for_answer(arguments, requests, requests.ask(request), seconds)


def preview_lines(job: str, data: dict[str, Any], verb: Verb = Verb.RERUN) -> list[str]:
    """The preview of an action, with the native calls."""
    summary, scope = in_display_zone(verb_summary(data["verb"], data["summary"])), in_display_zone(data["scope"])
    lines = [summary, f"  job       {job}", f"  scope     {scope}"]
    lines += [f"  affects   {name}" for name in data.get("affected", [])]
    if verb in STARTING:
        lines.append(f"  overlap   {data['overlap'] or 'not running'}")
    if verb is Verb.RERUN or (verb in STARTING and "safety" in data):
        lines.append(f"  rerun     {data.get('safety', 'ask')}{safety_source_text(data)}")
    lines += [f"  sends     {call}" for call in data.get("native_calls", [])]
    lines += [f"  note      {render(note, stamp)}" for note in preview_notes(data)]
    followers: Sequence[Sequence[Any]] = data.get("followers", []) if verb in STARTING else []
    if followers:
        count = counted(followers, "run")
        lines.append(f"  NOT sent: {count} still to repair after this one; headway recover plans all")
        lines += [f"    {name} (run {run_id}): {why}" for name, run_id, why in followers]
    return lines


def safety_source_text(preview: Mapping[str, Any]) -> str:
    """ ", set by mara 2026-11-20 03:12" where a person set the rerun safety; empty where the config did."""
    source = preview.get("safety_said")
    return f", set by {source[0]} {timestamp(instant(int(source[1])))}" if source else ""


def confirm_step(arguments: argparse.Namespace, job: str, data: dict[str, Any], verb: Verb = Verb.RERUN) -> bool:
    """Asks at the terminal. A step that is not declared safe, or may overlap, is confirmed by typing the shortest
    unique suffix of the job's name."""
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise CommandError(Exit.USAGE, "nothing was sent. Fix: --yes to send without a terminal")
    if verb is Verb.RERUN and data.get("safety") == "safe" and not overlaps(arguments, data, verb):
        return confirm("send this action?")
    why = "not declared safe: " if verb in STARTING else ""
    short = str(data.get("confirm", job))
    return prompt(f"{why}type {short} to confirm: ") in (short, job, job.partition("/")[2])


def overlaps(arguments: argparse.Namespace, data: dict[str, Any], verb: Verb) -> bool:
    """True if the run would overlap an active one, and is not queued after it."""
    return verb in STARTING and bool(data.get("overlap")) and getattr(arguments, "overlap", None) != "queue"


def refuse_overlap(arguments: argparse.Namespace, job: str, data: dict[str, Any], verb: Verb) -> None:
    """Raises CommandError if the job is running and no overlap was chosen. At a terminal the confirmation chooses."""
    choice = getattr(arguments, "overlap", None)
    if overlaps(arguments, data, verb) and choice != "allow" and (arguments.yes or choice == "refuse"):
        fix = "Fix: --overlap queue waits until that run ends, --overlap allow sends it now"
        raise CommandError(Exit.REFUSED, f"{job}: {data['overlap']}; nothing was sent. {fix}")


def with_reason(arguments: argparse.Namespace, send: Callable[[str], T]) -> T:
    """The result of `send` with the reason that was typed; at a terminal a required reason is prompted for.
    Raises NotAllowed."""
    try:
        return send(arguments.why or "")
    except ReasonNeeded as error:
        if arguments.yes or not sys.stdin.isatty():
            raise
        print_message(str(error))
        return send(prompt("reason: "))


def require_reason(arguments: argparse.Namespace, check: Callable[[], None]) -> None:
    """Raises ReasonNeeded where --yes forbids to ask for it; before a preview, which would read as accepted."""
    if arguments.yes and not (arguments.why or arguments.dry_run):
        try:
            check()
        except NotAllowed as error:
            if isinstance(error, ReasonNeeded):
                raise


def ask_reason_first(arguments: argparse.Namespace, check: Callable[[], None]) -> None:
    """Prompts for a required reason before any other question; a dry run prints why sending would be refused.
    `check` raises NotAllowed; a missing permission is refused, and audited, when the action is requested."""
    if arguments.why or arguments.yes or not (arguments.dry_run or sys.stdin.isatty()):
        return
    try:
        check()
    except NotAllowed as error:
        if arguments.dry_run:
            print_message(f"sending would be refused: {refusal_text(error)}")
        elif isinstance(error, ReasonNeeded):
            print_message(str(error))
            arguments.why = prompt("reason: ")


def send_action(arguments: argparse.Namespace, requests: EngineClient, request: ActionRequest) -> int:
    """Sends one action and watches it until its outcome is known; the exit code."""
    key = new_action_key()
    try:
        with_reason(arguments, lambda why: requests.act(replace(request, why=why), key))
    except AlreadyRequested as error:
        raise CommandError(Exit.REFUSED, str(error)) from None
    print_message(f"requested as {key}; {watch_hint(arguments)}")
    return watch_action(arguments, request.run_id, key)


def watch_hint(arguments: argparse.Namespace) -> str:
    """How long the command watches."""
    if not arguments.timeout:
        return "not watched (--timeout 0); the action goes on"
    limit = format_duration(arguments.timeout)
    return f"watching until it ends, at most {limit} (--timeout); Ctrl-C stops watching only"


def watch_action(arguments: argparse.Namespace, run_id: int | None, key: str) -> int:
    """Follows an action, of a run or, without one, of a job: a line on stderr for each change and each minute, and its
    outcome on stdout (with --json on stderr), until it ends or `--timeout`."""
    begin, state, minutes = time.monotonic(), "", 1
    while True:
        with store_reader(arguments) as reads:
            action = next((action for action in reads.actions.list_actions(run_id=run_id) if action.key == key), None)
        if action is not None and action.state != state:
            state = action.state
            text = f"{state}: {action.text}" if action.text else state
            if state in ACTION_EXITS and not arguments.json:  # with --json stdout is the one document
                print_parts([text])
            else:
                print_message(text)
        if state in ACTION_EXITS:
            return ACTION_EXITS[state]
        waited = time.monotonic() - begin
        if waited > arguments.timeout:
            limit = format_duration(arguments.timeout)
            withdraw = f"; withdraw it: headway action withdraw {key}" if state == "requested" else ""
            print_message(
                f"still {state or 'requested'} after {limit}; the action goes on. Status: headway action{withdraw}"
            )
            return Exit.UNKNOWN
        if waited > minutes * PROGRESS_SECONDS:
            minutes += 1
            print_message(f"{format_duration(waited)}: {engine_problem(arguments) or waiting_text(action)}")
        time.sleep(ACTION_CHECK_SECONDS)


def waiting_text(action: ActionView | None) -> str:
    """The event that an open action waits for."""
    if action is None or action.state == "requested":
        text = (action.text if action is not None else "") or "waits for the engine"
    elif action.state == "sending":
        text = "waits for the scheduler to answer"
    elif action.state == "unknown":
        detail = f" ({action.text})" if action.text else ""
        text = f"outcome unknown of {action.job}: checking the scheduler{detail}"
    else:
        text = f"waits for the outcome of the {action.verb.replace('_', ' ')} of {action.job}"
    return f"{text}; Ctrl-C stops watching only"


WHY_HELP = "reason, kept with the action; required for the tiers in reason_tiers"


def sending(watched_seconds: float) -> tuple[Argument, ...]:
    """Options of every command that sends an action."""
    return (
        flag("--yes", "send without asking"),
        flag("--dry-run", "show what would be sent, and send nothing"),
        option("--why", WHY_HELP, "TEXT", default=""),
        timeout("how long to watch the action; 0 does not wait", watched_seconds),
        JSON,
    )


SENDING = sending(3600)
OVERLAP = option(
    "--overlap",
    "if the job is running already: refuse (default), queue until it ends, or allow",
    choices=("refuse", "queue", "allow"),
)
AT_ONCE = option("--at-once", "maximum concurrent actions per system (default 1)", "N", type=positive_number, default=1)
