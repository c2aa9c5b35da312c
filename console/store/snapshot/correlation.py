"""Contexts of runs: the submission that a run belongs to, and its cost."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, Generic, TypeVar

from console.domain.estate import RunFacts, ServiceFacts
from console.store.db.session import Row, Session
from console.store.snapshot.interning import LayeredMap
from console.text.cleaning import clean_line

_CONTEXTS = (
    "SELECT t.run_id, t.context FROM {keys} JOIN attempt t ON t.run_id = k.a"
    " WHERE t.context <> '{}' ORDER BY t.run_id, t.number"
)
Value = TypeVar("Value")
MAX_VALUE = 80
"""Stored length of a value."""


class ContextValues(Generic[Value]):
    """Values from the contexts of some jobs' cached runs; read again only for jobs with changes."""

    def __init__(
        self, jobs: Set[int] = frozenset(), read: Callable[[Iterable[Row]], dict[int, Value]] = lambda rows: {}
    ) -> None:
        """`read`: rows of run id and context, in the order of a run's attempts -> value by run."""
        self.by_run: LayeredMap[Value] = LayeredMap()
        self._by_job: dict[int, dict[int, Value]] = {}
        self._jobs = jobs
        self._read = read

    def refresh(self, session: Session, runs: Mapping[int, Iterable[RunFacts]], changed: Set[int]) -> None:
        """`runs`: by job; `changed`: jobs whose runs changed since the last refresh."""
        jobs = self._jobs & changed if self._by_job else self._jobs
        if not jobs:
            return
        job_of = {run.id: job_id for job_id in jobs for run in runs.get(job_id, ())}
        values: dict[int, dict[int, Value]] = {job_id: {} for job_id in jobs}
        for run_id, value in self._read(session.by_keys(_CONTEXTS, sorted(job_of))).items():
            values[job_of[run_id]][run_id] = value
        ended = [run_id for job_id in jobs for run_id in self._by_job.get(job_id, ())]
        self._by_job |= values
        new = {run_id: value for by_run in values.values() for run_id, value in by_run.items()}
        self.by_run = self.by_run.changed(new, [run_id for run_id in ended if run_id not in new])


def correlation_keys(services: Iterable[ServiceFacts]) -> tuple[str, ...]:
    return tuple(sorted({service.promise.deadline.key for service in services} - {""}))


def correlation_values(names: tuple[str, ...], contexts: Iterable[Row]) -> dict[int, dict[str, str]]:
    """Run id -> key -> value, of runs with any of the keys in their context. The first attempt with a value counts: a
    later assertion by a person has no context."""
    values: dict[int, dict[str, str]] = {}
    for row in contexts:
        context = _as_table(row.context)
        tables = [context, *filter(None, map(_as_table, context.values()))]
        for name in names:
            value = next((table[name] for table in tables if name in table), None)
            if isinstance(value, str | int | float) and str(value).strip():
                values.setdefault(row.run_id, {}).setdefault(name, clean_line(str(value))[:MAX_VALUE])
    return values


def _as_table(value: Any) -> Mapping[str, Any]:
    """A table, or JSON text of one, as some sources forward their input."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):  # outside text
            return {}
    return value if isinstance(value, dict) else {}


def run_costs(contexts: Iterable[Row]) -> dict[int, float]:
    """Run id -> total cost of its attempts, if its source reports it."""
    costs: dict[int, float] = {}
    for row in contexts:
        cost = _as_table(row.context).get("cost")
        if isinstance(cost, int | float) and not isinstance(cost, bool) and abs(cost) <= sys.float_info.max:
            costs[row.run_id] = costs.get(row.run_id, 0.0) + cost
    return costs
