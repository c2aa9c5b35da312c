"""A night as lanes of a timeline: past, current and expected runs, and how far they may slip, at any moment.

Of the present night the finishes of services and jobs are their forecasts. Of an earlier moment a service's finish
is the one forecast then; for its jobs, and where there was no forecast, the critical path is walked by what its
jobs usually take (p50, and p95 for how far it may slip): a job starts when the one before it is done and its clock
lets it; a red run is rerun at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import takewhile

from connectors.sdk.states import RunState
from console.control.services.risk import judge_risk
from console.domain.forecast import PublishedForecast
from console.domain.service import RepairCase, ServiceView, Timeliness
from console.domain.timeline import TimelineAttempt, TimelineJob, TimelineRun, TimelineView

Foreseen = Mapping[int, tuple[datetime, datetime]]
"""Job id -> its finish in half of all cases and in nineteen of twenty."""
FARTHEST_SLIP = timedelta(hours=2)
"""Longest slip that is shown: an extreme one would take the whole screen."""


class BarKind(StrEnum):
    """Meaning of a stretch of a lane."""

    RAN = "ran"
    RUNS = "runs"
    EXPECTED = "expected"
    FAN = "fan"
    """From the expected end to the late one."""


@dataclass(frozen=True, slots=True)
class TimelineBar:
    kind: BarKind
    start: datetime
    end: datetime
    state: str = ""
    """Of an attempt: how it ended, "running" while it goes on, "unknown" while its target is not seen."""
    superseded: bool = False
    """True of a failed attempt whose period succeeded later."""


@dataclass(frozen=True, slots=True)
class TimelineLane:
    """One service, or one job of its critical path."""

    service: ServiceView | None
    job: TimelineJob | None
    bars: tuple[TimelineBar, ...]
    state: str = ""
    """Of the job's run at that moment, empty where it had not begun; of a service its timeliness."""
    run_id: int | None = None
    expected: datetime | None = None
    """Expected end at that moment; None if it is done, or unknown."""
    late: datetime | None = None
    done: datetime | None = None
    waits_for: str = ""
    """The root of an open incident without which the job does not start; empty once it has begun."""
    next_start: datetime | None = None
    """The job's next start by its clock."""

    @property
    def repair_case(self) -> RepairCase | None:
        """The case of its present estimate; None of an earlier one."""
        is_present = self.service is not None and self.expected == self.service.expected
        return self.service.repair_case if self.service is not None and is_present else None

    @property
    def name(self) -> str:
        return self.job.name if self.job is not None else self.service.name if self.service is not None else ""


@dataclass(frozen=True, slots=True)
class _End:
    """The forecast end of a job: expected, and at the latest."""

    p50: datetime
    p95: datetime


def timeline_lanes(night: TimelineView, at: datetime) -> list[TimelineLane]:
    """Services, the most urgent first, each with the jobs of its path that no service before it has. `at`: now, or an
    earlier moment of that night; then nothing later is shown."""
    lanes: list[TimelineLane] = []
    listed: set[int] = set()
    order = sorted(enumerate(night.services), key=lambda pair: (pair[1].act_by or pair[1].deadline, pair[1].tier))
    for place, service in order:
        path = [night.jobs[job_id] for job_id in night.paths.get(place, ())]
        is_present = at >= night.now
        earlier = () if is_present else reversed(night.published.get(place, ()))
        published = next((forecast for forecast in earlier if forecast.at <= at), None)
        foreseen = night.foreseen.get(place, {}) if is_present else {}
        if published is not None and published.p50 is not None and path:
            foreseen = {path[-1].id: (published.p50, published.p95 or published.p50)}
        ends, below = _along(path, service.deadline, at, foreseen)
        lanes.append(_service(service, ends, at, is_present, published))
        new = [lane for lane in below if lane.job is not None and lane.job.id not in listed]
        lanes += [_to_come(lane, at, is_present) for lane in new]
        listed.update(job.id for job in path)
    return lanes


def _to_come(lane: TimelineLane, at: datetime, is_present: bool) -> TimelineLane:
    """The lane with its job's next start, and what that waits for; of an earlier moment the next start of the night."""
    job = lane.job
    if job is None:
        return lane
    starts = [job.next_start] if is_present else [run.due for run in job.runs if not _begun(run, at)]
    next_start = min((start for start in starts if start is not None and start > at), default=None)
    return replace(lane, next_start=next_start, waits_for=job.waits_for if is_present and not lane.state else "")


