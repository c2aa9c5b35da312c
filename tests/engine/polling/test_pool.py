"""Many targets on few threads: those that hang delay only each other."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from connectors.sdk.secrets import SecretStore
from console.engine import worker
from console.engine.polling import pool
from console.engine.polling.poller import TargetPoller
from console.engine.polling.pool import PROMPT_THREADS, PollPool
from console.engine.supervisor import config_sync, supervisor
from console.engine.supervisor.config_sync import ConfigSync
from console.engine.supervisor.supervisor import WorkerSupervisor
from console.engine.worker import Pulse, WorkerFailures
from console.store.config_sync import SyncResult, sync_config
from console.store.db.fence import Fence, ShardFence
from console.store.errors import LeaseLost, StoreUnusable
from console.timing.clock import Clock
from tests.engine.bench import Bench
from tests.lab.process import HANGS_SECONDS, wait_until

A_DAY = 86_400.0
"""An interval that no test waits for."""
FENCE = ShardFence(7, 1)


class StubPoller:
    """Polls by `act`, every `pause` seconds."""

    waits_since = math.inf
    verifying_until = 0.0
    wake: Callable[[], None]

    def __init__(self, number: int, act: Callable[[], None] = lambda: None, pause: float = 0.05) -> None:
        self.target_id, self.name = number, f"stub/{number}"
        self._act, self._pause = act, pause
        self.pulse = Pulse()
        self.polls = self.closed = 0
        self.waited_seconds = 0.0
        self.seconds: Callable[[float], float] = lambda measured: measured
        """How long a poll waited, as the pool is told."""

    def step(self, fence: Fence) -> float:
        self.polls += 1
        self.waits_since = started = time.monotonic()
        self._act()
        self.waits_since, self.waited_seconds = math.inf, self.seconds(time.monotonic() - started)
        return self._pause

    def close(self) -> None:
        self.closed += 1


@contextmanager
def working(*stubs: StubPoller, fence: Fence = FENCE) -> Iterator[tuple[PollPool, WorkerFailures]]:
    failures, over = WorkerFailures(SecretStore()), threading.Event()
    made = PollPool(failures)
    made.add(fence, cast("list[TargetPoller]", stubs))
    thread = threading.Thread(target=made.run, args=(0, over.is_set), daemon=True)
    thread.start()
    try:
        yield made, failures
    finally:
        over.set()
        made.wake.set()
        thread.join(HANGS_SECONDS)
        assert not thread.is_alive()


def test_hundreds_of_targets_share_the_threads_of_the_pool() -> None:
    names = set[int]()
    stubs = [StubPoller(number, lambda: names.add(threading.get_ident())) for number in range(300)]
    with working(*stubs):
        wait_until(lambda: all(stub.polls > 2 for stub in stubs), "three polls of each")
        assert len(names) <= PROMPT_THREADS
    assert {1} == {stub.closed for stub in stubs}


def test_more_targets_that_hang_than_there_are_prompt_threads_delay_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before they count as slow."""
    monkeypatch.setattr(pool, "SLOW_SECONDS", HANGS_SECONDS * 3)
    free = threading.Event()

    def hang() -> None:
        free.wait(HANGS_SECONDS * 3)

    hanging = [StubPoller(number, hang) for number in range(3 * PROMPT_THREADS)]
    good = StubPoller(1_000)
    try:
        with working(*hanging, good):
            try:
                wait_until(lambda: good.polls > 3, "the polls of the other")
                assert {1} == {stub.polls for stub in hanging}
            finally:
                free.set()
    finally:
        free.set()


def test_a_target_that_was_slow_waits_in_the_second_queue_until_it_is_quick_again() -> None:
    waits, prompt = [2 * pool.SLOW_SECONDS], list[int]()
    stub = StubPoller(1)
    with working() as (made, _):
        stub.seconds = lambda _: waits[0]
        stub._act = lambda: prompt.append(len(made._fresh))
        made.add(FENCE, cast("list[TargetPoller]", [stub]))
        wait_until(lambda: stub.polls > 2, "slow polls")
        waits[0] = 0.0
        wait_until(lambda: stub.polls > 6, "quick polls")
    assert [1, 0, 0, 1] == [*prompt[:3], prompt[-1]]


def test_a_poll_that_matches_the_config_holds_no_prompt_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "WAIT_SECONDS", HANGS_SECONDS * 3)
    free = threading.Event()

    def match(stub: StubPoller) -> None:
        stub.waits_since = -math.inf
        free.wait(HANGS_SECONDS * 3)

    waiting = [StubPoller(number) for number in range(PROMPT_THREADS)]
    for stub in waiting:
        stub._act = lambda stub=stub: match(stub)  # type: ignore[misc]
    good = StubPoller(1_000)
    with working(*waiting, good):
        try:
            wait_until(lambda: good.polls > 0, "the poll of the other")
        finally:
            free.set()


