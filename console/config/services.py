"""`deadline`, `slo` and `sla` of `[services.NAME]`: deadline, objective and agreement."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from connectors.sdk.option_errors import StrictOptions
from console.config.value_types import JobName, Pause, TimeOfDay, time_of_day
from console.domain.promise import DeadlineRule, Promise, ServiceAgreement, ServiceObjective
from console.domain.service import MAX_DEADLINE_DAY

MAX_AFTER_HOURS = 48
_DEADLINE_FORMS = (
    'a time ("06:30"), { after_start = "90m" }, { within = "1h", of = "crm/submitted", key = "customer_id" }'
)


class DeadlineSettings(StrictOptions):
    """A time of day, `{ time, day }`, `{ after_start, of }`, or end to end `{ within, of, key }`."""

    time: TimeOfDay | None = None
    """Inside the business date's window."""
    day: Annotated[int, Field(ge=0, le=MAX_DEADLINE_DAY)] = 0
    """Days after that window."""
    after_start: Pause | None = None
    """So long after the first start of that business date, in place of `time`."""
    of: JobName | None = None
    """The job whose start counts; without it, the first member to start."""
    within: Pause | None = None
    """End to end: so long after each run of `of`, the submission, which is an instance with a deadline of its own."""
    key: Annotated[str, Field(max_length=80)] = ""
    """Of `within`: the parameter by which the runs of all systems belong to a submission."""

    @model_validator(mode="after")
    def exactly_one_form(self) -> DeadlineSettings:
        forms = [self.time, self.after_start, self.within]
        if sum(form is not None for form in forms) != 1:
            raise ValueError(f"says one of these: {_DEADLINE_FORMS}")
        if self.time is None and self.day:
            raise ValueError("day belongs to a time: write the days into the duration, 24h each")
        if self.time is not None and self.of:
            raise ValueError("of names whose start counts, and goes with after_start and within only")
        if (self.within is None) != (not self.key) or (self.within is not None and not self.of):
            raise ValueError('within needs of, the job that submits, and key: { within = "1h", of = "…", key = "…" }')
        longest = self.after_start or self.within
        if longest is not None and longest.total_seconds() > MAX_AFTER_HOURS * 3600:
            raise ValueError(f"it is longer than {MAX_AFTER_HOURS}h: promise it by a time and a day")
        return self

    @property
    def rule(self) -> DeadlineRule:
        return DeadlineRule(self.day, self.after_start or self.within, self.of or "", key=self.key)


def _table(value: Any) -> Any:
    return value if isinstance(value, dict | DeadlineSettings) else {"time": time_of_day(value)}


Deadline = Annotated[DeadlineSettings, BeforeValidator(_table)]


class SloSettings(StrictOptions):
    objective: Annotated[float, Field(gt=0, lt=1)]
    """Share of its days that must be on time; the rest is the error budget."""
    over: Literal["30d", "90d"] = "30d"
    """How far back days count."""


class SlaSettings(StrictOptions):
    misses: Annotated[int, Field(ge=0)] = 0
    """Late days that the agreement allows within `over`."""
    over: Literal["30d", "90d"] = "30d"
    time: TimeOfDay | None = None
    """By when it is late by the agreement; without it, the deadline. Extensions do not count."""


def service_promise(
    deadline: DeadlineSettings, slo: SloSettings | None, sla: SlaSettings | None, false_alarm_days: int
) -> Promise:
    """The same as decisions see it."""
    return Promise(
        deadline.rule,
        None if slo is None else ServiceObjective(slo.objective, _days(slo.over)),
        None if sla is None else ServiceAgreement(sla.misses, _days(sla.over), sla.time),
        false_alarm_days,
    )


def _days(period: str) -> int:
    return int(period.removesuffix("d"))
