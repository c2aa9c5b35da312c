"""`headway gate JOB [-- COMMAND …]`: waits until the upstreams of a job are good, then runs the command."""

from __future__ import annotations

import argparse
import os
import re
import signal
import time
from datetime import date, timedelta
from typing import NoReturn

from console.cli.common import JOB, Stop, reading, say
from console.cli.exits import Exit
from console.control.gate import Standing, Verdict, business_date_of, judge
from console.durations import duration_words, parse_duration

LOOK_SECONDS = 2.0
UNKNOWN_SECONDS = 60.0
"""How long nobody can tell before `--if-unknown open` lets through: an engine that is restarted is soon back."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _period(text: str) -> str:
    try:
        if _DATE.fullmatch(text):
            date.fromisoformat(text)
    except ValueError:
        form = "a business date is YYYY-MM-DD, such as 2026-11-19"
        raise argparse.ArgumentTypeError(f"{text!a} is no date of the calendar; {form}") from None
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="JOB", help=f"the job that is about to run: {JOB}")
    parser.add_argument(
        "--for", dest="period", type=_period, default="", metavar="PERIOD", help="a business date or a period key"
    )
    parser.add_argument("--timeout", type=_duration, default=timedelta(minutes=45), help="wait so long (45m)")
    parser.add_argument("--fail-fast", action="store_true", help="a red upstream ends it at once: wait for no repair")
    parser.add_argument(
        "--if-unknown", choices=("closed", "open"), default="closed", help="where nobody can tell: closed (default)"
    )
    parser.usage = "headway gate [options] JOB [-- COMMAND ...]"
    parser.epilog = "COMMAND takes the place of this process when the gate opens; without it, the exit code tells."


def run(arguments: argparse.Namespace) -> int:
    """The exit code where there is no command, or it was not started; else the command takes over this process."""
    standing, words = _wait(arguments)
    opened = standing is Standing.SATISFIED
    if not opened and standing is Standing.UNKNOWN and arguments.if_unknown == "open":
        opened, words = True, f"{words}; opened all the same, as --if-unknown says"
    say(f"headway gate {arguments.name}: {'open' if opened else 'shut'}: {words}")
    if not opened:
        codes = {Standing.RED: Exit.RED, Standing.UNKNOWN: Exit.NO_ENGINE}
        return codes.get(standing, Exit.TIMEOUT)
    return _become(arguments.argv) if arguments.argv else Exit.OK


def _wait(arguments: argparse.Namespace) -> tuple[Standing, str]:
    """How the gate stands when it opens, or when the waiting is over; and why."""
    until = time.monotonic() + arguments.timeout.total_seconds()
    known_at = time.monotonic()
    while True:
        verdict = _look(arguments)
        now = time.monotonic()
        if verdict.standing is not Standing.UNKNOWN:
            known_at = now
        if verdict.standing is Standing.SATISFIED or (verdict.standing is Standing.RED and arguments.fail_fast):
            return verdict.standing, verdict.words
        if arguments.if_unknown == "open" and now - known_at >= UNKNOWN_SECONDS:
            return verdict.standing, verdict.words
        if now >= until:
            waited = duration_words(arguments.timeout.total_seconds())
            return verdict.standing, f"{verdict.words} after {waited}"
        time.sleep(min(LOOK_SECONDS, max(until - now, 0.05)))


def _look(arguments: argparse.Namespace) -> Verdict:
    """One look at the store. What cannot be read is not known. Raises Stop for a job or period that is not there."""
    period = arguments.period
    bd = period if _DATE.fullmatch(period) else ""
    try:
        with reading(arguments) as reads:
            view = reads.gate(arguments.name, "" if bd else period, bd)
            if not view.bd:
                zone, cutoff = reads.gate_zone(view.job_id)
                view = reads.gate(arguments.name, "", business_date_of(reads.now(), zone, cutoff))
            return judge(view, reads.engine().alive, reads.now(), reads.declared())
    except Stop as stop:
        if stop.code is Exit.NOT_FOUND:
            raise
        return Verdict(Standing.UNKNOWN, str(stop))


def _become(argv: list[str]) -> NoReturn:
    """The command in the place of this process: its own words, no shell, the same streams, signals as a shell gives."""
    ours = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGPIPE, signal.SIGXFSZ)}
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - without a shell is what is wanted
    except OSError as error:
        for number, handler in ours.items():
            signal.signal(number, handler)
        raise Stop(Exit.USAGE, f"{argv[0]} cannot be started: {error.strerror}") from None
