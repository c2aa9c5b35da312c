"""A start at one time of day, of a job whose schedule nobody told."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from console.control.forecast.usual_start import UsualStarts
from console.control.picture import Picture
from console.model.history import PastRun, history_of
from tests.factories import NIGHT, at, estate, job

MART = job(3, "dwh/mart", zone="Europe/Berlin")


def found(*minutes_late: float, first: datetime | None = None) -> datetime | None:
    """After nights, newest first, that began so many minutes after 05:00 UTC."""
    begun = [(first or at("05:00")) - timedelta(days=back) + timedelta(minutes=late)
             for back, late in enumerate(minutes_late, 1)]  # fmt: skip
    runs = [PastRun(n, int(each.timestamp()), int(each.timestamp()) + 60, 60.0, -1.0, -1.0, 1, -1.0, "")
            for n, each in enumerate(begun)]  # fmt: skip
    seen = replace(estate(MART), history={3: history_of(runs)})
    return UsualStarts().start(Picture(seen, at("02:00")), 3, NIGHT)


def test_nights_that_begin_at_one_time_of_day_tell_of_a_clock() -> None:
    assert at("05:00") == found(*[0.0] * 6)
    assert at("05:00:12") == found(0.2, 0.3, 0.4, 0.5, 90.0, 0.5, 0.6, 0.7, 0.8, 0.9)


def test_nights_that_begin_when_something_else_is_done_do_not() -> None:
    assert found(0.0, 4.0, 9.0, 2.0, 7.0, 12.0, 1.0) is None
    assert found(*[0.0] * 4) is None
    assert found() is None


def test_around_midnight_it_is_one_time_of_day_too() -> None:
    assert at("23:59:48") == found(-0.2, 0.2, 0.1, -0.1, 0.0, first=at("00:00") + timedelta(days=1))
