"""What a job takes with it, and which red job above it is the cause, over graphs of any shape."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import rustworkx as rx
from hypothesis import given
from hypothesis import strategies as st

from console.control.explain.lineage import Steps, blast_radius, neighbours, red_root_causes, runs_read_by_edge
from console.domain.dependency import LineageRun, RunInput

JOBS = 12
NAMES = {1: "etl-hosts/db07:extract", 2: "warehouse/load"}
EDGES = st.lists(st.tuples(st.integers(0, JOBS - 1), st.integers(0, JOBS - 1)), max_size=30)
RED = st.sets(st.integers(0, JOBS - 1))


def steps(edges: list[tuple[int, int]]) -> tuple[Steps, Steps]:
    above, below = neighbours(edges)
    return (lambda job: above.get(job, ())), (lambda job: below.get(job, ()))


def test_the_blast_radius_is_nearest_first() -> None:
    _, below = steps([(1, 2), (2, 3), (1, 3), (3, 4), (9, 4)])
    assert [(2, 1), (3, 1), (4, 2)] == list(blast_radius(1, below).items())
    assert {} == blast_radius(4, below)


def test_a_red_job_below_a_red_job_is_a_symptom_however_many_good_ones_lie_between() -> None:
    above, _ = steps([(1, 2), (2, 3), (3, 4), (7, 4)])
    assert [1] == red_root_causes(4, above, {1, 4})
    assert [7, 1] == red_root_causes(4, above, {1, 3, 4, 7})
    assert [4] == red_root_causes(4, above, {4})
    assert [] == red_root_causes(4, above, set())


def test_what_is_red_beside_it_is_no_cause_of_it() -> None:
    above, _ = steps([(1, 2), (1, 3)])
    assert [] == red_root_causes(3, above, {2})


def test_jobs_that_blame_each_other_around_a_cycle_are_all_named() -> None:
    above, _ = steps([(1, 2), (2, 1)])
    assert {1, 2} == set(red_root_causes(1, above, {1, 2}))


@given(EDGES, st.integers(0, JOBS - 1))
def test_the_blast_radius_is_what_a_graph_library_finds(edges: list[tuple[int, int]], job: int) -> None:
    graph: rx.PyDiGraph[int, None] = rx.PyDiGraph()
    graph.add_nodes_from(range(JOBS))
    graph.add_edges_from_no_data(edges)
    assert rx.descendants(graph, job) - {job} == set(blast_radius(job, steps(edges)[1]))


@given(EDGES, RED, st.integers(0, JOBS - 1))
def test_every_red_job_has_a_cause_and_none_of_them_lies_below_another(
    edges: list[tuple[int, int]], red: set[int], job: int
) -> None:
    forward = [(min(edge), max(edge)) for edge in edges if edge[0] != edge[1]]
    above, below = steps(forward)
    causes = red_root_causes(job, above, red)
    reds = red & {job, *blast_radius(job, above)}
    assert bool(reds) == bool(causes)
    assert set(causes) <= reds
    assert all(other not in blast_radius(cause, below) for cause in causes for other in causes)


EVENING = datetime(2026, 11, 19, 22, 0, tzinfo=UTC)


def ran(
    job_id: int, business_date: str, begins_h: float, state: str = "succeeded", hours: float | None = 0.5
) -> LineageRun:
    begins = EVENING + timedelta(hours=begins_h)
    ended = None if hours is None else begins + timedelta(hours=hours)
    return LineageRun(int(begins_h), job_id, business_date, state, begins, ended, False)


def test_a_run_read_the_last_one_that_had_ended_well_when_it_began() -> None:
    late, before = ran(1, "19", 3.8), ran(1, "18", -20)
    reader = ran(2, "19", 4)
    assert {(1, 2): RunInput(reader, before)} == runs_read_by_edge([(1, 2)], {1: [late, before], 2: [reader]}, NAMES)
    in_time = ran(1, "19", 3.8, hours=0.1)
    assert {(1, 2): RunInput(reader, in_time)} == runs_read_by_edge(
        [(1, 2)], {1: [in_time, before], 2: [reader]}, NAMES
    )


def test_what_failed_or_runs_still_was_not_read() -> None:
    reader, before = ran(2, "19", 4), ran(1, "18", -20)
    for newest in (ran(1, "19", 3, "failed"), ran(1, "19", 3, "running", None)):
        assert {(1, 2): RunInput(reader, before)} == runs_read_by_edge(
            [(1, 2)], {1: [newest, before], 2: [reader]}, NAMES
        )
    assert {(1, 2): RunInput(reader, None)} == runs_read_by_edge(
        [(1, 2)], {1: [ran(1, "19", 3, "failed")], 2: [reader]}, NAMES
    )


def test_a_run_that_has_not_started_reads_nothing() -> None:
    assert {} == runs_read_by_edge([(1, 2)], {1: [ran(1, "19", 3)], 2: []}, NAMES)
    assert {} == runs_read_by_edge([(1, 2)], {1: [], 2: [ran(2, "19", 4)]}, NAMES)


@pytest.mark.parametrize("called", ["etl-hosts/db07:extract", "db07:extract"])
def test_inputs_reported_by_a_source_override_the_times(called: str) -> None:
    """By the times it read the run that ended last before it started."""
    newest, named = ran(1, "19", 3), replace(ran(1, "18", 2), period_key="2026-11-18")
    reader = replace(ran(2, "19", 4), inputs=((called, "2026-11-18"),))
    assert (
        RunInput(reader, named, is_reported=True)
        == runs_read_by_edge([(1, 2)], {1: [newest, named], 2: [reader]}, NAMES)[1, 2]
    )
    other = replace(reader, inputs=(("elsewhere", "2026-11-18"),))
    assert RunInput(other, newest) == runs_read_by_edge([(1, 2)], {1: [newest, named], 2: [other]}, NAMES)[1, 2]
    run = replace(reader, inputs=((called, "2025-01-01"),))
    assert (
        RunInput(run, None, is_reported=True)
        == runs_read_by_edge([(1, 2)], {1: [newest, named], 2: [run]}, NAMES)[1, 2]
    )
