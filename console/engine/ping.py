"""The dead-man ping: a URL is fetched while the engine is well, so that somebody outside tells when it is not.

What is fetched is a secret: who knows the URL can keep the silence from being noticed. It never stands in a log.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urljoin, urlsplit

import structlog

from connectors.contract import ConnectorError
from connectors.secrets import SecretRef, SecretStore
from connectors.transport.http import Deadline, HttpDoor, checked_origin
from console.clean import clean_line
from console.engine.health import Health

log = structlog.get_logger("headway.ping")

SECONDS = 10.0
"""For one ping, redirects included."""
FIRST_SECONDS = 10.0
REDIRECTS = 3
_REDIRECT = frozenset({301, 302, 303, 307, 308})
WORDS_LIMIT = 160


class PingFailed(Exception):
    """It did not arrive; why, in words."""


def fetch(url: str) -> None:
    """One GET, answered 2xx; redirects are followed within the origin only. Raises PingFailed."""
    deadline, left = Deadline(SECONDS), REDIRECTS
    origin = _origin(url)
    door = HttpDoor("the ping", origin)
    try:
        while True:
            parts = urlsplit(url)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            reply = door.call("GET", path, deadline, accept=_REDIRECT)
            if reply.status not in _REDIRECT:
                return
            url = urljoin(url, reply.headers.get("location", ""))
            if _origin(url) != origin or not left:
                raise PingFailed(f"the answer ({reply.status}) leads elsewhere; give the address it leads to")
            left -= 1
    except ConnectorError as error:
        raise PingFailed(str(error)) from None
    finally:
        door.close()


def _origin(url: str) -> str:
    """Scheme, host and port: https, or http on this machine. Raises PingFailed."""
    try:
        parts = urlsplit(url)
        return checked_origin(f"{parts.scheme}://{parts.netloc}", plain_http=False)
    except ValueError as error:
        raise PingFailed(str(error).replace(url, "the URL")) from None


class Ping:
    """Fetches the URL every so often while the engine is well; what fails is said, and tried again."""

    def __init__(
        self,
        url: SecretRef,
        every: timedelta,
        secrets: SecretStore,
        health: Health,
        get: Callable[[str], None] = fetch,
    ) -> None:
        self._url = url
        self._every = every.total_seconds()
        self._secrets = secrets
        self._health = health
        self._get = get
        self._said = ""
        self.wake = threading.Event()

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Until `stopping`. An engine that dies soon after each start must not ping each time: the first one waits."""
        self.wake.wait(min(self._every, FIRST_SECONDS))
        while not stopping():
            self.wake.clear()
            self.step()
            self.wake.wait(self._every)

    def step(self) -> None:
        """One ping; none while the engine is unwell."""
        unwell = self._health.unwell()
        self._say("not sent: " + unwell if unwell else "")
        if unwell:
            return
        try:
            self._get(self._secrets(self._url))
            failed = ""
        except (PingFailed, ConnectorError) as error:
            failed = clean_line(self._secrets.mask(str(error)), WORDS_LIMIT)
        self._health.ping_fails(failed)
        self._say(failed)

    def _say(self, words: str) -> None:
        """Once for as long as it stays the same."""
        if words == self._said:
            return
        if words:
            log.warning("no ping", error=words)
        else:
            log.info("the ping arrives again")
        self._said = words
