"""What becomes of one action: refused, put off, sent once, looked up, verified; each move is a row before the next.

Right before the intent everything is asked again: the right, the freeze, whether it waited too long, whether its job
runs by then.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import structlog

from connectors.contract import (
    SENT_AT,
    Absent,
    Ask,
    ConnectorError,
    Found,
    NotSupported,
    State,
    SystemUnreachable,
    Verb,
    instant_key,
)
from connectors.words import STARTING
from console.clock import Clock
from console.control.open_hold import may_have_run, not_owed
from console.engine import permission, previews, verdicts
from console.engine.doors import Doors
from console.engine.needless import needless
from console.engine.underway import Underway
from console.engine.wire import Wire
from console.failpoints import failpoint
from console.model.ids import instant, micros
from console.store import approvals, asked, in_the_way
from console.store.asked import ActionRow, ActionStep
from console.store.asserted import NotTaken, assert_state
from console.store.open import Store
from console.store.owed import owed
from console.store.told import Audience

log = structlog.get_logger("headway.actions")

LOOK_UP_PAUSE_SECONDS = 5.0
LOOK_UPS = 60
"""How often an unknown outcome is looked up before only a person can tell. A target out of reach was not asked."""
FAR_LOOK_SECONDS = 300.0
"""How often it is looked up from then on: evidence may still come."""
AWAY_SECONDS = 15.0
"""Until a target that is out of reach is asked again, and an action that broke is taken up again."""
FROZEN_SECONDS = 5.0
"""How often what a hold owes looks whether the estate is still frozen."""
FRESH_SECONDS = 5.0
"""Who waited longer for the turn of its system is asked again what would be sent: its job may run by now."""
QUEUE_SECONDS = 10.0
"""How often a request that waits for its job's other run looks whether that is over."""


