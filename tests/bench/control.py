"""What deciding costs on a large estate: `python -m tests.bench.control [--json] [--quick] [--only NAME]`.

50 systems, 100,000 jobs (--quick: 10,000), 200 services and ten nights of runs in a real SQLite store, from
`tests.bench.nightstore`. `full`: the first snapshot and all decisions; the time to write them is given beside it. A
change is a run that ends, committed before the clock starts: the refresh that finds it, its affected jobs, the
decisions.
The forecasts of service days are measured separately. All times are of this process' CPU, the disk's included: what it
reads is in memory. `growth`: the same change on 10,000 and on 1,000,000 jobs. Anchor of `calendar_year`: bare cronsim.
`engine_rss`: a process with all of the engine loaded that has evaluated the whole night and then 100 changes."""

from __future__ import annotations

import gc
import json
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from console.control import evaluate as rules
from console.control.evaluate import evaluate
from console.control.explain.lineage import blast_radius, neighbours, red_root_causes
from console.control.snapshot.graph import DependencyGraph
from console.control.snapshot.incremental import EvaluationCache, TimeSlices, build_cache, part_to_evaluate, part_with
from console.domain.decision import Decisions
from console.domain.estate import Estate, EvaluationSettings, failed_jobs
from console.engine.evaluation.evaluator import gc_disabled
from console.engine.supervisor.supervisor import limit_retained_memory
from console.store.db.database import Database, open_database
from console.store.decisions import apply_decisions
from console.store.snapshot import history
from console.store.snapshot.estate import load_estate, refresh_estate, with_notifications
from tests.bench.calendars import calendar_year
from tests.bench.figures import Figure, Scale, arguments, emit
from tests.bench.nightstore import NOW, night_store

JOBS, QUICK_JOBS, SMALL = 100_000, 10_000, 1_000
LARGEST = 1_000_000
"""Of `growth`."""
CHANGES, QUICK_CHANGES = 200, 30
BATCH = 10_000
CRON_JOBS, QUICK_CRON_JOBS = 10_000, 200
FORECASTS = ("service_days", "_threats", "_verdicts")
"""The functions of an evaluation that forecast."""


class Forecasts:
    """Seconds that evaluations spend on forecasts, from now on."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._before = {name: getattr(rules, name) for name in FORECASTS}
        vars(rules).update({name: self._timed(function) for name, function in self._before.items()})

    def stop(self) -> None:
        vars(rules).update(self._before)

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            begun = time.process_time()
            try:
                return function(*arguments)
            finally:
                self.seconds += time.process_time() - begun

        return timed


class Night:
    """One store, refreshed and evaluated as the engine's evaluator does."""

    def __init__(self, path: Path) -> None:
        self.store: Database = open_database(str(path))
        self.settings = EvaluationSettings(default_route=("oncall",))
        self.raw = sqlite3.connect(path, isolation_level=None)
        self.raw.execute("PRAGMA synchronous=OFF")
        self.before: Estate | None = None
        self.cache: EvaluationCache | None = None
        self.seen = 0
        self.part_sizes: list[int] = []
        self._tonight: list[tuple[int]] = []
        """The runs of this night."""
        self._random = random.Random(4)

    def judged(self) -> Decisions:
        """The decisions about what changed since the last look; about everything at the first."""
        seen = refresh_estate(self.store, NOW, self.settings, self.seen)
        estate = seen.estate
        self.cache = build_cache(estate, self.cache, seen.changed)
        cache = self.cache
        part = estate if self.before is None else part_to_evaluate(self.before, estate, seen.changed, cache)
        self.before, self.seen = estate, seen.number
        self.part_sizes.append(len(part.jobs))
        with gc_disabled(is_large=part is estate):
            return evaluate(with_notifications(self.store, part), NOW, cache=cache)

    def write(self, decisions: Decisions) -> None:
        apply_decisions(self.store, decisions, NOW, self.store.changed_seq(), None, {"oncall": ("a URL",)})

    def change(self, count: int) -> None:
        """So many runs of tonight end, or run again."""
        if not self._tonight:
            query = "SELECT id FROM run WHERE business_date = '2026-11-19' AND attempts > 0"
            self._tonight = self.raw.execute(query).fetchall()
        rows = [(self._random.choice(("succeeded", "succeeded", "running")), *pair) for pair in
                self._random.sample(self._tonight, min(count, len(self._tonight)))]  # fmt: skip
        self.raw.execute("BEGIN IMMEDIATE")
        self.raw.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE name = 'changed_seq'")
        [seq] = self.raw.execute("SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'changed_seq'").fetchone()
        self.raw.executemany(
            f"UPDATE run SET state = ?, message = 'changed', changed_seq = {seq} WHERE id = ?",
            rows,
        )
        self.raw.execute("COMMIT")

    def close(self) -> None:
        self.raw.close()
        self.store.close()


