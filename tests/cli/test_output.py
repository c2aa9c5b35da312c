"""Tables and lines fit the terminal that they are printed to; a pipe gets everything."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
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

from connectors.sdk.contract import HoldMark
from connectors.sdk.states import RunState, Verb
from console.cli.main import main
from console.cli.output import ValueColumn, name_value_lines, table_lines, terminal_width, truncate, wrap
from console.domain.ids import new_action_key
from console.engine.api.action_request import ActionRequest
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.hostile.commands import headway
from tests.rows import each_row

COLUMNS = (
    ValueColumn("job", str, 8, middle=True),
    ValueColumn("state", str),
    ValueColumn("owner", str, drop=1),
    ValueColumn("why", str, 6),
)
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


def test_a_row_too_wide_to_shorten_is_printed_line_by_line() -> None:
    """Nothing of it is lost, and no line is wider; what says nothing is left out."""
    assert [
        "job", ROW[0], "state  failed", "owner  data-platform", "why    No space left", "    on device",
        "", "job    x", "state  ok",
    ] == table_lines(COLUMNS, [ROW, ("x", "ok", "–", "")], 20)  # fmt: skip


def test_of_sentences_that_are_to_stay_whole_nothing_is_cut() -> None:
    assert "why    No space left on device" in table_lines(COLUMNS, [ROW], 60, whole=True)
    assert 2 == len(table_lines(COLUMNS, [ROW], 90, whole=True))


@each_row("columns, width", [("61", 61), ("", None), ("0", None), ("wide", None)])
def test_a_pipe_is_as_wide_as_columns_says(monkeypatch: pytest.MonkeyPatch, columns: str, width: int | None) -> None:
    """`watch headway status` pipes, and says how wide its own terminal is."""
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert (width, None) == (terminal_width(), terminal_width(io.StringIO()))


def test_shortened_text_preserves_both_ends_or_its_start() -> None:
    assert ("ab…yz", "abcd…", "abc") == (
        truncate("abcdwxyz", 5, middle=True),
        truncate("abcdefgh", 5),
        truncate("abc", 5),
    )
    assert 5 >= cell_len(truncate("漢字かな交じり", 5, middle=True))


def test_a_long_line_breaks_between_words_and_hangs_below_its_text() -> None:
    line = "  why      it took what the upstreams had not written by then"
    assert ["  why      it took what the upstreams", "           had not written by then"] == wrap(line, 37)


def test_a_word_longer_than_the_terminal_stays_whole() -> None:
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
        scheduler.attempt(name, "a1", RunState.FAILED, now - timedelta(minutes=1), message="No space left " * 8)
        scheduler.marks["load"] = HoldMark("headway-x", "somebody", now + timedelta(hours=30))
        made.turn()
        yield made


@each_row("columns", [60, 80, 120])
@each_row("command", ["status", "job list", "incident", "hold", "audit", "service", "plan", "system drift"])
def test_no_table_is_wider_than_its_terminal(bench: Bench, command: str, columns: int) -> None:
    shown = on_a_terminal(columns, "--store", bench.url, *command.split())
    assert shown
    assert [] == [line for line in shown.splitlines() if cell_len(line) > columns and " " in line.strip()]


@pytest.mark.deep
def test_a_pipe_gets_the_whole_name(bench: Bench) -> None:
    argv = [sys.executable, "-m", "console", "--store", bench.url, "job", "list"]
    printed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert "fake/db07.internal.example:extract_orders_of_the_day_before  " in printed


def test_a_closed_stdout_is_no_surprise(bench: Bench) -> None:
    """`headway job list >&-` in a script whose output nobody wants."""
    line = 'exec "$0" -m console --store "$1" job list >&-'
    done = subprocess.run(["/bin/sh", "-c", line, sys.executable, bench.url], capture_output=True, text=True)
    assert (0, False) == (done.returncode, "Traceback" in done.stderr), done.stderr


def on_a_terminal(columns: int, *arguments: str) -> str:
    """What stdout of a command is, when it is a terminal of so many columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    results: list[bytes] = []
    reader = threading.Thread(target=lambda: results.extend(iter(lambda: _read(master), b"")))
    reader.start()
    with open(slave, "w", encoding="utf-8") as terminal, redirect_stdout(terminal), redirect_stderr(io.StringIO()):
        assert main(list(arguments)) in (0, 1, 3)
    reader.join()
    os.close(master)
    return b"".join(results).decode().replace("\r\n", "\n")


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65_536)
    except OSError:  # the other end is closed
        return b""


PAGES = {
    "job fake/extract": ("timeliness: ", "evidence: source reports ", "next: ", "run: "),
    "incident 1": ("affected services", "opened: ", "| "),
    "service supply": ("service: Supply plan", "tier: ", "deadline: ", "owner: ", "why: "),
    "system fake": ("kind: ", "polled: ", "jobs: "),
    "action KEY": ("requested: ", "why: a bad file", "key: headway-"),
}


@pytest.fixture(scope="module")
def night(bench: Bench) -> tuple[Bench, str]:
    bench.scheduler.attempt(
        "extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=1), message="exit 1"
    )
    bench.turn()
    shown = {"verb": "run again", "summary": "run it again", "scope": "1 run", "native_calls": ["POST /again"]}
    key = new_action_key()
    bench.requests().act(ActionRequest(Verb.RERUN, 1, preview=shown, why="a bad file"), key)
    bench.stop_clock()
    return bench, key


@pytest.mark.parametrize("line", PAGES)
def test_every_detail_page_prints_one_fact_per_line(
    night: tuple[Bench, str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, key = night
    texts = line.replace("KEY", key).split()
    columns, printed = headway(bench.url, *texts), headway(bench.url, *texts, "--plain")
    assert columns.code == printed.code
    assert "  " in columns.out
    assert [] == [
        line for line in printed.out.splitlines() if re.search(r"\S {2,}|^ ", line) and not line.startswith("|")
    ]
    printed_lines = printed.out.splitlines()
    assert [] == [fact for fact in PAGES[line] if not any(line.startswith(fact) for line in printed_lines)], printed.out
    assert "–" not in [line.partition(": ")[2] for line in printed_lines]
    monkeypatch.setenv("HEADWAY_PLAIN", "1")
    assert printed.out == headway(bench.url, *texts).out


@pytest.mark.parametrize("line", ["job list", "job", "run", "service", "system", "action", "incident list --all"])
def test_every_list_prints_one_row_per_line(
    night: tuple[Bench, str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, _ = night
    printed = headway(bench.url, *line.split(), "--plain")
    first = next(line for line in printed.out.splitlines() if line)
    assert re.match(r"[a-z ]+: \S", first), printed
    assert [] == [line for line in printed.out.splitlines() if re.search(r"\S {2,}", line)]
    monkeypatch.setenv("HEADWAY_PLAIN", "1")
    assert printed.out == headway(bench.url, *line.split()).out


def test_text_from_a_source_is_unchanged() -> None:
    lines = ["owner       data-platform", "runbook     –", "  | owner    of  the log", "etl/db07:x  failed", ""]
    assert ["owner: data-platform", "runbook: none", "| owner    of  the log", "etl/db07:x, failed", ""] == list(
        name_value_lines(lines)
    )


def test_room_behind_a_stop_is_no_second_fact() -> None:
    assert ["ERROR: division by zero", "A, b"] == list(name_value_lines(["ERROR:  division by zero", "A   b"]))
