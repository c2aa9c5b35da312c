"""Human in the loop in a real Airflow 3: a task's question is reported, and it is answered once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, Connector, Preview
from connectors.sdk.errors import AccessRefused, NotSupported
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState, Verb
from tests.lab.airflow import PASSWORDS, AirflowServer
from tests.lab.airflow_client import CALL_SECONDS, attempt, connect, every, until


@pytest.fixture(autouse=True)
def passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    for user, password in PASSWORDS.items():
        monkeypatch.setenv(f"HEADWAY_AF_{user.upper()}", password)


@pytest.fixture
def connector(airflow: AirflowServer) -> Iterator[Connector]:
    opened = connect(airflow.url)
    yield opened
    opened.close()


def waiting_run(airflow: AirflowServer, connector: Connector) -> tuple[str, RunRecord]:
    """A run that waits for an answer, and the record of the waiting task."""
    run = f"lab__{new_key()}"
    airflow.trigger("figures", run)

    def waits() -> RunRecord | None:
        runs = [
            run_record
            for run_record in every(connector)
            if run_record.job == "figures.release" and run_record.period_key == run
        ]
        return next((run for run in runs if run.reason == "approval"), None)

    return run, until("the task to ask", waits)


def answerable(connector: Connector, task: RunRecord, verb: Verb) -> Preview:
    """The preview of an answer, once Airflow's scheduler must have seen that the task waits."""

    def allowed() -> Preview | None:
        step = connector.preview(ActionSpec(verb, ref(task), task.state), CALL_SECONDS)
        assert step.refused is None or "is new: Airflow fails" in step.refused
        return step if step.refused is None else None

    return until("the question to be old enough", allowed)


def test_a_question_is_reported_and_approved_once(airflow: AirflowServer, connector: Connector) -> None:
    run, task = waiting_run(airflow, connector)
    assert (RunState.WAITING, "awaiting_input") == (task.state, task.native_state)
    assert "asks: Release the numbers? (Approve, Reject)" == task.message
    step = answerable(connector, task, Verb.MARK_OK)
    assert "answer Approve" == step.verb
    other = answerable(connector, task, Verb.SKIP)  # another of its workers may answer, whose clock is a second behind
    key = new_key()
    assert isinstance(connector.look_up(step, key, CALL_SECONDS), ActionAbsent)
    connector.act(step, key, CALL_SECONDS)
    assert isinstance(connector.look_up(step, key, CALL_SECONDS), ActionFound)
    assert connector.act(step, key, CALL_SECONDS).message.startswith("answered Approve by ")
    with pytest.raises(NotSupported, match="has another answer now; nothing was done"):
        connector.act(other, new_key(), CALL_SECONDS)
    airflow.wait_for("figures", run, "success")
    assert RunState.SUCCEEDED == attempt(connector, "figures.publish", run).state


def test_a_rejection_skips_what_follows(airflow: AirflowServer, connector: Connector) -> None:
    run, task = waiting_run(airflow, connector)
    connector.act(answerable(connector, task, Verb.SKIP), new_key(), CALL_SECONDS)
    airflow.wait_for("figures", run, "success")
    assert RunState.SKIPPED == attempt(connector, "figures.publish", run).state


def test_a_viewer_sees_the_question_and_may_not_answer(airflow: AirflowServer, connector: Connector) -> None:
    run, task = waiting_run(airflow, connector)
    viewer = connect(airflow.url, "viewer")
    try:
        question = until("the question", lambda: attempt(viewer, "figures.release", run).message)
        assert task.message == question
        step = answerable(viewer, task, Verb.MARK_OK)
        with pytest.raises(AccessRefused):
            viewer.act(step, new_key(), CALL_SECONDS)
    finally:
        viewer.close()
    connector.act(answerable(connector, task, Verb.MARK_OK), new_key(), CALL_SECONDS)
    airflow.wait_for("figures", run, "success")


def test_a_run_by_an_asset_names_the_run_that_wrote_it(airflow: AirflowServer, connector: Connector) -> None:
    airflow.behave("load_orders", "succeed")
    airflow.behave("supply_plan", "succeed")
    run = f"lab__{new_key()}"
    airflow.trigger("load_orders", run)
    airflow.wait_for("load_orders", run, "success")

    def follower() -> list[object] | None:
        read = [run.context.get("inputs") for run in every(connector) if run.job == "supply_plan"]
        return next((item for item in read if item and {"job": "load_orders", "period_key": run} in item), None)

    assert [{"job": "load_orders", "period_key": run}] == until("the run of supply_plan and its input", follower)


def test_the_newest_code_is_used_where_requested(airflow: AirflowServer, connector: Connector) -> None:
    airflow.behave("stock_count", "fail")
    run = f"lab__{new_key()}"
    airflow.trigger("stock_count", run)
    airflow.wait_for("stock_count", run, "failed")
    failed = attempt(connector, "stock_count", run)
    airflow.behave("stock_count", "succeed")
    step = connector.preview(ActionSpec(Verb.RERUN, ref(failed), failed.state, {"version": "latest"}), CALL_SECONDS)
    assert step.refused is None
    connector.act(step, key := new_key(), CALL_SECONDS)
    airflow.wait_for("stock_count", run, "success")
    assert key == attempt(connector, "stock_count", run).action_key
