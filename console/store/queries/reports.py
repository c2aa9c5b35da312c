"""Monthly figures of services, systems and pools, from runs, their daily figures, incidents and drift."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from statistics import fmean, median
from typing import Any, NamedTuple

from console.domain.ids import instant, micros
from console.domain.report import MonthFigures, PoolFigures
from console.domain.service import Timeliness
from console.store.db.session import Row
from console.store.errors import NotFound
from console.store.queries.base import ContextQueries, ReadStore
from console.store.queries.jobs import OPEN_STATES_SQL
from console.store.queries.services import MemberQueries
from console.text.suggestions import suggest_names
from console.timing.maintenance import matches_any

# ruff: noqa: S608  (only our own names; every value is bound)
_SERVICES = "SELECT id, name, title, terminals FROM service WHERE NOT removed ORDER BY tier, name"
_JOBS = "SELECT id, system_id, name FROM job WHERE parent_id IS NULL"
_DAYS = (
    "SELECT substr(business_date, 1, 7) AS month, deadline_us, delivered_us, timeliness FROM service_day"
    " WHERE service_id = ? AND business_date >= ? AND business_date < ? AND timeliness <> 'no_promise'"
)
_INCIDENTS = (
    "SELECT i.id, i.opened_us, i.failed_since_us, i.closed_us, (SELECT MIN(a.made_us) FROM acknowledgement a"
    " WHERE a.incident_id = i.id) AS acknowledged_us FROM incident i WHERE i.merged_into IS NULL AND i.opened_us >= ?"
    " AND i.opened_us < ? AND {of}"
)
_OF_SERVICE = "EXISTS (SELECT 1 FROM incident_service s WHERE s.incident_id = i.id AND s.service_id = ?)"
_OF_SYSTEM = (
    "(EXISTS (SELECT 1 FROM job j WHERE j.id = i.root_job_id AND j.system_id = ?)"
    " OR EXISTS (SELECT 1 FROM target t WHERE t.id = i.root_target_id AND t.system_id = ?))"
)
_RUNS = (
    "SELECT substr(r.business_date, 1, 7) AS month, COUNT(*) AS runs, SUM(CASE WHEN r.state = 'succeeded' THEN 1"
    " ELSE 0 END) AS succeeded, SUM(CASE WHEN r.state = 'missed' THEN 1 ELSE 0 END) AS missed FROM {keys}"
    " JOIN run r ON r.job_id = k.a WHERE r.sort_us >= ? AND r.business_date >= ? AND r.business_date < ?"
    f" AND r.state NOT IN ({OPEN_STATES_SQL}, 'skipped') AND (r.attempts > 0 OR r.state = 'missed') AND NOT EXISTS"
    " (SELECT 1 FROM job_day d WHERE d.job_id = r.job_id AND d.business_date = r.business_date) GROUP BY 1"
)
_PRUNED = (
    "SELECT substr(d.business_date, 1, 7) AS month, SUM(d.runs) AS runs, SUM(d.succeeded) AS succeeded, SUM(d.missed)"
    " AS missed FROM {keys} JOIN job_day d ON d.job_id = k.a WHERE d.business_date >= ? AND d.business_date < ?"
    " GROUP BY 1"
)
_CHANGES = (
    "SELECT DISTINCT d.job_id, d.seen_us, (SELECT r.state FROM run r WHERE r.job_id = d.job_id AND r.sort_us >"
    " d.seen_us AND r.state IN ('succeeded', 'failed') ORDER BY r.sort_us LIMIT 1) AS state FROM {keys} JOIN drift d"
    " ON d.job_id = k.a WHERE d.what IN ('schedule', 'definition') AND d.seen_us >= ? AND d.seen_us < ?"
)
_COSTS = (
    "SELECT a.started_us, a.context FROM {keys} JOIN attempt a ON a.job_id = k.a WHERE a.started_us >= ?"
    " AND a.started_us < ? AND a.context LIKE ?"
)
_BUSY = (
    "SELECT SUM(r.ended_us - r.started_us) AS busy_us FROM {keys} JOIN run r ON r.job_id = k.a WHERE r.sort_us >= ?"
    " AND r.sort_us < ? AND r.ended_us > r.started_us"
)
_EARLIER = timedelta(days=2)
"""A run's instant may lie this long before its business date."""


class _Subject(NamedTuple):
    kind: str
    id: int
    name: str
    title: str
    jobs: Sequence[int]


