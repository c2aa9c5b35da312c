"""The engine's answers: no secrets, no terminal control, no unlimited cache."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.secrets import SecretRef
from connectors.sdk.states import RunState
from console.domain.ids import micros
from console.engine.api.actions import preview_action
from console.engine.api.requests import PreviewAction, ReadLog
from console.engine.api.server import Caller, RequestFailed
from console.store.errors import LeaseLost
from tests.action_requests import rerun_of
from tests.engine.actions.test_actions import two_systems
from tests.engine.bench import Bench
from tests.fakes.scheduler import FakeScheduler
from tests.lab.process import HANGS_SECONDS
from tests.present import present

HOSTILE = "mart\x1b]0;owned\x07\x1b[2J"


def failed(bench: Bench) -> int:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, present() - timedelta(minutes=1))
    bench.turn()
    with bench.reads() as reads:
        return reads.incidents.incident(1).row.root_run_id or 0


def answer(bench: Bench, question: int) -> dict[str, Any]:
    bench.parts.answers.step(bench.fence)
    request_answer = bench.requests().wait(question, HANGS_SECONDS)
    assert request_answer.ok, request_answer.error
    return request_answer.data


def test_a_secret_that_a_log_shows_is_masked_when_the_log_is_followed_too(bench: Bench) -> None:
    run_id = failed(bench)
    secret = bench.parts.secrets(SecretRef(env="BENCH_URL"))
    bench.scheduler.logs["a1"] = f"posting to {secret}\n"
    details = answer(bench, bench.requests().ask(ReadLog(run_id)))
    assert "posting to •••\n" == details["text"]


def test_a_secret_that_json_would_quote_is_not_given_along_with_a_start_either(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = failed(bench)
    monkeypatch.setattr(bench.parts.secrets, "mask", lambda text: text.replace('pä"ss', "•••"))

    def preview(parameters: dict[str, Any]) -> None:
        preview_action(
            bench.parts.answers._engine, PreviewAction(run_id, parameters=parameters), Caller("ann", "", bench.fence)
        )

    state: list[dict[str, Any]] = [{"a": ["b", 'xpä"ss']}, {'pä"ss': 1}]
    for given in state:
        with pytest.raises(RequestFailed, match="contain a secret of the config"):
            preview({"conf": given})
    for harmless in (None, {"a": [1, True, "ss"]}):
        preview({"conf": harmless})


def test_the_followers_of_a_preview_have_harmless_names(bench: Bench) -> None:
    bench.scheduler.job(HOSTILE, upstreams=("extract",))
    run_id = failed(bench)
    bench.scheduler.attempt(HOSTILE, "h1", RunState.FAILED, present())
    bench.poller._inventory_at = 0.0
    bench.turn()
    details = answer(bench, bench.requests().preview(rerun_of(run_id)))
    assert ["fake/mart"] == [name for name, _, _ in details["followers"]]


def test_a_preview_says_the_shortest_name_that_only_this_job_has(bench: Bench) -> None:
    run_id = failed(bench)
    assert "extract" == answer(bench, bench.requests().preview(rerun_of(run_id)))["confirm"]
    bench.scheduler.job("hourly/extract")
    bench.poller._inventory_at = 0.0
    bench.turn()
    assert "fake/extract" == answer(bench, bench.requests().preview(rerun_of(run_id)))["confirm"]


def test_answers_are_dropped_once_no_client_can_wait_for_them(bench: Bench) -> None:
    run_id = failed(bench)
    old, fresh = bench.requests().ask(ReadLog(run_id)), bench.requests().ask(ReadLog(run_id))
    answer(bench, old)
    answer(bench, fresh)
    with bench.store.write(None) as connection:
        before = micros(datetime.now(UTC) - timedelta(minutes=11))
        connection.rows("UPDATE request SET answered_us = ? WHERE id = ?", (before, old))
    bench.parts.answers._sweep_at = 0.0
    bench.parts.answers.step(bench.fence)
    with bench.store.read() as connection:
        assert [fresh] == [row[0] for row in connection.rows("SELECT id FROM request")]


def test_questions_to_a_system_that_hangs_hold_up_no_other_systems_answer(tmp_path: Path) -> None:
    free = threading.Event()

    def hang(_: str) -> None:
        free.wait()

    other = FakeScheduler()
    other.job("report")
    with two_systems(tmp_path, other) as bench:
        bench.scheduler.on_log = hang
        at = present() - timedelta(days=3)
        bench.scheduler.attempt("extract", "a1", RunState.FAILED, at)
        other.attempt("report", "r1", RunState.FAILED, at)
        for poller in bench.parts.pollers.values():
            poller.poll_once(bench.fence)
        for _ in range(8):
            bench.requests().ask(ReadLog(1))
        try:
            assert "run again" == answer(bench, bench.requests().preview(rerun_of(2)))["verb"]
        finally:
            free.set()


def test_an_engine_that_lost_its_lease_accepts_no_drift(bench: Bench) -> None:
    bench.poller.poll_once(bench.fence)
    old = bench.parts
    bench.restart()
    with pytest.raises(LeaseLost):
        old._accept_drift(1, 0, "somebody", "")
