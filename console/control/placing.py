"""Which job is held next, and which one without a clock is started: `control.holds` carries on from there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from connectors.contract import Verb, instant_key
from console.clean import clean_line
from console.control.conditions import Policy, all_good_at, are_green, awaited, live_edges, met_words, unmet_words
from console.control.expected import expects_nothing, has_started
from console.control.open_hold import next_start, ran_on
from console.control.periods import business_date
from console.control.picture import Picture
from console.control.sight import out_of_sight
from console.control.words import moment
from console.model.decisions import HoldDecision, NewAction
from console.model.holds import ActionFacts, HoldFacts
from console.model.ids import derived_key
from console.model.values import DependencyFacts, RunFacts
from console.model.wants import Period
from console.model.words import BY_A_PERSON, MARK_WAS_GONE, HoldState, Mode

BY = "headway"
AGAIN = timedelta(seconds=30)
"""Until what never arrived is asked for again, and what was refused for the first time."""
DOUBLED = 12
"""So often the pause between two tries doubles: to a day and a half."""
LAST_CALL = timedelta(minutes=1)
"""So long before its start it is told that nothing keeps it back: time to do it by hand."""


def never_arrived(action: ActionFacts | None, now: datetime) -> bool:
    """True where an action ended without having arrived, long enough ago to be asked for again."""
    if action is None:
        return True
    return action.unsent and action.ended_at is not None and now - action.ended_at >= AGAIN


class New:
    """What a policy wants of a job that nobody holds, at one moment."""

    def __init__(self, picture: Picture, policy: Policy) -> None:
        self._picture = picture
        self._now = picture.now
        self._policy = policy
        self._job = picture.job(policy.job_id)
        self._name = clean_line(self._job.name)
        self._due = next_start(picture, self._job, picture.now)

    def turns(self) -> Iterator[datetime]:
        if self._due is not None and self._due.period_at is not None:
            yield self._due.period_at - self._policy.lead
            yield self._due.period_at - LAST_CALL

    def decide(self) -> HoldDecision | None:
        """The hold to place, or the start to make, or that nothing keeps it back; None when there is nothing to do."""
        modes = self._picture.estate.modes
        if modes.frozen is not None or self._job.paused_since is not None or self._job.gone_since is not None:
            return None
        live = live_edges(self._picture, self._policy)
        policy = replace(self._policy, edges=tuple(live)) if live else self._policy
        if self._due is None and expects_nothing(self._job):
            return self._triggered(policy, bool(live)) if policy.mode is Mode.TRIGGER else None
        return self._placed(policy, bool(live))

    def _is_unseen(self) -> bool:
        """What it runs now is not known; once it was looked at, there is still time or none."""
        estate = self._picture.estate
        return out_of_sight(estate.targets.get(self._job.target_id), self._now, estate.settings)

    def _placed(self, policy: Policy, live: bool) -> HoldDecision | None:
        due = self._due
        if due is None or due.period_at is None:
            return None
        near = due.period_at - policy.lead <= self._now
        early = self._starts_early(policy, due)
        if not early and not near and not (policy.stands and live):
            return None
        left = awaited(self._picture, policy.edges, due.bd, due.period_at)
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
        action = NewAction(key, Verb.HOLD, self._job.id, parameters=parameters, why=hold.why)
        return HoldDecision(hold, None, action)

    def _hold(self, key: str, policy: Policy, due: RunFacts, waited: Sequence[DependencyFacts]) -> HoldFacts:
        at = due.period_at or self._now
        words = f"until {met_words(self._picture, waited)}"
        return HoldFacts(
            key=key, job_id=self._job.id, upstream_id=waited[0].upstream_id, bd=due.bd,
            kind="standing" if policy.stands else "reactive", mode=policy.mode, state=HoldState.PLACING, held_by=BY,
            why=words, until=at + policy.hold_for, due_at=at, period_key=due.period_key, words=words,
        )  # fmt: skip

    def _not_kept_back(
        self, policy: Policy, due: RunFacts, left: Sequence[DependencyFacts], why: str
    ) -> HoldDecision | None:
        """Told once for a period, when its start is at hand: a row that failed, beside those of the tries."""
        at = due.period_at or self._now
        key = derived_key(self._job.system, self._job.native_id, due.period_key, "not kept back")
        if self._now < at - LAST_CALL or self._is_known(key):
            return None
        words = f"it starts at {moment(at, self._job.zone, self._now)} by its own clock and is not kept back: {why}"
        hold = self._hold(key, policy, due, left)
        hold = replace(hold, state=HoldState.FAILED, ended_at=self._now, words=words)
        why_not = unmet_words(self._picture, left)
        return HoldDecision(hold, None, event=f"{why_not}, and nothing holds {self._name}: {words}")

    def _starts_early(self, policy: Policy, due: RunFacts) -> bool:
        """Held so that it may be started before its clock, whose own start must then not come."""
        if policy.mode is not Mode.TRIGGER or not self._job.starts_held:
            return False
        return are_green(self._picture, policy.edges, due.bd, due.period_at or self._now)

    def _is_known(self, key: str) -> bool:
        return any(hold.key == key for hold in self._picture.estate.holds)

    def _is_running(self) -> bool:
        """A paused DAG does not go on with the tasks of its runs: what runs is let run."""
        runs = self._picture.runs.get(self._job.id, ())
        return any(has_started(run) and run.state.is_open and not self._picture.is_unknown(run) for run in runs)

    def _next_key(self, about: str, due: datetime | None = None) -> tuple[str, HoldFacts | None]:
        """The key of a hold for this period, empty where it was held, or tried so lately that it is too early for the
        next try; and the last try. The pauses double, and are never longer than half of what was left until `due`."""
        known = {hold.key: hold for hold in self._picture.estate.holds}
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
        """True where a person let it go at its source for that period, whichever it was placed for."""
        by_a_person = hold.words.startswith(BY_A_PERSON) or hold.words.endswith(MARK_WAS_GONE)
        return hold.job_id == self._job.id and hold.period_key == about and by_a_person

    # no clock: started on completion
    def _triggered(self, policy: Policy, live: bool) -> HoldDecision | None:
        """Once for the latest business date for which all of its upstreams are good since a time that still counts."""
        for bd in sorted(self._dates(policy), reverse=True):
            since = all_good_at(self._picture, policy.edges, bd, self._now)
            if since is None or self._now - since > policy.hold_for:
                continue
            key, _ = self._next_key(f"bd {bd}")
            if not key or ran_on(self._picture.runs.get(self._job.id, ()), bd):
                return None
            if self._is_unseen():
                return self._not_started_yet(policy, bd, since + policy.hold_for) if live else None
            return self._started(policy, live, key, bd)
        return None

    def _not_started_yet(self, policy: Policy, bd: date, until: datetime) -> HoldDecision | None:
        """Told once for a business date, of a source that fails: an engine that has just begun has not looked yet."""
        key = derived_key(self._job.system, self._job.native_id, f"bd {bd}", "not started yet")
        target = self._picture.estate.targets.get(self._job.target_id)
        if target is None or target.failing_since is None or self._is_known(key):
            return None
        by = moment(until, self._job.zone, self._now)
        words = f"its source is out of sight; it is started once it is seen, until {by}"
        hold = self._trigger(key, policy, bd, until, words)
        hold = replace(hold, state=HoldState.FAILED, ended_at=self._now)
        event = f"{met_words(self._picture, policy.edges)}, and {self._name} is not started: {words}"
        return HoldDecision(hold, None, event=event)

    def _dates(self, policy: Policy) -> set[date]:
        """Of its upstreams' runs; and that of now, for which a run of another date may be read."""
        found = {run.bd for each in policy.edges for run in self._picture.runs.get(each.upstream_id, ())}
        if any(each.wants.period is not Period.SAME or each.wants.check for each in policy.edges):
            found.add(business_date(self._now, None, self._job.zone, self._job.cutoff))
        return found

    def _started(self, policy: Policy, live: bool, key: str, bd: date) -> HoldDecision:
        why = met_words(self._picture, policy.edges)
        hold = self._trigger(key, policy, bd, self._now + policy.hold_for, why)
        if not live:
            event = f"would have started {self._name}, {why}: it is in shadow"
            return HoldDecision(replace(hold, state=HoldState.SHADOW, ended_at=self._now), None, event=event)
        start_key = derived_key(key, "start")
        hold = replace(hold, start_key=start_key)
        action = NewAction(start_key, Verb.START, self._job.id, why=why, origin="trigger", overlap="queue")
        return HoldDecision(hold, None, action, event=f"{self._name} is started: {why}")

    def _trigger(self, key: str, policy: Policy, bd: date, until: datetime, words: str) -> HoldFacts:
        return HoldFacts(
            key=key, job_id=self._job.id, upstream_id=policy.edges[0].upstream_id, bd=bd, kind="trigger",
            mode=Mode.TRIGGER, state=HoldState.STARTING, held_by=BY, why=words, until=until, due_at=None, period_key="",
            words=words,
        )  # fmt: skip
