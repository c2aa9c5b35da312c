"""Writes of shards' polls that end together, in one transaction that checks the fence of each: polls that bring nothing
new, inventories, and the rights that a target states."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from console.failpoints import failpoint
from console.store.db.database import Database
from console.store.db.fence import Fence, ShardFence, lost_shards
from console.store.db.session import WriteSession
from console.store.errors import StoreError
from console.store.ingest import records, targets
from console.store.ingest.batch import IngestBatch, IngestResult
from console.store.ingest.inventory import TargetInventory, write_inventories
from console.store.ingest.targets import TargetProbe
from console.timing.clock import wait_seconds

GATHER_SECONDS = 0.05
"""How long a write waits for others."""
_Writer = Callable[[WriteSession, Sequence[Any]], object]


@dataclass(eq=False, slots=True)
class _Write:
    fence: ShardFence
    writer: _Writer
    value: object
    is_over: bool = False
    error: Exception | None = None


class GroupedWrites:
    """The first write of a group waits 0.05 s for others and writes them all.

    Polls with runs, lost evidence or skipped records are written at once, as is all under the fence of the lease.
    """

    def __init__(self) -> None:
        self._waiting = deque[_Write]()
        self._turn = threading.Lock()

    def ingest(self, store: Database, target_id: int, batch: IngestBatch, fence: Fence | None) -> IngestResult:
        """As `ingest_batch`."""
        if isinstance(fence, ShardFence) and batch.is_quiet:
            self._write(store, fence, targets.record_quiet, (target_id, batch))
            return IngestResult()
        return records.ingest_batch(store, target_id, batch, fence)

    def inventory(self, store: Database, inventory: TargetInventory, fence: Fence) -> None:
        """As `write_inventory`."""
        self._write(store, fence, write_inventories, inventory)

    def probe(self, store: Database, probe: TargetProbe, fence: Fence) -> None:
        """The target's version and our rights there, written only if they changed."""
        if targets.is_new_probe(store, probe):
            self._write(store, fence, targets.record_probes, probe)

    def _write(self, store: Database, fence: Fence, writer: _Writer, value: object) -> None:
        """Raises StoreError."""
        if not isinstance(fence, ShardFence) or not self._is_written(store, _Write(fence, writer, value)):
            with store.write(fence) as session:
                writer(session, [value])

    def _is_written(self, store: Database, write: _Write) -> bool:
        """Whether it was written with its group; False if it is to be written alone. Raises StoreError."""
        self._waiting.append(write)
        with self._turn:
            if not write.is_over:
                wait_seconds(GATHER_SECONDS)
                _write_group(store, [self._waiting.popleft() for _ in range(len(self._waiting))])
        if isinstance(write.error, StoreError):
            raise write.error
        return write.error is None  # else the error is perhaps of another one


def _write_group(store: Database, writes: Sequence[_Write]) -> None:
    try:
        with store.write(None, of_shards=True) as session:
            lost = lost_shards(session, {write.fence for write in writes})
            values: dict[_Writer, list[object]] = defaultdict(list)
            for write in writes:
                if write.fence not in lost:
                    values[write.writer].append(write.value)
            for writer, of_writer in values.items():
                writer(session, of_writer)
            failpoint("ingest.before_commit")
        for write in writes:
            write.error = lost.get(write.fence)
    except Exception as error:  # noqa: BLE001 - `_is_written` raises it, or each is written alone
        for write in writes:
            write.error = error
    for write in writes:
        write.is_over = True
