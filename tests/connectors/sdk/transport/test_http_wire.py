"""The HTTP transport on real sockets: servers that hang, drip, disconnect and lie, all on loopback."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest

from connectors.sdk.errors import ConnectorError, OutcomeUnknown, SystemUnreachable
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import DeadlineBackend, DeadlineTransport, HttpEndpoint
from tests.lab.process import HANGS_SECONDS
from tests.rows import each_row

Serve = Callable[[socket.socket, threading.Event], None]

BODY = b'{"dags": [1, 2, 3]}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
DEADLINE_SECONDS = 0.4


@contextmanager
def server(serve: Serve) -> Iterator[tuple[int, list[int]]]:
    """Port of a server that treats each connection by `serve`, and the list of connections so far."""
    over, accepted = threading.Event(), list[int]()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, args=(listener, serve, over, accepted), daemon=True)
        thread.start()
        try:
            yield int(listener.getsockname()[1]), accepted
        finally:
            over.set()
            socket.create_connection(listener.getsockname()).close()  # wakes it from its `accept`
            thread.join(HANGS_SECONDS)


def accept(listener: socket.socket, serve: Serve, over: threading.Event, accepted: list[int]) -> None:
    while not over.is_set():
        with suppress(ConnectionError):
            connection = listener.accept()[0]
            with connection, suppress(OSError):
                if not over.is_set():
                    accepted.append(len(accepted))
                    serve(connection, over)


def received_request(connection: socket.socket) -> bytes:
    connection.settimeout(HANGS_SECONDS)
    return connection.recv(65536)


def drip(text: bytes) -> Serve:
    def serve(connection: socket.socket, over: threading.Event) -> None:
        received_request(connection)
        for at in range(len(text)):
            connection.sendall(text[at : at + 1])
            if over.wait(0.1):
                return

    return serve


def hang(connection: socket.socket, over: threading.Event) -> None:
    over.wait(HANGS_SECONDS)


def at_once(connection: socket.socket, over: threading.Event) -> None:
    """One answer, then the connection is closed without a word: the next request meets a dead connection."""
    received_request(connection)
    connection.sendall(HEAD + BODY)


def cut_after(count: int) -> Serve:
    def serve(connection: socket.socket, over: threading.Event) -> None:
        received_request(connection)
        connection.sendall((HEAD + BODY)[:count])

    return serve


def call(port: int, seconds: float = 5.0, once: bool = False) -> object:
    endpoint = HttpEndpoint("Airflow", f"http://127.0.0.1:{port}")
    try:
        return endpoint.call("GET", "/dags", Deadline(seconds), once=once).table()
    finally:
        endpoint.close()


@pytest.mark.parametrize(
    "serve",
    [hang, drip(HEAD + BODY), drip(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10_000)],
    ids=["hangs", "drips its answer", "drips an endless header"],
)
def test_a_call_ends_at_its_deadline_whatever_the_server_does(serve: Serve) -> None:
    with server(serve) as (port, _), pytest.raises(SystemUnreachable, match=r"no answer within 0\.4 s"):
        call(port, DEADLINE_SECONDS)


def test_an_action_without_an_answer_is_unknown_at_its_deadline() -> None:
    with server(hang) as (port, _), pytest.raises(OutcomeUnknown, match="its answer was lost"):
        call(port, DEADLINE_SECONDS, once=True)


def test_a_closed_port_is_unreachable_even_for_an_action() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SystemUnreachable, match="Connection refused"):
        call(port, once=True)


@each_row("count", [*range(0, len(HEAD + BODY), 7), len(HEAD + BODY) - 1])
def test_a_reply_that_breaks_off_anywhere_is_no_reply(count: int) -> None:
    with server(cut_after(count)) as (port, accepted):
        with pytest.raises(SystemUnreachable):
            call(port)
        assert 2 == len(accepted), "a look is tried once more on a fresh connection"


def reset_after(count: int) -> Serve:
    def serve(connection: socket.socket, over: threading.Event) -> None:
        received_request(connection)
        connection.sendall((HEAD + BODY)[:count])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return serve


@each_row("count", range(len(HEAD + BODY)))
def test_f36_a_reply_that_is_reset_after_any_byte_is_no_reply(count: int) -> None:
    with server(reset_after(count)) as (port, accepted):
        with pytest.raises(SystemUnreachable):
            call(port)
        assert 2 == len(accepted), "a read is tried once more on a fresh connection"


def test_an_action_whose_reply_breaks_off_is_sent_once() -> None:
    with server(cut_after(40)) as (port, accepted):
        with pytest.raises(OutcomeUnknown):
            call(port, once=True)
        assert 1 == len(accepted)


def test_a_dead_pooled_connection_is_replaced_silently() -> None:
    with server(at_once) as (port, accepted):
        endpoint = HttpEndpoint("Airflow", f"http://127.0.0.1:{port}")
        replies = [endpoint.call("GET", "/dags", Deadline(5)).table() for _ in range(3)]
        endpoint.close()
    assert [{"dags": [1, 2, 3]}] * 3 == replies
    assert 3 == len(accepted)


def test_f38_a_name_that_is_resolved_too_slowly_ends_at_the_deadline() -> None:
    release = threading.Event()

    def slow(host: str, port: int) -> list[str]:
        release.wait(HANGS_SECONDS)
        return ["127.0.0.1"]

    with pytest.raises(httpx.ConnectTimeout, match="was not resolved in time"):
        fetch(slow)
    release.set()


def test_a_name_without_an_address_is_named() -> None:
    def fail(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(httpx.ConnectError, match=r"the name af\.test cannot be resolved: Name or service not known"):
        fetch(fail)


def test_a_dead_address_leaves_time_for_the_next_one() -> None:
    with server(at_once) as (port, _):
        reply = fetch(lambda host, _: ["127.0.0.2", "127.0.0.1"], port)
    assert BODY == reply.content


def fetch(resolve: Callable[[str, int], list[str]], port: int = 80) -> httpx.Response:
    """A request to af.test through a transport whose names are resolved by `resolve`."""
    import ssl

    backend = DeadlineBackend(resolve)
    with httpx.Client(transport=DeadlineTransport(ssl.create_default_context(), backend)) as client:
        backend.deadline = Deadline(DEADLINE_SECONDS)
        return client.get(f"http://af.test:{port}/", timeout=None)


def test_time_that_is_over_stops_each_operation() -> None:
    backend = DeadlineBackend()
    backend.deadline = Deadline(0.0)
    with pytest.raises(OSError, match="the deadline of 0 s passed"):
        backend.cut(None, OSError)


def test_garbled_bytes_raise_only_our_own_errors() -> None:
    def garbage(connection: socket.socket, over: threading.Event) -> None:
        received_request(connection)
        connection.sendall(b"\x00\xff\x16\x03 not http at all\r\n\r\n")

    with server(garbage) as (port, _), pytest.raises(ConnectorError):
        call(port)
