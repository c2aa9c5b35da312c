"""What starts, cancels, marks and holds do to a real Airflow: the facts of docs/connectors/airflow.md are proved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, Connector, HoldMark, Preview
from connectors.sdk.errors import AccessRefused, AnswerLost, NotSupported, OutcomeUnknown
from connectors.sdk.records import RunRecord, RunRef, instant_key
from connectors.sdk.states import RunState, Verb
from tests.factories import note_text
from tests.lab.airflow import PASSWORDS, AirflowServer
from tests.lab.airflow_client import CALL_SECONDS, attempt, connect, eating_answers, every, ran, running, until
from tests.lab.estate import Estate
from tests.lab.jobs import next_minute
from tests.lab.process import wait_for_clock, wait_seconds

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def airflow(fresh: Estate) -> AirflowServer:
    """The group's Airflow without the runs of the file before, which each look at what an action did would read."""
    return fresh.airflow


@pytest.fixture(autouse=True)
def passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    for user, password in PASSWORDS.items():
        monkeypatch.setenv(f"HEADWAY_AF_{user.upper()}", password)


@pytest.fixture
def connector(airflow: AirflowServer) -> Iterator[Connector]:
    """As the least account that may act."""
    opened = connect(airflow.url)
    yield opened
    opened.close()


def of_job(verb: Verb, job: str, **parameters: Any) -> ActionSpec:
    return ActionSpec(verb, RunRef(job, str(parameters.get("period_at", "")), "", ""), RunState.PLANNED, parameters)


def hold_ask(job: str) -> ActionSpec:
    until_then = instant_key((datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0))
    return of_job(Verb.HOLD, job, by="ada", until=until_then)


def of_run(verb: Verb, run: RunRecord, **parameters: Any) -> ActionSpec:
    return ActionSpec(verb, ref(run), run.state, parameters)


def allowed(connector: Connector, ask: ActionSpec) -> Preview:
    preview = connector.preview(ask, CALL_SECONDS)
    assert preview.refused is None
    return preview


def sent(connector: Connector, ask: ActionSpec) -> str:
    """Executes the action; returns its key."""
    key = new_key()
    connector.act(allowed(connector, ask), key, CALL_SECONDS)
    return key


@contextmanager
def held(airflow: AirflowServer, connector: Connector, job: str) -> Iterator[str]:
    """Holds a DAG; it is released when this ends, where nobody did so before."""
    key = sent(connector, hold_ask(job))
    try:
        yield key
    finally:
        until(f"the release of {job}", lambda: is_let_go(airflow, connector, job, key))


def is_let_go(airflow: AirflowServer, connector: Connector, job: str, key: str) -> bool:
    """Whether the hold is gone; releases it otherwise. One that stayed would fail every test after its own."""
    if is_marked(airflow, key):
        with suppress(OutcomeUnknown):
            sent(connector, of_job(Verb.RELEASE, job, hold=key))
    return not is_marked(airflow, key)


def is_marked(airflow: AirflowServer, key: str) -> bool:
    return bool(airflow.rows("SELECT 1 FROM dag_run_note WHERE instr(content, ?)", key))


def runs_of(airflow: AirflowServer, dag: str) -> list[dict[str, Any]]:
    """Newest first."""
    runs: list[dict[str, Any]] = airflow.call("GET", f"dags/{dag}/dagRuns?order_by=-run_after&limit=100")["dag_runs"]
    return runs


def note(airflow: AirflowServer, dag: str, run: str) -> str | None:
    result: str | None = airflow.call("GET", f"dags/{dag}/dagRuns/{run}")["note"]
    return result


def is_paused(airflow: AirflowServer, dag: str) -> bool:
    return bool(airflow.call("GET", f"dags/{dag}")["is_paused"])


# holds and the clock


CLOCKED = ("stock_count", "caught_up", "by_interval")


