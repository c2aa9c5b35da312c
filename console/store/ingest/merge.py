"""Attempts into runs: pure. Observations may come late, twice or in any order; the outcome is the same.

Of two observations of one attempt the one nearer to a proved end wins, then the later; what only one of them has (a
start, our action's key) is kept. Of a run's attempts the one that started last decides; the first start is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from connectors.sdk.records import RunRecord
from connectors.sdk.states import OPEN_STATES, RunEvidence, RunState
from console.domain.ids import EPOCH
from console.store.names import encode_name
from console.text.cleaning import clean

MAX_MESSAGE = 2_000
MAX_WORD = 200
MAX_URL = 2_000
MAX_CONTEXT = 20_000
MAX_INTEGER = 2**63 - 1


class AttemptContent(NamedTuple):
    """What a source says of an attempt, in the columns' own form."""

    state: str
    evidence: str
    native_state: str
    queued_us: int | None
    started_us: int | None
    ended_us: int | None
    exit_code: int | None
    message: str
    reason: str
    native_ref: str
    native_url: str
    action_key: str | None
    context: str


class StoredAttempt(NamedTuple):
    """One row of `attempt`."""

    id: int
    run_id: int
    job_id: int
    attempt_key: str
    number: int
    content: AttemptContent
    observed_us: int

    def flat(self) -> tuple[Any, ...]:
        return (self.id, self.run_id, self.job_id, self.attempt_key, self.number, *self.content, self.observed_us)


ATTEMPT_COLUMNS = ("id", "run_id", "job_id", "attempt_key", "number", *AttemptContent._fields, "observed_us")


class StoredRun(NamedTuple):
    """One row of `run`."""

    id: int
    job_id: int
    period_key: str
    period_us: int | None
    sort_us: int
    bd: str
    state: str
    evidence: str
    native_state: str
    reason: str
    attempts: int
    attempt_id: int | None
    first_started_us: int | None
    started_us: int | None
    ended_us: int | None
    exit_code: int | None
    message: str
    expected: bool
    timeliness: str
    stale_read: bool
    partial_input: str
    observed_us: int
    changed_seq: int


_VALUES: dict[str, str] = {word: word.value for word in (*RunState, *RunEvidence)}
_OPEN: frozenset[str] = frozenset(state.value for state in OPEN_STATES)
_UNKNOWN = RunState.UNKNOWN.value
_PROVED = (RunEvidence.NATIVE.value, RunEvidence.ASSERTED.value)


def stored_attempt(stored: tuple[Any, ...]) -> StoredAttempt:
    """A stored row in the order of ATTEMPT_COLUMNS."""
    return StoredAttempt._make((*stored[:5], AttemptContent._make(stored[5:-1]), stored[-1]))


def attempt_content(record: RunRecord) -> AttemptContent:
    """The record in the columns' form, its words cleaned. Raises ValueError or OverflowError with the reason."""
    return AttemptContent(
        _VALUES[record.state],
        _VALUES[record.evidence],
        clean(record.native_state, MAX_WORD),
        _micros(record.queued_at),
        _micros(record.started_at),
        _micros(record.ended_at),
        _number(record.exit_code),
        clean(record.message, MAX_MESSAGE) if record.message else "",
        clean(record.reason, MAX_WORD) if record.reason else "",
        encode_name(record.native_ref),
        clean(record.native_url, MAX_URL) if record.native_url else "",
        record.action_key,
        _json(record.context) if record.context else "{}",
    )


def _micros(instant: datetime | None) -> int | None:
    if instant is None:
        return None
    if instant.tzinfo is None:
        raise ValueError(f"an instant without a zone: {instant.isoformat()}")
    since = instant - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _number(number: int | None) -> int | None:
    if number is not None and not -MAX_INTEGER <= number <= MAX_INTEGER:
        raise OverflowError(f"exit code {number} has more than 64 bits")
    return number


def _json(context: Mapping[str, Any]) -> str:
    text = json.dumps(context, default=str, sort_keys=True)
    return text if len(text) <= MAX_CONTEXT else json.dumps({"cut": f"{len(text)} characters of context"})


