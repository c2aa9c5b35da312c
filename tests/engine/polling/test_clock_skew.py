"""Hosts whose clocks are hours apart (F45): what is compared is on one clock, whatever each of them says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.config.sections import DependencySettings, SystemConfig
from console.domain.estate import RunFacts
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler, NoOptions
from tests.present import present

HOUR = timedelta(hours=1)


@contextmanager
def two_clocks(folder: Path, extract: timedelta, report: timedelta) -> Iterator[Bench]:
    """`fake/extract` feeds `other/report`; each system's clock is so much ahead of ours."""
    scheduler, other = FakeScheduler(skew=extract), FakeScheduler(skew=report)
    scheduler.job("extract")
    scheduler.job("load")
    other.job("report")
    config = estate_config(folder, scheduler)
    second = SystemConfig("other", config.systems["fake"].settings, other.kind(), NoOptions())
    edge = DependencySettings(upstream="fake/extract", downstream="other/report")
    config = replace(config, systems={**config.systems, "other": second}, dependencies=(edge,))
    with running_bench(folder, scheduler, config) as bench:
        bench.others = other  # type: ignore[attr-defined]
        yield bench


def play(bench: Bench, ended: timedelta, began: timedelta) -> None:
    """In true time: extract ended and report began so long ago; each is reported by its host's clock."""
    other: FakeScheduler = bench.others  # type: ignore[attr-defined]
    mine, theirs = bench.scheduler.skew, other.skew
    done = present() - ended + mine
    bench.scheduler.attempt("extract", "e1", RunState.SUCCEEDED, done - timedelta(minutes=1), ended_at=done)
    other.attempt("report", "r1", RunState.SUCCEEDED, present() - began + theirs, ended_at=present() - began + theirs)
    for poller in bench.parts.pollers.values():
        poller.poll_once(bench.fence)
    bench.parts.evaluator.step(bench.fence)


def stale(bench: Bench) -> bool:
    with bench.reads() as reads:
        [run] = reads.runs.list_runs(reads.jobs.job("other/report").row.id)
    return run.stale_read


SKEWS = [
    (-HOUR, timedelta(0)),
    (HOUR, timedelta(0)),
    (timedelta(0), HOUR),
    (HOUR, -HOUR),
    (timedelta(minutes=-5), timedelta(minutes=5)),
]


@pytest.mark.parametrize("extract, report", SKEWS)
def test_f45_a_run_that_read_what_was_good_read_nothing_stale_whatever_the_clocks_say(
    tmp_path: Path, extract: timedelta, report: timedelta
) -> None:
    with two_clocks(tmp_path, extract, report) as bench:
        play(bench, ended=timedelta(minutes=10), began=timedelta(minutes=9))
        assert not stale(bench)


@pytest.mark.parametrize("extract, report", SKEWS)
def test_f45_a_run_that_read_too_early_is_stale_whatever_the_clocks_say(
    tmp_path: Path, extract: timedelta, report: timedelta
) -> None:
    with two_clocks(tmp_path, extract, report) as bench:
        play(bench, ended=timedelta(minutes=9), began=timedelta(minutes=10))
        assert stale(bench)


def test_f45_within_what_cannot_be_measured_no_stale_read_is_claimed(tmp_path: Path) -> None:
    with two_clocks(tmp_path, HOUR, timedelta(0)) as bench:
        play(bench, ended=timedelta(seconds=60), began=timedelta(seconds=61))
        assert not stale(bench)


def runs_of(bench: Bench) -> dict[str, RunFacts]:
    estate = bench.parts.evaluator.estate()
    return {estate.jobs[run.job_id].name: run for run in estate.runs}


def test_f45_decisions_use_our_clock_and_the_store_keeps_the_times_of_the_source(tmp_path: Path) -> None:
    with two_clocks(tmp_path, HOUR, timedelta(0)) as bench:
        play(bench, ended=timedelta(minutes=10), began=timedelta(minutes=9))
        assert present() - timedelta(minutes=10) == runs_of(bench)["fake/extract"].ended_at
        with bench.reads() as reads:
            [run] = reads.runs.list_runs(reads.jobs.job("fake/extract").row.id)
            shown = {target.system: target.skew_s for target in reads.estate.systems()}
        assert (present() - timedelta(minutes=10) + HOUR, {"fake": 3600.0, "other": 0.0}) == (run.ended, shown)


def test_f45_a_clock_stepped_back_in_mid_run_spoils_no_estimate(tmp_path: Path) -> None:
    """It ended before it began: stored as reported, without a duration."""
    with two_clocks(tmp_path, timedelta(0), timedelta(0)) as bench:
        bench.scheduler.attempt("extract", "e1", RunState.SUCCEEDED, present() - HOUR, ended_at=present() - 2 * HOUR)
        bench.turn()
        run = runs_of(bench)["fake/extract"]
        assert (RunState.SUCCEEDED, present() - HOUR, present() - 2 * HOUR) == (run.state, run.started_at, run.ended_at)
        assert not any(bench.parts.evaluator.estate().durations.values())


def test_a_start_stays_expected_once_a_source_whose_clock_is_ahead_names_the_next_one(bench: Bench) -> None:
    """By its own clock it is due already."""
    bench.scheduler.seen, bench.scheduler.skew = True, timedelta(seconds=30)
    due = (datetime.now(UTC) + timedelta(seconds=20)).replace(microsecond=0)
    later = due + timedelta(minutes=15)
    for named in (due, later):
        bench.scheduler.job("extract", Schedule("dagster", text="cron", next_at=named))
        bench.poller._inventory_at = 0.0
        bench.turn()
    planned = {run.period_at for run in bench.parts.evaluator.estate().runs if run.state is RunState.PLANNED}
    assert {due, later} == planned


def test_f44_impossible_times_cost_their_target_nothing(tmp_path: Path) -> None:
    with two_clocks(tmp_path, HOUR, timedelta(0)) as bench:
        end = datetime(9999, 12, 31, tzinfo=UTC)
        bench.scheduler.attempt("extract", "e1", RunState.SUCCEEDED, datetime(1, 1, 1, tzinfo=UTC), ended_at=end)
        bench.scheduler.attempt("extract", "e2", RunState.RUNNING, present(), period_key="extract@now")
        bench.turn()
        with bench.reads() as reads:
            states = {run.period_key: run.state for run in reads.runs.list_runs(reads.jobs.job("fake/extract").row.id)}
            assert ["", ""] == [target.error for target in reads.estate.systems()]
        assert {"extract@1-01-01": "succeeded", "extract@now": "running"} == states
