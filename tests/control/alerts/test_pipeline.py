"""Each stage of the pipeline for a notification: what it suppresses, why, until when, and the outcome."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta
from typing import Any

import pytest

from connectors.sdk.states import RunState, Verb
from console.control.alerts.suppression import quiet_until
from console.control.evaluate import evaluate
from console.control.snapshot.incremental import part_with
from console.domain.alert import (
    AcknowledgementFacts,
    AlertingSettings,
    NotificationState,
    OnCallShift,
    QuietHours,
    RotaRule,
    RouteRule,
    SilenceFacts,
    on_call,
)
from console.domain.calendar import MaintenanceWindow
from console.domain.decision import IncidentDecision
from console.domain.estate import CancelFacts, EvaluationSettings, JobFacts, RepairFacts
from console.domain.reason import GreenAgain, LaterRunGood, NativeStart, StartEffect
from console.domain.service import Timeliness
from console.domain.settings import Declared
from console.domain.switches import Modes, SwitchState
from tests.control.ledger import Ledger, ended
from tests.factories import at, daily, estate, feeds, job, minutes, service, target
from tests.messages import written
from tests.reasons import close_text, evidence_of, reason_of, zoned
from tests.rows import each_row

EXTRACT = job(1, "hosts/extract", "03:10", expected=minutes(20), notify=("oncall",), owner="etl")
LOAD = job(2, "warehouse/load", expected=minutes(30), target_id=2)
OTHER = job(3, "hosts/other", "11:00", expected=minutes(20), notify=("oncall",))
NIGHTS = QuietHours(time(22), time(6), "UTC")


def night(
    *routes: RouteRule,
    tier: int = 2,
    notifications: NotificationState | None = None,
    notify: tuple[str, ...] = (),
    **more: Any,
) -> Ledger:
    """A job that feeds a service of that tier, and one that nobody waits for; nothing has failed."""
    facts = estate(
        EXTRACT, LOAD, OTHER,
        feeds=feeds(EXTRACT, LOAD),
        services=[service("daily", "06:30", LOAD, tier=tier, notify=notify)],
        targets=[target(1), target(2, "warehouse", "warehouse")],
        settings=EvaluationSettings(default_route=("default",)),
    )  # fmt: skip
    declared = Declared(alerting=AlertingSettings(routes=routes, **more))
    ledger = Ledger(replace(facts, declared=declared, notifications=notifications or NotificationState()))
    ledger.evaluate("02:00")
    return ledger


def fails(of: Ledger, root: JobFacts = EXTRACT, clock: str = "03:10") -> None:
    of.run(root, clock, RunState.FAILED, **ended(clock, 2))


def recovers(of: Ledger, root: JobFacts = EXTRACT, started: str = "03:20", takes: float = 5) -> None:
    of.run(root, "03:10", RunState.SUCCEEDED, **ended(started, takes))


def person_acts(of: Ledger, **changes: Any) -> None:
    """What people say in between."""
    of.estate = replace(of.estate, notifications=replace(of.estate.notifications, **changes))


def sent_at(of: Ledger, clock: str) -> list[tuple[str, str]]:
    """(kind, route) of everything that leaves at that time."""
    decisions = of.evaluate(clock)
    return [(notice.kind.value, notice.route) for incident in decisions.incidents for notice in incident.notices]


def held(of: Ledger) -> list[tuple[str, str]]:
    return [
        (suppression.stage, suppression.why)
        for incident in of.decisions.incidents
        for suppression in incident.suppressions.notices
    ]


def only(of: Ledger) -> IncidentDecision:
    return of.incident()


def test_without_a_rule_a_failure_is_notified_at_once_and_once() -> None:
    ledger = night()
    fails(ledger)
    assert [("opened", "oncall")] == sent_at(ledger, "03:12")
    assert [] == sent_at(ledger, "03:30")


# for
def test_a_condition_that_has_not_held_for_long_enough_waits_and_says_so() -> None:
    ledger = night(RouteRule("oncall", wait=timedelta(minutes=5)))
    fails(ledger)
    assert [] == sent_at(ledger, "03:13")
    assert [("wait", "notified once it has lasted 5m")] == held(ledger)
    assert ledger.decisions.next_at is not None
    assert ledger.decisions.next_at <= at("03:17")
    assert [("opened", "oncall")] == sent_at(ledger, "03:17")
    assert [] == held(ledger)


def test_an_incident_that_ended_before_its_for_is_not_notified_and_the_timeline_says_why() -> None:
    ledger = night(RouteRule("oncall", wait=timedelta(minutes=30)))
    fails(ledger)
    sent_at(ledger, "03:13")
    recovers(ledger)
    assert [] == sent_at(ledger, "03:26")
    assert ["resolved before it had lasted that long"] == [why for _, why in only(ledger).suppressions.dropped]


def test_a_condition_that_lasted_longer_than_its_for_without_an_evaluation_is_notified_all_the_same() -> None:
    ledger = night(RouteRule("oncall", wait=timedelta(minutes=5)))
    fails(ledger)
    sent_at(ledger, "03:13")
    recovers(ledger)
    assert [("recovered", "oncall")] == sent_at(ledger, "03:40")


def test_an_incident_that_ended_before_its_for_is_not_notified_by_a_later_evaluation_either() -> None:
    ledger = night(RouteRule("oncall", wait=timedelta(minutes=30)))
    fails(ledger)
    sent_at(ledger, "03:13")
    recovers(ledger)
    assert [] == sent_at(ledger, "04:30")
    assert ["resolved before it had lasted that long"] == [why for _, why in only(ledger).suppressions.dropped]


def test_tier_1_waits_for_nothing() -> None:
    patient = RouteRule("oncall", wait=timedelta(minutes=5), quiet=NIGHTS)
    ledger = night(patient, tier=1)
    fails(ledger)
    assert [("opened", "oncall")] == sent_at(ledger, "03:12")


# inhibit
def test_a_job_on_a_target_that_does_not_answer_is_explained_by_the_targets_incident() -> None:
    ledger = night()
    ledger.target(1, failing_since=at("02:30"), error="no route to host", error_kind="unreachable")
    assert [("opened", "default")] == sent_at(ledger, "03:08")
    fails(ledger, OTHER)
    assert [] == [route for _, route in sent_at(ledger, "03:13") if route == "oncall"]


def inhibited() -> Ledger:
    """OTHER waits to be notified when its target falls silent."""
    ledger = night(RouteRule("oncall", wait=timedelta(minutes=5)))
    fails(ledger, OTHER, "03:06")
    assert [] == sent_at(ledger, "03:08")
    ledger.target(1, failing_since=at("03:09"), error="no route to host", error_kind="unreachable")
    assert [("opened", "default")] == sent_at(ledger, "03:13")
    return ledger


def test_a_failed_job_is_inhibited_while_its_target_is_down() -> None:
    ledger = inhibited()
    assert [] == sent_at(ledger, "03:18")
    assert [("inhibit", "INC-0002: its target is down")] == held(ledger)
    ledger.target(1, failing_since=None, error="", error_kind="")
    recovers(ledger)
    assert [("opened", "oncall"), ("recovered", "default")] == sent_at(ledger, "03:40")


def test_a_notified_incident_is_not_repeated_while_its_target_is_down() -> None:
    ledger = night(RouteRule("oncall", repeat_every=timedelta(minutes=5)))
    fails(ledger, OTHER, "03:06")
    assert [("opened", "oncall")] == sent_at(ledger, "03:08")
    ledger.target(1, failing_since=at("03:09"), error="no route to host", error_kind="unreachable")
    assert [("opened", "default")] == sent_at(ledger, "03:13")
    assert [] == sent_at(ledger, "03:30")
    ledger.target(1, failing_since=None, error="", error_kind="")
    recovers(ledger)
    assert [("repeated", "oncall"), ("recovered", "default")] == sent_at(ledger, "03:40")


# silence
@each_row(
    "matchers, mutes",
    [
        ({"system": "hosts"}, True),
        ({"job": "hosts/ex*"}, True),
        ({"job": "warehouse/*"}, False),
        ({"service": "daily"}, True),
        ({"tier": "2"}, True),
        ({"tier": "3"}, False),
        ({"owner": "etl"}, True),
        ({"route": "oncall"}, True),
        ({"system": "hosts", "tier": "3"}, False),
        ({}, False),
    ],
)
def test_a_silence_mutes_what_fits_all_of_its_matchers(matchers: dict[str, str], mutes: bool) -> None:
    mute = SilenceFacts(4, tuple(matchers.items()), at("03:00"), at("05:00"), "ann", "disk swap")
    ledger = night(notifications=NotificationState(silences=(mute,)))
    fails(ledger)
    assert ([] if mutes else [("opened", "oncall")]) == sent_at(ledger, "03:12")
    assert ([("silence", "silence 4 of ann: disk swap")] if mutes else []) == held(ledger)


def test_an_incident_still_open_when_its_silence_ends_is_notified_then() -> None:
    mute = SilenceFacts(4, (("system", "hosts"),), at("03:00"), at("05:00"), "ann")
    ledger = night(notifications=NotificationState(silences=(mute,)))
    fails(ledger)
    assert [] == sent_at(ledger, "04:59")
    assert [("opened", "oncall")] == sent_at(ledger, "05:00")


def test_an_incident_resolved_while_silenced_is_not_notified_and_that_is_recorded() -> None:
    mute = SilenceFacts(4, (("system", "hosts"),), at("03:00"), at("05:00"), "ann")
    ledger = night(notifications=NotificationState(silences=(mute,)))
    fails(ledger)
    sent_at(ledger, "03:12")
    recovers(ledger)
    assert [] == sent_at(ledger, "03:26")
    assert ["resolved while silenced"] == [why for _, why in only(ledger).suppressions.dropped]


def test_a_route_notified_before_the_silence_is_notified_of_the_end() -> None:
    ledger = night()
    fails(ledger)
    assert [("opened", "oncall")] == sent_at(ledger, "03:12")
    person_acts(ledger, silences=(SilenceFacts(4, (("system", "hosts"),), at("03:00"), at("05:00"), "ann"),))
    recovers(ledger)
    assert [("recovered", "oncall")] == sent_at(ledger, "03:26")


def test_an_incident_that_outlasted_its_silence_is_notified_by_a_later_evaluation() -> None:
    mute = SilenceFacts(4, (("system", "hosts"),), at("03:00"), at("03:30"), "ann")
    ledger = night(notifications=NotificationState(silences=(mute,)))
    fails(ledger)
    assert [] == sent_at(ledger, "03:13")
    recovers(ledger, started="03:40")
    assert [("recovered", "oncall")] == sent_at(ledger, "03:50")


def test_a_route_that_was_never_notified_gets_no_resolution_through_a_silence() -> None:
    ledger = night(RouteRule("oncall", wait=timedelta(minutes=5)))
    fails(ledger)
    sent_at(ledger, "03:13")
    person_acts(ledger, silences=(SilenceFacts(4, (("system", "hosts"),), at("03:14"), at("09:00"), "ann"),))
    recovers(ledger)
    assert [] == sent_at(ledger, "03:40")
    assert [] == held(ledger)
    assert ["resolved while silenced"] == [why for _, why in only(ledger).suppressions.dropped]


# what held it ended while no engine worked
def test_an_incident_that_outlasted_its_maintenance_is_notified_by_a_later_evaluation() -> None:
    ledger = in_maintenance()
    fails(ledger)
    assert [] == sent_at(ledger, "03:13")
    recovers(ledger, started="03:40")
    assert [("recovered", "oncall")] == sent_at(ledger, "04:30")


def test_an_incident_resolved_in_its_maintenance_is_not_notified_by_a_later_evaluation_either() -> None:
    ledger = in_maintenance()
    fails(ledger)
    assert [] == sent_at(ledger, "03:13")
    recovers(ledger, started="03:20")
    assert [] == sent_at(ledger, "04:30")
    assert ["resolved during maintenance"] == [why for _, why in only(ledger).suppressions.dropped]


def in_maintenance() -> Ledger:
    ledger = night()
    planned = MaintenanceWindow("kernel patches", since=at("03:00"), until=at("03:30"), jobs=("hosts/*",))
    ledger.estate = replace(ledger.estate, declared=replace(ledger.estate.declared, maintenance=(planned,)))
    return ledger


def test_an_incident_that_ended_while_its_target_was_down_is_not_notified() -> None:
    ledger = inhibited()
    ledger.target(1, failing_since=None, error="", error_kind="")
    recovers(ledger)
    ledger.run(OTHER, "03:06", RunState.SUCCEEDED, **ended("03:20", 5))
    assert [("recovered", "default")] == sent_at(ledger, "03:40")
    dropped = [why for incident in ledger.decisions.incidents for _, why in incident.suppressions.dropped]
    assert ["resolved with its parent incident"] == dropped


# repeat, acknowledge, escalate
def test_an_unacknowledged_incident_is_repeated_until_acknowledged() -> None:
    ledger = night(RouteRule("oncall", repeat_every=timedelta(minutes=30)))
    fails(ledger)
    sent_at(ledger, "03:12")
    assert [] == sent_at(ledger, "03:41")
    assert [("repeated", "oncall")] == sent_at(ledger, "03:42")
    person_acts(ledger, acks={1: AcknowledgementFacts("ann", at("05:00"))})
    assert [] == sent_at(ledger, "04:12")
    assert [("acknowledgement", "acknowledged by ann until 05:00 UTC")] == held(ledger)
    assert [("repeated", "oncall")] == sent_at(ledger, "05:00")


def test_an_unacknowledged_incident_escalates_to_the_next_routes_in_order() -> None:
    rule = RouteRule("oncall", escalate_after=timedelta(minutes=15), escalate_to=("manager", "head"))
    ledger = night(rule)
    fails(ledger)
    sent_at(ledger, "03:12")
    assert [] == sent_at(ledger, "03:26")
    assert [("escalated", "manager")] == sent_at(ledger, "03:27")
    assert [("escalated", "head")] == sent_at(ledger, "03:42")
    recovers(ledger, started="03:45")
    assert [("recovered", "oncall"), ("recovered", "manager"), ("recovered", "head")] == sent_at(ledger, "03:51")


def test_a_route_notified_of_the_impact_alone_is_called_to_fix_it_once() -> None:
    ledger = night(RouteRule("oncall", escalate_after=timedelta(minutes=15), escalate_to=("boss",)), notify=("boss",))
    fails(ledger)
    assert [("opened", "oncall"), ("opened", "boss")] == sent_at(ledger, "03:12")
    assert [("escalated", "boss")] == sent_at(ledger, "03:27")
    assert [] == [pair for pair in sent_at(ledger, "03:45") if pair[0] == "escalated"]
    recovers(ledger, started="03:46")
    assert [("recovered", "oncall"), ("recovered", "boss")] == sent_at(ledger, "03:52")


@pytest.mark.parametrize("order", [1, -1])
def test_a_receiver_on_both_kinds_of_routes_learns_the_cause_in_any_order(order: int) -> None:
    rules = (RouteRule(name, escalate_after=timedelta(minutes=15), escalate_to=("boss",))
             for name in ("oncall", "planning"))  # fmt: skip
    ledger = night(*rules, notify=("planning",))
    fails(ledger)
    sent_at(ledger, "03:12")
    person_acts(
        ledger,
        notified={
            number: notifications[::order] for number, notifications in ledger.estate.notifications.notified.items()
        },
    )
    notices = [
        notice
        for incident in ledger.evaluate("03:27").incidents
        for notice in incident.notices
        if notice.route == "boss"
    ]
    assert ["technical"] == [notice.style for notice in notices]


def test_an_escalation_pauses_while_somebody_is_on_it_and_goes_on_when_that_lapses() -> None:
    ledger = night(RouteRule("oncall", escalate_after=timedelta(minutes=15), escalate_to=("manager",)))
    fails(ledger)
    sent_at(ledger, "03:12")
    person_acts(ledger, acks={1: AcknowledgementFacts("ann", at("04:20"), "looking")})
    assert [] == sent_at(ledger, "03:30")
    assert [("acknowledgement", "acknowledged by ann until 04:20 UTC")] == held(ledger)
    assert [("escalated", "manager")] == sent_at(ledger, "04:20")


def test_an_acknowledgement_beyond_midnight_is_shown_with_its_date() -> None:
    ledger = night(RouteRule("oncall", repeat_every=timedelta(minutes=10)))
    fails(ledger)
    sent_at(ledger, "03:12")
    person_acts(ledger, acks={1: AcknowledgementFacts("ann", at("00:00", 1))})
    assert [] == sent_at(ledger, "03:30")
    assert [("acknowledgement", "acknowledged by ann until 21 Nov 00:00 UTC")] == held(ledger)


def test_news_is_notified_although_the_incident_is_acknowledged() -> None:
    ledger = night()
    fails(ledger)
    sent_at(ledger, "03:12")
    person_acts(ledger, acks={1: AcknowledgementFacts("ann", at("05:00"))})
    recovers(ledger)
    assert [("recovered", "oncall")] == sent_at(ledger, "03:26")


def test_an_incident_that_failed_again_restarts_its_time_to_escalation() -> None:
    ledger = night(RouteRule("oncall", escalate_after=timedelta(minutes=15), escalate_to=("manager",)))
    fails(ledger)
    sent_at(ledger, "03:12")
    recovers(ledger, started="03:13", takes=2)
    sent_at(ledger, "03:16")
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:40", 2))
    assert [("updated", "oncall")] == sent_at(ledger, "03:43")
    assert ledger.decisions.next_at is not None
    assert ledger.decisions.next_at <= at("03:58")
    assert [] == sent_at(ledger, "03:57")
    assert [("escalated", "manager")] == sent_at(ledger, "03:58")


# what an acknowledgement covers
def acknowledged_with_a_stale_load(*routes: RouteRule) -> Ledger:
    """The extract has failed and is acknowledged until 06:00; the load has run on what it left, so the incident stays
    open once the extract is green."""
    ledger = night(*(routes or (RouteRule("oncall"),)))
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2), exit_code=1, message="disk full on /var")
    ledger.run(LOAD, "03:20", RunState.SUCCEEDED, **ended("03:20", 5))
    sent_at(ledger, "03:26")
    person_acts(ledger, acks={1: AcknowledgementFacts("ann", at("06:00"), at=at("03:26"))})
    return ledger


def rerun(of: Ledger, clock: str, state: RunState, **changes: Any) -> None:
    of.run(EXTRACT, "03:10", state, **ended(clock, 2), **changes)


@pytest.mark.parametrize("seen_green", [True, False])
def test_another_error_after_a_success_is_notified_although_the_incident_is_acknowledged(seen_green: bool) -> None:
    ledger = acknowledged_with_a_stale_load()
    rerun(ledger, "03:30", RunState.SUCCEEDED)
    if seen_green:
        assert [] == sent_at(ledger, "03:33")
        assert 1 in ledger.estate.notifications.acks
    rerun(ledger, "03:40", RunState.FAILED, exit_code=7, message="relation orders does not exist")
    assert [("updated", "oncall")] == sent_at(ledger, "03:43")
    notice = only(ledger).notices[0]
    assert "Failed again after a success, with another error: hosts/extract" in written(notice).body
    assert "Acknowledge  headway ack" in written(notice).body
    assert not ledger.estate.notifications.acks
    assert [] == sent_at(ledger, "03:50")


def test_another_exit_code_is_another_error() -> None:
    ledger = acknowledged_with_a_stale_load()
    rerun(ledger, "03:30", RunState.SUCCEEDED)
    rerun(ledger, "03:40", RunState.FAILED, exit_code=7, message="disk full on /var")
    assert [("updated", "oncall")] == sent_at(ledger, "03:43")


def test_the_same_error_after_a_success_stays_acknowledged() -> None:
    ledger = acknowledged_with_a_stale_load(RouteRule("oncall", repeat_every=timedelta(minutes=30)))
    rerun(ledger, "03:30", RunState.SUCCEEDED)
    sent_at(ledger, "03:33")
    rerun(ledger, "03:40", RunState.FAILED, exit_code=1, message="disk full on /var")
    assert [] == sent_at(ledger, "03:43")
    assert [] == sent_at(ledger, "04:00")
    assert [("acknowledgement", "acknowledged by ann until 06:00 UTC")] == held(ledger)


@pytest.mark.parametrize("error", [{"exit_code": 1, "message": "disk full on /var"}, {}])
def test_the_same_error_after_a_success_is_notified_for_a_cause_only(error: dict[str, Any]) -> None:
    ledger = night()
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2), **error)
    ledger.run(LOAD, "03:20", RunState.FAILED, **ended("03:20", 5), exit_code=1, message="no orders")
    sent_at(ledger, "03:26")
    ledger.run(LOAD, "03:20", RunState.SUCCEEDED, **ended("03:30", 5))
    ledger.run(LOAD, "03:20", RunState.FAILED, **ended("03:36", 2), exit_code=1, message="no orders")
    assert [] == sent_at(ledger, "03:39")
    rerun(ledger, "03:40", RunState.SUCCEEDED)
    assert [] == sent_at(ledger, "03:43")
    rerun(ledger, "03:44", RunState.FAILED, **error)
    assert [("updated", "oncall")] == sent_at(ledger, "03:47")
    assert "Failed again after a success: hosts/extract" in written(only(ledger).notices[0]).body
    assert [] == sent_at(ledger, "03:50")


def test_a_rerun_that_fails_with_another_error_without_a_success_stays_acknowledged() -> None:
    ledger = acknowledged_with_a_stale_load()
    rerun(ledger, "03:30", RunState.FAILED, exit_code=7, message="relation orders does not exist")
    assert [] == sent_at(ledger, "03:33")
    assert 1 in ledger.estate.notifications.acks
    assert [("acknowledgement", "acknowledged by ann until 06:00 UTC")] == held(ledger)
    assert [("updated", "oncall")] == sent_at(ledger, "06:01")
    assert "Failed again, with another error: hosts/extract" in written(only(ledger).notices[0]).body


def test_an_acknowledgement_does_not_suppress_a_service_that_is_affected_beside_another_error() -> None:
    ledger = acknowledged_with_a_stale_load()
    ledger.estate = replace(ledger.estate, services=(*ledger.estate.services, service("orders", "07:00", EXTRACT)))
    rerun(ledger, "03:30", RunState.FAILED, exit_code=7, message="relation orders does not exist")
    assert [("updated", "oncall")] == sent_at(ledger, "03:33")


def alternate(ledger: Ledger, acknowledged: bool) -> list[tuple[str, str]]:
    """Seven successes, each followed by a failure with the other of two errors."""
    sent = []
    for number, minute in enumerate(range(30, 58, 4)):
        rerun(ledger, f"03:{minute}", RunState.SUCCEEDED)
        exit_code, message = (1, "disk full on /var") if number % 2 else (7, "relation orders does not exist")
        rerun(ledger, f"03:{minute + 1}", RunState.FAILED, exit_code=exit_code, message=message)
        sent += sent_at(ledger, f"03:{minute + 3}")
        if acknowledged:
            person_acts(ledger, acks={1: AcknowledgementFacts("ann", at("06:00"), at=at(f"03:{minute + 3}"))})
    return sent


def test_a_job_that_fails_alternately_with_two_errors_is_notified_of_each_once() -> None:
    ledger = acknowledged_with_a_stale_load()
    assert [("updated", "oncall")] == alternate(ledger, acknowledged=True)
    assert 1 in ledger.estate.notifications.acks


def test_a_job_whose_error_always_differs_is_notified_a_bounded_number_of_times() -> None:
    ledger, sent = acknowledged_with_a_stale_load(), []
    for exit_code, minute in enumerate(range(30, 58, 4), 10):
        rerun(ledger, f"03:{minute}", RunState.SUCCEEDED)
        rerun(ledger, f"03:{minute + 1}", RunState.FAILED, exit_code=exit_code)
        sent += sent_at(ledger, f"03:{minute + 3}")
    assert [("updated", "oncall")] * 2 == sent


def test_a_success_in_between_does_not_restart_the_wait_of_an_open_incident() -> None:
    ledger = night(RouteRule("oncall", wait=timedelta(minutes=10)))
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2), exit_code=1, message="disk full on /var")
    ledger.run(LOAD, "03:20", RunState.SUCCEEDED, **ended("03:20", 1))
    assert [] == sent_at(ledger, "03:21")
    assert [("opened", "oncall")] == alternate(ledger, acknowledged=False)[:1]


def test_an_error_that_is_reported_after_the_failure_is_the_one_that_was_notified() -> None:
    ledger = night()
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2))
    ledger.run(LOAD, "03:20", RunState.SUCCEEDED, **ended("03:20", 5))
    sent_at(ledger, "03:26")
    rerun(ledger, "03:10", RunState.FAILED, message="disk full on /var")
    assert [] == sent_at(ledger, "03:28")
    rerun(ledger, "03:30", RunState.SUCCEEDED)
    rerun(ledger, "03:40", RunState.FAILED, message="relation orders does not exist")
    assert [("updated", "oncall")] == sent_at(ledger, "03:43")


def test_a_symptom_that_fails_again_after_a_success_with_another_error_is_notified() -> None:
    ledger = night()
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2), exit_code=1)
    ledger.run(LOAD, "03:20", RunState.FAILED, **ended("03:20", 5), exit_code=1, message="no orders")
    sent_at(ledger, "03:26")
    person_acts(ledger, acks={1: AcknowledgementFacts("ann", at("06:00"), at=at("03:26"))})
    ledger.run(LOAD, "03:20", RunState.SUCCEEDED, **ended("03:30", 5))
    assert [] == sent_at(ledger, "03:36")
    ledger.run(LOAD, "03:20", RunState.FAILED, **ended("03:40", 5), exit_code=3, message="disk quota exceeded")
    assert [("updated", "oncall")] == sent_at(ledger, "03:46")
    assert "Failed again after a success, with another error: warehouse/load" in written(only(ledger).notices[0]).body
    assert not ledger.estate.notifications.acks


def cancelled(of: Ledger, clock: str) -> None:
    of.run(OTHER, "02:10", RunState.CANCELLED, **ended(clock, 5))
    root = of.state(OTHER, "02:10")
    cancel = CancelFacts(root.job_id, "bob", "wrong date", root.ended_at or at(clock))
    of.estate = replace(of.estate, cancels={root.id: cancel})


def test_a_cancellation_that_affects_nothing_is_listed_as_suppressed() -> None:
    ledger = night()
    cancelled(ledger, "02:10")
    assert [] == sent_at(ledger, "02:16")
    assert [("cancelled", "bob cancelled it through Headway")] == held(ledger)
    ledger.run(OTHER, "02:10", RunState.SUCCEEDED, **ended("02:30", 5))
    assert [] == sent_at(ledger, "02:36")


def test_who_was_notified_of_the_failure_before_the_cancellation_is_notified_of_the_resolution() -> None:
    ledger = night()
    fails(ledger, OTHER, "02:10")
    assert [("opened", "oncall")] == sent_at(ledger, "02:13")
    cancelled(ledger, "02:20")
    assert [] == sent_at(ledger, "02:26")
    ledger.run(OTHER, "02:10", RunState.SUCCEEDED, **ended("02:30", 5))
    assert [("recovered", "oncall")] == sent_at(ledger, "02:36")


# one zone, and the repair
def test_an_alert_has_one_zone_that_of_its_service() -> None:
    ledger = night(RouteRule("oncall", repeat_every=timedelta(minutes=5)))
    zoned = tuple(replace(service, zone="Europe/Berlin") for service in ledger.estate.services)
    ledger.estate = replace(ledger.estate, services=zoned)
    fails(ledger)
    sent_at(ledger, "03:12")
    body = written(only(ledger).notices[0]).body
    assert "Since          04:12 CET\n" in body
    assert "SERVICE  DUE (CET)  STATUS" in body
    assert "UTC" not in body


def test_a_resolved_alert_names_the_repair_and_not_the_failure() -> None:
    ledger = night()
    fails(ledger)
    sent_at(ledger, "03:12")
    root = ledger.state(EXTRACT, "03:10")
    ledger.estate = replace(ledger.estate, repairs={root.id: RepairFacts(root.job_id, Verb.RERUN, "anna", at("03:15"))})
    recovers(ledger, started="03:20", takes=2)
    assert [("recovered", "oncall")] == sent_at(ledger, "03:23")
    notice = only(ledger).notices[0]
    assert (
        "Resolved: Daily safe ({incident}, 10 min, rerun by anna)"
        == written(notice).title
        == written(notice).plain_title
    )
    assert GreenAgain("rerun by anna", 120.0) == only(ledger).close_reason
    assert "Repaired       rerun by anna, good at 03:22 UTC, ran 2 min\n" in written(notice).body
    assert "failed" not in written(notice).title + written(notice).body


def test_a_rerun_that_its_scheduler_shows_as_a_later_run_is_named_as_the_repair() -> None:
    """As of pg_cron: the failed run stays red."""
    ledger = night()
    fails(ledger)
    sent_at(ledger, "03:12")
    root = ledger.state(EXTRACT, "03:10")
    ledger.estate = replace(ledger.estate, repairs={root.id: RepairFacts(root.job_id, Verb.RERUN, "anna", at("03:15"))})
    ledger.run(EXTRACT, "03:20", RunState.SUCCEEDED, **ended("03:20", 2))
    assert ("recovered", "oncall") in sent_at(ledger, "03:23")
    notice = only(ledger).notices[0]
    assert "Resolved: Daily safe ({incident}, 10 min, rerun by anna)" == written(notice).title
    assert GreenAgain("rerun by anna", 120.0) == only(ledger).close_reason
    assert "Repaired       rerun by anna, good at 03:22 UTC, ran 2 min\n" in written(notice).body


def first_of_two_is_rerun(*, in_flight: bool) -> Ledger:
    """The job failed twice, both are notified, and anna reran the first."""
    ledger = night()
    fails(ledger)
    sent_at(ledger, "03:12")
    first = ledger.state(EXTRACT, "03:10")
    ledger.run(EXTRACT, "03:13", RunState.FAILED, **ended("03:13", 1))
    sent_at(ledger, "03:14")
    repair = RepairFacts(first.job_id, Verb.RERUN, "anna", at("03:15"), in_flight=in_flight)
    ledger.estate = replace(ledger.estate, repairs={first.id: repair})
    return ledger


def test_a_rerun_of_an_earlier_failure_is_the_repair_before_its_action_is_verified() -> None:
    """As of a plan of two failures of pg_cron."""
    ledger = first_of_two_is_rerun(in_flight=True)
    ledger.run(EXTRACT, "03:20", RunState.SUCCEEDED, **ended("03:20", 2))
    assert ("recovered", "oncall") in sent_at(ledger, "03:23")
    assert "Resolved: Daily safe ({incident}, 10 min, rerun by anna)" == written(only(ledger).notices[0]).title
    assert close_text(only(ledger)).startswith("green again (rerun by anna")


def test_a_verified_rerun_of_an_earlier_run_is_the_repair_if_the_scheduled_run_was_good_later() -> None:
    """As of a cron job of every minute: the rerun is attempt 2 of the earlier run."""
    ledger = first_of_two_is_rerun(in_flight=False)
    recovers(ledger, started="03:15", takes=2)
    ledger.run(EXTRACT, "03:16", RunState.SUCCEEDED, **ended("03:16", 2))
    sent_at(ledger, "03:19")
    assert GreenAgain("rerun by anna", 120.0) == only(ledger).close_reason


def test_a_rerun_that_began_before_the_next_failure_or_ended_after_the_scheduled_success_did_not_repair_it() -> None:
    for failed, succeeded in (("03:16", "03:18"), ("03:13", "03:15")):
        ledger = night()
        fails(ledger)
        sent_at(ledger, "03:12")
        first = ledger.state(EXTRACT, "03:10")
        ledger.run(EXTRACT, failed, RunState.FAILED, **ended(failed, 1))
        sent_at(ledger, "03:17")
        repair = RepairFacts(first.job_id, Verb.RERUN, "anna", at("03:15"))
        ledger.estate = replace(ledger.estate, repairs={first.id: repair})
        recovers(ledger, started="03:15", takes=2)
        ledger.run(EXTRACT, succeeded, RunState.SUCCEEDED, **ended(succeeded, 1))
        sent_at(ledger, "03:20")
        assert LaterRunGood() == only(ledger).close_reason


@pytest.mark.parametrize("in_flight, repaired", [(False, ("rerun by anna",)), (True, ())])
def test_an_incident_whose_root_is_superseded_names_who_reran_what_it_affected(
    in_flight: bool, repaired: tuple[str, ...]
) -> None:
    """A run that began after a rerun was sent may be one that its schedule started."""
    ledger = night()
    fails(ledger)
    ledger.run(LOAD, "03:20", RunState.FAILED, **ended("03:20", 1))
    sent_at(ledger, "03:22")
    ledger.run(EXTRACT, "03:25", RunState.SUCCEEDED, **ended("03:25", 1))
    sent_at(ledger, "03:27")
    load = ledger.state(LOAD, "03:20")
    repair = RepairFacts(load.job_id, Verb.RERUN, "anna", at("03:28"), in_flight)
    ledger.estate = replace(ledger.estate, repairs={load.id: repair})
    ledger.run(LOAD, "03:20", RunState.SUCCEEDED, **ended("03:28", 1))
    sent_at(ledger, "03:30")
    assert LaterRunGood(repaired) == only(ledger).close_reason


def test_the_error_of_a_symptom_that_failed_before_its_root_is_in_the_alert() -> None:
    ledger = night()
    ledger.run(EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:10"))
    ledger.run(LOAD, "03:11", RunState.FAILED, **ended("03:11", 1), message='relation "gone" does not exist')
    sent_at(ledger, "03:12")
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 4), exit_code=3)
    sent_at(ledger, "03:15")
    (incident,) = ledger.decisions.incidents
    assert 'Failed before  warehouse/load: relation "gone" does not exist\n' in written(incident.notices[0]).body
    assert "Failed before" not in written(incident.notices[0]).plain_body


def test_the_error_of_a_symptom_that_failed_between_two_attempts_of_its_root_is_not_in_the_alert() -> None:
    ledger = night()
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2), exit_code=3)
    ledger.run(LOAD, "03:20", RunState.FAILED, **ended("03:20", 1), message="no input")
    sent_at(ledger, "03:22")
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:25", 1), exit_code=9)
    assert [("updated", "oncall")] == sent_at(ledger, "03:27")
    assert "Failed before" not in written(only(ledger).notices[0]).body


DISK_FULL = "stock.csv: No space left on device"


def test_another_job_that_fails_with_an_error_of_its_own_is_an_update_with_that_error() -> None:
    ledger = night()
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2), exit_code=3)
    sent_at(ledger, "03:13")
    ledger.run(LOAD, "03:20", RunState.FAILED, **ended("03:20", 1), exit_code=1)
    assert [] == sent_at(ledger, "03:22")
    load = ledger.state(LOAD, "03:20")
    ledger.run(LOAD, "03:20", RunState.FAILED, **ended("03:20", 1), exit_code=1, tail=f"begins\n{DISK_FULL}\n")
    assert load.attempt == ledger.state(LOAD, "03:20").attempt
    assert [("updated", "oncall")] == sent_at(ledger, "03:23")
    notice = only(ledger).notices[0]
    assert "failed as well, with an error of its own: warehouse/load" == zoned(only(ledger).event)
    assert f"Also failed    warehouse/load: exit 1: {DISK_FULL}\n" in written(notice).body
    assert DISK_FULL not in written(notice).plain_body
    assert [] == sent_at(ledger, "03:30")


def test_another_job_that_failed_by_itself_before_the_first_notification_is_no_later_update() -> None:
    ledger = night()
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2), exit_code=3)
    ledger.run(LOAD, "03:20", RunState.FAILED, **ended("03:20", 1), exit_code=1, message=DISK_FULL)
    assert [("opened", "oncall")] == sent_at(ledger, "03:22")
    assert f"Also failed    warehouse/load: exit 1: {DISK_FULL}\n" in written(only(ledger).notices[0]).body
    assert [] == sent_at(ledger, "03:30")


def test_the_start_that_limits_a_repair_is_the_last_in_time_of_a_job_that_starts_before_it() -> None:
    """The start of 06:00 decides whether the service is in time; the next start is that of 03:15."""
    every = replace(daily("03:00"), expression="*/15 * * * *")
    often = replace(LOAD, schedule=every, accepted_at=at("03:01"))
    facts = estate(
        EXTRACT, often,
        feeds=feeds(EXTRACT, often),
        services=[service("daily", "06:30", often)],
        targets=[target(1), target(2, "warehouse", "warehouse")],
    )  # fmt: skip
    ledger = Ledger(facts)
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2), exit_code=3)
    sent_at(ledger, "03:12")
    assert "load  06:00        " in written(only(ledger).notices[0]).body
    [reason] = [reason for reason in only(ledger).services[0].reasons if isinstance(reason, NativeStart)]
    assert (StartEffect.LAST_IN_TIME, True, at("06:00")) == (reason.effect, reason.is_last, reason.at)


def test_an_earlier_failure_of_the_root_whose_rerun_is_under_way_is_no_error_of_another_job() -> None:
    ledger = night()
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2), exit_code=3, message=DISK_FULL)
    sent_at(ledger, "03:13")
    ledger.run(EXTRACT, "03:20", RunState.FAILED, **ended("03:20", 2), exit_code=3, message=DISK_FULL)
    assert [] == sent_at(ledger, "03:23")
    ledger.run(EXTRACT, "03:20", RunState.RUNNING, started_at=at("03:24"))
    assert [] == sent_at(ledger, "03:25")
    assert "" == zoned(only(ledger).event)


def test_another_job_that_blames_what_its_root_blames_is_no_update() -> None:
    ledger = night()
    refused = 'FATAL: password authentication failed for user "etl"'
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2), exit_code=3, message=refused)
    sent_at(ledger, "03:13")
    ledger.run(LOAD, "03:20", RunState.FAILED, **ended("03:20", 1), exit_code=1, message=refused)
    assert [] == sent_at(ledger, "03:22")


def test_a_repair_that_was_sent_after_the_success_began_did_not_repair_it() -> None:
    ledger = night()
    fails(ledger)
    sent_at(ledger, "03:12")
    root = ledger.state(EXTRACT, "03:10")
    ledger.estate = replace(ledger.estate, repairs={root.id: RepairFacts(root.job_id, Verb.RERUN, "anna", at("03:21"))})
    recovers(ledger, started="03:20", takes=2)
    sent_at(ledger, "03:23")
    assert "Resolved: Daily safe ({incident}, 10 min, attempt 2)" == written(only(ledger).notices[0]).title


def test_a_rerun_that_read_stale_data_did_not_repair_it() -> None:
    ledger = night()
    ledger.run(EXTRACT, "03:10", RunState.RUNNING, started_at=at("03:10"))
    ledger.run(LOAD, "03:20", RunState.FAILED, **ended("03:20", 2))
    sent_at(ledger, "03:22")
    root = ledger.state(LOAD, "03:20")
    ledger.estate = replace(ledger.estate, repairs={root.id: RepairFacts(root.job_id, Verb.RERUN, "anna", at("03:24"))})
    ledger.run(LOAD, "03:20", RunState.SUCCEEDED, **ended("03:25", 2))
    sent_at(ledger, "03:28")
    recovers(ledger, started="03:10", takes=25)
    sent_at(ledger, "03:36")
    ledger.run(LOAD, "03:40", RunState.SUCCEEDED, **ended("03:40", 2))
    assert ("recovered", "default") in sent_at(ledger, "03:43")
    assert "Resolved: Daily safe ({incident}, 20 min)" == written(only(ledger).notices[0]).title
    assert "rerun by" not in written(only(ledger).notices[0]).body


def test_a_rerun_that_failed_before_another_run_succeeded_did_not_repair_it() -> None:
    ledger = night()
    fails(ledger)
    sent_at(ledger, "03:12")
    root = ledger.state(EXTRACT, "03:10")
    repair = RepairFacts(root.job_id, Verb.RERUN, "anna", at("03:15"), in_flight=True)
    ledger.estate = replace(ledger.estate, repairs={root.id: repair})
    ledger.run(EXTRACT, "03:16", RunState.FAILED, **ended("03:16", 2))
    sent_at(ledger, "03:18")
    ledger.run(EXTRACT, "03:20", RunState.SUCCEEDED, **ended("03:20", 2))
    assert ("recovered", "oncall") in sent_at(ledger, "03:23")
    assert "Resolved: Daily safe ({incident}, 10 min)" == written(only(ledger).notices[0]).title


def test_failed_since_is_after_the_last_success() -> None:
    ledger = acknowledged_with_a_stale_load()
    rerun(ledger, "03:30", RunState.SUCCEEDED)
    sent_at(ledger, "03:33")
    rerun(ledger, "03:40", RunState.FAILED, exit_code=1, message="disk full on /var")
    sent_at(ledger, "03:43")
    assert at("03:42") == only(ledger).failed_since


def test_failed_since_does_not_alternate_if_an_earlier_run_is_red_too() -> None:
    ledger = night()
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2), exit_code=1)
    ledger.run(EXTRACT, "03:20", RunState.FAILED, **ended("03:20", 2), exit_code=1)
    sent_at(ledger, "03:23")
    ledger.run(EXTRACT, "03:20", RunState.SUCCEEDED, **ended("03:30", 2))
    ledger.run(EXTRACT, "03:20", RunState.FAILED, **ended("03:40", 2), exit_code=1)
    sent_at(ledger, "03:43")
    stored = ledger.estate.incidents[0].failed_since
    [again] = evaluate(ledger.estate, at("03:43")).incidents
    assert [at("03:32")] * 2 == [stored, again.failed_since]


def test_a_reopened_incident_is_unacknowledged_and_escalates_again() -> None:
    ledger = night(RouteRule("oncall", escalate_after=timedelta(minutes=15), escalate_to=("manager",)))
    fails(ledger)
    sent_at(ledger, "03:12")
    person_acts(ledger, acks={1: AcknowledgementFacts("ann", at("06:00"), at=at("03:12"))})
    recovers(ledger, started="03:13", takes=2)
    assert [("recovered", "oncall")] == sent_at(ledger, "03:16")
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:40", 2))
    assert [("updated", "oncall")] == sent_at(ledger, "03:43")
    assert "Acknowledged by" not in written(only(ledger).notices[0]).body
    assert [("escalated", "manager")] == sent_at(ledger, "03:58")


def test_the_escalation_of_an_acknowledged_incident_with_another_error_restarts() -> None:
    rule = RouteRule("oncall", escalate_after=timedelta(minutes=15), escalate_to=("manager",))
    ledger = acknowledged_with_a_stale_load(rule)
    rerun(ledger, "03:30", RunState.SUCCEEDED)
    rerun(ledger, "04:40", RunState.FAILED, exit_code=7, message="relation orders does not exist")
    assert [("updated", "oncall")] == sent_at(ledger, "04:43")
    assert [] == sent_at(ledger, "04:57")
    assert [("escalated", "manager")] == sent_at(ledger, "04:58")


def test_another_root_cause_ends_the_acknowledgement() -> None:
    ledger = night()
    recovers(ledger, started="03:11", takes=2)
    ledger.run(LOAD, "03:20", RunState.FAILED, **ended("03:20", 5), exit_code=1)
    assert [("opened", "default")] == sent_at(ledger, "03:26")
    person_acts(ledger, acks={1: AcknowledgementFacts("ann", at("06:00"), at=at("03:26"))})
    rerun(ledger, "03:27", RunState.FAILED, exit_code=1)
    assert [("opened", "oncall")] == sent_at(ledger, "03:30")
    assert "root cause is hosts/extract" == zoned(only(ledger).event)
    assert not ledger.estate.notifications.acks


def test_an_error_that_is_new_in_maintenance_is_listed_as_suppressed() -> None:
    ledger = acknowledged_with_a_stale_load()
    rerun(ledger, "03:30", RunState.SUCCEEDED)
    sent_at(ledger, "03:33")
    window = MaintenanceWindow("patches", since=at("03:35"), until=at("04:30"), jobs=("hosts/*",))
    ledger.estate = replace(ledger.estate, declared=replace(ledger.estate.declared, maintenance=(window,)))
    rerun(ledger, "03:40", RunState.FAILED, exit_code=7, message="relation orders does not exist")
    assert [] == sent_at(ledger, "03:43")
    assert ["maintenance"] == [stage for stage, _ in held(ledger)]
    assert [("updated", "oncall")] == sent_at(ledger, "04:31")


def test_a_business_notification_escalates_too_and_to_each_route_once() -> None:
    rules = (RouteRule(name, "business", escalate_after=timedelta(minutes=15), escalate_to=("boss",))
             for name in ("oncall", "supply"))  # fmt: skip
    ledger = night(*rules, notify=("supply",))
    fails(ledger)
    assert [("opened", "oncall"), ("opened", "supply")] == sent_at(ledger, "03:12")
    assert ("escalated", "boss") not in sent_at(ledger, "03:26")
    assert [("escalated", "boss")] == [pair for pair in sent_at(ledger, "03:27") if pair[0] == "escalated"]
    assert {"business"} == {notice.style for notice in only(ledger).notices}
    assert ("escalated", "boss") not in sent_at(ledger, "03:50")


def test_an_escalation_waits_while_no_service_is_at_risk() -> None:
    ledger = night(RouteRule("oncall", escalate_after=timedelta(minutes=15), escalate_to=("manager",)))
    ledger.estate = replace(ledger.estate, dependencies=(*ledger.estate.dependencies, *feeds(EXTRACT, OTHER)))
    fails(ledger)
    sent_at(ledger, "03:12")
    ledger.run(OTHER, "03:14", RunState.SUCCEEDED, **ended("03:14", 2))
    sent_at(ledger, "03:17")
    recovers(ledger, started="03:18")
    assert "escalated" not in dict(sent_at(ledger, "03:29"))
    assert [("escalation", "no affected service is at risk")] == held(ledger)
    fails(ledger, clock="03:30")
    assert ("escalated", "manager") in sent_at(ledger, "03:48")


# quiet hours
def test_quiet_hours_hold_until_the_morning_what_is_still_so_then() -> None:
    ledger = night(RouteRule("oncall", quiet=NIGHTS))
    fails(ledger)
    assert [] == sent_at(ledger, "03:12")
    assert [("quiet hours", "quiet hours until 06:00 UTC")] == held(ledger)
    assert [("opened", "oncall")] == sent_at(ledger, "06:00")


def test_a_recovery_in_quiet_hours_pages_nobody_and_is_notified_as_resolved_in_the_morning() -> None:
    ledger = night(RouteRule("oncall", quiet=NIGHTS))
    fails(ledger)
    sent_at(ledger, "03:12")
    recovers(ledger)
    ledger.evaluate("03:26")
    assert [("recovered", at("06:00"))] == [(notice.kind.value, notice.not_before) for notice in only(ledger).notices]
    assert [] == list(only(ledger).suppressions.dropped)


def test_two_flaps_in_quiet_hours_page_nobody() -> None:
    ledger = night(RouteRule("oncall", quiet=NIGHTS))
    fails(ledger)
    sent_at(ledger, "03:12")
    recovers(ledger)
    sent_at(ledger, "03:26")
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:30", 2))
    assert [] == sent_at(ledger, "03:33")
    recovers(ledger, started="03:40")
    ledger.evaluate("03:46")
    assert [("recovered", at("06:00"))] == [(notice.kind.value, notice.not_before) for notice in only(ledger).notices]


def test_an_incident_that_outlasted_quiet_hours_is_notified_by_a_later_evaluation() -> None:
    ledger = night(RouteRule("oncall", quiet=NIGHTS))
    fails(ledger)
    sent_at(ledger, "03:12")
    recovers(ledger, started="08:00")
    assert [("recovered", "oncall")] == sent_at(ledger, "08:30")
    assert [None] == [notice.not_before for notice in only(ledger).notices]


def test_a_services_owner_who_was_not_woken_hears_in_the_morning_how_it_ended() -> None:
    ledger = night(RouteRule("supply", quiet=NIGHTS), notify=("supply",))
    fails(ledger, clock="03:10")
    assert [("opened", "oncall")] == sent_at(ledger, "03:12")
    assert ["quiet hours"] == [stage for stage, _ in held(ledger)]
    recovers(ledger)
    ledger.run(LOAD, "03:10", RunState.SUCCEEDED, **ended("03:30", 5))
    assert ("recovered", "supply") in sent_at(ledger, "03:40")


def test_a_route_notified_before_the_quiet_hours_is_notified_of_the_end_after_them() -> None:
    ledger = night(RouteRule("oncall", quiet=QuietHours(time(3, 20), time(6), "UTC")))
    fails(ledger)
    assert [("opened", "oncall")] == sent_at(ledger, "03:12")
    recovers(ledger)
    ledger.evaluate("03:26")
    assert [at("06:00")] == [notice.not_before for notice in only(ledger).notices]
    assert ["quiet hours"] == [suppression.stage for suppression in only(ledger).suppressions.notices]


@each_row(
    "now, until",
    [("21:59", None), ("22:00", "06:00"), ("02:00", "06:00"), ("05:59", "06:00"), ("06:00", None), ("11:00", None)],
)
def test_quiet_hours_through_midnight_end_the_next_morning(now: str, until: str | None) -> None:
    assert (at(until) if until else None) == quiet_until(NIGHTS, at(now))


def test_quiet_hours_end_on_their_own_wall_clock_when_the_clocks_change() -> None:
    """The night of 25 October 2026 in Berlin has an hour more."""
    berlin = replace(NIGHTS, zone="Europe/Berlin")
    begun = at("12:00").replace(month=10, day=24, hour=20, minute=0)
    until = quiet_until(berlin, begun)
    assert until is not None
    assert timedelta(hours=9) == until - begun


# rota
def rota(*shifts: OnCallShift, **more: Any) -> Ledger:
    rules = [RotaRule("primary", (("ann", "ann-phone"), ("bob", "bob-phone")))]
    routes = RouteRule("oncall", rota="primary", fallback="manager")
    return night(routes, rotas=tuple(rules), notifications=NotificationState(shifts={"primary": shifts}), **more)


def test_the_person_on_call_is_notified_and_the_next_one_at_the_change_of_shift() -> None:
    ledger = rota(OnCallShift("ann", at("00:00"), at("04:00")), OnCallShift("bob", at("04:00"), at("08:00")))
    fails(ledger)
    assert [("opened", "ann-phone")] == sent_at(ledger, "03:12")
    assert [("opened", "bob-phone")] == sent_at(ledger, "04:00")
    recovers(ledger, started="04:10")
    assert [("recovered", "bob-phone"), ("recovered", "ann-phone")] == sent_at(ledger, "04:16")


def test_in_a_gap_of_the_rota_its_fallback_is_notified() -> None:
    ledger = rota(OnCallShift("ann", at("05:00"), at("06:00")))
    fails(ledger)
    assert [("opened", "manager")] == sent_at(ledger, "03:12")


def test_a_person_unknown_to_the_config_is_a_gap() -> None:
    ledger = rota(OnCallShift("carol", at("00:00"), at("06:00")))
    fails(ledger)
    assert [("opened", "manager")] == sent_at(ledger, "03:12")


def test_a_swap_lies_over_the_regular_shift() -> None:
    regular, swap = OnCallShift("ann", at("00:00"), at("08:00")), OnCallShift("bob", at("03:00"), at("04:00"))
    assert [regular, swap, regular] == [on_call((regular, swap), at(clock)) for clock in ("02:59", "03:00", "04:00")]


# business words
def test_the_owner_of_a_service_is_notified_in_business_style_when_it_is_at_risk_and_no_longer_at_risk() -> None:
    ledger = night(notify=("supply",))
    fails(ledger)
    assert [("opened", "oncall"), ("opened", "supply")] == sent_at(ledger, "03:12")
    business = only(ledger).notices[1]
    assert written(business).title.startswith("Daily 06:30 at risk: repair needed by 05:40 (in 2 h 28 min)")
    assert "Cause        a job owned by etl failed; the responsible team is being notified\n" in written(business).body
    assert "hosts/extract" not in written(business).title + written(business).body
    assert [] == sent_at(ledger, "03:30")
    recovers(ledger, started="03:31")
    assert [("recovered", "oncall"), ("recovered", "supply")] == sent_at(ledger, "03:37")
    assert written(only(ledger).notices[1]).title.startswith("Resolved: Daily 06:30 on time, expected 04:07 [")


def test_a_service_owner_reads_when_the_owner_was_notified_of_this_failure_not_of_an_earlier_one() -> None:
    ledger = night(notify=("supply",))
    fails(ledger)
    sent_at(ledger, "03:12")
    recovers(ledger, started="03:13", takes=2)
    sent_at(ledger, "03:16")
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:40", 2))
    assert ("updated", "supply") in sent_at(ledger, "03:43")
    [business] = [notice for notice in only(ledger).notices if notice.style == "business"]
    assert "Cause        a job owned by etl failed; the responsible team is being notified\n" in written(business).body
    ledger.run(LOAD, "04:00", RunState.FAILED, **ended("04:05", 2))
    assert ("updated", "supply") in sent_at(ledger, "06:31")
    [business] = [notice for notice in only(ledger).notices if notice.style == "business"]
    assert "; the responsible team was notified at 03:43 UTC\n" in written(business).body


def undelivered(of: Ledger) -> None:
    """No URL of any route accepts anything."""
    state = of.estate.notifications
    notified = {
        number: tuple(notice._replace(accepted=(), is_undelivered=True) for notice in notices)
        for number, notices in state.notified.items()
    }
    of.estate = replace(of.estate, notifications=replace(state, notified=notified))


def test_an_owner_who_has_accepted_no_notification_is_not_said_to_be_notified() -> None:
    ledger = night(notify=("supply",))
    fails(ledger)
    sent_at(ledger, "03:12")
    undelivered(ledger)
    assert ("updated", "supply") in sent_at(ledger, "06:31")
    [business] = [notice for notice in only(ledger).notices if notice.style == "business"]
    assert "; the responsible team is being notified\n" in written(business).body


@pytest.mark.parametrize("reached, text", [("oncall", "is being notified"), ("etl", "was notified at 03:12 UTC")])
def test_the_owner_is_said_to_be_notified_once_a_route_of_the_owner_has_accepted_it(reached: str, text: str) -> None:
    """Another route of the job does not reach the owner."""
    extract = replace(EXTRACT, notify=("oncall", "etl"))
    ledger = night(notify=("supply",))
    ledger.estate = replace(ledger.estate, jobs={**ledger.estate.jobs, EXTRACT.id: extract})
    fails(ledger)
    sent_at(ledger, "03:12")
    state = ledger.estate.notifications
    notified = {
        number: tuple(notice if notice.route == reached else notice._replace(accepted=()) for notice in notices)
        for number, notices in state.notified.items()
    }
    ledger.estate = replace(ledger.estate, notifications=replace(state, notified=notified))
    assert ("updated", "supply") in sent_at(ledger, "06:31")
    [business] = [notice for notice in only(ledger).notices if notice.style == "business"]
    assert f"; its owner {text}\n" in written(business).body


def test_an_undelivered_notification_is_replaced_once_its_act_by_has_passed() -> None:
    """ "Restart export_report by 20:01" left at 20:04: the route had no other news, as the owners of the service had
    it."""
    ledger = night(notify=("supply",))
    fails(ledger)
    sent_at(ledger, "03:12")
    undelivered(ledger)
    assert [] == sent_at(ledger, "05:39")
    assert [("updated", "oncall"), ("updated", "supply")] == sent_at(ledger, "05:40")
    technical, business = only(ledger).notices
    assert (
        written(technical).title
        == "Update: Daily 06:30 at risk: restart extract now, act-by 05:40 has passed [{incident}]"
    )
    assert "by 05:40" not in written(business).title
    undelivered(ledger)
    assert ("updated", "oncall") not in sent_at(ledger, "05:41"), "it has passed once"


def test_while_a_freeze_refuses_the_repair_the_first_step_ends_the_freeze() -> None:
    ledger = night()
    ledger.estate = replace(ledger.estate, modes=Modes(frozen=SwitchState("on", "alice")))
    fails(ledger)
    sent_at(ledger, "03:12")
    assert ("headway freeze --off", "headway recover {incident}") == only(ledger).notices[0].message.commands


def test_the_fix_of_an_unreachable_target_survives_a_long_error() -> None:
    ledger = night()
    error, fix = f"the listener wrote nothing {'x' * 300}.", "free the disk of /var/lib/headway/spool"
    ledger.target(1, failing_since=at("02:30"), error=error, error_fix=fix, error_kind="unreachable")
    assert [("opened", "default")] == sent_at(ledger, "03:08")
    assert evidence_of(only(ledger)).endswith("… Fix: free the disk of /var/lib/headway/spool")


@pytest.mark.parametrize("minutes_of_schedule, sent", [("*/15", []), ("0", [("opened", "default")])])
def test_a_failure_long_before_its_deadline_is_notified_only_if_no_later_start_repairs_it(
    minutes_of_schedule: str, sent: list[tuple[str, str]]
) -> None:
    """A job of every quarter of an hour, 13 hours before its service is due; and one that starts once a day."""
    hours = "*" if minutes_of_schedule != "0" else "3"
    often = job(
        1, "hosts/often", replace(daily("03:00"), expression=f"{minutes_of_schedule} {hours} * * *"), cutoff=time(0)
    )
    facts = estate(
        often,
        services=[service("daily", "16:02", often, cutoff=time(0))],
        targets=[target(1)],
        settings=EvaluationSettings(default_route=("default",)),
    )
    ledger = Ledger(facts)
    ledger.evaluate("02:50")
    fails(ledger, often, "03:00")
    assert sent == sent_at(ledger, "03:03")
    suppressed = [notice for incident in ledger.decisions.incidents for notice in incident.suppressions.notices]
    assert [("distant deadline", at("04:02"))] * (not sent) == [(notice.stage, notice.until) for notice in suppressed]
    if not sent:  # nor while it starts, runs and ends
        ledger.run(often, "03:15", RunState.RUNNING, started_at=at("03:15"))
        assert [] == sent_at(ledger, "03:16")
        ledger.run(often, "03:15", RunState.SUCCEEDED, **ended("03:15", 3))
        assert [] == sent_at(ledger, "03:19")


def test_a_later_start_that_its_source_does_not_have_any_more_suppresses_nothing() -> None:
    """Its accepted schedule starts it every quarter of an hour, the changed one at its source once a day."""
    often = job(1, "hosts/often", replace(daily("03:00"), expression="*/15 * * * *"), cutoff=time(0))
    often = replace(often, seen_schedule=daily("03:00"), drift_since=at("02:40"))
    facts = estate(
        often,
        services=[service("daily", "16:02", often, cutoff=time(0))],
        targets=[target(1)],
        settings=EvaluationSettings(default_route=("default",)),
    )
    ledger = Ledger(facts)
    ledger.evaluate("02:50")
    fails(ledger, often, "03:00")
    assert [("opened", "default")] == sent_at(ledger, "03:03")


@pytest.mark.parametrize("zone, is_night", [("UTC", True), ("Asia/Tokyo", False)])
def test_a_failure_long_before_its_deadline_is_suppressed_at_night_alone(zone: str, is_night: bool) -> None:
    """At 03:03 UTC it is noon in Tokyo; the night of an estate in UTC ends at 06:00."""
    every = replace(daily("03:00"), expression="*/15 * * * *")
    often = job(1, "hosts/often", every, cutoff=time(0), accepted_at=at("02:55"))
    facts = estate(
        often,
        services=[service("daily", "23:30", often, cutoff=time(0))],
        targets=[target(1)],
        settings=EvaluationSettings(default_route=("default",), zone=zone),
    )
    ledger = Ledger(facts)
    fails(ledger, often, "03:00")
    assert [("opened", "default")] * (not is_night) == sent_at(ledger, "03:03")
    assert [at("06:00")] * is_night == [notice.until for notice in ledger.incident().suppressions.notices]


def test_a_delivered_notification_is_not_repeated_as_its_act_by_passes() -> None:
    ledger = night(notify=("supply",))
    fails(ledger)
    sent_at(ledger, "03:12")
    assert ("updated", "oncall") not in sent_at(ledger, "05:40")


def test_a_route_of_both_cause_and_service_is_notified_once_and_technically() -> None:
    ledger = night(notify=("oncall",))
    fails(ledger)
    ledger.evaluate("03:12")
    assert [("oncall", "technical")] == [(notice.route, notice.style) for notice in only(ledger).notices]
    assert (
        "SERVICE  DUE (UTC)  STATUS\nDaily    06:30      at risk, act by 05:40\n"
        in written(only(ledger).notices[0]).body
    )


def test_the_business_route_of_a_root_is_notified_of_every_affected_service_though_none_names_it() -> None:
    ledger = night(RouteRule("oncall", style="business"))
    fails(ledger)
    assert [("opened", "oncall")] == sent_at(ledger, "03:12")
    assert (
        "SERVICE  DUE (UTC)  STATUS\nDaily    06:30      at risk, act by 05:40\n"
        in written(only(ledger).notices[0]).body
    )


def test_a_route_may_choose_its_style() -> None:
    ledger = night(RouteRule("supply", style="technical"), notify=("supply",))
    fails(ledger)
    ledger.evaluate("03:12")
    assert [("oncall", "technical"), ("supply", "technical")] == [
        (notice.route, notice.style) for notice in only(ledger).notices
    ]


def test_the_service_owner_learns_that_the_owner_of_the_cause_is_not_yet_notified_though_others_are() -> None:
    ledger = night(RouteRule("etl", quiet=NIGHTS), notify=("supply",))
    extract = replace(EXTRACT, notify=("oncall", "etl"))
    ledger.estate = replace(ledger.estate, jobs={**ledger.estate.jobs, EXTRACT.id: extract})
    fails(ledger)
    assert [("opened", "oncall"), ("opened", "supply")] == sent_at(ledger, "03:12")
    assert "its owner has not been notified yet" in written(only(ledger).notices[1]).body


def test_the_service_owner_learns_that_the_owners_of_the_cause_are_not_yet_notified() -> None:
    ledger = night(RouteRule("oncall", quiet=NIGHTS), notify=("supply",))
    fails(ledger)
    assert [("opened", "supply")] == sent_at(ledger, "03:12")
    assert "the responsible team has not been notified yet" in written(only(ledger).notices[0]).body


def test_a_missed_deadline_beside_that_of_the_title_is_named() -> None:
    ledger = night()
    second = service("second", "06:30", LOAD)
    ledger.estate = replace(ledger.estate, services=(*ledger.estate.services, second))
    fails(ledger)
    ledger.evaluate("03:12")
    assert [("updated", "oncall")] == sent_at(ledger, "06:31")
    [notice] = only(ledger).notices
    assert written(notice).body.startswith("Also past the deadline: Second.\n")


def two_causes(**more: Any) -> Ledger:
    """Two failed jobs of one service, each an incident of its own; one route is notified of both."""
    ledger, refund = night(**more), replace(OTHER, schedule=EXTRACT.schedule)
    jobs, deps = {**ledger.estate.jobs, OTHER.id: refund}, (*ledger.estate.dependencies, *feeds(refund, LOAD))
    ledger.estate = replace(ledger.estate, jobs=jobs, dependencies=deps)
    fails(ledger)
    fails(ledger, refund)
    assert 2 == sent_at(ledger, "03:12").count(("opened", "oncall"))
    return ledger


def test_a_route_is_notified_once_of_a_missed_deadline_though_two_incidents_affect_the_service() -> None:
    ledger = two_causes()
    assert [("updated", "oncall")] == sent_at(ledger, "06:31")
    assert [] == sent_at(ledger, "06:33")


def by_owner(ledger: Ledger, clock: str) -> list[str]:
    """Titles that the service's owner receives at that time."""
    notices = (notice for incident in ledger.evaluate(clock).incidents for notice in incident.notices)
    return [written(notice).title.partition(" [")[0] for notice in notices if notice.route == "planning"]


