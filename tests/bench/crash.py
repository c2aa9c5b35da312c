"""What a crash costs: alerts lost, repeats, actions sent twice or lost, holds that stay.

Engines in processes of their own, forked from a warm parent, on real SQLite files and a real PostgreSQL, are killed,
stopped beyond their lease, made to raise, left without disk space or without connections, at each named failpoint and
at random moments, and started again. Schedulers and receiver are files in the same folder, so that no kill takes
anything away from what they saw. Then what they saw is compared with what should have happened: somebody is told that
a job failed and that it was repaired, each rerun reaches the scheduler once for each approval, a plan's jobs run once
and in order, and what was held runs once, after its upstream.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from connectors.secrets import SecretStore
from console.engine.logs import set_up_logs
from tests.bench.crash_engine import STACKS
from tests.bench.crash_holds import HeldNight, start_seconds
from tests.bench.crash_night import Night, PlanNight
from tests.bench.crash_points import Point, known, points
from tests.bench.crash_seen import Limits, Seen
from tests.bench.crash_stores import Databases, Files, Stores
from tests.bench.figures import Figure, emit
from tests.invariants.engines import server
from tests.lab.process import private_folder, remove_folder

AT_ONCE, HELD_AT_ONCE = 6, 6
"""Nights side by side; those of holds are mostly waiting."""
QUICK_POINTS, POINTS = 120, 1_200
QUICK_SECONDS = 45.0
"""A quick run ends within it on any machine: with fewer points on a busy one."""
END_SECONDS = 6.0
"""Of it, for what is begun before the first night and left after the last one."""
SHARES = {"sqlite": 0.75, "postgres": 0.25}
QUICK_SHARES = {"sqlite": 0.85, "postgres": 0.15}
LOG_LINES = 15
NEEDS = {"alert": 3.0, "plan": 3.0, "hold": 16.0}
"""Seconds that such a night takes at least: none is begun that cannot end in time."""
NIGHTS: dict[str, type[Night] | type[HeldNight]] = {"alert": Night, "plan": PlanNight, "hold": HeldNight}
STORES: dict[str, Callable[[Path], Stores]] = {"sqlite": Files, "postgres": Databases}


@dataclass
class Runner:
    """Lives nights until all are lived, or the time is over."""

    folder: Path
    limits: Limits

    def run(self, stores: Stores, number: int, point: Point) -> Seen | None:
        """What the night came to; None where there was no time for it."""
        if time.monotonic() + NEEDS[point.night] > self.limits.until:
            return None
        night, place = NIGHTS[point.night], self.folder / f"{stores.name}-night{number}"
        stores.copy(night.template, place)
        try:
            seen = night(place, stores.name, point, self.limits).live()
            if seen.is_bad and seen.judged:
                print("BAD", seen, *_logs(place), sep="\n", file=sys.stderr, flush=True)
            return seen
        finally:
            stores.drop(place)

    def all(self, work: Sequence[tuple[Stores, Point]]) -> list[Seen | None]:
        with ThreadPoolExecutor(AT_ONCE) as short, ThreadPoolExecutor(HELD_AT_ONCE) as long:
            pools = {"hold": long}
            begun = [
                pools.get(point.night, short).submit(self.run, stores, number, point)
                for number, (stores, point) in enumerate(work)
            ]
            return [one.result() for one in begun]


def _logs(folder: Path) -> Iterator[str]:
    """The last that each engine of the night said."""
    for path in sorted(folder.glob("*.log")):
        yield f"{path.name}:"
        yield from path.read_text().splitlines()[-LOG_LINES if path.name != STACKS else 0 :]


def run(shares: dict[str, float], count: int, until: float = float("inf"), seed: int = 1) -> list[Seen | None]:
    """What `count` nights came to, the stores' in between each other; None for each that the time did not allow."""
    folder = Path(private_folder("bench-crash"))
    server("tests.bench.crash_warm")
    start_seconds()  # the parent of all imports what they need, now
    set_up_logs(SecretStore(), folder / "own.log")  # what is said while the templates are made
    try:
        with ExitStack() as stack:
            plans = []
            for name, share in shares.items():
                (folder / name).mkdir()
                stores = STORES[name](folder / name)
                stack.callback(stores.close)
                plans.append([(stores, point) for point in points(round(count * share), name, seed)])
            return Runner(folder, Limits(until=until)).all(list(_mixed(plans)))
    finally:
        remove_folder(folder)


