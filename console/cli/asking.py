"""Asking the engine from a command: a question, its answer, and an action watched until the scheduler has spoken."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from connectors.words import STARTING, Verb
from console.cli.common import Stop, agreed, reading, say, say_lines, stamp, store_of, typed, wait_seconds
from console.cli.exits import Exit
from console.durations import duration_words
from console.engine.plan_requests import PlanRequests
from console.engine.requests import Requests
from console.engine.wishes import AlreadyAsked, Wish
from console.model.ids import instant, new_action_key
from console.model.views import ActionView
from console.store.errors import NotAllowed, ReasonNeeded

T = TypeVar("T")
ANSWER_SECONDS = 45.0
LOOK_SECONDS = 1.0
"""How often who waits for an answer looks whether there still is an engine."""
TELL_SECONDS = 60.0
"""How often who watches an action is told what it waits for."""
ENDED = {"verified": Exit.OK, "failed": Exit.PROBLEM, "refused": Exit.REFUSED}


def require_engine(arguments: argparse.Namespace) -> PlanRequests:
    """The way to ask this store's engine. Raises Stop when none works on it."""
    if (words := no_engine(arguments, mend=". Start one: headway engine")) is not None:
        raise Stop(Exit.NO_ENGINE, f"nothing was sent: {words}")
    return PlanRequests(store_of(arguments))


def no_engine(arguments: argparse.Namespace, mend: str = "") -> str | None:
    """That no engine works on this store, in words, with the mend where one may be started; None while one does."""
    with reading(arguments) as reads:
        engine = reads.engine()
    since = f" since {stamp(engine.heartbeat)}" if engine.heartbeat else ""
    return (
        None if engine.alive else f"no engine works on this store{since}{f': {engine.stuck}' if engine.stuck else mend}"
    )


def answered(
    arguments: argparse.Namespace, requests: Requests, request_id: int, seconds: float = ANSWER_SECONDS
) -> dict[str, Any]:
    """The answer's data. Raises Stop with the engine's reason, or without an engine that answers in time."""
    until = time.monotonic() + seconds
    while True:
        left = until - time.monotonic()
        requests.wait(request_id, min(LOOK_SECONDS, left))
        answer = requests.answer(request_id)  # one may have come since the last look
        if answer is not None and answer.ok:
            return answer.data
        if answer is not None:
            raise Stop(Exit.NOT_FOUND if answer.data.get("not_found") else Exit.REFUSED, answer.error)
        if (words := no_engine(arguments)) is not None:
            raise Stop(Exit.NO_ENGINE, f"{words}; it did not answer, and nothing was sent. Start one: headway engine")
        if left <= LOOK_SECONDS:
            words = f"the engine did not answer in {duration_words(seconds)}; nothing was sent. See: headway status"
            raise Stop(Exit.REFUSED, words)


def preview_lines(job: str, data: dict[str, Any], verb: Verb = Verb.RERUN) -> list[str]:
    """The step as it will be sent, in the scheduler's own words."""
    lines = [f"{data['verb']}: {data['words']}", f"  job       {job}", f"  scope     {data['scope']}"]
    lines += [f"  touches   {name}" for name in data.get("affected", [])]
    if verb in STARTING:
        lines.append(f"  overlap   {data['overlap'] or 'nothing of it runs now'}")
    if verb is Verb.RERUN or (verb in STARTING and "safety" in data):
        lines.append(f"  rerun     {data.get('safety', 'ask')}{said_words(data)}")
    lines += [f"  sends     {call}" for call in data.get("native_calls", [])]
    lines += [f"  note      {note}" for note in data.get("notes", [])]
    followers: Sequence[Sequence[Any]] = data.get("followers", []) if verb in STARTING else []
    if followers:
        lines += ["  after it, one by one:"] + [f"    {name} (run {run_id}): {why}" for name, run_id, why in followers]
    return lines


def said_words(preview: Mapping[str, Any]) -> str:
    """ ", said by mara 2026-11-20 03:12": where a person, not config, says how safe a rerun is; else empty."""
    said = preview.get("safety_said")
    return f", said by {said[0]} {stamp(instant(int(said[1])))}" if said else ""


def confirmed(arguments: argparse.Namespace, job: str, data: dict[str, Any], verb: Verb = Verb.RERUN) -> bool:
    """Asks at the terminal; a step that is not declared safe, or may overlap, wants the job's name typed:
    the shortest end of it that only this one has."""
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise Stop(Exit.USAGE, "nothing was sent: add --yes to send without a terminal")
    if verb is Verb.RERUN and data.get("safety") == "safe" and not overlaps(arguments, data, verb):
        return agreed("send it?")
    why = "not declared safe: " if verb in STARTING else ""
    short = str(data.get("confirm", job))
    return typed(f"{why}type {short} to send it: ") in (short, job, job.partition("/")[2])


def overlaps(arguments: argparse.Namespace, data: dict[str, Any], verb: Verb) -> bool:
    """True where it would run beside what runs now, and may not simply wait for that."""
    return verb in STARTING and bool(data.get("overlap")) and getattr(arguments, "overlap", None) != "queue"


