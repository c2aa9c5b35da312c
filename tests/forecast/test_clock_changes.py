"""The forecast on the nights on which clocks are set: a promise is by the clock of its zone, work takes its hours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from console.control.evaluate import evaluate
from console.domain.decision import ServiceDayVerdict
from console.domain.estate import JobFacts
from console.domain.history import RunHistory, SuccessfulRun, build_history
from console.forecast.forecaster import Forecaster
from console.timing.zones import instant_at
from tests.factories import daily, estate, feeds, job, minutes, service, target

ZONE = ZoneInfo("Europe/Berlin")
USUAL, SPRING, AUTUMN = date(2026, 3, 20), date(2026, 3, 28), date(2026, 10, 24)
LOAD = job(1, "warehouse/load", daily("01:00", zone="Europe/Berlin"), zone="Europe/Berlin")
MART = job(2, "dwh/mart", zone="Europe/Berlin")
HALF = 90.0
"""Minutes that each of them takes, from a tenth less to a tenth more: three hours together."""


def local(business_date: date, clock: str) -> datetime:
    """After midnight of the night of `business_date`, by the clock on the wall."""
    return instant_at(datetime.combine(business_date + timedelta(days=1), time.fromisoformat(clock)), ZONE)


def past(business_date: date, clock: str, nights: int = 40) -> RunHistory:
    runs = []
    for back in range(1, nights + 1):
        lasted = round(60 * HALF * (0.9 + 0.2 * (back * 7 % 11) / 10))
        day = business_date - timedelta(days=back)
        began = round(local(day, clock).timestamp())
        runs.append(SuccessfulRun(back, began, began + lasted, lasted, 0.0, -1.0, 1, -1.0, "", day.toordinal()))
    return build_history(runs)


def foreseen(business_date: date, due: str, mart: JobFacts = MART, begins: str = "02:31") -> ServiceDayVerdict:
    """Two hours before the night's first job."""
    now = local(business_date, "01:00") - timedelta(hours=2)
    watched = target(first_ok_at=now - timedelta(days=60), last_ok_at=now, seen_until=now)
    jobs = [replace(job, accepted_at=now - timedelta(days=50)) for job in (LOAD, mart)]
    pasts = {1: past(business_date, "01:00"), 2: past(business_date, begins)}
    seen = estate(
        *jobs, feeds=feeds(LOAD, mart), services=[service("daily", due, mart, zone="Europe/Berlin")],
        targets=[watched], durations={number: tuple(history.takes) for number, history in pasts.items()},
    )  # fmt: skip
    service_days = evaluate(replace(seen, history=pasts), now, foresee=Forecaster()).service_days
    return next(day for day in service_days if day.business_date == business_date)


@pytest.mark.parametrize(
    "business_date, expected, late",
    [(USUAL, "04:00", (0.0, 0.01)), (SPRING, "05:00", (0.8, 1.0)), (AUTUMN, "03:00", (0.0, 0.01))],
)
def test_an_hour_that_is_left_out_is_missing_before_the_deadline(
    business_date: date, expected: str, late: tuple[float, float]
) -> None:
    """Due 04:40 on the wall: an hour sooner after the work begins in spring, an hour later in autumn."""
    service_day = foreseen(business_date, "04:40")
    assert local(business_date, "04:40") == service_day.deadline
    assert service_day.expected_at is not None
    assert abs(service_day.expected_at - local(business_date, expected)) < minutes(12)
    assert service_day.p_late is not None
    assert late[0] <= service_day.p_late <= late[1]


@pytest.mark.parametrize("business_date, starts", [(USUAL, "01:30"), (SPRING, "01:30"), (AUTUMN, "02:30")])
def test_what_starts_at_one_time_of_day_starts_by_the_clock_on_the_wall(business_date: date, starts: str) -> None:
    """MART begins at 03:30 of every night, though nobody said so: that is 01:30 UTC after the change of spring as 02:30
    is before it, and 02:30 after that of autumn."""
    service_day = foreseen(business_date, "08:00", begins="03:30")
    begun = datetime.combine(business_date + timedelta(days=1), time.fromisoformat(starts), UTC)
    begun += timedelta(hours=1) if business_date == USUAL else timedelta(0)
    assert service_day.expected_at is not None
    assert abs(service_day.expected_at - (begun + minutes(HALF))) < minutes(12)
