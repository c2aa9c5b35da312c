"""After a lost line the next start is where one was; whoever leaves by a key starts at home again."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.personal.left import Left, Places
from tests.bench.bigstore import make_store
from tests.pty.terminal import Terminal
from tests.tui.driving import Night, on_the_night

NOW = datetime(2026, 11, 20, 3, 12, tzinfo=UTC)
HERE = Left("table", ("jobs", "state:failed", "-age", True, False), 7, "utc", NOW)


def lost(folder: Path, store: str, left: Left) -> None:
    """What a console leaves that is killed: written by a process that is gone."""
    writer = os.fork()
    if writer == 0:
        try:
            Places(store, folder).write(left)
        finally:
            os._exit(0)
    os.waitpid(writer, 0)


def test_what_a_console_left_whose_line_was_lost_is_taken_once(tmp_path: Path) -> None:
    lost(tmp_path, "a.db", HERE)
    assert HERE == Places("a.db", tmp_path).take(NOW + timedelta(minutes=3))
    assert Places("a.db", tmp_path).take(NOW) is None


def test_what_is_left_is_of_one_store_and_of_one_shift(tmp_path: Path) -> None:
    lost(tmp_path, "a.db", HERE)
    assert Places("b.db", tmp_path).take(NOW) is None
    assert Places("a.db", tmp_path).take(NOW + timedelta(hours=13)) is None


def test_the_last_of_several_is_meant(tmp_path: Path) -> None:
    lost(tmp_path, "a.db", Left("screen", "systems", at=NOW - timedelta(hours=1)))
    lost(tmp_path, "a.db", HERE)
    assert HERE == Places("a.db", tmp_path).take(NOW)
    assert [] == list(tmp_path.iterdir())


def test_two_that_one_line_took_with_it_both_come_back(tmp_path: Path) -> None:
    beside = Left("incident", 412, at=NOW - timedelta(seconds=50))
    lost(tmp_path, "a.db", beside)
    lost(tmp_path, "a.db", HERE)
    found = [Places("a.db", tmp_path).take(NOW + timedelta(minutes=2)) for _ in range(3)]
    assert [HERE, beside, None] == found


def test_two_at_the_same_place_in_the_same_moment_come_back_once_each(tmp_path: Path) -> None:
    lost(tmp_path, "a.db", HERE)
    lost(tmp_path, "a.db", HERE)
    assert [HERE, HERE, None] == [Places("a.db", tmp_path).take(NOW) for _ in range(3)]


def test_two_starts_at_once_find_one_place_each(tmp_path: Path) -> None:
    rows = list(range(8))
    for row in rows:
        lost(tmp_path, "a.db", Left("screen", "systems", row, at=NOW))
    with ThreadPoolExecutor(len(rows)) as starts:
        found = list(starts.map(lambda _: Places("a.db", tmp_path).take(NOW), rows))
    assert rows == sorted(left.row for left in found if left is not None)


def test_a_start_does_not_wait_for_one_that_is_stopped_there(tmp_path: Path) -> None:
    lost(tmp_path, "a.db", HERE)
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert HERE == Places("a.db", tmp_path).take(NOW)
    finally:
        os.close(handle)


def test_a_console_that_still_runs_is_left_alone_and_takes_its_place_away_when_it_leaves(tmp_path: Path) -> None:
    running = Places("a.db", tmp_path)
    running.write(HERE)
    running.write(Left("screen", "systems", at=NOW))
    assert Places("a.db", tmp_path).take(NOW) is None
    [file] = tmp_path.iterdir()
    assert 0o600 == file.stat().st_mode & 0o777
    assert '"systems"' in file.read_text()
    running.forget()
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"kind": "screen"}',
        '{"kind": 1, "what": 2, "at": "odd"}',
        "\x00" * 9,
        '{"kind": "services", "what": null, "at": "2026-11-20T03:12:00"}',
    ],
)
def test_what_cannot_be_read_is_taken_away_and_nobody_goes_anywhere(tmp_path: Path, text: str) -> None:
    lost(tmp_path, "a.db", HERE)
    [file] = tmp_path.iterdir()
    file.write_text(text)
    assert Places("a.db", tmp_path).take(NOW) is None
    assert [] == list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_keeps_nobody_from_working(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    places = Places("a.db", tmp_path / "file" / "places")
    places.write(HERE)
    assert places.take(NOW) is None
    places.forget()


def test_a_shared_store_is_known_without_who_signs_in(tmp_path: Path) -> None:
    lost(tmp_path, "postgresql://mara:secret@db.internal/headway", HERE)
    [file] = tmp_path.iterdir()
    assert "secret" not in file.name + file.read_text()
    assert HERE == Places("postgresql://jo:other@db.internal/headway", tmp_path).take(NOW)


@on_the_night(size=(120, 36), left=Left("table", ("jobs", "pg-dwh", "name", False, False), 9, "utc", NOW))
async def test_the_table_comes_back_with_filter_sort_row_and_zone(night: Night) -> None:
    await night.see("back where you were at", "1 for Services", "/ pg-dwh", "sort:name", "JOBS")
    await night.until(lambda: night.app.screen.query_one("#grid").key == 9, "the row")  # type: ignore[attr-defined]
    await night.press("Z")
    await night.see("times: each service's own")


@on_the_night(size=(120, 36), left=Left("table", ("services", "revenue", "", False, False), None, "", NOW))
async def test_the_first_screen_comes_back_with_its_filter_and_is_still_the_first(night: Night) -> None:
    await night.see("back where you were", "/ revenue", "Daily revenue")
    assert 1 == len(night.app.screen_stack)


@on_the_night(size=(120, 36), left=Left("incident", 412, None, "", NOW))
async def test_an_incident_comes_back_and_escape_leads_home(night: Night) -> None:
    await night.see("INC-0412", "back where you were")
    await night.press("escape")
    await night.see("SERVICES")


@on_the_night(size=(120, 36), left=Left("job", 1, None, "", NOW))
async def test_a_job_comes_back_above_the_jobs(night: Night) -> None:
    await night.see("back where you were")
    await night.press("escape")
    await night.see("JOBS")


@on_the_night(size=(120, 36), left=Left("gone-kind", 412, None, "", NOW))
async def test_a_place_that_this_version_does_not_know_is_home(night: Night) -> None:
    await night.see("SERVICES")


# the real thing


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "headway.db"
    make_store(path, 400, 2_000)
    return path


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    shutil.copy(made, tmp_path / "headway.db")
    return tmp_path / "headway.db"


def console(store: Path) -> list[str]:
    return [sys.executable, "-m", "console", "console", "--no-engine", "--store", str(store)]


def own(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def written(tmp_path: Path, text: str) -> bool:
    files = (tmp_path / "state" / "headway" / "places").glob("*.json")
    return any(text in file.read_text() for file in files)


def noted(tmp_path: Path) -> str:
    return "".join(file.read_text() for file in (tmp_path / "state" / "headway" / "places").glob("*.json"))


def at_jobs(terminal: Terminal, tmp_path: Path) -> None:
    terminal.wait_for("SERVICES 12")
    terminal.press("3")
    terminal.wait_for("JOBS  row 1 of 400")
    terminal.press("/", "etl-hosts", "enter")
    terminal.wait_for(lambda text: "/ etl-hosts" in text and "of 100" in text)
    terminal.wait_for(lambda _: written(tmp_path, "etl-hosts"))
    before = noted(tmp_path)
    terminal.press("down", "down")
    terminal.wait_for("JOBS  row 3 of")
    terminal.wait_for(lambda _: noted(tmp_path) != before)
    terminal.settle(1.5)


def test_a_terminal_that_is_closed_brings_one_back_and_q_does_not(store: Path, tmp_path: Path) -> None:
    with Terminal(console(store), size=(120, 36), env=own(tmp_path)) as terminal:
        at_jobs(terminal, tmp_path)
        terminal.hang_up()
    with Terminal(console(store), size=(120, 36), env=own(tmp_path)) as terminal:
        terminal.wait_for("back where you were at")
        terminal.wait_for("/ etl-hosts")
        terminal.wait_for("JOBS  row 3 of")
        terminal.press("escape", "escape")
        terminal.wait_for("SERVICES 12")
        terminal.press("q")
        terminal.wait_for_end()
    with Terminal(console(store), size=(120, 36), env=own(tmp_path)) as terminal:
        terminal.wait_for("SERVICES 12")
        terminal.settle()
        assert "back where you were" not in terminal.text


PLACES = {"JOBS  row", "SYSTEMS"}


def test_two_terminals_that_are_closed_at_once_both_bring_one_back(store: Path, tmp_path: Path) -> None:
    with (
        Terminal(console(store), size=(120, 36), env=own(tmp_path)) as one,
        Terminal(console(store), size=(120, 36), env=own(tmp_path)) as other,
    ):
        for terminal, key, place in ((one, "3", "jobs"), (other, "5", "systems")):
            terminal.wait_for("SERVICES 12")
            terminal.press(key)
            terminal.wait_for(place.upper())
            terminal.wait_for(lambda _, place=place: written(tmp_path, f'"{place}"'))  # type: ignore[misc]
        one.hang_up()
        other.hang_up()
    seen = set()
    with (
        Terminal(console(store), size=(120, 36), env=own(tmp_path)) as one,
        Terminal(console(store), size=(120, 36), env=own(tmp_path)) as other,
    ):
        for terminal in (one, other):
            terminal.wait_for("back where you were at")
            text = terminal.wait_for(lambda text: any(place in text for place in PLACES))
            seen |= {place for place in PLACES if place in text}
    assert PLACES == seen


def test_a_console_that_is_killed_is_found_again_too(store: Path, tmp_path: Path) -> None:
    with Terminal(console(store), size=(120, 36), env=own(tmp_path)) as terminal:
        at_jobs(terminal, tmp_path)
        os.kill(terminal.pid, signal.SIGKILL)
        terminal.wait_for_end()
    with Terminal(console(store), size=(120, 36), env=own(tmp_path)) as terminal:
        terminal.wait_for("back where you were at")
        terminal.wait_for("/ etl-hosts")
