"""How good suggested dependencies are: `python -m tests.bench.suggest [--json] [--quick]`.

Precision, recall and the share of false ones among the pairs of q <= 10 %, on generated estates
(`tests.control.dependencies.buffered_estate`) of 60 and of 30 nights, and the CPU time per estate. All suggested pairs
have a false discovery rate of 5 %, so the share is one minus the precision.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from console.control.dependencies.time_buffers import suggest_dependencies
from tests.bench.figures import Figure, Scale, arguments, emit
from tests.control.dependencies.buffered_estate import ZONE, BufferedEstate, generate

ESTATE = BufferedEstate()
KINDS = {
    "as_usual": ESTATE,
    "common_clocks": replace(ESTATE, clock_minutes=60),
    "loaded_nights": replace(ESTATE, loaded=(0.12, 1.0)),
    "loaded_nights_that_harm": replace(ESTATE, loaded=(0.12, 4.0)),
    "loaded_targets_that_harm": replace(ESTATE, targets=4, loaded=(0.08, 8.0)),
    "mondays": replace(ESTATE, monday=1.5),
    "neighbors_never_harmed": replace(ESTATE, near=0.8, alone=60),
    "flaky": replace(ESTATE, flaky=0.3),
    "chains": replace(ESTATE, steps=4, lines=6),
    "hourly": replace(ESTATE, hourly=0.4),
    "changed_upstream": replace(ESTATE, changed=0.6),
    "weekdays": replace(ESTATE, weekdays=0.6),
    "many_other_jobs": replace(ESTATE, alone=400),
    "rarely_harmed": replace(ESTATE, late=(0.05, 0.12), harm=(0.5, 0.8), fail=(0.02, 0.1)),
    "all_together": replace(
        ESTATE, lines=10, steps=3, near=0.4, alone=60, flaky=0.1, loaded=(0.07, 2.0), monday=1.2, hourly=0.15,
        changed=0.2, weekdays=0.3,
    ),
}  # fmt: skip


def figures(scale: Scale) -> Iterator[Figure]:
    for nights in (60, 30):
        totals = [0, 0, 0]
        for kind, usual in KINDS.items():
            knobs = replace(usual, lines=2, alone=2) if scale is Scale.SMOKE else usual
            began, counts = time.process_time(), [0, 0, 0]
            seeds = scale.of(20, 4, 1)
            for seed in range(1_000, 1_000 + seeds):
                jobs, true_pairs = generate(replace(knobs, nights=nights), seed)
                pairs = {(pair.upstream, pair.downstream) for pair in suggest_dependencies(jobs, (), ZONE)}
                outcome = len(pairs & true_pairs), len(pairs - true_pairs), len(true_pairs - pairs)
                counts = [count + more for count, more in zip(counts, outcome, strict=True)]
            spent = (time.process_time() - began) / seeds
            totals = [total + count for total, count in zip(totals, counts, strict=True)]
            yield from _figures(f"{kind}_{nights}", *counts)
            yield Figure(f"{kind}_{nights}_time", spent, "cpu-s per estate, its generation included")
        yield from _figures(f"all_{nights}", *totals)


def _figures(name: str, right: int, wrong: int, missed: int) -> Iterator[Figure]:
    found = right + wrong
    yield Figure(f"{name}_precision", right / max(found, 1), f"of {found} suggestions")
    yield Figure(f"{name}_recall", right / max(right + missed, 1), f"of {right + missed} buffers")
    yield Figure(f"{name}_false", wrong / max(found, 1), "of the pairs of q <= 10 %")


def main() -> int:
    options = arguments(__doc__ or "")
    emit("suggest", figures(options.quick), options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
