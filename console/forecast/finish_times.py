"""Finish times along the graph: the jobs of one service day, each with quantiles of its end.

Finishes are a median (p50) and two high quantiles (p90, p95); along a path medians and quantiles are added, which
is approximate. In observe mode a job that starts by the clock does not wait: if its upstreams are not good by then
it reads stale data and must be rerun after them. Red and stale jobs count as rerun from now on. A gate opens with the
k-th of its upstreams. `ServiceOdds` holds the simulation's figures as plain values: no numpy here.

The service reads the last run of each job in time, from the terminals up. For a job that runs many times a day, that
is the last one that can be done by the deadline; where they run close together, the last that surely is. A red run
counts until the next is green.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from connectors.sdk.states import RunState
from console.control.snapshot.checks import readiness
from console.control.snapshot.deadlines import clock_start, extension_of, promised_at, scheduled_starts
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.estimates import total_duration
from console.control.snapshot.freshness import ReadPoint, read_point_of, run_to_read
from console.control.snapshot.graph import DependencyEdge, UpstreamGate, UpstreamRead
from console.control.snapshot.holds import HeldStart, held_start_of
from console.control.snapshot.runs import (
    BEGINNING,
    NEVER,
    began_after,
    completed_at,
    has_no_clock,
    has_started,
    lookback_time,
    red_since,
    run_time,
    success_or_attempt_start,
)
from console.domain.dependency import UpstreamCondition, UpstreamPeriod
from console.domain.estate import JobFacts, RunFacts, ServiceFacts
from console.domain.forecast import JobForecast
from console.domain.history import DurationQuantiles
from console.domain.promise import DeadlineExtension
from console.domain.text import Text
from console.timing.calendars import counts
from console.timing.maintenance import planned_extension, takes_longer
from console.timing.schedule import seen_instant


class NodeState(StrEnum):
    """How a job of the day reaches its end."""

    DONE = "done"
    OVER = "over"
    """Ended without being proved good or bad."""
    RUNNING = "running"
    RERUN = "rerun"
    """Red or stale: it must run again."""
    CLOCK = "clock"
    """Starts by the clock, whatever its upstreams do."""
    WAITS = "waits"
    """Starts when its upstreams are done."""
    UNKNOWN = "unknown"
    """Nothing says when it starts."""


class FinishTimes(NamedTuple):
    """When something is done: in half, in nine of ten, in nineteen of twenty of all cases."""

    p50: datetime
    p90: datetime
    p95: datetime

    @classmethod
    def at(cls, moment: datetime) -> FinishTimes:
        """A certain finish: all quantiles are this instant."""
        return cls(moment, moment, moment)

    def no_earlier(self, than: FinishTimes) -> FinishTimes:
        """The later of both, case by case."""
        return FinishTimes(max(self.p50, than.p50), max(self.p90, than.p90), max(self.p95, than.p95))

    def after(self, takes: DurationQuantiles) -> FinishTimes:
        """The finish of a job that starts at these instants and takes this long."""
        return FinishTimes(self.p50 + takes.p50, self.p90 + takes.p90, self.p95 + takes.p95)


@dataclass(slots=True)
class ForecastNode:
    """One job of a service on one business date. Never changed once its forecast is made: a frozen one is slower."""

    job_id: int
    run: RunFacts | None
    how: NodeState
    due: datetime | None
    """The clock start that is still ahead or unfulfilled."""
    stale: bool
    finish: FinishTimes | None
    """None: no estimate, here or upstream."""
    after: int | None
    """The upstream that it waits for longest."""
    held_start: HeldStart | None = None
    """The hold, freeze or pause that delays its start regardless of its upstreams."""

    @property
    def at(self) -> datetime | None:
        """The instant of its run, else its clock start; None if it has neither."""
        return run_time(self.run) if self.run is not None else self.due

    @property
    def starts_at(self) -> datetime | None:
        """Earliest start: its clock start or the end of its hold, whichever is later; None where neither is known."""
        until = self.held_start.until if self.held_start is not None else None
        return max(filter(None, (self.due, until)), default=None)


@dataclass(frozen=True, slots=True)
class ActByTimes:
    """Act-by times of a service day, if all of its broken jobs are restarted together."""

    act_by: datetime
    """The latest restart at which P(late) stays within the service's risk. It may have passed."""
    green_by: datetime
    """The latest end of that restart."""


