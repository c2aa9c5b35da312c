"""Findings and the past that they rest on: read, written once, and shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.domain.estate import EvaluationSettings
from console.domain.finding import DetectionRule
from console.domain.ids import micros
from console.forecast.past_nights import job_past
from console.store.decisions import apply_decisions
from console.store.queries.reader import Queries
from console.store.snapshot import history
from console.store.snapshot.estate import load_estate
from tests.reasons import source_text
from tests.store.estate import EXTRACT, JOBS, Estate, at, failed, run, running, set_clock
from tests.store.ready import open_ready

SETTINGS = EvaluationSettings(default_route=("oncall",))


def past(night: Estate, count: int = 10, minutes: int = 5, **fields: Any) -> None:
    """So many successes on the nights before, each a minute later than it was due."""
    runs = []
    for number in range(1, count + 1):
        due = at("02:10") - timedelta(days=number)
        began = due + timedelta(minutes=1)
        runs.append(
            replace(
                run(attempt=f"p{number}", started_at=began, ended_at=began + timedelta(minutes=minutes), **fields),
                period_key=f"{due:%Y-%m-%dT%H:%M:%SZ}", period_at=due,
            )
        )  # fmt: skip
    night.ingest(*runs)


def judged(night: Estate, clock: str) -> None:
    """As an engine does at that time; the host was seen until then."""
    night.ingest(now=clock, seen_until=at(clock))
    estate = load_estate(night.store, at(clock), SETTINGS)
    apply_decisions(night.store, evaluate(estate, at(clock)), at(clock), 0, None, {"oncall": ("env ONCALL",)})


def test_the_past_is_read_newest_first_with_the_fields_of_its_source(served: Estate) -> None:
    past(served, 9, context={"rows": 1200})
    served.ingest(failed())
    known = load_estate(served.store, at("03:20"), SETTINGS).history[served.job_id()]
    assert (9, [300.0] * 9, [60.0] * 9) == (len(known), list(known.takes), list(known.delays))
    assert ([1200.0] * 9, "rows") == (list(known.output), known.output_unit)
    assert sorted(known.at, reverse=True) == list(known.at)
    assert (1, at("03:15")) == (known.failures, known.failing_since)


def test_a_start_that_an_action_made_is_no_sample_of_the_delay_of_its_scheduler(served: Estate) -> None:
    past(served, 9)
    with served.store.write(None) as session:
        session.rows("UPDATE attempt SET action_key = 'headway-1' WHERE attempt_key IN ('p1', 'p4')", ())
    known = load_estate(served.store, at("03:20"), SETTINGS).history[served.job_id()]
    assert [-1.0, 60.0, 60.0, -1.0, *[60.0] * 5] == list(known.delays)


def test_a_start_that_did_not_come_is_no_failure_since_the_last_success(served: Estate) -> None:
    served.ingest(failed(), failed(period="02:10"))
    with served.store.write(None) as session:
        session.rows("UPDATE run SET state = 'missed' WHERE sort_us = ?", (micros(at("03:10")),))
    assert 1 == load_estate(served.store, at("03:20"), SETTINGS).history[served.job_id()].failures


def red_then_good(number: int, is_fixed: bool) -> list[RunRecord]:
    """A night: the first run failed after three minutes; half an hour later a run of its own, or none, was good."""
    due = at("02:10") - timedelta(days=number)
    red = run(attempt=f"f{number}", started_at=due, ended_at=due + timedelta(minutes=3), state=RunState.FAILED)
    runs = [replace(red, period_key=f"{due:%Y-%m-%dT%H:%M:%SZ}", period_at=due)]
    if is_fixed:
        again = due + timedelta(minutes=30)
        good = run(attempt=f"g{number}", started_at=again, ended_at=again + timedelta(minutes=5))
        runs.append(replace(good, period_key=f"start:{again:%Y-%m-%dT%H:%M:%SZ}", period_at=None))
    return runs


def later(good: RunRecord, hours: int) -> RunRecord:
    assert good.started_at is not None
    began = good.started_at + timedelta(hours=hours)
    key = f"start:{began:%Y-%m-%dT%H:%M:%SZ}"
    return replace(good, attempt_key=key, period_key=key, started_at=began, ended_at=began + timedelta(minutes=5))


def test_a_separate_run_that_repaired_a_failed_one_of_its_date_shows_the_lost_time(served: Estate) -> None:
    past(served, 9)
    for number, is_fixed in ((11, True), (12, True), (13, False), (14, True)):
        served.ingest(*red_then_good(number, is_fixed))
    known = load_estate(served.store, at("03:20"), SETTINGS).history[served.job_id()]
    assert [-1.0] * 9 + [1620.0] * 3 == list(known.repairs)
    assert [60.0] * 9 + [0.0] * 3 == list(known.delays)
    assert [known.days[0] - 12] == list(known.unrepaired)
    result = job_past(known)
    assert [1620.0] * 3 == result.repairs[:3].tolist()
    assert np.isnan(result.repairs[3:]).all()


def test_a_job_that_runs_many_times_a_day_is_repaired_by_no_later_run_of_its_own_clock(served: Estate) -> None:
    for number in range(11, 20):
        red, good = red_then_good(number, is_fixed=True)
        served.ingest(red, good, *(later(good, hour) for hour in (1, 2)))
    known = load_estate(served.store, at("03:20"), SETTINGS).history[served.job_id()]
    assert (27, {-1.0}, []) == (len(known), set(known.repairs), list(known.unrepaired))


def test_what_changed_is_read_again_and_nothing_else(served: Estate) -> None:
    past(served, 9)
    before = load_estate(served.store, at("03:20"), SETTINGS)
    assert before.history[served.job_id()] is load_estate(served.store, at("03:20"), SETTINGS).history[served.job_id()]
    served.ingest(run())
    assert 10 == len(load_estate(served.store, at("03:21"), SETTINGS).history[served.job_id()])


def test_a_large_estate_is_read_in_pages_and_jobs_with_an_open_finding_at_once(
    served: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = served.job_id("load_orders")
    monkeypatch.setattr(history, "READ_BATCH", 2)
    evaluations = [set(load_estate(served.store, at("03:20"), SETTINGS).history) for _ in range(2)]
    assert [2, 4] == list(map(len, evaluations))
    past(served)
    served.ingest(running(period="02:10"))
    judged(served, "02:30")
    monkeypatch.setattr(history, "READ_BATCH", 0)
    fresh = open_ready(served.store.url)
    assert {served.job_id()} <= set(load_estate(fresh, at("02:31"), SETTINGS).history) <= {*evaluations[1]} - {last}
    fresh.close()


def test_a_finding_is_opened_once_and_closed_when_it_is_over(served: Estate) -> None:
    past(served)
    served.ingest(running(period="02:10"))
    judged(served, "02:30")
    judged(served, "02:31")
    rows = "SELECT period_key, run_id IS NOT NULL, closed_us IS NOT NULL, severity FROM finding WHERE rule = 'too_long'"
    incident = "SELECT cause, cause_subject, closed_us IS NOT NULL, close_reason FROM incident WHERE root_job_id = :job"
    assert [("2026-11-20T02:10:00Z", True, False, "alert")] == served.rows(rows)
    assert ("rule", "too_long", False, "") == served.fetch_one(incident, job=served.job_id())
    served.ingest(run(period="02:10", ended_at=at("02:32")), now="02:33")
    judged(served, "02:33")
    assert [("2026-11-20T02:10:00Z", True, True, "alert")] == served.rows(rows)
    assert "it no longer holds" == served.fetch_one("SELECT close_reason FROM finding WHERE rule = 'too_long'")
    assert ("rule", "too_long", True, '{"kind": "finding_over"}') == served.fetch_one(incident, job=served.job_id())


def test_a_finding_wakes_nothing(served: Estate) -> None:
    past(served)
    served.ingest(running(period="02:10"))
    judged(served, "02:30")
    judged(served, "02:31")
    seq = served.store.changed_seq()
    estate = load_estate(served.store, at("02:31"), SETTINGS)
    decisions = evaluate(estate, at("02:31"))
    assert () == decisions.findings
    apply_decisions(served.store, decisions, at("02:31"), seq, None, {})
    assert seq == served.store.changed_seq()


def test_what_an_older_version_does_not_know_is_left_alone(served: Estate) -> None:
    past(served)
    served.ingest(running(period="02:10"))
    judged(served, "02:30")
    with served.store.write(None) as connection:
        connection.rows("UPDATE finding SET rule = 'newer'")
    assert () == load_estate(served.store, at("02:30"), SETTINGS).findings


def test_the_evidence_of_another_version_is_read_as_far_as_it_is_known(served: Estate) -> None:
    past(served)
    served.ingest(running(period="02:10"))
    judged(served, "02:30")
    with served.store.write(None) as connection:
        connection.rows("""UPDATE finding SET evidence = '{"seen": "running since 02:10", "threshold": "24m"}'""")
    stored = load_estate(served.store, at("02:30"), SETTINGS).findings
    assert {("24m", "")} == {(known.finding.evidence.threshold, known.finding.evidence.source) for known in stored}


def test_drift_is_shown_with_its_fix_while_it_is_open_however_long_the_name_is(served: Estate, reads: Queries) -> None:
    past(served)
    served.ingest(running(period="02:10"))
    judged(served, "02:30")
    name = f"etl-hosts/{'extract_orders_' * 30}"
    with served.store.write(None) as connection:
        connection.rows("UPDATE job SET name = ? WHERE id = ?", (name, served.job_id()))
        connection.rows("UPDATE finding SET rule = 'drift' WHERE rule = 'too_long'")
    [finding] = reads.findings.list_findings(rule="drift")
    fix = f"headway system drift accept {name}, or undo the change at its scheduler"
    assert fix == finding.fix
    assert source_text(finding).endswith(f". Fix: {fix}")
    with served.store.write(None) as connection:
        connection.rows("UPDATE finding SET closed_us = since_us")
    assert [""] == [finding.fix for finding in reads.findings.list_findings(rule="drift", closed=True)]


@pytest.mark.parametrize("ended", ["accepted_us", "ended_us"])
def test_the_fix_of_several_changes_names_the_newest_that_is_open(served: Estate, reads: Queries, ended: str) -> None:
    past(served)
    served.ingest(running(period="02:10"))
    judged(served, "02:30")
    with served.store.write(None) as connection:
        connection.rows("UPDATE job SET name = 'mssql/Nightly load' WHERE id = ?", (served.job_id(),))
        connection.rows("UPDATE finding SET rule = 'drift' WHERE rule = 'too_long'")
        for number, what in ((7, "paused"), (8, "schedule"), (9, "definition")):
            connection.rows(
                "INSERT INTO drift (id, job_id, what, text, seen_us, accepted_by) VALUES (?, ?, ?, 'changed', 0, '')",
                (number, served.job_id(), what),
            )

    def fixes() -> str:
        findings = (reads.findings.list_findings(rule="drift"), reads.jobs.job(served.job_id()).findings)
        [shown] = {finding.fix.partition(",")[0] for listed in findings for finding in listed}
        return shown.partition("accept ")[2]

    shown = []
    for closed in (9, 8):
        shown.append(fixes())
        with served.store.write(None) as connection:
            connection.rows(f"UPDATE drift SET {ended} = 1 WHERE id = ?", (closed,))
    assert ["'mssql/Nightly load' --change 9", "'mssql/Nightly load' --change 8", "'mssql/Nightly load'"] == [
        *shown,
        fixes(),
    ]


def test_findings_are_shown_with_job_run_and_incident(served: Estate, reads: Queries) -> None:
    past(served)
    served.ingest(running(period="02:10"))
    judged(served, "02:30")
    set_clock(served, "02:31")
    (finding,) = reads.findings.list_findings(rule=DetectionRule.TOO_LONG.value)
    text = "running since 03:10 CET, longer than 7m30s; threshold 7m30s, history (10 runs)"
    assert (EXTRACT, text, at("02:17:30"), "") == (
        finding.job,
        source_text(finding, "Europe/Berlin"),
        finding.since,
        finding.fix,
    )
    assert finding in reads.jobs.job(EXTRACT).findings
    assert (finding,) == reads.runs.run(finding.run_id or 0).findings
    incident = served.fetch_one("SELECT id FROM incident WHERE root_job_id = :job", job=served.job_id())
    assert (finding,) == reads.incidents.incident(incident).findings
    assert [] == reads.findings.list_findings(served.job_id(JOBS[1]), "too_long")
    assert [] == reads.findings.list_findings(rule="drift")


def test_ended_findings_are_shown_on_request(served: Estate, reads: Queries) -> None:
    past(served)
    served.ingest(running(period="02:10"))
    judged(served, "02:30")
    served.ingest(run(period="02:10", ended_at=at("02:32"), state=RunState.SUCCEEDED), now="02:33")
    judged(served, "02:33")
    assert [] == reads.findings.list_findings(rule="too_long")
    (finding,) = reads.findings.list_findings(rule="too_long", closed=True)
    assert (at("02:33"), "it no longer holds") == (finding.closed, finding.close_reason)
