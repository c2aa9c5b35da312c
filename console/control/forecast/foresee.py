"""The figures of all open service days: those that share a job are one simulation, so that they agree with each other.

What is apart is simulated apart: a part of the estate that is judged alone is foreseen as within the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial

import numpy as np

from console.control.estimate import label
from console.control.forecast.cache import Cache, Kept, Made, basis_of, holds_until
from console.control.forecast.calibration.learned import Learned
from console.control.forecast.calibration.own_past import OwnPast
from console.control.forecast.calibration.tell import tell
from console.control.forecast.deliveries import deliveries
from console.control.forecast.odds import Clocks, Odds
from console.control.forecast.past_nights import PastNights
from console.control.forecast.points import Laid, Point, apart, instant_of, lay, tight
from console.control.forecast.simulation.ahead import Part, parts
from console.control.forecast.simulation.critical_path import critical_path
from console.control.forecast.simulation.look import Look, answer, look, night
from console.control.forecast.simulation.outcome import quantiles
from console.control.forecast.simulation.restart import restart
from console.control.forecast.simulation.slack import Slack, slack_of
from console.control.forecast.simulation.start_rules import Gate
from console.control.forecast.simulation.values import Floats, Graph, Past, Promise, Rule, Tonight
from console.control.forecast.simulation.values import Pool as Slots
from console.control.forecast.sums import Forecast
from console.control.forecast.usual_start import UsualStarts
from console.control.forecast.why_late import Why, why_late, why_moved
from console.control.moments import up
from console.control.nodes import Finish, How
from console.control.picture import Picture
from console.control.usual import kind_of
from console.model.forecasts import JobAhead

SHARES = np.array([0.5, 0.8, 0.9, 0.95])
MOST_JOBS = 40
"""Jobs of a service day of which each is told what it leaves to them."""
WHY = 0.05
"""P(late) from which on it is said why."""
_DAY = timedelta(days=1)
Fails = Callable[[Sequence[Forecast], Exception], None]
By = tuple[Learned | None, Floats]
"""What corrects P(late): what other estates taught, and one's own past."""


class Foresight:
    """Callable as `control.forecast.odds.Foresee`. What it keeps between two calls moves no figure by more
    than half a minute."""

    def __init__(
        self,
        otherwise: Callable[[Point], Point] = lambda point: point,
        fails: Fails | None = None,
        model: Learned | None = None,
    ) -> None:
        """`otherwise`: what each point is instead; for counterfactuals. `fails`: is told what breaks and which days it
        costs: they keep their sums, and all others have their figures; None: it is raised. `model`: what other estates
        taught."""
        self._otherwise, self._fails, self._model = otherwise, fails, model
        self._nights = PastNights()
        self._usual_starts = UsualStarts()
        self._own_past = OwnPast()
        self._cache = Cache()

    def __call__(self, picture: Picture, days: Sequence[Forecast]) -> list[Forecast]:
        found = list(days)
        open_days = [place for place, day in enumerate(days) if _is_open(picture, day)]
        for bd in dict.fromkeys(days[place].bd for place in open_days):
            mine = [place for place in open_days if days[place].bd == bd]
            of_bd = [days[place] for place in mine]
            for place, day in zip(mine, self._or_sums(of_bd, partial(self._of_date, picture, of_bd)), strict=True):
                found[place] = day
        return found

    def _of_date(self, picture: Picture, days: Sequence[Forecast]) -> Sequence[Forecast]:
        """Those of one business date."""
        found, laid = list(days), lay(picture, days, self._usual_starts)
        for group in apart(laid):
            mine = [(place, days[place]) for place in group]
            foreseen = self._or_sums([day for _, day in mine], partial(self._together, picture, laid, mine))
            for place, day in zip(group, foreseen, strict=True):
                found[place] = day
        return found

    def _or_sums(self, days: Sequence[Forecast], foreseen: Callable[[], Sequence[Forecast]]) -> Sequence[Forecast]:
        try:
            return foreseen()
        except Exception as error:
            if self._fails is None:
                raise
            self._fails(days, error)
            return [replace(day, is_unforeseen=True) for day in days]

    def _together(self, picture: Picture, laid: Laid, group: Sequence[tuple[int, Forecast]]) -> Sequence[Forecast]:
        """Service days of one business date that share jobs."""
        days = [day for _, day in group]
        ends = [laid.places[place][end] for place, day in group for end in day.ends if end in day.nodes]
        keep = _above(laid.points, ends)
        place = {old: new for new, old in enumerate(keep)}
        points = [self._otherwise(_renumbered(laid.points[old], place)) for old in keep]
        name, basis = tuple((day.service.name, day.bd) for day in days), basis_of(picture, points, days)
        known = self._cache.get(name, basis, picture.now)
        if known is not None:
            return [_as_foreseen(day, its) for day, its in zip(days, known, strict=True)]
        made = self._cache.made(name, basis)
        if made is None:
            made = self._made(picture, points, sorted({place[end] for end in ends}), days[0].bd)
        seen = _seen(picture, made, points, place)
        by = self._model, self._own_past.slopes(picture.estate.forecasts)
        promises = [self._promise(picture, seen, day, laid.places[each]) for each, day in group]
        found = tuple(
            _with_odds(picture, seen, laid.places[each], day, promise, by)
            for (each, day), promise in zip(group, promises, strict=True)
        )
        self._cache.keep(name, Kept(basis, picture.now, holds_until(points, days, picture.now), found, made))
        return found

    def _made(self, picture: Picture, points: Sequence[Point], ends: Sequence[int], bd: date) -> Made:
        now = picture.now.timestamp()
        origin = min([now, *(point.start for point in points if np.isfinite(point.start))])
        past = self._nights.of(picture, points, bd)
        graph = Graph(
            [p.upstreams for p in points],
            np.array([p.earliest - origin for p in points]),
            {job: _since(p.rule, origin) for job, p in enumerate(points) if p.rule is not None},
            [f"{p.job_id}" if p.takes else f"gates of {p.job_id}" for p in points],
            [Slots(points[places[0]].slots or pool.slots, places) for pool, places in tight(points).items()],
        )
        return Made(past, night(past, graph, ends), origin)

    def _promise(self, picture: Picture, seen: Seen, day: Forecast, places: dict[int, int]) -> Promise:
        ends = [end for end in day.ends if end in places]
        jobs = np.array([seen.place[places[end]] for end in ends])
        before = deliveries(day, [self._nights.past(picture, end) for end in ends])
        deadline = day.deadline.timestamp() - seen.origin
        return Promise(day.service.name, jobs, deadline, before.at - seen.origin, before.was_late)


