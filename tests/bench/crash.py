"""What a crash costs: alerts lost, repeats, actions sent twice or lost, holds that stay.

Engines in processes of their own, forked from a warm parent, on real SQLite files, are killed, stopped beyond their
lease, made to raise or left without disk space, at each named failpoint and at random moments, and started again.
Schedulers and receiver are files in the same folder, so that no kill takes anything away from what they saw. Then what
they saw is compared with what should have happened: somebody is told that a job failed and that it was repaired, its
rerun reaches the scheduler once for each approval, and what was held runs once, after its upstream.
"""

from __future__ import annotations

import random
import shutil
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from connectors.contract import Verb
from console.engine.outbox import REPEAT_WORDS
from console.engine.requests import AlreadyAsked, Requests, Wish
from console.failpoints import FAILPOINTS
from console.model.ids import new_action_key
from console.store.errors import StoreError
from console.store.reads import open_reads
from tests.bench import crash_holds
from tests.bench.figures import Figure, emit
from tests.invariants.engines import Child, child, is_stopped, server
from tests.invariants.worlds import Sink, World
from tests.lab.process import private_folder, remove_folder

AT_ONCE = 4
QUICK_POINTS, POINTS = 110, 1_000
HELD_SHARE, HELD_LEAST = 20, 6
"""One night of a hold for so many others, and at least so many."""
PATIENCE = 25.0
"""Seconds after which what has not come about is lost."""
ROOMS = ("poll", "ingest", "evaluate", "outbox", "send", "record", "action", "audit", "lease")
NAMES = tuple(
    name for name in FAILPOINTS if name.partition(".")[0] in ROOMS and name not in ("poll.mid_pages", "lease.lost")
)
"""Those that one failure and its repair pass."""
ACTS = ("kill", "kill", "kill", "raise", "full=0.4", "stop")
"""What happens there; a stop is beyond the lease, then the process goes on."""


@dataclass(frozen=True)
class Point:
    """One crash: where, what, and in which passage; without a name at a random moment."""

    name: str
    act: str
    passage: int
    after: float = 0.0

    @property
    def words(self) -> str:
        return f"{self.name}:{self.act}:{self.passage}" if self.name else ""


@dataclass
class Seen:
    """What one point came to."""

    point: Point
    crashed: bool = False
    lost_alerts: int = 0
    repeats: int = 0
    unmarked_repeats: int = 0
    double_actions: int = 0
    lost_actions: int = 0
    words: list[str] = field(default_factory=list)


class Night:
    """`extract` fails; a person asks for its rerun as soon as somebody was told, and again where it never arrived."""

    def __init__(self, folder: Path, point: Point) -> None:
        self.folder = folder
        self.seen = Seen(point)
        self.world = World(folder, "good")
        self.sink = Sink(folder)
        self.asked: list[str] = []
        self._number = 0

    def live(self) -> Seen:
        self.world.fail("extract")
        with ExitStack() as engines:
            first = self._engine(engines, self.seen.point.words)
            self._crash(first)
            if first.ended(0) is not None:
                self._engine(engines)
            self._until_told()
            if first.ended(0) is None and self.seen.point.act == "stop":
                self._until_settled()
        self._judge()
        return self.seen

    def _engine(self, engines: ExitStack, failpoint: str = "") -> Child:
        self._number += 1
        return engines.enter_context(child(self.folder, f"engine{self._number}", failpoint))

    def _crash(self, engine: Child) -> None:
        """Goes on as a person would until it has crashed, or has passed the point for good."""
        point, began = self.seen.point, time.monotonic()
        while time.monotonic() - began < PATIENCE and not self._is_over():
            if not point.name and time.monotonic() - began >= point.after:
                with suppress(ProcessLookupError):
                    engine.signal(signal.SIGKILL)
            if engine.ended(0.01) is not None:
                self.seen.crashed = True
                return
            if point.act == "stop" and is_stopped(engine.pid):
                self.seen.crashed = True
                with child(self.folder, "meanwhile"):
                    self._until_told()
                    engine.signal(signal.SIGCONT)
                    time.sleep(0.3)
                return
            self._person()
        self.seen.crashed = self.seen.crashed or point.act in ("raise", "full=0.4")

    def _person(self) -> None:
        with suppress(StoreError, AlreadyAsked), open_reads(str(self.folder / "headway.db")) as reads:
            found = reads.incidents() or reads.incidents(closed=True)
            if not found or found[0].root_run_id is None or found[0].closed is not None:
                return
            ended = [one for one in reads.actions() if one.ended is not None]
            if len(ended) == len(self.asked):
                key = new_action_key()
                Requests(reads.link.place).act(Wish(Verb.RERUN, found[0].root_run_id), key)
                self.asked.append(key)

    def _until_told(self) -> None:
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE and not self._is_over():
            self._person()
            time.sleep(0.03)

    def _until_settled(self) -> None:
        time.sleep(0.3)

    def _is_over(self) -> bool:
        titles = [one.title for one in self.sink.got]
        return any("recovered" in one for one in titles) and self._all_ended()

    def _all_ended(self) -> bool:
        with suppress(StoreError), open_reads(str(self.folder / "headway.db")) as reads:
            rows = reads.link.rows("SELECT count(*) FROM delivery WHERE state <> 'sent'")
            return rows[0][0] == 0 and all(one.ended is not None for one in reads.actions())
        return False

    # what should have happened

    def _judge(self) -> None:
        got = Counter((one.title, one.body.removeprefix(REPEAT_WORDS)) for one in self.sink.got)
        titles = [title for title, _ in got]
        told = [any("extract failed" in title for title in titles), any("recovered" in title for title in titles)]
        self.seen.lost_alerts = told.count(False)
        self.seen.repeats = sum(count - 1 for count in got.values())
        marked = sum(one.body.startswith(REPEAT_WORDS) for one in self.sink.got)
        self.seen.unmarked_repeats = max(0, self.seen.repeats - marked)
        self.seen.double_actions = sum(count - 1 for count in Counter(self.world.sent).values())
        states: dict[str, str] = {}
        with suppress(StoreError), open_reads(str(self.folder / "headway.db")) as reads:
            states = {one.key: one.state for one in reads.actions()}
        sent = set(self.world.sent)
        self.seen.lost_actions = sum(
            states.get(key) is None or (states[key] == "verified") != (key in sent) for key in self.asked
        )
        self.seen.words = [f"told {sorted(title for title, _ in got)}, asked {states}, sent {self.world.sent}"]


