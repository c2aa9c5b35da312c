"""An incident of which only stale runs are left that start again by themselves: no restart is asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.sdk.states import RunState
from console.domain.alert import AlertingSettings, RouteRule
from console.domain.decision import IncidentDecision
from console.domain.estate import EvaluationSettings
from console.domain.settings import Declared
from tests.control.ledger import Ledger, ended
from tests.factories import at, daily, estate, feeds, job, minutes, service, target

EXTRACT = job(1, "hosts/extract", "03:10", expected=minutes(20), notify=("oncall",), owner="etl")


def healing(expression: str, *, due: str = "06:30", repaired: bool = True) -> Ledger:
    """A night on which load read the data of extract, which had failed, and extract is repaired at 03:21."""
    schedule = replace(daily("03:00"), expression=expression)
    load = job(2, "warehouse/load", expected=minutes(5), target_id=2, schedule=schedule, accepted_at=at("03:01"))
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


def at_0324(ledger: Ledger) -> IncidentDecision:
    """The incident as it is decided then, with its repeated notification."""
    [incident] = ledger.evaluate("03:24").incidents
    assert [("repeated", "oncall")] == [(notice.kind.value, notice.route) for notice in incident.notices]
    return incident


def asks_for_a_restart(incident: IncidentDecision) -> bool:
    [notice] = incident.notices
    texts = (incident.title, incident.reason, notice.title, notice.plain_title, notice.body, *notice.commands)
    return any(word in text for text in texts for word in ("rerun", "restart", "headway recover"))


def test_no_title_reason_or_notification_asks_for_the_restart_that_the_next_start_is() -> None:
    """Its title was "load read data before extract finished, …: rerun it", its mail said "Do headway recover"."""
    incident = at_0324(healing("*/15 * * * *"))
    assert incident.reason == "it read data before hosts/extract finished"
    assert not asks_for_a_restart(incident)
    assert "warehouse/load read data before hosts/extract finished, Daily 06:30 on time" in incident.notices[0].title


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
    assert incident.close_reason == "green again, with all affected runs"
