"""Two jobs that fail in one minute below one service: one instruction, whichever message is read."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from connectors.sdk.states import RunState, Verb
from console.control.incidents.restart import rerun_of
from console.control.snapshot.estate_index import EstateIndex
from console.domain.alert import AcknowledgementFacts, RouteRule
from console.domain.decision import Notice
from console.domain.estate import ApprovalFacts, CancelFacts, JobFacts, PlanFacts, RepairFacts, RunFacts
from console.domain.settings import Declared
from tests.control.ledger import Ledger, ended
from tests.factories import at, estate, feeds, job, minutes, run, service, target
from tests.messages import written

EXTRACT = job(1, "hosts/extract", "03:10", expected=minutes(20), notify=("oncall",))
REFUND = job(2, "hosts/refund", "03:10", expected=minutes(30), notify=("oncall",))
LOAD = job(3, "warehouse/load", expected=minutes(30), target_id=2, notify=("oncall",))
BOTH = "Supply plan 06:30 at risk: restart extract and refund by 05:30"


def night() -> Ledger:
    """Both feed the job that delivers the service, refund the slower one."""
    ledger = Ledger(
        estate(EXTRACT, REFUND, LOAD, feeds=[*feeds(EXTRACT, LOAD), *feeds(REFUND, LOAD)],
               services=[service("supply-plan", "06:30", LOAD, tier=1, notify=("oncall", "planning"))],
               targets=[target(1), target(2, "warehouse", "warehouse")])
    )  # fmt: skip
    declared = Declared(alerting=replace(ledger.estate.declared.alerting, routes=(RouteRule("planning"),)))
    ledger.estate = replace(ledger.estate, declared=declared)
    ledger.evaluate("02:00")
    return ledger


def fails(ledger: Ledger, failing: JobFacts, error: str) -> None:
    ledger.run(failing, "03:10", RunState.FAILED, **ended("03:10", 2, message=error))


def technical_end(ledger: Ledger, when: str) -> Notice:
    closed = (incident for incident in ledger.evaluate(when).incidents if incident.closed)
    [end] = [notice for incident in closed for notice in incident.notices if notice.style == "technical"]
    return end


def test_failures_seen_together_are_one_message_that_names_both_restarts() -> None:
    ledger = night()
    fails(ledger, EXTRACT, "disk is full")
    fails(ledger, REFUND, "no listener")
    ledger.evaluate("03:12")
    notices = [notice for incident in ledger.decisions.incidents for notice in incident.notices]
    technical = [notice for notice in notices if notice.style == "technical"]
    assert [f"{BOTH} (in 2 h 18 min) [{{incident}}]"] * 2 == [written(notice).title for notice in technical]
    [group] = {notice.group for notice in technical}
    assert group.startswith("oncall, joint ")
    assert all("act by 05:30" in written(notice).body and "05:40" not in written(notice).body for notice in technical)
    [business] = [notice for notice in notices if notice.style == "business"]
    assert "repair needed by 05:30" in written(business).title


def test_a_later_failure_replaces_the_first_instruction_and_agrees_with_it() -> None:
    ledger = night()
    fails(ledger, EXTRACT, "disk is full")
    ledger.evaluate("03:12")
    assert written(ledger.incident().notices[0]).title.startswith(
        "Supply plan 06:30 at risk: restart extract by 05:40 "
    )
    fails(ledger, REFUND, "no listener")
    ledger.evaluate("03:12:20")
    [second] = [
        notice for incident in ledger.decisions.incidents for notice in incident.notices if notice.style == "technical"
    ]
    assert "" == second.group
    assert written(second).title.startswith(f"{BOTH} ")
    assert written(second).body.startswith("Also restart extract (INC-0001): Supply plan needs both.\n")
    assert "Do           headway recover {incident}\nDo           headway recover INC-0001\n" in written(second).body


def test_the_end_of_one_incident_names_the_restart_that_its_service_still_needs() -> None:
    ledger = night()
    fails(ledger, EXTRACT, "disk is full")
    ledger.evaluate("03:12")
    fails(ledger, REFUND, "no listener")
    ledger.evaluate("03:14")
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:20", 5))
    end = technical_end(ledger, "03:22")
    assert written(end).title.startswith("Cause resolved: Supply plan 06:30 still at risk ("), written(end).title
    assert ["headway recover INC-0002"] == re.findall(r"^Do +(.*)$", written(end).body, re.M)
    assert "Supply plan  06:30      at risk, act by 05:30" in written(end).body
    assert "Good since" not in written(end).body


def test_an_incident_that_closes_late_says_since_when_its_runs_were_good() -> None:
    """Its duration ends there, not when it closes, as after a plan."""
    ledger = night()
    fails(ledger, EXTRACT, "disk is full")
    ledger.evaluate("03:12")
    plan = {1: PlanFacts(7, "running", 0, 1)}
    ledger.estate = replace(ledger.estate, plans_by_incident=plan)
    ledger.run(EXTRACT, "03:15", RunState.SUCCEEDED, **ended("03:15", 2))
    ledger.evaluate("03:18")
    ledger.estate = replace(ledger.estate, plans_by_incident={})
    body = written(technical_end(ledger, "03:40")).body
    assert re.search(r"^Good since +03:17 UTC$", body, re.M), body


def test_a_job_that_is_repaired_or_acknowledged_is_in_no_further_instruction() -> None:
    ledger = night()
    fails(ledger, EXTRACT, "disk is full")
    ledger.evaluate("03:12")
    ack = AcknowledgementFacts("ann", at("05:00"), at=at("03:13"))
    state = ledger.estate.notifications
    ledger.estate = replace(ledger.estate, notifications=replace(state, acks={1: ack}))
    fails(ledger, REFUND, "no listener")
    ledger.evaluate("03:14")
    [second] = [
        notice for incident in ledger.decisions.incidents for notice in incident.notices if notice.style == "technical"
    ]
    assert written(second).title.startswith("Supply plan 06:30 at risk: restart refund by 05:30 ")
    assert "Also restart" not in written(second).body


def test_a_day_needs_no_restart_of_a_run_that_is_repeated_or_was_cancelled_through_headway() -> None:
    ledger = night()
    fails(ledger, EXTRACT, "disk is full")
    fails(ledger, REFUND, "no listener")

    def needed() -> dict[int | None, bool]:
        ledger.evaluate("03:12")
        decisions = ledger.decisions.incidents
        return {decision.cause.job_id: day.needs_restart for decision in decisions for day in decision.services}

    assert {EXTRACT.id: True, REFUND.id: True} == needed()
    failed, before = ledger.state(REFUND, "03:10"), ledger.estate
    ledger.estate = replace(before, cancels={failed.id: CancelFacts(REFUND.id, "ann", "stuck", at("03:11"))})
    assert {EXTRACT.id: True, REFUND.id: False} == needed()
    repair = RepairFacts(REFUND.id, Verb.RERUN, "ann", at("03:12"), in_flight=True)
    ledger.estate = replace(before, repairs={failed.id: repair})
    assert {EXTRACT.id: True, REFUND.id: False} == needed()


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.SUCCEEDED])
def test_a_restart_is_over_once_its_own_attempt_has_ended_though_its_action_is_not_settled(state: RunState) -> None:
    """A success on stale data needs a restart as a failure does."""
    attempt = run(1, LOAD, "04:00", state, started_at=at("04:10"))
    sent = RepairFacts(LOAD.id, Verb.RERUN, "ann", at("04:09"), in_flight=True)

    def repeated(run_facts: RunFacts, repair: RepairFacts) -> bool:
        seen = replace(estate(LOAD, runs=[run_facts], targets=[target(2)]), repairs={1: repair})
        return rerun_of(EstateIndex(seen, at("04:20")), run_facts) is not None

    assert not repeated(attempt, sent)
    assert repeated(replace(attempt, state=RunState.RUNNING), sent)
    assert repeated(attempt, replace(sent, sent_at=at("04:15")))
    assert not repeated(attempt, replace(sent, sent_at=at("04:15"), in_flight=False))


def test_failures_below_different_services_leave_alone() -> None:
    ledger = night()
    other = service("refunds", "06:00", REFUND, tier=1, notify=("oncall",))
    plan = service("supply-plan", "06:30", EXTRACT, tier=1, notify=("oncall",))
    ledger.estate = replace(ledger.estate, services=(plan, other), dependencies=())
    fails(ledger, EXTRACT, "disk is full")
    fails(ledger, REFUND, "no listener")
    ledger.evaluate("03:12")
    notices = [notice for incident in ledger.decisions.incidents for notice in incident.notices]
    assert {""} == {notice.group for notice in notices}
    assert [False, False] == [
        "extract and refund" in written(notice).title for notice in notices if notice.style == "technical"
    ]


def test_an_unreachable_system_has_no_act_by_of_a_restart_elsewhere() -> None:
    ledger = night()
    fails(ledger, EXTRACT, "disk is full")
    ledger.target(2, failing_since=at("03:05"), last_ok_at=at("03:04"), error="no route", error_kind="unreachable")
    ledger.evaluate("03:12")
    away = next(incident for incident in ledger.decisions.incidents if "no route" in incident.reason)
    assert ["06:00"] == [f"{service.act_by:%H:%M}" for service in away.services]
    [technical] = away.notices  # the owner of the service knows of it by the other incident
    assert "does not answer, fix by 06:00" in written(technical).title
    assert ["act by 06:00"] == re.findall("act by .{5}", written(technical).body)


def test_jobs_of_one_short_name_are_named_in_full() -> None:
    first = job(1, "north/extract", "03:10", expected=minutes(20), notify=("oncall",))
    second = job(2, "south/extract", "03:10", expected=minutes(30), notify=("oncall",))
    ledger = night()
    jobs = {**ledger.estate.jobs, first.id: first, second.id: second}
    ledger.estate = replace(ledger.estate, jobs=jobs)
    fails(ledger, first, "disk is full")
    fails(ledger, second, "no listener")
    ledger.evaluate("03:12")
    titles = [
        written(notice).title
        for incident in ledger.decisions.incidents
        for notice in incident.notices
        if notice.style == "technical"
    ]
    assert ["restart north/extract and south/extract by 05:30" in title for title in titles] == [True, True]


def test_the_services_that_need_both_restarts_are_those_that_both_affect() -> None:
    ledger = night()
    refunds = service("refunds", "06:00", REFUND, tier=2, notify=("oncall",))
    ledger.estate = replace(ledger.estate, services=(*ledger.estate.services, refunds))
    fails(ledger, EXTRACT, "disk is full")
    ledger.evaluate("03:12")
    fails(ledger, REFUND, "no listener")
    ledger.evaluate("03:12:20")
    [second] = [
        notice for incident in ledger.decisions.incidents for notice in incident.notices if notice.style == "technical"
    ]
    assert "Refunds" in written(second).body
    assert written(second).body.startswith("Also restart extract (INC-0001): Supply plan needs both.\n")


def test_restarts_for_two_services_are_two_messages() -> None:
    ledger = night()
    third, fourth = (job(number, f"hosts/{name}", "03:10", expected=minutes(20), notify=("oncall",))
                     for number, name in ((4, "rates"), (5, "prices")))  # fmt: skip
    mart = job(6, "warehouse/mart", expected=minutes(30), target_id=2, notify=("oncall",))
    jobs = {job.id: job for job in (third, fourth, mart)}
    pricing = service("pricing", "06:00", mart, tier=1, notify=("oncall",))
    before = ledger.estate
    ledger.estate = replace(
        before, jobs={**before.jobs, **jobs}, services=(*before.services, pricing),
        dependencies=(*before.dependencies, *feeds(third, mart), *feeds(fourth, mart)),
    )  # fmt: skip
    for failing in (EXTRACT, REFUND, third, fourth):
        fails(ledger, failing, "disk is full")
    ledger.evaluate("03:12")
    notices = [notice for incident in ledger.decisions.incidents for notice in incident.notices]
    groups: dict[str, set[str]] = {}
    for notice in notices:
        if notice.style == "technical":
            groups.setdefault(notice.group, set()).add(written(notice).title.partition(" 0")[0])
    assert [{"Pricing"}, {"Supply plan"}] == sorted(groups.values(), key=min)


def test_while_one_of_two_restarts_runs_the_message_names_the_other_alone() -> None:
    ledger = night()
    fails(ledger, EXTRACT, "disk is full")
    ledger.evaluate("03:12")
    fails(ledger, REFUND, "no listener")
    root = ledger.state(REFUND, "03:10")
    repair = RepairFacts(root.job_id, Verb.RERUN, "ann", at("03:12:10"), in_flight=True)
    ledger.estate = replace(ledger.estate, repairs={root.id: repair})
    ledger.evaluate("03:12:20")
    [second] = [
        notice for incident in ledger.decisions.incidents for notice in incident.notices if notice.style == "technical"
    ]
    assert written(second).title.startswith("Supply plan 06:30 at risk: restart extract by 05:40 ")
    assert "\nDo           headway recover INC-0001\n" in written(second).body
    assert "recover {incident}" not in written(second).body


def slower(ledger: Ledger, job: JobFacts, expected: int) -> None:
    jobs = {**ledger.estate.jobs, job.id: replace(job, expected=minutes(expected))}
    ledger.estate = replace(ledger.estate, jobs=jobs)


def technical(ledger: Ledger) -> list[tuple[str, str]]:
    """Title and first line of each technical notification."""
    notices = [
        notice for incident in ledger.decisions.incidents for notice in incident.notices if notice.style == "technical"
    ]
    return [(written(notice).title.partition(" (in")[0], written(notice).body.partition("\n")[0]) for notice in notices]


def test_an_act_by_that_moves_forward_materially_is_notified_once() -> None:
    ledger = night()
    fails(ledger, EXTRACT, "disk is full")
    ledger.run(REFUND, "03:10", RunState.SUCCEEDED, **ended("03:30", 0))
    ledger.evaluate("03:40")
    [(first, _)] = technical(ledger)
    assert "Supply plan 06:30 at risk: restart extract by 05:40" == first
    slower(ledger, LOAD, 44)  # by 14 of 120 minutes, less than an eighth
    ledger.evaluate("04:00")
    assert [] == technical(ledger)
    slower(ledger, LOAD, 45)
    ledger.evaluate("04:00:20")
    assert technical(ledger) == [
        ("Update: Supply plan 06:30 at risk: restart extract by 05:25", "Act-by moved from 05:40 to 05:25.")
    ]
    for clock in ("04:00:40", "05:26", "05:41"):
        ledger.evaluate(clock)
        assert [] == technical(ledger)


def test_an_act_by_that_moves_into_the_past_is_notified_as_passed() -> None:
    ledger = night()
    fails(ledger, EXTRACT, "disk is full")
    ledger.run(REFUND, "03:10", RunState.SUCCEEDED, **ended("03:30", 0))
    ledger.evaluate("03:40")
    slower(ledger, LOAD, 150)
    ledger.evaluate("03:59")
    [(title, line)] = technical(ledger)
    assert title.startswith("Update: Supply plan 06:30 will miss: restart extract now")
    assert line == "Act-by moved from 05:40 to 03:40, which has passed."


def test_of_two_restarts_only_the_earlier_is_notified_of_an_act_by_that_moves_forward() -> None:
    ledger = night()
    fails(ledger, EXTRACT, "disk is full")
    fails(ledger, REFUND, "no listener")
    ledger.evaluate("03:40")
    assert 2 == len(technical(ledger))
    slower(ledger, LOAD, 60)
    ledger.evaluate("04:00")
    [(title, line)] = technical(ledger)
    assert title == "Update: Supply plan 06:30 at risk: restart extract and refund by 05:00"
    assert line == "Act-by moved from 05:30 to 05:00."


def test_an_act_by_is_no_news_while_the_rerun_runs() -> None:
    ledger = night()
    fails(ledger, EXTRACT, "disk is full")
    ledger.run(REFUND, "03:10", RunState.SUCCEEDED, **ended("03:30", 0))
    ledger.evaluate("03:40")
    ledger.run(EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:50"))
    slower(ledger, LOAD, 90)
    ledger.evaluate("03:55")
    assert [] == technical(ledger)


def test_a_rerun_that_awaits_approval_is_to_be_approved() -> None:
    ledger = night()
    fails(ledger, EXTRACT, "disk is full")
    ledger.run(REFUND, "03:10", RunState.SUCCEEDED, **ended("03:30", 0))
    ledger.evaluate("03:40")
    approval = ApprovalFacts(EXTRACT.id, "3f0a91c2")
    ledger.estate = replace(ledger.estate, approvals={ledger.state(EXTRACT, "03:10").id: approval})
    slower(ledger, LOAD, 60)
    ledger.evaluate("04:00")
    [notice] = [notice for notice in ledger.incident().notices if notice.style == "technical"]
    assert written(notice).title.startswith("Update: Supply plan 06:30 at risk: approve the rerun of extract by 05:10 ")
    assert "\nDo           headway action approve 3f0a91c2\n" in written(notice).body
    assert "headway recover" not in written(notice).body


def test_a_plan_whose_next_rerun_awaits_approval_is_to_be_approved_in_the_title_and_in_the_steps() -> None:
    ledger = night()
    fails(ledger, EXTRACT, "disk is full")
    ledger.run(REFUND, "03:10", RunState.SUCCEEDED, **ended("03:30", 0))
    ledger.evaluate("03:40")
    approval, [incident] = ApprovalFacts(EXTRACT.id, "3f0a91c2"), ledger.estate.incidents
    ledger.estate = replace(
        ledger.estate,
        approvals={ledger.state(EXTRACT, "03:10").id: approval},
        plans_by_incident={incident.id: PlanFacts(7, "running", 0, 2)},
    )
    slower(ledger, LOAD, 60)
    ledger.evaluate("04:00")
    [notice] = [notice for notice in ledger.incident().notices if notice.style == "technical"]
    assert written(notice).title.startswith("Update: Supply plan 06:30 at risk: approve the rerun of extract by 05:10 ")
    assert "\nDo           headway action approve 3f0a91c2\n" in written(notice).body


def test_an_act_by_of_a_later_service_is_no_news_while_the_first_stays() -> None:
    ledger = night()
    report = job(4, "bi/report", expected=minutes(10), target_id=2)
    ledger.estate = replace(
        ledger.estate,
        jobs={**ledger.estate.jobs, report.id: report},
        dependencies=(*ledger.estate.dependencies, *feeds(LOAD, report)),
        services=(*ledger.estate.services, service("later", "09:00", report, tier=2)),
    )
    fails(ledger, EXTRACT, "disk is full")
    ledger.run(REFUND, "03:10", RunState.SUCCEEDED, **ended("03:30", 0))
    ledger.evaluate("03:40")
    [(title, _)] = technical(ledger)
    assert "restart extract by 05:40" in title
    slower(ledger, report, 60)
    ledger.evaluate("04:00")
    assert [] == technical(ledger)
