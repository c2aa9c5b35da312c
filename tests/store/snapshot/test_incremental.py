"""Whatever happens, a look that reads only what changed sees what a fresh look sees, and knows which jobs changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest

from connectors.sdk.records import JobRecord
from connectors.sdk.states import RunState
from console.control.alerts.technical_message import TAIL_LINES, TAIL_WIDTH
from console.control.evaluate import evaluate
from console.control.snapshot.incremental import changed_jobs, part_with
from console.domain.decision import Decisions
from console.domain.estate import Estate as Facts
from console.domain.estate import EstateChanges, EvaluationSettings
from console.domain.ids import micros
from console.domain.inventory import InventoryChanges, VanishedJob
from console.domain.settings import Declared, JobBudget
from console.domain.switches import SystemPause
from console.store.config_sync import sync_config
from console.store.decisions import apply_decisions
from console.store.ingest.batch import LogTailText
from console.store.ingest.inventory import write_inventory
from console.store.ingest.targets import record_failure
from console.store.snapshot import estate as looks
from console.store.snapshot.estate import refresh_estate
from console.store.switches import set_pause
from tests.store.estate import JOBS, MIDNIGHT, SERVED, SYSTEMS, Estate, at, failed, run

STATES = (RunState.SUCCEEDED, RunState.SUCCEEDED, RunState.FAILED, RunState.RUNNING, RunState.UNKNOWN)
PERIODS = ("02:10", "03:10", "04:10")
STEPS = 25


class Night:
    """Things that happen, drawn again for each number."""

    def __init__(self, served: Estate, number: int) -> None:
        self.served = served
        self.random = Random(number)
        self.now = at("03:20")

    def happen(self) -> None:
        things: list[Callable[[], object]] = [
            self.run, self.run, self.run, self.decided, self.poll_inventory, self.later, self.silent, self.paused,
        ]  # fmt: skip
        self.random.choice(things)()

    def run(self) -> None:
        state, period = self.random.choice(STATES), self.random.choice(PERIODS)
        ended = {} if state is not RunState.RUNNING else {"ended_at": None, "exit_code": None}
        self.served.ingest(run(self.random.choice(JOBS), period, f"of {period}", state=state, **ended))

    def poll_inventory(self) -> None:
        """An inventory: a line is gone, or a DAG is new and reads others."""
        if self.random.random() < 0.5:
            changes = InventoryChanges(gone=(VanishedJob(self.served.job_id(self.random.choice(JOBS)), "line gone"),))
            write_inventory(self.served.store, self.served.host, changes, self.now, None)
        else:
            new = JobRecord(f"mart_{self.random.randrange(9)}", upstreams=("load_orders",))
            write_inventory(self.served.store, self.served.airflow, InventoryChanges(new=(new,)), self.now, None)

    def silent(self) -> None:
        """A target does not answer; it does again with its next run."""
        target = self.random.choice((self.served.host, self.served.airflow))
        record_failure(self.served.store, target, "no answer", "unreachable", self.now, None)

    def paused(self) -> None:
        """A person pauses the polls of a system, or resumes them."""
        until = self.now + self.random.choice((1, -1)) * timedelta(hours=1)
        pause = SystemPause(self.random.choice(("etl-hosts", "airflow")), "ada", "a new disk", self.now, until)
        with self.served.store.write(None) as session:
            set_pause(session, pause, "test", micros(self.now))

    def later(self) -> None:
        self.now += timedelta(hours=self.random.choice((0, 1, 30)))

    def decided(self) -> None:
        facts = refresh_estate(self.served.store, self.now, EvaluationSettings()).estate
        self.write(evaluate(facts, self.now))

    def write(self, decisions: Decisions) -> None:
        apply_decisions(self.served.store, decisions, self.now, 7, None, {})


def fresh(store: object, now: datetime) -> Facts:
    """As an engine that has just begun sees it."""
    stored = looks._caches.pop(store)  # type: ignore[call-overload]
    try:
        return refresh_estate(store, now, EvaluationSettings()).estate  # type: ignore[arg-type]
    finally:
        looks._caches[store] = stored  # type: ignore[index]


@pytest.mark.parametrize("number", range(8))
def test_the_cached_history_equals_a_full_read(served: Estate, number: int) -> None:
    night = Night(served, number)
    before = refresh_estate(served.store, night.now, EvaluationSettings())
    for _ in range(STEPS):
        night.happen()
        after = refresh_estate(served.store, night.now, EvaluationSettings(), before.number)
        estate = fresh(served.store, night.now)
        assert replace(estate, history=after.estate.history, durations=after.estate.durations) == after.estate
        assert dict(estate.history) == dict(after.estate.history)
        known = {job_id: took for job_id, took in after.estate.durations.items() if took}
        assert known == {job_id: took for job_id, took in estate.durations.items() if took}
        assert changed_jobs(before.estate, after.estate) == changed_jobs(before.estate, after.estate, after.changed)
        before = after


@pytest.mark.parametrize("number", range(8, 12))
def test_judged_by_parts_or_as_a_whole_the_store_ends_up_the_same(served: Estate, number: int) -> None:
    """What a part decides of its jobs, the whole decides too, after anything that happened."""
    night = Night(served, number)
    for _ in range(STEPS):
        night.happen()
        whole = refresh_estate(served.store, night.now, EvaluationSettings()).estate
        everything = evaluate(whole, night.now)
        for job_id in whole.jobs:
            part = part_with(whole, [job_id])
            mine = evaluate(part, night.now)
            assert set(mine.expected) == {run for run in everything.expected if run.job_id in part.jobs}
            names = {service.name for service in part.services}
            assert set(mine.service_days) == {
                service_day for service_day in everything.service_days if service_day.service in names
            }


def test_an_earlier_attempt_that_changes_late_is_seen_by_the_next_read(served: Estate) -> None:
    """A change outside the columns of its run is read again by its `changed_seq` alone."""
    served.ingest(run(attempt="1", state=RunState.FAILED, exit_code=1))
    served.ingest(run(attempt="2", started_at=at("03:20"), ended_at=at("03:25")))
    before = refresh_estate(served.store, at("03:30"), EvaluationSettings())
    served.ingest(run(attempt="1", state=RunState.FAILED, exit_code=1, ended_at=at("03:16")), now="03:31")
    after = refresh_estate(served.store, at("03:30"), EvaluationSettings(), before.number)
    [ends] = [run.ends for run in after.estate.runs]
    assert [(at("03:16"), RunState.FAILED), (at("03:25"), RunState.SUCCEEDED)] == list(ends)
    assert EstateChanges({served.job_id()}, {served.host}) == after.changed


def test_what_runs_cost_and_belong_to_is_read_again_only_of_jobs_with_something_new(served: Estate) -> None:
    job_setting = replace(SERVED.jobs[0], budget=JobBudget(cost=3.0))
    sync_config(served.store, replace(SERVED, jobs=(job_setting,)), MIDNIGHT, None)
    served.ingest(
        run(period="02:10", attempt="a", context={"cost": 1.0}), run(JOBS[1], attempt="b", context={"cost": 9})
    )
    before = refresh_estate(served.store, at("03:20"), EvaluationSettings())
    served.ingest(run(JOBS[1], "03:20", "c"), now="03:21")
    assert refresh_estate(served.store, at("03:22"), EvaluationSettings()).estate.costs is before.estate.costs
    served.ingest(run(attempt="d", context={"cost": 2.5}), now="03:23")
    served.ingest(run(attempt="e", started_at=at("03:16"), ended_at=at("03:18")), now="03:23")
    served.ingest(run(attempt="d", context={"cost": 2.75}), now="03:24")
    after = refresh_estate(served.store, at("03:24"), EvaluationSettings(), before.number)
    assert [1.0, 2.75] == list(after.estate.costs.values())
    assert fresh(served.store, at("03:24")).costs == after.estate.costs
    assert {served.job_id(), served.job_id(JOBS[1])} == changed_jobs(before.estate, after.estate, after.changed)


@pytest.mark.parametrize("place", ["snapshot.facts.ended_attempts", "checks.check_histories"])
def test_an_interrupted_read_loses_no_change(served: Estate, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """A refresh whose result was not used is repeated by the next one."""
    before = refresh_estate(served.store, at("03:20"), EvaluationSettings())
    served.ingest(run(attempt="1", state=RunState.FAILED, exit_code=1), run(attempt="2", started_at=at("03:16")))
    with monkeypatch.context() as broken:
        broken.setattr(f"console.store.{place}", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            refresh_estate(served.store, at("03:20"), EvaluationSettings(), before.number)
    after = refresh_estate(served.store, at("03:20"), EvaluationSettings(), before.number)
    assert after.estate == fresh(served.store, at("03:20"))
    assert served.job_id() in (changed_jobs(before.estate, after.estate, after.changed) or ())


def test_a_system_that_left_the_config_is_skipped_and_read_again_when_it_is_back(served: Estate) -> None:
    """Its jobs differ from the look before, and are none any more: an engine with the new config could not begin."""
    served.ingest(run())
    extract = served.job_id()
    assert extract in refresh_estate(served.store, at("03:30"), EvaluationSettings()).estate.jobs
    for settings, there in ((replace(SERVED, systems=SYSTEMS[1:]), False), (SERVED, True)):
        sync_config(served.store, settings, at("03:30"), None)
        loaded_estate = refresh_estate(served.store, at("03:30"), EvaluationSettings(), 0)
        assert there == (extract in loaded_estate.estate.jobs)
    assert extract in loaded_estate.estate.history


def test_a_job_knows_whether_its_kind_reruns_a_period(served: Estate) -> None:
    served.ingest(run())
    with_periods = replace(SYSTEMS[0], capabilities=("rerun", "periods"))
    for system, expected in ((SYSTEMS[0], False), (with_periods, True)):
        sync_config(served.store, replace(SERVED, systems=(system, *SYSTEMS[1:])), at("03:30"), None)
        jobs = refresh_estate(served.store, at("03:30"), EvaluationSettings(), 0).estate.jobs
        assert expected is jobs[served.job_id()].has_periods


def test_durations_are_seconds_newest_first(served: Estate) -> None:
    for minutes, period in ((5, "01:10"), (4.5, "03:10"), (7, "02:10")):
        over = at(period) + timedelta(minutes=minutes)
        served.ingest(run(period=period, attempt=f"of {period}", ended_at=over))
    assert [270.0, 420.0, 300.0] == list(
        refresh_estate(served.store, at("03:20"), EvaluationSettings()).estate.durations[served.job_id()]
    )


def test_a_run_that_changes_all_the_time_is_noted_once_for_when_it_leaves(served: Estate) -> None:
    refresh_estate(served.store, at("03:20"), EvaluationSettings())
    memory = looks._caches[served.store]
    for number in range(30):
        open_still = run(JOBS[0], state=RunState.RUNNING, ended_at=None, exit_code=None, message=f"step {number}")
        served.ingest(open_still)
        refresh_estate(served.store, at("03:20"), EvaluationSettings())
    assert 1 == sum(map(len, memory.lookback.leaving.values()))
    served.ingest(run(JOBS[0], ended_at=at("03:40")))
    refresh_estate(served.store, at("03:41"), EvaluationSettings())
    assert 2 == sum(map(len, memory.lookback.leaving.values()))
    assert () == tuple(refresh_estate(served.store, at("03:41") + timedelta(days=30), EvaluationSettings()).estate.runs)


def test_the_endpoint_of_a_target_is_that_of_the_config_in_effect(served: Estate) -> None:
    def endpoints() -> set[str]:
        known = refresh_estate(served.store, at("03:20"), EvaluationSettings()).estate
        return {target.endpoint for target in known.targets.values()}

    assert {""} == endpoints()
    declared = Declared(endpoints=(("etl-hosts/db07", "db07:22"),))
    sync_config(served.store, replace(SERVED, declared=declared), MIDNIGHT, None)
    assert {"", "db07:22"} == endpoints()


def test_a_log_that_is_read_after_its_failure_is_a_change_of_its_run(served: Estate) -> None:
    record, settings = failed(), EvaluationSettings()
    served.ingest(record)
    before = refresh_estate(served.store, at("03:21"), settings)
    served.ingest(record, tails={(record.job, record.attempt_key): LogTailText("disk full")})
    after = refresh_estate(served.store, at("03:22"), settings, before.number)
    tails = [[run.tail for run in snapshot.estate.runs if run.state is RunState.FAILED] for snapshot in (before, after)]
    assert [[""], ["disk full"]] == tails


def test_a_log_of_long_lines_has_as_many_at_its_end_as_a_notification_shows(served: Estate) -> None:
    record = failed()
    log = "\n".join(f"line {number} {'x' * 500}" for number in range(30))
    served.ingest(record, tails={(record.job, record.attempt_key): LogTailText(log)})
    known = refresh_estate(served.store, at("03:21"), EvaluationSettings()).estate
    [lines] = [run.tail.splitlines() for run in known.runs if run.state is RunState.FAILED]
    assert [f"line {number} xxx" for number in range(10, 30)] == [line[:11] for line in lines[-TAIL_LINES:]]
    assert all(len(line) > TAIL_WIDTH for line in lines[-TAIL_LINES:]), "the mark of the cut is written by the reader"


def test_the_error_at_the_end_of_a_long_line_of_a_log_is_read(served: Estate) -> None:
    record = failed()
    line = f'{{"labels":"{"x" * 300}","event":"dial tcp db07:5432: connect: connection refused"}}'
    served.ingest(record, tails={(record.job, record.attempt_key): LogTailText(line)})
    known = refresh_estate(served.store, at("03:21"), EvaluationSettings()).estate
    assert [line] == [run.tail for run in known.runs if run.state is RunState.FAILED]
