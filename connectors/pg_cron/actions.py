"""pg_cron actions: rerun, start, cancel, hold and release.

pg_cron has no "run now": a rerun is a one-shot entry in cron.job whose name carries our key, found by that name and by
its mark. The entry is a job of its own, so pg_cron's guard against overlap does not see the original. It is for one
minute of one day, of every year: it is removed when its run has ended (not before: pg_cron cancels a run whose entry
goes away). A cancel is `pg_cancel_backend` of the process that the run's row names, by the function of grants.sql,
which proves first that this process is still that run's.

A hold is `cron.alter_job(active := false)` under the hold mark, a comment before the job's command: pg_cron
has no place for a note, and the command is where everybody sees it. The functions of grants.sql hold
only what is active, idle and as it was seen, and release only what bears the mark that is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from connectors.pg_cron import parse
from connectors.pg_cron.client import (
    ActionTrace,
    PgCronClient,
    PgCronPage,
    PgCronSituation,
    granted,
    hidden_jobs_text,
    stopped_by,
)
from connectors.pg_cron.parse import ENTRY_PREFIX
from connectors.sdk.contract import (
    ACTION_KEY,
    ActionFound,
    ActionSpec,
    ActionUnknown,
    HoldMark,
    LookUpResult,
    Preview,
    Receipt,
)
from connectors.sdk.errors import ActionRefused, ConnectorError, NotSupported
from connectors.sdk.job_agent import Plan, Row, absent_unless, native_ids, number_in, running_note
from connectors.sdk.marked_pause import MarkedPause, PauseState
from connectors.sdk.postgres_agent import PostgresAgentHolder
from connectors.sdk.records import RunRef
from connectors.sdk.states import Verb

OVERDUE = timedelta(minutes=10)
"""An entry whose minute is this long past and that left no run will not start this year."""
LONGEST_NAME = 63  # cron.job.jobname is of type name in 1.4
START_WITHIN = timedelta(seconds=65)
RERUN_NOTES = (
    f"starts within {START_WITHIN.total_seconds():.0f} s: pg_cron starts jobs at full minutes",
    "runs the present command, with the time of now: the missed run's own context is lost",
)
START_NOTES = (
    RERUN_NOTES[0],
    "runs the present command; the job's own entry keeps its times and starts by them as well",
)


def job_of(rows: Sequence[Row], ref: RunRef) -> Row | None:
    """The row that is meant: by the jobid that the poll noted, else (nothing ran, MISSED) by the job's name."""
    jobid = number_in(ref, "jobid")
    ids = native_ids([row for row in rows if not parse.is_entry(row)])
    return next(
        (row for row in rows if row["jobid"] == jobid or (jobid is None and ids.get(row["jobid"]) == ref.job)), None
    )


def entry_name(jobid: int, key: str) -> str:
    """Name of the one-shot entry. Raises NotSupported for a text that is not a key of ours or does not fit."""
    name = f"{ENTRY_PREFIX}{jobid}:{key}"
    if not ACTION_KEY.fullmatch(key) or len(name) > LONGEST_NAME:
        raise NotSupported(f'"{key}" does not fit into the name of a pg_cron entry')
    return name


class PgCronReruns:
    plans = ("start",)

    def __init__(self, client: PgCronClient) -> None:
        self.client = client

    def preview(self, spec: ActionSpec) -> Preview:
        """The entry that a rerun or start adds to cron.job; refused without the permission, the job, or rows as
        proof."""
        now = self.client.situation(lambda rows: job_of(rows, spec.run))
        jobid, user, database = (now.job[name] if now.job else "?" for name in ("jobid", "username", "database"))
        is_start = spec.verb == Verb.START
        what = "start" if is_start else "rerun"
        paused = (f"{spec.run.job} is paused in pg_cron; the {what} runs all the same",)
        return Preview(
            verb="run once",
            summary=f"run the command of pg_cron job {spec.run.job} once, at the next full minute, "
            f"as {user} in database {database}",
            scope=f"one run of {spec.run.job}{spec.for_period}",
            overlap=running_note(now.running, "runid", spec.run.job, " or starting"),
            native_calls=(
                f"SELECT {self.client.act_schema}.rerun({jobid}, '<key>')",
                f"-- it adds entry {ENTRY_PREFIX}{jobid}:<key>, removed after its run",
            ),
            notes=(START_NOTES if is_start else RERUN_NOTES) + (paused if now.job and not now.job["active"] else ()),
            refused=_rerun_refusal(now, spec.run.job, what),
            plan={"how": "start", "jobid": jobid, "after": now.newest},
        )

    def act(self, plan: Plan, key: str) -> Receipt:
        """Adds the entry; where it exists already, nothing is added and its jobid is returned."""
        jobid = int(plan["jobid"])
        entry = entry_name(jobid, key)
        added = self.client.rerun(jobid, key)
        if added is None:
            raise NotSupported(f"{self.client.place}: pg_cron job {jobid} is gone: nothing was added")
        return Receipt(entry, f"added as entry {added}; it starts at the next full minute, {_removal(added)}")

    def look_up(self, plan: Plan, key: str) -> LookUpResult:
        """Absent only when nothing can still arrive and no row is hidden from us."""
        entry = entry_name(int(plan["jobid"]), key)
        trace = self.client.trace(entry, f"/* {entry} */ ", int(plan["after"]), key)
        if trace.runs:
            return ActionFound(entry, f"run {trace.runs[0]['runid']}: {trace.runs[0]['status']}")
        if trace.entries:
            jobid, schedule = trace.entries[0]["jobid"], trace.entries[0]["schedule"]
            text = f"entry {jobid} waits for its minute ({schedule}), {_removal(jobid)}"
            return ActionFound(entry, text, waits=True)
        return absent_unless(trace.sessions, hidden_jobs_text(trace.access))


