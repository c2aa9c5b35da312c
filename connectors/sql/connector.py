"""Any tables of jobs and runs in PostgreSQL, as a connector: queries and meaning of columns stand in the config."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import itemgetter

from connectors.sdk.contract import (
    ActionSpec,
    Connector,
    ConnectorKind,
    LookUpResult,
    NativeHold,
    Preview,
    Probe,
    Receipt,
    SecretResolver,
    SourcePermission,
)
from connectors.sdk.errors import AccessRefused, NotSupported, RecordUnreadable
from connectors.sdk.field_mapping import (
    AheadOfClock,
    Row,
    instant_at,
    inventory_of,
    read_run,
    skipped,
    text_at,
    unknown_states,
    value_at,
)
from connectors.sdk.fields import read_cursor
from connectors.sdk.records import Inventory, LogChunk, Poll, RunRecord, RunRef, SkippedRecord
from connectors.sdk.sequence_cursor import SequenceCursor
from connectors.sdk.settle import send_timeout, unless_in_flight
from connectors.sdk.states import Capability, ProofLevel, RunState, Verb
from connectors.sdk.transport.budget import Deadline
from connectors.sdk.transport.postgres import PostgresSession, connection_parameters, psql_shell, targets
from connectors.sdk.vanished_runs import no_longer_listed
from connectors.sql import actions
from connectors.sql.client import MOST_AGAIN, MOST_JOBS, SqlClient, SqlRows
from connectors.sql.options import SqlOptions

MOST_KEPT = 1000
"""Ids and numbers in a cursor; the engine hands open runs back as well."""


@dataclass(frozen=True, slots=True)
class SqlCursor:
    """`after`: the furthest value of the cursor's column. `again`: ids of runs that were open. `missing`: numbers below
    `after` that were not there, and since when they are missed. `at`: of times, where a walk over bites goes on."""

    after: str = ""
    again: tuple[str, ...] = ()
    missing: Mapping[int, float | None] = field(default_factory=dict)
    at: str = ""

    def text(self) -> str:
        missing = dict(sorted(self.missing.items())[-MOST_KEPT:])
        again = list(dict.fromkeys(self.again))[-MOST_KEPT:]
        document = {"after": self.after, "again": again, "missing": missing, "at": self.at}
        return json.dumps(document, separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> SqlCursor | None:
        return read_cursor(cls, text)


def number_of(text: str) -> int:
    """A whole number as the column has it; -1 for what is none."""
    return int(text) if text.lstrip("-").isdigit() and text.isascii() else -1


def earlier(text: str, seconds: float) -> str:
    """A time so many seconds before; as it is where it is none."""
    at = time_of(text)
    return text if at is None else (at - timedelta(seconds=seconds)).isoformat()


def later_of(name: str, other: str, most: datetime) -> str:
    """The later of two times, but none behind `most`: a row may stand in the future."""
    times = {at: text for text in (name, other) if (at := time_of(text)) is not None}
    if not times:
        return other or name
    return times[max(times)] if max(times) <= most else most.isoformat()


def time_of(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


SETTLE = timedelta(seconds=5)
"""A row is committed moments after its instant."""
NO_LOG = "the config names no log of a run: add [systems.NAME.log] with its query"
NO_HOLD = "a hold needs a place for our mark at the source; this kind knows none"


class SqlConnector:
    def __init__(self, client: SqlClient) -> None:
        self._client = client
        self._options = client.options

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        """All rows of the jobs' query. Not complete where one of them cannot be read."""
        result = self._client.jobs(timeout_seconds)
        proof = ProofLevel.FULL if self._options.log else ProofLevel.EXIT
        cut = f"more than {MOST_JOBS} rows: no more are read" if result.is_full else ""
        return inventory_of(result.rows, self._options.jobs, proof, previous_hash, result.clock, cut)

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        """The next bite of rows by the cursor's column; the runs that were open, as they are now; and rows that were
        committed behind others."""
        at = SqlCursor.read(cursor)
        if at is None:
            return Poll(
                (), SqlCursor().text(), more=True, warnings=("the cursor is not valid: reading from the start",)
            )
        refs = {ref.attempt_key: ref for ref in open_runs}
        requested = sorted({*at.again, *refs})[:MOST_AGAIN]
        start = self._start(at)
        result = self._client.runs(start, requested, sorted(at.missing), timeout_seconds)
        furthest = self._furthest(result.rows, start)
        if result.is_full and furthest == start:
            raise NotSupported(self._stuck(start))
        runs, bad, ahead = self._runs(result)
        still = (*(run.attempt_key for run in runs if run.state.is_open), *ahead)
        if "{open}" in self._options.runs.query and not result.is_full and not bad:
            reported = {run.attempt_key for run in runs}
            lost = [ref for key, ref in sorted(refs.items()) if key not in reported and key in requested]
            runs += [no_longer_listed(ref, "gone", "its row was deleted", RunState.UNKNOWN) for ref in lost]
        return Poll(
            tuple(sorted(runs, key=lambda run: str(run.started_at or run.queued_at or ""))),
            self._following(at, result, furthest, still).text(),
            more=result.is_full,
            complete=not bad,
            clock=result.clock,
            skipped=tuple(bad),
            seen_until=None if result.is_full or bad else result.clock.target - SETTLE,
            warnings=unknown_states(runs),
        )

    def _start(self, at: SqlCursor) -> str:
        """A walk goes on where it was. A new one begins before the newest time: an older one may be committed later."""
        if self._options.runs.cursor_is == "number":
            return at.after
        return at.at or earlier(at.after, self._options.overlap)

    def _following(self, at: SqlCursor, rows: SqlRows, furthest: str, still: tuple[str, ...]) -> SqlCursor:
        again = (*still, *(at.again if rows.is_full else ()))
        if self._options.runs.cursor_is == "time":
            after = later_of(at.after, furthest, rows.clock.target)
            return SqlCursor(after, again, at=furthest if rows.is_full else "")
        existing = {self._number(row) for row in rows.again}
        new = [(self._number(row), self._written(row) if rows.is_full else None) for row in rows.rows]
        now, wait = rows.clock.target, self._options.overlap
        numbers = SequenceCursor(number_of(at.after), at.missing)
        missing = numbers.still_missing(sorted(new, key=itemgetter(0)), existing, now, wait)
        return SqlCursor(furthest, again, missing if wait else {})

    def _stuck(self, start: str) -> str:
        column = self._options.runs.cursor
        if self._options.runs.cursor_is == "time":
            return f"more rows than one bite have {column} {start}: use a number as cursor"
        return f"more rows than one bite, and none has a whole number above {start or 0} as {column}: correct cursor"

    def _number(self, row: Row) -> int:
        return number_of(str(value_at(row, self._options.runs.cursor)))

    def _written(self, row: Row) -> datetime | None:
        """The newest instant in a row: in old history nothing is missed that may still come."""
        fields = self._options.runs
        try:
            times = [instant_at(row, path, fields) for path in (fields.queued, fields.started, fields.ended)]
        except RecordUnreadable:
            return None
        return max((at for at in times if at is not None), default=None)

    def _runs(self, rows: SqlRows) -> tuple[list[RunRecord], list[SkippedRecord], list[str]]:
        """The runs, what cannot be read, and the ids of those that are still to come by their own times."""
        runs: dict[str, RunRecord] = {}
        bad, ahead = [], []
        for number, row in enumerate([*rows.rows, *rows.again], 1):
            try:
                run = read_run(row, self._options.runs, self._options.states, rows.clock)
                runs[run.attempt_key] = run
            except RecordUnreadable as error:
                bad.append(skipped(f"run {number}", row, error))
                ahead += [text_at(row, self._options.runs.id)] if isinstance(error, AheadOfClock) else []
        return list(runs.values()), bad, ahead

    def _furthest(self, rows: Sequence[Row], start: str) -> str:
        """The cursor's value in the last row: they come in its order."""
        values = [value_at(row, self._options.runs.cursor) for row in rows]
        reported = [
            str(value) for value in values if isinstance(value, str | int | float) and not isinstance(value, bool)
        ]
        if not reported:
            return start
        if self._options.runs.cursor_is == "number":
            most = max(map(number_of, reported))
            return str(most) if most > number_of(start) else start
        return reported[-1]

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        """What the log's query gives. Raises NotSupported without one, or without a row."""
        if self._options.log is None:
            raise NotSupported(NO_LOG)
        chunk = self._client.log(run, start, limit_bytes, timeout_seconds)
        if chunk is None:
            raise NotSupported(f"there is no log of run {run.attempt_key} of {run.job} (any more)")
        return chunk

    def preview(self, spec: ActionSpec, timeout_seconds: float) -> Preview:
        return actions.preview(self._client, spec, timeout_seconds)

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        return actions.send(self._client, preview.plan, key, send_timeout(preview, timeout_seconds))

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUpResult:
        return unless_in_flight(actions.look_up(self._client, preview.plan, key, timeout_seconds), preview)

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        raise NotSupported(NO_HOLD)

    def probe(self, timeout_seconds: float) -> Probe:
        """Both queries are run, and the statements of verbs planned; what is not allowed is a missing right."""
        deadline = Deadline(timeout_seconds)
        jobs = self._client.jobs(deadline.left)
        rights = [SourcePermission("read jobs", True)]
        try:
            self._client.runs("", (), (), deadline.left)
            rights.append(SourcePermission("read runs", True))
        except AccessRefused as error:
            rights.append(
                SourcePermission("read runs", False, str(error), "GRANT SELECT on the tables that runs.query names")
            )
        rights += actions.permissions(self._client, deadline)
        return Probe(True, f"PostgreSQL {jobs.version}", tuple(rights), clock=jobs.clock)

    def close(self) -> None:
        self._client.close()


