"""A target whose scheduler starts nothing is one incident; the starts missed there are its symptoms, until they are
made up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import STOPPED, RunState
from console.domain.alert import AlertKind
from tests.control.ledger import Ledger, ended
from tests.factories import at, estate, feeds, job, minutes, service, target

DUE, LATER = (
    job(1, "hosts/oporto:extract", "03:10", expected=minutes(5)),
    job(2, "hosts/oporto:load", "03:20", expected=minutes(5)),
)
ELSEWHERE = job(3, "etl/report", "05:00", expected=minutes(5), target_id=2)
REASON = "cron does not run on oporto. Fix: systemctl start cron"


def night() -> Ledger:
    services = [service("stock", "04:10", DUE), service("report", "06:30", ELSEWHERE)]
    known, reads = [target(1, "hosts", "oporto"), target(2, "etl", "etl")], feeds(LATER, ELSEWHERE)
    return Ledger(estate(DUE, LATER, ELSEWHERE, targets=known, services=services, feeds=reads))


def stops(ledger: Ledger, since: str) -> None:
    ledger.target(1, failing_since=at(since), error=REASON, error_kind=STOPPED)


def works(ledger: Ledger) -> None:
    ledger.target(1, failing_since=None, error="", error_kind="")


def kinds(ledger: Ledger) -> list[AlertKind]:
    return [notice.kind for incident in ledger.decisions.incidents for notice in incident.notices]


def test_a_dead_scheduler_is_notified_before_a_start_is_missed_with_its_fix_and_the_services_at_risk() -> None:
    ledger = night()
    ledger.evaluate("03:00")
    stops(ledger, "03:01")
    ledger.evaluate("03:01:30")
    assert () == ledger.decisions.incidents
    ledger.evaluate("03:01:46")  # three polls of 15 s
    incident = ledger.incident()
    assert ("hosts/oporto starts nothing", REASON, 1) == (incident.title, incident.reason, incident.root_target_id)
    assert ["stock", "report"] == [affected.service for affected in incident.services]
    assert at("04:05") == incident.act_by
    assert [AlertKind.OPENED] == kinds(ledger)


def test_starts_that_it_misses_are_its_symptoms() -> None:
    ledger = night()
    ledger.evaluate("03:00")
    stops(ledger, "03:01")
    ledger.evaluate("03:02")
    ledger.evaluate("03:40")
    assert RunState.MISSED == ledger.state(DUE, "03:10").state
    members = {(member.role, member.job_id) for member in ledger.incident().members}
    assert {("red", 1), ("red", 2), ("threatened", 3)} == members


def test_it_ends_when_the_scheduler_starts_jobs_again() -> None:
    ledger = night()
    ledger.evaluate("03:00")
    stops(ledger, "03:01")
    ledger.evaluate("03:02")
    works(ledger)
    ledger.evaluate("03:04")
    incident = ledger.incident()
    assert (True, "it works again") == (incident.closed, incident.close_reason)
    assert "hosts/oporto started nothing" == incident.title
    assert [AlertKind.RECOVERED] == kinds(ledger)


def test_a_job_that_failed_before_keeps_an_incident_of_its_own() -> None:
    ledger = night()
    ledger.evaluate("03:00")
    ledger.run(DUE, "03:10", RunState.FAILED, exit_code=1, **ended("03:10", 2))
    ledger.evaluate("03:13")
    stops(ledger, "03:14")
    ledger.evaluate("03:15")
    titles = {incident.title for incident in ledger.decisions.incidents}
    assert {"hosts/oporto:extract failed: exit 1", "hosts/oporto starts nothing"} == titles


def stopped_from_0301_to_0340(kind: str = STOPPED) -> Ledger:
    """Extract and load miss their starts of 03:10 and 03:20 meanwhile."""
    ledger = night()
    ledger.evaluate("03:00")
    stops(ledger, "03:01")
    if kind != STOPPED:
        ledger.target(1, error_kind=kind, last_ok_at=at("03:01"), seen_until=at("03:01"))
    for clock in ("03:02", "03:11", "03:21", "03:30"):
        ledger.evaluate(clock)
    works(ledger)
    ledger.evaluate("03:40")
    return ledger


@pytest.mark.parametrize("kind", [STOPPED, "unreachable"])
def test_starts_that_it_missed_stay_with_its_incident_until_they_are_made_up(kind: str) -> None:
    """It was resolved, and a second page came for each job that had missed a start."""
    ledger = stopped_from_0301_to_0340(kind)
    incident = ledger.incident()
    assert (1, 1, DUE.id, False) == (
        incident.incident_id, incident.root_target_id, incident.root_job_id, incident.closed
    )  # fmt: skip
    assert "Update: Stock 04:10 and 1 more at risk: start extract by 04:05" in incident.notices[0].title
    assert [AlertKind.UPDATED] == kinds(ledger)
    ledger.run(DUE, "03:10", RunState.SUCCEEDED, **ended("03:45", 2))
    ledger.evaluate("03:48")
    incident = ledger.incident()
    assert (1, LATER.id, False) == (incident.incident_id, incident.root_job_id, incident.closed)
    ledger.run(LATER, "03:20", RunState.SUCCEEDED, **ended("03:50", 2))
    ledger.evaluate("03:53")
    assert (1, True, [AlertKind.RECOVERED]) == (ledger.incident().incident_id, ledger.incident().closed, kinds(ledger))


def test_a_start_that_it_missed_and_nobody_makes_up_is_not_forgotten() -> None:
    ledger = stopped_from_0301_to_0340()
    ledger.evaluate("08:00")
    assert 1 in [incident.incident_id for incident in ledger.decisions.incidents if not incident.closed]


def test_it_is_not_over_while_a_start_that_was_due_is_neither_seen_nor_missed() -> None:
    ledger = night()
    ledger.evaluate("03:00")
    stops(ledger, "03:01")
    ledger.evaluate("03:02")
    ledger.evaluate("03:11")
    works(ledger)
    ledger.evaluate("03:12")
    assert ("hosts/oporto started nothing", False) == (ledger.incident().title, ledger.incident().closed)
    ledger.evaluate("03:16")
    assert (1, DUE.id) == (ledger.incident().incident_id, ledger.incident().root_job_id)


def test_a_start_that_is_missed_after_it_works_again_has_a_cause_of_its_own() -> None:
    ledger = stopped_from_0301_to_0340()
    own = job(4, "hosts/oporto:clean", "04:30", expected=minutes(5))
    ledger.estate = replace(ledger.estate, jobs={**ledger.estate.jobs, own.id: own})
    ledger.evaluate("04:31")
    ledger.evaluate("04:36")
    by_job = {incident.root_job_id: incident for incident in ledger.decisions.incidents}
    assert 1 == by_job[DUE.id].incident_id
    assert "nothing in the log by 04:35 UTC" == by_job[own.id].reason


def test_a_service_whose_job_failed_before_is_not_claimed() -> None:
    """Its mail said "Restore hosts/oporto, saves Stock": cron does not start a failed daily job again today."""
    ledger = night()
    ledger.evaluate("03:00")
    ledger.run(DUE, "03:10", RunState.FAILED, exit_code=1, **ended("03:10", 2))
    ledger.evaluate("03:13")
    stops(ledger, "03:14")
    ledger.evaluate("03:15")
    affected = {incident.root_target_id: [day.service for day in incident.services]
                for incident in ledger.decisions.incidents}  # fmt: skip
    assert {None: ["stock"], 1: ["report"]} == affected


def test_a_failed_run_of_a_job_that_then_misses_a_start_keeps_its_incident() -> None:
    often = job(1, "hosts/oporto:often", Schedule("debian-cron", "*/20 * * * *", "UTC"), accepted_at=at("02:50"))
    known = [target(1, "hosts", "oporto")]
    ledger = Ledger(estate(often, targets=known, services=[service("stock", "06:10", often)]))
    ledger.run(often, "03:00", RunState.FAILED, exit_code=1, **ended("03:00", 1))
    ledger.evaluate("03:02")
    stops(ledger, "03:05")
    ledger.evaluate("03:06")
    ledger.evaluate("03:30")
    members = {incident.root_target_id: [(member.role, member.period_key[11:16]) for member in incident.members
                                         if member.role in ("root", "red")]
               for incident in ledger.decisions.incidents}  # fmt: skip
    assert {None: [("root", "03:00")], 1: [("red", "03:20")]} == members
