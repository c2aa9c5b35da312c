"""The graph over all systems: members, orders, and cycles reported job by job."""

from __future__ import annotations

import pytest

from console.control.snapshot.graph import DependencyEdge, DependencyGraph, UpstreamGate, UpstreamRead
from console.domain.dependency import DependencyOrigin, Requirement, UpstreamCondition, UpstreamPeriod
from console.domain.estate import DependencyFacts, JobFacts
from tests.factories import feeds, job

EXTRACT, LOAD, PUBLISH, REFRESH, REPORT = (
    job(1, "etl-hosts/db07:extract"),
    job(2, "warehouse/load"),
    job(3, "warehouse/load.publish", parent_id=2),
    job(4, "dwh/refresh"),
    job(5, "aws/report"),
)
JOBS = {job.id: job for job in (EXTRACT, LOAD, PUBLISH, REFRESH, REPORT)}
CHAIN = feeds(EXTRACT, LOAD) + feeds(PUBLISH, REFRESH) + feeds(REFRESH, REPORT)


def graph(*dependencies: DependencyFacts) -> DependencyGraph:
    return DependencyGraph(JOBS, dependencies)


def chain(length: int) -> tuple[dict[int, JobFacts], list[DependencyFacts]]:
    jobs = {number: job(number, f"s/{number}") for number in range(1, length + 1)}
    return jobs, [DependencyFacts(number, number + 1, DependencyOrigin.DECLARED) for number in range(1, length)]


def test_members_of_a_service_are_everything_upstream_of_its_terminals() -> None:
    assert {1, 2, 4, 5} == graph(*CHAIN).members([5])
    assert {1, 2} == graph(*CHAIN).members([2])
    assert {1, 2} == graph(*CHAIN).members([3])


def test_a_task_is_in_the_graph_as_its_dag_and_the_edge_says_what_it_reads() -> None:
    dependency_graph = graph(*CHAIN, DependencyFacts(2, 4, DependencyOrigin.NATIVE))
    assert [DependencyEdge(2, 4, reads=(2, 3), native=True)] == list(dependency_graph.into(4))
    assert {4, 5} == dependency_graph.descendants(2)
    assert 2 == dependency_graph.unit(3)


def test_jobs_are_ordered_from_upstream_to_downstream() -> None:
    assert [1, 2, 4, 5] == graph(*CHAIN).ordered([5, 4, 2, 1])


def test_a_job_without_dependencies_has_neither_ancestors_nor_descendants() -> None:
    assert (set(), set()) == (graph().ancestors(1), graph().descendants(1))
    assert {1} == graph().members([1])


def test_a_dependency_on_a_job_that_is_not_there_is_left_out() -> None:
    assert set() == graph(DependencyFacts(1, 99, DependencyOrigin.DECLARED)).descendants(1)


@pytest.mark.parametrize(
    "dependencies, paths",
    [
        (CHAIN, []),
        ([DependencyFacts(1, 1, DependencyOrigin.DECLARED)], []),
        ([*feeds(EXTRACT, LOAD), *feeds(LOAD, REFRESH), *feeds(REFRESH, EXTRACT)], [[1, 2, 4, 1]]),
        ([*feeds(PUBLISH, REFRESH), *feeds(REFRESH, LOAD)], [[2, 4, 2]]),
    ],
    ids=["none", "what lies within one job", "three jobs", "through a DAG and its task"],
)
def test_a_cycle_is_reported_job_by_job(dependencies: list[DependencyFacts], paths: list[list[int]]) -> None:
    assert paths == graph(*dependencies).cycles


def test_every_strongly_connected_component_is_reported() -> None:
    knots = [*feeds(EXTRACT, LOAD), *feeds(LOAD, EXTRACT), *feeds(REFRESH, REPORT), *feeds(REPORT, REFRESH)]
    assert 2 == len(graph(*knots).cycles)


def test_a_graph_with_a_cycle_leaves_its_edges_out_and_names_it() -> None:
    dependency_graph = graph(*CHAIN, *feeds(REFRESH, LOAD))
    assert [[2, 4, 2]] == dependency_graph.cycles
    assert ({2}, {5}) == (dependency_graph.descendants(1), dependency_graph.descendants(4))


def test_f48_a_chain_of_many_thousand_jobs_is_walked_and_its_cycle_reported() -> None:
    jobs, dependencies = chain(20_000)
    dependency_graph = DependencyGraph(jobs, dependencies)
    assert 19_999 == len(dependency_graph.ancestors(20_000))
    assert [1, 10_000, 20_000] == dependency_graph.ordered([20_000, 1, 10_000])
    closed = [*dependencies, DependencyFacts(20_000, 1, DependencyOrigin.DECLARED)]
    assert [20_001] == [len(path) for path in DependencyGraph(jobs, closed).cycles]


def test_a_loop_through_the_previous_period_is_no_cycle_and_its_jobs_are_judged_together() -> None:
    back = DependencyFacts(4, 1, DependencyOrigin.DECLARED, wants=Requirement(period=UpstreamPeriod.PREVIOUS))
    dependency_graph = graph(*feeds(EXTRACT, LOAD), *feeds(LOAD, REFRESH), back, *feeds(REFRESH, REPORT))
    assert ([], {2, 4, 5}) == (dependency_graph.cycles, dependency_graph.descendants(1))
    assert [(1, 2, 4), (5,)] == list(dependency_graph.batches_of((1, 2, 4, 5)))
    assert {1: 1, 2: 1, 4: 1, 5: 2} == dependency_graph.ranks([5, 4, 2, 1])
    assert (True, False, [1]) == (
        dependency_graph.is_loop(4, 1),
        dependency_graph.is_loop(1, 2),
        list(dependency_graph.looped_out_of(4)),
    )


def test_config_overrides_the_scheduler_about_a_pair() -> None:
    ended = Requirement(UpstreamCondition.COMPLETION)
    native, declared = (
        DependencyFacts(1, 2, DependencyOrigin.NATIVE),
        DependencyFacts(1, 2, DependencyOrigin.DECLARED, wants=ended),
    )
    for edges in ((native, declared), (declared, native)):
        assert [UpstreamGate(1, (UpstreamRead(1, 1, ended, native=True),))] == list(graph(*edges).gates(2) or ())
    assert graph(native).gates(2) is None


def test_a_gate_needs_no_more_than_are_there() -> None:
    two = Requirement(gate="1", need=2)
    edges = [DependencyFacts(up, 5, DependencyOrigin.DECLARED, wants=two) for up in (1, 99)]
    assert [1] == [gate.need for gate in graph(*edges).gates(5) or ()]
