"""Runs that must exist: planned, held, missed, unobserved. The job is due at 03:10 and has five minutes of grace."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunEvidence, RunState
from console.control.expectations.expected_runs import AHEAD, FREQUENT_AHEAD, Expectations, expect_runs
from console.domain.decision import ExpectedRun
from console.domain.dependency import DependencyMode
from console.domain.estate import JobFacts, RunFacts
from console.domain.hold import HoldFacts, HoldState
from console.store.snapshot.clock_skew import clock_ahead
from tests.factories import NIGHT, at, daily, estate, job, run, target
from tests.reasons import why_of
from tests.rows import each_row

EXTRACT = job(1, "etl-hosts/db07:extract", "03:10", accepted_at=at("02:00"))
NIGHT_BEGIN = at("00:00")
KEY = "2026-11-20T03:10:00Z"
INFERRED, STALE = RunEvidence.INFERRED, RunEvidence.STALE


def of(now: str, *runs: RunFacts, seen: str = "", job: Any = EXTRACT, **of_target: Any) -> Expectations:
    """What is expected at `now`; the target is seen until then, unless `seen` says otherwise."""
    host = target(**({"last_ok_at": at(now), "seen_until": at(seen or now)} | of_target))
    return expect_runs(estate(job, runs=runs, targets=[host]), at(now))


def tonight(expectations: Expectations) -> ExpectedRun:
    (due,) = (run for run in expectations.runs if run.period_key == KEY)
    return due


def verdict_of(expectations: Expectations) -> tuple[RunState, RunEvidence, str]:
    due = tonight(expectations)
    return due.state, due.evidence, why_of(due, due.period_at)


def test_an_accepted_schedule_is_laid_out_with_instant_and_business_date() -> None:
    expectations = of("02:30")
    assert [KEY, "2026-11-21T03:10:00Z"] == [run.period_key for run in expectations.runs]
    assert ExpectedRun(1, KEY, at("03:10"), NIGHT, RunState.PLANNED, INFERRED, ()) == tonight(expectations)
    assert at("03:15:15") == expectations.next_at


def test_nothing_is_expected_of_the_time_before_a_schedule_was_accepted() -> None:
    assert ["2026-11-21T03:10:00Z"] == [run.period_key for run in of("04:00", job=job(
        1, "etl-hosts/db07:extract", "03:10", accepted_at=at("03:30"))).runs]  # fmt: skip


@each_row(
    "now, seen, expected",
    [
        ("03:12", "03:12", (RunState.PLANNED, INFERRED, "")),
        ("03:14:59", "03:14:59", (RunState.PLANNED, INFERRED, "")),
        ("03:20", "03:14", (RunState.PLANNED, INFERRED, "")),
        ("03:15", "03:15", (RunState.MISSED, INFERRED, "no start in the log by 03:15 UTC")),
        ("05:00", "03:15", (RunState.MISSED, INFERRED, "no start in the log by 03:15 UTC")),
    ],
)
def test_a_run_is_missed_once_an_evaluation_after_its_grace_proves_that_it_never_started(
    now: str, seen: str, expected: tuple[RunState, RunEvidence, str]
) -> None:
    assert expected == verdict_of(of(now, seen=seen))


def test_a_target_that_does_not_answer_makes_what_is_due_stale_and_never_missed() -> None:
    expectations = of("05:00", seen="03:02", last_ok_at=at("03:02"), failing_since=at("03:03"))
    assert (RunState.PLANNED, STALE, "etl-hosts/db07 not seen since 03:02 UTC") == verdict_of(expectations)
    later = [run for run in expectations.runs if run.period_key != KEY]
    assert [INFERRED] == [run.evidence for run in later]


@each_row(
    "since, until, expected",
    [
        (
            "03:00",
            "03:12",
            (RunState.PLANNED, STALE, "evidence is incomplete until 03:12 UTC: it is unknown whether it started"),
        ),
        (
            "03:11",
            "03:13",
            (RunState.PLANNED, STALE, "evidence is incomplete until 03:13 UTC: it is unknown whether it started"),
        ),
        ("02:00", "03:09", (RunState.MISSED, INFERRED, "no start in the log by 03:15 UTC")),
        ("03:16", "03:30", (RunState.MISSED, INFERRED, "no start in the log by 03:15 UTC")),
    ],
)
def test_what_was_due_while_evidence_was_lost_is_never_missed(
    since: str, until: str, expected: tuple[RunState, RunEvidence, str]
) -> None:
    assert expected == verdict_of(of("05:00", lost=(at(since), at(until))))


def test_a_target_that_has_never_answered_proves_nothing() -> None:
    expectations = of("05:00", last_ok_at=None, seen_until=None)
    assert (RunState.PLANNED, STALE, "its target has never answered") == verdict_of(expectations)


def test_a_start_fulfils_the_expectation() -> None:
    started = run(7, EXTRACT, "03:10", RunState.RUNNING)
    assert [KEY] == [run.period_key for run in of("02:30").runs if run.period_key == KEY]
    assert [] == [run for run in of("05:00", started).runs if run.period_key == KEY]


def test_a_run_of_another_key_for_the_same_instant_fulfils_it_and_the_plan_goes() -> None:
    plan = run(7, EXTRACT, "03:10", RunState.PLANNED)
    native = run(8, EXTRACT, "03:10", period_key="scheduled__2026-11-20")
    expectations = of("05:00", plan, native)
    assert (7,) == expectations.withdrawn
    assert [] == [run for run in expectations.runs if run.period_key == KEY]


def test_a_removed_line_is_missed_with_its_reason() -> None:
    job_facts = job(1, "etl-hosts/db07:extract", "03:10", accepted_at=at("02:00"), gone_since=at("02:10"),
               drift_reason="crontab line gone")  # fmt: skip
    assert (RunState.PLANNED, INFERRED, "") == verdict_of(of("03:12", job=job_facts))
    assert (RunState.MISSED, INFERRED, "crontab line gone since 02:10 UTC") == verdict_of(of("03:16", job=job_facts))


def test_a_pause_from_outside_holds_until_grace_is_over_and_is_missed_then() -> None:
    paused = job(1, "etl-hosts/db07:extract", "03:10", accepted_at=at("02:00"), paused_since=at("02:10"))
    assert (RunState.HELD, INFERRED, "paused since 02:10 UTC") == verdict_of(of("02:30", job=paused))
    assert (RunState.HELD, INFERRED, "paused since 02:10 UTC") == verdict_of(of("03:14", job=paused))
    assert (RunState.MISSED, INFERRED, "paused since 02:10 UTC") == verdict_of(of("03:16", job=paused))


def test_a_pause_or_removal_after_its_grace_is_not_the_reason() -> None:
    later = job(
        1, "etl-hosts/db07:extract", "03:10", accepted_at=at("02:00"), paused_since=at("04:00"), gone_since=at("04:00")
    )
    assert (RunState.MISSED, INFERRED, "no start in the log by 03:15 UTC") == verdict_of(of("05:00", job=later))
    assert (RunState.PLANNED, STALE) == verdict_of(
        of("05:00", job=later, seen_until=at("03:00"), last_ok_at=at("03:00"))
    )[:2]


def test_a_job_that_slept_when_it_was_accepted_is_expected_never() -> None:
    asleep = job(1, "etl-hosts/db07:extract", "03:10", accepted_at=at("02:00"), paused_since=at("02:00"))
    plan = run(7, EXTRACT, "03:10", RunState.PLANNED)
    expectations = of("03:16", plan, job=asleep)
    assert ((), (7,)) == (expectations.runs, expectations.withdrawn)


def test_a_removal_that_was_accepted_withdraws_the_plan_and_leaves_what_was_missed() -> None:
    ended = job(1, "etl-hosts/db07:extract", accepted_at=at("04:00"))
    rows = [run(7, EXTRACT, "03:10", RunState.MISSED), run(8, EXTRACT, at("03:10", day=1), RunState.PLANNED)]
    assert Expectations((), (8,), None) == of("04:30", *rows, job=ended)


def test_a_plan_that_came_due_remains_though_the_source_names_another_next_run() -> None:
    moved = job(1, "warehouse/load", Schedule("airflow", next_at=at("05:00", day=1)), accepted_at=at("02:00"))
    plan = run(7, EXTRACT, "03:10", RunState.PLANNED)
    assert (RunState.MISSED, INFERRED, "no run by 03:15 UTC") == verdict_of(of("03:16", plan, job=moved))


@each_row(
    "schedule, first, minutes",
    [
        *((Schedule(dialect, "*/15 * * * *"), "03:15", 15) for dialect in ("dagster", "prefect", "debian-cron")),
        (Schedule("debian-cron", "*/2 * * * *"), "03:04", 2),
        (Schedule("debian-cron", "15 * * * *"), "03:15", 60),
    ],
)
@pytest.mark.parametrize("skew", [0, 15, 30, 90, -30])
def test_a_start_that_came_due_is_judged_whatever_its_source_names_next(
    schedule: Schedule, first: str, minutes: int, skew: int
) -> None:
    """A scheduler that starts nothing while its web server goes on: each poll names a next start after its own now."""
    step, begin, end = timedelta(minutes=minutes), at(first), at("04:40")
    rows: dict[str, RunFacts] = {}
    missed_at: dict[datetime, datetime] = {}
    for now in (at("03:02") + timedelta(seconds=15 * number) for number in range(4 * 98)):
        next_at = begin + max(0, (now + timedelta(seconds=skew) - begin) // step + 1) * step
        named = job(1, "x/often", replace(schedule, next_at=next_at), accepted_at=at("03:02"))
        host = target(last_ok_at=now, seen_until=now - timedelta(minutes=1), ahead=clock_ahead(skew))
        expectations = expect_runs(estate(named, runs=[*rows.values()], targets=[host]), now)
        rows = {key: row for key, row in rows.items() if row.id not in expectations.withdrawn}
        for due in expectations.runs:
            rows[due.period_key] = run(1 + (due.period_at - NIGHT_BEGIN) // step, named, due.period_at, due.state)
            if due.state is RunState.MISSED:
                missed_at[due.period_at] = now
    judged = [begin + number * step for number in range((end - timedelta(minutes=7) - begin) // step + 1)]
    assert {due: due + timedelta(minutes=6) for due in judged} == missed_at


def test_a_plan_ahead_that_a_new_accepted_schedule_no_longer_names_goes() -> None:
    later = job(1, "etl-hosts/db07:extract", "03:40", accepted_at=at("02:30"))
    plan = run(7, EXTRACT, "03:10", RunState.PLANNED)
    expectations = of("02:31", plan, job=later)
    assert (7,) == expectations.withdrawn
    assert "2026-11-20T03:40:00Z" == expectations.runs[0].period_key


def test_an_unchanged_record_is_not_reported_again() -> None:
    first = of("03:16")
    rows = [run(number, EXTRACT, expected_run.period_at, expected_run.state, why=expected_run.why)
            for number, expected_run in enumerate(first.runs, start=1)]  # fmt: skip
    assert () == of("03:16", *rows).runs
    assert () == of("04:30", *rows).runs


def test_only_what_is_near_is_laid_out_of_a_job_that_runs_every_few_minutes() -> None:
    often = job(1, "etl-hosts/db07:often", Schedule("debian-cron", "*/5 * * * *"))
    expectations = of("03:12", job=often)
    assert ["03:00", "03:05", "03:10", "03:15", "03:20"] == [f"{run.period_at:%H:%M}" for run in expectations.runs]
    assert [RunState.MISSED, RunState.MISSED] + [RunState.PLANNED] * (1 + FREQUENT_AHEAD) == [
        run.state for run in expectations.runs
    ]


def test_each_job_of_one_schedule_is_missed_after_its_own_grace() -> None:
    quick, patient = (
        job(number, f"etl/{number}", Schedule("debian-cron", "*/5 * * * *"), accepted_at=at("00:00"), grace=grace)
        for number, grace in ((1, timedelta(minutes=1)), (2, timedelta(minutes=30)))
    )
    expectations = expect_runs(estate(quick, patient, targets=[target(seen_until=at("03:12"))]), at("03:12"))
    assert {1, 2} == {run.job_id for run in expectations.runs if run.state is RunState.MISSED}


def test_an_hourly_job_is_laid_out_a_few_runs_ahead() -> None:
    hourly = job(1, "etl-hosts/db07:hourly", Schedule("debian-cron", "5 * * * *"), accepted_at=at("03:00"))
    assert AHEAD == len([run for run in of("03:12", job=hourly).runs if run.period_at > at("03:12")])


@pytest.mark.parametrize(
    "schedule", [Schedule("pg_cron", "5 seconds"), Schedule("none"), Schedule("debian-cron", "bad")]
)
def test_what_has_no_instants_of_its_own_expects_nothing(schedule: Schedule) -> None:
    assert () == of("03:12", job=job(1, "dwh/tick", schedule)).runs


def test_f46_one_expected_run_in_each_night_of_a_clock_change() -> None:
    berlin = job(1, "etl-hosts/db07:berlin", daily("02:30", zone="Europe/Berlin"), zone="Europe/Berlin",
                 accepted_at=datetime.fromisoformat("2026-01-01T12:00Z"))  # fmt: skip
    for noon in (datetime.fromisoformat("2026-03-28T12:00Z"), datetime.fromisoformat("2026-10-24T12:00Z")):
        expectations = expect_runs(estate(berlin, targets=[target(seen_until=noon)]), noon)
        ahead = [run for run in expectations.runs if noon < run.period_at <= noon + timedelta(hours=24)]
        assert 1 == len(ahead)


HOURLY = job(1, "etl-hosts/db07:extract", Schedule("debian-cron", "10 * * * *", "UTC"), accepted_at=at("02:00"))


def held(state: HoldState, **changes: Any) -> HoldFacts:
    """A hold of the job from 03:00 on, for what it is due at 03:10."""
    hold = HoldFacts(
        "headway-0123456789",
        1,
        None,
        NIGHT,
        "reactive",
        DependencyMode.HOLD,
        state,
        "headway",
        "",
        at("09:10"),
        at("03:10"),
        KEY,
        placed_at=at("03:00"),
    )
    return replace(hold, **changes)


def verdicts_by_time(now: str, hold: HoldFacts, of_job: JobFacts = EXTRACT) -> dict[str, tuple[RunState, str]]:
    """What is due, by the time of day of its instant."""
    whole = estate(of_job, targets=[target(last_ok_at=at(now), seen_until=at(now))])
    expectations = expect_runs(replace(whole, holds=(hold,)), at(now))
    return {
        f"{run.period_at:%H:%M}": (run.state, why_of(run)) for run in expectations.runs if run.business_date == NIGHT
    }


def test_a_run_held_by_us_is_held_and_never_missed_nor_paused_by_others() -> None:
    paused = replace(EXTRACT, paused_since=at("03:01"))
    waits = "held by Headway (hold headway-0123456789)"
    for now in ("03:05", "03:30", "08:00"):
        assert {"03:10": (RunState.HELD, waits)} == verdicts_by_time(now, held(HoldState.HELD), paused)
    hold = held(HoldState.FOREIGN, kind="foreign", held_by="other", due_at=None, period_key="")
    assert {"03:10": (RunState.HELD, "held by other, not by this store (hold headway-0123456789)")} == verdicts_by_time(
        "04:00", hold, paused
    )
    person = held(HoldState.HELD, kind="person", held_by="alice", why="the network is moved")
    message = "held by alice: the network is moved (hold headway-0123456789)"
    assert {"03:10": (RunState.HELD, message)} == verdicts_by_time("04:00", person, paused)


def test_what_was_let_go_unstarted_is_missed_again() -> None:
    over = held(HoldState.RELEASED, released_at=at("05:00"), ended_at=at("05:01"))
    assert RunState.MISSED is verdicts_by_time("05:10", over)["03:10"][0]


def test_of_several_that_were_held_back_the_earlier_ones_are_skipped() -> None:
    hold = held(HoldState.HELD)
    assert {"03:10", "04:10", "05:10"} == {
        at for at, expected in verdicts_by_time("05:30", hold, HOURLY).items() if expected[0] is RunState.HELD
    }
    over = held(
        HoldState.RELEASED, due_at=at("05:10"), period_key="2026-11-20T05:10:00Z", released_at=at("05:20"),
        ended_at=at("05:22"),
    )  # fmt: skip
    after = verdicts_by_time("05:30", over, HOURLY)
    assert (RunState.SKIPPED, RunState.SKIPPED) == (after["03:10"][0], after["04:10"][0])
    assert "not started (hold headway-0123456789): the start after it replaces it" == after["04:10"][1]


@each_row(
    "kind, text", [("cron", "no start in the log"), ("heartbeat", "no report"), ("slurm", "no run"), ("http", "no run")]
)
def test_a_missing_start_is_named_as_its_kind_reports_starts(kind: str, text: str) -> None:
    """An inbound endpoint has no log in which a run could be missing."""
    assert (RunState.MISSED, INFERRED, f"{text} by 03:15 UTC") == verdict_of(
        of("03:16", job=replace(EXTRACT, kind=kind))
    )


def test_a_start_on_a_target_whose_clock_is_behind_is_awaited_by_that_clock() -> None:
    hour = timedelta(hours=1)
    assert (RunState.PLANNED, INFERRED, "its clock is 1h behind") == verdict_of(of("04:14:59", behind=hour))
    assert RunState.MISSED is tonight(of("04:15", behind=hour)).state


LATER = replace(EXTRACT, seen_schedule=daily("05:00"), drift_reason="daily at 03:10 UTC became daily at 05:00 UTC")
"""Its source starts it at 05:00, which is not accepted."""


def test_a_start_that_moved_is_missed_after_the_time_at_which_its_source_starts_it() -> None:
    text = "starts 05:00 UTC by its changed schedule"
    for now in ("03:20", "05:04"):
        assert (RunState.PLANNED, INFERRED, text) == verdict_of(of(now, job=LATER))
    missed = f"no start in the log by 05:05 UTC; {LATER.drift_reason}; {text}"
    assert (RunState.MISSED, INFERRED, missed) == verdict_of(of("05:05", job=LATER))


def test_a_start_that_moved_earlier_is_missed_after_its_accepted_time() -> None:
    earlier = replace(LATER, seen_schedule=daily("02:50"))
    assert RunState.PLANNED is tonight(of("03:14", job=earlier)).state
    assert RunState.MISSED is tonight(of("03:15", job=earlier)).state


def test_a_start_that_moved_to_a_minute_that_had_passed_names_its_next_start() -> None:
    skipped = replace(LATER, seen_schedule=daily("02:50"), drift_since=at("02:55"))
    text = "starts 21 Nov 02:50 UTC by its changed schedule"
    assert (RunState.PLANNED, INFERRED, text) == verdict_of(of("03:14", job=skipped))
    assert RunState.MISSED is tonight(of("03:15", job=skipped)).state


def test_a_run_that_its_source_names_by_a_schedule_not_accepted_fulfils_the_accepted_start_of_its_day() -> None:
    """As Airflow, which names the period of each run itself."""
    moved = run(7, LATER, "05:00", state=RunState.RUNNING)
    assert KEY not in {due.period_key for due in of("05:10", moved, job=LATER).runs}
    planned = replace(run(8, LATER, "03:10", state=RunState.PLANNED), id=8)
    assert (8,) == of("05:10", moved, planned, job=LATER).withdrawn
    of_yesterday = run(7, LATER, at("05:00", day=-1))
    assert RunState.MISSED is tonight(of("05:10", of_yesterday, job=LATER)).state


def test_a_schedule_that_no_longer_has_a_start_does_not_put_it_off() -> None:
    fewer = replace(LATER, seen_schedule=Schedule("debian-cron", "0 5 * * 1"))
    assert RunState.MISSED is tonight(of("03:15", job=fewer)).state
    by_hand = replace(run(7, fewer, "02:30"), period_at=None, period_key="start:2026-11-20T02:30:00Z")
    assert RunState.MISSED is tonight(of("03:15", by_hand, job=fewer)).state
