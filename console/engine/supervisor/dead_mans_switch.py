"""Dead man's switch: a URL that is fetched while the engine is healthy, so that an outside monitor notices when it
is not.

The URL is a secret: a person who knows it can hide an outage. It never appears in a log.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

import structlog

from connectors.sdk.errors import ConnectorError
from connectors.sdk.secrets import SecretRef, SecretStore
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import HttpEndpoint, checked_origin
from console.engine.supervisor.health import EngineHealth
from console.text.redact import sanitize

log = structlog.get_logger("headway.ping")

SECONDS = 10.0
"""For one ping, redirects included."""
EVERY_SECONDS = 60.0
FIRST_SECONDS = 10.0
REDIRECTS = 3
_REDIRECT = frozenset({301, 302, 303, 307, 308})
MESSAGE_LIMIT = 160


class PingFailed(Exception):
    """Why a ping did not arrive."""


def fetch(url: str) -> None:
    """One GET, answered 2xx; redirects are followed within the origin only. Raises PingFailed."""
    deadline, redirects = Deadline(SECONDS), REDIRECTS
    origin = _origin(url)
    endpoint = HttpEndpoint("the ping", origin)
    try:
        while True:
            parts = urlsplit(url)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            reply = endpoint.call("GET", path, deadline, accept=_REDIRECT)
            if reply.status not in _REDIRECT:
                return
            url = urljoin(url, reply.headers.get("location", ""))
            if _origin(url) != origin or not redirects:
                raise PingFailed(
                    f"the answer ({reply.status}) redirects to another origin. Fix: configure the final address"
                )
            redirects -= 1
    except ConnectorError as error:
        raise PingFailed(str(error)) from None
    finally:
        endpoint.close()


def _origin(url: str) -> str:
    """Scheme, host and port: https, or http on this machine. Raises PingFailed."""
    try:
        parts = urlsplit(url)
        return checked_origin(f"{parts.scheme}://{parts.netloc}")
    except ValueError as error:
        raise PingFailed(str(error).replace(url, "the URL")) from None


class DeadMansSwitch:
    """Fetches the URL at intervals while the engine is healthy; failures are reported and retried."""

    def __init__(self, url: SecretRef, secrets: SecretStore, health: EngineHealth) -> None:
        self._url = url
        self._secrets = secrets
        self._health = health
        self._logged = ""
        self.wake = threading.Event()

    def run(self, fence: int, stopping: Callable[[], bool]) -> None:
        """Runs until `stopping`. The first ping is delayed, so that an engine that crashes on every start does not
        ping."""
        self.wake.wait(FIRST_SECONDS)
        while not stopping():
            self.wake.clear()
            self.step()
            self.wake.wait(EVERY_SECONDS)

    def step(self) -> None:
        """Sends one ping, unless the engine is unhealthy."""
        reason = self._health.unhealthy_reason()
        self._log_once("not sent: " + reason if reason else "")
        if reason:
            return
        try:
            fetch(self._secrets(self._url))
            failed = ""
        except (PingFailed, ConnectorError) as error:
            failed = sanitize(str(error), self._secrets.mask, MESSAGE_LIMIT, on_one_line=True)
        self._health.set_ping_error(failed)
        self._log_once(failed)

    def _log_once(self, text: str) -> None:
        """Logs a problem once while it stays the same."""
        if text == self._logged:
            return
        if text:
            log.warning("no ping", error=text)
        else:
            log.info("the ping arrives again")
        self._logged = text
