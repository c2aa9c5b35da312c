"""Tables of services: promises, service days, forecasts, extended deadlines."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from console.domain.schema.columns import big, string


class Service(SQLModel, table=True):
    """A promised business outcome, as configured."""

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
    promise: str = string("{}")
    """JSON of `domain.promise.Promise`: everything beyond a fixed deadline."""
    calendar: str = string()
    ready: str = string("[]")
    """JSON: names of the checks that must pass."""
    removed: bool = False


class ServiceDay(SQLModel, table=True):
    """One service on one business date: promise and status. Written by evaluation only."""

    __tablename__: ClassVar[str] = "service_day"
    __table_args__ = (
        UniqueConstraint("service_id", "business_date"),
        Index("service_day_business_date", "business_date"),
        Index("service_day_changed", "changed_seq"),
    )
    id: int | None = big(default=None, primary_key=True)
    service_id: int = Field(foreign_key="service.id")
    business_date: str = string()
    deadline_us: int = big()
    """Effective deadline, extensions included."""
    promised_us: int | None = big(default=None)
    """Deadline without extensions. None in rows of older versions: the same."""
    agreed_us: int | None = big(default=None)
    """Deadline by its SLA; None without one."""
    extension: str = string()
    """User and reason of its extension; empty: not extended."""
    timeliness: str = string("no_estimate")
    data_state: str = string()
    """ "complete", "partial", "unknown", "stale", "failed", "open"."""
    delivered_us: int | None = big(default=None)
    expected_us: int | None = big(default=None)
    """p50 of the finish; `late_us`: p90."""
    late_us: int | None = big(default=None)
    p95_us: int | None = big(default=None)
    p80_us: int | None = big(default=None)
    p_late: float | None = None
    """Simulated P(late); None: not simulated."""
    jobs: str = string("[]")
    """JSON: forecasts of its running or waiting jobs (`domain.forecast.JobForecast`), times in microseconds."""
    distrust: str = string()
    """Why its forecasts are not reliable; empty: reliable, or too few past days."""
    critical: str = string("[]")
    """JSON: for each job of `path` the probability that it decides the finish."""
    nights: int = 0
    """Number of past nights that the simulation uses."""
    act_by_us: int | None = big(default=None)
    green_by_us: int | None = big(default=None)
    incident_id: int | None = big(default=None)
    cause: str = string()
    """Name of the job or target that endangers it; empty: none."""
    sources: str = string("[]")
    """JSON: [{"job", "source", "runs", "p50_s", …}] along the path; source: a `domain.history.EstimateKind`."""
    path: str = string("[]")
    """JSON: job ids of the critical path, first to last."""
    reasons: str = string("[]")
    """JSON: why this timeliness (`domain.service.Reason`)."""
    awaits: str = string("[]")
    """JSON: names of the checks that are run because its jobs are done."""
    changed_seq: int = big(default=0)


class ForecastRow(SQLModel, table=True):
    """A forecast of a service day before its deadline, to be scored by the outcome."""

    __tablename__: ClassVar[str] = "forecast"
    __table_args__ = (Index("forecast_day", "service_day_id", "id"),)
    id: int | None = big(default=None, primary_key=True)
    service_day_id: int = big(foreign_key="service_day.id")
    at_us: int = big()
    p_late: float
    p_own: float | None = None
    """P(late) before recalibration. None in rows of older versions: the same."""
    p50_us: int | None = big(default=None)
    p80_us: int | None = big(default=None)
    p90_us: int | None = big(default=None)
    p95_us: int | None = big(default=None)


class ExtensionRow(SQLModel, table=True):
    """A deadline extended by a person, for one business date of a service: the last row counts."""

    __tablename__: ClassVar[str] = "extension"
    __table_args__ = (
        Index("extension_day", "service_id", "business_date"),
        Index("extension_until", "until_us"),
    )
    id: int | None = big(default=None, primary_key=True)
    service_id: int = Field(foreign_key="service.id")
    business_date: str = string()
    until_us: int = big()
    by: str = string()
    why: str = string()
    at_us: int = big()
