"""The Kubernetes connector: Jobs and CronJobs of a cluster or a namespace, and the check of our permissions.

Permissions are checked by the API server, one by one (SelfSubjectAccessReview).
Source: kubernetes.io, API reference of batch/v1; tests run the API server and controllers of 1.20.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from connectors.kubernetes import log, parse
from connectors.kubernetes.actions import MISSING, KubernetesCanceller, KubernetesStarter
from connectors.kubernetes.client import KubernetesClient
from connectors.kubernetes.hold import KubernetesHolder
from connectors.kubernetes.inventory import KubernetesInventory, read_objects
from connectors.kubernetes.options import KubernetesOptions, targets
from connectors.kubernetes.runs import KubernetesPoller
from connectors.sdk import fields
from connectors.sdk.action_router import ActionRouter, run_parts
from connectors.sdk.composed import ComposedConnector
from connectors.sdk.contract import ConnectorKind, Probe, SecretResolver, SourcePermission
from connectors.sdk.records import Poll, RunRef
from connectors.sdk.scheduler_health import SchedulerHealth
from connectors.sdk.states import Capability, ProofLevel, Verb
from connectors.sdk.transport.http import HttpReply, Transport


class KubernetesConnector(ComposedConnector):
    def __init__(
        self, options: KubernetesOptions, target: str, secrets: SecretResolver, transport: Transport = None
    ) -> None:
        client = KubernetesClient(options, target, secrets, transport)

        def watched(job: str) -> bool:
            namespace, name, is_cron = parse.split_job_id(job)
            patterns = options.jobs if is_cron else options.lone_jobs
            return any(fields.matches_any(candidate, patterns) for candidate in (name, f"{namespace}/{name}"))

        starter, canceller, holder = KubernetesStarter(client), KubernetesCanceller(client), KubernetesHolder(client)
        parts = run_parts(starter, starter, canceller, holder)
        reader = KubernetesInventory(client, watched, bool(options.lone_jobs))
        poller, health = KubernetesPoller(client, watched), SchedulerHealth(lambda: stopped_by(client))

        def poll(cursor: str, open_runs: Sequence[RunRef]) -> Poll:
            return replace(poller.poll(cursor, open_runs), stopped=health.stopped())

        super().__init__(
            client,
            inventory=reader.read,
            poll=poll,
            log=partial(log.read_log, client),
            acts=ActionRouter("Kubernetes", client, parts, MISSING),
            holds=holder.all_holds,
            probe=partial(probe, client),
        )


CONNECTOR = ConnectorKind(
    kind="kubernetes",
    title="Kubernetes",
    options=KubernetesOptions,
    targets=targets,
    open=KubernetesConnector,
    capabilities=frozenset(Capability) - set(MISSING),
    missing=MISSING,
    proofs=frozenset({ProofLevel.FULL}),
    verbs={
        Verb.RERUN: "create a Job from the template",
        Verb.START: "create a Job from the template",
        Verb.CANCEL: "end a Job by its deadline",
        Verb.HOLD: "suspend the CronJob",
        Verb.RELEASE: "resume the CronJob",
    },
    schedules="expression",
    ladder="Full proof while it is watched: a Job's conditions show its end, its pods exit codes and logs, and the "
    "watch reports a deleted Job with its last state. A Job that came and went between polls is known from its CronJob "
    "(lastScheduleTime) and, for an hour, from an event; without one its end is UNKNOWN.",
)

GRANTS_HINT = "headway connector grants kubernetes"
LEASE_REFUSED = (
    "whether CronJobs start here is unknown: no right to get the lease kube-controller-manager in kube-system. "
    f"Fix: bind the role of {GRANTS_HINT} there"
)
PROBED_RIGHTS = (
    ("list cronjobs", "list", "batch", "cronjobs", "", "view"),
    ("list jobs", "list", "batch", "jobs", "", "view"),
    ("watch jobs", "watch", "batch", "jobs", "", "view"),
    ("list pods", "list", "", "pods", "", "view"),
    ("get pods/log", "get", "", "pods", "log", "view"),
    ("list events", "list", "", "events", "", "view"),
    ("get cronjobs", "get", "batch", "cronjobs", "", "view"),
    ("get jobs", "get", "batch", "jobs", "", "view"),
    ("create jobs (rerun, start)", "create", "batch", "jobs", "", "act"),
    ("patch jobs (cancel)", "patch", "batch", "jobs", "", "act"),
    ("patch cronjobs (hold)", "patch", "batch", "cronjobs", "", "act"),
)
"""Name, verb, API group, resource, subresource, and what it is needed for."""


LEASE_EXPIRED_AFTER = timedelta(minutes=2)
"""A living leader renews its lease every 2 s, and another manager takes over after 15 s (kube-controller-manager,
--leader-elect-retry-period and --leader-elect-lease-duration). The rest is for clocks that differ."""


def starts_jobs(client: KubernetesClient, lease: HttpReply) -> SourcePermission | None:
    """Held while the controller manager renews its lease. None for what proves nothing: no right, no lease, or one of
    managers that elect no leader any more, since CronJobs were started after it."""
    spec = fields.subtable(lease.table(), "spec") if lease.status == 200 else {}
    renewed = fields.parse_instant(spec.get("renewTime"))
    if renewed is None or lease.clock is None:
        return None
    if lease.clock.target - renewed <= LEASE_EXPIRED_AFTER:
        return SourcePermission("CronJobs start here", True)
    for row, _ in read_objects(client.cronjobs):
        started = fields.parse_instant(fields.subtable(row, "status").get("lastScheduleTime"))
        if started is not None and started > renewed + LEASE_EXPIRED_AFTER:
            return None
    why = f"kube-controller-manager has not renewed its lease since {renewed:%Y-%m-%dT%H:%M:%SZ}: no CronJob starts"
    fix = "start kube-controller-manager of the control plane again"
    return SourcePermission("CronJobs start here", False, why, fix, is_grantable=False)


def stopped_by(client: KubernetesClient) -> str | None:
    """As of `Poll.stopped`; None for what proves nothing."""
    starts = starts_jobs(client, client.controller_lease())
    return None if starts is None else "" if starts.held else starts.problem


def probe(client: KubernetesClient) -> Probe:
    """Rights and the server's version. Raises SystemUnreachable or AccessRefused."""
    reply = client.version()
    version = fields.masked_head(str(reply.table().get("gitVersion") or ""), 60)
    rights = tuple(_probe_right(client, *right) for right in PROBED_RIGHTS)
    where = f"the namespace {client.namespace}" if client.namespace else "the whole cluster"
    lease = client.controller_lease()
    starts = starts_jobs(client, lease)
    stopped = (starts,) if starts is not None and not starts.held else ()
    notes = (f"checked for {where}", *([LEASE_REFUSED] if lease.status == 403 else []))
    return Probe(True, f"Kubernetes {version}".strip(), (*stopped, *rights), notes, reply.clock)


def _probe_right(
    client: KubernetesClient, name: str, verb: str, group: str, resource: str, part: str, needed: str
) -> SourcePermission:
    fix = f"bind the role of {GRANTS_HINT} to this account{f' in {client.namespace}' if client.namespace else ''}"
    reply = client.may(verb, group, resource, part)
    if reply.status == 403:
        return SourcePermission(name, None, f"the account may not ask for its rights: {reply.error}", fix, needed)
    status = fields.subtable(reply.table(), "status")
    allowed, why = status.get("allowed"), status.get("reason")
    if allowed is True:
        return SourcePermission(name, True, needed_for=needed)
    refusal = f"RBAC does not allow to {verb} {resource}{f'/{part}' if part else ''}{f': {why}' if why else ''}"
    return SourcePermission(name, False if allowed is False else None, refusal, fix, needed)
