"""Expected runs: the starts that accepted schedules demand and that have not come.

They are PLANNED, HELD, MISSED or unreachable; SKIPPED, if a job was held or ran over several instants and the start
after it replaces all of them.

Range: back to the beginning of the lookback, or to where the schedule was accepted; ahead to the horizon, at most
AHEAD runs. For a job that runs more often than hourly only the part that can still be judged (its grace, a few polls
and one period back) and the next FREQUENT_AHEAD. A schedule of seconds is not expanded, because its starts drift.

Grace: how long a due start is waited for, the delay that its schedule allows or its latest starts had (at most until
the next start is due), planned delays and maintenance. If its pool has no free slot the start waits and its grace
begins with the slot; where its scheduler queues it behind the job's own run, with the end of that. A job without a
readable schedule has one expected run at a time, from its learned cadence; its evidence is never its source's own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta

from connectors.sdk.records import Schedule, instant_key
from connectors.sdk.states import PeriodKind, RunEvidence, RunState
from console.control.snapshot.deadlines import clock_start
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.holds import NO_HOLDS, JobHolds
from console.control.snapshot.incremental import EvaluationMemo, JobMemo
from console.control.snapshot.pools import has_slot, pool_of, pools_of, slot_text
from console.control.snapshot.reachability import is_out_of_reach, outage_during
from console.control.snapshot.runs import NEVER, has_no_clock, has_started, is_under_way, run_time
from console.domain.decision import ExpectedRun
from console.domain.estate import Estate, JobFacts, RunFacts, TargetFacts, runs_by_job
from console.domain.finding import TOO_LONG_FACTOR, TOO_LONG_FLOOR
from console.domain.history import NO_HISTORY
from console.domain.settings import JobPool
from console.domain.text import At, Text, joined
from console.text.cleaning import clean_line
from console.timing.business_dates import business_date_of, period_name_at, start_window
from console.timing.calendars import is_start_expected
from console.timing.dialects import StartQueue
from console.timing.durations import TICK, format_duration
from console.timing.maintenance import maintenance_of_job, starts_later
from console.timing.schedule import (
    Cadence,
    instants,
    last_instant,
    learn_cadence,
    next_instant,
    seen_instant,
    start_queue,
)

LATEST, FEWEST = 20, 5
"""Starts that are considered, and how many there must be for a usual delay."""
ODD = 4
"""A delay of more than so many times the next longest one does not count."""
STEP = timedelta(minutes=5)
"""Step of `usual_grace`."""


@dataclass(frozen=True, slots=True)
class GraceEnd:
    """When a start that did not come is missed, and the reason for a delay, if any."""

    at: datetime
    text: Text = ()
    leans: bool = False
    """True if the next poll may delay it further."""


def grace_end(
    estate: Estate, job: JobFacts, due: datetime, business_date: date, runs: Iterable[RunFacts] = ()
) -> GraceEnd:
    """For the job's start that is due then. In maintenance its grace begins with the end of that; a target whose clock
    is behind starts it by that clock, as much later; a schedule that changed and is not accepted, then by that one.
    `runs`: of the job, for a start that has come due; its scheduler may queue it behind the last one."""
    target = estate.targets.get(job.target_id)
    behind = target.behind if target is not None else timedelta(0)
    latest = _latest_delay(estate, job, behind)
    if latest > job.schedule.window:
        latest = max(job.schedule.window, min(latest, start_window(job.schedule, due)))
    moved = seen_instant(job.schedule, job.seen_schedule, due) or due
    turn = _turn(estate, job, due, business_date, runs)
    plain = max(due + latest, moved, turn.at if turn is not None else due) + job.grace + behind
    usual_text = _delay_text(estate, job, latest, behind)
    if (starts := clock_start(job, due)) > due + latest:
        usual_text = "starts ", At(starts), " by its changed schedule"
    elif turn is not None:
        usual_text = turn.text
    clock_text: Text = (f"its clock is {format_duration(behind)} behind",) if behind else ()
    text = joined(filter(None, (usual_text, clock_text)), "; ")
    if not (estate.declared.maintenance or estate.declared.exceptions):
        return GraceEnd(plain, text)
    later, why = starts_later(estate.declared, job.name, business_date)
    at = plain + later
    text = (f"may start {format_duration(later)} later: {why}",) if later else text
    for moment in (due, at):
        quiet = maintenance_of_job(estate, job, moment)
        if quiet is not None and quiet.until + job.grace > at:
            at, text = quiet.until + job.grace, quiet.text
    return GraceEnd(at, text)


@dataclass(frozen=True, slots=True)
class _Turn:
    """When the grace of a queued start begins at the earliest, and the run that it waits for."""

    at: datetime
    text: Text


def _turn(estate: Estate, job: JobFacts, due: datetime, business_date: date, runs: Iterable[RunFacts]) -> _Turn | None:
    """After the job's run before it, if its scheduler queues starts behind that. At the latest when the run takes too
    long by the longest of its past ones; at once for a start of another business date."""
    last = _open_run(due, runs)
    if start_queue(job.schedule) is StartQueue.NONE or last is None:
        return None
    ended = None if is_under_way(last) else last.ended_at
    until, takes = due, estate.history.get(job.id, NO_HISTORY).takes
    if last.business_date == business_date and last.started_at is not None:
        longest = max(takes, default=job.expected.total_seconds() if job.expected is not None else 0.0)
        too_long = timedelta(seconds=max(longest * TOO_LONG_FACTOR, longest + TOO_LONG_FLOOR))
        until = max(due, min(ended or NEVER, last.started_at + too_long))
    is_over: Text = (" is open",) if ended is None else (" ended at ", At(ended))
    return _Turn(until, ("its run of ", At(run_time(last)), *is_over))


def _open_run(due: datetime, runs: Iterable[RunFacts]) -> RunFacts | None:
    """The last run before a start that is due then, if that was still open, as its source proves."""
    last = max((run for run in runs if run.started_at is not None and run_time(run) < due), key=run_time, default=None)
    if last is None or last.evidence is not RunEvidence.NATIVE:
        return None
    is_open = is_under_way(last) or (last.ended_at is not None and last.ended_at > due)
    return last if is_open else None


def _replacing(job: JobFacts, due: datetime, runs: Iterable[RunFacts]) -> RunFacts | None:
    """The run that its scheduler started for this start and later ones, which came due during one run."""
    before = _open_run(due, runs) if start_queue(job.schedule) is StartQueue.ONE else None
    if before is None or before.ended_at is None:
        return None
    after = min((run for run in runs if run.started_at is not None and run_time(run) > due), key=run_time, default=None)
    return after if after is not None and run_time(after) <= before.ended_at else None


def usual_grace(estate: Estate, job: JobFacts) -> timedelta:
    """Grace and latest delay of its starts, without planned delays: in whole steps, so that many jobs share a value."""
    return job.grace + -(-_latest_delay(estate, job) // STEP) * STEP


def _known_delays(estate: Estate, job: JobFacts) -> list[float]:
    """Of its latest starts, in seconds, the shortest first; without a single one of another order: a missed start that
    a person made up for, or one blocked night. A start that was queued behind the run before had no delay (`_turn`)."""
    past = estate.history.get(job.id, NO_HISTORY)
    queued = [0] * LATEST
    if start_queue(job.schedule) is not StartQueue.NONE:
        queued = [max(ended - at, 0) for at, ended in zip(past.at, (*past.ended[1 : LATEST + 1], 0), strict=False)]
    delays = sorted(max(delay - wait, 0) for delay, wait in zip(past.delays, queued, strict=False) if delay >= 0)
    return delays[:-1] if len(delays) >= FEWEST and delays[-1] > ODD * delays[-2] else delays


def _latest_delay(estate: Estate, job: JobFacts, behind: timedelta = timedelta(0)) -> timedelta:
    """How much later than due a start is not late: by its schedule, or by its latest starts (a job may wait for a slot
    each night), less the lag of its clock, which every delay contains; zero if well within its grace. Of n delays the
    longest and an n-th of it: so long is the longest possible one estimated to be."""
    delays = _known_delays(estate, job)
    longest = max(timedelta(seconds=round(max(delays, default=0))) - behind, timedelta(0))
    latest = max(job.schedule.window, longest * (1 + 1 / max(len(delays), 1)))
    return latest if latest > job.grace / 2 else timedelta(0)


def _delay_text(estate: Estate, job: JobFacts, latest: timedelta, behind: timedelta) -> Text:
    if not latest:
        return ()
    known = _known_delays(estate, job)
    usual = timedelta(seconds=round(known[(len(known) - 1) // 2])) - behind if len(known) >= FEWEST else timedelta(0)
    if usual <= job.grace / 2:
        return (f"starts up to {format_duration(latest)} later",)
    at_most = f", at most {format_duration(latest)}" if latest > usual + job.grace else ""
    return (f"usually starts {format_duration(usual)} later{at_most}",)


SOONEST = timedelta(seconds=1)
"""Next evaluation of a start without a grace while no slot is free: always ahead of now."""
_Span = tuple[datetime, datetime | None, str]
"""When a job had a slot; None: it still has it."""


@dataclass(frozen=True, slots=True)
class _Used:
    """Slots of one pool that were taken, and when."""

    spans: Sequence[_Span]
    starts: Sequence[datetime]
    """Ascending."""
    ended: Sequence[tuple[datetime, datetime]]
    """Ends, ascending, each with its start."""
    ends: Sequence[datetime]
    """The same without their starts."""

    @staticmethod
    def of(spans: Sequence[_Span]) -> _Used:
        ended = sorted((end, start) for start, end, _ in spans if end is not None)
        return _Used(spans, sorted(start for start, _, _ in spans), ended, [end for end, _ in ended])


@dataclass(slots=True)
class FullPools:
    """Pools in one evaluation; read on first use."""

    estate: Estate
    runs: Mapping[int, Sequence[RunFacts]]
    """Of the estate, by job."""
    now: datetime
    _members: dict[str, list[int]] | None = None
    _used: dict[str, _Used] = field(default_factory=dict)
    """By pool."""
    _put_off: dict[tuple[JobPool, datetime, timedelta], GraceEnd | None] = field(default_factory=dict)
    """Starts due at one moment with one grace wait equally."""

    def put_off(self, job: JobFacts, end: GraceEnd) -> GraceEnd:
        """Until its grace ends at a moment with a free slot in its pool."""
        pool = pool_of(self.estate.declared, job) if end.at <= self.now else None
        if pool is None:
            return end
        key = pool, end.at, job.grace
        if key not in self._put_off:
            self._put_off[key] = self._waits(*key)
        return self._put_off[key] or end

    def _waits(self, pool: JobPool, at: datetime, grace: timedelta) -> GraceEnd | None:
        if pool.name not in self._used:
            self._used[pool.name] = _Used.of(list(self._spans(pool)))
        used = self._used[pool.name]
        full, free = None, None
        while at <= self.now and bisect_right(used.starts, at) - bisect_right(used.ends, at) >= pool.slots:
            later = range(bisect_right(used.ends, at), len(used.ended))
            full, freed = at, next((used.ended[place][0] for place in later if used.ended[place][1] <= at), None)
            free = freed if freed is not None and freed <= self.now else None
            at = self.now + max(grace, SOONEST) if free is None else free + grace
        if full is None:
            return None
        if free is not None:
            return GraceEnd(at, (f"{clean_line(pool.name)} had a free slot at ", At(free)), leans=True)
        holders = [name for start, end, name in used.spans if start <= full and (end is None or end > full)]
        return GraceEnd(at, (f"waits for {slot_text(pool, holders)}",), leans=True)

    def _spans(self, pool: JobPool) -> Iterator[_Span]:
        jobs, beside = self.estate.jobs, self.estate.beside
        if self._members is None:
            other_jobs = {job_id: job for job_id, (job, _) in beside.items()}
            self._members = pools_of(self.estate.declared, {**jobs, **other_jobs} if other_jobs else jobs)
        for job_id in sorted(self._members.get(pool.name, ())):
            job, runs = (jobs[job_id], self.runs.get(job_id, ())) if job_id in jobs else beside[job_id]
            for run in runs:
                name = clean_line(job.name)
                if run.started_at is not None:
                    if run.first_started_at is not None and run.first_started_at < run.started_at and run.ends:
                        yield run.first_started_at, max(run.first_started_at, min(run.ends[0][0], run.started_at)), name
                    ended = None if has_slot(run) else max(run.ended_at or run.started_at, run.started_at)
                    yield run.started_at, ended, name


_SETTLES = timedelta(minutes=5)
"""After it even a source that proves no absence (AWS lists starts a little later) has reported a start."""
_TRIES = 14
"""Starts ahead that are tested against the job's calendar."""


