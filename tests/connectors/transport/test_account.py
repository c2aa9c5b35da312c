"""Signing in with a secret that no header can carry: it is refused in words that do not hold it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from connectors.contract import AccessRefused
from connectors.secrets import SecretRef, SecretStore
from connectors.transport.account import Account
from connectors.transport.http import Deadline, HttpDoor


@pytest.fixture
def door() -> Iterator[HttpDoor]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield HttpDoor("Prefect", f"http://127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("header", ["Authorization", "X-Token"])
@pytest.mark.parametrize("token", ["s3cr3t-TOKEN\nsecond line", "s3cr3t-T\u00d6KEN", "s3cr3t\x00", "s3cr3t\r\nX: y"])
def test_a_token_that_no_header_can_carry_is_refused_without_it(
    door: HttpDoor, token: str, header: str, once: bool
) -> None:
    account = Account(lambda _: token, None, None, "a reference", header)
    with pytest.raises(AccessRefused, match=f"the secret for header {header} cannot be sent") as raised:
        door.call("GET", "/x", Deadline(2), headers=account.headers(), once=once)
    assert "s3cr3t" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_name_that_is_no_header_name_is_refused(door: HttpDoor) -> None:
    with pytest.raises(AccessRefused, match="is no header name"):
        door.call("GET", "/x", Deadline(2), headers={"X Token": "right"})


def test_a_secret_of_two_lines_is_masked_also_where_a_program_quotes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    store = SecretStore()
    monkeypatch.setenv("TOKEN", "s3cr3t-T\u00d6KEN-123\nsecond line")
    value = store(SecretRef(env="TOKEN"))
    for told in (f"Illegal header value {value!r}", f"Illegal header value {value.encode()!r}"):
        assert "s3cr3t" not in store.mask(told)
