"""How good the forecast of a month end is: `python -m tests.bench.month_ends [--json] [--quick|--smoke]`.

`recorded`: the daily workflows of `../shared/late-risk`, whose month ends are heavier. `heavy`: generated ones of 15
months (`tests.bench.own_nights`), of which six jobs take about twice as long on month ends; `plain`: the same without
month ends. The forecast sees the last 60 nights, and the month ends before them as daily figures show them. Beside it
stands the forecast without these. Brier scores: lower is better.
"""

from __future__ import annotations

import os

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

import sys  # noqa: E402
from collections.abc import Iterator, Sequence  # noqa: E402
from dataclasses import dataclass, replace  # noqa: E402
from datetime import UTC, datetime, timedelta  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

from console.forecast.past_nights import month_end_effect, night_similarity  # noqa: E402
from console.forecast.simulation.values import Floats, NightHistory, SimulationGraph  # noqa: E402
from console.forecast.usual import MONTH_END, night_kind  # noqa: E402
from console.store.snapshot.history import MONTH_ENDS, NIGHTS_BEFORE  # noqa: E402
from tests.bench import own_nights  # noqa: E402
from tests.bench.figures import Figure, Scale, arguments, emit  # noqa: E402
from tests.bench.late_risk import Engine, module, place  # noqa: E402

NIGHTS, SCORED_FROM, RETAINED = 460, 330, 60
HEAVY, FACTOR, FACTOR_SPREAD, SPREAD = 6, 0.7, 0.35, 0.1
"""Jobs that take longer on month ends; by how much, by job and by night, in logarithms."""
DAILY = "sem"
"""The family of the set that has a run each day."""
EVERY, SMOKE_EVERY = 4, 64
"""Of the nights that are no month end, one in so many is scored."""


def kinds_of(workflow: Any) -> list[str]:
    """The calendar class of each of its nights, and of the one after them."""
    first = datetime.fromtimestamp(workflow.runs[0]["t0"], UTC).date()
    return [night_kind(first + timedelta(days=night)) for night in range(len(workflow.runs) + 1)]


def generated(number: int, factor: float, topo: Any) -> Any:
    nights = own_nights.Workflow(own_nights.MONTH_ENDS, number, topo, NIGHTS)
    ends = np.array([kind == MONTH_END for kind in kinds_of(nights.loaded())[:NIGHTS]])
    for job in nights.random.choice(own_nights.JOBS, HEAVY, replace=False) if factor else ():
        noise = SPREAD * nights.random.standard_normal(int(ends.sum()))
        nights.takes[ends, job] *= np.exp(nights.random.normal(factor, FACTOR_SPREAD) + noise)
    workflow = nights.loaded()
    for night, run in enumerate(workflow.runs):
        run["score"] = run["score"] if night >= SCORED_FROM else []
    return workflow


def effects(takes: Floats, kinds: Sequence[str]) -> Floats:
    """`month_end_effect` of each job over these nights."""
    ends = [night for night in range(1, len(takes)) if kinds[night] == MONTH_END][-MONTH_ENDS:]
    usual = [np.nanmean(takes[max(night - NIGHTS_BEFORE.days, 0) : night], axis=0) for night in ends]
    ratios = np.array([takes[night] / nights for night, nights in zip(ends, usual, strict=True)]).reshape(
        len(ends), takes.shape[1]
    )
    return np.array([month_end_effect(of[np.isfinite(of) & (of > 0)].tolist()) for of in ratios.T])


@dataclass(frozen=True)
class Pruned:
    """The past as an engine sees it that keeps the runs of RETAINED nights."""

    kinds: Sequence[str]
    with_month_ends: bool

    def __call__(self, past: NightHistory, graph: SimulationGraph, _dag: Any) -> tuple[NightHistory, SimulationGraph]:
        tonight, first = len(past.takes), max(len(past.takes) - RETAINED, 0)
        kinds, own = self.kinds[first:tonight], self.kinds[tonight]
        takes = past.takes[first:].astype(float)
        if self.with_month_ends:
            steps = np.array([(own == MONTH_END) - (kind == MONTH_END) for kind in kinds])
            takes *= np.exp(steps[:, None] * effects(past.takes[:first].astype(float), self.kinds))
        waits, repairs = past.waits[first:], past.repairs[first:]
        similarity = night_similarity(kinds, own)
        return replace(past, takes=takes, waits=waits, repairs=repairs, similarity=similarity), graph


def brier(
    evaluate: Any, workflows: Sequence[Any], with_month_ends: bool, every: int
) -> dict[bool, list[tuple[float, bool]]]:
    """Whether a night is a month end -> of each service night its Brier score, and whether it was late."""
    nights: dict[bool, list[tuple[float, bool]]] = {True: [], False: []}
    for workflow in workflows:
        kinds = kinds_of(workflow)
        for night, run in enumerate(workflow.runs):
            run["score"] = run["score"] if kinds[night] == MONTH_END or night % every == 0 else []
        points, scored, _, _ = evaluate.replay(workflow, Engine(Pruned(kinds, with_month_ends)))
        for number, (_, _, night, _, deadline, finish, _) in enumerate(scored):
            own, was_late = points[points[:, 0] == number], bool(finish > deadline)
            if len(own):
                error = float(((own[:, 4] - was_late) ** 2).mean())
                nights[kinds[night] == MONTH_END].append((error, was_late))
    return nights


def figures(scale: Scale) -> Iterator[Figure]:
    folder = place()
    if folder is None:
        raise SystemExit("the recorded nights are not here: put the set at ../shared/late-risk beside this repository")
    evaluate = module(folder, "evaluate")
    count, every = scale.of(24, 6, 1), scale.of(EVERY, EVERY, SMOKE_EVERY)
    sets = {
        "recorded": [item for item in evaluate.load(str(folder)) if item.family == DAILY][:count],
        "heavy": [generated(number, FACTOR, evaluate.topo) for number in range(count)],
        "plain": [generated(number, 0.0, evaluate.topo) for number in range(count)],
    }
    for name, workflows in sets.items():
        with_them, without = (brier(evaluate, workflows, flag, every) for flag in (True, False))
        for is_end, which in ((True, "month_ends"), (False, "others")):
            nights, before = with_them[is_end], without[is_end]
            if nights:
                unit = f"Brier score, {len(nights)} nights, {sum(late for _, late in nights)} late"
                means = [float(np.mean([error for error, _ in of])) for of in (nights, before)]
                yield Figure(f"{name}_{which}", means[0], unit, "without", means[1])


def main() -> int:
    parsed = arguments(__doc__ or "")
    emit("month_ends", figures(parsed.quick), parsed.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
