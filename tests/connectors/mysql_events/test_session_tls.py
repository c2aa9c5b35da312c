"""What each `tls` value requires of a server that offers TLS, by the first packet that it gets."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from connectors.mysql_events.session import MySqlLogin, MySqlSession, Tls
from connectors.sdk.errors import ConnectorError
from tests.lab.process import HANGS_SECONDS

CLIENT_SSL = 0x800
OFFERED = 0x00 | 0x200 | CLIENT_SSL | 0x8000 | 0x80000
"""Protocol 4.1, TLS, authentication by plugin."""
GREETING = (
    b"\x0a10.11.0-MariaDB\0"
    + struct.pack("<I", 7)
    + b"12345678\0"
    + struct.pack("<HBHHB", OFFERED & 0xFFFF, 45, 2, OFFERED >> 16, 21)
    + bytes(10)
    + b"123456789012\0mysql_native_password\0"
)


class Server:
    """Greets one client, keeps the flags of its first packet, and answers no sense."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.flags: int | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._socket.accept()
        with client:
            client.sendall(struct.pack("<I", len(GREETING)) + GREETING)
            first = client.recv(8, socket.MSG_WAITALL)
            self.flags = struct.unpack("<I", first[4:])[0] if len(first) == 8 else None
            with suppress(OSError):  # the client may hang up without reading on
                client.sendall(b"neither TLS nor an answer")
                client.shutdown(socket.SHUT_WR)
                while client.recv(4096):
                    pass

    def close(self) -> None:
        self._socket.close()
        self._thread.join(HANGS_SECONDS)


@pytest.fixture
def server() -> Iterator[Server]:
    result = Server()
    yield result
    result.close()


@pytest.mark.parametrize("tls, is_requested", [("off", False), ("prefer", True), ("require", True), ("verify", True)])
def test_tls_is_requested_where_the_server_offers_it(server: Server, tls: Tls, is_requested: bool) -> None:
    """`prefer` is the default: PyMySQL before 1.2 took it for none."""
    session = MySqlSession(lambda: MySqlLogin("127.0.0.1", server.port, "headway", "x", tls, None))
    with pytest.raises(ConnectorError):
        session.write_once("SELECT 1", (), 20)
    assert server.flags is not None
    assert is_requested is bool(server.flags & CLIENT_SSL)
