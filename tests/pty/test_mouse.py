"""The mouse in a real terminal: what xterm sends for a click and a wheel (SGR, mode 1006) reaches rows, the footer's
keys, headings and the header."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.bigstore import make_store
from tests.pty.terminal import Terminal
from tests.pty.test_lost import opened

LEFT, WHEEL_UP, WHEEL_DOWN = 0, 64, 65


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "headway.db"
    make_store(path, 400, 2_000)
    return path


@pytest.fixture
def terminal(store: Path, tmp_path: Path) -> Iterator[Terminal]:
    argv = [sys.executable, "-m", "console", "console", "--no-engine", "--store", str(store)]
    with Terminal(argv, size=(120, 36), env={"XDG_STATE_HOME": str(tmp_path)}) as made:
        made.wait_for("SERVICES 12")
        yield made
        assert b"Traceback" not in made.received


def place(terminal: Terminal, text: str) -> tuple[int, int]:
    """Column and line of these words, counted from 1 as terminals do."""
    for y, line in enumerate(terminal.text.splitlines(), 1):
        if text in line:
            return line.index(text) + 1, y
    raise AssertionError(f"{text} does not stand there:\n{terminal.text}")


def listed(text: str) -> int:
    """Rows of the Services list: from its heading to the empty line above the details."""
    lines = text.splitlines()
    heading = next(place for place, line in enumerate(lines) if line.startswith("  service "))
    rows = list(itertools.takewhile(str.strip, lines[heading + 1 :]))
    return len(rows)


def click(terminal: Terminal, text: str, times: int = 1) -> None:
    x, y = place(terminal, text)
    for _ in range(times):
        terminal.press(f"\x1b[<{LEFT};{x};{y}M", f"\x1b[<{LEFT};{x};{y}m")


def wheel(terminal: Terminal, text: str, button: int) -> None:
    x, y = place(terminal, text)
    terminal.press(f"\x1b[<{button};{x};{y}M")


def test_a_row_is_chosen_by_a_click_and_opened_by_two(terminal: Terminal) -> None:
    click(terminal, "Service 5 ")
    terminal.wait_for("\n Service 5  ● on time")
    terminal.settle(0.6)  # else the next one is its second click
    click(terminal, "Service 7 ", times=2)
    terminal.wait_for("/ service:")


def test_the_keys_of_the_footer_are_buttons(terminal: Terminal) -> None:
    click(terminal, "? keys")
    terminal.wait_for("keys of Services")
    terminal.press("escape")
    terminal.wait_for("SERVICES 12")
    click(terminal, "/ filter")
    terminal.wait_for(lambda text: "filter" in map(str.strip, text.splitlines()))
    terminal.press("Service 11")
    terminal.wait_for(lambda text: "/ Service 11" in text and "\n● Service 11 " in text and listed(text) == 1)


@pytest.mark.parametrize(
    "button, typed, opened", [("/ filter", "Service 11", "/ Service 11"), ("? keys", "wheel", "mouse")]
)
def test_a_key_typed_at_once_after_a_click_reaches_what_the_click_opens(
    terminal: Terminal, button: str, typed: str, opened: str
) -> None:
    """Bytes of both come in one piece over a slow line."""
    x, y = place(terminal, button)
    terminal.press(f"\x1b[<{LEFT};{x};{y}M\x1b[<{LEFT};{x};{y}m{typed}")
    terminal.wait_for(lambda text: opened in text and typed in text)


def test_the_wheel_scrolls_three_rows_and_a_heading_sorts(terminal: Terminal) -> None:
    terminal.press("3")
    terminal.wait_for("JOBS  row 1 of 400")
    first = terminal.text.splitlines()[4]
    wheel(terminal, "JOBS  row", WHEEL_DOWN)  # the title: nothing scrolls there
    x, y = 20, 10
    terminal.press(f"\x1b[<{WHEEL_DOWN};{x};{y}M")
    terminal.wait_for(lambda text: text.splitlines()[4] != first)
    terminal.press(f"\x1b[<{WHEEL_UP};{x};{y}M")
    terminal.wait_for(lambda text: text.splitlines()[4] == first)
    click(terminal, "job  ")
    terminal.wait_for(lambda text: text.splitlines()[4] != first)


def test_what_the_header_counts_is_one_click_away(terminal: Terminal) -> None:
    click(terminal, "incident")
    terminal.wait_for("INCIDENTS")
    click(terminal, "at risk")
    terminal.wait_for("SERVICES 12")


def test_an_incidents_tabs_are_buttons(tmp_path: Path) -> None:
    with opened(tmp_path) as lost:
        lost.go("incident")
        click(lost.terminal, " timeline ")
        lost.terminal.wait_for("── now ──")
        click(lost.terminal, " log ")
        lost.terminal.wait_for("no space left on device")
