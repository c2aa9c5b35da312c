"""`headway findings`: what the rules see in jobs and runs, each with its figures and where its threshold comes from."""

from __future__ import annotations

import argparse
from datetime import datetime
from difflib import get_close_matches

from console.cli.common import JOB, Stop, now_of, positive_number, print_json, since_words, watched
from console.cli.exits import Exit
from console.cli.table import Col, print_table
from console.model.findings import Rule
from console.model.views import FindingView

COLUMNS = (
    Col("rule"), Col("tells", drop=2), Col("job", 24, middle=True), Col("since"), Col("what", 30),
    Col("threshold", drop=1), Col("from", 12, drop=3),
)  # fmt: skip
LIMIT = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--job", help=f"of this job only: {JOB}")
    parser.add_argument("--rule", help="of this rule only: too_long, stuck_waiting, …")
    parser.add_argument("--all", action="store_true", help="those that are over as well")
    parser.add_argument("--limit", type=positive_number, default=LIMIT, help=f"rows at most ({LIMIT})")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    if arguments.rule is not None and arguments.rule not in list(Rule):
        near = get_close_matches(arguments.rule, list(Rule), n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(Rule)}"
        raise Stop(Exit.USAGE, f'no rule "{arguments.rule}"; {hint}')
    with watched(arguments) as reads:
        job_id = reads.job(arguments.job).row.id if arguments.job else None
        found = reads.findings(job_id, arguments.rule or "", arguments.all, arguments.limit)
        now = now_of(reads)
    if arguments.json:
        print_json(arguments, found)
    else:
        print_table(COLUMNS, [_row(one, now) for one in found])
    return Exit.OK


def _row(one: FindingView, now: datetime) -> tuple[str, ...]:
    over = f" · over {since_words(one.closed, now)}" if one.closed else ""
    tells = "yes" if one.severity == "alert" else "no"
    rule = one.rule.replace("_", " ")
    return (
        rule,
        tells,
        one.job,
        since_words(one.since, now) + over,
        one.words,
        one.threshold or "–",
        one.source or "–",
    )
