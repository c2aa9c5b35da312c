"""EMR against a moto server. It is not AWS: its steps never end and cannot be cancelled, it knows no access rights;
that is tested on replies of AWS's own shapes (tests/connectors/emr), which AWS never saw."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import pytest

from connectors.emr.connector import CONNECTOR
from connectors.sdk.conformance import Deadlines, Reads
from connectors.sdk.contract import Connector
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunState
from tests.lab import aws
from tests.lab.aws import MotoServer
from tests.lab.test_step_functions_real import keys

__all__ = ["keys"]

NUMBERS = itertools.count(1)


def connect(endpoint: str, *names: str) -> Connector:
    options = CONNECTOR.options(
        region=aws.REGION, endpoint_url=endpoint, clusters=names or ("*",),
        access_key_id={"env": "LAB_KEY_ID"}, secret_access_key={"env": "LAB_KEY"},
    )  # fmt: skip
    return CONNECTOR.open(options, aws.REGION, SecretStore())


def run_cluster(moto: MotoServer, name: str, *steps: str) -> None:
    instances = {"InstanceCount": 1, "MasterInstanceType": "m5.xlarge", "KeepJobFlowAliveWhenNoSteps": True}
    jar: dict[str, Any] = {"Jar": "command-runner.jar", "Args": ["spark-submit", "load.py"]}
    moto.service("emr").run_job_flow(
        Name=name, ReleaseLabel="emr-7.0.0", Instances=instances, JobFlowRole="EMR_EC2", ServiceRole=aws.ROLE,
        Steps=[{"Name": step, "ActionOnFailure": "CONTINUE", "HadoopJarStep": jar} for step in steps],
    )  # fmt: skip


class TestEmrOnMoto(Reads, Deadlines):
    kind = CONNECTOR
    against = "emulator: moto 5"
    limits: ClassVar[dict[str, str]] = {
        "success": "moto's steps never end",
        "failure": "moto's steps never end",
        "cancel": "moto has no CancelSteps",
        "unknown_word": "moto says no word that it does not have",
    }

    @pytest.fixture(autouse=True)
    def world(self, moto: MotoServer) -> None:
        self.moto, self.name = moto, f"nightly-{next(NUMBERS)}"
        run_cluster(moto, self.name, "load", "mart")

    def connector(self) -> Connector:
        return connect(self.moto.endpoint, self.name)

    def connector_at(self, host: str, port: int) -> Connector:
        return connect(f"http://{host}:{port}")

    def make_success(self) -> str:
        return f"{self.name}/load"


def test_the_steps_of_a_cluster_are_runs_of_jobs_by_their_names(moto: MotoServer) -> None:
    name = f"nightly-{next(NUMBERS)}"
    run_cluster(moto, name, "load", "mart")
    connector = connect(moto.endpoint, name)
    assert [f"{name}/load", f"{name}/mart"] == [job.native_id for job in connector.inventory("", 20).jobs]
    runs = {run.job: run for run in connector.poll("", (), 20).runs}
    assert (RunState.RUNNING, RunState.QUEUED) == (runs[f"{name}/load"].state, runs[f"{name}/mart"].state)
    connector.close()
