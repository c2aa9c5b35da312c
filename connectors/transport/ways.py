"""Which way leads to a host, and how we sign in on it: what a system's settings say, then the ssh_config that they
name, then the defaults; for the host itself and for each one to go through."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from connectors.contract import AccessRefused, Secrets
from connectors.secrets import SecretRef
from connectors.transport.hosts import Host, HostOptions, Session
from connectors.transport.local import LocalSession, this_machine
from connectors.transport.ssh import SshSession
from connectors.transport.ssh_config import LIMIT_SECONDS, SshWords, as_ssh_would
from connectors.transport.ssh_connect import SshAddress

MOST_JUMPS = 8


def address(options: HostOptions, target: str, resolve: Secrets) -> SshAddress:
    """Where that host is and how we sign in. AccessRefused where a secret cannot be had, or ssh_config asks for what
    we cannot do; KeyError for a host that is not configured."""
    return _Way(options, resolve).to(options.host(target))


def session_of(options: HostOptions, target: str, resolve: Secrets) -> Session:
    """How scripts get to that host. AccessRefused where a secret cannot be had. A changed ssh_config is taken up by the
    next connection."""
    host = options.host(target)
    if host.local:
        return LocalSession(this_machine(target))
    way = _Way(options, resolve)
    again = None if options.ssh_config is None else (lambda until: way.to(host, until - time.monotonic()))
    return SshSession(way.to(host), again=again)


_HOP = re.compile(r"(?:(?P<user>.*)@)?(?:\[(?P<ip>.+)\]|(?P<name>[^:]+))(?::(?P<port>\d+))?")


def _hop(jump: str, before: tuple[str, ...] | None) -> Host:
    """A host to go through, "[user@]host[:port]"; ssh writes an IP address as "[10.0.0.1]"."""
    found = _HOP.fullmatch(jump)
    if found is None:
        raise AccessRefused(f'"{jump}" is no host to go through. Write it as "user@host:port".')
    place = found["ip"] or found["name"]
    port = int(found["port"]) if found["port"] else None
    try:
        return Host(name=place.replace(":", "-"), address=place, user=found["user"] or None, port=port, jump=before)
    except ValidationError as error:
        raise AccessRefused(f'"{jump}" is no host to go through: {_said(error)}') from error


def _said(error: ValidationError) -> str:
    """What is wrong with it, in few words."""
    return "; ".join(f"{one['loc'][0]} {one['msg'].removeprefix('Value error, ')}" for one in error.errors())


class _Way:
    """The settings of one system, and the key that all of them share."""

    def __init__(self, options: HostOptions, resolve: Secrets) -> None:
        self._options = options
        self._key_text = resolve(options.key) + "\n" if isinstance(options.key, SecretRef) else ""
        self._passphrase = resolve(options.key_passphrase) if options.key_passphrase else ""

    def to(self, host: Host, left_seconds: float = LIMIT_SECONDS, depth: int = 0) -> SshAddress:
        """The address of one host; `depth`: how many hosts lie behind it. `left_seconds`: for the whole way."""
        until = time.monotonic() + left_seconds
        if depth > MOST_JUMPS:
            raise AccessRefused(
                f"{host.name}: more than {MOST_JUMPS} hosts to go through; do two of them name each other?"
            )
        options = self._options
        config, name = options.ssh_config, host.address or host.name
        said = None if config is None else as_ssh_would(config, name, left_seconds)
        jumps = self._jumps(host, said, depth)
        return SshAddress(
            name=host.name,
            address=said.address if said else name,
            port=host.port or self._set("port", said.port if said else options.port),
            user=host.user or self._set("user", said.user if said else options.user),
            known_hosts=self._known_hosts(said),
            key_file=self._key_file(host, said),
            key_text=self._key_text,
            passphrase=self._passphrase,
            alias=said.alias if said else "",
            via=self._through(jumps, until - time.monotonic(), depth + 1),
        )

    def _through(self, jumps: Sequence[str], left_seconds: float, depth: int) -> SshAddress | None:
        """The last of these hosts, which is the one next to the host behind them."""
        if not jumps:
            return None
        before = tuple(jumps[:-1]) or None  # only the first of them is reached as its own ssh_config says
        return self.to(_hop(jumps[-1], before), left_seconds, depth)

    def _jumps(self, host: Host, said: SshWords | None, depth: int) -> Sequence[str]:
        if host.jump is not None:
            return host.jump
        if depth == 0 and self._options.jump:
            return self._options.jump
        return said.jumps if said else ()

    def _set(self, name: str, otherwise: Any) -> Any:
        """What the system's settings say, where they say it."""
        return getattr(self._options, name) if name in self._options.model_fields_set else otherwise

    def _known_hosts(self, said: SshWords | None) -> Path:
        found = next((one for one in said.known_hosts if one.is_file()), None) if said else None
        return Path(self._set("known_hosts", found or self._options.known_hosts))

    def _key_file(self, host: Host, said: SshWords | None) -> Path | None:
        if isinstance(self._options.key, Path):
            return self._options.key.expanduser()
        if self._options.key is not None or said is None:
            return None
        if said.key is None:
            raise AccessRefused(
                f"{host.name}: none of the key files that {self._options.ssh_config} names is there: "
                f"{', '.join(map(str, said.keys)) or 'it names none'}. Set key, or IdentityFile there."
            )
        return said.key.expanduser()
