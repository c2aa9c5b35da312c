"""Deadlines: which business dates of a service are promised, and by when.

A deadline is a time of day in the service's own zone, or an interval after a start. Dates that its calendar
excludes are reported with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import has_no_clock, has_started
from console.domain.decision import ServiceDayVerdict
from console.domain.estate import JobFacts, ServiceFacts
from console.domain.promise import DeadlineExtension
from console.domain.reason import NoPromise
from console.domain.service import Timeliness
from console.timing.business_dates import business_date_of
from console.timing.calendars import counts, exclusion_reason, is_start_expected
from console.timing.durations import TICK
from console.timing.schedule import instants, is_interval, moved_start, next_instant
from console.timing.zones import business_window, date_in_window, time_in_window, zone_of

_DAY = timedelta(days=1)
MAX_DAYS_APART = timedelta(days=2)
"""Between a business date of a job and the day of a service in another zone: zones are up to 26 h apart."""


def latest_deadline(service: ServiceFacts, business_date: date) -> datetime:
    """The instant (UTC) of its deadline for that business date; of one that counts from a start, the latest that it can
    be: the start lies inside the date's window."""
    rule, zone = service.promise.deadline, zone_of(service.zone)
    if rule.after_start is not None:
        return business_window(business_date, zone, service.cutoff)[1] + rule.after_start
    return time_in_window(business_date + timedelta(days=rule.day), service.deadline, zone, service.cutoff)


def clock_starts(job: JobFacts, business_date: date) -> list[datetime]:
    """The instants of its accepted schedule on that business date, whether its calendar expects them or not; by its
    expression once the next start that its source names is of a later date."""
    opens, closes = business_window(business_date, zone_of(job.zone), job.cutoff)
    ahead = job.schedule.next_at
    schedule = job.schedule if ahead is None or ahead < closes else replace(job.schedule, next_at=None)
    return instants(schedule, opens - TICK, closes - TICK)


class DeliveringStart(NamedTuple):
    """The start of a business date from which on a service can be delivered, and the day of its deadline."""

    job: JobFacts
    at: datetime
    service_day: date
    """The date in the service's zone whose window holds the start; the day after, if the deadline of that one is before
    the local day of the start, or before the business date begins for the job."""
    is_later: bool
    """True if it is that day after because the start comes on a later local day."""


def delivering_start(
    index: EstateIndex, service: ServiceFacts, members: Iterable[int], business_date: date
) -> DeliveringStart | None:
    """The first start of the jobs that deliver the service, of those on the last day in its zone; if they have no
    clock, the last start of their upstreams. None if nothing of that date is known to start."""
    jobs, zone = index.estate.jobs, zone_of(service.zone)
    ends = _ends(index, service)
    timed = {end for end in ends if not has_no_clock(jobs[end])}
    counted = timed or {member for member in members if not has_no_clock(jobs[member])} or ends
    starts = [(at, job_id) for job_id in counted if (at := _first_start(index, jobs[job_id], business_date))]
    if not starts:
        return None
    start, job_id = max(starts)
    day = date_in_window(start, zone, service.cutoff)
    if timed:
        start, job_id = min(pair for pair in starts if date_in_window(pair[0], zone, service.cutoff) == day)
    deadline = latest_deadline(service, day)
    is_later = start.astimezone(zone).date() > deadline.astimezone(zone).date()
    begins = business_window(business_date, zone_of(jobs[job_id].zone), jobs[job_id].cutoff)[0]
    return DeliveringStart(jobs[job_id], start, day + _DAY if is_later or begins >= deadline else day, is_later)


def service_day(index: EstateIndex, service: ServiceFacts, members: Iterable[int], business_date: date) -> date:
    """The date in the service's zone whose deadline counts for that business date of the jobs that deliver it. Computed
    once per index."""
    key = (service.name, business_date)
    if key not in index.service_days:
        is_its_own = service.deadline < service.cutoff and has_one_zone(index, service)
        is_timed = service.promise.deadline.after_start is None and not is_its_own
        start = delivering_start(index, service, members, business_date) if is_timed else None
        index.service_days[key] = start.service_day if start is not None else business_date
    return index.service_days[key]


