"""Which alertmanager:// URLs are refused, what check and init say of them, and which alerts are refreshed."""

from __future__ import annotations

import sqlite3
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest

from connectors.sdk.secrets import SecretRef, SecretStore
from connectors.sdk.states import RunState
from console.config.alerts import RouteSettings
from console.diagnosis.routes import send_test_message
from console.engine.notify import alertmanager, outbox
from console.engine.notify.alertmanager import AlertmanagerChannel, post_alerts
from console.engine.notify.channels import Channels
from console.engine.notify.paging import Page, PageAction
from console.engine.notify.self_monitoring import PROBLEM_TITLES, STORE, SelfMonitor
from console.engine.notify.senders import Outgoing, SendResult
from console.store.outbox import DueDelivery
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.lab.process import free_port, wait_seconds
from tests.lab.sinks import Behaviour, HttpSink
from tests.messages import message_of
from tests.rows import each_row


@each_row(
    "url, fault",
    [
        ("alertmanager://am.example.com", ""),
        ("alertmanagers://ann:CANARY@am.example.com:443/prefix", ""),
        ("alertmanager://ann:CANARY@127.0.0.1:9093", ""),
        ("alertmanager://ann:CANARY@am.example.com", "am.example.com: the password "),
        ("alertmanager://", "server: missing"),
        ("alertmanager://am:99999", "server or port: "),
        ("alertmanager://am?x=1", "nothing may follow the path"),
    ],
)
def test_check_names_the_wrong_part_without_the_password(url: str, fault: str) -> None:
    result = Channels(None).of(url).problem()
    assert fault in result
    assert bool(fault) == bool(result)
    assert "CANARY" not in result


def test_an_alert_of_another_form_hides_no_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    good = {"labels": {"incident": "INC-0001"}, "annotations": {}, "startsAt": "2026-11-24T03:00:00Z", "endsAt": "…"}
    odd = [7, {}, {**good, "annotations": None}, {**good, "labels": {"incident": 1}}, {**good, "endsAt": 0}]
    reply = httpx.Response(200, json=[*odd, good])
    monkeypatch.setattr(alertmanager, "_request", lambda *_, **__: reply)
    assert [good] == alertmanager.active_alerts("alertmanager://127.0.0.1:9093")


def test_a_first_route_is_tried_with_a_test_that_ends() -> None:
    sink = HttpSink()
    sink.start()
    try:
        assert "" == send_test_message(f"alertmanager://ann:pass@127.0.0.1:{sink.port}/am/")
        opened, ended = [post.data[0] for post in sink.posts]
        assert opened["labels"] == ended["labels"]
        assert (True, True) == (opened["endsAt"] > opened["startsAt"], ended["endsAt"] == ended["startsAt"])
        assert {"/am/api/v2/alerts"} == {post.path for post in sink.posts}
        assert sink.posts[0].headers["Authorization"].startswith("Basic ")
        sink.behaviour = Behaviour(status=503)
        assert "HTTP 503: ok" == send_test_message(f"alertmanager://127.0.0.1:{sink.port}")
    finally:
        sink.stop()


@pytest.fixture
def sinks() -> Iterator[tuple[HttpSink, HttpSink]]:
    pair = HttpSink(), HttpSink()
    for sink in pair:
        sink.start()
    yield pair
    for sink in pair:
        sink.stop()


