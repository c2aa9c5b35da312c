"""Runs of a job or of all jobs, and the log of a run."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from connectors.sdk.states import is_open
from console.cli.arguments import (
    FILTER,
    JOB_HELP,
    VIEW,
    business_date,
    job_filter,
    positive_number,
    refuse_unknown_fields,
    saved_view,
    whole_number,
)
from console.cli.clock_format import clocked, period, stamp, timestamp
from console.cli.commands import JSON, Handler, flag, one_of, option
from console.cli.exits import CommandError, Exit
from console.cli.output import (
    PLAIN,
    Table,
    ValueColumn,
    print_lines,
    print_message,
    print_result,
    set_document,
    table,
)
from console.cli.reader import fresh_store_reader, no_engine_text, store_reader, store_url_of
from console.cli.requests import ANSWER_SECONDS, wait_for_answer
from console.domain.filter import JobFilter, split_filter
from console.domain.job import JobView
from console.domain.run import RunRow, RunView, evidence_text
from console.engine.api.client import EngineClient
from console.engine.api.requests import CompareLogs, ReadLog
from console.store.errors import NotFound
from console.text.cleaning import clean
from console.timing.durations import format_duration

if TYPE_CHECKING:
    from console.store.queries import Queries


def run_runs(arguments: argparse.Namespace) -> int:
    """A single plain word is the number of a run or the name of a job, and an unknown one is an error. Anything else is
    a filter."""
    with fresh_store_reader(arguments) as reads:
        now, view = reads.now(), saved_view("runs", arguments.view, reads)
        terms = [*split_filter(view.filter), *arguments.filter]
        filters = job_filter(terms, now, arguments.problems or view.problems)
        is_name = arguments.view is None and len(terms) == 1 and filters == JobFilter(terms=(terms[0],))
        numbered = _numbered_run(terms[0], reads) if is_name else []
        if is_name:
            runs = numbered or reads.runs.list_runs(_job_id(terms[0], reads), arguments.limit)
        else:
            refuse_unknown_fields(terms, reads)
            runs = reads.run_table.runs_first_page(filters, view.sort or "age", arguments.limit)
    return print_result(arguments, runs, run_table(runs, now, with_job=bool(numbered) or not is_name))


def _numbered_run(typed: str, reads: Queries) -> list[RunRow]:
    """The run with this number; empty without one."""
    try:
        return [reads.runs.run(whole_number(typed)).row]
    except (NotFound, argparse.ArgumentTypeError):
        return []


def named_job(reads: Queries, typed: str) -> JobView:
    """The job of this name, or the only one whose name contains it."""
    try:
        return reads.jobs.job(typed)
    except NotFound as error:
        holding = [name for name in error.near if typed in name and "/" not in typed]
        if len(holding) != 1:
            raise
        return reads.jobs.job(holding[0])


def job_to_change(reads: Queries, typed: str, arguments: argparse.Namespace) -> JobView:
    """As `named_job` where a person confirms the action. With --yes the full name is not shown: a part of it may become
    that of another job, and does not suffice."""
    return reads.jobs.job(typed) if arguments.yes else named_job(reads, typed)


def _job_id(name: str, reads: Queries) -> int:
    """The job of this name. Raises NotFound; CommandError for what reads like an unknown field of a filter."""
    try:
        return named_job(reads, name).row.id
    except NotFound:
        if ":" in name:
            refuse_unknown_fields([name], reads)
        raise


def period_text(run: RunRow) -> str:
    """Its planned start, with its partition; the period key of a run without one."""
    return run.period_text(stamp, period)


def run_table(runs: Sequence[RunRow], now: datetime, with_job: bool = False) -> Table:
    """The runs of one job, or `with_job` of several, in their order."""

    def duration(run: RunRow) -> str:
        end = run.ended or (now if run.state in ("running", "retrying") else None)
        return format_duration((end - run.started).total_seconds()) if end and run.started else "–"

    def message(run: RunRow) -> str:
        first_line = next(iter((run.message or clocked(run.reason, run.period)).splitlines()), "")
        return first_line or run.partial_input

    columns: list[ValueColumn[RunRow]] = [
        ValueColumn("job", lambda run: run.job, 24, middle=True),
        ValueColumn("run", lambda run: str(run.id)),
        ValueColumn("date", lambda run: run.business_date, drop=3),
        ValueColumn("period", period_text, 24),
        ValueColumn("state", lambda run: f"{run.state} · {run.flags}" if run.flags else run.state, 10),
        ValueColumn("evidence", lambda run: evidence_text(run.evidence), drop=2),
        ValueColumn("started", lambda run: timestamp(run.started or run.first_started)),
        ValueColumn("duration", duration),
        ValueColumn("attempts", lambda run: str(run.attempts), drop=1),
        ValueColumn("message", message, 10, drop=4),
    ]
    return table(runs, *columns[not with_job :])


FOLLOW_SECONDS = 1.0
"""How often the log of a running attempt is read on."""


def run_log(arguments: argparse.Namespace) -> int:
    with store_reader(arguments) as reads:
        job = named_job(reads, arguments.name)
        run_id = job.row.run_id if arguments.run is None else arguments.run
        if arguments.date is not None:
            run_id = runs_on_date(reads, job.row.id, job.row.name, arguments.date)[0].id
        if run_id is None:
            raise CommandError(Exit.NOT_FOUND, f"{job.row.name} has no run yet")
        view = reads.runs.run(run_id)
        if view.row.job_id != job.row.id:
            raise CommandError(Exit.NOT_FOUND, f"run {run_id} belongs to {view.row.job}, not to {job.row.name}")
        engine = reads.estate.header().engine
    attempt = _attempt_id(view, arguments.attempt)
    if (arguments.diff or arguments.follow) and not engine.alive:
        raise CommandError(Exit.NO_ENGINE, f"the logs cannot be fetched: {no_engine_text(engine)}")
    if arguments.follow:
        return _follow_log(arguments, run_id, attempt)
    if arguments.diff:
        return _log_difference(arguments, EngineClient(store_url_of(arguments)), job.row.name, run_id, attempt)
    fetched = _fetch_log(EngineClient(store_url_of(arguments)), view, attempt) if engine.alive else None
    is_older = attempt is not None and arguments.attempt != max(item.number for item in view.attempts)
    if fetched is None and is_older:
        raise CommandError(
            Exit.NOT_FOUND, "only the tail of the latest attempt is stored; a running engine fetches the others"
        )
    if fetched is None and not view.log:
        fix = "" if engine.alive else f"; {no_engine_text(engine)}"
        raise CommandError(Exit.NOT_FOUND, f"{view.log_error or 'Log not available'}{fix}")
    text, is_cut = fetched or (view.log, view.log_cut)
    if arguments.json:
        source = "kept tail" if fetched is None else "scheduler"
        set_document(
            arguments, {"job": job.row.name, "run": run_id, "from": source, "cut": is_cut, "text": clean(text)}
        )
        return Exit.OK
    messages = {
        "stored tail of the log": fetched is None,
        "truncated: this is the end of a longer log": is_cut,
        "the log is empty": not text.strip(),
    }
    for message in (message for message, applies in messages.items() if applies):
        print_message(message)
    print_lines(text.splitlines())
    return Exit.OK


def _follow_log(arguments: argparse.Namespace, run_id: int, attempt_id: int | None) -> int:
    """Prints the log and what follows, line by line, until the run, or the attempt if one is given, has ended."""
    if arguments.json:
        raise CommandError(Exit.USAGE, "--follow prints lines, not one document. Fix: without --json")
    requests, line = EngineClient(store_url_of(arguments)), ""
    start: str | None = None
    attempt = whole = 0  # the attempt that is read, and the one that was read to its end
    while True:
        with store_reader(arguments) as reads:
            view = reads.runs.run(run_id)
        followed = [item for item in view.attempts if attempt_id in (None, item.id)]
        latest = max(followed, key=lambda item: item.number, default=None)
        if latest is None:
            raise CommandError(Exit.NOT_FOUND, f"run {run_id} of {view.row.job} has not started: {view.row.state}")
        if latest.id != whole:
            if latest.id != attempt:
                print_message(f"attempt {latest.number}")
                attempt, start = latest.id, None
            data = wait_for_answer(arguments, requests, requests.ask(ReadLog(run_id, attempt, start)))
            *lines, line = f"{line}{data['text']}".split("\n")
            print_lines(lines)
            is_first, start = start is None, data.get("next")
            if start is not None and data.get("more"):
                continue
            if start is None or not is_open(latest.state):  # it was read once more after its end
                whole = attempt
                print_lines([line] if line else [])
                line = ""
            if is_first and start is None and is_open(latest.state):
                print_message(
                    "its scheduler sends no more of this log while it runs; after its end: "
                    f"headway log {shlex.quote(view.row.job)} --run {run_id}"
                )
            sys.stdout.flush()
        if not is_open(view.row.state if attempt_id is None else latest.state):
            print_message(f"run {run_id} ended: {view.row.state}")
            return Exit.OK
        time.sleep(FOLLOW_SECONDS)


def runs_on_date(reads: Queries, job_id: int, name: str, typed: str) -> Sequence[RunRow]:
    """Newest first. Raises CommandError for an invalid date or one without a run."""
    try:
        day = business_date(typed)
    except argparse.ArgumentTypeError as error:
        raise CommandError(Exit.USAGE, f"argument --date: {error}") from None
    runs = reads.runs.runs_on(job_id, day)
    if not runs:
        latest = dict.fromkeys(run.business_date for run in reads.runs.list_runs(job_id, 20))
        near = f"latest: {', '.join([*latest][:3])}" if latest else "it has no run yet"
        raise CommandError(Exit.NOT_FOUND, f"{name} has no run of {day}; {near}: headway run {shlex.quote(name)}")
    return runs


def _log_difference(
    arguments: argparse.Namespace, requests: EngineClient, job: str, run_id: int, attempt: int | None
) -> int:
    answer = requests.wait(requests.ask(CompareLogs(run_id, attempt)), 2 * ANSWER_SECONDS)
    if not answer.ok:
        raise CommandError(Exit.PROBLEM, answer.error)
    data = answer.data
    if arguments.json:
        set_document(arguments, {"job": job, "run": run_id, **data})
        return Exit.OK
    if data.get("good_error"):
        print_message(f"{data['good_error']}: all lines are shown as new")
    else:
        print_message(
            f"compared with run {data['good_run']}, succeeded {timestamp(datetime.fromisoformat(data['good_ended']))}"
        )
    print_lines(difference_lines(data))
    return Exit.OK


def difference_lines(data: dict[str, Any]) -> list[str]:
    """The first error, then new lines with `+ ` and missing ones with `- `."""
    new, missing = list(data.get("new", ())), list(data.get("missing", ()))
    lines = [f"first error: {data['first_error']}", ""] if data.get("first_error") else []
    omitted_new, omitted_missing = (
        int(data.get("new_count", 0)) - len(new),
        int(data.get("missing_count", 0)) - len(missing),
    )
    lines += [f"({omitted_new} earlier new lines are not shown)"] if omitted_new > 0 else []
    lines += [f"+ {clean(line)}" for line in new] + [f"- {clean(line)}" for line in missing]
    lines += [f"({omitted_missing} further missing lines are not shown)"] if omitted_missing > 0 else []
    return lines or ["no difference"]


def _attempt_id(view: RunView, number: int | None) -> int | None:
    attempt = next((attempt.id for attempt in view.attempts if attempt.number == number), None)
    if number is not None and attempt is None:
        known = ", ".join(str(attempt.number) for attempt in view.attempts) or "none"
        raise CommandError(Exit.NOT_FOUND, f"no attempt {number}; the run has {known}")
    return attempt


def _fetch_log(requests: EngineClient, view: RunView, attempt: int | None) -> tuple[str, bool] | None:
    """The log from the scheduler, and whether it is truncated; None if it could not be fetched."""
    answer = requests.wait(requests.ask(ReadLog(view.row.id, attempt)), ANSWER_SECONDS)
    if not answer.ok:
        print_message(answer.error)
        return None
    return str(answer.data.get("text", "")), bool(answer.data.get("cut"))


HANDLERS = {
    "run": Handler(
        run_runs,
        FILTER,
        flag("--problems", "only runs that need attention"),
        VIEW,
        option("--limit", type=positive_number, default=20),
        PLAIN,
        JSON,
    ),
    "log": Handler(
        run_log,
        option("name", f"{JOB_HELP}; its latest run", "JOB"),
        one_of(
            option("--run", "run ID instead of the latest; list them: headway run JOB", "ID", type=whole_number),
            option("--date", "the latest run of this business date: 2026-11-19", "DATE"),
        ),
        option("--attempt", "number of an attempt (latest)", "N", type=whole_number),
        one_of(
            flag("--diff", "show lines that the log of the last successful run does not have"),
            flag("--follow", "print what is written until the run ends"),
        ),
        JSON,
    ),
}
