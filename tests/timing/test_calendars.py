"""Which days count: each kind of rule against days that anybody can look up on the wall."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.domain.calendar import WEEKDAYS, Calendar, CalendarWindow, DayRule
from console.timing import calendars
from console.timing.calendars import counts, next_days, previous_day
from tests.rows import each_row

EVERY_DAY = tuple(range(7))
WORKDAYS = Calendar("workdays")
BERLIN = Calendar("berlin", country="DE", subdivision="BE")


def day(text: str) -> date:
    return date.fromisoformat(text)


def on(*rules: str, **more: object) -> Calendar:
    return Calendar("ruled", on=tuple(map(DayRule.read, rules)), **more)  # type: ignore[arg-type]


def listed(calendar: Calendar, after: str, n: int) -> list[str]:
    return [str(candidate) for candidate in next_days(calendar, day(after), n)]


def test_working_days_leave_out_the_weekend() -> None:
    assert ["2026-11-20", "2026-11-23", "2026-11-24"] == listed(WORKDAYS, "2026-11-19", 3)


def test_a_public_holiday_does_not_count_in_its_country() -> None:
    assert ["2026-12-24", "2026-12-28"] == listed(BERLIN, "2026-12-23", 2)
    assert "Christmas Day" == calendars.holiday(BERLIN, day("2026-12-25"))


def test_a_holiday_of_one_part_counts_in_the_others() -> None:
    """International Women's Day is one in Berlin alone: 2027-03-08, a Monday."""
    bavaria = Calendar("bavaria", country="DE", subdivision="BY")
    assert (False, True) == (counts(BERLIN, day("2027-03-08")), counts(bavaria, day("2027-03-08")))


def test_closings_never_count_and_openings_always_do() -> None:
    closed = Calendar("own", closed=(day("2026-12-24"),), opened=(day("2026-12-26"),))
    assert (False, True) == (counts(closed, day("2026-12-24")), counts(closed, day("2026-12-26")))


@each_row(
    "rule, expected",
    [
        ("first business day", ["2026-12-01", "2027-01-01", "2027-02-01"]),
        ("last business day", ["2026-11-30", "2026-12-31", "2027-01-29"]),
        ("2nd last business day", ["2026-11-27", "2026-12-30", "2027-01-28"]),
        ("2nd tuesday", ["2026-12-08", "2027-01-12", "2027-02-09"]),
        ("last friday", ["2026-11-27", "2026-12-25", "2027-01-29"]),
        ("last business day of quarter", ["2026-12-31", "2027-03-31", "2027-06-30"]),
        ("last business day of year", ["2026-12-31", "2027-12-31", "2028-12-29"]),
        ("15th day", ["2026-12-15", "2027-01-15", "2027-02-15"]),
        ("first sunday", ["2026-12-06", "2027-01-03", "2027-02-07"]),
        ("5th monday", ["2026-11-30", "2027-03-29", "2027-05-31"]),
    ],
)
def test_a_rule_names_its_day_of_each_month_quarter_or_year(rule: str, expected: list[str]) -> None:
    assert expected == listed(on(rule), "2026-11-20", 3)


def test_the_first_business_day_is_after_the_holidays() -> None:
    """2027-01-01 is a Friday and New Year: the first business day is the Monday after it."""
    assert ["2027-01-04"] == listed(on("first business day", country="DE"), "2026-12-30", 1)


def test_a_rule_whose_day_is_a_holiday_names_none_in_that_month() -> None:
    """2026-12-25 is the last Friday of December."""
    assert ["2026-11-27", "2027-01-29"] == listed(on("last friday", country="DE"), "2026-11-20", 2)


def test_the_previous_business_day_of_a_monday_is_the_friday() -> None:
    assert day("2026-11-20") == previous_day(WORKDAYS, day("2026-11-23"))


def test_a_calendar_without_a_day_ends_every_question() -> None:
    never = Calendar("never", weekdays=())
    assert ((), None) == (next_days(never, day("2026-11-20"), 3), previous_day(never, day("2026-11-20")))


def test_the_beginning_of_time_ends_the_way_back() -> None:
    assert None is previous_day(Calendar("never", weekdays=()), date(1, 1, 2))