@pytest.fixture
def bench(tmp_path: Path, sinks: tuple[HttpSink, HttpSink], monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """An engine whose route names both as Alertmanagers, refreshed whenever the test requests it."""
    scheduler = FakeScheduler()
    for job in ("extract", "load"):
        scheduler.job(job)
    for place, sink in enumerate(sinks):
        monkeypatch.setenv(f"AM_URL_{place}", f"alertmanager://127.0.0.1:{sink.port}")
    monkeypatch.setattr(outbox, "REFRESH_SECONDS", 0.0)
    route = RouteSettings(urls=(SecretRef(env="AM_URL_0"), SecretRef(env="AM_URL_1")))
    config = replace(estate_config(tmp_path, scheduler), routes={"oncall": route})
    with running_bench(tmp_path, scheduler, config) as made:
        yield made


def fail(bench: Bench) -> None:
    ended = datetime.now(UTC) - timedelta(minutes=4)
    bench.scheduler.attempt("extract", "1", RunState.FAILED, ended - timedelta(minutes=1), ended_at=ended)
    bench.turn()


def recover(bench: Bench) -> None:
    ended = datetime.now(UTC) - timedelta(minutes=1)
    bench.scheduler.attempt("extract", "1", RunState.SUCCEEDED, ended - timedelta(minutes=1), ended_at=ended)
    bench.turn()


def refresh(bench: Bench, sink: HttpSink) -> list[dict[str, Any]]:
    """The alerts that a refresh sends to the sink."""
    before = len(sink.posts)
    bench.parts.outbox.refresh_alertmanagers(bench.fence)
    return [alert for post in sink.posts[before:] for alert in post.data]


def change(bench: Bench, statement: str) -> None:
    with bench.store.write(bench.fence) as session:
        session.rows(statement)


def about_incident(title: str, action: PageAction) -> Outgoing:
    message = message_of(title)
    return Outgoing(
        DueDelivery(1, "oncall", 0, message, "key", 0, 0, False, incident_id=1), message, Page("key", action)
    )


def test_a_reopened_incident_is_not_refreshed_with_its_recovery(bench: Bench, sinks: tuple[HttpSink, HttpSink]) -> None:
    fail(bench)
    assert 1 == len(refresh(bench, sinks[0]))
    recover(bench)
    change(bench, "UPDATE incident SET closed_us = NULL")
    assert [] == refresh(bench, sinks[0])


def test_a_late_message_about_a_closed_incident_ends_its_alert(bench: Bench, sinks: tuple[HttpSink, HttpSink]) -> None:
    """Its recovery may have been sent already, by another route with the same URL."""
    fail(bench)
    change(bench, "UPDATE incident SET closed_us = 1")
    url = f"alertmanager://127.0.0.1:{sinks[0].port}"
    assert AlertmanagerChannel(url, bench.store).send(about_incident("Update", PageAction.UPDATE)).arrived
    [alert] = sinks[0].posts[-1].data
    assert ("INC-0001", alert["startsAt"]) == (alert["labels"]["incident"], alert["endsAt"])


def test_an_incident_that_closes_without_a_message_is_ended_by_the_next_refresh_once(
    bench: Bench, sinks: tuple[HttpSink, HttpSink]
) -> None:
    """Such as one whose recovery is reported by a digest."""
    fail(bench)
    sent = sinks[0].posts[-1].data[0]
    change(bench, "UPDATE incident SET closed_us = 1")
    sinks[0].behaviour = Behaviour(status=503)
    refresh(bench, sinks[0])
    sinks[0].behaviour = Behaviour()
    [ended] = refresh(bench, sinks[0])
    assert (sent["labels"], sent["annotations"]) == (ended["labels"], ended["annotations"])
    assert ended["endsAt"] < sent["endsAt"]
    assert [] == refresh(bench, sinks[0])


def test_a_refresh_opens_no_connection_to_the_store(
    bench: Bench, sinks: tuple[HttpSink, HttpSink], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(bench)
    connect = Mock(side_effect=sqlite3.connect)
    monkeypatch.setattr(sqlite3, "connect", connect)
    [alert] = refresh(bench, sinks[0])
    assert 0 == connect.call_count
    labels = {"alertname": "HeadwayIncident", "incident": "INC-0001", "severity": "warning", "system": "fake"}
    assert labels | {"job": "fake/extract", "owner": "team", "service": "supply"} == alert["labels"]
    assert {"summary", "description", "failed_since", "act_by"} <= alert["annotations"].keys()


def test_a_refusal_that_repeats_a_secret_is_masked_before_it_is_cut(sinks: tuple[HttpSink, HttpSink]) -> None:
    secrets = SecretStore()
    secrets.add("CANARY-cmd-S3cret/Key+9q")
    sinks[0].behaviour = Behaviour(400, body=b"e" * 190 + b"CANARY-cmd-S3cret/Key+9q")
    refused = post_alerts(f"alertmanager://127.0.0.1:{sinks[0].port}", [])
    assert (True, False) == ("HTTP 400: eee" in refused.reason, "CANARY" in secrets.mask(refused.reason))


def test_certificates_are_loaded_once_and_only_for_https(
    sinks: tuple[HttpSink, HttpSink], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Mock(side_effect=ssl.create_default_context)
    monkeypatch.setattr(ssl, "create_default_context", load)
    assert post_alerts(f"alertmanager://127.0.0.1:{sinks[0].port}", []).arrived
    assert 0 == load.call_count
    for _ in range(2):
        assert not post_alerts(f"alertmanagers://127.0.0.1:{free_port()}", []).arrived
    assert 1 >= load.call_count


def test_open_incidents_are_read_before_each_post_of_a_refresh(
    bench: Bench, sinks: tuple[HttpSink, HttpSink], monkeypatch: pytest.MonkeyPatch
) -> None:
    def post_and_close(url: str, alerts: list[dict[str, Any]]) -> SendResult:
        result = post_alerts(url, alerts)
        change(bench, "UPDATE incident SET closed_us = 1")
        return result

    fail(bench)
    monkeypatch.setattr(alertmanager, "post_alerts", post_and_close)
    assert 1 == len(refresh(bench, sinks[0]))
    first, second = [sink.posts[-1].data[0]["endsAt"] for sink in sinks]
    assert first > datetime.now(UTC).isoformat() > second


def test_a_recovery_is_sent_after_a_refresh_that_read_its_incident_as_open(sinks: tuple[HttpSink, HttpSink]) -> None:
    channel = AlertmanagerChannel(f"alertmanager://127.0.0.1:{sinks[0].port}", None)
    recovery = threading.Thread(target=channel.send, args=(about_incident("Resolved", PageAction.RESOLVE),))

    def read() -> dict[int, Outgoing]:
        recovery.start()
        wait_seconds(0.3)  # for a recovery that waits for no refresh
        return {1: about_incident("Open", PageAction.OPEN)}

    assert channel.refresh(read).arrived
    recovery.join()
    assert ["Open", "Resolved"] == [post.data[0]["annotations"]["summary"] for post in sinks[0].posts]


def test_headways_own_trouble_is_sent_while_the_store_is_unusable(
    bench: Bench, sinks: tuple[HttpSink, HttpSink]
) -> None:
    SelfMonitor({STORE: 0.0}).report(bench.parts, None, {STORE: "database or disk is full"})
    for sink in sinks:
        [alert] = sink.wait_for(1)[0].data
        assert ("Headway", True) == (alert["labels"]["alertname"], "key" in alert["labels"])
        assert f"Headway bench: {PROBLEM_TITLES[STORE]}" == alert["annotations"]["summary"]
