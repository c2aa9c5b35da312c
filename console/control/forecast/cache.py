"""What was foreseen and holds still: service days of which no job stands otherwise, and that time has not moved on.

While something runs, waits for its turn or is red, time alone moves its end, and it is foreseen anew every half minute;
where all is still to come by the clock, not before the first of it is due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from console.control.forecast.points import Point, instant_of
from console.control.forecast.simulation.look import Night
from console.control.forecast.simulation.values import Past, Stand
from console.control.forecast.sums import Forecast
from console.control.picture import Picture

LASTS = timedelta(seconds=30)
MADE_LASTS = 4 * LASTS
"""How long what was made of a basis waits for the next look at it."""
Name = tuple[tuple[str, date], ...]


@dataclass(frozen=True, slots=True)
class Basis:
    """All that a forecast rests on, but the time."""

    points: tuple[Point, ...]
    days: tuple[object, ...]
    past: tuple[object, ...]
    """The very objects that the past of each job, and earlier forecasts, were read from."""

    def is_as(self, other: Basis) -> bool:
        return (
            len(self.past) == len(other.past)
            and all(one is its for one, its in zip(self.past, other.past, strict=True))
            and (self.points, self.days) == (other.points, other.days)
        )


@dataclass(frozen=True, slots=True)
class Kept:
    basis: Basis
    since: datetime
    until: datetime
    days: tuple[Forecast, ...]
    made: Made | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """What a simulation rests on but the time: it serves the next look at the same basis as well."""

    past: Past
    night: Night
    origin: float
    """Seconds since 1970 of its time 0."""


def basis_of(picture: Picture, points: Sequence[Point], days: Iterable[Forecast]) -> Basis:
    """`points`: numbered within the group."""
    jobs, estate = dict.fromkeys(point.job_id for point in points), picture.estate
    past = (one for job_id in jobs for one in (estate.history.get(job_id), estate.durations.get(job_id)))
    declared = tuple((picture.job(job_id).expected, picture.estimate(job_id).like) for job_id in jobs)
    promised = tuple((day.service.name, day.bd, day.deadline, day.service.risk, day.ends) for day in days)
    return Basis(tuple(points), (promised, declared), (*past, estate.forecasts))


def holds_until(points: Sequence[Point], days: Iterable[Forecast], now: datetime) -> datetime:
    """From then on time alone has changed the forecast."""
    ends = [day.deadline for day in days if day.deadline > now]
    moves = any(_moves(points, point, now) for point in points)
    due = [at for point in points if point.stand is Stand.WAITS and (at := instant_of(point.earliest)) > now]
    return min([*ends, *due, *([now + LASTS] if moves else [now + timedelta(days=1)])])


def _moves(points: Sequence[Point], point: Point, now: datetime) -> bool:
    if point.stand is not Stand.WAITS:
        return point.stand is not Stand.DONE
    waits = any(points[each].stand is not Stand.DONE for each in point.upstreams)
    return not waits and instant_of(point.earliest) <= now


class Cache:
    """The latest of each service day, while it holds: each keeps the whole simulation that it was read from."""

    def __init__(self) -> None:
        self._known: dict[Name, Kept] = {}
        self._latest: dict[tuple[str, date], Name] = {}
        self._swept: datetime | None = None

    def __len__(self) -> int:
        return len(self._known)

    def get(self, name: Name, basis: Basis, now: datetime) -> tuple[Forecast, ...] | None:
        known = self._known.get(name)
        if known is None or not known.since <= now < known.until or not known.basis.is_as(basis):
            return None
        return known.days

    def made(self, name: Name, basis: Basis) -> Made | None:
        """What the last look made of the same basis, though time has moved on."""
        known = self._known.get(name)
        return known.made if known is not None and known.basis.is_as(basis) else None

    def keep(self, name: Name, kept: Kept) -> None:
        for day in name:
            self._known.pop(self._latest.get(day, name), None)
        self._latest |= dict.fromkeys(name, name)
        self._known[name] = kept
        if self._swept is None or abs(kept.since - self._swept) >= LASTS:
            self._sweep(kept.since)

    def _sweep(self, now: datetime) -> None:
        self._swept = now
        self._known = {name: one for name, one in self._known.items() if one.since <= now < one.until + MADE_LASTS}
        self._latest = {day: name for day, name in self._latest.items() if name in self._known}