def test_targets_under_a_lost_fence_are_polled_no_more_and_their_connectors_closed() -> None:
    def lost() -> None:
        raise LeaseLost("shard 7 with fence 1 is lost")

    first, second, other = StubPoller(1, lost), StubPoller(2), StubPoller(3)
    with working(first, second) as (made, failures):
        made.add(ShardFence(8, 1), cast("list[TargetPoller]", [other]))
        wait_until(lambda: made.is_lost(FENCE) and first.closed == second.closed == 1, "the end")
        before = other.polls
        wait_until(lambda: other.polls > before, "the other shard's polls")
        assert (1, "") == (first.polls, failures.trouble())
        assert not made.is_lost(ShardFence(8, 1))


def test_a_poll_that_the_store_cannot_keep_is_named_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "retry_seconds", lambda failures: 0.01 * failures)
    monkeypatch.setattr(worker, "STORE_LASTS_SECONDS", 0.01)
    broken = [True]

    def keep() -> None:
        if broken[0]:
            raise StoreUnusable("the disk is full")

    stub = StubPoller(1, keep)
    with working(stub) as (_, failures):
        wait_until(lambda: stub.polls > 3, "more tries")
        assert failures.trouble().startswith("poll stub/1: the disk is full (last at ")
        assert ("the disk is full", {}) == failures.keeps_breaking()
        broken[0] = False
        before = stub.polls
        wait_until(lambda: stub.polls > before + 2, "good polls")


def test_a_removed_target_that_hangs_is_named_and_the_others_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    free, hangs = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        free.wait(HANGS_SECONDS * 3)

    hung, other = StubPoller(1, hang), StubPoller(2)
    with working(hung, other) as (made, _):
        try:
            assert hangs.wait(HANGS_SECONDS)
            assert ["stub/1"] == made.remove([FENCE], time.monotonic() + 0.3)
            assert (0, 1) == (hung.closed, other.closed)
        finally:
            free.set()
        assert [] == made.remove([FENCE], time.monotonic() + HANGS_SECONDS)
        assert 1 == hung.closed


def test_a_target_that_is_woken_while_it_is_polled_is_polled_once_more_right_afterwards() -> None:
    free, began = threading.Event(), threading.Event()

    def hang() -> None:
        began.set()
        free.wait(HANGS_SECONDS * 3)

    stub = StubPoller(1, hang, pause=A_DAY)
    with working(stub) as (made, _):
        try:
            assert began.wait(HANGS_SECONDS)
            made.poll_now(1)
            made.poll_now(1)
        finally:
            free.set()
        wait_until(lambda: stub.polls == 2, "one more poll")
        made.poll_now(1)
        wait_until(lambda: stub.polls == 3, "a poll long before its interval")


def test_a_target_is_polled_more_often_after_an_action_and_not_because_it_was_woken() -> None:
    stub = StubPoller(1, lambda: None, pause=A_DAY)
    with working(stub) as (made, _):
        wait_until(lambda: stub.polls == 1, "the first poll")
        made.wake_target(1)
        wait_until(lambda: stub.polls == 2, "a poll at once")
        assert 0.0 == stub.verifying_until
        made.poll_now(1)
        wait_until(lambda: stub.polls == 3, "a poll at once")
        assert time.monotonic() < stub.verifying_until


def test_after_a_crash_of_the_worker_each_target_is_polled_at_its_interval_by_one_poll(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "retry_seconds", lambda _: 0.01)
    start, crashes, rounds = PollPool._start_due, [2], list[float]()

    def crash(self: PollPool) -> float:
        rounds.append(pause := start(self))
        if crashes[0]:
            crashes[0] -= 1
            raise ValueError("a surprise")
        return pause

    monkeypatch.setattr(PollPool, "_start_due", crash)
    stubs = [StubPoller(number, pause=A_DAY) for number in range(50)]
    failures, over = WorkerFailures(SecretStore()), threading.Event()
    made = PollPool(failures, cast("list[TargetPoller]", stubs))
    workers = WorkerSupervisor([("polls", made)], failures, over.is_set)
    workers.start(1)
    try:
        wait_until(lambda: not crashes[0] and all(stub.polls for stub in stubs), "polls after the crashes")
        rounds.clear()
        wait_until(lambda: len(rounds) > 1 and not made._prompt.busy + made._slow.busy, "a round without polls")
        assert {1} == {stub.polls for stub in stubs}
        assert "polls: ValueError: a surprise" in failures.trouble()
    finally:
        over.set()
        assert [] == workers.join(time.monotonic() + HANGS_SECONDS)
    assert {1} == {stub.closed for stub in stubs}


