"""The shared set of recorded nights, and the engine's forecast, called as that set's `evaluate.py` calls a
forecaster."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from console.domain.forecast import PastForecasts
from console.forecast.calibration import PRIOR, fit_slopes, publish_odds
from console.forecast.simulation.simulator import (
    SimulatedNight,
    SimulationRun,
    p_late,
    prepare_night,
    quantiles,
    run_simulation,
)
from console.forecast.simulation.values import NightHistory, ServicePromise, SimulationGraph, Tonight

ROOT = Path(__file__).parents[2]
SEMI_SYNTHETIC_FOLDS = 5
LEVELS = np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])
"""The quantiles that the set requests."""


def place() -> Path | None:
    """Where the set is, beside the repository or above it; None where it is not."""
    paths = (folder / "shared" / "late-risk" for folder in ROOT.parents)
    return next((path for path in paths if (path / "evaluate.py").is_file()), None)


def module(folder: Path, name: str) -> Any:
    """`evaluate` or `baselines` of that set."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module(name)


def machine(workflow: str) -> str:
    """The machine that a workflow ran on. The generated ones have none and are left out in five groups, by name."""
    family, _, rest = workflow.partition(".")
    if family == "sem":
        return f"sem{sum(rest.encode()) % SEMI_SYNTHETIC_FOLDS}"
    return "bitcoin" if family == "ci" else rest.split(".")[0]


Knows = Callable[[NightHistory, SimulationGraph, Any], tuple[NightHistory, SimulationGraph]]


class Teller:
    """Publishes P(late) and recalibrates it by the outcomes, as the engine does."""

    def __init__(self) -> None:
        self._published: dict[tuple[int, str], list[float]] = {}
        self._slopes = PRIOR

    def begins(self, h: Any) -> None:
        """Learns from its own forecasts of the nights that are over by now."""
        rows = {int(number): row for row, number in enumerate(h.rid)}
        went = []
        for (number, name), evaluations in self._published.items():
            finishes, deadlines = h.svc.get(name, (None, None))
            if number in rows and finishes is not None and np.isfinite(finishes[rows[number]]):
                was_late = bool(finishes[rows[number]] > deadlines[rows[number]])
                went.append(PastForecasts(evaluations, was_late, number))
        self._slopes = fit_slopes(went)

    def __call__(self, h: Any, seen: SimulationRun, promise: ServicePromise) -> tuple[float, Any]:
        """P(late), and the finish at LEVELS."""
        odds = publish_odds(seen, promise, self._slopes)
        self._published.setdefault((h.rid_now, promise.name), []).append(odds.own)
        outcome = odds.sim.outcome(promise)
        return p_late(odds.sim, promise), quantiles(outcome.finish, outcome.weights, LEVELS)


class Engine:
    """Our forecast of one workflow, as the engine publishes it."""

    def __init__(self, knows: Knows | None = None) -> None:
        """`knows`: what an estate's config adds to its night."""
        self.knows: Knows = knows or (lambda past, graph, _dag: (past, graph))
        self.seconds, self.calls = 0.0, 0
        """Of CPU."""
        self._teller = Teller()
        self._number = -1
        self._night: SimulatedNight | None = None

    def __call__(self, h: Any, dag: Any, state: Any, now: float, services: Any, cache: Any) -> list[tuple[float, Any]]:
        begun = time.process_time()
        promises = [ServicePromise(name, ends, due) for name, ends, due in services]
        seen = run_simulation(Tonight(state.status, state.ready, state.start, state.end), now, self._tonight(h, dag))
        answers = [self._teller(h, seen, promise) for promise in promises]
        self.seconds, self.calls = self.seconds + time.process_time() - begun, self.calls + 1
        return answers

    def _tonight(self, h: Any, dag: Any) -> SimulatedNight:
        if self._night is None or self._number != h.rid_now:
            jobs = dag.jobs
            past = NightHistory(h.dur[:, jobs], h.wait[:, jobs], h.fix[:, jobs])
            ends = sorted({int(target) for targets in dag.svc.values() for target in targets})
            known = self.knows(past, SimulationGraph(dag.par, dag.nb, names=[h.names[job] for job in jobs]), dag)
            self._night = prepare_night(*known, ends)
            self._number = h.rid_now
            self._teller.begins(h)
        return self._night