def cadence_of(estate: Estate, job: JobFacts) -> Cadence | None:
    """Learned cadence of the job; None if its schedule can be read, or there is too little history."""
    history = estate.history.get(job.id)
    if job.schedule.dialect != "none" or job.parent_id is not None or history is None:
        return None
    return learn_cadence(history.at, job.zone)


@dataclass(frozen=True, slots=True)
class LearnedRun:
    """The next expected run, planned or missed, and the end of its grace."""

    run: ExpectedRun
    until: datetime


def next_learned_run(
    estate: Estate, job: JobFacts, existing: Mapping[str, RunFacts], now: datetime
) -> LearnedRun | None:
    """Expected run of a job without a schedule; None if none is certain, and for every other job."""
    if job.schedule.dialect != "none" or job.gone_since is not None or job.paused_since is not None:
        return None
    cadence = cadence_of(estate, job)
    if cadence is None or not cadence.is_sure:
        return None
    begun = [run.first_started_at for run in existing.values() if run.first_started_at is not None]
    last = max([datetime.fromtimestamp(estate.history[job.id].at[0], UTC), *begun])
    due = _next_due(estate, job, cadence, last)
    if due is None or due < now - estate.settings.lookback:
        return None
    business_date = business_date_of(due, None, job.zone, job.cutoff)
    grace = grace_end(estate, job, due, business_date)
    until = grace.at + max(cadence.tolerance - job.grace, timedelta(0))
    target = estate.targets.get(job.target_id)
    seen = None if target is None or target.last_ok_at is None else target.seen_until or target.last_ok_at - _SETTLES
    is_missed = until <= now and seen is not None and seen >= until
    usual = joined(filter(None, ((cadence.text,), grace.text)), "; ")
    state = RunState.MISSED if is_missed else RunState.PLANNED
    text = "no run by what is usual: " if is_missed else "usually ", *usual
    run = ExpectedRun(job.id, instant_key(due), due, business_date, state, RunEvidence.INFERRED, text)
    return LearnedRun(run, until)


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
_NO_START = {"cron": "no start in the log", "replay": "no start in the log", "heartbeat": "no report"}
"""Text for a missing start by kind of system, for jobs with crontab schedules."""


