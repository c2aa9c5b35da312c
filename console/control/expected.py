"""The runs that the accepted schedules demand and that no start has fulfilled: PLANNED, HELD, MISSED, or out of sight;
and SKIPPED, where a job was held over several instants and the start after it stands for all of them.

How far they are laid out: behind, to the beginning of the lookback, or to where the schedule was accepted; ahead, to
the horizon and at most AHEAD of them. Of a job that runs more often than hourly only what can still be judged (its
grace, a few polls and one period back) and the next FREQUENT_AHEAD: its latest run says how it stands. A schedule of
seconds is not laid out at all, because its starts drift.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from connectors.contract import Evidence, Schedule, State, instant_key
from console.control.calendars import expects
from console.control.full_pools import FullPools
from console.control.given_up import GivenUp, awaited_for, given_up
from console.control.held import NOT_HELD, Held
from console.control.moments import NEVER
from console.control.periods import business_date
from console.control.remembered import Found, Remembered
from console.control.schedule import instants, is_interval, last_instant, next_instant
from console.control.sight import out_of_sight
from console.control.unscheduled import next_run
from console.control.words import moment
from console.model.decisions import ExpectedRun
from console.model.grouped import by_job
from console.model.values import Estate, JobFacts, RunFacts, TargetFacts

AHEAD = 6
FREQUENT_AHEAD = 2
_FREQUENT_WITHIN = timedelta(hours=2)
_TICK = timedelta(microseconds=1)
_NO_START = {"cron": "nothing in the log", "replay": "nothing in the log", "heartbeat": "no report"}
"""What is missing of a job by a crontab's clock, where no row of a run tells its start: kind of system -> words."""
_WITHOUT_START = (State.PLANNED, State.HELD, State.MISSED)


@dataclass(frozen=True, slots=True)
class Expectations:
    """What is expected: rows that are new or read otherwise, rows that go, and when time alone may change one."""

    runs: tuple[ExpectedRun, ...]
    withdrawn: tuple[int, ...]
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Due:
    at: datetime
    key: str
    bd: date


@dataclass(frozen=True, slots=True)
class _Table:
    """What one schedule demands around now: in order; jobs share schedules."""

    dues: tuple[_Due, ...]
    frequent: bool
    until: datetime
    """When the time alone makes another one of it."""


_Shared = tuple[Schedule, str, time, str, timedelta]
"""What jobs have in common that share a table: schedule, zone, cutoff, calendar, how long their starts are awaited."""


def expectations(estate: Estate, now: datetime, memory: Remembered | None = None) -> Expectations:
    """For every job with an accepted schedule, and for those whose cadence is sure, in the order of the jobs."""
    memory = memory if memory is not None else Remembered()
    memory.begin(estate, now)
    runs = by_job(estate.runs)
    demand = _Demand(estate, now, runs)
    demanded: list[ExpectedRun] = []
    withdrawn: list[int] = []
    judged_at: list[datetime] = []
    for job in estate.jobs.values():
        own = runs.get(job.id, ())
        found, holds = memory.of(job, own, estate.history.get(job.id))
        if not holds and not _has_no_expectations(estate, job, own):
            demand.find(found, {run.period_key: run for run in own}, memory)
        demanded += found.expected
        withdrawn += found.withdrawn
        if found.next_at is not None:
            judged_at.append(found.next_at)
    return Expectations(tuple(demanded), tuple(withdrawn), min(judged_at, default=None))


