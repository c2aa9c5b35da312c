"""The HTTP transport over made-up replies: the checks before anything is read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from connectors.sdk.errors import (
    AccessRefused,
    ConnectorError,
    InvalidAnswer,
    NotSupported,
    OutcomeUnknown,
    PermissionMissing,
    RateLimited,
    SystemUnreachable,
)
from connectors.sdk.records import TargetClock
from connectors.sdk.transport import http
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpEndpoint, HttpReply, checked_origin, retry_after
from tests.rows import each_row

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def endpoint_with(handler: Callable[[httpx.Request], httpx.Response], rate: float | None = None) -> HttpEndpoint:
    transport = httpx.MockTransport(handler)
    return HttpEndpoint("Airflow", "https://af.example.com/base", transport=transport, requests_per_second=rate)


def answering(status: int = 200, body: bytes = b"{}", **headers: str) -> HttpEndpoint:
    named = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return endpoint_with(lambda _: httpx.Response(status, content=body, headers=named))


def get(endpoint: HttpEndpoint, once: bool = False) -> HttpReply:
    return endpoint.call("GET", "/dags", Deadline(5), once=once)


STATUSES: list[tuple[int, type[ConnectorError], type[ConnectorError]]] = [
    *((status, AccessRefused, AccessRefused) for status in (300, 301, 302, 303, 304, 307, 308, 401, 402, 407, 451)),
    (403, PermissionMissing, PermissionMissing),
    (429, RateLimited, RateLimited),
    *((status, InvalidAnswer, InvalidAnswer) for status in (408, 423, 425)),
    *((status, InvalidAnswer, OutcomeUnknown) for status in (500, 502, 503, 504, 507, 508, 520, 599)),
    *((status, NotSupported, NotSupported) for status in (400, 404, 405, 406, 409, 410, 411, 412, 413, 414, 415, 416)),
    *((status, NotSupported, NotSupported) for status in (417, 418, 421, 422, 424, 426, 428, 431, 501, 505)),
]


@each_row("status, read, sent_once", STATUSES)
def test_every_status_is_sorted_by_what_happens_next(
    status: int, read: type[ConnectorError], sent_once: type[ConnectorError]
) -> None:
    with pytest.raises(ConnectorError) as first:
        get(answering(status))
    with pytest.raises(ConnectorError) as second:
        get(answering(status), once=True)
    assert (read, sent_once) == (first.type, second.type)
    assert "Airflow: the answer to" in str(first.value)
    assert f"GET https://af.example.com/base/dags ({status})" in str(first.value)


def test_a_status_that_the_caller_expects_is_a_reply() -> None:
    assert 409 == answering(409).call("POST", "/x", Deadline(5), accept={409}).status


@each_row(
    "value, seconds",
    [
        ("30", 30.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("1e3", None),
        ("99999999999", 900.0),
        ("Fri, 20 Nov 2026 12:01:00 GMT", 60.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 900.0),
        ("Fri, 20 Nov 0001 12:01:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("nan", None),
        (None, None),
        ("٣٠", None),
    ],
)
def test_f28_retry_after_is_obeyed_up_to_a_quarter_of_an_hour(value: str | None, seconds: float | None) -> None:
    assert seconds == retry_after(value, TargetClock(NOON, NOON))


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_says_when_to_come_back(status: int) -> None:
    with pytest.raises(SystemUnreachable) as caught:
        get(answering(status, retry_after="120"))
    assert 120.0 == caught.value.retry_after_seconds
    assert str(caught.value).endswith(" without a message. Wait at least 120 s")


@pytest.mark.parametrize("header, once, requests", [("1", False, 3), ("1", True, 3), ("6", False, 1), ("", True, 1)])
def test_a_short_retry_after_is_waited_for_within_a_call(
    monkeypatch: pytest.MonkeyPatch, header: str, once: bool, requests: int
) -> None:
    """A longer one ends the call. By a 429 nothing was done: an action of two calls was broken off between them."""
    waits: list[float] = []
    monkeypatch.setattr("connectors.sdk.transport.http.wait_seconds", waits.append)
    limited = httpx.Response(429, headers={"retry-after": header})
    replies = [limited, limited, httpx.Response(200, json={})]
    endpoint = endpoint_with(lambda _: replies.pop(0))
    if requests == 3:
        assert 200 == endpoint.call("GET", "/dags", Deadline(10), once=once).status
    else:
        with pytest.raises(RateLimited):
            endpoint.call("GET", "/dags", Deadline(10), once=once)
    assert (3 - requests, [1.0] * (requests - 1)) == (len(replies), waits)


@each_row(
    "method, status, once, is_read, requests",
    [
        ("GET", 429, False, False, 2),
        ("GET", 500, False, False, 2),
        ("GET", 503, False, False, 2),
        ("GET", 501, False, False, 1),
        ("GET", 404, False, False, 1),
        ("POST", 502, False, False, 1),
        ("POST", 502, False, True, 2),
        ("GET", 502, True, False, 1),
    ],
)
def test_a_read_that_meets_a_fault_of_the_server_is_sent_again_once(
    method: str, status: int, once: bool, is_read: bool, requests: int
) -> None:
    """With 3 % of such answers a list of 100 rows with a request each was never read."""
    sent = list[httpx.Request]()

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(status)

    with pytest.raises(ConnectorError):
        endpoint_with(answer).call(method, "/dags", Deadline(10), once=once, is_read=is_read)
    assert requests == len(sent)


@pytest.mark.parametrize("once, seconds", [(False, 1.5), (True, 1.5), (True, 3.5)])
def test_a_retry_after_beyond_the_deadline_is_not_waited_for(once: bool, seconds: float) -> None:
    """Half of the time of a write is kept for its reply: without it, the outcome of the last try would be unknown."""
    endpoint = endpoint_with(lambda _: httpx.Response(429, headers={"retry-after": "2"}))
    with pytest.raises(RateLimited) as caught:
        endpoint.call("GET", "/x", Deadline(seconds), once=once)
    assert 2.0 == caught.value.retry_after_seconds


def test_requests_are_spaced_by_the_rate_of_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    now, sent = 100.0, list[float]()

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    def answer(_: httpx.Request) -> httpx.Response:
        sent.append(now)
        return httpx.Response(200, json={})

    monkeypatch.setattr("connectors.sdk.transport.http.time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr("connectors.sdk.transport.http.wait_seconds", wait)
    endpoint = endpoint_with(answer, rate=4.0)
    for pause in (0.0, 0.0, 0.1, 5.0, 0.0):
        wait(pause)
        endpoint.call("GET", "/x", Deadline(60))
    assert [100.0, 100.25, 100.5, 105.5, 105.75] == sent
    with pytest.raises(RateLimited, match="requests_per_second allows no request before the end of this call"):
        endpoint.call("GET", "/x", Deadline(0.2))
    with pytest.raises(RateLimited):  # half of the time of a write is kept for its reply
        endpoint.call("POST", "/x", Deadline(0.4), once=True)
    assert 5 == len(sent)


def test_f29_a_login_page_with_200_is_a_refused_access_and_no_empty_list() -> None:
    with pytest.raises(AccessRefused, match="is a web page, not JSON: a login"):
        get(answering(body=b"<html>Sign in</html>", content_type="text/html; charset=utf-8")).table()


def test_a_redirect_is_not_followed_and_names_only_its_host() -> None:
    with pytest.raises(AccessRefused, match=r"redirect to sso\.example\.com; redirects are not followed") as caught:
        get(answering(302, location="https://sso.example.com/login?token=abc"))
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    "body, text",
    [
        (b'{"dags": [{"dag_id": "a"', "is not whole JSON: it breaks at character 24 of 24 bytes"),
        (b"", "is not whole JSON: it breaks at character 0 of 0 bytes"),
        (b"\xff\xfe", "is not UTF-8 at byte 0 of 2"),
        (b"[" * 100_000, "nested too deep to be read (100000 bytes)"),
        (b"[1, 2]", "is a JSON list, not an object"),
        (b'"text"', "is a JSON str, not an object"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not whole JSON"),
    ],
    ids=["cut", "empty", "no UTF-8", "deep", "list", "text", "endless number"],
)
def test_f30_an_incomplete_json_object_is_reported_with_its_place(body: bytes, text: str) -> None:
    with pytest.raises(InvalidAnswer) as caught:
        get(answering(body=body)).table()
    assert text in str(caught.value)


def test_odd_json_that_is_whole_is_read() -> None:
    body = b'\xef\xbb\xbf{"nan": NaN, "big": 1e400, "id": 9223372036854775809, "twice": 1, "twice": 2}'
    expected = {"nan": None, "big": float("inf"), "id": 9223372036854775809, "twice": 2}
    assert expected == get(answering(body=body)).table()


def test_a_packed_reply_is_unpacked() -> None:
    packed = gzip.compress(json.dumps({"dags": []}).encode())
    item = endpoint_with(lambda _: raw(packed, "gzip"))
    assert {"dags": []} == get(item).table()


def test_f34_a_packed_bomb_stops_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LIMIT_BYTES", 1024 * 1024)
    bomb = gzip.compress(bytes(20 * 1024 * 1024))
    with pytest.raises(SystemUnreachable, match="is larger than 1 MiB"):
        get(endpoint_with(lambda _: raw(bomb, "gzip")))


def test_a_large_reply_stops_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LIMIT_BYTES", 1024 * 1024)
    with pytest.raises(SystemUnreachable, match="is larger than 1 MiB"):
        get(endpoint_with(lambda _: raw(bytes(1024 * 1024 + 1), "")))


def test_a_truncated_compressed_reply_is_not_accepted_as_complete() -> None:
    packed = gzip.compress(b'{"dags": []}')
    with pytest.raises(SystemUnreachable, match="ends in the middle of its packed body"):
        get(endpoint_with(lambda _: raw(packed[:-4], "gzip")))


def test_a_garbled_packed_reply_is_named() -> None:
    with pytest.raises(SystemUnreachable, match="cannot be unpacked"):
        get(endpoint_with(lambda _: raw(b"no gzip at all", "gzip")))


def raw(body: bytes, encoding: str) -> httpx.Response:
    """A reply as from the wire: httpx has not touched its body."""
    headers = {"content-type": "application/json", "content-encoding": encoding}
    return httpx.Response(200, headers=headers, stream=httpx.ByteStream(body))


def test_what_we_sent_is_not_repeated_in_a_message() -> None:
    detail = [
        {"type": "missing", "loc": ["body", "password"], "msg": "Field required", "input": {"username": "me-it-is"}}
    ]
    with pytest.raises(NotSupported) as caught:
        get(answering(422, json.dumps({"detail": detail}).encode()))
    assert "body.password: Field required" in str(caught.value)
    assert "me-it-is" not in str(caught.value)


@each_row(
    "detail, text",
    [
        ("no such dag", "no such dag"),
        (["one", "two"], "one; two"),
        ({"reason": "Unique constraint violation", "statement": "hidden"}, "Unique constraint violation"),
        (7, "without a message"),
        (None, "without a message"),
    ],
)
def test_the_four_shapes_of_detail_are_read(detail: object, text: str) -> None:
    with pytest.raises(NotSupported) as caught:
        get(answering(400, json.dumps({"detail": detail}).encode()))
    assert text in str(caught.value)


@each_row(
    "error, text",
    [
        ({"code": "job_busy", "detail": "Job jb_1 is burning."}, "job_busy: Job jb_1 is burning."),
        ({"code": 404, "message": "no such job"}, "is a refusal: no such job"),
        ({"code": "gone", "title": "Gone"}, "gone: Gone"),
        ({"error_description": "no such client"}, "is a refusal: no such client"),
        ({"code": "job_busy"}, "is a refusal: job_busy"),
        ({"detail": {"input": "hidden"}, "code": ["hidden"]}, "without a message"),
    ],
)
def test_the_code_and_the_text_of_an_error_object_are_read(error: object, text: str) -> None:
    with pytest.raises(NotSupported) as caught:
        get(answering(409, json.dumps({"error": error}).encode()))
    assert text in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_list_of_errors_is_read() -> None:
    body = json.dumps([{"message": "sObject type is not supported", "errorCode": "INVALID_TYPE"}])
    with pytest.raises(NotSupported, match="is a refusal: sObject type is not supported"):
        get(answering(400, body.encode()))


@each_row(
    "kind, body, text",
    [
        ("text/plain; charset=utf-8", b"\n  queue etl is closed \nat line 7", "is a refusal: queue etl is closed"),
        ("text/plain", b"x" * 10_000, f"is a refusal: {'x' * 200}"),
        ("text/plain", b"\xff closed", "is a refusal: \ufffd closed"),
        ("text/plain", b" \n\n", "is a refusal without a message"),
        ("text/html", b"<p>closed</p>", "is a refusal without a message"),
        ("", b"closed", "is a refusal without a message"),
    ],
)
def test_the_first_line_of_a_plain_text_refusal_is_quoted(kind: str, body: bytes, text: str) -> None:
    with pytest.raises(NotSupported) as caught:
        get(endpoint_with(lambda _: httpx.Response(400, content=body, headers={"content-type": kind} if kind else {})))
    assert str(caught.value).endswith(text)


def test_the_date_header_is_the_clock_of_the_server() -> None:
    clock = get(answering(date="Fri, 20 Nov 2026 12:00:00 GMT")).clock
    assert clock is not None
    assert NOON == clock.target


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 99 Nov 2026 12:00:00 GMT"])
def test_an_unreadable_date_is_no_clock(date: str) -> None:
    assert None is get(answering(date=date)).clock


@each_row(
    "error, read, sent_once",
    [
        (httpx.ConnectError("refused"), SystemUnreachable, SystemUnreachable),
        (httpx.ConnectTimeout("slow"), SystemUnreachable, SystemUnreachable),
        (httpx.ReadError("reset"), SystemUnreachable, OutcomeUnknown),
        (httpx.WriteError("reset"), SystemUnreachable, OutcomeUnknown),
        (httpx.ReadTimeout("slow"), SystemUnreachable, OutcomeUnknown),
        (httpx.RemoteProtocolError("closed"), SystemUnreachable, OutcomeUnknown),
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), AccessRefused, AccessRefused),
    ],
)
def test_a_lost_answer_is_unknown_only_where_something_was_sent(
    error: Exception, read: type[ConnectorError], sent_once: type[ConnectorError]
) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(read):
        get(endpoint_with(fail))
    with pytest.raises(sent_once):
        get(endpoint_with(fail), once=True)


@pytest.mark.parametrize("once, calls", [(False, 2), (True, 1)])
def test_a_broken_connection_is_replaced_once_for_a_read_and_never_for_an_action(once: bool, calls: int) -> None:
    seen: list[httpx.Request] = []

    def reset(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        raise httpx.ReadError("reset")

    with pytest.raises(ConnectorError):
        get(endpoint_with(reset), once=once)
    assert calls == len(seen)


def test_without_time_nothing_is_sent() -> None:
    seen: list[httpx.Request] = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    with pytest.raises(SystemUnreachable):
        endpoint_with(note).call("POST", "/x", Deadline(0), once=True)
    assert [] == seen


@each_row(
    "url", ["https://af.example.com", "https://af.example.com/base/", "http://127.0.0.1:8080", "http://[::1]:8080"]
)
def test_a_valid_origin_is_stored_without_its_last_slash(url: str) -> None:
    assert url.rstrip("/") == checked_origin(url, plain_http=False)


@each_row(
    "url, text",
    [
        ("https://me:pw@af.example.com", "must hold no credentials"),
        ("ftp://af.example.com", "needs http:// or https:// and a host"),
        ("af.example.com", "needs http:// or https:// and a host"),
        ("https://", "needs http:// or https:// and a host"),
        ("https://af.example.com/?x=1", "no query"),
        ("http://af.example.com", "unencrypted: use https://"),
        ("http://127.0.0.1.example.com", "unencrypted: use https://"),
        ("https://af.example.com:99999", "Port out of range"),
    ],
)
def test_an_origin_that_could_leak_credentials_is_refused(url: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        checked_origin(url, plain_http=False)


def test_plain_http_may_be_allowed_explicitly() -> None:
    assert "http://af.lan" == checked_origin("http://af.lan", plain_http=True)


def test_a_ca_file_that_is_not_there_is_named() -> None:
    with pytest.raises(AccessRefused, match=r"ca_file /nowhere/ca\.pem cannot be read"):
        HttpEndpoint("Airflow", "https://af.example.com", Path("/nowhere/ca.pem"))
