"""A request for an action on a run or a job: the value, and how it becomes an action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.sdk.states import Verb
from console.store import conflicts
from console.store.db.session import Session
from console.store.new_actions import NewAction, insert_action, insert_restricted, open_incident_of_run
from console.timing.durations import format_duration

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
    """The same was requested already. `problem` names the requester and the time, `choices` the commands."""

    def __init__(self, problem: str, choices: str = "") -> None:
        super().__init__(f"{problem}: {choices}" if choices else problem)
        self.problem = problem


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
        raise AlreadyRequested(f"plan {number} of {by} does it, in its step {place}", choices)


def insert_request(
    session: Session, request: ActionRequest, key: str, job_id: int, by: str, origin: str, now_us: int
) -> None:
    """Inserts the action under its key, requested by `by` from `origin`. Without a named incident it belongs to the
    open one that its run is a member of."""
    waits = f"waiting for approval by another person: headway action approve {key}" if request.needs_approval else ""
    action = NewAction(
        key=key,
        verb=request.verb,
        job_id=job_id,
        run_id=request.run_id,
        incident_id=request.incident_id,
        preview=request.preview,
        parameters=request.parameters,
        origin="person",
        requested_by=by,
        requested_from=origin,
        why=request.why,
        overlap=request.overlap,
        needs_approval=request.needs_approval,
        requested_us=now_us,
        text=waits,
    )
    if session.is_restricted:
        insert_restricted(session, action, request.job_id)
        return
    if action.incident_id is None and action.run_id is not None:
        action = replace(action, incident_id=open_incident_of_run(session, action.run_id))
    insert_action(session, action)
