"""The open service days of one business date as one graph of points, which the simulation computes with.

A point is a job's run, its start by the clock, a rerun of what read stale data, or the gates of a job. A run that
two services read is one point, so that their figures agree; service days that share no point are simulated apart.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from operator import attrgetter

from connectors.sdk.states import RunState
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.graph import UpstreamGate as Wanted
from console.control.snapshot.pools import pool_of
from console.control.snapshot.runs import red_since, run_time
from console.domain.estate import RunFacts
from console.domain.job import Safety
from console.domain.settings import JobPool
from console.forecast.finish_times import ForecastNode, NodeState, ServiceForecast, comes_from, read_point_of_node
from console.forecast.simulation.values import GateRule, GateThreshold, JobPhase, RerunRule, StartRule
from console.forecast.usual import UsualStarts
from console.timing.maintenance import takes_longer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = float("inf")
UNKNOWN = float("nan")
"""One value everywhere, and one object: points that are the same are equal then."""


class StartReference(Enum):
    """What a job's start is measured from, tonight as in earlier nights."""

    NOTHING = "nothing"
    UPSTREAMS = "upstreams"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True, eq=False)
class NightPoint:
    """Times in seconds since 1970; UNKNOWN where there is none."""

    job_id: int
    stand: int
    """A Stand."""
    upstreams: tuple[int, ...] = ()
    """Other points."""
    ready: float = UNKNOWN
    start: float = UNKNOWN
    end: float = UNKNOWN
    earliest: float = 0.0
    """Not before then, nor before now."""
    waited: StartReference = StartReference.NOTHING
    longer: float = 0.0
    """What is planned to be added to its usual time, s."""
    takes: bool = True
    """False: a point that takes no time."""
    says: bool = True
    """False where what it took tells nothing."""
    rule: StartRule | None = None
    factor: float = 1.0
    """By which its usual time is multiplied."""
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


_values = attrgetter(*(each.name for each in fields(NightPoint)))


@dataclass(slots=True)
class NightGraph:
    """All points, upstreams first, and where each job of each service day ends in them."""

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
    """Those service days, each through its own eyes. `usual`: what was learned before."""
    usual = usual or UsualStarts()
    laid = NightGraph()
    for day in days:
        laid.places.append({})
        seen = day.seen or index
        for node in day.nodes.values():
            laid.places[-1][node.job_id] = _NightGraphBuilder(seen, day, node, laid, usual).place()
    return laid