@dataclass(frozen=True, slots=True)
class ServiceOdds:
    """Simulated figures of one service day. Days that share a job share the simulated nights."""

    late: float
    """P(late), recalibrated."""
    own: float
    """P(late) before recalibration by the outcomes of earlier forecasts."""
    p80: datetime
    by: datetime
    """The finish at the quantile 1 - risk of the service."""
    critical: Mapping[int, float]
    """Job -> probability that it is on the critical path; jobs with probability 0 are left out."""
    nights: int
    """Earlier runs of the job with the shortest history on its critical path; 0 where a duration is declared."""
    why: Text
    """The cause of a likely delay, with figures; for an unlikely one, jobs that have become slower."""
    jobs: tuple[JobForecast, ...]
    """The unfinished jobs with the greatest influence, upstreams first."""
    act_by_times: Callable[[Iterable[int]], ActByTimes | None] = field(compare=False)
    """Act-by times for a restart of these broken jobs; None where no restart helps or no job depends on them."""
    late_if_restarted: Callable[[], float] = field(compare=False)
    """P(late) if all red jobs restart now, and no job starts before its upstreams: as a plan started now has it."""
    lost_by: int | None = None
    """The job that contributes most to the delay, first in `why`; None where no job dominates."""


SimulateDays = Callable[["EstateIndex", "Sequence[ServiceForecast]"], "list[ServiceForecast]"]
"""Returns the given service days with figures of the simulation, where it has any."""

_AT_ONCE = FinishTimes.at(BEGINNING)


def gates_open_at(
    index: EstateIndex,
    gates: Iterable[UpstreamGate],
    read_point: ReadPoint,
    nodes: Mapping[int, ForecastNode],
    natively: bool = False,
) -> FinishTimes | None:
    """When the last of the gates opens; None where unknown. `natively`: only what its scheduler enforces."""
    last = _AT_ONCE
    for gate in gates:
        if natively and not any(read.native for read in gate.reads):
            continue
        known = [times for read in gate.reads if (times := _comes(index, read, read_point, nodes)) is not None]
        if len(known) < gate.need:
            return None
        opens = (sorted(moments)[gate.need - 1] for moments in zip(*known, strict=True))
        last = last.no_earlier(FinishTimes(*opens))
    return last


def last_awaited(
    index: EstateIndex, gates: Iterable[UpstreamGate], read_point: ReadPoint, nodes: Mapping[int, ForecastNode]
) -> int | None:
    """The upstream of that date that opens the last gate. One with an unknown finish counts as the last."""
    latest: tuple[datetime, int] | None = None
    for gate in gates:
        comes = [(read, _comes(index, read, read_point, nodes)) for read in gate.reads]
        shown = [
            (read, times) for read, times in comes if read.unit in nodes and read.wants.period is UpstreamPeriod.SAME
        ]
        known = sorted((times.p90, read.unit) for read, times in shown if times is not None)
        if len(known) < min(gate.need, len(shown)):
            return next(read.unit for read, times in shown if times is None)
        if known:
            opens = known[min(gate.need, len(known)) - 1]
            latest = max(latest or opens, opens)
    return latest[1] if latest is not None else None