@contextmanager
def a_night(jobs: int) -> Iterator[Night]:
    """A copy of the store, to write into."""
    with tempfile.TemporaryDirectory(prefix="headway-bench-control-") as folder:
        path = Path(folder) / "headway.db"
        shutil.copy(night_store(jobs), path)
        night = Night(path)
        with closing(night):
            yield night


def settled(night: Night) -> None:
    """As the engine is in mid-night: everything is judged and written, and the past of all jobs is read."""
    with replaced(history, READ_BATCH=LARGEST):
        night.write(night.judged())
        while night.part_sizes[-1]:
            night.write(night.judged())
    gc.collect()
    gc.freeze()


@contextmanager
def replaced(module: ModuleType, **values: object) -> Iterator[None]:
    """With other values of the module's names."""
    before = {name: getattr(module, name) for name in values}
    vars(module).update(values)
    try:
        yield
    finally:
        vars(module).update(before)


def full(night: Night) -> Iterator[Figure]:
    begun = time.process_time()
    estate = load_estate(night.store, NOW, night.settings)
    loaded = time.process_time()
    cache = build_cache(estate)
    with gc_disabled(is_large=True):
        decisions = evaluate(estate, NOW, cache=cache)
    decided = time.process_time()
    night.write(decisions)
    written = time.process_time()
    yield Figure("full", decided - begun, "cpu-s to look and decide", "cpu-s to look", loaded - begun)
    yield Figure(
        "full_apply", written - decided, "cpu-s to write what was decided", "rows", float(len(decisions.expected))
    )


def one_change(night: Night, count: int, forecasts: Forecasts) -> tuple[list[float], list[float]]:
    """Seconds of each change without its forecasts, and those of the forecasts."""
    apart, spent = [], []
    for _ in range(count):
        night.change(1)
        forecasts.seconds, begun = 0.0, time.process_time()
        decisions = night.judged()
        elapsed = time.process_time() - begun
        apart.append(forecasts.seconds)
        spent.append(elapsed - forecasts.seconds)
        night.write(decisions)
    return spent, apart


