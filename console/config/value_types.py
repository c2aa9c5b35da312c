"""Value types of settings: durations, times of day, names of jobs, tiers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import time, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from console.domain.ids import split_job_name
from console.timing.durations import parse_duration

LONGEST = timedelta(days=3653)
"""Longest duration in config, so that adding it to now stays within the calendar."""


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError(f'{value!r} is not a duration; write it in quotes: "15s", "14m", "1h30m"')
    duration = parse_duration(value)
    if duration > LONGEST:
        raise ValueError(f'"{value}" is longer than ten years, which no night lasts; write 15s, 14m, 1h30m or 2d')
    return duration


def time_of_day(value: Any) -> time:
    """ "06:30". Raises ValueError with the fix."""
    if isinstance(value, time):
        return value
    match = re.fullmatch(r"(\d{1,2}):(\d{2})", value) if isinstance(value, str) else None
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise ValueError(f'{value!r} is not a time of day; write "{_likely_time(value)}"')
    return time(int(match[1]), int(match[2]))


def _likely_time(value: Any) -> str:
    """ "06:30" for 630; an example for what cannot be meant as a time."""
    hour, minute = divmod(value, 100) if isinstance(value, int) and not isinstance(value, bool) else (24, 0)
    return f"{hour:02}:{minute:02}" if 0 < hour < 24 and minute < 60 else "06:30"


def _job_name(value: str) -> str:
    split_job_name(value)
    return value


def _pause(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than zero; write 15s, for example")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Pause = Annotated[Duration, AfterValidator(_pause)]
TimeOfDay = Annotated[time, BeforeValidator(time_of_day)]
JobName = Annotated[str, AfterValidator(_job_name)]
Tier = Annotated[int, Field(ge=1, le=5, strict=True)]

WRITTEN_TYPES: Mapping[Any, Any] = {timedelta: Duration, timedelta | None: Pause | None, time: TimeOfDay}
"""Type of a domain class -> how the config writes it."""
