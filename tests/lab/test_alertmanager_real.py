"""Debian's Alertmanager gets incidents: one alert each, refreshed, ended, grouped and inhibited by its own rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.sdk.secrets import SecretRef
from connectors.sdk.states import RunState
from console.config.alerts import RouteSettings
from console.domain.job import Safety
from console.domain.message import Message
from console.domain.settings import JobSetting
from console.engine.notify import outbox
from console.engine.notify.alertmanager import AlertmanagerChannel, alertmanager_fault, post_alerts
from console.engine.notify.paging import Page, PageAction
from console.engine.notify.senders import Outgoing
from console.store.outbox import DueDelivery
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.lab.process import Daemon, ask, free_port, wait_until
from tests.lab.sinks import HttpSink
from tests.messages import message_of


@dataclass
class Alertmanager:
    """A real one, with a webhook as its receiver."""

    port: int
    sink: HttpSink

    @property
    def url(self) -> str:
        return f"alertmanager://127.0.0.1:{self.port}"

    def alerts(self) -> dict[str, dict[str, Any]]:
        """Active alerts by incident, else by key."""
        document = ask("GET", f"http://127.0.0.1:{self.port}/api/v2/alerts").json()
        return {alert["labels"].get("incident") or alert["labels"]["key"]: alert for alert in document}


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    sink = HttpSink()
    sink.start()
    try:
        with running_alertmanager(tmp_path, f"http://127.0.0.1:{sink.port}/") as port:
            yield Alertmanager(port, sink)
    finally:
        sink.stop()


@contextmanager
def running_alertmanager(folder: Path, webhook: str) -> Iterator[int]:
    """Its port."""
    port = free_port()
    config = {
        "route": {"receiver": "hook", "group_by": ["system"], "group_wait": "2s", "group_interval": "2s"},
        "receivers": [{"name": "hook", "webhook_configs": [{"url": webhook}]}],
        "inhibit_rules": [
            {"source_matchers": ['service="supply"'], "target_matchers": ['job="fake/other"'], "equal": ["system"]}
        ],
    }
    (folder / "alertmanager.yml").write_text(json.dumps(config))
    argv = [
        "prometheus-alertmanager", f"--config.file={folder / 'alertmanager.yml'}", "--cluster.listen-address=",
        f"--storage.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    daemon = Daemon(argv, folder / "alertmanager.log", {})
    daemon.start()
    try:
        wait_until(lambda: answers(port), "Alertmanager is ready")
        yield port
    finally:
        daemon.stop()


def answers(port: int) -> bool:
    try:
        return ask("GET", f"http://127.0.0.1:{port}/-/ready").is_success
    except httpx.HTTPError:
        return False


@pytest.fixture
def bench(tmp_path: Path, alertmanager: Alertmanager, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    scheduler = FakeScheduler()
    for job in ("extract", "load", "other", "third"):
        scheduler.job(job)
    config = estate_config(tmp_path, scheduler)
    monkeypatch.setenv("AM_URL", alertmanager.url)
    owned = {f"fake/{name}": JobSetting(f"fake/{name}", owner="team", rerun=Safety.SAFE) for name in ("other", "third")}
    config = replace(
        config, jobs={**config.jobs, **owned}, routes={"oncall": RouteSettings(urls=(SecretRef(env="AM_URL"),))}
    )
    with running_bench(tmp_path, scheduler, config) as made:
        yield made


def minutes_ago(number: int) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=number)


def test_an_incident_is_one_alert_that_is_refreshed_and_ended(
    bench: Bench, alertmanager: Alertmanager, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.scheduler.attempt("extract", "1", RunState.FAILED, minutes_ago(5), ended_at=minutes_ago(4))
    bench.turn()
    [(name, alert)] = alertmanager.alerts().items()
    assert "INC-0001" == name
    labels = alert["labels"]
    assert ("HeadwayIncident", "fake", "fake/extract", "team", "supply") == tuple(
        labels[key] for key in ("alertname", "system", "job", "owner", "service")
    )
    assert [] == bench.sink.got
    assert "extract" in alert["annotations"]["summary"]
    first_end = alert["endsAt"]
    bench.parts.outbox.refresh_alertmanagers(bench.fence)
    refreshed = alertmanager.alerts()["INC-0001"]
    assert (first_end < refreshed["endsAt"], alert["fingerprint"]) == (True, refreshed["fingerprint"])
    assert alert["annotations"] == refreshed["annotations"]
    before = refreshed["endsAt"]
    bench.parts.outbox.refresh_alertmanagers(bench.fence)
    assert before == alertmanager.alerts()["INC-0001"]["endsAt"], "only once a minute"
    bench.scheduler.attempt("extract", "1", RunState.SUCCEEDED, minutes_ago(2), ended_at=minutes_ago(1))
    bench.turn()
    wait_until(lambda: not alertmanager.alerts(), "the alert ends")
    monkeypatch.setattr(outbox, "REFRESH_SECONDS", 0.0)
    bench.parts.outbox.refresh_alertmanagers(bench.fence)
    assert {} == alertmanager.alerts()


def test_an_escalation_ends_the_alert_with_the_labels_before(
    bench: Bench, alertmanager: Alertmanager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alertmanager knows an alert by its labels, and routes by severity."""

    def firing() -> list[str]:
        document = ask("GET", f"http://127.0.0.1:{alertmanager.port}/api/v2/alerts").json()
        return [alert["labels"]["severity"] for alert in document]

    def change_tier(tier: int) -> None:
        with bench.store.write(bench.fence) as session:
            session.rows("UPDATE service SET tier = ?", (tier,))

    monkeypatch.setattr(outbox, "REFRESH_SECONDS", 0.0)
    bench.scheduler.attempt("extract", "1", RunState.FAILED, minutes_ago(5), ended_at=minutes_ago(4))
    bench.turn()
    assert ["warning"] == firing()
    change_tier(1)
    bench.parts.outbox.refresh_alertmanagers(bench.fence)
    wait_until(lambda: ["critical"] == firing(), "only the alert with the new severity")
    wait_until(lambda: len(alertmanager.sink.posts) >= 1, "a notification")
    change_tier(5)
    bench.scheduler.attempt("extract", "1", RunState.SUCCEEDED, minutes_ago(2), ended_at=minutes_ago(1))
    bench.turn()
    wait_until(lambda: [] == firing(), "the alert with the severity sent last ends")
    bench.parts.outbox.refresh_alertmanagers(bench.fence)
    assert [] == firing()


