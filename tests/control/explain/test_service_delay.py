"""Where the minutes of a late service day went: extract 03:10 (20 min), load by its clock 04:00 (30), mart (60)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.control.explain.lateness import LatenessBreakdown, PathStep, RunTry, break_down_lateness, path_steps_of
from console.domain.timeline import TimelineAttempt, TimelineJob, TimelineRun
from tests.factories import at, minutes

KINDS = ("clock", "queued", "slow", "retries", "repair")


def attempt(started: str, ended: str | None, good: bool = True, asked: bool = False) -> RunTry:
    return RunTry(at(started), at(ended) if ended else None, good, asked)


def step(job: str, due: str, usual: float | None, *tries: RunTry) -> PathStep:
    return PathStep(job, at(due) if due else None, None if usual is None else minutes(usual), tries)


EXTRACT = step("extract", "03:10", 20, attempt("03:10", "03:30"))
LOAD = step("load", "04:00", 30, attempt("04:00", "04:30"))
MART = step("mart", "", 60, attempt("04:30", "05:30"))


def explained_delay(*steps: PathStep, now: str = "09:00", delivered: bool = True) -> LatenessBreakdown:
    return break_down_lateness(steps, at(now), delivered)


def added(breakdown: LatenessBreakdown, job: int) -> dict[str, float]:
    """What a job's lateness is made of, in minutes."""
    part = breakdown.parts[job]
    shown = {kind: getattr(part, kind).total_seconds() / 60 for kind in ("upstream", *KINDS)}
    return {kind: value for kind, value in shown.items() if value}


def test_a_night_as_usual_has_lost_nothing() -> None:
    breakdown = explained_delay(EXTRACT, LOAD, MART)
    assert [timedelta(0)] * 3 == [part.late for part in breakdown.parts]
    assert at("05:30") == breakdown.parts[-1].usual_end


def test_a_late_upstream_costs_only_what_the_clock_does_not_absorb() -> None:
    """Extract is 45 min late, load would have waited 30 of them for its clock."""
    extract = step("extract", "03:10", 20, attempt("03:15", "04:15"))
    load = step("load", "04:00", 30, attempt("04:16", "04:46"))
    breakdown = explained_delay(extract, load, step("mart", "", 60, attempt("04:46", "05:46")))
    assert {"queued": 5, "slow": 40} == added(breakdown, 0)
    assert {"upstream": 45, "clock": -30, "queued": 1} == added(breakdown, 1)
    assert {"upstream": 16} == added(breakdown, 2)
    assert minutes(16) == breakdown.late == sum((breakdown.total(kind) for kind in KINDS), timedelta(0))


def test_what_its_scheduler_repeats_is_retries_and_what_a_person_reruns_is_repair() -> None:
    retried = replace(EXTRACT, tries=(attempt("03:10", "03:20", good=False), attempt("03:25", "03:45")))
    path_step = replace(EXTRACT, tries=(*retried.tries[:1], attempt("03:25", "03:45", asked=True)))
    assert {"retries": 15} == added(explained_delay(retried), 0)
    assert {"repair": 15} == added(explained_delay(path_step), 0)


def test_what_is_red_waits_for_repair_until_now() -> None:
    red = replace(EXTRACT, tries=(attempt("03:10", "03:20", good=False),))
    breakdown = explained_delay(red, replace(LOAD, tries=()), now="03:50", delivered=False)
    assert {"repair": 40} == added(breakdown, 0)
    assert (at("04:10"), False) == (breakdown.parts[0].end, breakdown.parts[0].is_over)
    assert {"upstream": 40, "clock": -30} == added(breakdown, 1)


def test_what_read_stale_data_is_repaired_by_its_rerun() -> None:
    extract = step("extract", "03:10", 20, attempt("04:00", "04:20"))
    load = replace(LOAD, tries=(attempt("04:00", "04:30"), attempt("04:50", "05:20", asked=True)))
    breakdown = explained_delay(extract, load)
    assert {"upstream": 50, "clock": -30, "repair": 30} == added(breakdown, 1)
    assert at("05:20") == breakdown.parts[1].end


def test_what_did_not_wait_and_was_delivered_all_the_same_lost_nothing_to_its_upstream() -> None:
    extract = step("extract", "03:10", 20, attempt("03:10", "05:00"))
    breakdown = explained_delay(extract, LOAD)
    assert {"upstream": 90, "clock": -90} == added(breakdown, 1)


