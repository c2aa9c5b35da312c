"""Starts that are due while the run before is open, of jobs that never overlap themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.control.expectations.expected_runs import expect_runs
from console.control.snapshot.incremental import EvaluationMemo
from console.domain.estate import JobFacts
from console.domain.finding import DetectionRule
from console.domain.history import SuccessfulRun, build_history
from tests.control.ledger import Ledger
from tests.factories import NIGHT, at, estate, job, run, target
from tests.reasons import why_of

CALENDAR, CRON = "*-*-* *:0/15:00", "*/15 * * * *"
DROPPING = [("systemd", CALENDAR), ("pgagent", CALENDAR), ("kubernetes-forbid", CRON)]
OVERLAPPING = [("kubernetes", CRON), ("mysql_events", CALENDAR), ("debian-cron", CRON), ("dagster", CRON)]


def often(dialect: str, expression: str) -> JobFacts:
    return job(1, "hosts/often", Schedule(dialect, expression), accepted_at=at("03:02"), kind=dialect)


def states(night: Ledger) -> dict[str, RunState]:
    """Of the starts that were due."""
    due = (run for run in night.estate.runs if run.period_at is not None and run.state is not RunState.PLANNED)
    return {f"{run.period_at:%H:%M}": run.state for run in due}


def night_of(of_job: JobFacts, *, evaluated: tuple[str, ...], ended: str = "") -> Ledger:
    """The run of 03:15 is open until then; the job is seen to have succeeded often, each time within a second."""
    runs = [SuccessfulRun(n, int(at("03:00").timestamp()) - 900 * n, int(at("03:00").timestamp()) - 900 * n + 60, 60.0,
                          1.0, -1.0, 1, -1.0, "", NIGHT.toordinal()) for n in range(1, 21)]  # fmt: skip
    night = Ledger(replace(estate(of_job), history={of_job.id: build_history(runs)}))
    night.evaluate("03:03")
    night.run(of_job, "03:15", RunState.RUNNING, started_at=at("03:15:01"))
    for clock in evaluated:
        if ended and at(clock) >= at(ended):
            night.run(of_job, "03:15", RunState.SUCCEEDED, started_at=at("03:15:01"), ended_at=at(ended))
        night.evaluate(clock)
    return night


@pytest.mark.parametrize("dialect, expression", [*DROPPING, ("pg_cron", CRON)])
def test_no_start_is_missed_while_the_run_before_is_open(dialect: str, expression: str) -> None:
    night = night_of(often(dialect, expression), evaluated=("03:16", "03:31", "03:36", "03:51"))
    assert ({"03:15": RunState.RUNNING}, ()) == (states(night), night.estate.incidents)
    assert [DetectionRule.TOO_LONG] == [stored.finding.rule for stored in night.estate.findings]
    waiting = next(run for run in night.estate.runs if run.period_at == at("03:30"))
    assert (RunState.PLANNED, "waits for the end of the run since 03:15 UTC") == (waiting.state, why_of(waiting))


@pytest.mark.parametrize("dialect, expression", DROPPING)
def test_a_start_that_its_scheduler_drops_is_skipped_and_the_next_one_is_judged(dialect: str, expression: str) -> None:
    night = night_of(often(dialect, expression), evaluated=("03:31", "03:53", "03:57"), ended="03:52")
    skipped = {"03:15": RunState.SUCCEEDED, "03:30": RunState.SKIPPED, "03:45": RunState.SKIPPED}
    assert (skipped, ()) == (states(night), night.estate.incidents)
    why = {why_of(run) for run in night.estate.runs if run.state is RunState.SKIPPED}
    assert {"the run since 03:15 UTC ended at 03:52 UTC"} == why
    night.evaluate("04:06")
    assert {**skipped, "04:00": RunState.MISSED} == states(night)
    assert 1 == len(night.estate.incidents)


def test_a_start_that_its_scheduler_queues_is_missed_a_grace_after_the_end_of_the_run_before() -> None:
    night = night_of(often("pg_cron", CRON), evaluated=("03:31", "03:53", "03:56"), ended="03:52")
    assert {"03:15": RunState.SUCCEEDED} == states(night)
    night.evaluate("03:57")
    assert {"03:15": RunState.SUCCEEDED, "03:30": RunState.SKIPPED, "03:45": RunState.MISSED} == states(night)


@pytest.mark.parametrize("dialect, expression", OVERLAPPING)
def test_a_start_of_a_job_that_overlaps_itself_is_missed_while_the_run_before_is_open(
    dialect: str, expression: str
) -> None:
    night = night_of(often(dialect, expression), evaluated=("03:31", "03:36"))
    assert {"03:15": RunState.RUNNING, "03:30": RunState.MISSED} == states(night)


@pytest.mark.parametrize(
    "state, ended, judged",
    [(RunState.SUCCEEDED, "03:29:30", RunState.MISSED), (RunState.FAILED, "03:30:10", RunState.SKIPPED)],
)
def test_the_run_before_counts_where_it_was_open_when_the_start_was_due(
    state: RunState, ended: str, judged: RunState
) -> None:
    of_job = often("systemd", CALENDAR)
    before = run(1, of_job, "03:15", state, started_at=at("03:15"), ended_at=at(ended))
    host = target(last_ok_at=at("03:36"), seen_until=at("03:36"))
    runs = expect_runs(estate(of_job, runs=[before], targets=[host]), at("03:36")).runs
    assert judged is next(due.state for due in runs if due.period_at == at("03:30"))


def test_a_pod_that_waits_for_its_node_is_the_run_before_too_and_a_clock_ahead_counts() -> None:
    of_job = often("kubernetes-forbid", CRON)
    host = target(last_ok_at=at("03:36"), seen_until=at("03:36"), ahead=timedelta(seconds=40))
    queued = run(1, of_job, "03:15", RunState.QUEUED, attempt=1, queued_at=at("03:15"))
    early = run(1, of_job, "03:15", RunState.SUCCEEDED, started_at=at("03:15"), ended_at=at("03:29:30"))
    for before, judged in ((queued, RunState.PLANNED), (early, RunState.SKIPPED)):
        runs = expect_runs(estate(of_job, runs=[before], targets=[host]), at("03:36"), EvaluationMemo()).runs
        assert judged is next(due.state for due in runs if due.period_at == at("03:30"))
