"""The inventory: the jobs of every code location that is loaded, their schedules, and edges by the assets they make."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from connectors import fields
from connectors.contract import Inventory, JobRecord, NotSupported, RecordUnreadable, Skipped, SystemUnreachable
from connectors.dagster import hold, parse
from connectors.dagster.client import DagsterClient
from connectors.dagster.limits import Limit, limits


def read(client: DagsterClient, watched: Callable[[str], bool], previous_hash: str, url: str) -> Inventory:
    """As the contract says. A code location that is not loaded is not listed: the list is not complete then."""
    skipped = parse.unloaded(client.locations())
    nodes = client.repositories()
    held = _held(client, nodes)
    feeds, most = _feeds(client, skipped), _limits(client)
    found: dict[str, JobRecord] = {}
    for node in nodes:
        try:
            found |= {job.native_id: job for job in parse.jobs(node, feeds, url, most, held) if watched(job.native_id)}
        except RecordUnreadable as error:
            skipped.append(fields.skipped("repositories", error, node))
    complete = not skipped
    if not nodes:
        complete = False
        skipped.append(Skipped("repositories", "no code location is loaded: there is none, or its server is down"))
    jobs = tuple(job for _, job in sorted(found.items()))
    digest = fields.short_digest([complete, [repr(job) for job in jobs]])
    if digest == previous_hash and complete:
        return Inventory((), complete, digest, unchanged=True, clock=client.clock, skipped=tuple(skipped))
    return Inventory(
        jobs, complete, digest, clock=client.clock, skipped=tuple(skipped), asks_for=lambda name, _: watched(name)
    )


def _limits(client: DagsterClient) -> tuple[Limit, ...]:
    """None where the server does not tell them: an older one, or a role that may not read the instance."""
    try:
        return limits(client.run_limits())
    except (SystemUnreachable, NotSupported):
        return ()


def _held(client: DagsterClient, nodes: list[Any]) -> dict[str, Collection[str]]:
    """Of held jobs the schedules that were stopped for it. Asked where a job has several and all are stopped: only
    there a hold could look like another schedule."""
    if not any(_all_of_several_stopped(node) for node in nodes):
        return {}
    try:
        return {job: hold.stopped_for(note) for job, note in hold.marked(client).items()}
    except (SystemUnreachable, NotSupported):
        return {}


def _all_of_several_stopped(node: Any) -> bool:
    rows = fields.rows(node.get("schedules")) if isinstance(node, dict) else []
    stands: dict[object, list[bool]] = {}
    for row in rows:
        if isinstance(row, dict):
            stands.setdefault(str(row.get("pipelineName")), []).append(parse.runs(row))
    return any(len(one) > 1 and not any(one) for one in stands.values())


def _feeds(client: DagsterClient, skipped: list[Skipped]) -> dict[str, set[str]]:
    """Edges by assets; none, and a word about it, where they cannot be read."""
    try:
        return parse.feeds(client.assets())
    except (RecordUnreadable, SystemUnreachable, NotSupported) as error:
        skipped.append(Skipped("assets", str(error)[:300]))
        return {}
