"""Hostile reports sent to the real endpoint: each entry of NASTY, and the effect on the others.

The kind sends no requests, so no reply of a source can be corrupted; hostile requests come here."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from connectors.heartbeat.listener import PingListener
from connectors.heartbeat.spool import current_time
from connectors.sdk.conformance.faults import (
    ANY_STATUS,
    BUSY,
    BUSY_7,
    ENDLESS,
    GARBLED,
    HOUR_OFF,
    JOB_DELETED,
    LOGIN_PAGE,
    LONG_BYTES,
    LONG_LINE,
    NASTY,
    NOT_A_NUMBER,
    NOT_UTF8,
    SHUFFLED,
    TRUNCATED,
    TWICE,
)
from connectors.sdk.conformance.world import ref
from tests.connectors.heartbeat.support import (
    TOKENS,
    answer,
    calling,
    connected,
    latest_records,
    open_at,
    ping,
    raw_reply,
)

STORED, NONE = "kept", "none"
Sends = Callable[[PingListener], str]
"""Sends it, and answers what the door said, in one line."""


@pytest.fixture
def ping_endpoint(tmp_path: Path) -> Iterator[PingListener]:
    with open_at(tmp_path) as opened:
        yield opened


def report(path: str, *headers: str, body: bytes = b"", token: str = TOKENS["export"]) -> bytes:
    head = [f"POST /ping/{token}{path} HTTP/1.1", "Host: x", *headers]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


def first_line(peer: PingListener, request: bytes) -> str:
    return raw_reply(peer, request).partition("\r\n")[0].rstrip()


def cut_short(peer: PingListener) -> str:
    """Half of a JSON body, and nobody is there any more."""
    whole = report("/fail?rid=nasty", "Content-Type: application/json", body=b'{"rows": 12, "state": "failed"}')
    with calling(peer) as sock:
        sock.sendall(whole[:-16])
        sock.shutdown(socket.SHUT_WR)
        return answer(sock).partition("\r\n")[0].rstrip()


def twice(peer: PingListener) -> str:
    return {ping(peer, "/fail?rid=nasty", b"no space left") for _ in range(2)}.pop().rstrip()


def an_hour_off(peer: PingListener) -> str:
    """From the sender's clock, as in its headers and its log."""
    late = datetime.now(UTC) + timedelta(hours=1)
    request = report("/fail?rid=nasty", f"Date: {format_datetime(late, usegmt=True)}", body=late.isoformat().encode())
    return first_line(peer, request)


SENT: dict[str, tuple[Sends, str, str]] = {
    LOGIN_PAGE: (
        lambda peer: first_line(peer, report("/fail?rid=nasty", body=b"<html><input name=password></html>")),
        "HTTP/1.1 200", STORED,
    ),
    TRUNCATED: (cut_short, "HTTP/1.1 400", NONE),
    NOT_UTF8: (lambda peer: ping(peer, "/fail?rid=nasty", b"caf\xe9 \xff\xfe").rstrip(), "HTTP/1.1 200", STORED),
    NOT_A_NUMBER: (lambda peer: ping(peer, "/2?rid=nasty&rows=NaN").rstrip(), "HTTP/1.1 200", STORED),
    GARBLED: (lambda peer: first_line(peer, report("/hibernated?rid=nasty")), "HTTP/1.1 404", NONE),
    TWICE: (twice, "HTTP/1.1 200", STORED),
    ENDLESS: (
        lambda peer: first_line(peer, report("?rid=nasty&" + "&".join(f"page={n}" for n in range(50)))),
        "HTTP/1.1 400", NONE,
    ),
    HOUR_OFF: (an_hour_off, "HTTP/1.1 200", STORED),
    LONG_LINE: (lambda peer: ping(peer, "/fail?rid=nasty", b"x" * LONG_BYTES).rstrip(), "HTTP/1.1 200", STORED),
    JOB_DELETED: (lambda peer: first_line(peer, report("?rid=nasty", token="of-a-job-no-more")), "HTTP/1.1 404", NONE),
}  # fmt: skip
"""How it comes -> who sends it, what the door says, whether a run is kept of it."""
NO_ANSWERS = {BUSY, BUSY_7, ANY_STATUS, SHUFFLED}
"""What a server may answer, one record or many: here the door is the server, and test_door has its own 429."""


