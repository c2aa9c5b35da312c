"""Many that fall together are one incident, whatever the order in which their polls arrive, and a part judged alone is
judged as within the whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.snapshot.incremental import components_of, part_with
from console.domain.decision import IncidentDecision
from console.domain.settings import Declared, IncidentGrouping
from tests.control.ledger import Ledger, ended
from tests.factories import at, estate, feeds, job, target
from tests.properties import examples

REFUSED = 'FATAL: password authentication failed for user "etl"'
GONE = 'connection to server at "db09", port 5432 failed: Connection refused'
SAID = (REFUSED, GONE, "exit 1")
JOBS = [job(number, f"hosts/db0{number % 2}:j{number}", "03:10", target_id=1 + number % 2) for number in range(1, 8)]
WHOLE = estate(
    *JOBS, feeds=[*feeds(JOBS[0], JOBS[1]), *feeds(JOBS[2], JOBS[3])], targets=[target(1), target(2, name="db08")]
)
FACTS = st.lists(st.tuples(st.sampled_from(JOBS), st.sampled_from(SAID)), unique_by=lambda one: one[0].id, max_size=7)


def groups(incidents: tuple[IncidentDecision, ...]) -> set[tuple[object, ...]]:
    """Root and hurt runs of each open incident."""
    return {
        (one.cause, one.root_job_id, one.root_shared, frozenset(each.job_id for each in one.members))
        for one in incidents
        if not one.closed
    }


def fail(ledger: Ledger, number: int, said: str, clock: str = "03:10") -> None:
    ledger.run(JOBS[number - 1], "03:10", RunState.FAILED, message=said, **ended(clock, 1))


@examples(60)
@given(FACTS, st.data())
def test_the_order_of_arrival_does_not_change_the_groups(facts: list[tuple[object, str]], data: st.DataObject) -> None:
    found = []
    for order in (facts, data.draw(st.permutations(facts))):
        ledger = Ledger(WHOLE)
        for minute, (one, said) in enumerate(order):
            ledger.run(one, "03:10", RunState.FAILED, message=said, **ended("03:10", 1))  # type: ignore[arg-type]
            if data.draw(st.booleans()):
                ledger.look(f"03:{12 + minute}")
        ledger.look("03:30")
        found.append(groups(ledger.decisions.incidents))
    assert found[0] == found[1]


@examples(60)
@given(FACTS, FACTS)
def test_a_part_is_judged_as_within_the_whole(
    first: list[tuple[object, str]], second: list[tuple[object, str]]
) -> None:
    ledger = Ledger(WHOLE)
    for facts, clock in ((first, "03:10"), (second, "03:14")):
        for one, said in facts:
            ledger.run(one, "03:10", RunState.FAILED, message=said, **ended(clock, 1))  # type: ignore[arg-type]
        if clock == "03:10":
            ledger.look("03:12")
    whole = evaluate(ledger.estate, at("03:20")).incidents
    parts = [evaluate(part_with(ledger.estate, part), at("03:20")).incidents for part in components_of(ledger.estate)]
    assert groups(whole) == set().union(*map(groups, parts))


def test_fewer_than_the_threshold_or_further_apart_are_incidents_of_their_own() -> None:
    for clocks, count in ((("03:10", "03:10"), 2), (("03:10", "03:18", "03:40"), 3), (("03:10", "03:14", "03:20"), 1)):
        ledger = Ledger(estate(*JOBS[: len(clocks)]))
        for number, clock in enumerate(clocks, 1):
            fail(ledger, number, REFUSED, clock)
        ledger.look("03:45")
        assert count == len(ledger.decisions.incidents)


def test_config_says_how_many_are_many() -> None:
    ledger = Ledger(estate(*JOBS))
    ledger.estate = replace(ledger.estate, declared=Declared(incidents=IncidentGrouping(shared_jobs=2)))
    for number in (1, 2):
        fail(ledger, number, REFUSED)
    ledger.look("03:14")
    assert "user etl is refused" in [one.title for one in ledger.decisions.incidents]


def test_the_end_of_a_log_is_used_where_there_is_no_message() -> None:
    ledger = Ledger(estate(*JOBS))
    for number in (1, 3, 5):
        ledger.run(JOBS[number - 1], "03:10", RunState.FAILED, tail=f"begin\n{GONE}\n", **ended("03:10", 1))
    ledger.look("03:14")
    assert {"connection:db09:5432"} == {one.root_shared for one in ledger.decisions.incidents if one.root_shared}


def test_a_shared_root_that_returns_is_the_same_incident_with_one_notification_each_time() -> None:
    """The promise of an alert: told once when it opens, once when it is over, once when it is back."""
    ledger = Ledger(estate(*JOBS[:3]))
    told = []
    for clock, state in (("03:10", RunState.FAILED), ("03:20", RunState.SUCCEEDED), ("03:30", RunState.FAILED)):
        for each in JOBS[:3]:
            ledger.run(each, "03:10", state, message=REFUSED, **ended(clock, 1))
        for late in (timedelta(minutes=2), timedelta(minutes=3)):
            found = ledger.look(f"{at(clock) + late:%H:%M}").incidents
            told += [(one.incident_id, notice.kind.value) for one in found for notice in one.notices]
    assert [(None, "opened"), (1, "recovered"), (1, "updated")] == told
