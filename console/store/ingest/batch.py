"""One poll's batch: records, cursor and log tails; and the batch by attempt, in the form of the columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from connectors.sdk.records import HistoryGap, RunRecord, SkippedRecord, instant_key
from console.domain.ids import micros
from console.store.db.database import Database
from console.store.db.session import Row, WriteSession
from console.store.ingest.inventory import job_ids
from console.store.ingest.merge import AttemptContent, attempt_content, merge_content
from console.store.meta import next_changed_seq
from console.store.names import decode_name, encode_name, is_too_long_name


@dataclass(frozen=True, slots=True)
class LogTailText:
    """The cleaned end of a log, or why there is none."""

    text: str
    cut: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class PollCost:
    """Requests that the polls of a target cost its source."""

    requests: int
    a_minute: float
    """Average over the last ten minutes."""
    allowed: str = ""
    """Remaining requests by the source; empty if its API has no limit."""


@dataclass(frozen=True, slots=True)
class IngestBatch:
    """One poll's records and the cursor that follows them. `timing.business_dates` has set the period keys."""

    runs: tuple[RunRecord, ...]
    """`job` is its raw current name at the source."""
    cursor: str
    now: datetime
    """Our clock at the request: the order of observations, and the target's age."""
    business_date: Callable[[RunRecord], date]
    """Called only for the first attempt of a run."""
    seen_until: datetime | None = None
    """Every start before it has been seen (skew already subtracted)."""
    skew_s: float | None = None
    """The target's clock minus ours, seconds."""
    zone: str = ""
    booted: datetime | None = None
    """When the target last started, by our clock."""
    skipped: tuple[SkippedRecord, ...] = ()
    warnings: tuple[str, ...] = ()
    stopped: str | None = ""
    """As of `Poll.stopped`."""
    gaps: tuple[HistoryGap, ...] = ()
    poll_ms: float | None = None
    spent: PollCost | None = None
    """None if not counted."""
    tails: Mapping[tuple[str, str], LogTailText] = field(default_factory=dict)
    """Log tails of failed attempts by (job, attempt key), raw names as in `runs`."""

    @property
    def is_quiet(self) -> bool:
        """Whether it brings nothing but the cursor and that the target is well."""
        return not (self.runs or self.tails or self.skipped or self.gaps or self.stopped)


@dataclass(frozen=True, slots=True)
class IngestResult:
    """Ids of real changes; both empty when the poll had nothing new."""

    changed_run_ids: tuple[int, ...] = ()
    changed_job_ids: tuple[int, ...] = ()
    skipped: tuple[SkippedRecord, ...] = ()
    """Records that the store itself skipped, with the reason; already counted at the target."""


AttemptIdentity = tuple[int, str]
"""(job id, attempt key): an attempt; (job id, period key): a run."""

ACTIONS_BY_KEY = (
    "SELECT a.key, a.job_id, a.run_id, a.parameters FROM {keys} JOIN action a ON a.key = k.a JOIN job j ON j.id ="
    " a.job_id JOIN target t ON t.system_id = j.system_id WHERE t.id = ?"
)
"""Of the polled target's own system: elsewhere a key of ours is ordinary text."""


@dataclass(slots=True)
class IncomingAttempt:
    """One attempt as observed in a batch."""

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
        """Its former identity, if its key has changed."""
        return (self.job_id, encode_name(self.record.formerly)) if self.record.formerly else None


def read_batch(
    session: WriteSession, target_id: int, batch: IngestBatch, skipped: list[SkippedRecord]
) -> dict[AttemptIdentity, IncomingAttempt]:
    """The batch by attempt, in the form of the columns; observations of the same attempt are merged."""
    keys = sorted({record.action_key for record in batch.runs if record.action_key})
    actions = {row.key: row for row in session.by_keys(ACTIONS_BY_KEY, keys, (target_id,))}
    jobs = job_ids(session, target_id, {record.job for record in batch.runs}, batch.now)
    observed_us = micros(batch.now)
    incoming: dict[AttemptIdentity, IncomingAttempt] = {}
    for record in batch.runs:
        try:
            attempt = _incoming_attempt(record, jobs, actions, observed_us)
        except (ValueError, OverflowError, KeyError) as error:
            skipped.append(SkippedRecord(record.job, str(error), record.attempt_key[:200]))
            continue
        identity = (attempt.job_id, attempt.attempt_key)
        before = incoming.get(identity)
        if before is not None:  # the later one is newer
            attempt.content, _ = merge_content(before.content, observed_us, attempt.content, observed_us + 1)
            if attempt.content == before.content:
                continue
        incoming[identity] = attempt
    return incoming