@pytest.mark.parametrize("notify, route", [((), "oncall"), (("planning",), "planning")])
def test_a_miss_is_not_announced_again_when_the_incident_that_announced_it_closes(
    notify: tuple[str, ...], route: str
) -> None:
    ledger = two_causes(notify=notify)
    assert 1 == sent_at(ledger, "06:31").count(("updated", route))
    recovers(ledger, started="06:36", takes=2)
    assert ("recovered", "oncall") in sent_at(ledger, "06:39")
    assert [] == [notice for notice in sent_at(ledger, "06:40") if notice[0] == "updated"]


def test_a_route_is_notified_once_that_a_service_will_miss_though_two_incidents_affect_it() -> None:
    ledger = two_causes(notify=("planning",))
    assert ["Update: Daily 06:30 will miss, expected 06:31"] == by_owner(ledger, "05:41")
    assert [] == by_owner(ledger, "05:50")
    assert ["Update: Daily 06:30 will miss, expected 06:55"] == by_owner(ledger, "06:05"), "it moved materially"


def with_second_cause(ledger: Ledger, name: str, *, due: str = "05:44", expected: int = 60) -> JobFacts:
    """A further job that feeds the service."""
    second = job(4, name, due, expected=minutes(expected), notify=("oncall",))
    deps = (*ledger.estate.dependencies, *feeds(second, LOAD))
    ledger.estate = replace(ledger.estate, jobs={**ledger.estate.jobs, second.id: second}, dependencies=deps)
    return second


