"""A real control plane of Kubernetes 1.20: etcd, kube-apiserver, and the controllers of CronJobs, Jobs and what is
deleted with them. There is no kubelet and no scheduler: a test says itself how a pod fares, through the pod's status
subresource, as a kubelet would (`play`).
"""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.lab.kubebuild import FOLDER
from tests.lab.needs import command
from tests.lab.process import HANGS_SECONDS, Daemon, clean_environment, free_port, wait_until

Row = dict[str, Any]
TOKEN = "labtoken"
CONTROLLERS = "cronjob,job,garbagecollector,namespace,serviceaccount,ttl-after-finished"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
MERGE = "application/merge-patch+json"
KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: lab, cluster: {{server: "{url}", certificate-authority: {ca}}}}}]
users: [{{name: admin, user: {{token: {token}}}}}]
contexts: [{{name: lab, context: {{cluster: lab, user: admin}}}}]
current-context: lab
"""


class KubeCluster:
    """One control plane in `folder`; `start()` takes about eight seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.ca = folder / "certs/apiserver.crt"
        self.kubeconfig = folder / "kubeconfig"
        self._daemons: list[Daemon] = []

    # -- life -------------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Returns when Jobs get their pods."""
        self.folder.mkdir(parents=True, exist_ok=True)
        etcd = self._start_etcd()
        self._start_api(etcd)
        self.kubeconfig.write_text(KUBECONFIG.format(url=self.url, ca=self.ca, token=TOKEN))
        self._start_controllers()
        if "HTTP" in self.call("GET", "/api/v1/namespaces/default"):
            self.call("POST", "/api/v1/namespaces", {"metadata": {"name": "default"}})

    def stop(self) -> None:
        for daemon in reversed(self._daemons):
            daemon.stop()

    def _start_etcd(self) -> str:
        port, peers = free_port(), free_port()
        url = f"http://127.0.0.1:{port}"
        argv = [
            command("etcd"), "--data-dir", str(self.folder / "etcd"), "--listen-client-urls", url,
            "--advertise-client-urls", url, "--listen-peer-urls", f"http://127.0.0.1:{peers}", "--unsafe-no-fsync",
        ]  # fmt: skip
        self._run(argv, "etcd")
        self.etcd = url
        return url

    def _start_api(self, etcd: str) -> None:
        # Without a cache of Jobs' changes it forgets what etcd forgets, at once.
        key, tokens = self.folder / "sa.key", self.folder / "tokens.csv"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        tokens.write_text(f'{TOKEN},lab,1,"system:masters"\n')
        argv = [
            str(FOLDER / "kube-apiserver"), f"--etcd-servers={etcd}", "--bind-address=127.0.0.1",
            f"--secure-port={self.port}", f"--cert-dir={self.folder / 'certs'}", f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://lab", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}", "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none", "--watch-cache-sizes=jobs.batch#0",
            "--feature-gates=TTLAfterFinished=true",
        ]  # fmt: skip
        api = self._run(argv, "kube-apiserver")
        api.wait_ready(self._is_ready, "the API server")

    def _start_controllers(self) -> None:
        files = [f"--{name}kubeconfig={self.kubeconfig}" for name in ("", "authentication-", "authorization-")]
        argv = [
            str(FOLDER / "kube-controller-manager"), *files, f"--controllers={CONTROLLERS}", "--leader-elect=false",
            f"--service-account-private-key-file={self.folder / 'sa.key'}", "--bind-address=127.0.0.1", "--port=0",
            "--secure-port=0", "--feature-gates=CronJobControllerV2=true,TTLAfterFinished=true",
        ]  # fmt: skip
        self._run(argv, "kube-controller-manager")

    def _run(self, argv: list[str], name: str) -> Daemon:
        daemon = Daemon(argv, self.folder / f"{name}.log", clean_environment())
        daemon.start()
        self._daemons.append(daemon)
        return daemon

    def _is_ready(self) -> bool:
        try:
            return self.call("GET", "/readyz") == {"text": "ok"}
        except OSError:
            return False

    # -- its API ----------------------------------------------------------------------------------------------------
    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json", token: str = TOKEN) -> Row:
        """The answer; a refusal has its status under "HTTP"."""
        request = urllib.request.Request(
            self.url + path, method=method, data=json.dumps(body).encode() if body else None
        )
        request.add_header("authorization", f"Bearer {token}")
        request.add_header("content-type", kind)
        context = ssl.create_default_context(cafile=str(self.ca)) if self.ca.exists() else None
        try:
            with urllib.request.urlopen(request, context=context, timeout=HANGS_SECONDS) as reply:
                return _read(reply.read())
        except urllib.error.HTTPError as error:
            return {"HTTP": error.code, **_read(error.read())}

    def cronjob(self, name: str, namespace: str = "default", **spec: Any) -> Row:
        """A new CronJob; by default one whose clock does not come."""
        template = {"metadata": {"labels": {"team": "etl"}}, "spec": job_spec()}
        body = {
            "apiVersion": "batch/v1beta1", "kind": "CronJob", "metadata": {"name": name},
            "spec": {"schedule": "0 3 29 2 *", "concurrencyPolicy": "Forbid", "jobTemplate": template, **spec},
        }  # fmt: skip
        return self.call("POST", f"/apis/batch/v1beta1/namespaces/{namespace}/cronjobs", body)

    def job(self, name: str, cronjob: Row | None = None, at: datetime | None = None, **spec: Any) -> Row:
        """A new Job; of a CronJob as its controller would make it for the instant `at`."""
        meta: Row = {"name": name}
        if cronjob is not None:
            owner = {"apiVersion": "batch/v1", "kind": "CronJob", "controller": True}
            meta["ownerReferences"] = [
                {**owner, "name": cronjob["metadata"]["name"], "uid": cronjob["metadata"]["uid"]}
            ]
        if at is not None:
            meta["name"] = f"{name}-{int(at.timestamp()) // 60}"
        body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": job_spec(**spec)}
        return self.call("POST", "/apis/batch/v1/namespaces/default/jobs", body)

    def pods(self, job: str) -> list[Row]:
        call = self.call("GET", f"/api/v1/namespaces/default/pods?labelSelector=job-name%3D{job}")
        return list(call["items"])

    def alive(self, job: str) -> list[Row]:
        return [pod for pod in self.pods(job) if pod["status"].get("phase") in ("Pending", "Running")]

    def play(self, job: str, exit_code: int | None = 0, count: int = 1) -> list[str]:
        """Plays kubelet for the Job's pods: they run (None), or end with `exit_code`. Their names."""
        wait_until(lambda: len(self.alive(job)) >= count, f"{count} pods of {job}")
        played = self.alive(job)[:count]
        for pod in played:
            self.fare(pod["metadata"]["name"], exit_code)
        return [pod["metadata"]["name"] for pod in played]

    def fare(self, pod: str, exit_code: int | None) -> None:
        """Writes a pod's status as a kubelet would."""
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        ran = {"running": {"startedAt": now}}
        reason = "Completed" if exit_code == 0 else "Error"
        over = {"terminated": {"exitCode": exit_code, "reason": reason, "startedAt": now, "finishedAt": now}}
        phase = "Running" if exit_code is None else "Succeeded" if exit_code == 0 else "Failed"
        container = {"name": "c", "image": "busybox", "imageID": "", "ready": exit_code is None, "restartCount": 0}
        status = {"phase": phase, "containerStatuses": [{**container, "state": ran if exit_code is None else over}]}
        self.call("PATCH", f"/api/v1/namespaces/default/pods/{pod}/status", {"status": status}, MERGE)

    def node(self, name: str, kubelet_port: int) -> None:
        """A node whose kubelet is at that port."""
        self.call("POST", "/api/v1/nodes", {"metadata": {"name": name}})
        here = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}
        endpoint = {"daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet_port}}}
        self.call("PATCH", f"/api/v1/nodes/{name}/status", {"status": {**here, **endpoint}}, MERGE)

    def put_on(self, node: str, pod: str) -> None:
        """Binds a pod to a node, as a scheduler would."""
        body = {"metadata": {"name": pod}, "target": {"apiVersion": "v1", "kind": "Node", "name": node}}
        self.call("POST", f"/api/v1/namespaces/default/pods/{pod}/binding", body)

    def has_end_event(self, job: str) -> bool:
        """Whether the controller reported the end of that Job by an event."""
        rows = self.call("GET", "/api/v1/namespaces/default/events")["items"]
        return any(row["reason"] == "SawCompletedJob" and f" {job}," in row["message"] for row in rows)

    def forget_changes(self) -> None:
        """Compacts etcd: what happened before cannot be requested any more, as after five minutes."""
        results = self._etcd("kv/range", {"key": "AA=="})
        self._etcd("kv/compaction", {"revision": results["header"]["revision"]})

    def _etcd(self, path: str, body: Row) -> Row:
        with urllib.request.urlopen(
            f"{self.etcd}/v3/{path}", data=json.dumps(body).encode(), timeout=HANGS_SECONDS
        ) as reply:
            return _read(reply.read())

    def status(self, job: str) -> Row:
        return dict(self.call("GET", f"/apis/batch/v1/namespaces/default/jobs/{job}").get("status", {}))

    def end(self, job: str, exit_code: int = 0) -> None:
        """Plays kubelet, and waits until the controller has written the Job's end."""
        self.play(job, exit_code)
        wait_until(lambda: self.is_over(job), f"the end of {job}")

    def account(self, name: str, rules: list[tuple[str, str, list[str]]]) -> str:
        """The token of a new service account that has these rights in the whole cluster: group, resource, verbs."""
        self.call("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": name}})
        rows = [{"apiGroups": [group], "resources": [what], "verbs": verbs} for group, what, verbs in rules]
        self.call("POST", f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": rows})
        self.bind(name, "default", name)
        return self.token(name, "default")

    def bind(self, account: str, namespace: str, role: str) -> None:
        """Gives the account that ClusterRole everywhere."""
        who = [{"kind": "ServiceAccount", "name": account, "namespace": namespace}]
        about = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
        body = {"metadata": {"name": f"{account}-{role}"}, "roleRef": about, "subjects": who}
        self.call("POST", f"{RBAC}/clusterrolebindings", body)

    def token(self, account: str, namespace: str) -> str:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return str(self.call("POST", path, {"spec": {"audiences": []}})["status"]["token"])

    def is_over(self, job: str) -> bool:
        call = self.call("GET", f"/apis/batch/v1/namespaces/default/jobs/{job}")
        held = [
            condition["type"]
            for condition in call.get("status", {}).get("conditions", [])
            if condition["status"] == "True"
        ]
        return "Complete" in held or "Failed" in held


def job_spec(**spec: Any) -> Row:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox:1", "command": ["load"]}]}
    return {"backoffLimit": 0, "template": {"spec": pod}, **spec}


def _read(body: bytes) -> Row:
    try:
        document = json.loads(body)
    except ValueError:
        return {"text": body.decode("utf-8", "replace")}
    return document if isinstance(document, dict) else {"value": document}
