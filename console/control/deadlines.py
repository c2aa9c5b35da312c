"""By when a service is promised on a business date: by the clock in its own zone, or so long after a start."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from console.control.calendars import expects
from console.control.expected import expects_nothing
from console.control.picture import Picture
from console.control.schedule import instants
from console.control.zones import time_in_window, window, zone_of
from console.model.promises import Extension, service_of
from console.model.values import JobFacts, ServiceFacts

_TICK = timedelta(microseconds=1)


def latest_deadline(service: ServiceFacts, bd: date) -> datetime:
    """The instant (UTC) of its deadline for that business date; of one that counts from a start, the latest that it can
    be: the start lies inside the date's window."""
    rule, zone = service.promise.deadline, zone_of(service.zone)
    if rule.after_start is not None:
        return window(bd, zone, service.cutoff)[1] + rule.after_start
    return time_in_window(bd + timedelta(days=rule.day), service.deadline, zone, service.cutoff)


def promised_at(picture: Picture, service: ServiceFacts, members: Iterable[int], bd: date) -> datetime:
    """The instant (UTC) of its deadline, before anybody extended it. One that counts from a start that has not come
    counts from when it is due, and is the latest possible where nothing is due."""
    rule = service.promise.deadline
    if rule.after_start is None:
        return latest_deadline(service, bd)
    counted = [rule.of_id] if rule.of else list(members)
    known = [each for each in counted if each is not None and each in picture.estate.jobs]
    begun = [run.first_started_at for each in known for run in picture.of_day(each, bd)]
    starts = [at for at in begun if at is not None]
    due = starts or [at for each in known for at in clock_starts(picture, picture.job(each), bd)[:1]]
    return min(due) + rule.after_start if due else latest_deadline(service, bd)


def agreed_at(service: ServiceFacts, bd: date, promised: datetime) -> datetime | None:
    """When it is late by its SLA, whatever was extended; None without one."""
    agreed = service.promise.sla
    if agreed is None or agreed.at is None:
        return promised if agreed else None
    day = bd + timedelta(days=service.promise.deadline.day)
    return time_in_window(day, agreed.at, zone_of(service.zone), service.cutoff)


def extension_of(
    extensions: Iterable[Extension], service: ServiceFacts, bd: date, promised: datetime
) -> Extension | None:
    """What gives that business date, or that submission, more time than was promised; None where nothing does."""
    submission = service.instance.submission[1] if service.instance is not None else ""
    key = (service_of(service.name) if submission else service.name, bd, submission)
    known = (one for one in extensions if (one.service, one.bd, one.submission) == key)
    return next((one for one in known if one.until > promised), None)


def clock_starts(picture: Picture, job: JobFacts, bd: date) -> list[datetime]:
    """The accepted instants of that business date that its calendar expects; none of the time before the schedule was
    accepted."""
    if expects_nothing(job) or job.accepted_at is None:
        return []
    opens, closes = window(bd, zone_of(job.zone), job.cutoff)
    calendar = picture.estate.declared.calendar(job.calendar)
    found = instants(job.schedule, max(opens, job.accepted_at) - _TICK, closes - _TICK)
    return [at for at in found if expects(calendar, at, bd)]