def unnamed(options: SqlOptions) -> dict[Capability, str]:
    """What config names no statement for."""
    result = {
        Capability(verb.value): actions.unnamed(verb)
        for verb in actions.VERBS
        if actions.call_of(options, verb) is None
    }
    return result if options.log is not None else {**result, Capability.LOG: NO_LOG}


def open_connector(options: SqlOptions, target: str, secrets: SecretResolver) -> Connector:
    session = PostgresSession(lambda: connection_parameters(options, secrets), "headway")
    return SqlConnector(SqlClient(options, session))


CONNECTOR = ConnectorKind(
    kind="sql",
    title="Any tables in PostgreSQL, mapped in the config",
    options=SqlOptions,
    targets=targets,
    open=open_connector,
    capabilities=frozenset({Capability.RERUN, Capability.START, Capability.CANCEL, Capability.LOG}),
    missing={
        Capability.MARK: "Headway records the result as asserted",
        Capability.HOLD: NO_HOLD,
        Capability.TASKS: "a run is read as a whole",
        Capability.PERIODS: "what a rerun works on is up to your statement",
        Capability.NATIVE_DEPENDENCIES: "declare dependencies in the config",
    },
    lacks=unnamed,
    proofs=frozenset({ProofLevel.EXIT, ProofLevel.FULL}),
    verbs={Verb.RERUN: "what verbs.rerun names", Verb.START: "what verbs.start names", Verb.CANCEL: "verbs.cancel"},
    may_start_early=True,
    schedules="expression",
    ladder="Proves what the rows say of a run's end, by the words that states names; any other word is UNKNOWN. With a "
    "log's query it proves output as well.",
    shell=psql_shell,
)
