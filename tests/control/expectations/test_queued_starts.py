"""Starts that come due while a run of their job is open."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunEvidence, RunState
from console.control.evaluate import evaluate
from console.control.expectations.expected_runs import expect_runs
from console.control.explain.why_not_running import job_reasons
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.incremental import EvaluationMemo
from console.domain.estate import Estate, JobFacts, RunFacts
from console.domain.history import SuccessfulRun, build_history
from console.domain.service import Timeliness
from tests.factories import NIGHT, at, estate, feeds, job, run, service, target
from tests.reasons import why_of, zoned
from tests.rows import each_row

CALENDAR, CRON = "*-*-* *:00:00", "0 * * * *"
MISSED, PLANNED = RunState.MISSED, RunState.PLANNED


def hourly(dialect: str = "pg_cron", **changes: Any) -> JobFacts:
    facts = {"accepted_at": at("02:30"), "grace": timedelta(minutes=15), "kind": dialect, **changes}
    return job(
        1,
        "dwh/rollup",
        Schedule(dialect, CALENDAR if dialect in ("systemd", "pgagent", "mysql_events") else CRON),
        **facts,
    )


def night(*runs: RunFacts, of: JobFacts, now: str, takes: float = 80, **host: Any) -> Estate:
    """`takes`: the longest of its past runs, in minutes."""
    begins = int(at("02:00").timestamp())
    past = [SuccessfulRun(n, begins - 3600 * n, begins - 3600 * n + 600, 60.0 * (takes if n == 9 else 10), 1.0, -1.0, 1,
                          -1.0, "", NIGHT.toordinal()) for n in range(1, 21)]  # fmt: skip
    host = {"last_ok_at": at(now), "seen_until": at(now)} | host
    return replace(estate(of, runs=runs, targets=[target(**host)]), history={of.id: build_history(past)})


def verdict(whole: Estate, now: str, due: str = "04:00") -> tuple[RunState, str]:
    [expected] = (known for known in expect_runs(whole, at(now)).runs if known.period_at == at(due))
    return expected.state, why_of(expected)


def last(state: RunState = RunState.RUNNING, period: str = "03:00", **changes: Any) -> RunFacts:
    return run(int(period[:2]), hourly(), period, state, **changes)


@each_row(
    "dialect, expected",
    [
        ("pg_cron", PLANNED),
        ("systemd", PLANNED),
        ("pgagent", MISSED),  # it drops the start
        ("mysql_events", MISSED),  # the others start a second run
        ("debian-cron", MISSED),
        ("kubernetes", MISSED),
        ("kubernetes-forbid", PLANNED),
        ("airflow", MISSED),
        ("airflow-one-run", PLANNED),
    ],
)
def test_a_start_waits_for_the_run_before_where_its_scheduler_queues_it(dialect: str, expected: RunState) -> None:
    assert expected is verdict(night(last(), of=hourly(dialect), now="04:20"), "04:20")[0]


@each_row(
    "now, expected",
    [
        ("04:01", (PLANNED, "its run of 03:00 UTC ended at 04:20 UTC")),
        ("04:34", (PLANNED, "its run of 03:00 UTC ended at 04:20 UTC")),
        ("04:36", (MISSED, "no run by 04:35 UTC; its run of 03:00 UTC ended at 04:20 UTC")),
    ],
)
def test_its_grace_begins_when_the_run_before_ends(now: str, expected: tuple[RunState, str]) -> None:
    before = last(RunState.SUCCEEDED, ended_at=at("04:20"))
    assert expected == verdict(night(before, of=hourly(), now=now), now)


@each_row(
    "before, expected",
    [
        ((last(RunState.SUCCEEDED, ended_at=at("03:59")),), MISSED),
        ((last(RunState.UNKNOWN, ended_at=None),), MISSED),
        ((last(RunState.UNKNOWN, ended_at=at("04:18"), evidence=RunEvidence.INFERRED),), MISSED),
        ((last(RunState.LOST, ended_at=at("04:18"), evidence=RunEvidence.INFERRED),), MISSED),
        ((last(RunState.SUCCEEDED, ended_at=at("04:18"), evidence=RunEvidence.ASSERTED),), MISSED),
        ((last(period="02:00"), last(RunState.SUCCEEDED, ended_at=at("03:20"))), MISSED),
        ((last(period="02:00"), last(RunState.SUCCEEDED, ended_at=at("04:18"))), PLANNED),
        ((last(RunState.FAILED, ended_at=at("04:18")),), PLANNED),
        ((last(RunState.RETRYING, ended_at=at("03:10")),), PLANNED),
    ],
)
def test_only_the_last_run_counts_if_its_source_proves_that_it_was_open(
    before: tuple[RunFacts, ...], expected: RunState
) -> None:
    assert expected is verdict(night(*before, of=hourly(), now="04:20"), "04:20")[0]


@each_row(
    "takes, missed_at",
    [
        (80, "05:15"),  # it takes too long from 05:00 on
        (300, "10:45"),
        (50, "04:30"),  # it takes too long from 04:15 on
        (10, "04:15"),
    ],
)
def test_a_run_that_hangs_delays_no_start_beyond_the_longest_run(takes: float, missed_at: str) -> None:
    before = f"{at(missed_at) - timedelta(minutes=1):%H:%M}"
    assert PLANNED is verdict(night(last(), of=hourly(), now=before, takes=takes), before)[0]
    expected = MISSED, f"no run by {missed_at} UTC; its run of 03:00 UTC is open"
    assert expected == verdict(night(last(), of=hourly(), now=missed_at, takes=takes), missed_at)
    assert MISSED is verdict(night(last(), of=hourly(), now="11:30", takes=takes), "11:30", "11:00")[0]


def late_start(**changes: Any) -> RunFacts:
    """Of the start of 06:00."""
    return last(period="06:00", first_started_at=at("06:20"), started_at=at("06:20"), **changes)


@each_row(
    "dialect, states",
    [
        ("systemd", [RunState.SKIPPED, RunState.SKIPPED]),
        ("kubernetes-forbid", [RunState.SKIPPED, RunState.SKIPPED]),
        ("airflow-one-run", [RunState.SKIPPED, RunState.SKIPPED]),
        ("debian-cron", [MISSED, MISSED]),
    ],
)
def test_of_several_starts_during_a_run_systemd_starts_the_last(dialect: str, states: list[RunState]) -> None:
    before = last(RunState.SUCCEEDED, ended_at=at("06:20"))
    whole = night(before, late_start(), of=hourly(dialect), now="06:30", takes=300)
    assert states == [verdict(whole, "06:30", due)[0] for due in ("04:00", "05:00")]


QUEUED = [("03:00", 200), ("04:00", 30), ("05:00", 30), ("06:00", 50), ("07:00", 10), ("08:00", 10)]
"""Starts, and the minutes of their runs, which pg_cron starts one after the other: the last at 08:20."""


@each_row("last_run, missed", [(5, []), (2, ["06:00", "07:00", "08:00"])])
def test_of_several_starts_during_a_run_pg_cron_starts_each_and_none_is_missed(
    last_run: int, missed: list[str]
) -> None:
    """Judged each five minutes. Where the launcher dies after a run, the starts that it had queued are missed."""
    runs, free_at = list[RunFacts](), at("03:00")
    for due, takes in QUEUED[: last_run + 1]:
        begins = max(at(due), free_at)
        free_at = begins + timedelta(minutes=takes)
        runs.append(last(period=due, first_started_at=begins, started_at=begins, ended_at=free_at))
    reported = set[str]()
    for minute in range(0, 355, 5):
        now = at("03:00") + timedelta(minutes=minute)
        begun = [
            replace(run, state=RunState.SUCCEEDED) if run.ended_at <= now else replace(run, ended_at=None)
            for run in runs
            if run.started_at is not None and run.ended_at is not None and run.started_at <= now
        ]
        whole = night(*begun, of=hourly(), now=f"{now:%H:%M}", takes=200)
        reported |= {f"{run.period_at:%H:%M}" for run in expect_runs(whole, now).runs if run.state is MISSED}
    assert missed == sorted(reported)


@each_row("dialect", ["systemd", "pg_cron"])
@each_row("now, expected", [("06:19", PLANNED), ("06:34", PLANNED), ("06:36", MISSED)])
def test_several_starts_wait_for_the_run_and_are_missed_where_none_follows(
    dialect: str, now: str, expected: RunState
) -> None:
    is_open = now < "06:20"
    before = last() if is_open else last(RunState.SUCCEEDED, ended_at=at("06:20"))
    whole = night(before, of=hourly(dialect), now=now, takes=300)
    assert [expected] * 2 == [verdict(whole, now, due)[0] for due in ("04:00", "05:00")]


def test_a_start_after_the_run_before_has_ended_replaces_none() -> None:
    before = last(RunState.SUCCEEDED, ended_at=at("05:20"))
    whole = night(before, late_start(), of=hourly("systemd"), now="06:30", takes=300)
    assert MISSED is verdict(whole, "06:30", "05:00")[0]


def test_why_it_is_not_running_names_the_run_and_the_end_of_the_wait() -> None:
    whole = night(last(RunState.SUCCEEDED, ended_at=at("04:20")), of=hourly(), now="04:25")
    index = EstateIndex(whole, at("04:25"), expect_runs(whole, at("04:25")).runs)
    [why, *_] = job_reasons(index, 1)
    text = "is due since 04:00 UTC, counts as missed at 04:35 UTC: its run of 03:00 UTC ended at 04:20 UTC"
    assert text == zoned(why.text)


@each_row("dialect, missed_at", [("pg_cron", "04:15"), ("systemd", "04:15"), ("debian-cron", "04:43")])
def test_what_earlier_starts_were_queued_behind_a_run_is_no_usual_delay(dialect: str, missed_at: str) -> None:
    """Of twenty hours each run took 90 minutes once in four, and the start after it waited 27 of them."""
    begins = int(at("02:00").timestamp())
    past = []
    for n in range(1, 21):
        is_long, waits = n % 4 == 0, 1600.0 if n % 4 == 3 else 1.0
        start = begins - 3600 * n
        past.append(SuccessfulRun(n, start, start + (5200 if is_long else 2000), 400.0, waits, -1.0, 1, -1.0, "",
                                  NIGHT.toordinal()))  # fmt: skip
    whole = replace(night(of=hourly(dialect), now="11:00"), history={1: build_history(past)})
    ends = {state: now for now in (f"04:{minute:02}" for minute in range(60)) for state in [verdict(whole, now)[0]]}
    assert missed_at == f"04:{int(ends[PLANNED][3:]) + 1:02}"


def test_without_a_past_no_run_is_usual_and_no_start_waits() -> None:
    whole = replace(night(last(), of=hourly(), now="04:20"), history={})
    assert MISSED is verdict(whole, "04:20")[0]
    declared = replace(whole, jobs={1: hourly(expected=timedelta(minutes=80))})
    assert PLANNED is verdict(declared, "04:20")[0]


def test_the_start_of_another_business_date_waits_for_no_run() -> None:
    """Noon is the cutoff."""
    of = hourly(accepted_at=at("11:30"))
    before = last(period="11:00")
    now = at("12:00", day=1) + timedelta(minutes=16)
    whole = replace(night(before, of=of, now="11:30"), targets={1: target(last_ok_at=now, seen_until=now)})
    [expected] = (known for known in expect_runs(whole, now).runs if known.period_at == at("12:00", day=1))
    assert (MISSED, True) == (expected.state, "its run of 11:00 UTC is open" in why_of(expected))


def test_a_clock_that_is_ahead_lets_no_run_count_that_had_ended() -> None:
    before = last(RunState.SUCCEEDED, ended_at=at("03:59:30"))
    assert MISSED is verdict(night(before, of=hourly(), now="04:20", ahead=timedelta(minutes=5)), "04:20")[0]


def test_a_run_of_which_nothing_is_read_any_more_delays_no_verdict_on_the_source() -> None:
    whole = night(last(), of=hourly(), now="04:20", last_ok_at=at("03:30"), seen_until=at("03:30"))
    [expected] = (known for known in expect_runs(whole, at("04:20")).runs if known.period_at == at("04:00"))
    assert (PLANNED, RunEvidence.STALE) == (expected.state, expected.evidence)


def test_a_start_that_waits_is_no_success_for_what_reads_it() -> None:
    """Neither for its downstream, which began before it, nor for its service."""
    reader = job(2, "dwh/report", "04:10", accepted_at=at("02:30"), grace=timedelta(minutes=15))
    of, before = hourly(), last(RunState.SUCCEEDED, ended_at=at("04:20"))
    reads = run(50, reader, "04:10", started_at=at("04:21"), ended_at=at("04:22"))
    whole = night(before, of=of, now="04:25")
    whole = replace(
        estate(of, reader, runs=[before, reads], feeds=feeds(of, reader), targets=[*whole.targets.values()],
               services=[service("daily", "04:24", of)]),
        history=whole.history,
    )  # fmt: skip
    decisions = evaluate(whole, at("04:25"))
    assert [True] == [judged.stale_read for judged in decisions.judgements if judged.run_id == reads.id]
    days = [day.timeliness for day in decisions.service_days if day.business_date == NIGHT]
    assert [Timeliness.BREACHED] == days


def test_an_incremental_evaluation_sees_the_end_of_the_wait() -> None:
    memo, of = EvaluationMemo(), hourly()
    for minute in range(59, 80):
        now = at("04:00") + timedelta(minutes=minute)
        whole = replace(night(last(), of=of, now="04:20"), targets={1: target(last_ok_at=now, seen_until=now)})
        assert expect_runs(whole, now).runs == expect_runs(whole, now, memo).runs
        memo.end()
