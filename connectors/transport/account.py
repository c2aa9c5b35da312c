"""Signing in by a header: a password as basic authentication, or a token; read again once it is refused."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from connectors.contract import Secrets
from connectors.transport.http import Reply
from connectors.transport.http_reply import refusal

AUTHORIZATION = "Authorization"


class Account:
    """Who asks; nobody without a password and a token. Secrets are read at their first use."""

    def __init__(
        self, secrets: Secrets, username: str | None, password: Any, token: Any, token_header: str = AUTHORIZATION
    ) -> None:
        self._secrets = secrets
        self._username, self._password, self._token = username, password, token
        self._token_header = token_header
        self._headers: dict[str, str] | None = None

    def headers(self) -> dict[str, str]:
        """What a request carries."""
        if self._headers is None:
            self._headers = self._made()
        return self._headers

    def asking(self, ask: Callable[[dict[str, str]], Reply]) -> Reply:
        """The answer of `ask`, which lets 401 through: then the account is read anew, and asked for once more. Raises
        AccessRefused when it is refused again."""
        reply = ask(self.headers())
        if reply.status == 401 and self.headers():
            self._headers = None
            reply = ask(self.headers())
        if reply.status == 401:
            raise refusal(reply)
        return reply

    def _made(self) -> dict[str, str]:
        if self._token is not None:
            token = self._secrets(self._token).strip()
            bearer = self._token_header.lower() == "authorization"
            return {self._token_header: f"Bearer {token}" if bearer else token}
        if self._password is not None:
            pair = f"{self._username}:{self._secrets(self._password)}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return {}
