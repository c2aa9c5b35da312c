"""A real engine with its inbound endpoint, and real curl: every report answered with 200 is in the store after a
crash."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from connectors.heartbeat.spool import Spool
from tests.lab.headway import WORKING, Headway
from tests.lab.process import HANGS_SECONDS, LabError, accepts, free_port, tail, wait_until

TOKEN = "canary-0123456789abcdef"
EMPTY_REPLY, CONNECTION_RESET = 52, 56
"""Exit codes of curl."""
CONFIG = """
[systems.own]
kind = "heartbeat"
listen = "127.0.0.1:{port}"
spool = "{spool}"
poll_every = "{poll_every}"

[systems.own.jobs.export]
token = {{ env = "EXPORT_TOKEN" }}
title = "{title}"
"""


class Place:
    """One estate with an endpoint, and a client for it."""

    def __init__(self, folder: Path) -> None:
        self.port, self.folder = free_port(), folder
        self.write()
        self.headway = Headway(folder / "headway.toml", EXPORT_TOKEN=TOKEN)

    def write(self, poll_every: str = "1s", title: str = "nightly export", schedule: str = "") -> None:
        text = CONFIG.format(port=self.port, spool=self.folder / "spool.db", poll_every=poll_every, title=title)
        text += f'schedule = "{schedule}"\n' if schedule else ""
        (self.folder / "headway.toml").write_text(text)

    def curl(self, path: str, *arguments: str, is_up: bool = True) -> subprocess.CompletedProcess[str]:
        """`is_up`: sent once the engine listens."""
        if is_up:
            wait_until(lambda: accepts(self.port), "the engine to listen")
        argv = ["curl", "-fsS", *arguments, f"http://127.0.0.1:{self.port}/ping/{TOKEN}{path}"]
        return subprocess.run(argv, capture_output=True, text=True, timeout=HANGS_SECONDS)

    def runs(self) -> list[dict[str, Any]]:
        answer = self.headway.run_in_process("run", "own/export", "--json")
        return list(json.loads(answer.stdout)) if answer.exit_status == 0 else []

    def wait(self, what: str, query: Callable[[], object]) -> None:
        try:
            wait_until(query, what, pause=0.2)
        except LabError as error:
            raise LabError(f"{error}; {self.runs()}") from error


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.headway.stop_engine()


def states(place: Place) -> list[str]:
    return sorted(str(run["state"]).lower() for run in place.runs())


def test_curl_reports_a_run_and_its_log_is_read(place: Place) -> None:
    with place.headway.running_engine() as engine:
        assert "OK: started\n" == place.curl("/start?rid=1").stdout
        place.wait("the start", lambda: states(place) == ["running"])
        done = place.curl("/3?rid=1&rows=12", "--data-binary", "loaded 12\nno space left\n")
        assert (0, "OK\n") == (done.returncode, done.stdout)
        place.wait("the failure", lambda: states(place) == ["failed"])
        assert "no space left" in place.headway.run("log", "own/export").stdout
        assert 0 == place.curl("?rid=only-its-end").returncode
        place.wait("an end without a start", lambda: states(place) == ["failed", "succeeded"])
    text = tail(engine.log, 2000) + place.headway.run("status").stdout
    assert TOKEN not in text


def test_a_start_some_minutes_early_is_the_run_of_its_minute(place: Place) -> None:
    """A sender's clock that is ahead, or a person: the run was filed under the night before, and tonight's missed."""
    due = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=6)
    place.write(schedule=f"{due.minute} {due.hour} * * *")
    with place.headway.running_engine():
        assert 0 == place.curl("/start?rid=early").returncode
        place.wait("the start", lambda: "running" in states(place))
        [run] = [run for run in place.runs() if str(run["state"]).lower() == "running"]
        assert f"{due:%Y-%m-%dT%H:%M:%SZ}" == run["period_key"]


def test_what_was_answered_is_ingested_though_the_engine_was_killed_before(place: Place) -> None:
    """The engine dies each time it has read what came and not stored it yet. The call itself wakes the second poll,
    which may kill the engine before its answer is on the wire."""
    place.write("10s")
    engine = place.headway.start_engine(HEADWAY_FAILPOINT="poll.after_reply:kill:2")
    assert place.curl("/start?rid=1").returncode in (0, EMPTY_REPLY, CONNECTION_RESET)
    place.wait("the engine dies", lambda: not engine.is_running)
    place.headway.stop_engine()
    place.write()
    with place.headway.running_engine():
        place.wait("what came before", lambda: states(place) == ["running"])
        assert 0 == place.curl("?rid=1").returncode
        place.headway.stop_engine(crash=True)
        assert 0 != place.curl("?rid=1", is_up=False).returncode
    with place.headway.running_engine():
        place.wait("what came before", lambda: states(place) == ["succeeded"])
        assert 0 == place.curl("?rid=1").returncode
        assert ["succeeded"] == states(place)


def test_a_changing_config_refuses_no_report(place: Place) -> None:
    place.write("1s")
    with place.headway.running_engine() as engine:
        assert 0 == place.curl("/start?rid=first").returncode
        place.write("1s", title="another title")
        failed, numbers = list[str](), count(1)

        def reported_until_it_is_taken_up() -> bool:
            done = place.curl(f"/log?rid=first&n={next(numbers)}", "-d", "x", is_up=False)
            failed.extend([done.stderr] if done.returncode and "429" not in done.stderr else [])
            return tail(engine.log, 500).count(WORKING) > 1

        wait_until(reported_until_it_is_taken_up, "the config to be taken up", pause=1.0)
        assert [] == failed
        assert 2 == tail(engine.log, 500).count(WORKING), "the config was not taken up"


def test_an_occupied_address_is_reported(place: Place) -> None:
    import socket

    with socket.create_server(("127.0.0.1", place.port)), place.headway.running_engine():
        place.wait(
            "the trouble", lambda: "inbound endpoint of own/listener" in place.headway.run_in_process("status").stdout
        )
    assert not (place.folder / "spool.db").exists() or Spool(place.folder / "spool.db").last_listened() is None
