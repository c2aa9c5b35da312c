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
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from connectors.sdk.records import instant_key
from connectors.sdk.states import Verb
from console.control.holds.conditions import HoldPolicy, hold_policies
from console.control.holds.open_hold import NEAR, OpenHold, never_arrived
from console.control.holds.placement import HoldPlacement, HoldUpkeep
from console.control.holds.starts import (
    HAS_RUN,
    TOO_LATE,
    has_run,
    is_too_late,
    own_start_suffices,
    rescheduled_start,
)
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import has_no_clock
from console.domain.decision import HoldDecision, PolicyAction
from console.domain.estate import JobFacts
from console.domain.hold import MARK_REMOVED, HoldFacts, HoldReason, HoldState
from console.domain.ids import derived_key
from console.domain.text import At
from console.timing.business_dates import business_date_of

WATCH = timedelta(seconds=30)
"""A source that was polled for this long after the release, or the start, without showing a run has started none."""
WATCH_UNPROVED = timedelta(minutes=2)
"""The same for a source that proves no absence: AWS starts within the minute, and lists starts a moment later."""
_UNDER_WAY = ("sending", "unknown")
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class HoldRelease(OpenHold):
    """Steps of a hold whose job is enabled again, watched for its own start, and started."""

    def releasing(self) -> HoldDecision | None:
        release = self._hold.release
        if release is None or release.state in ("refused", "failed"):
            why = release.text if release is not None else "it was never requested"
            event = (f"{self._name} is still held: {why}",)
            still = self._to(HoldState.HELD, event, reason=HoldReason.RELEASE_FAILED, detail=(why,))
            by_plan = release is not None and release.origin == "plan" and self._hold.is_reported_by_plan
            is_reported = by_plan or self._hold.released_at is not None
            if is_reported or release is None or release.origin == "person" or self._may_not_send():
                return still
            since = release.ended_at or self._now
            return replace(still, hold=replace(still.hold, released_at=since), attention_reason=why)
        if release.state != "verified":
            return None
        released = release.ended_at or self._now
        run = self._prevented_run(released)
        if run is None:
            moved = rescheduled_start(self._index, self._hold, self._job, self._policy)
            return self._to(HoldState.WATCHING, (), None, released_at=released, **moved)
        return self._to(
            HoldState.WATCHING, released_at=released, due_at=run.period_at, period_key=run.period_key,
            business_date=run.business_date,
        )  # fmt: skip

    def watching(self) -> HoldDecision | None:
        hold = self._hold
        released = hold.released_at or self._now
        if has_run(self._runs(), hold):
            return self._to(HoldState.RELEASED, detail=(HAS_RUN,))
        if moved := rescheduled_start(self._index, self._hold, self._job, self._policy):
            return self._to(HoldState.WATCHING, (), None, **moved)
        if hold.due_at is None:
            named = "its source named no start that came due" if has_no_clock(self._job) else "nothing came due"
            return self._to(HoldState.RELEASED, detail=(f"{named} while it was held",))
        if hold.due_at - released > NEAR:
            return self._to(HoldState.RELEASED, detail=("its schedule starts it at ", At(hold.due_at)))
        refused = hold.start is not None and hold.start.state == "refused"  # before its clock: nothing was started
        if hold.start_key is not None and not refused and not never_arrived(hold.start, self._now):
            return self._to(HoldState.STARTING)
        is_absent = self._start_is_absent(released, hold.due_at)
        if is_absent and (never_met := self._never_met()):
            event = f"{self._name} was released and not started; ", *HoldReason.NOT_NEEDED.text((never_met,))
            return self._to(HoldState.RELEASED, event, reason=HoldReason.NOT_NEEDED, detail=(never_met,))
        own = own_start_suffices(self._job, hold.due_at, released, self._now)
        if own is not None and (is_absent or hold.due_at <= released):
            return self._left_to_schedule(own, released)
        if not is_absent:
            return None
        is_theirs = hold.kind == "person" and not hold.is_of_plan
        is_over = released >= hold.until and (not is_theirs or self._not_good(self._live_edges()))
        if is_over or is_too_late(hold, self._now):
            return self._not_started()
        if self._may_not_send():
            return None
        action = self._start("its instant had passed while it was held, and no start came")
        of, job_id, edges = self._index.graph.unit, self._job.id, self._index.estate.dependencies
        reads = self._not_good(edge for edge in edges if of(edge.downstream_id) == job_id != of(edge.upstream_id))
        event = (f"{self._name} is started: no start of its own came after its release{reads}",)
        return self._to(HoldState.STARTING, event, action, start_key=action.key)

    def _not_started(self) -> HoldDecision:
        released, start = self._hold.released_at, self._hold.start
        at = ("released at ", At(released), " and ") if released is not None else ()
        waited = f" ({start.text})" if start is not None and start.text else ""
        text = *at, f"not started{self._still_awaited() or f'; {TOO_LATE}'}{waited}"
        return self._to(HoldState.RELEASED, (f"{self._name} was ", *text), detail=text)

    def _left_to_schedule(self, own: datetime, released: datetime) -> HoldDecision:
        """Its next own start replaces the prevented one. If that is near it is watched: its scheduler may miss it."""
        is_near = own - released <= NEAR and (self._hold.due_at or own) <= released
        text = "nothing is started: its schedule starts it at ", At(own)
        state, event = HoldState.WATCHING if is_near else HoldState.RELEASED, (f"{self._name} was released, ", *text)
        business_date = business_date_of(own, None, self._job.zone, self._job.cutoff)
        key = instant_key(own)
        return self._to(state, event, due_at=own, period_key=key, business_date=business_date, detail=text)

    def _start_is_absent(self, released: datetime, due: datetime) -> bool:
        """True if its source has shown no start for long enough after both: `due` is by the source's clock, which may
        be behind. Longer for one that proves no absence (AWS)."""
        target = self._index.estate.targets.get(self._job.target_id)
        if target is None:
            return False
        proved = max(released, due + target.behind) + (WATCH if target.seen_until is not None else WATCH_UNPROVED)
        return self._now >= proved and (target.seen_until or target.last_ok_at or _LONG_AGO) >= proved

    def starting(self) -> HoldDecision | None:
        hold, start = self._hold, self._hold.start
        if start is not None and start.state in ("sent", "verified"):
            return self._to(HoldState.RELEASED, detail=("started by Headway",))
        if has_run(self._runs(), hold):
            return self._to(HoldState.RELEASED, detail=(HAS_RUN,))
        if start is None:
            return self._to(HoldState.RELEASED, (f"{self._name} was not started: it was never requested",))
        if start.state == "requested":  # whatever it waits for: a turn, its source, the end of a freeze
            return self._not_started() if is_too_late(hold, self._now) else None
        if start.state in _UNDER_WAY:
            return None
        if not start.unsent or is_too_late(hold, self._now):
            return self._to(HoldState.RELEASED, (f"{self._name} was not started: {start.text}",), detail=(start.text,))
        if self._may_not_send() or not never_arrived(start, self._now):
            return None
        if hold.due_at is not None and hold.released_at is not None:
            own = own_start_suffices(self._job, hold.due_at, hold.released_at, self._now)
            if own is not None:
                return self._left_to_schedule(own, hold.released_at)
        action = self._start("the first one never arrived")
        event = (f"{self._name} is started once more: {start.text}",)
        return self._to(HoldState.STARTING, event, action, start_key=action.key)

    def clearing(self) -> HoldDecision | None:
        """Removes only the hold mark: from now on a pause of the job is a person's."""
        last, since = self._hold.release, self._hold.released_at or self._now
        if last is not None and (last.ended_at is None or last.ended_at > since):  # an earlier request does not count
            if last.state == "verified":
                return self._to(HoldState.RELEASED, reason=self._hold.reason, detail=(MARK_REMOVED,))
            if last.ended_at is None or self._is_retry_early(last, since):
                return None
        if self._may_not_send():
            return None
        key = derived_key(self._hold.release_key or self._hold.key, "clear")
        parameters = {"hold": self._hold.key, "enable": "no"}
        action = PolicyAction(key, Verb.RELEASE, self._job.id, parameters=parameters, why=self._hold.reason.text())
        return self._to(HoldState.CLEARING, action=action, release_key=key)


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
        target = index.estate.targets.get(job.target_id)
        behind = target.behind if target is not None else timedelta(0)
        decided.turns += [at for at in _turns(hold, behind) if at > index.now]
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


def _turns(hold: HoldFacts, behind: timedelta) -> Iterator[datetime]:
    """`behind`: how far the clock of its target is behind ours."""
    yield hold.until
    yield hold.lasts_until
    if hold.start_of_plan is not None:
        yield hold.start_of_plan
    if hold.due_at is not None:
        yield hold.due_at
        yield from (hold.due_at + behind + WATCH, hold.due_at + behind + WATCH_UNPROVED)
    if hold.released_at is not None:
        yield from (hold.released_at + WATCH, hold.released_at + WATCH_UNPROVED)
