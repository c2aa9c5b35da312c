"""What each rule finds, in the words and figures that a person reads, and what it leaves alone."""

from __future__ import annotations

import re
from array import array
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connectors.sdk.states import RunEvidence as Proved
from connectors.sdk.states import RunState
from console.control.detection.rules import current_findings
from console.control.expectations.expected_runs import expect_runs
from console.control.incidents.causes import Evidence, RuleFinding
from console.control.incidents.correlation import cause_finding, match_incidents
from console.control.recovery.proposal import propose_recovery
from console.control.snapshot.estate_index import EstateIndex
from console.domain.alert import AlertKind, NotifiedIncident
from console.domain.calendar import MaintenanceWindow, PlannedException
from console.domain.dependency import DependencyMode
from console.domain.estate import Estate, EvaluationSettings, IncidentFacts, JobFacts, PlanFacts, PlannedRun, RunFacts
from console.domain.finding import (
    DetectionRule,
    Finding,
    FindingEvidence,
    FindingSeverity,
    RuleException,
    RuleSetting,
    RuleThresholds,
)
from console.domain.history import RunHistory, SuccessfulRun, build_history
from console.domain.hold import HoldFacts, HoldState
from console.domain.incident_record import CauseRecord, IncidentFingerprint, RootRun
from console.domain.settings import Declared
from tests.control.ledger import Ledger, ended
from tests.factories import at, estate, feeds, job, minutes, run, service, target
from tests.messages import written
from tests.reasons import close_text, number_of, source_text, title_of
from tests.rows import each_row

EXTRACT = job(1, "etl-hosts/db07:extract", "03:10")
LOAD = job(2, "etl-hosts/db07:load", "04:00")
EVENT = job(3, "etl-hosts/db07:event")
"""Nothing starts it by the clock."""


def past(*takes: float, delay: float = 1, waited: float = -1, attempts: int = 1, output: float = -1) -> RunHistory:
    """Nightly successes at 03:10, the newest last night, of so many seconds each, newest first."""
    return build_history(
        [
            SuccessfulRun(
                1000 + number, int(began.timestamp()), int(began.timestamp() + delay + seconds), seconds, delay, waited,
                attempts, output, "rows" if output >= 0 else "",
            )
            for number, seconds in enumerate(takes, 1)
            for began in [at("03:10") - timedelta(days=number)]
        ]
    )  # fmt: skip


TEN_MINUTES = past(*[600.0] * 20)


def estate_at(
    clock: str, *runs: RunFacts, of: JobFacts = EXTRACT, known: RunHistory = TEN_MINUTES, **more: Any
) -> Estate:
    """The job with these runs at that time; its target was seen until then."""
    seen = target(last_ok_at=at(clock), seen_until=at(clock))
    result = estate(of, runs=runs, targets=[seen])
    return replace(result, history={of.id: known}, **more)


def findings_of(estate: Estate, clock: str, rule: DetectionRule) -> list[Finding]:
    """What that rule finds."""
    due = expect_runs(estate, at(clock))
    index = EstateIndex(estate, at(clock), due.runs, due.withdrawn)
    return [finding for finding in current_findings(index).findings if finding.rule is rule]


def texts_of(estate: Estate, clock: str, rule: DetectionRule) -> list[str]:
    return [source_text(finding) for finding in findings_of(estate, clock, rule)]


def settings_of(rule: DetectionRule, *where: RuleException, **keys: Any) -> dict[str, Any]:
    return {"declared": Declared(rules=(RuleSetting(rule, RuleThresholds(**keys), where),))}


RUNNING = run(1, EXTRACT, "03:10", RunState.RUNNING)


def test_a_run_that_takes_half_as_long_again_as_nearly_all_before_is_too_long() -> None:
    (finding,) = findings_of(estate_at("03:30", RUNNING), "03:30", DetectionRule.TOO_LONG)
    assert "running since 03:10 UTC, longer than 15m; threshold 15m, history (20 runs)" == source_text(finding)
    assert at("03:25") == finding.since
    assert (1, RUNNING.period_key, 1) == (finding.job_id, finding.period_key, finding.run_id)


def test_a_run_is_not_too_long_before_its_threshold_and_the_instant_is_named() -> None:
    before = estate_at("03:20", RUNNING)
    assert [] == findings_of(before, "03:20", DetectionRule.TOO_LONG)
    assert at("03:25") == current_findings(EstateIndex(before, at("03:20"))).next_at


def test_a_job_of_three_seconds_may_take_five() -> None:
    quick = run(1, EXTRACT, "03:10", RunState.RUNNING)
    assert [] == texts_of(estate_at("03:10:05", quick, known=past(*[3.0] * 20)), "03:10:05", DetectionRule.TOO_LONG)
    assert ["running since 03:10 UTC, longer than 2m3s; threshold 2m3s, history (20 runs)"] == texts_of(
        estate_at("03:13", quick, known=past(*[3.0] * 20)), "03:13", DetectionRule.TOO_LONG
    )