@each_row(
    "at, expected",
    [
        ("2026-11-24T20:59", False),  # 21:59 in Berlin, Tuesday
        ("2026-11-24T21:00", True),
        ("2026-11-25T02:59", True),  # 03:59 on Wednesday, of the window that opened on Tuesday
        ("2026-11-25T03:00", False),
        ("2026-11-25T21:30", False),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_opens(at: str, expected: bool) -> None:
    patches = on("4th tuesday", windows=(CalendarWindow(time(22), time(4)),), zone="Europe/Berlin")
    assert expected == calendars.is_open(patches, datetime.fromisoformat(at).replace(tzinfo=UTC))


def test_a_calendar_without_windows_is_open_all_day_of_its_own_zone() -> None:
    sydney = Calendar("sydney", zone="Australia/Sydney")
    assert calendars.is_open(sydney, datetime(2026, 11, 22, 13, 30, tzinfo=UTC))  # Monday 00:30 there
    assert not calendars.is_open(sydney, datetime(2026, 11, 20, 13, 30, tzinfo=UTC))  # Saturday 00:30


@each_row(
    "at, expected",
    [
        ("2026-12-25", "Christmas Day"),
        ("2026-11-21", "a Saturday"),
        ("2026-11-20", "counts"),
        ("2026-12-24", "named closed"),
    ],
)
def test_each_day_says_why_it_counts_or_not(at: str, expected: str) -> None:
    assert expected == calendars.day_reason(Calendar("b", country="DE", closed=(day("2026-12-24"),)), day(at))


@each_row(
    "on_day, opens, closes, expected, odd",
    [
        ("2026-03-29", time(2, 30), time(3, 30), [("01:00", "01:30")], [False]),
        ("2026-03-29", time(2), time(3), [], [False]),
        ("2026-03-29", time(1), time(5), [("00:00", "03:00")], []),
        ("2026-03-28", time(22), time(4), [("21:00", "02:00")], []),
        ("2026-10-25", time(2, 30), time(2, 45), [("00:30", "00:45"), ("01:30", "01:45")], [True, True]),
        ("2026-10-25", time(2, 30), time(3, 30), [("00:30", "01:00"), ("01:30", "02:30")], [True]),
        ("2026-10-25", time(1), time(5), [("23:00", "04:00")], []),
        ("2026-11-24", time(22), time(22), [("21:00", "21:00")], []),
    ],
)
def test_the_hours_of_a_window_are_those_at_which_it_is_open(
    on_day: str, opens: time, closes: time, expected: list[tuple[str, str]], odd: list[bool]
) -> None:
    """In Berlin. What the clock jumps over is not open; what it shows twice is open twice."""
    open_then = Calendar("w", tuple(range(7)), windows=(CalendarWindow(opens, closes),), zone="Europe/Berlin")
    [hours] = calendars.open_hours(open_then, day(on_day))
    assert expected == [(f"{begins:%H:%M}", f"{ends:%H:%M}") for begins, ends in hours.spans]
    assert odd == [twice for _, twice in hours.odd]
    only = Calendar("one", (), opened=(day(on_day),), windows=(CalendarWindow(opens, closes),), zone="Europe/Berlin")
    begins = datetime.combine(day(on_day), time(), UTC) - timedelta(hours=3)
    for at in (begins + timedelta(minutes=5 * number) for number in range(12 * 60)):
        assert calendars.is_open(only, at) == any(first <= at < last for first, last in hours.spans), at


@each_row("text", ["6th friday", "32nd day", "15th monday of quarter", "93rd last day of quarter"])
def test_a_day_that_no_month_has_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is never: there are at most"):
        DayRule.read(text)


def test_the_fifth_of_a_weekday_is_left_out_of_a_month_that_has_four() -> None:
    assert ["2026-03-31", "2026-06-30", "2026-09-29"] == [
        str(candidate) for candidate in next_days(on("5th tuesday"), day("2026-01-01"), 3)
    ]


@each_row("text", ["", "business day", "0th day", "2th moonday", "last", "first business day of week"])
def test_a_calendar_without_a_day_is_reported_with_the_fix(text: str) -> None:
    with pytest.raises(ValueError, match='names no day; write "first business day"'):
        DayRule.read(text)


RULES = [f"{nth} {kind}" for nth in ("first", "2nd", "last", "3rd last") for kind in ("business day", "day", *WEEKDAYS)]
CALENDARS = st.builds(
    Calendar,
    name=st.just("any"),
    weekdays=st.sets(st.sampled_from(EVERY_DAY)).map(lambda results: tuple(sorted(results))),
    country=st.sampled_from(["", "DE", "US"]),
    closed=st.lists(st.dates(date(2026, 1, 1), date(2027, 12, 31)), max_size=3).map(tuple),
    on=st.lists(st.sampled_from(RULES).map(DayRule.read), max_size=2).map(tuple),
)


@given(CALENDARS, st.dates(date(2026, 1, 1), date(2027, 6, 30)))
def test_the_next_day_is_the_first_after_it_and_the_way_back_leads_home(calendar: Calendar, start: date) -> None:
    result = calendars.next_day(calendar, start)
    if result is None:
        return
    between = [start + timedelta(days=n) for n in range(1, (result - start).days)]
    assert counts(calendar, result)
    assert not any(counts(calendar, day) for day in between)
    before = previous_day(calendar, result)
    assert before is None or before <= start
