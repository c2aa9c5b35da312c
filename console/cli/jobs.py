"""Jobs: list by a filter, one job with schedule and history, its card, and findings of the detection rules."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import fields
from datetime import datetime
from difflib import get_close_matches

from connectors.sdk.states import RunState
from console.cli.arguments import (
    FILTER,
    JOB_HELP,
    VIEW,
    business_date,
    job_filter,
    positive_number,
    refuse_unknown_fields,
    saved_view,
)
from console.cli.clock_format import clock_text, clocked, until_text
from console.cli.commands import JSON, Handler, flag, option
from console.cli.console import PLACE_OPTIONS, open_console_at, opens_console
from console.cli.exits import CommandError, Exit
from console.cli.output import (
    PLAIN,
    ValueColumn,
    counted,
    print_page,
    print_parts,
    print_result,
    table,
)
from console.cli.prompts import require_confirmation
from console.cli.reader import fresh_store_reader, store_reader
from console.cli.requests import require_engine, wait_for_answer
from console.cli.runs import named_job, period_text, run_table, runs_on_date
from console.domain import job
from console.domain.filter import split_filter, state_hint
from console.domain.finding import DetectionRule, FindingView, accept_command, rule_text
from console.domain.history import timed_runs_text
from console.domain.job import CardView, JobRow, JobView
from console.domain.run import RunView, evidence_text, proof_text
from console.domain.service import timeliness_label
from console.store.errors import NotFound
from console.timing.durations import format_duration, rank_text
from console.timing.formats import age_text

JOBS_LIMIT = 200
JOB_SORTS = ("name", "attention", "age", "deadline", "slack")


def run_jobs(arguments: argparse.Namespace) -> int:
    if unknown := sorted(set(arguments.state) - set(RunState)):
        raise CommandError(Exit.USAGE, "; ".join(f'no state "{state}"; {state_hint(state)}' for state in unknown))
    with fresh_store_reader(arguments) as reads:
        known = {
            "system": {system.system for system in reads.estate.systems()},
            "service": {service.name for service in reads.services.list_services()},
        }
        for what, names in known.items():
            for name in getattr(arguments, what):
                if name not in names:  # an empty list would read as "no jobs"
                    raise NotFound(f"{what} {name}", tuple(get_close_matches(name, names)))
        now, view = reads.now(), saved_view("jobs", arguments.view, reads)
        terms = (*split_filter(view.filter), *arguments.filter)
        typed = job_filter(terms, now, arguments.problems or view.problems)
        filters = typed._replace(
            states=(*typed.states, *arguments.state),
            systems=(*typed.systems, *arguments.system),
            owners=(*typed.owners, *arguments.owner),
            services=(*typed.services, *arguments.service),
        )
        order: str = arguments.sort or view.sort or "name"
        sort_order = order if not arguments.reverse else order[1:] if order.startswith("-") else f"-{order}"
        refuse_unknown_fields(terms, reads)
        ids = reads.jobs.job_ids(filters, sort_order)
        jobs = reads.jobs.jobs_by_ids(ids[: arguments.limit].tolist())
    title = ValueColumn[JobRow]("title", lambda row: row.shown_title, 12)
    rows = table(
        jobs,
        ValueColumn("job", lambda row: row.name, 24, middle=True),
        *([title] if any(job.shown_title for job in jobs) else []),
        ValueColumn("state", lambda row: state_text(row, now), 12),
        ValueColumn("evidence", lambda row: (evidence_text(row.evidence) if row.state else "") or "–", drop=3),
        ValueColumn("latest", lambda row: age_text(row.ended or row.started, now)),
        ValueColumn("next", lambda row: until_text(row.next, now)),
        ValueColumn("schedule", lambda row: row.schedule or "–", 12, drop=2),
        ValueColumn("owner", lambda row: row.owner or "–", drop=1),
    )
    omitted = len(ids) - len(jobs)
    return print_result(
        arguments, jobs, rows, [f"… {omitted} more; use --limit {len(ids)} to show all"] if omitted else []
    )


def state_text(job: JobRow, now: datetime) -> str:
    """The state, and whether the job is held, paused, removed from its scheduler, or read stale input."""
    marks = [name for name, on in (("paused", job.paused), ("removed", job.gone), ("stale read", job.stale_read)) if on]
    return " · ".join([job.state or "–", *([hold_text(job, now)] if job.held_by else []), *marks])


def hold_text(job: JobRow, now: datetime) -> str:
    """ "held by Headway until 05:30 UTC (by alice)"; with the day if it is not today."""
    by = "" if job.held_by == "headway" else f" (by {job.held_by})"
    return f"held by Headway until {clock_text(job.held_until, near=now)}{by}"


JOB_LOG_LINES = 15


def run_job(arguments: argparse.Namespace) -> int:
    if arguments.card is not None:
        if arguments.date is not None:
            raise CommandError(Exit.USAGE, "--date and --set exclude each other: --set changes the job, not a run")
        return edit_card(arguments)
    if opens_console(arguments):
        with store_reader(arguments) as reads:
            row = named_job(reads, arguments.name).row  # an unknown job is reported before the console opens
            runs = runs_on_date(reads, row.id, row.name, arguments.date) if arguments.date is not None else []
        return open_console_at(arguments, ("run", runs[0].id) if runs else ("job", row.id))
    return _print_runs(arguments) if arguments.date is not None else _print_job(arguments)


def _print_runs(arguments: argparse.Namespace) -> int:
    with fresh_store_reader(arguments) as reads:
        row = named_job(reads, arguments.name).row
        views = [reads.runs.run(run.id) for run in runs_on_date(reads, row.id, row.name, arguments.date)]
        now = reads.now()
    return print_page(
        arguments,
        views,
        [f"{row.name}  business date {business_date(arguments.date)}", ""],
        run_table([view.row for view in views], now),
        [line for view in views for line in _attempt_lines(view)],
    )


def _attempt_lines(view: RunView) -> list[str]:
    lines = ["", f"run {view.row.id}, {period_text(view.row)}"]
    for attempt in view.attempts:
        native = f", native state {attempt.native_state}" if attempt.native_state else ""
        state = f"{attempt.state} ({evidence_text(attempt.evidence)}){native}"
        lines.append(f"  attempt {attempt.number}: {state}  {attempt.message}".rstrip())
    lines += [f"  | {line}" for line in view.log.splitlines()[-JOB_LOG_LINES:]]
    return [*lines, f"  log: headway log {shlex.quote(view.row.job)} --run {view.row.id}"]


def _print_job(arguments: argparse.Namespace) -> int:
    with fresh_store_reader(arguments) as reads:
        view = named_job(reads, arguments.name)
        starts = reads.run_table.unscheduled_starts(view.row.id)
        now = reads.now()
    cadence = _cadence_text(starts)
    document = {**{field.name: getattr(view, field.name) for field in fields(view)}, "cadence": cadence}
    lines = [*job_lines(view, now), *([f"cadence     {cadence}"] if cadence else [])]
    return print_page(arguments, document, [*lines, "", next_line(view, now), ""], run_table(view.runs[:15], now))


def next_line(view: JobView, now: datetime) -> str:
    """The next starts, and by which schedule while a change of it is not accepted."""
    coming = [until_text(at, now) for at in view.coming] or [until_text(view.row.next, now)]
    changed = view.changed_schedule
    accept = accept_command(view.row.name, view.drift[-1].id if len(view.drift) > 1 else 0)
    by = f" by its changed schedule {changed}, not accepted: {accept}" if changed else ""
    return f"next  {', '.join(coming)}{by}"


def _cadence_text(starts: tuple[str, tuple[int, ...]] | None) -> str:
    if starts is None:
        return ""
    from console.timing.schedule import learn_cadence

    zone, seconds = starts
    cadence = learn_cadence(seconds, zone)
    if cadence is None:
        return ""
    return cadence.text if cadence.is_sure else f"{cadence.text}, too uncertain to expect it"


def job_lines(view: JobView, now: datetime) -> list[str]:
    """The job as lines of text."""
    row, changed = view.row, view.changed_schedule
    evidence = f", evidence {evidence_text(row.evidence)}" if row.state else ""
    return [
        f"{row.name}  {state_text(row, now)}",
        *([f"title       {title}"] if (title := row.shown_title) else []),
        *([f"not watched {view.unwatched_reason}"] if view.unwatched_reason else []),
        f"timeliness  {timeliness_label(row.timeliness)}{evidence}",
        f"schedule    {row.schedule or '–'}{f' as accepted; now {changed}' if changed else ''}",
        *([f"warning     {view.schedule_fault}"] if view.schedule_fault else []),
        f"runs        {view.definition or '–'}",
        f"run as      {view.run_as or '–'}",
        f"evidence    {proof_text(view.proof)}",
        f"duration    {_duration_text(view)}",
        *_last_run_text(view, now),
        *(_card_line(field, now) for field in view.card),
        f"services    {', '.join(view.services) or '–'}",
        *(f"upstream    {name} ({origin})" for name, origin in view.upstreams),
        *(f"waits for   {condition}" for condition in view.waits),
        *(f"downstream  {name} ({origin})" for name, origin in view.downstreams),
        *(
            f"finding     {rule_text(finding.rule)}: {clocked(finding.with_source, finding.since)}"
            for finding in view.findings
        ),
        *(f"drift       {change.what}: {change.text}" for change in view.drift),
    ]


def _card_line(field: CardView, now: datetime) -> str:
    source = f", set by {field.said_by} {until_text(field.said_at, now)}" if field.said_by else ""
    return f"{field.field:<11} {field.value or '–'}{source}"


def _last_run_text(view: JobView, now: datetime) -> list[str]:
    timed = [(run, seconds) for run in view.runs if (seconds := run.lasted_s(now)) is not None]
    earlier = [seconds for run, seconds in timed[1:] if not run.is_red]
    if not earlier:
        return []
    latest, seconds = timed[0]
    so_far = " so far" if latest.ended is None else ""
    return [f"last        {format_duration(seconds)}{so_far}: {rank_text(seconds, earlier)} before it"]


def _duration_text(view: JobView) -> str:
    if view.p50_s is not None and view.p90_s is not None:
        percentiles = f"p50 {format_duration(view.p50_s)}, p90 {format_duration(view.p90_s)}"
        return f"{percentiles}: history ({counted(view.history_runs, 'run')})"
    if view.expected_s is not None:
        return f"{format_duration(view.expected_s)}: declared"
    return f"no estimate: {timed_runs_text(view.history_runs)}"


def edit_card(arguments: argparse.Namespace) -> int:
    """Prints the changes, asks, and has the engine store them."""
    fields = _card_fields(arguments.card)
    with store_reader(arguments) as reads:
        view = named_job(reads, arguments.name)
    name, lines = view.row.name, []
    for field in view.card:
        if field.field in fields:
            if field.why_not:
                raise CommandError(Exit.REFUSED, f"{name} {field.field}: {field.why_not}; nothing was saved")
            lines.append(f"{name} {field.field}: {field.value or '–'} -> {fields[field.field] or 'reset'}")
    requests = require_engine(arguments)
    if not arguments.yes:
        print_parts(lines)
    require_confirmation(arguments, "save?", "nothing was saved", "save")
    data = wait_for_answer(arguments, requests, requests.edit_card(view.row.id, fields, arguments.why))
    return print_result(arguments, {"job": view.row.name, **data}, lines if arguments.yes else [])


def _card_fields(pairs: list[str]) -> dict[str, str]:
    """Field -> text. Raises CommandError for an invalid field or value."""
    values = dict[str, str]()
    for pair in pairs:
        field, sign, text = pair.partition("=")
        if not sign:
            forms = ", ".join(f"{name}=…" for name in job.CARD_FIELDS)
            raise CommandError(Exit.USAGE, f'"{pair[:40]}" has no "="; write {forms}')
        if fault := job.card_fault(field, text.strip()):
            raise CommandError(Exit.USAGE, fault)
        values[field] = text.strip()
    return values


FINDINGS_LIMIT = 200


def run_findings(arguments: argparse.Namespace) -> int:
    if arguments.rule is not None and arguments.rule not in list(DetectionRule):
        near = get_close_matches(arguments.rule, list(DetectionRule), n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(DetectionRule)}"
        raise CommandError(Exit.USAGE, f'unknown rule "{arguments.rule}"; {hint}')
    with fresh_store_reader(arguments) as reads:
        job_id = named_job(reads, arguments.job).row.id if arguments.job else None
        findings = reads.findings.list_findings(job_id, arguments.rule or "", arguments.all, arguments.limit)
        now = reads.now()

    def since(finding: FindingView) -> str:
        resolved = f" · resolved {age_text(finding.closed, now)}" if finding.closed else ""
        return age_text(finding.since, now) + resolved

    rows = table(
        findings,
        ValueColumn("rule", lambda finding: rule_text(finding.rule)),
        ValueColumn("alerts", lambda finding: "yes" if finding.severity == "alert" else "no", drop=2),
        ValueColumn("job", lambda finding: finding.job, 24, middle=True),
        ValueColumn("since", since),
        ValueColumn("finding", lambda finding: clocked(finding.text, finding.since), 30),
        ValueColumn("threshold", lambda finding: finding.threshold or "–", drop=1),
        ValueColumn("baseline", lambda finding: finding.source or "–", 12, drop=3),
    )
    return print_result(arguments, findings, rows)


HANDLERS = {
    "job list": Handler(
        run_jobs,
        FILTER,
        option("--state", "failed, missed, running, …; repeatable", action="append", default=[]),
        option("--system", action="append", default=[]),
        option("--owner", action="append", default=[]),
        option("--service", "jobs this service depends on", action="append", default=[]),
        flag("--problems", "only jobs that need attention"),
        VIEW,
        option("--sort", "sort order (name, or that of the view)", choices=JOB_SORTS),
        flag("--reverse", "reverse the order"),
        option("--limit", f"maximum number of rows ({JOBS_LIMIT})", type=positive_number, default=JOBS_LIMIT),
        PLAIN,
        JSON,
    ),
    "job": Handler(
        run_job,
        option("name", JOB_HELP, "JOB"),
        option("--date", "show the runs of this business date: 2026-11-19", "DATE"),
        option(
            "--set",
            "set owner=, runbook= or rerun=safe|ask|never; an empty TEXT resets the field",
            "FIELD=TEXT",
            dest="card",
            nargs="+",
        ),
        option("--why", "with --set: reason for the audit log", "TEXT", default=""),
        flag("--yes", "with --set: do not ask"),
        *PLACE_OPTIONS,
    ),
    "job findings": Handler(
        run_findings,
        option("--job", f"only findings of this job: {JOB_HELP}"),
        option("--rule", "only findings of this rule: too_long, stuck_waiting, …"),
        flag("--all", "include resolved findings"),
        option("--limit", f"maximum number of rows ({FINDINGS_LIMIT})", type=positive_number, default=FINDINGS_LIMIT),
        JSON,
    ),
}
