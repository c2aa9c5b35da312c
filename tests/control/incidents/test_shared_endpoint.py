"""Targets of several systems at one endpoint that is down are one incident."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.snapshot.incremental import part_with
from console.domain.alert import AlertKind, SilenceFacts
from console.domain.calendar import MaintenanceWindow
from console.domain.decision import Decisions, ReopenedIncident
from console.domain.estate import TargetFacts
from console.domain.settings import NOTHING_DECLARED, Declared
from console.domain.switches import Modes, switch_name
from tests.control.ledger import Ledger, ended
from tests.factories import at, estate, feeds, job, minutes, service, target
from tests.reasons import close_text, evidence_of, number_of, title_of, why_of, zoned
from tests.rows import each_row

ARRIVAL = job(1, "deliveries/db07:stock.csv", "03:10", expected=minutes(5), kind="files")
CRON = job(2, "cron-db07/db07:load", "03:20", expected=minutes(5), target_id=2)
FAR = job(3, "etl/etl02:far", "05:00", expected=minutes(5), target_id=3)
FILES, CRONTAB = (
    target(1, "deliveries", "db07", endpoint="db07:22"),
    target(2, "cron-db07", "db07", endpoint="db07:22"),
)
ETL = target(3, "etl", "etl02", endpoint="etl02:22")
NO_ROUTE = "db07 (headway@db07:22): No route to host"


def night(*targets: TargetFacts, declared: Declared = NOTHING_DECLARED) -> Ledger:
    services = [service("stock", "06:30", ARRIVAL), service("load", "07:30", CRON), service("far", "07:30", FAR)]
    known = [*targets] or [FILES, CRONTAB, ETL]
    return Ledger(estate(ARRIVAL, CRON, FAR, targets=known, services=services, declared=declared))


def silent(ledger: Ledger, number: int, since: str, error_kind: str = "unreachable") -> None:
    instant = at(since)
    ledger.target(
        number, failing_since=instant, last_ok_at=instant, seen_until=instant, error=NO_ROUTE, error_kind=error_kind
    )


def answers(ledger: Ledger, number: int) -> None:
    ledger.target(number, failing_since=None, error="", error_kind="")


def notified(decisions: Decisions) -> list[AlertKind]:
    return [notice.kind for incident in decisions.incidents for notice in incident.notices]


def both_down() -> Ledger:
    ledger = night()
    ledger.evaluate("03:00")
    silent(ledger, 1, "03:01")
    silent(ledger, 2, "03:01:12")
    ledger.evaluate("03:01:50")
    return ledger


def test_two_kinds_of_targets_on_a_host_that_is_down_are_one_incident_with_one_notification() -> None:
    ledger = both_down()
    incident = ledger.incident()
    assert ("deliveries/db07 does not answer", 1) == (title_of(incident), incident.cause.target_id)
    assert f"also unreachable: cron-db07/db07; {NO_ROUTE}" == evidence_of(incident)
    assert {"stock", "load"} == {affected.service for affected in incident.services}
    assert [AlertKind.OPENED] == notified(ledger.decisions)
    ledger.evaluate("03:30")
    assert [("threatened", 1), ("threatened", 2)] == [(known.role, known.job_id) for known in ledger.incident().members]
    assert [] == notified(ledger.decisions)


def test_a_target_that_becomes_unreachable_later_joins_the_open_incident_at_once() -> None:
    ledger = night()
    ledger.evaluate("03:00")
    silent(ledger, 1, "03:01")
    ledger.evaluate("03:02")
    silent(ledger, 2, "03:09:50")
    decisions = ledger.evaluate("03:10")
    incident = ledger.incident()
    assert (1, "also unreachable: cron-db07/db07") == (number_of(incident), zoned(incident.event).partition("; ")[2])
    assert zoned(incident.event).startswith("also affects load")
    assert [AlertKind.UPDATED] == notified(decisions)


def test_long_names_of_further_targets_are_one_event() -> None:
    names = [f"{number}{'x' * 79}" for number in (2, 3, 4)]
    further = [target(number, "hosts", name, endpoint="db07:22") for number, name in enumerate(names, 2)]
    jobs = [job(number, f"hosts/load_{number}", "05:00", target_id=number) for number in (2, 3, 4)]
    services = [service(f"of_{known.id}", "07:00", known) for known in jobs]
    ledger = Ledger(estate(ARRIVAL, *jobs, targets=[FILES, *further], services=services))
    ledger.evaluate("03:00")
    silent(ledger, 1, "03:01")
    ledger.evaluate("03:02")
    for number in (2, 3, 4):
        silent(ledger, number, "03:02:10")
    ledger.evaluate("03:03")
    assert f"also unreachable: hosts/{names[0]}" in zoned(ledger.incident().event)
    ledger.evaluate("03:04")
    assert "" == zoned(ledger.incident().event)


def test_it_stays_open_for_the_target_that_is_still_unreachable() -> None:
    ledger = both_down()
    answers(ledger, 1)
    decisions = ledger.evaluate("03:05")
    incident = ledger.incident()
    assert (1, 2, False) == (number_of(incident), incident.cause.target_id, incident.closed)
    assert ("cron-db07/db07 does not answer", NO_ROUTE) == (title_of(incident), evidence_of(incident))
    assert ("cause is now: cron-db07/db07 does not answer", []) == (zoned(incident.event), notified(decisions))
    silent(ledger, 1, "03:06")
    ledger.evaluate("03:06:10")
    assert (1, f"also unreachable: deliveries/db07; {NO_ROUTE}") == (
        number_of(ledger.incident()),
        evidence_of(ledger.incident()),
    )
    answers(ledger, 1)
    answers(ledger, 2)
    decisions = ledger.evaluate("03:08")
    assert (True, "it works again") == (ledger.incident().closed, close_text(ledger.incident()))
    assert [AlertKind.RECOVERED] == notified(decisions)


def test_it_stays_open_for_a_target_that_has_only_begun_to_fail() -> None:
    ledger = night()
    ledger.evaluate("03:00")
    silent(ledger, 1, "03:01")
    ledger.evaluate("03:02")
    answers(ledger, 1)
    silent(ledger, 2, "03:04:50")
    ledger.evaluate("03:05")
    assert (1, 2, False) == (
        number_of(ledger.incident()), ledger.incident().cause.target_id, ledger.incident().closed)  # fmt: skip


@each_row(
    "targets, kinds",
    [
        ((FILES, replace(CRONTAB, endpoint="db07:2222"), ETL), ("unreachable", "unreachable")),
        ((replace(FILES, endpoint=""), replace(CRONTAB, endpoint=""), ETL), ("unreachable", "unreachable")),
        ((FILES, CRONTAB, ETL), ("unreachable", "refused")),
        ((FILES, CRONTAB, ETL), ("refused", "refused")),
    ],
)
def test_targets_with_other_endpoints_or_that_answer_are_incidents_of_their_own(
    targets: tuple[TargetFacts, ...], kinds: tuple[str, str]
) -> None:
    ledger = night(*targets)
    ledger.evaluate("03:00")
    for number, kind in enumerate(kinds, 1):
        silent(ledger, number, "03:01", kind)
    incidents = ledger.evaluate("03:10").incidents
    assert {(1, False), (2, False)} == {(incident.cause.target_id, incident.closed) for incident in incidents}


def test_two_open_incidents_of_one_endpoint_become_the_older() -> None:
    ledger = night(replace(FILES, endpoint=""), replace(CRONTAB, endpoint=""), ETL)
    ledger.evaluate("03:00")
    silent(ledger, 1, "03:01")
    ledger.evaluate("03:02")
    silent(ledger, 2, "03:03")
    assert 2 == len(ledger.evaluate("03:10").incidents)
    for number in (1, 2):
        ledger.target(number, endpoint="db07:22")
    ledger.evaluate("03:11")
    assert (1, [2]) == (number_of(ledger.incident()), [*ledger.incident().merges])


def test_a_start_missed_on_either_target_names_the_outage() -> None:
    ledger = both_down()
    ledger.evaluate("03:30")
    for number in (1, 2):
        answers(ledger, number)
    ledger.evaluate("03:31")
    reason = why_of(ledger.state(CRON, "03:20"))
    assert "no start in the log by 03:25 UTC; deliveries/db07 was out of reach since 03:01 UTC" == reason


def test_a_part_with_one_of_the_targets_knows_the_closed_outage_of_the_other() -> None:
    ledger = night()
    ledger.evaluate("03:00")
    silent(ledger, 1, "03:21")
    silent(ledger, 2, "03:21:05")
    ledger.evaluate("03:22")
    answers(ledger, 1)
    answers(ledger, 2)
    ledger.evaluate("03:23")
    assert [1] == [incident.cause.target_id for incident in ledger.estate.closed]
    ledger.target(2, last_ok_at=at("03:25:10"), seen_until=at("03:25:10"))
    part = part_with(ledger.estate, [CRON.id])
    assert {CRON.id} == part.jobs.keys()
    whole, alone = (evaluate(known, at("03:25:10")).expected for known in (ledger.estate, part))
    [missed] = [due for due in whole if due.job_id == CRON.id]
    assert (missed,) == alone
    assert "no start in the log by 03:25 UTC; deliveries/db07 was out of reach since 03:21 UTC" == why_of(missed)


@each_row("kind", ["unreachable", "refused"])
@each_row("is_over", [False, True])
def test_a_start_missed_on_a_target_that_answered_is_its_own_error(kind: str, is_over: bool) -> None:
    ledger = night()
    ledger.run(CRON, "02:20", RunState.FAILED, **ended("02:20", 1), exit_code=3)
    ledger.evaluate("03:00")
    silent(ledger, 1, "03:01", kind)
    ledger.evaluate("03:22")
    if is_over:
        answers(ledger, 1)
    ledger.evaluate("03:26")
    assert "no start in the log by 03:25 UTC" == why_of(ledger.state(CRON, "03:20"))
    failed = next(incident for incident in ledger.decisions.incidents if incident.cause.job_id == CRON.id)
    assert [CRON.name] == [error.job for notice in failed.notices for error in notice.content.errors]


def test_a_start_missed_on_a_target_that_was_silent_too_is_no_other_error() -> None:
    ledger = night()
    ledger.run(CRON, "02:20", RunState.FAILED, **ended("02:20", 1), exit_code=3)
    ledger.evaluate("03:00")
    for number in (1, 2):
        silent(ledger, number, "03:18")
    ledger.evaluate("03:22")
    for number in (1, 2):
        answers(ledger, number)
    for clock in ("03:23", "03:26", "03:27"):
        ledger.evaluate(clock)
        failed = next(incident for incident in ledger.decisions.incidents if incident.cause.job_id == CRON.id)
        assert "another error" not in zoned(failed.event)
    assert why_of(ledger.state(CRON, "03:20")).endswith("deliveries/db07 was out of reach since 03:18 UTC")


@pytest.mark.parametrize("answering", [(), (1,), (1, 2)])
def test_a_part_knows_the_root_target_that_has_no_jobs_any_more(answering: tuple[int, ...]) -> None:
    ledger = both_down()
    services = tuple(known for known in ledger.estate.services if known.name != "stock")
    runs = tuple(run for run in ledger.estate.runs if run.job_id != ARRIVAL.id)
    ledger.estate = replace(ledger.estate, jobs={CRON.id: CRON, FAR.id: FAR}, services=services, runs=runs)
    for number in answering:
        answers(ledger, number)
    part = part_with(ledger.estate, [CRON.id])
    assert {CRON.id} == part.jobs.keys()
    whole, alone = (evaluate(known, at("03:05")).incidents for known in (ledger.estate, part))
    assert whole == alone
    assert {2 in answering} == {incident.closed for incident in whole}


def test_a_part_knows_the_targets_without_jobs_at_its_endpoints() -> None:
    ledger = night(FILES, CRONTAB, ETL, target(4, "dbt-db07", "db07", endpoint="db07:22"))
    ledger.evaluate("03:00")
    silent(ledger, 4, "03:01")
    silent(ledger, 2, "03:04:50")
    whole, alone = (
        evaluate(known, at("03:05")).incidents for known in (ledger.estate, part_with(ledger.estate, [CRON.id]))
    )
    assert whole == alone
    assert [2] == [incident.cause.target_id for incident in whole]


def test_what_fails_on_either_target_while_it_is_unreachable_belongs_to_the_incident() -> None:
    """A run of the second target that failed before that stopped answering has a cause of its own."""
    often = replace(CRON, id=4, native_id="db07:often", schedule=Schedule("debian-cron", "*/2 * * * *"))
    load = job(5, "warehouse/load", "03:30", expected=minutes(5), target_id=4, kind="airflow")
    ledger = Ledger(
        estate(ARRIVAL, CRON, often, load, feeds=feeds(CRON, load),
               targets=[FILES, CRONTAB, target(4, "warehouse", "warehouse")])
    )  # fmt: skip
    ledger.evaluate("03:00")
    silent(ledger, 1, "03:01")
    ledger.evaluate("03:02")
    ledger.run(often, "03:02", RunState.FAILED, **ended("03:02", 1), exit_code=3)
    silent(ledger, 2, "03:20")
    ledger.run(load, "03:30", RunState.FAILED, **ended("03:30", 1), message="no input")
    ledger.evaluate("03:32")
    by_root = {
        (incident.cause.target_id, incident.cause.job_id): {known.job_id: known.role for known in incident.members}
        for incident in ledger.decisions.incidents
    }
    assert {(1, None), (None, often.id)} == by_root.keys()
    assert "red" == by_root[1, None][load.id]


def test_maintenance_of_one_of_the_targets_does_not_suppress_the_outage_of_the_other() -> None:
    window = MaintenanceWindow("new disk", systems=("deliveries",), since=at("02:00"), until=at("09:00"))
    ledger = night(declared=Declared(maintenance=(window,)))
    ledger.evaluate("03:00")
    silent(ledger, 1, "03:01")
    silent(ledger, 2, "03:01:12")
    assert [AlertKind.OPENED] == notified(ledger.evaluate("03:02"))


def silenced(ledger: Ledger, *patterns: str) -> None:
    silences = tuple(
        SilenceFacts(number, (("system", pattern),), at("03:00"), at("08:00") + minutes(number), "ann")
        for number, pattern in enumerate(patterns, 1)
    )
    ledger.estate = replace(ledger.estate, notifications=replace(ledger.estate.notifications, silences=silences))


def test_a_silence_of_one_system_does_not_suppress_the_outage_of_the_other() -> None:
    ledger = night()
    silenced(ledger, "deliveries")
    ledger.evaluate("03:00")
    silent(ledger, 1, "03:01")
    assert [] == notified(ledger.evaluate("03:02"))
    silent(ledger, 2, "03:02:50")
    assert [AlertKind.OPENED] == notified(ledger.evaluate("03:03"))


@pytest.mark.parametrize("patterns", [("cron-db07", "deliveries"), ("*",), ("etl", "*", "deliveries")])
def test_silences_of_each_system_suppress_the_outage_of_both(patterns: tuple[str, ...]) -> None:
    ledger = night()
    silenced(ledger, *patterns)
    ledger.evaluate("03:00")
    silent(ledger, 1, "03:01")
    silent(ledger, 2, "03:01:12")
    assert [] == notified(ledger.evaluate("03:02"))
    suppressed = {(known.stage, known.until) for known in ledger.incident().suppressions.notices}
    number = 1 + patterns.index("*") if "*" in patterns else 1
    assert {("silence", at("08:00") + minutes(number))} == suppressed


def test_an_endpoint_that_is_down_again_reopens_its_incident() -> None:
    ledger = both_down()
    for number in (1, 2):
        answers(ledger, number)
    ledger.evaluate("03:05")
    silent(ledger, 2, "03:06")
    ledger.evaluate("03:08")
    incident = ledger.incident()
    assert isinstance(incident.incident, ReopenedIncident)
    assert (1, 2) == (number_of(incident), incident.cause.target_id)


def test_the_outage_is_live_if_one_of_its_systems_is() -> None:
    for live, kinds in (("deliveries", [AlertKind.OPENED]), ("cron-db07", [AlertKind.OPENED]), ("etl", [])):
        ledger = night()
        ledger.estate = replace(
            ledger.estate, modes=Modes(estate_live=False, scoped={switch_name("system", live): True}), services=()
        )
        ledger.evaluate("03:00")
        silent(ledger, 1, "03:01")
        silent(ledger, 2, "03:01:12")
        ledger.evaluate("03:11")
        assert kinds == notified(ledger.decisions), live
