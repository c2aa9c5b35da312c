"""From a scheduler's rows to the incident: the success of another period does not close it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from connectors.sdk.records import Schedule, instant_key
from connectors.sdk.states import PeriodKind, RunState
from console.store.meta import next_changed_seq
from tests.engine.bench import Bench
from tests.present import present


def as_reported(key: str | None, day: int | None, kind: PeriodKind | None) -> dict[str, Any]:
    """A period as a scheduler reports it: by its key, or by the instant or business date so many days from today."""
    if day is None:
        return {"period_key": key, "period_kind": kind}
    midnight = present().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=day)
    if kind is PeriodKind.INSTANT:
        return {"period_key": instant_key(midnight), "period_at": midnight}
    return {"period_key": None, "business_date": midnight.date()}


def named(name: str, kind: PeriodKind | None = None) -> tuple[str, None, PeriodKind | None]:
    return name, None, kind


def dated(day: int) -> tuple[None, int, None]:
    return None, day, None


def instant(day: int) -> tuple[None, int, PeriodKind]:
    return None, day, PeriodKind.INSTANT


STARTED = None, None, None


@pytest.mark.parametrize(
    "failed, good, is_open",
    [
        (named("2026-11-29"), named("2026-01-05"), True),
        (named("2026-11-29|eu"), named("2026-11-29|us"), True),
        (named("2026-11-29"), named("full", PeriodKind.ALL), False),
        (dated(0), dated(-300), True),
        (dated(0), dated(0), False),
        (dated(-1), dated(0), False),
        (instant(0), instant(-1), True),
        (instant(-1), instant(0), False),
        (named("run-1", PeriodKind.RUN), named("run-2", PeriodKind.RUN), False),
        (STARTED, STARTED, False),
    ],
)
def test_an_incident_is_closed_by_the_success_of_its_own_period(
    bench: Bench, failed: tuple[Any, Any, Any], good: tuple[Any, Any, Any], is_open: bool
) -> None:
    ago = timedelta(minutes=20)
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, present() - ago, **as_reported(*failed))
    bench.turn()
    bench.scheduler.attempt("extract", "a2", RunState.SUCCEEDED, present() - ago / 10, **as_reported(*good))
    bench.turn()
    with bench.reads() as reads:
        assert (int(is_open), int(not is_open)) == tuple(
            len(reads.incidents.list_incidents(closed)) for closed in (False, True)
        )


def test_the_same_partition_again_closes_it(bench: Bench) -> None:
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, present() - timedelta(minutes=20), period_key="eu")
    bench.turn()
    bench.scheduler.attempt("extract", "a2", RunState.SUCCEEDED, present() - timedelta(minutes=2), period_key="eu")
    bench.turn()
    with bench.reads() as reads:
        assert [] == reads.incidents.list_incidents()


def due(bench: Bench, ago: timedelta) -> datetime:
    """The job has a daily start, which was due so long ago."""
    at = (present() - ago).replace(second=0)
    bench.scheduler.job("extract", Schedule("debian-cron", f"{at.minute} {at.hour} * * *", "UTC"))
    bench.scheduler.seen = True
    return at


def stored(bench: Bench) -> dict[str, tuple[str, str]]:
    """Period key -> state and name, without the runs ahead."""
    with bench.store.read() as session:
        rows = session.rows("SELECT period_key, state, period_name FROM run WHERE state <> 'planned'")
    return {row.period_key: (row.state, row.period_name) for row in rows}


@pytest.mark.parametrize("partition", ["2026-11-29", "2026-11-29|eu", "eu"])
def test_a_scheduled_partition_is_the_run_that_was_due_and_a_backfill_is_not(bench: Bench, partition: str) -> None:
    at = due(bench, timedelta(minutes=-3))
    bench.turn()
    bench.scheduler.attempt("extract", "a0", RunState.SUCCEEDED, at, period_key="2026-01-05")
    bench.scheduler.attempt(
        "extract", "a1", RunState.SUCCEEDED, at + timedelta(seconds=5), period_key=None, period_name=partition
    )
    bench.turn()
    assert {"2026-01-05": ("succeeded", "2026-01-05"), instant_key(at): ("succeeded", partition)} == stored(bench)


@pytest.mark.parametrize("again, is_open", [("2026-11-29", False), ("2026-11-28", True)])
def test_a_failed_scheduled_partition_is_repaired_by_a_backfill_of_that_partition_alone(
    bench: Bench, again: str, is_open: bool
) -> None:
    at = due(bench, timedelta(minutes=2))
    bench.turn()
    failed = {"period_key": None, "period_name": "2026-11-29"}
    bench.scheduler.attempt("extract", "a1", RunState.FAILED, at + timedelta(seconds=5), **failed)
    bench.turn()
    bench.scheduler.attempt("extract", "a2", RunState.SUCCEEDED, at + timedelta(seconds=90), period_key=again)
    bench.turn()
    with bench.reads() as reads:
        assert int(is_open) == len(reads.incidents.list_incidents())


@pytest.mark.parametrize("days, is_open", [(0, False), (-1, True)])
def test_a_start_that_did_not_come_is_answered_by_a_launch_of_its_partition(
    bench: Bench, days: int, is_open: bool
) -> None:
    """The start of the day before was of that day; the source names none for the start that did not come."""
    at, day = due(bench, timedelta(minutes=6)), timedelta(days=1)
    before = at - day
    started = {"period_key": instant_key(before), "period_at": before, "period_name": f"{before:%Y-%m-%d}"}
    bench.scheduler.attempt("extract", "a1", RunState.SUCCEEDED, before, **started)
    bench.turn()
    with bench.store.write(None) as session:
        session.rows("UPDATE schedule SET accepted_us = accepted_us - 7200000000")
        session.rows(f"UPDATE job SET changed_seq = {next_changed_seq(session)}")
    bench.turn()
    assert ("missed", f"{at:%Y-%m-%d}") == stored(bench)[instant_key(at)]
    launched = f"{at + days * day:%Y-%m-%d}"
    bench.scheduler.attempt("extract", "a2", RunState.SUCCEEDED, at + timedelta(minutes=3), period_key=launched)
    bench.turn()
    with bench.reads() as reads:
        assert int(is_open) == len(reads.incidents.list_incidents())
