"""Attempts into runs: pure. Observations may come late, twice or in any order; the outcome is the same.

Of two observations of one attempt the one nearer to a proved end wins, then the later; fields that only one of them
has (a start, our action's key) are kept. The attempt that started last decides a run; the first start is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from connectors.sdk.records import MAX_DIGITS, RunRecord
from connectors.sdk.states import OPEN_STATES, PeriodKind, RunEvidence, RunState
from console.domain.ids import EPOCH, MAX_INTEGER
from console.store.names import encode_name
from console.text.cleaning import clean

MAX_MESSAGE = 2_000
MAX_LABEL = 200
MAX_URL = 2_000
MAX_CONTEXT = 20_000


class AttemptContent(NamedTuple):
    """An attempt as its source reports it, in the form of the columns."""

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
    id: int
    run_id: int
    job_id: int
    attempt_key: str
    number: int
    content: AttemptContent
    observed_us: int

    def flat(self) -> tuple[Any, ...]:
        """The values of ATTEMPT_COLUMNS."""
        return (self.id, self.run_id, self.job_id, self.attempt_key, self.number, *self.content, self.observed_us)


ATTEMPT_COLUMNS = ("id", "run_id", "job_id", "attempt_key", "number", *AttemptContent._fields, "observed_us")


class RunKey(NamedTuple):
    id: int
    job_id: int
    period_key: str


class StoredRun(NamedTuple):
    id: int
    job_id: int
    period_key: str
    period_us: int | None
    period_kind: str
    period_name: str
    sort_us: int
    business_date: str
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

    @property
    def key(self) -> RunKey:
        return RunKey(self.id, self.job_id, self.period_key)


_VALUES: dict[str, str] = {member: member.value for member in (*RunState, *RunEvidence)}
_OPEN: frozenset[str] = frozenset(state.value for state in OPEN_STATES)
_UNKNOWN = RunState.UNKNOWN.value
_UNNAMED: tuple[str, ...] = (PeriodKind.INSTANT.value, PeriodKind.RUN.value)
"""The kinds of a record that does not name its period."""
_RECORDED = 3
_PROVED = (RunEvidence.NATIVE.value, RunEvidence.ASSERTED.value)


def stored_attempt(row: Iterable[Any]) -> StoredAttempt:
    """From the values of ATTEMPT_COLUMNS."""
    attempt_id, run_id, job_id, attempt_key, number, *content, observed_us = row
    return StoredAttempt(attempt_id, run_id, job_id, attempt_key, number, AttemptContent._make(content), observed_us)


def attempt_content(record: RunRecord) -> AttemptContent:
    """The record in the form of the columns, texts cleaned. Raises ValueError or OverflowError with the reason."""
    exit_code, context = record.exit_code, "{}"
    if exit_code is not None and not -MAX_INTEGER <= exit_code <= MAX_INTEGER:
        raise OverflowError(f"exit code {exit_code} has more than 64 bits")
    if record.context:
        context = json.dumps(record.context, default=str, sort_keys=True)
        if len(context) > MAX_CONTEXT:
            context = json.dumps({"cut": f"{len(context)} characters of context"})
    return AttemptContent(
        _VALUES[record.state],
        _VALUES[record.evidence],
        clean(record.native_state, MAX_LABEL),
        _micros(record.queued_at),
        _micros(record.started_at),
        _micros(record.ended_at),
        exit_code,
        clean(record.message, MAX_MESSAGE) if record.message else "",
        clean(record.reason, MAX_LABEL) if record.reason else "",
        encode_name(record.native_ref),
        clean(record.native_url, MAX_URL) if record.native_url else "",
        record.action_key,
        context,
    )


def _micros(instant: datetime | None) -> int | None:
    if instant is None:
        return None
    if instant.tzinfo is None:
        raise ValueError(f"an instant without a zone: {instant.isoformat()}")
    since = instant - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def finality(content: AttemptContent) -> int:
    """How near to a proved end: open 0, an unproved end 1, a deduced end 2, an end recorded by the source 3."""
    if content.state in _OPEN:
        return 0
    if content.state == _UNKNOWN:
        return 1 if content.evidence == RunEvidence.INFERRED.value else 0
    return _RECORDED if content.evidence in _PROVED else 2


def is_another_attempt(old: AttemptContent, new: AttemptContent) -> bool:
    """True if the key of an attempt whose source recorded its end names another one, which began after that: the source
    counts from the beginning again, as a job that was deleted and created again."""
    if finality(old) < _RECORDED or old.started_us is None or old.ended_us is None:
        return False
    return new.started_us is not None and new.started_us > old.ended_us


def merge_content(old: AttemptContent, old_us: int, new: AttemptContent, new_us: int) -> tuple[AttemptContent, int]:
    """The merged content, and when it was first observed in this form."""
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


def start_order(row: StoredAttempt) -> tuple[int, int, str]:
    """Order of a run's attempts: by start, else queue, else end, then by key, "run.9" before "run.10"; attempts that
    have begun nothing come last."""
    content, key = row.content, row.attempt_key
    for instant in (content.started_us, content.queued_us, content.ended_us):
        if instant is not None:
            return instant, len(key), key
    return (MAX_INTEGER if content.state in _OPEN else -MAX_INTEGER), len(key), key


def number_attempts(attempts: list[StoredAttempt]) -> list[StoredAttempt]:
    """In start order, numbers from 1; those of the source where it numbers each."""
    ordered = attempts if len(attempts) == 1 else sorted(attempts, key=start_order)
    numbers = [_source_number(row) for row in ordered]
    if numbers[0] < 1 or any(later <= number for number, later in pairwise(numbers)):
        numbers = list(range(1, len(ordered) + 1))
    return [
        row if row.number == number else row._replace(number=number)
        for row, number in zip(ordered, numbers, strict=True)
    ]


def _source_number(row: StoredAttempt) -> int:
    """The number of an attempt by its source ("run.3" of run "run"); 0 where it has none."""
    run, _, number = row.attempt_key.rpartition(".")
    is_numbered = run != "" and run == row.content.native_ref and number.isdecimal() and len(number) <= MAX_DIGITS
    return int(number) if is_numbered else 0


class RunOrigin(NamedTuple):
    """A run's place in time, from its first attempt."""

    period_us: int | None
    period_kind: str
    period_name: str
    business_date: str