def _removal(jobid: int) -> str:
    return f"unless SELECT cron.unschedule({jobid}) removes it"


def _rerun_refusal(now: PgCronSituation, job: str, what: str) -> str | None:
    role = now.access["role"]
    if now.job is None:
        return f"{job} is no longer in cron.job, nor its command"
    if (stopped := stopped_by(now.access)) is not None:
        return stopped.problem
    if now.access["log_run"] == "off":
        return f"cron.log_run is off: the {what} would leave no row that proves it; set it on and restart PostgreSQL"
    if not now.access["may_rerun"]:
        return f"role {role} may not {what} {job}: {granted(now.access)}"
    return None


def tidy(client: PgCronClient, page: PgCronPage, now: datetime) -> list[str]:
    """Removes our entries that have run, and those that missed their minute. Returns warnings."""
    started: dict[int, bool] = {}
    for row in page.entries:
        started[row["jobid"]] = started.get(row["jobid"], True) and bool(row["ended"])
    warnings = []
    for row in page.jobs:
        if not parse.is_entry(row):
            continue
        due = parse.due_of(str(row["schedule"]), parse.zone_of(page.access), now)
        missed = row["jobid"] not in started and due is not None and now - due > OVERDUE
        if missed:
            warnings.append(f"{row['jobname']} never started: pg_cron was not there at its minute ({row['schedule']})")
        if missed or started.get(row["jobid"], False):
            warnings += _remove_entry(client, page.access, row)
    return warnings


def _remove_entry(client: PgCronClient, access: Row, row: Row) -> list[str]:
    match = parse.ENTRY.fullmatch(str(row["jobname"]))
    stays = f"{row['jobname']} stays in cron.job and would run again in a year"
    if not (match and access["may_unschedule"]):
        return [f"{stays}: role {access['role']} may not remove it. SELECT cron.unschedule({row['jobid']});"]
    try:
        client.unschedule(match[2])
    except ConnectorError as error:
        return [f"{stays}: {error}"]
    return []


CANCEL_NOTES = (
    "changes since its last commit are rolled back",
    "a start that fell due while it ran is made up for at once: pg_cron queues one",
)


class PgCronCancels:
    plans = ("cancel",)

    def __init__(self, client: PgCronClient) -> None:
        self.client = client

    def preview(self, spec: ActionSpec) -> Preview:
        """Which process would be cancelled; refused where none is proved to be this run's."""
        runid = number_in(spec.run, "runid")
        if runid is None:
            raise NotSupported(f"pg_cron can only cancel a run that it has: {spec.run.job} {spec.run.period_key}")
        trace = self.client.run_left(runid)
        row = trace.row or {}
        return Preview(
            verb="cancel",
            summary=f"cancel the statement that run {runid} of {spec.run.job} executes (process {row.get('job_pid')})",
            scope=f"run {runid} of {spec.run.job}",
            native_calls=(
                f"SELECT {self.client.act_schema}.cancel({runid}, '<key>')",
                f"-- pg_cancel_backend({row.get('job_pid')})",
            ),
            notes=CANCEL_NOTES,
            refused=_cancel_refusal(trace, runid, spec.run.job),
            plan={"how": "cancel", "runid": runid},
        )

    def act(self, plan: Plan, key: str) -> Receipt:
        """Sends the signal. Raises NotSupported where the run has ended or the process is not its own."""
        runid = int(plan["runid"])
        rows = self.client.cancel(runid, key)
        if not rows or not rows[0]["done"]:
            raise NotSupported(f"{self.client.place}: the process of run {runid} is gone: nothing was cancelled")
        return Receipt(str(runid), f"the process of run {runid} was sent a cancel request")

    def look_up(self, plan: Plan, key: str) -> LookUpResult:
        """By the run's row: a cancelled run shows it in its message, without a user; one that goes on, or succeeded,
        was not cancelled."""
        trace = self.client.run_left(int(plan["runid"]), key)
        row = trace.row
        if row is not None and row["status"] == "failed":
            text = f"run {row['runid']}: {str(row['message'] or '').strip()}"
            return ActionFound(str(row["runid"]), text) if CANCELLED_BY_USER in text else ActionUnknown(text)
        deleted = f"run {plan['runid']} has no row in cron.job_run_details any more"
        return absent_unless(trace.sessions, "" if row is not None else hidden_jobs_text(trace.access) or deleted)


