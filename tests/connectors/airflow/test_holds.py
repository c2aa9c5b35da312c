"""Holds: a paused DAG with the hold mark in a note, what a person did before us, and every place where we may break."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from connectors.airflow import hold as airflow_hold
from connectors.airflow.connector import AirflowConnector
from connectors.sdk.conformance.world import new_key
from connectors.sdk.contract import SENT_AT, ActionAbsent, ActionFound, ActionSpec, ActionUnknown, HoldMark
from connectors.sdk.errors import AccessRefused, AnswerLost, NotSupported, OutcomeUnknown, SystemUnreachable
from connectors.sdk.records import RunRef, instant_key
from connectors.sdk.states import RunState, Verb
from tests.connectors.airflow.support import allowed, night, opened
from tests.factories import note_text
from tests.fakes.airflow import FakeAirflow
from tests.rows import each_row

RUN = "scheduled__1"
UNTIL = "2026-11-20T06:30:00Z"


def quiet_night() -> tuple[FakeAirflow, AirflowConnector]:
    """stock_count has one green run, whose note Ada wrote."""
    fake = night()
    fake.start("stock_count", RUN, note="seen by Ada")
    fake.tick()
    return fake, opened(fake)


def hold(dag: str = "stock_count", **more: Any) -> ActionSpec:
    return ActionSpec(Verb.HOLD, RunRef(dag, "", "", ""), RunState.PLANNED, {"by": "ada", "until": UNTIL, **more})


def release(key: str, dag: str = "stock_count") -> ActionSpec:
    return ActionSpec(Verb.RELEASE, RunRef(dag, "", "", ""), RunState.HELD, {"hold": key})


def held_night() -> tuple[FakeAirflow, AirflowConnector, str]:
    fake, connector = quiet_night()
    key = new_key()
    connector.act(allowed(connector, hold()), key, 5)
    return fake, connector, key


def test_a_hold_says_where_its_mark_will_stand_and_what_a_pause_does() -> None:
    _, connector = quiet_night()
    preview = allowed(connector, hold())
    text = f"pause the DAG stock_count until {UNTIL} at the latest, marked by its note"
    assert ("pause the DAG", text) == (preview.verb, preview.summary)
    mark = f"… headway-hold id=KEY by=ada until={UNTIL}"
    assert (
        f'PATCH /api/v2/dags/stock_count/dagRuns/{RUN} {{"note": "{mark}"}}',
        'PATCH /api/v2/dags/stock_count {"is_paused": true}',
    ) == preview.native_calls
    assert (
        "no run of it starts, not by hand or by backfill either: such runs stay queued",
        "when it is released, Airflow makes the latest run that fell due meanwhile (catchup is off)",
    ) == preview.notes


@each_row(
    "details, text",
    [
        ({"catchup": True}, "when it is released, Airflow makes every run that fell due meanwhile (catchup is on)"),
        ({"timetable_periodic": None}, "when it is released, Airflow makes the latest run that fell due meanwhile"),
        ({"timetable_periodic": False, "asset_expression": {"any": []}}, "updates of its assets while it is paused"),
        ({"timetable_periodic": False, "asset_expression": None}, "it has no schedule: after its release nothing"),
    ],
)
def test_the_effect_of_a_release_is_shown_before_the_hold(details: dict[str, Any], text: str) -> None:
    fake, connector = quiet_night()
    fake.details_of["stock_count"] = details
    assert note_text(allowed(connector, hold()).notes[-1]).startswith(text)


def test_cancelling_a_running_run_states_that_it_stops_after_its_task() -> None:
    fake, connector = quiet_night()
    fake.start("stock_count", "manual__2")
    text = (
        "runs of stock_count are active: manual__2 (queued): tasks that run go on to their end, downstream tasks wait"
    )
    assert note_text(allowed(connector, hold()).notes[1]).startswith(text)


def test_a_mark_is_written_before_the_pause_below_what_people_wrote() -> None:
    fake, connector, key = held_night()
    assert f"seen by Ada\nheadway-hold id={key} by=ada until={UNTIL}" == fake.runs[0]["note"]
    assert {"stock_count"} == fake.paused
    patched = [path for method, path in fake.requests if method == "PATCH"]
    assert [f"/api/v2/dags/stock_count/dagRuns/{RUN}", "/api/v2/dags/stock_count"] == patched
    (native_hold,) = connector.holds(5)
    assert ("stock_count", key, "ada", f"note of run {RUN} of stock_count") == (
        native_hold.job,
        native_hold.mark.id,
        native_hold.mark.by,
        native_hold.where,
    )


def test_a_hold_is_found_below_later_runs() -> None:
    fake, connector, key = held_night()
    for number in range(20):
        fake.start("stock_count", f"manual__{number}")
    assert [key] == [hold.mark.id for hold in connector.holds(5)]
    assert "stock_count is paused already, by Headway for ada until" in str(connector.preview(hold(), 5).refused)


@pytest.mark.parametrize(
    "ask, text",
    [
        (
            hold("load_orders"),
            "load_orders has no run yet whose note has room for the mark of a hold: pause it by hand",
        ),
        (hold("gone"), "Airflow has no DAG gone"),
        (hold(until="soon"), 'until "soon"'),
    ],
)
def test_what_cannot_be_held_says_why(ask: ActionSpec, text: str) -> None:
    _, connector = quiet_night()
    assert text in str(connector.preview(ask, 5).refused)


def test_a_note_that_is_full_is_passed_over_for_an_older_run() -> None:
    fake, connector = quiet_night()
    fake.start("stock_count", "manual__2", note="x" * 950)
    assert RUN == allowed(connector, hold()).plan["run"]


def test_a_task_is_not_held_by_itself() -> None:
    _, connector = quiet_night()
    with pytest.raises(NotSupported, match="hold no single task, hold its DAG"):
        connector.preview(hold("stock_count.count"), 5)


# what a person did


def test_a_dag_that_a_person_pauses_after_the_preview_is_not_held() -> None:
    fake, connector = quiet_night()
    preview = allowed(connector, hold())
    fake.paused.add("stock_count")
    with pytest.raises(NotSupported, match="is paused by now, and not by this hold; nothing was sent"):
        connector.act(preview, new_key(), 5)
    assert "seen by Ada" == fake.runs[0]["note"]
    assert "stock_count is paused already, not by Headway" == connector.preview(hold(), 5).refused
    assert isinstance(connector.look_up(preview, new_key(), 5), ActionUnknown)
    assert () == connector.holds(5)


def test_a_person_who_takes_the_mark_away_has_the_pause() -> None:
    fake, connector, key = held_night()
    preview = allowed(connector, release(key))
    fake.runs[0]["note"] = "mine now, Ada"
    assert "someone else paused it" in str(connector.preview(release(key), 5).refused)
    with pytest.raises(NotSupported, match="no longer records this hold; nothing was sent"):
        connector.act(preview, new_key(), 5)
    assert {"stock_count"} == fake.paused
    assert isinstance(connector.look_up(preview, new_key(), 5), ActionUnknown)


def test_a_person_who_resumes_the_dag_leaves_only_the_mark_to_take_away() -> None:
    fake, connector, key = held_night()
    fake.paused.clear()
    preview = allowed(connector, release(key))
    assert ("remove the mark", 1) == (preview.verb, len(preview.native_calls))
    assert "stock_count is released" == connector.act(preview, new_key(), 5).message
    assert ("seen by Ada", set()) == (fake.runs[0]["note"], fake.paused)
    assert str(connector.preview(release(key), 5).refused).startswith("stock_count is not held")


# where we may break


def test_a_hold_that_broke_after_its_mark_is_absent_and_its_mark_goes() -> None:
    """A person's next pause would be taken for ours."""
    fake, connector = quiet_night()
    preview, key = allowed(connector, hold()), new_key()
    fake.lose_answer_of = f"dagRuns/{RUN}$"
    fake.runs[0]["note"] = f"seen by Ada\n{HoldMark(key, 'ada', datetime(2026, 11, 20, 6, 30, tzinfo=UTC)).text}"
    sent = replace(preview, plan={**preview.plan, SENT_AT: instant_key(datetime.now(UTC))})
    assert isinstance(connector.look_up(sent, key, 5), ActionUnknown)
    assert key in fake.runs[0]["note"], "the pause may still come, and would have no mark"
    assert isinstance(connector.look_up(preview, key, 5), ActionAbsent)
    assert "seen by Ada" == fake.runs[0]["note"]


