"""Selection: the fewest runs to repeat, one per job and date where that does, and the order between them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from connectors.sdk.states import Capability, RunState
from console.control.holds.conditions import HoldPolicy, hold_policies
from console.control.holds.warnings import hold_refusal
from console.control.incidents.correlation import IncidentMatch
from console.control.recovery.savings import TO_COME, AffectedDays, days_saved, to_come
from console.control.snapshot.deadlines import start_before
from console.control.snapshot.downstream import reads_of_other_periods
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.holds import held_start_of
from console.control.snapshot.runs import RunKey, has_started, known_period_name, run_key, run_time
from console.domain.action import MANUAL_KIND
from console.domain.dependency import DependencyMode
from console.domain.estate import JobFacts, RunFacts
from console.domain.incident import rerun_key
from console.domain.plan import WAIT, ExcludedRun, SavedService, StepPeriod
from console.domain.text import At, Text, joined
from console.forecast.finish_times import ForecastNode, NodeState
from console.text.cleaning import clean_line

CanAct = Callable[[JobFacts, Capability], bool]
"""Whether the kind of a job's system has this capability."""
_NAMED = 3
"""Superseded runs that are named one by one."""


def representative_runs(index: EstateIndex, runs: Iterable[RunFacts], can_act: CanAct) -> dict[RunKey, RunFacts]:
    """Each run -> the one to rerun for it: the newest of its job and business date, because every rerun of a job
    without periods does the same work; the run itself if its kind gives runs their own period or input, or its source
    names its period."""
    newest: dict[tuple[int, str], RunFacts] = {}
    keys: dict[RunKey, tuple[int, str]] = {}
    for run in runs:
        has_periods = run.period_name != "" or can_act(index.job(run.job_id), Capability.PERIODS)
        key = rerun_key(run.job_id, run.business_date, run.period_name or run.period_key, has_periods=has_periods)
        keys[run_key(run)], known = key, newest.get(key)
        if known is None or run_time(known) < run_time(run):
            newest[key] = run
    return {key: newest[repeated] for key, repeated in keys.items()}


def step_period(run: RunFacts) -> StepPeriod:
    """The period of the step that repeats or awaits the run."""
    return StepPeriod(run.period_key, clean_line(known_period_name(run)))


def superseded_notes(
    index: EstateIndex, runs: Mapping[RunKey, RunFacts], instead: Mapping[RunKey, RunFacts], steps: Iterable[RunKey]
) -> list[ExcludedRun]:
    """One line for each step that replaces other runs of its job. `instead`: from `representative_runs`."""
    lines = []
    for step in steps:
        superseded = sorted(
            (runs[key] for key, substitute in instead.items() if run_key(substitute) == step != key), key=run_time
        )
        if superseded:
            times = [At(run_time(run)) for run in superseded]
            which = joined([(at,) for at in times], " and ")
            if len(times) >= _NAMED:
                which = times[0], " to ", times[-1], f" ({len(times)} runs)"
            text = *which, ": superseded by the rerun of ", At(run_time(instead[step]))
            lines.append(excluded_run(index, superseded[-1], text))
    return lines


def step_dependencies(index: EstateIndex, runs: Sequence[RunFacts]) -> dict[int, tuple[int, ...]]:
    """Position -> the positions that it waits for: the nearest steps upstream of it, on its date or on another that it
    reads, and the run of its own job before it. `runs`: upstreams before their downstreams."""
    after: dict[int, tuple[int, ...]] = {}
    above: dict[int, set[int]] = {}
    placed: dict[date, dict[int, list[int]]] = {}
    last: dict[int, int] = {}
    places: dict[RunKey, int] = {}
    for place, run in enumerate(runs, 1):
        jobs = placed.setdefault(run.business_date, {})
        read = index.graph.ancestors(run.job_id) & jobs.keys()
        predecessors = {upstream_place for job_id in read for upstream_place in jobs[job_id]}
        predecessors |= {
            places[run_key(read_run)] for read_run in reads_of_other_periods(index, run) if run_key(read_run) in places
        }
        if run.job_id in last:
            predecessors.add(last[run.job_id])
        nearest: list[int] = []
        covered: set[int] = set()
        for edge in sorted(predecessors, reverse=True):
            if edge not in covered:
                nearest.append(edge)
                covered |= above[edge] | {edge}
        after[place], above[place] = tuple(sorted(nearest)), covered
        jobs.setdefault(run.job_id, []).append(place)
        places[run_key(run)] = place
        last[run.job_id] = place
    return after


@dataclass(frozen=True, slots=True)
class PlanScope:
    """A run that must run again, why, and the services that it helps."""

    run: RunFacts
    why: Text
    saves: tuple[SavedService, ...] = ()
    verb: str = ""
    """Empty: whichever way it can run again."""


