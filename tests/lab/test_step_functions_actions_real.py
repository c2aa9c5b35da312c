"""Holds, starts and stops against a moto server. It keeps schedules and never starts anything by them, and it forgets
the cause of a stop: that is tested on replies of AWS's published shapes, which AWS never saw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.sdk.conformance.actions import hold_ask, release_ask
from connectors.sdk.conformance.world import new_key
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, Connector
from connectors.sdk.errors import NotSupported
from connectors.sdk.records import RunRef
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunState, Verb
from connectors.step_functions.connector import CONNECTOR
from tests.lab import aws
from tests.lab.aws import MotoServer
from tests.lab.process import wait_until
from tests.lab.test_step_functions_real import Machines, keys

__all__ = ["keys"]


@pytest.fixture
def machines(moto: MotoServer) -> Machines:
    return Machines(moto)


@pytest.fixture
def connector(machines: Machines) -> Iterator[Connector]:
    made = machines.connect()
    yield made
    made.close()


def start_ask(job: str, **parameters: Any) -> ActionSpec:
    return ActionSpec(Verb.START, RunRef(job, "2026-11-20T03:15:00Z", "", ""), RunState.PLANNED, parameters)


def test_every_field_of_a_schedule_is_the_same_after_a_hold(machines: Machines, connector: Connector) -> None:
    """UpdateSchedule resets what it is not given: window, dates, retries, dead letters must all come back."""
    more = {
        "Description": "größer … ",
        "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5},
        "StartDate": "2026-01-01T00:00:00Z",
        "EndDate": "2030-01-01T00:00:00Z",
    }
    client, name = machines.moto.scheduler(), machines.create("mart")
    target = {
        "Arn": machines.arns[name],
        "RoleArn": aws.ROLE,
        "Input": '{"a": 1}',
        "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 600},
        "DeadLetterConfig": {"Arn": "arn:aws:sqs:eu-central-1:123456789012:lost"},
    }
    schedule = f"{name}-all"
    client.create_schedule(Name=schedule, ScheduleExpression="rate(5 minutes)", Target=target, **more)
    before = machines.written(schedule)
    preview, key = connector.preview(hold_ask(name), 20), new_key()
    connector.act(preview, key, 20)
    held = machines.written(schedule)
    assert ("DISABLED", True) == (held["State"], f"headway-hold id={key} by=alice until=" in held["Description"])
    same = set(before) - {"State", "Description"}
    assert {name: before[name] for name in same} == {name: held[name] for name in same}
    connector.act(connector.preview(release_ask(name, key), 20), new_key(), 20)
    assert before == machines.written(schedule)


def test_the_inventory_describes_schedules_and_expects_nothing(machines: Machines, connector: Connector) -> None:
    name = machines.create("mart")
    bare = machines.create("bare")
    machines.schedule("mart")
    machines.schedule("mart", "rate", ScheduleExpression="rate(1 hour)")
    jobs = {job.native_id: job for job in connector.inventory("", 20).jobs}
    assert "EventBridge Scheduler: cron(15 4 * * ? *) Europe/Berlin; rate(1 hour)" == jobs[name].schedule.text
    assert ("none", "", False) == (jobs[name].schedule.dialect, jobs[name].schedule.expression, jobs[name].paused)
    assert ("", False) == (jobs[bare].schedule.text, jobs[bare].paused)
    before = connector.inventory("", 20).hash
    machines.moto.switch(machines.scheduled[name][0], "DISABLED")
    after = connector.inventory(before, 20)
    half = {job.native_id: job for job in after.jobs}[name]
    assert (False, True) == (half.paused, "(disabled)" in half.schedule.text)


def test_a_machine_that_nothing_starts_by_the_clock_is_not_held(machines: Machines, connector: Connector) -> None:
    name = machines.create("mart")
    refused = connector.preview(hold_ask(name), 20).refused
    assert refused is not None
    assert f"nothing starts {name} by the clock here" in refused


def test_a_schedule_that_a_person_disabled_stays_out_of_a_hold(machines: Machines, connector: Connector) -> None:
    name = machines.create("mart")
    on, off = machines.schedule("mart"), machines.schedule("mart", "off")
    machines.moto.switch(off, "DISABLED")
    before = machines.written(off)
    preview, key = connector.preview(hold_ask(name), 20), new_key()
    assert (f"default/{on}",) == preview.affected
    connector.act(preview, key, 20)
    connector.act(connector.preview(release_ask(name, key), 20), new_key(), 20)
    assert before == machines.written(off)
    assert "ENABLED" == machines.written(on)["State"]


def test_a_schedule_that_was_changed_since_the_preview_is_not_held(machines: Machines, connector: Connector) -> None:
    name, schedule = machines.create("mart"), machines.schedule("mart")
    preview = connector.preview(hold_ask(name), 20)
    client = machines.moto.scheduler()
    changed = machines.written(schedule) | {"ScheduleExpression": "cron(20 4 * * ? *)"}
    client.update_schedule(**{name: changed[name] for name in changed if name not in ("Arn", "CreationDate")})
    with pytest.raises(NotSupported, match="was changed since it was read; nothing was sent"):
        connector.act(preview, new_key(), 20)
    assert "ENABLED" == machines.written(schedule)["State"]


def test_a_description_without_room_is_refused(machines: Machines, connector: Connector) -> None:
    name = machines.create("mart")
    machines.schedule("mart", Description="x" * 500)
    refused = connector.preview(hold_ask(name), 20).refused
    assert refused is not None
    assert "leaves no room for the hold mark" in refused


def test_a_hold_is_looked_up_by_its_mark_and_its_release_by_the_missing_mark(
    machines: Machines, connector: Connector
) -> None:
    name = machines.create("mart")
    machines.schedule("mart")
    preview, key = connector.preview(hold_ask(name), 20), new_key()
    assert isinstance(connector.look_up(preview, key, 20), ActionAbsent)
    connector.act(preview, key, 20)
    assert isinstance(connector.look_up(preview, key, 20), ActionFound)
    released = connector.preview(release_ask(name, key), 20)
    assert isinstance(connector.look_up(released, new_key(), 20), ActionAbsent)
    connector.act(released, new_key(), 20)
    assert isinstance(connector.look_up(released, new_key(), 20), ActionFound)


def test_a_start_sends_the_input_of_the_schedule(machines: Machines, connector: Connector) -> None:
    name = machines.create("mart")
    given = {"do": "pass", "at": "<aws.scheduler.scheduled-time>", "id": "<aws.scheduler.execution-id>"}
    machines.schedule("mart", arguments=given)
    preview, key = connector.preview(start_ask(name, period_at="2026-11-20T03:15:00Z"), 20), new_key()
    assert preview.refused is None
    assert "scheduled-time" not in json.dumps(dict(preview.plan)), "the input stays in AWS"
    connector.act(preview, key, 20)
    arn = machines.arns[name].replace(":stateMachine:", ":execution:") + f":{key}"
    wait_until(lambda: machines.moto.status(arn) == "SUCCEEDED", "the start's end")
    sent = json.loads(machines.moto.client().describe_execution(executionArn=arn)["input"])
    assert {"do": "pass", "at": "2026-11-20T03:15:00Z", "id": key} == sent
    unknown = connector.preview(start_ask(name), 20).refused
    assert unknown is not None
    assert "holds the scheduled time, which is unknown here: start it by hand" in unknown


def test_schedules_with_different_inputs_leave_a_start_to_a_person(machines: Machines, connector: Connector) -> None:
    name = machines.create("mart")
    machines.schedule("mart", arguments={"do": "pass", "part": 1})
    machines.schedule("mart", "two", arguments={"do": "pass", "part": 2})
    refused = connector.preview(start_ask(name), 20).refused
    assert refused is not None
    assert "start it with different inputs: start it by hand" in refused


def test_without_the_address_of_the_scheduler_nothing_is_held_and_all_is_watched(machines: Machines) -> None:
    name = machines.create("mart")
    machines.schedule("mart")
    options = CONNECTOR.options(
        region=aws.REGION, endpoint_url=machines.moto.endpoint, state_machines=(name,),
        access_key_id={"env": "LAB_KEY_ID"}, secret_access_key={"env": "LAB_KEY"},
    )  # fmt: skip
    connector = CONNECTOR.open(options, aws.REGION, SecretStore())
    assert [("", True)] == [(job.schedule.text, not job.paused) for job in connector.inventory("", 20).jobs]
    refused = connector.preview(hold_ask(name), 20).refused
    assert refused is not None
    assert "give scheduler_endpoint_url as well" in refused
    with pytest.raises(NotSupported, match="give scheduler_endpoint_url"):
        connector.holds(20)
    assert False in [right.held for right in connector.probe(20).rights]
    connector.close()
