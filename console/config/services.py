"""`[services.NAME]`: its jobs, and its promise: deadline, objective and agreement."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from connectors.sdk.option_errors import StrictOptions, Zone
from console.config.validation import TableOf, extended_table, table_of
from console.config.value_types import JobName, Pause, Tier, TimeOfDay, time_of_day
from console.domain.promise import DeadlineRule, Promise, ServiceAgreement, ServiceObjective
from console.domain.service import MAX_DEADLINE_DAY
from console.domain.settings import ServiceSetting

MAX_AFTER_HOURS = 48
_DEADLINE_FORMS = 'a time ("06:30"), { after_start = "90m" }'


class DeadlineSettings(StrictOptions):
    """A time of day, `{ time, day }`, or `{ after_start, of }`."""

    time: TimeOfDay | None = None
    """Inside the business date's window."""
    day: Annotated[int, Field(ge=0, le=MAX_DEADLINE_DAY)] = 0
    """Days after that window."""
    after_start: Pause | None = None
    """So long after the first start of that business date, in place of `time`."""
    of: JobName | None = None
    """The job whose start counts; without it, the first member to start."""

    @model_validator(mode="after")
    def exactly_one_form(self) -> DeadlineSettings:
        if (self.time is None) == (self.after_start is None):
            raise ValueError(f"says one of these: {_DEADLINE_FORMS}")
        if self.time is None and self.day:
            raise ValueError("day belongs to a time: write the days into the duration, 24h each")
        if self.time is not None and self.of:
            raise ValueError("of names whose start counts, and goes with after_start only")
        if self.after_start is not None and self.after_start.total_seconds() > MAX_AFTER_HOURS * 3600:
            raise ValueError(f"it is longer than {MAX_AFTER_HOURS}h: promise it by a time and a day")
        return self

    @property
    def rule(self) -> DeadlineRule:
        return DeadlineRule(self.day, self.after_start, self.of or "")


def _table(value: Any) -> Any:
    return value if isinstance(value, dict) else {"time": time_of_day(value)}


def _days(period: str) -> int:
    return int(period.removesuffix("d"))


_Window = Annotated[Literal["30d", "90d"], AfterValidator(_days), Field(alias="over")]
_Late = Annotated[TimeOfDay | None, Field(alias="time")]
SLO = table_of(ServiceObjective, share=Annotated[float, Field(gt=0, lt=1, alias="objective")], days=_Window)
SLA = table_of(ServiceAgreement, misses=Annotated[int, Field(ge=0)], days=_Window, at=_Late)


class ServiceSettings(TableOf[ServiceSetting]):
    """`[services.NAME]`; `SERVICE` has the keys of its domain class as well."""

    title: str = ""
    deadline: Annotated[DeadlineSettings, BeforeValidator(_table)]
    cutoff: TimeOfDay = time(12)

    def domain_value(self, **more: Any) -> ServiceSetting:
        values = self.values()
        promise = Promise(self.deadline.rule, values["slo"], values["sla"])
        deadline = self.deadline.time or self.cutoff
        return super().domain_value(**more, title=self.title or more["name"], deadline=deadline, promise=promise)


SERVICE = extended_table(
    ServiceSettings,
    ServiceSetting,
    delivered_by=Annotated[tuple[JobName, ...], Field(min_length=1)],
    slo=(SLO | None, None),
    sla=(SLA | None, None),
    zone=Annotated[Zone, Field(alias="timezone")],
    tier=Tier,
    promise=None,
)
