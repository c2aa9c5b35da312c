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
