"""Tables of services: promises, service days, forecasts, back tests, extended deadlines."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from console.domain.schema.columns import big, string


class Service(SQLModel, table=True):
    """A promised business outcome, as config has it."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, sa_type=Text)
    title: str = string()
    terminals: str = string("[]")
    """JSON: job ids."""
    deadline: str = string()
    zone: str = string()
    cutoff: str = string("12:00")
    tier: int = 3
    owner: str = string()
    notify: str = string("[]")
    runbook: str = string()
    risk: float = 0.1
    promise: str = string("{}")
    """JSON of `domain.service.Promise`: what there is beyond a deadline by the clock."""
    calendar: str = string()
    ready: str = string("[]")
    """JSON: names of the checks that must pass."""
    removed: bool = False


class ServiceDay(SQLModel, table=True):
    """One service on one business date: the promise and how it stands. Written by evaluation only."""

    __tablename__: ClassVar[str] = "service_day"
    __table_args__ = (
        UniqueConstraint("service_id", "bd", "submission"),
        Index("service_day_bd", "bd"),
        Index("service_day_changed", "changed_seq"),
    )
    id: int | None = big(default=None, primary_key=True)
    service_id: int = Field(foreign_key="service.id")
    bd: str = string()
    instance: str = string()
    """What it is shown as: of a service that is promised end to end, the submission's key; empty for any other."""
    submission: str = string()
    """Which it is: period key of that submission."""
    deadline_us: int = big()
    """By which it is judged and told: as extended, where it is."""
    promised_us: int | None = big(default=None)
    """The deadline as promised, whatever was extended. None: as a store of before has it, the same."""
    agreed_us: int | None = big(default=None)
    """By when it is late by its SLA; None without one."""
    extension: str = string()
    """Who extended it and why; empty where nobody did."""
    timeliness: str = string("no_estimate")
    data_state: str = string()
    """"complete", "stale", "failed", "open"."""
    delivered_us: int | None = big(default=None)
    expected_us: int | None = big(default=None)
    """p50 of the finish."""
    late_us: int | None = big(default=None)
    """p90 of the finish."""
    p95_us: int | None = big(default=None)
    p80_us: int | None = big(default=None)
    p_late: float | None = None
    """P(late) of the simulation; None without one."""
    peak_late: float | None = None
    """The highest P(late) that was told of it before its deadline."""
    jobs: str = string("[]")
    """JSON: what it leaves to jobs below it that run or wait (`domain.forecast.JobForecast`), times in microseconds."""
    distrust: str = string()
    """Why its forecasts are not to be trusted; empty where they are, and where too few days are over."""
    critical: str = string("[]")
    """JSON: of each job of `path` the probability that it decides the finish."""
    nights: int = 0
    """How many earlier nights the simulation rests on."""
    act_by_us: int | None = big(default=None)
    green_by_us: int | None = big(default=None)
    incident_id: int | None = big(default=None)
    cause: str = string()
    """Name of the job or target that endangers it; empty when nothing does."""
    sources: str = string("[]")
    """JSON: [{"job", "source": "history"|"declared"|"like"|"none", "runs", "p50_s", …}] along the path."""
    path: str = string("[]")
    """JSON: job ids along the critical path, first to last."""
    reason: str = string()
    """Why this timeliness, one sentence."""
    awaits: str = string("[]")
    """JSON: names of the checks that are looked at, because its jobs are done and nothing else is missing."""
    changed_seq: int = big(default=0)


class ForecastRow(SQLModel, table=True):
    """What was forecast of a service day before its deadline, now and then: to be scored by what became of it."""

    __tablename__: ClassVar[str] = "forecast"
    __table_args__ = (Index("forecast_day", "service_day_id", "id"),)
    id: int | None = big(default=None, primary_key=True)
    service_day_id: int = big(foreign_key="service_day.id")
    at_us: int = big()
    p_late: float
    p_own: float | None = None
    """The simulation's own, before it was recalibrated. None: as a store of before has it, the same."""
    p50_us: int | None = big(default=None)
    p80_us: int | None = big(default=None)
    p90_us: int | None = big(default=None)
    p95_us: int | None = big(default=None)


class BackTestRow(SQLModel, table=True):
    """The forecast of a night that is over as it would have been told, of a service that nobody was told of."""

    __tablename__: ClassVar[str] = "back_test"
    __table_args__ = (UniqueConstraint("service_id", "bd"),)
    id: int | None = big(default=None, primary_key=True)
    service_id: int = Field(foreign_key="service.id")
    bd: str = string()
    peak_late: float | None = None
    """The highest P(late) before its deadline; None: the histories of its jobs do not tell enough."""
    was_late: bool = False


class BackTestOfRow(SQLModel, table=True):
    """For what a service's back-tests hold: they are made anew when that is another."""

    __tablename__: ClassVar[str] = "back_test_of"
    service_id: int = Field(foreign_key="service.id", primary_key=True)
    promise: str = string()
    """Its deadline, zone, calendar and terminals in words."""
    jobs: str = string("{}")
    """JSON: job id -> its schedule in words."""


class ExtensionRow(SQLModel, table=True):
    """More time for one business date of a service, or one submission, by a person's word: the last row for it
    counts."""

    __tablename__: ClassVar[str] = "extension"
    __table_args__ = (Index("extension_day", "service_id", "bd", "submission"), Index("extension_until", "until_us"))
    id: int | None = big(default=None, primary_key=True)
    service_id: int = Field(foreign_key="service.id")
    bd: str = string()
    until_us: int = big()
    by: str = string()
    why: str = string()
    at_us: int = big()
    submission: str = string("")
    """Period key of the run that submitted it; empty: the service's own day."""
