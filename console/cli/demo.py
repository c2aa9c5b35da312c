"""`headway demo`: a recorded night of a mixed estate in the console, at many times its speed. No network is needed.

A failure at 03:12 is about to cost two services. Without a terminal it plays to the first alert and prints what it saw.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from console.cli import wall
from console.cli.common import Stop, say, say_lines
from console.cli.console import add_looks, take_looks
from console.cli.exits import Exit

if TYPE_CHECKING:
    from console.demo.play import Play
    from console.store.open import Store

RATE = 20.0
"""Twenty times real time: the 47 minutes from the failure to the last restart that saves it are two and a half."""
FAST = 240.0
"""Without a terminal nobody watches the time pass."""
BEGINNING = "03:11"
FAILURE = "03:12"
PATIENCE_SECONDS = 90.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rate", type=float, default=None, metavar="N", help=f"times real time (default {RATE:g})")
    parser.add_argument("--at", default=BEGINNING, metavar="HH:MM", help=f"where it begins (default {BEGINNING})")
    parser.add_argument("--keep", action="store_true", help="keep the private folder and say where it is")
    parser.add_argument("--no-screen", action="store_true", help="print board and incident instead of the console")
    parser.add_argument("--no-tour", action="store_true", help="the console alone, without its guided tour")
    add_looks(parser)


def run(arguments: argparse.Namespace) -> int:
    """Plays the night; everything it made is gone afterwards, unless --keep."""
    seen = sys.stdin.isatty() and sys.stdout.isatty() and not arguments.no_screen
    rate = arguments.rate if arguments.rate is not None else (RATE if seen else FAST)
    origin = _origin(arguments.at, rate)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    with _folder(arguments.keep) as folder, _playing(folder, origin, rate) as (play, go):
        if not seen:
            go()
            return _print_story(play, _until_failure(origin, rate))
        from console.tui.app import run_console
        from console.tui.tour import Tour

        take_looks(arguments)
        tour = None if arguments.no_tour else Tour(time.monotonic)
        in_utc = getattr(arguments, "utc", False)
        return run_console(str(play.store), ascii_only=arguments.ascii, tour=tour, in_utc=in_utc, after_first_paint=go)


_told: list[int] = []
"""The signal that ends the demo, once it came."""


def _leave(number: int, _: object) -> None:
    """Ends the demo. Where a library swallows the exit, the next look of `_wait` ends it."""
    _told.append(number)
    sys.exit(128 + number)


def _origin(clock: str, rate: float) -> datetime:
    from console.demo.estate import moment

    if not 0 < rate <= 10_000:
        raise Stop(Exit.USAGE, f"--rate {rate:g} is no speed; give a number above 0, at most 10000")
    try:
        return moment(clock)
    except ValueError:
        raise Stop(Exit.USAGE, f'--at "{clock}" is no time of day; write 03:11') from None


def _until_failure(origin: datetime, rate: float) -> float:
    """Real seconds until the story's failure."""
    from console.demo.estate import moment

    return max(0.0, (moment(FAILURE) - origin).total_seconds() / rate)


@contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="headway-demo-"))
    try:
        yield folder
    finally:
        if keep:
            say(f"kept: headway --config {folder / 'headway.toml'} services")
        else:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _playing(folder: Path, origin: datetime, rate: float) -> Iterator[tuple[Play, Callable[[], None]]]:
    """The engine at work on the night, its history read; and what sets its clock going, once somebody looks."""
    from console.demo import play as plays
    from console.demo.config import SINK

    play = plays.Play(folder)
    with plays.listener() as url:
        os.environ[SINK] = url
        store = plays.set_up(play, origin, rate)
        engine = _start_engine(play)
        try:
            _read_history(play, store, engine, origin)
            yield play, lambda: plays.go(play, store, origin, rate)
        finally:
            _end(engine)
            store.close()


def _start_engine(play: Play) -> subprocess.Popen[bytes]:
    from console.cli.detached import start_with_us

    return start_with_us(str(play.store), play.config, play.log)


def _read_history(play: Play, store: Store, engine: subprocess.Popen[bytes], origin: datetime) -> None:
    from console.demo import play as plays

    whole = plays.history(play, origin)

    def progress() -> bool:
        read = plays.read_so_far(store)
        _progress(f"reading back sixty nights: {read:,} of {whole:,} runs")
        return read >= whole and plays.judged(store)

    _wait(progress, play, engine, "the history was not read")
    _progress("")


def _progress(words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{words}", end="", file=sys.stderr, flush=True)


def _print_story(play: Play, ahead_seconds: float) -> int:
    """Waits for the incident and its alert, then prints the board and the incident."""
    from console.cli.incident import incident_lines
    from console.cli.services import service_rows
    from console.cli.table import print_table
    from console.store.reads import open_reads

    with open_reads(str(play.store)) as reads:

        def told() -> bool:
            found = reads.incidents()
            return bool(found) and any(one.sent for one in reads.incident(found[0].id).deliveries)

        _wait(told, play, None, "no alert was sent", PATIENCE_SECONDS + ahead_seconds)
        now = reads.now()
        wall.hang(reads.service_zones())
        print_table(*service_rows(reads.services(), now))
        say_lines([""])
        for row in reads.incidents():
            say_lines(incident_lines(reads.incident(row.id), now))
    return Exit.OK


def _wait(
    done: Callable[[], bool],
    play: Play,
    engine: subprocess.Popen[bytes] | None,
    otherwise: str,
    patience_seconds: float = PATIENCE_SECONDS,
) -> None:
    """Returns when `done`. Raises Stop, with the end of the engine's log, when it ends or takes too long."""
    until = time.monotonic() + patience_seconds
    while not done():
        if _told:
            sys.exit(128 + _told[0])
        ended = engine is not None and engine.poll() is not None
        if ended or (time.monotonic() > until and not done()):  # a stopped terminal may have kept the look before
            tail = play.log.read_text(errors="replace").splitlines()[-3:] if play.log.exists() else []
            why = "the engine ended" if ended else f"{patience_seconds:.0f} s have passed"
            raise Stop(Exit.PROBLEM, "\n".join([f"{otherwise}: {why}", *tail]))
        time.sleep(0.05)


def _end(engine: subprocess.Popen[bytes]) -> None:
    engine.terminate()
    try:
        engine.wait(8)
    except subprocess.TimeoutExpired:
        engine.kill()
        engine.wait(2)
