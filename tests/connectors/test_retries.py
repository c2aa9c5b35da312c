"""A failed try of which the scheduler says that another one follows is no failure, and all tries are one run, whose
state is that of the last: polled into a store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from connectors.sdk.records import Schedule
from tests.connectors.aws_world import keys
from tests.connectors.dagster.test_recorded import opened as dagster
from tests.connectors.google.test_profiles import opened as google
from tests.connectors.http.test_luigi import RECORDED as LUIGI_NOW
from tests.connectors.http.test_luigi import TASK as LUIGI_TASK
from tests.connectors.http.test_luigi import opened as luigi
from tests.connectors.oracle_scheduler.test_profile import fake as oracle
from tests.connectors.oracle_scheduler.test_profile import opened as oracle_connector
from tests.connectors.retries import PolledNight
from tests.connectors.rundeck.test_profile import opened as rundeck
from tests.connectors.snowflake_tasks.test_profile import opened as snowflake
from tests.fakes.batch import FakeBatch, milliseconds
from tests.fakes.dagster import FakeDagster
from tests.fakes.glue import FakeGlue
from tests.fakes.google_services import FAILED, MART, SUCCEEDED, FakeScheduler
from tests.fakes.oracle import LOAD as ORACLE_JOB
from tests.fakes.oracle import FakeOracleScheduler
from tests.fakes.rundeck import LOAD, FakeRundeck, written
from tests.fakes.snowflake import FakeSnowflake
from tests.store.estate import Estate
from tests.store.fixtures import night, store, store_url

__all__ = ["keys", "night", "oracle", "store", "store_url"]
HOURLY = Schedule("debian-cron", "0 * * * *", "UTC")
CLOCKS = pytest.mark.parametrize("clock", [None, HOURLY], ids=["no clock", "hourly"])


def of(night: Estate, clock: Schedule | None, job: str) -> PolledNight:
    return PolledNight(night, {job: clock} if clock else {})


# -- Rundeck: a link from each try to the next


class Rundeck:
    """A Rundeck without a past, which tries a job again."""

    def __init__(self) -> None:
        self.fake = FakeRundeck()
        self.fake.executions.clear()
        self.fake.hangs.add(LOAD)
        self.row = self.fake.execution(LOAD, "running", self.fake.now)

    def fails(self, is_retried: bool = True) -> None:
        self.fake.tick()
        ended = {"status": "failed-with-retry" if is_retried else "failed", "date-ended": written(self.fake.now)}
        self.row |= ended

    def tries_again(self) -> None:
        self.fake.tick()
        before, self.row = self.row, self.fake.execution(LOAD, "running", self.fake.now)
        before["retryExecution"] = {"id": self.row["id"]}
        self.row["retryAttempt"] = before.get("retryAttempt", 0) + 1

    def succeeds(self) -> None:
        self.fake.tick()
        self.row |= {"status": "succeeded", "date-ended": written(self.fake.now)}


@CLOCKS
@pytest.mark.parametrize("seen_between", [True, False])
def test_the_executions_that_rundeck_links_are_tries_of_one_run(
    night: Estate, clock: Schedule | None, seen_between: bool
) -> None:
    source = Rundeck()
    runs, connector = of(night, clock, LOAD), rundeck(source.fake)
    assert [("running", 1)] == runs.after(connector, LOAD)
    for tries in (1, 2):
        source.fails()
        if seen_between:
            assert [("retrying", tries)] == runs.after(connector, LOAD)
        source.tries_again()
        assert [("running", tries + 1)] == runs.after(connector, LOAD)
    source.succeeds()
    assert [("succeeded", 3)] == runs.after(connector, LOAD)
    assert ["failed", "failed", "succeeded"] == [
        state for (state,) in night.rows("SELECT state FROM attempt ORDER BY number")
    ]


def test_the_last_try_of_rundeck_fails_the_run(night: Estate) -> None:
    source = Rundeck()
    runs, connector = of(night, HOURLY, LOAD), rundeck(source.fake)
    source.fails()
    assert [("retrying", 1)] == runs.after(connector, LOAD)
    source.tries_again()
    source.fails(is_retried=False)
    assert [("failed", 2)] == runs.after(connector, LOAD)


def test_tries_of_the_past_are_one_run_though_the_last_one_is_listed_first(night: Estate) -> None:
    source = Rundeck()
    source.fails()
    source.tries_again()
    source.fails()
    source.tries_again()
    source.succeeds()
    assert [("succeeded", 3)] == of(night, HOURLY, LOAD).after(rundeck(source.fake), LOAD)


def test_tries_on_several_pages_are_one_run(night: Estate) -> None:
    source = Rundeck()
    source.fails()
    source.tries_again()
    source.succeeds()
    connector = rundeck(source.fake, limit=1)
    assert [("succeeded", 2)] == of(night, HOURLY, LOAD).after(connector, LOAD)


def test_the_name_of_the_next_try_that_no_list_shows_is_read_from_the_try_itself(night: Estate) -> None:
    source = Rundeck()
    source.fails()
    source.tries_again()

    def answer(request: httpx.Request) -> httpx.Response:
        reply = source.fake.handle(request)
        if not request.url.path.endswith("/executions"):
            return reply
        body = reply.json()
        body["executions"] = [{**row, "retryExecution": None} for row in body["executions"]]
        return httpx.Response(200, json=body, headers={"date": reply.headers["date"]})

    connector = rundeck(source.fake, httpx.MockTransport(answer))
    assert [("running", 2)] == of(night, HOURLY, LOAD).after(connector, LOAD)


@pytest.mark.parametrize("named", [True, False])
def test_a_try_whose_next_one_is_gone_or_never_named_has_failed(night: Estate, named: bool) -> None:
    source = Rundeck()
    source.fails()
    if named:
        source.row["retryExecution"] = {"id": 999}
    else:
        source.row["date-started"] = written(source.fake.now - timedelta(hours=3))
        source.row["date-ended"] = written(source.fake.now - timedelta(hours=2))
    assert [("failed", 1)] == of(night, HOURLY, LOAD).after(rundeck(source.fake), LOAD)


# -- Snowflake: numbered attempts of one RUN_ID

TASK = "PUBLIC.LOAD_ORDERS"


@CLOCKS
def test_the_attempts_of_a_snowflake_run_are_one_run(night: Estate, clock: Schedule | None) -> None:
    fake = FakeSnowflake()
    fake.history.clear()
    at = fake.now
    runs, connector = of(night, clock, TASK), snowflake(fake)
    fake.run("LOAD_ORDERS", "FAILED", at)
    assert [("failed", 1)] == runs.after(connector, TASK), "Snowflake does not say that it tries again"
    for number in (2, 3):
        row = fake.run("LOAD_ORDERS", "SCHEDULED", at, attempt=number)
        assert [("retrying", number)] == runs.after(connector, TASK)
        began = at + timedelta(minutes=5 * number)
        row |= {"STATE": "EXECUTING", "QUERY_START_TIME": began}
        fake.now = began + timedelta(minutes=1)
        assert [("running", number)] == runs.after(connector, TASK)
        row |= {"STATE": "FAILED" if number == 2 else "SUCCEEDED", "COMPLETED_TIME": began + timedelta(minutes=1)}
        assert [("failed" if number == 2 else "succeeded", number)] == runs.after(connector, TASK)


# -- Dagster: tags, and the run that a run repeats

JOB = "lab/load_orders"


def dagster_run(tags: dict[str, str]) -> tuple[FakeDagster, dict[str, Any]]:
    """A run that failed just now, with these tags."""
    fake = FakeDagster("load_orders")
    fake.now = datetime.now(UTC) - timedelta(minutes=3)
    fake.outcome["load_orders"] = "FAILURE"
    row = fake.start("load_orders", tags={"dagster/schedule_name": "nightly"} | tags)
    fake.tick(10)
    return fake, row


@pytest.mark.parametrize("links", [True, False])
def test_the_runs_that_dagster_launches_for_a_failed_one_are_tries_of_it(night: Estate, links: bool) -> None:
    fake, row = dagster_run({"dagster/max_retries": "2", "dagster/will_retry": "true"})
    runs, connector = of(night, HOURLY, JOB), dagster(fake)
    assert [("retrying", 1)] == runs.after(connector, JOB)
    for number in (1, 2):
        last = number == 2
        fake.outcome["load_orders"] = "SUCCESS" if last else "FAILURE"
        again = fake.start("load_orders", row, {"dagster/retry_number": str(number)})
        row["tags"] += [{"key": "dagster/auto_retry_run_id", "value": again["runId"]}] if links else []
        row["updateTime"] = fake.now.timestamp()
        assert [("queued", number + 1)] == runs.after(connector, JOB)
        fake.tick(10)
        assert [("succeeded" if last else "retrying", number + 1)] == runs.after(connector, JOB)
        row = again
    assert ["failed", "failed", "succeeded"] == [
        state for (state,) in night.rows("SELECT state FROM attempt ORDER BY number")
    ]


@pytest.mark.parametrize(
    "tags, state",
    [
        ({"dagster/will_retry": "true"}, "retrying"),
        ({"dagster/will_retry": "True", "dagster/max_retries": "1", "dagster/retry_number": "1"}, "retrying"),
        ({"dagster/will_retry": "false", "dagster/max_retries": "2"}, "failed"),
        ({"dagster/max_retries": "2"}, "retrying"),
        ({"dagster/max_retries": "2", "dagster/retry_number": "1"}, "retrying"),
        ({"dagster/max_retries": "2", "dagster/retry_number": "2"}, "failed"),
        ({"dagster/max_retries": "0"}, "failed"),
        ({"dagster/max_retries": "many"}, "failed"),
        ({"dagster/will_retry": "true", "dagster/auto_retry_run_id": "0b5c"}, "failed"),
        (
            {
                "dagster/max_retries": "2",
                "dagster/failure_reason": "STEP_FAILURE",
                "dagster/retry_on_asset_or_op_failure": "false",
            },
            "failed",
        ),
        ({}, "failed"),
    ],
)
def test_the_tags_of_a_failed_run_say_whether_dagster_tries_again(
    night: Estate, tags: dict[str, str], state: str
) -> None:
    fake, _ = dagster_run(tags)
    assert [(state, 1)] == of(night, HOURLY, JOB).after(dagster(fake), JOB)


@pytest.mark.parametrize("tags, hours", [({"dagster/will_retry": "true"}, 25), ({"dagster/max_retries": "2"}, 2)])
def test_a_try_that_dagster_never_launched_is_not_waited_for_for_ever(
    night: Estate, tags: dict[str, str], hours: int
) -> None:
    fake, row = dagster_run(tags)
    row |= {name: row[name] - hours * 3600 for name in ("creationTime", "startTime", "endTime")}
    assert [("failed", 1)] == of(night, HOURLY, JOB).after(dagster(fake), JOB)


# -- Glue: the job's MaxRetries, and the numbers in the ids


def glue(retries: int) -> FakeGlue:
    fake = FakeGlue()
    fake.job("mart", MaxRetries=retries)
    return fake


def attempt(fake: FakeGlue, first: dict[str, Any], number: int, state: str) -> dict[str, Any]:
    began = first["StartedOn"] + timedelta(minutes=10 * number)
    more = {"Id": f"{first['Id']}_attempt_{number}", "Attempt": number, "PreviousRunId": first["Id"]}
    return fake.run("mart", state, began, **more)


def test_a_failed_run_of_a_job_with_retries_waits_for_them_and_then_has_the_state_of_the_last(night: Estate) -> None:
    fake = glue(2)
    runs, connector = of(night, None, "mart"), fake.connector()
    first = fake.run("mart", "FAILED", datetime.now(UTC) - timedelta(minutes=40))
    assert [("retrying", 1)] == runs.after(connector, "mart")
    second = attempt(fake, first, 1, "RUNNING")
    assert [("running", 2)] == runs.after(connector, "mart")
    second |= {"JobRunState": "FAILED", "CompletedOn": datetime.now(UTC)}
    assert [("retrying", 2)] == runs.after(connector, "mart")
    attempt(fake, first, 2, "FAILED")
    assert [("failed", 3)] == runs.after(connector, "mart")
    assert {"failed"} == {state for (state,) in night.rows("SELECT state FROM attempt")}


@pytest.mark.parametrize(
    "retries, state, ago, shown",
    [
        (1, "FAILED", 10, "retrying"),
        (0, "FAILED", 10, "failed"),
        (1, "FAILED", 120, "failed"),
        (1, "TIMEOUT", 10, "timed_out"),
        (1, "STOPPED", 10, "cancelled"),
    ],
)
def test_glue_tries_again_what_failed_a_moment_ago(
    night: Estate, retries: int, state: str, ago: int, shown: str
) -> None:
    fake = glue(retries)
    fake.run("mart", state, datetime.now(UTC) - timedelta(minutes=ago))
    assert [(shown, 1)] == of(night, None, "mart").after(fake.connector(), "mart")


def test_a_retry_of_a_rerun_belongs_to_the_run_that_was_repeated(night: Estate) -> None:
    fake = glue(1)
    runs, connector = of(night, None, "mart"), fake.connector()
    first = fake.run("mart", "TIMEOUT", datetime.now(UTC) - timedelta(hours=3))
    assert [("timed_out", 1)] == runs.after(connector, "mart")
    again = fake.run("mart", "FAILED", datetime.now(UTC) - timedelta(minutes=30), PreviousRunId=first["Id"])
    assert [("retrying", 2)] == runs.after(connector, "mart")
    attempt(fake, again, 1, "SUCCEEDED")
    assert [("succeeded", 3)] == runs.after(connector, "mart")


# -- Oracle: the state of the job, and the operation in the log


def test_the_retries_of_oracles_scheduler_are_tries_of_one_run(night: Estate, oracle: FakeOracleScheduler) -> None:
    oracle.details.clear()
    runs, connector = of(night, None, ORACLE_JOB), oracle_connector()
    first = oracle.ran(ORACLE_JOB, "FAILED", oracle.now - timedelta(minutes=40))
    oracle.retries.add(ORACLE_JOB)
    assert [("retrying", 1)] == runs.after(connector, ORACLE_JOB)
    for number, state in ((1, "FAILED"), (2, "SUCCEEDED")):
        began = oracle.now - timedelta(minutes=40 - 10 * number)
        oracle.running[ORACLE_JOB] = oracle.begins(ORACLE_JOB, began, first["log_id"])
        assert [("running", number + 1)] == runs.after(connector, ORACLE_JOB)
        oracle.ends(oracle.running.pop(ORACLE_JOB), state, 60)
        oracle.retries |= {ORACLE_JOB} if state == "FAILED" else set()
        shown = "retrying" if state == "FAILED" else "succeeded"
        assert [(shown, number + 1)] == runs.after(connector, ORACLE_JOB)


def test_a_run_that_oracle_tries_again_no_more_has_failed(night: Estate, oracle: FakeOracleScheduler) -> None:
    oracle.details.clear()
    runs, connector = of(night, None, ORACLE_JOB), oracle_connector()
    oracle.ran(ORACLE_JOB, "FAILED", oracle.now - timedelta(minutes=40))
    oracle.retries.add(ORACLE_JOB)
    assert [("retrying", 1)] == runs.after(connector, ORACLE_JOB)
    oracle.retries.clear()
    assert [("failed", 1)] == runs.after(connector, ORACLE_JOB)


# -- Google Cloud Scheduler: the retries of a job


def scheduler(retries: int) -> FakeScheduler:
    fake = FakeScheduler()
    fake.runs.clear()
    fake.now = datetime.now(UTC) - timedelta(seconds=30)
    for row in fake.jobs:
        row["retryConfig"] = {"retryCount": retries} if retries else {"minBackoffDuration": "5s"}
    return fake


def test_the_ends_that_follow_a_failed_one_of_a_job_with_retries_are_tries_of_one_run(night: Estate) -> None:
    fake = scheduler(2)
    runs, connector = of(night, None, MART), google("google_scheduler", fake)
    fake.run(MART, FAILED, fake.now - timedelta(minutes=4))
    assert [("retrying", 1)] == runs.after(connector, MART)
    fake.run(MART, FAILED, fake.now - timedelta(minutes=3))
    assert [("retrying", 2)] == runs.after(connector, MART)
    fake.run(MART, SUCCEEDED, fake.now - timedelta(minutes=2))
    assert [("succeeded", 3)] == runs.after(connector, MART)
    fake.run(MART, FAILED, fake.now - timedelta(minutes=1))
    assert [("succeeded", 3), ("retrying", 1)] == runs.after(connector, MART)


@pytest.mark.parametrize(
    "retries, ago, expected",
    [
        (0, (2,), [("failed", 1)]),
        (1, (20,), [("failed", 1)]),
        (1, (3, 2), [("failed", 2)]),
        (1, (4, 3, 2), [("failed", 2), ("retrying", 1)]),
        (3, (60, 30), [("failed", 1), ("failed", 1)]),
    ],
)
def test_a_failure_after_the_last_retry_or_long_after_is_no_try(
    night: Estate, retries: int, ago: tuple[int, ...], expected: list[tuple[str, int]]
) -> None:
    fake = scheduler(retries)
    for minutes in ago:
        fake.run(MART, FAILED, fake.now - timedelta(minutes=minutes))
    assert expected == of(night, None, MART).after(google("google_scheduler", fake), MART)


def test_a_failed_end_waits_for_its_retry_no_longer_than_the_window(night: Estate) -> None:
    fake = scheduler(3)
    runs, connector = of(night, None, MART), google("google_scheduler", fake)
    fake.now -= timedelta(minutes=12)
    fake.run(MART, FAILED, fake.now)
    assert [("retrying", 1)] == runs.after(connector, MART)
    fake.now += timedelta(minutes=11)
    assert [("failed", 1)] == runs.after(connector, MART)


# -- Batch: the attempts of a job, which waits in its queue again


def test_a_job_that_batch_puts_into_its_queue_again_waits_for_its_next_attempt(night: Estate) -> None:
    """Its first attempt, which began after the job was made, was taken for the latest one: the job had failed."""
    fake = FakeBatch()
    fake.queue("night")
    fake.definition("mart")
    job = fake.job("mart", "RUNNABLE", datetime.now(UTC) - timedelta(minutes=30))
    made = milliseconds(datetime.now(UTC) - timedelta(minutes=30))
    fake.attempt(job, 137, "OutOfMemoryError", made + 1000, made + 9000, "mart/default/1")
    runs, connector = of(night, None, "mart"), fake.connector()
    assert [("retrying", 2)] == runs.after(connector, "mart")
    job |= {"status": "RUNNING", "startedAt": made + 20_000}
    assert [("running", 2)] == runs.after(connector, "mart")


# -- Luigi: a failed task that has a worker


@CLOCKS
def test_the_tries_of_a_task_that_a_worker_of_luigi_repeats_are_one_run(night: Estate, clock: Schedule | None) -> None:
    began = parsedate_to_datetime(LUIGI_NOW).timestamp() - 900
    tasks: dict[str, Any] = {}
    connector, runs = luigi({"response": tasks}, []), of(night, clock, "LoadStock")

    def polled(status: str, began_after: float, changed_after: float) -> list[tuple[str, int]]:
        times = {"time_running": began + began_after, "start_time": began, "last_updated": began + changed_after}
        tasks["a"] = {**LUIGI_TASK, "status": status, **times}
        return runs.after(connector, "LoadStock")

    assert ["retrying"] == [state for state, _ in polled("FAILED", 0, 10)]
    assert ["waiting"] == [state for state, _ in polled("PENDING", 0, 400)]
    assert ["running"] == [state for state, _ in polled("RUNNING", 410, 410)]
    assert ["succeeded"] == [state for state, _ in polled("DONE", 410, 420)]
