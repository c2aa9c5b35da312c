"""`headway review SERVICE`: what was written down against what is observed, the worst gaps first."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from console.cli.common import print_json, say_lines, store_of, watched
from console.cli.exits import Exit
from console.cli.table import Col, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from console.control.review import Gap

COLUMNS = (
    Col("level"), Col("about", 16, middle=True), Col("what"), Col("written", 10, drop=1), Col("observed", 20),
    Col("mend", 16, drop=2),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="SERVICE")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    from console.engine.explain import review_service

    with watched(arguments) as reads:
        view = reads.service(arguments.name)  # its near misses, before the heavy libraries are loaded
    gaps = review_service(store_of(arguments), view.name)
    if arguments.json:
        print_json(arguments, {"service": view.name, "gaps": gaps})
    elif gaps:
        rows = [(one.level, one.about, one.what, one.written, one.observed, one.mend) for one in gaps]
        print_table(COLUMNS, rows, whole=True)
        say_lines(["", f"{view.title}: {summary(gaps)}"])
    else:
        say_lines([f"{view.title}: what is written down is what is observed"])
    return Exit.PROBLEM if any(one.level == "high" for one in gaps) else Exit.OK


def summary(gaps: Sequence[Gap]) -> str:
    """ "2 high, 1 medium"."""
    levels = list(dict.fromkeys(one.level for one in gaps))
    return ", ".join(f"{sum(one.level == level for one in gaps)} {level}" for level in levels)
