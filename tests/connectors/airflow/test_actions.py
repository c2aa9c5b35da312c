"""Starts, cancels and marks: what is said before, what is sent once, and how a lost answer is found again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.airflow.connector import AirflowConnector
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import SENT_AT, ActionAbsent, ActionFound, ActionSpec, ActionUnknown
from connectors.sdk.errors import AccessRefused, ActionRefused, AnswerLost, NotSupported, OutcomeUnknown
from connectors.sdk.records import RunRecord, RunRef, instant_key
from connectors.sdk.states import RunState, Verb
from tests.connectors.airflow.support import DUE, allowed, latest, night, opened, start
from tests.fakes.airflow import FakeAirflow

RUN = "scheduled__2026-11-20T04:00:00+00:00"
PATH = f"/api/v2/dags/load_orders/dagRuns/{RUN.replace(':', '%3A').replace('+', '%2B')}"


def ended_night() -> tuple[FakeAirflow, AirflowConnector, RunRecord]:
    """load_orders failed at `load`."""
    fake = night()
    fake.start("load_orders", RUN)
    fake.tick()
    connector = opened(fake)
    return fake, connector, latest(connector, "load_orders")


def running_night() -> tuple[FakeAirflow, AirflowConnector, RunRecord]:
    """load_orders hangs at `load`."""
    fake = night()
    fake.outcome["load_orders", "load"] = "hang"
    fake.start("load_orders", RUN)
    fake.tick()
    connector = opened(fake)
    return fake, connector, latest(connector, "load_orders")


def of(verb: Verb, run: RunRecord, **parameters: Any) -> ActionSpec:
    return ActionSpec(verb, ref(run), run.state, parameters)


# cancel


def test_a_cancel_says_what_is_killed_and_what_is_skipped() -> None:
    fake, connector, run = running_night()
    preview = allowed(connector, of(Verb.CANCEL, run))
    text = "end load_orders 2026-11-20 04:00Z: Airflow fails running tasks (load), skips waiting ones (publish)"
    assert (text, ("load", "publish"), None) == (preview.summary, preview.affected, preview.overlap)
    assert (f'PATCH {PATH} {{"state": "failed", "note": "[KEY cancel]"}}',) == preview.native_calls
    assert "ends at its next heartbeat, some seconds later" in preview.notes[0]
    fake.runs[0]["note"] = "seen by Ada"
    key = new_key()
    assert "Airflow says failed" == connector.act(preview, key, 5).message
    run_record = latest(connector, "load_orders")
    assert (RunState.CANCELLED, "failed", run.attempt_key) == (
        run_record.state,
        run_record.native_state,
        run_record.attempt_key,
    )
    assert None is run_record.action_key, "the attempt is not ours, its end is"
    assert f"[{key} cancel; was {fake.runs[0]['queued_at']}]\nseen by Ada" == fake.runs[0]["note"]


def test_a_run_that_was_cancelled_and_cleared_and_fails_again_has_failed() -> None:
    fake, connector, run = running_night()
    connector.act(allowed(connector, of(Verb.CANCEL, run)), new_key(), 5)
    fake.outcome["load_orders", "load"] = "failed"
    connector.act(allowed(connector, of(Verb.RERUN, latest(connector, "load_orders"))), new_key(), 5)
    fake.tick()
    assert RunState.FAILED == latest(connector, "load_orders").state


def test_a_cancel_is_not_sent_to_a_run_that_is_over_or_is_another_attempt_by_now() -> None:
    fake, connector, run = running_night()
    preview = allowed(connector, of(Verb.CANCEL, run))
    fake.runs[0]["queued_at"] = "2026-11-20T04:30:00Z"
    with pytest.raises(ActionRefused):
        connector.act(preview, new_key(), 5)
    fake.runs[0] |= {"queued_at": run.attempt_key.rpartition("@")[2], "state": "success"}
    with pytest.raises(ActionRefused, match="it is success and was running"):
        connector.act(preview, new_key(), 5)
    assert "the run has ended: Airflow says success" == connector.preview(of(Verb.CANCEL, run), 5).refused


@pytest.mark.parametrize("verb", [Verb.CANCEL, Verb.MARK_OK, Verb.SKIP])
def test_a_state_whose_answer_is_lost_is_found_by_the_note(verb: Verb) -> None:
    fake, connector, run = running_night() if verb is Verb.CANCEL else ended_night()
    preview, key = allowed(connector, of(verb, run)), new_key()
    assert isinstance(connector.look_up(preview, key, 5), ActionAbsent)
    sent = replace(preview, plan={**preview.plan, SENT_AT: instant_key(datetime.now(UTC))})
    assert isinstance(connector.look_up(sent, key, 5), ActionUnknown), "its server may still send it"
    fake.lose_answer_of = f"{RUN[:9]}[^/]*$"
    with pytest.raises(AnswerLost):
        connector.act(preview, key, 5)
    assert isinstance(connector.look_up(preview, key, 5), ActionFound)
    assert isinstance(connector.look_up(preview, new_key(), 5), ActionUnknown)


def test_a_task_is_not_cancelled_by_itself() -> None:
    _, connector, _ = running_night()
    with pytest.raises(NotSupported, match="cancel the run of its DAG load_orders"):
        connector.preview(of(Verb.CANCEL, latest(connector, "load_orders.load")), 5)


# mark


@pytest.mark.parametrize("verb, state", [(Verb.MARK_OK, RunState.SUCCEEDED), (Verb.SKIP, RunState.SKIPPED)])
def test_a_marked_run_has_the_requested_state_and_its_tasks_stay(verb: Verb, state: RunState) -> None:
    fake, connector, run = ended_night()
    preview = allowed(connector, of(verb, run))
    assert "nothing runs: its tasks stay as they are (load, publish not green)" == preview.notes[0]
    connector.act(preview, new_key(), 5)
    run_record = latest(connector, "load_orders")
    assert (state, "success", run.attempt_key) == (run_record.state, run_record.native_state, run_record.attempt_key)
    assert run_record.message.endswith("by Headway; tasks not green: load (failed), publish (upstream_failed)")
    assert ["success", "failed", "upstream_failed"] == [row["state"] for row in fake.instances]
    assert "Airflow says success already" == connector.preview(of(verb, run), 5).refused


def test_a_run_that_is_green_with_failed_tasks_names_the_tasks_to_mark() -> None:
    """Airflow changes nothing about such a run, so no poll would see a mark."""
    fake, connector, run = ended_night()
    fake.runs[0]["state"] = "success"
    refused = connector.preview(of(Verb.MARK_OK, run), 5).refused
    assert "Airflow says success already; mark the tasks that are not green: load, publish" == refused


def test_what_runs_is_not_marked() -> None:
    _, connector, run = running_night()
    assert "the run is running: cancel it first" in str(connector.preview(of(Verb.MARK_OK, run), 5).refused)
    task = latest(connector, "load_orders.load")
    assert "let it end first, or cancel it" in str(connector.preview(of(Verb.SKIP, task), 5).refused)


def test_a_run_that_airflow_has_no_row_of_cannot_be_marked() -> None:
    _, connector, _ = ended_night()
    missed = ActionSpec(Verb.MARK_OK, RunRef("stock_count", DUE, "", ""), RunState.MISSED)
    with pytest.raises(NotSupported, match="Airflow has no row of the run 2026-11-20T03:00:00Z of stock_count"):
        connector.preview(missed, 5)


def test_a_marked_task_releases_the_tasks_that_failed_after_it() -> None:
    fake, connector, _ = ended_night()
    task = latest(connector, "load_orders.load")
    preview, key = allowed(connector, of(Verb.MARK_OK, task)), new_key()
    assert ("mark task load of load_orders 2026-11-20 04:00Z as success", ("load",)) == (
        preview.summary,
        preview.affected,
    )
    assert ("Airflow then clears the failed downstream tasks, which run: publish",) == preview.notes
    fake.lose_answer_of = "/taskInstances/load$"
    with pytest.raises(OutcomeUnknown):
        connector.act(preview, key, 5)
    assert isinstance(connector.look_up(preview, key, 5), ActionFound)
    fake.tick()
    assert RunState.SUCCEEDED == latest(connector, "load_orders").state
    with pytest.raises(NotSupported, match="is success by now; nothing was sent"):
        connector.act(preview, new_key(), 5)
    assert "nothing to do: load is success" in str(connector.preview(of(Verb.MARK_OK, task), 5).refused)


def test_skipping_the_last_task_warns_that_its_run_stays_failed() -> None:
    fake, connector, _ = ended_night()
    fake.dags = {"load_orders": ("check", "load")}
    task = latest(connector, "load_orders.load")
    preview = allowed(connector, of(Verb.SKIP, task))
    assert "the run of load_orders stays failed; mark the run itself too" in preview.notes[0]
    assert isinstance(connector.look_up(preview, new_key(), 5), ActionAbsent)
    connector.act(preview, new_key(), 5)
    assert RunState.SKIPPED == latest(connector, "load_orders.load").state
    assert isinstance(connector.look_up(preview, new_key(), 5), ActionUnknown)


def test_a_viewer_is_refused_and_nothing_is_changed() -> None:
    fake, connector, run = ended_night()
    specs = [start(), of(Verb.MARK_OK, run), of(Verb.SKIP, latest(connector, "load_orders.load"))]
    previews = [allowed(connector, ask) for ask in specs]
    before = [dict(row) for row in (*fake.runs, *fake.instances)]
    fake.role = "viewer"
    for preview in previews:
        with pytest.raises(AccessRefused, match="Forbidden"):
            connector.act(preview, new_key(), 5)
    assert before == [dict(row) for row in (*fake.runs, *fake.instances)]


# rerun by scope


@pytest.mark.parametrize(
    "scope, verb, affected",
    [
        ("failed", "clear failed tasks", ("load", "publish")),
        ("all", "clear the whole run", ("check", "load", "publish")),
        ("downstream", "clear failed and downstream tasks", ("load", "publish")),
    ],
)
def test_the_scope_says_which_tasks_run_again(scope: str, verb: str, affected: tuple[str, ...]) -> None:
    fake, connector, run = ended_night()
    preview, key = allowed(connector, of(Verb.RERUN, run, scope=scope)), new_key()
    assert (verb, affected) == (preview.verb, preview.affected)
    connector.act(preview, key, 5)
    assert isinstance(connector.look_up(preview, key, 5), ActionFound)
    fake.outcome.clear()
    fake.tick()
    again = latest(connector, "load_orders")
    assert (RunState.SUCCEEDED, key, run.period_key) == (again.state, again.action_key, again.period_key)


def test_downstream_takes_what_succeeded_after_the_failed_task_too() -> None:
    fake, connector, run = ended_night()
    fake.instances[2]["state"] = "success"
    assert ("load",) == allowed(connector, of(Verb.RERUN, run, scope="failed")).affected
    assert ("load", "publish") == allowed(connector, of(Verb.RERUN, run, scope="downstream")).affected


def test_a_clear_that_never_came_takes_its_mark_away_again() -> None:
    """The run's note is written before: it would claim the next clear, whoever requested that."""
    fake, connector, run = ended_night()
    fake.runs[0]["note"] = "seen by Ada"
    preview, key = allowed(connector, of(Verb.RERUN, run, scope="downstream")), new_key()
    fake.runs[0]["note"] = f"[{key} rerun; was {fake.runs[0]['queued_at']}]\nseen by Ada"
    sent = replace(preview, plan={**preview.plan, SENT_AT: instant_key(datetime.now(UTC))})
    assert isinstance(connector.look_up(sent, key, 5), ActionUnknown)
    assert "rerun" in fake.runs[0]["note"], "it may still come"
    assert isinstance(connector.look_up(preview, key, 5), ActionAbsent)
    assert "seen by Ada" == fake.runs[0]["note"]


