"""This machine instead of a host reached by SSH: the same fixed command, run by a process of our own as our own user.

What it may see of our environment is what a fresh login would have: every other variable may hold somebody's secret.
"""

from __future__ import annotations

import getpass
import os
import pwd
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from connectors.transport.ssh import Completed, SshFailed

LOGIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HANDED_ON = ("HOME", "LANG", "TMPDIR", "HEADWAY_CRONTABS", "HEADWAY_ETC")
"""With a PATH of a login's; the last two say where crontabs are on a machine that keeps them elsewhere."""


@dataclass(frozen=True, slots=True)
class ThisMachine:
    """Where we are, under the name that config gives it."""

    name: str
    user: str

    @property
    def words(self) -> str:
        """For messages: "db07 (this machine, as etl)"."""
        return f"{self.name} (this machine, as {self.user})"


def this_machine(name: str) -> ThisMachine:
    return ThisMachine(name, _own_name())


def _own_name() -> str:
    """Who runs us, by the machine's own list of users: LOGNAME may say anything."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return getpass.getuser()


class LocalSession:
    """As `SshSession`; nothing is kept between calls."""

    def __init__(self, address: ThisMachine) -> None:
        self.address = address

    def run(self, stdin: bytes, argv: Sequence[str], timeout_seconds: float, once: bool = False) -> Completed:
        """What `argv` answered within the deadline. Raises SshFailed; it is never tried again by itself."""
        try:
            process = subprocess.Popen(  # noqa: S603 - a fixed command of ours, its script on standard input
                list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                start_new_session=True, umask=0o022, env=_environment(),
            )  # fmt: skip
        except OSError as error:
            raise SshFailed(f"{self.address.words}: {argv[0]}: {error.strerror}", False) from error
        try:
            stdout, stderr = process.communicate(stdin, max(0.05, timeout_seconds))
        except subprocess.TimeoutExpired:
            words = f"no complete answer within {timeout_seconds:.0f} s. Look at the machine's load."
            raise SshFailed(f"{self.address.words}: {words}", True) from None
        finally:
            _end(process)
        return Completed(stdout, stderr, process.returncode)

    def close(self) -> None:
        """Nothing is kept open."""


def _environment() -> dict[str, str]:
    return {"PATH": LOGIN_PATH, **{name: os.environ[name] for name in HANDED_ON if name in os.environ}}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a script that is still at work, with all that it waits for; what it has detached goes on."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    process.wait()
