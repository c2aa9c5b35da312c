"""The figures of all open service days: those that share a job are one simulation, so that they agree with each other.

What is apart is simulated apart: a part of the estate that is judged alone is foreseen as within the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from console.control.forecast.by_past import ByPast, own_risk, told
from console.control.forecast.deciding import path
from console.control.forecast.laid import Laid, Point, apart, instant_of, lay
from console.control.forecast.look import Look, look, night
from console.control.forecast.odds import Clocks, Odds
from console.control.forecast.outcome import mixed, quantiles
from console.control.forecast.own_start import OwnStarts
from console.control.forecast.past_nights import PastNights, kind_of
from console.control.forecast.restart import restart
from console.control.forecast.slack import Room, room
from console.control.forecast.starts import Gate
from console.control.forecast.sums import Forecast
from console.control.forecast.tell import tell
from console.control.forecast.unchanged import Answered, Answers, asked_of, lasts_until
from console.control.forecast.values import Floats, Graph, Past, Promise, Rule, Tonight
from console.control.forecast.why_late import why_late
from console.control.nodes import Finish, How
from console.control.picture import Picture

SHARES = np.array([0.5, 0.8, 0.9, 0.95])
WHY = 0.05
"""P(late) from which on it is said why."""
_DAY = timedelta(days=1)


class Foresight:
    """Callable as `control.forecast.odds.Foresee`. What it keeps between two calls moves no figure by more
    than half a minute."""

    def __init__(self, otherwise: Callable[[Point], Point] = lambda point: point) -> None:
        """`otherwise`: what each point is instead; for counterfactuals."""
        self._otherwise = otherwise
        self._nights = PastNights()
        self._own = OwnStarts()
        self._by_past = ByPast()
        self._answers = Answers()

    def __call__(self, picture: Picture, days: Sequence[Forecast]) -> list[Forecast]:
        found = list(days)
        open_days = [place for place, day in enumerate(days) if _is_open(picture, day)]
        for bd in dict.fromkeys(days[place].bd for place in open_days):
            mine = [place for place in open_days if days[place].bd == bd]
            laid = lay(picture, [days[place] for place in mine], self._own)
            for group in apart(laid):
                told = self._together(picture, laid, [(each, days[mine[each]]) for each in group])
                for each, day in zip(group, told, strict=True):
                    found[mine[each]] = day
        return found

    def _together(self, picture: Picture, laid: Laid, group: Sequence[tuple[int, Forecast]]) -> Sequence[Forecast]:
        """Service days of one business date that share jobs."""
        days = [day for _, day in group]
        ends = [laid.places[place][end] for place, day in group for end in day.ends if end in day.nodes]
        keep = _above(laid.points, ends)
        place = {old: new for new, old in enumerate(keep)}
        points = [self._otherwise(_renumbered(laid.points[old], place)) for old in keep]
        name, asked = tuple((day.service.name, day.bd) for day in days), asked_of(picture, points, days)
        known = self._answers.get(name, asked, picture.now)
        if known is not None:
            return [_as_foreseen(day, its) for day, its in zip(days, known, strict=True)]
        seen = self._look(picture, points, sorted({place[end] for end in ends}), days[0].bd, place)
        slopes = self._by_past.slopes(picture.estate.forecasts)
        found = tuple(_told(picture, seen, laid.places[each], day, slopes) for each, day in group)
        self._answers.keep(name, Answered(asked, picture.now, lasts_until(points, days, picture.now), found))
        return found

    def _look(
        self, picture: Picture, points: Sequence[Point], ends: Sequence[int], bd: date, place: dict[int, int]
    ) -> Seen:
        """`place`: as in Seen."""
        now = picture.now.timestamp()
        origin = min([now, *(point.start for point in points if np.isfinite(point.start))])
        past = self._nights.of(picture, points, bd)
        graph = Graph(
            [p.upstreams for p in points],
            np.array([p.earliest - origin for p in points]),
            {job: _since(p.rule, origin) for job, p in enumerate(points) if p.rule is not None},
            [f"{p.job_id}" if p.takes else f"gates of {p.job_id}" for p in points],
        )
        tonight = Tonight(
            np.array([p.stand for p in points]),
            *(np.array([getattr(p, name) for p in points]) - origin for name in ("ready", "start", "end")),
        )
        found = look(tonight, now - origin, night(past, graph, ends), kept=1)
        return Seen(found, points, place, origin, past)


@dataclass(frozen=True, slots=True)
class Seen:
    """One simulation, and what its jobs are."""

    look: Look
    points: Sequence[Point]
    place: dict[int, int]
    """Place in what was laid -> job of the simulation."""
    origin: float
    """Seconds since 1970 of its time 0."""
    past: Past

    def promise(self, day: Forecast, places: dict[int, int]) -> Promise:
        ends = [self.place[places[end]] for end in day.ends if end in places]
        return Promise(day.service.name, np.array(ends), day.deadline.timestamp() - self.origin)


def _is_open(picture: Picture, day: Forecast) -> bool:
    """True where something is still to come of which there is an estimate."""
    waits = any(day.nodes[end].how not in (How.DONE, How.OVER) for end in day.ends if end in day.nodes)
    return day.finish is not None and waits and day.deadline > picture.now - _DAY


def _above(points: Sequence[Point], ends: Iterable[int]) -> list[int]:
    found, ahead = set[int](), list(ends)
    while ahead:
        one = ahead.pop()
        if one not in found:
            found.add(one)
            ahead.extend(points[one].upstreams)
    return sorted(found)


def _renumbered(point: Point, place: dict[int, int]) -> Point:
    if all(place[each] == each for each in point.upstreams):
        return point
    upstreams = tuple(place[each] for each in point.upstreams)
    return replace(point, upstreams=upstreams, rule=point.rule.renumbered(place) if point.rule is not None else None)


def _since(rule: Rule, origin: float) -> Rule:
    """In the times of a simulation that begins then."""
    return rule.since(origin) if isinstance(rule, Gate) else rule


def _as_foreseen(day: Forecast, told: Forecast) -> Forecast:
    return replace(day, finish=told.finish, path=told.path, odds=told.odds)


def _told(picture: Picture, seen: Seen, places: dict[int, int], day: Forecast, slopes: Floats) -> Forecast:
    promise = seen.promise(day, places)
    outcome = mixed(seen.look.outcomes(promise))
    p50, p80, p90, p95 = (
        instant_of(round(seen.origin + at)) for at in quantiles(outcome.finish, outcome.weights, SHARES)
    )
    (answer,) = tell(seen.look, [promise], None)
    left = room(seen.look, promise)
    way = path(seen.look, promise, left, [point.job_id for point in seen.points])
    share: dict[int, float] = {}
    for job in left.jobs.tolist():
        job_id = seen.points[job].job_id
        share[job_id] = max(share.get(job_id, 0.0), float(left.critical[job]))
    seen_by = day.seen or picture
    known = [seen_by.estimate(job_id) for job_id in way]
    nights = min((each.runs if each.source == "history" else 0 for each in known), default=0)
    why = ""
    late = told(answer.late, promise.deadline - seen.look.now, slopes)
    if late >= WHY:
        why = why_late(seen_by, seen.look, seen.points, seen.past, kind_of(day.bd), left)
    clocks = _Clocks(seen, promise, left, places, own_risk(day.service.risk, late, answer.late))
    odds = Odds(late, answer.late, p80, share, nights, why, clocks)
    return replace(day, finish=Finish(p50, p90, p95), path=way, odds=odds)


class _Clocks:
    """The clocks of what is broken, when somebody asks for them."""

    def __init__(self, seen: Seen, promise: Promise, left: Room, places: dict[int, int], risk: float) -> None:
        self._seen, self._promise, self._left, self._places, self._risk = seen, promise, left, places, risk

    def __call__(self, broken: Iterable[int]) -> Clocks | None:
        seen = self._seen
        jobs = [seen.place[self._places[each]] for each in broken if self._places.get(each) in seen.place]
        found = restart(seen.look, self._promise, self._left, jobs, self._risk)
        return None if found is None else Clocks(*(instant_of(round(seen.origin + at)) for at in found))
