"""Accounts whose token is obtained by a sign-in and ends: OAuth 2.0 client credentials; and an API key in the query.

A token is renewed before its end, and once after a 401. It reaches no message, and is masked from the moment it exists.
"""

from __future__ import annotations

import base64
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus

import httpx

from connectors.sdk.contract import SecretResolver
from connectors.sdk.errors import AccessRefused
from connectors.sdk.secrets import token_masker
from connectors.sdk.transport.http import AUTHORIZATION, HttpAccount, HttpEndpoint, HttpReply

MAX_REFUSED_LOGINS = 3
REFUSED_WINDOW_SECONDS = 15 * 60.0
"""To lock out no account, sign-in stops after three refusals in a quarter of an hour until a person acts."""
RENEWED_EARLY_SECONDS = 60.0
"""Remaining lifetime at which a token is renewed."""
DEFAULT_LIFETIME_SECONDS = 3600.0
"""Of a token that does not name a credible one."""
LONGEST_LIFETIME_SECONDS = 24 * 3600.0
MAX_TOKEN_CHARACTERS = 16_384
SIGN_IN_REFUSED = frozenset({400, 401, 403})


class RefusedLogins:
    """When logins of one account were refused lately. Shared by all connectors of that account in this process."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._times: deque[float] = deque(maxlen=MAX_REFUSED_LOGINS)

    def add(self) -> None:
        self._times.append(self._monotonic())

    def clear(self) -> None:
        self._times.clear()

    @property
    def wait_seconds(self) -> float:
        """Time until the next login may be tried; 0 when it may now."""
        if len(self._times) < MAX_REFUSED_LOGINS:
            return 0.0
        return max(0.0, self._times[0] + REFUSED_WINDOW_SECONDS - self._monotonic())

    def require_time(self, source: str, username: str, base_url: str) -> None:
        """Raises AccessRefused while no login may be tried."""
        if self.wait_seconds > 0:
            raise AccessRefused(
                f"{source}: {MAX_REFUSED_LOGINS} logins of {username!r} at {base_url} were refused; the next is tried "
                f"in {self.wait_seconds / 60:.0f} min so that the account is not locked. Correct username or password."
            )


def refused_logins(base_url: str, username: str) -> RefusedLogins:
    return _REFUSALS.setdefault((base_url.rstrip("/"), username), RefusedLogins())


_REFUSALS: dict[tuple[str, str], RefusedLogins] = {}


class RenewedAccount(HttpAccount):
    """An account that signs in. A kind of sign-in says how."""

    can_renew = True

    def __init__(self, secrets: SecretResolver, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(secrets, None, None, None)
        self._mask, self._monotonic, self._until = token_masker(secrets), monotonic, math.inf

    def headers(self) -> dict[str, str]:
        """With a token that is good for a minute at least."""
        if self._monotonic() >= self._until:
            self._headers = None
        return super().headers()

    def _made(self) -> dict[str, str]:
        begun = self._monotonic()
        headers, seconds = self._sign_in()
        self._until = begun + max(seconds - RENEWED_EARLY_SECONDS, seconds / 2)
        return headers

    def _sign_in(self) -> tuple[dict[str, str], float]:
        """The headers, and the seconds that they last. Raises AccessRefused."""
        raise NotImplementedError

    def _checked(self, token: Any, reply: HttpReply, place: str) -> str:
        """The token, masked from now on. Raises AccessRefused for any other value."""
        if not isinstance(token, str) or not 0 < len(token) <= MAX_TOKEN_CHARACTERS:
            raise AccessRefused(f"{reply.place} has no token at {place}. Correct the address of the sign-in.")
        self._mask(token)
        return token


def lifetime_of(value: Any) -> float:
    """Seconds that a token lasts, as its issuer says (some write a text); an hour where that is not credible."""
    try:
        seconds = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else 0.0
    except ValueError:
        seconds = 0.0
    return seconds if 0 < seconds <= LONGEST_LIFETIME_SECONDS else DEFAULT_LIFETIME_SECONDS


class ClientCredentials(RenewedAccount):
    """OAuth 2.0 client credentials (RFC 6749, 4.4): a token for client_id and client_secret, which go as basic
    authentication or in the form."""

    def __init__(
        self,
        secrets: SecretResolver,
        endpoint: HttpEndpoint,
        path: str,
        client_id: str,
        client_secret: Any,
        form: Mapping[str, str],
        in_form: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`path` of the token endpoint; `form`: other fields, as scope."""
        super().__init__(secrets, monotonic)
        self._endpoint, self._path, self._form, self._in_form = endpoint, path, form, in_form
        self._client_id, self._client_secret = client_id, client_secret

    def _sign_in(self) -> tuple[dict[str, str], float]:
        secret = self._secrets(self._client_secret).strip()
        form, headers = {"grant_type": "client_credentials", **self._form}, {}
        if self._in_form:
            form |= {"client_id": self._client_id, "client_secret": secret}
        else:  # RFC 6749, 2.3.1
            pair = base64.b64encode(f"{quote_plus(self._client_id)}:{quote_plus(secret)}".encode()).decode()
            self._mask(pair)
            headers = {AUTHORIZATION: f"Basic {pair}"}
        reply = self._endpoint.call(
            "POST", self._path, self.deadline, headers=headers, form=form, accept=SIGN_IN_REFUSED
        )
        if reply.status in SIGN_IN_REFUSED:
            why = f": {reply.error.removesuffix('.')}" if reply.error else ""
            is_scope = "scope" in reply.error.lower()
            fix = "Correct the scope" if is_scope else "Are client_id and client_secret valid there, and not expired?"
            raise AccessRefused(f"{reply.place} gives no token{why}. {fix}")
        table = reply.table()
        token = self._checked(table.get("access_token"), reply, "access_token")
        return {AUTHORIZATION: f"Bearer {token}"}, lifetime_of(table.get("expires_in"))

    def close(self) -> None:
        self._endpoint.close()


class KeyInQuery(HttpAccount):
    """An API key behind the question mark of each request."""

    can_renew = True

    def __init__(self, secrets: SecretResolver, reference: Any, name: str) -> None:
        super().__init__(secrets, None, None, None)
        self._reference, self._name, self._key = reference, name, ""

    def _made(self) -> dict[str, str]:
        self._key = self._secrets(self._reference).strip()
        return {}

    def sign(self, request: httpx.Request) -> None:
        request.url = request.url.copy_set_param(self._name, self._key)
