"""The first inventory of a real estate: jobs, schedules, history; and its updates.

Everything happened before its first start or happens in the minute after; the estate is read by `--json` alone."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.lab.estate import Estate
from tests.lab.headway import Answer, Headway
from tests.lab.headway_config import Options
from tests.lab.jobs import CronJobs, DatabaseJobs, cron_of, next_minute
from tests.lab.process import LabError, wait_until

PLAIN, PROVED, NIGHTLY = "etl-hosts/db07:plain_job", "etl-hosts/etl02:proved_job", "etl-hosts/etl02:nightly_job"
EACH_MINUTE, HELD, ASLEEP = "dwh/each_minute", "dwh/held_job", "dwh/sleeping_job"
LOAD, SUPPLY, COUNT = "warehouse-airflow/load_orders", "warehouse-airflow/supply_plan", "warehouse-airflow/stock_count"
A_MINUTE_AND_A_BIT = 75.0
PAUSE = 2.0
"""Between two looks at the store: each plays some commands, for 50 ms of CPU each."""
INVENTORY_LIMIT = 90.0  # an inventory that does not ride the poll is requested each minute
GRACE = "".join(f'\n[jobs."{job}"]\ngrace = "10m"\n' for job in (HELD, COUNT))


@dataclass
class Met:
    """What was seen of the estate: at first sight, and after its first minute under watch."""

    began: str
    """When the jobs were set up: the estate may have lived before."""
    first_minute: datetime
    nightly_at: datetime
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    drift_at_first: list[dict[str, Any]] = field(default_factory=list)
    later: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    later_jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    drift: dict[str, dict[str, Any]] = field(default_factory=dict)
    logs: dict[str, Any] = field(default_factory=dict)
    incidents: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, Answer] = field(default_factory=dict)

    @property
    def second_minute(self) -> datetime:
        return self.first_minute + timedelta(minutes=1)


@pytest.fixture(scope="module")
def met(fresh: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Met]:
    with live_before(fresh) as met:
        options = Options(extra=GRACE)
        headway = Headway(fresh.write_config(tmp_path_factory.mktemp("inventory") / "config", options))
        with headway.running_engine():
            first_inventory(headway, met)
            change_outside(fresh)
            later_inventory(headway, met)
        yield met


@contextlib.contextmanager
def live_before(estate: Estate) -> Iterator[Met]:
    """Jobs on every scheduler, each run once before the first engine polls; removed in the end."""
    database, airflow = DatabaseJobs(estate.postgres), estate.airflow
    began = datetime.now(UTC).isoformat()
    soon = next_minute(timedelta(seconds=20))
    airflow.schedule("stock_count", cron_of(soon + timedelta(minutes=1)))
    airflow.trigger("load_orders", "before-the-engine")
    met = Met(began, soon, soon + timedelta(hours=3))
    estate.db07.write_cron_d("plain", "# headway: plain_job\n* * * * * root true\n")
    CronJobs(estate.etl02).schedule({"proved_job": "* * * * *", "nightly_job": cron_of(met.nightly_at)})
    database.schedule("each_minute", "* * * * *")
    database.schedule("held_job", cron_of(met.second_minute))
    activate(estate, database.schedule("sleeping_job", "10 3 * * *"), False)
    try:
        wait_for_first_runs(estate, met)
        yield met
    finally:
        estate.db07.remove_cron_d("plain")
        estate.etl02.remove_crontab("etl")
        for name in ("each_minute", "held_job", "sleeping_job"):
            estate.postgres.unschedule(name)
        airflow.call("PATCH", "dags/stock_count", {"is_paused": False})
        airflow.schedule("stock_count", None)


def wait_for_first_runs(estate: Estate, met: Met) -> None:
    estate.airflow.wait_for("load_orders", "before-the-engine", "success")
    stamp = f"{met.first_minute:%Y-%m-%dT%H:%M}"
    wait_until(lambda: stamp in estate.db07.log_text() and "true" in estate.db07.log_text(), "plain_job's start")
    wait_until(lambda: stamp in estate.etl02.log_text(), "proved_job's start")
    wait_until(lambda: datetime.now(UTC) > met.first_minute + timedelta(seconds=4), "its end")


def activate(estate: Estate, jobid: int, active: bool) -> None:
    estate.postgres.execute("UPDATE cron.job SET active = %s WHERE jobid = %s", active, jobid)


def change_outside(estate: Estate) -> None:
    """Somebody pauses a DAG and switches a database job off, past Headway."""
    estate.airflow.call("PATCH", "dags/stock_count", {"is_paused": True})
    estate.postgres.execute("UPDATE cron.job SET active = false WHERE jobname = 'held_job'")


def first_inventory(headway: Headway, met: Met) -> None:
    wait_until(lambda: knows_all(headway), "every job and its history", pause=PAUSE)
    met.jobs = {job["name"]: job for job in headway.json("job", "list")}
    for job in (PLAIN, PROVED, NIGHTLY, EACH_MINUTE, LOAD, SUPPLY, f"{LOAD}.load", f"{SUPPLY}.publish"):
        met.views[job] = headway.json("job", job)
        runs = headway.json("run", job)
        met.history[job] = [run for run in runs if run["attempts"] and str(run["started"]) > met.began]
    met.drift_at_first = drift_of(headway)


def knows_all(headway: Headway) -> bool:
    with contextlib.suppress(LabError):
        requested = (PLAIN, PROVED, EACH_MINUTE, LOAD, f"{LOAD}.load", SUPPLY)
        return all(
            any(run["ended"] or run["state"] == "unknown" for run in headway.json("run", job)) for job in requested
        )
    return False


def drift_of(headway: Headway) -> list[dict[str, Any]]:
    """What `headway system drift` lists; it exits 1 where there is some."""
    document: list[dict[str, Any]] = json.loads(headway.run_in_process("system", "drift", "--json").stdout)
    return document


def later_inventory(headway: Headway, met: Met) -> None:

    def held() -> bool:
        return all("held" in {run["state"] for run in headway.json("run", job)} for job in (HELD, COUNT))

    wait_until(held, "what was paused to be held", pause=PAUSE)
    for job in (PLAIN, PROVED, EACH_MINUTE, HELD, COUNT, LOAD):
        met.later[job] = headway.json("run", job)
    met.later_jobs = {job["name"]: job for job in headway.json("job", "list")}
    met.drift = {row["job"]: row for row in drift_of(headway)}
    met.incidents = headway.json("incident", "list", "--all")
    met.logs = {job: headway.json("log", job) for job in (f"{LOAD}.load", EACH_MINUTE)}
    for texts in (("job", "list", "plain_job"), ("job", PLAIN), ("run", PLAIN), ("job", LOAD)):
        met.tables[" ".join(texts)] = headway.run(*texts)


# -- first sight ------------------------------------------------------------------------------------------------------
def test_every_kind_brings_its_jobs_and_none_is_drift_at_first_sight(met: Met) -> None:
    expected = {PLAIN, PROVED, NIGHTLY, EACH_MINUTE, HELD, ASLEEP, LOAD, SUPPLY, COUNT, "warehouse-airflow/parked"}
    assert expected <= met.jobs.keys()
    assert [] == met.drift_at_first


@pytest.mark.parametrize("job", [PLAIN, PROVED, EACH_MINUTE])
def test_a_schedule_is_described_in_plain_english(met: Met, job: str) -> None:
    assert met.jobs[job]["schedule"].startswith("every minute")


def test_a_schedule_of_each_kind_is_described_in_plain_english(met: Met) -> None:
    assert re.fullmatch(rf"daily at {met.nightly_at:%H:%M} (Etc/)?UTC", met.jobs[NIGHTLY]["schedule"])
    assert f"daily at {met.second_minute:%H:%M} UTC" == met.jobs[HELD]["schedule"]
    assert f"{met.second_minute:%H:%M}" in met.jobs[COUNT]["schedule"]
    assert "Triggered by assets" == met.jobs[SUPPLY]["schedule"]


def test_next_times_are_those_of_the_schedulers(met: Met) -> None:
    instants = {NIGHTLY: met.nightly_at, PROVED: met.second_minute, HELD: met.second_minute, COUNT: met.second_minute}
    assert {job: f"{at:%Y-%m-%dT%H:%M:%SZ}" for job, at in instants.items()} == {
        job: met.jobs[job]["next"] for job in instants
    }


def test_what_was_asleep_at_first_sight_is_paused_and_nothing_is_expected_of_it(met: Met) -> None:
    for job in (ASLEEP, "warehouse-airflow/parked"):
        assert (True, None, "") == (met.jobs[job]["paused"], met.jobs[job]["next"], met.jobs[job]["state"])
    assert not any(met.jobs[job]["paused"] for job in (PLAIN, PROVED, HELD, COUNT))


def test_tasks_are_jobs_with_the_edges_that_airflow_gives_them(met: Met) -> None:
    assert {f"{LOAD}.{task}" for task in ("check_file", "load", "publish")} == {
        name for name, job in met.jobs.items() if job["is_task"] and name.startswith(f"{LOAD}.")
    }
    assert [[f"{LOAD}.check_file", "native"]] == met.views[f"{LOAD}.load"]["upstreams"]
    assert [[f"{LOAD}.publish", "native"]] == met.views[f"{LOAD}.load"]["downstreams"]
    assert [[f"{SUPPLY}.build", "native"]] == met.views[f"{SUPPLY}.publish"]["upstreams"]


def test_the_producer_of_an_asset_feeds_its_consumer(met: Met) -> None:
    assert [SUPPLY, "native"] in met.views[LOAD]["downstreams"]
    assert [LOAD, "native"] in met.views[SUPPLY]["upstreams"]


@pytest.mark.parametrize("job", [PROVED, EACH_MINUTE, LOAD, f"{LOAD}.load", SUPPLY, f"{SUPPLY}.publish"])
def test_runs_from_before_the_first_start_are_read_back(met: Met, job: str) -> None:
    oldest = met.history[job][-1]
    assert ("succeeded", "native", 1) == (oldest["state"], oldest["evidence"], oldest["attempts"])
    assert oldest["started"] < f"{met.second_minute:%Y-%m-%dT%H:%M:%S}"


def test_a_run_by_the_clock_has_the_instant_as_its_period_and_one_by_hand_its_native_id(met: Met) -> None:
    first = f"{met.first_minute:%Y-%m-%dT%H:%M:%SZ}"
    for job in (PROVED, EACH_MINUTE):
        assert first in {row["period_key"] for row in met.history[job]}
    assert "before-the-engine" == met.history[LOAD][-1]["period_key"]
    assert "before-the-engine" == met.history[f"{LOAD}.load"][-1]["period_key"]


# -- a minute later ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("job", [PLAIN, PROVED, EACH_MINUTE])
def test_new_runs_follow_and_nothing_old_is_reported_twice(met: Met, job: str) -> None:
    minutes = {f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (met.first_minute, met.second_minute)}
    started = [row for row in met.later[job] if row["started"] is not None]
    keys = [row["period_key"] for row in started]
    assert minutes <= set(keys)
    assert len(keys) == len(set(keys))
    assert {1} == {row["attempts"] for row in started}


def test_a_start_without_proof_of_its_end_is_unknown_and_not_green(met: Met) -> None:
    assert {("unknown", "inferred", None)} == {
        (row["state"], row["evidence"], row["exit_code"]) for row in met.later[PLAIN] if row["started"]
    }
    assert "start" == met.views[PLAIN]["proof"]
    assert "proves the start" in met.later[PLAIN][0]["message"]


def test_neither_is_it_an_incident(met: Met) -> None:
    assert PLAIN not in {incident["root_job"] for incident in met.incidents}


def test_the_log_of_etl02_proves_the_exit(met: Met) -> None:
    assert "exit" == met.views[PROVED]["proof"]
    assert {("succeeded", "native", 0)} == {
        (row["state"], row["evidence"], row["exit_code"]) for row in met.later[PROVED] if row["ended"]
    }


@pytest.mark.parametrize("job", [HELD, COUNT])
def test_what_somebody_pauses_past_headway_is_drift_and_its_run_is_held(met: Met, job: str) -> None:
    assert ("paused", "paused outside of Headway") == (met.drift[job]["what"], met.drift[job]["text"])
    assert met.later_jobs[job]["paused"]
    newest = met.later[job][0]
    assert (f"{met.second_minute:%Y-%m-%dT%H:%M:%SZ}", "held") == (newest["period_key"], newest["state"])
    assert newest["reason"].startswith("paused since ")


def test_nothing_else_is_drift(met: Met) -> None:
    assert {HELD, COUNT} == met.drift.keys()


def test_logs_come_from_their_schedulers(met: Met) -> None:
    assert "4711 rows loaded" in met.logs[f"{LOAD}.load"]["text"]
    assert "1 row" in met.logs[EACH_MINUTE]["text"]
    assert {"scheduler"} == {log["from"] for log in met.logs.values()}


def test_people_read_the_same_as_programs(met: Met) -> None:
    assert {0} == {answer.exit_status for answer in met.tables.values()}
    for text in ("job list plain_job", f"job {PLAIN}", f"run {PLAIN}"):
        assert "unknown" in met.tables[text].stdout
        assert "succeeded" not in met.tables[text].stdout
    assert f"downstream  {SUPPLY} (native)" in met.tables[f"job {LOAD}"].stdout
