"""pgAgent actions: rerun, start, hold and release.

A rerun makes the job due now, as pgAdmin's "Run now" does, with our key beside it: pgAgent's log has no place for a
key. The function of grants.sql writes key, job and the newest jlgid of that job in the transaction that sets
`jobnextrun`; it acts only on a job that is idle and not due, so the job's next row is that run.

A hold is `jobenabled = false` under the hold mark, the first line of the job's comment (jobdesc).
"""

from __future__ import annotations

from datetime import timedelta

from connectors.pgagent.client import GRANTS, STANDBY, PgAgentClient, PgAgentSituation, hidden_jobs_text
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, HoldMark, LookUpResult, Preview, Receipt
from connectors.sdk.errors import ActionRefused
from connectors.sdk.job_agent import Plan, Row, absent_unless, native_ids, number_in, running_note
from connectors.sdk.marked_pause import MarkedPause, PauseState
from connectors.sdk.postgres_agent import PostgresAgentHolder
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


class PgAgentReruns:
    plans = ("start",)

    def __init__(self, client: PgAgentClient) -> None:
        self.client = client

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
            plan={"how": "start", "jobid": jobid},
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


PgAgentJob = tuple[Row, PgAgentSituation]


class PgAgentHolder(PostgresAgentHolder[PgAgentClient, PgAgentSituation]):
    marking = MarkedPause("pgAgent", "disabled", "comment", replaces_marks=False, is_one_step=True)
    pause, resume, unit = "disable", "enable", "the pgAgent job"
    hold_notes = ("a run in progress goes on to its end",)
    enabled, marked_place = "enabled", "first line of the comment of pgAgent job"

    def read(self, job: str) -> PgAgentJob:
        _, now = find(self.client, RunRef(job, "", "", ""))
        if now.job is None:
            raise ActionRefused(f"{job} is no longer in pgagent.pga_job")
        return now.job, now

    def by_hand(self, job: str, row: PgAgentJob) -> str:
        return f"set jobenabled = true in pgagent.pga_job {row[0]['jobid']}"

    def missing_right(self, job: str, row: PgAgentJob, how: str) -> str | None:
        return _missing_grant(row[1], job, "may_hold", "hold")

    def hold_refusal(self, job: str, row: PgAgentJob, now: PauseState) -> str | None:
        is_due = row[0]["is_due"] and row[0]["agent"] is None
        due = f"{job} is due and about to start: hold it when it has" if is_due else None
        return super().hold_refusal(job, row, now) or due

    def hold_calls(self, row: PgAgentJob, plan: Plan, mark: HoldMark) -> tuple[str, ...]:
        sets = f"jobenabled = false, jobdesc = '{mark.text}' || E'\\n' || jobdesc"
        return self._calls(row[0]["jobid"], "hold", "'<key>', …", sets)

    def release_calls(self, row: PgAgentJob, plan: Plan) -> tuple[str, ...]:
        enables = plan["how"] == "release"
        sets = f"{'jobenabled = true, ' if enables else ''}jobdesc without the hold mark"
        return self._calls(row[0]["jobid"], "release", f"'{plan['hold']}', {str(enables).lower()}", sets)

    def _calls(self, jobid: int, function: str, values: str, sets: str) -> tuple[str, ...]:
        call = f"SELECT {self.client.act_schema}.pgagent_{function}({jobid}, {values})"
        return call, f"-- sets {sets} in pgagent.pga_job {jobid}"

    def state_left(self, plan: Plan, key: str) -> tuple[PauseState | None, LookUpResult]:
        now = self.client.situation(int(plan["jobid"]), key)
        state = None if now.job is None else self.state_of(now.job)
        return state, absent_unless(now.sessions, hidden_jobs_text(now.access))
