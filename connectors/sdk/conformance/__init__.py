"""The tests of every connector, on real servers and on recorded replies.

    class TestMyKind(ConnectorConformance):
        kind = CONNECTOR

        def connector(self) -> Connector: ...                       # a fresh one, open on the test's world
        def connector_at(self, host, port) -> Connector: ...        # the same, pointed at another address
        def make_success(self) -> str: ...                          # native id of a job with a run that succeeded
        def make_failure(self) -> str: ...                          # native id of a job whose last run failed

Kinds that start, cancel or hold have more hooks, documented in `world.WorldHooks`: `a_startable_job`, `a_running_run`,
`a_holdable_job`, `pause_by_hand`, `resume_by_hand`, `let_it_fall_due`. Their tests, and those of requests in flight,
are in `actions`; those of faulty replies in `faults`.

A hook may return objects of an earlier test. Each test declares with `world.requires` what it needs. A class has only
the tests that its kind can run and its world can play: a missing capability has its reason in `ConnectorKind.missing`,
a limit of the world (recorded replies that accept no rerun) in `limits`, a fault that it does not play in `unplayed`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress

from connectors.sdk.conformance.faults import FaultConformance
from connectors.sdk.conformance.world import (
    MOST_BITES,
    check_clock,
    check_instant,
    check_run,
    closed_port,
    identity,
    is_long_over,
    is_rerun,
    listener,
    new_key,
    ref,
    requires,
    through_json,
)
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, Connector
from connectors.sdk.errors import NotSupported, SystemUnreachable
from connectors.sdk.records import RunRecord, RunRef
from connectors.sdk.states import Capability, RunState, Verb

__all__ = ["ConnectorConformance", "check_run", "listener", "new_key", "ref"]

SHORT_SECONDS = 0.3
GRACE_SECONDS = 2.0
"""Tolerance of a deadline of SHORT_SECONDS: thread switches and a busy machine, never a second wait."""


class ConnectorConformance(FaultConformance):
    """The contract as tests. Assertions have messages, so that they read well without pytest's rewriting."""

    def test_each_missing_capability_has_its_reason(self) -> None:
        without = set(Capability) - self.kind.capabilities - set(self.kind.missing)
        assert not without, f"{self.kind.kind} has neither {sorted(without)} nor a reason for it"

    def test_inventory_ids_are_unique_and_stay(self) -> None:
        self.make_success()
        with self.opened() as connector:
            first = self.whole_inventory(connector)
            again = self.whole_inventory(connector)
        ids = [job.native_id for job in first.jobs]
        assert ids, "the world has jobs and the inventory is empty"
        assert sorted(ids) == sorted(set(ids)), f"native ids repeat: {sorted(ids)}"
        assert set(ids) == {job.native_id for job in again.jobs}, "native ids differ between two inventories"
        parents = {job.parent for job in first.jobs if job.parent is not None}
        assert parents <= set(ids), f"tasks name parents that are not listed: {sorted(parents - set(ids))}"

    def test_inventory_is_whole_and_written_out(self) -> None:
        job_id = self.make_success()
        with self.opened() as connector:
            inventory = self.whole_inventory(connector)
        assert inventory.complete, f"not complete: {inventory.skipped}"
        assert job_id in {job.native_id for job in inventory.jobs}
        check_clock(inventory.clock)
        for job in inventory.jobs:
            assert job.native_id, f"no native id: {job}"
            assert job.schedule.dialect, f"no schedule dialect: {job}"
            if job.schedule.next_at is not None:
                check_instant(job.schedule.next_at, f"next_at of {job.native_id}")

    def test_inventory_with_its_own_hash_is_unchanged(self) -> None:
        self.make_success()
        with self.opened() as connector:
            first = self.whole_inventory(connector)
            assert first.hash, "an inventory without a hash"
            second = connector.inventory(first.hash, self.timeout_seconds)
        assert second.unchanged, "the hash of a moment ago is not known again"
        assert second.jobs == (), "unchanged inventories carry no jobs"
        assert second.hash == first.hash

    @requires("success")
    def test_poll_reports_the_success_with_the_proof_this_kind_has(self) -> None:
        job_id = self.make_success()
        with self.opened() as connector:
            runs = self.runs_of(connector, job_id)
            proof = {job.native_id: job.proof for job in self.whole_inventory(connector).jobs}[job_id]
        states = {run.state for run in runs.values()}
        expected = RunState.UNKNOWN if proof == "start" else RunState.SUCCEEDED
        assert expected in states, f"{job_id} (proof: {proof}) ended well and the poll says {sorted(states)}"

    @requires("failure")
    def test_poll_reports_the_failure(self) -> None:
        job_id = self.make_failure()
        with self.opened() as connector:
            runs = self.runs_of(connector, job_id)
        assert any(run.state.is_red for run in runs.values()), (
            f"{job_id} failed and the poll says {list(runs.values())}"
        )

    @requires("runs")
    def test_records_keep_the_rules(self) -> None:
        self.make_success()
        if "failure" not in self.limits:
            self.make_failure()
        with self.opened() as connector:
            for poll in self.bites(connector, ""):
                check_clock(poll.clock)
                for run in poll.runs:
                    check_run(run)

    @requires("runs")
    def test_cursor_is_json_text_and_leads_to_the_end(self) -> None:
        self.make_success()
        with self.opened() as connector:
            polls = list(self.bites(connector, ""))
            rest = connector.poll(polls[-1].cursor, (), self.timeout_seconds)
        assert any(poll.runs for poll in polls), "no history in the first poll"
        known = {identity(run) for poll in polls for run in poll.runs}
        ended = {identity(run) for poll in polls for run in poll.runs if is_long_over(run)}
        new = [run for run in rest.runs if identity(run) not in known]
        assert len(new) <= len(known), f"the cursor does not advance: {len(new)} new runs after {len(known)}"
        assert len([run for run in rest.runs if identity(run) in ended]) < max(2, len(ended)), "history is sent again"

    def test_the_same_cursor_again_loses_nothing(self) -> None:
        self.make_success()
        with self.opened() as connector:
            first = {identity(run) for poll in self.bites(connector, "") for run in poll.runs}
        with self.opened() as connector:
            again = {identity(run) for poll in self.bites(connector, "") for run in poll.runs}
        assert first <= again, f"gone from the second reading: {sorted(first - again)}"

    @requires("runs")
    def test_runs_handed_back_as_open_are_reported_again(self) -> None:
        job_id = self.make_success()
        with self.opened() as connector:
            polls = list(self.bites(connector, ""))
            run = [run for poll in polls for run in poll.runs if run.job == job_id][-1]
            rest = connector.poll(polls[-1].cursor, (ref(run),), self.timeout_seconds)
        reported = {identity(item): item for item in rest.runs}
        if identity(run) in reported:
            assert reported[identity(run)].state == run.state, "an ended run changed its state"
        assert rest.complete, f"an open run that the source still has makes the poll incomplete: {rest.skipped}"

    @requires("unknown_word")
    def test_unknown_native_state_is_unknown_and_a_warning(self) -> None:
        with self.opened(self.connector_with_an_unknown_state()) as connector:
            polls = list(self.bites(connector, ""))
        states = [run.state for poll in polls for run in poll.runs]
        assert RunState.UNKNOWN in states, f"no run is UNKNOWN: {states}"
        assert any(poll.warnings for poll in polls), "no warning about the unknown state"

    @requires("log", Capability.LOG, "failure")
    def test_log_stays_within_its_limit_and_goes_on(self) -> None:
        run = self.latest(self.make_failure())
        with self.opened() as connector:
            tail = connector.log(ref(run), None, 16, self.timeout_seconds)
            whole = connector.log(ref(run), None, 65536, self.timeout_seconds)
            assert len(tail.text.encode("utf-8", "surrogateescape")) <= 16, f"limit 16, got {tail.text!r}"
            assert tail.text in whole.text, f"the short tail {tail.text!r} is not in {whole.text!r}"
            assert tail.cut or tail.text == whole.text, "something was left out without `cut`"
            self.read_on(connector, run, whole.next)

    def read_on(self, connector: Connector, run: RunRecord, start: str | None) -> None:
        for _ in range(MOST_BITES):
            if start is None:
                return
            chunk = connector.log(ref(run), start, 64, self.timeout_seconds)
            assert len(chunk.text.encode("utf-8", "surrogateescape")) <= 64
            if not chunk.more:
                return
            assert chunk.next not in (None, start), "there is more, and no way to ask for it"
            start = chunk.next
        raise AssertionError(f"the log of an ended run does not end within {MOST_BITES} chunks")

    @requires("rerun", Capability.RERUN)
    def test_preview_names_what_would_be_sent_and_sends_nothing(self) -> None:
        run = self.latest(self.a_rerunnable_failure())
        trace = self.native_trace()
        with self.opened() as connector:
            before = {identity(item) for poll in self.bites(connector, "") for item in poll.runs}
            preview = connector.preview(self.ask(run), self.timeout_seconds)
            after = {identity(item) for poll in self.bites(connector, "") for item in poll.runs if item.action_key}
        assert preview.refused is None, f"refused: {preview.refused}"
        assert all((preview.verb, preview.summary, preview.scope, preview.native_calls)), (
            f"words are missing: {preview}"
        )
        assert after <= before, f"the preview started {sorted(after - before)}"
        assert self.native_trace() == trace, "the preview changed the world"
        assert json.loads(json.dumps(dict(preview.plan))) == dict(preview.plan), "the plan does not survive JSON"

    @requires("rerun", Capability.RERUN)
    def test_run_that_never_started_can_be_requested(self) -> None:
        """A MISSED run has no row at the source, only its job and period: it gets a preview, or a reason why not."""
        job_id = self.a_rerunnable_failure()
        missed = RunRef(job_id, "2026-11-19T03:00:00Z", "", "")
        with self.opened() as connector, suppress(NotSupported):
            preview = connector.preview(ActionSpec(Verb.RERUN, missed, RunState.MISSED), self.timeout_seconds)
            assert preview.refused or preview.native_calls, f"neither a call nor a reason: {preview}"

    @requires("rerun", Capability.RERUN)
    def test_key_that_was_never_sent_is_not_found(self) -> None:
        run = self.latest(self.a_rerunnable_failure())
        with self.opened() as connector:
            preview = connector.preview(self.ask(run), self.timeout_seconds)
            answer = connector.look_up(preview, new_key(), self.timeout_seconds)
        assert isinstance(answer, ActionAbsent | ActionUnknown), f"an unsent key was found: {answer}"

    @requires("rerun", Capability.RERUN)
    def test_rerun_is_sent_once_found_again_and_becomes_an_attempt(self) -> None:
        run, key = self.latest(self.a_rerunnable_failure()), new_key()
        with self.opened() as connector:
            cursor = list(self.bites(connector, ""))[-1].cursor
            preview = through_json(connector.preview(self.ask(run), self.timeout_seconds))
            receipt = connector.act(preview, key, self.timeout_seconds)
            assert receipt.native_ref, f"no native reference: {receipt}"
        with self.opened() as connector:  # another one, without our memory
            self.wait(
                "the rerun is found under its key", lambda: isinstance(self.found(connector, preview, key), ActionFound)
            )
            new = self.wait("the rerun's attempt", lambda: self.attempt_of(connector, cursor, run, key))
            assert new.job == run.job, f"the rerun of {run.job} is reported as a run of {new.job}"
            assert isinstance(self.found(connector, preview, key), ActionFound), "found once and then no more"

    def attempt_of(self, connector: Connector, cursor: str, run: RunRecord, key: str) -> RunRecord | None:
        """The ended attempt of the rerun of `run` under `key`; None before."""
        since = {identity(item): item for poll in self.bites(connector, cursor) for item in poll.runs}
        return next((item for item in since.values() if is_rerun(item, run, key) and not item.state.is_open), None)

    @requires("network")
    def test_silent_server_is_unreachable_at_the_deadline(self) -> None:
        with listener() as port, self.opened(self.connector_at("127.0.0.1", port)) as connector:
            self.check_deadline(lambda: connector.poll("", (), SHORT_SECONDS))
            self.check_deadline(lambda: connector.inventory("", SHORT_SECONDS))

    @requires("network")
    def test_dripping_server_is_unreachable_at_the_deadline(self) -> None:
        with listener(drip=True) as port, self.opened(self.connector_at("127.0.0.1", port)) as connector:
            self.check_deadline(lambda: connector.poll("", (), SHORT_SECONDS))

    @requires("network")
    def test_closed_port_is_unreachable(self) -> None:
        with self.opened(self.connector_at("127.0.0.1", closed_port())) as connector:
            self.check_deadline(lambda: connector.probe(SHORT_SECONDS))

    def check_deadline(self, call: Callable[[], object]) -> None:
        began = time.monotonic()
        try:
            fault = f"the server is silent, and the answer is {call()}"
        except SystemUnreachable as error:
            fault = "" if str(error) else "an error without a message"
        took = time.monotonic() - began
        assert not fault, fault
        assert took <= SHORT_SECONDS + GRACE_SECONDS, f"deadline {SHORT_SECONDS} s, took {took:.1f} s"

    def test_probe_reaches_the_world_and_explains_each_missing_right(self) -> None:
        with self.opened() as connector:
            probe = connector.probe(self.timeout_seconds)
        assert probe.reachable
        check_clock(probe.clock)
        for right in probe.rights:
            assert right.needed_for in ("view", "act")
            assert right.held or (right.why and right.fix), f"a missing permission without why and fix: {right}"

    def test_close_twice_is_fine(self) -> None:
        connector = self.connector()
        connector.close()
        connector.close()
