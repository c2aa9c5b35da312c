"""The restart that an incident needs: its run failed or read bad data, and nothing repeats it yet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from connectors.sdk.states import RunState
from console.control.incidents.correlation import IncidentMatch
from console.control.incidents.run_titles import awaited_inputs, cancelled_by
from console.control.incidents.verdict.decision import (
    Blocked,
    ClosesItself,
    ContinuePlan,
    Instruction,
    JobStep,
    PlanUnderWay,
    RepairByPolicy,
    Rerun,
    Restart,
    ResumePlan,
    StartOffered,
    Step,
    Unfinished,
    offered_job,
    run_in_progress,
)
from console.control.snapshot.deadlines import next_start_of_date
from console.control.snapshot.downstream import bad_inputs
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.holds import held_by_stopped_plan, held_start_of
from console.control.snapshot.reachability import target_to_restore
from console.control.snapshot.runs import covers_period, has_started, is_repeated, run_time
from console.domain.decision import IncidentDecision
from console.domain.estate import RunFacts
from console.domain.incident import RepairStep
from console.domain.reason import NoRunToRepeat, Repetition
from console.text.cleaning import clean_line


def rerun_of(index: EstateIndex, run: RunFacts) -> Rerun | None:
    """The open run that repeats this one, or the rerun that was sent; None if nothing repeats it."""
    if run.state.is_open:
        return Rerun(run.started_at)
    later = list(index.later_of_day(run))[::-1]
    started = next((known.started_at for known in later if known.state.is_open and known.started_at), None)
    repair = index.estate.repairs.get(run.id)
    if repair is not None and is_repeated(run, repair):
        return Rerun(started, repair.sent_at, repair.unknown, repair.policy)
    return Rerun(started) if started is not None else None


def needs_restart(index: EstateIndex, match: IncidentMatch) -> bool:
    """True if its cause is a run that failed, did not start or read data finished since, and is not running again or
    about to, nor started again by its schedule in time."""
    run = match.to_repair
    if run is None or run.state.is_open or rerun_of(index, run) or match.cause.rule or match.closing:
        return False
    return not match.is_repaired and (run.state.is_red or (index.is_stale(run) and bad_inputs(index, run)[1]))


def is_restartable(index: EstateIndex, match: IncidentMatch) -> bool:
    """True if it needs a restart and its run was not cancelled through Headway."""
    return needs_restart(index, match) and match.to_repair is not None and not cancelled_by(index, match.to_repair)


def is_repaired_by_restart(index: EstateIndex, match: IncidentMatch) -> bool:
    """True if it needs a restart, or its run is repeated already."""
    run, cause = match.to_repair, match.cause
    is_other_cause = cause.root is None or cause.rule or match.is_repaired
    return is_restartable(index, match) or (run is not None and not is_other_cause and rerun_of(index, run) is not None)


def repair_step(index: EstateIndex, match: IncidentMatch) -> RepairStep:
    """The restart of an incident that `is_repaired_by_restart`."""
    run = match.to_repair
    assert run is not None
    job, target = index.job(run.job_id), target_to_restore(index.estate, run.job_id, index.now)
    return RepairStep(
        clean_line(job.name),
        not job.cannot_rerun,
        run.state is RunState.MISSED,
        clean_line(f"{target.system}/{target.name}") if target is not None else "",
        is_running=rerun_of(index, run) is not None,
        awaits_approval=run.id in index.estate.approvals,
        is_moved=job.is_moved,
    )


def possible_steps(
    index: EstateIndex,
    match: IncidentMatch,
    decision: IncidentDecision,
    instruction: Instruction | None,
    is_shared: bool,
) -> Iterator[Step]:
    """The steps that its run, its job and its plan allow. `instruction`: the restarts that are left, and `is_shared`:
    True if another incident has one of them; None if it is not repaired by a restart."""
    yield Blocked(NoRunToRepeat())
    if instruction is not None:
        yield Restart(instruction)
        if not is_shared and (repair := repair_in_progress(index, match, instruction)) is not None:
            yield repair
    elif match.closing:
        last = match.closing[-1]
        yield ClosesItself(clean_line(index.job(last.job_id).name), run_time(last))
    elif (step := job_step(index, match, decision)) is not None:
        yield step
    elif (run := match.to_repair) is not None and not match.is_repaired and awaited_inputs(index, run):
        yield Restart(Instruction((repair_step(index, match),)), awaits_upstream=True)


def job_step(index: EstateIndex, match: IncidentMatch, decision: IncidentDecision) -> JobStep | None:
    """Its job is awaited without a failure, a stopped plan holds it, or its run is repeated. None for any
    other."""
    run = match.to_repair
    if match.awaits or match.cause.awaits:
        job_id = match.cause.lost_by if match.cause.lost_by is not None or run is None else run.job_id
        if job_id is None:
            return Unfinished("a job", has_started=True)
        name = clean_line(index.job(job_id).name)
        if plan := held_by_stopped_plan(index.estate, job_id):
            return ResumePlan(name, plan)
        if offered := offered_job(reason for service in decision.services for reason in service.reasons):
            return StartOffered(offered)
        return Unfinished(name, any(map(has_started, index.of_day(job_id, match.cause.business_date))))
    rerun = rerun_of(index, run) if run is not None and is_repaired_by_restart(index, match) else None
    if run is None or rerun is None:
        return None
    job, usual = index.job(run.job_id), index.estimate(run.job_id).p50
    usual_s = usual.total_seconds() if usual is not None else None
    is_first = run.state.is_open and rerun.started is not None and rerun.started <= decision.failed_since
    can_rerun = not job.cannot_rerun
    return run_in_progress(clean_line(job.name), rerun, usual_s, index.now, is_first=is_first, can_rerun=can_rerun)


def repair_in_progress(
    index: EstateIndex, match: IncidentMatch, instruction: Instruction | None = None
) -> PlanUnderWay | ContinuePlan | RepairByPolicy | None:
    """The plan or the policy that restarts its run, or the stopped plan to resume; None if a person has to restart it:
    without these, while the restart awaits approval, and if the plan is about to stop because of the run.
    `instruction`: the restarts that an outdated plan leaves."""
    run, plan, repair = match.to_repair, match.plan(index), match.pending_repair
    if run is None or run.id in index.estate.approvals:
        return None
    planned, name = index.estate.plans_by_run.get(run.id), clean_line(index.name(run.job_id))
    if plan is not None and plan.state == "running" and (planned is None or planned.is_requested):
        return PlanUnderWay(plan.id, plan.done, plan.total)
    if plan is not None and plan.state in ("paused", "stopped"):
        if plan.is_outdated:
            return ContinuePlan(plan.id, plan.state, is_outdated=True, again=instruction)
        is_awaited = planned is not None and (planned.is_awaited or planned.is_done)
        restarts, broken = ((name,), "") if is_awaited else ((), name if planned is not None else "")
        held = instruction.held if instruction is not None else ()
        return ContinuePlan(plan.id, plan.state, is_outdated=False, restarts=restarts, broken=broken, held=held)
    return RepairByPolicy(name, repair.policy, repair.at) if repair is not None else None


def repetition(index: EstateIndex, match: IncidentMatch, until: datetime | None = None) -> Repetition | None:
    """The repetition of the run that needs a restart: its next start of that business date, at most `until` if that is
    ahead, whether its schedule is accepted or not, and its failures. None without both, or if it needs no restart."""
    run = match.to_repair
    if run is None or not needs_restart(index, match):
        return None
    starts = _own_start(index, run)
    if starts is not None and until is not None and index.now < until < starts:
        starts = None
    failed = [known for known in match.broken() if known.job_id == run.job_id and covers_period(run, known)]
    times = sum(known.state in (RunState.FAILED, RunState.TIMED_OUT) for known in failed)
    failures = times if times > 1 else 0
    return Repetition(index.name(run.job_id), starts, failures) if starts is not None or failures else None


def _own_start(index: EstateIndex, run: RunFacts) -> datetime | None:
    """The next start of its job for its business date; None while its target does not answer, its start is held, or
    the last one that was due had not begun when its target was read: its schedule starts nothing."""
    job = index.job(run.job_id)
    target, at = index.estate.targets.get(job.target_id), next_start_of_date(index, job, run.business_date)
    if at is None or (target is not None and target.failing_since is not None):
        return None
    read = target.seen_until if target is not None and target.seen_until is not None else index.now
    due = (known for known in reversed(index.of_day(job.id, run.business_date)) if run_time(known) < read)
    if not all(map(has_started, islice(due, 1))):
        return None
    return at if held_start_of(index.estate, job.id, at, index.now) is None else None
