"""The state machine of holds: which downstreams are held, released and started, and when.

placing -> held -> releasing -> watching -> (starting ->) released, or failed if it was never placed. Each
transition follows the end of an action, or requests one under a key made of what it is about: the same hold
requested twice is one. One hold per job, however many upstreams, and one per period: an ended hold is not placed again
for it.

Placed: before a start by the clock, within the lead while an upstream is not good (reactive), or always (standing).
Not where a person paused the job, nor while a run of it goes on: Airflow schedules no further tasks of a paused
DAG.
Released: when every upstream that holds it is good, when no dependency needs it any more, when it started all the
same, or when its time has ended. In that last case nothing is started, and that is reported: a person decides.
Started: if the instant had passed before the release, and its source has been seen for WATCH after that without a
start: once. If the instant is still ahead its own clock starts it; if its next one is so near that both would
start, that one replaces the suppressed start.

Trigger: a job without a clock is started once for a business date, when all its upstreams are good. One with a
clock is started before its instant if its kind can start what is held (`starts_held`), and stays held until the
instant has passed; otherwise it waits for its clock. So a start is neither lost nor doubled.

The start that a hold prevents follows the accepted schedule while it is still ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from console.control.holds.conditions import HoldPolicy, hold_policies
from console.control.holds.placement import HoldPlacement, HoldUpkeep
from console.control.holds.release import WATCH, WATCH_UNPROVED, HoldRelease
from console.control.snapshot.estate_index import EstateIndex
from console.domain.decision import HoldDecision
from console.domain.estate import JobFacts
from console.domain.hold import HoldFacts, HoldState


@dataclass(slots=True)
class HoldDecisions:
    """Decisions of one evaluation, and the instants at which time alone changes them."""

    decisions: list[HoldDecision] = field(default_factory=list)
    turns: list[datetime] = field(default_factory=list)


def decide_holds(index: EstateIndex) -> HoldDecisions:
    """Transitions of open holds, in the order of keys, then new holds and starts, in the order of jobs."""
    decided = HoldDecisions()
    policies = hold_policies(index)
    for hold in index.estate.holds:
        job = index.estate.jobs.get(hold.job_id)
        if job is None or hold.state.is_over or hold.state is HoldState.FOREIGN:
            continue
        decision = _step(index, hold, job, policies.get(hold.job_id))
        decided.decisions += [decision] if decision is not None else []
        decided.turns += [at for at in _turns(hold) if at > index.now]
    active = (hold for hold in index.estate.holds if not hold.state.is_over and hold.state is not HoldState.CLEARING)
    held_jobs = {hold.job_id for hold in active}
    for job_id, policy in policies.items():
        if job_id not in held_jobs:
            placement = HoldPlacement(index, policy)
            decided.decisions += [decision] if (decision := placement.decide()) is not None else []
            decided.turns += [at for at in placement.turns() if at > index.now]
    return decided


def _step(index: EstateIndex, hold: HoldFacts, job: JobFacts, policy: HoldPolicy | None) -> HoldDecision | None:
    upkeep, release = HoldUpkeep(index, hold, job, policy), HoldRelease(index, hold, job, policy)
    steps: dict[HoldState, Callable[[], HoldDecision | None]] = {
        HoldState.PLACING: upkeep.placing,
        HoldState.HELD: upkeep.held,
        HoldState.RELEASING: release.releasing,
        HoldState.WATCHING: release.watching,
        HoldState.STARTING: release.starting,
        HoldState.CLEARING: release.clearing,
    }
    return steps[hold.state]()


def _turns(hold: HoldFacts) -> Iterator[datetime]:
    yield hold.until
    yield hold.lasts_until
    if hold.start_of_plan is not None:
        yield hold.start_of_plan
    if hold.due_at is not None:
        yield hold.due_at
        yield from (hold.due_at + WATCH, hold.due_at + WATCH_UNPROVED)
    if hold.released_at is not None:
        yield from (hold.released_at + WATCH, hold.released_at + WATCH_UNPROVED)
