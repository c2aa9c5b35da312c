"""Services on their current business dates, their member jobs, and the deadlines downstream of a job."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from console.control.services.order import DayStatus, DisplayedDay, displayed_day
from console.domain.ids import instant, micros, optional_instant
from console.domain.reason import LaterRisk, NotEvaluated, UnknownJobs
from console.domain.service import MAX_LEAD, ServiceView
from console.domain.text import Title
from console.store.db.session import Row
from console.store.errors import NotFound
from console.store.names import UNKNOWN_JOBS_KEY, parse_unknown_jobs, unknown_by_service
from console.store.queries.base import ContextQueries, ReadStore
from console.store.row_values import from_row, parse_reasons
from console.text.suggestions import suggest_names

# ruff: noqa: S608  (only our own names; every value is bound)

_SERVICES = (
    "SELECT id, name, title, tier, owner, runbook, zone, cutoff, deadline, promise, calendar FROM service"
    " WHERE NOT removed ORDER BY tier, name"
)
_DAYS = (
    "SELECT service_id, business_date, deadline_us, timeliness, data_state, delivered_us, expected_us, late_us,"
    " p95_us, p80_us,"
    " p_late, critical, nights, act_by_us, green_by_us, cause, incident_id, reasons, sources, path, promised_us,"
    " extension, awaits, distrust AS unreliable_because FROM service_day WHERE business_date >= ?"
)

_OPEN = (
    "SELECT i.id, i.title, k.made_by AS acknowledged_by, k.until_us AS acknowledged_until_us, EXISTS (SELECT 1 FROM"
    " plan p WHERE p.incident_id = i.id AND p.state IN ('running', 'stopped')) AS has_plan FROM incident i LEFT JOIN"
    " acknowledgement k ON k.id = (SELECT max(x.id) FROM acknowledgement x WHERE x.incident_id = i.id) AND k.ended_us"
    " IS NULL AND k.until_us > ? WHERE i.closed_us IS NULL"
)

JobPromise = tuple[int, int | None]
"""Deadline (µs since 1970), slack (µs; None without an estimate)."""
_SELECT_MEMBERS = "SELECT name, terminals, tier FROM service WHERE NOT removed ORDER BY tier, name"


class MemberQueries(ContextQueries):
    """Jobs that a service depends on; a task counts as its DAG."""

    def __init__(self, store: ReadStore) -> None:
        super().__init__(store)
        self._cached_services: tuple[str | None, Mapping[int, Sequence[tuple[int, str]]]] | None = None
        """The config for which `_services_by_terminal` was read, and its result."""

    def services_of(self, job_id: int) -> tuple[str, ...]:
        """Services downstream of the job, by tier and name."""
        services = self._services_by_terminal()
        if not services:
            return ()
        below = set(self._edges([job_id], "upstream_id", "downstream_id"))
        jobs = below | self.tasks_of(below).keys()
        affected = {service for terminal in jobs & services.keys() for service in services[terminal]}
        return tuple(name for _, name in sorted(affected))

    def _services_by_terminal(self) -> Mapping[int, Sequence[tuple[int, str]]]:
        """Terminal -> its services, each with its place by tier and name. Cached until the config changes."""
        config = self.store.meta("config_seq")
        if self._cached_services is None or self._cached_services[0] != config:
            services: dict[int, list[tuple[int, str]]] = defaultdict(list)
            for place, row in enumerate(self.link.rows(_SELECT_MEMBERS)):
                for terminal in json.loads(row.terminals):
                    services[terminal].append((place, row.name))
            self._cached_services = (config, services)
        return self._cached_services[1]

    def members_of(self, names: Sequence[str] = (), tiers: Sequence[int] = ()) -> set[int]:
        """The jobs that services depend on, terminals included; of services whose name contains one of these texts and
        with one of these tiers (empty: any)."""
        terminals = [
            job_id
            for row in self.link.rows(_SELECT_MEMBERS)
            if (not names or any(text.lower() in row.name.lower() for text in names))
            and (not tiers or row.tier in tiers)
            for job_id in json.loads(row.terminals)
        ]
        return set(self._edges(terminals, "downstream_id", "upstream_id"))

    def lies_below(self, job_id: int, upstream_id: int) -> bool:
        """True if the job is the upstream itself, or downstream of it."""
        below = self._edges([upstream_id], "upstream_id", "downstream_id")
        return any(unit in below for unit in self._unit_of([job_id]).values())

    def upstream_of_each(self, terminals: Mapping[str, Sequence[int]]) -> dict[str, set[int]]:
        """These jobs and all their upstreams, direct or not, for each of these names."""
        edges = self._edges({job_id for ids in terminals.values() for job_id in ids}, "downstream_id", "upstream_id")
        units = self._unit_of({job_id for ids in terminals.values() for job_id in ids})
        return {
            name: _reachable(edges, {units[job_id] for job_id in ids if job_id in units})
            for name, ids in terminals.items()
        }

    def _edges(self, start: Iterable[int], from_column: str, to_column: str) -> dict[int, set[int]]:
        """Each unit that is reached -> the next ones."""
        edges: dict[int, set[int]] = {unit: set() for unit in self._unit_of(start).values()}
        frontier = set(edges)
        while frontier:
            tasks = self.tasks_of(frontier)
            rows = self.link.by_keys(
                f"SELECT k.a AS origin, d.{to_column} AS id FROM {{keys}} JOIN dependency d ON d.{from_column} = k.a",
                sorted(frontier | set(tasks)),
            )
            units = self._unit_of({row.id for row in rows})
            for row in rows:
                if row.id in units:
                    edges[tasks.get(row.origin, row.origin)].add(units[row.id])
            frontier = set(units.values()) - edges.keys()
            edges.update((unit, set()) for unit in frontier)
        return edges

    def tasks_of(self, ids: Iterable[int]) -> dict[int, int]:
        """Task -> its parent, for these parents."""
        # CROSS, because SQLite would read all jobs where few are tasks: it goes by the mean
        return dict(
            self.link.by_keys("SELECT j.id, k.a FROM {keys} CROSS JOIN job j WHERE j.parent_id = k.a", sorted(ids))
        )

    def _unit_of(self, ids: Iterable[int]) -> dict[int, int]:
        """Job -> its parent, or itself."""
        query = "SELECT j.id, COALESCE(j.parent_id, j.id) AS unit FROM {keys} JOIN job j ON j.id = k.a"
        return dict(self.link.by_keys(query, list(ids)))


def _reachable(edges: Mapping[int, set[int]], start: set[int]) -> set[int]:
    reached, frontier = set(start), list(start)
    while frontier:
        new = edges[frontier.pop()] - reached
        reached |= new
        frontier += new
    return reached


class ServiceQueries(ContextQueries):
    def __init__(self, store: ReadStore, members: MemberQueries) -> None:
        super().__init__(store)
        self.members = members
        self._cached: tuple[tuple[str | None, int, datetime], list[ServiceView]] | None = None

    def list_services(self, business_date: str | None = None) -> list[ServiceView]:
        """Each service on that business date, else its current one, by tier and name. Cached until the next commit or
        minute, because header and screen ask for the same."""
        cached_for = (business_date, self.store.data_version(), self.store.now().replace(second=0, microsecond=0))
        if self._cached is None or self._cached[0] != cached_for:
            self._cached = (cached_for, self._services_on(business_date))
        return list(self._cached[1])

    def _services_on(self, business_date: str | None) -> list[ServiceView]:
        now, days = self.store.now(), self._days(business_date)
        shown, later = [], dict[int, tuple[bool, LaterRisk | None]]()
        for row in self.link.rows(_SERVICES):
            by_date = {date.fromisoformat(day.business_date): day for day in days[row.id]}
            displayed = _displayed_day(row, by_date, now, business_date)
            risk = _later_risk(by_date[displayed.next]) if displayed.next is not None else None
            if displayed.is_later or risk is not None:
                later[row.id] = displayed.is_later, risk
            shown.append((row, displayed.business_date, by_date.get(displayed.business_date)))
        return [_with_later(view, *later[view.id]) if view.id in later else view for view in self._views(shown)]

    def _days(self, business_date: str | None) -> dict[int, list[Row]]:
        days: dict[int, list[Row]] = defaultdict(list)
        first = business_date or (self.store.now() - MAX_LEAD).date().isoformat()
        for day in self.link.rows(_DAYS, (first,)):
            if business_date in (None, day.business_date):
                days[day.service_id].append(day)
        return days

    def _views(self, shown: list[tuple[Row, date, Row | None]]) -> list[ServiceView]:
        names = self.job_names(job_id for _, _, day in shown if day for job_id in _parse_list(day.path))
        unknown = unknown_by_service(parse_unknown_jobs(self.store.meta(UNKNOWN_JOBS_KEY)))
        incidents: dict[int, Row] = {}
        if any(day is not None and day.incident_id is not None for _, _, day in shown):
            incidents = {row.id: row for row in self.link.rows(_OPEN, (micros(self.store.now()),))}
        views = []
        for row, business_date, day in shown:
            view = _service(row, business_date, day, names, incidents)
            if text := unknown.get(view.name):
                view = replace(view, problem=view.problem or Title((text,)), reasons=(*view.reasons, UnknownJobs(text)))
            views.append(view)
        return views

    def service(self, name: str, business_date: str | None = None) -> ServiceView:
        """One service on that business date, else its current one. Raises NotFound with similar names."""
        services = self.list_services(business_date)
        for view in services:
            if view.name == name:
                return view
        raise NotFound(name, suggest_names(name, [view.name for view in services]), "headway service")

    def promised(self) -> dict[int, JobPromise]:
        """Job -> the soonest deadline and least slack of undelivered, promised services downstream of it."""
        now = self.store.now()
        rows = self.link.rows("SELECT name, terminals FROM service WHERE NOT removed")
        views = [view for view in self.list_services() if view.is_promised and view.delivered is None]
        names = {view.name for view in views}
        terminals = {row.name: json.loads(row.terminals) for row in rows if row.name in names}
        members = self.members.upstream_of_each(terminals)
        promises: dict[int, JobPromise] = {}
        for view in views:
            deadline, slack = micros(view.deadline), view.slack(now)
            slack_us = slack // timedelta(microseconds=1) if slack is not None else None
            for job_id in members[view.name]:
                known_deadline, known_slack = promises.get(job_id, (deadline, None))
                slacks = [us for us in (known_slack, slack_us) if us is not None]
                promises[job_id] = min(known_deadline, deadline), min(slacks, default=None)
        return promises | {task: promises[parent] for task, parent in self.members.tasks_of(promises).items()}


def current_business_date(now: datetime, zone: str, cutoff: time) -> date:
    """The business date whose window includes this time."""
    local = now.astimezone(ZoneInfo(zone))
    return local.date() if local.time() >= cutoff else local.date() - timedelta(days=1)


def _business_date_of(row: Row, now: datetime) -> date:
    cutoff = time.fromisoformat(row.cutoff)
    return current_business_date(now, row.zone, cutoff) - timedelta(days=days_after(row.promise))


def _displayed_day(row: Row, days: Mapping[date, Row], now: datetime, business_date: str | None) -> DisplayedDay:
    """`business_date`: the one that was requested."""
    if business_date is not None:
        return DisplayedDay(date.fromisoformat(business_date))
    cutoff, zone = time.fromisoformat(row.cutoff), ZoneInfo(row.zone)
    first = current_business_date(now, row.zone, cutoff)
    opens, closes = (datetime.combine(day, cutoff, zone).astimezone(UTC) for day in (first, first + timedelta(days=1)))
    statuses = {
        business_date: DayStatus(
            instant(day.deadline_us), day.timeliness, day.delivered_us is not None, day.incident_id
        )
        for business_date, day in days.items()
    }
    return displayed_day(statuses, _business_date_of(row, now), (opens, closes), now)


def _with_later(view: ServiceView, is_later: bool, risk: LaterRisk | None) -> ServiceView:
    return replace(view, is_later=is_later, reasons=(*view.reasons, *([risk] if risk is not None else [])))


def _later_risk(day: Row) -> LaterRisk:
    return LaterRisk(instant(day.deadline_us), day.timeliness, day.p_late if day.act_by_us is None else None)


def days_after(promise: str) -> int:
    """Days from the window of a business date to the service's deadline."""
    return int(_deadline_rule(promise).get("day", 0))