class ReportQueries(ContextQueries):
    def __init__(self, store: ReadStore, members: MemberQueries) -> None:
        super().__init__(store)
        self.members = members

    def months(self, months: Sequence[str], name: str = "") -> list[MonthFigures]:
        """Each service and system, or the one with this name, in each month: services by tier, then systems. Raises
        NotFound with similar names."""
        subjects = self._subjects()
        if name and name not in {subject.name for subject in subjects}:
            raise NotFound(name, suggest_names(name, [subject.name for subject in subjects]), "headway report")
        return [
            figures for subject in subjects if name in ("", subject.name) for figures in self._figures(subject, months)
        ]

    def pools(self, month: str) -> list[PoolFigures]:
        """The pools of the config."""
        first, until = _span(month)
        seconds = (min(until, max(first, self.store.now())) - first).total_seconds()
        jobs = self.link.rows(_JOBS) if self.store.declared().pools else []
        claimed, pools = set[int](), []
        for pool in self.store.declared().pools:
            ids = [job.id for job in jobs if job.id not in claimed and matches_any(pool.jobs, job.name)]
            claimed.update(ids)
            rows = self.link.by_keys(_BUSY, ids, (micros(first), micros(until)))
            busy_s = float((rows[0].busy_us if rows else None) or 0) / 1_000_000
            pools.append(PoolFigures(pool.name, month, pool.slots, busy_s, seconds))
        return pools

    def _subjects(self) -> list[_Subject]:
        services = self.link.rows(_SERVICES)
        needed = self.members.upstream_of_each({row.name: json.loads(row.terminals) for row in services})
        of_system: dict[int, list[int]] = defaultdict(list)
        for job in self.link.rows(_JOBS):
            of_system[job.system_id].append(job.id)
        subjects = [
            _Subject("service", row.id, row.name, row.title or row.name, sorted(needed[row.name])) for row in services
        ]
        systems = self.link.rows("SELECT id, name FROM system ORDER BY name")
        return subjects + [
            _Subject("system", row.id, row.name, row.name, of_system[row.id]) for row in systems if of_system[row.id]
        ]

    def _figures(self, subject: _Subject, months: Sequence[str]) -> Iterable[MonthFigures]:
        first, until = _span(months[0])[0], _span(months[-1])[1]
        dates, instants = (f"{first:%Y-%m-%d}", f"{until:%Y-%m-%d}"), (micros(first), micros(until))
        days = self._days(subject, dates)
        incidents = _by_month(self._incidents(subject, instants), "opened_us")
        counts = Counter[tuple[str, str]]()
        runs = self.link.by_keys(_RUNS, subject.jobs, (micros(first - _EARLIER), *dates))
        for row in [*runs, *self.link.by_keys(_PRUNED, subject.jobs, dates)]:
            counts[row.month, "runs"] += int(row.runs)
            counts[row.month, "succeeded"] += int(row.succeeded)
            counts[row.month, "missed"] += int(row.missed)
        for row in runs:  # of these, missed ones are in the number of runs
            counts[row.month, "runs"] -= int(row.missed)
        changes = _by_month(self.link.by_keys(_CHANGES, subject.jobs, instants), "seen_us")
        costs = _by_month(self.link.by_keys(_COSTS, subject.jobs, (*instants, '%"cost"%')), "started_us")
        for month in months:
            slacks = [row.deadline_us - row.delivered_us for row in days[month] if row.delivered_us is not None]
            known = [cost for row in costs[month] if (cost := _cost(row)) is not None]
            states = [row.state for row in changes[month] if row.state is not None]
            yield MonthFigures(
                kind=subject.kind,
                name=subject.name,
                title=subject.title,
                month=month,
                in_time=sum(
                    row.delivered_us is not None and row.delivered_us <= row.deadline_us for row in days[month]
                ),
                judged=len(days[month]),
                slack_s=median(slacks) / 1_000_000 if slacks else None,
                incidents=len(incidents[month]),
                acknowledge_s=_mean_s(
                    row.acknowledged_us - row.opened_us for row in incidents[month] if row.acknowledged_us is not None
                ),
                recover_s=_mean_s(
                    row.closed_us - row.failed_since_us for row in incidents[month] if row.closed_us is not None
                ),
                runs=counts[month, "runs"],
                succeeded=counts[month, "succeeded"],
                missed=counts[month, "missed"],
                changes=len(changes[month]),
                tried_changes=len(states),
                failed_changes=states.count("failed"),
                cost=sum(known) if known else None,
            )

    def _days(self, subject: _Subject, dates: tuple[str, str]) -> dict[str, list[Row]]:
        """Those of a service that are over and were judged, by month."""
        days: dict[str, list[Row]] = defaultdict(list)
        now_us = micros(self.store.now())
        for row in self.link.rows(_DAYS, (subject.id, *dates)) if subject.kind == "service" else []:
            is_over = row.delivered_us is not None or row.deadline_us <= now_us
            if is_over and row.timeliness != Timeliness.NO_ESTIMATE:
                days[row.month].append(row)
        return days

    def _incidents(self, subject: _Subject, instants: tuple[int, int]) -> list[Row]:
        if subject.kind == "service":
            return self.link.rows(_INCIDENTS.format(of=_OF_SERVICE), (*instants, subject.id))
        return self.link.rows(_INCIDENTS.format(of=_OF_SYSTEM), (*instants, subject.id, subject.id))


def _span(month: str) -> tuple[datetime, datetime]:
    """Its first instant, and that of the next month, UTC."""
    first = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)
    return first, (first + timedelta(days=32)).replace(day=1)


def _by_month(rows: Iterable[Row], column: str) -> dict[str, list[Row]]:
    months: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        months[f"{instant(getattr(row, column)):%Y-%m}"].append(row)
    return months


def _mean_s(lengths_us: Iterable[int]) -> float | None:
    lengths = [max(0, length) for length in lengths_us]
    return fmean(lengths) / 1_000_000 if lengths else None


def _cost(row: Row) -> float | None:
    context: Any = json.loads(row.context)
    cost = context.get("cost") if isinstance(context, dict) else None
    return float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) else None
