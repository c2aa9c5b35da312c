"""The state machine of one action: refused, postponed, sent once, looked up, verified. Each transition is a row
before the next.

Right before the intent everything is checked again: the permission, the freeze, its age, whether its job runs by
then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from connectors.sdk.contract import SENT_AT, ActionAbsent, ActionFound, ActionSpec, LookUpResult
from connectors.sdk.errors import ConnectorError, NotSupported, SystemUnreachable
from connectors.sdk.records import instant_key
from connectors.sdk.states import STARTING, RunState, Verb
from console.control.holds.starts import may_have_run, start_refusal
from console.domain.ids import instant, micros
from console.domain.system import problem_and_fix
from console.engine.actions import permission, previews, verification
from console.engine.actions.in_flight import STOPPED, ActionsInFlight
from console.engine.actions.permission import obsolete_reason
from console.engine.actions.sender import ActionSender
from console.engine.connector_pool import ConnectorPool
from console.failpoints import failpoint
from console.store import actions, approvals, conflicts
from console.store.actions import ActionRow, ActionStep
from console.store.alerts import AlertRouting
from console.store.assertions import AssertionRefused, assert_state
from console.store.db.database import Database
from console.store.db.fence import Fence
from console.store.holds import pending_start
from console.timing.clock import Clock

log = structlog.get_logger("headway.actions")

LOOKUP_PAUSE_SECONDS = 5.0
LOOKUPS = 60
"""Checks of an unknown outcome before a person must decide. Attempts at an unreachable target do not count."""
LATE_LOOKUP_SECONDS = 300.0
"""Interval of checks after that: evidence may still appear."""
UNREACHABLE_RETRY_SECONDS = 15.0
"""Delay before an unreachable target or a failed action is retried."""
FREEZE_RETRY_SECONDS = 5.0
"""Interval at which a start after a hold checks whether the freeze has ended."""
PREVIEW_VALID_SECONDS = 5.0
"""A preview older than this is renewed before sending: the job may run by now."""
QUEUE_SECONDS = 10.0
"""Interval at which a queued request checks whether the job's other run has ended."""


