"""An endpoint on a free port with a spool of its own, and a client for it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from connectors.heartbeat.connector import HeartbeatConnector
from connectors.heartbeat.listener import PingListener
from connectors.heartbeat.options import HeartbeatOptions
from connectors.sdk.conformance.world import closed_port
from connectors.sdk.errors import AccessRefused
from connectors.sdk.records import RunRecord
from tests.lab.process import HANGS_SECONDS, wait_until

TOKENS = {"export": "export-0123456789abcdef", "mart": "mart-0123456789abcdef00"}


def secret(reference: Any) -> str:
    """The token whose job the reference names; "gone" cannot be read."""
    if reference.env == "gone":
        raise AccessRefused("secret env gone: unset")
    return TOKENS[reference.env]


def options_of(folder: Path, port: int = 8787, **changes: Any) -> HeartbeatOptions:
    jobs = {name: {"token": {"env": name}, "lost_after": "2h"} for name in TOKENS}
    value = {"listen": f"127.0.0.1:{port}", "spool": folder / "spool.db", "jobs": jobs, **changes}
    return HeartbeatOptions.model_validate(value)


@contextmanager
def open_at(folder: Path, arrived: Callable[[], None] = lambda: None, **changes: Any) -> Iterator[PingListener]:
    """An endpoint that listens."""
    options = options_of(folder, closed_port(), **changes)
    listener = PingListener(options, arrived)
    assert "" == listener.refresh(options, secret)
    try:
        yield listener
    finally:
        listener.close()


def connected(listener: PingListener) -> HeartbeatConnector:
    return HeartbeatConnector(listener.options, secret)


def latest_records(listener: PingListener, cursor: str = "") -> list[RunRecord]:
    """The records of a poll."""
    connector = connected(listener)
    try:
        return list(connector.poll(cursor, (), 5).runs)
    finally:
        connector.close()


def calling(listener: PingListener) -> socket.socket:
    return socket.create_connection(listener.options.address, timeout=HANGS_SECONDS)


def raw_reply(listener: PingListener, request: bytes) -> str:
    """The endpoint's reply to exactly these bytes; the sender reads it afterwards."""
    with calling(listener) as sock:
        sock.sendall(request)
        return answer(sock)


def answer(sock: socket.socket) -> str:
    parts = []
    try:
        while part := sock.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts).decode()


def ping(listener: PingListener, path: str, body: bytes = b"", job: str = "export") -> str:
    """The first line of the answer to a report of the job."""
    head = f"POST /ping/{TOKENS[job]}{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return raw_reply(listener, head.encode() + body).partition("\r\n")[0]


def wait_for(query: Callable[[], bool]) -> None:
    wait_until(query, "the report")
