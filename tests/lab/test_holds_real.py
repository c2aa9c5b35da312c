"""Holds on real schedulers: a red upstream keeps from starting a crontab line of another host, a pg_cron job, a DAG of
Airflow, and a schedule that moto keeps.

Some minutes of a real night. `extract_orders` on db07 fails; `load` (etl02, cron, hold), `revenue` (pg_cron, trigger),
Airflow's `load_orders` and an EventBridge schedule of `publish_orders` (hold) are due two minutes later, `early`
(etl02, cron, trigger) four. The engine is killed while all five are held. Then `extract_orders` is rerun: each of them
runs once, after it, and every definition is as it was. Whether Airflow makes up for the instant by itself when its DAG
wakes, or Headway starts it, is Airflow's matter: there is one run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.lab.estate import Estate
from tests.lab.headway import Answer, Headway
from tests.lab.headway_config import EXTRACT, LOAD, PUBLISH, Options
from tests.lab.jobs import Story, cron_of, next_minute
from tests.lab.process import wait_for_clock, wait_seconds, wait_until

pytestmark = pytest.mark.airflow

CRON, EARLY, REVENUE = "etl-hosts/etl02:hold_load", "etl-hosts/etl02:hold_early", "dwh/hold_revenue"
MODES = {CRON: "hold", EARLY: "trigger", REVENUE: "trigger"}
HELD = {*MODES, LOAD, PUBLISH}
SCHEDULE = "orders-by-the-clock"
PAUSE = 2.0
"""Between two commands of one wait: each takes some 50 ms of CPU, and a night waits for minutes."""
EDGES = "".join(
    f'\n[[dependencies]]\nupstream = "{EXTRACT}"\ndownstream = "{name}"\nmode = "{mode}"\n'
    for name, mode in MODES.items()
)
JOBS = "".join(f'\n[jobs."{name}"]\nrerun = "safe"\n' for name in MODES)
Row = dict[str, Any]


@dataclass
class Night:
    """What was seen, in order."""

    headway: Headway
    first: datetime
    began: datetime
    crontab_before: str = ""
    schedule_before: Row = field(default_factory=dict)
    crontab_held: str = ""
    held: dict[str, Row] = field(default_factory=dict)
    native: Answer = field(default_factory=lambda: Answer(-1, "", ""))
    active_held: bool = True
    paused: bool = False
    schedule_held: Row = field(default_factory=dict)
    starts_while_held: int = -1
    after_due: dict[str, Row] = field(default_factory=dict)
    rerun: Answer = field(default_factory=lambda: Answer(-1, "", ""))
    over: dict[str, Row] = field(default_factory=dict)
    crontab_after: str = ""
    active_after: bool = False
    paused_after: bool = True
    schedule_after: Row = field(default_factory=dict)
    dag_runs: list[Row] = field(default_factory=list)
    executions: list[Row] = field(default_factory=list)
    runs: dict[str, list[Row]] = field(default_factory=dict)
    drift: str = ""
    log: str = ""
    missed: list[Row] = field(default_factory=list)

    def holds(self, *arguments: str) -> dict[str, Row]:
        return {hold["job"]: hold for hold in self.headway.json("hold", *arguments)}

    def newest(self, job: str) -> Row:
        return next((run for run in self.headway.listed("run", job) if run["state"] != "planned"), {})

    @property
    def due(self) -> datetime:
        return self.first + timedelta(minutes=2)


@pytest.fixture(scope="module")
def night(fresh: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    with Story(fresh).all_well_after() as story:
        fresh.airflow.wait_ready().trigger("load_orders", "earlier")  # a mark is in the note of the latest run
        fresh.airflow.wait_for("load_orders", "earlier", "success")
        options = Options(mode="hold", extra=EDGES + JOBS)
        config = fresh.write_config(tmp_path_factory.mktemp("holds") / "config", options)
        with scheduled(fresh, story) as first:
            night = Night(Headway(config), first, datetime.now(UTC))
            with night.headway.running_engine():
                hold_all(night, fresh)
                night.headway.stop_engine(crash=True)
            with night.headway.running_engine():
                let_go(night, fresh, story)
            yield night


@contextlib.contextmanager
def scheduled(lab: Estate, story: Story) -> Iterator[datetime]:
    """The minute in which `extract_orders` is due; afterwards none of the jobs is left."""
    first = next_minute(timedelta(seconds=30))
    later, last = first + timedelta(minutes=2), first + timedelta(minutes=4)
    story.cron.behave("extract_orders", "fail")
    story.cron.schedule({"extract_orders": cron_of(first)}, wrapped=True)
    hours = {"hold_load": cron_of(later), "hold_early": cron_of(last), "hold_other": cron_of(later)}
    story.other_cron.schedule(hours)
    story.database.schedule("hold_revenue", cron_of(later))
    expression = f"cron({later.minute} {later.hour} * * ? *)"
    lab.moto.schedule(SCHEDULE, story.machines.arn(), ScheduleExpression=expression, ScheduleExpressionTimezone="UTC")
    lab.airflow.schedule("load_orders", cron_of(later))
    try:
        yield first
    finally:
        lab.airflow.schedule("load_orders", None)


def crontab(lab: Estate) -> str:
    return lab.etl02.run("root", "crontab -u etl -l")


def active(lab: Estate) -> bool:
    return bool(lab.postgres.execute("SELECT active FROM cron.job WHERE jobname = 'hold_revenue'")[0][0])


def paused(lab: Estate) -> bool:
    return bool(lab.airflow.call("GET", "dags/load_orders")["is_paused"])


def stable_schedule(lab: Estate) -> Row:
    """The schedule as AWS has it, less what every writing changes."""
    schedule: Row = lab.moto.scheduler().get_schedule(Name=SCHEDULE)
    return {name: value for name, value in schedule.items() if name not in ("LastModificationDate", "ResponseMetadata")}


def dag_runs(lab: Estate, since: datetime) -> list[Row]:
    """Runs of load_orders that began since then."""
    rows = lab.airflow.call("GET", "dags/load_orders/dagRuns?limit=50&order_by=-run_after")["dag_runs"]
    return [row for row in rows if row["queued_at"] and datetime.fromisoformat(row["queued_at"]) >= since]


def executions(lab: Estate, story: Story, since: datetime) -> list[Row]:
    rows: list[Row] = lab.moto.client().list_executions(stateMachineArn=story.machines.arn())["executions"]  # type: ignore[assignment]
    return [row for row in rows if row["startDate"] >= since]


def hold_all(night: Night, lab: Estate) -> None:
    night.crontab_before, night.schedule_before = crontab(lab), stable_schedule(lab)
    jobs = {EXTRACT, *HELD}
    wait_until(
        lambda: jobs <= {job["name"] for job in night.headway.json("job", "list")}, "every job to be known", pause=PAUSE
    )
    wait_until(lambda: night.newest(EXTRACT).get("state") == "failed", "extract to fail", pause=PAUSE)

    def held() -> bool:
        night.held = {name: hold for name, hold in night.holds().items() if hold["state"] == "held"}
        return night.held.keys() == HELD

    wait_until(held, "the five holds", pause=PAUSE)
    night.crontab_held, night.active_held = crontab(lab), active(lab)
    night.paused, night.schedule_held = paused(lab), stable_schedule(lab)
    night.native = night.headway.run("hold", "--from-native")


def let_go(night: Night, lab: Estate, story: Story) -> None:
    wait_for_clock(night.due + timedelta(seconds=15))
    night.after_due = {name: night.newest(name) for name in (CRON, REVENUE)}
    night.starts_while_held = len(dag_runs(lab, night.began)) + len(executions(lab, story, night.began))
    story.cron.behave("extract_orders", "succeed")
    night.rerun = night.headway.run("rerun", EXTRACT, "--yes", "--why", "the file is there")

    def over() -> bool:
        night.over = {hold["job"]: hold for hold in night.headway.json("hold", "--all") if hold["state"] == "released"}
        return night.over.keys() == HELD

    wait_until(over, "the end of the five holds", pause=PAUSE)
    wait_until(lambda: all(night.newest(name).get("attempts") for name in MODES), "their runs", pause=PAUSE)
    ended = lambda: all(run["state"] == "success" for run in dag_runs(lab, night.began))  # noqa: E731
    wait_until(ended, "the DAG's run", pause=PAUSE)
    wait_seconds(30)  # a second run, of Airflow's own making, would come now
    night.dag_runs, night.executions = dag_runs(lab, night.began), executions(lab, story, night.began)
    night.paused_after, night.schedule_after = paused(lab), stable_schedule(lab)
    night.crontab_after, night.active_after = crontab(lab), active(lab)
    night.runs = {name: [run for run in night.headway.json("run", name) if run["attempts"]] for name in MODES}
    night.drift = night.headway.run("system", "drift").stdout
    night.log = lab.etl02.log_text()
    night.missed = [
        incident for incident in night.headway.json("incident", "list", "--all") if "not started" in incident["title"]
    ]


def test_each_downstream_is_held_by_its_schedulers_own_means_and_the_mark_is_found(night: Night) -> None:
    assert set(night.held) == HELD
    marks = {name: f"headway-hold id={hold['key']} by=headway until=" for name, hold in night.held.items()}
    for name in (CRON, EARLY):
        assert marks[name] in night.crontab_held
    assert marks[PUBLISH] in night.schedule_held["Description"]
    assert (False, True, "DISABLED") == (night.active_held, night.paused, night.schedule_held["State"])
    assert [night.due] * 2 == [datetime.fromisoformat(night.held[name]["due"]) for name in (LOAD, PUBLISH)]


def test_the_marks_are_listed_by_the_schedulers_alone(night: Night) -> None:
    assert 0 == night.native.exit_status, night.native
    for row in night.held.values():
        assert row["key"] in night.native.stdout


def test_nothing_starts_by_its_clock_while_it_is_held(night: Night) -> None:
    by_cron = [line.rpartition("/")[2].rstrip(")") for line in night.log.splitlines() if ") CMD ([" in line]
    assert "hold_other" in by_cron  # so does cron -L 15 write of what it starts
    assert not {"hold_load", "hold_early"} & set(by_cron)
    assert 0 == night.starts_while_held
    held = {name: (row["state"], row["reason"].partition(" (hold")[0]) for name, row in night.after_due.items()}
    text = f"held by Headway until {EXTRACT} is good"
    assert {CRON: ("held", text), REVENUE: ("held", text)} == held


def test_each_runs_once_after_its_upstream_though_the_engine_was_killed(night: Night) -> None:
    assert 0 == night.rerun.exit_status, night.rerun
    assert {name: [1] for name in MODES} == {
        name: [run["attempts"] for run in runs] for name, runs in night.runs.items()
    }
    for runs in night.runs.values():
        assert datetime.fromisoformat(runs[0]["started"]) > night.due + timedelta(seconds=15)
    assert (["success"], 1) == ([run["state"] for run in night.dag_runs], len(night.executions))
    assert datetime.fromisoformat(night.dag_runs[0]["queued_at"]) > night.due
    assert night.executions[0]["startDate"] > night.due


def test_the_trigger_before_its_clock_did_not_wait_for_it(night: Night) -> None:
    assert datetime.fromisoformat(night.runs[EARLY][0]["started"]) < night.first + timedelta(minutes=4)


def test_every_definition_is_as_it_was_and_nothing_is_drift(night: Night) -> None:
    assert (night.crontab_before, True) == (night.crontab_after, night.active_after)
    assert (night.schedule_before, False) == (night.schedule_after, night.paused_after)
    assert [] == [name for name in MODES if name in night.drift]  # Airflow makes DAG versions of its own


def test_a_held_job_was_not_notified_as_missed(night: Night) -> None:
    assert [] == night.missed
