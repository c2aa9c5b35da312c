"""How fast the forecast is on a large estate: `python -m tests.bench.forecast_speed [--json] [--quick] [--jobs N]`.

100,000 jobs, 230,000 dependencies, 40 layers, 50 services that wait for two thirds of the jobs, 60 nights of history,
in the middle of a night.
`full_pass`: the finishes of all jobs and the outcomes of all services in 1,024 samples, beside the same number of
plain numpy passes over the same graph (the anchor: level by level, the k-th upstream of all jobs of a level at once,
float32, all samples side by side, durations and memory there already). `full_look`: with the run factor and every
job's columns drawn again. `one_job`: a job that was on is done; only what lies below is computed. CPU seconds.
"""

from __future__ import annotations

import os

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

import argparse  # noqa: E402
import resource  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from dataclasses import replace  # noqa: E402
from functools import partial  # noqa: E402
from time import process_time  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

from console.forecast.simulation.simulator import (  # noqa: E402
    SimulatedNight,
    SimulationRun,
    p_late,
    prepare_night,
    recompute_finishes,
    run_simulation,
    simulate,
)
from console.forecast.simulation.sweep import CHUNK  # noqa: E402
from console.forecast.simulation.values import (  # noqa: E402
    Floats,
    Integers,
    JobPhase,
    NightHistory,
    ServicePromise,
    SimulationGraph,
    Tonight,
)
from tests.bench.figures import Figure, emit  # noqa: E402

JOBS, EDGES, LAYERS, SERVICES, ENDS, NIGHTS, SAMPLES = 100_000, 230_000, 40, 50, 50, 60, 1024
NOW = 3_000.0
HOURS_LATE = 20_000.0
"""So late that all below waits for it."""
FAILS = 0.005
"""Of all runs."""


