"""When EventBridge Scheduler starts a state machine next: 2026-11-20 is a Friday."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.contract import HoldMark
from connectors.step_functions.schedules import next_instant

NOW = datetime(2026, 11, 20, 3, 30, tzinfo=UTC)


def schedule(expression: str, zone: str = "UTC", state: str = "ENABLED", **more: str) -> dict[str, str]:
    return {"State": state, "ScheduleExpression": expression, "ScheduleExpressionTimezone": zone, **more}


def told(*found: dict[str, str]) -> str:
    at = next_instant(found, NOW)
    return "" if at is None else f"{at:%d %H:%M}"


@pytest.mark.parametrize(
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
        ("cron(0 4 L * ? *)", "UTC", ""),
        ("cron(0 4 15W * ? *)", "UTC", ""),
        ("cron(0 4 ? * 6#3 *)", "UTC", ""),
        ("cron(0 4 30 2 ? *)", "UTC", ""),
        ("cron(0 4 * * ? 2027)", "UTC", ""),
        ("cron(61 4 * * ? *)", "UTC", ""),
        ("cron(0 4 * * ? *)", "Europe/Berln", ""),
        ("", "UTC", ""),
    ],
)
def test_the_next_start_is_told_where_the_expression_can_be_read(expression: str, zone: str, expected: str) -> None:
    assert expected == told(schedule(expression, zone))


def test_the_first_of_several_counts_and_one_that_cannot_be_read_leaves_nothing_to_tell() -> None:
    first, second = schedule("cron(0 6 * * ? *)"), schedule("cron(0 5 * * ? *)")
    assert "20 05:00" == told(first, second)
    assert "" == told(first, schedule("rate(5 minutes)"))


def test_what_a_person_disabled_does_not_count_and_what_we_hold_does() -> None:
    mark = HoldMark("headway-0123456789", "headway", NOW).text
    off = schedule("cron(0 5 * * ? *)", state="DISABLED")
    assert ("", "20 05:00") == (told(off), told({**off, "Description": mark}))
    assert "" == told()
