"""Settings of manual steps: their names, when each begins to wait for a person, and when it is overdue."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from connectors.sdk.daily_time import DailyTime, JobName
from connectors.sdk.option_errors import Duration, StrictOptions, Zone


class StepOptions(DailyTime):
    """One `[systems.NAME.steps.STEP]`: from `at` on it waits for a person."""

    title: str = ""
    """A short description of the step."""
    remind_after: Duration = timedelta(hours=2)
    """So long after `at` it is overdue: it fails, and its owner is notified."""


class ManualOptions(StrictOptions):
    """All steps that people complete."""

    zone: Zone = "UTC"
    """In which the times of the steps are meant."""
    steps: Annotated[dict[JobName, StepOptions], Field(min_length=1)]
