"""Noise: counted from notifications and verdicts, shown on demand, and reported once a week."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from connectors.sdk.states import RunState
from console.domain.ids import micros
from console.domain.noise import NoiseAlert, noise_report, report_tables, summary_lines
from console.engine.notify.periodic import WeeklyNoiseReport, monday_before
from console.store import alert_responses, audit
from console.timing.clock import Clock
from tests.engine.bench import Bench
from tests.hostile.commands import headway

MONDAY = datetime(2026, 11, 16, 7, tzinfo=UTC)
NOISE = (
    NoiseAlert("oncall", "opened", 1, "etl", "run", "hosts/a", True),
    NoiseAlert("oncall", "repeated", 1, "etl", "run", "hosts/a", None),
    NoiseAlert("oncall", "opened", 2, "etl", "run", "hosts/a", False),
    NoiseAlert("oncall", "opened", 3, "etl", "run", "hosts/a", False),
    NoiseAlert("finance", "opened", 4, "", "volume", "dwh/b", None),
)


def test_alerts_are_counted_by_route_owner_rule_and_job_the_loudest_first() -> None:
    result = noise_report(MONDAY, MONDAY, NOISE, [("silence", 2), ("wait", 9)], [2])
    assert [("oncall", 4, 3, 1), ("finance", 1, 1, 0)] == [
        (count.name, count.alerts, count.incidents, count.repeated) for count in result.routes
    ]
    assert (["etl", "nobody"], ["run", "volume"]) == (
        [count.name for count in result.owners],
        [count.name for count in result.rules],
    )
    assert [(1, 3), (0, 0)] == [(count.useful, count.judged) for count in result.routes]
    assert (("hosts/a", 3),) == result.flapping
    assert (("wait", 9), ("silence", 2)) == result.suppressed
    assert 3 == result.never_acknowledged


def test_what_came_back_under_one_number_came_again_and_again_too() -> None:
    """Flapping is one incident that is reopened: counted by incidents it would be quiet."""
    expected = (NoiseAlert("oncall", "opened", 1, "etl", "run", "hosts/a", None, 4),
            NoiseAlert("oncall", "updated", 1, "etl", "run", "hosts/a", None, 4),
            NoiseAlert("oncall", "opened", 2, "etl", "run", "hosts/b", None, 1))  # fmt: skip
    assert (("hosts/a", 5),) == noise_report(MONDAY, MONDAY, expected, (), ()).flapping


def test_a_time_without_alerts_says_so() -> None:
    report = noise_report(MONDAY, MONDAY, (), (), ())
    assert "0 alerts about 0 incidents, 0 of them repeated or escalated" == summary_lines(report)[0]
    assert [] == list(report_tables(report))


@pytest.mark.parametrize(
    "now, monday",
    [
        (MONDAY, MONDAY),
        (MONDAY - timedelta(seconds=1), MONDAY - timedelta(days=7)),
        (MONDAY + timedelta(days=6, hours=23), MONDAY),
    ],
)
def test_a_week_is_over_on_monday_morning(now: datetime, monday: datetime) -> None:
    assert monday == monday_before(now)


def failed(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, datetime.now(UTC) - timedelta(minutes=1), exit_code=1)
    bench.turn()


def test_the_command_counts_notifications_and_judgements(bench: Bench) -> None:
    failed(bench)
    origin = audit.ChangeOrigin("ann", "here", "", micros(datetime.now(UTC)))
    alert_responses.rate_alert(bench.store, bench.fence, 1, True, origin)
    data = headway(bench.url, "alert", "noise", "--since", "1d", "--json").data
    assert (1, 1, 1) == (data["total"]["alerts"], data["total"]["judged"], data["total"]["useful"])
    assert ["fake/extract"] == [root["name"] for root in data["roots"]]
    text = headway(bench.url, "alert", "noise").out
    assert "1 alert about 1 incident," in text
    assert "1 of 1 rated useful" in text


def test_the_weekly_summary_is_notified_once_whoever_restarts(bench: Bench) -> None:
    failed(bench)
    routes = {"oncall": ("env BENCH_URL",)}
    next_monday = monday_before(datetime.now(UTC)) + timedelta(days=7, hours=1)
    with capture_logs() as logs:
        for _ in range(2):
            weekly = WeeklyNoiseReport(bench.store, Clock(real=lambda: next_monday), "oncall", routes)
            weekly.step(bench.fence)
            weekly.step(bench.fence)
    assert ["noise report created"] == [entry["event"] for entry in logs if "noise" in entry["event"]], "not sent yet"
    bench.send()
    titles = [title for _, title, _ in bench.sink.got if "Alert noise, week of" in title]
    assert [f"Alert noise, week of {next_monday - timedelta(days=7):%Y-%m-%d}: 1 alerts"] == titles
