"""`headway hold JOB`: keeps a job from starting, under a mark at its scheduler; `headway release JOB` lets it go:
what came due meanwhile Headway starts once afterwards, unless the job's own clock is about to start it."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

from connectors.words import Verb
from console.cli.asking import (
    ANSWER_SECONDS,
    WHY,
    answered,
    confirmed,
    preview_lines,
    reason_first,
    require_engine,
    with_reason,
)
from console.cli.common import JOB, Stop, print_json, reading, say, say_lines, stamp, wait_seconds
from console.cli.exits import Exit
from console.control.gate import Standing, judge
from console.durations import duration_words, parse_duration
from console.engine.origin import mark_name
from console.engine.requests import Requests
from console.engine.wishes import AlreadyAsked, Wish
from console.model.holding import length_fault
from console.model.ids import new_action_key
from console.model.views import ActionView, HoldView
from console.store.errors import NotFound
from console.store.reads import Reads

HOLD_FOR = timedelta(hours=6)


def _duration(text: str) -> timedelta:
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if fault := length_fault(found):
        raise argparse.ArgumentTypeError(f"{text}: {fault}")
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="JOB", help=f"{JOB}; for release also the key of a hold")
    if parser.prog.endswith(" hold"):
        parser.add_argument(
            "--for",
            dest="hold_for",
            type=_duration,
            default=HOLD_FOR,
            metavar="TIME",
            help="let go after this (6h; 30d at most)",
        )
    parser.add_argument("--yes", action="store_true", help="send without asking")
    parser.add_argument("--dry-run", action="store_true", help="show what would be sent, and send nothing")
    parser.add_argument("--why", default="", metavar="TEXT", help=WHY)
    parser.add_argument("--timeout", type=wait_seconds, default=120.0, metavar="SECONDS", help="watch that long (120)")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    with reading(arguments) as reads:
        wish, job, note = (_holding if arguments.command == "hold" else _releasing)(arguments, reads)
    requests = require_engine(arguments)
    data = answered(arguments, requests, requests.preview(wish), ANSWER_SECONDS)
    if arguments.json:
        print_json(arguments, {key: value for key, value in data.items() if key != "plan"})
    elif not data.get("refused"):  # what is refused is not shown as if it were sent
        say_lines([*preview_lines(job, data, wish.verb), *note])
    if data.get("refused"):
        raise Stop(Exit.REFUSED, f"{job}: {data['refused']}; nothing was sent")
    reason_first(arguments, lambda: requests.check([wish]))
    if arguments.dry_run:
        return Exit.OK
    if not confirmed(arguments, job, data, wish.verb):
        raise Stop(Exit.REFUSED, "nothing was sent")
    return _send(arguments, requests, wish)


def _holding(arguments: argparse.Namespace, reads: Reads) -> tuple[Wish, str, list[str]]:
    job = reads.job(arguments.name).row
    held = [one for one in reads.holds() if one.job_id == job.id]
    if held:
        raise Stop(Exit.REFUSED, f"{held[0].stands}: {_line(held[0])}; nothing was sent")
    until = (reads.now() + arguments.hold_for).replace(microsecond=0)
    parameters: dict[str, Any] = {"by": mark_name(), "until": until.isoformat().replace("+00:00", "Z")}
    return Wish(Verb.HOLD, job_id=job.id, parameters=parameters, why=arguments.why), job.name, []


def _releasing(arguments: argparse.Namespace, reads: Reads) -> tuple[Wish, str, list[str]]:
    hold = reads.hold(arguments.name)
    if hold.state not in ("held", "found"):
        raise Stop(Exit.REFUSED, f"{hold.stands}: {_line(hold)}; nothing was sent")
    wish = Wish(Verb.RELEASE, job_id=hold.job_id, parameters={"hold": hold.key}, why=arguments.why)
    return wish, hold.job, _unfinished(reads, hold)


def _unfinished(reads: Reads, hold: HoldView) -> list[str]:
    """What it reads when it is started after its release, where that is not good: a person decides that."""
    try:
        view = reads.gate(hold.job, hold.period_key)
    except NotFound:
        return []  # its source names its starts, and no run is expected
    verdict = judge(view, True, reads.now())
    if not view.bd or view.at > reads.now() or verdict.standing is Standing.SATISFIED:
        return []
    return [f"{verdict.words}: what came due is started all the same, and reads what is not finished"]


def _line(hold: HoldView) -> str:
    return f"{hold.told} (hold {hold.key}, until {stamp(hold.until)})"


def _send(arguments: argparse.Namespace, requests: Requests, wish: Wish) -> int:
    key = new_action_key()
    try:
        with_reason(arguments, lambda why: requests.act(replace(wish, why=why), key))
    except AlreadyAsked as error:
        raise Stop(Exit.REFUSED, str(error)) from None
    say(f"asked as {key}")
    begun, told = time.monotonic(), ""
    while time.monotonic() - begun < arguments.timeout:
        action = _action(arguments, key)
        if action is not None and action.state != told:
            told = action.state
            say(f"{action.state}: {action.words}" if action.words else action.state)
        if told in ("verified", "failed", "refused"):
            return {"verified": Exit.OK, "failed": Exit.PROBLEM}.get(told, Exit.REFUSED)
        time.sleep(0.1)
    say(f"still {told} after {duration_words(arguments.timeout)}; it goes on without this command: headway holds")
    return Exit.UNKNOWN


def _action(arguments: argparse.Namespace, key: str) -> ActionView | None:
    with reading(arguments) as reads:
        return next((one for one in reads.actions() if one.key == key), None)
