"""The cache from one evaluation to the next changes no decision: it only saves computing the same again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.snapshot.freshness import FreshnessIndex
from console.control.snapshot.incremental import build_cache, changed_jobs, components_of, part_with
from console.control.snapshot.runs import Freshness
from console.domain.calendar import Calendar
from console.domain.estate import Estate, EstateChanges, EvaluationSettings, JobFacts, RunFacts
from console.domain.history import RunHistory
from console.domain.settings import Declared
from tests.control.detection.test_rules import past
from tests.control.ledger import Ledger
from tests.control.snapshot.test_incremental import (
    CLOCKS,
    ENDING,
    EVENTS,
    GATED,
    THINGS,
    happens,
    lively,
    news,
    play,
    within,
)
from tests.deep import some
from tests.factories import at, estate, feeds, job, minutes, service, target
from tests.properties import examples


@pytest.mark.deep
@given(lively(), st.lists(st.lists(THINGS, max_size=3), min_size=1, max_size=len(CLOCKS)))
def test_an_evaluation_with_a_cache_decides_as_one_without(begins: Estate, nights: list[list[tuple[Any, ...]]]) -> None:
    ledger, cache = Ledger(begins), None
    for clock, things in zip(CLOCKS, nights, strict=False):
        for thing in things:
            happens(ledger, thing, clock)
        for late in (0, 1, 7):
            now = at(clock) + minutes(late)
            cache = build_cache(ledger.estate, cache)
            assert evaluate(ledger.estate, now) == evaluate(ledger.estate, now, cache=cache)
        ledger.evaluate(clock)


@pytest.mark.deep
@given(st.lists(EVENTS, min_size=1, max_size=len(CLOCKS)))
def test_gates_and_loops_are_cached_as_well(nights: list[list[tuple[int, RunState, bool]]]) -> None:
    cache = None
    for whole, clock in play(nights, GATED):
        cache = build_cache(whole, cache)
        assert evaluate(whole, at(clock)) == evaluate(whole, at(clock), cache=cache)


@given(lively(), st.lists(st.lists(THINGS, max_size=3), min_size=1, max_size=len(CLOCKS)))
def test_components_evaluated_meanwhile_are_in_the_cache_of_the_whole(
    begins: Estate, nights: list[list[tuple[Any, ...]]]
) -> None:
    ledger, cache = Ledger(begins), None
    before: Estate | None = None
    for clock, things in zip(CLOCKS, nights, strict=False):
        for thing in things:
            happens(ledger, thing, clock)
        changed = changed_jobs(before, ledger.estate) if before is not None else None
        known = EstateChanges(changed, differing(before, ledger.estate)) if before and changed is not None else None
        cache = build_cache(ledger.estate, cache, known)
        fresh = build_cache(ledger.estate)
        assert (fresh.red_jobs, fresh.failing) == (cache.red_jobs, cache.failing)
        assert components_of(ledger.estate, fresh) == components_of(ledger.estate, cache)
        if changed is not None:
            part = part_with(ledger.estate, changed, cache)
            assert evaluate(part, at(clock)) == evaluate(part, at(clock), cache=cache)
        before = ledger.estate
        assert evaluate(ledger.estate, at(clock)) == evaluate(ledger.estate, at(clock), cache=cache)


def differing(before: Estate, after: Estate) -> set[int]:
    """The targets that do."""
    return {number for number, target in after.targets.items() if before.targets[number] != target}


def by_cron(text: str, zone: str = "UTC") -> Schedule:
    return Schedule("debian-cron", text, zone)


DAILY = (
    job(1, "etl-hosts/db07:extract", "03:10", calendar="working", grace=minutes(40)),
    job(2, "etl-hosts/db07:load", "04:00", grace=minutes(40)),
    job(3, "etl-hosts/db07:often", by_cron("*/15 * * * *")),
    job(4, "etl-hosts/db07:hourly", by_cron("20 * * * *", "Europe/Berlin")),
    job(5, "etl-hosts/db07:learned"),
    job(6, "etl-hosts/db07:weekly", by_cron("0 6 * * 6"), paused_since=at("02:00")),
)
"""Schedules of all sorts: what the clock alone changes of them comes at instants of all sorts."""
DAYS = estate(
    *DAILY, feeds=[*feeds(DAILY[0], DAILY[1]), *feeds(DAILY[3], DAILY[1])], services=[service("day", "06:30", DAILY[1])]
)
HALVES = EvaluationSettings(lookback=timedelta(hours=9), horizon=timedelta(hours=7))
"""What lies behind and ahead comes and goes within the test's two days."""
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.5, 1, 3, 5, 7, 16, 45, 130, 400]),
        st.lists(st.tuples(st.integers(0, len(DAILY) - 1), ENDING), max_size=3),
        st.sampled_from(["is seen", "is seen", "is seen", "is silent", "lags"]),
    ),
    min_size=4, max_size=24,
)  # fmt: skip
PASTS = st.lists(st.sampled_from([None, past(*[600.0] * 9), past(*[60.0] * 16, delay=30)]), min_size=6, max_size=6)


