"""Alerts of other monitors: which are understood, about which targets, and where an incident shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cron.connector import CONNECTOR
from connectors.sdk.secrets import SecretStore
from connectors.sdk.states import RunState
from connectors.sdk.transport.hosts import HostOptions
from console.cli.clock_format import timestamp
from console.cli.incidents import incident_lines
from console.config.sections import EndpointSettings, SystemConfig, SystemSettings
from console.engine.alert_receiver import AlertReceiver, TargetNames
from console.engine.connector_pool import ConnectorTarget, configured_places
from console.engine.endpoints import EndpointWorker
from console.timing.clock import Clock
from tests.engine.bench import Bench
from tests.engine.endpoints.test_endpoints import listening
from tests.lab.process import free_port
from tests.rows import each_row

NEVER = "0001-01-01T00:00:00Z"
LONG_AGO = datetime(2020, 11, 24, 2, 58, tzinfo=UTC)


def failure() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)


def alert(host: str, started: datetime = LONG_AGO, ended: datetime | None = None, **labels: str) -> dict[str, Any]:
    """As Alertmanager 0.25 sends it."""
    return {
        "status": "firing" if ended is None else "resolved",
        "labels": {"alertname": "DiskFull", "severity": "critical", "instance": host, **labels},
        "annotations": {"summary": "/ has 1 % left", "description": "of 40 GB"},
        "startsAt": started.isoformat(),
        "endsAt": ended.isoformat() if ended else NEVER,
        "generatorURL": "http://prometheus:9090/graph",
        "fingerprint": "a1b2c3",
    }


def webhook(*alerts: Any) -> bytes:
    return json.dumps({"version": "4", "status": "firing", "receiver": "headway", "alerts": alerts}).encode()


@pytest.fixture
def url(bench: Bench) -> Iterator[str]:
    settings = EndpointSettings(listen=f"127.0.0.1:{free_port()}")
    places = configured_places(bench.store, bench.config)
    receiver = AlertReceiver(bench.store, bench.parts.clock, places, SecretStore())
    with listening(EndpointWorker(settings, {"/alerts": receiver.endpoint}, SecretStore())) as base:
        yield f"{base}/alerts"


def fail(bench: Bench) -> datetime:
    """When extract failed."""
    failed = failure()
    bench.scheduler.attempt("extract", "1", RunState.FAILED, failed - timedelta(minutes=1), ended_at=failed)
    bench.turn()
    return failed


def test_an_alert_about_the_target_is_shown_beside_the_incident_of_its_job(bench: Bench, url: str) -> None:
    failed = fail(bench)
    [target] = bench.reads().estate.systems()
    sent = alert(f"{target.name}.example.com:9100", failed - timedelta(minutes=2))
    reply = httpx.post(url, content=webhook(sent, alert("elsewhere:9100")))
    assert (200, "2 received, 1 about a target\n") == (reply.status_code, reply.text)
    [shown] = bench.reads().incidents.incident(1).external_alerts
    assert f"fake/{target.name}: DiskFull (critical): / has 1 % left" == shown.text
    assert (failed - timedelta(minutes=2), None) == (shown.started, shown.ended)
    view = bench.reads().incidents.incident(1)
    line = f"firing, last reported {timestamp(shown.received)}  | {shown.text}"
    assert any(text.endswith(line) for text in incident_lines(view, datetime.now(UTC)))
    ended = failed + timedelta(minutes=1)
    httpx.post(url, content=webhook({**sent, "status": "resolved", "endsAt": ended.isoformat()}))
    [shown] = bench.reads().incidents.incident(1).external_alerts
    assert ended == shown.ended


def grafana_webhook(host: str, started: datetime) -> bytes:
    """With all fields of Grafana's webhook notifier, by its documentation (grafana.com, Alerting, version 12)."""
    one = {
        "status": "firing",
        "labels": {"alertname": "Disk full", "grafana_folder": "hosts", "instance": host},
        "annotations": {"summary": "/ has 1 % left", "runbook_url": "https://wiki.example.com/disk"},
        "startsAt": started.astimezone(timezone(timedelta(hours=2))).isoformat(timespec="microseconds"),
        "endsAt": NEVER,
        "values": {"B": 98.7, "C": 1},
        "valueString": "[ var='B' labels={} value=98.7 ]",
        "generatorURL": "https://grafana.example.com/alerting/grafana/1afz29v7z/view",
        "fingerprint": "c6eadffa33fcdf37",
        "silenceURL": "https://grafana.example.com/alerting/silence/new",
        "dashboardURL": "",
        "panelURL": "",
        "imageURL": "",
    }
    group = {
        "receiver": "Headway", "status": "firing", "orgId": 1, "alerts": [one], "groupLabels": {},
        "commonLabels": {}, "commonAnnotations": {}, "externalURL": "https://grafana.example.com/", "version": "1",
        "groupKey": '{}:{alertname="Disk full"}', "truncatedAlerts": 0, "title": "[FIRING:1]", "state": "alerting",
        "message": "**Firing**",
    }  # fmt: skip
    return json.dumps(group).encode()


