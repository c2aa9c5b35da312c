"""`--plain`: one fact a line as `name: value`, for who listens to a page instead of looking at it."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Iterator, Sequence

from console.cli.common import say_lines
from console.cli.console import PLAIN
from console.cli.table import Col, print_table

_LABELLED = re.compile(r"\s*(?P<name>[a-z][a-z '-]{0,17}?) {2,}(?P<value>\S.*)")
"""A line whose name is set apart by room: what an eye sees as a column and an ear does not."""


_WIDE = re.compile(r"(?P<stop>[:;,]?) {2,}")
"""Room between two facts; behind a stop it is only room: "ERROR:  division by zero"."""


def _apart(found: re.Match[str]) -> str:
    return f"{found['stop']} " if found["stop"] else ", "


def add_plain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plain", action="store_true", help=f"a fact a line, name: value; {PLAIN}=1 says it for good")


def is_plain(arguments: argparse.Namespace) -> bool:
    return bool(arguments.plain) or os.environ.get(PLAIN, "") not in ("", "0")


def tell(arguments: argparse.Namespace, lines: Iterable[str]) -> None:
    """A page's lines, as they are or as `name: value`."""
    say_lines(named(lines) if is_plain(arguments) else lines)


def tell_table(arguments: argparse.Namespace, columns: Sequence[Col], rows: Sequence[Sequence[str]]) -> None:
    """A page's table: in words a line for each fact of its only row, else a line for each row."""
    if not is_plain(arguments):
        print_table(columns, rows)
        return
    facts = [
        [f"{column.title}: {'none' if text in ('', '–') else text}" for column, text in zip(columns, row, strict=True)]
        for row in rows
    ]
    say_lines(facts[0] if len(facts) == 1 else map(", ".join, facts))


def named(lines: Iterable[str]) -> Iterator[str]:
    """The same facts without columns: `owner: data-platform`. What a source said, behind "| ", stays as it is."""
    for line in lines:
        found = None if line.lstrip().startswith("|") else _LABELLED.fullmatch(line)
        text = f"{found['name']}: {'none' if found['value'] == '–' else found['value']}" if found else line.strip()
        yield text if text.startswith("|") else _WIDE.sub(_apart, text)