def test_a_clear_that_is_refused_leaves_the_note_as_it_was() -> None:
    fake, connector, run = ended_night()
    preview = allowed(connector, of(Verb.RERUN, run, scope="downstream"))
    fake.instances[1]["state"] = "running"
    with pytest.raises(NotSupported, match="AirflowClearRunningTaskException"):
        connector.act(preview, new_key(), 5)
    assert not fake.runs[0]["note"]


@pytest.mark.parametrize(
    "scope, text",
    [("failed", 'it has no failed task; "all" would clear'), ("downstream", "no failed task to begin at")],
)
def test_a_green_run_has_no_failed_tasks_to_rerun(scope: str, text: str) -> None:
    fake, connector, _ = ended_night()
    fake.start("stock_count", RUN)
    fake.tick()
    run = latest(connector, "stock_count")
    assert text in str(connector.preview(of(Verb.RERUN, run, scope=scope), 5).refused)


def test_an_odd_scope_is_refused_and_a_task_is_not_rerun_with_all() -> None:
    _, connector, run = ended_night()
    text = 'the scope is "most", not one of failed, downstream, all'
    assert text == connector.preview(of(Verb.RERUN, run, scope="most"), 5).refused
    task = latest(connector, "load_orders.load")
    assert "rerun the run of load_orders for all of it" in str(
        connector.preview(of(Verb.RERUN, task, scope="all"), 5).refused
    )
