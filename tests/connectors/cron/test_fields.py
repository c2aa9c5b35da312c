from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cron.dialects import TimeFieldError, read_times, schedule_text


@pytest.mark.parametrize(
    "expression, expected",
    [
        ("10 3 * * *", "daily at 03:10"),
        ("0 3,15 * * *", "daily at 03:00, 15:00"),
        ("*/15 * * * *", "every 15 minutes"),
        ("* * * * *", "every minute"),
        ("5 * * * *", "hourly at :05"),
        ("5 */2 * * *", "every 2 hours at :05"),
        ("0 6 * * 1-5", "Mon–Fri at 06:00"),
        ("0 6 * * sat,sun", "Sat, Sun at 06:00"),
        ("30 2 1 * *", "on day 1 of the month at 02:30"),
        ("@daily", "daily at 00:00"),
        ("@reboot", "when cron starts"),
        ("1-59/2 3 * jan *", "1-59/2 3 * jan *"),
    ],
)
def test_schedule_is_told_in_words_or_as_it_stands(expression: str, expected: str) -> None:
    assert expected == schedule_text(expression)


@pytest.mark.parametrize(
    "expression, expected",
    [
        ("60 * * * *", "bad minute"),
        ("* 24 * * *", "bad hour"),
        ("* * 0 * *", "bad day-of-month"),
        ("* * * 13 *", "bad month"),
        ("* * * * 8", "bad day-of-week"),
        ("5/15 * * * *", "bad minute"),
        ("*/0 * * * *", "bad minute"),
        ("9-5 * * * *", "bad minute"),
        ("* * * foo *", "bad month"),
        ("* * * *", "bad time specifier"),
        ("@fortnightly", "bad time specifier"),
    ],
)
def test_field_that_cron_refuses_is_refused_with_its_word(expression: str, expected: str) -> None:
    with pytest.raises(TimeFieldError) as caught:
        read_times(expression)
    assert expected == str(caught.value)


@pytest.mark.parametrize(
    "expression, local, expected",
    [
        ("10 3 * * *", datetime(2026, 11, 20, 3, 10, tzinfo=UTC), True),
        ("10 3 * * *", datetime(2026, 11, 20, 3, 11, tzinfo=UTC), False),
        ("0 0 * * 7", datetime(2026, 11, 22, 0, 0, tzinfo=UTC), True),
        ("0 0 13 * fri", datetime(2026, 11, 13, 0, 0, tzinfo=UTC), True),
        ("0 0 13 * fri", datetime(2026, 11, 20, 0, 0, tzinfo=UTC), True),
        ("0 0 */2 * fri", datetime(2026, 11, 20, 0, 0, tzinfo=UTC), False),
    ],
)
def test_due_minutes_follow_crons_rule_for_the_two_day_fields(expression: str, local: datetime, expected: bool) -> None:
    times = read_times(expression)
    assert times is not None
    assert expected is times.due(local)


def test_start_logged_late_belongs_to_the_latest_due_minute() -> None:
    times = read_times("0 3 * * *")
    assert times is not None
    assert times.minutes_since_due(datetime(2026, 11, 20, 3, 7, tzinfo=UTC)) == 7
    assert times.minutes_since_due(datetime(2026, 11, 20, 7, 0, tzinfo=UTC)) is None


@given(st.text(max_size=40))
def test_any_text_is_times_or_a_bad_field(text: str) -> None:
    try:
        read_times(text)
    except TimeFieldError:
        return
    assert schedule_text(text)
