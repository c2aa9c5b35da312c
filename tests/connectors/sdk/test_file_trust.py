"""A file that decides what runs as us is refused where anybody but root and we can change or replace it."""

from __future__ import annotations

import grp
import os
import pwd
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk import file_trust
from connectors.sdk.file_trust import write_access_fault


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir(0o755)
    file = folder / "headway.toml"
    file.write_text("")
    file.chmod(0o644)
    return file


@pytest.fixture
def set_group(file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the accounts of this machine: the owner of the file, perhaps another user, and the file's group."""

    def set_group(name: str, members: Sequence[str] = (), other_users: Sequence[str] = ()) -> None:
        status = file.stat()
        users = [
            pwd.struct_passwd((name, "x", number, status.st_gid, "", "/", "/bin/sh"))
            for name, number in [("ann", status.st_uid), *((name, 54321) for name in other_users)]
        ]
        monkeypatch.setattr(pwd, "getpwall", lambda: users)
        monkeypatch.setattr(pwd, "getpwuid", lambda _: users[0])
        monkeypatch.setattr(grp, "getgrgid", lambda _: grp.struct_group((name, "x", status.st_gid, [*members])))

    return set_group


@pytest.fixture
def give_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes somebody else own a file: by chown as root, else by becoming another user for this test."""

    def give_away(path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, 54321, -1, follow_symlinks=False)
        else:
            monkeypatch.setattr(os, "geteuid", lambda: 54321)

    return give_away


def test_a_file_of_ours_in_a_folder_of_ours_is_trusted(file: Path) -> None:
    assert "" == write_access_fault(file)
    assert "" == write_access_fault(file.parent)


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646, 0o602, 0o620])
def test_a_file_with_a_write_bit_for_others_is_named_with_mode_and_fix(
    file: Path, set_group: Callable[..., None], mode: int
) -> None:
    set_group("staff")
    file.chmod(mode)
    assert f"others may write {file} (mode {mode:04o}). Fix: chmod go-w {file}" == write_access_fault(file)


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o2775])
def test_a_folder_on_the_way_with_a_write_bit_for_others_is_named(
    file: Path, set_group: Callable[..., None], mode: int
) -> None:
    set_group("staff")
    file.parent.chmod(mode)
    assert f"others may write {file.parent} (mode {mode:04o})" in write_access_fault(file)


def test_a_group_without_other_members_may_write(file: Path, set_group: Callable[..., None]) -> None:
    """What umask 002 makes where each user has a group of their own, and a git checkout there."""
    file.chmod(0o664)
    file.parent.chmod(0o2775)
    for members in ((), ("ann",)):
        set_group("ann", members)
        assert "" == write_access_fault(file)
    file.chmod(0o666)
    assert "(mode 0666)" in write_access_fault(file)


def test_a_user_on_the_access_list_may_write_whatever_the_group(file: Path, set_group: Callable[..., None]) -> None:
    """setfacl -m u:54321:rw; the list's entries are tag, permissions and user (acl(5), linux/posix_acl_xattr.h)."""
    set_group("ann")
    without_root = 2**32 - 1
    entries = (
        (0x01, 6, without_root),
        (0x02, 6, 54321),
        (0x04, 4, without_root),
        (0x10, 6, without_root),
        (0x20, 0, without_root),
    )
    content = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(file, "system.posix_acl_access", content)
    except OSError as error:
        pytest.skip(f"no access lists here: {error}")
    assert f"others may write {file} (mode 0660). Fix: chmod go-w {file}" == write_access_fault(file)
    file.chmod(0o640)  # the fix takes the right from the list as well
    assert "" == write_access_fault(file)


@pytest.mark.parametrize(
    "group", [("ann", ("bob",)), ("ann", ("ann", "bob")), ("ann", (), ("bob",)), ("staff",), ("staff", ("ann",))]
)
def test_a_group_with_other_members_or_another_name_may_not(
    file: Path, set_group: Callable[..., None], group: tuple[Any, ...]
) -> None:
    set_group(*group)
    file.chmod(0o664)
    assert f"others may write {file} (mode 0664)" in write_access_fault(file)


def test_a_sticky_folder_is_safe_on_the_way_and_unsafe_as_the_folder_of_the_files(file: Path) -> None:
    file.parent.chmod(0o1777)
    assert "" == write_access_fault(file)
    assert f"others may write {file.parent} (mode 1777)" in write_access_fault(file.parent)


def test_an_owner_who_is_neither_root_nor_we_is_named(file: Path, give_away: Callable[[Path], None]) -> None:
    give_away(file)
    assert "who may change it. Fix: chown " in write_access_fault(file)


def test_a_symlink_into_a_folder_that_others_may_write_is_followed(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to("etc/../etc/headway.toml")
    assert "" == write_access_fault(link)
    file.parent.chmod(0o777)
    assert f"others may write {file.parent} " in write_access_fault(link)


def test_a_link_of_somebody_else_is_refused(file: Path, tmp_path: Path, give_away: Callable[[Path], None]) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    give_away(link)
    assert "who may change it" in write_access_fault(link)


def test_a_folder_reached_through_a_link_is_checked_as_well(file: Path, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "open" / "inner").symlink_to(file.parent)
    assert f"others may write {tmp_path / 'open'} " in write_access_fault(tmp_path / "open" / "inner" / file.name)


def test_a_missing_file_and_a_ring_of_links_are_left_to_the_reader(tmp_path: Path) -> None:
    (tmp_path / "ring").symlink_to("ring")
    assert "" == write_access_fault(tmp_path / "ring")
    assert "" == write_access_fault(tmp_path / "absent" / "file")


def test_the_mode_does_not_matter_on_a_read_only_mount(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes mounts a ConfigMap as a folder with mode 0777, read-only."""
    file.parent.chmod(0o777)
    result = os.statvfs(file)
    read_only = os.statvfs_result((*result[:8], result.f_flag | os.ST_RDONLY, result.f_namemax))
    monkeypatch.setattr(os, "statvfs", lambda _: read_only)
    assert "" == write_access_fault(file)


def test_a_user_outside_of_our_namespace_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a rootless container the host's root is 65534."""
    texts = {"/proc/sys/kernel/overflowuid": "65534\n", "/proc/self/uid_map": "0 1000 1\n"}
    monkeypatch.setattr(Path, "read_text", lambda self: texts[str(self)])
    assert file_trust._is_unmapped(65534)
    assert not file_trust._is_unmapped(1234)
    texts["/proc/self/uid_map"] = "         0          0 4294967295\n"
    assert not file_trust._is_unmapped(65534)
