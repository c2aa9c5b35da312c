"""Execution of plans: each transition is a row, so that an engine that was killed continues where it stopped.

planned -> requested (its action is created in the same transaction) -> verified | failed; the state machine of
actions sends, looks up and verifies it. The first failed step stops the plan.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from connectors.sdk.secrets import SecretStore
from console.control.recovery.execution import next_moves
from console.domain.ids import new_action_key
from console.domain.plan import BeginWait, EndStep, PlanMove, PlanProgress, RequestStep
from console.engine.worker import Pulse
from console.failpoints import failpoint
from console.store import plans
from console.store.alerts import AlertRouting
from console.store.db.change_detector import open_change_detector
from console.store.db.database import Database
from console.text.redact import sanitize
from console.timing.clock import Clock

log = structlog.get_logger("headway.plans")

STEP_SECONDS = 0.25
PAUSE_FACTOR = 5.0
"""Pause in multiples of a round's duration: a plan of thousands of steps must not starve the others."""


class PlanExecutor:
    """Advances every plan."""

    def __init__(
        self, store: Database, clock: Clock, secrets: SecretStore, requested: Callable[[], None], audience: AlertRouting
    ) -> None:
        """`requested`: wakes the action dispatcher."""
        self._store, self._clock, self._requested, self._audience = store, clock, requested, audience
        self._mask = secrets.mask
        self.wake = threading.Event()
        self.pulse = Pulse()

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Runs until `stopping`."""
        self.pulse.beat()
        with open_change_detector(self._store, self._clock.rate) as changes:
            while not stopping():
                self.wake.clear()
                self.pulse.beat()
                begun = time.monotonic()
                if changes.is_new():
                    self.step(fence)
                pause = max(STEP_SECONDS, PAUSE_FACTOR * (time.monotonic() - begun))
                self.pulse.beat(pause)
                self.wake.wait(pause)

    def step(self, fence: int) -> None:
        """One round over all plans."""
        plans.carry_out_orders(self._store, fence, self._clock.now())
        plans.notify_requested(self._store, fence, self._clock.now(), self._audience)
        unreadable: dict[int, str] = {}
        for plan in plans.active_plans(self._store, unreadable):
            try:
                moves = next_moves(plan, self._clock.now())
            except plans.UNREADABLE as error:
                log.warning("plan cannot be decided", plan=plan.id, exc_info=error)
                unreadable[plan.id] = sanitize(str(error), self._mask, on_one_line=True)
                continue
            for move in moves:
                self._make(fence, plan, move)
        for number, why in unreadable.items():
            text = f"the stored plan cannot be read: {why}. Sent actions go on. Fix: propose a new plan for the rest"
            log.error("plan abandoned", plan=number, text=text)
            plans.abandon_plan(self._store, fence, number, text, self._clock.now(), self._audience)

    def _make(self, fence: int, plan: PlanProgress, move: PlanMove) -> None:
        now = self._clock.now()
        if isinstance(move, RequestStep):
            failpoint("plan.before_step")
            if plans.request_step(self._store, fence, move.step, new_action_key(), now):
                self._requested()
            failpoint("plan.after_step")
        elif isinstance(move, BeginWait):
            plans.begin_wait(self._store, fence, move.step, move.until, move.text)
        elif isinstance(move, EndStep):
            plans.end_step(self._store, fence, plan, move, now)
        elif plans.move_plan(self._store, fence, plan, move, now, self._audience):
            log.info("plan", plan=plan.id, state=move.state, text=move.text)
