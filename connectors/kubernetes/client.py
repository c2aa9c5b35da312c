"""The calls of a cluster's API, one method each; a namespace, or the whole cluster. `deadline` is set anew for each
call of the connector."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import httpx

from connectors.contract import NotSupported, Secrets
from connectors.kubernetes.account import WayIn, way_in
from connectors.kubernetes.options import CLUSTER, KubernetesOptions
from connectors.transport.account import Account
from connectors.transport.deadline import Deadline
from connectors.transport.http import AnswerTooLarge, HttpDoor, Reply

PAGE = 250
"""Objects asked for at once: some megabytes where their specs are long."""
SMALL_PAGE = 20
"""Of objects of which each may have a megabyte and a half, the most that etcd takes."""
MOST_PODS = 500
"""Of the Jobs that are asked about at once."""
WATCH_SECONDS = 1
"""The shortest that a server lets a watch last; what changed since comes at its beginning."""
MERGE = {"Content-Type": "application/merge-patch+json"}
GONE = 410
PLAIN = {"Accept": "*/*"}


class KubernetesClient:
    """All calls of one target."""

    def __init__(
        self,
        options: KubernetesOptions,
        target: str,
        secrets: Secrets,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.deadline = Deadline(0.0)
        self.namespace = "" if target == CLUSTER and not options.namespaces else target
        self._options, self._secrets, self._transport = options, secrets, transport
        self._way: tuple[HttpDoor, WayIn] | None = None
        self._cron_base, self._limit = "", PAGE

    def close(self) -> None:
        if self._way is not None:
            self._way[0].close()

    # what is there

    def cronjobs(self, following: str) -> Reply:
        return self._list(f"{self._cron()}{self._below('cronjobs')}", following)

    def cronjob(self, namespace: str, name: str) -> Reply:
        """404 where it is not there."""
        return self.get(f"{self._cron()}/namespaces/{namespace}/cronjobs/{name}", accept={404})

    def jobs(self, following: str) -> Reply:
        """A page of Jobs in the order of their names; 410 where the page that `following` names has expired."""
        return self._list(f"/apis/batch/v1{self._below('jobs')}", following, {GONE} if following else ())

    def job_names(self, following: str) -> Reply:
        """Jobs with their metadata alone."""
        light = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
        return self._list(f"/apis/batch/v1{self._below('jobs')}", following, headers=light)

    def job(self, namespace: str, name: str) -> Reply:
        """404 where it is not there."""
        return self.get(f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}", accept={404})

    def changes(self, version: str) -> Reply:
        """Changes of Jobs after that resourceVersion, an object a line; 410 where it is too old."""
        asked = {
            "watch": "true",
            "resourceVersion": version,
            "timeoutSeconds": WATCH_SECONDS,
            "allowWatchBookmarks": "true",
        }
        return self.get(f"/apis/batch/v1{self._below('jobs')}", asked, {GONE})

    def newest_version(self) -> Reply:
        """A list of one Job at most, for its resourceVersion."""
        return self.get(f"/apis/batch/v1{self._below('jobs')}", {"limit": 1})

    def pods(self, jobs: Collection[str], namespace: str = "") -> Reply:
        """Pods of the Jobs of these names."""
        chosen = {"labelSelector": f"job-name in ({','.join(sorted(jobs))})", "limit": MOST_PODS}
        base = f"/api/v1/namespaces/{namespace}/pods" if namespace else f"/api/v1{self._below('pods')}"
        return self.get(base, chosen, {403})

    def events(self, selector: str, following: str = "") -> Reply:
        """A page of events by field; 403 where the account may read none."""
        more = {"continue": following} if following else {}
        asked = {"fieldSelector": selector, "limit": PAGE, **more}
        return self.get(f"/api/v1{self._below('events')}", asked, {403})

    def log(self, namespace: str, pod: str, asked: Mapping[str, Any]) -> Reply:
        """Part of a container's log as it is; 400 and 404 where there is none (yet)."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        return self.get(path, asked, {400, 404}, PLAIN)

    def may(self, verb: str, group: str, resource: str, subresource: str = "") -> Reply:
        """Asks the API server whether this account may; 403 where it may not even ask."""
        asked = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
        where = {"namespace": self.namespace} if self.namespace else {}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {**asked, **where}},
        }

        def call(headers: dict[str, str]) -> Reply:
            path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
            return self._door().call("POST", path, self.deadline, body=body, headers=headers, accept={401, 403})

        return self._account().asking(call)

    def version(self) -> Reply:
        return self.get("/version")

    # what is done

    def create_job(self, namespace: str, body: Mapping[str, Any]) -> Reply:
        return self._send("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", body)

    def patch_job(self, namespace: str, name: str, body: Mapping[str, Any]) -> Reply:
        return self._send("PATCH", f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}", body, MERGE)

    def patch_cronjob(self, namespace: str, name: str, body: Mapping[str, Any]) -> Reply:
        return self._send("PATCH", f"{self._cron()}/namespaces/{namespace}/cronjobs/{name}", body, MERGE)

    # how

    def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        accept: Collection[int] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        def call(signed: dict[str, str]) -> Reply:
            every = {**signed, **(headers or {})}
            wanted = {*accept, 401}
            return self._door().call("GET", path, self.deadline, params=params, headers=every, accept=wanted)

        return self._account().asking(call)

    def _list(
        self,
        path: str,
        following: str,
        accept: Collection[int] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """A page; where objects are so large that an answer would be too, pages are smaller from then on."""
        more = {"continue": following} if following else {}
        try:
            return self.get(path, {"limit": self._limit, **more}, accept, headers)
        except AnswerTooLarge:
            if self._limit == SMALL_PAGE:
                raise
            self._limit = SMALL_PAGE
            return self.get(path, {"limit": self._limit, **more}, accept, headers)

    def _send(self, method: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
        """Once, never repeated. A 4xx that comes back proves that nothing was done."""
        every = {**self._account().headers(), **(headers or {})}
        return self._door().call(
            method, path, self.deadline, body=dict(body), headers=every, accept={400, 404, 409, 422}, once=True
        )

    def _below(self, what: str) -> str:
        return f"/namespaces/{self.namespace}/{what}" if self.namespace else f"/{what}"

    def _cron(self) -> str:
        """Where CronJobs are: batch/v1 since 1.21, batch/v1beta1 before."""
        if not self._cron_base:
            found = self.get("/apis/batch/v1").table().get("resources")
            names = {one.get("name") for one in found if isinstance(one, dict)} if isinstance(found, list) else set()
            if "jobs" not in names:
                raise NotSupported("Kubernetes: GET /apis/batch/v1 names no jobs: is the url that of a cluster's API?")
            self._cron_base = f"/apis/batch/{'v1' if 'cronjobs' in names else 'v1beta1'}"
        return self._cron_base

    def _account(self) -> Account:
        return self._opened()[1].account

    def _door(self) -> HttpDoor:
        return self._opened()[0]

    def _opened(self) -> tuple[HttpDoor, WayIn]:
        if self._way is None:
            way = way_in(self._options, self._secrets)
            door = HttpDoor("Kubernetes", way.url, self._options.ca_file, self._transport, way.context)
            self._way = door, way
        return self._way
