"""Where the minutes of a late service day went: job by job along its critical path, as it really ran.

The usual finish is what the path would have taken tonight from its first start as due: each job starts when its
upstream and its clock let it, and takes as long as it usually does. A job's lateness is its end less its usual end;
it is split without a rest into what came from upstream, what the clock gave back (or, for a job that did not wait,
took away), and what the job itself added: queued beyond its usual wait, slow, retries, repair. An open job
ends at its forecast: the difference to the usual (a repair, a slow night) is attributed to the job that it is
expected of. So the last job's lateness, which is the service's, is the sum of what all jobs added and
what the clocks gave back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import dropwhile, pairwise

from connectors.sdk.states import RunState
from console.domain.history import EstimateKind
from console.domain.timeline import PathJobBaseline, TimelineJob, TimelineRun

_ZERO = timedelta(0)
WORTH = timedelta(minutes=1)
"""Smallest difference of a forecast that is shown."""
_CLOCKS = timedelta(seconds=2)
"""Accepted clock skew between two systems."""


@dataclass(frozen=True, slots=True)
class RunTry:
    """One attempt of a job's run."""

    started: datetime
    ended: datetime | None
    good: bool
    requested: bool = False
    """Requested by a person or a plan: the time before it was repair, not a retry."""


@dataclass(frozen=True, slots=True)
class PathStep:
    """One job of the path."""

    job: str
    due: datetime | None
    """Its start by the clock; None for one that starts after its upstream."""
    usual: timedelta | None
    """Usual duration; None: unknown, and its actual duration counts as usual."""
    tries: tuple[RunTry, ...]
    """By start."""
    waits: timedelta = _ZERO
    """How long it usually waits though all that it waits for is there: for a slot, a worker."""
    expected: datetime | None = None
    """Forecast end; None without a forecast."""

    @property
    def needs_repair(self) -> bool:
        """True if its last attempt failed."""
        return bool(self.tries) and self.tries[-1].ended is not None and not self.tries[-1].good


@dataclass(frozen=True, slots=True)
class LatenessShare:
    """One job's share. `retries` and `repair` are never negative."""

    job: str
    usual_end: datetime
    end: datetime
    """For an open job the expected end without further failures."""
    is_over: bool
    upstream: timedelta = _ZERO
    """How late its upstream on the path was."""
    clock: timedelta = _ZERO
    """Negative: its clock would have made it wait, and so much of the upstream's lateness cost nothing."""
    queued: timedelta = _ZERO
    """Over its usual wait; negative: it waited less."""
    slow: timedelta = _ZERO
    """Over its usual; negative: it was faster."""
    retries: timedelta = _ZERO
    """Lost to attempts that its scheduler repeated by itself."""
    repair: timedelta = _ZERO
    """Time from a failure or stale read until it was run again."""
    ahead: timedelta = _ZERO
    """Difference to its forecast; negative: it will catch up."""
    awaits_repair: bool = False
    """True if it or an upstream failed and the service has no forecast: when it ends is unknown."""

    @property
    def known_end(self) -> datetime | None:
        """None while it awaits a repair."""
        return None if self.awaits_repair else self.end

    @property
    def late(self) -> timedelta:
        return self.end - self.usual_end


@dataclass(frozen=True, slots=True)
class LatenessBreakdown:
    """The whole path, first job to last; empty where nothing of it is known."""

    parts: tuple[LatenessShare, ...]
    unscheduled: str = ""
    """The first job of a path without a usual end: none of its jobs has begun or has a known start."""

    @property
    def late(self) -> timedelta:
        """Against the usual finish; negative: earlier."""
        return self.parts[-1].late if self.parts else _ZERO

    def total(self, name: str) -> timedelta:
        """Sum of one kind over all jobs; upstream lateness counts at the job that added it."""
        return sum((getattr(part, name) for part in self.parts), _ZERO)


def path_steps_of(
    path: Sequence[TimelineJob],
    deadline: datetime,
    usual: Sequence[PathJobBaseline] = (),
    delivered: datetime | None = None,
) -> list[PathStep]:
    """Run of each job that the service read, from its terminal up: for a job that runs many times a day the last one
    before its reader, else the first; a run that is still to come is the one that the forecast waits for. `usual`: of
    the same jobs; empty if unknown. `delivered`: when the service was; no later run of its terminal was read."""
    steps: list[PathStep] = []
    before = deadline
    for job, baseline in zip(reversed(path), reversed(usual or [PathJobBaseline()] * len(path)), strict=True):
        known = job.runs
        if delivered is not None and job is path[-1]:
            known = tuple(run for run in job.runs if _is_good(run, delivered)) or job.runs
        known = tuple(run for run in known if run.tries or run.state not in (RunState.PLANNED, RunState.HELD))
        runs = [run for run in known if run.at < before] or known[:1]
        run = runs[-1] if runs else None
        due = run.due if run else None
        if job.due is not None and (run is None or run.at < job.due):
            run, due = None, job.due
        tries = run.tries if run else ()
        usual_s = job.usual_s if baseline.takes is None or job.source != EstimateKind.HISTORY else baseline.takes
        usual_duration = None if usual_s is None else timedelta(seconds=usual_s)
        successes = [attempt.ended is not None and not RunState(attempt.state).is_red for attempt in tries]
        attempts = tuple(
            RunTry(attempt.started, attempt.ended, good, attempt.requested)
            for attempt, good in zip(tries, successes, strict=True)
        )
        waits = timedelta(seconds=baseline.waits)
        steps.append(PathStep(job.name, due, usual_duration, attempts, waits, job.expected))
        before = tries[-1].started if tries else run.at if run else due or before
    return steps[::-1]


