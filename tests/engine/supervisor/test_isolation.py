"""However much hangs at some places, it costs those at the others nothing (invariant 3)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from connectors.sdk.contract import ActionFound, ActionSpec, Preview
from connectors.sdk.errors import OutcomeUnknown
from connectors.sdk.states import RunState, Verb
from console.config.sections import SystemConfig
from console.domain.access import ActingRules
from console.domain.ids import new_action_key
from console.domain.job import Safety
from console.domain.plan import PlanDraft
from console.domain.settings import JobSetting
from console.engine import worker
from console.engine.actions import state_machine
from console.engine.api.client import EngineClient
from console.engine.api.requests import ReadLog
from console.engine.connector_pool import REQUESTS_PER_TARGET
from console.engine.keyed_executor import FairLimiter
from console.engine.plans import proposals
from tests.action_requests import rerun_of
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeConnector, FakeScheduler, NoOptions
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.present import present

HOSTS = tuple(f"host{number}" for number in range(40))
"""More than any pool of a fixed size had threads."""


@contextmanager
def many_hosts(folder: Path) -> Iterator[tuple[Bench, FakeScheduler, dict[str, int]]]:
    """A system of forty hosts with a failed job on each, and another system, `other`, whose job failed too; the ids of
    their runs."""
    scheduler, other = FakeScheduler(places=HOSTS), FakeScheduler()
    for host in HOSTS:
        scheduler.job(host)
    other.job("report")
    config = estate_config(folder, scheduler)
    names = [*(f"fake/{host}" for host in HOSTS), "other/report"]
    jobs = {name: JobSetting(name, rerun=Safety.SAFE) for name in names}
    second = SystemConfig("other", config.systems["fake"].settings, other.kind(), NoOptions())
    config = replace(
        config, systems={**config.systems, "other": second}, jobs=jobs,
        services={}, dependencies=(), acting=ActingRules(per_hour=0),
    )  # fmt: skip
    with running_bench(folder, scheduler, config) as bench:
        for name, made in [*((host, scheduler) for host in HOSTS), ("report", other)]:
            made.attempt(name, f"{name}-1", RunState.FAILED, present() - timedelta(minutes=1))
        for poller in bench.parts.pollers.values():
            if poller.name in ("fake/host0", "other/one"):
                poller.poll_once(bench.fence)
        with bench.store.write(None) as connection:  # each job lives on the host of its name
            connection.rows(
                "UPDATE job SET target_id = (SELECT t.id FROM target t WHERE t.name = job.native_id)"
                " WHERE native_id LIKE 'host%'"
            )
            sql = "SELECT j.native_id, r.id FROM run r JOIN job j ON j.id = r.job_id"
            runs = {str(name): int(run) for name, run in connection.rows(sql)}
        yield bench, other, runs


def ask(bench: Bench, run_id: int) -> str:
    key = new_action_key()
    bench.requests().act(rerun_of(run_id, {"verb": "run again", "summary": "run it again", "scope": "1 run"}), key)
    return key


@contextmanager
def at_work(bench: Bench) -> Iterator[None]:
    """The actions' own thread, for as long as the context lasts."""
    over = threading.Event()
    thread = threading.Thread(target=bench.parts.actions.run, args=(bench.fence, over.is_set))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(HANGS_SECONDS)


def states(bench: Bench) -> dict[str, str]:
    with bench.reads() as reads:
        return {action.key: action.state for action in reads.actions.list_actions()}


@pytest.mark.deep
def test_polls_of_forty_silent_hosts_delay_no_delivery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free, semaphore, sent = threading.Event(), threading.Semaphore(0), threading.Event()

    def silent(*_: object) -> ActionFound:
        semaphore.release()
        free.wait(HANGS_SECONDS * 3)
        return ActionFound("it was there")

    def lost(_: str) -> None:
        raise OutcomeUnknown("the line was cut")

    with many_hosts(tmp_path) as (bench, other, runs):
        bench.scheduler.on_act, other.on_act = lost, lambda _: sent.set()
        for host in HOSTS:
            ask(bench, runs[host])
        bench.parts.actions.step(bench.fence)
        assert {"unknown"} == set(states(bench).values())
        monkeypatch.setattr(FakeConnector, "look_up", silent)
        with at_work(bench):
            try:
                for _ in HOSTS:
                    assert semaphore.acquire(timeout=HANGS_SECONDS)
                ask(bench, runs["report"])
                assert sent.wait(HANGS_SECONDS)
                hanging = bench.parts.actions.hanging(0.0)
                assert {f"asking fake/{host}" for host in HOSTS} <= hanging.keys()
            finally:
                free.set()


