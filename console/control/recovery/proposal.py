"""Recovery proposals: the fewest steps that repair an incident or a set of runs, upstreams first.

Of an incident: the runs that its affected services still need to have run again; if none is affected, all that is
red or stale. A job that starts natively (its clock is ahead, its scheduler waits for its upstream) has no step, nor
has one that is good again. Runs join by business date. With the simulation a proposal carries the finishes of its
services, as proposed and with one step skipped or marked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from connectors.sdk.records import instant_key
from connectors.sdk.states import STARTING, Capability, RunEvidence, RunState, Verb
from console.control.expectations.expected_runs import index_with_expected
from console.control.holds.conditions import hold_policies
from console.control.incidents.correlation import IncidentMatch, causes_from_findings, match_incidents
from console.control.incidents.impact import affected_days
from console.control.incidents.root_cause import root_causes
from console.control.incidents.titles import cause_name
from console.control.recovery.holds import clock_collisions, with_holds
from console.control.recovery.savings import AffectedDays, saving_notes
from console.control.recovery.selection import (
    CanAct,
    PlanScope,
    broken_runs,
    excluded_run,
    includes_any,
    needed_runs,
    plan_zone,
    representative_runs,
    step_dependencies,
    superseded_notes,
    without_blocked,
)
from console.control.services.delivery import delivered_at
from console.control.services.status import service_days
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.graph import DependencyGraph
from console.control.snapshot.holds import held_start_reason, without_own_pauses
from console.control.snapshot.runs import has_started, round_up_to_minute, run_key, run_time
from console.domain.action import NOTHING_TO_MARK
from console.domain.estate import Estate, JobFacts, RunFacts
from console.domain.job import Safety
from console.domain.plan import HOLD_VERBS, WAIT, DraftStep, ExcludedRun, PlanDraft, PlannedFinish
from console.domain.plan_editing import DraftChanges, apply_changes
from console.forecast.finish_times import ServiceForecast, SimulateDays
from console.forecast.night_graph import NightPoint, with_neighbours
from console.forecast.what_if import PlanOutcome
from console.text.cleaning import clean_line
from console.timing.business_dates import business_date_of
from console.timing.calendars import is_start_expected
from console.timing.formats import zoned_time
from console.timing.schedule import next_instant


def _start_in_seconds(index: EstateIndex, run: RunFacts) -> float:
    """When it started, or its clock starts it, in seconds from now; 0 where nothing says so."""
    at = run.started_at or run.period_at
    return 0.0 if at is None or (run.started_at is None and at < index.now) else (at - index.now).total_seconds()


def _with_native_starts(
    index: EstateIndex, steps: Sequence[DraftStep], runs: Sequence[RunFacts]
) -> tuple[DraftStep, ...]:
    """The steps with `again_s`: seconds until the job's own schedule next starts it on the same business date, after
    its upstreams. `runs`: one per step, same order."""
    ends: dict[int, float | None] = {}
    timed_steps = []
    for step, run in zip(steps, runs, strict=True):
        above = [ends[place] for place in step.after]
        start = (
            _native_start_s(index, step, run, [end for end in above if end is not None]) if None not in above else None
        )
        takes = step.expected_s
        ends[step.place] = None if start is None or takes is None else start + takes
        timed_steps.append(step if step.verb == WAIT else replace(step, again_s=start))
    return tuple(timed_steps)


def _native_start_s(index: EstateIndex, step: DraftStep, run: RunFacts, above: Sequence[float]) -> float | None:
    """Seconds until the job's own schedule next starts it, not before the ends `above` of its upstreams; None if it
    does not on that business date, or if Headway holds or gates that start."""
    if step.verb == WAIT:
        return max([step.starts_s, *above])
    job = index.job(step.job_id)
    if step.verb not in STARTING or job.id in hold_policies(index):
        return None
    inputs_ready_at = index.now + timedelta(seconds=max([0.0, *above]))
    at: datetime | None = next_instant(job.schedule, inputs_ready_at)
    if at is None or run.business_date != business_date_of(at, None, job.zone, job.cutoff):
        return None
    is_expected = is_start_expected(index.estate.declared.calendar(job.calendar), at, run.business_date)
    hold_reason = held_start_reason(index.estate, job.id, at, index.now)
    return (at - index.now).total_seconds() if is_expected and not hold_reason else None


SimulatePlan = Callable[[Callable[[NightPoint], NightPoint]], SimulateDays]
"""Makes a simulation whose points are replaced."""
MAX_SIMULATED_STEPS = 6
"""Steps whose saved services are computed: each needs a simulation."""
_DONE = ("skip", "mark-ok")


def with_finishes(
    index: EstateIndex,
    draft: PlanDraft,
    near: Sequence[ServiceForecast],
    days: AffectedDays,
    simulate_plan: SimulatePlan,
) -> PlanDraft:
    """`days`: those that the plan is for; `near`: they and all that is simulated together with them."""
    sending = [step for step in draft.steps if step.verb not in (WAIT, *HOLD_VERBS)]
    skipped = [step for step in sending if set(_DONE) & set(step.alternatives)][:MAX_SIMULATED_STEPS]
    finishes: list[PlannedFinish] = []
    for step in [None, *skipped] if days else ():
        # A plan that only waits changes nothing: each day is done as it is foreseen.
        as_it_is = [day for day, _ in days.values()]
        forecasts = simulate_plan(_planned(index, draft, sending, step))(index, near) if sending else as_it_is
        finishes += [
            PlannedFinish(day.service.name, day.business_date.isoformat(), step.place if step else 0, day.odds.late,
                       instant_key(round_up_to_minute(day.odds.by)),
                       instant_key(round_up_to_minute(day.finish.p50)) if day.finish is not None else "")
            for day in forecasts if day.key in days and day.odds is not None
        ]  # fmt: skip
    return replace(draft, finishes=tuple(finishes))


def _planned(index: EstateIndex, draft: PlanDraft, sending: Sequence[DraftStep], done: DraftStep | None) -> PlanOutcome:
    held = frozenset(step.job_id for step in draft.steps if step.verb == Verb.HOLD)
    jobs = frozenset(step.job_id for step in sending)
    return PlanOutcome(index.now, jobs, held, frozenset([done.job_id] if done is not None else []))


def with_tier_1_services(estate: Estate, draft: PlanDraft) -> PlanDraft:
    """The draft, each step with the names of the services of tier 1 that its job feeds or delivers."""
    first = [service for service in estate.services if service.tier == 1]
    if not first:
        return draft
    graph = DependencyGraph(estate.jobs, estate.dependencies)
    names: dict[int, list[str]] = {}
    for service in first:
        for job_id in graph.members(terminal for terminal in service.terminals if terminal in estate.jobs):
            names.setdefault(job_id, []).append(clean_line(service.name))
    steps = (replace(step, first_tier=tuple(names.get(graph.unit(step.job_id), ()))) for step in draft.steps)
    return replace(draft, steps=tuple(steps))


_MARKS = (Verb.MARK_OK, Verb.SKIP)


def propose_recovery(
    estate: Estate,
    incident_id: int,
    now: datetime,
    can_act: CanAct,
    everything: bool = False,
    simulate: SimulateDays | None = None,
    simulate_plan: SimulatePlan | None = None,
) -> PlanDraft | None:
    """The plan for an open incident; None if there is no such incident. Without steps if nothing is left to send.
    `everything`: also red or stale runs that no affected service waits for, so that the incident closes.
    `simulate`: the simulation that its act-by times come from, as in an evaluation; `simulate_plan`: makes the
    simulation of a night that follows the plan."""
    estate = without_own_pauses(estate)
    index = index_with_expected(estate, now)
    matches = match_incidents(index, causes_from_findings(index, root_causes(index)))
    match = next((match for match in matches if match.incident is not None and match.incident.id == incident_id), None)
    if match is None:
        return None
    near = with_neighbours(index, service_days(index), lambda days: _undelivered(index, match, days))
    days = _undelivered(index, match, simulate(index, near) if simulate is not None else near)
    draft = _draft(index, match, days, can_act, everything)
    if simulate_plan is not None:
        draft = with_finishes(index, draft, near, days, simulate_plan)
    notes = saving_notes(index, match, {} if simulate_plan is not None else days)  # else its finishes say it
    return apply_changes(replace(draft, notes=notes), DraftChanges())


def _draft(
    index: EstateIndex, match: IncidentMatch, days: AffectedDays, can_act: CanAct, everything: bool
) -> PlanDraft:
    todo, saves = broken_runs(index, match, days)
    scopes, starting = needed_runs(index, days, todo, saves) if days else (todo, {})
    scopes = todo if everything else scopes
    runs = {key: scope.run for key, scope in todo.items()}
    instead = representative_runs(index, runs.values(), can_act)
    scopes = {
        run_key(instead[key]): replace(todo[run_key(instead[key])], saves=scope.saves) for key, scope in scopes.items()
    }
    clash = clock_collisions(index, days, starting.keys(), can_act)
    scopes |= {key: _after_its_start(index, starting.pop(key), due) for key, due in clash.to_repeat.items()}
    held = {key: starting[key] for key in clash.to_hold}
    read = {**scopes, **held}
    between = {
        key: scope
        for key, scope in starting.items()
        if key in held
        or includes_any(read.values(), index.graph.descendants(scope.run.job_id), scope.run.business_date)
    }
    excluded = [(scope.run, scope.why) for key, scope in starting.items() if key not in between]
    excluded += [(todo[key].run, "no affected service waits for it") for key in todo.keys() - scopes]
    excluded += [(run, "succeeded meanwhile") for run in match.broken() if index.is_green(run)]
    scopes, blocked = without_blocked(index, scopes)
    steps = with_holds(index, _steps(index, [*scopes.values(), *between.values()], can_act), clash)
    skipped = [*(excluded_run(index, run, why) for run, why in excluded), *blocked]
    planned_jobs = {step.job for step in steps}
    unique = tuple({run.job: run for run in reversed(skipped) if run.job not in planned_jobs}.values())[::-1]
    excluded_runs = (*unique, *superseded_notes(index, runs, instead, scopes))
    title = f"repair {cause_name(index, match)}"
    return PlanDraft("recovery", title, match.incident.id if match.incident else None, steps, excluded_runs)


def _undelivered(index: EstateIndex, match: IncidentMatch, days: Sequence[ServiceForecast]) -> AffectedDays:
    affected = affected_days(index, match, days)
    return {name: (day, nodes) for name, (day, nodes) in affected.items() if delivered_at(index, day) is None}


def propose_bulk(estate: Estate, run_ids: Iterable[int], verb: Verb, now: datetime, can_act: CanAct) -> PlanDraft:
    """The same verb for each of these runs, upstreams before their downstreams; runs out of view are left out."""
    estate = without_own_pauses(estate)
    index = index_with_expected(estate, now)
    runs_by_id = {number: index.run_by_id(number) for number in dict.fromkeys(run_ids)}
    runs = [run for run in runs_by_id.values() if run is not None]
    good = [run for run in runs if verb in _MARKS and _is_good(index, run)]
    scopes = [PlanScope(run, f"marked; it is {run.state}") for run in runs if run not in good]
    missing = [ExcludedRun(f"run {number}", number, "out of view") for number, run in runs_by_id.items() if run is None]
    steps = _steps(index, scopes, can_act, verb)
    excluded = (*missing, *(excluded_run(index, run, NOTHING_TO_MARK) for run in good))
    return PlanDraft("bulk", f"{verb} {len(steps)} runs", None, steps, excluded)


def _is_good(index: EstateIndex, run: RunFacts) -> bool:
    asserted = run.evidence is RunEvidence.ASSERTED
    return run.state is RunState.SUCCEEDED and not asserted and not index.is_stale(run)


def _after_its_start(index: EstateIndex, scope: PlanScope, due: datetime) -> PlanScope:
    at = zoned_time(due, plan_zone(index, scope.run.job_id), index.now)
    why = (
        f"its schedule starts it at {at}, before its upstreams have succeeded: rerun after them if it started too early"
    )
    return replace(scope, verb=Verb.RERUN, why=why)


def _steps(
    index: EstateIndex, scopes: Sequence[PlanScope], can_act: CanAct, verb: Verb | None = None
) -> tuple[DraftStep, ...]:
    rank = index.graph.ranks({scope.run.job_id for scope in scopes})
    ordered = sorted(
        scopes, key=lambda scope: (rank[scope.run.job_id], run_time(scope.run), scope.run.period_key, scope.run.job_id)
    )
    after = step_dependencies(index, [scope.run for scope in ordered])
    if verb is None:
        ordered = [_with_own_start(index, scope, scopes) for scope in ordered]
    steps = [_step(index, scope, place, after[place], can_act, verb) for place, scope in enumerate(ordered, 1)]
    return _with_native_starts(index, steps, [scope.run for scope in ordered])


def _with_own_start(index: EstateIndex, scope: PlanScope, scopes: Sequence[PlanScope]) -> PlanScope:
    natively = {edge.upstream for edge in index.graph.into(scope.run.job_id) if edge.native}
    if scope.verb == WAIT or not includes_any(scopes, natively, scope.run.business_date):
        return scope
    return replace(scope, why=f"{scope.why}; if its own scheduler starts it meanwhile, that run replaces this step")


def _step(
    index: EstateIndex, scope: PlanScope, place: int, after: tuple[int, ...], can_act: CanAct, verb: Verb | None
) -> DraftStep:
    job, run = index.job(scope.run.job_id), scope.run
    fresh = not has_started(run)
    chosen = scope.verb or verb or (Verb.START if fresh and can_act(job, Capability.START) else Verb.RERUN)
    known = index.estimate(job.id)
    period = {"period_at": instant_key(run.period_at)} if fresh and run.period_at is not None else {}
    runs = chosen in (Verb.RERUN, Verb.START, WAIT)
    return DraftStep(
        place=place,
        verb=str(chosen),
        job_id=job.id,
        job=clean_line(job.name),
        system=job.system,
        run_id=run.id or None,
        period_key=run.period_key,
        state=run.state.value,
        why=scope.why,
        parameters=period if chosen is Verb.START else {},
        after=after,
        starts_s=_start_in_seconds(index, run) if chosen == WAIT else 0.0,
        safety=job.rerun.value,
        expected_s=(None if known.p50 is None else known.p50.total_seconds()) if runs else None,
        basis=known.basis if runs else None,
        start_within_s=job.start_within.total_seconds() if chosen in STARTING else 0.0,
        saves=scope.saves,
        alternatives=_alternatives(job, run, chosen, can_act),
    )


def _alternatives(job: JobFacts, run: RunFacts, verb: str, can_act: CanAct) -> tuple[str, ...]:
    if verb in _MARKS:
        return ("skip",) if verb == Verb.MARK_OK else ("mark-ok",)
    if verb not in STARTING:
        return ()
    parts: tuple[str, ...] = ()
    if has_started(run) and job.rerun is not Safety.NEVER and can_act(job, Capability.TASKS):
        if job.parent_id is not None:
            parts = ("failed-only",)
        elif run.state.is_red or run.state is RunState.PARTIAL:
            parts = ("downstream", "all")
    return (*parts, "mark-ok", "skip")