def refuse_overlap(arguments: argparse.Namespace, job: str, data: dict[str, Any], verb: Verb) -> None:
    """Raises Stop where it runs now and nobody chose to send it then. At the terminal, typing its name chooses."""
    choice = getattr(arguments, "overlap", None)
    if overlaps(arguments, data, verb) and choice != "allow" and (arguments.yes or choice == "refuse"):
        words = "--overlap queue waits until it is over, --overlap allow sends it all the same"
        raise Stop(Exit.REFUSED, f"{job}: {data['overlap']}; nothing was sent. {words}")


def with_reason(arguments: argparse.Namespace, ask: Callable[[str], T]) -> T:
    """What `ask` gives with the reason that was typed; at a terminal it is asked for where it is all that is missing.
    Raises NotAllowed."""
    try:
        return ask(arguments.why or "")
    except ReasonNeeded as error:
        if arguments.yes or not sys.stdin.isatty():
            raise
        say(str(error))
        return ask(typed("why? "))


def reason_first(arguments: argparse.Namespace, check: Callable[[], None]) -> None:
    """Where a reason is wanted it is asked for before anything else is, and a dry run says what sending would take.
    `check` raises NotAllowed; who may not at all is refused, and told in the audit, when they ask."""
    if arguments.why or arguments.yes or not (arguments.dry_run or sys.stdin.isatty()):
        return
    try:
        check()
    except NotAllowed as error:
        if arguments.dry_run:
            say(f"to send it: {error}")
        elif isinstance(error, ReasonNeeded):
            say(str(error))
            arguments.why = typed("why? ")


def send(arguments: argparse.Namespace, requests: Requests, wish: Wish) -> int:
    """Sends one step and watches it until the scheduler's own word is there; the exit code."""
    key = new_action_key()
    try:
        with_reason(arguments, lambda why: requests.act(replace(wish, why=why), key))
    except AlreadyAsked as error:
        raise Stop(Exit.REFUSED, str(error)) from None
    say(f"asked as {key}; {watching(arguments)}")
    return watch(arguments, wish.run_id, key)


def watching(arguments: argparse.Namespace) -> str:
    """How long this command stays at it: a run may wait for hours, also for a person."""
    if not arguments.timeout:
        return "not watched (--timeout 0); it goes on without this command"
    long = duration_words(arguments.timeout)
    words = f"watched until it ends, for {long} at most (--timeout; 0 does not wait)"
    return f"{words}: Ctrl-C ends only this command"


def watch(arguments: argparse.Namespace, run_id: int | None, key: str) -> int:
    """Follows an action, of a run or, without one, of a job: a line on stderr for each change and each minute, until
    it ends or `--timeout`."""
    begun, told, minutes = time.monotonic(), "", 1
    while True:
        with reading(arguments) as reads:
            action = next((one for one in reads.actions(run_id=run_id) if one.key == key), None)
        if action is not None and action.state != told:
            told = action.state
            say(f"{action.state}: {action.words}" if action.words else action.state)
        if action is not None and action.state in ENDED:
            if not arguments.json:  # stdout is the one document; stderr and the exit code tell the end
                say_lines([f"{action.state}: {action.words}"])
            return ENDED[action.state]
        waited = time.monotonic() - begun
        if waited > arguments.timeout:
            return _not_over(action, arguments.timeout)
        if waited > minutes * TELL_SECONDS:
            minutes += 1
            say(f"{duration_words(waited)}: {no_engine(arguments) or waits_for(action)}")
        time.sleep(0.1)


def waits_for(action: ActionView | None) -> str:
    """What an action that has not ended waits for."""
    state = "requested" if action is None else action.state
    name = "" if action is None else f" of {action.job}"
    verb = "rerun" if action is None else str(action.verb).replace("_", " ")
    told = f" ({action.words})" if action is not None and action.words else ""
    return {
        "requested": (action.words if action is not None else "") or "waits for the engine to take it",
        "sending": "waits for the scheduler to answer",
        "unknown": f"the scheduler's answer was lost; it is asked whether it has it{name}{told}",
    }.get(state, f"waits for the scheduler's word on how the {verb}{name} ended") + "; Ctrl-C ends only this command"


def _not_over(action: ActionView | None, timeout: float) -> int:
    state = action.state if action else "requested"
    back = f"; headway withdraw {action.key} takes it back" if action is not None and state == "requested" else ""
    say(f"still {state} after {duration_words(timeout)}; it goes on without this command: headway status{back}")
    return Exit.UNKNOWN


WHY = "reason, kept with the action; wanted where a tier of the config's reason_tiers hangs on it"


def add_sending_arguments(parser: argparse.ArgumentParser) -> None:
    """What every command that sends something has."""
    parser.add_argument("--yes", action="store_true", help="send without asking")
    parser.add_argument("--dry-run", action="store_true", help="show the step and send nothing")
    parser.add_argument("--why", default="", metavar="TEXT", help=WHY)
    parser.add_argument(
        "--timeout",
        type=wait_seconds,
        default=3600.0,
        metavar="SECONDS",
        help="watch that long (3600); 0 does not wait",
    )
    parser.add_argument("--json", action="store_true", help="the preview as JSON")


def add_overlap_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--overlap",
        choices=("refuse", "queue", "allow"),
        help="while it runs already: refuse (default), queue until that is over, allow",
    )
