"""A night as lanes of a timeline: what ran, runs and is expected, and how far it may slip, now or at any moment.

Of the present night the finishes of services and jobs are their forecasts. Of an earlier moment a service's finish
is the one forecast then; for its jobs, and where there was no forecast, the critical path is walked by what its
jobs usually take (p50, and p95 for how far it may slip): a job starts when the one before it is done and its clock
lets it; what is red is rerun at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from connectors.sdk.states import RunState
from console.control.services.risk import AT_FIRST, judge_risk
from console.domain.forecast import PublishedForecast
from console.domain.service import ServiceView, Timeliness
from console.domain.timeline import TimelineAttempt, TimelineJob, TimelineRun, TimelineView

Foreseen = Mapping[int, tuple[datetime, datetime]]
"""Job id -> its finish in half of all cases and in nineteen of twenty."""
FARTHEST_SLIP = timedelta(hours=2)
"""What may come later than all else is shown so far: a finish that is known by nobody would take the whole screen."""


class BarKind(StrEnum):
    """What a stretch of a lane tells."""

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
    """Of an attempt: how it ended, "running" while it goes on."""


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
    """When it is done, as it looks at that moment; None where it is done, or nobody knows."""
    late: datetime | None = None
    done: datetime | None = None
    waits_for: str = ""
    """The root of an open incident without which the job does not start; empty once it has begun."""

    @property
    def name(self) -> str:
        return self.job.name if self.job is not None else self.service.name if self.service is not None else ""


@dataclass(frozen=True, slots=True)
class _End:
    """When a job is done: as it looks, and if it slips."""

    p50: datetime
    p95: datetime


def timeline_lanes(night: TimelineView, at: datetime) -> list[TimelineLane]:
    """The services, what needs somebody first, each with the jobs of its path that no service before it has. `at`: the
    present, or an earlier moment of that night, and nothing is told that came after it."""
    found: list[TimelineLane] = []
    told: set[int] = set()
    order = sorted(enumerate(night.services), key=lambda each: (each[1].act_by or each[1].deadline, each[1].tier))
    for place, service in order:
        path = [night.jobs[each] for each in night.paths.get(place, ())]
        is_present = at >= night.now
        said = None if is_present else _told(night.told.get(place, ()), at)
        foreseen = night.foreseen.get(place, {}) if is_present else _last(path, said)
        ends, below = _along(path, service.deadline, at, foreseen)
        found.append(_service(service, ends, at, is_present, said))
        new = [lane for lane in below if lane.job is not None and lane.job.id not in told]
        found += map(_waiting, new) if is_present else new
        told.update(job.id for job in path)
    return found


def _told(said: Sequence[PublishedForecast], at: datetime) -> PublishedForecast | None:
    """The latest forecast by then."""
    return next((one for one in reversed(said) if one.at <= at), None)


def _last(path: Sequence[TimelineJob], told: PublishedForecast | None) -> Foreseen:
    """The path's last job is done with its service."""
    if told is None or told.p50 is None or not path:
        return {}
    return {path[-1].id: (told.p50, told.p95 or told.p50)}


def _waiting(lane: TimelineLane) -> TimelineLane:
    """The lane of a job that has not begun, with the root that it waits for."""
    return replace(lane, waits_for=lane.job.waits_for) if lane.job is not None and not lane.state else lane


def timeline_span(night: TimelineView, shown: Sequence[TimelineLane]) -> tuple[datetime, datetime]:
    """From the first to the last moment that the lanes tell of, deadlines of what is promised included, and of what
    may slip FARTHEST_SLIP more; an hour at least."""
    bars = [bar for lane in shown for bar in lane.bars]
    moments = [bar.start for bar in bars] + [bar.end for bar in bars if bar.kind is not BarKind.FAN]
    moments += [lane.service.deadline for lane in shown if lane.service is not None and lane.service.is_promised]
    first, last = min(moments, default=night.now), max(moments, default=night.now)
    slip = max((bar.end for lane in shown for bar in lane.bars if bar.kind is BarKind.FAN), default=last)
    return first, max(last, min(slip, last + FARTHEST_SLIP), first + timedelta(hours=1))


def _along(
    path: Sequence[TimelineJob], deadline: datetime, at: datetime, foreseen: Foreseen
) -> tuple[_End | None, list[TimelineLane]]:
    """When the path is done, None where nobody knows; and a lane for each of its jobs."""
    before: _End | None = None
    found: list[TimelineLane] = []
    for place, job in enumerate(path):
        lane = _as_foreseen(_job(job, deadline, at, before, is_first=place == 0), at, foreseen)
        found.append(lane)
        if lane.done is not None:
            end = lane.done if before is None else max(lane.done, min(before.p50, at))
            before = _End(end, end)
        else:
            before = _End(lane.expected, lane.late) if lane.expected is not None and lane.late is not None else None
            if before is None:
                rest = (_job(each, deadline, at, None, is_first=False) for each in path[place + 1 :])
                found += [_as_foreseen(each, at, foreseen) for each in rest]
                break
    return before, found


