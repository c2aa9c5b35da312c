"""MariaDB and MySQL events as a connector: their last start, and more by a log table of the user's own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from connectors.arrival import time_to_send, unless_on_its_way
from connectors.contract import (
    Ask,
    Capability,
    Clock,
    Connector,
    ConnectorError,
    ConnectorKind,
    Gap,
    Inventory,
    JobRecord,
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
    RightMissing,
    RunRef,
    Secrets,
    Skipped,
    Verb,
)
from connectors.fields import digest
from connectors.gathered import Gathered
from connectors.gone import row_deleted
from connectors.mysql_events import act, hold, parse, rights
from connectors.mysql_events.calendar import every, schedule_of, zone_name
from connectors.mysql_events.client import BITE_ROWS, MOST_EVENTS, MySqlEventsClient
from connectors.mysql_events.options import MySqlEventsOptions, login_of, targets
from connectors.mysql_events.seen import Row, Seen
from connectors.numbered import Cursor
from connectors.transport.deadline import Deadline
from connectors.transport.mysql import MySqlSession
from connectors.whole_log import piece_of_parts
from connectors.words import NOTHING_STARTS

NO_MARK = "events keep no state that could be set; Headway asserts it itself"
NO_CANCEL = "the processes of events bear no event's name: nothing proves whose one is"
SETTLE = timedelta(seconds=3)
"""LAST_EXECUTED is written moments after its instant, and has whole seconds."""
TIDY_AFTER = timedelta(days=1)


class MySqlEventsConnector:
    """One server, seen as one account."""

    def __init__(self, client: MySqlEventsClient, options: MySqlEventsOptions) -> None:
        self._client = client
        self._options = options

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        """All events but our own one-shots. Refused where the server would show none for want of a right."""
        seen = self._client.look(timeout_seconds)
        rights.require_view(seen, self._options.schemas, self._client.place)
        clock = _clock(seen)
        jobs = tuple(self._job(row, seen, clock.target) for row in self._events(seen) if not parse.is_entry(row))
        complete = rights.sees_all(seen, self._options.schemas) and len(seen.events) <= MOST_EVENTS
        now = digest([complete, [str(job) for job in jobs]])
        if now == previous_hash:
            return Inventory((), complete, now, unchanged=True, clock=clock)
        hidden = () if complete else (Skipped("events", rights.hidden_words(seen, self._options.schemas)),)
        return Inventory(jobs, complete, now, clock=clock, skipped=hidden)

    def _job(self, row: Row, seen: Seen, now: datetime) -> JobRecord:
        zone, logged = zone_name(row, seen.about, self._options.server_zone), self._is_logged(row, seen)
        return parse.job(row, schedule_of(row, zone, logged, now), logged)

    def _events(self, seen: Seen) -> list[Row]:
        return parse.watched(seen.events, self._options.schemas)

    def _is_logged(self, row: Row, seen: Seen) -> bool:
        return seen.log_is_readable and parse.is_logged(row, self._options.log_table)

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        """The next bite of the log table, and the last start of each event that logs nothing."""
        at = Cursor.read(cursor)
        if at is None:
            return Poll((), Cursor().text(), more=True, warnings=("the cursor is not one of ours: reading anew",))
        refs = {number: ref for ref in open_runs if (number := parse.run_id_of(ref)) is not None and number <= at.after}
        deadline = Deadline(timeout_seconds)
        seen = self._client.page(at.after, sorted({*at.again, *refs})[:BITE_ROWS], deadline.left)
        rights.require_view(seen, self._options.schemas, self._client.place)
        clock = _clock(seen)
        if at.rows_are_gone(seen.newest):
            why = f"{self._options.log_table} ends at run_id {seen.newest}, and we had read up to {at.after}"
            cursor = Cursor(last=at.last).text()
            return Poll((), cursor, more=True, clock=clock, gaps=(Gap(None, clock.target, f"{why}: rows are gone"),))
        found = Gathered()
        for words in (*self._warnings(seen), *self._tidy(seen, clock.target, deadline)):
            found.warn(words)
        again = self._logged(seen, at, refs, found)
        last, gaps = self._started(seen, at, found)
        after = max([at.after, *(int(row["run_id"]) for row in seen.log)])
        return self._told(seen, found, clock, Cursor(after, again, last), gaps)

    def _told(self, seen: Seen, found: Gathered, clock: Clock, cursor: Cursor, gaps: tuple[Gap, ...]) -> Poll:
        sees_all = rights.sees_all(seen, self._options.schemas)
        complete = sees_all and (seen.log_is_readable or self._options.log_table is None)
        proves = complete and not seen.is_full
        return Poll(
            runs=tuple(sorted(found.records.values(), key=lambda run: run.started_at or parse.EPOCH)),
            cursor=cursor.text(),
            more=seen.is_full,
            complete=complete,
            clock=clock,
            skipped=tuple(found.skipped),
            gaps=gaps,
            seen_until=clock.target - SETTLE if proves else None,
            warnings=tuple(found.warnings),
        )

    def _logged(self, seen: Seen, at: Cursor, refs: dict[int, RunRef], found: Gathered) -> dict[int, float | None]:
        again: dict[int, float | None] = {}
        for row in [*seen.again, *seen.log]:
            try:
                record = parse.run(row, seen)
            except RecordUnreadable as error:
                found.skip(f"run_id {row.get('run_id')}", error, row)
                continue
            if self._options.schemas and record.job.partition(".")[0] not in self._options.schemas:
                continue
            found.add(record)
            if record.native_state not in parse.STATES:
                found.warn(f'unknown status "{record.native_state}" in {self._options.log_table}: shown as UNKNOWN')
            if record.native_state == "running":
                again[int(row["run_id"])] = None
        there = {int(row["run_id"]) for row in seen.again}
        if seen.log_is_readable:
            for number in sorted({*refs} - there)[:BITE_ROWS]:
                found.add(row_deleted(refs[number]))
        read = ((int(row["run_id"]), parse.instant(row["started"])) for row in seen.log)
        return again | at.still_missing(read, there, _clock(seen).target)

    def _started(self, seen: Seen, at: Cursor, found: Gathered) -> tuple[dict[str, float], tuple[Gap, ...]]:
        """Starts since the last look, by LAST_EXECUTED; of those in between nothing is left."""
        last: dict[str, float] = {}
        gaps = []
        logged = {parse.native_id(row) for row in seen.events if self._is_logged(row, seen)}
        for row in self._events(seen):
            record = parse.start(row)
            if record is None or record.started_at is None or record.job in logged:
                continue
            name, began = parse.native_id(row), record.started_at.timestamp()
            last[name] = began
            if at.last.get(name) == began:
                continue
            found.add(record)
            length = every(row)
            before = at.last.get(name)
            if before is not None and length is not None and began - before >= 2 * length.total_seconds():
                since = datetime.fromtimestamp(before, UTC)
                why = f"{name} may have started between two polls: an event keeps its last start only"
                gaps.append(Gap(since, record.started_at, why))
        return last, tuple(gaps)

    def _tidy(self, seen: Seen, now: datetime, deadline: Deadline) -> list[str]:
        """Takes away our one-shots that ran a day ago. Answers what a person should know."""
        told = []
        for row in seen.events:
            began = parse.instant(row["last_executed"])
            if not parse.is_entry(row) or began is None or now - began < TIDY_AFTER + SETTLE:
                continue
            try:
                if not rights.holds(seen.grants, "EXECUTE", self._options.act_schema, "event_tidy"):
                    raise NotSupported(f"no EXECUTE on procedure {self._options.act_schema}.event_tidy")
                self._client.tidy(str(row["event_schema"]), str(row["event_name"]), deadline.left)
            except ConnectorError as error:
                told.append(f"our one-shot event {parse.native_id(row)} has run and stays: {error}")
        return told

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        """What the body wrote into the log table. Raises NotSupported for an event that logs nothing."""
        number = parse.run_id_of(run)

        def give(row: Row, message: Iterable[str]) -> LogChunk:
            return piece_of_parts(parse.run_log(row, message), start, limit_bytes, is_open=False)

        found = self._client.log(number, give, timeout_seconds) if number is not None else None
        if found is None:
            raise NotSupported(f"{run.job} {run.attempt_key} has no row in a log table: {parse.NOT_LOGGED}")
        return found

    def preview(self, ask: Ask, timeout_seconds: float) -> Preview:
        """What it would add to the events. Raises NotSupported for what events cannot."""
        options = self._options
        if ask.verb in (Verb.RERUN, Verb.START):
            door = (options.schemas, options.log_table, options.act_schema)
            return act.preview(self._client, ask, *door, timeout_seconds)
        if ask.verb in (Verb.HOLD, Verb.RELEASE):
            return hold.preview(self._client, ask, options.schemas, options.act_schema, timeout_seconds)
        raise NotSupported(f"mysql_events cannot {ask.verb}: {NO_CANCEL if ask.verb == Verb.CANCEL else NO_MARK}")

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        """Adds the one-shot event, whose name is our key; or holds or releases."""
        sender = act.send if preview.plan.get("way") == "start" else hold.send
        return sender(self._client, preview.plan, key, time_to_send(preview, timeout_seconds))

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        """By the rows of events_held. Raises RightMissing where they, or events, are hidden."""
        seen = self._client.look(timeout_seconds)
        rights.require_view(seen, self._options.schemas, self._client.place)
        if seen.held is None:
            account = seen.about["role"]
            raise RightMissing(f"{self._client.place}: account {account} may not read the marks: {rights.GRANTS}")
        return hold.holds(self._client.place, seen)

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUp:
        """By the one-shot event's name, or the mark. Of a sender that still connects time alone proves absence."""
        if preview.plan.get("way") == "start":
            answer = act.look_up(self._client, preview.plan, key, self._options.schemas, timeout_seconds)
        else:
            answer = hold.look_up(self._client, preview.plan, key, timeout_seconds)
        return unless_on_its_way(answer, preview)

    def probe(self, timeout_seconds: float) -> Probe:
        """Version and rights, whatever rights we have. Raises as the contract says."""
        seen, options = self._client.look(timeout_seconds), self._options
        held = rights.rights(seen, options.schemas, options.log_table, options.act_schema)
        notes = tuple(words for words in self._warnings(seen) if not words.startswith(NOTHING_STARTS))
        return Probe(True, str(seen.about["version"]), held, notes, _clock(seen))

    def close(self) -> None:
        """Closes the connection; once more does nothing."""
        self._client.close()

    def _warnings(self, seen: Seen) -> list[str]:
        still = rights.stands_still(seen)
        found = [f"{NOTHING_STARTS}{still.why}. Mend: {still.mend}"] if still else []
        if not rights.sees_all(seen, self._options.schemas):
            found.append(rights.hidden_words(seen, self._options.schemas))
        if self._options.log_table is not None and not seen.log_is_readable:
            found.append(f"{self._options.log_table} cannot be read: only the last start of each event is known")
        return found


