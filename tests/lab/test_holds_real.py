"""Holds on real schedulers: a red upstream keeps a crontab line of another host and a pg_cron job from starting.

Some minutes of a real night. `extract` on db07 fails; `load` (etl02, cron, hold) and `revenue` (pg_cron, trigger) are
due two minutes later, `early` (etl02, cron, trigger) four. The engine is killed while all three are held. Then
`extract` is rerun: each of them runs once, after it, and every definition is as it was.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.lab.estate import Estate
from tests.lab.headway import WORKING, Answer, Headway
from tests.lab.headway_config import Options
from tests.lab.jobs import CronJobs, DatabaseJobs, cron_of, next_minute
from tests.lab.process import wait_until

pytestmark = pytest.mark.timeout(900)

EXTRACT, LOAD, EARLY = "etl-hosts/db07:hold_extract", "etl-hosts/etl02:hold_load", "etl-hosts/etl02:hold_early"
REVENUE = "dwh/hold_revenue"
MODES = {LOAD: "hold", EARLY: "trigger", REVENUE: "trigger"}
EDGES = "".join(
    f'\n[[dependencies]]\nupstream = "{EXTRACT}"\ndownstream = "{name}"\nmode = "{mode}"\n'
    for name, mode in MODES.items()
)
JOBS = "".join(f'\n[jobs."{name}"]\nrerun = "safe"\n' for name in (EXTRACT, *MODES))
Row = dict[str, Any]


@dataclass
class Night:
    """What was seen, in order."""

    headway: Headway
    first: datetime
    crontab_before: str = ""
    crontab_held: str = ""
    held: dict[str, Row] = field(default_factory=dict)
    native: Answer = field(default_factory=lambda: Answer(-1, "", ""))
    active_held: bool = True
    after_due: dict[str, Row] = field(default_factory=dict)
    rerun: Answer = field(default_factory=lambda: Answer(-1, "", ""))
    over: dict[str, Row] = field(default_factory=dict)
    crontab_after: str = ""
    active_after: bool = False
    runs: dict[str, list[Row]] = field(default_factory=dict)
    drift: str = ""
    log: str = ""
    missed: list[Row] = field(default_factory=list)

    def holds(self, *arguments: str) -> dict[str, Row]:
        return {hold["job"]: hold for hold in self.headway.json("hold", *arguments)}

    def newest(self, job: str) -> Row:
        return next((run for run in self.headway.listed("run", job) if run["state"] != "planned"), {})


@pytest.fixture(scope="module")
def night(lab: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    database = DatabaseJobs(lab.postgres)
    options = Options(systems=("etl-hosts", "dwh"), extra=EDGES + JOBS)
    config = lab.write_config(tmp_path_factory.mktemp("holds") / "config", options)
    with scheduled(lab, database) as first:
        night = Night(Headway(config), first)
        with night.headway.running_engine() as engine:
            engine.wait_ready(lambda: WORKING in engine.log.read_text(), "the engine to work", 30)
            hold_all(night, lab)
            night.headway.stop_engine(crash=True)
        with night.headway.running_engine():
            let_go(night, lab)
        yield night


@contextlib.contextmanager
def scheduled(lab: Estate, database: DatabaseJobs) -> Iterator[datetime]:
    """The minute in which `extract` is due; afterwards none of the jobs is left."""
    cron, two = CronJobs(lab.db07), CronJobs(lab.etl02)
    first = next_minute(timedelta(seconds=20))
    later, last = first + timedelta(minutes=2), first + timedelta(minutes=4)
    cron.behave("hold_extract", "fail")
    cron.schedule({"hold_extract": cron_of(first)}, wrapped=True)
    two.schedule({"hold_load": cron_of(later), "hold_early": cron_of(last), "hold_other": cron_of(later)})
    database.schedule("hold_revenue", cron_of(later))
    try:
        yield first
    finally:
        cron.behave("hold_extract", "succeed")
        lab.db07.remove_crontab("etl")
        lab.etl02.remove_crontab("etl")
        lab.postgres.unschedule("hold_revenue")


def until(instant: datetime) -> float:
    return max((instant - datetime.now(UTC)).total_seconds(), 0.0)


def crontab(lab: Estate) -> str:
    return lab.etl02.run("root", "crontab -u etl -l")


def active(lab: Estate) -> bool:
    return bool(lab.postgres.execute("SELECT active FROM cron.job WHERE jobname = 'hold_revenue'")[0][0])


def hold_all(night: Night, lab: Estate) -> None:
    night.crontab_before = crontab(lab)
    jobs = {EXTRACT, *MODES}
    wait_until(
        lambda: jobs <= {job["name"] for job in night.headway.json("job", "list")}, "every job to be known", 30, 0.5
    )
    wait_until(lambda: night.newest(EXTRACT).get("state") == "failed", "extract to fail", until(night.first) + 60, 0.5)

    def held() -> bool:
        night.held = {name: hold for name, hold in night.holds().items() if hold["state"] == "held"}
        return night.held.keys() == MODES.keys()

    wait_until(held, "the three holds", 60, 0.5)
    night.crontab_held, night.active_held = crontab(lab), active(lab)
    night.native = night.headway.run("hold", "--from-native")


def let_go(night: Night, lab: Estate) -> None:
    time.sleep(until(night.first + timedelta(minutes=2, seconds=15)))
    night.after_due = {name: night.newest(name) for name in (LOAD, REVENUE)}
    CronJobs(lab.db07).behave("hold_extract", "succeed")
    night.rerun = night.headway.run("rerun", EXTRACT, "--yes", "--why", "the file is there", limit_seconds=90)

    def over() -> bool:
        night.over = {hold["job"]: hold for hold in night.headway.json("hold", "--all") if hold["state"] == "released"}
        return night.over.keys() == MODES.keys()

    wait_until(over, "the end of the three holds", until(night.first + timedelta(minutes=6)) + 120, 1.0)
    wait_until(lambda: all(night.newest(name).get("attempts") for name in MODES), "their runs", 90, 1.0)
    night.crontab_after, night.active_after = crontab(lab), active(lab)
    night.runs = {name: [run for run in night.headway.json("run", name) if run["attempts"]] for name in MODES}
    night.drift = night.headway.run("system", "drift").stdout
    night.log = lab.etl02.log_text()
    night.missed = [
        incident for incident in night.headway.json("incident", "list", "--all") if "not started" in incident["title"]
    ]


def test_each_downstream_is_held_by_its_schedulers_own_means_and_the_mark_is_found(night: Night) -> None:
    assert set(MODES) == set(night.held)
    for name in (LOAD, EARLY):
        mark = f"headway-hold id={night.held[name]['key']} by=headway until="
        assert mark in night.crontab_held
    assert not night.active_held


def test_the_marks_are_listed_by_the_schedulers_alone(night: Night) -> None:
    assert 0 == night.native.exit_status, night.native
    for row in night.held.values():
        assert row["key"] in night.native.stdout


def test_nothing_starts_by_its_clock_while_it_is_held(night: Night) -> None:
    by_cron = [line.rpartition("/")[2].rstrip(")") for line in night.log.splitlines() if ") CMD ([" in line]
    assert "hold_other" in by_cron  # so does cron -L 15 write of what it starts
    assert not {"hold_load", "hold_early"} & set(by_cron)
    held = {name: (row["state"], row["reason"].partition(" (hold")[0]) for name, row in night.after_due.items()}
    text = f"held by Headway until {EXTRACT} is good"
    assert {LOAD: ("held", text), REVENUE: ("held", text)} == held


def test_each_runs_once_after_its_upstream_though_the_engine_was_killed(night: Night) -> None:
    assert 0 == night.rerun.exit_status, night.rerun
    assert {name: [1] for name in MODES} == {
        name: [run["attempts"] for run in runs] for name, runs in night.runs.items()
    }
    for runs in night.runs.values():
        assert datetime.fromisoformat(runs[0]["started"]) > night.first + timedelta(minutes=2, seconds=15)


def test_the_trigger_before_its_clock_did_not_wait_for_it(night: Night) -> None:
    assert datetime.fromisoformat(night.runs[EARLY][0]["started"]) < night.first + timedelta(minutes=4)


def test_every_definition_is_as_it_was_and_nothing_is_drift(night: Night) -> None:
    assert (night.crontab_before, True) == (night.crontab_after, night.active_after)
    assert [] == [name for name in MODES if name in night.drift]


def test_a_held_job_was_not_notified_as_missed(night: Night) -> None:
    assert [] == night.missed