KEYS = pytest.mark.parametrize("name", ["hosts/a", "hosts/z"])
"""The second cause sorts before the first, or after it."""


@KEYS
def test_the_owner_hears_that_a_service_is_on_time_again_when_the_announcer_of_the_miss_ended_first(name: str) -> None:
    ledger = night(notify=("planning",))
    late = with_second_cause(ledger, name)
    fails(ledger)
    assert ["Daily 06:30 at risk: repair needed by 05:40 (in 2 h 28 min)"] == by_owner(ledger, "03:12")
    assert ["Update: Daily 06:30 will miss, expected 07:14"] == by_owner(ledger, "05:41")
    ledger.run(late, "05:44", RunState.FAILED, **ended("05:44", 2))
    assert [] == by_owner(ledger, "05:46")
    recovers(ledger, started="05:46", takes=1)
    assert [] == by_owner(ledger, "05:48"), "the other incident keeps the day as it was"
    ledger.run(late, "05:44", RunState.SUCCEEDED, **ended("05:50", 2))
    assert ["Resolved: Daily 06:30 on time, expected 06:22"] == by_owner(ledger, "05:52")


@KEYS
def test_an_incident_in_quiet_hours_does_not_delay_the_news_of_another(name: str) -> None:
    ledger = night(RouteRule("planning", quiet=QuietHours(time(22), time(6), "UTC", (1,))), notify=("planning",))
    second = with_second_cause(ledger, name, due="03:10", expected=5)
    mart = job(5, "warehouse/prime", "06:00", target_id=2)
    ledger.estate = replace(
        ledger.estate,
        jobs={**ledger.estate.jobs, mart.id: mart},
        dependencies=(*ledger.estate.dependencies, *feeds(EXTRACT, mart)),
        services=(*ledger.estate.services, service("prime", "23:00", mart, tier=1)),
    )
    fails(ledger)
    fails(ledger, second)
    assert ["Daily 06:30 at risk: repair needed by 05:40 (in 2 h 28 min)"] == by_owner(ledger, "03:12")
    assert ["Update: Daily 06:30 will miss, expected 06:31"] == by_owner(ledger, "05:41")


