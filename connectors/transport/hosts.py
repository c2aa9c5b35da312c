"""Hosts that a system consists of: their settings, and how scripts get to each: by SSH, or as this machine itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from connectors.secrets import FilePath, SecretRef, refuse_pasted
from connectors.spelling import spelled
from connectors.transport.local import ThisMachine
from connectors.transport.ssh import Completed
from connectors.transport.ssh_connect import SshAddress

HostName = Annotated[str, Field(min_length=1, max_length=253), spelled(r"[^\s:/]+", "db07")]
UserName = Annotated[str, Field(min_length=1, max_length=64), spelled(r"[A-Za-z_][A-Za-z0-9_.-]*\$?", "headway")]
_PORT = r"(?:6553[0-5]|655[0-2]\d|65[0-4]\d\d|6[0-4]\d{3}|[1-5]\d{4}|[1-9]\d{0,3})"
JumpHost = Annotated[
    str,
    Field(max_length=320),
    spelled(rf"([A-Za-z_][A-Za-z0-9_.-]*\$?@)?[^\s:/@,-][^\s:/@,]*(:{_PORT})?", "headway@gate:2222"),
]
AbsolutePath = Annotated[str, Field(max_length=4000), spelled(r"/[A-Za-z0-9_@+.,:/=-]*", "/srv/etl")]


class Host(BaseModel):
    """One host with an address of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: HostName
    """Name of the target; jobs are called `name:job`."""
    address: str | None = None
    """DNS name or IP address to connect to; the name if it is left out."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port of its sshd; the system's `port` if it is left out."""
    user: UserName | None = None
    """User to sign in as; the system's `user` if it is left out."""
    jump: tuple[JumpHost, ...] | None = None
    """As the system's `jump`; [] to go straight to this host."""
    local: bool = False
    """True: this is the machine that the engine runs on. Nobody signs in; all is done as the engine's own user."""

    @model_validator(mode="after")
    def local_has_no_address(self) -> Host:
        given = [name for name in ("address", "port", "user", "jump") if getattr(self, name) is not None]
        if self.local and given:
            raise ValueError(f"a local host is this machine, as the engine's own user: drop {', '.join(given)}")
        return self


class HostOptions(BaseModel):
    """What every kind that looks at hosts is told of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: Annotated[tuple[HostName | Host, ...], Field(min_length=1)]
    """Hosts, each polled on its own: a name, { name, address, port, user }, or { name, local = true }: this machine."""
    user: UserName = "headway"
    """User to sign in as: root, or a plain user in group adm (logs) with sudo rules (crontabs, acts)."""
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    """Port of sshd."""
    key: Annotated[FilePath | SecretRef | None, BeforeValidator(refuse_pasted)] = None
    """Private key: a file that only we may read, or a reference to its text. No agent and no default key is tried. Only
    where every host is `local`, or with `ssh_config`, it may be left out."""
    key_passphrase: SecretRef | None = None
    """Passphrase of the key."""
    known_hosts: FilePath = Path("~/.ssh/known_hosts")
    """Host keys we trust, as `host` or `[host]:port`. An unknown or changed key is refused."""
    jump: tuple[JumpHost, ...] = ()
    """Hosts to go through, "[user@]host[:port]" each, the first one that is reached first, with the same key and
    known_hosts. Each must allow TCP forwarding."""
    ssh_config: FilePath | None = None
    """An ssh_config(5), as `~/.ssh/config`: address, user, port, key, known_hosts, HostKeyAlias and ProxyJump of a host
    are taken from it where they are not set here. Needs OpenSSH's client; ProxyCommand is refused."""

    @field_validator("hosts")
    @classmethod
    def names_differ(cls, hosts: tuple[HostName | Host, ...]) -> tuple[HostName | Host, ...]:
        names = [host.name if isinstance(host, Host) else host for host in hosts]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"hosts named twice: {', '.join(twice)}")
        return hosts

    @model_validator(mode="after")
    def someone_signs_in(self) -> HostOptions:
        far = [host for host in self.hosts if not (isinstance(host, Host) and host.local)]
        if self.key is None and self.ssh_config is None and far:
            raise ValueError(
                "key is needed: the private key file with which Headway signs in, or a reference to its text"
            )
        return self

    def host(self, name: str) -> Host:
        """The host of that name, as it is written. KeyError for a name that is not configured."""
        for entry in self.hosts:
            found = entry if isinstance(entry, Host) else Host(name=entry)
            if found.name == name:
                return found
        raise KeyError(name)


def targets(options: HostOptions) -> list[str]:
    """Names of the hosts, in the order of the config."""
    return [entry.name if isinstance(entry, Host) else entry for entry in options.hosts]


class Session(Protocol):
    """Where scripts run: a kept SSH connection, or this machine's own shell."""

    @property
    def address(self) -> SshAddress | ThisMachine: ...

    def run(self, stdin: bytes, argv: Sequence[str], timeout_seconds: float, once: bool = False) -> Completed: ...

    def close(self) -> None: ...
