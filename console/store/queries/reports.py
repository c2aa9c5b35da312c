"""Monthly figures of services, systems and pools, from runs, their daily figures, incidents and drift."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from statistics import fmean, median
from typing import Any, NamedTuple

from connectors.sdk.states import OPEN_STATES, RED_STATES, RunState
from console.domain.ids import instant, micros, optional_instant
from console.domain.promise import is_in_time, is_over
from console.domain.report import NEUTRAL_STATES, MonthFigures, PoolFigures
from console.domain.service import Timeliness
from console.store.db.session import Row
from console.store.errors import NotFound
from console.store.queries.base import ContextQueries, ReadStore
from console.store.queries.jobs import OPEN_STATES_SQL
from console.store.queries.services import MemberQueries
from console.text.suggestions import suggest_names
from console.timing.maintenance import matches_any

# ruff: noqa: S608  (only our own names; every value is bound)
_JUDGED_SQL = ", ".join(f"'{state.value}'" for state in sorted({RunState.SUCCEEDED, *RED_STATES}))
_NEUTRAL_SQL = ", ".join(f"'{state.value}'" for state in sorted(NEUTRAL_STATES))
_SERVICES = "SELECT id, name, title, terminals FROM service WHERE NOT removed ORDER BY tier, name"
_JOBS = "SELECT id, system_id, name FROM job WHERE parent_id IS NULL"
_DAYS = (
    "SELECT substr(business_date, 1, 7) AS month, deadline_us, agreed_us, delivered_us, timeliness FROM service_day"
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
    "SELECT k.a AS job, substr(r.business_date, 1, 7) AS month, SUM(CASE WHEN r.attempts > 0 AND r.state NOT IN"
    f" ({_NEUTRAL_SQL}) THEN 1 ELSE 0 END) AS runs, SUM(CASE WHEN r.state = 'succeeded' THEN 1 ELSE 0 END) AS"
    " succeeded, SUM(CASE WHEN r.attempts > 0 AND r.state = 'unknown' THEN 1 ELSE 0 END) AS unknown, SUM(CASE WHEN"
    " r.state = 'missed' THEN 1 ELSE 0 END) AS missed FROM {keys} JOIN run r ON r.job_id = k.a WHERE r.sort_us >= ?"
    " AND r.sort_us < ?"
    f" AND r.business_date >= ? AND r.business_date < ? AND r.state NOT IN ({OPEN_STATES_SQL}) AND NOT EXISTS"
    " (SELECT 1 FROM job_day d WHERE d.job_id = r.job_id AND d.business_date = r.business_date) GROUP BY 1, 2"
)
"""Dates whose runs are deleted count by `job_day`."""
_PRUNED = (
    "SELECT k.a AS job, substr(d.business_date, 1, 7) AS month, SUM(d.runs) AS runs, SUM(d.succeeded) AS succeeded,"
    " 0 AS unknown, SUM(d.missed) AS missed FROM {keys} JOIN job_day d ON d.job_id = k.a WHERE d.business_date >= ?"
    " AND d.business_date < ? GROUP BY 1, 2"
)
_CHANGES = (
    "SELECT DISTINCT d.job_id AS job, d.seen_us, (SELECT r.state FROM run r WHERE r.job_id = d.job_id AND r.sort_us >"
    f" d.seen_us AND r.sort_us < d.seen_us + {7 * 86_400_000_000} AND r.state IN ({_JUDGED_SQL}) ORDER BY r.sort_us"
    " LIMIT 1) AS state FROM {keys} JOIN drift d ON d.job_id = k.a WHERE d.what IN ('schedule', 'definition')"
    " AND d.seen_us >= ? AND d.seen_us < ?"
)
_COSTS = (
    "SELECT k.a AS job, r.sort_us, a.context FROM {keys} JOIN run r ON r.job_id = k.a AND r.sort_us >= ?"
    " AND r.sort_us < ? JOIN attempt a ON a.run_id = r.id WHERE a.context LIKE ?"
)
_BUSY = (
    "SELECT a.started_us, a.ended_us, a.state FROM {keys} JOIN run r ON r.job_id = k.a AND r.sort_us >= ? AND r.sort_us"
    " < ? JOIN attempt a ON a.run_id = r.id WHERE a.started_us < ? AND (a.ended_us > ? OR a.ended_us IS NULL)"
)
_ANY_PRUNED = (
    "SELECT d.job_id FROM {keys} JOIN job_day d ON d.job_id = k.a WHERE d.business_date >= ? AND d.business_date < ?"
    " LIMIT 1"
)
_EARLIER = timedelta(days=2)
"""How far a run's instant may lie from its business date."""


