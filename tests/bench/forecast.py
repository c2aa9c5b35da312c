"""How good the forecast of a missed deadline is: `python -m tests.bench.forecast [--json] [--quick] [--every N]`.

Replays the recorded nights of `../shared/late-risk` with that set's own scoring program: our engine and the baselines
`ewma_pert` and `mc_joint`, all in one go. Then generated nights (`tests.bench.own_nights`), as `nights_…`. Nothing to
print where the set is not there. `--procs N` shares the workflows among so many processes: the same figures, sooner.
"""

from __future__ import annotations

import os

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # matrices this small are slower on two threads

import argparse  # noqa: E402
from collections.abc import Callable, Iterable, Iterator  # noqa: E402
from concurrent.futures import ProcessPoolExecutor  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

from console.control.services.risk import ALARM  # noqa: E402
from tests.bench.figures import Figure, emit  # noqa: E402
from tests.bench.late_risk import Engine, Knows, module, place  # noqa: E402
from tests.bench.own_nights import KINDS, declared_night, workflows  # noqa: E402

QUICK_EVERY = 48
BASELINES = ("ewma_pert", "mc_joint")


class Replayed:
    """The points of every workflow by one forecaster."""

    def __init__(self, evaluate: Any) -> None:
        self.evaluate = evaluate
        self.parts: list[tuple[str, Any, Any]] = []

    def add(self, workflow: Any, forecaster: Callable[..., Any], every: int) -> tuple[Any, Any]:
        """The points, and the nights that they are of."""
        points, nights, _, _ = self.evaluate.replay(workflow, forecaster, every)
        if len(points):
            self.parts.append((workflow.family, points, nights))
        return points, nights

    def scored(self, family: str = "") -> dict[str, Any]:
        results: list[Any] = []
        meta: list[Any] = []
        for of, points, nights in self.parts:
            if family in ("", of):
                shifted = points.copy()
                shifted[:, 0] += len(meta)
                results.append(shifted)
                meta += nights
        points = np.vstack(results)
        due, finish = (np.array([entry[column] for entry in meta], float) for column in (4, 5))
        night = points[:, 0].astype(int)
        at_risk = self.evaluate.operate(points, night, len(meta), ALARM, finish > due, due)
        return dict(self.evaluate.score(points, meta)) | {"at_risk": at_risk}


@dataclass(frozen=True)
class Task:
    """One workflow, to be replayed by all forecasters."""

    workflow: Any
    knows: Knows | None
    every: int
    alone: bool
    """Without the baselines."""


def replayed(task: Task) -> tuple[dict[str, list[tuple[str, Any, Any]]], float, int]:
    """By forecaster the parts of `Replayed`, the engine's CPU seconds and its calls."""
    folder = place()
    assert folder is not None
    evaluate, baselines = module(folder, "evaluate"), module(folder, "baselines")
    of = {name: Replayed(evaluate) for name in _names(task.alone)}
    engine = Engine(task.knows)
    of["engine"].add(task.workflow, engine, task.every)
    for name in BASELINES if not task.alone else ():
        of[name].add(task.workflow, getattr(baselines, name), task.every)
    return {name: night.parts for name, night in of.items()}, engine.seconds, engine.calls


def _names(alone: bool) -> tuple[str, ...]:
    return ("engine", *(() if alone else BASELINES))


class Compared:
    """Ours and the baselines."""

    def __init__(self, evaluate: Any, alone: bool) -> None:
        self.names = () if alone else BASELINES
        self.of = {name: Replayed(evaluate) for name in _names(alone)}
        self.seconds, self.calls = 0.0, 0

    def add(self, tasks: Iterable[Task], procs: int) -> None:
        """In the order of the tasks, however many processes there are."""
        if procs < 2:
            self._take(map(replayed, tasks))
            return
        with ProcessPoolExecutor(procs, initializer=os.setsid) as pool:  # a session each: Linux shares by session
            self._take(pool.map(replayed, tasks))

    def _take(self, results: Iterable[tuple[dict[str, list[tuple[str, Any, Any]]], float, int]]) -> None:
        for parts, seconds, calls in results:
            for name, part in parts.items():
                self.of[name].parts += part
            self.seconds, self.calls = self.seconds + seconds, self.calls + calls

    def figures(self, prefix: str, family: str = "", whole: bool = True) -> Iterator[Figure]:
        """`whole`: all of them, not Brier skill alone."""
        scores = {name: night.scored(family) for name, night in self.of.items()}
        skill = scores["engine"]["brier_skill"]
        yield Figure(f"{prefix}brier_skill", skill, "share of the base rate's Brier score")
        for name in self.names:
            theirs = scores[name]["brier_skill"]
            yield Figure(f"{prefix}gain_over_{name}", skill - theirs, "Brier skill", name, theirs)
        yield from _others(prefix, scores["engine"]) if whole else ()

    def speed(self, prefix: str) -> Figure:
        return Figure(f"{prefix}ms_per_call", 1000 * self.seconds / max(1, self.calls), "ms of CPU")


