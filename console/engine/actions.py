"""Sends what people asked for: at most once, intent committed first, verified by the scheduler's own word.

requested → sending (intent committed under our key) → sent → verified | failed
               └ the answer is lost, or the engine dies: unknown → looked up → sent | failed
requested → refused (Headway or the scheduler said no; nothing happened)
requested → verified (a mark that its scheduler cannot be told: Headway's own store has it)

A request waits while another must approve it, or, where it may queue, while its job runs. Each target has one thread
that sends and one that looks and verifies; the writes of one system take turns, so that at most one is in flight
there. A target that hangs gives its turn away: it holds up nobody else's actions.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
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
from connectors.secrets import SecretStore
from connectors.words import STARTING
from console.clean import clean
from console.clock import Clock
from console.engine import permission, previews, verdicts
from console.engine.doors import Doors
from console.engine.health import Pulse
from console.engine.lanes import InFlight, Lanes, Turns
from console.engine.wire import Wire
from console.failpoints import failpoint
from console.model.ids import micros
from console.model.steps import refusal
from console.store import approvals, asked, polling
from console.store.asked import ActionRow, ActionStep
from console.store.asserted import NotTaken, assert_state
from console.store.errors import StoreError
from console.store.open import Store

log = structlog.get_logger("headway.actions")

LOOK_UP_PAUSE_SECONDS = 5.0
LOOK_UPS = 60
"""How often an unknown outcome is looked up before only a person can tell. A target out of reach was not asked."""
AWAY_SECONDS = 15.0
"""Until a target that is out of reach is asked again, and an action that broke is taken up again."""
FROZEN_SECONDS = 5.0
"""How often what a hold owes looks whether the estate is still frozen."""
QUEUE_SECONDS = 10.0
"""How often a request that waits for its job's other run looks whether that is over."""
AT_ONCE = 1
"""Most writes in flight per system."""
SPARE = 2
"""Threads beside two for each target, for what is asked of one that left config: it is refused without a wire."""


