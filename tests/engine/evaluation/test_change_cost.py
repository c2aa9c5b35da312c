"""What one change costs depends on the change, not on the size of the estate: counted, not timed.

From the ingest on, through the engine's own evaluator: what SQLite executes, lines of Python, and what is iterated over
of the jobs, services, dependencies, targets and components of the estate, in C too. The estates differ in all of these,
in incidents and in findings.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import time, timedelta
from functools import partial
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.snapshot import incremental
from console.control.snapshot.incremental import TimeSlices, build_cache, part_with
from console.domain.decision import Decisions
from console.domain.estate import Estate as Facts
from console.domain.estate import EvaluationSettings
from console.domain.ids import micros
from console.domain.inventory import InventoryChanges
from console.domain.settings import (
    DependencySetting,
    EstateSettings,
    JobBudget,
    JobSetting,
    ServiceSetting,
    SystemSetting,
)
from console.engine.evaluation import evaluator
from console.store import alert_responses
from console.store.alerts import AlertRouting
from console.store.audit import ChangeOrigin
from console.store.config_sync import sync_config
from console.store.db import lease
from console.store.db.lease import HeldLease
from console.store.db.session import SqliteAdapter
from console.store.ingest.inventory import write_inventory
from console.store.ingest.records import ingest_batch
from console.store.ingest.targets import record_failure
from console.store.snapshot import estate as snapshot
from console.timing.clock import Clock
from tests.engine.bench import Bench
from tests.factories import estate, job
from tests.store.estate import MIDNIGHT, SYSTEMS, Estate, at, failed, poll, record, run, target_id
from tests.store.ready import open_ready

HOST = "etl-hosts/"
SMALL, LARGE = 24, 96
"""Lines of work on one host, each of two jobs and a service; every fourth has failed, all at one time."""
INCIDENT_SQL, INCIDENT_LINES = 28, 36
"""What a change and its two evaluations may cost for each open incident besides: its acknowledgements are read, and it
is passed over in some comprehensions."""


@dataclass
class Counts:
    sql: int = 0
    """Instructions of SQLite's machine: each row that is scanned takes some."""
    visits: int = 0
    """Jobs, services, dependencies, targets and components of the whole estate that were iterated over, in C too."""
    jobs: int = 0
    """That were judged, as `services`."""
    services: int = 0
    lines: int = 0

    def visit(self, facts: Collection[object]) -> None:
        self.visits += len(facts)


class CountedDict(dict[int, Any]):
    """Counts its entries whenever it is iterated over or copied."""

    def __init__(self, values: dict[int, Any], counts: list[Counts]) -> None:
        super().__init__(values)
        self.counts = counts

    def __iter__(self) -> Iterator[int]:
        return iter(self.keys())

    def keys(self) -> Any:
        self.counts[-1].visit(self)
        return super().keys()

    def values(self) -> Any:
        self.counts[-1].visit(self)
        return super().values()

    def items(self) -> Any:
        self.counts[-1].visit(self)
        return super().items()


class CountedTargets(CountedDict):
    def __or__(self, other: Any) -> Any:
        """Not counted: with each poll that changes some the targets are copied, 10,000 in 0.06 ms."""
        return CountedTargets(dict(dict.items(self)) | other, self.counts)


class CountedList(list[Any]):
    counts: list[Counts]

    def __iter__(self) -> Iterator[Any]:
        self.counts[-1].visit(self)
        return super().__iter__()


class CountedTuple(tuple[Any, ...]):
    counts: list[Counts]

    def __iter__(self) -> Iterator[Any]:
        self.counts[-1].visit(self)
        return super().__iter__()