def test_a_pause_whose_answer_is_lost_is_found() -> None:
    fake, connector = quiet_night()
    preview, key = allowed(connector, hold()), new_key()
    assert isinstance(connector.look_up(preview, key, 5), ActionAbsent)
    fake.lose_answer_of = "/dags/stock_count$"
    with pytest.raises(AnswerLost):
        connector.act(preview, key, 5)
    assert isinstance(connector.look_up(preview, key, 5), ActionFound)
    assert "stock_count was paused, and its note records this hold" == connector.act(preview, key, 5).message


def test_a_pause_that_is_refused_leaves_the_note_as_it_was() -> None:
    fake, connector = quiet_night()
    preview = allowed(connector, hold())
    fake.forbidden = "/dags/stock_count$"
    with pytest.raises(AccessRefused, match="Forbidden"):
        connector.act(preview, new_key(), 5)
    assert ("seen by Ada", set()) == (fake.runs[0]["note"], fake.paused)


def test_a_release_with_a_lost_answer_is_found_and_its_mark_removed_then() -> None:
    fake, connector, key = held_night()
    preview, mine = allowed(connector, release(key)), new_key()
    assert isinstance(connector.look_up(preview, mine, 5), ActionAbsent)
    fake.lose_answer_of = "/dags/stock_count$"
    with pytest.raises(AnswerLost):
        connector.act(preview, mine, 5)
    assert key in fake.runs[0]["note"]
    assert isinstance(connector.look_up(preview, mine, 5), ActionFound)
    assert ("seen by Ada", set()) == (fake.runs[0]["note"], fake.paused)


