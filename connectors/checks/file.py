"""Measures a file, here or by SFTP on another host: whether it exists, its size, its mtime. Never its content."""

from __future__ import annotations

import os
import stat
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import paramiko

from connectors.checks.queries import Measurement
from connectors.sdk.errors import AccessRefused, SystemUnreachable
from connectors.sdk.transport.call_limits import watchdog
from connectors.sdk.transport.ssh import SshAddress, connect, error_text


def _stat(client: paramiko.SSHClient, address: SshAddress, path: str) -> paramiko.SFTPAttributes | None:
    try:
        session = client.open_sftp()
    except paramiko.ChannelException as error:
        raise AccessRefused(f"{address.text}: it offers no SFTP ({error}). Allow the subsystem sftp there.") from error
    try:
        return session.stat(path)
    except FileNotFoundError:
        return None
    except PermissionError:
        fix = "Give that user search (x) rights on the folders above it."
        raise AccessRefused(f'{address.text}: user "{address.user}" may not read {path}. {fix}') from None


def measure_local(path: str) -> Measurement:
    """A file of this machine. A silent network share has no deadline here; the caller keeps the time."""
    try:
        result = os.stat(Path(path).expanduser())
    except (FileNotFoundError, NotADirectoryError):
        return Measurement(exists=False)
    except PermissionError:
        raise AccessRefused(
            f"{path} : this user may not search its folder. Fix: give it search (x) rights there."
        ) from None
    except (OSError, ValueError) as error:
        raise SystemUnreachable(f"{path}: {getattr(error, 'strerror', '') or error}") from None
    return _measured(result.st_mode, result.st_size, result.st_mtime)


def measure_remote(address: SshAddress, path: str, timeout_seconds: float) -> Measurement:
    """A file of another host, links followed. Raises SystemUnreachable or AccessRefused."""
    until = time.monotonic() + timeout_seconds
    try:
        with closing(connect(address, until)) as client, watchdog(client.close, until - time.monotonic()):
            result = _stat(client, address, path)
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise SystemUnreachable(f"{address.text}: {error_text(error, until)}") from error
    if result is None:
        return Measurement(exists=False)
    return _measured(result.st_mode, result.st_size, result.st_mtime)


def _measured(mode: int | None, size: int | None, written: float | None) -> Measurement:
    """The measurement; a folder or device is not the requested file."""
    if mode is not None and not stat.S_ISREG(mode):
        return Measurement(exists=False)
    modified = None if written is None else datetime.fromtimestamp(written, UTC)
    return Measurement(exists=True, size=size, modified=modified)