@pytest.mark.deep
@examples(150)
@given(PASTS, STEPS)
def test_time_alone_expires_a_cache_entry_at_the_very_instant(
    pasts: list[RunHistory | None], steps: list[tuple[float, list[tuple[int, RunState]], str]]
) -> None:
    known = {number: history for number, history in enumerate(pasts, 1) if history is not None}
    working = Calendar("working", weekdays=(0, 1, 2, 3, 4))
    whole = replace(DAYS, history=known, settings=HALVES, declared=Declared(calendars=(working,)))
    ledger, cache, now = Ledger(whole), None, at("02:50")
    for later, ran, how in steps:
        now += minutes(later)
        compare_evaluations(ledger, how, now)
        for number, state in ran:
            starts(ledger, DAILY[number], state, now)
        cache = build_cache(ledger.estate, cache)
        fresh = evaluate(ledger.estate, now)
        assert fresh == evaluate(ledger.estate, now, cache=cache)
        ledger.keep(fresh, now)


@pytest.mark.deep
@examples(150)
@given(PASTS, STEPS)
def test_a_poll_that_proves_absent_starts_is_evaluated_for_the_jobs_that_waited_for_it(
    pasts: list[RunHistory | None], steps: list[tuple[float, list[tuple[int, RunState]], str]]
) -> None:
    known = {number: history for number, history in enumerate(pasts, 1) if history is not None}
    ledger, cache, now = Ledger(replace(DAYS, history=known, settings=HALVES)), None, at("02:50")
    for later, ran, how in steps:
        now += minutes(later)
        ledger.target(1, last_ok_at=now)
        for number, state in ran:
            starts(ledger, DAILY[number], state, now)
        settled = ledger.estate
        cache = build_cache(settled, cache)
        before = evaluate(settled, now, cache=cache)
        if how != "is silent":
            seen_until = now - minutes(20 if how == "lags" else 0)
            ledger.target(1, seen_until=max(seen_until, settled.targets[1].seen_until or seen_until))
        cache = build_cache(ledger.estate, cache)
        everything, changed = evaluate(ledger.estate, now), changed_jobs(settled, ledger.estate, None, cache)
        assert changed is not None
        part = part_with(ledger.estate, changed, cache)
        assert within(everything, part) == within(evaluate(part, now, cache=cache), part)
        assert news(before, part) == news(everything, part)
        ledger.keep(everything, now)


def test_a_poll_changes_only_the_jobs_that_waited_until_then() -> None:
    host, now = target(seen_until=at("03:49"), last_ok_at=at("03:51")), at("03:51")
    ledger = Ledger(replace(DAYS, targets={1: host}))
    cache = build_cache(ledger.estate)
    ledger.keep(evaluate(ledger.estate, now, cache=cache), now)
    for seen_until, waited in (("03:49", set[int]()), ("03:50", {1, 3}), ("03:51", set[int]())):
        before = ledger.estate
        ledger.target(1, seen_until=at(seen_until))
        cache = build_cache(ledger.estate, cache)
        changed = changed_jobs(before, ledger.estate, EstateChanges(set(), {1}), cache)
        assert waited == changed
        part = part_with(ledger.estate, changed, cache)
        decisions = evaluate(part, now, cache=cache)
        assert waited == {run.job_id for run in decisions.expected if run.state is RunState.MISSED}
        ledger.keep(decisions, now)


