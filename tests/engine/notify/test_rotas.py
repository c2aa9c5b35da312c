"""Who is on call comes from a calendar, a file or a server; what fails keeps what was read last, and says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import structlog

from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.secrets import SecretRef
from connectors.sdk.states import RunState
from console.config.alerts import RotaSettings
from console.diagnosis.routes import probe_rotas
from console.domain.alert import AlertingSettings, OnCallShift, RotaRule, RouteRule
from console.domain.settings import Declared
from console.engine.notify import on_call
from console.engine.notify.on_call import RotaCalendar, RotaParseError, RotaReader, read_rota
from console.engine.worker import PeriodicTasks
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.fakes.web_server import web_server
from tests.hostile.commands import headway
from tests.present import present
from tests.rows import each_row

DAY = timedelta(days=1)
BEGIN = datetime(2026, 11, 16, 8, tzinfo=UTC)
"""A Monday."""


def calendar(*events: str) -> str:
    body = "\r\n".join(events)
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//\r\n{body}\r\nEND:VCALENDAR\r\n"


def event(who: str, begins: datetime, ends: datetime, *more: str) -> str:
    lines = [
        "BEGIN:VEVENT",
        f"UID:{who}-{begins:%Y%m%d%H%M}@test",
        f"DTSTAMP:{begins:%Y%m%dT%H%M%SZ}",
        f"DTSTART:{begins:%Y%m%dT%H%M%SZ}",
        f"DTEND:{ends:%Y%m%dT%H%M%SZ}",
        f"SUMMARY:{who}",
        *more,
        "END:VEVENT",
    ]
    return "\r\n".join(lines)


def test_a_weekly_shift_comes_again_each_week() -> None:
    text = calendar(event("Ann", BEGIN, BEGIN + DAY, "RRULE:FREQ=WEEKLY"))
    shifts = read_rota(text, ("ann",), BEGIN, BEGIN + 15 * DAY).shifts
    assert [OnCallShift("ann", BEGIN + n * DAY, BEGIN + (n + 1) * DAY) for n in (0, 7, 14)] == list(shifts)


def test_who_it_is_may_be_an_attendee_by_name_or_address() -> None:
    shift = (BEGIN, BEGIN + DAY)
    by_address = calendar(event("Primary", *shift, "ATTENDEE:mailto:bob@example.com"))
    by_name = calendar(event("Primary", *shift, "ATTENDEE;CN=Bob Miller:mailto:x@example.com"))
    assert ["bob"] == [on_call_shift.person for on_call_shift in read_rota(by_address, ("bob",), *shift).shifts]
    assert ["bob miller"] == [
        on_call_shift.person for on_call_shift in read_rota(by_name, ("bob miller",), *shift).shifts
    ]
    assert ["Primary"] == [
        on_call_shift.person for on_call_shift in read_rota(calendar(event("Primary", *shift)), ("bob",), *shift).shifts
    ]


def test_a_cancelled_event_is_no_shift() -> None:
    text = calendar(event("Ann", BEGIN, BEGIN + DAY, "STATUS:CANCELLED"))
    assert ((), ()) == read_rota(text, ("ann",), BEGIN, BEGIN + DAY)


@each_row("text", ["", "<html>log in</html>", "BEGIN:VCALENDAR\r\nBEGIN:VEVENT", "\x00\x01"])
def test_what_is_no_calendar_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_call, "parse_apart", lambda function, *arguments: function(*arguments))
    with pytest.raises(RotaParseError, match="not a readable calendar"):
        read_rota(text, ("ann",), BEGIN, BEGIN + DAY)


@pytest.mark.parametrize(
    "rule",
    ["FREQ=SECONDLY", "FREQ=MINUTELY;INTERVAL=5", "FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=0,10,20,30,40,50;BYSECOND=0,30"],
)
def test_an_event_that_comes_back_all_the_time_is_refused_before_it_is_counted(rule: str) -> None:
    """Such a rule took 39 s and 600 MB of the engine's memory at one event in ten seconds."""
    text = calendar(event("Ann", BEGIN, BEGIN + timedelta(minutes=1), f"RRULE:{rule}"))
    with pytest.raises(RotaParseError, match=r"event .Ann. .line 10.: RRULE: it repeats more than 24 times a day"):
        read_rota(text, ("ann",), BEGIN, BEGIN + DAY)


