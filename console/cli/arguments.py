"""Values as people type them on a command line: numbers, dates, durations, filters and saved views."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from console.cli.clock_format import display_zone
from console.cli.commands import Argument, option
from console.cli.exits import CommandError, Exit
from console.config.saved_views import SavedView
from console.domain.filter import FILTER_FIELDS, FilterError, JobFilter, argument_terms, parse_terms
from console.domain.ids import MAX_ID_DIGITS
from console.timing.durations import parse_duration, time_of_day

if TYPE_CHECKING:
    from console.store.queries import Queries

JOB_HELP = "system/native-id, or a unique suffix: load_orders"
"""How a job is named, for the help of commands."""
FILTER = option(
    "filter",
    f"words of the job name, !word or !field:value to exclude, ~word fuzzy; {'; '.join(FILTER_FIELDS.values())}",
    nargs="*",
)
VIEW = option("--view", "saved view, your own or from the config", "NAME")
MAX_WAIT_SECONDS = 2_592_000
"""Seconds: 30 days."""


def whole_number(text: str) -> int:
    """A count or an id as typed. Raises argparse's error for anything that no database can hold."""
    if not (text.isascii() and text.isdigit()) or len(text) > MAX_ID_DIGITS:
        raise argparse.ArgumentTypeError(f"{text[:40]!a} is not a whole number of at least 0")
    return int(text)


def positive_number(text: str) -> int:
    """A count of rows as typed. Raises argparse's error for anything below 1 or that no database can hold."""
    if not (text.isascii() and text.isdigit()) or len(text) > MAX_ID_DIGITS or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text[:40]!a} is not a whole number of at least 1")
    return int(text)


def business_date(text: str) -> str:
    """A date as typed. Raises argparse's error for an invalid one."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!a} is not a date; write 2026-11-20") from None


def wait_seconds(text: str) -> float:
    """A time to wait as typed. Raises argparse's error for a value that is negative, endless or not a number."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MAX_WAIT_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!a} is not a number of seconds from 0 to {MAX_WAIT_SECONDS}; write 90"
        )
    return seconds


def timeout(help: str, seconds: float) -> Argument:
    """`--timeout SECONDS`, with this default."""
    return option("--timeout", f"{help} ({seconds:g})", "SECONDS", type=wait_seconds, default=seconds)


def duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def instant_with_zone(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text[:40]}" is not a time; write 2026-11-21T02:00Z') from None
    if instant.tzinfo is None:
        time = instant.isoformat(timespec="minutes")
        raise argparse.ArgumentTypeError(f'"{text[:40]}" has no time zone; write {time}Z or {time}+01:00')
    return instant


TIME_FORMS: tuple[tuple[tuple[str, ...], str, Callable[[str], object]], ...] = (
    (("15s", "14m", "8h", "1h30m", "2d"), "a duration: --for, --since, gate --timeout", duration),
    (("22:00",), "a time of day (HH:MM): --at, service extend --until, incident handover --since", time_of_day),
    (("2026-11-20",), "a date: --date, --from, --to", business_date),
    (
        ("2026-11-21T02:00Z", "2026-11-21T03:00+01:00"),
        "a time with its zone: oncall --at",
        instant_with_zone,
    ),
)
"""Examples, meaning and parser of each form of time."""


def saved_view(table: str, name: str | None, reads: Queries) -> SavedView:
    """The named view, or one without a filter. Raises CommandError."""
    if name is None:
        return SavedView("", table)
    from console.config.preferences import (  # not loaded where Tab asks only for the command's options
        UnknownView,
        find_view,
    )

    try:
        return find_view(table, name, reads.estate.header().console)
    except UnknownView as error:
        raise CommandError(Exit.USAGE, str(error)) from None


def refuse_unknown_fields(terms: Sequence[str], reads: Queries) -> None:
    """Raises CommandError for a term `word:value` that is neither a field nor part of any job's name."""
    from console.engine.api.documents import unknown_field_fault  # not loaded by completion

    if fault := unknown_field_fault(terms, reads):
        raise CommandError(Exit.USAGE, fault)


def job_filter(terms: Sequence[str], now: datetime, only_problems: bool = False) -> JobFilter:
    """The filter as typed; times of day are in the display zone. Raises CommandError."""
    arguments = [argument for term in terms for argument in argument_terms(term)]
    try:
        return parse_terms(arguments, now, display_zone() or now.astimezone().tzinfo or UTC, only_problems)
    except FilterError as error:
        raise CommandError(Exit.USAGE, error.text('"{}" in the filter is invalid:')) from None
