"""Jobs that do not simply start after the last of their upstreams, column by column: 0 feeds all, 1 starts by the clock
at 100 and takes 50 in each column."""

from __future__ import annotations

import numpy as np
import pytest

from console.forecast.simulation.simulator import prepare_night, run_simulation
from console.forecast.simulation.values import (
    Floats,
    GateRule,
    GateThreshold,
    JobPhase,
    NightHistory,
    RerunRule,
    SimulationGraph,
    StartRule,
    Tonight,
)


def finishes(rule: StartRule, upstreams: list[list[int]], finish: Floats, takes: float) -> Floats:
    """Of the last job, whose upstreams are done as given; each column is a night of its own."""
    job = len(upstreams) - 1
    past = NightHistory(np.full((30, job + 1), takes), np.zeros((30, job + 1)), np.full((30, job + 1), np.nan))
    of_night = prepare_night(past, SimulationGraph(upstreams, np.zeros(job + 1), {job: rule}), [job])
    phase, nothing = np.array([JobPhase.DONE] * job + [JobPhase.WAITS]), np.full(job + 1, np.nan)
    seen = [
        run_simulation(Tonight(phase, nothing, nothing, np.append(ends, np.nan)), 0.0, of_night) for ends in finish.T
    ]
    return np.array([np.median(simulation.samples(job).finish) for simulation in seen])


@pytest.mark.parametrize(
    "good, done",
    [(90.0, 150.0), (100.0, 150.0), (120.0, 200.0), (180.0, 230.0)],
    ids=["in time", "just in time", "read stale, rerun once it is through", "rerun after its upstream"],
)
def test_a_start_by_the_clock_is_rerun_where_its_upstream_is_good_too_late(good: float, done: float) -> None:
    both = np.array([[good], [150.0]])
    assert [done] == pytest.approx(list(finishes(RerunRule(1, (0,)), [[], [], [0, 1]], both, 50.0)), abs=0.1)


@pytest.mark.parametrize("need, opened", [(1, [10.0, 30.0]), (2, [20.0, 40.0]), (3, [90.0, 90.0])])
def test_a_gate_opens_with_as_many_as_it_needs(need: int, opened: list[float]) -> None:
    two = np.array([[10.0, 40.0], [20.0, 30.0]])
    assert opened == pytest.approx(
        list(finishes(GateRule([GateThreshold(need, (0, 1), (90.0,))]), [[], [], [0, 1]], two, 0.0)), abs=0.1
    )


def test_an_upstream_that_a_gate_does_not_need_may_be_late() -> None:
    finish = np.array([[10.0, 10.0], [20.0, 70.0]])
    first, second = (
        by for _, by in GateRule([GateThreshold(1, (0, 1), ())]).back(finish, np.array([50.0, 50.0]), finish[0])
    )
    assert [np.inf, 50.0] == list(first)
    assert [np.inf, np.inf] == list(second)


def test_what_starts_by_the_clock_must_find_its_upstream_good_or_have_the_time_for_a_rerun() -> None:
    finish = np.array([[90.0, 90.0, 90.0], [150.0, 150.0, 150.0]])
    latest, takes = np.array([160.0, 210.0, 140.0]), np.full(3, 50.0)
    (_, by), _ = RerunRule(1, (0,)).back(finish, latest, takes)
    assert [100.0, 160.0, -np.inf] == list(np.round(by))
    (_, by), _ = RerunRule(1, (0,), again=False).back(finish, latest, takes)
    assert [100.0, 100.0, -np.inf] == list(np.round(by))


@pytest.mark.parametrize("good, decides", [(90.0, [1]), (120.0, [0, 1]), (180.0, [0])])
def test_what_makes_a_rerun_necessary_decides_and_so_does_what_the_rerun_waits_for(
    good: float, decides: list[int]
) -> None:
    finish = np.array([[good], [150.0]])
    entries = RerunRule(1, (0,)).deciders(finish, np.array([50.0]))
    assert decides == sorted(job for job, where in entries if where.all())
