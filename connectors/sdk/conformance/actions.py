"""Conformance of actions: start, cancel, schedules, hold and release, and requests that are still in flight.

A slow connection leaves no trace at the source and arrives all the same: only time proves an absence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from unittest import SkipTest

from connectors.sdk.conformance.world import (
    ConformanceWorld,
    check_run,
    identity,
    is_rerun,
    new_key,
    ref,
    requires,
    through_json,
)
from connectors.sdk.contract import (
    HOLD_MARK,
    ActionAbsent,
    ActionFound,
    ActionSpec,
    ActionUnknown,
    Connector,
    NativeHold,
    Preview,
)
from connectors.sdk.errors import NotSupported, OutcomeUnknown
from connectors.sdk.records import JobRecord, Poll, RunRecord, RunRef, instant_key
from connectors.sdk.states import RunState, Verb

GIVEN = {"day": "2026-11-19", "limit": 5, "dry": False}
HOLDER = "alice"


class Reruns(ConformanceWorld):
    """RERUN: previewed, sent once, found again."""

    checks = "rerun"
    shows_reruns: ClassVar[bool] = True
    """Whether the source shows which rerun is ours. Else one whose reply is lost stays unknown, and the receipt names
    the attempt."""

    def test_preview_names_what_would_be_sent_and_sends_nothing(self) -> None:
        run = self.latest(self.a_rerunnable_failure())
        trace = self.native_trace()
        with self.opened() as connector:
            before = {identity(item) for poll in self.polls_until_end(connector, "") for item in poll.runs}
            preview = connector.preview(self.ask(run), self.timeout_seconds)
            after = {
                identity(item) for poll in self.polls_until_end(connector, "") for item in poll.runs if item.action_key
            }
        check_preview(preview)
        assert after <= before, f"the preview started {sorted(after - before)}"
        assert self.native_trace() == trace, "the preview changed the world"

    def test_run_that_never_started_can_be_requested(self) -> None:
        """A MISSED run has no row at the source, only its job and period: it gets a preview, or a reason why not."""
        job_id = self.a_rerunnable_failure()
        missed = RunRef(job_id, "2026-11-19T03:00:00Z", "", "")
        with self.opened() as connector, suppress(NotSupported):
            preview = connector.preview(ActionSpec(Verb.RERUN, missed, RunState.MISSED), self.timeout_seconds)
            assert preview.refused or preview.native_calls, f"neither a call nor a reason: {preview}"

    def test_key_that_was_never_sent_is_not_found(self) -> None:
        run = self.latest(self.a_rerunnable_failure())
        with self.opened() as connector:
            preview = connector.preview(self.ask(run), self.timeout_seconds)
            answer = connector.look_up(preview, new_key(), self.timeout_seconds)
        assert isinstance(answer, ActionAbsent | ActionUnknown), f"an unsent key was found: {answer}"

    def test_rerun_is_sent_once_found_again_and_becomes_an_attempt(self) -> None:
        run, key = self.latest(self.a_rerunnable_failure()), new_key()
        with self.opened() as connector:
            before = list(self.polls_until_end(connector, ""))
            preview = through_json(connector.preview(self.ask(run), self.timeout_seconds))
            receipt = connector.act(preview, key, self.timeout_seconds)
            assert receipt.native_ref, f"no native reference: {receipt}"
        with self.opened() as connector:  # another one, without our memory
            answer = ActionFound if self.shows_reruns else ActionUnknown
            self.wait("the rerun is found", lambda: isinstance(self.found(connector, preview, key), answer))
            new = self.wait("the rerun's attempt", lambda: self.attempt_of(connector, before, run, key))
            assert new.job == run.job, f"the rerun of {run.job} is reported as a run of {new.job}"
            assert isinstance(self.found(connector, preview, key), answer), "found once and then no more"
            assert self.shows_reruns or new.attempt_key == receipt.native_ref, "the receipt names another attempt"

    def test_run_is_rerun_twice_and_each_rerun_is_found(self) -> None:
        """A source may show the key of one rerun alone: a second one that is called absent is sent again."""
        run = self.latest(self.a_rerunnable_failure())
        first = self.rerun(run)
        self.rerun(first if first.native_ref == run.native_ref else run)

    def rerun(self, run: RunRecord) -> RunRecord:
        """Reruns it, and waits until that is found and has ended. Returns its attempt. Raises SkipTest where the run is
        refused, because it was repaired."""
        key, answer = new_key(), ActionFound if self.shows_reruns else ActionUnknown
        with self.opened() as connector:
            before = list(self.polls_until_end(connector, ""))
            preview = through_json(connector.preview(self.ask(run), self.timeout_seconds))
            if preview.refused:
                raise SkipTest(preview.refused)
            assert not self.arrived(connector, preview, key), "an unsent key was found"
            connector.act(preview, key, self.timeout_seconds)
        with self.opened() as connector:
            self.wait("the rerun is found", lambda: isinstance(self.found(connector, preview, key), answer))
            ended = self.wait("the end of the rerun", lambda: self.attempt_of(connector, before, run, key))
            result = self.found(connector, preview, key)
            assert isinstance(result, answer), f"found once and then no more: {result}"
            return ended

    @requires("network")
    def test_rerun_that_may_still_arrive_is_not_absent(self) -> None:
        self.check_on_its_way(self.ask(self.latest(self.a_rerunnable_failure())))

    def attempt_of(self, connector: Connector, before: Sequence[Poll], run: RunRecord, key: str) -> RunRecord | None:
        """The ended attempt of the rerun of `run` under `key`; None before. `before`: the polls up to its sending; the
        attempts in them are reported again with the run."""
        known = {identity(item) for poll in before for item in poll.runs}
        since = {
            identity(item): item for poll in self.polls_until_end(connector, before[-1].cursor) for item in poll.runs
        }
        ended = [item for item in since.values() if is_rerun(item, run, key) and not item.state.is_open]
        return next((item for item in ended if item.action_key == key or identity(item) not in known), None)


class Starts(ConformanceWorld):
    """START of a job for a period that has not run."""

    checks = "start"

    def test_job_starts_once_under_its_key_and_becomes_a_run(self) -> None:
        job_id, key = self.a_startable_job(), new_key()
        with self.opened() as connector:
            cursor = list(self.polls_until_end(connector, ""))[-1].cursor
            preview = self.allowed(connector, self.start_ask(job_id))
            assert not self.arrived(connector, preview, key), "an unsent key was found"
            assert self.sent(connector, preview, key), "no native reference"
        with self.opened() as connector:
            self.wait("the start is found under its key", lambda: self.arrived(connector, preview, key))
            self.sends_again(connector, preview, key)
            requested = self.started_under(connector, cursor, key).values()
            run = self.wait("the run that was started", lambda: self.ended_under(connector, cursor, key))
            assert run.job == job_id, f"the start of {job_id} is reported as a run of {run.job}"
            assert self.arrived(connector, preview, key), "found once and then no more"
            self.advance()
            runs = [*self.started_under(connector, cursor, key).values()]
            assert len(runs) == 1, "one key, and more than one run"
            former_keys = {item.attempt_key for item in (*requested, run)} - {runs[0].attempt_key, runs[0].formerly}
            assert not former_keys, (
                f"it ended as {runs[0].attempt_key}, and was reported as {former_keys}: that one stays open"
            )

    @requires(lambda kind: "conf" in kind.takes.get(Verb.START, ()))
    def test_what_is_given_along_is_shown_and_is_what_the_run_got(self) -> None:
        """START with a "conf", of kinds that take one (`ConnectorKind.takes`)."""
        job_id, key = self.a_startable_job(), new_key()
        request = self.start_ask(job_id)
        with self.opened() as connector:
            for odd in (["a"], "text", {"much": "x" * 100_000}, {"at": float("nan")}):
                reported = connector.preview(replace(request, parameters={**request.parameters, "conf": odd}), 5)
                assert reported.refused, f"a conf that cannot be sent is not refused: {str(odd)[:40]}"
            cursor = list(self.polls_until_end(connector, ""))[-1].cursor
            preview = self.allowed(connector, replace(request, parameters={**request.parameters, "conf": GIVEN}))
            calls = "\n".join(preview.native_calls)
            assert all(f'"{name}"' in calls and json.dumps(value) in calls for name, value in GIVEN.items()), calls
            assert self.sent(connector, preview, key), "no native reference"
            run = self.wait("the run that was started", lambda: self.ended_under(connector, cursor, key))
            assert run.context.get("conf") == GIVEN, f"it was given {GIVEN}, and the run has {run.context}"

    @requires("network", "start")
    def test_start_that_may_still_arrive_is_not_absent(self) -> None:
        self.check_on_its_way(self.start_ask(self.a_startable_job()))


class Cancels(ConformanceWorld):
    checks = "cancel"

    def test_running_run_ends_when_it_is_cancelled_and_is_not_green(self) -> None:
        run, key = self.a_running_run(), new_key()
        with self.opened() as connector:
            preview = self.allowed(connector, ActionSpec(Verb.CANCEL, ref(run), run.state, {"why": "it hangs"}))
            assert preview.overlap is None, f"the run overlaps with its own cancel: {preview.overlap}"
            assert self.sent(connector, preview, key), "no native reference"
        with self.opened() as connector:
            ended = self.wait("the end of the cancelled run", lambda: self.ended(connector, run))
            assert ended.state != RunState.SUCCEEDED, f"cancelled and green: {ended}"
            check_run(ended)
            absent = isinstance(self.found(connector, preview, key), ActionAbsent)
            assert not absent, "it ended, and `look_up` says absent"

    def test_cancel_of_a_run_that_is_over_is_refused(self) -> None:
        job_id = self.make_success()
        with self.opened() as connector:
            ended_runs = [run for run in self.runs_of(connector, job_id).values() if not run.state.is_open]
            assert ended_runs, f"no ended run of {job_id}"
            with suppress(NotSupported):
                spec = ActionSpec(Verb.CANCEL, ref(ended_runs[-1]), ended_runs[-1].state)
                preview = connector.preview(spec, self.timeout_seconds)
                assert preview.refused, f"an ended run would be cancelled: {preview.summary}"

    @requires("network")
    def test_cancel_that_may_still_arrive_is_not_absent(self) -> None:
        run = self.a_running_run()
        self.check_on_its_way(ActionSpec(Verb.CANCEL, ref(run), run.state))

    def ended(self, connector: Connector, run: RunRecord) -> RunRecord | None:
        """The run once it has ended; None before."""
        reported = self.runs_of(connector, run.job).get(identity(run))
        return reported if reported is not None and not reported.state.is_open else None


class Holds(ConformanceWorld):
    checks = "hold"

    def test_preview_of_a_hold_sends_nothing(self) -> None:
        job_id = self.a_holdable_job()
        trace = self.native_trace()
        with self.opened() as connector:
            preview = connector.preview(hold_ask(job_id), self.timeout_seconds)
            check_preview(preview)
            assert self.holds_of(connector, job_id) == [], "the preview holds the job"
            assert isinstance(self.found(connector, preview, new_key()), ActionAbsent | ActionUnknown)
        assert self.native_trace() == trace, "the preview changed the world"

    def test_held_job_shows_its_holder_end_and_place_and_is_the_same_job_paused(self) -> None:
        job_id = self.a_holdable_job()
        with self.opened() as connector:
            before = self.job(connector, job_id)
        assert not before.paused, f"{job_id} is paused before the hold"
        with self.held(job_id) as (key, spec), self.opened() as connector:
            (hold,) = self.holds_of(connector, job_id)
            until = datetime.fromisoformat(spec.parameters["until"])
            assert (hold.mark.id, hold.mark.by, hold.mark.until) == (key, HOLDER, until)
            assert HOLD_MARK.fullmatch(hold.mark.text), f"not a mark that others can find: {hold.mark.text!r}"
            assert hold.where, "the place of the mark is missing"
            now = self.job(connector, job_id)
            assert now.paused, "a held job is not shown as paused"
            assert as_defined(now) == as_defined(before), "a held job looks like another job"

    def test_release_restores_the_definition_exactly(self) -> None:
        job_id = self.a_holdable_job()
        trace = self.native_trace()
        with self.opened() as connector:
            before = self.job(connector, job_id)
        with self.held(job_id) as (key, _), self.opened() as connector:
            preview = self.allowed(connector, release_ask(job_id, key))
            release = new_key()
            assert not self.arrived(connector, preview, release), "released before it was"
            assert self.sent(connector, preview, release), "no native reference"
            assert self.arrived(connector, preview, release), "the release is not found"
        with self.opened() as connector:
            after = self.job(connector, job_id)
            assert self.holds_of(connector, job_id) == [], "released, and the mark is still there"
            assert (as_defined(after), after.paused) == (as_defined(before), False), "released, and not as it was"
        assert self.less_history(self.native_trace()) == self.less_history(trace), "the release left something behind"

    def test_same_key_again_is_one_hold(self) -> None:
        job_id = self.a_holdable_job()
        with self.opened() as connector:
            preview = self.allowed(connector, hold_ask(job_id))
        with self.held(job_id, preview=preview) as (key, _), self.opened() as connector:
            self.sends_again(connector, preview, key)
            assert [hold.mark.id for hold in self.holds_of(connector, job_id)] == [key]
            assert self.arrived(connector, preview, key), "held, and not found under its key"

    def test_job_that_is_held_is_not_held_by_another(self) -> None:
        job_id = self.a_holdable_job()
        with self.opened() as connector:
            late = self.allowed(connector, hold_ask(job_id, "bob"))  # made before the hold
        with self.held(job_id) as (key, _), self.opened() as connector:
            assert connector.preview(hold_ask(job_id, "bob"), self.timeout_seconds).refused, "held twice by preview"
            self.refuses(connector, late, new_key())
            assert [hold.mark.id for hold in self.holds_of(connector, job_id)] == [key]

    def test_release_of_a_mark_that_is_not_there_is_refused_and_changes_nothing(self) -> None:
        job_id = self.a_holdable_job()
        with self.held(job_id) as (key, _), self.opened() as connector:
            before, foreign = self.job(connector, job_id), new_key()
            preview = connector.preview(release_ask(job_id, foreign), self.timeout_seconds)
            assert preview.refused, f"another person's hold would be released: {preview.summary}"
            self.refuses(connector, preview, new_key())
            assert [hold.mark.id for hold in self.holds_of(connector, job_id)] == [key]
            assert self.job(connector, job_id) == replace(before, schedule=self.job(connector, job_id).schedule)

    def test_job_that_a_person_paused_is_neither_held_nor_released(self) -> None:
        job_id = self.a_holdable_job()
        with self.opened() as connector:
            late = self.allowed(connector, hold_ask(job_id))
        self.pause_by_hand(job_id)
        try:
            trace = self.native_trace()
            with self.opened() as connector:
                self.refuses(connector, late, new_key())
                for spec in (hold_ask(job_id), release_ask(job_id, new_key())):
                    with suppress(NotSupported):
                        assert connector.preview(spec, self.timeout_seconds).refused, f"{spec.verb} of a person's pause"
                assert self.holds_of(connector, job_id) == []
            assert self.native_trace() == trace, "a person's pause was changed"
        finally:
            self.resume_by_hand(job_id)

    def test_job_that_a_person_enabled_loses_our_mark_alone_and_a_later_pause_is_theirs(self) -> None:
        job_id = self.a_holdable_job()
        with self.held(job_id) as (key, _), self.opened() as connector:
            self.resume_by_hand(job_id)
            ends = self.kind.mark_ends_with_pause
            self.wait(
                "no mark" if ends else "the bare mark",
                lambda: not self.holds_of(connector, job_id) if ends else [key] == self.bare_marks(connector, job_id),
            )
            spec = release_ask(job_id, key)
            spec = replace(spec, parameters={**spec.parameters, "enable": "no"})
            preview = connector.preview(spec, self.timeout_seconds) if ends else self.allowed(connector, spec)
            self.pause_by_hand(job_id)
            try:
                if ends:
                    assert preview.refused, f"there is no mark to remove: {preview.summary}"
                    preview = connector.preview(release_ask(job_id, key), self.timeout_seconds)
                    assert preview.refused, "theirs is released"
                else:
                    assert self.sent(connector, preview, new_key()), "no native reference"
                    assert self.arrived(connector, preview, new_key()), "the mark is gone, and that is not found"
                jobs = {job.native_id: job for job in self.whole_inventory(connector).jobs}
                assert job_id not in jobs or jobs[job_id].paused, "a person's pause was ended"
                assert [] == self.bare_marks(connector, job_id), "the mark is still there"
                assert self.holds_of(connector, job_id) == [], "a person's pause is taken for ours"
            finally:
                self.resume_by_hand(job_id)

    @requires("due")
    def test_held_job_does_not_start_and_starts_again_when_released(self) -> None:
        job_id = self.a_job_to_fall_due()
        with self.held(job_id), self.opened() as connector:
            before = self.starts_of(connector, job_id)
            self.let_it_fall_due(job_id)
            new = self.starts_of(connector, job_id) - before
            assert new == set(), f"held, and started: {sorted(new)}"
        self.let_it_fall_due(job_id)
        with self.opened() as connector:  # else the first half proved nothing
            self.wait("a native start after the release", lambda: self.starts_of(connector, job_id) - before)

    def starts_of(self, connector: Connector, job_id: str) -> set[tuple[str, str]]:
        """The attempts of a job, without those that its source records as skipped: so it may report a held one."""
        runs = self.runs_of(connector, job_id).items()
        return {key for key, run in runs if run.state is not RunState.SKIPPED}

    @requires("start", lambda kind: kind.starts_held)
    def test_job_that_is_held_starts_under_our_key_and_stays_held(self) -> None:
        job_id, start = self.a_job_to_start_held(), new_key()
        with self.held(job_id) as (key, _), self.opened() as connector:
            cursor = list(self.polls_until_end(connector, ""))[-1].cursor
            self.sent(connector, self.allowed(connector, self.start_ask(job_id)), start)
            self.wait("the run of the held job", lambda: self.ended_under(connector, cursor, start))
            assert [hold.mark.id for hold in self.holds_of(connector, job_id)] == [key], "started, and held no more"

    @requires("network")
    def test_hold_or_release_that_may_still_arrive_is_not_absent(self) -> None:
        job_id = self.a_holdable_job()
        self.check_on_its_way(hold_ask(job_id))
        with self.held(job_id) as (key, _):
            self.check_on_its_way(release_ask(job_id, key))

    def less_history(self, trace: object) -> object:
        """The trace less what a hold and its release may leave behind (a history of changes, notes)."""
        return trace

    def bare_marks(self, connector: Connector, job_id: str) -> list[str]:
        holds = connector.holds(self.timeout_seconds, [job_id])
        return [item.mark.id for item in holds if item.job == job_id and item.bare]

    @contextmanager
    def held(self, job_id: str, preview: Preview | None = None) -> Iterator[tuple[str, ActionSpec]]:
        """Holds the job, yields the id of the mark and the request, and releases the job."""
        key, spec = new_key(), hold_ask(job_id)
        with self.opened() as connector:
            preview = preview or self.wait("a moment in which it may be held", lambda: self.may_hold(connector, spec))
            assert self.sent(connector, preview, key), "no native reference"
        try:
            with self.opened() as connector:
                self.wait("the hold", lambda: self.holds_of(connector, job_id))
            yield key, spec
        finally:
            self.let_go(job_id)

    def may_hold(self, connector: Connector, spec: ActionSpec) -> Preview | None:
        """The preview as it comes back from the store; None while it is refused, as where the job runs just now."""
        preview = connector.preview(spec, self.timeout_seconds)
        return None if preview.refused else through_json(preview)

    def let_go(self, job_id: str) -> None:
        """Releases every hold of the job, repeatedly where the outcome is unknown."""
        with self.opened() as connector:

            def is_released() -> bool:
                for hold in self.holds_of(connector, job_id):
                    preview = self.allowed(connector, release_ask(job_id, hold.mark.id))
                    with suppress(OutcomeUnknown):
                        connector.act(preview, new_key(), self.timeout_seconds)
                return not self.holds_of(connector, job_id)

            self.wait("the release", is_released)

    def holds_of(self, connector: Connector, job_id: str) -> list[NativeHold]:
        return [hold for hold in connector.holds(self.timeout_seconds) if hold.job == job_id]

    def job(self, connector: Connector, job_id: str) -> JobRecord:
        jobs = {job.native_id: job for job in self.whole_inventory(connector).jobs}
        assert job_id in jobs, f"{job_id} is gone from the inventory"
        return jobs[job_id]

    def refuses(self, connector: Connector, preview: Preview, key: str) -> None:
        """Sends it all the same, as if the world had changed after the preview. Fails unless the source says no."""
        with suppress(NotSupported):
            connector.act(preview, key, self.timeout_seconds)
            raise AssertionError(f"sent although the world says no: {preview.summary}")


def check_preview(preview: Preview) -> None:
    assert preview.refused is None, f"refused: {preview.refused}"
    assert all((preview.verb, preview.summary, preview.scope, preview.native_calls)), f"words are missing: {preview}"
    assert json.loads(json.dumps(dict(preview.plan))) == dict(preview.plan), "the plan does not survive JSON"


def hold_ask(job_id: str, by: str = HOLDER) -> ActionSpec:
    """A hold for two hours."""
    until = instant_key((datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0))
    return ActionSpec(
        Verb.HOLD, RunRef(job_id, "", "", ""), RunState.PLANNED, {"by": by, "until": until, "why": "upstream red"}
    )


def release_ask(job_id: str, mark_id: str) -> ActionSpec:
    return ActionSpec(Verb.RELEASE, RunRef(job_id, "", "", ""), RunState.HELD, {"hold": mark_id})


def as_defined(job: JobRecord) -> JobRecord:
    """The job less what a hold may change: whether it is paused, and so when it starts next."""
    return replace(job, paused=False, schedule=replace(job.schedule, next_at=None))