def _job(job: TimelineJob, deadline: datetime, at: datetime, before: _End | None, is_first: bool) -> TimelineLane:
    """One job as it stood at that moment. `before`: when what it waits for is done."""
    run = _read(job, deadline)
    bars = [_bar(one, at) for each in job.runs for one in _begun(each, at)]
    tries = _begun(run, at) if run is not None else []
    last = tries[-1] if tries else None
    state, run_id = (last.state if last is not None else ""), (run.id if run is not None else None)
    if last is not None and last.ended is not None and not RunState(last.state).is_red:
        return TimelineLane(None, job, tuple(bars), state, run_id, done=last.ended)
    usual = job.usual_s if job.usual_s is not None else job.late_s
    if usual is None or not (before or is_first):
        return TimelineLane(None, job, tuple(bars), state, run_id)
    takes, slowly = timedelta(seconds=usual), timedelta(seconds=max(usual, job.late_s or usual))
    if last is not None and last.ended is None:
        start, p50, p95 = at, max(at, last.started + takes), max(at, last.started + slowly)
    else:
        due = run.due if run is not None and run.due is not None else at
        start = max(at, due, before.p50 if before else at)
        p50, p95 = start + takes, max(at, due, before.p95 if before else at) + slowly
    ahead = [TimelineBar(BarKind.EXPECTED, start, p50), TimelineBar(BarKind.FAN, p50, p95)]
    return TimelineLane(None, job, (*bars, *(bar for bar in ahead if bar.end > bar.start)), state, run_id, p50, p95)


def _as_foreseen(lane: TimelineLane, at: datetime, foreseen: Foreseen) -> TimelineLane:
    """With the end that its forecast says, and the start that goes with it."""
    if lane.job is None or lane.job.id not in foreseen or lane.done is not None:
        return lane
    p50, p95 = (max(at, each) for each in foreseen[lane.job.id])
    start = next((bar.start for bar in lane.bars if bar.kind is BarKind.EXPECTED), at)
    if lane.state != RunState.RUNNING and lane.expected is not None:
        start = max(at, start + (p50 - lane.expected))
    ahead = [TimelineBar(BarKind.EXPECTED, min(start, p50), p50), TimelineBar(BarKind.FAN, p50, p95)]
    began = [bar for bar in lane.bars if bar.kind in (BarKind.RAN, BarKind.RUNS)]
    return replace(lane, bars=(*began, *(bar for bar in ahead if bar.end > bar.start)), expected=p50, late=p95)


def _service(
    service: ServiceView, ends: _End | None, at: datetime, is_present: bool, told: PublishedForecast | None
) -> TimelineLane:
    """The promise: delivered, or expected as its forecast says; of an earlier moment as it was `told` then, else as its
    path looked."""
    done = service.delivered if service.delivered is not None and service.delivered <= at else None
    p50, p95 = (ends.p50, ends.p95) if ends else (None, None)
    if is_present:
        p50, p95 = service.expected, service.p95 or service.late
    elif told is not None and told.p50 is not None:
        p50, p95 = max(at, told.p50), max(at, told.p95 or told.p50)
    stands = service.timeliness if is_present else _stood(service, done, p50, at, told)
    if done is not None or p50 is None:
        return TimelineLane(service, None, (), stands, done=done)
    p95 = max(p50, p95 or p50)
    bars = (TimelineBar(BarKind.EXPECTED, min(at, p50), p50), TimelineBar(BarKind.FAN, p50, p95))
    return TimelineLane(
        service, None, tuple(bar for bar in bars if bar.end > bar.start), stands, expected=p50, late=p95
    )


def _stood(
    service: ServiceView, done: datetime | None, expected: datetime | None, at: datetime, told: PublishedForecast | None
) -> str:
    """How it stood at an earlier moment, by its deadline and what was told or could be expected then; what was not
    promised at all was never late."""
    if not service.is_promised:
        return service.timeliness
    if done is not None:
        return Timeliness.MET_LATE if done > service.deadline else Timeliness.MET
    if at > service.deadline:
        return Timeliness.BREACHED
    if expected is None:
        return Timeliness.NO_ESTIMATE
    if told is not None:
        return judge_risk(told.late, AT_FIRST, None)
    return Timeliness.WILL_MISS if expected > service.deadline else Timeliness.ON_TIME


def _read(job: TimelineJob, deadline: datetime) -> TimelineRun | None:
    """The run that the service reads: the last before its deadline, else the first."""
    before = [run for run in job.runs if run.at < deadline]
    return before[-1] if before else next(iter(job.runs), None)


def _begun(run: TimelineRun, at: datetime) -> list[TimelineAttempt]:
    """Its attempts as far as they had come: what ended later runs still."""
    return [
        one if one.ended is not None and one.ended <= at else TimelineAttempt(one.started, None, RunState.RUNNING.value)
        if one.ended is not None else one
        for one in run.tries if one.started <= at
    ]  # fmt: skip


def _bar(one: TimelineAttempt, at: datetime) -> TimelineBar:
    kind = BarKind.RAN if one.ended is not None else BarKind.RUNS
    return TimelineBar(kind, one.started, one.ended or at, one.state)