@dataclass(frozen=True, slots=True)
class Expectations:
    """New or changed expected runs, withdrawn ones, and when time alone may change one."""

    runs: tuple[ExpectedRun, ...]
    withdrawn: tuple[int, ...]
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Due:
    at: datetime
    key: str
    business_date: date
    period_kind: PeriodKind = PeriodKind.INSTANT
    period_name: str = ""


@dataclass(frozen=True, slots=True)
class _Table:
    """Starts that one schedule demands around now, in order; jobs share schedules."""

    dues: tuple[_Due, ...]
    until: datetime
    """When time alone changes it."""


_Shared = tuple[Schedule, str, time, str, timedelta]
"""Key of a table: schedule, zone, cutoff, calendar, grace."""


def expect_runs(estate: Estate, now: datetime, memo: EvaluationMemo | None = None) -> Expectations:
    """For every job with an accepted schedule or a certain cadence, in the order of the jobs."""
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


def index_with_expected(estate: Estate, now: datetime) -> EstateIndex:
    """The estate as an evaluation sees it then: indexed, with its expected runs."""
    due = expect_runs(estate, now)
    return EstateIndex(estate, now, due.runs, due.withdrawn)


class _Demand:
    """Demand of one evaluation: shared schedules are expanded once."""

    def __init__(self, estate: Estate, now: datetime, runs: Mapping[int, Sequence[RunFacts]]) -> None:
        self._estate = estate
        self._now = now
        self._tables: dict[_Shared, _Table] = {}
        self._held = JobHolds.by_job(estate, now)
        self._pools = FullPools(estate, runs, now)
        self._fed = {edge.downstream_id for edge in estate.dependencies} if estate.history else set()

    def fill(self, entry: JobMemo, existing: Mapping[str, RunFacts], memo: EvaluationMemo) -> None:
        """Sets the expected runs of the entry's job, and until when they are valid."""
        estate, now, job = self._estate, self._now, entry.job
        target, ours = estate.targets.get(job.target_id), self._held.get(job.id, NO_HOLDS)
        ahead = target.ahead if target is not None else timedelta(0)
        known = [run.period_at for run in existing.values() if run.period_at is not None and not has_started(run)]
        entry.expire_at((at - ahead for at in known), now)
        if ours is NO_HOLDS and job.id not in self._fed and (usual := next_learned_run(estate, job, existing, now)):
            known_run = existing.get(usual.run.period_key)
            entry.expected = (usual.run,) if _reads_otherwise(usual.run, known_run) else ()
            entry.withdrawn = tuple(_withdrawn(existing.values(), {usual.run.period_key}))
            entry.next_at = usual.until if usual.until > now else None
            entry.expire_at((usual.until, usual.run.period_at + estate.settings.lookback + TICK), now)
            if usual.until <= now:
                memo.depends_on_poll(entry, (usual.until, usual.until + _SETTLES))
            return
        table = self._table(job)
        dues = _dues(estate, job, existing, now + ahead, table, ours)
        grace_ends = [self._grace_end(job, due, existing.values()) for due in dues]
        verdicts = (
            _held_verdict(job, due, held)
            or _replaced_verdict(job, due, existing.values())
            or _verdict(estate, ours.as_ours(job), due, put_off, _as_proved(target, existing.get(due.key)), now, ours)
            for due, put_off in zip(dues, grace_ends, strict=True)
            for held in [ours.of(due.at, due.key, now)]
        )
        entry.expected = tuple(run for run in verdicts if _reads_otherwise(run, existing.get(run.period_key)))
        entry.withdrawn = tuple(_withdrawn(existing.values(), {due.key for due in dues}))
        poll = target.poll_every if target is not None else timedelta(0)
        entry.next_at = min((end.at + poll for end in grace_ends if end.at + poll > now), default=None)
        entry.expire_at(
            [*(at for end in grace_ends for at in (end.at, end.at + poll)), *(due.at for due in dues),
             *((table.until,) if table else ())], now
        )  # fmt: skip
        if any(end.at <= now or end.leans for end in grace_ends):
            memo.depends_on_poll(entry, (end.at for end in grace_ends if end.at <= now))

    def _grace_end(self, job: JobFacts, due: _Due, runs: Iterable[RunFacts]) -> GraceEnd:
        end = grace_end(self._estate, job, due.at, due.business_date, runs if due.at <= self._now else ())
        return self._pools.put_off(job, end)

    def _table(self, job: JobFacts) -> _Table | None:
        if has_no_clock(job):
            return None
        awaited = usual_grace(self._estate, job)
        shared = (job.schedule, job.zone, job.cutoff, job.calendar, awaited)
        if shared not in self._tables:
            self._tables[shared] = _table(job, awaited, self._now, self._estate)
        return self._tables[shared]