def test_one_night_of_ten_hours_does_not_move_the_threshold() -> None:
    history = past(36_000.0, *[600.0] * 40)
    assert ["running since 03:10 UTC, longer than 15m; threshold 15m, history (41 runs)"] == texts_of(
        estate_at("03:30", RUNNING, known=history), "03:30", DetectionRule.TOO_LONG
    )


def test_a_night_is_compared_with_the_same_day_of_the_week_where_there_are_enough() -> None:
    """Tonight is Thursday's, 19 November 2026; each seventh night before took an hour."""
    history = past(*[3600.0 if number % 7 == 0 else 600.0 for number in range(1, 61)])
    assert [] == texts_of(estate_at("04:10", RUNNING, known=history), "04:10", DetectionRule.TOO_LONG)
    assert ["running since 03:10 UTC, longer than 1h30m; threshold 1h30m, history (8 Thursdays)"] == texts_of(
        estate_at("04:50", RUNNING, known=history), "04:50", DetectionRule.TOO_LONG
    )


def test_a_level_shift_is_no_finding_every_night() -> None:
    """Twice as long since so many nights; tonight takes as long as these."""
    late = {nights: [*[1200.0] * nights, *[600.0] * (40 - nights)] for nights in range(8)}
    found_of = {nights: len(texts_of(estate_at("03:29", RUNNING, known=past(*times)), "03:29", DetectionRule.TOO_LONG))
                for nights, times in late.items()}  # fmt: skip
    assert {0: 1, 1: 1} | dict.fromkeys(range(2, 8), 0) == found_of
    sooner = {nights: past(*[250.0] * nights, *[600.0] * (40 - nights)) for nights in range(8)}
    quick = run(1, EXTRACT, "03:10", ended_at=at("03:14:10"))
    assert {0: 1, 1: 1} | dict.fromkeys(range(2, 8), 0) == {
        nights: len(texts_of(estate_at("03:30", quick, known=known), "03:30", DetectionRule.TOO_SHORT))
        for nights, known in sooner.items()
    }


@pytest.mark.parametrize(
    "of, known, expected",
    [
        (EXTRACT, past(*[600.0] * 7), []),
        (EXTRACT, RunHistory(), []),
        (
            replace(EXTRACT, expected=minutes(14)),
            past(*[600.0] * 7),
            ["running since 03:10 UTC, longer than 21m; threshold 21m, declared in config as the expected duration"],
        ),
    ],
)
def test_seven_runs_are_no_history_and_then_only_what_is_declared_counts(
    of: JobFacts, known: RunHistory, expected: list[str]
) -> None:
    assert expected == texts_of(estate_at("04:00", RUNNING, of=of, known=known), "04:00", DetectionRule.TOO_LONG)


def test_a_declared_limit_wins_and_names_its_place() -> None:
    more = settings_of(
        DetectionRule.TOO_LONG, RuleException(RuleThresholds(threshold=300.0), jobs=("etl-*",)), threshold=7200.0
    )
    assert [
        "running since 03:10 UTC, longer than 5m; threshold 5m, declared in config, [[rules.too_long.where]] 1"
    ] == (texts_of(estate_at("03:20", RUNNING, **more), "03:20", DetectionRule.TOO_LONG))


@each_row(
    "where, fits",
    [
        (RuleException(RuleThresholds(on=False), jobs=("etl-hosts/*",)), True),
        (RuleException(RuleThresholds(on=False), jobs=("dwh/*",)), False),
        (RuleException(RuleThresholds(on=False), systems=("etl-hosts",)), True),
        (RuleException(RuleThresholds(on=False), systems=("dwh",)), False),
        (RuleException(RuleThresholds(on=False), tiers=(2,)), True),
        (RuleException(RuleThresholds(on=False), tiers=(1, 3)), False),
        (RuleException(RuleThresholds(on=False), jobs=("*",), systems=("dwh",)), False),
    ],
)
def test_an_exception_holds_for_the_jobs_that_fit_all_it_says(where: RuleException, fits: bool) -> None:
    whole = estate_at(
        "03:30",
        RUNNING,
        services=(service("day", "06:30", EXTRACT, tier=2),),
        **settings_of(DetectionRule.TOO_LONG, where),
    )
    assert (0 if fits else 1) == len(findings_of(whole, "03:30", DetectionRule.TOO_LONG))


