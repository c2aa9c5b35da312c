"""What we send, and what our fake answers, held against the types of the `kubernetes` package: names that its models do
not have are nothing that an API server would know."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes import client

from connectors.sdk.conformance.actions import hold_ask
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionSpec, Connector
from connectors.sdk.states import RunState, Verb
from tests.connectors.kubernetes.support import ORDERS, cluster, latest_records, opened
from tests.fakes.kubernetes import FakeKubernetes

Row = dict[str, Any]


def through_model(row: Row, model: str) -> Row:
    """The row as the package's model of it says it again: names that it does not have are gone."""
    api = client.ApiClient()
    result = api.sanitize_for_serialization(api.deserialize(json.dumps(row), model, "application/json"))
    return dict(result)


def lost(row: Any, again: Any, path: str = "") -> list[str]:
    """Paths in `row` that are not in `again`."""
    if isinstance(row, dict):
        mine = again if isinstance(again, dict) else {}
        texts = [f"{path}.{name}" for name in row if name not in mine and row[name] not in ({}, [], None)]
        return texts + [text for name in row if name in mine for text in lost(row[name], mine[name], f"{path}.{name}")]
    if isinstance(row, list):
        pairs = zip(row, again if isinstance(again, list) else [], strict=False)
        return [name for left, right in pairs for name in lost(left, right, f"{path}[]")]
    return []


@pytest.fixture
def fake() -> FakeKubernetes:
    made = cluster()
    made.outcome["load-orders"] = "Failed"
    made.job("", "load-orders", at=datetime(2026, 11, 20, 3, 0, tzinfo=UTC))
    made.tick()
    return made


def sent(fake: FakeKubernetes, method: str) -> Row:
    return next(body for verb, path, body in fake.requests if verb == method and "access" not in path)


def failed(connector: Connector) -> ActionSpec:
    run = next(run for run in latest_records(connector)[0].values() if run.state is RunState.FAILED)
    return ActionSpec(Verb.RERUN, ref(run), run.state)


def test_job_that_a_rerun_makes_is_a_job_of_the_api(fake: FakeKubernetes) -> None:
    connector, key = opened(fake), new_key()
    connector.act(connector.preview(failed(connector), 10), key, 10)
    body = sent(fake, "POST")
    assert lost(body, through_model(body, "V1Job")) == []
    notes = body["metadata"]["annotations"]
    assert (notes["headway/action"], notes["cronjob.kubernetes.io/instantiate"]) == (key, "manual")
    assert notes["batch.kubernetes.io/cronjob-scheduled-timestamp"] == "2026-11-20T03:00:00Z"
    assert body["metadata"]["name"] == f"load-orders-{key}"
    assert body["metadata"]["ownerReferences"][0]["controller"] is True
    assert "blockOwnerDeletion" not in body["metadata"]["ownerReferences"][0], "it needs a right of its own"


def test_patch_of_a_hold_is_one_of_a_cronjob(fake: FakeKubernetes) -> None:
    connector = opened(fake)
    connector.act(connector.preview(hold_ask(ORDERS), 10), new_key(), 10)
    patch = sent(fake, "PATCH")
    assert patch["spec"] == {"suspend": True}
    whole = {**fake.cronjobs["etl", "load-orders"]}
    assert lost(whole, through_model(whole, "V1CronJob")) == []


def test_what_the_fake_answers_is_shaped_as_the_package_knows_it(fake: FakeKubernetes) -> None:
    fake.event("load-orders", "JobAlreadyActive", "Not starting job")
    for rows, model in (
        (list(fake.jobs.values()), "V1Job"),
        (list(fake.cronjobs.values()), "V1CronJob"),
        (list(fake.pods.values()), "V1Pod"),
    ):
        assert rows
        assert [path for row in rows for path in lost(row, through_model(row, model))] == []
