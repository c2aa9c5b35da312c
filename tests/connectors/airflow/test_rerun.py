"""Reruns: what is said before, what is sent once, and how a lost answer is found again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from connectors.airflow.connector import AirflowConnector
from connectors.airflow.options import AirflowOptions
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import SENT_AT, ActionAbsent, ActionFound, ActionSpec, ActionUnknown
from connectors.sdk.errors import (
    AccessRefused,
    ActionRefused,
    AnswerLost,
    NotSupported,
    OutcomeUnknown,
    SystemUnreachable,
)
from connectors.sdk.records import RunRecord, RunRef, instant_key
from connectors.sdk.states import RunState, Verb
from tests.connectors.airflow.support import URL, latest, latest_records, night, opened
from tests.fakes.airflow import FakeAirflow
from tests.fakes.airflow2 import FakeAirflow2
from tests.rows import each_row

RUN = "scheduled__2026-11-20T04:00:00+00:00"
CLEAR = f"/api/v2/dags/load_orders/dagRuns/{RUN.replace(':', '%3A').replace('+', '%2B')}/clear"


def failed_night() -> tuple[FakeAirflow, AirflowConnector, RunRecord]:
    fake = night()
    fake.start("load_orders", RUN)
    fake.tick()
    connector = opened(fake)
    return fake, connector, latest(connector, "load_orders")


def rerun_spec(run: RunRecord, state: RunState | None = None) -> ActionSpec:
    return ActionSpec(Verb.RERUN, ref(run), state or run.state)


def missed(dag: str = "stock_count", period: str = "2026-11-20T03:00:00Z") -> ActionSpec:
    return ActionSpec(Verb.RERUN, RunRef(dag, period, "", ""), RunState.MISSED)


def posts(fake: FakeAirflow, ending: str) -> int:
    return len([path for method, path in fake.requests if method == "POST" and path.endswith(ending)])


def test_the_failed_tasks_of_a_run_are_named_before_anything_is_sent() -> None:
    _, connector, run = failed_night()
    preview = connector.preview(rerun_spec(run), 5)
    assert "clear failed tasks" == preview.verb
    assert "clear failed tasks of load_orders 2026-11-20 04:00Z" == preview.summary
    assert "2 tasks of load_orders 2026-11-20 04:00Z: load, publish" == preview.scope
    assert ("load", "publish") == preview.affected
    assert (None, None) == (preview.overlap, preview.refused)
    call = f'POST {CLEAR} {{"dry_run": false, "only_failed": true, "note": "[KEY rerun]"}}'
    assert (call,) == preview.native_calls
    assert ("tasks that succeeded are kept; the conf of the run stays",) == preview.notes


def test_a_green_run_with_stale_input_is_cleared_whole() -> None:
    fake, connector, _ = failed_night()
    fake.start("stock_count", RUN)
    fake.tick()
    preview = connector.preview(rerun_spec(latest(connector, "stock_count")), 5)
    assert "clear the whole run stock_count 2026-11-20 04:00Z" == preview.summary
    assert ("count",) == preview.affected
    assert ("every task runs again, those that succeeded too",) == preview.notes


def test_a_partial_run_gets_its_failed_tasks_cleared() -> None:
    fake, connector, run = failed_night()
    fake.runs[0]["state"] = "success"
    assert "clear failed tasks" == connector.preview(rerun_spec(run, RunState.PARTIAL), 5).verb


def test_a_run_whose_failure_has_no_failed_task_is_cleared_whole() -> None:
    """A DAG run that timed out, say."""
    fake, connector, run = failed_night()
    for row in fake.instances:
        row["state"] = "success"
    assert "clear the whole run" == connector.preview(rerun_spec(run), 5).verb


@each_row(
    "change, text",
    [
        ({"state": "running", "start_date": "2026-11-20T04:00:01Z"}, "the run is running since 2026-11-20T04:00:01Z"),
        ({"state": "queued", "start_date": None}, "the run is queued since 2026-11-20T04:00:00.000000Z"),
        ({"state": "success"}, "the run has succeeded since: there is nothing to repair"),
        ({"dag_run_id": "other"}, "Airflow no longer has the run"),
    ],
)
def test_what_cannot_be_rerun_now_says_why(change: dict[str, Any], text: str) -> None:
    fake, connector, run = failed_night()
    fake.runs[0] |= change
    refused = connector.preview(rerun_spec(run), 5).refused
    assert refused is not None
    assert text in refused


def test_an_empty_clear_is_reported_and_not_sent() -> None:
    fake, connector, run = failed_night()
    fake.instances.clear()
    preview = connector.preview(rerun_spec(run), 5)
    assert "nothing to do: Airflow would clear no task" == preview.refused
    with pytest.raises(NotSupported, match="nothing to do"):
        connector.act(preview, new_key(), 5)


def test_parameters_are_refused_because_a_clear_keeps_the_conf() -> None:
    _, connector, run = failed_night()
    ask = ActionSpec(Verb.RERUN, ref(run), run.state, {"date": "2026-11-19"})
    assert "no parameters for it (date)" in str(connector.preview(ask, 5).refused)


def test_other_active_runs_of_the_dag_are_an_overlap() -> None:
    fake, connector, run = failed_night()
    fake.start("load_orders", "manual__x")
    assert "other runs of load_orders are active: manual__x (queued)" == connector.preview(rerun_spec(run), 5).overlap


def test_a_clear_is_sent_once_and_its_attempt_carries_our_key() -> None:
    fake, connector, run = failed_night()
    preview, key = connector.preview(rerun_spec(run), 5), new_key()
    fake.requests.clear()
    receipt = connector.act(preview, key, 5)
    assert 1 == posts(fake, "/clear")
    assert run.native_ref == receipt.native_ref
    fake.outcome.clear()
    fake.tick()
    again = latest(connector, "load_orders")
    assert (RunState.SUCCEEDED, key, run.period_key) == (again.state, again.action_key, again.period_key)


def test_what_people_wrote_into_the_note_stays_and_our_old_marks_go() -> None:
    fake, connector, run = failed_night()
    fake.runs[0]["note"] = "[headway-00000000000000 rerun; was a; is b]\nseen by Ada"
    key = new_key()
    connector.act(connector.preview(rerun_spec(run), 5), key, 5)
    now = fake.runs[0]["queued_at"]
    assert f"[{key} rerun; was 2026-11-20T04:00:00.000000Z; is {now}]\nseen by Ada" == fake.runs[0]["note"]


def test_a_run_that_changed_since_the_preview_is_left_alone() -> None:
    fake, connector, run = failed_night()
    preview = connector.preview(rerun_spec(run), 5)
    fake.clear_run(["load_orders", RUN], {}, {"dry_run": False, "only_failed": True})
    fake.tick()
    fake.requests.clear()
    with pytest.raises(ActionRefused):
        connector.act(preview, new_key(), 5)
    assert 0 == posts(fake, "/clear")


@pytest.mark.parametrize("how", ["clear_run", "clear_tasks", "trigger"])
def test_a_lost_answer_is_unknown_and_found_by_the_key(how: str) -> None:
    fake, connector, run = failed_night()
    specs = {
        "clear_run": rerun_spec(run),
        "clear_tasks": rerun_spec(latest(connector, "load_orders.load")),
        "trigger": missed(),
    }
    endings = {"clear_run": "/clear$", "clear_tasks": "/clearTaskInstances$", "trigger": "/dagRuns$"}
    preview, key = connector.preview(specs[how], 5), new_key()
    assert how == preview.plan["how"]
    assert isinstance(connector.look_up(preview, key, 5), ActionAbsent)
    sent = replace(preview, plan={**preview.plan, SENT_AT: instant_key(datetime.now(UTC))})
    assert isinstance(connector.look_up(sent, key, 5), ActionUnknown), "its server may still send it"
    fake.lose_answer_of = endings[how]
    with pytest.raises(AnswerLost):
        connector.act(preview, key, 5)
    assert isinstance(connector.look_up(preview, key, 5), ActionFound)
    assert not isinstance(connector.look_up(preview, new_key(), 5), ActionFound)


def test_a_clear_that_arrives_during_the_lookup_is_found() -> None:
    """The sender is gone, the server still works on the request: absent at first, then there."""
    fake, connector, run = failed_night()
    preview, key, evaluations = connector.preview(rerun_spec(run), 5), new_key(), [0]

    def handle(request: httpx.Request) -> httpx.Response:
        evaluations[0] += 1
        if evaluations[0] == 3:  # after a login and a first look
            note = f"[{key} rerun]"
            fake.clear_run(["load_orders", RUN], {}, {"dry_run": False, "only_failed": True, "note": note})
        return fake.handle(request)

    options = AirflowOptions.model_validate({"url": URL, "username": "headway", "password": {"env": "UNREAD"}})
    other = AirflowConnector(options, lambda _: "right", httpx.MockTransport(handle), settle_seconds=0.05)
    assert isinstance(connector.look_up(preview, key, 5), ActionAbsent)
    assert isinstance(other.look_up(preview, key, 5), ActionFound)


def test_a_clear_whose_second_note_was_lost_still_belongs_to_us() -> None:
    """The answer is lost, so the mark lacks its second half; the attempt after the one it names is ours."""
    fake, connector, run = failed_night()
    preview, key = connector.preview(rerun_spec(run), 5), new_key()
    fake.lose_answer_of = "/clear$"
    with pytest.raises(OutcomeUnknown):
        connector.act(preview, key, 5)
    fake.tick()
    assert key == latest(connector, "load_orders").action_key


def test_a_clear_by_somebody_else_without_our_note_is_unknown() -> None:
    fake, connector, run = failed_night()
    preview = connector.preview(rerun_spec(run), 5)
    fake.clear_run(["load_orders", RUN], {}, {"dry_run": False, "only_failed": True})
    answer = connector.look_up(preview, new_key(), 5)
    assert isinstance(answer, ActionUnknown)
    assert "another user cleared it" in answer.why


def test_the_outcome_on_a_deleted_run_is_unknown() -> None:
    fake, connector, run = failed_night()
    preview = connector.preview(rerun_spec(run), 5)
    fake.runs.clear()
    assert isinstance(connector.look_up(preview, new_key(), 5), ActionUnknown)
    with pytest.raises(NotSupported, match="no longer exists; nothing was sent"):
        connector.act(preview, new_key(), 5)


def test_servers_before_3_3_get_the_note_first() -> None:
    fake, connector, run = failed_night()
    fake.refuse_note = True
    preview, key = connector.preview(rerun_spec(run), 5), new_key()
    connector.act(preview, key, 5)
    assert isinstance(connector.look_up(preview, key, 5), ActionFound)
    fake.tick()
    assert key == latest(connector, "load_orders").action_key


def test_a_task_is_cleared_with_what_follows_and_only_while_it_does_not_run() -> None:
    fake, connector, _ = failed_night()
    task = latest(connector, "load_orders.load")
    preview, key = connector.preview(rerun_spec(task), 5), new_key()
    assert "clear task load and all downstream tasks in load_orders 2026-11-20 04:00Z" == preview.summary
    assert ("load", "publish") == preview.affected
    fake.tasks_of("load_orders", RUN)[1]["state"] = "running"
    assert "running now, and Airflow would refuse: load" == connector.preview(rerun_spec(task), 5).refused
    with pytest.raises(NotSupported, match="AirflowClearRunningTaskException"):
        connector.act(preview, key, 5)
    fake.tasks_of("load_orders", RUN)[1]["state"] = "failed"
    connector.act(preview, key, 5)
    fake.outcome.clear()
    fake.tick()
    again = latest(connector, "load_orders.load")
    assert (RunState.SUCCEEDED, key) == (again.state, again.action_key)
    assert task.attempt_key != again.attempt_key


def test_a_server_that_cannot_mark_the_clear_of_a_task_is_reported_before() -> None:
    fake, connector, _ = failed_night()
    task = latest(connector, "load_orders.load")
    detail = [{"type": "extra_forbidden", "loc": ["body", "prevent_running_task"], "msg": "Extra inputs"}]
    old = changed(fake, "/clearTaskInstances", httpx.Response(422, json={"detail": detail}))
    refused = old.preview(rerun_spec(task), 5).refused
    assert refused is not None
    assert refused.endswith("(body.prevent_running_task: Extra inputs): rerun its DAG run")


def test_an_unknown_task_is_nothing_to_do() -> None:
    fake, connector, _ = failed_night()
    task = latest(connector, "load_orders.load")
    fake.dags = {"load_orders": ("check",)}
    assert (
        "nothing to do: Airflow would clear no task (an empty list)" == connector.preview(rerun_spec(task), 5).refused
    )


def test_a_missed_run_is_triggered_for_its_instant_under_our_id() -> None:
    fake, connector, _ = failed_night()
    preview, key = connector.preview(missed(), 5), new_key()
    assert ("trigger", "trigger the missed run of stock_count for 2026-11-20 03:00Z") == (preview.verb, preview.summary)
    connector.act(preview, key, 5)
    connector.act(preview, key, 5)
    assert 1 == len([row for row in fake.runs if row["dag_id"] == "stock_count"]), "a repeat is answered 409"
    fake.tick()
    run = latest(connector, "stock_count")
    assert (RunState.SUCCEEDED, key, "2026-11-20T03:00:00Z") == (run.state, run.action_key, run.period_key)
    assert f"Airflow has this run: headway__{key[8:]} is success" == connector.preview(missed(), 5).refused


def test_another_run_of_that_instant_is_not_doubled() -> None:
    _, connector, _ = failed_night()
    preview = connector.preview(missed(), 5)
    connector.act(preview, new_key(), 5)
    with pytest.raises(NotSupported, match="has another run for 2026-11-20T03:00:00Z now; nothing was triggered"):
        connector.act(preview, new_key(), 5)


@pytest.mark.parametrize(
    "ask, text",
    [
        (missed(period="manual__x"), "this is not a scheduled instant"),
        (missed(period="2026-11-20T03:00:00"), "this is not a scheduled instant"),
        (missed(dag="gone"), "Airflow has no DAG gone"),
    ],
)
def test_a_missed_run_that_cannot_be_triggered_says_why(ask: ActionSpec, text: str) -> None:
    _, connector, _ = failed_night()
    assert text in str(connector.preview(ask, 5).refused)


def changed(fake: FakeAirflow, path: str, reply: httpx.Response | dict[str, Any]) -> AirflowConnector:
    """A connector on the fake, but for what is answered at paths that end so: another reply, or changed fields."""
    return opened(fake, changed_transport(fake, path, reply))


def changed_transport(fake: FakeAirflow, path: str, reply: httpx.Response | dict[str, Any]) -> httpx.MockTransport:
    def handle(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith(path):
            return fake.handle(request)
        if isinstance(reply, httpx.Response):
            return reply
        return httpx.Response(200, json=fake.handle(request).json() | reply)

    return httpx.MockTransport(handle)


def test_a_run_with_a_data_interval_is_left_to_airflows_backfill() -> None:
    fake, _, _ = failed_night()
    connector = changed(fake, "/details", {"next_dagrun_data_interval_start": "2026-11-20T00:00:00Z"})
    refused = connector.preview(missed(), 5).refused
    assert "airflow backfill create --dag-id stock_count --from-date 2026-11-20 --to-date 2026-11-20" in str(refused)


def test_a_paused_dag_warns_that_it_queues_what_is_sent() -> None:
    fake, _, run = failed_night()
    connector = changed(fake, "/details", {"is_paused": True})
    assert "load_orders is paused: the run stays queued" in connector.preview(rerun_spec(run), 5).notes[0]


@each_row(
    "reply, error",
    [
        (httpx.Response(500, json={"detail": "database is locked"}), OutcomeUnknown),
        (httpx.Response(504, html="<html>gateway</html>"), OutcomeUnknown),
        (httpx.Response(200, html="<html>Sign in</html>"), OutcomeUnknown),
        (httpx.Response(200, content=b'{"dag_run', headers={"content-type": "application/json"}), OutcomeUnknown),
        (httpx.Response(403, json={"detail": "Forbidden"}), AccessRefused),
        (httpx.Response(302, headers={"location": "https://sso.example.com"}), AccessRefused),
        (httpx.Response(404, json={"detail": "gone"}), NotSupported),
        (httpx.Response(409, json={"detail": "busy"}), NotSupported),
        (httpx.Response(429, headers={"retry-after": "7"}), SystemUnreachable),
    ],
)
def test_every_answer_is_sorted_by_whether_it_happened(reply: httpx.Response, error: type[Exception]) -> None:
    fake, connector, run = failed_night()
    preview = connector.preview(rerun_spec(run), 5)
    with pytest.raises(error):
        changed(fake, "/clear", reply).act(preview, new_key(), 5)


@pytest.mark.parametrize("scope", ["failed", "downstream", "all"])
def test_the_newest_code_is_cleared_with_where_requested(scope: str) -> None:
    fake, connector, run = failed_night()
    sent: list[bool] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and request.url.path.endswith(("/clear", "/clearTaskInstances")):
            sent.append(json.loads(request.content).get("run_on_latest_version", False))
        return fake.handle(request)

    connector = opened(fake, httpx.MockTransport(handle))
    spec = ActionSpec(Verb.RERUN, ref(run), run.state, {"scope": scope, "version": "latest"})
    preview = connector.preview(spec, 5)
    assert "with the newest version of the DAG's code" in preview.notes
    assert any('"run_on_latest_version": true' in call for call in preview.native_calls)
    connector.act(preview, new_key(), 5)
    assert sent[-1], "the clear itself"
    pinned = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state, {"scope": "all", "version": "pinned"}), 5)
    assert not any("run_on_latest_version" in call for call in pinned.native_calls)


def test_a_version_that_there_is_not_is_refused() -> None:
    fake, connector, run = failed_night()
    spec = ActionSpec(Verb.RERUN, ref(run), run.state, {"version": "newest"})
    assert 'the version is "newest": not one of pinned, latest' == connector.preview(spec, 5).refused
    of_2 = opened(fake, FakeAirflow2(fake).transport)
    latest_of_2 = ActionSpec(Verb.RERUN, ref(run), run.state, {"version": "latest"})
    assert "Airflow 2 keeps one version only" in str(of_2.preview(latest_of_2, 5).refused)


@pytest.mark.parametrize("body", [{}, {"queued_at": 7}])
def test_a_clear_whose_answer_names_no_attempt_is_unknown(body: dict[str, Any]) -> None:
    fake, connector, run = failed_night()
    preview = connector.preview(rerun_spec(run), 5)
    with pytest.raises(OutcomeUnknown):
        changed(fake, "/clear", httpx.Response(200, json=body)).act(preview, new_key(), 5)
    preview = connector.preview(rerun_spec(latest(connector, "load_orders.load")), 5)
    with pytest.raises(OutcomeUnknown):
        changed(fake, "/clearTaskInstances", httpx.Response(200, json=body)).act(preview, new_key(), 5)


@pytest.mark.parametrize("status", [409, 429])
def test_a_clear_that_is_refused_after_its_note_leaves_the_note_as_it_was(status: int) -> None:
    """A mark that stays would claim the next clear, whoever sends that."""
    fake, connector, run = failed_night()
    fake.refuse_note = True
    preview, refusal = connector.preview(rerun_spec(run), 5), httpx.Response(status, json={"detail": "busy"})

    def handle(request: httpx.Request) -> httpx.Response:
        is_bare = request.url.path.endswith("/clear") and b"note" not in request.content
        return refusal if is_bare else fake.handle(request)

    with pytest.raises((NotSupported, SystemUnreachable)):
        opened(fake, httpx.MockTransport(handle)).act(preview, new_key(), 5)
    assert not fake.runs[0]["note"]


@each_row(
    "reply, expected",
    [
        (httpx.Response(404, html="default backend - 404"), None),
        (httpx.Response(200, json={}), ActionUnknown),
        (httpx.Response(404, json={"detail": "The DagRun was not found"}), ActionAbsent),
    ],
)
def test_only_an_answer_about_a_run_proves_that_it_is_there_or_not(reply: httpx.Response, expected: Any) -> None:
    fake, connector, _ = failed_night()
    preview, key = connector.preview(missed(), 5), new_key()
    odd = opened(fake, changed_transport(fake, f"headway__{key[8:]}", reply))
    if expected is not None:
        assert isinstance(odd.look_up(preview, key, 5), expected)
        return
    with pytest.raises((AccessRefused, SystemUnreachable)):
        odd.look_up(preview, key, 5)


def test_airflow_2_answers_a_trigger_with_a_page_and_its_outcome_is_unknown() -> None:
    fake, _, _ = failed_night()
    of_2 = FakeAirflow2(fake)
    preview = opened(fake, of_2.transport).preview(missed(), 5)

    def handle(request: httpx.Request) -> httpx.Response:
        reply = of_2.handle(request)
        return httpx.Response(200, html="<html>Sign in</html>") if request.method == "POST" else reply

    with pytest.raises(OutcomeUnknown):
        opened(fake, httpx.MockTransport(handle)).act(preview, new_key(), 5)
    assert 1 == len([row for row in fake.runs if row["dag_id"] == "stock_count"])


@pytest.mark.parametrize("status", [403, 409, 429])
def test_a_refusal_after_the_first_of_several_instances_is_unknown_in_airflow_2(status: int) -> None:
    fake, _, _ = failed_night()
    of_2, refused = FakeAirflow2(fake), httpx.Response(status, json={"detail": "not now"})
    task = fake.tasks_of("load_orders", RUN)[1]
    task["map_index"] = 0
    fake.instances.append({**task, "map_index": 1})

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method != "PATCH":
            return of_2.handle(request)
        return refused if request.url.path.endswith("/load/1") else httpx.Response(200, json={})

    connector = opened(fake, httpx.MockTransport(handle))
    run = next(run for run in latest_records(connector)[0].values() if run.job == "load_orders.load")
    preview = connector.preview(ActionSpec(Verb.MARK_OK, ref(run), run.state), 5)
    with pytest.raises(OutcomeUnknown, match="instance 0 was set, then: "):
        connector.act(preview, new_key(), 5)
