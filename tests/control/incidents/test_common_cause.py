"""Many that fall together are one incident, whatever the order in which their polls arrive, and a part judged alone is
judged as within the whole."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.snapshot.incremental import components_of, part_with
from console.domain.decision import IncidentDecision
from tests.control.ledger import Ledger, ended
from tests.factories import at, estate, feeds, job, target
from tests.properties import examples
from tests.reasons import number_of, title_of

REFUSED = 'FATAL: password authentication failed for user "etl"'
DISCONNECTED = 'connection to server at "db09", port 5432 failed: Connection refused'
ERRORS = (REFUSED, DISCONNECTED, "exit 1")
JOBS = [job(number, f"hosts/db0{number % 2}:j{number}", "03:10", target_id=1 + number % 2) for number in range(1, 8)]
WHOLE = estate(
    *JOBS, feeds=[*feeds(JOBS[0], JOBS[1]), *feeds(JOBS[2], JOBS[3])], targets=[target(1), target(2, name="db08")]
)
FACTS = st.lists(
    st.tuples(st.sampled_from(JOBS), st.sampled_from(ERRORS)), unique_by=lambda pair: pair[0].id, max_size=7
)


def groups(incidents: tuple[IncidentDecision, ...]) -> set[tuple[object, ...]]:
    """Root and affected runs of each open incident."""
    return {
        (
            incident.cause.kind,
            incident.cause.job_id,
            incident.cause.subject,
            frozenset(member.job_id for member in incident.members),
        )
        for incident in incidents
        if not incident.closed
    }


def fail(ledger: Ledger, number: int, message: str, clock: str = "03:10") -> None:
    ledger.run(JOBS[number - 1], "03:10", RunState.FAILED, message=message, **ended(clock, 1))


@examples(60)
@given(FACTS, st.data())
def test_the_order_of_arrival_does_not_change_the_groups(facts: list[tuple[object, str]], data: st.DataObject) -> None:
    results = []
    for order in (facts, data.draw(st.permutations(facts))):
        ledger = Ledger(WHOLE)
        for minute, (item, message) in enumerate(order):
            ledger.run(item, "03:10", RunState.FAILED, message=message, **ended("03:10", 1))  # type: ignore[arg-type]
            if data.draw(st.booleans()):
                ledger.evaluate(f"03:{12 + minute}")
        ledger.evaluate("03:30")
        results.append(groups(ledger.decisions.incidents))
    assert results[0] == results[1]


@examples(60)
@given(FACTS, FACTS)
def test_a_part_is_judged_as_within_the_whole(
    first: list[tuple[object, str]], second: list[tuple[object, str]]
) -> None:
    ledger = Ledger(WHOLE)
    for facts, clock in ((first, "03:10"), (second, "03:14")):
        for item, message in facts:
            ledger.run(item, "03:10", RunState.FAILED, message=message, **ended(clock, 1))  # type: ignore[arg-type]
        if clock == "03:10":
            ledger.evaluate("03:12")
    whole = evaluate(ledger.estate, at("03:20")).incidents
    parts = [evaluate(part_with(ledger.estate, part), at("03:20")).incidents for part in components_of(ledger.estate)]
    assert groups(whole) == set().union(*map(groups, parts))


def test_fewer_than_the_threshold_or_further_apart_are_incidents_of_their_own() -> None:
    for clocks, count in ((("03:10", "03:10"), 2), (("03:10", "03:18", "03:40"), 3), (("03:10", "03:14", "03:20"), 1)):
        ledger = Ledger(estate(*JOBS[: len(clocks)]))
        for number, clock in enumerate(clocks, 1):
            fail(ledger, number, REFUSED, clock)
        ledger.evaluate("03:45")
        assert count == len(ledger.decisions.incidents)


def test_the_end_of_a_log_is_used_where_there_is_no_message() -> None:
    ledger = Ledger(estate(*JOBS))
    for number in (1, 3, 5):
        ledger.run(JOBS[number - 1], "03:10", RunState.FAILED, tail=f"begin\n{DISCONNECTED}\n", **ended("03:10", 1))
    ledger.evaluate("03:14")
    assert {"connection:db09:5432"} == {
        incident.cause.subject for incident in ledger.decisions.incidents if incident.cause.kind == "shared"
    }


def test_a_shared_root_that_returns_is_the_same_incident_with_one_notification_each_time() -> None:
    """The promise of an alert: notified once when it opens, once when it is resolved, once when it returns."""
    ledger = Ledger(estate(*JOBS[:3]))
    entries, titles = [], list[str]()
    for clock, state in (("03:10", RunState.FAILED), ("03:20", RunState.SUCCEEDED), ("03:30", RunState.FAILED)):
        for job_facts in JOBS[:3]:
            ledger.run(job_facts, "03:10", state, message=REFUSED, **ended(clock, 1))
        for late in (timedelta(minutes=2), timedelta(minutes=3)):
            incidents = ledger.evaluate(f"{at(clock) + late:%H:%M}").incidents
            entries += [
                (number_of(incident), notice.kind.value) for incident in incidents for notice in incident.notices
            ]
            titles += [title_of(incident) for incident in incidents if incident.closed]
    assert ["user etl was refused"] == titles
    assert [(None, "opened"), (1, "recovered"), (1, "updated")] == entries
