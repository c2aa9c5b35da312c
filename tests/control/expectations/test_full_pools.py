"""A start that waits for a slot of a full pool is not missed, nor one that is later every night. As test_expected."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.control.expectations.expected_runs import FullPools, GraceEnd, expect_runs
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.incremental import EvaluationMemo, part_with
from console.domain.estate import Estate, RunFacts
from console.domain.history import RunHistory, SuccessfulRun, build_history
from console.domain.settings import Declared, DeclaredPool, JobPool
from tests.factories import NIGHT, at, estate, job, run, service, target
from tests.reasons import why_of
from tests.rows import each_row

A, B, C = (job(number, f"etl/{name}", "03:10", accepted_at=at("02:00")) for number, name in enumerate("abc", 1))
KEY = "2026-11-20T03:10:00Z"
LIC = Declared(pools=(DeclaredPool("lic", ("etl/*",), 1),))


def seen(now: str, *runs: RunFacts, declared: Declared = LIC) -> Estate:
    host = target(last_ok_at=at(now), seen_until=at(now))
    return replace(estate(A, B, C, runs=runs, targets=[host]), declared=declared)


def verdict_of_c(result: Estate, now: str, memory: EvaluationMemo | None = None) -> tuple[RunState, str]:
    """What is expected of C."""
    runs = expect_runs(result, at(now), memory).runs
    return next((run.state, why_of(run)) for run in runs if run.job_id == C.id and run.period_key == KEY)


def ran(number: int, began: str, ended: str | None) -> RunFacts:
    """A run of A or B."""
    state = RunState.SUCCEEDED if ended else RunState.RUNNING
    return run(number, (A, B)[number - 1], "03:10", state, started_at=at(began), ended_at=at(ended) if ended else None)


def retries(began: str, ended: str | None) -> RunFacts:
    """A run of A that is to be retried; the end of its first attempt, where its source reports it."""
    return replace(ran(1, began, None), state=RunState.RETRYING, ended_at=at(ended) if ended else None)


@pytest.mark.parametrize(
    "now, runs, state, text",
    [
        ("03:20", (ran(1, "03:10", None),), RunState.PLANNED, "waits for a slot of lic: 1 of 1 used by etl/a"),
        ("03:20", (ran(1, "03:10", "03:18"),), RunState.PLANNED, "lic had a free slot at 03:18 UTC"),
        ("03:24", (ran(1, "03:10", "03:18"),), RunState.MISSED,
         "no start in the log by 03:23 UTC; lic had a free slot at 03:18 UTC"),
        ("03:24", (ran(1, "03:10", "03:18"), ran(2, "03:19", None)), RunState.PLANNED,
         "waits for a slot of lic: 1 of 1"),
        ("03:20", (ran(1, "03:10", "03:14"),), RunState.MISSED, "no start in the log by 03:15 UTC"),
        ("03:24", (retries("03:10", "03:18"),), RunState.MISSED,
         "no start in the log by 03:23 UTC; lic had a free slot"),
        ("03:24", (retries("03:10", None),), RunState.PLANNED, "waits for a slot of lic: 1 of 1 used by etl/a"),
        ("03:14", (ran(1, "03:10", None),), RunState.PLANNED, ""),
    ],
    ids=[
        "full", "freed lately", "freed long ago", "taken by another again", "free in time", "left between two attempts",
        "retried, nobody knows since when", "within its grace",
    ],
)  # fmt: skip
def test_its_grace_begins_when_its_pool_has_a_slot_to_give(
    now: str, runs: tuple[RunFacts, ...], state: RunState, text: str
) -> None:
    result = verdict_of_c(seen(now, *runs), now)
    assert (state, True) == (result[0], result[1].startswith(text)), result


def test_a_part_that_is_judged_alone_knows_who_else_takes_slots_of_its_pool() -> None:
    """The others belong to no service, nor does anything else join them: what they hold is full all the same."""
    now = "03:20"
    whole = replace(seen(now, ran(1, "03:10", None)), services=(service("daily", "06:30", C),))
    part = part_with(whole, [C.id])
    assert [C.id] == [*part.jobs]
    again = part_with(part, [C.id])
    full = RunState.PLANNED, "waits for a slot of lic: 1 of 1 used by etl/a"
    assert (full, full, full) == (verdict_of_c(whole, now), verdict_of_c(part, now), verdict_of_c(again, now))
    [pool] = EstateIndex(part, at(now)).estate.declared.pools
    assert ["etl/a"] == EstateIndex(part, at(now)).slot_holders(JobPool(pool.name, pool.slots))


def test_the_walk_through_a_long_day_of_a_full_pool_reads_each_of_its_runs_a_few_times() -> None:
    """Hundreds are overdue, and thousands of runs one after the other: each of them is tested at every freed slot."""
    clerks = [job(100 + number, f"etl/clerk{number}", "12:05", accepted_at=at("12:00")) for number in range(60)]
    count = 0

    class Counted(datetime):
        def __le__(self, other: Any) -> bool:
            nonlocal count
            count += 1
            return super().__le__(other)

    def moment(seconds: int) -> datetime:
        return Counted.fromtimestamp(at("12:00").timestamp() + seconds, UTC)

    runs = [run(number, A, moment(number * 20), started_at=moment(number * 20), ended_at=moment(number * 20 + 20))
            for number in range(2000)]  # fmt: skip
    full_pools = FullPools(replace(estate(A, *clerks, runs=runs), declared=LIC), {A.id: runs}, at("22:00"))
    waits = [full_pools.put_off(job, GraceEnd(at("12:10") + timedelta(seconds=job.id))) for job in clerks]
    assert all("lic had a free slot at " in grace_end.text for grace_end in waits)
    assert count < 10 * len(clerks) * len(runs)


def test_the_slot_of_what_failed_and_was_started_again_counts_as_long_as_its_first_attempt_had_it() -> None:
    """C was put off to 03:23 by A's first attempt; A's restart took that away, and C was missed at once."""
    ends = ((at("03:18"), RunState.FAILED),)
    again = replace(ran(1, "03:21", None), first_started_at=at("03:10"), attempt=2, ends=ends)
    assert RunState.PLANNED is verdict_of_c(seen("03:22", again), "03:22")[0]
    free = replace(again, started_at=at("03:24"))
    assert RunState.MISSED is verdict_of_c(seen("03:25", free), "03:25")[0], "at 03:23 there was a slot to give"


@pytest.mark.parametrize("state", [RunState.LOST, RunState.UNKNOWN, RunState.QUEUED])
def test_a_run_that_lost_its_slot_delays_nothing(state: RunState) -> None:
    """Lost, nobody knows when; or it waits to be run again."""
    assert RunState.MISSED is verdict_of_c(seen("03:20", replace(ran(1, "03:10", None), state=state)), "03:20")[0]


@pytest.mark.parametrize("ended", [None, "03:25"], ids=["runs", "ended ahead of our clock"])
def test_a_start_without_grace_waits_for_the_slot_too(ended: str | None) -> None:
    """The walk from slot to slot ends, though no grace brings it past now."""
    now = "03:20"
    result = seen(now, ran(1, "03:10", ended))
    result = replace(result, jobs={**result.jobs, C.id: replace(C, grace=timedelta(0))})
    assert (RunState.PLANNED, "waits for a slot of lic: 1 of 1 used by etl/a") == verdict_of_c(result, now)


def test_the_second_start_is_judged_in_its_own_time_though_the_first_is_put_off_beyond_it() -> None:
    twice = replace(C, schedule=Schedule("debian-cron", "10,20 3 * * *", "UTC"))
    result = seen("03:22", ran(1, "03:10", None))
    result = replace(result, jobs={A.id: A, C.id: twice})
    assert at("03:25:15") == expect_runs(result, at("03:22")).next_at


def test_without_a_pool_it_is_missed_however_much_runs() -> None:
    assert RunState.MISSED is verdict_of_c(seen("03:20", ran(1, "03:10", None), declared=Declared()), "03:20")[0]


def test_a_cached_pool_verdict_is_evaluated_again_when_another_job_frees_the_slot() -> None:
    memory = EvaluationMemo()
    for now, runs, state in (
        ("03:16", (ran(1, "03:10", None),), RunState.PLANNED),
        ("03:17", (ran(1, "03:10", "03:16:30"),), RunState.PLANNED),
        ("03:22", (ran(1, "03:10", "03:16:30"),), RunState.MISSED),
    ):
        assert state is verdict_of_c(seen(now, *runs), now, memory)[0]
        memory.end()


def late_starter(minutes: int, nights: int = 30) -> RunHistory:
    runs = []
    for back in range(1, nights + 1):
        due = int((at("03:10") - timedelta(days=back)).timestamp())
        day = (NIGHT - timedelta(days=back)).toordinal()
        runs.append(SuccessfulRun(back, due, due + 60 * minutes + 60, 60.0, 60.0 * minutes, -1.0, 1, -1.0, "", day))
    return build_history(runs)


@each_row(
    "minutes, nights, now, state, text",
    [
        (8, 30, "03:22", RunState.PLANNED, "usually starts 8m later"),
        (8, 30, "03:24", RunState.MISSED, "no start in the log by 03:23 UTC; usually starts 8m later"),
        (8, 4, "03:22", RunState.PLANNED, "starts up to 10m later"),
        (2, 30, "03:16", RunState.MISSED, "no start in the log by 03:15 UTC"),
    ],
)
def test_what_starts_later_every_night_is_waited_for_until_then_and_its_grace(
    minutes: int, nights: int, now: str, state: RunState, text: str
) -> None:
    known = replace(seen(now, declared=Declared()), history={C.id: late_starter(minutes, nights)})
    assert (state, text) == verdict_of_c(known, now)


@pytest.mark.parametrize(
    "minutes, now, text",
    [(60, "04:15", "04:15 UTC; its clock is 1h behind"),
     (62, "04:15", "04:15 UTC; its clock is 1h behind"),
     (68, "04:24", "04:23 UTC; usually starts 8m later; its clock is 1h behind")],
)  # fmt: skip
def test_the_lag_of_a_clock_is_not_awaited_twice(minutes: int, now: str, text: str) -> None:
    """Its earlier starts came that much later by our clock too."""
    known = replace(seen(now, declared=Declared()), history={C.id: late_starter(minutes)})
    host = replace(known.targets[C.target_id], behind=timedelta(hours=1))
    state, reason = verdict_of_c(replace(known, targets={C.target_id: host}), now)
    assert (RunState.MISSED, f"no start in the log by {text}") == (state, reason)


def test_what_starts_every_few_minutes_and_usually_late_is_missed_too() -> None:
    often = replace(C, schedule=Schedule("debian-cron", "*/5 * * * *", "UTC"))
    result = seen("04:30", declared=Declared())
    result = replace(result, jobs={C.id: often}, history={C.id: late_starter(11)})
    missed = [run for run in expect_runs(result, at("04:30")).runs if run.state is RunState.MISSED]
    assert missed
    assert "usually starts 11m later" in why_of(missed[0])
