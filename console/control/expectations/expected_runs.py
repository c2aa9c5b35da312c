"""Expected runs: what accepted schedules demand and no start has fulfilled.

They are PLANNED, HELD, MISSED or unreachable; SKIPPED, if a job was held over several instants and the start after
it stands for all of them.

Range: back to the beginning of the lookback, or to where the schedule was accepted; ahead to the horizon, at most
AHEAD runs. Of a job that runs more often than hourly only what can still be judged (its grace, a few polls and one
period back) and the next FREQUENT_AHEAD. A schedule of seconds is not laid out, because its starts drift.

Grace: how long a due start is waited for, how late it usually comes, planned delays and maintenance. If its pool
has no free slot the start waits and its grace begins with the slot. A job without a readable schedule has one
expected run at a time, from its learned cadence; its evidence is never its source's own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from connectors.sdk.records import Schedule, instant_key
from connectors.sdk.states import RunEvidence, RunState
from console.control.snapshot.holds import NO_HOLDS, JobHolds
from console.control.snapshot.incremental import EvaluationMemo, JobMemo
from console.control.snapshot.pools import has_slot, pool_of, pools_of, slot_text
from console.control.snapshot.reachability import is_out_of_reach
from console.control.snapshot.runs import NEVER, has_no_clock, has_started
from console.domain.decision import ExpectedRun
from console.domain.estate import Estate, JobFacts, RunFacts, TargetFacts, runs_by_job
from console.domain.history import RunHistory
from console.domain.settings import JobPool
from console.text.cleaning import clean_line
from console.timing.business_dates import business_date_of
from console.timing.calendars import is_start_expected
from console.timing.durations import format_duration
from console.timing.formats import zoned_time
from console.timing.maintenance import maintenance_of_job, starts_later
from console.timing.schedule import Cadence, instants, last_instant, learn_cadence, next_instant

LATEST, FEWEST = 20, 5
"""Starts that are looked at, and how many there must be."""
STEP = timedelta(minutes=5)
"""In which `awaited_for` counts what is usual."""


@dataclass(frozen=True, slots=True)
class GraceEnd:
    """From when on a start that did not come is missed, and what puts that off, in words; empty without anything."""

    at: datetime
    words: str = ""
    leans: bool = False
    """The next look at its source may put it off further."""


def grace_end(estate: Estate, job: JobFacts, due: datetime, business_date: date) -> GraceEnd:
    """Of the job's start that is due then. In maintenance its grace begins with the end of that."""
    slow = _usually_later(estate.history.get(job.id), job.grace)
    plain = due + job.grace + slow
    words = f"usually starts {format_duration(slow.total_seconds())} later" if slow else ""
    if not (estate.declared.maintenance or estate.declared.exceptions):
        return GraceEnd(plain, words)
    later, why = starts_later(estate.declared, job.name, business_date)
    at = plain + later
    words = f"may start {format_duration(later.total_seconds())} later: {why}" if later else words
    for moment in (due, at):
        quiet = maintenance_of_job(estate, job, moment)
        if quiet is not None and quiet.until + job.grace > at:
            at, words = quiet.until + job.grace, quiet.text(job.zone)
    return GraceEnd(at, words)


