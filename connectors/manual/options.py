"""Settings of manual steps: their names, when each begins to wait for a person, and when it is overdue."""

from __future__ import annotations

import re
from datetime import time, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from connectors.sdk.option_errors import Duration, StrictOptions, Zone

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _time(value: Any) -> time:
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is not a time of day; write "05:00"')
    return time(int(match[1]), int(match[2]))


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


class StepOptions(StrictOptions):
    """One `[systems.NAME.steps.STEP]`."""

    title: str = ""
    """A short description of the step."""
    at: Annotated[time, BeforeValidator(_time)]
    """From then on it waits for a person."""
    days: Annotated[tuple[str, ...], AfterValidator(_days)] = DAYS
    """On these days of the week."""
    remind_after: Duration = timedelta(hours=2)
    """So long after `at` it is overdue: it fails, and its owner is notified."""


class ManualOptions(StrictOptions):
    """All steps that people complete."""

    zone: Zone = "UTC"
    """In which the times of the steps are meant."""
    steps: Annotated[dict[Annotated[str, AfterValidator(_name)], StepOptions], Field(min_length=1)]
