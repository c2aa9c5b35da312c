"""The owner of a service over nights of several failures, repairs and silences in any order: knows its day, and is
notified of each change once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from connectors.sdk.states import RunState
from console.control.alerts.service_stream import LEAST_MOVE, known_step
from console.domain.alert import BUSINESS, TECHNICAL, AlertKind, IncidentPhase, NotifiedDay, SilenceFacts
from console.domain.decision import Notice
from console.domain.estate import JobFacts
from tests.control.ledger import Ledger
from tests.factories import at, estate, feeds, job, minutes, service
from tests.messages import written
from tests.properties import examples

EXTRACT = job(1, "hosts/extract", "03:10", expected=minutes(20), notify=("etl",))
PRICES = job(2, "hosts/prices", "03:10", expected=minutes(20), notify=("market",))
LOAD = job(3, "warehouse/load", "04:00", expected=minutes(30), notify=("dwh",))
JOBS = {"extract": EXTRACT, "prices": PRICES, "load": LOAD}
SAFE, OVER = 0, 4
STEP = st.tuples(
    st.integers(1, 45),
    st.sampled_from(("extract", "prices", "load")),
    st.sampled_from(("fails", "is green", "is rerun", "is silenced", "nothing")),
)


class OwnersNight:
    """A night, and the notifications of the owner."""

    def __init__(self) -> None:
        jobs = [replace(known, accepted_at=at("03:00")) for known in JOBS.values()]
        edges = [*feeds(EXTRACT, LOAD), *feeds(PRICES, LOAD)]
        self.ledger = Ledger(
            estate(*jobs, feeds=edges, services=[service("supply", "06:30", LOAD, tier=2, notify=("planning",))])
        )
        self.now = at("03:00")
        self.last: tuple[NotifiedDay, IncidentPhase] | None = None
        self.opened: set[tuple[str, str]] = set()

    def step(self, takes: int, name: str, does: str) -> None:
        self.now += minutes(takes)
        self._happens(JOBS[name], does)
        self.ledger.evaluate(f"{self.now:%H:%M}")
        business = [notice for _, notice in self._notices() if notice.style == BUSINESS]
        assert len(business) <= 1, "two messages of one evaluation notified the owner of one day"
        for notice in business:
            self._is_notified(notice)
        self.opened |= {(key, notice.route) for key, notice in self._notices() if notice.style == TECHNICAL}

    def _happens(self, job: JobFacts, does: str) -> None:
        due = "04:00" if job is LOAD else "03:10"
        run = next((run for run in self.ledger.estate.runs if run.job_id == job.id), None)
        is_running = run is not None and run.state is RunState.RUNNING
        if does == "is silenced":
            before = self.ledger.estate.notifications
            matchers, number = (("job", job.name),), len(before.silences) + 1
            silence = SilenceFacts(number, matchers, self.now, self.now + timedelta(minutes=30), "ann", "known")
            notifications = replace(before, silences=(*before.silences, silence))
            self.ledger.estate = replace(self.ledger.estate, notifications=notifications)
        elif does == "is rerun" and not is_running and self.now >= at(due):
            self.ledger.run(job, due, RunState.RUNNING, started_at=self.now)
        elif does in ("fails", "is green") and self.now > at(due):
            state = RunState.FAILED if does == "fails" else RunState.SUCCEEDED
            started = run.started_at if is_running and run is not None else max(at(due), self.now - minutes(1))
            self.ledger.run(job, due, state, started_at=started, ended_at=self.now)

    def _notices(self) -> list[tuple[str, Notice]]:
        return [(incident.key, notice) for incident in self.ledger.decisions.incidents for notice in incident.notices]

    def _is_notified(self, notice: Notice) -> None:
        [day] = [day for day in notice.content.days if day.business_date.isoformat() == "2026-11-19"]
        if self.last is not None and notice.kind is not AlertKind.ESCALATED:
            known, phase = self.last
            is_change = known_step(known) != known_step(day)
            has_moved = bool(known.expected and day.expected and abs(day.expected - known.expected) > LEAST_MOVE)
            is_end = notice.content.phase is IncidentPhase.CLOSED and phase is not IncidentPhase.CLOSED
            assert is_change or has_moved or is_end, f"{written(notice).title}: the owner knew that"
        self.last = day, notice.content.phase

    def is_known(self) -> None:
        """What holds where no stage suppresses anything."""
        decisions = self.ledger.decisions
        if any(incident.suppressions.notices or incident.suppressions.dropped for incident in decisions.incidents):
            return
        for incident in decisions.incidents:
            routes = {route for key, route in self.opened if key == incident.key}
            assert incident.closed or routes, f"{incident.title}: no engineer was notified"
        affecting = [day for incident in decisions.incidents for day in incident.services if day.service == "supply"]
        day = self.ledger.day("supply")
        step = known_step(NotifiedDay(day.service, day.business_date, day.timeliness))
        known = known_step(self.last[0]) if self.last is not None else SAFE
        if step in (SAFE, OVER):
            assert known in (SAFE, OVER), f"{day.timeliness}, and the owner knows {self.last}"
        elif affecting:
            assert step <= known < OVER, f"{day.timeliness}, and the owner knows {self.last}"


@examples(60, suppress_health_check=[HealthCheck.too_slow])
@example([(15, "extract", "fails"), (10, "extract", "is green"), (45, "prices", "is green"), (30, "load", "is green")])
@example([  # the incident of prices has extract as its root when prices fails anew
    (20, "extract", "fails"), (45, "extract", "fails"), (1, "prices", "is rerun"), (1, "prices", "fails"),
    (1, "load", "fails"),
])  # fmt: skip
@given(st.lists(STEP, min_size=3, max_size=14))
def test_the_owner_knows_the_day_and_is_notified_of_each_change_once(steps: list[tuple[int, str, str]]) -> None:
    live_through(steps)


@pytest.mark.deep
@examples(300, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, min_size=3, max_size=14))
def test_the_owner_knows_many_days(steps: list[tuple[int, str, str]]) -> None:
    live_through(steps)


def live_through(steps: list[tuple[int, str, str]]) -> None:
    night = OwnersNight()
    for takes, name, does in steps:
        if night.now + minutes(takes) >= at("11:00"):
            break
        night.step(takes, name, does)
        night.is_known()
