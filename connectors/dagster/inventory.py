"""The inventory: the jobs of every code location that is loaded, their schedules, and edges by the assets they make."""

from __future__ import annotations

from collections.abc import Callable

from connectors import fields
from connectors.contract import Inventory, JobRecord, NotSupported, RecordUnreadable, Skipped, SystemUnreachable
from connectors.dagster import parse
from connectors.dagster.client import DagsterClient
from connectors.dagster.limits import Limit, limits


def read(client: DagsterClient, watched: Callable[[str], bool], previous_hash: str, url: str) -> Inventory:
    """As the contract says. A code location that is not loaded is not listed: the list is not complete then."""
    skipped = parse.unloaded(client.locations())
    nodes = client.repositories()
    feeds, most = _feeds(client, skipped), _limits(client)
    found: dict[str, JobRecord] = {}
    for node in nodes:
        try:
            found |= {job.native_id: job for job in parse.jobs(node, feeds, url, most) if watched(job.native_id)}
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


def _feeds(client: DagsterClient, skipped: list[Skipped]) -> dict[str, set[str]]:
    """Edges by assets; none, and a word about it, where they cannot be read."""
    try:
        return parse.feeds(client.assets())
    except (RecordUnreadable, SystemUnreachable, NotSupported) as error:
        skipped.append(Skipped("assets", str(error)[:300]))
        return {}
