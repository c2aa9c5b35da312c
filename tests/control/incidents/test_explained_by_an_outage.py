"""An incident of a finding, or of a lost day, that an outage explains goes on as the incident of the outage."""

from __future__ import annotations

import pytest

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.domain.alert import AlertKind
from console.domain.decision import ReopenedIncident
from tests.control.ledger import Ledger
from tests.factories import at, estate, feeds, job, minutes, service, target
from tests.messages import written
from tests.reasons import close_text, number_of, title_of


def lose(ledger: Ledger, number: int, clock: str) -> None:
    facts = {"failing_since": at(clock), "last_ok_at": at(clock), "seen_until": at(clock)}
    ledger.target(number, error="no route to host", error_kind="unreachable", **facts)


def found_then_lost() -> Ledger:
    """A job was found to run too long; then the host of its upstream is lost, and it fails."""
    upstream = job(1, "etl/u", "02:00", expected=minutes(180), target_id=1)
    hanging = job(2, "dwh/j", "02:10", expected=minutes(5), target_id=2)
    targets = [target(1, "etl", "h1"), target(2, "dwh", "h2")]
    ledger = Ledger(
        estate(
            upstream,
            hanging,
            feeds=feeds(upstream, hanging),
            targets=targets,
            services=[service("s", "09:00", hanging)],
            durations={2: (300.0,) * 20},
        )
    )
    ledger.run(upstream, "02:00", RunState.RUNNING, started_at=at("02:00"))
    ledger.run(hanging, "02:10", RunState.RUNNING, started_at=at("02:10"))
    ledger.evaluate("02:50")
    lose(ledger, 1, "02:51")
    ledger.evaluate("02:58")
    ledger.run(hanging, "02:10", RunState.FAILED, ended_at=at("03:00"), exit_code=1)
    ledger.evaluate("03:01")
    return ledger


def test_a_finding_that_an_outage_explains_has_the_outage_as_its_cause() -> None:
    """It kept "rule" as its cause: the console did not say which host to restore."""
    outage = found_then_lost().incident()
    assert (1, "target", 1) == (number_of(outage), outage.cause.kind, outage.cause.target_id)


def test_it_ends_with_the_outage_and_a_second_one_reopens_it() -> None:
    """It ended because "the problem is no longer detected", forgot its host; the second outage was a new incident."""
    ledger = found_then_lost()
    ledger.target(1, failing_since=None, error="", error_kind="")
    closed = next(incident for incident in ledger.evaluate("03:10").incidents if number_of(incident) == 1)
    assert (True, "it works again", 1) == (closed.closed, close_text(closed), closed.cause.target_id)
    lose(ledger, 1, "03:20")
    again = next(incident for incident in ledger.evaluate("03:25").incidents if incident.cause.kind == "target")
    assert (1, True) == (number_of(again), isinstance(again.incident, ReopenedIncident))


def test_it_stays_open_while_its_host_fails_for_less_than_the_polls_that_begin_an_outage() -> None:
    """After one good poll between two evaluations the all-clear left while the host did not answer."""
    ledger = found_then_lost()
    ledger.target(1, failing_since=at("03:06:30"), last_ok_at=at("03:06"), seen_until=at("03:06"))
    outage = next(incident for incident in ledger.evaluate("03:06:45").incidents if number_of(incident) == 1)
    assert not outage.closed


@pytest.mark.parametrize("clock", ["06:40", "06:50"])
def test_a_lost_day_that_an_outage_explains_stays_open_while_its_host_does_not_answer(clock: str) -> None:
    """It closed with an all-clear, was reopened and closed by each evaluation, and nobody heard of the outage."""
    extract = job(1, "hosts/extract", "03:10", expected=minutes(20))
    load = job(2, "warehouse/load", Schedule("none"), target_id=2, expected=minutes(20))
    plan, targets = service("supply-plan", "06:30", load), [target(1, "hosts", "h1"), target(2, "warehouse", "w")]
    ledger = Ledger(estate(extract, load, feeds=feeds(extract, load), services=[plan], targets=targets))
    ledger.run(extract, "03:10", RunState.SUCCEEDED, started_at=at("03:10"), ended_at=at("03:30"))
    ledger.evaluate("06:11")
    ledger.evaluate("06:31")
    lose(ledger, 2, "06:33")
    ledger.evaluate(clock)
    outage = ledger.incident()
    assert (1, False, "warehouse/w does not answer") == (number_of(outage), outage.closed, title_of(outage))
    assert AlertKind.RECOVERED not in [notice.kind for notice in outage.notices]


def test_an_outage_that_explains_a_finding_is_notified() -> None:
    """The title of the finding's incident became that of the outage, and nobody was told."""
    upstream = job(1, "etl/u", "02:00", expected=minutes(180), target_id=1)
    hanging = job(2, "dwh/j", "02:10", expected=minutes(5), target_id=2)
    ledger = Ledger(
        estate(
            upstream,
            hanging,
            feeds=feeds(upstream, hanging),
            targets=[target(1, "etl", "h1"), target(2, "dwh", "h2")],
            services=[service("s", "09:00", hanging)],
            durations={2: (300.0,) * 20},
        )
    )
    ledger.run(upstream, "02:00", RunState.RUNNING, started_at=at("02:00"))
    ledger.run(hanging, "02:10", RunState.RUNNING, started_at=at("02:10"))
    ledger.evaluate("02:50")
    lose(ledger, 1, "02:51")
    ledger.run(hanging, "02:10", RunState.FAILED, ended_at=at("02:52"), exit_code=1)
    ledger.evaluate("02:58")
    assert title_of(ledger.incident()) == "etl/h1 does not answer"
    assert ["etl/h1" in written(notice).title for notice in ledger.incident().notices] == [True]