class _Demand:
    """What one evaluation asks of each job: the schedules that jobs share are laid out once."""

    def __init__(self, estate: Estate, now: datetime, runs: Mapping[int, Sequence[RunFacts]]) -> None:
        self._estate = estate
        self._now = now
        self._tables: dict[_Shared, _Table] = {}
        self._held = Held.by_job(estate, now)
        self._pools = FullPools(estate, runs, now)
        self._fed = {each.downstream_id for each in estate.dependencies} if estate.history else set()

    def find(self, found: Found, existing: Mapping[str, RunFacts], memory: Remembered) -> None:
        """Puts into `found` what is expected of its job, and until when that is so."""
        estate, now, job = self._estate, self._now, found.job
        target, ours = estate.targets.get(job.target_id), self._held.get(job.id, NOT_HELD)
        known = [run.period_at for run in existing.values() if run.period_at is not None and not has_started(run)]
        found.lasts_until(known, now)
        if ours is NOT_HELD and job.id not in self._fed and (usual := next_run(estate, job, existing, now)):
            known_run = existing.get(usual.run.period_key)
            found.expected = (usual.run,) if _reads_otherwise(usual.run, known_run) else ()
            found.withdrawn = tuple(_withdrawn(existing.values(), {usual.run.period_key}))
            found.next_at = usual.until if usual.until > now else None
            found.lasts_until((usual.until, usual.run.period_at + estate.settings.lookback + _TICK), now)
            if usual.until <= now:
                memory.leans_on_looks(found)
            return
        table = self._table(job)
        dues = _dues(estate, job, existing, now, table, ours)
        over = [self._given_up(job, due) for due in dues]
        said = (
            _held_back(job, due, told) or _verdict(estate, ours.as_ours(job), due, put_off, target, now, ours)
            for due, put_off in zip(dues, over, strict=True)
            for told in [ours.of(due.at, due.key, now)]
        )
        found.expected = tuple(each for each in said if _reads_otherwise(each, existing.get(each.period_key)))
        found.withdrawn = tuple(_withdrawn(existing.values(), {due.key for due in dues}))
        poll = target.poll_every if target is not None else timedelta(0)
        found.next_at = min((each.at + poll for each in over if each.at + poll > now), default=None)
        found.lasts_until(
            [*(at for each in over for at in (each.at, each.at + poll)), *(due.at for due in dues),
             *((table.until,) if table else ())], now
        )  # fmt: skip
        if any(each.at <= now or each.leans for each in over):
            memory.leans_on_looks(found)

    def _table(self, job: JobFacts) -> _Table | None:
        """None where nothing is expected of it."""
        if expects_nothing(job):
            return None
        awaited = awaited_for(self._estate, job)
        shared = (job.schedule, job.zone, job.cutoff, job.calendar, awaited)
        if shared not in self._tables:
            self._tables[shared] = _table(job, awaited, self._now, self._estate)
        return self._tables[shared]

    def _given_up(self, job: JobFacts, due: _Due) -> GivenUp:
        """As `given_up`; what waits for a slot then has its grace from when there is one."""
        return self._pools.put_off(job, given_up(self._estate, job, due.at, due.bd))


def _has_no_expectations(estate: Estate, job: JobFacts, runs: Sequence[RunFacts]) -> bool:
    """True for what nobody expects, nor ever did: tasks, and jobs that others start; most of an estate."""
    is_unknown = job.parent_id is not None or job.id not in estate.history
    return is_unknown and all(run.attempt > 0 for run in runs) and expects_nothing(job)


def expects_nothing(job: JobFacts) -> bool:
    """True where nothing runs by the clock: no schedule, never accepted, or asleep when it was accepted."""
    if job.schedule.dialect == "none" or job.accepted_at is None or is_interval(job.schedule):
        return True
    return job.paused_since is not None and job.paused_since <= job.accepted_at


def has_started(run: RunFacts) -> bool:
    """True when the source has a row of it; false for what only a schedule demands."""
    return run.attempt > 0 or run.state not in _WITHOUT_START


def _dues(
    estate: Estate,
    job: JobFacts,
    existing: Mapping[str, RunFacts],
    now: datetime,
    table: _Table | None,
    ours: Held,
) -> list[_Due]:
    """What is due and has neither started nor been given up, in order. What a hold of ours kept back by the schedule
    before stays due."""
    accepted = job.accepted_at
    if table is None or accepted is None:
        return []
    awaited = [due for due in table.dues if due.at >= accepted]
    if not existing:
        return awaited
    if not table.frequent:
        keys = {due.key for due in awaited}
        stands = [due for due in _standing(existing.values(), now) if due.key not in keys]
        awaited += [due for due in stands if ours.owes(due.key) or due.at >= accepted]
        awaited = [due for due in awaited if due.key in keys or due.at < accepted or _is_demanded(job, due, estate)]
    started = {run.period_at for run in existing.values() if has_started(run)}
    left = [due for due in awaited if due.at not in started and _is_open(existing.get(due.key))]
    return sorted(left, key=lambda due: due.at)


def _is_demanded(job: JobFacts, due: _Due, estate: Estate) -> bool:
    """False where a schedule that was accepted before that instant does not have it, or the job's calendar not its day;
    True where its source names the next one only."""
    counts = expects(estate.declared.calendar(job.calendar), due.at, due.bd)
    return counts and (job.schedule.next_at is not None or last_instant(job.schedule, due.at) == due.at)


def _is_open(run: RunFacts | None) -> bool:
    return run is None or not (has_started(run) or run.state is State.MISSED)


def _standing(existing: Iterable[RunFacts], now: datetime) -> Iterator[_Due]:
    """What was demanded and has come due stays so, though the source may name another next run by now."""
    for run in existing:
        if not has_started(run) and run.period_at is not None and run.period_at <= now:
            yield _Due(run.period_at, run.period_key, run.bd)


