"""Conformance of what a connector reads: inventory, polls, logs, the probe; and its deadlines on a silent server."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from connectors.sdk.conformance.world import (
    CHECKED,
    ConformanceWorld,
    check_clock,
    check_instant,
    check_run,
    closed_port,
    identity,
    is_long_over,
    listener,
    ref,
    requires,
    states,
)
from connectors.sdk.contract import Connector
from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.records import RunRecord
from connectors.sdk.states import Capability, RunState
from connectors.sdk.transport.call_limits import RequestTally, counting

SCHEDULES = ("", "next", "expression")
MAX_REQUESTS = 25
MAX_CHUNKS = 500
LOG_BYTES = 50_000_000
LOG_PIECE_BYTES = 1024**2
SHORT_SECONDS = 0.3
GRACE_SECONDS = 20.0
"""Tolerance of a deadline of SHORT_SECONDS: a busy machine, but not the limit that a library has by default."""
DEADLINE_CALLS = 3


class Reads(ConformanceWorld):
    """Inventory, polls and probe: every kind has them."""

    def test_each_capability_has_its_checks_and_each_missing_one_its_reason(self) -> None:
        without = set(Capability) - self.kind.capabilities - set(self.kind.missing)
        assert not without, f"{self.kind.kind} has neither {sorted(without)} nor a reason for it"
        given = {"network", *self.kind.capabilities}
        due = {name for name in CHECKED if name in given and not self.lacks(name)}
        checked = {base.checks for base in type(self).__mro__ if issubclass(base, ConformanceWorld)} - {""}
        assert checked == due, f"checks of {sorted(checked)}, and the world can play {sorted(due)}: see `limits`"

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
        for job in first.jobs:
            assert "" not in job.upstreams, f"{job.native_id} waits for a job without an id"
            assert job.native_id not in job.upstreams, f"{job.native_id} waits for itself"
            assert len(job.upstreams) == len({*job.upstreams}), f"{job.native_id} waits twice: {job.upstreams}"

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

    def test_inventory_reports_schedules_as_the_kind_declares(self) -> None:
        """`ConnectorKind.schedules`: no more, and at its best as much."""
        self.make_success()
        with self.opened() as connector:
            clocks = [job.schedule for job in self.whole_inventory(connector).jobs]
        at_best = "next" * any(clock.next_at for clock in clocks)
        text = "expression" if any(clock.expression for clock in clocks) else at_best
        schedules = self.kind.schedules
        assert SCHEDULES.index(text) <= SCHEDULES.index(schedules), f"schedules={schedules!r}, and it reports {text!r}"
        may_lack = "schedule" in self.limits or self.against.startswith(("real", "emulator"))
        assert text == schedules or may_lack, f"schedules={schedules!r}, and the best that it reports is {text!r}"

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
        assert any(run.state.is_red for run in runs.values()), f"{job_id} failed and the poll says {[*runs.values()]}"

    @requires("runs")
    def test_records_keep_the_rules(self) -> None:
        self.make_success()
        if "failure" not in self.limits:
            self.make_failure()
        with self.opened() as connector:
            for poll in self.polls_until_end(connector, ""):
                check_clock(poll.clock)
                for run in poll.runs:
                    check_run(run)

    @requires("runs")
    def test_cursor_is_json_text_and_leads_to_the_end(self) -> None:
        self.make_success()
        with self.opened() as connector:
            polls = list(self.polls_until_end(connector, ""))
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
            first = {identity(run) for poll in self.polls_until_end(connector, "") for run in poll.runs}
        with self.opened() as connector:
            again = {identity(run) for poll in self.polls_until_end(connector, "") for run in poll.runs}
        assert first <= again, f"gone from the second reading: {sorted(first - again)}"

    @requires("runs")
    def test_runs_handed_back_as_open_are_reported_again(self) -> None:
        job_id = self.make_success()
        with self.opened() as connector:
            polls = list(self.polls_until_end(connector, ""))
            run = [run for poll in polls for run in poll.runs if run.job == job_id][-1]
            rest = connector.poll(polls[-1].cursor, (ref(run),), self.timeout_seconds)
        reported = {identity(item): item for item in rest.runs}
        if identity(run) in reported:
            assert reported[identity(run)].state == run.state, "an ended run changed its state"
        assert rest.complete, f"an open run that the source still has makes the poll incomplete: {rest.skipped}"

    @requires("unknown_word")
    def test_unknown_native_state_is_unknown_and_a_warning(self) -> None:
        with self.opened(self.connector_with_an_unknown_state()) as connector:
            polls = list(self.polls_until_end(connector, ""))
        states = [run.state for poll in polls for run in poll.runs]
        assert RunState.UNKNOWN in states, f"no run is UNKNOWN: {states}"
        assert any(poll.warnings for poll in polls), "no warning about the unknown state"

    def test_what_is_read_twice_and_from_before_is_the_same(self) -> None:
        """Each page once more by a connector of its own, from its cursor: repeated and overlapping pages converge."""
        self.make_success()
        with self.opened() as connector:
            cursors = ["", *(poll.cursor for poll in self.polls_until_end(connector, ""))]
        whole: dict[tuple[str, str], RunRecord] = {}
        for cursor in (*cursors, *reversed(cursors)):
            with self.opened() as connector:
                whole |= {identity(run): run for run in connector.poll(cursor, (), self.timeout_seconds).runs}
        truth = {key: run for key, run in self.truth().items() if is_long_over(run)}
        assert set(truth) <= set(whole), f"lost between the polls: {sorted(set(truth) - set(whole))}"
        assert states(truth) == {key: whole[key].state for key in truth}

    def test_incremental_equals_full(self) -> None:
        self.make_success()
        with self.opened() as connector:
            polls = list(self.polls_until_end(connector, ""))
        if "failure" not in self.limits:
            self.make_failure()
        self.advance()
        with self.opened() as connector:
            reported = [
                run for poll in (*polls, *self.polls_until_end(connector, polls[-1].cursor)) for run in poll.runs
            ]
        full = {key: run for key, run in self.truth().items() if is_long_over(run)}
        latest = {identity(run): run.state for run in reported}
        assert states(full) == {key: state for key, state in latest.items() if key in full}

    def test_requests_of_a_quiet_poll_are_counted(self) -> None:
        """Prints (pytest -rP) the requests of a poll without news, in a world of a few jobs."""
        with self.opened() as connector:
            cursor = [*self.polls_until_end(connector, "")][-1].cursor
            tally = RequestTally()
            with counting(tally):
                connector.poll(cursor, (), self.timeout_seconds)
        sys.stdout.write(f"{self.kind.kind}: {tally.requests} requests in a quiet poll\n")
        assert tally.requests <= MAX_REQUESTS, f"{tally.requests} requests in a poll of nothing new"

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


class Logs(ConformanceWorld):
    """Logs in pieces of a limited size."""

    checks = "log"

    @requires("failure")
    def test_log_stays_within_its_limit_and_goes_on(self) -> None:
        run = self.latest(self.make_failure())
        with self.opened() as connector:
            tail = connector.log(ref(run), None, 16, self.timeout_seconds)
            whole = connector.log(ref(run), None, 65536, self.timeout_seconds)
            assert len(tail.text.encode("utf-8", "surrogateescape")) <= 16, f"limit 16, got {tail.text!r}"
            assert tail.text in whole.text, f"the short tail {tail.text!r} is not in {whole.text!r}"
            assert tail.cut or tail.text == whole.text, "something was left out without `cut`"
            self.read_on(connector, run, whole.next)

    @requires("long_log")
    def test_long_log_is_read_in_pieces(self) -> None:
        connector, run = self.long_log(LOG_BYTES)
        with self.opened(connector):
            tail = connector.log(ref(run), None, LOG_PIECE_BYTES, self.timeout_seconds)
        assert tail.cut, "50 MB, and nothing is said to be left out"
        assert len(tail.text.encode("utf-8", "surrogateescape")) <= LOG_PIECE_BYTES

    def read_on(self, connector: Connector, run: RunRecord, start: str | None) -> None:
        for _ in range(MAX_CHUNKS):
            if start is None:
                return
            chunk = connector.log(ref(run), start, 64, self.timeout_seconds)
            assert len(chunk.text.encode("utf-8", "surrogateescape")) <= 64
            if not chunk.more:
                return
            assert chunk.next not in (None, start), "there is more, and no way to ask for it"
            start = chunk.next
        raise AssertionError(f"the log of an ended run does not end within {MAX_CHUNKS} chunks")


class Deadlines(ConformanceWorld):
    """Deadlines against silent, slow and closed servers."""

    checks = "network"

    def test_silent_server_is_unreachable_at_the_deadline(self) -> None:
        with listener() as port, self.opened(self.connector_at("127.0.0.1", port)) as connector:
            self.check_deadline(lambda: connector.poll("", (), SHORT_SECONDS))
            self.check_deadline(lambda: connector.inventory("", SHORT_SECONDS))

    def test_dripping_server_is_unreachable_at_the_deadline(self) -> None:
        with listener(drip=True) as port, self.opened(self.connector_at("127.0.0.1", port)) as connector:
            self.check_deadline(lambda: connector.poll("", (), SHORT_SECONDS))

    def test_closed_port_is_unreachable(self) -> None:
        with self.opened(self.connector_at("127.0.0.1", closed_port())) as connector:
            self.check_deadline(lambda: connector.probe(SHORT_SECONDS))

    def check_deadline(self, call: Callable[[], object]) -> None:
        """The quickest of three calls: the first loads libraries, and a busy machine may delay any of them."""
        took: list[float] = []
        while not took or (len(took) < DEADLINE_CALLS and min(took) > SHORT_SECONDS + GRACE_SECONDS):
            began = time.monotonic()
            try:
                fault = f"the server is silent, and the answer is {call()}"
            except SystemUnreachable as error:
                fault = "" if str(error) else "an error without a message"
            took.append(time.monotonic() - began)
            assert not fault, fault
        assert min(took) <= SHORT_SECONDS + GRACE_SECONDS, f"deadline {SHORT_SECONDS} s, took {min(took):.1f} s"
