"""What a spreadsheet, a title bar or a notifier would open: no words of others reach one (F56)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SPREADSHEETS = {"csv", "openpyxl", "xlsxwriter", "xlwt", "odf", "pandas"}
"""Who imports one of these writes cells: what begins with = + - @ must then be escaped, and this fault tested so."""
TITLE_OR_NOTE = re.compile(r"(\\x1b|\\033|\\e)\](0|1|2|9|777|99);|notify-send|set_window_title")
"""OSC 0 to 2 set the terminal's title; 9, 99 and 777 are desktop notes."""
OURS = ["console/tui/terminal/driver.py", "console/tui/terminal/signals.py"]
"""Where our own words are sent there: counts of services and names of incidents (tests/tui/app/test_signals.py)."""


def modules() -> Iterator[tuple[str, str]]:
    for room in ("console", "connectors"):
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text()


def imported(source: str) -> set[str]:
    results: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            results |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            results.add(node.module.partition(".")[0])
    return results


def test_f56_nothing_writes_the_cells_of_a_spreadsheet() -> None:
    named = [(place, source) for place, source in modules() if any(name in source for name in SPREADSHEETS)]
    assert [] == [place for place, source in named if imported(source) & SPREADSHEETS]
    assert {"csv"} == imported("from csv import writer") & SPREADSHEETS


def test_f56_one_place_alone_sets_a_terminals_title_or_leaves_a_desktop_note() -> None:
    assert OURS == [place for place, source in modules() if TITLE_OR_NOTE.search(source)]
    assert TITLE_OR_NOTE.search(r'print("\x1b]0;job")')
