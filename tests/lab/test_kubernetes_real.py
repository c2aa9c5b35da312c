"""The contract on a real kube-apiserver with the real controllers of CronJobs and Jobs (1.20, from Debian's source
package). No kubelet is there: how a pod fares is written by the test, through the pod's status, as a kubelet would."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar

import httpx
import pytest

from connectors.kubernetes.connector import CONNECTOR, KubernetesConnector
from connectors.kubernetes.options import CLUSTER_TARGET, KubernetesOptions
from connectors.sdk.conformance import Cancels, Deadlines, Faults, Holds, Logs, Reads, Reruns, Starts
from connectors.sdk.conformance.faults import JOB_DELETED, FaultyTransport
from connectors.sdk.contract import Connector
from connectors.sdk.records import RunRecord
from connectors.sdk.states import RunState
from tests.connectors.kubernetes.support import cluster as fake_cluster
from tests.connectors.kubernetes.support import more, opened
from tests.lab.kubelet import FakeKubelet
from tests.lab.kubernetes import MERGE, TOKEN, KubeCluster
from tests.lab.kubesupport import (
    BAD,
    CRON,
    DUE,
    GOOD,
    Kubelet,
    connected,
    daily,
    jobs_of,
    let_it_be_late,
    long_ago,
    started,
)
from tests.lab.process import HANGS_SECONDS, wait_until


@pytest.mark.usefixtures("world")
class TestKubernetes(Reads, Logs, Deadlines, Reruns, Starts, Cancels, Holds, Faults):
    kind = CONNECTOR
    against = "real: Kubernetes 1.20, its pods' states and logs played by the tests"
    cluster: KubeCluster
    limits: ClassVar[Mapping[str, str]] = {
        "unknown_word": "this Kubernetes has no condition that is not in the table; the fake has one",
    }
    kubelet: FakeKubelet
    wire: httpx.Client

    @pytest.fixture(scope="class")
    def node(self, kubernetes: KubeCluster) -> Iterator[FakeKubelet]:
        """The reported node of the failed pod: its log comes from a kubelet of ours."""
        with FakeKubelet() as kubelet:
            kubernetes.node("conformance", kubelet.port)
            (pod,) = kubernetes.pods(f"bad-{int(DUE.timestamp()) // 60}")
            kubernetes.put_on("conformance", pod["metadata"]["name"])
            yield kubelet

    @pytest.fixture
    def world(self, kubernetes: KubeCluster, node: FakeKubelet) -> Iterator[None]:
        self.cluster, self.kubelet = kubernetes, node
        node.lines = [f"2026-11-19T03:00:{number:02d}.5Z row {number} of the night" for number in range(40)]
        context = ssl.create_default_context(cafile=str(kubernetes.ca))
        self.wire = httpx.Client(verify=context, timeout=HANGS_SECONDS)
        with Kubelet(kubernetes, {"good": 0, "bad": 3, "clock": 0}), self.wire:
            yield

    def connector(self) -> Connector:
        return connected(self.cluster)

    def connector_at(self, host: str, port: int) -> Connector:
        options = KubernetesOptions.model_validate({"url": f"http://{host}:{port}", "token": {"env": "UNREAD"}})
        return KubernetesConnector(options, CLUSTER_TARGET, lambda reference: TOKEN)

    def make_success(self) -> str:
        return GOOD

    def make_failure(self) -> str:
        return BAD

    def a_running_run(self) -> RunRecord:
        number = len(self.cluster.call("GET", "/apis/batch/v1/namespaces/default/jobs")["items"])
        row = self.cluster.cronjob(f"long{number}")
        job = self.cluster.job(f"long{number}", row, DUE)
        self.cluster.play(job["metadata"]["name"], None)
        seen: list[RunRecord] = []

        def runs() -> bool:
            with self.opened() as connector:
                seen[:] = self.runs_of(connector, f"default/long{number}").values()
            return [RunState.RUNNING] == [run.state for run in seen]

        wait_until(runs, "its only run to run")
        return seen[0]

    def a_holdable_job(self) -> str:
        row = self.cluster.cronjob("clock", schedule=daily())
        if "HTTP" not in row:  # else it is there
            self.cluster.end(self.cluster.job("clock", row, long_ago())["metadata"]["name"])
        return "default/clock"

    def let_it_fall_due(self, job_id: str) -> None:
        """Its latest start was missed: the controller starts it at once, unless it is suspended."""
        name = job_id.partition("/")[2]
        let_it_be_late(self.cluster, name)
        if self.cluster.call("GET", f"{CRON}/{name}")["spec"]["suspend"]:
            number = len(self.cluster.call("GET", CRON)["items"])
            started(self.cluster, f"canary{number}")  # it has worked since, and would have started it
        else:
            wait_until(lambda: jobs_of(self.cluster, name), f"the start of {name}")

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

    def latest(self, job_id: str) -> RunRecord:
        """Of the failed one the first, whose pod is on our node: that of a rerun is on none."""
        with self.opened() as connector:
            runs = [run for run in self.runs_of(connector, job_id).values() if run.state.is_red]
        return next(run for run in runs if run.period_at == DUE and not run.action_key) if job_id == BAD else runs[-1]

    def answering(self, how: str) -> Connector:
        if how == JOB_DELETED:
            row = self.cluster.cronjob("goner")
            self.cluster.end(self.cluster.job("goner", row, DUE)["metadata"]["name"])
            self.cluster.call("DELETE", f"{CRON}/goner", {"propagationPolicy": "Background"})
            return self.connector()
        return connected(self.cluster, transport=FaultyTransport(self.wire.send, how, r"/jobs$", "note", endless=more))

    def long_log(self, size: int) -> tuple[Connector, RunRecord]:
        run = self.latest(BAD)
        self.kubelet.lines = ["2026-11-19T03:00:00.5Z " + "x" * 99] * (size // 100)
        return self.connector(), run

    def crowded(self, runs: int) -> Connector:
        fake = fake_cluster()
        fake.crowd = runs
        return opened(fake)  # a real API server would take hours to be given so many
