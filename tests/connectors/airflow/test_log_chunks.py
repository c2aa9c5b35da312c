"""A log that is larger than any answer may be: its end is read from a stream."""

from __future__ import annotations

import gzip
import json

import httpx
import pytest

from connectors.sdk.conformance.world import ref
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpEndpoint
from tests.connectors.airflow.support import latest, night, opened
from tests.connectors.airflow.test_requests import BY_VERSION


@pytest.mark.parametrize("version", BY_VERSION)
def test_the_end_of_a_long_log_is_shown_and_labeled_as_its_end(version: int) -> None:
    fake = night()
    fake.start("load_orders")
    fake.tick(30)
    connector = BY_VERSION[version](fake)
    run = latest(connector, "load_orders")
    fake.long_log = 40_000_000
    chunk = connector.log(ref(run), None, 64_000, 10)
    lines = chunk.text.splitlines()
    assert ("the last line", True, None) == (lines[-1], chunk.cut, chunk.next)
    assert 50_000 < len(chunk.text) <= 64_000
    assert lines[-2].endswith("x" * 900)


@pytest.mark.parametrize("packed", [False, True])
def test_only_the_end_of_a_long_answer_is_stored(packed: bool) -> None:
    text = b"".join(b"%07d\n" % number for number in range(400_000))
    headers = {"content-encoding": "gzip"} if packed else {}
    parts = httpx.ByteStream(gzip.compress(text) if packed else text)
    transport = httpx.MockTransport(lambda asked: httpx.Response(200, headers=headers, stream=parts))
    endpoint = HttpEndpoint("Airflow", "https://airflow.example.com", transport=transport)
    reply = endpoint.call("GET", "/log", Deadline(5), end_bytes=1000)
    assert (text[-1000:], True) == (reply.body, reply.cut)
    assert (text, False) == ((whole := endpoint.call("GET", "/log", Deadline(5), end_bytes=10**7)).body, whole.cut)


def test_a_short_log_is_requested_as_before() -> None:
    fake = night()
    fake.start("load_orders")
    fake.tick(30)
    connector = opened(fake)
    run = latest(connector, "load_orders")
    fake.requests.clear()
    connector.log(ref(run), None, 64_000, 10)
    assert 1 == len([path for _, path in fake.requests if "/logs/" in path]), json.dumps(fake.requests)