def build_run(old: StoredRun | None, key: RunKey, attempts: list[StoredAttempt], origin: RunOrigin | None) -> StoredRun:
    """The run made of its numbered attempts. `origin` comes from the first attempt's record if that is in this batch,
    and is required if `old` is None. changed_seq is unchanged."""
    latest = attempts[-1]
    content = latest.content
    if len(attempts) == 1:
        first_started = content.started_us
    else:
        starts = [attempt.content.started_us for attempt in attempts]
        first_started = min((start for start in starts if start is not None), default=None)
    if origin is None:
        if old is None:
            raise ValueError(f"run {key}: unknown business date")
        origin = RunOrigin(old.period_us, old.period_kind, old.period_name, old.business_date)
    period_us = origin.period_us if origin.period_us is not None or old is None else old.period_us
    reported = old if old is not None and old.attempts else None  # the period of an expected run is deduced
    period_kind = origin.period_kind if reported is None or origin.period_kind not in _UNNAMED else reported.period_kind
    period_name = origin.period_name if reported is None else origin.period_name or reported.period_name
    sort_us = first_started if period_us is None else period_us
    if sort_us is None:
        sort_us = min(row.content.queued_us or row.observed_us for row in attempts)
        sort_us = sort_us if old is None else min(sort_us, old.sort_us)
    return StoredRun(  # by position, in the order of the fields: keywords cost ingest a twentieth of its speed
        *key,
        period_us,
        period_kind,
        period_name,
        sort_us,
        origin.business_date,
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
