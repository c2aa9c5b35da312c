"""Replies of Step Functions to records, lines and cursors: recorded ones, odd ones, and anything at all."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.sdk.aws.newest_first import NewestFirstCursor, NewestFirstPosition
from connectors.sdk.aws.values import instant
from connectors.sdk.conformance.world import check_run
from connectors.sdk.errors import RecordUnreadable
from connectors.sdk.fields import cursor_or_first
from connectors.sdk.records import JobRecord, RunRecord, RunRef
from connectors.sdk.secrets import LITERAL_REFUSED
from connectors.sdk.states import RunState
from connectors.step_functions import log, parse
from connectors.step_functions.options import StepFunctionsOptions
from tests.corpus import HOSTILE
from tests.fakes.step_functions import FakeStates
from tests.rows import each_row

MACHINE = "arn:aws:states:eu-central-1:123456789012:stateMachine:load-orders"
AT = datetime(2026, 11, 20, 3, 12, tzinfo=UTC)
EXECUTION: dict[str, Any] = {
    "executionArn": MACHINE.replace(":stateMachine:", ":execution:") + ":night-1",
    "stateMachineArn": MACHINE,
    "name": "night-1",
    "status": "FAILED",
    "startDate": AT,
    "stopDate": AT + timedelta(minutes=4),
    "error": "Orders.Late",
    "cause": "orders.csv is not there",
}


@each_row(
    "status, expected",
    [
        ("RUNNING", RunState.RUNNING),
        ("SUCCEEDED", RunState.SUCCEEDED),
        ("FAILED", RunState.FAILED),
        ("TIMED_OUT", RunState.TIMED_OUT),
        ("ABORTED", RunState.CANCELLED),
        ("PENDING_REDRIVE", RunState.QUEUED),
        ("SLEEPING", RunState.UNKNOWN),
        ("succeeded", RunState.UNKNOWN),
    ],
)
def test_each_native_state_of_an_execution_is_mapped(status: str, expected: RunState) -> None:
    run = parse.run(EXECUTION | {"status": status}, "load-orders", "eu-central-1")
    assert (expected, status) == (run.state, run.native_state)
    check_run(run)


def test_a_redrive_is_the_next_attempt_of_the_same_period() -> None:
    first = parse.run(EXECUTION, "load-orders", "eu-central-1")
    redriven = EXECUTION | {"status": "RUNNING", "redriveCount": 1, "redriveDate": AT + timedelta(hours=1)}
    second = parse.run(redriven, "load-orders", "eu-central-1")
    assert (first.period_key, first.period_at) == (second.period_key, second.period_at)
    assert [f"{EXECUTION['executionArn']}#0", f"{EXECUTION['executionArn']}#1"] == [
        first.attempt_key,
        second.attempt_key,
    ]
    assert (AT, AT + timedelta(hours=1)) == (first.started_at, second.started_at)
    assert second.ended_at is None


def test_an_execution_named_by_us_carries_our_key() -> None:
    ours = parse.run(EXECUTION | {"name": "headway-0123456789abcdef"}, "load-orders", "eu-central-1")
    result = parse.run(EXECUTION | {"name": "headway-NIGHT"}, "load-orders", "eu-central-1")
    assert ("headway-0123456789abcdef", None) == (ours.action_key, result.action_key)


def test_times_are_in_utc_whatever_the_zone() -> None:
    berlin = EXECUTION | {"startDate": AT.astimezone(timezone(timedelta(hours=1)))}
    assert AT == parse.run(berlin, "x", "eu-central-1").started_at
    assert instant(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))) is None
    assert instant(datetime(2026, 1, 1)) is None  # noqa: DTZ001 - naive on purpose


@pytest.mark.parametrize("machine", [MACHINE, f"{MACHINE}:PROD", f"{MACHINE}:7"])
def test_the_arn_of_a_start_is_known_before_it(machine: str) -> None:
    expected = "arn:aws:states:eu-central-1:123456789012:execution:load-orders:headway-0123456789"
    assert expected == parse.execution_arn(machine, "headway-0123456789")


def test_an_event_line_has_error_and_cause_and_no_input() -> None:
    event = {
        "timestamp": AT, "id": 7, "type": "TaskFailed",
        "taskFailedEventDetails": {"resource": "invoke", "error": "E", "cause": "because", "input": "secret"},
    }  # fmt: skip
    assert b"2026-11-20T03:12:00.000Z 7 TaskFailed resource=invoke error=E cause=because\n" == log.line(event)


def test_hostile_text_passes_through_untouched() -> None:
    for text in HOSTILE:
        run = parse.run(EXECUTION | {"error": "", "cause": f"{text}.", "name": text}, text, "eu-central-1")
        assert (f"{text}."[: parse.MESSAGE_CHARACTERS], text) == (run.message, run.job)


VALUES = st.none() | st.text() | st.integers() | st.datetimes() | st.booleans() | st.lists(st.integers())


@given(
    st.fixed_dictionaries(dict.fromkeys(EXECUTION, VALUES), optional={"redriveCount": VALUES, "redriveDate": VALUES})
)
def test_any_execution_is_a_record_or_unreadable(execution: dict[str, Any]) -> None:
    with suppress(RecordUnreadable):
        assert isinstance(parse.run(execution, "x", "eu-central-1"), RunRecord)


@given(st.dictionaries(st.sampled_from(["stateMachineArn", "name", "definition", "roleArn", "type"]), VALUES))
def test_any_state_machine_is_a_job_or_unreadable(machine: dict[str, Any]) -> None:
    with suppress(RecordUnreadable):
        assert isinstance(parse.job(machine, "eu-central-1"), JobRecord)


@given(st.dictionaries(st.sampled_from(["timestamp", "id", "type", "taskFailedEventDetails"]), VALUES))
def test_any_event_is_one_line(event: dict[str, Any]) -> None:
    assert log.line(event).endswith(b"\n")


@given(st.text())
def test_any_reference_is_ours_or_nothing(text: str) -> None:
    reference = parse.reference(RunRef("x", "y", "z", text))
    assert reference == {} or set(reference) == {"arn", "machine", "redrives"}


MARKS = st.builds(
    NewestFirstPosition,
    floor=st.floats(0, 4e9),
    token=st.none() | st.text(min_size=1),
    top=st.floats(0, 4e9),
    oldest=st.none() | st.floats(1, 4e9),
    pages=st.integers(0, 100),
    first=st.text(),
    reported=st.lists(st.text()).map(tuple),
    near=st.lists(st.text()).map(tuple),
)


@given(st.dictionaries(st.text(), MARKS, max_size=5), st.integers(0, 2**40), st.integers(0, 10**6))
def test_a_cursor_survives_its_text(marks: dict[str, NewestFirstPosition], turn: int, start: int) -> None:
    cursor = NewestFirstCursor(marks, turn, start)
    assert (cursor, ()) == cursor_or_first(NewestFirstCursor(), cursor.text())


@given(st.text())
def test_any_text_is_a_cursor_or_the_first_one(text: str) -> None:
    assert isinstance(cursor_or_first(NewestFirstCursor(), text)[0], NewestFirstCursor)


@each_row(
    "given_options, text",
    [
        ({}, "region"),
        ({"region": "Frankfurt"}, "region"),
        ({"region": "eu-central-1", "access_key_id": {"env": "X"}}, "belong together"),
        ({"region": "eu-central-1", "access_key_id": "AKIA0123456789"}, LITERAL_REFUSED),
        (
            {
                "region": "eu-central-1",
                "profile": "p",
                "access_key_id": {"env": "X"},
                "secret_access_key": {"env": "Y"},
            },
            "a profile brings its own keys",
        ),
        ({"region": "eu-central-1", "session_token": {"env": "X"}}, "session_token belongs to"),
        ({"region": "eu-central-1", "endpoint_url": "http://states.internal"}, "unencrypted"),
        ({"region": "eu-central-1", "endpoint_url": "https://a:b@states.internal"}, "no credentials"),
        ({"region": "eu-central-1", "state_machines": []}, "state_machines"),
        ({"region": "eu-central-1", "regions": ["a"]}, "regions"),
    ],
)
def test_wrong_settings_are_named(given_options: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        StepFunctionsOptions.model_validate(given_options)


def long_log(events: int) -> tuple[FakeStates, RunRef]:
    """A fake whose one history has so many events, newest first, with words of several bytes a character."""
    fake = FakeStates()
    cause = {"error": "Überlauf", "cause": "größer als erlaubt"}
    fake.history = [
        {"timestamp": 1795164468 + number, "id": number, "type": "TaskFailed", "taskFailedEventDetails": cause}
        for number in range(events, 0, -1)
    ]
    fake.page_size = 50
    arn = fake.executions[-2]["executionArn"]
    native = f'{{"arn": "{arn}", "machine": "m", "redrives": "0"}}'
    return fake, RunRef("load-orders", "night-1", f"{arn}#0", native)


@pytest.mark.parametrize("limit", [60, 64, 97, 1000, 65536])
def test_chunks_of_any_size_make_the_whole_log(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    fake, run = long_log(40)
    connector = fake.connector()
    text, start, more = "", "0:0", True
    while more:
        chunk = connector.log(run, start, limit, 20)
        assert len(chunk.text.encode()) <= limit
        text, more = text + chunk.text, chunk.more
        start = chunk.next or ""
    assert 40 == len(text.splitlines())
    assert [str(number) for number in range(1, 41)] == [line.split()[1] for line in text.splitlines()]


def test_the_tail_of_a_long_log_reads_one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    fake, run = long_log(5000)
    chunk = fake.connector().log(run, None, 1000, 20)
    assert chunk.cut
    assert chunk.text.splitlines()[-1].split()[1] == "5000"
    assert ["GetExecutionHistory"] == [operation for operation, _ in fake.calls]
    assert "5001:0" == chunk.next, "no end was seen: it may go on"
