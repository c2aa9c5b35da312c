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

EU = job(1, "feeds/eu", "03:00", expected=minutes(10))
US = job(2, "feeds/us", "03:10", expected=minutes(10))
RATES = job(3, "dwh/rates", "04:00", expected=minutes(20))
REPORT = job(4, "dwh/report", "05:00", expected=minutes(20))
DAILY = service("daily", "06:30", REPORT)
DONE, FAILED, PARTIAL = RunState.SUCCEEDED, RunState.FAILED, RunState.PARTIAL


def night(*deps: DependencyFacts) -> Ledger:
    feeding = [each for each in (EU, US) if each.id in {one.upstream_id for one in deps}]
    found = Ledger(estate(*feeding, RATES, REPORT, feeds=[*deps, *feeds(RATES, REPORT)], services=[DAILY]))
    found.look("02:00")
    return found


def stands(of: Ledger) -> tuple[Timeliness, str]:
    day = of.day("daily")
    return day.timeliness, day.data_state


def test_one_failed_input_of_two_affects_nothing_while_the_other_succeeds() -> None:
    told = night(*gate(1, RATES, EU, US))
    told.run(EU, "03:00", FAILED, **ended("03:00", 2))
    told.look("03:05")
    assert [("root", 1)] == [(each.role, each.job_id) for each in told.incident().members]
    assert ((), Timeliness.ON_TIME) == (told.incident().services, told.day("daily").timeliness)
    told.run(US, "03:10", DONE, **ended("03:10", 10))
    told.run(RATES, "04:00", DONE, **ended("04:00", 20))
    told.run(REPORT, "05:00", DONE, **ended("05:00", 20))
    told.look("05:30")
    assert (Timeliness.MET, "complete") == stands(told)
    assert not told.state(RATES, "04:00").stale_read


def test_both_red_feeds_are_causes_and_the_service_is_at_risk_until_one_is_back() -> None:
    told = night(*gate(1, RATES, EU, US))
    told.run(EU, "03:00", FAILED, **ended("03:00", 2))
    told.run(US, "03:10", FAILED, **ended("03:10", 2))
    found = told.look("03:20")
    assert [1, 2] == sorted(each.root_job_id or 0 for each in found.incidents)
    assert Timeliness.AT_RISK == told.day("daily").timeliness
    told.run(US, "03:10", DONE, **ended("03:30", 10))
    told.look("03:45")
    assert Timeliness.ON_TIME == told.day("daily").timeliness
    assert [1] == [each.root_job_id for each in told.decisions.incidents if not each.closed]


def test_what_waits_for_an_end_is_delivered_complete_below_a_red_one() -> None:
    told = night(*wanting(EU, RATES, condition=UpstreamCondition.COMPLETION))
    told.run(EU, "03:00", FAILED, **ended("03:00", 2))
    told.run(RATES, "04:00", DONE, **ended("04:00", 20))
    told.run(REPORT, "05:00", DONE, **ended("05:00", 20))
    told.look("05:30")
    assert (Timeliness.MET, "complete") == stands(told)
    assert [("root", 1)] == [(each.role, each.job_id) for each in told.incident().members]


def test_what_runs_on_a_failure_is_no_victim_of_it() -> None:
    told = night(*wanting(EU, RATES, condition=UpstreamCondition.FAILURE))
    told.run(EU, "03:00", FAILED, **ended("03:00", 2))
    told.run(RATES, "04:00", DONE, **ended("04:00", 20))
    told.look("04:30")
    assert not told.state(RATES, "04:00").stale_read
    assert () == told.incident().services


def test_partial_data_is_carried_down_and_the_service_is_delivered_partial_until_all_was_rerun() -> None:
    told = night(*feeds(EU, RATES))
    told.run(EU, "03:00", PARTIAL, **ended("03:00", 5))
    told.run(RATES, "04:00", DONE, **ended("04:00", 20))
    told.run(REPORT, "05:00", DONE, **ended("05:00", 20))
    told.look("05:30")
    words = "read feeds/eu of 2026-11-19, which was partial"
    assert [words, words] == [told.state(RATES, "04:00").partial_input, told.state(REPORT, "05:00").partial_input]
    assert (Timeliness.MET, "partial") == stands(told)
    assert f"delivered 05:20 UTC, partial: {words}" == told.day("daily").reason
    told.run(EU, "03:00", DONE, **ended("05:40", 5))
    told.look("05:50")
    assert "stale" == told.day("daily").data_state  # there is better data now, and it has not read that
    assert told.day("daily").reason.startswith("delivered 05:20 UTC, stale: it read what its upstream had not finished")
    told.run(RATES, "04:00", DONE, **ended("05:50", 5))
    told.run(REPORT, "05:00", DONE, **ended("06:00", 5))
    told.look("06:10")
    assert (Timeliness.MET, "complete") == stands(told)
    assert "" == told.state(REPORT, "05:00").partial_input


def test_what_was_delivered_stale_is_called_so_and_breaks_its_promise_unless_it_is_rerun() -> None:
    told = night(*feeds(EU, RATES))
    told.run(EU, "03:00", FAILED, **ended("03:00", 2))
    told.run(RATES, "04:00", DONE, **ended("04:00", 20))
    told.run(REPORT, "05:00", DONE, **ended("05:00", 20))
    told.look("05:30")
    assert "stale" == told.day("daily").data_state
    assert told.day("daily").reason.startswith("delivered 05:20 UTC, stale")
    [hurt] = told.incident().services
    assert hurt.reason.startswith("delivered 05:20 UTC, stale: it read what its upstream had not finished")
    told.look("06:31")
    assert (Timeliness.BREACHED, "stale") == stands(told)