def _table(job: JobFacts, awaited: timedelta, now: datetime, estate: Estate) -> _Table:
    settings, calendar = estate.settings, estate.declared.calendar(job.calendar)
    soon = instants(job.schedule, now, now + _FREQUENT_WITHIN)
    frequent = len(soon) > _FREQUENT_WITHIN / timedelta(hours=1)
    if frequent:
        behind, ahead = awaited + timedelta(minutes=5) + (soon[1] - soon[0]), soon[:FREQUENT_AHEAD]
    else:
        behind, ahead = settings.lookback, instants(job.schedule, now, now + settings.horizon)[:AHEAD]
    past = instants(job.schedule, now - behind, now)
    dues = (_Due(at, instant_key(at), business_date(at, None, job.zone, job.cutoff)) for at in (*past, *ahead))
    turns = [at + behind for at in past[:1]]
    turns += [soon[0]] if soon else ahead[:1]
    within = (_FREQUENT_WITHIN,) if len(ahead) == AHEAD else (_FREQUENT_WITHIN, settings.horizon)
    entering = ((next_instant(job.schedule, now + each), each) for each in within)
    turns += [at - each for at, each in entering if at is not None]
    return _Table(tuple(due for due in dues if expects(calendar, due.at, due.bd)), frequent, min(turns, default=NEVER))


def _withdrawn(existing: Iterable[RunFacts], demanded: set[str]) -> list[int]:
    return [
        run.id
        for run in existing
        if run.id and not has_started(run) and run.state is not State.MISSED and run.period_key not in demanded
    ]


def _verdict(
    estate: Estate, job: JobFacts, due: _Due, put_off: GivenUp, target: TargetFacts | None, now: datetime, ours: Held
) -> ExpectedRun:
    state, evidence, reason = State.PLANNED, Evidence.INFERRED, put_off.words
    seen_until = target.seen_until if target is not None else None
    if put_off.at <= now and seen_until is not None and seen_until >= put_off.at:
        why = f"; {put_off.words}" if put_off.words else ""
        missed = _missed_words(job, put_off.at, ours.overdue, due.at)
        state, reason = State.MISSED, f"{missed}{why}{ours.why_missed(due.key)}"
        lost = target.lost if target is not None else None
        if lost is not None and lost[0] <= put_off.at and due.at <= lost[1] and job.gone_since is None:
            state, evidence, reason = State.PLANNED, Evidence.STALE, _lost_words(job, lost, due.at)
    elif job.paused_since is not None and job.paused_since <= put_off.at:
        state, reason = State.HELD, ours.overdue or _since("paused", job.paused_since, job, due.at)
    elif due.at <= now and out_of_sight(target, now, estate.settings):
        evidence, reason = Evidence.STALE, _unseen_words(job, target, due.at, now)
    return ExpectedRun(job.id, due.key, due.at, due.bd, state, evidence, reason)


def _held_back(job: JobFacts, due: _Due, told: tuple[State, str] | None) -> ExpectedRun | None:
    """What a hold of ours makes of it; None where it makes nothing."""
    if told is None:
        return None
    state, reason = told
    return ExpectedRun(job.id, due.key, due.at, due.bd, state, Evidence.INFERRED, reason)


def _missed_words(job: JobFacts, given_up: datetime, overdue: str, near: datetime) -> str:
    """`overdue`: the hold of ours that keeps it back still; its pause is nobody else's."""
    if job.gone_since is not None and job.gone_since <= given_up:
        return _since(job.drift_reason or "gone from its source", job.gone_since, job, given_up)
    if job.paused_since is not None and job.paused_since <= given_up:
        return overdue or _since("paused", job.paused_since, job, given_up)
    by_crontab = job.schedule.dialect in ("debian-cron", "cronie", "busybox")
    where = _NO_START.get(job.kind, "no run") if by_crontab else "no run"
    drift = f"; {job.drift_reason}" if job.drift_reason else ""
    return f"{where} by {moment(given_up, job.zone, near)}{drift}{f'; {overdue}' if overdue else ''}"


def _lost_words(job: JobFacts, lost: tuple[datetime, datetime], near: datetime) -> str:
    return f"evidence is lost until {moment(lost[1], job.zone, near)}: nobody can tell whether it started"


def _since(what: str, since: datetime, job: JobFacts, near: datetime) -> str:
    return f"{what} since {moment(since, job.zone, near)}"


def _unseen_words(job: JobFacts, target: TargetFacts | None, near: datetime, now: datetime) -> str:
    if target is None or target.last_ok_at is None:
        return "its target has never answered"
    pause = target.paused(now)
    paused = f"; {pause.words}" if pause is not None else ""
    return f"{target.system}/{target.name} not seen since {moment(target.last_ok_at, job.zone, near)}{paused}"


def _reads_otherwise(run: ExpectedRun, known: RunFacts | None) -> bool:
    return known is None or (known.state, known.evidence, known.reason) != (run.state, run.evidence, run.reason)
