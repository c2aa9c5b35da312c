"""Holding a job: `cron.alter_job(active := false)` under our mark, which stands as a comment before its command.

pg_cron has no place for a note; the command is what everybody sees who looks at the job. The functions of grants.sql
hold only what is active, idle and as it was seen, and release only what bears the mark that is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.contract import (
    STARTED_LATER,
    Absent,
    Ask,
    CannotTell,
    Found,
    HoldMark,
    LookUp,
    NativeHold,
    NotSupported,
    Preview,
    Receipt,
    RunRef,
    Verb,
)
from connectors.holdnotes import asked_hold, asked_release, must_mark, shown, unwritable
from connectors.pg_cron import parse
from connectors.pg_cron.act import job_of
from connectors.pg_cron.client import Left, PgCronClient, Situation, session_name
from connectors.pg_cron.parse import Row
from connectors.pg_cron.rights import granted, hidden_words, sees_all


def preview(client: PgCronClient, ask: Ask, timeout_seconds: float) -> Preview:
    """What a hold or a release would change in cron.job; refused where grants.sql would refuse it."""
    now = client.situation(lambda rows: job_of(rows, RunRef(ask.run.job, "", "", "")), timeout_seconds)
    return _hold(client, ask, now) if ask.verb == Verb.HOLD else _release(client, ask, now)


def _hold(client: PgCronClient, ask: Ask, now: Situation) -> Preview:
    job, row = ask.run.job, now.job or {}
    plan = {
        "way": "hold",
        "jobid": row.get("jobid"),
        **asked_hold(ask),
        "schedule": row.get("schedule"),
        "hash": row.get("command_hash"),
    }
    return Preview(
        verb="hold",
        words=f"make pg_cron job {job} inactive, under a comment that says who holds it until when",
        scope=f"every start of {job} by the clock until it is released",
        native_calls=(
            f"SELECT {client.act_schema}.hold({plan['jobid']}, '<key>', …)",
            f"-- cron.alter_job({plan['jobid']}, active := false, command := '/* {shown(plan)} */ ' || command)",
        ),
        notes=(
            "hold it before it is due: a start in the very moment of the hold is called failed and runs on",
            "whoever schedules the job anew under its name overwrites the mark and leaves the job inactive",
        ),
        refused=_no_door(now, job) or unwritable(plan) or _not_held(now, job),
        plan=plan,
    )


def _release(client: PgCronClient, ask: Ask, now: Situation) -> Preview:
    job, (hold, enables) = ask.run.job, asked_release(ask)
    jobid = now.job["jobid"] if now.job else None
    function = "release" if enables else "clear"
    return Preview(
        verb=function,
        words=f"make pg_cron job {job} active again and take our comment from its command"
        if enables
        else f"take our comment from the command of pg_cron job {job}; active or not stays as it is",
        scope=f"hold {hold} of {job}",
        native_calls=(
            f"SELECT {client.act_schema}.{function}({jobid}, '{hold}')",
            f"-- cron.alter_job({jobid}, {'active := true, ' * enables}command := the command without our comment)",
        ),
        notes=(STARTED_LATER,) if enables else (),
        refused=_no_door(now, job, "may_hold" if enables else "may_clear") or _not_released(now, job, hold),
        plan={"way": "release", "jobid": jobid, "hold": hold, "enables": enables},
    )


def _no_door(now: Situation, job: str, right: str = "may_hold") -> str | None:
    role = now.access["role"]
    if now.job is None:
        return f"{job} is no longer in cron.job"
    if now.access["is_standby"]:
        return "this server is a standby: pg_cron runs on the primary only"
    if not now.access[right]:
        what = f"hold {job}" if right == "may_hold" else f"take our mark from {job} alone"
        return f"role {role} may not {what}: {granted(now.access)}"
    return None


def _not_held(now: Situation, job: str) -> str | None:
    row = now.job or {}
    if row.get("hold"):
        return f"{job} is held already: {row['hold']}"
    if not row.get("active"):
        return f"{job} is not active in pg_cron, and not by us: who paused it must wake it"
    running = [run for run in now.running if run["jobid"] == row["jobid"]]
    if running:
        return (
            f"{job} runs now (run {running[0]['runid']}): pg_cron would call its run failed and leave its statement"
            " running. Hold it when it has ended"
        )
    return None


def _not_released(now: Situation, job: str, hold: str) -> str | None:
    row = now.job or {}
    mark = HoldMark.read(str(row.get("hold") or ""))
    if mark is not None and mark.id == hold:
        return None
    if mark is not None:
        return f"{job} is held by another: {mark.text}"
    if row.get("active"):
        return f"{job} is not held: it is active, without a mark of ours"
    wake = f"SELECT cron.alter_job({row.get('jobid')}, active := true);"
    return f"{job} is inactive and bears no mark of ours: somebody else paused it, or wrote it anew. By hand: {wake}"


def send(client: PgCronClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> Receipt:
    """Holds or releases. Raises NotSupported where the job is not as it must be: then nothing was changed."""
    if plan["jobid"] is None:
        raise NotSupported(f"{client.place}: the job is not in cron.job: nothing was changed")
    jobid = int(plan["jobid"])
    if plan["way"] == "release":
        enables = plan.get("enables") is not False
        client.release(jobid, str(plan["hold"]), key, enables, timeout_seconds)
        return Receipt(f"cron.job {jobid}", f"{'active again, ' * enables}its command as it was")
    mark = must_mark(plan, key)
    client.hold(jobid, mark, str(plan["schedule"]), str(plan["hash"]), timeout_seconds)
    return Receipt(f"cron.job {jobid}", f"inactive: {mark.text}")


def look_up(client: PgCronClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> LookUp:
    """By the mark in the job's command: a hold is there with its key, a release has taken it away."""
    if plan["jobid"] is None:
        return Absent()
    left = client.job_left(int(plan["jobid"]), session_name(key), timeout_seconds)
    enables = plan.get("enables") is not False
    found = _held(left, key) if plan["way"] == "hold" else _released(left, str(plan["hold"]), enables)
    if found is not None:
        return found
    if left.sessions:
        return CannotTell(f"{left.sessions} session of ours that sends it is still alive")
    return Absent() if sees_all(left.access) else CannotTell(hidden_words(left.access))


def _held(left: Left, key: str) -> Found | None:
    mark = HoldMark.read(str((left.row or {}).get("hold") or ""))
    return Found(f"cron.job {(left.row or {})['jobid']}", mark.text) if mark and mark.id == key else None


def _released(left: Left, hold: str, enables: bool) -> Found | None:
    """An active job without the mark was released, whoever did it. An inactive one without it was not: not by us; its
    mark alone may have been what was to go."""
    row = left.row
    mark = HoldMark.read(str((row or {}).get("hold") or ""))
    if row is None or not (row["active"] or not enables) or (mark is not None and mark.id == hold):
        return None
    return Found(f"cron.job {row['jobid']}", f"{'active, ' * bool(row['active'])}without the mark of {hold}")


def holds(place: str, rows: Sequence[Row]) -> tuple[NativeHold, ...]:
    """The entries of cron.job that bear our mark; bare where somebody made them active under it."""
    ids = parse.native_ids([row for row in rows if not parse.is_entry(row)])
    marks = ((row, HoldMark.read(str(row["hold"] or ""))) for row in rows if row["jobid"] in ids)
    return tuple(
        NativeHold(
            ids[row["jobid"]],
            mark,
            f"comment in the command of cron.job {row['jobid']} at {place}",
            bare=bool(row["active"]),
        )
        for row, mark in marks
        if mark is not None
    )