def p95(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


def growth(small: int, large: int, count: int) -> Figure:
    """How much the cost of one change grows with the number of jobs, the time for its forecasts included."""
    medians = []
    for jobs in (small, large):
        with a_night(jobs) as night:
            settled(night)
            forecasts = Forecasts()
            spent, apart = one_change(night, count, forecasts)
            forecasts.stop()
            medians.append(statistics.median(map(sum, zip(spent, apart, strict=True))))
        gc.unfreeze()
    least, most = medians
    return Figure("growth", most / least, f"times to {large:,} jobs, the median", f"cpu-ms on {small:,}", least * 1e3)


def changes(night: Night, count: int) -> Iterator[Figure]:
    forecasts = Forecasts()
    settled(night)
    night.part_sizes.clear()
    spent, apart = one_change(night, count, forecasts)
    middle = statistics.median(spent) * 1e3
    yield Figure("one_change_p50", middle, "cpu-ms")
    yield Figure("one_change_p95", p95(spent) * 1e3, "cpu-ms", "cpu-ms, the median", middle)
    yield Figure(
        "one_change_forecast_p95", p95(apart) * 1e3, "cpu-ms", "cpu-ms, the median", statistics.median(apart) * 1e3
    )
    both = [*map(sum, zip(spent, apart, strict=True))]
    yield Figure(
        "one_change_with_forecast_p95", p95(both) * 1e3, "cpu-ms", "cpu-ms, the median", statistics.median(both) * 1e3
    )
    sizes = sorted(night.part_sizes)
    yield Figure(
        "one_change_jobs", float(sizes[-1 - len(sizes) // 20]), "jobs judged for it, p95", "the most", sizes[-1]
    )
    forecasts.stop()
    yield by_time(night)
    night.change(BATCH)
    begun = time.process_time()
    decisions = night.judged()
    yield Figure(
        "batch_10k", time.process_time() - begun, "cpu-s to look and decide", "jobs judged", night.part_sizes[-1]
    )
    night.write(decisions)


def by_time(night: Night) -> Figure:
    """The evaluation of a slice by time alone, the longest, beside that of the whole estate; nothing changed."""
    estate, cache = night.before, night.cache
    assert estate is not None
    assert cache is not None
    spent = []
    for jobs in (*TimeSlices(cache.shape).slices, estate.jobs):
        begun = time.process_time()
        evaluate(part_with(estate, jobs, cache), NOW, cache=cache)
        spent.append(time.process_time() - begun)
    *slices, whole = spent
    return Figure("by_time", max(slices) * 1e3, "cpu-ms, the longest slice", "cpu-ms, the whole estate", whole * 1e3)


def lineage(night: Night, units: int) -> Iterator[Figure]:
    """The longest of the walks from so many jobs, each beside the same walk of the engine's graph library."""
    estate = load_estate(night.store, NOW, night.settings)
    graph = DependencyGraph(estate.jobs, estate.dependencies)
    jobs = sorted({graph.unit(job) for job in estate.jobs})
    edges = [(edge.upstream, edge.downstream) for job in jobs for edge in graph.into(job)]
    above, below = neighbours(edges)
    red = {graph.unit(job_id) for job_id, _ in failed_jobs(estate.runs)}
    sample = random.Random(6).sample(jobs, min(units, len(jobs)))
    library = _longest(graph.descendants, sample)
    blast = _longest(lambda number: blast_radius(number, lambda number: below.get(number, ())), sample)
    yield Figure("blast_radius", blast * 1e3, "cpu-ms, the longest", "cpu-ms, by rustworkx", library * 1e3)
    library = _longest(graph.ancestors, sample)
    cause = _longest(lambda number: red_root_causes(number, lambda number: above.get(number, ()), red), sample)
    yield Figure("root_cause", cause * 1e3, "cpu-ms, the longest", "cpu-ms, only upstream by rustworkx", library * 1e3)


def _longest(walk: Callable[[int], object], job_ids: Sequence[int]) -> float:
    """Seconds of the longest of these walks."""
    longest = 0.0
    for number in job_ids:
        begun = time.process_time()
        walk(number)
        longest = max(longest, time.process_time() - begun)
    return longest


def engine_rss(jobs: int, count: int) -> Figure:
    argv = [sys.executable, "-c", f"from tests.bench.control import as_engine; as_engine({jobs}, {count})"]
    document = json.loads(subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True).stdout)
    return Figure("engine_rss", document["rss"], "MB after a whole night's evaluation", "MB at most", document["peak"])


def as_engine(jobs: int, count: int) -> None:
    """Prints its memory once the night is judged, and so many changes after it."""
    import console.engine.supervisor.assembly  # noqa: F401  all that an engine loads

    limit_retained_memory()
    with a_night(jobs) as night:
        settled(night)
        for _ in range(count):
            night.change(1)
            night.write(night.judged())
        lines = Path("/proc/self/status").read_text().splitlines()
        details = {
            name: int(value.split()[0]) / 1024 for name, value in (line.split(":") for line in lines if "kB" in line)
        }
        print(json.dumps({"rss": details["VmRSS"], "peak": details["VmHWM"]}))


FULL = ("full", "full_apply")
LINEAGE = ("blast_radius", "root_cause")
CHANGED = (
    "one_change_p50",
    "one_change_p95",
    "one_change_forecast_p95",
    "one_change_with_forecast_p95",
    "one_change_jobs",
    "by_time",
    "batch_10k",
)
"""Figures that are measured together."""
FIGURES = (*FULL, *LINEAGE, *CHANGED, "growth", "engine_rss", "calendar_year")


def measure(quick: Scale, only: Set[str]) -> Iterator[Figure]:
    """Those of the figures that are named, as each is found."""
    return (figure for figure in _measured(quick, only) if figure.name in only)


def _measured(quick: Scale, only: Set[str]) -> Iterator[Figure]:
    jobs = quick.of(JOBS, QUICK_JOBS, SMALL)
    if not only.isdisjoint((*FULL, *LINEAGE, *CHANGED)):
        with a_night(jobs) as night:
            yield from full(night) if not only.isdisjoint(FULL) else ()
            yield from lineage(night, quick.of(20_000, 2_000, 100)) if not only.isdisjoint(LINEAGE) else ()
            count = quick.of(CHANGES, QUICK_CHANGES, 3)
            yield from changes(night, count) if not only.isdisjoint(CHANGED) else ()
        gc.unfreeze()
    if "growth" in only:
        yield growth(
            quick.of(QUICK_JOBS, QUICK_JOBS, SMALL), quick.of(LARGEST, 2 * QUICK_JOBS, SMALL), quick.of(CHANGES, 30, 3)
        )
    if "engine_rss" in only:
        yield engine_rss(jobs, quick.of(100, 100, 1))
    if "calendar_year" in only:
        yield calendar_year(quick.of(CRON_JOBS, QUICK_CRON_JOBS, 20))


def main() -> None:
    chosen = arguments(__doc__ or "", FIGURES)
    emit("control", measure(chosen.quick, frozenset(chosen.only or FIGURES)), chosen.json)


if __name__ == "__main__":
    main()
