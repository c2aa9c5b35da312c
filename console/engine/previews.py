"""What an action will send, as its connector says, and what Headway says where it only asserts: nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from connectors.contract import Ask, Capability, Connector, NotSupported, Preview, RunRef, State, Verb
from connectors.words import STARTING
from console.clean import clean, clean_line
from console.engine.doors import Place
from console.model.steps import BY_HAND, refusal
from console.store import asked, in_the_way, polling
from console.store.asked import ActionRow
from console.store.open import Store

MARKS = (Verb.MARK_OK, Verb.SKIP)
NEVER_BEGAN = "it never began, and has nothing at its source to run again: this starts it"
NOT_BEGUN = (State.HELD, State.WAITING)
"""What of the open states a mark may end: nothing of it runs."""


def refusal_of(store: Store, places: Mapping[int, Place], action: ActionRow) -> str:
    """Why Headway itself does not send it, whatever the person was shown; empty when it may be sent."""
    if action.target_id not in places:
        return f"{action.system} is not in the config any more"
    if good := in_the_way.good_already(store, action.verb, action.run_id):
        return good
    if cannot := why_cannot(places[action.target_id], action.system, action.verb):
        return cannot
    safety = "" if action.verb is not Verb.RERUN else polling.safety_of_job(store, action.job_id)
    return clean(refusal(action.preview, action.verb, safety))


def why_cannot(place: Place, system: str, verb: Verb) -> str:
    """Why a system has no way to do it, and how a person goes on; empty where it has, and for a mark, which Headway
    keeps itself."""
    if verb is Verb.BACKFILL and verb not in place.system.kind.verbs:
        return f"{system} has no backfills of its own: without --native Headway runs each period by itself"
    if verb.needs in place.system.capabilities or verb in MARKS:
        return ""
    why = place.system.missing.get(verb.needs, "")
    instead = f"; {BY_HAND}" if verb in STARTING else ""
    return f"{system} cannot {verb}" + (f": {why}" if why else "") + instead


def preview_of(values: Mapping[str, Any]) -> Preview:
    """The Preview that was stored as JSON."""
    lists = ("affected", "native_calls", "notes")
    known: dict[str, Any] = {
        name: tuple(value) if name in lists else value
        for name, value in values.items()
        if name in Preview.__dataclass_fields__
    }
    return Preview(**known)


def cleaned_preview(preview: Preview, shown: Callable[[str], str]) -> dict[str, Any]:
    """The preview as JSON. What people read goes through `shown`; `plan` goes back to the connector as it came."""
    words = {name: _cleaned(value, shown) for name, value in asdict(preview).items() if name != "plan"}
    if not preview.backfills:
        del words["backfills"]
    return {**words, "plan": dict(preview.plan)}


def _cleaned(value: Any, shown: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {name: _cleaned(one, shown) for name, one in value.items()}
    if isinstance(value, tuple):
        return [_cleaned(one, shown) for one in value]
    return shown(value) if isinstance(value, str) else value


def ask_of(store: Store, action: ActionRow) -> Ask | None:
    """What the action wants, for its connector; None when its run or job is gone."""
    if action.run_id is None:
        found = asked.job_ref(store, action.job_id)
    else:
        found = asked.run_ref(store, action.run_id, job_id=action.job_id)
    if found is None:
        return None
    period = action.parameters.get("period_at")
    ref = replace(found[0], period_key=period) if action.run_id is None and isinstance(period, str) else found[0]
    return Ask(action.verb, ref, State(found[3]), action.parameters)


def is_asserted(place: Place, ask: Ask) -> bool:
    """True for a mark that its source cannot take, because its kind has none or it has no row of the run (one that was
    missed): Headway then says it in its own store."""
    if ask.verb not in MARKS:
        return False
    return Capability.MARK not in place.system.capabilities or not ask.run.attempt_key


def preview_there(connector: Connector, place: Place, ask: Ask, seconds: float) -> Preview:
    """The connector's preview, or ours of a mark that it cannot set; of a rerun of what never began its start, where
    its source runs nothing again that it has no run of. Raises ConnectorError."""
    if is_asserted(place, ask):
        return asserted(ask)
    if ask.verb is not Verb.RERUN or ask.run.attempt_key or Capability.START not in place.system.capabilities:
        return connector.preview(ask, seconds)
    try:
        again = connector.preview(ask, seconds)
        if not again.refused:
            return again
    except NotSupported as error:
        again = Preview("rerun", str(error), ask.run.job, refused=str(error))
    period = {"period_at": ask.run.period_key} if ask.run.period_key else {}
    begun = connector.preview(Ask(Verb.START, ask.run, ask.state, period), seconds)
    return again if begun.refused else replace(begun, notes=(NEVER_BEGAN, *begun.notes))


def asserted(ask: Ask) -> Preview:
    """A mark that Headway alone keeps: what it says, and what it does not do."""
    name, period = clean_line(ask.run.job), clean_line(ask.run.period_key)
    word = "succeeded" if ask.verb is Verb.MARK_OK else "skipped"
    return Preview(
        verb="mark OK in Headway" if ask.verb is Verb.MARK_OK else "skip in Headway",
        words=f"record on your word that {name} {period} {word}",
        scope=f"{name} {period}",
        notes=(
            "nothing is sent: its scheduler cannot be told, and still says what it says",
            "a later attempt of the scheduler's own wins over it",
        ),
        refused=_why_not_asserted(ask.run, ask.state),
    )


def _why_not_asserted(run: RunRef, state: State) -> str | None:
    name = clean_line(run.job)
    if not run.period_key:
        return f"no run of {name} to say it of"
    if state.is_open and state not in NOT_BEGUN:
        return f"{name} {clean_line(run.period_key)} is {state}: cancel it first, or wait for its end"
    return None
