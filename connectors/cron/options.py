"""The settings of a cron system: which hosts, how to sign in, where its logs and the wrapper's records are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from connectors.secrets import FilePath, SecretRef, refuse_pasted

HostName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s:/]+$")]
UserName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*\$?$")]
AbsolutePath = Annotated[str, Field(pattern=r"^/[A-Za-z0-9_@+.,:/=-]*$", max_length=4000)]


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


class CronOptions(BaseModel):
    """`[systems.NAME]` with `kind = "cron"`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: Annotated[tuple[HostName | Host, ...], Field(min_length=1)]
    """Hosts, each polled on its own: a name, or { name, address, port, user }."""
    user: UserName = "headway"
    """User to sign in as: root, or a plain user in group adm (logs) with sudo rules (crontabs, acts)."""
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    """Port of sshd."""
    key: Annotated[Path | SecretRef, BeforeValidator(refuse_pasted)]
    """Private key: a file that only we may read, or a reference to its text. No agent and no default key is tried."""
    key_passphrase: SecretRef | None = None
    """Passphrase of the key."""
    known_hosts: FilePath = Path("~/.ssh/known_hosts")
    """Host keys we trust, as `host` or `[host]:port`. An unknown or changed key is refused."""
    logs: Annotated[tuple[AbsolutePath, ...], Field(min_length=1)] = ("/var/log/cron.log", "/var/log/syslog")
    """Where cron's log is; the first that can be read counts."""
    sudo: bool = True
    """Whether `sudo -n` may be used to read crontabs and to act as other users (not needed for root)."""
    users: tuple[UserName, ...] = ()
    """Users whose crontabs a plain login reads by sudo; all of uid 0 and 1000 upwards if it is left out."""
    spool: AbsolutePath = "/var/spool/headway"
    """Folder on the hosts with the wrapper's records and the marks of what we did."""
    history_mib: Annotated[int, Field(ge=0, le=4096)] = 64
    """How far back the first poll reads rotated logs, per file, in MiB."""

    @field_validator("hosts")
    @classmethod
    def names_differ(cls, hosts: tuple[HostName | Host, ...]) -> tuple[HostName | Host, ...]:
        names = [host.name if isinstance(host, Host) else host for host in hosts]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"hosts named twice: {', '.join(twice)}")
        return hosts

    def host(self, name: str) -> Host:
        """The host of that name with every default filled in. KeyError for a name that is not configured."""
        for entry in self.hosts:
            found = entry if isinstance(entry, Host) else Host(name=entry)
            if found.name == name:
                return Host(
                    name=name, address=found.address or name, port=found.port or self.port, user=found.user or self.user
                )
        raise KeyError(name)


def targets(options: CronOptions) -> list[str]:
    """Names of the hosts, in the order of the config."""
    return [entry.name if isinstance(entry, Host) else entry for entry in options.hosts]
