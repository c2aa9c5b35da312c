"""The state machine of holds: which downstreams are held, released and started, and when.

placing -> held -> releasing -> watching -> (starting ->) released, or failed if it was never placed. Each
transition follows the end of an action, or requests one under a key made of what it is about: the same hold
requested twice is one. One hold per job, however many upstreams, and one per period: an ended hold is not placed again
for it.

Placed: before a start by the clock, within the lead while an upstream is not good (reactive), or always (standing).
Not where a person paused the job, nor while a run of it goes on: Airflow schedules no further tasks of a paused
DAG.
Released: when every upstream that holds it is good, when no dependency wants it any more, when it started all the
same, or when its time has ended. In that last case nothing is started, and that is reported: a person decides.
Started: if the instant had passed before the release, and its source has been seen for WATCH after that without a
start: once. If the instant is still ahead its own clock starts it; if its next one is so near that both would
start, that one replaces the suppressed start.

Trigger: a job without a clock is started once for a business date, when all its upstreams are good. One with a
clock is started before its instant if its kind can start what is held (`starts_held`), and stays held until the
instant has passed; otherwise it waits for its clock. So a start is neither lost nor doubled.

The start that a hold keeps back follows the accepted schedule while it is still ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from connectors.sdk.records import instant_key
from connectors.sdk.states import RunEvidence, RunState, Verb
from console.control.holds.conditions import (
    HoldPolicy,
    all_gates_open,
    all_good_at,
    awaited_edges,
    condition_text,
    edges_never_met,
    hold_policies,
    live_edges,
    unmet_condition_text,
)
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.reachability import is_out_of_reach
from console.control.snapshot.runs import has_no_clock, has_started
from console.domain.decision import HoldDecision, PolicyAction
from console.domain.dependency import DependencyMode, UpstreamPeriod
from console.domain.estate import DependencyFacts, EvaluationSettings, JobFacts, RunFacts, TargetFacts
from console.domain.hold import (
    ENABLED_AT_SOURCE,
    MARK_REMOVED,
    NOT_NEEDED,
    NOT_SENT_IN_TIME,
    RELEASE_FAILED,
    RELEASED_AT_SOURCE,
    HoldActionFacts,
    HoldFacts,
    HoldState,
)
from console.domain.ids import derived_key
from console.text.cleaning import clean_line
from console.timing.business_dates import business_date_of
from console.timing.formats import zoned_time
from console.timing.schedule import last_instant, next_instant

BEGINS_WITHIN = timedelta(seconds=60)
"""Delay of a start that is sent: pg_cron starts a one-shot at its next minute (tests/lab)."""
FREQUENT = timedelta(minutes=10)
"""If a job runs at least this often, its newest period replaces those before it."""


def own_start_suffices(job: JobFacts, kept_back: datetime, released: datetime, now: datetime) -> datetime | None:
    """The next start by its own schedule that replaces the start that was kept back; None if ours would come first.

    It does if it has passed already, if it comes within the time in which ours could begin (a minute, at least the
    job's grace), or if the job is frequent.
    """
    own = next_instant(job.schedule, max(kept_back, released))
    if own is None:
        return None
    if own <= now + max(BEGINS_WITHIN, job.grace):
        return own
    after = next_instant(job.schedule, own)
    return own if after is not None and after - own < FREQUENT else None


NEAR = timedelta(minutes=2)
"""A hold released closer to its start than this is watched: the scheduler may have missed it."""
ASK_AGAIN = timedelta(minutes=5)
"""First pause before a refused release is requested again; then it doubles."""
SELDOM = timedelta(hours=1)
"""The longest of these pauses."""
LATE = timedelta(minutes=5)
"""How long after the end of a hold its start is still made: an engine may have been down."""
TOO_LATE = "it was too late to start it"
HAS_RUN = "its run has started"
FOREVER = datetime.max.replace(tzinfo=UTC)


def has_run(runs: Iterable[RunFacts], hold: HoldFacts) -> bool:
    """True if the start that it kept back came all the same; a skipped run needs none. `runs`: of its job. For a
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
    """The start that only its source names: it has no row."""
    business_date = business_date_of(at, None, job.zone, job.cutoff)
    return RunFacts(0, job.id, instant_key(at), at, business_date, RunState.PLANNED, RunEvidence.INFERRED)


def next_start(index: EstateIndex, job: JobFacts, since: datetime) -> RunFacts | None:
    """First start after `since` by its accepted schedule that has not come; if only its source names it, without a
    row."""
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
    return now >= max(hold.until, hold.released_at or hold.until) + LATE


def why_not_started(hold: HoldFacts, runs: Iterable[RunFacts], now: datetime) -> str:
    """Why its requested start is not made any more; empty while it is pending. `runs`: of its job. Checked again
    right before the start is sent: it may have waited for hours."""
    if hold.state.is_over or hold.state is HoldState.CLEARING:
        return hold.words or "the hold has ended"
    if has_run(runs, hold):
        return HAS_RUN
    return TOO_LATE if is_too_late(hold, now) else ""


def may_have_run(target: TargetFacts | None, now: datetime) -> bool:
    """True if its source was not polled lately: its own start is unknown."""
    return target is None or target.failing_since is not None or is_out_of_reach(target, now, EvaluationSettings())


class OpenHold:
    """An open hold, and the helpers of its steps."""

    def __init__(self, index: EstateIndex, hold: HoldFacts, job: JobFacts, policy: HoldPolicy | None) -> None:
        self._index = index
        self._now = index.now
        self._hold = hold
        self._job = job
        self._policy = policy
        self._name = clean_line(job.name)

    def _to(
        self, state: HoldState, event: str = "", action: PolicyAction | None = None, **changes: object
    ) -> HoldDecision:
        if state.is_over:
            changes["ended_at"] = self._now
        hold = replace(self._hold, state=state, **changes)  # type: ignore[arg-type]  # by field name
        start = self._hold.start
        waits = state.is_over and start is not None and start.state == "requested"
        return HoldDecision(hold, self._hold.state, action, hold.start_key or "" if waits else "", event)

    def _runs(self) -> Iterable[RunFacts]:
        return self._index.runs.get(self._hold.job_id, ())

    def _kept_back(self, until: datetime) -> RunFacts | None:
        """The last run whose instant lies between its placing and `until`: one start stands for all of them."""
        since = self._hold.placed_at or until
        waiting = (run for run in self._runs() if not has_started(run) and run.period_at is not None)
        late = [run for run in waiting if since <= (run.period_at or until) <= until]
        if late or self._hold.due_at is None or not has_no_clock(self._job):
            return late[-1] if late else None
        return named_run(self._job, self._hold.due_at) if self._hold.due_at <= until else None

    def _may_not_send(self) -> bool:
        modes = self._index.estate.modes
        if modes.frozen is not None:
            return True
        return not modes.system_is_live(self._job.system) and not self._live_edges()

    def _live_edges(self) -> list[DependencyFacts]:
        return live_edges(self._index, self._policy) if self._policy is not None else []

    def _rests(self, last: HoldActionFacts, since: datetime, pause: timedelta = ASK_AGAIN) -> bool:
        if last.ended_at is None:
            return False
        return self._now - last.ended_at < min(SELDOM, max(pause, last.ended_at - since))

    def _still_awaited(self) -> str:
        return self._not_good(self._policy.edges if self._policy is not None else ())

    def _not_needed(self) -> str:
        hold = self._hold
        if self._policy is None or hold.business_date is None or hold.kind == "person":
            return ""
        found = edges_never_met(self._index, self._policy.edges, hold.business_date, hold.due_at or self._now)
        return f"{NOT_NEEDED}{unmet_condition_text(self._index.estate.jobs, found)}" if found else ""

    def _passed(self) -> bool:
        return self._hold.due_at is None or self._now >= self._hold.due_at + NEAR

    def _not_good(self, edges: Iterable[DependencyFacts]) -> str:
        hold = self._hold
        if hold.business_date is None:
            return ""
        awaited = awaited_edges(self._index, edges, hold.business_date, hold.due_at or self._now)
        return f"; {unmet_condition_text(self._index.estate.jobs, awaited)}" if awaited else ""

    def _start(self, why: str, overlap: str = "queue") -> PolicyAction:
        hold = self._hold
        key = derived_key(hold.start_key or hold.key, "start")
        parameters = {} if hold.due_at is None else {"period_at": instant_key(hold.due_at)}
        origin = "trigger" if hold.mode is DependencyMode.TRIGGER else "hold"
        return PolicyAction(key, Verb.START, self._job.id, hold.period_key, parameters, why, origin, overlap)


_OVER = ("refused", "failed")


def rescheduled_start(
    index: EstateIndex, hold: HoldFacts, job: JobFacts, policy: HoldPolicy | None
) -> dict[str, object]:
    """Changes of a hold by a newly accepted schedule: its start, and its end by that; no start if the schedule has
    none. Empty without a change. A start that came due while it was held stays pending."""
    runs = index.runs.get(job.id, ())
    if hold.due_at is None or hold.placed_at is None:
        return {}
    if hold.due_at <= index.now and not _was_taken_back(job, hold.placed_at, hold.due_at):
        return {}
    is_started = hold.start_key is not None and (hold.start is None or hold.start.state not in _OVER)
    if is_started or has_run(runs, hold) or _keeps_its_run(hold, runs):
        return {}
    run = _kept_back(index, job, hold.placed_at)
    if run is None:
        is_known = job.accepted_at is not None and (job.accepted_at > hold.placed_at or not has_no_clock(job))
        return {"due_at": None, "period_key": ""} if is_known else {}
    if run.period_at is None or run.period_key == hold.period_key:
        return {}
    until = hold.until if policy is None or hold.kind == "person" else run.period_at + policy.hold_for
    return {"due_at": run.period_at, "period_key": run.period_key, "business_date": run.business_date, "until": until}


def _kept_back(index: EstateIndex, job: JobFacts, since: datetime) -> RunFacts | None:
    """The next one of all that came up since; of several that have passed the last stands for all."""
    first = next_start(index, job, since)
    while first is not None and first.period_at is not None and first.period_at <= index.now:
        after = next_start(index, job, first.period_at)
        if after is None or after.period_at is None or after.period_at > index.now:
            break
        first = after
    return first


def _was_taken_back(job: JobFacts, placed: datetime, due: datetime) -> bool:
    if job.accepted_at is None or not placed < job.accepted_at <= due:
        return False
    if job.schedule.dialect == "none":
        return job.schedule.next_at is None and not job.schedule.text
    return last_instant(job.schedule, due) != due


def _keeps_its_run(hold: HoldFacts, runs: Iterable[RunFacts]) -> bool:
    if hold.kind == "standing" and hold.state is HoldState.HELD:
        return False
    return any(run.period_key == hold.period_key for run in runs)


BY = "headway"
AGAIN = timedelta(seconds=30)
"""Pause before an undelivered or refused request is repeated."""
DOUBLED = 12
"""How often that pause doubles: to a day and a half."""
LAST_CALL = timedelta(minutes=1)
"""How long before its start a failed hold is reported: time to hold it by hand."""


def never_arrived(action: HoldActionFacts | None, now: datetime) -> bool:
    """True if an action ended without arriving, long enough ago to repeat it."""
    if action is None:
        return True
    return action.unsent and action.ended_at is not None and now - action.ended_at >= AGAIN


class HoldPlacement:
    """Decision for a job without a hold, at one moment."""

    def __init__(self, index: EstateIndex, policy: HoldPolicy) -> None:
        self._index = index
        self._now = index.now
        self._policy = policy
        self._job = index.job(policy.job_id)
        self._name = clean_line(self._job.name)
        self._due = next_start(index, self._job, index.now)

    def turns(self) -> Iterator[datetime]:
        if self._due is not None and self._due.period_at is not None:
            yield self._due.period_at - self._policy.lead
            yield self._due.period_at - LAST_CALL

    def decide(self) -> HoldDecision | None:
        """The hold to place, the start to make, or the report that it is not held; None if there is nothing to do."""
        modes = self._index.estate.modes
        if modes.frozen is not None or self._job.paused_since is not None or self._job.gone_since is not None:
            return None
        live = live_edges(self._index, self._policy)
        policy = replace(self._policy, edges=tuple(live)) if live else self._policy
        if self._due is None and has_no_clock(self._job):
            return self._triggered(policy, bool(live)) if policy.mode is DependencyMode.TRIGGER else None
        return self._placed(policy, bool(live))

    def _is_unseen(self) -> bool:
        estate = self._index.estate
        return is_out_of_reach(estate.targets.get(self._job.target_id), self._now, estate.settings)

    def _placed(self, policy: HoldPolicy, live: bool) -> HoldDecision | None:
        due = self._due
        if due is None or due.period_at is None:
            return None
        near = due.period_at - policy.lead <= self._now
        early = self._starts_early(policy, due)
        if not early and not near and not (policy.is_standing and live):
            return None
        left = awaited_edges(self._index, policy.edges, due.business_date, due.period_at)
        if not early and near and not left:
            return None
        waited = left or policy.edges
        hindered = "it was out of sight" if self._is_unseen() else "a run of it goes on" if self._is_running() else ""
        key, last = self._next_key(due.period_key, due.period_at)
        if hindered or not key:
            why = hindered or (last.words if last is not None and last.state is HoldState.FAILED else "")
            return self._not_kept_back(policy, due, left, why) if live and left and why else None
        hold = self._hold(key, policy, due, waited)
        if not live:
            event = f"would have held {self._name} {hold.words}: it is in shadow"
            return HoldDecision(replace(hold, state=HoldState.SHADOW, ended_at=self._now), None, event=event)
        parameters = {"by": BY, "until": instant_key(hold.until.replace(microsecond=0))}
        action = PolicyAction(key, Verb.HOLD, self._job.id, parameters=parameters, why=hold.why)
        return HoldDecision(hold, None, action)

    def _hold(self, key: str, policy: HoldPolicy, due: RunFacts, waited: Sequence[DependencyFacts]) -> HoldFacts:
        at = due.period_at or self._now
        words = f"until {condition_text(self._index.estate.jobs, waited)}"
        kind = "standing" if policy.is_standing else "reactive"
        return HoldFacts(
            key=key, job_id=self._job.id, upstream_id=waited[0].upstream_id, business_date=due.business_date,
            kind=kind, mode=policy.mode, state=HoldState.PLACING, held_by=BY,
            why=words, until=at + policy.hold_for, due_at=at, period_key=due.period_key, words=words,
        )  # fmt: skip

    def _not_kept_back(
        self, policy: HoldPolicy, due: RunFacts, left: Sequence[DependencyFacts], why: str
    ) -> HoldDecision | None:
        at = due.period_at or self._now
        key = derived_key(self._job.system, self._job.native_id, due.period_key, "not kept back")
        if self._now < at - LAST_CALL or self._is_known(key):
            return None
        words = f"it starts at {zoned_time(at, self._job.zone, self._now)} by its schedule and is not suppressed: {why}"
        hold = self._hold(key, policy, due, left)
        hold = replace(hold, state=HoldState.FAILED, ended_at=self._now, words=words)
        why_not = unmet_condition_text(self._index.estate.jobs, left)
        return HoldDecision(hold, None, event=f"{why_not}, and nothing holds {self._name}: {words}")

    def _starts_early(self, policy: HoldPolicy, due: RunFacts) -> bool:
        """Held so that it may be started before its clock, whose own start must then not come."""
        if policy.mode is not DependencyMode.TRIGGER or not self._job.starts_held:
            return False
        return all_gates_open(self._index, policy.edges, due.business_date, due.period_at or self._now)

    def _is_known(self, key: str) -> bool:
        return any(hold.key == key for hold in self._index.estate.holds)

    def _is_running(self) -> bool:
        runs = self._index.runs.get(self._job.id, ())
        return any(has_started(run) and run.state.is_open and not self._index.is_unknown(run) for run in runs)

    def _next_key(self, about: str, due: datetime | None = None) -> tuple[str, HoldFacts | None]:
        """The key of a hold for this period, empty where it was held, or tried so lately that it is too early for the
        next try; and the last try. The pauses double, and are never longer than half of what was left until `due`."""
        known = {hold.key: hold for hold in self._index.estate.holds}
        key, tries = derived_key(self._job.system, self._job.native_id, about, "hold"), list[HoldFacts]()
        if any(self._was_undone(hold, about) for hold in known.values()):
            return "", None
        while key in known:
            if known[key].period_key == about or known[key].kind == "trigger":  # else it followed its schedule
                tries.append(known[key])
            key = derived_key(key, "again")
        if not tries:
            return key, None
        last = tries[-1]
        if last.state is not HoldState.FAILED or last.ended_at is None:
            return "", last
        pause = AGAIN * 2 ** min(len(tries) - 1, DOUBLED)
        if due is not None:
            pause = min(pause, max(AGAIN, (due - last.ended_at) / 2))
        return key if self._now - last.ended_at >= pause else "", last

    def _was_undone(self, hold: HoldFacts, about: str) -> bool:
        by_a_person = hold.words.startswith(ENABLED_AT_SOURCE) or hold.words.endswith(RELEASED_AT_SOURCE)
        return hold.job_id == self._job.id and hold.period_key == about and by_a_person

    # no clock: started on completion
    def _triggered(self, policy: HoldPolicy, live: bool) -> HoldDecision | None:
        dates = {run.business_date for edge in policy.edges for run in self._index.runs.get(edge.upstream_id, ())}
        if any(edge.wants.period is not UpstreamPeriod.SAME or edge.wants.check for edge in policy.edges):
            dates.add(business_date_of(self._now, None, self._job.zone, self._job.cutoff))
        for business_date in sorted(dates, reverse=True):
            since = all_good_at(self._index, policy.edges, business_date, self._now)
            if since is None or self._now - since > policy.hold_for:
                continue
            key, _ = self._next_key(f"bd {business_date}")
            if not key or ran_on(self._index.runs.get(self._job.id, ()), business_date):
                return None
            if self._is_unseen():
                return self._not_started_yet(policy, business_date, since + policy.hold_for) if live else None
            why = condition_text(self._index.estate.jobs, policy.edges)
            hold = self._trigger(key, policy, business_date, self._now + policy.hold_for, why)
            if not live:
                event = f"would have started {self._name}, {why}: it is in shadow"
                return HoldDecision(replace(hold, state=HoldState.SHADOW, ended_at=self._now), None, event=event)
            start_key = derived_key(key, "start")
            hold = replace(hold, start_key=start_key)
            action = PolicyAction(start_key, Verb.START, self._job.id, why=why, origin="trigger", overlap="queue")
            return HoldDecision(hold, None, action, event=f"{self._name} is started: {why}")
        return None

    def _not_started_yet(self, policy: HoldPolicy, business_date: date, until: datetime) -> HoldDecision | None:
        key = derived_key(self._job.system, self._job.native_id, f"bd {business_date}", "not started yet")
        target = self._index.estate.targets.get(self._job.target_id)
        if target is None or target.failing_since is None or self._is_known(key):
            return None
        by = zoned_time(until, self._job.zone, self._now)
        words = f"its source is out of sight; it is started once it is seen, until {by}"
        hold = self._trigger(key, policy, business_date, until, words)
        hold = replace(hold, state=HoldState.FAILED, ended_at=self._now)
        event = f"{condition_text(self._index.estate.jobs, policy.edges)}, and {self._name} is not started: {words}"
        return HoldDecision(hold, None, event=event)

    def _trigger(self, key: str, policy: HoldPolicy, business_date: date, until: datetime, text: str) -> HoldFacts:
        return HoldFacts(
            key=key, job_id=self._job.id, upstream_id=policy.edges[0].upstream_id, business_date=business_date,
            kind="trigger", mode=DependencyMode.TRIGGER, state=HoldState.STARTING, held_by=BY,
            why=text, until=until, due_at=None, period_key="", words=text,
        )  # fmt: skip


KEPT_FOR_PLAN = "while a plan repairs what it reads"


class HoldKeeping(OpenHold):
    """The steps of what is being placed, and of what is held."""

    def placing(self) -> HoldDecision | None:
        placed, due = self._hold.place, self._hold.due_at or self._hold.start_of_plan
        if placed is None or placed.state in ("refused", "failed"):
            words = placed.words if placed is not None else "it was never requested"
            return self._to(HoldState.FAILED, self._could_not(words), words=words)
        if placed.state == "verified":
            event = f"{self._name} is held {self._hold.words}".rstrip()
            return self._to(HoldState.HELD, event, None, placed_at=placed.ended_at or self._now, **self._named_due())
        if placed.state == "requested" and due is not None and due <= self._now:
            words = NOT_SENT_IN_TIME
            given_up = self._to(HoldState.FAILED, f"{self._name} was not held: {words}", words=words)
            return replace(given_up, withdraws=self._hold.key)
        return None

    def _named_due(self) -> dict[str, object]:
        named = self._job.schedule.next_at
        if self._hold.kind != "person" or named is None or named <= self._now or not has_no_clock(self._job):
            return {}
        run = named_run(self._job, named)
        return {"due_at": run.period_at, "period_key": run.period_key, "business_date": run.business_date}

    def _could_not(self, text: str) -> str:
        hold = self._hold
        tries = (one for one in self._index.estate.holds if one.job_id == hold.job_id and one.key != hold.key)
        if any(attempt.period_key == hold.period_key and attempt.words == text for attempt in tries if hold.period_key):
            return ""
        told = f"{self._name} could not be held: {text}"
        if hold.due_at is None or self._now >= hold.due_at:
            return told
        return f"{told}; it is tried again until {zoned_time(hold.due_at, self._job.zone, self._now)}"

    def held(self) -> HoldDecision | None:
        if moved := rescheduled_start(self._index, self._hold, self._job, self._policy):
            due = moved["due_at"]
            start = "names no start"
            if isinstance(due, datetime):
                start = f"starts it at {zoned_time(due, self._job.zone, self._now)}"
            event = f"{self._name} is held on: the schedule that was accepted {start}"
            return self._to(HoldState.HELD, event, None, **moved)
        if self._may_not_send():
            return None
        if taken_over := self._taken_over() or self._kept_for_plan():
            return taken_over
        why, refused = self._why_let_go(), self._hold.words.startswith(RELEASE_FAILED)
        if not why:
            if refused:
                edges = self._policy.edges if self._policy is not None else ()
                until = f"until {condition_text(self._index.estate.jobs, edges)}"
                words = f"by {self._hold.held_by}" if self._hold.kind == "person" else until
                return self._to(HoldState.HELD, words=words)
            return self._started_early()
        last = self._hold.release
        if last is not None and last.ended_at is not None:
            since = self._hold.released_at or last.ended_at
            if self._rests(last, since, AGAIN if last.unsent else ASK_AGAIN):
                return None
        key = derived_key(self._hold.release_key or self._hold.key, "release")
        action = PolicyAction(key, Verb.RELEASE, self._job.id, parameters={"hold": self._hold.key}, why=why)
        words = self._hold.words if refused else why
        return self._to(HoldState.RELEASING, f"{self._name} is released: {why}", action, release_key=key, words=words)

    def _taken_over(self) -> HoldDecision | None:
        """A person's hold that ran out goes on under its mark as that of a dependency, where one still keeps back what
        came due, or comes within its lead; None else."""
        hold, policy = self._hold, self._policy
        if hold.kind != "person" or self._now < hold.until or policy is None:
            return None
        ahead = timedelta(0) if has_no_clock(self._job) else policy.lead
        run = self._kept_back(self._now + ahead)
        if run is None or run.period_at is None or self._now >= run.period_at + policy.hold_for:
            return None
        left = awaited_edges(self._index, self._live_edges(), run.business_date, run.period_at)
        if not left:
            return None
        words = f"until {condition_text(self._index.estate.jobs, left)}"
        event = f"{self._name} is held on {words}: the hold by {hold.held_by} has ended"
        return self._to(
            HoldState.HELD, event, kind="reactive", mode=policy.mode, upstream_id=left[0].upstream_id, held_by=BY,
            why=f"{words} (before that held by {hold.held_by})", words=words, until=run.period_at + policy.hold_for,
            due_at=run.period_at, period_key=run.period_key, business_date=run.business_date,
        )  # fmt: skip

    def _kept_for_plan(self) -> HoldDecision | None:
        hold = self._hold
        is_said = hold.words == KEPT_FOR_PLAN or hold.words.startswith(RELEASE_FAILED)
        if is_said or not hold.until <= self._now < hold.lasts_until:
            return None
        event = f"{self._name} is held on {KEPT_FOR_PLAN}: the hold by {hold.held_by} has ended"
        return self._to(HoldState.HELD, event, words=KEPT_FOR_PLAN)

    def _why_let_go(self) -> str:
        hold = self._hold
        if self._now >= hold.lasts_until:
            return f"its time has ended{self._still_awaited()}"
        if hold.kind == "person":
            return ""
        if has_run(self._runs(), hold):
            early = hold.start_key is not None
            return "" if early and not self._passed() else "its run has started"
        if self._policy is None:
            return "no dependency holds it any more"
        if hold.due_at is None:
            return "its schedule names no start any more"
        if not_needed := self._not_needed():
            return not_needed if self._passed() else ""
        if self._waits() or self._now < hold.due_at - self._policy.lead:
            return ""
        if self._starts_early() and not self._passed():
            return ""
        return condition_text(self._index.estate.jobs, self._policy.edges)

    def _waits(self) -> bool:
        hold, policy = self._hold, self._policy
        if policy is None or hold.business_date is None:
            return False
        return bool(awaited_edges(self._index, policy.edges, hold.business_date, hold.due_at or self._now))

    # started before its clock, and held on
    def _starts_early(self) -> bool:
        hold = self._hold
        if hold.mode is not DependencyMode.TRIGGER or not self._job.starts_held:
            return False
        if self._policy is None or hold.business_date is None:
            return False
        return all_gates_open(self._index, self._policy.edges, hold.business_date, hold.due_at or self._now)

    def _started_early(self) -> HoldDecision | None:
        hold = self._hold
        if hold.kind == "person" or hold.due_at is None or hold.due_at <= self._now or not self._starts_early():
            return None
        if hold.start_key is not None and not never_arrived(hold.start, self._now):
            return None
        why = condition_text(self._index.estate.jobs, self._policy.edges if self._policy else ())
        action = self._start(why, overlap="refuse")  # a run now was started by a person: none ran when it was held
        event = f"{self._name} is started before its clock, and held until its instant has passed: {why}"
        return self._to(HoldState.HELD, event, action, start_key=action.key)


WATCH = timedelta(seconds=30)
"""A source that was polled for this long after the release, or the start, without showing a run has started none."""
WATCH_UNPROVED = timedelta(minutes=2)
"""The same for a source that proves no absence: AWS starts within the minute, and lists starts a moment later."""
_UNDER_WAY = ("sending", "unknown")
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class HoldRelease(OpenHold):
    """The steps of what is enabled again, watched, and started."""

    def releasing(self) -> HoldDecision | None:
        release = self._hold.release
        if release is None or release.state in ("refused", "failed"):
            why = release.words if release is not None else "it was never requested"
            still = self._to(HoldState.HELD, f"{self._name} is still held: {why}", words=f"{RELEASE_FAILED}{why}")
            told = self._hold.released_at is not None
            told = told or (release is not None and release.origin == "plan" and self._hold.is_told_by_plan)
            if told or release is None or release.origin == "person" or self._may_not_send():
                return still
            since = release.ended_at or self._now
            return replace(still, hold=replace(still.hold, released_at=since), tells=why)
        if release.state != "verified":
            return None
        released = release.ended_at or self._now
        kept_back = self._kept_back(released)
        if kept_back is None:
            moved = rescheduled_start(self._index, self._hold, self._job, self._policy)
            return self._to(HoldState.WATCHING, "", None, released_at=released, **moved)
        return self._to(
            HoldState.WATCHING, released_at=released, due_at=kept_back.period_at, period_key=kept_back.period_key,
            business_date=kept_back.business_date,
        )  # fmt: skip

    def watching(self) -> HoldDecision | None:
        hold = self._hold
        released = hold.released_at or self._now
        if has_run(self._runs(), hold):
            return self._to(HoldState.RELEASED, words=HAS_RUN)
        if moved := rescheduled_start(self._index, self._hold, self._job, self._policy):
            return self._to(HoldState.WATCHING, "", None, **moved)
        if hold.due_at is None:
            return self._to(HoldState.RELEASED, words="nothing came due while it was held")
        if hold.due_at - released > NEAR:
            words = f"its schedule starts it at {zoned_time(hold.due_at, self._job.zone, self._now)}"
            return self._to(HoldState.RELEASED, words=words)
        refused = hold.start is not None and hold.start.state == "refused"  # before its clock: nothing was started
        if hold.start_key is not None and not refused and not never_arrived(hold.start, self._now):
            return self._to(HoldState.STARTING)
        is_absent = self._start_is_absent(max(released, hold.due_at))
        if is_absent and (words := self._not_needed()):
            return self._to(HoldState.RELEASED, f"{self._name} was released and not started; {words}", words=words)
        own = own_start_suffices(self._job, hold.due_at, released, self._now)
        if own is not None and (is_absent or hold.due_at <= released):
            return self._left_to_its_clock(own, released)
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
        event = f"{self._name} is started: no start of its own came after its release{reads}"
        return self._to(HoldState.STARTING, event, action, start_key=action.key)

    def _not_started(self) -> HoldDecision:
        released, start = self._hold.released_at, self._hold.start
        told = f"released at {zoned_time(released, self._job.zone, self._now)} and " if released is not None else ""
        waited = f" ({start.words})" if start is not None and start.words else ""
        words = f"{told}not started{self._still_awaited() or f'; {TOO_LATE}'}{waited}"
        return self._to(HoldState.RELEASED, f"{self._name} was {words}", words=words)

    def _left_to_its_clock(self, own: datetime, released: datetime) -> HoldDecision:
        """Its next instant stands for what was kept back. One that is near is watched: its scheduler may miss it."""
        is_near = own - released <= NEAR and (self._hold.due_at or own) <= released
        words = f"nothing is started: its schedule starts it at {zoned_time(own, self._job.zone, self._now)}"
        state, event = HoldState.WATCHING if is_near else HoldState.RELEASED, f"{self._name} was released, {words}"
        business_date = business_date_of(own, None, self._job.zone, self._job.cutoff)
        key = instant_key(own)
        return self._to(state, event, due_at=own, period_key=key, business_date=business_date, words=words)

    def _start_is_absent(self, since: datetime) -> bool:
        """A source that proves no absence of starts (AWS) is believed when it answers, after a longer while."""
        target = self._index.estate.targets.get(self._job.target_id)
        if target is None:
            return False
        proved = since + (WATCH if target.seen_until is not None else WATCH_UNPROVED)
        return self._now >= proved and (target.seen_until or target.last_ok_at or _LONG_AGO) >= proved

    def starting(self) -> HoldDecision | None:
        hold, start = self._hold, self._hold.start
        if start is not None and start.state in ("sent", "verified"):
            return self._to(HoldState.RELEASED, words="started by Headway")
        if has_run(self._runs(), hold):
            return self._to(HoldState.RELEASED, words=HAS_RUN)
        if start is None:
            return self._to(HoldState.RELEASED, f"{self._name} was not started: it was never requested")
        if start.state == "requested":  # whatever it waits for: a turn, its source, the end of a freeze
            return self._not_started() if is_too_late(hold, self._now) else None
        if start.state in _UNDER_WAY:
            return None
        if not start.unsent or is_too_late(hold, self._now):
            return self._to(HoldState.RELEASED, f"{self._name} was not started: {start.words}", words=start.words)
        if self._may_not_send() or not never_arrived(start, self._now):
            return None
        if hold.due_at is not None and hold.released_at is not None:
            own = own_start_suffices(self._job, hold.due_at, hold.released_at, self._now)
            if own is not None:
                return self._left_to_its_clock(own, hold.released_at)
        action = self._start("the first one never arrived")
        return self._to(HoldState.STARTING, f"{self._name} is started once more: {start.words}", action,
                        start_key=action.key)  # fmt: skip

    def clearing(self) -> HoldDecision | None:
        """Removes only our mark: from now on a pause of the job is a person's."""
        last, since = self._hold.release, self._hold.released_at or self._now
        if last is not None and (last.ended_at is None or last.ended_at > since):  # an earlier request does not count
            if last.state == "verified":
                return self._to(HoldState.RELEASED, words=f"{self._hold.words}{MARK_REMOVED}")
            if last.ended_at is None or self._rests(last, since):
                return None
        if self._may_not_send():
            return None
        key = derived_key(self._hold.release_key or self._hold.key, "clear")
        parameters = {"hold": self._hold.key, "enable": "no"}
        action = PolicyAction(key, Verb.RELEASE, self._job.id, parameters=parameters, why=self._hold.words)
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
        if job is None or hold.state.is_over or hold.state is HoldState.FOUND:
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
    keeping, letting_go = HoldKeeping(index, hold, job, policy), HoldRelease(index, hold, job, policy)
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
