"""Inventory: every deployment with its schedule, flows that run without one, and the edges made by automations.

A quiet refresh costs the pages of deployments and flows, one of flows without deployment, one of automations, and some
for the next runs, which Prefect creates ahead of time. Prefect's rows hold ids only: names of flows and deployments
are read once and cached; a job is "flow/deployment", or the flow's name for a run without deployment (Prefect allows
no "/" in a name). Previews of actions look up one deployment and its active runs here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from connectors.prefect import parse
from connectors.prefect.client import PAGE_LIMIT, PrefectClient, list_rows
from connectors.sdk import fields
from connectors.sdk.errors import ActionRefused, SystemUnreachable
from connectors.sdk.records import Inventory, JobRecord, SkippedRecord, TargetClock
from connectors.sdk.transport.http import HttpReply

MAX_PAGES = 250  # 50,000 deployments, or as many flows
MAX_NEXT_RUN_PAGES = 5  # pages of runs made ahead that are read for the next run of each deployment


class PrefectInventory:
    def __init__(self, client: PrefectClient, names: FlowNames, ui: str) -> None:
        self._client, self._names, self._ui = client, names, ui

    def read(self, previous_hash: str) -> Inventory:
        skipped: list[SkippedRecord] = []
        clock = self._client.version().clock
        flows, whole = self._pages(self._client.flows)
        fields.readable(flows, self._names.flow, "flows", skipped)
        rows, all_rows = self._pages(self._client.deployments)
        alone, all_alone = self._pages(self._client.flows_without_deployment)
        jobs = self._deployments(rows, clock, skipped)
        for flow, name in fields.readable(alone, self._names.flow, "flows", skipped):
            if self._names.watched(name):
                jobs.append(parse.flow_record(name, flow, self._ui))
        if not rows and not alone:
            skipped.append(SkippedRecord("deployments", "Prefect lists none: it has none, or this account sees none"))
        unique = {job.native_id: job for job in reversed(jobs)}
        records = (job for _, job in sorted(unique.items()))
        complete = whole and all_rows and all_alone and not skipped
        return Inventory.since(previous_hash, records, complete, clock, skipped, self._names.watched)

    def _deployments(self, rows: list[Any], clock: TargetClock | None, skipped: list[SkippedRecord]) -> list[JobRecord]:
        jobs = fields.readable(rows, lambda row: (self._names.deployment(row), row), "deployments", skipped)
        watched = {str(row["id"]): row for job, row in jobs if self._names.watched(job)}
        ahead = self._next_runs(watched.keys(), clock)
        feeds = self._feeds(skipped)
        slots_of: dict[str, int | None] = {}
        if any(row.get("work_pool_name") for row in watched.values()):
            reply = self._client.work_pools()  # without rows where the server or account does not report them
            pools = fields.readable(list_rows(reply) if reply.status == 200 else (), parse.parse_pool_slots)
            slots_of = {name: limit for name, limit in pools if limit is not None}

        def record(row: fields.Row) -> JobRecord:
            job, deployment = self._names.deployment(row), str(row["id"])
            upstreams, next_at = feeds.get(deployment, ()), ahead.get(deployment)
            return parse.deployment_record(row, job, upstreams, next_at, self._ui, slots_of)

        return fields.readable(watched.values(), record, "deployments", skipped)

    def _pages(self, fetch: Callable[[int], HttpReply]) -> tuple[list[Any], bool]:
        """All rows of a paged list; False at the end when it does not end, or a page came twice."""
        rows: list[Any] = []
        last = b""
        for page in range(MAX_PAGES):
            reply = fetch(page * PAGE_LIMIT)
            page_rows = list_rows(reply)
            if page_rows and reply.body == last:
                return rows, False
            rows, last = rows + page_rows, reply.body
            if len(page_rows) < PAGE_LIMIT:
                return rows, True
        return rows, False

    def _next_runs(self, deployments: Iterable[str], clock: TargetClock | None) -> dict[str, datetime]:
        """When the next run by the clock of each deployment is due, where Prefect has made it already."""

        def next_run(row: fields.Row) -> tuple[str, datetime | None]:
            return parse.parse_optional_id(row, "deployment_id"), fields.instant(row, "next_scheduled_start_time")

        now = clock.target if clock else datetime.now(UTC)
        missing, ahead = set(deployments), dict[str, datetime]()
        for _ in range(MAX_NEXT_RUN_PAGES):
            if not missing:
                break
            where = {
                "state": {"type": {"any_": ["SCHEDULED"]}},
                "deployment_id": {"any_": sorted(missing)},
                "next_scheduled_start_time": {"after_": now.isoformat()},
            }
            rows = list_rows(self._client.runs(where, "NEXT_SCHEDULED_START_TIME_ASC"))
            scheduled = [row for row in fields.tables(rows) if row.get("auto_scheduled") is True]
            next_runs = dict(fields.readable(reversed(scheduled), next_run))
            ahead |= {name: at for name, at in next_runs.items() if name in missing and at is not None}
            missing -= next_runs.keys()
            if len(rows) < PAGE_LIMIT or not next_runs:
                break
        return ahead

    def _feeds(self, skipped: list[SkippedRecord]) -> dict[str, set[str]]:
        """Deployment -> jobs whose runs start it, by the automations; none where this server or account has none."""
        feeds: dict[str, set[str]] = {}
        reply = self._client.automations(0)
        rows = list_rows(reply) if reply.status == 200 else ()
        for watched, runs in fields.readable(rows, parse.automation_edges, "automations", skipped):
            jobs = {job for resource in watched for job in self._names.jobs_at(resource)}
            for deployment in runs:
                feeds.setdefault(deployment, set()).update(jobs)
        return feeds


GONE_FLOW_PREFIX = "flow "  # prefix of the name of a deleted flow, before its id


class FlowNames:
    def __init__(self, client: PrefectClient, patterns: Sequence[str]) -> None:
        self._client, self._patterns = client, patterns
        self._flows: dict[str, str] = {}
        self._deployments: dict[str, tuple[str, str]] = {}

    def watched(self, job: str) -> bool:
        return fields.matches_any(job, self._patterns)

    def flow(self, row: Any) -> tuple[str, str]:
        """Caches and returns id and name of a flow."""
        row = fields.table(row)
        named_flow = parse.parse_id(row), fields.text(row, "name")
        self._flows[named_flow[0]] = named_flow[1]
        return named_flow

    def deployment(self, row: Any) -> str:
        """Caches and returns the job of a deployment; the flow's name must be known."""
        row = fields.table(row)
        flow = parse.parse_id(row, "flow_id")
        self._deployments[parse.parse_id(row)] = (flow, fields.text(row, "name"))
        return f"{self._flow(flow)}/{fields.text(row, 'name')}"

    def job_of(self, deployment: str) -> str | None:
        """The job of a deployment's id; None where it is not known."""
        flow, name = self._deployments.get(deployment, ("", ""))
        return f"{self._flow(flow)}/{name}" if name else None

    def jobs_at(self, resource: str) -> list[str]:
        """The jobs of "prefect.deployment.ID" or "prefect.flow.ID": for a flow, each of its deployments."""
        kind, _, resource_id = resource.removeprefix("prefect.").partition(".")
        if kind == "deployment":
            return list(filter(None, [self.job_of(resource_id)]))
        return [f"{self._flow(flow)}/{name}" for flow, name in self._deployments.values() if flow == resource_id]

    def learn(self, rows: Iterable[Any]) -> None:
        """Reads the names that these flow runs need and that are not cached yet."""
        readable = fields.tables(list(rows))
        self._request(
            _missing_ids(readable, "deployment_id") - self._deployments.keys(),
            self._client.deployments_of,
            self.deployment,
        )
        flows = {flow for flow, _ in self._deployments.values()} | _missing_ids(readable, "flow_id")
        self._request(flows - self._flows.keys(), self._client.flows_of, self.flow)

    def of_run(self, row: fields.Row) -> str:
        deployment = parse.parse_optional_id(row, "deployment_id")
        return self.job_of(deployment) or self._flow(parse.parse_id(row, "flow_id"))

    def _flow(self, flow: str) -> str:
        return self._flows.get(flow) or f"{GONE_FLOW_PREFIX}{flow}"

    def _request(self, ids: set[str], fetch: Callable[[list[str]], HttpReply], keep: Callable[[Any], object]) -> None:
        missing = sorted(ids)
        for first in range(0, len(missing), PAGE_LIMIT):
            fields.readable(list_rows(fetch(missing[first : first + PAGE_LIMIT])), keep)


