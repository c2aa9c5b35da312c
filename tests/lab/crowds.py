"""Worlds with very many ended runs, of those kinds for which they cost too much for `make test-all`."""

from __future__ import annotations

import json
import time
import uuid
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from connectors.cron.connector import CronConnector
from connectors.sdk.contract import Connector
from connectors.systemd.connector import SystemdConnector
from tests.connectors.airflow.many_runs import crowded as airflow
from tests.connectors.dagster.many_runs import crowded as dagster
from tests.connectors.prefect.many_runs import crowded as prefect
from tests.fakes.aws import Body, page
from tests.fakes.batch import SUMMARY, FakeBatch
from tests.fakes.dbt import DbtHost
from tests.fakes.dbt_tool import stamp
from tests.fakes.emr import FakeEmr
from tests.fakes.glue import FakeGlue
from tests.fakes.login import no_secret
from tests.fakes.ssh_local import ME, LocalHost
from tests.fakes.step_functions import FakeStates
from tests.fakes.systemd import SystemdHost
from tests.fakes.systemd_tools import BOOT, IDS

LISTS = 20
"""AWS is read back a certain way in each list only: jobs, queues, state machines."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """`come`: what brings the runs, once a first look has been; None: they are there."""

    connector: Connector
    come: Callable[[], None] | None = None


def of_glue(runs: int, folder: Path) -> Crowd:
    del folder
    fake, now = FakeGlue(), datetime.now(UTC) - timedelta(hours=2)
    for number in range(LISTS):
        job = fake.job(f"job-{number}")
        fake.runs[job] = [fake.made(job, "SUCCEEDED", now - timedelta(minutes=n)) for n in range(runs // LISTS)]
    fake.page_size = 200
    return Crowd(fake.connector())


def of_emr(runs: int, folder: Path) -> Crowd:
    del folder
    fake, now = FakeEmr(), datetime.now(UTC) - timedelta(hours=2)
    fake.clusters = []
    for number in range(LISTS):
        cluster = fake.cluster(f"cluster-{number}")
        times = (now - timedelta(minutes=n) for n in range(runs // LISTS))
        made = FakeEmr()
        made.cluster("one")
        step = made.step(made.clusters[0]["Id"], "load")
        fake.steps[cluster] = [
            {
                **step,
                "Id": f"s-{number}-{n}",
                "Status": {
                    **step["Status"],
                    "Timeline": {
                        "CreationDateTime": at,
                        "StartDateTime": at,
                        "EndDateTime": at + timedelta(seconds=30),
                    },
                },
            }
            for n, at in enumerate(times)
        ]
    return Crowd(fake.connector())


def of_step_functions(runs: int, folder: Path) -> Crowd:
    del folder
    fake, machine = FakeStates(), FakeStates().machines[0]
    ran = next(execution for execution in fake.executions if execution["status"] == "SUCCEEDED")
    fake.machines, fake.executions, fake.page_size = [], [], 1000
    for number in range(LISTS):
        arn = f"{machine['stateMachineArn']}-{number}"
        fake.machines.append({**machine, "stateMachineArn": arn, "name": f"{machine['name']}-{number}"})
        execution = arn.replace(":stateMachine:", ":execution:")
        times = (
            {"startDate": ran["startDate"] - n, "stopDate": ran["startDate"] - n + 0.5} for n in range(runs // LISTS)
        )
        fake.executions += [
            {**ran, **at, "stateMachineArn": arn, "name": f"r{n}", "executionArn": f"{execution}:r{n}"}
            for n, at in enumerate(times)
        ]
    return Crowd(fake.connector())


class CrowdedBatch(FakeBatch):
    """Jobs that are looked for by their queue and id, not one after the other."""

    def __init__(self, runs: int) -> None:
        super().__init__()
        newest = datetime.now(UTC) - timedelta(hours=2)
        self.of_queue: dict[str, list[Body]] = {}
        self.by_id: dict[str, Body] = {}
        self.definition("load")
        for number in range(LISTS):
            self.queues = []
            queue = self.queue(f"queue-{number}")
            made = [self.made("load", "SUCCEEDED", newest - timedelta(minutes=n)) for n in range(runs // LISTS)]
            self.of_queue[queue] = made
            self.by_id |= {row["jobId"]: row for row in made}
        self.queues = []
        for queue in self.of_queue:
            self.queue(queue)

    def _ListJobs(self, body: Body) -> Body:
        rows, since = self.of_queue[body["jobQueue"]], int(body["filters"][0]["values"][0])
        last = bisect_left(rows, -since, key=lambda row: -int(row["createdAt"]))
        details = page(rows[:last], "jobSummaryList", self.page_size, body.get("nextToken"), "nextToken")
        summaries = [{name: item[name] for name in SUMMARY if name in item} for item in details["jobSummaryList"]]
        return {**details, "jobSummaryList": summaries}

    def _DescribeJobs(self, body: Body) -> Body:
        return {"jobs": [self.by_id[job] for job in body["jobs"] if job in self.by_id]}


def of_batch(runs: int, folder: Path) -> Crowd:
    del folder
    return Crowd(CrowdedBatch(runs).connector())


def of_cron(runs: int, folder: Path) -> Crowd:
    """A log at -L 15, two lines a run: a first look reads its end alone, the rest is read as it grows."""
    host = LocalHost(folder / "db07")
    host.crontab.write_text("* * * * * true\n")
    host.crontab.chmod(0o600)
    host.log.write_text("")

    def come() -> None:
        began = time.time() - runs - 60
        with host.log.open("w") as file:
            for number in range(runs):
                at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(began + number))
                line = f"{at}.000000+00:00 db07 CRON[{2 * number + 9}]: ({ME}) %s ([{2 * number + 10}] true)\n"
                file.write(line % "CMD" + line % "END")

    return Crowd(CronConnector(host.options(), "db07", no_secret, host), come)


def of_dbt(runs: int, folder: Path) -> Crowd:
    """A log that is never rotated: a first look reads its end alone, the rest is read as it grows."""
    host = DbtHost(folder / "etl01")
    host.shop.log("begins")

    def come() -> None:
        began = time.time() - 80_000
        with (host.shop.folder / "logs/dbt.log").open("a") as file:
            for number in range(runs):
                file.writelines(f"{line}\n" for line in _invocation(began + number * 79_000 / runs))

    return Crowd(host.connected(), come)


FLAGS = "'send_anonymous_usage_stats': 'False', 'use_experimental_parser': 'False', " * 8
"""dbt writes some forty of them."""


def _invocation(at: float) -> Iterator[str]:
    clock = stamp(at)[11:26]
    yield f"{'=' * 30} {clock} | {uuid.uuid4()} {'=' * 30}"
    yield f"{clock} [debug] [MainThread]: running dbt with arguments {{{FLAGS}'invocation_command': 'dbt build'}}"
    yield f"{clock} [debug] [MainThread]: Command `dbt build` succeeded at {clock} after 0.10 seconds"


FIRST = 10**12
"""The cursor of a journal's beginning; the others have as many digits."""
JOURNALCTL = """\
#!/bin/sh
from=1000000000000
for word in "$@"; do case $word in --after-cursor=*) from=${word#--after-cursor=} ;; esac; done
exec tail -c "+$((from - 999999999999))" "%s"
"""


