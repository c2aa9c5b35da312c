"""The same night, seen in any order and evaluated in between: the same open incidents, no page lost or doubled."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.records import Schedule
from connectors.sdk.states import RunState
from console.domain.alert import AlertKind
from console.domain.decision import Decisions
from console.domain.estate import EvaluationSettings, JobFacts
from tests.control.ledger import Ledger
from tests.factories import at, estate, feeds, job, minutes, service, target
from tests.properties import examples

A = job(1, "hosts/a", "03:10", expected=minutes(10), notify=("etl",))
B = job(2, "hosts/b", "03:20", expected=minutes(10))
C = job(3, "warehouse/c", Schedule("none"), target_id=2, expected=minutes(10))
D = job(4, "warehouse/d", Schedule("none"), target_id=2, expected=minutes(10))
E = job(5, "warehouse/e", "03:40", target_id=2, expected=minutes(10))
JOBS = (A, B, C, D, E)
STARTS = {1: "03:10", 2: "03:20", 3: "03:30", 4: "03:50", 5: "03:40"}
WHOLE = estate(
    *JOBS,
    feeds=[*feeds(A, C), *feeds(B, C), *feeds(C, D)],
    services=[service("plan", "04:30", D, notify=("planning",)), service("stock", "06:30", E, tier=2)],
    targets=[target(1), target(2, "warehouse", "warehouse")],
    settings=EvaluationSettings(default_route=("oncall",)),
)
ENDS = st.fixed_dictionaries({job.id: st.sampled_from((RunState.FAILED, RunState.SUCCEEDED, None)) for job in JOBS})
"""How the night went: None, it never ran, or nobody has seen it yet."""
Seen = tuple[JobFacts, RunState]
Open = set[tuple[object, ...]]


def seen(ends: dict[int, RunState | None]) -> list[Seen]:
    return [(job, state) for job in JOBS if (state := ends[job.id]) is not None]


def arrives(ledger: Ledger, facts: JobFacts, state: RunState) -> None:
    begun = at(STARTS[facts.id])
    ledger.run(facts, STARTS[facts.id], state, started_at=begun, ended_at=begun + minutes(5), attempt=1)


def repaired(ledger: Ledger, facts: JobFacts, minute: int) -> None:
    begun = at("06:00") + minutes(minute)
    ledger.run(facts, STARTS[facts.id], RunState.SUCCEEDED, started_at=begun, ended_at=begun + minutes(1))


def open_incidents(decisions: Decisions) -> Open:
    """Cause, root, failed runs, and affected services."""
    return {
        (incident.cause.kind, incident.cause.job_id, incident.cause.business_date,
         frozenset(member.job_id for member in incident.members if member.role in ("root", "red", "stale")),
         frozenset(service.service for service in incident.services))
        for incident in decisions.incidents if not incident.closed
    }  # fmt: skip


class SentNotifications:
    """Every word that left, by incident and route."""

    def __init__(self) -> None:
        self.style: dict[tuple[str, str, str], list[AlertKind]] = defaultdict(list)
        self.merged: set[str] = set()
        self._keys: dict[int, str] = {}

    def hear(self, ledger: Ledger) -> None:
        for incident in ledger.decisions.incidents:
            self.merged |= {self._keys[number] for number in incident.merges}
            for notice in incident.notices:
                self.style[incident.key, notice.route, notice.style].append(notice.kind)
        self._keys |= {incident.id: incident.key for incident in ledger.estate.incidents}

    def is_in_order(self) -> bool:
        """For each incident each route was notified once of its start, and at most once after that of its end."""
        return all(
            kinds.count(AlertKind.OPENED) <= 1 and kinds.count(AlertKind.RECOVERED) <= 1
            and AlertKind.OPENED not in kinds[1:] and AlertKind.RECOVERED not in kinds[:-1]
            for kinds in self.style.values()
        )  # fmt: skip

    def heard(self, key: str) -> bool:
        return any(key == name for name, _, text in self.style if text == "technical")

    def waits_for_the_end(self) -> list[tuple[str, str, str]]:
        """Who was notified of its start, and of no end. A merged incident ends with the whole; who waits for a service
        is notified of its end by the last incident that made it late."""
        ended = {who for who, kinds in self.style.items() if AlertKind.RECOVERED in kinds}
        delivered = {route for _, route, text in ended if text == "business"}
        return [
            who for who in self.style.keys() - ended
            if who[0] not in self.merged and not (who[2] == "business" and who[1] in delivered)
        ]  # fmt: skip


def played(order: list[Seen], evaluations: list[bool]) -> tuple[Ledger, SentNotifications]:
    ledger, sent = Ledger(WHOLE), SentNotifications()
    ledger.evaluate("02:30")
    for minute, ((job_facts, state), is_evaluated) in enumerate(zip(order, evaluations, strict=True)):
        arrives(ledger, job_facts, state)
        if is_evaluated:
            ledger.evaluate(f"05:{minute:02}")
            sent.hear(ledger)
    for clock in ("05:30", "05:50"):  # a late service is notified again a while after its cause is resolved
        ledger.evaluate(clock)
        sent.hear(ledger)
    return ledger, sent


@pytest.mark.deep
@examples(40)
@given(ENDS, st.data())
def test_what_is_seen_in_any_order_ends_in_the_same_open_incidents(
    ends: dict[int, RunState | None], data: st.DataObject
) -> None:
    facts = seen(ends)
    at_once, _ = played(facts, [False] * len(facts))
    order = data.draw(st.permutations(facts))
    evaluations = data.draw(st.lists(st.booleans(), min_size=len(facts), max_size=len(facts)))
    one_by_one, sent = played(order, evaluations)
    assert open_incidents(at_once.decisions) == open_incidents(one_by_one.decisions)
    assert sent.is_in_order()
    assert [] == [incident.key for incident in one_by_one.estate.incidents if not sent.heard(incident.key)]


@pytest.mark.deep
@examples(25)
@given(ENDS, st.data())
def test_a_route_notified_of_the_start_is_notified_once_of_the_end(
    ends: dict[int, RunState | None], data: st.DataObject
) -> None:
    """All is repaired, in any order, and evaluated in between."""
    facts = data.draw(st.permutations(seen(ends)))
    ledger, sent = played(facts, data.draw(st.lists(st.booleans(), min_size=len(facts), max_size=len(facts))))
    for minute, job_facts in enumerate(data.draw(st.permutations(JOBS))):
        repaired(ledger, job_facts, minute)
        if data.draw(st.booleans()):
            ledger.evaluate(f"06:{minute + 2:02}")
            sent.hear(ledger)
    for minute, job_facts in enumerate((C, D, E)):  # on good data by now
        repaired(ledger, job_facts, 20 + 2 * minute)
    for clock in ("06:40", "07:30"):
        ledger.evaluate(clock)
        sent.hear(ledger)
    assert () == ledger.estate.incidents
    assert sent.is_in_order()
    assert [] == sent.waits_for_the_end()
