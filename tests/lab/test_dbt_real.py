"""dbt as it really is, on DuckDB: the conformance tests, and what only a real dbt can show."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors.dbt.connector import CONNECTOR, DbtConnector
from connectors.dbt.host_program import running_dbt
from connectors.dbt.options import DbtOptions
from connectors.sdk.conformance import Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionFound, ActionSpec, Connector
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState, Verb
from tests.lab import venvs
from tests.lab.process import HANGS_SECONDS, clean_environment, private_folder, remove_folder, wait_until

PROJECT = Path(__file__).with_name("dbt_project")
ORDERS = "model.shop.orders"


class DbtProjects:
    """Copies of one project; the file `environment` beside each says what its dbt sees."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.program = folder, venvs.dbt_environment() / "bin/dbt"
        for name in ("good", "bad"):
            shutil.copytree(PROJECT, folder / name)
            wrapper = folder / name / "run-dbt"
            wrapper.write_text(
                f'#!/bin/sh\n[ -e "{folder}/{name}/broken" ] && export LAB_DBT_BREAK=yes\nexec {self.program} "$@"\n'
            )
            wrapper.chmod(0o755)

    def dbt(self, name: str, *arguments: str) -> int:
        argv = [str(self.folder / name / "run-dbt"), *arguments]
        environment = clean_environment(HOME=str(self.folder))
        done = subprocess.run(argv, cwd=self.folder / name, env=environment, capture_output=True, timeout=HANGS_SECONDS)
        return done.returncode

    def break_it(self, name: str, broken: bool = True) -> None:
        file = self.folder / name / "broken"
        file.touch() if broken else file.unlink(missing_ok=True)

    def connected(self, **changes: Any) -> DbtConnector:
        projects = {
            name: {"folder": str(self.folder / name), "dbt": str(self.folder / name / "run-dbt")}
            for name in ("good", "bad")
        }
        value = {
            "hosts": [{"name": "etl01", "local": True}], "projects": projects, "python": sys.executable,
            "home": str(self.folder / "home"), **changes,
        }  # fmt: skip
        return DbtConnector(DbtOptions.model_validate(value), "etl01", lambda reference: "")


@pytest.fixture(scope="module")
def dbt() -> Iterator[DbtProjects]:
    folder = private_folder("dbt")
    try:
        yield DbtProjects(folder)
    finally:
        remove_folder(folder)


class TestDbtConformance(Reads, Logs, Reruns, Starts):
    kind = CONNECTOR
    against = "real: dbt-core 1.11.16 with DuckDB"
    patience_seconds: ClassVar[float] = 180.0
    limits: ClassVar[dict[str, str]] = {
        "unknown_word": "a real dbt says no word that it does not have",
        "network": "this machine is asked here; SSH is tried with the fake",
    }
    made: ClassVar[set[str]] = set()
    dbt: DbtProjects

    @pytest.fixture(autouse=True)
    def here(self, dbt: DbtProjects) -> None:
        self.dbt = dbt

    def connector(self) -> Connector:
        return self.dbt.connected()

    def make_success(self) -> str:
        if "good" not in self.made:
            assert 0 == self.dbt.dbt("good", "build")
            self.made.add("good")
        return "etl01:good"

    def make_failure(self) -> str:
        if "bad" not in self.made:
            self.make_success()
            shutil.copy(self.dbt.folder / "good/shop.duckdb", self.dbt.folder / "bad")
            self.dbt.break_it("bad")
            assert 1 == self.dbt.dbt("bad", "run", "--select", "orders")
            self.made.add("bad")
        return "etl01:bad"

    def rerun(self, run: RunRecord) -> RunRecord:
        """Returns once dbt is gone: its log says a moment earlier that it ended, and two at once are refused."""
        again = super().rerun(run)
        wait_until(lambda: not running_dbt(str(self.dbt.folder / "bad")), "the end of dbt")
        return again

    def native_trace(self) -> object:
        return sorted((self.dbt.folder / "home").glob("acts/*"))


def test_a_failed_model_is_partial_and_a_retry_fixes_it(dbt: DbtProjects) -> None:
    """dbt overwrites its artefact in between: the retry uses the stored state."""
    connector = dbt.connected()
    dbt.break_it("bad")
    cursor = connector.poll("", (), 30).cursor
    assert 1 == dbt.dbt("bad", "build")
    first = connector.poll(cursor, (), 30)
    run = next(run for run in first.runs if run.job == "etl01:bad")
    states = {run.job.partition("/")[2]: run.state for run in first.runs if "/" in run.job}
    assert (RunState.PARTIAL, RunState.FAILED, RunState.BLOCKED) == (
        run.state,
        states[ORDERS],
        states["model.shop.daily_total"],
    )
    assert 0 == dbt.dbt("bad", "run", "--select", "stg_orders")
    dbt.break_it("bad", broken=False)
    preview = connector.preview(ActionSpec(Verb.RERUN, ref(run), run.state), 30)
    assert (None, "dbt retry") == (preview.refused, preview.verb)
    key = new_key()
    connector.act(preview, key, 30)
    assert isinstance(connector.look_up(preview, key, 30), ActionFound)
    runs: dict[str, RunRecord] = {}
    at = first.cursor

    def has_succeeded() -> bool:
        nonlocal at
        poll = connector.poll(at, (), 30)
        at = poll.cursor
        runs.update({record.job: record for record in poll.runs if record.period_key == run.period_key})
        return any(record.state is RunState.SUCCEEDED for record in runs.values())

    wait_until(has_succeeded, "the end of the retry", pause=0.5)
    run_record = runs["etl01:bad"]
    assert (RunState.SUCCEEDED, key) == (run_record.state, run_record.action_key)
    assert {f"etl01:bad/{ORDERS}", "etl01:bad/model.shop.daily_total"} == set(runs) - {"etl01:bad"}
    assert "orders" in connector.log(ref(run_record), None, 65536, 30).text


def test_a_dbt_that_cannot_run_at_all_is_a_failure_though_its_artefact_is_old(dbt: DbtProjects) -> None:
    connector = dbt.connected()
    cursor = connector.poll("", (), 30).cursor
    broken = dbt.folder / "good/models/broken.sql"
    broken.write_text("select * from {{ ref('nowhere') }}")
    try:
        assert 2 == dbt.dbt("good", "build")
    finally:
        broken.unlink()
    [run] = [run for run in connector.poll(cursor, (), 30).runs if run.job == "etl01:good"]
    assert (RunState.FAILED, True) == (run.state, "nowhere" in run.message), run.message


def test_a_run_is_seen_while_it_runs(dbt: DbtProjects) -> None:
    connector = dbt.connected()
    cursor = connector.poll("", (), 30).cursor
    argv = [str(dbt.folder / "good/run-dbt"), "build"]
    process = subprocess.Popen(
        argv, cwd=dbt.folder / "good", env=clean_environment(HOME=str(dbt.folder)), stdout=subprocess.DEVNULL
    )
    states: list[RunState] = []

    def is_over() -> bool:
        nonlocal cursor
        has_ended = process.poll() is not None
        poll = connector.poll(cursor, (), 30)
        cursor = poll.cursor
        states.extend(run.state for run in poll.runs if run.job == "etl01:good")
        return has_ended

    wait_until(is_over, "the end of dbt", pause=0.1)
    assert (RunState.RUNNING, RunState.SUCCEEDED) == (states[0], states[-1])
