"""Glue against a moto server. It is not AWS: every run of its succeeds at once, none can be stopped, it knows no access
rights; that is tested on replies of AWS's own shapes (tests/connectors/glue), which AWS never saw."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import pytest

from connectors.glue.connector import CONNECTOR
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
    """Jobs of one test, with names that no other test has."""

    def __init__(self, moto: MotoServer) -> None:
        self.moto, self.prefix = moto, f"glue{next(NUMBERS)}"
        self.glue = moto.service("glue")

    def create(self, name: str, **more: Any) -> str:
        full = f"{self.prefix}-{name}"
        command = {"Name": "glueetl", "ScriptLocation": f"s3://scripts/{name}.py"}
        self.glue.create_job(
            Name=full, Role=aws.ROLE, Command=command, ExecutionProperty={"MaxConcurrentRuns": 9}, **more
        )
        return full

    def connect(self) -> Connector:
        return connect(self.moto.endpoint, f"{self.prefix}-*")


def connect(endpoint: str, *names: str) -> Connector:
    options = CONNECTOR.options(
        region=aws.REGION, endpoint_url=endpoint, logs_endpoint_url=endpoint, jobs=names or ("*",),
        access_key_id={"env": "LAB_KEY_ID"}, secret_access_key={"env": "LAB_KEY"},
    )  # fmt: skip
    return CONNECTOR.open(options, aws.REGION, SecretStore())


@pytest.fixture
def jobs(moto: MotoServer) -> Jobs:
    return Jobs(moto)


class TestGlueOnMoto(Reads, Logs, Deadlines, Starts):
    kind = CONNECTOR
    against = "emulator: moto 5"
    limits: ClassVar[dict[str, str]] = {
        "failure": "every run of moto's Glue succeeds",
        "rerun": "every run of moto's Glue succeeds: none is to be rerun",
        "cancel": "moto has no BatchStopJobRun",
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
            self.job_id = self.jobs.create("mart")
            self.jobs.glue.start_job_run(JobName=self.job_id)
        return self.job_id


def test_a_rerun_names_the_run_that_it_repeats_and_keeps_its_arguments(jobs: Jobs) -> None:
    name = jobs.create("load", DefaultArguments={"--level": "info"})
    first = jobs.glue.start_job_run(JobName=name, Arguments={"--day": "2026-11-20"})["JobRunId"]
    connector = jobs.connect()
    (run,) = connector.poll("", (), 20).runs
    preview, key = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 20), new_key()
    assert ("start again", None) == (preview.verb, preview.refused)
    assert "2026-11-20" not in str(preview.plan), "arguments stay in Glue"
    receipt = connector.act(preview, key, 20)
    again = connector.act(preview, key, 20)
    assert receipt.native_ref == again.native_ref, "the same key starts once"
    assert isinstance(connector.look_up(preview, key, 20), ActionFound)
    runs = {run.attempt_key: run for run in connector.poll("", (), 20).runs}
    repeat = runs[receipt.native_ref]
    assert (key, first, None, RunState.SUCCEEDED) == (
        repeat.action_key,
        repeat.again_of,
        repeat.period_key,
        repeat.state,
    )
    sent = jobs.glue.get_job_run(JobName=name, RunId=receipt.native_ref)["JobRun"]["Arguments"]
    assert {"--day": "2026-11-20", "--level": "info", "--headway-action": key} == sent
    connector.close()


def test_triggers_are_described_and_reported_as_upstreams(jobs: Jobs) -> None:
    load, mart = jobs.create("load"), jobs.create("mart")
    given = {"Type": "SCHEDULED", "Schedule": "cron(15 4 * * ? *)", "StartOnCreation": True}
    jobs.glue.create_trigger(Name=f"{load}-nightly", Actions=[{"JobName": load}], **given)
    conditions = [{"LogicalOperator": "EQUALS", "JobName": load, "State": "SUCCEEDED"}]
    jobs.glue.create_trigger(
        Name=f"{mart}-after", Type="CONDITIONAL", Actions=[{"JobName": mart}], StartOnCreation=True,
        Predicate={"Logical": "AND", "Conditions": conditions},
    )  # fmt: skip
    connector = jobs.connect()
    results = {job.native_id: job for job in connector.inventory("", 20).jobs}
    connector.close()
    assert f"Glue trigger: {load}-nightly cron(15 4 * * ? *) UTC" == results[load].schedule.text
    assert results[load].schedule.next_at is not None
    assert ((load,), False) == (results[mart].upstreams, results[load].paused)


def test_both_streams_of_a_run_are_one_log(jobs: Jobs) -> None:
    """moto names the log group test/log; AWS /aws-glue/jobs."""
    name = jobs.create("load")
    run_id = jobs.glue.start_job_run(JobName=name)["JobRunId"]
    logs = jobs.moto.service("logs")
    for part, lines in (("output", ["reading", "42 rows"]), ("error", ["careful"])):
        logs.create_log_group(logGroupName=f"test/log/{part}")
        logs.create_log_stream(logGroupName=f"test/log/{part}", logStreamName=run_id)
        events = [{"timestamp": 1795156808000 + number * 10, "message": line} for number, line in enumerate(lines)]
        logs.put_log_events(logGroupName=f"test/log/{part}", logStreamName=run_id, logEvents=events)
    connector = jobs.connect()
    (run,) = connector.poll("", (), 20).runs
    chunk = connector.log(ref(run), None, 65536, 20)
    connector.close()
    assert (["reading", "careful", "42 rows"], None, False) == (chunk.text.splitlines(), chunk.next, chunk.cut)