@contextmanager
def counted(counts: Counts, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Counts what SQLite executes and lines of Python, of this thread: engines of other tests may still be ending."""
    start, steps, connections, own = SqliteAdapter.__init__, list[None](), list[Any](), threading.get_ident()

    def counting(session: SqliteAdapter, raw: Any) -> None:
        start(session, raw)
        if threading.get_ident() != own:
            return
        raw.set_progress_handler(partial(steps.append, None), 1)
        connections.append(raw)

    def traced(frame: FrameType, event: str, value: object) -> Callable[..., Any]:
        counts.lines += event == "line"
        return traced

    before = sys.gettrace()
    with monkeypatch.context() as patch:
        patch.setattr(SqliteAdapter, "__init__", counting)
        gc.collect()
        gc.disable()  # it runs lines that have nothing to do with the change
        sys.settrace(traced)
        try:
            yield
        finally:
            sys.settrace(before)
            gc.enable()
            for raw in connections:
                raw.set_progress_handler(None, 1)
    counts.sql += len(steps)


class Night:
    """A store with so many lines of work, and the engine's evaluator. Time stands still for it."""

    def __init__(self, folder: Path, lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
        store = open_ready(str(folder / f"{lines}.db"))
        hosts = SystemSetting("hosts", "cron", tuple(f"h{number:03}" for number in range(4 * lines)))
        systems = (*SYSTEMS, hosts)
        sync_config(store, EstateSettings(systems=systems, name="test"), MIDNIGHT, None)
        self.hosts = [target_id(store, "hosts", name) for name in hosts.targets]
        self.served = Estate(store, target_id(store, "etl-hosts"), target_id(store, "airflow"))
        names = [(f"db07:a{number:03}", f"db07:b{number:03}") for number in range(lines)]
        new = [
            record(name, clock)
            for pair in names
            for name, clock in zip(pair, ("10 4 * * *", "30 4 * * *"), strict=True)
        ]
        write_inventory(store, self.served.host, InventoryChanges(new=tuple(new), hash="h1"), MIDNIGHT, None)
        takes = timedelta(minutes=10)
        settings = EstateSettings(
            systems=systems,
            jobs=tuple(
                JobSetting(HOST + name, expected=takes, budget=JobBudget(cost=5.0)) for pair in names for name in pair
            ),
            dependencies=tuple(DependencySetting(HOST + a, HOST + b) for a, b in names),
            services=tuple(
                ServiceSetting(f"s{number:03}", "", (HOST + b,), time(6, 30), "Europe/Berlin", notify=("oncall",))
                for number, (_, b) in enumerate(names)
            ),
        )  # fmt: skip
        sync_config(store, settings, MIDNIGHT, None)
        got = lease.acquire_lease(store, "test", 600)
        assert isinstance(got, HeldLease)
        self.fence = got.fence
        self.evaluator = evaluator.Evaluator(
            store,
            Clock(real=lambda: at("03:21")),
            EvaluationSettings(default_route=("oncall",)),
            AlertRouting({"oncall": ("json://x",)}),
            alerts_made=lambda: None,
        )
        self.counts = [Counts()]
        monkeypatch.setattr(evaluator, "time", SimpleNamespace(monotonic=lambda: 0.0))
        for number, (name, _) in enumerate(names):
            cost = {"cost": 9.0 if number % 4 == 2 else 1.0}
            self.served.ingest(failed(name, message="") if number % 4 == 1 else run(name, context=cost))
        alone = InventoryChanges(new=(record("alone", "10 4 * * *"),))
        write_inventory(store, self.hosts[0], alone, MIDNIGHT, None)
        for host in self.hosts[1::4]:
            self.lose(host)
        self.evaluator.step(self.fence)
        self.count_visits()
        for _ in range(4):
            self.evaluator.step(self.fence)

    def count_visits(self) -> None:
        """Replaces what the next estates of this store share."""
        cache = snapshot._caches[self.served.store]
        cache.jobs = CountedDict(cache.jobs, self.counts)
        cache.targets.by_id = CountedTargets(cache.targets.by_id, self.counts)
        cache.services, cache.dependencies = map(CountedTuple, (cache.services, cache.dependencies))
        for facts in (cache.services, cache.dependencies):
            facts.counts = self.counts

    def count_cached(self) -> None:
        """Replaces what the evaluator keeps of each job and each component."""
        cache = self.evaluator.seen
        assert cache is not None
        memo, shape = cache.memo, cache.shape
        memo._entries = CountedDict(dict(dict.items(memo._entries)), self.counts)
        shape._component_of = CountedDict(dict(dict.items(shape._component_of)), self.counts)
        shape.components = CountedList(list.__iter__(shape.components))
        shape.components.counts = self.counts

    def poll(self, host: int, clock: str) -> None:
        ingest_batch(self.served.store, host, poll(now=clock, seen_until=at(clock)), None)

    def lose(self, host: int) -> None:
        """It does not answer."""
        record_failure(self.served.store, host, "no answer", "unreachable", at("03:20"), None)

    def change(self, happen: Callable[[Night], object], monkeypatch: pytest.MonkeyPatch) -> Counts:
        """What the change costs from its ingest on, and the evaluation that sees the decisions about it."""
        self.count_cached()
        counts = Counts()
        self.counts.append(counts)

        def judged(part: Facts, *arguments: Any, **named: Any) -> Decisions:
            counts.jobs += len(part.jobs)
            counts.services += len(part.services)
            return evaluate(part, *arguments, **named)

        with monkeypatch.context() as patch, counted(counts, monkeypatch):
            patch.setattr(evaluator, "evaluate", judged)
            happen(self)
            for _ in range(2):
                self.evaluator.step(self.fence)
        return counts


def ingest(record: RunRecord) -> Callable[[Night], object]:
    return lambda night: night.served.ingest(record, now="03:21")


BY_ANN = ChangeOrigin("ann", "cli", "", micros(at("03:21")))


def acknowledge(night: Night) -> None:
    """The first incident."""
    assert not alert_responses.acknowledge(night.served.store, night.fence, 1, micros(at("09:00")), BY_ANN)


def silence(night: Night) -> None:
    begins, until = micros(at("03:00")), micros(at("09:00"))
    assert alert_responses.add_silence(night.served.store, night.fence, {"job": "x/*"}, begins, until, BY_ANN)


CHANGES: dict[str, Callable[[Night], object]] = {
    "a success": ingest(run("db07:a000", attempt="2", started_at=at("03:16"), context={"cost": 2.0})),
    "an incident opens": ingest(failed("db07:a000", attempt="3", started_at=at("03:17"), ended_at=at("03:18"))),
    "an incident closes": ingest(run("db07:a000", attempt="4", started_at=at("03:19"), ended_at=at("03:20"))),
    "one is running": ingest(run("db07:b000", state=RunState.RUNNING, ended_at=None, exit_code=None)),
    "a target is polled": lambda night: night.poll(night.hosts[0], "03:20"),
    "a target is lost": lambda night: night.lose(night.hosts[0]),
    "it works again": lambda night: night.poll(night.hosts[0], "03:21"),
}


def test_no_change_iterates_over_the_estate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night(tmp_path, SMALL // 3, monkeypatch)
    visits = {name: night.change(change, monkeypatch).visits for name, change in CHANGES.items()}
    assert dict.fromkeys(CHANGES, 0) == visits


@pytest.mark.deep
def test_one_change_costs_the_same_in_an_estate_four_times_as_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = Night(tmp_path, SMALL, monkeypatch), Night(tmp_path, LARGE, monkeypatch)
    more_incidents, first = (LARGE - SMALL) // 4, Night(tmp_path, SMALL // 3, monkeypatch)
    for change in CHANGES.values():
        first.change(change, monkeypatch)  # what a process does once costs no later change
    for name, change in CHANGES.items():
        few, many = small.change(change, monkeypatch), large.change(change, monkeypatch)
        assert (few.visits, few.jobs, few.services) == (many.visits, many.jobs, many.services), name
        assert few.sql <= many.sql <= few.sql + INCIDENT_SQL * more_incidents, name
        assert few.lines <= many.lines <= few.lines + INCIDENT_LINES * more_incidents, name


@pytest.mark.parametrize("respond, incidents", [(acknowledge, 1), (silence, SMALL // 4)])
def test_an_acknowledgement_evaluates_its_incident_and_a_silence_all_open_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, respond: Callable[[Night], object], incidents: int
) -> None:
    counts = Night(tmp_path, SMALL, monkeypatch).change(respond, monkeypatch)
    assert (0, 2 * incidents, incidents) == (counts.visits, counts.jobs, counts.services)


def test_time_alone_evaluates_one_slice_after_the_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step evaluates everything, each other one slice more once all are due."""
    monkeypatch.setattr(incremental, "SLICE_JOBS", 2)
    monkeypatch.setattr(evaluator, "PARTIAL_ROUNDS_FACTOR", 1e9)
    for number in range(6):
        bench.scheduler.job(f"alone{number}")
    bench.poller.poll_once(bench.fence)
    evaluated: list[set[int]] = []

    def recorded(part: Facts, *arguments: Any, **named: Any) -> Decisions:
        evaluated.append(set(part.jobs))
        return evaluate(part, *arguments, **named)

    monkeypatch.setattr(evaluator, "evaluate", recorded)
    pauses = []
    for seconds in (0.0, *5 * [3_600.0]):
        monkeypatch.setattr(evaluator, "MAX_INTERVAL_SECONDS", seconds)
        monkeypatch.setattr(evaluator, "SLICES_FACTOR", seconds)
        pauses.append(bench.parts.evaluator.step(bench.fence))
    whole, *slices = evaluated
    assert 8 == len(whole)
    assert [2, 2, 2, 2, 0] == [len(jobs) for jobs in slices]
    assert whole == set[int]().union(*slices)
    assert max(pauses[:4]) < 1 < pauses[4]


def test_nothing_is_due_right_after_a_full_evaluation(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While many systems start, each evaluation finds new jobs, and so other slices."""
    monkeypatch.setattr(incremental, "SLICE_JOBS", 2)
    for number in range(6):
        bench.scheduler.job(f"alone{number}")
        bench.poller.poll_once(bench.fence)
    assert bench.parts.evaluator.step(bench.fence) > 1
    assert bench.parts.evaluator.seen is not None
    assert len(TimeSlices(bench.parts.evaluator.seen.shape).slices) > 1


def test_steps_without_changes_bring_no_full_evaluation_forward(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do they evaluate anything: on a shared store there is one every few seconds."""
    monkeypatch.setattr(evaluator, "PARTIAL_ROUNDS_FACTOR", 1e6)
    monkeypatch.setattr(evaluator, "MAX_INTERVAL_SECONDS", 0.0)
    bench.poller.poll_once(bench.fence)
    evaluated: list[int] = []

    def recorded(part: Facts, *arguments: Any, **named: Any) -> Decisions:
        evaluated.append(len(part.jobs))
        return evaluate(part, *arguments, **named)

    monkeypatch.setattr(evaluator, "evaluate", recorded)
    for _ in range(10):
        bench.parts.evaluator.step(bench.fence)
    assert (2, [0, 0, 0, 0]) == (evaluated[0], evaluated[-4:])


def test_a_poll_that_proves_a_missing_start_waits_for_no_slice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two steps evaluate everything; the others only what polls proved, once no slice is due."""
    monkeypatch.setattr(incremental, "SLICE_JOBS", 2)
    for factor in ("SLICES_FACTOR", "WHOLE_FACTOR"):
        monkeypatch.setattr(evaluator, factor, 1e9)
    for number in range(6):
        bench.scheduler.job(f"alone{number}")
    bench.poller.poll_once(bench.fence)
    with monkeypatch.context() as at_once:
        for name in ("MAX_INTERVAL_SECONDS", "PARTIAL_ROUNDS_FACTOR"):
            at_once.setattr(evaluator, name, 0.0)
        bench.parts.evaluator.step(bench.fence)
        bench.parts.evaluator.step(bench.fence)
    pauses = [bench.parts.evaluator.step(bench.fence) for _ in range(6)]
    assert 1 < pauses[-1] <= evaluator.MAX_INTERVAL_SECONDS


@pytest.mark.parametrize("seconds, pause", [(0.01, 0.05), (0.3, 0.3), (9.0, 0.5)])
def test_between_changes_polls_get_as_much_time_as_an_evaluation_took(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, seconds: float, pause: float
) -> None:
    clock, pauses, validator = [0.0], list[float](), bench.parts.evaluator

    def step(_: int) -> float:
        clock[0] += seconds
        validator.wake.set()
        return 60.0

    monkeypatch.setattr(evaluator, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(evaluator, "wait_seconds", pauses.append)
    monkeypatch.setattr(validator, "step", step)
    validator.run(bench.fence, lambda: bool(pauses))
    assert [pytest.approx(pause)] == pauses


def test_a_slice_is_due_again_when_time_may_change_one_of_its_decisions() -> None:
    a, b, c = (job(number, f"etl/job{number}") for number in (1, 2, 3))
    whole = estate(a, b, c)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incremental, "SLICE_JOBS", 1)
        slices = TimeSlices(build_cache(whole).shape)
    for number, change_at in ((1, 50.0), (2, 70.0), (3, 200.0)):
        due = slices.due_jobs(10.0)
        assert [number] == list(due)
        slices.evaluated(part_with(whole, due), due, change_at, 100.0)
    assert () == slices.due_jobs(49.0)
    assert 50.0 == slices.next_at
    slices.evaluated(part_with(whole, [3]), (), 40.0, 100.0)  # a change, after which time may change something sooner
    assert [3] == list(slices.due_jobs(40.0))