@lru_cache(1024)
def _deadline_rule(promise: str) -> Mapping[str, Any]:
    rule: Mapping[str, Any] = json.loads(promise).get("deadline", {})
    return rule


def _parse_list(text: str) -> tuple[Any, ...]:
    return () if text == "[]" else tuple(json.loads(text))


def _service(
    row: Row, business_date: date, day: Row | None, names: dict[int, str], open_incidents: Mapping[int, Row]
) -> ServiceView:
    title = row.title or row.name
    about = {name: getattr(row, name) for name in ("id", "name", "tier", "owner", "runbook", "zone", "calendar")}
    if day is None:
        deadline, cutoff = time.fromisoformat(row.deadline), time.fromisoformat(row.cutoff)
        due_date = business_date + timedelta(days=days_after(row.promise) + (deadline < cutoff))
        due = datetime.combine(due_date, deadline, ZoneInfo(row.zone)).astimezone(UTC)
        return ServiceView(
            **about,
            title=title,
            business_date=business_date.isoformat(),
            deadline=due,
            promised=due,
            timeliness="no_estimate",
            reasons=(NotEvaluated(),),
        )
    incident = open_incidents.get(day.incident_id or 0)
    return from_row(
        ServiceView,
        day,
        **about,
        title=title,
        reasons=parse_reasons(day.reasons),
        path=tuple(names[job_id] for job_id in _parse_list(day.path) if job_id in names),
        promised=instant(day.promised_us if day.promised_us is not None else day.deadline_us),
        problem=Title.from_json(incident.title) if incident is not None else None,
        has_plan=incident is not None and bool(incident.has_plan),
        acknowledged_by=incident.acknowledged_by or "" if incident is not None else "",
        acknowledged_until=optional_instant(incident.acknowledged_until_us) if incident is not None else None,
    )