def finality(content: AttemptContent) -> int:
    """How near to a proved end: open 0, an unproved end 1, a deduced end 2, an end that the source recorded 3."""
    if content.state in _OPEN:
        return 0
    if content.state == _UNKNOWN:
        return 1 if content.evidence == RunEvidence.INFERRED.value else 0
    return 3 if content.evidence in _PROVED else 2


def merge_content(old: AttemptContent, old_us: int, new: AttemptContent, new_us: int) -> tuple[AttemptContent, int]:
    """The content that stands, and when it was first observed in this form."""
    if new == old:
        return old, min(old_us, new_us)
    new_rank, old_rank = (finality(new), new_us), (finality(old), old_us)
    new_wins = new_rank > old_rank or (new_rank == old_rank and repr(new) > repr(old))
    winner, loser = (new, old) if new_wins else (old, new)
    filled = winner._replace(
        queued_us=loser.queued_us if winner.queued_us is None else winner.queued_us,
        started_us=loser.started_us if winner.started_us is None else winner.started_us,
        ended_us=loser.ended_us if winner.ended_us is None and winner.state not in _OPEN else winner.ended_us,
        action_key=loser.action_key if winner.action_key is None else winner.action_key,
    )
    if not new_wins:
        return filled, old_us
    return filled, min(old_us, new_us) if filled == old else new_us


def start_order(row: StoredAttempt) -> tuple[int, str]:
    """The order of a run's attempts: by start, else queue, else end; one that has begun nothing yet comes last."""
    content = row.content
    for instant in (content.started_us, content.queued_us, content.ended_us):
        if instant is not None:
            return instant, row.attempt_key
    return (MAX_INTEGER if content.state in _OPEN else -MAX_INTEGER), row.attempt_key


def number_attempts(attempts: list[StoredAttempt]) -> list[StoredAttempt]:
    """In start order, numbers from 1."""
    if len(attempts) == 1:
        return attempts if attempts[0].number == 1 else [attempts[0]._replace(number=1)]
    ordered = sorted(attempts, key=start_order)
    return [row if row.number == number else row._replace(number=number) for number, row in enumerate(ordered, 1)]


class RunOrigin(NamedTuple):
    """What a run's first attempt says of it: where it stands in time."""

    period_us: int | None
    business_date: str


def build_run(
    old: StoredRun | None, key: tuple[int, int, str], attempts: list[StoredAttempt], birth: RunOrigin | None
) -> StoredRun:
    """The run as its numbered attempts make it; `key` is (id, job id, period key). `birth` is told by the record of
    the first attempt when that is in this batch, and must be where `old` is None. changed_seq stays as it was."""
    latest = attempts[-1]
    content = latest.content
    if len(attempts) == 1:
        first_started = content.started_us
    else:
        starts = [one.content.started_us for one in attempts]
        first_started = min((start for start in starts if start is not None), default=None)
    if birth is None:
        if old is None:
            raise ValueError(f"run {key}: nobody knows its business date")
        birth = RunOrigin(old.period_us, old.bd)
    period_us = birth.period_us if birth.period_us is not None or old is None else old.period_us
    return StoredRun(
        *key,
        period_us,
        _sort_us(old, period_us, first_started, attempts),
        birth.business_date,
        content.state,
        content.evidence,
        content.native_state,
        content.reason,
        len(attempts),
        latest.id,
        first_started,
        content.started_us,
        content.ended_us,
        content.exit_code,
        content.message,
        False if old is None else old.expected,
        "no_estimate" if old is None else old.timeliness,
        False if old is None else old.stale_read,
        "" if old is None else old.partial_input,
        latest.observed_us,
        0 if old is None else old.changed_seq,
    )


def _sort_us(
    old: StoredRun | None, period_us: int | None, first_started: int | None, attempts: list[StoredAttempt]
) -> int:
    if period_us is not None:
        return period_us
    if first_started is not None:
        return first_started
    seen = min(row.content.queued_us or row.observed_us for row in attempts)
    return seen if old is None else min(seen, old.sort_us)
