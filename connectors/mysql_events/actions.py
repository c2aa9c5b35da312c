"""MySQL event actions: rerun, start, hold and release.

A rerun is a one-shot event whose name is our key. It runs the event's body once more, as its definer, and stays after
its run (ON COMPLETION PRESERVE), so that a lost answer is found by its name; a poll removes it a day later.

A hold is `ALTER EVENT … DISABLE` with its definer kept, under the hold mark in the table `events_held` that grants.sql
makes: an event's comment has 64 characters, too few for a mark.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

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
from connectors.sdk.fields import epoch_instant
from connectors.sdk.job_agent import (
    AgentAction,
    AgentJob,
    JobAgentHolds,
    Plan,
    Row,
    absent_unless,
    marked_jobs,
    running_note,
)
from connectors.sdk.states import Verb

START_WITHIN = timedelta(seconds=2)
_STARTS = f"starts within {START_WITHIN.total_seconds():.0f} s"
RERUN_NOTES = (
    f"{_STARTS}, under an event of its own name",
    "runs the present body, with the time of now: the run's own context is lost",
)


REPLICA = "this server is read-only, a replica: events run on its primary"


class MySqlEventReruns(AgentAction[MySqlEventsClient]):
    def __init__(self, client: MySqlEventsClient, options: MySqlEventsOptions) -> None:
        super().__init__(client)
        self._options = options

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
            plan={"way": "start", "schema": schema, "event": name},
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


class MySqlEventHolds(JobAgentHolds[MySqlEventsClient]):
    agent, enabled, disabled, restored, is_marked_first = "MariaDB", "enabled", "disabled", "without the mark", True

    def __init__(self, client: MySqlEventsClient, options: MySqlEventsOptions) -> None:
        super().__init__(client)
        self._options = options

    def preview(self, spec: ActionSpec) -> Preview:
        """The change of a hold or release; refused where grants.sql would refuse it."""
        job, (schema, _, name) = spec.run.job, spec.run.job.partition(".")
        snapshot = _visible(self.client, self._options, schema, name, "")
        row, act_schema = _event(snapshot, job), self._options.act_schema
        plan = self.plan(spec, schema=schema, event=name)
        if spec.verb == Verb.HOLD:
            text = f"disable event {job}, with a row that says who holds it until when"
            alter = f"ALTER DEFINER={row['definer'] if row else '?'} EVENT {job} DISABLE"
            calls: tuple[str, ...] = (
                f"CALL {act_schema}.event_hold('{schema}', '{name}', '<key>', …)",
                f"-- a row in {act_schema}.events_held; {alter}",
            )
        else:
            text = f"take our row of event {job} away; enabled or not is unchanged"
            text = f"enable event {job} again and take our row away" if plan["enables"] else text
            enables = 1 if plan["enables"] else 0
            calls = (f"CALL {act_schema}.event_release('{schema}', '{name}', '{plan['hold']}', {enables})",)
        may_hold = snapshot.held is not None and permissions.may_hold(snapshot, act_schema)
        missing = None if may_hold else _no_permission(snapshot, f"hold {job}")
        missing = REPLICA if snapshot.about["read_only"] else missing
        missing = f"event {job} no longer exists" if row is None else missing
        return self.preview_of(
            spec,
            plan,
            _agent_job(row, _marks(snapshot)) if row else None,
            text=text,
            calls=calls,
            missing=missing,
            by_hand=f"ALTER EVENT {job} ENABLE",
            notes=("a run in progress goes on to its end",),
        )

    def ref(self, plan: Plan) -> str:
        return f"{plan['schema']}.{plan['event']}"

    def job_left(self, plan: Plan, key: str) -> tuple[AgentJob | None, LookUpResult]:
        mark_id = key if plan["way"] == "hold" else str(plan["hold"])
        snapshot = self.client.situation(str(plan["schema"]), str(plan["event"]), mark_id)
        if snapshot.held is None:
            return None, ActionUnknown(permissions.unreadable_marks(snapshot))
        row = _event(snapshot, self.ref(plan))
        job = _agent_job(row, _marks(snapshot)) if row else None
        return job, absent_unless(snapshot.senders, what="connection")


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


def _marks(snapshot: ServerSnapshot) -> dict[str, HoldMark]:
    marks = {parse.native_id(row): HoldMark.read(str(row["mark"])) for row in snapshot.held or ()}
    return {job: mark for job, mark in marks.items() if mark is not None}


def _agent_job(row: Row, marks: Mapping[str, HoldMark]) -> AgentJob:
    name = parse.native_id(row)
    return AgentJob(name, marks.get(name), _is_enabled(row))


def holds(place: str, snapshot: ServerSnapshot) -> tuple[NativeHold, ...]:
    """The events that bear the hold mark; bare where a user enabled them under it."""
    marks = _marks(snapshot)
    jobs = (_agent_job(row, marks) for row in snapshot.events)
    return marked_jobs((job.ref, job, f"row of {job.ref} in table events_held at {place}") for job in jobs)
