from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.cron.expressions import TimeFieldError, plain_expression, read_times, schedule_text
from connectors.sdk.records import Schedule
from console.timing.schedule import next_instant, schedule_fault
from tests.rows import each_row


@each_row(
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
        ("*/90 * * * *", "hourly at :00"),
        ("*/45 * * * *", "hourly at :00, :45"),
        ("*/11 * * * *", "*/11 * * * *"),
        ("*/30 * * * *", "hourly at :00, :30"),
        ("0 */23 * * *", "daily at 00:00, 23:00"),
        ("0 */1 * * *", "hourly at :00"),
        ("0 */30 * * *", "daily at 00:00"),
        ("0 */5 * * *", "0 */5 * * *"),
        ("0 4 * * sun-7", "daily at 04:00"),
        ("0 4 * * 1-7", "daily at 04:00"),
        ("0 4 13 * 0-6", "0 4 13 * 0-6"),
        ("0 0 31 2 *", "never runs: 0 0 31 2 *"),
        ("0 0 31 2,4 *", "never runs: 0 0 31 2,4 *"),
        ("0 0 31 2 mon", "0 0 31 2 mon"),
        ("0 0 29 2 *", "0 0 29 2 *"),
        ("0 0 * * wed-sun", "never runs: 0 0 * * wed-sun"),
        ("49-49/1 * * * *", "hourly at :49"),
        ("*5 * * * *", "every minute"),
    ],
)
def test_a_schedule_is_described_or_printed_verbatim(expression: str, expected: str) -> None:
    assert expected == schedule_text(expression)


@each_row(
    "expression, expected",
    [
        ("60 * * * *", "bad minute"),
        ("* 24 * * *", "bad hour"),
        ("* * 0 * *", "bad day-of-month"),
        ("* * * 13 *", "bad month"),
        ("* * * * 8", "bad day-of-week"),
        ("5/15 * * * *", "bad minute"),
        ("*/0 * * * *", "bad minute"),
        ("70-5 * * * *", "bad minute"),
        ("1- * * * *", "bad minute"),
        ("1x * * * *", "bad minute"),
        ("1, * * * *", "bad minute"),
        ("*/4294967295 * * * *", "bad minute"),
        ("18446744073709551616 * * * *", "bad minute"),
        ("* * * * \xa0*", "bad day-of-week"),
        ("* \r* * * *", "bad hour"),
        ("@DAILY", "bad time specifier"),
        ("* * * foo *", "bad month"),
        ("* * * *", "bad time specifier"),
        ("@fortnightly", "bad time specifier"),
    ],
)
def test_a_field_that_cron_refuses_is_refused_with_its_text(expression: str, expected: str) -> None:
    with pytest.raises(TimeFieldError) as caught:
        read_times(expression)
    assert expected == str(caught.value)


@each_row(
    "expression, expected",
    [
        ("*/5 1-5 1,2 jan mon-fri", "*/5 1-5 1,2 jan mon-fri"),
        ("49-49/1 * * * *", "49 * * * *"),
        ("0 1,5-5/2 * * *", "0 1,5 * * *"),
        ("0 0 * * mon-1/2", "0 0 * * 1"),
        ("1,5-3 * * * *", "1 * * * *"),
        ("5-3,*/2 * * * *", "0-59/2 * * * *"),
        ("5-3 * * * *", "5-3 * * * *"),
        ("0 0 5-3 * mon", "0 0 * * mon"),
        ("0 0 13 * wed-sun", "0 0 13 * *"),
        ("0 0 */2 * wed-sun", "0 0 */2 * wed-sun"),
        ("1~5 * * * *", "1 * * * *"),
        ("*5 ** */5* 1@ mon.", "* * */5 1 1"),
        ("0-5-9 0.5 1;30 * *", "0-5 0 1 * *"),
        ("0-30/5/2 1.,99 * * *", "0-30/5 1 * * *"),
        ("00005 4294967296 * * *", "5 0 * * *"),
        ("*\v * * * *", "* * * * *"),
        ("@daily", "@daily"),
    ],
)
def test_what_debians_cron_reads_in_the_syntax_of_every_reader(expression: str, expected: str) -> None:
    """Each accepted, and run at these times, by cron 3.0pl1-162."""
    assert expected == plain_expression(expression)


ODD = st.text("0123456789*,-/~.", min_size=1, max_size=6)


def field(low: int, high: int) -> st.SearchStrategy[str]:
    """A field of a crontab, valid for most values."""
    numbers = st.integers(low, high).map(str)
    ranges = st.lists(st.integers(low, high), min_size=2, max_size=2).map(lambda ends: f"{min(ends)}-{max(ends)}")
    steps = st.tuples(st.just("*") | ranges, st.integers(1, high).map(str)).map("/".join)
    return st.lists(numbers | ranges | steps | st.just("*"), min_size=1, max_size=3).map(",".join)


PARTS = st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7))


@example(("*5", "**", "*/5*", "1@", "mon."))
@example(("0", "0", "31", "2", "*"))
@given(PARTS | st.tuples(ODD, ODD, ODD, ODD, ODD))
def test_the_plain_expression_has_the_same_times(parts: tuple[str, ...]) -> None:
    expression = " ".join(parts)
    try:
        times = read_times(expression)
    except TimeFieldError:
        return
    assert times is not None
    plain = plain_expression(expression)
    if times.is_never:
        assert plain == expression
    else:
        schedule = Schedule("debian-cron", plain, "UTC")
        assert schedule_fault(schedule) is None
        start = datetime(2026, 1, 1, tzinfo=UTC)
        following = next_instant(schedule, start)
        assert following is None or times.due(following)


@each_row(
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


@given(st.text(max_size=40) | PARTS.map(" ".join))
def test_any_text_is_times_or_a_bad_field(text: str) -> None:
    try:
        read_times(text)
    except TimeFieldError:
        return
    assert schedule_text(text)
