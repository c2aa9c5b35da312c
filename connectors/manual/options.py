"""Settings of manual steps: their names, when each begins to wait for a person, and when it is overdue."""

from __future__ import annotations

import re
from datetime import time, timedelta
from difflib import get_close_matches
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from connectors.sdk.option_errors import Duration

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _time(value: Any) -> time:
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is not a time of day; write "05:00"')
    return time(int(match[1]), int(match[2]))


def _zone(name: str) -> str:
    if name not in available_timezones():
        near = get_close_matches(name, available_timezones(), n=1)
        raise ValueError(f'"{name}" is not a time zone; ' + (f'did you mean "{near[0]}"?' if near else 'write "UTC"'))
    return name


def _days(names: tuple[str, ...]) -> tuple[str, ...]:
    wrong = [name for name in names if name not in DAYS]
    if wrong or not names:
        text = f'"{wrong[0]}" is not a day' if wrong else "no day at all is never"
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
    """A short description of the step."""
    at: Annotated[time, BeforeValidator(_time)]
    """From then on it waits for a person."""
    days: Annotated[tuple[str, ...], AfterValidator(_days)] = DAYS
    """On these days of the week."""
    remind_after: Duration = timedelta(hours=2)
    """So long after `at` it is overdue: it fails, and its owner is notified."""


class ManualOptions(BaseModel):
    """All steps that people complete."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """In which the times of the steps are meant."""
    steps: Annotated[dict[Annotated[str, AfterValidator(_name)], StepOptions], Field(min_length=1)]
