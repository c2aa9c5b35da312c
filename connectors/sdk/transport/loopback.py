"""Whether a host is this machine, so that no network is crossed."""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """True for localhost, a loopback address, and the path of a socket."""
    try:
        return host == "localhost" or host.startswith(("/", "@")) or ip_address(host).is_loopback
    except ValueError:
        return False