def _missing_ids(rows: Iterable[fields.Row], name: str) -> set[str]:
    return {*fields.readable(rows, lambda row: parse.parse_optional_id(row, name))} - {""}


ACTIVE_TYPES = ["PENDING", "RUNNING", "PAUSED", "CANCELLING"]


def read_deployment(client: PrefectClient, job: str) -> fields.Row:
    """The row of a deployment. Raises ActionRefused for a flow without one, or if it was deleted."""
    reply = client.deployment(job)
    if reply is None or reply.status == 404:
        alone = f"{job} is a flow without a deployment: Prefect can start and hold deployments only"
        raise ActionRefused(f"Prefect has no deployment {job}" if "/" in job else alone)
    row = reply.table()
    if not isinstance(row.get("id"), str) or not isinstance(row.get("paused"), bool):
        raise SystemUnreachable(f"{reply.place} is not a deployment")
    return row


def active_runs_note(client: PrefectClient, deployment: str, but: str = "") -> str | None:
    where = {"deployment_id": {"any_": [deployment]}, "state": {"type": {"any_": ACTIVE_TYPES}}}
    rows = list_rows(client.runs(where, "ID_DESC", limit=5))
    names = [f"{row.get('name')} ({row.get('state_name')})" for row in fields.tables(rows) if row.get("id") != but]
    return fields.clean(f"other runs are active: {', '.join(names)}") if names else None


def idle_worker_notes(row: fields.Row) -> tuple[str, ...]:
    if row.get("status") != "NOT_READY":
        return ()
    since = f" since {last_polled}" if (last_polled := fields.optional_text(row, "last_polled")) else ""
    return (f"no runner or worker polls for its runs{since}: the run would wait",)
