"""`headway help TOPIC`: filters, times, exit codes and symbols, from the tables that the code itself uses."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches

from console.cli.arguments import TIME_FORMS
from console.cli.commands import COMMANDS, JSON, Handler, option
from console.cli.exits import MEANING, CommandError, Exit
from console.cli.output import GAP, print_result, terminal_width, wrap
from console.domain.filter import FILTER_FIELDS
from console.tui.frame.glyphs import legend

Rows = list[tuple[str, ...]]
MAX_WIDTH = 1000
"""Without a terminal a line is not wrapped."""
MIN_TEXT_WIDTH = 24


def _filters() -> tuple[str, Rows]:
    plain = ("extract, ~xord", "the name contains it, or its letters in that order; several words must all match")
    without = ("-state:succeeded", "excludes what `state:succeeded` matches")
    title = "filters of headway job list, headway run and / in the console"
    return title, [plain, *((f"{field}:", text) for field, text in FILTER_FIELDS.items()), without]


def _times() -> tuple[str, Rows]:
    return "times on the command line; without --utc they are printed in the zone of the services", [
        (", ".join(examples), meaning) for examples, meaning, _ in TIME_FORMS
    ]


def _exit_codes() -> tuple[str, Rows]:
    plain = {code: re.sub(r"[`*]", "", MEANING[code]) for code in Exit}
    return "exit codes of every command", [(str(code.value), code.name, plain[code]) for code in Exit]


def _symbols() -> tuple[str, Rows]:
    rows: Rows = [(column, mark.glyph, mark.letter, mark.meaning) for column, mark in legend()]
    return "symbols of the console, and their letters with --ascii", rows


TOPICS: dict[str, Callable[[], tuple[str, Rows]]] = {
    "filters": _filters,
    "times": _times,
    "exit-codes": _exit_codes,
    "symbols": _symbols,
}
HEADINGS = {
    "filters": ("filter", "matches"),
    "times": ("form", "meaning"),
    "exit-codes": ("code", "name", "meaning"),
    "symbols": ("of", "symbol", "letter", "meaning"),
}


def run_help(arguments: argparse.Namespace) -> int:
    if arguments.topic is None:
        lines = [f"  headway help {topic:<11} {build()[0]}" for topic, build in TOPICS.items()]
        return print_result(arguments, list(TOPICS), [*lines, "", "headway --help lists the commands."])
    if arguments.topic not in TOPICS:
        near = get_close_matches(arguments.topic, TOPICS, 1)
        hint = f"did you mean {near[0]}?" if near else f"topics: {', '.join(TOPICS)}"
        command = arguments.topic if arguments.topic in COMMANDS else "COMMAND"
        raise CommandError(
            Exit.NOT_FOUND, f"no topic {arguments.topic[:40]!a}; {hint} (for a command: headway {command} --help)"
        )
    headings = HEADINGS[arguments.topic]
    title, rows = TOPICS[arguments.topic]()
    document = [dict(zip(headings, row, strict=True)) for row in rows]
    return print_result(arguments, document, [title, "", *_lines([headings, *rows])])


def _lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows in columns; each part of the last cell is a line, which is wrapped and never shortened."""
    from rich.cells import cell_len, set_cell_size

    widths = [max(cell_len(row[at]) for row in rows) for at in range(len(rows[0]) - 1)]
    width = max((terminal_width() or MAX_WIDTH) - sum(widths) - len(GAP) * len(widths), MIN_TEXT_WIDTH)
    for *cells, text in rows:
        lead = "".join(set_cell_size(cell, size) + GAP for cell, size in zip(cells, widths, strict=True))
        for part in re.split(r"(?<=[.;]) ", text):
            for line in wrap(part, width):
                yield lead + line
                lead = " " * cell_len(lead)


HANDLERS = {"help": Handler(run_help, option("topic", f"{', '.join(TOPICS)}", "TOPIC", nargs="?"), JSON)}
