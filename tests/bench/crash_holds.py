"""Crashes between a hold, its release and its start: whether what was held runs once, after its upstream.

A night of `tests.invariants.held_world` on a fast clock; most of it is waiting, so many are lived side by side.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Lock

from console.clock import Hand, real_now
from console.model.ids import micros
from console.store.errors import StoreError
from console.store.open import open_store
from console.store.reads import open_reads
from tests.invariants.held_world import DUE, HeldWorld
from tests.invariants.test_holds_killed import EVENING, POINTS, VERBS, engine

AT_ONCE = 6
RATE = 60.0
"""Seconds of the night in a real one: engines that start beside each other are there before the start that is held."""
PATIENCE = 40.0
"""Seconds after which a hold that has not ended is stuck."""
_MIGRATING = Lock()
"""Alembic keeps what it works on in its module: one store after another."""
ACTS = ("kill", "kill", "raise")


@dataclass
class HeldSeen:
    """What one point came to."""

    words: str
    crashed: bool = False
    stuck: int = 0
    """Holds that have not ended, and marks that nobody will take away."""
    doubled: int = 0
    lost: int = 0
    lines: list[str] = field(default_factory=list)


def live(folder: Path, words: str, after: float) -> HeldSeen:
    """One night: an engine that crashes there (without words: is killed after so many seconds), then another one."""
    seen = HeldSeen(words or f"killed after {after:.1f} s")
    world = _world(folder)
    with engine(world, "armed", words) as armed:
        until = time.monotonic() + (after if not words else PATIENCE)
        while time.monotonic() < until and armed.is_alive() and not _over(world):
            time.sleep(0.05)
        if armed.is_alive() and not words and armed.pid is not None:
            os.kill(armed.pid, signal.SIGKILL)
            armed.join(5)
        seen.crashed = not armed.is_alive() or ":raise" in words
        if not armed.is_alive():
            with engine(world, "next"):
                _wait(world)
        _judge(world, seen)
    return seen


def _world(folder: Path) -> HeldWorld:
    folder.mkdir(parents=True)
    with _MIGRATING:
        store = open_store(str(folder / "headway.db"))
    hand = Hand(EVENING, real_now() + timedelta(seconds=0.5), RATE, False)
    with store.write(None) as connection:
        connection.exec_driver_sql(
            "INSERT INTO clock (id, origin_us, started_us, rate, paused)"
            f" VALUES (1, {micros(hand.origin)}, {micros(hand.started)}, {hand.rate}, FALSE)"
        )
    store.close()
    return HeldWorld(folder, hand, DUE + timedelta(minutes=2))


def _over(world: HeldWorld) -> bool:
    """`load` has run, and every hold of its start has ended."""
    with suppress(StoreError), open_reads(str(world.folder / "headway.db")) as reads:
        return bool(world.starts()) and not [one for one in reads.holds() if one.due == DUE]
    return False


def _wait(world: HeldWorld) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and not _over(world):
        time.sleep(0.05)


def _judge(world: HeldWorld, seen: HeldSeen) -> None:
    starts, sent = world.starts(), Counter(line.key for line in world.lines())
    seen.doubled = max(len(starts) - 1, 0) + sum(count - 1 for count in sent.values())
    early = [by for by, at in starts if by != "clock" and at < world.good]
    seen.lost = (1 if not starts else 0) + len(early)
    with open_reads(str(world.folder / "headway.db")) as reads:
        held = [one.key for one in reads.holds() if one.due == DUE]
    seen.stuck = len({*held, *([world.mark()] if world.mark() else [])})
    seen.lines = [f"{line.verb} {line.at:%H:%M:%S}" for line in world.lines()]


def points(count: int, seed: int) -> list[tuple[str, float]]:
    """Every point of an action in each verb's passage, in turn; one in four is a kill at a random moment."""
    chance, found = random.Random(seed), []
    for number in range(count):
        if number % 4 == 3:
            found.append(("", chance.uniform(2.0, 18.0)))
        else:
            place = number - number // 4
            passage = place // len(POINTS) % len(VERBS) + 1
            found.append((f"{POINTS[place % len(POINTS)]}:{chance.choice(ACTS)}:{passage}", 0.0))
    return found


def run(folder: Path, count: int, seed: int = 1) -> list[HeldSeen]:
    """What `count` nights came to; their folders below `folder` are gone afterwards."""

    def one(number: int, words: str, after: float) -> HeldSeen:
        place = folder / f"held{number}"
        try:
            return live(place, words, after)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda each: one(each[0], *each[1]), enumerate(points(count, seed))))
