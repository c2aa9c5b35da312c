"""Asking the engine: short transactions on the store, whatever its name, its writer or its state."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.sdk.states import RunState
from console.cli.main import main
from console.domain.ids import new_action_key
from console.engine.api.action_request import AlreadyRequested
from console.engine.api.client import EngineClient
from console.engine.api.requests import ReadLog
from console.store.errors import NotFound, StoreUnusable
from tests.action_requests import rerun_of
from tests.engine.bench import Bench
from tests.lab.process import HANGS_SECONDS
from tests.reasons import dated
from tests.store.ready import open_ready

PREVIEW = {"verb": "run again", "summary": "run it again", "scope": "1 run"}


def test_an_answer_is_polled_for_while_somebody_writes(bench: Bench) -> None:
    """A console refreshes ten times a second: it must neither wait for the engine's ingest nor delay it."""
    question = bench.requests().ask(ReadLog(1))
    with bench.store.write(None):
        assert bench.requests().answer(question) is None


def test_a_rerun_of_a_deleted_run_is_refused_and_not_watched_for_ever(bench: Bench) -> None:
    with pytest.raises(NotFound, match="run 4711"):
        bench.requests().act(rerun_of(4711, PREVIEW), new_action_key())


@pytest.mark.parametrize("name", ["50% done#1.db", "what?.db"])
def test_a_store_with_an_odd_name_is_the_one_that_is_used(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    open_ready(str(path)).close()
    for url in (str(path), f"sqlite:///{path}"):
        assert EngineClient(url).answer(EngineClient(url).ask(ReadLog(1))) is None


def test_a_locked_store_is_reported_in_one_line_with_its_place(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.poller.poll_once(bench.fence)
    monkeypatch.setattr("console.store.db.client.BUSY_SECONDS", 0.05)
    holder = sqlite3.connect(bench.url, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreUnusable, match=r"headway\.db: database is locked"):
            bench.requests().ask(ReadLog(1))
        assert 2 == main(["--store", bench.url, "system", "drift", "accept", "fake/extract", "--change", "1"])
    finally:
        holder.close()
    assert f"headway: the store at {bench.url}: database is locked\n" == capsys.readouterr().err


def test_a_rerun_appears_in_the_timeline_of_the_incident_of_its_run(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC))
    bench.turn()
    bench.requests().act(rerun_of(1, PREVIEW), new_action_key())
    bench.parts.actions.step(bench.fence)
    with bench.reads() as reads:
        view = reads.incidents.incident(1)
    assert [("action", "run again: fake/extract")] == [(event.kind, dated(event.text)) for event in view.events[1:]]
    assert ["sent"] == [action.state for action in view.actions]


def test_of_many_who_ask_for_one_run_at_once_one_is_heard(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC))
    bench.poller.poll_once(bench.fence)
    refused: list[str] = []

    def ask() -> None:
        try:
            bench.requests().act(rerun_of(1, PREVIEW), new_action_key())
        except AlreadyRequested as error:
            refused.append(str(error))

    people = [threading.Thread(target=ask) for _ in range(6)]
    for thread in people:
        thread.start()
    for thread in people:
        thread.join(HANGS_SECONDS)
    with bench.reads() as reads:
        assert (1, 5) == (len(reads.actions.list_actions(run_id=1)), len(refused))
