"""The service of a title, the services that it counts, and the step that it names."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from connectors.sdk.states import RunState, Verb
from console.control.alerts.context import Notification, alert_context_of
from console.control.alerts.headline import NO_SERVICE, by_urgency
from console.control.incidents.causes import find_causes
from console.control.incidents.correlation import match_incidents
from console.control.incidents.restart import is_restartable, repair_step
from console.control.incidents.verdict.text import step_text
from console.control.snapshot.estate_index import EstateIndex
from console.domain.alert import PUSH_LENGTH, TECHNICAL, AlertKind
from console.domain.estate import EvaluationSettings, JobFacts, PlanFacts, PlannedRun, RepairFacts, ServiceFacts
from console.domain.service import Timeliness
from console.domain.switches import Modes, SwitchState
from tests.control.ledger import Ledger, ended
from tests.factories import at, daily, estate, feeds, job, minutes, service, target
from tests.messages import written

EXTRACT = job(1, "hosts/extract", "03:10", expected=minutes(20), notify=("oncall",))
LOAD = job(2, "warehouse/load", expected=minutes(30), target_id=2)


def title(ledger: Ledger, clock: str) -> str:
    ledger.evaluate(clock)
    return written(ledger.incident().notices[0]).title


def failed(*services: ServiceFacts, more: tuple[JobFacts, ...] = (), extract: JobFacts = EXTRACT) -> Ledger:
    """`extract`, which feeds `load` and `more`, failed at 03:12."""
    ledger = Ledger(
        estate(
            extract, LOAD, *more,
            feeds=feeds(extract, LOAD, *more),
            services=services,
            targets=[target(1), target(2, "warehouse", "warehouse")],
            settings=EvaluationSettings(default_route=("default",)),
        )
    )  # fmt: skip
    ledger.evaluate("02:00")
    ledger.run(extract, "03:10", RunState.FAILED, **ended("03:10", 2))
    return ledger


def test_a_service_that_can_be_saved_is_named_before_a_lost_one() -> None:
    ledger = failed(service("early", "03:50", LOAD), service("daily", "06:30", LOAD))
    assert title(ledger, "03:12").startswith("Daily 06:30 at risk: restart extract by 05:40 ")
    rows = written(ledger.incident().notices[0]).body.partition("SERVICE ")[2].splitlines()
    assert ["Daily", "Early"] == [row.split()[0] for row in rows[1:3]]


def test_a_breach_is_named_before_what_can_be_saved_of_a_later_date_and_after_what_can_be_of_its_own() -> None:
    ledger = failed(service("early", "03:50", LOAD), service("daily", "06:30", LOAD))
    ledger.evaluate("04:10")
    index = EstateIndex(ledger.estate, at("04:10"))
    matches, decision = match_incidents(index, find_causes(index)), ledger.incident()
    [match] = [match for match in matches if is_restartable(index, match)]

    def order(days_later: int) -> list[str]:
        dated = {"daily": timedelta(days=days_later), "early": timedelta()}
        services = tuple(
            replace(
                day, business_date=day.business_date + dated[day.service], deadline=day.deadline + dated[day.service]
            )
            for day in decision.services
        )
        context = alert_context_of(index, [match], [replace(decision, services=services)])
        [subject] = context.subjects
        urgent = by_urgency(context, Notification(subject, "oncall", TECHNICAL, AlertKind.UPDATED))
        return [service.service for service in urgent]

    assert ["daily", "early"] == order(0)
    assert ["early", "daily"] == order(1)


def test_a_title_names_the_zone_of_its_deadline_if_another_service_has_another() -> None:
    """ "Night report 00:58", configured as 01:58 in its zone, read as passed at 01:41."""
    night, daily = service("night", "07:30", LOAD, zone="Europe/Berlin"), service("daily", "06:30", LOAD)
    assert title(failed(night, daily), "03:12").startswith("Daily 06:30 UTC and 1 more at risk: restart extract by ")
    assert title(failed(daily, replace(daily, name="again")), "03:12").startswith("Daily 06:30 and 1 more at risk: ")


def test_a_name_with_a_colon_stays_whole_in_a_title_without_a_service() -> None:
    named = replace(EXTRACT, native_id="load: orders")
    assert f"hosts/load: orders failed, {NO_SERVICE} [{{incident}}]" == title(failed(extract=named), "03:12")


def test_a_job_that_cannot_be_rerun_is_run_by_hand_in_its_system() -> None:
    by_hand = replace(EXTRACT, cannot_rerun="its system has no rerun")
    ledger = failed(service("daily", "06:30", LOAD), extract=by_hand)
    assert title(ledger, "03:12").startswith("Daily 06:30 at risk: run extract by hand in hosts by 05:40 ")


def test_what_headway_cannot_rerun_is_not_recovered_by_a_command_that_is_refused() -> None:
    by_hand = replace(EXTRACT, cannot_rerun="a file is sent by its sender: ask there")
    ledger = failed(service("daily", "06:30", LOAD), extract=by_hand)
    title(ledger, "03:12")
    [body] = [written(notice).body for notice in ledger.incident().notices]
    assert "a file is sent by its sender: ask there" in body
    assert "headway recover" not in body


def test_a_stopped_plan_is_resumed_also_where_headway_cannot_rerun_its_failed_job() -> None:
    ledger = failed(service("daily", "06:30", LOAD), extract=replace(EXTRACT, cannot_rerun="ask its sender"))
    ledger.estate = replace(ledger.estate, plans_by_run={1: PlannedRun(7, is_awaited=False)})
    title(ledger, "03:12")
    assert "headway plan resume 7" in written(ledger.incident().notices[0]).body


def test_a_start_that_its_changed_schedule_moved_is_accepted_or_undone() -> None:
    changed = replace(EXTRACT, seen_schedule=daily("05:10"), drift_since=at("03:00"))
    ledger = Ledger(estate(changed, LOAD, feeds=feeds(changed, LOAD), services=[service("daily", "06:30", LOAD)]))
    ledger.evaluate("03:00")
    text = title(ledger, "05:20")
    assert text.startswith("Daily 06:30 at risk: accept or undo the change of extract ")
    [notice] = ledger.incident().notices
    accept = "headway system drift accept hosts/extract"
    assert f"Do           {accept}\nBy hand      undo the change at its scheduler instead\n" in written(notice).body
    assert (accept,) == notice.message.commands


def test_only_services_in_the_state_of_the_named_one_are_counted() -> None:
    lost, later = service("early", "03:50", LOAD), service("plan", "07:00", LOAD)
    ledger = failed(lost, service("daily", "06:30", LOAD), later)
    assert title(ledger, "03:12").startswith("Daily 06:30 and 1 more at risk: ")


def test_a_service_without_an_act_by_does_not_have_that_of_another() -> None:
    blind = job(3, "warehouse/blind", target_id=2)
    ledger = failed(service("daily", "06:30", LOAD), service("blind", "04:30", blind), more=(blind,))
    assert "Blind 04:30 and 1 more at risk: restart extract now [{incident}]" == title(ledger, "03:12")


def test_the_end_of_a_cause_names_the_worst_service_and_not_one_that_is_delivered() -> None:
    ledger = failed(service("first", "03:40", EXTRACT), service("daily", "04:10", LOAD))
    ledger.evaluate("03:12")
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:50", 5))
    ledger.evaluate("03:56")
    [closed] = [incident for incident in ledger.decisions.incidents if incident.closed]
    assert ["first", "daily"] == [affected.service for affected in closed.services]
    assert written(closed.notices[0]).title.startswith("Cause resolved: Daily 04:10 will still miss (")


def test_the_end_of_a_cause_names_a_service_without_an_estimate_as_not_yet_delivered() -> None:
    ledger = failed(service("daily", "06:30", LOAD))
    ledger.estate = replace(ledger.estate, jobs={**ledger.estate.jobs, LOAD.id: replace(LOAD, expected=None)})
    ledger.evaluate("03:12")
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:30", 5))
    ledger.evaluate("03:36")
    notice = ledger.incident().notices[0]
    title = "Cause resolved: Daily 06:30 not yet delivered ({incident}, 23 min, attempt 2)"
    assert title == written(notice).title == written(notice).plain_title
    assert "\nDaily    06:30      not yet delivered\n" in written(notice).body


def test_a_resolved_message_to_an_owner_says_what_happened_and_not_that_a_forecast_is_missing() -> None:
    ledger = failed(service("daily", "06:30", LOAD, notify=("supply",)))
    ledger.estate = replace(ledger.estate, jobs={**ledger.estate.jobs, LOAD.id: replace(LOAD, expected=None)})
    ledger.evaluate("03:12")
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:30", 5))
    ledger.evaluate("03:36")
    [business] = [notice for notice in ledger.incident().notices if notice.style == "business"]
    assert "Cause resolved: Daily 06:30 not yet delivered [{incident}]" == written(business).title
    assert "no estimate" not in written(business).body


def test_the_name_of_a_service_not_yet_delivered_is_whole_where_it_and_its_deadline_fit() -> None:
    for name, shown in (
        ("daily-revenue", "Daily revenue"),
        ("daily-revenue-of-all-the-shops", "Daily revenue of all the sh…"),
    ):
        ledger = failed(service(name, "06:30", LOAD))
        ledger.estate = replace(ledger.estate, jobs={**ledger.estate.jobs, LOAD.id: replace(LOAD, expected=None)})
        ledger.evaluate("03:12")
        ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:30", 5))
        title_text = title(ledger, "03:36")
        assert title_text.startswith(f"Cause resolved: {shown} 06:30 not yet delivered ("), title_text


def test_the_end_of_a_cause_names_a_service_as_safe_only_if_that_is_known() -> None:
    unknown = job(3, "warehouse/unknown", target_id=2)
    ledger = failed(service("blind", "06:00", unknown), service("daily", "06:30", LOAD), more=(unknown,))
    ledger.evaluate("03:12")
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:30", 5))
    ledger.evaluate("03:36")
    assert "Resolved: Daily safe ({incident}, 23 min, attempt 2)" == written(ledger.incident().notices[0]).title


def test_the_end_of_a_cause_has_a_service_and_its_state_in_50_characters() -> None:
    first, second, third = (f"{name}-of-all-the-shops-and-warehouses" for name in ("orders", "stock", "returns"))
    for names, begin in (
        ([first, second], "Resolved: Orders of all the shops… and 1 more safe ("),
        ([first], "Resolved: Orders of all the shops and wareho… safe ("),
        (["supply", "stock", first], "Resolved: Supply, Stock and 1 more safe ("),
        ([second, "stock", third], "Resolved: Stock of all the shops… and 2 more safe ("),
    ):
        ledger = failed(*(service(name, f"06:3{place}", LOAD) for place, name in enumerate(names)))
        ledger.evaluate("03:12")
        ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:30", 5))
        ledger.evaluate("03:36")
        title = written(ledger.incident().notices[0]).title
        assert title.startswith(begin), title
        assert len(title.partition(" (")[0]) <= PUSH_LENGTH


def test_a_service_without_an_estimate_that_another_cause_affects_is_still_at_risk() -> None:
    unproved, other = (job(number, f"warehouse/{number}", target_id=2, schedule="03:00") for number in (3, 4))
    ledger = failed(service("daily", "06:30", LOAD, unproved, other), more=(unproved, other))
    ledger.estate = replace(ledger.estate, dependencies=tuple(feeds(EXTRACT, LOAD)))
    ledger.run(unproved, "03:00", RunState.UNKNOWN, **ended("03:00", 5))
    ledger.evaluate("03:12")
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:13", 1))
    ledger.run(other, "03:00", RunState.FAILED, **ended("03:15", 5))
    ledger.evaluate("03:22")
    [closed] = [incident for incident in ledger.decisions.incidents if incident.closed]
    assert Timeliness.NO_ESTIMATE is closed.services[0].timeliness
    assert written(closed.notices[0]).title.startswith("Cause resolved: Daily 06:30 still at risk (")
    assert "\nDaily    06:30      at risk\n" in written(closed.notices[0]).body


def test_a_database_that_does_not_answer_names_the_late_service_that_still_needs_it_and_its_probe() -> None:
    ledger = failed(service("daily", "03:40", LOAD))
    ledger.evaluate("03:12")
    ledger.evaluate("03:50")
    error = {"error": "refused.", "error_fix": "start it, then wait."}
    ledger.target(2, failing_since=at("03:51"), last_ok_at=at("03:50"), **error)
    ledger.evaluate("03:55")
    [notice] = [
        notice for incident in ledger.decisions.incidents for notice in incident.notices if incident.cause.target_id
    ]
    assert written(notice).title.startswith("warehouse/warehouse does not answer, late Daily 03:40 needs it [")
    steps = "By hand      start it, then wait\nDo           headway system probe warehouse/warehouse\n"
    assert f"  | refused.\n\n{steps}" in written(notice).body
    assert "start it" not in written(notice).plain_body
    assert ("headway system probe warehouse/warehouse",) == notice.message.commands


def test_a_deadline_before_the_first_poll_of_what_does_not_answer_is_not_counted() -> None:
    ledger = failed(service("daily", "03:40", LOAD))
    ledger.target(2, first_ok_at=at("03:45"))
    ledger.evaluate("03:50")
    ledger.target(2, failing_since=at("03:51"), error="connection refused", last_ok_at=at("03:50"))
    ledger.evaluate("03:55")
    [incident] = [incident for incident in ledger.decisions.incidents if incident.cause.target_id]
    assert () == incident.services


def test_a_job_on_a_host_that_does_not_answer_is_restarted_after_the_host_is_restored() -> None:
    ledger = failed(service("daily", "06:30", LOAD))
    ledger.evaluate("03:12")

    def step(kind: str, clock: str) -> str:
        ledger.target(1, failing_since=at("03:13"), last_ok_at=at("03:12:50"), error="no route", error_kind=kind)
        index = EstateIndex(ledger.estate, at(clock))
        matches = match_incidents(index, find_causes(index))
        [match] = [match for match in matches if is_restartable(index, match)]
        return step_text(repair_step(index, match))

    restored = "restore etl-hosts/db07, then restart extract"
    steps = [step("unreachable", "03:13"), step("limited", "03:13"), step("limited", "03:20")]
    assert [restored, "restart extract", restored] == steps


def test_the_fix_of_a_host_that_does_not_answer_comes_before_the_restart_on_it() -> None:
    ledger = failed(service("daily", "03:40", EXTRACT))
    ledger.evaluate("03:12")
    error = {"error": "refused.", "error_fix": "open its port.", "error_kind": "unreachable"}
    ledger.target(1, failing_since=at("03:38"), last_ok_at=at("03:38"), **error)
    ledger.evaluate("03:41")
    [notice] = [
        notice for incident in ledger.decisions.incidents for notice in incident.notices if incident.cause.job_id
    ]
    assert "restore etl-hosts/db07, then restart extract now" in written(notice).title
    steps = (
        "By hand      open its port\nDo           headway system probe etl-hosts/db07\n"
        "Do           headway recover {incident}\n"
    )
    assert steps in written(notice).body
    assert "sshd" not in written(notice).plain_body


def test_a_rerun_that_was_sent_or_runs_is_named_instead_of_a_restart() -> None:
    ledger = failed(service("daily", "06:30", LOAD))
    ledger.evaluate("03:12")
    root = ledger.state(EXTRACT, "03:10")
    sent = RepairFacts(root.job_id, Verb.RERUN, "anna", at("03:15"), in_flight=True)
    untold = replace(ledger.estate.notifications, notified={})
    ledger.estate = replace(ledger.estate, repairs={root.id: sent}, notifications=untold)
    assert title(ledger, "03:16").startswith("Daily 06:30 at risk: rerun of extract sent 03:15 [")
    assert "headway recover" not in written(ledger.incident().notices[0]).body
    unknown = replace(sent, unknown="3f0a91c2")
    ledger.estate = replace(ledger.estate, repairs={root.id: unknown}, notifications=untold)
    text = "outcome of the rerun of extract unknown: check its scheduler, then headway action withdraw 3f0a91c2"
    assert title(ledger, "03:17").startswith(f"Daily 06:30 at risk: {text} [")
    ledger.run(EXTRACT, "03:16", RunState.RUNNING, started_at=at("03:16"))
    ledger.estate = replace(ledger.estate, repairs={}, notifications=untold)
    assert "extract runs again since 03:16, done about 03:36" in title(ledger, "03:18")
    ledger.estate = replace(ledger.estate, notifications=untold)
    assert "extract runs since 03:16, 20m expected: if it hangs, cancel and restart it" in title(ledger, "03:47")


def later(ledger: Ledger, clock: str, **changes: Any) -> tuple[str, str]:
    """Title and body of a first notification, after these changes."""
    untold = replace(ledger.estate.notifications, notified={})
    ledger.estate = replace(ledger.estate, notifications=untold, **changes)
    text = title(ledger, clock)
    return text, written(ledger.incident().notices[0]).body


def test_a_stopped_plan_is_continued_in_the_title_and_in_the_steps() -> None:
    """Its title was "restart extract by ...", whatever the plan then did."""
    ledger = failed(service("daily", "06:30", LOAD))
    ledger.evaluate("03:12")
    [incident], run = ledger.estate.incidents, ledger.state(EXTRACT, "03:10")
    stopped = {incident.id: PlanFacts(7, "stopped", 1, 3)}

    def with_plan(clock: str, **changes: Any) -> tuple[str, str]:
        return later(ledger, clock, **{"plans_by_incident": stopped, "plans_by_run": {}} | changes)

    text, body = with_plan("03:13", plans_by_run={run.id: PlannedRun(7, is_awaited=True)})
    assert text.startswith("Daily 06:30 at risk: plan 7 stopped: restart extract, then resume it by 05:40 ")
    assert "Do           headway rerun hosts/extract\nDo           headway plan resume 7\n" in body
    text, body = with_plan("03:14", plans_by_run={run.id: PlannedRun(7, is_awaited=False)})
    assert text.startswith("Daily 06:30 at risk: plan 7 stopped: fix extract, then resume it by 05:40 ")
    text, body = with_plan("03:15")
    assert text.startswith("Daily 06:30 at risk: plan 7 stopped: resume it by 05:40 ")
    assert "Do           headway plan resume 7\n" in body
    assert "headway recover" not in body
    outdated = {incident.id: PlanFacts(7, "paused", 1, 3, is_outdated=True)}
    text, body = with_plan("03:16", plans_by_incident=outdated)
    assert text.startswith("Daily 06:30 at risk: plan 7 paused: abort it, then restart extract by 05:40 ")
    assert "Do           headway plan abort 7\nDo           headway recover {incident}\n" in body


def test_a_freeze_is_ended_before_the_restart_in_the_title_too() -> None:
    ledger = failed(service("daily", "06:30", LOAD))
    ledger.evaluate("03:12")
    text, body = later(ledger, "03:13", modes=Modes(frozen=SwitchState("on", "ben")))
    assert text.startswith("Daily 06:30 at risk: frozen, thaw first: restart extract by 05:40 ")
    assert "Do           headway freeze --off\nDo           headway recover {incident}\n" in body


def test_a_run_that_began_before_its_incident_does_not_run_again() -> None:
    ledger = failed(service("daily", "06:30", LOAD))
    ledger.evaluate("03:12")
    ledger.run(EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:10"), ended_at=None)
    text, _ = later(ledger, "03:13")
    assert text.startswith("Daily 06:30 at risk: extract is still running since 03:10 [")


def test_a_run_that_read_stale_data_is_restarted_once_its_upstream_has_finished() -> None:
    ledger = failed(service("daily", "06:30", LOAD))
    ledger.run(EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:10"), ended_at=None)
    ledger.run(LOAD, "03:20", RunState.FAILED, **ended("03:20", 2))
    ledger.evaluate("03:23")
    ledger.run(LOAD, "03:20", RunState.SUCCEEDED, **ended("03:24", 1))
    text, body = later(ledger, "03:26")
    assert text.startswith(
        "Daily 06:30 at risk: restart load by 06:00 (in 2 h 34 min), once its upstream has finished ["
    )
    assert "| it read data before hosts/extract finished\n" in body


def test_the_period_of_a_later_failure_is_not_beside_the_time_of_the_first() -> None:
    ledger = failed(service("daily", "06:30", LOAD))
    assert title(ledger, "03:12")
    first = written(ledger.incident().notices[0]).body
    ledger.run(EXTRACT, "03:20", RunState.FAILED, **ended("03:20", 2))
    untold = replace(ledger.estate.notifications, notified={})
    ledger.estate = replace(ledger.estate, notifications=untold)
    assert title(ledger, "03:23")
    later = written(ledger.incident().notices[0]).body
    assert "Since          03:12 UTC\nPeriod         03:10 UTC\n" in first
    assert "Since          03:12 UTC\nBusiness date" in later


def test_a_period_that_is_the_time_of_the_failure_is_no_row_of_its_own() -> None:
    ledger = failed(service("daily", "06:30", LOAD))
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 0))
    assert title(ledger, "03:12")
    assert "Since          03:10 UTC\nBusiness date" in written(ledger.incident().notices[0]).body


def test_the_end_names_services_of_one_title_once() -> None:
    """It was "Resolved: Stock mirror, Stock mirror safe"."""
    days = (service("mirror", "06:30", LOAD), service("mirror-archive", "07:30", LOAD), service("daily", "08:30", LOAD))
    ledger = failed(*(replace(day, title="Stock mirror") if "mirror" in day.name else day for day in days))
    ledger.evaluate("03:12")
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:30", 5))
    assert title(ledger, "03:36").startswith("Resolved: Stock mirror, Daily safe (")


def test_the_end_for_owners_is_about_the_service_that_was_at_risk_and_not_about_an_earlier_result() -> None:
    """It was "Resolved: Stock mirror 00:48 met at 00:46", a result of the day before."""
    other = job(3, "warehouse/other", target_id=2, expected=minutes(5))
    early, late = (service(name, due, end, notify=("biz",)) for name, due, end in
                   (("early", "04:30", other), ("late", "06:30", LOAD)))  # fmt: skip
    ledger = failed(early, late, more=(other,))
    ledger.evaluate("03:12")
    ledger.run(LOAD, "03:12", RunState.FAILED, **ended("03:13", 1))
    ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:20", 5))
    ledger.run(other, "03:26", RunState.SUCCEEDED, **ended("03:26", 5))
    ledger.evaluate("03:40")
    assert Timeliness.MET is ledger.day("early").timeliness
    ledger.run(LOAD, "03:12", RunState.SUCCEEDED, **ended("03:41", 5))
    ledger.evaluate("03:50")
    notices = [notice for incident in ledger.decisions.incidents for notice in incident.notices]
    [text] = [written(notice).title for notice in notices if notice.route == "biz"]
    assert text.startswith("Resolved: Late 06:30 "), text
