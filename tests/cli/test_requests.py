"""How long a command waits for an engine, and what it says meanwhile."""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from datetime import UTC, datetime, timedelta

import pytest

from connectors.sdk.states import RunState, Verb
from console.cli import requests
from console.cli.clock_format import command_zone, share_service_zone
from console.cli.exits import Exit
from console.cli.main import main
from console.engine.api.action_request import ActionRequest
from console.engine.api.client import EngineClient
from console.engine.api.queue import RequestAnswer
from console.store.db.lease import holder_name
from tests.action_requests import rerun_of
from tests.engine.bench import Bench
from tests.engine.conftest import bench
from tests.lab.process import HANGS_SECONDS

__all__ = ["bench"]


def failed(bench: Bench) -> None:
    bench.scheduler.attempt(
        "extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=1), message="exit 1"
    )
    bench.turn()


def test_a_preview_shows_its_times_in_the_zone_of_the_command() -> None:
    """The connectors write UTC."""
    until = "until 2026-11-26T19:09:09Z"
    with command_zone(in_utc=False):
        share_service_zone({"Europe/Berlin"})
        preview = {"verb": "hold", "summary": f"hold {until}", "scope": until}
        lines = requests.preview_lines("hosts/load", preview, Verb.HOLD)
    assert ["hold until 2026-11-26 20:09:09 CET", "scope     until 2026-11-26 20:09:09 CET"] == [
        lines[0], lines[2].strip()
    ]  # fmt: skip


def hold(bench: Bench, holder: str) -> None:
    with bench.store.write(None) as connection:
        connection.rows("UPDATE lease SET holder = ?", (holder,))


@pytest.mark.parametrize("texts", [["rerun", "fake/extract"], ["recover", "INC-0001"]])
def test_an_unresponsive_engine_is_waited_for_no_longer_than_requested(
    texts: list[str], bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(bench)
    waited, wait = list[float](), EngineClient.wait

    def note(client: EngineClient, request_id: int, seconds: float) -> RequestAnswer:
        waited.append(seconds)
        return wait(client, request_id, seconds)

    monkeypatch.setattr(EngineClient, "wait", note)
    assert Exit.REFUSED == main(["--store", bench.url, *texts, "--yes", "--timeout", "0.3"])
    assert 0 < sum(waited) <= 0.3
    assert "did not answer in 0s; it still has the request" in capsys.readouterr().err
    assert [] == bench.scheduler.acted


def test_an_answer_at_the_end_of_a_wait_is_accepted(bench: Bench) -> None:
    class Late(EngineClient):
        """Its wait ends a moment before the answer is there."""

        def wait(self, request_id: int, seconds: float) -> RequestAnswer:
            early = RequestAnswer(False, {}, "no answer in 1 s; is an engine running?")
            bench.parts.answers.step(bench.fence)
            bench.parts.answers.close()
            return early

    failed(bench)
    run_id = bench.reads().jobs.job("fake/extract").row.run_id
    assert run_id is not None
    late = Late(bench.url)
    arguments = argparse.Namespace(store=bench.url, config=None)
    assert "plan" in requests.wait_for_answer(arguments, late, late.preview(rerun_of(run_id)), 5)


def test_an_engine_that_dies_before_its_answer_is_not_waited_for(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "ENGINE_CHECK_SECONDS", 0.05)
    failed(bench)
    other, preview = subprocess.Popen(["sleep", "infinity"]), EngineClient.preview

    def dies(client: EngineClient, action: ActionRequest) -> int:
        number = preview(client, action)
        other.kill()
        other.wait(HANGS_SECONDS)
        return number

    monkeypatch.setattr(EngineClient, "preview", dies)
    hold(bench, holder_name().replace(f":{os.getpid()}~", f":{other.pid}~"))
    begun = time.monotonic()
    assert Exit.NO_ENGINE == main(["--store", bench.url, "rerun", "fake/extract", "--yes", "--timeout", "3600"])
    assert time.monotonic() - begun < HANGS_SECONDS
    assert "the request waits for the next engine" in capsys.readouterr().err


def test_a_watching_command_prints_every_minute_what_it_waits_for(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(bench)
    monkeypatch.setattr(requests, "PROGRESS_SECONDS", 0.2)
    client = bench.requests()
    question = client.preview(rerun_of(1))
    bench.parts.answers.step(bench.fence)
    client.act(rerun_of(1, client.wait(question, HANGS_SECONDS).data), "hw-0123456789ab")
    parsed = argparse.Namespace(store=bench.url, config=None, timeout=0.5, json=False)
    assert Exit.UNKNOWN == requests.watch_action(parsed, 1, "hw-0123456789ab")
    assert "waits for the engine; Ctrl-C stops watching only" in capsys.readouterr().err
