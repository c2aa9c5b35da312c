"""Starts: the logical date of Airflow's own run, what Airflow would not run, and never a second run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.airflow.connector import AirflowConnector
from connectors.airflow.start import interval_start
from connectors.sdk.conformance.world import new_key
from connectors.sdk.contract import ActionFound
from connectors.sdk.errors import AnswerLost, NotSupported
from connectors.sdk.records import instant_key
from tests.connectors.airflow.support import DUE, allowed, latest, night, opened, start
from tests.fakes.airflow import FakeAirflow
from tests.rows import each_row


def quiet() -> tuple[FakeAirflow, AirflowConnector]:
    fake = night()
    return fake, opened(fake)


def test_a_start_takes_the_logical_date_that_airflows_own_run_would_have() -> None:
    _, connector = quiet()
    preview = allowed(connector, start())
    assert ("trigger", "trigger a run of stock_count for 2026-11-20 03:00Z") == (preview.verb, preview.summary)
    body = f'{{"dag_run_id": "headway__KEY", "logical_date": "{DUE}", "run_after": "{DUE}"}}'
    assert (f"POST /api/v2/dags/stock_count/dagRuns {body}",) == preview.native_calls
    connector.act(preview, new_key(), 5)
    assert "Airflow has this run: headway__" in str(connector.preview(start(), 5).refused)


def interval(fake: FakeAirflow, start: str, end: str) -> None:
    times = {"next_dagrun_logical_date": start, "next_dagrun_run_after": end}
    fake.details_of["stock_count"] = {
        **times,
        "next_dagrun_data_interval_start": start,
        "next_dagrun_data_interval_end": end,
    }


def test_the_next_run_of_a_dag_with_data_intervals_is_started_with_its_interval() -> None:
    fake, connector = quiet()
    interval(fake, "2026-11-19T03:00:00Z", DUE)
    preview, key = allowed(connector, start()), new_key()
    connector.act(preview, key, 5)
    row = fake.run("stock_count", f"headway__{key[8:]}")
    assert row is not None
    assert ("2026-11-19T03:00:00Z", "2026-11-19T03:00:00Z", DUE) == (
        row["logical_date"],
        row["data_interval_start"],
        row["data_interval_end"],
    )
    fake.tick()
    assert (DUE, key) == ((run := latest(connector, "stock_count")).period_key, run.action_key)


@pytest.mark.parametrize(
    "expression, zone, following, period, start",
    [
        (
            "0 3 * * *",
            "UTC",
            ("2026-11-20T03:00:00Z", "2026-11-21T03:00:00Z"),
            "2026-11-19T03:00:00Z",
            "2026-11-18T03:00:00Z",
        ),
        (
            "0 3 * * 1",
            "UTC",
            ("2026-11-16T03:00:00Z", "2026-11-23T03:00:00Z"),
            "2026-11-16T03:00:00Z",
            "2026-11-09T03:00:00Z",
        ),
        (
            "0 3 * * *",
            "Europe/Berlin",
            ("2026-11-19T02:00:00Z", "2026-11-20T02:00:00Z"),
            "2026-11-12T02:00:00Z",
            "2026-11-11T02:00:00Z",
        ),
        ("0 3 * * *", "UTC", ("2026-11-20T03:00:00Z", "2026-11-21T03:00:00Z"), "2026-11-19T04:00:00Z", None),
        ("0 3 * * *", "UTC", ("2026-11-20T01:00:00Z", "2026-11-21T03:00:00Z"), "2026-11-19T03:00:00Z", None),
        ("0 3 * * *", "UTC", ("2026-11-20T02:00:00Z", "2026-11-21T02:00:00Z"), "2026-11-19T02:00:00Z", None),
        ("1 day, 0:00:00", "UTC", ("2026-11-20T03:00:00Z", "2026-11-21T03:00:00Z"), "2026-11-19T03:00:00Z", None),
        (
            "0 3 * * *",
            "Europe/Berlin",
            ("2026-11-19T02:00:00Z", "2026-11-20T02:00:00Z"),
            "2026-10-25T02:00:00Z",
            None,
        ),
    ],
    ids=["daily", "weekly", "zone", "no instant", "odd interval", "another zone", "a delta", "the clock was changed"],
)
def test_an_earlier_data_interval_is_reported_only_where_the_expression_explains_the_next_one(
    expression: str, zone: str, following: tuple[str, str], period: str, start: str | None
) -> None:
    row = {
        "timetable_summary": expression,
        "timezone": zone,
        "next_dagrun_logical_date": following[0],
        "next_dagrun_data_interval_start": following[0],
        "next_dagrun_data_interval_end": following[1],
        "next_dagrun_run_after": following[1],
    }
    expected = datetime.fromisoformat(start) if start else None
    assert expected == interval_start(row, datetime.fromisoformat(period))


@each_row(
    "details, text",
    [
        ({"is_paused": True}, "stock_count is paused, not by Headway: the run would stay queued"),
        ({"allowed_run_types": ["scheduled"]}, "does not allow runs by hand"),
        ({"has_import_errors": True}, "cannot be imported"),
        ({"is_stale": True}, "cannot be imported or is missing"),
        ({"start_date": "2026-11-20T03:30:00Z"}, "marks an earlier run successful without running a task"),
        ({"next_dagrun_data_interval_start": "2026-11-01T00:00:00Z"}, "airflow backfill create --dag-id stock_count"),
    ],
)
def test_what_airflow_would_not_run_is_not_started(details: dict[str, Any], text: str) -> None:
    fake, connector = quiet()
    fake.details_of["stock_count"] = details
    assert text in str(connector.preview(start(), 5).refused)


def test_a_start_for_a_time_to_come_is_refused_because_its_tasks_would_wait() -> None:
    _, connector = quiet()
    later = instant_key(datetime(2030, 1, 1, tzinfo=UTC))
    assert "runs no task before the logical date of its run" in str(connector.preview(start(later), 5).refused)


def test_a_dag_without_a_period_is_started_without_a_date() -> None:
    fake, connector = quiet()
    preview, key = allowed(connector, start("")), new_key()
    assert "trigger a run of stock_count now, without a date" == preview.summary
    connector.act(preview, key, 5)
    row = fake.run("stock_count", f"headway__{key[8:]}")
    assert row is not None
    assert None is row["logical_date"]


def test_a_start_whose_answer_is_lost_is_found_and_never_doubled() -> None:
    fake, connector = quiet()
    preview, key = allowed(connector, start()), new_key()
    fake.lose_answer_of = "/dagRuns$"
    with pytest.raises(AnswerLost):
        connector.act(preview, key, 5)
    assert isinstance(connector.look_up(preview, key, 5), ActionFound)
    assert "was triggered under this key before" == connector.act(preview, key, 5).message
    with pytest.raises(NotSupported, match="has another run for"):
        connector.act(preview, new_key(), 5)
    assert 1 == len([row for row in fake.runs if row["dag_id"] == "stock_count"])


def test_a_task_is_not_started_by_itself() -> None:
    _, connector = quiet()
    with pytest.raises(NotSupported, match=r"Airflow has no DAG load_orders\.load; if that is a task"):
        connector.preview(start(dag="load_orders.load"), 5)
    assert "Airflow has no DAG gone" == connector.preview(start(dag="gone"), 5).refused


def test_a_start_takes_the_conf_that_is_given() -> None:
    fake = night()
    connector = opened(fake)
    spec = start()
    step = allowed(connector, replace(spec, parameters={**spec.parameters, "conf": {"region": "north"}}))
    assert '"conf": {"region": "north"}' in step.native_calls[0]
    assert {"region": "north"} == step.plan["conf"]
    connector.act(step, new_key(), 5)
    assert [{"region": "north"}] == [row["conf"] for row in fake.runs if row["dag_id"] == "stock_count"]


@each_row("conf", [["a"], "region", {"much": "x" * 20_000}, {"at": {1, 2}}])
def test_a_conf_that_cannot_be_sent_is_refused(conf: Any) -> None:
    connector = opened(night())
    refused = connector.preview(replace(start(), parameters={"conf": conf}), 5).refused
    assert "conf must be a table of plain values" in str(refused)
