"""Client of a cluster's API: one method per call, for one namespace or the whole cluster; and sign-in.

The `kubernetes` package reads the kubeconfig or the pod's own files as kubectl does, signs in, renews tokens and runs
the commands that a kubeconfig names. Requests use the HTTP transport of all REST connectors: the package's own client
has no deadline for a whole answer and no limit of its size.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.kubernetes.options import CLUSTER_TARGET, KubernetesOptions
from connectors.sdk import fields
from connectors.sdk.contract import SecretResolver
from connectors.sdk.errors import AccessRefused, NotSupported
from connectors.sdk.file_trust import write_access_fault
from connectors.sdk.secrets import token_masker
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import (
    HttpAccount,
    HttpAnswerTooLarge,
    HttpEndpoint,
    HttpReply,
    SignedClient,
    Transport,
)

PAGE_LIMIT = 250
"""Objects per page: some megabytes if their specs are long."""
SMALL_PAGE_LIMIT = 20
"""Where objects are large: etcd accepts 1.5 MiB for each."""
MAX_PODS = 500
"""Jobs per request."""
WATCH_SECONDS = 1
"""Shortest watch that a server allows; past changes arrive at its start."""
MERGE_PATCH_HEADERS = {"Content-Type": "application/merge-patch+json"}
GONE_STATUS = 410
PLAIN_HEADERS = {"Accept": "*/*"}


class KubernetesClient:
    def __init__(
        self, options: KubernetesOptions, target: str, secrets: SecretResolver, transport: Transport = None
    ) -> None:
        self.deadline = Deadline(0.0)
        self.namespace = "" if target == CLUSTER_TARGET and not options.namespaces else target
        self._options, self._secrets, self._transport = options, secrets, transport
        self._signed: SignedClient | None = None
        self._cron_base, self._limit = "", PAGE_LIMIT

    def close(self) -> None:
        if self._signed is not None:
            self._signed.close()

    # objects

    def cronjobs(self, following: str) -> HttpReply:
        return self._list(f"{self._cron()}{self._below('cronjobs')}", following)

    def cronjob(self, namespace: str, name: str) -> HttpReply:
        """404 if it does not exist."""
        return self.get(f"{self._cron()}/namespaces/{namespace}/cronjobs/{name}", accept={404})

    def jobs(self, following: str) -> HttpReply:
        """A page of Jobs in the order of their names; 410 where the page that `following` names has expired."""
        return self._list(f"/apis/batch/v1{self._below('jobs')}", following, {GONE_STATUS} if following else ())

    def job_names(self, following: str) -> HttpReply:
        light = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
        return self._list(f"/apis/batch/v1{self._below('jobs')}", following, headers=light)

    def controller_lease(self) -> HttpReply:
        """The lease that the leader among the controller managers renews; 403 if the account may not read it, 404 where
        none is elected."""
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager"
        return self.get(path, accept={403, 404})

    def job(self, namespace: str, name: str) -> HttpReply:
        """404 if it does not exist."""
        return self.get(f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}", accept={404})

    def changes(self, version: str) -> HttpReply:
        """Changes of Jobs after that resourceVersion, an object a line; 410 where it is too old."""
        parameters = {"watch": "true", "resourceVersion": version, "timeoutSeconds": WATCH_SECONDS}
        parameters |= {"allowWatchBookmarks": "true"}
        return self.get(f"/apis/batch/v1{self._below('jobs')}", parameters, {GONE_STATUS})

    def newest_version(self) -> HttpReply:
        return self.get(f"/apis/batch/v1{self._below('jobs')}", {"limit": 1})

    def pods(self, jobs: Collection[str], namespace: str = "") -> HttpReply:
        chosen = {"labelSelector": f"job-name in ({','.join(sorted(jobs))})", "limit": MAX_PODS}
        base = f"/api/v1/namespaces/{namespace}/pods" if namespace else f"/api/v1{self._below('pods')}"
        return self.get(base, chosen, {403})

    def events(self, selector: str, following: str = "") -> HttpReply:
        """A page of events by field; 403 where the account may read none."""
        continuation = {"continue": following} if following else {}
        parameters = {"fieldSelector": selector, "limit": PAGE_LIMIT, **continuation}
        return self.get(f"/api/v1{self._below('events')}", parameters, {403})

    def log(self, namespace: str, pod: str, parameters: Mapping[str, Any]) -> HttpReply:
        """Part of a container's raw log; 400 and 404 without one (yet)."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        return self.get(path, parameters, {400, 404}, PLAIN_HEADERS)

    def may(self, verb: str, group: str, resource: str, subresource: str = "") -> HttpReply:
        """Asks the API server whether this account has a permission; 403 if it may not even ask."""
        attributes = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
        where = {"namespace": self.namespace} if self.namespace else {}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {**attributes, **where}},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        return self._session().read("POST", path, accept={403}, body=body)

    def version(self) -> HttpReply:
        return self.get("/version")

    # writes

    def create_job(self, namespace: str, body: Mapping[str, Any]) -> HttpReply:
        return self._send("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", body)

    def patch_job(self, namespace: str, name: str, body: Mapping[str, Any]) -> HttpReply:
        return self._send("PATCH", f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}", body, MERGE_PATCH_HEADERS)

    def patch_cronjob(self, namespace: str, name: str, body: Mapping[str, Any]) -> HttpReply:
        return self._send("PATCH", f"{self._cron()}/namespaces/{namespace}/cronjobs/{name}", body, MERGE_PATCH_HEADERS)

    # how

    def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        accept: Collection[int] = (),
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        return self._session().read("GET", path, accept, headers, params=params)

    def _list(
        self, path: str, following: str, accept: Collection[int] = (), headers: Mapping[str, str] | None = None
    ) -> HttpReply:
        """A page; pages are smaller from then on where an answer is too large."""
        continuation = {"continue": following} if following else {}
        try:
            return self.get(path, {"limit": self._limit, **continuation}, accept, headers)
        except HttpAnswerTooLarge:
            if self._limit == SMALL_PAGE_LIMIT:
                raise
            self._limit = SMALL_PAGE_LIMIT
            return self._list(path, following, accept, headers)

    def _send(
        self, method: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> HttpReply:
        return self._session().send(method, path, body, accept={400, 404, 409, 422}, headers=headers)

    def _below(self, resource: str) -> str:
        return f"/namespaces/{self.namespace}/{resource}" if self.namespace else f"/{resource}"

    def _cron(self) -> str:
        """Where CronJobs are: batch/v1 since 1.21, batch/v1beta1 before."""
        if not self._cron_base:
            resources = fields.tables(self.get("/apis/batch/v1").table().get("resources"))
            names = {resource.get("name") for resource in resources}
            if "jobs" not in names:
                raise NotSupported("Kubernetes: GET /apis/batch/v1 names no jobs: is the url that of a cluster's API?")
            self._cron_base = f"/apis/batch/{'v1' if 'cronjobs' in names else 'v1beta1'}"
        return self._cron_base

    def _session(self) -> SignedClient:
        if self._signed is None:
            access = load_cluster_access(self._options, self._secrets)
            endpoint = HttpEndpoint("Kubernetes", access.url, self._options.ca_file, self._transport, access.context)
            self._signed = SignedClient(endpoint, access.account)
        self._signed.deadline = self.deadline
        return self._signed


MISSING_PACKAGE = 'the package kubernetes is missing: install "headway[kubernetes]"'


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """The API server's address, its CA (None: the machine's CAs or `ca_file`), and the account."""

    url: str
    context: ssl.SSLContext | None
    account: HttpAccount


class KubeAccount(HttpAccount):
    """Signs in with credentials that the `kubernetes` package loaded; reloads them once they are refused."""

    def __init__(self, secrets: SecretResolver, load: Callable[[], Any], loaded: Any) -> None:
        super().__init__(secrets, None, None, None)
        self._load, self._loaded, self._was_used = load, loaded, False

    def headers(self) -> dict[str, str]:
        """As the package has them now: it renews a token that has passed."""
        if self._headers is None and self._was_used:
            self._loaded = self._load()
        self._was_used = True
        self._headers = _auth_headers(self._loaded)
        mask = token_masker(self._secrets)
        for value in self._headers.values():
            mask(value.rpartition(" ")[2])
        return self._headers


def load_cluster_access(options: KubernetesOptions, secrets: SecretResolver) -> ClusterAccess:
    """From the options. Raises AccessRefused."""
    if options.url is not None:
        return ClusterAccess(options.url, None, HttpAccount(secrets, None, None, options.token))

    def load() -> Any:
        return _load_configuration(options)

    loaded = load()
    if getattr(loaded, "proxy", None):
        raise AccessRefused("Kubernetes: the kubeconfig names a proxy-url: proxies are not used, give a direct server")
    if getattr(loaded, "tls_server_name", None):
        raise AccessRefused("Kubernetes: the kubeconfig names a tls-server-name: give a server of that name")
    return ClusterAccess(str(loaded.host), _tls_context(loaded), KubeAccount(secrets, load, loaded))


def _load_configuration(options: KubernetesOptions) -> Any:
    try:
        from kubernetes import client, config
    except ImportError:
        raise AccessRefused(f"Kubernetes: {MISSING_PACKAGE}") from None
    configuration, where = client.Configuration(), "in_cluster"
    try:
        if options.in_cluster:
            config.load_incluster_config(client_configuration=configuration)
        else:
            where = str(options.kubeconfig)
            path = str(options.kubeconfig.expanduser()) if options.kubeconfig else ""
            if fault := write_access_fault(Path(path)):  # its users may name commands, which run as us
                raise AccessRefused(f"Kubernetes: kubeconfig {where}: {fault}")
            config.load_kube_config(path, options.context, client_configuration=configuration, persist_config=False)
    except Exception as error:  # noqa: BLE001  commands, YAML and files of others: whatever fails there is a refusal
        raise AccessRefused(f"Kubernetes: {where}: no account can be read ({type(error).__name__}: {error})") from None
    if not configuration.verify_ssl:
        raise AccessRefused(
            f"Kubernetes: {where} says insecure-skip-tls-verify: verification cannot be switched off; "
            "name the cluster's certificate-authority there"
        )
    if not (configuration.api_key or configuration.cert_file or configuration.username):
        raise AccessRefused(
            f"Kubernetes: {where}: it gives neither token nor certificate: its user has none, or its command fails"
            " (see the log). Try: kubectl auth can-i list cronjobs"
        )
    return configuration


def _auth_headers(loaded: Any) -> dict[str, str]:
    try:
        token = loaded.auth_settings().get("BearerToken", {}).get("value")
    except Exception as error:  # noqa: BLE001  as above: it may run a command
        raise AccessRefused(f"Kubernetes: the token cannot be renewed ({type(error).__name__}: {error})") from None
    if token:
        scheme, _, value = str(token).strip().rpartition(" ")
        return {"Authorization": f"{scheme.capitalize() or 'Bearer'} {value}"}
    basic = loaded.get_basic_auth_token() if loaded.username or loaded.password else None
    return {"Authorization": str(basic)} if basic else {}


def _tls_context(loaded: Any) -> ssl.SSLContext:
    try:
        inline = getattr(loaded, "ca_cert_data", None)  # younger than the oldest package that is allowed
        context = ssl.create_default_context(cafile=loaded.ssl_ca_cert or None, cadata=inline)
        if loaded.cert_file:
            context.load_cert_chain(loaded.cert_file, loaded.key_file or None)
    except (OSError, ValueError) as error:
        raise AccessRefused(f"Kubernetes: the certificates of the kubeconfig cannot be read: {error}") from None
    return context