@KEYS
def test_a_route_is_notified_once_at_the_deadline_although_one_incident_has_not_notified_it(name: str) -> None:
    ledger = night(notify=("planning",))
    second = with_second_cause(ledger, name, expected=5)
    fails(ledger)
    for clock in ("03:12", "05:41"):
        assert 1 == len(by_owner(ledger, clock))
    ledger.run(second, "05:44", RunState.FAILED, **ended("05:44", 2))
    assert [] == by_owner(ledger, "05:46")
    assert 1 == len(by_owner(ledger, "06:29"))
    assert ["Update: Daily 06:30 late, expected 07:22"] == by_owner(ledger, "06:32")
    assert [] == by_owner(ledger, "06:40")
    recovers(ledger, started="06:41", takes=1)
    assert [] == by_owner(ledger, "06:43")
    ledger.run(second, "05:44", RunState.SUCCEEDED, **ended("06:44", 2))
    ledger.run(LOAD, "06:46", RunState.SUCCEEDED, **ended("06:46", 10))
    assert ["Resolved: Daily 06:30 delivered late at 06:56"] == by_owner(ledger, "06:57")


@KEYS
def test_an_incident_that_opens_once_a_service_will_miss_notifies_its_owner_of_a_materially_later_end_only(
    name: str,
) -> None:
    ledger = night(notify=("planning",))
    late = with_second_cause(ledger, name)
    fails(ledger)
    assert ["Daily 06:30 at risk: repair needed by 05:40 (in 2 h 28 min)"] == by_owner(ledger, "03:12")
    assert ["Update: Daily 06:30 will miss, expected 07:14"] == by_owner(ledger, "05:41")
    ledger.run(late, "05:44", RunState.FAILED, **ended("05:44", 2))
    assert [] == by_owner(ledger, "05:46")
    recovers(ledger, started="05:57", takes=1)
    assert ["Update: Daily 06:30 will miss, expected 07:29"] == by_owner(ledger, "05:59")


