"""Authentication to Airflow. The methods differ only in how a token is obtained.

Measured on Airflow 3.3: a token lasts 24 h; an expired one gets 401 "Token Expired", one issued before the server's
secret changed gets 403 "Invalid JWT token", missing permissions get 403 "Forbidden".

Source: AWS, MWAA user guide (a web login token is valid once and for a minute, the session for twelve hours). No cloud
is called by the tests.
"""

from __future__ import annotations

import base64
import math
import re
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from connectors.airflow.options import AirflowOptions, MwaaOptions
from connectors.sdk.contract import SecretResolver
from connectors.sdk.errors import AccessRefused
from connectors.sdk.google import GoogleIdentity
from connectors.sdk.secrets import token_masker
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpEndpoint, HttpReply, Transport
from connectors.sdk.transport.sign_in import RefusedLogins, refused_logins


def auth_of(options: AirflowOptions, secrets: SecretResolver, major: int = 3, outside: Transport = None) -> AirflowAuth:
    """The sign-in method that the options select; a password goes to /auth/token of Airflow 3, and with each request
    (basic auth) to Airflow 2, which has no such endpoint. `outside` is for tests: a fake of Google and AWS."""
    if options.token is not None:
        return StaticTokenAuth(lambda: secrets(options.token))
    if options.google is not None:
        return GoogleToken(GoogleIdentity(options.google, secrets, outside), token_masker(secrets))
    if options.mwaa is not None:
        return MwaaSession(aws_web_login(options.mwaa, secrets, outside), token_masker(secrets))
    username = options.username or ""
    refusals = refused_logins(options.url, username)
    auth_class = BasicAuth if major == 2 else PasswordAuth
    return auth_class(username, lambda: secrets(options.password), refusals, token_masker(secrets))


def is_stale_token(reply: HttpReply) -> bool:
    """True when the token is to blame, not the rights of the account."""
    return reply.status == 401 or (reply.status == 403 and "invalid jwt token" in reply.error.lower())


class AirflowAuth:
    """Headers that authenticate each request, used until they expire or are refused."""

    guards_all = True
    """True if a proxy in front of Airflow requires authentication for every request, public endpoints included."""

    def __init__(self, mask: Callable[[str], None] = lambda _: None, now: Callable[[], float] = time.time) -> None:
        """`mask` is called with each secret that is obtained."""
        self._mask, self._now = mask, now
        self._current: dict[str, str] | None = None
        self._until = math.inf

    def headers(self, endpoint: HttpEndpoint, deadline: Deadline) -> dict[str, str]:
        if self._current is None or self._now() > self._until:
            self._current, self._until = self._sign_in(endpoint, deadline)
        return self._current

    def forget(self) -> None:
        """Called after a refusal: the next call gets new headers, or raises."""
        self._current = None

    def accept(self) -> None:
        """Called when the headers were accepted."""

    def _sign_in(self, endpoint: HttpEndpoint, deadline: Deadline) -> tuple[dict[str, str], float]:
        raise NotImplementedError

    def _bearer(self, token: str) -> dict[str, str]:
        self._mask(token)
        return {"Authorization": f"Bearer {token}"}


class StaticTokenAuth(AirflowAuth):
    """A ready token; read again from its reference once it is refused."""

    def __init__(self, read: Callable[[], str]) -> None:
        super().__init__()
        self._read = read

    def _sign_in(self, endpoint: HttpEndpoint, deadline: Deadline) -> tuple[dict[str, str], float]:
        return self._bearer(self._read().strip()), math.inf


