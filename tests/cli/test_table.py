"""Tables and lines fit the terminal that they are printed to; a pipe gets everything."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len

from connectors.contract import HoldMark, State
from console.cli.main import main
from console.cli.table import Col, cut, table_lines, terminal_width, wrap
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler

COLUMNS = (Col("job", 8, middle=True), Col("state"), Col("owner", drop=1), Col("why", 6))
ROW = ("etl-hosts/db07:extract_orders", "failed", "data-platform", "No space left on device")


def test_without_a_terminal_a_table_is_whole() -> None:
    assert f"{ROW[0]}  failed  data-platform  {ROW[3]}" == table_lines(COLUMNS, [ROW])[1]


@pytest.mark.parametrize(
    "width, row",
    [
        (71, "etl-hosts/d…ract_orders  failed  data-platform  No space left on device"),
        (40, "etl-…ers  failed  data-platform  No spa…"),
        (24, "etl-…ers  failed  No sp…"),
    ],
)
def test_the_widest_is_shortened_before_the_least_is_left_out(width: int, row: str) -> None:
    lines = table_lines(COLUMNS, [ROW], width)
    assert width >= max(map(cell_len, lines))
    assert row == lines[1]


def test_a_row_that_no_shortening_fits_is_told_line_by_line() -> None:
    """Nothing of it is lost, and no line is wider; what says nothing is left out."""
    assert [
        "job", ROW[0], "state  failed", "owner  data-platform", "why    No space left", "    on device",
        "", "job    x", "state  ok",
    ] == table_lines(COLUMNS, [ROW, ("x", "ok", "–", "")], 20)  # fmt: skip


def test_of_sentences_that_are_to_stay_whole_nothing_is_cut() -> None:
    assert "why    No space left on device" in table_lines(COLUMNS, [ROW], 60, whole=True)
    assert 2 == len(table_lines(COLUMNS, [ROW], 90, whole=True))


@pytest.mark.parametrize("columns, width", [("61", 61), ("", None), ("0", None), ("wide", None)])
def test_a_pipe_is_as_wide_as_columns_says(monkeypatch: pytest.MonkeyPatch, columns: str, width: int | None) -> None:
    """`watch headway status` pipes, and says how wide its own terminal is."""
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert (width, None) == (terminal_width(), terminal_width(io.StringIO()))


def test_what_is_cut_keeps_both_ends_or_its_beginning() -> None:
    assert ("ab…yz", "abcd…", "abc") == (cut("abcdwxyz", 5, middle=True), cut("abcdefgh", 5), cut("abc", 5))
    assert 5 >= cell_len(cut("漢字かな交じり", 5, middle=True))


def test_a_long_line_breaks_between_words_and_hangs_below_its_text() -> None:
    line = "  why      it read what its upstream had not finished by then"
    assert ["  why      it read what its upstream", "           had not finished by then"] == wrap(line, 37)


def test_a_word_that_is_longer_than_the_terminal_stays_whole() -> None:
    path = "/var/spool/etl/" + "x" * 60
    assert path in "\n".join(wrap(f"note {path} is full", 40))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A store with long names, an incident, a hold that was found and an audit."""
    folder, name = tmp_path_factory.mktemp("wide"), "db07.internal.example:extract_orders_of_the_day_before"
    scheduler = FakeScheduler()
    scheduler.job(name)
    scheduler.job("load")
    with running_bench(folder, scheduler, estate_config(folder, scheduler)) as made:
        now = datetime.now(UTC)
        scheduler.attempt(name, "a1", State.FAILED, now - timedelta(minutes=1), message="No space left " * 8)
        scheduler.marks["load"] = HoldMark("headway-x", "somebody", now + timedelta(hours=30))
        made.turn()
        yield made


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("command", ["status", "jobs", "incidents", "holds", "audit", "services", "recovery", "drift"])
def test_no_table_is_wider_than_its_terminal(bench: Bench, command: str, columns: int) -> None:
    shown = on_a_terminal(columns, "--store", bench.url, command)
    assert shown
    assert [] == [line for line in shown.splitlines() if cell_len(line) > columns and " " in line.strip()]


def test_a_pipe_gets_the_whole_name(bench: Bench) -> None:
    argv = [sys.executable, "-m", "console", "--store", bench.url, "jobs"]
    told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert "fake/db07.internal.example:extract_orders_of_the_day_before  " in told


def test_a_closed_stdout_is_no_surprise(bench: Bench) -> None:
    """`headway jobs >&-` in a script whose output nobody wants."""
    line = 'exec "$0" -m console --store "$1" jobs >&-'
    done = subprocess.run(["/bin/sh", "-c", line, sys.executable, bench.url], capture_output=True, text=True)
    assert (0, False) == (done.returncode, "Traceback" in done.stderr), done.stderr


def on_a_terminal(columns: int, *words: str) -> str:
    """What stdout of a command is, when it is a terminal of so many columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.extend(iter(lambda: _read(master), b"")))
    reader.start()
    with open(slave, "w", encoding="utf-8") as terminal, redirect_stdout(terminal), redirect_stderr(io.StringIO()):
        assert main(list(words)) in (0, 1, 3)
    reader.join()
    os.close(master)
    return b"".join(found).decode().replace("\r\n", "\n")


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65_536)
    except OSError:  # the other end is closed
        return b""
