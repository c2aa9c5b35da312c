"""Polls may come late, twice and in any order: the tables end up the same (design §4, invariant 4)."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.sdk.records import RunRecord, instant_key
from connectors.sdk.states import RunEvidence, RunState
from console.store.ingest.records import ingest_batch
from tests.properties import examples
from tests.store.estate import MIDNIGHT, Estate, poll

_names = count()
POLLS = 6
ENDS = (
    (RunState.SUCCEEDED, RunEvidence.NATIVE),
    (RunState.FAILED, RunEvidence.NATIVE),
    (RunState.LOST, RunEvidence.INFERRED),
    (RunState.UNKNOWN, RunEvidence.INFERRED),
)


def moment(minute: int) -> datetime:
    return MIDNIGHT + timedelta(hours=3, minutes=minute)


@st.composite
def histories(draw: st.DrawFn) -> list[list[RunRecord]]:
    """What each of six polls, ten minutes apart, sees of a few attempts that queue, start and end in between."""
    polls: list[list[RunRecord]] = [[] for _ in range(POLLS)]
    for number in range(draw(st.integers(1, 4))):
        period = draw(st.sampled_from(["03:00", "03:20", "by hand"]))
        queued, started, ended = sorted(draw(st.lists(st.integers(0, 70), min_size=3, max_size=3)))
        end = draw(st.sampled_from(ENDS))
        reports_queue = draw(st.booleans())
        for index in draw(st.sets(st.integers(0, POLLS - 1), min_size=1)):
            seen = (index + 1) * 10
            if queued <= seen:
                polls[index].append(_seen(number, period, (queued, started, ended), end, seen, reports_queue))
    return polls


def _seen(
    number: int,
    period: str,
    times: tuple[int, int, int],
    end: tuple[RunState, RunEvidence],
    seen: int,
    reports_queue: bool,
) -> RunRecord:
    queued, started, ended = times
    details: dict[str, Any] = {"queued_at": moment(queued) if reports_queue else None}
    state, evidence = RunState.QUEUED, RunEvidence.NATIVE
    if started <= seen:
        state, details["started_at"] = RunState.RUNNING, moment(started)
    if ended <= seen:
        (state, evidence), details["ended_at"] = end, moment(ended)
    if period == "by hand":
        details["period_key"] = f"manual__{number % 2}"
    else:
        details["period_at"] = moment(int(period[-2:]))
        details["period_key"] = instant_key(details["period_at"])
    return RunRecord("", f"attempt {number}", state, state.value, evidence, **details)


def played(night: Estate, polls: list[tuple[int, list[RunRecord]]]) -> dict[str, list[tuple[Any, ...]]]:
    """The tables of one fresh job after these polls, without the numbers of rows."""
    job = f"db07:job {next(_names)}"
    for index, records in polls:
        named = tuple(RunRecord(**{**_fields(record), "job": job}) for record in records)
        ingest_batch(night.store, night.host, poll(*named, now=f"{3 + (index + 1) // 6}:{(index + 1) % 6}0"), None)
    [[job_id]] = night.rows("SELECT id FROM job WHERE native_id = :job", job=job) or [(0,)]
    return {
        "run": night.rows(
            "SELECT r.period_key, r.period_us, r.sort_us, r.business_date, r.state, r.evidence, r.native_state,"
            " r.attempts,"
            " a.attempt_key,"
            " r.first_started_us, r.started_us, r.ended_us, r.observed_us FROM run r JOIN attempt a ON a.id ="
            " r.attempt_id"
            " WHERE r.job_id = :job ORDER BY r.period_key",
            job=job_id,
        ),
        "attempt": night.rows(
            "SELECT r.period_key, a.attempt_key, a.number, a.state, a.evidence, a.queued_us, a.started_us, a.ended_us,"
            " a.observed_us FROM attempt a JOIN run r ON r.id = a.run_id WHERE a.job_id = :job ORDER BY 1, 3",
            job=job_id,
        ),
        "latest_run": night.rows(
            "SELECT r.period_key, l.sort_us, l.state, l.attention FROM latest_run l JOIN run r ON r.id = l.run_id"
            " WHERE l.job_id = :job",
            job=job_id,
        ),
    }


def _fields(record: RunRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in RunRecord.__slots__}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data(), history=histories())
def test_f41_late_repeated_and_shuffled_polls_end_in_the_same_tables(
    night: Estate, data: st.DataObject, history: list[list[RunRecord]]
) -> None:
    calm = [(index, records) for index, records in enumerate(history) if records]
    if not calm:
        return
    repeated = calm + data.draw(st.lists(st.sampled_from(calm), max_size=4))
    shuffled = data.draw(st.permutations(repeated))
    assert played(night, calm) == played(night, shuffled)


@examples(20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(history=histories())
def test_counts_and_latest_runs_always_say_what_the_runs_say(night: Estate, history: list[list[RunRecord]]) -> None:
    played(night, [(index, records) for index, records in enumerate(history) if records])
    counted = night.rows(
        "SELECT j.system_id, l.state, count(*) FROM latest_run l JOIN job j ON j.id = l.job_id GROUP BY 1, 2"
    )
    assert sorted(counted) == sorted(night.rows("SELECT system_id, state, n FROM job_counts WHERE n <> 0"))
    assert [] == night.rows(
        "SELECT r.id FROM run r JOIN latest_run l ON l.job_id = r.job_id WHERE r.sort_us > l.sort_us"
    )
