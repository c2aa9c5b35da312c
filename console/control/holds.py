"""Which downstreams are held, let go and started, and when: rows and actions, decided from the picture and the time.

A hold goes placing → held → releasing → watching → (starting →) released; failed where it was never placed. Each move
follows the end of an action, or asks for one under a key that is made of what it is about: the same hold, asked for
twice, is one. One hold per job, however many upstreams, and one per period: what ended is not held again for it.

Placed: before a start by the clock, within the lead while an upstream is not good (reactive), or always (standing).
Not where a person paused the job, nor while a run of it goes on: Airflow schedules no further tasks of a paused DAG.
Let go: when every upstream that holds it is good, when no dependency wants it any more, when it started all the same,
or when its time is over. In that last case nothing is started, and it is said: what is so late is a person's matter.
Started: where the instant had passed before it was let go, and its source has been seen for WATCH after that without
a start: once. Where the instant is still ahead its own clock starts it; where its next one is so near that both would
start (`own_clock`), that one stands for what was kept back, and nothing is started.

Trigger: a job without a clock is started once for a business date, when all its upstreams are good. One with a clock
is started before its instant where its kind can start what is held (`starts_held`), and stays held until the instant
has passed, so that its clock cannot start it again; where the kind cannot, it waits for its clock. So a start is
neither lost nor doubled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from console.control.conditions import Policy, policies
from console.control.keeping import Keeping
from console.control.letting_go import WATCH, WATCH_UNPROVED, LettingGo
from console.control.picture import Picture
from console.control.placing import New
from console.model.decisions import HoldDecision
from console.model.holds import HoldFacts
from console.model.values import JobFacts
from console.model.words import HoldState


@dataclass(slots=True)
class Holding:
    """All decisions of one evaluation, and the instants at which time alone makes others."""

    decisions: list[HoldDecision] = field(default_factory=list)
    turns: list[datetime] = field(default_factory=list)


def holding(picture: Picture) -> Holding:
    """What becomes of every open hold, then which jobs are held or started now; in the order of keys, then of jobs."""
    found = Holding()
    wanted = policies(picture)
    for hold in picture.estate.holds:
        job = picture.estate.jobs.get(hold.job_id)
        if job is None or hold.state.is_over or hold.state is HoldState.FOUND:
            continue
        one = _step(picture, hold, job, wanted.get(hold.job_id))
        found.decisions += [one] if one is not None else []
        found.turns += [at for at in _turns(hold) if at > picture.now]
    open_ones = [hold for hold in picture.estate.holds if not hold.state.is_over]
    taken = {hold.job_id for hold in open_ones if hold.state is not HoldState.CLEARING}
    for job_id, policy in wanted.items():
        if job_id not in taken:
            new = New(picture, policy)
            found.decisions += [one] if (one := new.decide()) is not None else []
            found.turns += [at for at in new.turns() if at > picture.now]
    return found


def _step(picture: Picture, hold: HoldFacts, job: JobFacts, policy: Policy | None) -> HoldDecision | None:
    """What becomes of it now; None when nothing does."""
    keeping, letting_go = Keeping(picture, hold, job, policy), LettingGo(picture, hold, job, policy)
    steps: dict[HoldState, Callable[[], HoldDecision | None]] = {
        HoldState.PLACING: keeping.placing,
        HoldState.HELD: keeping.held,
        HoldState.RELEASING: letting_go.releasing,
        HoldState.WATCHING: letting_go.watching,
        HoldState.STARTING: letting_go.starting,
        HoldState.CLEARING: letting_go.clearing,
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
