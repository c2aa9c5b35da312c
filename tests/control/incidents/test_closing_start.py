"""An incident whose remaining jobs start again by themselves, in time: no restart is requested."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.sdk.states import STOPPED, RunState
from console.domain.alert import AlertingSettings, RouteRule
from console.domain.decision import IncidentDecision
from console.domain.estate import EvaluationSettings
from console.domain.reason import GreenAgain
from console.domain.settings import Declared
from tests.control.ledger import Ledger, ended
from tests.factories import at, daily, estate, feeds, job, minutes, service, target
from tests.messages import written
from tests.reasons import evidence_of, reason_of, title_of

USUAL = minutes(5)
EXTRACT = job(1, "hosts/extract", "03:10", expected=minutes(20), notify=("oncall",), owner="etl")


def healing(expression: str, *, due: str = "06:30", repaired: bool = True, takes: timedelta | None = USUAL) -> Ledger:
    """A night on which load read the data of extract, which had failed, and extract is repaired at 03:21."""
    schedule = replace(daily("03:00"), expression=expression)
    load = job(2, "warehouse/load", expected=takes, target_id=2, schedule=schedule, accepted_at=at("03:01"))
    facts = estate(
        EXTRACT, load,
        feeds=feeds(EXTRACT, load),
        services=[service("daily", due, load)],
        targets=[target(1), target(2, "warehouse", "warehouse")],
        settings=EvaluationSettings(default_route=("default",)),
    )  # fmt: skip
    repeats = RouteRule("oncall", repeat_every=timedelta(minutes=11))
    ledger = Ledger(replace(facts, declared=Declared(alerting=AlertingSettings(routes=(repeats,)))))
    ledger.run(EXTRACT, "03:10", RunState.FAILED, **ended("03:10", 2), exit_code=3)
    ledger.evaluate("03:13")
    ledger.run(load, "03:15", RunState.SUCCEEDED, **ended("03:15", 2))
    ledger.evaluate("03:18")
    if repaired:
        ledger.run(EXTRACT, "03:10", RunState.SUCCEEDED, **ended("03:20", 1))
    return ledger


def missing(expression: str, until: str, *, due: str = "06:30", takes: timedelta | None = None) -> Ledger:
    """A night on which load ran at 03:10 and has not started since."""
    schedule = replace(daily("03:00"), expression=expression)
    load = job(1, "warehouse/load", expected=takes, schedule=schedule, accepted_at=at("03:01"), notify=("oncall",))
    ledger = Ledger(estate(load, services=[service("daily", due, load)]))
    ledger.run(load, "03:10", RunState.SUCCEEDED, **ended("03:10", 2))
    ledger.evaluate(until)
    return ledger


def at_0324(ledger: Ledger) -> IncidentDecision:
    """The decision of 03:24, with its repeated notification."""
    [incident] = ledger.evaluate("03:24").incidents
    assert [("repeated", "oncall")] == [(notice.kind.value, notice.route) for notice in incident.notices]
    return incident


def asks_for_a_restart(incident: IncidentDecision) -> bool:
    [notice] = incident.notices
    texts = (
        title_of(incident),
        incident.reason,
        written(notice).title,
        written(notice).plain_title,
        written(notice).body,
        *notice.message.commands,
    )
    return any(word in text for text in texts for word in ("rerun", "restart", "headway recover"))


def test_no_title_reason_or_notification_asks_for_the_restart_that_the_next_start_is() -> None:
    """Its title was "load read data before extract finished, …: rerun it", its mail said "Do headway recover"."""
    incident = at_0324(healing("*/15 * * * *"))
    assert evidence_of(incident) == "it read data before hosts/extract finished"
    assert not asks_for_a_restart(incident)
    assert (
        "warehouse/load read data before hosts/extract finished, Daily 06:30 on time"
        in written(incident.notices[0]).title
    )
    assert [("closing", "03:30")] == [(role, key[11:16]) for role, key in starts(incident)]


def starts(incident: IncidentDecision) -> list[tuple[str, str]]:
    return [(member.role, member.period_key) for member in incident.members if member.role == "closing"]


def test_a_job_without_an_estimate_starts_again_as_well() -> None:
    """A service without an estimate is not known to be in time: the mail said "at risk: restart load now"."""
    incident = at_0324(healing("*/15 * * * *", takes=None))
    assert not asks_for_a_restart(incident)
    assert "load starts next 03:30 and closes it" in written(incident.notices[0]).title


@pytest.mark.parametrize("takes", [None, minutes(5)])
def test_a_missed_start_is_made_up_by_the_next_one(takes: timedelta | None) -> None:
    """The service asked for "start load now", 4 minutes before the next start."""
    ledger = missing("*/10 * * * *", "03:26", takes=takes)
    incident = ledger.incident()
    assert (
        "Daily 06:30 at risk: load starts next 03:30 and closes it [{incident}]" == written(incident.notices[0]).title
    )
    assert not asks_for_a_restart(incident)
    [day] = incident.services
    assert (day.timeliness.value, day.act_by) == ("at_risk", None)
    assert not any(text in reason_of(day) for text in ("start now", "start by"))


@pytest.mark.parametrize(
    "ledger",
    [
        missing("*/10 * * * *", "03:36"),
        missing("*/10 * * * *", "03:26", due="03:39"),
        missing("10,20 3 * * *", "03:26"),
    ],
    ids=["missed-twice", "the-last-start-in-time", "no-further-start-of-that-date"],
)
def test_a_start_that_may_not_come_or_may_be_too_late_is_asked_for(ledger: Ledger) -> None:
    incident = ledger.incident()
    assert not starts(incident)
    assert ("headway recover {incident}",) == incident.notices[0].message.commands


def test_a_job_that_failed_may_fail_again_at_its_next_start() -> None:
    ledger = missing("*/10 * * * *", "03:13")
    ledger.run(ledger.estate.jobs[1], "03:20", RunState.FAILED, **ended("03:20", 1), exit_code=3)
    ledger.evaluate("03:22")
    assert not starts(ledger.incident())
    assert asks_for_a_restart(ledger.incident())


@pytest.mark.parametrize(
    "ledger",
    [
        healing("15 3 * * *"),
        healing("*/15 * * * *", repaired=False),
        healing("*/15 * * * *", due="03:33"),
    ],
    ids=["no-further-start-of-that-date", "root-still-failed", "a-service-at-risk"],
)
def test_otherwise_a_restart_is_asked_for(ledger: Ledger) -> None:
    assert asks_for_a_restart(at_0324(ledger))


def test_the_next_start_closes_it() -> None:
    ledger = healing("*/15 * * * *")
    at_0324(ledger)
    load = ledger.estate.jobs[2]
    ledger.run(load, "03:30", RunState.SUCCEEDED, **ended("03:30", 2))
    [incident] = ledger.evaluate("03:33").incidents
    assert GreenAgain() == incident.close_reason


def test_a_start_that_was_to_close_the_incident_and_does_not_come_is_notified_with_what_to_do() -> None:
    """Nobody heard of it again before the deadline."""
    ledger = missing("10,20,50 3,4 * * *", "03:26", takes=minutes(5))
    assert "load starts next 03:50 and closes it" in written(ledger.incident().notices[0]).title
    for clock in ("03:51", "03:54"):
        assert [] == [*ledger.evaluate(clock).incidents[0].notices], "it may still come"
    [update] = ledger.evaluate("03:56").incidents[0].notices
    assert "Update: Daily 06:30 at risk: start load by 06:25 (in 2 h 29 min) [{incident}]" == written(update).title
    assert [] == [*ledger.evaluate("04:16").incidents[0].notices]


def test_a_start_that_was_due_is_not_called_the_next_one() -> None:
    """ "load starts next 03:30" was a start in the past."""
    incident = missing("*/10 * * * *", "03:31", takes=minutes(5)).incident()
    assert [("closing", "03:30")] == [(role, key[11:16]) for role, key in starts(incident)]
    assert "load was due 03:30 and may still come" in written(incident.notices[0]).title


def stop(ledger: Ledger, target_id: int, since: str) -> None:
    ledger.target(target_id, failing_since=at(since), error="cron does not run", error_kind=STOPPED)


def test_no_start_closes_it_while_its_scheduler_is_stopped() -> None:
    """The start of 03:30 was to close it, then that of 03:45: "nothing to restart"."""
    ledger = healing("*/15 * * * *")
    assert starts(at_0324(ledger))
    stop(ledger, 2, "03:25:30")
    for clock in ("03:26", "03:30:30", "03:36", "03:46"):
        stale, outage = ledger.evaluate(clock).incidents
        assert ("run", "target") == (stale.cause.kind, outage.cause.kind), clock
        assert not starts(stale), clock
    assert ["03:30"] == [member.period_key[11:16] for member in outage.members if member.role == "red"]


def test_a_missed_start_is_not_made_up_by_a_scheduler_that_is_stopped() -> None:
    ledger = missing("*/10 * * * *", "03:26", takes=minutes(5))
    assert starts(ledger.incident())
    stop(ledger, 1, "03:26:30")
    missed, _ = ledger.evaluate("03:27").incidents
    assert not starts(missed)
    assert asks_for_a_restart(missed)


def test_a_start_that_closes_the_incident_while_it_runs_is_no_news() -> None:
    ledger = missing("*/10 * * * *", "03:26", takes=minutes(5))
    ledger.run(ledger.estate.jobs[1], "03:30", RunState.RUNNING, started_at=at("03:30"))
    assert [] == [*ledger.evaluate("03:31").incidents[0].notices]


def test_a_stale_run_whose_job_does_not_start_any_more_asks_for_a_repair() -> None:
    """The reminder of its incident named the next start, while another incident said that none had come."""
    ledger = healing("*/15 * * * *")
    ledger.evaluate("03:24")
    for clock in ("03:36", "03:51"):
        decisions = ledger.evaluate(clock)
    stale, missed = decisions.incidents
    assert not starts(stale)
    assert not starts(missed)
    assert all(asks_for_a_restart(incident) for incident in (stale, missed))
