"""MariaDB and MySQL events as a connector: their last start, and more by a log table of the user's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from connectors.mysql_events import actions, client, parse
from connectors.mysql_events.client import MAX_EVENTS, MySqlEventsClient
from connectors.mysql_events.options import MySqlEventsOptions, login_of, targets
from connectors.mysql_events.parse import ServerSnapshot, every, schedule_of, zone_name
from connectors.mysql_events.session import MySqlSession
from connectors.sdk.contract import ConnectorKind, NativeHold, Probe
from connectors.sdk.errors import ConnectorError, NotSupported, PermissionMissing
from connectors.sdk.fields import digest, epoch_instant
from connectors.sdk.job_agent import NO_MARK, JobAgentConnector, Row, add_deleted, target_clock
from connectors.sdk.poll_result import PollResult
from connectors.sdk.records import HistoryGap, Inventory, Poll, RunRecord, RunRef, SkippedRecord, TargetClock
from connectors.sdk.sequence_cursor import SequenceCursor
from connectors.sdk.states import Capability, ProofLevel, Verb

MISSING = {
    Capability.CANCEL: "the processes of events bear no event's name: nothing proves whose one is",
    Capability.MARK: NO_MARK,
    Capability.TASKS: "an event is one body, without tasks",
    Capability.PERIODS: "a body gets no date: whenever it runs, it runs for now",
    Capability.NATIVE_DEPENDENCIES: "events know no order: declare dependencies in the config",
}
SETTLE = timedelta(seconds=3)  # LAST_EXECUTED is written moments after its instant, and has whole seconds
TIDY_AFTER = timedelta(days=1)


class MySqlEventsConnector(JobAgentConnector):
    agent, missing = "mysql_events", MISSING
    number, states = "run_id", parse.STATES
    no_log = f"has no row in a log table: {parse.NOT_LOGGED}"

    def __init__(self, client: MySqlEventsClient, options: MySqlEventsOptions) -> None:
        starter, holder = actions.MySqlEventReruns(client, options), actions.MySqlEventHolder(client, options)
        super().__init__(client, starter, holder)
        self._server, self._options, self.table = client, options, str(options.log_table)

    def read_inventory(self, previous_hash: str) -> Inventory:
        """All events but our own one-shots. Refused where the server would show none for want of a permission."""
        snapshot, schemas = self._server.snapshot(), self._options.schemas
        client.require_view(snapshot, schemas, self._server.place)
        clock, events = _clock(snapshot), self._events(snapshot)
        jobs = []
        for row in events:
            if not parse.is_entry(row):
                zone = zone_name(row, snapshot.about, self._options.server_zone)
                logged = self._is_logged(row, snapshot)
                jobs.append(parse.job(row, schedule_of(row, zone, logged, clock.target), logged))
        complete = client.sees_all(snapshot, schemas) and len(snapshot.events) <= MAX_EVENTS
        hidden = () if complete else (SkippedRecord("events", client.hidden_events_text(snapshot, schemas)),)
        fingerprint = digest([complete, [str(job) for job in jobs]])
        return Inventory(tuple(jobs), complete, fingerprint, clock=clock, skipped=hidden).unless_same(previous_hash)

    def _events(self, snapshot: ServerSnapshot) -> list[Row]:
        schemas = self._options.schemas
        return [row for row in snapshot.events if not schemas or str(row["event_schema"]) in schemas]

    def _is_logged(self, row: Row, snapshot: ServerSnapshot) -> bool:
        return snapshot.log_is_readable and parse.is_logged(row, self._options.log_table)

    def read_page(self, position: SequenceCursor, open_runs: Mapping[int, RunRef], again: Sequence[int]) -> Poll:
        """The next page of the log table, and the last start of each event that logs nothing."""
        snapshot, schemas = self._server.page(position.after, again), self._options.schemas
        client.require_view(snapshot, schemas, self._server.place)
        clock = _clock(snapshot)
        if position.rows_are_gone(snapshot.newest):
            return position.restarted(f"{self._options.log_table} ends at run_id", snapshot.newest, clock)
        is_log_known = snapshot.log_is_readable or self._options.log_table is None
        result = PollResult(complete=client.sees_all(snapshot, schemas) and is_log_known)
        stopped = client.scheduler_permission(snapshot)
        result.stopped = stopped.problem if stopped is not None else ""
        for text in (*self._warnings(snapshot), *self._tidy(snapshot, clock.target)):
            result.warn(text)
        added = self.add_runs((*snapshot.again, *snapshot.log), lambda row: self._logged_run(row, snapshot), result)
        unsettled: dict[int, float | None] = {
            int(row["run_id"]): None for row, record in added if record.native_state == "running"
        }
        existing = {int(row["run_id"]) for row in snapshot.again}
        starts = [(int(row["run_id"]), epoch_instant(row["started"])) for row in snapshot.log]
        unsettled |= position.still_missing(starts, existing, clock.target)
        if snapshot.log_is_readable:
            add_deleted(result, open_runs, existing)
        last, gaps = self._add_starts(snapshot, position, result)
        after = max([position.after, *(number for number, _ in starts)])
        return result.poll(
            SequenceCursor(after, unsettled, last).text(),
            more=snapshot.is_full,
            clock=clock,
            seen_until=clock.target - SETTLE if result.complete and not snapshot.is_full else None,
            gaps=gaps,
        )

    def _logged_run(self, row: Row, snapshot: ServerSnapshot) -> RunRecord | None:
        record, schemas = parse.run(row, snapshot), self._options.schemas
        return record if not schemas or record.job.partition(".")[0] in schemas else None

    def _add_starts(
        self, snapshot: ServerSnapshot, position: SequenceCursor, result: PollResult
    ) -> tuple[dict[str, float], list[HistoryGap]]:
        """Adds the starts since the last poll, by LAST_EXECUTED; of those in between nothing is left. The last start of
        each event, and the gaps."""
        last: dict[str, float] = {}
        gaps = []
        logged = {parse.native_id(row) for row in snapshot.events if self._is_logged(row, snapshot)}
        for row in self._events(snapshot):
            record = parse.start(row)
            if record is None or record.started_at is None or record.job in logged:
                continue
            name, began = parse.native_id(row), record.started_at.timestamp()
            last[name], before, length = began, position.last.get(name), every(row)
            if before == began:
                continue
            result.add(record)
            if before is not None and length is not None and began - before >= 2 * length.total_seconds():
                reason = f"{name} may have started between two polls: an event keeps its last start only"
                gaps.append(HistoryGap(datetime.fromtimestamp(before, UTC), record.started_at, reason))
        return last, gaps

    def _tidy(self, snapshot: ServerSnapshot, now: datetime) -> list[str]:
        """Removes our one-shots that ran a day ago. Returns warnings."""
        reported = []
        for row in snapshot.events:
            began = epoch_instant(row["last_executed"])
            if not parse.is_entry(row) or began is None or now - began < TIDY_AFTER + SETTLE:
                continue
            try:
                if not client.has_privilege(snapshot.grants, "EXECUTE", self._options.act_schema, "event_tidy"):
                    raise NotSupported(f"no EXECUTE on procedure {self._options.act_schema}.event_tidy")
                self._server.tidy(str(row["event_schema"]), str(row["event_name"]))
            except ConnectorError as error:
                reported.append(f"our one-shot event {parse.native_id(row)} has run and stays: {error}")
        return reported

    def read_holds(self, known: Collection[str]) -> tuple[NativeHold, ...]:
        """By the rows of events_held. Raises PermissionMissing where they, or events, are hidden."""
        snapshot = self._server.snapshot()
        client.require_view(snapshot, self._options.schemas, self._server.place)
        if snapshot.held is None:
            raise PermissionMissing(f"{self._server.place}: {client.unreadable_marks(snapshot)}")
        return actions.holds(self._server.place, snapshot)

    def read_permissions(self) -> Probe:
        snapshot, options = self._server.snapshot(), self._options
        held = tuple(client.permissions(snapshot, options.schemas, options.log_table, options.act_schema))
        notes = (*self._server.unverified, *self._warnings(snapshot))
        return Probe(True, str(snapshot.about["version"]), held, notes, _clock(snapshot))

    def _warnings(self, snapshot: ServerSnapshot) -> list[str]:
        warnings = []
        if not client.sees_all(snapshot, self._options.schemas):
            warnings.append(client.hidden_events_text(snapshot, self._options.schemas))
        if self._options.log_table is not None and not snapshot.log_is_readable:
            warnings.append(f"{self._options.log_table} cannot be read: only the last start of each event is known")
        offset = zone_name({"time_zone": "SYSTEM"}, snapshot.about, self._options.server_zone)
        if offset[:1] in "+-" and any(row["time_zone"] == "SYSTEM" and row["starts"] for row in self._events(snapshot)):
            warnings.append(
                f"of the zone of the server ({snapshot.about['system_zone']}) only the offset {offset} of now is known:"
                " expected starts are wrong where a clock change lies after STARTS. Fix: set server_zone"
            )
        return warnings


def _clock(snapshot: ServerSnapshot) -> TargetClock:
    return target_clock(epoch_instant(snapshot.about["clock"]))


CONNECTOR = ConnectorKind(
    kind="mysql_events",
    title="MariaDB and MySQL events",
    options=MySqlEventsOptions,
    targets=targets,
    open=lambda options, target, secrets: MySqlEventsConnector(
        MySqlEventsClient(MySqlSession(lambda: login_of(options, secrets)), options.log_table, options.act_schema),
        options,
    ),
    capabilities=frozenset({Capability.RERUN, Capability.START, Capability.HOLD, Capability.LOG}),
    start_within=actions.START_WITHIN,
    starts_held=True,
    missing=MISSING,
    proofs=frozenset({ProofLevel.START, ProofLevel.EXIT}),
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
