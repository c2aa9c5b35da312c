"""Which targets may be the cause of what fails on them, and so connect all their jobs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.snapshot.failing_targets import SHARED_WITHIN, TargetEnds
from console.control.snapshot.incremental import build_cache, part_with
from console.domain.estate import Estate, EstateChanges, RunFacts
from tests.factories import at, estate, job, minutes, run, service, target
from tests.rows import each_row

JOBS = tuple(job(number, f"etl-hosts/db07:a{number}", "03:10", expected=None) for number in range(1, 13))
IDS = {job.id for job in JOBS}
DAG = job(20, "flows/load", "03:10", target_id=2)
TASKS = tuple(job(number, f"flows/load.t{number}", target_id=2, parent_id=20) for number in range(21, 27))


def ended(failed: int, good: int) -> Estate:
    """So many jobs failed, one after the other within two minutes; so many others ended well in that time."""
    states = [RunState.FAILED] * failed + [RunState.SUCCEEDED] * good
    runs = (
        run(job.id, job, "03:10", state, ended_at=at("03:20") + minutes(2) * (number % failed) / failed)
        for number, (job, state) in enumerate(zip(JOBS, states, strict=False))
    )
    return estate(*JOBS, targets=[target(1)], runs=tuple(runs))


@each_row("failed, good, together", [(5, 0, IDS), (5, 1, IDS), (5, 2, {1}), (5, 7, {1}), (4, 0, {1})])
def test_jobs_of_a_target_are_judged_together_only_while_most_of_what_ends_there_fails(
    failed: int, good: int, together: set[int]
) -> None:
    assert together == set(part_with(ended(failed, good), [1]).jobs)


def test_one_failure_among_many_good_runs_is_judged_alone_after_a_change_as_well() -> None:
    before = ended(5, 7)
    cache = build_cache(before)
    good_ones_run_again = tuple(
        replace(run, state=RunState.RUNNING, ended_at=None) if not run.state.is_red else run for run in before.runs
    )
    after = replace(before, runs=good_ones_run_again)
    assert {1} == set(part_with(before, [1], cache).jobs)
    assert IDS == set(part_with(after, [1], build_cache(after, cache, EstateChanges(IDS, set()))).jobs)


def test_failed_tasks_of_one_dag_are_no_burst() -> None:
    runs = tuple(run(job.id, job, "03:10", RunState.FAILED) for job in (DAG, *TASKS))
    assert frozenset() == TargetEnds(estate(DAG, *TASKS, targets=[target(2)], runs=runs)).failing()


def test_a_part_with_nearly_all_failures_of_a_busy_target_is_decided_as_within_the_whole() -> None:
    """Seen alone, its target would be the cause: its jobs failed together, and what ended well there is not in it."""
    begun = ended(6, 6)
    past = tuple(
        run(100 * night + job.id, job, at("03:10") - timedelta(days=night)) for night in (1, 2, 3, 4) for job in JOBS
    )
    whole = replace(begun, runs=(*past, *begun.runs), services=(service("one", "06:30", *JOBS[:6]),))
    cache = build_cache(whole)
    part = part_with(whole, [1], cache)
    assert {job.id for job in JOBS[:6]} == set(part.jobs)
    causes = [incident.key for incident in evaluate(whole, at("03:30"), cache=cache).incidents]
    assert causes == [incident.key for incident in evaluate(part, at("03:30"), cache=cache).incidents]
    alone = replace(part, failing=None)
    assert causes != [incident.key for incident in evaluate(alone, at("03:30")).incidents]


RUNS = st.lists(
    st.tuples(
        st.sampled_from(JOBS),
        st.sampled_from([RunState.SUCCEEDED, RunState.FAILED, RunState.RUNNING, RunState.MISSED]),
        st.integers(0, 9),
    ),
    max_size=25,
)


@given(st.lists(RUNS, min_size=1, max_size=4))
def test_updates_find_what_a_full_evaluation_finds(snapshots: list[list[tuple[object, RunState, int]]]) -> None:
    none = estate(*JOBS, targets=[target(1)])
    ends = TargetEnds(none)
    for number, drawn in enumerate(snapshots):
        runs = {place: _run(number * 100 + place, *pair) for place, pair in enumerate(drawn)}
        snapshot = replace(none, runs=tuple(sorted(runs.values(), key=lambda run: run.job_id)))
        ends.update(snapshot, IDS)
        fresh = TargetEnds(snapshot)
        assert fresh.failing() == ends.failing()
        assert (fresh._good.get(1, []), fresh._red.get(1, {})) == (ends._good.get(1, []), ends._red.get(1, {}))
        assert bool(ends.failing()) == _by_counting(list(runs.values()))


def _run(number: int, of: object, state: RunState, minute: int) -> RunFacts:
    facts = run(number, of, "03:10", state)  # type: ignore[arg-type]
    return replace(facts, ended_at=at("03:20") + minutes(minute)) if facts.ended_at is not None else facts


def _by_counting(runs: list[RunFacts]) -> bool:
    """True if in any span most runs that ended are red, at least five; of at least five jobs in all."""
    ends = [run for run in runs if run.ended_at is not None and not run.state.is_open]
    spans = [
        (first.ended_at, last.ended_at) for first in ends for last in ends if first.state.is_red & last.state.is_red
    ]
    for first, last in spans:
        assert first is not None
        assert last is not None
        if last - first <= SHARED_WITHIN:
            within = [run for run in ends if run.ended_at is not None and first <= run.ended_at <= last]
            red = [run for run in within if run.state.is_red]
            if len(red) >= max(5, 0.8 * len(within)) and len({run.job_id for run in ends if run.state.is_red}) >= 5:
                return True
    return False
