"""MySQL event actions: rerun, start, hold and release.

A rerun is a one-shot event whose name is our key. It runs the event's body once more, as its definer, and stays after
its run (ON COMPLETION PRESERVE), so that a lost answer is found by its name; a poll removes it a day later.

A hold is `ALTER EVENT … DISABLE` with its definer kept, under the hold mark in the table `events_held` that grants.sql
makes: an event's comment has 64 characters, too few for a mark.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from connectors.mysql_events import client as permissions
from connectors.mysql_events import parse
from connectors.mysql_events.client import MySqlEventsClient
from connectors.mysql_events.options import MySqlEventsOptions
from connectors.mysql_events.parse import ServerSnapshot
from connectors.sdk.contract import (
    ActionFound,
    ActionSpec,
    ActionUnknown,
    HoldMark,
    LookUpResult,
    NativeHold,
    Preview,
    Receipt,
)
from connectors.sdk.errors import ActionRefused
from connectors.sdk.fields import epoch_instant
from connectors.sdk.job_agent import JobAgentHolder, Plan, Row, absent_unless, running_note
from connectors.sdk.marked_pause import MarkedPause, PauseState, holds_in, native_holds
from connectors.sdk.states import Verb

START_WITHIN = timedelta(seconds=2)
_STARTS = f"starts within {START_WITHIN.total_seconds():.0f} s"
RERUN_NOTES = (
    f"{_STARTS}, under an event of its own name",
    "runs the present body, with the time of now: the run's own context is lost",
)


REPLICA = "this server is read-only, a replica: events run on its primary"


class MySqlEventReruns:
    plans = ("start",)

    def __init__(self, client: MySqlEventsClient, options: MySqlEventsOptions) -> None:
        self.client, self._options = client, options

    def preview(self, spec: ActionSpec) -> Preview:
        """The event that a rerun or start adds; refused where grants.sql would refuse it."""
        job, (schema, _, name) = spec.run.job, spec.run.job.partition(".")
        snapshot = _visible(self.client, self._options, schema, name, "")
        row = _event(snapshot, job)
        definer = row["definer"] if row else "?"
        paused = (f"{job} is {row['status']}; its body runs all the same",) if row and not _is_enabled(row) else ()
        return Preview(
            verb="run once",
            summary=f"run the body of event {job} once, as {definer}",
            scope=f"one run of {job}{spec.for_period}",
            overlap=_overlap(snapshot, row, self._options.log_table, job),
            native_calls=(
                f"CALL {self._options.act_schema}.event_start('{schema}', '{name}', '<key>')",
                f"-- CREATE DEFINER={definer} EVENT {schema}.<key> ON SCHEDULE AT now + 1 s ON COMPLETION PRESERVE",
            ),
            notes=RERUN_NOTES + paused,
            refused=self._rerun_refusal(snapshot, row, job, "start" if spec.verb == Verb.START else "rerun"),
            plan={"how": "start", "schema": schema, "event": name},
        )

    def _rerun_refusal(self, snapshot: ServerSnapshot, row: Row | None, job: str, verb: str) -> str | None:
        if row is None:
            return f"event {job} no longer exists, nor its body"
        if permissions.is_mysql(snapshot.about):
            return f"MySQL prepares no CREATE EVENT, so grants.sql works on MariaDB only: {verb} {job} by hand"
        if not permissions.may_start(snapshot, self._options.act_schema):
            return _no_permission(snapshot, f"{verb} {job}")
        if str(snapshot.about["scheduler"]) != "ON":
            status = snapshot.about["scheduler"]
            return f"the event scheduler is {status}: nothing starts. SET GLOBAL event_scheduler = ON;"
        return REPLICA if snapshot.about["read_only"] else None

    def act(self, plan: Plan, key: str) -> Receipt:
        """Adds the one-shot event; where this key did already, nothing changes."""
        self.client.start(str(plan["schema"]), str(plan["event"]), key)
        return Receipt(f"{plan['schema']}.{key}", f"added as a one-shot event; it {_STARTS}")

    def look_up(self, plan: Plan, key: str) -> LookUpResult:
        """By the one-shot event's name. Absent only when nothing can still arrive and no event is hidden from us."""
        schema = str(plan["schema"])
        snapshot = _visible(self.client, self._options, schema, str(plan["event"]), key)
        for row in snapshot.events:
            if (str(row["event_schema"]), str(row["event_name"])) == (schema, key):
                began = epoch_instant(row["last_executed"])
                text = f"started {began:%H:%M:%S} UTC" if began else "not started yet"
                return ActionFound(f"{schema}.{key}", text, waits=began is None)
        sees_all = permissions.sees_all(snapshot, (schema,))
        hidden = "" if sees_all else permissions.hidden_events_text(snapshot, (schema,))
        return absent_unless(snapshot.senders, hidden, "connection")


