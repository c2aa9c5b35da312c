"""Actions as rows: what people asked for, and how far it has come."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from connectors.contract import RunRef, State, Verb
from console.clean import clean_line
from console.model.ids import maybe_instant
from console.store import audit, told
from console.store.keys import unpack
from console.store.name_ends import shortest_end
from console.store.open import Store
from console.store.told import Audience, Need
from console.store.wire import wire


@dataclass(frozen=True, slots=True)
class ActionRow:
    """One action, with where its job lives."""

    key: str
    verb: Verb
    state: str
    job_id: int
    job: str
    system: str
    system_id: int
    target_id: int
    run_id: int | None
    incident_id: int | None
    preview: dict[str, Any]
    """Empty: it is asked from the connector right before the intent."""
    parameters: dict[str, Any]
    """For `Ask.parameters`; a reason that was given is in it as "why"."""
    origin: str
    requested_by: str
    why: str
    overlap: str
    looked_up: int
    next_us: int
    requested_us: int
    needs_approval: bool
    approved_by: str
    approved_us: int | None
    sent_us: int | None = None
    words: str = ""
    """What it waits for, or what came back."""


_ACTIONS = (
    "SELECT a.key, a.verb, a.state, a.job_id, j.name AS job, s.name AS system, j.system_id, j.target_id, a.run_id,"
    " a.incident_id, a.preview, a.parameters, a.origin, a.requested_by, a.why, a.overlap, a.looked_up, a.next_us,"
    " a.requested_us, a.needs_approval, a.approved_by, a.approved_us, a.sent_us, a.words"
    " FROM action a JOIN job j ON j.id = a.job_id JOIN system s ON s.id = j.system_id"
)
_APPROVED = " AND (a.state <> 'requested' OR NOT a.needs_approval OR a.approved_by <> '')"


def actions_in(store: Store, state: str, now_us: int, odd: dict[str, str]) -> list[ActionRow]:
    """Actions in this state that are due and approved where they must be, oldest first. What nobody can read, which no
    program of ours wrote, is told in `odd`: its key and why."""
    where = f" WHERE a.state = :state AND a.next_us <= :now{_APPROVED} ORDER BY a.requested_us, a.key"
    with store.read() as connection:
        rows = connection.execute(text(_ACTIONS + where), {"state": state, "now": now_us}).all()
    return [found for row in rows if (found := _readable(row, odd)) is not None]


def _readable(row: Any, odd: dict[str, str]) -> ActionRow | None:
    try:
        return _action(row)
    except (ValueError, TypeError, RecursionError) as error:
        odd[row.key] = clean_line(str(error))
        return None


_UNAPPROVED = "SELECT key, origin FROM action WHERE state = 'requested' AND needs_approval AND approved_by = ''"


def unapproved_since(store: Store, before_us: int) -> list[tuple[str, str]]:
    """Actions that were asked for before then and that nobody has approved, though somebody must: key, and origin."""
    sql = f"{_UNAPPROVED} AND requested_us < :before ORDER BY requested_us, key"
    with store.read() as connection:
        return [(row.key, row.origin) for row in connection.execute(text(sql), {"before": before_us})]


def untold(store: Store) -> list[str]:
    """Keys of actions that wait for an approval of which nobody was told yet, oldest first."""
    with store.read() as connection:
        return list(connection.execute(text(f"{_UNAPPROVED} AND next_us = 0 ORDER BY requested_us, key")).scalars())


def of_aborted_plans(store: Store) -> list[tuple[str, int]]:
    """Actions that wait for an approval though their plan was aborted: key, and the plan's number."""
    sql = (
        "SELECT a.key, p.id FROM action a JOIN plan_step s ON s.action_key = a.key JOIN plan p ON p.id = s.plan_id"
        " WHERE a.state = 'requested' AND a.needs_approval AND a.approved_by = '' AND p.state = 'aborted'"
        " ORDER BY a.requested_us, a.key"
    )
    with store.read() as connection:
        return [(row.key, row.id) for row in connection.execute(text(sql))]