class Actions:
    """Moves every action along: what is sent one after another, oldest first."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        doors: Doors,
        secrets: SecretStore,
        poll_now: Callable[[int], None],
        at_once: int = AT_ONCE,
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._doors = doors
        self._secrets = secrets
        self._poll_now = poll_now
        self._moved = moved
        """Called when an action was accepted or ended: a hold goes on from there."""
        self._stopping: Callable[[], bool] = lambda: False
        self._wire = Wire(doors, secrets, stopping=self._is_stopping, frozen=lambda: permission.why_frozen(store))
        self._lanes = Lanes(2 * len(doors.places) + SPARE, "action")
        self._in_flight = InFlight()
        self.turns = Turns(at_once)
        self.wake = threading.Event()
        self.pulse = Pulse()

    def recover(self, fence: int) -> None:
        """What a dead engine was sending may or may not have arrived: it is looked up, never sent again."""
        ours = self._lanes.keys
        for action in asked.actions_in(self._store, "sending", self._now()):
            if action.key in ours:
                continue  # not dead: a thread of ours is at it
            step = ActionStep("unknown", "the engine stopped while sending; looking it up", event="outcome unknown")
            self._step(fence, action.key, "sending", step)

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Until `stopping`, and what is in flight then has been written down. What it had sent when it broke is looked
        up first."""
        self._stopping = stopping
        self.pulse.beat()
        self._lanes.over()
        self.recover(fence)
        while not stopping():
            self.wake.clear()
            self.pulse.beat()
            self._begin(fence)
            self.wake.wait(0.25)
        while not self._lanes.over():
            time.sleep(0.02)

    def hanging(self, seconds: float) -> dict[str, float]:
        """Where a sending or a look takes longer than that, and for how long it does."""
        return self._in_flight.hanging(seconds)

    def close(self) -> None:
        """Takes up nothing more."""
        self._lanes.close()

    def _is_stopping(self) -> bool:
        return self._stopping()

    def step(self, fence: int) -> None:
        """One round, to its end: look up what is unknown, verify what was sent, send what is asked."""
        self._begin(fence)
        self._lanes.wait()

    def _begin(self, fence: int) -> None:
        """Takes up what is due in every lane where nothing is being done."""
        self._lanes.over()
        for key in asked.unapproved_since(self._store, self._later(-approvals.WITHIN_SECONDS)):
            self._refuse(fence, key, approvals.NOBODY)
        due: dict[tuple[bool, int], list[ActionRow]] = defaultdict(list)
        odd: dict[str, str] = {}
        for state in ("unknown", "sent", "requested"):
            for action in asked.actions_in(self._store, state, self._now(), odd if state == "requested" else None):
                due[state == "requested", action.target_id].append(action)
        for key, why in odd.items():
            self._refuse(fence, key, f"what was asked for cannot be read: {why}")
        for lane, actions in due.items():
            self._lanes.take(
                lane, frozenset(action.key for action in actions), partial(self._move_all, fence, tuple(actions))
            )

    def _move_all(self, fence: int, actions: Sequence[ActionRow]) -> None:
        for action in actions:
            try:
                with self._turn(action):
                    if self._stopping():
                        return  # what was not begun stays as it is, for the next engine
                    self._move(fence, action)
            except StoreError:
                raise
            except Exception as error:  # one that cannot be moved must not hold up the others
                log.exception("action broke", key=action.key)
                self._put_off(fence, action, type(error).__name__)

    @contextmanager
    def _turn(self, action: ActionRow) -> Iterator[None]:
        """Of its system's writes, this one's turn; looks need none."""
        place = self._doors.places.get(action.target_id)
        name = place.name if place is not None else action.system
        sends = action.state == "requested"
        turn = self.turns.turn(action.system_id, self._stopping) if sends else nullcontext()
        with turn, self._in_flight.at(f"{'sending to' if sends else 'asking'} {name}"):
            yield

    def _move(self, fence: int, action: ActionRow) -> None:
        if action.state == "unknown":
            self._look_up(fence, action)
        elif action.state == "sent":
            self._verify(fence, action)
        else:
            failpoint("action.requested")
            self._send(fence, action)

    def _put_off(self, fence: int, action: ActionRow, error: str) -> None:
        again = ActionStep(
            action.state, f"{error} in the engine; its log has the details", next_us=self._later(AWAY_SECONDS)
        )
        if not self._step(fence, action.key, action.state, again):
            self._step(fence, action.key, "sending", ActionStep("unknown", f"{error} while sending; looking it up"))

    def _now(self) -> int:
        return micros(self._clock.now())

    def _later(self, seconds: float) -> int:
        return micros(self._clock.after(seconds))

    def _step(self, fence: int, key: str, was: str, step: ActionStep) -> bool:
        done = asked.step_action(self._store, fence, key, was, step, self._now())
        if done and (step.ended or step.state == "sent"):
            self._moved()
        return done

    def _send(self, fence: int, action: ActionRow) -> None:
        right = permission.of_action(self._store, action, self._now())
        refused = right.refused or self._refusal(action)
        if refused:
            self._refuse(fence, action.key, refused)
            return
        if right.later:
            self._wait(fence, action, right.later, FROZEN_SECONDS)
            return
        if right.waits:
            approvals.require(self._store, fence, action.key)
            return
        ask = previews.ask_of(self._store, action)
        if ask is not None and previews.is_asserted(self._doors.places[action.target_id], ask):
            self._assert(fence, action, ask)
            return
        preview = self._preview(fence, action)
        if preview is None:
            return
        preview = {**preview, "plan": {**preview.get("plan", {}), SENT_AT: instant_key(self._clock.now())}}
        event = f"{preview.get('verb', action.verb)}: {action.job}"
        if not self._step(fence, action.key, "requested", ActionStep("sending", event=event, preview=preview)):
            return
        failpoint("action.intent_committed")
        step = self._wire.act(action, preview)
        if self._step(fence, action.key, "sending", step):
            log.info("action", key=action.key, job=action.job, state=step.state, words=step.words)
        self._poll_now(action.target_id)

    def _refuse(self, fence: int, key: str, why: str) -> None:
        self._step(fence, key, "requested", ActionStep("refused", why, ended=True, event=f"refused: {why}"))

    def _refusal(self, action: ActionRow) -> str:
        """Why Headway itself does not send it, whatever the person was shown; empty when it may be sent."""
        if action.target_id not in self._doors.places:
            return f"{action.system} is not in the config any more"
        if (word := action.verb.needs) not in self._kind(action) and action.verb not in previews.MARKS:
            why = self._doors.places[action.target_id].system.kind.missing.get(word, "")
            return f"{action.system} cannot {action.verb}" + (f": {why}" if why else "")
        safety = "" if action.verb is not Verb.RERUN else polling.safety_of_job(self._store, action.job_id)
        return clean(refusal(action.preview, action.verb, safety))

    def _kind(self, action: ActionRow) -> frozenset[Any]:
        return self._doors.places[action.target_id].system.kind.capabilities

    def _assert(self, fence: int, action: ActionRow, ask: Ask) -> None:
        """A mark that only Headway keeps: there is no wire, so its intent and its end are one transaction."""
        refused = previews.asserted(ask).refused
        if refused:
            self._refuse(fence, action.key, refused)
            return
        state = State.SUCCEEDED if action.verb is Verb.MARK_OK else State.SKIPPED
        step = verdicts.verified(f"{state} (asserted by {action.requested_by}; its scheduler was not told)")
        try:
            assert_state(self._store, fence, action, state, step, self._clock.now())
        except NotTaken as why:
            self._refuse(fence, action.key, str(why))
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
            self._refuse(fence, action.key, self._wire.words(error))
            return None
        preview = previews.cleaned_preview(found, self._wire.shown)
        if starts and found.overlap is not None and action.overlap == "queue":
            self._wait(fence, action, f"waits for its turn: {preview['overlap']}", QUEUE_SECONDS)
        elif found.refused:
            self._refuse(fence, action.key, preview["refused"])
        elif starts and found.overlap is not None and action.overlap != "allow":
            self._refuse(fence, action.key, f"it may overlap: {preview['overlap']}")
        else:
            return action.preview if action.preview and action.overlap == "refuse" else preview
        return None

    def _wait(self, fence: int, action: ActionRow, words: str, seconds: float) -> None:
        self._step(fence, action.key, "requested", ActionStep("requested", words, next_us=self._later(seconds)))

    def _look_up(self, fence: int, action: ActionRow) -> None:
        try:
            found = self._wire.look_up(action)
        except SystemUnreachable as error:
            words = f"cannot look it up yet: {self._wire.words(error)}"
            self._step(fence, action.key, "unknown", ActionStep("unknown", words, next_us=self._later(AWAY_SECONDS)))
            return
        if isinstance(found, Found):
            step = ActionStep("sent", f"looked up: {found.words or 'it arrived'}", found.native_ref, event="it arrived")
            self._step(fence, action.key, "unknown", step)
            self._poll_now(action.target_id)
        elif isinstance(found, Absent):
            words = "looked up: it never arrived. Ask again to send it."
            self._step(fence, action.key, "unknown", ActionStep("failed", words, ended=True, event="it never arrived"))
        else:
            self._look_again(fence, action, found.why)

    def _look_again(self, fence: int, action: ActionRow, why: str) -> None:
        if action.looked_up >= LOOK_UPS:
            words = f"nobody can tell whether it arrived ({why}). Look at the scheduler itself."
            self._step(
                fence, action.key, "unknown", ActionStep("failed", words, ended=True, event="outcome stays unknown")
            )
            return
        step = ActionStep(
            "unknown", f"cannot tell yet: {why}", next_us=self._later(LOOK_UP_PAUSE_SECONDS), looked_up=True
        )
        self._step(fence, action.key, "unknown", step)

    def _verify(self, fence: int, action: ActionRow) -> None:
        """The scheduler's own word about what was sent."""
        by_looking = action.verb in verdicts.BY_LOOKING
        step = self._look_after(action) if by_looking else verdicts.verdict(self._store, action)
        step = step or verdicts.unproved(self._store, action, self._now())
        if step is None:
            return
        failpoint("action.before_verify")
        self._step(fence, action.key, "sent", step)
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
