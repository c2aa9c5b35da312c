"""A run that somebody executes again days later is an attempt of the run that its schedule started."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from connectors.sdk.records import Schedule
from console.store.ingest import targets
from console.timing.business_dates import assign_periods
from tests.store.estate import Estate, failed, run


def test_an_attempt_of_days_later_joins_the_run_that_it_executes_again(night: Estate) -> None:
    night.ingest(failed(attempt="root"))
    bare = run(attempt="later", period_key=None, period_at=None)
    assert bare.started_at is not None
    later = bare.started_at + timedelta(days=4)
    again = replace(bare, started_at=later, queued_at=None, ended_at=later, again_of="root")
    schedules = {again.job: Schedule("debian-cron", "10 3 * * *")}
    records = assign_periods([again], schedules, *targets.started_periods(night.store, night.host, [again]))
    night.ingest(*records)
    assert [("2026-11-20T03:10:00Z", 2)] == night.rows("SELECT period_key, attempts FROM run")


def test_a_start_on_time_joins_the_run_that_began_by_hand_just_before_its_clock(night: Estate) -> None:
    """Also where the two came in different polls: the store tells when the first one began."""
    due = datetime(2026, 11, 20, 3, 10, tzinfo=UTC)
    schedules = {"db07:extract": Schedule("debian-cron", "10 3 * * *")}
    for attempt, started in (("by hand", due - timedelta(minutes=6)), ("by the clock", due + timedelta(seconds=1))):
        bare = run(attempt=attempt, period_key=None, period_at=None, started_at=started, queued_at=None)
        taken = targets.started_periods(night.store, night.host, [bare])
        night.ingest(*assign_periods([bare], {bare.job: schedules["db07:extract"]}, *taken, may_start_early=True))
    assert [("2026-11-20T03:10:00Z", 2)] == night.rows("SELECT period_key, attempts FROM run")