def of_systemd(runs: int, folder: Path) -> Crowd:
    """A journal whose cursors are places in a file."""
    host = SystemdHost(folder)
    journal, place, began = folder / "crowd.jsonl", 0, time.time() - runs - 60
    with journal.open("w") as file:
        for number in range(runs):
            for what in ("starting", "success", "started"):
                line = _entry(what, began + number, f"{number + 1:032x}", place)
                place += file.write(line)
    (host.shims / "journalctl").write_text(JOURNALCTL % journal)
    options = host.options(sudo=False)
    return Crowd(SystemdConnector(options, "db07", no_secret, host))


def _entry(what: str, at: float, invocation: str, place: int) -> str:
    entry = {
        "__CURSOR": str(FIRST), "__REALTIME_TIMESTAMP": str(int(at * 1_000_000)), "_BOOT_ID": BOOT,
        "MESSAGE_ID": IDS[what], "MESSAGE": f"backup.service: {what}", "UNIT": "backup.service",
        "INVOCATION_ID": invocation,
    }  # fmt: skip
    size = len(json.dumps(entry)) + 1
    return json.dumps({**entry, "__CURSOR": str(FIRST + place + size)}) + "\n"


CROWDS: dict[str, Callable[[int, Path], Crowd]] = {
    "airflow": lambda runs, _: Crowd(airflow(runs)),
    "prefect": lambda runs, _: Crowd(prefect(runs)),
    "dagster": lambda runs, _: Crowd(dagster(runs)),
    "emr": of_emr,
    "glue": of_glue,
    "step_functions": of_step_functions,
    "batch": of_batch,
    "cron": of_cron,
    "dbt": of_dbt,
    "systemd": of_systemd,
}
