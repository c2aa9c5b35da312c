"""EventBridge Scheduler on a fake whose answers AWS's own model allows: conformance, words, holds. AWS never saw it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from connectors.eventbridge.connector import CONNECTOR
from connectors.sdk.conformance import Deadlines, Faults, Holds, Reads
from connectors.sdk.conformance.actions import hold_ask
from connectors.sdk.conformance.faults import ENDLESS, GARBLED, LONG_LINE, NOT_A_NUMBER, NOT_UTF8
from connectors.sdk.conformance.world import new_key
from connectors.sdk.contract import ActionSpec, Connector
from connectors.sdk.errors import NotSupported, SystemUnreachable
from connectors.sdk.records import RunRef
from connectors.sdk.states import RunState, Verb
from tests.connectors.aws_world import AwsWorld, keys
from tests.fakes.aws import NastyAws, endless
from tests.fakes.eventbridge import FakeScheduler
from tests.rows import each_row

__all__ = ["keys"]
LISTS = ("ListSchedules",)
HERE = "tests/connectors/eventbridge/test_eventbridge.py"
READ_BY_THE_INVENTORY = (ENDLESS, GARBLED, LONG_LINE, NOT_A_NUMBER, NOT_UTF8)


@pytest.fixture
def fake() -> FakeScheduler:
    fake = FakeScheduler()
    fake.schedule("nightly", Description="the nightly load")
    fake.schedule("hourly", ScheduleExpression="rate(1 hour)", State="DISABLED")
    return fake


class TestEventBridgeConformance(AwsWorld, Reads, Deadlines, Holds, Faults):
    kind = CONNECTOR
    against = "described: ours, its answers checked by botocore's model of AWS"
    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(READ_BY_THE_INVENTORY, HERE)
    unplayed: ClassVar[Mapping[str, str]] = {
        "crowded": "EventBridge Scheduler records no runs",
        "long_log": "EventBridge Scheduler records no runs",
        "with_a_run_behind": "EventBridge Scheduler records no runs",
    }
    limits: ClassVar[dict[str, str]] = {
        "runs": "EventBridge Scheduler records no runs",
        "success": "EventBridge Scheduler records no runs",
        "failure": "EventBridge Scheduler records no runs",
        "due": "EventBridge Scheduler records no starts",
        "unknown_word": "EventBridge Scheduler records no runs",
    }

    @pytest.fixture(autouse=True)
    def world(self, fake: FakeScheduler) -> None:
        self.fake = fake

    def connector(self) -> Connector:
        return self.fake.connector()

    def answering(self, how: str) -> Connector:
        more = endless("NextToken")
        return self.fake.connector(NastyAws(self.fake.handle_request, how, "", "Name", more, operations=LISTS))

    def with_a_right_revoked(self) -> Connector:
        self.fake.refused.add("GetSchedule")
        return self.fake.connector()

    def make_success(self) -> str:
        return "default/nightly"

    def pause_by_hand(self, job_id: str) -> None:
        self.fake._find(*job_id.split("/"))["State"] = "DISABLED"
        self._touch(job_id)

    def resume_by_hand(self, job_id: str) -> None:
        self.fake._find(*job_id.split("/"))["State"] = "ENABLED"
        self._touch(job_id)

    def _touch(self, job_id: str) -> None:
        self.fake._find(*job_id.split("/"))["LastModificationDate"] = datetime.now(UTC)

    def native_trace(self) -> object:
        rows = [
            {name: schedule[name] for name in schedule if name != "LastModificationDate"}
            for schedule in self.fake.schedules
        ]
        return json.dumps(rows, sort_keys=True, default=str)


def test_each_schedule_is_described_with_what_it_starts(fake: FakeScheduler) -> None:
    jobs = {job.native_id: job for job in fake.connector().inventory("", 20).jobs}
    nightly, hourly = jobs["default/nightly"], jobs["default/hourly"]
    assert "EventBridge Scheduler: cron(15 4 * * ? *) Europe/Berlin" == nightly.schedule.text
    assert nightly.schedule.next_at is not None
    assert ("none", "the nightly load", "starts state machine mart") == (
        nightly.schedule.dialect, nightly.title, nightly.definition,
    )  # fmt: skip
    assert (True, "EventBridge Scheduler: rate(1 hour) (disabled)") == (hourly.paused, hourly.schedule.text)


TARGETS: list[tuple[dict[str, Any], str]] = [
    ({"Arn": "arn:aws:lambda:eu-central-1:1:function:load"}, "function load"),
    ({"Arn": "arn:aws:sqs:eu-central-1:1:orders"}, "arn:aws:sqs:eu-central-1:1:orders"),
    ({"Arn": "arn:aws:ecs:eu-central-1:1:cluster/night"}, "ecs cluster night"),
    (
        {
            "Arn": "arn:aws:scheduler:::aws-sdk:glue:startJobRun",
            "Input": '{"JobName": "load", "Arguments": {}}',
        },
        "glue:startJobRun load",
    ),
    (
        {
            "Arn": "arn:aws:scheduler:::aws-sdk:batch:submitJob",
            "Input": '{"JobDefinition": "arn:aws:batch:eu-central-1:1:job-definition/mart:7"}',
        },
        "batch:submitJob mart:7",
    ),
    ({"Arn": "arn:aws:scheduler:::aws-sdk:glue:startJobRun", "Input": "{broken"}, "glue:startJobRun"),
    ({"Arn": "odd"}, "odd"),
]


@each_row("target, text", TARGETS)
def test_what_it_starts_is_named_and_nothing_else_of_its_input(target: dict[str, Any], text: str) -> None:
    fake = FakeScheduler()
    fake.schedule("one", target)
    (job,) = fake.connector().inventory("", 20).jobs
    assert f"starts {text}" == job.definition


def test_only_the_schedules_of_the_options_are_jobs(fake: FakeScheduler) -> None:
    (job,) = fake.connector(schedules=("default/night*",)).inventory("", 20).jobs
    assert "default/nightly" == job.native_id


def test_what_did_not_change_is_not_read_again(fake: FakeScheduler) -> None:
    connector = fake.connector()
    first = connector.inventory("", 20)
    fake.calls.clear()
    assert connector.inventory(first.hash, 20).unchanged
    assert ["ListSchedules"] == [name for name, _ in fake.calls]


def test_no_absence_is_ever_proved(fake: FakeScheduler) -> None:
    poll = fake.connector().poll("", (), 20)
    assert ((), None, False) == (poll.runs, poll.seen_until, poll.more)


def test_pages_that_never_end_are_reported(fake: FakeScheduler) -> None:
    nasty = NastyAws(fake.handle_request, ENDLESS, "", "Name", endless("NextToken", stays=True), operations=LISTS)
    with pytest.raises(SystemUnreachable, match="ListSchedules never ends: its pages repeat"):
        fake.connector(nasty).inventory("", 20)


def test_an_unreadable_schedule_is_skipped_and_the_rest_kept(fake: FakeScheduler) -> None:
    nasty = NastyAws(fake.handle_request, GARBLED, "", "Name", operations=LISTS)
    inventory = fake.connector(nasty).inventory("", 20)
    assert (["default/nightly"], False) == ([job.native_id for job in inventory.jobs], inventory.complete)
    assert ["a schedule without a name to ask for"] == [item.reason for item in inventory.skipped]


def test_an_answer_that_is_no_text_is_none_and_says_so(fake: FakeScheduler) -> None:
    nasty = NastyAws(fake.handle_request, NOT_UTF8, "", "Name", operations=LISTS)
    with pytest.raises(SystemUnreachable, match="is not UTF-8 at byte"):
        fake.connector(nasty).inventory("", 20)


@pytest.mark.parametrize("how, is_reported", [(NOT_A_NUMBER, True), (LONG_LINE, False)])
def test_an_odd_field_of_one_schedule_leaves_the_others_alone(fake: FakeScheduler, how: str, is_reported: bool) -> None:
    """A name of 10 MB fits into no URL: the schedule is skipped and reported. A number as name is ignored."""
    nasty = NastyAws(fake.handle_request, how, "", "Name", operations=LISTS)
    inventory = fake.connector(nasty).inventory("", 20)
    assert ["default/hourly", "default/nightly"][not is_reported :] == [job.native_id for job in inventory.jobs]
    reasons = [] if is_reported else ["a schedule without a name to ask for"]
    assert (reasons, is_reported) == ([item.reason for item in inventory.skipped], inventory.complete)


def test_a_schedule_that_ends_while_it_would_be_held_is_not_held(fake: FakeScheduler) -> None:
    fake.schedule("short", EndDate=datetime.now(UTC) + timedelta(hours=1))
    refused = fake.connector().preview(hold_ask("default/short"), 20).refused
    assert refused is not None
    assert "ends while it would be held" in refused


def test_a_deleted_schedule_is_not_held(fake: FakeScheduler) -> None:
    with pytest.raises(NotSupported, match="schedule default/none no longer exists"):
        fake.connector().preview(hold_ask("default/none"), 20)


@pytest.mark.parametrize("verb", [Verb.RERUN, Verb.START, Verb.CANCEL, Verb.MARK_OK])
def test_runs_are_left_to_the_system_that_has_them(fake: FakeScheduler, verb: Verb) -> None:
    spec = ActionSpec(verb, RunRef("default/nightly", "", "", ""), RunState.PLANNED)
    with pytest.raises(NotSupported, match="keeps no record of its starts: watch what it starts"):
        fake.connector().preview(spec, 20)


def test_a_refused_write_changes_nothing(fake: FakeScheduler) -> None:
    connector = fake.connector()
    preview = connector.preview(hold_ask("default/nightly"), 20)
    fake.schedules[0]["ScheduleExpression"] = "cron(20 4 * * ? *)"
    with pytest.raises(NotSupported, match="was changed since it was read; nothing was sent"):
        connector.act(preview, new_key(), 20)
    assert "ENABLED" == fake.schedules[0]["State"]
