"""Targets as polled: cursor and health, probes, open runs, started periods, evidence lost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from connectors.sdk.records import HistoryGap, RunRecord, RunRef, Schedule, SkippedRecord
from console.domain.ids import instant, micros, optional_instant, optional_micros
from console.domain.switches import SystemPause
from console.store import switches
from console.store.audit import ENGINE_ACTOR, ENGINE_ORIGIN
from console.store.db.database import Database
from console.store.db.session import Row, WriteSession
from console.store.events import record_event
from console.store.ingest.batch import IngestBatch
from console.store.names import decode_name, encode_name
from console.text.cleaning import CUT, clean, clean_line

MAX_SHOWN = 20
"""Skipped records and warnings that are kept for people; all are counted."""
MAX_WORDS = 300
SAMPLE_BEGINS = 20
"""Characters by which a sample is found in words that were cut off."""
BOOT_US = 120_000_000
"""A host's start, counted from its uptime, differs by less from one answer to the next."""
_NAMES = (
    "SELECT s.id, s.name, t.name, t.failing_since_us, t.skipped_words"
    " FROM target t JOIN system s ON s.id = t.system_id WHERE t.id = ?"
)

_LOST = (
    "UPDATE target SET"
    " lost_since_us = CASE WHEN lost_until_us >= ? AND lost_since_us < ? THEN lost_since_us ELSE ? END,"
    " lost_until_us = CASE WHEN lost_until_us > ? THEN lost_until_us ELSE ? END WHERE id = ?"
)
"""Windows that touch become one; of two apart the later is kept."""


def record_success(session: WriteSession, target_id: int, batch: IngestBatch, refused: Sequence[SkippedRecord]) -> None:
    """The cursor, the target's health, what was skipped; an event when it is back or evidence is lost for good."""
    now_us, seen_until, booted = micros(batch.now), optional_micros(batch.seen_until), optional_micros(batch.booted)
    [(system_id, system, name, failing_since, known)] = session.rows(_NAMES, (target_id,))
    session.rows(
        "UPDATE target SET cursor = ?, last_try_us = ?,"
        " last_ok_us = CASE WHEN last_ok_us > ? THEN last_ok_us ELSE ? END, first_ok_us = COALESCE(first_ok_us, ?),"
        " failing_since_us = NULL, failures = 0, error = '', error_kind = '', skew_s = COALESCE(?, skew_s),"
        " zone = CASE WHEN ? = '' THEN zone ELSE ? END, "
        " seen_until_us = CASE WHEN seen_until_us > ? THEN seen_until_us ELSE COALESCE(?, seen_until_us) END,"
        " booted_us = CASE WHEN ABS(COALESCE(booted_us, 0) - ?) > ? THEN ? ELSE booted_us END,"
        " poll_ms = COALESCE(?, poll_ms), warnings = ?, requests = ?, requests_minute = ?, allowed = ? WHERE id = ?",
        (
            encode_name(batch.cursor),
            now_us,
            now_us,
            now_us,
            now_us,
            batch.skew_s,
            batch.zone,
            batch.zone,
            seen_until,
            seen_until,
            booted,
            BOOT_US,
            booted,
            batch.poll_ms,
            _skipped_text(batch.warnings),
            *_cost_columns(batch),
            target_id,
        ),
    )
    skipped = [*batch.skipped, *refused]
    if skipped:
        words = _skipped_text([f"{one.where}: {one.reason} {one.sample}".rstrip() for one in skipped])
        count = _new_skipped(skipped, json.loads(known))
        session.rows(
            "UPDATE target SET skipped = skipped + ?, skipped_words = ? WHERE id = ?", (count, words, target_id)
        )
    if failing_since is not None:
        record_event(session, now_us, "back", f"{clean_line(f'{system}/{name}')} answers again", system_id=system_id)
    for gap in batch.gaps:
        record_event(session, now_us, "gap", _gap_text(system, name, gap), system_id=system_id)
    session.many(_LOST, [_lost_evidence(gap, now_us, target_id) for gap in batch.gaps])


def record_failure(store: Database, target_id: int, error: str, kind: str, now: datetime, fence: int | None) -> bool:
    """Counts a poll that failed; `kind`: as `Target.error_kind` has them. True when it is the first in a row."""
    now_us = micros(now)
    words = clean(error, MAX_WORDS * 2)
    with store.write(fence) as session:
        [(system_id, system, name, failing_since, _)] = session.rows(_NAMES, (target_id,))
        session.rows(
            "UPDATE target SET failures = failures + 1, failing_since_us = COALESCE(failing_since_us, ?),"
            " last_try_us = ?, error = ?, error_kind = ? WHERE id = ?",
            (now_us, now_us, words, kind, target_id),
        )
        if failing_since is None:
            record_event(session, now_us, "lost", f"{clean_line(f'{system}/{name}')}: {words}", system_id=system_id)
    return failing_since is None


