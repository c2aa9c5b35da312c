"""Which job a flow run is one of: "flow/deployment", or the flow's name for a run without a deployment.

Prefect's rows hold ids alone; names are asked for once and remembered. Prefect allows no "/" in a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from connectors import fields
from connectors.contract import RecordUnreadable
from connectors.prefect import parse
from connectors.prefect.client import PAGE_LIMIT, PrefectClient, rows_of
from connectors.transport.http import Reply

GONE = "flow "
"""How a flow is called whose row is gone, before its id."""


class Names:
    """The names of flows and deployments, as they were seen."""

    def __init__(self, client: PrefectClient, patterns: Sequence[str]) -> None:
        self._client = client
        self._patterns = patterns
        self._flows: dict[str, str] = {}
        self._deployments: dict[str, tuple[str, str]] = {}

    def watched(self, job: str) -> bool:
        """Whether the options ask for this job."""
        return any(fnmatchcase(job, pattern) for pattern in self._patterns)

    def flow(self, row: Any) -> tuple[str, str]:
        """Id and name of a flow, remembered. Raises RecordUnreadable."""
        row = fields.table(row)
        found = parse.id_of(row), fields.text(row, "name")
        self._flows[found[0]] = found[1]
        return found

    def deployment(self, row: Any) -> str:
        """The job of a deployment, remembered. Raises RecordUnreadable; the flow's name must be known."""
        row = fields.table(row)
        flow = parse.id_of(row, "flow_id")
        self._deployments[parse.id_of(row)] = (flow, fields.text(row, "name"))
        return f"{self._flow(flow)}/{fields.text(row, 'name')}"

    def job_of(self, deployment: str) -> str | None:
        """The job of a deployment's id; None where it is not known."""
        flow, name = self._deployments.get(deployment, ("", ""))
        return f"{self._flow(flow)}/{name}" if name else None

    def jobs_at(self, resource: str) -> list[str]:
        """The jobs that "prefect.deployment.ID" or "prefect.flow.ID" means: of a flow, each of its deployments."""
        kind, _, found = resource.removeprefix("prefect.").partition(".")
        if kind == "deployment":
            return [job for job in (self.job_of(found),) if job]
        return [f"{self._flow(flow)}/{name}" for flow, name in self._deployments.values() if flow == found]

    def learn(self, rows: Iterable[Any]) -> None:
        """Asks for the names that these flow runs need and nobody has asked for yet."""
        kept = [row for row in rows if isinstance(row, dict)]
        self._ask(_ids(kept, "deployment_id") - self._deployments.keys(), self._client.deployments_of, self.deployment)
        flows = {flow for flow, _ in self._deployments.values()} | _ids(kept, "flow_id")
        self._ask(flows - self._flows.keys(), self._client.flows_of, self.flow)

    def of_run(self, row: fields.Row) -> str:
        """The job of a flow run. Raises RecordUnreadable."""
        deployment = parse.optional_id(row, "deployment_id")
        return self.job_of(deployment) or self._flow(parse.id_of(row, "flow_id"))

    def _flow(self, flow: str) -> str:
        return self._flows.get(flow) or f"{GONE}{flow}"

    def _ask(self, ids: set[str], ask: Callable[[list[str]], Reply], keep: Callable[[Any], object]) -> None:
        wanted = sorted(ids)
        for first in range(0, len(wanted), PAGE_LIMIT):
            for row in rows_of(ask(wanted[first : first + PAGE_LIMIT])):
                try:
                    keep(row)
                except RecordUnreadable:
                    continue


def _ids(rows: Iterable[fields.Row], name: str) -> set[str]:
    found = set()
    for row in rows:
        try:
            found.add(parse.optional_id(row, name))
        except RecordUnreadable:
            continue
    return found - {""}