@pytest.mark.parametrize("granted", [0, 1, 3])
def test_where_the_system_refuses_threads_all_targets_share_those_there_are(
    monkeypatch: pytest.MonkeyPatch, granted: int
) -> None:
    """With none at all, polls begin once it grants one."""
    real, names = threading.Thread.start, set[int]()
    remaining = [granted]

    def start(self: threading.Thread) -> None:
        if self.name == "poll":
            if not remaining[0]:
                raise RuntimeError("can't start new thread")
            remaining[0] -= 1
        real(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    stubs = [StubPoller(number, lambda: names.add(threading.get_ident())) for number in range(60)]
    with working(*stubs) as (made, failures):
        wait_until(lambda: "polls: RuntimeError: can't start new thread" in failures.trouble(), "report")
        if not granted:
            assert 0 == sum(stub.polls for stub in stubs)
            remaining[0] = 1
        wait_until(lambda: all(stub.polls > 2 for stub in stubs), "three polls of each")
        assert len(names) == max(granted, 1)
        remaining[0] = PROMPT_THREADS
        wait_until(lambda: len(names) > max(granted, 1), "more threads")
    assert ({1}, 0, 0) == ({stub.closed for stub in stubs}, made._prompt.busy, made._slow.busy)


def test_a_poll_that_awaits_another_match_goes_on_when_it_is_woken() -> None:
    stub = StubPoller(1, pause=A_DAY)
    with working(stub):
        wait_until(lambda: stub.polls == 1, "the first poll")
        stub.wake()
        wait_until(lambda: stub.polls == 2, "a poll long before its interval")


def test_one_sync_serves_all_polls_that_came_before_it_and_none_of_them_waits_for_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is one polled again that was requested meanwhile, or that syncs itself."""
    began, free, syncs, done = threading.Event(), threading.Event(), list[Fence](), list[bool]()
    turns: list[Callable[[bool], None]] = [partial(done.append) for _ in range(20)]

    def sync(_: ConfigSync, fence: Fence, __: int) -> bool:
        assert not syncs or not matching.sync_changed_jobs(fence, turns[1])
        syncs.append(fence)
        began.set()
        return free.wait(HANGS_SECONDS)

    monkeypatch.setattr(ConfigSync, "sync", sync)
    matching = config_sync_of(bench)
    leader = threading.Thread(target=matching.sync_changed_jobs, args=(bench.fence, done.append))
    leader.start()
    assert began.wait(HANGS_SECONDS)
    assert {False} == {matching.sync_changed_jobs(bench.fence, turn) for turn in turns}
    free.set()
    leader.join(HANGS_SECONDS)
    assert ([False], 1) == (done, len(syncs))
    assert matching.sync_changed_jobs(bench.fence, turns[0])
    assert ([False, *[True] * 19], 2) == (done, len(syncs))


def test_polls_that_wait_for_a_sync_that_fails_are_served_by_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, done, matching = [True], list[bool](), config_sync_of(bench)

    def sync(_: ConfigSync, fence: Fence, __: int) -> bool:
        assert not broken or not matching.sync_changed_jobs(fence, done.append)
        if broken.pop():
            raise StoreUnusable("the disk is full")
        return True

    monkeypatch.setattr(ConfigSync, "sync", sync)
    with pytest.raises(StoreUnusable):
        matching.sync_changed_jobs(bench.fence, lambda _: None)
    assert [] == done
    broken.append(False)
    monkeypatch.setattr(ConfigSync, "sync", lambda *_: True)
    assert matching.sync_changed_jobs(bench.fence, lambda _: None)
    assert [True] == done


def test_a_match_by_another_engine_during_the_pause_serves_the_polls_of_before_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    matching, late, matches = config_sync_of(bench), list[bool](), list[None]()

    def pause(_: float) -> None:
        if not matches:
            assert not matching.sync_changed_jobs(bench.fence, late.append)
            assert config_sync_of(bench).sync(bench.fence)

    def counted(*arguments: Any) -> SyncResult:
        matches.append(None)
        return sync_config(*arguments)

    monkeypatch.setattr(config_sync, "wait_seconds", pause)
    monkeypatch.setattr(config_sync, "sync_config", counted)
    assert matching.sync_changed_jobs(bench.fence, lambda _: None)
    assert ([False], 1) == (late, len(matches)), "its jobs may be newer than the match"


@pytest.mark.parametrize("seconds, pause", [(2.0, 10.0), (30.0, 60.0)])
def test_the_pause_after_a_sync_is_longer_after_a_slow_one_and_at_most_a_minute(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, seconds: float, pause: float
) -> None:
    now, pauses = [1_000.0], list[float]()

    def sync(*_: object) -> bool:
        now[0] += seconds
        return True

    monkeypatch.setattr(ConfigSync, "sync", sync)
    monkeypatch.setattr(config_sync, "wait_seconds", pauses.append)
    monkeypatch.setattr(config_sync, "time", SimpleNamespace(monotonic=lambda: now[0]))
    matching = config_sync_of(bench)
    for _ in range(2):
        assert matching.sync_changed_jobs(bench.fence, lambda _: None)
    assert [0.0, pause] == pauses


def config_sync_of(bench: Bench) -> ConfigSync:
    return ConfigSync(lambda: bench.config, bench.store, Clock(bench.store.clock_setting), lambda _: None)
