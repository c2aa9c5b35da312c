"""One kept SSH connection to one host: a deadline for every call, one channel at a time.

The far side always runs one fixed command that reads a script from its standard input, so no outside text ever becomes
part of a command line. A connection in doubt is thrown away; a call that may be repeated is then tried once more.
`recv_exit_status()` and `exec_command()` of paramiko wait without limit (paramiko#1815), hence the watchdog per call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from shlex import join

import paramiko

from connectors.contract import RightMissing, SystemUnreachable
from connectors.transport.counting import count_request
from connectors.transport.ssh_connect import SshAddress, connect, watchdog
from connectors.transport.ssh_failures import MENDS, PROHIBITED, sort_of

EXIT_STATUS_WAIT_SECONDS = 2.0  # the answer is complete by its own end mark; the status only adds to it
DRAIN_SECONDS = 0.5  # standard error is looked at this often while standard output is silent


class SshFailed(SystemUnreachable):
    """The call has no answer. `touched`: the command may have reached the host. `sort`: what it is told as."""

    def __init__(self, message: str, touched: bool, sort: type[SystemUnreachable] = SystemUnreachable) -> None:
        super().__init__(message)
        self.touched = touched
        self.kind = sort.kind


@dataclass(frozen=True, slots=True)
class Completed:
    """What the command answered; `exit_status` is None where the host told none."""

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
        """`again`: the address as it is now, asked before each connection but the first, with an instant of
        `time.monotonic` to be done by."""
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

    def run(self, stdin: bytes, argv: Sequence[str], timeout_seconds: float, once: bool = False) -> Completed:
        """What `argv` answered with `stdin` as its input, within `timeout_seconds` for everything.

        A kept connection that fails is replaced once; with `once` only as long as the command cannot have arrived.
        Raises SshFailed (no answer; says whether the host was touched) or AccessRefused (key, host key, user).
        """
        until = time.monotonic() + timeout_seconds
        kept = self.is_connected
        try:
            return self._try(stdin, argv, until)
        except SshFailed as error:
            if not kept or (once and error.touched) or until - time.monotonic() < 0.1:
                raise
        return self._try(stdin, argv, until)

    def close(self) -> None:
        """Ends the connection; the next call makes a new one."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _try(self, stdin: bytes, argv: Sequence[str], until: float) -> Completed:
        touched = False
        try:
            transport = self._transport(until)
            with watchdog(transport.close, until):
                channel = transport.open_session(timeout=max(0.05, until - time.monotonic()))
                touched = True
                count_request()
                return _converse(channel, stdin, join(argv), until, self.limit_bytes)
        except (OSError, EOFError, paramiko.SSHException) as error:
            self.close()
            if isinstance(error, paramiko.ChannelException) and error.code == PROHIBITED:
                raise RightMissing(
                    f"{self.address.words}: {error}. The key, or its user, may run no command there."
                ) from error
            sort = SystemUnreachable if time.monotonic() >= until else sort_of(error)
            raise SshFailed(f"{self.address.words}: {words_of(error, until)}", touched, sort) from error
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


def _converse(channel: paramiko.Channel, stdin: bytes, command: str, until: float, limit_bytes: int) -> Completed:
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
        return Completed(stdout, stderr, channel.exit_status if known else None)
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


def words_of(error: BaseException, until: float) -> str:
    if time.monotonic() >= until:
        return "no complete answer within the deadline. Look at the host's load and network."
    text = (str(error) or type(error).__name__).rstrip(".")
    if mend := MENDS.get(sort_of(error)):
        return f"{text}. {mend}"
    if isinstance(error, ConnectionRefusedError):
        return f"{text}. Is sshd running there?"
    return f"{text}. It is tried again at the next poll."
