"""Tables and lines on a terminal: what does not fit is shortened or left out, and nothing breaks inside of a word.

A table that no shortening fits into a narrow terminal is printed row by row, a line for each of its cells. Where stdout
is no terminal everything is printed in full: a pipe has no width, but where COLUMNS says one (as `watch` does).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TextIO

from console.clean import clean, clean_line

GAP = "  "
NOTHING = ("", "–")
"""Cells that say nothing."""
HANG = 4
"""Cells by which what goes on below a line is set in, where the line has no column of its own to hang from."""


class Col(NamedTuple):
    """A column of a table."""

    title: str
    least: int = 0
    """To how many cells it may be shortened; 0: it is shown whole or not at all."""
    drop: int = 0
    """When it is left out: those with 1 first; 0: never."""
    middle: bool = False
    """Shortened in the middle: both ends of it say something."""


def terminal_width(stream: TextIO | None = None) -> int | None:
    """Cells in a line of the terminal that the stream, else stdout, is; where stdout is none, COLUMNS; else None."""
    told = stream or sys.stdout
    try:
        if told.isatty():
            return os.get_terminal_size(told.fileno()).columns or None
    except (OSError, ValueError):
        return None
    wanted = os.environ.get("COLUMNS", "") if stream is None else ""
    return int(wanted) if wanted.isascii() and wanted.isdigit() and int(wanted) else None


def print_table(columns: Sequence[Col], rows: Sequence[Sequence[str]], whole: bool = False) -> None:
    """`whole`: its cells are sentences, of which none is cut or left out."""
    print_lines(table_lines(columns, rows, terminal_width(), whole))


def print_lines(lines: Iterable[str], wrapped: bool = False) -> None:
    """Data for people on stdout, cleaned; what follows a newline inside of a line is indented below it."""
    width = terminal_width() if wrapped else None
    for line in lines:
        text = clean(line).replace("\n", "\n" + " " * HANG)
        for part in text.split("\n"):
            print("\n".join(wrap(part, width)) if width else part)


def table_lines(
    columns: Sequence[Col], rows: Sequence[Sequence[str]], width: int | None = None, whole: bool = False
) -> list[str]:
    """The table in lines of at most `width` cells; the last column runs free without it. Where even its least is wider,
    or anything would be cut of what is to stay `whole`, each row as a card."""
    cells = [[clean_line(cell) for cell in row] for row in rows]
    shown, widths = fitted(columns, cells, width)
    heads = [columns[at].title for at in shown]
    least = fitted(columns, cells, None)[1] if whole else widths
    if width is not None and _total(least) > width:
        return _cards(columns, cells, width) if rows else [*wrap(GAP.join(heads), width), "  (none)"]
    lines = [_line(heads, widths, [False] * len(shown))]
    middles = [columns[at].middle for at in shown]
    lines += [_line([row[at] for at in shown], widths, middles) for row in cells]
    return lines if rows else [lines[0], "  (none)"]


def fitted(columns: Sequence[Col], cells: Sequence[Sequence[str]], width: int | None) -> tuple[list[int], list[int]]:
    """Which columns are shown, and how wide: the fewest are left out, then the widest are shortened."""
    from rich.cells import cell_len

    full = [
        max(cell_len(text) for text in [column.title, *(row[at] for row in cells)]) for at, column in enumerate(columns)
    ]
    orders = sorted({column.drop for column in columns} - {0})
    shown, widths = list(range(len(columns))), full
    for left_out in ([], *(orders[: number + 1] for number in range(len(orders)))):
        shown = [at for at, column in enumerate(columns) if column.drop not in left_out]
        widths = _shortened([full[at] for at in shown], [columns[at].least for at in shown], width)
        if width is None or _total(widths) <= width:
            break
    return shown, widths


def _cards(columns: Sequence[Col], cells: Sequence[Sequence[str]], width: int) -> list[str]:
    """Each row's cells one below the other behind their titles, whole; an empty line between rows."""
    label = max(len(column.title) for column in columns)
    lines: list[str] = []
    for row in cells:
        told = [(column.title, cell) for column, cell in zip(columns, row, strict=True) if cell not in NOTHING]
        lines += [""] if lines else []
        lines += [line for title, cell in told for line in wrap(f"{title:<{label}}{GAP}{cell}", width)]
    return lines


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _shortened(full: list[int], least: list[int], width: int | None) -> list[int]:
    """Cell by cell off the widest of those that may be shorter, until all fit or none may."""
    widths = list(full)
    while width is not None and _total(widths) > width:
        may = [at for at, floor in enumerate(least) if floor and widths[at] > floor]
        if not may:
            break
        widths[max(may, key=lambda at: widths[at])] -= 1
    return widths


def _line(texts: Sequence[str], widths: Sequence[int], middles: Sequence[bool]) -> str:
    from rich.cells import set_cell_size

    parts = zip(texts, widths, middles, strict=True)
    return GAP.join(set_cell_size(cut(text, width, middle), width) for text, width, middle in parts).rstrip()


def cut(text: str, width: int, middle: bool = False) -> str:
    """The text in at most `width` cells; `…` stands for what is missing, at its end or in its middle."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    if not middle:
        return set_cell_size(text, width - 1).rstrip() + "…"
    tail = (width - 1) // 2
    end = len(text)
    while end and cell_len(text[end - 1 :]) <= tail:
        end -= 1
    return set_cell_size(text, width - 1 - tail) + "…" + text[end:]


def wrap(line: str, width: int) -> list[str]:
    """The line in lines of at most `width` cells, broken between words; they hang below its last column or are set in.
    A word that is longer stays whole: a path or a key is copied."""
    from rich.cells import cell_len

    if cell_len(line) <= width:
        return [line]
    hang = " " * _hang(line, width)
    words = line[len(line) - len(line.lstrip()) :].split(" ")
    lines, now = [], line[: len(line) - len(line.lstrip())] + words[0]
    for word in words[1:]:
        if cell_len(now) + 1 + cell_len(word) > width and now.strip():
            lines.append(now.rstrip())
            now = hang[: max(0, width - cell_len(word))] + word
        else:
            now += " " + word
    return [*lines, now]


def _hang(line: str, width: int) -> int:
    """Where the text of a label begins: "  why      it ended" hangs below "it"."""
    start = len(line) - len(line.lstrip())
    label, gap, text = line[start:].partition(GAP)
    below = len(line) - len(text.lstrip()) if gap else 0
    return below if 0 < below <= width // 3 and " " not in label else min(start + HANG, width // 3)
