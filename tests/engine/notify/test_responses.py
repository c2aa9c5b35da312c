"""Acknowledgements between Headway and on-call services: both ways, once, and never back to where they came from."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest

from connectors.sdk.secrets import SecretRef
from connectors.sdk.states import RunState
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpEndpoint
from console.domain.ids import micros
from console.engine.notify import responses
from console.engine.notify.paging import page_key
from console.engine.notify.responses import read_key_fault
from console.store.alert_responses import acknowledge
from console.store.audit import ChangeOrigin
from console.store.db.lease import store_id
from console.timing.clock import real_now
from tests.engine.bench import Bench
from tests.engine.notify.test_paging import HEX, PAGERS, UUID
from tests.engine.notify.test_routing import bench_of, fail, later, limit_alerts, post_of, route, rows
from tests.fakes import on_call
from tests.fakes.on_call import READ_KEY, FakeIncident, FakeOnCall
from tests.lab.process import HANGS_SECONDS

URLS = {name: f"{PAGERS[name]}?read_key={READ_KEY}" for name in ("pagerduty", "opsgenie", "splunk", "ilert")}
READ_ONLY = {"incidentio": f"{PAGERS['incidentio']}?read_key={READ_KEY}"}
PERSON = {"opsgenie": "ann@example.com"}
SERVICE = {
    "pagerduty": "PagerDuty",
    "opsgenie": "Opsgenie",
    "splunk": "Splunk On-Call",
    "ilert": "ilert",
    "incidentio": "incident.io",
}
ACKNOWLEDGED = "SELECT made_by, why FROM acknowledgement ORDER BY id"


@contextmanager
def paged(folder: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> Iterator[tuple[Bench, FakeOnCall, FakeIncident]]:
    """A bench with an open incident that was sent to the service."""
    monkeypatch.setenv("ROUTE_PAGER", url)
    with bench_of(folder, oncall=route("PAGER")) as bench:
        service = FakeOnCall()
        bench.parts.on_call.client.transport = httpx.MockTransport(service)
        fail(bench, "extract")
        [(dedup_key,)] = rows(bench, "SELECT dedup_key FROM alert")
        key = page_key(store_id(bench.store), dedup_key)
        service.incidents[key] = FakeIncident(17)
        yield bench, service, service.incidents[key]


def compare(bench: Bench, times: int = 1) -> None:
    for _ in range(times):
        bench.parts.on_call.step(bench.fence)


def restart(bench: Bench) -> None:
    """Forgets what the engine holds in memory."""
    bench.parts.on_call._receivers.clear()
    bench.parts.on_call._recorded.clear()


def acknowledge_here(bench: Bench, by: str = "bob", incident_id: int = 1) -> None:
    now_us = micros(real_now())
    acknowledge(bench.store, bench.fence, incident_id, now_us + 3_600_000_000, ChangeOrigin(by, "cli", "", now_us))


@pytest.mark.parametrize("name", [*URLS, *READ_ONLY])
def test_an_acknowledgement_at_the_service_arrives_once_with_the_name_and_is_not_sent_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with paged(tmp_path, monkeypatch, {**URLS, **READ_ONLY}[name]) as (bench, service, incident):
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


def test_a_response_at_the_service_does_not_shorten_a_longer_acknowledgement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with paged(tmp_path, monkeypatch, URLS["pagerduty"]) as (bench, _, incident):
        now_us = micros(real_now())
        until_us = now_us + 8 * 3_600_000_000
        acknowledge(bench.store, bench.fence, 1, until_us, ChangeOrigin("bob", "cli", "", now_us))
        incident.respond("acknowledged", "Ann Example")
        compare(bench)
        last = "SELECT made_by, until_us FROM acknowledgement ORDER BY id DESC LIMIT 1"
        assert [("Ann Example (PagerDuty)", until_us)] == rows(bench, last)


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


HOSTS = {"pagerduty": "pagerduty.com", "opsgenie": "opsgenie.com", "splunk": "victorops.com", "ilert": "ilert.com"}


@pytest.mark.parametrize("origin", URLS)
def test_an_acknowledgement_at_one_service_reaches_each_other_once_and_comes_back_from_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    for name, url in URLS.items():
        monkeypatch.setenv(f"ROUTE_{name.upper()}", url)
    with bench_of(tmp_path, oncall=route(*(name.upper() for name in URLS))) as bench:
        services = {name: FakeOnCall() for name in URLS}
        by_host = {HOSTS[name]: service for name, service in services.items()}
        bench.parts.on_call.client.transport = httpx.MockTransport(
            lambda request: by_host[".".join(request.url.host.split(".")[-2:])](request)
        )
        fail(bench, "extract")
        [(dedup_key,)] = rows(bench, "SELECT dedup_key FROM alert")
        key = page_key(store_id(bench.store), dedup_key)
        for service in services.values():
            service.incidents[key] = FakeIncident(17)
        person = PERSON.get(origin, "Ann Example")
        services[origin].incidents[key].respond("acknowledged", person)
        compare(bench, 3)
        for service in services.values():
            service.incidents[key].respond("triggered")  # the acknowledgement timed out at the service
        restart(bench)
        compare(bench, 3)
        assert [f"{person} ({SERVICE[origin]})"] == [by for by, _ in rows(bench, ACKNOWLEDGED)]
        sent = {name: service.acknowledged for name, service in services.items()}
        assert {name: [] if name == origin else [key] for name in URLS} == sent


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


def test_a_refused_read_key_names_route_and_fix_is_not_tried_at_once_and_stops_no_acknowledgement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with paged(tmp_path, monkeypatch, f"{PAGERS['pagerduty']}?read_key=stale") as (bench, service, incident):
        acknowledge_here(bench)
        compare(bench, 3)
        trouble = bench.parts.on_call.trouble()
        for part in ('route "oncall", PagerDuty', "401", "Fix: write a key that may read incidents as read_key="):
            assert part in trouble
        assert not any(text in trouble for text in ("stale", HEX, UUID, "headway check"))
        assert (1, "acknowledged") == (service.reads, incident.status)
        monkeypatch.setenv("ROUTE_PAGER", URLS["pagerduty"])
        compare(bench)
        assert ("", 2) == (bench.parts.on_call.trouble(), service.reads)


def test_a_refused_integration_key_is_reported_beside_the_reads_until_its_incident_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with paged(tmp_path, monkeypatch, URLS["pagerduty"]) as (bench, service, _):
        service.refuse_posts = 403
        acknowledge_here(bench)
        compare(bench, 2)
        trouble = bench.parts.on_call.trouble()
        assert "Fix: write a valid integration key in its URL" in trouble
        assert not any(text in trouble for text in ("read_key", "headway check"))
        assert 2 == service.reads
        bench.scheduler.attempt("extract", "extract-1", RunState.SUCCEEDED, datetime.now(UTC))
        bench.turn()
        compare(bench)
        assert "" == bench.parts.on_call.trouble()


@contextmanager
def three_paged(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *urls: str, **more: Any
) -> Iterator[tuple[Bench, FakeOnCall]]:
    """A bench with three open incidents that were sent to the services."""
    names = [f"PAGER{place}" for place, url in enumerate(urls)]
    for name, url in zip(names, urls, strict=True):
        monkeypatch.setenv(f"ROUTE_{name}", url)
    jobs = ["extract", "one", "two"]
    with bench_of(folder, jobs, oncall=route(*names, **more)) as bench:
        service = FakeOnCall()
        bench.parts.on_call.client.transport = httpx.MockTransport(service)
        fail(bench, *jobs)
        later(bench, timedelta(seconds=6))
        for number, (dedup_key,) in enumerate(rows(bench, "SELECT dedup_key FROM alert WHERE incident_id > 0")):
            service.incidents[page_key(store_id(bench.store), dedup_key)] = FakeIncident(number)
        yield bench, service


def test_incidents_are_compared_over_one_connection_and_continued_where_the_time_was_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with three_paged(tmp_path, monkeypatch, URLS["pagerduty"]) as (bench, service):
        opened: list[str] = []

        class Counted(HttpEndpoint):
            def __init__(self, source: str, base_url: str, **more: Any) -> None:
                opened.append(base_url)
                super().__init__(source, base_url, **more)

        monkeypatch.setattr(responses, "HttpEndpoint", Counted)
        compare(bench)
        assert (["https://api.pagerduty.com"], 3) == (opened, service.reads)
        for incident in service.incidents.values():
            incident.respond("acknowledged", "Ann Example")
        monkeypatch.setattr(responses, "SECONDS", 0.0)  # the time is up after one incident
        monkeypatch.setattr(HttpEndpoint, "call", without_deadline(HttpEndpoint.call))
        for count in range(1, 4):
            compare(bench)
            assert count == len(rows(bench, ACKNOWLEDGED))


def without_deadline(call: Any) -> Any:
    def unlimited(self: HttpEndpoint, method: str, path: str, _: Deadline, **more: Any) -> Any:
        return call(self, method, path, Deadline(10.0), **more)

    return unlimited


def test_a_refused_acknowledgement_is_logged_once_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with three_paged(tmp_path, monkeypatch, PAGERS["pagerduty"]) as (bench, service):
        service.unknown = {next(reversed(service.incidents))}
        for incident_id in (1, 2, 3):
            acknowledge_here(bench, incident_id=incident_id)
        compare(bench, 3)
        assert (2, 1) == (len(service.acknowledged), service.refused)
        sent = rows(bench, "SELECT actor, text FROM event WHERE kind = 'acknowledgement_sent'")
        outcomes = [text for _, text in sent]
        assert ['PagerDuty, route "oncall", env ROUTE_PAGER0'] * 3 == [actor for actor, _ in sent]
        assert (2, 1) == tuple(sum(term in text for text in outcomes) for term in ("acknowledgement sent", "(404)"))


def test_the_list_of_one_read_key_is_read_once_for_all_its_urls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [f"splunk://{name}@{UUID}?read_key={READ_KEY}" for name in ("night", "day")]
    with three_paged(tmp_path, monkeypatch, *urls) as (bench, service):
        compare(bench, 2)
        assert 2 == service.reads


@pytest.mark.parametrize("others, reads", [(49, 1), (50, 2), (120, 3), (999, 20), (1000, 20)])
def test_every_page_of_acknowledged_escalations_is_read_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: int, reads: int
) -> None:
    with paged(tmp_path, monkeypatch, READ_ONLY["incidentio"]) as (bench, service, incident):
        earlier = {f"other-{number}": FakeIncident(100 + number, "acknowledged", "Bob") for number in range(others)}
        service.incidents = {**earlier, **service.incidents}
        incident.respond("acknowledged", "Ann Example")
        compare(bench)
        assert reads == service.reads
        if others < 1000:
            assert ["Ann Example (incident.io)"] == [by for by, _ in rows(bench, ACKNOWLEDGED)]
            assert "" == bench.parts.on_call.trouble()
        else:
            assert bench.parts.on_call.trouble() == (
                'route "oncall", incident.io: more than 1000 acknowledged escalations, none is compared.'
                " Fix: resolve old ones there"
            )


def test_an_incident_in_a_digest_is_not_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_alerts(monkeypatch, 1)
    with three_paged(tmp_path, monkeypatch, PAGERS["pagerduty"]) as (bench, service):
        for incident_id in (1, 2, 3):
            acknowledge_here(bench, incident_id=incident_id)
        compare(bench)
        assert 1 == len(service.acknowledged)


def test_each_reference_is_resolved_once_per_step_and_the_engine_beats_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with three_paged(tmp_path, monkeypatch, URLS["pagerduty"], URLS["opsgenie"]) as (bench, _):
        compared, resolved, beats = bench.parts.on_call, list[str](), list[int]()
        resolve = compared._secrets

        class Counting:
            mask = resolve.mask

            def __call__(self, reference: SecretRef) -> str:
                resolved.append(reference.text)
                return resolve(reference)

        monkeypatch.setattr(compared, "_secrets", Counting())
        monkeypatch.setattr(bench.parts.responses.pulse, "beat", lambda: beats.append(1))
        [step] = bench.parts.responses._steps
        step(bench.fence)
        assert (["env ROUTE_PAGER0", "env ROUTE_PAGER1"], 4) == (resolved, len(beats))


def test_receivers_that_do_not_fit_into_a_step_come_first_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with three_paged(tmp_path, monkeypatch, URLS["pagerduty"], URLS["opsgenie"]) as (bench, _):
        compared: list[str] = []

        class StepTime(Deadline):
            left = property(lambda self: 0.0 if len(compared) % 2 else 1.0)

        monkeypatch.setattr(responses, "Deadline", StepTime)

        def noted(fence: int, receiver: Any, acknowledgements: Any) -> None:
            compared.append(receiver.service.name)

        monkeypatch.setattr(bench.parts.on_call, "_compare", noted)
        compare(bench)
        assert ["PagerDuty"] == compared
        compared.append("")  # the next step has time again
        compare(bench)
        assert ["PagerDuty", "", "Opsgenie"] == compared


def test_a_rotated_read_key_records_no_response_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with paged(tmp_path, monkeypatch, URLS["pagerduty"]) as (bench, service, incident):
        incident.respond("acknowledged", "Ann Example")
        compare(bench)
        monkeypatch.setattr(on_call, "READ_KEY", "new")
        monkeypatch.setenv("ROUTE_PAGER", f"{PAGERS['pagerduty']}?read_key=new")
        compare(bench)
        assert (1, 2, "") == (len(rows(bench, ACKNOWLEDGED)), service.reads, bench.parts.on_call.trouble())


@pytest.mark.parametrize("seconds, pause", [(600, 600), (0, 10)])
def test_retry_after_is_the_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int, pause: int) -> None:
    with paged(tmp_path, monkeypatch, URLS["pagerduty"]) as (bench, _, _incident):
        reply = httpx.Response(429, headers={"Retry-After": str(seconds)}, json={})
        bench.parts.on_call.client.transport = httpx.MockTransport(lambda _: reply)
        before = monotonic()
        compare(bench)
        [receiver] = bench.parts.on_call._receivers.values()
        assert before + pause <= receiver.reads._due_at <= monotonic() + pause


def test_a_service_that_is_down_for_days_is_compared_every_five_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with paged(tmp_path, monkeypatch, URLS["pagerduty"]) as (bench, service, _):
        service.status = 503
        compare(bench)
        [receiver] = bench.parts.on_call._receivers.values()
        receiver.reads._failures, receiver.reads._due_at = 2_000, 0.0
        before = monotonic()
        compare(bench)
        assert before + 300 <= receiver.reads._due_at <= monotonic() + 300


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
            released.wait(HANGS_SECONDS)
            return service(request)

        bench.parts.on_call.client.transport = httpx.MockTransport(hang)
        thread = threading.Thread(target=compare, args=(bench,))
        thread.start()
        try:
            assert requested.wait(HANGS_SECONDS)
            bench.scheduler.attempt("extract", "extract-1", RunState.SUCCEEDED, datetime.now(UTC))
            bench.turn()
            later(bench)
            assert 2 == len(post_of(bench).got)
        finally:
            released.set()
            thread.join()
        assert ("responses", bench.parts.responses) in bench.parts.running()


def test_a_reply_of_unknown_form_is_reported_and_acknowledges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with paged(tmp_path, monkeypatch, URLS["pagerduty"]) as (bench, _, _incident):
        odd = {"incidents": [{"id": "P1", "status": "acknowledged", "acknowledgements": [{"acknowledger": 1}]}]}
        bench.parts.on_call.client.transport = httpx.MockTransport(lambda _: httpx.Response(200, json=odd))
        compare(bench)
        assert "unknown form" in bench.parts.on_call.trouble()
        assert [] == rows(bench, ACKNOWLEDGED)
