"""Holding an event: `ALTER EVENT … DISABLE` with its definer kept, under our mark in the table that grants.sql makes.

An event's comment has 64 characters, too few for a mark: so it stands beside the events, in `events_held`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.contract import (
    STARTED_LATER,
    Absent,
    Ask,
    CannotTell,
    Found,
    HoldMark,
    LookUp,
    NativeHold,
    Preview,
    Receipt,
    Verb,
)
from connectors.holdnotes import asked_hold, asked_release, must_mark, not_released, unwritable
from connectors.mysql_events import parse, rights
from connectors.mysql_events.act import find
from connectors.mysql_events.client import MySqlEventsClient
from connectors.mysql_events.seen import Row, Seen


def marks(seen: Seen) -> dict[str, HoldMark]:
    """Our mark of each event that bears one."""
    found = {parse.native_id(row): HoldMark.read(str(row["mark"])) for row in seen.held or ()}
    return {job: mark for job, mark in found.items() if mark is not None}


def preview(
    client: MySqlEventsClient, ask: Ask, schemas: Sequence[str], act_schema: str, timeout_seconds: float
) -> Preview:
    """What a hold or a release would change; refused where grants.sql would refuse it."""
    schema, _, name = ask.run.job.partition(".")
    seen = client.situation(schema, name, "", timeout_seconds)
    rights.require_view(seen, schemas, client.place)
    row = find(seen, ask.run.job)
    plan = {"schema": schema, "event": name}
    if ask.verb == Verb.HOLD:
        return _hold(ask, seen, row, plan, act_schema)
    return _release(ask, seen, row, plan, act_schema)


def _hold(ask: Ask, seen: Seen, row: Row | None, plan: dict[str, Any], act_schema: str) -> Preview:
    job = ask.run.job
    plan |= {"way": "hold", **asked_hold(ask)}
    return Preview(
        verb="hold",
        words=f"disable event {job}, with a row beside it that says who holds it until when",
        scope=f"every start of {job} by the clock until it is released",
        native_calls=(
            f"CALL {act_schema}.event_hold('{plan['schema']}', '{plan['event']}', '<key>', …)",
            f"-- a row in {act_schema}.events_held; ALTER DEFINER={row['definer'] if row else '?'} EVENT {job} DISABLE",
        ),
        notes=("a run that is under way goes on to its end",),
        refused=_no_door(seen, row, job, act_schema) or unwritable(plan) or _not_held(marks(seen).get(job), row, job),
        plan=plan,
    )


def _release(ask: Ask, seen: Seen, row: Row | None, plan: dict[str, Any], act_schema: str) -> Preview:
    job, (hold, enables) = ask.run.job, asked_release(ask)
    is_enabled = row is not None and row["status"] == "ENABLED"
    mark, by_hand = marks(seen).get(job), f"ALTER EVENT {job} ENABLE"
    plan |= {"way": "release", "hold": hold, "enables": enables}
    return Preview(
        verb="release" if enables else "clear",
        words=f"enable event {job} again and take our row away"
        if enables
        else f"take our row of event {job} away; enabled or not stays as it is",
        scope=f"hold {hold} of {job}",
        native_calls=(
            f"CALL {act_schema}.event_release('{plan['schema']}', '{plan['event']}', '{hold}', {int(enables)})",
        ),
        notes=(STARTED_LATER,) if enables else (),
        refused=_no_door(seen, row, job, act_schema) or not_released(job, hold, mark, is_enabled, by_hand),
        plan=plan,
    )


def _no_door(seen: Seen, row: Row | None, job: str, act_schema: str) -> str | None:
    if row is None:
        return f"event {job} is not there any more"
    if seen.about["read_only"]:
        return "this server is read-only, a replica: events run on its primary"
    if seen.held is None or not rights.may_hold(seen, act_schema):
        account = str(seen.about["role"])
        give = f"GRANT headway_act_role TO {rights.quoted(account)};"
        return f"account {account} may not hold {job}: {rights.GRANTS}, then {give}"
    return None


def _not_held(mark: HoldMark | None, row: Row | None, job: str) -> str | None:
    if mark is not None:
        return f"{job} is held already: {mark.text}"
    if row is not None and row["status"] != "ENABLED":
        return f"{job} is {row['status']}, and not by us: who paused it must wake it"
    return None


def send(client: MySqlEventsClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> Receipt:
    """Holds or releases. Raises NotSupported where the event is not as it must be: then nothing was changed."""
    schema, name = str(plan["schema"]), str(plan["event"])
    if plan["way"] == "release":
        enables = plan.get("enables") is not False
        client.release(schema, name, str(plan["hold"]), enables, timeout_seconds)
        return Receipt(f"{schema}.{name}", f"{'enabled again, ' * enables}without our mark")
    mark = must_mark(plan, key)
    client.hold(schema, name, mark, timeout_seconds)
    return Receipt(f"{schema}.{name}", f"disabled: {mark.text}")


def look_up(client: MySqlEventsClient, plan: Mapping[str, Any], key: str, timeout_seconds: float) -> LookUp:
    """By the mark: a hold is there with its key and has disabled the event, a release has taken it away."""
    job = f"{plan['schema']}.{plan['event']}"
    asked = key if plan["way"] == "hold" else str(plan["hold"])
    seen = client.situation(str(plan["schema"]), str(plan["event"]), asked, timeout_seconds)
    if seen.held is None:
        return CannotTell(f"account {seen.about['role']} may not read the marks: {rights.GRANTS}")
    mark, row = marks(seen).get(job), find(seen, job)
    is_enabled = row is not None and row["status"] == "ENABLED"
    # The mark is written before the event is disabled: cut between the two, the event still starts.
    if plan["way"] == "hold" and mark is not None and mark.id == key and row is not None and not is_enabled:
        return Found(job, mark.text)
    is_gone = mark is None or mark.id != asked
    if plan["way"] == "release" and is_gone and row is not None and (is_enabled or plan.get("enables") is False):
        return Found(job, f"{'enabled, ' * is_enabled}without the mark of {asked}")
    if seen.senders:
        return CannotTell(f"{seen.senders} connection of ours that sends it is still alive")
    return Absent()


def holds(place: str, seen: Seen) -> tuple[NativeHold, ...]:
    """The events that bear our mark; bare where somebody enabled them under it."""
    found = marks(seen)
    return tuple(
        NativeHold(job, found[job], f"row of {job} in table events_held at {place}", bare=row["status"] == "ENABLED")
        for row in seen.events
        if (job := parse.native_id(row)) in found
    )
