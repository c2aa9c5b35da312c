"""`OnCalendar=`: the instants that systemd computes for each expression (recorded from `systemd-analyze calendar` of
systemd 252, and live where it is installed). Nights of changed clocks are among them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.records import Schedule
from console.timing.durations import TICK
from console.timing.schedule import instants, last_instant, next_instant, schedule_fault, schedule_text
from tests.deep import few
from tests.rows import each_row

RECORDED: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "recordings" / "systemd" / "analyze-252.json").read_text()
)
ELAPSES = [row for row in RECORDED if "elapses" in row]
REFUSED = [row["expression"] for row in RECORDED if "refused" in row]
ANALYZE = shutil.which("systemd-analyze")


def systemd(expression: str, zone: str = "UTC") -> Schedule:
    return Schedule("systemd", expression, zone)


def ours(expression: str, after: str, n: int) -> list[str]:
    """The next `n` instants, one query after the other."""
    results: list[str] = []
    at: datetime | None = datetime.fromisoformat(after).replace(tzinfo=UTC)
    while at is not None and len(results) < n:
        at = next_instant(systemd(expression), at)
        results += [] if at is None else [at.replace(tzinfo=None).isoformat()]
    return results


@pytest.mark.parametrize("row", few(ELAPSES, 40), ids=lambda item: f"{item['expression']} after {item['after']}")
def test_it_elapses_when_systemd_says(row: dict[str, Any]) -> None:
    assert row["elapses"] == ours(row["expression"], row["after"], 8)[: len(row["elapses"])]
    if not row["elapses"]:
        assert [] == ours(row["expression"], row["after"], 1)


@each_row("expression", REFUSED)
def test_what_systemd_refuses_is_a_fault(expression: str) -> None:
    assert schedule_fault(systemd(expression)) is not None


@pytest.mark.deep
@each_row("expression", sorted({row["expression"] for row in ELAPSES}))
def test_the_installed_systemd_says_the_same(expression: str) -> None:
    assert_installed_systemd_agrees(expression, "2026-11-20 12:00:00", 8)


def assert_installed_systemd_agrees(expression: str, after: str, count: int) -> None:
    line = [str(ANALYZE), "calendar", f"--iterations={count}", f"--base-time={after} UTC", expression]
    stdout = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "TZ": "UTC"}).stdout
    matches = re.findall(r"(?:Next elapse|\(in UTC\)|Iter\. #\d+): \w+ (\S+) (\S+) UTC", stdout)
    assert [f"{on}T{at}" for on, at in matches] == [at[:19] for at in ours(expression, after, count)][: len(matches)]


@each_row(
    "expression, expected",
    [
        ("*-*-* 03:00:00 CET", ["2026-11-27T02:00:00", "2026-11-28T02:00:00"]),
        ("*-*-* 03:00:00 EST5EDT", ["2026-11-27T08:00:00", "2026-11-28T08:00:00"]),
        ("03:00 utc", ["2026-11-27T03:00:00", "2026-11-28T03:00:00"]),
        ("03:00 GMT", ["2026-11-27T03:00:00", "2026-11-28T03:00:00"]),
        ("03:00 Japan", ["2026-11-27T18:00:00", "2026-11-28T18:00:00"]),
        ("daily CET", ["2026-11-27T23:00:00", "2026-11-28T23:00:00"]),
        ("*-*-* 05:00:00.500000", ["2026-11-27T05:00:00.500000", "2026-11-28T05:00:00.500000"]),
        ("*-*-* 05:00:0,30.25", ["2026-11-27T05:00:00", "2026-11-27T05:00:30.250000"]),
        ("*-*-* 0:0:0/7.5", ["2026-11-27T00:00:07.500000", "2026-11-27T00:00:15"]),
        ("@1796000000", ["2026-11-30T00:53:20"]),
        ("@1796000000 UTC", ["2026-11-30T00:53:20"]),
    ],
)
def test_zones_fractions_and_one_instant_are_read_as_systemd_reads_them(expression: str, expected: list[str]) -> None:
    assert expected == ours(expression, "2026-11-27 00:00:00", 2)
    if ANALYZE is not None:
        assert_installed_systemd_agrees(expression, "2026-11-27 00:00:00", 2)


@each_row("expression", ["CET", "03:00 Mars", "03:00 Mars/Olympus", "@1796000000.5", "03:00:60", "today"])
def test_what_systemd_refuses_beside_a_zone_or_an_instant_is_a_fault(expression: str) -> None:
    assert schedule_fault(systemd(expression)) is not None


def test_more_times_in_a_minute_than_can_be_kept_are_not_expanded() -> None:
    assert "more than 6,000 times" in str(schedule_fault(systemd("*:*:0/0.000001")))


def test_the_hosts_zone_counts_where_the_expression_names_none() -> None:
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert datetime(2026, 11, 21, 1, 30, tzinfo=UTC) == next_instant(systemd("*-*-* 02:30", "Europe/Berlin"), at)


def test_a_night_in_the_gap_has_no_start_and_one_in_the_overlap_has_one() -> None:
    """Unlike cron, which makes up for what the clocks jump over."""
    nightly = systemd("02:30", "Europe/Berlin")
    spring, autumn = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)
    day = timedelta(hours=12)
    assert [] == instants(nightly, spring, spring + day)
    assert [datetime(2026, 10, 25, 0, 30, tzinfo=UTC)] == instants(nightly, autumn, autumn + day)


def test_several_expressions_of_a_timer_are_one_schedule() -> None:
    both = systemd("Mon 10:00; Fri 12:30")
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    results = instants(both, at, at + timedelta(days=7))
    assert ["Fri 12:30", "Mon 10:00"] == [f"{instant:%a %H:%M}" for instant in results]
    assert datetime(2026, 11, 16, 10, tzinfo=UTC) == last_instant(both, at)


def test_each_expression_of_a_timer_counts_in_its_own_zone() -> None:
    three = systemd("02:30 Europe/Berlin; 01:30 UTC; 00:45 America/New_York; 03:30 Europe/Berlin")
    at = datetime(2026, 10, 24, 12, tzinfo=UTC)
    results = instants(three, at, at + timedelta(days=2))
    expected = ["25 00:30", "25 01:30", "25 02:30", "25 04:45", "26 01:30", "26 02:30", "26 04:45"]
    assert expected == [f"{instant:%d %H:%M}" for instant in results]
    assert results == [*reversed(stepped_back(three, at + timedelta(days=2), at))]


def stepped_back(schedule: Schedule, at: datetime, until: datetime) -> list[datetime]:
    found: list[datetime] = []
    while (at := last_instant(schedule, at - TICK) or until) > until:
        found.append(at)
    return found


def test_its_text_is_the_expression() -> None:
    assert "Mon..Fri 02:30" == schedule_text(systemd("Mon..Fri 02:30"))
