"""Real producers of OpenLineage events: dbt-ol, the wrapper of dbt, on DuckDB; and the provider of Airflow 3."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from connectors.sdk.secrets import SecretRef, SecretStore
from console.cli.onboarding import offer_reported
from console.config.loading import load_config
from console.config.sections import EndpointSettings
from console.control.dependencies.datasets import learned_dependencies
from console.domain.dependency import LearnedDependency
from console.engine.endpoints import EndpointWorker
from console.engine.lineage_receiver import LINEAGE_PATH, LineageReceiver
from tests.engine.bench import Bench, estate_config, running_bench
from tests.engine.endpoints.test_endpoints import listening
from tests.fakes.scheduler import FakeScheduler
from tests.lab import venvs
from tests.lab.airflow import AirflowServer
from tests.lab.process import HANGS_SECONDS, ask, clean_environment, free_port, wait_until
from tests.lab.test_dbt_real import PROJECT

TOKEN = "lineage-0123456789abcdef"
JOB = "etl01:shop"
"""As the connector dbt names a project."""
DAGS = Path(__file__).with_name("dags_lineage")


@contextmanager
def receiving(folder: Path, jobs: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Bench, str]]:
    """A bench with these jobs, and the address of its receiver."""
    monkeypatch.setenv("HEADWAY_TEST_TOKEN", TOKEN)
    scheduler = FakeScheduler()
    for name in jobs:
        dag, _, task = name.partition(".")
        scheduler.job(name, parent=dag if task else None)
    settings = EndpointSettings(listen=f"127.0.0.1:{free_port()}", token=SecretRef(env="HEADWAY_TEST_TOKEN"))
    with running_bench(folder, scheduler, estate_config(folder, scheduler)) as bench:
        bench.turn()
        receiver = LineageReceiver(bench.store, bench.parts.clock, SecretStore())
        with listening(EndpointWorker(settings, {LINEAGE_PATH: receiver.endpoint}, SecretStore())) as url:
            yield bench, url


def learned(bench: Bench) -> list[LearnedDependency]:
    lineage = bench.reads().lineage
    return learned_dependencies(*lineage.shared_datasets(), lineage.nights(bench.parts.clock.now())[1])


def dbt_ol(project: Path, url: str, *arguments: str) -> None:
    folder = venvs.dbt_environment() / "bin"
    environment = clean_environment(
        HOME=str(project.parent), PATH=f"{folder}:/usr/bin:/bin", OPENLINEAGE_URL=url, OPENLINEAGE_API_KEY=TOKEN,
        OPENLINEAGE_NAMESPACE="fake",
    )  # fmt: skip
    argv = [str(folder / "dbt-ol"), *arguments, "--openlineage-dbt-job-name", JOB]
    done = subprocess.run(argv, cwd=project, env=environment, capture_output=True, text=True, timeout=HANGS_SECONDS)
    assert 0 == done.returncode, done.stdout + done.stderr


def test_the_models_of_dbt_are_datasets_of_its_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "shop"
    shutil.copytree(PROJECT, project)
    orders = {"namespace": "duckdb://shop.duckdb", "name": "shop.main.orders"}
    with receiving(tmp_path, ("extract", "load", JOB, "report"), monkeypatch) as (bench, url):
        reader = {
            "eventTime": bench.parts.clock.now().isoformat(), "eventType": "COMPLETE", "producer": "https://example.com",
            "run": {"runId": str(uuid4())}, "job": {"namespace": "fake", "name": "report"}, "inputs": [orders],
        }  # fmt: skip
        dbt_ol(project, url, "build")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        ask("POST", f"{url}{LINEAGE_PATH}", content=json.dumps(reader), headers=headers).raise_for_status()
        reads = bench.reads()
        view = reads.lineage.lineage_of(reads.jobs.job(f"fake/{JOB}").row.id)
        written = {use.dataset.rpartition(".")[2] for use in view.datasets if use.is_output}
        assert {"stg_orders", "orders", "daily_total"} == written
        [pair] = learned(bench)
        assert (f"fake/{JOB}", "fake/report") == (pair.upstream, pair.downstream)
        assert ["duckdb://shop.duckdb/shop.main.orders"] == [dataset.name for dataset in pair.datasets]


class LineageAirflow(AirflowServer):
    """An Airflow 3 whose OpenLineage provider sends to this address, configured as docs/openlineage.md shows. Nobody
    asks its API."""

    dag_ids = ("producer", "consumer")

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        self._receiver = url

    def _environment(self) -> Path:
        return venvs.AIRFLOW_LINEAGE.made()

    def _components(self) -> dict[str, list[str]]:
        return {name: words for name, words in super()._components().items() if name != "api-server"}

    def _prepare(self) -> None:
        super()._prepare()
        shutil.rmtree(self._dags)
        shutil.copytree(DAGS, self._dags, ignore=shutil.ignore_patterns("__pycache__"))

    def _settings(self) -> dict[str, str]:
        page = (Path(__file__).parents[2] / "docs/openlineage.md").read_text()
        [transport] = re.findall(r"^AIRFLOW__OPENLINEAGE__TRANSPORT='(.*)'$", page, re.MULTILINE)
        return {
            **super()._settings(),
            "AIRFLOW__OPENLINEAGE__TRANSPORT": transport.replace("http://127.0.0.1:9465", self._receiver).replace(
                '"TOKEN"', f'"{TOKEN}"'
            ),
            "PATH": f"{self._environment() / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }


def test_airflows_provider_teaches_a_dependency_and_init_offers_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = ("producer.make_orders", "consumer.use_orders")
    with receiving(tmp_path, ("producer", "consumer", *tasks), monkeypatch) as (bench, url):
        airflow = LineageAirflow(tmp_path / "airflow", url)
        try:
            airflow.start()
            airflow.wait_ready()
            wait_until(lambda: learned(bench), "the consumer's events")
            wait_until(lambda: [*bench.reads().lineage.reported_deadlines()], "the producer's deadline")
        finally:
            airflow.stop()
        [pair] = learned(bench)
        assert ("fake/producer", "fake/consumer") == (pair.upstream, pair.downstream)
        assert ["file/data/orders.csv"] == [dataset.name for dataset in pair.datasets]
        config = tmp_path / "shown.toml"
        config.write_text('[systems.fake]\nkind = "cron"\nhosts = [{ name = "here", local = true }]\n')
        arguments = argparse.Namespace(config=str(config), store=str(bench.url), yes=True)
        assert ["producer"] == offer_reported(arguments, config, load_config(config), is_interactive=False)
        service = load_config(config).services["producer"]
        assert (("fake/producer",), "07:00") == (service.delivered_by, f"{service.deadline:%H:%M}")
