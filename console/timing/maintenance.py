"""Maintenance windows: which one covers a job, target or check, until when, and what is planned for a date.

Planned changes for a business date are a later deadline, a later start or a longer duration.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from console.domain.calendar import Calendar, MaintenanceWindow, PlannedException
from console.domain.check import Check
from console.domain.estate import Estate, JobFacts, ServiceFacts, TargetFacts
from console.domain.promise import DeadlineExtension
from console.domain.service import service_of_instance
from console.domain.settings import Declared
from console.timing.calendars import counts, is_open, open_hours
from console.timing.durations import format_duration
from console.timing.formats import zoned_time
from console.timing.zones import instant_at, zone_of

_AHEAD_DAYS = 9
"""Days ahead in which the end of a maintenance by calendar is sought; then it is computed again."""
_NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class ActiveMaintenance:
    """A maintenance that lasts now."""

    why: str
    until: datetime
    at: datetime
    """The instant of the query."""

    def text(self, zone: str) -> str:
        """ "in maintenance until 04:00 CET: kernel patches", with the date where it is another day."""
        return f"in maintenance until {zoned_time(self.until, zone, self.at)}: {self.why}"


def active_maintenances(declared: Declared, at: datetime) -> list[tuple[MaintenanceWindow, datetime]]:
    """Every maintenance at that instant, with its end; in the order of config."""
    return [(one, _end(declared, one, at)) for one in declared.maintenance if _lasts(declared, one, at)]


def maintenance_of_job(estate: Estate, job: JobFacts, at: datetime) -> ActiveMaintenance | None:
    """The maintenance of the job, its target or its system at that instant; the one that ends last."""
    target = estate.targets.get(job.target_id)
    name = f"{target.system}/{target.name}" if target is not None else ""
    return _lasting(estate.declared, job.system, name, job.name, at)


def maintenance_of_target(estate: Estate, target: TargetFacts, at: datetime) -> ActiveMaintenance | None:
    """The maintenance of the target or its system at that instant; that of some of its jobs does not count."""
    return _lasting(estate.declared, target.system, f"{target.system}/{target.name}", None, at)


def maintenance_of_check(estate: Estate, name: str, at: datetime) -> ActiveMaintenance | None:
    """Maintenance at that instant of the check's system or target; else of all services that wait for it, each
    through a delivering job. The one that ends last."""
    check, declared = estate.declared.check(name), estate.declared
    if check is not None and check.system:
        meant = (one for one in declared.maintenance if _means_door(one, check) and _lasts(declared, one, at))
        if found := max(
            (ActiveMaintenance(one.why, _end(declared, one, at), at) for one in meant), key=_until, default=None
        ):
            return found
    waiting = [service for service in estate.services if name in service.ready]
    return _of_each([_of_any(estate, one.terminals, at) for one in waiting])


def maintenance_of_jobs(estate: Estate, job_ids: Iterable[int], at: datetime) -> ActiveMaintenance | None:
    """The maintenance at that instant of these jobs, where each of them has one; the one that ends last."""
    return _of_each([maintenance_of_job(estate, estate.jobs[each], at) for each in job_ids if each in estate.jobs])


def _means_door(one: MaintenanceWindow, check: Check) -> bool:
    if matches_any(one.systems, check.system):
        return True
    if check.target:
        return matches_any(one.targets, f"{check.system}/{check.target}")
    return matches_any((target.partition("/")[0] for target in one.targets), check.system)


def _of_any(estate: Estate, job_ids: Iterable[int], at: datetime) -> ActiveMaintenance | None:
    found = (maintenance_of_job(estate, estate.jobs[each], at) for each in job_ids if each in estate.jobs)
    return max((one for one in found if one is not None), key=_until, default=None)


def _of_each(found: Sequence[ActiveMaintenance | None]) -> ActiveMaintenance | None:
    lasting = [one for one in found if one is not None]
    return max(lasting, key=_until) if lasting and len(lasting) == len(found) else None


def _until(one: ActiveMaintenance) -> datetime:
    return one.until


def planned_extension(
    declared: Declared, service: ServiceFacts, business_date: date, promised: datetime
) -> DeadlineExtension | None:
    """More time that was planned for that business date of a service, of each submission where it is promised end to
    end; the longest where there are several."""
    name = service_of_instance(service.name) if service.instance is not None else service.name
    found = [one for one in _planned(declared, business_date) if one.more_time and matches_any(one.services, name)]
    if not found:
        return None
    one = max(found, key=lambda each: each.more_time)
    why = f"{one.why}: +{format_duration(one.more_time)}"
    return DeadlineExtension(name, business_date, promised + one.more_time, "config", why)


def starts_later(declared: Declared, job: str, business_date: date) -> tuple[timedelta, str]:
    """How much later than by its clock the job may start on that date, and why; nothing where nothing is planned."""
    return _most(declared, job, business_date, "starts_later")


def takes_longer(declared: Declared, job: str, business_date: date) -> tuple[timedelta, str]:
    """How much longer the job takes on that date, and why; nothing where nothing is planned."""
    return _most(declared, job, business_date, "takes_longer")


def matches_any(patterns: Iterable[str], name: str) -> bool:
    """True where one of the patterns means the name: * for any text, nothing else is special."""
    return any(_pattern(pattern).fullmatch(name) for pattern in patterns)


def _lasting(declared: Declared, system: str, target: str, job: str | None, at: datetime) -> ActiveMaintenance | None:
    found = []
    for one in declared.maintenance:
        is_meant = matches_any(one.systems, system) or matches_any(one.targets, target)
        if (is_meant or (job is not None and matches_any(one.jobs, job))) and _lasts(declared, one, at):
            found.append(ActiveMaintenance(one.why, _end(declared, one, at), at))
    return max(found, key=lambda each: each.until, default=None)


def _lasts(declared: Declared, one: MaintenanceWindow, at: datetime) -> bool:
    if (one.since is not None and at < one.since) or (one.until is not None and at >= one.until):
        return False
    calendar = declared.calendar(one.calendar)
    return calendar is None or is_open(calendar, at)


def _end(declared: Declared, one: MaintenanceWindow, at: datetime) -> datetime:
    calendar = declared.calendar(one.calendar)
    ends = [] if calendar is None else [_closes(calendar, at)]
    return min([*ends, *([one.until] if one.until is not None else [])], default=at + timedelta(days=_AHEAD_DAYS))


@lru_cache(maxsize=4096)
def _closes(calendar: Calendar, at: datetime) -> datetime:
    edges = sorted(edge for edge in _edges(calendar, at) if edge > at)
    return next((edge for edge in edges if not is_open(calendar, edge)), at + timedelta(days=_AHEAD_DAYS))


def _edges(calendar: Calendar, at: datetime) -> Iterator[datetime]:
    """Where its windows close, or its days end, from the day before on."""
    zone = zone_of(calendar.zone)
    today = at.astimezone(zone).date()
    for number in range(-1, _AHEAD_DAYS):
        day = today + timedelta(days=number)
        for hours in open_hours(calendar, day):
            yield from (ends for _, ends in hours.spans)
        if not calendar.windows:
            yield instant_at(datetime.combine(day, datetime.min.time()), zone)


def _planned(declared: Declared, business_date: date) -> Iterator[PlannedException]:
    for exception in declared.exceptions:
        calendar = declared.calendar(exception.calendar)
        if business_date in exception.dates or (calendar is not None and counts(calendar, business_date)):
            yield exception


def _most(declared: Declared, job: str, business_date: date, what: str) -> tuple[timedelta, str]:
    found = [(getattr(one, what), one.why) for one in _planned(declared, business_date) if matches_any(one.jobs, job)]
    return max(found, default=(_NOTHING, ""))


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)
