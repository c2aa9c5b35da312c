"""How good the forecast of a missed deadline is: `python -m tests.bench.forecast [--json] [--quick] [--every N]`.

Replays the recorded nights of `../shared/late-risk` with that set's own scoring program: our engine, the baselines
`ewma_pert` and `mc_joint`, all in one go. What was learned over many workflows is scored on machines that it has not
seen; a workflow outside of the set gets what is shipped. --untrained: with nothing learned, as an estate that nobody
trained for. Then generated nights (`tests.bench.own_nights`), as `nights_…`, by what is shipped. Nothing to print where
the set is not there.
"""

from __future__ import annotations

import os

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # matrices this small are slower on two threads

import argparse  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

from console.engine.late_risk import shipped  # noqa: E402
from tests.bench.figures import Figure, emit  # noqa: E402
from tests.bench.late_risk import Engine, machine, module, place, unseen  # noqa: E402
from tests.bench.own_nights import KINDS, told, workflows  # noqa: E402

QUICK_EVERY = 16


class Replayed:
    """The points of every workflow by one forecaster."""

    def __init__(self, evaluate: Any) -> None:
        self.evaluate = evaluate
        self.parts: list[tuple[str, Any, Any]] = []
        self.seconds = 0.0
        self.calls = 0

    def add(self, workflow: Any, forecaster: Callable[..., Any], every: int) -> None:
        points, nights, seconds, calls = self.evaluate.replay(workflow, forecaster, every)
        self.seconds += seconds
        self.calls += calls
        if len(points):
            self.parts.append((workflow.family, points, nights))

    def scored(self, family: str = "") -> dict[str, Any]:
        found: list[Any] = []
        meta: list[Any] = []
        for of, points, nights in self.parts:
            if family in ("", of):
                shifted = points.copy()
                shifted[:, 0] += len(meta)
                found.append(shifted)
                meta += nights
        return dict(self.evaluate.score(np.vstack(found), meta))


def replayed(folder: Path, every: int, untrained: bool, alone: bool) -> dict[str, Replayed]:
    evaluate, baselines = module(folder, "evaluate"), module(folder, "baselines")
    away = {} if untrained else unseen()
    found = {name: Replayed(evaluate) for name in ("engine", *(() if alone else ("ewma_pert", "mc_joint")))}
    for workflow in evaluate.load(str(folder)):
        ours = None if untrained else away.get(machine(workflow.id)) or shipped()
        for name, each in found.items():
            each.add(workflow, Engine(ours) if name == "engine" else getattr(baselines, name), every)
    return found


def figures(found: dict[str, Replayed], families: bool) -> Iterator[Figure]:
    ours = found["engine"].scored()
    yield Figure("brier_skill", ours["brier_skill"], "share of the base rate's Brier score")
    for name in ("ewma_pert", "mc_joint"):
        if name in found:
            theirs = found[name].scored()["brier_skill"]
            yield Figure(f"gain_over_{name}", ours["brier_skill"] - theirs, "Brier skill", f"{name}", theirs)
    yield from _others("", ours)
    yield Figure("ms_per_call", 1000 * found["engine"].seconds / max(1, found["engine"].calls), "ms, wall")
    for family in ("rt", "rtq", "ci", "sem") if families else ():
        scores = found["engine"].scored(family)
        yield Figure(f"{family}_brier_skill", scores["brier_skill"], "share of the base rate's Brier score")
        yield from _others(f"{family}_", scores)


def nights(folder: Path, every: int, alone: bool, families: bool) -> Iterator[Figure]:
    """The same figures for the nights that are generated, by what is shipped."""
    evaluate, baselines = module(folder, "evaluate"), module(folder, "baselines")
    found = {name: Replayed(evaluate) for name in ("engine", *(() if alone else ("ewma_pert", "mc_joint")))}
    for workflow in workflows(evaluate.topo):
        for name, each in found.items():
            each.add(workflow, Engine(shipped(), told) if name == "engine" else getattr(baselines, name), every)
    for kind in ("", *KINDS):
        prefix = f"nights_{kind}_" if kind else "nights_"
        scores = {name: each.scored(kind) for name, each in found.items()}
        yield Figure(f"{prefix}brier_skill", scores["engine"]["brier_skill"], "share of the base rate's Brier score")
        for name in ("ewma_pert", "mc_joint")[: 0 if alone else 2]:
            theirs = scores[name]["brier_skill"]
            yield Figure(f"{prefix}gain_over_{name}", scores["engine"]["brier_skill"] - theirs, "", name, theirs)
        if families or not kind:
            yield from _others(prefix, scores["engine"])
    yield Figure("nights_ms_per_call", 1000 * found["engine"].seconds / max(1, found["engine"].calls), "ms, wall")


def _others(prefix: str, scores: dict[str, Any]) -> Iterator[Figure]:
    yield Figure(f"{prefix}auc", scores["auc"], "")
    yield Figure(f"{prefix}auc_q1", scores["auc_q1"], "in the first quarter")
    yield Figure(f"{prefix}recall", scores["at_budget"]["recall"], "at one false alarm in 30 nights")
    yield Figure(f"{prefix}recall_25_ahead", scores["at_budget"]["recall_lead_25%"], "of it 25 % of the deadline ahead")
    yield Figure(f"{prefix}ece", scores["ece"], "calibration error")
    yield Figure(f"{prefix}pinball", scores["pinball"], "of the deadline")
    yield Figure(f"{prefix}false_alarms_30", scores["at_half"]["false_per_30"], "per 30 nights at p >= 0.5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help=f"every {QUICK_EVERY}th run")
    parser.add_argument("--every", type=int, default=2, help="score every n-th run only")
    parser.add_argument("--untrained", action="store_true", help="with nothing learned over other workflows")
    parser.add_argument("--alone", action="store_true", help="without the baselines")
    parser.add_argument("--families", action="store_true", help="each family's figures too")
    parser.add_argument("--only", choices=("recorded", "nights"), help="only the recorded or the generated nights")
    asked = parser.parse_args()
    folder = place()
    if folder is None:
        raise SystemExit("the recorded nights are not here: put the set at ../shared/late-risk beside this repository")
    every = QUICK_EVERY if asked.quick else asked.every
    emit("forecast", everything(folder, every, asked), asked.json)


def everything(folder: Path, every: int, asked: argparse.Namespace) -> Iterator[Figure]:
    if asked.only != "nights":
        yield from figures(replayed(folder, every, asked.untrained, asked.alone), asked.families)
    if asked.only != "recorded":
        yield from nights(folder, max(2, every // 4), asked.alone, asked.families)


if __name__ == "__main__":
    main()
