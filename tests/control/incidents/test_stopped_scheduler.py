"""A target whose scheduler starts nothing is one incident; the starts missed there are its symptoms."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import STOPPED, RunState
from console.domain.alert import AlertKind
from console.domain.calendar import MaintenanceWindow
from console.domain.decision import IncidentDecision
from console.domain.estate import JobFacts, ServiceFacts
from console.domain.incident_record import Withheld
from console.domain.reason import RepairNeeded
from console.domain.service import Timeliness
from console.domain.settings import Declared
from console.domain.text import Title
from tests.control.ledger import Ledger, ended
from tests.factories import at, estate, feeds, job, minutes, service, target
from tests.reasons import close_text, evidence_of, number_of, title_of, why_of, zoned

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
    ledger.evaluate("03:01")
    assert () == ledger.decisions.incidents
    ledger.evaluate("03:01:15")
    incident = ledger.incident()
    assert ("hosts/oporto starts nothing", REASON, 1) == (
        title_of(incident),
        evidence_of(incident),
        incident.cause.target_id,
    )
    assert ["stock", "report"] == [affected.service for affected in incident.services]
    assert at("03:10") == incident.act_by
    assert [AlertKind.OPENED] == kinds(ledger)


@pytest.mark.parametrize("every", [15, 30, 60])
def test_a_stop_is_notified_by_the_second_poll_that_reads_it_within_a_minute(every: int) -> None:
    """It waited for three intervals, as for a silent host: 185 s at one poll a minute."""
    ledger = night()
    ledger.target(1, poll_every=timedelta(seconds=every))
    ledger.evaluate("03:00")
    stops(ledger, "03:01")
    ledger.evaluate("03:01:05")
    assert () == ledger.decisions.incidents, "a single reading, by the pages of one poll"
    ledger.evaluate(f"{at('03:01') + timedelta(seconds=every):%H:%M:%S}")
    assert "hosts/oporto starts nothing" == title_of(ledger.incident())


def test_it_is_restored_before_the_restart_of_a_job_that_failed_on_it() -> None:
    """The first step was the restart before the last start of its downstream, which the same scheduler starts."""
    reads = feeds(DUE, LATER)
    ledger = Ledger(
        estate(
            DUE, LATER, targets=[target(1, "hosts", "oporto")], services=[service("stock", "04:10", LATER)], feeds=reads
        )
    )
    ledger.run(DUE, "03:10", RunState.FAILED, **ended("03:10", 1))
    ledger.evaluate("03:12")
    stops(ledger, "03:13")
    ledger.evaluate("03:13:15")
    assert ["hosts/oporto:extract failed", "hosts/oporto starts nothing"] == list(
        map(title_of, ledger.decisions.incidents)
    )
    [needed] = (reason for reason in ledger.day("stock").reasons if isinstance(reason, RepairNeeded))
    assert zoned(needed.text).startswith("restore hosts/oporto, then restart hosts/oporto:extract by ")


def test_a_stop_that_one_poll_reads_is_no_incident() -> None:
    ledger = night()
    ledger.evaluate("03:00")
    for stopped, working in (("03:01", "03:01:15"), ("03:01:30", "03:01:45"), ("03:02", "03:02:15")):
        stops(ledger, stopped)
        assert () == ledger.evaluate(stopped).incidents
        works(ledger)
        assert () == ledger.evaluate(working).incidents


def test_it_is_restored_before_the_last_start_in_time_as_it_makes_up_for_none() -> None:
    stock = job(1, "hosts/oporto:stock", Schedule("debian-cron", "*/10 * * * *", "UTC"), expected=minutes(1))
    known = [service("stock-cover", "04:00", stock)]
    ledger = Ledger(estate(stock, targets=[target(1, "hosts", "oporto")], services=known))
    ledger.run(stock, "03:20", RunState.SUCCEEDED, **ended("03:20", 1))
    ledger.run(stock, "03:30", RunState.SUCCEEDED, **ended("03:30", 1))
    ledger.evaluate("03:32")
    stops(ledger, "03:32")
    for now, act_by in (("03:34", "03:50"), ("03:49", "03:50"), ("03:51", "03:59")):
        ledger.evaluate(now)
        assert at(act_by) == ledger.incident().act_by, "after the last start, until a start by hand"
    [affected] = ledger.incident().services
    assert Timeliness.AT_RISK == affected.timeliness


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
    assert (True, "it works again") == (incident.closed, close_text(incident))
    assert "hosts/oporto started nothing" == title_of(incident)
    assert [AlertKind.RECOVERED] == kinds(ledger)


def test_a_start_due_between_the_last_good_poll_and_the_stop_is_its_symptom() -> None:
    """It was an incident of its job, which asked for a start by hand."""
    ledger = night()
    ledger.target(1, poll_every=timedelta(seconds=60))
    ledger.evaluate("03:09:30")
    stops(ledger, "03:10:30")
    for now in ("03:10:30", "03:11:30", "03:16"):
        ledger.evaluate(now)
    assert RunState.MISSED == ledger.state(DUE, "03:10").state
    assert ("hosts/oporto starts nothing", ("red", 1)) == (
        title_of(ledger.incident()),
        next((member.role, member.job_id) for member in ledger.incident().members),
    )


def test_a_start_missed_before_the_stop_is_not_blamed_on_it() -> None:
    """Its reason was "the scheduler was stopped since 03:12 UTC", which is after it was due."""
    ledger = night()
    ledger.evaluate("03:09:30")
    stops(ledger, "03:12")
    for now in ("03:12", "03:13", "03:16"):
        ledger.evaluate(now)
    assert "no start in the log by 03:15 UTC" == why_of(ledger.state(DUE, "03:10"))


def test_the_incident_of_the_scheduler_takes_over_that_of_a_job_whose_starts_it_misses() -> None:
    """Both were one, under the number and the beginning of the job's: "the scheduler was stopped since 03:04 UTC"."""
    ledger = Ledger(estate(TICK, targets=[target(1, "hosts", "oporto")]))
    ledger.run(TICK, "03:00", RunState.SUCCEEDED, **ended("03:00", 1))
    ledger.evaluate("03:02")
    ledger.evaluate("03:06:30")
    assert TICK.id == ledger.incident().cause.job_id
    stops(ledger, "03:07")
    ledger.evaluate("03:07:30")
    outage = next(incident for incident in ledger.estate.incidents if incident.cause.target_id == 1)
    ledger.evaluate("03:10:30")
    incident = ledger.incident()
    assert (outage.id, [1]) == (number_of(incident), [*incident.merges])
    assert ("hosts/oporto starts nothing", at("03:07")) == (title_of(incident), incident.failed_since)
    assert ["03:04", "03:08"] == [member.period_key[11:16] for member in incident.members if member.role == "red"]