def members_read(index: EstateIndex, ends: Sequence[int], members: Iterable[int]) -> set[int]:
    """The members of a service that it reads on its own business date, not only for another period."""
    graph, known = index.graph, set(members)
    if known.isdisjoint(graph.gated):
        return known
    read_jobs, ahead = set(ends) & known, list(set(ends) & known)
    while ahead:
        job_id = ahead.pop()
        gates = graph.gates(job_id)
        if gates is None:
            upstreams = {edge.upstream for edge in graph.into(job_id)}
        else:
            upstreams = {r.unit for gate in gates for r in gate.reads if r.wants.period is UpstreamPeriod.SAME}
        for upstream in upstreams & known - read_jobs:
            read_jobs.add(upstream)
            ahead.append(upstream)
    return read_jobs


def indispensable_jobs(index: EstateIndex, day: ServiceForecast) -> set[int]:
    """The jobs of a service day without which some gate stays closed."""
    nodes = day.nodes
    if nodes.keys().isdisjoint(index.graph.gated):
        return set(nodes)
    needed = {end for end in day.ends if end in nodes}
    ahead = list(needed)
    while ahead:
        job_id = ahead.pop()
        read_point = read_point_of_node(index, day.business_date, nodes[job_id])
        upstreams = {edge.upstream for edge in index.graph.into(job_id)} & nodes.keys() - needed
        added = {job for job in upstreams if not opens_without(index, job_id, job, nodes, read_point)}
        needed |= added
        ahead += added
    return needed


def read_point_of_node(index: EstateIndex, business_date: date, node: ForecastNode) -> ReadPoint:
    """The read point of a job of a service day."""
    return _read_point(index, business_date, node.run, node.due)


def _read_point(index: EstateIndex, business_date: date, run: RunFacts | None, due: datetime | None) -> ReadPoint:
    if run is not None:
        return read_point_of(run, index.now)
    return ReadPoint(business_date, due or index.now, due or index.now, index.now)


def opens_without(
    index: EstateIndex, downstream: int, upstream: int, nodes: Mapping[int, ForecastNode], read_point: ReadPoint
) -> bool:
    """True where every gate of the downstream opens without this upstream."""
    gates = index.graph.gates(downstream)
    if gates is None:
        return False
    mine = [(gate, read) for gate in gates for read in gate.reads if read.unit == upstream]
    return all(_without(index, gate, read, nodes, read_point) for gate, read in mine)


def _without(
    index: EstateIndex, gate: UpstreamGate, read: UpstreamRead, nodes: Mapping[int, ForecastNode], read_point: ReadPoint
) -> bool:
    if read.wants.condition is UpstreamCondition.FAILURE or read.wants.period is not UpstreamPeriod.SAME:
        return True
    if read.wants.condition in (UpstreamCondition.COMPLETION, UpstreamCondition.READY):
        node = nodes.get(read.unit)
        waits = node is None or node.how not in (NodeState.RERUN, NodeState.OVER, NodeState.DONE)
        return not waits or _comes(index, read, read_point, {}) is not None
    peers = [peer for peer in gate.reads if peer.unit != read.unit]
    stuck = (NodeState.RERUN, NodeState.UNKNOWN)
    return sum(peer.unit not in nodes or nodes[peer.unit].how not in stuck for peer in peers) >= gate.need


def _comes(
    index: EstateIndex, read: UpstreamRead, read_point: ReadPoint, nodes: Mapping[int, ForecastNode]
) -> FinishTimes | None:
    """When this upstream meets the condition of the read; None where unknown or never."""
    source = comes_from(index, read, read_point, nodes)
    return source.finish if isinstance(source, ForecastNode) else source


