"""`deadline`, `slo` and `sla` of `[services.NAME]`: by when, how often, and towards whom."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from console.config.shapes import JobName, Pause, Strict, TimeOfDay
from console.model.promises import Agreement, DeadlineRule, Objective, Promise

FURTHEST_DAY = 7
LONGEST_AFTER_HOURS = 48


class DeadlineSettings(Strict):
    """A time of day, or `{ time, day }`, or `{ after_start, of }`."""

    time: TimeOfDay | None = None
    """Inside the business date's window."""
    day: Annotated[int, Field(ge=0, le=FURTHEST_DAY)] = 0
    """So many days after that window."""
    after_start: Pause | None = None
    """So long after the first start of that business date, in place of `time`."""
    of: JobName | None = None
    """Whose start; without it, whichever member starts first."""

    @model_validator(mode="after")
    def one_way(self) -> DeadlineSettings:
        if (self.time is None) == (self.after_start is None):
            raise ValueError(
                'says either a time or how long after a start: { time = "06:30" }, { after_start = "90m" }'
            )
        if self.after_start is not None and self.day:
            raise ValueError("day belongs to a time: write the days into after_start, 24h each")
        if self.after_start is None and self.of:
            raise ValueError("of names whose start counts, and goes with after_start only")
        if self.after_start is not None and self.after_start.total_seconds() > LONGEST_AFTER_HOURS * 3600:
            raise ValueError(f"after_start is longer than {LONGEST_AFTER_HOURS}h: promise it by a time and a day")
        return self

    @property
    def rule(self) -> DeadlineRule:
        return DeadlineRule(self.day, self.after_start, self.of or "")


def _table(value: Any) -> Any:
    return {"time": value} if isinstance(value, str | time) else value


Deadline = Annotated[DeadlineSettings, BeforeValidator(_table)]


class SloSettings(Strict):
    objective: Annotated[float, Field(gt=0, lt=1)]
    """Share of its days that are to be in time; what may miss is the error budget."""
    over: Literal["30d", "90d"] = "30d"
    """How far back days count."""


class SlaSettings(Strict):
    misses: Annotated[int, Field(ge=0)] = 0
    """Late days that the agreement allows within `over`."""
    over: Literal["30d", "90d"] = "30d"
    time: TimeOfDay | None = None
    """By when it is late by the agreement; without it, the deadline. Extensions do not count."""


def promise(deadline: DeadlineSettings, slo: SloSettings | None, sla: SlaSettings | None) -> Promise:
    """The same as decisions see it."""
    return Promise(
        deadline.rule,
        None if slo is None else Objective(slo.objective, _days(slo.over)),
        None if sla is None else Agreement(sla.misses, _days(sla.over), sla.time),
    )


def _days(over: str) -> int:
    return int(over.removesuffix("d"))
