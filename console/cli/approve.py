"""`headway approvals` and `headway approve KEY`: what another person must say yes to, within the hour."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from connectors.words import Verb
from console.cli.asking import answered, require_engine
from console.cli.common import Stop, confirmed, now_of, print_json, reading, say, say_lines, since_words, stamp, until
from console.cli.exits import Exit
from console.cli.table import Col, print_table
from console.engine.requests import Requests
from console.engine.wishes import Wish

if TYPE_CHECKING:
    from console.store.reads.audit import ApprovalView

COLUMNS = (
    Col("key"), Col("asked by", drop=4), Col("when", drop=3), Col("until", drop=1), Col("verb"),
    Col("job", 16, middle=True), Col("why", 10, drop=2),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true")
    if parser.prog.endswith(" approve"):
        parser.add_argument("key", help="as `headway approvals` lists it")
        parser.add_argument("--yes", action="store_true", help="approve without asking")


def run(arguments: argparse.Namespace) -> int:
    return approve(arguments) if arguments.command == "approve" else show(arguments)


def show(arguments: argparse.Namespace) -> int:
    with reading(arguments) as reads:
        waiting, now = reads.approvals(), now_of(reads)
    if arguments.json:
        print_json(arguments, waiting)
    else:
        cells = [(one.key, one.requested_by, since_words(one.requested, now), until(one.until, now), one.verb, one.job,
                  one.why or "–") for one in waiting]  # fmt: skip
        print_table(COLUMNS, cells)
    return Exit.OK


def approve(arguments: argparse.Namespace) -> int:
    with reading(arguments) as reads:
        waiting = next((one for one in reads.approvals() if one.key == arguments.key), None)
    if waiting is None:
        raise Stop(Exit.NOT_FOUND, f'nothing waits for approval as "{arguments.key}"; see: headway approvals')
    requests = require_engine(arguments)
    if not waiting.words:
        waiting = _previewed(arguments, requests, waiting)
    if arguments.json:
        print_json(arguments, {"approval": waiting, "approved": False})
    else:
        say_lines(_what(waiting))
    if not confirmed(arguments, "approve it?", "nothing was approved", "approve"):
        raise Stop(Exit.REFUSED, "nothing was approved")
    answered(arguments, requests, requests.approve(arguments.key))
    if arguments.json:
        print_json(arguments, {"approval": waiting, "approved": True})
    else:
        say_lines([f"{waiting.key}: approved; the engine looks at it once more and sends it"])
    return Exit.OK


def _previewed(arguments: argparse.Namespace, requests: Requests, one: ApprovalView) -> ApprovalView:
    """What its scheduler would be sent, asked now: nobody should approve what he cannot see."""
    of_job = one.job_id if one.run_id is None else None
    wish = Wish(Verb(one.verb), one.run_id, of_job, parameters=one.parameters)
    try:
        return one.previewed(answered(arguments, requests, requests.preview(wish)))
    except Stop as error:
        if error.code is not Exit.REFUSED:
            raise
        say(f"what it would send is not known: {error}")
        return one


def _what(one: ApprovalView) -> list[str]:
    lines = [f"{one.verb.replace('_', ' ')} {one.job}", *(f"  {label:<9} {text}" for label, text in one.told)]
    return [
        *lines,
        f"  asked at  {stamp(one.requested)}",
        f"  until     {stamp(one.until)}; later it must be asked anew",
    ]
