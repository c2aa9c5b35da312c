"""What many small services cost that share no job: `python -m tests.bench.forecast_apart [--json] [--services N]`.

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

from connectors.contract import State  # noqa: E402
from console.control.evaluate import evaluate  # noqa: E402
from console.control.forecast.foresee import Foresight  # noqa: E402
from console.control.forecast.odds import Foresee  # noqa: E402
from console.model.values import Estate  # noqa: E402
from tests.bench.figures import Figure, emit  # noqa: E402
from tests.control.test_foresee import past  # noqa: E402
from tests.factories import at, estate, feeds, job, run, service  # noqa: E402

JOBS, NIGHTS = 5, 30


def an_estate(services: int) -> Estate:
    drawn = random.Random(1)
    jobs, edges, promises, runs = [], [], [], []
    history, durations = {}, {}
    for number in range(services):
        chain = [
            job(number * JOBS + place + 1, f"dwh/s{number}_{place}", "" if place else "03:10") for place in range(JOBS)
        ]
        for each in chain:
            takes = [drawn.uniform(8, 14) for _ in range(NIGHTS)]
            history[each.id], durations[each.id] = past(each, "03:10", takes), tuple(60 * one for one in takes)
        for above, below in pairwise(chain):
            edges += feeds(above, below)
        runs.append(run(number + 1, chain[0], "03:10", State.RUNNING))
        promises.append(service(f"s{number}", "04:30", chain[-1]))
        jobs += chain
    made = estate(*jobs, runs=runs, feeds=edges, services=promises, durations=durations)
    return replace(made, history=history)


def took(seen: Estate, clock: str, foresee: Foresee | None) -> float:
    begun = process_time()
    evaluate(seen, at(clock), foresee=foresee)
    return process_time() - begun


def figures(services: int) -> Iterator[Figure]:
    seen, foresee = an_estate(services), Foresight()
    took(an_estate(2), "03:15", Foresight())  # what is loaded once
    bare = min(took(seen, "03:15", None) for _ in range(2))
    yield Figure("evaluation", bare, f"CPU s, {services} services without a simulation")
    yield Figure("first_look", took(seen, "03:15", foresee) - bare, "CPU s, the simulation's first look")
    later = [took(seen, f"03:{minute}", foresee) - bare for minute in (16, 17, 18)]
    yield Figure("later_look", sorted(later)[1], "CPU s, a later look of the same night, all of them moving")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    parser.add_argument("--services", type=int, default=1_000)
    asked = parser.parse_args()
    emit("forecast_apart", figures(asked.services), asked.json)


if __name__ == "__main__":
    main()
