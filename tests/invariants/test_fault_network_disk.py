"""A store on a file system that several machines share is refused before a byte of it is touched (F18)."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.cli.exits import Exit
from console.cli.main import main
from console.store.db import location
from console.store.db.database import open_database
from console.store.db.location import network_type
from console.store.errors import StoreUnusable

SYSTEM = """\
[systems.flow]
kind = "airflow"
url = "http://127.0.0.1:1"
token = { env = "NOWHERE" }
"""


def mounted(monkeypatch: pytest.MonkeyPatch, folder: Path, *lines: tuple[str, str]) -> None:
    """Mount points with their types, under the root file system, in the kernel's own words."""
    rows = ["21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"]
    rows += [f"{30 + n} 21 0:{n} / {point} rw,relatime shared:{n} - {kind} server:/x rw" for n, (point, kind) in
             enumerate(lines)]  # fmt: skip
    file = folder / "mountinfo"
    file.write_text("\n".join(rows) + "\n")
    monkeypatch.setattr(location, "MOUNTS", file)


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "ceph", "fuse.glusterfs", "davfs"])
def test_f18_a_store_on_a_network_file_system_is_refused_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    share = tmp_path / "share"
    mounted(monkeypatch, tmp_path, (str(share), kind))
    with pytest.raises(StoreUnusable) as error:
        open_database(str(share / "state" / "headway.db"))
    assert (
        f"the store at {share}/state/headway.db: it is on a network file system ({kind}), where SQLite's log does "
        "not work; name a path on a local disk, or for several machines a postgresql:// URL"
    ) == str(error.value)
    assert not share.exists()


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "9p", "virtiofs", "fuseblk"])
def test_f18_a_local_disk_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    mounted(monkeypatch, tmp_path, (str(tmp_path), kind))
    open_database(str(tmp_path / "headway.db")).close()
    assert (tmp_path / "headway.db").exists()


def test_f18_the_innermost_and_latest_mount_counts_also_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share, spaced = tmp_path / "share", tmp_path / "with space"
    (share / "local").mkdir(parents=True)
    (tmp_path / "link").symlink_to(share)
    text = str(spaced).replace(" ", "\\040")
    lines = ((str(share), "nfs4"), (str(share / "local"), "ext4"), (text, "ext4"), (text, "nfs"))
    mounted(monkeypatch, tmp_path, *lines)
    assert ("nfs4", "nfs4", "", "nfs", "") == (
        network_type(share / "headway.db"),
        network_type(tmp_path / "link" / "new" / "headway.db"),
        network_type(share / "local" / "headway.db"),
        network_type(spaced / "headway.db"),
        network_type(tmp_path / "shared" / "headway.db"),
    )


def test_f18_where_the_kernel_does_not_name_the_disk_the_store_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(location, "MOUNTS", tmp_path / "none")
    assert "" == network_type(tmp_path)


def test_f18_the_engine_says_it_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    mounted(monkeypatch, tmp_path, (str(tmp_path / "share"), "nfs4"))
    config = tmp_path / "headway.toml"
    config.write_text(f'[estate]\nstore = "{tmp_path}/share/headway.db"\n{SYSTEM}')
    code = main(["--config", str(config), "engine"])
    err = capfd.readouterr().err
    assert (Exit.USAGE, True, 1) == (code, "on a network file system (nfs4)" in err, len(err.splitlines())), err
