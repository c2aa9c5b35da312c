"""Forecasts of all open service days from the simulation, with a cache of what is still valid.

Service days that share a job or a saturated pool are one simulation, so that they agree; independent groups are
simulated apart, and a part of the estate evaluated alone gets the same figures as within the whole. While something
runs, waits or is red a forecast is valid for half a minute; otherwise until the first of the instants that are
ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial

import numpy as np

from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.estimates import source_label
from console.control.snapshot.incremental import SourceMemo
from console.control.snapshot.runs import round_up_to_minute
from console.domain.forecast import JobForecast
from console.forecast.calibration import learned_slopes, publish_odds
from console.forecast.finish_times import FinishTimes, NodeState, RestartClocks, ServiceForecast, ServiceOdds
from console.forecast.night_graph import (
    NightGraph,
    NightPoint,
    build_night_graph,
    independent_groups,
    instant_of,
    saturable_pools,
)
from console.forecast.past_nights import PastNights
from console.forecast.simulation.critical_path import (
    JobSlack,
    ServiceSlack,
    critical_path,
    job_slacks,
    restart_clocks,
    slack_of,
)
from console.forecast.simulation.simulator import (
    SimulatedNight,
    SimulationRun,
    answer_for,
    prepare_night,
    quantiles,
    run_simulation,
)
from console.forecast.simulation.values import (
    Floats,
    GateRule,
    JobPhase,
    NightHistory,
    ServicePromise,
    SimulationGraph,
    StartRule,
    Tonight,
)
from console.forecast.simulation.values import SlotPool as Slots
from console.forecast.usual import UsualStarts, night_kind
from console.forecast.why_late import LatenessReason, explain_lateness, explain_slowdown

VALID_FOR = timedelta(seconds=30)
SIMULATION_VALID_FOR = 4 * VALID_FOR
"""How long what was made of a basis waits for the next look at it."""
GroupName = tuple[tuple[str, date], ...]


@dataclass(frozen=True, slots=True)
class ForecastBasis:
    """All that a forecast rests on, but the time."""

    points: tuple[NightPoint, ...]
    days: tuple[object, ...]
    past: tuple[object, ...]
    """The very objects that the past of each job, and earlier forecasts, were read from."""

    def is_as(self, other: ForecastBasis) -> bool:
        return (
            len(self.past) == len(other.past)
            and all(one is its for one, its in zip(self.past, other.past, strict=True))
            and (self.points, self.days) == (other.points, other.days)
        )


@dataclass(frozen=True, slots=True)
class CachedSimulation:
    """What a simulation rests on but the time: it serves the next look at the same basis as well."""

    past: NightHistory
    night: SimulatedNight
    origin: float
    """Seconds since 1970 of its time 0."""


@dataclass(frozen=True, slots=True)
class CachedForecast:
    basis: ForecastBasis
    since: datetime
    until: datetime
    days: tuple[ServiceForecast, ...]
    made: CachedSimulation | None = None


def forecast_basis(index: EstateIndex, points: Sequence[NightPoint], days: Iterable[ServiceForecast]) -> ForecastBasis:
    """`points`: numbered within the group."""
    jobs, estate = dict.fromkeys(point.job_id for point in points), index.estate
    past = (one for job_id in jobs for one in (estate.history.get(job_id), estate.durations.get(job_id)))
    declared = tuple((index.job(job_id).expected, index.estimate(job_id).like) for job_id in jobs)
    promised = tuple((day.service.name, day.business_date, day.deadline, day.service.risk, day.ends) for day in days)
    return ForecastBasis(tuple(points), (promised, declared), (*past, estate.forecasts))


def forecast_valid_until(points: Sequence[NightPoint], days: Iterable[ServiceForecast], now: datetime) -> datetime:
    """From then on time alone has changed the forecast."""
    ends = [day.deadline for day in days if day.deadline > now]
    moves = any(_moves(points, point, now) for point in points)
    due = [at for point in points if point.stand is JobPhase.WAITS and (at := instant_of(point.earliest)) > now]
    return min([*ends, *due, *([now + VALID_FOR] if moves else [now + timedelta(days=1)])])


def _moves(points: Sequence[NightPoint], point: NightPoint, now: datetime) -> bool:
    if point.stand is not JobPhase.WAITS:
        return point.stand is not JobPhase.DONE
    waits = any(points[each].stand is not JobPhase.DONE for each in point.upstreams)
    return not waits and instant_of(point.earliest) <= now


class ForecastCache:
    """The latest of each service day, while it holds: each keeps the whole simulation that it was read from."""

    def __init__(self) -> None:
        self._known: dict[GroupName, CachedForecast] = {}
        self._latest: dict[tuple[str, date], GroupName] = {}
        self._swept: datetime | None = None

    def __len__(self) -> int:
        return len(self._known)

    def get(self, name: GroupName, basis: ForecastBasis, now: datetime) -> tuple[ServiceForecast, ...] | None:
        known = self._known.get(name)
        if known is None or not known.since <= now < known.until or not known.basis.is_as(basis):
            return None
        return known.days

    def made(self, name: GroupName, basis: ForecastBasis) -> CachedSimulation | None:
        """What the last look made of the same basis, though time has moved on."""
        known = self._known.get(name)
        return known.made if known is not None and known.basis.is_as(basis) else None

    def keep(self, name: GroupName, kept: CachedForecast) -> None:
        for day in name:
            self._known.pop(self._latest.get(day, name), None)
        self._latest |= dict.fromkeys(name, name)
        self._known[name] = kept
        if self._swept is None or abs(kept.since - self._swept) >= VALID_FOR:
            self._sweep(kept.since)

    def _sweep(self, now: datetime) -> None:
        self._swept = now
        self._known = {
            name: one for name, one in self._known.items() if one.since <= now < one.until + SIMULATION_VALID_FOR
        }
        self._latest = {day: name for day, name in self._latest.items() if name in self._known}


SHARES = np.array([0.5, 0.8, 0.9, 0.95])
MOST_JOBS = 40
"""Jobs of a service day of which each is told what it leaves to them."""
WHY = 0.05
"""P(late) from which on it is said why."""
_DAY = timedelta(days=1)
Fails = Callable[[Sequence[ServiceForecast], Exception], None]


class Forecaster:
    """Callable as `control.forecast.odds.Foresee`. What it keeps between two calls moves no figure by more
    than half a minute."""

    def __init__(
        self,
        otherwise: Callable[[NightPoint], NightPoint] = lambda point: point,
        fails: Fails | None = None,
    ) -> None:
        """`otherwise`: what each point is instead; for counterfactuals. `fails`: is told what breaks and which days it
        costs: they keep their sums, and all others have their figures; None: it is raised."""
        self._otherwise, self._fails = otherwise, fails
        self._nights = PastNights()
        self._usual_starts = UsualStarts()
        self._slopes = SourceMemo[Floats]()
        self._cache = ForecastCache()

    def __call__(self, index: EstateIndex, days: Sequence[ServiceForecast]) -> list[ServiceForecast]:
        found = list(days)
        open_days = [place for place, day in enumerate(days) if _is_open(index, day)]
        for business_date in dict.fromkeys(days[place].business_date for place in open_days):
            mine = [place for place in open_days if days[place].business_date == business_date]
            of_business_date = [days[place] for place in mine]
            for place, day in zip(
                mine, self._or_sums(of_business_date, partial(self._of_date, index, of_business_date)), strict=True
            ):
                found[place] = day
        return found

    def _of_date(self, index: EstateIndex, days: Sequence[ServiceForecast]) -> Sequence[ServiceForecast]:
        """Those of one business date."""
        found, laid = list(days), build_night_graph(index, days, self._usual_starts)
        for group in independent_groups(laid):
            mine = [(place, days[place]) for place in group]
            foreseen = self._or_sums([day for _, day in mine], partial(self._together, index, laid, mine))
            for place, day in zip(group, foreseen, strict=True):
                found[place] = day
        return found

    def _or_sums(
        self, days: Sequence[ServiceForecast], foreseen: Callable[[], Sequence[ServiceForecast]]
    ) -> Sequence[ServiceForecast]:
        try:
            return foreseen()
        except Exception as error:
            if self._fails is None:
                raise
            self._fails(days, error)
            return [replace(day, is_unforeseen=True) for day in days]

    def _together(
        self, index: EstateIndex, laid: NightGraph, group: Sequence[tuple[int, ServiceForecast]]
    ) -> Sequence[ServiceForecast]:
        """Service days of one business date that share jobs."""
        days = [day for _, day in group]
        ends = [laid.places[place][end] for place, day in group for end in day.ends if end in day.nodes]
        keep = _above(laid.points, ends)
        place = {old: new for new, old in enumerate(keep)}
        points = [self._otherwise(_renumbered(laid.points[old], place)) for old in keep]
        name, basis = tuple((day.service.name, day.business_date) for day in days), forecast_basis(index, points, days)
        known = self._cache.get(name, basis, index.now)
        if known is not None:
            return [_as_forecast(day, its) for day, its in zip(days, known, strict=True)]
        made = self._cache.made(name, basis)
        if made is None:
            made = self._made(index, points, sorted({place[end] for end in ends}), days[0].business_date)
        seen = _simulated_group(index, made, points, place)
        forecasts = index.estate.forecasts
        slopes = self._slopes.get("slopes", (forecasts,), lambda: learned_slopes(forecasts))
        promises = [_promise(seen, day, laid.places[each]) for each, day in group]
        found = tuple(
            _with_odds(index, seen, laid.places[each], day, promise, slopes)
            for (each, day), promise in zip(group, promises, strict=True)
        )
        self._cache.keep(
            name, CachedForecast(basis, index.now, forecast_valid_until(points, days, index.now), found, made)
        )
        return found

    def _made(
        self, index: EstateIndex, points: Sequence[NightPoint], ends: Sequence[int], business_date: date
    ) -> CachedSimulation:
        now = index.now.timestamp()
        origin = min([now, *(point.start for point in points if np.isfinite(point.start))])
        past = self._nights.of(index, points, business_date)
        graph = SimulationGraph(
            [p.upstreams for p in points],
            np.array([p.earliest - origin for p in points]),
            {job: _since(p.rule, origin) for job, p in enumerate(points) if p.rule is not None},
            [f"{p.job_id}" if p.takes else f"gates of {p.job_id}" for p in points],
            [Slots(points[places[0]].slots or pool.slots, places) for pool, places in saturable_pools(points).items()],
        )
        return CachedSimulation(past, prepare_night(past, graph, ends), origin)


def _promise(seen: SimulatedGroup, day: ServiceForecast, places: dict[int, int]) -> ServicePromise:
    jobs = np.array([seen.place[places[end]] for end in day.ends if end in places])
    return ServicePromise(day.service.name, jobs, day.deadline.timestamp() - seen.origin)


def _simulated_group(
    index: EstateIndex, made: CachedSimulation, points: Sequence[NightPoint], place: dict[int, int]
) -> SimulatedGroup:
    """`place`: as in Seen."""
    ready, start, end = (
        np.array([getattr(p, name) for p in points]) - made.origin for name in ("ready", "start", "end")
    )
    stand, failed = np.array([p.stand for p in points]), np.array([p.failed for p in points])
    tonight = Tonight(stand, ready, start, end, failed)
    found = run_simulation(tonight, index.now.timestamp() - made.origin, made.night, kept=1)
    return SimulatedGroup(found, points, place, made.origin, made.past)


@dataclass(frozen=True, slots=True)
class SimulatedGroup:
    """One simulation, and what its jobs are."""

    look: SimulationRun
    points: Sequence[NightPoint]
    place: dict[int, int]
    """Place in what was laid -> job of the simulation."""
    origin: float
    """Seconds since 1970 of its time 0."""
    past: NightHistory


def _is_open(index: EstateIndex, day: ServiceForecast) -> bool:
    """True where something is still to come of which there is an estimate."""
    waits = any(day.nodes[end].how not in (NodeState.DONE, NodeState.OVER) for end in day.ends if end in day.nodes)
    return day.finish is not None and waits and day.deadline > index.now - _DAY


def _above(points: Sequence[NightPoint], ends: Iterable[int]) -> list[int]:
    found, ahead = set[int](), list(ends)
    while ahead:
        one = ahead.pop()
        if one not in found:
            found.add(one)
            ahead.extend(points[one].upstreams)
    return sorted(found)


def _renumbered(point: NightPoint, place: dict[int, int]) -> NightPoint:
    if all(place[each] == each for each in point.upstreams):
        return point
    upstreams = tuple(place[each] for each in point.upstreams)
    return replace(point, upstreams=upstreams, rule=point.rule.renumbered(place) if point.rule is not None else None)


def _since(rule: StartRule, origin: float) -> StartRule:
    """In the times of a simulation that begins then."""
    return rule.since(origin) if isinstance(rule, GateRule) else rule


def _as_forecast(day: ServiceForecast, told: ServiceForecast) -> ServiceForecast:
    return replace(day, finish=told.finish, path=told.path, odds=told.odds)


def _with_odds(
    index: EstateIndex,
    seen: SimulatedGroup,
    places: dict[int, int],
    day: ServiceForecast,
    promise: ServicePromise,
    slopes: Floats,
) -> ServiceForecast:
    told = publish_odds(seen.look, promise, slopes)
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
    seen_by = day.seen or index
    known = [seen_by.estimate(job_id) for job_id in way]
    nights = min((each.runs if each.source == "history" else 0 for each in known), default=0)
    late = answer_for(seen.look, promise).late
    if late >= WHY:
        why = explain_lateness(seen_by, seen.look, seen.points, seen.past, night_kind(day.business_date), slack)
    else:
        why = LatenessReason(explain_slowdown(seen_by, seen.points, seen.past, slack))
    clocks = _DeferredClocks(seen, promise, slack, places, day.service.risk)
    jobs = _jobs(seen_by, seen, day, places, promise, slack)
    odds = ServiceOdds(late, told.own, p80, at_risk, share, nights, why.words, jobs, clocks, why.job_id)
    return replace(day, finish=FinishTimes(p50, p90, p95), path=way, odds=odds)


def _jobs(
    index: EstateIndex,
    seen: SimulatedGroup,
    day: ServiceForecast,
    places: dict[int, int],
    promise: ServicePromise,
    slack: ServiceSlack,
) -> tuple[JobForecast, ...]:
    """The jobs that run or wait: MOST_JOBS, those that decide most often and have the least slack."""
    open_ones = {node.job_id: seen.place[places[node.job_id]] for node in day.unfinished() if node.finish is not None
                 and places[node.job_id] in seen.place}  # fmt: skip
    waited = {job_id: job for job_id, job in open_ones.items() if slack.seconds[job] < np.inf or slack.critical[job]}
    most = sorted(waited, key=lambda one: (-slack.critical[waited[one]], slack.seconds[waited[one]], one))[:MOST_JOBS]
    shown = [job_id for job_id in day.nodes if job_id in set(most)]
    found = job_slacks(seen.look, promise, slack, [waited[job_id] for job_id in shown], day.service.risk)
    return tuple(
        _ahead(index, job_id, part, seen)
        for job_id, part in zip(shown, found, strict=True)
        if np.isfinite(part.finish[-1])
    )


def _ahead(index: EstateIndex, job_id: int, part: JobSlack, seen: SimulatedGroup) -> JobForecast:
    origin, source = seen.origin, source_label([index.estimate(job_id)])
    like = seen.look.night.views[-1].takes.others if source == "declared" else 0
    p50, p80, p95 = (instant_of(round(origin + at)) for at in part.finish)
    begun, green = (None if at is None else instant_of(round(origin + at)) for at in (part.begun_by, part.green_by))
    return JobForecast(
        job_id=job_id,
        late=round(part.late, 2),
        decides=round(part.decides, 2),
        p50=round_up_to_minute(p50),
        p80=round_up_to_minute(p80),
        p95=round_up_to_minute(p95),
        slack_s=part.slack // 60 * 60 if np.isfinite(part.slack) else None,
        act_by=begun,
        green_by=green,
        source=f"{source}, varies like {like} jobs" if like else source,
    )


class _DeferredClocks:
    """The clocks of what is broken, when somebody asks for them."""

    def __init__(
        self, seen: SimulatedGroup, promise: ServicePromise, slack: ServiceSlack, places: dict[int, int], risk: float
    ) -> None:
        self._seen, self._promise, self._slack, self._places, self._risk = seen, promise, slack, places, risk

    def __call__(self, broken: Iterable[int]) -> RestartClocks | None:
        seen = self._seen
        jobs = [seen.place[self._places[each]] for each in broken if self._places.get(each) in seen.place]
        found = restart_clocks(seen.look, self._promise, self._slack, jobs, self._risk)
        return None if found is None else RestartClocks(*(instant_of(round(seen.origin + at)) for at in found))
