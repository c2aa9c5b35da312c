"""Data checks: started when somebody waits, stored as stretches, and a hanging one delays no other."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.checks.queries import Measurement
from connectors.sdk.errors import SystemUnreachable
from connectors.sdk.states import RunState
from console.config.checks import FileSettings, LimitSettings
from console.config.sections import Config
from console.domain.check import Check, CheckCriteria, RowCountBand
from console.domain.settings import Declared
from console.engine.api.server import UnknownName
from console.engine.checks.scheduler import CheckScheduler
from console.engine.notify.paging import PageAction
from console.store import checks as check_rows
from console.store.errors import StoreUnusable
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeScheduler
from tests.lab.process import HANGS_SECONDS, wait_until
from tests.present import present

THURSDAY = 3
ROWS = Check("rows", "sql", "table supply.rows", CheckCriteria(rows_min=100), every=timedelta(minutes=5))


@dataclass
class Data:
    """What a look finds; `hangs` holds it until it is set."""

    measurement: Measurement | Exception = field(default_factory=lambda: Measurement(rows=120))
    checks: list[tuple[str, date]] = field(default_factory=list)
    hangs: dict[str, threading.Event] = field(default_factory=dict)

    def __call__(self, name: str, business_date: date, seconds: float) -> Measurement:
        self.checks.append((name, business_date))
        if name in self.hangs:
            self.hangs[name].wait(HANGS_SECONDS)
        if isinstance(self.measurement, Exception):
            raise self.measurement
        return self.measurement


@dataclass
class World:
    bench: Bench
    data: Data
    checks: CheckScheduler
    woken: threading.Event

    def step(self) -> list[Any]:
        """One round, with its checks finished."""
        begun = self.checks.step(self.bench.fence)
        until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("check ")])
        return begun

    def rows(self, columns: str = "name, state, times, text") -> list[tuple[Any, ...]]:
        with self.bench.store.read() as connection:
            rows = connection.rows(f"SELECT {columns} FROM check_result ORDER BY id")
            return [tuple(row) for row in rows]


def until(done: Callable[[], bool]) -> None:
    wait_until(done, "the result of a check", pause=0.005)


@contextmanager
def world(folder: Path, *checks: Check, ready: tuple[str, ...] = ()) -> Iterator[World]:
    scheduler = FakeScheduler()
    scheduler.job("extract")
    scheduler.job("load")
    config: Config = estate_config(folder, scheduler)
    supply = replace(config.services["supply"], ready=ready)
    config = replace(config, services={"supply": supply}, declared=Declared(checks=checks))
    with running_bench(folder, scheduler, config) as bench:
        data, woken = Data(), threading.Event()
        yield World(bench, data, CheckScheduler(bench.store, bench.parts.clock, checks, data, str, woken.set), woken)


def load_ends(bench: Bench) -> None:
    now = datetime.now(UTC)
    for name, ago in (("extract", 9), ("load", 5)):
        bench.scheduler.attempt(name, name, RunState.RUNNING, now - timedelta(minutes=ago))
        bench.scheduler.end(name, RunState.SUCCEEDED, now - timedelta(minutes=ago - 2))


def test_a_check_without_a_waiting_service_runs_each_interval(tmp_path: Path) -> None:
    with world(tmp_path, ROWS) as made:
        assert ["rows"] == [name for name, _ in made.step()]
        assert [] == made.step()
        assert [("rows", "passed", 1, "120 rows")] == made.rows()


def test_equal_results_in_a_row_are_one_row_and_wake_nothing(tmp_path: Path) -> None:
    with world(tmp_path, replace(ROWS, every=timedelta(0))) as made:
        made.step()
        assert made.woken.is_set()
        made.woken.clear()
        made.data.measurement = Measurement(rows=121)
        made.step()
        assert [("rows", "passed", 2, "121 rows")] == made.rows()
        assert not made.woken.is_set()
        made.data.measurement = Measurement(rows=3)
        made.step()
        assert [("passed", 2), ("failed", 1)] == made.rows("state, times")
        assert made.woken.is_set()


def test_an_answer_that_never_came_is_an_error_with_cleaned_text(tmp_path: Path) -> None:
    with world(tmp_path, ROWS) as made:
        made.data.measurement = SystemUnreachable("dwh: \x1b[31mno answer\nwithin 30 s")
        made.step()
        assert [("rows", "error", 1, "dwh: no answer · within 30 s")] == made.rows()


def test_an_unexpected_exception_in_a_check_is_an_error_of_that_check(tmp_path: Path) -> None:
    with world(tmp_path, ROWS) as made:
        made.data.measurement = ZeroDivisionError("x")
        made.step()
        [(state, text)] = made.rows("state, text")
        assert ("error", "the check failed (ZeroDivisionError); the engine's log has the details") == (state, text)


def test_a_check_that_hangs_delays_no_other_and_is_an_error_when_its_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.engine.checks.scheduler.GRACE_SECONDS", 0.2)
    slow = replace(ROWS, name="slow", timeout=timedelta(seconds=0.1), every=timedelta(0))
    with world(tmp_path, slow, ROWS) as made:
        release = made.data.hangs["slow"] = threading.Event()
        made.checks.step(made.bench.fence)
        until(lambda: ("rows", "passed") in made.rows("name, state"))
        until(lambda: ("slow", "error", "no answer within 0s") in made.rows("name, state, text"))
        check_count = len([pair for pair in made.data.checks if pair[0] == "slow"])
        made.checks.step(made.bench.fence)
        assert check_count == len([pair for pair in made.data.checks if pair[0] == "slow"])
        release.set()
        until(lambda: not [thread for thread in threading.enumerate() if thread.name == "measure slow"])
        made.step()
        assert check_count + 1 == len([pair for pair in made.data.checks if pair[0] == "slow"])


def test_a_check_due_while_another_hangs_is_an_error_of_its_own_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.engine.checks.scheduler.GRACE_SECONDS", 0.1)
    with world(tmp_path, replace(ROWS, timeout=timedelta(0), every=timedelta(0))) as made:
        release = made.data.hangs["rows"] = threading.Event()
        made.checks.step(made.bench.fence)
        assert {} == made.checks.hanging()
        until(lambda: made.rows() != [])
        monkeypatch.setattr("console.engine.checks.scheduler.check_date", lambda check, now: date(2030, 1, 1))
        made.woken.clear()
        made.checks.step(made.bench.fence)
        [(state, text)] = [row[1:] for row in made.rows("business_date, state, text") if row[0] == "2030-01-01"]
        assert ("error", "not run: the last run of this check hangs since ") == (state, text[:48])
        assert made.woken.is_set()
        assert made.checks.trouble().startswith("check rows hangs since ")
        release.set()
        until(lambda: made.checks.trouble() == "")
        until(lambda: made.step() == [("rows", date(2030, 1, 1))])
        assert ("2030-01-01", "passed") == made.rows("business_date, state")[-1]


def test_times_at_the_ends_of_the_calendar_are_judged(tmp_path: Path) -> None:
    fresh = CheckCriteria(fresh=timedelta(hours=1))
    there = (("America/New_York", datetime(1, 1, 1, tzinfo=UTC)), ("Asia/Tokyo", datetime.max.replace(tzinfo=UTC)))
    for place, (zone, newest) in enumerate(there):
        with world(tmp_path / str(place), replace(ROWS, asks=fresh, zone=zone)) as made:
            made.data.measurement = Measurement(newest=newest)
            made.step()
            [(state, text)] = made.rows("state, text")
            assert ("failed", True) == (state, text.startswith(f"newest row {newest:%Y-%m-%d %H:%M} UTC, ")), text


def test_what_cannot_be_judged_is_an_error_of_that_check(tmp_path: Path) -> None:
    with world(tmp_path, replace(ROWS, asks=CheckCriteria(fresh=timedelta(hours=1)))) as made:
        made.data.measurement = Measurement(newest=datetime(2026, 11, 20))  # noqa: DTZ001  (the surprise)
        made.step()
        assert [("error", "the check failed (TypeError); the engine's log has the details")] == made.rows("state, text")


def test_a_requested_check_runs_at_once_and_is_stored(tmp_path: Path) -> None:
    with world(tmp_path, ROWS) as made:
        business_date = present().date().isoformat()
        answer = made.checks.run_now("rows", business_date, made.bench.fence)
        assert ("passed", "120 rows", {"rows": 120}) == (answer["state"], answer["text"], answer["measured"])
        assert [("rows", business_date)] == made.rows("name, business_date")
        with pytest.raises(UnknownName, match='no check "row"'):
            made.checks.run_now("row", "", made.bench.fence)


def test_a_question_that_broke_on_the_store_leaves_its_check_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check whose query failed on the store can run again."""
    with world(tmp_path, ROWS) as w:
        with monkeypatch.context() as broken:
            broken.setattr(check_rows, "awaited_checks", raises(StoreUnusable("the store is away")))
            with pytest.raises(StoreUnusable):
                w.checks.run_now("rows", "", w.bench.fence)
        assert "passed" == w.checks.run_now("rows", "", w.bench.fence)["state"]


