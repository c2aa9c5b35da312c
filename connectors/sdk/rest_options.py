"""Settings that systems with a REST API share: one address, and one account or none."""

from __future__ import annotations

from typing import Self

from pydantic import StrictBool, model_validator

from connectors.sdk.option_errors import StrictOptions
from connectors.sdk.secrets import FilePath, SecretRef
from connectors.sdk.transport.http import checked_origin


class RestOptions(StrictOptions):
    """One address. A kind declares `url` again, to say which."""

    url: str
    ca_file: FilePath | None = None
    """PEM file of the CA that signed the server's certificate; the machine's own CAs when not given."""
    plain_http: StrictBool = False
    """Allows http:// to another host: everything sent, secrets included, then crosses the network unencrypted."""

    @model_validator(mode="after")
    def one_origin(self) -> Self:
        try:
            checked_origin(self.url, self.plain_http)
        except ValueError as error:
            raise ValueError(f"url: {error}") from None
        return self


class AccountOptions(RestOptions):
    """The same with an account: `username` with `password`, a `token`, or none."""

    username: str | None = None
    """Account of basic authentication, in front of the server or its own."""
    password: SecretRef | None = None
    """Its password; read again when it is refused."""
    token: SecretRef | None = None
    """A bearer token, instead of username and password; read again when it is refused."""

    @model_validator(mode="after")
    def one_account(self) -> Self:
        given = [name for name in ("username", "password") if getattr(self, name) is not None]
        if self.token is not None and given:
            raise ValueError(f"a token needs no {' and no '.join(given)}: drop the one or the other")
        if len(given) == 1:
            raise ValueError("username and password belong together; a server without accounts needs neither")
        return self
