"""Rerunning and starting: a one-shot entry in cron.job whose name carries our key, found by that name and by its mark.

pg_cron has no "run now". The entry is a job of its own, so pg_cron's guard against overlap does not see the original.
An entry is for one minute of one day, of every year: it is taken away when its run has ended (not before: pg_cron
cancels a run whose entry goes away).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from connectors.contract import (
    ACTION_KEY,
    Absent,
    Ask,
    CannotTell,
    ConnectorError,
    Found,
    LookUp,
    NotSupported,
    Preview,
    Receipt,
    RunRef,
    Verb,
)
from connectors.pg_cron import parse
from connectors.pg_cron.client import Page, PgCronClient, Situation, session_name
from connectors.pg_cron.parse import ENTRY_PREFIX, Row
from connectors.pg_cron.rights import door, granted, hidden_words, sees_all
from connectors.transport.sql import Deadline

OVERDUE = timedelta(minutes=10)
"""An entry whose minute is this long past and that left no run will not start this year."""
LONGEST_NAME = 63  # cron.job.jobname is of type name in 1.4
NOTES = (
    "starts within 65 s: pg_cron starts jobs at full minutes",
    "runs the command as it is now, with the time of now: the missed run's own context is lost",
)
START_NOTES = (
    NOTES[0],
    "runs the command as it is now; the job's own entry keeps its times and starts by them as well",
)


def job_of(rows: Sequence[Row], ref: RunRef) -> Row | None:
    """The row that is meant: by the jobid that the poll noted, else (nothing ran, MISSED) by the job's name."""
    jobid = jobid_of(ref)
    ids = parse.native_ids([row for row in rows if not parse.is_entry(row)])
    return next(
        (row for row in rows if row["jobid"] == jobid or (jobid is None and ids.get(row["jobid"]) == ref.job)), None
    )


def jobid_of(ref: RunRef) -> int | None:
    """jobid of the run's job, from the reference that the poll gave."""
    return _number(ref, "jobid")


def runid_of(ref: RunRef) -> int | None:
    """runid of the attempt, from the reference that the poll gave."""
    return _number(ref, "runid")


def _number(ref: RunRef, name: str) -> int | None:
    try:
        return int(json.loads(ref.native_ref)[name])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def entry_name(jobid: int, key: str) -> str:
    """Name of the one-shot entry. Raises NotSupported for what is no key of ours or does not fit."""
    name = f"{ENTRY_PREFIX}{jobid}:{key}"
    if not ACTION_KEY.fullmatch(key) or len(name) > LONGEST_NAME:
        raise NotSupported(f'"{key}" does not fit into the name of a pg_cron entry')
    return name


def mark_of(entry: str) -> str:
    """What the command of a one-shot entry begins with."""
    return f"/* {entry} */ "


def preview(client: PgCronClient, ask: Ask, timeout_seconds: float) -> Preview:
    """What a rerun or start would add to cron.job; refused without the right, the job, or the rows that prove it."""
    now = client.situation(lambda rows: job_of(rows, ask.run), timeout_seconds)
    way = door(now.access)
    jobid, user, database = (now.job[name] if now.job else "?" for name in ("jobid", "username", "database"))
    direct = f"cron.schedule_in_database('{ENTRY_PREFIX}{jobid}:<key>', …)"
    call = f"{client.act_schema}.rerun({jobid}, '<key>')" if way == "function" else direct
    is_start = ask.verb == Verb.START
    what = "start" if is_start else "rerun"
    paused = (f"{ask.run.job} is paused in pg_cron; the {what} runs all the same",)
    return Preview(
        verb="run once",
        words=f"run the command of pg_cron job {ask.run.job} once, at the next full minute, "
        f"as {user} in database {database}",
        scope=f"one run of {ask.run.job}{f', for {ask.run.period_key}' * bool(ask.run.period_key)}",
        overlap=_overlap(now, ask.run.job),
        native_calls=(f"SELECT {call}", f"-- it adds entry {ENTRY_PREFIX}{jobid}:<key>, removed after its run"),
        notes=(START_NOTES if is_start else NOTES) + (paused if now.job and not now.job["active"] else ()),
        refused=_refusal(now, way, ask.run.job, what),
        plan={"jobid": jobid, "after": now.newest, "door": way, "zone": parse.zone_of(now.access)},
    )


def _overlap(now: Situation, job: str) -> str | None:
    if not now.running:
        return None
    row = now.running[0]
    since = parse.instant(row["started"])
    return f"run {row['runid']} of {job} is running" + (f" since {since:%H:%M:%S} UTC" if since else " or starting")


def _refusal(now: Situation, way: str | None, job: str, what: str) -> str | None:
    role = now.access["role"]
    if now.job is None:
        return f"{job} is no longer in cron.job: there is no command to run"
    if now.access["is_standby"]:
        return "this server is a standby: pg_cron runs on the primary only"
    if now.access["log_run"] == "off":
        return f"cron.log_run is off: the {what} would leave no row that proves it; set it on and restart PostgreSQL"
    if way is None or (way == "own" and now.job["username"] != role):
        return f"role {role} may not {what} {job}: {granted(now.access)}"
    return None


def send(client: PgCronClient, plan_of: Preview, key: str, timeout_seconds: float) -> Receipt:
    """Adds the entry; where it is already, the door answers its jobid and adds nothing."""
    plan = plan_of.plan
    jobid = int(plan["jobid"])
    entry = entry_name(jobid, key)
    if plan["door"] == "function":
        rows = client.rerun_by_function(jobid, key, timeout_seconds)
    else:
        rows = client.rerun_direct(jobid, entry, key, str(plan["zone"]), timeout_seconds)
    if not rows:
        raise NotSupported(f"{client.place}: pg_cron job {jobid} is gone: nothing was added")
    return Receipt(entry, f"added as entry {rows[0]['jobid']}; it starts at the next full minute")


def look_up(client: PgCronClient, plan_of: Preview, key: str, timeout_seconds: float) -> LookUp:
    """Absent only when nothing can be on its way any more and no row is hidden from us."""
    plan = plan_of.plan
    entry = entry_name(int(plan["jobid"]), key)
    left = client.trace(entry, mark_of(entry), int(plan["after"]), session_name(key), timeout_seconds)
    if left.runs:
        return Found(entry, f"run {left.runs[0]['runid']}: {left.runs[0]['status']}")
    if left.entries:
        return Found(entry, f"entry {left.entries[0]['jobid']} waits for its minute ({left.entries[0]['schedule']})")
    if left.sessions:
        return CannotTell(f"{left.sessions} session of ours that sends it is still alive")
    return Absent() if sees_all(left.access) else CannotTell(hidden_words(left.access))


def tidy(client: PgCronClient, page: Page, now: datetime, deadline: Deadline) -> list[str]:
    """Takes away our entries that have run, and those that missed their minute. Answers what a person should know."""
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
            warnings += _take_away(client, page.access, row, deadline.left)
    return warnings


def _take_away(client: PgCronClient, access: Row, row: Row, timeout_seconds: float) -> list[str]:
    found = parse.ENTRY.fullmatch(str(row["jobname"]))
    by_function = bool(access["may_unschedule"])
    stays = f"{row['jobname']} stays in cron.job and would run again in a year"
    if not (found and (by_function or access["is_super"] or row["username"] == access["role"])):
        return [f"{stays}: role {access['role']} may not remove it. SELECT cron.unschedule({row['jobid']});"]
    try:
        client.unschedule(row, found[2], by_function, timeout_seconds)
    except ConnectorError as error:
        return [f"{stays}: {error}"]
    return []
