"""How the promises of the current business dates stand."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from console.model.ids import instant, maybe_instant, micros
from console.model.promises import BEFORE_DEADLINE, instance_name
from console.model.views import ServiceView
from console.store.errors import NotFound
from console.store.reads.base import Base
from console.store.reads.link import Row
from console.store.reads.near import near
from console.store.unknown_ends import META as UNKNOWN_ENDS
from console.store.unknown_ends import by_service, read_back

_SERVICES = (
    "SELECT id, name, title, tier, owner, runbook, zone, cutoff, deadline, promise, calendar FROM service"
    " WHERE NOT removed ORDER BY tier, name"
)
_DAYS = (
    "SELECT service_id, bd, deadline_us, timeliness, data_state, delivered_us, expected_us, late_us, p95_us, p80_us,"
    " p_late, critical, nights, act_by_us,"
    " green_by_us,"
    " cause, incident_id, reason, sources, path, promised_us, extension, instance, submission, awaits,"
    " distrust FROM service_day WHERE bd >= ?"
)

_OPEN = (
    "SELECT i.id, i.title, k.made_by, k.until_us FROM incident i LEFT JOIN acknowledgement k"
    " ON k.id = (SELECT max(x.id) FROM acknowledgement x WHERE x.incident_id = i.id) AND k.ended_us IS NULL"
    " AND k.until_us > ? WHERE i.closed_us IS NULL"
)

NOT_JUDGED = "not judged yet"
"""The reason of a service day that no evaluation has looked at."""


class _Day(NamedTuple):
    """What _DAYS tells of a service day, in its order; by default what is not judged yet."""

    deadline_us: int
    timeliness: str = "no_estimate"
    data_state: str = "open"
    delivered_us: int | None = None
    expected_us: int | None = None
    late_us: int | None = None
    p95_us: int | None = None
    p80_us: int | None = None
    p_late: float | None = None
    critical: str = "[]"
    nights: int = 0
    act_by_us: int | None = None
    green_by_us: int | None = None
    cause: str = ""
    incident_id: int | None = None
    reason: str = ""
    sources: str = "[]"
    path: str = "[]"
    promised_us: int | None = None
    extension: str = ""
    instance: str = ""
    submission: str = ""
    awaits: str = "[]"
    distrust: str = ""


class ServiceReads(Base):
    _services_told: tuple[tuple[str | None, int, datetime], list[ServiceView]] | None = None

    def services(self, bd: str | None = None) -> list[ServiceView]:
        """Each service on that business date, else its current one, by tier and name. Header and screen ask for the
        same one after the other: it is told again until somebody commits, or a minute is over."""
        told_for = (bd, self.data_version(), self.now().replace(second=0, microsecond=0))
        if self._services_told is None or self._services_told[0] != told_for:
            self._services_told = (told_for, self._services_on(bd))
        return list(self._services_told[1])

    def _services_on(self, bd: str | None) -> list[ServiceView]:
        now, days = self.now(), self._days(bd)
        shown = []
        for row in self.link.rows(_SERVICES):
            if is_end_to_end(row[9]):
                known = sorted(days[row[0]], key=_soonest)
                shown.append((row, known[0][0] if known else _bd_of(row, now), known[0][1] if known else None))
                continue
            on = date.fromisoformat(bd) if bd else _bd_of(row, now)
            shown.append((row, on, next((day for of, day in days[row[0]] if of == on), None)))
        return self._views(shown)

    def instances(self, name: str, bd: str | None = None) -> list[ServiceView]:
        """Each submission of a service that is promised end to end, of that business date or of the last days, what is
        not delivered first; nothing of any other service."""
        rows = [row for row in self.link.rows(_SERVICES) if row[1] == name and is_end_to_end(row[9])]
        days = self._days(bd) if rows else {}
        return self._views([(row, of, day) for row in rows for of, day in sorted(days[row[0]], key=_soonest)])

    def _days(self, bd: str | None) -> dict[int, list[tuple[date, _Day]]]:
        """Service -> its days and instances: of that business date, or of all that may be told."""
        found: dict[int, list[tuple[date, _Day]]] = defaultdict(list)
        first = bd or (self.now() - BEFORE_DEADLINE).date().isoformat()
        for service_id, of, *rest in self.link.rows(_DAYS, (first,)):
            if bd in (None, of):
                found[service_id].append((date.fromisoformat(of), _Day(*rest)))
        return found

    def _views(self, shown: list[tuple[Row, date, _Day | None]]) -> list[ServiceView]:
        names = self._job_names({job_id for _, _, day in shown if day for job_id in _listed(day.path)})
        unknown = by_service(read_back(self.meta(UNKNOWN_ENDS)))
        open_ones: dict[int, tuple[str, str | None, int | None]] = {}
        if any(day is not None and day.incident_id is not None for _, _, day in shown):
            open_ones = {row[0]: row[1:] for row in self.link.rows(_OPEN, (micros(self.now()),))}
        found = [_service(row, on, day, names, open_ones) for row, on, day in shown]
        return [_not_whole(one, unknown[one.name]) if one.name in unknown else one for one in found]

    def service(self, name: str, bd: str | None = None) -> ServiceView:
        """One service by name, on that business date, else its current one. Raises NotFound with near misses."""
        services = self.services(bd)
        for view in services:
            if view.name == name:
                return view
        raise NotFound(name, near(name, [view.name for view in services]), "headway services")

    def _job_names(self, ids: set[int]) -> dict[int, str]:
        return dict(self.link.by_ids("SELECT j.id, j.name FROM {ids} JOIN job j ON j.id = k.a", sorted(ids)))


def _not_whole(one: ServiceView, words: str) -> ServiceView:
    """A service that waits for a job which there is not: what is said of it is of the others alone."""
    return replace(one, trouble=one.trouble or words, reason="; ".join(filter(None, [one.reason, words])))


def current_bd(now: datetime, zone: str, cutoff: time) -> date:
    """The business date whose window holds this moment."""
    local = now.astimezone(ZoneInfo(zone))
    return local.date() if local.time() >= cutoff else local.date() - timedelta(days=1)


def _bd_of(row: Row, now: datetime) -> date:
    """The business date whose deadline lies in the present window."""
    return current_bd(now, row[6], time.fromisoformat(row[7])) - timedelta(days=days_after(row[9]))


def is_end_to_end(promise: str) -> bool:
    """True for a service of which each submission has a deadline of its own."""
    return bool(_deadline_rule(promise).get("key"))


def _soonest(one: tuple[date, _Day]) -> tuple[bool, int]:
    """What is not delivered first, the soonest due of it; then the latest."""
    day = one[1]
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


def _listed(text: str) -> tuple[Any, ...]:
    """What a column holds as JSON; most hold nothing."""
    return () if text == "[]" else tuple(json.loads(text))


def _deadline(bd: date, deadline: time, cutoff: time, zone: str) -> datetime:
    day = bd if deadline >= cutoff else bd + timedelta(days=1)
    return datetime.combine(day, deadline, ZoneInfo(zone)).astimezone(UTC)


def _service(
    row: Row,
    bd: date,
    day: _Day | None,
    names: dict[int, str],
    open_ones: dict[int, tuple[str, str | None, int | None]],
) -> ServiceView:
    service_id, name, title, tier, owner, runbook, zone, cutoff, deadline, promise, calendar = row
    if day is None:
        by_clock = bd + timedelta(days=days_after(promise))
        due = _deadline(by_clock, time.fromisoformat(deadline), time.fromisoformat(cutoff), zone)
        day = _Day(micros(due), reason=NOT_JUDGED)
        if is_end_to_end(promise):
            day = _Day(micros(due), timeliness="no_promise", reason="no submission yet")
    due = instant(day.deadline_us)
    trouble, taken_by, taken_us = open_ones.get(day.incident_id or 0, ("", None, None))
    return ServiceView(
        id=service_id,
        name=name,
        title=instance_name(title or name, day.instance) if day.instance else title or name,
        tier=tier,
        owner=owner,
        runbook=runbook,
        zone=zone,
        bd=bd.isoformat(),
        deadline=due,
        timeliness=day.timeliness,
        data_state=day.data_state,
        delivered=maybe_instant(day.delivered_us),
        expected=maybe_instant(day.expected_us),
        late=maybe_instant(day.late_us),
        p95=maybe_instant(day.p95_us),
        p80=maybe_instant(day.p80_us),
        p_late=day.p_late,
        critical=_listed(day.critical),
        nights=day.nights,
        act_by=maybe_instant(day.act_by_us),
        green_by=maybe_instant(day.green_by_us),
        cause=day.cause,
        incident_id=day.incident_id,
        reason=day.reason,
        sources=_listed(day.sources),
        path=tuple(names[job_id] for job_id in _listed(day.path) if job_id in names),
        promised=maybe_instant(day.promised_us) or due,
        extension=day.extension,
        instance=day.instance,
        submission=day.submission,
        awaits=_listed(day.awaits),
        distrust=day.distrust,
        calendar=calendar,
        trouble=trouble,
        taken_by=taken_by or "",
        taken_until=maybe_instant(taken_us),
    )
