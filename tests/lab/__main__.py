"""`make lab`: the real estate with a night's worth of trouble in a few minutes, and the console on it.

extract_orders fails and affects what follows · import_prices works · rebuild_index hangs · archive_invoices loses its
crontab line and is missed · Airflow, pg_cron and Step Functions have neighbours of each sort. Leaving the console
(or Ctrl-C) takes everything down again.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

from tests.lab.estate import Estate, running_estate
from tests.lab.headway import COMMAND, Headway
from tests.lab.headway_config import SYSTEMS, Options
from tests.lab.jobs import Story, cron_of, next_minute
from tests.lab.needs import what_is_missing
from tests.lab.process import LabError

ROWS_OF_JOBS = {"import_prices": "*/2 * * * *", "rebuild_index": "*/10 * * * *"}
NEIGHBOURS = {"rotate_archive": "*/3 * * * *"}


class Director:
    """Makes the trouble happen, each piece at its minute, on a thread of its own."""

    def __init__(self, estate: Estate, with_airflow: bool) -> None:
        self.story = Story(estate, with_airflow)
        self.first = datetime.now(UTC)
        """When extract_orders fails."""
        self.finished = threading.Event()

    def prepare(self) -> None:
        """Sets the switches and schedules everything from the next full minute on that leaves Headway time to look."""
        story = self.story
        if story.with_airflow:
            story.estate.airflow.wait_ready()
        self.first = next_minute(timedelta(seconds=30))
        later = self.first + timedelta(minutes=2)
        story.cron.behave("extract_orders", "fail")
        story.cron.behave("rebuild_index", "hang")
        story.cron.schedule({"extract_orders": cron_of(self.first), **ROWS_OF_JOBS}, wrapped=True)
        story.other_cron.schedule({"archive_invoices": cron_of(later), **NEIGHBOURS})
        story.database.schedule("refresh_revenue", cron_of(later))
        story.database.schedule("vacuum_stage", "*/2 * * * *")
        story.database.behave("check_totals", "fail")
        story.database.schedule("check_totals", "*/5 * * * *")
        if story.with_airflow:
            story.estate.airflow.schedule("load_orders", cron_of(later))
            story.estate.airflow.schedule("stock_count", "*/5 * * * *")

    def run(self) -> None:
        """Does what no scheduler of the lab does by itself: executions, and the crontab line that goes away."""
        self.story.machines.behave("hang", "count_stock")
        self.story.machines.execute("stock-1", "count_stock")
        self._at(self.first + timedelta(seconds=30), lambda: self.story.other_cron.schedule(NEIGHBOURS))
        self._at(self.first + timedelta(minutes=2), lambda: self.story.machines.execute("orders-1"))

    def _at(self, instant: datetime, act: Callable[[], object]) -> None:
        if not self.finished.wait(max(0.0, (instant - datetime.now(UTC)).total_seconds())):
            act()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def open_console(headway: Headway) -> int:
    """The console in the foreground; it gets Ctrl-C itself, we wait for its end."""
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        environment = {**os.environ, **headway.environment, "TERM": os.environ.get("TERM", "xterm-256color")}
        argv = [str(COMMAND), "--config", str(headway.config), "console", "--no-engine"]
        return subprocess.call(argv, env=environment, cwd=headway.home)
    finally:
        signal.signal(signal.SIGINT, old)


def leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def run_lab(console: bool, with_airflow: bool) -> int:
    """Starts everything, shows it, ends it. The console's exit status."""
    with running_estate() as estate:
        say("starting cron hosts, PostgreSQL, moto, mail and web hook …")
        if with_airflow:
            say("Airflow follows in the background …")
            estate.airflow  # noqa: B018  reading it starts it
        director = Director(estate, with_airflow)
        systems = [system for system in SYSTEMS if with_airflow or system != "warehouse-airflow"]
        config = estate.write_config(estate.folder / "headway", Options(systems=systems, poll_every="3s"))
        headway = Headway(config)
        director.prepare()
        with headway.running_engine() as engine:
            threading.Thread(target=director.run, daemon=True).start()
            say(f"config: {config}\nengine log: {engine.log}\nextract_orders fails at {director.first:%H:%M} UTC")
            try:
                return open_console(headway) if console else wait_for_the_end(config)
            finally:
                director.finished.set()


def wait_for_the_end(config: Path) -> int:
    say(f"no terminal: try  headway --config {config} status   (Ctrl-C ends the lab)")
    threading.Event().wait()
    return 0


def main() -> int:
    """Exit status: the console's; 1 where the lab cannot start."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("--no-console", action="store_true", help="only run the estate and its engine until Ctrl-C")
    parser.add_argument(
        "--without-airflow", action="store_true", help="leave out the part that takes a minute to start"
    )
    arguments = parser.parse_args()
    missing = what_is_missing()
    if missing is not None:
        say(missing)
        return 1
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    try:
        return run_lab(sys.stdout.isatty() and not arguments.no_console, not arguments.without_airflow)
    except KeyboardInterrupt:
        return 130
    except LabError as error:
        say(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
