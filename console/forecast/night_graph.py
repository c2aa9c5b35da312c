"""The open service days of one business date as one graph of points, which the simulation computes with.

A point is a job's run, its start by the clock, a rerun of what read stale data, or the gates of a job. A run that
two services read is one point, so that their figures agree; service days that share no point are simulated apart.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from enum import Enum
from operator import attrgetter

from connectors.sdk.states import RunState
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.graph import UpstreamGate
from console.control.snapshot.pools import pool_of
from console.control.snapshot.runs import is_repeated, red_since, run_time
from console.domain.estate import RunFacts
from console.domain.ids import EPOCH
from console.domain.job import Safety
from console.domain.settings import JobPool
from console.forecast.finish_times import ForecastNode, NodeState, ServiceForecast, comes_from, read_point_of_node
from console.forecast.simulation.values import GateRule, GateThreshold, JobPhase, RerunRule, StartRule
from console.forecast.usual import UsualStarts
from console.timing.maintenance import takes_longer

NEVER = float("inf")
UNKNOWN = float("nan")
"""One value everywhere, and one object: points that are the same are equal then."""


class StartReference(Enum):
    """The instant from which the delay of a job's start is measured, tonight and in past nights."""

    NOTHING = "nothing"
    UPSTREAMS = "upstreams"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True, eq=False)
class NightPoint:
    """Times in seconds since 1970; UNKNOWN where there is none."""

    job_id: int
    phase: int
    """A JobPhase."""
    upstreams: tuple[int, ...] = ()
    """Other points."""
    ready: float = UNKNOWN
    start: float = UNKNOWN
    end: float = UNKNOWN
    earliest: float = 0.0
    """Earliest start; never before now."""
    waited: StartReference = StartReference.NOTHING
    longer: float = 0.0
    """Addition to its usual duration, s: planned, and for a rerun until it begins."""
    takes: bool = True
    """False: a point that takes no time."""
    says: bool = True
    """True if its duration is evidence for other jobs."""
    rule: StartRule | None = None
    factor: float = 1.0
    """Multiplier of its usual duration."""
    pool: JobPool | None = None
    """From which it takes a slot."""
    slots: int | None = None
    """How many that has, in place of its own; for counterfactuals."""
    due: float = UNKNOWN
    """Of one that is rerun: when its clock starts it."""
    failed: bool = False
    """It failed tonight already, and is to run, or runs, again."""

    def __eq__(self, other: object) -> bool:
        """As tuples are equal: UNKNOWN is UNKNOWN, though no number; from Python 3.13 on a dataclass's own says no."""
        return isinstance(other, NightPoint) and _values(self) == _values(other)

    def __hash__(self) -> int:
        return hash(_values(self))


_values = attrgetter(*(item.name for item in fields(NightPoint)))


@dataclass(slots=True)
class NightGraph:
    """All points, upstreams first, and the last point of each job of each service day."""

    points: list[NightPoint] = field(default_factory=list)
    places: list[dict[int, int]] = field(default_factory=list)
    """By service day, in their order: job -> its last point."""
    _known: dict[NightPoint, int] = field(default_factory=dict)

    def put(self, point: NightPoint) -> int:
        place = self._known.setdefault(point, len(self.points))
        if place == len(self.points):
            self.points.append(point)
        return place


def build_night_graph(
    index: EstateIndex, days: Sequence[ServiceForecast], usual: UsualStarts | None = None
) -> NightGraph:
    """The graph of these service days. `usual`: cache of usual starts."""
    usual = usual or UsualStarts()
    graph = NightGraph()
    for day in days:
        graph.places.append({})
        for node in day.nodes.values():
            graph.places[-1][node.job_id] = _NightGraphBuilder(index, day, node, graph, usual).place()
    return graph