def test_a_success_that_ended_far_sooner_than_usual_is_too_short() -> None:
    quick = run(1, EXTRACT, "03:10", ended_at=at("03:12"))
    assert ["ended 03:12 UTC after 2m, sooner than 5m; threshold 5m, history (20 runs)"] == texts_of(
        estate_at("03:30", quick), "03:30", DetectionRule.TOO_SHORT
    )


@pytest.mark.parametrize(
    "quick, known",
    [
        (run(1, EXTRACT, "03:10", ended_at=at("03:16")), TEN_MINUTES),
        (run(1, EXTRACT, "03:10", ended_at=at("03:10:01")), past(*[3.0] * 20)),
        (run(1, EXTRACT, "03:10", ended_at=at("03:12"), attempt=2), TEN_MINUTES),
        (run(1, EXTRACT, "03:10", RunState.FAILED, ended_at=at("03:12")), TEN_MINUTES),
        (run(1, EXTRACT, "03:10", ended_at=at("03:12"), evidence=Proved.ASSERTED), TEN_MINUTES),
    ],
    ids=["as-usual", "a-job-of-seconds", "tried-again", "failed", "marked-by-a-person"],
)
def test_other_ends_are_not_too_short(quick: RunFacts, known: RunHistory) -> None:
    assert [] == texts_of(estate_at("03:30", quick, known=known), "03:30", DetectionRule.TOO_SHORT)


