"""Which service days are foreseen by one simulation with those that somebody asks about."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from datetime import date

from console.control.forecast.sums import Forecast
from console.control.picture import Picture
from console.control.pools import pool_of


def with_neighbours(
    picture: Picture, days: Sequence[Forecast], wanted: Callable[[Sequence[Forecast]], Container[tuple[str, date]]]
) -> list[Forecast]:
    """Of these service days the `wanted` ones (by service and business date), and all that share a job of their night
    or a pool with one of them, directly or not; in their order."""
    chosen = wanted(days)
    left = {place: _shared(picture, day) for place, day in enumerate(days)}
    near = {place for place, day in enumerate(days) if (day.service.name, day.bd) in chosen}
    fresh, met = set(near), set[object]()
    while fresh:
        met |= set[object]().union(*(left.pop(place) for place in fresh))
        fresh = {place for place, shared in left.items() if not met.isdisjoint(shared)}
        near |= fresh
    return [days[place] for place in sorted(near)]


def _shared(picture: Picture, day: Forecast) -> set[object]:
    declared, jobs = picture.estate.declared, picture.estate.jobs
    pools = {pool_of(declared, jobs[job_id]) for job_id in day.nodes if declared.pools or jobs[job_id].pool}
    return {(day.bd, each) for each in (*day.nodes, *(pools - {None}))}
