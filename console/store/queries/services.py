"""Services on their current business dates, their member jobs, and what a job's downstream services promise."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from console.domain.ids import instant, micros, optional_instant
from console.domain.service import MAX_LEAD, ServiceView, instance_name
from console.store.db.session import Row
from console.store.errors import NotFound
from console.store.names import UNKNOWN_JOBS_KEY as UNKNOWN_ENDS
from console.store.names import parse_unknown_jobs, unknown_by_service
from console.store.queries.base import ReadStore, to_view
from console.text.suggestions import suggest_names

# ruff: noqa: S608  (SQL is put together from our own words; every value is bound)

_SERVICES = (
    "SELECT id, name, title, tier, owner, runbook, zone, cutoff, deadline, promise, calendar FROM service"
    " WHERE NOT removed ORDER BY tier, name"
)
_DAYS = (
    "SELECT service_id, bd, deadline_us, timeliness, data_state, delivered_us, expected_us, late_us, p95_us, p80_us,"
    " p_late, critical, nights, act_by_us, green_by_us, cause, incident_id, reason, sources, path, promised_us,"
    " extension, instance, submission, awaits, distrust FROM service_day WHERE bd >= ?"
)

_OPEN = (
    "SELECT i.id, i.title, k.made_by AS taken_by, k.until_us AS taken_until_us FROM incident i"
    " LEFT JOIN acknowledgement k ON k.id = (SELECT max(x.id) FROM acknowledgement x WHERE x.incident_id = i.id)"
    " AND k.ended_us IS NULL AND k.until_us > ? WHERE i.closed_us IS NULL"
)

NOT_EVALUATED = "not judged yet"
"""The reason of a service day that no evaluation has looked at."""


JobPromise = tuple[int, int | None]
"""Deadline (microseconds since 1970), slack (microseconds; None without an estimate)."""
_SELECT_MEMBERS = "SELECT name, terminals, tier FROM service WHERE NOT removed ORDER BY tier, name"


class MemberQueries:
    """Which jobs a service depends on."""

    def __init__(self, store: ReadStore) -> None:
        self.store = store
        self.link = store.link

    def services_of(self, job_id: int) -> tuple[str, ...]:
        """Services that have the job upstream of them, by tier and name; a task counts as its DAG."""
        services = self.link.rows(_SELECT_MEMBERS)
        if not services:
            return ()
        below = self._walk([job_id], "upstream_id", "downstream_id")
        return tuple(name for name, terminals, _ in services if below & self._units(json.loads(terminals)))

    def members_of(self, wanted: Sequence[str] = (), tiers: Sequence[int] = ()) -> set[int]:
        """The jobs upstream of the services whose name holds one of these words, and of one of these tiers, those that
        deliver them included; empty: of any."""
        terminals = [
            job_id
            for name, jobs, tier in self.link.rows(_SELECT_MEMBERS)
            if (not wanted or any(word.lower() in name.lower() for word in wanted)) and (not tiers or tier in tiers)
            for job_id in json.loads(jobs)
        ]
        return self.upstream_of(terminals)

    def upstream_of(self, terminals: Sequence[int]) -> set[int]:
        """These jobs and all that they wait for, at whatever distance."""
        return self._walk(terminals, "downstream_id", "upstream_id")

    def lies_below(self, job_id: int, upstream_id: int) -> bool:
        """True where the job is the upstream itself, or reads it, at whatever distance."""
        return bool(self._units([job_id]) & self._walk([upstream_id], "upstream_id", "downstream_id"))

    def _walk(self, start: Sequence[int], mine: str, other: str) -> set[int]:
        """These jobs and all that is reached from them along the dependencies, one way."""
        found = self._units(start)
        edge = found
        while edge:
            inside = self.link.by_keys(
                f"SELECT d.{other} FROM {{keys}} JOIN dependency d ON d.{mine} = k.a",
                sorted(edge | set(self.tasks_of(edge))),
            )
            edge = self._units([row[0] for row in inside]) - found
            found = found | edge
        return found

    def tasks_of(self, ids: Iterable[int]) -> dict[int, int]:
        """Task -> its parent, for these parents."""
        # CROSS, because SQLite would read all jobs where few are tasks: it goes by the mean
        return dict(
            self.link.by_keys("SELECT j.id, k.a FROM {keys} CROSS JOIN job j WHERE j.parent_id = k.a", sorted(ids))
        )

    def _units(self, ids: Sequence[int]) -> set[int]:
        rows = self.link.by_keys("SELECT COALESCE(j.parent_id, j.id) FROM {keys} JOIN job j ON j.id = k.a", list(ids))
        return {row[0] for row in rows}


class ServiceQueries:
    """Services on a business date, and what is promised."""

    def __init__(self, store: ReadStore, members: MemberQueries) -> None:
        self.store = store
        self.link = store.link
        self.members = members
        self._cached: tuple[tuple[str | None, int, datetime], list[ServiceView]] | None = None

    def list_services(self, business_date: str | None = None) -> list[ServiceView]:
        """Each service on that business date, else its current one, by tier and name. Header and screen ask for the
        same one after the other: it is told again until somebody commits, or a minute is over."""
        cached_for = (business_date, self.store.data_version(), self.store.now().replace(second=0, microsecond=0))
        if self._cached is None or self._cached[0] != cached_for:
            self._cached = (cached_for, self._services_on(business_date))
        return list(self._cached[1])

    def _services_on(self, business_date: str | None) -> list[ServiceView]:
        now, days = self.store.now(), self._days(business_date)
        shown = []
        for row in self.link.rows(_SERVICES):
            if is_end_to_end(row.promise):
                day = min(days[row.id], key=_due_order, default=None)
                on = date.fromisoformat(day.bd) if day is not None else _business_date_of(row, now)
            else:
                on = date.fromisoformat(business_date) if business_date else _business_date_of(row, now)
                day = next((day for day in days[row.id] if day.bd == on.isoformat()), None)
            shown.append((row, on, day))
        return self._views(shown)

    def instances(self, name: str, business_date: str | None = None) -> list[ServiceView]:
        """Each submission of a service that is promised end to end, of that business date or of the last days, what is
        not delivered first; nothing of any other service."""
        rows = [row for row in self.link.rows(_SERVICES) if row.name == name and is_end_to_end(row.promise)]
        days = self._days(business_date) if rows else {}
        shown = [(row, day) for row in rows for day in sorted(days[row.id], key=_due_order)]
        return self._views([(row, date.fromisoformat(day.bd), day) for row, day in shown])

    def _days(self, business_date: str | None) -> dict[int, list[Row]]:
        """Service -> its days and instances: of that business date, or of all that may be told."""
        days: dict[int, list[Row]] = defaultdict(list)
        first = business_date or (self.store.now() - MAX_LEAD).date().isoformat()
        for day in self.link.rows(_DAYS, (first,)):
            if business_date in (None, day.bd):
                days[day.service_id].append(day)
        return days

    def _views(self, shown: list[tuple[Row, date, Row | None]]) -> list[ServiceView]:
        names = self._job_names({job_id for _, _, day in shown if day for job_id in _parse_list(day.path)})
        unknown = unknown_by_service(parse_unknown_jobs(self.store.meta(UNKNOWN_ENDS)))
        open_ones: dict[int, Row] = {}
        if any(day is not None and day.incident_id is not None for _, _, day in shown):
            open_ones = {row.id: row for row in self.link.rows(_OPEN, (micros(self.store.now()),))}
        found = [_service(row, on, day, names, open_ones) for row, on, day in shown]
        return [_with_unknown_jobs(one, unknown[one.name]) if one.name in unknown else one for one in found]

    def service(self, name: str, business_date: str | None = None) -> ServiceView:
        """One service by name, on that business date, else its current one. Raises NotFound with near misses."""
        services = self.list_services(business_date)
        for view in services:
            if view.name == name:
                return view
        raise NotFound(name, suggest_names(name, [view.name for view in services]), "headway service")

    def _job_names(self, ids: set[int]) -> dict[int, str]:
        return dict(self.link.by_keys("SELECT j.id, j.name FROM {keys} JOIN job j ON j.id = k.a", sorted(ids)))

    def promised(self) -> dict[int, JobPromise]:
        """Job -> the soonest deadline and the least slack of the services that hang on it, are promised and are
        not delivered."""
        now = self.store.now()
        rows = self.link.rows("SELECT name, terminals FROM service WHERE NOT removed")
        terminals: dict[str, str] = dict(rows)
        found: dict[int, JobPromise] = {}
        for view in self.list_services():
            if view.is_promised and view.delivered is None:
                deadline, slack = micros(view.deadline), _slack_us(view, now)
                for job_id in self.members.upstream_of(json.loads(terminals[view.name])):
                    found[job_id] = _stricter(found.get(job_id), deadline, slack)
        return found | {task: found[parent] for task, parent in self.members.tasks_of(found).items()}


def _with_unknown_jobs(one: ServiceView, words: str) -> ServiceView:
    """A service that waits for a job which there is not: what is said of it is of the others alone."""
    return replace(one, trouble=one.trouble or words, reason="; ".join(filter(None, [one.reason, words])))


def current_business_date(now: datetime, zone: str, cutoff: time) -> date:
    """The business date whose window holds this moment."""
    local = now.astimezone(ZoneInfo(zone))
    return local.date() if local.time() >= cutoff else local.date() - timedelta(days=1)


def _business_date_of(row: Row, now: datetime) -> date:
    """The business date whose deadline lies in the present window."""
    cutoff = time.fromisoformat(row.cutoff)
    return current_business_date(now, row.zone, cutoff) - timedelta(days=days_after(row.promise))


def is_end_to_end(promise: str) -> bool:
    """True for a service of which each submission has a deadline of its own."""
    return bool(_deadline_rule(promise).get("key"))


def _due_order(day: Row) -> tuple[bool, int]:
    """What is not delivered first, the soonest due of it; then the latest."""
    return day.delivered_us is not None, day.deadline_us if day.delivered_us is None else -day.deadline_us


def days_after(promise: str) -> int:
    """How many days after the window of its business date a service's deadline is: in the present window falls that of
    the date so many days ago."""
    return int(_deadline_rule(promise).get("day", 0))


@lru_cache(1024)
def _deadline_rule(promise: str) -> Mapping[str, Any]:
    """How the deadline is found. Thousands of services promise in a few ways."""
    found: Mapping[str, Any] = json.loads(promise).get("deadline", {})
    return found


def _parse_list(text: str) -> tuple[Any, ...]:
    """What a column holds as JSON; most hold nothing."""
    return () if text == "[]" else tuple(json.loads(text))


def _deadline(business_date: date, deadline: time, cutoff: time, zone: str) -> datetime:
    day = business_date if deadline >= cutoff else business_date + timedelta(days=1)
    return datetime.combine(day, deadline, ZoneInfo(zone)).astimezone(UTC)


def _service(
    row: Row, business_date: date, day: Row | None, names: dict[int, str], open_incidents: Mapping[int, Row]
) -> ServiceView:
    title = row.title or row.name
    about = {name: getattr(row, name) for name in ("id", "name", "tier", "owner", "runbook", "zone", "calendar")}
    if day is None:
        by_clock = business_date + timedelta(days=days_after(row.promise))
        due = _deadline(by_clock, time.fromisoformat(row.deadline), time.fromisoformat(row.cutoff), row.zone)
        timeliness, reason = "no_estimate", NOT_EVALUATED
        if is_end_to_end(row.promise):
            timeliness, reason = "no_promise", "no submission yet"
        return ServiceView(
            **about,
            title=title,
            business_date=business_date.isoformat(),
            deadline=due,
            promised=due,
            timeliness=timeliness,
            reason=reason,
            data_state="open",
            delivered=None,
            expected=None,
            late=None,
            act_by=None,
            green_by=None,
            cause="",
            incident_id=None,
        )
    incident = open_incidents.get(day.incident_id or 0)
    return to_view(
        ServiceView,
        day,
        **about,
        title=instance_name(title, day.instance) if day.instance else title,
        path=tuple(names[job_id] for job_id in _parse_list(day.path) if job_id in names),
        promised=instant(day.promised_us if day.promised_us is not None else day.deadline_us),
        trouble=incident.title if incident is not None else "",
        taken_by=incident.taken_by or "" if incident is not None else "",
        taken_until=optional_instant(incident.taken_until_us) if incident is not None else None,
    )


def _slack_us(view: ServiceView, now: datetime) -> int | None:
    """Deadline − expected finish; where an act-by stands, the time left to act."""
    if view.act_by is not None:
        return micros(view.act_by) - micros(now)
    return None if view.expected is None else micros(view.deadline) - micros(view.expected)


def _stricter(known: JobPromise | None, deadline: int, slack: int | None) -> JobPromise:
    if known is None:
        return deadline, slack
    slacks = [one for one in (known[1], slack) if one is not None]
    return min(known[0], deadline), min(slacks, default=None)
