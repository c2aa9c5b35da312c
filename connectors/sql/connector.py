"""Any tables of jobs and runs in PostgreSQL: the two queries, and what their columns mean, stand in the config."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from operator import itemgetter

from connectors.arrival import time_to_send, unless_on_its_way
from connectors.contract import (
    AccessRefused,
    Ask,
    Capability,
    Connector,
    ConnectorKind,
    Inventory,
    LogChunk,
    LookUp,
    NativeHold,
    NotSupported,
    Poll,
    Preview,
    Probe,
    Proof,
    Receipt,
    RecordUnreadable,
    Right,
    RunRecord,
    RunRef,
    Secrets,
    Skipped,
    State,
    Verb,
)
from connectors.fields import digest
from connectors.gone import no_longer_listed
from connectors.mapping import (
    AheadOfClock,
    Row,
    instant_at,
    jobs_of,
    read_run,
    skipped,
    text_at,
    unknown_words,
    value_at,
)
from connectors.numbered import Cursor as Numbered
from connectors.sql import acts
from connectors.sql.client import MOST_AGAIN, MOST_JOBS, Rows, SqlClient
from connectors.sql.cursor import Cursor, earlier, later_of, number_of
from connectors.sql.options import SqlOptions
from connectors.transport.postgres import connection_parameters, psql_shell, targets
from connectors.transport.sql import Deadline, PostgresSession

SETTLE = timedelta(seconds=5)
"""A row is committed moments after its instant."""
NO_LOG = "the config names no log of a run: add [systems.NAME.log] with its query"
NO_HOLD = "a hold needs a place for our mark at the source; this kind knows none"


class SqlConnector:
    """One database as config maps it."""

    def __init__(self, client: SqlClient) -> None:
        self._client = client
        self._options = client.options

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        """All rows of the jobs' query. Not complete where one of them cannot be read."""
        found = self._client.jobs(timeout_seconds)
        jobs, bad = jobs_of(found.rows, self._options.jobs, Proof.FULL if self._options.log else Proof.EXIT)
        bad += [Skipped("jobs", f"more than {MOST_JOBS} rows: no more are read")] if found.is_full else []
        now = digest([[str(job) for job in jobs], [str(one) for one in bad]])
        if now == previous_hash:
            return Inventory((), not bad, now, unchanged=True, clock=found.clock)
        return Inventory(tuple(jobs), not bad, now, clock=found.clock, skipped=tuple(bad))

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        """The next bite of rows by the cursor's column; the runs that were open, as they are now; and rows that were
        committed behind others."""
        at = Cursor.read(cursor)
        if at is None:
            return Poll((), Cursor().text(), more=True, warnings=("the cursor is none of this kind: reading anew",))
        refs = {ref.attempt_key: ref for ref in open_runs}
        wanted = sorted({*at.again, *refs})[:MOST_AGAIN]
        start = self._start(at)
        found = self._client.runs(start, wanted, sorted(at.missing), timeout_seconds)
        furthest = self._furthest(found.rows, start)
        if found.is_full and furthest == start:
            raise NotSupported(self._stuck(start))
        runs, bad, ahead = self._runs(found)
        still = (*(run.attempt_key for run in runs if run.state.is_open), *ahead)
        if "{open}" in self._options.runs.query and not found.is_full and not bad:
            told = {run.attempt_key for run in runs}
            lost = [ref for key, ref in sorted(refs.items()) if key not in told and key in wanted]
            runs += [no_longer_listed(ref, "gone", "its row is there no more", State.UNKNOWN) for ref in lost]
        return Poll(
            tuple(sorted(runs, key=lambda run: str(run.started_at or run.queued_at or ""))),
            self._following(at, found, furthest, still).text(),
            more=found.is_full,
            complete=not bad,
            clock=found.clock,
            skipped=tuple(bad),
            seen_until=None if found.is_full or bad else found.clock.target - SETTLE,
            warnings=unknown_words(runs),
        )

    def _start(self, at: Cursor) -> str:
        """A walk goes on where it was. A new one begins before the newest time: an older one may be committed later."""
        if self._options.runs.cursor_is == "number":
            return at.after
        return at.at or earlier(at.after, self._options.overlap)

    def _following(self, at: Cursor, found: Rows, furthest: str, still: tuple[str, ...]) -> Cursor:
        again = (*still, *(at.again if found.is_full else ()))
        if self._options.runs.cursor_is == "time":
            after = later_of(at.after, furthest, found.clock.target)
            return Cursor(after, again, at=furthest if found.is_full else "")
        there = {self._number(row) for row in found.again}
        new = [(self._number(row), self._written(row) if found.is_full else None) for row in found.rows]
        now, wait = found.clock.target, self._options.overlap
        numbers = Numbered(number_of(at.after), at.missing)
        missing = numbers.still_missing(sorted(new, key=itemgetter(0)), there, now, wait)
        return Cursor(furthest, again, missing if wait else {})

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

    def _runs(self, found: Rows) -> tuple[list[RunRecord], list[Skipped], list[str]]:
        """The runs, what cannot be read, and the ids of those that are still to come by their own times."""
        runs: dict[str, RunRecord] = {}
        bad, ahead = [], []
        for number, row in enumerate([*found.rows, *found.again], 1):
            try:
                run = read_run(row, self._options.runs, self._options.states, found.clock)
                runs[run.attempt_key] = run
            except RecordUnreadable as error:
                bad.append(skipped(f"run {number}", row, error))
                ahead += [text_at(row, self._options.runs.id)] if isinstance(error, AheadOfClock) else []
        return list(runs.values()), bad, ahead

    def _furthest(self, rows: Sequence[Row], start: str) -> str:
        """The cursor's value in the last row: they come in its order."""
        values = [value_at(row, self._options.runs.cursor) for row in rows]
        told = [str(value) for value in values if isinstance(value, str | int | float) and not isinstance(value, bool)]
        if not told:
            return start
        if self._options.runs.cursor_is == "number":
            most = max(map(number_of, told))
            return str(most) if most > number_of(start) else start
        return told[-1]

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        """What the log's query gives. Raises NotSupported without one, or without a row."""
        if self._options.log is None:
            raise NotSupported(NO_LOG)
        chunk = self._client.log(run, start, limit_bytes, timeout_seconds)
        if chunk is None:
            raise NotSupported(f"there is no log of run {run.attempt_key} of {run.job} (any more)")
        return chunk

    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        """The statement that config names for the verb; nothing is sent."""
        return acts.preview(self._client, ask, timeout_seconds)

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        return acts.send(self._client, preview.plan, key, time_to_send(preview, timeout_seconds))

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        return unless_on_its_way(acts.look_up(self._client, preview.plan, key, timeout_seconds), preview)

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        raise NotSupported(NO_HOLD)

    def probe(self, timeout_seconds: float) -> Probe:
        """Both queries are run, and the statements of verbs planned; what is not allowed is a missing right."""
        deadline = Deadline(timeout_seconds)
        jobs = self._client.jobs(deadline.left)
        rights = [Right("read jobs", True)]
        try:
            self._client.runs("", (), (), deadline.left)
            rights.append(Right("read runs", True))
        except AccessRefused as error:
            rights.append(Right("read runs", False, str(error), "GRANT SELECT on the tables that runs.query names"))
        rights += acts.rights(self._client, deadline)
        return Probe(True, f"PostgreSQL {jobs.version}", tuple(rights), clock=jobs.clock)

    def close(self) -> None:
        self._client.close()


def unnamed(options: SqlOptions) -> dict[Capability, str]:
    """What config names no statement for."""
    found = {Capability(verb.value): acts.unnamed(verb) for verb in acts.VERBS if acts.call_of(options, verb) is None}
    return found if options.log is not None else {**found, Capability.LOG: NO_LOG}


def open_connector(options: SqlOptions, target: str, secrets: Secrets) -> Connector:
    """A connector that connects at its first call."""
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
        Capability.MARK: "Headway asserts it itself",
        Capability.HOLD: NO_HOLD,
        Capability.TASKS: "a run is read as a whole",
        Capability.PERIODS: "what a rerun works on is up to your statement",
        Capability.NATIVE_DEPENDENCIES: "declare dependencies in the config",
    },
    lacks=unnamed,
    proofs=frozenset({Proof.EXIT, Proof.FULL}),
    verbs={Verb.RERUN: "what verbs.rerun names", Verb.START: "what verbs.start names", Verb.CANCEL: "verbs.cancel"},
    may_start_early=True,
    schedules="expression",
    ladder="Proves what the rows say of a run's end, by the words that states names; any other word is UNKNOWN. With a "
    "log's query it proves output as well.",
    shell=psql_shell,
)
