"""A success repairs its own period, and what comes before it where periods have an order: the same for incidents, the
ledger, gates and plans."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from connectors.sdk.records import instant_key
from connectors.sdk.states import Capability, PeriodKind, RunState
from console.control.holds.conditions import is_satisfied
from console.control.recovery.proposal import propose_recovery
from console.control.snapshot.estate_index import EstateIndex
from console.control.snapshot.runs import run_time
from console.domain.estate import JobFacts, RunFacts
from console.domain.reason import LaterRunGood
from tests.control.ledger import Ledger
from tests.factories import NIGHT, at, estate, feeds, job, minutes, run
from tests.properties import examples
from tests.rows import each_row

LOAD, MART = job(1, "etl/load", expected=minutes(5)), job(2, "etl/mart", expected=minutes(5))
INSTANT, RUN, DATE, NAME, ALL = PeriodKind

NEVER, LATER, SAME_OR_LATER_DATE = "never", "later in order", "later in order, of the same or a later date"
COVERS = {
    # of the failed run: what a success covers it, by its own kind of period
    INSTANT: {INSTANT: LATER, RUN: LATER, DATE: SAME_OR_LATER_DATE, NAME: NEVER, ALL: LATER},
    RUN: {INSTANT: LATER, RUN: LATER, DATE: SAME_OR_LATER_DATE, NAME: LATER, ALL: LATER},
    DATE: dict.fromkeys((INSTANT, RUN, DATE, NAME), SAME_OR_LATER_DATE) | {ALL: LATER},
    NAME: {INSTANT: NEVER, RUN: NEVER, DATE: NEVER, NAME: NEVER, ALL: LATER},
    ALL: {INSTANT: NEVER, RUN: NEVER, DATE: NEVER, NAME: NEVER, ALL: LATER},
}

Period = tuple[PeriodKind, str]
PERIODS = st.one_of(
    st.tuples(st.just(INSTANT), st.sampled_from(["01:00", "02:00", "03:10", "04:20"])),
    st.tuples(st.just(DATE), st.sampled_from(["-1", "0", "1"])),
    st.tuples(st.just(NAME), st.sampled_from(["2026-11-19", "2026-01-05", "eu", "2026-11-19|eu", "2026-11-19|us"])),
    st.tuples(st.just(RUN), st.just("")),
    st.tuples(st.just(ALL), st.just("")),
)


def reported(place: int, period: Period, state: RunState) -> RunFacts:
    """A run of the job for that period; the next one starts twelve minutes later."""
    (kind, text), began = period, at("03:00") + place * minutes(12)
    ran = run(place + 1, LOAD, began, state, period_key=f"run-{place}", period_at=None, period_kind=kind)
    match kind:
        case PeriodKind.INSTANT:
            return replace(ran, period_key=instant_key(at(text)), period_at=at(text))
        case PeriodKind.DATE:
            return replace(ran, business_date=NIGHT + timedelta(days=int(text)))
        case PeriodKind.NAME:
            return replace(ran, period_key=text)
    return ran


def covers(good: RunFacts, failed: RunFacts) -> bool:
    """As the table has it."""
    needs = COVERS[failed.period_kind][good.period_kind]
    is_later = needs != NEVER and run_time(good) > run_time(failed)
    return is_later and (needs == LATER or good.business_date >= failed.business_date)


def can_rerun(_: JobFacts, capability: Capability) -> bool:
    return capability is Capability.RERUN


@given(st.lists(PERIODS, min_size=2, max_size=4, unique_by=lambda it: it if it[1] else object()), st.integers(0, 3))
@example([(NAME, "2026-11-29"), (NAME, "2026-01-05")], 0)  # the backfill of an old partition
@example([(NAME, "2026-11-29|eu"), (NAME, "2026-11-29|us")], 0)
@example([(DATE, "0"), (DATE, "-1")], 0)
@example([(INSTANT, "02:00"), (INSTANT, "01:00")], 0)
@example([(RUN, ""), (RUN, "")], 0)
@example([(NAME, "eu"), (ALL, "")], 0)
@example([(ALL, ""), (NAME, "eu")], 0)
@examples(200)
def test_a_success_repairs_what_it_covers_and_nothing_else_at_each_level(periods: list[Period], broken: int) -> None:
    broken %= len(periods)
    runs = [
        reported(place, period, RunState.FAILED if place == broken else RunState.SUCCEEDED)
        for place, period in enumerate(periods)
    ]
    failed = runs[broken]
    is_repaired = any(covers(good, failed) for good in runs if good is not failed)

    ledger = Ledger(estate(LOAD, MART, runs=runs, feeds=feeds(LOAD, MART)))
    index = EstateIndex(ledger.estate, at("06:00"))
    assert is_repaired is not index.is_red_now(failed), "the ledger"
    ledger.evaluate("06:00")
    open_incidents = ledger.estate.incidents
    assert len(open_incidents) == (0 if is_repaired else 1), "incidents"
    if not is_repaired:
        draft = propose_recovery(ledger.estate, open_incidents[0].id, at("06:00"), can_rerun)
        assert draft is not None
        assert [failed.id] == [step.run_id for step in draft.steps], "plans"
        assert not is_satisfied(index, LOAD.id, failed.business_date, at("05:30")), "gates"


def test_each_failed_partition_is_a_step_of_its_own() -> None:
    """A rerun of one partition does not do the work of another, although its kind knows no periods."""
    runs = [
        reported(place, (NAME, name), RunState.FAILED if place < 2 else RunState.SUCCEEDED)
        for place, name in enumerate(("eu", "us", "apac"))
    ]
    ledger = Ledger(estate(LOAD, runs=runs))
    ledger.evaluate("04:00")
    draft = propose_recovery(ledger.estate, ledger.estate.incidents[0].id, at("04:00"), can_rerun)
    assert draft is not None
    assert {1, 2} == {step.run_id for step in draft.steps}


def test_the_same_partition_again_and_a_full_load_repair_a_failed_one() -> None:
    failed, other = reported(0, (NAME, "eu"), RunState.FAILED), reported(1, (NAME, "us"), RunState.SUCCEEDED)
    for repair in (reported(0, (NAME, "eu"), RunState.SUCCEEDED), reported(2, (ALL, ""), RunState.SUCCEEDED)):
        ledger = Ledger(estate(LOAD, runs=[failed, other]))
        ledger.evaluate("03:30")
        assert 1 == len(ledger.estate.incidents)
        runs = {run.id: run for run in (*ledger.estate.runs, repair)}
        ledger.estate = replace(ledger.estate, runs=tuple(runs.values()))
        ledger.evaluate("03:40")
        assert () == ledger.estate.incidents


def test_a_run_without_a_period_is_repaired_by_the_next_one() -> None:
    ledger = Ledger(estate(LOAD, runs=[reported(0, (RUN, ""), RunState.FAILED)]))
    ledger.evaluate("03:11")
    ledger.estate = replace(ledger.estate, runs=(*ledger.estate.runs, reported(1, (RUN, ""), RunState.SUCCEEDED)))
    ledger.evaluate("03:30")
    assert LaterRunGood() == ledger.incident().close_reason


def test_a_downstream_reads_the_partition_of_its_own_name_and_without_one_that_which_failed() -> None:
    runs = [reported(0, (NAME, "eu"), RunState.FAILED), reported(1, (NAME, "us"), RunState.SUCCEEDED)]
    marts = [
        run(number, MART, "04:00", period_key=name, period_at=None, period_kind=kind)
        for number, name, kind in ((3, "eu", NAME), (4, "us", NAME), (5, "run-5", RUN))
    ]
    index = EstateIndex(estate(LOAD, MART, runs=[*runs, *marts], feeds=feeds(LOAD, MART)), at("05:00"))
    assert {"eu": True, "us": False, "run-5": True} == {mart.period_key: index.is_stale(mart) for mart in marts}


NIGHTLY = job(3, "etl/nightly", "03:10", expected=minutes(5), accepted_at=at("02:00"))
SCHEDULED: dict[str, Any] = {"period_kind": NAME, "own_period": "2026-11-19"}


def reds(ledger: Ledger) -> tuple[list[str], int]:
    """The starts that did not come, and the number of open incidents."""
    missed = [run.period_key for run in ledger.estate.runs if run.state is RunState.MISSED]
    return missed, len(ledger.estate.incidents)


@each_row("partition", ["2026-11-19", "2026-11-19|eu", "eu"])
def test_a_scheduled_run_of_a_partition_is_the_run_that_was_due(partition: str) -> None:
    ledger = Ledger(estate(NIGHTLY))
    ledger.evaluate("03:00")
    own: dict[str, Any] = {"period_kind": NAME, "own_period": partition}
    ledger.run(NIGHTLY, "03:10", RunState.RUNNING, started_at=at("03:10:05"), **own)
    ledger.evaluate("03:40")
    assert ([], 0) == reds(ledger), "it runs for longer than the grace"
    ledger.run(NIGHTLY, "03:10", RunState.SUCCEEDED, started_at=at("03:10:05"), ended_at=at("04:00"), **own)
    ledger.evaluate("04:10")
    assert ([], 0) == reds(ledger)


def test_a_start_that_did_not_come_is_answered_by_its_own_run_and_by_no_other_partition() -> None:
    ledger = Ledger(estate(NIGHTLY))
    ledger.run_of_partition(NIGHTLY, "2026-01-05", "03:10:05", RunState.SUCCEEDED, started_at=at("03:10:05"),
                            ended_at=at("03:12"))  # fmt: skip
    ledger.evaluate("03:30")
    assert ([instant_key(at("03:10"))], 1) == reds(ledger)
    ledger.run_of_partition(NIGHTLY, "2026-11-18", "03:40", RunState.SUCCEEDED, started_at=at("03:40"),
                            ended_at=at("03:45"))  # fmt: skip
    ledger.evaluate("03:50")
    assert ([instant_key(at("03:10"))], 1) == reds(ledger)
    ledger.run(NIGHTLY, "03:10", RunState.SUCCEEDED, started_at=at("04:00"), ended_at=at("04:05"), **SCHEDULED)
    ledger.evaluate("04:10")
    assert ([], 0) == reds(ledger)


@each_row("partition, is_open", [("2026-11-19", False), ("2026-11-18", True)])
def test_a_failed_scheduled_partition_is_repaired_by_that_partition_under_another_key(
    partition: str, is_open: bool
) -> None:
    ledger = Ledger(estate(NIGHTLY))
    ledger.run(NIGHTLY, "03:10", RunState.FAILED, started_at=at("03:10:05"), ended_at=at("03:12"), **SCHEDULED)
    ledger.evaluate("03:20")
    ledger.run_of_partition(NIGHTLY, partition, "03:40", RunState.SUCCEEDED, started_at=at("03:40"),
                            ended_at=at("03:45"))  # fmt: skip
    ledger.evaluate("03:50")
    assert int(is_open) == len(ledger.estate.incidents)