def test_what_runs_is_slow_only_beyond_its_usual() -> None:
    running = step("extract", "03:10", 20, attempt("03:10", None, good=False))
    assert {} == added(explained_delay(running, now="03:20", delivered=False), 0)
    assert {"slow": 25} == added(explained_delay(running, now="03:55", delivered=False), 0)


def test_a_job_without_a_usual_counts_as_it_went() -> None:
    assert {} == added(explained_delay(replace(EXTRACT, usual=None)), 0)


def test_of_a_job_that_runs_often_the_run_before_its_reader_counts() -> None:
    def ran(clock: str, takes: int = 5) -> TimelineRun:
        attempt = TimelineAttempt(at(clock), at(clock) + minutes(takes), "succeeded")
        return TimelineRun(1, at(clock), at(clock), "succeeded", (attempt,))

    often = TimelineJob(1, "often", 300.0, None, "history", tuple(map(ran, ("03:00", "03:15", "03:30", "03:45"))))
    reader = TimelineJob(2, "reader", 600.0, None, "history", (ran("03:40", 10),))
    steps = path_steps_of([often, reader], at("06:30"))
    assert [at("03:30"), at("03:40")] == [step.due for step in steps]
    assert [] == path_steps_of([], at("06:30"))


def every(interval: int, now: datetime, state: str = "succeeded") -> tuple[TimelineRun, ...]:
    """Runs of ten seconds since 02:00, each in `state`, and the two starts after `now` that are stored."""
    starts = [at("02:00") + minutes(number * interval) for number in range(240 // interval)]
    begun = [start for start in starts if start <= now]
    ends = [TimelineAttempt(start, start + timedelta(seconds=10), state) for start in begun]
    ran = [TimelineRun(1, start, start, state, (tried,)) for start, tried in zip(begun, ends, strict=True)]
    ahead = [TimelineRun(2, start, start, "planned", ()) for start in starts[len(begun) :][:2]]
    return (*ran, *ahead)


OFTEN = pytest.mark.parametrize("interval", [1, 2, 3])
NOWS = [at("03:00") + timedelta(seconds=seconds) for seconds in (48, 630, 1030, 2190)]
TEN_SECONDS = timedelta(seconds=10)


@OFTEN
@pytest.mark.parametrize("later", [timedelta(0), timedelta(days=1)], ids=["tonight", "tomorrow"])
def test_a_run_to_come_is_compared_with_the_usual_of_its_own_slot_whatever_the_time(
    interval: int, later: timedelta
) -> None:
    """The service is due at 05:00, and reads the run of 04:54. Of tomorrow nothing is stored yet."""
    due = at("04:54") + later
    end = due + TEN_SECONDS + minutes(2)
    for now in NOWS:
        runs = () if later else every(interval, now)
        job = TimelineJob(1, "often", 10.0, None, "history", runs, expected=end, due=due)
        [part] = break_down_lateness(path_steps_of([job], at("05:00") + later), now, False, end).parts
        assert (due + TEN_SECONDS, minutes(2), minutes(2)) == (part.usual_end, part.late, part.ahead)


@OFTEN
@pytest.mark.parametrize("state", ["planned", "held"])
def test_where_no_start_is_known_nothing_is_compared(interval: int, state: str) -> None:
    """Nor with the starts that come next, which are not those that the service reads."""
    ahead = tuple(replace(run, state=state) for run in every(interval, at("03:00"))[-2:])
    for runs in ((), ahead):
        job = TimelineJob(1, "often", 10.0, None, "history", runs)
        steps = path_steps_of([job, replace(job, name="reader")], at("05:00"))
        breakdowns = [break_down_lateness(steps, now, False, at("04:54")) for now in NOWS]
        assert [LatenessBreakdown((), unscheduled="often")] * len(NOWS) == breakdowns


@OFTEN
def test_a_frequent_job_that_failed_is_compared_with_the_slot_of_its_failed_run(interval: int) -> None:
    for now in NOWS:
        runs = every(interval, now, "failed")
        job = TimelineJob(1, "often", 10.0, None, "history", runs, expected=now + minutes(5))
        [part] = break_down_lateness(path_steps_of([job], at("05:00")), now, False, now + minutes(5)).parts
        last = max(run.at for run in runs if run.tries)
        assert (last + TEN_SECONDS, now + minutes(5)) == (part.usual_end, part.end)


def test_a_path_begins_with_its_first_job_that_has_a_start() -> None:
    waits = step("input", "", 20)
    assert explained_delay(LOAD, MART) == explained_delay(waits, LOAD, MART)


def test_a_run_that_began_since_the_forecast_counts_as_it_runs() -> None:
    began = TimelineRun(1, at("04:54"), at("04:54"), "running", (TimelineAttempt(at("04:54:03"), None, "running"),))
    job = TimelineJob(1, "often", 10.0, None, "history", (began,), due=at("04:54"))
    assert [1] == [len(step.tries) for step in path_steps_of([job], at("05:00"))]


spans = st.integers(0, 120).map(minutes)


@st.composite
def paths(draw: st.DrawFn) -> tuple[list[PathStep], datetime]:
    moment, steps = at("00:00"), []
    for number in range(draw(st.integers(1, 6))):
        due = at("00:00") + draw(st.integers(0, 600).map(minutes)) if number == 0 or draw(st.booleans()) else None
        tries: list[RunTry] = []
        start = max(moment, due) if due and draw(st.booleans()) else due or moment
        for _ in range(draw(st.integers(0, 4))):
            start += draw(spans)
            ended: Any = start + draw(spans)
            if draw(st.integers(0, 5)) == 0:
                ended = None
            tries.append(RunTry(start, ended, ended is not None and draw(st.booleans()), draw(st.booleans())))
            start = ended or start
        usual = draw(st.one_of(st.none(), spans))
        steps.append(PathStep(f"job {number}", due, usual, tuple(tries)))
        moment = start
    return steps, moment + draw(spans)


@given(paths(), st.booleans())
def test_the_parts_of_every_job_add_up_to_its_lateness_and_all_of_them_to_the_whole(
    drawn: tuple[list[PathStep], datetime], delivered: bool
) -> None:
    steps, now = drawn
    breakdown = break_down_lateness(steps, now, delivered)
    for part in breakdown.parts:
        own = part.queued + part.slow + part.retries + part.repair + part.ahead
        assert part.late == part.upstream + part.clock + own
        assert min(part.queued, part.retries, part.repair) >= -timedelta(seconds=2)
    before = [timedelta(0), *(part.late for part in breakdown.parts)]
    assert before[:-1] == [part.upstream for part in breakdown.parts]
    assert breakdown.late == breakdown.parts[-1].end - breakdown.parts[-1].usual_end
    assert breakdown.late == sum((breakdown.total(kind) for kind in KINDS), timedelta(0))


def test_what_it_always_waits_for_a_slot_is_its_usual_and_no_lateness() -> None:
    """It waits nine minutes for a slot on every night."""
    pooled = PathStep("load", at("04:00"), minutes(30), (attempt("04:09", "04:39"),), waits=minutes(9))
    assert {} == added(explained_delay(pooled), 0)
    assert at("04:39") == explained_delay(pooled).parts[0].usual_end
    assert {"queued": 3} == added(explained_delay(replace(pooled, tries=(attempt("04:12", "04:42"),))), 0)
    to_come = explained_delay(replace(pooled, tries=()), now="03:30", delivered=False).parts[0]
    assert (at("04:39"), timedelta(0)) == (to_come.end, to_come.late)
    after = explained_delay(
        replace(EXTRACT, tries=(attempt("03:10", "04:20"),)),
        replace(pooled, due=None, tries=()),
        now="04:20",
        delivered=False,
    ).parts[1]
    assert (at("04:59"), minutes(50)) == (after.end, after.late)


def test_a_longer_duration_is_attributed_to_the_job_expected_to_take_it() -> None:
    """Extract is red, and green by 04:10 as repairs go here; load runs half an hour after it, and mart one."""
    red = replace(EXTRACT, tries=(attempt("03:10", "03:14", good=False),), expected=at("04:10"))
    load = replace(LOAD, due=None, tries=(), expected=at("04:40:40"))
    mart = replace(MART, tries=(), expected=at("05:41"))
    breakdown = break_down_lateness([red, load, mart], at("03:20"), delivered=False, expected=at("05:41"))
    assert [minutes(30), timedelta(0), minutes(1)] == [part.ahead for part in breakdown.parts]
    assert [at("04:10"), at("04:40"), at("05:41")] == [part.end for part in breakdown.parts]
    assert minutes(41) == breakdown.late
