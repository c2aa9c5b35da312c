"""A success repairs its own period, and what comes before it where periods have an order: the same for incidents, the
ledger, gates and plans."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from connectors.sdk.records import Schedule, instant_key
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
    RUN: {INSTANT: LATER, RUN: LATER, DATE: SAME_OR_LATER_DATE, NAME: NEVER, ALL: LATER},
    DATE: dict.fromkeys((INSTANT, RUN, DATE), SAME_OR_LATER_DATE) | {NAME: NEVER, ALL: LATER},
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


def named(number: int, name: str, clock: str, state: RunState = RunState.SUCCEEDED) -> RunFacts:
    """A run whose key is its id: of assets or of a branch, or of no name."""
    own: dict[str, Any] = {"period_kind": NAME if name else RUN, "own_period": name}
    return run(number, LOAD, clock, state, period_key=f"run-{number}", period_at=None, **own)


@each_row(
    "failed, later, is_open",
    [
        ("raw_orders", "daily_weather", True),
        ("raw_orders", "raw_orders", False),
        ("", "feature/x", True),
        ("feature/x", "", True),
        ("", "", False),
    ],
)
def test_a_run_of_other_work_repairs_nothing(failed: str, later: str, is_open: bool) -> None:
    ledger = Ledger(estate(LOAD, runs=[named(1, failed, "03:00", RunState.FAILED)]))
    ledger.evaluate("03:05")
    ledger.estate = replace(ledger.estate, runs=(*ledger.estate.runs, named(2, later, "03:10")))
    ledger.evaluate("03:30")
    assert int(is_open) == len(ledger.estate.incidents)


def test_one_rerun_repairs_all_failed_runs_of_a_name() -> None:
    runs = [named(1, "eu", "03:00", RunState.FAILED), named(2, "us", "03:05", RunState.FAILED),
            named(3, "eu", "03:10", RunState.FAILED)]  # fmt: skip
    ledger = Ledger(estate(LOAD, runs=runs))
    ledger.evaluate("04:00")
    draft = propose_recovery(ledger.estate, ledger.estate.incidents[0].id, at("04:00"), can_rerun)
    assert draft is not None
    assert {2, 3} == {step.run_id for step in draft.steps}


@each_row("states, is_stale", [("FS", False), ("SF", True), ("SFS", False)])
def test_a_downstream_reads_the_last_run_of_its_own_name(states: str, is_stale: bool) -> None:
    loads = [
        named(number, "eu", f"03:0{number}", RunState.FAILED if state == "F" else RunState.SUCCEEDED)
        for number, state in enumerate(states, 1)
    ]
    mart = replace(named(9, "eu", "04:00"), job_id=MART.id)
    index = EstateIndex(estate(LOAD, MART, runs=[*loads, mart], feeds=feeds(LOAD, MART)), at("05:00"))
    assert is_stale is index.is_stale(mart)


def test_a_downstream_reads_the_partition_of_its_own_name_and_without_one_that_which_failed() -> None:
    runs = [reported(0, (NAME, "eu"), RunState.FAILED), reported(1, (NAME, "us"), RunState.SUCCEEDED)]
    marts = [
        run(number, MART, "04:00", period_key=name, period_at=None, period_kind=kind)
        for number, name, kind in ((3, "eu", NAME), (4, "us", NAME), (5, "run-5", RUN))
    ]
    index = EstateIndex(estate(LOAD, MART, runs=[*runs, *marts], feeds=feeds(LOAD, MART)), at("05:00"))
    assert {"eu": True, "us": False, "run-5": True} == {mart.period_key: index.is_stale(mart) for mart in marts}


BUILD = job(4, "dbt/shop", kind="dbt")
ORDERS, STOCK = (
    job(number, f"dbt/shop.{name}", kind="dbt", parent_id=4) for number, name in ((5, "orders"), (6, "stock"))
)


@each_row(
    "later, is_open",
    [
        (["S"], [True]),
        (["OS"], [False]),
        (["O"], [False]),
        (["-"], [False]),
        (["S", "O"], [True, False]),
        (["Os"], [False]),
        (["oS"], [False]),
    ],
)
def test_a_later_run_of_a_part_repairs_only_that_part(later: list[str], is_open: list[bool]) -> None:
    """`dbt run --select stock` after a build that failed at orders. Each later run: the nodes that it ran, in small
    letters those that it skipped; "-" where they were not read."""
    ledger = Ledger(estate(BUILD, ORDERS, STOCK))

    def reported(number: int, state: RunState, nodes: dict[JobFacts, RunState]) -> None:
        clock = f"03:{number}0"
        for node, of in ((BUILD, state), *nodes.items()):
            own: dict[str, Any] = {"period_key": f"run-{number}", "period_at": None, "period_kind": RUN}
            ran = run(len(ledger.estate.runs) + 1, node, clock, of, ended_at=at(clock) + minutes(2), **own)
            ledger.estate = replace(ledger.estate, runs=(*ledger.estate.runs, ran))
        ledger.evaluate(f"03:{number}5")

    reported(1, RunState.FAILED, {ORDERS: RunState.FAILED, STOCK: RunState.SUCCEEDED})
    for number, (nodes, is_still_open) in enumerate(zip(later, is_open, strict=True), 2):
        states = {letter: RunState.SUCCEEDED if letter.isupper() else RunState.SKIPPED for letter in nodes}
        ran = {ORDERS if letter in "oO" else STOCK: of for letter, of in states.items() if letter != "-"}
        reported(number, RunState.SUCCEEDED, ran)
        assert int(is_still_open) == len(ledger.estate.incidents)


def test_a_failed_task_that_its_source_no_longer_has_keeps_nothing_open() -> None:
    own: dict[str, Any] = {"period_at": None, "period_kind": RUN}
    gone = replace(ORDERS, gone_since=at("03:20"))
    runs = [
        run(number, node, clock, state, period_key=key, **own)
        for number, node, clock, state, key in (
            (1, BUILD, "03:10", RunState.FAILED, "run-1"),
            (2, gone, "03:10", RunState.FAILED, "run-1"),
            (3, BUILD, "03:30", RunState.SUCCEEDED, "run-2"),
            (4, STOCK, "03:30", RunState.SUCCEEDED, "run-2"),
        )
    ]
    assert not EstateIndex(estate(BUILD, gone, STOCK, runs=runs), at("04:00")).is_red_now(runs[0])


NIGHTLY = job(3, "etl/nightly", "03:10", expected=minutes(5), accepted_at=at("02:00"))
SCHEDULED: dict[str, Any] = {"period_kind": NAME, "own_period": "2026-11-19"}


def reds(ledger: Ledger) -> tuple[list[str], int]:
    """The starts that did not come, and the number of open incidents."""
    missed = [run.period_key for run in ledger.estate.runs if run.state is RunState.MISSED]
    return missed, len(ledger.estate.incidents)


@each_row("partition", ["2026-11-19", "2026-11-19|eu", "eu", "2026-11-20T00:00:00Z"])
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


def partitioned(*names: str) -> Ledger:
    """The schedule started these partitions the night before."""
    runs = []
    for number, name in enumerate(names):
        key, due = (instant_key(at("03:10", day=-1)), at("03:10", day=-1)) if not number else (f"start:{name}", None)
        own: dict[str, Any] = {"period_key": key, "period_at": due, "period_kind": NAME, "own_period": name}
        runs.append(run(number + 1, NIGHTLY, at("03:10:05", day=-1), business_date=NIGHT - timedelta(days=1), **own))
    return Ledger(estate(NIGHTLY, runs=runs))


def launched(ledger: Ledger, name: str, clock: str, state: RunState = RunState.SUCCEEDED) -> None:
    """By a person."""
    ended: Any = at(clock) + minutes(2) if state is RunState.SUCCEEDED else None
    ledger.run_of_partition(NIGHTLY, name, clock, state, started_at=at(clock), ended_at=ended)


@each_row(
    "before, launch, is_open",
    [
        ("2026-11-18", "2026-11-19", False),
        ("2026-11-18|eu", "2026-11-19|eu", False),
        ("eu", "eu", False),
        ("2026-11-18", "2026-11-18", True),
        ("2026-11-18", "2026-01-05", True),
        ("2026-11-18|eu", "2026-11-19|us", True),
        ("week 47", "week 48", True),
        ("week 47", "week 47", True),
    ],
)
def test_a_start_that_did_not_come_is_answered_by_a_later_run_of_its_partition(
    before: str, launch: str, is_open: bool
) -> None:
    ledger = partitioned(before)
    ledger.evaluate("03:00")
    ledger.evaluate("03:30")
    assert ([instant_key(at("03:10"))], 1) == reds(ledger)
    launched(ledger, launch, "03:40")
    ledger.evaluate("03:50")
    assert int(is_open) == len(ledger.estate.incidents)


@each_row(
    "clock, name, is_missed",
    [("03:12", "2026-11-19", False), ("03:09", "2026-11-19", True), ("03:12", "2026-11-18", True)],
)
def test_a_start_whose_partition_a_person_launched_since_is_not_missed(clock: str, name: str, is_missed: bool) -> None:
    """Though that run outlasts the grace."""
    ledger = partitioned("2026-11-18")
    ledger.evaluate("03:00")
    launched(ledger, name, clock, RunState.RUNNING)
    ledger.evaluate("03:15")
    ledger.evaluate("03:40")
    assert ([instant_key(at("03:10"))] if is_missed else [], int(is_missed)) == reds(ledger)


def test_a_start_of_several_partitions_is_not_answered_by_one_of_them() -> None:
    ledger = partitioned("2026-11-18|eu", "2026-11-18|us")
    ledger.evaluate("03:30")
    launched(ledger, "2026-11-19|eu", "03:40")
    ledger.evaluate("03:50")
    assert ([instant_key(at("03:10"))], 1) == reds(ledger)


@each_row("is_known", [True, False])
def test_each_of_two_starts_that_did_not_come_is_answered_by_its_own_partition(is_known: bool) -> None:
    """Where the name of no start that came is known any more, the stored names count."""
    hourly = replace(NIGHTLY, schedule=Schedule("debian-cron", "10 * * * *"))
    last = run(1, hourly, "02:10", period_kind=NAME, own_period="2026-11-20-01:00")
    ledger = Ledger(estate(hourly, runs=[last]))
    ledger.evaluate("02:20")
    ledger.evaluate("04:20")
    if not is_known:
        unnamed = replace(last, period_kind=INSTANT, own_period="")
        ledger.estate = replace(ledger.estate, runs=(unnamed, *ledger.estate.runs[1:]))
    for name, clock, still_red in (("03:00", "04:30", ["03:10"]), ("02:00", "04:40", [])):
        launched(ledger, f"2026-11-20-{name}", clock)
        ledger.evaluate("04:50")
        index = EstateIndex(ledger.estate, at("04:50"))
        missed = [known for known in ledger.estate.runs if known.state is RunState.MISSED]
        assert 2 == len(missed)
        assert still_red == [f"{known.period_at:%H:%M}" for known in missed if index.is_red_now(known)]


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