def _cancel_refusal(trace: ActionTrace, runid: int, job: str) -> str | None:
    role = trace.access["role"]
    if trace.row is None:
        return f"run {runid} of {job} has no row in cron.job_run_details any more"
    if not parse.is_open(trace.row):
        return f"run {runid} of {job} has ended: {trace.row['status']}"
    if trace.row["job_pid"] is None:
        return f"run {runid} of {job} has no process yet ({trace.row['status']})"
    if not trace.access["may_cancel"]:
        return f"role {role} may not cancel a run: {granted(trace.access)}"
    return None


CANCELLED_BY_USER = "due to user request"
"""Of PostgreSQL; other languages of lc_messages have other texts."""
HOLD_NOTES = (
    "hold it before it is due: a start in the very moment of the hold is called failed and runs on",
    "scheduling the job again under its name overwrites the mark and leaves the job inactive",
)


PgCronJob = tuple[Row, PgCronSituation]


class PgCronHolder(PostgresAgentHolder[PgCronClient, PgCronSituation]):
    marking = MarkedPause("pg_cron", "inactive", "command", replaces_marks=False, is_one_step=True)
    pause, resume, unit, hold_notes = "deactivate", "activate", "the pg_cron job", HOLD_NOTES
    enabled, marked_place = "active", "comment in the command of cron.job"

    def read(self, job: str) -> PgCronJob:
        now = self.client.situation(lambda rows: job_of(rows, RunRef(job, "", "", "")))
        if now.job is None:
            raise ActionRefused(f"{job} is no longer in cron.job")
        return now.job, now

    def by_hand(self, job: str, row: PgCronJob) -> str:
        return f"SELECT cron.alter_job({row[0]['jobid']}, active := true);"

    def missing_right(self, job: str, row: PgCronJob, how: str) -> str | None:
        access, right = row[1].access, "may_clear" if how == "clear" else "may_hold"
        if (stopped := stopped_by(access)) is not None:
            return stopped.problem
        action = f"remove the hold mark from {job} alone" if how == "clear" else f"hold {job}"
        return None if access[right] else f"role {access['role']} may not {action}: {granted(access)}"

    def hold_refusal(self, job: str, row: PgCronJob, now: PauseState) -> str | None:
        runids = [run["runid"] for run in row[1].running if run["jobid"] == row[0]["jobid"]]
        consequence = "pg_cron would call its run failed and leave its statement running"
        runs = f"{job} runs now (run {runids[0]}): {consequence}. Hold it when it has ended" if runids else None
        return super().hold_refusal(job, row, now) or runs

    def details(self, row: PgCronJob, plan: Plan) -> dict[str, Any]:
        return {"jobid": row[0]["jobid"], "schedule": row[0]["schedule"], "hash": row[0]["command_hash"]}

    def hold_calls(self, row: PgCronJob, plan: Plan, mark: HoldMark) -> tuple[str, ...]:
        alter = f"active := false, command := '/* {mark.text} */ ' || command"
        return self._calls(row[0]["jobid"], "hold", "'<key>', …", alter)

    def release_calls(self, row: PgCronJob, plan: Plan) -> tuple[str, ...]:
        function, active = ("release", "active := true, ") if plan["how"] == "release" else ("clear", "")
        return self._calls(
            row[0]["jobid"], function, f"'{plan['hold']}'", f"{active}command := the command without the hold mark"
        )

    def _calls(self, jobid: int, function: str, values: str, alter: str) -> tuple[str, ...]:
        call = f"SELECT {self.client.act_schema}.{function}({jobid}, {values})"
        return call, f"-- cron.alter_job({jobid}, {alter})"

    def state_left(self, plan: Plan, key: str) -> tuple[PauseState | None, LookUpResult]:
        trace = self.client.job_left(int(plan["jobid"]), key)
        now = None if trace.row is None else self.state_of(trace.row)
        return now, absent_unless(trace.sessions, hidden_jobs_text(trace.access))
