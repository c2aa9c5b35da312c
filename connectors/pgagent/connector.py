"""pgAgent as a connector: history by jlgid, jobs with their steps, starts as pgAdmin's "Run now", holds as marks.

The log of a run is each step's output and result, shown as one text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta

from connectors.pgagent import actions, parse
from connectors.pgagent.client import (
    MAX_STEPS,
    STANDBY,
    PgAgentClient,
    PgAgentPage,
    hidden_jobs_text,
    permissions,
    sees_all,
)
from connectors.pgagent.options import PgAgentOptions
from connectors.sdk.contract import ConnectorKind, NativeHold, Probe, SourcePermission
from connectors.sdk.errors import PermissionMissing, RecordUnreadable
from connectors.sdk.fields import epoch_instant
from connectors.sdk.job_agent import NO_MARK, Row, add_deleted, native_ids
from connectors.sdk.poll_result import PollResult
from connectors.sdk.postgres_agent import MAX_JOBS, PostgresAgentConnector, agent_session
from connectors.sdk.records import Inventory, Poll, RunRecord, RunRef
from connectors.sdk.sequence_cursor import SequenceCursor
from connectors.sdk.states import Capability, ProofLevel, Verb
from connectors.sdk.transport.postgres import endpoint, psql_shell, targets

MISSING = {
    Capability.CANCEL: "pgAgent has none: no session of a step bears a name that proves whose it is, and a batch step"
    " has no session",
    Capability.MARK: NO_MARK,
    Capability.TASKS: "pgAgent starts and repeats a job as a whole: its steps are in the run's log and message",
    Capability.PERIODS: "a step gets no date: whenever it runs, it runs for now",
    Capability.NATIVE_DEPENDENCIES: "pgAgent knows no order between jobs: declare dependencies in the config",
}
NO_AGENT = "no pgAgent is connected to this database: it leaves when PostgreSQL goes away and nothing brings it back"
START_AGENT = "start it again on its host, best under systemd with Restart=always"
MANY_STEPS = f"it has more than {MAX_STEPS:,} steps: how it ended is not judged"
SETTLE = timedelta(seconds=2)  # a start is committed moments after its instant


class PgAgentConnector(PostgresAgentConnector):
    missing = MISSING
    agent, table, number, jobs_table, states = "pgAgent", "pgagent.pga_joblog", "jlgid", "pgagent.pga_job", parse.STATES

    def __init__(self, client: PgAgentClient) -> None:
        self._holder = actions.PgAgentHolder(client)
        super().__init__(client, actions.PgAgentReruns(client), self._holder)
        self._database = client
        self._names: dict[int, str] = {}
        """Native ids by jobid, of deleted jobs as well."""

    def hidden(self, access: Row) -> str:
        return hidden_jobs_text(access)

    def zone(self, access: Row) -> str:
        return str(access["timezone"])

    def read_inventory(self, previous_hash: str) -> Inventory:
        """All jobs. Not complete where row security may hide any; refused where nothing is seen through it."""
        plan = self._database.plan()
        self.require_visible(plan.access, plan.jobs)
        ids, zone = native_ids(plan.jobs), self.zone(plan.access)
        self._names |= ids
        steps, schedules = _by(plan.steps, "jobid"), _by(plan.schedules, "jobid")
        complete = sees_all(plan.access) and max(map(len, (plan.jobs, plan.steps, plan.schedules))) <= MAX_JOBS
        records = (
            parse.job(row, ids[row["jobid"]], steps.get(row["jobid"], []), schedules.get(row["jobid"], []), zone)
            for row in plan.jobs
        )
        fixed = [
            [f"{name}={value}" for name, value in sorted(row.items()) if name not in ("agent", "is_due")]
            for row in (*plan.jobs, *plan.steps, *plan.schedules)
        ]
        return self.inventory_of(records, complete, [zone, plan.access["hidden"], fixed], plan.access, previous_hash)

    def read_page(self, position: SequenceCursor, open_runs: Mapping[int, RunRef], again: Sequence[int]) -> Poll:
        page = self._database.page(position.after, again)
        access, clock = page.access, self.clock(page.access)
        self.require_visible(access, [*page.jobs, *page.runs])
        if position.rows_are_gone(page.newest):
            return position.restarted("pgagent.pga_joblog ends at jlgid", page.newest, clock)
        self._names |= native_ids(page.jobs)
        result = PollResult(complete=sees_all(access))
        if (stopped := _agent_permission(access, page.agents)) is not None:
            result.stopped = stopped.problem
        if not sees_all(access):
            result.warn(hidden_jobs_text(access))
        added = self.add_runs((*page.again, *page.runs), self._parser(page), result)
        existing = {row["jlgid"] for row in page.again}
        starts = ((row["jlgid"], epoch_instant(row["started"])) for row in page.runs)
        unsettled: dict[int, float | None] = {row["jlgid"]: None for row, run in added if parse.may_change(run)}
        unsettled |= position.still_missing(starts, existing, clock.target)
        if sees_all(access):
            add_deleted(result, open_runs, existing)
        proves = result.complete and not access["is_standby"] and not page.is_full
        return result.poll(
            SequenceCursor(max([position.after, *(row["jlgid"] for row in page.runs)]), unsettled).text(),
            more=page.is_full,
            clock=clock,
            seen_until=clock.target - SETTLE if proves else None,
        )

    def _parser(self, page: PgAgentPage) -> Callable[[Row], RunRecord | None]:
        steps_by_run = _by(page.steps, "jlgid")
        alive = {row["jagpid"] for row in page.agents if row["alive"]}
        with_agent = {row["jobid"] for row in page.jobs if row["agent"] in alive}
        keys = {row["jlgid"]: str(row["action_key"]) for row in page.started if row["jlgid"] is not None}

        def record_of(row: Row) -> RunRecord | None:
            jlgid, steps = row["jlgid"], steps_by_run.get(row["jlgid"], [])
            if row["status"] == "i" and not steps:
                return None  # left by an agent that came second to a job: a number without steps, and not a run
            if jlgid in page.unread:
                raise RecordUnreadable(MANY_STEPS)
            return parse.run(row, steps, self._names, row["jobid"] in with_agent, keys.get(jlgid))

        return record_of

    def read_holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """By the first lines of the comments. Raises PermissionMissing where row security may hide any job."""
        access, rows = self._database.jobs()
        if "pga_job" in access["hidden"]:
            raise PermissionMissing(f"{self._database.place}: {hidden_jobs_text(access)}")
        return self._holder.holds(self._database.place, rows)

    def read_permissions(self) -> Probe:
        access, agents = self._database.access()
        stopped = _agent_permission(access, agents) if "pga_jobagent" in access["readable"] else None
        notes = [hidden_jobs_text(access)] if access["version"] and not sees_all(access) else []
        notes += [f"agent on {row['jagstation']}" for row in agents if row["alive"]]
        return self.probe_of(access, (*permissions(access), *filter(None, [stopped])), notes)


def _agent_permission(access: Row, agents: Sequence[Row]) -> SourcePermission | None:
    """Why no job starts, whatever the schedules say; None where jobs start."""
    if access["is_standby"]:
        return SourcePermission("jobs start here", False, STANDBY, "name the primary as its host", is_grantable=False)
    if access["version"] and not any(agent["alive"] for agent in agents):
        return SourcePermission("jobs start here", False, NO_AGENT, START_AGENT, is_grantable=False)
    return None


def _by(rows: Sequence[Row], name: str) -> dict[int, list[Row]]:
    by_key: dict[int, list[Row]] = {}
    for row in rows:
        by_key.setdefault(row[name], []).append(row)
    return by_key


CONNECTOR = ConnectorKind(
    kind="pgagent",
    title="pgAgent (PostgreSQL)",
    options=PgAgentOptions,
    targets=targets,
    open=lambda options, target, secrets: PgAgentConnector(
        PgAgentClient(agent_session(options, secrets), options.act_schema)
    ),
    capabilities=frozenset({Capability.RERUN, Capability.START, Capability.HOLD, Capability.LOG}),
    start_within=actions.START_WITHIN,
    missing=MISSING,
    proofs=frozenset({ProofLevel.FULL}),
    verbs={
        Verb.RERUN: "run now (jobnextrun = now)",
        Verb.START: "run now (jobnextrun = now)",
        Verb.HOLD: "jobenabled = false",
        Verb.RELEASE: "jobenabled = true",
    },
    schedules="expression",
    ladder="Proves start, end and outcome of every run by its row in pga_joblog, and each step's result; a job that "
    "succeeded with a failed step is PARTIAL. A step's output may be another's: it is shown and proves nothing. A run "
    "whose agent died has no end.",
    shell=psql_shell,
    endpoint=endpoint,
)
