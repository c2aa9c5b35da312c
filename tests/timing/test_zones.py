"""The dates on which a clock skips or repeats a time of day."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from console.timing.zones import clock_change_dates

YEAR = date(2026, 1, 1)


class CountingZone(tzinfo):
    """Berlin, with the number of its questions."""

    def __init__(self) -> None:
        self.zone, self.questions = ZoneInfo("Europe/Berlin"), 0

    def utcoffset(self, at: datetime | None) -> timedelta | None:
        self.questions += 1
        return None if at is None else self.zone.utcoffset(at.replace(tzinfo=self.zone))

    def dst(self, at: datetime | None) -> timedelta | None:
        return None

    def tzname(self, at: datetime | None) -> str | None:
        return None


def test_the_dates_of_a_zone_are_computed_once_for_all_times_of_day() -> None:
    """A check of 30,000 services took 75 seconds, at a year of dates for each."""
    zone = CountingZone()
    for minute in range(60):
        assert [] == [*clock_change_dates(time(5, minute), zone, YEAR, 365)]
    assert zone.questions < 3 * 365


def test_a_time_is_skipped_or_shown_twice_also_at_midnight() -> None:
    berlin, beirut = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Beirut")  # at midnight there
    assert [
        (date(2026, 3, 29), datetime(2026, 3, 29, 1, tzinfo=UTC), False),
        (date(2026, 10, 25), datetime(2026, 10, 25, 0, 30, tzinfo=UTC), True),
    ] == [*clock_change_dates(time(2, 30), berlin, YEAR, 365)]
    assert [(date(2026, 3, 29), datetime(2026, 3, 28, 22, tzinfo=UTC), False)] == [
        *clock_change_dates(time(0, 0), beirut, YEAR, 365)
    ]
    assert [(date(2026, 10, 24), True)] == [
        (day, twice) for day, _, twice in clock_change_dates(time(23, 30), beirut, YEAR, 365)
    ]