def _action(row: Any) -> ActionRow:
    known = {name: getattr(row, name) for name in ActionRow.__dataclass_fields__}
    why = {"why": row.why} if row.why else {}
    preview = json.loads(row.preview)
    if not isinstance(preview, dict) or row.overlap not in ("refuse", "queue", "allow"):
        raise ValueError("its preview or its overlap is none")
    known |= {"verb": Verb(row.verb), "preview": preview, "parameters": {**why, **json.loads(row.parameters)}}
    return ActionRow(**known)


@dataclass(frozen=True, slots=True)
class ActionStep:
    """What happened to an action: its new state and words, and a line for the timeline."""

    state: str
    words: str = ""
    native_ref: str | None = None
    ended: bool = False
    next_us: int = 0
    looked_up: bool = False
    event: str = ""
    preview: dict[str, Any] | None = None
    """As the connector gave it just now; None leaves what is there."""
    tells: str = ""
    """What a person must know who may look at no screen: "its outcome stays unknown"."""


def step_action(
    store: Store, fence: int, key: str, was: str, step: ActionStep, now_us: int, audience: Audience = told.NOBODY
) -> bool:
    """Moves an action on if it still is in the state `was`; True when it did. An intent is written through. What a
    person must know is told in the same transaction."""
    with store.write(fence, durable=step.state == "sending") as connection:
        moved = move_action(connection, key, was, step, now_us)
        if moved and step.tells:
            _call_a_person(connection, audience, key, step, now_us)
        return moved


def _call_a_person(connection: Connection, audience: Audience, key: str, step: ActionStep, now_us: int) -> None:
    lines = wire(connection)
    [(verb, job, job_id, incident_id, by)] = lines.rows(
        "SELECT a.verb, j.name, a.job_id, a.incident_id, a.requested_by FROM action a JOIN job j ON j.id = a.job_id"
        " WHERE a.key = ?",
        (key,),
    )
    what = str(verb).replace("_", " ")
    give_up = f"Give it up, once you have looked at its scheduler: headway withdraw {key}"
    ways = ("See it: headway status", *(() if step.ended else (give_up,)))
    need = Need(key, f"{what}: {step.tells}", f"{what} {job}", step.words, ways, by, incident_id, job_id)
    told.tell(lines, audience, need, now_us)


_MOVE = (
    "UPDATE action SET state = :state, words = CASE WHEN :words = '' AND :state <> 'sending'"
    " THEN words ELSE :words END,"
    " native_ref = COALESCE(:ref, native_ref), next_us = :next, looked_up = looked_up + :looked,"
    " preview = COALESCE(:preview, preview),"
    " sent_us = CASE WHEN :state = 'sending' THEN :now ELSE sent_us END,"
    " ended_us = CASE WHEN :ended = 1 THEN :now ELSE ended_us END, changed_seq = changed_seq + 1"
    " WHERE key = :key AND state = :was AND NOT (:state = 'sending' AND EXISTS"
    " (SELECT 1 FROM switch WHERE name = 'freeze' AND value = 'on'))"
)
"""Once a freeze is committed no intent is. What an action waited for is over when it leaves."""
_TELL = (
    "INSERT INTO event (at_us, kind, words, incident_id, job_id, actor)"
    " SELECT :now, 'action', :event, incident_id, job_id, requested_by FROM action WHERE key = :key"
)


def move_action(connection: Connection, key: str, was: str, step: ActionStep, now_us: int) -> bool:
    """`step_action` as part of a greater transaction."""
    values = {
        "state": step.state,
        "words": step.words,
        "ref": step.native_ref,
        "next": step.next_us,
        "looked": int(step.looked_up),
        "preview": None if step.preview is None else json.dumps(step.preview),
        "ended": int(step.ended),
        "now": now_us,
        "key": key,
        "was": was,
    }
    moved = connection.execute(text(_MOVE), values).rowcount == 1
    if moved:
        audit.append_step(connection, key, was, step.state, now_us)
    if moved and step.event:
        connection.execute(text(_TELL), {"now": now_us, "event": step.event, "key": key})
    return moved


