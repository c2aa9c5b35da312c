"""Verification: whether an action took effect, by what the scheduler reports. Each verb has its evidence."""

from __future__ import annotations

from datetime import datetime, timedelta

from connectors.sdk.states import RunState, Verb
from console.domain.ids import utc_minute
from console.store import actions
from console.store.actions import ActionRow, ActionStep
from console.store.db.database import Database

VERIFIED_BY_LOOKUP = (Verb.HOLD, Verb.RELEASE, Verb.BACKFILL)
"""Verified by the scheduler's report under the action's key; every other verb by the runs that polls report."""
VERIFICATION_TIMEOUTS = {
    Verb.RERUN: timedelta(hours=24),
    Verb.START: timedelta(hours=24),
    Verb.CANCEL: timedelta(hours=1),
    Verb.MARK_OK: timedelta(minutes=10),
    Verb.SKIP: timedelta(minutes=10),
    Verb.HOLD: timedelta(minutes=10),
    Verb.RELEASE: timedelta(minutes=10),
    Verb.BACKFILL: timedelta(minutes=10),
}
"""Time after which an action without evidence ends as not verified."""
START_TIMEOUT = timedelta(hours=1)
"""Time after which an attempt that has not started, or whose state is unknown, needs a person."""
_MARKED = {Verb.MARK_OK: (RunState.SUCCEEDED,), Verb.SKIP: (RunState.SKIPPED, RunState.SUCCEEDED)}
"""Schedulers without a skipped state report a skipped run as succeeded (Airflow's DAG runs)."""


def verification(store: Database, action: ActionRow) -> ActionStep | None:
    """How the action ended, for verbs not in VERIFIED_BY_LOOKUP; None until the scheduler reports it."""
    return (_by_attempt if action.verb in (Verb.RERUN, Verb.START) else _by_run)(store, action)


def _by_attempt(store: Database, action: ActionRow) -> ActionStep | None:
    """By the attempt that carries the action's key. A lost one, or one that failed without an end time, has ended; an
    unknown one may still change."""
    attempt = actions.attempt_after(store, action)
    if attempt is None:
        return None
    state = RunState(attempt.state)
    if not attempt.ended and (state.is_open or state is RunState.UNKNOWN):
        return None
    if state is RunState.SUCCEEDED:
        return verified(f"{state} ({attempt.evidence})")
    code = "" if attempt.exit_code is None else f"exit {attempt.exit_code}"
    text = f"ended {state}, {code}" if code else f"ended {state}"
    return failed(text if attempt.message in ("", code) else f"{text}: {attempt.message}")


def _by_run(store: Database, action: ActionRow) -> ActionStep | None:
    """By the state of the run that was to end or to be marked."""
    run = None if action.run_id is None else actions.run_status(store, action.run_id)
    if run is None:
        return failed("its run is no longer in the store")
    state = RunState(run.state)
    if action.verb is not Verb.CANCEL:
        return verified(f"{state} ({run.evidence})") if state in _MARKED[action.verb] else None
    if state.is_open or state is RunState.UNKNOWN:
        return None
    if state in (RunState.SUCCEEDED, RunState.PARTIAL):
        return failed(f"too late: it ended {state} ({run.evidence})")
    return verified(f"{state} ({run.evidence})")


def verified(text: str) -> ActionStep:
    return ActionStep("verified", text, ended=True, event=f"verified: {text}")


def failed(text: str) -> ActionStep:
    return ActionStep("failed", text, ended=True, event=text)


def not_sent(why: str) -> ActionStep:
    """The action was not sent and may be requested again."""
    return ActionStep("failed", f"not sent: {why}", ended=True, event="not sent", unsent=True)


def never_arrived(notice: str) -> ActionStep:
    """The action was proved not to have arrived and may be requested again."""
    text = "looked up: it never arrived. Ask again to send it."
    return ActionStep("failed", text, ended=True, event="it never arrived", notice=notice, unsent=True)


def never_started(notice: str) -> ActionStep:
    """The action was proved not to have started, and can no longer start: it may be requested again."""
    text = "it did not start, and its scheduler no longer has it. Ask again to send it."
    return ActionStep("failed", text, ended=True, event="it can no longer start", notice=notice, unsent=True)


def did_not_start(action: ActionRow, due: datetime, why: str, notice: str = "") -> ActionStep:
    """A start that did not happen by `due`: it may come later, so it is never sent again."""
    fix = f"check its scheduler, then headway action withdraw {action.key}"
    text = f"no start was seen by {utc_minute(due)}: {why}."
    return ActionStep("unknown", text, event=notice, notice=notice, fix=fix)


def verification_timeout(store: Database, action: ActionRow, now_us: int) -> ActionStep | None:
    """The end of an action without evidence in time; None while there is time."""
    within, unseen = VERIFICATION_TIMEOUTS[action.verb], "no effect was seen"
    if action.verb in (Verb.RERUN, Verb.START):
        attempt, unseen = actions.attempt_after(store, action), "its run did not end"
        if attempt is None or attempt.state == RunState.UNKNOWN:
            within, unseen = START_TIMEOUT, "its run did not start" if attempt is None else unseen
    if action.sent_us is None or now_us - action.sent_us < within / timedelta(microseconds=1):
        return None
    hours = within / timedelta(hours=1)
    time = f"{hours:.0f} h" if hours >= 1 else f"{within / timedelta(minutes=1):.0f} min"
    text = f"{unseen} within {time}."
    notice = "" if action.origin == "plan" else "outcome not verified"  # the plan that stops for it notifies
    fix = "check the job in the scheduler."
    return ActionStep("failed", text, ended=True, event="outcome not verified", notice=notice, fix=fix)
