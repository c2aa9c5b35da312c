"""The conformance tests catch what they are there for: each fault, put into a good connector, fails one of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connectors.pg_cron.connector import CONNECTOR, PgCronConnector
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import ENDLESS, NOT_UTF8, PollTrace
from connectors.sdk.conformance.world import identity
from connectors.sdk.contract import (
    ActionAbsent,
    ActionFound,
    ActionSpec,
    Connector,
    LookUpResult,
    NativeHold,
    Preview,
    Receipt,
)
from connectors.sdk.errors import AccessRefused, ConnectorError, SystemUnreachable
from connectors.sdk.records import Inventory, LogChunk, Poll, RunRecord, RunRef
from connectors.sdk.states import Capability, RunEvidence, RunState
from tests.fakes.pg_cron import FakeClient, FakePgCron


class Faulty(PgCronConnector):
    """A good connector (its own tests prove it) whose answers pass through the fault of the test."""

    def __init__(self, fake: FakePgCron, faults: dict[str, Callable[..., Any]]) -> None:
        super().__init__(FakeClient(fake))
        self.faults, self.fake = faults, fake

    def _through(self, name: str, answer: Any) -> Any:
        return self.faults[name](answer, self) if name in self.faults else answer

    def inventory(self, previous_hash: str, timeout_seconds: float) -> Inventory:
        result: Inventory = self._through("inventory", super().inventory(previous_hash, timeout_seconds))
        return result

    def poll(self, cursor: str, open_runs: Sequence[RunRef], timeout_seconds: float) -> Poll:
        result: Poll = self._through("poll", super().poll(cursor, open_runs, timeout_seconds))
        return result

    def log(self, run: RunRef, start: str | None, limit_bytes: int, timeout_seconds: float) -> LogChunk:
        chunk: LogChunk = self._through("log", super().log(run, start, limit_bytes, timeout_seconds))
        return chunk

    def preview(self, spec: ActionSpec, timeout_seconds: float) -> Preview:
        result: Preview = self._through("preview", super().preview(spec, timeout_seconds))
        return result

    def act(self, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        receipt: Receipt = self._through("act", super().act(preview, key, timeout_seconds))
        return receipt

    def holds(self, timeout_seconds: float, known: Collection[str] = ()) -> tuple[NativeHold, ...]:
        result: tuple[NativeHold, ...] = self._through("holds", super().holds(timeout_seconds, known))
        return result

    def look_up(self, preview: Preview, key: str, timeout_seconds: float) -> LookUpResult:
        result: LookUpResult = self._through("look_up", super().look_up(preview, key, timeout_seconds))
        return result


LOAD = 2
"""load_orders: ends well, may be held."""


def is_active(fake: FakePgCron) -> bool:
    return any(row["active"] for row in fake.jobs if row["jobid"] == LOAD)


class ConformanceRun(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds, Faults):
    """The conformance tests over a faulty connector, called by hand."""

    __test__ = False
    kind = CONNECTOR
    patience_seconds = 0.5

    def __init__(self, **faults: Callable[..., Any]) -> None:
        self.fake, self.faults = FakePgCron(), faults

    def connector(self) -> Connector:
        return Faulty(self.fake, self.faults)

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.run(2, "hibernating")
        return self.connector()

    def make_success(self) -> str:
        return "load_orders"

    def make_failure(self) -> str:
        return "bad"

    def a_running_run(self) -> RunRecord:
        row, self.fake.page_rows = self.fake.run(LOAD, "running"), 100
        runs = PgCronConnector(FakeClient(self.fake)).poll("", (), 5).runs
        return next(run for run in runs if run.attempt_key == str(row["runid"]))

    def pause_by_hand(self, job_id: str) -> None:
        self.fake.change(LOAD, active=False)

    def resume_by_hand(self, job_id: str) -> None:
        self.fake.change(LOAD, active=True)

    def let_it_fall_due(self, job_id: str) -> None:
        if is_active(self.fake):
            self.fake.run(LOAD, "succeeded")

    def native_trace(self) -> object:
        return json.dumps([self.fake.jobs, self.fake.runs])

    def advance(self) -> None:
        self.fake.start_entries()


def each_run(change: Callable[[RunRecord], RunRecord]) -> Callable[[Poll, Faulty], Poll]:
    return lambda poll, _: replace(poll, runs=tuple(change(run) for run in poll.runs))


def green_anyway(run: RunRecord) -> RunRecord:
    return replace(run, state=RunState.SUCCEEDED, evidence=RunEvidence.INFERRED)


def naive(run: RunRecord) -> RunRecord:
    return replace(run, started_at=run.started_at.replace(tzinfo=None) if run.started_at else None)


def backwards(run: RunRecord) -> RunRecord:
    return replace(run, ended_at=run.started_at - timedelta(seconds=1) if run.started_at else None)


def acts_early(preview: Preview, connector: Faulty) -> Preview:
    connector.fake.run(3, "succeeded")
    return preview


def sends_nothing(receipt: Receipt, connector: Faulty) -> Receipt:
    connector.fake.jobs.pop()
    return receipt


def but(**fields: Any) -> Callable[..., Any]:
    """The answer with other values in these fields."""
    return lambda answer, _: replace(answer, **fields)


def runs_but(**fields: Any) -> Callable[[Poll, Faulty], Poll]:
    """The poll with other values in these fields of each run."""
    return each_run(lambda run: replace(run, **fields))


def twice(inventory: Inventory, _: Faulty) -> Inventory:
    return replace(inventory, jobs=inventory.jobs * 2)


def misattributed(run: RunRecord) -> RunRecord:
    return replace(run, job="headway:rerun") if run.action_key else run


IDS, WHOLE = "test_inventory_ids_are_unique_and_stay", "test_inventory_is_whole_and_written_out"
HASH = "test_inventory_with_its_own_hash_is_unchanged"
GREEN, RED = "test_poll_reports_the_success_with_the_proof_this_kind_has", "test_poll_reports_the_failure"
RULES, CURSOR = "test_records_keep_the_rules", "test_cursor_is_json_text_and_leads_to_the_end"
STATE_TESTS, LOG = "test_unknown_native_state_is_unknown_and_a_warning", "test_log_stays_within_its_limit_and_goes_on"
PREVIEW = "test_preview_names_what_would_be_sent_and_sends_nothing"
UNSENT = "test_key_that_was_never_sent_is_not_found"
RERUN = "test_rerun_is_sent_once_found_again_and_becomes_an_attempt"

FAULTS: list[tuple[str, str, Callable[..., Any], str]] = [
    (IDS, "inventory", twice, "native ids repeat"),
    (IDS, "inventory", but(jobs=()), "the inventory is empty"),
    (WHOLE, "inventory", but(complete=False), "not complete"),
    (HASH, "inventory", but(unchanged=False), "is not known again"),
    (GREEN, "poll", runs_but(state=RunState.FAILED), "ended well and the poll says"),
    (RED, "poll", runs_but(state=RunState.SUCCEEDED), "failed and the poll says"),
    (RULES, "poll", each_run(green_anyway), "green without proof"),
    (RULES, "poll", each_run(naive), "is not aware UTC"),
    (RULES, "poll", each_run(backwards), "ended before it started"),
    (RULES, "poll", runs_but(native_state=""), "no native word"),
    (RULES, "poll", runs_but(attempt_key=""), "no attempt key"),
    (RULES, "poll", runs_but(action_key="mine"), "not a key of ours"),
    (RULES, "poll", runs_but(evidence=RunEvidence.ASSERTED), "not a connector's evidence"),
    (RULES, "poll", runs_but(context={"rows": {1, 2}}), "not JSON serializable"),
    (CURSOR, "poll", but(cursor="runid 7"), "Expecting value"),
    (CURSOR, "poll", but(more=True), "the cursor stays at"),
    (CURSOR, "poll", but(runs=()), "no history in the first poll"),
    (STATE_TESTS, "poll", but(warnings=()), "no warning about"),
    (LOG, "log", but(text="x" * 99), "limit 16"),
    (LOG, "log", but(cut=False), "something was left out"),
    (PREVIEW, "preview", acts_early, "the preview changed the world"),
    (PREVIEW, "preview", but(scope=""), "words are missing"),
    (PREVIEW, "preview", but(plan={"jobid": (1, 2)}), "does not survive JSON"),
    (UNSENT, "look_up", lambda *_: ActionFound("x"), "an unsent key was found"),
    (RERUN, "look_up", lambda *_: ActionAbsent(), "not seen within .* the rerun is found"),
    (RERUN, "act", sends_nothing, "not seen within"),
    (RERUN, "poll", each_run(misattributed), "reported as a run of headway:rerun"),
]


@pytest.mark.parametrize(
    "error, text",
    [
        (AccessRefused("who are you?"), "nothing is read: AccessRefused"),
        (SystemUnreachable("nobody answers"), "nothing is read: SystemUnreachable"),
        (SystemUnreachable("the answer is not UTF-8 at byte 7 of 9"), ""),
    ],
)
def test_a_byte_that_is_no_text_only_raises_the_documented_error(error: ConnectorError, text: str) -> None:
    def fails(_: Poll, __: Faulty) -> Poll:
        raise error

    class Nasty(ConformanceRun):
        def answering(self, how: str) -> Connector:
            return Faulty(self.fake, {"poll": fails})

    with pytest.raises(AssertionError, match=text) if text else nullcontext():
        Nasty().test_bytes_that_are_no_text_leave_the_rest_alone()
    with pytest.raises(AssertionError, match="nothing is read"):
        Nasty().test_long_line_leaves_the_rest_alone()


@pytest.mark.parametrize("index", range(len(FAULTS)))
def test_each_fault_fails_its_test(index: int) -> None:
    test, method, fault, text = FAULTS[index]
    getattr(ConformanceRun(), test)()
    with pytest.raises((AssertionError, ValueError, TypeError), match=text):
        getattr(ConformanceRun(**{method: fault}), test)()


def test_a_flood_in_small_pages_is_walked_to_its_end() -> None:
    """40,000 runs in pages of 50 are 800 polls; 500 were allowed."""
    numbers = iter(range(1, 801))

    def page(poll: Poll, _: Faulty) -> Poll:
        number = next(numbers)
        return replace(poll, cursor=f'"{number}"', more=number < 800)

    world = ConformanceRun()
    assert 800 == len([*world.polls_until_end(Faulty(world.fake, {"poll": page}), "")])


def test_a_missing_capability_needs_a_reason() -> None:
    class Sullen(ConformanceRun):
        kind = replace(CONNECTOR, capabilities=frozenset(), missing={Capability.HOLD: "no"})

    with pytest.raises(AssertionError, match="nor a reason for it"):
        Sullen().test_each_capability_has_its_checks_and_each_missing_one_its_reason()


def test_a_class_picks_the_checks_of_its_capabilities_no_more_and_no_fewer() -> None:
    class Mute(ConformanceRun):
        capabilities = CONNECTOR.capabilities - {Capability.LOG}
        kind = replace(CONNECTOR, capabilities=capabilities, missing={**CONNECTOR.missing, Capability.LOG: "no"})

    class Lazy(Reads):
        __test__ = False
        kind = CONNECTOR

    for world in (Mute, Lazy):
        with pytest.raises(AssertionError, match=r"the world can play \["):
            world().test_each_capability_has_its_checks_and_each_missing_one_its_reason()


SHORT_PAGES = "test_endless_pages_end"


def test_a_class_lacks_the_tests_that_its_world_cannot_play() -> None:
    class Still(ConformanceRun):
        limits = {"failure": "nothing fails here"}
        unplayed = {ENDLESS: "it does not page"}
        elsewhere = {NOT_UTF8: "tests/connectors/sdk/transport/test_bytes.py"}

        def answering(self, how: str) -> Connector:
            return self.connector()

    class Failing(Still):
        limits = {}

    absent = (
        RED,
        SHORT_PAGES,
        "test_bytes_that_are_no_text_leave_the_rest_alone",
        "test_many_runs_take_bounded_memory",
    )
    assert [None] * 4 == [getattr(Still, name) for name in absent]
    assert callable(getattr(Still, GREEN))
    assert callable(getattr(Failing, RED))


def test_records_of_several_pages_that_are_gone_name_the_setting() -> None:
    """A record of each page is odd; the message said that one is, and that seven were gone."""
    runs = [RunRecord("load", str(number), RunState.FAILED, "failed", RunEvidence.NATIVE) for number in range(2)]
    with pytest.raises(AssertionError, match="Fix: lists_of_records is 1: set the number of lists and pages"):
        ConformanceRun().check_unchanged(PollTrace(), {identity(run): run for run in runs})


def test_a_test_that_a_world_overrides_stays_its_own() -> None:
    class Own(ConformanceRun):
        limits = {"failure": "nothing fails here"}

        def test_poll_reports_the_failure(self) -> None:
            return None

    assert Own.test_poll_reports_the_failure is vars(Own)["test_poll_reports_the_failure"]


def test_a_hook_that_is_missing_is_no_reason_to_skip() -> None:
    class Lazy(Reads):
        __test__ = False
        kind = CONNECTOR

    with pytest.raises(NotImplementedError):
        Lazy().test_poll_reports_the_failure()