def test_a_check_without_a_free_thread_is_started_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with world(tmp_path, ROWS) as w:
        with monkeypatch.context() as broken:
            broken.setattr(threading.Thread, "start", raises(RuntimeError("can't start new thread")))
            with pytest.raises(RuntimeError):
                w.checks.step(w.bench.fence)
        assert ["rows"] == [name for name, _ in w.step()]


def raises(error: Exception) -> Callable[..., Any]:
    def call(*_: Any) -> Any:
        raise error

    return call


def test_a_band_rests_on_what_passed_before(tmp_path: Path) -> None:
    banded, today = replace(ROWS, asks=CheckCriteria(band=RowCountBand())), present().date()
    thursday = today - timedelta(days=(today.weekday() - THURSDAY) % 7)
    with world(tmp_path, banded) as made:
        for week, rows in enumerate([3000, 3010, 3020, 3030]):
            made.data.measurement = Measurement(rows=rows)
            day = thursday - timedelta(weeks=4 - week)
            made.checks.run_now("rows", day.isoformat(), made.bench.fence)
        made.data.measurement = Measurement(rows=1200)
        answer = made.checks.run_now("rows", thursday.isoformat(), made.bench.fence)
        assert "failed" == answer["state"]
        assert answer["text"].startswith("40 % of the usual Thursday rows (1,200 of 2,700–3,330, 4 Thursdays)")


