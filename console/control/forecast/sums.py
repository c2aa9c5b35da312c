"""When a service will be done: its jobs of one business date, each with its finish, along the graph.

Finishes are a median (p50) and two high guesses (p90, p95): along a path the medians and the quantiles are added,
which is approximate. In observe mode a job that starts by the clock waits for nobody: where its upstreams are not good
by then it reads stale data and must be rerun after them. What is red or stale is counted as rerun from now on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from connectors.contract import State
from console.control.calendars import counts
from console.control.deadlines import clock_starts, extension_of, promised_at
from console.control.estimate import whole
from console.control.expected import expects_nothing, has_started
from console.control.forecast.odds import Odds
from console.control.gated import last_awaited, needed, opens
from console.control.graph import Edge, Gate
from console.control.held import KeptBack, kept_back
from console.control.maintenance import planned_extension, takes_longer
from console.control.mapping import Look, look_of
from console.control.nodes import Finish, How, Node
from console.control.picture import Key, Picture, key_of
from console.control.reading import runs_read
from console.model.decisions import Spread
from console.model.promises import Extension
from console.model.values import RunFacts, ServiceFacts

__all__ = ["Finish", "Forecast", "How", "Node", "forecast", "has_day", "readers"]

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Forecast:
    """One service on one business date."""

    service: ServiceFacts
    bd: date
    deadline: datetime
    """As extended, where it is."""
    nodes: dict[int, Node]
    """By job, upstreams before their downstreams."""
    ends: tuple[int, ...]
    """The jobs of its terminals."""
    finish: Finish | None
    path: tuple[int, ...]
    """The chain of jobs that decides, first to last."""
    promised: datetime | None = None
    """The deadline before somebody extended it; None: nobody did."""
    extended: Extension | None = None
    seen: Picture | None = None
    """What an instance of a service that is promised end to end sees; None: the whole picture."""
    by_order: tuple[str, ...] = ()
    """Its members whose runs carry no key, and were told apart by their order."""
    odds: Odds | None = None
    """From the simulation, as then `finish` and `path` are; None: nobody has simulated it."""
    is_unforeseen: bool = False
    """The simulation of it failed: `finish` is a sum."""

    def unfinished(self) -> Iterator[Node]:
        """What the service still waits for, upstreams first."""
        return (node for node in self.nodes.values() if node.how not in (How.DONE, How.OVER))


def has_day(picture: Picture, service: ServiceFacts, members: Iterable[int], bd: date) -> bool:
    """True when the date counts in its calendar and something of the service runs on it: a terminal, or, where no
    terminal runs by the clock, any member."""
    calendar = picture.estate.declared.calendar(service.calendar)
    if calendar is not None and not counts(calendar, bd):
        return False
    ends = {picture.graph.unit(each) for each in service.terminals if each in picture.estate.jobs}
    timed = {each for each in ends if not expects_nothing(picture.job(each))}
    return any(
        picture.of_day(each, bd) or clock_starts(picture, picture.job(each), bd) for each in timed or {*ends, *members}
    )


def forecast(picture: Picture, service: ServiceFacts, members: Iterable[int], bd: date) -> Forecast:
    """The service's finish on that business date, as it stands now. `members` as of `Graph.members`."""
    members = tuple(members)
    promised = promised_at(picture, service, members, bd)
    planned = planned_extension(picture.estate.declared, service, bd, promised)
    extended = extension_of(picture.estate.extensions, service, bd, promised) or planned
    deadline = extended.until if extended else promised
    ends = tuple(dict.fromkeys(picture.graph.unit(each) for each in service.terminals))
    order = picture.graph.ordered(needed(picture, ends, (each for each in members if each in picture.estate.jobs)))
    chosen = runs_read(picture, order, ends, bd, deadline)
    nodes: dict[int, Node] = {}
    for job_id in order:
        longer, _ = takes_longer(picture.estate.declared, picture.job(job_id).name, bd)
        nodes[job_id] = _node(picture, nodes, job_id, *chosen[job_id], bd, longer)
    last = _latest([nodes[each] for each in ends if each in nodes])
    finish = _all_done([nodes[each] for each in ends if each in nodes], _BEGINNING) if last else None
    path = _path(nodes, last.job_id if last else None)
    return Forecast(service, bd, deadline, nodes, ends, finish, path, promised if extended else None, extended)


def _node(
    picture: Picture,
    nodes: dict[int, Node],
    job_id: int,
    run: RunFacts | None,
    due: datetime | None,
    bd: date,
    longer: timedelta,
) -> Node:
    """`longer`: what is planned to be added to what it usually takes."""
    edges = picture.graph.into(job_id)
    upstreams = [nodes[edge.upstream] for edge in edges if edge.upstream in nodes]
    how = _how(picture, run, due, bool(upstreams))
    kept = _kept(picture, job_id, run, due)
    if kept is not None:
        how = How.UNKNOWN if kept.until is None else How.CLOCK if due is not None else how
    stale = run is not None and picture.is_stale(run)
    gates = picture.graph.gates(job_id)
    last = _latest(upstreams) if gates is None else None
    after = last.job_id if last else None
    if gates is not None:
        after = last_awaited(picture, gates, _look(picture, bd, run, due), nodes)
    node = Node(job_id, run, how, due, stale, None, after, kept)
    finish = _finish(picture, node, _Ahead(picture, bd, node, edges, gates, nodes), longer)
    return replace(node, finish=finish)