def compare_evaluations(ledger: Ledger, how: str, now: datetime) -> None:
    if how == "is seen":
        ledger.target(1, failing_since=None, last_ok_at=now, seen_until=now)
    elif how == "lags":
        ledger.target(1, failing_since=None, last_ok_at=now, seen_until=now - minutes(20))


def starts(ledger: Ledger, of: JobFacts, state: RunState, now: datetime) -> None:
    """The newest run of the job that is planned, else one by hand."""
    due = [run.period_at for run in ledger.estate.runs if run.job_id == of.id and run.attempt == 0 and run.period_at]
    at_last = max((instant for instant in due if instant <= now), default=now)
    ended_at = None if state.is_open else now
    ledger.run_at(of, at_last, state, started_at=now - minutes(1), ended_at=ended_at, observed_at=now)


@pytest.mark.deep
@pytest.mark.parametrize("settles", some([True, False], False))
def test_minute_by_minute_no_cache_entry_outlives_its_time(settles: bool) -> None:
    """A morning with few starts; the target is polled every fourth minute. `settles`: decisions are
    written."""
    known = {1: past(*[600.0] * 12), 2: past(*[600.0] * 12), 3: past(*[60.0] * 9), 5: past(*[60.0] * 16)}
    working = Calendar("working", weekdays=(0, 1, 2, 3, 4))
    whole = replace(DAYS, history=known, settings=HALVES, declared=Declared(calendars=(working,)))
    ledger, cache = Ledger(replace(whole, targets={1: target(poll_every=minutes(2))})), None
    for minute in range(600):
        now = at("02:50") + minutes(minute)
        if minute % 4 == 0 and minute not in range(300, 330):
            compare_evaluations(ledger, "is seen", now)
        if minute in (35, 90, 91):
            starts(ledger, DAILY[minute % 2], RunState.RUNNING, now)
        cache = build_cache(ledger.estate, cache)
        fresh = evaluate(ledger.estate, now)
        assert fresh == evaluate(ledger.estate, now, cache=cache), f"{now:%H:%M}"
        if settles:
            ledger.keep(fresh, now)


def test_an_evaluation_that_breaks_on_the_way_hides_no_change_from_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source reports a failure late: its downstream was evaluated again, its consumers are not yet."""
    source, middle, *ends = every = [job(number, f"etl/job{number}") for number in (1, 2, 3, 4)]
    ledger = Ledger(estate(*every, feeds=[*feeds(source, middle), *feeds(middle, *ends)]))
    ledger.run(middle, "01:10", RunState.SUCCEEDED, started_at=at("01:10"), ended_at=at("01:15"))
    for end in ends:
        ledger.run(end, "01:20", RunState.SUCCEEDED, started_at=at("01:20"), ended_at=at("01:25"))
    cache = build_cache(ledger.estate)
    evaluate(ledger.estate, at("02:00"), cache=cache)
    ledger.run(source, "01:00", RunState.FAILED, started_at=at("01:00"), ended_at=at("01:05"))
    cache, stand = build_cache(ledger.estate, cache), FreshnessIndex._compute

    def breaks(them: FreshnessIndex, run: RunFacts) -> Freshness:
        assert run.job_id not in {job.id for job in ends}, "broken"
        return stand(them, run)

    with monkeypatch.context() as patched:
        patched.setattr(FreshnessIndex, "_compute", breaks)
        with pytest.raises(AssertionError, match="broken"):
            evaluate(ledger.estate, at("02:00"), cache=cache)
    cache = build_cache(ledger.estate, cache)
    fresh = evaluate(ledger.estate, at("02:01"))
    assert 3 == len([judgement for judgement in fresh.judgements if judgement.stale_read])
    assert fresh == evaluate(ledger.estate, at("02:01"), cache=cache)
