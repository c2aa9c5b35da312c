"""A run that somebody executes again days later is an attempt of the run that its schedule started."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connectors.sdk.records import Schedule, instant_key
from connectors.sdk.states import RunEvidence, RunState
from console.domain.decision import Decisions, ExpectedRun
from console.store.decisions import apply_decisions
from console.store.ingest import targets
from console.timing.business_dates import assign_periods
from tests.rows import each_row
from tests.store.estate import Estate, at, failed, run


def test_an_attempt_of_days_later_joins_the_run_that_it_executes_again(night: Estate) -> None:
    night.ingest(failed(attempt="root"))
    bare = run(attempt="later", period_key=None, period_at=None)
    assert bare.started_at is not None
    later = bare.started_at + timedelta(days=4)
    again = replace(bare, started_at=later, queued_at=None, ended_at=later, again_of="root")
    schedules = {again.job: Schedule("debian-cron", "10 3 * * *")}
    records = assign_periods([again], schedules, *targets.started_periods(night.store, night.host, [again], schedules))
    night.ingest(*records)
    assert [("2026-11-20T03:10:00Z", 2)] == night.rows("SELECT period_key, attempts FROM run")


@pytest.mark.parametrize("first, second", [(3, 4), (1, 3), (2, 7), (1, 40), (21, 40)])
def test_attempts_of_a_numbered_run_join_whichever_was_seen_first(night: Estate, first: int, second: int) -> None:
    """The rerun of a run that was first seen at its third attempt was a run of its own, and its action stayed sent."""
    due = datetime(2026, 11, 20, 3, 10, tzinfo=UTC)
    schedules = {run().job: Schedule("debian-cron", "10 3 * * *")}
    for number, started in ((first, due), (second, due + timedelta(days=2))):
        again_of = "r7.1" if number > 1 else ""
        bare = run(attempt=f"r7.{number}", period_key=None, period_at=None, started_at=started, queued_at=None)
        bare = replace(bare, again_of=again_of, ended_at=bare.started_at)
        if number == second:
            bare = replace(bare, state=RunState.WAITING, started_at=None, ended_at=None)
        started_periods = targets.started_periods(night.store, night.host, [bare], schedules)
        night.ingest(*assign_periods([bare], schedules, *started_periods))
    assert [("2026-11-20T03:10:00Z", 2)] == night.rows("SELECT period_key, attempts FROM run")


def test_the_tenth_attempt_is_behind_the_ninth_where_both_show_the_start_of_the_run(night: Estate) -> None:
    """By their keys as text the ninth was the last one: a run that ended well stayed red."""
    night.ingest(failed(attempt="r7.9"), run(attempt="r7.10"))
    assert [("r7.9", 1), ("r7.10", 2)] == night.rows("SELECT attempt_key, number FROM attempt ORDER BY number")
    assert "succeeded" == night.fetch_one("SELECT state FROM run")


@pytest.mark.parametrize(
    "ref, numbers",
    [("r7", [3, 5]), ("", [1, 2]), ("r8", [1, 2]), ("r7.3", [1, 2])],
    ids=["its own", "", "other", "key"],
)
def test_an_attempt_has_the_number_of_its_source(night: Estate, ref: str, numbers: list[int]) -> None:
    """Attempt 5 of the scheduler was attempt 2 in `headway log --attempt`, and attempt 5 in a preview."""
    night.ingest(replace(failed(attempt="r7.3"), native_ref=ref))
    night.ingest(replace(run(attempt="r7.5"), native_ref=ref))
    rows = night.rows("SELECT attempt_key, number FROM attempt ORDER BY number")
    assert [*zip(("r7.3", "r7.5"), numbers, strict=True)] == rows
    assert 2 == night.fetch_one("SELECT attempts FROM run")


@each_row("key", ["r70.2", "r7.x", "r7.99999999999", "r7.²"])
def test_only_a_further_number_of_the_same_run_repeats_those_before(key: str) -> None:
    assert ("r7.1",) == replace(run(attempt=key), again_of="r7.1").repeated
    assert () == run(attempt=key).repeated


def test_a_start_on_time_joins_the_run_that_began_by_hand_just_before_its_clock(night: Estate) -> None:
    """Also where the two came in different polls: the store has the start of the first one."""
    due = datetime(2026, 11, 20, 3, 10, tzinfo=UTC)
    schedules = {run().job: Schedule("debian-cron", "10 3 * * *")}
    for attempt, started in (("by hand", due - timedelta(minutes=6)), ("by the clock", due + timedelta(seconds=1))):
        bare = run(attempt=attempt, period_key=None, period_at=None, started_at=started, queued_at=None)
        started_periods = targets.started_periods(night.store, night.host, [bare], schedules)
        night.ingest(*assign_periods([bare], schedules, *started_periods, may_start_early=True))
    assert [("2026-11-20T03:10:00Z", 2)] == night.rows("SELECT period_key, attempts FROM run")


@pytest.mark.parametrize("schedules", [{}, {run().job: Schedule("none")}])
def test_of_a_job_without_a_clock_the_periods_of_these_attempts_alone_are_read(
    night: Estate, schedules: dict[str, Schedule]
) -> None:
    """Its other runs of the day may be a hundred thousand, and no start is matched with one of them."""
    bare = [run(attempt=f"a{number}", period_key=None, period_at=None) for number in range(5)]
    night.ingest(*assign_periods(bare, schedules, {}))
    late = replace(bare[3], started_at=bare[3].ended_at)
    started_periods = targets.started_periods(night.store, night.host, [late], schedules)
    assert [(late.job, f"start:{instant_key(at('03:10'))}")] == list(started_periods.owners)
    assert started_periods.owners == dict.fromkeys(started_periods.owners, "a3")
    assert {} == started_periods.spans
    [again] = assign_periods([late], schedules, *started_periods)
    assert again.period_key == f"start:{instant_key(at('03:10'))}", "a known attempt keeps its period"


def test_a_period_waits_for_a_start_until_one_has_come(night: Estate) -> None:
    """A run by hand 20 hours later is the late run of a night that is known to be missed, and of no other."""
    due = datetime(2026, 11, 20, 3, 10, tzinfo=UTC)
    schedules = {run().job: Schedule("debian-cron", "10 3 * * *")}
    bare = run(attempt="by hand", period_key=None, period_at=None, queued_at=None)
    by_hand = replace(bare, started_at=due + timedelta(hours=20), ended_at=due + timedelta(hours=21))
    assert {} == targets.started_periods(night.store, night.host, [by_hand], schedules).waiting
    key, job, date = instant_key(due), night.job_id(), due.date()
    missed = ExpectedRun(job, key, due, date, RunState.MISSED, RunEvidence.INFERRED, ("no run by 03:25",))
    apply_decisions(night.store, Decisions(expected=(missed,)), due + timedelta(hours=1), 1, None, {})
    periods = targets.started_periods(night.store, night.host, [by_hand], schedules)
    assert {by_hand.job: {key}} == periods.waiting
    assert {} == periods.owners
    night.ingest(*assign_periods([by_hand], schedules, *periods))
    assert [("2026-11-20T03:10:00Z", 1)] == night.rows("SELECT period_key, attempts FROM run")
    periods = targets.started_periods(night.store, night.host, [by_hand], schedules)
    assert ({}, {(by_hand.job, key): "by hand"}) == (periods.waiting, periods.owners)


@pytest.mark.parametrize(
    "state, evidence, ended, due",
    [
        (RunState.RUNNING, RunEvidence.NATIVE, None, "04:00"),
        (RunState.SUCCEEDED, RunEvidence.NATIVE, "06:20", "04:00"),
        (RunState.FAILED, RunEvidence.NATIVE, None, "06:00"),  # a restart of its scheduler cut it, and lost the queue
        (RunState.LOST, RunEvidence.INFERRED, "06:20", "06:00"),
    ],
)
def test_a_queued_start_is_known_by_the_run_before_it_in_the_store(
    night: Estate, state: RunState, evidence: RunEvidence, ended: str | None, due: str
) -> None:
    schedules = {run().job: Schedule("pg_cron", "0 * * * *")}
    bare = replace(run(period_key=None, period_at=None), queued_at=None, ended_at=at("06:30"))
    before = replace(
        bare, attempt_key="a", started_at=at("03:00"), ended_at=at(ended) if ended else None, state=state,
        evidence=evidence,
    )  # fmt: skip
    for record in (before, replace(bare, attempt_key="b", started_at=at("06:20:01"))):
        started_periods = targets.started_periods(night.store, night.host, [record], schedules)
        night.ingest(*assign_periods([record], schedules, *started_periods), now="06:40")
    begun = night.rows("SELECT period_key FROM run WHERE attempts > 0 ORDER BY period_key")
    assert [(instant_key(at("03:00")),), (instant_key(at(due)),)] == begun
