"""When a service was delivered on earlier nights, beside tonight's deadline."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from console.control.forecast.deliveries import NONE, deliveries
from console.control.forecast.past_nights import JobPast, job_past
from console.control.forecast.sums import Forecast
from console.control.zones import instant_at
from console.model.history import PastRun, history_of
from console.model.promises import DeadlineRule, Promise
from tests.factories import job, minutes, service

ZONE = ZoneInfo("Europe/Berlin")
MART = job(2, "dwh/mart")
DAILY = service("daily", "06:30", MART, zone="Europe/Berlin")
AFTER_SPRING, AFTER_AUTUMN = date(2026, 4, 2), date(2026, 10, 29)


def local(bd: date, clock: str) -> datetime:
    return instant_at(datetime.combine(bd + timedelta(days=1), time.fromisoformat(clock)), ZONE)


def ended(bd: date, *clocks: str, nightly: bool = True) -> JobPast:
    """On the nights before `bd`, the latest first."""
    runs = []
    for back, clock in enumerate(clocks, 1):
        day = bd - timedelta(days=back)
        end = round(local(day, clock).timestamp())
        runs.append(PastRun(back, end - 60, end, 60.0, 0.0, -1.0, 1, -1.0, "", day.toordinal() if nightly else 0))
    return job_past(history_of(runs))


def tonight(bd: date) -> Forecast:
    return Forecast(DAILY, bd, local(bd, "06:30"), {}, (2,), None, ())


@pytest.mark.parametrize("bd", [AFTER_SPRING, AFTER_AUTUMN])
def test_what_was_half_an_hour_early_before_clocks_were_set_is_half_an_hour_early(bd: date) -> None:
    clocks = ["06:00"] * 9 + ["06:31"]
    found = deliveries(tonight(bd), [ended(bd, *clocks)])
    assert [local(bd, clock).timestamp() for clock in reversed(clocks)] == found.at.tolist()
    assert [True] + [False] * 9 == found.was_late.tolist()


def test_a_service_of_several_jobs_is_delivered_by_the_last_on_nights_on_which_all_succeeded() -> None:
    bd = AFTER_SPRING
    found = deliveries(tonight(bd), [ended(bd, "06:00", "06:40", "06:00"), ended(bd, "06:10", "06:20")])
    assert [local(bd, "06:40").timestamp(), local(bd, "06:10").timestamp()] == found.at.tolist()


def test_a_deadline_that_was_extended_moves_no_earlier_night() -> None:
    bd, past = AFTER_SPRING, [ended(AFTER_SPRING, "06:00", "06:45")]
    day = tonight(bd)
    longer = replace(day, deadline=day.deadline + minutes(30), promised=day.deadline)
    assert np.array_equal(deliveries(day, past).at, deliveries(longer, past).at)
    assert np.array_equal(deliveries(day, past).was_late, deliveries(longer, past).was_late)


def test_what_belongs_to_no_night_and_a_deadline_that_counts_from_a_start_tell_nothing() -> None:
    bd = AFTER_SPRING
    assert NONE is deliveries(tonight(bd), [ended(bd, "06:00", "06:45", nightly=False)])
    counted = replace(DAILY, promise=Promise(DeadlineRule(after_start=minutes(20), of="hosts/extract", of_id=1)))
    assert NONE is deliveries(replace(tonight(bd), service=counted), [ended(bd, "06:00", "06:45")])
    assert NONE is deliveries(tonight(bd), [])