def broken_runs(
    index: EstateIndex, match: IncidentMatch, days: AffectedDays
) -> tuple[dict[RunKey, PlanScope], Mapping[RunKey, tuple[SavedService, ...]]]:
    saves = days_saved(index, match, days)
    broken = [run for run in match.broken() if index.is_red_now(run) or (has_started(run) and index.is_stale(run))]
    again = [run for run in match.broken() if run.state.is_open and has_started(run) and run not in broken]
    todo = {run_key(run): PlanScope(run, (broken_reason(run),), saves.get(run_key(run), ())) for run in broken}
    for run in again:
        why = (f"it runs {'again already' if run.attempt > 1 else 'still'}",)
        todo[run_key(run)] = PlanScope(run, why, saves.get(run_key(run), ()), WAIT)
    return todo, saves


def broken_reason(run: RunFacts) -> str:
    """ "it was missed", "it ended failed", or that it read unfinished data."""
    if run.state.is_red:
        return f"it was {run.state}" if run.state is RunState.MISSED else f"it ended {run.state}"
    return "it read what its upstream had not finished"


def needed_runs(
    index: EstateIndex,
    days: AffectedDays,
    todo: Mapping[RunKey, PlanScope],
    saves: Mapping[RunKey, tuple[SavedService, ...]],
) -> tuple[dict[RunKey, PlanScope], dict[RunKey, PlanScope]]:
    scopes: dict[RunKey, PlanScope] = {}
    starting: dict[RunKey, PlanScope] = {}
    held = hold_policies(index)
    for day, _ in days.values():
        for node in day.unfinished():
            if node.run is not None and run_key(node.run) in todo:
                scopes[run_key(node.run)] = todo[run_key(node.run)]
            elif (why := native_start_reason(index, held, node)) and includes_any(
                scopes.values(), index.graph.ancestors(node.job_id), day.business_date
            ):
                run = node.run or to_come(node, day)
                starting[run_key(run)] = PlanScope(run, why, saves.get(run_key(run), ()), WAIT)
    return scopes, starting


def native_start_reason(index: EstateIndex, held: Mapping[int, HoldPolicy], node: ForecastNode) -> Text:
    """Why a job that waits for a step is not a step itself; empty if it is not about to start. `held`: policies by
    job."""
    held_start = held_start_of(index.estate, node.job_id, node.at, index.now) if node.how in TO_COME else None
    if held_start is not None:
        return *held_start.text, ": it does not start by itself; release it or run it"
    policy = held.get(node.job_id)
    if policy is not None and node.how in TO_COME:
        job = index.job(node.job_id)
        start: Text = ("its start of ", At(node.due)) if node.due is not None else ("its start",)
        alone = "it stays held" if policy.is_standing else "it starts all the same"
        if policy.mode is DependencyMode.TRIGGER and node.due is None:
            return ("Headway starts it once its upstreams have succeeded; not while no engine works",)
        if why := hold_refusal(index.estate, job.id, node.due, index.now):
            refused = "its hold was refused (", *why, "): "
            return *refused, *start, " comes all the same, unless a later try holds it"
        return *start, f" is held until its upstreams have succeeded; while no engine works {alone}"
    job = index.job(node.job_id)
    if job.kind == MANUAL_KIND and node.how in TO_COME:
        return (f"a person completes it: headway action complete {shlex.quote(clean_line(job.name))}",)
    if node.how is NodeState.CLOCK and node.due is not None:
        if (next_at := start_before(index, job, node.due)) is not None and node.held_start is None:
            last = "; the last start that meets the deadline is ", At(node.due)
            return "its schedule starts it at ", At(next_at), *last
        return "its schedule starts it at ", At(node.due), "; if the repair ends later, rerun it"
    if node.how is NodeState.WAITS:
        is_held = node.run is not None and node.run.state is RunState.HELD
        return ("it is held, and started once it is released" if is_held else "its own scheduler starts it",)
    return ("it runs",) if node.how is NodeState.RUNNING else ()


def includes_any(scopes: Iterable[PlanScope], job_ids: Collection[int], business_date: date) -> bool:
    """True if a run of one of these jobs on that date must run again."""
    return any(scope.run.job_id in job_ids and scope.run.business_date == business_date for scope in scopes)


def without_blocked(
    index: EstateIndex, scopes: Mapping[RunKey, PlanScope]
) -> tuple[dict[RunKey, PlanScope], list[ExcludedRun]]:
    """A run that its own scheduler keeps back until a step's job is good goes on by itself."""
    jobs = {(scope.run.job_id, scope.run.business_date) for scope in scopes.values()}
    unblocked: dict[RunKey, PlanScope] = {}
    excluded: list[ExcludedRun] = []
    for key, scope in scopes.items():
        above = [
            edge.upstream
            for edge in index.graph.into(scope.run.job_id)
            if edge.native and (edge.upstream, scope.run.business_date) in jobs
        ]
        if scope.run.state is RunState.BLOCKED and above:
            name = index.name(above[0])
            excluded.append(excluded_run(index, scope.run, (f"its own scheduler starts it once {name} is good",)))
        else:
            unblocked[key] = scope
    return unblocked, excluded


def excluded_run(index: EstateIndex, run: RunFacts, why: Text) -> ExcludedRun:
    return ExcludedRun(index.name(run.job_id), run.id or None, why, step_period(run))