def usual_grace(estate: Estate, job: JobFacts) -> timedelta:
    """How long its starts are waited for, without what is planned: in whole steps of time, so that many jobs are alike
    in it."""
    slow = _usually_later(estate.history.get(job.id), job.grace)
    return job.grace + -(-slow // STEP) * STEP


def _usually_later(history: RunHistory | None, grace: timedelta) -> timedelta:
    """By how much, in the middle of its latest starts (one that waits for a slot each night); nothing where that is
    well within its grace."""
    known = sorted(delay for delay in history.delays[:LATEST] if delay >= 0) if history is not None else []
    if len(known) < FEWEST:
        return timedelta(0)
    usual = timedelta(seconds=round(known[(len(known) - 1) // 2]))
    return usual if usual > grace / 2 else timedelta(0)


SOONEST = timedelta(seconds=1)
"""After which a start without a grace is looked at again while no slot is free: always ahead of now."""
_Span = tuple[datetime, datetime | None, str]
"""From when to when a job had a slot; None: still has it."""


@dataclass(frozen=True, slots=True)
class _Used:
    """Who had slots of one pool, and when."""

    spans: Sequence[_Span]
    starts: Sequence[datetime]
    """Ascending."""
    ended: Sequence[tuple[datetime, datetime]]
    """Ends that are over, ascending, each with its start."""
    ends: Sequence[datetime]
    """The same without their starts."""

    @staticmethod
    def of(spans: Sequence[_Span]) -> _Used:
        ended = sorted((end, start) for start, end, _ in spans if end is not None)
        return _Used(spans, sorted(start for start, _, _ in spans), ended, [end for end, _ in ended])

    def slots_at(self, at: datetime) -> int:
        """How many were taken."""
        return bisect_right(self.starts, at) - bisect_right(self.ends, at)

    def freed_after(self, at: datetime) -> datetime | None:
        """When the first of those that were taken then was free; None while all of them are taken."""
        later = range(bisect_right(self.ends, at), len(self.ended))
        return next((self.ended[place][0] for place in later if self.ended[place][1] <= at), None)

    def names_at(self, at: datetime) -> list[str]:
        """Of the jobs that had them, one for each."""
        return [name for start, end, name in self.spans if start <= at and (end is None or end > at)]


@dataclass(slots=True)
class FullPools:
    """What one evaluation knows of the pools; read when it is first asked."""

    estate: Estate
    runs: Mapping[int, Sequence[RunFacts]]
    """Of the estate, by job."""
    now: datetime
    _members: dict[str, list[int]] | None = None
    _used: dict[str, _Used] = field(default_factory=dict)
    """By pool."""
    _put_off: dict[tuple[JobPool, datetime, timedelta, str], GraceEnd | None] = field(default_factory=dict)
    """What is due at one moment, with one grace, waits alike; told in a zone."""

    def put_off(self, job: JobFacts, over: GraceEnd) -> GraceEnd:
        """Until its grace is over at a moment at which its pool had a slot to give."""
        pool = pool_of(self.estate.declared, job) if over.at <= self.now else None
        if pool is None:
            return over
        key = pool, over.at, job.grace, job.zone
        if key not in self._put_off:
            self._put_off[key] = self._waits(*key)
        return self._put_off[key] or over

    def _waits(self, pool: JobPool, at: datetime, grace: timedelta, zone: str) -> GraceEnd | None:
        """None where the pool had a slot to give then."""
        used, full, free = self._used_of(pool), None, None
        while at <= self.now and used.slots_at(at) >= pool.slots:
            full, freed = at, used.freed_after(at)
            free = freed if freed is not None and freed <= self.now else None
            at = self.now + max(grace, SOONEST) if free is None else free + grace
        if full is None:
            return None
        if free is not None:
            return GraceEnd(
                at, f"{clean_line(pool.name)} had a free slot at {zoned_time(free, zone, self.now)}", leans=True
            )
        return GraceEnd(at, f"waits for {slot_text(pool, used.names_at(full))}", leans=True)

    def _used_of(self, pool: JobPool) -> _Used:
        if pool.name not in self._used:
            self._used[pool.name] = _Used.of(list(self._spans(pool)))
        return self._used[pool.name]

    def _spans(self, pool: JobPool) -> Iterator[_Span]:
        jobs, beside = self.estate.jobs, self.estate.beside
        if self._members is None:
            others = {job_id: job for job_id, (job, _) in beside.items()}
            self._members = pools_of(self.estate.declared, {**jobs, **others} if others else jobs)
        for job_id in sorted(self._members.get(pool.name, ())):
            job, runs = (jobs[job_id], self.runs.get(job_id, ())) if job_id in jobs else beside[job_id]
            for run in runs:
                yield from _spans_of(run, clean_line(job.name))


def _spans_of(run: RunFacts, name: str) -> Iterator[_Span]:
    """Of its first attempt and of its latest: of those between nobody knows when they began."""
    if run.started_at is None:
        return
    if run.first_started_at is not None and run.first_started_at < run.started_at and run.ends:
        yield run.first_started_at, max(run.first_started_at, min(run.ends[0][0], run.started_at)), name
    yield run.started_at, None if has_slot(run) else max(run.ended_at or run.started_at, run.started_at), name


_SETTLES = timedelta(minutes=5)
"""After it even a source that proves no absence (AWS lists what it started a little later) has told of a start."""
_TRIES = 14
"""Starts ahead that are looked at for one that the job's calendar has."""


def cadence_of(estate: Estate, job: JobFacts) -> Cadence | None:
    """What was learned of the job; None where its schedule can be read, or there is too little to learn from."""
    history = estate.history.get(job.id)
    if job.schedule.dialect != "none" or job.parent_id is not None or history is None:
        return None
    return learn_cadence(history.at, job.zone)


@dataclass(frozen=True, slots=True)
class LearnedRun:
    """The run that is expected next, planned or missed, and when it is given up."""

    run: ExpectedRun
    until: datetime


def next_learned_run(
    estate: Estate, job: JobFacts, existing: Mapping[str, RunFacts], now: datetime
) -> LearnedRun | None:
    """What is expected of a job without a schedule; None where nothing is sure, and for every other job."""
    if job.schedule.dialect != "none" or job.gone_since is not None or job.paused_since is not None:
        return None
    cadence = cadence_of(estate, job)
    if cadence is None or not cadence.is_sure:
        return None
    last = _last_start(estate, job, existing.values())
    due = _next_due(estate, job, cadence, last)
    if due is None or due < now - estate.settings.lookback:
        return None
    business_date = business_date_of(due, None, job.zone, job.cutoff)
    over = grace_end(estate, job, due, business_date)
    until = over.at + max(cadence.tolerance - job.grace, timedelta(0))
    seen = _seen_until(estate.targets.get(job.target_id))
    is_missed = until <= now and seen is not None and seen >= until
    reason = "; ".join(filter(None, (cadence.text, over.words)))
    state = RunState.MISSED if is_missed else RunState.PLANNED
    told = f"usually {reason}" if not is_missed else f"no run by what is usual: {reason}"
    return LearnedRun(
        ExpectedRun(job.id, instant_key(due), due, business_date, state, RunEvidence.INFERRED, told), until
    )


def _seen_until(target: TargetFacts | None) -> datetime | None:
    """Until when its starts would be known. Where the source proves nothing of that, a while before the last look: a
    cadence is inferred as well."""
    if target is None or target.last_ok_at is None:
        return None
    return target.seen_until or target.last_ok_at - _SETTLES


def _last_start(estate: Estate, job: JobFacts, runs: Iterable[RunFacts]) -> datetime:
    """Of any run, however it ended."""
    past = [datetime.fromtimestamp(estate.history[job.id].at[0], UTC)]
    return max([*past, *(run.first_started_at for run in runs if run.first_started_at is not None)])


def _next_due(estate: Estate, job: JobFacts, cadence: Cadence, last: datetime) -> datetime | None:
    calendar, at = estate.declared.calendar(job.calendar), last
    for _ in range(_TRIES):
        at = cadence.next_after(at)
        if is_start_expected(calendar, at, business_date_of(at, None, job.zone, job.cutoff)):
            return at.replace(second=0, microsecond=0)
    return None


AHEAD = 6
FREQUENT_AHEAD = 2
_FREQUENT_WITHIN = timedelta(hours=2)
_TICK = timedelta(microseconds=1)
_NO_START = {"cron": "nothing in the log", "replay": "nothing in the log", "heartbeat": "no report"}
"""What is missing of a job by a crontab's clock, where no row of a run tells its start: kind of system -> words."""


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
    business_date: date


@dataclass(frozen=True, slots=True)
class _Table:
    """What one schedule demands around now: in order; jobs share schedules."""

    dues: tuple[_Due, ...]
    frequent: bool
    until: datetime
    """When the time alone makes another one of it."""


_Shared = tuple[Schedule, str, time, str, timedelta]
"""What jobs have in common that share a table: schedule, zone, cutoff, calendar, how long their starts are awaited."""


def expect_runs(estate: Estate, now: datetime, memo: EvaluationMemo | None = None) -> Expectations:
    """For every job with an accepted schedule, and for those whose cadence is sure, in the order of the jobs."""
    memo = memo if memo is not None else EvaluationMemo()
    memo.begin(estate, now)
    runs = runs_by_job(estate.runs)
    demand = _Demand(estate, now, runs)
    demanded: list[ExpectedRun] = []
    withdrawn: list[int] = []
    judged_at: list[datetime] = []
    for job in estate.jobs.values():
        own = runs.get(job.id, ())
        entry, is_valid = memo.entry_for(job, own, estate.history.get(job.id))
        if not is_valid and not _has_no_expectations(estate, job, own):
            demand.fill(entry, {run.period_key: run for run in own}, memo)
        demanded += entry.expected
        withdrawn += entry.withdrawn
        if entry.next_at is not None:
            judged_at.append(entry.next_at)
    return Expectations(tuple(demanded), tuple(withdrawn), min(judged_at, default=None))


class _Demand:
    """What one evaluation asks of each job: the schedules that jobs share are laid out once."""

    def __init__(self, estate: Estate, now: datetime, runs: Mapping[int, Sequence[RunFacts]]) -> None:
        self._estate = estate
        self._now = now
        self._tables: dict[_Shared, _Table] = {}
        self._held = JobHolds.by_job(estate, now)
        self._pools = FullPools(estate, runs, now)
        self._fed = {each.downstream_id for each in estate.dependencies} if estate.history else set()

    def fill(self, entry: JobMemo, existing: Mapping[str, RunFacts], memo: EvaluationMemo) -> None:
        """Sets the expected runs of the entry's job, and until when they are valid."""
        estate, now, job = self._estate, self._now, entry.job
        target, ours = estate.targets.get(job.target_id), self._held.get(job.id, NO_HOLDS)
        known = [run.period_at for run in existing.values() if run.period_at is not None and not has_started(run)]
        entry.expire_at(known, now)
        if ours is NO_HOLDS and job.id not in self._fed and (usual := next_learned_run(estate, job, existing, now)):
            known_run = existing.get(usual.run.period_key)
            entry.expected = (usual.run,) if _reads_otherwise(usual.run, known_run) else ()
            entry.withdrawn = tuple(_withdrawn(existing.values(), {usual.run.period_key}))
            entry.next_at = usual.until if usual.until > now else None
            entry.expire_at((usual.until, usual.run.period_at + estate.settings.lookback + _TICK), now)
            if usual.until <= now:
                memo.depends_on_poll(entry)
            return
        table = self._table(job)
        dues = _dues(estate, job, existing, now, table, ours)
        over = [self._given_up(job, due) for due in dues]
        said = (
            _held_verdict(job, due, told) or _verdict(estate, ours.as_ours(job), due, put_off, target, now, ours)
            for due, put_off in zip(dues, over, strict=True)
            for told in [ours.of(due.at, due.key, now)]
        )
        entry.expected = tuple(each for each in said if _reads_otherwise(each, existing.get(each.period_key)))
        entry.withdrawn = tuple(_withdrawn(existing.values(), {due.key for due in dues}))
        poll = target.poll_every if target is not None else timedelta(0)
        entry.next_at = min((each.at + poll for each in over if each.at + poll > now), default=None)
        entry.expire_at(
            [*(at for each in over for at in (each.at, each.at + poll)), *(due.at for due in dues),
             *((table.until,) if table else ())], now
        )  # fmt: skip
        if any(each.at <= now or each.leans for each in over):
            memo.depends_on_poll(entry)

    def _table(self, job: JobFacts) -> _Table | None:
        """None where nothing is expected of it."""
        if has_no_clock(job):
            return None
        awaited = usual_grace(self._estate, job)
        shared = (job.schedule, job.zone, job.cutoff, job.calendar, awaited)
        if shared not in self._tables:
            self._tables[shared] = _table(job, awaited, self._now, self._estate)
        return self._tables[shared]

    def _given_up(self, job: JobFacts, due: _Due) -> GraceEnd:
        """As `given_up`; what waits for a slot then has its grace from when there is one."""
        return self._pools.put_off(job, grace_end(self._estate, job, due.at, due.business_date))


def _has_no_expectations(estate: Estate, job: JobFacts, runs: Sequence[RunFacts]) -> bool:
    """True for what nobody expects, nor ever did: tasks, and jobs that others start; most of an estate."""
    is_unknown = job.parent_id is not None or job.id not in estate.history
    return is_unknown and all(run.attempt > 0 for run in runs) and has_no_clock(job)


def _dues(
    estate: Estate,
    job: JobFacts,
    existing: Mapping[str, RunFacts],
    now: datetime,
    table: _Table | None,
    ours: JobHolds,
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
    counts = is_start_expected(estate.declared.calendar(job.calendar), due.at, due.business_date)
    return counts and (job.schedule.next_at is not None or last_instant(job.schedule, due.at) == due.at)


def _is_open(run: RunFacts | None) -> bool:
    return run is None or not (has_started(run) or run.state is RunState.MISSED)


def _standing(existing: Iterable[RunFacts], now: datetime) -> Iterator[_Due]:
    """What was demanded and has come due stays so, though the source may name another next run by now."""
    for run in existing:
        if not has_started(run) and run.period_at is not None and run.period_at <= now:
            yield _Due(run.period_at, run.period_key, run.business_date)


def _table(job: JobFacts, awaited: timedelta, now: datetime, estate: Estate) -> _Table:
    settings, calendar = estate.settings, estate.declared.calendar(job.calendar)
    soon = instants(job.schedule, now, now + _FREQUENT_WITHIN)
    frequent = len(soon) > _FREQUENT_WITHIN / timedelta(hours=1)
    if frequent:
        behind, ahead = awaited + timedelta(minutes=5) + (soon[1] - soon[0]), soon[:FREQUENT_AHEAD]
    else:
        behind, ahead = settings.lookback, instants(job.schedule, now, now + settings.horizon)[:AHEAD]
    past = instants(job.schedule, now - behind, now)
    dues = (_Due(at, instant_key(at), business_date_of(at, None, job.zone, job.cutoff)) for at in (*past, *ahead))
    turns = [at + behind for at in past[:1]]
    turns += [soon[0]] if soon else ahead[:1]
    within = (_FREQUENT_WITHIN,) if len(ahead) == AHEAD else (_FREQUENT_WITHIN, settings.horizon)
    entering = ((next_instant(job.schedule, now + each), each) for each in within)
    turns += [at - each for at, each in entering if at is not None]
    return _Table(
        tuple(due for due in dues if is_start_expected(calendar, due.at, due.business_date)),
        frequent,
        min(turns, default=NEVER),
    )


def _withdrawn(existing: Iterable[RunFacts], demanded: set[str]) -> list[int]:
    return [
        run.id
        for run in existing
        if run.id and not has_started(run) and run.state is not RunState.MISSED and run.period_key not in demanded
    ]


def _verdict(
    estate: Estate,
    job: JobFacts,
    due: _Due,
    put_off: GraceEnd,
    target: TargetFacts | None,
    now: datetime,
    ours: JobHolds,
) -> ExpectedRun:
    state, evidence, reason = RunState.PLANNED, RunEvidence.INFERRED, put_off.words
    seen_until = target.seen_until if target is not None else None
    if put_off.at <= now and seen_until is not None and seen_until >= put_off.at:
        why = f"; {put_off.words}" if put_off.words else ""
        missed = _missed_words(job, put_off.at, ours.overdue, due.at)
        state, reason = RunState.MISSED, f"{missed}{why}{ours.why_missed(due.key)}"
        lost = target.lost if target is not None else None
        if lost is not None and lost[0] <= put_off.at and due.at <= lost[1] and job.gone_since is None:
            state, evidence, reason = RunState.PLANNED, RunEvidence.STALE, _lost_words(job, lost, due.at)
    elif job.paused_since is not None and job.paused_since <= put_off.at:
        state, reason = RunState.HELD, ours.overdue or _since("paused", job.paused_since, job, due.at)
    elif due.at <= now and is_out_of_reach(target, now, estate.settings):
        evidence, reason = RunEvidence.STALE, _unseen_words(job, target, due.at, now)
    return ExpectedRun(job.id, due.key, due.at, due.business_date, state, evidence, reason)


def _held_verdict(job: JobFacts, due: _Due, told: tuple[RunState, str] | None) -> ExpectedRun | None:
    """What a hold of ours makes of it; None where it makes nothing."""
    if told is None:
        return None
    state, reason = told
    return ExpectedRun(job.id, due.key, due.at, due.business_date, state, RunEvidence.INFERRED, reason)


def _missed_words(job: JobFacts, given_up: datetime, overdue: str, near: datetime) -> str:
    """`overdue`: the hold of ours that keeps it back still; its pause is nobody else's."""
    if job.gone_since is not None and job.gone_since <= given_up:
        return _since(job.drift_reason or "gone from its source", job.gone_since, job, given_up)
    if job.paused_since is not None and job.paused_since <= given_up:
        return overdue or _since("paused", job.paused_since, job, given_up)
    by_crontab = job.schedule.dialect in ("debian-cron", "cronie", "busybox")
    where = _NO_START.get(job.kind, "no run") if by_crontab else "no run"
    drift = f"; {job.drift_reason}" if job.drift_reason else ""
    return f"{where} by {zoned_time(given_up, job.zone, near)}{drift}{f'; {overdue}' if overdue else ''}"


def _lost_words(job: JobFacts, lost: tuple[datetime, datetime], near: datetime) -> str:
    return f"evidence is lost until {zoned_time(lost[1], job.zone, near)}: nobody can tell whether it started"


def _since(what: str, since: datetime, job: JobFacts, near: datetime) -> str:
    return f"{what} since {zoned_time(since, job.zone, near)}"


def _unseen_words(job: JobFacts, target: TargetFacts | None, near: datetime, now: datetime) -> str:
    if target is None or target.last_ok_at is None:
        return "its target has never answered"
    pause = target.paused(now)
    paused = f"; {pause.text}" if pause is not None else ""
    return f"{target.system}/{target.name} not seen since {zoned_time(target.last_ok_at, job.zone, near)}{paused}"


def _reads_otherwise(run: ExpectedRun, known: RunFacts | None) -> bool:
    return known is None or (known.state, known.evidence, known.reason) != (run.state, run.evidence, run.reason)
