"""Rerunning and starting: the event's body once more, as its definer, in a one-shot event whose name is our key.

It stays after its run (ON COMPLETION PRESERVE), so that a lost answer is found by its name; a poll takes it away a day
later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.contract import (
    ACTION_KEY,
    Absent,
    Ask,
    CannotTell,
    Found,
    LookUp,
    NotSupported,
    Preview,
    Receipt,
    Verb,
)
from connectors.mysql_events import parse, rights
from connectors.mysql_events.client import MySqlEventsClient
from connectors.mysql_events.seen import Row, Seen

NOTES = (
    "starts within 2 s, under an event of its own name",
    "runs the body as it is now, with the time of now: the run's own context is lost",
)


def find(seen: Seen, job: str) -> Row | None:
    """The event that is meant."""
    return next((row for row in seen.events if parse.native_id(row) == job and not parse.is_entry(row)), None)


def preview(
    client: MySqlEventsClient, ask: Ask, schemas: Sequence[str], log_table: str | None, act_schema: str, seconds: float
) -> Preview:
    """What a rerun or start would add to the server's events; refused where grants.sql would refuse it."""
    job = ask.run.job
    schema, _, name = job.partition(".")
    seen = client.situation(schema, name, "", seconds)
    rights.require_view(seen, schemas, client.place)
    row = find(seen, job)
    definer = row["definer"] if row else "?"
    paused = (f"{job} is {row['status']}; its body runs all the same",) if row and row["status"] != "ENABLED" else ()
    return Preview(
        verb="run once",
        words=f"run the body of event {job} once, as {definer}",
        scope=f"one run of {job}{f', for {ask.run.period_key}' * bool(ask.run.period_key)}",
        overlap=_overlap(seen, row, log_table, job),
        native_calls=(
            f"CALL {act_schema}.event_start('{schema}', '{name}', '<key>')",
            f"-- CREATE DEFINER={definer} EVENT {schema}.<key> ON SCHEDULE AT now + 1 s ON COMPLETION PRESERVE",
        ),
        notes=NOTES + paused,
        refused=_refusal(seen, row, job, act_schema, "start" if ask.verb == Verb.START else "rerun"),
        plan={"way": "start", "schema": schema, "event": name},
    )


def _overlap(seen: Seen, row: Row | None, log_table: str | None, job: str) -> str | None:
    """Events overlap freely: the server starts one beside itself."""
    running = [one for one in seen.running if not parse.is_lost(one, parse.instant(one["started"]), seen)]
    if running:
        since = parse.instant(running[0]["started"])
        return f"run {running[0]['run_id']} of {job} is running" + (f" since {since:%H:%M:%S} UTC" if since else "")
    if row is not None and parse.is_logged(row, log_table) and seen.log_is_readable:
        return None
    return f"whether {job} runs now is not known: it logs nothing"


def _refusal(seen: Seen, row: Row | None, job: str, act_schema: str, what: str) -> str | None:
    account = str(seen.about["role"])
    if row is None:
        return f"event {job} is not there any more: there is no body to run"
    if rights.is_mysql(seen.about):
        return f"MySQL prepares no CREATE EVENT, so grants.sql has no door there: {what} {job} by hand"
    if not rights.may_start(seen, act_schema):
        return (
            f"account {account} may not {what} {job}: {rights.GRANTS}, then GRANT headway_act_role TO"
            f" {rights.quoted(account)};"
        )
    if str(seen.about["scheduler"]) != "ON":
        return f"the event scheduler is {seen.about['scheduler']}: nothing starts. SET GLOBAL event_scheduler = ON;"
    if seen.about["read_only"]:
        return "this server is read-only, a replica: events run on its primary"
    return None


def send(client: MySqlEventsClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> Receipt:
    """Adds the one-shot event; where this key did already, nothing changes."""
    if not ACTION_KEY.fullmatch(key):
        raise NotSupported(f'"{key}" is no action key')
    client.start(str(plan["schema"]), str(plan["event"]), key, timeout_seconds)
    return Receipt(f"{plan['schema']}.{key}", "added as a one-shot event; it starts within 2 s")


def look_up(
    client: MySqlEventsClient, plan: Mapping[str, Any], key: str, schemas: Sequence[str], timeout_seconds: float
) -> LookUp:
    """By the one-shot event's name. Absent only when nothing can be on its way and no event is hidden from us."""
    seen = client.situation(str(plan["schema"]), str(plan["event"]), key, timeout_seconds)
    rights.require_view(seen, schemas, client.place)
    for row in seen.events:
        if (str(row["event_schema"]), str(row["event_name"])) == (plan["schema"], key):
            began = parse.instant(row["last_executed"])
            return Found(f"{plan['schema']}.{key}", f"started {began:%H:%M:%S} UTC" if began else "not started yet")
    if seen.senders:
        return CannotTell(f"{seen.senders} connection of ours that sends it is still alive")
    if not rights.sees_all(seen, (str(plan["schema"]),)):
        return CannotTell(rights.hidden_words(seen, (str(plan["schema"]),)))
    return Absent()
