"""Maintenance windows: which one covers a job, target or check, until when, and what is planned for a date.

Planned changes for a business date are a later deadline, a later start or a longer duration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from console.domain.calendar import Calendar, MaintenanceWindow, PlannedException
from console.domain.check import Check
from console.domain.estate import Estate, JobFacts, ServiceFacts, TargetFacts
from console.domain.name_pattern import matches_name
from console.domain.promise import DeadlineExtension
from console.domain.settings import Declared
from console.domain.text import At, Text
from console.timing.calendars import counts, is_open, open_hours
from console.timing.durations import format_duration
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

    @property
    def text(self) -> Text:
        """ "in maintenance until 04:00: kernel patches"."""
        return "in maintenance until ", At(self.until), f": {self.why}"


def active_maintenances(declared: Declared, at: datetime) -> list[tuple[MaintenanceWindow, datetime]]:
    """Every maintenance at that instant, with its end; in the order of config."""
    return [(window, _end(declared, window, at)) for window in declared.maintenance if _lasts(declared, window, at)]


def maintenance_of_job(estate: Estate, job: JobFacts, at: datetime) -> ActiveMaintenance | None:
    """The maintenance of the job, its target or its system at that instant; the one that ends last."""
    target = estate.targets.get(job.target_id)
    name = f"{target.system}/{target.name}" if target is not None else ""
    return active_maintenance(estate.declared, job.system, name, job.name, at)


def maintenance_of_targets(estate: Estate, targets: Iterable[TargetFacts], at: datetime) -> ActiveMaintenance | None:
    """The maintenance of these targets or their systems at that instant, where each of them has one; the one that ends
    last. That of some of their jobs does not count."""
    return _of_each(
        [
            active_maintenance(estate.declared, target.system, f"{target.system}/{target.name}", None, at)
            for target in targets
        ]
    )


def maintenance_of_check(estate: Estate, name: str, at: datetime) -> ActiveMaintenance | None:
    """Maintenance at that instant of the check's system or target; else of all services that wait for it, each
    through a delivering job. The one that ends last."""
    check, declared = estate.declared.check(name), estate.declared
    if check is not None and check.system:
        windows = (
            window for window in declared.maintenance if _covers_check(window, check) and _lasts(declared, window, at)
        )
        active = (ActiveMaintenance(window.why, _end(declared, window, at), at) for window in windows)
        if longest := max(active, key=_until, default=None):
            return longest
    waiting = [service for service in estate.services if name in service.ready]
    return _of_each([_of_any(estate, service.terminals, at) for service in waiting])


def maintenance_of_jobs(estate: Estate, job_ids: Iterable[int], at: datetime) -> ActiveMaintenance | None:
    """The maintenance at that instant of these jobs, where each of them has one; the one that ends last."""
    return _of_each([maintenance_of_job(estate, estate.jobs[job], at) for job in job_ids if job in estate.jobs])


def _covers_check(window: MaintenanceWindow, check: Check) -> bool:
    if matches_any(window.systems, check.system):
        return True
    if check.target:
        return matches_any(window.targets, f"{check.system}/{check.target}")
    return matches_any((target.partition("/")[0] for target in window.targets), check.system)


def _of_any(estate: Estate, job_ids: Iterable[int], at: datetime) -> ActiveMaintenance | None:
    maintenances = (maintenance_of_job(estate, estate.jobs[job_id], at) for job_id in job_ids if job_id in estate.jobs)
    return max((maintenance for maintenance in maintenances if maintenance is not None), key=_until, default=None)


def _of_each(maintenances: Sequence[ActiveMaintenance | None]) -> ActiveMaintenance | None:
    lasting = [maintenance for maintenance in maintenances if maintenance is not None]
    return max(lasting, key=_until) if lasting and len(lasting) == len(maintenances) else None


def _until(maintenance: ActiveMaintenance) -> datetime:
    return maintenance.until


def planned_extension(
    declared: Declared, service: ServiceFacts, business_date: date, promised: datetime
) -> DeadlineExtension | None:
    """More time that was planned for that business date of a service; the longest where there are several."""
    exceptions = [
        exception
        for exception in _planned(declared, business_date)
        if exception.more_time and matches_any(exception.services, service.name)
    ]
    if not exceptions:
        return None
    exception = max(exceptions, key=lambda exception: exception.more_time)
    why = f"{exception.why}: +{format_duration(exception.more_time)}"
    return DeadlineExtension(service.name, business_date, promised + exception.more_time, "config", why)


def starts_later(declared: Declared, job: str, business_date: date) -> tuple[timedelta, str]:
    """How much later than by its clock the job may start on that date, and why; nothing where nothing is planned."""
    return _most(declared, job, business_date, "starts_later")


def takes_longer(declared: Declared, job: str, business_date: date) -> tuple[timedelta, str]:
    """How much longer the job takes on that date, and why; nothing where nothing is planned."""
    return _most(declared, job, business_date, "takes_longer")


def matches_any(patterns: Iterable[str], name: str) -> bool:
    """True where one of the patterns means the name: * for any text, nothing else is special."""
    return any(matches_name(pattern, name) for pattern in patterns)


def active_maintenance(
    declared: Declared, system: str, target: str, job: str | None, at: datetime
) -> ActiveMaintenance | None:
    """The maintenance at that instant of the system, of the target "SYSTEM/TARGET" or of the job "SYSTEM/JOB"; the one
    that ends last."""
    lasting = []
    for window in declared.maintenance:
        is_meant = matches_any(window.systems, system) or matches_any(window.targets, target)
        if (is_meant or (job is not None and matches_any(window.jobs, job))) and _lasts(declared, window, at):
            lasting.append(ActiveMaintenance(window.why, _end(declared, window, at), at))
    return max(lasting, key=lambda maintenance: maintenance.until, default=None)


def _lasts(declared: Declared, window: MaintenanceWindow, at: datetime) -> bool:
    if (window.since is not None and at < window.since) or (window.until is not None and at >= window.until):
        return False
    calendar = declared.calendar(window.calendar)
    return calendar is None or is_open(calendar, at)


def _end(declared: Declared, window: MaintenanceWindow, at: datetime) -> datetime:
    calendar = declared.calendar(window.calendar)
    ends = [] if calendar is None else [_closes(calendar, at)]
    return min([*ends, *([window.until] if window.until is not None else [])], default=at + timedelta(days=_AHEAD_DAYS))


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
    changes = [
        (getattr(exception, what), exception.why)
        for exception in _planned(declared, business_date)
        if matches_any(exception.jobs, job)
    ]
    return max(changes, default=(_NOTHING, ""))
