"""However failures and recoveries follow each other, incidents merge, part and return: each failed run is notified, by
one incident, and no text is sent twice."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.states import RunState
from console.domain.alert import AlertKind
from tests.control.ledger import Ledger
from tests.factories import at, estate, feeds, job, minutes, target
from tests.properties import examples
from tests.reasons import number_of

REFUSED = 'FATAL: password authentication failed for user "etl"'
ERRORS = (REFUSED, "exit 1")
JOBS = [job(number, f"hosts/db07:j{number}", "03:10", expected=minutes(1)) for number in range(1, 7)]
WHOLE = estate(
    *JOBS, feeds=[*feeds(JOBS[0], JOBS[1]), *feeds(JOBS[1], JOBS[2]), *feeds(JOBS[3], JOBS[4])], targets=[target(1)]
)
EVENT = st.tuples(
    st.sampled_from(JOBS), st.sampled_from(ERRORS), st.sampled_from([RunState.FAILED, RunState.SUCCEEDED])
)
NIGHTS = st.lists(st.lists(EVENT, max_size=4), max_size=8)


@pytest.mark.deep
@examples(150)
@given(NIGHTS)
def test_every_failed_job_is_notified_once_by_one_incident(night: list[list[tuple[object, str, RunState]]]) -> None:
    ledger = Ledger(WHOLE)
    alert_kinds: dict[int, list[AlertKind]] = defaultdict(list)
    for step, events in enumerate(night):
        clock = f"03:{11 + 5 * step:02}"
        for item, message, state in events:
            ledger.run(item, "03:10", state, message=message if state is RunState.FAILED else "",  # type: ignore[arg-type]
                       started_at=at(clock), ended_at=at(clock))  # fmt: skip
        incidents = ledger.evaluate(f"03:{12 + 5 * step:02}").incidents
        newest = iter(
            range(ledger.newest - sum(number_of(incident) is None for incident in incidents) + 1, ledger.newest + 1)
        )
        for incident in incidents:
            alert_kinds[number_of(incident) or next(newest)] += [notice.kind for notice in incident.notices]
        _belongs_to_one_incident(ledger)
    for kinds in alert_kinds.values():
        assert [AlertKind.OPENED] == kinds[:1]
        assert AlertKind.OPENED not in kinds[1:]
        assert not any(alert_kind is other is AlertKind.RECOVERED for alert_kind, other in pairwise(kinds))


def _belongs_to_one_incident(ledger: Ledger) -> None:
    """Each failed job is the root of one open incident, or is affected by one at least; no two have the same root."""
    red = {run.job_id for run in ledger.estate.runs if run.state is RunState.FAILED}
    job_ids = [
        {member.job_id for member in incident.members if member.role in ("root", "red")}
        for incident in ledger.decisions.incidents
        if not incident.closed
    ]
    assert red <= set().union(*job_ids)
    roots = [
        (incident.cause.job_id, incident.cause.subject)
        for incident in ledger.decisions.incidents
        if not incident.closed
    ]
    assert len(roots) == len(set(roots))
    assert len(ledger.estate.incidents) == len(roots)
