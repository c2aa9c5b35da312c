"""Signing in to Amazon MWAA: a web login token of AWS, changed at the environment's own door for a session.

By AWS's user guide of MWAA (Airflow 2: a session cookie, Airflow 3: a cookie that holds a bearer token); neither is
asked in tests, which answer as it says. The token is good for a minute and once, a session for twelve hours.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from connectors.contract import AccessRefused
from connectors.transport.http import Deadline, HttpDoor

LOGINS = (("/pluginsv2/aws_mwaa/login", "_token"), ("/aws_mwaa/login", "session"))
"""Of Airflow 3 and 2, with the cookie that each gives."""
NOT_HERE = {401, 403, 404, 405}
SESSION_SECONDS = 11 * 3600.0
"""Renewed before AWS ends it."""


class WebLogin(Protocol):
    """Who gets the token from AWS."""

    def token(self, deadline: Deadline) -> tuple[str, str]:
        """A token and the host name that it is for. Raises AccessRefused, SystemUnreachable."""
        ...


class MwaaSession:
    """A session of the web server, kept until shortly before its end."""

    guards_all = True

    def __init__(
        self,
        web_login: WebLogin,
        remember: Callable[[str], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._web_login, self._remember, self._monotonic = web_login, remember, monotonic
        self._made: dict[str, str] | None = None
        self._until = 0.0

    def headers(self, door: HttpDoor, deadline: Deadline) -> dict[str, str]:
        if self._made is None or self._monotonic() > self._until:
            self._made, self._until = self._login(door, deadline), self._monotonic() + SESSION_SECONDS
        return self._made

    def forget(self) -> None:
        self._made = None

    def accept(self) -> None:
        """Nothing is counted."""

    def _login(self, door: HttpDoor, deadline: Deadline) -> dict[str, str]:
        statuses: list[str] = []
        for path, name in LOGINS:
            token, host = self._web_login.token(deadline)
            self._remember(token)
            if host.lower() != (urlsplit(door.base_url).hostname or "").lower():
                raise AccessRefused(
                    f"Airflow: the MWAA environment is at {host[:200]}, not at {door.base_url}: the token would go to "
                    "another place. Correct url or mwaa.environment."
                )
            reply = door.call("POST", path, deadline, form={"token": token}, accept={*NOT_HERE, 302, 303})
            found = re.search(rf"(?:^|[;,\s]){name}=([^;,\s]+)", reply.headers.get("set-cookie", ""))
            if reply.status not in NOT_HERE and found:
                self._remember(found[1])
                return _shown(name, found[1])
            statuses.append(f"{path} answered {reply.status}")
        raise AccessRefused(
            f"Airflow: MWAA takes the web login token at neither place ({'; '.join(statuses)}). Does the identity have "
            "airflow:CreateWebLoginToken for a role of this environment?"
        )


def _shown(name: str, value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"} if name == "_token" else {"Cookie": f"session={value}"}
