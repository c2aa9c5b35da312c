"""What would have been told of nights that are over: a service's jobs as they stood at some instants of each, forecast
by what was known by then.

A night is told by the histories of the service's jobs. What had not begun by an instant is not there, what had not
ended runs, and of the past only nights that were over as the night began are known: nothing that came later moves a
figure. What a history does not tell of a night (when a job failed that nobody repaired, a job that did not run) makes
the night unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from statistics import median

from connectors.contract import State
from console.control.deadlines import clock_starts
from console.control.expected import expects_nothing
from console.control.forecast import Forecast, How, forecast, has_day
from console.control.forecast.as_it_stood import Ran, as_of, known_by, ran_of
from console.control.forecast.odds import Foresee
from console.control.graph import Graph
from console.control.kept import Kept
from console.control.moments import BEGINNING
from console.control.picture import Picture
from console.control.pools import pool_of
from console.model.forecasts import PastForecasts
from console.model.history import NO_HISTORY, History
from console.model.values import DependencyFacts, Estate, JobFacts, RunFacts, ServiceFacts, TargetFacts

MOST_INSTANTS = 12
"""At which a night is looked at: before it begins, and right before the ends of the jobs that took longest beside what
they usually take. There P(late) is highest: it rises while a job lasts, and falls with its end."""
FEWEST_NIGHTS = 10
"""Earlier ones that must be known of what delivers: with fewer a forecast is hardly like tonight's."""
BEFORE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
_NEARBY = 3
"""Business dates before and after, of which runs are laid out as well."""


@dataclass(frozen=True, slots=True)
class BackTested:
    """One night of a service that is over."""

    bd: date
    peak: float | None
    """The highest P(late) that would have been told in time; None: the histories do not tell enough of that night."""
    was_late: bool = False


@dataclass(frozen=True, slots=True)
class _Night:
    """One that can be told."""

    bd: date
    deadline: datetime
    finish: datetime
    opens: datetime
    history: Mapping[int, History]
    """By job: what was over as it opened."""
    learned: Sequence[PastForecasts]
    """What its own forecasts had taught by then."""


