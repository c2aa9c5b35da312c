"""Airflow's own backfills: previewed by its dry run, made once under our key, paused, resumed and cancelled."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.airflow import start
from connectors.airflow.client import AirflowClient
from connectors.airflow.connector import AirflowConnector
from connectors.sdk.conformance.world import new_key
from connectors.sdk.contract import ActionAbsent, ActionFound, ActionSpec, ActionUnknown
from connectors.sdk.errors import NotSupported, OutcomeUnknown, SystemUnreachable
from connectors.sdk.records import RunRef
from connectors.sdk.states import RunState, Verb
from connectors.sdk.transport.http import HttpReply
from tests.connectors.airflow.support import allowed, night, opened
from tests.fakes.airflow import FakeAirflow
from tests.fakes.airflow2 import FakeAirflow2

SPAN = {"from": "2026-11-12T00:00:00Z", "to": "2026-11-14T23:59:59Z"}


def ask(**parameters: Any) -> ActionSpec:
    return ActionSpec(Verb.BACKFILL, RunRef("stock_count", "", "", ""), RunState.PLANNED, parameters or SPAN)


@pytest.fixture
def fake() -> FakeAirflow:
    return night()


@pytest.fixture
def connector(fake: FakeAirflow) -> AirflowConnector:
    return opened(fake)


def made(connector: AirflowConnector) -> tuple[str, str]:
    """The number of a new one, and its key."""
    key = new_key()
    return connector.act(allowed(connector, ask()), key, 5).native_ref, key


def test_a_new_one_is_shown_by_airflows_own_dry_run_and_made_once(
    fake: FakeAirflow, connector: AirflowConnector
) -> None:
    preview, key = allowed(connector, ask(**SPAN, reprocess="failed", at_once=2)), new_key()
    assert ("2026-11-12T00:00:00Z", "2026-11-13T00:00:00Z", "2026-11-14T00:00:00Z") == preview.affected
    assert "3 runs of stock_count, 2 at once" == preview.scope
    assert preview.native_calls[0].startswith(
        'POST /api/v2/backfills {"dag_id": "stock_count", "from_date": "2026-11-12T'
    )
    assert [] == fake.backfills, "a dry run makes none"
    assert isinstance(connector.look_up(preview, key, 5), ActionAbsent)
    assert "1" == connector.act(preview, key, 5).native_ref
    assert "1" == connector.act(preview, key, 5).native_ref
    [row] = fake.backfills
    assert ({"headway": key}, "failed", 2) == (row["dag_run_conf"], row["reprocess_behavior"], row["max_active_runs"])
    assert ActionFound("1", "backfill 1 was made; see headway plan backfill --list") == connector.look_up(
        preview, key, 5
    )


def test_a_lost_answer_is_found_by_the_key(fake: FakeAirflow, connector: AirflowConnector) -> None:
    preview, key = allowed(connector, ask()), new_key()
    fake.lose_answer_of = "backfills$"
    with pytest.raises(OutcomeUnknown):
        connector.act(preview, key, 5)
    assert isinstance(connector.look_up(preview, key, 5), ActionFound)
    assert isinstance(connector.look_up(preview, new_key(), 5), ActionAbsent)


def test_a_second_one_of_the_dag_is_refused_by_airflow(connector: AirflowConnector) -> None:
    preview = allowed(connector, ask())
    made(connector)
    with pytest.raises(NotSupported, match="already a running backfill"):
        connector.act(preview, new_key(), 5)


def test_it_is_paused_resumed_and_cancelled_by_its_number(fake: FakeAirflow, connector: AirflowConnector) -> None:
    number = int(made(connector)[0])
    for do, text in (("pause", "paused"), ("resume", "active"), ("cancel", "completed")):
        preview, key = allowed(connector, ask(do=do, backfill=number)), new_key()
        assert isinstance(connector.look_up(preview, key, 5), ActionAbsent)
        assert f"backfill {number} is {text}" == connector.act(preview, key, 5).message
        assert ActionFound(str(number), f"backfill {number} is {text}") == connector.look_up(preview, key, 5)
    for do in ("pause", "resume", "cancel"):
        assert "ended at" in str(connector.preview(ask(do=do, backfill=number), 5).refused)
    fake.backfills.clear()
    assert isinstance(connector.look_up(preview, key, 5), ActionUnknown)


def test_those_under_way_are_listed_of_a_dag_and_of_all(fake: FakeAirflow, connector: AirflowConnector) -> None:
    assert () == connector.preview(ask(do="list"), 5).backfills
    number = int(made(connector)[0])
    fake.start("stock_count", "backfill__2026-11-12", run_type="backfill")
    of_it, of_all = (connector.preview(ask(do="list", of=of), 5) for of in ("job", "system"))
    assert of_it.backfills == of_all.backfills
    [backfill] = of_it.backfills
    assert (number, "stock_count", False, 1) == (backfill.number, backfill.job, backfill.paused, backfill.at_once)
    assert ("2026-11-12", "2026-11-14") == (backfill.first[:10], backfill.last[:10])
    assert "a list" in str(of_it.refused), "nothing of it can be sent"
    connector.act(allowed(connector, ask(do="pause", backfill=number)), new_key(), 5)
    assert [True] == [backfill.paused for backfill in connector.preview(ask(do="list"), 5).backfills]
    connector.act(allowed(connector, ask(do="cancel", backfill=number)), new_key(), 5)
    assert () == connector.preview(ask(do="list"), 5).backfills, "it is over"


def test_one_with_many_open_runs_hides_no_other(fake: FakeAirflow, connector: AirflowConnector) -> None:
    """All its runs are made at once, and wait for their turn."""
    made(connector)
    other = ActionSpec(Verb.BACKFILL, RunRef("load_orders", "", "", ""), RunState.PLANNED, SPAN)
    connector.act(allowed(connector, other), new_key(), 5)
    for number in range(150):
        fake.start("stock_count", f"backfill__{number}", run_type="backfill")
    fake.start("load_orders", "backfill__x", run_type="backfill")
    preview = connector.preview(ask(do="list", of="system"), 5)
    assert ["load_orders", "stock_count"] == [backfill.job for backfill in preview.backfills]
    assert () == preview.notes


def test_exceeding_the_limit_of_open_runs_is_reported(
    fake: FakeAirflow, connector: AirflowConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "MAX_OPEN_RUN_PAGES", 1)
    for number in range(150):
        fake.start("stock_count", f"backfill__{number}", run_type="backfill")
    [note] = connector.preview(ask(do="list", of="system"), 5).notes
    assert "further DAGs may have active ones" in note


@pytest.mark.parametrize("body", [b"{}", b'{"backfills": null}'])
def test_an_answer_without_a_list_proves_nothing(
    connector: AirflowConnector, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    preview, key = allowed(connector, ask()), new_key()
    reply = HttpReply("Airflow", "GET", 200, {"content-type": "application/json"}, body, None)
    monkeypatch.setattr(AirflowClient, "backfills", lambda *_: reply)
    with pytest.raises(SystemUnreachable, match="has no list 'backfills'"):
        connector.look_up(preview, key, 5)
    with pytest.raises(SystemUnreachable, match="has no list 'backfills'"):
        connector.preview(ask(do="list"), 5)


def test_rows_that_are_none_are_no_runs(connector: AirflowConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = b'{"backfills": ["2026-11-12", null, 7], "total_entries": 3}'
    reply = HttpReply("Airflow", "POST", 200, {"content-type": "application/json"}, odd, None)
    monkeypatch.setattr(AirflowClient, "preview_backfill", lambda *_: reply)
    assert "nothing to do" in str(connector.preview(ask(), 5).refused)


@pytest.mark.parametrize(
    "parameters, text",
    [
        ({**SPAN, "from": "2026-11-15T00:00:00Z"}, "from the earlier one to the later"),
        ({"from": "2026-11-12", "to": "2026-11-13"}, "instants with a zone"),
        ({**SPAN, "reprocess": "all"}, "reprocess is one of none, failed, completed"),
        ({**SPAN, "at_once": 0}, "at_once 1 to 100"),
        ({"do": "cancel", "backfill": 77}, "no backfill 77 of stock_count"),
        ({"do": "cancel"}, "no backfill None of stock_count"),
        ({"do": "burn"}, "made, paused, resumed or cancelled, not burn"),
    ],
)
def test_what_cannot_be_done_is_refused(connector: AirflowConnector, parameters: dict[str, Any], text: str) -> None:
    assert text in str(connector.preview(ask(**parameters), 5).refused)


def test_that_of_another_dag_is_left_alone(connector: AirflowConnector) -> None:
    number = int(made(connector)[0])
    other = ActionSpec(
        Verb.BACKFILL, RunRef("load_orders", "", "", ""), RunState.PLANNED, {"do": "cancel", "backfill": number}
    )
    assert f"no backfill {number} of load_orders" in str(connector.preview(other, 5).refused)


def test_airflow_2_has_none_over_rest_and_says_what_there_is() -> None:
    connector = opened(fake := night(), FakeAirflow2(fake).transport)
    assert "Airflow 2 has no backfills over REST: airflow dags backfill" in str(connector.preview(ask(), 5).refused)