def test_when_a_held_dag_is_released_airflow_makes_the_latest_run_or_with_catchup_every_run(
    airflow: AirflowServer, connector: Connector
) -> None:
    """A run that was left out is then started under our key, exactly once; one that came is not started again."""
    for dag in CLOCKED:
        ran(airflow, dag, "succeed", "success")
    began = datetime.now(UTC).replace(second=0, microsecond=0)
    dues = [began + MINUTE, began + 2 * MINUTE, began + 3 * MINUTE]
    try:
        with (
            held(airflow, connector, CLOCKED[0]) as plain,
            held(airflow, connector, CLOCKED[1]) as caught,
            held(airflow, connector, CLOCKED[2]),
        ):
            for dag in CLOCKED:
                airflow.schedule(dag, "* * * * *", since=began if dag == "caught_up" else None)
            wait_for_clock(dues[-1] + timedelta(seconds=4))
            airflow.reread()
            assert set(CLOCKED) == {hold.job for hold in connector.holds(20)}
            assert [] == [row for dag in CLOCKED for row in scheduled(airflow, dag, dues[0])]
            preview = connector.preview(of_job(Verb.RELEASE, "caught_up", hold=caught), CALL_SECONDS)
            assert note_text(preview.notes[-1]).startswith("Airflow makes every missed run at once, from ")
            preview = connector.preview(of_job(Verb.RELEASE, "stock_count", hold=plain), CALL_SECONDS)
            assert note_text(preview.notes[-1]).endswith("earlier ones of the pause are left out (catchup is off)")
        for dag in ("stock_count", "by_interval"):
            until(f"the run of {dag} of the latest instant", partial(scheduled, airflow, dag, dues[-1]))
            assert dues[1] not in {at(row) for row in scheduled(airflow, dag, dues[0])}, "left out without catch-up"
            start_once(airflow, connector, dag, dues[1])
            there = connector.preview(of_job(Verb.START, dag, period_at=instant_key(dues[-1])), CALL_SECONDS)
            assert "Airflow has this run: scheduled__" in str(there.refused)
        until("the run of every instant", lambda: len(scheduled(airflow, "caught_up", dues[0])) >= len(dues))
    finally:
        for dag in CLOCKED:
            airflow.schedule(dag, None)
    assert set(dues) <= {at(row) for row in scheduled(airflow, "caught_up", dues[0])}


def start_once(airflow: AirflowServer, connector: Connector, dag: str, due: datetime) -> None:
    """Starts the run of this instant, which becomes an attempt of its period and covers its data interval."""
    key = sent(connector, of_job(Verb.START, dag, period_at=instant_key(due)))
    run = f"headway__{key.removeprefix('headway-')}"
    airflow.wait_for(dag, run, "success")
    started = attempt(connector, dag, run)
    assert (RunState.SUCCEEDED, key, instant_key(due)) == (started.state, started.action_key, started.period_key)
    row = airflow.call("GET", f"dags/{dag}/dagRuns/{run}")
    begin = due - MINUTE if dag == "by_interval" else due
    assert (shown_as(begin), shown_as(begin), shown_as(due)) == (
        row["logical_date"],
        row["data_interval_start"],
        row["data_interval_end"],
    )


def scheduled(airflow: AirflowServer, dag: str, since: datetime) -> list[dict[str, Any]]:
    return [row for row in runs_of(airflow, dag) if row["run_type"] == "scheduled" and at(row) >= since]


def at(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["run_after"])


def test_a_run_that_we_started_ahead_of_the_release_is_not_made_again_by_the_clock(
    airflow: AirflowServer, connector: Connector
) -> None:
    ran(airflow, "stock_count", "succeed", "success")
    try:
        with held(airflow, connector, "stock_count"):
            airflow.schedule("stock_count", "* * * * *")
            due = next_minute()
            early = connector.preview(of_job(Verb.START, "stock_count", period_at=instant_key(due)), CALL_SECONDS)
            assert "runs no task before the logical date" in str(early.refused)
            wait_for_clock(due + timedelta(seconds=2))
            preview = allowed(connector, of_job(Verb.START, "stock_count", period_at=instant_key(due)))
            assert note_text(preview.notes[0]).startswith("stock_count is held by ada until ")
            key = new_key()
            connector.act(preview, key, CALL_SECONDS)
            run = f"headway__{key.removeprefix('headway-')}"
            assert "queued" == airflow.state("stock_count", run)
            airflow.reread()
        airflow.wait_for("stock_count", run, "success")
        until("the next run by the clock", lambda: scheduled(airflow, "stock_count", due + MINUTE))
    finally:
        airflow.schedule("stock_count", None)
    assert [run] == [
        row["dag_run_id"] for row in runs_of(airflow, "stock_count") if row["logical_date"] == shown_as(due)
    ]


