"""How a target stands after a poll: seen, or out of reach. Told in the timeline once when lost and once when back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from connectors.contract import Gap, Skipped
from console.clean import CUT, clean, clean_line
from console.model.ids import maybe_micros, micros
from console.store.batch import IngestBatch
from console.store.keys import pack
from console.store.open import Store
from console.store.wire import Wire, wire

SHOWN_WORDS = 20
"""Skipped records and warnings that are kept for people; all are counted."""
WORDS_LIMIT = 300
SAMPLE_BEGINS = 20
"""Characters by which a sample is found in words that were cut off."""
BOOT_US = 120_000_000
"""A host's start, counted from its uptime, differs by less from one answer to the next."""
_NAMES = (
    "SELECT s.id, s.name, t.name, t.failing_since_us, t.skipped_words"
    " FROM target t JOIN system s ON s.id = t.system_id WHERE t.id = ?"
)
_EVENT = "INSERT INTO event (at_us, kind, words, system_id, actor) VALUES (?, ?, ?, ?, '')"

_LOST = (
    "UPDATE target SET"
    " lost_since_us = CASE WHEN lost_until_us >= ? AND lost_since_us < ? THEN lost_since_us ELSE ? END,"
    " lost_until_us = CASE WHEN lost_until_us > ? THEN lost_until_us ELSE ? END WHERE id = ?"
)
"""Windows that touch become one; of two apart the later is kept."""


def record_success(lines: Wire, target_id: int, batch: IngestBatch, refused: Sequence[Skipped]) -> None:
    """The cursor, the target's health, what was skipped; an event when it is back or evidence is lost for good."""
    now_us, seen_until, booted = micros(batch.now), maybe_micros(batch.seen_until), maybe_micros(batch.booted)
    [(system_id, system, name, failing_since, known)] = lines.rows(_NAMES, (target_id,))
    lines.rows(
        "UPDATE target SET cursor = ?, last_try_us = ?,"
        " last_ok_us = CASE WHEN last_ok_us > ? THEN last_ok_us ELSE ? END, first_ok_us = COALESCE(first_ok_us, ?),"
        " failing_since_us = NULL, failures = 0, error = '', error_kind = '', skew_s = COALESCE(?, skew_s),"
        " zone = CASE WHEN ? = '' THEN zone ELSE ? END, "
        " seen_until_us = CASE WHEN seen_until_us > ? THEN seen_until_us ELSE COALESCE(?, seen_until_us) END,"
        " booted_us = CASE WHEN ABS(COALESCE(booted_us, 0) - ?) > ? THEN ? ELSE booted_us END,"
        " poll_ms = COALESCE(?, poll_ms), warnings = ?, requests = ?, requests_minute = ?, allowed = ? WHERE id = ?",
        (
            pack(batch.cursor), now_us, now_us, now_us, now_us, batch.skew_s, batch.zone, batch.zone,
            seen_until, seen_until, booted, BOOT_US, booted, batch.poll_ms, _words(batch.warnings), *_spent(batch),
            target_id,
        ),
    )  # fmt: skip
    skipped = [*batch.skipped, *refused]
    if skipped:
        words = _words([f"{one.where}: {one.reason} {one.sample}".rstrip() for one in skipped])
        count = _not_told_before(skipped, json.loads(known))
        lines.rows("UPDATE target SET skipped = skipped + ?, skipped_words = ? WHERE id = ?", (count, words, target_id))
    if failing_since is not None:
        lines.rows(_EVENT, (now_us, "back", f"{clean_line(f'{system}/{name}')} answers again", system_id))
    lines.many(_EVENT, [(now_us, "gap", _gap_words(system, name, gap), system_id) for gap in batch.gaps])
    lines.many(_LOST, [_lost(gap, now_us, target_id) for gap in batch.gaps])


def record_failure(store: Store, target_id: int, error: str, kind: str, now: datetime, fence: int | None) -> bool:
    """Counts a poll that failed; `kind`: as `Target.error_kind` has them. True when it is the first in a row."""
    now_us = micros(now)
    words = clean(error, WORDS_LIMIT * 2)
    with store.write(fence) as connection:
        lines = wire(connection)
        [(system_id, system, name, failing_since, _)] = lines.rows(_NAMES, (target_id,))
        lines.rows(
            "UPDATE target SET failures = failures + 1, failing_since_us = COALESCE(failing_since_us, ?),"
            " last_try_us = ?, error = ?, error_kind = ? WHERE id = ?",
            (now_us, now_us, words, kind, target_id),
        )
        if failing_since is None:
            lines.rows(_EVENT, (now_us, "lost", f"{clean_line(f'{system}/{name}')}: {words}", system_id))
    return failing_since is None


def _spent(batch: IngestBatch) -> tuple[int | None, float | None, str]:
    spent = batch.spent
    return (
        (None, None, "") if spent is None else (spent.requests, spent.a_minute, clean_line(spent.allowed, WORDS_LIMIT))
    )


def _lost(gap: Gap, now_us: int, target_id: int) -> tuple[int, ...]:
    since = micros(gap.since) if gap.since else 0
    until = micros(gap.until) if gap.until else now_us
    return (since, since, since, until, until, target_id)


def _words(words: Sequence[str]) -> str:
    return json.dumps([clean_line(one, WORDS_LIMIT) for one in words[:SHOWN_WORDS]])


def _not_told_before(skipped: Sequence[Skipped], known: Sequence[str]) -> int:
    """How many of these are not what the last words told already: a source that lists the same rows at each poll has no
    more of them each time. `known`: of those that are shown; where they are all told, so is what stood behind them."""
    shown = skipped[:SHOWN_WORDS]
    new = sum(not any(_tells(words, one) for words in known) for one in shown)
    return new + len(skipped) - len(shown) if new else 0


def _tells(words: str, one: Skipped) -> bool:
    """The reason may be worded by the time, as in "61 minutes in the future"; a long sample is cut off in the words."""
    sample = clean_line(one.sample.rstrip())
    if not words.startswith(clean_line(f"{one.where}: ", WORDS_LIMIT)):
        return False
    if words.endswith(sample):
        return True
    told = words.removesuffix(CUT)
    at = told.rfind(sample[:SAMPLE_BEGINS])
    return told != words and (sample.startswith(told[at:]) if at >= 0 else len(one.reason) >= WORDS_LIMIT // 2)


def _gap_words(system: str, name: str, gap: Gap) -> str:
    since = gap.since.isoformat() if gap.since else "the beginning"
    until = gap.until.isoformat() if gap.until else "now"
    return clean(f"{system}/{name}: evidence is lost from {since} to {until}: {gap.reason}", WORDS_LIMIT * 2)