def _incoming_attempt(record: RunRecord, jobs: dict[str, int], actions: dict[str, Row], now_us: int) -> IncomingAttempt:
    job_id, content, run_id = jobs.get(record.job), attempt_content(record), None
    action = actions.get(record.action_key) if record.action_key else None
    if action is None or action.job_id != job_id:  # a clear notes its key on each task that it affects
        content = content._replace(action_key=None) if record.action_key else content
    elif (run_id := action.run_id) is None and (period_at := _period(action.parameters)) is not None:
        record = replace(record, period_key=instant_key(period_at), period_at=period_at)
    attempt_key = encode_name(record.attempt_key)
    period_key = f"attempt:{attempt_key}" if record.period_key is None else encode_name(record.period_key)
    if any(map(is_too_long_name, (attempt_key, period_key, encode_name(record.period_name)))):
        raise ValueError("its id is longer than 1,000 bytes")
    if job_id is None:
        raise ValueError("its job's name is longer than 1,000 bytes")
    return IncomingAttempt(job_id, attempt_key, period_key, content, now_us, record, run_id)


def _period(parameters: str) -> datetime | None:
    """The instant for which an action started its job, if set: the source only reports when it started."""
    try:
        at = datetime.fromisoformat(json.loads(parameters)["period_at"])
    except (ValueError, KeyError, TypeError):
        return None
    return at if at.tzinfo is not None else None


def attempts_without_tail(store: Database, target_id: int, attempts: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """The attempts, by (job's source id, attempt key), without a stored tail."""
    missing = set(attempts)
    query = (
        "SELECT k.a AS job, k.b AS attempt, t.attempt_id FROM {keys}"
        " LEFT JOIN job j ON j.system_id = (SELECT system_id FROM target WHERE id = ?) AND j.source_id = k.a"
        " LEFT JOIN attempt a ON a.job_id = j.id AND a.attempt_key = k.b LEFT JOIN log_tail t ON t.attempt_id = a.id"
    )
    keys = [(encode_name(job), encode_name(key)) for job, key in missing]
    with store.read() as session:
        rows = session.by_keys(query, keys, (target_id,))
    return missing - {(decode_name(row.job), decode_name(row.attempt)) for row in rows if row.attempt_id is not None}


def insert_tails(
    session: WriteSession, target_id: int, tails: Mapping[tuple[str, str], LogTailText], now_us: int
) -> None:
    """Stores tails by (job's source id, attempt key), in the transaction that writes the attempts: no alert is sent
    without its log, and one that comes later is a change of its run. Skipped attempts are ignored."""
    sql = (
        "INSERT INTO log_tail (attempt_id, text, cut, error, fetched_us) SELECT a.id, ?, ?, ?, ? FROM attempt a JOIN"
        " job j ON j.id = a.job_id WHERE j.target_id = ? AND j.source_id = ? AND a.attempt_key = ? ON CONFLICT"
        " (attempt_id) DO UPDATE SET text = excluded.text, cut = excluded.cut, error = excluded.error, fetched_us ="
        " excluded.fetched_us"
    )
    attempts = [(target_id, encode_name(job), encode_name(key)) for job, key in tails]
    rows = [
        (tail.text, tail.cut, tail.error, now_us, *attempt)
        for attempt, tail in zip(attempts, tails.values(), strict=True)
    ]
    session.many(sql, rows)
    seen = (
        "UPDATE run SET changed_seq = ? WHERE id IN (SELECT a.run_id FROM attempt a JOIN job j ON j.id = a.job_id WHERE"
        " j.target_id = ? AND j.source_id = ? AND a.attempt_key = ?)"
    )
    if attempts:
        seq = next_changed_seq(session)
        session.many(seen, [(seq, *attempt) for attempt in attempts])
