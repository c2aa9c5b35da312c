"""The connector's requests, and the fake's answers, held against the types of databricks-sdk: the same
conformance tests as the fast one, with the judge in between; and the SDK itself on the fake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import pytest

from connectors.sdk.contract import Connector
from tests.connectors.databricks import test_conformance as fast
from tests.connectors.databricks.support import ORDERS, STOCK, TYPES, latest_records, opened, workspace
from tests.fakes.databricks import FakeDatabricks
from tests.lab import databricks_typed
from tests.lab.databricks_typed import TypeValidator


@pytest.fixture(scope="module")
def validator() -> Iterator[TypeValidator]:
    with databricks_typed.running_validator() as sitting:
        yield sitting


class TestDatabricksAsTyped(fast.TestDatabricksOnTheFake):
    against = "described: a Databricks workspace of ours, judged by the types of databricks-sdk 0.156"
    patience_seconds = 30.0
    elsewhere: ClassVar[Mapping[str, str]] = {"answering": "tests/connectors/databricks/test_conformance.py"}

    @pytest.fixture(autouse=True)
    def judged(self, validator: TypeValidator) -> Iterator[None]:
        self.validator = validator
        validator.faults.clear()
        yield
        assert [] == validator.faults

    def on(self, fake: FakeDatabricks) -> Connector:
        return opened(fake, self.validator.transport(fake))

    def connector_with_an_unknown_state(self) -> Connector:
        super().connector_with_an_unknown_state()
        return opened(self.fake)  # without the validator, which knows every value

    def crowded(self, runs: int) -> Connector:
        self.fake.crowd = runs
        return opened(self.fake)  # past the judge: a crowd has short rows


def test_tasks_of_every_type_and_beyond_a_hundred_keep_the_types(validator: TypeValidator) -> None:
    validator.faults.clear()
    fake = workspace()
    fake.job(13, "all types", *TYPES)
    fake.job(
        14, "wide", *({"task_key": f"t{number}", "notebook_task": {"notebook_path": "/a"}} for number in range(150))
    )
    fake.outcome[14] = "FAILED"
    for job in (13, 14):
        fake.start(job)
    fake.tick()
    connector = opened(fake, validator.transport(fake))
    assert 150 == len([job for job in connector.inventory("", 10).jobs if job.parent == "14"])
    assert 150 == len([job for job, _ in latest_records(connector)[0] if job.startswith("14.")])
    assert [] == validator.faults


def test_the_validator_finds_errors_in_an_answer_and_in_a_request(validator: TypeValidator) -> None:
    validator.faults.clear()
    base = "/api/2.2/jobs"
    validator.validate(
        "GET", f"{base}/runs/list", {"limit": "24", "since": "1"}, 200, {"runs": [{"run_id": "7", "odd": 1}]}
    )
    validator.validate("GET", f"{base}/runs/get", {"run_id": "x"}, 200, {"state": {"result_state": "FINE"}})
    validator.validate("POST", f"{base}/runs/repair", {"rerun_tasks": "load"}, 200, {"repair_id": 1})
    text, validator.faults[:] = "\n".join(validator.faults), []
    for fault in (
        "list_runs: the SDK sends no since",
        "'7' is no <class 'int'>",
        "BaseRun has no odd",
        "'FINE' is no RunResultState",
        "get_run run_id: 'x' is no <class 'int'>",
        "repair_run rerun_tasks: no list",
    ):
        assert fault in text


def test_the_sdk_itself_reads_the_fake_and_acts_there() -> None:
    fake = workspace()
    fake.outcome[int(ORDERS)] = "FAILED"
    failed = fake.start(int(ORDERS))["run_id"]
    fake.start(int(STOCK))
    fake.tick()
    seen = databricks_typed.run_sdk(fake)
    assert ["load orders", "stock count"] == seen["jobs"]
    assert {"RUN_EXECUTION_ERROR", "SUCCESS"} == set(seen["codes"])
    assert 1 == len(set(seen["started"])), "the same token, and two runs"
    assert [failed, seen["repairs"][-1]] == seen["repairs"][:2]
