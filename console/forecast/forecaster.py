"""Forecasts of all open service days from the simulation, with a cache.

Service days that share a job or a saturated pool are one simulation, so that they agree; independent groups are
simulated separately, and a part of the estate evaluated alone gets the same figures as within the whole. While a job
runs, waits or is red a forecast is valid for half a minute; otherwise until the next deadline or start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cache, partial

import numpy as np

from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.incremental import SourceMemo
from console.control.snapshot.runs import round_up_to_minute
from console.domain.forecast import JobForecast
from console.domain.history import EstimateKind
from console.domain.promise import RISK
from console.forecast.calibration import fit_slopes, publish_odds
from console.forecast.finish_times import ActByTimes, FinishTimes, NodeState, ServiceForecast, ServiceOdds
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
    act_by_times,
    critical_path,
    job_slacks,
    slack_of,
)
from console.forecast.simulation.simulator import (
    SimulatedNight,
    SimulationRun,
    p_late,
    prepare_night,
    quantiles,
    run_simulation,
)
from console.forecast.simulation.values import (
    Floats,
    GateRule,
    Integers,
    JobPhase,
    NightHistory,
    ServicePromise,
    SimulationGraph,
    Tonight,
)
from console.forecast.simulation.values import SlotPool as Slots
from console.forecast.usual import UsualStarts, night_kind
from console.forecast.what_if import PlanOutcome
from console.forecast.why_late import NightDelays, explain_lateness, explain_slowdown

VALID_FOR = timedelta(seconds=30)
SIMULATION_VALID_FOR = 4 * VALID_FOR
"""How long a prepared simulation is kept for the next forecast from the same inputs."""
GroupName = tuple[tuple[str, date], ...]


@dataclass(frozen=True, slots=True)
class ForecastBasis:
    """All inputs of a forecast but the time."""

    points: tuple[NightPoint, ...]
    days: tuple[object, ...]
    past: tuple[object, ...]
    """Histories and earlier forecasts, compared by identity."""

    def is_as(self, known: ForecastBasis) -> bool:
        return (
            len(self.past) == len(known.past)
            and all(night is known_night for night, known_night in zip(self.past, known.past, strict=True))
            and (self.points, self.days) == (known.points, known.days)
        )


@dataclass(frozen=True, slots=True)
class CachedSimulation:
    """A prepared simulation; it serves any time with the same inputs."""

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
    prepared: CachedSimulation | None = None


def forecast_basis(index: EstateIndex, points: Sequence[NightPoint], days: Iterable[ServiceForecast]) -> ForecastBasis:
    """`points`: numbered within the group."""
    jobs, estate = dict.fromkeys(point.job_id for point in points), index.estate
    past = (source.get(job_id) for job_id in jobs for source in (estate.history, estate.durations))
    declared = tuple((index.job(job_id).expected, index.estimate(job_id).peers) for job_id in jobs)
    promised = tuple((day.service.name, day.business_date, day.deadline, day.ends) for day in days)
    return ForecastBasis(tuple(points), (promised, declared), (*past, estate.forecasts))


def forecast_valid_until(points: Sequence[NightPoint], days: Iterable[ServiceForecast], now: datetime) -> datetime:
    """The instant from which on time alone has changed the forecast."""
    until = [now + timedelta(days=1), *(day.deadline for day in days if day.deadline > now)]
    for point in points:
        if point.phase is JobPhase.DONE:
            continue
        if point.phase is not JobPhase.WAITS:
            until.append(now + VALID_FOR)
        elif (earliest := instant_of(point.earliest)) > now:
            until.append(earliest)
        elif all(points[upstream].phase is JobPhase.DONE for upstream in point.upstreams):
            until.append(now + VALID_FOR)
    return min(until)


class ForecastCache:
    """The latest forecast of each service day, with its prepared simulation."""

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

    def prepared(self, name: GroupName, basis: ForecastBasis) -> CachedSimulation | None:
        """The prepared simulation of the same inputs, even if the forecast itself has expired."""
        known = self._known.get(name)
        return known.prepared if known is not None and known.basis.is_as(basis) else None

    def keep(self, name: GroupName, forecast: CachedForecast) -> None:
        for day in name:
            self._known.pop(self._latest.get(day, name), None)
        self._latest |= dict.fromkeys(name, name)
        self._known[name] = forecast
        now = forecast.since
        if self._swept is None or abs(now - self._swept) >= VALID_FOR:
            self._swept = now
            self._known = {
                name: known
                for name, known in self._known.items()
                if known.since <= now < known.until + SIMULATION_VALID_FOR
            }
            self._latest = {day: name for day, name in self._latest.items() if name in self._known}


SHARES = np.array([0.5, 0.8, 0.9, 0.95])
MAX_JOBS = 40
"""Maximum number of jobs of a service day with a forecast of their own."""
MIN_LATE_EXPLAINED = 0.05
"""P(late) from which on the reasons are explained."""
_DAY = timedelta(days=1)
Fails = Callable[[Sequence[ServiceForecast], Exception], None]


class Forecaster:
    """A `SimulateDays`. Its caches change no figure by more than half a minute."""

    def __init__(
        self, otherwise: Callable[[NightPoint], NightPoint] = lambda point: point, fails: Fails | None = None
    ) -> None:
        """`otherwise`: replaces points, for counterfactuals. `fails`: called with the days whose simulation failed,
        which keep their sums, and the error; None: the error is raised."""
        self._otherwise, self._fails = otherwise, fails
        self._nights = PastNights()
        self._usual_starts = UsualStarts()
        self._slopes = SourceMemo[Floats]()
        self._cache = ForecastCache()

    def __call__(self, index: EstateIndex, days: Sequence[ServiceForecast]) -> list[ServiceForecast]:
        def is_open(day: ServiceForecast) -> bool:
            ends = (day.nodes[end] for end in day.ends if end in day.nodes)
            waits = any(node.how not in (NodeState.DONE, NodeState.OVER) for node in ends)
            return day.finish is not None and waits and day.deadline > index.now - _DAY

        forecasts = list(days)
        open_days = [place for place, day in enumerate(days) if is_open(day)]
        for business_date in dict.fromkeys(days[place].business_date for place in open_days):
            places = [place for place in open_days if days[place].business_date == business_date]
            of_date = [days[place] for place in places]
            simulated = self._or_sums(of_date, partial(self._of_date, index, of_date))
            for place, day in zip(places, simulated, strict=True):
                forecasts[place] = day
        return forecasts

    def _of_date(self, index: EstateIndex, days: Sequence[ServiceForecast]) -> Sequence[ServiceForecast]:
        forecasts, night = list(days), build_night_graph(index, days, self._usual_starts)
        for group in independent_groups(night):
            members = [(place, days[place]) for place in group]
            simulated = self._or_sums([days[place] for place in group], partial(self._of_group, index, night, members))
            for place, day in zip(group, simulated, strict=True):
                forecasts[place] = day
        return forecasts

    def _or_sums(
        self, days: Sequence[ServiceForecast], simulated: Callable[[], Sequence[ServiceForecast]]
    ) -> Sequence[ServiceForecast]:
        try:
            return simulated()
        except Exception as error:
            if self._fails is None:
                raise
            self._fails(days, error)
            return [replace(day, is_unforeseen=True) for day in days]

    def _of_group(
        self, index: EstateIndex, night: NightGraph, group: Sequence[tuple[int, ServiceForecast]]
    ) -> Sequence[ServiceForecast]:
        days = [day for _, day in group]
        ends = [night.places[place][end] for place, day in group for end in day.ends if end in day.nodes]
        ahead, needed = list(ends), set[int]()
        while ahead:
            if (place := ahead.pop()) not in needed:
                needed.add(place)
                ahead.extend(night.points[place].upstreams)
        jobs = {place: job for job, place in enumerate(sorted(needed))}
        points = [self._otherwise(_renumbered(night.points[place], jobs)) for place in jobs]
        name, basis = tuple(day.key for day in days), forecast_basis(index, points, days)
        known = self._cache.get(name, basis, index.now)
        if known is not None:
            cached = zip(days, known, strict=True)
            return [replace(day, finish=same.finish, path=same.path, odds=same.odds) for day, same in cached]
        prepared = self._cache.prepared(name, basis)
        delivering, business_date = sorted({jobs[end] for end in ends}), days[0].business_date
        if prepared is None:
            prepared = self._prepare(index, points, delivering, business_date)
        origin, sim = prepared.origin, _simulated(prepared, points, index.now)

        @cache
        def restarted() -> tuple[float, SimulationRun]:
            runs = frozenset(point.job_id for point in points)
            held = frozenset(job_id for job_id in runs if index.job(job_id).can_hold)
            planned = list(map(PlanOutcome(index.now, runs, held), points))
            night = self._prepare(index, planned, delivering, business_date)
            return night.origin, _simulated(night, planned, index.now)

        past_forecasts = index.estate.forecasts
        slopes = self._slopes.get("slopes", (past_forecasts,), lambda: fit_slopes(past_forecasts))
        forecasts = []
        for place, day in group:
            job_of = {job_id: jobs[point] for job_id, point in night.places[place].items() if point in jobs}
            ends_of_day = np.array([job_of[end] for end in day.ends if end in job_of])
            promise = ServicePromise(day.service.name, ends_of_day, day.deadline.timestamp() - origin)
            simulated = SimulatedService(sim, points, job_of, origin, prepared.past, promise)
            if_restarted = partial(self._late_if_restarted, restarted, day, ends_of_day, slopes)
            forecasts.append(_with_odds(index, simulated, day, slopes, if_restarted))
        until = forecast_valid_until(points, days, index.now)
        self._cache.keep(name, CachedForecast(basis, index.now, until, tuple(forecasts), prepared))
        return forecasts

    def _late_if_restarted(
        self,
        restarted: Callable[[], tuple[float, SimulationRun]],
        day: ServiceForecast,
        ends: Integers,
        slopes: Floats,
    ) -> float:
        """P(late) if all red jobs are restarted now and those that can be held wait for them; 1 where that cannot be
        simulated."""
        try:
            origin, sim = restarted()
            promise = ServicePromise(day.service.name, ends, day.deadline.timestamp() - origin)
            return p_late(publish_odds(sim, promise, slopes).sim, promise)
        except Exception as error:
            if self._fails is None:
                raise
            self._fails([day], error)
            return 1.0

    def _prepare(
        self, index: EstateIndex, points: Sequence[NightPoint], ends: Sequence[int], business_date: date
    ) -> CachedSimulation:
        now = index.now.timestamp()
        origin = min([now, *(point.start for point in points if np.isfinite(point.start))])
        past = self._nights.of(index, points, business_date)
        rules = {job: point.rule for job, point in enumerate(points) if point.rule is not None}
        graph = SimulationGraph(
            [p.upstreams for p in points],
            np.array([p.earliest - origin for p in points]),
            {job: rule.since(origin) if isinstance(rule, GateRule) else rule for job, rule in rules.items()},
            [f"{p.job_id}" if p.takes else f"gates of {p.job_id}" for p in points],
            [Slots(points[places[0]].slots or pool.slots, places) for pool, places in saturable_pools(points).items()],
        )
        return CachedSimulation(past, prepare_night(past, graph, ends), origin)


def _simulated(prepared: CachedSimulation, points: Sequence[NightPoint], now: datetime) -> SimulationRun:
    ready, start, end = (
        np.array([getattr(p, name) for p in points]) - prepared.origin for name in ("ready", "start", "end")
    )
    phase, failed = np.array([p.phase for p in points]), np.array([p.failed for p in points])
    tonight = Tonight(phase, ready, start, end, failed)
    return run_simulation(tonight, now.timestamp() - prepared.origin, prepared.night, chunks=1)


@dataclass(frozen=True, slots=True)
class SimulatedService:
    """One service day in the simulation of its group."""

    sim: SimulationRun
    points: Sequence[NightPoint]
    """By job of the simulation."""
    job_of: dict[int, int]
    """Job id -> job of the simulation, for the jobs of the service day."""
    origin: float
    """Seconds since 1970 of its time 0."""
    past: NightHistory
    promise: ServicePromise

    def instant(self, seconds: float) -> datetime:
        return instant_of(round(self.origin + seconds))


def _renumbered(point: NightPoint, jobs: dict[int, int]) -> NightPoint:
    if all(jobs[upstream] == upstream for upstream in point.upstreams):
        return point
    upstreams = tuple(jobs[upstream] for upstream in point.upstreams)
    return replace(point, upstreams=upstreams, rule=point.rule.renumbered(jobs) if point.rule is not None else None)


def _with_odds(
    index: EstateIndex,
    simulated: SimulatedService,
    day: ServiceForecast,
    slopes: Floats,
    if_restarted: Callable[[], float],
) -> ServiceForecast:
    points, past, promise = simulated.points, simulated.past, simulated.promise
    published = publish_odds(simulated.sim, promise, slopes)
    sim = published.sim
    simulated = replace(simulated, sim=sim)
    outcome = sim.outcome(promise)
    shares = np.append(SHARES, 1 - RISK)
    p50, p80, p90, p95, within_risk = map(simulated.instant, quantiles(outcome.finish, outcome.weights, shares))
    slack = slack_of(sim, promise)
    path = critical_path(sim, promise, slack, [point.job_id for point in points])
    criticality: dict[int, float] = {}
    for job in slack.jobs.tolist():
        job_id = points[job].job_id
        criticality[job_id] = max(criticality.get(job_id, 0.0), float(slack.critical[job]))
    estimates = [index.estimate(job_id) for job_id in path]
    nights = min((estimate.runs if estimate.source is EstimateKind.HISTORY else 0 for estimate in estimates), default=0)
    late = p_late(sim, promise)
    if late >= MIN_LATE_EXPLAINED:
        reason = explain_lateness(index, sim, points, past, night_kind(day.business_date), slack)
    else:
        reason = NightDelays(explain_slowdown(index, points, past, slack))
    odds = ServiceOdds(
        late,
        published.own,
        p80,
        within_risk,
        criticality,
        nights,
        reason.text,
        _job_forecasts(index, simulated, day, slack),
        partial(_act_by_times, index, simulated, slack),
        if_restarted,
        reason.job_id,
    )
    return replace(day, finish=FinishTimes(p50, p90, p95), path=path, odds=odds)


def _job_forecasts(
    index: EstateIndex, simulated: SimulatedService, day: ServiceForecast, slack: ServiceSlack
) -> tuple[JobForecast, ...]:
    """Running and waiting jobs: at most MAX_JOBS, those that decide most often and have the least slack."""
    job_of = {
        node.job_id: job
        for node in day.unfinished()
        if node.finish is not None and (job := simulated.job_of.get(node.job_id)) is not None
        and (slack.seconds[job] < np.inf or slack.critical[job])
    }  # fmt: skip
    most = sorted(job_of, key=lambda job_id: (-slack.critical[job_of[job_id]], slack.seconds[job_of[job_id]], job_id))
    shown = [job_id for job_id in day.nodes if job_id in set(most[:MAX_JOBS])]
    jobs = [job_of[job_id] for job_id in shown]
    slacks = job_slacks(simulated.sim, simulated.promise, slack, jobs, RISK)
    return tuple(
        _job_forecast(index, job_id, job_slack, simulated)
        for job_id, job_slack in zip(shown, slacks, strict=True)
        if np.isfinite(job_slack.finish[-1])
    )


def _job_forecast(index: EstateIndex, job_id: int, slack: JobSlack, simulated: SimulatedService) -> JobForecast:
    basis = index.estimate(job_id).basis
    if basis.kind is EstimateKind.DECLARED:
        basis = replace(basis, count=simulated.sim.night.views[-1].takes.peers)
    p50, p80, p95 = (round_up_to_minute(simulated.instant(at)) for at in slack.finish)
    return JobForecast(
        job_id=job_id,
        late=round(slack.late, 2),
        decides=round(slack.decides, 2),
        p50=p50,
        p80=p80,
        p95=p95,
        slack_s=slack.slack // 60 * 60 if np.isfinite(slack.slack) else None,
        act_by=None if slack.act_by is None else simulated.instant(slack.act_by),
        green_by=None if slack.green_by is None else simulated.instant(slack.green_by),
        basis=basis,
    )


def _act_by_times(
    index: EstateIndex, simulated: SimulatedService, slack: ServiceSlack, broken: Iterable[int]
) -> ActByTimes | None:
    jobs = {simulated.job_of[job_id]: job_id for job_id in broken if job_id in simulated.job_of}
    hanging = {
        job: index.job(job_id).start_within.total_seconds()
        for job, job_id in jobs.items()
        if simulated.points[job].phase == JobPhase.RUNS
    }
    times = act_by_times(simulated.sim, simulated.promise, slack, list(jobs), RISK, hanging)
    return None if times is None else ActByTimes(*map(simulated.instant, times))
