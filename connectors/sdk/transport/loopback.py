"""Whether a host is this machine, so that no network is crossed; addresses to listen at."""

from __future__ import annotations

import re
from ipaddress import ip_address

_ADDRESS = re.compile(r"(?:\[([0-9a-fA-F:.]{2,45})\]|([0-9.]{7,15}|localhost)):([1-9]\d{0,4})")


def is_loopback(host: str) -> bool:
    """True for localhost and a loopback address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_local_server(host: str) -> bool:
    """True also for the path of a socket (`/run/postgresql`, `@abstract`)."""
    return host.startswith(("/", "@")) or is_loopback(host)


def listen_address(text: str) -> tuple[str, int]:
    """Host and port of an address to listen at. Raises ValueError."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[3]) > 65535:
        raise ValueError(f'listen: {text!r} is not an address to listen at; write "127.0.0.1:8787" or "[::1]:8787"')
    return match[1] or match[2], int(match[3])


def checked_listen(text: str, plain_http: bool) -> tuple[str, int]:
    """The same, of this machine only unless `plain_http`. Raises ValueError."""
    host, port = listen_address(text)
    if not plain_http and not is_loopback(host):
        raise ValueError(
            f"listen: others reach {text}, and tokens would cross the network unencrypted."
            " Listen at 127.0.0.1 behind a proxy with TLS, or write plain_http = true"
        )
    return host, port