def _has_no_expectations(estate: Estate, job: JobFacts, runs: Sequence[RunFacts]) -> bool:
    """True for jobs that were never expected to run: tasks, and jobs that others start; most of an estate."""
    is_unknown = job.parent_id is not None or job.id not in estate.history
    return is_unknown and all(run.attempt > 0 for run in runs) and has_no_clock(job)


def _dues(
    estate: Estate, job: JobFacts, existing: Mapping[str, RunFacts], by: datetime, table: _Table | None, ours: JobHolds
) -> list[_Due]:
    """Due starts that have neither come nor been missed, in order. A start that our hold kept back under the previous
    schedule stays due. `by`: until when starts may have come due by the clock of the source."""
    accepted = job.accepted_at
    if table is None or accepted is None:
        return []
    awaited = [due for due in table.dues if due.at >= accepted]
    if not existing:
        return awaited
    keys = {due.key for due in awaited}
    still_due = [due for due in _past_due(existing.values(), by) if due.key not in keys]
    awaited += [due for due in still_due if ours.prevents(due.key) or due.at >= accepted]
    awaited = [due for due in awaited if due.key in keys or due.at < accepted or _is_demanded(job, due, estate)]
    started = {run.period_at for run in existing.values() if has_started(run) and run.period_at is not None}
    open_dues = [due for due in awaited if due.at not in started and _is_open(existing.get(due.key))]
    if job.seen_schedule is not None:  # its source may name the period of a run by that one
        open_dues = [due for due in open_dues if seen_instant(job.schedule, job.seen_schedule, due.at) not in started]
    return sorted(_not_begun(job, open_dues, existing), key=lambda due: due.at)