def timeline_span(night: TimelineView, lanes: Sequence[TimelineLane]) -> tuple[datetime, datetime]:
    """From the first to the last moment in the lanes, deadlines included, and slips up to FARTHEST_SLIP more; an hour
    at least."""
    bars = [bar for lane in lanes for bar in lane.bars]
    moments = [bar.start for bar in bars] + [bar.end for bar in bars if bar.kind is not BarKind.FAN]
    moments += [lane.service.deadline for lane in lanes if lane.service is not None and lane.service.is_promised]
    first, last = min(moments, default=night.now), max(moments, default=night.now)
    slip = max((bar.end for lane in lanes for bar in lane.bars if bar.kind is BarKind.FAN), default=last)
    return first, max(last, min(slip, last + FARTHEST_SLIP), first + timedelta(hours=1))


def _along(
    path: Sequence[TimelineJob], deadline: datetime, at: datetime, foreseen: Foreseen
) -> tuple[_End | None, list[TimelineLane]]:
    before: _End | None = None
    lanes: list[TimelineLane] = []
    for place, job in enumerate(path):
        lane = _as_foreseen(_job(job, deadline, at, before, is_first=place == 0), at, foreseen)
        lanes.append(lane)
        if lane.done is not None:
            end = lane.done if before is None else max(lane.done, min(before.p50, at))
            before = _End(end, end)
        else:
            before = _End(lane.expected, lane.late) if lane.expected is not None and lane.late is not None else None
            if before is None:
                rest = (_job(job, deadline, at, None, is_first=False) for job in path[place + 1 :])
                lanes += [_as_foreseen(lane, at, foreseen) for lane in rest]
                break
    return before, lanes


def _job(job: TimelineJob, deadline: datetime, at: datetime, before: _End | None, is_first: bool) -> TimelineLane:
    earlier = [run for run in job.runs if run.at < deadline]
    run = _last_known(earlier, at) if earlier else next(iter(job.runs), None)
    if run is not None and _is_red(run, at):
        run = _rerun_after(run, job.runs, at) or run
    bars = _bars(job.runs, at)
    tries = _begun(run, at) if run is not None else []
    last = tries[-1] if tries else None
    state, run_id = (last.state if last is not None else ""), (run.id if run is not None else None)
    if last is None and run is not None and run.state == RunState.UNKNOWN and run.at <= at:
        state = run.state  # it may have started since its target was seen
    if last is not None and last.ended is not None and not RunState(last.state).is_red:
        return TimelineLane(None, job, tuple(bars), state, run_id, done=last.ended)
    usual = job.usual_s if job.usual_s is not None else job.late_s
    if usual is None or not (before or is_first):
        return TimelineLane(None, job, tuple(bars), state, run_id)
    usual_duration, longest_duration = timedelta(seconds=usual), timedelta(seconds=max(usual, job.late_s or usual))
    if last is not None and last.ended is None:
        start, p50, p95 = at, max(at, last.started + usual_duration), max(at, last.started + longest_duration)
    else:
        due = run.due if run is not None and run.due is not None else at
        start = max(at, due, before.p50 if before else at)
        p50, p95 = start + usual_duration, max(at, due, before.p95 if before else at) + longest_duration
    return TimelineLane(None, job, (*bars, *_ahead(start, p50, p95)), state, run_id, p50, p95)


def _as_foreseen(lane: TimelineLane, at: datetime, foreseen: Foreseen) -> TimelineLane:
    if lane.job is None or lane.job.id not in foreseen or lane.done is not None:
        return lane
    p50, p95 = (max(at, moment) for moment in foreseen[lane.job.id])
    start = next((bar.start for bar in lane.bars if bar.kind is BarKind.EXPECTED), at)
    if lane.expected is not None and not any(bar.kind is BarKind.RUNS for bar in lane.bars):
        start = max(at, start + (p50 - lane.expected))
    began = [bar for bar in lane.bars if bar.kind in (BarKind.RAN, BarKind.RUNS)]
    return replace(lane, bars=(*began, *_ahead(min(start, p50), p50, p95)), expected=p50, late=p95)


