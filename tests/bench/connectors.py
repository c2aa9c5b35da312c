"""How fast each kind reads: runs per second of processor time beside json.loads of the same bytes; requests per poll.

    python -m tests.bench.connectors [--json] [--quick] [--only KIND]

The answers are kept from a first reading, so that the fake's own work is not measured. Kinds without a fake that holds
many runs (cron, pgagent, systemd, heartbeat, replay, manual) are not measured here; cron's round
trip is `ssh`'s.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from connectors.contract import Connector
from connectors.pg_cron.connector import PgCronConnector
from connectors.slurm.connector import SlurmConnector
from connectors.slurm.options import SlurmOptions
from connectors.sql.connector import SqlConnector
from connectors.transport.counting import Tally, count_request, counting
from tests.bench.figures import Figure, arguments, emit
from tests.connectors.airflow.support import night
from tests.connectors.airflow.support import opened as airflow_on
from tests.connectors.databricks.support import opened as databricks_on
from tests.connectors.databricks.support import workspace
from tests.connectors.github_actions.support import opened as github_on
from tests.connectors.github_actions.support import repository
from tests.connectors.http.test_mapped import opened as http_on
from tests.connectors.kubernetes.support import cluster
from tests.connectors.kubernetes.support import opened as kubernetes_on
from tests.connectors.pg_cron.test_recorded import CrowdedClient
from tests.connectors.sql.test_mapped import Crowd
from tests.fakes.batch import FakeBatch
from tests.fakes.dbt import DbtHost
from tests.fakes.dbt_tool import result
from tests.fakes.glue import FakeGlue
from tests.fakes.homegrown import HomeGrown
from tests.fakes.pg_cron import FakePgCron
from tests.fakes.slurm import Crowd as SlurmCrowd
from tests.fakes.step_functions import FakeStates

RUNS = {
    "airflow": 1000,
    "batch": 5000,
    "databricks": 20_000,
    "dbt": 5000,
    "github_actions": 20_000,
    "glue": 5000,
    "http": 20_000,
    "kubernetes": 20_000,
    "pg_cron": 50_000,
    "slurm": 50_000,
    "sql": 50_000,
    "step_functions": 5000,
}
QUICK = 10
"""With --quick, one run in so many."""


class Kept(httpx.BaseTransport):
    """Answers as it was answered the first time; `bodies` are those of the present reading."""

    def __init__(self, handler: Callable[[httpx.Request], httpx.Response]) -> None:
        self.handler = handler
        self.answers: dict[tuple[str, str, bytes], httpx.Response] = {}
        self.bodies: list[bytes] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        key = request.method, str(request.url), request.read()
        if key not in self.answers:
            self.answers[key] = self.handler(request)
        found = self.answers[key]
        self.bodies.append(found.content)
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)


class KeptAws(Kept):
    """The same for what botocore reads: answers that nobody has read yet."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        found = super().handle_request(request)
        return httpx.Response(found.status_code, headers=found.headers, stream=httpx.ByteStream(found.content))


def read_whole(handler: Callable[[httpx.Request], httpx.Response]) -> Callable[[httpx.Request], httpx.Response]:
    """Its answers, read."""

    def handle(request: httpx.Request) -> httpx.Response:
        found = handler(request)
        found.read()
        return found

    return handle


def read(connector: Connector) -> tuple[int, str]:
    """How many runs history tells, and the cursor at its end."""
    count, cursor, more = 0, "", True
    while more:
        poll = connector.poll(cursor, (), 600)
        count, cursor, more = count + len(poll.runs), poll.cursor, poll.more
    return count, cursor


def over_http(make: Callable[[Kept], Connector], kept: Kept) -> tuple[Connector, Callable[[], list[bytes]]]:
    """A connector whose history was read once already, and the bodies of what it reads from now on."""
    read(make(kept))
    kept.bodies.clear()
    return make(kept), lambda: kept.bodies


def airflow(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = night()
    for number in range(runs):
        fake.start("stock_count", f"run-{number}")
    fake.tick()
    fake.now += timedelta(hours=1)
    return over_http(lambda kept: airflow_on(fake, kept), Kept(fake.handle))


def batch(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = FakeBatch()
    fake.queue("night")
    fake.definition("load")
    began = datetime.now(UTC) - timedelta(days=5)
    fake.jobs = [fake.made("load", "SUCCEEDED", began - timedelta(seconds=number)) for number in range(runs)]
    os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench")
    return over_http(fake.connector, KeptAws(read_whole(fake.handle_request)))


def step_functions(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = FakeStates()
    template = next(one for one in fake.executions if one["status"] == "SUCCEEDED")
    began = datetime.now(UTC).timestamp() - 30 * 86400
    fake.executions = [
        template
        | {"executionArn": f"{template['executionArn']}-{number}", "name": f"night-{number}"}
        | {"startDate": began - number, "stopDate": began - number + 0.5}
        for number in range(runs)
    ]
    fake.page_size = 1000
    os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench")
    return over_http(fake.connector, KeptAws(read_whole(fake.handle_request)))


def glue(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = FakeGlue()
    fake.job("load")
    began = datetime.now(UTC) - timedelta(days=30)
    fake.runs["load"] = [fake.made("load", "SUCCEEDED", began - timedelta(seconds=number)) for number in range(runs)]
    os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench")
    return over_http(fake.connector, KeptAws(read_whole(fake.handle_request)))


def databricks(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = workspace()
    fake.crowd = runs
    return over_http(lambda kept: databricks_on(fake, kept), Kept(fake.handle))


def kubernetes(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = cluster()
    fake.crowd = runs
    return over_http(lambda kept: kubernetes_on(fake, kept), Kept(fake.handle))


def github_actions(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = repository()
    fake.crowd = runs
    return over_http(lambda kept: github_on(fake, kept), Kept(fake.handle))


def http(runs: int) -> tuple[Connector, Callable[[], list[bytes]]]:
    fake = HomeGrown()
    for number in range(runs):
        fake.run("load", "done", fake.now - timedelta(days=30) + timedelta(seconds=number))
    return over_http(lambda kept: http_on(fake, kept, limit=1000), Kept(fake.handle))


class CountedPgCron(CrowdedClient):
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
    "batch": batch,
    "databricks": databricks,
    "dbt": dbt,
    "github_actions": github_actions,
    "glue": glue,
    "http": http,
    "kubernetes": kubernetes,
    "pg_cron": pg_cron,
    "slurm": slurm,
    "sql": tables,
    "step_functions": step_functions,
}


def measured(kind: str, runs: int) -> Iterator[Figure]:
    connector, bodies = KINDS[kind](runs)
    began = time.process_time()
    count, cursor = read(connector)
    spent = time.process_time() - began
    texts = list(bodies())
    began = time.process_time()
    for text in texts:
        json.loads(text)
    bare = time.process_time() - began
    yield Figure(
        f"{kind}_runs_per_cpu_s", count / spent, "runs/s", "json.loads of the same bytes", count / max(bare, 1e-6)
    )
    tally = Tally()
    with counting(tally):
        connector.poll(cursor, (), 600)
    yield Figure(f"{kind}_requests_per_poll", tally.requests, "requests")
    connector.close()


def main() -> None:
    wanted = arguments(__doc__ or "", tuple(KINDS))
    share = QUICK if wanted.quick else 1
    kinds = wanted.only or list(KINDS)
    emit("connectors", (one for kind in kinds for one in measured(kind, RUNS[kind] // share)), wanted.json)


if __name__ == "__main__":
    main()
