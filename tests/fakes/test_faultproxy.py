"""The proxy in front of a server that ends."""

from __future__ import annotations

import socket
import threading

from tests.fakes.faultproxy import FaultProxy
from tests.lab.process import HANGS_SECONDS


def test_a_reset_by_the_server_ends_the_connection_of_a_client_that_waits() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=reset_one, args=(server,))
        thread.start()
        with (
            FaultProxy(server.getsockname()[1]) as proxy,
            socket.create_connection(("127.0.0.1", proxy.port)) as client,
        ):
            client.settimeout(HANGS_SECONDS)
            client.sendall(b"SELECT 1")
            assert client.recv(1) == b""
        thread.join()


def reset_one(server: socket.socket) -> None:
    connection, _ = server.accept()
    connection.recv(1)
    connection.close()  # with unread bytes, which resets it
