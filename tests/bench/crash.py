"""What a crash costs: alerts lost, repeats, actions sent twice or lost, holds that stay.

Engines in processes of their own, forked from a warm parent, on real SQLite files and a real PostgreSQL, are killed,
stopped beyond their lease, made to raise, left without disk space or without connections, at each named failpoint and
at random moments, and started again. Schedulers and receiver are files in the same folder, so that no kill removes
anything that they recorded. The records are then compared with what should have happened: somebody is notified that
a job failed and that it was repaired, each rerun reaches the scheduler once for each approval, a plan's jobs run once
and in order, and what was held runs once, after its upstream."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
import traceback
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from connectors.sdk.secrets import SecretStore
from console.engine.supervisor.log_setup import set_up_logs
from tests.bench.crash_checks import TRIES, Deadline, Limits, Seen
from tests.bench.crash_engine import STACKS
from tests.bench.crash_holds import HeldNight
from tests.bench.crash_night import Night, PlanNight
from tests.bench.crash_points import Point, known, points
from tests.bench.crash_report import figures, progress, report_lines, untried
from tests.bench.crash_stores import Databases, Files, Stores
from tests.bench.ending import Ending, say
from tests.bench.figures import emit
from tests.invariants.engines import server
from tests.invariants.held_world import start_seconds
from tests.lab.process import private_folder, remove_folder

AT_ONCE = {"sqlite": 8, "postgres": 3}
"""Nights side by side on each store; and those of holds, which are mostly waiting."""
HELD_AT_ONCE = {"sqlite": 5, "postgres": 2}
QUICK_POINTS, POINTS = 160, 1_250
QUICK_SECONDS = 45.0
"""A quick run begins no further point then, once one of each kind of night on each store was judged."""
END_SECONDS = 6.0
"""Of it, for what is begun before the first night and left after the last one."""
REPORT_SECONDS = 30.0
SHARES = {"sqlite": 0.75, "postgres": 0.25}
QUICK_SHARES = {"sqlite": 0.85, "postgres": 0.15}
LOG_LINES = 15
BROKEN = "this bench broke"
NEEDS = {"alert": 3.0, "plan": 3.0, "hold": 16.0}
"""Seconds that such a night takes at least: none is begun that cannot end in time."""
NIGHTS: dict[str, type[Night] | type[HeldNight]] = {"alert": Night, "plan": PlanNight, "hold": HeldNight}
STORES: dict[str, Callable[[Path], Stores]] = {"sqlite": Files, "postgres": Databases}


@dataclass
class Runner:
    """Lives nights until all are lived, or the time is over."""

    folder: Path
    limits: Limits
    results: list[Seen] = field(default_factory=list)
    """Those that are over, in no order."""
    deadlines: dict[tuple[str, str], Deadline] = field(init=False)
    """Of each kind of night on each store: none until a crash in one of them was judged, on the slowest machine too."""
    _lived: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Nights of each kind on each store; `TRIES` more for one that was judged."""
    _adding: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        kinds = ((store, night) for store in STORES for night in NIGHTS)
        self.deadlines = {kind: Deadline(whole=self.limits.deadline) for kind in kinds}

    def live(self, name: str, nights: Sequence[Point]) -> None:
        """All nights on one kind of store."""
        (self.folder / name).mkdir()
        with self._adding:  # Alembic migrates one store of a process at a time
            made = STORES[name](self.folder / name)
        with (
            closing(made) as stores,
            ThreadPoolExecutor(AT_ONCE[name]) as short,
            ThreadPoolExecutor(HELD_AT_ONCE[name]) as long,
        ):
            for number, point in enumerate(nights):
                (long if point.night == "hold" else short).submit(self._note, stores, number, point)

    def _note(self, stores: Stores, number: int, point: Point) -> None:
        seen, place = Seen(stores.name, point), self.folder / f"{stores.name}-night{number}"
        limits = replace(self.limits, deadline=self.deadlines[stores.name, point.night])
        if not limits.deadline.passes_within(NEEDS[point.night]):
            seen.unjudged = BROKEN  # until it has been lived
            try:
                stores.copy(NIGHTS[point.night].template, place)
                seen = NIGHTS[point.night](place, stores.name, point, limits).live()
                if seen.is_bad or seen.is_unjudged:
                    self._keep(stores, place, seen)
                stores.drop(place)
            except Exception:  # noqa: BLE001 - one night that this bench cannot live is not the end of all others
                say(traceback.format_exc())
        with self._adding:
            self.results.append(seen)
            kind = stores.name, point.night
            self._lived[kind] += TRIES if seen.is_tried else 1
            if self._lived[kind] >= TRIES:
                self.deadlines[kind].at = self.limits.deadline.at

    def _keep(self, stores: Stores, place: Path, seen: Seen) -> None:
        path = self.evidence / place.name
        term = "BAD" if seen.is_bad else f"not judged, {seen.unjudged}"
        say("\n".join([term, str(seen), *_logs(place), f"kept in {path}"]))
        stores.keep(place, path)

    @cached_property
    def evidence(self) -> Path:
        """Where the folder stays of each night that is bad, or says nothing."""
        return Path(tempfile.mkdtemp(prefix="headway-crash-evidence-"))


