"""Effects of Headway's own holds on runs: a start that they prevent is held, not missed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from connectors.sdk.states import RunState
from console.domain.estate import Estate, JobFacts, runs_by_job
from console.domain.hold import HoldFacts, HoldReason, HoldState
from console.domain.plan import RESUME
from console.domain.text import Text
from console.text.cleaning import clean_line
from console.timing.durations import TICK

LINGERS = timedelta(minutes=3)
"""How long after a hold its pause may still be reported."""
OVERDUE = timedelta(minutes=15)
"""After this a hold past its end needs a person: its runs count as missed."""
UNDER_WAY = ("sending", "sent", "unknown")
"""A start that was or may have been sent: its run is awaited until the action ends."""
_PAUSING = (HoldState.HELD, HoldState.RELEASING, HoldState.FOREIGN)


@dataclass(frozen=True, slots=True)
class JobHolds:
    """The holds of one job."""

    holds: tuple[HoldFacts, ...] = ()
    upstreams: tuple[str, ...] = ()
    """For each hold: its upstream that is not good, cleaned; empty without one."""
    pauses: bool = False
    """True while the reported pause is ours."""
    overdue: Text = ()
    """The hold that is long past its end; empty without one."""

    @staticmethod
    def by_job(estate: Estate, now: datetime) -> dict[int, JobHolds]:
        """The holds that were placed, by job."""
        placed: dict[int, list[HoldFacts]] = {}
        awaited = {(hold.upstream_id, hold.business_date) for hold in estate.holds if not hold.state.is_over}
        runs, done = runs_by_job(estate.runs) if awaited else {}, (RunState.SUCCEEDED, RunState.SKIPPED)
        read = [run for job_id, _ in awaited for run in runs.get(job_id or 0, ())]
        good = frozenset(
            (run.job_id, run.business_date)
            for run in read
            if run.state in done and (run.job_id, run.business_date) in awaited
        )
        for hold in estate.holds:
            if _is_placed(hold):
                placed.setdefault(hold.job_id, []).append(hold)
        return {
            job_id: JobHolds(
                tuple(holds),
                tuple(_upstream(estate, hold, good) for hold in holds),
                pauses=any(_is_ours(hold, now) for hold in holds),
                overdue=next((hold_text(hold, "") for hold in holds if _is_overdue(hold, now)), ()),
            )
            for job_id, holds in placed.items()
        }

    def as_ours(self, job: JobFacts) -> JobFacts:
        """The job without a pause that is ours."""
        return replace(job, paused_since=None) if self.pauses and job.paused_since is not None else job

    def of(self, at: datetime, key: str, now: datetime) -> tuple[RunState, Text] | None:
        """State and reason of a run for that instant that has not started; None if no hold prevents it."""
        for hold, upstream in zip(self.holds, self.upstreams, strict=True):
            if not hold.state.holds_back or _is_overdue(hold, now):
                continue
            if (
                key == hold.period_key
                or (hold.placed_at or hold.due_at or at + timedelta(microseconds=1)) <= at <= now
                or (at > now and is_stuck(hold))
            ):
                return RunState.HELD, hold_text(hold, upstream)
        for hold in self.holds:
            if hold.state is not HoldState.RELEASED:
                continue
            if key == hold.period_key and hold.start is not None and hold.start.state in UNDER_WAY:
                return RunState.HELD, (f"started by Headway: its run is awaited (hold {hold.key})",)
            if key == hold.period_key and hold.reason is HoldReason.NOT_NEEDED:
                return RunState.SKIPPED, (*hold.text, f" (hold {hold.key})")
            if key != hold.period_key and _is_replaced(hold, at):
                return RunState.SKIPPED, (f"not started (hold {hold.key}): the start after it replaces it",)
        return None

    def prevents(self, key: str) -> bool:
        """True if one of them prevents that start, or did."""
        return any(hold.period_key == key and hold.placed_at is not None for hold in self.holds)

    def why_missed(self, key: str) -> Text:
        """Outcome of the hold that prevented that run, for the reason of the miss; empty without one."""
        for hold in self.holds:
            if hold.state is HoldState.RELEASED and hold.period_key == key and hold.text:
                failed = hold.start.text if hold.start is not None and hold.start.state == "failed" else ""
                why = f": {failed}" if failed and (failed,) != hold.detail else ""
                return *hold.text, f"{why} (hold {hold.key})"
        return ()


NO_HOLDS = JobHolds()


def hold_text(hold: HoldFacts, upstream: str) -> Text:
    """ "held by Headway until etl-hosts/db07:extract_orders is good (hold headway-…)". `upstream`: the one that is
    not good; empty if unknown."""
    key = f" (hold {hold.key})"
    if hold.state is HoldState.FOREIGN:
        return (f"held by {hold.held_by}, not by this store{key}",)
    if hold.state in (HoldState.WATCHING, HoldState.STARTING):
        return (f"released by Headway: its start is awaited{key}",)
    by = hold.held_by if hold.kind == "person" else "Headway"
    if hold.plan_id is not None:
        by = f"plan {hold.plan_id}"
    if is_stuck(hold):
        return f"held by {by}, ", *hold.text, key
    if hold.state is HoldState.RELEASING:
        return (f"held by {by}, it is being released{key}",)
    if hold.kind == "person":
        why = f": {hold.why}" if hold.why else ""
        if hold.plan_id is not None:
            why = "" if hold.is_released_by_plan else f": {RESUME} {hold.plan_id}"
        return (f"held by {by}{why}{key}",)
    if not upstream:
        return (f"held by Headway{key}",)
    is_stated = hold.reason is HoldReason.AWAITS_UPSTREAM
    return "held by Headway ", *(hold.text if is_stated else (f"until {upstream} is good",)), key


def held_by_stopped_plan(estate: Estate, job_id: int) -> int | None:
    """The paused or stopped plan that holds the job; None without one."""
    holds = (hold for hold in estate.holds if hold.job_id == job_id and hold.state in _PAUSING)
    return next((hold.plan_id for hold in holds if hold.plan_id is not None and not hold.is_released_by_plan), None)


def is_stuck(hold: HoldFacts) -> bool:
    """True if its release failed: it is unknown how long it holds its job."""
    return hold.state in (HoldState.HELD, HoldState.RELEASING) and hold.reason is HoldReason.RELEASE_FAILED


@dataclass(frozen=True, slots=True)
class HeldStart:
    """Why a start is held until a person releases it, whatever becomes good, and until when."""

    text: Text
    """ "held by mara: …", "paused at its source"."""
    until: datetime | None
    """When it is released by itself and started; None: unknown, or never."""
    is_of_plan: bool = False
    """True for the hold of a plan that does not run: it ends without a start."""


def held_start_of(estate: Estate, job_id: int, due: datetime | None, now: datetime) -> HeldStart | None:
    """None if nothing holds it. `due`: its instant; None without one."""
    job, mine = estate.jobs[job_id], [hold for hold in estate.holds if hold.job_id == job_id]
    for hold in mine:
        if is_stuck(hold):
            return HeldStart(hold_text(hold, ""), None)
        is_a_persons = (hold.kind == "person" and not hold.is_released_by_plan) or hold.state is HoldState.FOREIGN
        if is_a_persons and hold.state in _PAUSING and not _is_overdue(hold, now):
            until = None if hold.is_of_plan else hold.until
            is_held = due is None or due < hold.until
            return HeldStart(hold_text(hold, ""), until, hold.is_of_plan) if is_held else None
    if job.paused_since is None or any(_is_placed(hold) and _is_ours(hold, now) for hold in mine):
        return None
    return HeldStart(("paused at its source",), None)


def _is_placed(hold: HoldFacts) -> bool:
    return hold.state not in (HoldState.FAILED, HoldState.SHADOW) and hold.kind != "trigger"


def _is_ours(hold: HoldFacts, now: datetime) -> bool:
    if _is_overdue(hold, now):
        return False
    since = hold.released_at if hold.state is HoldState.CLEARING else hold.ended_at
    return since is None or now - since < LINGERS


def _is_overdue(hold: HoldFacts, now: datetime) -> bool:
    return hold.state in _PAUSING and now >= hold.lasts_until + OVERDUE


def _upstream(estate: Estate, hold: HoldFacts, good: frozenset[tuple[int, date]]) -> str:
    job = estate.jobs.get(hold.upstream_id or 0)
    if job is None or (hold.business_date is not None and (job.id, hold.business_date) in good):
        return ""
    return clean_line(job.name)


def _is_replaced(hold: HoldFacts, at: datetime) -> bool:
    """True for an instant that passed while it was held, before the one whose start came in the end."""
    if hold.placed_at is None or hold.due_at is None or hold.released_at is None:
        return False
    return hold.placed_at <= at < hold.due_at and at <= hold.released_at


def without_own_pauses(estate: Estate) -> Estate:
    """The estate, in which a pause that was ours when a schedule was accepted begins after that: only a job paused by a
    person is accepted as one that nothing starts."""
    if not estate.holds:
        return estate
    ours = dict(estate.jobs)
    for hold in estate.holds:
        job = ours.get(hold.job_id)
        if job is not None and job.accepted_at is not None and _was_paused_by(hold, job):
            ours[job.id] = replace(job, paused_since=job.accepted_at + TICK)
    return replace(estate, jobs=ours) if ours != estate.jobs else estate


def _was_paused_by(hold: HoldFacts, job: JobFacts) -> bool:
    if hold.kind == "foreign" or hold.placed_at is None or job.accepted_at is None or job.paused_since is None:
        return False
    ended = hold.ended_at + LINGERS if hold.ended_at is not None else job.accepted_at
    return job.paused_since <= job.accepted_at and hold.placed_at <= job.accepted_at <= ended