class AirflowLogin(AirflowAuth):
    """A username and its password, which is read again at each login."""

    guards_all = False

    def __init__(
        self,
        username: str,
        password: Callable[[], str],
        refusals: RefusedLogins,
        mask: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(mask)
        self._username, self._password, self._refusals = username, password, refusals

    def _check(self, endpoint: HttpEndpoint) -> None:
        self._refusals.require_time("Airflow", self._username, endpoint.base_url)


class PasswordAuth(AirflowLogin):
    """POST /auth/token with username and password (SimpleAuthManager and FAB)."""

    def _sign_in(self, endpoint: HttpEndpoint, deadline: Deadline) -> tuple[dict[str, str], float]:
        self._check(endpoint)
        body = {"username": self._username, "password": self._password()}
        reply = endpoint.call("POST", "/auth/token", deadline, body=body, accept={400, 401, 403, 404, 405, 422})
        if reply.status in (404, 405):
            raise AccessRefused(
                f"{reply.place}: there is no /auth/token here. Is {endpoint.base_url} the address of an Airflow 3 "
                "whose auth manager takes passwords? Otherwise give a token."
            )
        if reply.status >= 400:
            self._refusals.add()
            raise AccessRefused(f"{reply.place}: the password of {self._username!r} was refused. Renew the reference.")
        token = reply.table().get("access_token")
        if not isinstance(token, str) or not token:
            raise AccessRefused(f"{reply.place} holds no access_token. Is {endpoint.base_url} an Airflow 3?")
        self._refusals.clear()
        return self._bearer(token), math.inf


class BasicAuth(AirflowLogin):
    """Username and password with each request: `airflow.api.auth.backend.basic_auth` of Airflow 2."""

    _refused: dict[str, str] | None = None

    def _sign_in(self, endpoint: HttpEndpoint, deadline: Deadline) -> tuple[dict[str, str], float]:
        encoded = base64.b64encode(f"{self._username}:{self._password()}".encode()).decode()
        headers, refused = {"Authorization": f"Basic {encoded}"}, self._refused
        self._refused = None
        if headers == refused:
            raise AccessRefused(
                f"Airflow: the password of {self._username!r} was refused at {endpoint.base_url}. Renew it; "
                "or the server accepts no passwords: auth_backends of [api] needs airflow.api.auth.backend.basic_auth."
            )
        self._check(endpoint)
        self._mask(encoded)
        return headers, math.inf

    def forget(self) -> None:
        """A 401 is a refused login, and the next one may lock the account: only another password is sent at once."""
        self._refused, self._current = self._current, None
        self._refusals.add()

    def accept(self) -> None:
        self._refusals.clear()


MWAA_LOGIN_PATHS = (("/pluginsv2/aws_mwaa/login", "_token"), ("/aws_mwaa/login", "session"))
"""Of Airflow 3 and 2, with the cookie that each sets."""
MWAA_LOGIN_MISSING = {401, 403, 404, 405}
MWAA_SESSION_SECONDS = 11 * 3600.0
"""Renewed before AWS ends it."""


WebLogin = Callable[[Deadline], tuple[str, str]]
"""Returns a web login token of MWAA and the host name that it is for. Raises AccessRefused, SystemUnreachable."""


def aws_web_login(options: MwaaOptions, secrets: SecretResolver, transport: Transport) -> WebLogin:
    """airflow:CreateWebLoginToken, as the identity that the options name."""
    from connectors.sdk.aws.client import AwsClient  # boto3 is an extra

    client = AwsClient("MWAA", options, secrets, transport)

    def log_in(deadline: Deadline) -> tuple[str, str]:
        client.deadline = deadline
        reply = client.call("mwaa", "create_web_login_token", "WebToken", Name=options.environment)
        return str(reply["WebToken"]), str(reply.get("WebServerHostname") or "")

    return log_in


class MwaaSession(AirflowAuth):
    """A session of the web server, renewed shortly before AWS ends it."""

    def __init__(
        self, web_login: WebLogin, mask: Callable[[str], None] = lambda _: None, now: Callable[[], float] = time.time
    ) -> None:
        super().__init__(mask, now)
        self._web_login = web_login

    def _sign_in(self, endpoint: HttpEndpoint, deadline: Deadline) -> tuple[dict[str, str], float]:
        statuses: list[str] = []
        for path, name in MWAA_LOGIN_PATHS:
            token, host = self._web_login(deadline)
            self._mask(token)
            if host.lower() != (urlsplit(endpoint.base_url).hostname or "").lower():
                raise AccessRefused(
                    f"Airflow: the MWAA environment is at {host[:200]}, not at {endpoint.base_url}: the token would go "
                    "to another place. Correct url or mwaa.environment."
                )
            reply = endpoint.call("POST", path, deadline, form={"token": token}, accept={*MWAA_LOGIN_MISSING, 302, 303})
            match = re.search(rf"(?:^|[;,\s]){name}=([^;,\s]+)", reply.headers.get("set-cookie", ""))
            if reply.status not in MWAA_LOGIN_MISSING and match:
                self._mask(match[1])
                session = {"Cookie": f"session={match[1]}"} if name == "session" else self._bearer(match[1])
                return session, self._now() + MWAA_SESSION_SECONDS
            statuses.append(f"{path} answered {reply.status}")
        raise AccessRefused(
            f"Airflow: MWAA accepts the web login token at neither path ({'; '.join(statuses)}). "
            "Fix: give the identity airflow:CreateWebLoginToken for a role of this environment."
        )


REFRESH_EARLY_SECONDS = 120.0
"""How long before its end a token is renewed."""


class GoogleToken(AirflowAuth):
    """A token from Google, renewed shortly before it expires."""

    def __init__(
        self,
        identity: GoogleIdentity,
        mask: Callable[[str], None] = lambda _: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(mask, now)
        self._identity = identity

    def _sign_in(self, endpoint: HttpEndpoint, deadline: Deadline) -> tuple[dict[str, str], float]:
        now = self._now()
        token, lifetime = self._identity.token(deadline, now)
        return self._bearer(token), now + lifetime - REFRESH_EARLY_SECONDS
