"""pgAgent actions: rerun, start, hold and release.

A rerun makes the job due now, as pgAdmin's "Run now" does, with our key beside it: pgAgent's log has no place for a
key. The function of grants.sql writes key, job and the newest jlgid of that job in the transaction that sets
`jobnextrun`; it acts only on a job that is idle and not due, so the job's next row is that run.

A hold is `jobenabled = false` under our mark, the first line of the job's comment (jobdesc).
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.pgagent.client import GRANTS, STANDBY, PgAgentClient, PgAgentSituation, hidden_jobs_text
from connectors.sdk.contract import (
    ACTION_KEY,
    ActionAbsent,
    ActionFound,
    ActionSpec,
    HoldMark,
    LookUpResult,
    NativeHold,
    Preview,
    Receipt,
)
from connectors.sdk.errors import NotSupported
from connectors.sdk.job_agent import (
    AgentJob,
    JobAgentHolds,
    Plan,
    Row,
    absent_unless,
    marked_jobs,
    native_ids,
    number_in,
    running_note,
)
from connectors.sdk.marked_pause import shown_mark_of_plan
from connectors.sdk.records import RunRef
from connectors.sdk.states import Verb

RERUN_NOTES = (
    "starts at the agent's next poll, within 10 s by default",
    "runs all steps as they are now, with the time of now: the run's own context is lost",
    "a start by the clock that falls due while it runs is left out: pgAgent never starts a job beside itself",
)


def find(client: PgAgentClient, ref: RunRef) -> tuple[int | None, PgAgentSituation]:
    """The job of a run: by the jobid in its reference, else (nothing ran) by its name; None when it is gone."""
    jobid = number_in(ref, "jobid")
    if jobid is None:
        _, rows = client.jobs()
        jobid = next((key for key, name in native_ids(rows).items() if name == ref.job), None)
    return jobid, client.situation(jobid if jobid is not None else 0)


def preview_rerun(client: PgAgentClient, spec: ActionSpec) -> Preview:
    """The change of a rerun or start in pga_job; refused where grants.sql would refuse it."""
    jobid, now = find(client, spec.run)
    job = spec.run.job
    refused = _missing_grant(now, job, "may_start", "start" if spec.verb == Verb.START else "rerun")
    if now.job is not None and refused is None:
        host = now.job["host"]
        at_host = f" on {host}" if host else ""
        has_agent = any(agent["alive"] and host in ("", agent["jagstation"]) for agent in now.agents)
        no_agent = f"no pgAgent{at_host} is connected: nothing would start {job}. Start pgAgent on its host"
        refused = _not_startable(now.job, job) or (None if has_agent else no_agent)
    return Preview(
        verb="run now",
        summary=f"make pgAgent job {job} due now: its agent runs all its steps once",
        scope=f"one run of {job}{spec.for_period}",
        overlap=running_note(now.running, "jlgid", job),
        native_calls=(
            f"SELECT {client.act_schema}.pgagent_start({jobid}, '<key>')",
            f"-- sets jobnextrun = clock_timestamp() in pgagent.pga_job {jobid}",
        ),
        notes=RERUN_NOTES,
        refused=refused,
        plan={"way": "start", "jobid": jobid},
    )


def _missing_grant(now: PgAgentSituation, job: str, permission: str, verb: str) -> str | None:
    role = now.access["role"]
    if now.job is None:
        return f"{job} is no longer in pgagent.pga_job"
    if now.access["is_standby"]:
        return STANDBY
    if not now.access[permission]:
        return f"role {role} may not {verb} {job}: {GRANTS}, then GRANT headway_act TO {role};"
    return None


def _not_startable(row: Row, job: str) -> str | None:
    if not row["enabled"]:
        held = f": {row['hold']}" if row["hold"] else ""
        return f"{job} is not enabled in pgAgent, and no agent starts what is not{held}"
    if row["agent"] is not None:
        return f"{job} runs now: pgAgent never starts a job beside itself"
    if row["is_due"]:
        return f"{job} is due and about to start"
    return None


def send_rerun(client: PgAgentClient, plan: Plan, key: str) -> Receipt:
    """Makes it due; where this key did already, nothing changes. Raises NotSupported where it cannot be."""
    if plan["jobid"] is None or not ACTION_KEY.fullmatch(key):
        raise NotSupported(f"{client.place}: the job is not in pgagent.pga_job: nothing was changed")
    client.start(int(plan["jobid"]), key)
    return Receipt(key, f"job {plan['jobid']} is due: its agent starts it at its next poll")


def look_up_rerun(client: PgAgentClient, plan: Plan, key: str) -> LookUpResult:
    """By the row that a start leaves under its key, in the transaction that makes the job due."""
    if plan["jobid"] is None:
        return ActionAbsent()
    now = client.situation(int(plan["jobid"]), key)
    if now.started is not None:
        jlgid = now.started["jlgid"]
        return ActionFound(key, f"run {jlgid}" if jlgid is not None else "made due; its agent has not started it yet")
    unread = f"role {now.access['role']} may not read what was started: {GRANTS}"
    return absent_unless(now.sessions, hidden_jobs_text(now.access) if now.access["may_read_started"] else unread)


HOLDS = JobAgentHolds("pgAgent", "enabled", "disabled", "its comment as it was")


def preview_hold(client: PgAgentClient, spec: ActionSpec) -> Preview:
    """The change of a hold or release in pga_job; refused where grants.sql would refuse it."""
    jobid, now = find(client, RunRef(spec.run.job, "", "", ""))
    job, place, plan = spec.run.job, f"in pgagent.pga_job {jobid}", HOLDS.plan(spec, jobid=jobid)
    if spec.verb == Verb.HOLD:
        text = f"disable pgAgent job {job}, under a line in its comment that says who holds it until when"
        call = f"hold({jobid}, '<key>', '{plan['by']}', '{plan['until']}')"
        sets = f"jobenabled = false, jobdesc = '{shown_mark_of_plan(plan)}' || E'\\n' || jobdesc"
    else:
        enables = bool(plan["enables"])
        call = f"release({jobid}, '{plan['hold']}', {str(enables).lower()})"
        sets = f"{'jobenabled = true, ' if enables else ''}jobdesc less our line"
        text = f"take our line from the comment of pgAgent job {job}; enabled or not stays as it is"
        text = f"enable pgAgent job {job} again and take our line from its comment" if enables else text
    is_due = now.job is not None and now.job["is_due"] and now.job["agent"] is None
    return HOLDS.preview(
        spec,
        plan,
        _agent_job(now.job) if now.job else None,
        text=text,
        calls=(f"SELECT {client.act_schema}.pgagent_{call}", f"-- sets {sets} {place}"),
        missing=_missing_grant(now, job, "may_hold", "hold"),
        by_hand=f"set jobenabled = true {place}",
        notes=("a run that is under way goes on to its end",),
        unfit=f"{job} is due and about to start: hold it when it has" if is_due else None,
    )


def send_hold(client: PgAgentClient, plan: Plan, key: str) -> Receipt:
    if plan["jobid"] is None:
        raise NotSupported(f"{client.place}: the job is not in pgagent.pga_job: nothing was changed")
    return HOLDS.send(client, f"pga_job {plan['jobid']}", plan, key)


def look_up_hold(client: PgAgentClient, plan: Plan, key: str) -> LookUpResult:
    """By the mark in the job's comment: a hold is there with its key, a release has removed it."""
    if plan["jobid"] is None:
        return ActionAbsent()
    now = client.situation(int(plan["jobid"]), key)
    hold = HOLDS.find(_agent_job(now.job) if now.job else None, plan, key)
    return hold or absent_unless(now.sessions, hidden_jobs_text(now.access))


def _agent_job(row: Row) -> AgentJob:
    return AgentJob(f"pga_job {row['jobid']}", HoldMark.read(str(row["hold"] or "")), bool(row["enabled"]))


def holds(place: str, rows: Sequence[Row]) -> tuple[NativeHold, ...]:
    """The jobs whose comment bears our mark; bare where a user enabled them under it."""
    ids = native_ids(rows)
    return marked_jobs(
        (ids[row["jobid"]], _agent_job(row), f"first line of the comment of pgAgent job {row['jobid']} at {place}")
        for row in rows
    )
