"""kill -9 between hold, release and start: a downstream runs once, after its upstream, and no hold is left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import product
from operator import itemgetter
from pathlib import Path

import pytest

from connectors.sdk.secrets import SecretStore
from console.domain.filter import JobFilter
from console.engine.supervisor.engine import exit_process, exit_with_parent, stop_on_signals
from console.engine.supervisor.log_setup import set_up_logs
from console.failpoints import FAILPOINTS, VARIABLE
from console.store.queries import open_queries
from console.timing.clock import REFRESH_SECONDS, ClockSetting, real_now
from tests.deep import one_of_each
from tests.invariants.engines import LONG_LEASE_SECONDS, Child, engine_of, forked, store_of
from tests.invariants.held_world import DUE, LEAD, SLOWEST, HeldWorld, config_of, fast, start_seconds
from tests.invariants.worlds import Sink
from tests.lab.process import wait_until
from tests.store.ready import open_ready

RATE = 150.0
"""Seconds of the night in a real one, where a process starts at once, from the hold on."""
POINTS = [name for name in FAILPOINTS if name.startswith("action.")]
VERBS = ("hold", "release", "start")
"""In the order in which they pass each point."""


@pytest.fixture(scope="module")
def warm() -> None:
    """What engines are forked from has imported everything before a night begins: the hold is due within seconds."""
    start_seconds()


@pytest.fixture
def world(tmp_path: Path, warm: None) -> HeldWorld:
    """Its clock runs at real speed until the hold is placed (`wait_through`): no load makes an engine miss it."""
    made = HeldWorld(tmp_path, DUE + timedelta(minutes=2))
    made.set_hand(ClockSetting(DUE - LEAD, real_now(), 1.0))
    return made


@contextmanager
def engine(
    world: HeldWorld, name: str, failpoint: str = "", prepare: Callable[[], None] | None = None,
    lease: float = LONG_LEASE_SECONDS,
) -> Iterator[Child]:  # fmt: skip
    """An engine on the world's store; `prepare` is called in its process before anything else."""
    with forked(world.folder / f"{name}.log", _work, world, name, failpoint, prepare, lease) as made:
        yield made


def _work(world: HeldWorld, name: str, failpoint: str, prepare: Callable[[], None] | None, lease: float) -> None:
    if prepare is not None:
        prepare()
    if failpoint:
        os.environ[VARIABLE] = failpoint
    exit_with_parent()
    store, secrets = open_ready(store_of(world.folder)), SecretStore()
    set_up_logs(secrets, world.folder / f"{name}.log")
    made = engine_of(config_of(world), store, Sink(world.folder), secrets, lease)
    stop_on_signals(made)
    made.run()
    store.close()
    exit_process(0)


def wait_through(world: HeldWorld, condition: Callable[[], bool], what: str) -> None:
    """Waits for `condition`; once the hold is there, or has failed, the clock runs fast."""

    def holds() -> bool:
        if world.hand.rate == 1.0 and (world.mark() or has_failed(world)):
            started = real_now() + timedelta(seconds=2 * REFRESH_SECONDS)
            world.set_hand(ClockSetting(world.hand.at(started), started, fast(RATE, min(start_seconds(), SLOWEST))))
        return condition()

    wait_until(holds, what)


def has_failed(world: HeldWorld) -> bool:
    with open_queries(store_of(world.folder)) as reads:
        return any(hold.due == DUE and hold.state == "failed" for hold in reads.holds.list_holds(ended=True))


def wait_for_kill(world: HeldWorld, armed: Child) -> None:
    wait_through(world, lambda: armed.ended(0) is not None, "the point at which it is killed")
    assert -signal.SIGKILL == armed.ended(0)


def is_over(world: HeldWorld) -> bool:
    """Every hold of the night has ended, or came too late, `load` has run, and the store knows of its run."""
    with open_queries(store_of(world.folder)) as reads:
        over = [
            hold
            for hold in reads.holds.list_holds(ended=True)
            if hold.due == DUE and hold.state in ("released", "failed")
        ]
        is_open = any(hold.due == DUE for hold in reads.holds.list_holds())
        runs = reads.run_table.runs_by_ids(list(reads.run_table.run_ids(JobFilter())))
        is_start_known = any(run.job == "good/load" for run in runs)  # until then one more hold may be placed
        return bool(over) and not is_open and is_start_known and bool(world.starts())


def settled(world: HeldWorld) -> None:
    """What must be true in the morning, whatever happened in the night."""
    starts = world.starts()
    assert 1 == len(starts), world.lines()
    by, at = starts[0]
    assert by == "clock" or at >= world.good
    assert "" == world.mark()
    with open_queries(store_of(world.folder)) as reads:
        assert [] == [hold for hold in reads.holds.list_holds() if hold.due == DUE]
    assert len({line.key for line in world.lines()}) == len(world.lines()), "one key, sent twice"


@pytest.mark.parametrize("verb, point", one_of_each(product(VERBS, POINTS), itemgetter(0)))
def test_a_kill_at_any_point_of_a_hold_loses_doubles_and_strands_nothing(
    world: HeldWorld, verb: str, point: str
) -> None:
    with engine(world, "armed", f"{point}:kill:{VERBS.index(verb) + 1}") as armed:
        wait_for_kill(world, armed)
    with engine(world, "next"):
        wait_through(world, lambda: is_over(world), "the end of the hold")
    settled(world)


def test_a_kill_around_a_decision_loses_doubles_and_strands_nothing(world: HeldWorld) -> None:
    """Killed again at every third evaluation, until one engine lives long enough."""
    for number in range(3):
        with engine(world, f"armed {number}", "evaluate.before_commit:kill:3") as armed:
            wait_for_kill(world, armed)
    with engine(world, "next"):
        wait_through(world, lambda: is_over(world), "the end of the hold")
    settled(world)