def _is_good(run: TimelineRun, by: datetime) -> bool:
    """True if an attempt of it had succeeded by then."""
    ends = (attempt.ended for attempt in run.tries if not RunState(attempt.state).is_red)
    return any(ended is not None and ended <= by for ended in ends)


def break_down_lateness(
    steps: Sequence[PathStep], now: datetime, delivered: bool, expected: datetime | None = None
) -> LatenessBreakdown:
    """`steps`: the critical path, first to last. `delivered`: its service day is; then what started before its upstream
    was done did not have to wait. `expected`: when its forecast says that it will be done; None: it has none. The first
    jobs are left out that have neither begun nor a known start: their usual end is unknown."""
    scheduled = list(dropwhile(lambda step: step.due is None and not step.tries, steps))
    if steps and not scheduled:
        return LatenessBreakdown((), unscheduled=steps[0].job)
    parts: list[LatenessShare] = []
    awaits_repair = False
    for step in scheduled:
        awaits_repair = awaits_repair or (expected is None and not delivered and step.needs_repair)
        part = replace(_part(step, parts[-1] if parts else None, now, delivered), awaits_repair=awaits_repair)
        parts.append(part if step is steps[-1] else _foreseen(part, step.expected, WORTH))
    if parts:
        parts[-1] = _foreseen(parts[-1], expected, _ZERO)
    return LatenessBreakdown(tuple(parts))


def _foreseen(part: LatenessShare, expected: datetime | None, least: timedelta) -> LatenessShare:
    if expected is None or part.is_over or abs(expected - part.end) < least:
        return part
    return replace(part, end=expected, ahead=expected - part.end)


def _part(step: PathStep, before: LatenessShare | None, now: datetime, delivered: bool) -> LatenessShare:
    begins = step.due or (step.tries[0].started if step.tries else now)
    usually = max(_known(before.usual_end if before else None, step.due), default=begins)
    could = max(_known(before.end if before else None, step.due), default=begins)
    tries = [attempt for attempt in step.tries if attempt.started + _CLOCKS >= could]
    early = bool(step.tries) and not (tries and tries[0] is step.tries[0])
    if early and not tries and delivered:
        could, tries, early = step.tries[0].started, list(step.tries), False
    upstream = before.late if before else _ZERO
    clock, waits = could - usually - upstream, step.waits if before or step.due else _ZERO
    if not tries:
        usual = step.usual or _ZERO
        waited = max(now - could, waits)
        queued, repair = _over(waited - waits, early)
        end = could + waited + usual
        return LatenessShare(step.job, usually + waits + usual, end, False, upstream, clock, queued, repair=repair)
    queued, repair = _over(tries[0].started - could - waits, early)
    return _begun(step, tries, usually + waits, now, (upstream, clock, queued, repair))


def _over(longer: timedelta, early: bool) -> tuple[timedelta, timedelta]:
    """Queued and repair: `longer` than it usually waits, after it began too `early` and had to be run again."""
    repair = max(longer, _ZERO) if early else _ZERO
    return longer - repair, repair


def _known(*moments: datetime | None) -> Iterable[datetime]:
    return [at for at in moments if at is not None]


def _begun(
    step: PathStep, tries: Sequence[RunTry], usual_start: datetime, now: datetime,
    known: tuple[timedelta, timedelta, timedelta, timedelta],
) -> LatenessShare:  # fmt: skip
    upstream, clock, queued, repair = known
    retries = _ZERO
    counted = _until_good(tries)
    for attempt, following in pairwise(counted):
        lost = following.started - attempt.started
        retries, repair = (retries, repair + lost) if following.requested else (retries + lost, repair)
    last = counted[-1]
    began = last.started
    if last.ended is not None and not last.good:
        again = max(now, last.ended)
        repair, began = repair + (again - last.started), again
    is_over = last.good and last.ended is not None
    end = last.ended if is_over and last.ended is not None else max(now, began + (step.usual or _ZERO))
    usual = step.usual if step.usual is not None else end - began
    return LatenessShare(
        step.job, usual_start + usual, end, is_over, upstream, clock, queued, end - began - usual, retries, repair
    )


def _until_good(tries: Sequence[RunTry]) -> Sequence[RunTry]:
    for place, attempt in enumerate(tries):
        if attempt.good:
            return tries[: place + 1]
    return tries
