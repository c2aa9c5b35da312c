"""Placing a hold, and keeping it in place until its upstreams are good."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from connectors.sdk.records import instant_key
from connectors.sdk.states import Verb
from console.control.holds.conditions import (
    HoldPolicy,
    all_gates_open,
    all_good_at,
    awaited_edges,
    condition_text,
    live_edges,
    unmet_condition_text,
)
from console.control.holds.open_hold import RELEASE_RETRY_PAUSE, RETRY_PAUSE, OpenHold, never_arrived
from console.control.holds.starts import HAS_RUN, has_run, named_run, next_due_run, ran_on, rescheduled_start
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.reachability import is_out_of_reach
from console.control.snapshot.runs import has_no_clock, has_started
from console.domain.decision import HoldDecision, PolicyAction
from console.domain.dependency import DependencyMode, UpstreamPeriod
from console.domain.estate import DependencyFacts, RunFacts
from console.domain.hold import HOLD_LEAD, RELEASED_BY_PERSON, HoldFacts, HoldReason, HoldState
from console.domain.ids import derived_key, utc_minute
from console.domain.text import At, Text, render
from console.text.cleaning import clean_line
from console.timing.business_dates import business_date_of

BY = "headway"
MAX_DOUBLINGS = 12
"""How often RETRY_PAUSE doubles: to a day and a half."""
LAST_CALL = timedelta(minutes=1)
"""How long before its start a failed hold is reported: time to hold it by hand."""


class HoldPlacement:
    """Decision for a job without a hold, at one moment."""

    def __init__(self, index: EstateIndex, policy: HoldPolicy) -> None:
        self._index = index
        self._now = index.now
        self._policy = policy
        self._job = index.job(policy.job_id)
        self._name = clean_line(self._job.name)
        self._due = next_due_run(index, self._job, index.now)

    def turns(self) -> Iterator[datetime]:
        """Instants at which time alone may change the decision."""
        if self._due is not None and self._due.period_at is not None:
            yield self._due.period_at - HOLD_LEAD
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
        near = due.period_at - HOLD_LEAD <= self._now
        early = self._starts_early(policy, due)
        if not early and not near and not (policy.is_standing and live):
            return None
        awaited = awaited_edges(self._index, policy.edges, due.business_date, due.period_at)
        if not early and near and not awaited:
            return None
        hindered = "it was unobserved" if self._is_unseen() else "a run of it goes on" if self._is_running() else ""
        key, last = self._next_key(due.period_key, due.period_at)
        if hindered or not key:
            failed = last.text if last is not None and last.state is HoldState.FAILED else ()
            why = (hindered,) if hindered else failed
            return self._unheld(policy, due, awaited, why) if live and awaited and why else None
        hold = self._hold(key, policy, due, awaited or policy.edges)
        if not live:
            event = f"would have held {self._name} ", *hold.text, ": it is in shadow"
            return HoldDecision(replace(hold, state=HoldState.SHADOW, ended_at=self._now), None, event=event)
        parameters = {"by": BY, "until": instant_key(hold.until.replace(microsecond=0))}
        action = PolicyAction(key, Verb.HOLD, self._job.id, parameters=parameters, why=(hold.why,))
        return HoldDecision(hold, None, action)

    def _hold(self, key: str, policy: HoldPolicy, due: RunFacts, awaited: Sequence[DependencyFacts]) -> HoldFacts:
        at = due.period_at or self._now
        condition = condition_text(self._index.estate.jobs, awaited)
        kind, reason = "standing" if policy.is_standing else "reactive", HoldReason.AWAITS_UPSTREAM
        return HoldFacts(
            key=key, job_id=self._job.id, upstream_id=awaited[0].upstream_id, business_date=due.business_date,
            kind=kind, mode=policy.mode, state=HoldState.PLACING, held_by=BY,
            why=render(reason.text((condition,)), utc_minute), until=at + policy.hold_for, due_at=at,
            period_key=due.period_key, reason=reason, detail=(condition,),
        )  # fmt: skip

    def _unheld(
        self, policy: HoldPolicy, due: RunFacts, awaited: Sequence[DependencyFacts], why: Text
    ) -> HoldDecision | None:
        """The report, a minute before the start, that nothing holds it."""
        at = due.period_at or self._now
        key = derived_key(self._job.system, self._job.native_id, due.period_key, "not kept back")
        if self._now < at - LAST_CALL or self._is_known(key):
            return None
        text: Text = ("it starts at ", At(at), " by its schedule and is not suppressed: ", *why)
        hold = replace(
            self._hold(key, policy, due, awaited), state=HoldState.FAILED, ended_at=self._now,
            reason=HoldReason.OTHER, detail=text,
        )  # fmt: skip
        unmet = unmet_condition_text(self._index.estate.jobs, awaited)
        return HoldDecision(hold, None, event=(f"{unmet}, and nothing holds {self._name}: ", *text))

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
        pause = RETRY_PAUSE * 2 ** min(len(tries) - 1, MAX_DOUBLINGS)
        if due is not None:
            pause = min(pause, max(RETRY_PAUSE, (due - last.ended_at) / 2))
        return key if self._now - last.ended_at >= pause else "", last

    def _was_undone(self, hold: HoldFacts, about: str) -> bool:
        return hold.job_id == self._job.id and hold.period_key == about and hold.reason in RELEASED_BY_PERSON

    def _triggered(self, policy: HoldPolicy, live: bool) -> HoldDecision | None:
        """The start of a job without a clock, on completion of its upstreams."""
        dates = {run.business_date for edge in policy.edges for run in self._index.runs.get(edge.upstream_id, ())}
        if any(edge.wants.period is not UpstreamPeriod.SAME or edge.wants.check for edge in policy.edges):
            dates.add(business_date_of(self._now, None, self._job.zone, self._job.cutoff))
        for business_date in sorted(dates, reverse=True):
            since = all_good_at(self._index, policy.edges, business_date, self._now)
            if since is None or self._now - since > policy.hold_for:
                continue
            key, _ = self._next_key(f"business_date {business_date}")
            if not key or ran_on(self._index.runs.get(self._job.id, ()), business_date):
                return None
            if self._is_unseen():
                return self._not_started_yet(policy, business_date, since + policy.hold_for) if live else None
            why = condition_text(self._index.estate.jobs, policy.edges)
            hold = self._trigger(key, policy, business_date, self._now + policy.hold_for, why)
            if not live:
                event = (f"would have started {self._name}, {why}: it is in shadow",)
                return HoldDecision(replace(hold, state=HoldState.SHADOW, ended_at=self._now), None, event=event)
            start_key = derived_key(key, "start")
            hold = replace(hold, start_key=start_key)
            action = PolicyAction(start_key, Verb.START, self._job.id, why=(why,), origin="trigger", overlap="queue")
            return HoldDecision(hold, None, action, event=(f"{self._name} is started: {why}",))
        return None

    def _not_started_yet(self, policy: HoldPolicy, business_date: date, until: datetime) -> HoldDecision | None:
        key = derived_key(self._job.system, self._job.native_id, f"business_date {business_date}", "not started yet")
        target = self._index.estate.targets.get(self._job.target_id)
        if target is None or not target.polls_fail or self._is_known(key):
            return None
        text = "its source does not answer; it is started once observed again, until ", At(until)
        hold = self._trigger(key, policy, business_date, until, "")
        hold = replace(hold, state=HoldState.FAILED, ended_at=self._now, detail=text)
        condition = condition_text(self._index.estate.jobs, policy.edges)
        return HoldDecision(hold, None, event=(f"{condition}, and {self._name} is not started: ", *text))

    def _trigger(self, key: str, policy: HoldPolicy, business_date: date, until: datetime, why: str) -> HoldFacts:
        return HoldFacts(
            key=key, job_id=self._job.id, upstream_id=policy.edges[0].upstream_id, business_date=business_date,
            kind="trigger", mode=DependencyMode.TRIGGER, state=HoldState.STARTING, held_by=BY,
            why=why, until=until, due_at=None, period_key="",
        )  # fmt: skip


class HoldUpkeep(OpenHold):
    """Steps of a hold that is being placed, or is in place."""

    def placing(self) -> HoldDecision | None:
        placed, due = self._hold.place, self._hold.due_at or self._hold.start_of_plan
        if placed is None or placed.state in ("refused", "failed"):
            text = placed.text if placed is not None else "it was never requested"
            return self._to(HoldState.FAILED, self._failure_event(text), detail=(text,))
        if placed.state == "verified":
            event = (f"{self._name} is held", *((" ", *self._hold.text) if self._hold.text else ()))
            placed_at = placed.sent_at or placed.ended_at or self._now
            return self._to(HoldState.HELD, event, None, placed_at=placed_at, **self._named_due())
        if placed.state == "requested" and due is not None and due <= self._now:
            reason = HoldReason.NOT_SENT_IN_TIME
            failed = self._to(HoldState.FAILED, (f"{self._name} was not held: ", *reason.text()), reason=reason)
            return replace(failed, withdraws=self._hold.key)
        return None

    def _named_due(self) -> dict[str, object]:
        named = self._job.schedule.next_at
        if self._hold.kind != "person" or named is None or named <= self._now or not has_no_clock(self._job):
            return {}
        run = named_run(self._job, named)
        return {"due_at": run.period_at, "period_key": run.period_key, "business_date": run.business_date}

    def _failure_event(self, text: str) -> Text:
        """Empty if an earlier attempt for the same period failed with the same text."""
        hold = self._hold
        earlier = (
            attempt
            for attempt in self._index.estate.holds
            if attempt.job_id == hold.job_id and attempt.key != hold.key and attempt.period_key == hold.period_key
        )
        if hold.period_key and any(attempt.text == (text,) for attempt in earlier):
            return ()
        event = f"{self._name} could not be held: {text}"
        if hold.due_at is None or self._now >= hold.due_at:
            return (event,)
        return f"{event}; it is tried again until ", At(hold.due_at)

    def held(self) -> HoldDecision | None:
        if moved := rescheduled_start(self._index, self._hold, self._job, self._policy):
            due = moved["due_at"]
            start: Text = ("starts it at ", At(due)) if isinstance(due, datetime) else ("names no start",)
            event = f"{self._name} is held on: the schedule that was accepted ", *start
            return self._to(HoldState.HELD, event, None, **moved)
        if self._may_not_send():
            return None
        if extended := self._taken_over() or self._extended_by_plan():
            return extended
        release_reason, is_refused = self._release_reason(), self._hold.reason is HoldReason.RELEASE_FAILED
        if release_reason is None:
            return self._still_needed() if is_refused else self._started_early()
        last = self._hold.release
        if last is not None and last.ended_at is not None:
            since = self._hold.released_at or last.ended_at
            if self._is_retry_early(last, since, RETRY_PAUSE if last.unsent else RELEASE_RETRY_PAUSE):
                return None
        key = derived_key(self._hold.release_key or self._hold.key, "release")
        reason, detail = release_reason
        why = reason.text(detail)
        action = PolicyAction(key, Verb.RELEASE, self._job.id, parameters={"hold": self._hold.key}, why=why)
        stated: dict[str, object] = {} if is_refused else {"reason": reason, "detail": detail}
        return self._to(HoldState.RELEASING, (f"{self._name} is released: ", *why), action, release_key=key, **stated)

    def _still_needed(self) -> HoldDecision:
        """The hold whose release failed and that must not be released any more."""
        if self._hold.kind == "person":
            return self._to(HoldState.HELD, reason=HoldReason.BY_PERSON, detail=(self._hold.held_by,))
        edges = self._policy.edges if self._policy is not None else ()
        condition = condition_text(self._index.estate.jobs, edges)
        return self._to(HoldState.HELD, reason=HoldReason.AWAITS_UPSTREAM, detail=(condition,))

    def _taken_over(self) -> HoldDecision | None:
        """A person's expired hold, continued under its mark as that of a dependency that still holds a start: one that
        came due, or comes within its lead. None if no dependency does."""
        hold, policy = self._hold, self._policy
        if hold.kind != "person" or self._now < hold.until or policy is None:
            return None
        ahead = timedelta(0) if has_no_clock(self._job) else HOLD_LEAD
        run = self._prevented_run(self._now + ahead)
        if run is None or run.period_at is None or self._now >= run.period_at + policy.hold_for:
            return None
        awaited = awaited_edges(self._index, self._live_edges(), run.business_date, run.period_at)
        if not awaited:
            return None
        reason, condition = HoldReason.AWAITS_UPSTREAM, condition_text(self._index.estate.jobs, awaited)
        text = reason.text((condition,))
        event = f"{self._name} is held on ", *text, f": the hold by {hold.held_by} has ended"
        return self._to(
            HoldState.HELD, event, reason=reason, detail=(condition,), kind="reactive", mode=policy.mode,
            upstream_id=awaited[0].upstream_id, held_by=BY, until=run.period_at + policy.hold_for,
            why=f"{render(text, utc_minute)} (before that held by {hold.held_by})",
            due_at=run.period_at, period_key=run.period_key, business_date=run.business_date,
        )  # fmt: skip

    def _extended_by_plan(self) -> HoldDecision | None:
        hold, reason = self._hold, HoldReason.AWAITS_PLAN
        is_stated = hold.reason in (reason, HoldReason.RELEASE_FAILED)
        if is_stated or not hold.until <= self._now < hold.lasts_until:
            return None
        event = f"{self._name} is held on ", *reason.text(), f": the hold by {hold.held_by} has ended"
        return self._to(HoldState.HELD, event, reason=reason)

    def _release_reason(self) -> tuple[HoldReason, Text] | None:
        """Why it is to be released now, with its detail; None if it is still needed."""
        hold = self._hold
        if self._now >= hold.lasts_until:
            return HoldReason.OTHER, (f"its time has ended{self._still_awaited()}",)
        if hold.kind == "person":
            return None
        if has_run(self._runs(), hold):
            is_early = hold.start_key is not None and not self._passed()
            return None if is_early else (HoldReason.OTHER, (HAS_RUN,))
        if self._policy is None:
            return HoldReason.OTHER, ("no dependency holds it any more",)
        if hold.due_at is None:
            return HoldReason.OTHER, ("its schedule names no start any more",)
        if never_met := self._never_met():
            return (HoldReason.NOT_NEEDED, (never_met,)) if self._passed() else None
        if self._waits() or self._now < hold.due_at - HOLD_LEAD:
            return None
        if self._starts_early() and not self._passed():
            return None
        condition = condition_text(self._index.estate.jobs, self._policy.edges)
        return (HoldReason.OTHER, (condition,)) if condition else None

    def _waits(self) -> bool:
        hold, policy = self._hold, self._policy
        if policy is None or hold.business_date is None:
            return False
        return bool(awaited_edges(self._index, policy.edges, hold.business_date, hold.due_at or self._now))

    def _starts_early(self) -> bool:
        """True if it may be started before its clock, and held until its instant has passed."""
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
        event = (f"{self._name} is started before its clock, and held until its instant has passed: {why}",)
        return self._to(HoldState.HELD, event, action, start_key=action.key)
