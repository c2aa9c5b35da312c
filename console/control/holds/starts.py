"""The start that a hold prevents: which one it is, whether it came all the same, and when it is too late to make it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from connectors.sdk.records import instant_key
from connectors.sdk.states import RunEvidence, RunState
from console.control.holds.conditions import HoldPolicy
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.reachability import is_out_of_reach
from console.control.snapshot.runs import has_no_clock, has_started
from console.domain.estate import EvaluationSettings, JobFacts, RunFacts, TargetFacts
from console.domain.hold import HoldFacts, HoldState
from console.domain.ids import utc_minute
from console.domain.text import render
from console.timing.business_dates import business_date_of
from console.timing.schedule import last_instant, next_instant

BEGINS_WITHIN = timedelta(seconds=60)
"""Delay of a start that is sent: pg_cron starts a one-shot at its next minute (tests/lab)."""
FREQUENT = timedelta(minutes=10)
"""If a job runs at least this often, its newest period replaces those before it."""


def own_start_suffices(job: JobFacts, due: datetime, released: datetime, now: datetime) -> datetime | None:
    """The next start by its own schedule that replaces the prevented start at `due`; None if ours would come first.

    It does if it has passed already, if it comes within the time in which ours could begin (a minute, at least the
    job's grace), or if the job is frequent.
    """
    own = next_instant(job.schedule, max(due, released))
    if own is None:
        return None
    if own <= now + max(BEGINS_WITHIN, job.grace):
        return own
    after = next_instant(job.schedule, own)
    return own if after is not None and after - own < FREQUENT else None


LATE = timedelta(minutes=5)
"""How long after the end of a hold its start is still made: an engine may have been down."""
TOO_LATE = "it was too late to start it"
HAS_RUN = "its run has started"
FOREVER = datetime.max.replace(tzinfo=UTC)


def has_run(runs: Iterable[RunFacts], hold: HoldFacts) -> bool:
    """True if the start that the hold prevents came all the same; a skipped run needs none. `runs`: of its job. For a
    trigger without a clock it is any run of its business date."""
    if hold.kind == "trigger":
        return ran_on(runs, hold.business_date)
    since = hold.placed_at or FOREVER
    for run in runs:
        if not has_started(run):
            continue
        if hold.period_key and run.period_key == hold.period_key:
            return True
        started = run.first_started_at
        if started is not None and started >= since and (run.period_at or FOREVER) >= (hold.due_at or FOREVER):
            return run.period_at is not None or run.business_date == hold.business_date
    return False


def ran_on(runs: Iterable[RunFacts], business_date: date | None) -> bool:
    """True if any of them is of that business date, and has started."""
    return any(run.business_date == business_date and has_started(run) for run in runs)


def named_run(job: JobFacts, at: datetime) -> RunFacts:
    """The run of a start that only its source names: it has no row."""
    business_date = business_date_of(at, None, job.zone, job.cutoff)
    return RunFacts(0, job.id, instant_key(at), at, business_date, RunState.PLANNED, RunEvidence.INFERRED)


def next_due_run(index: EstateIndex, job: JobFacts, since: datetime) -> RunFacts | None:
    """The first expected run after `since`, by its accepted schedule, that has not come; of a start that only its
    source names, without a row."""
    if has_no_clock(job):
        named = job.schedule.next_at
        return named_run(job, named) if named is not None and named > index.now else None
    ahead = (
        run
        for run in index.runs.get(job.id, ())
        if run.state in (RunState.PLANNED, RunState.HELD) and not has_started(run)
        if run.period_at is not None and run.period_at > since
    )
    return min(ahead, key=lambda run: run.period_at or since, default=None)


def is_too_late(hold: HoldFacts, now: datetime) -> bool:
    """True if its start is not made any more: LATE after its end, or after its release if that was later."""
    return now >= max(hold.until, hold.released_at or hold.until) + LATE


def start_refusal(hold: HoldFacts, runs: Iterable[RunFacts], now: datetime) -> str:
    """Why its requested start is not made any more; empty while it is pending. `runs`: of its job. Checked again
    right before the start is sent: it may have waited for hours."""
    if hold.state.is_over or hold.state is HoldState.CLEARING:
        return render(hold.text, utc_minute) or "the hold has ended"
    if has_run(runs, hold):
        return HAS_RUN
    return TOO_LATE if is_too_late(hold, now) else ""


def may_have_run(target: TargetFacts | None, now: datetime) -> bool:
    """True if its source was not polled lately: its own start is unknown."""
    return target is None or target.polls_fail or is_out_of_reach(target, now, EvaluationSettings())


_OVER = ("refused", "failed")


def rescheduled_start(
    index: EstateIndex, hold: HoldFacts, job: JobFacts, policy: HoldPolicy | None
) -> dict[str, object]:
    """Changes of a hold by a newly accepted schedule: its start, and its end by that; no start if the schedule has
    none. Empty without a change. A start that came due while the job was held stays pending."""
    runs = index.runs.get(job.id, ())
    if hold.due_at is None or hold.placed_at is None:
        return {}
    if hold.due_at <= index.now and not _is_withdrawn(job, hold.placed_at, hold.due_at):
        return {}
    is_started = hold.start_key is not None and (hold.start is None or hold.start.state not in _OVER)
    if is_started or has_run(runs, hold) or _is_bound_to_run(hold, runs):
        return {}
    run = _next_prevented_run(index, job, hold.placed_at)
    if run is None:
        is_known = job.accepted_at is not None and (job.accepted_at > hold.placed_at or not has_no_clock(job))
        return {"due_at": None, "period_key": ""} if is_known else {}
    if run.period_at is None or run.period_key == hold.period_key:
        return {}
    until = hold.until if policy is None or hold.kind == "person" else run.period_at + policy.hold_for
    return {"due_at": run.period_at, "period_key": run.period_key, "business_date": run.business_date, "until": until}


def _next_prevented_run(index: EstateIndex, job: JobFacts, since: datetime) -> RunFacts | None:
    """The next start after `since`; the last one of several that have passed."""
    first = next_due_run(index, job, since)
    while first is not None and first.period_at is not None and first.period_at <= index.now:
        after = next_due_run(index, job, first.period_at)
        if after is None or after.period_at is None or after.period_at > index.now:
            break
        first = after
    return first


def _is_withdrawn(job: JobFacts, placed: datetime, due: datetime) -> bool:
    if job.accepted_at is None or not placed < job.accepted_at <= due:
        return False
    if job.schedule.dialect == "none":
        return job.schedule.next_at is None and not job.schedule.text
    return last_instant(job.schedule, due) != due


def _is_bound_to_run(hold: HoldFacts, runs: Iterable[RunFacts]) -> bool:
    if hold.kind == "standing" and hold.state is HoldState.HELD:
        return False
    return any(run.period_key == hold.period_key for run in runs)
