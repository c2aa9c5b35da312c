"""Whether a host is this machine, so that no network is crossed."""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """True for localhost and a loopback address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_local_server(host: str) -> bool:
    """True also for the path of a socket (`/run/postgresql`, `@abstract`)."""
    return host.startswith(("/", "@")) or is_loopback(host)
