"""Backfills: one step for each period in a range of dates that a job has not done, oldest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

from connectors.sdk.records import instant_key
from connectors.sdk.states import Capability, RunState, Verb
from console.control.recovery.selection import CanAct, step_period
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import has_started, run_time
from console.domain.estate import Estate, JobFacts, RunFacts
from console.domain.plan import DraftStep, ExcludedRun, PlanDraft, StepPeriod
from console.domain.text import At, Text, key_text
from console.text.cleaning import clean_line
from console.timing.durations import TICK
from console.timing.schedule import instants, is_interval, schedule_fault, seen_instant
from console.timing.zones import business_window, zone_of

MAX_PERIODS = 31
"""Default limit of the steps of a backfill."""
_MAX_LISTED = 3
"""Periods left out for one reason that are named one by one."""
_UNKNOWN = "is not known"


def backfill_periods(job: JobFacts, first: date, last: date, now: datetime) -> list[datetime]:
    """The instants of these business dates, both included, at which the job's present schedule is due, and that have
    come by now; none without a schedule."""
    zone = zone_of(job.zone)
    opens, closes = business_window(first, zone, job.cutoff)[0], business_window(last, zone, job.cutoff)[1]
    if job.schedule.dialect == "none" or is_interval(job.schedule):
        return []
    until = min(closes - TICK, now)
    past = instants(replace(job.schedule, next_at=None), opens - TICK, until)  # before the next that its source names
    return sorted({*past, *instants(job.schedule, opens - TICK, until)})


def propose_backfill(
    estate: Estate,
    job_id: int,
    instants: Sequence[datetime],
    runs: Sequence[RunFacts],
    limit: int | None,
    now: datetime,
    can_act: CanAct,
    since: datetime | None = None,
) -> PlanDraft:
    """A step for each of these periods that is not good: those of `instants` (its schedule's, in order) and of `runs`
    (from the store). At most `limit` steps; oldest first. Periods before `since` without a run are left out: whether
    they ran is unknown."""
    job = estate.jobs[job_id]
    index = EstateIndex(estate, now)
    stored = {run.period_at or run.period_key: run for run in runs}
    known = {run.period_key: run for run in runs}
    periods = {
        instant_key(at): at
        for at in instants
        if at in stored or seen_instant(job.schedule, job.seen_schedule, at) not in stored
    }
    steps: list[DraftStep] = []
    reasons: dict[str, list[tuple[Text, int | None]]] = {}
    for key in sorted(
        {*known, *periods},
        key=lambda period: ((run_time(known[period]) if period in known else periods[period]), period),
    ):
        at = periods.get(key)
        run = known.get(key) or stored.get(at or key)
        reason = _reason(job, run, at, now, since, can_act) or ("is beyond the limit" if limit == len(steps) else "")
        if reason:
            run_id = run.id or None if run is not None else None
            reasons.setdefault(reason, []).append((key_text(clean_line(key)), run_id))
        else:
            steps.append(_period_step(index, job, key, run, at, len(steps) + 1, can_act))
    unknown = reasons.pop(_UNKNOWN, [])
    title = f"backfill {clean_line(job.name)}" + (f": {len(steps)} period{'s' * (len(steps) > 1)}" if steps else "")
    excluded = [
        line for reason, skipped in reasons.items() for line in _excluded_runs(clean_line(job.name), reason, skipped)
    ]
    notes = _notes(job, steps, unknown, since, can_act)
    if not steps and not excluded and not notes:
        notes = ((_why_none(job),),)
    return PlanDraft("backfill", title, None, tuple(steps), tuple(excluded), notes)


def _reason(
    job: JobFacts, run: RunFacts | None, at: datetime | None, now: datetime, since: datetime | None, can_act: CanAct
) -> str:
    if run is not None and run.state is RunState.SUCCEEDED and not run.stale_read:
        return "succeeded"
    if run is not None and run.state in (RunState.PLANNED, RunState.HELD):
        ahead = "is not due yet: its schedule starts it"
        return ahead if run_time(run) > now else f"is {run.state} and not proved missed yet"
    if run is not None and run.state.is_open and has_started(run):
        return f"is {run.state}"
    if run is None and at is not None and since is not None and at < since:
        return _UNKNOWN
    if (run is None or not run.id) and not can_act(job, Capability.START):
        return "has not run, and its kind cannot start it for a period"
    return ""


def _excluded_runs(job: str, reason: str, periods: Sequence[tuple[Text, int | None]]) -> list[ExcludedRun]:
    if len(periods) > _MAX_LISTED:
        return [ExcludedRun(job, None, (*_span(periods), f": each {reason}"))]
    return [ExcludedRun(job, run_id, (*key, f" {reason}")) for key, run_id in periods]


def _span(periods: Sequence[tuple[Text, int | None]]) -> Text:
    return *periods[0][0], " to ", *periods[-1][0], f", {len(periods)} periods"


def _notes(
    job: JobFacts,
    steps: Sequence[DraftStep],
    unknown: Sequence[tuple[Text, int | None]],
    since: datetime | None,
    can_act: CanAct,
) -> tuple[Text, ...]:
    notes = list[Text]()
    if unknown and since is not None:
        many, known = _span(unknown) if len(unknown) > 1 else unknown[0][0], ". Headway has its runs since "
        notes.append(("not known: ", *many, known, At(since), "; --unseen takes them all the same"))
    if steps and not can_act(job, Capability.PERIODS):
        notes.append(("its kind gives a run no date: each of these runs works for now, not for its period",))
    return tuple(notes)


def _why_none(job: JobFacts) -> str:
    if job.schedule.dialect == "none":
        return "no run of it is known on these dates, and without a schedule it is unknown what was due"
    if (text := schedule_fault(job.schedule)) is not None:
        return f"no run of it is known on these dates, and its schedule cannot be read: {text}"
    if not job.schedule.expression.strip():
        return (
            "no run of it is known on these dates, and its source names only its next start: it is unknown what was due"
        )
    if is_interval(job.schedule):
        return "no run of it is known on these dates, and its starts drift: none is due at an instant"
    return "by its schedule nothing was due on these dates"


def _period_step(
    index: EstateIndex, job: JobFacts, key: str, run: RunFacts | None, at: datetime | None, place: int, can_act: CanAct
) -> DraftStep:
    started = run is not None and has_started(run)
    at = at or (run.period_at if run is not None else None)
    parameters = {"period_at": instant_key(at)} if at is not None and not started else {}
    known = index.estimate(job.id)
    return DraftStep(
        place=place,
        verb=(Verb.RERUN if started or not can_act(job, Capability.START) else Verb.START).value,
        job_id=job.id,
        job=clean_line(job.name),
        system=job.system,
        run_id=run.id or None if run is not None else None,
        period=StepPeriod(key, step_period(run).name if run is not None else ""),
        state=run.state.value if run is not None else RunState.PLANNED.value,
        why=(f"it is {run.state}" if run is not None else "it has not run",),
        parameters=parameters,
        safety=job.rerun.value,
        expected_s=None if known.p50 is None else known.p50.total_seconds(),
        basis=known.basis,
    )
