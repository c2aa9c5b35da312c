"""Holds, starts and stops on replies of AWS's published shapes: lost, refused or half done. AWS never saw them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.sdk.aws import schedules
from connectors.sdk.conformance.actions import hold_ask, release_ask
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import SENT_AT, ActionAbsent, ActionFound, ActionSpec, ActionUnknown, HoldMark, Preview
from connectors.sdk.errors import AccessRefused, ConnectorError, NotSupported, OutcomeUnknown, SystemUnreachable
from connectors.sdk.records import RunRef, instant_key
from connectors.sdk.states import RunState, Verb
from tests.connectors.aws_world import keys
from tests.connectors.step_functions.test_recorded import json_error, lost, not_sent, poll_all
from tests.fakes.step_functions import FakeStates, answer
from tests.rows import each_row

__all__ = ["keys"]
KEY = "headway-0123456789abcdef"
MARK = HoldMark(KEY, "alice", datetime(2026, 11, 20, 6, 30, tzinfo=UTC))
NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)


@pytest.fixture
def fake() -> FakeStates:
    made = FakeStates()
    made.schedule("nightly", Description="the nightly load")
    return made


def start_ask(job: str = "mart", **parameters: Any) -> ActionSpec:
    return ActionSpec(Verb.START, RunRef(job, "2026-11-20T03:15:00Z", "", ""), RunState.PLANNED, parameters)


def ask_to(fake: FakeStates, verb: Verb) -> Preview:
    """An allowed preview of each verb that writes."""
    connector = fake.connector()
    if verb == Verb.CANCEL:
        run = next(run for run in poll_all(connector)[0] if run.state == RunState.RUNNING)
        shown = connector.preview(ActionSpec(verb, ref(run), run.state, {"why": "it hangs"}), 20)
    elif verb == Verb.RELEASE:
        connector.act(connector.preview(hold_ask("mart"), 20), KEY, 20)
        shown = connector.preview(release_ask("mart", KEY), 20)
    else:
        shown = connector.preview(start_ask() if verb == Verb.START else hold_ask("mart"), 20)
    assert shown.refused is None, shown.refused
    return shown


CALLS = {
    Verb.START: "StartExecution",
    Verb.CANCEL: "StopExecution",
    Verb.HOLD: "UpdateSchedule",
    Verb.RELEASE: "UpdateSchedule",
}


@pytest.mark.parametrize("verb", CALLS)
@pytest.mark.parametrize(
    "fault, expected",
    [
        (lost, OutcomeUnknown),
        (not_sent, SystemUnreachable),
        ((500, "InternalServerException"), OutcomeUnknown),
        ((503, "ServiceUnavailable"), OutcomeUnknown),
        (lambda _: answer(200, b'{"half'), OutcomeUnknown),
        ((429, "ThrottlingException"), SystemUnreachable),
        ((403, "AccessDeniedException"), AccessRefused),
        ((409, "ConflictException"), NotSupported),
        ((400, "ValidationException"), NotSupported),
    ],
)
def test_a_lost_answer_is_unknown_and_nothing_is_sent_twice(
    fake: FakeStates, verb: Verb, fault: Any, expected: type[ConnectorError]
) -> None:
    preview = ask_to(fake, verb)
    fake.calls.clear()
    fake.fault_at[CALLS[verb]] = json_error(*fault) if isinstance(fault, tuple) else fault
    with pytest.raises(expected):
        fake.connector().act(preview, new_key(), 20)
    assert 1 == [operation for operation, _ in fake.calls].count(CALLS[verb])


@pytest.mark.parametrize("verb", CALLS)
def test_what_arrived_though_its_answer_was_lost_is_found(fake: FakeStates, verb: Verb) -> None:
    preview, key, connector = ask_to(fake, verb), new_key(), fake.connector()
    assert isinstance(connector.look_up(preview, key, 20), ActionAbsent)

    def arrive_and_lose(request: httpx.Request) -> httpx.Response:
        fake.handle_request(request)
        raise httpx.ReadError("connection reset", request=request)

    fake.fault_at[CALLS[verb]] = arrive_and_lose
    with pytest.raises(OutcomeUnknown):
        connector.act(preview, key, 20)
    assert isinstance(connector.look_up(preview, key, 20), ActionFound)


@pytest.mark.parametrize("verb", CALLS)
def test_what_is_not_there_a_moment_after_it_was_sent_may_still_come(fake: FakeStates, verb: Verb) -> None:
    preview = ask_to(fake, verb)
    sent = Preview(preview.verb, "", "", plan={**preview.plan, SENT_AT: instant_key(datetime.now(UTC))})
    assert isinstance(fake.connector().look_up(sent, new_key(), 20), ActionUnknown)


def test_a_partial_hold_of_two_schedules_is_unknown_and_reported(fake: FakeStates) -> None:
    """The second is refused for good after the first was written: not "nothing happened"."""
    fake.schedule("noon")
    connector, key = fake.connector(), new_key()
    preview = connector.preview(hold_ask("mart"), 20)

    def first_then_refuse(request: httpx.Request) -> httpx.Response:
        fake.fault_at["UpdateSchedule"] = json_error(403, "AccessDeniedException")
        operation = fake._UpdateSchedule(fake.calls[-1][1])
        return answer(200, operation)

    fake.fault_at["UpdateSchedule"] = first_then_refuse
    with pytest.raises(OutcomeUnknown, match="default/nightly was written, then"):
        connector.act(preview, key, 20)
    look_up = connector.look_up(preview, key, 20)
    assert ActionUnknown("only default/nightly of default/nightly, default/noon bears the hold mark") == look_up
    assert [(key, "mart")] == [(hold.mark.id, hold.job) for hold in connector.holds(20)]
    connector.act(connector.preview(release_ask("mart", key), 20), new_key(), 20)
    assert {"ENABLED"} == {schedule["State"] for schedule in fake.schedules}


@pytest.mark.parametrize("state", ["ENABLED", "DISABLED"])
def test_the_mark_alone_goes_and_the_schedule_stays_as_a_person_left_it(fake: FakeStates, state: str) -> None:
    connector, before = fake.connector(), dict(fake.schedules[0])
    connector.act(connector.preview(hold_ask("mart"), 20), KEY, 20)
    assert [False] == [hold.bare for hold in connector.holds(20)]
    fake.schedules[0]["State"] = "ENABLED"
    assert [True] == [hold.bare for hold in fake.connector().holds(20)]
    ask = replace(release_ask("mart", KEY), parameters={"hold": KEY, "enable": "no"})
    preview = connector.preview(ask, 20)
    assert (None, "remove the mark") == (preview.refused, preview.verb)
    fake.schedules[0]["State"] = state
    connector.act(preview, new_key(), 20)
    reported = [fake.schedules[0].get(name) for name in ("State", "Description", "ScheduleExpression", "Target")]
    assert [state, *(before.get(name) for name in ("Description", "ScheduleExpression", "Target"))] == reported
    assert isinstance(connector.look_up(preview, new_key(), 20), ActionFound)


def test_a_key_is_the_token_of_its_writes(fake: FakeStates) -> None:
    fake.schedule("noon")
    connector = fake.connector()
    connector.act(connector.preview(hold_ask("mart"), 20), KEY, 20)
    tokens = [body["ClientToken"] for operation, body in fake.calls if operation == "UpdateSchedule"]
    assert [f"{KEY}-0", f"{KEY}-1"] == tokens


def test_without_the_right_to_list_schedules_all_is_watched_and_nothing_held(fake: FakeStates) -> None:
    def refuse() -> None:
        fake.fault_at["ListSchedules"] = json_error(403, "AccessDeniedException")

    connector = fake.connector()
    refuse()
    inventory = connector.inventory("", 20)
    assert (True, {False}) == (inventory.complete, {job.paused for job in inventory.jobs})
    assert all("allow scheduler:ListSchedules to this identity" in job.schedule.text for job in inventory.jobs)
    for ask in (hold_ask("mart"), release_ask("mart", KEY), start_ask()):
        refuse()
        refused = connector.preview(ask, 20).refused
        assert refused is not None
        assert "allow scheduler:ListSchedules" in refused
    refuse()
    with pytest.raises(AccessRefused):
        connector.holds(20)
    refuse()
    (missing,) = [right for right in connector.probe(20).rights if right.held is False]
    assert ("scheduler:ListSchedules", "act") == (missing.name, missing.needed_for)


def test_schedules_that_cannot_be_read_just_now_leave_no_job_unpaused(fake: FakeStates) -> None:
    """A job that is shown awake because nobody could look would end its drift, and expect starts again."""

    def unavailable(_: httpx.Request) -> httpx.Response:
        fake.fault_at["ListSchedules"] = unavailable
        return json_error(503, "ServiceUnavailable")

    fake.fault_at["ListSchedules"] = unavailable
    with pytest.raises(SystemUnreachable):
        fake.connector().inventory("", 20)


def test_a_refused_write_names_the_role_that_must_be_passed(fake: FakeStates) -> None:
    preview = ask_to(fake, Verb.HOLD)
    fake.fault_at["UpdateSchedule"] = json_error(403, "AccessDeniedException")
    with pytest.raises(AccessRefused, match="scheduler:UpdateSchedule, and iam:PassRole on the schedule's role,"):
        fake.connector().act(preview, new_key(), 20)


def test_what_did_not_change_is_not_read_again(fake: FakeStates) -> None:
    fake.schedules[0]["LastModificationDate"] = 1700000000.0
    connector = fake.connector()
    connector.inventory("", 20)
    fake.calls.clear()
    connector.inventory("", 20)
    assert "GetSchedule" not in [operation for operation, _ in fake.calls]
    fake.schedules[0] |= {"LastModificationDate": 1700000001.0, "ScheduleExpression": "rate(2 hours)"}
    texts = {job.native_id: job.schedule.text for job in connector.inventory("", 20).jobs}
    assert "EventBridge Scheduler: rate(2 hours)" == texts["mart"]


def test_schedules_of_other_targets_are_not_ours(fake: FakeStates) -> None:
    fake.schedule("other")["Target"]["Arn"] = "arn:aws:lambda:eu-central-1:123456789012:function:mart"
    fake.schedule("version")["Target"]["Arn"] += ":7"
    fake.schedule("namesake")["Target"]["Arn"] += "-archive"
    assert ("default/nightly", "default/version") == fake.connector().preview(hold_ask("mart"), 20).affected


def test_a_field_that_we_do_not_know_is_never_lost(fake: FakeStates) -> None:
    assert ["NewThing"] == schedules.unknown_fields({"Name": "x", "Arn": "y", "NewThing": 1})


def test_a_stop_names_its_requester(fake: FakeStates) -> None:
    preview, key, connector = ask_to(fake, Verb.CANCEL), new_key(), fake.connector()
    connector.act(preview, key, 20)
    stopped = next(
        execution for execution in fake.executions if execution["status"] == "ABORTED" and "cause" in execution
    )
    assert ("Headway.Cancelled", f"{key} it hangs") == (stopped["error"], stopped["cause"])
    assert "ABORTED by us" in str(connector.look_up(preview, key, 20))
    assert "does not name the user" in str(connector.look_up(preview, new_key(), 20))
    with pytest.raises(NotSupported, match="has ended: Step Functions reports ABORTED; nothing was sent"):
        connector.act(preview, new_key(), 20)


def test_an_express_machine_is_not_started(fake: FakeStates) -> None:
    fake.machines[1]["type"] = "EXPRESS"
    refused = fake.connector().preview(start_ask(), 20).refused
    assert refused is not None
    assert "EXPRESS" in refused


def test_a_machine_without_a_schedule_starts_with_an_empty_input(fake: FakeStates) -> None:
    connector, key = fake.connector(), new_key()
    preview = connector.preview(start_ask("load-orders"), 20)
    assert "no schedule starts it, so it gets an empty input" in preview.notes
    connector.act(preview, key, 20)
    assert (key, "{}") == (fake.executions[0]["name"], fake.executions[0]["input"])


def test_the_input_of_a_schedule_is_sent_and_never_shown(fake: FakeStates) -> None:
    fake.schedules[0]["Target"]["Input"] = '{"password": "s3cr3t-input"}'
    connector, key = fake.connector(), new_key()
    shown = [connector.preview(ask, 20) for ask in (start_ask(), hold_ask("mart"))]
    connector.act(shown[0], key, 20)
    assert '{"password": "s3cr3t-input"}' == fake.executions[0]["input"]
    assert "s3cr3t-input" not in repr((shown, connector.inventory("", 20), connector.look_up(shown[0], key, 20)))


@pytest.mark.parametrize("verb", [Verb.MARK_OK, Verb.SKIP])
def test_a_state_cannot_be_set(fake: FakeStates, verb: Verb) -> None:
    with pytest.raises(NotSupported, match="Headway records it as asserted"):
        fake.connector().preview(ActionSpec(verb, RunRef("mart", "x", "", ""), RunState.FAILED), 20)


def test_a_deleted_state_machine_is_reported(fake: FakeStates) -> None:
    with pytest.raises(NotSupported, match="state machine mist no longer exists"):
        fake.connector().preview(hold_ask("mist"), 20)


@each_row("description", ["", "the load", "the load ", " ", "größer … 🙂", "a | headway-hold | b"])
def test_a_description_is_the_same_after_our_mark(description: str) -> None:
    before = {"Name": "x", "State": "ENABLED"} | ({"Description": description} if description else {})
    held = schedules.with_mark(before, MARK)
    assert ("DISABLED", MARK) == (held["State"], schedules.mark_in(held))
    assert before == schedules.without_mark(held)


def test_text_after_our_mark_is_preserved() -> None:
    held = {"Description": f"the load {MARK.text} (ask Bob)", "State": "DISABLED"}
    assert "the load (ask Bob)" == schedules.without_mark(held)["Description"]


@each_row(
    "fields, over, turn",
    [
        ({}, False, ""),
        ({"EndDate": NOW - timedelta(days=1)}, True, "ends"),
        ({"EndDate": NOW + timedelta(hours=1)}, False, "ends"),
        ({"EndDate": NOW + timedelta(days=9)}, False, ""),
        ({"StartDate": NOW - timedelta(days=1)}, False, ""),
        ({"StartDate": NOW + timedelta(hours=1)}, False, "begins"),
        ({"StartDate": NOW + timedelta(days=9)}, False, ""),
        ({"ScheduleExpression": "at(2026-11-18T04:00:00)"}, True, "starts its only time"),
        ({"ScheduleExpression": "at(2026-11-20T04:00:00)"}, False, "starts its only time"),
        ({"ScheduleExpression": "at(2026-12-20T04:00:00)"}, False, ""),
        ({"ScheduleExpression": "at(2026-99-99T04:00:00)"}, False, ""),
    ],
)
def test_a_schedule_that_turns_while_it_is_held_is_known(fields: dict[str, Any], over: bool, turn: str) -> None:
    assert (over, turn) == (schedules.is_over(fields, NOW), schedules.turn_before(fields, NOW, MARK.until))


def test_a_schedule_that_would_end_under_the_hold_is_refused(fake: FakeStates) -> None:
    fake.schedules[0]["EndDate"] = (datetime.now(UTC) + timedelta(hours=1)).timestamp()
    refused = fake.connector().preview(hold_ask("mart"), 20).refused
    assert refused is not None
    assert "schedule default/nightly ends while it would be held" in refused


def test_a_partial_release_of_two_schedules_is_unknown(fake: FakeStates) -> None:
    fake.schedule("noon")
    connector = fake.connector()
    connector.act(connector.preview(hold_ask("mart"), 20), KEY, 20)
    preview = connector.preview(release_ask("mart", KEY), 20)

    def first_then_refuse(request: httpx.Request) -> httpx.Response:
        fake.fault_at["UpdateSchedule"] = json_error(403, "AccessDeniedException")
        return answer(200, fake._UpdateSchedule(fake.calls[-1][1]))

    fake.fault_at["UpdateSchedule"] = first_then_refuse
    with pytest.raises(OutcomeUnknown, match="default/nightly was written, then"):
        connector.act(preview, new_key(), 20)
    expected = "only default/noon of default/nightly, default/noon bears the hold mark"
    assert ActionUnknown(expected) == connector.look_up(preview, new_key(), 20)