def recorded(folder: Path, every: int, arguments: argparse.Namespace) -> Iterator[Figure]:
    evaluate = module(folder, "evaluate")
    comparison = Compared(evaluate, arguments.alone)
    comparison.add([Task(item, None, every, arguments.alone) for item in evaluate.load(str(folder))], arguments.procs)
    yield from comparison.figures("")
    yield comparison.speed("")
    for family in ("rt", "rtq", "ci", "sem") if arguments.families else ():
        yield from comparison.figures(f"{family}_", family)


def nights(folder: Path, every: int, arguments: argparse.Namespace) -> Iterator[Figure]:
    """The same figures for the nights that are generated."""
    evaluate = module(folder, "evaluate")
    comparison = Compared(evaluate, arguments.alone)
    knows = None if arguments.untold else declared_night
    comparison.add(
        [Task(namespace, knows, every, arguments.alone) for namespace in workflows(evaluate.topo)], arguments.procs
    )
    for kind in ("", *KINDS):
        yield from comparison.figures(f"nights_{kind}_" if kind else "nights_", kind, arguments.families or not kind)
    yield comparison.speed("nights_")


def _others(prefix: str, scores: dict[str, Any]) -> Iterator[Figure]:
    yield Figure(f"{prefix}auc", scores["auc"], "")
    yield Figure(f"{prefix}auc_q1", scores["auc_q1"], "in the first quarter")
    yield Figure(f"{prefix}recall", scores["at_budget"]["recall"], "at one false alarm in 30 nights")
    yield Figure(f"{prefix}recall_25_ahead", scores["at_budget"]["recall_lead_25%"], "of it 25 % of the deadline ahead")
    yield Figure(f"{prefix}ece", scores["ece"], "calibration error")
    yield Figure(f"{prefix}pinball", scores["pinball"], "of the deadline")
    yield Figure(f"{prefix}false_alarms_30", scores["at_half"]["false_per_30"], "per 30 nights at p >= 0.5")
    yield Figure(f"{prefix}at_risk_recall", scores["at_risk"]["recall"], f"at p >= {ALARM}, from which it is at risk")
    yield Figure(f"{prefix}at_risk_false_30", scores["at_risk"]["false_per_30"], f"per 30 nights at p >= {ALARM}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help=f"every {QUICK_EVERY}th run")
    parser.add_argument("--every", type=int, default=2, help="score every n-th run only")
    parser.add_argument("--alone", action="store_true", help="without the baselines")
    parser.add_argument("--families", action="store_true", help="each family's figures too")
    parser.add_argument("--only", choices=("recorded", "nights"), help="only the recorded or the generated nights")
    parser.add_argument("--untold", action="store_true", help="generated nights of which config says nothing")
    parser.add_argument("--procs", type=int, default=1, help="so many processes")
    arguments = parser.parse_args()
    folder = place()
    if folder is None:
        raise SystemExit("the recorded nights are not here: put the set at ../shared/late-risk beside this repository")
    every = QUICK_EVERY if arguments.quick else arguments.every
    emit("forecast", everything(folder, every, arguments), arguments.json)


def everything(folder: Path, every: int, arguments: argparse.Namespace) -> Iterator[Figure]:
    if arguments.only != "nights":
        yield from recorded(folder, every, arguments)
    if arguments.only != "recorded":
        yield from nights(folder, max(2, every // 4), arguments)


if __name__ == "__main__":
    main()
