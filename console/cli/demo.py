"""The demo: a recorded night of a mixed estate, replayed in the console at many times its speed.

No network is needed. Without a terminal it goes to the first alert at once and prints what happened.
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

from console.cli import clock_format
from console.cli.commands import Handler, flag, option
from console.cli.console import TERMINAL_OPTIONS, apply_terminal_options
from console.cli.exits import CommandError, Exit
from console.cli.output import print_message, print_parts

if TYPE_CHECKING:
    from console.demo.playback import DemoClock, DemoPlayback
    from console.store.db.database import Database

RATE = 20.0
"""Twenty times real time: the 47 minutes from the failure to the act-by time take two and a half."""
DEMO_BEGIN = "03:11"
AFTER_FAILURE = "03:14"
"""The failure of 03:12 has been reported by then. Without a terminal the clock begins there: a clock that is played
fast passes the act-by time before a busy machine has evaluated anything."""
DEMO_TIMEOUT_SECONDS = 90.0


def run_demo(arguments: argparse.Namespace) -> int:
    """Plays the night; deletes its folder at the end, unless --keep."""
    from console.demo.playback import moment

    is_shown = sys.stdin.isatty() and sys.stdout.isatty() and not arguments.no_screen
    rate = arguments.rate if arguments.rate is not None else RATE
    origin = _origin(arguments.at, rate)
    if not is_shown:
        origin = max(origin, moment(AFTER_FAILURE))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit_on_signal)
    with _demo_folder(arguments.keep) as folder, _demo_engine(folder, origin, rate) as (play, clock):
        if not is_shown:
            clock.start()
            return _print_story(play)
        from console.tui.app.start import run_console
        from console.tui.frame.tour import GuidedTour

        apply_terminal_options(arguments)
        tour = None if arguments.no_tour else GuidedTour(time.monotonic)
        in_utc = getattr(arguments, "utc", False)
        return run_console(
            str(play.store),
            ascii_only=arguments.ascii,
            tour=tour,
            set_clock_waiting=clock.set_waiting,
            in_utc=in_utc,
            after_first_paint=clock.start,
        )


_received_signals: list[int] = []
"""The signal that ends the demo, once it came."""


def _exit_on_signal(number: int, _: object) -> None:
    _received_signals.append(number)
    sys.exit(128 + number)


def _origin(clock: str, rate: float) -> datetime:
    from console.demo.playback import moment

    if not 0 < rate <= 10_000:
        raise CommandError(Exit.USAGE, f"--rate {rate:g} is out of range; use a number above 0, at most 10000")
    try:
        return moment(clock)
    except ValueError:
        raise CommandError(Exit.USAGE, f'--at "{clock}" is not a time of day; write 03:11') from None


@contextmanager
def _demo_folder(keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="headway-demo-"))
    try:
        yield folder
    finally:
        if keep:
            print_message(f"kept: headway --config {folder / 'headway.toml'} service")
        else:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _demo_engine(folder: Path, origin: datetime, rate: float) -> Iterator[tuple[DemoPlayback, DemoClock]]:
    """The engine on the recorded night, its history read; and its clock, not yet started."""
    from console.cli.engine_process import running_engine
    from console.demo import playback as plays
    from console.demo.playback import SINK

    play = plays.DemoPlayback(folder)
    with plays.listener() as url:
        os.environ[SINK] = url
        store = plays.set_up(play, origin, rate)
        try:
            with running_engine(str(play.store), play.config, play.log) as engine:
                _read_history(play, store, engine, origin)
                yield play, plays.DemoClock(play, store, origin, rate)
        finally:
            store.close()


def _read_history(play: DemoPlayback, store: Database, engine: subprocess.Popen[bytes], origin: datetime) -> None:
    from console.demo import playback as plays

    total = plays.attempts_recorded(play, origin)

    def show(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    def is_read() -> bool:
        read = plays.attempts_read(store)
        show(f"reading sixty nights of history: {read:,} of {total:,} runs")
        return read >= total and plays.is_evaluated(store)

    _wait(is_read, play, engine, "reading the history failed")
    show("")


def _print_story(play: DemoPlayback) -> int:
    from console.cli.incidents import incident_lines
    from console.cli.services import service_table
    from console.store.queries import open_queries

    with open_queries(str(play.store)) as reads:

        def is_notified() -> bool:
            incidents = reads.incidents.list_incidents()
            return bool(incidents) and any(
                delivery.sent for delivery in reads.incidents.incident(incidents[0].id).deliveries
            )

        _wait(is_notified, play, None, "no alert was sent")
        now = reads.now()
        clock_format.share_service_zone(reads.service_zones())
        incidents = [reads.incidents.incident(row.id) for row in reads.incidents.list_incidents()]
        print_parts(service_table(reads.services.list_services(), now), [""])
        print_parts(*(incident_lines(incident, now) for incident in incidents))
    return Exit.OK


def _wait(
    is_done: Callable[[], bool],
    play: DemoPlayback,
    engine: subprocess.Popen[bytes] | None,
    failure: str,
    timeout_seconds: float = DEMO_TIMEOUT_SECONDS,
) -> None:
    """Returns when `is_done`. Raises CommandError, with the end of the engine's log, when it ends or takes too long."""
    until = time.monotonic() + timeout_seconds
    while not is_done():
        if _received_signals:
            sys.exit(128 + _received_signals[0])
        has_ended = engine is not None and engine.poll() is not None
        if has_ended or (time.monotonic() > until and not is_done()):  # a stopped terminal may have delayed the check
            tail = play.log.read_text(errors="replace").splitlines()[-3:] if play.log.exists() else []
            reason = "the engine ended" if has_ended else f"{timeout_seconds:.0f} s have passed"
            raise CommandError(Exit.PROBLEM, "\n".join([f"{failure}: {reason}", *tail]))
        time.sleep(0.05)


HANDLERS = {
    "demo": Handler(
        run_demo,
        option("--rate", f"playback speed, as a multiple of real time ({RATE:g})", "N", type=float),
        option("--at", f"time of the recorded night to start at ({DEMO_BEGIN})", "HH:MM", default=DEMO_BEGIN),
        flag("--keep", "keep the temporary folder and print its path"),
        flag("--no-screen", "print services and incident instead of opening the console"),
        flag("--no-tour", "open the console without the guided tour"),
        *TERMINAL_OPTIONS,
    )
}