def comes_from(
    index: EstateIndex, read: UpstreamRead, read_point: ReadPoint, nodes: Mapping[int, ForecastNode]
) -> ForecastNode | FinishTimes | None:
    """The node whose finish meets the condition of the read, or the instant when it is met; None where never."""
    wants, node = read.wants, nodes.get(read.unit)
    if wants.condition is UpstreamCondition.READY:
        check = readiness(index.estate, wants.check, read_point.business_date, index.now)
        if check.passes:
            return FinishTimes.at(check.at or BEGINNING)
        return node if node is not None and node.how not in (NodeState.DONE, NodeState.OVER) else None
    run = run_to_read(index, read.upstream, wants, read_point, read.loops)
    if wants.condition is UpstreamCondition.FAILURE:
        if run is not None and run.state.is_red:
            return FinishTimes.at(red_since(run))
        return None if run is None or index.is_green(run) else node
    if wants.condition is UpstreamCondition.COMPLETION and run is not None and (ended := completed_at(run)) is not None:
        return FinishTimes.at(ended)
    if wants.period is UpstreamPeriod.SAME:
        return node if node is not None else _AT_ONCE
    return _AT_ONCE if run is None else _of_run(index, run)


def _of_run(index: EstateIndex, run: RunFacts) -> FinishTimes | None:
    """The end of a run of another date, or of the rerun that must repair it."""
    good_at = index.good_by(run, index.now)
    if good_at is not None or index.is_unknown(run):
        return FinishTimes.at(good_at or BEGINNING)
    known = index.estimate(run.job_id)
    if known.takes is None:
        return None
    if run.state.is_open and run.started_at is not None:
        lasts = total_duration(known, index.estate.durations.get(run.job_id, ()), index.now - run.started_at)
        return FinishTimes.at(run.started_at).after(lasts) if lasts is not None else None
    return FinishTimes.at(max(index.now, run_time(run))).after(known.takes)


Read = tuple[RunFacts | None, datetime | None]
"""A run and, if it has not started, its start; without a run its expected clock start."""


def runs_read(
    index: EstateIndex, order: Sequence[int], ends: Collection[int], business_date: date, deadline: datetime
) -> dict[int, Read]:
    """The run of each job that the service reads, or its clock start where there is none. `order`: upstreams before
    their downstreams; `ends`: the jobs of its terminals."""
    limits = dict.fromkeys(ends, deadline)
    chosen: dict[int, Read] = {}
    starts_by_job = {job_id: scheduled_starts(index, index.job(job_id), business_date) for job_id in order}
    delivered = _delivered_by_trigger(index, starts_by_job, ends, business_date, deadline)
    for job_id in reversed(order):
        limit, job, starts = limits.get(job_id, deadline), index.job(job_id), starts_by_job[job_id]
        chosen_run: Read | None = (delivered[job_id], None) if job_id in delivered else None
        if len(starts) > 1:
            chosen_run = _of_many(index, job, business_date, limit, starts, job_id in ends)
        run, due = chosen_run or _of_the_day(index, job, business_date, limit, starts, job_id in ends)
        due = clock_start(job, due) if due is not None else None
        chosen[job_id] = run, due
        seen_from = due or limit
        if run is not None and (run.state.is_red or index.is_stale(run)):
            seen_from = limit
        elif run is not None and due is None:
            seen_from = lookback_time(run)
        for edge in index.graph.into(job_id):
            limits[edge.upstream] = max(limits.get(edge.upstream, seen_from), seen_from)
    return chosen


def _delivered_by_trigger(
    index: EstateIndex,
    starts_by_job: Mapping[int, Sequence[datetime]],
    ends: Collection[int],
    business_date: date,
    deadline: datetime,
) -> dict[int, RunFacts]:
    """For each terminal that its upstreams trigger, its first good run since their last start in time that was whole in
    time, else its first good one since. `starts_by_job`: upstreams before their downstreams."""
    triggered = [end for end in ends if end in starts_by_job and _triggers(index, end)]
    since: dict[int, datetime] = {}
    for job_id, starts in starts_by_job.items() if triggered else ():
        since[job_id] = _inputs_since(index, job_id, business_date, deadline, starts, since)
    delivered: dict[int, RunFacts] = {}
    for end in triggered:
        good = [
            run
            for run in index.of_day(end, business_date)
            if BEGINNING < since[end]
            and began_after(success_or_attempt_start(run), since[end])
            and _was_good(index, run)
        ]
        whole = (
            run for run in good if max(index.freshness(run).good_at or NEVER, index.whole_since(run)[0]) <= deadline
        )
        if run := next(whole, None) or next(iter(good), None):
            delivered[end] = run
    return delivered


