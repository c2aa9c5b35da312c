"""A shared store that stops under an open console, on every screen: the rows stay, with their age; keys
answer, and it goes on by itself."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from console.store.db.database import open_database
from tests.invariants.engines import STORE
from tests.lab.postgres import PostgresServer
from tests.pty.terminal import Terminal
from tests.pty.test_lost import THIRDS, is_old, opened


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL of these tests alone: it is stopped."""
    folder = Path(tempfile.mkdtemp(prefix="headway-console-"))
    folder.chmod(0o755)
    made = PostgresServer(folder)
    made.start()
    yield made
    made.stop()
    shutil.rmtree(folder)


def test_a_postgresql_that_stops_under_an_open_console_is_reported_and_reconnected(server: PostgresServer) -> None:
    dsn = server.create_database()
    open_database(dsn).close()
    argv = [sys.executable, "-m", "console", "console", "--no-engine", "--store", dsn]
    with Terminal(argv, size=(120, 36)) as terminal:
        terminal.wait_for('run "headway engine"')
        terminal.press("3")
        terminal.wait_for("no job yet: the first poll adds them")
        server.stop(crash=True)
        terminal.wait_for(lambda text: "data from" in text and "no job yet: the first poll adds them" in text)
        server.start()
        terminal.wait_for(lambda text: "data from" not in text and "no engine has run" in text)


@contextmanager
def stopped(server: PostgresServer, terminal: Terminal) -> Iterator[None]:
    server.stop(crash=True)
    try:
        terminal.wait_for(lambda text: is_old(text) and "no engine for" not in text)
        yield
    finally:
        server.start()
    terminal.wait_for(lambda text: not is_old(text))


@pytest.mark.parametrize("names", THIRDS, ids=[names[0] for names in THIRDS])
def test_a_postgresql_that_stops_under_every_screen_is_reported_and_reconnected(
    server: PostgresServer, tmp_path: Path, names: tuple[str, ...]
) -> None:
    dsn = server.create_database()
    open_database(dsn).close()
    (tmp_path / STORE).write_text(dsn)
    with opened(tmp_path) as lost:
        for name in names:
            lost.go(name)
            with stopped(server, lost.terminal):
                lost.answers(name)
