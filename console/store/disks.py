"""On what kind of file system a path lies: SQLite's log needs the memory of one machine, which no network shares.

Facts: sqlite.org/wal.html ("WAL does not work over a network filesystem"), proc(5) on /proc/self/mountinfo.
"""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = re.compile(
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
    return found if NETWORK.fullmatch(found) else ""


def _unescaped(text: str) -> str:
    r"""\040 is a space there."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
