"""What one change costs depends on the change, not on the size of the estate: counted, not timed.

Lines of Python are counted too: a loop over all jobs, services, targets, incidents or findings shows in no other
number. The estates differ in all of these.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import time, timedelta
from pathlib import Path
from threading import get_ident
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from console.control.evaluate import evaluate
from console.control.snapshot import incremental
from console.control.snapshot.incremental import EvaluationCache, TimeSlices, build_cache, part_to_evaluate, part_with
from console.domain.decision import Decisions
from console.domain.estate import Estate as Facts
from console.domain.estate import EvaluationSettings
from console.domain.inventory import InventoryChanges
from console.domain.settings import DependencySetting, EstateSettings, JobSetting, ServiceSetting, SystemSetting
from console.engine.evaluation import evaluator
from console.store.config_sync import sync_config
from console.store.db.session import Row, SqliteAdapter
from console.store.decisions import apply_decisions
from console.store.ingest.inventory import write_inventory
from console.store.ingest.records import ingest_batch
from console.store.ingest.targets import record_failure
from console.store.snapshot.estate import refresh_estate, with_notifications
from tests.engine.bench import Bench
from tests.factories import estate, job
from tests.store.estate import MIDNIGHT, SYSTEMS, Estate, at, failed, poll, record, run, target_id
from tests.store.ready import open_ready

HOST = "etl-hosts/"
SMALL, LARGE = 24, 96
"""Lines of work on one host, each of two jobs and a service; every fourth has failed, all at one time."""


@dataclass
class Counts:
    rows: int = 0
    jobs: int = 0
    services: int = 0
    lines: int = 0


@contextmanager
def counted(counts: Counts, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Counts rows that this thread reads, and lines of Python that it runs; threads of earlier tests may still read."""
    stream, thread_id = SqliteAdapter.stream, get_ident()

    def counting(session: SqliteAdapter, *query: Any) -> Iterator[Row]:
        for row in stream(session, *query):
            counts.rows += get_ident() == thread_id
            yield row

    def traced(frame: FrameType, event: str, value: object) -> Callable[..., Any]:
        counts.lines += event == "line"
        return traced

    before = sys.gettrace()
    with monkeypatch.context() as patch:
        patch.setattr(SqliteAdapter, "stream", counting)
        sys.settrace(traced)
        try:
            yield
        finally:
            sys.settrace(before)


class Night:
    """A store with so many lines of work, evaluated as the engine does."""

    def __init__(self, folder: Path, lines: int) -> None:
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
            jobs=tuple(JobSetting(HOST + name, expected=takes, budget_cost=5.0) for pair in names for name in pair),
            dependencies=tuple(DependencySetting(HOST + a, HOST + b) for a, b in names),
            services=tuple(
                ServiceSetting(f"s{number:03}", "", (HOST + b,), time(6, 30), "Europe/Berlin", notify=("oncall",))
                for number, (_, b) in enumerate(names)
            ),
        )  # fmt: skip
        sync_config(store, settings, MIDNIGHT, None)
        self.before: Facts | None = None
        self.cache: EvaluationCache | None = None
        self.seen = 0
        self.part: Facts | None = None
        for number, (name, _) in enumerate(names):
            cost = {"cost": 9.0 if number % 4 == 2 else 1.0}
            self.served.ingest(failed(name, message="") if number % 4 == 1 else run(name, context=cost))
        alone = InventoryChanges(new=(record("alone", "10 4 * * *"),))
        write_inventory(store, self.hosts[0], alone, MIDNIGHT, None)
        for host in self.hosts[1::4]:
            self.lose(host)
        for _ in range(4):
            self.evaluate()

    def poll(self, host: int, clock: str) -> None:
        ingest_batch(self.served.store, host, poll(now=clock, seen_until=at(clock)), None)

    def lose(self, host: int) -> None:
        """It does not answer."""
        record_failure(self.served.store, host, "no answer", "unreachable", at("03:20"), None)

    def evaluate(self) -> None:
        now = at("03:21")
        seen = refresh_estate(self.served.store, now, EvaluationSettings(default_route=("oncall",)), self.seen)
        self.cache = build_cache(seen.estate, self.cache, seen.changed)
        part = seen.estate
        if self.before is not None:
            part = part_to_evaluate(self.before, seen.estate, seen.changed, self.cache)
        self.part = part
        decisions = evaluate(with_notifications(self.served.store, part), now, cache=self.cache)
        self.before, self.seen = seen.estate, seen.number
        apply_decisions(self.served.store, decisions, now, seen.number, None, {"oncall": ("json://x",)})

    def change(self, happen: Callable[[Night], object], monkeypatch: pytest.MonkeyPatch) -> Counts:
        """What the change itself costs, and the evaluation that sees its own decisions."""
        counts = Counts()
        happen(self)
        for _ in range(2):
            with counted(counts, monkeypatch):
                self.evaluate()
            assert self.part is not None
            counts.jobs += len(self.part.jobs)
            counts.services += len(self.part.services)
        return counts


def ingest(record: RunRecord) -> Callable[[Night], object]:
    return lambda night: night.served.ingest(record, now="03:21")


CHANGES: dict[str, Callable[[Night], object]] = {
    "a success": ingest(run("db07:a000", attempt="2", started_at=at("03:16"), context={"cost": 2.0})),
    "an incident opens": ingest(failed("db07:a000", attempt="3", started_at=at("03:17"), ended_at=at("03:18"))),
    "an incident closes": ingest(run("db07:a000", attempt="4", started_at=at("03:19"), ended_at=at("03:20"))),
    "one is running": ingest(run("db07:b000", state=RunState.RUNNING, ended_at=None, exit_code=None)),
    "a target is polled": lambda night: night.poll(night.hosts[0], "03:20"),
    "a target is lost": lambda night: night.lose(night.hosts[0]),
    "it answers again": lambda night: night.poll(night.hosts[0], "03:21"),
}


def test_one_change_costs_the_same_in_an_estate_four_times_as_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = Night(tmp_path, SMALL), Night(tmp_path, LARGE)
    for name, change in CHANGES.items():
        few, many = small.change(change, monkeypatch), large.change(change, monkeypatch)
        assert (few.rows, few.jobs, few.services) == (many.rows, many.jobs, many.services), name
        assert few.lines * 0.97 <= many.lines <= few.lines * 1.03, name


def test_time_alone_evaluates_one_slice_after_the_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step evaluates everything, each other one slice more, until there is nothing to do."""
    monkeypatch.setattr(incremental, "SLICE_JOBS", 2)
    monkeypatch.setattr(evaluator, "MAX_INTERVAL_SECONDS", 3_600.0)
    for number in range(6):
        bench.scheduler.job(f"alone{number}")
    bench.poller.poll_once(bench.fence)
    evaluated: list[set[int]] = []

    def recorded(part: Facts, *arguments: Any, **named: Any) -> Decisions:
        evaluated.append(set(part.jobs))
        return evaluate(part, *arguments, **named)

    monkeypatch.setattr(evaluator, "evaluate", recorded)
    pauses = [bench.parts.evaluator.step(bench.fence) for _ in range(6)]
    whole, *slices = evaluated
    assert 8 == len(whole)
    assert [2, 2, 2, 0, 0] == [len(jobs) for jobs in slices]
    assert 6 == len(whole & set[int]().union(*slices))
    assert max(pauses[:3]) < 1 < pauses[3]


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