def shown_as(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def test_asset_updates_during_a_hold_are_lost_and_a_start_makes_up_for_them(
    airflow: AirflowServer, connector: Connector
) -> None:
    earlier = len(runs_of(airflow, "supply_plan"))
    ran(airflow, "load_orders", "succeed", "success")

    def has_run() -> bool:
        runs = runs_of(airflow, "supply_plan")
        return len(runs) > earlier and all(row["end_date"] for row in runs)

    until("the run of supply_plan by this update", has_run)
    before = len(runs_of(airflow, "supply_plan"))
    preview = allowed(connector, hold_ask("supply_plan"))
    assert (
        "updates of its assets while it is paused start no run, also not later: Airflow forgets them" in preview.notes
    )
    with held(airflow, connector, "supply_plan"):
        ran(airflow, "load_orders", "succeed", "success")
    wait_seconds(5)
    assert before == len(runs_of(airflow, "supply_plan")), "resumed, and the update was forgotten"
    key = sent(connector, of_job(Verb.START, "supply_plan"))
    run = f"headway__{key.removeprefix('headway-')}"
    airflow.wait_for("supply_plan", run, "success")
    assert key == attempt(connector, "supply_plan", run).action_key


def test_a_run_under_way_stops_after_its_task_while_its_dag_is_held(
    airflow: AirflowServer, connector: Connector
) -> None:
    run = running(airflow, connector, "load_orders", "load")
    preview = allowed(connector, hold_ask("load_orders"))
    assert f"runs of load_orders are active: {run.period_key} (running): tasks that run go on" in preview.notes[1]
    with held(airflow, connector, "load_orders") as key:
        airflow.behave("load_orders", "succeed")
        path = f"dags/load_orders/dagRuns/{run.period_key}/taskInstances"
        load, publish = f"{path}/load", f"{path}/publish"
        until("its running task ends", lambda: airflow.call("GET", load)["state"] == "success")
        wait_seconds(4)
        assert ("running", None) == (
            airflow.state("load_orders", str(run.period_key)),
            airflow.call("GET", publish)["state"],
        )
        release = connector.preview(of_job(Verb.RELEASE, "load_orders", hold=key), CALL_SECONDS)
        assert release.notes[0] == f"go on at once: {run.period_key} (running)"
    airflow.wait_for("load_orders", str(run.period_key), "success")


# marks in notes


def test_a_hold_preserves_the_notes_of_people_and_its_release_leaves_nothing(
    airflow: AirflowServer, connector: Connector
) -> None:
    run = ran(airflow, "stock_count", "succeed", "success")
    airflow.call("PATCH", f"dags/stock_count/dagRuns/{run}", {"note": "seen by Ada\n"})
    with held(airflow, connector, "stock_count") as key:
        written = str(note(airflow, "stock_count", run))
        mark = HoldMark.read(written)
        assert mark is not None
        assert (f"seen by Ada\n\n{mark.text}", key, "ada") == (written, mark.id, mark.by)
        assert is_paused(airflow, "stock_count")
        airflow.call("PATCH", f"dags/stock_count/dagRuns/{run}", {"note": f"{written}\nand Bob"})
    assert ("seen by Ada\n\nand Bob", False) == (note(airflow, "stock_count", run), is_paused(airflow, "stock_count"))


def test_a_person_who_resumes_a_held_dag_wins_and_the_release_takes_only_the_mark(
    airflow: AirflowServer, connector: Connector
) -> None:
    run = ran(airflow, "stock_count", "succeed", "success")
    key = sent(connector, hold_ask("stock_count"))
    airflow.call("PATCH", "dags/stock_count", {"is_paused": False})
    preview = allowed(connector, of_job(Verb.RELEASE, "stock_count", hold=key))
    assert "remove the mark" == preview.verb
    connector.act(preview, new_key(), CALL_SECONDS)
    assert (None, False) == (note(airflow, "stock_count", run), is_paused(airflow, "stock_count"))


@pytest.mark.parametrize("lost", [b"PATCH /api/v2/dags/stock_count HTTP", b"PATCH /api/v2/dags/stock_count/dagRuns/"])
def test_a_hold_with_a_lost_answer_is_looked_up(airflow: AirflowServer, connector: Connector, lost: bytes) -> None:
    """The pause's answer: it is held. The mark's answer: nothing is paused, and the mark is taken away again."""
    run = ran(airflow, "stock_count", "succeed", "success")
    preview, key = allowed(connector, hold_ask("stock_count")), new_key()
    with eating_answers(airflow.port, lost) as port:
        cut_off = connect(f"http://127.0.0.1:{port}")
        with pytest.raises((OutcomeUnknown, NotSupported)):
            cut_off.act(preview, key, CALL_SECONDS)
        cut_off.close()
    paused = is_paused(airflow, "stock_count")
    assert (ActionFound if paused else ActionAbsent) is type(connector.look_up(preview, key, CALL_SECONDS))
    assert paused == (b"dagRuns" not in lost)
    if paused:
        release = allowed(connector, of_job(Verb.RELEASE, "stock_count", hold=key))
        assert isinstance(connector.look_up(release, new_key(), CALL_SECONDS), ActionAbsent)
        connector.act(release, new_key(), CALL_SECONDS)
        assert isinstance(connector.look_up(release, new_key(), CALL_SECONDS), ActionFound)
    assert None is note(airflow, "stock_count", run)


def test_a_task_is_not_held_and_a_dag_without_runs_is_refused_with_the_reason(
    airflow: AirflowServer, connector: Connector
) -> None:
    with pytest.raises(NotSupported, match="Airflow can hold no single task, hold its DAG"):
        connector.preview(hold_ask("load_orders.load"), CALL_SECONDS)
    airflow.call("PATCH", "dags/parked", {"is_paused": False})
    try:
        runs = {row["dag_run_id"] for row in runs_of(airflow, "parked")}
        refused = connector.preview(hold_ask("parked"), CALL_SECONDS).refused
        assert runs or "pause it by hand" in str(refused)
    finally:
        airflow.call("PATCH", "dags/parked", {"is_paused": True})
    assert "parked is paused already, not by Headway" == connector.preview(hold_ask("parked"), CALL_SECONDS).refused
    start = connector.preview(of_job(Verb.START, "parked", period_at=instant_key(datetime.now(UTC))), CALL_SECONDS)
    assert start.refused is not None


def test_a_viewer_may_neither_hold_nor_start(airflow: AirflowServer) -> None:
    run = ran(airflow, "stock_count", "succeed", "success")
    viewer = connect(airflow.url, "viewer")
    try:
        for ask in (hold_ask("stock_count"), of_job(Verb.START, "stock_count")):
            preview = allowed(viewer, ask)
            with pytest.raises(AccessRefused, match="Forbidden"):
                viewer.act(preview, new_key(), CALL_SECONDS)
        assert (None, False) == (note(airflow, "stock_count", run), is_paused(airflow, "stock_count"))
    finally:
        viewer.close()


# states


def test_a_cancelled_run_is_failed_at_once_and_its_process_ends(airflow: AirflowServer, connector: Connector) -> None:
    run = running(airflow, connector, "load_orders", "load")
    airflow.call("PATCH", f"dags/load_orders/dagRuns/{run.period_key}", {"note": "seen by Ada"})
    preview = allowed(connector, of_run(Verb.CANCEL, run))
    assert (
        f"end load_orders {run.period_key}: Airflow fails running tasks (load), skips waiting ones (publish)"
        == preview.summary
    )
    key = new_key()
    assert isinstance(connector.look_up(preview, key, CALL_SECONDS), ActionAbsent)
    connector.act(preview, key, CALL_SECONDS)
    assert isinstance(connector.look_up(preview, key, CALL_SECONDS), ActionFound)
    runs = {run_record.job: run_record for run_record in every(connector) if run_record.period_key == run.period_key}
    states = {job: run.native_state for job, run in runs.items()}
    expected = {"load_orders.check_file": "success", "load_orders.load": "failed", "load_orders.publish": "skipped"}
    assert {"load_orders": "failed", **expected} == states
    assert (RunState.CANCELLED, run.attempt_key) == (runs["load_orders"].state, runs["load_orders"].attempt_key)
    assert str(note(airflow, "load_orders", str(run.period_key))).endswith("]\nseen by Ada")
    until("the process of the task ends", lambda: is_silent(connector, runs["load_orders.load"]))
    airflow.behave("load_orders", "succeed")
    assert "the run has ended: Airflow says failed" == connector.preview(of_run(Verb.CANCEL, run), CALL_SECONDS).refused


def is_silent(connector: Connector, task: RunRecord) -> bool:
    """Whether a task that said something twice a second says nothing more for two seconds."""
    first = connector.log(ref(task), None, 65536, CALL_SECONDS).text
    wait_seconds(2)
    return first == connector.log(ref(task), None, 65536, CALL_SECONDS).text


def test_a_cancel_whose_answer_is_lost_is_found_by_its_note(airflow: AirflowServer, connector: Connector) -> None:
    run = running(airflow, connector, "load_orders", "load")
    preview, key = allowed(connector, of_run(Verb.CANCEL, run)), new_key()
    with eating_answers(airflow.port, b"PATCH ") as port:
        cut_off = connect(f"http://127.0.0.1:{port}")
        with pytest.raises(AnswerLost):
            cut_off.act(preview, key, CALL_SECONDS)
        cut_off.close()
    assert isinstance(connector.look_up(preview, key, CALL_SECONDS), ActionFound)
    airflow.behave("load_orders", "succeed")


@pytest.mark.parametrize("verb, state", [(Verb.MARK_OK, RunState.SUCCEEDED), (Verb.SKIP, RunState.SKIPPED)])
def test_a_marked_run_has_the_requested_state_and_runs_nothing(
    airflow: AirflowServer, connector: Connector, verb: Verb, state: RunState
) -> None:
    failed = attempt(connector, "load_orders", ran(airflow, "load_orders", "fail", "failed"))
    plans = len(runs_of(airflow, "supply_plan"))
    preview = allowed(connector, of_run(verb, failed))
    assert preview.notes[0] == "nothing runs: its tasks stay as they are (load, publish not green)"
    key = new_key()
    assert isinstance(connector.look_up(preview, key, CALL_SECONDS), ActionAbsent)
    connector.act(preview, key, CALL_SECONDS)
    assert isinstance(connector.look_up(preview, key, CALL_SECONDS), ActionFound)
    marked = attempt(connector, "load_orders", str(failed.period_key))
    assert (state, "success", failed.attempt_key) == (marked.state, marked.native_state, marked.attempt_key)
    wait_seconds(3)
    assert plans == len(runs_of(airflow, "supply_plan")), "no asset is updated by a mark"
    assert "failed" == airflow.call("GET", f"dags/load_orders/dagRuns/{failed.period_key}/taskInstances/load")["state"]
    assert "Airflow says success already" == connector.preview(of_run(verb, replace(failed)), CALL_SECONDS).refused


def test_a_task_that_is_marked_ok_lets_what_failed_after_it_run(airflow: AirflowServer, connector: Connector) -> None:
    run = ran(airflow, "load_orders", "fail", "failed")
    task = attempt(connector, "load_orders.load", run)
    preview = allowed(connector, of_run(Verb.MARK_OK, task))
    assert ("mark task success", ("load",)) == (preview.verb, preview.affected)
    assert preview.notes == ("Airflow then clears the failed downstream tasks, which run: publish",)
    key = new_key()
    assert isinstance(connector.look_up(preview, key, CALL_SECONDS), ActionAbsent)
    connector.act(preview, key, CALL_SECONDS)
    assert isinstance(connector.look_up(preview, key, CALL_SECONDS), ActionFound)
    airflow.wait_for("load_orders", run, "success")
    states = {run_record.job: run_record.state for run_record in every(connector) if run_record.period_key == run}
    assert {RunState.SUCCEEDED} == set(states.values())
    with pytest.raises(NotSupported, match="by now; nothing was sent"):
        connector.act(preview, new_key(), CALL_SECONDS)


def test_skipping_the_last_task_warns_before_that_its_run_stays_failed(
    airflow: AirflowServer, connector: Connector
) -> None:
    run = ran(airflow, "stock_count", "fail", "failed")
    task = attempt(connector, "stock_count.count", run)
    preview = allowed(connector, of_run(Verb.SKIP, task))
    assert "the run of stock_count stays failed; mark the run itself too" in preview.notes[0]
    connector.act(preview, new_key(), CALL_SECONDS)
    assert RunState.SKIPPED == attempt(connector, "stock_count.count", run).state
    assert "failed" == airflow.state("stock_count", run)
    airflow.behave("stock_count", "succeed")


def test_a_rerun_of_failed_tasks_with_what_follows_is_one_attempt_under_our_key(
    airflow: AirflowServer, connector: Connector
) -> None:
    failed = attempt(connector, "load_orders", ran(airflow, "load_orders", "fail", "failed"))
    preview = allowed(connector, of_run(Verb.RERUN, failed, scope="downstream"))
    assert ("clear failed and downstream tasks", ("load", "publish")) == (preview.verb, preview.affected)
    whole = allowed(connector, of_run(Verb.RERUN, failed, scope="all"))
    assert ("check_file", "load", "publish") == whole.affected
    airflow.behave("load_orders", "succeed")
    key = new_key()
    assert isinstance(connector.look_up(preview, key, CALL_SECONDS), ActionAbsent)
    with eating_answers(airflow.port, b"/clearTaskInstances HTTP") as port:
        cut_off = connect(f"http://127.0.0.1:{port}")
        with pytest.raises(AnswerLost):
            cut_off.act(preview, key, CALL_SECONDS)
        cut_off.close()
    assert isinstance(connector.look_up(preview, key, CALL_SECONDS), ActionFound)
    airflow.wait_for("load_orders", str(failed.period_key), "success")
    again = attempt(connector, "load_orders", str(failed.period_key))
    assert (RunState.SUCCEEDED, key) == (again.state, again.action_key)
