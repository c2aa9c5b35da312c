"""One cached SSH connection to one host: strict host keys, no agent, a deadline for every call, one channel at a
time.

The far side always runs one fixed command that reads a script from its standard input, so no outside text ever becomes
part of a command line. A connection in doubt is discarded; a call that may be repeated is then tried once more.
`recv_exit_status()` and `exec_command()` of paramiko wait without limit (paramiko#1815), hence the watchdog per call.

Host keys are read as OpenSSH reads them: an unreadable line spoils no other host's. Failures are sorted by paramiko
5.1's messages, since its errors have no numbers; codes: RFC 4254 section 5.1.
"""

from __future__ import annotations

import logging
import re
import socket
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from pathlib import Path
from shlex import join
from typing import Any, cast

import paramiko
from paramiko.hostkeys import HostKeyEntry

from connectors.sdk.errors import AccessRefused, InvalidAnswer, PermissionMissing, RateLimited, SystemUnreachable
from connectors.sdk.transport.call_limits import call_on_thread, count_request, watchdog

logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # its tracebacks: each failure is reported by its exception

LINES_NAMED = 5


@dataclass(slots=True)
class KnownHosts:
    """One file's keys, and the numbers of the lines that cannot be read."""

    trusted: list[HostKeyEntry] = field(default_factory=list)
    revoked: list[paramiko.PKey] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)

    def keys_of(self, names: Iterable[str]) -> list[paramiko.PKey]:
        """The trusted keys under the first of these names that has any."""

        def is_name(known: str, name: str) -> bool:
            return known == name or (known.startswith("|1|") and paramiko.HostKeys.hash_host(name, known) == known)

        trusted = [item for item in self.trusted if item.key not in self.revoked]
        for name in names:
            if keys := [item.key for item in trusted if any(is_name(known, name) for known in item.hostnames or ())]:
                return keys
        return []

    @property
    def text(self) -> str:
        """ "line 3 cannot be read", or nothing."""
        lines = ", ".join(map(str, self.unread[:LINES_NAMED])) + (", …" if len(self.unread) > LINES_NAMED else "")
        return f"line{'s' if len(self.unread) > 1 else ''} {lines} cannot be read" if self.unread else ""

    def _take(self, number: int, line: str) -> None:
        marker, _, rest = line.partition(" ") if line.startswith("@") else ("", "", line)
        if marker == "@cert-authority":
            return  # certificates of hosts are not supported: such a host needs a line of its own
        try:
            entry = HostKeyEntry.from_line(rest.strip(), number)
        except Exception:  # noqa: BLE001 - InvalidHostKey is a plain Exception, and a broken key raises what it likes
            self.unread.append(number)
            return
        if entry is None or entry.key is None:
            if len(rest.split()) < 3:
                self.unread.append(number)  # else: a kind of key that paramiko does not know
        elif marker == "@revoked":
            self.revoked.append(entry.key)
        elif not marker:
            self.trusted.append(entry)


def known_hosts(path: Path) -> KnownHosts:
    """The present content of the file. Raises OSError."""
    hosts = KnownHosts()
    for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            hosts._take(number, text)
    return hosts


PROHIBITED = 1
BY_CODE = {2: RateLimited, 3: InvalidAnswer, 4: RateLimited}
"""Code of a refused channel -> its class. sshd answers 2 beyond MaxSessions."""
_SORTS: tuple[tuple[type[SystemUnreachable], str], ...] = (
    (RateLimited, r"Error reading SSH protocol banner"),
    (SystemUnreachable, r"Negotiation failed|No existing session|SSH session not active|Timeout|timed? ?out"),
    (SystemUnreachable, r"Unable to (open channel|connect)|cannot reach|the connection ended$"),
    (InvalidAnswer, r"Indecipherable protocol version|Invalid SSH banner|Incompatible version"),
    (InvalidAnswer, r"the answer is larger than|while it let us sign in"),
)
BY_MESSAGE = tuple((error_type, re.compile(pattern)) for error_type, pattern in _SORTS)
"""Message of an SSHException -> its class; others are InvalidAnswer."""
FIXES = {
    RateLimited: (
        "The host takes no more connections now: its sshd's MaxStartups, MaxSessions and PerSourcePenalties say how"
        " many, and hosts.deny excludes clients"
    ),
    InvalidAnswer: "Is it an sshd that answers there?",
}