def _inputs_since(
    index: EstateIndex,
    job_id: int,
    business_date: date,
    deadline: datetime,
    starts: Sequence[datetime],
    above: Mapping[int, datetime],
) -> datetime:
    """When the last of its data of that date was due before the deadline: its own start by the clock, else the latest
    of what triggers it, else its last good end. BEGINNING where there is none."""
    if starts:
        return _first_start(index.job(job_id), max((at for at in starts if at < deadline), default=starts[0]))
    if upstreams := _triggers(index, job_id):
        return max(above.get(upstream, BEGINNING) for upstream in upstreams)
    runs = (run for run in index.of_day(job_id, business_date) if run_time(run) < deadline)
    return max((index.freshness(run).good_at or BEGINNING for run in runs), default=BEGINNING)


def _triggers(index: EstateIndex, job_id: int) -> set[int]:
    """The upstreams of the same date of a job without a clock."""
    if index.job(job_id).schedule.dialect != "none":
        return set()
    gates = index.graph.gates(job_id)
    if gates is None:
        return {edge.upstream for edge in index.graph.into(job_id)}
    return {read.unit for gate in gates for read in gate.reads if read.wants.period is UpstreamPeriod.SAME}


def _of_the_day(
    index: EstateIndex, job: JobFacts, business_date: date, limit: datetime, starts: Sequence[datetime], delivers: bool
) -> Read:
    """The last run of that date before `limit`, else the first. If it is not good, a later good one replaces it; if it
    is red, a later one that is still running: its rerun. A delivery by the accepted schedule stays, whatever starts by
    hand or by a changed one that is not accepted."""
    run = index.read_by(job.id, business_date, limit)
    day = index.of_day(job.id, business_date)
    if delivers:
        run = next((known for known in day if known.period_at in starts and _was_good(index, known)), run)
        if run is not None and _was_good(index, run):
            return run, None
    if job.seen_schedule is not None and run is not None and not has_started(run):
        since = _first_start(job, run_time(run))
        run = next((known for known in day if has_started(known) and since <= run_time(known) < limit), run)
    ahead = _ahead(index, job, starts, run)
    before = [start for start in ahead if start < limit]
    if run is None or before:
        return None, next(iter(before[-1:] or ahead[:1]), None)
    return _good_or_it(index, run)


def _of_many(
    index: EstateIndex, job: JobFacts, business_date: date, limit: datetime, starts: Sequence[datetime], delivers: bool
) -> Read | None:
    """For a job that runs many times a day: its red run until the next is green, else the last that can end in time;
    None if there is none. A delivering job must end by `limit`, any other must start before it; once all its starts are
    over, its runs by hand count as repairs alone."""
    day = index.of_day(job.id, business_date)
    quantiles = index.estimate(job.id).takes if delivers else None
    takes = _time_to_end(quantiles, [*map(run_time, day), *starts], limit) if quantiles is not None else timedelta(0)
    runs = [run for run in day if run_time(run) < limit and run_time(run) + takes <= limit]
    last = runs[-1] if runs else None
    ahead = [start for start in _ahead(index, job, starts, last) if start < limit and start + takes <= limit]
    if delivers and not ahead:
        runs = [run for run in runs if run.period_at in starts] or runs
        last = runs[-1] if runs else None
    decided = next((run for run in reversed(runs) if run.state.is_red or index.is_green(run)), None)
    if decided is not None and index.is_red_now(decided) and not (delivers and _was_good(index, decided)):
        repeated = _good_or_it(index, decided)
        starts_again = ahead or (last is not None and not has_started(last))
        if starts_again or not (_is_running(last) or _is_running(repeated[0])):
            return decided, None if has_started(decided) else run_time(decided)
    if ahead:
        return None, ahead[-1]
    return _good_or_it(index, last) if last is not None else None


