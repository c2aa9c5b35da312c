"""A request for an action on a run or a job: the value, and its row in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.sdk.states import Verb
from console.store import conflicts
from console.store.db.session import Session
from console.timing.durations import format_duration

_NEW_ACTION = (
    "INSERT INTO action (key, verb, job_id, run_id, incident_id, state, preview, parameters, origin, requested_by,"
    " requested_from, why, overlap, needs_approval, approved_by, requested_us, native_ref, words, next_us, looked_up,"
    " changed_seq) SELECT ?, ?, j.id, r.id, COALESCE(CAST(? AS BIGINT), (SELECT MIN(i.id) FROM incident_member m"
    " JOIN incident i ON i.id = m.incident_id"
    " WHERE m.job_id = r.job_id AND m.period_key = r.period_key AND i.closed_us IS NULL)),"
    " 'requested', ?, ?, 'person', ?, ?, ?, ?, ?, '', ?, '', ?, 0, 0, 0"
    " FROM job j LEFT JOIN run r ON r.job_id = j.id AND r.id = CAST(? AS BIGINT)"
    " WHERE j.id = COALESCE((SELECT job_id FROM run WHERE id = CAST(? AS BIGINT)), CAST(? AS BIGINT)) RETURNING key"
)
"""Without a named incident, the action belongs to the open incident that its run is a member of."""

_RESTRICTED = "SELECT headway_act(?, ?, ?::integer, ?, ?, ?, ?, ?, ?, ?)"
"""Inserts and audits it under the login's name."""

EXCLUSIVE_VERBS = (
    (Verb.RERUN, Verb.START, Verb.MARK_OK, Verb.SKIP),
    (Verb.CANCEL,),
    (Verb.HOLD, Verb.RELEASE),
    (Verb.BACKFILL,),
)
"""Of each group, at most one action is in flight per run (per job, if it names no run)."""


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """An action that a person requests for a run or a job."""

    verb: Verb
    run_id: int | None = None
    job_id: int | None = None
    """For a job without a run yet, and for hold and release."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """`ActionSpec.parameters` of the connector contract."""
    preview: Mapping[str, Any] = field(default_factory=dict)
    """The preview the person saw; empty: the engine asks for one right before sending and sends that."""
    why: str = ""
    overlap: str = "refuse"
    """If the job runs already: "refuse"; "queue" until it ends; "allow" the overlap that the person was shown."""
    incident_id: int | None = None
    needs_approval: bool = False
    beside: tuple[str, ...] | None = None
    """With a chosen `overlap`: keys of the actions in flight that were shown. "allow" accepts those of them that
    were sent; "queue" waits for all of them."""


class AlreadyRequested(Exception):
    """The same was requested already; the message names the requester and the time."""


def overlap_choice(preview: Mapping[str, Any]) -> str:
    """`ActionRequest.overlap` for a confirmed preview: the shown overlap is allowed, a later one refused."""
    return "allow" if preview.get("overlap") else "refuse"


def refuse_duplicate(session: Session, action: ActionRequest, now_us: int) -> None:
    """Raises AlreadyRequested if an action of the same group is in flight or planned, unless the person chose to run
    beside it."""
    if action.beside is not None and action.overlap == "queue":
        return
    group = [verb.value for verb in next(verbs for verbs in EXCLUSIVE_VERBS if action.verb in verbs)]
    for by, at, state, key in conflicts.actions_in_flight(session, action.run_id, action.job_id, group):
        shown = action.beside is not None and key in action.beside
        if shown and state == "sent":
            continue  # sent already: the person chose to run beside it
        ago, lost = format_duration((now_us - at) / 1e6), state in ("requested", "unknown")
        further = f"; withdraw it with: headway action withdraw {key}" if shown and lost else ""
        raise AlreadyRequested(f"already requested by {by} {ago} ago; it is {state}{further}")
    plan = None if action.run_id is None else conflicts.planned_step(session, action.run_id, group)
    if plan is not None:
        number, by, place = plan
        choices = f"headway plan {number} --watch follows it; --overlap queue waits for it"
        raise AlreadyRequested(f"plan {number} of {by} does it, in its step {place}: {choices}")


def insert_action(session: Session, action: ActionRequest, key: str, by: str, origin: str, now: int) -> None:
    """Inserts the action under its key, requested by `by` from `origin`."""
    if session.is_restricted:
        about = (action.verb.value, action.job_id, action.run_id, action.incident_id)
        rest = (action.why, action.overlap, action.needs_approval, origin)
        session.rows(_RESTRICTED, (key, *about, json.dumps(dict(action.parameters)), *rest))
        return
    documents = (json.dumps(dict(action.preview)), json.dumps(dict(action.parameters)))
    waits = f"waiting for approval by another person: headway action approve {key}" if action.needs_approval else ""
    requested = (by, origin, action.why, action.overlap, action.needs_approval, now, waits)
    subject = (action.run_id, action.run_id, action.job_id)
    session.rows(_NEW_ACTION, (key, action.verb.value, action.incident_id, *documents, *requested, *subject))
