"""A target whose scheduler starts nothing is one incident; the starts missed there are its symptoms."""

from __future__ import annotations

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
