"""Trains what the engine ships for P(late): `python -m tests.bench.train_risk [--every N] [--keep FILE]`.

Replays the recorded nights of `../shared/late-risk`, collects the facts of every look, and writes
`console/engine/late_risk.json` (from all of them) and `tests/bench/late_risk_folds.json.gz` (one for each machine, from
all the others; only with these is it scored). --keep: the facts, to train again without replaying.
"""

from __future__ import annotations

import os

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

import argparse  # noqa: E402
import gzip  # noqa: E402
import json  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

from console.control.forecast.calibration.facts import SIGNS  # noqa: E402
from console.control.forecast.simulation.values import Floats  # noqa: E402
from tests.bench.boosting import trained  # noqa: E402
from tests.bench.late_risk import FOLDS, ROOT, Engine, machine, module, place  # noqa: E402

SHIPPED = ROOT / "console" / "engine" / "late_risk.json"
DIGITS = 5
EVERY_LOOK = 3
"""So many looks after each other are much alike: one of them is learned from."""


@dataclass(frozen=True)
class Looks:
    """A row for each look at a service."""

    facts: Floats
    late: Floats
    weights: Floats
    """They add up to one for each night of a service."""
    machine: Any


def looks(folder: Path, every: int) -> Looks:
    evaluate = module(folder, "evaluate")
    facts, late, weights, machines = [], [], [], []
    for workflow in evaluate.load(str(folder)):
        engine = Engine(None)
        engine.sink = []
        points, _, _, _ = evaluate.replay(workflow, engine, every)
        if len(points):
            nights = points[:, 0].astype(int)
            facts.append(np.array(engine.sink))
            late.append((points[:, 3] > points[:, 2]).astype(float))
            weights.append(1.0 / np.bincount(nights)[nights])
            machines += [machine(workflow.id)] * len(points)
    return Looks(np.concatenate(facts), np.concatenate(late), np.concatenate(weights), np.array(machines))


def read(kept: Path) -> Looks:
    with np.load(kept) as arrays:
        return Looks(arrays["facts"], arrays["late"], arrays["weights"], arrays["machine"])


def rounded(figures: dict[str, Any]) -> dict[str, Any]:
    """Short enough to be read in a review."""

    def short(value: Any) -> Any:
        if isinstance(value, list | np.ndarray):
            return [short(each) for each in value]
        return value if isinstance(value, int | np.integer) else float(f"{value:.{DIGITS}g}")

    return {name: short(value) for name, value in figures.items()}


def learn(told: Looks, rows: Any, seed: int = 1) -> dict[str, Any]:
    """`rows`: a truth by look."""
    some = np.flatnonzero(rows)[::EVERY_LOOK]
    return rounded(trained(told.facts[some], told.late[some], EVERY_LOOK * told.weights[some], SIGNS, seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=2, help="learn from every n-th run")
    parser.add_argument("--keep", type=Path, help="where the facts are, or will be")
    asked = parser.parse_args()
    folder = place()
    if folder is None:
        raise SystemExit("the recorded nights are not here: put the set at ../shared/late-risk beside this repository")
    told = read(asked.keep) if asked.keep and asked.keep.exists() else looks(folder, asked.every)
    if asked.keep and not asked.keep.exists():
        np.savez_compressed(asked.keep, facts=told.facts, late=told.late, weights=told.weights, machine=told.machine)
    SHIPPED.write_text(json.dumps(learn(told, np.ones(len(told.late), bool))) + "\n", encoding="utf-8")
    folds = {str(name): learn(told, told.machine != name) for name in np.unique(told.machine)}
    with gzip.GzipFile(FOLDS, "wb", mtime=0) as file:
        file.write(json.dumps(folds).encode())


if __name__ == "__main__":
    main()
