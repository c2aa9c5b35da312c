"""Signing in to Airflow, as its own object: the auth managers differ only in how a token is got.

Measured on 3.3: a token lasts 24 h; an expired one is answered 401 "Token Expired", one from before the server's
secret changed 403 "Invalid JWT token", a real lack of rights 403 "Forbidden".
"""

from __future__ import annotations

import base64
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import httpx

from connectors.airflow.auth_google import METADATA, TOKENS, GoogleToken
from connectors.airflow.auth_mwaa import MwaaSession
from connectors.airflow.options import AirflowOptions
from connectors.contract import AccessRefused, Secrets
from connectors.secrets import remembering
from connectors.transport.http import Deadline, HttpDoor, Reply

MOST_REFUSED_LOGINS = 3
REFUSED_WINDOW_SECONDS = 15 * 60.0
"""No account is locked out by us: after three refusals in a quarter of an hour we stop and ask a person."""

OLD_JWT = "invalid jwt token"
"""What a 403 says when the token, not the account, is to blame."""


class Auth(Protocol):
    """What each request carries so that it is ours."""

    guards_all: bool
    """True where something in front of Airflow asks for it of every request, also of those that Airflow answers to
    anybody."""

    def headers(self, door: HttpDoor, deadline: Deadline) -> dict[str, str]:
        """Headers that were good when last used. Raises AccessRefused, SystemUnreachable."""
        ...

    def forget(self) -> None:
        """They were refused: the next call gets new ones, or says why there are none."""
        ...

    def accept(self) -> None:
        """They were good."""
        ...


def auth_of(
    options: AirflowOptions, secrets: Secrets, major: int = 3, outside: httpx.BaseTransport | None = None
) -> Auth:
    """The way to sign in that the options name; a password goes to /auth/token of Airflow 3, and with each request
    (basic auth) to Airflow 2, which has no such place. `outside` is for tests: what answers as Google and AWS."""
    if options.token is not None:
        return StaticToken(lambda: secrets(options.token))
    if options.google is not None:
        own = options.google.key
        read = None if own is None else (lambda: secrets(own))
        return GoogleToken(
            read, HttpDoor("Google", METADATA if own is None else TOKENS, None, outside), remembering(secrets)
        )
    if options.mwaa is not None:
        from connectors.airflow.auth_aws import AwsWebLogin  # boto3 is an extra

        return MwaaSession(AwsWebLogin(options.mwaa, secrets, outside), remembering(secrets))
    key = (options.url.rstrip("/"), options.username or "")
    refusals = _REFUSALS.setdefault(key, RefusedLogins())
    how = BasicLogin if major == 2 else PasswordLogin
    return how(options.username or "", lambda: secrets(options.password), refusals, remembering(secrets))


def is_stale(reply: Reply) -> bool:
    """True when the token is to blame, not the rights of the account."""
    return reply.status == 401 or (reply.status == 403 and OLD_JWT in reply.said.lower())


class StaticToken:
    """A token that somebody else made; read again from its reference once it is refused."""

    guards_all = True

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self._token: str | None = None

    def headers(self, door: HttpDoor, deadline: Deadline) -> dict[str, str]:
        if self._token is None:
            self._token = self._read().strip()
        return bearer(self._token)

    def forget(self) -> None:
        self._token = None

    def accept(self) -> None:
        """Nothing is counted."""


class RefusedLogins:
    """When logins of one account were refused lately. Shared by all connectors of that account in this process."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._times: deque[float] = deque(maxlen=MOST_REFUSED_LOGINS)

    def add(self) -> None:
        """One more was refused now."""
        self._times.append(self._monotonic())

    def clear(self) -> None:
        """A login was accepted."""
        self._times.clear()

    @property
    def wait_seconds(self) -> float:
        """How long no login may be tried; 0 when one may."""
        if len(self._times) < MOST_REFUSED_LOGINS:
            return 0.0
        return max(0.0, self._times[0] + REFUSED_WINDOW_SECONDS - self._monotonic())


_REFUSALS: dict[tuple[str, str], RefusedLogins] = {}


class Login:
    """A username and its password, which is read again at each login."""

    guards_all = False

    def __init__(
        self,
        username: str,
        password: Callable[[], str],
        refusals: RefusedLogins,
        remember: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._username = username
        self._password = password
        self._refusals = refusals
        self._remember = remember
        self._made: str | None = None

    def headers(self, door: HttpDoor, deadline: Deadline) -> dict[str, str]:
        if self._made is None:
            self._made = self._login(door, deadline)
            self._remember(self._made)
        return self._shown(self._made)

    def forget(self) -> None:
        self._made = None

    def accept(self) -> None:
        """Whatever is counted is counted at the login."""

    def _login(self, door: HttpDoor, deadline: Deadline) -> str:
        raise NotImplementedError

    def _shown(self, made: str) -> dict[str, str]:
        raise NotImplementedError

    def _check(self, door: HttpDoor) -> None:
        wait = self._refusals.wait_seconds
        if wait > 0:
            raise AccessRefused(
                f"Airflow: {MOST_REFUSED_LOGINS} logins of {self._username!r} at {door.base_url} were refused; the "
                f"next is tried in {wait / 60:.0f} min so that the account is not locked. Correct username or password."
            )


class PasswordLogin(Login):
    """POST /auth/token with username and password (SimpleAuthManager and FAB alike)."""

    def _shown(self, made: str) -> dict[str, str]:
        return bearer(made)

    def _login(self, door: HttpDoor, deadline: Deadline) -> str:
        self._check(door)
        body = {"username": self._username, "password": self._password()}
        reply = door.call("POST", "/auth/token", deadline, body=body, accept={400, 401, 403, 404, 405, 422})
        if reply.status in (404, 405):
            raise AccessRefused(
                f"{reply.place}: there is no /auth/token here. Is {door.base_url} the address of an Airflow 3 "
                "whose auth manager takes passwords? Otherwise give a token."
            )
        if reply.status >= 400:
            self._refusals.add()
            raise AccessRefused(f"{reply.place}: the password of {self._username!r} was refused. Renew the reference.")
        found = reply.table().get("access_token")
        if not isinstance(found, str) or not found:
            raise AccessRefused(f"{reply.place} holds no access_token. Is {door.base_url} an Airflow 3?")
        self._refusals.clear()
        return found


class BasicLogin(Login):
    """Username and password with each request: `airflow.api.auth.backend.basic_auth` of Airflow 2."""

    _refused: str | None = None

    def _shown(self, made: str) -> dict[str, str]:
        return {"Authorization": f"Basic {made}"}

    def _login(self, door: HttpDoor, deadline: Deadline) -> str:
        made, refused = base64.b64encode(f"{self._username}:{self._password()}".encode()).decode(), self._refused
        self._refused = None
        if made == refused:
            raise AccessRefused(
                f"Airflow: the password of {self._username!r} was refused at {door.base_url}. Renew the reference; or "
                "the server takes no passwords: it needs airflow.api.auth.backend.basic_auth in auth_backends of [api]."
            )
        self._check(door)
        return made

    def forget(self) -> None:
        """A 401 is a refused login, and the next one may lock the account: only another password is sent at once."""
        self._refused, self._made = self._made, None
        self._refusals.add()

    def accept(self) -> None:
        self._refusals.clear()


def bearer(token: str) -> dict[str, str]:
    """The header that a token goes in."""
    return {"Authorization": f"Bearer {token}"}
