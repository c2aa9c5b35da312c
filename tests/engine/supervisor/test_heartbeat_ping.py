"""The dead-man ping: sent while the engine is well, silent when it is not, to the configured origin only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from connectors.sdk.secrets import SecretRef, SecretStore
from console.config.sections import AlertSettings
from console.engine import worker as health_module
from console.engine.evaluation.evaluator import Evaluator
from console.engine.supervisor import dead_mans_switch as ping_module
from console.engine.supervisor.assembly import EngineAssembly
from console.engine.supervisor.dead_mans_switch import DeadMansSwitch, PingFailed, fetch
from console.engine.supervisor.engine import Engine
from console.engine.supervisor.health import EngineHealth
from console.engine.worker import Pulse
from console.store.alert_routing import FailedDeliveries
from console.store.queries import open_queries
from tests.fakes.web_server import web_server
from tests.invariants.worlds import Sink, World, config_of
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.store.ready import open_ready

TOKEN = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


@dataclass
class Watcher:
    """Somebody outside who waits for pings."""

    url: str = ""
    got: list[str] = field(default_factory=list)
    answer: Callable[[str], tuple[int, Mapping[str, str]]] = lambda path: (200, {})
    answering: threading.Event = field(default_factory=threading.Event)
    """Requests wait until it is set."""

    def handle(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        self.got.append(path)
        self.answering.wait(HANGS_SECONDS)
        status, headers = self.answer(path)
        return httpx.Response(status, headers=headers)


@contextmanager
def listening() -> Iterator[Watcher]:
    made = Watcher()
    made.answering.set()
    with web_server(made.handle) as address:
        made.url = f"{address}/ping/{TOKEN}"
        yield made


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    with listening() as made:
        yield made


def health(pulses: Mapping[str, Pulse] | None = None, hanging: Mapping[str, float] | None = None) -> EngineHealth:
    return EngineHealth(lambda: pulses or {}, lambda _: hanging or {}, list, list)


def test_the_ping_requests_the_address_with_its_query(watcher: Watcher) -> None:
    fetch(f"{watcher.url}?status=up")
    assert [f"/ping/{TOKEN}?status=up"] == watcher.got


def test_a_redirect_is_followed_within_the_origin(watcher: Watcher) -> None:
    watcher.answer = lambda path: (200, {}) if path.endswith("/") else (301, {"Location": f"{path}/"})
    fetch(watcher.url)
    assert [f"/ping/{TOKEN}", f"/ping/{TOKEN}/"] == watcher.got


def test_f59_a_redirect_to_another_origin_is_not_followed_and_the_token_stays_here(watcher: Watcher) -> None:
    with listening() as other:
        watcher.answer = lambda path: (302, {"Location": other.url})
        with pytest.raises(PingFailed, match=r"the answer \(302\) redirects to another origin"):
            fetch(watcher.url)
    assert [] == other.got


def test_a_redirect_without_end_ends(watcher: Watcher) -> None:
    watcher.answer = lambda path: (302, {"Location": f"{path}x"})
    with pytest.raises(PingFailed, match="redirects to another origin"):
        fetch(watcher.url)
    assert 4 == len(watcher.got)


@pytest.mark.parametrize(
    "url", [f"http://hc.example/{TOKEN}", f"https://me:pw@hc.example/{TOKEN}", "file:///etc/passwd"]
)
def test_an_address_that_would_leak_is_refused(url: str) -> None:
    with pytest.raises(PingFailed) as refused:
        fetch(url)
    assert TOKEN not in str(refused.value)


def test_a_watcher_that_hangs_is_left_at_the_deadline(watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ping_module, "SECONDS", 0.3)
    watcher.answering.clear()
    try:
        with pytest.raises(PingFailed, match=r"no answer within 0\.3 s"):
            fetch(watcher.url)
    finally:
        watcher.answering.set()


def test_a_failure_is_reported_without_the_address(watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PING_URL", watcher.url)
    watcher.answer = lambda path: (404, {})
    well = health()
    DeadMansSwitch(SecretRef(env="PING_URL"), SecretStore(), well).step()
    assert "the heartbeat ping fails: " in well.text()
    assert "404" in well.text()
    assert TOKEN not in well.text()
    watcher.answer = lambda path: (200, {})
    DeadMansSwitch(SecretRef(env="PING_URL"), SecretStore(), well).step()
    assert "" == well.text()


def test_a_silent_part_stops_the_ping_and_a_failing_ping_does_not(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PING_URL", watcher.url)
    monkeypatch.setattr(health_module, "BEAT_TOLERANCE_SECONDS", 0.0)
    pulse = Pulse()
    pulse.beat(60)
    well = health({"evaluate": pulse})
    ping = DeadMansSwitch(SecretRef(env="PING_URL"), SecretStore(), well)
    well.set_ping_error("404")
    ping.step()
    assert 1 == len(watcher.got)
    pulse.beat(-30)
    ping.step()
    assert 1 == len(watcher.got)
    text = well.text()
    assert text.startswith("engine error, see its log: evaluate does not respond since ")
    pulse.beat(-3600)
    assert text == well.text(), "its start does not change with its length"


def test_a_hung_delivery_stops_the_ping_and_is_reported() -> None:
    assert (
        'sending to route "oncall", URL 1 hangs since '
        in health(hanging={'sending to route "oncall", URL 1': 130.0}).unhealthy_reason()
    )


def test_a_hung_scheduler_is_reported_and_stops_no_ping() -> None:
    """Alerts leave all the same: whoever waits for the ping would be called for nothing."""
    assigned = {"sending to etl-hosts/db07": 130.0}
    well = EngineHealth(dict, lambda _: {}, list, list, lambda _: assigned)
    text = well.text()
    assert ("", True) == (well.unhealthy_reason(), text.startswith("sending to etl-hosts/db07 hangs since "))
    assigned["sending to etl-hosts/db07"] = 7200.0
    assert text == well.text(), "its start does not change with its length"
    assigned.clear()
    assert "" == well.text()


def test_undelivered_alerts_are_no_error_of_the_engine() -> None:
    retried = [FailedDeliveries("oncall", 1, "mail:25: Connection refused")]
    parked = [FailedDeliveries("boss", 2, "550 no such user")]
    made = EngineHealth(dict, lambda _: {}, lambda: parked, lambda: retried)
    failing = "2 alerts abandoned: boss, 550 no such user (headway alert)"
    assert f"{failing}; 1 alert not delivered: oncall, mail:25: Connection refused (headway alert)" == made.text()
    made.set_failed_workers("poller RuntimeError")
    assert made.text().startswith(f"engine error, see its log: poller RuntimeError; {failing}")


@pytest.mark.deep
def test_f10_a_stopped_evaluator_stops_the_ping_and_is_a_banner(
    tmp_path: Path, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole engine; its evaluator hangs as no exception would show."""
    from dataclasses import replace

    monkeypatch.setenv("PING_URL", watcher.url)
    monkeypatch.setattr(health_module, "BEAT_TOLERANCE_SECONDS", 1.0)
    for seconds in ("EVERY_SECONDS", "FIRST_SECONDS"):
        monkeypatch.setattr(ping_module, seconds, 0.1)
    alerts = AlertSettings(ping=SecretRef(env="PING_URL"))
    config = replace(config_of(tmp_path, World(tmp_path, "good")), alerts=alerts)
    store, hung, go = open_ready(str(tmp_path / "headway.db")), threading.Event(), threading.Event()
    step = Evaluator.step

    def hangs(self: Evaluator, fence: int) -> float:
        if hung.is_set():
            go.wait(HANGS_SECONDS)
        return step(self, fence)

    monkeypatch.setattr(Evaluator, "step", hangs)
    ping, rounds = DeadMansSwitch.step, list[int]()

    def counted(self: DeadMansSwitch) -> None:
        ping(self)
        rounds.append(len(watcher.got))

    monkeypatch.setattr(DeadMansSwitch, "step", counted)
    secrets = SecretStore()
    engine = Engine(
        lambda: EngineAssembly(config, store, secrets, Sink(tmp_path)),
        EngineAssembly(config, store, secrets, Sink(tmp_path)),
        3,
    )
    thread = threading.Thread(target=engine.run)
    thread.start()
    try:
        wait_until(lambda: len(watcher.got) > 2, "its pings")
        hung.set()
        wait_until(lambda: "evaluate does not respond" in trouble(store.url), "the banner")
        rounds.clear()
        wait_until(lambda: len(rounds) > 4, "four rounds after the one that was under way")
        assert {rounds[0]} == {*rounds}
        go.set()
        wait_until(lambda: len(watcher.got) > rounds[0] + 2, "pings again")
        wait_until(lambda: not trouble(store.url), "the banner to go")
    finally:
        go.set()
        engine.stop()
        thread.join(HANGS_SECONDS)
        store.close()


def trouble(url: str) -> str:
    with open_queries(url) as reads:
        return reads.estate.header().engine.trouble
