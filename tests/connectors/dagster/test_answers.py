"""What a mutation's answer proves: Dagster creates a run first and submits it then."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from connectors.dagster import parse
from connectors.dagster.client import DagsterClient
from connectors.dagster.connector import DagsterConnector
from connectors.dagster.options import DagsterOptions
from connectors.sdk.errors import NotSupported, OutcomeUnknown, RecordUnreadable
from connectors.sdk.states import PeriodKind
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpAccount, HttpEndpoint
from tests.fakes.dagster import FakeDagster
from tests.rows import each_row


def client(kind: str, status: int) -> DagsterClient:
    details = {"data": {"launchRun": {"__typename": kind, "message": "grpc: lost while run 1234 was submitted"}}}
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json=details))
    dagster_client = DagsterClient(
        HttpEndpoint("Dagster", "http://127.0.0.1:1", None, transport), HttpAccount(lambda _: "", None, None, None)
    )
    dagster_client.deadline = Deadline(5)
    return dagster_client


@each_row("kind", ["PythonError", "SomethingNewError", "None"])
@each_row("status", [200, 500])
def test_an_error_that_may_come_after_the_run_was_created_leaves_the_outcome_unknown(kind: str, status: int) -> None:
    with pytest.raises(OutcomeUnknown, match="Outcome unknown: checking Dagster"):
        client(kind, status).launch({})


@pytest.mark.parametrize("kind", ["RunConfigValidationInvalid", "PipelineNotFoundError"])
def test_a_launch_that_was_reviewed_and_not_begun_is_refused(kind: str) -> None:
    with pytest.raises(NotSupported, match="nothing was done"):
        client(kind, 200).launch({})


def test_a_scheduled_run_that_is_executed_again_by_hand_belongs_to_the_run_that_the_schedule_started() -> None:
    fake = FakeDagster("load")
    first = fake.start("load", tags={"dagster/schedule_name": "nightly"})
    second = fake.start("load", first)
    third = fake.start("load", second)
    runs = [parse.run_record(row, (), "") for row in (first, second, third)]
    assert [(None, ""), (None, first["runId"]), (None, first["runId"])] == [
        (run.period_key, run.again_of) for run in runs
    ]


@each_row("partition", ["2026-11-29", "2026-11-29|eu", "eu"])
def test_a_scheduled_run_of_a_partition_answers_the_schedule_and_names_its_partition(partition: str) -> None:
    """Tags as a daemon writes them; a backfill, a sensor and a person name no schedule."""
    fake = FakeDagster("load")
    of = {"dagster/partition": partition}
    scheduled = fake.start("load", tags={"dagster/schedule_name": "nightly", **of})
    rows = [scheduled, fake.start("load", scheduled)]
    rows += [
        fake.start("load", tags={**more, **of})
        for more in ({"dagster/backfill": "abcdefgh"}, {"dagster/sensor_name": "new_files"}, {})
    ]
    runs = [parse.run_record(row, (), "") for row in rows]
    assert [(None, partition), (None, partition), *3 * [(partition, "")]] == [
        (run.period_key, run.period_name) for run in runs
    ]
    assert {PeriodKind.NAME} == {run.denotes for run in runs}
    assert ["", scheduled["runId"], *3 * [""]] == [run.again_of for run in runs]


RANGE = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-06-30"}
DAY = {"dagster/partition": "2026-11-29"}


@each_row(
    "job, assets, tags, key, name",
    [
        ("load", [], RANGE, "2026-01-01...2026-06-30", ""),
        ("load", [], {"dagster/sensor_name": "files", "dagster/run_key": "a.csv"}, None, "a.csv"),
        ("load", ["orders"], {}, None, ""),
        ("__ASSET_JOB", ["weather", "raw/orders"], {}, None, "raw/orders, weather"),
        ("__ASSET_JOB", ["orders"], DAY, None, "orders 2026-11-29"),
        ("__ASSET_JOB", ["orders"], RANGE, None, "orders 2026-01-01...2026-06-30"),
        ("__ASSET_JOB", [], {}, None, ""),
    ],
)
def test_a_run_names_what_it_works_on(
    job: str, assets: list[str], tags: dict[str, str], key: str | None, name: str
) -> None:
    """Without a partition of its own each run is another one: its key is its id."""
    row = FakeDagster(job).start(job, tags=tags)
    row["assetSelection"] = [{"path": asset.split("/")} for asset in assets] or None
    run = parse.run_record(row, (), "")
    assert (key or row["runId"], name) == (run.period_key, run.period_name)
    assert (PeriodKind.NAME if key or name else PeriodKind.RUN) is run.denotes


def test_many_assets_have_a_short_name_of_their_own() -> None:
    row = FakeDagster("__ASSET_JOB").start("__ASSET_JOB")
    names = []
    for count in (30, 31):
        row["assetSelection"] = [{"path": [f"{number:02}-\U0001f4a0" * 50]} for number in range(count)]
        names.append(parse.run_record(row, (), "").period_name)
    assert 2 == len(set(names))
    assert max(len(name.encode()) for name in names) < 1000


def step_row(**failure: Any) -> dict[str, Any]:
    steps = [{"stepKey": "load", "status": "FAILURE"}]
    return {"runId": "r1", "stepStats": steps, "eventConnection": {"events": [{"stepKey": "load", **failure}]}}


def test_a_failed_step_has_the_message_of_its_cause_unless_that_is_empty() -> None:
    for cause, text in (("bad row 7", "load: bad row 7"), ("", "load: Error in load"), (" ", "load: Error in load")):
        error = {"message": "Error in load", "cause": {"message": cause}}
        assert ("r1", [text]) == parse.failed_steps(step_row(error=error))


def test_an_event_of_no_step_is_unreadable() -> None:
    with pytest.raises(RecordUnreadable):
        parse.failed_steps(step_row(stepKey=["load"]))


def test_failed_steps_beyond_those_listed_are_counted() -> None:
    row, steps = FakeDagster("load").start("load"), [f"s{number:02}: boom" for number in range(14)]
    assert [*steps[:12], "and 2 more"] == parse.run_record(row, steps, "").message.splitlines()
    assert steps[:12] == parse.run_record(row, steps[:12], "").message.splitlines()


GOOD_CONFIG, GOOD_TAGS = {"__typename": "PartitionRunConfig", "yaml": "{}"}, {"__typename": "PartitionTags"}


@each_row(
    "partition",
    [
        None,
        {"runConfigOrError": {"__typename": "UnauthorizedError"}, "tagsOrError": GOOD_TAGS},
        {"runConfigOrError": GOOD_CONFIG, "tagsOrError": {"__typename": "UnauthorizedError"}},
        {"runConfigOrError": GOOD_CONFIG, "tagsOrError": None},
    ],
)
def test_a_partition_without_its_config_and_tags_is_not_launched(partition: dict[str, Any] | None) -> None:
    answer = {"partitionKeysOrError": {"partitionKeys": ["eu"]}, "partition": partition}
    with pytest.raises(NotSupported, match="launch it in Dagster"):
        parse.launched_partition(answer, "eu")
    good = {"runConfigOrError": GOOD_CONFIG, "tagsOrError": GOOD_TAGS}
    assert parse.DagsterPartition("{}", {"dagster/partition": "eu"}) == parse.launched_partition(
        {**answer, "partition": good}, "eu"
    )


def test_a_dead_daemon_that_jobs_need_to_start_is_reported_by_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.sdk.scheduler_health.HEALTH_INTERVAL_SECONDS", 0.0)
    fake = FakeDagster("load")
    options = DagsterOptions(url="http://127.0.0.1:3000")
    connector = DagsterConnector(options, lambda _: "", fake.transport)
    reported = []
    for dead in ((), ("SCHEDULER",), ("SENSOR",), ("SCHEDULER",), ("QUEUED_RUN_COORDINATOR", "SENSOR"), ()):
        if dead == ("SENSOR",):
            fake.schedule("load", "nightly")
        fake.dead_daemons = set(dead)
        reported.append(connector.poll("", (), 5).stopped)
    fix = "Fix: start it again: dagster-daemon run"
    no_start = f"the daemon SCHEDULER sends no heartbeat: no schedule starts a run. {fix}"
    assert [
        "", "", "", no_start,
        f"the daemon QUEUED_RUN_COORDINATOR sends no heartbeat: no run leaves the queue. {fix}",
        "",
    ] == reported  # fmt: skip
    fake.dead_daemons = {"SCHEDULER"}
    assert no_start == connector.poll("", (), 5).stopped
    fake.schedules.clear()
    fake.broken = ["reports"]
    assert no_start == connector.poll("", (), 5).stopped, "its schedule may be in the location that is not loaded"
