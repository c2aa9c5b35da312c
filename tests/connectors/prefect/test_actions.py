"""What is done to Prefect: keys in states, labels and idempotency keys; refusals; lost answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from connectors.sdk.action_router import ActionRouter
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown
from connectors.sdk.errors import AccessRefused, ActionRefused, NotSupported, OutcomeUnknown
from connectors.sdk.records import RunRef, instant_key
from connectors.sdk.states import RunState, Verb
from tests.connectors.prefect.support import ORDERS, STOCK, latest_records, opened
from tests.fakes.prefect import FakePrefect, stamp


def failed() -> tuple[FakePrefect, str]:
    """A Prefect with one run of ORDERS that failed, and its id."""
    fake = FakePrefect(ORDERS, STOCK)
    fake.outcome[ORDERS] = "FAILED"
    run = fake.start(ORDERS)
    fake.tick(10)
    return fake, run["id"]


def test_a_rerun_carries_our_key_in_its_state_and_becomes_the_second_attempt() -> None:
    fake, run = failed()
    connector, key = opened(fake), new_key()
    first = latest_records(connector)[0][run]
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(first), first.state, {"why": "the file is there"}), 5)
    assert "Prefect cannot run only the failed tasks: it starts the flow again" in preview.notes
    fake.outcome[ORDERS] = "COMPLETED"
    connector.act(preview, key, 5)
    assert f"[{key} rerun] the file is there" == fake.runs[0]["state"]["message"]
    fake.tick(5)
    fake.now += timedelta(seconds=5)
    runs = latest_records(opened(fake))[0]
    assert (RunState.FAILED, RunState.SUCCEEDED) == (runs[run].state, runs[f"{run}@0002"].state)
    assert (None, key) == (runs[run].action_key, runs[f"{run}@0002"].action_key)
    assert runs[run].period_key == runs[f"{run}@0002"].period_key
    ended, started = runs[run].ended_at, runs[f"{run}@0002"].started_at
    assert ended is not None
    assert started is not None
    assert ended < started
    with pytest.raises(ActionRefused):
        connector.act(preview, new_key(), 5)
    again = connector.preview(ActionSpec(Verb.RERUN, ref(runs[run]), RunState.FAILED), 5)
    assert again.refused == "a later attempt of it is there: it is Completed"


def test_a_lost_answer_is_found_and_a_repeat_creates_nothing() -> None:
    fake, _ = failed()
    connector, key = opened(fake), new_key()
    period = instant_key(datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1))
    ask = ActionSpec(Verb.START, RunRef(STOCK, period, "", ""), RunState.PLANNED, {"period_at": period})
    preview = connector.preview(ask, 5)
    fake.lose_answer_of = "create_flow_run"
    with pytest.raises(OutcomeUnknown):
        connector.act(preview, key, 5)
    assert isinstance(connector.look_up(preview, key, 5), ActionFound)
    assert "was created under this key before" == connector.act(preview, key, 5).message
    fake.tick(5)
    fake.now += timedelta(seconds=5)
    (run,) = (run for run in latest_records(connector)[0].values() if run.job == STOCK)
    assert (key, period, RunState.SUCCEEDED) == (run.action_key, run.period_key, run.state)


def test_a_period_that_has_its_own_run_is_not_started() -> None:
    fake, _ = failed()
    at = fake.now.replace(microsecond=0)
    fake.start(STOCK, auto_scheduled=True, expected_start_time=stamp(at), name="calm-owl")
    ask = ActionSpec(
        Verb.START, RunRef(STOCK, instant_key(at), "", ""), RunState.PLANNED, {"period_at": instant_key(at)}
    )
    assert "Prefect has this run: calm-owl is Scheduled" == opened(fake).preview(ask, 5).refused


def test_a_200_that_says_abort_is_a_refusal() -> None:
    fake = FakePrefect(STOCK)
    fake.outcome[STOCK] = "hang"
    run = fake.start(STOCK)
    fake.tick(5)
    connector = opened(fake)
    record = latest_records(connector)[0][run["id"]]
    preview = connector.preview(ActionSpec(Verb.CANCEL, ref(record), record.state), 5)
    state = fake.set(run, "COMPLETED")
    stale = {**preview.plan, "was": state["id"]}
    acts = connector._acts
    assert isinstance(acts, ActionRouter)
    with pytest.raises(NotSupported, match=r"Prefect answered ABORT: Run is already in terminal state"):
        acts.act(replace(preview, plan=stale), new_key())


def test_a_run_that_waits_is_cancelled_outright_and_a_flow_that_was_called_cannot_be_rerun() -> None:
    fake = FakePrefect(STOCK, "count-shelf")
    waiting, called = fake.start(STOCK), fake.start("count-shelf")
    fake.set(called, "RUNNING")
    fake.set(called, "FAILED")
    fake.now += timedelta(seconds=5)
    connector = opened(fake)
    runs = latest_records(connector)[0]
    cancel = connector.preview(ActionSpec(Verb.CANCEL, ref(runs[waiting["id"]]), RunState.WAITING), 5)
    assert {"type": "CANCELLED"} == cancel.plan["state"]
    rerun = connector.preview(ActionSpec(Verb.RERUN, ref(runs[called["id"]]), RunState.FAILED), 5)
    assert rerun.refused == (
        "Prefect runs only runs of deployments again, and this is not one: rerun the flow that called it"
    )
    ask = ActionSpec(Verb.START, RunRef("count-shelf", "", "", ""), RunState.PLANNED)
    assert (
        connector.preview(ask, 5).refused
        == "count-shelf is a flow without a deployment: Prefect can start and hold deployments only"
    )


@pytest.mark.parametrize("verb, state", [(Verb.MARK_OK, RunState.SUCCEEDED), (Verb.SKIP, RunState.SKIPPED)])
def test_a_marked_run_is_what_it_was_marked_as_although_its_tasks_failed(verb: Verb, state: RunState) -> None:
    fake, run = failed()
    fake.task(fake.runs[0], "transform-3d7")
    connector, key = opened(fake), new_key()
    record = latest_records(connector)[0][run]
    preview = connector.preview(ActionSpec(verb, ref(record), record.state), 5)
    connector.act(preview, key, 5)
    assert isinstance(connector.look_up(preview, key, 5), ActionFound)
    fake.now += timedelta(seconds=5)
    assert state is latest_records(connector)[0][run].state


def test_a_hold_is_one_request_and_the_description_comes_back_as_people_wrote_it() -> None:
    fake, _ = failed()
    connector, key = opened(fake), new_key()
    parameters = {"by": "alice", "until": "2099-01-01T06:30:00Z"}
    connector.act(
        connector.preview(ActionSpec(Verb.HOLD, RunRef(STOCK, "", "", ""), RunState.PLANNED, parameters), 5), key, 5
    )
    row = fake.deployments[STOCK]
    line = f"headway-hold id={key} by=alice until=2099-01-01T06:30:00Z"
    assert (True, f"As\npeople wrote it\n{line}") == (row["paused"], row["description"])
    assert 1 == len([request for request in fake.requests if request[0] == "PATCH"])
    (job,) = (job for job in connector.inventory("", 5).jobs if job.native_id == STOCK)
    assert (True, False) == (job.paused, "headway" in job.definition)
    release = ActionSpec(Verb.RELEASE, RunRef(STOCK, "", "", ""), RunState.HELD, {"hold": key})
    connector.act(connector.preview(release, 5), new_key(), 5)
    assert (False, "As\npeople wrote it") == (row["paused"], row["description"])


def test_what_a_proxy_refuses_is_named_by_the_probe_and_nothing_is_done() -> None:
    fake, run = failed()
    fake.forbidden = "create_flow_run|set_state|deployments/[0-9a-f-]+$"
    connector = opened(fake)
    rights = {right.name: right for right in connector.probe(5).rights}
    acts = ("start runs", "rerun, cancel and mark runs", "pause deployments (hold)")
    assert [False] * 3 == [rights[name].held for name in acts]
    assert rights["start runs"].why == "POST /deployments/ID/create_flow_run answered 403"
    assert rights["start runs"].fix.endswith("headway connector grants prefect")
    assert rights["read flow runs"].held
    record = latest_records(connector)[0][run]
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(record), record.state), 5)
    with pytest.raises(AccessRefused, match="403"):
        connector.act(preview, new_key(), 5)
    assert "FAILED" == fake.runs[0]["state_type"]


@pytest.mark.parametrize("body", [{}, {"id": "a run of another", "idempotency_key": "headway-0000000000"}])
def test_an_answer_about_another_run_does_not_prove_a_refusal(body: dict[str, str]) -> None:
    fake = FakePrefect(STOCK)
    preview = opened(fake).preview(ActionSpec(Verb.START, RunRef(STOCK, "", "", ""), RunState.PLANNED), 5)

    def handle(request: httpx.Request) -> httpx.Response:
        reply = fake.answer(request)
        is_start = request.url.path.endswith("/create_flow_run")
        return httpx.Response(201, json=body) if is_start else reply

    with pytest.raises(OutcomeUnknown):
        opened(fake, httpx.MockTransport(handle)).act(preview, new_key(), 5)
    assert 1 == len(fake.runs)


def test_a_state_that_cannot_be_read_may_be_ours() -> None:
    fake, run = failed()
    connector, key = opened(fake), new_key()
    first = latest_records(connector)[0][run]
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(first), first.state), 5)
    assert isinstance(connector.look_up(preview, key, 5), ActionAbsent)
    connector.act(preview, key, 5)
    fake.history[run][-1]["timestamp"] = None
    assert isinstance(connector.look_up(preview, key, 5), ActionUnknown)
