"""`headway backfill JOB --from DATE --to DATE`: the periods that a job has not done well, as one plan, oldest first."""

from __future__ import annotations

import argparse
from datetime import date

from console.cli.asking import add_sending_arguments
from console.cli.common import JOB, Stop, positive_number, print_json, reading, say_lines
from console.cli.exits import Exit
from console.cli.planning import add_at_once_argument, carry_out, document, draft_lines, proposal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="JOB", help=JOB)
    parser.add_argument("--from", dest="first", type=_date, required=True, metavar="DATE", help="first business date")
    parser.add_argument("--to", dest="last", type=_date, required=True, metavar="DATE", help="last one, included")
    parser.add_argument(
        "--limit",
        type=positive_number,
        metavar="N",
        help="the oldest so many periods (without it, more than 31 are refused)",
    )
    parser.add_argument("--unseen", action="store_true", help="also periods from before Headway first saw the job")
    add_at_once_argument(parser)
    add_sending_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.last < arguments.first:
        raise Stop(Exit.USAGE, f"--to {arguments.last} is before --from {arguments.first}")
    with reading(arguments) as reads:
        view = reads.job(arguments.name)
    draft = proposal(
        arguments,
        lambda requests: requests.propose_backfill(
            view.row.id, arguments.first, arguments.last, arguments.limit, arguments.unseen
        ),
    )
    if not draft.steps:
        if arguments.json:
            print_json(arguments, document(draft, None))
        else:
            say_lines(draft_lines(draft))
        return Exit.PROBLEM if draft.notes else Exit.OK
    return carry_out(arguments, draft, view.row.name.rpartition("/")[2])


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!a} is no date; write 2026-11-19") from None
