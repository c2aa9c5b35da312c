"""Where a store is and whether this program may use it: path or URL, disk, schema version. Standard library only.

SQLite's log needs the memory of one machine, which no network file system shares (sqlite.org/wal.html; proc(5) on
/proc/self/mountinfo).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from console.store.errors import StoreOutdated, StoreTooNew, StoreUnusable, replaced_text

MIN_FREE_BYTES = 1024 * 1024
"""Below this no store can be made."""
LIST_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
"""Its rows are for `is_incomplete`."""


def missing_text(path: Path) -> str:
    """For a path at which there is no file, or an empty one."""
    if path.with_name(f"{path.name}-wal").exists() and not path.exists():  # whoever works on it has it open
        return replaced_text(path, "its log still stands beside it")
    if full := disk_full_text(path.parent):
        return f'there is no store at {path} yet, and {full}: free some, then "headway engine" makes it'
    return f'there is no store at {path} yet; "headway engine" makes it'


def disk_full_text(folder: Path) -> str:
    """That the disk of a folder is full; empty where it is not, or nobody can tell."""
    try:
        free = free_bytes(folder)
    except OSError:
        return ""
    return f"its disk is full ({free // 1024} KiB are free)" if free < MIN_FREE_BYTES else ""


def free_bytes(folder: Path) -> int:
    """What this user may still write there. Raises OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def is_incomplete(tables: Iterable[tuple[Any, ...]]) -> bool:
    """Whether a file is as a store is before its tables are written, all at once."""
    return not [*tables]


def incomplete_text(place: str) -> str:
    return f'the store at {place} is half made: it is being made, or its disk was full; "headway engine" makes the rest'


_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[\w.%-]*)(?::\d+)?"
_URL = re.compile(
    rf"postgres(?:ql)?://(?:[^:@/?#\[\]\s]*(?::(?P<password>[^:@/?#\[\]\s]*))?@)?{_HOST}(?:,{_HOST})*"
    r"(?:/[^/@?#\s]*)?(?:\?(?P<more>[^?#\s]*))?"
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PUBLIC_OPTIONS = (
    "sslmode",
    "host",
    "port",
    "dbname",
    "user",
    "connect_timeout",
    "application_name",
    "target_session_attrs",
)
"""Parameters of libpq whose values anybody may read."""
URL_FIX = (
    "the URL of the store on PostgreSQL cannot be read. Write postgresql://user:password@host:5432/database, in the "
    "password %40 for @, %2F for /, %3A for :, %3F for ?, %23 for #, %25 for %"
)


def checked_url(url: str) -> str:
    """The URL. Raises StoreUnusable, without repeating a part of it, for one that means something else to libpq."""
    if _URL.fullmatch(url) is None or _BAD_ESCAPE.search(url):
        raise StoreUnusable(URL_FIX)
    return url


def without_secrets(url: str, text: str) -> str:
    """A text about the store in which neither the password nor a value after "?" is repeated."""
    if not url.startswith(("postgresql://", "postgres://")):
        return text
    found = _URL.fullmatch(url)
    if found is None:
        return URL_FIX
    values = [value for key, value in parse_qsl(found["more"] or "") if key not in _PUBLIC_OPTIONS]
    for secret in filter(None, [found["password"], *values]):
        for form in {secret, unquote(secret)}:
            text = text.replace(form, "•••") if len(form) > 3 else text
    return text


def file_identity(path: Path) -> tuple[int, int]:
    """Which file it is, whatever its name. Raises OSError where there is none."""
    found = path.stat()
    return found.st_dev, found.st_ino


MOUNTS = Path("/proc/self/mountinfo")
NETWORK_TYPES = re.compile(
    r"nfs4?|cifs|smb[23]|smbfs|ncpfs|afs|ceph|coda|lustre|gfs2?|ocfs2|gpfs|beegfs|glusterfs|pvfs2|orangefs|davfs2?"
    r"|fuse\.(sshfs|glusterfs|ceph|ceph-fuse|s3fs|rclone|smbnetfs|davfs2?|gcsfuse|juicefs|blobfuse2?|mount-s3)"
)
"""Types that several machines may have mounted at once. 9p and virtiofs of one machine's guest are none of them."""


def network_type(path: Path) -> str:
    """The type of the network file system on which `path` (there or not yet) lies; empty for a local or unknown one."""
    try:
        mounts = MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return ""  # no Linux
    resolved, found, depth = path.expanduser().absolute().resolve(), "", -1
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        point = Path(_unescaped(before.split(" ")[4]))
        if len(point.parts) >= depth and resolved.is_relative_to(point):  # a later mount hides an earlier one
            found, depth = after.partition(" ")[0], len(point.parts)
    return found if NETWORK_TYPES.fullmatch(found) else ""


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


SCHEMA = "0011"
"""The schema this program is written for: the newest in `console/store/db/migrations` (a test compares)."""
SCHEMA_QUERY = (
    "SELECT 'schema', max(version_num) FROM alembic_version"
    " UNION ALL SELECT name, value FROM meta WHERE name = 'version'"
)
"""One cheap statement for either database; its rows are for `check_schema`."""


def check_schema(rows: Iterable[tuple[Any, ...]], place: str) -> None:
    """Raises StoreTooNew, or StoreOutdated for one that an engine has to migrate first. `rows`: of SCHEMA_QUERY."""
    found: dict[str, str | None] = dict(rows)
    schema = found.get("schema") or ""
    if schema > SCHEMA:
        raise too_new_text(place, schema, SCHEMA, found.get("version"))
    if schema < SCHEMA:
        raise StoreOutdated(f"the store at {place} has the older schema {schema or 'none'}")


def too_new_text(place: str, schema: str, newest: str | None, writer: str | None) -> StoreTooNew:
    """What every door says of such a store. `writer`: the version that the store names."""
    from importlib.metadata import version  # noqa: PLC0415 - no first paint waits for it

    ours = version("headway")
    by = f"Headway {writer}" if writer and writer != ours else "a newer Headway"
    return StoreTooNew(
        f"the store at {place} has schema {schema}, written by {by}; this is Headway {ours} and knows schemas up to "
        f"{newest}. Install {by} or name another store."
    )
