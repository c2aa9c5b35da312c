"""`headway withdraw [KEY]`: what was asked for and not sent is taken back; what nobody can tell of is given up."""

from __future__ import annotations

import argparse

from console.cli.asking import answered, require_engine
from console.cli.common import Stop, confirmed, now_of, print_json, reading, say_lines, since_words
from console.cli.exits import Exit
from console.cli.table import Col, print_table
from console.model.views import ActionView

COLUMNS = (
    Col("key"), Col("state"), Col("asked by", drop=2), Col("when", drop=1), Col("verb"), Col("job", 16, middle=True),
    Col("waits for", 16, drop=3),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", nargs="?", help="as the list without it names it")
    parser.add_argument("--why", default="", metavar="TEXT", help="reason, kept in the audit")
    parser.add_argument("--yes", action="store_true", help="withdraw without asking")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    with reading(arguments) as reads:
        waiting, now = reads.withdrawable(), now_of(reads)
    if arguments.key is not None:
        return _withdraw(arguments, next((one for one in waiting if one.key == arguments.key), None))
    if arguments.json:
        print_json(arguments, waiting)
    else:
        cells = [(one.key, one.state, one.requested_by, since_words(one.requested, now), one.verb, one.job, one.words)
                 for one in waiting]  # fmt: skip
        print_table(COLUMNS, cells)
    return Exit.OK


def _withdraw(arguments: argparse.Namespace, found: ActionView | None) -> int:
    if found is None:
        words = f'nothing that can be taken back was asked for as "{arguments.key}"; see: headway withdraw'
        raise Stop(Exit.NOT_FOUND, words)
    requests = require_engine(arguments)
    if not arguments.json:
        say_lines(_what(found))
    if not confirmed(arguments, "withdraw it?", "nothing was withdrawn", "withdraw"):
        raise Stop(Exit.REFUSED, "nothing was withdrawn")
    answered(arguments, requests, requests.withdraw(found.key, arguments.why))
    if arguments.json:
        print_json(arguments, {"action": found, "withdrawn": True})
    else:
        say_lines([f"{found.key}: withdrawn" if found.state == "requested" else f"{found.key}: given up"])
    return Exit.OK


def _what(one: ActionView) -> list[str]:
    lines = [f"{one.verb} {one.job}", f"  asked by  {one.requested_by}", f"  state     {one.state}"]
    lines += [f"  says      {one.words}"] if one.words else []
    risk = "  note      it may have arrived: asked for again, its job may run twice. Look at its scheduler first"
    return [*lines, risk] if one.state == "unknown" else lines
