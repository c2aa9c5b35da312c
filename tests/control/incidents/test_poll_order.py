"""The same night, seen in any order and looked at in between: the same open incidents, no page lost or doubled."""

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
ENDS = st.fixed_dictionaries({one.id: st.sampled_from((RunState.FAILED, RunState.SUCCEEDED, None)) for one in JOBS})
"""How the night went: None, it never ran, or nobody has seen it yet."""
Seen = tuple[JobFacts, RunState]
Open = set[tuple[object, ...]]


def seen(ends: dict[int, RunState | None]) -> list[Seen]:
    return [(one, state) for one in JOBS if (state := ends[one.id]) is not None]


def arrives(ledger: Ledger, one: JobFacts, state: RunState) -> None:
    begun = at(STARTS[one.id])
    ledger.run(one, STARTS[one.id], state, started_at=begun, ended_at=begun + minutes(5), attempt=1)


def repaired(ledger: Ledger, one: JobFacts, minute: int) -> None:
    begun = at("06:00") + minutes(minute)
    ledger.run(one, STARTS[one.id], RunState.SUCCEEDED, started_at=begun, ended_at=begun + minutes(1))


def open_incidents(decisions: Decisions) -> Open:
    """Cause, root, what is red, and whom it affects."""
    return {
        (one.cause, one.root_job_id, one.business_date,
         frozenset(each.job_id for each in one.members if each.role in ("root", "red", "stale")),
         frozenset(each.service for each in one.services))
        for one in decisions.incidents if not one.closed
    }  # fmt: skip


class Told:
    """Every word that left, by incident and route."""

    def __init__(self) -> None:
        self.style: dict[tuple[str, str, str], list[AlertKind]] = defaultdict(list)
        self.merged: set[str] = set()
        self._keys: dict[int, str] = {}

    def hear(self, ledger: Ledger) -> None:
        for one in ledger.decisions.incidents:
            self.merged |= {self._keys[each] for each in one.merges}
            for notice in one.notices:
                self.style[one.key, notice.route, notice.style].append(notice.kind)
        self._keys |= {one.id: one.key for one in ledger.estate.incidents}

    def is_in_order(self) -> bool:
        """Of each incident each route was told once that it began, and at most once after that that it is over."""
        return all(
            kinds.count(AlertKind.OPENED) <= 1 and kinds.count(AlertKind.RECOVERED) <= 1
            and AlertKind.OPENED not in kinds[1:] and AlertKind.RECOVERED not in kinds[:-1]
            for kinds in self.style.values()
        )  # fmt: skip

    def heard(self, key: str) -> bool:
        return any(key == one for one, _, words in self.style if words == "technical")

    def waits_for_the_end(self) -> list[tuple[str, str, str]]:
        """Who was told that it began, and of no end. What was merged ends with the whole; whoever waits for a service
        hears its end from the last of what made it late."""
        ended = {who for who, kinds in self.style.items() if AlertKind.RECOVERED in kinds}
        delivered = {route for _, route, words in ended if words == "business"}
        return [
            who for who in self.style.keys() - ended
            if who[0] not in self.merged and not (who[2] == "business" and who[1] in delivered)
        ]  # fmt: skip


def played(order: list[Seen], looks: list[bool]) -> tuple[Ledger, Told]:
    ledger, told = Ledger(WHOLE), Told()
    ledger.look("02:30")
    for minute, ((one, state), looked) in enumerate(zip(order, looks, strict=True)):
        arrives(ledger, one, state)
        if looked:
            ledger.look(f"05:{minute:02}")
            told.hear(ledger)
    for clock in ("05:30", "05:50"):  # what is late is told again a while after its cause is over
        ledger.look(clock)
        told.hear(ledger)
    return ledger, told


@pytest.mark.deep
@examples(40)
@given(ENDS, st.data())
def test_what_is_seen_in_any_order_ends_in_the_same_open_incidents(
    ends: dict[int, RunState | None], data: st.DataObject
) -> None:
    facts = seen(ends)
    at_once, _ = played(facts, [False] * len(facts))
    order = data.draw(st.permutations(facts))
    looks = data.draw(st.lists(st.booleans(), min_size=len(facts), max_size=len(facts)))
    one_by_one, told = played(order, looks)
    assert open_incidents(at_once.decisions) == open_incidents(one_by_one.decisions)
    assert told.is_in_order()
    assert [] == [one.key for one in one_by_one.estate.incidents if not told.heard(one.key)]


@pytest.mark.deep
@examples(25)
@given(ENDS, st.data())
def test_a_route_notified_of_the_start_is_notified_once_of_the_end(
    ends: dict[int, RunState | None], data: st.DataObject
) -> None:
    """All is repaired, in any order, and looked at in between."""
    facts = data.draw(st.permutations(seen(ends)))
    ledger, told = played(facts, data.draw(st.lists(st.booleans(), min_size=len(facts), max_size=len(facts))))
    for minute, one in enumerate(data.draw(st.permutations(JOBS))):
        repaired(ledger, one, minute)
        if data.draw(st.booleans()):
            ledger.look(f"06:{minute + 2:02}")
            told.hear(ledger)
    for minute, one in enumerate((C, D, E)):  # on good data by now
        repaired(ledger, one, 20 + 2 * minute)
    for clock in ("06:40", "07:30"):
        ledger.look(clock)
        told.hear(ledger)
    assert () == ledger.estate.incidents
    assert told.is_in_order()
    assert [] == told.waits_for_the_end()
