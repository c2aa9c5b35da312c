"""Which business dates of a service are judged, and which of them its calendar leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from console.control.calendars import counts, left_out_words
from console.control.deadlines import clock_starts, latest_deadline
from console.control.picture import Picture
from console.control.zones import date_in_window, window, zone_of
from console.model.calendars import Calendar
from console.model.decisions import ServiceDayVerdict
from console.model.values import ServiceFacts
from console.model.words import Timeliness

_DAY = timedelta(days=1)


def dates_judged(picture: Picture, service: ServiceFacts, members: Sequence[int]) -> Iterator[date]:
    """Those whose deadline lies between the lookback and the horizon, and the present one, in order."""
    for day in _dates(picture, service):
        if _is_looked_at(service, picture, members, day):
            yield day


def unpromised(picture: Picture) -> Iterator[ServiceDayVerdict]:
    """Of each service the dates around now that its calendar leaves out: said, so that no such date looks pending."""
    for service in picture.estate.services:
        calendar = picture.estate.declared.calendar(service.calendar)
        if calendar is None or service.instance is not None:
            continue
        for day in _dates(picture, service):
            if not counts(calendar, day):
                yield _left_out(service, calendar, day)


def _left_out(service: ServiceFacts, calendar: Calendar, day: date) -> ServiceDayVerdict:
    return ServiceDayVerdict(
        service=service.name,
        bd=day,
        deadline=latest_deadline(service, day),
        timeliness=Timeliness.NO_PROMISE,
        data_state="",
        delivered_at=None,
        expected_at=None,
        late_at=None,
        act_by=None,
        green_by=None,
        cause="",
        incident_key=None,
        sources=(),
        path=(),
        reason=left_out_words(calendar, day),
    )


def _dates(picture: Picture, service: ServiceFacts) -> Iterator[date]:
    settings, zone = picture.estate.settings, zone_of(service.zone)
    since, until = picture.now - settings.lookback, picture.now + settings.horizon
    today = date_in_window(picture.now, zone, service.cutoff)
    day = date_in_window(since, zone, service.cutoff) - _DAY - timedelta(days=service.promise.deadline.day)
    while (latest := latest_deadline(service, day)) <= until or day <= today:
        if latest > since:
            yield day
        day += _DAY


def _is_looked_at(service: ServiceFacts, picture: Picture, members: Sequence[int], bd: date) -> bool:
    """False once the first of its runs may lie before what is looked at: nobody could tell any more that it was
    delivered, and what was said of it stays."""
    since = picture.now - picture.estate.settings.lookback
    jobs = [picture.job(each) for each in members if each in picture.estate.jobs]
    zones = {(service.zone, service.cutoff), *((job.zone, job.cutoff) for job in jobs)}
    if all(window(bd, zone_of(zone), cutoff)[0] > since for zone, cutoff in zones):
        return True
    starts = [at for job in jobs for at in clock_starts(picture, job, bd)[:1]]
    return bool(starts) and min(starts) > since