def test_a_webhook_of_grafana_is_evidence(bench: Bench, url: str) -> None:
    failed = fail(bench)
    [target] = bench.reads().estate.systems()
    started = failed - timedelta(minutes=2)
    reply = httpx.post(url, content=grafana_webhook(f"{target.name}:9100", started))
    assert (200, "1 received, 1 about a target\n") == (reply.status_code, reply.text)
    [shown] = bench.reads().incidents.incident(1).external_alerts
    assert f"fake/{target.name}: Disk full: / has 1 % left" == shown.text
    assert (started, None) == (shown.started, shown.ended)


@pytest.mark.parametrize(
    "started, ended, is_shown",
    [
        (timedelta(hours=-3), timedelta(hours=-2), False),
        (timedelta(hours=-3), timedelta(minutes=-50), True),
        (timedelta(days=-31), None, False),
        (timedelta(minutes=3), None, True),
    ],
)
def test_only_alerts_around_the_failure_are_evidence(
    bench: Bench, url: str, started: timedelta, ended: timedelta | None, is_shown: bool
) -> None:
    failed = fail(bench)
    [target] = bench.reads().estate.systems()
    sent = alert(target.name, failed + started, failed + ended if ended is not None else None)
    assert httpx.post(url, content=webhook(sent)).is_success
    assert is_shown == bool(bench.reads().incidents.incident(1).external_alerts)


def test_firing_and_severe_alerts_are_shown_first_and_the_others_counted(bench: Bench, url: str) -> None:
    failed = fail(bench)
    [target] = bench.reads().estate.systems()

    def sent(number: int, severity: str, minutes: int, ended: bool = False) -> dict[str, Any]:
        end = failed if ended else None
        labels = {"alertname": f"A{number}", "severity": severity}
        return {**alert(target.name, failed - timedelta(minutes=minutes), end, **labels), "fingerprint": str(number)}

    noise = [sent(number, "warning", 20 - number) for number in range(20)]
    others = [
        sent(50, "info", 90),
        sent(51, "critical", 30, ended=True),
        sent(52, "Critical", 300),
        sent(53, "page", 310),
    ]
    assert httpx.post(url, content=webhook(*noise, *others)).is_success
    view = bench.reads().incidents.incident(1)
    assert ["A53", "A52", *(f"A{number}" for number in range(18))] == [shown.name for shown in view.external_alerts]
    assert 4 == view.external_alerts_left_out
    assert "  and 4 more" in incident_lines(view, datetime.now(UTC))


def test_alerts_of_headway_itself_and_of_unknown_hosts_are_not_stored(bench: Bench, url: str) -> None:
    fail(bench)
    [target] = bench.reads().estate.systems()
    reply = httpx.post(url, content=webhook(alert(target.name, alertname="HeadwayDown"), alert("db08")))
    assert "2 received, 0 about a target\n" == reply.text
    assert () == bench.reads().incidents.incident(1).external_alerts


def test_an_alert_is_stored_without_its_secrets(bench: Bench, url: str) -> None:
    """The database holds what people and backups read."""
    failed = fail(bench)
    [target] = bench.reads().estate.systems()
    summary = "postgresql://etl:S3cretPw99@dwh password=topsecret99 token ghp_0123456789abcdefghijABCDEFGHIJ012345"
    sent = {**alert(target.name, failed, alertname="Pw secret=topsecret99"), "annotations": {"summary": summary}}
    assert httpx.post(url, content=webhook(sent)).is_success
    [shown] = bench.reads().incidents.incident(1).external_alerts
    assert shown.summary.startswith("postgresql://etl:***@dwh password=***")
    with bench.store.read() as session:
        [row] = session.rows("SELECT * FROM external_alert")
    assert not any(secret in repr(row) for secret in ("S3cretPw99", "topsecret99", "ghp_"))


