"""The open service days of one business date as points of one graph: what the simulation computes with.

A point is a job's run, or its start by the clock, or a rerun of what read stale data, or the gates of a job. The same
run read by two services is one point, so that their figures agree; service days that share no point are apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from enum import Enum
from operator import attrgetter

from connectors.contract import State
from console.control.forecast.simulation.start_rules import Gate, Opens, Rerun
from console.control.forecast.simulation.values import Rule, Stand
from console.control.forecast.sums import Forecast
from console.control.forecast.usual_start import UsualStarts
from console.control.gated import comes_from, look_at
from console.control.graph import Gate as Wanted
from console.control.maintenance import takes_longer
from console.control.moments import red_since, when
from console.control.nodes import How, Node
from console.control.picture import Picture
from console.control.pools import pool_of
from console.model.pools import Pool
from console.model.values import RunFacts
from console.model.words import Safety

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = float("inf")
UNKNOWN = float("nan")
"""One value everywhere, and one object: points that are the same are equal then."""


class Waited(Enum):
    """What a job's start is measured from, tonight as in earlier nights."""

    NOTHING = "nothing"
    UPSTREAMS = "upstreams"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True, eq=False)
class Point:
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
    waited: Waited = Waited.NOTHING
    longer: float = 0.0
    """What is planned to be added to its usual time, s."""
    takes: bool = True
    """False: a point that takes no time."""
    says: bool = True
    """False where what it took tells nothing."""
    rule: Rule | None = None
    factor: float = 1.0
    """By which its usual time is multiplied."""
    pool: Pool | None = None
    """From which it takes a slot."""
    slots: int | None = None
    """How many that has, in place of its own; for counterfactuals."""
    due: float = UNKNOWN
    """Of one that is rerun: when its clock starts it."""
    failed: bool = False
    """It failed tonight already, and is to run, or runs, again."""

    def __eq__(self, other: object) -> bool:
        """As tuples are equal: UNKNOWN is UNKNOWN, though no number; from Python 3.13 on a dataclass's own says no."""
        return isinstance(other, Point) and _values(self) == _values(other)

    def __hash__(self) -> int:
        return hash(_values(self))


_values = attrgetter(*(each.name for each in fields(Point)))


@dataclass(slots=True)
class Laid:
    """All points, upstreams first, and where each job of each service day ends in them."""

    points: list[Point] = field(default_factory=list)
    places: list[dict[int, int]] = field(default_factory=list)
    """By service day, in their order: job -> its last point."""
    _known: dict[Point, int] = field(default_factory=dict)

    def put(self, point: Point) -> int:
        place = self._known.setdefault(point, len(self.points))
        if place == len(self.points):
            self.points.append(point)
        return place


def lay(picture: Picture, days: Sequence[Forecast], usual: UsualStarts | None = None) -> Laid:
    """Those service days, each through its own eyes. `usual`: what was learned before."""
    usual = usual or UsualStarts()
    laid = Laid()
    for day in days:
        laid.places.append({})
        seen = day.seen or picture
        for node in day.nodes.values():
            laid.places[-1][node.job_id] = _Laying(seen, day, node, laid, usual).place()
    return laid


