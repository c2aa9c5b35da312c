"""What OpenSSH's own client would do for a host, with a person's ssh_config: `ssh -G` tells it, with Include, Match and
tokens. Source: ssh(1), ssh_config(5)."""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from connectors.contract import AccessRefused, SystemUnreachable

LIMIT_SECONDS = 10.0
"""A `Match exec` of that file may run a program."""


@dataclass(frozen=True, slots=True)
class SshWords:
    """The settings of one host, as ssh would use them."""

    address: str
    user: str
    port: int
    keys: tuple[Path, ...]
    """In the order in which ssh tries them; they need not exist."""
    known_hosts: tuple[Path, ...]
    alias: str
    """HostKeyAlias; empty: none."""
    jumps: tuple[str, ...]
    """ProxyJump, "[user@]host[:port]" each, the first one that is reached first."""

    @property
    def key(self) -> Path | None:
        """The first that exists."""
        return next((one for one in self.keys if one.expanduser().is_file()), None)


def as_ssh_would(config: Path, host: str, left_seconds: float = LIMIT_SECONDS) -> SshWords:
    """What that ssh_config says of the host. AccessRefused where it cannot be read, or asks for what we cannot do;
    SystemUnreachable where the time that is left is too short to ask."""
    path = config.expanduser()
    if not path.is_file():
        raise AccessRefused(f"ssh_config {config}: no such file. Name one, or leave ssh_config out.")
    _refuse_foreign(config, path)
    told = _asked(config, ["ssh", "-G", "-F", str(path), "--", host], left_seconds)
    many: dict[str, list[str]] = {}
    for line in told.splitlines():
        name, _, value = line.partition(" ")
        many.setdefault(name, []).append(value)
    one = {name: values[0] for name, values in many.items()}
    if one.get("proxycommand", "none") != "none":
        raise AccessRefused(
            f"ssh_config {config}: {host} has a ProxyCommand, which Headway does not run. Use ProxyJump there, "
            "or `jump` in the config of Headway."
        )
    jumps = one.get("proxyjump", "none")
    return SshWords(
        address=one["hostname"],
        user=one["user"],
        port=int(one["port"]),
        keys=tuple(Path(value) for value in many.get("identityfile", ())),
        known_hosts=tuple(Path(value) for value in one.get("userknownhostsfile", "").split()),
        alias=one.get("hostkeyalias", ""),
        jumps=() if jumps == "none" else tuple(jumps.removeprefix("ssh://").split(",")),
    )


def _refuse_foreign(config: Path, path: Path) -> None:
    """A `Match exec` of it runs as us: ssh looks at who may write a person's own file, but not at one that is named."""
    held = path.stat()
    if held.st_uid not in (0, os.geteuid()) or held.st_mode & 0o022:
        raise AccessRefused(
            f"ssh_config {config}: others may write it (owner {held.st_uid}, mode {stat.S_IMODE(held.st_mode):04o}), "
            f"and so run programs as Headway. Make it ours or root's, and chmod go-w {config}"
        )


def _asked(config: Path, argv: list[str], left_seconds: float) -> str:
    seconds = max(0.05, min(LIMIT_SECONDS, left_seconds))
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and the host's name follows "--"
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
        )
    except FileNotFoundError as error:
        raise AccessRefused(
            f"ssh_config {config}: OpenSSH's client is not installed, which reads it. apt install openssh-client"
        ) from error
    except subprocess.TimeoutExpired as error:
        if seconds < LIMIT_SECONDS:
            raise SystemUnreachable(f"ssh_config {config}: no time was left for ssh -G") from error
        raise AccessRefused(
            f"ssh_config {config}: ssh -G took over {LIMIT_SECONDS:.0f} s; look at its Match."
        ) from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise AccessRefused(f"ssh_config {config}: ssh cannot read it: {said or f'exit {done.returncode}'}")
    return done.stdout.decode("utf-8", "replace")
