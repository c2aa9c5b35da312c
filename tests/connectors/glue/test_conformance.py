"""Glue's conformance on a fake whose answers AWS's own model allows; AWS never saw it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from connectors.glue.connector import CONNECTOR
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import JOB_DELETED
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from tests.connectors.aws_world import AwsWorld, keys
from tests.fakes.aws import NastyAws, endless
from tests.fakes.glue import FakeGlue
from tests.fakes.unsent import CROWDS

__all__ = ["keys"]
LOG_LINE = "x" * 999


def night() -> FakeGlue:
    """Two jobs, one of which failed."""
    fake = FakeGlue()
    fake.job("load-orders", ExecutionProperty={"MaxConcurrentRuns": 20})
    fake.job("mart", ExecutionProperty={"MaxConcurrentRuns": 20})
    fake.trigger("nightly", "load-orders", Schedule="cron(15 4 * * ? *)", Arguments={"--day": "today"})
    conditions = [{"LogicalOperator": "EQUALS", "JobName": "load-orders", "State": "SUCCEEDED"}]
    fake.trigger("after-load", "mart", "CONDITIONAL", Predicate={"Logical": "AND", "Conditions": conditions})
    fake.run("load-orders", "SUCCEEDED", datetime.now(UTC) - timedelta(days=1))
    fake.run("load-orders", "FAILED", ErrorMessage="KeyError: 'order_id'", Arguments={"--day": "2026-11-20"})
    fake.run("mart", TriggerName="after-load")
    for runs in fake.runs.values():
        for run in runs:
            fake.write("/aws-glue/jobs/output", run["Id"], "reading 12 files", "42 rows", at=run["StartedOn"])
            fake.write("/aws-glue/jobs/error", run["Id"], "Traceback: KeyError", at=run["CompletedOn"])
    return fake


class TestGlueConformance(AwsWorld, Reads, Logs, Deadlines, Reruns, Starts, Cancels, Faults):
    kind = CONNECTOR
    against = "described: ours, its answers checked by botocore's model of AWS"
    elsewhere: ClassVar[Mapping[str, str]] = {"crowded": CROWDS}
    lists_of_records = 2

    @pytest.fixture(autouse=True)
    def world(self) -> None:
        self.fake = night()

    def connector(self) -> Connector:
        return self.fake.connector()

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            other = deepcopy(self.fake)
            del other.jobs["load-orders"]
            return other.connector()
        more = endless("NextToken")
        nasty = NastyAws(self.fake.handle_request, how, "", "ErrorMessage", more, operations=("GetJobRuns",))
        return self.fake.connector(nasty)

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        run = self.latest("load-orders")
        self.fake.streams["/aws-glue/jobs/output", run.attempt_key] = [
            {"timestamp": number, "message": LOG_LINE} for number in range(size // 1000)
        ]
        return self.fake.connector(), run

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        newest = datetime.now(UTC) - timedelta(minutes=30)
        self.fake.run("mart", "SUCCEEDED", newest)
        behind = newest - timedelta(seconds=30)
        return self.fake.connector(), lambda: str(self.fake.run("mart", "FAILED", behind)["Id"])

    def with_a_right_revoked(self) -> Connector:
        self.fake.refused.add("GetJobRuns")
        return self.fake.connector()

    def connector_with_an_unknown_state(self) -> Connector:
        self.fake.run("mart", "HIBERNATING")
        return self.fake.connector()

    def make_success(self) -> str:
        return "mart"

    def make_failure(self) -> str:
        return "load-orders"

    def a_running_run(self) -> RunRecord:
        run_id = self.fake.run("mart", "RUNNING", datetime.now(UTC))["Id"]
        with self.opened() as connector:
            mart = self.runs_of(connector, "mart")["mart", run_id]
        assert mart.state is RunState.RUNNING
        return mart

    def native_trace(self) -> object:
        return json.dumps([self.fake.runs, self.fake.triggers], sort_keys=True, default=str)

    def advance(self) -> None:
        self.fake.tick()
