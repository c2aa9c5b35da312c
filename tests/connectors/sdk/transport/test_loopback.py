"""Hosts of this machine; the path of a socket is a server of this machine and no host."""

from __future__ import annotations

import pytest

from connectors.sdk.transport.http import checked_origin
from connectors.sdk.transport.loopback import is_local_server, is_loopback
from tests.rows import each_row


@each_row(
    "host, expected",
    [("localhost", True), ("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("0.0.0.0", False),
     ("10.0.0.7", False), ("localhost.example.com", False), ("127.0.0.1.example.com", False), ("", False)],
)  # fmt: skip
def test_a_loopback_host_is_this_machine_and_any_other_name_is_not(host: str, expected: bool) -> None:
    assert (expected, expected) == (is_loopback(host), is_local_server(host))


@pytest.mark.parametrize("path", ["/run/postgresql", "@abstract"])
def test_the_path_of_a_socket_is_a_local_server_but_no_host(path: str) -> None:
    assert (False, True) == (is_loopback(path), is_local_server(path))


def test_every_loopback_address_may_be_reached_by_http() -> None:
    assert "http://127.8.0.1:80" == checked_origin("http://127.8.0.1:80", plain_http=False)