def has_one_zone(index: EstateIndex, service: ServiceFacts) -> bool:
    """True if a business date is the same window for the service and the jobs that deliver it."""
    ends = (index.estate.jobs[end] for end in _ends(index, service))
    return all((end.zone, end.cutoff) == (service.zone, service.cutoff) for end in ends)


def _ends(index: EstateIndex, service: ServiceFacts) -> set[int]:
    return {index.graph.unit(terminal) for terminal in service.terminals if terminal in index.estate.jobs}


def _first_start(index: EstateIndex, job: JobFacts, business_date: date) -> datetime | None:
    """By its clock; where its source names only the next start, of its runs of that date."""
    runs = (run.period_at or run.first_started_at for run in index.of_day(job.id, business_date))
    return next(iter(clock_starts(job, business_date)), None) or next(filter(None, runs), None)


def promised_at(index: EstateIndex, service: ServiceFacts, members: Iterable[int], business_date: date) -> datetime:
    """Its deadline (UTC), before any extension. If it counts from a start that has not come it counts from when that is
    due, and is the latest possible if nothing is due."""
    rule = service.promise.deadline
    if rule.after_start is None:
        return latest_deadline(service, service_day(index, service, members, business_date))
    counted = [rule.of_id] if rule.of else list(members)
    job_ids = [job_id for job_id in counted if job_id is not None and job_id in index.estate.jobs]
    begun = [run.first_started_at for job_id in job_ids for run in index.of_day(job_id, business_date)]
    starts = [at for at in begun if at is not None]
    due = starts or [at for job_id in job_ids for at in scheduled_starts(index, index.job(job_id), business_date)[:1]]
    return min(due) + rule.after_start if due else latest_deadline(service, business_date)


def sla_deadline(service: ServiceFacts, business_date: date, promised: datetime) -> datetime | None:
    """When it is late by its SLA, whatever was extended; None without one."""
    agreed = service.promise.sla
    if agreed is None or agreed.at is None:
        return promised if agreed else None
    zone, is_timed = zone_of(service.zone), service.promise.deadline.after_start is None
    day = date_in_window(promised, zone, service.cutoff) if is_timed else business_date
    return time_in_window(day, agreed.at, zone, service.cutoff)


def extension_of(
    extensions: Iterable[DeadlineExtension], service: ServiceFacts, business_date: date, promised: datetime
) -> DeadlineExtension | None:
    """Extension of that business date; None without one."""
    key = service.name, business_date
    later = (extension for extension in extensions if extension.until > promised)
    return next((extension for extension in later if (extension.service, extension.business_date) == key), None)


def scheduled_starts(index: EstateIndex, job: JobFacts, business_date: date) -> list[datetime]:
    """The accepted instants of that business date that its calendar expects; none of the time before the schedule was
    accepted."""
    if has_no_clock(job) or job.accepted_at is None:
        return []
    opens, closes = business_window(business_date, zone_of(job.zone), job.cutoff)
    calendar = index.estate.declared.calendar(job.calendar)
    starts = instants(job.schedule, max(opens, job.accepted_at) - TICK, closes - TICK)
    return [at for at in starts if is_start_expected(calendar, at, business_date)]


def clock_start(job: JobFacts, accepted: datetime) -> datetime:
    """When its clock starts the run that its accepted schedule has at that instant: by the changed schedule while that
    is not accepted. A changed start that had passed when the change was seen comes at its next instant."""
    return moved_start(job.schedule, job.seen_schedule, job.drift_since, accepted)


def start_before(index: EstateIndex, job: JobFacts, start: datetime) -> datetime | None:
    """The next start by its clock, if that comes before `start`: of the starts until a deadline `start` is the last."""
    following = next_start(index, job, index.now)
    return following if following is not None and following < start else None


