"""SIGTERM, SIGINT and the SIGHUP of its terminal end the engine within five seconds and with code 0, whatever hangs
(F3)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from connectors.sdk.contract import Preview, Receipt
from console.cli.main import main
from console.domain.ids import new_action_key
from console.domain.message import Message
from console.engine.api.client import EngineClient
from console.engine.notify.paging import Page
from console.engine.notify.senders import SendResult
from console.engine.supervisor.assembly import EngineAssembly
from console.store.queries import open_queries
from tests.action_requests import rerun_of
from tests.invariants import engines
from tests.invariants.worlds import Sink, World
from tests.lab.process import HANGS_SECONDS, wait_until

CONFIG = """\
[estate]
store = "headway.db"

[systems.silent]
kind = "airflow"
url = "http://127.0.0.1:{port}"
username = "headway"
password = {{ env = "SILENT_PASSWORD" }}
poll_every = "1s"
poll_timeout = "1h"
"""


@dataclass
class Silent:
    """Takes every connection and never answers."""

    accepted: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        try:
            while True:
                self.accepted.append(self.server.accept()[0])
        except OSError:
            return

    def close(self) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        for connection in [self.server, *self.accepted]:
            connection.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    made = Silent()
    yield made
    made.close()


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.lab),
        pytest.param(signal.SIGHUP, marks=pytest.mark.lab),
    ],
)
def test_f03_an_engine_whose_target_never_answers_ends_in_time_and_well(
    tmp_path: Path, silent: Silent, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "headway.toml"
    config.write_text(CONFIG.format(port=silent.port))
    argv = [sys.executable, "-m", "console", "--config", str(config), "engine", "--with-parent"]
    argv += ["--log-file", str(tmp_path / "log")]
    environment = {**os.environ, "SILENT_PASSWORD": "secret"}
    ours, terminal = os.openpty()  # SIGHUP means that it is gone
    engine = subprocess.Popen(argv, env=environment, stdin=terminal, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: bool(silent.accepted), "the engine's first call")
        begun = time.monotonic()
        engine.send_signal(number)
        _, message = engine.communicate()
        took = time.monotonic() - begun
    finally:
        engine.kill()
        engine.wait(HANGS_SECONDS)
        os.close(ours)
        os.close(terminal)
    assert (0, "") == (engine.returncode, message)
    assert took < HANGS_SECONDS
    assert 3 == main(["--config", str(config), "status"])
    assert "no engine has run since" in capsys.readouterr().out


@pytest.mark.lab
def test_f03_an_engine_whose_receiver_and_whose_action_hang_ends_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, hung = threading.Event(), set()

    def never_sent(*_: str) -> SendResult:
        hung.add("receiver")
        let_go.wait()
        return SendResult(None)

    def never_acted(self: object, preview: Preview, key: str, timeout_seconds: float) -> Receipt:
        hung.add("action")
        let_go.wait()
        return Receipt("")

    monkeypatch.setattr(Sink, "__call__", never_sent)
    monkeypatch.setattr("tests.invariants.worlds.WorldConnector.act", never_acted)
    good = World(tmp_path, "good")
    good.fail("extract")
    try:
        with engines.running(tmp_path, good) as engine:
            wait_until(lambda: "receiver" in hung, "the sender to hang")
            ask_rerun(str(tmp_path / "headway.db"))
            wait_until(lambda: "action" in hung, "the action to hang")
            engine.engine.stop()
            begun = time.monotonic()
            engine.thread.join(HANGS_SECONDS)
            took = time.monotonic() - begun
    finally:
        let_go.set()
    assert took < HANGS_SECONDS


def ask_rerun(url: str) -> None:
    requests = EngineClient(url)
    with open_queries(url) as reads:
        run_id = reads.incidents.incident(1).row.root_run_id
    assert run_id is not None
    answer = requests.wait(requests.preview(rerun_of(run_id)), HANGS_SECONDS)
    assert answer.ok, answer.error
    requests.act(rerun_of(run_id, answer.data), new_action_key())


def test_f03_what_was_being_sent_gets_a_moment_to_be_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every restart in mid send would be a repeat for somebody."""
    sending, finishing = threading.Event(), threading.Event()
    real, finish = Sink.__call__, EngineAssembly.finish

    def slow(self: Sink, url: str, message: Message, page: Page) -> SendResult:
        sending.set()
        finishing.wait(HANGS_SECONDS)
        return real(self, url, message, page)

    def finished(self: EngineAssembly, until: float) -> None:
        finishing.set()
        finish(self, until)

    monkeypatch.setattr(Sink, "__call__", slow)
    monkeypatch.setattr(EngineAssembly, "finish", finished)
    good = World(tmp_path, "good")
    good.fail("extract")
    with engines.running(tmp_path, good) as engine:
        assert sending.wait(HANGS_SECONDS)
    with open_queries(str(tmp_path / "headway.db")) as reads:
        [delivery] = reads.incidents.incident(1).deliveries
    assert ("sent", 0, 1) == (delivery.state, delivery.repeats, len(engine.sink.got))