@dataclass(slots=True)
class _NightGraphBuilder:
    """One job of one service day."""

    index: EstateIndex
    day: ServiceForecast
    node: ForecastNode
    laid: NightGraph
    usual: UsualStarts

    def place(self) -> int:
        node, run = self.node, self.node.run
        if node.how in (NodeState.DONE, NodeState.OVER):
            return self._over(node, run)
        if node.how is NodeState.UNKNOWN or node.finish is None:
            return self.laid.put(NightPoint(node.job_id, JobPhase.DONE, end=NEVER, says=False))
        match node.how:
            case NodeState.RUNNING:
                return self._running()
            case NodeState.RERUN:
                return self._broken()
            case NodeState.CLOCK:
                return self._by_clock()
            case _:
                return self._waiting()

    def _over(self, node: ForecastNode, run: RunFacts | None) -> int:
        end = _seconds(node.finish.p50 if node.finish is not None else self.index.now)
        if node.how is NodeState.OVER or run is None or run.started_at is None or run.ended_at is None:
            return self.laid.put(NightPoint(node.job_id, JobPhase.DONE, self._upstreams(), end=end, says=False))
        start = end - (run.ended_at - run.started_at).total_seconds()
        return self.laid.put(self._begun(JobPhase.DONE, run, start, end))

    def _running(self) -> int:
        run = self.node.run
        assert run is not None
        assert run.started_at is not None
        first = self.laid.put(self._begun(JobPhase.RUNS, run, _seconds(run.started_at), UNKNOWN))
        if not self.node.stale:
            return first
        return self.laid.put(self._point(JobPhase.WAITS, (first, *self._awaited())))

    def _begun(self, stand: int, run: RunFacts, start: float, end: float) -> NightPoint:
        """What has started, and since when it could."""
        due = run.period_at if run.period_at is not None and run.expected else None
        above = [self.laid.points[each].end for each in self._upstreams()]
        known = bool(above) and all(each < NEVER for each in above)  # also false for NaN, of what is not over
        ready = _seconds(due) if due is not None else max(above) if known else start
        waited = (
            StartReference.CLOCK if due is not None else StartReference.UPSTREAMS if known else StartReference.NOTHING
        )
        if self._has_failed():
            waited = StartReference.NOTHING  # its repair: earlier nights tell what it waited for its first start
        return self._point(stand, self._upstreams(), ready=min(ready, start), start=start, end=end, waited=waited)

    def _broken(self) -> int:
        """Restarted once somebody has looked; what waits for something else that is not over, right after that."""
        above = self._awaited()
        if any(self._is_open(each) for each in above):
            return self.laid.put(self._point(JobPhase.WAITS, above))
        run = self.node.run
        since = _seconds(red_since(run)) if run is not None and run.state.is_red else self._now
        good = [end for each in above if (end := self.laid.points[each].end) < NEVER]
        if run is not None and not run.state.is_red:
            since = max([_seconds(run.ended_at or self.index.now), *good])
        return self.laid.put(self._point(JobPhase.FAILED, above, end=min(since, self._now)))

    def _by_clock(self) -> int:
        assert self.node.starts_at is not None
        due = _seconds(self.node.starts_at)
        native = self._awaited(natively=True)
        late = due <= self._now and not any(self._is_open(each) for each in native)
        first = self._point(
            JobPhase.READY if late else JobPhase.WAITS, native, ready=due, earliest=due, waited=StartReference.CLOCK
        )
        place, above = self.laid.put(first), self._awaited()
        if set(above) <= set(native):
            return place
        rule = RerunRule(place, above, self.index.job(self.node.job_id).rerun is not Safety.NEVER)
        return self.laid.put(self._point(JobPhase.WAITS, (place, *above), rule=rule, due=due))

    def _waiting(self) -> int:
        run, above = self.node.run, self._awaited()
        kept = _seconds(self.node.starts_at) if self.node.kept is not None and self.node.starts_at is not None else 0.0
        due = max(_seconds(run_time(run)) if run is not None else 0.0, kept)
        ends = [self.laid.points[each].end for each in above]
        is_ready = run is not None and run.state is not RunState.HELD and not any(self._is_open(each) for each in above)
        if run is not None and above and is_ready and due <= self._now:
            ready = max([due if run.period_at is not None else 0.0, *ends])
            return self.laid.put(
                self._point(JobPhase.READY, above, ready=min(ready, self._now), waited=StartReference.UPSTREAMS)
            )
        starts_at = self.usual.start(self.index, self.node.job_id, self.day.business_date) if run is None else None
        if starts_at is not None:
            return self.laid.put(self._point(JobPhase.WAITS, above, earliest=max(_seconds(starts_at), kept)))
        return self.laid.put(self._point(JobPhase.WAITS, above, earliest=due, waited=StartReference.UPSTREAMS))

    def _point(self, stand: int, upstreams: Sequence[int], **more: object) -> NightPoint:
        job = self.index.job(self.node.job_id)
        longer, _ = takes_longer(self.index.estate.declared, job.name, self.day.business_date)
        failed = stand not in (JobPhase.DONE, JobPhase.FAILED) and self._has_failed()
        pool = None if stand == JobPhase.DONE or "rule" in more else pool_of(self.index.estate.declared, job)
        more |= {"longer": longer.total_seconds(), "pool": pool, "failed": failed}
        return NightPoint(self.node.job_id, stand, tuple(upstreams), **more)  # type: ignore[arg-type]

    def _has_failed(self) -> bool:
        """As its past counts it: a further attempt of its run, or another run of the date that was red."""
        run, job_id = self.node.run, self.node.job_id
        of_date = self.index.of_day(job_id, self.day.business_date)
        return (run is not None and run.attempt > 1) or any(each.state.is_red for each in of_date if each is not run)

    def _is_open(self, place: int) -> bool:
        return self.laid.points[place].stand != JobPhase.DONE

    def _upstreams(self) -> tuple[int, ...]:
        return tuple(self._edges(natively=False))

    def _edges(self, natively: bool) -> Iterator[int]:
        places = self.laid.places[-1]
        for edge in self.index.graph.into(self.node.job_id):
            if edge.upstream in places and (edge.native or not natively):
                yield places[edge.upstream]

    def _awaited(self, natively: bool = False) -> tuple[int, ...]:
        """What must be good before it: its upstreams, or its gates as a point of their own."""
        gates = self.index.graph.gates(self.node.job_id)
        if gates is None:
            return tuple(self._edges(natively))
        if natively:
            gates = [gate for gate in gates if any(read.native for read in gate.reads)]
        if not gates:
            return ()
        rule = GateRule(tuple(self._gate(gate) for gate in gates))
        above = tuple(dict.fromkeys(each for gate in rule.gates for each in gate.upstreams))
        return (self.laid.put(NightPoint(self.node.job_id, JobPhase.WAITS, above, takes=False, rule=rule)),)

    def _gate(self, gate: Wanted) -> GateThreshold:
        look = read_point_of_node(self.index, self.day.business_date, self.node)
        found = [comes_from(self.index, read, look, self.day.nodes) for read in gate.reads]
        places = self.laid.places[-1]
        above = tuple(places[each.job_id] for each in found if isinstance(each, ForecastNode) and each.job_id in places)
        known = tuple(_seconds(each.p50) for each in found if each is not None and not isinstance(each, ForecastNode))
        return GateThreshold(gate.need, above, known)

    @property
    def _now(self) -> float:
        return _seconds(self.index.now)


