"""How good suggested dependencies are: `python -m tests.bench.suggest [--json] [--quick]`.

Precision and recall on generated estates with jobs at common clocks, slow nights and hosts, weekends and chains
(`tests.control.dependencies.buffered_estate`), and the CPU time per estate.
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
    "names_say_nothing": replace(ESTATE, named_alike=0.0),
    "no_coupling": replace(ESTATE, coupling=0.0),
    "rarely_late": replace(ESTATE, late_chance=0.02),
    "slow_nights": replace(ESTATE, load=0.3),
    "many_failures": replace(ESTATE, fail_chance=0.05),
    "many_other_jobs": replace(ESTATE, alone=400),
    "thirty_nights": replace(ESTATE, nights=30),
}


def figures(scale: Scale) -> Iterator[Figure]:
    seeds = scale.of(20, 4, 1)
    for kind, knobs in KINDS.items():
        right = wrong = missed = 0
        began = time.process_time()
        for seed in range(1_000, 1_000 + seeds):
            jobs, true_pairs = generate(knobs, seed)
            pairs = {(pair.upstream, pair.downstream) for pair in suggest_dependencies(jobs, (), ZONE)}
            right, wrong, missed = (
                right + len(pairs & true_pairs), wrong + len(pairs - true_pairs), missed + len(true_pairs - pairs),
            )  # fmt: skip
        spent = time.process_time() - began
        yield Figure(f"{kind}_precision", right / max(right + wrong, 1), f"of {right + wrong} suggestions")
        yield Figure(f"{kind}_recall", right / (right + missed), f"of {right + missed} buffers")
        yield Figure(f"{kind}_time", spent / seeds, "cpu-s per estate, its generation included")


def main() -> int:
    options = arguments(__doc__ or "")
    emit("suggest", figures(options.quick), options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
