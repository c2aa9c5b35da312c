"""`headway backup FILE`: a checked copy of the store while it is in use."""

from __future__ import annotations

import argparse
from pathlib import Path

from console.cli.common import Stop, print_json, say, say_lines, stamp, store_of
from console.cli.exits import Exit
from console.store.backup import Copied, back_up
from console.store.reads.link import POSTGRES_URLS

POSTGRES = (
    "a store on PostgreSQL is copied by PostgreSQL's own means, which know its rights and replicas: "
    "pg_dump --format=custom, pg_restore; or base backups with the archived log"
)

EVIDENCE = (
    "the audit of this store does not hold: {}. The copy is made, as evidence: keep it; it is no copy to restore. "
    "See: headway audit verify"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="where the copy goes; mode 0600")
    parser.add_argument("--replace", action="store_true", help="replace a file of that name")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    found = back_up(file_of(arguments), arguments.file, arguments.replace)
    if arguments.json:
        print_json(arguments, found)
    else:
        say_lines([f"{arguments.file}: {words(found)}"])
    if found.broken:
        say(f"headway: {EVIDENCE.format(found.broken)}")
    return Exit.PROBLEM if found.broken else Exit.OK


def file_of(arguments: argparse.Namespace) -> Path:
    """The file of the store that is meant. Raises Stop for one on PostgreSQL."""
    url = store_of(arguments)
    if url.startswith(POSTGRES_URLS):
        raise Stop(Exit.REFUSED, POSTGRES)
    return Path(url.removeprefix("sqlite:///")).expanduser()


def words(found: Copied) -> str:
    """What a copy holds: "12 jobs, 1,000 runs, seen until …; audit of 4 rows, whole, head 8c1f…"."""
    seen = f"seen until {stamp(found.newest)}" if found.newest else "nothing seen yet"
    if found.broken:
        return f"{found.jobs:,} jobs, {found.runs:,} runs, {seen}; its audit does NOT HOLD: {found.broken}"
    head = f", head {found.audit}:{found.head}" if found.head else ""
    return f"{found.jobs:,} jobs, {found.runs:,} runs, {seen}; whole; audit of {found.audit:,} rows, whole{head}"