@pytest.mark.parametrize("recovers", [True, False])
def test_an_engine_ends_the_alert_with_other_labels_of_the_engine_before(
    bench: Bench, alertmanager: Alertmanager, monkeypatch: pytest.MonkeyPatch, recovers: bool
) -> None:
    """After a restart, or a reload of the config that changes a tier; not that of another Headway."""

    def firing() -> list[tuple[str, str]]:
        document = ask("GET", f"http://127.0.0.1:{alertmanager.port}/api/v2/alerts").json()
        return sorted((alert["labels"]["job"], alert["labels"]["severity"]) for alert in document)

    monkeypatch.setattr(outbox, "REFRESH_SECONDS", 0.0)
    bench.scheduler.attempt("extract", "1", RunState.FAILED, minutes_ago(5), ended_at=minutes_ago(4))
    bench.turn()
    other = {"alertname": "HeadwayIncident", "incident": "INC-0001", "job": "elsewhere/load", "severity": "critical"}
    until = (datetime.now(UTC) + timedelta(minutes=9)).isoformat()
    foreign = {"labels": other, "annotations": {"failed_since": minutes_ago(7).isoformat()}, "endsAt": until}
    assert post_alerts(alertmanager.url, [foreign]).arrived
    assert [("elsewhere/load", "critical"), ("fake/extract", "warning")] == firing()
    bench.restart()
    with bench.store.write(bench.fence) as session:
        session.rows("UPDATE service SET tier = 5")
    if recovers:
        bench.scheduler.attempt("extract", "1", RunState.SUCCEEDED, minutes_ago(2), ended_at=minutes_ago(1))
        bench.turn()
    else:
        bench.parts.outbox.refresh_alertmanagers(bench.fence)
    own = [] if recovers else [("fake/extract", "info")]
    wait_until(lambda: [("elsewhere/load", "critical"), *own] == firing(), "only the alert with the new labels")


def test_alertmanager_groups_and_inhibits_by_our_labels(bench: Bench, alertmanager: Alertmanager) -> None:
    for job in ("other", "third", "extract"):
        bench.scheduler.attempt(job, job, RunState.FAILED, minutes_ago(5), ended_at=minutes_ago(4))
    bench.turn()
    wait_until(lambda: len(alertmanager.alerts()) == 3, "three alerts")
    by_job = {alert["labels"]["job"]: alert for alert in alertmanager.alerts().values()}
    wait_until(lambda: alertmanager.sink.posts, "a notification")
    results = {alert["labels"]["job"] for post in alertmanager.sink.posts for alert in post.data["alerts"]}
    assert {"fake/extract", "fake/third"} == results, "one group by system, without the inhibited alert"
    by_job = {alert["labels"]["job"]: alert for alert in alertmanager.alerts().values()}
    assert [by_job["fake/extract"]["fingerprint"]] == by_job["fake/other"]["status"]["inhibitedBy"]


def test_an_alert_that_is_not_refreshed_ends_and_a_test_needs_no_incident(
    alertmanager: Alertmanager, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = AlertmanagerChannel(alertmanager.url, None)

    def send(message: Message, page: Page) -> bool | None:
        return channel.send(Outgoing(DueDelivery(0, "", 0, message, page.key, 0, 0, False), message, page)).arrived

    monkeypatch.setattr("console.engine.notify.alertmanager.REPORT_LASTS", timedelta(seconds=2))
    assert send(message_of("Store unusable", "disk full"), Page("own"))
    [alert] = alertmanager.alerts().values()
    assert ("Headway", "disk full\n") == (alert["labels"]["alertname"], alert["annotations"]["description"])
    wait_until(lambda: not alertmanager.alerts(), "the alert ends")
    monkeypatch.undo()
    assert send(message_of("A test"), Page("test", PageAction.INFORM))
    assert 1 == len(alertmanager.alerts())
    assert send(message_of("A test"), Page("test", PageAction.RESOLVE))
    assert {} == alertmanager.alerts()


def test_a_refusal_is_for_good_and_a_closed_port_proves_that_nothing_arrived(alertmanager: Alertmanager) -> None:
    refused = post_alerts(alertmanager.url, [{"labels": {"not a name": "x"}}])
    assert (False, True) == (refused.arrived, refused.for_good)
    assert "HTTP 400" in refused.reason
    closed = post_alerts(f"alertmanager://127.0.0.1:{free_port()}", [])
    assert (False, False) == (closed.arrived, closed.for_good)
    secret = "alertmanager://ann:CANARY@am.example.com"
    assert "alertmanagers://" in alertmanager_fault(secret)
    assert "CANARY" not in alertmanager_fault(secret)
    assert "" == alertmanager_fault("alertmanagers://ann:CANARY@am.example.com/prefix")
    assert "missing" in alertmanager_fault("alertmanager://")
