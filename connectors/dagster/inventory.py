"""Inventory: the jobs of every loaded code location, their schedules, and the edges between them by assets."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from connectors.dagster import hold, parse
from connectors.dagster.client import DagsterClient
from connectors.dagster.parse import DagsterLimit, parse_limits
from connectors.sdk import fields
from connectors.sdk.errors import NotSupported, RecordUnreadable, SystemUnreachable
from connectors.sdk.records import Inventory, SkippedRecord


def read_inventory(client: DagsterClient, watched: Callable[[str], bool], previous_hash: str, url: str) -> Inventory:
    """As the contract says. A code location that is not loaded is not listed: the list is not complete then."""
    skipped = parse.unloaded_locations(client.locations())
    nodes = client.repositories()
    held = _held_schedules(client, nodes)
    feeds: dict[str, set[str]] = {}
    try:
        feeds = parse.asset_edges(client.assets())
    except (RecordUnreadable, SystemUnreachable, NotSupported) as error:
        skipped.append(SkippedRecord("assets", str(error)[:300]))
    limits: tuple[DagsterLimit, ...] = ()
    with suppress(SystemUnreachable, NotSupported):  # an older version, or a role without access to the instance
        limits = parse_limits(client.run_limits())
    repositories = fields.readable(
        nodes, lambda node: parse.job_records(node, feeds, url, limits, held), "repositories", skipped
    )
    records = {job.native_id: job for jobs in repositories for job in jobs if watched(job.native_id)}
    if not nodes:
        reason = "none is loaded: there is none, or its server is down"
        skipped.append(SkippedRecord("code locations", reason))
    jobs = (job for _, job in sorted(records.items()))
    return Inventory.since(previous_hash, jobs, not skipped, client.clock, skipped, lambda name, _: watched(name))


def _held_schedules(client: DagsterClient, nodes: list[Any]) -> dict[str, Collection[str]]:
    """Per held job, the schedules stopped for the hold. Read only if a job has several, all stopped: only then could a
    hold change the reported schedule."""
    states: dict[tuple[int, str], list[bool]] = {}
    for number, node in enumerate(nodes):
        for row in fields.tables(fields.subtable(node).get("schedules")):
            states.setdefault((number, str(row.get("pipelineName"))), []).append(parse.is_running(row))
    if not any(len(running) > 1 and not any(running) for running in states.values()):
        return {}
    try:
        return {job: hold.stopped_schedules(note) for job, note in hold.read_hold_notes(client).items()}
    except (SystemUnreachable, NotSupported):
        return {}
