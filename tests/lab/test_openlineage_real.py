"""dbt-ol, OpenLineage's wrapper of dbt, sends the events of a real dbt on DuckDB: they count for the project's job."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from connectors.sdk.secrets import SecretRef, SecretStore
from console.config.sections import EndpointSettings
from console.control.dependencies.datasets import learned_dependencies
from console.engine.endpoints import EndpointWorker
from console.engine.lineage_receiver import LINEAGE_PATH, LineageReceiver
from tests.engine.bench import Bench, estate_config, running_bench
from tests.engine.endpoints.test_endpoints import listening
from tests.fakes.scheduler import FakeScheduler
from tests.lab import venvs
from tests.lab.process import clean_environment, free_port
from tests.lab.test_dbt_real import PROJECT

TOKEN = "lineage-0123456789abcdef"
JOB = "etl01:shop"
"""As the connector dbt names a project."""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    scheduler = FakeScheduler()
    for name in ("extract", "load", JOB, "report"):
        scheduler.job(name)
    with running_bench(tmp_path, scheduler, estate_config(tmp_path, scheduler)) as made:
        made.turn()
        yield made


def dbt_ol(project: Path, url: str, *arguments: str) -> None:
    folder = venvs.dbt_environment() / "bin"
    environment = clean_environment(
        HOME=str(project.parent), PATH=f"{folder}:/usr/bin:/bin", OPENLINEAGE_URL=url, OPENLINEAGE_API_KEY=TOKEN,
        OPENLINEAGE_NAMESPACE="fake",
    )  # fmt: skip
    argv = [str(folder / "dbt-ol"), *arguments, "--openlineage-dbt-job-name", JOB]
    done = subprocess.run(argv, cwd=project, env=environment, capture_output=True, text=True, timeout=180)
    assert 0 == done.returncode, done.stdout + done.stderr


def test_the_models_of_dbt_are_datasets_of_its_project(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWAY_TEST_TOKEN", TOKEN)
    project = tmp_path / "shop"
    shutil.copytree(PROJECT, project)
    settings = EndpointSettings(listen=f"127.0.0.1:{free_port()}", token=SecretRef(env="HEADWAY_TEST_TOKEN"))
    receiver = LineageReceiver(bench.store, bench.parts.clock)
    orders = {"namespace": "duckdb://shop.duckdb", "name": "shop.main.orders"}
    reader = {
        "eventTime": bench.parts.clock.now().isoformat(), "eventType": "COMPLETE", "producer": "https://example.com",
        "run": {"runId": str(uuid4())}, "job": {"namespace": "fake", "name": "report"}, "inputs": [orders],
    }  # fmt: skip
    with listening(EndpointWorker(settings, {LINEAGE_PATH: receiver.endpoint}, SecretStore())) as url:
        dbt_ol(project, url, "build")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        httpx.post(f"{url}{LINEAGE_PATH}", content=json.dumps(reader), headers=headers).raise_for_status()
    reads = bench.reads()
    view = reads.lineage.lineage_of(reads.jobs.job(f"fake/{JOB}").row.id)
    written = {use.dataset.rpartition(".")[2] for use in view.datasets if use.is_output}
    assert {"stg_orders", "orders", "daily_total"} == written
    lineage = reads.lineage
    [pair] = learned_dependencies(*lineage.shared_datasets(), lineage.nights(bench.parts.clock.now())[1])
    assert (f"fake/{JOB}", "fake/report") == (pair.upstream, pair.downstream)
    assert ["duckdb://shop.duckdb/shop.main.orders"] == [dataset.name for dataset in pair.datasets]
