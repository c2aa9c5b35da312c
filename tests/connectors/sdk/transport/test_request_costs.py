"""Signing in with a secret that no header can carry: it is refused in words that do not hold it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from connectors.sdk.errors import AccessRefused
from connectors.sdk.secrets import SecretRef, SecretStore
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpAccount, HttpEndpoint, HttpReply


@pytest.fixture
def http_endpoint() -> Iterator[HttpEndpoint]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield HttpEndpoint("Prefect", f"http://127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("header", ["Authorization", "X-Token"])
@pytest.mark.parametrize("token", ["s3cr3t-TOKEN\nsecond line", "s3cr3t-T\u00d6KEN", "s3cr3t\x00", "s3cr3t\r\nX: y"])
def test_a_token_that_no_header_can_carry_is_refused_without_it(
    http_endpoint: HttpEndpoint, token: str, header: str, once: bool
) -> None:
    account = HttpAccount(lambda _: token, None, None, "a reference", header)
    with pytest.raises(AccessRefused, match=f"the value of header {header} cannot be sent") as raised:
        http_endpoint.call("GET", "/x", Deadline(2), headers=account.headers(), once=once)
    assert "s3cr3t" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_name_that_is_no_header_name_is_refused(http_endpoint: HttpEndpoint) -> None:
    with pytest.raises(AccessRefused, match="is not a header name"):
        http_endpoint.call("GET", "/x", Deadline(2), headers={"X Token": "right"})


def test_a_secret_of_two_lines_is_masked_also_where_a_program_quotes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    store = SecretStore()
    monkeypatch.setenv("TOKEN", "s3cr3t-T\u00d6KEN-123\nsecond line")
    value = store(SecretRef(env="TOKEN"))
    for reported in (f"Illegal header value {value!r}", f"Illegal header value {value.encode()!r}"):
        assert "s3cr3t" not in store.mask(reported)


def test_after_a_refusal_the_next_request_reads_the_account_again() -> None:
    """Some servers answer 403 to an expired token, which the endpoint raises."""
    tokens = iter(["expired", "renewed"])
    account = HttpAccount(lambda _: next(tokens), None, None, "a reference")

    def refused(headers: dict[str, str]) -> HttpReply:
        assert {"Authorization": "Bearer expired"} == headers
        raise AccessRefused("403")

    with pytest.raises(AccessRefused, match="403"):
        account.signed_reply(refused)
    assert {"Authorization": "Bearer renewed"} == account.headers()