def _seen(picture: Picture, made: Made, points: Sequence[Point], place: dict[int, int]) -> Seen:
    """`place`: as in Seen."""
    ready, start, end = (
        np.array([getattr(p, name) for p in points]) - made.origin for name in ("ready", "start", "end")
    )
    stand, failed = np.array([p.stand for p in points]), np.array([p.failed for p in points])
    tonight = Tonight(stand, ready, start, end, failed)
    found = look(tonight, picture.now.timestamp() - made.origin, made.night, kept=1)
    return Seen(found, points, place, made.origin, made.past)


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


def _with_odds(
    picture: Picture, seen: Seen, places: dict[int, int], day: Forecast, promise: Promise, by: By
) -> Forecast:
    told = tell(seen.look, promise, *by)
    seen = replace(seen, look=told.look)
    outcome = seen.look.outcome(promise)
    shares = np.append(SHARES, 1 - day.service.risk)
    p50, p80, p90, p95, at_risk = (
        instant_of(round(seen.origin + at)) for at in quantiles(outcome.finish, outcome.weights, shares)
    )
    slack = slack_of(seen.look, promise)
    way = critical_path(seen.look, promise, slack, [point.job_id for point in seen.points])
    share: dict[int, float] = {}
    for job in slack.jobs.tolist():
        job_id = seen.points[job].job_id
        share[job_id] = max(share.get(job_id, 0.0), float(slack.critical[job]))
    seen_by = day.seen or picture
    known = [seen_by.estimate(job_id) for job_id in way]
    nights = min((each.runs if each.source == "history" else 0 for each in known), default=0)
    late = answer(seen.look, promise).late
    if late >= WHY:
        why = why_late(seen_by, seen.look, seen.points, seen.past, kind_of(day.bd), slack)
    else:
        why = Why(why_moved(seen_by, seen.points, seen.past, slack))
    clocks = _Clocks(seen, promise, slack, places, day.service.risk)
    jobs = _jobs(seen_by, seen, day, places, promise, slack)
    odds = Odds(late, told.own, p80, at_risk, share, nights, why.words, jobs, clocks, why.job_id)
    return replace(day, finish=Finish(p50, p90, p95), path=way, odds=odds)


def _jobs(
    picture: Picture, seen: Seen, day: Forecast, places: dict[int, int], promise: Promise, slack: Slack
) -> tuple[JobAhead, ...]:
    """The jobs that run or wait: MOST_JOBS, those that decide most often and have the least slack."""
    open_ones = {node.job_id: seen.place[places[node.job_id]] for node in day.unfinished() if node.finish is not None
                 and places[node.job_id] in seen.place}  # fmt: skip
    waited = {job_id: job for job_id, job in open_ones.items() if slack.seconds[job] < np.inf or slack.critical[job]}
    most = sorted(waited, key=lambda one: (-slack.critical[waited[one]], slack.seconds[waited[one]], one))[:MOST_JOBS]
    shown = [job_id for job_id in day.nodes if job_id in set(most)]
    found = parts(seen.look, promise, slack, [waited[job_id] for job_id in shown], day.service.risk)
    return tuple(
        _ahead(picture, job_id, part, seen)
        for job_id, part in zip(shown, found, strict=True)
        if np.isfinite(part.finish[-1])
    )


def _ahead(picture: Picture, job_id: int, part: Part, seen: Seen) -> JobAhead:
    origin, source = seen.origin, label([picture.estimate(job_id)])
    like = seen.look.night.views[-1].takes.others if source == "declared" else 0
    p50, p80, p95 = (instant_of(round(origin + at)) for at in part.finish)
    begun, green = (None if at is None else instant_of(round(origin + at)) for at in (part.begun_by, part.green_by))
    return JobAhead(
        job_id=job_id,
        late=round(part.late, 2),
        decides=round(part.decides, 2),
        p50=up(p50),
        p80=up(p80),
        p95=up(p95),
        slack_s=part.slack // 60 * 60 if np.isfinite(part.slack) else None,
        act_by=begun,
        green_by=green,
        source=f"{source}, varies like {like} jobs" if like else source,
    )


class _Clocks:
    """The clocks of what is broken, when somebody asks for them."""

    def __init__(self, seen: Seen, promise: Promise, slack: Slack, places: dict[int, int], risk: float) -> None:
        self._seen, self._promise, self._slack, self._places, self._risk = seen, promise, slack, places, risk

    def __call__(self, broken: Iterable[int]) -> Clocks | None:
        seen = self._seen
        jobs = [seen.place[self._places[each]] for each in broken if self._places.get(each) in seen.place]
        found = restart(seen.look, self._promise, self._slack, jobs, self._risk)
        return None if found is None else Clocks(*(instant_of(round(seen.origin + at)) for at in found))