def _seconds(at: datetime) -> float:
    return (at - _EPOCH) / timedelta(seconds=1)


def instant_of(seconds: float) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)


def saturable_pools(points: Iterable[NightPoint]) -> dict[JobPool, list[int]]:
    """The places of the points of each pool that has fewer slots than these."""
    found: dict[JobPool, list[int]] = {}
    for place, point in enumerate(points):
        if point.pool is not None:
            found.setdefault(point.pool, []).append(place)
    return {pool: places for pool, places in found.items() if len(places) > pool.slots}


def independent_groups(laid: NightGraph) -> list[list[int]]:
    """The service days (their places in `laid.places`) by what they share: points, or the slots of a pool that has too
    few of them; directly or not."""
    of = list(range(len(laid.places)))
    """By service day: an earlier one of its group; itself for the first."""

    def first(day: int) -> int:
        while of[day] != day:
            of[day] = of[of[day]]
            day = of[day]
        return day

    owner: dict[object, int] = {}
    queues = {
        laid.points[place].job_id: pool for pool, places in saturable_pools(laid.points).items() for place in places
    }
    for day, places in enumerate(laid.places):
        for shared in (*places.values(), *{queues[job_id] for job_id in places if job_id in queues}):
            one, other = first(owner.setdefault(shared, day)), first(day)
            of[max(one, other)] = min(one, other)
    groups: dict[int, list[int]] = {}
    for day in range(len(of)):
        groups.setdefault(first(day), []).append(day)
    return list(groups.values())


def with_neighbours(
    index: EstateIndex,
    days: Sequence[ServiceForecast],
    wanted: Callable[[Sequence[ServiceForecast]], Container[tuple[str, date]]],
) -> list[ServiceForecast]:
    """Of these service days the `wanted` ones (by service and business date), and all that share a job of their night
    or a pool with one of them, directly or not; in their order."""
    chosen = wanted(days)
    left = {place: _shared(index, day) for place, day in enumerate(days)}
    near = {place for place, day in enumerate(days) if (day.service.name, day.business_date) in chosen}
    fresh, met = set(near), set[object]()
    while fresh:
        met |= set[object]().union(*(left.pop(place) for place in fresh))
        fresh = {place for place, shared in left.items() if not met.isdisjoint(shared)}
        near |= fresh
    return [days[place] for place in sorted(near)]


def _shared(index: EstateIndex, day: ServiceForecast) -> set[object]:
    declared, jobs = index.estate.declared, index.estate.jobs
    pools = {pool_of(declared, jobs[job_id]) for job_id in day.nodes if declared.pools or jobs[job_id].pool}
    return {(day.business_date, each) for each in (*day.nodes, *(pools - {None}))}