def an_estate(jobs: int, dependencies: int) -> tuple[SimulationGraph, list[Integers]]:
    """Every job waits for one of the layer before, the other dependencies lie anywhere. Of what nothing waits for, each
    service is delivered by ENDS."""
    random = np.random.default_rng(1)
    first = np.linspace(0, jobs, LAYERS + 1).astype(np.intp)
    layer = np.repeat(np.arange(LAYERS), np.diff(first))

    def any_of(layers: Integers) -> Integers:
        return first[layers] + (random.random(len(layers)) * (first[layers + 1] - first[layers])).astype(np.intp)

    waiting = np.arange(first[1], jobs)
    more = random.integers(first[1], jobs, dependencies - len(waiting))
    below = np.concatenate([waiting, more])
    both = np.unique(below * jobs + any_of(np.concatenate([layer[waiting] - 1, random.integers(0, layer[more])])))
    split = np.split(both % jobs, np.searchsorted(both // jobs, np.arange(1, jobs)))
    ends = random.permutation(np.setdiff1d(np.arange(jobs), both % jobs))[: SERVICES * ENDS]
    earliest = np.where(random.random(jobs) < 0.02, random.uniform(0, 20_000, jobs), 0.0)
    graph = SimulationGraph(
        [values.tolist() for values in split], earliest, names=[f"estate/job{number}" for number in range(jobs)]
    )
    return graph, np.array_split(ends, SERVICES)


def its_past(jobs: int) -> NightHistory:
    """A factor of the night, job by job a spread of its own; one run in twenty is missing."""
    random = np.random.default_rng(2)
    shape = (NIGHTS, jobs)
    takes = random.standard_normal(shape, np.float32) * random.uniform(0.05, 0.4, jobs).astype(np.float32)
    takes += random.normal(5.0, 0.8, jobs).astype(np.float32) + 0.1 * random.standard_normal((NIGHTS, 1), np.float32)
    np.exp(takes, out=takes)
    takes[random.random(shape, np.float32) < 0.05] = np.nan
    repairs = np.full(shape, np.nan, np.float32)
    repairs[random.random(shape, np.float32) < FAILS] = 1200.0
    return NightHistory(takes, np.broadcast_to(np.float32(0), shape), repairs)


def in_the_middle(graph: SimulationGraph, takes: Floats) -> Tonight:
    """At NOW, of a night in which every job takes this."""
    ends = np.zeros(len(takes))
    ready = np.zeros(len(takes))
    for job, upstreams in enumerate(graph.upstreams):
        ready[job] = max(float(graph.earliest[job]), max((ends[upstream] for upstream in upstreams), default=0.0))
        ends[job] = ready[job] + takes[job]
    phase = np.select([ends <= NOW, ready <= NOW], [JobPhase.DONE, JobPhase.RUNS], JobPhase.WAITS)
    start, end = np.where(ready <= NOW, ready, np.nan), np.where(ends <= NOW, ends, np.nan)
    return Tonight(phase, start, start, end)


def a_night(jobs: int, samples: int) -> tuple[SimulatedNight, Tonight, list[ServicePromise]]:
    graph, services = an_estate(jobs, jobs * EDGES // JOBS)
    past = its_past(jobs)
    usual = np.exp(np.nanmean(np.log(past.takes), axis=0, dtype=float))
    made = prepare_night(past, graph, np.concatenate(services).tolist(), samples=samples)
    promises = [ServicePromise(f"service{at}", values, 30_000.0) for at, values in enumerate(services)]
    return made, in_the_middle(graph, usual), promises


def whole(made: SimulatedNight, tonight: Tonight, promises: list[ServicePromise]) -> SimulationRun:
    seen = run_simulation(tonight, NOW, made, chunks=1)
    for promise in promises:
        p_late(seen, promise)
    return seen


def cpu(of: Callable[[], Any]) -> float:
    begun = process_time()
    of()
    return process_time() - begun


def anchor(made: SimulatedNight) -> Callable[[], None]:
    """All samples at once, after measured.md: no drawing, no floors, nothing that is done already."""
    plan = made.plan
    levels = []
    for start, stop in zip(plan.bounds[:-1], plan.bounds[1:], strict=True):
        counts = plan.upstreams.counts(np.arange(start, stop))
        heads = [plan.upstreams.first[start:stop][counts > k] + k for k in range(int(counts.max(initial=0)))]
        levels.append((int(start), int(stop), [plan.upstreams.linked[head] for head in heads]))
    takes = np.random.default_rng(3).gamma(2.0, 100.0, (1, SAMPLES)).astype(np.float32).repeat(plan.size, axis=0)
    finish = np.zeros_like(takes)

    def run() -> None:
        for start, stop, nth in levels:
            rows = finish[start:stop]
            rows[len(nth[0]) if nth else 0 :] = 0.0
            if nth:
                rows[: len(nth[0])] = finish[nth[0]]
            for upstream in nth[1:]:
                these = rows[: len(upstream)]
                np.maximum(these, finish[upstream], out=these)
            rows += takes[start:stop]

    run()
    return run


def one_job(made: SimulatedNight, tonight: Tonight, times: int, late: float) -> tuple[list[float], list[int]]:
    """CPU seconds of one job after the other, any of those that are not done: it is `late` seconds after the moment.
    With how many jobs came out otherwise."""
    seen = run_simulation(tonight, NOW, made)
    seconds, moved = [], []
    for job in (
        np.random.default_rng(4)
        .permutation(made.plan.jobs[tonight.phase[made.plan.jobs] != JobPhase.DONE])[:times]
        .tolist()
    ):
        phase, end = tonight.phase.copy(), tonight.end.copy()
        phase[job], end[job] = JobPhase.DONE, NOW + late
        before = seen.finish[0].copy()
        begun = process_time()
        recompute_finishes(seen, replace(tonight, phase=phase, end=end), [job], seen.finish)
        seconds.append(process_time() - begun)
        moved.append(int((seen.finish[0] != before).any(axis=1).sum()))
        recompute_finishes(seen, tonight, [job], seen.finish)
    return seconds, moved


def in_its_own_process(jobs: int) -> float:
    """Peak megabytes of a process that makes the night and simulates it once."""
    process = subprocess.run(
        [sys.executable, "-m", __spec__.name, "--peak", "--jobs", str(jobs)],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return float(process.stdout)


def peak(jobs: int) -> float:
    made, tonight, promises = a_night(jobs, SAMPLES)
    whole(made, tonight, promises)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def figures(quick: bool, jobs: int) -> Iterator[Figure]:
    yield Figure(
        "full_pass_rss", in_its_own_process(jobs), "MB, a process of its own that makes the night and looks once"
    )
    begun = process_time()
    made, tonight, promises = a_night(jobs, SAMPLES)
    yield Figure("jobs", made.plan.size, f"that services wait for, of {jobs}")
    yield Figure("edges", len(made.plan.upstreams.linked), "of these")
    yield Figure("night", process_time() - begun, "CPU s, once a night, with the making of the estate")
    held = whole(made, tonight, promises)
    numpy_pass = anchor(made)
    rounds = range(2 if quick else 5)
    drawn = partial(simulate, tonight, NOW, made, held.draws, held.shift, 1)
    pairs = [(cpu(numpy_pass), cpu(drawn)) for _ in rounds]
    beside, ours = (float(np.median(group)) for group in zip(*pairs, strict=True))
    del numpy_pass
    yield Figure("full_pass", ours, "CPU s, 1,024 samples, outcomes with it", "level-wise numpy", beside)
    reloaded = float(np.median([cpu(partial(whole, made, tonight, promises)) for _ in rounds]))
    yield Figure(
        "full_look", reloaded, "CPU s, with the run factor and every job drawn anew", "level-wise numpy", beside
    )
    del held, drawn
    yield from _one_job("one_job", made, tonight, 30 if quick else 200)
    del made
    made, tonight, _ = a_night(jobs, CHUNK)
    yield from _one_job("one_job_256", made, tonight, 30 if quick else 200)


def _one_job(name: str, made: SimulatedNight, tonight: Tonight, times: int) -> Iterator[Figure]:
    for label, late in (("", HOURS_LATE), ("_in_time", 0.0)):
        seconds, moved = one_job(made, tonight, times, late)
        for share in (50, 95, 100):
            end = "max" if share == 100 else f"p{share}"
            yield Figure(f"{name}{label}_{end}", 1000 * float(np.percentile(seconds, share)), "CPU ms")
            yield Figure(f"{name}{label}_moved_{end}", float(np.percentile(moved, share)), "jobs came out otherwise")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--jobs", type=int, default=JOBS, help="fewer jobs and as many times fewer dependencies")
    parser.add_argument("--peak", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        print(peak(arguments.jobs))
        return
    emit("forecast_speed", figures(arguments.quick, arguments.jobs), arguments.json)


if __name__ == "__main__":
    main()
