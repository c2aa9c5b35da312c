"""A stateful Kubernetes of ours: CronJobs, Jobs, pods, events, lists in pages, watches, merge patches. `tick` plays the
controllers and the kubelet. What it answers is shaped as the real API server of tests/lab answers.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx

from tests.fakes.kubernetes_rows import crowded, fits, merge, stamp

Row = dict[str, Any]
URL = "https://k8s.example.com"
BATCH = "/apis/batch/v1"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager"


class FakeKubernetes:
    """One cluster. `now` is its clock."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 7, 0, tzinfo=UTC)
        self.version = 100
        self.cronjobs: dict[tuple[str, str], Row] = {}
        self.jobs: dict[tuple[str, str], Row] = {}
        self.pods: dict[str, Row] = {}
        self.events: list[Row] = []
        self.changes: list[tuple[int, str, Row]] = []
        self.compacted = 0
        """Changes up to this version are forgotten."""
        self.outcome: dict[str, str] = {}
        """Name of a CronJob or Job -> "Complete" (default), "Failed" or "hang"."""
        self.by_the_clock: set[str] = set()
        self.logs: dict[str, bytes] = {}
        """Pod -> its log, each line behind its time."""
        self.crowd = 0
        self.forbidden = ""
        self.denied: set[tuple[str, str]] = set()
        """Verb and resource that access reviews deny."""
        self.lose_answer_of = ""
        self.renewed: datetime | None = None
        """When the leader among the controller managers renewed its lease; None where none is elected."""
        self.old = False
        """CronJobs are in v1beta1 alone."""
        self.requests: list[tuple[str, str, Row]] = []
        self._made = 0

    # -- its world --------------------------------------------------------------------------------------------------
    def _uid(self) -> str:
        self._made += 1
        return f"00000000-0000-4000-8000-{self._made:012d}"

    def _changed(self, what: str, row: Row) -> None:
        self.version += 1
        row["metadata"]["resourceVersion"] = str(self.version)
        self.changes.append((self.version, what, deepcopy(row)))

    def cronjob(self, name: str, namespace: str = "etl", **spec: Any) -> Row:
        pod = {
            "containers": [{"name": "main", "image": f"acme/{name}:1", "command": ["load"]}],
            "restartPolicy": "Never",
        }
        template = {"metadata": {"labels": {"team": "etl"}}, "spec": {"backoffLimit": 0, "template": {"spec": pod}}}
        row: Row = {
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": self._uid(),
                "creationTimestamp": stamp(self.now),
            },
            "spec": {
                "schedule": "0 3 * * *",
                "concurrencyPolicy": "Forbid",
                "suspend": False,
                "jobTemplate": template,
                **spec,
            },
            "status": {},
        }
        self.cronjobs[namespace, name] = row
        self.version += 1
        row["metadata"]["resourceVersion"] = str(self.version)
        return row

    def job(self, name: str, cronjob: str = "", namespace: str = "etl", at: datetime | None = None, **meta: Any) -> Row:
        """A Job as its controller makes it: of a CronJob for `at` (now), or by itself."""
        spec: Row = {"backoffLimit": 0, "template": {"metadata": {}, "spec": {"containers": []}}}
        head: Row = {"name": name, "namespace": namespace, **meta}
        if cronjob:
            owner = self.cronjobs[namespace, cronjob]
            due = (at or self.now).replace(second=0)
            head["name"] = f"{cronjob}-{int(due.timestamp()) // 60}"
            own = {"apiVersion": "batch/v1", "kind": "CronJob", "name": cronjob, "uid": owner["metadata"]["uid"]}
            head["ownerReferences"] = [{**own, "controller": True}]
            owner["status"]["lastScheduleTime"] = stamp(due)
            spec = deepcopy(owner["spec"]["jobTemplate"]["spec"])
        return self._add(head, spec)

    def _add(self, meta: Row, spec: Row) -> Row:
        meta = {**meta, "uid": self._uid(), "creationTimestamp": stamp(self.now)}
        row = {"metadata": meta, "spec": spec, "status": {}}
        self.jobs[meta["namespace"], meta["name"]] = row
        self._changed("ADDED", row)
        return row

    def delete(self, row: Row) -> None:
        meta = row["metadata"]
        del self.jobs[meta["namespace"], meta["name"]]
        for name in [
            name for name, pod in self.pods.items() if pod["metadata"]["ownerReferences"][0]["uid"] == meta["uid"]
        ]:
            del self.pods[name]
        self._changed("DELETED", row)

    def event(self, cronjob: str, reason: str, message: str, namespace: str = "etl", kind: str = "CronJob") -> None:
        about = {"kind": kind, "namespace": namespace, "name": cronjob, "uid": "-"}
        details = {"reason": reason, "message": message, "lastTimestamp": stamp(self.now), "type": "Warning"}
        self.events.append({"metadata": {"namespace": namespace}, "involvedObject": about, **details})

    def tick(self, seconds: int = 5) -> None:
        """Time goes on; what is open goes on to its end."""
        self.now += timedelta(seconds=seconds)
        for namespace, name in list(self.cronjobs):
            row = self.cronjobs[namespace, name]
            if name in self.by_the_clock and not row["spec"]["suspend"]:
                self.job("", name, namespace)
        for row in list(self.jobs.values()):
            if not row["status"].get("conditions"):
                self._go(row)

    def _go(self, row: Row) -> None:
        meta, status = row["metadata"], row["status"]
        owners = meta.get("ownerReferences") or [{"name": meta["name"]}]
        how = self.outcome.get(owners[0]["name"], "Complete")
        status.setdefault("startTime", stamp(self.now))
        pod = self.pods.setdefault(f"{meta['name']}-x1", self._pod(row))
        if row["spec"].get("activeDeadlineSeconds") == 0:
            self.end(row, "Failed", "DeadlineExceeded")
        elif how == "hang":
            if status.get("active") != 1:
                status["active"] = 1
                self._changed("MODIFIED", row)
            pod["status"]["phase"] = "Running"
        else:
            self.end(row, how, "BackoffLimitExceeded" if how == "Failed" else "")

    def _pod(self, job: Row) -> Row:
        meta = job["metadata"]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"]}
        head = {"name": f"{meta['name']}-x1", "namespace": meta["namespace"], "creationTimestamp": stamp(self.now)}
        labels = {"labels": {"job-name": meta["name"]}, "ownerReferences": [owner]}
        return {
            "metadata": {**head, **labels},
            "spec": {"containers": [{"name": "main"}]},
            "status": {"phase": "Pending"},
        }

    def end(self, row: Row, kind: str, reason: str = "", exit_code: int = 3) -> None:
        meta, status, now = row["metadata"], row["status"], stamp(self.now + timedelta(seconds=1))
        texts = {"reason": reason, "message": f"Job: {reason}"} if reason else {}
        status["conditions"] = [{"type": kind, "status": "True", "lastTransitionTime": now, **texts}]
        status.pop("active", None)
        status |= {"succeeded": 1, "completionTime": now} if kind == "Complete" else {"failed": 1}
        pod = self.pods.setdefault(f"{meta['name']}-x1", self._pod(row))
        code = 0 if kind == "Complete" else exit_code
        over = {"exitCode": code, "reason": "Completed" if code == 0 else "Error"}
        head = {"name": "main", "image": "acme", "imageID": "", "ready": False, "restartCount": 0}
        details = {**head, "state": {"terminated": over}}
        pod["status"] = {"phase": "Succeeded" if code == 0 else "Failed", "containerStatuses": [details]}
        at = f"{stamp(self.now)[:-1]}.000000001Z".encode()
        self.logs.setdefault(pod["metadata"]["name"], b"%b loading\n%b ValueError: bad row 7\n" % (at, at))
        self._changed("MODIFIED", row)

    # -- its endpoint -----------------------------------------------------------------------------------------------
    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        path, parameters = request.url.path, dict(request.url.params)
        body = json.loads(request.content) if request.content else {}
        self.requests.append((request.method, path, body or parameters))
        if request.headers.get("authorization") != "Bearer right":
            return self.refusal(401, "Unauthorized", "Unauthorized")
        if self.forbidden and re.search(self.forbidden, f"{request.method} {path}"):
            return self.refusal(403, "Forbidden", f"{path} is forbidden: User cannot do that")
        answer = self._route(request.method, path, parameters, body)
        if self.lose_answer_of and re.search(self.lose_answer_of, f"{request.method} {path}"):
            self.lose_answer_of = ""
            raise httpx.ReadError("the line broke", request=request)
        return answer

    def reply(self, status: int, body: Any) -> httpx.Response:
        return httpx.Response(status, json=body, headers={"date": format_datetime(self.now, usegmt=True)})

    def refusal(self, status: int, reason: str, message: str) -> httpx.Response:
        return self.reply(status, {"kind": "Status", "code": status, "reason": reason, "message": message})

    def _route(self, method: str, path: str, row: Row, body: Row) -> httpx.Response:
        if path == "/version":
            return self.reply(200, {"gitVersion": "v1.33.0-fake"})
        if path == BATCH:
            names = ["jobs"] if self.old else ["jobs", "cronjobs"]
            return self.reply(200, {"resources": [{"name": name} for name in names]})
        if path.endswith("/selfsubjectaccessreviews"):
            about = body["spec"]["resourceAttributes"]
            return self.reply(201, {"status": {"allowed": (about["verb"], about["resource"]) not in self.denied}})
        if path == LEASE and self.renewed is not None:
            spec = {
                "holderIdentity": "cp1_0b1d",
                "leaseDurationSeconds": 15,
                "renewTime": f"{stamp(self.renewed)[:-1]}.480153Z",
            }
            return self.reply(200, {"metadata": {"name": "kube-controller-manager"}, "spec": spec})
        base = "/apis/batch/v1(?:beta1)?|/api/v1"
        match = re.fullmatch(rf"(?:{base})(?:/namespaces/([^/]+))?/(\w+)(?:/([^/]+))?(/log)?", path)
        if match is None or ("beta1" in path) != (self.old and "cronjobs" in path):
            return self.refusal(404, "NotFound", "the server could not find the requested resource")
        namespace, what, name, log = match.groups()
        if log:
            return self._log(name, row)
        if what in ("pods", "events"):
            return self._listed_all(what, namespace, row)
        stock = self.cronjobs if what == "cronjobs" else self.jobs
        if name:
            return self._one(method, stock, (namespace, name), body)
        if method == "POST":
            return self._create(namespace, body)
        return self._watch(row) if "watch" in row else self._list(stock, namespace, row)

    def _list(self, stock: dict[tuple[str, str], Row], namespace: str | None, row: Row) -> httpx.Response:
        if self.crowd and stock is self.jobs:
            return self.reply(200, crowded(self.cronjobs, self.crowd, row, str(self.version)))
        keys = sorted((key for key in stock if namespace in (None, key[0])), key="/".join)
        after, version = json.loads(row["continue"]) if "continue" in row else ("", str(self.version))
        rest = [key for key in keys if "/".join(key) > after]
        page = rest[: int(row["limit"])]
        more = {"continue": json.dumps(["/".join(page[-1]), version])} if len(rest) > len(page) else {}
        rows = [deepcopy(stock[key]) for key in page]
        return self.reply(200, {"metadata": {"resourceVersion": version, **more}, "items": rows})

    def _watch(self, row: Row) -> httpx.Response:
        since = int(row["resourceVersion"])
        if since < self.compacted:
            return self.refusal(410, "Expired", "too old resource version")
        rows = [{"type": what, "object": row} for version, what, row in self.changes if version > since]
        lines = "".join(json.dumps(row) + "\n" for row in rows)  # no bookmark: so short a watch gets none
        headers = {"date": format_datetime(self.now, usegmt=True), "content-type": "application/json"}
        return httpx.Response(200, content=lines.encode(), headers=headers)

    def _one(self, method: str, stock: dict[tuple[str, str], Row], key: tuple[str, str], body: Row) -> httpx.Response:
        row = stock.get(key)
        if row is None:
            return self.refusal(404, "NotFound", f"{'/'.join(key)} not found")
        if method != "PATCH":
            return self.reply(200, deepcopy(row))
        meta = body.get("metadata", {})
        for name in ("uid", "resourceVersion"):
            if meta.get(name) not in (None, row["metadata"][name]):
                return self.refusal(409, "Conflict", f"the object has another {name}")
        merge(row, {**body, "metadata": {item: value for item, value in meta.items() if item != "resourceVersion"}})
        if stock is self.jobs:
            self._changed("MODIFIED", row)
        else:
            self.version += 1
            row["metadata"]["resourceVersion"] = str(self.version)
        return self.reply(200, deepcopy(row))

    def _create(self, namespace: str, body: Row) -> httpx.Response:
        meta = body["metadata"]
        if (namespace, meta["name"]) in self.jobs:
            return self.refusal(409, "AlreadyExists", f"jobs.batch {meta['name']} already exists")
        if len(meta["name"]) > 63 or "selector" in body["spec"]:
            return self.refusal(422, "Invalid", "Job is invalid")
        return self.reply(201, deepcopy(self._add({**meta, "namespace": namespace}, body["spec"])))

    def _listed_all(self, what: str, namespace: str | None, row: Row) -> httpx.Response:
        rows = list(self.pods.values()) if what == "pods" else self.events
        rows = [row for row in rows if namespace in (None, row["metadata"]["namespace"])]
        if "labelSelector" in row:
            names = re.findall(r"[^,()]+", row["labelSelector"].partition(" in ")[2])
            rows = [row for row in rows if row["metadata"]["labels"]["job-name"] in names]
        for term in row.get("fieldSelector", "").split(","):
            if term:
                rows = [row for row in rows if fits(row, term)]
        first, limit = int(row.get("continue", 0)), int(row.get("limit", len(rows)))
        more = {"continue": str(first + limit)} if len(rows) > first + limit else {}
        items = deepcopy(rows[first : first + limit])
        return self.reply(200, {"metadata": {"resourceVersion": str(self.version), **more}, "items": items})

    def _log(self, pod: str, row: Row) -> httpx.Response:
        if pod not in self.logs:
            return self.refusal(400, "BadRequest", f"pod {pod} does not have a host assigned")
        lines = self.logs[pod].splitlines(keepends=True)
        if "sinceTime" in row:
            lines = [line for line in lines if line[:19].decode() >= row["sinceTime"][:19]]
        if "tailLines" in row:
            lines = lines[-int(row["tailLines"]) :]
        body = b"".join(lines)[: int(row["limitBytes"])]
        return httpx.Response(200, content=body, headers={"content-type": "text/plain"})
