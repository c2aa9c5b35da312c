"""Data checks and their results."""

from __future__ import annotations

import json
from datetime import timedelta

from console.domain.check import Check, CheckResultView, CheckView
from console.store.errors import NotFound
from console.store.queries.base import ContextQueries
from console.store.row_values import from_row
from console.text.suggestions import suggest_names

_SELECT_RESULTS = (
    "SELECT business_date, state, text, since_us, at_us, times, measured FROM check_result WHERE name = ?{where}"
    " ORDER BY at_us DESC, id DESC LIMIT ?"
)
_SERVICES = (
    "SELECT s.name, s.ready, d.awaits FROM service s LEFT JOIN service_day d ON d.service_id = s.id AND d.business_date"
    " >= ? AND d.awaits <> '[]' WHERE NOT s.removed AND s.ready <> '[]' ORDER BY s.name"
)
_EDGES = (
    "SELECT d.check_name, j.name FROM dependency d JOIN job j ON j.id = d.downstream_id WHERE d.condition = 'ready'"
    " ORDER BY j.name"
)
DAYS_BACK = timedelta(days=6)
"""Business dates whose services may still wait."""


class CheckQueries(ContextQueries):
    def list_checks(self, name: str | None = None, business_date: str | None = None) -> list[CheckView]:
        """The configured checks in their order, or the one of that name, with their last result, or the last of that
        date. Raises NotFound with near misses."""
        checks = self.store.declared().checks
        names = [check.name for check in checks]
        if name is not None and name not in names:
            raise NotFound(name, suggest_names(name, names), "headway datacheck")
        waits: dict[str, dict[str, None]] = {}
        awaited: set[str] = set()
        for row in self.link.rows(_SERVICES, ((self.store.now().date() - DAYS_BACK).isoformat(),)):
            awaited.update(json.loads(row.awaits or "[]"))
            for ready in json.loads(row.ready):
                waits.setdefault(ready, {})[row.name] = None
        for row in self.link.rows(_EDGES):
            waits.setdefault(row.check_name, {})[row.name] = None
        return [
            self._check_view(check, tuple(waits.get(check.name, ())), check.name in awaited, business_date)
            for check in checks
            if name in (None, check.name)
        ]

    def check_results(self, name: str, business_date: str | None = None, limit: int = 20) -> list[CheckResultView]:
        """Results of a check, newest first; of one business date, or of all."""
        query = _SELECT_RESULTS.format(where=" AND business_date = ?" if business_date else "")
        rows = self.link.rows(query, (name, *((business_date,) if business_date else ()), limit))
        return [from_row(CheckResultView, row) for row in rows]

    def _check_view(self, check: Check, waits: tuple[str, ...], awaited: bool, business_date: str | None) -> CheckView:
        last = next(iter(self.check_results(check.name, business_date, 1)), None)
        due = last.at + check.every if last is not None and (awaited or not waits) else None
        return CheckView(
            check.name, check.kind, check.about, check.every.total_seconds(),
            check.timeout.total_seconds(), check.zone, waits, awaited,
            last, due,
        )  # fmt: skip