def test_a_job_that_failed_before_keeps_an_incident_of_its_own() -> None:
    ledger = night()
    ledger.evaluate("03:00")
    ledger.run(DUE, "03:10", RunState.FAILED, exit_code=1, **ended("03:10", 2))
    ledger.evaluate("03:13")
    stops(ledger, "03:14")
    ledger.evaluate("03:15")
    titles = {title_of(incident) for incident in ledger.decisions.incidents}
    assert {"hosts/oporto:extract failed: exit 1", "hosts/oporto starts nothing"} == titles


TICK = job(5, "hosts/oporto:tick", Schedule("debian-cron", "*/4 * * * *"), expected=minutes(1), grace=minutes(2))


def restarted(tick: JobFacts = TICK, services: tuple[ServiceFacts, ...] = ()) -> Ledger:
    """The scheduler starts nothing from 03:01 to 03:14; the start of 03:12 is missed once it works again."""
    ledger = Ledger(estate(tick, targets=[target(1, "hosts", "oporto")], services=services))
    ledger.run(tick, "03:00", RunState.SUCCEEDED, **ended("03:00", 1))
    ledger.evaluate("03:00:50")
    stops(ledger, "03:01")
    ledger.evaluate("03:02")
    ledger.evaluate("03:13")
    works(ledger)
    ledger.evaluate("03:14")
    return ledger


def of_tick(ledger: Ledger) -> IncidentDecision:
    return next(incident for incident in ledger.decisions.incidents if incident.cause.job_id == TICK.id)


def stages(ledger: Ledger) -> list[str]:
    return [notice.stage for notice in of_tick(ledger).suppressions.notices]


def test_a_start_missed_by_a_stopped_scheduler_is_not_notified_if_its_job_starts_again_soon() -> None:
    ledger = restarted()
    assert ((), ["scheduler stopped"]) == (of_tick(ledger).notices, stages(ledger))
    [notice] = of_tick(ledger).suppressions.notices
    assert "the scheduler of hosts/oporto was stopped when a start was due; next start 03:16 UTC" == notice.why
    assert why_of(ledger.state(TICK, "03:12")).endswith("the scheduler of hosts/oporto was stopped since 03:01 UTC")
    ledger.run(TICK, "03:16", RunState.SUCCEEDED, **ended("03:16", 1))
    ledger.evaluate("03:17:30")
    assert (True, ()) == (of_tick(ledger).closed, of_tick(ledger).notices)


def test_a_stop_is_known_by_its_incident_however_that_is_titled() -> None:
    ledger = restarted()
    untitled = [replace(outage, title=Title(("the outage of oporto",))) for outage in ledger.estate.closed]
    ledger.estate = replace(ledger.estate, closed=tuple(untitled))
    ledger.evaluate("03:14:30")
    assert ["scheduler stopped"] == stages(ledger)