def _not_begun(job: JobFacts, dues: list[_Due], existing: Mapping[str, RunFacts]) -> list[_Due]:
    """The due starts with the names of their periods, without those of whose period a run has begun since: a person
    launched the partition. The names follow from that of the latest start; where a start has several, or none follows,
    they are of a partition that is unknown."""
    named = [run for run in existing.values() if run.period_kind is PeriodKind.NAME]
    if not named:
        return dues
    started = [run for run in named if has_started(run)]
    by_hand = {run.period_name: run.started_at for run in started if run.period_key == run.period_name}
    by_clock = [run for run in started if run.period_key != run.period_name]
    starts = [(run.period_at, run.period_name) for run in by_clock if run.period_at is not None]
    awaited = []
    for due in dues:
        known = existing.get(due.key)
        kind, name = (known.period_kind, known.own_period) if known is not None else (PeriodKind.INSTANT, "")
        if starts:
            zone = job.schedule.zone or job.zone
            kind, name = PeriodKind.NAME, period_name_at(due.at, *max(starts), zone) * (len(starts) == len(by_clock))
        began = by_hand.get(name)
        if began is None or began < due.at:
            awaited.append(replace(due, period_kind=kind, period_name=name))
    return awaited


def _is_demanded(job: JobFacts, due: _Due, estate: Estate) -> bool:
    """False if the schedule accepted before does not have that instant, or the job's calendar not its day; True if
    its source names the next start only."""
    counts = is_start_expected(estate.declared.calendar(job.calendar), due.at, due.business_date)
    return counts and (job.schedule.next_at is not None or last_instant(job.schedule, due.at) == due.at)


