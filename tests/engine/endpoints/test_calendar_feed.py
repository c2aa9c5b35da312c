"""The calendar of deadlines and exceptions: read by icalendar over HTTP, the same until a date changes."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import httpx
import icalendar
import pytest
import recurring_ical_events
from openapi_spec_validator import validate

from connectors.sdk.secrets import SecretRef, SecretStore
from console.config.sections import EndpointSettings, ServiceSettings
from console.domain.calendar import Calendar, CalendarWindow, MaintenanceWindow, PlannedException
from console.domain.promise import DeadlineExtension
from console.domain.settings import Declared
from console.engine.calendar_feed import calendar_text, feed_events
from console.engine.endpoints import API, EndpointWorker
from console.engine.read_api import ReadApi
from tests.engine.bench import Bench, estate_config, running_bench
from tests.engine.endpoints.test_endpoints import TOKEN, listening
from tests.fakes.scheduler import FakeScheduler
from tests.lab.process import free_port

READER = "reader-0123456789abcdef"
NOW = datetime(2026, 12, 21, 12, tzinfo=UTC)
"""A Monday."""
STOCK = "Stöck; a, b\\n " + "äß" * 40
DECLARED = Declared(
    calendars=(
        Calendar("de", country="DE", zone="Europe/Berlin"),
        Calendar("nights", (6,), windows=(CalendarWindow(time(2), time(4)),), zone="Europe/Berlin"),
    ),
    maintenance=(
        MaintenanceWindow("kernel patches", systems=("fake",), calendar="nights"),
        MaintenanceWindow("new disk", jobs=("other/*",), since=NOW, until=NOW + timedelta(hours=3)),
        MaintenanceWindow("over", systems=("*",), since=NOW - timedelta(days=9), until=NOW - timedelta(days=8)),
    ),
    exceptions=(
        PlannedException("year end", (date(2026, 12, 31),), services=("supply",), more_time=timedelta(minutes=90)),
    ),
)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Services with a deadline of 07:30 in Berlin; that of `supply` has a calendar with holidays."""
    scheduler = FakeScheduler()
    for job in ("extract", "load"):
        scheduler.job(job)
    config = estate_config(tmp_path, scheduler)
    settings = ServiceSettings(
        title="Supply plan", delivered_by=("fake/load",), deadline=time(7, 30), timezone="Europe/Berlin", cutoff=time(0)
    )
    services = {
        "supply": settings,
        "stock": settings.model_copy(update={"title": STOCK, "delivered_by": ("fake/extract",)}),
    }
    with running_bench(tmp_path, scheduler, replace(config, services=services)) as made:
        made.turn()
        yield made


def feed(bench: Bench, service: str = "", now: datetime = NOW, **changes: Any) -> str:
    """Of the bench's estate with what is declared above; `supply` has the calendar "de"."""
    estate = bench.parts.evaluator.estate()
    services = tuple(replace(service, calendar="de" if service.name == "supply" else "") for service in estate.services)
    return calendar_text(
        feed_events(replace(estate, declared=DECLARED, services=services, **changes), now, service), "x"
    )


def entries(text: str, first: datetime = NOW - timedelta(days=1)) -> list[tuple[str, Any, Any]]:
    """(title, begin, end) as a calendar shows them."""
    events = recurring_ical_events.of(icalendar.Calendar.from_ical(text)).between(first, first + timedelta(days=16))
    return sorted(
        ((str(event["SUMMARY"]), event.start, event.end) for event in events), key=lambda pair: (pair[0], str(pair[1]))
    )


def test_deadlines_are_those_of_each_promised_date_with_its_planned_extension(bench: Bench) -> None:
    due = {begins for title, begins, _ in entries(feed(bench)) if title == "Supply plan: deadline"}
    winter = [datetime(2026, 12, day, 6, 30, tzinfo=UTC) for day in (21, 22, 23, 24, 28, 29, 30)]
    assert due == {*winter, datetime(2026, 12, 31, 8, 0, tzinfo=UTC), datetime(2027, 1, 4, 6, 30, tzinfo=UTC)}
    assert 15 == sum(title == f"{STOCK}: deadline" for title, _, _ in entries(feed(bench)))


