"""Settings of manual steps: what a person completes, from when on it waits, and when it is overdue."""

from __future__ import annotations

import re
from datetime import time, timedelta
from difflib import get_close_matches
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_UNITS = {"m": 60, "h": 3600, "d": 86400}


def _time(value: Any) -> time:
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is not a time of day; write "05:00"')
    return time(int(match[1]), int(match[2]))


def _pause(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"([1-9]\d{0,4})([mhd])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is not a duration; write "90m", "2h" or "1d"')
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _zone(name: str) -> str:
    if name not in available_timezones():
        near = get_close_matches(name, available_timezones(), n=1)
        raise ValueError(f'"{name}" is no time zone; ' + (f'did you mean "{near[0]}"?' if near else 'write "UTC"'))
    ZoneInfo(name)
    return name


def _days(names: tuple[str, ...]) -> tuple[str, ...]:
    wrong = [name for name in names if name not in DAYS]
    if wrong or not names:
        text = f'"{wrong[0]}" is no day' if wrong else "no day at all is never"
        raise ValueError(f'{text}; days are some of {", ".join(DAYS)}, as in days = ["mon", "tue"]')
    return names


def _name(name: str) -> str:
    """A step's name is its id: people see it in lists, and type it."""
    if not name.isprintable() or name != name.strip() or not name:
        raise ValueError(f"{name!a} holds what cannot be shown or typed. Rename it")
    return name


class StepOptions(BaseModel):
    """One `[systems.NAME.steps.STEP]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = ""
    """What is to be done, in a few words."""
    at: Annotated[time, BeforeValidator(_time)]
    """From then on it waits for a person."""
    days: Annotated[tuple[str, ...], AfterValidator(_days)] = DAYS
    """On these days of the week."""
    remind_after: Annotated[timedelta, BeforeValidator(_pause)] = timedelta(hours=2)
    """So long after `at` it is overdue: red, and told to its owner like anything that failed."""


class ManualOptions(BaseModel):
    """All steps that people complete."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """In which the times of the steps are meant."""
    steps: Annotated[dict[Annotated[str, AfterValidator(_name)], StepOptions], Field(min_length=1)]


def targets(options: ManualOptions) -> list[str]:
    """One: the people."""
    del options
    return ["people"]
