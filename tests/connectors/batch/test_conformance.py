"""Batch's conformance on a fake whose answers AWS's own model allows; AWS never saw it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from connectors.batch.connector import CONNECTOR
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import JOB_DELETED
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from tests.connectors.aws_world import AwsWorld, keys
from tests.fakes.aws import NastyAws, endless
from tests.fakes.batch import FakeBatch
from tests.fakes.unsent import CROWDS

__all__ = ["keys"]
LOG_LINE = "x" * 999


def night() -> FakeBatch:
    """Two definitions in one queue; the latest job of one failed."""
    fake = FakeBatch()
    fake.queue("night")
    fake.definition("load-orders")
    fake.definition("mart")
    fake.job("load-orders", "SUCCEEDED", datetime.now(UTC) - timedelta(days=1))
    load = fake.job("load-orders", "FAILED")
    fake.job("mart", dependsOn=[{"jobId": load["jobId"]}])
    for job in fake.jobs:
        name = job["container"]["logStreamName"]
        fake.write("/aws/batch/job", name, "reading 12 files", "Traceback: KeyError", at=datetime.now(UTC))
    return fake


class TestBatchConformance(AwsWorld, Reads, Logs, Deadlines, Reruns, Starts, Cancels, Faults):
    kind = CONNECTOR
    against = "described: ours, its answers checked by botocore's model of AWS"
    elsewhere: ClassVar[Mapping[str, str]] = {"crowded": CROWDS}
    lists_of_records = 2  # the fields of ListJobs, and those of DescribeJobs

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = night()

    def connector(self) -> Connector:
        return self.fake.connector()

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            other = deepcopy(self.fake)
            other.definitions.pop(0)
            other.jobs = [job for job in other.jobs if "load-orders" not in job["jobDefinition"]]
            return other.connector()
        more, spoiled = endless("nextToken"), ("ListJobs", "DescribeJobs")
        return self.fake.connector(
            NastyAws(self.fake.handle_request, how, "", "statusReason", more, operations=spoiled)
        )

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        run = self.latest("load-orders")
        name = next(job for job in self.fake.jobs if job["jobId"] == run.period_key)["container"]["logStreamName"]
        whole = [{"timestamp": number, "message": LOG_LINE} for number in range(size // 1000)]
        self.fake.streams["/aws/batch/job", name] = whole
        return self.fake.connector(), run

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        newest = datetime.now(UTC) - timedelta(minutes=30)
        self.fake.job("mart", "SUCCEEDED", newest)
        behind = newest - timedelta(seconds=30)
        return self.fake.connector(), lambda: f"{self.fake.job('mart', 'FAILED', behind)['jobId']}#1"

    def with_a_right_revoked(self) -> Connector:
        self.fake.refused.add("ListJobs")
        return self.fake.connector()

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.job("mart", "HIBERNATING")
        return self.fake.connector()

    def make_success(self) -> str:
        return "mart"

    def make_failure(self) -> str:
        return "load-orders"

    def a_running_run(self) -> RunRecord:
        job_id = self.fake.job("mart", "RUNNING", datetime.now(UTC))["jobId"]
        with self.opened() as connector:
            mart = self.runs_of(connector, "mart")["mart", f"{job_id}#1"]
        assert mart.state is RunState.RUNNING
        return mart

    def native_trace(self) -> object:
        return json.dumps(self.fake.jobs, sort_keys=True)

    def advance(self) -> None:
        self.fake.tick()
