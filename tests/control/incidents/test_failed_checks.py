"""A service whose jobs are done and whose data are not: it is not delivered, and the check is the root cause."""

from __future__ import annotations

from dataclasses import replace

from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.snapshot.incremental import changed_jobs, part_with
from console.domain.alert import AlertKind
from console.domain.check import Check, CheckCriteria, CheckHistory, CheckState, ResultSpan
from console.domain.service import Timeliness
from console.domain.settings import Declared
from tests.control.ledger import Ledger
from tests.factories import NIGHT, at, estate, job, service
from tests.messages import written
from tests.reasons import close_text, evidence_of, reason_of, title_of

PUBLISH = job(1, "etl-hosts/db07:publish", "03:10")
OTHER = job(2, "etl-hosts/db07:other", "03:10")
ROWS = Check("supply-rows", "sql", "table supply.rows", CheckCriteria(rows_min=100))


def night(**more: object) -> Ledger:
    """A service with a check whose job was done at 03:20."""
    plan = service("supply-plan", "06:30", PUBLISH, ready=("supply-rows",), **more)
    ledger = Ledger(replace(estate(PUBLISH, services=[plan]), declared=Declared(checks=(ROWS,))))
    ledger.run(PUBLISH, "03:10", RunState.SUCCEEDED, started_at=at("03:10"), ended_at=at("03:20"), attempt=1)
    return ledger


def check_ran(ledger: Ledger, *stretches: ResultSpan) -> None:
    facts = CheckHistory("supply-rows", NIGHT, stretches)
    ledger.estate = replace(ledger.estate, checks={("supply-rows", NIGHT): facts})


def failed(since: str, until: str) -> ResultSpan:
    return ResultSpan(CheckState.FAILED, at(since), at(until), "12 rows, fewer than 100")


def passed(since: str, until: str) -> ResultSpan:
    return ResultSpan(CheckState.PASSED, at(since), at(until), "120 rows")


def test_a_service_whose_jobs_are_done_waits_for_the_check() -> None:
    ledger = night()
    ledger.evaluate("03:21")
    day = ledger.day("supply-plan")
    assert (day.timeliness, day.delivered_at, day.awaits) == (Timeliness.ON_TIME, None, ("supply-rows",))
    assert reason_of(day) == "its jobs are done; check supply-rows: not run since its jobs were done"
    assert (None, None) == (day.expected_at, day.late_at)
    assert () == ledger.decisions.incidents


def test_before_its_jobs_are_done_nothing_is_checked() -> None:
    ledger = night()
    ledger.run(PUBLISH, "03:10", RunState.RUNNING, ended_at=None, successes=())
    ledger.evaluate("03:12")
    assert () == ledger.day("supply-plan").awaits


def test_a_check_that_passes_delivers_it() -> None:
    ledger = night()
    check_ran(ledger, passed("03:22", "03:22"))
    ledger.evaluate("03:23")
    day = ledger.day("supply-plan")
    assert (day.timeliness, day.delivered_at, day.awaits) == (Timeliness.MET, at("03:22"), ())
    assert day.data_state == "complete"


def test_a_failing_check_is_a_root_cause_and_is_notified_once() -> None:
    ledger = night()
    ledger.evaluate("03:21")
    check_ran(ledger, failed("03:22", "03:22"))
    ledger.evaluate("03:23")
    incident, day = ledger.incident(), ledger.day("supply-plan")
    assert "check supply-rows: 12 rows, fewer than 100" == title_of(incident) == evidence_of(incident)
    assert (incident.cause.kind, incident.cause.subject, incident.failed_since) == ("check", "supply-rows", at("03:22"))
    assert [("supply-plan", Timeliness.AT_RISK)] == [
        (service.service, service.timeliness) for service in incident.services
    ]
    [notice] = incident.notices
    assert (AlertKind.OPENED, True) == (notice.kind, "\nWhere          table supply.rows\n" in written(notice).body)
    assert "12 rows" not in written(notice).plain_title + written(notice).plain_body
    assert (day.timeliness, day.cause, day.data_state) == (Timeliness.AT_RISK, "check supply-rows", "failed")
    check_ran(ledger, failed("03:22", "03:27")._replace(text="13 rows, fewer than 100"))
    ledger.evaluate("03:28")
    assert () == ledger.incident().notices


