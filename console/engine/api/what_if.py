"""What-if forecasts from the store as it is: services if one job went otherwise, or a pool had more slots."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from console.control.services.status import service_days
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.pools import pools_of
from console.control.snapshot.runs import round_up_to_minute
from console.domain.forecast import WhatIfOutcome
from console.engine.api.explain import current_estate_index, night_estate_index
from console.forecast.finish_times import ServiceForecast
from console.forecast.forecaster import Forecaster
from console.forecast.night_graph import with_neighbours
from console.forecast.what_if import Counterfactual, WhatIf
from console.store.errors import NotFound
from console.store.queries import open_queries
from console.text.suggestions import suggest_names

if TYPE_CHECKING:
    from console.store.queries import Queries


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """A service day that depends on the job: forecast now and in the scenario."""

    service: str
    title: str
    business_date: date
    deadline: datetime
    zone: str
    now: WhatIfOutcome
    then: WhatIfOutcome


@dataclass(frozen=True, slots=True)
class WhatIfScenario:
    """What is different in the scenario."""

    how: Counterfactual
    at: datetime | None = None
    """Time of a restart; None: now."""
    factor: float = 1.0
    """For "faster": share of the usual duration."""


def what_if(
    url: str,
    job: str | int,
    how: Counterfactual,
    at: datetime | None = None,
    factor: float = 1.0,
    night: date | None = None,
) -> list[ServiceChange]:
    """Open service days downstream of the job, soonest deadline first; empty if there is none, or none can be
    forecast. `night`: of that business date, from its start. Raises NotFound with near misses, StoreUnusable,
    StoreTooNew."""
    [found] = what_ifs(url, job, [WhatIfScenario(how, at, factor)], night)
    return found


def what_ifs(
    url: str, job: str | int, ways: Sequence[WhatIfScenario], night: date | None = None
) -> list[list[ServiceChange]]:
    """The same for each scenario."""
    with open_queries(url) as reads:
        row = reads.jobs.job(job).row
        picture = _estate_index(url, reads, night)
    unit, every = picture.graph.unit(row.id), service_days(picture)
    days = [day for day in _days_of_night(every, night) if unit in day.nodes]
    first = _next_day_of_each(days)
    if all(way.how is not Counterfactual.FASTER for way in ways):
        days = first
    now = _forecast_days(picture, every, days)
    tonight = {(day.service.name, day.business_date) for day in first}
    return [_scenario_changes(picture, every, unit, way, now, tonight) for way in ways]


def more_slots(url: str, pool: str, times: int, night: date | None = None) -> list[ServiceChange]:
    """Open service days that use slots of the pool, if it had `times` as many. Raises as `what_if`."""
    with open_queries(url) as reads:
        picture = _estate_index(url, reads, night)
    known = pools_of(picture.estate.declared, picture.estate.jobs)
    if pool not in known:
        raise NotFound(pool, suggest_names(pool, list(known)), "[pools] of the config, and what sources tell")
    every = service_days(picture)
    days = [day for day in _days_of_night(every, night) if not set(known[pool]).isdisjoint(day.nodes)]
    otherwise = WhatIf(0, Counterfactual.SLOTS, picture.now, float(times), pool)
    return _pairs(_forecast_days(picture, every, days), _forecast_days(picture, every, days, otherwise))


def baseline(url: str, night: date) -> list[ServiceChange]:
    """All services of a future night, without any scenario. Raises StoreUnusable, StoreTooNew."""
    with open_queries(url) as reads:
        picture = _estate_index(url, reads, night)
    every = service_days(picture)
    now = _forecast_days(picture, every, _days_of_night(every, night))
    return _pairs(now, now)


def _estate_index(url: str, reads: Queries, night: date | None) -> EstateIndex:
    return current_estate_index(url, reads) if night is None else night_estate_index(url, reads, night)


def _days_of_night(every: Sequence[ServiceForecast], night: date | None) -> list[ServiceForecast]:
    return [day for day in every if night in (None, day.business_date)]


def _scenario_changes(
    picture: EstateIndex,
    every: Sequence[ServiceForecast],
    unit: int,
    way: WhatIfScenario,
    now: Sequence[ServiceForecast],
    tonight: Collection[tuple[str, date]],
) -> list[ServiceChange]:
    """`now`: all forecasts; `tonight`: those that a restart or a skip affects."""
    days = [day for day in now if way.how is Counterfactual.FASTER or (day.service.name, day.business_date) in tonight]
    otherwise = WhatIf(unit, way.how, max(way.at or picture.now, picture.now), way.factor)
    return _pairs(days, _forecast_days(picture, every, days, otherwise))


def _forecast_days(
    picture: EstateIndex,
    every: Sequence[ServiceForecast],
    days: Sequence[ServiceForecast],
    otherwise: WhatIf | None = None,
) -> list[ServiceForecast]:
    """Forecasts as the engine makes them: one simulation with everything that shares a job or a pool. `every`: all
    service days of the index."""
    foresight = Forecaster() if otherwise is None else Forecaster(otherwise)
    wanted = [(day.service.name, day.business_date) for day in days]
    names = frozenset(wanted)
    near = with_neighbours(picture, every, lambda _: names)
    found = {(day.service.name, day.business_date): day for day in foresight(picture, near)}
    return [found[name] for name in wanted]


def _pairs(now: Sequence[ServiceForecast], then: Sequence[ServiceForecast]) -> list[ServiceChange]:
    """Pairs that can be forecast, soonest deadline first."""
    pairs = zip(now, then, strict=True)
    found = [_change(one, other) for one, other in pairs if one.odds is not None and other.odds is not None]
    return sorted(found, key=lambda one: (one.deadline, one.service))


def _next_day_of_each(days: list[ServiceForecast]) -> list[ServiceForecast]:
    """The next due day of each service: tonight's restart does not affect tomorrow."""
    found: dict[str, ServiceForecast] = {}
    for day in sorted((day for day in days if any(True for _ in day.unfinished())), key=lambda day: day.deadline):
        found.setdefault(day.service.name, day)
    return list(found.values())


def _change(now: ServiceForecast, then: ServiceForecast) -> ServiceChange:
    service = now.service
    return ServiceChange(
        service.name, service.title, now.business_date, now.deadline, service.zone, _prospect(now), _prospect(then)
    )


def _prospect(day: ServiceForecast) -> WhatIfOutcome:
    assert day.odds is not None
    assert day.finish is not None
    return WhatIfOutcome(
        day.odds.late, round_up_to_minute(day.finish.p50), round_up_to_minute(day.finish.p95)
    )  # as for every service
