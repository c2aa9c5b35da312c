"""What is written down about a service against what is observed: EXTRACT 03:10 feeds LOAD, by its own clock, 04:00."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import ProofLevel, RunState
from console.control.services.review import ReviewGap, review_services
from console.control.snapshot.estate_index import EstateIndex
from console.domain.dependency import DependencyOrigin
from console.domain.estate import JobFacts
from console.domain.history import RunHistory
from console.domain.job import Safety
from console.domain.promise import Promise, ServiceObjective
from tests.factories import at, estate, feeds, job, minutes, run, service
from tests.rows import each_row

WELL: dict[str, Any] = {"owner": "team", "runbook": "wiki", "rerun": Safety.SAFE, "expected": minutes(10)}
EXTRACT = job(1, "hosts/extract", "03:10", **WELL)
LOAD = job(2, "warehouse/load", "04:00", **WELL)
GOOD = service(
    "daily", "06:30", LOAD, owner="team", notify=("oncall",), runbook="wiki", ready=("rows",), calendar="bank",
    promise=Promise(slo=ServiceObjective(0.99)),
)  # fmt: skip
RUNS = [run(1, EXTRACT, "03:10"), run(2, LOAD, "04:00")]
DURATIONS = {1: (600.0,) * 9, 2: (600.0,) * 9}


def gaps(
    extract: JobFacts = EXTRACT, load: JobFacts = LOAD, promised: Any = GOOD, runs: Any = RUNS, history: Any = (),
    **more: Any,
) -> tuple[ReviewGap, ...]:  # fmt: skip
    facts = {"feeds": feeds(extract, load), "durations": DURATIONS, **more}
    known = replace(estate(extract, load, runs=runs, services=[promised], **facts), history=dict(history))
    return review_services(EstateIndex(known, at("06:00")), promised)


def gap_rows(results: tuple[ReviewGap, ...]) -> list[tuple[str, str, str]]:
    return [(gap.level, gap.about, gap.what) for gap in results]


def test_a_service_that_is_as_written_has_no_gap() -> None:
    assert () == gaps()


def test_missing_declarations_are_listed_the_important_ones_first() -> None:
    bare = service("daily", "06:30", LOAD)
    levels = ["high", "high", "high", "medium", "low", "low", "low"]
    about = ["owner", "route", "runbook", "checks", "calendar", "objective", "output"]
    assert list(zip(levels, about, strict=True)) == [(gap.level, gap.what) for gap in gaps(promised=bare)]
    assert "medium" == gaps(promised=replace(bare, tier=4))[0].level


def test_a_job_that_delivers_and_reports_its_rows_has_no_gap() -> None:
    """A check of its output is as good."""
    unchecked = replace(GOOD, ready=())
    assert [("medium", "daily", "checks"), ("low", LOAD.name, "output")] == gap_rows(gaps(promised=unchecked))
    known = RunHistory(output=array("d", [412_000.0]), output_unit="rows")
    assert [("medium", "daily", "checks")] == gap_rows(gaps(promised=unchecked, history={LOAD.id: known}))
    assert ("low", LOAD.name, "output") in gap_rows(
        gaps(promised=unchecked, history={LOAD.id: RunHistory(output=array("d", [-1.0]))})
    )


@each_row(
    "changes, level, what",
    [
        ({"owner": ""}, "medium", "owner"),
        ({"rerun": Safety.ASK}, "low", "rerun"),
        ({"proof": ProofLevel.START}, "medium", "evidence"),
        ({"gone_since": at("02:00")}, "high", "job"),
        ({"paused_since": at("02:00")}, "high", "job"),
        ({"expected": minutes(41)}, "medium", "duration"),
        ({"schedule": Schedule("none")}, "medium", "inputs"),
    ],
)
def test_a_member_that_is_not_as_written_is_a_gap(changes: dict[str, Any], level: str, what: str) -> None:
    assert (level, "hosts/extract", what) in gap_rows(gaps(extract=replace(EXTRACT, **changes)))


def test_a_manual_step_needs_no_rerun_setting() -> None:
    assert () == gaps(extract=replace(EXTRACT, rerun=Safety.ASK, kind="manual"))


def test_a_misleading_declared_duration_is_shown_beside_the_observed_one() -> None:
    [gap] = gaps(extract=replace(EXTRACT, expected=minutes(41)))
    assert ("41m", "p50 10m, p90 10m (9 runs)") == (gap.written, gap.observed)


def test_without_history_and_declaration_there_is_no_estimate() -> None:
    [gap] = gaps(extract=replace(EXTRACT, expected=None), durations={1: (600.0,), 2: DURATIONS[2]})
    assert ("high", "duration", "1 successful run with a duration, an estimate needs 5: no forecast, no act-by") == (
        gap.level, gap.what, gap.observed,
    )  # fmt: skip


def test_a_member_that_never_ran_is_reported() -> None:
    results = gaps(runs=RUNS[1:], durations={2: DURATIONS[2]})
    assert ("high", "hosts/extract", "runs") in gap_rows(results)


def test_starts_before_a_successful_upstream_are_reported_with_their_number() -> None:
    late = run(1, EXTRACT, "03:10", started_at=at("03:55"), ended_at=at("04:30"))
    [gap] = gaps(runs=[late, RUNS[1]])
    assert ("order", "1 of 1 runs lately started before it was good") == (gap.what, gap.observed)


@pytest.mark.parametrize("takes, level", [(45 * 60.0, "medium"), (55 * 60.0, "high")])
def test_a_clock_that_leaves_its_upstream_too_little_time_is_a_gap(takes: float, level: str) -> None:
    results = gaps(durations={1: (takes,) * 9, 2: DURATIONS[2]})
    assert (level, "warehouse/load", "buffer") in gap_rows(results)


def test_a_clock_that_its_scheduler_makes_wait_needs_no_buffer() -> None:
    results = gaps(
        durations={1: (3300.0,) * 9, 2: DURATIONS[2]}, feeds=feeds(EXTRACT, LOAD, origin=DependencyOrigin.NATIVE)
    )
    assert "buffer" not in [gap.what for gap in results]


def test_a_runbook_matters_more_where_it_was_red_lately() -> None:
    bare = replace(GOOD, runbook="")
    red = run(1, EXTRACT, "03:10", RunState.FAILED)
    levels = {gap.about: gap.level for gap in gaps(replace(EXTRACT, runbook=""), promised=bare, runs=[red, RUNS[1]])
              if gap.what == "runbook"}  # fmt: skip
    assert {"daily": "high", "hosts/extract": "medium"} == levels
