"""Can we see and act here? The API server itself is asked, right by right (SelfSubjectAccessReview)."""

from __future__ import annotations

from connectors.contract import Probe, Right
from connectors.kubernetes.client import KubernetesClient

GRANTS = "headway grants kubernetes"
RIGHTS = (
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


def probe(client: KubernetesClient) -> Probe:
    """Rights and the server's version. Raises SystemUnreachable or AccessRefused."""
    reply = client.version()
    version = str(reply.table().get("gitVersion") or "")[:60]
    rights = tuple(_right(client, *one) for one in RIGHTS)
    where = f"the namespace {client.namespace}" if client.namespace else "the whole cluster"
    return Probe(True, f"Kubernetes {version}".strip(), rights, (f"asked for {where}",), reply.clock)


def _right(client: KubernetesClient, name: str, verb: str, group: str, what: str, part: str, needed: str) -> Right:
    mend = f"bind the role of {GRANTS} to this account{f' in {client.namespace}' if client.namespace else ''}"
    reply = client.may(verb, group, what, part)
    if reply.status == 403:
        return Right(name, None, f"the account may not ask for its rights: {reply.said}", mend, needed)
    status = reply.table().get("status")
    allowed = status.get("allowed") if isinstance(status, dict) else None
    if allowed is True:
        return Right(name, True, needed_for=needed)
    why = status.get("reason") if isinstance(status, dict) else ""
    words = f"RBAC does not allow to {verb} {what}{f'/{part}' if part else ''}{f': {why}' if why else ''}"
    return Right(name, False if allowed is False else None, words, mend, needed)
