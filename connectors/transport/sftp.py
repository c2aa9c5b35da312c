"""One file of another host, asked for by SFTP: no shell, no output to read, one connection a call."""

from __future__ import annotations

import time

import paramiko

from connectors.contract import AccessRefused, SystemUnreachable
from connectors.transport.ssh import words_of
from connectors.transport.ssh_connect import SshAddress, connect, watchdog


def stat(address: SshAddress, path: str, timeout_seconds: float) -> paramiko.SFTPAttributes | None:
    """What the host says of the file, links followed; None where there is none.

    Raises SystemUnreachable, or AccessRefused (key, host key, user, rights, no SFTP there)."""
    until = time.monotonic() + timeout_seconds
    try:
        client = connect(address, until)
        with watchdog(client.close, until):
            try:
                return _stat(client, address, path)
            finally:
                client.close()
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise SystemUnreachable(f"{address.words}: {words_of(error, until)}") from error


def _stat(client: paramiko.SSHClient, address: SshAddress, path: str) -> paramiko.SFTPAttributes | None:
    try:
        session = client.open_sftp()
    except paramiko.ChannelException as error:
        raise AccessRefused(f"{address.words}: it offers no SFTP ({error}). Allow the subsystem sftp there.") from error
    try:
        return session.stat(path)
    except FileNotFoundError:
        return None
    except PermissionError:
        mend = "Give that user search (x) rights on the folders above it."
        raise AccessRefused(f'{address.words}: user "{address.user}" may not look at {path}. {mend}') from None
