"""A signed-in SSH connection to one host: strict host keys, no agent, a limit for all of it."""

from __future__ import annotations

import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, cast

import paramiko

from connectors.contract import AccessRefused, RightMissing
from connectors.transport.known_hosts import known_hosts

KEEPALIVE_SECONDS = 30
CONNECT_LIMIT_SECONDS = 20.0
WEAK = {  # what paramiko 5.1 still offers and nobody needs
    "ciphers": ["aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc"],
    "macs": ["hmac-sha1", "hmac-md5", "hmac-sha1-96", "hmac-md5-96"],
}
KEY_CLASSES: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


@dataclass(frozen=True, slots=True)
class SshAddress:
    """Where a host is and how we sign in. `known_hosts` is read at each connect; `key` is a file or a key's text."""

    name: str
    address: str
    port: int
    user: str
    known_hosts: Path
    key_file: Path | None = None
    key_text: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)
    alias: str = ""
    """The one name under which known_hosts has this host's key, where ssh_config says it: HostKeyAlias."""
    via: SshAddress | None = None
    """The host to go through, which may itself lie behind another; None: straight."""

    @property
    def words(self) -> str:
        """For messages: "db07 (headway@127.0.0.1:2222)", "db07 (headway@10.0.0.7:22 through bastion)"."""
        through = f" through {self.via.name}" if self.via is not None else ""
        return f"{self.name} ({self.user}@{self.address}:{self.port}{through})"

    @property
    def key_names(self) -> tuple[str, ...]:
        """The names under which known_hosts may have this host's key, the address first, as OpenSSH looks."""
        if self.alias:
            return (self.alias,)
        plain = (self.address, self.name)
        return plain if self.port == 22 else tuple(f"[{name}]:{self.port}" for name in plain)


