"""Where a store is and whether it may be used there: path or URL, disk. Standard library only.

SQLite's log needs the memory of one machine, which no network file system shares (sqlite.org/wal.html; proc(5) on
/proc/self/mountinfo).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote

from console.store.errors import StoreGone, StoreMissing, StoreUnusable, replaced_text

MIN_FREE_BYTES = 1024 * 1024
"""Below this no store can be created."""
POSTGRES_URLS = ("postgresql://", "postgres://")


def store_path(url: str) -> Path:
    """The file of a store that is not on PostgreSQL."""
    return Path(url.removeprefix("sqlite:///")).expanduser()


def sqlite_uri(path: Path, mode: str = "ro") -> str:
    return f"file:{quote(str(path.absolute()))}?mode={mode}"


def engine_note(path: Path) -> Path:
    """The file with the name of the engine that last worked on the store at `path`. Hidden: it survives
    `rm headway.db*`."""
    return path.with_name(f".{path.name}.engine")


def gone_error(path: Path) -> StoreUnusable | None:
    """For a path whose store was removed, emptied or moved away; None where a store may be created. A new one would be
    empty and in shadow mode, and no alert would be sent; SQLite deletes the log beside an empty file."""
    if path.exists() and path.stat().st_size > 0:
        return None
    if engine_note(path).exists():
        new = f"; for a new, empty store remove {engine_note(path)}"
        return StoreGone(replaced_text(path, "an engine has worked on it") + new)
    if (log := path.with_name(f"{path.name}-wal")).exists():  # another process has it open
        new = f"; for a new, empty store remove {log}"
        return StoreGone(replaced_text(path, "its log is still beside it") + new)
    return None


def missing_error(path: Path) -> StoreUnusable:
    """For a path without a file, or with an empty one: StoreMissing, unless a store was there before."""
    if error := gone_error(path):
        return error
    full = disk_full_text(path.parent)
    place, space = (f"{path} yet, and {full}", "free some space, then ") if full else (f"{path} yet", "")
    return StoreMissing(no_store_text(place, space))


def no_store_text(place: str, first: str = "") -> str:
    """The message that the place has no store, and its fix; `first` begins the fix."""
    return f'there is no store at {place}. Fix: {first}start "headway engine"; it creates the store'


def disk_full_text(folder: Path) -> str:
    """That the folder's disk is full; empty if it is not, or unknown."""
    try:
        free = free_bytes(folder)
    except OSError:
        return ""
    return f"its disk is full ({free // 1024} KiB are free)" if free < MIN_FREE_BYTES else ""


def free_bytes(folder: Path) -> int:
    """Free bytes for this user. Raises OSError."""
    filesystem = os.statvfs(folder)
    return filesystem.f_bavail * filesystem.f_frsize


def incomplete_text(place: str) -> str:
    """The message for a file without tables, which are created all at once."""
    return (
        f"the store at {place} has no tables yet: an engine that has just started creates them. Fix: try again in a few"
        " seconds; if this stays, run headway engine, whose log names the reason"
    )


_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[\w.%-]*)(?::\d+)?"
_URL = re.compile(
    rf"postgres(?:ql)?://(?:[^:@/?#\[\]\s]*(?::(?P<password>[^:@/?#\[\]\s]*))?@)?{_HOST}(?:,{_HOST})*"
    r"(?:/[^/@?#\s]*)?(?:\?(?P<more>[^?#\s]*))?"
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PUBLIC_OPTIONS = frozenset(
    ("sslmode", "host", "port", "dbname", "user", "connect_timeout", "application_name", "target_session_attrs")
)
"""Parameters of libpq without secrets."""
URL_FIX = (
    "the URL of the store on PostgreSQL cannot be read. Write postgresql://user:password@host:5432/database, in the "
    "password %40 for @, %2F for /, %3A for :, %3F for ?, %23 for #, %25 for %"
)


def checked_url(url: str) -> str:
    """The URL. Raises StoreUnusable, without repeating any part of it, for one that libpq reads differently."""
    if _URL.fullmatch(url) is None or _BAD_ESCAPE.search(url):
        raise StoreUnusable(URL_FIX)
    return url


def without_secrets(url: str, text: str) -> str:
    """The text without the URL's password and the values after "?"."""
    if not url.startswith(POSTGRES_URLS):
        return text
    match = _URL.fullmatch(url)
    if match is None:
        return URL_FIX
    values = [value for key, value in parse_qsl(match["more"] or "") if key not in _PUBLIC_OPTIONS]
    for secret in filter(None, [match["password"], *values]):
        for form in {secret, unquote(secret)}:
            text = text.replace(form, "•••") if len(form) > 3 else text
    return text


def file_identity(path: Path) -> tuple[int, int]:
    """Device and inode. Raises OSError."""
    status = path.stat()
    return status.st_dev, status.st_ino


MOUNTS = Path("/proc/self/mountinfo")
NETWORK_TYPES = re.compile(
    r"nfs4?|cifs|smb[23]|smbfs|ncpfs|afs|ceph|coda|lustre|gfs2?|ocfs2|gpfs|beegfs|glusterfs|pvfs2|orangefs|davfs2?"
    r"|fuse\.(sshfs|glusterfs|ceph|ceph-fuse|s3fs|rclone|smbnetfs|davfs2?|gcsfuse|juicefs|blobfuse2?|mount-s3)"
)
"""Types that several machines may mount at once; 9p and virtiofs belong to one machine's guest."""


def network_type(path: Path) -> str:
    """Type of the network file system of an existing or new path; empty for a local or unknown one."""
    try:
        mounts = MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return ""  # not Linux
    resolved, mounted, depth = path.expanduser().absolute().resolve(), "", -1
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        escaped = before.split(" ")[4]  # \040 is a space
        point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), escaped))
        if len(point.parts) >= depth and resolved.is_relative_to(point):  # a later mount hides an earlier one
            mounted, depth = after.partition(" ")[0], len(point.parts)
    return mounted if NETWORK_TYPES.fullmatch(mounted) else ""
