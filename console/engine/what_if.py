"""What would become of services if one job went otherwise, over the store as it is: for a command that asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from console.control.forecast import Forecast
from console.control.forecast.foresee import Foresight
from console.control.forecast.what_if import Otherwise, WhatIf
from console.control.services import service_days
from console.engine.explain import picture_of
from console.store.reads import open_reads

__all__ = ["Changed", "Odds", "Otherwise", "what_if"]


@dataclass(frozen=True, slots=True)
class Odds:
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
    now: Odds
    then: Odds


def what_if(url: str, job: str, how: Otherwise, at: datetime | None = None, factor: float = 1.0) -> list[Changed]:
    """The open service days below the job, the soonest due first; empty where none waits for it, or none can be
    forecast. `at`: of a restart, else now. Raises NotFound with near misses, StoreUnusable, StoreTooNew."""
    with open_reads(url) as reads:
        row = reads.job(job).row
        picture = picture_of(url, reads)
        unit = picture.graph.unit(row.id)
        days = [day for day in service_days(picture) if unit in day.nodes]
        days = days if how is Otherwise.FASTER else _first(days)
        otherwise = WhatIf(unit, how, max(at or picture.now, picture.now), factor)
        pairs = zip(Foresight()(picture, days), Foresight(otherwise)(picture, days), strict=True)
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
    return Changed(service.name, service.title, now.bd, now.deadline, service.zone, _odds(now), _odds(then))


def _odds(day: Forecast) -> Odds:
    assert day.odds is not None
    assert day.finish is not None
    return Odds(day.odds.late, day.finish.p50, day.finish.p95)
