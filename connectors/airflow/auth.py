"""Accounts of Airflow: passwords, sessions of MWAA, and a token that Airflow itself calls stale.

Measured on Airflow 3.3: a token lasts 24 h; an expired one gets 401 "Token Expired", one issued before the server's
secret changed gets 403 "Invalid JWT token", missing permissions get 403 "Forbidden".

Source: AWS, MWAA user guide (a web login token is valid once and for a minute, the session for twelve hours). No cloud
is called by the tests.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from connectors.airflow.options import AirflowOptions, MwaaOptions
from connectors.sdk.contract import SecretResolver
from connectors.sdk.errors import AccessRefused
from connectors.sdk.google import GoogleAccount, GoogleIdentity
from connectors.sdk.secrets import token_masker
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import AUTHORIZATION, HttpAccount, HttpEndpoint, HttpReply, Transport
from connectors.sdk.transport.sign_in import RefusedLogins, RenewedAccount, refused_logins


def account_of(
    options: AirflowOptions, secrets: SecretResolver, endpoint: HttpEndpoint, major: int, outside: Transport = None
) -> HttpAccount:
    """The account that the options select; a password goes to /auth/token of Airflow 3, and with each request (basic
    auth) to Airflow 2, which has no such endpoint. `outside` is for tests: a fake of Google and AWS."""
    if options.google is not None:
        return GoogleAccount(GoogleIdentity(options.google, secrets, outside), secrets)
    if options.mwaa is not None:
        return MwaaAccount(secrets, endpoint, aws_web_login(options.mwaa, secrets, outside))
    if options.username is None:
        return HttpAccount(secrets, None, None, options.token)
    refusals = refused_logins(options.url, options.username)
    return (BasicAccount if major == 2 else PasswordAccount)(secrets, endpoint, options, refusals)


def is_stale_token(reply: HttpReply) -> bool:
    """True when the token is to blame, not the rights of the account."""
    return reply.status == 401 or (reply.status == 403 and "invalid jwt token" in reply.error.lower())


def public_headers(account: HttpAccount, deadline: Deadline) -> dict[str, str]:
    """For endpoints that Airflow answers without an account: a token for a proxy in front; a password is not sent."""
    if isinstance(account, PasswordAccount | BasicAccount):
        return {}
    account.deadline = deadline
    return account.headers()


class PasswordAccount(RenewedAccount):
    """POST /auth/token with username and password (SimpleAuthManager and FAB)."""

    def __init__(
        self, secrets: SecretResolver, endpoint: HttpEndpoint, options: AirflowOptions, refusals: RefusedLogins
    ) -> None:
        super().__init__(secrets)
        self._endpoint, self._options, self._refusals = endpoint, options, refusals

    def _sign_in(self) -> tuple[dict[str, str], float]:
        username, url = self._options.username or "", self._endpoint.base_url
        self._refusals.require_time("Airflow", username, url)
        body = {"username": username, "password": self._secrets(self._options.password)}
        statuses = {400, 401, 403, 404, 405, 422}
        reply = self._endpoint.call("POST", "/auth/token", self.deadline, body=body, accept=statuses)
        if reply.status in (404, 405):
            raise AccessRefused(
                f"{reply.place}: there is no /auth/token here. Is {url} the address of an Airflow 3 "
                "whose auth manager takes passwords? Otherwise give a token."
            )
        if reply.status >= 400:
            self._refusals.add()
            raise AccessRefused(f"{reply.place}: the password of {username!r} was refused. Renew the reference.")
        token = reply.table().get("access_token")
        if not isinstance(token, str) or not token:
            raise AccessRefused(f"{reply.place} holds no access_token. Is {url} an Airflow 3?")
        self._refusals.clear()
        return {AUTHORIZATION: f"Bearer {self._checked(token, reply, 'access_token')}"}, math.inf


class BasicAccount(HttpAccount):
    """Username and password with each request: `airflow.api.auth.backend.basic_auth` of Airflow 2. A 401 is a refused
    login, and the next one may lock the account: only another password is sent at once."""

    def __init__(
        self, secrets: SecretResolver, endpoint: HttpEndpoint, options: AirflowOptions, refusals: RefusedLogins
    ) -> None:
        super().__init__(secrets, options.username, options.password, None)
        self._mask, self._url, self._refusals = token_masker(secrets), endpoint.base_url, refusals

    def _made(self) -> dict[str, str]:
        self._refusals.require_time("Airflow", self._username or "", self._url)
        headers = super()._made()
        self._mask(headers[AUTHORIZATION].removeprefix("Basic "))
        return headers

    def signed_reply(
        self, ask: Callable[[dict[str, str]], HttpReply], is_refused: Callable[[HttpReply], bool] = is_stale_token
    ) -> HttpReply:
        sent = self.headers()
        reply = ask(sent)
        if not is_refused(reply):
            self._refusals.clear()
            return reply
        self._refusals.add()
        self.forget()
        if super()._made() == sent:
            raise AccessRefused(
                f"Airflow: the password of {self._username!r} was refused at {self._url}. Renew it; "
                "or the server accepts no passwords: auth_backends of [api] needs airflow.api.auth.backend.basic_auth."
            )
        return self.signed_reply(ask, is_refused)


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


class MwaaAccount(RenewedAccount):
    """A session of the web server, renewed shortly before AWS ends it."""

    def __init__(
        self,
        secrets: SecretResolver,
        endpoint: HttpEndpoint,
        web_login: WebLogin,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(secrets, monotonic)
        self._endpoint, self._web_login = endpoint, web_login

    def _sign_in(self) -> tuple[dict[str, str], float]:
        statuses: list[str] = []
        for path, name in MWAA_LOGIN_PATHS:
            token, host = self._web_login(self.deadline)
            self._mask(token)
            if host.lower() != (urlsplit(self._endpoint.base_url).hostname or "").lower():
                raise AccessRefused(
                    f"Airflow: the MWAA environment is at {host[:200]}, not at {self._endpoint.base_url}: the token "
                    "would go to another place. Correct url or mwaa.environment."
                )
            accepted = {*MWAA_LOGIN_MISSING, 302, 303}
            reply = self._endpoint.call("POST", path, self.deadline, form={"token": token}, accept=accepted)
            match = re.search(rf"(?:^|[;,\s]){name}=([^;,\s]+)", reply.headers.get("set-cookie", ""))
            if reply.status not in MWAA_LOGIN_MISSING and match:
                value = self._checked(match[1], reply, f"cookie {name}")
                is_session = name == "session"
                headers = {"Cookie": f"session={value}"} if is_session else {AUTHORIZATION: f"Bearer {value}"}
                return headers, MWAA_SESSION_SECONDS
            statuses.append(f"{path} answered {reply.status}")
        raise AccessRefused(
            f"Airflow: MWAA accepts the web login token at neither path ({'; '.join(statuses)}). "
            "Fix: give the identity airflow:CreateWebLoginToken for a role of this environment."
        )