@pytest.mark.parametrize("cause", ["hangs", "runs again", "has not started"])
def test_stale_data_stays_stale_while_the_host_of_its_cause_is_out_of_reach(cause: str) -> None:
    eu = replace(EU, grace=minutes(120)) if cause == "has not started" else EU
    rates = replace(RATES, target_id=2)
    hosts = [target(1, "feeds", "feeds"), target(2, "dwh", "dwh")]
    told = Ledger(estate(eu, rates, feeds=feeds(eu, rates), services=[service("daily", "06:30", rates)], targets=hosts))
    told.look("02:00")
    if cause == "hangs":
        told.run(eu, "03:00", RunState.RUNNING, started_at=at("03:00"))
    if cause == "runs again":
        told.run(eu, "03:00", FAILED, **ended("03:00", 2))
    told.run(rates, "04:00", DONE, **ended("04:00", 20))
    told.look("04:30")
    if cause == "runs again":
        told.run(eu, "03:00", RunState.RUNNING, started_at=at("04:31"))
        told.look("04:32")
    told.target(1, failing_since=at("04:32"), error="timed out")
    told.look("05:30")
    assert "stale" == told.day("daily").data_state
    told.look("06:31")
    assert (Timeliness.BREACHED, "stale") == stands(told)
    assert told.state(rates, "04:00").stale_read


def test_what_began_after_the_last_poll_of_a_running_upstream_is_not_called_stale() -> None:
    rates = replace(RATES, target_id=2)
    hosts = [target(1, "feeds", "feeds"), target(2, "dwh", "dwh")]
    told = Ledger(estate(EU, rates, feeds=feeds(EU, rates), services=[service("daily", "06:30", rates)], targets=hosts))
    told.look("02:00")
    told.run(EU, "03:00", RunState.RUNNING, started_at=at("03:00"))
    told.look("03:05")
    told.target(1, failing_since=at("03:06"), error="timed out")
    told.run(rates, "04:00", DONE, **ended("04:00", 20))
    told.look("04:30")
    assert not told.state(rates, "04:00").stale_read


def test_an_intraday_loop_is_one_incident_and_what_came_after_is_stale() -> None:
    load = job(5, "dwh/load", Schedule("debian-cron", "0 4-6 * * *"), expected=minutes(10))
    publish = job(6, "dwh/publish", Schedule("debian-cron", "20 4-6 * * *"), expected=minutes(10))
    deps = [*feeds(load, publish), *wanting(publish, load, period=UpstreamPeriod.PREVIOUS)]
    told = Ledger(estate(load, publish, feeds=deps))
    told.look("03:00")
    told.run(load, "04:00", DONE, **ended("04:00", 10))
    told.run(publish, "04:20", FAILED, **ended("04:20", 5))
    told.run(load, "05:00", DONE, **ended("05:00", 10))
    told.look("05:15")
    assert () == told.decisions.cycles
    assert [("root", 6, "2026-11-20T04:20:00Z"), ("stale", 5, "2026-11-20T05:00:00Z")] == [
        (each.role, each.job_id, each.period_key) for each in told.incident().members if each.role != "threatened"
    ]
    [open_now] = told.estate.incidents
    assert [5] == [run.job_id for run in reruns_after(told.estate, open_now, at("05:15"))]


def test_a_red_run_of_the_date_before_is_the_cause_of_what_read_it() -> None:
    told = Ledger(estate(EU, RATES, feeds=wanting(EU, RATES, period=UpstreamPeriod.PREVIOUS)))
    early = at("03:00", day=-1)
    told.run_at(EU, early, FAILED, started_at=early, ended_at=early + minutes(2))
    told.run(RATES, "04:00", DONE, **ended("04:00", 20))
    told.run(EU, "03:00", RunState.RUNNING, started_at=at("04:40"))
    told.look("05:00")
    assert told.state(RATES, "04:00").stale_read
    members = {(each.role, each.job_id) for one in told.decisions.incidents for each in one.members}
    assert {("root", 1), ("stale", 3)} <= members


def test_a_plan_repairs_an_intraday_loop_in_the_order_of_its_periods() -> None:
    load = job(5, "dwh/load", Schedule("debian-cron", "0 4-6 * * *"), expected=minutes(10))
    publish = job(6, "dwh/publish", Schedule("debian-cron", "20 4-6 * * *"), expected=minutes(10))
    told = Ledger(
        estate(load, publish, feeds=[*feeds(load, publish), *wanting(publish, load, period=UpstreamPeriod.PREVIOUS)])
    )
    told.look("03:00")
    for hour in (4, 5):
        told.run(load, f"0{hour}:00", FAILED if hour == 4 else DONE, **ended(f"0{hour}:00", 10))
        told.run(publish, f"0{hour}:20", DONE, **ended(f"0{hour}:20", 10))
    told.look("05:50")
    [open_now] = told.estate.incidents
    plan = propose_recovery(told.estate, open_now.id, at("05:50"), lambda job, needed: True, everything=True)
    assert plan is not None
    assert [("dwh/load", "04:00", ()), ("dwh/publish", "04:20", (1,)), ("dwh/load", "05:00", (2,)),
            ("dwh/publish", "05:20", (3,))] == [
        (step.job, step.period_key[11:16], step.after) for step in plan.steps]  # fmt: skip
