"""What contexts of runs say for decisions: which submission a run belongs to, and what it has cost."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from console.clean import clean_line
from console.model.values import ServiceFacts
from console.store.wire import Wire

_CONTEXTS = (
    "SELECT r.id, t.context FROM {keys} JOIN run r ON r.job_id = k.a AND r.sort_us >= ? JOIN attempt t"
    " ON t.run_id = r.id WHERE t.context <> '{}' ORDER BY r.id, t.number"
)
_COSTS = (
    "SELECT r.id, t.context FROM job j JOIN run r ON r.job_id = j.id AND r.sort_us >= ? JOIN attempt t"
    " ON t.run_id = r.id WHERE j.budget_cost IS NOT NULL AND t.context <> '{}'"
)
LONGEST = 80
"""Characters of a value that are kept."""


def keys_of(services: Iterable[ServiceFacts]) -> tuple[str, ...]:
    """The names of their correlation keys; empty where none is promised end to end."""
    return tuple(sorted({one.promise.deadline.key for one in services} - {""}))


def correlated(lines: Wire, names: tuple[str, ...], job_ids: Iterable[int], since_us: int) -> dict[int, dict[str, str]]:
    """Run id -> key -> value, of the runs of these jobs whose context has any of the keys. The first attempt that says
    so speaks for its run: what a person asserts of it later has no context."""
    found: dict[int, dict[str, str]] = {}
    for run_id, context in lines.by_keys(_CONTEXTS, "i", sorted(job_ids), (since_us,)) if names else []:
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
            yield name, clean_line(str(value))[:LONGEST]


def _as_table(value: Any) -> Mapping[str, Any]:
    """What a context holds: a table, or JSON text of one, as some sources hand on their input."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def costs(lines: Wire, since_us: int) -> dict[int, float]:
    """Run id -> what its attempts have cost together, of jobs with a budget for it and where their source tells it."""
    found: dict[int, float] = {}
    for run_id, context in lines.rows(_COSTS, (since_us,)):
        cost = _as_table(context).get("cost")
        if isinstance(cost, int | float) and not isinstance(cost, bool) and math.isfinite(cost):
            found[run_id] = found.get(run_id, 0.0) + cost
    return found
