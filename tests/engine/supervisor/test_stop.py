"""`headway engine stop` ends the engines of this machine, and no other process that has its number."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.cli import engine_process
from console.cli.exits import Exit
from console.cli.main import main
from console.domain.ids import micros
from console.store.db import lease
from console.store.db.backup import engine_at_work
from console.store.db.location import engine_note
from console.store.errors import STORE_GONE
from console.store.queries import open_queries
from console.tui.frame import header_footer
from console.tui.frame.cells import RenderContext
from console.tui.frame.clock_format import ZonedClock
from console.tui.frame.glyphs import GlyphSet
from tests.lab.process import HANGS_SECONDS
from tests.store.ready import open_ready


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """The process of an engine."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "engine"])
    yield process
    process.kill()
    process.wait(HANGS_SECONDS)


def own_holder(other: subprocess.Popen[bytes]) -> str:
    return lease.holder_name().replace(f":{os.getpid()}~", f":{other.pid}~")


def held_by(folder: Path, holder: str) -> str:
    """The URL of a store whose lease `holder` has."""
    store = open_ready(str(folder / "headway.db"))
    lease.acquire_lease(store, holder, 60)
    lease.note_engine(store.path, holder)
    store.close()
    return str(folder / "headway.db")


def test_a_process_of_another_namespace_with_the_same_number_is_left_alone(
    tmp_path: Path, other: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    """A container often has its host's name, and its process 17 is another one here."""
    url = held_by(tmp_path, f"{socket.gethostname()}:{other.pid}~c0ffee")
    assert Exit.REFUSED == main(["--store", url, "engine", "stop"])
    assert "not here; run headway engine stop there" in capsys.readouterr().err
    assert other.poll() is None


def test_the_holder_of_the_lease_is_ended(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    holder = own_holder(other)
    url = held_by(tmp_path, holder)
    assert Exit.OK == main(["--store", url, "engine", "stop"])
    other.wait(HANGS_SECONDS)


@pytest.mark.parametrize("has_lapsed", [False, True])
@pytest.mark.parametrize("note", [".headway.db.engine", ""], ids=["with its note", "the store alone"])
def test_an_engine_is_not_that_of_a_copy_of_its_store(
    tmp_path: Path, other: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str], has_lapsed: bool, note: str
) -> None:
    """`headway engine stop` in a copied folder stopped the engine of the original, whose lease and note it had."""
    (tmp_path / "original").mkdir()
    (tmp_path / "copy").mkdir()
    url = held_by(tmp_path / "original", own_holder(other))
    if has_lapsed:
        lapsed(url)
    for name in filter(None, ("headway.db", note)):
        shutil.copy2(tmp_path / "original" / name, tmp_path / "copy" / name)
    copy = str(tmp_path / "copy" / "headway.db")
    assert Exit.NO_ENGINE == main(["--store", copy, "engine", "stop"])
    assert other.poll() is None
    if has_lapsed:
        with open_queries(copy) as reads:
            assert ("", "") == (reads.estate.engine().stuck, reads.estate.working_engine())
    assert "" == engine_at_work(Path(copy))
    assert f"process {other.pid}" == engine_at_work(Path(url))
    assert Exit.OK == main(["--store", url, "engine", "stop"])
    other.wait(HANGS_SECONDS)


def test_a_missing_store_is_reported_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Exit.USAGE == main(["--store", str(tmp_path / "none.db"), "engine", "stop"])
    assert "there is no store at" in capsys.readouterr().err


def test_a_dead_holder_is_known_by_its_number_only_where_that_is_its_own(other: subprocess.Popen[bytes]) -> None:
    other.kill()
    other.wait(HANGS_SECONDS)
    mine = own_holder(other)
    assert lease.is_provably_dead(mine)
    assert not lease.is_provably_dead(mine.partition("~")[0] + "~c0ffee")
    assert not lease.is_provably_dead(f"elsewhere:{other.pid}~{mine.partition('~')[2]}")


def test_an_engine_that_was_killed_is_known_as_dead_at_once(
    tmp_path: Path, other: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    url = held_by(tmp_path, own_holder(other))
    with open_queries(url) as reads:
        assert reads.estate.engine().alive
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # its parent has not looked yet
        assert not reads.estate.engine().alive
    assert Exit.NO_ENGINE == main(["--store", url, "status"])
    assert "no engine has run since" in capsys.readouterr().out
    assert Exit.NO_ENGINE == main(["--store", url, "engine", "stop"])
    assert f"process {other.pid}, is not running any more" in capsys.readouterr().err


def lapsed(url: str, since_us: int | None = None) -> None:
    """The lease was not renewed in time; got at `since_us` where that is given."""
    store = open_ready(url)
    with store.write(None) as connection:
        connection.rows("UPDATE lease SET until_us = 1")
        if since_us is not None:
            connection.rows("UPDATE lease SET since_us = ?", (since_us,))
    store.close()


def test_an_engine_that_lives_and_cannot_renew_its_lease_is_no_missing_one(
    tmp_path: Path, other: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk, a debugger: another engine would help nothing, and this one is the one to stop."""
    url = held_by(tmp_path, own_holder(other))
    lapsed(url)
    stuck = f"process {other.pid} lives and has not written since; its log says why"
    assert Exit.NO_ENGINE == main(["--store", url, "status"])
    output = capsys.readouterr().out
    assert (True, True, False) == ("no engine has run since" in output, stuck in output, "Start one" in output)
    with open_queries(url) as reads:
        header = reads.estate.header()
    banner = header_footer.banner_text(
        header, "", RenderContext(now=datetime.now(UTC), glyphs=GlyphSet(), clock=ZonedClock())
    )
    assert banner.startswith(" monitoring stopped since ")
    assert stuck in banner
    assert (
        f"engine not started: {stuck}" in engine_process.start_engine_if_needed(url, tmp_path / "headway.toml").message
    )
    assert Exit.OK == main(["--store", url, "engine", "stop"])
    other.wait(HANGS_SECONDS)
    assert Exit.NO_ENGINE == main(["--store", url, "status"])
    assert "Fix: headway engine" in capsys.readouterr().out


def test_a_process_that_began_after_the_lease_has_only_the_number_of_its_holder(
    tmp_path: Path, other: subprocess.Popen[bytes]
) -> None:
    url = held_by(tmp_path, own_holder(other))
    before = datetime.now(UTC) - timedelta(minutes=1)
    lapsed(url, micros(before))
    os.utime(engine_note(Path(url)), (before.timestamp(), before.timestamp()))
    with open_queries(url) as reads:
        assert "" == reads.estate.engine().stuck
    assert Exit.NO_ENGINE == main(["--store", url, "engine", "stop"])
    assert other.poll() is None


def test_on_a_full_disk_starting_an_engine_is_not_suggested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That has never had one: it could not get its lease there."""
    url = str(tmp_path / "headway.db")
    open_ready(url).close()
    monkeypatch.setattr(lease, "MIN_FREE_BYTES", 1 << 62)
    assert Exit.NO_ENGINE == main(["--store", url, "status"])
    output = capsys.readouterr().out
    assert "no engine runs: the disk of the store is full: no engine can write there; free space first" in output
    assert "Start one" not in output


def test_a_removed_store_is_not_replaced_by_a_new_one_and_its_engine_is_stopped(
    tmp_path: Path, other: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    """A new store would be empty and in shadow mode, while the engine goes on with the removed file."""
    holder = own_holder(other)
    path, copy = Path(held_by(tmp_path, holder)), tmp_path / "copy.db"
    assert Exit.OK == main(["--store", str(path), "store", "backup", str(copy)])
    for file in tmp_path.glob("headway.db*"):
        file.unlink()
    missing = re.escape(f"{STORE_GONE}: {path}") + ".*headway store restore COPY"
    for command in (["status"], ["job", "list"], ["freeze"]):
        assert Exit.USAGE == main(["--store", str(path), *command])
        assert re.search(missing, " ".join(capsys.readouterr().err.split()))
    started = engine_process.start_engine_if_needed(str(path), tmp_path / "headway.toml")
    assert re.search(missing, started.message)
    assert Exit.REFUSED == main(["--store", str(path), "store", "restore", str(copy)])
    assert f"an engine works on {path} (process {other.pid}): headway engine stop" in capsys.readouterr().err
    assert [] == list(tmp_path.glob("headway.db"))
    assert Exit.OK == main(["--store", str(path), "engine", "stop"])
    other.wait(HANGS_SECONDS)
    assert Exit.OK == main(["--store", str(path), "store", "restore", str(copy)])
    with open_queries(str(path)) as reads:
        assert reads.estate.header().frozen


def test_the_engine_that_still_works_on_a_replaced_file_is_the_one_to_stop(
    tmp_path: Path, other: subprocess.Popen[bytes]
) -> None:
    path = tmp_path / "headway.db"
    open_ready(str(path)).close()
    lease.note_engine(path, own_holder(other))
    assert Exit.OK == main(["--store", str(path), "engine", "stop"])
    other.wait(HANGS_SECONDS)
    assert Exit.NO_ENGINE == main(["--store", str(path), "engine", "stop"])


def test_a_note_that_names_no_file_ends_nothing(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    url = held_by(tmp_path, own_holder(other))
    engine_note(Path(url)).write_text(f"{own_holder(other)}\n")
    lapsed(url)
    assert Exit.NO_ENGINE == main(["--store", url, "engine", "stop"])
    assert "" == engine_at_work(Path(url))
    assert other.poll() is None


def test_a_copied_folder_does_not_show_the_engine_of_the_original_as_its_own(
    tmp_path: Path, other: subprocess.Popen[bytes]
) -> None:
    """It did for the 15 s of the lease in the copy."""
    (tmp_path / "original").mkdir()
    url = held_by(tmp_path / "original", own_holder(other))
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    for path, is_own in ((url, True), (str(tmp_path / "copy" / "headway.db"), False)):
        with open_queries(path) as reads:
            assert is_own is reads.estate.engine().alive


def test_the_engine_of_a_folder_that_was_moved_is_ended(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    (tmp_path / "before").mkdir()
    held_by(tmp_path / "before", own_holder(other))
    moved = (tmp_path / "before").rename(tmp_path / "after")
    assert Exit.OK == main(["--store", str(moved / "headway.db"), "engine", "stop"])
    other.wait(HANGS_SECONDS)
