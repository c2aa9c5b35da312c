"""What the tests on the real Kubernetes share: connectors, polls to their end, Jobs that the real controller makes of
CronJobs at once, and who plays kubelet."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.kubernetes.connector import KubernetesConnector
from connectors.kubernetes.options import CLUSTER_TARGET, KubernetesOptions
from connectors.sdk.contract import Connector
from connectors.sdk.records import HistoryGap, Poll, RunRecord, RunRef, instant_key
from tests.lab.kubernetes import MERGE, TOKEN, KubeCluster
from tests.lab.process import HANGS_SECONDS, wait_until

Connect = Callable[..., KubernetesConnector]
GOOD, BAD = "default/good", "default/bad"
CRON = "/apis/batch/v1beta1/namespaces/default/cronjobs"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
DUE = datetime(2026, 11, 19, 3, 0, tzinfo=UTC)


@functools.cache
def due_hour() -> int:
    """The hour (UTC) of what runs once a day: it falls due while no test runs, whenever that is."""
    return (datetime.now(UTC) - timedelta(hours=2)).hour


def daily() -> str:
    """The schedule of a CronJob that runs once a day."""
    return f"0 {due_hour()} * * *"


def latest_due() -> datetime:
    """When a `daily` CronJob was due last."""
    now = datetime.now(UTC)
    today = now.replace(hour=due_hour(), minute=0, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def long_ago() -> datetime:
    """An earlier instant of it; recent enough for the controller, which stops counting after a hundred."""
    return latest_due() - timedelta(days=10)


def connected(
    cluster: KubeCluster,
    token: str = TOKEN,
    target: str = CLUSTER_TARGET,
    transport: httpx.BaseTransport | None = None,
    **options: Any,
) -> KubernetesConnector:
    """By address and token, unless `options` have another way in."""
    way = {"url": cluster.url, "token": {"env": "UNREAD"}, "ca_file": str(cluster.ca)}
    chosen = KubernetesOptions.model_validate(options if "kubeconfig" in options else {**way, **options})
    return KubernetesConnector(chosen, target, lambda reference: token, transport)


class Kubelet:
    """Ends, while it is open, each pod of these CronJobs' Jobs, through its status: no kubelet is here."""

    def __init__(self, cluster: KubeCluster, outcome: Mapping[str, int]) -> None:
        self._cluster, self._outcome, self._over = cluster, outcome, threading.Event()
        self._thread = threading.Thread(target=self._go, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(HANGS_SECONDS)

    def _go(self) -> None:
        while not self._over.wait(0.2):
            for pod in self._cluster.call("GET", "/api/v1/namespaces/default/pods").get("items", []):
                job = pod["metadata"].get("labels", {}).get("job-name", "")
                code = next((code for name, code in self._outcome.items() if job.startswith(f"{name}-")), None)
                if code is not None and pod["status"].get("phase") in ("Pending", "Running"):
                    self._cluster.fare(pod["metadata"]["name"], code)


def polled(connector: Connector, cursor: str = "", open_runs: Sequence[RunRef] = ()) -> Poll:
    """The last page, with the runs and gaps of all."""
    runs: dict[tuple[str, str], RunRecord] = {}
    gaps: list[HistoryGap] = []
    while True:
        poll = connector.poll(cursor, open_runs, 30)
        runs |= {(run.job, run.attempt_key): run for run in poll.runs}
        gaps += poll.gaps
        if not poll.more:
            return replace(poll, runs=tuple(runs.values()), gaps=tuple(gaps))
        cursor = poll.cursor


def of(poll: Poll, job: str) -> list[RunRecord]:
    return [run for run in poll.runs if run.job == job]


def let_it_be_late(cluster: KubeCluster, name: str) -> None:
    """Its last start was long ago, so that the controller finds its latest start missed and starts it now."""
    status = {"status": {"lastScheduleTime": instant_key(long_ago())}}
    call = cluster.call("PATCH", f"{CRON}/{name}/status", status, MERGE)
    assert "HTTP" not in call, call


def jobs_of(cluster: KubeCluster, name: str) -> list[str]:
    rows = cluster.call("GET", "/apis/batch/v1/namespaces/default/jobs")["items"]
    return [row["metadata"]["name"] for row in rows if row["metadata"]["name"].startswith(f"{name}-")]


def started(cluster: KubeCluster, name: str, **spec: Any) -> str:
    """The Job that the controller itself makes of a new CronJob, for its latest instant."""
    cluster.cronjob(name, schedule=daily(), suspend=True, **spec)
    let_it_be_late(cluster, name)
    cluster.call("PATCH", f"{CRON}/{name}", {"spec": {"suspend": False}}, MERGE)
    wait_until(lambda: jobs_of(cluster, name), f"the Job of {name}", pause=0.1)
    return jobs_of(cluster, name)[0]