def test_a_host_that_swallows_a_write_blocks_its_own_system_and_no_other(tmp_path: Path) -> None:
    """One write in flight per system at most: its effect is unknown before its call is over. That is reported."""
    free, swallowed, elsewhere = threading.Event(), threading.Event(), threading.Event()
    with many_hosts(tmp_path) as (bench, other, runs):
        hung = ask(bench, runs["host1"])

        def act(key: str) -> None:
            if key == hung:
                swallowed.set()
                free.wait(HANGS_SECONDS * 3)

        bench.scheduler.on_act, other.on_act = act, lambda _: elsewhere.set()
        with at_work(bench):
            try:
                assert swallowed.wait(HANGS_SECONDS)
                waiting = [ask(bench, runs["host2"]), ask(bench, runs["host3"])]
                polled = bench.scheduler.polls
                ask(bench, runs["report"])
                assert elsewhere.wait(HANGS_SECONDS)
                queues = bench.parts.actions.underway.turns._queue
                wait_until(
                    lambda: [2] == [len(queue) for queue in queues.values() if queue],
                    "them to wait for it",
                )
                bench.poller.poll_once(bench.fence)
                assert (polled + 1, [hung]) == (bench.scheduler.polls, bench.scheduler.acted)
                assert ["sending to fake/host1"] == list(bench.parts.actions.hanging(0.0))
            finally:
                free.set()
            wait_until(lambda: 3 == len(bench.scheduler.acted), "the others")
        assert {hung, *waiting} == {*bench.scheduler.acted}


def test_a_silent_host_is_found_out_before_it_has_its_systems_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, event, sent = threading.Event(), threading.Event(), threading.Event()
    real = FakeConnector.preview

    def silent(self: FakeConnector, ask: ActionSpec, timeout_seconds: float) -> Preview:
        if ask.run.job == "host1":
            event.set()
            free.wait(HANGS_SECONDS * 3)
        return real(self, ask, timeout_seconds)

    monkeypatch.setattr(FakeConnector, "preview", silent)
    with many_hosts(tmp_path) as (bench, _, runs):
        ask(bench, runs["host1"])
        bench.scheduler.on_act = lambda _: sent.set()
        with at_work(bench):
            try:
                assert event.wait(HANGS_SECONDS)
                ask(bench, runs["host2"])
                assert sent.wait(HANGS_SECONDS)
                assert not free.is_set()
            finally:
                free.set()


