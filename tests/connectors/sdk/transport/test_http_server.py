"""Bodies of requests: packed, too long, cut, in any pieces."""

from __future__ import annotations

import gzip
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Sequence
from contextlib import ExitStack

from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.transport.http_server import BodyLimits, HttpExchange, HttpServer, RequestHead, ServerReply
from tests.lab.process import free_port
from tests.rows import each_row

LIMIT = 1000


def head_of(*headers: str) -> bytes:
    return "\r\n".join(("POST / HTTP/1.1", "Host: x", *headers, "", "")).encode()


def exchange_of(most: int = LIMIT) -> HttpExchange[RequestHead]:
    return HttpExchange(lambda head: head, BodyLimits(most, most))


@given(st.binary(max_size=LIMIT + 50), st.booleans(), st.lists(st.integers(1, 200)), st.booleans())
def test_a_body_is_the_same_packed_and_plain_in_any_pieces(
    body: bytes, is_packed: bool, pieces: list[int], is_chunked: bool
) -> None:
    sent = gzip.compress(body) if is_packed else body
    encoding = ["Content-Encoding: gzip"] if is_packed else []
    if is_chunked:
        sent = b"".join(b"1\r\n%c\r\n" % byte for byte in sent) + b"0\r\n\r\n"
        request = head_of(*encoding, "Transfer-Encoding: chunked") + sent
    else:
        request = head_of(*encoding, f"Content-Length: {len(sent)}") + sent
    exchange = exchange_of()
    for size in [*pieces, len(request)]:
        if not exchange.is_over:
            exchange.receive(request[:size])
        request = request[size:]
    assert exchange.whole
    assert exchange.refused is None
    assert (len(body) > LIMIT) == exchange.is_too_long
    if len(body) <= LIMIT:
        assert body == exchange.body


def test_a_declared_length_beyond_the_limit_is_refused_by_the_head() -> None:
    exchange = exchange_of()
    assert b"" == exchange.receive(head_of(f"Content-Length: {LIMIT + 1}", "Expect: 100-continue"))
    assert exchange.whole
    assert exchange.is_too_long


def test_a_body_without_length_is_read_up_to_the_limit() -> None:
    exchange, chunk = exchange_of(), b"64\r\n" + b"x" * 100 + b"\r\n"
    exchange.receive(head_of("Transfer-Encoding: chunked"))
    chunks = 0
    while not exchange.is_over:
        exchange.receive(chunk)
        chunks += 1
    assert exchange.is_too_long
    assert LIMIT // 100 + 1 == chunks


def test_a_gzip_bomb_is_unpacked_up_to_the_limit() -> None:
    most = 100_000
    bomb = gzip.compress(bytes(100_000_000))
    exchange = exchange_of(most)
    tracemalloc.start()
    try:
        exchange.receive(head_of("Content-Encoding: gzip", f"Content-Length: {len(bomb)}") + bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert exchange.is_too_long
    assert peak < 20 * most
    assert most + 1 == exchange._seen


PACKED = gzip.compress(b"[]")
FAULTS = {
    "cut": ("gzip", PACKED[:-3], 400),
    "empty": ("gzip", b"", 400),
    "plain": ("gzip", b"[]", 400),
    "changed": ("gzip", PACKED[:-6] + b"\0" + PACKED[-5:], 400),
    "more after it": ("gzip", PACKED + b"x", 400),
    "zlib": ("gzip", zlib.compress(b"[]"), 400),
    "another encoding": ("br", b"[]", 415),
    "twice": ("gzip, gzip", gzip.compress(PACKED), 415),
}


@each_row("fault", FAULTS)
def test_a_body_that_cannot_be_unpacked_is_refused(fault: str) -> None:
    encoding, body, status = FAULTS[fault]
    exchange = exchange_of()
    exchange.receive(head_of(f"Content-Encoding: {encoding}", f"Content-Length: {len(body)}") + body)
    assert exchange.refused is not None
    assert status == exchange.refused.reply.status
    assert b"Fix: " in exchange.refused.reply.body


def test_requests_that_wait_are_answered_together() -> None:
    """A receiver stores them in one transaction: one each takes too long for many small requests."""
    address, ending = ("127.0.0.1", free_port()), threading.Event()
    together: list[int] = []

    def respond(exchanges: Sequence[HttpExchange[RequestHead]]) -> list[ServerReply]:
        together.append(len(exchanges))
        return [ServerReply.of_text(200, "stored")] * len(exchanges)

    server = HttpServer(address, lambda head: head, respond, BodyLimits(LIMIT, LIMIT))
    thread = threading.Thread(target=server.serve, args=(ending.is_set, lambda: None, 0.1))
    with ExitStack() as clients:
        connections = [clients.enter_context(socket.create_connection(address, 20)) for _ in range(40)]
        for connection in connections:
            connection.sendall(head_of("Content-Length: 1") + b"x")
        thread.start()
        try:
            assert all(connection.recv(4096).startswith(b"HTTP/1.1 200 ") for connection in connections)
        finally:
            ending.set()
            thread.join()
            server.close()
    assert [40] == together