class _Subject(NamedTuple):
    kind: str
    id: int
    name: str
    title: str
    jobs: Sequence[int]


class _JobFigures(NamedTuple):
    """By month and job: rows of runs, states after changes, costs."""

    runs: dict[tuple[str, int], list[Row]]
    changes: dict[tuple[str, int], list[str | None]]
    costs: dict[tuple[str, int], list[float]]


class ReportQueries(ContextQueries):
    def __init__(self, store: ReadStore, members: MemberQueries) -> None:
        super().__init__(store)
        self.members = members

    def months(self, months: Sequence[str], name: str = "", kind: str = "") -> list[MonthFigures]:
        """Each service and system, or those with this name, or of this kind, in each month: services by tier, then
        systems. Raises NotFound with similar names."""
        subjects = [subject for subject in self._subjects() if kind in ("", subject.kind)]
        if name and name not in {subject.name for subject in subjects}:
            raise NotFound(name, suggest_names(name, [subject.name for subject in subjects]), "headway report")
        subjects = [subject for subject in subjects if name in ("", subject.name)]
        jobs = sorted({job for subject in subjects for job in subject.jobs})
        of_jobs = self._of_jobs(jobs, *_bounds(months))
        return [figures for subject in subjects for figures in self._figures(subject, months, of_jobs)]

    def pools(self, month: str) -> list[PoolFigures]:
        first, until = _span(month)
        seconds = (min(until, max(first, self.store.now())) - first).total_seconds()
        jobs = self.link.rows(_JOBS) if self.store.declared().pools else []
        claimed, pools = set[int](), []
        first_us, until_us, now_us = micros(first), micros(until), micros(self.store.now())
        dates = f"{first:%Y-%m-%d}", f"{until:%Y-%m-%d}"
        for pool in self.store.declared().pools:
            ids = [job.id for job in jobs if job.id not in claimed and matches_any(pool.jobs, job.name)]
            claimed.update(ids)
            near = micros(first - _EARLIER), micros(until + _EARLIER)
            busy_us = 0
            for attempt in self.link.by_keys(_BUSY, ids, (*near, until_us, first_us)):
                ended_us = now_us if attempt.ended_us is None and attempt.state in OPEN_STATES else attempt.ended_us
                busy_us += max(0, min(ended_us or 0, until_us) - max(attempt.started_us, first_us))
            is_whole = not self.link.by_keys(_ANY_PRUNED, ids, dates)
            pools.append(PoolFigures(pool.name, month, pool.slots, busy_us / 1_000_000 if is_whole else None, seconds))
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
        systems = self.link.rows("SELECT id, name FROM system WHERE NOT removed ORDER BY name")
        return subjects + [_Subject("system", row.id, row.name, row.name, of_system[row.id]) for row in systems]

    def _of_jobs(self, jobs: Sequence[int], first: datetime, until: datetime) -> _JobFigures:
        dates, instants = (f"{first:%Y-%m-%d}", f"{until:%Y-%m-%d}"), (micros(first), micros(until))
        near = micros(first - _EARLIER), micros(until + _EARLIER)
        figures = _JobFigures(defaultdict(list), defaultdict(list), defaultdict(list))
        runs = self.link.by_keys(_RUNS, jobs, (*near, *dates))
        for row in [*runs, *self.link.by_keys(_PRUNED, jobs, dates)]:
            figures.runs[row.month, row.job].append(row)
        for row in self.link.by_keys(_CHANGES, jobs, instants):
            figures.changes[_month(row.seen_us), row.job].append(row.state)
        for row in self.link.by_keys(_COSTS, jobs, (*instants, '%"cost"%')):
            if (cost := _cost(row)) is not None:
                figures.costs[_month(row.sort_us), row.job].append(cost)
        return figures

    def _figures(self, subject: _Subject, months: Sequence[str], of_jobs: _JobFigures) -> Iterable[MonthFigures]:
        first, until = _bounds(months)
        days = self._days(subject, (f"{first:%Y-%m-%d}", f"{until:%Y-%m-%d}"))
        incidents = defaultdict[str, list[Row]](list)
        for row in self._incidents(subject, (micros(first), micros(until))):
            incidents[_month(row.opened_us)].append(row)
        for month in months:
            in_time = list(self._judged((row.delivered_us, row.deadline_us) for row in days[month]))
            by_sla = list(self._judged((row.delivered_us, row.agreed_us) for row in days[month]))
            slacks = [row.deadline_us - row.delivered_us for row in days[month] if row.delivered_us is not None]
            runs = [row for job in subject.jobs for row in of_jobs.runs.get((month, job), ())]
            changes = [state for job in subject.jobs for state in of_jobs.changes.get((month, job), ())]
            costs = [cost for job in subject.jobs for cost in of_jobs.costs.get((month, job), ())]
            yield MonthFigures(
                kind=subject.kind,
                name=subject.name,
                title=subject.title,
                month=month,
                in_time=sum(in_time),
                judged=len(in_time),
                sla_in_time=sum(by_sla),
                sla_judged=len(by_sla),
                slack_s=median(slacks) / 1_000_000 if slacks else None,
                incidents=len(incidents[month]),
                acknowledge_s=_mean_s(
                    row.acknowledged_us - row.opened_us for row in incidents[month] if row.acknowledged_us is not None
                ),
                recover_s=_mean_s(
                    row.closed_us - row.failed_since_us for row in incidents[month] if row.closed_us is not None
                ),
                runs=int(sum(row.runs for row in runs)),
                succeeded=int(sum(row.succeeded for row in runs)),
                unknown=int(sum(row.unknown for row in runs)),
                missed=int(sum(row.missed for row in runs)),
                changes=len(changes),
                tried_changes=sum(state is not None for state in changes),
                failed_changes=sum(state in RED_STATES for state in changes),
                cost=sum(costs) if costs else None,
            )

    def _days(self, subject: _Subject, dates: tuple[str, str]) -> dict[str, list[Row]]:
        """Those of a service that were judged, by month."""
        days: dict[str, list[Row]] = defaultdict(list)
        for row in self.link.rows(_DAYS, (subject.id, *dates)) if subject.kind == "service" else []:
            if row.timeliness != Timeliness.NO_ESTIMATE:
                days[row.month].append(row)
        return days

    def _judged(self, days: Iterable[tuple[int | None, int | None]]) -> Iterator[bool]:
        """Of each judged day, by its delivery and deadline: whether it was in time."""
        for delivered_us, due_us in days:
            delivered, due = optional_instant(delivered_us), optional_instant(due_us)
            if due is not None and is_over(delivered, due, self.store.now()):
                yield is_in_time(delivered, due)

    def _incidents(self, subject: _Subject, instants: tuple[int, int]) -> list[Row]:
        if subject.kind == "service":
            return self.link.rows(_INCIDENTS.format(of=_OF_SERVICE), (*instants, subject.id))
        return self.link.rows(_INCIDENTS.format(of=_OF_SYSTEM), (*instants, subject.id, subject.id))


def _span(month: str) -> tuple[datetime, datetime]:
    """Its first instant, and that of the next month, UTC."""
    first = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)
    return first, (first + timedelta(days=32)).replace(day=1)


def _bounds(months: Sequence[str]) -> tuple[datetime, datetime]:
    return _span(months[0])[0], _span(months[-1])[1]


def _month(at_us: int) -> str:
    return f"{instant(at_us):%Y-%m}"


def _mean_s(lengths_us: Iterable[int]) -> float | None:
    lengths = [max(0, length) for length in lengths_us]
    return fmean(lengths) / 1_000_000 if lengths else None


def _cost(row: Row) -> float | None:
    context: Any = json.loads(row.context)
    cost = context.get("cost") if isinstance(context, dict) else None
    return float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) else None
