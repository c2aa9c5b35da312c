"""Marks that outlived their holds: on a DAG that is paused under another hold, or that nobody holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from connectors.airflow.connector import AirflowConnector
from connectors.conformance import new_key
from connectors.contract import CannotTell, HoldMark
from tests.connectors.airflow.support import allowed
from tests.connectors.airflow.test_holds import held_night, hold, quiet_night, release
from tests.fakes.airflow import FakeAirflow


def held_anew() -> tuple[FakeAirflow, AirflowConnector, str, str]:
    """A person resumed the DAG and left the mark; by a hold above it the DAG is paused again."""
    fake, connector, old = held_night()
    fake.paused.discard("stock_count")
    fake.start("stock_count", "manual__2")
    fake.tick()
    new = new_key()
    connector.act(allowed(connector, hold()), new, 5)
    return fake, connector, old, new


def test_a_mark_below_a_newer_hold_is_told_as_left_and_not_as_gone() -> None:
    fake, connector, old, new = held_anew()
    assert [(new, False), (old, True)] == [(one.mark.id, one.bare) for one in connector.holds(5, ["stock_count"])]
    preview = allowed(connector, replace(release(old), parameters={"hold": old, "enable": "no"}))
    connector.act(preview, new_key(), 5)
    assert [(new, False)] == [(one.mark.id, one.bare) for one in connector.holds(5, ["stock_count"])]
    assert {"stock_count"} == fake.paused


def test_each_mark_of_a_dag_that_a_person_resumed_is_told() -> None:
    fake, connector, old, new = held_anew()
    fake.paused.clear()
    assert [(new, True), (old, True)] == [(one.mark.id, one.bare) for one in connector.holds(5, ["stock_count"])]


def test_a_hold_is_not_written_below_the_mark_of_another() -> None:
    """Which of two marks has the pause is told by their order alone."""
    fake, connector = quiet_night()
    fake.start("stock_count", "manual__2", note="x" * 880)
    fake.tick()
    run = fake.runs[-1]
    mark = HoldMark(new_key(), "ada", datetime(2026, 11, 20, 6, 30, tzinfo=UTC))
    run["note"] = f"{run['note']}\n{mark.text}"
    longer = hold(by="somebody.with.a.name.that.is.long")
    assert "whose note has room" in str(connector.preview(longer, 5).refused)


def test_a_dag_that_does_not_tell_whether_it_is_paused_is_neither_held_nor_called_free() -> None:
    fake, connector, key = held_night()
    preview = allowed(connector, release(key))
    fake.paused.clear()
    fake.details_of["stock_count"] = {"is_paused": None}
    assert isinstance(connector.look_up(preview, new_key(), 5), CannotTell)
    assert () == connector.holds(5, ["stock_count"])