@KEYS
def test_a_later_end_is_announced_while_the_first_notification_of_another_incident_waits(name: str) -> None:
    ledger = night(RouteRule("planning", wait=timedelta(minutes=30)), notify=("planning",))
    second = with_second_cause(ledger, name, expected=5)
    fails(ledger)
    assert ["Daily 06:30 at risk: repair needed by 05:40 (in 1 h 58 min)"] == by_owner(ledger, "03:42")
    assert ["Update: Daily 06:30 will miss, expected 06:31"] == by_owner(ledger, "05:41")
    ledger.run(second, "05:44", RunState.FAILED, **ended("05:44", 2))
    assert [] == by_owner(ledger, "05:46")
    assert ["Update: Daily 06:30 will miss, expected 06:46"] == by_owner(ledger, "05:56")
    [moved] = by_owner(ledger, "06:17")
    assert "Daily 06:30 will miss, expected 07:07" == moved.removeprefix("Update: "), "its wait is over, the end moved"


def test_a_miss_is_announced_by_the_other_incident_while_the_first_is_silenced() -> None:
    ledger = two_causes()
    person_acts(ledger, silences=(SilenceFacts(1, (("job", EXTRACT.name),), at("03:13"), at("09:00"), "anna", ""),))
    assert [("updated", "oncall")] == sent_at(ledger, "06:31")
    [notice] = (notice for incident in ledger.decisions.incidents for notice in incident.notices)
    assert "restart other" not in written(notice).title
    assert written(notice).title.startswith("Update: Daily 06:30 breached")