def _clock(seen: Seen) -> Clock:
    ours = datetime.now(UTC)
    return Clock(parse.instant(seen.about["clock"]) or ours, ours)


def open_connector(options: MySqlEventsOptions, target: str, secrets: Secrets) -> Connector:
    """A connector that connects at its first call."""
    del target  # there is one
    session = MySqlSession(lambda: login_of(options, secrets))
    client = MySqlEventsClient(session, options.log_table, options.act_schema)
    return MySqlEventsConnector(client, options)


CONNECTOR = ConnectorKind(
    kind="mysql_events",
    title="MariaDB and MySQL events",
    options=MySqlEventsOptions,
    targets=targets,
    open=open_connector,
    capabilities=frozenset({Capability.RERUN, Capability.START, Capability.HOLD, Capability.LOG}),
    starts_held=True,
    missing={
        Capability.CANCEL: NO_CANCEL,
        Capability.MARK: NO_MARK,
        Capability.TASKS: "an event is one body, without tasks",
        Capability.PERIODS: "a body gets no date: whenever it runs, it runs for now",
        Capability.NATIVE_DEPENDENCIES: "events know no order: declare dependencies in the config",
    },
    proofs=frozenset({Proof.START, Proof.EXIT}),
    verbs={
        Verb.RERUN: "run once, as an event of its own",
        Verb.START: "run once, as an event of its own",
        Verb.HOLD: "ALTER EVENT … DISABLE",
        Verb.RELEASE: "ALTER EVENT … ENABLE",
    },
    schedules="expression",
    ladder="The server keeps only the last start of each event: its end is UNKNOWN, and starts between two polls are a "
    "gap. Events that write to a log table of yours prove start, end, outcome and rows.",
)