@dataclass(slots=True)
class _NightGraphBuilder:
    """The points of one job of one service day."""

    index: EstateIndex
    day: ServiceForecast
    node: ForecastNode
    graph: NightGraph
    usual: UsualStarts

    def place(self) -> int:
        node, run = self.node, self.node.run
        if node.how in (NodeState.DONE, NodeState.OVER):
            end = _seconds(node.finish.p50 if node.finish is not None else self.index.now)
            if node.how is NodeState.OVER or run is None or run.started_at is None or run.ended_at is None:
                return self.graph.put(NightPoint(node.job_id, JobPhase.DONE, self._upstreams(), end=end, says=False))
            start = end - (run.ended_at - run.started_at).total_seconds()
            return self.graph.put(self._begun(JobPhase.DONE, run, start, end))
        if node.how is NodeState.UNKNOWN or node.finish is None:
            return self.graph.put(NightPoint(node.job_id, JobPhase.DONE, end=NEVER, says=False))
        match node.how:
            case NodeState.RUNNING:
                assert run is not None
                assert run.started_at is not None
                first = self.graph.put(self._begun(JobPhase.RUNS, run, _seconds(run.started_at), UNKNOWN))
                if not node.stale:
                    return first
                return self.graph.put(self._rerun(JobPhase.WAITS, (first, *self._awaited())))
            case NodeState.RERUN:
                return self._broken()
            case NodeState.CLOCK:
                return self._by_clock()
            case _:
                return self._waiting()

    def _begun(self, phase: int, run: RunFacts, start: float, end: float) -> NightPoint:
        """A started job, with the time since when it could start."""
        due = run.period_at if run.period_at is not None and run.expected else None
        ends = [self.graph.points[upstream].end for upstream in self._upstreams()]
        known = bool(ends) and all(at < NEVER for at in ends)  # also false for NaN, of unfinished upstreams
        ready = _seconds(due) if due is not None else max(ends) if known else start
        waited = (
            StartReference.CLOCK if due is not None else StartReference.UPSTREAMS if known else StartReference.NOTHING
        )
        if self._has_failed():
            waited = StartReference.NOTHING  # a repair: in the past, waits are those of first starts
        return self._point(phase, self._upstreams(), ready=min(ready, start), start=start, end=end, waited=waited)

    def _broken(self) -> int:
        """A red or stale job: restarted after a repair, or, if it waits for unfinished upstreams, right after them; now
        if a plan restarts it, or its restart is sent."""
        awaited = self._awaited()
        if self._is_restarted():
            return self.graph.put(replace(self._rerun(JobPhase.WAITS, awaited), failed=True))
        if any(self._is_open(place) for place in awaited):
            return self.graph.put(self._rerun(JobPhase.WAITS, awaited))
        run, since = self.node.run, self._now
        if run is not None and run.state.is_red:
            since = _seconds(red_since(run))
        elif run is not None:
            ends = [end for place in awaited if (end := self.graph.points[place].end) < NEVER]
            since = max([_seconds(run.ended_at or self.index.now), *ends])
        return self.graph.put(self._rerun(JobPhase.FAILED, awaited, end=min(since, self._now)))

    def _is_restarted(self) -> bool:
        run, estate = self.node.run, self.index.estate
        if run is None or run.id in estate.approvals:
            return False
        repair = estate.repairs.get(run.id)
        if repair is not None and repair.unknown:
            return False
        return run.id in estate.planned_restarts or is_repeated(run, repair)

    def _by_clock(self) -> int:
        assert self.node.starts_at is not None
        due = _seconds(self.node.starts_at)
        native = self._awaited(natively=True)
        late = due <= self._now and not any(self._is_open(place) for place in native)
        first = self._point(
            JobPhase.READY if late else JobPhase.WAITS, native, ready=due, earliest=due, waited=StartReference.CLOCK
        )
        place, awaited = self.graph.put(first), self._awaited()
        if set(awaited) <= set(native):
            return place
        job = self.index.job(self.node.job_id)
        rule = RerunRule(place, awaited, job.rerun is not Safety.NEVER, job.start_within.total_seconds())
        return self.graph.put(self._point(JobPhase.WAITS, (place, *awaited), rule=rule, due=due))

    def _waiting(self) -> int:
        run, awaited = self.node.run, self._awaited()
        held_until = 0.0
        if self.node.held_start is not None and self.node.starts_at is not None:
            held_until = _seconds(self.node.starts_at)
        due = max(_seconds(run_time(run)) if run is not None else 0.0, held_until)
        is_blocked = any(self._is_open(place) for place in awaited)
        if run is not None and run.state is not RunState.HELD and awaited and not is_blocked and due <= self._now:
            ends = [self.graph.points[place].end for place in awaited]
            ready = min(max([due if run.period_at is not None else 0.0, *ends]), self._now)
            return self.graph.put(self._point(JobPhase.READY, awaited, ready=ready, waited=StartReference.UPSTREAMS))
        starts_at = self.usual.start(self.index, self.node.job_id, self.day.business_date) if run is None else None
        if starts_at is not None:
            return self.graph.put(self._point(JobPhase.WAITS, awaited, earliest=max(_seconds(starts_at), held_until)))
        return self.graph.put(self._point(JobPhase.WAITS, awaited, earliest=due, waited=StartReference.UPSTREAMS))

    def _rerun(self, phase: int, upstreams: Sequence[int], **attributes: object) -> NightPoint:
        point = self._point(phase, upstreams, **attributes)
        return replace(point, longer=point.longer + self.index.job(self.node.job_id).start_within.total_seconds())

    def _point(self, phase: int, upstreams: Sequence[int], **attributes: object) -> NightPoint:
        job = self.index.job(self.node.job_id)
        longer, _ = takes_longer(self.index.estate.declared, job.name, self.day.business_date)
        failed = phase not in (JobPhase.DONE, JobPhase.FAILED) and self._has_failed()
        pool = None if phase == JobPhase.DONE or "rule" in attributes else pool_of(self.index.estate.declared, job)
        attributes |= {"longer": longer.total_seconds(), "pool": pool, "failed": failed}
        return NightPoint(self.node.job_id, phase, tuple(upstreams), **attributes)  # type: ignore[arg-type]

    def _has_failed(self) -> bool:
        """As in `RunHistory`: a further attempt of its run, or another red run of the date."""
        run, job_id = self.node.run, self.node.job_id
        of_date = self.index.of_day(job_id, self.day.business_date)
        return (run is not None and run.attempt > 1) or any(
            other_run.state.is_red for other_run in of_date if other_run is not run
        )

    def _is_open(self, place: int) -> bool:
        return self.graph.points[place].phase != JobPhase.DONE

    def _upstreams(self, natively: bool = False) -> tuple[int, ...]:
        places, edges = self.graph.places[-1], self.index.graph.into(self.node.job_id)
        return tuple(
            places[edge.upstream] for edge in edges if edge.upstream in places and (edge.native or not natively)
        )

    def _awaited(self, natively: bool = False) -> tuple[int, ...]:
        """The points it waits for: its upstreams, or one point for its gates."""
        gates = self.index.graph.gates(self.node.job_id)
        if gates is None:
            return self._upstreams(natively)
        if natively:
            gates = [gate for gate in gates if any(read.native for read in gate.reads)]
        if not gates:
            return ()
        rule = GateRule(tuple(self._gate(gate) for gate in gates))
        upstreams = tuple(dict.fromkeys(upstream for gate in rule.gates for upstream in gate.upstreams))
        return (self.graph.put(NightPoint(self.node.job_id, JobPhase.WAITS, upstreams, takes=False, rule=rule)),)

    def _gate(self, gate: UpstreamGate) -> GateThreshold:
        read_point = read_point_of_node(self.index, self.day.business_date, self.node)
        places, upstreams, known = self.graph.places[-1], list[int](), list[float]()
        for read in gate.reads:
            source = comes_from(self.index, read, read_point, self.day.nodes)
            if not isinstance(source, ForecastNode):
                known += [_seconds(source.p50)] if source is not None else []
            elif source.job_id in places:
                upstreams.append(places[source.job_id])
        return GateThreshold(gate.need, tuple(upstreams), tuple(known))

    @property
    def _now(self) -> float:
        return _seconds(self.index.now)


