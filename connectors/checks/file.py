"""Looks at a file, here or by SFTP on another host: is it there, how large, when was it written. Never inside."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

from connectors.contract import AccessRefused, SystemUnreachable
from connectors.contract.measured import Measured
from connectors.transport import sftp
from connectors.transport.ssh_connect import SshAddress


def here(path: str) -> Measured:
    """A file of this machine. A share that does not answer has no deadline of its own: whoever asks keeps the time."""
    try:
        found = os.stat(Path(path).expanduser())
    except (FileNotFoundError, NotADirectoryError):
        return Measured(there=False)
    except PermissionError:
        raise AccessRefused(
            f"{path}: this user may not look into its folder. Give it search (x) rights there."
        ) from None
    except (OSError, ValueError) as error:
        raise SystemUnreachable(f"{path}: {getattr(error, 'strerror', '') or error}") from None
    return _measured(found.st_mode, found.st_size, found.st_mtime)


def there(address: SshAddress, path: str, timeout_seconds: float) -> Measured:
    """A file of another host. Raises SystemUnreachable or AccessRefused."""
    found = sftp.stat(address, path, timeout_seconds)
    if found is None:
        return Measured(there=False)
    return _measured(found.st_mode, found.st_size, found.st_mtime)


def _measured(mode: int | None, size: int | None, written: float | None) -> Measured:
    """What is no file (a folder, a device) is not the file that was asked for."""
    if mode is not None and not stat.S_ISREG(mode):
        return Measured(there=False)
    modified = None if written is None else datetime.fromtimestamp(written, UTC)
    return Measured(there=True, size=size, modified=modified)