def _time_to_end(takes: DurationQuantiles, starts: Sequence[datetime], limit: datetime) -> timedelta:
    """How long before `limit` a run must start to count: p95 where the last that ends in time even then is at most
    that much older than the last that usually does, so that of runs close together, as every
    minute, the last that surely ends in time counts."""
    usually_last = max((start for start in starts if start + takes.p50 <= limit), default=None)
    surely_last = max((start for start in starts if start + takes.p95 <= limit), default=None)
    if usually_last is None or surely_last is None or usually_last - surely_last > takes.p95:
        return takes.p50
    return takes.p95


def _is_running(run: RunFacts | None) -> bool:
    return run is not None and run.state.is_open and run.started_at is not None


def _ahead(index: EstateIndex, job: JobFacts, starts: Sequence[datetime], run: RunFacts | None) -> list[datetime]:
    """The clock starts that have no run yet, after `run` where given."""
    if not starts:
        return []
    begun = {known_run.period_at for known_run in index.runs.get(job.id, ()) if has_started(known_run)}
    ahead = [start for start in starts if run is None or start > run_time(run)]
    if run is not None and ahead and _first_start(job, ahead[0]) <= run_time(run):
        del ahead[0]
    return [start for start in ahead if start not in begun]


def _first_start(job: JobFacts, accepted: datetime) -> datetime:
    """The earlier of the accepted start and its changed one: a run from then on is that start."""
    return min(accepted, seen_instant(job.schedule, job.seen_schedule, accepted) or accepted)


def _was_good(index: EstateIndex, run: RunFacts) -> bool:
    """True if it was good once, whatever the outcome of a later rerun."""
    return index.freshness(run).good_at is not None


def _good_or_it(index: EstateIndex, run: RunFacts) -> Read:
    if not index.is_green(run):
        later = list(index.later_of_day(run))[::-1]
        repairs = (newer for newer in later if run.state.is_red and _is_running(newer) and not index.is_unknown(newer))
        run = next(filter(index.is_green, later), None) or next(repairs, run)
    return run, None if has_started(run) else run_time(run)


_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ServiceForecast:
    """One service on one business date."""

    service: ServiceFacts
    business_date: date
    deadline: datetime
    """Including an extension."""
    nodes: dict[int, ForecastNode]
    """By job, upstreams before their downstreams."""
    ends: tuple[int, ...]
    """The jobs of its terminals."""
    finish: FinishTimes | None
    path: tuple[int, ...]
    """The critical path, first job first."""
    promised: datetime | None = None
    """The original deadline; None: not extended."""
    extended: DeadlineExtension | None = None
    odds: ServiceOdds | None = None
    """From the simulation, as are `finish` and `path` then; None: not simulated."""
    is_unforeseen: bool = False
    """The simulation failed; `finish` is the sum along the path."""

    @property
    def key(self) -> tuple[str, date]:
        return self.service.name, self.business_date

    def unfinished(self) -> Iterator[ForecastNode]:
        """The nodes that have not ended, upstreams first."""
        return (node for node in self.nodes.values() if node.how not in (NodeState.DONE, NodeState.OVER))


def has_day(index: EstateIndex, service: ServiceFacts, members: Iterable[int], business_date: date) -> bool:
    """True if the date counts in its calendar and a terminal runs on it (any member, if no terminal runs by the
    clock)."""
    calendar = index.estate.declared.calendar(service.calendar)
    if calendar is not None and not counts(calendar, business_date):
        return False
    ends = {index.graph.unit(terminal) for terminal in service.terminals if terminal in index.estate.jobs}
    timed = {end for end in ends if not has_no_clock(index.job(end))}
    return any(
        index.of_day(job_id, business_date) or scheduled_starts(index, index.job(job_id), business_date)
        for job_id in timed or {*ends, *members}
    )