def test_planned_exceptions_are_there_with_their_times_in_utc(bench: Bench) -> None:
    planned = [entry for entry in entries(feed(bench)) if "deadline" not in entry[0]]
    assert planned == [
        ("Maintenance: kernel patches", *(datetime(2026, 12, 27, hour, tzinfo=UTC) for hour in (1, 3))),
        ("Maintenance: kernel patches", *(datetime(2027, 1, 3, hour, tzinfo=UTC) for hour in (1, 3))),
        ("Maintenance: new disk", NOW, NOW + timedelta(hours=3)),
        ("No promise: Christmas Day", date(2026, 12, 25), date(2026, 12, 26)),
        ("No promise: New Year's Day", date(2027, 1, 1), date(2027, 1, 2)),
        ("Planned: year end", date(2026, 12, 31), date(2027, 1, 1)),
    ]


def test_a_feed_of_one_service_has_only_what_concerns_it(bench: Bench) -> None:
    titles = {title.partition(":")[0] for title, _, _ in entries(feed(bench, "stock"))}
    assert {STOCK, "Maintenance"} == titles
    assert "new disk" not in feed(bench, "stock")
    assert 75 >= max(len(line) for line in feed(bench).encode().split(b"\r\n"))


def test_the_text_changes_only_with_the_dates_and_a_moved_deadline_keeps_its_uid(bench: Bench) -> None:
    first = feed(bench)
    assert first == feed(bench, now=NOW + timedelta(minutes=7))
    until = datetime(2026, 12, 22, 9, tzinfo=UTC)
    moved = feed(bench, extensions=(DeadlineExtension("supply", date(2026, 12, 22), until, "ann", "late rates"),))
    uids = [{str(event["UID"]) for event in icalendar.Calendar.from_ical(text).events} for text in (first, moved)]
    assert uids[0] == uids[1]
    assert len(uids[0]) == first.count("BEGIN:VEVENT")
    assert ("Supply plan: deadline", until, until) in entries(moved)
    assert "by ann: late rates" in moved


def basic(token: str, name: str = "calendar") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{token}".encode()).decode()}


def test_a_calendar_logs_in_with_the_token_as_password_on_its_path_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)
    monkeypatch.setenv("READER", READER)
    settings = EndpointSettings(
        listen=f"127.0.0.1:{free_port()}", token=SecretRef(env="TOKEN"), readers={"wiki": SecretRef(env="READER")}
    )
    reads = ReadApi(bench.url, bench.parts._calendar_feed).endpoints
    with listening(EndpointWorker(settings, {}, SecretStore(), reads)) as url:
        path = f"{url}{API}/calendar.ics"
        reply = httpx.get(f"{path}?service=supply", auth=("calendar", READER))
        assert (200, "text/calendar; charset=utf-8") == (reply.status_code, reply.headers["Content-Type"])
        calendar = icalendar.Calendar.from_ical(reply.text)
        assert {"Supply plan: deadline"} == {str(event["SUMMARY"]) for event in calendar.events}
        assert 14 <= len(calendar.events) <= 16
        assert "Headway bench" == calendar["X-WR-CALNAME"]
        known = {"If-None-Match": reply.headers["ETag"]} | basic(READER)
        assert 304 == httpx.get(f"{path}?service=supply", headers=known).status_code
        assert 200 == httpx.get(path, headers={"Authorization": f"Bearer {READER}"}).status_code
        for wrong in ({}, basic("wrong-0123456789abcdef"), basic(""), {"Authorization": "Basic =%%"}):
            refused = httpx.get(path, headers=wrong)
            assert (401, 'Basic realm="Headway"') == (refused.status_code, refused.headers["WWW-Authenticate"])
        document = httpx.get(f"{url}{API}/openapi.json", headers={"Authorization": f"Bearer {READER}"}).json()
        validate(document)
        described = document["paths"][f"{API}/calendar.ics"]["get"]
        assert {reply.headers["Content-Type"]} == described["responses"]["200"]["content"].keys()
        assert 403 == httpx.get(path, headers=basic(TOKEN)).status_code
        other = httpx.get(f"{url}{API}/services", headers=basic(READER))
        assert (401, "Bearer") == (other.status_code, other.headers["WWW-Authenticate"])
        assert 404 == httpx.get(f"{path}?service=suply", headers=basic(READER)).status_code
        assert 400 == httpx.get(f"{path}?servce=supply", headers=basic(READER)).status_code
