"""One incident per root cause, whatever the order in which polls bring it; regrouped, merged and closed."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Any
from unittest.mock import Mock

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import ProofLevel, RunEvidence, RunState
from console.control.evaluate import evaluate
from console.control.incidents.decisions import event_text
from console.control.snapshot import downstream
from console.control.snapshot.failures import Blame, identity_titles
from console.control.snapshot.reachability import NO_STATUS_PAST, NO_STATUS_REASONS
from console.domain.alert import AlertKind
from console.domain.decision import Decisions, IncidentDecision, NewIncident
from console.domain.estate import CancelFacts, JobFacts
from console.domain.finding import DetectionRule
from console.domain.incident_record import RootRun
from console.domain.reason import LaterRunGood
from console.domain.service import Timeliness
from console.domain.switches import SystemPause
from tests.control.ledger import Ledger, ended
from tests.factories import at, daily, estate, feeds, job, minutes, run, service, target
from tests.messages import written
from tests.reasons import close_text, evidence_of, number_of, title_of, why_of, zoned
from tests.rows import each_row

EXTRACT = job(1, "hosts/extract", "03:10", expected=minutes(20))
LOAD = job(2, "warehouse/load", daily("04:00", "airflow"), expected=minutes(30), target_id=2, kind="airflow")
MART = job(3, "dwh/mart", daily("05:00", "pg_cron"), expected=minutes(30), target_id=3)
OTHER = job(4, "hosts/other", "03:00", expected=minutes(5))
TASK = job(5, "warehouse/load.publish", parent_id=2, target_id=2)
OFTEN = job(6, "hosts/often", Schedule("debian-cron", "*/15 * * * *"), expected=minutes(1))
TARGETS = [target(1), target(2, "warehouse", "warehouse"), target(3, "dwh", "dwh")]


def night(*jobs: JobFacts, deps: Any = None, **more: Any) -> Ledger:
    deps = [*feeds(EXTRACT, LOAD), *feeds(LOAD, MART)] if deps is None else deps
    jobs = jobs or (EXTRACT, LOAD, MART)
    more = {"services": [service("daily", "07:30", MART)], **more} if MART in jobs else more
    return Ledger(estate(*jobs, feeds=deps, targets=TARGETS, **more))


def silent(ledger: Ledger, since: str, number: int = 1, seen: str = "", error_kind: str = "unreachable") -> None:
    """The target fails from then on; nothing was seen of it after `seen`."""
    instant = at(seen or since)
    ledger.target(
        number,
        failing_since=at(since),
        last_ok_at=instant,
        seen_until=instant,
        error="timed out",
        error_kind=error_kind,
    )


def roles(incident: IncidentDecision) -> dict[int, str]:
    return {member.job_id: member.role for member in incident.members}


def notices(decisions: Decisions) -> list[tuple[str, AlertKind]]:
    return [(notice.route, notice.kind) for incident in decisions.incidents for notice in incident.notices]


def test_three_red_jobs_in_a_chain_are_one_incident_with_its_symptoms() -> None:
    ledger = night()
    for job_facts, clock in ((EXTRACT, "03:10"), (LOAD, "04:00"), (MART, "05:00")):
        ledger.run(job_facts, clock, RunState.FAILED, **ended(clock, 5))
    ledger.evaluate("05:10")
    assert {1: "root", 2: "red", 3: "red"} == roles(ledger.incident())
    assert [("oncall", AlertKind.OPENED)] == notices(ledger.decisions)


def test_a_message_of_several_lines_is_shown_on_one() -> None:
    ledger = night()
    ledger.run(EXTRACT, "03:10", RunState.FAILED, message="orders is empty\nCONTEXT:  line 3", **ended("03:10", 5))
    ledger.evaluate("03:20")
    assert "orders is empty · CONTEXT:  line 3" == evidence_of(ledger.incident())


def test_two_causes_without_a_common_upstream_are_two_incidents() -> None:
    ledger = night(EXTRACT, LOAD, MART, OTHER)
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 5))
    ledger.run(OTHER, "03:00", RunState.FAILED, **ended("03:00", 5))
    decisions = ledger.evaluate("03:20")
    assert ["hosts/other failed", "hosts/extract failed"] == [title_of(incident) for incident in decisions.incidents]
    assert [[], ["daily"]] == [[service.service for service in incident.services] for incident in decisions.incidents]


@pytest.mark.parametrize("feeds_it", [False, True], ids=["delivers", "feeds"])
def test_each_red_run_of_a_job_of_many_names_the_open_service_that_waits_for_it(feeds_it: bool) -> None:
    """More starts are ahead before the deadline; while the latest run is red the service is at risk, until a green."""
    flap = service("flap", "07:30", MART if feeds_it else OFTEN, tier=2)
    often, mart = (replace(job, accepted_at=at("02:50")) for job in (OFTEN, MART))
    ledger = night(often, mart, deps=feeds(often, mart) if feeds_it else [], services=[flap])
    for clock in ("03:00", "03:15", "03:30", "03:45", "04:00", "04:15"):
        ledger.run(OFTEN, clock, RunState.RUNNING, started_at=at(clock))
        ledger.evaluate(clock)
        ledger.run(OFTEN, clock, RunState.FAILED, **ended(clock, 1))
        ledger.evaluate(f"{clock[:3]}{int(clock[3:]) + 2:02}")
        affected = [(service.service, service.timeliness) for service in ledger.incident().services]
        assert [("flap", Timeliness.AT_RISK)] == affected
        assert Timeliness.AT_RISK == ledger.day("flap").timeliness
    ledger.run(OFTEN, "04:30", RunState.SUCCEEDED, **ended("04:30", 1))
    ledger.evaluate("04:32")
    assert (True, Timeliness.ON_TIME) == (ledger.incident().closed, ledger.day("flap").timeliness)


def test_jobs_with_similar_names_are_separate_incidents() -> None:
    """Names that are the same once cleaned, or in their first 300 letters, must not share a key: they would take turns
    in one incident, and each turn is an alert."""
    names = [
        "hosts/same",
        "hosts/\x1b[31msame",
        "hosts/same\x1b[0m",
        "hosts/" + "x" * 400 + "1",
        "hosts/" + "x" * 400 + "2",
    ]
    jobs = [job(number, name, "03:10") for number, name in enumerate(names, 1)]
    ledger = night(*jobs, deps=[])
    for job_facts in jobs:
        ledger.run(job_facts, "03:10", RunState.FAILED, **ended("03:10", 5))
    decisions = ledger.evaluate("03:20")
    assert 5 == len({incident.key for incident in decisions.incidents})
    assert [] == [incident.key for incident in decisions.incidents if not incident.key.isprintable()]


def test_a_symptom_polled_before_its_cause_is_regrouped_under_the_same_key_with_one_update() -> None:
    ledger = night()
    ledger.evaluate("03:05")
    ledger.run(LOAD, "04:00", RunState.FAILED, **ended("04:00", 5))
    silent(ledger, "04:05:50", seen="03:06")
    first = ledger.evaluate("04:06").incidents[0]
    assert ("run:warehouse/load@2026-11-20T04:00:00Z", LOAD.id) == (first.key, first.cause.job_id)
    ledger.target(1, failing_since=None)
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2, exit_code=1))
    decisions = ledger.evaluate("04:07")
    incident = ledger.incident()
    assert (first.key, EXTRACT.id, 1) == (incident.key, incident.cause.job_id, number_of(incident))
    assert {1: "root", 2: "red", 3: "threatened"} == roles(incident)
    assert [("oncall", AlertKind.UPDATED)] == notices(decisions)
    assert "root cause is hosts/extract" == zoned(incident.event)
    assert at("03:12") == incident.failed_since
    assert [] == notices(ledger.evaluate("04:08"))


@pytest.mark.parametrize("message", ["relation stockgone does not exist", "no input file"])
def test_a_job_that_failed_before_its_upstream_is_a_symptom_only_if_it_fails_with_another_error(message: str) -> None:
    load = replace(OFTEN, id=7, native_id="load")
    ledger = night(OFTEN, load, deps=feeds(OFTEN, load), services=[])
    ledger.run(OFTEN, "03:00", RunState.SUCCEEDED, **ended("03:00", 1))
    ledger.run(load, "03:00", RunState.FAILED, **ended("03:00", 2), message="relation stockgone does not exist")
    ledger.evaluate("03:05")
    ledger.run(OFTEN, "03:15", RunState.FAILED, **ended("03:15", 1), exit_code=1)
    ledger.run(load, "03:15", RunState.FAILED, **ended("03:15", 2), message=message)
    decisions = ledger.evaluate("03:20")
    roots = {incident.cause.job_id for incident in decisions.incidents if not incident.closed}
    assert roots == ({OFTEN.id, load.id} if message == "relation stockgone does not exist" else {OFTEN.id})


def test_a_merge_names_the_root_cause_only_if_it_was_not_notified() -> None:
    ledger = night()
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2))
    ledger.evaluate("03:13")
    merged = replace(ledger.incident(), merges={2: "warehouse/load"})
    before = merged.fingerprint.notified
    text = "INC-0002 (warehouse/load) has the same cause"
    assert text == zoned(event_text(merged, before))
    other = before._replace(cause="warehouse/load")
    assert f"root cause is hosts/extract; {text}" == zoned(event_text(merged, other))


def test_a_target_that_failed_before_its_polls_were_paused_has_to_fail_again_after_it() -> None:
    ledger = night()
    silent(ledger, "03:05:50")
    pause = SystemPause("hosts", "mara", "a new disk", at("03:06"), at("03:50"))
    ledger.target(1, pause=pause)
    for clock in ("03:06", "03:49", "03:50"):
        assert () == ledger.evaluate(clock).incidents
    ledger.target(1, pause=replace(pause, at=at("03:51"), until=at("03:51")))  # ended by a person
    assert () == ledger.evaluate("03:51:30").incidents
    assert 1 == len(ledger.evaluate("03:55").incidents)


@pytest.mark.parametrize("lost", ["paused", "silent"])
def test_an_incident_stays_open_while_what_its_runs_read_is_out_of_reach(lost: str) -> None:
    extract = job(1, "hosts/extract", "03:10", expected=minutes(90))
    ledger = night(extract, LOAD, services=[service("daily", "07:30", LOAD)])
    ledger.run(extract, "03:10", RunState.RUNNING, started_at=at("03:10"))
    ledger.run(LOAD, "04:00", RunState.FAILED, **ended("04:00", 5))
    assert 1 == len(ledger.evaluate("04:06").incidents)
    ledger.run(LOAD, "04:00", RunState.SUCCEEDED, **ended("04:10", 5))
    assert not ledger.evaluate("04:16").incidents[0].closed
    if lost == "paused":
        ledger.target(1, pause=SystemPause("hosts", "mara", "a new disk", at("04:17"), at("04:40")))
    else:
        silent(ledger, "04:17")
    for clock in ("04:18", "04:30"):
        assert [False] == [incident.closed for incident in ledger.evaluate(clock).incidents if incident.cause.job_id]
    ledger.target(1, pause=None, failing_since=None)
    ledger.run(extract, "03:10", RunState.SUCCEEDED, **ended("03:10", 90))
    assert not ledger.evaluate("04:41").incidents[0].closed
    ledger.run(LOAD, "04:00", RunState.SUCCEEDED, **ended("04:45", 5))
    assert ledger.evaluate("04:51").incidents[0].closed


def test_two_incidents_that_turn_out_to_be_one_keep_the_older() -> None:
    ledger = night(EXTRACT, LOAD, OTHER, deps=feeds(EXTRACT, LOAD, OTHER))
    late = job(4, "hosts/other", "04:10", expected=minutes(5))
    ledger.estate = replace(ledger.estate, jobs={**ledger.estate.jobs, 4: late})
    silent(ledger, "04:05:50", seen="03:06")
    ledger.run(LOAD, "04:00", RunState.FAILED, **ended("04:00", 5))
    ledger.evaluate("04:06")
    silent(ledger, "04:11:50", seen="03:06")
    ledger.run(late, "04:10", RunState.FAILED, **ended("04:10", 1))
    assert [LOAD.id, late.id] == [incident.cause.job_id for incident in ledger.evaluate("04:12").incidents]
    ledger.target(1, failing_since=None)
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2))
    decisions = ledger.evaluate("04:13")
    assert [(1, EXTRACT.id)] == [(number_of(incident), incident.cause.job_id) for incident in decisions.incidents]
    assert 1 == len(ledger.estate.incidents)


def test_a_failed_task_is_notified_with_its_dag() -> None:
    ledger = night(EXTRACT, LOAD, MART, TASK)
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:10", 5))
    ledger.run(LOAD, "04:00", RunState.FAILED, **ended("04:00", 5))
    ledger.run(TASK, "04:00", RunState.FAILED, **ended("04:00", 4))
    ledger.evaluate("04:06")
    incident = ledger.incident()
    assert (LOAD.id, "failed task: publish") == (incident.cause.job_id, evidence_of(incident))
    assert "warehouse/load failed: task publish" == title_of(incident)
    assert {2: "root", 3: "threatened"} == roles(incident)


def test_the_task_that_failed_is_named_before_one_that_it_blocked() -> None:
    blocked, failed = (
        replace(TASK, native_id="load.daily_total"),
        replace(TASK, id=TASK.id + 1, native_id="load.orders"),
    )
    ledger = night(EXTRACT, LOAD, MART, blocked, failed)
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:10", 5))
    ledger.run(LOAD, "04:00", RunState.FAILED, **ended("04:00", 5))
    ledger.run(failed, "04:00", RunState.FAILED, **ended("04:00", 4))
    ledger.run(blocked, "04:00", RunState.BLOCKED, **ended("04:00", 4))
    ledger.evaluate("04:06")
    assert "warehouse/load failed: task orders" == title_of(ledger.incident())


@each_row("state", [RunState.RETRYING, RunState.RUNNING, RunState.UNKNOWN, RunState.PARTIAL, RunState.SKIPPED])
def test_what_is_not_proved_red_is_no_incident(state: RunState) -> None:
    ledger = night(EXTRACT, deps=[])
    ledger.run(EXTRACT, "03:10", state, started_at=at("03:10"))
    assert () == ledger.evaluate("03:14").incidents


@each_row(
    "state, title",
    [
        (RunState.FAILED, "hosts/extract failed: exit 3"),
        (RunState.TIMED_OUT, "hosts/extract timed out: exit 3"),
        (RunState.LOST, "hosts/extract was lost while it ran: exit 3"),
        (RunState.CANCELLED, "hosts/extract was cancelled: exit 3"),
        (RunState.BLOCKED, "hosts/extract was blocked by its upstream: exit 3"),
    ],
)
def test_every_failed_end_is_an_incident_with_its_own_text(state: RunState, title: str) -> None:
    ledger = night(EXTRACT, deps=[])
    ledger.run(EXTRACT, "03:10", state, **ended("03:10", 1, exit_code=3))
    ledger.evaluate("03:14")
    assert title == title_of(ledger.incident())


@pytest.mark.parametrize(
    "details, title",
    [
        ({"message": "ERROR:  division by zero\nCONTEXT: x"}, "dwh/mart failed: ERROR:  division by zero"),
        ({"native_state": "failed"}, "dwh/mart failed"),
        ({"native_state": "upstream_failed"}, "dwh/mart failed: upstream_failed"),
    ],
)
def test_without_an_exit_status_the_title_says_what_the_source_says(details: dict[str, str], title: str) -> None:
    ledger = night(MART, deps=[])
    ledger.run(MART, "05:00", RunState.FAILED, **ended("05:00", 1), **details)
    ledger.evaluate("05:02")
    assert title == title_of(ledger.incident())


def test_an_incident_of_a_job_that_is_watched_no_more_is_closed() -> None:
    ledger = night(EXTRACT, OTHER, deps=[])
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 1))
    ledger.run(OTHER, "03:00", RunState.SUCCEEDED, **ended("03:00", 1))
    ledger.evaluate("03:14")
    ledger.estate = replace(ledger.estate, jobs={OTHER.id: OTHER})
    ledger.evaluate("03:15")
    assert (True, "hosts/extract") == (ledger.incident().closed, ledger.incident().fingerprint.notified.cause)


def test_a_run_that_never_came_is_an_incident_without_any_row_of_the_source() -> None:
    ledger = night(EXTRACT, deps=[])
    ledger.evaluate("03:00")
    ledger.evaluate("03:16")
    incident = ledger.incident()
    assert "hosts/extract did not start: no start in the log by 03:15 UTC" == title_of(incident)
    assert (at("03:10"), ledger.state(EXTRACT, "03:10").state) == (incident.failed_since, RunState.MISSED)


def test_a_removal_that_is_accepted_closes_the_incident_of_what_was_missed() -> None:
    ledger = night(EXTRACT, deps=[])
    ledger.evaluate("03:16")
    job_facts = replace(EXTRACT, schedule=Schedule("none"), accepted_at=at("03:30"), gone_since=at("02:10"))
    ledger.estate = replace(ledger.estate, jobs={1: job_facts})
    ledger.evaluate("03:31")
    assert "the new schedule is accepted: no run is missing" == close_text(ledger.incident())


def test_a_later_success_of_the_same_job_supersedes_what_failed() -> None:
    ledger = night(OFTEN, deps=[])
    ledger.run(OFTEN, "03:00", RunState.FAILED, **ended("03:00", 1))
    ledger.evaluate("03:02")
    ledger.run(OFTEN, "03:15", RunState.FAILED, **ended("03:15", 1))
    again = ledger.evaluate("03:17")
    assert (("oncall", 1), []) == (("oncall", number_of(ledger.incident())), notices(again))
    assert RootRun(OFTEN.id, "2026-11-20T03:15:00Z") == ledger.incident().cause.root
    ledger.run(OFTEN, "03:30", RunState.SUCCEEDED, **ended("03:30", 1))
    closed = ledger.evaluate("03:32")
    assert LaterRunGood() == ledger.incident().close_reason
    assert [("oncall", AlertKind.RECOVERED)] == notices(closed)


def twice_red(of: JobFacts = OFTEN) -> Ledger:
    """The job failed at 03:00, and at 03:15 again: the last run that can be done by the deadline at 03:20."""
    ledger = night(of, deps=[], services=[service("board", "03:20", of)])
    ledger.run(of, "03:00", RunState.FAILED, **ended("03:00", 1))
    ledger.evaluate("03:02")
    ledger.run(of, "03:15", RunState.FAILED, **ended("03:15", 1))
    ledger.evaluate("03:17")
    return ledger


def test_a_rerun_of_an_older_run_repairs_a_newer_failure_that_started_before_it() -> None:
    """The later start decides, whichever run of the business date it belongs to: incident and service agree."""
    ledger = twice_red()
    ledger.run(OFTEN, "03:00", RunState.RUNNING, started_at=at("03:17"))
    assert at("03:18") == ledger.evaluate("03:17").service_days[0].expected_at
    ledger.run(OFTEN, "03:00", RunState.SUCCEEDED, ended_at=at("03:18"))
    ledger.evaluate("03:19")
    assert (Timeliness.MET, at("03:18")) == (ledger.day("board").timeliness, ledger.day("board").delivered_at)
    assert LaterRunGood() == ledger.incident().close_reason


def test_a_failure_that_started_after_the_rerun_of_an_older_run_stays_red() -> None:
    ledger = night(OFTEN, deps=[], services=[service("board", "03:20", OFTEN)])
    ledger.run(OFTEN, "03:00", RunState.FAILED, **ended("03:00", 1))
    ledger.run(OFTEN, "03:00", RunState.SUCCEEDED, **ended("03:10", 1))
    ledger.run(OFTEN, "03:15", RunState.FAILED, **ended("03:15", 1))
    ledger.evaluate("03:17")
    assert (None, False) == (ledger.day("board").delivered_at, ledger.incident().closed)


def test_a_rerun_that_works_on_the_period_of_its_own_run_repairs_no_other() -> None:
    of = replace(OFTEN, has_periods=True)
    ledger = twice_red(of)
    ledger.run(of, "03:00", RunState.SUCCEEDED, **ended("03:17", 1))
    ledger.evaluate("03:19")
    assert (None, False) == (ledger.day("board").delivered_at, ledger.incident().closed)


def test_what_reads_a_job_after_the_rerun_of_its_older_run_reads_good_data() -> None:
    reader = job(7, "dwh/reader", daily("03:30", "pg_cron"), expected=minutes(1), target_id=3)
    ledger = night(OFTEN, reader, deps=feeds(OFTEN, reader))
    ledger.run(OFTEN, "03:00", RunState.FAILED, **ended("03:00", 1))
    ledger.run(OFTEN, "03:15", RunState.FAILED, **ended("03:15", 1))
    ledger.run(OFTEN, "03:00", RunState.SUCCEEDED, **ended("03:20", 1))
    ledger.run(reader, "03:30", RunState.SUCCEEDED, **ended("03:29", 1))
    decisions = ledger.evaluate("03:30")
    assert () == decisions.incidents
    assert not any(run.stale_read for run in ledger.estate.runs)


def test_a_job_that_proves_starts_only_is_not_missed_any_more_once_it_starts_again() -> None:
    blind = job(6, "hosts/often", Schedule("debian-cron", "*/15 * * * *"), proof=ProofLevel.START)
    ledger = night(blind, deps=[])
    ledger.evaluate("02:59")
    ledger.run(blind, "03:00", RunState.UNKNOWN, started_at=at("03:00"))
    ledger.evaluate("03:21")
    assert "hosts/often did not start: no start in the log by 03:20 UTC" == title_of(ledger.incident())
    ledger.run(blind, "03:30", RunState.UNKNOWN, started_at=at("03:30"))
    ledger.evaluate("03:31")
    assert ledger.incident().closed


def test_a_repaired_root_stays_open_until_its_red_follower_is_green_too() -> None:
    ledger = night()
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 5))
    ledger.run(LOAD, "04:00", RunState.FAILED, **ended("04:00", 5))
    ledger.evaluate("04:06")
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("04:10", 5))
    ledger.evaluate("04:16")
    incident = ledger.incident()
    assert (1, EXTRACT.id, False, ()) == (
        number_of(incident), incident.cause.job_id, incident.closed, incident.notices)  # fmt: skip
    title = "warehouse/load failed; its upstream hosts/extract is green again since 04:15 UTC"
    assert (title, {1: "repaired", 2: "root", 3: "threatened"}) == (title_of(incident), roles(incident))
    ledger.run(LOAD, "04:00", RunState.SUCCEEDED, **ended("04:30", 5))
    ledger.evaluate("04:36")
    assert ledger.incident().closed


def test_a_failure_that_is_superseded_while_its_target_is_unreachable_is_noted() -> None:
    """It is red in no evaluation: without the note nobody could know why no route was notified of it."""
    ledger = night(deps=[], services=[])
    ledger.run(OTHER, "03:00", RunState.FAILED, **ended("03:00", 5), exit_code=9)
    ledger.evaluate("03:06")
    ledger.target(1, failing_since=at("03:20"), last_ok_at=at("03:20"), seen_until=at("03:20"), error="timed out",
                  error_kind="unreachable")  # fmt: skip
    ledger.evaluate("03:40")
    ledger.target(1, failing_since=None, error="", error_kind="")
    ledger.run(EXTRACT, "03:30", RunState.FAILED, **ended("03:30", 2), exit_code=4)
    ledger.run(EXTRACT, "03:35", RunState.SUCCEEDED, **ended("03:35", 2))
    ledger.run(OTHER, "03:35", RunState.SUCCEEDED, **ended("03:35", 2))
    incidents = {incident.cause.target_id: incident for incident in ledger.evaluate("03:45").incidents}
    failure = "hosts/extract failed at 03:32 UTC: exit 4"
    line = f"not notified: {failure}; a later run succeeded before its target was reachable again"
    assert (True, (line,)) == (incidents[1].closed, tuple(map(zoned, incidents[1].suppressions.superseded)))
    assert () == incidents[None].suppressions.superseded


def test_a_start_missed_while_its_target_was_out_of_reach_is_no_other_error() -> None:
    ledger = night(OFTEN, deps=[], services=[])
    ledger.run(OFTEN, "03:00", RunState.FAILED, **ended("03:00", 1), exit_code=3)
    ledger.evaluate("03:02")
    silent(ledger, "03:05")
    ledger.evaluate("03:40")
    ledger.target(1, failing_since=None, error="", error_kind="")
    decisions = ledger.evaluate("03:44")
    text = "no start in the log by 03:35 UTC; etl-hosts/db07 was out of reach since 03:05 UTC"
    assert (RunState.MISSED, text) == (ledger.state(OFTEN, "03:30").state, why_of(ledger.state(OFTEN, "03:30")))
    failed = next(incident for incident in decisions.incidents if incident.cause.job_id == OFTEN.id)
    assert ((), False) == (failed.notices, "another error" in zoned(failed.event))
    ledger.evaluate("03:51")
    assert "failed again, with another error: hosts/often" in zoned(ledger.incident().event)
    assert "no start in the log by 03:50 UTC" == why_of(ledger.state(OFTEN, "03:45"))


def test_a_run_that_its_host_lost_is_no_other_error_and_the_earlier_error_stays() -> None:
    """The start is due before the first failed poll, and by the end of its grace the host is out of reach."""
    ledger = night(OFTEN, deps=[], services=[])
    ledger.run(OFTEN, "03:00", RunState.FAILED, **ended("03:00", 1), exit_code=22, tail="error: 503\n")
    ledger.evaluate("03:02")
    silent(ledger, "03:16", seen="03:15")
    ledger.evaluate("03:25")
    ledger.target(1, failing_since=None, error="", error_kind="")
    incident = next(found for found in ledger.evaluate("03:29").incidents if found.cause.job_id == OFTEN.id)
    missed = "no start in the log by 03:20 UTC; etl-hosts/db07 was out of reach since 03:16 UTC"
    assert (f"{missed}; before that it failed: exit 22: error: 503", ()) == (evidence_of(incident), incident.notices)
    ledger.run(OFTEN, "03:15", RunState.LOST, started_at=at("03:15"), message="process 4065 is gone")
    ledger.evaluate("03:29:30")
    reason = "process 4065 is gone; before that it failed: exit 22: error: 503"
    assert (reason, ()) == (evidence_of(ledger.incident()), ledger.incident().notices)


def test_a_run_lost_long_after_an_outage_that_it_outlived_is_another_error() -> None:
    ledger = night(EXTRACT, deps=[], services=[])
    silent(ledger, "03:13")
    ledger.evaluate("03:20")
    ledger.target(1, failing_since=None, error="", error_kind="")
    ledger.evaluate("03:25")
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:26", 1), exit_code=22)
    ledger.evaluate("03:30")
    lost = {"started_at": at("03:14"), "ended_at": at("07:00"), "message": "killed by the OOM killer"}
    ledger.run(EXTRACT, "03:14", RunState.LOST, **lost)
    ledger.evaluate("07:00")
    incident = ledger.incident()
    assert (1, "killed by the OOM killer") == (len(incident.notices), evidence_of(incident))
    assert zoned(incident.event).startswith("failed again, with another error: hosts/extract")


def test_a_follower_that_is_stale_for_another_cause_alone_does_not_hold_the_incident_open() -> None:
    ledger = night(EXTRACT, LOAD, OTHER, deps=feeds(EXTRACT, LOAD) + feeds(OTHER, LOAD), services=[])
    ledger.run(OTHER, "03:00", RunState.FAILED, **ended("03:00", 5))
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 5))
    ledger.run(LOAD, "04:00", RunState.SUCCEEDED, **ended("04:00", 5))
    assert [{4: "root", 2: "stale"}, {1: "root", 2: "stale"}] == [
        roles(incident) for incident in ledger.evaluate("04:06").incidents
    ]
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("04:10", 5))
    assert [False, False] == [incident.closed for incident in ledger.evaluate("04:16").incidents]
    ledger.run(LOAD, "04:00", RunState.SUCCEEDED, **ended("04:20", 5))
    incidents = ledger.evaluate("04:26").incidents
    assert [(OTHER.id, False), (EXTRACT.id, True)] == [
        (incident.cause.job_id, incident.closed) for incident in incidents
    ]
    assert ledger.state(LOAD, "04:00").stale_read


def test_a_follower_that_fails_after_a_clean_start_is_a_cause_of_its_own() -> None:
    ledger = night()
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 5))
    ledger.evaluate("03:20")
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:30", 5))
    ledger.run(LOAD, "04:00", RunState.FAILED, **ended("04:00", 5))
    decisions = ledger.evaluate("04:06")
    assert [(1, True), (None, False)] == [(number_of(incident), incident.closed) for incident in decisions.incidents]
    assert LOAD.id == decisions.incidents[1].cause.job_id


@pytest.mark.parametrize("clock, number, suffix", [("05:20", 1, ""), ("05:22", None, "#3")])
def test_a_root_red_again_within_two_hours_reopens_its_incident_and_later_opens_one(
    clock: str, number: int | None, suffix: str
) -> None:
    ledger = night(EXTRACT, deps=[])
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 1))
    first = ledger.evaluate("03:14").incidents[0].key
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:20", 1))
    ledger.evaluate("03:21")
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended(clock, 0))
    ledger.evaluate("05:23")
    incident = ledger.incident()
    assert (number, f"{first}{suffix}", at(clock)) == (number_of(incident), incident.key, incident.failed_since)
    assert [AlertKind.UPDATED if number else AlertKind.OPENED] == [notice.kind for notice in incident.notices]


def test_what_fails_again_on_repaired_data_is_split_from_the_incident_that_it_was_a_symptom_of() -> None:
    ledger = night()
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 5))
    ledger.run(LOAD, "04:00", RunState.FAILED, **ended("04:00", 5))
    ledger.evaluate("04:06")
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("04:10", 5))
    ledger.run(LOAD, "04:00", RunState.FAILED, exit_code=3, **ended("04:20", 5))
    closed, new = ledger.evaluate("04:26").incidents
    assert (1, True, {1: "root", 3: "threatened"}) == (
        number_of(closed),
        closed.closed,
        {**roles(closed), 3: "threatened"},
    )
    assert (NewIncident(split_from=1), LOAD.id) == (new.incident, new.cause.job_id)
    assert "opened: warehouse/load failed: exit 3; split from INC-0001" == zoned(new.event)
    assert ("", [LOAD.id]) == (
        zoned(ledger.evaluate("04:27").incidents[0].event),
        [incident.cause.job_id for incident in ledger.decisions.incidents],
    )


def test_a_failure_of_another_night_is_another_incident() -> None:
    ledger = night(EXTRACT, deps=[])
    yesterday = run(90, EXTRACT, at("03:10", day=-1), RunState.FAILED)
    ledger.estate = replace(ledger.estate, runs=(yesterday,))
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 1))
    assert [18, 19] == [incident.cause.business_date.day for incident in ledger.evaluate("03:14").incidents]


def test_an_incident_whose_root_is_watched_no_more_is_closed_and_says_so() -> None:
    ledger = night(EXTRACT, deps=[])
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 1))
    ledger.evaluate("03:14")
    ledger.estate = replace(ledger.estate, runs=(), jobs={})
    ledger.evaluate("03:15")
    assert "no longer watched: the config no longer names it" == close_text(ledger.incident())


def test_an_incident_whose_root_is_out_of_view_is_closed_and_not_called_recovered() -> None:
    ledger = night(EXTRACT, deps=[])
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 1))
    ledger.evaluate("03:14")
    ledger.estate = replace(ledger.estate, runs=(), jobs={1: replace(EXTRACT, accepted_at=at("03:12"))})
    decisions = ledger.evaluate("03:15")
    assert "its failure is older than 48 h, and no success was seen" == close_text(ledger.incident())
    assert [("oncall", AlertKind.UPDATED)] == notices(decisions)


@each_row(
    "kind, text",
    [("refused", "refuses Headway"), ("broken", "cannot be read"), ("failing", "answers with a fault"),
     ("limited", "limits our requests")],
)  # fmt: skip
def test_a_target_that_answers_otherwise_is_not_reported_as_silent(kind: str, text: str) -> None:
    ledger = night()
    ledger.evaluate("02:00")
    silent(ledger, "03:00", error_kind=kind)
    ledger.evaluate("03:01")
    assert f"etl-hosts/db07 {text}" == title_of(ledger.incident())


def test_a_target_that_does_not_answer_is_one_incident_with_its_affected_services() -> None:
    ledger = night()
    ledger.evaluate("02:00")
    silent(ledger, "03:00")
    assert () == ledger.evaluate("03:00:40").incidents
    decisions = ledger.evaluate("03:01")
    incident = ledger.incident()
    assert ("etl-hosts/db07 does not answer", "target", 1, "timed out") == (
        title_of(incident), incident.cause.kind, incident.cause.target_id, evidence_of(incident))  # fmt: skip
    assert "target:etl-hosts/db07@2026-11-20T03:00:00Z" == incident.key
    assert [("daily", at("06:10"), Timeliness.AT_RISK)] == [
        (service.service, service.act_by, service.timeliness) for service in incident.services
    ]
    assert [("oncall", AlertKind.OPENED)] == notices(decisions)


def test_what_turned_red_while_its_target_was_silent_belongs_to_the_target() -> None:
    ledger = night(EXTRACT, LOAD, MART, OTHER)
    ledger.evaluate("02:00")
    ledger.run(OTHER, "03:00", RunState.RUNNING, started_at=at("03:00"))
    silent(ledger, "03:01")
    ledger.run(LOAD, "04:00", RunState.FAILED, **ended("04:00", 5))
    ledger.evaluate("04:06")
    assert {2: "red", 4: "threatened", 1: "threatened"} == {
        job_id: role for job_id, role in roles(ledger.incident()).items() if job_id != 3
    }


def test_an_incident_explained_by_a_silent_target_keeps_its_key_and_gets_the_target_as_root() -> None:
    ledger = night()
    ledger.evaluate("02:00")
    silent(ledger, "03:59:50", seen="03:05")
    ledger.run(LOAD, "04:00", RunState.FAILED, **ended("04:00", 0.2))
    assert [LOAD.id] == [incident.cause.job_id for incident in ledger.evaluate("04:00:20").incidents]
    ledger.evaluate("04:01")
    incident = ledger.incident()
    assert ("run:warehouse/load@2026-11-20T04:00:00Z", 1, "root cause is etl-hosts/db07") == (
        incident.key, incident.cause.target_id, zoned(incident.event))  # fmt: skip


def test_a_target_that_answers_again_closes_its_incident_and_leaves_what_is_red() -> None:
    ledger = night()
    ledger.evaluate("02:00")
    silent(ledger, "03:01")
    ledger.run(LOAD, "04:00", RunState.FAILED, **ended("04:00", 5))
    ledger.evaluate("04:06")
    ledger.target(1, failing_since=None)
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:10", 5))
    decisions = ledger.evaluate("04:07")
    assert [(True, "it works again"), (False, "")] == [
        (incident.closed, close_text(incident)) for incident in decisions.incidents
    ]
    assert "etl-hosts/db07 did not answer" == title_of(decisions.incidents[0])
    assert LOAD.id == decisions.incidents[1].cause.job_id


def test_every_predicate_and_status_reason_has_a_past_form() -> None:
    """The title of a resolved incident does not say that it is still so."""
    assert NO_STATUS_REASONS.keys() == NO_STATUS_PAST.keys()
    pairs = [(rule.predicate, rule.past_predicate) for rule in DetectionRule]
    pairs += [(reason, NO_STATUS_PAST[kind]) for kind, reason in NO_STATUS_REASONS.items()]
    pairs += [identity_titles(f"{blame}:x") for blame in Blame]
    assert [("ended too soon", "ended too soon")] == [pair for pair in pairs if pair[0] == pair[1]]
    is_present = re.compile(r"\b(is|has|cannot|does|fails|starts|refuses|answers|limits|overlaps|responds)\b")
    assert not [past for _, past in pairs if is_present.search(past)]


def test_an_idle_target_that_nothing_needs_is_no_incident() -> None:
    idle = job(9, "idle/by_hand", target_id=9)
    ledger = Ledger(estate(idle, targets=[target(9, "idle", "idle")]))
    silent(ledger, "03:00", number=9)
    assert () == ledger.evaluate("04:00").incidents


def test_a_notified_service_stays_notified_until_the_incident_closes() -> None:
    ledger = night(EXTRACT, LOAD, MART, services=[service("daily", "07:30", MART), service("early", "05:30", LOAD)])
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 5))
    ledger.evaluate("03:20")
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("04:10", 5))
    ledger.run(LOAD, "04:00", RunState.SUCCEEDED, **ended("04:00", 10))
    ledger.evaluate("04:16")
    ledger.run(LOAD, "04:00", RunState.SUCCEEDED, **ended("04:20", 10))
    ledger.run(MART, "05:00", RunState.FAILED, **ended("05:00", 5))
    decisions = ledger.evaluate("05:06")
    closed, opened = decisions.incidents
    assert [("early", Timeliness.MET), ("daily", Timeliness.AT_RISK)] == [
        (service.service, service.timeliness) for service in closed.services
    ]
    assert [(True, EXTRACT.id), (False, MART.id)] == [
        (incident.closed, incident.cause.job_id) for incident in (closed, opened)
    ]


def test_a_newly_affected_service_is_one_update() -> None:
    ledger = night()
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 5))
    ledger.evaluate("03:20")
    more = [*ledger.estate.services, service("early", "05:30", LOAD)]
    ledger.estate = replace(ledger.estate, services=tuple(more))
    decisions = ledger.evaluate("03:21")
    assert [("oncall", AlertKind.UPDATED)] == notices(decisions)
    assert "also affects early" == zoned(ledger.incident().event)


def test_a_run_that_a_person_calls_good_repairs_no_other() -> None:
    ledger = night(OFTEN, deps=[])
    ledger.run(OFTEN, "03:00", RunState.FAILED, **ended("03:00", 1))
    ledger.evaluate("03:05")
    ledger.run(OFTEN, "03:15", RunState.FAILED, **ended("03:15", 1))
    ledger.evaluate("03:17")
    ledger.run(OFTEN, "03:15", RunState.SUCCEEDED, evidence=RunEvidence.ASSERTED, **ended("03:18", 0))
    ledger.evaluate("03:20")
    assert not ledger.incident().closed
    members = [member for member in ledger.incident().members if member.period_key.endswith("03:00:00Z")]
    assert ["root"] == [member.role for member in members]
    alone = night(OTHER, deps=[])
    alone.run(OTHER, "03:00", RunState.FAILED, **ended("03:00", 1))
    alone.evaluate("03:05")
    alone.run(OTHER, "03:00", RunState.SUCCEEDED, evidence=RunEvidence.ASSERTED, **ended("03:21", 0))
    alone.evaluate("03:22")
    assert "marked OK by a person, and no affected run is red or stale" == close_text(alone.incident())


def cancelled(ledger: Ledger, of: JobFacts, clock: str) -> None:
    """Its run of that instant is ended two minutes later by our cancel, which its scheduler reports as its own."""
    ledger.run(of, clock, RunState.RUNNING, started_at=at(clock))
    sent = at(clock) + minutes(2)
    cancel = CancelFacts(of.id, "root", "stuck", sent)
    ledger.estate = replace(ledger.estate, cancels={ledger.state(of, clock).id: cancel})
    ledger.run(of, clock, RunState.CANCELLED, started_at=at(clock), ended_at=sent, native_state="ABORTED")


def test_a_cancel_through_headway_names_requester_and_reason() -> None:
    ledger = night()
    cancelled(ledger, EXTRACT, "03:10")
    ledger.evaluate("03:13")
    assert "hosts/extract was cancelled by root through Headway: stuck" == title_of(ledger.incident())
    assert evidence_of(ledger.incident()).startswith("cancelled by root through Headway: stuck")
    ledger.run(EXTRACT, "03:10", RunState.FAILED, started_at=at("03:20"), ended_at=at("03:21"), exit_code=1)
    ledger.evaluate("03:22")
    assert "hosts/extract failed: exit 1" == title_of(ledger.incident())


def test_a_cancel_that_affects_a_service_pages_nobody_before_the_service_is_nearly_lost() -> None:
    """A forgotten cancel is notified in time for a restart, with the name of the person who cancelled."""
    ledger = night()
    cancelled(ledger, EXTRACT, "03:10")
    assert [] == notices(ledger.evaluate("03:13"))
    assert [("cancelled", "root cancelled it through Headway; notified before a service misses its deadline")] == [
        (suppression.stage, suppression.why) for suppression in ledger.incident().suppressions.notices
    ]
    [until] = {suppression.until for suppression in ledger.incident().suppressions.notices}
    assert until is not None
    assert until == min(service.act_by for service in ledger.incident().services if service.act_by) - minutes(30)
    assert [] == notices(ledger.evaluate(f"{until - minutes(1):%H:%M}"))
    decisions = ledger.evaluate(f"{until + minutes(1):%H:%M}")
    assert [("oncall", AlertKind.OPENED)] == notices(decisions)
    assert (
        "hosts/extract was cancelled by root through Headway" in written(decisions.incidents[0].notices[0]).plain_title
    )


def test_a_cancel_is_not_notified_when_its_rerun_succeeds_and_notified_when_it_fails() -> None:
    for state, entries in ((RunState.SUCCEEDED, []), (RunState.FAILED, [("oncall", AlertKind.OPENED)])):
        ledger = night()
        cancelled(ledger, EXTRACT, "03:10")
        ledger.evaluate("03:13")
        ledger.run(EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:14"))
        assert [] == notices(ledger.evaluate("03:15"))
        ledger.run(EXTRACT, "03:10", state, started_at=at("03:14"), ended_at=at("03:17"))
        assert entries == notices(ledger.evaluate("03:18"))


def test_a_cancel_that_affects_nothing_pages_nobody_until_the_job_fails_by_itself() -> None:
    ledger = night(OTHER, deps=[])
    cancelled(ledger, OTHER, "03:00")
    decisions = ledger.evaluate("03:05")
    assert ("hosts/other was cancelled by root through Headway: stuck", []) == (
        title_of(ledger.incident()),
        notices(decisions),
    )
    ledger.run(OTHER, "03:00", RunState.RUNNING, started_at=at("03:10"))
    assert [] == notices(ledger.evaluate("03:11"))
    ledger.run(OTHER, "03:00", RunState.FAILED, started_at=at("03:10"), ended_at=at("03:12"), exit_code=1)
    assert [("oncall", AlertKind.OPENED)] == notices(ledger.evaluate("03:13"))
    quiet = night(OTHER, deps=[])
    cancelled(quiet, OTHER, "03:00")
    quiet.evaluate("03:05")
    quiet.run(OTHER, "03:00", RunState.SUCCEEDED, **ended("03:10", 1))
    assert ([], True) == (notices(quiet.evaluate("03:12")), quiet.incident().closed)


@pytest.mark.parametrize("is_removed", [True, False])
def test_a_missed_run_that_a_person_skipped_is_over(is_removed: bool) -> None:
    """Where its job is gone no later run comes: nothing would ever have closed it."""
    ledger = night(EXTRACT, deps=[])
    ledger.evaluate("03:10")
    ledger.evaluate("03:30")
    assert "did not start" in title_of(ledger.incident())
    runs = (replace(run, state=RunState.SKIPPED, evidence=RunEvidence.ASSERTED) for run in ledger.estate.runs)
    ledger.estate = replace(ledger.estate, runs=tuple(runs))
    if is_removed:
        job_facts = replace(EXTRACT, gone_since=at("03:05"), accepted_at=at("03:40"), schedule=Schedule("none"))
        ledger.estate = replace(ledger.estate, jobs={**ledger.estate.jobs, EXTRACT.id: job_facts})
    ledger.evaluate("03:41")
    assert ledger.incident().closed
    assert close_text(ledger.incident()) == "skipped by a person, and no affected run is red or stale"


def test_an_incident_whose_rerun_read_unfinished_data_says_so_and_no_longer_names_the_repaired_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = job(1, "warehouse/load_orders", "04:00", expected=minutes(60))
    revenue = job(2, "dwh/refresh_revenue", "04:30", expected=minutes(5))
    ledger = Ledger(estate(load, revenue, feeds=feeds(load, revenue), services=[service("daily", "06:30", revenue)]))
    ledger.run(load, "04:00", RunState.RUNNING, started_at=at("04:00"))
    ledger.run(revenue, "04:30", RunState.FAILED, started_at=at("04:30"), ended_at=at("04:31"),
               message="division by zero")  # fmt: skip
    ledger.evaluate("04:32")
    assert "dwh/refresh_revenue failed: division by zero" == title_of(ledger.incident())
    ledger.run(revenue, "04:30", RunState.SUCCEEDED, started_at=at("04:40"), ended_at=at("04:41"))
    ledger.evaluate("04:42")
    read = "read data before warehouse/load_orders finished"
    assert (f"dwh/refresh_revenue {read}", f"it {read}") == (
        title_of(ledger.incident()),
        evidence_of(ledger.incident()),
    )
    awaited = [member.job_id for member in ledger.incident().members if member.role == "awaited"]
    assert [load.id] == awaited, "what its restart waits for is a member, not a part of a sentence"
    ledger.run(load, "04:00", RunState.SUCCEEDED, started_at=at("04:00"), ended_at=at("05:00"))
    ledger.evaluate("05:01")
    assert ["root"] == [member.role for member in ledger.incident().members]
    compute = Mock(wraps=downstream.read_bad_input)
    monkeypatch.setattr(downstream, "read_bad_input", compute)
    evaluate(ledger.estate, at("05:02"))
    assert 2 == compute.call_count, "as it was read, and as it would be read now"
    ledger.run(revenue, "04:30", RunState.SUCCEEDED, started_at=at("05:10"), ended_at=at("05:11"))
    ledger.evaluate("05:12")
    closed = ledger.incident()
    assert (True, False) == (closed.closed, "rerun it" in title_of(closed) + evidence_of(closed)), (
        "no advice once it is closed"
    )


@each_row(
    "proof, log, reason",
    [
        (
            ProofLevel.FULL,
            "connecting\npsql: could not connect to db07\nexiting now\n\n---\n",
            "psql: could not connect to db07",
        ),
        (ProofLevel.FULL, "step 1\ngave up\n3\n", "gave up"),
        (ProofLevel.FULL, "", ""),
        (ProofLevel.EXIT, "", "no log: install the wrapper"),
    ],
)
def test_the_error_of_a_job_that_reports_only_an_exit_code_is_a_line_of_its_log(
    proof: ProofLevel, log: str, reason: str
) -> None:
    extract = replace(EXTRACT, proof=proof)
    ledger = night(extract, deps=[])
    ledger.run(extract, "03:10", RunState.FAILED, exit_code=3, tail=log, **ended("03:10", 5))
    ledger.evaluate("03:20")
    separator = ", " if reason.startswith("no log") else ": "
    assert f"exit 3{separator}{reason}".removesuffix(": ") == evidence_of(ledger.incident())


def test_a_run_that_is_lost_without_an_end_is_red_since_its_start_and_not_since_its_slot() -> None:
    """A run by hand that has the slot of its date was "failed 20 h ago", half a minute after it had begun."""
    ledger = night(EXTRACT, deps=[])
    ledger.run(EXTRACT, "03:10", RunState.LOST, started_at=at("03:40"), ended_at=None)
    ledger.evaluate("03:41")
    assert at("03:40") == ledger.incident().failed_since


@pytest.mark.parametrize("state, ended", [(RunState.LOST, None), (RunState.FAILED, at("08:41"))])
def test_a_late_start_of_a_missed_slot_fails_since_then_and_not_since_its_slot(
    state: RunState, ended: datetime | None
) -> None:
    """Its title was that of the run that was lost, its time that of the start that had not come."""
    ledger = night(EXTRACT, deps=[])
    ledger.run(EXTRACT, "03:10", RunState.MISSED, started_at=None, ended_at=None)
    ledger.evaluate("03:41")
    assert at("03:10") == ledger.incident().failed_since
    late = {"started_at": at("08:40"), "first_started_at": at("08:40")}
    ledger.run(EXTRACT, "03:10", RunState.RUNNING, **late, ended_at=None)
    ledger.evaluate("08:40:30")
    assert at("03:10") == ledger.incident().failed_since
    ledger.run(EXTRACT, "03:10", state, **late, ended_at=ended)
    ledger.evaluate("08:42")
    assert (ended or at("08:40")) == ledger.incident().failed_since


def test_a_downstream_due_at_the_instant_of_its_missed_upstream_is_its_symptom() -> None:
    load = replace(LOAD, schedule=EXTRACT.schedule)
    ledger = night(EXTRACT, load, deps=feeds(EXTRACT, load))
    for known in (EXTRACT, load):
        ledger.run(known, "03:10", RunState.MISSED, started_at=None, ended_at=None)
    ledger.evaluate("03:40")
    assert {1: "root", 2: "red"} == roles(ledger.incident())
