"""Access to the web console. Each gate admits one request as a visitor, or raises the reason; nothing else decides it.

`LinkGate` is for one person on this machine: a link that works once creates a secret path and a cookie for that path
alone (cookies know no ports, and every local user may listen on one). `ProxyGate` trusts a proxy that names the signed-
in user.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from console.web.visitor import Visitor, is_valid_name

COOKIE = "headway"
SECRET_HEADER = "X-Headway-Secret"  # noqa: S105 - the name of a header
TOKEN_BYTES = 32


class AccessRequest(NamedTuple):
    """One unauthenticated request. Headers with all their values; names in lower case."""

    peer: str
    path: str
    headers: Mapping[str, Sequence[str]]
    cookie: str = ""
    token: str = ""
    is_socket: bool = False

    def only(self, name: str) -> str:
        """A header's value; empty if absent. Raises WebAccessDenied if repeated."""
        values = self.headers.get(name.lower(), ())
        if len(values) > 1:
            raise WebAccessDenied(
                f"the header {name} came {len(values)} times: the proxy must replace it, not add to it"
            )
        return values[0].strip() if values else ""


class WebAccessDenied(Exception):
    """The request was rejected; the message is shown to the visitor and contains no secret."""


def _is_equal(given: str, secret: str) -> bool:
    """In constant time. `given` is any bytes that a client sent; those that are not UTF-8 are surrogates."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), secret.encode())


class AuthGate(Protocol):
    base: str
    """Base path of everything; starts and ends with a slash."""

    def admit(self, request: AccessRequest) -> Visitor:
        """The visitor of this request. Raises WebAccessDenied."""
        ...

    def socket_url(self, host: str) -> str:
        """The WebSocket URL for the page; `host` as in the request."""
        ...


class LinkGate:
    """Loopback only: admits the person with the link that the server printed to the terminal."""

    def __init__(self, port: int) -> None:
        self._names = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        self._here = f"127.0.0.1:{port}"
        self.base = f"/{secrets.token_urlsafe(TOKEN_BYTES)}/"
        self.cookie = secrets.token_urlsafe(TOKEN_BYTES)
        self._token = secrets.token_urlsafe(TOKEN_BYTES)

    @property
    def link(self) -> str:
        """The sign-in link. It works once; afterwards this is a new one."""
        return f"http://{self._here}/?token={self._token}"

    def redeem(self, request: AccessRequest) -> None:
        """Redeems the link's token, which becomes invalid. Raises WebAccessDenied."""
        self._check_host(request)
        if not _is_equal(request.token, self._token):
            raise WebAccessDenied(
                "the link is invalid or was used already: the terminal of headway console serve shows the present one"
            )
        self._token = secrets.token_urlsafe(TOKEN_BYTES)

    def admit(self, request: AccessRequest) -> Visitor:
        self._check_host(request)
        if not _is_equal(request.cookie, self.cookie):
            raise WebAccessDenied(
                "not signed in. Fix: open the link that headway console serve printed to its terminal"
            )
        return Visitor("", f"browser on {request.peer}")

    def socket_url(self, host: str) -> str:
        return f"ws://{host}{self.base}ws"

    def _check_host(self, request: AccessRequest) -> None:
        """Rejects other hosts and origins (DNS rebinding, cross-site sockets)."""
        host, origin = request.only("Host"), request.only("Origin")
        if host not in self._names:
            raise WebAccessDenied(f"this is {self._here}; no other host name is accepted")
        if origin != f"http://{host}" and (origin or request.is_socket):
            raise WebAccessDenied("request from another origin")


class ProxyGate:
    """Behind an authenticating proxy that names the person. `url` is the address that people use."""

    base = "/"

    def __init__(self, url: str, user_header: str, trusted: Sequence[str], secret: str) -> None:
        parts = urlsplit(url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._socket_url = f"wss://{parts.netloc}{parts.path.rstrip('/')}/ws"
        self._user_header, self._secret = user_header, secret
        self._trusted = [ip_network(network) for network in trusted]

    def admit(self, request: AccessRequest) -> Visitor:
        if not any(ip_address(request.peer) in network for network in self._trusted):
            raise WebAccessDenied(f"{request.peer} is not the proxy that headway console serve trusts (--trust)")
        if not _is_equal(request.only(SECRET_HEADER), self._secret):
            raise WebAccessDenied(
                f"the proxy sent no {SECRET_HEADER}, or another one than the file of --secret-file holds"
            )
        origin = request.only("Origin")
        if origin != self._origin and (origin or request.is_socket):
            raise WebAccessDenied(f"request from another origin than {self._origin} (--behind-proxy)")
        name = request.only(self._user_header)
        if not name:
            raise WebAccessDenied(f"the proxy sent no {self._user_header}. Fix: configure it to authenticate first")
        if not is_valid_name(name):
            raise WebAccessDenied(f"{self._user_header} contains a name that the audit cannot record: {name[:64]!a}")
        return Visitor(name, f"browser on {self._browser_address(request)}")

    def socket_url(self, host: str) -> str:
        return self._socket_url

    @staticmethod
    def _browser_address(request: AccessRequest) -> str:
        """The client address that the proxy saw: the last entry; the ones before come from the browser."""
        last = request.headers.get("x-forwarded-for", ("",))[-1].rpartition(",")[2].strip()
        try:
            return str(ip_address(last))
        except ValueError:
            return request.peer
