"""A night over time: what ran, what is expected along the path, and nothing of what came later."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.control.explain.timeline import BarKind, TimelineBar, TimelineLane, timeline_lanes, timeline_span
from console.domain.forecast import PublishedForecast
from console.domain.timeline import TimelineAttempt, TimelineJob, TimelineRun, TimelineView
from tests.tui.fake_reads import service


def at(clock: str) -> datetime:
    hours, minutes = (int(part) for part in clock.split(":"))
    return datetime(2026, 11, 20, hours, minutes, tzinfo=UTC)


def ran(begins: str, ends: str | None, state: str = "succeeded") -> TimelineAttempt:
    return TimelineAttempt(at(begins), at(ends) if ends else None, state)


def job(
    number: int, *tries: TimelineAttempt, due: str | None = None, usual: float | None = 30, late: float | None = 45
) -> TimelineJob:
    """One that takes half an hour, three quarters if it slips."""
    place = at(due) if due else tries[0].started if tries else at("03:00")
    runs = (TimelineRun(number, place, at(due) if due else None, tries[-1].state if tries else "planned", tries),)
    p50, p90 = (None if minutes is None else minutes * 60 for minutes in (usual, late))
    return TimelineJob(number, f"etl/job{number}", p50, p90, "history", runs)


def night(*jobs: TimelineJob, now: str = "03:20", **changes: object) -> TimelineView:
    supply = replace(service(1, "supply", "Supply", 2, "06:30", expected=None), **changes)  # type: ignore[arg-type]
    path = tuple(job.id for job in jobs)
    return TimelineView("2026-11-19", at(now), (supply,), {0: path}, {job.id: job for job in jobs}, ("2026-11-19",))


def of(lanes: list[TimelineLane], number: int) -> TimelineLane:
    return next(lane for lane in lanes if lane.job is not None and lane.job.id == number)


def test_each_job_of_a_path_starts_when_the_one_before_it_is_done_and_its_clock_lets_it() -> None:
    lanes = timeline_lanes(night(job(1, ran("03:00", None)), job(2), job(3, due="05:00")), at("03:20"))
    assert (at("03:30"), at("03:45")) == (of(lanes, 1).expected, of(lanes, 1).late)
    assert (at("04:00"), at("04:30")) == (of(lanes, 2).expected, of(lanes, 2).late)
    assert (at("05:30"), at("05:45")) == (of(lanes, 3).expected, of(lanes, 3).late)
    assert TimelineBar(BarKind.EXPECTED, at("05:00"), at("05:30")) in of(lanes, 3).bars


def test_what_is_red_is_expected_as_run_again_now() -> None:
    lanes = timeline_lanes(night(job(1, ran("03:00", "03:05", "failed")), job(2)), at("03:20"))
    assert [BarKind.RAN, BarKind.EXPECTED, BarKind.FAN] == [bar.kind for bar in of(lanes, 1).bars]
    assert at("03:50") == of(lanes, 1).expected
    assert at("04:20") == of(lanes, 2).expected


def test_a_period_that_succeeded_later_is_good_whenever_it_was_run_again() -> None:
    """The rerun as an attempt or as a run without a period of its own, even after the deadline; no later period."""
    failed, again = ran("03:00", "03:05", "failed"), ran("06:40", "06:55")
    attempts = job(1, failed, again)
    first = job(2, failed, due="03:00").runs[0]
    rerun = replace(job(2, again).runs[0], id=9)
    apart, next_period = (replace(job(2), runs=(first, replace(rerun, due=due))) for due in (None, at("06:40")))
    for repaired in (attempts, apart):
        lane = of(timeline_lanes(night(repaired, now="07:00"), at("07:00")), repaired.id)
        assert ("succeeded", at("06:55")) == (lane.state, lane.done)
        assert [True, False] == [bar.superseded for bar in lane.bars]
    lane = of(timeline_lanes(night(next_period, now="07:00"), at("07:00")), 2)
    assert ("failed", [False, False]) == (lane.state, [bar.superseded for bar in lane.bars if bar.kind == BarKind.RAN])
    lane = of(timeline_lanes(night(apart, now="07:00"), at("06:45")), 2)
    assert ("running", [False, False]) == (lane.state, [bar.superseded for bar in lane.bars][:2])
    eu, us = replace(first, due=None, period_name="eu"), replace(rerun, period_name="us")
    lane = of(timeline_lanes(night(replace(job(2), runs=(eu, us)), now="07:00"), at("07:00")), 2)
    assert ("failed", [False, False]) == (lane.state, [bar.superseded for bar in lane.bars if bar.kind == BarKind.RAN])
    same = replace(us, period_name="eu")
    assert "succeeded" == of(timeline_lanes(night(replace(job(2), runs=(eu, same)), now="07:00"), at("07:00")), 2).state


@pytest.mark.parametrize("known, state", [("failed", "failed"), ("succeeded", "unknown")])
@pytest.mark.parametrize("tries", [(), (ran("03:10", "03:12", "unknown"),)], ids=["no start", "no result"])
def test_an_unknown_run_repairs_no_failed_one_and_takes_over_no_success(
    known: str, state: str, tries: tuple[TimelineAttempt, ...]
) -> None:
    """Its host was out of reach: the incident names the failed run, and the path did not."""
    last_known = job(1, ran("03:00", "03:05", known), due="03:00").runs[0]
    unknown = TimelineRun(2, at("03:10"), at("03:10"), "unknown", tries)
    lane = of(timeline_lanes(night(replace(job(1), runs=(last_known, unknown))), at("03:20")), 1)
    assert (state, 1 if known == "failed" else 2) == (lane.state, lane.run_id)


def often(every: int, now: datetime, state: str = "succeeded") -> TimelineJob:
    """A job of every `every` minutes since 03:00, whose runs take 10 s and end in `state`: of the starts to come the
    store has two."""
    starts = [at("03:00") + timedelta(minutes=minutes) for minutes in range(0, 180, every)]
    begun = [start for start in starts if start <= now]
    ahead = starts[len(begun) :][:2]
    runs = [
        TimelineRun(number, start, start, state, (TimelineAttempt(start, start + timedelta(seconds=10), state),))
        for number, start in enumerate(begun)
    ]
    runs += [TimelineRun(100 + number, start, start, "planned", ()) for number, start in enumerate(ahead)]
    return TimelineJob(1, "etl/often", 10, 12, "history", tuple(runs), next_start=ahead[0])


OFTEN = pytest.mark.parametrize("every, seconds", [(1, 48), (1, 1030), (2, 48), (2, 630), (3, 150), (3, 2190)])
"""Minutes between two starts, and the present as seconds after 03:00."""


@OFTEN
def test_the_next_start_of_a_frequent_job_is_the_first_one_and_not_the_last_that_is_stored(
    every: int, seconds: int
) -> None:
    now = at("03:00") + timedelta(seconds=seconds)
    known = often(every, now)
    following = at("03:00") + timedelta(minutes=(seconds // 60 // every + 1) * every)
    [_, present] = timeline_lanes(night(known, now=f"{now:%H:%M}"), now)
    assert ("", following) == (present.state, present.next_start)
    later = replace(often(every, at("04:00")), next_start=None)
    [_, earlier] = timeline_lanes(night(later, now="04:00"), now)
    assert following == earlier.next_start, "as of that moment"


@OFTEN
def test_a_frequent_job_that_failed_has_failed_until_it_succeeds(every: int, seconds: int) -> None:
    now = at("03:00") + timedelta(seconds=seconds)
    for state, expected in (("failed", "failed"), ("succeeded", "")):
        known = often(every, now, state)
        last = [run for run in known.runs if run.tries][-1]
        lane = of(timeline_lanes(night(known, now=f"{now:%H:%M}"), now), 1)
        assert (expected, state == "failed") == (lane.state, lane.run_id == last.id)


def test_a_held_job_has_no_next_start_and_a_passed_one_is_none() -> None:
    held = replace(often(3, at("03:01")), next_start=None)
    passed = replace(held, next_start=at("03:03"))
    assert [None, None] == [
        of(timeline_lanes(night(known, now="03:01"), at("03:04")), 1).next_start for known in (held, passed)
    ]


def test_a_run_without_a_known_end_had_ended_by_the_next_start() -> None:
    """As of cron without the wrapper, whose log has starts only; the last one may run until now."""
    runs = [TimelineRun(number, at(clock), at(clock), "unknown", (ran(clock, None, "unknown"),)) for number, clock in
            ((1, "03:00"), (2, "03:10"))]  # fmt: skip
    lanes = timeline_lanes(night(replace(job(1), runs=tuple(runs))), at("03:20"))
    assert [(at("03:00"), at("03:10")), (at("03:10"), at("03:20"))] == [
        (bar.start, bar.end) for bar in of(lanes, 1).bars if bar.kind is BarKind.RUNS
    ]


def test_what_runs_longer_than_usual_may_end_at_any_moment() -> None:
    lanes = timeline_lanes(night(job(1, ran("02:00", None))), at("03:20"))
    assert (at("03:20"), at("03:20")) == (of(lanes, 1).expected, of(lanes, 1).late)
    assert [BarKind.RUNS] == [bar.kind for bar in of(lanes, 1).bars]


def test_behind_a_job_without_an_estimate_nothing_is_expected() -> None:
    lanes = timeline_lanes(night(job(1, usual=None, late=None), job(2)), at("03:20"))
    assert [None, None] == [of(lanes, 1).expected, of(lanes, 2).expected]
    assert of(lanes, 2).bars == ()


def test_an_earlier_moment_knows_nothing_of_what_came_later() -> None:
    """At 03:10 the first job ran still, the second had not begun, and nobody knew that it would be delivered."""
    whole = night(job(1, ran("03:00", "03:14")), job(2, ran("03:15", "03:40")), now="08:00",
                  delivered=at("03:40"), timeliness="met")  # fmt: skip
    then = timeline_lanes(whole, at("03:10"))
    assert (BarKind.RUNS, at("03:10"), "running") == (
        of(then, 1).bars[0].kind,
        of(then, 1).bars[0].end,
        of(then, 1).state,
    )
    assert of(then, 2).state == ""
    assert (None, "on_time") == (then[0].done, then[0].state)
    assert at("04:00") == then[0].expected
    now = timeline_lanes(whole, at("08:00"))
    assert (at("03:40"), "met") == (now[0].done, now[0].state)


def test_an_earlier_moment_shows_the_status_at_that_time() -> None:
    late = night(job(1, ran("06:10", "07:00")), now="08:00", delivered=at("07:00"), timeliness="met_late")
    deadline = late.services[0].deadline
    assert "will_miss" == timeline_lanes(late, at("05:20"))[0].state
    assert "breached" == timeline_lanes(late, deadline + timedelta(minutes=1))[0].state
    assert "met_late" == timeline_lanes(late, at("07:30"))[0].state
    blind = night(job(1, usual=None, late=None), now="08:00")
    assert "no_estimate" == timeline_lanes(blind, at("03:00"))[0].state


def test_a_date_without_a_promise_was_never_late_and_its_deadline_stretches_nothing() -> None:
    timeline = night(job(1, ran("01:00", "01:20")), now="08:00", timeliness="no_promise", deadline=at("06:30"))
    shown = timeline_lanes(timeline, at("07:00"))
    assert "no_promise" == shown[0].state
    assert (at("01:00"), at("02:00")) == timeline_span(timeline, shown)


@pytest.mark.parametrize("late, last", [("07:30", "07:30"), ("15:53", "08:30")])
def test_an_unknown_finish_does_not_take_the_whole_screen(late: str, last: str) -> None:
    timeline = night(job(1, ran("03:00", None)), expected=at("05:00"), late=at(late), deadline=at("06:30"))
    assert at(last) == timeline_span(timeline, timeline_lanes(timeline, at("03:20")))[1]


def test_of_the_present_a_services_own_forecast_counts() -> None:
    lanes = timeline_lanes(night(job(1, ran("03:00", None)), expected=at("05:00"), late=at("05:40")), at("03:20"))
    assert (at("05:00"), at("05:40")) == (lanes[0].expected, lanes[0].late)


def test_of_the_present_its_jobs_are_expected_as_the_service_is_and_of_an_earlier_moment_by_what_they_take() -> None:
    path = job(1, ran("03:00", "03:05", "failed")), job(2), job(3, ran("02:00", "02:30")), job(4, usual=None, late=None)
    says = {1: ("04:10", "04:50"), 2: ("04:55", "05:20"), 3: ("03:00", "03:01"), 4: ("03:10", "05:30")}
    whole = replace(night(*path), foreseen={0: {number: (at(p50), at(p95)) for number, (p50, p95) in says.items()}})
    lanes = timeline_lanes(whole, at("03:20"))
    details = {number: (of(lanes, number).expected, of(lanes, number).late) for number in says}
    assert {1: (at("04:10"), at("04:50")), 2: (at("04:55"), at("05:20")), 3: (None, None),
            4: (at("03:20"), at("05:30"))} == details  # fmt: skip
    assert TimelineBar(BarKind.EXPECTED, at("03:40"), at("04:10")) in of(lanes, 1).bars, (
        "its half hour, once it is restarted"
    )
    assert at("03:36") == of(timeline_lanes(whole, at("03:06")), 1).expected


def test_a_job_of_two_services_is_shown_once_under_the_one_due_first() -> None:
    timeline_job = job(1, ran("03:00", "03:10"))
    due = replace(service(2, "revenue", "Revenue", 1, "05:30"), expected=None)
    supply = night(timeline_job).services[0]
    both = TimelineView("2026-11-19", at("03:20"), (supply, due), {0: (1,), 1: (1,)}, {1: timeline_job}, ())
    assert ["revenue", "etl/job1", "supply"] == [lane.name for lane in timeline_lanes(both, at("03:20"))]


def test_the_span_holds_every_bar_and_every_deadline() -> None:
    lanes = timeline_lanes(whole := night(job(1, ran("01:00", "01:20"))), at("03:20"))
    assert (at("01:00"), whole.services[0].deadline) == timeline_span(whole, lanes)


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 90), st.booleans()), max_size=6), st.integers(0, 480))
def test_nothing_that_ran_is_later_than_the_moment_and_nothing_expected_is_earlier(
    told: list[tuple[int, int, bool]], minute: int
) -> None:
    jobs = [
        job(
            number,
            TimelineAttempt(
                at("00:00") + timedelta(minutes=begins),
                at("00:00") + timedelta(minutes=begins + took),
                "succeeded" if good else "failed",
            ),
        )
        for number, (begins, took, good) in enumerate(told, 1)
    ]
    moment = at("00:00") + timedelta(minutes=minute)
    foreseen = {job.id: (at("01:00"), at("02:00") + timedelta(minutes=job.id * 60)) for job in jobs[::2]}
    present = replace(night(*jobs), now=moment, foreseen={0: foreseen})
    for lane in [*timeline_lanes(night(*jobs, now="23:00"), moment), *timeline_lanes(present, moment)]:
        assert all(bar.end <= moment for bar in lane.bars if bar.kind in (BarKind.RAN, BarKind.RUNS))
        assert all(bar.start >= moment for bar in lane.bars if bar.kind in (BarKind.EXPECTED, BarKind.FAN))
        assert lane.late is None or (lane.expected is not None and lane.late >= lane.expected)


def test_an_earlier_moment_shows_the_forecast_of_that_time() -> None:
    """What was notified by then, not what was notified later, nor what usual times make of it afterwards."""
    expected = (
        PublishedForecast(at("02:00"), 0.01, at("05:00"), at("05:40")),
        PublishedForecast(at("03:05"), 0.41, at("06:10"), at("06:45")),
        PublishedForecast(at("03:18"), 0.8, at("06:40"), at("07:00")),
    )
    replayed = replace(night(job(1, ran("03:00", None)), job(2)), published={0: expected})
    for moment, status, p50, p95 in (
        ("02:30", "on_time", "05:00", "05:40"),
        ("03:10", "at_risk", "06:10", "06:45"),
        ("03:19", "will_miss", "06:40", "07:00"),
    ):
        service, *jobs = timeline_lanes(replayed, at(moment))
        assert (status, at(p50), at(p95)) == (service.state, service.expected, service.late)
        assert (at(p50), at(p95)) == (jobs[-1].expected, jobs[-1].late), "it is done with its last job"
    assert timeline_lanes(replayed, at("01:30")) == timeline_lanes(replace(replayed, published={}), at("01:30")), (
        "nothing was told by then"
    )
