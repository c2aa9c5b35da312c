"""How fast each kind reads: runs per second of processor time beside json.loads of the same bytes; requests per poll.

    python -m tests.bench.connectors [--json] [--quick] [--only KIND]

The answers are recorded in a first reading, so that the fake's own work is not measured. Hosts answer with text: their
anchor is json.loads of its lines as a list of texts. `manual`, `files` and `tables` read no text and have no anchor;
`eventbridge` has no runs: its schedules are read. cron's round trip is `ssh`'s."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from connectors.mysql_events.connector import MySqlEventsConnector
from connectors.pg_cron.connector import PgCronConnector
from connectors.pgagent.connector import PgAgentConnector
from connectors.sdk.contract import Connector
from connectors.sdk.transport.call_limits import RequestTally, count_request, counting
from connectors.slurm.connector import SlurmConnector
from connectors.slurm.options import SlurmOptions
from connectors.sql.connector import SqlConnector
from tests.bench import connectors_local
from tests.bench.connectors_local import ReplayedAws, ReplayedReplies, ReplayedWindow, read_whole
from tests.bench.figures import Figure, arguments, emit
from tests.connectors.airflow.support import night
from tests.connectors.airflow.support import opened as airflow_on
from tests.connectors.azure_data_factory.test_profile import opened as data_factory_on
from tests.connectors.dagster.many_runs import Crowd as DagsterCrowd
from tests.connectors.dagster.test_recorded import opened as dagster_on
from tests.connectors.databricks.support import opened as databricks_on
from tests.connectors.databricks.support import workspace
from tests.connectors.github_actions.support import opened as github_on
from tests.connectors.github_actions.support import repository
from tests.connectors.gitlab.test_profile import opened as gitlab_on
from tests.connectors.http.test_dbt_cloud import opened as dbt_cloud_on
from tests.connectors.http.test_mapped import opened as http_on
from tests.connectors.kubernetes.support import cluster
from tests.connectors.kubernetes.support import opened as kubernetes_on
from tests.connectors.mysql_events.test_recorded import OPTIONS as MYSQL_OPTIONS
from tests.connectors.mysql_events.test_recorded import CrowdedClient as CrowdedEvents
from tests.connectors.pg_cron.test_recorded import CrowdedClient
from tests.connectors.pgagent.test_recorded import CrowdedClient as CrowdedPgAgent
from tests.connectors.prefect.many_runs import Crowd as PrefectCrowd
from tests.connectors.prefect.support import STOCK as STOCK_FLOW
from tests.connectors.prefect.support import opened as prefect_on
from tests.connectors.spark.test_recorded import connect as spark_on
from tests.connectors.sql.test_mapped import Crowd
from tests.fakes.azure_data_factory import FakeDataFactory
from tests.fakes.batch import FakeBatch
from tests.fakes.dbt import DbtHost
from tests.fakes.dbt_cloud import SUCCESS, FakeDbtCloud
from tests.fakes.dbt_tool import result
from tests.fakes.gitlab import FakeGitLab
from tests.fakes.glue import FakeGlue
from tests.fakes.homegrown import HomeGrown
from tests.fakes.mysql_events import FakeEvents
from tests.fakes.pg_cron import FakePgCron
from tests.fakes.pgagent import FakePgAgent
from tests.fakes.prefect import FakePrefect
from tests.fakes.slurm import Crowd as SlurmCrowd
from tests.fakes.spark import FakeHistory
from tests.fakes.step_functions import FakeStates

RUNS = {
    "airflow": 1000,
    "azure_data_factory": 20_000,
    "batch": 5000,
    "cron": 10_000,
    "dagster": 20_000,
    "databricks": 20_000,
    "dbt": 5000,
    "dbt_cloud": 20_000,
    "eventbridge": 500,
    "files": 1000,
    "github_actions": 20_000,
    "gitlab": 5000,
    "glue": 5000,
    "heartbeat": 20_000,
    "http": 20_000,
    "kubernetes": 20_000,
    "manual": 36_500,
    "mysql_events": 50_000,
    "pg_cron": 50_000,
    "pgagent": 50_000,
    "prefect": 20_000,
    "replay": 20_000,
    "slurm": 50_000,
    "spark": 2000,
    "sql": 50_000,
    "step_functions": 5000,
    "systemd": 5000,
    "tables": 1000,
}
QUICK = 10
"""With --quick, one run in so many."""
SMOKE = 100


def read(connector: Connector) -> tuple[int, str]:
    """The number of runs in the history, and the cursor at its end."""
    count, cursor, more = 0, "", True
    while more:
        poll = connector.poll(cursor, (), 600)
        count, cursor, more = count + len(poll.runs), poll.cursor, poll.more
    return count, cursor


def over_http(
    make: Callable[[ReplayedReplies], Connector], replies: ReplayedReplies
) -> tuple[Connector, Callable[[], list[bytes]]]:
    """A connector whose history was read once already, and the bodies of what it reads from now on."""
    read(make(replies))
    replies.bodies.clear()
    return make(replies), lambda: replies.bodies


def airflow(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = night()
    for number in range(runs):
        fake.start("stock_count", f"run-{number}")
    fake.tick()
    fake.now += timedelta(hours=1)
    return over_http(lambda replies: airflow_on(fake, replies), ReplayedReplies(fake.handle))


def prefect(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = FakePrefect(STOCK_FLOW)
    fake.start(STOCK_FLOW)
    fake.tick(30)
    return over_http(
        lambda replies: prefect_on(fake, replies), ReplayedReplies(PrefectCrowd(fake, runs).handle_request)
    )


def dagster(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    crowd = DagsterCrowd(runs)
    return over_http(lambda replies: dagster_on(crowd.fake, replies), ReplayedReplies(crowd.handle_request))


def batch(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = FakeBatch()
    fake.queue("night")
    fake.definition("load")
    began = datetime.now(UTC) - timedelta(days=5)
    fake.jobs = [fake.made("load", "SUCCEEDED", began - timedelta(seconds=number)) for number in range(runs)]
    os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench")
    return over_http(fake.connector, ReplayedAws(read_whole(fake.handle_request)))


def step_functions(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = FakeStates()
    template = next(execution for execution in fake.executions if execution["status"] == "SUCCEEDED")
    began = datetime.now(UTC).timestamp() - 30 * 86400
    fake.executions = [
        template
        | {"executionArn": f"{template['executionArn']}-{number}", "name": f"night-{number}"}
        | {"startDate": began - number, "stopDate": began - number + 0.5}
        for number in range(runs)
    ]
    fake.page_size = 1000
    os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench")
    return over_http(fake.connector, ReplayedAws(read_whole(fake.handle_request)))


def glue(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = FakeGlue()
    fake.job("load")
    began = datetime.now(UTC) - timedelta(days=30)
    fake.runs["load"] = [fake.made("load", "SUCCEEDED", began - timedelta(seconds=number)) for number in range(runs)]
    os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench")
    return over_http(fake.connector, ReplayedAws(read_whole(fake.handle_request)))


def databricks(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = workspace()
    fake.crowd = runs
    return over_http(lambda replies: databricks_on(fake, replies), ReplayedReplies(fake.handle))


def kubernetes(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = cluster()
    fake.crowd = runs
    return over_http(lambda replies: kubernetes_on(fake, replies), ReplayedReplies(fake.handle))


def github_actions(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = repository()
    fake.crowd = runs
    return over_http(lambda replies: github_on(fake, replies), ReplayedReplies(fake.handle))


def http(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = HomeGrown()
    for number in range(runs):
        fake.run("load", "done", fake.now - timedelta(days=30) + timedelta(seconds=number))
    return over_http(lambda replies: http_on(fake, replies, limit=1000), ReplayedReplies(fake.handle))


def dbt_cloud(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = FakeDbtCloud()
    for number in range(runs):
        fake.run(502, SUCCESS, fake.now - timedelta(days=30) + timedelta(seconds=number))
    return over_http(lambda replies: dbt_cloud_on(fake, replies), ReplayedReplies(fake.handle))


def spark(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    """With the jobs of each application."""
    fake = FakeHistory()
    for number in range(runs):
        fake.copied("load_orders", f"app-{number:06}", -2000 + number / 2000)
    return over_http(spark_on, ReplayedReplies(fake.handle))


def azure_data_factory(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = FakeDataFactory()
    for number in range(runs):
        fake.run("mart", "Succeeded", fake.now - timedelta(days=30) + timedelta(seconds=number))
    return over_http(lambda replies: data_factory_on(fake, replies), ReplayedWindow(fake.handle))


def gitlab(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    """With the jobs of each pipeline, as the first poll reads them."""
    fake = FakeGitLab()
    for number in range(runs):
        fake.pipeline(14, "success", fake.now - timedelta(days=30) + timedelta(seconds=number))
    return over_http(lambda replies: gitlab_on(fake, replies), ReplayedReplies(fake.handle))


class CountedPgCron(CrowdedClient):
    def page(self, *given: Any, **more: Any) -> Any:
        count_request()
        return super().page(*given, **more)


class CountedPgAgent(CrowdedPgAgent):
    def page(self, *given: Any, **more: Any) -> Any:
        count_request()
        return super().page(*given, **more)


class CountedEvents(CrowdedEvents):
    def page(self, *given: Any, **more: Any) -> Any:
        count_request()
        return super().page(*given, **more)


class CountedTables(Crowd):
    def runs(self, *given: Any, **more: Any) -> Any:
        count_request()
        return super().runs(*given, **more)


def pg_cron(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = FakePgCron()
    template = next(row for row in fake.runs if row["status"] == "succeeded")
    fake.runs = [template | {"runid": number} for number in range(1, runs + 1)]
    return PgCronConnector(CountedPgCron(fake)), lambda: [json.dumps(fake.runs).encode()]


def pgagent(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = FakePgAgent()
    run, step = fake.runs[0], fake.step_log[0]
    fake.runs = [run | {"jlgid": number} for number in range(1, runs + 1)]
    fake.step_log = [step | {"jlgid": number} for number in range(1, runs + 1)]
    return PgAgentConnector(CountedPgAgent(fake)), lambda: [
        json.dumps([fake.runs, fake.step_log], default=str).encode()
    ]


def mysql_events(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = FakeEvents()
    fake.log = [fake.log[0] | {"run_id": number} for number in range(1, runs + 1)]
    connector = MySqlEventsConnector(CountedEvents(fake), MYSQL_OPTIONS)
    return connector, lambda: [json.dumps(fake.log, default=str).encode()]


def tables(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    crowd = CountedTables(runs)
    return SqlConnector(crowd), lambda: [json.dumps(crowd.run_rows).encode()]


def dbt(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    """One run of so many nodes."""
    folder = tempfile.TemporaryDirectory(prefix="headway-bench-")  # gone with the answer below
    host, at = DbtHost(Path(folder.name)), time.time() - 60
    nodes = [result(f"model.shop.m{number}", "success", at) for number in range(runs)]
    host.shop.end(host.shop.begin("dbt build", at), "dbt build", at, nodes)
    return host.connected(), lambda: [(Path(folder.name) / "shop/target/run_results.json").read_bytes()]


class CountedSlurm(SlurmCrowd):
    def run(self, *given: Any, **more: Any) -> Any:
        count_request()
        return super().run(*given, **more)


def slurm(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    crowd = CountedSlurm(runs)
    options = SlurmOptions.model_validate({"hosts": ["hpc"], "key": "/nowhere", "history_hours": 24})
    rows = [crowd.row(number) for number in range(runs)]
    return SlurmConnector(options, "hpc", lambda _: "", crowd), lambda: [json.dumps(rows).encode()]


KINDS = {
    "airflow": airflow,
    "azure_data_factory": azure_data_factory,
    "batch": batch,
    "cron": connectors_local.cron,
    "dagster": dagster,
    "databricks": databricks,
    "dbt": dbt,
    "dbt_cloud": dbt_cloud,
    "files": connectors_local.arrivals,
    "github_actions": github_actions,
    "gitlab": gitlab,
    "glue": glue,
    "heartbeat": connectors_local.heartbeat,
    "http": http,
    "kubernetes": kubernetes,
    "manual": connectors_local.manual,
    "mysql_events": mysql_events,
    "pg_cron": pg_cron,
    "pgagent": pgagent,
    "prefect": prefect,
    "replay": connectors_local.replay,
    "slurm": slurm,
    "spark": spark,
    "sql": tables,
    "step_functions": step_functions,
    "systemd": connectors_local.systemd,
    "tables": connectors_local.lake,
}


def measured(kind: str, runs: int) -> Iterator[Figure]:
    connector, bodies = KINDS[kind](runs)
    began = time.process_time()
    count, cursor = read(connector)
    spent = time.process_time() - began
    texts = list(bodies())
    yield beside(f"{kind}_runs_per_cpu_s", "runs/s", count, spent, texts)
    tally = RequestTally()
    with counting(tally):
        connector.poll(cursor, (), 600)
    yield Figure(f"{kind}_requests_per_poll", tally.requests, "requests")
    connector.close()


def beside(name: str, unit: str, count: int, spent: float, texts: list[bytes]) -> Figure:
    """So many in that time, beside json.loads of the same bytes, where there are some."""
    began = time.process_time()
    for text in texts:
        json.loads(text)
    bare = max(time.process_time() - began, 1e-6)
    expected = ("json.loads of the same bytes", count / bare) if texts else ("", None)
    return Figure(name, count / spent, unit, *expected)


def eventbridge(many: int) -> Iterator[Figure]:
    """It keeps no runs: how many of its schedules are read, and what a poll requests."""
    connector, replies = connectors_local.schedules(many)
    began = time.process_time()
    count = len(connector.inventory("", 600).jobs)
    spent = time.process_time() - began
    yield beside("eventbridge_schedules_per_cpu_s", "schedules/s", count, spent, replies.bodies)
    tally = RequestTally()
    with counting(tally):
        connector.poll("", (), 600)
    yield Figure("eventbridge_requests_per_poll", tally.requests, "requests")
    connector.close()


def figures(kind: str, runs: int) -> Iterator[Figure]:
    return eventbridge(runs) if kind == "eventbridge" else measured(kind, runs)


def main() -> None:
    namespace = arguments(__doc__ or "", tuple(RUNS))
    share = namespace.quick.of(1, QUICK, SMOKE)
    kinds = namespace.only or list(RUNS)
    emit("connectors", (figure for kind in kinds for figure in figures(kind, RUNS[kind] // share)), namespace.json)


if __name__ == "__main__":
    main()