def forecast(index: EstateIndex, service: ServiceFacts, members: Iterable[int], business_date: date) -> ServiceForecast:
    """The forecast of the service's finish on that business date. `members`: see `DependencyGraph.members`."""
    members = tuple(members)
    promised = promised_at(index, service, members, business_date)
    planned = planned_extension(index.estate.declared, service, business_date, promised)
    extended = extension_of(index.estate.extensions, service, business_date, promised) or planned
    deadline = extended.until if extended else promised
    ends = tuple(dict.fromkeys(index.graph.unit(terminal) for terminal in service.terminals))
    order = index.graph.ordered(
        members_read(index, ends, (member for member in members if member in index.estate.jobs))
    )
    chosen = runs_read(index, order, ends, business_date, deadline)
    nodes: dict[int, ForecastNode] = {}
    for job_id in order:
        longer, _ = takes_longer(index.estate.declared, index.job(job_id).name, business_date)
        nodes[job_id] = _node(index, nodes, job_id, *chosen[job_id], business_date, longer)
    last = _latest([nodes[end] for end in ends if end in nodes])
    finish = _all_done([nodes[end] for end in ends if end in nodes], BEGINNING) if last else None
    path, job = list[int](), last.job_id if last else None
    while job is not None:
        path.append(job)
        job = nodes[job].after
    was = promised if extended else None
    return ServiceForecast(service, business_date, deadline, nodes, ends, finish, tuple(reversed(path)), was, extended)


def path_through(index: EstateIndex, day: ServiceForecast, job_id: int) -> tuple[int, ...]:
    """The path of the service day if this job of it is on that, else its longest path through the job."""
    path = [job_id]
    if job_id in day.path or job_id not in day.nodes:
        return day.path
    while (before := day.nodes[path[0]].after) is not None and before in day.nodes and before not in path:
        path.insert(0, before)
    while path[-1] not in day.ends:
        below = (edge.downstream for edge in index.graph.out_of(path[-1]) if edge.downstream not in path)
        last = _latest([day.nodes[downstream] for downstream in below if downstream in day.nodes])
        if last is None:
            return day.path
        path.append(last.job_id)
    return tuple(path)


def _node(
    index: EstateIndex,
    nodes: dict[int, ForecastNode],
    job_id: int,
    run: RunFacts | None,
    due: datetime | None,
    business_date: date,
    longer: timedelta,
) -> ForecastNode:
    """`longer`: planned addition to its usual duration."""
    edges = index.graph.into(job_id)
    upstreams = [nodes[edge.upstream] for edge in edges if edge.upstream in nodes]
    how = _node_state(index, run, due, bool(upstreams))
    is_to_come = run is None or (not has_started(run) and run.state is not RunState.MISSED)
    held_start = held_start_of(index.estate, job_id, due, index.now) if is_to_come else None
    if held_start is not None:
        how = NodeState.UNKNOWN if held_start.until is None else NodeState.CLOCK if due is not None else how
    stale = run is not None and index.is_stale(run)
    gates = index.graph.gates(job_id)
    last = _latest(upstreams) if gates is None else None
    after = last.job_id if last else None
    if gates is not None:
        after = last_awaited(index, gates, _read_point(index, business_date, run, due), nodes)
    node = ForecastNode(job_id, run, how, due, stale, None, after, held_start)
    node.finish = _finish(index, node, _Ahead(index, business_date, node, edges, gates, nodes), longer)
    return node


def _node_state(index: EstateIndex, run: RunFacts | None, due: datetime | None, follows: bool) -> NodeState:
    if run is None or run.state is RunState.PLANNED:
        return NodeState.CLOCK if due is not None else NodeState.WAITS if follows else NodeState.UNKNOWN
    if run.state is RunState.HELD:
        return NodeState.WAITS  # Headway releases it, and starts it once, when its upstreams are good
    if index.is_green(run):
        return NodeState.DONE
    if run.state.is_red:
        return NodeState.OVER if index.is_excused(run) else NodeState.RERUN
    if run.state.is_open:
        return NodeState.RUNNING if run.started_at is not None else NodeState.WAITS
    return NodeState.RERUN if index.is_stale(run) else NodeState.OVER