def test_every_nasty_reply_is_sent_or_is_none_that_can_come_here() -> None:
    assert {*NASTY, ANY_STATUS} == {*SENT, *NO_ANSWERS}


@pytest.mark.parametrize("how", SENT)
def test_an_invalid_report_costs_no_other_report_and_never_means_success(ping_endpoint: PingListener, how: str) -> None:
    sends, text, stored = SENT[how]
    ping(ping_endpoint, "?rid=before&rows=12")
    assert text == sends(ping_endpoint)
    ping(ping_endpoint, "/3?rid=after", b"disk full")
    runs = {run.attempt_key: run for run in latest_records(ping_endpoint)}
    assert {"before": "succeeded", "after": "failed"} == {rid: run.state for rid, run in runs.items() if rid != "nasty"}
    assert (["nasty"] if stored == STORED else []) == [rid for rid in runs if rid == "nasty"]
    assert "succeeded" not in [run.state for rid, run in runs.items() if rid == "nasty"]


def test_the_time_of_a_report_is_that_of_its_arrival(ping_endpoint: PingListener) -> None:
    an_hour_off(ping_endpoint)
    [run] = latest_records(ping_endpoint)
    assert run.ended_at is not None
    assert abs(run.ended_at.timestamp() - current_time().wall) < 60


def test_the_end_of_a_line_of_ten_megabytes_is_kept_and_labeled_as_cut(ping_endpoint: PingListener) -> None:
    ping(ping_endpoint, "/fail?rid=long", b"x" * LONG_BYTES + b"no space left")
    [run] = latest_records(ping_endpoint)
    chunk = connected(ping_endpoint).log(ref(run), None, 1_000_000, 5)
    assert (True, True) == (chunk.cut, chunk.text.endswith("no space left"))
    assert len(chunk.text) < 100_000


def test_an_end_that_overtakes_its_start_is_one_run(ping_endpoint: PingListener) -> None:
    """Two requests of a job may come in another order."""
    ping(ping_endpoint, "/3?rid=late", b"disk full")
    ping(ping_endpoint, "/start?rid=late")
    assert [("late", "failed")] == [(run.attempt_key, run.state) for run in latest_records(ping_endpoint)]


def test_a_report_that_came_twice_is_one_run(ping_endpoint: PingListener) -> None:
    """A sender that did not hear the answer sends it again."""
    twice(ping_endpoint)
    twice(ping_endpoint)
    assert ["nasty"] == [run.attempt_key for run in latest_records(ping_endpoint)]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1", "1e9", "0x10", "1.5", "9" * 400, "%D9%A3", "%ff", "1+2"])
def test_a_number_that_is_none_is_left_out_and_named_and_its_report_counts(
    ping_endpoint: PingListener, value: str
) -> None:
    """A job that failed before it wrote anything has no number, and is reported as failed all the same."""
    for name, other in (("rows", "bytes"), ("bytes", "rows")):
        answered = raw_reply(ping_endpoint, report(f"/2?rid=of-{name}&{name}={value}&{other}=7"))
        assert ("HTTP/1.1 200", True) == (
            answered.partition("\r\n")[0].rstrip(), f"{name} left out: not a whole number" in answered
        )  # fmt: skip
    poll = connected(ping_endpoint).poll("", (), 5)
    assert [("failed", {"rid": "of-rows", "bytes": 7}), ("failed", {"rid": "of-bytes", "rows": 7})] == [
        (run.state, run.context) for run in poll.runs
    ]
    assert ["export, rid of-rows, rows", "export, rid of-bytes, bytes"] == [skip.where for skip in poll.skipped]
    assert () == connected(ping_endpoint).poll(poll.cursor, (), 5).skipped


def test_a_number_that_is_empty_or_padded_with_blanks_is_valid(ping_endpoint: PingListener) -> None:
    answered = raw_reply(ping_endpoint, report("/2?rid=1&rows=&bytes=%20%2012"))
    assert answered.endswith("\r\n\r\nOK\n")
    poll = connected(ping_endpoint).poll("", (), 5)
    assert ([{"rid": "1", "bytes": 12}], ()) == ([run.context for run in poll.runs], poll.skipped)


def test_an_invalid_number_is_reported_once_however_often_its_report_comes(ping_endpoint: PingListener) -> None:
    for _ in range(3):
        ping(ping_endpoint, "/2?rid=1&rows=NaN")
    assert 1 == len(connected(ping_endpoint).poll("", (), 5).skipped)
