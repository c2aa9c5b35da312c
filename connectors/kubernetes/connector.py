"""Kubernetes Jobs and CronJobs. Source: kubernetes.io, API reference of batch/v1; the API server and controllers of
1.20 as the tests run them."""

from __future__ import annotations

from fnmatch import fnmatchcase

import httpx

from connectors.contract import Capability, Connector, ConnectorKind, Proof, Secrets, Verb
from connectors.kubernetes import log, names
from connectors.kubernetes.acts import NO_MARK, Acts
from connectors.kubernetes.client import KubernetesClient
from connectors.kubernetes.hold import Holder
from connectors.kubernetes.inventory import InventoryReader
from connectors.kubernetes.options import KubernetesOptions, targets
from connectors.kubernetes.poll import Poller
from connectors.kubernetes.probe import probe
from connectors.parts import PartedConnector


class KubernetesConnector(PartedConnector):
    """A cluster, or one namespace of it."""

    def __init__(
        self,
        options: KubernetesOptions,
        target: str,
        secrets: Secrets,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        client = KubernetesClient(options, target, secrets, transport)

        def watched(job: str) -> bool:
            namespace, name, is_cron = names.parts(job)
            patterns = options.jobs if is_cron else options.lone_jobs
            return any(fnmatchcase(one, each) for one in (name, f"{namespace}/{name}") for each in patterns)

        holder = Holder(client)
        reader = InventoryReader(client, watched, bool(options.lone_jobs), options.controller_timezone)
        super().__init__(
            client,
            inventory=reader.read,
            poll=Poller(client, watched).poll,
            log=lambda run, start, limit_bytes: log.read(client, run, start, limit_bytes),
            acts=Acts(client, holder),
            holds=holder.all_holds,
            probe=lambda: probe(client),
        )


def open_kubernetes(options: KubernetesOptions, target: str, secrets: Secrets) -> Connector:
    """A connector of one target, not yet connected."""
    if target not in targets(options):
        raise ValueError(f"{target!r} is no target of this Kubernetes system: {', '.join(targets(options))}")
    return KubernetesConnector(options, target, secrets)


CONNECTOR = ConnectorKind(
    kind="kubernetes",
    title="Kubernetes",
    options=KubernetesOptions,
    targets=targets,
    open=open_kubernetes,
    capabilities=frozenset(Capability)
    - {Capability.MARK, Capability.TASKS, Capability.NATIVE_DEPENDENCIES, Capability.PERIODS},
    missing={
        Capability.MARK: NO_MARK,
        Capability.TASKS: "pods and indexes of a Job are no jobs of their own: they stand in the context of its run",
        Capability.NATIVE_DEPENDENCIES: "Kubernetes starts no Job after another: declare the dependency",
        Capability.PERIODS: "a pod gets no date: whenever it runs, it runs for now",
    },
    proofs=frozenset({Proof.FULL}),
    verbs={
        Verb.RERUN: "create a Job from the template",
        Verb.START: "create a Job from the template",
        Verb.CANCEL: "end a Job by its deadline",
        Verb.HOLD: "suspend the CronJob",
        Verb.RELEASE: "resume the CronJob",
    },
    schedules="expression",
    ladder="Full proof while it is watched: a Job's conditions tell its end, its pods exit codes and logs, and the "
    "watch tells a Job that is deleted with its last state. A Job that came and went while nobody watched is told by "
    "its CronJob (lastScheduleTime) and by an event for an hour; without one its end is UNKNOWN.",
)
