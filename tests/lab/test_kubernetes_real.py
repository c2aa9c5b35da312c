"""The contract on a real kube-apiserver with the real controllers of CronJobs and Jobs (1.20, from Debian's source
package). No kubelet is there: how a pod fares is written by the test, through the pod's status, as a kubelet would."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar

import pytest

from connectors.conformance import ConnectorConformance
from connectors.contract import Connector, RunRecord, State
from connectors.kubernetes.connector import CONNECTOR, KubernetesConnector
from connectors.kubernetes.options import CLUSTER, KubernetesOptions
from tests.connectors.kubernetes.support import cluster as fake_cluster
from tests.connectors.kubernetes.support import opened
from tests.lab.kubernetes import MERGE, TOKEN, KubeCluster
from tests.lab.kubesupport import BAD, CRON, DUE, GOOD, Kubelet, connected


@pytest.mark.usefixtures("world")
class TestKubernetes(ConnectorConformance):
    kind = CONNECTOR
    against = "real: Kubernetes 1.20, its pods' states written by the tests"
    cluster: KubeCluster
    limits: ClassVar[Mapping[str, str]] = {
        "log": "no kubelet runs here; a kubelet of ours answers in a test of its own",
        "unknown_word": "this Kubernetes has no condition that is not in the table; the fake has one",
        "due": "a clock's next minute is up to a minute away; that a held one does not start is tested apart",
    }

    @pytest.fixture
    def world(self, kubernetes: KubeCluster) -> Iterator[None]:
        self.cluster = kubernetes
        with Kubelet(kubernetes, {"good": 0, "bad": 3}):
            yield

    def connector(self) -> Connector:
        return connected(self.cluster)

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
        return connected(self.cluster, token)

    def native_trace(self) -> object:
        rows = self.cluster.call("GET", CRON)["items"]
        return [(row["spec"], row["metadata"].get("annotations") or {}) for row in rows]

    def crowded(self, runs: int) -> Connector:
        fake = fake_cluster()
        fake.crowd = runs
        return opened(fake)  # a real API server would take hours to be given so many
