"""Output of commands: tables, lines, `--plain` facts and one JSON document on stdout, messages on stderr.

A table that does not fit the terminal is shortened, then loses columns, then is printed row by row. A pipe gets
everything in full.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from pathlib import Path
from typing import Any, Generic, NamedTuple, TextIO, TypeAlias, TypeVar

from console.cli.commands import flag
from console.cli.exits import CommandError, Exit
from console.text.cleaning import clean, clean_line

T = TypeVar("T")

GAP = "  "
NOTHING = ("", "–")
"""Empty cells."""
HANGING_INDENT = 4
"""Indentation of continuation lines, for lines without a column."""


class ValueColumn(NamedTuple, Generic[T]):
    """A column of a table."""

    title: str
    cell: Callable[[T], str]
    """The text of its cell for a row."""
    least: int = 0
    """Minimum width in cells; 0: not shortened."""
    drop: int = 0
    """Order in which columns are dropped: 1 first; 0: never."""
    middle: bool = False
    """Shortened in the middle instead of at the end."""


def terminal_width(stream: TextIO | None = None) -> int | None:
    """Width in cells of the terminal of the stream, by default stdout; without a terminal COLUMNS, else None."""
    output = stream or sys.stdout
    try:
        if output.isatty():
            return os.get_terminal_size(output.fileno()).columns or None
    except (OSError, ValueError):
        return None
    columns = os.environ.get("COLUMNS", "") if stream is None else ""
    return int(columns) if columns.isascii() and columns.isdigit() and int(columns) else None


class Table(NamedTuple):
    """A table as a command prints it. Each row has a cell for each column."""

    columns: Sequence[ValueColumn[Any]]
    rows: Sequence[Sequence[str]]
    whole: bool = False
    """True if its cells are sentences, none of which may be shortened or left out."""


def table(rows: Iterable[T], *columns: ValueColumn[T], whole: bool = False) -> Table:
    """One row of text for each of `rows`."""
    return Table(columns, [[column.cell(row) for column in columns] for row in rows], whole)


Part: TypeAlias = Table | Iterable[str]


def print_result(arguments: argparse.Namespace, document: Any, *parts: Part, code: Exit = Exit.OK) -> Exit:
    """Prints the tables and lines in their order, or with --json the document, with --plain the tables as
    `name: value`; returns the exit code."""
    set_document(arguments, document)
    if not arguments.json:
        by_fact = is_plain(arguments)
        print_parts(*(plain_table_lines(part) if by_fact and isinstance(part, Table) else part for part in parts))
    return code


def print_parts(*parts: Part) -> None:
    """Data for people on stdout: tables that fit the terminal; lines wrapped to it and cleaned."""
    for part in parts:
        if isinstance(part, Table):
            print_lines(table_lines(part.columns, part.rows, terminal_width(), part.whole))
        else:
            print_lines(part, wrapped=True)


def print_lines(lines: Iterable[str], wrapped: bool = False) -> None:
    """Data for people on stdout, cleaned; text after a newline inside of a line is indented below it."""
    width = terminal_width() if wrapped else None
    for line in lines:
        text = clean(line).replace("\n", "\n" + " " * HANGING_INDENT)
        for part in text.split("\n"):
            print("\n".join(wrap(part, width)) if width else part)


def table_lines(
    columns: Sequence[ValueColumn[Any]], rows: Sequence[Sequence[str]], width: int | None = None, whole: bool = False
) -> list[str]:
    """The table in lines of at most `width` cells. If its minimum is wider, or `whole` cells would be shortened, each
    row is a block of labeled lines."""
    cells = [[clean_line(cell) for cell in row] for row in rows]
    shown, widths = fit_columns(columns, cells, width)
    heads = [columns[at].title for at in shown]
    least = fit_columns(columns, cells, None)[1] if whole else widths
    if width is not None and _total(least) > width:
        return _row_blocks(columns, cells, width) if rows else [*wrap(GAP.join(heads), width), "  (none)"]
    lines = [_line(heads, widths, [False] * len(shown))]
    middles = [columns[at].middle for at in shown]
    lines += [_line([row[at] for at in shown], widths, middles) for row in cells]
    return lines if rows else [lines[0], "  (none)"]


def fit_columns(
    columns: Sequence[ValueColumn[Any]], cells: Sequence[Sequence[str]], width: int | None
) -> tuple[list[int], list[int]]:
    """The indices of the printed columns, and their widths: few are dropped, then the widest shortened."""
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


def _row_blocks(columns: Sequence[ValueColumn[Any]], cells: Sequence[Sequence[str]], width: int) -> list[str]:
    label = max(len(column.title) for column in columns)
    lines: list[str] = []
    for row in cells:
        facts = [(column.title, cell) for column, cell in zip(columns, row, strict=True) if cell not in NOTHING]
        lines += [""] if lines else []
        lines += [line for title, cell in facts for line in wrap(f"{title:<{label}}{GAP}{cell}", width)]
    return lines


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _shortened(full: list[int], least: list[int], width: int | None) -> list[int]:
    """Shortens the widest column cell by cell, until all fit or each has its minimum."""
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
    return GAP.join(set_cell_size(truncate(text, width, middle), width) for text, width, middle in parts).rstrip()


def truncate(text: str, width: int, middle: bool = False) -> str:
    """The text in at most `width` cells; `…` replaces its end or its middle."""
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
    """The line broken between words into lines of at most `width` cells; continuation lines are indented below its last
    column. A longer word, such as a path or a key, is not broken."""
    from rich.cells import cell_len

    if cell_len(line) <= width:
        return [line]
    hang = " " * _hang(line, width)
    parts = line[len(line) - len(line.lstrip()) :].split(" ")
    lines, now = [], line[: len(line) - len(line.lstrip())] + parts[0]
    for part in parts[1:]:
        if cell_len(now) + 1 + cell_len(part) > width and now.strip():
            lines.append(now.rstrip())
            now = hang[: max(0, width - cell_len(part))] + part
        else:
            now += " " + part
    return [*lines, now]


def _hang(line: str, width: int) -> int:
    start = len(line) - len(line.lstrip())
    label, gap, text = line[start:].partition(GAP)
    below = len(line) - len(text.lstrip()) if gap else 0
    return below if 0 < below <= width // 3 and " " not in label else min(start + HANGING_INDENT, width // 3)


def print_message(message: str) -> None:
    """Prints a message to stderr, never to stdout; behind what was printed before, also where both are one file."""
    sys.stdout.flush()
    width = terminal_width(sys.stderr)
    for line in clean(message).split("\n"):
        print("\n".join(wrap(line, width)) if width else line, file=sys.stderr)


def set_document(arguments: argparse.Namespace, value: Any) -> None:
    """Makes `value` the command's one JSON document; a later document replaces an earlier one. With --json it is
    printed at the end, with the error if there is one."""
    arguments.document = value


def print_document(value: Any) -> None:
    """One JSON document on stdout; control characters are escaped by JSON itself."""
    from console.engine.api.documents import json_text  # not loaded by commands that print no document

    print(json_text(value, indent=2))


def counted(items: Sized | int, noun: str) -> str:
    """ "1 system", "2,000 systems"."""
    number = items if isinstance(items, int) else len(items)
    return f"{number:,} {noun}{'s' * (number != 1)}"


PLAIN_ENV = "HEADWAY_PLAIN"
"""Environment variable: lines instead of the console at a terminal too, for screen readers."""

_LABELED = re.compile(r"\s*(?P<name>[a-z][a-z '-]{0,17}?) {2,}(?P<value>\S.*)")
"""A line whose label is separated by spaces only, which a screen reader does not read."""


_WIDE_GAP = re.compile(r"(?P<stop>[:;,]?) {2,}")
"""Spaces between two facts; after punctuation they separate nothing: "ERROR:  division by zero"."""


def _separator(match: re.Match[str]) -> str:
    return f"{match['stop']} " if match["stop"] else ", "


PLAIN = flag("--plain", f"print one `name: value` per line; or set {PLAIN_ENV}=1")


def is_plain(arguments: argparse.Namespace) -> bool:
    return getattr(arguments, "plain", False) or os.environ.get(PLAIN_ENV, "") not in ("", "0")


def print_page(arguments: argparse.Namespace, document: Any, *parts: Part, code: Exit = Exit.OK) -> Exit:
    """As `print_result`; with --plain labeled lines too are printed as `name: value`."""
    if is_plain(arguments):
        parts = tuple(part if isinstance(part, Table) else name_value_lines(part) for part in parts)
    return print_result(arguments, document, *parts, code=code)


def plain_table_lines(table: Table) -> Iterable[str]:
    """The facts of a single row line by line, of several rows a line for each row."""
    facts = [
        [
            f"{column.title}: {'none' if text in ('', '–') else text}"
            for column, text in zip(table.columns, row, strict=True)
        ]
        for row in table.rows
    ]
    return facts[0] if len(facts) == 1 else map(", ".join, facts)


def name_value_lines(lines: Iterable[str]) -> Iterator[str]:
    """The same facts without columns: `owner: data-platform`. Source text after "| " is unchanged."""
    for line in lines:
        match = None if line.lstrip().startswith("|") else _LABELED.fullmatch(line)
        text = f"{match['name']}: {'none' if match['value'] == '–' else match['value']}" if match else line.strip()
        yield text if text.startswith("|") else _WIDE_GAP.sub(_separator, text)


def write_page(text: str, where: str) -> None:
    """To stdout for "-", else into the file, whole or not at all. Raises CommandError."""
    if where == "-":
        sys.stdout.write(text)
        return
    from console.text.html_page import replace_file  # loads jinja2

    try:
        replace_file(Path(where), text)
    except OSError as error:
        raise CommandError(Exit.USAGE, f"--html {where}: {error.strerror}; nothing was written") from None
