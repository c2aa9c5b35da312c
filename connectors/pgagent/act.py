"""Rerunning and starting: the job is made due now, as pgAdmin's "Run now" does, and our key is written down beside it.

pgAgent's log has no place for a key. The function of grants.sql writes key, job and the newest jlgid of that job in the
transaction that sets `jobnextrun`; it acts only on a job that is idle and not due, so the job's next row is that run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.contract import (
    ACTION_KEY,
    Absent,
    Ask,
    CannotTell,
    Found,
    LookUp,
    NotSupported,
    Preview,
    Receipt,
    RunRef,
    Verb,
)
from connectors.pgagent import parse
from connectors.pgagent.client import PgAgentClient, Situation
from connectors.pgagent.parse import Row
from connectors.pgagent.rights import GRANTS, hidden_words, sees_all
from connectors.transport.sql import Deadline

NOTES = (
    "starts at the agent's next look, within 10 s by default",
    "runs all steps as they are now, with the time of now: the run's own context is lost",
    "a start by the clock that falls due while it runs is left out: pgAgent never starts a job beside itself",
)


def jlgid_of(ref: RunRef) -> int | None:
    """jlgid of the attempt, from the reference that the poll gave."""
    return _number(ref, "jlgid")


def _number(ref: RunRef, name: str) -> int | None:
    try:
        return int(json.loads(ref.native_ref)[name])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def find(client: PgAgentClient, ref: RunRef, timeout_seconds: float) -> tuple[int | None, Situation | None]:
    """The job that is meant: by the jobid that the poll noted, else (nothing ran) by its name; None when it is gone."""
    deadline = Deadline(timeout_seconds)
    jobid = _number(ref, "jobid")
    if jobid is None:
        _, rows = client.jobs(deadline.left)
        jobid = next((each for each, name in parse.native_ids(rows).items() if name == ref.job), None)
    return jobid, client.situation(jobid if jobid is not None else 0, "", deadline.left)


def preview(client: PgAgentClient, ask: Ask, timeout_seconds: float) -> Preview:
    """What a rerun or start would change in pga_job; refused where grants.sql would refuse it."""
    jobid, now = find(client, ask.run, timeout_seconds)
    job = ask.run.job
    return Preview(
        verb="run now",
        words=f"make pgAgent job {job} due now: its agent runs all its steps once",
        scope=f"one run of {job}{f', for {ask.run.period_key}' * bool(ask.run.period_key)}",
        overlap=_overlap(now, job),
        native_calls=(
            f"SELECT {client.act_schema}.pgagent_start({jobid}, '<key>')",
            f"-- sets jobnextrun = clock_timestamp() in pgagent.pga_job {jobid}",
        ),
        notes=NOTES,
        refused=_refusal(now, job, "start" if ask.verb == Verb.START else "rerun"),
        plan={"way": "start", "jobid": jobid},
    )


def _overlap(now: Situation | None, job: str) -> str | None:
    if now is None or not now.running:
        return None
    since = parse.instant(now.running[0]["started"])
    return f"run {now.running[0]['jlgid']} of {job} is running" + (f" since {since:%H:%M:%S} UTC" if since else "")


def _refusal(now: Situation | None, job: str, what: str) -> str | None:
    if now is None or now.job is None:
        return f"{job} is no longer in pgagent.pga_job: there is nothing to run"
    role = now.access["role"]
    if now.access["is_standby"]:
        return "this server is a standby: pgAgent works on the primary only"
    if not now.access["may_start"]:
        return f"role {role} may not {what} {job}: {GRANTS}, then GRANT headway_act TO {role};"
    return _not_startable(now.job, job) or no_agent(now.agents, now.job["host"], job)


def _not_startable(row: Row, job: str) -> str | None:
    if not row["enabled"]:
        held = f": {row['hold']}" if row["hold"] else ""
        return f"{job} is not enabled in pgAgent, and no agent starts what is not{held}"
    if row["agent"] is not None:
        return f"{job} runs now: pgAgent never starts a job beside itself"
    if row["is_due"]:
        return f"{job} is due and about to start"
    return None


def no_agent(agents: Sequence[Row], host: str, job: str) -> str | None:
    """Why nothing would start a job that is due; None where an agent of its host is there."""
    if any(agent["alive"] and host in ("", agent["jagstation"]) for agent in agents):
        return None
    where = f" on {host}" if host else ""
    return f"no pgAgent{where} is connected: nothing would start {job}. Start pgAgent on its host"


def send(client: PgAgentClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> Receipt:
    """Makes it due; where this key did already, nothing changes. Raises NotSupported where it cannot be."""
    if plan["jobid"] is None or not ACTION_KEY.fullmatch(key):
        raise NotSupported(f"{client.place}: the job is not in pgagent.pga_job: nothing was changed")
    client.start(int(plan["jobid"]), key, timeout_seconds)
    return Receipt(key, f"job {plan['jobid']} is due: its agent starts it at its next look")


def look_up(client: PgAgentClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> LookUp:
    """By the row that a start leaves under its key, in the transaction that makes the job due."""
    if plan["jobid"] is None:
        return Absent()
    now = client.situation(int(plan["jobid"]), key, timeout_seconds)
    if now.started is not None:
        jlgid = now.started["jlgid"]
        return Found(key, f"run {jlgid}" if jlgid is not None else "made due; its agent has not started it yet")
    if now.sessions:
        return CannotTell(f"{now.sessions} session of ours that sends it is still alive")
    if not now.access["may_read_started"]:
        return CannotTell(f"role {now.access['role']} may not read what was started: {GRANTS}")
    return Absent() if sees_all(now.access) else CannotTell(hidden_words(now.access))
