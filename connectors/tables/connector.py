"""Tables as a connector: a table is a job, each commit that brings data is a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from connectors.sdk.composed import WatchOnly
from connectors.sdk.contract import ConnectorKind, Probe, SourcePermission
from connectors.sdk.errors import AccessRefused, ConnectorError, NotSupported, SystemUnreachable
from connectors.sdk.fields import as_json, clean, cursor_or_first
from connectors.sdk.records import (
    HistoryGap,
    Inventory,
    JobRecord,
    LogChunk,
    Poll,
    RunRecord,
    RunRef,
    Schedule,
    SkippedRecord,
    TargetClock,
    instant_key,
)
from connectors.sdk.states import Capability, ProofLevel, RunEvidence, RunState
from connectors.sdk.transport.call_limits import Deadline
from connectors.tables.client import Commit, Position, TableReader
from connectors.tables.options import TableOptions, TablesOptions

TARGET = "tables"
MAX_COMMITS = 1000
"""Commits that are read of one table at once, the newest."""
NO_ACTIONS = "a table does not know what writes it: rerun, start or hold the job that does"
NO_LOG = "a table keeps no log; the job that writes it does"


@dataclass(frozen=True, slots=True)
class TablesCursor:
    tables: Mapping[str, Position] = field(default_factory=dict)


def run_of(name: str, table: TableOptions, zone: str, commit: Commit) -> RunRecord | None:
    """The commit as a run; None for one that brings no data."""
    if commit.is_known and not commit.brings_data:
        return None
    ended = commit.at
    at = table.expected.time_of(ended, zone) if ended is not None and table.expected is not None else None
    return RunRecord(
        job=name,
        attempt_key=commit.key,
        state=RunState.SUCCEEDED if commit.brings_data else RunState.UNKNOWN,
        native_state=clean(commit.operation) or "(none)",
        evidence=RunEvidence.NATIVE,
        period_key=instant_key(at) if at is not None else None,
        period_at=at,
        started_at=ended - timedelta(milliseconds=commit.milliseconds) if ended is not None else None,
        ended_at=ended,
        native_ref=commit.key,
        context={"rows": commit.rows, "by": clean(commit.by)} if commit.rows is not None else {"by": clean(commit.by)},
    )


class TablesConnector(WatchOnly):
    no_actions = NO_ACTIONS

    def __init__(
        self, options: TablesOptions, reader: TableReader, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._options, self._reader, self._now = options, reader, now

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        """The tables of the config. Raises SystemUnreachable or AccessRefused where the first cannot be reached."""
        self._reader.deadline = Deadline(timeout_seconds)
        self._reader.check(next(iter(self._options.tables.values())))
        jobs = []
        for name, table in self._options.tables.items():
            schedule = table.expected.schedule(self._options.zone) if table.expected else Schedule("none")
            definition = f"Delta table {table.delta}" if table.delta else f"Iceberg table {table.iceberg}"
            jobs.append(
                JobRecord(
                    name, table.title or name, schedule, definition=definition, definition_hash=definition,
                    proof=ProofLevel.EXIT,
                )
            )  # fmt: skip
        return Inventory.of(jobs, clock=self._clock()).unless_same(previous_hash)

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        self._reader.deadline = Deadline(timeout_seconds)
        before, warnings = cursor_or_first(TablesCursor(), cursor)
        now, after, skipped = self._now(), dict[str, Position](), list[SkippedRecord]()
        runs, gaps, notes = self._poll(before, after, skipped)
        return Poll(
            tuple(sorted(runs, key=lambda run: (run.ended_at or now, run.job))),
            as_json(TablesCursor(after)),
            complete=not skipped,
            clock=self._clock(),
            skipped=tuple(skipped),
            gaps=tuple(gaps),
            seen_until=None if skipped else now,
            warnings=(*warnings, *dict.fromkeys(notes)),
        )

    def _poll(
        self, before: TablesCursor, after: dict[str, Position], skipped: list[SkippedRecord]
    ) -> tuple[list[RunRecord], list[HistoryGap], list[str]]:
        """Runs, gaps and warnings of all tables. Raises the error of the last one where none can be read."""
        runs, gaps, notes = list[RunRecord](), list[HistoryGap](), list[str]()
        failure: ConnectorError | None = None
        for name, table in self._options.tables.items():
            after[name] = position = before.tables.get(name, Position())
            try:
                new = self._reader.new_commits(table, position, MAX_COMMITS)
            except (SystemUnreachable, AccessRefused, NotSupported) as error:
                failure = error
                skipped.append(SkippedRecord(name, str(error)))
                continue
            after[name] = new.position
            if new.is_cut:
                until = new.commits[0].at if new.commits else None
                reason = f"commits between two polls are no longer in its log, or more than {MAX_COMMITS:,}"
                gaps.append(HistoryGap(None, until, f"{name}: {reason}"))
            for commit in new.commits:
                run = run_of(name, table, self._options.zone, commit)
                if run is not None and run.ended_at is None:
                    notes.append(f"{name}: a commit without a time that a calendar holds is left out: {commit.key}")
                elif run is not None:
                    runs.append(run)
                if not commit.is_known:
                    notes.append(f"{name}: operation {commit.operation!r} of a commit is not known to Headway")
        if failure is not None and len(skipped) == len(self._options.tables):
            raise failure
        return runs, gaps, notes

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        raise NotSupported(NO_LOG)

    def probe(self, timeout_seconds: float) -> Probe:
        """Whether each table can be read. Raises SystemUnreachable where none can be reached."""
        self._reader.deadline = Deadline(timeout_seconds)
        rights, failure = list[SourcePermission](), None
        for name, table in self._options.tables.items():
            try:
                self._reader.check(table)
                rights.append(SourcePermission(f"read {name}", True))
            except SystemUnreachable as error:
                failure = error
                rights.append(_unread(name, None, error))
            except ConnectorError as error:
                rights.append(_unread(name, False, error))
        if failure is not None and all(right.held is None for right in rights):
            raise failure
        return Probe(True, rights=tuple(rights), clock=self._clock())

    def close(self) -> None:
        self._reader.close()

    def _clock(self) -> TargetClock:
        """Our own: commits carry the times of their writers."""
        now = self._now()
        return TargetClock(now, now, self._options.zone)


def _unread(name: str, held: bool | None, error: ConnectorError) -> SourcePermission:
    why, _, fix = str(error).partition(". Fix: ")
    return SourcePermission(f"read {name}", held, why, fix)


CONNECTOR = ConnectorKind(
    kind="tables",
    title="Delta and Iceberg tables",
    options=TablesOptions,
    targets=lambda options: [TARGET],
    open=lambda options, target, secrets: TablesConnector(options, TableReader(options, secrets)),
    capabilities=frozenset(),
    missing={
        **dict.fromkeys((Capability.RERUN, Capability.START, Capability.CANCEL, Capability.HOLD), NO_ACTIONS),
        Capability.MARK: "no scheduler has the run; Headway records its result as asserted",
        Capability.LOG: NO_LOG,
        Capability.TASKS: "a table has no tasks",
        Capability.PERIODS: "a commit has no date: it is of the last expected time, or of one at most `early` ahead",
        Capability.NATIVE_DEPENDENCIES: "declare what writes it, and what reads it: [[dependencies]]",
    },
    proofs=frozenset({ProofLevel.EXIT}),
    may_start_early=True,
    dates_runs=True,
    schedules="expression",
    ladder=(
        f"Proves that a commit with new rows is in the table's log, its time by the writer's clock, and its rows where"
        f" the writer counts them. A write that failed leaves no commit: it shows as a missed run. Of a first poll the"
        f" newest {MAX_COMMITS:,} commits are read."
    ),
)
