"""How the promises of the current business dates stand."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from console.model.ids import instant, maybe_instant
from console.model.views import ServiceView
from console.store.errors import NotFound
from console.store.reads.base import Base
from console.store.reads.link import Row
from console.store.reads.near import near

_SERVICES = (
    "SELECT id, name, title, tier, owner, runbook, zone, cutoff, deadline FROM service WHERE NOT removed"
    " ORDER BY tier, name"
)
_DAYS = (
    "SELECT service_id, bd, deadline_us, timeliness, data_state, delivered_us, expected_us, late_us, act_by_us,"
    " green_by_us,"
    " cause, incident_id, reason, sources, path FROM service_day WHERE bd >= ?"
)


class ServiceReads(Base):
    def services(self) -> list[ServiceView]:
        """Each service on its current business date, by tier and name."""
        now = self.now()
        days: dict[int, dict[str, Row]] = defaultdict(dict)
        for service_id, bd, *rest in self.link.rows(_DAYS, ((now - timedelta(days=3)).date().isoformat(),)):
            days[service_id][bd] = tuple(rest)
        shown = []
        for row in self.link.rows(_SERVICES):
            bd = current_bd(now, row[6], time.fromisoformat(row[7]))
            shown.append((row, bd, days[row[0]].get(bd.isoformat())))
        names = self._job_names({job_id for _, _, day in shown if day for job_id in json.loads(day[12])})
        return [_service(row, bd, day, names) for row, bd, day in shown]

    def service(self, name: str) -> ServiceView:
        """One service by name. Raises NotFound with near misses."""
        services = self.services()
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


def _deadline(bd: date, deadline: time, cutoff: time, zone: str) -> datetime:
    day = bd if deadline >= cutoff else bd + timedelta(days=1)
    return datetime.combine(day, deadline, ZoneInfo(zone)).astimezone(UTC)


def _service(row: Row, bd: date, day: Row | None, names: dict[int, str]) -> ServiceView:
    service_id, name, title, tier, owner, runbook, zone, cutoff, deadline = row
    if day is None:
        promised = _deadline(bd, time.fromisoformat(deadline), time.fromisoformat(cutoff), zone)
        day = (None, "no_estimate", "open", None, None, None, None, None, "", None, "not judged yet", "[]", "[]")
    else:
        promised = instant(day[0])
    (
        _,
        timeliness,
        data_state,
        delivered,
        expected,
        late,
        act_by,
        green_by,
        cause,
        incident_id,
        reason,
        sources,
        path,
    ) = day
    return ServiceView(
        id=service_id,
        name=name,
        title=title or name,
        tier=tier,
        owner=owner,
        runbook=runbook,
        zone=zone,
        bd=bd.isoformat(),
        deadline=promised,
        timeliness=timeliness,
        data_state=data_state,
        delivered=maybe_instant(delivered),
        expected=maybe_instant(expected),
        late=maybe_instant(late),
        act_by=maybe_instant(act_by),
        green_by=maybe_instant(green_by),
        cause=cause,
        incident_id=incident_id,
        reason=reason,
        sources=tuple(json.loads(sources)),
        path=tuple(names[job_id] for job_id in json.loads(path) if job_id in names),
    )
