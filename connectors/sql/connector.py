"""Any tables of jobs and runs, as a connector: queries and meaning of columns are in the config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, Literal, Self

from pydantic import model_validator

from connectors.profiles.header import ProfileHeader
from connectors.sdk.composed import ComposedConnector
from connectors.sdk.contract import ConnectorKind, Probe, SecretResolver, SourcePermission
from connectors.sdk.errors import (
    AccessRefused,
    ActionRefused,
    NotSupported,
    PermissionMissing,
    RecordUnreadable,
    SystemUnreachable,
)
from connectors.sdk.field_mapping import (
    RESULTS,
    AheadOfClock,
    Row,
    instant_at,
    inventory_of,
    read_run,
    text_at,
    unknown_states,
    value_at,
    with_zones,
)
from connectors.sdk.fields import as_json
from connectors.sdk.mapped_actions import (
    EXPLAINED_CAPABILITIES,
    KEY_PLACEHOLDER,
    MAPPED_CAPABILITIES,
    UNMAPPED_CAPABILITIES,
    VERB_NAMES,
    MappedActions,
    missing_log,
)
from connectors.sdk.mapped_liveness import MappedHealth
from connectors.sdk.poll_result import PollResult
from connectors.sdk.records import HistoryGap, Inventory, LogChunk, Poll, RunRecord, RunRef
from connectors.sdk.sequence_cursor import SequenceCursor
from connectors.sdk.states import Capability, ProofLevel, RunState, Verb
from connectors.sdk.transport.postgres import PostgresOptions, endpoint, psql_shell, targets
from connectors.sdk.vanished_runs import no_longer_listed
from connectors.sql.client import LAST, MAX_AGAIN, MAX_JOBS, SqlClient, SqlRows
from connectors.sql.drivers import open_database
from connectors.sql.hold import SqlHolder
from connectors.sql.options import DsnOptions, SqlMapping, SqlOptions, SqlVerbQuery

MAX_STORED = 1000  # ids and numbers in a cursor; the engine hands open runs back as well


@dataclass(frozen=True, slots=True)
class SqlCursor:
    """`after`: the furthest value of the cursor's column. `again`: ids of runs that were open. `missing`: numbers below
    `after` that were not there, and since when they are missed. `at`: of times, where a walk over pages goes on."""

    after: str = ""
    again: tuple[str, ...] = ()
    missing: Mapping[int, float | None] = field(default_factory=dict)
    at: str = ""

    def text(self) -> str:
        missing = dict(sorted(self.missing.items())[-MAX_STORED:])
        again = tuple(dict.fromkeys(self.again))[-MAX_STORED:]
        return as_json(replace(self, again=again, missing=missing))


def number_of(text: str) -> int:
    """A whole number as the column has it; -1 for any other text."""
    return int(text) if text.lstrip("-").isdigit() and text.isascii() else -1


def earlier(text: str, seconds: float) -> str:
    """The time so many seconds before; any other text unchanged."""
    at = time_of(text)
    return text if at is None else (at - timedelta(seconds=seconds)).isoformat()


def later_of(first: str, second: str, most: datetime) -> str:
    """The later of two times, but at most `most`: a row may be in the future."""
    times = {at: text for text in (first, second) if (at := time_of(text)) is not None}
    if not times:
        return second or first
    return times[max(times)] if max(times) <= most else most.isoformat()


def time_of(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


SETTLE = timedelta(seconds=5)  # a row is committed moments after its instant


class SqlActions(MappedActions[SqlVerbQuery]):
    what, setting, id_place = "statement", "query", "run"

    def __init__(self, client: SqlClient) -> None:
        self._client, options = client, client.options
        holder = None if options.hold is None else SqlHolder(client, options.hold)
        super().__init__(options.verbs, options.runs, options.states, holder, client.lacks)

    def shown(self, call: SqlVerbQuery, verb: Verb, values: Mapping[str, str]) -> tuple[str, str, tuple[str, ...]]:
        statement, given = " ".join(call.query.split()), {**self._client.values, **values, "key": KEY_PLACEHOLDER}
        bound = ", ".join(f"{place} = {given[place]!r}" for place in call.places)
        return call.title or VERB_NAMES[verb], statement, (statement, *([f"-- {bound}"] if bound else []))

    def check(self, call: SqlVerbQuery, verb: Verb, values: Mapping[str, str]) -> None:
        for place in call.places:
            if any("\ud800" <= character <= "\udfff" or character == "\0" for character in values.get(place, "")):
                raise ActionRefused(f"{{{place}}} holds bytes that are not text, which cannot be sent back")
        permission = self._permission("", call, "")
        if permission.held is False:
            raise ActionRefused(permission.why)

    def notes(self, verb: Verb) -> tuple[str, ...]:
        unproved = "" if verb in RESULTS else self._client.run_with_key(KEY_PLACEHOLDER)[1]
        return (*super().notes(verb), *([f"a lost answer would stay unknown: {unproved}"] if unproved else []))

    def _permission(self, name: str, call: SqlVerbQuery, setting: str) -> SourcePermission:
        """Whether the role may run the statement, as far as the server reports it without running it."""
        fix = f"grant what {name} needs: EXECUTE on its function, or INSERT or UPDATE on its table"
        if call.query.split()[0].lower() == "call":
            why = "of a CALL this is unknown: it shows when it is sent"
            return SourcePermission(name, None, why, fix, "act")
        try:
            self._client.check(call)
        except PermissionMissing as error:
            return SourcePermission(name, False, str(error), fix, "act")
        except NotSupported as error:
            return SourcePermission(name, False, str(error), f"correct {setting}.query", "act")
        return SourcePermission(name, True, "", "", "act")

    def permissions(self) -> Iterator[SourcePermission]:
        for key, call in self._client.options.verbs.named.items():
            yield self._permission(key, call, f"verbs.{key}")
        if (hold := self._client.options.hold) is not None:
            yield self._permission("hold", hold, "hold")

    def send(self, call: SqlVerbQuery, values: Mapping[str, Any]) -> str:
        result = self._client.send(call, values)
        return f"committed{f': {result}' if result else ''}"

    def run_with_key(self, key: str, plan: Mapping[str, Any]) -> tuple[str | None, str]:
        return self._client.run_with_key(key)

    def run_row(self, run_id: str, job: str) -> Any | None:
        rows = self._client.runs(LAST[self._client.options.runs.cursor_is], [run_id], ()).again
        return next(iter(rows), None)


class SqlConnector(ComposedConnector):
    def __init__(self, client: SqlClient) -> None:
        self._database, self._options, self._actions = client, client.options, SqlActions(client)
        self._health = MappedHealth(client.options.liveness, client.liveness)
        super().__init__(
            client,
            inventory=self._read_inventory,
            poll=lambda cursor, open_runs: self._health.added_to(self._read_runs(cursor, open_runs)),
            log=self._read_log,
            acts=self._actions,
            holds=self._actions.all_holds,
            probe=self._permissions,
        )

    def _read_inventory(self, previous_hash: str) -> Inventory:
        result = self._database.jobs()
        rows = self._actions.without_marks(result.rows)
        proof = ProofLevel.FULL if self._options.log else ProofLevel.EXIT
        cut = f"more than {MAX_JOBS} rows: no more are read" if result.is_full else ""
        return inventory_of(rows, self._options.jobs, proof, previous_hash, result.clock, cut)

    def _read_runs(self, cursor: str, open_runs: Sequence[RunRef]) -> Poll:
        """The next page of rows by the cursor's column; the runs that were open, as they are now; and rows that were
        committed behind others."""
        result = PollResult()
        at = result.cursor_or_first(cursor, SqlCursor())
        refs = {ref.attempt_key: ref for ref in open_runs}
        requested = sorted({*at.again, *refs})[:MAX_AGAIN]
        start, runs = at.after, self._options.runs
        if runs.cursor_is == "time":  # a walk goes on; a new one begins before the newest time: an older one may come
            start = at.at or earlier(at.after, self._options.overlap)
        rows = self._database.runs(start, requested, sorted(at.missing))
        furthest = self._furthest(rows.rows, start)
        if rows.is_full and furthest == start:
            why = f"have {runs.cursor} {start}: use a number as cursor"
            if runs.cursor_is == "number":
                why = f"have no whole number above {start or 0} as {runs.cursor}: correct cursor"
            raise NotSupported(f"more rows than one page {why}")
        ahead = self._add_runs(rows, result)
        still = (*(run.attempt_key for run in result.records.values() if run.state.is_open), *ahead)
        result.complete = not result.skipped
        if "open" in self._options.runs.places and not rows.is_full and result.complete:
            reported = {run.attempt_key for run in result.records.values()}
            for key, ref in sorted(refs.items()):
                if key not in reported and key in requested:
                    result.add(no_longer_listed(ref, "gone", "its row was deleted", RunState.UNKNOWN))
        result.keep_periods(open_runs)
        for text in unknown_states(result.records.values()):
            result.warn(text)
        if runs.lost is not None and at.after and furthest != start and (lost := self._database.lost(start, furthest)):
            what = f"{lost} rows were deleted before they were read: runs among them are unknown. Keep more history"
            result.gaps.append(HistoryGap(None, rows.clock.target, what))
        return result.poll(
            self._following(at, rows, furthest, still).text(),
            more=rows.is_full,
            clock=rows.clock,
            seen_until=None if rows.is_full or not result.complete else rows.clock.target - SETTLE,
        )

    def _following(self, at: SqlCursor, rows: SqlRows, furthest: str, still: tuple[str, ...]) -> SqlCursor:
        again = (*still, *(at.again if rows.is_full else ()))
        if self._options.runs.cursor_is == "time":
            after = later_of(at.after, furthest, rows.clock.target)
            return SqlCursor(after, again, at=furthest if rows.is_full else "")
        existing = {self._number(row) for row in rows.again}
        new = [(self._number(row), self._written(row) if rows.is_full else None) for row in rows.rows]
        now, wait = rows.clock.target, self._options.overlap
        new = [item for item in new if item[0] >= 0]  # an open run may have no number yet
        numbers = SequenceCursor(number_of(at.after), at.missing)
        missing = numbers.still_missing(sorted(new, key=itemgetter(0)), existing, now, wait)
        return SqlCursor(furthest, again, missing if wait else {})

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

    def _add_runs(self, rows: SqlRows, result: PollResult) -> list[str]:
        """The ids of runs whose own times are in the future, which are not added."""
        ahead = []
        for number, row in enumerate([*rows.rows, *rows.again], 1):
            if self._is_position(row):
                continue
            try:
                result.add(read_run(row, self._options.runs, self._options.states, rows.clock))
            except RecordUnreadable as error:
                result.skip(f"run {number}", error, row)
                ahead += [text_at(row, self._options.runs.id)] if isinstance(error, AheadOfClock) else []
        return ahead

    def _is_position(self, row: Row) -> bool:
        return [self._options.runs.cursor] == [name for name, value in row.items() if value is not None]

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

    def _read_log(self, run: RunRef, start: str | None, limit_bytes: int) -> LogChunk:
        if self._options.log is None:
            raise NotSupported(self._database.lacks.get(Capability.LOG) or missing_log("query"))
        chunk = self._database.log(run, start, limit_bytes)
        if chunk is None:
            raise NotSupported(f"run {run.attempt_key} of {run.job} has no log (any more)")
        return chunk

    def _permissions(self) -> Probe:
        jobs = self._database.jobs()
        stopped, notes = self._health.probe()
        rights, result = [*stopped, SourcePermission("read jobs", True)], PollResult()
        try:
            self._add_runs(self._database.runs("", (), ()), result)
            rights.append(SourcePermission("read runs", True))
        except AccessRefused as error:
            fix = "GRANT SELECT on the tables that runs.query names"
            rights.append(SourcePermission("read runs", False, str(error), fix))
        acting = [*self._actions.permissions()]
        ended = [run for run in result.records.values() if not run.state.is_open]
        run = min(ended, key=lambda run: not run.state.is_red, default=None)
        if run is not None and self._options.log is not None:
            rights.append(self._permission_to_read_log(run))
        rights += acting
        database = self._database.database
        notes = (*database.unverified, *notes)
        return Probe(True, f"{database.product} {jobs.version}", tuple(rights), notes, clock=jobs.clock)

    def _permission_to_read_log(self, run: RunRecord) -> SourcePermission:
        """Whether `log.query` may be run for this run, which may have no log; unknown where it takes too long."""
        ref = RunRef(run.job, run.period_key or "", run.attempt_key, run.native_ref, run.started_at)
        fix = "GRANT SELECT on the tables that log.query names, or correct log.query"
        try:
            self._database.log(ref, "0", 1)
        except (AccessRefused, NotSupported) as error:
            return SourcePermission("read log", False, str(error), fix)
        except SystemUnreachable as error:
            return SourcePermission("read log", None, str(error), fix)
        return SourcePermission("read log", True)


class SqlProfile(ProfileHeader, SqlMapping):
    """A profile of tables."""

    possible = EXPLAINED_CAPABILITIES

    base: Literal["sql"]
    scheme: Literal["", "mssql", "oracle"] = ""
    """Of the DSN, where the tables are not in PostgreSQL."""

    @model_validator(mode="after")
    def one_database(self) -> Self:
        if self.targets:
            raise ValueError("targets: a database is one target. Remove it")
        return self

    def warnings(self) -> list[tuple[tuple[str, ...], str]]:
        return self.verbs.warnings(self.runs.key, self.states)

    def capabilities(self) -> frozenset[Capability]:
        return self.verbs.capabilities(self.log, self.hold, self.jobs)

    def system_options(self) -> type[PostgresOptions] | type[DsnOptions]:
        return DsnOptions if self.scheme else PostgresOptions

    def connector_kind(self) -> ConnectorKind:
        if self.scheme:
            return self.kind_of(self.verbs, self.jobs, lambda _: ["database"], self.open_target)
        return replace(self.kind_of(self.verbs, self.jobs, targets, self.open_target), shell=psql_shell)

    def open_target(self, options: PostgresOptions | DsnOptions, target: str, secrets: SecretResolver) -> SqlConnector:
        values = self.values(options, target)
        database = open_database(options, secrets, self.scheme)
        return SqlConnector(SqlClient(with_zones(self, values), database, values, self.lacks))


CONNECTOR = ConnectorKind(
    kind="sql",
    title="Any tables in PostgreSQL, SQL Server or Oracle, mapped in the config",
    options=SqlOptions,
    targets=targets,
    open=lambda options, target, secrets: SqlConnector(SqlClient(options, open_database(options, secrets))),
    capabilities=MAPPED_CAPABILITIES,
    missing=UNMAPPED_CAPABILITIES,
    lacks=lambda options: SqlActions.missing_capabilities(options.verbs, options.log, options.jobs),
    proofs=frozenset({ProofLevel.EXIT, ProofLevel.FULL}),
    verbs=VERB_NAMES,
    may_start_early=True,
    dates_runs=True,
    schedules="expression",
    profile=SqlProfile,
    ladder="Proves a run's end as the rows report it, by the values that states names; any other value is UNKNOWN. "
    "With a log's query it proves output as well.",
    shell=psql_shell,
    endpoint=endpoint,
)