def _logs(folder: Path) -> Iterator[str]:
    """The last that each engine of the night said."""
    for path in sorted(folder.glob("*.log")):
        yield f"{path.name}:"
        yield from path.read_text().splitlines()[-LOG_LINES if path.name != STACKS else 0 :]


def run(shares: Mapping[str, float], count: int, deadline: Deadline, seed: int, failpoint: str) -> list[Seen]:
    """What `count` nights came to, both stores' at once; what there is of it when the deadline comes."""
    folder = Path(private_folder("bench-crash"))
    server("tests.bench.crash_warm")
    start_seconds()  # the parent of all imports what they need, now
    set_up_logs(SecretStore(), folder / "own.log")  # what is said while the templates are made
    runner = Runner(folder, Limits(deadline=deadline))
    try:
        with ThreadPoolExecutor(len(shares)) as pool:
            lives = [
                pool.submit(runner.live, name, points(round(count * share), name, seed, failpoint))
                for name, share in shares.items()
            ]
            _report_until_done(lives, runner.results, count)
        return runner.results
    finally:
        remove_folder(folder)


def _report_until_done(lives: Sequence[Future[None]], events: Sequence[Seen], count: int) -> None:
    began, futures = time.monotonic(), set(lives)
    while futures:
        say(progress(list(events), count, time.monotonic() - began))
        _, futures = wait(futures, timeout=REPORT_SECONDS)
    for future in lives:
        if (error := future.exception()) is not None:
            say("".join(traceback.format_exception(error)))


def parse_command_line() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_POINTS} points, as many as 45 s allow")
    parser.add_argument("--points", type=int, metavar="N", help=f"how many crashes are tried ({POINTS})")
    parser.add_argument("--store", choices=sorted(STORES), help="on this one only")
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="N",
        help=f"ends by then, on a slow machine once each kind of night was judged (--quick: {QUICK_SECONDS:.0f})",
    )
    parser.add_argument("--failpoint", choices=known("sqlite"), default="", metavar="NAME", help="crashes at it alone")
    parser.add_argument("--seed", type=int, default=1, help="other nights")
    return parser.parse_args()


def main(began: float) -> None:
    arguments = parse_command_line()
    shares = {arguments.store: 1.0} if arguments.store else QUICK_SHARES if arguments.quick else SHARES
    shares = {store: share for store, share in shares.items() if arguments.failpoint in ("", *known(store))}
    seconds = arguments.seconds or (QUICK_SECONDS if arguments.quick else float("inf"))
    deadline = Deadline(began + seconds - END_SECONDS)
    ending = Ending(deadline.pull)
    count = arguments.points or (QUICK_POINTS if arguments.quick else POINTS)
    events = run(shares, count, deadline, arguments.seed, arguments.failpoint)
    say("\n".join(report_lines(events, shares)))
    emit("crash", figures(events, shares), arguments.json)
    ending.leave()
    if nothing := untried(events, shares):
        sys.exit(
            f"no crash was tried and judged, so that the figures say nothing of these nights: {', '.join(nothing)}"
        )


if __name__ == "__main__":
    main(time.monotonic())
