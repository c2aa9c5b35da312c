"""Checks of the answer of a web address."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
import pytest

from connectors.checks import http
from connectors.checks.queries import HttpQuery, Measurement
from connectors.sdk.errors import AccessRefused, RecordUnreadable, SystemUnreachable
from tests.fakes.web_server import web_server
from tests.lab.process import HANGS_SECONDS

DOCUMENT = {
    "data": {
        "rows": 1204,
        "{day}": 7,
        "{rows}": {"n": 3},
        "items": [{"n": 1}, {"n": 2}],
        "ok": True,
        "none": None,
        "long": "x" * 500,
    },
    "at": {"iso": "2026-11-20T03:00:00Z", "bare": "2026-11-20T04:00:00", "s": 1763607600, "ms": 1763607600000},
}


@dataclass
class Web:
    url: str = ""
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def handle(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.seen.append((request.url.raw_path.decode(), dict(request.headers)))
        status = {"/gone": 404, "/refused": 401, "/broken": 503, "/moved": 302}.get(path, 200)
        if path == "/silent":
            self.over.wait(HANGS_SECONDS)
        kind, body = ("text/html", "<html>") if path == "/page" else ("application/json", json.dumps(DOCUMENT))
        headers = {"content-type": kind, "location": "http://elsewhere.example/"}
        return httpx.Response(status, headers=headers, content=body.encode())


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    made = Web()
    with web_server(made.handle) as made.url:
        yield made
        made.over.set()


def measure_url(web: Web, path: str, where: str = "", seconds: float = 5, **headers: str) -> Measurement:
    is_time = where.startswith("at.")
    query = HttpQuery(web.url + path, where, is_time, "Europe/Berlin")
    return http.measure(query, headers, None, seconds)


@pytest.mark.parametrize(
    "where, value",
    [
        ("data.rows", 1204),
        ("data.items[1].n", 2),
        ("data.{day}", 7),
        ("data.{rows}.n", 3),
        ("data.items", 2),
        ("data.ok", True),
        ("data.none", None),
        ("data.long", "x" * 200),
    ],
)
def test_a_value_is_found_where_it_is(web: Web, where: str, value: object) -> None:
    assert Measurement(exists=True, value=value, has_value=True) == measure_url(web, "/", where)  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["data.nothing", "data.items[7]", "data.rows.more", "data[0]"])
def test_where_nothing_is_there_is_no_value(web: Web, where: str) -> None:
    assert Measurement(exists=True) == measure_url(web, "/", where)


@pytest.mark.parametrize("where", ["at.iso", "at.bare", "at.s", "at.ms"])
def test_times_are_read_as_people_write_them(web: Web, where: str) -> None:
    expected = datetime(2026, 11, 20, 3, tzinfo=UTC) if where in ("at.iso", "at.bare") else None
    newest = measure_url(web, "/", where).newest
    assert newest is not None
    assert (expected or datetime.fromtimestamp(1763607600, UTC)) == newest.astimezone(UTC)


def test_an_invalid_time_is_not_accepted(web: Web) -> None:
    query = HttpQuery(web.url + "/", "data.long", is_time=True)
    with pytest.raises(RecordUnreadable, match="the value is not a time"):
        http.measure(query, {}, None, 5)


def test_an_address_without_an_answer_there_is_not_there(web: Web) -> None:
    assert Measurement(exists=False) == measure_url(web, "/gone", "data.rows")
    assert Measurement(exists=True) == measure_url(web, "/")


def test_headers_and_the_query_arrive(web: Web) -> None:
    measure_url(web, "/daily?day=2026-11-19&x=", Authorization="Bearer T0KEN")
    path, headers = web.seen[-1]
    assert "/daily?day=2026-11-19&x=" == path
    assert "Bearer T0KEN" == headers["authorization"]


def test_a_query_arrives_as_it_is_written(web: Web) -> None:
    """A duplicate name is two conditions to many servers."""
    measure_url(web, "/rows?state=done&state=ok&at=2026-11-20T03%3A00Z&flag", "data.rows")
    assert "/rows?state=done&state=ok&at=2026-11-20T03%3A00Z&flag" == web.seen[-1][0]


def test_a_failing_url_is_reported_without_its_query(web: Web) -> None:
    with pytest.raises(SystemUnreachable) as error:
        measure_url(web, "/broken?key=SECRET")
    assert ("/broken" in str(error.value), "SECRET" in str(error.value)) == (True, False)


def test_an_address_unfit_for_a_request_is_refused_with_a_message(web: Web) -> None:
    with pytest.raises(AccessRefused, match="its address is not valid: URL too long"):
        measure_url(web, "/" + "a" * 70_000)


@pytest.mark.parametrize(
    "path, error", [("/refused", AccessRefused), ("/moved", AccessRefused), ("/page", AccessRefused),
                    ("/broken", SystemUnreachable), ("/silent", SystemUnreachable)]
)  # fmt: skip
def test_refusals_and_silence_are_errors_that_show_no_secret(web: Web, path: str, error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        measure_url(web, path, "data.rows", seconds=0.5 if path == "/silent" else 5, Authorization="Bearer T0KEN")
    assert "T0KEN" not in str(raised.value)


def test_an_invalid_header_is_reported_without_its_value(web: Web) -> None:
    with pytest.raises(AccessRefused, match="header Authorization cannot be sent") as raised:
        measure_url(web, "/", Authorization="Bearer T0K\r\nEN")
    assert "T0K" not in str(raised.value)