def _service(
    service: ServiceView, ends: _End | None, at: datetime, is_present: bool, published: PublishedForecast | None
) -> TimelineLane:
    done = service.delivered if service.delivered is not None and service.delivered <= at else None
    p50, p95 = (ends.p50, ends.p95) if ends else (None, None)
    if is_present:
        p50, p95 = service.expected, service.p95 or service.late
    elif published is not None and published.p50 is not None:
        p50, p95 = max(at, published.p50), max(at, published.p95 or published.p50)
    status = service.timeliness if is_present else _past_status(service, done, p50, at, published)
    if done is not None or p50 is None:
        return TimelineLane(service, None, (), status, done=done)
    p95 = max(p50, p95 or p50)
    return TimelineLane(service, None, _ahead(min(at, p50), p50, p95), status, expected=p50, late=p95)


def _ahead(start: datetime, p50: datetime, p95: datetime) -> tuple[TimelineBar, ...]:
    """The bars of what is expected, and of how far it may slip; without empty ones."""
    bars = (TimelineBar(BarKind.EXPECTED, start, p50), TimelineBar(BarKind.FAN, p50, p95))
    return tuple(bar for bar in bars if bar.end > bar.start)


def _past_status(
    service: ServiceView,
    done: datetime | None,
    expected: datetime | None,
    at: datetime,
    published: PublishedForecast | None,
) -> str:
    if not service.is_promised:
        return service.timeliness
    if done is not None:
        return Timeliness.MET_LATE if done > service.deadline else Timeliness.MET
    if at > service.deadline:
        return Timeliness.BREACHED
    if expected is None:
        return Timeliness.NO_ESTIMATE
    if published is not None:
        return judge_risk(published.late, None)
    return Timeliness.WILL_MISS if expected > service.deadline else Timeliness.ON_TIME


def _begun(run: TimelineRun, at: datetime) -> list[TimelineAttempt]:
    begun = (attempt for attempt in run.tries if attempt.started <= at)
    return [
        TimelineAttempt(attempt.started, None, RunState.RUNNING.value)
        if attempt.ended and attempt.ended > at
        else attempt
        for attempt in begun
    ]


def _last_known(runs: Sequence[TimelineRun], at: datetime) -> TimelineRun:
    """The last run that failed for a period with a name, and none of that name since; else the last run; the failed one
    before it if none since is known to have begun: they repair nothing."""
    latest = {run.period_name: run for run in runs if run.period_name and _begun(run, at)}
    if failed := [run for run in latest.values() if _is_red(run, at)]:
        return max(failed, key=runs.index)
    known = next((run for run in reversed(runs) if _begun(run, at) and not _is_unknown(run, at)), runs[-1])
    return known if _is_red(known, at) else runs[-1]


def _is_unknown(run: TimelineRun, at: datetime) -> bool:
    """True if it was due, and it is unknown whether it started or how it ended."""
    tries = _begun(run, at)
    last = tries[-1] if tries else None
    state = last.state if last is not None else run.state
    return state == RunState.UNKNOWN and run.at <= at and (last is None or last.ended is not None)


def _is_red(run: TimelineRun, at: datetime) -> bool:
    tries = _begun(run, at)
    return bool(tries) and RunState(tries[-1].state).is_red


def _rerun_after(failed: TimelineRun, runs: Sequence[TimelineRun], at: datetime) -> TimelineRun | None:
    """The last run of its period after the deadline: runs without a period of their own, before the next that has."""
    same = (run for run in runs if run.period_name == failed.period_name)
    later = (run for run in same if run.at > failed.at and _begun(run, at))
    return next(reversed(list(takewhile(lambda run: run.due is None, later))), None)


def _bars(runs: Sequence[TimelineRun], at: datetime) -> list[TimelineBar]:
    """The attempts by start. A run without a period of its own belongs to the period before it; one whose end is
    unknown had ended by the next start."""
    bars: list[TimelineBar] = []
    has_succeeded, next_start = False, at
    for run in reversed(runs):
        is_covered = has_succeeded and not run.period_name
        for attempt in reversed(_begun(run, at)):
            kind = BarKind.RAN if attempt.ended is not None else BarKind.RUNS
            is_red = RunState(attempt.state).is_red
            superseded = is_covered and is_red
            last = next_start if attempt.state == RunState.UNKNOWN else at
            bars.append(TimelineBar(kind, attempt.started, attempt.ended or last, attempt.state, superseded))
            next_start = min(next_start, attempt.started)
            is_covered = is_covered or (attempt.ended is not None and not is_red)
        has_succeeded = (has_succeeded or is_covered) and run.due is None
    return bars[::-1]