def _cost_columns(batch: IngestBatch) -> tuple[int | None, float | None, str]:
    spent = batch.spent
    return (None, None, "") if spent is None else (spent.requests, spent.a_minute, clean_line(spent.allowed, MAX_WORDS))


def _lost_evidence(gap: HistoryGap, now_us: int, target_id: int) -> tuple[int, ...]:
    since = micros(gap.since) if gap.since else 0
    until = micros(gap.until) if gap.until else now_us
    return (since, since, since, until, until, target_id)


def _skipped_text(words: Sequence[str]) -> str:
    return json.dumps([clean_line(one, MAX_WORDS) for one in words[:MAX_SHOWN]])


def _new_skipped(skipped: Sequence[SkippedRecord], known: Sequence[str]) -> int:
    """How many of these are not what the last words told already: a source that lists the same rows at each poll has no
    more of them each time. `known`: of those that are shown; where they are all told, so is what stood behind them."""
    shown = skipped[:MAX_SHOWN]
    new = sum(not any(_mentions(words, one) for words in known) for one in shown)
    return new + len(skipped) - len(shown) if new else 0


def _mentions(words: str, one: SkippedRecord) -> bool:
    """The reason may be worded by the time, as in "61 minutes in the future"; a long sample is cut off in the words."""
    sample = clean_line(one.sample.rstrip())
    if not words.startswith(clean_line(f"{one.where}: ", MAX_WORDS)):
        return False
    if words.endswith(sample):
        return True
    told = words.removesuffix(CUT)
    at = told.rfind(sample[:SAMPLE_BEGINS])
    return told != words and (sample.startswith(told[at:]) if at >= 0 else len(one.reason) >= MAX_WORDS // 2)


def _gap_text(system: str, name: str, gap: HistoryGap) -> str:
    since = gap.since.isoformat() if gap.since else "the beginning"
    until = gap.until.isoformat() if gap.until else "now"
    return clean(f"{system}/{name}: evidence is lost from {since} to {until}: {gap.reason}", MAX_WORDS * 2)


PERIOD_MARGIN = timedelta(hours=26)
"""How far before a start its period may lie: `LATEST_START` of control.periods, and an hour. A job of every minute has
1,560 runs in it, and each of its starts asks for them."""
MAX_OPEN_RUNS = 2_000
"""Open attempts that are handed to a poll at most, newest first."""


@dataclass(frozen=True, slots=True)
class PollState:
    """Where the last poll of a target ended."""

    cursor: str
    inventory_hash: str


def configured_targets(store: Database) -> list[tuple[int, str, str]]:
    """(id, system, target) of everything that config has now."""
    with store.read() as session:
        rows = session.rows(
            "SELECT t.id, s.name AS system, t.name FROM target t JOIN system s ON s.id = t.system_id"
            " WHERE NOT t.removed AND NOT s.removed ORDER BY t.id"
        )
    return [(row.id, row.system, decode_name(row.name)) for row in rows]


def poll_state(store: Database, target_id: int) -> PollState:
    with store.read() as session:
        [row] = session.rows("SELECT cursor, inventory_hash FROM target WHERE id = ?", (target_id,))
    return PollState(decode_name(row.cursor), decode_name(row.inventory_hash))


def polling_pause(store: Database, system: str) -> SystemPause | None:
    """Why a person wants no polls of this system, lasting or over; None where nobody said so."""
    with store.read() as session:
        return switches.pause_of_system(session, system)


def record_pause_end(store: Database, said: SystemPause, now: datetime, fence: int) -> None:
    """Tells the audit that this pause came to its end by itself."""
    with store.write(fence) as session:
        switches.audit_pause_end(session, said, ENGINE_ACTOR, ENGINE_ORIGIN, micros(now))


def record_probe(
    store: Database, target_id: int, version: str, rights: Sequence[Mapping[str, object]], fence: int | None
) -> None:
    """What the target answered about itself and our rights there; written only where it is another than before."""
    stated = (version, json.dumps(list(rights)))
    with store.write(fence) as session:
        session.rows(
            "UPDATE target SET version = ?, rights = ? WHERE id = ? AND (version <> ? OR rights <> ?)",
            (*stated, target_id, *stated),
        )


def open_runs(store: Database, target_id: int) -> list[RunRef]:
    """Attempts of this target that have not ended, newest first."""
    with store.read() as session:
        rows = session.rows(
            "SELECT j.source_id, r.period_key, a.attempt_key, a.native_ref, a.started_us"
            " FROM run r JOIN job j ON j.id = r.job_id JOIN attempt a ON a.id = r.attempt_id"
            " WHERE r.ended_us IS NULL AND r.attempts > 0 AND j.target_id = ?"
            " AND r.state IN ('waiting', 'held', 'queued', 'running', 'retrying', 'cancelling')"
            " ORDER BY r.sort_us DESC LIMIT ?",
            (target_id, MAX_OPEN_RUNS),
        )
    return [
        RunRef(
            decode_name(row.source_id), decode_name(row.period_key), decode_name(row.attempt_key),
            decode_name(row.native_ref), optional_instant(row.started_us),
        )
        for row in rows
    ]  # fmt: skip


def accepted_schedules(store: Database, target_id: int) -> Mapping[str, Schedule]:
    """What the target calls each of its jobs -> its accepted schedule; dialect "none" where nothing is accepted."""
    with store.read() as session:
        rows = session.rows(
            "SELECT j.source_id, s.dialect, s.expression, s.zone, s.words, s.next_us FROM job j LEFT JOIN schedule s"
            " ON s.id = (SELECT max(v.id) FROM schedule v WHERE v.job_id = j.id AND v.accepted_us IS NOT NULL)"
            " WHERE j.target_id = ?",
            (target_id,),
        )
    return {decode_name(row.source_id): _schedule(row) if row.dialect else Schedule("none") for row in rows}


def _schedule(row: Row) -> Schedule:
    expression, text = decode_name(row.expression), decode_name(row.words)
    return Schedule(row.dialect, expression, row.zone, text, optional_instant(row.next_us))


class StartedPeriods(NamedTuple):
    """Periods that have their run, each by (source id, period key)."""

    owners: Mapping[tuple[str, str], str]
    """-> attempt key that first started it."""
    began: Mapping[tuple[str, str], datetime]
    """-> when that one did, where its source tells it."""


def started_periods(store: Database, target_id: int, records: Iterable[RunRecord]) -> StartedPeriods:
    """What has its run around the starts that these records tell."""
    unmatched = [one for one in records if one.period_key is None]
    if not unmatched:
        return StartedPeriods({}, {})
    sql = (
        # CROSS JOIN keeps SQLite to this order, and "+ 0" to the job's name; left free, it began with every attempt
        # that has no action key.
        "SELECT j.source_id, r.period_key, a.attempt_key, a.started_us"
        " FROM {keys} CROSS JOIN target t CROSS JOIN job j CROSS JOIN run r CROSS JOIN attempt a"
        " WHERE t.id = ? AND j.system_id = t.system_id AND j.source_id = k.a AND j.target_id + 0 = t.id"
        " AND r.job_id = j.id AND a.run_id = r.id AND a.action_key IS NULL"
        " AND r.attempts > 0 AND r.sort_us >= ? ORDER BY a.number DESC"
    )
    starts = [at for one in unmatched if (at := one.started_at or one.queued_at or one.ended_at) is not None]
    since = micros(min(starts) - PERIOD_MARGIN) if starts else 0
    jobs = sorted({encode_name(one.job) for one in unmatched})
    with store.read() as session:
        rows = session.by_keys(sql, jobs, (target_id, since))
        again = _executed_again(session, target_id, unmatched)
    owners = {_period_of(row): decode_name(row.attempt_key) for row in (*again, *rows)}
    began = {_period_of(row): instant(row.started_us) for row in rows if row.started_us is not None}
    return StartedPeriods(owners, began)


def _period_of(row: Row) -> tuple[str, str]:
    return decode_name(row.source_id), decode_name(row.period_key)


def _executed_again(session: WriteSession, target_id: int, records: Iterable[RunRecord]) -> list[Row]:
    """The periods of the attempts that these execute again, however long ago they were."""
    sql = (
        "SELECT j.source_id, r.period_key, a.attempt_key FROM {keys} CROSS JOIN target t CROSS JOIN job j"
        " CROSS JOIN attempt a CROSS JOIN run r WHERE t.id = ? AND j.system_id = t.system_id AND j.source_id = k.a"
        " AND j.target_id + 0 = t.id AND a.job_id = j.id AND a.attempt_key = k.b AND r.id = a.run_id"
    )
    again = sorted({(encode_name(one.job), encode_name(one.again_of)) for one in records if one.again_of})
    return list(session.by_keys(sql, again, (target_id,))) if again else []