# what cannot be seen, and answers
def test_an_announced_wait_of_a_source_concerns_its_own_routes() -> None:
    """Its jobs go on as far as anybody knows: nothing is to be restarted by a minute, and no owner of a service is
    called for half a minute of 429."""
    ledger = night(notify=("supply",))
    ledger.target(2, failing_since=at("02:59"), last_ok_at=at("02:59"), error="(429)", error_kind="limited")
    assert [("opened", "default")] == sent_at(ledger, "03:02")
    [affected_service] = only(ledger).services
    assert (Timeliness.AT_RISK, None) == (affected_service.timeliness, affected_service.act_by)
    assert "restart" not in reason_of(ledger.day("daily"))
    ledger.target(2, failing_since=None, last_ok_at=at("03:04"), error="", error_kind="")
    assert [("recovered", "default")] == sent_at(ledger, "03:05")


def test_service_owners_are_notified_of_an_unreachable_system_once_that_lasts() -> None:
    ledger = night(notify=("supply",))
    ledger.target(2, failing_since=at("02:59"), last_ok_at=at("02:59"), error="(503)", error_kind="failing")
    assert [("opened", "default")] == sent_at(ledger, "03:02")
    assert [] == sent_at(ledger, "03:13")
    assert [("opened", "supply")] == sent_at(ledger, "03:14")
    assert (
        "Cause        a system answers with a fault, so the state of its jobs is unknown; "
        in written(only(ledger).notices[0]).body
    )


