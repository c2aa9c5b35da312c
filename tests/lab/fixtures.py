"""The fixtures of the lab. Test folders outside of tests/lab may import single ones into their conftest: all
share one estate, and a part starts when the first test requests it. An estate lives as long as its group of files
(`tests.runner`); `end_shared` ends it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest

from connectors.kubernetes.connector import KubernetesConnector
from tests.lab import kubebuild
from tests.lab.airflow import AirflowServer
from tests.lab.airflow_reset import reset_server
from tests.lab.aws import MotoServer
from tests.lab.cronhost import CronHost
from tests.lab.estate import Estate, running_estate, shared_estate
from tests.lab.kubernetes import TOKEN, KubeCluster
from tests.lab.kubesupport import BAD, DUE, GOOD, Connect, connected
from tests.lab.needs import SMOKE, what_is_missing
from tests.lab.postgres import PostgresServer
from tests.lab.process import private_folder, remove_folder
from tests.lab.sinks import Behaviour, HttpSink, SmtpSink


@pytest.fixture(scope="module")
def lab() -> Estate:
    """The estate with no part started yet. Fails, naming what to install, where the machine lacks something."""
    missing = what_is_missing()
    if missing is not None:
        pytest.fail(missing, pytrace=False)
    return shared_estate()


@pytest.fixture(scope="module")
def smoke_estate() -> Iterator[Estate]:
    """An estate of this module alone, whose Airflow starts now. It needs the packages of `make test` and no others."""
    missing = what_is_missing(SMOKE)
    if missing is not None:
        pytest.fail(missing, pytrace=False)
    with running_estate() as estate:
        estate.airflow  # noqa: B018  reading it starts it
        yield estate


@pytest.fixture(scope="module")
def db07(lab: Estate) -> CronHost:
    return lab.db07


@pytest.fixture(scope="module")
def etl02(lab: Estate) -> CronHost:
    return lab.etl02


@pytest.fixture(scope="module")
def cron_hosts(db07: CronHost, etl02: CronHost) -> dict[str, CronHost]:
    """Both hosts by name."""
    return {host.name: host for host in (db07, etl02)}


@pytest.fixture(scope="module")
def postgres(lab: Estate) -> PostgresServer:
    return lab.postgres


@pytest.fixture
def store_dsn(postgres: PostgresServer) -> Iterator[str]:
    """A fresh, empty PostgreSQL database for one test, dropped after it."""
    dsn = postgres.create_database()
    yield dsn
    postgres.drop_database(dsn)


@pytest.fixture(scope="module")
def moto(lab: Estate) -> MotoServer:
    return lab.moto


@pytest.fixture(scope="module")
def airflow(lab: Estate) -> AirflowServer:
    """Airflow, ready. Its start began when the tests were collected."""
    return lab.airflow.wait_ready()


@pytest.fixture(scope="module")
def estate(lab: Estate, cron_hosts: object, postgres: object, moto: object, airflow: object) -> Estate:
    """The whole estate, every part ready."""
    return lab


@pytest.fixture(scope="module")
def fresh(lab: Estate) -> Iterator[Estate]:
    """An estate of this module alone, on which nothing has run. Its Airflow is that of the session, which forgets what
    ran before: one more would start for 8 s of CPU."""
    with running_estate(reset_server(lab.airflow.wait_ready())) as estate:
        yield estate


@pytest.fixture
def smtp(lab: Estate) -> SmtpSink:
    """The mail server, empty and accepting."""
    sink = lab.smtp
    sink.mails.clear()
    sink.mode, sink.rejected = "accept", 0
    return sink


@pytest.fixture
def http_sink(lab: Estate) -> HttpSink:
    """The web hook, empty and answering 200."""
    sink = lab.http
    sink.posts.clear()
    sink.behaviour = Behaviour()
    return sink


@pytest.fixture(scope="module")
def kubernetes() -> KubeCluster:
    """A control plane with a CronJob that went well and one that failed. Fails where it is not built."""
    lacks = kubebuild.missing()
    if lacks is not None:
        pytest.fail(lacks, pytrace=False)
    return shared_cluster()


@cache
def shared_cluster() -> KubeCluster:
    """The one control plane of this group of tests."""
    made = KubeCluster(private_folder("kubernetes") / "cluster")
    try:
        made.start()
        for job, code in ((GOOD, 0), (BAD, 3)):
            name = job.partition("/")[2]
            row = made.cronjob(name, failedJobsHistoryLimit=50, successfulJobsHistoryLimit=50)
            made.end(made.job(name, row, DUE)["metadata"]["name"], code)
    except BaseException:
        end_cluster(made)
        raise
    return made


def end_cluster(cluster: KubeCluster) -> None:
    try:
        cluster.stop()
    finally:
        remove_folder(cluster.folder.parent)


def end_shared() -> None:
    """Ends what the tests of a group shared; the next group makes its own."""
    with ExitStack() as ends:
        if shared_estate.cache_info().currsize:
            ends.callback(shared_estate().stop)
        if shared_cluster.cache_info().currsize:
            ends.callback(end_cluster, shared_cluster())
        shared_estate.cache_clear()
        shared_cluster.cache_clear()


@pytest.fixture
def connect(kubernetes: KubeCluster) -> Iterator[Connect]:
    """Opens connectors on that control plane and closes them: with a token, a target, options."""
    opened: list[KubernetesConnector] = []

    def make(token: str = TOKEN, **options: Any) -> KubernetesConnector:
        opened.append(connected(kubernetes, token, **options))
        return opened[-1]

    yield make
    for kubernetes_connector in opened:
        kubernetes_connector.close()
