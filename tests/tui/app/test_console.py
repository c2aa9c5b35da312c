"""The console as people start it: the command, a real store, a real pseudo-terminal."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import threading
from pathlib import Path
from typing import IO, cast

import pytest
from textual.drivers._writer_thread import MAX_QUEUED_WRITES, WriterThread

from console.tui.terminal.driver import TerminalLine
from tests.bench.bigstore import make_store
from tests.lab.process import HANGS_SECONDS
from tests.pty.terminal import Terminal

HEAVY = {"sqlmodel", "sqlalchemy", "pydantic", "httpx", "paramiko", "apprise", "numpy", "requests", "rustworkx"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "headway.db"
    make_store(path, 400, 2_000)
    return path


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A store with 400 jobs and 2,000 runs, for this test alone."""
    shutil.copy(made, tmp_path / "headway.db")
    return tmp_path / "headway.db"


def console(store: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "console", "console", "--no-engine", "--store", str(store), *more]


@pytest.mark.deep
def test_services_jobs_and_the_end_of_the_table_by_keys_and_the_terminal_is_left_clean(store: Path) -> None:
    with Terminal(console(store)) as terminal:
        terminal.wait_for("SERVICES 12")
        terminal.press("3")
        terminal.wait_for("JOBS  row 1 of 400")
        terminal.press("end")
        terminal.wait_for("JOBS  row 400 of 400")
        terminal.press("escape")
        terminal.wait_for("SERVICES 12")
        terminal.press("q")
        assert 0 == terminal.wait_for_end()
        assert b"\x1b[?1049l" in terminal.received


def test_a_change_by_another_process_is_on_the_screen_without_a_key(store: Path) -> None:
    with Terminal(console(store)) as terminal:
        terminal.wait_for("Service 12")
        with sqlite3.connect(store) as db:
            db.execute("UPDATE service SET title = 'Changed by another' WHERE id = 12")
        db.close()
        terminal.wait_for("Changed by an")


@pytest.mark.deep
def test_a_job_that_another_process_changed_is_repainted_in_place(store: Path) -> None:
    with Terminal(console(store), size=(120, 36)) as terminal:
        terminal.press("3")
        terminal.wait_for("JOBS  row 1 of 400")
        terminal.press("down", "down")
        terminal.wait_for("JOBS  row 3 of 400")
        with sqlite3.connect(store) as db:
            last = db.execute(
                "SELECT run_id FROM latest_run ORDER BY attention, sort_us DESC, job_id DESC LIMIT 1"
            ).fetchone()
            db.execute("UPDATE run SET state = 'timed_out' WHERE id = ?", last)
            db.execute("UPDATE latest_run SET state = 'timed_out' WHERE run_id = ?", last)
        db.close()
        terminal.wait_for("timed out")
        assert "JOBS  row 3 of 400" in terminal.text


@pytest.mark.deep
def test_a_missing_store_is_reported_and_the_console_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "later.db"
    with Terminal(console(path), size=(120, 30)) as terminal:
        terminal.wait_for("there is no store at")
        terminal.wait_for("store not read")
        assert "reading the store" not in terminal.text
        _move_store_into_place(path)
        terminal.wait_for(lambda text: "SERVICES 12" in text and "there is no store at" not in text)


def _move_store_into_place(path: Path) -> None:
    """Makes the store beside its place and moves it there: the console that waits for it would lock it meanwhile."""
    making = path.with_suffix(".making")
    make_store(making, 40, 80)
    making.rename(path)


@pytest.mark.deep
def test_until_a_started_engine_has_made_the_store_the_console_says_that_it_starts(tmp_path: Path) -> None:
    path = tmp_path / "later.db"
    code = f"""
from console.tui.frame import console_app
from console.tui.app.start import run_console
console_app.START_SECONDS = 600.0  # a busy machine is slow to come so far
run_console({str(path)!r}, after_first_paint=lambda: None)
"""
    with Terminal([sys.executable, "-c", code], size=(120, 30)) as terminal:
        terminal.wait_for("starting the engine…")
        terminal.wait_for("the engine is creating the store")
        terminal.wait_for("no store yet")
        assert "reading the store" not in terminal.text
        assert "cannot be read" not in terminal.text
        _move_store_into_place(path)
        terminal.wait_for(lambda text: "SERVICES 12" in text and "starting the engine" not in text)


def test_what_is_heavy_is_not_loaded_by_the_first_paint(store: Path, tmp_path: Path) -> None:
    out, partial = tmp_path / "modules.json", tmp_path / "modules.partial"
    code = f"""
import json, os, sys
from console.tui.app.start import run_console
def list_modules():
    with open({str(partial)!r}, "w") as file:
        file.write(json.dumps(sorted(sys.modules)))
    os.rename({str(partial)!r}, {str(out)!r})
run_console({str(store)!r}, after_first_paint=list_modules)
"""
    with Terminal([sys.executable, "-c", code]) as terminal:
        terminal.wait_for("Service 12")
        terminal.wait_for(lambda _: out.exists())
    modules = json.loads(out.read_text())
    assert set() == {name.split(".")[0] for name in modules} & HEAVY
    assert set() == set(modules) & {"tomllib"}


def test_a_tiny_terminal_gets_a_status_of_the_services(store: Path) -> None:
    with Terminal(console(store), size=(44, 10)) as terminal:
        terminal.wait_for("terminal too small: 44x10")
        terminal.wait_for("on time")


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({"TERM": "linux"}, id="terminal"),
        pytest.param({"LC_ALL": "C"}, id="locale", marks=pytest.mark.deep),
    ],
)
def test_letters_where_the_terminal_is_plain(store: Path, env: dict[str, str]) -> None:
    with Terminal(console(store), env=env) as terminal:
        terminal.wait_for("Enter open")
        assert "●" not in terminal.text


def test_a_line_that_is_lost_while_the_console_paints_does_not_keep_it_from_leaving() -> None:
    """More writes than Textual's queue holds, to a terminal that is gone."""
    here, there = os.openpty()
    file = os.fdopen(there, "w")
    writer = WriterThread(cast("IO[str]", TerminalLine(file)))
    writer.start()
    os.close(here)
    done = threading.Event()

    def paint_and_leave() -> None:
        for _ in range(10 * MAX_QUEUED_WRITES):
            writer.write("x")
        writer.stop()
        done.set()

    threading.Thread(target=paint_and_leave, daemon=True).start()
    assert done.wait(HANGS_SECONDS)
    file.close()  # what it still holds goes nowhere: a failed flush at the end would exit with 120
