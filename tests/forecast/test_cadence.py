"""A learned cadence: what is seen in starts, how sure it is, and what is expected of a job by it alone."""

from __future__ import annotations

import tracemalloc
from array import array
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.states import RunEvidence, RunState
from console.control.expectations.expected_runs import expect_runs
from console.domain.calendar import Calendar
from console.domain.decision import ExpectedRun
from console.domain.dependency import DependencyOrigin
from console.domain.estate import DependencyFacts, JobFacts, RunFacts
from console.domain.history import RunHistory
from console.domain.settings import Declared
from console.timing.schedule import CACHE_SIZE, Cadence, learn_cadence
from console.timing.zones import instant_at, zone_of
from tests.control.ledger import Ledger
from tests.factories import at, estate, job, run, target
from tests.reasons import evidence_of, why_of
from tests.rows import each_row

BERLIN = "Europe/Berlin"


def nights(
    weeks: int, clock: str = "03:10", days: tuple[int, ...] = (0, 1, 2, 3, 4), zone: str = "UTC"
) -> list[datetime]:
    """The starts of the weeks before Friday 2026-11-20, at that local time."""
    first = date(2026, 11, 20) - timedelta(weeks=weeks)
    expected_days = [first + timedelta(days=number) for number in range(1, weeks * 7)]
    shown = time.fromisoformat(clock)
    return [instant_at(datetime.combine(day, shown), zone_of(zone)) for day in expected_days if day.weekday() in days]


def seconds(starts: list[datetime]) -> tuple[int, ...]:
    return tuple(int(instant.timestamp()) for instant in reversed(starts))


def late(starts: list[datetime], minutes: float, seed: int = 7) -> list[datetime]:
    """The same, each up to so many minutes later."""
    random = Random(seed)
    return [instant + timedelta(minutes=random.uniform(0, minutes)) for instant in starts]


def cadence(starts: list[datetime], zone: str = "UTC") -> Cadence:
    result = learn_cadence(seconds(starts), zone)
    assert result is not None
    return result


def test_a_nightly_job_is_learned_with_its_time_and_its_days() -> None:
    result = cadence(late(nights(6), 4))
    assert ((0, 1, 2, 3, 4), True, 29) == (result.weekdays, result.is_sure, result.starts)
    assert "Mon, Tue, Wed, Thu, Fri about 03:1" in result.text
    assert "UTC (learned: 100% of 29 starts)" in result.text


@pytest.mark.deep
def test_what_was_learned_takes_little_memory_however_often_jobs_start() -> None:
    """Each start has another past: the whole cache stays below 40 MB."""
    request_count, first = 500, seconds(late(nights(9), 4))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(request_count):
            learn_cadence(tuple(index + 60 * number for index in first), "UTC")
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / request_count * CACHE_SIZE < 40_000_000


def test_the_next_start_after_a_friday_is_on_monday() -> None:
    friday = datetime(2026, 11, 20, 3, 11, tzinfo=UTC)
    assert datetime(2026, 11, 23, 3, 10, tzinfo=UTC) == cadence(nights(6)).next_after(friday)


def test_a_time_of_day_is_preserved_over_a_clock_change() -> None:
    """02:40 in Berlin is another instant before and after 2026-10-25."""
    result = cadence(nights(8, "02:40", tuple(range(7)), BERLIN), BERLIN)
    assert "daily about 02:40 Europe/Berlin" in result.text
    assert result.is_sure


def test_a_job_around_midnight_has_one_time_of_day() -> None:
    """Half of its starts are shortly before, half shortly after."""
    base = nights(6, "23:50", tuple(range(7)))
    result = cadence([instant + timedelta(minutes=20 * (number % 2)) for number, instant in enumerate(base)])
    assert result.is_sure
    assert result.at.hour in (0, 23)


@each_row("minutes", [5, 15, 60, 240, 360])
def test_an_even_interval_is_learned(minutes: int) -> None:
    first = datetime(2026, 11, 18, tzinfo=UTC)
    result = cadence(late([first + timedelta(minutes=minutes * number) for number in range(40)], minutes / 50))
    assert (timedelta(minutes=minutes), True) == (result.every, result.is_sure)


def test_one_lost_night_and_one_rerun_do_not_unlearn_it() -> None:
    starts = nights(8, days=tuple(range(7)))
    starts = sorted([*starts[:20], *starts[21:], starts[30] + timedelta(hours=6)])
    result = cadence(starts)
    assert result.is_sure
    assert result.fits < 1


def test_what_a_person_starts_now_and_then_is_not_learned() -> None:
    random = Random(3)
    first = datetime(2026, 9, 1, tzinfo=UTC)
    result = learn_cadence(seconds(sorted(first + timedelta(hours=random.uniform(0, 1500)) for _ in range(40))), "UTC")
    assert result is None or not result.is_sure


@pytest.mark.parametrize("count", [0, 1, 7])
def test_too_few_starts_yield_no_cadence(count: int) -> None:
    assert None is learn_cadence(seconds(nights(6)[:count]), "UTC")


def test_one_week_yields_no_days_of_the_week() -> None:
    assert None is learn_cadence(seconds(nights(1, days=tuple(range(7)))), "UTC")


@given(
    st.integers(4, 10),
    st.sets(st.integers(0, 6), min_size=3),
    st.integers(0, 1439),
    st.integers(0, 20),
    st.integers(0, 99),
)
def test_any_weekly_pattern_is_learned_and_its_next_start_is_one_of_its_days(
    weeks: int, days: set[int], minute: int, jitter: int, seed: int
) -> None:
    clock = f"{minute // 60:02d}:{minute % 60:02d}"
    starts = late(nights(weeks, clock, tuple(days)), jitter, seed)
    result = learn_cadence(seconds(starts), "UTC")
    assert result is not None
    assert result.is_sure
    following = result.next_after(starts[-1])
    assert starts[-1] < following <= starts[-1] + timedelta(days=8)