def _kept(picture: Picture, job_id: int, run: RunFacts | None, due: datetime | None) -> KeptBack | None:
    """What keeps a start back that is still to come: a hold that ends starts it then."""
    is_to_come = run is None or (not has_started(run) and run.state is not State.MISSED)
    return kept_back(picture.estate, job_id, due, picture.now) if is_to_come else None


def _how(picture: Picture, run: RunFacts | None, due: datetime | None, follows: bool) -> How:
    if run is None or run.state is State.PLANNED:
        return How.CLOCK if due is not None else How.WAITS if follows else How.UNKNOWN
    if run.state is State.HELD:
        return How.WAITS  # Headway lets it go, and starts it once, when what it reads is good
    if picture.is_green(run):
        return How.DONE
    if run.state.is_red:
        return How.OVER if picture.is_excused(run) else How.RERUN
    if run.state.is_open:
        return How.RUNNING if run.started_at is not None else How.WAITS
    return How.RERUN if picture.is_stale(run) else How.OVER


def _look(picture: Picture, bd: date, run: RunFacts | None, due: datetime | None) -> Look:
    if run is not None:
        return look_of(run, picture.now)
    return Look(bd, due or picture.now, due or picture.now, picture.now)


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What a node waits for."""

    picture: Picture
    bd: date
    node: Node
    edges: Sequence[Edge]
    gates: Sequence[Gate] | None
    nodes: dict[int, Node]

    def done(self, earliest: datetime, natively: bool = False) -> Finish | None:
        """When all of it is there, not before `earliest`; None when nobody knows."""
        if self.gates is None:
            known = (edge for edge in self.edges if edge.upstream in self.nodes and (edge.native or not natively))
            return _all_done([self.nodes[edge.upstream] for edge in known], earliest)
        look = _look(self.picture, self.bd, self.node.run, self.node.due)
        times = opens(self.picture, self.gates, look, self.nodes, natively)
        return None if times is None else times.no_earlier(Finish.at(earliest))


def _finish(picture: Picture, node: Node, ahead: _Ahead, longer: timedelta) -> Finish | None:
    now = picture.now
    if node.how is How.DONE or node.how is How.OVER:
        return _ended(picture, node.run, now)
    ready = ahead.done(now)
    known = picture.estimate(node.job_id)
    if ready is None or known.takes is None or node.how is How.UNKNOWN:
        return None
    takes = known.takes.longer(longer)
    if node.how is How.RUNNING:
        return _running(picture, node, ready, takes, longer)
    if node.how is How.CLOCK and node.starts_at is not None:
        held = ahead.done(node.starts_at, natively=True)
        starts = held.no_earlier(Finish.at(now)) if held else ready
        return Finish(*(_by_clock(*each) for each in zip(starts, ready, takes, strict=True)))
    return ready.no_earlier(Finish.at(max(now, node.starts_at or now))).after(takes)


def _ended(picture: Picture, run: RunFacts | None, now: datetime) -> Finish:
    at = now
    if run is not None:
        at = picture.standing(run).good_at or run.ended_at or now
    return Finish.at(at)


def _by_clock(start: datetime, ready: datetime, takes: timedelta) -> datetime:
    """One that starts by the clock: where its upstreams are good too late, its rerun after them, and after itself."""
    if ready <= start:
        return start + takes
    return max(ready, start + takes) + takes


def _running(picture: Picture, node: Node, ready: Finish, takes: Spread, longer: timedelta) -> Finish | None:
    started = node.run.started_at if node.run is not None else None
    if started is None:
        return None
    durations = picture.estate.durations.get(node.job_id, ())
    usual = whole(picture.estimate(node.job_id), durations, max(picture.now - started - longer, timedelta(0)))
    if usual is None:
        return None
    ends = Finish.at(started).after(usual.longer(longer))
    return ends.no_earlier(ready).after(takes) if node.stale else ends


def _all_done(nodes: Sequence[Node], earliest: datetime) -> Finish | None:
    """When the last of these is done, not before `earliest`; None when one has no estimate."""
    last = Finish.at(earliest)
    for node in nodes:
        if node.finish is None:
            return None
        last = last.no_earlier(node.finish)
    return last


def _latest(nodes: Sequence[Node]) -> Node | None:
    """The one that ends last; one without an estimate before all others, because nobody knows."""
    unknown = [node for node in nodes if node.finish is None]
    if unknown:
        return unknown[0]
    return max(nodes, key=_end, default=None)


def _end(node: Node) -> tuple[datetime, int]:
    return (node.finish.p90 if node.finish else _NEVER), node.job_id


def _path(nodes: dict[int, Node], job_id: int | None) -> tuple[int, ...]:
    path: list[int] = []
    while job_id is not None:
        path.append(job_id)
        job_id = nodes[job_id].after
    return tuple(reversed(path))


def readers(forecasts: Iterable[Forecast]) -> dict[Key, list[Forecast]]:
    """Run -> the service days that read it."""
    found: dict[Key, list[Forecast]] = {}
    for each in forecasts:
        for node in each.nodes.values():
            if node.run is not None:
                found.setdefault(key_of(node.run), []).append(each)
    return found