@dataclass(slots=True)
class _Laying:
    """One job of one service day."""

    picture: Picture
    day: Forecast
    node: Node
    laid: Laid
    usual: UsualStarts

    def place(self) -> int:
        node, run = self.node, self.node.run
        if node.how in (How.DONE, How.OVER):
            return self._over(node, run)
        if node.how is How.UNKNOWN or node.finish is None:
            return self.laid.put(Point(node.job_id, Stand.DONE, end=NEVER, says=False))
        match node.how:
            case How.RUNNING:
                return self._running()
            case How.RERUN:
                return self._broken()
            case How.CLOCK:
                return self._by_clock()
            case _:
                return self._waiting()

    def _over(self, node: Node, run: RunFacts | None) -> int:
        end = _seconds(node.finish.p50 if node.finish is not None else self.picture.now)
        if node.how is How.OVER or run is None or run.started_at is None or run.ended_at is None:
            return self.laid.put(Point(node.job_id, Stand.DONE, self._upstreams(), end=end, says=False))
        start = end - (run.ended_at - run.started_at).total_seconds()
        return self.laid.put(self._begun(Stand.DONE, run, start, end))

    def _running(self) -> int:
        run = self.node.run
        assert run is not None
        assert run.started_at is not None
        first = self.laid.put(self._begun(Stand.RUNS, run, _seconds(run.started_at), UNKNOWN))
        if not self.node.stale:
            return first
        return self.laid.put(self._point(Stand.WAITS, (first, *self._awaited())))

    def _begun(self, stand: int, run: RunFacts, start: float, end: float) -> Point:
        """What has started, and since when it could."""
        due = run.period_at if run.period_at is not None and run.expected else None
        above = [self.laid.points[each].end for each in self._upstreams()]
        known = bool(above) and all(each < NEVER for each in above)  # also false for NaN, of what is not over
        ready = _seconds(due) if due is not None else max(above) if known else start
        waited = Waited.CLOCK if due is not None else Waited.UPSTREAMS if known else Waited.NOTHING
        if self._has_failed():
            waited = Waited.NOTHING  # its repair: earlier nights tell what it waited for its first start
        return self._point(stand, self._upstreams(), ready=min(ready, start), start=start, end=end, waited=waited)

    def _broken(self) -> int:
        """Restarted once somebody has looked; what waits for something else that is not over, right after that."""
        above = self._awaited()
        if any(self._is_open(each) for each in above):
            return self.laid.put(self._point(Stand.WAITS, above))
        run = self.node.run
        since = _seconds(red_since(run)) if run is not None and run.state.is_red else self._now
        good = [end for each in above if (end := self.laid.points[each].end) < NEVER]
        if run is not None and not run.state.is_red:
            since = max([_seconds(run.ended_at or self.picture.now), *good])
        return self.laid.put(self._point(Stand.FAILED, above, end=min(since, self._now)))

    def _by_clock(self) -> int:
        assert self.node.starts_at is not None
        due = _seconds(self.node.starts_at)
        native = self._awaited(natively=True)
        late = due <= self._now and not any(self._is_open(each) for each in native)
        first = self._point(Stand.READY if late else Stand.WAITS, native, ready=due, earliest=due, waited=Waited.CLOCK)
        place, above = self.laid.put(first), self._awaited()
        if set(above) <= set(native):
            return place
        rule = Rerun(place, above, self.picture.job(self.node.job_id).rerun is not Safety.NEVER)
        return self.laid.put(self._point(Stand.WAITS, (place, *above), rule=rule, due=due))

    def _waiting(self) -> int:
        run, above = self.node.run, self._awaited()
        kept = _seconds(self.node.starts_at) if self.node.kept is not None and self.node.starts_at is not None else 0.0
        due = max(_seconds(when(run)) if run is not None else 0.0, kept)
        ends = [self.laid.points[each].end for each in above]
        is_ready = run is not None and run.state is not State.HELD and not any(self._is_open(each) for each in above)
        if run is not None and above and is_ready and due <= self._now:
            ready = max([due if run.period_at is not None else 0.0, *ends])
            return self.laid.put(self._point(Stand.READY, above, ready=min(ready, self._now), waited=Waited.UPSTREAMS))
        starts_at = self.usual.start(self.picture, self.node.job_id, self.day.bd) if run is None else None
        if starts_at is not None:
            return self.laid.put(self._point(Stand.WAITS, above, earliest=max(_seconds(starts_at), kept)))
        return self.laid.put(self._point(Stand.WAITS, above, earliest=due, waited=Waited.UPSTREAMS))

    def _point(self, stand: int, upstreams: Sequence[int], **more: object) -> Point:
        job = self.picture.job(self.node.job_id)
        longer, _ = takes_longer(self.picture.estate.declared, job.name, self.day.bd)
        failed = stand not in (Stand.DONE, Stand.FAILED) and self._has_failed()
        pool = None if stand == Stand.DONE or "rule" in more else pool_of(self.picture.estate.declared, job)
        more |= {"longer": longer.total_seconds(), "pool": pool, "failed": failed}
        return Point(self.node.job_id, stand, tuple(upstreams), **more)  # type: ignore[arg-type]

    def _has_failed(self) -> bool:
        """As its past counts it: a further attempt of its run, or another run of the date that was red."""
        run, job_id = self.node.run, self.node.job_id
        of_date = self.picture.of_day(job_id, self.day.bd)
        return (run is not None and run.attempt > 1) or any(each.state.is_red for each in of_date if each is not run)

    def _is_open(self, place: int) -> bool:
        return self.laid.points[place].stand != Stand.DONE

    def _upstreams(self) -> tuple[int, ...]:
        return tuple(self._edges(natively=False))

    def _edges(self, natively: bool) -> Iterator[int]:
        places = self.laid.places[-1]
        for edge in self.picture.graph.into(self.node.job_id):
            if edge.upstream in places and (edge.native or not natively):
                yield places[edge.upstream]

    def _awaited(self, natively: bool = False) -> tuple[int, ...]:
        """What must be good before it: its upstreams, or its gates as a point of their own."""
        gates = self.picture.graph.gates(self.node.job_id)
        if gates is None:
            return tuple(self._edges(natively))
        if natively:
            gates = [gate for gate in gates if any(read.native for read in gate.reads)]
        if not gates:
            return ()
        rule = Gate(tuple(self._gate(gate) for gate in gates))
        above = tuple(dict.fromkeys(each for gate in rule.gates for each in gate.upstreams))
        return (self.laid.put(Point(self.node.job_id, Stand.WAITS, above, takes=False, rule=rule)),)

    def _gate(self, gate: Wanted) -> Opens:
        look = look_at(self.picture, self.day.bd, self.node)
        found = [comes_from(self.picture, read, look, self.day.nodes) for read in gate.reads]
        places = self.laid.places[-1]
        above = tuple(places[each.job_id] for each in found if isinstance(each, Node) and each.job_id in places)
        known = tuple(_seconds(each.p50) for each in found if each is not None and not isinstance(each, Node))
        return Opens(gate.need, above, known)

    @property
    def _now(self) -> float:
        return _seconds(self.picture.now)


def _seconds(at: datetime) -> float:
    return (at - _EPOCH) / timedelta(seconds=1)


def instant_of(seconds: float) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)


def tight(points: Iterable[Point]) -> dict[Pool, list[int]]:
    """The places of the points of each pool that has fewer slots than these."""
    found: dict[Pool, list[int]] = {}
    for place, point in enumerate(points):
        if point.pool is not None:
            found.setdefault(point.pool, []).append(place)
    return {pool: places for pool, places in found.items() if len(places) > pool.slots}


def apart(laid: Laid) -> list[list[int]]:
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
    queues = {laid.points[place].job_id: pool for pool, places in tight(laid.points).items() for place in places}
    for day, places in enumerate(laid.places):
        for shared in (*places.values(), *{queues[job_id] for job_id in places if job_id in queues}):
            one, other = first(owner.setdefault(shared, day)), first(day)
            of[max(one, other)] = min(one, other)
    groups: dict[int, list[int]] = {}
    for day in range(len(of)):
        groups.setdefault(first(day), []).append(day)
    return list(groups.values())