def _mixed(plans: Sequence[list[tuple[Stores, Point]]]) -> Iterator[tuple[Stores, Point]]:
    """Each list in its order, spread evenly over the whole."""
    placed = [((at + 0.5) / len(plan), one) for plan in plans for at, one in enumerate(plan)]
    yield from (one for _, one in sorted(placed, key=lambda each: each[0]))


def figures(found: Sequence[Seen | None], shares: dict[str, float]) -> list[Figure]:
    """Of all stores together; then of each by itself, with its name before the figure's."""
    judged = [one for one in found if one is not None and one.judged]
    hit = Counter(name for one in judged for name in one.hits)
    listed = {name for store in shares for name in known(store)}
    together = [
        *_costs(judged),
        Figure("nights_without_time", len(found) - len(judged), "nights, not judged"),
        Figure("failpoints_hit", len(listed & hit.keys()), "failpoints", "that the nights pass", len(listed)),
        Figure("least_hits", min(hit[name] for name in listed), "crashes at the failpoint with fewest"),
    ]
    for store in shares:
        own = _costs([one for one in judged if one.store == store])
        together += [Figure(f"{store}_{one.name}", one.value, one.unit) for one in own]
    return together


def _costs(found: Sequence[Seen]) -> Iterator[Figure]:
    yield Figure("points", sum(one.crashed for one in found), "crashes")
    yield Figure("lost_alerts", sum(one.lost_alerts for one in found), "alerts")
    yield Figure("repeats", sum(one.repeats for one in found), "repeats, marked or not")
    yield Figure("repeats_per_crash", max((one.repeats for one in found), default=0), "at most")
    yield Figure("unmarked_repeats", sum(one.unmarked_repeats for one in found), "repeats")
    yield Figure("double_actions", sum(one.double_actions for one in found), "actions")
    yield Figure("lost_actions", sum(one.lost_actions for one in found), "actions")
    yield Figure("stuck_holds", sum(one.stuck_holds for one in found), "holds")


def told(found: Sequence[Seen | None], shares: dict[str, float]) -> Iterator[str]:
    """For people: which nights had no time, and how often each failpoint was hit."""
    judged = [one for one in found if one is not None and one.judged]
    yield from (f"not judged: {one.store} {one.point}" for one in found if one is not None and not one.judged)
    for store in shares:
        hit = Counter(name for one in judged if one.store == store for name in one.hits)
        yield f"{store}: " + ", ".join(f"{name} {hit[name] or 'NEVER'}" for name in known(store))


def asked() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_POINTS} points, at most 45 s")
    parser.add_argument("--points", type=int, metavar="N", help=f"how many crashes are tried ({POINTS})")
    parser.add_argument("--store", choices=sorted(STORES), help="on this one only")
    parser.add_argument("--seconds", type=float, metavar="N", help=f"ends by then (--quick: {QUICK_SECONDS:.0f})")
    parser.add_argument("--seed", type=int, default=1, help="other nights")
    return parser.parse_args()


def main(began: float) -> None:
    said = asked()
    shares = {said.store: 1.0} if said.store else QUICK_SHARES if said.quick else SHARES
    seconds = said.seconds or (QUICK_SECONDS if said.quick else float("inf"))
    until = began + seconds - END_SECONDS
    found = run(shares, said.points or (QUICK_POINTS if said.quick else POINTS), until, said.seed)
    print(*told(found, shares), sep="\n", file=sys.stderr)
    emit("crash", figures(found, shares), said.json)


if __name__ == "__main__":
    main(time.monotonic())
