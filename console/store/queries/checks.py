"""Data checks and their results."""

from __future__ import annotations

import json
from datetime import date, timedelta

from console.domain.check import Check, CheckResultView, CheckView
from console.store.errors import NotFound
from console.store.queries.base import ReadStore, to_view
from console.text.suggestions import suggest_names

_SELECT_RESULTS = (
    "SELECT bd, state, words, since_us, at_us, looks, measured FROM check_result WHERE name = ?{where}"
    " ORDER BY at_us DESC, id DESC LIMIT ?"
)
_SERVICES = (
    "SELECT s.name, s.ready, d.awaits FROM service s LEFT JOIN service_day d ON d.service_id = s.id AND d.bd >= ?"
    " AND d.awaits <> '[]' WHERE NOT s.removed AND s.ready <> '[]' ORDER BY s.name"
)
_EDGES = (
    "SELECT d.check_name, j.name FROM dependency d JOIN job j ON j.id = d.downstream_id WHERE d.condition = 'ready'"
    " ORDER BY j.name"
)
DAYS_BACK = timedelta(days=6)
"""Business dates whose services may wait still."""


class CheckQueries:
    """Data checks, as configured and as last measured."""

    def __init__(self, store: ReadStore) -> None:
        self.store = store
        self.link = store.link

    def list_checks(self, name: str | None = None, business_date: str | None = None) -> list[CheckView]:
        """Every check of config in its order, or the one of that name; as it came out last, or last for that date.
        Raises NotFound with near misses."""
        known = self.store.declared().checks
        if name is not None and name not in {one.name for one in known}:
            raise NotFound(name, suggest_names(name, [one.name for one in known]), "headway datacheck")
        waits, awaited = self._waiting(self.store.now().date() - DAYS_BACK)
        wanted = [one for one in known if name in (None, one.name)]
        return [self._check_view(one, waits.get(one.name, ()), one.name in awaited, business_date) for one in wanted]

    def check_results(self, name: str, business_date: str | None = None, limit: int = 20) -> list[CheckResultView]:
        """What the looks at a check came to, newest first; of one business date, or of all."""
        query = _SELECT_RESULTS.format(where=" AND bd = ?" if business_date else "")
        rows = self.link.rows(query, (name, *((business_date,) if business_date else ()), limit))
        return [to_view(CheckResultView, row) for row in rows]

    def _waiting(self, since: date) -> tuple[dict[str, tuple[str, ...]], set[str]]:
        """Who waits for which check by config, and which checks somebody waits for now."""
        waits: dict[str, dict[str, None]] = {}
        awaited: set[str] = set()
        for service, ready, awaits in self.link.rows(_SERVICES, (since.isoformat(),)):
            awaited.update(json.loads(awaits or "[]"))
            for name in json.loads(ready):
                waits.setdefault(name, {})[service] = None
        for name, job in self.link.rows(_EDGES):
            waits.setdefault(name, {})[job] = None
        return {name: tuple(found) for name, found in waits.items()}, awaited

    def _check_view(self, one: Check, waits: tuple[str, ...], awaited: bool, business_date: str | None) -> CheckView:
        last = next(iter(self.check_results(one.name, business_date, 1)), None)
        again = last.at + one.every if last is not None and (awaited or not waits) else None
        return CheckView(
            one.name, one.kind, one.about, one.severity.value, one.every.total_seconds(),
            one.timeout.total_seconds(), one.zone, waits, awaited,
            last, again,
        )  # fmt: skip