def points(count: int, seed: int) -> list[Point]:
    """Every named failpoint in turn, with each act, and one moment in five at random."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        if number % 5 == 4:
            found.append(Point("", "kill", 1, chance.uniform(0.05, 1.5)))
        else:
            name = NAMES[(number - number // 5) % len(NAMES)]
            found.append(Point(name, chance.choice(ACTS), chance.choice((1, 1, 2))))
    return found


def run(count: int, seed: int = 1) -> list[Seen]:
    folder = Path(private_folder("bench-crash"))
    server()

    def live(number: int, point: Point) -> Seen:
        place = folder / str(number)
        place.mkdir()
        try:
            return Night(place, point).live()
        finally:
            shutil.rmtree(place, ignore_errors=True)

    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda one: live(*one), enumerate(points(count, seed))))
    finally:
        remove_folder(folder)


def figures(count: int) -> list[Figure]:
    folder = Path(private_folder("bench-held"))
    try:
        with ThreadPoolExecutor(1) as beside:  # their nights are mostly waiting
            holding = beside.submit(crash_holds.run, folder, max(count // HELD_SHARE, HELD_LEAST))
            found, held = run(count), holding.result()
    finally:
        remove_folder(folder)
    crashed = [one for one in found if one.crashed]
    for one in found:
        if one.lost_alerts or one.unmarked_repeats or one.double_actions or one.lost_actions:
            print(one, file=sys.stderr)
    for each in held:
        if each.stuck or each.doubled or each.lost:
            print(each, file=sys.stderr)
    return [
        Figure("points", len(crashed) + sum(each.crashed for each in held), "crashes"),
        Figure("lost_alerts", sum(one.lost_alerts for one in found), "alerts"),
        Figure("repeats", sum(one.repeats for one in found), "marked repeats"),
        Figure("repeats_per_crash", max((one.repeats for one in found), default=0), "at most"),
        Figure("unmarked_repeats", sum(one.unmarked_repeats for one in found), "repeats"),
        Figure(
            "double_actions", sum(one.double_actions for one in found) + sum(one.doubled for one in held), "actions"
        ),
        Figure("lost_actions", sum(one.lost_actions for one in found) + sum(one.lost for one in held), "actions"),
        Figure("stuck_holds", sum(one.stuck for one in held), "holds"),
    ]


def asked() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_POINTS} points, at most 45 s")
    parser.add_argument("--points", type=int, metavar="N", help=f"how many crashes are tried ({POINTS})")
    return parser.parse_args()


if __name__ == "__main__":
    said = asked()
    emit("crash", figures(said.points or (QUICK_POINTS if said.quick else POINTS)), said.json)
