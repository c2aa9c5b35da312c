"""The freeze and the shadow, by their commands: what leaves, what does not, and how that is said."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.states import RunState, Verb
from console.cli.exits import Exit
from console.cli.main import main
from console.domain.ids import new_action_key
from console.engine.api.action_request import ActionRequest
from console.store.actions import ActionStep, step_action
from console.store.errors import NotAllowed
from tests.engine.bench import Bench
from tests.engine.conftest import bench

__all__ = ["bench"]


def failed(bench: Bench) -> int:
    bench.scheduler.attempt(
        "extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=1), message="exit 1"
    )
    bench.turn()
    run_id = bench.reads().jobs.job("fake/extract").row.run_id
    assert run_id is not None
    return run_id


def headway(bench: Bench, *arguments: str) -> int:
    return main(["--store", bench.url, *arguments])


def rows(bench: Bench, sql: str) -> list[tuple[Any, ...]]:
    with bench.store.read() as connection:
        return [tuple(row) for row in connection.rows(sql)]


def in_shadow(bench: Bench) -> None:
    assert Exit.OK == headway(bench, "shadow", "on")


# -- freeze -----------------------------------------------------------------------------------------------------------
def test_a_freeze_stops_requests_made_before_and_during_it(bench: Bench) -> None:
    run_id, before = failed(bench), new_action_key()
    bench.requests().act(ActionRequest(Verb.RERUN, run_id), before)
    assert Exit.OK == headway(bench, "freeze", "--why", "the network is being moved")
    bench.parts.actions.step(bench.fence)
    [(state, text)] = rows(bench, "SELECT state, text FROM action")
    assert ("refused", []) == (state, bench.scheduler.acted)
    assert text.startswith("frozen by ")
    assert "the network is being moved; no action is sent. Thaw: headway freeze --off" in text
    with pytest.raises(NotAllowed, match="no action is sent"):
        bench.requests().act(ActionRequest(Verb.RERUN, run_id), new_action_key())


def test_a_freeze_after_the_last_evaluation_stops_every_intent(bench: Bench) -> None:
    """The intent and the freeze are rows of one store: one of them is first."""
    key = new_action_key()
    bench.requests().act(ActionRequest(Verb.RERUN, failed(bench)), key)
    headway(bench, "freeze")
    assert not step_action(bench.store, bench.fence, key, "requested", ActionStep("sending"), 1)


def test_a_freeze_stops_what_has_its_intent_and_waits_for_the_line(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's log was being read; the freeze was confirmed meanwhile."""
    bench.requests().act(ActionRequest(Verb.RERUN, failed(bench)), new_action_key())
    monkeypatch.setattr("console.engine.actions.sender.failpoint", lambda name: headway(bench, "freeze"))
    bench.parts.actions.step(bench.fence)
    assert [] == bench.scheduler.acted
    [(state, text)] = rows(bench, "SELECT state, text FROM action")
    assert ("failed", True) == (state, text.startswith("not sent: frozen by "))


def test_a_thaw_lets_actions_leave_again_and_both_are_in_the_audit(bench: Bench) -> None:
    run_id = failed(bench)
    headway(bench, "freeze", "--why", "a test")
    headway(bench, "freeze", "--off")
    bench.requests().act(ActionRequest(Verb.RERUN, run_id), new_action_key())
    bench.parts.actions.step(bench.fence)
    assert 1 == len(bench.scheduler.acted)
    results = rows(bench, "SELECT verb, object, why FROM audit WHERE object = 'freeze' ORDER BY seq")
    assert [("freeze", "freeze", "a test"), ("thaw", "freeze", "")] == results