@each_row(
    "details, text",
    [
        (
            {"next_dagrun_run_after": "2030-01-01T00:00:00Z"},
            "its next run is due 2030-01-01T00:00:00Z: Airflow makes none",
        ),
        (
            {"next_dagrun_run_after": "2026-11-20T03:00:00Z"},
            "Airflow makes the latest run that is due at once, at",
        ),
        (
            {"next_dagrun_run_after": "2026-11-20T03:00:00Z", "catchup": True},
            "Airflow makes every missed run at once, from 2026-11-20T03:00:00Z on",
        ),
        ({"timetable_periodic": False, "asset_expression": {"any": []}}, "updates of its assets while it is paused"),
        ({"timetable_periodic": False, "asset_expression": None}, "no schedule: no run is created automatically"),
    ],
)
def test_a_release_says_what_airflow_does_then(details: dict[str, Any], text: str) -> None:
    fake, connector, key = held_night()
    fake.details_of["stock_count"] = details
    fake.start("stock_count", "manual__2")
    preview = allowed(connector, release(key))
    assert "go on at once: manual__2 (queued)" == preview.notes[0]
    assert note_text(preview.notes[1]).startswith(text)


def test_too_many_paused_dags_are_reported_and_not_partly_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, connector, _ = held_night()
    monkeypatch.setattr(airflow_hold, "MAX_PAUSED_DAGS", 1)
    fake.paused.add("load_orders")
    with pytest.raises(SystemUnreachable, match="more than 1 DAGs are paused"):
        connector.holds(5)
    assert 1 == len(opened(fake, dags=["stock_*"]).holds(5))


@pytest.mark.parametrize("paused_again", [False, True])
def test_the_mark_alone_goes_and_a_later_pause_stays_the_persons(paused_again: bool) -> None:
    """A person resumed the DAG in Airflow's own screens: the mark stays in the note, and their next pause is theirs."""
    fake, connector, key = held_night()
    fake.paused.discard("stock_count")
    assert () == connector.holds(5)
    assert [(key, True)] == [(hold.mark.id, hold.bare) for hold in connector.holds(5, ["stock_count", "unheard"])]
    ask = replace(release(key), parameters={"hold": key, "enable": "no"})
    preview = allowed(connector, ask)
    assert "remove the mark" == preview.verb
    if paused_again:
        fake.paused.add("stock_count")
    connector.act(preview, new_key(), 5)
    assert ("seen by Ada", paused_again) == (fake.runs[0]["note"], "stock_count" in fake.paused)
    assert isinstance(connector.look_up(preview, new_key(), 5), ActionFound)
    with pytest.raises(NotSupported, match="no longer records this hold"):
        connector.act(preview, new_key(), 5)


def test_a_refused_pause_whose_mark_stays_is_unknown() -> None:
    fake, connector = quiet_night()
    preview = allowed(connector, hold())

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH" and request.url.path.endswith("/dags/stock_count"):
            fake.forbidden = "/dagRuns/"
            return httpx.Response(403, json={"detail": "Forbidden"})
        return fake.handle(request)

    with pytest.raises(OutcomeUnknown, match="the changes before it are left: "):
        opened(fake, httpx.MockTransport(handle)).act(preview, new_key(), 5)
    assert "headway-hold" in fake.runs[0]["note"]


def test_a_list_of_runs_that_cannot_be_read_does_not_prove_that_the_mark_is_gone() -> None:
    fake, connector, key = held_night()
    preview = allowed(connector, replace(release(key), parameters={"hold": key, "enable": "no"}))

    def handle(request: httpx.Request) -> httpx.Response:
        is_list = request.url.path.endswith("/dagRuns")
        return httpx.Response(200, json={"total_entries": 1}) if is_list else fake.handle(request)

    answer = opened(fake, httpx.MockTransport(handle)).look_up(preview, new_key(), 5)
    assert isinstance(answer, ActionUnknown)
    assert "has no list 'dag_runs'" in answer.why
