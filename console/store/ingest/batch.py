"""One poll's batch: records, cursor, log tails, and the batch in the columns' own form, by attempt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import NamedTuple

from connectors.sdk.records import HistoryGap, RunRecord, SkippedRecord, instant_key
from console.domain.ids import micros
from console.store.db.database import Database
from console.store.db.session import WriteSession
from console.store.ingest.inventory import job_ids
from console.store.ingest.merge import AttemptContent, attempt_content, merge_content
from console.store.names import decode_name, encode_name, is_too_long_name


@dataclass(frozen=True, slots=True)
class LogTailText:
    """The cleaned end of a log, or why there is none."""

    text: str
    cut: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class PollCost:
    """What the polls of a target cost its source."""

    requests: int
    """Of this poll, so far."""
    a_minute: float
    """Over the last ten minutes."""
    allowed: str = ""
    """What the source says is left, in words; empty where its API names no limit."""


@dataclass(frozen=True, slots=True)
class IngestBatch:
    """One poll's records and the cursor that follows them. `control.periods` has given every run its period key."""

    runs: tuple[RunRecord, ...]
    """`job` is what the source calls it now; raw."""
    cursor: str
    now: datetime
    """Our clock when the source was asked: the order of observations, and the target's age."""
    business_date: Callable[[RunRecord], date]
    """The business date of a record; asked only for the first attempt of a run."""
    seen_until: datetime | None = None
    """Every start before it has been seen (skew already taken out)."""
    skew_s: float | None = None
    """The target's clock less ours, seconds."""
    zone: str = ""
    booted: datetime | None = None
    """When the target last started, by our clock."""
    skipped: tuple[SkippedRecord, ...] = ()
    warnings: tuple[str, ...] = ()
    gaps: tuple[HistoryGap, ...] = ()
    poll_ms: float | None = None
    spent: PollCost | None = None
    """None where nothing of it can be counted."""
    tails: Mapping[tuple[str, str], LogTailText] = field(default_factory=dict)
    """Ends of the logs of what turned red, by (job, attempt key), raw names as in `runs`."""


@dataclass(frozen=True, slots=True)
class IngestResult:
    """Ids of what really changed; both empty when the poll told nothing new."""

    changed_run_ids: tuple[int, ...] = ()
    changed_job_ids: tuple[int, ...] = ()
    skipped: tuple[SkippedRecord, ...] = ()
    """Records that the store itself had to leave out, with the reason; already counted at the target."""


AttemptIdentity = tuple[int, str]
"""(job id, attempt key): an attempt; (job id, period key): a run."""

_ACTIONS = (
    "SELECT a.key, a.job_id, a.run_id, a.parameters FROM {keys} JOIN action a ON a.key = k.a"
    " JOIN job j ON j.id = a.job_id"
    " JOIN target t ON t.system_id = j.system_id WHERE t.id = ?"
)
"""Of the polled target's own system: a key of ours that stands anywhere else is text like any other."""


class _ActionOrigin(NamedTuple):
    """What an action of ours was about."""

    job_id: int | None
    run_id: int | None
    period_at: datetime | None


_NO_ACTION = _ActionOrigin(None, None, None)


@dataclass(slots=True)
class IncomingAttempt:
    """What one batch says of one attempt."""

    job_id: int
    attempt_key: str
    period_key: str
    content: AttemptContent
    observed_us: int
    record: RunRecord
    run_id: int | None
    """The run that our action repairs; None: the run of its own period."""

    @property
    def formerly(self) -> AttemptIdentity | None:
        """Under which it was told before, where it has another key now."""
        return (self.job_id, encode_name(self.record.formerly)) if self.record.formerly else None


def read_batch(
    session: WriteSession, target_id: int, batch: IngestBatch, skipped: list[SkippedRecord]
) -> dict[AttemptIdentity, IncomingAttempt]:
    """The batch by attempt, in the columns' form; several observations of one attempt already merged."""
    keys = sorted({record.action_key for record in batch.runs if record.action_key})
    actions: dict[str, _ActionOrigin] = {
        row.key: _ActionOrigin(row.job_id, row.run_id, _period(row.parameters))
        for row in session.by_keys(_ACTIONS, keys, (target_id,))
    }
    jobs = job_ids(session, target_id, {record.job for record in batch.runs}, batch.now)
    observed_us = micros(batch.now)
    incoming: dict[AttemptIdentity, IncomingAttempt] = {}
    for record in batch.runs:
        try:
            one = _incoming_attempt(record, jobs, actions, observed_us)
        except (ValueError, OverflowError, KeyError) as error:
            skipped.append(SkippedRecord(record.job, str(error), record.attempt_key[:200]))
            continue
        identity = (one.job_id, one.attempt_key)
        before = incoming.get(identity)
        if before is not None:
            one.content, _ = merge_content(
                before.content, observed_us, one.content, observed_us + 1
            )  # the later one is newer
            if one.content == before.content:
                continue
        incoming[identity] = one
    return incoming


