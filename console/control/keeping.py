"""A hold until it is let go: placed, kept, started before its clock, and why it need not be held any more."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from connectors.contract import Verb
from console.control.conditions import are_green, awaited, met_words
from console.control.expected import expects_nothing
from console.control.following import moved_start
from console.control.open_hold import ASK_AGAIN, OpenHold, has_run, named_run
from console.control.placing import AGAIN, BY, never_arrived
from console.control.words import moment
from console.model.decisions import HoldDecision, NewAction
from console.model.ids import derived_key
from console.model.words import NOT_LET_GO, UNSENT_BEFORE_ITS_START, HoldState, Mode

KEPT_FOR_PLAN = "while a plan repairs what it reads"


class Keeping(OpenHold):
    """The steps of what is being placed, and of what is held."""

    def placing(self) -> HoldDecision | None:
        placed, due = self._hold.place, self._hold.due_at or self._hold.start_of_plan
        if placed is None or placed.state in ("refused", "failed"):
            words = placed.words if placed is not None else "it was never asked for"
            return self._to(HoldState.FAILED, self._could_not(words), words=words)
        if placed.state == "verified":
            event = f"{self._name} is held {self._hold.words}".rstrip()
            return self._to(HoldState.HELD, event, None, placed_at=placed.ended_at or self._now, **self._named_due())
        if placed.state == "requested" and due is not None and due <= self._now:
            words = UNSENT_BEFORE_ITS_START
            given_up = self._to(HoldState.FAILED, f"{self._name} was not held: {words}", words=words)
            return replace(given_up, withdraws=self._hold.key)
        return None

    def _named_due(self) -> dict[str, object]:
        """What a person's hold keeps back where no run is expected: the start that its source names now."""
        named = self._job.schedule.next_at
        if self._hold.kind != "person" or named is None or named <= self._now or not expects_nothing(self._job):
            return {}
        run = named_run(self._job, named)
        return {"due_at": run.period_at, "period_key": run.period_key, "bd": run.bd}

    def _could_not(self, words: str) -> str:
        """What is told of a try that failed: the first time that it fails so."""
        hold = self._hold
        tries = (one for one in self._picture.estate.holds if one.job_id == hold.job_id and one.key != hold.key)
        if any(one.period_key == hold.period_key and one.words == words for one in tries if hold.period_key):
            return ""
        told = f"{self._name} could not be held: {words}"
        if hold.due_at is None or self._now >= hold.due_at:
            return told
        return f"{told}; it is tried again until {moment(hold.due_at, self._job.zone, self._now)}"

    def held(self) -> HoldDecision | None:
        if moved := moved_start(self._picture, self._hold, self._job, self._policy):
            return self._to(HoldState.HELD, self._moved_words(moved), None, **moved)
        if self._may_not_send():
            return None
        if taken_over := self._taken_over() or self._kept_for_plan():
            return taken_over
        why, refused = self._why_let_go(), self._hold.words.startswith(NOT_LET_GO)
        if not why:
            return self._held_on() if refused else self._started_early()
        last = self._hold.release
        if last is not None and last.ended_at is not None:
            since = self._hold.released_at or last.ended_at
            if self._rests(last, since, AGAIN if last.unsent else ASK_AGAIN):
                return None
        key = derived_key(self._hold.release_key or self._hold.key, "release")
        action = NewAction(key, Verb.RELEASE, self._job.id, parameters={"hold": self._hold.key}, why=why)
        words = self._hold.words if refused else why
        return self._to(HoldState.RELEASING, f"{self._name} is let go: {why}", action, release_key=key, words=words)

    def _held_on(self) -> HoldDecision:
        """It could not be let go, and need not be any more."""
        hold, edges = self._hold, self._policy.edges if self._policy is not None else ()
        words = f"by {hold.held_by}" if hold.kind == "person" else f"until {met_words(self._picture, edges)}"
        return self._to(HoldState.HELD, words=words)

    def _taken_over(self) -> HoldDecision | None:
        """A person's hold that ran out goes on under its mark as that of a dependency, where one still keeps back what
        came due, or comes within its lead; None else."""
        hold, policy = self._hold, self._policy
        if hold.kind != "person" or self._now < hold.until or policy is None:
            return None
        ahead = timedelta(0) if expects_nothing(self._job) else policy.lead
        run = self._kept_back(self._now + ahead)
        if run is None or run.period_at is None or self._now >= run.period_at + policy.hold_for:
            return None
        left = awaited(self._picture, self._live_edges(), run.bd, run.period_at)
        if not left:
            return None
        words = f"until {met_words(self._picture, left)}"
        event = f"{self._name} is held on {words}: the hold by {hold.held_by} is over"
        return self._to(
            HoldState.HELD, event, kind="reactive", mode=policy.mode, upstream_id=left[0].upstream_id, held_by=BY,
            why=f"{words} (before that held by {hold.held_by})", words=words, until=run.period_at + policy.hold_for,
            due_at=run.period_at, period_key=run.period_key, bd=run.bd,
        )  # fmt: skip

    def _kept_for_plan(self) -> HoldDecision | None:
        """Said once: it ran out, and a plan that would hold its job itself still repairs what that reads. What cannot
        be let go says so on."""
        hold = self._hold
        is_said = hold.words == KEPT_FOR_PLAN or hold.words.startswith(NOT_LET_GO)
        if is_said or not hold.until <= self._now < hold.lasts_until:
            return None
        event = f"{self._name} is held on {KEPT_FOR_PLAN}: the hold by {hold.held_by} is over"
        return self._to(HoldState.HELD, event, words=KEPT_FOR_PLAN)

    def _why_let_go(self) -> str:
        """Why it need not be held any more; empty while it must."""
        hold = self._hold
        if self._now >= hold.lasts_until:
            return f"its time is over{self._still_awaited()}"
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
        return met_words(self._picture, self._policy.edges)

    def _moved_words(self, moved: dict[str, object]) -> str:
        due = moved["due_at"]
        at = f"starts it at {moment(due, self._job.zone, self._now)}" if isinstance(due, datetime) else "names no start"
        return f"{self._name} is held on: the schedule that was accepted {at}"

    def _waits(self) -> bool:
        hold, policy = self._hold, self._policy
        if policy is None or hold.bd is None:
            return False
        return bool(awaited(self._picture, policy.edges, hold.bd, hold.due_at or self._now))

    # started before its clock, and held on
    def _starts_early(self) -> bool:
        hold = self._hold
        if hold.mode is not Mode.TRIGGER or not self._job.starts_held or self._policy is None or hold.bd is None:
            return False
        return are_green(self._picture, self._policy.edges, hold.bd, hold.due_at or self._now)

    def _started_early(self) -> HoldDecision | None:
        hold = self._hold
        if hold.kind == "person" or hold.due_at is None or hold.due_at <= self._now or not self._starts_early():
            return None
        if hold.start_key is not None and not never_arrived(hold.start, self._now):
            return None
        why = met_words(self._picture, self._policy.edges if self._policy else ())
        action = self._start(why, overlap="refuse")  # nothing ran when it was held: what runs was started by a person
        event = f"{self._name} is started before its clock, and held until its instant has passed: {why}"
        return self._to(HoldState.HELD, event, action, start_key=action.key)
