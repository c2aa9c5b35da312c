"""The start that a hold keeps back, while it is still ahead, follows the accepted schedule."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from console.control.conditions import Policy
from console.control.expected import expects_nothing
from console.control.open_hold import has_run, next_start
from console.control.picture import Picture
from console.control.schedule import last_instant
from console.model.holds import HoldFacts
from console.model.values import JobFacts, RunFacts
from console.model.words import HoldState

_OVER = ("refused", "failed")


def moved_start(picture: Picture, hold: HoldFacts, job: JobFacts, policy: Policy | None) -> dict[str, object]:
    """What changes of a hold by a schedule that was accepted since: its start, and its end by that; no start at all
    where nothing starts it any more. Empty while it stands. What came due while it was held stays owed."""
    runs = picture.runs.get(job.id, ())
    if hold.due_at is None or hold.placed_at is None:
        return {}
    if hold.due_at <= picture.now and not _was_taken_back(job, hold.placed_at, hold.due_at):
        return {}
    if _was_started(hold) or has_run(runs, hold) or _stands(hold, runs):
        return {}
    run = _kept_back(picture, job, hold.placed_at)
    if run is None:
        is_known = job.accepted_at is not None and (job.accepted_at > hold.placed_at or not expects_nothing(job))
        return {"due_at": None, "period_key": ""} if is_known else {}
    if run.period_at is None or run.period_key == hold.period_key:
        return {}
    until = hold.until if policy is None or hold.kind == "person" else run.period_at + policy.hold_for
    return {"due_at": run.period_at, "period_key": run.period_key, "bd": run.bd, "until": until}


def _kept_back(picture: Picture, job: JobFacts, since: datetime) -> RunFacts | None:
    """The next one of all that came up since; of several that have passed the last stands for all."""
    first = next_start(picture, job, since)
    while first is not None and first.period_at is not None and first.period_at <= picture.now:
        after = next_start(picture, job, first.period_at)
        if after is None or after.period_at is None or after.period_at > picture.now:
            break
        first = after
    return first


def _was_taken_back(job: JobFacts, placed: datetime, due: datetime) -> bool:
    """True where a schedule that was accepted before that start came up does not have it: no engine was there to see
    so. Of what a source only names, nobody knows that afterwards."""
    if job.accepted_at is None or not placed < job.accepted_at <= due:
        return False
    if job.schedule.dialect == "none":
        return job.schedule.next_at is None and not job.schedule.words
    return last_instant(job.schedule, due) != due


def _was_started(hold: HoldFacts) -> bool:
    """True where it was started before its clock, or that is under way."""
    return hold.start_key is not None and (hold.start is None or hold.start.state not in _OVER)


def _stands(hold: HoldFacts, runs: Iterable[RunFacts]) -> bool:
    """True where its start is one that is expected still. Of what is held always an earlier one counts all the same."""
    if hold.kind == "standing" and hold.state is HoldState.HELD:
        return False
    return any(run.period_key == hold.period_key for run in runs)