def test_a_service_day_is_delivered_once_its_check_passed(tmp_path: Path) -> None:
    """End to end: jobs done, the check runs, fails, is notified, passes, and the day is delivered."""
    with world(tmp_path, replace(ROWS, every=timedelta(0)), ready=("rows",)) as made:
        bench = made.bench
        bench.turn()
        assert [] == made.step()
        load_ends(bench)
        made.data.measurement = Measurement(rows=12)
        bench.turn()
        assert made.step()
        bench.turn()
        [title] = [pair[1] for pair in bench.sink.got]
        assert re.fullmatch(
            r"Supply plan (\d\d? \w{3} )?\d\d:\d\d at risk: check rows does not pass \[INC-0001\]", title
        )
        made.data.measurement = Measurement(rows=120)
        made.step()
        bench.turn()
        assert PageAction.RESOLVE is bench.sink.actions[-1]
        with bench.store.read() as connection:
            [(delivered, awaits)] = connection.rows("SELECT delivered_us, awaits FROM service_day")
        assert delivered is not None
        assert "[]" == awaits
        assert [] == made.step()


def test_the_engines_own_checks_use_the_connections_of_the_config(tmp_path: Path) -> None:
    """Nothing faked: the parts as they are wired, and a file of this machine."""
    (tmp_path / "orders.csv").write_text("x")
    scheduler = FakeScheduler()
    settings = FileSettings(kind="file", path=f"{tmp_path}/orders.csv", size=LimitSettings(min=1))
    config = estate_config(tmp_path, scheduler)
    config = replace(
        config, checks={"orders": settings}, declared=Declared(checks=(settings.declared("orders", "UTC"),))
    )
    with running_bench(tmp_path, scheduler, config) as bench:
        bench.parts.checks.step(bench.fence)
        until(lambda: bool(bench.reads().checks.list_checks()[0].last))
        [view] = bench.reads().checks.list_checks()
        assert view.last is not None
        assert "passed" == view.last.state
        assert "it is there; 1 bytes" == view.last.text
