"""Previews of actions, by the connector, or by Headway where it only asserts. Nothing is sent.

Around a rerun the estate adds its safety and the jobs that must be rerun after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from connectors.sdk.contract import ActionSpec, Connector, Preview, PreviewNote
from connectors.sdk.errors import NotSupported
from connectors.sdk.states import STARTING, Capability, RunState, Verb
from console.control.incidents.impact import reruns_after
from console.control.recovery.selection import broken_reason
from console.domain.action import preview_notes
from console.domain.estate import Estate
from console.domain.incident import REPAIR_AT_SOURCE, step_refusal
from console.domain.text import At, Text
from console.engine.connector_pool import ConnectorTarget
from console.engine.polling.sanitize import map_texts
from console.store import actions, conflicts, jobs
from console.store.actions import ActionRow
from console.store.db.database import Database
from console.text.cleaning import clean, clean_line

MARKS = (Verb.MARK_OK, Verb.SKIP)
NEVER_STARTED = "this run never started, so there is nothing to rerun: the job is started instead"
NOT_STARTED = (RunState.HELD, RunState.WAITING)
"""Open states that a mark may end, as nothing runs in them."""


def refusal_of(store: Database, places: Mapping[int, ConnectorTarget], action: ActionRow) -> str:
    """Why Headway itself refuses to send it; empty if it may be sent."""
    if action.target_id not in places:
        return f"{action.system} is no longer in the config"
    if good := conflicts.mark_refusal(store, action.verb, action.run_id):
        return good
    if cannot := unsupported_reason(places[action.target_id], action.system, action.verb):
        return cannot
    safety = "" if action.verb is not Verb.RERUN else jobs.job_safety(store, action.job_id)
    return clean(step_refusal(action.preview, action.verb, safety))


def unsupported_reason(place: ConnectorTarget, system: str, verb: Verb) -> str:
    """Why a system does not support the verb, and what to do instead; empty if it does, and for a mark that Headway
    records itself."""
    if verb is Verb.BACKFILL and verb not in place.system.kind.verbs:
        return f"{system} has no native backfill. Fix: leave out --native; Headway then runs each period itself"
    if verb.needs in place.system.capabilities or verb in MARKS:
        return ""
    why = place.system.missing.get(verb.needs, "").rstrip(".")
    instead = f"; {REPAIR_AT_SOURCE}" if verb in STARTING else ""
    return f"{system} cannot {verb}" + (f": {why}" if why else "") + instead


def preview_from_json(values: Mapping[str, Any]) -> Preview:
    """The Preview stored as JSON. Raises NotSupported for one of another version of Headway."""
    lists = ("affected", "native_calls")
    known: dict[str, Any] = {
        name: tuple(value) if name in lists else value
        for name, value in values.items()
        if name in Preview.__dataclass_fields__
    }
    try:
        return Preview(**{**known, "notes": tuple(map(note_of, preview_notes(values)))})
    except TypeError as error:
        raise NotSupported("its preview was stored by another version of Headway and cannot be read") from error


def preview_to_json(preview: Preview, shown: Callable[[str], str]) -> dict[str, Any]:
    """The preview as JSON. Texts for people go through `shown`; `plan` returns to the connector unchanged."""
    fields = {name: map_texts(value, shown) for name, value in asdict(preview).items() if name != "plan"}
    if not preview.backfills:
        del fields["backfills"]
    return {**fields, "plan": dict(preview.plan)}


def note_of(text: Text) -> PreviewNote:
    """The text as a note of a preview."""
    return tuple(part.at if isinstance(part, At) else part for part in text)


def connector_request(store: Database, action: ActionRow) -> ActionSpec | None:
    """The connector's request for an action; None if its run or job is gone."""
    if action.run_id is None:
        native = actions.job_ref(store, action.job_id)
    else:
        native = actions.run_ref(store, action.run_id, job_id=action.job_id)
    if native is None:
        return None
    period = action.parameters.get("period_at")
    ref = native.ref
    if action.run_id is None and isinstance(period, str):
        ref = replace(ref, period_key=period)
    return ActionSpec(action.verb, ref, RunState(native.state), action.parameters)


def is_asserted(place: ConnectorTarget, ask: ActionSpec) -> bool:
    """True for a mark that the scheduler cannot set, because the kind has no such call or no row for the run (a
    missed run): Headway records it as asserted."""
    if ask.verb not in MARKS:
        return False
    return Capability.MARK not in place.system.capabilities or not ask.run.attempt_key


def fetch_preview(connector: Connector, place: ConnectorTarget, ask: ActionSpec, seconds: float) -> Preview:
    """The connector's preview, or Headway's own for an asserted mark. A rerun of a run that never started becomes a
    start if the scheduler has no run to repeat. Raises ConnectorError."""
    if is_asserted(place, ask):
        return assertion_preview(ask)
    if ask.verb is not Verb.RERUN or ask.run.attempt_key or Capability.START not in place.system.capabilities:
        return connector.preview(ask, seconds)
    try:
        again = connector.preview(ask, seconds)
        if not again.refused:
            return again
    except NotSupported as error:
        again = Preview("rerun", str(error), ask.run.job, refused=str(error))
    period = {"period_at": ask.run.period_key} if ask.run.period_key else {}
    begun = connector.preview(ActionSpec(Verb.START, ask.run, ask.state, period), seconds)
    return again if begun.refused else replace(begun, notes=(NEVER_STARTED, *begun.notes))


def assertion_preview(ask: ActionSpec) -> Preview:
    """Preview of an asserted mark: the record it makes and the state it leaves unchanged."""
    name, period = clean_line(ask.run.job), clean_line(ask.run.period_key)
    refused = None
    if not period:
        refused = f"{name} has no run to mark"
    elif ask.state.is_open and ask.state not in NOT_STARTED:
        refused = f"{name} {period} is {ask.state}: cancel it first, or wait until it ends"
    state = "succeeded" if ask.verb is Verb.MARK_OK else "skipped"
    return Preview(
        verb="mark OK in Headway" if ask.verb is Verb.MARK_OK else "skip in Headway",
        summary=f"record on your word that {name} {period} {state}",
        scope=f"{name} {period}",
        notes=(
            "nothing is sent: this scheduler cannot set a run's result and keeps showing its own",
            "a later attempt in the scheduler overrides it",
        ),
        refused=refused,
    )


def rerun_context(store: Database, estate: Estate, run_id: int, now: datetime) -> dict[str, Any]:
    """{"safety": as declared, "safety_said": [person, time] if a person declared it, "followers": [[job, run id,
    reason], …] in rerun order}."""
    run = next((run for run in estate.runs if run.id == run_id), None)
    if run is None:
        return {"safety": jobs.run_safety(store, run_id), "followers": []}
    stated = jobs.stated_safety(store, (run.job_id,)).get(run.job_id, ())
    incident = next((incident for incident in estate.incidents if run_id in incident.member_run_ids), None)
    after = reruns_after(estate, incident, now) if incident is not None else []
    followers = [
        [clean_line(estate.jobs[follower.job_id].name), follower.id, broken_reason(follower)]
        for follower in after
        if follower.id != run_id
    ]
    return {"safety": str(estate.jobs[run.job_id].rerun), "safety_said": list(stated), "followers": followers}
