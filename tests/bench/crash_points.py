"""Which crashes are tried: every named failpoint in turn, with each act, in the night that passes it, and moments at
random in between."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from console.failpoints import FAILPOINTS

ELSEWHERE = ("migrate", "backup", "prune")
"""Rooms that no night of an engine passes: tests/invariants/test_migration_killed.py, tests/store/db/test_backup.py,
tests/store/test_retention.py."""
ONLY_FILES = ("checkpoint.before",)
"""PostgreSQL keeps its log itself."""
PLAN = ("plan.before_step", "plan.after_step")
ACTION = tuple(name for name in FAILPOINTS if name.startswith("action."))
HOLD = (*ACTION, "hold.looked", "evaluate.before_commit", "evaluate.after_commit")
ALERT = tuple(name for name in FAILPOINTS if name.partition(".")[0] not in (*ELSEWHERE, "hold") and name not in PLAN)
"""Those that one failure and its repair pass."""
SLOTS = ("alert", "alert", "plan", "alert", "any", "hold", "alert", "plan", "alert", "any")
"""Which night in turn; "any" is a kill at a random moment of an alert's, a plan's or, one in ten, a hold's."""
ONCE, TWICE, OFTEN = (1,), (1, 1, 2), (1, 2, 3, 4, 5)
PASSAGES = {
    "outbox": TWICE, "send": TWICE, "record": TWICE, "poll": OFTEN, "ingest": OFTEN, "evaluate": OFTEN,
    "audit": OFTEN, "checkpoint": OFTEN, "plan": (1, 2),
}  # fmt: skip
"""In which passage of it the engine crashes, by room: the others are passed once in a night."""
RARE = ("poll.mid_pages", "ingest.mid_batch")
"""Passed once or twice, although their rooms are passed often."""
ACTS = ("kill", "kill", "kill", "raise", "stop")
"""What happens there; a stop is beyond the lease, then the process goes on."""
OWN_ACT = {"sqlite": "full=0.4", "postgres": "cut"}
"""A disk that is full for a while; the server ends every connection of the store."""


@dataclass(frozen=True)
class Point:
    """One crash: in which night, where, what, and in which passage; without a name a kill after so many seconds."""

    night: str
    name: str
    act: str
    passage: int = 1
    after: float = 0.0

    @property
    def text(self) -> str:
        return f"{self.name}:{self.act}:{self.passage}" if self.name else ""


def known(store: str) -> tuple[str, ...]:
    """The failpoints that the nights on this store pass."""
    every = dict.fromkeys((*ALERT, *PLAN, *HOLD))
    return tuple(name for name in every if store == "sqlite" or name not in ONLY_FILES)


def points(count: int, store: str, seed: int, failpoint: str = "") -> list[Point]:
    """So many of them, or of those at one failpoint; the same for the same seed."""
    every = _points(store, random.Random(seed))
    return list(islice((point for point in every if failpoint in ("", point.name)), count))


def _points(store: str, chance: random.Random) -> Iterator[Point]:
    alerts = [name for name in ALERT if name in known(store)]
    chance.shuffle(alerts)
    named = {"alert": _named("alert", alerts, store, chance), "plan": _named("plan", _plan_names(), store, chance)}
    named["hold"] = _held(store, chance)
    while True:
        for slot in SLOTS:
            yield next(named[slot]) if slot in named else _moment(chance)


def _plan_names() -> list[str]:
    """A plan's own points as often as all those of its actions."""
    return [name for action in ACTION for name in (PLAN[ACTION.index(action) % 2], action)]


def _named(night: str, names: list[str], store: str, chance: random.Random) -> Iterator[Point]:
    """Each in turn: first at its first passage, which every night reaches, then at any."""
    yield from (Point(night, name, _act(name, store, chance)) for name in names)
    while True:
        for name in names:
            yield Point(night, name, _act(name, store, chance), chance.choice(_passages(night, name)))


def _passages(night: str, name: str) -> tuple[int, ...]:
    if name in RARE:
        return ONCE
    return PASSAGES.get(name.partition(".")[0], (1, 2) if night == "plan" else ONCE)


def _act(name: str, store: str, chance: random.Random) -> str:
    return "kill" if name == "lease.lost" else chance.choice((*ACTS, OWN_ACT[store]))


def _held(store: str, chance: random.Random) -> Iterator[Point]:
    """Each point of an action in the passage of each verb (hold, release, start), in turn; what no other night passes
    first."""
    yield Point("hold", "hold.looked", "kill")
    while True:
        for passage in (1, 2, 3):
            for name in HOLD:
                act = chance.choice(("kill", "kill", "raise", OWN_ACT[store]))
                yield Point("hold", name, act, passage if name in ACTION else chance.choice((1, 2, 3, 5, 8)))


def _moment(chance: random.Random) -> Point:
    if chance.random() < 0.1:
        return Point("hold", "", "kill", after=chance.uniform(1.0, 9.0))
    return Point(chance.choice(("alert", "plan")), "", "kill", after=chance.uniform(0.05, 1.5))
