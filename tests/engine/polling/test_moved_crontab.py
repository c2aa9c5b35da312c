"""A crontab line that is moved and not accepted: from the host's files and log to the incident and its repair."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from connectors.cron.connector import CONNECTOR, CronConnector
from connectors.sdk.records import Inventory, Schedule, instant_key
from connectors.sdk.states import RunState
from console.config.sections import SystemConfig
from console.domain.finding import drift_fix
from console.domain.ids import micros, new_action_key
from console.domain.job import Safety
from console.domain.plan import PlanDraft
from console.domain.settings import JobSetting
from console.domain.text import At
from console.engine.api.queue import RequestAnswer
from console.engine.api.requests import ProposeRecovery
from tests.action_requests import backfill_of, rerun_of
from tests.deep import some
from tests.engine.bench import Bench, estate_config, running_bench
from tests.fakes.scheduler import FakeConnector, FakeScheduler
from tests.fakes.ssh_local import ME, LocalHost
from tests.lab.process import HANGS_SECONDS
from tests.present import present
from tests.reasons import dated, evidence_of

JOB = "db07:night"
LINE_NUMBER = 700


@dataclass
class CronNight:
    """A host whose job is due every day; it was first seen three days ago, and nobody saw it run since."""

    bench: Bench
    host: LocalHost
    repaired: Path
    """The job succeeds once this file exists."""

    @property
    def command(self) -> str:
        return f"test -e {self.repaired}"

    def line(self, at: datetime | str) -> None:
        """The crontab line names that time of day."""
        fields = at if isinstance(at, str) else f"{at.minute} {at.hour} * * *"
        self.host.crontab.write_text(f"# headway: night\n{fields} {self.command}\n")

    def starts(self, at: datetime) -> None:
        """cron starts it then, and it fails."""
        began = at.timestamp() + 1
        self.host.log_line(LINE_NUMBER, f"({ME}) CMD ([{LINE_NUMBER + 1}] {self.command})", began)
        error = f"grandchild #{LINE_NUMBER + 1} failed with exit status 1"
        self.host.log_line(LINE_NUMBER, f"(CRON) error ({error})", began + 1)
        self.host.log_line(LINE_NUMBER, f"({ME}) END ([{LINE_NUMBER + 1}] {self.command})", began + 1)

    def turn(self) -> None:
        self.bench.turn()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.bench.store.read() as session:
            return [tuple(row) for row in session.rows(sql)]

    def runs(self) -> dict[str, str]:
        """Period of each run that has come -> state."""
        query = "SELECT period_key, state FROM run WHERE sort_us <= {} ORDER BY sort_us"
        return dict(self.rows(query.format(micros(present()))))

    def answer(self, number: int) -> RequestAnswer:
        self.bench.parts.answers.step(self.bench.fence)
        return self.bench.requests().wait(number, HANGS_SECONDS)

    def rerun(self) -> None:
        """A person repairs the job and reruns it from its incident."""
        self.repaired.touch()
        with self.bench.reads() as reads:
            run_id = reads.incidents.incident(1).row.root_run_id
        assert run_id is not None
        preview = self.answer(self.bench.requests().preview(rerun_of(run_id)))
        assert preview.ok, preview.error
        self.bench.requests().act(rerun_of(run_id, preview.data, "disk freed"), new_action_key())
        until = time.monotonic() + HANGS_SECONDS
        while "verified" not in {row[0] for row in self.rows("SELECT state FROM action")}:
            assert time.monotonic() < until, self.rows("SELECT state, error FROM action")
            self.bench.parts.actions.step(self.bench.fence)
            self.turn()


@contextmanager
def cron_night(folder: Path, first: datetime | str) -> Iterator[CronNight]:
    host = LocalHost(folder / "db07")
    (host.folder / "etc/timezone").write_text("Etc/UTC\n")
    (host.folder / "etc/localtime").unlink()
    (host.folder / "etc/localtime").symlink_to("/usr/share/zoneinfo/Etc/UTC")
    host.log.write_text("")
    kind = replace(CONNECTOR, open=lambda options, target, secrets: CronConnector(options, target, secrets, host))
    config = estate_config(folder, FakeScheduler())
    settings = config.systems["fake"].settings.model_copy(update={"kind": "cron"})
    job = JobSetting(f"etl/{JOB}", owner="team", expected=timedelta(minutes=1), rerun=Safety.SAFE)
    config = replace(
        config, systems={"etl": SystemConfig("etl", settings, kind, host.options())}, jobs={job.name: job},
        dependencies=(), services={},
    )  # fmt: skip
    with running_bench(folder, FakeScheduler(), config) as bench:
        night = CronNight(bench, host, folder / "repaired")
        night.line(first)
        night.turn()
        with bench.store.write(None) as session:
            session.rows("UPDATE schedule SET accepted_us = ?", (micros(present() - timedelta(hours=12)),))
            session.rows("UPDATE job SET changed_seq = changed_seq + 1")
        yield night


def minutes_ago(minutes: int) -> datetime:
    """Before the minute in which the test first asked: two of them are always as far apart as they say."""
    return _first_minute() - timedelta(minutes=minutes)


@cache
def _first_minute() -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0)


@pytest.fixture(autouse=True)
def own_minute() -> None:
    _first_minute.cache_clear()


@pytest.mark.parametrize("accepted, moved", some([(60, 61), (60, 30), (60, 200), (200, 60)], (60, 61)))
def test_the_run_of_a_moved_line_is_todays_and_its_rerun_resolves_the_incident(
    tmp_path: Path, accepted: int, moved: int
) -> None:
    due = minutes_ago(accepted)
    with cron_night(tmp_path, due) as night:
        night.line(minutes_ago(moved))
        night.starts(minutes_ago(moved))
        night.turn()
        assert {instant_key(due): "failed"} == night.runs()
        with night.bench.reads() as reads:
            view = reads.incidents.incident(1)
        fix = drift_fix(f"etl/{JOB}", 0)
        assert fix in {finding.fix for finding in view.findings}
        [(_, _, mail)] = night.bench.sink.got
        assert 1 == mail.count(fix)
        plan = night.answer(night.bench.requests().ask(ProposeRecovery(1)))
        assert [("rerun", instant_key(due))] == [(step["verb"], step["period"]["key"]) for step in plan.data["steps"]]
        night.rerun()
        night.turn()
        assert {instant_key(due): "succeeded"} == night.runs()
        assert [(True,)] == night.rows("SELECT closed_us IS NOT NULL FROM incident")
        dates = due.date() - timedelta(days=1), due.date()
        backfill = night.answer(night.bench.requests().ask(backfill_of(1, *dates, unseen=True))).data
        assert f"{dated((At(due),))} succeeded" in {dated(run.why) for run in PlanDraft.read(backfill).excluded}
        assert instant_key(due) not in {step["period"]["key"] for step in backfill["steps"]}


@pytest.mark.parametrize("ran_yesterday", [True, False])
def test_a_start_before_the_inventory_with_its_changed_schedule_is_the_run_of_that_day(
    tmp_path: Path, ran_yesterday: bool
) -> None:
    """The inventory is read anew for a start that no known schedule has: it would count as a run by hand, and that of
    the day as missed."""
    scheduler, due = FakeScheduler(), minutes_ago(-60)
    scheduler.job("nightly", Schedule("cronie", f"{due.minute} {due.hour} * * *", "UTC"))
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as bench:
        if ran_yesterday:
            scheduler.attempt("nightly", "0", RunState.SUCCEEDED, due - timedelta(days=1), period_key=None)
        bench.turn()
        with bench.store.write(None) as session:
            session.rows("UPDATE schedule SET accepted_us = ?", (micros(present() - timedelta(hours=12)),))
        moved = datetime.now(UTC).replace(second=0, microsecond=0)
        scheduler.job("nightly", Schedule("cronie", f"{moved.minute} {moved.hour} * * *", "UTC"))
        scheduler.attempt("nightly", "1", RunState.SUCCEEDED, moved, period_key=None)
        bench.turn()
        with bench.store.read() as session:
            [*_, run] = session.rows("SELECT period_key FROM run WHERE attempts > 0 ORDER BY id")
        assert instant_key(due) == run.period_key
        assert [] == bench.sink.got


def test_starts_by_hand_cause_few_extra_inventories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler, calls, inventory = FakeScheduler(), list[str](), FakeConnector.inventory

    def listed(self: FakeConnector, previous_hash: str, timeout_seconds: float) -> Inventory:
        calls.append(previous_hash)
        return inventory(self, previous_hash, timeout_seconds)

    monkeypatch.setattr(FakeConnector, "inventory", listed)
    for number in range(3):
        scheduler.job(str(number), Schedule("cronie", f"0 {minutes_ago(-600).hour} * * *", "UTC"))
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as bench:
        bench.turn()
        for number in range(3):
            scheduler.attempt(str(number), "1", RunState.SUCCEEDED, minutes_ago(1), period_key=None)
            bench.turn()
    assert 2 == len(calls)


def test_the_next_starts_of_a_moved_line_are_those_of_its_source(tmp_path: Path) -> None:
    ahead = minutes_ago(0) + timedelta(hours=3)
    with cron_night(tmp_path, minutes_ago(60)) as night:
        night.line(ahead)
        night.turn()
        with night.bench.reads() as reads:
            view = reads.jobs.job(f"etl/{JOB}")
        days = tuple(ahead + timedelta(days=day) for day in range(3))
        assert (ahead, days) == (view.row.next, view.coming)


def test_a_moved_line_that_does_not_start_is_missed_once_after_both_its_times(tmp_path: Path) -> None:
    due, later = minutes_ago(60), minutes_ago(3)
    with cron_night(tmp_path, due) as night:
        night.line(later)
        night.turn()
        assert {instant_key(due): "planned"} == night.runs()
        night.line(minutes_ago(30))
        night.turn()
        assert {instant_key(due): "missed"} == night.runs()
        with night.bench.reads() as reads:
            [row] = reads.incidents.list_incidents()
        assert " became daily at " in evidence_of(row)


def test_a_line_that_is_moved_and_moved_back_is_as_before(tmp_path: Path) -> None:
    due = minutes_ago(60)
    with cron_night(tmp_path, due) as night:
        night.line(minutes_ago(30))
        night.turn()
        night.line(due)
        night.turn()
        night.starts(due)
        night.turn()
        assert {instant_key(due): "failed"} == night.runs()


def test_starts_between_those_of_the_accepted_schedule_are_no_runs_of_it(tmp_path: Path) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    with cron_night(tmp_path, "0 * * * *") as night:
        night.line("*/30 * * * *")
        night.starts(hour - timedelta(minutes=30))
        night.turn()
        own = f"start:{instant_key(hour - timedelta(minutes=30) + timedelta(seconds=1))}"
        assert "failed" == night.runs()[own]
        assert "missed" == night.runs()[instant_key(hour - timedelta(hours=1))]