@dataclass(slots=True)
class _Ahead:
    """The upstreams that a node waits for."""

    index: EstateIndex
    business_date: date
    node: ForecastNode
    edges: Sequence[DependencyEdge]
    gates: Sequence[UpstreamGate] | None
    nodes: dict[int, ForecastNode]

    def done(self, earliest: datetime, natively: bool = False) -> FinishTimes | None:
        """When all upstreams are good, not before `earliest`; None where unknown."""
        if self.gates is None:
            known = (edge for edge in self.edges if edge.upstream in self.nodes and (edge.native or not natively))
            return _all_done([self.nodes[edge.upstream] for edge in known], earliest)
        read_point = _read_point(self.index, self.business_date, self.node.run, self.node.due)
        times = gates_open_at(self.index, self.gates, read_point, self.nodes, natively)
        return None if times is None else times.no_earlier(FinishTimes.at(earliest))


def _finish(index: EstateIndex, node: ForecastNode, ahead: _Ahead, longer: timedelta) -> FinishTimes | None:
    now = index.now
    if node.how is NodeState.DONE or node.how is NodeState.OVER:
        run = node.run
        return FinishTimes.at(now if run is None else index.freshness(run).good_at or run.ended_at or now)
    ready = ahead.done(now)
    known = index.estimate(node.job_id)
    if ready is None or known.takes is None or node.how is NodeState.UNKNOWN:
        return None
    takes = known.takes.longer(longer)
    if node.how is NodeState.RUNNING:
        return _running(index, node, ready, takes, longer)
    if node.how is NodeState.CLOCK and node.starts_at is not None:
        held = ahead.done(node.starts_at, natively=True)
        starts = held.no_earlier(FinishTimes.at(now)) if held else ready
        within = index.job(node.job_id).start_within
        return FinishTimes(*(_by_clock(*quantile, within) for quantile in zip(starts, ready, takes, strict=True)))
    if node.how is NodeState.RERUN:
        takes = takes.longer(index.job(node.job_id).start_within)
    return ready.no_earlier(FinishTimes.at(max(now, node.starts_at or now))).after(takes)


def _by_clock(start: datetime, ready: datetime, takes: timedelta, start_within: timedelta) -> datetime:
    """End of a clock start; if its upstreams are good later than `start`, the end of its rerun after them."""
    if ready <= start:
        return start + takes
    return max(ready, start + takes) + start_within + takes


def _running(
    index: EstateIndex, node: ForecastNode, ready: FinishTimes, takes: DurationQuantiles, longer: timedelta
) -> FinishTimes | None:
    started = node.run.started_at if node.run is not None else None
    if started is None:
        return None
    durations = index.estate.durations.get(node.job_id, ())
    usual = total_duration(index.estimate(node.job_id), durations, max(index.now - started - longer, timedelta(0)))
    if usual is None:
        return None
    ends = FinishTimes.at(started).after(usual.longer(longer))
    return ends.no_earlier(ready).after(takes.longer(index.job(node.job_id).start_within)) if node.stale else ends


def _all_done(nodes: Sequence[ForecastNode], earliest: datetime) -> FinishTimes | None:
    """When the last of these is done, not before `earliest`; None when one has no estimate."""
    last = FinishTimes.at(earliest)
    for node in nodes:
        if node.finish is None:
            return None
        last = last.no_earlier(node.finish)
    return last


def _latest(nodes: Sequence[ForecastNode]) -> ForecastNode | None:
    """The node that ends last; a node without an estimate counts as the last."""
    unknown = next((node for node in nodes if node.finish is None), None)
    if unknown is not None:
        return unknown
    return max(nodes, key=lambda node: (node.finish.p90 if node.finish else _NEVER, node.job_id), default=None)
