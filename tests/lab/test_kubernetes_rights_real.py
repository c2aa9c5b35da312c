"""Rights by the real RBAC of Kubernetes, ways in, and logs through a real API server from a kubelet of ours."""

from __future__ import annotations

import pytest
import yaml

from connectors.sdk.conformance.actions import hold_ask
from connectors.sdk.conformance.world import new_key, ref
from connectors.sdk.contract import ActionSpec
from connectors.sdk.errors import AccessRefused, NotSupported, SystemUnreachable
from connectors.sdk.states import RunState, Verb
from console.cli.connectors import grants_text
from tests.lab.kubelet import FakeKubelet
from tests.lab.kubernetes import KubeCluster
from tests.lab.kubesupport import BAD, DUE, GOOD, Connect, of, polled
from tests.lab.process import free_port, wait_until


def applied(kubernetes: KubeCluster) -> str:
    """What `headway connector grants kubernetes` prints, applied; the token of the account, which may watch and act."""
    for row in yaml.safe_load_all(grants_text("kubernetes")):
        kind, group = row["kind"], row["apiVersion"]
        base = f"/apis/{group}" if "/" in group else "/api/v1"
        where = f"/namespaces/{row['metadata']['namespace']}" if "namespace" in row["metadata"] else ""
        call = kubernetes.call("POST", f"{base}{where}/{kind.lower()}s", row)
        assert call.get("HTTP") in (None, 409), call
    return kubernetes.token("headway", "headway")


def test_with_the_right_to_view_an_act_is_refused_by_the_source_and_the_probe_names_it(
    kubernetes: KubeCluster, connect: Connect
) -> None:
    token = applied(kubernetes)
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    whole = connect(token).probe(30)
    assert all(right.held for right in whole.rights), whole.rights
    kubernetes.call("DELETE", f"{bindings}/headway-act")
    wait_until(lambda: not all(right.held for right in connect(token).probe(30).rights), "the lost right")
    viewer = connect(token)
    lost = {right.name for right in viewer.probe(30).rights if not right.held}
    assert lost == {"create jobs (rerun, start)", "patch jobs (cancel)", "patch cronjobs (hold)"}
    (run,) = [run for run in of(polled(viewer), BAD) if run.period_at == DUE and not run.action_key]
    for ask in (ActionSpec(Verb.RERUN, ref(run), run.state), hold_ask(BAD)):
        preview = viewer.preview(ask, 30)
        assert preview.refused is None
        with pytest.raises(AccessRefused, match=r"cannot (create|patch) resource"):
            viewer.act(preview, new_key(), 30)
    assert viewer.holds(30) == ()


def test_without_pods_and_events_the_rest_is_read_and_the_gap_is_reported(
    kubernetes: KubeCluster, connect: Connect
) -> None:
    rules = [("batch", "jobs", ["get", "list", "watch"]), ("batch", "cronjobs", ["get", "list"])]
    connector = connect(kubernetes.account("narrow", rules))
    poll = polled(connector)
    (run,) = [run for run in of(poll, BAD) if run.period_at == DUE and not run.action_key]
    assert (run.state, run.exit_code) == (RunState.FAILED, None)
    assert {"pods", "events"} == {warning.split()[0] for warning in poll.warnings}
    with pytest.raises(AccessRefused, match="list pods"):
        connector.log(ref(run), None, 1000, 30)


# -- logs: the API server is real, the kubelet behind it is ours --
def test_log_of_a_pod_that_no_node_took_says_so(kubernetes: KubeCluster, connect: Connect) -> None:
    job = kubernetes.job("homeless", kubernetes.cronjob("homeless"), DUE)["metadata"]["name"]
    kubernetes.end(job, 3)
    connector = connect()
    (run,) = of(polled(connector), "default/homeless")
    with pytest.raises(NotSupported, match="never put on a node"):
        connector.log(ref(run), None, 1000, 30)


def test_log_on_a_node_that_does_not_answer_is_for_later(kubernetes: KubeCluster, connect: Connect) -> None:
    kubernetes.node("dead", free_port())
    job = kubernetes.job("stranded", kubernetes.cronjob("stranded"), DUE)["metadata"]["name"]
    wait_until(lambda: kubernetes.alive(job), "its pod")
    kubernetes.put_on("dead", kubernetes.alive(job)[0]["metadata"]["name"])
    kubernetes.end(job, 3)
    connector = connect()
    (run,) = of(polled(connector), "default/stranded")
    with pytest.raises(SystemUnreachable, match="connection refused"):
        connector.log(ref(run), None, 1000, 30)


def test_log_comes_in_pieces_and_goes_on_through_a_kubelet_of_ours(kubernetes: KubeCluster, connect: Connect) -> None:
    with FakeKubelet() as kubelet:
        kubernetes.node("node1", kubelet.port)
        job = kubernetes.job("wordy", kubernetes.cronjob("wordy"), DUE)["metadata"]["name"]
        wait_until(lambda: kubernetes.alive(job), "its pod")
        (pod,) = kubernetes.alive(job)
        kubernetes.put_on("node1", pod["metadata"]["name"])
        kubernetes.play(job, None)
        kubelet.lines = [f"2026-11-20T07:00:{number // 40:02d}.{number:09d}Z row {number}" for number in range(400)]
        connector = connect()
        (run,) = of(polled(connector), "default/wordy")
        tail = connector.log(ref(run), None, 400, 30)
        assert tail.text.endswith("row 398\nrow 399\n")
        assert (tail.cut, tail.more, len(tail.text) <= 400) == (True, False, True)
        kubelet.lines += [f"2026-11-20T07:01:00.{number:09d}Z new {number}" for number in range(100)]
        kubernetes.end(job, 3)
        read, start = "", tail.next
        while start is not None:
            chunk = connector.log(ref(run), start, 100, 30)
            read, start = read + chunk.text, chunk.next
        assert read == "".join(f"new {number}\n" for number in range(100))


def test_one_namespace_is_read_with_a_right_there_alone(kubernetes: KubeCluster, connect: Connect) -> None:
    kubernetes.call("POST", "/api/v1/namespaces", {"metadata": {"name": "reports"}})
    kubernetes.cronjob("weekly", namespace="reports")
    connector = connect(target="reports", namespaces=["reports", "other"])
    assert [job.native_id for job in connector.inventory("", 30).jobs] == ["reports/weekly"]
    assert polled(connector).runs == ()


def test_kubeconfig_is_read_as_kubectl_reads_it(kubernetes: KubeCluster, connect: Connect) -> None:
    connector = connect(kubeconfig=kubernetes.kubeconfig, context="lab")
    assert connector.probe(30).reachable
    assert GOOD in {job.native_id for job in connector.inventory("", 30).jobs}