@pytest.mark.deep
def test_a_silent_host_costs_the_previews_of_a_plan_for_no_other_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many steps are at it: all are previewed, each target on its own."""
    monkeypatch.setattr(proposals, "PREVIEW_SECONDS", 2.0)
    free, real = threading.Event(), FakeConnector.preview

    def silent(self: FakeConnector, ask: ActionSpec, timeout_seconds: float) -> Preview:
        if ask.run.job == "host1":
            free.wait(HANGS_SECONDS * 3)
        return real(self, ask, timeout_seconds)

    monkeypatch.setattr(FakeConnector, "preview", silent)
    with many_hosts(tmp_path) as (bench, _, runs):
        requests = EngineClient(bench.url)
        question = requests.propose_bulk(list(runs.values()), Verb.RERUN)
        try:
            bench.parts.answers.step(bench.fence)
            draft = PlanDraft.read(requests.wait(question, HANGS_SECONDS * 2).data)
        finally:
            free.set()
        bench.parts.answers.close()
    assert (41, ["fake/host1"]) == (len(draft.steps), [step.job for step in draft.steps if step.problem])
    assert 40 == len([step for step in draft.steps if step.preview])


def test_an_action_that_waited_long_checks_again_whether_its_job_runs_by_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_machine, "PREVIEW_VALID_SECONDS", 0.0)
    with many_hosts(tmp_path) as (bench, _, runs):
        key = ask(bench, runs["host1"])
        system = bench.scheduler

        @contextmanager
        def turn(_: int, __: object) -> Iterator[float]:
            system.overlap = "it began meanwhile"
            yield 1.0

        monkeypatch.setattr(bench.parts.actions.underway.turns, "turn", turn)
        bench.parts.actions.step(bench.fence)
        assert ("refused", []) == (states(bench)[key], system.acted)


def test_the_lock_of_a_system_is_granted_in_the_order_of_requests() -> None:
    turns, order, lock, most = FairLimiter(1), list[int](), threading.Lock(), list[int]()
    inside: set[int] = set()
    are_queued = threading.Event()

    def work(number: int) -> None:
        with turns.turn(7, lambda: False):
            with lock:
                inside.add(number)
                order.append(number)
                most.append(len(inside))
            are_queued.wait(HANGS_SECONDS)
            with lock:
                inside.discard(number)

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=work, args=(number,)))
        threads[-1].start()
        wait_until(partial(has_turn, turns, order, number), "its place in the line")
    are_queued.set()
    for thread in threads:
        thread.join(HANGS_SECONDS)
    assert ([0, 1, 2, 3, 4], {1}) == (order, set(most))


def has_turn(turns: FairLimiter, order: list[int], number: int) -> bool:
    return len(turns._queue[7]) + len(order) > number


def test_whoever_waits_for_a_turn_stops_waiting_when_the_engine_ends() -> None:
    turns = FairLimiter(1)
    with turns.turn(7, lambda: False), turns.turn(7, lambda: True):
        assert 2 == turns._writing[7]


def test_what_many_ask_of_a_host_that_hangs_holds_up_no_question_to_another(tmp_path: Path) -> None:
    free = threading.Event()
    with many_hosts(tmp_path) as (bench, _, runs):
        bench.scheduler.on_log = lambda key: None if key == "host9-1" else hold_on(free)
        logs = [bench.requests().ask(ReadLog(runs["host1"])) for _ in range(REQUESTS_PER_TARGET + 4)]
        logs += [bench.requests().ask(ReadLog(runs[host])) for host in HOSTS[2:9] for _ in range(REQUESTS_PER_TARGET)]
        last = bench.requests().ask(ReadLog(runs["host9"]))
        try:
            for _ in range(len(logs) // 10 + 1):
                bench.parts.answers.step(bench.fence)
            assert bench.requests().wait(last, HANGS_SECONDS).ok
            errors = [answer.error for log in logs if (answer := bench.requests().answer(log)) is not None]
            assert ["fake/host1: 16 requests wait for it already. Fix: try again later"] * 4 == errors
        finally:
            free.set()
        bench.parts.answers.close()


def hold_on(free: threading.Event) -> None:
    free.wait(HANGS_SECONDS * 3)


@pytest.mark.parametrize(
    "name, hangs_at",
    [
        ("actions", "console.store.actions.due_actions"),
        ("plans", "console.store.plans.active_plans"),
        ("answers", "console.store.request_queue.claim_requests"),
    ],
)
def test_a_hung_worker_is_reported_by_name_and_stops_the_ping(
    name: str, hangs_at: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BEAT_TOLERANCE_SECONDS", 0.3)
    go, over, hung = threading.Event(), threading.Event(), threading.Event()

    def hangs(*_: object, **__: object) -> list[object]:
        hung.set()
        go.wait(HANGS_SECONDS * 3)
        return []

    monkeypatch.setattr(hangs_at, hangs)
    part = getattr(bench.parts, name)
    thread = threading.Thread(target=part.run, args=(bench.fence, over.is_set))
    thread.start()
    try:
        assert hung.wait(HANGS_SECONDS)
        wait_until(lambda: f"{name} does not respond since " in bench.parts.trouble(""), "the word about it")
        assert f"{name} does not respond since " in bench.parts.health.unhealthy_reason()
    finally:
        over.set()
        go.set()
        part.wake.set()
        thread.join(HANGS_SECONDS)
