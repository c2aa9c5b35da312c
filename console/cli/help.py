"""`headway help TOPIC`: filters, times, exit codes and symbols, from the tables that the code itself uses."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from difflib import get_close_matches

from console.cli.arguments import TIME_FORMS
from console.cli.commands import JSON, Handler, option
from console.cli.exits import MEANING, CommandError, Exit
from console.cli.output import Table, TableColumn, print_result
from console.domain.filter import FILTER_FIELDS
from console.tui.frame.glyphs import legend

Rows = list[tuple[str, ...]]


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
        raise CommandError(
            Exit.NOT_FOUND, f"no topic {arguments.topic[:40]!a}; {hint} (for a command: headway COMMAND --help)"
        )
    headings = HEADINGS[arguments.topic]
    title, rows = TOPICS[arguments.topic]()
    columns = tuple(TableColumn(heading, 24 if heading == headings[-1] else len(heading)) for heading in headings)
    document = [dict(zip(headings, row, strict=True)) for row in rows]
    return print_result(arguments, document, [title, ""], Table(columns, rows))


HANDLERS = {"help": Handler(run_help, option("topic", f"{', '.join(TOPICS)}", "TOPIC", nargs="?"), JSON)}
