"""What many small services cost that share no job: `python -m tests.bench.forecast_apart [--json] [--quick]`.

1,000 services of five jobs each, one after the other, 30 nights of history, of each the first job runs: every look
moves all of them. CPU seconds of what the simulation adds to an evaluation, tonight and the night after.
"""

from __future__ import annotations

import os

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

import argparse  # noqa: E402
import random  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from dataclasses import replace  # noqa: E402
from itertools import pairwise  # noqa: E402
from time import process_time  # noqa: E402

from connectors.sdk.states import RunState  # noqa: E402
from console.control.evaluate import evaluate  # noqa: E402
from console.domain.estate import Estate  # noqa: E402
from console.forecast.finish_times import SimulateDays  # noqa: E402
from console.forecast.forecaster import Forecaster  # noqa: E402
from tests.bench.figures import Figure, emit  # noqa: E402
from tests.factories import at, estate, feeds, job, run, service  # noqa: E402
from tests.forecast.test_simulation import past  # noqa: E402

JOBS, NIGHTS = 5, 30
SERVICES, QUICK_SERVICES = 1_000, 50


def an_estate(services: int) -> Estate:
    drawn = random.Random(1)
    jobs, edges, promises, runs = [], [], [], []
    history, durations = {}, {}
    for number in range(services):
        chain = [
            job(number * JOBS + place + 1, f"dwh/s{number}_{place}", "" if place else "03:10") for place in range(JOBS)
        ]
        for job_facts in chain:
            takes = [drawn.uniform(8, 14) for _ in range(NIGHTS)]
            history[job_facts.id], durations[job_facts.id] = (
                past(job_facts, "03:10", takes),
                tuple(60 * value for value in takes),
            )
        for above, below in pairwise(chain):
            edges += feeds(above, below)
        runs.append(run(number + 1, chain[0], "03:10", RunState.RUNNING))
        promises.append(service(f"s{number}", "04:30", chain[-1]))
        jobs += chain
    made = estate(*jobs, runs=runs, feeds=edges, services=promises, durations=durations)
    return replace(made, history=history)


def took(seen: Estate, clock: str, foresee: SimulateDays | None) -> float:
    begun = process_time()
    evaluate(seen, at(clock), foresee=foresee)
    return process_time() - begun


def figures(services: int) -> Iterator[Figure]:
    seen, foresee = an_estate(services), Forecaster()
    took(an_estate(2), "03:15", Forecaster())  # what is loaded once
    bare = min(took(seen, "03:15", None) for _ in range(2))
    yield Figure("evaluation", bare, f"CPU s, {services} services without a simulation")
    yield Figure("first_look", took(seen, "03:15", foresee) - bare, "CPU s, the simulation's first look")
    later = [took(seen, f"03:{minute}", foresee) - bare for minute in (16, 17, 18)]
    yield Figure("later_look", sorted(later)[1], "CPU s, a later look of the same night, all of them moving")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SERVICES} services")
    parser.add_argument("--services", type=int)
    arguments = parser.parse_args()
    services = arguments.services or (QUICK_SERVICES if arguments.quick else SERVICES)
    emit("forecast_apart", figures(services), arguments.json)


if __name__ == "__main__":
    main()