def _visible(
    client: MySqlEventsClient, options: MySqlEventsOptions, schema: str, name: str, key: str
) -> ServerSnapshot:
    """Raises PermissionMissing where the server would answer an empty list for want of a permission."""
    snapshot = client.situation(schema, name, key)
    permissions.require_view(snapshot, options.schemas, client.place)
    return snapshot


MySqlEvent = tuple[Row, ServerSnapshot]


class MySqlEventHolder(JobAgentHolder[MySqlEventsClient, MySqlEvent]):
    """The mark is written before the event is disabled: at an enabled event it proves no hold."""

    marking = MarkedPause("MariaDB", "disabled", "row in events_held", replaces_marks=False)
    fix = "ALTER EVENT {job} ENABLE"
    pause, resume, unit = "disable", "enable", "the event"
    hold_notes = ("a run in progress goes on to its end",)

    def __init__(self, client: MySqlEventsClient, options: MySqlEventsOptions) -> None:
        super().__init__(client)
        self._options = options

    def read(self, job: str) -> MySqlEvent:
        schema, _, name = job.partition(".")
        snapshot = _visible(self.client, self._options, schema, name, "")
        row = _event(snapshot, job)
        if row is None:
            raise ActionRefused(f"event {job} no longer exists")
        return row, snapshot

    def state(self, row: MySqlEvent) -> PauseState:
        return _pause_state(*row)

    def missing_right(self, job: str, row: MySqlEvent, how: str) -> str | None:
        snapshot = row[1]
        if snapshot.about["read_only"]:
            return REPLICA
        may_hold = snapshot.held is not None and permissions.may_hold(snapshot, self._options.act_schema)
        return None if may_hold else _no_permission(snapshot, f"hold {job}")

    def details(self, row: MySqlEvent, plan: Plan) -> dict[str, Any]:
        return {"schema": str(row[0]["event_schema"]), "event": str(row[0]["event_name"])}

    def hold_calls(self, row: MySqlEvent, plan: Plan, mark: HoldMark) -> tuple[str, ...]:
        alter = f"ALTER DEFINER={row[0]['definer']} EVENT {plan['job']} DISABLE"
        writes = f"-- a row in {self._options.act_schema}.events_held; {alter}"
        return self._call("hold", row[0], "'<key>', …"), writes

    def release_calls(self, row: MySqlEvent, plan: Plan) -> tuple[str, ...]:
        return (self._call("release", row[0], f"'{plan['hold']}', {int(plan['how'] == 'release')}"),)

    def _call(self, procedure: str, row: Row, values: str) -> str:
        event = f"'{row['event_schema']}', '{row['event_name']}'"
        return f"CALL {self._options.act_schema}.event_{procedure}({event}, {values})"

    def state_left(self, plan: Plan, key: str) -> tuple[PauseState | None, LookUpResult]:
        mark_id = key if plan["how"] == "hold" else str(plan["hold"])
        snapshot = self.client.situation(str(plan["schema"]), str(plan["event"]), mark_id)
        if snapshot.held is None:
            return None, ActionUnknown(permissions.unreadable_marks(snapshot))
        row = _event(snapshot, str(plan["job"]))
        state = None if row is None else _pause_state(row, snapshot)
        return state, absent_unless(snapshot.senders, what="connection")


def _event(snapshot: ServerSnapshot, job: str) -> Row | None:
    return next((row for row in snapshot.events if parse.native_id(row) == job and not parse.is_entry(row)), None)


def _is_enabled(row: Row) -> bool:
    return bool(row["status"] == "ENABLED")


def _no_permission(snapshot: ServerSnapshot, action: str) -> str:
    account = str(snapshot.about["role"])
    fix = f"{permissions.GRANTS}, then GRANT headway_act_role TO {permissions.quoted(account)};"
    return f"account {account} may not {action}: {fix}"


def _overlap(snapshot: ServerSnapshot, row: Row | None, log_table: str | None, job: str) -> str | None:
    """Events overlap freely: the server starts one beside itself."""
    running = [item for item in snapshot.running if not parse.is_lost(item, epoch_instant(item["started"]), snapshot)]
    if running:
        return running_note(running, "run_id", job)
    if row is not None and parse.is_logged(row, log_table) and snapshot.log_is_readable:
        return None
    return f"whether {job} runs now is not known: it logs nothing"


def _pause_state(row: Row, snapshot: ServerSnapshot) -> PauseState:
    names = ("event_schema", "event_name")
    marks = [item["mark"] for item in snapshot.held or () if all(item[name] == row[name] for name in names)]
    return PauseState(not _is_enabled(row), tuple(mark for text in marks for mark in holds_in(str(text))))


def holds(place: str, snapshot: ServerSnapshot) -> tuple[NativeHold, ...]:
    """The events that bear the hold mark; bare where a user enabled them under it."""
    rows = ((parse.native_id(row), row) for row in snapshot.events)
    where = "row of {} in table events_held at {}"
    return tuple(
        hold for job, row in rows for hold in native_holds(job, _pause_state(row, snapshot), where.format(job, place))
    )
