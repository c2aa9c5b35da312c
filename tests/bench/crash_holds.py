"""Crashes between a hold, its release and its start: whether what was held runs once, after its upstream.

A night of `tests.invariants.held_world` on a fast clock; most of it is waiting, so many are lived side by side.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

from console.clock import Hand, real_now
from console.model.ids import micros
from console.store.errors import StoreError
from console.store.open import open_store
from console.store.reads import open_reads
from tests.bench.crash_engine import hits, prepared
from tests.bench.crash_points import Point
from tests.bench.crash_seen import Broken, Limits, Patience, Seen, doubled
from tests.invariants.engines import store_of
from tests.invariants.held_world import DUE, HeldWorld
from tests.invariants.test_holds_killed import EVENING, engine
from tests.invariants.worlds import Sink

RATE = 80.0
"""Seconds of the night in a real one: engines that start beside each other are there before the start that is held."""
LOOK_SECONDS = 0.1


class HeldNight:
    """`extract` failed at 03:12 and is good at 04:02; `load` would start at 04:00 and is held."""

    template = "empty"

    def __init__(self, folder: Path, store: str, point: Point, limits: Limits, broken: Broken | None = None) -> None:
        self.folder = folder
        self.seen = Seen(store, point)
        self.limits = limits
        self._prepare: Callable[[], None] = prepared(folder, point.name, broken)

    def live(self) -> Seen:
        world, point = _world(self.folder), self.seen.point
        with engine(world, "armed", point.words, self._prepare) as armed:
            seconds = float("inf") if point.name else point.after
            self._until(armed, lambda: not armed.is_alive() or self._is_over(world), seconds)
            if not point.name and armed.is_alive():
                _kill(armed)
                self.seen.crashed = True
            if armed.is_alive():
                self._judge(world)
                _kill(armed)
                return self.seen
        with engine(world, "next", prepare=self._prepare) as after:
            self._until(after, lambda: self._is_over(world))
            self._judge(world)
            _kill(after)
        return self.seen

    def _until(self, engine: BaseProcess, condition: Callable[[], bool], seconds: float = float("inf")) -> None:
        until, patience = time.monotonic() + seconds, Patience(self.limits, self.folder)
        while time.monotonic() < until and patience.lasts(engine.pid) and not condition():
            time.sleep(LOOK_SECONDS)

    def _is_over(self, world: HeldWorld) -> bool:
        """`load` has run, every hold of its start has ended, and somebody was told of the failure."""
        if not world.starts() or not self._titles("extract failed"):
            return False
        with suppress(StoreError), open_reads(store_of(self.folder)) as reads:
            waiting = reads.link.rows("SELECT count(*) FROM delivery WHERE state <> 'sent'")[0][0]
            return waiting == 0 and not [one for one in reads.holds() if one.due == DUE]
        return False

    def _titles(self, words: str) -> list[str]:
        return [one.title for one in Sink(self.folder).got if words in one.title]

    def _judge(self, world: HeldWorld) -> None:
        if self.limits.is_cut and not self._is_over(world):
            return
        seen, starts = self.seen, world.starts()
        seen.judged, seen.hits = True, hits(self.folder)
        seen.crashed = seen.crashed or bool(seen.hits)
        seen.judge_alerts(Sink(self.folder).got, ("extract failed",))
        seen.double_actions = max(len(starts) - 1, 0) + doubled([line.key for line in world.lines()])
        early = [by for by, at in starts if by != "clock" and at < world.good]
        seen.lost_actions = (1 if not starts else 0) + len(early)
        with open_reads(store_of(self.folder)) as reads:
            held = [one.key for one in reads.holds() if one.due == DUE]
        seen.stuck_holds = len({*held, *([world.mark()] if world.mark() else [])})
        seen.words += [f"{line.verb} {line.at:%H:%M:%S}" for line in world.lines()]


def _world(folder: Path) -> HeldWorld:
    """Its clock begins in half a second."""
    store = open_store(store_of(folder))
    hand = Hand(EVENING, real_now() + timedelta(seconds=0.5), RATE, False)
    with store.write(None) as connection:
        connection.exec_driver_sql(
            "INSERT INTO clock (id, origin_us, started_us, rate, paused)"
            f" VALUES (1, {micros(hand.origin)}, {micros(hand.started)}, {hand.rate}, FALSE)"
        )
    store.close()
    return HeldWorld(folder, hand, DUE + timedelta(minutes=2))


def _kill(process: BaseProcess) -> None:
    if process.is_alive() and process.pid is not None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.join(5)
