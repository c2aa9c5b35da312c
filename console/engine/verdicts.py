"""Whether what was sent came about, by the scheduler's own word: each verb has its proof."""

from __future__ import annotations

from datetime import timedelta

from connectors.contract import State, Verb
from console.model.words import NEVER_ARRIVED, NOT_SENT
from console.store import asked
from console.store.asked import ActionRow, ActionStep, AttemptWord
from console.store.open import Store

BY_LOOKING = (Verb.HOLD, Verb.RELEASE, Verb.BACKFILL)
"""Proved by a look at the source itself; every other verb by the runs that polls bring."""
WITHIN = {
    Verb.RERUN: timedelta(hours=24),
    Verb.START: timedelta(hours=24),
    Verb.CANCEL: timedelta(hours=1),
    Verb.MARK_OK: timedelta(minutes=10),
    Verb.SKIP: timedelta(minutes=10),
    Verb.HOLD: timedelta(minutes=10),
    Verb.RELEASE: timedelta(minutes=10),
    Verb.BACKFILL: timedelta(minutes=10),
}
"""What was not seen to come about for so long is over, or nobody could ever ask for that run again."""
SEEN_WITHIN = timedelta(hours=1)
"""An attempt that was not seen to begin for so long, or of which nobody can tell: a person must look."""
_MARKED = {Verb.MARK_OK: (State.SUCCEEDED,), Verb.SKIP: (State.SKIPPED, State.SUCCEEDED)}
"""Sources without a word for "skipped" say that a skipped run succeeded (Airflow's DAG runs)."""


def verdict(store: Store, action: ActionRow) -> ActionStep | None:
    """How the action ended, for all verbs but BY_LOOKING; None while its source has not said."""
    if action.verb in (Verb.RERUN, Verb.START):
        return _by_attempt(store, action)
    return _by_run(store, action)


def _by_attempt(store: Store, action: ActionRow) -> ActionStep | None:
    """By the attempt that carries our key."""
    found = asked.attempt_after(store, action)
    if found is None or not _is_over(found):
        return None
    state = State(found.state)
    if state is State.SUCCEEDED:
        return verified(f"{state} ({found.evidence})")
    code = "" if found.exit_code is None else f", exit {found.exit_code}"
    return failed(f"ended {state}{code}: {found.message}".rstrip(": "))


def _is_over(found: AttemptWord) -> bool:
    """What was lost, or failed without an end time, is over too; what nobody can tell may still be told."""
    state = State(found.state)
    return found.ended or not (state.is_open or state is State.UNKNOWN)


def _by_run(store: Store, action: ActionRow) -> ActionStep | None:
    """By the state of the run that was to end, or to be marked."""
    found = None if action.run_id is None else asked.run_word(store, action.run_id)
    if found is None:
        return failed("its run is gone from the store")
    state = State(found.state)
    if action.verb is not Verb.CANCEL:
        return verified(f"{state} ({found.evidence})") if state in _MARKED[action.verb] else None
    if state.is_open or state is State.UNKNOWN:
        return None
    if state in (State.SUCCEEDED, State.PARTIAL):
        return failed(f"too late: it ended {state} ({found.evidence})")
    return verified(f"{state} ({found.evidence})")


def verified(words: str) -> ActionStep:
    return ActionStep("verified", words, ended=True, event=f"verified: {words}")


def failed(words: str) -> ActionStep:
    return ActionStep("failed", words, ended=True, event=words)


def not_sent(why: str) -> ActionStep:
    """Nothing of it left: it may be asked again."""
    return ActionStep("failed", f"{NOT_SENT}{why}", ended=True, event="not sent")


def never_arrived(tells: str = "") -> ActionStep:
    """It may have left, and is proved not to be at its scheduler: it may be asked again."""
    return ActionStep("failed", NEVER_ARRIVED, ended=True, event="it never arrived", tells=tells)


def unproved(store: Store, action: ActionRow, now_us: int) -> ActionStep | None:
    """The end of an action that nobody could prove in its time; None while there is time."""
    within, unseen = WITHIN[action.verb], "it was not seen to take hold"
    if action.verb in (Verb.RERUN, Verb.START):
        found, unseen = asked.attempt_after(store, action), "its run was not seen to end"
        if found is None or found.state == State.UNKNOWN:
            within, unseen = SEEN_WITHIN, "its run was not seen to begin" if found is None else unseen
    if action.sent_us is None or now_us - action.sent_us < within / timedelta(microseconds=1):
        return None
    hours = within / timedelta(hours=1)
    time = f"{hours:.0f} h" if hours >= 1 else f"{within / timedelta(minutes=1):.0f} min"
    words = f"{unseen} within {time}. Look at the scheduler itself."
    told = "" if action.origin == "plan" else "its outcome stays unproved"  # a plan that stops for it tells that
    return ActionStep("failed", words, ended=True, event="outcome stays unproved", tells=told)
