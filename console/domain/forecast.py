"""Forecasts: probabilities as text, published and past forecasts, forecasts of jobs, answers to "what if"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from console.domain.history import EstimateBasis
from console.domain.stored import from_json


@dataclass(frozen=True, slots=True)
class PublishedForecast:
    at: datetime
    late: float
    p50: datetime | None
    p95: datetime | None


class ForecastDay(NamedTuple):
    service: str
    deadline: datetime
    delivered: datetime | None
    published: tuple[PublishedForecast, ...]

    @property
    def was_late(self) -> bool:
        return self.delivered is None or self.delivered > self.deadline


class ForecastTally(NamedTuple):
    """Forecasts of a service's past days, aggregated: each day counts once."""

    days: int
    late: int
    counts: tuple[tuple[float, float, float], ...]
    """(P(late), days with that forecast, late days among them)."""


class PastForecasts(NamedTuple):
    """Forecasts of one past service day, before recalibration."""

    late: Sequence[float]
    """P(late) per evaluation."""
    was_late: bool
    night: int
    """Its business date, as an ordinal."""


@dataclass(frozen=True, slots=True)
class JobForecast:
    """Forecast of a running or waiting job within a service day, from the same samples as its P(late)."""

    job_id: int
    late: float
    """The probability that its own part makes the service late, in steps of a hundredth."""
    decides: float
    """The probability that it is on the path that decides the service's finish."""
    p50: datetime
    p80: datetime
    p95: datetime
    slack_s: float | None
    """Seconds by which its finish may move, in the median; below 0: it is too late. None: it moves nothing."""
    act_by: datetime | None
    """The latest start at which P(late) stays within the service's risk; None without one."""
    green_by: datetime | None
    """The same for its end."""
    basis: EstimateBasis
    """Basis of its usual duration."""


MIN_RISK = 0.05
"""P(late) from which a job that has not failed has an act-by to display."""
MIN_SHARE = 0.1
"""Probability of deciding the service's finish from which it is displayed."""


@dataclass(frozen=True, slots=True)
class JobForecastView:
    """One job within one service day, from the same simulation as the service's own figures."""

    title: str
    """The service's."""
    name: str
    business_date: str
    zone: str
    deadline: datetime
    job: str
    p_late: float
    decides: float
    p50: datetime
    p80: datetime
    p95: datetime
    slack_s: float | None
    """As in JobForecast, as are the next three; None for a job that has failed."""
    act_by: datetime | None
    green_by: datetime | None
    basis: EstimateBasis
    has_failed: bool = False
    """True if its last run has: it is not in time until it is restarted."""

    @property
    def limits(self) -> tuple[datetime | None, datetime | None]:
        """Its act-by and green-by; without both while it neither has failed nor may well make the service late."""
        return (self.act_by, self.green_by) if self.has_failed or self.p_late >= MIN_RISK else (None, None)

    @property
    def may_decide(self) -> bool:
        """True if it may well decide the service's finish."""
        return self.decides >= MIN_SHARE


@dataclass(frozen=True, slots=True)
class WhatIfOutcome:
    """A service's finish in half and in nineteen of twenty cases, and how likely it is late."""

    late: float
    p50: datetime
    p95: datetime


@dataclass(frozen=True, slots=True)
class WhatIfView:
    """One service day in each scenario."""

    service: str
    title: str
    deadline: datetime
    ways: tuple[WhatIfOutcome, ...]
    """As it is, then per scenario in the requested order."""


def parse_what_if(data: Mapping[str, Any]) -> tuple[WhatIfView, ...]:
    """The engine's answer to "what if", {"services": […]}, as values."""
    return from_json(tuple[WhatIfView, ...], data["services"])
