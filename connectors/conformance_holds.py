"""The conformance tests of hold and release: what a kind promises of jobs that are kept from starting."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from unittest import SkipTest

from connectors.conformance_acts import ActsConformance
from connectors.conformance_support import new_key
from connectors.contract import (
    HOLD_MARK,
    Absent,
    Ask,
    CannotTell,
    Capability,
    Connector,
    JobRecord,
    NativeHold,
    NotSupported,
    OutcomeUnknown,
    Preview,
    RunRef,
    State,
    Verb,
    instant_key,
)

HOLDER = "alice"


class HoldConformance(ActsConformance):
    """What HOLD and RELEASE promise."""

    def test_preview_of_a_hold_sends_nothing(self) -> None:
        self.needs("hold", Capability.HOLD)
        job_id = self.a_holdable_job()
        trace = self.native_trace()
        with self.opened() as connector:
            preview = connector.preview(hold_ask(job_id), self.timeout_seconds)
            assert preview.refused is None, f"refused: {preview.refused}"
            assert all((preview.verb, preview.words, preview.scope, preview.native_calls)), f"words lack: {preview}"
            assert json.loads(json.dumps(dict(preview.plan))) == dict(preview.plan), "the plan does not survive JSON"
            assert self.holds_of(connector, job_id) == [], "the preview holds the job"
            assert isinstance(self.found(connector, preview, new_key()), Absent | CannotTell)
        assert self.native_trace() == trace, "the preview changed the world"

    def test_held_job_shows_who_until_when_and_where_and_is_the_same_job_paused(self) -> None:
        self.needs("hold", Capability.HOLD)
        job_id = self.a_holdable_job()
        with self.opened() as connector:
            before = self.job(connector, job_id)
        assert not before.paused, f"{job_id} is paused before anybody held it"
        with self.held(job_id) as (key, ask), self.opened() as connector:
            (hold,) = self.holds_of(connector, job_id)
            until = datetime.fromisoformat(ask.parameters["until"])
            assert (hold.mark.id, hold.mark.by, hold.mark.until) == (key, HOLDER, until)
            assert HOLD_MARK.fullmatch(hold.mark.text), f"not a mark that others can find: {hold.mark.text!r}"
            assert hold.where, "nobody is told where the mark stands"
            now = self.job(connector, job_id)
            assert now.paused, "a held job is not shown as paused"
            assert as_defined(now) == as_defined(before), "a held job looks like another job"

    def test_release_restores_the_definition_exactly(self) -> None:
        self.needs("hold", Capability.HOLD)
        job_id = self.a_holdable_job()
        trace = self.native_trace()
        with self.opened() as connector:
            before = self.job(connector, job_id)
        with self.held(job_id) as (key, _), self.opened() as connector:
            preview = self.allowed(connector, release_ask(job_id, key))
            release = new_key()
            assert isinstance(self.found(connector, preview, release), Absent | CannotTell), "released before it was"
            assert self.sent(connector, preview, release), "no native reference"
            assert self.arrived(connector, preview, release), "the release is not found"
        with self.opened() as connector:
            after = self.job(connector, job_id)
            assert self.holds_of(connector, job_id) == [], "released, and the mark is still there"
            assert (as_defined(after), after.paused) == (as_defined(before), False), "released, and not as it was"
        assert self.less_history(self.native_trace()) == self.less_history(trace), "the release left something behind"

    def less_history(self, trace: object) -> object:
        """The trace less what a hold and its release may leave behind (a history of changes, notes)."""
        return trace

    def test_same_key_again_is_one_hold(self) -> None:
        self.needs("hold", Capability.HOLD)
        job_id = self.a_holdable_job()
        with self.opened() as connector:
            preview = self.allowed(connector, hold_ask(job_id))
        with self.held(job_id, preview=preview) as (key, _), self.opened() as connector:
            with suppress(NotSupported):  # a receipt or a refusal, never a second hold
                connector.act(preview, key, self.timeout_seconds)
            assert [hold.mark.id for hold in self.holds_of(connector, job_id)] == [key]
            assert self.arrived(connector, preview, key), "held, and not found under its key"

    def test_job_that_is_held_is_not_held_by_another(self) -> None:
        self.needs("hold", Capability.HOLD)
        job_id = self.a_holdable_job()
        with self.opened() as connector:
            late = self.allowed(connector, hold_ask(job_id, "bob"))  # made while nobody held it
        with self.held(job_id) as (key, _), self.opened() as connector:
            assert connector.preview(hold_ask(job_id, "bob"), self.timeout_seconds).refused, "held twice by preview"
            self.refuses(connector, late, new_key())
            assert [hold.mark.id for hold in self.holds_of(connector, job_id)] == [key]

    def test_release_of_a_mark_that_is_not_there_is_refused_and_changes_nothing(self) -> None:
        self.needs("hold", Capability.HOLD)
        job_id = self.a_holdable_job()
        with self.held(job_id) as (key, _), self.opened() as connector:
            before, foreign = self.job(connector, job_id), new_key()
            preview = connector.preview(release_ask(job_id, foreign), self.timeout_seconds)
            assert preview.refused, f"the hold of another would be released: {preview.words}"
            self.refuses(connector, preview, new_key())
            assert [hold.mark.id for hold in self.holds_of(connector, job_id)] == [key]
            assert self.job(connector, job_id) == replace(before, schedule=self.job(connector, job_id).schedule)

    def test_job_that_a_person_paused_is_neither_held_nor_released(self) -> None:
        self.needs("hold", Capability.HOLD)
        job_id = self.a_holdable_job()
        with self.opened() as connector:
            late = self.allowed(connector, hold_ask(job_id))
        self.pause_by_hand(job_id)
        try:
            trace = self.native_trace()
            with self.opened() as connector:
                self.refuses(connector, late, new_key())
                for ask in (hold_ask(job_id), release_ask(job_id, new_key())):
                    with suppress(NotSupported):
                        assert connector.preview(ask, self.timeout_seconds).refused, f"{ask.verb} of a person's pause"
                assert self.holds_of(connector, job_id) == []
            assert self.native_trace() == trace, "a person's pause was changed"
        finally:
            self.resume_by_hand(job_id)

    def test_job_that_a_person_enabled_loses_our_mark_alone_and_a_later_pause_is_theirs(self) -> None:
        self.needs("hold", Capability.HOLD)
        job_id = self.a_holdable_job()
        with self.held(job_id) as (key, _), self.opened() as connector:
            self.resume_by_hand(job_id)
            self.wait("the bare mark", lambda: [key] == self.bare_marks(connector, job_id))
            ask = release_ask(job_id, key)
            preview = self.allowed(connector, replace(ask, parameters={**ask.parameters, "enable": "no"}))
            self.pause_by_hand(job_id)
            try:
                assert self.sent(connector, preview, new_key()), "no native reference"
                assert self.arrived(connector, preview, new_key()), "the mark is gone, and that is not found"
                jobs = {job.native_id: job for job in self.whole_inventory(connector).jobs}
                assert job_id not in jobs or jobs[job_id].paused, "a person's pause was ended"
                assert [] == self.bare_marks(connector, job_id), "the mark is still there"
                assert self.holds_of(connector, job_id) == [], "a person's pause is taken for ours"
            finally:
                self.resume_by_hand(job_id)

    def bare_marks(self, connector: Connector, job_id: str) -> list[str]:
        found = connector.holds(self.timeout_seconds, [job_id])
        return [one.mark.id for one in found if one.job == job_id and one.bare]

    def test_held_job_does_not_start_and_starts_again_when_released(self) -> None:
        self.needs("due", Capability.HOLD)
        job_id = self.a_holdable_job()
        with self.held(job_id), self.opened() as connector:
            before = set(self.runs_of(connector, job_id))
            self.let_it_fall_due(job_id)
            new = set(self.runs_of(connector, job_id)) - before
            assert new == set(), f"held, and started: {sorted(new)}"
        self.let_it_fall_due(job_id)
        with self.opened() as connector:  # else the first half proved nothing
            self.wait("a native start after the release", lambda: set(self.runs_of(connector, job_id)) - before)

    def test_job_that_is_held_starts_under_our_key_and_stays_held(self) -> None:
        if not self.kind.starts_held:
            raise SkipTest(f"{self.kind.kind} starts nothing that is held")
        self.needs("start", Capability.START)
        self.needs("hold", Capability.HOLD)
        job_id, start = self.a_job_to_start_held(), new_key()
        with self.held(job_id) as (key, _), self.opened() as connector:
            cursor = list(self.bites(connector, ""))[-1].cursor
            self.sent(connector, self.allowed(connector, self.start_ask(job_id)), start)
            self.wait("the run of the held job", lambda: self.ended_under(connector, cursor, start))
            assert [hold.mark.id for hold in self.holds_of(connector, job_id)] == [key], "started, and held no more"

    # helpers

    @contextmanager
    def held(self, job_id: str, preview: Preview | None = None) -> Iterator[tuple[str, Ask]]:
        """Holds the job and yields the mark's id and what was asked; nobody holds it any more after this."""
        key, ask = new_key(), hold_ask(job_id)
        with self.opened() as connector:
            preview = preview or self.allowed(connector, ask)
            assert self.sent(connector, preview, key), "no native reference"
        try:
            with self.opened() as connector:
                self.wait("the hold", lambda: self.holds_of(connector, job_id))
            yield key, ask
        finally:
            self.let_go(job_id)

    def let_go(self, job_id: str) -> None:
        """Releases every hold of the job. A source that is too busy to say whether it did is asked again."""
        with self.opened() as connector:
            self.wait("the release", lambda: self._is_let_go(connector, job_id))

    def _is_let_go(self, connector: Connector, job_id: str) -> bool:
        for hold in self.holds_of(connector, job_id):
            preview = self.allowed(connector, release_ask(job_id, hold.mark.id))
            with suppress(OutcomeUnknown):
                connector.act(preview, new_key(), self.timeout_seconds)
        return not self.holds_of(connector, job_id)

    def holds_of(self, connector: Connector, job_id: str) -> list[NativeHold]:
        return [hold for hold in connector.holds(self.timeout_seconds) if hold.job == job_id]

    def job(self, connector: Connector, job_id: str) -> JobRecord:
        jobs = {job.native_id: job for job in self.whole_inventory(connector).jobs}
        assert job_id in jobs, f"{job_id} is gone from the inventory"
        return jobs[job_id]


def hold_ask(job_id: str, by: str = HOLDER) -> Ask:
    """A hold for two hours."""
    until = instant_key((datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0))
    return Ask(Verb.HOLD, RunRef(job_id, "", "", ""), State.PLANNED, {"by": by, "until": until, "why": "upstream red"})


def release_ask(job_id: str, mark_id: str) -> Ask:
    return Ask(Verb.RELEASE, RunRef(job_id, "", "", ""), State.HELD, {"hold": mark_id})


def as_defined(job: JobRecord) -> JobRecord:
    """The job less what a hold may change: whether it is paused, and so when it starts next."""
    return replace(job, paused=False, schedule=replace(job.schedule, next_at=None))