def test_a_stop_is_known_while_its_incident_waits_for_a_late_service() -> None:
    ledger = night()
    ledger.evaluate("03:00")
    stops(ledger, "03:01")
    for now in ("03:02", "04:12"):
        ledger.evaluate(now)
    works(ledger)
    ledger.run(DUE, "03:10", RunState.RUNNING, started_at=at("04:13"), first_started_at=at("04:13"))
    ledger.evaluate("04:14")
    [outage] = [incident for incident in ledger.decisions.incidents if incident.cause.target_id == 1]
    assert (False, True) == (outage.closed, outage.fingerprint.is_stop)


def test_a_stop_whose_host_no_longer_answers_in_a_maintenance_is_no_news_after_it() -> None:
    ledger = night()
    ledger.evaluate("03:00")
    stops(ledger, "03:01")
    ledger.evaluate("03:02")
    patches = MaintenanceWindow("patches", targets=("hosts/oporto",), since=at("03:02"), until=at("03:08"))
    ledger.estate = replace(ledger.estate, declared=Declared(maintenance=(patches,)))
    ledger.target(1, failing_since=at("03:01"), error="no route to host", error_kind="unreachable")
    ledger.evaluate("03:05")
    outage = ledger.incident().fingerprint
    assert (False, Withheld.NOTHING) == (outage.is_stop, outage.quiet)


def test_a_start_missed_after_the_scheduler_works_again_is_notified() -> None:
    """It is not blamed on the outage before."""
    ledger = restarted()
    ledger.evaluate("03:19")
    assert "no start in the log by 03:18 UTC" == why_of(ledger.state(TICK, "03:16"))
    assert ([AlertKind.OPENED], []) == ([notice.kind for notice in of_tick(ledger).notices], stages(ledger))


def test_a_second_stop_is_notified() -> None:
    ledger = restarted()
    stops(ledger, "03:14:30")
    ledger.evaluate("03:16")
    outage = next(incident for incident in ledger.decisions.incidents if incident.cause.target_id == 1)
    assert [AlertKind.UPDATED] == [notice.kind for notice in outage.notices]


def test_a_start_missed_by_a_stopped_scheduler_is_notified_if_it_affects_a_service_or_comes_once_a_day() -> None:
    ledger = restarted(services=(service("stock", "03:15", TICK),))
    assert [AlertKind.OPENED] == [notice.kind for notice in of_tick(ledger).notices]
    daily = restarted(job(5, "hosts/oporto:tick", "03:10", expected=minutes(1), grace=minutes(2)))
    assert [AlertKind.OPENED] == [notice.kind for notice in of_tick(daily).notices]


def test_a_start_missed_by_a_host_out_of_reach_is_notified() -> None:
    """Headway does not know what ran there."""
    ledger = Ledger(estate(TICK, targets=[target(1, "hosts", "oporto")]))
    ledger.run(TICK, "03:00", RunState.SUCCEEDED, **ended("03:00", 1))
    ledger.evaluate("03:00:50")
    ledger.target(1, failing_since=at("03:01"), error="no route to host", error_kind="unreachable")
    ledger.evaluate("03:13")
    works(ledger)
    ledger.evaluate("03:14")
    assert [AlertKind.OPENED] == [notice.kind for notice in of_tick(ledger).notices]


def test_a_job_whose_last_start_has_passed_keeps_the_act_by_of_its_start_by_hand() -> None:
    """`long` had to start at 03:10 by its schedule and has to by 03:30 by hand; `short` starts at 03:50."""
    long, short = (
        job(1, "hosts/oporto:long", "03:10", expected=minutes(60)),
        job(2, "hosts/oporto:short", "03:50", expected=minutes(5)),
    )
    promised = service("s", "04:30", long, short)
    ledger = Ledger(estate(long, short, targets=[target(1, "hosts", "oporto")], services=[promised]))
    ledger.evaluate("03:00")
    stops(ledger, "03:05")
    for now in ("03:16", "03:25"):
        ledger.evaluate(now)
        [incident] = ledger.decisions.incidents
        assert at("03:30") == incident.act_by


def test_no_start_that_it_missed_is_notified_while_the_next_one_comes_and_runs() -> None:
    tick = job(5, "hosts/oporto:tick", Schedule("debian-cron", "0 */2 * * *"), expected=minutes(20), grace=minutes(5))
    ledger = Ledger(estate(tick, targets=[target(1, "hosts", "oporto")]))
    ledger.run(tick, "02:00", RunState.SUCCEEDED, **ended("02:00", 20))
    ledger.evaluate("02:30")
    stops(ledger, "03:50")
    ledger.evaluate("03:53")
    ledger.evaluate("04:10")
    works(ledger)
    for now in ("05:10", "06:00:05"):
        ledger.evaluate(now)
        assert ((), ["scheduler stopped"]) == (of_tick(ledger).notices, stages(ledger)), now
    ledger.run(tick, "06:00", RunState.RUNNING, started_at=at("06:00"), first_started_at=at("06:00"))
    ledger.evaluate("06:00:30")
    assert ((), ["scheduler stopped"]) == (of_tick(ledger).notices, stages(ledger))