class ActionStateMachine:
    """Advances one action according to its state. Called from the threads that send and look up."""

    def __init__(
        self,
        store: Database,
        clock: Clock,
        connectors: ConnectorPool,
        sender: ActionSender,
        underway: ActionsInFlight,
        must_stop: Callable[[ActionRow, Fence], bool],
        poll_now: Callable[[int], None],
        moved: Callable[[], None],
        audience: AlertRouting,
    ) -> None:
        """`must_stop`: whether nothing may be sent under this fence any more. `moved`: called when an action was
        accepted or ended, so that its hold can proceed."""
        self._store, self._clock, self._connectors, self._sender = store, clock, connectors, sender
        self._underway, self._must_stop, self._poll_now = underway, must_stop, poll_now
        self._moved, self._audience = moved, audience

    def move(self, fence: Fence, action: ActionRow) -> None:
        """Looks up an unknown action, verifies a sent one, sends a requested one. An action that a dead engine or
        the previous holder of its shard was sending becomes unknown. Raises StoreError."""
        if action.state == "sending":
            self.step(fence, action.key, "sending", STOPPED)
        elif action.state == "unknown":
            self._resolve_unknown(fence, action)
        elif action.state == "sent":
            self._verify(fence, action)
        else:
            failpoint("action.requested")
            self._send(fence, action)

    def put_off(self, fence: Fence, action: ActionRow, error: str) -> None:
        """After an unexpected error: retries later, or, if its intent is committed, looks it up."""
        text = f"{error} in the engine; its log has the details"
        retry = ActionStep(action.state, text, next_us=self.later(UNREACHABLE_RETRY_SECONDS))
        if not self.step(fence, action.key, action.state, retry):
            text = f"{error} while sending; outcome unknown, checking the scheduler"
            self.step(fence, action.key, "sending", ActionStep("unknown", text))

    def now(self) -> int:
        """Microseconds by the store's clock."""
        return micros(self._clock.now())

    def later(self, seconds: float) -> int:
        return micros(self._clock.after(seconds))

    def step(self, fence: Fence, key: str, was: str, step: ActionStep) -> bool:
        """Writes the step if the action is still in state `was`; True if it was."""
        done = actions.step_action(self._store, fence, key, was, step, self.now(), self._audience)
        if done and (step.ended or was != step.state == "sent"):
            self._moved()
        return done

    def _may_leave(self, fence: Fence, action: ActionRow) -> bool:
        """Whether the action may be sent now; otherwise it is refused or postponed."""
        right = permission.send_permission(self._store, action, self.now())
        refusal = previews.refusal_of(self._store, self._connectors.places, action)
        if refused := right.refused or refusal or obsolete_reason(self._store, action, self.now()):
            self.refuse(fence, action.key, refused, code=right.code)
        elif right.later:
            self._wait(fence, action, right.later, FREEZE_RETRY_SECONDS)
        elif right.waits:
            approvers = permission.approvers(self._store, action.key)
            approvals.require_approval(self._store, fence, action.key, approvers, self.now(), self._audience)
        else:
            return action.verb is not Verb.START or self._is_start_pending(fence, action)
        return False

    def _is_start_pending(self, fence: Fence, action: ActionRow) -> bool:
        """Whether a start after a hold is still needed: the job may have run while it waited, and the evaluation
        that withdraws it may come later than the poll."""
        start, now = pending_start(self._store, action.key), instant(self.now())
        if start is None:
            return True
        if why := start_refusal(start.hold, start.runs, now):
            self.refuse(fence, action.key, why)
        elif may_have_run(start.target, now):
            text = "its system is unreachable: it may have started on its own schedule"
            self._wait(fence, action, text, FREEZE_RETRY_SECONDS)
        else:
            return True
        return False

    def _send(self, fence: Fence, action: ActionRow) -> None:
        if not self._may_leave(fence, action):
            return
        ask = previews.connector_request(self._store, action)
        if ask is not None and previews.is_asserted(self._connectors.places[action.target_id], ask):
            self._assert(fence, action, ask)
            return
        preview = self._preview(fence, action)
        if preview is None:
            return
        must_stop = partial(self._must_stop, action, fence)
        with self._underway.turns.turn(action.system_id, must_stop) as waited:
            if must_stop():
                return
            if waited > PREVIEW_VALID_SECONDS:
                preview = self._preview(fence, action)
            if preview is None or not self._may_leave(fence, action):  # the wait may have been long
                return
            preview = {**preview, "plan": {**preview.get("plan", {}), SENT_AT: instant_key(self._clock.now())}}
            intent = ActionStep("sending", event=f"{preview.get('verb', action.verb)}: {action.job}", preview=preview)
            with self._underway.sending(action.key, fence) as outcome:
                if self.step(fence, action.key, "requested", intent):
                    failpoint("action.intent_committed")
                    outcome.step = self._sender.act(action, preview, fence)
                    if self.step(fence, action.key, "sending", outcome.step):
                        state, text = outcome.step.state, outcome.step.text
                        log.info("action", key=action.key, job=action.job, state=state, text=text)
        self._poll_now(action.target_id)

    def refuse(self, fence: Fence, key: str, why: str, notice: str = "", code: str = "") -> None:
        """Ends the action unsent, and notifies the requester, the incident and the audit. `notice`:
        `ActionStep.notice`; `code`: of a freeze or shadow."""
        step = ActionStep("refused", why, ended=True, event=f"refused: {why}", notice=notice, code=code)
        self.step(fence, key, "requested", step)

    def give_up(self, fence: Fence, key: str, was: str, why: str) -> None:
        """Ends an unreadable action: unsent, or, if it may have been sent, for a person to check."""
        if was == "requested":
            self.refuse(fence, key, f"the stored request cannot be read: {why}")
            return
        text = f"the stored action cannot be read: {why}. Fix: check the job in the scheduler."
        end = ActionStep("failed", text, ended=True, event="outcome stays unknown", notice="outcome stays unknown")
        self.step(fence, key, was, end)

    def _assert(self, fence: Fence, action: ActionRow, ask: ActionSpec) -> None:
        """Records an asserted mark. Nothing is sent, so intent and end are one transaction."""
        if refused := previews.assertion_preview(ask).refused:
            self.refuse(fence, action.key, refused)
            return
        state = RunState.SUCCEEDED if action.verb is Verb.MARK_OK else RunState.SKIPPED
        step = verification.verified(f"{state} (asserted by {action.requested_by}; not set in the scheduler)")
        try:
            assert_state(self._store, fence, action, state, step, self._clock.now())
        except AssertionRefused as why:
            self.refuse(fence, action.key, str(why))
        self._poll_now(action.target_id)

    def _preview(self, fence: Fence, action: ActionRow) -> dict[str, Any] | None:
        """The request to send: as the person saw it, or previewed now. None if refused or postponed. Anything that
        makes a job run is previewed again, as the shown or approved preview may no longer hold."""
        starts = action.verb in STARTING
        if action.preview and not (starts and action.overlap != "allow"):
            return action.preview
        try:
            ask = previews.connector_request(self._store, action)
            if ask is None:
                raise NotSupported("its run is no longer in the store")
            shown = self._sender.preview(action, ask)
        except SystemUnreachable as error:
            text = f"unreachable, nothing was sent yet: {self._sender.error_text(error)}"
            self._wait(fence, action, text, UNREACHABLE_RETRY_SECONDS)
            return None
        except ConnectorError as error:
            self.refuse(fence, action.key, self._sender.error_text(error))
            return None
        if starts and not shown.overlap:
            overlap = conflicts.start_in_flight(self._store, None, action.job_id, action.key)
            if not overlap and action.overlap == "queue":
                overlap = conflicts.earlier_action_of(self._store, action.key)
            shown = replace(shown, overlap=overlap)
        preview = previews.preview_to_json(shown, self._sender.shown)
        if starts and shown.overlap is not None and action.overlap == "queue":
            self._wait(fence, action, f"queued: {preview['overlap']}", QUEUE_SECONDS)
        elif shown.refused:
            self.refuse(fence, action.key, preview["refused"])
        elif starts and shown.overlap is not None and action.overlap != "allow":
            self.refuse(fence, action.key, f"it may overlap: {preview['overlap']}")
        else:
            return action.preview if action.preview and action.overlap == "refuse" else preview
        return None

    def _wait(self, fence: Fence, action: ActionRow, text: str, seconds: float) -> None:
        self.step(fence, action.key, "requested", ActionStep("requested", text, next_us=self.later(seconds)))

    def _resolve_unknown(self, fence: Fence, action: ActionRow) -> None:
        """Checks the scheduler for an action with an unknown outcome. After LOOKUPS checks without evidence they
        become rare, a person is notified once, and the outcome stays unknown until a person withdraws the action."""
        try:
            result: LookUpResult = ActionFound("", "the scheduler reports the run that it started")
            if actions.attempt_after(self._store, action) is None:
                result = self._sender.look_up(action)
        except SystemUnreachable as error:
            text = f"cannot check the scheduler yet: {self._sender.error_text(error)}"
            step = ActionStep("unknown", text, next_us=self.later(UNREACHABLE_RETRY_SECONDS))
            self.step(fence, action.key, "unknown", step)
            return
        due = actions.missed_start(self._store, action)
        if due is not None and isinstance(result, ActionFound) and result.waits:
            step = verification.did_not_start(action, due, result.message)
            self.step(fence, action.key, "unknown", replace(step, next_us=self.later(LOOKUP_PAUSE_SECONDS)))
        elif isinstance(result, ActionFound):
            text = f"looked up: {result.message or 'it arrived'}"
            step = ActionStep("sent", text, result.native_ref, event="it arrived")
            self.step(fence, action.key, "unknown", step)
            self._poll_now(action.target_id)
        elif isinstance(result, ActionAbsent):
            self.step(fence, action.key, "unknown", _absent(action, due))
        else:
            within_limit = action.looked_up < LOOKUPS
            why, fix = problem_and_fix(result.why)
            text = f"still unknown: {why}" if within_limit else f"unknown whether it arrived: {why}"
            notice = "" if action.looked_up != LOOKUPS else "outcome stays unknown"
            next_us = self.later(LOOKUP_PAUSE_SECONDS if within_limit else LATE_LOOKUP_SECONDS)
            step = ActionStep(
                "unknown", text, None, False, next_us, within_limit or bool(notice), notice, notice=notice, fix=fix
            )
            self.step(fence, action.key, "unknown", step)

    def _verify(self, fence: Fence, action: ActionRow) -> None:
        """Verifies a sent action by what the scheduler reports: holds, releases and backfills under their key, other
        verbs by polled runs."""
        is_checked = action.verb in verification.VERIFIED_BY_LOOKUP
        step: ActionStep | None = None
        if is_checked:
            try:
                result = self._sender.look_up(action)
            except SystemUnreachable:
                result = None
            if isinstance(result, ActionFound):
                step = verification.verified(result.message or "found at the scheduler")
            elif isinstance(result, ActionAbsent):
                step = verification.failed("it was accepted but is gone from the scheduler")
        else:
            step = verification.verification(self._store, action)
        due = actions.missed_start(self._store, action) if step is None else None
        if due is not None:
            step = self._missed_start(action, due)
        step = step or verification.verification_timeout(self._store, action, self.now())
        if step is None:
            if is_checked or due is not None:
                self.step(fence, action.key, "sent", ActionStep("sent", next_us=self.later(LOOKUP_PAUSE_SECONDS)))
            return
        failpoint("action.before_verify")
        self.step(fence, action.key, "sent", step)
        failpoint("action.verified")

    def _missed_start(self, action: ActionRow, due: datetime) -> ActionStep | None:
        """Unknown, unless its scheduler says that it has begun, or cannot be reached."""
        try:
            result = self._sender.look_up(action)
        except SystemUnreachable:
            return None
        if isinstance(result, ActionAbsent):
            return _absent(action, due)
        if isinstance(result, ActionFound) and not result.waits:
            return None
        why = result.message if isinstance(result, ActionFound) else result.why
        return verification.did_not_start(action, due, why, notice="it did not start")


def _absent(action: ActionRow, due: datetime | None) -> ActionStep:
    """`due`: of a start that its scheduler accepted."""
    is_notified = action.origin == "person"  # plans and holds notify themselves
    if due is None:
        return verification.never_arrived("it never arrived" if is_notified else "")
    return verification.never_started("it can no longer start" if is_notified else "")
