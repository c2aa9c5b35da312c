"""pgAgent actions: rerun, start, hold and release.

A rerun makes the job due now, as pgAdmin's "Run now" does, with our key beside it: pgAgent's log has no place for a
key. The function of grants.sql writes key, job and the newest jlgid of that job in the transaction that sets
`jobnextrun`; it acts only on a job that is idle and not due, so the job's next row is that run.

A hold is `jobenabled = false` under the hold mark, the first line of the job's comment (jobdesc).
"""

from __future__ import annotations

from datetime import timedelta

from connectors.pgagent.client import GRANTS, STANDBY, PgAgentClient, PgAgentSituation, hidden_jobs_text
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, LookUpResult, Preview, Receipt
from connectors.sdk.job_agent import (
    AgentAction,
    AgentJob,
    Plan,
    Row,
    absent_unless,
    native_ids,
    number_in,
    running_note,
)
from connectors.sdk.marked_pause import shown_mark_of_plan
from connectors.sdk.postgres_agent import PostgresAgentHolds
from connectors.sdk.records import RunRef
from connectors.sdk.states import Verb

START_WITHIN = timedelta(seconds=10)
"""pgAgent's own default poll interval."""
RERUN_NOTES = (
    f"starts at the agent's next poll, within {START_WITHIN.total_seconds():.0f} s by default",
    "runs the present steps, with the time of now: the run's own context is lost",
    "a start by the clock that falls due while it runs is left out: pgAgent never starts a job beside itself",
)


def find(client: PgAgentClient, ref: RunRef) -> tuple[int | None, PgAgentSituation]:
    """The job of a run: by the jobid in its reference, else (nothing ran) by its name; None when it is gone."""
    jobid = number_in(ref, "jobid")
    if jobid is None:
        _, rows = client.jobs()
        jobid = next((key for key, name in native_ids(rows).items() if name == ref.job), None)
    return jobid, client.situation(jobid if jobid is not None else 0)


class PgAgentReruns(AgentAction[PgAgentClient]):
    def preview(self, spec: ActionSpec) -> Preview:
        """The change of a rerun or start in pga_job; refused where grants.sql would refuse it."""
        jobid, now = find(self.client, spec.run)
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
                f"SELECT {self.client.act_schema}.pgagent_start({jobid}, '<key>')",
                f"-- sets jobnextrun = clock_timestamp() in pgagent.pga_job {jobid}",
            ),
            notes=RERUN_NOTES,
            refused=refused,
            plan={"way": "start", "jobid": jobid},
        )

    def act(self, plan: Plan, key: str) -> Receipt:
        """Makes it due; where this key did already, nothing changes. Raises NotSupported where it cannot be."""
        self.client.start(int(plan["jobid"]), key)
        return Receipt(key, f"job {plan['jobid']} is due: its agent starts it at its next poll")

    def look_up(self, plan: Plan, key: str) -> LookUpResult:
        """By the row that a start leaves under its key, in the transaction that makes the job due."""
        if plan["jobid"] is None:
            return ActionAbsent()
        now = self.client.situation(int(plan["jobid"]), key)
        if now.started is not None:
            jlgid = now.started["jlgid"]
            text = f"run {jlgid}" if jlgid is not None else "made due; its agent has not started it yet"
            return ActionFound(key, text, waits=jlgid is None)
        unread = f"role {now.access['role']} may not read what was started: {GRANTS}"
        return absent_unless(now.sessions, hidden_jobs_text(now.access) if now.access["may_read_started"] else unread)


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


class PgAgentHolds(PostgresAgentHolds[PgAgentClient]):
    agent, enabled, disabled, restored = "pgAgent", "enabled", "disabled", "its comment as it was"
    table, marked_place = "pga_job", "first line of the comment of pgAgent job"

    def preview(self, spec: ActionSpec) -> Preview:
        """The change of a hold or release in pga_job; refused where grants.sql would refuse it."""
        jobid, now = find(self.client, RunRef(spec.run.job, "", "", ""))
        job, place, plan = spec.run.job, f"in pgagent.pga_job {jobid}", self.plan(spec, jobid=jobid)
        if spec.verb == Verb.HOLD:
            text = f"disable pgAgent job {job}, under a line in its comment that says who holds it until when"
            call = f"hold({jobid}, '<key>', '{plan['by']}', '{plan['until']}')"
            sets = f"jobenabled = false, jobdesc = '{shown_mark_of_plan(plan)}' || E'\\n' || jobdesc"
        else:
            enables = bool(plan["enables"])
            call = f"release({jobid}, '{plan['hold']}', {str(enables).lower()})"
            sets = f"{'jobenabled = true, ' if enables else ''}jobdesc without the hold mark"
            text = f"remove the hold mark from the comment of pgAgent job {job}; enabled or not is unchanged"
            text = f"enable pgAgent job {job} again and remove the hold mark from its comment" if enables else text
        is_due = now.job is not None and now.job["is_due"] and now.job["agent"] is None
        return self.preview_of(
            spec,
            plan,
            self.job(now.job),
            text=text,
            calls=(f"SELECT {self.client.act_schema}.pgagent_{call}", f"-- sets {sets} {place}"),
            missing=_missing_grant(now, job, "may_hold", "hold"),
            by_hand=f"set jobenabled = true {place}",
            notes=("a run in progress goes on to its end",),
            unfit=f"{job} is due and about to start: hold it when it has" if is_due else None,
        )

    def job_left(self, plan: Plan, key: str) -> tuple[AgentJob | None, LookUpResult]:
        now = self.client.situation(int(plan["jobid"]), key)
        return self.job(now.job), absent_unless(now.sessions, hidden_jobs_text(now.access))
