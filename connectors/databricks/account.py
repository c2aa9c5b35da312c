"""Signing in: a personal access token, or a service principal whose OAuth tokens live for an hour."""

from __future__ import annotations

import base64
import time
from typing import Any

from connectors.contract import AccessRefused, Secrets
from connectors.transport.account import Account
from connectors.transport.http import Deadline, HttpDoor

TOKENS = "/oidc/v1/token"
SHORTEST_SECONDS = 60.0
"""Left of a token's life when it is renewed."""


class MachineAccount(Account):
    """A service principal (OAuth M2M, client credentials). `deadline` is that of the call that signs in."""

    def __init__(self, secrets: Secrets, door: HttpDoor, client_id: str, client_secret: Any) -> None:
        super().__init__(secrets, None, None, None)
        self.deadline = Deadline(0.0)
        self._door, self._client_id, self._client_secret = door, client_id, client_secret
        self._until = 0.0

    def headers(self) -> dict[str, str]:
        """With a token that is good for a minute at least."""
        if time.monotonic() > self._until:
            self._headers = None
        return super().headers()

    def _made(self) -> dict[str, str]:
        pair = f"{self._client_id}:{self._secrets(self._client_secret).strip()}".encode()
        headers = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        form = {"grant_type": "client_credentials", "scope": "all-apis"}
        reply = self._door.call("POST", TOKENS, self.deadline, headers=headers, form=form, accept={400})
        found = reply.table()
        token, seconds = found.get("access_token"), found.get("expires_in")
        if reply.status == 400 or not isinstance(token, str) or not token:
            raise AccessRefused(
                f"{reply.place} gives no token: are client_id and client_secret those of this workspace?"
            )
        life = float(seconds) if isinstance(seconds, int) else 0.0
        self._until = time.monotonic() + max(life - SHORTEST_SECONDS, 0.0)
        return {"Authorization": f"Bearer {token}"}
