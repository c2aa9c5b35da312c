"""A real kube-apiserver with the real controllers of CronJobs and Jobs (1.20, from Debian's source package). No kubelet
is there: how a pod fares is written by the test, through the pod's status, as a kubelet would write it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from connectors.conformance import ConnectorConformance
from connectors.contract import Connector, RunRecord, State
from connectors.kubernetes.connector import CONNECTOR, KubernetesConnector
from connectors.kubernetes.options import CLUSTER, KubernetesOptions
from tests.lab import kubebuild
from tests.lab.kubernetes import MERGE, TOKEN, KubeCluster
from tests.lab.process import private_folder, remove_folder

GOOD, BAD = "default/good", "default/bad"
CRON = "/apis/batch/v1beta1/namespaces/default/cronjobs"
DUE = datetime(2026, 11, 19, 3, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def cluster() -> Iterator[KubeCluster]:
    lacks = kubebuild.missing()
    if lacks is not None:
        pytest.skip(lacks)
    folder = private_folder("kubernetes")
    made = KubeCluster(folder / "cluster")
    try:
        made.start()
        for name, code in (("good", 0), ("bad", 3)):
            row = made.cronjob(name, failedJobsHistoryLimit=50, successfulJobsHistoryLimit=50)
            made.end(made.job(name, row, DUE)["metadata"]["name"], code)
        yield made
    finally:
        made.stop()
        remove_folder(folder)


def connect(cluster: KubeCluster, token: str = TOKEN, target: str = CLUSTER, **options: Any) -> KubernetesConnector:
    way = {"url": cluster.url, "token": {"env": "UNREAD"}, "ca_file": str(cluster.ca)}
    chosen = KubernetesOptions.model_validate({**way, **options})
    return KubernetesConnector(chosen, target, lambda reference: token)


class Kubelet:
    """Ends, while it is open, each pod of these CronJobs' Jobs, through its status: no kubelet is here."""

    def __init__(self, cluster: KubeCluster, outcome: Mapping[str, int]) -> None:
        self._cluster, self._outcome, self._over = cluster, outcome, threading.Event()
        self._thread = threading.Thread(target=self._go, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def _go(self) -> None:
        while not self._over.wait(0.2):
            for pod in self._cluster.call("GET", "/api/v1/namespaces/default/pods").get("items", []):
                job = pod["metadata"].get("labels", {}).get("job-name", "")
                code = next((code for name, code in self._outcome.items() if job.startswith(f"{name}-")), None)
                if code is not None and pod["status"].get("phase") in ("Pending", "Running"):
                    self._cluster.fare(pod["metadata"]["name"], code)


@pytest.mark.usefixtures("world")
class TestKubernetes(ConnectorConformance):
    kind = CONNECTOR
    against = "real: Kubernetes 1.20, its pods' states written by the tests"
    cluster: KubeCluster
    limits: ClassVar[Mapping[str, str]] = {
        "log": "no kubelet runs here; a kubelet of ours answers in a test below",
        "unknown_word": "this Kubernetes has no condition that is not in the table; the fake has one",
        "due": "a clock's next minute is up to a minute away; that a held one does not start is tested below",
    }

    @pytest.fixture
    def world(self, request: pytest.FixtureRequest, cluster: KubeCluster) -> Iterator[None]:
        self.cluster = cluster
        with Kubelet(cluster, {"good": 0, "bad": 3}):
            yield

    def connector(self) -> Connector:
        return connect(self.cluster)

    def connector_at(self, host: str, port: int) -> Connector:
        options = KubernetesOptions.model_validate({"url": f"http://{host}:{port}", "token": {"env": "UNREAD"}})
        return KubernetesConnector(options, CLUSTER, lambda reference: TOKEN)

    def make_success(self) -> str:
        return GOOD

    def make_failure(self) -> str:
        return BAD

    def a_running_run(self) -> RunRecord:
        number = len(self.cluster.call("GET", "/apis/batch/v1/namespaces/default/jobs")["items"])
        row = self.cluster.cronjob(f"long{number}")
        job = self.cluster.job(f"long{number}", row, DUE)
        self.cluster.play(job["metadata"]["name"], None)
        with self.opened() as connector:
            found = self.runs_of(connector, f"default/long{number}")
        (run,) = found.values()
        assert run.state is State.RUNNING
        return run

    def pause_by_hand(self, job_id: str) -> None:
        self._suspend(job_id, True)

    def resume_by_hand(self, job_id: str) -> None:
        self._suspend(job_id, False)

    def _suspend(self, job_id: str, is_paused: bool) -> None:
        name = job_id.partition("/")[2]
        self.cluster.call("PATCH", f"{CRON}/{name}", {"spec": {"suspend": is_paused}}, MERGE)

    def with_a_run_behind(self) -> tuple[Connector, Callable[[], str]]:
        def put() -> str:
            row = self.cluster.cronjob("a-first")
            job = self.cluster.job("a-first", row, DUE)
            self.cluster.end(job["metadata"]["name"], 3)
            return str(job["metadata"]["uid"])

        return self.connector(), put

    def with_a_right_revoked(self) -> Connector:
        token = self.cluster.account("watcher", [("batch", "jobs", ["list", "watch", "get"])])
        return connect(self.cluster, token)

    def native_trace(self) -> object:
        rows = self.cluster.call("GET", CRON)["items"]
        return [(row["spec"], row["metadata"].get("annotations") or {}) for row in rows]
