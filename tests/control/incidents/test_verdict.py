"""The verdict line: its verb, its countdown before and after the act-by, and what it saves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from console.control.incidents.verdict import countdown_text, fix_text, job_label, saved_text

NOW = datetime(2026, 11, 20, 3, 13, tzinfo=UTC)


def clock(at: datetime) -> str:
    return f"{at:%H:%M}"


@pytest.mark.parametrize(
    "job, label",
    [
        ("etl-hosts/db07:extract_orders", "extract_orders"),
        ("dwh/refresh_revenue", "refresh_revenue"),
        ("extract", "extract"),
        ("etl/odd:", "etl/odd:"),
    ],
)
def test_a_job_is_named_without_its_system_and_host(job: str, label: str) -> None:
    assert job_label(job) == label


@pytest.mark.parametrize(
    "minutes, text",
    [
        (8, "in 8 min"),
        (60, "in 1 h"),
        (177, "in 2 h 57 min"),
        (24 * 60, "in 1 d"),
        (26 * 60, "in 1 d 2 h"),
        (0.5, "now"),
        (-0.5, "now"),
        (-3, "3 min ago"),
        (-90, "1 h 30 min ago"),
    ],
)
def test_a_countdown_has_two_units_at_most(minutes: float, text: str) -> None:
    assert countdown_text(NOW + timedelta(minutes=minutes), NOW) == text


def test_the_fix_says_until_when_and_after_that_that_it_is_late() -> None:
    act_by = NOW + timedelta(minutes=54)
    assert fix_text("extract_orders", act_by, NOW, clock) == "restart extract_orders by 04:07 (in 54 min)"
    assert fix_text("extract_orders", None, NOW, clock) == "restart extract_orders"
    passed = fix_text("extract_orders", act_by, act_by + timedelta(minutes=3), clock)
    assert passed == "restart extract_orders now: act-by 04:07 passed 3 min ago"
    assert fix_text("x", act_by, act_by, clock) == "restart x now: act-by 04:07 passed"
    assert fix_text("db07", act_by, NOW, clock, verb="reconnect").startswith("reconnect db07 by 04:07")


def test_what_it_saves_names_two_and_counts_the_others() -> None:
    assert saved_text([]) == ""
    assert saved_text(["Supply plan", "Daily revenue"]) == "saves Supply plan, Daily revenue"
    assert saved_text(["A", "B", "C", "D", "E"]) == "saves A, B and 3 more"
