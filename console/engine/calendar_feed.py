"""Deadlines and what is planned, as an iCalendar feed (RFC 5545) that calendars of people subscribe to.

Everything in it comes from the estate, DTSTAMP included: the feed stays the same, byte by byte, until a date changes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import NamedTuple

from console.control.services.delivery import InstanceClaims, view_of_instance
from console.control.snapshot.deadlines import extension_of, judged_dates, promised_at
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import has_no_clock
from console.domain.calendar import Calendar, MaintenanceWindow
from console.domain.estate import Estate, JobFacts, ServiceFacts, TargetFacts
from console.domain.service import service_of_instance
from console.domain.settings import Declared
from console.forecast.finish_times import has_day
from console.text.cleaning import clean_line
from console.timing.calendars import counts, days_in, holiday, open_hours
from console.timing.durations import format_duration
from console.timing.maintenance import matches_any, planned_extension
from console.timing.zones import instant_at, zone_of

BEFORE, AHEAD = timedelta(days=1), timedelta(days=14)
TEXT_LIMIT = 200


class FeedEvent(NamedTuple):
    """One entry. Dates are whole days."""

    key: str
    """Its subject; the same while it is moved."""
    begins: datetime | date
    ends: datetime | date | None
    """Exclusive; None for an instant."""
    title: str
    text: str = ""


def feed_events(estate: Estate, now: datetime, service: str = "") -> list[FeedEvent]:
    """Deadlines of the last day and the next 14, and the exceptions planned meanwhile; those that concern the service,
    if one is given."""
    settings = replace(estate.settings, lookback=BEFORE, horizon=AHEAD)
    index = EstateIndex(replace(estate, settings=settings), now)
    services = [item for item in estate.services if service in ("", _name(item))]
    events = [*_deadlines(index, services), *_without_promise(estate.declared, services, now)]
    jobs = _members(index, services)
    events += _exceptions(index, services, jobs, is_all=not service)
    for window in estate.declared.maintenance:
        if not service or any(_covers(window, job, estate.targets.get(job.target_id)) for job in jobs):
            events += _maintenance(estate.declared, window, now)
    return sorted(events, key=lambda event: (str(event.begins), event.key))


def _members(index: EstateIndex, services: list[ServiceFacts]) -> list[JobFacts]:
    """The jobs that the services need."""
    return [index.job(job_id) for job_id in sorted(set[int]().union(*map(index.members, services)))]


def _covers(window: MaintenanceWindow, job: JobFacts, target: TargetFacts | None) -> bool:
    name = f"{target.system}/{target.name}" if target is not None else ""
    is_of_job = matches_any(window.systems, job.system) or matches_any(window.jobs, job.name)
    return is_of_job or matches_any(window.targets, name)


def _name(service: ServiceFacts) -> str:
    return service_of_instance(service.name) if service.instance is not None else service.name


def _deadlines(index: EstateIndex, services: list[ServiceFacts]) -> Iterator[FeedEvent]:
    claims, since, until = InstanceClaims(), index.now - BEFORE, index.now + AHEAD
    for service in services:
        members, seen = tuple(index.members(service)), index
        if service.instance is not None:
            dates = [service.instance.business_date]
            seen = view_of_instance(index, service, members, claims).index
            members = (*members, service.instance.submission[0])
        else:
            dates = [day for day in judged_dates(index, service, members) if _is_promised(index, service, members, day)]
        for day in dates:
            promised = promised_at(seen, service, members, day)
            extended = extension_of(index.estate.extensions, service, day, promised)
            extended = extended or planned_extension(index.estate.declared, service, day, promised)
            deadline = extended.until if extended else promised
            if since <= deadline <= until:
                lines = [f"Service {service.name}, tier {service.tier}, owner {service.owner}", f"Business date {day}"]
                lines += [f"Extended {extended.text}"] if extended else []
                key, title = f"deadline {service.name} {day}", clean_line(service.title or service.name)
                yield FeedEvent(key, deadline, None, f"{title}: deadline", "\n".join(map(clean_line, lines)))


def _is_promised(index: EstateIndex, service: ServiceFacts, members: tuple[int, ...], day: date) -> bool:
    """Where no job has a clock, each date that the calendar does not exclude."""
    calendar = index.estate.declared.calendar(service.calendar)
    if all(has_no_clock(index.job(job)) for job in members):
        return calendar is None or counts(calendar, day)
    return has_day(index, service, members, day)


def _without_promise(declared: Declared, services: list[ServiceFacts], now: datetime) -> Iterator[FeedEvent]:
    """Holidays and closed days on which services have no promise."""
    dated = sorted({(item.calendar, _name(item)) for item in services if declared.calendar(item.calendar) is not None})
    for name, group in groupby(dated, key=lambda pair: pair[0]):
        calendar, names = declared.calendar(name), ", ".join(service for _, service in group)
        assert calendar is not None
        for day in _days(now):
            reason = holiday(calendar, day) or ("closed" if day in calendar.closed else "")
            if reason and day.weekday() in calendar.weekdays and not counts(calendar, day):
                yield _of_day(f"no promise {name} {day}", day, f"No promise: {reason}", f"Calendar {name}: {names}")


def _exceptions(
    index: EstateIndex, services: list[ServiceFacts], jobs: list[JobFacts], is_all: bool
) -> Iterator[FeedEvent]:
    declared = index.estate.declared
    for planned in declared.exceptions:
        is_meant = any(matches_any(planned.services, _name(item)) for item in services)
        if not (is_all or is_meant or any(matches_any(planned.jobs, job.name) for job in jobs)):
            continue
        calendar = declared.calendar(planned.calendar)
        changes = {"more time": planned.more_time, "later start": planned.starts_later, "longer": planned.takes_longer}
        text = ", ".join(f"{name} {format_duration(by)}" for name, by in changes.items() if by)
        names = ", ".join([*planned.services, *planned.jobs])
        for day in _days(index.now):
            if day in planned.dates or (calendar is not None and counts(calendar, day)):
                key = f"exception {planned.why} {names} {day}"
                yield _of_day(key, day, f"Planned: {planned.why}", f"{text}: {names}")


def _maintenance(declared: Declared, window: MaintenanceWindow, now: datetime) -> Iterator[FeedEvent]:
    calendar = declared.calendar(window.calendar)
    spans = _open_spans(calendar, now) if calendar is not None else [(window.since, window.until)]
    text = ", ".join([*window.systems, *window.targets, *window.jobs])
    for opens, closes in spans:
        begins = max(filter(None, (opens, window.since)))
        ends = min(filter(None, (closes, window.until)))
        if begins < ends and ends > now - BEFORE and begins < now + AHEAD:
            key = f"maintenance {text} {window.calendar or window.why} {begins:%Y%m%dT%H%M}"
            yield FeedEvent(key, begins, ends, f"Maintenance: {clean_line(window.why)}", clean_line(text))


def _open_spans(calendar: Calendar, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    zone = zone_of(calendar.zone)
    for day in days_in(calendar, *(_days(now)[place] for place in (0, -1))):
        for hours in open_hours(calendar, day):
            yield from hours.spans
        if not calendar.windows:
            first, last = (datetime.combine(day + timedelta(days=after), time()) for after in (0, 1))
            yield instant_at(first, zone), instant_at(last, zone)


def _days(now: datetime) -> list[date]:
    return [(now - BEFORE).date() + timedelta(days=after) for after in range((AHEAD + BEFORE).days + 1)]


def _of_day(key: str, day: date, title: str, text: str) -> FeedEvent:
    return FeedEvent(key, day, day + timedelta(days=1), clean_line(title), clean_line(text))


def calendar_text(events: list[FeedEvent], estate: str) -> str:
    """The feed. DTSTAMP is the time from which an entry is in it."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Headway//calendar 1//EN"]
    lines += [f"X-WR-CALNAME:{_escaped(f'Headway {estate}')}"]
    for event in events:
        digest = hashlib.sha256(f"{estate}\0{event.key}".encode("utf-8", "surrogatepass")).hexdigest()
        begins = event.begins if isinstance(event.begins, datetime) else datetime.combine(event.begins, time(), UTC)
        lines += ["BEGIN:VEVENT", f"UID:{digest[:32]}@headway", f"DTSTAMP:{_utc(begins - AHEAD)}"]
        lines += [_at("DTSTART", event.begins), *([_at("DTEND", event.ends)] if event.ends is not None else [])]
        lines += [f"SUMMARY:{_escaped(event.title[:TEXT_LIMIT])}", f"DESCRIPTION:{_escaped(event.text)}"]
        lines += ["TRANSP:TRANSPARENT", "END:VEVENT"]
    return "".join(f"{_folded(line)}\r\n" for line in [*lines, "END:VCALENDAR"])


def _at(name: str, at: datetime | date) -> str:
    return f"{name}:{_utc(at)}" if isinstance(at, datetime) else f"{name};VALUE=DATE:{at:%Y%m%d}"


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _escaped(text: str) -> str:
    return re.sub(r"[\\;,]", r"\\\g<0>", text).replace("\n", "\\n")


def _folded(line: str) -> str:
    """Lines have 75 bytes at most; a character has four at most."""
    return "\r\n ".join(re.findall(r".{1,74}" if line.isascii() else r".{1,18}", line))


CalendarFeed = Callable[[str], str]
"""The feed of a service; of all for an empty name."""
