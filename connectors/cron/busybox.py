"""Where crond of busybox differs from Debian's cron. Pure.

Measured on 1.35: users' crontabs only, each owned by root; a line ends at a `#`; a `%` is a plain character; of the
variables only SHELL counts (and MAILTO); a field that it cannot read is reported once, as "parse error", and counts as
`*`, 7 as a day of the week too; a line that still runs is not started again. Its log has the start of a job, with the
job's own pid, and nothing of its end.
"""

from __future__ import annotations

import re

from connectors.cron.expressions import (
    FIELDS,
    REBOOT,
    TimeField,
    TimeFieldError,
    is_plain,
    numbers,
    split_fields,
)
from connectors.sdk.cron_syntax import MONTHS, NICKNAMES
from connectors.sdk.fields import masked_head

STARTED = re.compile(r"USER (\S+) pid +(\d{1,10}) cmd (.*)", re.DOTALL)
NOT_TAKEN = ("process already running: ", "parse error at ")
OWN_FILE = re.compile(r"-[bfS]*L[\0/]")
"""Of the daemon's command line: it writes a log of its own. A shell that drops NUL bytes joins its options."""
USED_SETTINGS = ("SHELL", "HEADWAY_SHELL")
CRASHES = "CRON_TZ"
NO_TIME = (
    "crond writes to a file of its own (-L), whose lines have no time: no start is proved. "
    "Start it without -L (it then writes to syslog, as with -S)"
)
NO_NUMBER = "3-2"
"""A field of no number in Debian's syntax: a range that runs backwards, in every field."""
LEFT_OUT = "crond of busybox leaves this line out"
MAY_CRASH = "crond of busybox 1.35 crashes on it"
BUSYBOX_ITEM = re.compile(r"(?:(\*)|(\d+|[a-z]{3})(?:(-)(\d+|[a-z]{3})?)?)(?:(/)(\d*))?", re.IGNORECASE | re.ASCII)


def busybox_numbers(text: str, field: TimeField) -> tuple[frozenset[int], bool]:
    """The numbers that crond of busybox takes of a field, and whether it reads all of it: ParseField of crond.c. A
    range that runs backwards goes on at the lowest number; one that never meets its end takes every number."""
    low, high = _busybox_bounds(field)
    size = high - low + 1
    taken: set[int] = set()
    at = 0
    while True:
        item = BUSYBOX_ITEM.match(text, at)
        if item is None or (item[3] and not item[4]):
            return frozenset(taken), False
        try:
            first = low if item[1] else _busybox_number(item[2], field)
            last = high if item[1] else _busybox_number(item[4], field) if item[4] else first
        except TimeFieldError:
            return frozenset(taken), False
        step = int(item[6][:9] or 0) if item[5] else 1
        meets = low <= last <= high
        length = (last - first) % size + 1 if meets else 1023
        taken.update((first + offset - low) % size + low for offset in range(0, length, step or length))
        at = item.end()
        if not meets or text[at : at + 1] != ",":
            return frozenset(taken), meets and at == len(text)
        at += 1


def _busybox_bounds(field: TimeField) -> tuple[int, int]:
    """Day 0 of a month is a number to it; day 7 of a week is not."""
    return (1 if field.names is MONTHS else 0), (6 if field.high == 7 else field.high)


def _busybox_number(text: str, field: TimeField) -> int:
    if text.isdigit():
        return int(text[:9])
    if text.lower() not in field.names:
        raise TimeFieldError(field.message)
    return field.names.index(text.lower()) + (1 if field.names is MONTHS else 0)


def busybox_reading(expression: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The expression in Debian's syntax, and each field that busybox cannot read, with what it takes it for ("": no
    number). Raises TimeFieldError."""
    if expression in (REBOOT, *NICKNAMES):
        return expression, ()
    wrong, taken = [], []
    for part, field in zip(split_fields(expression), FIELDS, strict=True):
        values, is_read = busybox_numbers(part, field)
        taken.append(_busybox_text(part, field, values))
        if not is_read:
            wrong.append((part, taken[-1]))
    if "*" not in (taken[2], taken[4]):  # both given: either is enough, also where one begins with *
        taken[2] = taken[2].replace("*", "1-31")
        taken[4] = taken[4].replace("*", "0-6")
    return " ".join(text or NO_NUMBER for text in taken), tuple(wrong)


def _busybox_text(part: str, field: TimeField, values: frozenset[int]) -> str:
    """These numbers as a field of Debian's syntax: the field as written where that means the same."""
    low, high = _busybox_bounds(field)
    if len(values) == high - low + 1:
        return "*"
    values_read = sorted(values - {0} if field.low else values)
    try:
        if is_plain(part, field) and sorted(numbers(part, field)) == values_read:
            return part
    except TimeFieldError:
        pass
    return ",".join(map(str, values_read))


def reads_it_as(text: str) -> str:
    return f"crond of busybox reads it as {masked_head(text, 80)}" if text else "crond of busybox never runs this line"


def writes_a_file(arguments: str) -> bool:
    return OWN_FILE.search(arguments) is not None