# what is expected by it
def history(starts: list[datetime]) -> RunHistory:
    number = len(starts)
    ints: Callable[[], array[int]] = lambda: array("q", range(number))  # noqa: E731
    return RunHistory(run_ids=ints(), at=array("q", seconds(starts)), ended=array("q", seconds(starts)))


BY_HAND = job(1, "aws/settle", accepted_at=None)
DAILY = late(nights(6, "03:10", tuple(range(7))), 3)


def expected(
    now: str, *runs: RunFacts, of: JobFacts = BY_HAND, declared: Declared | None = None, fed: bool = False
) -> list[ExpectedRun]:
    host = target(last_ok_at=at(now), seen_until=at(now))
    feeds = [DependencyFacts(9, 1, DependencyOrigin.DECLARED)] if fed else []
    seen = estate(of, runs=runs, targets=[host], feeds=feeds, declared=declared or Declared())
    return list(expect_runs(replace(seen, history={1: history(DAILY)}), at(now)).runs)


def test_the_next_start_is_planned_and_says_that_it_was_learned() -> None:
    [expected_run] = expected("02:00")
    assert (RunState.PLANNED, RunEvidence.INFERRED) == (expected_run.state, expected_run.evidence)
    assert why_of(expected_run).startswith("usually daily about 03:1")
    assert "(learned: 100% of" in why_of(expected_run)


def test_what_did_not_come_is_missed_by_inference_and_only_after_what_is_usual() -> None:
    """Fifteen minutes at least are usual, whatever the grace says."""
    assert [RunState.PLANNED] == [run.state for run in expected("03:20")]
    [expected_run] = expected("03:40")
    assert (RunState.MISSED, RunEvidence.INFERRED) == (expected_run.state, expected_run.evidence)
    assert why_of(expected_run).startswith("no run by what is usual: daily about 03:1")


def test_a_start_takes_its_place_and_the_next_day_is_expected() -> None:
    begun = run(5, BY_HAND, "03:12", RunState.RUNNING, period_key="arn:1", period_at=None)
    [expected_run] = expected("03:40", begun)
    assert (RunState.PLANNED, "2026-11-21") == (expected_run.state, expected_run.period_key[:10])


def test_a_plan_that_a_start_has_overtaken_is_withdrawn() -> None:
    planned = run(4, BY_HAND, "03:11", RunState.PLANNED)
    begun = run(5, BY_HAND, "03:12", RunState.RUNNING, period_key="arn:1", period_at=None)
    seen = estate(BY_HAND, runs=(planned, begun), targets=[target(last_ok_at=at("03:40"), seen_until=at("03:40"))])
    assert (4,) == expect_runs(replace(seen, history={1: history(DAILY)}), at("03:40")).withdrawn


@pytest.mark.parametrize(
    "of",
    [
        replace(BY_HAND, paused_since=at("01:00")),
        replace(BY_HAND, gone_since=at("01:00")),
        replace(BY_HAND, parent_id=7),
    ],
)
def test_a_paused_or_removed_job_and_a_task_are_not_expected(of: JobFacts) -> None:
    assert [] == expected("03:40", of=of)


def test_a_job_started_by_an_upstream_is_not_expected() -> None:
    assert [] == expected("03:40", fed=True)


def test_its_calendar_leaves_out_the_days_that_do_not_count() -> None:
    days = Declared(calendars=(Calendar("own", tuple(range(7)), closed=(date(2026, 11, 19), date(2026, 11, 20))),))
    [expected_run] = expected("03:40", of=replace(BY_HAND, calendar="own"), declared=days)
    assert (RunState.PLANNED, date(2026, 11, 21)) == (expected_run.state, expected_run.business_date)


def test_what_stopped_long_ago_is_expected_no_more() -> None:
    assert [] == expected("03:40", of=BY_HAND) or DAILY[-1] > at("03:40", -3)
    old = [instant - timedelta(days=30) for instant in DAILY]
    seen = estate(BY_HAND, targets=[target(last_ok_at=at("03:40"), seen_until=at("03:40"))])
    assert () == expect_runs(replace(seen, history={1: history(old)}), at("03:40")).runs


def test_a_learned_start_that_did_not_come_is_notified_once_with_its_source() -> None:
    night = Ledger(replace(estate(BY_HAND), history={1: history(DAILY)}))
    assert () == night.evaluate("03:20").incidents
    incident = night.evaluate("03:40").incidents[0]
    assert 1 == len(incident.notices)
    assert "no run by what is usual: daily about 03:1" in evidence_of(incident)
    night.evaluate("03:41")


def test_a_source_that_proves_no_absence_is_given_a_while_to_report() -> None:
    """A source without a complete-until time, like Step Functions, gets a grace period before a run is missed."""
    states = {}
    for now in ("03:30", "03:45"):
        seen = estate(BY_HAND, targets=[target(last_ok_at=at(now), seen_until=None)])
        [usual] = expect_runs(replace(seen, history={1: history(DAILY)}), at(now)).runs
        states[now] = usual.state
    assert {"03:30": RunState.PLANNED, "03:45": RunState.MISSED} == states


def test_an_unresponsive_target_makes_no_run_missed() -> None:
    silent = target(last_ok_at=at("03:00"), seen_until=at("03:00"), failing_since=at("03:01"))
    seen = estate(BY_HAND, targets=[silent])
    [usual] = expect_runs(replace(seen, history={1: history(DAILY)}), at("05:00")).runs
    assert RunState.PLANNED == usual.state