def _seconds(at: datetime) -> float:
    return (at - EPOCH) / timedelta(seconds=1)


def instant_of(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def saturable_pools(points: Iterable[NightPoint]) -> dict[JobPool, list[int]]:
    """Places of the points of each pool with more points than slots."""
    pools: dict[JobPool, list[int]] = {}
    for place, point in enumerate(points):
        if point.pool is not None:
            pools.setdefault(point.pool, []).append(place)
    return {pool: places for pool, places in pools.items() if len(places) > pool.slots}


def independent_groups(graph: NightGraph) -> list[list[int]]:
    """The service days (their places in `graph.places`), grouped: days of one group share points or a saturable pool,
    directly or not."""
    parent = list(range(len(graph.places)))

    def first(day: int) -> int:
        while parent[day] != day:
            parent[day] = parent[parent[day]]
            day = parent[day]
        return day

    owner: dict[object, int] = {}
    queues = {
        graph.points[place].job_id: pool for pool, places in saturable_pools(graph.points).items() for place in places
    }
    for day, places in enumerate(graph.places):
        for shared in (*places.values(), *{queues[job_id] for job_id in places if job_id in queues}):
            roots = first(owner.setdefault(shared, day)), first(day)
            parent[max(roots)] = min(roots)
    groups: dict[int, list[int]] = {}
    for day in range(len(parent)):
        groups.setdefault(first(day), []).append(day)
    return list(groups.values())


def with_neighbours(
    index: EstateIndex,
    days: Sequence[ServiceForecast],
    chosen: Callable[[Sequence[ServiceForecast]], Container[tuple[str, date]]],
) -> list[ServiceForecast]:
    """The `chosen` service days (by service and business date), and all that share a job of their night or a pool with
    one of them, directly or not; in their order."""
    names, declared, jobs = chosen(days), index.estate.declared, index.estate.jobs
    remaining: dict[int, set[object]] = {}
    for place, day in enumerate(days):
        pools = {pool_of(declared, jobs[job_id]) for job_id in day.nodes if declared.pools or jobs[job_id].pool}
        remaining[place] = {(day.business_date, shared) for shared in (*day.nodes, *(pools - {None}))}
    related = {place for place, day in enumerate(days) if day.key in names}
    new, shared = set(related), set[object]()
    while new:
        shared |= set[object]().union(*(remaining.pop(place) for place in new))
        new = {place for place, parts in remaining.items() if not shared.isdisjoint(parts)}
        related |= new
    return [days[place] for place in sorted(related)]
