"""What would become of services if one job went otherwise, over the store as it is: for a command that asks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from console.control.forecast import Forecast
from console.control.forecast.foresee import Foresight
from console.control.forecast.neighbours import with_neighbours
from console.control.forecast.what_if import Otherwise, WhatIf
from console.control.moments import up
from console.control.picture import Picture
from console.control.pools import pools_of
from console.control.services import service_days
from console.engine.explain import night_of, picture_of
from console.engine.late_risk import shipped
from console.store.errors import NotFound
from console.store.reads import Reads, open_reads
from console.store.reads.near import near

__all__ = ["Changed", "Otherwise", "Prospect", "Way", "as_it_is", "more_slots", "what_if", "what_ifs"]


@dataclass(frozen=True, slots=True)
class Prospect:
    """A service's finish in half and in nineteen of twenty cases, and how likely it is late."""

    late: float
    p50: datetime
    p95: datetime


@dataclass(frozen=True, slots=True)
class Changed:
    """One service day that waits for the job, as it is and as it would be."""

    service: str
    title: str
    bd: date
    deadline: datetime
    zone: str
    now: Prospect
    then: Prospect


@dataclass(frozen=True, slots=True)
class Way:
    """How the job goes otherwise."""

    how: Otherwise
    at: datetime | None = None
    """Of a restart; None: now."""
    factor: float = 1.0
    """Of one that is faster: the share of its time that it takes."""


def what_if(
    url: str,
    job: str | int,
    how: Otherwise,
    at: datetime | None = None,
    factor: float = 1.0,
    night: date | None = None,
) -> list[Changed]:
    """The open service days below the job, the soonest due first; empty where none waits for it, or none can be
    forecast. `night`: of that business date, as its evening begins. Raises NotFound with near misses, StoreUnusable,
    StoreTooNew."""
    [found] = what_ifs(url, job, [Way(how, at, factor)], night)
    return found


def what_ifs(url: str, job: str | int, ways: Sequence[Way], night: date | None = None) -> list[list[Changed]]:
    """The same by each of these ways."""
    with open_reads(url) as reads:
        row = reads.job(job).row
        picture = _picture(url, reads, night)
    unit, every = picture.graph.unit(row.id), service_days(picture)
    days = [day for day in _of(every, night) if unit in day.nodes]
    first = _first(days)
    if all(way.how is not Otherwise.FASTER for way in ways):
        days = first
    now = _foreseen(picture, every, days)
    tonight = {(day.service.name, day.bd) for day in first}
    return [_by(picture, every, unit, way, now, tonight) for way in ways]


def more_slots(url: str, pool: str, times: int, night: date | None = None) -> list[Changed]:
    """The open service days of which a job takes slots of that pool, if it had so many times as many. Raises as
    `what_if`."""
    with open_reads(url) as reads:
        picture = _picture(url, reads, night)
    known = pools_of(picture.estate.declared, picture.estate.jobs)
    if pool not in known:
        raise NotFound(pool, near(pool, list(known)), "[pools] of the config, and what sources tell")
    every = service_days(picture)
    days = [day for day in _of(every, night) if not set(known[pool]).isdisjoint(day.nodes)]
    otherwise = WhatIf(0, Otherwise.SLOTS, picture.now, float(times), pool)
    return _pairs(_foreseen(picture, every, days), _foreseen(picture, every, days, otherwise))


def as_it_is(url: str, night: date) -> list[Changed]:
    """All services of a night that is still to come; nothing goes otherwise. Raises StoreUnusable, StoreTooNew."""
    with open_reads(url) as reads:
        picture = _picture(url, reads, night)
    every = service_days(picture)
    now = _foreseen(picture, every, _of(every, night))
    return _pairs(now, now)


def _picture(url: str, reads: Reads, night: date | None) -> Picture:
    return picture_of(url, reads) if night is None else night_of(url, reads, night)


def _of(every: Sequence[Forecast], night: date | None) -> list[Forecast]:
    return [day for day in every if night in (None, day.bd)]


def _by(
    picture: Picture,
    every: Sequence[Forecast],
    unit: int,
    way: Way,
    now: Sequence[Forecast],
    tonight: Collection[tuple[str, date]],
) -> list[Changed]:
    """`now`: all days as they are foreseen; `tonight`: those of them that a restart or a skip is about."""
    days = [day for day in now if way.how is Otherwise.FASTER or (day.service.name, day.bd) in tonight]
    otherwise = WhatIf(unit, way.how, max(way.at or picture.now, picture.now), way.factor)
    return _pairs(days, _foreseen(picture, every, days, otherwise))


def _foreseen(
    picture: Picture, every: Sequence[Forecast], days: Sequence[Forecast], otherwise: WhatIf | None = None
) -> list[Forecast]:
    """As the engine foresees them: by one simulation with all that shares a job or a pool with them. `every`: all
    service days of the picture."""
    model = shipped()
    foresight = Foresight(model=model) if otherwise is None else Foresight(otherwise, model=model)
    wanted = [(day.service.name, day.bd) for day in days]
    names = frozenset(wanted)
    near = with_neighbours(picture, every, lambda _: names)
    found = {(day.service.name, day.bd): day for day in foresight(picture, near)}
    return [found[name] for name in wanted]


def _pairs(now: Sequence[Forecast], then: Sequence[Forecast]) -> list[Changed]:
    """Those that can be forecast, the soonest due first."""
    pairs = zip(now, then, strict=True)
    found = [_changed(one, other) for one, other in pairs if one.odds is not None and other.odds is not None]
    return sorted(found, key=lambda one: (one.deadline, one.service))


def _first(days: list[Forecast]) -> list[Forecast]:
    """Of each service the day that is due first: tonight's restart is none of tomorrow's."""
    found: dict[str, Forecast] = {}
    for day in sorted((day for day in days if any(True for _ in day.unfinished())), key=lambda day: day.deadline):
        found.setdefault(day.service.name, day)
    return list(found.values())


def _changed(now: Forecast, then: Forecast) -> Changed:
    service = now.service
    return Changed(service.name, service.title, now.bd, now.deadline, service.zone, _prospect(now), _prospect(then))


def _prospect(day: Forecast) -> Prospect:
    assert day.odds is not None
    assert day.finish is not None
    return Prospect(day.odds.late, up(day.finish.p50), up(day.finish.p95))  # as every service is told