def test_a_freeze_outlives_the_engine_and_appears_in_the_status(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    headway(bench, "freeze", "--why", "a test")
    bench.restart()
    headway(bench, "status")
    lines = capsys.readouterr().out.splitlines()
    end = ": a test; no action is sent. Thaw: headway freeze --off"
    assert [True] == [line.startswith(f"FROZEN by {getpass.getuser()} since ") and line.endswith(end)
                      for line in lines if "FROZEN" in line]  # fmt: skip
    frozen = bench.reads().estate.header().frozen
    assert frozen is not None
    assert "a test" == frozen.why


def test_alerts_leave_while_all_is_frozen(bench: Bench) -> None:
    headway(bench, "freeze")
    failed(bench)
    assert 1 == len(bench.sink.got)


def test_what_left_before_the_freeze_is_named(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    key = new_action_key()
    bench.requests().act(ActionRequest(Verb.RERUN, failed(bench)), key)
    with bench.store.write(None) as connection:
        connection.rows("UPDATE action SET state = 'unknown'")
    capsys.readouterr()
    headway(bench, "freeze", "--json")
    document = json.loads(capsys.readouterr().out)
    assert ["fake/extract", "rerun"] == document["in_flight"][0][:2]


def test_the_mode_of_the_estate_is_audited_as_the_estate_and_a_second_time_changes_nothing(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    in_shadow(bench)
    headway(bench, "shadow", "on")
    assert "headway: it was in shadow already" in capsys.readouterr().err
    headway(bench, "shadow", "off", "--why", "observed")
    headway(bench, "shadow", "off")
    assert "headway: it was live already" in capsys.readouterr().err
    changes = rows(bench, "SELECT verb, object, why FROM audit WHERE verb LIKE 'shadow %' ORDER BY seq")
    assert ("shadow off", "estate", "observed") == changes[-1]


# -- shadow -----------------------------------------------------------------------------------------------------------
def test_in_shadow_nobody_is_notified_and_the_report_lists_the_notifications_withheld(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    in_shadow(bench)
    run_id = failed(bench)
    assert [] == bench.sink.got
    with pytest.raises(NotAllowed, match="fake is in shadow"):
        bench.requests().act(ActionRequest(Verb.RERUN, run_id), new_action_key())
    capsys.readouterr()
    headway(bench, "shadow", "report", "--json")
    document = json.loads(capsys.readouterr().out)
    assert ({"would have notified": 1}, 1) == (document["counts"], document["refused"])
    assert "would have notified oncall: opened: fake/extract failed" in document["events"][0]["text"]


def test_the_report_counts_an_action_that_is_refused_before_it_is_sent(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.requests().act(ActionRequest(Verb.RERUN, failed(bench)), new_action_key())
    in_shadow(bench)
    bench.parts.actions.step(bench.fence)
    capsys.readouterr()
    headway(bench, "shadow", "report", "--json")
    assert 1 == json.loads(capsys.readouterr().out)["refused"]


def test_a_freeze_is_no_shadow(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Its reason may even say so."""
    run_id = failed(bench)
    headway(bench, "freeze", "--why", "fake is in shadow: a test")
    with pytest.raises(NotAllowed, match="frozen"):
        bench.requests().act(ActionRequest(Verb.RERUN, run_id), new_action_key())
    capsys.readouterr()
    headway(bench, "shadow", "report", "--json")
    assert 0 == json.loads(capsys.readouterr().out)["refused"]


def test_an_incident_open_when_shadow_ends_is_notified_then(bench: Bench) -> None:
    in_shadow(bench)
    failed(bench)
    headway(bench, "shadow", "off")
    bench.turn()
    assert ["INC-0001" in title for _, title, _ in bench.sink.got] == [True]
    bench.turn()
    assert 1 == len(bench.sink.got)


def test_a_single_live_service_has_its_routes_notified(bench: Bench) -> None:
    in_shadow(bench)
    assert Exit.OK == headway(bench, "shadow", "off", "--service", "supply")
    failed(bench)
    assert 1 == len(bench.sink.got)


def test_one_system_turned_live_is_acted_on(bench: Bench) -> None:
    in_shadow(bench)
    assert Exit.OK == headway(bench, "shadow", "off", "--system", "fake")
    bench.requests().act(ActionRequest(Verb.RERUN, failed(bench)), new_action_key())
    bench.parts.actions.step(bench.fence)
    assert 1 == len(bench.scheduler.acted)
    assert ("the estate, but for system fake",) == bench.reads().estate.header().in_shadow


def test_the_whole_turned_leaves_no_exception_behind(bench: Bench) -> None:
    """Else a shadow that somebody believes in would still send."""
    bench.turn()
    headway(bench, "shadow", "on", "--system", "fake")
    headway(bench, "shadow", "off", "--system", "fake")
    in_shadow(bench)
    assert ("the whole estate",) == bench.reads().estate.header().in_shadow
    headway(bench, "shadow", "off")
    assert () == bench.reads().estate.header().in_shadow


@pytest.mark.parametrize(
    "scope", [["--system", "nope"], ["--service", "nope"], ["--dependency", "fake/extract", "fake/nope"]]
)
def test_a_scope_that_is_not_there_is_refused_and_nothing_is_turned(
    bench: Bench, scope: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    bench.turn()
    assert Exit.NOT_FOUND == headway(bench, "shadow", "off", *scope)
    assert "nope" in capsys.readouterr().err
    assert [("mode", "live")] == rows(bench, "SELECT name, value FROM switch")


@pytest.mark.parametrize(
    "made, text", [(False, "there is no store at"), (True, "is a folder. Fix: name the file of the store in it")]
)
def test_a_freeze_without_a_store_says_what_makes_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], made: bool, text: str
) -> None:
    store = tmp_path / "s.db"
    if made:
        store.mkdir()
    assert Exit.USAGE == main(["--store", str(store), "freeze"])
    assert text in capsys.readouterr().err