def test_a_fingerprint_is_stored_without_control_characters(bench: Bench, url: str) -> None:
    """PostgreSQL stores no NUL."""
    failed = fail(bench)
    [target] = bench.reads().estate.systems()
    assert httpx.post(url, content=webhook({**alert(target.name, failed), "fingerprint": "a\0b"})).is_success
    with bench.store.read() as session:
        [row] = session.rows("SELECT fingerprint FROM external_alert")
    assert row.fingerprint.isprintable()


FAULTS = {
    "empty": (b"", "body: Invalid JSON"),
    "list": (b"[]", "body: "),
    "no alerts": (b"{}", "alerts: Field required"),
    "no time": (webhook({**alert("db07"), "startsAt": "soon"}), "alerts.0 (DiskFull).startsAt: "),
    "naive time": (webhook({**alert("db07"), "startsAt": "2026-11-24T03:00:00"}), "alerts.0 (DiskFull).startsAt: "),
    "status": (webhook({**alert("db07"), "status": "pending"}), "alerts.0 (DiskFull).status: "),
    "no alert": (webhook(7), "alerts.0: "),
    "deep": (b'{"alerts": ' + b"[" * 5000, "body: Invalid JSON"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_webhook_is_refused_with_the_place(bench: Bench, url: str, fault: str) -> None:
    body, place = FAULTS[fault]
    reply = httpx.post(url, content=body)
    assert 400 == reply.status_code
    assert reply.text.startswith(place)
    assert "canary" not in reply.text
    assert "Fix: send a webhook" in reply.text


def test_an_alert_that_cannot_be_read_is_left_out_and_named_and_the_others_are_stored(bench: Bench, url: str) -> None:
    failed = fail(bench)
    [target] = bench.reads().estate.systems()
    future = alert(target.name) | {"startsAt": "2099-01-01T00:00:00+00:00"}
    reply = httpx.post(url, content=webhook(7, alert(target.name, failed), future))
    named = (
        "; left out: alerts.0: Input should be an object. Fix: send a webhook of Alertmanager (version 4) or Grafana;"
    )
    time = "2099-01-01T00:00:00+00:00"
    ahead = f" left out: alerts.2 (DiskFull).startsAt: {time} is more than 5 min ahead of Headway's clock. Fix: set"
    assert (200, f"1 received, 1 about a target{named}{ahead} the clock of the sender\n") == (
        reply.status_code, reply.text,
    )  # fmt: skip
    with bench.store.read() as session:
        assert ["a1b2c3"] == [row.fingerprint for row in session.rows("SELECT fingerprint FROM external_alert")]


SPOILED: dict[str, tuple[dict[str, Any] | str, str]] = {
    "no fingerprint": ({"fingerprint": None}, "fingerprint: Input should be a valid string"),
    "an empty fingerprint": ({"fingerprint": ""}, "fingerprint: String should have at least 1 character"),
    "another status": ({"status": "pending"}, "status: Input should be 'firing' or 'resolved'"),
    "a time without a zone": ({"startsAt": "2026-11-24T03:00:00"}, "startsAt: Input should have timezone info"),
    "a time before 1970": ({"startsAt": "0001-01-01T00:00:00+14:00"}, "startsAt: before 1970"),
    "a list": ("[]", ": Input should be an object"),
    "an endless number": (f'{{"labels": {{"a": {"9" * 5000}}}}}', "status: Field required"),
    "deep": ("[" * 300 + "]" * 300, ": Input should be an object"),
}  # fmt: skip


@pytest.mark.parametrize("spoiled", SPOILED)
def test_one_alert_that_cannot_be_read_costs_no_other(bench: Bench, url: str, spoiled: str) -> None:
    failed = fail(bench)
    [target] = bench.reads().estate.systems()
    change, fault = SPOILED[spoiled]
    bad = change if isinstance(change, str) else json.dumps(alert("elsewhere:9100") | change)
    body = webhook(alert(target.name, failed), "BAD").replace(b'"BAD"', bad.encode())
    reply = httpx.post(url, content=body)
    name = "" if isinstance(change, str) else " (DiskFull)."
    named = f"left out: alerts.1{name}{'.' * (isinstance(change, str) and fault[0] != ':')}{fault}"
    assert (200, True) == (reply.status_code, reply.text.startswith(f"1 received, 1 about a target; {named}")), (
        reply.text
    )
    assert ["DiskFull"] == [shown.name for shown in bench.reads().incidents.incident(1).external_alerts]


@each_row(
    "change, fault",
    [
        ({"labels": {"instance": ["canary"]}}, "labels.instance: Input should be a valid string"),
        ({"labels": None}, "labels: Input should be a valid dictionary"),
        ({"annotations": {"summary": None}}, "annotations.summary: Input should be a valid string"),
        ({"annotations": None}, "annotations: Input should be a valid dictionary"),
        ({"endsAt": "canary"}, "endsAt: Input should be a valid datetime"),
        ({"status": "resolved", "endsAt": None}, "endsAt: a resolved alert ends after it starts"),
        ({"status": "resolved", "endsAt": NEVER}, "endsAt: a resolved alert ends after it starts"),
        ({"status": "resolved", "endsAt": "9999-12-31T23:59:59-14:00"}, "endsAt: 9999-12-31T23:59:59-14:00 is more"),
    ],
)
def test_a_field_that_cannot_be_read_costs_no_alert_and_is_named(
    bench: Bench, url: str, change: dict[str, Any], fault: str
) -> None:
    failed = fail(bench)
    [target] = bench.reads().estate.systems()
    other = alert(target.name, failed) | {"fingerprint": "f"} | change
    reply = httpx.post(url, content=webhook(alert(target.name, failed), other))
    known = 1 if "labels" in change else 2
    name = " (DiskFull)" if other["labels"] is not None and "alertname" in other["labels"] else ""
    named = f"2 received, {known} about a target; left out: alerts.1{name}.{fault}"
    assert (200, True, 1, False) == (
        reply.status_code, reply.text.startswith(named), reply.text.count("left out"), "canary" in reply.text,
    ), reply.text  # fmt: skip


def test_an_alert_resolves_whatever_its_other_fields_are(bench: Bench, url: str) -> None:
    failed = fail(bench)
    [target] = bench.reads().estate.systems()
    firing = alert(target.name, failed)
    httpx.post(url, content=webhook(firing))
    labels = {**firing["labels"], "shard": 7}
    resolved = {"status": "resolved", "labels": labels, "annotations": None, "endsAt": LONG_AGO.isoformat()}
    httpx.post(url, content=webhook(firing | resolved))
    [shown] = bench.reads().incidents.incident(1).external_alerts
    assert (True, "DiskFull") == (shown.ended is not None and shown.ended > failed, shown.name)


@each_row("text", [b"caf\xe9", b"a\nb", b"\x00\x1b", rb"\ud83d"])
def test_bytes_that_are_no_text_cost_no_alert(bench: Bench, url: str, text: bytes) -> None:
    """They are of a summary that its sender cut within a character, say."""
    failed = fail(bench)
    [target] = bench.reads().estate.systems()
    other = alert(target.name, failed, alertname="BAD") | {"fingerprint": "f"}
    body = webhook(alert(target.name, failed), other).replace(b"BAD", text)
    reply = httpx.post(url, content=b"\xef\xbb\xbf" + body)
    assert (200, "2 received, 2 about a target\n") == (reply.status_code, reply.text)


def test_status_names_for_a_day_what_was_left_out(bench: Bench) -> None:
    """Its sender does not repeat what was answered. A further bad request hides no alert of an earlier one."""
    now = [datetime(2026, 11, 27, 3, tzinfo=UTC)]
    clock = Clock(real=lambda: now[0])
    receiver = AlertReceiver(bench.store, clock, configured_places(bench.store, bench.config), SecretStore())
    worker = EndpointWorker(EndpointSettings(listen="127.0.0.1:1"), {"/alerts": receiver.endpoint}, SecretStore())
    assert ["", ""] == worker.problems()
    nameless = alert("a") | {"fingerprint": None}
    receiver.endpoint.answer([webhook(alert("a"), 7, nameless), webhook(alert("a"))], bench.fence)
    fix = "Fix: send a webhook of Alertmanager (version 4) or Grafana"
    first = [
        f"at 2026-11-27 03:00:00Z: alerts.2 (DiskFull).fingerprint: Input should be a valid string. {fix}",
        f"at 2026-11-27 03:00:00Z: alerts.1: Input should be an object. {fix}",
    ]
    problem = f"/alerts left out {'; '.join(first)}"
    assert ["", problem] == worker.problems()
    bench.parts.endpoints = worker
    assert problem in bench.parts.trouble("")
    now[0] += timedelta(hours=1)
    for _ in range(2):
        receiver.endpoint.answer([b"nonsense"], bench.fence)
    assert worker.problems()[1].startswith("/alerts left out at 2026-11-27 04:00:00Z: body: Invalid JSON: ")
    assert worker.problems()[1].endswith("; ".join(["", *first]))
    receiver.endpoint.answer([webhook(*range(25))], bench.fence)
    assert worker.problems()[1].endswith(f" alerts.17: Input should be an object. {fix} and 17 more")
    now[0] += timedelta(hours=25)
    assert ["", ""] == worker.problems()


def test_an_alert_from_the_future_is_refused(bench: Bench, url: str) -> None:
    fail(bench)
    [target] = bench.reads().estate.systems()
    for time in ("2099-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00"):
        reply = httpx.post(url, content=webhook(alert(target.name) | {"startsAt": time}))
        problem = f"alerts.0 (DiskFull).startsAt: {time} is more than 5 min ahead of Headway's clock. Fix: set the"
        assert (400, True) == (reply.status_code, reply.text.startswith(problem))
    with bench.store.read() as session:
        assert [] == list(session.rows("SELECT fingerprint FROM external_alert"))
    near = alert(target.name, datetime.now(UTC) + timedelta(minutes=4))
    assert 200 == httpx.post(url, content=webhook(near)).status_code


def test_control_sequences_in_an_alert_are_harmless(bench: Bench, url: str) -> None:
    failed = fail(bench)
    [target] = bench.reads().estate.systems()
    sent = alert(target.name, failed, alertname="\x1b[31mDisk\nFull")
    sent["annotations"] = {"summary": "\x1b]0;owned\x07full"}
    assert httpx.post(url, content=webhook(sent)).is_success
    [shown] = bench.reads().incidents.incident(1).external_alerts
    assert "fake/one: Disk · Full (critical): full" == shown.text


def names(*hosts: Any) -> TargetNames:
    """One system per host name, or per (name, address)."""
    places = {}
    for number, host in enumerate(hosts):
        name, address = host if isinstance(host, tuple) else (host, None)
        entry = {"name": name, "address": address} if address else name
        options = HostOptions.model_validate({"hosts": [entry], "key": {"env": "KEY"}})
        system = SystemConfig(f"s{number}", SystemSettings(kind="cron"), CONNECTOR, options)
        places[number] = ConnectorTarget(number, system, name)
    return TargetNames(places)


@each_row(
    "label, results",
    [
        ("db07", [0]),
        ("DB07:9100", [0]),
        ("http://db07:9100/metrics", [0]),
        ("db07.example.com:9100", [0]),
        ("db08", [1]),
        ("db08.test:9100", []),
        ("db08.prod:9100", [1]),
        ("10.0.0.9:9187", [2]),
        ("10.0.0.7", []),
        ("[fd00::1]:9100", [3]),
        ("fd00::1", [3]),
        ("s0", [0]),
        ("", []),
    ],
)
def test_a_host_is_found_by_name_domain_or_address(label: str, results: list[int]) -> None:
    targets = names("db07", "db08.prod", ("web", "10.0.0.9"), ("six", "fd00::1"))
    assert results == targets.targets_of({"instance": label})


def test_a_target_can_be_named_by_its_label() -> None:
    targets = names("db07", "db08")
    assert [1] == targets.targets_of({"instance": "db07", "headway_target": "s1/db08"})
    assert [0] == targets.targets_of({"headway_target": "s0"})
    assert [] == targets.targets_of({"instance": "db07", "headway_target": "other"})


@given(st.text(max_size=40))
def test_any_label_is_read(label: str) -> None:
    assert names("db07").targets_of({"instance": label}) in ([], [0])
