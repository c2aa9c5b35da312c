"""Signing in to Cloud Composer: an access token of Google's, for a service account's key or for this machine itself.

By Google's documentation of OAuth 2.0 for server to server applications, and of the metadata server; neither is asked
in tests, which answer as those pages say.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

from connectors import fields
from connectors.contract import AccessRefused, RecordUnreadable
from connectors.transport.http import Deadline, HttpDoor, Reply

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKENS = "https://oauth2.googleapis.com"
METADATA = "http://metadata.google.internal"
METADATA_TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105  a path
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFE_SECONDS = 3600
EARLY_SECONDS = 120.0
"""A token is renewed so long before it ends."""


class GoogleToken:
    """A token of Google's, kept until shortly before its end. `read_key`: the text of the key's JSON file; None: the
    service account of the machine that the engine runs on."""

    guards_all = True

    def __init__(
        self,
        read_key: Callable[[], str] | None,
        door: HttpDoor,
        remember: Callable[[str], None] = lambda _: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._read_key, self._door, self._remember, self._now = read_key, door, remember, now
        self._token: str | None = None
        self._until = 0.0

    def headers(self, door: HttpDoor, deadline: Deadline) -> dict[str, str]:
        if self._token is None or self._now() > self._until - EARLY_SECONDS:
            reply = self._asked(deadline)
            self._token, self._until = _token_of(reply, self._now())
            self._remember(self._token)
        return {"Authorization": f"Bearer {self._token}"}

    def forget(self) -> None:
        self._token = None

    def accept(self) -> None:
        """Nothing is counted."""

    def _asked(self, deadline: Deadline) -> Reply:
        if self._read_key is None:
            flavour = {"Metadata-Flavor": "Google"}
            return self._door.call("GET", METADATA_TOKEN, deadline, params={"scopes": SCOPE}, headers=flavour)
        form = {"grant_type": GRANT, "assertion": assertion(self._read_key(), self._now())}
        reply = self._door.call("POST", "/token", deadline, form=form, accept={400, 401, 403})
        if reply.status >= 400:
            raise AccessRefused(
                f"{reply.place}: Google refuses the key ({_said(reply)}). Renew the reference in google."
            )
        return reply


def assertion(key: str, now: float) -> str:
    """A JWT signed with a service account's key. Raises AccessRefused, without words of the key, where it is none."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    try:
        row = fields.table(json.loads(key))
        private = serialization.load_pem_private_key(fields.text(row, "private_key").encode(), None)
        account, kid = fields.text(row, "client_email"), fields.text(row, "private_key_id")
        if not isinstance(private, rsa.RSAPrivateKey):
            raise ValueError("its private_key is no RSA key")
    except (ValueError, TypeError, RecursionError, RecordUnreadable, UnsupportedAlgorithm):
        raise AccessRefused(
            "Airflow: what google.key refers to is no service account key: the JSON file with client_email, "
            "private_key_id and private_key, as Google made it"
        ) from None
    claims = {"iss": account, "scope": SCOPE, "aud": f"{TOKENS}/token", "iat": int(now), "exp": int(now) + LIFE_SECONDS}
    told = f"{_part({'alg': 'RS256', 'typ': 'JWT', 'kid': kid})}.{_part(claims)}"
    return f"{told}.{_packed(private.sign(told.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _part(value: Any) -> str:
    return _packed(json.dumps(value, separators=(",", ":")).encode())


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _token_of(reply: Reply, now: float) -> tuple[str, float]:
    table = reply.table()
    token, life = table.get("access_token"), table.get("expires_in")
    if not isinstance(token, str) or not token:
        raise AccessRefused(f"{reply.place} holds no access_token")
    lasts = life if isinstance(life, int) and 0 < life <= LIFE_SECONDS * 12 else LIFE_SECONDS
    return token.rstrip("."), now + lasts  # some tokens are filled up with dots, which are no part of them


def _said(reply: Reply) -> str:
    """Google says it in "error" and "error_description"."""
    try:
        table = reply.table()
    except (AccessRefused, RecordUnreadable):
        return str(reply.status)
    return ": ".join(str(table[name])[:200] for name in ("error", "error_description") if table.get(name)) or "no words"
