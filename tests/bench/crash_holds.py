"""Crashes between a hold, its release and its start: whether what was held runs once, after its upstream.

A night of `tests.invariants.held_world` on a fast clock; most of it is waiting, so many are lived side by side.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from console.domain.alert import AlertKind
from console.store.errors import StoreError
from console.store.queries import open_queries
from console.store.queries.reader import Queries
from tests.bench.crash_checks import FAILED_JOB, TOO_LATE, WAITING, Broken, Limits, Patience, Seen, doubled
from tests.bench.crash_engine import hits, prepared, write_stacks
from tests.bench.crash_points import Point
from tests.bench.received import is_notified, received
from tests.invariants.engines import LEASE_SECONDS, Child, store_of
from tests.invariants.held_world import DUE, HeldWorld, begin_night
from tests.invariants.test_holds_killed import engine as engine_of

RATE = 80.0
"""Seconds of the night in a real one, where a process starts at once (`begin_night`)."""
CHECK_SECONDS = 0.1
QUIET = timedelta(minutes=15)
"""Of the night, in which nothing need happen: from the failure's alert to the hold, from there to the repair."""
ENOUGH_POLLS = 4
"""Of one engine: in between it has judged what the first one brought."""


class HeldNight:
    """`extract` failed at 03:12 and is good at 04:02; `load` would start at 04:00 and is held."""

    template = "empty"

    def __init__(self, folder: Path, store: str, point: Point, limits: Limits, broken: Broken | None = None) -> None:
        self.folder = folder
        self.seen = Seen(store, point)
        self._limits = limits
        self._patience: Patience
        self._prepare: Callable[[], None] = prepared(folder, point.name, broken)

    def live(self) -> Seen:
        world, point = begin_night(self.folder, RATE), self.seen.point
        quiet = QUIET.total_seconds() / world.hand.rate
        self._limits = replace(self._limits, patience=self._limits.patience + quiet)
        with engine_of(world, "armed", point.text, self._prepare, LEASE_SECONDS) as armed:
            seconds = float("inf") if point.name else point.after
            self._until(armed, lambda: armed.ended(0) is not None or self._is_over(world), seconds)
            is_alive = armed.ended(0) is None
            if is_alive and point.name:
                self._verify(world, armed)
            armed.kill()
            if is_alive and point.name:
                return self.seen
            self.seen.crashed = is_alive  # by the kill above, at no named point
        with engine_of(world, "next", prepare=self._prepare, lease=LEASE_SECONDS) as after:
            self._until(after, lambda: self._is_over(world))
            self._verify(world, after)
            after.kill()
        return self.seen

    def _until(self, engine: Child, condition: Callable[[], bool], seconds: float = float("inf")) -> None:
        until = time.monotonic() + seconds
        patience = self._patience = Patience(self._limits, self.folder, CHECK_SECONDS)
        while time.monotonic() < until and patience.lasts(engine) and not condition():
            time.sleep(CHECK_SECONDS)

    def _is_over(self, world: HeldWorld) -> bool:
        """`load` has run, every hold of its start has ended, and somebody was notified of the failure and of its
        repair."""
        if not world.starts():
            return False
        with suppress(StoreError), open_queries(store_of(self.folder)) as reads:
            return (
                self._is_notified(world, reads)
                and reads.link.rows(WAITING)[0][0] == 0
                and not [hold for hold in reads.holds.list_holds() if hold.due == DUE]
            )
        return False

    def _is_notified(self, world: HeldWorld, reads: Queries) -> bool:
        if is_notified(FAILED_JOB, AlertKind.RECOVERED, received(self.folder), reads):
            return True
        return world.now() >= world.good + QUIET and (_is_stale(world) or not self._saw_the_failure(world))

    def _verify(self, world: HeldWorld, engine: Child) -> None:
        is_over, seen, starts = self._is_over(world), self.seen, world.starts()
        seen.hits = hits(self.folder)
        seen.crashed = seen.crashed or bool(seen.hits)
        expected = (AlertKind.OPENED,) if _is_stale(world) else (AlertKind.OPENED, AlertKind.RECOVERED)
        seen.double_actions = max(len(starts) - 1, 0) + doubled([line.key for line in world.lines()])
        early = [by for by, at in starts if by != "clock" and at < world.good]
        seen.lost_actions = (1 if not starts else 0) + len(early)
        with open_queries(store_of(self.folder)) as reads:
            seen.verify_alerts(received(self.folder), expected, reads)
            held = [hold.key for hold in reads.holds.list_holds() if hold.due == DUE]
        seen.stuck_holds = len({*held, *([world.mark()] if world.mark() else [])})
        seen.texts += [f"{line.verb} {line.at:%H:%M:%S}" for line in world.lines()]
        seen.unjudged = ""
        if not is_over and self._patience.why:
            seen.leave(self._patience.why)
        elif not self._saw_the_failure(world):
            seen.leave(TOO_LATE)
        if seen.is_bad and engine.ended(0) is None:
            seen.texts.append(f"now {world.now():%H:%M:%S}, worked {engine.cpu_seconds():.1f} s, {self._states()}")
            write_stacks(self.folder, engine)
            seen.excuse(self.folder)

    def _saw_the_failure(self, world: HeldWorld) -> bool:
        """Whether an engine noticed it, or had to: on a busy machine, or killed early, it may have come too late."""
        with suppress(StoreError), open_queries(store_of(self.folder)) as reads:
            if reads.link.rows("SELECT count(*) FROM incident")[0][0]:
                return True
        polls = Counter(process for process, at in world.polls() if at < world.good)
        return max(polls.values(), default=0) >= ENOUGH_POLLS

    def _states(self) -> str:
        with open_queries(store_of(self.folder)) as reads:
            actions = [(action.verb, action.state, action.text) for action in reads.actions.list_actions()]
            return f"actions {actions}, holds {[(hold.key, hold.state) for hold in reads.holds.list_holds()]}"


def _is_stale(world: HeldWorld) -> bool:
    """The hold came too late: `load` has read what was not repaired yet, so that the incident stays open."""
    return any(by == "clock" for by, _ in world.starts())