def test_an_all_clear_does_not_sound_like_one_where_the_service_is_late_all_the_same() -> None:
    ledger = night(notify=("supply",))
    recovers(ledger)
    ledger.target(2, failing_since=at("06:02"), last_ok_at=at("06:02"), error="no route", error_kind="unreachable")
    assert [("opened", "default"), ("opened", "supply")] == sent_at(ledger, "06:06")
    ledger.run(LOAD, "06:01", RunState.RUNNING, started_at=at("06:07"))
    ledger.target(2, failing_since=None, last_ok_at=at("06:08"), error="", error_kind="")
    assert [("recovered", "default"), ("opened", "default")] == sent_at(ledger, "06:09"), "the day goes on as it was"
    title = next(written(notice).title for incident in ledger.decisions.incidents for notice in incident.notices)
    assert title.startswith("Cause resolved: Daily 06:30 will still miss (")


def test_a_resolution_states_a_margin_of_less_than_a_minute() -> None:
    """A finish is shown as the full minute after it, never as the deadline itself."""
    ledger = night(notify=("supply",))
    recovers(ledger)
    ledger.target(2, failing_since=at("05:58"), last_ok_at=at("05:58"), error="no route", error_kind="unreachable")
    assert ("opened", "supply") in sent_at(ledger, "06:02")
    ledger.run(LOAD, "06:00", RunState.RUNNING, started_at=at("05:59:20"))
    ledger.target(2, failing_since=None, last_ok_at=at("06:05"), error="", error_kind="")
    assert ("recovered", "supply") in sent_at(ledger, "06:06")
    bodies = [
        written(notice).body
        for incident in ledger.decisions.incidents
        for notice in incident.notices
        if notice.route == "supply"
    ]
    assert "Margin  less than a minute\n" in "".join(bodies)


