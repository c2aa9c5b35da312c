"""What the forecasts of the fake night leave to its jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from console.domain.forecast import JobForecastView
from console.domain.history import EstimateBasis, EstimateKind

MIDNIGHT = datetime(2026, 11, 19, 23, 0, tzinfo=UTC)
EXTRACT, LOAD = "etl-hosts/db07:extract_orders", "warehouse-airflow/load_orders"
MART, SUPPLY = "pg-dwh/revenue_mart", "cloud/supply-mart"
NUMBERS = {1: EXTRACT, 2: LOAD, 3: MART, 4: SUPPLY}


def minute(clock: str) -> datetime:
    hours, minutes = map(int, clock.split(":"))
    return MIDNIGHT + timedelta(hours=hours, minutes=minutes)


def ahead(service: str, job: str, **changes: Any) -> JobForecastView:
    title, due = {"supply-plan": ("Supply plan", "06:30"), "daily-revenue": ("Daily revenue", "07:30")}[service]
    details: dict[str, Any] = {
        "late": 0.0, "decides": 1.0, "done": ("04:12", "04:20", "04:41"), "slack": 9, "act_by": "03:58",
        "green_by": "04:21", "basis": EstimateBasis(EstimateKind.HISTORY, 31),
        "has_failed": False,
    } | changes  # fmt: skip
    p50, p80, p95 = map(minute, details["done"])
    act_by, green_by = (None if details[name] is None else minute(details[name]) for name in ("act_by", "green_by"))
    slack = None if details["slack"] is None else details["slack"] * 60
    return JobForecastView(
        title,
        service,
        "2026-11-19",
        "Europe/Berlin",
        minute(due),
        job,
        details["late"],
        details["decides"],
        p50,
        p80,
        p95,
        slack,
        act_by,
        green_by,
        details["basis"],
        details["has_failed"],
    )


def all_ahead() -> list[JobForecastView]:
    return [
        ahead("supply-plan", EXTRACT, late=0.38, decides=0.97, slack=None, has_failed=True),
        ahead("supply-plan", LOAD, late=0.38, decides=0.97, done=("04:24", "04:33", "04:57"), act_by="04:18",
              green_by="04:30"),
        ahead("supply-plan", SUPPLY, late=0.38, done=("06:21", "06:40", "07:02"), act_by="04:30", green_by="06:30",
              basis=EstimateBasis(EstimateKind.DECLARED)),
        ahead("daily-revenue", EXTRACT, late=0.04, decides=0.61, slack=None, act_by="04:40", green_by="04:54",
              has_failed=True),
        ahead("daily-revenue", LOAD, late=0.04, decides=0.61, slack=82, done=("04:24", "04:33", "04:57"),
              act_by="05:02", green_by="05:14"),
        ahead("daily-revenue", MART, late=0.04, slack=-4, done=("06:08", "06:19", "06:47"), act_by="05:20",
              green_by="07:30", basis=EstimateBasis(EstimateKind.PEERS, 12)),
    ]  # fmt: skip


class FakeAhead:
    """The store's readers, as far as they are needed here."""

    ahead_: Sequence[JobForecastView] = tuple(all_ahead())

    def job_forecasts(self, service: str, business_date: str) -> Sequence[JobForecastView]:
        return [
            forecast for forecast in self.ahead_ if (forecast.name, forecast.business_date) == (service, business_date)
        ]

    def forecasts_of_job(self, job_id: int) -> Sequence[JobForecastView]:
        return [forecast for forecast in self.ahead_ if forecast.job == NUMBERS.get(job_id)]


def otherwise(options: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """An engine's answer: the later it is restarted, the later the services."""
    days = [("supply-plan", "Supply plan", "06:30", 0.38, 23), ("daily-revenue", "Daily revenue", "07:30", 0.04, 17)]
    return {"services": [_otherwise(*day, options) for day in days]}


def _otherwise(
    name: str, title: str, due: str, late: float, spread: int, options: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    details = {"service": name, "title": title, "zone": "Europe/Berlin", "deadline": minute(due).isoformat()}
    later = {"restart": -14, "skip": -26, "faster": -7}
    minutes = [0, *(later[way["how"]] + (45 if way.get("at") else 0) for way in options)]
    begin = minute(due) - timedelta(minutes=11)
    return details | {
        "ways": [
            {
                "late": min(1.0, max(0.0, late + minute_ * 0.014)),
                "p50": (begin + timedelta(minutes=minute_)).isoformat(),
                "p95": (begin + timedelta(minutes=minute_ + spread)).isoformat(),
            }
            for minute_ in minutes
        ]
    }
