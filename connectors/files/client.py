"""Folders of this machine and of SFTP servers. Names, sizes and times only; no file is opened.

Source: draft-ietf-secsh-filexfer-02 (SFTP 3): times are whole seconds, and there is no clock to ask.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, cast

import paramiko
from paramiko.sftp import CMD_CLOSE, CMD_OPENDIR, CMD_READDIR

from connectors.sdk.errors import AccessRefused, PermissionMissing, SystemUnreachable
from connectors.sdk.file_arrivals import MAX_NAMES, FileEntry, FolderMissing, FolderUnreachable
from connectors.sdk.transport.call_limits import Deadline, UninterruptedCalls, count_request, watchdog
from connectors.sdk.transport.ssh import SshAddress, connect, error_class, error_text

_READS = UninterruptedCalls("headway-files")
SHARE = 0.5
"""Of the time that is left, for one folder: one that hangs leaves time for the others."""


class LocalFolders:
    """This machine, with the network shares that it mounts: a share that hangs ends only its call."""

    def __init__(self, name: str) -> None:
        self.name, self.deadline = name, Deadline(0.0)

    def entries(self, folder: str) -> list[FileEntry]:
        count_request()
        try:
            return _READS.call(folder, lambda: list(islice(_scan(folder), MAX_NAMES + 1)), SHARE * self.deadline.left)
        except (FileNotFoundError, NotADirectoryError):
            raise FolderMissing(self.name, folder) from None
        except PermissionError:
            raise PermissionMissing(f"{self.name}: {folder} may not be read. {permission(folder)[1]}") from None
        except (OSError, ValueError) as error:
            text = getattr(error, "strerror", "") or str(error)
            fix = "Fix: check that it is mounted, and that the server of its share answers"
            raise FolderUnreachable(f"{self.name}: {folder}: {text}. {fix}") from None

    def close(self) -> None:
        """Nothing is kept open."""


def _scan(folder: str) -> Iterator[FileEntry]:
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # deleted meanwhile, or a link to nothing
                if entry.is_file():
                    status = entry.stat()
                    yield FileEntry(_joined(folder, entry.name), status.st_size, status.st_mtime)


class SftpFolders:
    """A server, signed in until the first failure; `address` is read again for each connection."""

    def __init__(self, address: Callable[[], SshAddress]) -> None:
        self._address, self.deadline = address, Deadline(0.0)
        self._client: paramiko.SSHClient | None = None
        self._sftp: paramiko.SFTPClient | None = None
        self._place = ""

    def entries(self, folder: str) -> list[FileEntry]:
        is_reused, whole_time = self._sftp is not None, self.deadline.left
        try:
            return self._read(folder)
        except FolderUnreachable:
            if not is_reused or self.deadline.left <= (1 - SHARE) * whole_time:
                raise
        return self._read(folder)  # the kept connection had ended

    def close(self) -> None:
        client, self._client, self._sftp = self._client, None, None
        if client is not None:
            client.close()

    def _read(self, folder: str) -> list[FileEntry]:
        client, sftp = self._signed_in()
        seconds = SHARE * self.deadline.left
        until = time.monotonic() + seconds
        try:
            with watchdog(client.close, seconds):
                count_request()
                return list(islice(_listed(sftp, folder), MAX_NAMES + 1))
        except FileNotFoundError:
            raise FolderMissing(self._place, folder) from None
        except PermissionError:
            raise PermissionMissing(f"{self._place}: {folder} may not be read. {permission(folder)[1]}") from None
        except (OSError, EOFError, paramiko.SSHException, AttributeError) as error:
            # paramiko's SFTPClient raises AttributeError where its connection ends under a call
            self.close()
            raise FolderUnreachable(f"{self._place}: {folder}: {error_text(error, until)}") from error
        except BaseException:
            self.close()
            raise

    def _signed_in(self) -> tuple[paramiko.SSHClient, paramiko.SFTPClient]:
        if self._client is not None and self._sftp is not None:
            return self._client, self._sftp
        until = time.monotonic() + self.deadline.left
        try:
            address = self._address()
            self._place = address.text
            self._client = client = connect(address, until)
            with watchdog(client.close, self.deadline.left):
                self._sftp = sftp = _opened_sftp(client, address.text)
            return client, sftp
        except (OSError, EOFError, paramiko.SSHException) as error:
            self.close()
            error_type = SystemUnreachable if time.monotonic() >= until else error_class(error)
            raise error_type(f"{self._place}: {error_text(error, until)}") from error
        except BaseException:
            self.close()
            raise


def _opened_sftp(client: paramiko.SSHClient, place: str) -> paramiko.SFTPClient:
    try:
        return client.open_sftp()
    except paramiko.ChannelException as error:
        fix = "Fix: allow its subsystem sftp for this user"
        raise AccessRefused(f"{place}: it offers no SFTP ({error}). {fix}") from error


def _listed(sftp: Any, folder: str) -> Iterator[FileEntry]:
    """As listdir_attr of paramiko, which ends at the first name that is not UTF-8."""
    _, message = sftp._request(CMD_OPENDIR, folder)
    handle, attributes = message.get_string(), cast("Any", paramiko.SFTPAttributes)
    try:
        while True:
            _, message = sftp._request(CMD_READDIR, handle)
            for _ in range(message.get_int()):
                name, _ = message.get_string(), message.get_string()
                if entry := _entry(sftp, folder, name, attributes._from_msg(message)):
                    yield entry
    except EOFError:
        sftp._request(CMD_CLOSE, handle)  # fails where the connection ended, and not the list


def _entry(sftp: paramiko.SFTPClient, folder: str, name: bytes, status: paramiko.SFTPAttributes) -> FileEntry | None:
    path = _joined(folder, name.decode("utf-8", "surrogateescape"))
    if stat.S_ISLNK(status.st_mode or 0):
        try:
            status = sftp.stat(path.encode("utf-8", "surrogateescape"))
        except (FileNotFoundError, PermissionError):  # a link to nothing, or to what may not be read
            return None
    if not stat.S_ISREG(status.st_mode or 0):
        return None
    return FileEntry(path, status.st_size or 0, float(status.st_mtime or 0))


def _joined(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"


def permission(folder: str) -> tuple[str, str]:
    """Name and fix of the permission to list a folder."""
    return f"list {folder}", f"Fix: give the user r and x on {folder}, and x on the folders above it"
