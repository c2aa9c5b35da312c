"""Flapping: the first return is notified, later ones when it stays, and urgent changes at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.sdk.states import RunState
from console.domain.alert import AlertingSettings, AlertKind, QuietHours, RouteRule
from console.domain.decision import ReopenedIncident
from console.domain.estate import DependencyFacts, EvaluationSettings
from console.domain.settings import Declared
from tests.control.ledger import Ledger
from tests.factories import at, estate, feeds, job, minutes, service
from tests.messages import written
from tests.properties import examples

OFTEN = job(1, "hosts/often", "03:00", expected=minutes(2), notify=("oncall",))
LOAD = job(2, "hosts/load", expected=minutes(5))
STEADY = timedelta(minutes=30)
STEP = timedelta(minutes=5)


class Night:
    """One job that is run again and again, and what left the house of what was decided."""

    def __init__(
        self, *routes: RouteRule, edges: list[DependencyFacts] | None = None, opens: str = "02:50", **more: Any
    ) -> None:
        facts = estate(OFTEN, LOAD, feeds=edges or [], settings=EvaluationSettings(default_route=("default",)), **more)
        self.ledger = Ledger(replace(facts, declared=Declared(alerting=AlertingSettings(routes=routes))))
        self.sent: list[tuple[datetime, str]] = []
        self._put_off: list[tuple[datetime, str]] = []
        self.now = at(opens)
        self.evaluate(self.now)

    def ends(self, when: datetime, state: RunState) -> None:
        began = when - timedelta(minutes=1)
        self.ledger.run(OFTEN, "03:00", state, started_at=began, ended_at=when)

    def evaluate(self, now: datetime) -> list[str]:
        """What leaves then or left since the last look, in the order of time."""
        leaving = [pair for pair in self._put_off if pair[0] <= now]
        decisions = self.ledger.evaluate(f"{now:%H:%M:%S}")
        self._put_off = [pair for pair in self._put_off if pair not in leaving]
        for incident in decisions.incidents:
            if isinstance(incident.incident, ReopenedIncident):  # the store takes back what was put off
                self._put_off = []
            for notice in incident.notices:
                (self._put_off if notice.not_before else leaving).append((notice.not_before or now, notice.kind.value))
        self.sent += leaving
        self.now = now
        return [kind for _, kind in leaving]

    def red(self, clock: str) -> list[str]:
        self.ends(at(clock), RunState.FAILED)
        return self.evaluate(at(clock))

    def green(self, clock: str) -> list[str]:
        self.ends(at(clock), RunState.SUCCEEDED)
        return self.evaluate(at(clock))

    def sent_by(self, clock: str) -> list[tuple[datetime, str]]:
        """What had been put off and leaves by then."""
        return [pair for pair in self._put_off if pair[0] <= at(clock)]

    def held(self) -> list[tuple[str, str, datetime | None]]:
        return [
            (suppression.stage, suppression.why, suppression.until)
            for incident in self.ledger.decisions.incidents
            for suppression in incident.suppressions.notices
        ]


def flapping(*routes: RouteRule, **more: Any) -> Night:
    """Red for the third time at 03:40; its second return is held."""
    night = Night(*routes, **more)
    assert ["opened"] == night.red("03:00")
    assert ["recovered"] == night.green("03:10")
    assert ["updated"] == night.red("03:20")
    assert ["recovered"] == night.green("03:30")
    assert [] == night.red("03:40")
    return night


def test_the_first_return_is_notified_and_the_second_suppressed_with_the_reason() -> None:
    night = flapping()
    why = "red 3 times since 03:00 UTC; notified again once stable for 30m"
    assert [("flapping", why, at("04:10"))] == night.held()
    assert at("04:10") >= (night.ledger.decisions.next_at or at("11:00"))


def test_what_flaps_since_before_midnight_says_since_which_day() -> None:
    night = Night(opens="23:20")
    for red, green in (("23:30", "23:40"), ("23:50", "00:10")):
        night.red(red)
        night.green(green)
    assert [] == night.red("00:20")
    [(_, why, _)] = night.held()
    assert why.startswith("red 3 times since 19 Nov 23:30 UTC; notified again")


def test_a_route_notified_of_the_end_and_not_of_the_return_is_not_notified_a_second_time() -> None:
    night = flapping()
    assert [] == night.green("03:50")
    (over,) = night.ledger.decisions.incidents
    assert ["resolved again before it was stable"] == [why for _, why in over.suppressions.dropped]
    assert ([], "recovered") == (night.evaluate(at("04:20")), night.sent[-1][1])


def test_one_notification_says_that_it_stays_failed() -> None:
    night = flapping()
    assert [] == night.evaluate(at("04:09"))
    assert ["updated"] == night.evaluate(at("04:10"))
    assert written(night.ledger.incident().notices[0]).body.startswith(
        "Red 3 times since 03:00 UTC, now since 03:40 UTC.\n"
    )
    assert [] == night.evaluate(at("04:40"))


def test_after_a_steady_time_notifications_are_immediate_again() -> None:
    night = flapping()
    night.evaluate(at("04:10"))
    assert ["recovered"] == night.green("04:20")
    assert ["updated"] == night.red("04:30")


def test_a_service_affected_for_the_first_time_is_notified_at_once() -> None:
    daily = service("daily", "06:30", LOAD, tier=2, notify=("oncall",))
    night = flapping()
    night.ledger.estate = replace(night.ledger.estate, dependencies=tuple(feeds(OFTEN, LOAD)), services=(daily,))
    assert ["updated"] == night.evaluate(at("03:42"))
    assert "Red 3 times" in written(night.ledger.incident().notices[0]).body


@pytest.mark.parametrize("notify", ["oncall", "supply"])
def test_a_service_at_risk_that_was_notified_as_safe_is_notified_at_once_and_so_is_its_end(notify: str) -> None:
    """Technically, or to those who wait for the service."""
    daily = service("daily", "04:12", LOAD, tier=2, notify=(notify,))
    night = Night(edges=feeds(OFTEN, LOAD), services=[daily])
    for failed, repaired in (("03:55", "03:57"), ("03:59", "04:01"), ("04:03", "04:05")):
        first = "updated" if night.sent else "opened"
        assert {first} == set(night.red(failed))
        notices = {notice.route: notice for notice in night.ledger.incident().notices}
        assert "Daily 04:12 at risk: " in written(notices[notify]).title
        assert {"recovered"} == set(night.green(repaired))
    technical = night.ledger.incident().notices[0]
    assert AlertKind.RECOVERED is technical.kind
    assert "\nRed 3 times since 03:55 UTC, green since 04:05 UTC.\n" in written(technical).body


def test_what_changes_for_those_who_know_of_the_risk_waits_unless_a_deadline_comes_first() -> None:
    for deadline, sent in (("06:00", []), ("04:05", ["supply"])):
        daily = service("daily", deadline, LOAD, tier=2, notify=("supply",))
        night = Night(edges=feeds(OFTEN, LOAD), services=[daily])
        for clock, is_red in (("03:00", True), ("03:10", False), ("03:20", True), ("03:30", False), ("03:40", True)):
            night.red(clock) if is_red else night.green(clock)
        later = replace(LOAD, expected=minutes(180))
        night.ledger.estate = replace(night.ledger.estate, jobs={**night.ledger.estate.jobs, LOAD.id: later})
        night.evaluate(at("03:45"))
        assert ["oncall", *sent] == [
            notice.route for notice in night.ledger.incident().notices
        ]  # its act-by has passed
        assert (["flapping"] if not sent else []) == [stage for stage, _, _ in night.held()]


def test_a_resolution_revoked_in_quiet_hours_is_notified_at_their_end() -> None:
    night = Night(RouteRule("oncall", quiet=QuietHours(time(3, 5), time(6), "UTC")))
    assert ["opened"] == night.red("03:00")
    for repaired, failed in (("03:10", "03:20"), ("03:30", "03:40")):
        assert [] == night.green(repaired)
        assert [] == night.red(failed)
    assert [] == night.green("03:50")
    assert [(at("06:00"), "recovered")] == night.sent_by("06:00")


Steps = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=36)
"""For each five minutes: whether it turns, and whether the engine is dead then."""


@pytest.mark.deep
@examples(120)
@example(steps=[(True, False)] * 6)
@example(steps=[(True, False)] * 7)
@example(steps=[*[(True, False)] * 5, (True, True), (True, False)])
@given(steps=Steps)
def test_however_jobs_flap_and_the_engine_dies_lasting_incidents_are_notified_and_the_rest_is_little(
    steps: list[tuple[bool, bool]],
) -> None:
    """The last notification is true whenever the state was steady since somebody saw it, and there are few
    notifications."""
    night, is_red, seen = Night(), False, (False, at("02:50"))
    now = turned_at = at("03:00")
    night.ends(now, RunState.SUCCEEDED)
    for turns, is_dead in [*steps, *[(False, False)] * 14]:
        now += STEP
        if turns:
            is_red, turned_at = not is_red, now
            night.ends(now, RunState.FAILED if is_red else RunState.SUCCEEDED)
        if not is_dead:
            seen = seen if seen[0] == is_red and turned_at <= seen[1] else (is_red, now)
            night.evaluate(now)
            if now - seen[1] >= STEADY and (is_red or night.sent):
                assert is_red == (night.sent[-1][1] != "recovered")
    _notifications_are_few(night)


def _notifications_are_few(night: Night) -> None:
    moments = [when for when, _ in night.sent]
    assert sorted(moments) == moments
    assert all(sum(when <= instant < when + STEADY for instant in moments) <= 4 for when in moments)
    kinds = [kind for _, kind in night.sent]
    assert [] == [pair for pair in pairwise(kinds) if pair == ("recovered", "recovered")]
