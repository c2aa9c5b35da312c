"""What-if forecasts from the store as it is: services if one job went otherwise, or a pool had more slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

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
from console.store.queries.reader import Queries
from console.text.suggestions import suggest_names


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
    """The change of a scenario."""

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
    """Open service days downstream of the job, soonest deadline first; empty without one that can be
    forecast. `night`: of that business date, from its start. Raises NotFound with near misses, StoreUnusable,
    StoreTooNew."""
    [changes] = what_ifs(url, job, [WhatIfScenario(how, at, factor)], night)
    return changes


def what_ifs(
    url: str, job: str | int, ways: Sequence[WhatIfScenario], night: date | None = None
) -> list[list[ServiceChange]]:
    """The same for each scenario."""
    with open_queries(url) as reads:
        row = reads.jobs.job(job).row
        index = _estate_index(url, reads, night)
    unit, every = index.graph.unit(row.id), service_days(index)
    days = [day for day in _days_of_night(every, night) if unit in day.nodes]
    tonight: dict[str, ServiceForecast] = {}  # the next due day of each service: a restart does not affect tomorrow
    for day in sorted((day for day in days if any(True for _ in day.unfinished())), key=lambda day: day.deadline):
        tonight.setdefault(day.service.name, day)
    if all(scenario.how is not Counterfactual.FASTER for scenario in ways):
        days = list(tonight.values())
    now = _forecast_days(index, every, days)
    affected = {day.key for day in tonight.values()}
    changes = []
    for scenario in ways:
        whole = scenario.how is Counterfactual.FASTER
        before = [day for day in now if whole or day.key in affected]
        at = max(scenario.at or index.now, index.now)
        otherwise = WhatIf(unit, scenario.how, at, scenario.factor)
        changes.append(_pairs(before, _forecast_days(index, every, before, otherwise)))
    return changes


def more_slots(url: str, pool: str, times: int, night: date | None = None) -> list[ServiceChange]:
    """Open service days that use slots of the pool, if it had `times` as many. Raises as `what_if`."""
    with open_queries(url) as reads:
        index = _estate_index(url, reads, night)
    known = pools_of(index.estate.declared, index.estate.jobs)
    if pool not in known:
        raise NotFound(pool, suggest_names(pool, list(known)), "[pools] of the config, and pools that systems report")
    every = service_days(index)
    days = [day for day in _days_of_night(every, night) if not set(known[pool]).isdisjoint(day.nodes)]
    otherwise = WhatIf(0, Counterfactual.SLOTS, index.now, float(times), pool)
    return _pairs(_forecast_days(index, every, days), _forecast_days(index, every, days, otherwise))


def baseline(url: str, night: date) -> list[ServiceChange]:
    """All services of a future night, without any scenario. Raises StoreUnusable, StoreTooNew."""
    with open_queries(url) as reads:
        index = _estate_index(url, reads, night)
    every = service_days(index)
    now = _forecast_days(index, every, _days_of_night(every, night))
    return _pairs(now, now)


def _estate_index(url: str, reads: Queries, night: date | None) -> EstateIndex:
    return current_estate_index(url, reads) if night is None else night_estate_index(url, reads, night)


def _days_of_night(every: Sequence[ServiceForecast], night: date | None) -> list[ServiceForecast]:
    return [day for day in every if night in (None, day.business_date)]


def _forecast_days(
    index: EstateIndex,
    every: Sequence[ServiceForecast],
    days: Sequence[ServiceForecast],
    otherwise: WhatIf | None = None,
) -> list[ServiceForecast]:
    """Forecasts as the engine makes them: one simulation with everything that shares a job or a pool. `every`: all
    service days of the index."""
    forecaster = Forecaster() if otherwise is None else Forecaster(otherwise)
    keys = [day.key for day in days]
    related = with_neighbours(index, every, lambda _: frozenset(keys))
    forecasts = {day.key: day for day in forecaster(index, related)}
    return [forecasts[key] for key in keys]


def _pairs(now: Sequence[ServiceForecast], then: Sequence[ServiceForecast]) -> list[ServiceChange]:
    """Pairs that can be forecast, soonest deadline first."""
    changes = []
    for before, after in zip(now, then, strict=True):
        service, outcome, changed = before.service, _outcome(before), _outcome(after)
        if outcome is not None and changed is not None:
            day = (service.name, service.title, before.business_date, before.deadline, service.zone)
            changes.append(ServiceChange(*day, outcome, changed))
    return sorted(changes, key=lambda change: (change.deadline, change.service))


def _outcome(day: ServiceForecast) -> WhatIfOutcome | None:
    """The forecast in whole minutes, as all services show it."""
    if day.odds is None or day.finish is None:
        return None
    finish = day.finish
    return WhatIfOutcome(round(day.odds.late, 4), round_up_to_minute(finish.p50), round_up_to_minute(finish.p95))
