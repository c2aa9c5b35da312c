"""Polls of shards that bring nothing new, written together: one transaction for those that end within 0.05 s.

Nothing that a person waits for is written here: polls with runs, lost evidence or skipped records are written at once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from console.store.db.database import Database
from console.store.db.fence import Fence, ShardFence, lost_shards
from console.store.errors import StoreError
from console.store.ingest import targets
from console.store.ingest.batch import IngestBatch, IngestResult
from console.store.ingest.records import ingest_batch
from console.timing.clock import wait_seconds

GATHER_SECONDS = 0.05


@dataclass(eq=False, slots=True)
class _QuietPoll:
    target_id: int
    batch: IngestBatch
    fence: ShardFence
    is_over: bool = False
    error: Exception | None = None


class GroupedIngest:
    """Writes the polls of one process. The first of a group waits for others, and writes them all."""

    def __init__(self) -> None:
        self._waiting = deque[_QuietPoll]()
        self._turn = threading.Lock()

    def ingest(self, store: Database, target_id: int, batch: IngestBatch, fence: Fence | None) -> IngestResult:
        """As `ingest_batch`."""
        if not isinstance(fence, ShardFence) or not batch.is_quiet:
            return ingest_batch(store, target_id, batch, fence)
        poll = _QuietPoll(target_id, batch, fence)
        self._waiting.append(poll)
        with self._turn:
            if not poll.is_over:
                wait_seconds(GATHER_SECONDS)
                self._write(store, [self._waiting.popleft() for _ in range(len(self._waiting))])
        if isinstance(poll.error, StoreError):
            raise poll.error
        if poll.error is not None:  # perhaps of another one in the group
            return ingest_batch(store, target_id, batch, fence)
        return IngestResult()

    def _write(self, store: Database, polls: Sequence[_QuietPoll]) -> None:
        try:
            with store.write(None, of_shards=True) as session:
                lost = lost_shards(session, {poll.fence for poll in polls})
                held = [(poll.target_id, poll.batch) for poll in polls if poll.fence not in lost]
                targets.record_quiet(session, held)
            for poll in polls:
                poll.error = lost.get(poll.fence)
        except Exception as error:  # noqa: BLE001 - raised by each of them
            for poll in polls:
                poll.error = error
        for poll in polls:
            poll.is_over = True
