"""Data checks as rows: stretches, the samples of a band, who waits, and the retention."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from connectors.sdk.states import RunEvidence, RunState
from console.domain.check import Check, CheckCriteria, CheckState, CheckVerdict, PastRowCount
from console.domain.decision import Decisions, ExpectedRun
from console.domain.dependency import Requirement, UpstreamCondition
from console.domain.estate import EvaluationSettings
from console.domain.settings import Declared, DependencySetting
from console.store import checks
from console.store.config_sync import sync_config
from console.store.db.database import Database
from console.store.decisions import apply_decisions
from console.store.errors import NotFound
from console.store.queries.reader import Queries
from console.store.snapshot.estate import load_estate
from tests.store.estate import DATE, EXTRACT, MIDNIGHT, SERVED, SUPPLY, Estate, at
from tests.store.test_decisions import ROUTES, day

ROWS = Check("rows", "sql", "table supply.rows", CheckCriteria(rows_min=100))
READY = replace(SERVED, services=(replace(SUPPLY, ready=("rows",)),), declared=Declared(checks=(ROWS,)))


def check_result(
    store: Database,
    state: CheckState,
    when: datetime,
    business_date: date = DATE,
    rows: int | None = 120,
    awaited: bool = False,
) -> bool:
    verdict = CheckVerdict(state, f"{rows} rows")
    return checks.record_result(
        store, checks.CheckMeasurement("rows", business_date, when, verdict, rows, '{"rows": 120}'), awaited, None
    )


def seq(night: Estate) -> int:
    return night.store.changed_seq()


def test_equal_results_in_a_row_are_one_stretch(night: Estate) -> None:
    assert check_result(night.store, CheckState.FAILED, at("03:00"))
    before = seq(night)
    assert not check_result(night.store, CheckState.FAILED, at("03:05"), rows=130)
    assert before == seq(night)
    assert check_result(night.store, CheckState.PASSED, at("03:10"))
    assert before < seq(night)
    [facts] = load_estate(night.store, at("03:20"), EvaluationSettings()).checks.values()
    assert [
        (CheckState.FAILED, at("03:00"), at("03:05"), "130 rows"),
        (CheckState.PASSED, at("03:10"), at("03:10"), "120 rows"),
    ] == [(result_span.state, result_span.since, result_span.at, result_span.text) for result_span in facts.stretches]


def test_a_pass_that_somebody_waits_for_is_recorded_each_time(night: Estate) -> None:
    """A stretch that began before the jobs were done proves the service only by a look after that."""
    check_result(night.store, CheckState.PASSED, at("03:00"))
    assert check_result(night.store, CheckState.PASSED, at("03:05"), awaited=True)
    assert not check_result(night.store, CheckState.PASSED, at("03:10"))


def test_a_band_is_made_of_the_last_passing_count_of_each_earlier_date(night: Estate) -> None:
    week = DATE - timedelta(weeks=1)
    check_result(night.store, CheckState.PASSED, at("01:00"), week, 100)
    check_result(night.store, CheckState.FAILED, at("01:05"), week, 7)
    check_result(night.store, CheckState.PASSED, at("01:10"), week, 110)
    check_result(night.store, CheckState.LEARNING, at("01:15"), DATE - timedelta(weeks=2), 90)
    check_result(night.store, CheckState.ERROR, at("01:20"), DATE - timedelta(weeks=3), None)
    check_result(night.store, CheckState.PASSED, at("03:00"), DATE, 120)
    past = [PastRowCount(DATE - timedelta(weeks=2), 90), PastRowCount(week, 110)]
    assert past == checks.past_row_counts(night.store, "rows", DATE)
    assert [] == checks.past_row_counts(night.store, "other", DATE)


def test_what_is_too_old_and_what_changes_too_often_is_forgotten(night: Estate) -> None:
    check_result(night.store, CheckState.PASSED, at("03:00") - timedelta(days=500), DATE - timedelta(days=500))
    for turn in range(checks.MAX_SPANS + 7):
        state = CheckState.PASSED if turn % 2 else CheckState.FAILED
        check_result(night.store, state, at("03:00") + timedelta(seconds=turn))
    assert [(checks.MAX_SPANS, DATE.isoformat())] == [
        tuple(row) for row in night.rows("SELECT count(*), business_date FROM check_result GROUP BY business_date")
    ]


def test_a_service_day_that_waits_names_its_checks(served: Estate) -> None:

    sync_config(served.store, READY, MIDNIGHT, None)
    assert {"rows"} == checks.awaited_check_names(served.store)
    waits = Decisions(service_days=(day(awaits=("rows",), incident_key=None),))
    apply_decisions(served.store, waits, at("03:20"), 1, None, ROUTES)
    assert {("rows", DATE)} == checks.awaited_checks(served.store, at("03:20"))
    done = Decisions(service_days=(day(incident_key=None),))
    apply_decisions(served.store, done, at("03:25"), 2, None, ROUTES)
    assert set() == checks.awaited_checks(served.store, at("03:25"))


def test_a_downstream_that_starts_soon_waits_for_its_check(served: Estate) -> None:
    upstream, downstream = EXTRACT, SERVED.dependencies[0].downstream
    edge = DependencySetting(upstream, downstream, wants=Requirement(UpstreamCondition.READY, "gate"))
    sync_config(served.store, replace(SERVED, dependencies=(edge,)), MIDNIGHT, None)
    assert {"gate"} == checks.awaited_check_names(served.store)
    job = served.rows("SELECT downstream_id FROM dependency WHERE check_name = 'gate'")[0][0]

    due = ExpectedRun(job, "2026-11-20T04:00:00Z", at("04:00"), DATE, RunState.PLANNED, RunEvidence.INFERRED, ())
    apply_decisions(served.store, Decisions(expected=(due,)), at("03:20"), 1, None, ROUTES)
    assert set() == checks.awaited_checks(served.store, at("03:20"))
    assert {("gate", DATE)} == checks.awaited_checks(served.store, at("03:46"))
    assert {("gate", DATE)} == checks.awaited_checks(served.store, at("05:00"))


def test_readers_see_the_last_result_and_who_waits(served: Estate, reads: Queries) -> None:
    sync_config(served.store, READY, MIDNIGHT, None)
    [before] = reads.checks.list_checks()
    assert (None, ("supply",), None) == (before.last, before.waits, before.next_at)
    check_result(served.store, CheckState.FAILED, at("03:00"))
    check_result(served.store, CheckState.PASSED, at("02:00"), DATE - timedelta(days=1))
    [view] = reads.checks.list_checks("rows")
    assert view.last is not None
    assert ("failed", DATE.isoformat(), {"rows": 120}) == (view.last.state, view.last.business_date, view.last.measured)
    [other] = reads.checks.list_checks("rows", (DATE - timedelta(days=1)).isoformat())
    assert other.last is not None
    assert "passed" == other.last.state
    with pytest.raises(NotFound, match="rows"):
        reads.checks.list_checks("row")