@contextmanager
def watchdog(close: Callable[[], None], until: float) -> Iterator[None]:
    """Closes the connection at the deadline, which wakes every wait of paramiko's, also those without a limit."""
    timer = threading.Timer(max(0.0, until - time.monotonic()), close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _RefuseUnknown(paramiko.MissingHostKeyPolicy):
    def __init__(self, address: SshAddress, unread: str) -> None:
        self.address = address
        self.unread = f" ({unread}: mend or remove it)" if unread else ""

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise AccessRefused(
            f"{self.address.words}: host key {key.get_name()} {key.fingerprint} is not in {self.address.known_hosts}"
            f' under "{hostname}"{self.unread}. Check the fingerprint on the host, then: '
            f"{keyscan(self.address)}"
        )


def keyscan(address: SshAddress) -> str:
    """The command that writes the host's key into known_hosts; the name in front of it is what we look for."""
    asked = f"ssh-keyscan -p {address.port} {address.address}"
    if address.via is not None:  # ssh-keyscan goes through nobody
        asked = f"ssh {address.via.user}@{address.via.address} -p {address.via.port} {asked}"
    return f"{asked} >> {address.known_hosts}"


class _Client(paramiko.SSHClient):
    """Ends with itself the connection that it goes through."""

    through: paramiko.SSHClient | None = None

    def close(self) -> None:
        super().close()
        if self.through is not None:
            self.through.close()


def connect(address: SshAddress, until: float) -> paramiko.SSHClient:
    """A signed-in connection, through other hosts where the address lies behind them. AccessRefused where a person must
    do something; OSError, EOFError, SSHException for what may work later."""
    limit = min(CONNECT_LIMIT_SECONDS, until - time.monotonic())
    if limit <= 0:
        raise TimeoutError("no time left to connect")
    key = _private_key(address)
    client = _Client()
    client.set_missing_host_key_policy(_RefuseUnknown(address, _trust(client, address)))
    if address.via is not None:
        client.through = connect(address.via, until)
        limit = min(CONNECT_LIMIT_SECONDS, until - time.monotonic())
    try:
        sock = _socket(address, limit) if client.through is None else _forwarded(client.through, address, limit)
    except BaseException:
        client.close()
        raise
    try:
        with watchdog(sock.close, time.monotonic() + limit):
            client.connect(
                address.address, address.port, address.user, pkey=key, sock=cast("socket.socket", sock),
                allow_agent=False, look_for_keys=False, timeout=limit, banner_timeout=limit, auth_timeout=limit,
                channel_timeout=limit, disabled_algorithms=WEAK,
            )  # fmt: skip
            transport = client.get_transport()
            if transport is not None:
                transport.set_keepalive(KEEPALIVE_SECONDS)
    except BaseException as error:
        client.close()
        sock.close()
        raise _sorted(error, address) from error
    return client


def _sorted(error: BaseException, address: SshAddress) -> BaseException:
    """The same failure by what happens next: a person for keys and users, later for the rest."""
    if isinstance(error, paramiko.BadHostKeyException):
        expected, got = error.expected_key, error.key
        return AccessRefused(
            f"{address.words}: the host key changed: {address.known_hosts} has {expected.get_name()} "
            f"{expected.fingerprint}, the host showed {got.get_name()} {got.fingerprint}. "
            "Find out why on the host before you replace the line."
        )
    if isinstance(error, paramiko.AuthenticationException) and "saw EOF" in str(error):
        return paramiko.SSHException("the host ended the connection while it let us sign in: its sshd's log says why")
    if isinstance(error, paramiko.AuthenticationException) and "timeout" not in str(error).lower():
        key = address.key_file or "(from a reference)"
        return AccessRefused(
            f'{address.words}: the host refused user "{address.user}" with key {key}. '
            f"Put its public half into that user's authorized_keys on {address.name}."
        )
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return AccessRefused(f"{address.words}: no common algorithm but weak ones: {error}. Update its sshd.")
    return error


def _trust(client: paramiko.SSHClient, address: SshAddress) -> str:
    """Gives `client` the keys known for this host, under the name that it will look for; which lines of the file
    cannot be read, in words."""
    try:
        known = known_hosts(address.known_hosts.expanduser())
    except OSError as error:
        raise AccessRefused(
            f"{address.words}: known_hosts {address.known_hosts}: {error.strerror}. Make it with: {keyscan(address)}"
        ) from error
    for key in reversed(known.keys_of(address.key_names)):  # of two of one kind the first counts
        client.get_host_keys().add(address.key_names[0], key.get_name(), key)
    return known.words


def trust_words(address: SshAddress) -> tuple[str, ...]:
    """What a person should know of the file of host keys; nothing where all of it can be read."""
    try:
        words = known_hosts(address.known_hosts.expanduser()).words
    except OSError:
        return ()  # without it no connection is made, and that refusal says why
    return (f"{address.known_hosts}: {words}; it is left out. Mend or remove it.",) if words else ()


def _private_key(address: SshAddress) -> paramiko.PKey:
    text, where = address.key_text, "(from a reference)"
    if address.key_file is not None:
        text, where = _key_file_text(address.key_file), str(address.key_file)
    for kind in KEY_CLASSES:
        try:
            return kind.from_private_key(StringIO(text), address.passphrase or None)
        except paramiko.PasswordRequiredException as error:
            raise AccessRefused(f"{address.words}: key {where} has a passphrase; set key_passphrase.") from error
        except (paramiko.SSHException, ValueError, IndexError):
            continue
    raise AccessRefused(f"{address.words}: key {where} cannot be read: wrong passphrase, or not ed25519, ecdsa, rsa.")


def _key_file_text(path: Path) -> str:
    try:
        mode = stat.S_IMODE(path.expanduser().stat().st_mode)
        text = path.expanduser().read_text("utf-8", "replace")
    except OSError as error:
        raise AccessRefused(f"ssh key {path}: {error.strerror}. Make it readable for this user.") from error
    if mode & 0o077:
        raise AccessRefused(f"ssh key {path}: mode {mode:04o} lets others read it. chmod 600 {path}")
    return text


class _Forwarded:
    """A channel as the socket of another connection: its end never raises, also when its own connection is gone."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def close(self) -> None:
        with suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.close()


def _forwarded(through: paramiko.SSHClient, address: SshAddress, limit: float) -> _Forwarded:
    """A channel from the host that we go through to the sshd of the one behind it."""
    transport, hop = through.get_transport(), address.via
    if transport is None or hop is None or limit <= 0:
        raise TimeoutError("no time left to connect")
    try:
        with watchdog(transport.close, time.monotonic() + limit):
            place = (address.address, address.port)
            return _Forwarded(transport.open_channel("direct-tcpip", place, ("127.0.0.1", 0), timeout=limit))
    except paramiko.ChannelException as error:
        if error.code == 1:  # administratively prohibited, RFC 4254 section 5.1
            raise RightMissing(
                f"{address.words}: {hop.words} forwards no connections to it. Allow it there: AllowTcpForwarding and "
                "PermitOpen of its sshd, no `restrict` without `port-forwarding` before the key."
            ) from error
        raise paramiko.SSHException(f"{hop.words} cannot reach {address.address}:{address.port}: {error}") from error


def _socket(address: SshAddress, limit: float) -> socket.socket:
    """A connected socket. Name look-up has no time limit of its own, so it waits on a thread of its own."""
    found: list[socket.socket | OSError] = []

    def connect() -> None:
        try:
            found.append(socket.create_connection((address.address, address.port), timeout=limit))
        except OSError as error:
            found.append(error)

    worker = threading.Thread(target=connect, daemon=True)
    worker.start()
    worker.join(limit)
    if not found:
        raise TimeoutError("name look-up or connect took too long")
    if isinstance(found[0], OSError):
        raise found[0]
    found[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found[0]