def _is_open(run: RunFacts | None) -> bool:
    return run is None or not (has_started(run) or run.state is RunState.MISSED)


def _past_due(existing: Iterable[RunFacts], by: datetime) -> Iterator[_Due]:
    """Starts that came due stay due, although the source may name another next start."""
    for run in existing:
        if not has_started(run) and run.period_at is not None and run.period_at <= by:
            yield _Due(run.period_at, run.period_key, run.business_date)


def _table(job: JobFacts, awaited: timedelta, now: datetime, estate: Estate) -> _Table:
    settings, calendar = estate.settings, estate.declared.calendar(job.calendar)
    soon = instants(job.schedule, now, now + _FREQUENT_WITHIN)
    if len(soon) > _FREQUENT_WITHIN / timedelta(hours=1):
        behind, ahead = awaited + timedelta(minutes=5) + (soon[1] - soon[0]), soon[:FREQUENT_AHEAD]
    else:
        behind, ahead = settings.lookback, instants(job.schedule, now, now + settings.horizon)[:AHEAD]
    past = instants(job.schedule, now - behind, now)
    dues = (_Due(at, instant_key(at), business_date_of(at, None, job.zone, job.cutoff)) for at in (*past, *ahead))
    turns = [at + behind for at in past[:1]]
    turns += [soon[0]] if soon else ahead[:1]
    within = (_FREQUENT_WITHIN,) if len(ahead) == AHEAD else (_FREQUENT_WITHIN, settings.horizon)
    entering = ((next_instant(job.schedule, now + span), span) for span in within)
    turns += [at - span for at, span in entering if at is not None]
    return _Table(
        tuple(due for due in dues if is_start_expected(calendar, due.at, due.business_date)),
        min(turns, default=NEVER),
    )


def _withdrawn(existing: Iterable[RunFacts], demanded: set[str]) -> list[int]:
    return [
        run.id
        for run in existing
        if run.id and not has_started(run) and run.state is not RunState.MISSED and run.period_key not in demanded
    ]


