"""Tasks that wait for a person: the question is reported, and an answer is given once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from connectors.airflow.connector import AirflowConnector
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown, Preview
from connectors.sdk.errors import AnswerLost, NotSupported
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState, Verb
from tests.connectors.airflow.support import allowed, latest, latest_records, opened
from tests.fakes.airflow import START, FakeAirflow
from tests.fakes.airflow_actions import stamp


def waiting_task(**question: Any) -> tuple[FakeAirflow, AirflowConnector, RunRecord]:
    """An Airflow whose DAG "figures" waits at "release" for an answer; the record of that task."""
    fake = FakeAirflow(figures=("count", "release", "publish"))
    fake.outcome["figures", "release"] = "ask"
    fake.question |= question
    fake.start("figures", "manual__1")
    fake.tick()
    connector = opened(fake)
    return fake, connector, latest(connector, "figures.release")


def preview(connector: AirflowConnector, task: RunRecord, verb: Verb = Verb.MARK_OK) -> Preview:
    return connector.preview(ActionSpec(verb, ref(task), task.state), 5)


def test_a_task_waiting_for_input_shows_its_question_which_is_read_once() -> None:
    fake, connector, task = waiting_task()
    assert (RunState.WAITING, "approval", "awaiting_input") == (task.state, task.reason, task.native_state)
    assert "asks: Release the numbers? (Approve, Reject)" == task.message
    _, cursor = latest_records(connector)
    fake.requests.clear()
    again = connector.poll(cursor, (ref(task),), 5)
    assert [task.message] == [run.message for run in again.runs if run.job == task.job]
    assert not [path for _, path in fake.requests if path.endswith("hitlDetails")]


@pytest.mark.parametrize("verb, option", [(Verb.MARK_OK, "Approve"), (Verb.SKIP, "Reject")])
def test_mark_ok_approves_and_skip_rejects_once(verb: Verb, option: str) -> None:
    fake, connector, task = waiting_task()
    step = allowed(connector, ActionSpec(verb, ref(task), task.state))
    assert f"answer {option} to release of figures, which asks: Release the numbers? (Approve, Reject)" == step.summary
    path = "/api/v2/dags/figures/dagRuns/manual__1/taskInstances/release/-1/hitlDetails"
    assert (f'PATCH {path} {{"chosen_options": ["{option}"], "params_input": {{}}}}',) == step.native_calls
    key = new_key()
    assert isinstance(connector.look_up(step, key, 5), ActionAbsent)
    connector.act(step, key, 5)
    lookup = connector.look_up(step, key, 5)
    assert isinstance(lookup, ActionFound)
    assert f"answered {option} by headway" == lookup.message
    assert f"answered {option} by headway" == connector.act(step, key, 5).message, "the same again is not sent twice"
    fake.tick()
    assert "success" == fake.runs[0]["state"]


def test_another_answer_that_came_first_is_not_ours() -> None:
    _, connector, task = waiting_task()
    approve = preview(connector, task)
    connector.act(preview(connector, task, Verb.SKIP), new_key(), 5)
    with pytest.raises(NotSupported, match="has another answer now"):
        connector.act(approve, new_key(), 5)
    assert isinstance(connector.look_up(approve, new_key(), 5), ActionUnknown)


@pytest.mark.parametrize(
    "question, text",
    [
        ({"options": ["North", "South"]}, "none of these options is to approve, answer it in Airflow"),
        ({"params": {"budget": {"value": None, "schema": {}}}}, "asks for values too (budget)"),
    ],
)
def test_what_only_a_person_can_answer_is_left_to_a_person(question: dict[str, Any], text: str) -> None:
    _, connector, task = waiting_task(**question)
    assert text in str(preview(connector, task).refused)


def test_values_that_the_question_has_are_sent_as_they_stand() -> None:
    _, connector, task = waiting_task(params={"budget": {"value": 7, "schema": {}}})
    assert {"budget": 7} == preview(connector, task).plan["body"]["params_input"]


def test_a_lost_answer_to_the_answer_is_found_again() -> None:
    fake, connector, task = waiting_task()
    step = preview(connector, task)
    fake.lose_answer_of = "hitlDetails"
    with pytest.raises(AnswerLost):
        connector.act(step, key := new_key(), 5)
    assert isinstance(connector.look_up(step, key, 5), ActionFound)


def test_a_task_that_is_answered_meanwhile_is_refused() -> None:
    fake, connector, task = waiting_task()
    fake.instances[1]["_answer"] = {"chosen_options": ["Approve"], "responded_by_user": {"name": "ada"}}
    assert "it was answered already: Approve by ada" == preview(connector, task).refused


def test_without_the_right_to_read_questions_the_task_waits_all_the_same() -> None:
    fake, _, _ = waiting_task()
    fake.question = {"options": 5}
    task = latest(opened(fake), "figures.release")
    assert (RunState.WAITING, "approval") == (task.state, task.reason)


@pytest.mark.parametrize("ahead", [0.0, 0.7])
def test_a_question_from_a_moment_ago_is_not_yet_answered(ahead: float) -> None:
    """Airflow 3.3.2 fails a task whose answer comes before its scheduler has seen that it waits. Its server's time has
    no fraction of a second: a question of this second seems to lie ahead."""
    fake, connector, task = waiting_task(created_at=stamp(START + timedelta(seconds=1 + ahead)))
    assert "is new: Airflow fails" in str(preview(connector, task).refused)
    fake.now += timedelta(seconds=20)
    assert None is preview(connector, task).refused
