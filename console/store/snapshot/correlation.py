"""Contexts of runs: the submission a run belongs to, and what it cost."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any, Generic, TypeVar

from console.domain.estate import RunFacts, ServiceFacts
from console.store.db.session import Session, Values
from console.text.cleaning import clean_line

_CONTEXTS = (
    "SELECT t.run_id, t.context FROM {keys} JOIN attempt t ON t.run_id = k.a"
    " WHERE t.context <> '{}' ORDER BY t.run_id, t.number"
)
Value = TypeVar("Value")
MAX_VALUE = 80
"""Characters of a value that are kept."""


class ContextValues(Generic[Value]):
    """What the contexts of the remembered runs of some jobs say; read again only of jobs with something new."""

    def __init__(
        self, jobs: Set[int] = frozenset(), read: Callable[[Iterable[Values]], dict[int, Value]] = lambda rows: {}
    ) -> None:
        """`read`: rows of run id and context, in the order of a run's attempts -> what each run says."""
        self.by_run: dict[int, Value] = {}
        """Never changed once it is given away: another one takes its place."""
        self._by_job: dict[int, dict[int, Value]] = {}
        self._jobs = jobs
        self._read = read

    def follow(self, session: Session, runs: Mapping[int, Iterable[RunFacts]], changed: Set[int]) -> None:
        """`runs`: of each job; `changed`: jobs whose runs are others than at the look before."""
        ask = self._jobs & changed if self._by_job else self._jobs
        if not ask:
            return
        job_of = {run.id: job_id for job_id in ask for run in runs.get(job_id, ())}
        found: dict[int, dict[int, Value]] = {job_id: {} for job_id in ask}
        for run_id, said in self._read(session.by_keys(_CONTEXTS, sorted(job_of))).items():
            found[job_of[run_id]][run_id] = said
        self._by_job |= found
        self.by_run = {run_id: said for told in self._by_job.values() for run_id, said in told.items()}


def correlation_keys(services: Iterable[ServiceFacts]) -> tuple[str, ...]:
    """The names of their correlation keys; empty where none is promised end to end."""
    return tuple(sorted({one.promise.deadline.key for one in services} - {""}))


def correlation_values(names: tuple[str, ...], contexts: Iterable[Values]) -> dict[int, dict[str, str]]:
    """Run id -> key -> value, of the runs whose context has any of the keys. The first attempt that says so speaks for
    its run: what a person asserts of it later has no context."""
    found: dict[int, dict[str, str]] = {}
    for run_id, context in contexts:
        said = dict(_values(context, names))
        if said:
            found[run_id] = {**said, **found.get(run_id, {})}
    return found


def _values(context: str, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    told = _as_table(context)
    tables = [told, *(table for value in told.values() if (table := _as_table(value)))]
    for name in names:
        value = next((table[name] for table in tables if name in table), None)
        if isinstance(value, str | int | float) and str(value).strip():
            yield name, clean_line(str(value))[:MAX_VALUE]


def _as_table(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):  # outside text: nested deeper than anybody means
            return {}
    return value if isinstance(value, dict) else {}


def run_costs(contexts: Iterable[Values]) -> dict[int, float]:
    """Run id -> what its attempts have cost together, where their source tells it."""
    found: dict[int, float] = {}
    for run_id, context in contexts:
        cost = _as_table(context).get("cost")
        if isinstance(cost, int | float) and not isinstance(cost, bool) and abs(cost) <= sys.float_info.max:
            found[run_id] = found.get(run_id, 0.0) + cost
    return found