def _as_proved(target: TargetFacts | None, known: RunFacts | None) -> TargetFacts | None:
    """The target as the verdict on this run sees it: evidence lost later does not undo a proof."""
    if target is None or target.lost is None or known is None or known.state is not RunState.MISSED:
        return target
    return replace(target, lost=None)


def _verdict(
    estate: Estate,
    job: JobFacts,
    due: _Due,
    put_off: GraceEnd,
    target: TargetFacts | None,
    now: datetime,
    ours: JobHolds,
) -> ExpectedRun:
    state, evidence, why = RunState.PLANNED, RunEvidence.INFERRED, put_off.text
    seen_until = target.seen_until if target is not None else None
    if put_off.at <= now and seen_until is not None and seen_until >= put_off.at:
        missed = [*_missed_text(job, put_off.at, ours.overdue), put_off.text]
        if (outage := outage_during(estate, job, due.at, put_off.at)) is not None:
            missed.append(_since(outage.text, outage.since))
        missed.append(ours.why_missed(due.key))
        state, why = RunState.MISSED, joined(filter(None, missed), "; ")
        lost = target.lost if target is not None else None
        if lost is not None and lost[0] <= put_off.at and due.at <= lost[1] and job.gone_since is None:
            state, evidence = RunState.PLANNED, RunEvidence.STALE
            what = f" ({target.unread})" if target is not None and target.unread else ""
            why = "evidence is incomplete until ", At(lost[1]), f"{what}: it is unknown whether it started"
    elif job.paused_since is not None and job.paused_since <= put_off.at:
        state, why = RunState.HELD, ours.overdue or _since("paused", job.paused_since)
    elif due.at <= now and is_out_of_reach(target, now, estate.settings):
        evidence, why = RunEvidence.STALE, _unseen_text(target, now)
    return _expected_run(job, due, state, evidence, why)


def _expected_run(job: JobFacts, due: _Due, state: RunState, evidence: RunEvidence, why: Text) -> ExpectedRun:
    return ExpectedRun(
        job.id, due.key, due.at, due.business_date, state, evidence, why, due.period_kind, due.period_name
    )


def _held_verdict(job: JobFacts, due: _Due, held: tuple[RunState, Text] | None) -> ExpectedRun | None:
    if held is None:
        return None
    state, why = held
    return _expected_run(job, due, state, RunEvidence.INFERRED, why)


def _replaced_verdict(job: JobFacts, due: _Due, runs: Iterable[RunFacts]) -> ExpectedRun | None:
    run = _replacing(job, due.at, runs)
    if run is None:
        return None
    why: Text = ("came due during the run before: the start of ", At(run_time(run)), " replaces it")
    return _expected_run(job, due, RunState.SKIPPED, RunEvidence.INFERRED, why)


def _missed_text(job: JobFacts, missed_at: datetime, overdue: Text) -> list[Text]:
    if job.gone_since is not None and job.gone_since <= missed_at:
        return [_since(job.drift_reason or "gone from its source", job.gone_since)]
    if job.paused_since is not None and job.paused_since <= missed_at:
        return [overdue or _since("paused", job.paused_since)]
    by_crontab = job.schedule.dialect in ("debian-cron", "cronie", "busybox")
    where = _NO_START.get(job.kind, "no run") if by_crontab else "no run"
    return [(f"{where} by ", At(missed_at)), (job.drift_reason,) if job.drift_reason else (), overdue]


def _since(what: str, since: datetime) -> Text:
    return f"{what} since ", At(since)


def _unseen_text(target: TargetFacts | None, now: datetime) -> Text:
    if target is None or target.last_ok_at is None:
        return ("its target has never answered",)
    pause = target.paused(now)
    paused: Text = ("; ", *pause.text) if pause is not None else ()
    return *_since(f"{target.system}/{target.name} not seen", target.last_ok_at), *paused


def _reads_otherwise(run: ExpectedRun, known: RunFacts | None) -> bool:
    if known is None or (known.period_kind, known.own_period) != (run.period_kind, run.period_name):
        return True
    return (known.state, known.evidence, known.why) != (run.state, run.evidence, run.why)
