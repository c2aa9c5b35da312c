"""Batch against a moto server. It is not AWS: every job succeeds at once, none can be terminated, filters by time are
passed over; that is tested on replies of AWS's own shapes (tests/connectors/batch), which AWS never saw."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import pytest

from connectors.batch.connector import CONNECTOR
from connectors.sdk.conformance import Deadlines, Logs, Reads, Starts
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionFound, ActionSpec, Connector
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunState, Verb
from tests.lab import aws
from tests.lab.aws import MotoServer
from tests.lab.test_step_functions_real import keys

__all__ = ["keys"]

NUMBERS = itertools.count(1)


class Jobs:
    """A queue of one test, with names that no other test has."""

    def __init__(self, moto: MotoServer) -> None:
        self.moto, self.prefix = moto, f"batch{next(NUMBERS)}"
        self.batch = moto.service("batch")
        role = self._role()
        place = self.batch.create_compute_environment(
            computeEnvironmentName=self.prefix, type="UNMANAGED", state="ENABLED", serviceRole=role
        )["computeEnvironmentArn"]
        order = [{"order": 1, "computeEnvironment": place}]
        self.batch.create_job_queue(
            jobQueueName=self.prefix, state="ENABLED", priority=1, computeEnvironmentOrder=order
        )

    def _role(self) -> str:
        iam = self.moto.service("iam")
        result: str = iam.create_role(RoleName=self.prefix, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        return result

    def define(self, name: str) -> str:
        full = f"{self.prefix}-{name}"
        needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}]
        container = {"image": "busybox", "command": ["echo", name], "resourceRequirements": needs}
        self.batch.register_job_definition(jobDefinitionName=full, type="container", containerProperties=container)
        return full

    def submit(self, name: str, **more: Any) -> str:
        reply = self.batch.submit_job(jobName=name, jobQueue=self.prefix, jobDefinition=name, **more)
        return str(reply["jobId"])

    def connect(self) -> Connector:
        return connect(self.moto.endpoint, self.prefix)


def connect(endpoint: str, prefix: str = "*") -> Connector:
    options = CONNECTOR.options(
        region=aws.REGION, endpoint_url=endpoint, logs_endpoint_url=endpoint, queues=(prefix,),
        definitions=(f"{prefix}-*",), access_key_id={"env": "LAB_KEY_ID"}, secret_access_key={"env": "LAB_KEY"},
    )  # fmt: skip
    return CONNECTOR.open(options, aws.REGION, SecretStore())


@pytest.fixture
def jobs(moto: MotoServer) -> Jobs:
    return Jobs(moto)


class TestBatchOnMoto(Reads, Logs, Deadlines, Starts):
    kind = CONNECTOR
    against = "emulator: moto 5"
    limits: ClassVar[dict[str, str]] = {
        "failure": "every job of moto's Batch succeeds",
        "rerun": "every job of moto's Batch succeeds: none is to be submitted again",
        "cancel": "every job of moto's Batch ends at once",
        "unknown_word": "moto says no word that it does not have",
    }

    @pytest.fixture(autouse=True)
    def world(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.job_id = ""

    def connector(self) -> Connector:
        return self.jobs.connect()

    def connector_at(self, host: str, port: int) -> Connector:
        return connect(f"http://{host}:{port}")

    def make_success(self) -> str:
        if not self.job_id:
            self.job_id = self.jobs.define("mart")
            self.jobs.submit(self.job_id)
        return self.job_id


def test_a_job_that_is_submitted_again_has_its_command_and_our_key(jobs: Jobs) -> None:
    name = jobs.define("load")
    overrides = {"command": ["echo", "2026-11-20"], "environment": [{"name": "DAY", "value": "20"}]}
    jobs.submit(name, containerOverrides=overrides, parameters={"day": "20"})
    connector = jobs.connect()
    (run,) = connector.poll("", (), 20).runs
    preview, key = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 20), new_key()
    assert ("submit again", None) == (preview.verb, preview.refused)
    receipt = connector.act(preview, key, 20)
    assert receipt.native_ref == connector.act(preview, key, 20).native_ref, "the same key submits once"
    assert isinstance(connector.look_up(preview, key, 20), ActionFound)
    runs = {run.attempt_key: run for run in connector.poll("", (), 20).runs}
    connector.close()
    assert (key, RunState.SUCCEEDED) == (runs[receipt.native_ref].action_key, runs[receipt.native_ref].state)
    (sent,) = jobs.batch.describe_jobs(jobs=[receipt.native_ref.partition("#")[0]])["jobs"]
    assert (f"{key}_{name}", {"day": "20"}) == (sent["jobName"], sent["parameters"])


def test_an_array_is_one_run(jobs: Jobs) -> None:
    name = jobs.define("many")
    array = jobs.submit(name, arrayProperties={"size": 3})
    connector = jobs.connect()
    runs = connector.poll("", (), 20).runs
    connector.close()
    assert [(f"{array}#1", 3)] == [(run.attempt_key, run.context["children"]) for run in runs]
