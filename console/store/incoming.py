"""A batch as the store will compare it: by attempt, in the columns' own form, its words cleaned."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from connectors.contract import RunRecord, Skipped, instant_key
from console.model.ids import micros
from console.store.batch import IngestBatch
from console.store.job_ids import job_ids
from console.store.keys import is_too_long, pack
from console.store.merging import Content, content_of, merge
from console.store.wire import Wire

Identity = tuple[int, str]
"""(job id, attempt key): an attempt; (job id, period key): a run."""

_ACTIONS = (
    "SELECT a.key, a.job_id, a.run_id, a.parameters FROM {keys} JOIN action a ON a.key = k.a"
    " JOIN job j ON j.id = a.job_id"
    " JOIN target t ON t.system_id = j.system_id WHERE t.id = ?"
)
"""Of the polled target's own system: a key of ours that stands anywhere else is text like any other."""


class _Acted(NamedTuple):
    """What an action of ours was about."""

    job_id: int | None
    run_id: int | None
    period_at: datetime | None


_NOT_OURS = _Acted(None, None, None)


@dataclass(slots=True)
class Incoming:
    """What one batch says of one attempt."""

    job_id: int
    attempt_key: str
    period_key: str
    content: Content
    observed_us: int
    record: RunRecord
    run_id: int | None
    """The run that our action repairs; None: the run of its own period."""

    @property
    def formerly(self) -> Identity | None:
        """Under which it was told before, where it has another key now."""
        return (self.job_id, pack(self.record.formerly)) if self.record.formerly else None


def read(lines: Wire, target_id: int, batch: IngestBatch, skipped: list[Skipped]) -> dict[Identity, Incoming]:
    """The batch by attempt, in the columns' form; several observations of one attempt already merged."""
    keys = sorted({record.action_key for record in batch.runs if record.action_key})
    actions: dict[str, _Acted] = {
        row[0]: _Acted(row[1], row[2], _period(row[3])) for row in lines.by_keys(_ACTIONS, "t", keys, (target_id,))
    }
    jobs = job_ids(lines, target_id, {record.job for record in batch.runs}, batch.now)
    observed_us = micros(batch.now)
    incoming: dict[Identity, Incoming] = {}
    for record in batch.runs:
        try:
            one = _incoming(record, jobs, actions, observed_us)
        except (ValueError, OverflowError, KeyError) as error:
            skipped.append(Skipped(record.job, str(error), record.attempt_key[:200]))
            continue
        identity = (one.job_id, one.attempt_key)
        before = incoming.get(identity)
        if before is not None:
            one.content, _ = merge(before.content, observed_us, one.content, observed_us + 1)  # the later one is newer
            if one.content == before.content:
                continue
        incoming[identity] = one
    return incoming


def _incoming(record: RunRecord, jobs: dict[str, int], actions: dict[str, _Acted], now_us: int) -> Incoming:
    job_id, content = jobs.get(record.job), content_of(record)
    acted = actions.get(record.action_key or "", _NOT_OURS)
    if acted.job_id != job_id:  # a clear writes one note on every task that it touches: the key is for the one acted on
        content, acted = content._replace(action_key=None), _NOT_OURS
    if acted.run_id is None and acted.period_at is not None:
        record = replace(record, period_key=instant_key(acted.period_at), period_at=acted.period_at)
    attempt_key = pack(record.attempt_key)
    period_key = f"attempt:{attempt_key}" if record.period_key is None else pack(record.period_key)
    if is_too_long(attempt_key) or is_too_long(period_key):
        raise ValueError("its id is longer than 1,000 bytes")
    if job_id is None:
        raise ValueError("its job's name is longer than 1,000 bytes")
    return Incoming(job_id, attempt_key, period_key, content, now_us, record, acted.run_id)


def _period(parameters: str) -> datetime | None:
    """The instant for which an action started its job, where it named one: the source tells only when it started."""
    try:
        at = datetime.fromisoformat(json.loads(parameters)["period_at"])
    except (ValueError, KeyError, TypeError):
        return None
    return at if at.tzinfo is not None else None
