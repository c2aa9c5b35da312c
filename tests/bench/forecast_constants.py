"""Which constants the forecast would have on other machines: `python -m tests.bench.forecast_constants [--json]`.

Replays the recorded nights of `../shared/late-risk` with nothing learned (the columns alone), once as the constants are
and once with each other value of each. For every machine the value of each constant is taken that is best on all the
other machines, and what was taken so is scored on the machine that was left out: `left_out`, beside the same with the
constants as they are (`as_they_are`). A family's generated workflows are left out in groups.
"""

from __future__ import annotations

import os

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

import argparse  # noqa: E402
from collections import defaultdict  # noqa: E402
from collections.abc import Iterator, Mapping  # noqa: E402
from contextlib import ExitStack, contextmanager  # noqa: E402
from typing import Any  # noqa: E402
from unittest.mock import patch  # noqa: E402

from console.control.forecast.calibration.recalibrate import PRIOR  # noqa: E402
from console.control.forecast.simulation import outcome, recency, residual, run_factor  # noqa: E402
from tests.bench import late_risk  # noqa: E402
from tests.bench.figures import Figure, emit  # noqa: E402
from tests.bench.forecast import Replayed  # noqa: E402
from tests.bench.late_risk import machine  # noqa: E402

AS_THEY_ARE = {
    "recent": recency.RECENT_HALF_LIFE, "level": recency.LEVEL_HALF_LIFE, "missed": recency.MISSED_HALF_LIFE,
    "ridge": run_factor.RIDGE, "tail": residual.TAIL, "hair": outcome.HAIR,
}  # fmt: skip
FACTORS = (0.6, 1.6)
"""By which a constant is tried otherwise."""
EVERY = 8


@contextmanager
def constants(values: Mapping[str, float]) -> Iterator[None]:
    of = {**AS_THEY_ARE, **values}
    with ExitStack() as stack:
        for each in (
            patch.object(recency.recent, "__defaults__", (None, of["recent"])),
            patch.object(recency.followed, "__defaults__", (None, of["level"], of["missed"])),
            patch.object(run_factor.given, "__defaults__", (of["ridge"],)),
            patch.object(residual, "TAIL", of["tail"]),
            patch.object(outcome, "HAIR", of["hair"]),
            patch.object(late_risk, "learn", lambda _past: PRIOR),
        ):
            stack.enter_context(each)
        yield


class Machines:
    """The points of every machine, with some constants."""

    def __init__(self, evaluate: Any, workflows: list[Any], every: int, values: Mapping[str, float]) -> None:
        self.by_machine: dict[str, Replayed] = defaultdict(lambda: Replayed(evaluate))
        with constants(values):
            for workflow in workflows:
                self.by_machine[machine(workflow.id)].add(workflow, late_risk.Engine(None), every)

    def without(self, left_out: str) -> Replayed:
        return joined(each for name, each in self.by_machine.items() if name != left_out)


def joined(parts: Iterator[Replayed]) -> Replayed:
    every = list(parts)
    whole = Replayed(every[0].evaluate)
    for each in every:
        whole.parts += each.parts
    return whole


def figures(every: int) -> Iterator[Figure]:
    folder = late_risk.place()
    if folder is None:
        raise SystemExit("the recorded nights are not here: put the set at ../shared/late-risk beside this repository")
    evaluate = late_risk.module(folder, "evaluate")
    workflows = evaluate.load(str(folder))
    plain = Machines(evaluate, workflows, every, {})
    yield _skill("as_they_are", joined(iter(plain.by_machine.values())), AS_THEY_ARE)
    tried: dict[str, dict[float, Machines]] = {}
    for name, value in AS_THEY_ARE.items():
        tried[name] = {value: plain}
        for factor in FACTORS:
            tried[name][value * factor] = Machines(evaluate, workflows, every, {name: value * factor})
            all_of = joined(iter(tried[name][value * factor].by_machine.values()))
            yield _skill(f"{name}_{value * factor:g}", all_of, {})
    yield from _left_out(evaluate, workflows, every, plain, tried)


def _left_out(
    evaluate: Any, workflows: list[Any], every: int, plain: Machines, tried: Mapping[str, Mapping[float, Machines]]
) -> Iterator[Figure]:
    scored = []
    for left_out in sorted(plain.by_machine):
        taken = {
            name: max(values, key=lambda value: values[value].without(left_out).scored()["brier_skill"])
            for name, values in tried.items()
        }
        its = [workflow for workflow in workflows if machine(workflow.id) == left_out]
        found = Machines(evaluate, its, every, taken).by_machine[left_out]
        scored.append(found)
        if found.scored()["late"]:
            yield _skill(f"left_out_{left_out}", found, taken, plain.by_machine[left_out].scored()["brier_skill"])
    as_they_are = joined(iter(plain.by_machine.values())).scored()["brier_skill"]
    yield _skill("left_out", joined(iter(scored)), {}, as_they_are)


def _skill(name: str, found: Replayed, taken: Mapping[str, float], beside: float | None = None) -> Figure:
    words = ", ".join(f"{each} {value:g}" for each, value in taken.items())
    scores = found.scored()
    unit = f"Brier skill; AUC {scores['auc']:.3f}, pinball {scores['pinball']:.4f}; {words}".removesuffix("; ")
    return Figure(name, scores["brier_skill"], unit, "as they are" if beside is not None else "", beside)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    parser.add_argument("--every", type=int, default=EVERY, help="score every n-th run only")
    asked = parser.parse_args()
    emit("forecast_constants", figures(asked.every), asked.json)


if __name__ == "__main__":
    main()
