"""The shared set of recorded nights, and the engine's forecast asked as that set's `evaluate.py` asks a forecaster."""

from __future__ import annotations

import gzip
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from console.control.forecast.facts import facts
from console.control.forecast.learned import Learned, learned
from console.control.forecast.look import Night, look, night
from console.control.forecast.recalibrate import Told, learn, recalibrated
from console.control.forecast.tell import tell
from console.control.forecast.values import Answer, Floats, Graph, Past, Promise, Tonight

ROOT = Path(__file__).parents[2]
FOLDS = Path(__file__).parent / "late_risk_folds.json.gz"
SEMI_SYNTHETIC_FOLDS = 5


def place() -> Path | None:
    """Where the set is, beside the repository or above it; None where it is not."""
    found = (folder / "shared" / "late-risk" for folder in ROOT.parents)
    return next((each for each in found if (each / "evaluate.py").is_file()), None)


def module(folder: Path, name: str) -> Any:
    """`evaluate` or `baselines` of that set."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module(name)


def machine(workflow: str) -> str:
    """The machine that a workflow ran on: what is learned is scored on machines that it has not seen. The generated
    ones have none and are left out in five groups, by name."""
    family, _, rest = workflow.partition(".")
    if family == "sem":
        return f"sem{sum(rest.encode()) % SEMI_SYNTHETIC_FOLDS}"
    return "bitcoin" if family == "ci" else rest.split(".")[0]


def unseen() -> dict[str, Learned]:
    """By machine: what is learned from all the others."""
    with gzip.open(FOLDS, "rt", encoding="utf-8") as text:
        return {name: learned(figures) for name, figures in json.load(text).items()}


Knows = Callable[[Past, Graph, Any], tuple[Past, Graph]]


class Engine:
    """Our forecast of one workflow. `model` None: what an estate has that nobody trained for."""

    def __init__(self, model: Learned | None, knows: Knows | None = None) -> None:
        """`knows`: what an estate's config tells of its night besides."""
        self.model = model
        self.knows: Knows = knows or (lambda past, graph, _dag: (past, graph))
        self.sink: list[Floats] | None = None
        self._number = -1
        self._night: Night | None = None
        self._told: dict[tuple[int, str], list[tuple[float, float]]] = {}
        self._slopes = learn([])

    def __call__(self, h: Any, dag: Any, state: Any, now: float, services: Any, cache: Any) -> list[tuple[float, Any]]:
        promises = [Promise(name, ends, deadline, *h.svc[name]) for name, ends, deadline in services]
        seen = look(Tonight(state.status, state.ready, state.start, state.end), now, self._tonight(h, dag))
        answers = tell(seen, promises, self.model)
        if self.sink is not None:
            self.sink.extend(facts(seen, promise) for promise in promises)
        if self.model is None:
            pairs = zip(promises, answers, strict=True)
            return [(self._recalibrated(h, now, each, told), told.quantiles) for each, told in pairs]
        return [(told.late, told.quantiles) for told in answers]

    def _tonight(self, h: Any, dag: Any) -> Night:
        if self._night is None or self._number != h.rid_now:
            jobs = dag.jobs
            past = Past(h.dur[:, jobs], h.wait[:, jobs], h.fix[:, jobs])
            ends = sorted({int(each) for targets in dag.svc.values() for each in targets})
            known = self.knows(past, Graph(dag.par, dag.nb, names=[h.names[each] for each in jobs]), dag)
            self._night = night(*known, ends)
            self._number = h.rid_now
            if self.model is None:
                self._slopes = learn(self._went(h))
        return self._night

    def _recalibrated(self, h: Any, now: float, promise: Promise, told: Answer) -> float:
        share = now / promise.deadline
        self._told.setdefault((h.rid_now, promise.name), []).append((told.late, share))
        return recalibrated(told.late, share, self._slopes)

    def _went(self, h: Any) -> list[Told]:
        """Own forecasts of the nights that are over by now."""
        rows = {int(number): row for row, number in enumerate(h.rid)}
        went = []
        for (number, name), looks in self._told.items():
            finishes, deadlines = h.svc.get(name, (None, None))
            if number in rows and finishes is not None and np.isfinite(finishes[rows[number]]):
                told, shares = (np.array(each) for each in zip(*looks, strict=True))
                went.append(Told(told, shares, bool(finishes[rows[number]] > deadlines[rows[number]])))
        return went