def next_start_of_date(index: EstateIndex, job: JobFacts, business_date: date) -> datetime | None:
    """The next start by its clock, if that is of this business date too; None while it is paused."""
    at = next_start(index, job, index.now)
    is_same = at is not None and business_date_of(at, None, job.zone, job.cutoff) == business_date
    return at if is_same else None


def next_start(index: EstateIndex, job: JobFacts, after: datetime) -> datetime | None:
    """The first start after that instant by the clock of its source, accepted or not, that its calendar expects and
    whose period has not begun. None while it is paused or gone, and if no start is expected in two weeks."""
    calendar = index.estate.declared.calendar(job.calendar)
    begun = {run.period_at for run in index.runs.get(job.id, ()) if has_started(run)}
    return next(
        (
            start
            for start in starts_after(job, after)
            if start not in begun
            if is_start_expected(calendar, start, business_date_of(start, None, job.zone, job.cutoff))
        ),
        None,
    )


def starts_after(job: JobFacts, after: datetime) -> Iterator[datetime]:
    """The starts after that instant by the clock of its source, in order, whether its calendar expects them or not: all
    within two weeks of the first. None while it is paused or gone. Starts that drift are unknown, but for one that its
    source names."""
    if job.accepted_at is None or job.paused_since is not None or job.gone_since is not None:
        return
    schedule = job.source_schedule
    if is_interval(schedule):
        schedule = replace(schedule, dialect="none")
    if (first := next_instant(schedule, after)) is not None:
        yield first
        for since in (first + number * _DAY for number in range(14)):
            yield from instants(schedule, since, since + _DAY)


def judged_dates(index: EstateIndex, service: ServiceFacts, members: Sequence[int]) -> Iterator[date]:
    """Those whose deadline lies between the lookback and the horizon, and the present one, in order."""
    for day, _ in _dates(index, service, members):
        if _is_judged(service, index, members, day):
            yield day


def excluded_dates(index: EstateIndex) -> Iterator[ServiceDayVerdict]:
    """Of each service the dates around now that its calendar leaves out: said, so that no such date looks pending."""
    for service in index.estate.services:
        calendar = index.estate.declared.calendar(service.calendar)
        if calendar is None:
            continue
        for day, deadline in _dates(index, service, index.members(service)):
            if not counts(calendar, day):
                reason = exclusion_reason(calendar, day)
                yield ServiceDayVerdict(
                    service.name, day, deadline, Timeliness.NO_PROMISE, reasons=(NoPromise(reason),)
                )


def _dates(index: EstateIndex, service: ServiceFacts, members: Iterable[int]) -> Iterator[tuple[date, datetime]]:
    """Each with its deadline, the latest that it can be."""
    settings, zone = index.estate.settings, zone_of(service.zone)
    since, until = index.now - settings.lookback, index.now + settings.horizon
    apart = timedelta(0) if has_one_zone(index, service) else MAX_DAYS_APART
    today = date_in_window(index.now, zone, service.cutoff)
    day = date_in_window(since, zone, service.cutoff) - _DAY - timedelta(days=service.promise.deadline.day) - apart
    while latest_deadline(service, day - apart) <= until or day - apart <= today:
        on = service_day(index, service, members, day)
        latest = latest_deadline(service, on)
        if latest > since and (latest <= until or min(day, on) <= today):
            yield day, latest
        day += _DAY


def _is_judged(service: ServiceFacts, index: EstateIndex, members: Sequence[int], business_date: date) -> bool:
    since = index.now - index.estate.settings.lookback
    jobs = [index.job(member) for member in members if member in index.estate.jobs]
    zones = {(service.zone, service.cutoff), *((job.zone, job.cutoff) for job in jobs)}
    if all(business_window(business_date, zone_of(zone), cutoff)[0] > since for zone, cutoff in zones):
        return True
    starts = [at for job in jobs for at in scheduled_starts(index, job, business_date)[:1]]
    return bool(starts) and min(starts) > since
