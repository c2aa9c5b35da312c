"""What each part of the forecast brings: `python -m tests.bench.forecast_parts [--json] [--quick] [--only NAME]`.

The engine over the recorded nights of `../shared/late-risk`, whole and with one part taken out at a time:
Brier skill over all and for each family. The table in `docs/forecast.md` is from here.
"""

from __future__ import annotations

import os

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

import argparse  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from contextlib import ExitStack, contextmanager  # noqa: E402
from typing import Any  # noqa: E402
from unittest.mock import patch  # noqa: E402

import numpy as np  # noqa: E402

from console.forecast.calibration import PRIOR  # noqa: E402
from console.forecast.simulation import draws, past_views, simulator  # noqa: E402
from tests.bench import late_risk  # noqa: E402
from tests.bench.figures import Figure, emit  # noqa: E402
from tests.bench.forecast import Replayed  # noqa: E402

QUICK_EVERY = 16
NEVER = 1e9
LONG = 25.0
WRITE = past_views._write


def _apart(times: Any, message: Any, out: Any) -> Any:
    """The columns of each job in an order of its own: jobs of a night no longer stay together."""
    shift = WRITE(times, message, out)
    out[...] = np.random.default_rng(1).permuted(out, axis=1)
    return shift


def _only(which: int) -> Any:
    whole = past_views.build_views
    return patch.object(simulator, "build_views", lambda *of: whole(*of)[which : which + 1])


PARTS: dict[str, list[Any]] = {
    "whole": [],
    "followed": [_only(0)],
    "recent": [_only(1)],
    "recency": [
        patch.object(past_views.recent, "__defaults__", (None, LONG)),
        patch.object(past_views.followed, "__defaults__", (None, LONG, LONG)),
    ],
    "others": [
        patch.object(past_views, "peer_spread", lambda *_own: past_views.PeerSpread(past_views.UNKNOWN_SPREAD, 0))
    ],
    "run_factor": [patch.object(past_views.infer_run_factor, "__defaults__", (NEVER,))],
    "overtaken_says": [patch.object(past_views, "OVERTAKEN_SAYS", 0.0)],
    "jobs_together": [patch.object(past_views, "_write", _apart)],
    "tail_grows": [patch.object(draws, "GROWS", 0.0)],
    "short_tail": [patch.object(draws, "TAIL", 10 * draws.TAIL)],
    "wide_blur": [patch.object(simulator, "DEADLINE_BLUR", 0.05)],
    "failures": [patch.object(simulator, "shares_failing", lambda repairs, _runs: np.zeros(repairs.shape[1]))],
    "recalibration": [patch.object(late_risk, "fit_slopes", lambda _past: PRIOR)],
}
"""What is taken out, and how."""


@contextmanager
def without(part: str) -> Iterator[None]:
    with ExitStack() as stack:
        for item in PARTS[part]:
            stack.enter_context(item)
        yield


def figures(every: int, only: list[str]) -> Iterator[Figure]:
    folder = late_risk.place()
    if folder is None:
        raise SystemExit("the recorded nights are not here: put the set at ../shared/late-risk beside this repository")
    evaluate = late_risk.module(folder, "evaluate")
    workflows = evaluate.load(str(folder))
    for part in only:
        night = Replayed(evaluate)
        with without(part):
            for workflow in workflows:
                night.add(workflow, late_risk.Engine(), every)
        for family in ("", "rt", "rtq", "ci", "sem"):
            scores = night.scored(family)
            yield Figure(f"{part}_{family or 'all'}", scores["brier_skill"], f"Brier skill, AUC {scores['auc']:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help=f"every {QUICK_EVERY}th run, the first part only")
    parser.add_argument("--every", type=int, default=8, help="score every n-th run only")
    parser.add_argument("--only", action="append", choices=sorted(PARTS), help="only these parts")
    arguments = parser.parse_args()
    every, parts = (
        (QUICK_EVERY, list(PARTS)[:1]) if arguments.quick else (arguments.every, arguments.only or list(PARTS))
    )
    emit("forecast_parts", figures(every, parts), arguments.json)


if __name__ == "__main__":
    main()
