"""Inventories of AWS kinds: one job for each row of a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from connectors.sdk.aws.client import AwsClient
from connectors.sdk.aws.values import AwsReply
from connectors.sdk.errors import AccessRefused, RecordUnreadable
from connectors.sdk.records import Inventory, JobRecord, SkippedRecord


def read_inventory(
    client: AwsClient,
    operation: str,
    rows: Iterable[AwsReply],
    read: Callable[[AwsReply], JobRecord | None],
    previous_hash: str,
    is_selected: Callable[[str, tuple[str, ...]], bool],
    unread: Iterable[SkippedRecord] = (),
) -> Inventory:
    """The jobs that `read` makes of the rows (None: it is gone); rows that it cannot read are skipped, after
    `unread`."""
    jobs: list[JobRecord] = []
    skipped = [*unread]
    for row in rows:
        try:
            job = read(row)
        except (RecordUnreadable, AccessRefused) as error:
            skipped.append(SkippedRecord(operation, str(error), str(row)[:200]))
            continue
        if job is not None:
            jobs.append(job)
    return Inventory.since(previous_hash, jobs, not skipped, client.clock, skipped, is_selected)
