"""Settings of a Kubernetes system: the cluster, the account, the Jobs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictBool, model_validator

from connectors.sdk.option_errors import StrictOptions, formatted_like
from connectors.sdk.secrets import FilePath, SecretRef
from connectors.sdk.transport.http import checked_origin

CLUSTER_TARGET = "cluster"
"""The one target where no namespaces are named."""
NamespaceName = Annotated[str, formatted_like(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "etl")]


class KubernetesOptions(StrictOptions):
    """A cluster by a kubeconfig, by the pod that Headway runs in, or by address and token."""

    kubeconfig: FilePath | None = None
    """A kubeconfig file; its certificates, tokens and commands are used as kubectl uses them."""
    context: str | None = None
    """One of its contexts; the file's current one when not given."""
    in_cluster: StrictBool = False
    """Headway runs in a pod of the cluster: uses its service account."""
    url: str | None = None
    """Address of the API server, "https://k8s.example.com:6443", in place of a kubeconfig."""
    token: SecretRef | None = None
    """Token of a service account, with `url`; read again when it is refused."""
    ca_file: FilePath | None = None
    """PEM file of the cluster's CA, with `url`; the machine's own CAs when not given."""
    plain_http: StrictBool = False
    """Allows http:// to a host that is not this one: the token then crosses the network unencrypted."""
    namespaces: tuple[NamespaceName, ...] = ()
    """Each is a target of its own; the whole cluster is the one target when none is named."""
    jobs: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Patterns of CronJobs to watch, as in a shell: "nightly-*" or "reports/nightly"."""
    lone_jobs: tuple[str, ...] = ()
    """Patterns of Jobs to watch that no CronJob made, "reports/load-*"; none by default."""

    @model_validator(mode="after")
    def one_way_in(self) -> KubernetesOptions:
        addresses = [self.kubeconfig is not None, self.in_cluster, self.url is not None]
        if sum(addresses) != 1:
            raise ValueError("give kubeconfig, in_cluster = true, or url with token: one of the three")
        if (self.url is None) != (self.token is None):
            raise ValueError("url and token belong together: give both or none")
        if self.context is not None and self.kubeconfig is None:
            raise ValueError("context names one of a kubeconfig: give kubeconfig as well")
        if self.url is not None:
            checked_origin(self.url, self.plain_http)
        elif self.ca_file is not None or self.plain_http:
            raise ValueError("ca_file and plain_http go with url; a kubeconfig has its own")
        return self


def targets(options: KubernetesOptions) -> list[str]:
    return list(dict.fromkeys(options.namespaces)) or [CLUSTER_TARGET]
