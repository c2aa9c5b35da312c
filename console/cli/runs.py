"""`headway runs SYSTEM/ID`: the latest runs of a job; `headway runs FILTER`: of all jobs. Newest first."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime

from console.cli.common import now_of, positive_number, print_json, stamp, watched
from console.cli.exits import Exit
from console.cli.jobs import add_filter, add_view, view_of, wanted_of
from console.cli.table import Col, print_table
from console.durations import duration_words
from console.model.filters import JobFilter, split_filter
from console.model.views import RunRow

COLUMNS = (
    Col("run"), Col("bd", drop=3), Col("period", 20), Col("state", 10), Col("evidence", drop=2), Col("started"),
    Col("took"), Col("attempts", drop=1), Col("message", 10, drop=4),
)  # fmt: skip
ALL_COLUMNS = (Col("job", 24, middle=True), *COLUMNS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_filter(parser)
    parser.add_argument("--problems", action="store_true", help="only what needs a person")
    add_view(parser)
    parser.add_argument("--limit", type=positive_number, default=20)
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    """A single plain word is one job's name: it has runs, or is refused with what is near. All else is a filter."""
    with watched(arguments) as reads:
        now, view = now_of(reads), view_of("runs", arguments.view, reads)
        terms = [*split_filter(view.filter), *arguments.filter]
        wanted = wanted_of(terms, now, arguments.problems or view.problems)
        is_job = arguments.view is None and len(terms) == 1 and wanted == JobFilter(words=(terms[0],))
        if is_job:
            rows = reads.runs(reads.job(terms[0]).row.id, arguments.limit)
        else:
            rows = reads.runs_first_page(wanted, view.sort or "age", arguments.limit)
    if arguments.json:
        print_json(arguments, rows)
    elif is_job:
        print_table(*run_rows(rows, now))
    else:
        print_table(ALL_COLUMNS, [(one.job, *_row(one, now)) for one in rows])
    return Exit.OK


def run_rows(rows: Sequence[RunRow], now: datetime) -> tuple[Sequence[Col], list[tuple[str, ...]]]:
    """Columns and rows, in the order in which they were read."""
    return COLUMNS, [_row(one, now) for one in rows]


def _row(one: RunRow, now: datetime) -> tuple[str, ...]:
    end = one.ended or (now if one.state in ("running", "retrying") else None)
    took = duration_words((end - one.started).total_seconds()) if end and one.started else "–"
    state = f"{one.state} · {one.flags}" if one.flags else one.state
    words = one.message.splitlines()[0] if one.message else one.reason or one.partial_input
    start, attempts = stamp(one.started), str(one.attempts)
    return (str(one.id), one.bd, one.period_key, state, one.evidence, start, took, attempts, words[:60])
