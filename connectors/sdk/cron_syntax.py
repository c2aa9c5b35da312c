"""Cron expressions for the libraries that step them: cronsim, where its reading differs from that of the schedulers;
and croniter, by which Airflow, Dagster and Prefect read and step theirs."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES = {
    **{name: str(number) for number, name in enumerate(MONTHS, 1)},
    **{name: str(number or "") for number, name in enumerate(DAYS)},
}
"""Numbers of months and weekdays without leading zeros: Sunday is "", as 0 is."""
_SINGLE_STEP = re.compile(r"(?<![^\s,])([0-9a-z]{1,9})-([0-9a-z]{1,9})/0*[1-9]\d*(?![^\s,])", re.IGNORECASE | re.ASCII)
_RANDOM = re.compile(r"(?<![^\s,])r(?![a-z])", re.IGNORECASE)
MAX_EXPRESSION = 1000
"""Characters of the longest expression that is given to croniter, whose time grows with it."""


def single_steps(expression: str) -> str:
    """The expression with `5-5/2` as `5`: a range of one value has no further ones. cronsim reads it as `5/2`."""

    def single(match: re.Match[str]) -> str:
        first, last = (_NAMES.get(text.lower(), text.lstrip("0")) for text in match.groups())
        return match[1] if first == last else match[0]

    return _SINGLE_STEP.sub(single, expression)


def nearest_weekday(day: date) -> date:
    """The day of Monday to Friday that is nearest to it within its month: `15W`."""
    shifts = {5: -1 if day.day > 1 else 2, 6: 1 if day.day < monthrange(day.year, day.month)[1] else -2}
    return day.replace(day=day.day + shifts.get(day.weekday(), 0))


def croniter_steps(expression: str, local: datetime, forward: bool = True) -> Iterator[datetime]:
    """The naive local times after `local`, in order, or those before it, the last one first, as croniter steps them;
    none where no day fits within fifty years. Raises ValueError for what croniter refuses, at once."""
    from croniter import CroniterBadDateError, croniter

    if len(expression) > MAX_EXPRESSION or _RANDOM.search(expression):
        raise ValueError("it is longer than an expression or has a random part")
    try:
        steps = croniter(expression, local, ret_type=datetime)
    except (TypeError, KeyError, IndexError, OverflowError) as fault:  # its checks miss these
        raise ValueError("it is not an expression of croniter") from fault

    def stepped() -> Iterator[datetime]:
        with suppress(CroniterBadDateError, OverflowError):
            while True:
                yield steps.get_next() if forward else steps.get_prev()

    return stepped()


def croniter_hours(expression: str) -> int:
    """The number of hours of a day in which croniter reads the expression. Raises ValueError as `croniter_steps`."""
    from croniter import croniter

    hours = croniter(expression).expanded[1]
    return 24 if "*" in hours else len(hours)