def _incoming_attempt(
    record: RunRecord, jobs: dict[str, int], actions: dict[str, _ActionOrigin], now_us: int
) -> IncomingAttempt:
    job_id, content = jobs.get(record.job), attempt_content(record)
    acted = actions.get(record.action_key or "", _NO_ACTION)
    if acted.job_id != job_id:  # a clear writes one note on every task that it touches: the key is for the one acted on
        content, acted = content._replace(action_key=None), _NO_ACTION
    if acted.run_id is None and acted.period_at is not None:
        record = replace(record, period_key=instant_key(acted.period_at), period_at=acted.period_at)
    attempt_key = encode_name(record.attempt_key)
    period_key = f"attempt:{attempt_key}" if record.period_key is None else encode_name(record.period_key)
    if is_too_long_name(attempt_key) or is_too_long_name(period_key):
        raise ValueError("its id is longer than 1,000 bytes")
    if job_id is None:
        raise ValueError("its job's name is longer than 1,000 bytes")
    return IncomingAttempt(job_id, attempt_key, period_key, content, now_us, record, acted.run_id)


def _period(parameters: str) -> datetime | None:
    """The instant for which an action started its job, where it named one: the source tells only when it started."""
    try:
        at = datetime.fromisoformat(json.loads(parameters)["period_at"])
    except (ValueError, KeyError, TypeError):
        return None
    return at if at.tzinfo is not None else None


def attempts_without_tail(store: Database, target_id: int, attempts: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the (job's source id, attempt key) that have no tail yet, known or not."""
    wanted = set(attempts)
    query = (
        "SELECT k.a, k.b, t.attempt_id FROM {keys}"
        " LEFT JOIN job j ON j.system_id = (SELECT system_id FROM target WHERE id = ?) AND j.source_id = k.a"
        " LEFT JOIN attempt a ON a.job_id = j.id AND a.attempt_key = k.b LEFT JOIN log_tail t ON t.attempt_id = a.id"
    )
    keys = [(encode_name(job), encode_name(key)) for job, key in wanted]
    with store.read() as session:
        known = session.by_keys(query, keys, (target_id,))
    return wanted - {(decode_name(job), decode_name(key)) for job, key, tail in known if tail is not None}


def insert_tails(
    session: WriteSession, target_id: int, tails: Mapping[tuple[str, str], LogTailText], now_us: int
) -> None:
    """Keeps the tails of attempts, by (job's source id, attempt key), in the transaction that writes the attempts: no
    alert leaves without its log. An attempt that was left out is passed over."""
    sql = (
        "INSERT INTO log_tail (attempt_id, text, cut, error, fetched_us)"
        " SELECT a.id, ?, ?, ?, ? FROM attempt a JOIN job j ON j.id = a.job_id"
        " WHERE j.target_id = ? AND j.source_id = ? AND a.attempt_key = ?"
        " ON CONFLICT (attempt_id) DO UPDATE SET text = excluded.text, cut = excluded.cut,"
        " error = excluded.error, fetched_us = excluded.fetched_us"
    )
    rows = [
        (tail.text, tail.cut, tail.error, now_us, target_id, encode_name(job), encode_name(key))
        for (job, key), tail in tails.items()
    ]
    session.many(sql, rows)


def tails_of(store: Database, run_ids: Sequence[int]) -> dict[int, str]:
    """Run id -> tail of its latest attempt, of these runs and of the tasks that ran with them."""
    query = (
        "SELECT r.id, l.text FROM {keys} JOIN run o ON o.id = k.a"
        " JOIN job j ON j.id = o.job_id OR j.parent_id = o.job_id"
        " JOIN run r ON r.job_id = j.id AND r.period_key = o.period_key"
        " JOIN log_tail l ON l.attempt_id = r.attempt_id WHERE l.text <> ''"
    )
    with store.read() as session:
        return dict(session.by_keys(query, run_ids))
