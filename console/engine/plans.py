"""Carries plans out: each move is a row, so that after a kill it goes on where it stood.

planned → asked (its action is made in the same transaction) → verified | failed; the actions' own machine sends it,
looks it up and verifies it. The first red step stops the plan.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from console.clean import clean_line
from console.clock import Clock
from console.control.carry_out import next_moves
from console.engine.health import Pulse
from console.failpoints import failpoint
from console.model.carried import Ask, EndStep, Move, PlanNow, Wait
from console.model.ids import new_action_key
from console.store import plans
from console.store.glance import glancing
from console.store.open import Store
from console.store.told import NOBODY, Audience

log = structlog.get_logger("headway.plans")

LOOK_SECONDS = 0.25
SHARE = 5.0
"""Times longer than a round it rests after it: a plan of thousands of steps leaves the others their time."""


class Plans:
    """Moves every plan along."""

    def __init__(self, store: Store, clock: Clock, asked: Callable[[], None], audience: Audience = NOBODY) -> None:
        self._store = store
        self._clock = clock
        self._asked = asked
        """Wakes whoever sends actions."""
        self._audience = audience
        self.wake = threading.Event()
        self.pulse = Pulse()

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Until `stopping`."""
        self.pulse.beat()
        with glancing(self._store, self._clock.rate) as glance:
            while not stopping():
                self.wake.clear()
                self.pulse.beat()
                begun = time.monotonic()
                if glance.is_new():
                    self.step(fence)
                pause = max(LOOK_SECONDS, SHARE * (time.monotonic() - begun))
                self.pulse.beat(pause)
                self.wake.wait(pause)

    def step(self, fence: int) -> None:
        """One round over all plans."""
        odd: dict[int, str] = {}
        for plan in plans.at_work(self._store, odd):
            try:
                moves = next_moves(plan, self._clock.now())
            except plans.UNREADABLE as error:
                log.warning("plan cannot be decided", plan=plan.id, exc_info=error)
                odd[plan.id] = clean_line(str(error))
                continue
            for move in moves:
                self._make(fence, plan, move)
        for number, why in odd.items():
            words = f"it cannot be read: {why}. What was sent goes on; propose it anew for the rest"
            log.error("plan given up", plan=number, words=words)
            plans.give_up(self._store, fence, number, words, self._clock.now(), self._audience)

    def _make(self, fence: int, plan: PlanNow, move: Move) -> None:
        now = self._clock.now()
        if isinstance(move, Ask):
            failpoint("plan.before_step")
            if plans.ask_step(self._store, fence, move.step, new_action_key(), now):
                self._asked()
            failpoint("plan.after_step")
        elif isinstance(move, Wait):
            plans.wait_step(self._store, fence, move.step, move.until, move.words)
        elif isinstance(move, EndStep):
            plans.end_step(self._store, fence, plan, move, now)
        elif plans.move_plan(self._store, fence, plan, move.state, move.words, now, self._audience):
            log.info("plan", plan=plan.id, state=move.state, words=move.words)
