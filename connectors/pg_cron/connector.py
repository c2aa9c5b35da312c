"""pg_cron as a connector: history by runid, jobs by name, reruns as one-shot entries, holds as marks in commands."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from connectors.pg_cron import actions, parse
from connectors.pg_cron.client import PgCronClient, hidden_jobs_text, permissions, sees_all, stopped_by
from connectors.pg_cron.options import PgCronOptions
from connectors.sdk.contract import ConnectorKind, NativeHold, Probe
from connectors.sdk.errors import PermissionMissing
from connectors.sdk.fields import EPOCH, epoch_instant
from connectors.sdk.job_agent import NO_MARK, Row, add_deleted, native_ids
from connectors.sdk.poll_result import PollResult
from connectors.sdk.postgres_agent import MAX_JOBS, PostgresAgentConnector, agent_session
from connectors.sdk.records import Inventory, Poll, RunRef
from connectors.sdk.sequence_cursor import SequenceCursor
from connectors.sdk.states import Capability, ProofLevel, Verb
from connectors.sdk.transport.postgres import endpoint, psql_shell, targets

SETTLE = timedelta(seconds=2)  # a start is committed moments after its instant
MISSING = {
    Capability.MARK: NO_MARK,
    Capability.TASKS: "a pg_cron job is one command, without tasks",
    Capability.PERIODS: "a command gets no date: whenever it runs, it runs for now",
    Capability.NATIVE_DEPENDENCIES: "pg_cron knows no order between jobs: declare dependencies in the config",
}


class PgCronConnector(PostgresAgentConnector):
    missing = MISSING
    agent, table, number, jobs_table, states = "pg_cron", "cron.job_run_details", "runid", "cron.job", parse.STATES

    def __init__(self, client: PgCronClient) -> None:
        self._holder = actions.PgCronHolder(client)
        super().__init__(client, actions.PgCronReruns(client), self._holder, actions.PgCronCancels(client))
        self._database = client
        self._names = parse.PgCronJobNames()

    def hidden(self, access: Row) -> str:
        return hidden_jobs_text(access)

    def zone(self, access: Row) -> str:
        return parse.zone_of(access)

    def read_inventory(self, previous_hash: str) -> Inventory:
        """All entries but our own one-shots. Not complete where row security hides any; refused where it hides all."""
        access, rows = self._database.jobs()
        jobs = [row for row in rows if not parse.is_entry(row)]
        self.require_visible(access, jobs)
        self._names = self._names.with_jobs(jobs)
        ids, zone = native_ids(jobs), self.zone(access)
        fixed = [[f"{name}={value}" for name, value in sorted(row.items())] for row in jobs]
        complete = bool(access["sees_all_jobs"]) and len(rows) <= MAX_JOBS
        records = (parse.job(row, ids[row["jobid"]], zone) for row in jobs)
        defining = [access["version"], zone, sees_all(access), fixed]
        return self.inventory_of(records, complete, defining, access, previous_hash)

    def read_page(self, position: SequenceCursor, open_runs: Mapping[int, RunRef], again: Sequence[int]) -> Poll:
        """As the base says. One-shot entries of ours that have run are removed."""
        page = self._database.page(position.after, again)
        access, clock = page.access, self.clock(page.access)
        self.require_visible(access, [*page.jobs, *page.runs])
        if position.rows_are_gone(page.newest):
            return position.restarted("cron.job_run_details ends at runid", page.newest, clock)
        self._names = self._names.with_jobs(page.jobs)
        result = PollResult(complete=sees_all(access) and access["log_run"] != "off")
        stopped = stopped_by(access)
        result.stopped = stopped.problem if stopped is not None else ""
        if hidden := hidden_jobs_text(access) if access["version"] and not sees_all(access) else "":
            result.warn(hidden)
        for text in (*self._warnings(access), *actions.tidy(self._database, page, clock.target)):
            result.warn(text)
        is_live = position.is_live and not page.is_full
        bounds = parse.start_bounds(page.runs, clock.target, is_live)
        bounds |= {runid: EPOCH + timedelta(seconds=at) for runid, at in position.again.items() if at is not None}
        rows = (*page.again, *page.runs)
        launched = None if access["is_standby"] else epoch_instant(access["launched"])
        last = page.runs[-1]["runid"] if page.runs and not is_live else None  # its bound may be too early
        added = self.add_runs(
            rows,
            lambda row: parse.run(
                row, self._names, bounds.get(row["runid"]), launched if row["runid"] != last else None
            ),
            result,
        )
        unsettled = {
            row["runid"]: record.queued_at.timestamp() if record.queued_at else None
            for row, record in added
            if not parse.is_settled(record, clock.target)
        }
        if sees_all(access):
            add_deleted(result, open_runs, {row["runid"] for row in page.again})
        after = max([position.after, *(row["runid"] for row in page.runs)])
        proves = result.complete and not access["is_standby"] and not page.is_full
        return result.poll(
            SequenceCursor(after, unsettled, is_live=not page.is_full).text(),
            more=page.is_full,
            clock=clock,
            seen_until=clock.target - SETTLE if proves else None,
        )

    def read_holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """By the comments before the commands. Raises PermissionMissing where row security hides any job."""
        access, rows = self._database.jobs()
        if not access["sees_all_jobs"]:
            raise PermissionMissing(f"{self._database.place}: {hidden_jobs_text(access)}")
        return self._holder.holds(self._database.place, [row for row in rows if not parse.is_entry(row)])

    def read_permissions(self) -> Probe:
        access = self._database.access()
        return self.probe_of(access, permissions(access), self._warnings(access))

    def _warnings(self, access: Row) -> list[str]:
        warnings = []
        if access["log_run"] == "off":
            warnings.append(
                "cron.log_run is off: runs leave no rows and cannot be seen; set it on and restart PostgreSQL"
            )
        return warnings


CONNECTOR = ConnectorKind(
    kind="pg_cron",
    title="pg_cron (PostgreSQL)",
    options=PgCronOptions,
    targets=targets,
    open=lambda options, target, secrets: PgCronConnector(
        PgCronClient(agent_session(options, secrets), options.act_schema)
    ),
    capabilities=frozenset({Capability.RERUN, Capability.START, Capability.CANCEL, Capability.HOLD, Capability.LOG}),
    start_within=actions.START_WITHIN,
    starts_held=True,
    missing=MISSING,
    proofs=frozenset({ProofLevel.FULL}),
    verbs={
        Verb.RERUN: "run once, as an entry of its own",
        Verb.START: "run once, as an entry of its own",
        Verb.CANCEL: "pg_cancel_backend",
        Verb.HOLD: "cron.alter_job(active := false)",
        Verb.RELEASE: "cron.alter_job(active := true)",
    },
    schedules="expression",
    ladder="Proves start, end and outcome of every run by its row in cron.job_run_details; output is the last command "
    "tag or the error. Runs that could not connect, and those that a restart of PostgreSQL cut, have no end.",
    shell=psql_shell,
    endpoint=endpoint,
)
