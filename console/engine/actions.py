"""Sends what people asked for: at most once, intent committed first, verified by the scheduler's own word.

requested → sending (intent committed under our key) → sent → verified | failed
               └ the answer is lost, or the engine dies: unknown → looked up → sent | failed
requested → refused (Headway or the scheduler said no; nothing happened)

Each target's actions are moved along in order on a thread of their own: one that hangs holds up nobody else's.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import structlog

from connectors.contract import (
    Absent,
    AccessRefused,
    ConnectorError,
    Found,
    NotSupported,
    Preview,
    State,
    SystemUnreachable,
)
from connectors.secrets import SecretStore
from console.clean import clean
from console.clock import Clock
from console.engine.doors import Doors
from console.failpoints import failpoint
from console.model.ids import micros
from console.model.values import Safety
from console.store import asked, polling
from console.store.asked import ActionRow, ActionStep
from console.store.errors import StoreError
from console.store.open import Store

log = structlog.get_logger("headway.actions")

ACT_SECONDS = 60.0
LOOK_UP_SECONDS = 20.0
LOOK_UP_PAUSE_SECONDS = 5.0
LOOK_UPS = 60
"""How often an unknown outcome is looked up before only a person can tell. A target out of reach was not asked."""
AWAY_SECONDS = 15.0
"""Until a target that is out of reach is asked again, and an action that broke is taken up again."""
VERIFY_WITHIN = timedelta(hours=24)
"""An action whose run is not seen to end for so long is over, or nobody could ever ask for that run again."""
WORKERS = 16


def preview_of(values: dict[str, Any]) -> Preview:
    """The Preview that was stored as JSON."""
    lists = ("affected", "native_calls", "notes")
    known: dict[str, Any] = {
        name: tuple(value) if name in lists else value
        for name, value in values.items()
        if name in Preview.__dataclass_fields__
    }
    return Preview(**known)


class Actions:
    """Moves every action along, those of one target one after another, oldest first."""

    def __init__(
        self, store: Store, clock: Clock, doors: Doors, secrets: SecretStore, poll_now: Callable[[int], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._doors = doors
        self._secrets = secrets
        self._poll_now = poll_now
        self._stopping: Callable[[], bool] = lambda: False
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="action")
        self._moving: dict[int, Future[None]] = {}
        """By target: what is being done there now."""
        self.wake = threading.Event()

    def recover(self, fence: int) -> None:
        """What a dead engine was sending may or may not have arrived: it is looked up, never sent again."""
        for action in self._in("sending"):
            if action.target_id in self._moving:
                continue  # not dead: a thread of ours is at it
            step = ActionStep("unknown", "the engine stopped while sending; looking it up", event="outcome unknown")
            self._step(fence, action, "sending", step)

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Until `stopping`, and what is in flight then has been written down. What it had sent when it broke is looked
        up first."""
        self._stopping = stopping
        self._over()
        self.recover(fence)
        while not stopping():
            self.wake.clear()
            self._begin(fence)
            self.wake.wait(0.25)
        while self._moving:
            self._over()
            time.sleep(0.02)

    def close(self) -> None:
        """Takes up nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def step(self, fence: int) -> None:
        """One round, to its end: look up what is unknown, verify what was sent, send what is asked."""
        self._begin(fence)
        for moving in list(self._moving.values()):
            moving.exception()
        self._over()

    def _begin(self, fence: int) -> None:
        """Takes up what is due at every target where nothing is being done."""
        self._over()
        due: dict[int, list[ActionRow]] = defaultdict(list)
        for state in ("unknown", "sent", "requested"):
            for action in self._in(state):
                due[action.target_id].append(action)
        for target_id, actions in due.items():
            if target_id not in self._moving:
                self._moving[target_id] = self._pool.submit(self._move_all, fence, actions)

    def _over(self) -> None:
        """Forgets what is done. Raises what broke there, the store's failures for example."""
        done = {target_id: moving for target_id, moving in self._moving.items() if moving.done()}
        for target_id in done:
            del self._moving[target_id]
        for moving in done.values():
            moving.result()

    def _move_all(self, fence: int, actions: Sequence[ActionRow]) -> None:
        for action in actions:
            try:
                self._move(fence, action)
            except StoreError:
                raise
            except Exception as error:  # one that cannot be moved must not hold up the others
                log.exception("action broke", key=action.key)
                self._put_off(fence, action, type(error).__name__)

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
        if not self._step(fence, action, action.state, again):
            self._step(fence, action, "sending", ActionStep("unknown", f"{error} while sending; looking it up"))

    def _in(self, state: str) -> list[ActionRow]:
        return asked.actions_in(self._store, state, self._now())

    def _now(self) -> int:
        return micros(self._clock.now())

    def _later(self, seconds: float) -> int:
        return micros(self._clock.after(seconds))

    def _step(self, fence: int, action: ActionRow, was: str, step: ActionStep) -> bool:
        return asked.step_action(self._store, fence, action.key, was, step, self._now())

    def _send(self, fence: int, action: ActionRow) -> None:
        refused = self._refusal(action)
        if refused:
            self._step(
                fence, action, "requested", ActionStep("refused", refused, ended=True, event=f"refused: {refused}")
            )
            return
        event = f"{action.preview.get('verb', action.verb)}: {action.job}"
        if not self._step(fence, action, "requested", ActionStep("sending", event=event)):
            return
        failpoint("action.intent_committed")
        step = self._act(action)
        if self._step(fence, action, "sending", step):
            log.info("action", key=action.key, job=action.job, state=step.state, words=step.words)
        self._poll_now(action.target_id)

    def _refusal(self, action: ActionRow) -> str:
        """Why Headway itself does not send it, whatever the person was shown; empty when it may be sent."""
        if action.target_id not in self._doors.places:
            return f"{action.system} is not in the config any more"
        if polling.safety_of_run(self._store, action.run_id) == Safety.NEVER:
            return 'its owner marked it rerun = "never"; repair it at its source'
        return clean(str(action.preview.get("refused") or ""))

    def _act(self, action: ActionRow) -> ActionStep:
        try:
            with self._doors.asked(action.target_id) as connector:
                failpoint("action.before_wire")
                if self._stopping():  # the lease may pass on while we wait here; nothing leaves that nobody writes down
                    return ActionStep("unknown", "the engine was ending before it was sent; looking it up")
                receipt = connector.act(preview_of(action.preview), action.key, ACT_SECONDS)
                failpoint("action.after_wire")
        except (AccessRefused, NotSupported) as error:
            return ActionStep("refused", self._words(error), ended=True, event=f"refused: {self._words(error)}")
        except SystemUnreachable as error:
            return ActionStep("failed", f"not sent: {self._words(error)}", ended=True, event="not sent")
        except ConnectorError as error:  # OutcomeUnknown, or an answer that nobody can read: it may have arrived
            return ActionStep("unknown", self._words(error), event="outcome unknown: looking it up")
        except Exception as error:  # a connector's surprise after the intent: nobody knows what left
            log.exception("action broke", key=action.key)
            return ActionStep(
                "unknown", f"{type(error).__name__} while sending; looking it up", event="outcome unknown"
            )
        failpoint("action.after_reply")
        return ActionStep("sent", clean(receipt.words) or "accepted", receipt.native_ref)

    def _look_up(self, fence: int, action: ActionRow) -> None:
        try:
            with self._doors.asked(action.target_id) as connector:
                found = connector.look_up(preview_of(action.preview), action.key, LOOK_UP_SECONDS)
        except SystemUnreachable as error:
            words = f"cannot look it up yet: {self._words(error)}"
            self._step(fence, action, "unknown", ActionStep("unknown", words, next_us=self._later(AWAY_SECONDS)))
            return
        except ConnectorError as error:
            self._look_again(fence, action, self._words(error))
            return
        except KeyError:
            self._look_again(fence, action, f"{action.system} is not in the config any more")
            return
        except Exception as error:  # a connector's surprise: counted like any look that told nothing
            log.exception("look-up broke", key=action.key)
            self._look_again(fence, action, type(error).__name__)
            return
        if isinstance(found, Found):
            step = ActionStep(
                "sent", f"looked up: {clean(found.words) or 'it arrived'}", found.native_ref, event="it arrived"
            )
            self._step(fence, action, "unknown", step)
            self._poll_now(action.target_id)
        elif isinstance(found, Absent):
            words = "looked up: it never arrived. Ask again to send it."
            self._step(fence, action, "unknown", ActionStep("failed", words, ended=True, event="it never arrived"))
        else:
            self._look_again(fence, action, clean(found.why))

    def _look_again(self, fence: int, action: ActionRow, why: str) -> None:
        if action.looked_up >= LOOK_UPS:
            words = f"nobody can tell whether it arrived ({why}). Look at the scheduler itself."
            self._step(fence, action, "unknown", ActionStep("failed", words, ended=True, event="outcome stays unknown"))
            return
        step = ActionStep(
            "unknown", f"cannot tell yet: {why}", next_us=self._later(LOOK_UP_PAUSE_SECONDS), looked_up=True
        )
        self._step(fence, action, "unknown", step)

    def _verify(self, fence: int, action: ActionRow) -> None:
        """The scheduler's own word about the attempt that carries our key."""
        found = asked.attempt_after(self._store, action)
        if found is None or not found.ended:
            self._give_up_after_a_day(fence, action)
            return
        failpoint("action.before_verify")
        state = State(found.state)
        if state is State.SUCCEEDED:
            words = f"{state} ({found.evidence})"
            self._step(fence, action, "sent", ActionStep("verified", words, ended=True, event=f"verified: {words}"))
        else:
            code = "" if found.exit_code is None else f", exit {found.exit_code}"
            words = f"ended {state}{code}: {found.message}".rstrip(": ")
            self._step(fence, action, "sent", ActionStep("failed", words, ended=True, event=words))
        failpoint("action.verified")

    def _give_up_after_a_day(self, fence: int, action: ActionRow) -> None:
        if action.sent_us is None or self._now() - action.sent_us < VERIFY_WITHIN / timedelta(microseconds=1):
            return
        hours = VERIFY_WITHIN / timedelta(hours=1)
        words = f"its run was not seen to end within {hours:.0f} h. Look at the scheduler itself."
        self._step(fence, action, "sent", ActionStep("failed", words, ended=True, event="outcome stays unproved"))

    def _words(self, error: Exception) -> str:
        return clean(self._secrets.mask(str(error)))
