"""`headway job SYSTEM/ID`: one job, all that is known of it; `--run DATE`: its runs of one date; `--set`: its card.

At a terminal it opens the console there; `--plain`, `--json` and whatever reads its output get lines.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING

from console.cli.common import (
    JOB,
    Stop,
    business_date,
    count,
    day_words,
    now_of,
    print_json,
    reading,
    watched,
)
from console.cli.console import add_place, open_at, opens
from console.cli.exits import Exit
from console.cli.jobs import state_words
from console.cli.plain import tell, tell_table
from console.cli.runs import run_rows
from console.durations import duration_words, share_below
from console.model.views import CardView, JobView, RunRow, RunView

if TYPE_CHECKING:
    from console.store.reads import Reads

LOG_LINES = 15


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="JOB", help=JOB)
    parser.add_argument("--run", metavar="DATE", help="its run of this business date: 2026-11-19")
    parser.add_argument(
        "--set",
        dest="card",
        nargs="+",
        metavar="FIELD=TEXT",
        help="write owner=, runbook= or rerun=safe|ask|never on its card; an empty TEXT takes back what was said",
    )
    parser.add_argument("--why", default="", metavar="TEXT", help="--set: for the audit")
    parser.add_argument("--yes", action="store_true", help="--set: do not ask")
    add_place(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.card is not None:
        if arguments.run is not None:
            raise Stop(Exit.USAGE, "--run does not go with --set: a card is of the job, not of one run")
        from console.cli.card import edit

        return edit(arguments)
    if opens(arguments):
        with reading(arguments) as reads:
            row = reads.job(arguments.name).row  # one that there is not is told here, not behind a screen
            runs = _runs_on(reads, row.id, row.name, arguments.run) if arguments.run is not None else []
        return open_at(arguments, ("run", runs[0].id) if runs else ("job", row.id))
    return _print_runs(arguments) if arguments.run is not None else _print_job(arguments)


def _runs_on(reads: Reads, job_id: int, name: str, typed: str) -> Sequence[RunRow]:
    """The job's runs of that date, newest first. Raises Stop where it is none (only here: a job that there is not is
    told first), or the job has no run of it."""
    bd = _date(typed)
    found = reads.runs_on(job_id, bd)
    if not found:
        latest = dict.fromkeys(one.bd for one in reads.runs(job_id, 20))
        near = f"its latest are of {', '.join([*latest][:3])}" if latest else "it has no run yet"
        raise Stop(Exit.NOT_FOUND, f"{name} has no run of {bd}; {near}: headway runs {name}")
    return found


def _date(typed: str) -> str:
    try:
        return business_date(typed)
    except argparse.ArgumentTypeError as error:
        raise Stop(Exit.USAGE, f"argument --run: {error}") from None


def _print_runs(arguments: argparse.Namespace) -> int:
    with watched(arguments) as reads:
        row = reads.job(arguments.name).row
        views = [reads.run(one.id) for one in _runs_on(reads, row.id, row.name, arguments.run)]
        now = now_of(reads)
    if arguments.json:
        print_json(arguments, views)
        return Exit.OK
    tell(arguments, [f"{row.name}  business date {_date(arguments.run)}", ""])
    tell_table(arguments, *run_rows([one.row for one in views], now))
    tell(arguments, [line for one in views for line in _attempt_lines(one)])
    return Exit.OK


def _attempt_lines(view: RunView) -> list[str]:
    """Each try of a run, and the end of its log."""
    lines = ["", f"run {view.row.id}, {view.row.period_key}"]
    for one in view.attempts:
        native = f", its scheduler says {one.native_state}" if one.native_state else ""
        lines.append(f"  attempt {one.number}: {one.state} ({one.evidence}){native}  {one.message}".rstrip())
    if view.log:
        lines += [f"  | {line}" for line in view.log.splitlines()[-LOG_LINES:]]
    return [*lines, f"  its log: headway log {view.row.job} --run {view.row.id}"]


def _print_job(arguments: argparse.Namespace) -> int:
    with watched(arguments) as reads:
        view = reads.job(arguments.name)
        starts = reads.unscheduled_starts(view.row.id)
        now = now_of(reads)
    usual = _usual(starts)
    if arguments.json:
        print_json(arguments, {**{one.name: getattr(view, one.name) for one in fields(view)}, "cadence": usual})
        return Exit.OK
    tell(arguments, job_lines(view, now))
    if usual:
        tell(arguments, [f"cadence     {usual}"])
    coming = [day_words(at, now) for at in view.coming] or [day_words(view.row.next, now)]
    tell(arguments, ["", f"next  {', '.join(coming)}", ""])
    tell_table(arguments, *run_rows(view.runs[:15], now))
    return Exit.OK


def _usual(starts: tuple[str, tuple[int, ...]] | None) -> str:
    """The cadence of a job whose schedule nobody can read, in words; empty where none was learned."""
    if starts is None:
        return ""
    from console.control.cadence import learned

    zone, seconds = starts
    found = learned(seconds, zone)
    if found is None:
        return ""
    return found.words if found.is_sure else f"{found.words}, too unsure to expect it"


def job_lines(view: JobView, now: datetime) -> list[str]:
    """The job as lines of text."""
    row = view.row
    lines = [
        f"{row.name}  {state_words(row, now)}",
        *([f"not watched {view.left_out}"] if view.left_out else []),
        f"timeliness  {row.timeliness.replace('_', ' ')}" + (f", told {row.evidence}" if row.state else ""),
        f"schedule    {row.schedule or '–'}",
        f"runs        {view.definition or '–'}",
    ]
    lines += [f"run as      {view.run_as or '–'}", f"evidence    this source proves: {view.proof}"]
    lines += [
        f"takes       {_takes(view)}",
        *_last(view, now),
        *(f"{one.field:<11} {one.value or '–'}{_by(one, now)}" for one in view.card),
    ]
    lines.append(f"services    {', '.join(view.services) or '–'}")
    lines += [f"upstream    {name} ({origin})" for name, origin in view.upstreams]
    lines += [f"waits for   {words}" for words in view.waits]
    lines += [f"downstream  {name} ({origin})" for name, origin in view.downstreams]
    lines += [f"finding     {one.rule.replace('_', ' ')}: {one.with_source}" for one in view.findings]
    return lines + [f"drift       {one.what}: {one.words}" for one in view.drift]


def _by(one: CardView, now: datetime) -> str:
    return f", said by {one.said_by} {day_words(one.said_at, now)}" if one.said_by else ""


def _last(view: JobView, now: datetime) -> list[str]:
    """How long the newest run took, and its place among the good ones before it."""
    timed = [(run, seconds) for run in view.runs if (seconds := run.lasted_s(now)) is not None]
    before = [seconds for run, seconds in timed[1:] if not run.is_red]
    if not before:
        return []
    words = f"{duration_words(timed[0][1])}{' so far' if timed[0][0].ended is None else ''}"
    longer = round(100 * share_below(timed[0][1], before))
    return [f"last        {words}: longer than {longer} % of {count(before, 'good run')} before it"]


def _takes(view: JobView) -> str:
    if view.p50_s is not None and view.p90_s is not None:
        return f"p50 {duration_words(view.p50_s)}, p90 {duration_words(view.p90_s)}: history ({view.history_runs} runs)"
    if view.expected_s is not None:
        return f"{duration_words(view.expected_s)}: declared"
    return f"no estimate ({view.history_runs} runs)"
