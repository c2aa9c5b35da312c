"""Dispatch of actions: at most once, intent committed first, verified by what the scheduler reports.

requested -> sending (intent committed under our key) -> sent -> verified | failed
               |- the answer is lost, or the engine dies: unknown -> looked up -> sent | failed
               |- its scheduler said no, nothing happened: refused
               `- it never reached its scheduler, or a freeze came first, nothing left: failed
requested -> refused (by Headway, or by its scheduler in the preview)
requested -> verified (a mark that its scheduler cannot take: Headway records it as asserted)

A request waits while another person must approve it, or, where it may queue, while its job runs. Each target has one
thread that sends and one that checks and verifies; the writes of one system take turns, so that at most one is in
flight there. A target that does not answer is detected before its turn, in the preview; one that swallows the write
itself keeps its turn until the deadline of the call. Other systems, polls and look-ups wait for neither.

On a shared store each action is moved by the engine that holds its system's shard, under the fence of that shard; the
engine with the lease moves those of targets on its own machine.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from functools import partial

import structlog

from connectors.sdk.secrets import SecretStore
from console.domain.access import APPROVAL_SECONDS
from console.engine.actions import permission
from console.engine.actions.in_flight import ActionsInFlight, SendingOutcome
from console.engine.actions.sender import ActionSender
from console.engine.actions.state_machine import ActionStateMachine
from console.engine.connector_pool import ConnectorPool
from console.engine.keyed_executor import KeyedExecutor
from console.engine.worker import Pulse
from console.store import actions, approvals
from console.store.actions import ActionRow
from console.store.alerts import AlertRouting
from console.store.db.change_detector import open_change_detector
from console.store.db.database import Database
from console.store.db.fence import Fence, ShardFence
from console.store.errors import LeaseLost, StoreError
from console.timing.clock import Clock, wait_seconds

log = structlog.get_logger("headway.actions")

SPARE_THREADS = 2
"""Threads in addition to two per target, for actions of targets that left the config: these are refused locally."""


class ActionDispatcher:
    """Advances every action. Actions of one target are sent one after another, oldest first."""

    def __init__(
        self,
        store: Database,
        clock: Clock,
        connectors: ConnectorPool,
        secrets: SecretStore,
        poll_now: Callable[[int], None],
        underway: ActionsInFlight,
        moved: Callable[[], None],
        audience: AlertRouting,
        fence_of: Callable[[ActionRow, Fence], Fence | None],
        leads: bool,
    ) -> None:
        """`fence_of`: the fence under which to move an action, given that of the lease; None if another engine or
        dispatcher moves it. `leads`: whether this one has the lease, for what concerns no target."""
        self._fence_of, self._leads = fence_of, leads
        self._store, self._clock, self._audience = store, clock, audience
        self._stopping: Callable[[], bool] = lambda: False
        self.underway = underway
        frozen = partial(permission.freeze_reason, store)
        sender = ActionSender(connectors, secrets, self._must_stop, frozen, underway.in_flight)
        self._actions = ActionStateMachine(
            store, clock, connectors, sender, underway, self._must_stop, poll_now, moved, audience
        )
        self._lanes = KeyedExecutor(2 * len(connectors.places) + SPARE_THREADS, "action")
        self.wake = threading.Event()
        self.pulse = Pulse()

    def _unwritten(self) -> dict[str, SendingOutcome]:
        """Outcomes that this dispatcher must write."""
        return {
            key: outcome
            for key, outcome in self.underway.unwritten().items()
            if isinstance(outcome.fence, ShardFence) != self._leads
        }

    def _write_down(self, fence: int) -> None:
        """Writes outcomes that the sending threads could not write, because their workers ended or the store failed.
        That of a lost shard is dropped: its next holder looks the action up."""
        for key, outcome in self._unwritten().items():
            with nullcontext() if self._leads else suppress(LeaseLost):
                self._actions.step(fence if self._leads else outcome.fence, key, "sending", outcome.step)
            self.underway.written(key)

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Runs until `stopping`, then waits until everything in flight is written."""
        self._stopping = stopping
        self.pulse.beat()
        with open_change_detector(self._store, self._clock.rate) as changes:
            while not stopping():
                woken = self.wake.is_set()
                self.wake.clear()
                self.pulse.beat()
                if changes.is_new() or woken or self._lanes.is_free_again() or self._unwritten():
                    self._begin(fence)
                self.wake.wait(0.25)
        while not self._lanes.is_idle():
            wait_seconds(0.02)

    def hanging(self, seconds: float) -> dict[str, float]:
        """Targets where a call takes longer than `seconds`, with its duration."""
        return self.underway.in_flight.hanging(seconds)

    def close(self) -> None:
        """Accepts no more work."""
        self._lanes.close()

    def _must_stop(self, action: ActionRow, fence: Fence) -> bool:
        """Whether nothing may be sent for the action any more under this fence."""
        return self._stopping() or self._fence_of(action, fence) != fence

    def step(self, fence: int) -> None:
        """One complete round: look up unknown actions, verify sent ones, send requested ones."""
        self._begin(fence)
        self._lanes.wait()

    def _begin(self, fence: int) -> None:
        """Starts the due work of every idle target. An action that a dead engine was sending becomes unknown: it is
        looked up, never sent again. Sends that threads of this process have in flight are left alone."""
        self._lanes.is_idle()
        self._write_down(fence)
        if self._leads:
            self._end_unapproved(fence)
        due: dict[tuple[bool, int], list[ActionRow]] = defaultdict(list)
        unreadable: dict[str, tuple[str, str]] = {}
        for action in actions.due_actions(self._store, self._actions.now(), unreadable):
            if action.state != "sending" or action.key not in self.underway:
                due[action.state == "requested", action.target_id].append(action)
        for key, (state, why) in unreadable.items():
            if self._leads and key not in self.underway:
                self._actions.give_up(fence, key, state, why)
        for lane, rows in due.items():
            own = self._fence_of(rows[0], fence)
            if own is not None:
                self._lanes.take(lane, partial(self._move_all, own, tuple(rows)))

    def _end_unapproved(self, fence: int) -> None:
        """Refuses actions that were not approved in time, and announces new ones to their approvers."""
        for key, origin in actions.unapproved_since(self._store, self._actions.later(-APPROVAL_SECONDS)):
            notice = "" if origin == "plan" else "not approved in time"  # the plan stops for it and notifies
            self._actions.refuse(fence, key, approvals.EXPIRED_REASON, notice)
        for key, plan in actions.awaiting_in_aborted_plans(self._store):
            self._actions.refuse(fence, key, permission.aborted_reason(plan))
        for key in actions.unannounced_approvals(self._store):
            approvers = permission.approvers(self._store, key)
            approvals.require_approval(self._store, fence, key, approvers, self._actions.now(), self._audience)

    def _move_all(self, fence: Fence, rows: Sequence[ActionRow]) -> None:
        with suppress(LeaseLost) if isinstance(fence, ShardFence) else nullcontext():  # others go on without it
            for action in rows:
                if self._must_stop(action, fence):
                    return  # left as it is for the next engine
                try:
                    self._actions.move(fence, action)
                except StoreError:
                    raise
                except Exception as error:  # one broken action must not block the others
                    log.exception("action broke", key=action.key)
                    self._actions.put_off(fence, action, type(error).__name__)