class BackTest:
    """One service of an estate over its past. `foresee`: the engine's own forecast."""

    def __init__(self, estate: Estate, kept: Kept, service: ServiceFacts, foresee: Foresee) -> None:
        self._foresee = foresee
        part = kept.shape.parts_with(service.terminals)
        beside = [one for one in estate.services if one.name != service.name and one.instance is None]
        mine = kept.graph.members(each for each in service.terminals if each in estate.jobs)
        if any(pool_of(estate.declared, estate.jobs[each]) is not None for each in mine):
            beside = [one for one in beside if not part.isdisjoint(kept.shape.parts_with(one.terminals))]
        else:
            beside = []  # what shares no pool with it moves none of its figures
        services = [_of_units(kept.graph, one) for one in (service, *beside)]
        members = [kept.graph.members(one.terminals) for one in services]
        jobs = set[int]().union(*members)
        self._services = services
        self._estate = Estate(
            jobs={each: _as_accepted(estate.jobs[each]) for each in sorted(jobs)},
            runs=(),
            durations={},
            dependencies=tuple(_between_units(kept.graph, kept.shape.edges_of(part), jobs)),
            services=tuple(services),
            targets={},
            forecasts=estate.forecasts,
            declared=estate.declared,
            settings=estate.settings,
        )
        self._targets = [estate.targets[each] for each in sorted({job.target_id for job in self._estate.jobs.values()})]
        self._is_read = all(each in estate.history for each in members[0])
        self._history = {each: estate.history.get(each, NO_HISTORY) for each in jobs}
        self._ran = {each: list(ran_of(history)) for each, history in self._history.items()}
        self._members = [tuple(sorted(each)) for each in members]
        self._graph = Graph(self._estate.jobs, self._estate.dependencies)
        self._ends = services[0].terminals

    @property
    def is_read(self) -> bool:
        """False while the past of one of its jobs is not known yet."""
        return self._is_read

    @property
    def jobs(self) -> Mapping[int, JobFacts]:
        """The service's own."""
        return {each: self._estate.jobs[each] for each in self._members[0]}

    def dates(self) -> list[date]:
        """Those on which all that delivers it ran, latest first; of the oldest too little is known."""
        known = [{ran.day for ran in self._ran[each] if ran.day > 0} for each in self._ends]
        days = sorted(set.intersection(*known)) if known else []
        return [date.fromordinal(day) for day in reversed(days[FEWEST_NIGHTS:])]

    def looks(self, bd: date) -> Iterator[BackTested | None]:
        """That night, one look after the other: None after each, and at last what was found."""
        night = self._night(bd)
        peak: float | None = None
        for at in self._instants(night) if night is not None else ():
            late = self._late(night, at) if night is not None else None
            peak = late if peak is None or (late is not None and late > peak) else peak
            yield None
        yield BackTested(bd, peak, night is not None and night.finish > night.deadline)

    def late(self, bd: date, at: datetime) -> float | None:
        """P(late) of that night as it would have been told then; None where there was none to tell."""
        night = self._night(bd)
        return None if night is None else self._late(night, at)

    def stood(self, bd: date, at: datetime) -> Mapping[int, State]:
        """Job -> the state of its last run of that date, as it was then; without jobs that had none."""
        picture = self._picture(self._history, (), bd, at)
        return {each: runs[-1].state for each in self._members[0] if (runs := picture.of_day(each, bd))}

    def _late(self, night: _Night, at: datetime) -> float | None:
        bd = night.bd
        picture = self._picture(night.history, night.learned, bd, at)
        days = list(self._days(picture, bd))
        if not days or days[0].service.name != self._services[0].name or days[0].finish is None:
            return None
        odds = self._foresee(picture, days)[0].odds
        return None if odds is None else round(odds.late, 2)

    def _days(self, picture: Picture, bd: date) -> Iterator[Forecast]:
        for service, members in zip(self._services, self._members, strict=True):
            if has_day(picture, service, members, bd):
                yield forecast(picture, service, members, bd)

    def _night(self, bd: date) -> _Night | None:
        """None where it cannot be told."""
        service, members, night = self._services[0], self._members[0], bd.toordinal()
        mine = {each: [ran for ran in self._ran[each] if ran.day == night] for each in members}
        ran = [one for of_job in mine.values() for one in of_job]
        if not ran or any(not self._tells(each, night) for each in members):
            return None
        after = max(one.ended for one in ran) + _SECOND
        picture = self._picture(self._history, (), bd, after)
        if not has_day(picture, service, members, bd):
            return None
        day = forecast(picture, service, members, bd)
        if day.finish is None or any(node.how is not How.DONE for node in day.nodes.values()):
            return None
        starts = {each: clock_starts(picture, picture.job(each), bd) for each in members}
        if any(not self._is_by_its_clock(each, of_job, starts[each]) for each, of_job in mine.items()):
            return None
        opens = min([*(one.began for one in ran), *(due for of_job in starts.values() for due in of_job[:1])]) - BEFORE
        past = {each: known_by(history, night, opens) for each, history in self._history.items()}
        if min((len(set(past[each].days)) for each in self._ends), default=0) < FEWEST_NIGHTS:
            return None
        learned = [one for one in self._estate.forecasts if one.night < night - _NEARBY]
        return _Night(bd, day.deadline, day.finish.p50, opens, past, learned)

    def _instants(self, night: _Night) -> list[datetime]:
        """At which it is looked at, in order."""
        until, at = min(night.finish, night.deadline), night.bd.toordinal()
        mine = [(job_id, one) for job_id in self._members[0] for one in self._ran[job_id] if one.day == at]
        mine.sort(key=lambda one: (_middle(night.history[one[0]]) - one[1].takes, one[1].ended, one[0]))
        before = [one.ended - _SECOND for _, one in mine]
        chosen = list(dict.fromkeys(each for each in before if night.opens < each < until))[: MOST_INSTANTS - 1]
        return sorted([night.opens, *chosen]) if night.opens < until else []

    def _tells(self, job_id: int, night: int) -> bool:
        """True where its history reaches back beyond that night, and does not say that it failed for good."""
        history = self._history[job_id]
        return night not in history.unmended and any(0 < day < night for day in history.days)

    def _is_by_its_clock(self, job_id: int, ran: Sequence[Ran], starts: Sequence[datetime]) -> bool:
        """False where it started at another time than its schedule says now."""
        if expects_nothing(self._estate.jobs[job_id]):
            return True
        return all(one.period_at in starts for one in ran if one.period_at is not None)

    def _picture(
        self, history: Mapping[int, History], learned: Sequence[PastForecasts], bd: date, at: datetime
    ) -> Picture:
        """As it stood then, with what was known of the past."""
        night, lookback = bd.toordinal(), self._estate.settings.lookback
        runs: list[RunFacts] = []
        for job_id, ran in self._ran.items():
            near = (one for one in ran if abs(one.day - night) <= _NEARBY and one.ended > at - lookback)
            job, usual = self._estate.jobs[job_id], _middle(history[job_id])
            runs += [run for one in near if (run := as_of(job, one, at, usual)) is not None]
        runs.sort(key=lambda run: (run.job_id, run.period_at or run.first_started_at or at))
        seen = replace(
            self._estate,
            runs=tuple(runs),
            durations={job_id: of.takes for job_id, of in history.items()},
            targets={one.id: _well(one, at) for one in self._targets},
            history=history,
            forecasts=learned,
        )
        return Picture(seen, at, graph=self._graph)


def _middle(history: History) -> float:
    return median(history.takes) if len(history.takes) else 0.0


def _well(target: TargetFacts, at: datetime) -> TargetFacts:
    """One that had answered right before: what its jobs did then is known by now."""
    return replace(
        target, last_ok_at=at, seen_until=at, first_ok_at=BEGINNING, failing_since=None, error="", error_kind="",
        lost=None, pause=None,
    )  # fmt: skip


def _as_accepted(job: JobFacts) -> JobFacts:
    """With its schedule of today, as if that had always been so; no pause of today stands in the way."""
    accepted = None if job.accepted_at is None else BEGINNING
    schedule = replace(job.schedule, next_at=None)
    return replace(job, schedule=schedule, accepted_at=accepted, paused_since=None, gone_since=None)


def _of_units(graph: Graph, service: ServiceFacts) -> ServiceFacts:
    return replace(service, terminals=tuple(dict.fromkeys(graph.unit(each) for each in service.terminals)))


def _between_units(graph: Graph, edges: Sequence[DependencyFacts], jobs: set[int]) -> Iterator[DependencyFacts]:
    """Histories know no tasks: what reads one reads its DAG."""
    for edge in edges:
        upstream, downstream = graph.unit(edge.upstream_id), graph.unit(edge.downstream_id)
        if upstream in jobs and downstream in jobs and upstream != downstream:
            yield replace(edge, upstream_id=upstream, downstream_id=downstream)