class Moves:
    """Moves one action on by what its state asks for; called from the threads that send and look."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        doors: Doors,
        wire: Wire,
        underway: Underway,
        turn: Callable[[int], AbstractContextManager[float | None]],
        poll_now: Callable[[int], None],
        moved: Callable[[], None],
        audience: Audience,
    ) -> None:
        self._store = store
        self._clock = clock
        self._doors = doors
        self._wire = wire
        self._underway = underway
        self._turn = turn
        self._poll_now = poll_now
        self._moved = moved
        """Called when an action was accepted or ended: a hold goes on from there."""
        self._audience = audience

    def move(self, fence: int, action: ActionRow) -> None:
        """What is unknown is looked up, what was sent verified, what is asked for sent. Raises StoreError."""
        if action.state == "unknown":
            self._look_up(fence, action)
        elif action.state == "sent":
            self._verify(fence, action)
        else:
            failpoint("action.requested")
            self._send(fence, action)

    def put_off(self, fence: int, action: ActionRow, error: str) -> None:
        """It broke the engine: taken up again later, or, where its intent is committed, looked up."""
        again = ActionStep(
            action.state, f"{error} in the engine; its log has the details", next_us=self.later(AWAY_SECONDS)
        )
        if not self.step(fence, action.key, action.state, again):
            self.step(fence, action.key, "sending", ActionStep("unknown", f"{error} while sending; looking it up"))

    def now(self) -> int:
        """Microseconds, by the store's clock."""
        return micros(self._clock.now())

    def later(self, seconds: float) -> int:
        return micros(self._clock.after(seconds))

    def step(self, fence: int, key: str, was: str, step: ActionStep) -> bool:
        """Writes what happened to it, if it still is in the state `was`; True when it did."""
        done = asked.step_action(self._store, fence, key, was, step, self.now(), self._audience)
        if done and (step.ended or was != step.state == "sent"):
            self._moved()
        return done

    def _may_leave(self, fence: int, action: ActionRow) -> bool:
        """Whether it may by what is permitted now; where not, it is refused or waits."""
        right = permission.of_action(self._store, action, self.now())
        ours = previews.refusal_of(self._store, self._doors.places, action)
        if refused := right.refused or ours or needless(self._store, action, self.now()):
            self.refuse(fence, action.key, refused)
        elif right.later:
            self._wait(fence, action, right.later, FROZEN_SECONDS)
        elif right.waits:
            approvals.require(self._store, fence, action.key, self.now(), self._audience)
        else:
            return action.verb is not Verb.START or self._is_owed(fence, action)
        return False

    def _is_owed(self, fence: int, action: ActionRow) -> bool:
        """A start that a hold asked for may have waited, and its job have run meanwhile: the evaluation that withdraws
        it may come a moment later than its source."""
        found, now = owed(self._store, action.key), instant(self.now())
        if found is None:
            return True
        if why := not_owed(found.hold, found.runs, now):
            self.refuse(fence, action.key, why)
        elif may_have_run(found.target, now):
            self._wait(fence, action, "its source is out of sight: it may have run by itself", FROZEN_SECONDS)
        else:
            return True
        return False

    def _send(self, fence: int, action: ActionRow) -> None:
        if not self._may_leave(fence, action):
            return
        ask = previews.ask_of(self._store, action)
        if ask is not None and previews.is_asserted(self._doors.places[action.target_id], ask):
            self._assert(fence, action, ask)
            return
        preview = self._preview(fence, action)
        if preview is None:
            return
        with self._turn(action.system_id) as waited:
            if waited is not None and waited > FRESH_SECONDS:
                preview = self._preview(fence, action)
            if waited is None or preview is None or not self._may_leave(fence, action):  # they may have taken time
                return
            self._send_once(fence, action, preview)
        self._poll_now(action.target_id)

    def _send_once(self, fence: int, action: ActionRow, preview: dict[str, Any]) -> None:
        preview = {**preview, "plan": {**preview.get("plan", {}), SENT_AT: instant_key(self._clock.now())}}
        intent = ActionStep("sending", event=f"{preview.get('verb', action.verb)}: {action.job}", preview=preview)
        with self._underway.sending(action.key) as end:
            if not self.step(fence, action.key, "requested", intent):
                return
            failpoint("action.intent_committed")
            end.step = self._wire.act(action, preview)
            if self.step(fence, action.key, "sending", end.step):
                log.info("action", key=action.key, job=action.job, state=end.step.state, words=end.step.words)

    def refuse(self, fence: int, key: str, why: str, tells: str = "") -> None:
        """It is not sent and over; told to whoever asked, in its incident and in the audit. `tells` as `ActionStep`."""
        step = ActionStep("refused", why, ended=True, event=f"refused: {why}", tells=tells)
        self.step(fence, key, "requested", step)

    def give_up(self, fence: int, key: str, was: str, why: str) -> None:
        """It is over, as nobody can read it: not sent, or, where it may have left, for a person to look at."""
        if was == "requested":
            self.refuse(fence, key, f"what was asked for cannot be read: {why}")
            return
        words = f"what was sent cannot be read any more: {why}. Look at the scheduler itself."
        end = ActionStep("failed", words, ended=True, event="outcome stays unknown", tells="its outcome stays unknown")
        self.step(fence, key, was, end)

    def _assert(self, fence: int, action: ActionRow, ask: Ask) -> None:
        """A mark that only Headway keeps: there is no wire, so its intent and its end are one transaction."""
        if refused := previews.asserted(ask).refused:
            self.refuse(fence, action.key, refused)
            return
        state = State.SUCCEEDED if action.verb is Verb.MARK_OK else State.SKIPPED
        step = verdicts.verified(f"{state} (asserted by {action.requested_by}; its scheduler was not told)")
        try:
            assert_state(self._store, fence, action, state, step, self._clock.now())
        except NotTaken as why:
            self.refuse(fence, action.key, str(why))
        self._poll_now(action.target_id)

    def _preview(self, fence: int, action: ActionRow) -> dict[str, Any] | None:
        """What will be sent: as the person saw it, or asked just now. None: refused, or it waits.

        What makes a job run is looked at anew in either case: what was shown, or approved, is not what runs now."""
        starts = action.verb in STARTING
        if action.preview and not (starts and action.overlap != "allow"):
            return action.preview
        try:
            ask = previews.ask_of(self._store, action)
            if ask is None:
                raise NotSupported("its run is gone from the store")
            found = self._wire.preview(action, ask)
        except SystemUnreachable as error:
            self._wait(fence, action, f"out of reach, nothing was sent yet: {self._wire.words(error)}", AWAY_SECONDS)
            return None
        except ConnectorError as error:
            self.refuse(fence, action.key, self._wire.words(error))
            return None
        found = replace(found, overlap=found.overlap or self._others(action)) if starts else found
        preview = previews.cleaned_preview(found, self._wire.shown)
        if starts and found.overlap is not None and action.overlap == "queue":
            self._wait(fence, action, f"waits for its turn: {preview['overlap']}", QUEUE_SECONDS)
        elif found.refused:
            self.refuse(fence, action.key, preview["refused"])
        elif starts and found.overlap is not None and action.overlap != "allow":
            self.refuse(fence, action.key, f"it may overlap: {preview['overlap']}")
        else:
            return action.preview if action.preview and action.overlap == "refuse" else preview
        return None

    def _others(self, action: ActionRow) -> str | None:
        """What of ours is on its way to the job, or, for one that may queue, stands before it."""
        found = in_the_way.on_its_way(self._store, {"job_id": action.job_id}, action.key)
        return found or (in_the_way.before(self._store, action.key) if action.overlap == "queue" else None)

    def _wait(self, fence: int, action: ActionRow, words: str, seconds: float) -> None:
        self.step(fence, action.key, "requested", ActionStep("requested", words, next_us=self.later(seconds)))

    def _look_up(self, fence: int, action: ActionRow) -> None:
        try:
            seen = asked.attempt_after(self._store, action)
            found = self._wire.look_up(action) if seen is None else Found("", "its source shows what it made")
        except SystemUnreachable as error:
            words = f"cannot look it up yet: {self._wire.words(error)}"
            self.step(fence, action.key, "unknown", ActionStep("unknown", words, next_us=self.later(AWAY_SECONDS)))
            return
        if isinstance(found, Found):
            step = ActionStep("sent", f"looked up: {found.words or 'it arrived'}", found.native_ref, event="it arrived")
            self.step(fence, action.key, "unknown", step)
            self._poll_now(action.target_id)
        elif isinstance(found, Absent):
            tells = "it never arrived" if action.origin == "person" else ""  # what plans and holds make of it they tell
            self.step(fence, action.key, "unknown", verdicts.never_arrived(tells))
        else:
            self._look_again(fence, action, found.why)

    def _look_again(self, fence: int, action: ActionRow, why: str) -> None:
        """Looked up often enough, it stays unknown until evidence comes or a person gives it up, who is told once."""
        more = action.looked_up < LOOK_UPS
        words = f"cannot tell yet: {why}" if more else f"nobody can tell whether it arrived: {why}"
        told = "" if action.looked_up != LOOK_UPS else "its outcome stays unknown"
        next_us = self.later(LOOK_UP_PAUSE_SECONDS if more else FAR_LOOK_SECONDS)
        step = ActionStep("unknown", words, None, False, next_us, more or bool(told), told, tells=told)
        self.step(fence, action.key, "unknown", step)

    def _verify(self, fence: int, action: ActionRow) -> None:
        """The scheduler's own word about what was sent."""
        by_looking = action.verb in verdicts.BY_LOOKING
        step = self._look_after(action) if by_looking else verdicts.verdict(self._store, action)
        step = step or verdicts.unproved(self._store, action, self.now())
        if step is None:
            if by_looking:  # its source is asked for this alone; the others wait for what polls bring
                self.step(fence, action.key, "sent", ActionStep("sent", next_us=self.later(LOOK_UP_PAUSE_SECONDS)))
            return
        failpoint("action.before_verify")
        self.step(fence, action.key, "sent", step)
        failpoint("action.verified")

    def _look_after(self, action: ActionRow) -> ActionStep | None:
        """A hold or a release is verified by a look at the source, which has it or not."""
        try:
            found = self._wire.look_up(action)
        except SystemUnreachable:
            return None
        if isinstance(found, Found):
            return verdicts.verified(found.words or "found at its source")
        if isinstance(found, Absent):
            return verdicts.failed("it was accepted, and is not there any more")
        return None
