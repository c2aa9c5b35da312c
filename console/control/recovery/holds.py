"""Hold and release steps of a plan: they keep back what its own clock would start in the middle of a repair.

Held late: only right before its start, and only if its inputs are not good by then. A repair that ends in time
touches nothing of its downstream's scheduler.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from connectors.sdk.records import instant_key
from connectors.sdk.states import Capability, Verb
from console.control.holds.conditions import hold_policies
from console.control.holds.warnings import hold_refusal
from console.control.recovery.savings import AffectedDays, to_come
from console.control.recovery.selection import CanAct
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.holds import held_start_of
from console.control.snapshot.runs import RunKey, run_key
from console.domain.estate import JobFacts
from console.domain.hold import DEFAULT_HOLD, HOLD_LEAD
from console.domain.job import Safety
from console.domain.plan import HOLD_VALUE, WAIT, DraftStep, StepPeriod
from console.domain.step_graph import StepGraph
from console.domain.text import At, Text
from console.forecast.finish_times import ForecastNode, NodeState, ServiceForecast
from console.timing.schedule import comes_again_within

SPARE = timedelta(minutes=30)
"""A run that ends, in nineteen of twenty cases, this long before its downstream starts does not collide with it."""
OFTEN = timedelta(hours=2)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ClockCollisions:
    """Runs that their own clock starts before what they read may be good again, each with that start."""

    to_hold: dict[RunKey, datetime]
    """They can be held and started."""
    to_repeat: dict[RunKey, datetime]
    """They cannot: they will read what is not finished, and run again after it."""
    suffices: dict[RunKey, frozenset[int]]
    """For holds behind gates: the jobs that open them first, and all upstream of those."""


def clock_collisions(
    index: EstateIndex, days: AffectedDays, starting: Collection[RunKey], can_act: CanAct
) -> ClockCollisions:
    """Of the runs that start by themselves; of a job with several, the first alone is held."""
    collisions = ClockCollisions({}, {}, {})
    for day, _ in days.values():
        ends = _ends(index, day)
        for node in day.unfinished():
            key, job = run_key(node.run or to_come(node, day)), index.job(node.job_id)
            if key not in starting or node.due is None or not _is_free(index, node):
                continue
            last, opened_by = _good_at(index, day, node, ends)
            if last + SPARE > node.due and _can_be_held(index, job, node.due, can_act):
                collisions.to_hold[key] = node.due
                if opened_by is not None:
                    collisions.suffices[key] = opened_by
            elif last > node.due and node.run is not None and node.run.id and job.rerun is not Safety.NEVER:
                collisions.to_repeat[key] = node.due
    first = {key[0]: key for key in sorted(collisions.to_hold, key=collisions.to_hold.__getitem__, reverse=True)}
    return replace(collisions, to_hold={key: due for key, due in collisions.to_hold.items() if first[key[0]] == key})


def _good_at(
    index: EstateIndex, day: ServiceForecast, node: ForecastNode, ends: Mapping[int, datetime]
) -> tuple[datetime, frozenset[int] | None]:
    """When all that it must read is good; behind gates, with the jobs that open them first and what is above those."""
    gates = index.graph.gates(node.job_id)
    if gates is None:
        return max((ends[read] for read in _reads(index, day, node)), default=_LONG_AGO), None
    opened_by: set[int] = set()
    last = _LONG_AGO
    for gate in gates:
        awaited = [read.unit for read in gate.reads if not read.native and read.unit in ends]
        first = sorted(awaited, key=lambda unit: (ends[unit], unit))[
            : max(gate.need - len(gate.reads) + len(awaited), 0)
        ]
        last = max([last, *(ends[unit] for unit in first)])
        opened_by |= {*first, *(above for unit in first for above in index.graph.ancestors(unit))}
    return last, frozenset(opened_by)


def _is_free(index: EstateIndex, node: ForecastNode) -> bool:
    is_whole = index.graph.unit(node.job_id) == node.job_id
    if node.how is not NodeState.CLOCK or node.due is None or node.due <= index.now or not is_whole:
        return False
    if node.job_id in hold_policies(index):
        return False
    return held_start_of(index.estate, node.job_id, node.due, index.now) is None


def _can_be_held(index: EstateIndex, job: JobFacts, due: datetime, can_act: CanAct) -> bool:
    able = (
        can_act(job, Capability.HOLD)
        and can_act(job, Capability.START)
        and not any(hold.job_id == job.id and not hold.state.is_over for hold in index.estate.holds)
    )
    return (
        able
        and not comes_again_within(job.schedule, due, OFTEN)
        and not hold_refusal(index.estate, job.id, due, index.now)
    )


def _reads(index: EstateIndex, day: ServiceForecast, node: ForecastNode) -> list[int]:
    edges = (edge for edge in index.graph.into(node.job_id) if not edge.native and edge.upstream in day.nodes)
    return [edge.upstream for edge in edges if day.nodes[edge.upstream].how not in (NodeState.DONE, NodeState.OVER)]


def _ends(index: EstateIndex, day: ServiceForecast) -> dict[int, datetime]:
    ends: dict[int, datetime] = {}
    for job_id, node in day.nodes.items():
        known = index.estimate(job_id).takes
        takes = known.p95 if known is not None else DEFAULT_HOLD
        if node.how in (NodeState.DONE, NodeState.OVER):
            ends[job_id] = _LONG_AGO
            continue
        own = node.finish.p95 if node.finish is not None else index.now + takes
        above, _ = _good_at(index, day, node, ends)
        ends[job_id] = max(own, above + takes)
    return ends


def with_holds(index: EstateIndex, steps: Sequence[DraftStep], clash: ClockCollisions) -> tuple[DraftStep, ...]:
    """The steps with two more for each that is held: the hold before all others, the release right before it, once what
    it must read is good."""
    held = [
        (step, clash.to_hold[step.job_id, step.period.key])
        for step in steps
        if step.verb == WAIT and (step.job_id, step.period.key) in clash.to_hold
    ]
    order: list[DraftStep] = [_hold(index, step, due) for step, due in held]
    first = {step.place: place for place, (step, _) in enumerate(held, 1)}
    graph = StepGraph.of(steps)
    moved: dict[int, int] = {}
    for step in steps:
        suffices = clash.suffices.get((step.job_id, step.period.key))
        awaited = step.after
        if suffices is not None:
            jobs = {step.job_id, *suffices}
            awaited = graph.nearest(step.place, {peer.place for peer in steps if peer.job_id in jobs})
        after = tuple(moved[place] for place in awaited)
        if step.place in first:
            above = (first[step.place], *after)
            order.append(replace(_release(step), place=len(order) + 1, after=tuple(sorted(above))))
            after = (len(order),)
        order.append(replace(step, place=len(order) + 1, after=after))
        moved[step.place] = len(order)
    return tuple(replace(step, place=place) for place, step in enumerate(order, 1))


def _hold(index: EstateIndex, step: DraftStep, due: datetime) -> DraftStep:
    when = "; held shortly before that, unless its upstreams have succeeded"
    why = f"{HOLD_VALUE}: its schedule starts it at ", At(due), when
    until = instant_key((due + DEFAULT_HOLD).replace(microsecond=0))
    wait = max(timedelta(0), due - HOLD_LEAD - index.now)
    hold = _hold_step(step, Verb.HOLD, why)
    return replace(hold, parameters={"until": until}, after=(), wait_s=wait.total_seconds())


def _release(step: DraftStep) -> DraftStep:
    why = "its upstreams succeeded: its schedule starts it; Headway starts it once where that start has passed"
    return replace(_hold_step(step, Verb.RELEASE, (why,)), parameters={})


def _hold_step(step: DraftStep, verb: Verb, why: Text) -> DraftStep:
    return replace(
        step, verb=verb.value, run_id=None, period=StepPeriod(), why=why, safety=Safety.SAFE.value,
        expected_s=0.0, basis=None, saves=(),
    )  # fmt: skip
