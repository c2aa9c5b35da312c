"""Recovery proposals: the fewest steps that repair an incident or a set of runs, upstreams first.

Of an incident: the runs that its affected services still need to have run again; if none is affected, all that is
red or stale. A job that starts natively (its clock is ahead, its scheduler waits for its upstream) has no step, nor
has one that is good again. Runs join by business date. With the simulation a proposal carries the finishes of its
services.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from connectors.sdk.records import instant_key
from connectors.sdk.states import Capability, RunEvidence, RunState, Verb
from console.control.expectations.expected_runs import index_with_expected
from console.control.incidents.causes import find_causes
from console.control.incidents.correlation import IncidentMatch, match_incidents
from console.control.incidents.impact import affected_days
from console.control.incidents.restart import repetition
from console.control.incidents.titles import cause_name
from console.control.recovery.exclusion import without_steps
from console.control.recovery.holds import clock_collisions, with_holds
from console.control.recovery.savings import AffectedDays, unresponsive_notes
from console.control.recovery.selection import (
    CanAct,
    PlanScope,
    broken_runs,
    excluded_run,
    includes_any,
    needed_runs,
    representative_runs,
    step_dependencies,
    step_period,
    superseded_notes,
    without_blocked,
)
from console.control.services.delivery import delivered_at
from console.control.services.status import service_days
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.graph import DependencyGraph
from console.control.snapshot.holds import without_own_pauses
from console.control.snapshot.runs import has_started, round_up_to_minute, run_key, run_time
from console.domain.action import NOTHING_TO_MARK
from console.domain.estate import Estate, RunFacts
from console.domain.plan import HOLD_VERBS, WAIT, DraftStep, ExcludedRun, PlanDraft, SavedService, StepKey
from console.domain.probability import format_risk
from console.domain.text import At
from console.forecast.finish_times import ServiceForecast, ServiceOdds, SimulateDays
from console.forecast.night_graph import NightPoint, with_neighbours
from console.forecast.what_if import PlanOutcome
from console.text.cleaning import clean_line

SimulatePlan = Callable[[Callable[[NightPoint], NightPoint]], SimulateDays]
"""Makes a simulation whose points are replaced."""
EVEN_ODDS = 0.5
"""A service day with a higher P(late) is more likely late than not: the plan does not save it."""


def with_outcome(
    index: EstateIndex,
    draft: PlanDraft,
    near: Sequence[ServiceForecast],
    days: AffectedDays,
    simulate: SimulatePlan,
) -> PlanDraft:
    """The draft with the simulated finish of each of the `days`, which decides whether it is saved. `near`: they and
    all that is simulated together with them. A day that needs what the plan does not run has no finish."""
    sending = frozenset(step.job_id for step in draft.steps if step.verb not in (WAIT, *HOLD_VERBS))
    forecasts = [day for day, _ in days.values()]  # a plan that only waits changes nothing
    if sending and days:
        held = frozenset(step.job_id for step in draft.steps if step.verb == Verb.HOLD)
        forecasts = simulate(PlanOutcome(index.now, sending, held))(index, near)
    by_day = {(day.service.name, day.business_date.isoformat()): day for day in forecasts if day.key in days}

    def outcome(save: SavedService) -> SavedService:
        day = by_day.get(save.day)
        return save if save.waits_for or day is None or day.odds is None else _simulated(save, day, day.odds)

    steps = (replace(step, saves=tuple(map(outcome, step.saves))) for step in draft.steps)
    return replace(draft, steps=tuple(steps))


def _simulated(save: SavedService, day: ServiceForecast, odds: ServiceOdds) -> SavedService:
    by, risk = round_up_to_minute(odds.by), format_risk(odds.late)
    expected = round_up_to_minute(day.finish.p50) if day.finish is not None else by
    save = replace(save, expected=expected, late=odds.late)
    if odds.late > EVEN_ODDS:
        return replace(save, saved=False, text=save.text if save.saved is False else (f"late in this plan: {risk}",))
    return save if save.saved and by <= save.deadline else replace(save, saved=None, text=(risk,))


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
    left_out: Collection[StepKey] = (),
    simulate: SimulatePlan | None = None,
) -> PlanDraft | None:
    """The plan for an open incident; None if there is no such incident. Without steps if nothing is left to send.
    `everything`: also red or stale runs that no affected service waits for, so that the incident closes.
    `left_out`: steps that a person leaves out. `simulate`: the simulation of the night, without the plan and with it;
    None: act-by times are sums of usual durations, and no service day has a finish."""
    estate = without_own_pauses(estate)
    index = index_with_expected(estate, now)
    matches = match_incidents(index, find_causes(index))
    match = next((match for match in matches if match.incident is not None and match.incident.id == incident_id), None)
    if match is None:
        return None
    near = with_neighbours(index, service_days(index), lambda days: _undelivered(index, match, days))
    days = _undelivered(index, match, near if simulate is None else simulate(lambda point: point)(index, near))
    draft = without_steps(_draft(index, match, days, can_act, everything), left_out)
    return draft if simulate is None else with_outcome(index, draft, near, days, simulate)


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
    root = scopes.get(run_key(match.to_repair)) if match.to_repair is not None else None
    if root is not None and (repeated := repetition(index, match)) is not None:
        scopes[run_key(root.run)] = replace(root, why=(*root.why, ", ", *repeated.predicate))
    excluded = [(scope.run, scope.why) for key, scope in starting.items() if key not in between]
    excluded += [(todo[key].run, ("no affected service waits for it",)) for key in todo.keys() - scopes]
    excluded += [(run, ("succeeded meanwhile",)) for run in match.broken() if index.is_green(run)]
    scopes, blocked = without_blocked(index, scopes)
    steps = with_holds(index, _steps(index, [*scopes.values(), *between.values()], can_act), clash)
    skipped = [*(excluded_run(index, run, why) for run, why in excluded), *blocked]
    planned = {step.part for step in steps}
    unique = tuple({run.part: run for run in reversed(skipped) if run.part not in planned}.values())[::-1]
    excluded_runs = (*unique, *superseded_notes(index, runs, instead, scopes))
    title = f"repair {cause_name(index, match)}"
    incident_id, notes = match.incident.id if match.incident else None, unresponsive_notes(match)
    return PlanDraft("recovery", title, incident_id, steps, excluded_runs, notes)


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
    scopes = [PlanScope(run, (f"marked; it is {run.state}",)) for run in runs if run not in good]
    missing = [
        ExcludedRun(f"run {number}", number, ("out of view",)) for number, run in runs_by_id.items() if run is None
    ]
    steps = _steps(index, scopes, can_act, verb)
    excluded = (*missing, *(excluded_run(index, run, (NOTHING_TO_MARK,)) for run in good))
    return PlanDraft("bulk", f"{verb} {len(steps)} runs", None, steps, excluded)


def _is_good(index: EstateIndex, run: RunFacts) -> bool:
    asserted = run.evidence is RunEvidence.ASSERTED
    return run.state is RunState.SUCCEEDED and not asserted and not index.is_stale(run)


def _after_its_start(index: EstateIndex, scope: PlanScope, due: datetime) -> PlanScope:
    if_early = ", before its upstreams have succeeded: rerun after them if it started too early"
    return replace(scope, verb=Verb.RERUN, why=("its schedule starts it at ", At(due), if_early))


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
    return tuple(_step(index, scope, place, after[place], can_act, verb) for place, scope in enumerate(ordered, 1))


def _with_own_start(index: EstateIndex, scope: PlanScope, scopes: Sequence[PlanScope]) -> PlanScope:
    natively = {edge.upstream for edge in index.graph.into(scope.run.job_id) if edge.native}
    if scope.verb == WAIT or not includes_any(scopes, natively, scope.run.business_date):
        return scope
    return replace(scope, why=(*scope.why, "; if its own scheduler starts it meanwhile, that run replaces this step"))


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
        period=step_period(run),
        state=run.state.value,
        why=scope.why,
        parameters=period if chosen is Verb.START else {},
        after=after,
        safety=job.rerun.value,
        expected_s=(None if known.p50 is None else known.p50.total_seconds()) if runs else None,
        basis=known.basis if runs else None,
        saves=scope.saves,
    )
