"""Sends what people asked for: at most once, intent committed first, verified by the scheduler's own word.

requested → sending (intent committed under our key) → sent → verified | failed
               ├ the answer is lost, or the engine dies: unknown → looked up → sent | failed
               ├ its scheduler said no, nothing happened: refused
               └ it never reached its scheduler, or a freeze came first, nothing left: failed
requested → refused (Headway said no, or its scheduler when it was asked what would be sent)
requested → verified (a mark that its scheduler cannot be told: Headway's own store has it)

A request waits while another must approve it, or, where it may queue, while its job runs. Each target has one thread
that sends and one that looks and verifies; the writes of one system take turns, so that at most one is in flight
there. A target that is silent is found out before its turn, as it is asked what would be sent; one that swallows the
write itself keeps its turn until the deadline of the call. Other systems, polls and looks wait for neither.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import structlog

from connectors.secrets import SecretStore
from console.clock import Clock
from console.engine import permission
from console.engine.doors import Doors
from console.engine.health import Pulse
from console.engine.lanes import Lanes
from console.engine.moves import Moves
from console.engine.underway import STOPPED, Underway
from console.engine.wire import Wire
from console.model.rights import APPROVED_WITHIN_SECONDS
from console.store import approvals, asked
from console.store.asked import ActionRow
from console.store.errors import StoreError
from console.store.glance import glancing
from console.store.open import Store
from console.store.told import NOBODY, Audience

log = structlog.get_logger("headway.actions")

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
        underway: Underway,
        moved: Callable[[], None] = lambda: None,
        audience: Audience = NOBODY,
    ) -> None:
        self._store = store
        self._clock = clock
        self._doors = doors
        self._audience = audience
        self._stopping: Callable[[], bool] = lambda: False
        self.underway = underway
        frozen = partial(permission.why_frozen, store)
        wire = Wire(doors, secrets, self._is_stopping, frozen, underway.in_flight)
        self._moves = Moves(store, clock, doors, wire, underway, self._turn, poll_now, moved, audience)
        self._lanes = Lanes(2 * len(doors.places) + SPARE, "action")
        self.wake = threading.Event()
        self.pulse = Pulse()

    def recover(self, fence: int) -> None:
        """What a dead engine was sending may or may not have arrived: it is looked up, never sent again. What a thread
        of this process still sends, whichever parts began it, is not dead."""
        self._write_down(fence)
        odd: dict[str, str] = {}
        for action in asked.actions_in(self._store, "sending", self._moves.now(), odd):
            if action.key not in self.underway:
                self._moves.step(fence, action.key, "sending", STOPPED)
        for key, why in odd.items():
            if key not in self.underway:
                self._moves.give_up(fence, key, "sending", why)

    def _write_down(self, fence: int) -> None:
        """What came of sendings whose own threads could not write it: their parts have ended, or the store failed."""
        for key, step in self.underway.unwritten().items():
            self._moves.step(fence, key, "sending", step)
            self.underway.written(key)

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Until `stopping`, and what is in flight then has been written down. What it had sent when it broke is looked
        up first."""
        self._stopping = stopping
        self.pulse.beat()
        self._lanes.over()
        self.recover(fence)
        with glancing(self._store, self._clock.rate) as glance:
            while not stopping():
                woken = self.wake.is_set()
                self.wake.clear()
                self.pulse.beat()
                if glance.is_new() or woken or self._lanes.is_free_again() or self.underway.unwritten():
                    self._begin(fence)
                self.wake.wait(0.25)
        while not self._lanes.over():
            time.sleep(0.02)

    def hanging(self, seconds: float) -> dict[str, float]:
        """Where a sending or a look takes longer than that, and for how long it does."""
        return self.underway.in_flight.hanging(seconds)

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
        self._write_down(fence)
        for key, origin in asked.unapproved_since(self._store, self._moves.later(-APPROVED_WITHIN_SECONDS)):
            tells = "" if origin == "plan" else "nobody approved it"  # a plan stops for it, and that is told
            self._moves.refuse(fence, key, approvals.NOBODY, tells)
        for key, plan in asked.of_aborted_plans(self._store):
            self._moves.refuse(fence, key, permission.aborted(plan))
        for key in asked.untold(self._store):
            approvals.require(self._store, fence, key, self._moves.now(), self._audience)
        due: dict[tuple[bool, int], list[ActionRow]] = defaultdict(list)
        for state in ("unknown", "sent", "requested"):
            odd: dict[str, str] = {}
            for action in asked.actions_in(self._store, state, self._moves.now(), odd):
                due[state == "requested", action.target_id].append(action)
            for key, why in odd.items():
                self._moves.give_up(fence, key, state, why)
        for lane, actions in due.items():
            self._lanes.take(lane, partial(self._move_all, fence, tuple(actions)))

    def _move_all(self, fence: int, actions: Sequence[ActionRow]) -> None:
        for action in actions:
            try:
                if self._stopping():
                    return  # what was not begun stays as it is, for the next engine
                self._moves.move(fence, action)
            except StoreError:
                raise
            except Exception as error:  # one that cannot be moved must not hold up the others
                log.exception("action broke", key=action.key)
                self._moves.put_off(fence, action, type(error).__name__)

    @contextmanager
    def _turn(self, system: int) -> Iterator[float | None]:
        """Of its system's writes, one's turn: for how many seconds it was waited for; None: the engine ends, it must
        not begin."""
        with self.underway.turns.turn(system, self._stopping) as waited:
            yield None if self._stopping() else waited
