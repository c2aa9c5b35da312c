"""What one crash came to, and how all that a receiver got is judged."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from console.engine.outbox import REPEAT_WORDS
from tests.bench.crash_points import Point
from tests.invariants.worlds import Alert

Broken = Callable[[], None]
"""Takes a guarantee away from the engine in whose process it is called: a runner that sees nothing then is none."""


START_CPU, LEAST_CPU = 0.25, 0.02
"""Seconds of work in which an engine starts, and the share of its time that it works then though nothing happens. One
that had less was kept waiting by the machine, and what it has not done is not lost yet."""
LONGEST = 6
"""Times the patience after which it is, whatever still moves."""
LEASE_LOST_TO_TIME, STOOD_STILL = "the lease was not renewed in time", 3
"""What an engine logs that the machine kept waiting, and how often it does where the machine stood still."""


@dataclass(frozen=True)
class Limits:
    """What has not come about `patience` seconds after anything moved is lost; a night that is not over at `until` (by
    `time.monotonic`) is not judged."""

    patience: float = 20.0
    until: float = float("inf")

    @property
    def is_cut(self) -> bool:
        return time.monotonic() >= self.until


class Patience:
    """With the engines of one folder: it begins anew whenever one of them says or sends anything."""

    def __init__(self, limits: Limits, folder: Path) -> None:
        self._limits = limits
        self._folder = folder
        self._end = min(limits.until, time.monotonic() + limits.patience * LONGEST)
        self._said, self._moved = -1, 0.0

    def lasts(self, pid: int | None) -> bool:
        """`pid`: the engine that should do what is waited for."""
        now, said = time.monotonic(), self._all_said()
        if said != self._said:
            self._said, self._moved = said, now
        if now >= self._end:
            return False
        if now < self._moved + self._limits.patience:
            return True
        return pid is not None and cpu_seconds(pid) < START_CPU + self._limits.patience * LEAST_CPU

    def _all_said(self) -> int:
        """Bytes of the engines' logs, and of what schedulers and receiver got."""
        return sum(path.stat().st_size for path in self._folder.iterdir() if not path.name.startswith("headway.db"))


@dataclass
class Seen:
    """One point."""

    store: str
    point: Point
    hits: list[str] = field(default_factory=list)
    """Failpoints at which an engine crashed."""
    crashed: bool = False
    judged: bool = False
    lost_alerts: int = 0
    repeats: int = 0
    unmarked_repeats: int = 0
    double_actions: int = 0
    lost_actions: int = 0
    stuck_holds: int = 0
    words: list[str] = field(default_factory=list)

    @property
    def is_bad(self) -> bool:
        return any(
            (
                self.lost_alerts,
                self.unmarked_repeats,
                self.repeats > 1,
                self.double_actions,
                self.lost_actions,
                self.stuck_holds,
            )
        )

    def excuse(self, folder: Path) -> None:
        """A night in which the machine stood still, so that no engine kept its short lease, is not judged by what did
        not come about; what came twice counts always."""
        logs = "".join(path.read_text() for path in folder.glob("*.log"))
        too_much = self.unmarked_repeats or self.repeats > 1 or self.double_actions
        if logs.count(LEASE_LOST_TO_TIME) >= STOOD_STILL and not too_much:
            self.judged = False

    def judge_alerts(self, got: Sequence[Alert], expected: Sequence[str]) -> None:
        """`expected`: words of which each is in the title of an alert that must have left. A further copy of an alert
        is a repeat; it must say so."""
        bodies: dict[tuple[str, str], list[bool]] = {}
        for one in got:
            key = one.title, one.body.removeprefix(REPEAT_WORDS)
            bodies.setdefault(key, []).append(one.body.startswith(REPEAT_WORDS))
        self.lost_alerts = sum(not any(words in title for title, _ in bodies) for words in expected)
        self.repeats = sum(len(marks) - 1 for marks in bodies.values())
        self.unmarked_repeats = sum(max(0, marks.count(False) - 1) for marks in bodies.values())
        self.words.append(f"told {sorted(title for title, _ in bodies)}")


def cpu_seconds(pid: int) -> float:
    """What a process has worked so far; much, where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return float("inf")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def doubled(keys: Sequence[str]) -> int:
    """How often a key came again."""
    return sum(count - 1 for count in Counter(keys).values())