def test_a_start_that_is_later_than_all_before_is_late() -> None:
    late = run(1, EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:14"), first_started_at=at("03:14"))
    assert [
        "began 03:14 UTC, 4m after it was due; usually at most 2m1s after; threshold 2m1s, history (20 runs)"
    ] == texts_of(estate_at("03:15", late), "03:15", DetectionRule.LATE_START)


def test_a_start_that_has_not_come_is_late_before_it_is_missed() -> None:
    whole = estate_at("03:13")
    assert [
        "was due 03:10 UTC and has not begun; usually it does at most 2m1s after; threshold 2m1s, history (20 runs)"
    ] == texts_of(whole, "03:13", DetectionRule.LATE_START)
    assert [] == texts_of(estate_at("03:16"), "03:16", DetectionRule.LATE_START)
    assert ["was due 03:10 UTC and did not start: no start in the log by 03:15 UTC; threshold 5m, the job's grace"] == (
        texts_of(estate_at("03:16"), "03:16", DetectionRule.NOT_STARTED)
    )


def test_a_run_delayed_by_our_own_hold_is_not_late() -> None:
    late = run(1, EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:40"), first_started_at=at("03:40"))
    hold = HoldFacts(
        "k",
        1,
        None,
        late.business_date,
        "reactive",
        DependencyMode.HOLD,
        HoldState.RELEASED,
        "headway",
        "",
        at("04:00"),
        at("03:10"),
        late.period_key,
    )
    assert [] == texts_of(estate_at("03:45", late, holds=(hold,)), "03:45", DetectionRule.LATE_START)


def test_what_gets_no_turn_is_stuck_by_its_own_past_and_by_the_default_without_one() -> None:
    queued = run(1, EXTRACT, "03:10", RunState.QUEUED, started_at=None, first_started_at=None, queued_at=at("03:10"))
    assert ["queued since 03:10 UTC, longer than 11m; threshold 11m, history (20 runs)"] == texts_of(
        estate_at("03:25", queued, known=past(*[600.0] * 20, waited=60)), "03:25", DetectionRule.STUCK_WAITING
    )
    assert ["queued since 03:10 UTC, longer than 30m; threshold 30m, default"] == texts_of(
        estate_at("03:45", queued), "03:45", DetectionRule.STUCK_WAITING
    )


@each_row("reason", ["time", "approval", "calendar", "upstream", "event"])
def test_what_waits_for_something_that_may_take_its_time_is_not_stuck_by_default(reason: str) -> None:
    waits = run(1, EXTRACT, "03:10", RunState.WAITING, queued_at=at("03:10"), reason=reason)
    assert [] == texts_of(estate_at("05:45", waits), "05:45", DetectionRule.STUCK_WAITING)


def earlier(history: RunHistory, days: int) -> RunHistory:
    """The same past, so many days earlier."""
    return replace(
        history,
        at=array("q", [number - days * 86_400 for number in history.at]),
        ended=array("q", [number - days * 86_400 for number in history.ended]),
    )


def test_a_job_without_a_clock_that_has_long_had_no_success_is_found_with_no_run_at_all() -> None:
    since = "has had no success since 18 Nov 03:20 UTC, longer than 1d12h"
    assert [f"{since}; threshold 1d12h, history (19 gaps between successes)"] == texts_of(
        estate_at("11:59", of=EVENT, known=earlier(TEN_MINUTES, 1)), "11:59", DetectionRule.TOO_LONG_SINCE_SUCCESS
    )
    assert [] == texts_of(estate_at("11:59", of=EVENT), "11:59", DetectionRule.TOO_LONG_SINCE_SUCCESS)


def test_a_source_whose_past_is_still_being_read_proves_no_missing_success() -> None:
    whole = estate_at("11:59", of=EVENT, known=earlier(TEN_MINUTES, 1))
    for seen_until, expected in ((None, 0), (at("15:00"), 0), (at("11:59"), 1)):
        reading = replace(whole, targets={1: target(last_ok_at=at("11:59"), seen_until=seen_until)})
        assert expected == len(findings_of(reading, "11:59", DetectionRule.TOO_LONG_SINCE_SUCCESS))


def test_what_the_clock_did_not_demand_since_is_not_missed() -> None:
    """Its schedule was accepted after the last instant: nothing came due, so it may rest."""
    rested = replace(EXTRACT, accepted_at=at("11:00"))
    assert [] == texts_of(
        estate_at("11:59", of=rested, known=earlier(TEN_MINUTES, 3)), "11:59", DetectionRule.TOO_LONG_SINCE_SUCCESS
    )
    red = run(1, EXTRACT, "03:10", RunState.FAILED)
    assert 1 == len(
        findings_of(
            estate_at("11:59", red, known=earlier(TEN_MINUTES, 3)), "11:59", DetectionRule.TOO_LONG_SINCE_SUCCESS
        )
    )


def test_three_red_runs_in_a_row_are_found_also_where_the_first_are_out_of_view() -> None:
    failing = replace(TEN_MINUTES, failures=3, failing_since=at("03:12", day=-2))
    red = run(1, EXTRACT, "03:10", RunState.FAILED)
    assert ["failed 3 times, since 03:12 UTC; threshold 3 in a row, default"] == texts_of(
        estate_at("03:30", red, known=failing), "03:30", DetectionRule.N_IN_A_ROW
    )
    assert [] == texts_of(
        estate_at("03:30", red, known=replace(failing, failures=2)), "03:30", DetectionRule.N_IN_A_ROW
    )


def test_a_start_that_did_not_come_is_no_failure_of_the_row() -> None:
    missed = [run(number, EVENT, at(clock), RunState.MISSED) for number, clock in ((1, "01:00"), (2, "02:00"))]
    red = run(3, EVENT, at("03:00"), RunState.FAILED)
    assert [] == findings_of(estate_at("04:00", *missed, red, of=EVENT), "04:00", DetectionRule.N_IN_A_ROW)
    reds = [run(4, EVENT, at("00:30"), RunState.FAILED), run(5, EVENT, at("03:30"), RunState.FAILED)]
    [text] = texts_of(estate_at("04:00", *missed, red, *reds, of=EVENT), "04:00", DetectionRule.N_IN_A_ROW)
    assert text.startswith("failed 3 times, since 00:40 UTC")


def test_a_green_run_ends_the_row() -> None:
    reds = [
        run(number, EVENT, at(clock), RunState.FAILED) for number, clock in ((1, "01:00"), (2, "02:00"), (3, "03:00"))
    ]
    assert 1 == len(findings_of(estate_at("04:00", *reds, of=EVENT), "04:00", DetectionRule.N_IN_A_ROW))
    green = run(4, EVENT, at("03:30"))
    assert [] == findings_of(estate_at("04:00", *reds, green, of=EVENT), "04:00", DetectionRule.N_IN_A_ROW)


def test_a_success_with_a_tenth_of_the_usual_rows_is_found() -> None:
    usual = past(*[600.0] * 20, output=1000)
    newest = replace(usual, output=array("d", [100.0, *usual.output[1:]]))
    tonight = run(usual.run_ids[0], EXTRACT, "03:10")
    assert ["ended 03:20 UTC with 100 rows, fewer than 500 rows; threshold 500 rows, history (19 runs)"] == texts_of(
        estate_at("03:30", tonight, known=newest), "03:30", DetectionRule.OUTPUT_SHRANK
    )
    assert [] == texts_of(estate_at("03:30", tonight, known=usual), "03:30", DetectionRule.OUTPUT_SHRANK)
    assert [] == texts_of(estate_at("03:30", tonight, known=TEN_MINUTES), "03:30", DetectionRule.OUTPUT_SHRANK)


def test_a_run_that_is_tried_again_and_again_is_a_storm_until_it_is_good() -> None:
    tried = run(1, EXTRACT, "03:10", RunState.RETRYING, attempt=6, first_started_at=at("03:10"), started_at=at("03:40"))
    assert ["was tried 6 times since 03:10 UTC, more than 4; threshold 4 attempts, history (20 runs)"] == texts_of(
        estate_at("03:45", tried), "03:45", DetectionRule.RETRY_STORM
    )
    assert [] == texts_of(estate_at("03:45", replace(tried, attempt=4)), "03:45", DetectionRule.RETRY_STORM)
    assert [] == texts_of(
        estate_at("03:55", replace(tried, state=RunState.SUCCEEDED)), "03:55", DetectionRule.RETRY_STORM
    )


def test_more_runs_at_once_than_ever_overlap() -> None:
    both = [run(1, EVENT, at("03:10"), RunState.RUNNING), run(2, EVENT, at("03:20"), RunState.RUNNING)]
    assert ["2 runs at once since 03:20 UTC; usually 1; threshold 1 at once, history (20 runs)"] == texts_of(
        estate_at("03:21", *both, of=EVENT), "03:21", DetectionRule.OVERLAP
    )
    always = past(*[100_000.0] * 20)
    assert [] == texts_of(estate_at("03:21", *both, of=EVENT, known=always), "03:21", DetectionRule.OVERLAP)


def test_drift_is_what_the_drift_rows_say() -> None:
    moved = replace(EXTRACT, drift_reason="10 3 became 10 4", drift_since=at("01:00"))
    (finding,) = findings_of(estate_at("02:00", of=moved), "02:00", DetectionRule.DRIFT)
    assert ("differs from what was accepted: 10 3 became 10 4", at("01:00")) == (source_text(finding), finding.since)


def test_outside_text_is_one_clean_line() -> None:
    moved = replace(EXTRACT, drift_reason="10 3\x1b[31m\nbecame [red]10 4", drift_since=at("01:00"))
    (finding,) = findings_of(estate_at("02:00", of=moved), "02:00", DetectionRule.DRIFT)
    assert ("\x1b" in source_text(finding), "\n" in source_text(finding)) == (False, False)


def test_an_unreachable_target_opens_no_finding_and_ends_none() -> None:
    ledger = Ledger(estate_at("03:30", RUNNING))
    ledger.evaluate("03:30")
    known = ledger.finding(DetectionRule.TOO_LONG)
    assert known is not None
    ledger.target(1, failing_since=at("03:31"), error="no route", last_ok_at=at("03:30"), seen_until=at("03:30"))
    ledger.evaluate("05:00")
    assert known == ledger.finding(DetectionRule.TOO_LONG)
    unseen = replace(estate_at("03:30", RUNNING), targets={1: target(last_ok_at=at("03:10"), seen_until=at("03:10"))})
    assert [] == findings_of(unseen, "03:30", DetectionRule.TOO_LONG)


def test_in_maintenance_nothing_new_is_found_and_nothing_ends() -> None:
    at_work = Declared(maintenance=(MaintenanceWindow("patches", systems=("etl-*",), until=at("04:00")),))
    assert [] == findings_of(estate_at("03:30", RUNNING, declared=at_work), "03:30", DetectionRule.TOO_LONG)
    ledger = Ledger(estate_at("03:30", RUNNING))
    ledger.evaluate("03:30")
    known = ledger.finding(DetectionRule.TOO_LONG)
    ledger.estate = replace(ledger.estate, declared=at_work)
    ledger.evaluate("03:40")
    assert known == ledger.finding(DetectionRule.TOO_LONG)
    assert 1 == len(findings_of(estate_at("04:01", RUNNING, declared=at_work), "04:01", DetectionRule.TOO_LONG))


def test_a_day_on_which_it_was_planned_to_take_longer_says_so() -> None:
    close = Declared(
        exceptions=(PlannedException("close", (RUNNING.business_date,), jobs=("*",), takes_longer=minutes(40)),)
    )
    assert [] == findings_of(estate_at("04:00", RUNNING, declared=close), "04:00", DetectionRule.TOO_LONG)
    (finding,) = findings_of(estate_at("04:10", RUNNING, declared=close), "04:10", DetectionRule.TOO_LONG)
    assert ("55m", "history (20 runs), +40m: close") == (finding.evidence.threshold, finding.evidence.source)


def test_a_rule_that_is_off_finds_nothing() -> None:
    assert [] == findings_of(
        estate_at("03:30", RUNNING, **settings_of(DetectionRule.TOO_LONG, on=False)), "03:30", DetectionRule.TOO_LONG
    )


# what is notified

SERVED = estate(EXTRACT, LOAD, feeds=feeds(EXTRACT, LOAD), services=[service("day", "06:30", LOAD)],
                durations={1: (600.0,) * 20, 2: (600.0,) * 20})  # fmt: skip


def night(*runs: tuple[JobFacts, str, RunState], services: bool = True, **more: Any) -> Ledger:
    whole = replace(SERVED, history={1: TEN_MINUTES, 2: TEN_MINUTES}, **more)
    ledger = Ledger(whole if services else replace(whole, services=()))
    for of, clock, state in runs:
        ledger.run(of, clock, state, started_at=at(clock))
    return ledger


def test_a_hung_run_before_a_service_is_notified_once_with_rule_figures_and_source_and_resolves_itself() -> None:
    ledger = night((EXTRACT, "03:10", RunState.RUNNING))
    assert () == ledger.evaluate("03:24").incidents
    ledger.evaluate("03:26")
    incident = ledger.incident()
    (notice,) = incident.notices
    assert "etl-hosts/db07:extract is running too long: running since 03:10 UTC, longer than 15m" == title_of(incident)
    assert ("rule", "too_long") == (incident.cause.kind, incident.cause.subject)
    assert "  | running since 03:10 UTC, longer than 15m; threshold 15m, history (20 runs)\n" in written(notice).body
    assert "etl-hosts/db07:extract is running too long, fix by " in written(notice).plain_title
    assert ["day"] == [service.service for service in incident.services]
    assert () == ledger.evaluate("03:40").incidents[0].notices
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:10", 32))
    ledger.evaluate("03:43")
    closing = ledger.incident()
    assert "etl-hosts/db07:extract was running too long" == title_of(closing)
    assert (True, "the problem is no longer detected", ["recovered"]) == (
        closing.closed, close_text(closing), [notice.kind.value for notice in closing.notices],
    )  # fmt: skip
    assert None is ledger.finding(DetectionRule.TOO_LONG)


def with_plan(ledger: Ledger, plan: PlanFacts | None) -> None:
    ledger.estate = replace(ledger.estate, plans_by_incident={1: plan} if plan is not None else {})


@pytest.mark.parametrize("is_outdated, command", [(False, "headway plan resume 7"), (True, "headway plan abort 7")])
def test_the_end_of_an_incident_names_the_command_for_its_stopped_plan(*, is_outdated: bool, command: str) -> None:
    """Resuming an outdated plan repairs nothing; of a closed incident there is nothing to recover."""
    ledger = night((EXTRACT, "03:10", RunState.FAILED))
    ledger.evaluate("03:26")
    with_plan(ledger, PlanFacts(7, "stopped", 4, 7, is_outdated))
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:10", 32))
    (notice,) = ledger.evaluate("03:43").incidents[0].notices
    assert ledger.incident().closed
    assert f", plan 7 stopped at 4 of 7 steps: {command} (" in written(notice).title
    assert [command] == re.findall(r"^Do +(.*)$", written(notice).body, re.M)


def test_an_incident_is_resolved_once_its_plan_is_done_and_only_then_a_mail_says_safe() -> None:
    ledger = night((EXTRACT, "03:10", RunState.FAILED))
    ledger.evaluate("03:26")
    with_plan(ledger, PlanFacts(7, "running", 2, 4))
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:10", 32))
    (notice,) = ledger.evaluate("03:43").incidents[0].notices
    assert written(notice).title.startswith(
        "Update: Day 06:30 on time, expected 04:10: extract repaired, plan 7 is at 2 of 4"
    )
    with_plan(ledger, PlanFacts(7, "running", 3, 4))
    ledger.evaluate("03:50")
    assert (False, ()) == (ledger.incident().closed, ledger.incident().notices)
    with_plan(ledger, None)
    (notice,) = ledger.evaluate("03:58").incidents[0].notices
    assert ledger.incident().closed
    assert AlertKind.RECOVERED is notice.kind


def test_a_service_that_misses_its_deadline_while_a_plan_runs_names_the_plan_and_no_repaired_error() -> None:
    ledger = night((EXTRACT, "03:10", RunState.FAILED))
    ledger.evaluate("03:26")
    with_plan(ledger, PlanFacts(7, "running", 2, 4))
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:10", 32))
    ledger.evaluate("03:43")
    notices = ledger.evaluate("06:31").incidents[0].notices
    (notice,) = [notice for notice in notices if notice.style == "technical"]
    assert written(notice).title.startswith("Update: Day 06:30 breached: plan 7 is at 2 of 4 steps"), written(
        notice
    ).title
    assert "exit" not in written(notice).body.partition("-----")[0]
    assert "The failure is repaired; not all jobs have finished." in written(notice).body
    assert ["headway plan 7"] == re.findall(r"^Do +(.*)$", written(notice).body, re.M)


def test_a_root_that_is_red_again_after_its_step_names_the_restart_and_no_plan() -> None:
    ledger = night((EXTRACT, "03:10", RunState.FAILED))
    ledger.evaluate("03:26")
    with_plan(ledger, PlanFacts(7, "running", 2, 4))
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:10", 32))
    ledger.evaluate("03:43")
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:44", 1))
    ledger.estate = replace(ledger.estate, plans_by_run={1: PlannedRun(7, is_awaited=False, is_done=True)})
    (notice,) = ledger.evaluate("03:46").incidents[0].notices
    assert "restart extract" in written(notice).title, written(notice).title
    assert ["headway rerun etl-hosts/db07:extract"] == re.findall(r"^Do +(.*)$", written(notice).body, re.M)


def test_a_repaired_root_whose_plan_runs_is_not_restarted_with_another_failure_of_its_service() -> None:
    """Its failed run stays red: a later run of the job succeeded."""
    ledger = night((EXTRACT, "03:10", RunState.FAILED))
    ledger.evaluate("03:26")
    with_plan(ledger, PlanFacts(7, "running", 0, 1))
    ledger.run(EXTRACT, "03:20", RunState.SUCCEEDED, **ended("03:20", 10))
    (notice,) = ledger.evaluate("03:43").incidents[0].notices
    assert ["headway plan 7"] == re.findall(r"^Do +(.*)$", written(notice).body, re.M)
    ledger.run(LOAD, "04:00", RunState.FAILED, **ended("04:00", 1))
    (notice,) = [notice for incident in ledger.evaluate("04:02").incidents for notice in incident.notices]
    assert ["headway recover {incident}"] == re.findall(r"^Do +(.*)$", written(notice).body, re.M)
    assert "restart load by" in written(notice).title, written(notice).title
    assert "extract" not in written(notice).title, written(notice).title


RED_STEP, SENT_STEP = PlannedRun(7, is_awaited=False), PlannedRun(7, is_awaited=False, is_requested=True)


@each_row(
    "state, step, told, command",
    [
        ("running", None, "plan 7 is at 1 of 2 steps", "headway plan 7"),
        ("running", SENT_STEP, "plan 7 is at 1 of 2 steps", "headway plan 7"),
        ("running", RED_STEP, "restart extract now", "headway plan resume 7"),
        ("stopped", None, "plan 7 stopped: resume it now", "headway plan resume 7"),
    ],
)
def test_an_update_names_the_running_plan_in_place_of_a_restart(
    state: str, step: PlannedRun | None, told: str, command: str
) -> None:
    """`recover` is refused while the plan exists. Its own run that is red stops it: that is resumed. A step that is
    about to be sent for the run does not."""
    ledger = night((EXTRACT, "03:10", RunState.FAILED))
    ledger.evaluate("03:26")
    ledger.estate = replace(ledger.estate, plans_by_incident={1: PlanFacts(7, state, 1, 2)})
    if step is not None:
        ledger.estate = replace(ledger.estate, plans_by_run={1: step})
    (notice,) = ledger.evaluate("08:30").incidents[0].notices
    assert re.findall(r"^Do +(.*)$", written(notice).body, re.M) == [command]
    assert f": {told}" in written(notice).title, written(notice).title


def test_a_successful_run_with_too_few_rows_is_notified_to_the_service_it_feeds() -> None:
    usual = past(*[600.0] * 20, output=1000)
    few = replace(usual, output=array("d", [100.0, *usual.output[1:]]), run_ids=array("q", [1, *usual.run_ids[1:]]))
    ledger = night(services=False)
    served = service("day", "06:30", LOAD, notify=("finance",))
    ledger.estate = replace(ledger.estate, services=(served,), history={1: few}, settings=EvaluationSettings())
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:10", 10))
    ledger.evaluate("03:21")
    (notice,) = ledger.incident().notices
    assert ("finance", True) == (notice.route, "Feeds          day: not late yet\n" in written(notice).body)
    assert written(notice).title.endswith(", Day not late yet [{incident}]")
    assert "with 100 rows, fewer than 500 rows; threshold 500 rows, history (19 runs)" in written(notice).body


def test_a_plan_for_what_hangs_waits_for_it_and_sends_nothing() -> None:
    ledger = night((EXTRACT, "03:10", RunState.RUNNING))
    ledger.evaluate("03:26")
    draft = propose_recovery(ledger.estate, 1, at("03:26"), lambda _job, _capability: True)
    assert draft is not None
    assert [("wait", "it runs still")] == [(step.verb, *step.why) for step in draft.steps]


def test_what_feeds_no_service_is_only_shown() -> None:
    ledger = night((EXTRACT, "03:10", RunState.RUNNING), services=False)
    assert () == ledger.evaluate("03:26").incidents
    known = ledger.finding(DetectionRule.TOO_LONG)
    assert known is not None
    assert FindingSeverity.NOTE is known.severity


@pytest.mark.parametrize("notify, services, incidents", [(True, False, 1), (False, True, 0)])
def test_config_decides_whether_a_rule_notifies(notify: bool, services: bool, incidents: int) -> None:
    thresholds = settings_of(DetectionRule.TOO_LONG, notify=notify)
    ledger = night((EXTRACT, "03:10", RunState.RUNNING), services=services, **thresholds)
    assert incidents == len(ledger.evaluate("03:26").incidents)


def test_a_run_that_hangs_and_then_fails_is_one_incident_notified_again() -> None:
    ledger = night((EXTRACT, "03:10", RunState.RUNNING))
    ledger.evaluate("03:26")
    ledger.run(EXTRACT, "03:10", RunState.FAILED, started_at=at("03:10"), ended_at=at("03:30"), exit_code=1)
    ledger.evaluate("03:31")
    incident = ledger.incident()
    assert ("etl-hosts/db07:extract failed: exit 1", 1, ["updated"]) == (
        title_of(incident), number_of(incident), [notice.kind.value for notice in incident.notices],
    )  # fmt: skip


def test_what_an_upstreams_failure_explains_opens_nothing_of_its_own() -> None:
    ledger = night((EXTRACT, "03:10", RunState.RUNNING), (LOAD, "04:00", RunState.RUNNING))
    ledger.run(EXTRACT, "03:10", RunState.FAILED, started_at=at("03:10"), ended_at=at("03:12"))
    ledger.evaluate("04:30")
    assert "etl-hosts/db07:extract failed" == title_of(ledger.incident())
    assert ledger.finding(DetectionRule.TOO_LONG) is not None


def test_of_two_hung_runs_the_upstream_is_notified() -> None:
    ledger = night((EXTRACT, "03:10", RunState.RUNNING), (LOAD, "04:00", RunState.RUNNING))
    ledger.evaluate("04:30")
    assert "etl-hosts/db07:extract is running too long: running since 03:10 UTC, longer than 15m" == title_of(
        ledger.incident()
    )


def test_a_host_that_falls_silent_does_not_end_a_notified_finding() -> None:
    ledger = night((EXTRACT, "03:10", RunState.RUNNING))
    ledger.evaluate("03:26")
    ledger.target(1, failing_since=at("03:30"), error="no route", last_ok_at=at("03:29"), seen_until=at("03:29"))
    ledger.evaluate("03:50")
    assert "too_long" in {incident.cause.subject for incident in ledger.decisions.incidents if not incident.closed}


def test_the_notified_finding_of_an_incident_remains_when_a_second_rule_finds_something() -> None:
    ledger = night((LOAD, "04:00", RunState.RUNNING))
    run = next(run for run in ledger.estate.runs if run.job_id == LOAD.id)
    since = at("03:00") - timedelta(days=1)
    figures = FindingEvidence()
    finding = Finding(
        DetectionRule.TOO_LONG_SINCE_SUCCESS,
        LOAD.id,
        "",
        None,
        run.business_date - timedelta(days=1),
        since,
        ("no success",),
        figures,
        FindingSeverity.ALERT,
    )
    second = Finding(DetectionRule.TOO_LONG, LOAD.id, run.period_key, run.id, run.business_date, at("04:30"), ("14m",),
                     figures,
                     FindingSeverity.ALERT)  # fmt: skip
    incident = IncidentFacts(
        7, "rule:x", CauseRecord("rule", finding.business_date, RootRun(LOAD.id, ""), finding.rule.value), frozenset(),
        since, since, IncidentFingerprint(NotifiedIncident("x")),
    )  # fmt: skip
    index = EstateIndex(replace(ledger.estate, incidents=(incident,)), at("05:00"), (), ())
    [match] = match_incidents(index, RuleFinding.find(Evidence(index, [second, finding], ()), []))
    assert (7, finding, None) == (match.incident and match.incident.id, cause_finding(match), match.ended)
    without = EstateIndex(ledger.estate, at("05:00"), (), ())
    assert [second] == [
        cause.finding
        for cause in RuleFinding.find(Evidence(without, [second, finding], ()), [])
        if isinstance(cause, RuleFinding)
    ]


def test_the_act_by_time_of_a_restart_is_notified_for_a_hung_run() -> None:
    """Incident, mail and forecast show the same act-by."""
    promised = estate(EXTRACT, services=[service("plan", "04:00", EXTRACT)], durations={EXTRACT.id: (600.0,) * 20})
    ledger = Ledger(replace(promised, history={EXTRACT.id: TEN_MINUTES}))
    ledger.run(EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:10"))
    ledger.evaluate("03:30")
    incident = ledger.incident()
    (affected_service,) = incident.services
    assert (DetectionRule.TOO_LONG.value, at("03:50")) == (incident.cause.subject, affected_service.act_by)
    assert at("03:50") == incident.act_by == ledger.day("plan").act_by
    assert all("03:50" in written(notice).plain_body for notice in incident.notices)
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, started_at=at("03:10"), ended_at=at("03:40"))
    ledger.evaluate("03:41")
    assert ledger.incident().closed
