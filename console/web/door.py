"""Who may come in. Each door answers one request with a visitor, or raises why not; nothing else decides it.

`OwnDoor` is for one person on this machine: a link that works once makes a secret path and a cookie for that path alone
(cookies know no ports, and every local user may listen on one). `ProxyDoor` is for a company: a proxy that has signed
somebody in says who they are.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from console.web.visitor import Visitor, is_bearable

COOKIE = "headway"
SECRET_HEADER = "X-Headway-Secret"  # noqa: S105 - the name of a header
TOKEN_BYTES = 32
LEAST_SECRET = 16


class Knock(NamedTuple):
    """One request before anything of it is believed. Every header with all its values; names in lower case."""

    peer: str
    path: str
    headers: Mapping[str, Sequence[str]]
    cookie: str = ""
    token: str = ""
    is_socket: bool = False

    def only(self, name: str) -> str:
        """A header's value; empty where there is none. Raises TurnedAway where there are several."""
        values = self.headers.get(name.lower(), ())
        if len(values) > 1:
            raise TurnedAway(f"the header {name} came {len(values)} times: the proxy must replace it, not add to it")
        return values[0].strip() if values else ""


class TurnedAway(Exception):
    """Not let in; the words are for whoever sits there, and hold nothing secret."""


class Door(Protocol):
    base: str
    """The path below which everything is; it begins and ends with a slash."""

    def enter(self, knock: Knock) -> Visitor: ...
    def socket_url(self, host: str) -> str:
        """Where the page finds its console; `host` as the request named it."""
        ...


class OwnDoor:
    """Loopback: for whoever has the link that the server printed to the terminal."""

    def __init__(self, port: int) -> None:
        self._names = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        self._here = f"127.0.0.1:{port}"
        self.base = f"/{secrets.token_urlsafe(TOKEN_BYTES)}/"
        self.cookie = secrets.token_urlsafe(TOKEN_BYTES)
        self._token = secrets.token_urlsafe(TOKEN_BYTES)

    @property
    def link(self) -> str:
        """Works once; then this is another one."""
        return f"http://{self._here}/?token={self._token}"

    def redeem(self, knock: Knock) -> None:
        """Takes the link's token, which is none any more then. Raises TurnedAway."""
        self._check_host(knock)
        if not hmac.compare_digest(knock.token.encode(), self._token.encode()):
            raise TurnedAway("this link has been used, or is none: the terminal of headway serve shows the present one")
        self._token = secrets.token_urlsafe(TOKEN_BYTES)

    def enter(self, knock: Knock) -> Visitor:
        self._check_host(knock)
        if not hmac.compare_digest(knock.cookie.encode(), self.cookie.encode()):
            raise TurnedAway("nobody has signed in here: open the link that headway serve printed to its terminal")
        return Visitor("", f"browser on {knock.peer}")

    def socket_url(self, host: str) -> str:
        return f"ws://{host}{self.base}ws"

    def _check_host(self, knock: Knock) -> None:
        """A page of elsewhere whose name was led to this machine, or that opens a socket here, gets nothing."""
        host, origin = knock.only("Host"), knock.only("Origin")
        if host not in self._names:
            raise TurnedAway(f"this is {self._here}, and answers to no other name")
        if origin != f"http://{host}" and (origin or knock.is_socket):
            raise TurnedAway("asked for by a page of another place")


class ProxyDoor:
    """Behind a proxy that says who it has signed in. `url` is the address that people see."""

    base = "/"

    def __init__(self, url: str, user_header: str, trusted: Sequence[str], secret: str) -> None:
        parts = urlsplit(url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._socket_url = f"wss://{parts.netloc}{parts.path.rstrip('/')}/ws"
        self._user_header, self._secret = user_header, secret
        self._trusted = [ip_network(one) for one in trusted]

    def enter(self, knock: Knock) -> Visitor:
        if not any(ip_address(knock.peer) in one for one in self._trusted):
            raise TurnedAway(f"{knock.peer} is not the proxy that headway serve trusts (--trust)")
        if not hmac.compare_digest(knock.only(SECRET_HEADER).encode(), self._secret.encode()):
            raise TurnedAway(f"the proxy sent no {SECRET_HEADER}, or another one than the file of --secret-file holds")
        origin = knock.only("Origin")
        if origin != self._origin and (origin or knock.is_socket):
            raise TurnedAway(f"asked for by a page of another place than {self._origin} (--behind-proxy)")
        name = knock.only(self._user_header)
        if not name:
            raise TurnedAway(f"the proxy named nobody in {self._user_header}: it must sign people in first")
        if not is_bearable(name):
            raise TurnedAway(f"{self._user_header} names somebody whom the audit cannot tell: {name[:64]!a}")
        return Visitor(name, f"browser on {self._far_end(knock)}")

    def socket_url(self, host: str) -> str:
        return self._socket_url

    @staticmethod
    def _far_end(knock: Knock) -> str:
        """What the proxy itself has seen: the last entry, all before it is the browser's own word."""
        last = knock.headers.get("x-forwarded-for", ("",))[-1].rpartition(",")[2].strip()
        try:
            return str(ip_address(last))
        except ValueError:
            return knock.peer
