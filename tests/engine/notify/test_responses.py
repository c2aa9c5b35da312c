"""Acknowledgements between Headway and on-call services: both ways, once, and never back to where they came from."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from connectors.sdk.states import RunState
from console.domain.ids import micros
from console.engine.notify.paging import Page
from console.engine.notify.responses import read_key_fault
from console.store.alert_responses import acknowledge
from console.store.audit import ChangeOrigin
from console.timing.clock import real_now
from tests.engine.bench import Bench
from tests.engine.notify.test_paging import HEX, PAGERS, UUID
from tests.engine.notify.test_routing import bench_of, fail, later, post_of, route, rows
from tests.fakes.on_call import READ_KEY, FakeIncident, FakeOnCall

URLS = {name: f"{PAGERS[name]}?read_key={READ_KEY}" for name in ("pagerduty", "opsgenie", "splunk", "ilert")}
PERSON = {"opsgenie": "ann@example.com"}
SERVICE = {"pagerduty": "PagerDuty", "opsgenie": "Opsgenie", "splunk": "Splunk On-Call", "ilert": "ilert"}
ACKNOWLEDGED = "SELECT made_by, why FROM acknowledgement ORDER BY id"


@contextmanager
def paged(folder: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> Iterator[tuple[Bench, FakeOnCall, FakeIncident]]:
    """A bench with an open incident that was sent to the service."""
    monkeypatch.setenv("ROUTE_PAGER", url)
    with bench_of(folder, oncall=route("PAGER")) as bench:
        service = FakeOnCall()
        bench.parts.on_call._transport = httpx.MockTransport(service)
        fail(bench, "extract")
        [(dedup_key,)] = rows(bench, "SELECT dedup_key FROM alert")
        [(key, _)] = Page(dedup_key).steps
        service.incidents[key] = FakeIncident(17)
        yield bench, service, service.incidents[key]


def compare(bench: Bench, times: int = 1) -> None:
    for _ in range(times):
        bench.parts.on_call.step(bench.fence)


def restart(bench: Bench) -> None:
    """Forgets what the engine holds in memory."""
    bench.parts.on_call._receivers.clear()
    bench.parts.on_call._recorded.clear()


def acknowledge_here(bench: Bench, by: str = "bob") -> None:
    now_us = micros(real_now())
    acknowledge(bench.store, bench.fence, 1, now_us + 3_600_000_000, ChangeOrigin(by, "cli", "", now_us))


@pytest.mark.parametrize("name", URLS)
def test_an_acknowledgement_at_the_service_arrives_once_with_the_name_and_is_not_sent_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with paged(tmp_path, monkeypatch, URLS[name]) as (bench, service, incident):
        compare(bench)
        assert [] == rows(bench, ACKNOWLEDGED)
        person = PERSON.get(name, "Ann Example")
        incident.respond("acknowledged", person)
        compare(bench, 2)
        restart(bench)
        compare(bench)
        assert [(f"{person} ({SERVICE[name]})", f"acknowledged in {SERVICE[name]}")] == rows(bench, ACKNOWLEDGED)
        incident.respond("triggered")  # the acknowledgement timed out at the service
        compare(bench, 2)
        assert [] == service.acknowledged


@pytest.mark.parametrize("name", URLS)
def test_an_acknowledgement_here_is_sent_once_and_not_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with paged(tmp_path, monkeypatch, URLS[name]) as (bench, service, incident):
        acknowledge_here(bench)
        compare(bench, 3)
        assert (list(service.incidents), "acknowledged") == (service.acknowledged, incident.status)
        incident.respond("triggered")  # the acknowledgement timed out at the service
        restart(bench)
        compare(bench)
        assert 1 == len(service.acknowledged)
        assert [("bob", "")] == rows(bench, ACKNOWLEDGED)


@pytest.mark.parametrize("name", ["pagerduty", "opsgenie", "splunk"])
def test_a_resolution_by_a_person_acknowledges_and_one_by_the_integration_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with paged(tmp_path, monkeypatch, URLS[name]) as (bench, _, incident):
        incident.respond("resolved")
        compare(bench)
        assert [] == rows(bench, ACKNOWLEDGED)
        incident.respond("resolved", PERSON.get(name, "Ann Example"))
        compare(bench, 2)
        [(_, why)] = rows(bench, ACKNOWLEDGED)
        assert f"resolved in {SERVICE[name]}" == why
        assert [(None,)] == rows(bench, "SELECT closed_us FROM incident")


@pytest.mark.parametrize("url", [PAGERS["pagerduty"], PAGERS["jira"]], ids=["pagerduty", "jira"])
def test_without_a_read_key_an_acknowledgement_is_sent_and_nothing_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    with paged(tmp_path, monkeypatch, url) as (bench, service, _):
        acknowledge_here(bench)
        compare(bench, 2)
        assert (1, 0) == (len(service.acknowledged), service.reads)


def test_a_url_with_a_key_of_its_own_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with paged(tmp_path, monkeypatch, f"{URLS['pagerduty']}&dedup=ours") as (bench, service, _):
        acknowledge_here(bench)
        compare(bench)
        assert (0, 0) == (len(service.acknowledged), service.reads)


def test_a_refused_read_key_names_route_and_fix_and_is_not_tried_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with paged(tmp_path, monkeypatch, f"{PAGERS['pagerduty']}?read_key=stale") as (bench, service, _):
        compare(bench, 3)
        trouble = bench.parts.on_call.trouble()
        for part in ('route "oncall", PagerDuty', "401", "Fix: write a key that may read incidents as read_key="):
            assert part in trouble
        assert not any(secret in trouble for secret in ("stale", HEX, UUID))
        assert 1 == service.reads


@pytest.mark.parametrize("status", [429, 503])
def test_a_service_that_is_down_is_compared_again_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with paged(tmp_path, monkeypatch, URLS["pagerduty"]) as (bench, service, incident):
        service.status = status
        compare(bench, 2)
        assert 'route "oncall", PagerDuty' in bench.parts.on_call.trouble()
        service.status = 200
        incident.respond("acknowledged", "Ann Example")
        compare(bench)
        assert [] == rows(bench, ACKNOWLEDGED)
        restart(bench)  # as after the pause
        compare(bench)
        assert ("", 1) == (bench.parts.on_call.trouble(), len(rows(bench, ACKNOWLEDGED)))


@pytest.mark.parametrize(
    "url, fault",
    [
        (URLS["pagerduty"], ""),
        (URLS["splunk"], ""),
        (PAGERS["jira"], ""),
        (f"{PAGERS['splunk']}?read_key=alone", "read_key: not API_ID:API_KEY"),
        (f"{PAGERS['jira']}?read_key=k", "read_key: this service cannot be read, only pagerduty, opsgenie, ilert"),
        (f"{PAGERS['pagerduty']}?read_key=u+abc", "read_key: it has a space"),
        (f"{PAGERS['pagerduty']}?read_key=u%2Babc", ""),
        (f"{URLS['pagerduty']}&dedup=ours", "leave dedup, entity_id and alias out"),
    ],
    ids=range(8),
)
def test_check_names_what_is_wrong_with_a_read_key(url: str, fault: str) -> None:
    text = read_key_fault(url)
    assert (bool(fault), True) == (bool(text), fault in text)


def test_a_service_that_hangs_delays_no_notification(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with paged(tmp_path, monkeypatch, URLS["pagerduty"]) as (bench, service, _):
        requested, released = threading.Event(), threading.Event()

        def hang(request: httpx.Request) -> httpx.Response:
            requested.set()
            released.wait(20)
            return service(request)

        bench.parts.on_call._transport = httpx.MockTransport(hang)
        thread = threading.Thread(target=compare, args=(bench,))
        thread.start()
        assert requested.wait(20)
        bench.scheduler.attempt("extract", "extract-1", RunState.SUCCEEDED, datetime.now(UTC))
        bench.turn()
        later(bench)
        assert 2 == len(post_of(bench).got)
        released.set()
        thread.join()
        assert ("responses", bench.parts.responses) in bench.parts.running()


def test_a_reply_of_unknown_form_is_reported_and_acknowledges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with paged(tmp_path, monkeypatch, URLS["pagerduty"]) as (bench, _, _incident):
        odd = {"incidents": [{"id": "P1", "status": "acknowledged", "acknowledgements": [{"acknowledger": 1}]}]}
        bench.parts.on_call._transport = httpx.MockTransport(lambda _: httpx.Response(200, json=odd))
        compare(bench)
        assert "unknown form" in bench.parts.on_call.trouble()
        assert [] == rows(bench, ACKNOWLEDGED)
