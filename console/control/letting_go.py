"""A hold after it was let go: did its own start come? If not, it is started once. After a person let it go at its
source, its mark is taken away.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from connectors.contract import Verb, instant_key
from console.control.following import moved_start
from console.control.open_hold import HAS_RUN, NEAR, TOO_LATE, OpenHold, has_run, is_too_late
from console.control.own_clock import stands_in
from console.control.periods import business_date
from console.control.placing import never_arrived
from console.control.words import moment
from console.model.decisions import HoldDecision, NewAction
from console.model.holds import ActionFacts, HoldFacts
from console.model.ids import derived_key
from console.model.words import MARK_GONE, NOT_LET_GO, HoldState

WATCH = timedelta(seconds=30)
"""A source that was seen for so long after a release, or after the instant, and shows no start, has made none."""
WATCH_UNPROVED = timedelta(minutes=2)
"""The same of a source that proves no absence: AWS starts within the minute of its instant, and lists what it started a
moment later."""
_UNDER_WAY = ("sending", "unknown")
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class LettingGo(OpenHold):
    """The steps of what is enabled again, watched, and started."""

    def releasing(self) -> HoldDecision | None:
        release = self._hold.release
        if release is None or release.state in ("refused", "failed"):
            return self._still_held(release)
        if release.state != "verified":
            return None
        released = release.ended_at or self._now
        kept_back = self._kept_back(released)
        if kept_back is None:
            moved = moved_start(self._picture, self._hold, self._job, self._policy)
            return self._to(HoldState.WATCHING, "", None, released_at=released, **moved)
        return self._to(
            HoldState.WATCHING,
            released_at=released,
            due_at=kept_back.period_at,
            period_key=kept_back.period_key,
            bd=kept_back.bd,
        )

    def _still_held(self, release: ActionFacts | None) -> HoldDecision:
        """Of what Headway could not let go a person is told, once for a hold: nothing else brings its run. Who asked
        for it themselves reads it where they asked, and of a plan's release its plan tells, which stops; what a freeze
        stopped goes on by itself."""
        why = release.words if release is not None else "it was never asked for"
        still = self._to(HoldState.HELD, f"{self._name} is still held: {why}", words=f"{NOT_LET_GO}{why}")
        told = self._hold.released_at is not None
        told = told or (release is not None and release.origin == "plan" and self._hold.is_told_by_plan)
        if told or release is None or release.origin == "person" or self._may_not_send():
            return still
        since = release.ended_at or self._now
        return replace(still, hold=replace(still.hold, released_at=since), tells=why)

    def watching(self) -> HoldDecision | None:
        hold = self._hold
        released = hold.released_at or self._now
        if has_run(self._runs(), hold):
            return self._to(HoldState.RELEASED, words=HAS_RUN)
        if moved := moved_start(self._picture, self._hold, self._job, self._policy):
            return self._to(HoldState.WATCHING, "", None, **moved)
        if hold.due_at is None:
            return self._to(HoldState.RELEASED, words="nothing came due while it was held")
        if hold.due_at - released > NEAR:
            words = f"its own clock starts it at {moment(hold.due_at, self._job.zone, self._now)}"
            return self._to(HoldState.RELEASED, words=words)
        refused = hold.start is not None and hold.start.state == "refused"  # before its clock: nothing was started
        if hold.start_key is not None and not refused and not never_arrived(hold.start, self._now):
            return self._to(HoldState.STARTING)
        is_absent = self._start_is_absent(max(released, hold.due_at))
        if is_absent and (words := self._not_needed()):
            return self._to(HoldState.RELEASED, f"{self._name} was let go and not started; {words}", words=words)
        own = stands_in(self._job, hold.due_at, released, self._now)
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
        event = f"{self._name} is started: no start of its own came after it was let go{self._reads()}"
        return self._to(HoldState.STARTING, event, action, start_key=action.key)

    def _not_started(self) -> HoldDecision:
        """It is over for good; what waited to be sent is withdrawn."""
        released, start = self._hold.released_at, self._hold.start
        told = f"let go at {moment(released, self._job.zone, self._now)} and " if released is not None else ""
        waited = f" ({start.words})" if start is not None and start.words else ""
        words = f"{told}not started{self._still_awaited() or f'; {TOO_LATE}'}{waited}"
        return self._to(HoldState.RELEASED, f"{self._name} was {words}", words=words)

    def _left_to_its_clock(self, own: datetime, released: datetime) -> HoldDecision:
        """Its next instant stands for what was kept back. One that is near is watched: its scheduler may miss it."""
        is_near = own - released <= NEAR and (self._hold.due_at or own) <= released
        words = f"nothing is started: its own clock starts it at {moment(own, self._job.zone, self._now)}"
        return self._to(
            HoldState.WATCHING if is_near else HoldState.RELEASED,
            f"{self._name} was let go, {words}",
            due_at=own,
            period_key=instant_key(own),
            bd=business_date(own, None, self._job.zone, self._job.cutoff),
            words=words,
        )

    def _start_is_absent(self, since: datetime) -> bool:
        """A source that proves no absence of starts (AWS) is believed when it answers, after a longer while."""
        target = self._picture.estate.targets.get(self._job.target_id)
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
            return self._to(HoldState.RELEASED, f"{self._name} was not started: it was never asked for")
        if start.state == "requested":  # whatever it waits for: a turn, its source, the end of a freeze
            return self._not_started() if is_too_late(hold, self._now) else None
        if start.state in _UNDER_WAY:
            return None
        if not start.unsent or is_too_late(hold, self._now):
            return self._to(HoldState.RELEASED, f"{self._name} was not started: {start.words}", words=start.words)
        return self._started_again(hold, start)

    def _started_again(self, hold: HoldFacts, start: ActionFacts) -> HoldDecision | None:
        """The first one never arrived: once more, where its own clock does not stand for it by now."""
        if self._may_not_send() or not never_arrived(start, self._now):
            return None
        if hold.due_at is not None and hold.released_at is not None:
            own = stands_in(self._job, hold.due_at, hold.released_at, self._now)
            if own is not None:
                return self._left_to_its_clock(own, hold.released_at)
        action = self._start("the first one never arrived")
        return self._to(HoldState.STARTING, f"{self._name} is started once more: {start.words}", action,
                        start_key=action.key)  # fmt: skip

    def clearing(self) -> HoldDecision | None:
        """Our mark alone is asked away, until it is: whatever pauses the job from now on is a person's."""
        last, since = self._hold.release, self._hold.released_at or self._now
        if last is not None and (last.ended_at is None or last.ended_at > since):  # what was asked before is no answer
            if last.state == "verified":
                return self._to(HoldState.RELEASED, words=f"{self._hold.words}{MARK_GONE}")
            if last.ended_at is None or self._rests(last, since):
                return None
        if self._may_not_send():
            return None
        key = derived_key(self._hold.release_key or self._hold.key, "clear")
        parameters = {"hold": self._hold.key, "enable": "no"}
        action = NewAction(key, Verb.RELEASE, self._job.id, parameters=parameters, why=self._hold.words)
        return self._to(HoldState.CLEARING, action=action, release_key=key)