def test_a_check_that_cannot_be_measured_delays_the_service_too() -> None:
    ledger = night()
    check_ran(ledger, failed("03:22", "03:22")._replace(state=CheckState.ERROR, text="dwh: no answer within 30 s"))
    ledger.evaluate("03:23")
    assert "check supply-rows: not measured: dwh: no answer within 30 s" == title_of(ledger.incident())


def test_past_the_deadline_it_is_breached_with_the_check_as_its_reason() -> None:
    ledger = night()
    check_ran(ledger, failed("03:22", "06:28"))
    ledger.evaluate("06:29")
    check_ran(ledger, failed("03:22", "06:31"))
    ledger.evaluate("06:32")
    day = ledger.day("supply-plan")
    assert day.timeliness is Timeliness.BREACHED
    assert reason_of(day) == "not delivered by 06:30 UTC; check supply-rows: 12 rows, fewer than 100"


def test_a_check_that_never_ran_is_the_cause_once_the_deadline_is_over() -> None:
    ledger = night()
    ledger.evaluate("06:29")
    assert () == ledger.decisions.incidents
    ledger.evaluate("06:31")
    incident, day = ledger.incident(), ledger.day("supply-plan")
    assert "check supply-rows: not run since its jobs were done" == title_of(incident)
    assert [AlertKind.OPENED] == [notice.kind for notice in incident.notices]
    assert (Timeliness.BREACHED, "check supply-rows") == (day.timeliness, day.cause)
    check_ran(ledger, passed("06:40", "06:40"))
    ledger.evaluate("06:41")
    assert "the check passes: 120 rows" == close_text(ledger.incident())


def test_an_incident_of_a_check_is_over_when_it_passes() -> None:
    ledger = night()
    check_ran(ledger, failed("03:22", "03:22"))
    ledger.evaluate("03:23")
    check_ran(ledger, failed("03:22", "03:52"), passed("03:57", "03:57"))
    ledger.evaluate("03:58")
    incident, day = ledger.incident(), ledger.day("supply-plan")
    assert (incident.closed, close_text(incident)) == (True, "the check passes: 120 rows")
    [notice] = incident.notices
    assert (AlertKind.RECOVERED, True) == (
        notice.kind,
        "\n  | the check passes: 120 rows\n" in f"\n{written(notice).body}",
    )
    assert "120 rows" not in written(notice).plain_title + written(notice).plain_body
    assert (day.timeliness, day.delivered_at) == (Timeliness.MET, at("03:57"))


def test_an_incident_of_a_check_is_over_when_no_service_waits_for_it() -> None:
    ledger = night()
    check_ran(ledger, failed("03:22", "03:22"))
    ledger.evaluate("03:23")
    ledger.estate = replace(ledger.estate, services=(replace(ledger.estate.services[0], ready=()),))
    ledger.evaluate("03:24")
    incident = ledger.incident()
    assert (incident.closed, close_text(incident)) == (True, "no service waits for it")
    [notice] = incident.notices
    assert "Closed: check supply-rows, no service waits for it [{incident}]" == written(notice).title
    assert "Closed: check supply-rows [{incident}]" == written(notice).plain_title


def test_one_check_that_delays_two_services_is_one_incident() -> None:
    ledger = night()
    second = service("report", "07:00", OTHER, ready=("supply-rows",))
    ledger.estate = replace(
        ledger.estate, jobs={**ledger.estate.jobs, 2: OTHER}, services=(*ledger.estate.services, second)
    )
    ledger.run(OTHER, "03:10", RunState.SUCCEEDED, started_at=at("03:10"), ended_at=at("03:30"), attempt=1)
    check_ran(ledger, failed("03:22", "03:32"))
    ledger.evaluate("03:33")
    assert ["supply-plan", "report"] == [service.service for service in ledger.incident().services]
    assert {1, 2} == part_with(ledger.estate, {1}).jobs.keys()


def test_a_new_result_affects_the_services_that_wait_for_it_and_nothing_else() -> None:
    ledger = night()
    aside = job(3, "etl-hosts/db07:aside", "03:10", target_id=2)
    ledger.estate = replace(ledger.estate, jobs={**ledger.estate.jobs, 3: aside})
    before = ledger.estate
    check_ran(ledger, failed("03:22", "03:22"))
    assert {1} == changed_jobs(before, ledger.estate)
    part = part_with(ledger.estate, {1})
    assert {1} == part.jobs.keys()
    now = at("03:23")
    assert evaluate(part, now).incidents == evaluate(ledger.estate, now).incidents
