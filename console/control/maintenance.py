"""What is in maintenance at an instant, until when and why; and what was planned to be otherwise on a business date."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from console.control.calendars import counts, is_open, open_hours
from console.control.words import moment
from console.control.zones import instant_at, zone_of
from console.durations import duration_words
from console.model.calendars import Calendar
from console.model.checks import Check
from console.model.declared import Declared
from console.model.maintenance import Maintenance, PlannedException
from console.model.promises import Extension, service_of
from console.model.values import Estate, JobFacts, ServiceFacts, TargetFacts

_AHEAD_DAYS = 9
"""Days ahead in which the end of a maintenance by calendar is sought; one that lasts longer is asked again then."""
_NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class Quiet:
    """A maintenance that lasts now."""

    why: str
    until: datetime
    at: datetime
    """The instant that was looked at."""

    def words(self, zone: str) -> str:
        """ "in maintenance until 04:00 CET: kernel patches", with the date where it is another day."""
        return f"in maintenance until {moment(self.until, zone, self.at)}: {self.why}"


def lasting(declared: Declared, at: datetime) -> list[tuple[Maintenance, datetime]]:
    """Every maintenance at that instant, with its end; in the order of config."""
    return [(one, _end(declared, one, at)) for one in declared.maintenance if _lasts(declared, one, at)]


def of_job(estate: Estate, job: JobFacts, at: datetime) -> Quiet | None:
    """The maintenance of the job, its target or its system at that instant; the one that ends last."""
    target = estate.targets.get(job.target_id)
    name = f"{target.system}/{target.name}" if target is not None else ""
    return _lasting(estate.declared, job.system, name, job.name, at)


def of_target(estate: Estate, target: TargetFacts, at: datetime) -> Quiet | None:
    """The maintenance of the target or its system at that instant; that of some of its jobs does not count."""
    return _lasting(estate.declared, target.system, f"{target.system}/{target.name}", None, at)


def of_check(estate: Estate, name: str, at: datetime) -> Quiet | None:
    """The maintenance at that instant of the system or target by whose door the check looks; else of all services that
    wait for it, each of which has a job in maintenance that delivers it. The one that ends last."""
    check, declared = estate.declared.check(name), estate.declared
    if check is not None and check.system:
        meant = (one for one in declared.maintenance if _means_door(one, check) and _lasts(declared, one, at))
        if found := max((Quiet(one.why, _end(declared, one, at), at) for one in meant), key=_until, default=None):
            return found
    waiting = [one for one in estate.services if name in one.ready]
    return _of_each([_of_any(estate, one.terminals, at) for one in waiting])


def of_jobs(estate: Estate, job_ids: Iterable[int], at: datetime) -> Quiet | None:
    """The maintenance at that instant of these jobs, where each of them has one; the one that ends last."""
    return _of_each([of_job(estate, estate.jobs[each], at) for each in job_ids if each in estate.jobs])


def _means_door(one: Maintenance, check: Check) -> bool:
    """A check that names no target looks at the one place that its system has."""
    if fits_any(one.systems, check.system):
        return True
    if check.target:
        return fits_any(one.targets, f"{check.system}/{check.target}")
    return fits_any((each.partition("/")[0] for each in one.targets), check.system)


def _of_any(estate: Estate, job_ids: Iterable[int], at: datetime) -> Quiet | None:
    found = (of_job(estate, estate.jobs[each], at) for each in job_ids if each in estate.jobs)
    return max((one for one in found if one is not None), key=_until, default=None)


def _of_each(found: Sequence[Quiet | None]) -> Quiet | None:
    lasting = [one for one in found if one is not None]
    return max(lasting, key=_until) if lasting and len(lasting) == len(found) else None


def _until(one: Quiet) -> datetime:
    return one.until


def planned_extension(declared: Declared, service: ServiceFacts, bd: date, promised: datetime) -> Extension | None:
    """More time that was planned for that business date of a service, of each submission where it is promised end to
    end; the longest where there are several."""
    name = service_of(service.name) if service.instance is not None else service.name
    found = [one for one in _planned(declared, bd) if one.more_time and fits_any(one.services, name)]
    if not found:
        return None
    one = max(found, key=lambda each: each.more_time)
    why = f"{one.why}: +{duration_words(one.more_time.total_seconds())}"
    return Extension(name, bd, promised + one.more_time, "config", why)


def starts_later(declared: Declared, job: str, bd: date) -> tuple[timedelta, str]:
    """How much later than by its clock the job may start on that date, and why; nothing where nothing is planned."""
    return _most(declared, job, bd, "starts_later")


def takes_longer(declared: Declared, job: str, bd: date) -> tuple[timedelta, str]:
    """How much longer the job takes on that date, and why; nothing where nothing is planned."""
    return _most(declared, job, bd, "takes_longer")


def fits_any(patterns: Iterable[str], name: str) -> bool:
    """True where one of the patterns means the name: * for any text, nothing else is special."""
    return any(_pattern(each).fullmatch(name) for each in patterns)


def _lasting(declared: Declared, system: str, target: str, job: str | None, at: datetime) -> Quiet | None:
    found = []
    for one in declared.maintenance:
        is_meant = fits_any(one.systems, system) or fits_any(one.targets, target)
        if (is_meant or (job is not None and fits_any(one.jobs, job))) and _lasts(declared, one, at):
            found.append(Quiet(one.why, _end(declared, one, at), at))
    return max(found, key=lambda each: each.until, default=None)


def _lasts(declared: Declared, one: Maintenance, at: datetime) -> bool:
    """From its beginning until just before its end."""
    if (one.since is not None and at < one.since) or (one.until is not None and at >= one.until):
        return False
    calendar = declared.calendar(one.calendar)
    return calendar is None or is_open(calendar, at)


def _end(declared: Declared, one: Maintenance, at: datetime) -> datetime:
    calendar = declared.calendar(one.calendar)
    ends = [] if calendar is None else [_closes(calendar, at)]
    return min([*ends, *([one.until] if one.until is not None else [])], default=at + timedelta(days=_AHEAD_DAYS))


@lru_cache(maxsize=4096)
def _closes(calendar: Calendar, at: datetime) -> datetime:
    """The first instant after `at` at which the calendar is not open any more."""
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


def _planned(declared: Declared, bd: date) -> Iterator[PlannedException]:
    for one in declared.exceptions:
        calendar = declared.calendar(one.calendar)
        if bd in one.dates or (calendar is not None and counts(calendar, bd)):
            yield one


def _most(declared: Declared, job: str, bd: date, what: str) -> tuple[timedelta, str]:
    found = [(getattr(one, what), one.why) for one in _planned(declared, bd) if fits_any(one.jobs, job)]
    return max(found, default=(_NOTHING, ""))


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)
