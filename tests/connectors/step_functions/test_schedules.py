"""When EventBridge Scheduler starts a state machine next: 2026-11-20 is a Friday."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from connectors.sdk.aws.schedules import next_instant, unreadable
from connectors.sdk.contract import HoldMark
from tests.rows import each_row

NOW = datetime(2026, 11, 20, 3, 30, tzinfo=UTC)


def schedule(expression: str, zone: str = "UTC", state: str = "ENABLED", **dates: str) -> dict[str, Any]:
    more = {name: datetime.fromisoformat(at) for name, at in dates.items()}
    return {"State": state, "ScheduleExpression": expression, "ScheduleExpressionTimezone": zone, **more}


def next_start_text(*row: dict[str, Any]) -> str:
    """ "20 04:15", with the month where it is another, with the year where it is another."""
    at = next_instant(row, NOW)
    if at is None:
        return ""
    day = f"{at:%Y-%m-%d}" if at.year != NOW.year else f"{at:%m-%d}" if (at - NOW).days > 5 else f"{at:%d}"
    return f"{day} {at:%H:%M}"


@each_row(
    "expression, zone, expected",
    [
        ("cron(15 4 * * ? *)", "UTC", "20 04:15"),
        ("cron(15 4 * * ? *)", "Europe/Berlin", "21 03:15"),
        ("cron(0 4 ? * MON-FRI *)", "UTC", "20 04:00"),
        ("cron(0 4 ? * 2-6 *)", "UTC", "20 04:00"),
        ("cron(0 4 ? * 1 *)", "UTC", "22 04:00"),
        ("cron(0 4 ? * 7 *)", "UTC", "21 04:00"),
        ("cron(0/20 4 * * ? *)", "UTC", "20 04:00"),
        ("at(2026-11-21T01:00:00)", "Europe/Berlin", "21 00:00"),
        ("at(2026-11-19T01:00:00)", "UTC", ""),
        ("rate(5 minutes)", "UTC", ""),
        ("cron(0 4 L * ? *)", "UTC", "11-30 04:00"),
        ("cron(0 4 15W * ? *)", "UTC", "12-15 04:00"),
        ("cron(0 4 28W * ? *)", "UTC", "11-27 04:00"),
        ("cron(0 4 29W NOV ? *)", "UTC", "11-30 04:00"),
        ("cron(0 4 1W MAY ? 2027)", "UTC", "2027-05-03 04:00"),
        ("cron(0 4 31W 1 ? 2027)", "UTC", "2027-01-29 04:00"),
        ("cron(0 4 LW * ? *)", "UTC", "11-30 04:00"),
        ("cron(0 4 ? * 6#3 *)", "UTC", "20 04:00"),
        ("cron(0 4 ? * TUE#2 *)", "UTC", "12-08 04:00"),
        ("cron(0 4 ? * 6L *)", "UTC", "11-27 04:00"),
        ("cron(0 4 ? * L *)", "UTC", "21 04:00"),
        ("cron(0 4 1,L * ? *)", "UTC", "11-30 04:00"),
        ("cron(0 4 30 2 ? *)", "UTC", ""),
        ("cron(0 4 29 2 ? *)", "UTC", "2028-02-29 04:00"),
        ("cron(0 4 * * ? 2027)", "UTC", "2027-01-01 04:00"),
        ("cron(0 4 * * ? 2027-2030)", "UTC", "2027-01-01 04:00"),
        ("cron(0 4 * * ? 2020)", "UTC", ""),
        ("cron(30 2 28 3 ? 2027)", "Europe/Berlin", ""),
        ("cron(30 2 31 10 ? 2027)", "Europe/Berlin", "2027-10-31 00:30"),
        ("cron(0 4 1 * 2 *)", "UTC", ""),
        ("cron(0 4 ? * 8 *)", "UTC", ""),
        ("cron(0 4 ? * 6#6 *)", "UTC", ""),
        ("cron(0 4 W * ? *)", "UTC", ""),
        ("cron(61 4 * * ? *)", "UTC", ""),
        ("cron(0 4 * * ? *)", "Europe/Berln", ""),
        ("", "UTC", ""),
    ],
)
def test_the_next_start_is_reported_where_the_expression_can_be_read(expression: str, zone: str, expected: str) -> None:
    assert expected == next_start_text(schedule(expression, zone))


def test_the_first_of_several_counts_and_an_unreadable_one_leaves_the_next_start_unknown() -> None:
    first, second = schedule("cron(0 6 * * ? *)"), schedule("cron(0 5 * * ? *)")
    assert "20 05:00" == next_start_text(first, second)
    assert "" == next_start_text(first, schedule("rate(5 minutes)"))


def test_what_a_person_disabled_does_not_count_and_what_we_hold_does() -> None:
    mark = HoldMark("headway-0123456789", "headway", NOW).text
    off = schedule("cron(0 5 * * ? *)", state="DISABLED")
    assert ("", "20 05:00") == (next_start_text(off), next_start_text({**off, "Description": mark}))
    assert "" == next_start_text()


@each_row(
    "expression, begins, expected",
    [
        ("rate(1 hour)", "2026-11-19T00:10:00Z", "20 04:10"),
        ("rate(2 hours)", "2026-11-20T03:30:00Z", "20 05:30"),
        ("rate(1 day)", "2026-10-01T04:00:00Z", "20 04:00"),
        ("rate(5 minutes)", "2026-11-21T00:00:00Z", "21 00:00"),
        ("rate(0 minutes)", "2026-11-21T00:00:00Z", ""),
        ("cron(0 4 * * ? *)", "2026-11-20T04:00:00Z", "20 04:00"),
        ("cron(0 4 * * ? *)", "2026-11-20T04:00:01Z", "21 04:00"),
    ],
)
def test_a_schedule_counts_from_its_start_date(expression: str, begins: str, expected: str) -> None:
    assert expected == next_start_text(schedule(expression, StartDate=begins))


def test_a_schedule_that_has_ended_starts_nothing() -> None:
    assert "" == next_start_text(schedule("cron(0 4 * * ? *)", EndDate="2026-11-20T03:59:00Z"))
    assert "20 04:00" == next_start_text(schedule("cron(0 4 * * ? *)", EndDate="2026-11-20T04:00:00Z"))


def test_what_starts_somewhere_in_a_window_names_no_instant() -> None:
    """Seen not to start at its instant, it would be started by us, and then by AWS."""
    window = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    assert None is next_instant([{**schedule("cron(0 4 * * ? *)"), "FlexibleTimeWindow": window}], NOW)


@each_row(
    "row, text",
    [
        (schedule("cron(0 4 * * ? *)"), ""),
        (schedule("rate(1 hour)"), "rate(1 hour) without a start date names no instant"),
        (schedule("rate(1 hour)", StartDate="2026-11-19T00:10:00Z"), ""),
        (schedule("cron(0 4 ? * 8 *)"), "cron(0 4 ? * 8 *) cannot be read"),
        (
            {**schedule("cron(0 4 * * ? *)"), "FlexibleTimeWindow": {"Mode": "FLEXIBLE"}},
            "cron(0 4 * * ? *) with a flexible time window names no instant",
        ),
    ],
)
def test_an_expression_without_an_instant_is_reported(row: dict[str, Any], text: str) -> None:
    assert text == unreadable(row, NOW)
