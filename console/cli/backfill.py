"""`headway backfill JOB --from DATE --to DATE`: the periods that a job has not done well, as one plan, oldest first.
With `--native` its scheduler's own backfill, which `--pause`, `--resume` and `--cancel` change; `--list` has them."""

from __future__ import annotations

import argparse
from datetime import date
from typing import Any

from connectors.words import Verb
from console.cli.asking import add_sending_arguments
from console.cli.backfills import listed
from console.cli.common import JOB, Stop, positive_number, print_json, reading, say_lines
from console.cli.exits import Exit
from console.cli.planning import add_at_once_argument, carry_out, document, draft_lines, proposal
from console.cli.rerun import step
from console.engine.wishes import Wish
from console.model.plans import Draft

CHANGES = ("pause", "resume", "cancel")
REPROCESS = ("none", "failed", "completed")
USAGE = """%(prog)s JOB --from DATE --to DATE [options]
       %(prog)s JOB --from DATE --to DATE --native [options]
       %(prog)s JOB {--pause | --resume | --cancel} N [options]
       %(prog)s [JOB] --list [--json]"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = USAGE
    parser.add_argument("name", metavar="JOB", nargs="?", help=JOB)
    parser.add_argument(
        "--from",
        dest="first",
        type=_date,
        metavar="DATE",
        help="first business date; with --native: from its midnight, UTC, on",
    )
    parser.add_argument("--to", dest="last", type=_date, metavar="DATE", help="last one, included")
    parser.add_argument(
        "--limit",
        type=positive_number,
        metavar="N",
        help="the oldest so many periods (without it, more than 31 are refused)",
    )
    parser.add_argument("--unseen", action="store_true", help="also periods from before Headway first saw the job")
    native = parser.add_mutually_exclusive_group()
    native.add_argument("--native", action="store_true", help="one backfill of the scheduler's own (Airflow 3)")
    native.add_argument("--list", action="store_true", help="the schedulers' own ones that are under way")
    for change in CHANGES:
        native.add_argument(f"--{change}", type=positive_number, metavar="N", help=f"{change} its own backfill N")
    parser.add_argument("--reprocess", choices=REPROCESS, help="with --native: runs that are there to run again (none)")
    add_at_once_argument(parser)
    add_sending_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    changed = next((change for change in CHANGES if getattr(arguments, change) is not None), None)
    _refuse_idle(arguments, changed)
    if arguments.list:
        return listed(arguments)
    if arguments.name is None:
        raise Stop(Exit.USAGE, "say of which job: headway backfill JOB; --list alone is about all of them")
    if changed is None and (arguments.first is None or arguments.last is None):
        raise Stop(Exit.USAGE, "say from when to when: --from DATE --to DATE")
    if changed is None and arguments.last < arguments.first:
        raise Stop(Exit.USAGE, f"--to {arguments.last} is before --from {arguments.first}")
    with reading(arguments) as reads:
        view = reads.job(arguments.name)
    if changed is not None or arguments.native:
        wish = Wish(Verb.BACKFILL, job_id=view.row.id, parameters=_native(arguments, changed))
        return step(arguments, view.row.name, wish)

    def propose() -> Draft:
        span = (arguments.first, arguments.last, arguments.limit, arguments.unseen)
        return proposal(arguments, lambda requests: requests.propose_backfill(view.row.id, *span))

    draft = propose()
    if not draft.steps:
        if arguments.json:
            print_json(arguments, document(draft, None))
        else:
            say_lines(draft_lines(draft))
        return Exit.PROBLEM if draft.notes else Exit.OK
    return carry_out(arguments, draft, view.row.name.rpartition("/")[2], again=propose)


def _refuse_idle(arguments: argparse.Namespace, changed: str | None) -> None:
    """Nobody asks for less than what is sent: an option that would say nothing is refused."""
    way = "list" if arguments.list else "native" if arguments.native else changed
    if way is None and arguments.reprocess:
        raise Stop(Exit.USAGE, "--reprocess goes with --native; without it what did well is not run again")
    idle = {"--limit": arguments.limit, "--unseen": arguments.unseen} if way else {}
    if way and way != "native":
        idle |= {"--from": arguments.first, "--to": arguments.last, "--reprocess": arguments.reprocess}
    for name in (name for name, given in idle.items() if given):
        mend = "give the dates that are meant" if way == "native" else "leave it out"
        raise Stop(Exit.USAGE, f"{name} says nothing with --{way}: {mend}")


def _native(arguments: argparse.Namespace, changed: str | None) -> dict[str, Any]:
    """What is asked of the scheduler's own backfills. Its days begin at midnight, UTC."""
    if changed is not None:
        return {"do": changed, "backfill": getattr(arguments, changed)}
    span = {"from": f"{arguments.first}T00:00:00Z", "to": f"{arguments.last}T23:59:59Z"}
    return {"do": "create", **span, "reprocess": arguments.reprocess or "none", "at_once": arguments.at_once}


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!a} is no date; write 2026-11-19") from None