@dataclass(frozen=True, slots=True)
class AttemptWord:
    """What the scheduler says of an attempt that carries an action's key."""

    attempt_id: int
    state: str
    evidence: str
    ended: bool
    exit_code: int | None
    message: str


def attempt_after(store: Store, action: ActionRow) -> AttemptWord | None:
    """The attempt that the action made: it carries our key, or is the one that the receipt names (a redrive carries
    no key). None while the source has not shown it."""
    sql = (
        "SELECT t.id, t.state, t.evidence, t.ended_us IS NOT NULL AS ended, t.exit_code, t.message"
        " FROM attempt t JOIN action a ON a.key = :key"
        " WHERE (t.action_key = a.key AND t.job_id = a.job_id)"
        " OR (t.run_id = a.run_id AND a.native_ref <> '' AND t.attempt_key = a.native_ref)"
        " ORDER BY t.number DESC LIMIT 1"
    )
    with store.read() as connection:
        row = connection.execute(text(sql), {"key": action.key}).first()
    return (
        None
        if row is None
        else AttemptWord(row.id, row.state, row.evidence, bool(row.ended), row.exit_code, row.message)
    )


@dataclass(frozen=True, slots=True)
class RunWord:
    """What the source says of a run now."""

    state: str
    evidence: str
    attempts: int


def run_word(store: Store, run_id: int) -> RunWord | None:
    """The run as it was last seen; None when it is gone."""
    with store.read() as connection:
        sql = "SELECT state, evidence, attempts FROM run WHERE id = :id"
        row = connection.execute(text(sql), {"id": run_id}).first()
    return None if row is None else RunWord(row.state, row.evidence, row.attempts)


def short_name(store: Store, job_id: int | None, run_id: int | None) -> str:
    """What a person types to say that they mean this job, or this run's: the shortest end of its name that no other job
    has."""
    of_run = "SELECT j.name FROM run r JOIN job j ON j.id = r.job_id WHERE r.id = ?"
    sql = of_run if run_id is not None else "SELECT name FROM job WHERE id = ?"
    with store.read() as connection:
        lines = wire(connection)
        [(name,)] = lines.rows(sql, (job_id if run_id is None else run_id,))
        return clean_line(unpack(shortest_end(lines.rows, name)))


def job_ref(store: Store, job_id: int) -> tuple[RunRef, str, int, str] | None:
    """As `run_ref`, for what is asked of a job: no run, no attempt, the state "planned"."""
    sql = "SELECT j.source_id, s.name, j.target_id FROM job j JOIN system s ON s.id = j.system_id WHERE j.id = :job"
    with store.read() as connection:
        row = connection.execute(text(sql), {"job": job_id}).first()
    return None if row is None else (RunRef(unpack(row[0]), "", "", ""), row[1], row[2], State.PLANNED.value)


def run_ref(
    store: Store, run_id: int, attempt_id: int | None = None, job_id: int | None = None
) -> tuple[RunRef, str, int, str] | None:
    """(what a connector needs to find the run, system, target id, state) of its latest or a named attempt. None where
    it is a run of another job than `job_id`: a right that was asked for one job must not reach another's run."""
    sql = (
        "SELECT j.source_id, r.period_key, COALESCE(a.attempt_key, '') AS attempt_key,"
        " COALESCE(a.native_ref, '') AS native_ref, a.started_us, s.name, j.target_id, r.state"
        " FROM run r JOIN job j ON j.id = r.job_id JOIN system s ON s.id = j.system_id"
        " LEFT JOIN attempt a ON a.id = COALESCE(:attempt, r.attempt_id) AND a.run_id = r.id WHERE r.id = :run"
    )
    sql = sql.replace("SELECT", "SELECT r.job_id,", 1)
    with store.read() as connection:
        row = connection.execute(text(sql), {"run": run_id, "attempt": attempt_id}).first()
    if row is None or job_id not in (None, row.job_id):
        return None
    raw = [unpack(one) for one in (row.source_id, row.period_key, row.attempt_key, row.native_ref)]
    ref = RunRef(raw[0], raw[1], raw[2], raw[3], maybe_instant(row.started_us))
    return ref, row.name, row.target_id, row.state
