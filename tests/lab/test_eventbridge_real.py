"""EventBridge Scheduler against a moto server, which keeps schedules and never starts anything."""

from __future__ import annotations

import itertools
from typing import ClassVar

import pytest

from connectors.eventbridge.connector import CONNECTOR
from connectors.sdk.conformance import Deadlines, Holds, Reads
from connectors.sdk.contract import Connector
from connectors.sdk.secrets import SecretStore
from tests.lab import aws
from tests.lab.aws import MotoServer
from tests.lab.test_step_functions_real import keys

__all__ = ["keys"]

NUMBERS = itertools.count(1)
MACHINE = "arn:aws:states:eu-central-1:123456789012:stateMachine:mart"


def connect(endpoint: str, names: str = "*") -> Connector:
    options = CONNECTOR.options(
        region=aws.REGION, endpoint_url=endpoint, schedules=(names,),
        access_key_id={"env": "LAB_KEY_ID"}, secret_access_key={"env": "LAB_KEY"},
    )  # fmt: skip
    return CONNECTOR.open(options, aws.REGION, SecretStore())


class TestEventBridgeOnMoto(Reads, Deadlines, Holds):
    kind = CONNECTOR
    against = "emulator: moto 5"
    limits: ClassVar[dict[str, str]] = {
        "runs": "EventBridge Scheduler records no runs",
        "success": "EventBridge Scheduler records no runs",
        "failure": "EventBridge Scheduler records no runs",
        "due": "moto keeps schedules and never starts anything by them",
        "unknown_word": "EventBridge Scheduler records no runs",
    }

    @pytest.fixture(autouse=True)
    def world(self, moto: MotoServer) -> None:
        self.moto, self.name = moto, f"eb{next(NUMBERS)}"
        moto.schedule(self.name, MACHINE, Description="the nightly load")

    def connector(self) -> Connector:
        return connect(self.moto.endpoint, f"default/{self.name}")

    def connector_at(self, host: str, port: int) -> Connector:
        return connect(f"http://{host}:{port}")

    def make_success(self) -> str:
        return f"default/{self.name}"

    def pause_by_hand(self, job_id: str) -> None:
        self.moto.switch(self.name, "DISABLED")

    def resume_by_hand(self, job_id: str) -> None:
        self.moto.switch(self.name, "ENABLED")

    def native_trace(self) -> object:
        schedule = self.moto.scheduler().get_schedule(GroupName="default", Name=self.name)
        return {name: schedule[name] for name in schedule if name not in ("ResponseMetadata", "LastModificationDate")}
