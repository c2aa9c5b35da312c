"""What one crash came to, and how all that a receiver got is judged."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from console.domain.alert import AlertKind
from console.domain.message import Message
from console.store.alerts import PERSON
from console.store.queries.reader import Queries
from tests.bench.crash_points import Point
from tests.bench.received import OF_HEADWAY, Received, is_notified
from tests.invariants.engines import Child
from tests.invariants.held_world import POLLED

Broken = Callable[[], None]
"""Takes a guarantee away from the engine in whose process it is called: a runner that sees nothing then is none."""


START_CPU, LEAST_CPU = 0.25, 0.02
"""Seconds of work in which an engine starts, and the share of its time that it works then though nothing happens. One
that had less was kept waiting by the machine, and what it has not done is not lost yet."""
LONGEST = 6
"""Times the patience after which it is, whatever still moves."""
SLOWEST_SECONDS = 900.0
"""After so long a night is too slow to be judged by what did not come about: the machine was busy with others."""
FAILED_JOB = "good/extract"
"""It fails in every night."""
MOVES_ALWAYS = ("headway.db", POLLED)
"""What an engine writes though nothing comes about."""
LEASE_LOST_TO_TIME, STALLED = ("the lease was not renewed in time", "lease lost, waiting for the lease"), 3
"""What an engine logs that the machine kept waiting, and how often it does where the machine stood still."""
THINGS = (
    "SELECT a.dedup_key, a.kind, a.version, a.message FROM alert a JOIN delivery d ON d.alert_id = a.id"
    " WHERE d.wire_us IS NOT NULL"
)
REPLACED = (
    "SELECT 1 FROM alert a JOIN delivery d ON d.alert_id = a.id"
    f" WHERE a.kind = '{AlertKind.OPENED}' AND d.state = 'digested'"
)
"""On a slow machine the repair comes before the alert has left: the end that replaces it says so."""
NO_TIME, TOO_SLOW, NO_LEASE = "there was no time", "the machine was too busy", "the machine stood still"
TOO_LATE = "no engine worked long enough before the repair"
"""Why a night is not judged."""
TRIES = 3
"""Nights of one kind on one store of which one must be judged before time counts for the others."""
WAITING = "SELECT count(*) FROM delivery WHERE state IN ('pending', 'claimed')"


class Deadline:
    """When everything must be over, by `time.monotonic`, and before that once `whole` was pulled."""

    def __init__(self, at: float = float("inf"), whole: Deadline | None = None) -> None:
        self.at = at
        self.whole = whole
        self.is_pulled = False

    def pull(self) -> None:
        """It is now; safe from a signal handler."""
        self.is_pulled = True

    @property
    def is_over(self) -> bool:
        return self.passes_within(0.0)

    def passes_within(self, seconds: float) -> bool:
        is_pulled = self.is_pulled or (self.whole is not None and self.whole.is_pulled)
        return is_pulled or time.monotonic() + seconds >= self.at


@dataclass(frozen=True)
class Limits:
    """What has not come about `patience` seconds after anything moved is lost; a night that is not over at the
    deadline is not judged."""

    patience: float = 20.0
    deadline: Deadline = field(default_factory=Deadline)


class Patience:
    """With the engines of one folder: the count restarts whenever one of them reports or sends anything.

    It counts checks, each `pause` seconds after the previous one: a slow machine delays checks and engines alike."""

    def __init__(self, limits: Limits, folder: Path, pause: float) -> None:
        self._limits = limits
        self._folder = folder
        self._most = limits.patience / pause
        self._until = time.monotonic() + SLOWEST_SECONDS
        self._checks, self._moved, self._messages = 0, 0, -1
        self.why = ""
        """Why it ended before it was used up: what is not there by then is not lost."""

    def lasts(self, engine: Child) -> bool:
        """`engine`: the one that should do what is waited for."""
        self._checks += 1
        if (byte_count := self._bytes_logged()) != self._messages:
            self._messages, self._moved = byte_count, self._checks
        if self._limits.deadline.is_over:
            self.why = NO_TIME
        elif time.monotonic() > self._until:
            self.why = TOO_SLOW
        if self.why or self._checks > self._most * LONGEST:
            return False
        return self._checks < self._moved + self._most or engine.cpu_seconds() < self._least_cpu

    @property
    def _least_cpu(self) -> float:
        return START_CPU + self._limits.patience * LEAST_CPU

    def _bytes_logged(self) -> int:
        """Bytes of the engines' logs, and of what schedulers and receiver got."""
        return sum(path.stat().st_size for path in self._folder.iterdir() if not path.name.startswith(MOVES_ALWAYS))


@dataclass
class Seen:
    """One point."""

    store: str
    point: Point
    hits: list[str] = field(default_factory=list)
    """Failpoints at which an engine crashed."""
    crashed: bool = False
    unjudged: str = NO_TIME
    """Why what did not come about is not judged; empty where it was. What came twice counts always."""
    lost_alerts: int = 0
    repeats: int = 0
    unmarked_repeats: int = 0
    double_actions: int = 0
    lost_actions: int = 0
    stuck_holds: int = 0
    texts: list[str] = field(default_factory=list)

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

    @property
    def is_tried(self) -> bool:
        """An engine crashed in it, and what came of that is judged."""
        return self.crashed and not self.unjudged

    @property
    def is_unjudged(self) -> bool:
        """It was lived to its end, and says nothing."""
        return self.unjudged not in ("", NO_TIME)

    def excuse(self, folder: Path) -> None:
        """A night in which the machine stalled, so that no engine renewed its short lease, is not evaluated."""
        logs = "".join(path.read_text() for path in folder.glob("*.log"))
        if sum(map(logs.count, LEASE_LOST_TO_TIME)) >= STALLED:
            self.leave(NO_LEASE)

    def leave(self, why: str) -> None:
        """Not judged by what did not come about."""
        self.unjudged = why
        self.lost_alerts = self.lost_actions = self.stuck_holds = 0

    def verify_alerts(self, got: Sequence[Received], expected: Sequence[AlertKind], reads: Queries) -> None:
        """`expected`: about `extract` each of these must have left. A further copy of an alert is a repeat; it must say
        so. One in the same words as another of its incident is a copy, unless a person is needed anew. What an engine
        sends about itself is not counted: it may leave from memory."""
        things = {
            (
                row.dedup_key,
                row.kind,
                row.version if row.kind == PERSON else Message.from_json(row.message).without_countdown(),
            )
            for row in reads.link.rows(THINGS)
        }
        allowed = Counter(key for key, *_ in things)
        marks: dict[str, list[bool]] = {}
        for each in got:
            if each.key not in OF_HEADWAY:
                marks.setdefault(each.key, []).append(each.is_repeat)
        missing = [kind for kind in expected if not is_notified(FAILED_JOB, kind, got, reads)]
        is_replaced = missing == [AlertKind.OPENED] and len(expected) > 1 and reads.link.rows(REPLACED)
        self.lost_alerts = 0 if is_replaced else len(missing)
        self.repeats = sum(max(0, len(copies) - max(1, allowed[key])) for key, copies in marks.items())
        self.unmarked_repeats = sum(max(0, copies.count(False) - max(1, allowed[key])) for key, copies in marks.items())
        self.texts.append(f"received {[(each.key, each.action, each.is_repeat, each.title) for each in got]}")


def doubled(keys: Sequence[str]) -> int:
    """How often a key came again."""
    return sum(count - 1 for count in Counter(keys).values())
