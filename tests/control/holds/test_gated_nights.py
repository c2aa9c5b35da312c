"""Nights with gates, conditions and partial data, from the first look to the repair."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.control.incidents.impact import reruns_after
from console.control.recovery.proposal import propose_recovery
from console.domain.dependency import UpstreamCondition, UpstreamPeriod
from console.domain.estate import DependencyFacts
from console.domain.service import Timeliness
from tests.control.ledger import Ledger, ended
from tests.factories import at, estate, feeds, gate, job, minutes, service, target, wanting
from tests.reasons import reason_of

EU = job(1, "feeds/eu", "03:00", expected=minutes(10))
US = job(2, "feeds/us", "03:10", expected=minutes(10))
RATES = job(3, "dwh/rates", "04:00", expected=minutes(20))
REPORT = job(4, "dwh/report", "05:00", expected=minutes(20))
DAILY = service("daily", "06:30", REPORT)
DONE, FAILED, PARTIAL = RunState.SUCCEEDED, RunState.FAILED, RunState.PARTIAL


def night(*deps: DependencyFacts) -> Ledger:
    feeding = [job for job in (EU, US) if job.id in {dependency.upstream_id for dependency in deps}]
    ledger = Ledger(estate(*feeding, RATES, REPORT, feeds=[*deps, *feeds(RATES, REPORT)], services=[DAILY]))
    ledger.evaluate("02:00")
    return ledger


def service_timeliness(of: Ledger) -> tuple[Timeliness, str]:
    day = of.day("daily")
    return day.timeliness, day.data_state


def test_one_failed_input_of_two_affects_nothing_while_the_other_succeeds() -> None:
    ledger = night(*gate(1, RATES, EU, US))
    ledger.run(EU, "03:00", FAILED, **ended("03:00", 2))
    ledger.evaluate("03:05")
    assert [("root", 1)] == [(member.role, member.job_id) for member in ledger.incident().members]
    assert ((), Timeliness.ON_TIME) == (ledger.incident().services, ledger.day("daily").timeliness)
    ledger.run(US, "03:10", DONE, **ended("03:10", 10))
    ledger.run(RATES, "04:00", DONE, **ended("04:00", 20))
    ledger.run(REPORT, "05:00", DONE, **ended("05:00", 20))
    ledger.evaluate("05:30")
    assert (Timeliness.MET, "complete") == service_timeliness(ledger)
    assert not ledger.state(RATES, "04:00").stale_read


def test_both_red_feeds_are_causes_and_the_service_is_at_risk_until_one_is_back() -> None:
    ledger = night(*gate(1, RATES, EU, US))
    ledger.run(EU, "03:00", FAILED, **ended("03:00", 2))
    ledger.run(US, "03:10", FAILED, **ended("03:10", 2))
    decisions = ledger.evaluate("03:20")
    assert [1, 2] == sorted(incident.cause.job_id or 0 for incident in decisions.incidents)
    assert Timeliness.AT_RISK == ledger.day("daily").timeliness
    ledger.run(US, "03:10", DONE, **ended("03:30", 10))
    ledger.evaluate("03:45")
    assert Timeliness.ON_TIME == ledger.day("daily").timeliness
    assert [1] == [incident.cause.job_id for incident in ledger.decisions.incidents if not incident.closed]


def test_what_waits_for_an_end_is_delivered_complete_below_a_red_one() -> None:
    ledger = night(*wanting(EU, RATES, condition=UpstreamCondition.COMPLETION))
    ledger.run(EU, "03:00", FAILED, **ended("03:00", 2))
    ledger.run(RATES, "04:00", DONE, **ended("04:00", 20))
    ledger.run(REPORT, "05:00", DONE, **ended("05:00", 20))
    ledger.evaluate("05:30")
    assert (Timeliness.MET, "complete") == service_timeliness(ledger)
    assert [("root", 1)] == [(member.role, member.job_id) for member in ledger.incident().members]


def test_what_runs_on_a_failure_is_no_victim_of_it() -> None:
    ledger = night(*wanting(EU, RATES, condition=UpstreamCondition.FAILURE))
    ledger.run(EU, "03:00", FAILED, **ended("03:00", 2))
    ledger.run(RATES, "04:00", DONE, **ended("04:00", 20))
    ledger.evaluate("04:30")
    assert not ledger.state(RATES, "04:00").stale_read
    assert () == ledger.incident().services


def test_partial_data_is_carried_down_and_the_service_is_delivered_partial_until_all_was_rerun() -> None:
    ledger = night(*feeds(EU, RATES))
    ledger.run(EU, "03:00", PARTIAL, **ended("03:00", 5))
    ledger.run(RATES, "04:00", DONE, **ended("04:00", 20))
    ledger.run(REPORT, "05:00", DONE, **ended("05:00", 20))
    ledger.evaluate("05:30")
    text = "read feeds/eu of 2026-11-19, which was partial"
    assert [text, text] == [ledger.state(RATES, "04:00").partial_input, ledger.state(REPORT, "05:00").partial_input]
    assert (Timeliness.MET, "partial") == service_timeliness(ledger)
    assert f"delivered 05:20 UTC, partial: {text}" == reason_of(ledger.day("daily"))
    ledger.run(EU, "03:00", DONE, **ended("05:40", 5))
    ledger.evaluate("05:50")
    assert "stale" == ledger.day("daily").data_state  # there is better data now, and it has not read that
    assert reason_of(ledger.day("daily")).startswith(
        "delivered 05:20 UTC, stale: it read what its upstream had not finished"
    )
    ledger.run(RATES, "04:00", DONE, **ended("05:50", 5))
    ledger.run(REPORT, "05:00", DONE, **ended("06:00", 5))
    ledger.evaluate("06:10")
    assert (Timeliness.MET, "complete") == service_timeliness(ledger)
    assert "" == ledger.state(REPORT, "05:00").partial_input


def test_what_was_delivered_stale_is_called_so_and_breaks_its_promise_unless_it_is_rerun() -> None:
    ledger = night(*feeds(EU, RATES))
    ledger.run(EU, "03:00", FAILED, **ended("03:00", 2))
    ledger.run(RATES, "04:00", DONE, **ended("04:00", 20))
    ledger.run(REPORT, "05:00", DONE, **ended("05:00", 20))
    ledger.evaluate("05:30")
    assert "stale" == ledger.day("daily").data_state
    assert reason_of(ledger.day("daily")).startswith("delivered 05:20 UTC, stale")
    [affected_service] = ledger.incident().services
    assert reason_of(affected_service).startswith(
        "delivered 05:20 UTC, stale: it read what its upstream had not finished"
    )
    ledger.evaluate("06:31")
    assert (Timeliness.BREACHED, "stale") == service_timeliness(ledger)
    assert "; not delivered with good data by 06:30 UTC" in reason_of(ledger.day("daily"))


@pytest.mark.parametrize("cause", ["hangs", "runs again", "has not started"])
def test_stale_data_stays_stale_while_the_host_of_its_cause_is_out_of_reach(cause: str) -> None:
    eu = replace(EU, grace=minutes(120)) if cause == "has not started" else EU
    rates = replace(RATES, target_id=2)
    hosts = [target(1, "feeds", "feeds"), target(2, "dwh", "dwh")]
    reported = Ledger(
        estate(eu, rates, feeds=feeds(eu, rates), services=[service("daily", "06:30", rates)], targets=hosts)
    )
    reported.evaluate("02:00")
    if cause == "hangs":
        reported.run(eu, "03:00", RunState.RUNNING, started_at=at("03:00"))
    if cause == "runs again":
        reported.run(eu, "03:00", FAILED, **ended("03:00", 2))
    reported.run(rates, "04:00", DONE, **ended("04:00", 20))
    reported.evaluate("04:30")
    if cause == "runs again":
        reported.run(eu, "03:00", RunState.RUNNING, started_at=at("04:31"))
        reported.evaluate("04:32")
    reported.target(1, failing_since=at("04:32"), error="timed out")
    reported.evaluate("05:30")
    assert "stale" == reported.day("daily").data_state
    reported.evaluate("06:31")
    assert (Timeliness.BREACHED, "stale") == service_timeliness(reported)
    assert reported.state(rates, "04:00").stale_read


def test_what_began_after_the_last_poll_of_a_running_upstream_is_not_called_stale() -> None:
    rates = replace(RATES, target_id=2)
    hosts = [target(1, "feeds", "feeds"), target(2, "dwh", "dwh")]
    reported = Ledger(
        estate(EU, rates, feeds=feeds(EU, rates), services=[service("daily", "06:30", rates)], targets=hosts)
    )
    reported.evaluate("02:00")
    reported.run(EU, "03:00", RunState.RUNNING, started_at=at("03:00"))
    reported.evaluate("03:05")
    reported.target(1, failing_since=at("03:06"), error="timed out")
    reported.run(rates, "04:00", DONE, **ended("04:00", 20))
    reported.evaluate("04:30")
    assert not reported.state(rates, "04:00").stale_read


@pytest.mark.parametrize("last_seen, data_state", [(FAILED, "stale"), (DONE, "unknown")])
def test_a_host_out_of_reach_makes_no_data_complete(last_seen: RunState, data_state: str) -> None:
    eu = replace(EU, schedule=Schedule("debian-cron", "0,10 3 * * *"))
    rates = replace(RATES, target_id=2)
    hosts = [target(1, "feeds", "feeds"), target(2, "dwh", "dwh")]
    night = estate(eu, rates, feeds=feeds(eu, rates), services=[service("daily", "06:30", rates)], targets=hosts)
    ledger = Ledger(night)
    ledger.evaluate("02:00")
    ledger.run(eu, "03:00", last_seen, **ended("03:00", 2))
    ledger.evaluate("03:03")
    ledger.target(1, failing_since=at("03:04"), error="timed out")
    ledger.run(rates, "04:00", DONE, **ended("04:00", 20))
    ledger.evaluate("06:31")
    timeliness = Timeliness.BREACHED if last_seen is FAILED else Timeliness.MET
    assert (timeliness, data_state) == service_timeliness(ledger)
    if last_seen is FAILED:
        assert 1 == sum(incident.cause.job_id == eu.id for incident in ledger.decisions.incidents)
    ledger.target(1, failing_since=None, error="")
    ledger.run(eu, "03:10", DONE, **ended("03:10", 2))
    ledger.evaluate("06:40")
    assert (Timeliness.MET, "complete") == service_timeliness(ledger)


def test_an_intraday_loop_is_one_incident_and_what_came_after_is_stale() -> None:
    load = job(5, "dwh/load", Schedule("debian-cron", "0 4-6 * * *"), expected=minutes(10))
    publish = job(6, "dwh/publish", Schedule("debian-cron", "20 4-6 * * *"), expected=minutes(10))
    deps = [*feeds(load, publish), *wanting(publish, load, period=UpstreamPeriod.PREVIOUS)]
    ledger = Ledger(estate(load, publish, feeds=deps))
    ledger.evaluate("03:00")
    ledger.run(load, "04:00", DONE, **ended("04:00", 10))
    ledger.run(publish, "04:20", FAILED, **ended("04:20", 5))
    ledger.run(load, "05:00", DONE, **ended("05:00", 10))
    ledger.evaluate("05:15")
    assert () == ledger.decisions.cycles
    assert [("root", 6, "2026-11-20T04:20:00Z"), ("stale", 5, "2026-11-20T05:00:00Z")] == [
        (member.role, member.job_id, member.period_key)
        for member in ledger.incident().members
        if member.role != "threatened"
    ]
    [open_now] = ledger.estate.incidents
    assert [5] == [run.job_id for run in reruns_after(ledger.estate, open_now, at("05:15"))]


def test_a_red_run_of_the_date_before_is_the_cause_of_what_read_it() -> None:
    ledger = Ledger(estate(EU, RATES, feeds=wanting(EU, RATES, period=UpstreamPeriod.PREVIOUS)))
    early = at("03:00", day=-1)
    ledger.run_at(EU, early, FAILED, started_at=early, ended_at=early + minutes(2))
    ledger.run(RATES, "04:00", DONE, **ended("04:00", 20))
    ledger.run(EU, "03:00", RunState.RUNNING, started_at=at("04:40"))
    ledger.evaluate("05:00")
    assert ledger.state(RATES, "04:00").stale_read
    members = {(member.role, member.job_id) for incident in ledger.decisions.incidents for member in incident.members}
    assert {("root", 1), ("stale", 3)} <= members


def test_a_plan_repairs_an_intraday_loop_in_the_order_of_its_periods() -> None:
    load = job(5, "dwh/load", Schedule("debian-cron", "0 4-6 * * *"), expected=minutes(10))
    publish = job(6, "dwh/publish", Schedule("debian-cron", "20 4-6 * * *"), expected=minutes(10))
    ledger = Ledger(
        estate(load, publish, feeds=[*feeds(load, publish), *wanting(publish, load, period=UpstreamPeriod.PREVIOUS)])
    )
    ledger.evaluate("03:00")
    for hour in (4, 5):
        ledger.run(load, f"0{hour}:00", FAILED if hour == 4 else DONE, **ended(f"0{hour}:00", 10))
        ledger.run(publish, f"0{hour}:20", DONE, **ended(f"0{hour}:20", 10))
    ledger.evaluate("05:50")
    [open_now] = ledger.estate.incidents
    plan = propose_recovery(ledger.estate, open_now.id, at("05:50"), lambda job, needed: True, everything=True)
    assert plan is not None
    assert [("dwh/load", "04:00", ()), ("dwh/publish", "04:20", (1,)), ("dwh/load", "05:00", (2,)),
            ("dwh/publish", "05:20", (3,))] == [
        (step.job, step.period.key[11:16], step.after) for step in plan.steps]  # fmt: skip
