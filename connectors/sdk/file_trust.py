"""Whether only root and our own user can change a file that decides what runs as us: config, ssh_config, kubeconfig."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
MAX_LINKS = 40  # as in Linux, path_resolution(7)


def write_access_fault(path: Path) -> str:
    """The write access of other users to this file or folder, and the fix; empty without one, or if it does not exist.

    Every folder on the way to it counts, also where a symlink leads. A sticky folder (/tmp) is safe on the way, because
    others cannot replace our entries there; not as `path` itself, where they can add files. On a read-only mount the
    mode does not matter: Kubernetes mounts a ConfigMap with 0777.
    """
    pending = list(reversed(path.expanduser().absolute().parts[1:]))
    place, links = Path("/"), 0
    while True:
        try:
            status = place.lstat()
            if stat.S_ISLNK(status.st_mode):
                links += 1
                target = Path(os.readlink(place))
                if fault := _owner_fault(place, status.st_uid):
                    return fault
                place = Path("/") if target.is_absolute() else place.parent
                pending += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            elif fault := _owner_fault(place, status.st_uid) or _mode_fault(place, status, on_way=bool(pending)):
                return fault
        except OSError:
            return ""  # opening it names the error
        if not pending or links > MAX_LINKS:
            return ""
        place = place.parent if pending[-1] == ".." else place / pending[-1]
        pending.pop()


def _owner_fault(place: Path, owner: int) -> str:
    if owner in (0, os.geteuid()) or _is_unmapped(owner):
        return ""
    return (
        f"{place} belongs to {_user(owner)}, who may change it. "
        f"Fix: chown {'-h ' if place.is_symlink() else ''}{_user(os.geteuid())} {place}, or run this as {_user(owner)}"
    )


def _is_unmapped(owner: int) -> bool:
    """Whether this stands for a user outside of our user namespace, as root of the host is in a rootless container."""
    try:
        overflow, ranges = Path("/proc/sys/kernel/overflowuid").read_text(), Path("/proc/self/uid_map").read_text()
    except OSError:
        return False
    is_whole = ranges.split() == ["0", "0", str(2**32 - 1)]
    return not is_whole and owner == int(overflow)


def _mode_fault(place: Path, status: os.stat_result, on_way: bool) -> str:
    mode = stat.S_IMODE(status.st_mode)
    write_bits = mode & OTHERS_WRITE
    if write_bits == stat.S_IWGRP and not _has_acl(place) and _is_private_group(status.st_gid, status.st_uid):
        write_bits = 0
    is_safe_folder = on_way and mode & stat.S_ISVTX
    if not write_bits or is_safe_folder or os.statvfs(place).f_flag & os.ST_RDONLY:
        return ""
    return f"others may write {place} (mode {mode:04o}). Fix: chmod go-w {place}"


def _has_acl(place: Path) -> bool:
    """Whether it has an access control list: the group's bits then say what any user on the list may do, acl(5)."""
    try:
        return "system.posix_acl_access" in os.listxattr(place)
    except OSError:
        return False  # a file system without lists


def _is_private_group(group: int, owner: int) -> bool:
    """Whether the owner of a file is the only member of its group: its name and number are the owner's, as useradd
    makes them. Files are 0664 and folders 0775 there, by the umask 002 of such systems; Debian's sshd accepts them."""
    try:
        user, members = pwd.getpwuid(owner), grp.getgrgid(group)
    except KeyError:
        return False
    is_own = user.pw_gid == group and members.gr_name == user.pw_name and set(members.gr_mem) <= {user.pw_name}
    return is_own and all(account.pw_uid == owner for account in pwd.getpwall() if account.pw_gid == group)


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