def test_more_shifts_than_the_limit_are_refused_rather_than_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_call, "parse_apart", lambda function, *arguments: function(*arguments))
    hourly = [event(f"Ann {n}", BEGIN, BEGIN + timedelta(hours=1), "RRULE:FREQ=HOURLY") for n in range(8)]
    with pytest.raises(RotaParseError, match="it has more than 5,000 shifts within 30 days"):
        read_rota(calendar(*hourly), ("ann",), BEGIN, BEGIN + 30 * DAY)
    window = (BEGIN - timedelta(hours=1), BEGIN + 30 * DAY + DAY / 48)
    assert 721 == len(read_rota(calendar(hourly[0]), ("ann",), *window).shifts)


@dataclass
class Server:
    """A calendar server on loopback."""

    text: str = ""
    status: int = 200
    requested: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    def answer(request: httpx.Request) -> httpx.Response:
        made.requested.append(request.url.raw_path.decode())
        return httpx.Response(made.status, content=made.text.encode(), headers={"content-type": "text/calendar"})

    with web_server(answer) as address:
        made.url = f"{address}/cal/SECRET-TOKEN.ics?key=1"
        yield made


@pytest.fixture
def bench(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The default route uses a rota whose calendar is on the server."""
    monkeypatch.setenv("ONCALL_CALENDAR", server.url)
    scheduler = FakeScheduler()
    config = estate_config(tmp_path, scheduler)
    routes = dict.fromkeys(("oncall", "ann-phone"), config.routes["oncall"])
    people = {"ann": "ann-phone"}
    rota = RotaSettings(ical=SecretRef(env="ONCALL_CALENDAR"), people=people)
    settings = AlertingSettings(
        (RouteRule("oncall", rota="primary"),), rotas=(RotaRule("primary", tuple(people.items())),)
    )
    made = replace(config, routes=routes, rotas={"primary": rota}, declared=Declared(alerting=settings))
    with running_bench(tmp_path, scheduler, made) as running:
        yield running


def read_rotas(bench: Bench) -> None:
    bench.parts.rotas.step(bench.fence)
    bench.parts.rotas._reads.wait()


def again(bench: Bench) -> None:
    bench.parts.rotas._due.clear()
    read_rotas(bench)


def fails(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, present() - timedelta(minutes=1), exit_code=1)
    bench.turn()


def notified_urls(bench: Bench) -> list[str]:
    with bench.reads() as reads:
        return [delivery.route for delivery in reads.incidents.incident(1).deliveries]


def test_the_person_on_call_by_the_calendar_is_notified(bench: Bench, server: Server) -> None:
    server.text = calendar(event("ann", present() - DAY, present() + DAY))
    read_rotas(bench)
    assert ["/cal/SECRET-TOKEN.ics?key=1"] == server.requested
    fails(bench)
    assert (["ann-phone"], "") == (notified_urls(bench), bench.parts.rotas.trouble())
    done = headway(bench.url, "oncall", "primary")
    assert (0, True) == (done.code, "primary: ann is on call until" in done.out)
    later = headway(bench.url, "oncall", "primary", "--json", "--at", (present() + 2 * DAY).isoformat())
    assert (1, "") == (later.code, later.data["person"])


def test_a_link_to_subscribe_to_a_calendar_is_read_by_https(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    class Endpoint:
        def __init__(self, _: str, origin: str) -> None:
            called.append(origin)

        def call(self, *_: object, **__: object) -> httpx.Response:
            raise SystemUnreachable("not here")

        def close(self) -> None:
            pass

    monkeypatch.setattr(on_call, "HttpEndpoint", Endpoint)
    for url in ("webcal://calendar.example.com/a.ics", "WEBCAL://calendar.example.com/a.ics"):
        with pytest.raises(SystemUnreachable):
            on_call._fetch(url)
    assert ["https://calendar.example.com"] * 2 == called
    with pytest.raises(ValueError, match="must be https or webcal"):
        on_call._fetch("http://calendar.example.com/a.ics")


def test_a_calendar_with_a_bad_event_is_used_and_the_event_is_named(bench: Bench, server: Server) -> None:
    bad = event("bob", present(), present() + DAY, "RRULE:FREQ=WEEKLY;INTERVAL=0")
    server.text = calendar(event("ann", present() - DAY, present() + DAY), bad)
    read_rotas(bench)
    problem = 'is read without event "bob" (line 17): RRULE: INTERVAL must be 1 or more'
    assert f'rota "primary" {problem}' == bench.parts.rotas.trouble()
    done = headway(bench.url, "oncall", "primary")
    assert (0, True) == (done.code, f"  problem: {problem}" in done.out)
    assert problem in probe_rotas(bench.config, bench.parts.secrets)[0].notes
    server.text = calendar(event("ann", present() - DAY, present() + DAY), bad, event("eve", present(), present()))
    bench.parts.rotas._due.clear()
    read_rotas(bench)
    assert f"{problem}, and 1 other event that headway check names" in headway(bench.url, "oncall", "primary").out
    other = 'is read without event "eve" (line 23): DTEND: it has no duration; add a DTEND or DURATION'
    assert (problem, other) == probe_rotas(bench.config, bench.parts.secrets)[0].notes
    server.text = "<html>"
    [broken] = probe_rotas(bench.config, bench.parts.secrets)
    assert ("broken", "not a readable calendar" in broken.text[0]) == (broken.verdict, True)


def test_alertmanager_is_refreshed_while_a_calendar_hangs(bench: Bench) -> None:
    """A rota that could not be parsed ended the alerts of open incidents after four minutes."""
    workers = dict(bench.parts.running())
    steps = {name: cast(PeriodicTasks, workers[name])._steps for name in ("periodic", "alertmanager")}
    assert bench.parts.rotas.step in steps["periodic"]
    assert bench.parts.outbox.refresh_alertmanagers not in steps["periodic"]
    assert (bench.parts.outbox.refresh_alertmanagers,) == steps["alertmanager"]


@pytest.mark.parametrize("slow", ["first", "last"])
def test_a_calendar_that_hangs_delays_no_other(
    bench: Bench, server: Server, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    """Each waited for those before it: 30 s for one of 300 series, 20 s for a server that does not answer."""
    answer, others_read = threading.Event(), threading.Semaphore(0)
    server.text = calendar(event("ann", present() - DAY, present() + DAY))
    rotas = {name: replaced(bench, name) for name in ("first", "second", "third", "last")}
    fetched = on_call.read_calendar_of

    def read(rota: RotaSettings, *given: Any) -> RotaCalendar:
        if rota is rotas[slow]:
            assert answer.wait(60.0)
        return fetched(rota, *given)

    monkeypatch.setattr(on_call, "read_calendar_of", read)
    reader = RotaReader(
        bench.store, bench.parts.clock, rotas, AlertingSettings(), bench.folder, bench.parts.secrets,
        others_read.release,
    )  # fmt: skip
    reader.step(bench.fence)
    assert [True] * 3 == [others_read.acquire(timeout=60.0) for _ in range(3)]
    reader.step(bench.fence)
    assert rotas.keys() - {slow} == stored_rotas(bench)
    answer.set()
    reader._reads.wait()
    assert rotas.keys() == stored_rotas(bench)
    assert 4 == len(server.requested), "a read that goes on is not started again"


def replaced(bench: Bench, name: str) -> RotaSettings:
    """The rota of the bench under another identity."""
    return bench.config.rotas["primary"].model_copy(update={"people": {name: "ann-phone"}})


def stored_rotas(bench: Bench) -> set[str]:
    with bench.store.read() as connection:
        return {row.name for row in connection.rows("SELECT name FROM rota")}


def test_of_a_calendar_only_the_shifts_are_stored(bench: Bench, server: Server) -> None:
    """All of its text was, up to 4 MiB, for nobody; PostgreSQL takes no NUL in it."""
    server.text = calendar(event("ann", present() - DAY, present() + DAY, "DESCRIPTION:back from the\x00clinic"))
    read_rotas(bench)
    with bench.store.read() as connection:
        [row] = connection.rows("SELECT * FROM rota")
    assert "ann" in row.shifts
    assert "clinic" not in repr(row)


def test_in_a_gap_the_routes_own_urls_are_notified_and_the_problem_says_so(bench: Bench, server: Server) -> None:
    server.text = calendar(event("ann", present() + DAY, present() + 2 * DAY))
    read_rotas(bench)
    fails(bench)
    assert ["oncall"] == notified_urls(bench)
    assert 'rota "primary" has a gap: no one is on call' in bench.parts.trouble("")


def test_an_unknown_person_in_the_calendar_is_a_problem(bench: Bench, server: Server) -> None:
    server.text = calendar(event("carol", present() - DAY, present() + DAY))
    read_rotas(bench)
    assert 'rota "primary" names "carol", who is not in its people' == bench.parts.rotas.trouble()


def test_a_failing_calendar_serves_its_last_content_and_says_so_without_its_address(
    bench: Bench, server: Server
) -> None:
    server.text = calendar(event("ann", present() - DAY, present() + DAY))
    read_rotas(bench)
    server.status = 503
    again(bench)
    trouble = bench.parts.rotas.trouble()
    assert 'rota "primary" cannot be read since' in trouble
    assert "SECRET-TOKEN" not in trouble
    fails(bench)
    assert ["ann-phone"] == notified_urls(bench)
    done = headway(bench.url, "oncall", "primary")
    assert "  problem: the rota" in done.out
    assert "SECRET-TOKEN" not in done.out
    server.status = 200
    again(bench)
    assert "" == bench.parts.rotas.trouble()


@pytest.mark.parametrize("otherwise", [str.upper, lambda url: f"{url}#SECRET-TOKEN"])
def test_no_part_of_a_calendars_address_is_shown_however_it_is_written(
    bench: Bench, server: Server, monkeypatch: pytest.MonkeyPatch, otherwise: Callable[[str], str]
) -> None:
    """Only the whole secret is masked, and the request is spelled again."""
    monkeypatch.setenv("ONCALL_CALENDAR", otherwise(server.url))
    server.status = 503
    again(bench)
    trouble = bench.parts.rotas.trouble()
    assert ("(503)" in trouble, "SECRET-TOKEN" in trouble) == (True, False)


def test_a_failing_calendar_is_logged_when_lost_and_when_back(bench: Bench, server: Server) -> None:
    server.status = 503
    with structlog.testing.capture_logs() as logged:
        again(bench)
        again(bench)
        server.status = 401
        again(bench)
        trouble = bench.parts.rotas.trouble()
        server.status, server.text = 200, calendar(event("ann", present() - DAY, present() + DAY))
        again(bench)
    assert ["warning", "warning", "info"] == [row["log_level"] for row in logged if row.get("rota") == "primary"]
    assert "(401)" in trouble, "the trouble tells the last reason"


def test_a_calendar_may_be_a_file_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "oncall.ics").write_text(calendar(event("ann", present() - DAY, present() + DAY)))
    config = estate_config(tmp_path, FakeScheduler())
    rotas = {"primary": RotaSettings(ical="oncall.ics", people={"ann": "oncall"}), "lost": RotaSettings(
        ical="lost.ics", people={"ann": "oncall"})}  # fmt: skip
    settings = AlertingSettings(rotas=tuple(RotaRule(name, (("ann", "oncall"),)) for name in rotas))
    config = replace(config, rotas=rotas, declared=Declared(alerting=settings))
    with running_bench(tmp_path, FakeScheduler(), config) as made:
        read_rotas(made)
        assert 'rota "lost" cannot be read since' in made.parts.rotas.trouble()
        assert "No such file or directory" in made.parts.rotas.trouble()
        with made.reads() as reads:
            assert [("lost", ""), ("primary", "ann")] == [
                (rota.name, rota.person) for rota in reads.alerts.rotas(present())
            ]