def error_class(error: BaseException) -> type[SystemUnreachable]:
    """The class for an OSError, EOFError or SSHException that may succeed later."""
    if isinstance(error, paramiko.ChannelException):
        return BY_CODE.get(error.code, InvalidAnswer)
    if not isinstance(error, paramiko.SSHException):
        return SystemUnreachable
    return next((error_type for error_type, pattern in BY_MESSAGE if pattern.search(str(error))), InvalidAnswer)


KEEPALIVE_SECONDS = 30
CONNECT_LIMIT_SECONDS = 20.0
WEAK = {  # weak, and still offered by paramiko 5.1
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
    def text(self) -> str:
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


class _RefuseUnknown(paramiko.MissingHostKeyPolicy):
    def __init__(self, address: SshAddress, unread: str) -> None:
        self.address = address
        self.unread = f" ({unread}: fix or remove it)" if unread else ""

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise AccessRefused(
            f"{self.address.text}: host key {key.get_name()} {key.fingerprint} is not in {self.address.known_hosts}"
            f' under "{hostname}"{self.unread}. Check the fingerprint on the host, then: '
            f"{keyscan(self.address)}"
        )


def keyscan(address: SshAddress) -> str:
    """The command that writes the host's key into known_hosts; the name in front of it is what we look for."""
    text = f"ssh-keyscan -p {address.port} {address.address}"
    if address.via is not None:  # ssh-keyscan uses no jump host
        text = f"ssh {address.via.user}@{address.via.address} -p {address.via.port} {text}"
    return f"{text} >> {address.known_hosts}"


class _SshClient(paramiko.SSHClient):
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
    client = _SshClient()
    client.set_missing_host_key_policy(_RefuseUnknown(address, _trust(client, address)))
    if address.via is not None:
        client.through = connect(address.via, until)
        limit = min(CONNECT_LIMIT_SECONDS, until - time.monotonic())
    sock: socket.socket | _Forwarded
    try:
        if client.through is not None:
            sock = _forwarded(client.through, address, limit)
        else:  # by a thread of its own: a name lookup has no time limit
            create = partial(socket.create_connection, (address.address, address.port), timeout=limit)
            sock = call_on_thread(create, limit, "headway-ssh-connect", socket.socket.close)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        client.close()
        raise
    try:
        with watchdog(sock.close, limit):
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
        raise _sorted_error(error, address) from error
    return client


def _sorted_error(error: BaseException, address: SshAddress) -> BaseException:
    """The same failure by what happens next: a person for keys and users, later for the rest."""
    if isinstance(error, paramiko.BadHostKeyException):
        expected, got = error.expected_key, error.key
        return AccessRefused(
            f"{address.text}: the host key changed: {address.known_hosts} has {expected.get_name()} "
            f"{expected.fingerprint}, the host showed {got.get_name()} {got.fingerprint}. "
            "Find out why on the host before you replace the line."
        )
    if isinstance(error, paramiko.AuthenticationException) and "saw EOF" in str(error):
        return paramiko.SSHException("the host ended the connection while it let us sign in: its sshd's log says why")
    if isinstance(error, paramiko.AuthenticationException) and "timeout" not in str(error).lower():
        key = address.key_file or "(from a reference)"
        return AccessRefused(
            f'{address.text}: the host refused user "{address.user}" with key {key}. '
            f"Put its public half into that user's authorized_keys on {address.name}."
        )
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return AccessRefused(f"{address.text}: no common algorithm but weak ones: {error}. Update its sshd.")
    return error


def _trust(client: paramiko.SSHClient, address: SshAddress) -> str:
    """Gives `client` the known keys of this host, under the name that it uses; returns which lines are unreadable."""
    try:
        known = known_hosts(address.known_hosts.expanduser())
    except OSError as error:
        raise AccessRefused(
            f"{address.text}: known_hosts {address.known_hosts}: {error.strerror}. Make it with: {keyscan(address)}"
        ) from error
    for key in reversed(known.keys_of(address.key_names)):  # of two of one kind the first counts
        client.get_host_keys().add(address.key_names[0], key.get_name(), key)
    return known.text


def trust_hint(address: SshAddress) -> tuple[str, ...]:
    """A warning about unreadable lines of known_hosts; empty without any."""
    try:
        problem = known_hosts(address.known_hosts.expanduser()).text
    except OSError:
        return ()  # without it no connection is made, and that refusal says why
    return (f"{address.known_hosts}: {problem}; it is skipped. Fix or remove it.",) if problem else ()


def _private_key(address: SshAddress) -> paramiko.PKey:
    text, where = address.key_text, "(from a reference)"
    if address.key_file is not None:
        where = str(address.key_file)
        try:
            mode = stat.S_IMODE(address.key_file.expanduser().stat().st_mode)
            text = address.key_file.expanduser().read_text("utf-8", "replace")
        except OSError as error:
            is_missing = isinstance(error, FileNotFoundError)
            fix = f"ssh-keygen -q -t ed25519 -N '' -f {where}" if is_missing else "make it readable for this user"
            raise AccessRefused(f"ssh key {where}: {error.strerror}. Fix: {fix}") from error
        if mode & 0o077:
            raise AccessRefused(f"ssh key {where}: mode {mode:04o} lets others read it. chmod 600 {where}")
    for kind in KEY_CLASSES:
        try:
            return kind.from_private_key(StringIO(text), address.passphrase or None)
        except paramiko.PasswordRequiredException as error:
            raise AccessRefused(f"{address.text}: key {where} has a passphrase; set key_passphrase.") from error
        except (paramiko.SSHException, ValueError, IndexError):
            continue
    raise AccessRefused(f"{address.text}: key {where} cannot be read: wrong passphrase, or not ed25519, ecdsa, rsa.")


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
        with watchdog(transport.close, limit):
            place = (address.address, address.port)
            return _Forwarded(transport.open_channel("direct-tcpip", place, ("127.0.0.1", 0), timeout=limit))
    except paramiko.ChannelException as error:
        if error.code == 1:  # administratively prohibited, RFC 4254 section 5.1
            raise PermissionMissing(
                f"{address.text}: {hop.text} forwards no connections to it. Allow it there: AllowTcpForwarding and "
                "PermitOpen of its sshd, no `restrict` without `port-forwarding` before the key."
            ) from error
        raise paramiko.SSHException(f"{hop.text} cannot reach {address.address}:{address.port}: {error}") from error


EXIT_STATUS_WAIT_SECONDS = 2.0  # the answer is complete by its own end mark; the status only adds to it
DRAIN_SECONDS = 0.5  # standard error is read this often while standard output is silent


class SshFailed(SystemUnreachable):
    """The call has no answer. `touched`: the command may have reached the host. `error_type` sets `kind`."""

    def __init__(self, message: str, touched: bool, error_type: type[SystemUnreachable] = SystemUnreachable) -> None:
        super().__init__(message)
        self.touched = touched
        self.kind = error_type.kind


@dataclass(frozen=True, slots=True)
class CompletedCommand:
    """The result of a command; the host may not send `exit_status`."""

    stdout: bytes
    stderr: bytes
    exit_status: int | None


class SshSession:
    """A connection that is made at first use and kept between calls; not thread safe."""

    def __init__(
        self,
        address: SshAddress,
        limit_bytes: int = 32 * 1024 * 1024,
        again: Callable[[float], SshAddress] | None = None,
    ) -> None:
        """`again` returns the present address for each connection but the first, before that `time.monotonic`."""
        self.address = address
        self._again = again
        self._was_connected = False
        self.limit_bytes = limit_bytes
        self._client: paramiko.SSHClient | None = None

    @property
    def is_connected(self) -> bool:
        """True while the kept connection has not been seen to end."""
        transport = self._client.get_transport() if self._client else None
        return transport is not None and transport.is_active()

    def run(self, stdin: bytes, argv: Sequence[str], timeout_seconds: float, once: bool = False) -> CompletedCommand:
        """The result of `argv` with `stdin` as its input, within `timeout_seconds` in all.

        A kept connection that fails is replaced once; with `once` only as long as the command cannot have arrived.
        Raises SshFailed (no answer; says whether the host was touched) or AccessRefused (key, host key, user).
        """
        until = time.monotonic() + timeout_seconds
        is_connected = self.is_connected
        try:
            return self._try(stdin, argv, until)
        except SshFailed as error:
            if not is_connected or (once and error.touched) or until - time.monotonic() < 0.1:
                raise
        return self._try(stdin, argv, until)

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _try(self, stdin: bytes, argv: Sequence[str], until: float) -> CompletedCommand:
        touched = False
        try:
            transport = self._transport(until)
            with watchdog(transport.close, until - time.monotonic()):
                channel = transport.open_session(timeout=max(0.05, until - time.monotonic()))
                touched = True
                count_request()
                return _converse(channel, stdin, join(argv), until, self.limit_bytes)
        except (OSError, EOFError, paramiko.SSHException) as error:
            self.close()
            if isinstance(error, paramiko.ChannelException) and error.code == PROHIBITED:
                raise PermissionMissing(
                    f"{self.address.text}: {error}. The key, or its user, may run no command there."
                ) from error
            error_type = SystemUnreachable if time.monotonic() >= until else error_class(error)
            raise SshFailed(f"{self.address.text}: {error_text(error, until)}", touched, error_type) from error
        except BaseException:
            self.close()
            raise

    def _transport(self, until: float) -> paramiko.Transport:
        if not self.is_connected:
            self.close()
            if self._again is not None and self._was_connected:
                self.address = self._again(until)
            self._was_connected = True
            self._client = connect(self.address, until)
        transport = self._client.get_transport() if self._client else None
        if transport is None:
            raise paramiko.SSHException("the connection ended")
        return transport


def _converse(
    channel: paramiko.Channel, stdin: bytes, command: str, until: float, limit_bytes: int
) -> CompletedCommand:
    """Sends the command and its input, and reads until the end of its output."""
    try:
        channel.settimeout(max(0.05, until - time.monotonic()))
        channel.exec_command(command)
        channel.sendall(stdin)
        channel.shutdown_write()
        stdout, stderr = _read(channel, until, limit_bytes)
        channel.status_event.wait(max(0.0, min(EXIT_STATUS_WAIT_SECONDS, until - time.monotonic())))
        known = channel.status_event.is_set() and channel.exit_status != -1
        if not known and not channel.get_transport().is_active():
            raise EOFError("the connection ended before the answer did")
        return CompletedCommand(stdout, stderr, channel.exit_status if known else None)
    finally:
        channel.close()


def _read(channel: paramiko.Channel, until: float, limit_bytes: int) -> tuple[bytes, bytes]:
    stdout: list[bytes] = []
    stderr: list[bytes] = []
    size = 0
    while True:
        channel.settimeout(max(0.01, min(DRAIN_SECONDS, until - time.monotonic())))
        try:
            piece = channel.recv(65536)
        except TimeoutError:
            piece = None
        noise = channel.recv_stderr(65536) if channel.recv_stderr_ready() else b""
        size += len(piece or b"") + len(noise)
        if piece == b"":
            return b"".join(stdout), b"".join(stderr) + noise
        stdout.append(piece or b"")
        stderr.append(noise)
        if size > limit_bytes:
            raise paramiko.SSHException(f"the answer is larger than {limit_bytes} bytes; it was not read on")
        if time.monotonic() > until:
            raise TimeoutError("no complete answer in time")


def error_text(error: BaseException, until: float) -> str:
    if time.monotonic() >= until:
        return "no complete answer within the deadline. Fix: check the host's load and network."
    text = (str(error) or type(error).__name__).rstrip(".")
    if fix := FIXES.get(error_class(error)):
        return f"{text}. {fix}"
    if isinstance(error, ConnectionRefusedError):
        return f"{text}. Fix: check that sshd runs there."
    return f"{text}. Fix: check its name, its port and the network."
