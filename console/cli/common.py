"""What several commands need: where the store is, how things are printed, and how failures are told."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from console.clean import clean
from console.cli import wall
from console.cli.exits import Exit
from console.cli.table import print_lines, terminal_width, wrap
from console.cli.wall import cell_clock as cell_clock
from console.cli.wall import clock_words as clock_words
from console.cli.wall import day_words as day_words
from console.cli.wall import stamp as stamp
from console.control.stamps import since_words as since_words
from console.control.stamps import until as until
from console.durations import duration_words
from console.model.ids import LONGEST_ID
from console.paths import NoStore, config_path, known_store, store_url

if TYPE_CHECKING:
    from console.store.reads import Reads


JOB = "system/native-id, or the end of it that only one job has: load_orders"
"""How a job is named, for the help of commands."""
LONGEST_WAIT = 2_592_000
"""Seconds: 30 days."""


class Stop(Exception):
    """Ends a command with an exit code and one message on stderr; with --json also in `error` of its document."""

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code = code


def whole_number(text: str) -> int:
    """A count or an id as typed. Raises argparse's error for anything that no database can hold."""
    if not (text.isascii() and text.isdigit()) or len(text) > LONGEST_ID:
        raise argparse.ArgumentTypeError(f"{text[:40]!a} is no whole number from 0 on")
    return int(text)


def positive_number(text: str) -> int:
    """A count of rows as typed. Raises argparse's error for anything below 1 or that no database can hold."""
    if not (text.isascii() and text.isdigit()) or len(text) > LONGEST_ID or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text[:40]!a} is no whole number from 1 on")
    return int(text)


def business_date(text: str) -> str:
    """A date as typed. Raises argparse's error for what is none."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!a} is no date; write 2026-11-20") from None


def wait_seconds(text: str) -> float:
    """A time to wait as typed. Raises argparse's error for what is none: below 0, endless or no number."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found <= LONGEST_WAIT:
        raise argparse.ArgumentTypeError(f"{text[:40]!a} is no number of seconds from 0 to {LONGEST_WAIT}; write 90")
    return found


def store_of(arguments: argparse.Namespace) -> str:
    """The store that the command line means. Raises Stop."""
    try:
        if arguments.store:
            return known_store(str(arguments.store), "--store")
        return store_url(config_path(arguments.config))
    except NoStore as error:
        raise Stop(Exit.USAGE, str(error)) from None


def say(message: str) -> None:
    """Narration: stderr, never stdout."""
    width = terminal_width(sys.stderr)
    for line in clean(message).split("\n"):
        print("\n".join(wrap(line, width)) if width else line, file=sys.stderr)


def print_json(arguments: argparse.Namespace, value: Any) -> None:
    """Makes `value` the command's one JSON document. `main` prints it as the command ends, with the error if it is
    ended by one; a later document takes the place of an earlier one."""
    arguments.document = value


def write_document(value: Any) -> None:
    """One JSON document on stdout; control characters are escaped by JSON itself."""
    print(json.dumps(value, default=_plain, indent=2, ensure_ascii=True))


def failed_document(value: Any, code: Exit, message: str) -> dict[str, Any]:
    """What a command with --json prints where it ends without its answer: what it has, if that is an object, and the
    error, as docs/exit-codes.md says."""
    error = {"exit": int(code), "name": code.name, "message": clean(message)}
    return {**(value if isinstance(value, dict) else {}), "error": error}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    slots = getattr(value, "__dataclass_fields__", None)
    if slots is not None:
        return {name: getattr(value, name) for name in slots}
    return str(value)


def without_array_threads() -> None:
    """To be called before what computes with arrays is loaded: forecasts compute with small ones, of which threads only
    cost time. Who says otherwise in the environment has it so."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def say_lines(lines: Iterable[str]) -> None:
    """Data for people on stdout, cleaned; lines that are wider than the terminal go on below, set in."""
    print_lines(lines, wrapped=True)


def typed(question: str) -> str:
    """What a person at the terminal answers; nothing where they leave. The question goes to stderr: stdout is data."""
    return answer(question, "")


def answer(question: str, leaving: str) -> str:
    """`typed`; `leaving` for a person who ends the input, where Enter alone says yes."""
    width = terminal_width(sys.stderr)
    lines = [part for line in clean(question).split("\n") for part in (wrap(line, width - 1) if width else [line])]
    print("\n".join(lines), end="", file=sys.stderr, flush=True)
    try:
        return input().strip()
    except EOFError:
        return leaving


def agreed(question: str) -> bool:
    """Whether a person says yes; Enter alone is no."""
    return typed(f"{question} [y/N] ").lower() in ("y", "yes")


def confirmed(arguments: argparse.Namespace, question: str, nothing: str, verb: str) -> bool:
    """Whether a person says yes at the terminal, or has said so by --yes. Without a terminal the command stops:
    `nothing` was done, and how to `verb` all the same."""
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise Stop(Exit.USAGE, f"{nothing}: add --yes to {verb} without a terminal")
    return agreed(question)


@contextmanager
def reading(arguments: argparse.Namespace) -> Iterator[Reads]:
    """The store's reads. A missing store or name ends the command with one clear message."""
    from console.store.errors import NotFound, StoreError
    from console.store.reads import open_reads

    try:
        with open_reads(store_of(arguments)) as reads:
            wall.hang(reads.service_zones())
            yield reads
    except NotFound as error:
        raise Stop(Exit.NOT_FOUND, str(error)) from None
    except StoreError as error:
        raise Stop(Exit.USAGE, str(error)) from None


@contextmanager
def watched(arguments: argparse.Namespace) -> Iterator[Reads]:
    """`reading`; a line on stderr says how old everything is where no engine works."""
    with reading(arguments) as reads:
        engine = reads.header().engine
        if not engine.alive:
            say(f"headway: {age_words(engine.heartbeat, datetime.now(UTC), engine.stuck)}")
        yield reads


def age_words(heartbeat: datetime | None, now: datetime, stuck: str = "") -> str:
    """Since when nobody watches, by real time: neither the console nor a command must pass old news off as new."""
    if heartbeat is None and stuck:
        return f"nothing is watched: {stuck}"
    if heartbeat is None:
        return "no engine has ever worked on this store; start one: headway engine"
    since = f"nothing is watched since {stamp(heartbeat)}: {stuck}" if stuck else f"no engine since {stamp(heartbeat)}"
    return f"{since}; what follows is {duration_words((now - heartbeat).total_seconds())} old"


def count(things: Sized, word: str) -> str:
    """ "1 system", "2 systems"."""
    return f"{len(things)} {word}" if len(things) == 1 else f"{len(things)} {word}s"


def place_of(holder: str) -> str:
    """Who holds a lease, for people: "db-ops, process 4711" for "db-ops:4711~3f0a91"."""
    host, _, process = holder.rpartition(":")
    pid = process.partition("~")[0]
    return f"{host}, process {pid}" if host and pid.isdigit() else holder


def now_of(reads: Reads) -> datetime:
    """Now by the store's clock: real, or a replay's."""
    return reads.now()
