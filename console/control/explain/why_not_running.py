"""Why a job is not running, or runs late, down to a reason that a person can act on.

First the job's own reasons, then those of the upstreams that it waits for, across all systems.

Facts come before what follows from them: an unreachable target ends the questions, and a hold comes before the
upstream that it waits for. A reason that is proved by a run of its source carries that run's poll and its native
state.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from connectors.sdk.states import STOPPED, RunState
from console.control.expectations.expected_runs import cadence_of, grace_end
from console.control.holds.conditions import awaited_edges, condition_text
from console.control.snapshot.deadlines import next_start, starts_after
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.holds import LINGERS, held_start_of, hold_text
from console.control.snapshot.pools import pool_of, slot_text
from console.control.snapshot.reachability import OUTAGES, is_out_of_reach, outage_text
from console.control.snapshot.runs import has_no_clock, has_started, lookback_time, run_time
from console.domain.action import MANUAL_KIND
from console.domain.dependency import DependencyMode, DependencyOrigin, UpstreamPeriod
from console.domain.estate import DependencyFacts, JobFacts, RunFacts
from console.domain.finding import accept_command
from console.domain.job import ExplanationStep, Safety
from console.domain.run import evidence_text
from console.domain.system import with_fix
from console.domain.text import At, Text, key_text, mapped
from console.text.cleaning import clean_line, one_line
from console.timing.business_dates import business_date_of
from console.timing.calendars import day_reason, is_start_expected
from console.timing.durations import format_duration
from console.timing.maintenance import maintenance_of_job
from console.timing.schedule import schedule_text, start_of_run

_WAITS = (RunState.QUEUED, RunState.WAITING)
_UNDER_WAY = (RunState.RUNNING, RunState.RETRYING, RunState.CANCELLING)
_KINDS = {"slot": "slot", "resource": "slot", "approval": "approval", "upstream": "upstream", "time": "clock"}
"""The kinds of reason by the word that a connector gives for waiting; any other is "waits"."""


def run_in_question(index: EstateIndex, job_id: int) -> RunFacts | None:
    """The run to explain: the open one, else the last that came due, else the next."""
    runs = index.runs.get(job_id, ())
    under_way = [run for run in runs if run.state.is_open and run.state not in (RunState.PLANNED, RunState.HELD)]
    come = [run for run in runs if run_time(run) <= index.now]
    known = under_way or come or list(runs[:1])
    return known[-1] if known else None


def job_reasons(index: EstateIndex, job_id: int) -> Iterator[ExplanationStep]:
    """Of this job alone, the most weighty first; at least one."""
    job, run = index.job(job_id), run_in_question(index, job_id)
    reasons = [*_out_of_reach(index, job), *_hold_reason(index, job)]
    yield from reasons
    if run is not None and has_started(run):
        yield from _started(index, job, run)
    elif run is not None and run.state is RunState.MISSED and not reasons:
        due = run_time(run)
        yield _of(job, run, "missed", "was due ", At(due), ": ", *run.why, act=_again(job))
    elif run is not None and run_time(run) <= index.now and not reasons:
        due = run_time(run)
        end = grace_end(index.estate, job, due, run.business_date, index.runs.get(job_id, ()))
        why = (": ", *end.text) if end.text else ()
        yield _of(job, run, "clock", "is due since ", At(due), ", counts as missed at ", At(end.at), *why)
    if run is None or not has_started(run) or not run.state.is_open:
        yield from _by_clock(index, job)


def _out_of_reach(index: EstateIndex, job: JobFacts) -> Iterator[ExplanationStep]:
    target = index.estate.targets.get(job.target_id)
    if target is None or target.failing_since is not None or is_out_of_reach(target, index.now, index.estate.settings):
        name = clean_line(f"{target.system}/{target.name}") if target else "its target"
        seen: Text = ("last seen ", At(target.last_ok_at)) if target and target.last_ok_at else ("never seen",)
        error = f": {clean_line(with_fix(target.error, target.error_fix))}" if target and target.error else ""
        is_unknown = ", so its status is unknown" if target is None or target.error_kind != STOPPED else ""
        text: Text = (f"{name} {outage_text(target) if target else OUTAGES['unreachable']}{is_unknown}{error}",)
        since = target.failing_since if target else None
        act = "headway check"
        if target is not None and (pause := target.paused(index.now)) is not None:
            text = (*pause.text, ", so its status is unknown")
            since, act = pause.at, f"headway system pause {pause.system} --off"
        yield ExplanationStep(_name(job), "unreachable", mapped(text, clean_line), since=since, evidence=seen, act=act)
    maintenance = maintenance_of_job(index.estate, job, index.now)
    if maintenance is not None:
        text = mapped(maintenance.text, clean_line)
        yield ExplanationStep(_name(job), "maintenance", text, until=maintenance.until, by="config")
    if job.gone_since is not None:
        text = (clean_line(job.drift_reason) or "is gone from its source",)
        act = accept_command(_name(job), job.drift_change)
        yield ExplanationStep(_name(job), "gone", text, since=job.gone_since, evidence=_poll(index, job), act=act)


def _hold_reason(index: EstateIndex, job: JobFacts) -> Iterator[ExplanationStep]:
    holds = [hold for hold in index.estate.holds if hold.job_id == job.id and hold.state.holds_back]
    for hold in holds:
        above = index.estate.jobs.get(hold.upstream_id or 0)
        upstream = _name(above) if above is not None else ""
        start = (", for the start of ", At(hold.due_at)) if hold.due_at else ()
        known = (f"hold {hold.key}", *start)
        yield ExplanationStep(
            _name(job), "hold", mapped(hold_text(hold, upstream), clean_line), since=hold.placed_at, until=hold.until,
            by=clean_line(hold.held_by), evidence=known, act=f"headway hold release {_argument(job)}",
        )  # fmt: skip
    if job.paused_since is not None and not holds and not _lingers(index, job):
        text = ("is paused at its source, and not by Headway",)
        act = f"enable it at {clean_line(job.system)}"
        yield ExplanationStep(_name(job), "pause", text, since=job.paused_since, evidence=_poll(index, job), act=act)
    frozen = index.estate.modes.frozen
    if frozen is not None and holds:
        why = f": {clean_line(frozen.why)}" if frozen.why else ""
        text, act = (f"nothing is released or started while all sending is frozen{why}",), "headway freeze --off"
        yield ExplanationStep(_name(job), "freeze", text, 0, frozen.at, by=frozen.by, act=act)


def _lingers(index: EstateIndex, job: JobFacts) -> bool:
    ended = [hold.ended_at for hold in index.estate.holds if hold.job_id == job.id and hold.ended_at is not None]
    return bool(ended) and index.now - max(ended) < LINGERS


def _started(index: EstateIndex, job: JobFacts, run: RunFacts) -> Iterator[ExplanationStep]:
    if run.state in _WAITS:
        kind = _KINDS.get(run.reason, "waits")
        text = f"is {run.native_state or run.state} at its scheduler{_thing(index, run)}"
        yield _of(job, run, kind, text, since=run.started_at)
    elif run.state in _UNDER_WAY:
        yield _of(job, run, "running", _running(index, job, run), since=run.started_at)
        for task in index.tasks_of(job.id):
            waiting = [task_run for task_run in index.of_day(task.id, run.business_date) if task_run.state in _WAITS]
            for task_run in waiting[-1:]:
                task_kind = _KINDS.get(task_run.reason, "waits")
                task_text = f"its task is {task_run.native_state or task_run.state}{_thing(index, task_run)}"
                yield _of(task, task_run, task_kind, task_text, since=task_run.started_at)
    elif run.state is RunState.BLOCKED:
        yield _of(job, run, "upstream", "was not started: an upstream of it failed")
    elif run.state.is_red:
        text = f"{'failed' if run.state is RunState.FAILED else f'is {run.state}'} for {run.business_date}"
        if message := one_line(run.message or run.reason):
            text += f": {message}"
        yield _of(job, run, "failed", text, since=run.ended_at, act=_again(job))
    elif run.state is RunState.SUCCEEDED and not index.is_stale(run):
        yield _of(job, run, "done", f"succeeded for {run.business_date}", since=run.ended_at)
    elif run.state is RunState.SUCCEEDED:
        text, act = f"succeeded for {run.business_date}, but before its upstream had finished", _again(job)
        if (separated := _separated_upstream(index, job, run)) is not None:
            cutoffs = {clean_line(either.system): f"{either.cutoff:%H:%M}" for either in (separated, job)}
            text = f"succeeded for {run.business_date}; {_name(separated)} of that date starts later, because the run"
            text += " before belongs to an earlier date (cutoff "
            text += f"{' and '.join(f'{system} {cutoff}' for system, cutoff in cutoffs.items())})"
            act = f"move the cutoff of {' and '.join(cutoffs)} in the config, so that both belong to one date"
        yield _of(job, run, "stale", text, since=run.ended_at, act=act)
    else:
        text = f"has run for {run.business_date}; how it ended is {run.state}{': ' + run.reason if run.reason else ''}"
        yield _of(job, run, "unproved", clean_line(text), since=run.ended_at)
    if late := _late(index, job, run):
        yield late


def _separated_upstream(index: EstateIndex, job: JobFacts, run: RunFacts) -> JobFacts | None:
    """An upstream, read for the same business date, whose nearest run is the one before, of an earlier date, and which
    starts for this date only later: a cutoff separates the two. None without one."""
    at, unit = lookback_time(run), index.graph.unit(job.id)
    gates = index.graph.gates(unit)
    if gates is None:
        upstreams = [edge.upstream for edge in index.graph.into(unit)]
    else:
        upstreams = [read.unit for gate in gates for read in gate.reads if read.wants.period is UpstreamPeriod.SAME]
    for upstream in upstreams:
        read = index.read_by(upstream, run.business_date, at, run.period_name)
        before = [past for past in index.all_of(upstream) if run_time(past) < at and has_started(past)]
        if read is None or has_started(read) or not before or before[-1].business_date >= run.business_date:
            continue
        if at - run_time(before[-1]) < run_time(read) - at:
            return index.job(upstream)
    return None


def _running(index: EstateIndex, job: JobFacts, run: RunFacts) -> str:
    known = index.estimate(job.id)
    so_far = format_duration(index.now - run.started_at) if run.started_at else "unknown"
    if known.p50 is None or known.p90 is None:
        return f"is running for {so_far}; its usual duration is unknown"
    usual, most = format_duration(known.p50), format_duration(known.p90)
    return f"is running for {so_far}; it takes {usual}, at most {most}; {known.basis.text}"


def _late(index: EstateIndex, job: JobFacts, run: RunFacts) -> ExplanationStep | None:
    """Why it began so late: the last of its upstreams that was good only after it was due."""
    begun, due = run.first_started_at, run.period_at
    if due is not None:
        due = start_of_run(job.schedule, job.seen_schedule, job.drift_since, due)
    if begun is None or due is None or has_no_clock(job) or begun - due <= job.grace:
        return None
    by = f"began {format_duration(begun - due)} after it was due ", At(due)
    ends = [
        (good, index.job(edge.upstream))
        for edge in index.graph.into(job.id)
        if (read := index.read_by(edge.upstream, run.business_date, due, run.period_name)) is not None
        and (good := index.freshness(read).good_at) is not None
        and good > due
    ]
    if not ends:
        return _of(job, run, "waits", *by)
    good, upstream = max(ends, key=lambda end: end[0])
    return _of(job, run, "upstream", *by, f": {_name(upstream)} was good at ", At(good), since=good)


def _by_clock(index: EstateIndex, job: JobFacts) -> Iterator[ExplanationStep]:
    """When its clock starts it next, or would without its pause, and which day its calendar leaves out; nothing of a
    job that is gone."""
    if job.gone_since is not None:
        return
    clocked = replace(job, paused_since=None)
    first, at = next(starts_after(clocked, index.now), None), next_start(index, clocked, index.now)
    if first is None and has_no_clock(job):
        usual = cadence_of(index.estate, job)
        known = f"; it usually runs {usual.text}" if usual is not None else ""
        text = f"nothing starts it by the clock ({clean_line(schedule_text(job.schedule))}){known}"
        yield ExplanationStep(_name(job), "event", (text,), act=_again(job))
        return
    calendar = index.estate.declared.calendar(job.calendar)
    which = clean_line(schedule_text(job.source_schedule))
    if job.seen_schedule is not None:
        which += (
            f"; accepted is {clean_line(schedule_text(job.schedule))}: {accept_command(_name(job), job.drift_change)}"
        )
    if first is None:
        yield ExplanationStep(_name(job), "clock", (f"its schedule has no next start ({which})",))
        return
    business_date = business_date_of(first, None, job.zone, job.cutoff)
    if calendar is not None and not is_start_expected(calendar, first, business_date):
        reason = f"{business_date} in calendar {calendar.name} is {day_reason(calendar, business_date)}"
        no_run = "no run is expected ", At(first), f": {clean_line(reason)}"
        yield ExplanationStep(_name(job), "calendar", no_run, until=at)
        return
    at = at or first
    is_held = held_start_of(index.estate, job.id, at, index.now) is not None or any(
        hold.job_id == job.id and hold.state.holds_back and hold.until > at for hold in index.estate.holds
    )
    before, after = ("its start ", " is held") if is_held else ("its schedule starts it next at ", "")
    yield ExplanationStep(_name(job), "clock", (before, At(at), f"{after} ({which})"), until=at)


def _of(
    job: JobFacts, run: RunFacts, kind: str, *text: str | At, since: datetime | None = None, act: str = ""
) -> ExplanationStep:
    seen: Text = ("observed ", At(run.observed_at)) if run.observed_at else ("expected by its schedule",)
    native = f', native state "{clean_line(run.native_state)}"' if run.native_state else ""
    proof = (
        "run ",
        *key_text(clean_line(run.period_key)),
        ": ",
        *seen,
        f"{native}, evidence {evidence_text(run.evidence)}",
    )
    return ExplanationStep(_name(job), kind, mapped(text, clean_line), since=since, evidence=proof, act=act)


def _thing(index: EstateIndex, run: RunFacts) -> str:
    if not run.reason:
        return ", which does not say for what"
    pool = pool_of(index.estate.declared, index.job(run.job_id)) if run.reason == "slot" else None
    if pool is not None:
        return f": it waits for {slot_text(pool, index.slot_holders(pool))}"
    known = {"slot": "a free slot", "resource": "a free slot", "time": "its time"}
    return f": it waits for {known.get(run.reason, run.reason)}"


def _poll(index: EstateIndex, job: JobFacts) -> Text:
    target = index.estate.targets.get(job.target_id)
    at = target.last_ok_at if target else None
    return (f"reported by {clean_line(job.system)}, last poll ", At(at)) if at else ()


def _again(job: JobFacts) -> str:
    """How a person has it run again, and be good; where its system cannot, or its owner forbids it, at its source."""
    if job.kind == MANUAL_KIND:
        return f"headway action complete {_argument(job)}"
    why = clean_line(job.cannot_rerun) or ('its owner marked it rerun = "never"' if job.rerun is Safety.NEVER else "")
    if why:
        return f"run it in its scheduler ({why}); if its output is good already: headway run mark-ok {_argument(job)}"
    return f"headway rerun {_argument(job)}"


def _name(job: JobFacts) -> str:
    return clean_line(job.name)


def _argument(job: JobFacts) -> str:
    """Its name in a command that a person pastes into a shell; the owner of a crontab chooses it."""
    return shlex.quote(_name(job))


_ENDS = ("unreachable", "gone", "pause", "approval", "running", "slot", "done")
"""If one of these comes first, upstreams explain nothing."""


def explain_job(
    index: EstateIndex, job_id: int, approvals: Iterable[ExplanationStep] = ()
) -> tuple[ExplanationStep, ...]:
    """Every reason of the chain: first those of the job, then of each upstream that it waits for, nearest first, each
    job once. `approvals`: pending approvals. A task is explained as its DAG."""
    unit = index.graph.unit(job_id)
    pending: dict[str, list[ExplanationStep]] = {}
    for approval in approvals:
        pending.setdefault(approval.job, []).append(approval)
    into: dict[int, list[DependencyFacts]] = {}
    for edge in index.estate.dependencies:
        into.setdefault(index.graph.unit(edge.downstream_id), []).append(edge)
    steps: list[ExplanationStep] = []
    todo, seen = [(unit, 0)], {unit}
    for current, depth in todo:
        own = [*pending.get(index.name(current), ()), *job_reasons(index, current)]
        awaited = list(_waits_for(index, current, into.get(current, ()))) if own[0].kind not in _ENDS else []
        own += [_waits(index, edge) for edge in awaited]
        steps += [replace(step, depth=depth) for step in own]
        for edge in awaited:
            upstream = index.graph.unit(edge.upstream_id)
            if upstream not in seen:
                seen.add(upstream)
                todo.append((upstream, depth + 1))
    return tuple(steps)


def actionable_reason(chain: Sequence[ExplanationStep]) -> ExplanationStep | None:
    """The deepest reason that a person can act on, nearest to the root. None: only time helps."""
    return max((step for step in chain if step.act and step.kind != "event"), key=lambda step: step.depth, default=None)


def _waits_for(index: EstateIndex, job_id: int, edges: Sequence[DependencyFacts]) -> Iterator[DependencyFacts]:
    """Of the edges into it those that keep it from starting, or from being good, and whose upstream is not good; each
    upstream once."""
    run = run_in_question(index, job_id)
    if run is not None and has_started(run) and run.state.is_open and run.started_at is not None:
        return
    job, known = index.job(job_id), set[int]()
    business_date, at = business_date_of(index.now, None, job.zone, job.cutoff), index.now
    if run is not None:
        business_date, at = run.business_date, lookback_time(run)
    for edge in awaited_edges(index, edges, business_date, at):
        upstream = index.graph.unit(edge.upstream_id)
        if upstream not in known and upstream != job_id and upstream in index.estate.jobs:
            known.add(upstream)
            yield edge


def _waits(index: EstateIndex, edge: DependencyFacts) -> ExplanationStep:
    job, upstream = index.job(index.graph.unit(edge.downstream_id)), index.job(edge.upstream_id)
    name = clean_line(upstream.name)
    what = f"waits for {name}, which is not good yet"
    if not edge.wants.is_plain:
        what = f"waits until {condition_text(index.estate.jobs, [edge])}"
    if edge.origin is DependencyOrigin.NATIVE or edge.mode is not DependencyMode.OBSERVE:
        by = "its scheduler" if edge.origin is DependencyOrigin.NATIVE else f"Headway, mode {edge.mode}"
        return ExplanationStep(clean_line(job.name), "upstream", (what,), by=by)
    text = f"reads {name}, which is not good yet; it does not wait for it (mode observe)"
    return ExplanationStep(clean_line(job.name), "upstream", (text,))