@pytest.mark.parametrize("kind, has_passed", [("failing", False), ("limited", False), ("unreachable", True)])
def test_no_act_by_passes_of_what_goes_on_as_far_as_anybody_knows(kind: str, has_passed: bool) -> None:
    ledger = night()
    recovers(ledger)
    ledger.evaluate("03:26")
    ledger.target(2, failing_since=at("03:30"), last_ok_at=at("03:30"), error="broken", error_kind=kind)
    ledger.evaluate("06:05")
    day = ledger.day("daily")
    assert has_passed is ("its act-by 06:00 UTC has passed" in reason_of(day))
    assert has_passed is (day.act_by is not None)


# parts of the estate that are judged alone
def test_a_target_that_is_down_inhibits_a_failure_that_is_judged_alone() -> None:
    ledger = inhibited()
    alone = job(4, "warehouse/alone", target_id=2)
    ledger.estate = replace(ledger.estate, jobs={**ledger.estate.jobs, alone.id: alone})
    part = part_with(ledger.estate, [OTHER.id])
    assert alone.id not in part.jobs
    whole, judged = (evaluate(estate, at("03:18")).incidents for estate in (ledger.estate, part))
    assert [(incident.key, incident.suppressions.notices, incident.notices) for incident in whole] == [
        (incident.key, incident.suppressions.notices, incident.notices) for incident in judged
    ]
    assert any(incident.suppressions.notices for incident in judged)


def test_a_verified_rerun_counts_beside_scheduled_runs_even_if_the_next_one_failed_meanwhile() -> None:
    ledger = night()
    fails(ledger)
    sent_at(ledger, "03:12")
    root = ledger.state(EXTRACT, "03:10")
    ledger.estate = replace(ledger.estate, repairs={root.id: RepairFacts(root.job_id, Verb.RERUN, "anna", at("03:15"))})
    ledger.run(EXTRACT, "03:15", RunState.FAILED, **ended("03:15", 1))
    ledger.run(EXTRACT, "03:16", RunState.SUCCEEDED, **ended("03:16", 2))
    ledger.run(EXTRACT, "03:17", RunState.SUCCEEDED, **ended("03:17", 1))
    sent_at(ledger, "03:23")
    assert GreenAgain("rerun by anna", 120.0) == only(ledger).close_reason


def test_the_owner_of_a_service_hears_by_the_time_of_the_next_update() -> None:
    of = night(notify=("planning",))
    fails(of)
    clock = "03:12"
    for expected in ("05:40", "06:30"):
        of.evaluate(clock)
        [notice] = [notice for notice in only(of).notices if notice.route == "planning"]
        assert f"\nNext update  by {expected} UTC\n" in written(notice).body
        clock = f"{expected[:-1]}1"
    assert ("updated", "planning") in sent_at(of, clock)


def test_a_missed_deadline_is_announced_to_a_route_by_one_of_its_incidents() -> None:
    refund = job(4, "hosts/refund", "03:10", expected=minutes(40), notify=("oncall",))
    of = night(notify=("planning",))
    jobs = {**of.estate.jobs, refund.id: refund}
    of.estate = replace(of.estate, jobs=jobs, dependencies=tuple(feeds(EXTRACT, LOAD) + feeds(refund, LOAD)))
    fails(of)
    fails(of, refund)
    assert 1 == sent_at(of, "03:12").count(("opened", "planning"))
    for clock in ("06:31", "06:32"):
        assert int(clock == "06:31") == sent_at(of, clock).count(("updated", "planning"))


def test_a_business_update_keeps_the_kind_of_the_failure_while_its_job_runs_again() -> None:
    ledger = night(notify=("supply",))
    ledger.run(EXTRACT, "03:10", RunState.MISSED)
    ledger.evaluate("03:20")
    [opened] = [notice for notice in only(ledger).notices if notice.style == "business"]
    assert "Cause        a job owned by etl did not start" in written(opened).body
    ledger.run(EXTRACT, "03:10", RunState.RUNNING, started_at=at("06:25"))
    ledger.evaluate("06:31")
    [updated] = [notice for notice in only(ledger).notices if notice.style == "business"]
    assert "Cause        a job owned by etl started late" in written(updated).body


def test_an_end_says_from_when_to_when_the_failure_lasted() -> None:
    ledger = night()
    fails(ledger)
    ledger.evaluate("03:12")
    recovers(ledger)
    ledger.run(LOAD, "03:30", RunState.SUCCEEDED, **ended("03:30", 10))
    assert [("recovered", "oncall")] == sent_at(ledger, "03:45")
    [notice] = only(ledger).notices
    assert "\nLasted         03:12 UTC to 03:25 UTC\n" in written(notice).body
    assert "\nSince" not in written(notice).body
