"""The pods of Jobs that run or failed, asked for by the names of their Jobs, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterable

from connectors import fields
from connectors.gathered import Gathered
from connectors.kubernetes.client import MOST_PODS, KubernetesClient
from connectors.kubernetes.parse import Job
from connectors.kubernetes.pods import Pod, pods_of

A_BATCH = 60
"""Names in one question: they stand in its address."""
MOST_BATCHES = 5
RESERVE = 0.25
TOO_MANY = (
    f"some Jobs have more than {MOST_PODS} pods together: exit codes of some, and what they wait for, stay unknown"
)


class Pods:
    """Asks for pods. A Job that is Complete is not asked about, and one that failed once only."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    def of(self, jobs: Iterable[Job], found: Gathered) -> dict[str, list[Pod]]:
        """By uid of the Job. Where pods may not be read, none, and a warning."""
        wanted = sorted({job.name for job in jobs if "Complete" not in job.held or "Failed" in job.held})
        pods: dict[str, list[Pod]] = {}
        for number, first in enumerate(range(0, len(wanted), A_BATCH)):
            if number >= MOST_BATCHES or self._client.deadline.left < self._client.deadline.seconds * RESERVE:
                found.warn("too many Jobs are open or failed at once: the pods of some are not looked at")
                break
            reply = self._client.pods(wanted[first : first + A_BATCH])
            if reply.status != 200:
                found.warn("pods cannot be read: exit codes and what a Job waits for stay unknown (right: list pods)")
                break
            table = reply.table()
            pods |= pods_of(fields.rows(table.get("items")))
            meta = table.get("metadata")
            if isinstance(meta, dict) and meta.get("continue"):
                found.warn(TOO_MANY)
        return pods
