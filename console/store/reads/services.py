"""How the promises of the current business dates stand."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from console.model.ids import instant, maybe_instant, micros
from console.model.promises import instance_name
from console.model.views import ServiceView
from console.store.errors import NotFound
from console.store.reads.base import Base
from console.store.reads.link import Row
from console.store.reads.near import near

_SERVICES = (
    "SELECT id, name, title, tier, owner, runbook, zone, cutoff, deadline, promise, calendar FROM service"
    " WHERE NOT removed ORDER BY tier, name"
)
_DAYS = (
    "SELECT service_id, bd, deadline_us, timeliness, data_state, delivered_us, expected_us, late_us, act_by_us,"
    " green_by_us,"
    " cause, incident_id, reason, sources, path, promised_us, extension, instance, submission, awaits"
    " FROM service_day WHERE bd >= ?"
)


NOT_JUDGED = "not judged yet"
"""The reason of a service day that no evaluation has looked at."""
FURTHEST_DAY = 7
"""As config lets a deadline lie after the window of its business date."""


class _Day(NamedTuple):
    """What _DAYS tells of a service day, in its order; by default what is not judged yet."""

    deadline_us: int
    timeliness: str = "no_estimate"
    data_state: str = "open"
    delivered_us: int | None = None
    expected_us: int | None = None
    late_us: int | None = None
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


class ServiceReads(Base):
    def services(self, bd: str | None = None) -> list[ServiceView]:
        """Each service on that business date, else its current one, by tier and name."""
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
        first = bd or (self.now() - timedelta(days=3 + FURTHEST_DAY)).date().isoformat()
        for service_id, of, *rest in self.link.rows(_DAYS, (first,)):
            if bd in (None, of):
                found[service_id].append((date.fromisoformat(of), _Day(*rest)))
        return found

    def _views(self, shown: list[tuple[Row, date, _Day | None]]) -> list[ServiceView]:
        names = self._job_names({job_id for _, _, day in shown if day for job_id in json.loads(day.path)})
        return [_service(row, on, day, names) for row, on, day in shown]

    def service(self, name: str, bd: str | None = None) -> ServiceView:
        """One service by name, on that business date, else its current one. Raises NotFound with near misses."""
        services = self.services(bd)
        for view in services:
            if view.name == name:
                return view
        raise NotFound(name, near(name, [view.name for view in services]))

    def _job_names(self, ids: set[int]) -> dict[int, str]:
        return dict(self.link.by_ids("SELECT j.id, j.name FROM {ids} JOIN job j ON j.id = k.a", sorted(ids)))


def current_bd(now: datetime, zone: str, cutoff: time) -> date:
    """The business date whose window holds this moment."""
    local = now.astimezone(ZoneInfo(zone))
    return local.date() if local.time() >= cutoff else local.date() - timedelta(days=1)


def _bd_of(row: Row, now: datetime) -> date:
    """The business date whose deadline lies in the present window."""
    return current_bd(now, row[6], time.fromisoformat(row[7])) - timedelta(days=days_after(row[9]))


def is_end_to_end(promise: str) -> bool:
    """True for a service of which each submission has a deadline of its own."""
    return bool(json.loads(promise).get("deadline", {}).get("key"))


def _soonest(one: tuple[date, _Day]) -> tuple[bool, int]:
    """What is not delivered first, the soonest due of it; then the latest."""
    day = one[1]
    return day.delivered_us is not None, day.deadline_us if day.delivered_us is None else -day.deadline_us


def days_after(promise: str) -> int:
    """How many days after the window of its business date a service's deadline is: in the present window falls that of
    the date so many days ago."""
    return int(json.loads(promise).get("deadline", {}).get("day", 0))


def _deadline(bd: date, deadline: time, cutoff: time, zone: str) -> datetime:
    day = bd if deadline >= cutoff else bd + timedelta(days=1)
    return datetime.combine(day, deadline, ZoneInfo(zone)).astimezone(UTC)


def _service(row: Row, bd: date, day: _Day | None, names: dict[int, str]) -> ServiceView:
    service_id, name, title, tier, owner, runbook, zone, cutoff, deadline, promise, calendar = row
    if day is None:
        by_clock = bd + timedelta(days=days_after(promise))
        due = _deadline(by_clock, time.fromisoformat(deadline), time.fromisoformat(cutoff), zone)
        day = _Day(micros(due), reason=NOT_JUDGED)
        if is_end_to_end(promise):
            day = _Day(micros(due), timeliness="no_promise", reason="no submission yet")
    due = instant(day.deadline_us)
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
        act_by=maybe_instant(day.act_by_us),
        green_by=maybe_instant(day.green_by_us),
        cause=day.cause,
        incident_id=day.incident_id,
        reason=day.reason,
        sources=tuple(json.loads(day.sources)),
        path=tuple(names[job_id] for job_id in json.loads(day.path) if job_id in names),
        promised=maybe_instant(day.promised_us) or due,
        extension=day.extension,
        instance=day.instance,
        submission=day.submission,
        awaits=tuple(json.loads(day.awaits)),
        calendar=calendar,
    )
