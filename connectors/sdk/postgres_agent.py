"""The base of job agents in PostgreSQL (pg_cron, pgAgent): one session, jobs, functions of grants.sql."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, LiteralString, TypeVar

from connectors.sdk.contract import NativeHold, Probe, SecretResolver, SourcePermission
from connectors.sdk.errors import PermissionMissing
from connectors.sdk.fields import digest, epoch_instant
from connectors.sdk.job_agent import (
    Client,
    JobAgentClient,
    JobAgentConnector,
    JobAgentHolder,
    Row,
    native_ids,
    target_clock,
)
from connectors.sdk.log_chunks import read_through
from connectors.sdk.marked_pause import PauseState, holds_in, native_holds
from connectors.sdk.records import Inventory, JobRecord, SkippedRecord, TargetClock
from connectors.sdk.transport.postgres import (
    PostgresOptions,
    PostgresReader,
    PostgresSession,
    connection_parameters,
    quoted,
    session_name,
)

T = TypeVar("T")
Situation = TypeVar("Situation")
MANY_RUNS = 1_000_000
MAX_JOBS = 50_000
PIECE_CHARACTERS = 4 * 1024**2
"""Of a text of a log at a time."""


class PostgresAgentClient(JobAgentClient):
    """Queries of one database, each one snapshot."""

    access_query: ClassVar[LiteralString]
    """Role, permissions and version in one row, even without any permission."""
    jobs_query: ClassVar[LiteralString]
    hold_prefix: ClassVar[str]
    """The text of a held job that begins with the hold mark, as a regular expression."""
    tables: ClassVar[tuple[str, ...]] = ()
    _session: PostgresSession

    def read(self, work: Callable[[PostgresReader], T]) -> T:
        return self._session.read(work, self.deadline.left)

    def read_access(self, reader: PostgresReader) -> Row:
        return reader.row(self.access_query, {"act_schema": self.act_schema, "tables": list(self.tables)})

    def require_view(self, access: Row) -> None:
        """Raises NotSupported without a known agent, PermissionMissing where its tables cannot be read."""
        raise NotImplementedError

    def checked(self, reader: PostgresReader) -> Row:
        """As `read_access`. Raises as `require_view`."""
        access = self.read_access(reader)
        self.require_view(access)
        return access

    def read_jobs(self, reader: PostgresReader, jobid: int | None = None) -> list[Row]:
        return reader.rows(self.jobs_query, {"limit": MAX_JOBS + 1, "prefix": self.hold_prefix, "jobid": jobid})

    def jobs(self) -> tuple[Row, list[Row]]:
        return self.read(lambda reader: (self.checked(reader), self.read_jobs(reader)))

    def senders(self, key: str) -> int:
        """The number of our sessions that may still send the action. Read before its traces."""
        return self._session.sessions_named(session_name(key), self.deadline.left)

    def call(self, function: str, values: Mapping[str, object], key: str) -> list[Row]:
        """Calls a function of grants.sql once; the session has the key in its name."""
        return self._session.call_once(self.act_schema, function, values, self.deadline.left, session_name(key))


class PostgresAgentConnector(JobAgentConnector):
    jobs_table: ClassVar[str]

    def hidden(self, access: Row) -> str:
        """Why what the role sees is not all there is; "" where it is."""
        raise NotImplementedError

    def zone(self, access: Row) -> str:
        raise NotImplementedError

    def clock(self, access: Row) -> TargetClock:
        return target_clock(epoch_instant(access["clock"]), self.zone(access))

    def require_visible(self, access: Row, rows: Sequence[Row]) -> None:
        """Raises PermissionMissing without rows where row security may hide some."""
        if not rows and (hidden := self.hidden(access)):
            raise PermissionMissing(f"{self._agent_client.place}: {hidden}")

    def inventory_of(
        self, jobs: Iterable[JobRecord], complete: bool, defining: object, access: Row, previous_hash: str
    ) -> Inventory:
        """`defining`: everything that was read."""
        skipped = () if complete else (SkippedRecord(self.jobs_table, self.hidden(access)),)
        inventory = Inventory(tuple(jobs), complete, digest(defining), clock=self.clock(access), skipped=skipped)
        return inventory.unless_same(previous_hash)

    def probe_of(self, access: Row, permissions: Iterable[SourcePermission], notes: Iterable[str]) -> Probe:
        """Versions, permissions and notes; without the agent in this database it says so."""
        of_agent = access["version"] or "is not in this database"
        version = f"PostgreSQL {access['server_version']}, {self.agent} {of_agent}"
        count = access["about_runs"] or 0
        many = f"{self.table} has about {count} rows and {self.agent} purges none: delete old ones from time to time"
        notes = (*self._agent_client.unverified, *notes, *([many] if count > MANY_RUNS else []))
        return Probe(True, version, tuple(permissions), notes, self.clock(access))


class PostgresAgentHolder(JobAgentHolder[Client, tuple[Row, Situation]], Generic[Client, Situation]):
    """Holds of jobs that bear the mark in their own row."""

    enabled: ClassVar[str]
    """Column of a job: "active"."""
    marked_place: ClassVar[str]
    """Of the mark, before the job's number: "comment in the command of cron.job"."""

    def state(self, row: tuple[Row, Situation]) -> PauseState:
        return self.state_of(row[0])

    def state_of(self, row: Row) -> PauseState:
        return PauseState(not row[self.enabled], tuple(holds_in(str(row["hold"] or ""))))

    def details(self, row: tuple[Row, Situation], plan: Mapping[str, Any]) -> dict[str, Any]:
        return {"jobid": row[0]["jobid"]}

    def holds(self, place: str, rows: Sequence[Row]) -> tuple[NativeHold, ...]:
        """The jobs that bear the hold mark; bare where a user enabled them under it."""
        ids = native_ids(rows)
        jobs = (
            (ids[row["jobid"]], self.state_of(row), f"{self.marked_place} {row['jobid']} at {place}") for row in rows
        )
        return tuple(hold for job, now, where in jobs for hold in native_holds(job, now, where))


def agent_session(options: PostgresOptions, secrets: SecretResolver) -> PostgresSession:
    return PostgresSession(lambda: connection_parameters(options, secrets), "headway")


def policy_fix(access: Row, table: str) -> str:
    """The SQL that shows all rows of a table to the role."""
    policy, role = quoted(f"{access['role']}_all"), quoted(access["role"])
    return f"CREATE POLICY {policy} ON {table} FOR SELECT TO {role} USING (true);"


def read_pieces(reader: PostgresReader, statement: LiteralString, values: Mapping[str, object]) -> Iterator[str]:
    """A long text in parts, by a statement that selects `count` characters from the `first` on as "piece"."""

    def read(first: int, count: int) -> str:
        rows = reader.rows(statement, {"first": first + 1, "count": count, **values})
        return str(rows[0]["piece"] or "") if rows else ""

    return read_through(read, PIECE_CHARACTERS)
