"""The shared set of recorded nights, and the engine's forecast asked as that set's `evaluate.py` asks a forecaster."""

from __future__ import annotations

import gzip
import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from console.control.forecast.calibration.facts import facts
from console.control.forecast.calibration.learned import Learned, learned
from console.control.forecast.calibration.recalibrate import PRIOR, ServiceNight, learn
from console.control.forecast.calibration.tell import tell
from console.control.forecast.simulation.look import Look, Night, answer, look, night
from console.control.forecast.simulation.values import Answer, Floats, Graph, Past, Promise, Tonight, Truths

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


class Teller:
    """What is told of what is seen, and learned from what became of it, as by an engine."""

    def __init__(self, model: Learned | None) -> None:
        """`model` None: nothing was learned elsewhere."""
        self.model = model
        self._told: dict[tuple[int, str], list[float]] = {}
        self._slopes = PRIOR

    def begins(self, h: Any) -> None:
        """Learns from its own forecasts of the nights that are over by now."""
        rows = {int(number): row for row, number in enumerate(h.rid)}
        went = []
        for (number, name), looks in self._told.items():
            finishes, deadlines = h.svc.get(name, (None, None))
            if number in rows and finishes is not None and np.isfinite(finishes[rows[number]]):
                was_late = bool(finishes[rows[number]] > deadlines[rows[number]])
                went.append(ServiceNight(np.array(looks), was_late, number))
        self._slopes = learn(went)

    def __call__(self, h: Any, seen: Look, promise: Promise) -> Answer:
        told = tell(seen, promise, self.model, self._slopes)
        self._told.setdefault((h.rid_now, promise.name), []).append(told.own)
        return answer(told.look, promise)


class Engine:
    """Our forecast of one workflow, as the engine tells it. `beside`: another that tells the same looks."""

    def __init__(self, model: Learned | None, knows: Knows | None = None, beside: Teller | None = None) -> None:
        """`model` None: what an estate has that nobody trained for. `knows`: what an estate's config tells of its night
        besides."""
        self.knows: Knows = knows or (lambda past, graph, _dag: (past, graph))
        self.sink: list[Floats] | None = None
        """The facts of every look at a service, once somebody wants them."""
        self.beside: list[Answer] = []
        """What the other told, look by look."""
        self.seconds, self.calls = 0.0, 0
        """Of CPU, without the other's."""
        self._teller, self._other = Teller(model), beside
        self._number = -1
        self._night: Night | None = None

    def __call__(self, h: Any, dag: Any, state: Any, now: float, services: Any, cache: Any) -> list[tuple[float, Any]]:
        if self._other is not None and self._number != h.rid_now:
            self._other.begins(h)
        begun = time.process_time()
        promises = [Promise(name, ends, due, *_nights(*h.svc[name])) for name, ends, due in services]
        seen = look(Tonight(state.status, state.ready, state.start, state.end), now, self._tonight(h, dag))
        answers = [self._teller(h, seen, promise) for promise in promises]
        self.seconds, self.calls = self.seconds + time.process_time() - begun, self.calls + 1
        if self.sink is not None:
            self.sink.extend(facts(seen, promise) for promise in promises)
        if self._other is not None:
            self.beside.extend(self._other(h, seen, promise) for promise in promises)
        return [(told.late, told.quantiles) for told in answers]

    def _tonight(self, h: Any, dag: Any) -> Night:
        if self._night is None or self._number != h.rid_now:
            jobs = dag.jobs
            past = Past(h.dur[:, jobs], h.wait[:, jobs], h.fix[:, jobs])
            ends = sorted({int(each) for targets in dag.svc.values() for each in targets})
            known = self.knows(past, Graph(dag.par, dag.nb, names=[h.names[each] for each in jobs]), dag)
            self._night = night(*known, ends)
            self._number = h.rid_now
            self._teller.begins(h)
        return self._night


def _nights(finishes: Floats, deadlines: Floats) -> tuple[Floats, Truths]:
    """Those on which it had a deadline and was delivered; whether that was late."""
    known = np.isfinite(finishes) & np.isfinite(deadlines)
    return finishes[known], finishes[known] > deadlines[known]
